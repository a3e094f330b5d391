"""The SQL of a table's view over a snapshot: explicit files, named columns, a branch for each ticker range and age."""

from collections.abc import Callable, Iterable, Sequence
from datetime import UTC, date, datetime
from pathlib import Path

from workbench.lake.remote.where import readable
from workbench.lake.snapshots import Snapshot
from workbench.tables import Table, quote
from workbench.tables.spec import period_of

# So many files are read at once; more have a branch for each range, whose bounds let DuckDB skip it.
FLAT = 64


def view(table: Table, snapshot: Snapshot, folder: Path) -> str:
    """The statements that declare a table's view over a snapshot, for any DuckDB."""
    return (
        f"CREATE OR REPLACE VIEW {quote(table.name)} AS {select(table, snapshot, folder)};\n"
        f"COMMENT ON VIEW {quote(table.name)} IS {literal(table.doc)}"
    )


def select(table: Table, snapshot: Snapshot, folder: Path) -> str:
    """A query over a snapshot's files: one branch for each ticker range, so that DuckDB skips those a query cannot want.

    Ranges are half-open, contiguous and open at both ends, in byte order: every possible ticker has exactly one branch. Where there are
    files of several ages, each age has its branches, bounded by the sessions of its files.
    """
    if snapshot.stats is None:
        return table.empty
    widened = snapshot.widened
    held: dict[int, dict[str | None, list[str]]] = {}
    start = readable(folder)
    spans: dict[int, tuple[list[date], list[datetime]]] = {}
    fields = (snapshot.stats[name].to_pylist() for name in ("path", "chunk", "bucket", "first", "last", "since", "until"))
    age = ages(table, snapshot)
    for path, chunk, bucket, first, last, since, until, kept in zip(*fields, ranges(snapshot), strict=True):
        which = age(chunk, bucket)
        held.setdefault(which, {}).setdefault(kept, []).append(literal(f"{start}/{path}"))
        sessions, instants = spans.setdefault(which, ([], []))
        sessions += (first, last)
        instants += (since, until)
    groups = []
    for which, by_range in sorted(held.items()):
        times = between(*spans[which]) if len(held) > 1 else []
        groups += [
            ([*within(snapshot.bounds or (), bucket), *times], ", ".join(paths))
            for bucket, paths in sorted(by_range.items(), key=lambda pair: pair[0] or "")
        ]
    return union(table, groups, widened)


def between(sessions: Sequence[date], instants: Sequence[datetime]) -> list[str]:
    """The conditions that the times of a group's files put on its rows; a file of which the log does not know them could lie anywhere."""
    low = [f"date >= DATE '{min(sessions)}'", f"date <= DATE '{max(sessions)}'"] if None not in sessions else []
    if None in instants:
        return low
    return low + [
        f"timestamp {sign} TIMESTAMPTZ '{one.astimezone(UTC):%Y-%m-%d %H:%M:%S.%f}+00'"
        for sign, one in ((">=", min(instants)), ("<=", max(instants)))
    ]


def few(
    table: Table,
    snapshot: Snapshot,
    files: Sequence[tuple[str | None, str]],
    numbers: Sequence[int],
    tickers: Sequence[tuple[str, int]],
) -> str:
    """A query over some of a snapshot's files, by their numbers; `tickers` pairs the only tickers that matter with theirs."""
    groups: dict[str | None, list[str]] = {}
    if len(numbers) <= FLAT:
        return union(table, [((), ", ".join(files[n][1] for n in numbers))] if numbers else (), snapshot.widened)
    if len({ticker for ticker, _ in tickers}) > 1:
        # DuckDB skips row groups by one ticker, not by several.
        for ticker, n in sorted(tickers):
            groups.setdefault(ticker, []).append(files[n][1])
        return union(
            table, [([f"ticker = {literal(ticker or '')}"], ", ".join(paths)) for ticker, paths in groups.items()], snapshot.widened
        )
    for n in numbers:
        groups.setdefault(files[n][0], []).append(files[n][1])
    return union(table, [(within(snapshot.bounds or (), bucket), ", ".join(paths)) for bucket, paths in groups.items()], snapshot.widened)


def located(snapshot: Snapshot, folder: Path) -> list[tuple[str | None, str]]:
    """Range and path, as a literal, of a snapshot's files."""
    assert snapshot.stats is not None
    start = f"{readable(folder)}/"
    return [(bucket, literal(start + path)) for bucket, path in zip(ranges(snapshot), snapshot.stats["path"].to_pylist(), strict=True)]


def ranges(snapshot: Snapshot) -> list[str | None]:
    """The ticker range of each file; None if its tickers may be any: it is hot, or was cut by bounds that were decided anew since."""
    assert snapshot.stats is not None
    bounds = snapshot.bounds or ()
    edges = {f"{n:02}": (bounds[n - 1] if n else "", bounds[n] if n < len(bounds) else None) for n in range(len(bounds) + 1)}

    def kept(bucket: str | None, low: str | None, high: str | None) -> str | None:
        if bucket is None or low is None or high is None or bucket not in edges:
            return None
        start, end = edges[bucket]
        return bucket if start <= low and (end is None or high < end) else None

    return [kept(*one) for one in zip(*(snapshot.stats[name].to_pylist() for name in ("bucket", "low", "high")), strict=True)]


def ages(table: Table, snapshot: Snapshot) -> Callable[[str, str | None], int]:
    """Tells of what age a file is, by its chunk and range: hot (0), of the newest chunks (1), or older (2).

    The newest chunks are those of the finest period, which later become parts of longer ones, or else the newest one.
    """
    assert snapshot.stats is not None
    cold = {chunk for chunk, bucket in zip(*(snapshot.stats[name].to_pylist() for name in ("chunk", "bucket")), strict=True) if bucket}
    newest = {chunk for chunk in cold if period_of(chunk) == table.chunks[0]} or {max(cold, default="")}
    return lambda chunk, bucket: 0 if bucket is None else 1 if chunk in newest else 2


def union(table: Table, groups: Iterable[tuple[Sequence[str], str]], widened: Sequence[str] = ()) -> str:
    """A query over groups of files, written as a list of literals, with the conditions that all rows of a group meet.

    A file may lack the columns `widened`, which are NULL then: that costs a look at every file's footer before the query runs.
    """
    columns = ", ".join(quote(c.name) for c in table.columns)

    def files(paths: str) -> str:
        if not widened:
            return f"read_parquet([{paths}], hive_partitioning = false)"
        empty = ", ".join(f"NULL::{table[name].type} AS {quote(name)}" for name in widened if name in {c.name for c in table.columns})
        rows = f"FROM read_parquet([{paths}], hive_partitioning = false, union_by_name = true)"
        return f"({rows} UNION ALL BY NAME SELECT {empty} WHERE false)" if empty else f"({rows})"

    branches = [f"SELECT {columns} FROM {files(paths)}{' WHERE ' * bool(tests)}{' AND '.join(tests)}" for tests, paths in groups]
    return "\nUNION ALL ".join(branches) or table.empty


def within(bounds: Sequence[str], bucket: str | None) -> list[str]:
    """The conditions that a ticker range puts on its rows."""
    if bucket is None or not bounds:
        return []
    n = int(bucket)
    low = [f"ticker >= {literal(bounds[n - 1])}"] if n else []
    return low + ([f"ticker < {literal(bounds[n])}"] if n < len(bounds) else [])


def literal(text: str) -> str:
    """A text as SQL writes it."""
    return "'" + text.replace("'", "''") + "'"
