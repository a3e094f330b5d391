"""Reference data into the lake: rows that a source told, checked, laid over those held, and committed as whole files.

A table of reference data is one file, or one for each month of news. An update writes the piece anew, moves it into its place and commits
it in the old one's, so that a reader sees the one or the other; killed between, it leaves a file that no commit knows, which vacuum removes. The
landing record of a piece is that of the object `reference:<table>`, of which each update lands the next version: of two updates at once one is
first, and the other merges once more over what that has made. Rows that say nothing new are not committed.
"""

import json
import uuid
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any
from zoneinfo import ZoneInfo

from workbench import __version__
from workbench.errors import Busy, LakeError, UsageError
from workbench.lake import quarantine
from workbench.lake.delta import pause
from workbench.lake.disk import disk, place, scratch, sync
from workbench.lake.footers import Footer
from workbench.lake.landing import sha256
from workbench.lake.landings import Landed, Landing, NewFile
from workbench.lake.quarantine import Refusal
from workbench.lake.reference_merge import Merged, frame, merge
from workbench.lake.reference_rows import check
from workbench.lake.remote.where import readable
from workbench.lake.store import NO_BUCKET, Lake, LakeTable
from workbench.lake.types import polars_type
from workbench.sources.reference import Gathered, Refused
from workbench.tables import Table, find
from workbench.tables.spec import NEW_YORK

if TYPE_CHECKING:
    import polars as pl

ATTEMPTS = 40
WHOLE = "all"
# Tables that are kept in a file for each month of an instant, in UTC.
MONTHLY = {"news_items": "published_at"}
ROW_GROUP = 65_536

Change = Callable[["pl.DataFrame", str], Merged]


@dataclass
class Updated:
    """What an update did. Rows that came in = new + changed + same + repeated + weaker + quarantined.

    `weaker` rows were left out because a better source tells of the same event; `replaced` held rows went for the same reason.
    `disappeared` counts the rows of a whole listing that it no longer has; they stay. `committed` says whether the lake has changed.
    """

    table: str
    key: str = ""
    source: str = ""
    rows_in: int = 0
    rows_new: int = 0
    rows_changed: int = 0
    rows_same: int = 0
    rows_total: int = 0
    repeated: int = 0
    weaker: int = 0
    replaced: int = 0
    disappeared: int = 0
    quarantined: int = 0
    reasons: dict[str, int] = field(default_factory=dict)
    committed: bool = False
    bytes: int = 0
    notes: tuple[str, ...] = ()


def update(lake: Lake, gathered: Gathered, source: str, *, now: datetime | None = None, run: str = "", began: str = "") -> Updated:
    """Take in what a source told of a dataset; gives what became of every row.

    Rows that break a promise of their table go to quarantine with the reason. Splits are looked at before they are committed. Raises `UsageError` for a
    table that is not reference data, `LakeError` if the disk is full or a file is gone, and `Busy` if others won every attempt; the lake
    is unchanged then.
    """
    now = now or datetime.now(UTC)
    table = find(gathered.dataset)
    if table.kind != "reference":
        raise UsageError(f"{table.name} is filled by flat files, not by reference sources; nothing was written.")
    lake.make()
    checked = check(table, gathered.rows)
    refused = [*gathered.refused, *checked.refused]
    done = Updated(table.name, gathered.key, source, len(gathered.rows) + len(gathered.refused), repeated=checked.repeated)
    done.quarantined, done.reasons = len(refused), dict(Counter(one.reason for one in refused))
    done.notes = (*gathered.notes, *undeclared(table, checked.undeclared))
    told, today = frame(table, checked.rows), now.astimezone(ZoneInfo(NEW_YORK)).date()

    def change(held: "pl.DataFrame", chunk: str) -> Merged:
        merged = merge(table, held, of_chunk(table, told, chunk), source, now, today, whole=gathered.whole and chunk == WHOLE)
        if table.name == "splits" and merged.moved:
            from workbench.lake.reference_splits import judged

            # In the same commit: nobody reads, and no crash leaves, splits that would be multiplied twice.
            return replace(merged, rows=judged(lake, merged.rows))
        return merged

    record = {"source": source, "run": run, "began": began, "quarantined": done.quarantined, "reasons": done.reasons, "notes": done.notes}
    # Before the commit, which counts them.
    keep_refused(lake.root, table, gathered, source, refused, now)
    if len(told) or gathered.whole:
        merged = rewrite(lake[table.name], chunks(table, told), change, now, record, done)
        done.rows_new, done.rows_changed, done.rows_same = (
            sum(getattr(one, what) for one in merged) for what in ("new", "changed", "same")
        )
        done.weaker, done.replaced, done.disappeared = (
            sum(getattr(one, what) for one in merged) for what in ("weaker", "replaced", "disappeared")
        )
    done.rows_total = lake[table.name].snapshot().rows
    return done


def undeclared(table: Table, names: set[str]) -> tuple[str, ...]:
    """A note about columns that a source told and the table lacks."""
    return (f"{', '.join(sorted(names))}: not declared in {table.name}, left out",) if names else ()


# ---------------------------------------------------------------------- pieces


def chunks(table: Table, rows: "pl.DataFrame") -> list[str]:
    """The pieces that rows belong to, oldest first."""
    if table.name not in MONTHLY:
        return [WHOLE]
    return sorted(rows[MONTHLY[table.name]].dt.strftime("%Y-%m").unique().to_list())


def of_chunk(table: Table, rows: "pl.DataFrame", chunk: str) -> "pl.DataFrame":
    """The rows of one piece."""
    return rows if chunk == WHOLE else rows.filter(rows[MONTHLY[table.name]].dt.strftime("%Y-%m") == chunk)


def key_of(table: Table, chunk: str = WHOLE) -> str:
    """The name under which a piece's versions are counted."""
    return f"reference:{table.name}" + f"/{chunk}" * (chunk != WHOLE)


def held_rows(home: LakeTable, landing: Landing | None) -> "pl.DataFrame":
    """The rows of a piece as it was landed; none if it never was. Raises `LakeError` if they cannot be read."""
    import polars as pl

    schema = {c.name: polars_type(c) for c in home.table.columns}
    if landing is None or not landing.files:
        return pl.DataFrame(schema=schema)
    try:
        paths = home.all_here(landing.files)
        # Files of before a column was declared lack it.
        parts = [pl.DataFrame(schema=schema), *(pl.read_parquet(path, glob=False, hive_partitioning=False) for path in paths)]
        return pl.concat(parts, how="diagonal_relaxed").select(list(schema)).cast(schema)  # type: ignore[arg-type]
    except (OSError, pl.exceptions.PolarsError) as fault:
        raise LakeError(
            f"a file of {home.table.name} cannot be read ({str(fault).splitlines()[0]}); nothing was updated and the lake is unchanged. Bring it "
            f"back from a backup, or remove {readable(home.folder)} and refresh {home.table.name}: what the sources still tell comes again."
        ) from fault


def rows_of(lake: Lake, name: str) -> "pl.DataFrame":
    """All rows of a table of reference data. Raises `LakeError` if they cannot be read."""
    import polars as pl

    home = lake[name]
    pieces = [held_rows(home, landing) for landing in home.landings().values() if landing.held]
    return pl.concat(pieces) if pieces else held_rows(home, None)


# ---------------------------------------------------------------------- writing


def rewrite(
    home: LakeTable, pieces: Sequence[str], change: Change, now: datetime, record: Mapping[str, Any], done: Updated
) -> list[Merged]:
    """Change pieces of a table and commit them together; what others commit meanwhile is changed instead, until this one is first."""
    table = home.table
    for attempt in range(ATTEMPTS):
        known = home.landings()
        merged: list[Merged] = []
        landed: list[Landed] = []
        with disk(home.root, f"{table.name} was not updated"), scratch(home.root) as folder:
            for chunk in pieces:
                held = known.get(key_of(table, chunk))
                one = change(held_rows(home, held), chunk)
                merged.append(one)
                if one.moved:
                    landed.append(draft(home, one.rows, chunk, held, folder, now, record))
        if not landed:
            return merged
        outcomes = home.commit(landed)
        if all(outcome in ("landed", "replaced", "already landed") for outcome in outcomes):
            done.committed, done.bytes = True, sum(one.landing.size for one in landed)
            return merged
        # Some pieces may have been committed: changing those again changes nothing.
        pause(attempt)
    raise Busy(f"{table.name}: others won {ATTEMPTS} attempts to update it. The lake is unchanged; run the command again.")


def draft(
    home: LakeTable, rows: "pl.DataFrame", chunk: str, held: Landing | None, folder: Path, now: datetime, record: Mapping[str, Any]
) -> Landed:
    """Write a piece and put it in its place, ready to commit."""
    table = home.table
    # Files without a log beside them look like a table that lost its own.
    if not home.exists:
        home.create()
    path = folder / f"{chunk}.parquet"
    rows.write_parquet(path, compression="zstd", row_group_size=ROW_GROUP)
    sync(path)
    footer, size, digest = Footer.read(path), path.stat().st_size, sha256(path)
    target = f"chunk={chunk}/bucket={NO_BUCKET}/{table.name}-{uuid.uuid4().hex[:8]}.parquet"
    place(path, home.folder / target)
    file = NewFile(target, size, footer.rows, chunk, None, footer.stats(table), footer.schema)
    landing = Landing(
        key=key_of(table, chunk),
        etag=digest[:32],
        size=size,
        sha256=digest,
        table=table.name,
        session=now.astimezone(ZoneInfo(NEW_YORK)).date(),
        source=record["source"],
        version=(held.version if held else 0) + 1,
        rows_in=footer.rows + record["quarantined"],
        rows=footer.rows,
        quarantined=record["quarantined"],
        reasons=dict(record["reasons"]),
        files=(target,),
        library=__version__,
        landed_at=now.isoformat(timespec="milliseconds"),
        notes=tuple(record["notes"]),
        run=record["run"],
        began=record["began"],
    )
    return Landed(landing, (file,), held.version if held else 0)


# ---------------------------------------------------------------------- quarantine


def keep_refused(root: Path, table: Table, gathered: Gathered, source: str, refused: Sequence[Refused], now: datetime) -> None:
    """Keep refused records, as JSON with the reason of each, in the place of those that were refused when the same was asked before."""
    import polars as pl

    name = quarantine.safe(f"{source}-{gathered.key}")
    folder = root / "quarantine" / table.name
    today = now.astimezone(ZoneInfo(NEW_YORK)).date()
    before = quarantine.named(root, table.name, name)
    if refused:
        stem = folder / today.isoformat() / name
        stem.parent.mkdir(parents=True, exist_ok=True)
        kept = stem.with_name(f"{name}.rows.parquet")
        made = stem.with_name(f".{uuid.uuid4().hex}.{kept.name}")
        told = [json.dumps(one.record, default=str, ensure_ascii=True) for one in refused]
        pl.DataFrame({"record": told, "reason": [one.reason for one in refused]}).write_parquet(made, compression="zstd")
        place(made, kept)
        reasons = Counter(one.reason for one in refused)
        refusal = Refusal(
            key=gathered.key,
            etag="",
            size=kept.stat().st_size,
            source=source,
            table=table.name,
            session=today,
            kind="rows",
            reason=", ".join(f"{n} {reason}" for reason, n in reasons.most_common(8)),
            rows=len(refused),
            library=__version__,
            at=now.isoformat(timespec="milliseconds"),
            path=kept,
        )
        written = quarantine.write(stem, refusal).path
        before = [path for path in before if path.parent != written.parent]
    quarantine.remove(root, before)
