"""One live file against the log, its footer and, if it is to be read, its rows."""

import json
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import date
from pathlib import Path
from typing import Any, Literal

from workbench.errors import LakeError
from workbench.lake import cold
from workbench.lake.contents import Contents, examine
from workbench.lake.history import Life
from workbench.lake.snapshots import LiveFile
from workbench.lake.store import NO_BUCKET, LakeTable
from workbench.tables import Table
from workbench.tables.spec import span_of


@dataclass(frozen=True)
class Finding:
    """What is wrong (a fault), or could be gone (a note), where, and what mends it."""

    table: str
    kind: str
    severity: Literal["fault", "note"]
    where: str
    what: str
    remedy: str


@dataclass
class Checked:
    """What was found of a file. `contents` is None if it was not, or could not be, read."""

    rows: int = 0
    contents: Contents | None = None
    findings: list[Finding] = field(default_factory=list)


def where_to(table: Table, file: LiveFile) -> str:
    """What lands a file's rows anew: it is removed, and the sessions of its chunk are fetched again."""
    if table.kind == "reference":
        return f"bring it back from a backup, or remove lake/main/{table.name}: `workbench refresh {table.name}` gathers what the sources still tell"
    first, last = (file.first, file.last) if file.bucket is None or table.routed else span_of(file.chunk)
    return (
        f"remove lake/main/{table.name}/{file.path} and `workbench refresh {table.name} --start {first} --end {last}`: "
        "a refresh lands anew what is gone from the disk"
    )


def check(table: LakeTable, file: LiveFile, life: Life | None, bounds: tuple[str, ...] | None, *, deep: bool, hashed: bool) -> Checked:
    """Check one file. What one fault explains is not told again as another."""
    spec = table.table
    done = Checked(file.rows)

    def fault(kind: str, what: str, remedy: str = "") -> None:
        done.findings.append(Finding(spec.name, kind, "fault", file.path, what, remedy or where_to(spec, file)))

    size = table.size(file.path)
    if size is None:
        remedy = f"`workbench refresh {spec.name} --start {file.first} --end {file.last}` lands it anew"
        if spec.kind == "reference":
            remedy = where_to(spec, file)
        elif file.bucket is not None and not spec.routed:
            remedy = where_to(spec, file).split(" and ", 1)[1]
        fault("missing", f"it is gone from the {'bucket' if table.remote else 'disk'}", remedy)
        return done
    if size != file.size:
        fault("size", f"it has {size:,} bytes, and the log says {file.size:,}")
        return done
    try:
        footer = table.footer(file.path, size)
    except (OSError, ValueError, KeyError) as unreadable:
        fault("footer", f"its footer cannot be read ({str(unreadable).splitlines()[0]})")
        return done
    promised = tuple((c.name, c.type) for c in spec.columns)
    lacked = [name for name, _ in promised if name not in footer.spans]
    # Declared since, by a later version of the library: readers have NULL there.
    if footer.schema != tuple(one for one in promised if one[0] not in table.snapshot().widened or one[0] not in lacked):
        odd = sorted({name for name, _ in set(footer.schema) ^ set(promised)}) or "in another order"
        fault("schema", f"it has other columns than {spec.name} declares: {odd}")
        return done
    said, kept = footer.stats(spec), told(life)
    if kept is not None and (odd := differences(kept, said)):
        fault("statistics", f"the log says other things than its footer: {odd}")
    if spec.kind == "reference":
        if not file.path.startswith(f"chunk={file.chunk}/bucket={NO_BUCKET}/"):
            fault("partition", f"the log has it in chunk={file.chunk}")
        if deep:
            with table.afresh(file.path) as path:
                check_facts(spec, path, done, fault)
        return done
    done.findings += places(spec, file, said, bounds)
    if not deep:
        return done
    try:
        with table.afresh(file.path) as path:
            held = examine(path, spec, sorted_tickers=file.bucket is not None and not spec.routed, hashed=hashed)
    except LakeError as unreadable:
        fault("pages", str(unreadable))
        return done
    done.contents, done.rows = held, held.rows
    if odd := differences(said, held.stats):
        fault("statistics", f"its footer says other things than its rows: {odd}")
    if held.disordered or held.scattered:
        fault("order", f"{held.disordered:,} rows come before the row above them, {held.scattered:,} tickers stand in several places")
    if held.repeated:
        fault("keys", f"{held.repeated:,} rows have the key of another ({', '.join(spec.key)})")
    if held.misdated:
        fault("timestamp", f"in {held.misdated:,} rows timestamp is not that of {spec.time}")
    return done


def check_facts(spec: Table, path: Path, done: Checked, fault: Callable[[str, str], None]) -> None:
    """Read a whole file of reference data: its pages, and that no two rows have one key."""
    import polars as pl

    try:
        rows = pl.read_parquet(path, glob=False, hive_partitioning=False)
    except (pl.exceptions.PolarsError, pl.exceptions.PanicException, OSError) as unreadable:
        fault("pages", f"it cannot be read: {str(unreadable).splitlines()[0] if str(unreadable) else 'its pages are damaged'}")
        return
    done.rows = len(rows)
    if spec.key and (repeated := len(rows) - rows.select(spec.key).n_unique()):
        fault("keys", f"{repeated:,} rows have the key of another ({', '.join(spec.key)})")


def places(spec: Table, file: LiveFile, said: dict[str, Any], bounds: tuple[str, ...] | None) -> list[Finding]:
    """Whether a file stands where its rows, by its footer, belong: its folders, its chunk, its ticker range."""
    found = []
    folders = f"chunk={file.chunk}/bucket={file.bucket or NO_BUCKET}"
    first, last = (date.fromisoformat(said[end]["date"]) for end in ("minValues", "maxValues"))
    if not file.path.startswith(f"{folders}/"):
        found.append(Finding(spec.name, "partition", "fault", file.path, f"the log has it in {folders}", where_to(spec, file)))
    elif any(file.chunk not in {spec.chunk_of(day, period) for period in spec.chunks} for day in (first, last)):
        what = f"its sessions {first} to {last} are not all of {file.chunk}"
        found.append(Finding(spec.name, "partition", "fault", file.path, what, where_to(spec, file)))
    if file.bucket is None or bounds is None:
        return found
    n, least, greatest = int(file.bucket), said["minValues"]["ticker"], said["maxValues"]["ticker"]
    low, high = cold.edges(bounds, n) if n <= len(bounds) else (None, "")
    if out(least, greatest, low, high):
        what = f"its tickers {least} to {greatest} reach out of its range, {low or 'the first'} to before {high or 'the last'}"
        # Ranges were decided anew since: views read such a file without its range, as the log's own statistics tell them to.
        known = out(file.low, file.high, low, high)
        remedy = f"`workbench compact {spec.name}` puts the rows in their ranges"
        found.append(Finding(spec.name, "range", "note" if known else "fault", file.path, what, remedy))
    return found


def out(least: str, greatest: str, low: str | None, high: str | None) -> bool:
    """Whether tickers reach out of a range."""
    return (low is not None and least < low) or (high is not None and greatest >= high)


def told(life: Life | None) -> dict[str, Any] | None:
    """A file's statistics as the log keeps them; None if its commit cannot be read."""
    if life is None or life.stats is None:
        return None
    found: dict[str, Any] = json.loads(life.stats)
    return found


def differences(one: dict[str, Any], other: dict[str, Any]) -> str:
    """What two statistics disagree about, in a few words; empty if they agree."""
    odd = []
    if one["numRecords"] != other["numRecords"]:
        odd.append(f"{one['numRecords']:,} rows, not {other['numRecords']:,}")
    for kind, word in (("minValues", "least"), ("maxValues", "greatest"), ("nullCount", "absent")):
        for name in sorted(one[kind].keys() | other[kind].keys()):
            was, now = one[kind].get(name, 0 if kind == "nullCount" else None), other[kind].get(name, 0 if kind == "nullCount" else None)
            if was != now:
                odd.append(f"{word} {name} {was}, not {now}")
    return "; ".join(odd)
