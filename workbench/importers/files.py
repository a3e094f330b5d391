"""Folders of CSV, Parquet and Arrow files, as old databases were dumped and as `workbench export` writes them: a table for each, whatever its files are called.

CSV is text, whatever it looks like: `NA` and `TRUE` are tickers, too. Parquet and Arrow have their own types, and files of one table may differ in them, and in
their columns: each is read as it is, and nothing is rounded to make them alike. A file that is damaged is told, and the others are read.
"""

from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from tempfile import gettempdir
from typing import TYPE_CHECKING

from workbench.errors import BrokenText, UsageError
from workbench.importers.file_names import files
from workbench.importers.file_rows import Part, Source, batches, columns_of, may_hold, since, source, together
from workbench.importers.file_sorting import in_order, sorted_parts
from workbench.importers.origin import Arrived, Asked, Column, Held, Origin, Reject

# So many batches are known by the rows of their files: those that came last.
KNOWN = 8


if TYPE_CHECKING:
    import pyarrow as pa


class Files(Origin):
    """A folder of files, or one file. `scratch` is where rows are sorted, where they must be and do not stand in order."""

    kind = "files"

    def __init__(self, path: Path | str, scratch: Path | None = None):
        self.path = Path(path).expanduser().absolute()
        self.label = f"files:{self.path}"
        self.scratch = scratch or Path(gettempdir())
        if not self.path.exists():
            raise UsageError(f"{self.path} is not there; nothing was read. Name a folder of CSV and Parquet files, or one of them.")
        self._files = files(self.path)
        if not self._files:
            what = "no file that ends in .csv, .csv.gz, .tsv, .parquet, .arrow or .feather"
            raise UsageError(f"{self.path} {'holds' if self.path.is_dir() else 'is'} {what}; nothing was read. Name another place.")
        self._sources: dict[str, list[Source]] = {}
        self._rejects: dict[str, list[Reject]] = {}
        # Batches that came, each with the number of its first row among all.
        self._came: deque[tuple[str, int, list[Part]]] = deque(maxlen=KNOWN)

    def tables(self) -> list[Held]:
        """The tables that it holds; those without one file that can be read with what is wrong with them."""
        self._sources, self._rejects = {}, {}
        for file in self._files:
            sources, rejects = self._sources.setdefault(file.table, []), self._rejects.setdefault(file.table, [])
            try:
                sources.append(source(file, self._shown(file.path)))
            except (BrokenText, OSError) as fault:
                why = f"it {fault}" if isinstance(fault, BrokenText) else f"it cannot be read: {fault.strerror or fault}"
                rejects.append(Reject(self._shown(file.path), f"{why}; none of its rows were read"))
        return [self._held(name) for name in self._sources]

    def _shown(self, path: Path) -> str:
        return str(path.relative_to(self.path)) if path != self.path else path.name

    def _held(self, name: str) -> Held:
        """A table: the columns of all its files, and of which types they are where these differ."""
        sources, rejects = self._sources[name], self._rejects[name]
        if not sources:
            more = f"; so are {len(rejects) - 1:,} other files of it" * (len(rejects) > 1)
            return Held(name, (), fault=f"{rejects[0].where} cannot be imported: {rejects[0].reason}{more}.")
        kinds: dict[str, dict[str, int]] = {}
        for one in sources:
            for column, kind in one.columns.items():
                told = kinds.setdefault(column, {})
                told[kind] = told.get(kind, 0) + 1

        def kinds_of(told: Mapping[str, int]) -> str:
            count = sum(told.values())
            return " or ".join(told) + f", in {count:,} of {len(sources):,} files" * (count < len(sources))

        rows = [source.rows for source in sources]
        return Held(
            name,
            tuple(Column(column, kinds_of(told)) for column, told in kinds.items()),
            None if None in rows else sum(one or 0 for one in rows),
        )

    def batches(self, asked: Asked) -> Iterator[Arrived]:
        """The rows of a table, of all its files in order of their names; what is no row, and no file that can be read, among the rejects."""
        if not self._sources:
            self.tables()
        name, order = asked.table.name, asked.order
        rejects = list(self._rejects.get(name, ()))
        sources = [one for one in self._sources.get(name, ()) if not asked.since or may_hold(one, *asked.since)]
        if order and self.ordered(asked.table, order):
            sources.sort(key=lambda one: dict(one.file.folders)[order] or "")
            order = ""
        parts = self._parts(sources, asked, rejects)
        if order and not self._in_order(sources, order):
            parts = sorted_parts(
                parts, sources, order, [one for one in asked.table.names if one in asked.columns or one == order], self.scratch
            )
        number = 0
        for some in together(parts):
            arrays = columns_of([part.batch.columns for part in some])
            told = [*rejects, *(one for part in some for one in part.batch.rejects)]
            rejects.clear()
            count = sum(part.batch.count for part in some)
            # Without their columns, which would stay in memory.
            self._came.append((name, number, [replace(part, batch=replace(part.batch, columns={})) for part in some]))
            del some
            number += count
            yield Arrived(count, filled(arrays, count, asked), told)
        if rejects:
            yield Arrived(0, filled({}, 0, asked), rejects)

    def _in_order(self, sources: Sequence[Source], column: str) -> bool:
        """Whether rows stand in the order of a column; what is wrong with a file is told when its rows are read."""
        try:
            return in_order(sources, column)
        except (BrokenText, OSError):
            return False

    def _parts(self, sources: Sequence[Source], asked: Asked, rejects: list[Reject]) -> Iterator[Part]:
        """The rows of some files, one file after the other; what breaks off is told among `rejects`, and the next is read."""
        also = {asked.order, asked.since[0] if asked.since else ""}
        for one in sources:
            done = 0
            try:
                for batch in batches(one, [name for name in one.types if name in asked.columns or name in also], asked.since):
                    done += batch.count + len(batch.rejects)
                    yield Part(one.shown, since(batch, *asked.since) if asked.since else batch)
            except (BrokenText, OSError) as fault:
                told = f"it {fault}" if isinstance(fault, BrokenText) else f"it cannot be read on: {fault.strerror or fault}"
                rejects.append(Reject(one.shown, f"{told}; {f'its first {done:,} rows' if done else 'none of its rows'} were read"))

    def ordered(self, table: Held, column: str) -> bool:
        """Whether it is a column of Hive folders, which give it in order."""
        if not self._sources:
            self.tables()
        return all(column in dict(one.file.folders) for one in self._sources.get(table.name, ()))

    def where(self, table: Held, number: int) -> str:
        """The file of a row, and which row or line of it; of rows that came long ago, which row it was."""
        for name, first, parts in reversed(self._came):
            if name == table.name and first <= number:
                at = number - first
                for part in parts:
                    if at < part.batch.count:
                        return part.where(at)
                    at -= part.batch.count
                break
        return super().where(table, number)

    def close(self) -> None:
        """Nothing stays open between two batches of a table."""
        self._came.clear()


def filled(arrays: "Mapping[str, pa.ChunkedArray]", count: int, asked: Asked) -> "dict[str, pa.ChunkedArray | pa.Array]":
    """The columns that are asked for. One that a file lacks is nothing in its rows, or is left out where the table has a default for it."""
    import pyarrow as pa

    lacking = {name: ours for name, ours in asked.columns.items() if name not in arrays}
    nothing = {
        name: pa.nulls(count) for name, ours in lacking.items() if not count or not (ours.required and (ours.default or ours.serial))
    }
    return {name: one for name, one in arrays.items() if name in asked.columns} | nothing
