"""What is read of a lake in a bucket is fetched before it is decoded, many files at a time: each would wait for its own otherwise."""

from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

from workbench.lake.remote.where import opened, remote_of

# A query over more files takes so long that their ends are soon waited for in turn.
MOST = 256


def each(paths: Sequence[str], do: Callable[[str], object]) -> None:
    """Do something for each of some files that takes a request, many at a time; nothing for files that are here."""
    remote = remote_of(paths[0]) if paths else None
    if remote and len(paths) > 1:
        list(remote.pool.map(do, paths))


def ends(folder: Path, paths: Sequence[str]) -> None:
    """Begin to fetch the ends of files that DuckDB is about to open one by one, where httpfs does not read them."""
    remote = remote_of(folder)
    if remote is None or len(paths) < 2 or not remote.through:
        return
    for path in paths[:MOST]:
        remote.pool.submit(remote.file(f"{folder}/{path}").end)


def source(path: str, meta: Any, groups: Iterable[int], columns: Iterable[str]) -> Any:
    """What pyarrow reads some row groups of a file by, given its footer; of a file in a bucket, the parts are on their way."""
    found = opened(path)
    return found if isinstance(found, str) else found.ahead(spans(meta, groups, set(columns)))


def spans(meta: Any, groups: Iterable[int], columns: set[str]) -> list[tuple[int, int]]:
    """Where in a file some columns of some row groups stand."""
    numbers = [n for n in range(meta.num_columns) if meta.schema.column(n).path.partition(".")[0] in columns]
    found = []
    for group in map(meta.row_group, groups):
        for column in map(group.column, numbers):
            start = column.data_page_offset
            # Before the data, if there is one; some writers say 0 for none.
            if column.has_dictionary_page and column.dictionary_page_offset:
                start = min(start, column.dictionary_page_offset)
            found.append((start, start + column.total_compressed_size))
    return found
