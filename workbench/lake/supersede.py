"""Several sources of one session: the better one's rows take the place of the weaker ones', in the commit that lands them.

At most one row a key is live: the flat file's, else the API's, else Yahoo's, else whose of equals came last. Pairs that differ are written
to `disagreements` first; keys that the better source lacks stay, under the name of the source that gave them.
"""

import hashlib
import uuid
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from workbench import __version__
from workbench.lake import cold, tiering
from workbench.lake.disk import disk, place, scratch, sync
from workbench.lake.footers import Footer
from workbench.lake.landing import TICK_ROW_GROUP
from workbench.lake.landings import Landed, Landing, NewFile, Retired, beside, venue_of
from workbench.lake.routing import bucket_of
from workbench.lake.snapshots import Snapshot
from workbench.lake.store import NO_BUCKET, Lake, LakeTable, by_session, utc_now
from workbench.tables import DISAGREEMENTS, Table, locate
from workbench.tables.answers import KEPT, RANK

if TYPE_CHECKING:
    import polars as pl

# Values that differ by less are the same number, written by two programs: Yahoo's prices have 24 bits.
ROUNDING = 1e-6
# What stands in no table.
MOVED = frozenset({("", -1)})
COMPARED = (
    "open",
    "high",
    "low",
    "close",
    "volume",
    "transactions",
    "price",
    "size",
    "bid_price",
    "ask_price",
    "bid_size",
    "ask_size",
    "value",
)


def settle(lake: Lake, table: LakeTable, landed: Sequence[Landed]) -> list[Landed]:
    """Landed files, ready to be committed beside what other sources landed of their sessions, which may have to give way.

    Of one session, only one of them: the next is settled when this one is committed. Records where the sources differ.
    """
    shot = table.snapshot()
    known = table.landings(shot.version)
    there = by_session(landed, known)
    others = [beside(one.landing, there[one.landing.session]) for one in landed]
    if not any(others):
        return list(landed)
    found: list[pl.DataFrame] = []
    with disk(lake.root, f"{table.table.name} was not landed"):
        settled = [
            settled_one(Settling(table, shot, known, one, its), found) if its else one for one, its in zip(landed, others, strict=True)
        ]
    record(lake, table.table, found)
    return settled


def settled_one(settling: "Settling", found: "list[pl.DataFrame]") -> Landed:
    """A landed file, ready to be committed; one that the commit finds overtaken if what it was compared with is gone meanwhile."""
    try:
        return settling.settle(found)
    except Exception:
        # Of whatever kind: engines tell of a file that is gone each in their own way. What is a fault of ours is raised as it came.
        if settling.table.snapshot().version == settling.shot.version:
            raise
        # Replaced, and vacuumed, while it was read.
        return replace(settling.one, beside=MOVED)


class Settling:
    """One landed file beside the `others` of its session."""

    def __init__(self, table: LakeTable, shot: Snapshot, known: Mapping[str, Landing], one: Landed, others: Sequence[Landing]):
        self.table, self.shot, self.known, self.one = table, shot, known, one
        rank = RANK[one.landing.source]
        self.better = [other for other in others if RANK[other.source] > rank]
        self.weaker = [other for other in others if RANK[other.source] <= rank]

    def settle(self, found: "list[pl.DataFrame]") -> Landed:
        """The file without rows that a better source has, and what is to become of weaker ones; adds to `found` where they differ."""
        import polars as pl

        one, spec = self.one, self.table.table
        seen = frozenset((other.key, other.version) for other in (*self.better, *self.weaker))
        if not one.files:
            # The bytes that are here already, under another name: no row moves.
            return replace(one, beside=seen)
        mine = cold.scan(self.table.all_here(file.path for file in one.files), (), spec)
        if self.better:
            # Of a whole market's ticks only the tickers that came from elsewhere matter.
            held = self.rows(self.better, mine.select("ticker").unique().collect()["ticker"]).collect()
            found.append(differences(held.lazy(), mine.filter(pl.col("ticker").is_in(held["ticker"].unique().implode())).collect(), spec))
            left = lacking(mine, held, spec).collect()
            if len(left) < one.landing.rows:
                one = self.narrowed(left)
                mine = left.lazy()
        kept: list[Landed] = []
        if self.weaker:
            held = self.rows(self.weaker).collect()
            found.append(differences(mine, held.filter(pl.col("source") != one.landing.source), spec))
            stays = lacking(held.lazy(), mine, spec).collect()
            # A source that was asked again means what it says now of these tickers.
            stays = stays.filter((pl.col("source") != one.landing.source) | ~pl.col("ticker").is_in(list(one.landing.asked)))
            kept = [self.staying(str(source[0]), rows) for source, rows in stays.group_by("source", maintain_order=True)]
        displaced = tuple(Retired(o.key, o.version, o.session, venue_of(o), o.held, "superseded") for o in self.weaker)
        return replace(one, beside=seen, displaced=displaced, kept=tuple(kept))

    def rows(self, landings: Sequence[Landing], tickers: "pl.Series | None" = None) -> "pl.LazyFrame":
        """The rows that other landings hold now, in files of their own or in cold ones."""
        import polars as pl

        live = self.shot.by_path
        own = {path for landing in landings for path in landing.files if path in live}
        chunks = {chunk for landing in landings if (chunk := tiering.cold_chunk(self.table, landing, self.shot))}
        shared = [file.path for file in self.shot.files if file.chunk in chunks and file.bucket is not None] if chunks else []
        rows = cold.scan(self.table.all_here([*sorted(own), *shared]), (), self.table.table)
        venue = venue_of(self.one.landing)
        rows = rows.filter(
            pl.col("date") == self.one.landing.session, pl.col("source").is_in(sorted({landing.source for landing in landings}))
        )
        rows = rows.filter(pl.col("venue") == venue) if venue else rows
        return rows if tickers is None else rows.filter(pl.col("ticker").is_in(tickers.implode()))

    def narrowed(self, rows: "pl.DataFrame") -> Landed:
        """The landed file with these rows only; the others are counted as superseded."""
        one = self.one
        files = written(self.table, rows, one.landing, one.bounds)
        self.table.discard(one.files)
        landing = replace(
            one.landing,
            files=tuple(f.path for f in files),
            rows=len(rows),
            superseded=one.landing.superseded + one.landing.rows - len(rows),
        )
        return replace(one, files=files, landing=landing)

    def staying(self, source: str, rows: "pl.DataFrame") -> Landed:
        """Rows of a weaker source that the file lacks, as a landing of their own."""
        given = [other for other in self.weaker if other.source == source]
        place, one = locate(self.one.landing.key), self.one.landing
        assert place
        key = f"{KEPT}{source}:{place[0].key_of(place[1], one.session)}"
        told = hashlib.sha256("\n".join([*sorted(other.sha256 for other in given), one.sha256]).encode()).hexdigest()
        seen = self.known[key].version if key in self.known else 0
        asked = tuple(sorted({ticker for other in given for ticker in other.asked}))
        landing = Landing(
            key=key,
            etag=told,
            size=sum(other.size for other in given),
            sha256=told,
            table=one.table,
            session=one.session,
            source=source,
            version=seen + 1,
            rows_in=len(rows),
            rows=len(rows),
            quarantined=0,
            reasons={},
            files=(),
            library=__version__,
            landed_at=utc_now(),
            notes=(f"{source}'s rows that {'another answer of it' if source == one.source else one.source} lacks",),
            run=one.run,
            asked=asked,
        )
        files = written(self.table, rows, landing, self.table.snapshot().bounds)
        return Landed(replace(landing, files=tuple(file.path for file in files)), files, seen, self.table.snapshot().bounds)


def lacking(rows: "pl.LazyFrame", others: "pl.LazyFrame | pl.DataFrame", table: Table) -> "pl.LazyFrame":
    """The rows whose keys others lack; of tables without a key, whose tickers."""
    names = list(table.key or ("ticker",))
    return rows.join(others.lazy().select(names).unique(), on=names, how="anti", maintain_order="left")


def differences(rows: "pl.LazyFrame", others: "pl.DataFrame", table: Table) -> "pl.DataFrame":
    """Where two sources have another number for the same key: a row for each such column. `rows` are those that the table follows."""
    import polars as pl

    names = [c.name for c in table.vendor if c.name in COMPARED]
    if not table.key or not len(others):
        return pl.DataFrame()
    some = rows.filter(pl.col("ticker").is_in(others["ticker"].unique().implode()))
    pairs = some.join(others.lazy().select(*table.key, "source", *names), on=list(table.key), suffix="_other").collect()
    found = []
    for name in names:
        value, other = pl.col(name).cast(pl.Float64), pl.col(f"{name}_other").cast(pl.Float64)
        size = pl.max_horizontal(value.abs(), other.abs())
        relative = pl.when(size > 0).then((value - other).abs() / size).otherwise(0.0)
        told = {
            "base_table": pl.lit(table.name),
            "ticker": pl.col("ticker"),
            "timestamp": pl.col("timestamp"),
            "time_ns": pl.col(table.time),
            "sequence_number": pl.col("sequence_number") if "sequence_number" in table.key else pl.lit(None, pl.Int64),
            "column": pl.lit(name),
            "value": value,
            "source": pl.col("source"),
            "other_value": other,
            "other_source": pl.col("source_other"),
            "difference": relative,
            "date": pl.col("date"),
        }
        found.append(pairs.select(**told).filter(pl.col("difference") > ROUNDING))
    return pl.concat(found)


def record(lake: Lake, table: Table, found: "Iterable[pl.DataFrame]") -> None:
    """Add differences to `disagreements`; the same ones once, in whatever company they are found again after a crash, or by another answer."""
    import polars as pl

    found = [one for one in found if len(one)]
    if not found:
        return
    home = lake[DISAGREEMENTS.name]
    home.create()
    rows = pl.concat(found).unique().sort("date", "ticker", "time_ns", "column")
    rows = rows.join(told_of(home, rows), on=rows.columns, how="anti", nulls_equal=True, maintain_order="left")
    known = home.landings()
    landed = []
    with disk(lake.root, f"{table.name} was not landed"):
        for _, part in rows.group_by(pl.col("date").dt.strftime("%Y-%m"), maintain_order=True):
            landing = noted(table, part)
            held = known.get(landing.key)
            # Once there and no longer: the table was reset since.
            if held is None or not held.held:
                at = pl.lit(landing.landed_at).str.to_datetime("%+", time_unit="us", time_zone="UTC").alias("found_at")
                files = written(home, part.with_columns(at).select([c.name for c in DISAGREEMENTS.columns]), landing, None)
                seen = held.version if held else 0
                landed.append(Landed(replace(landing, version=seen + 1, files=tuple(file.path for file in files)), files, seen))
    if landed:
        home.commit(landed)


def told_of(home: LakeTable, rows: "pl.DataFrame") -> "pl.DataFrame":
    """The differences of the rows' sessions that are recorded already."""
    import polars as pl

    days = rows["date"].unique()
    chunks = {DISAGREEMENTS.chunk_of(day) for day in days}
    files = home.all_here(file.path for file in home.snapshot().files if file.chunk in chunks)
    if not files:
        return rows.clear()
    held = pl.scan_parquet(files, glob=False, hive_partitioning=False).select(rows.columns)
    return held.filter(pl.col("date").is_in(days.implode())).collect()


def noted(table: Table, rows: "pl.DataFrame") -> Landing:
    """The record of a month's differences, named by what they are."""
    told = hashlib.sha256(rows.write_csv().encode()).hexdigest()
    first = rows["date"].min()
    return Landing(
        key=f"{DISAGREEMENTS.name}:{table.name}:{told[:16]}",
        etag=told,
        size=0,
        sha256=told,
        table=DISAGREEMENTS.name,
        session=first,  # type: ignore[arg-type]
        source="workbench",
        version=1,
        rows_in=len(rows),
        rows=len(rows),
        quarantined=0,
        reasons={},
        files=(),
        library=__version__,
        landed_at=utc_now(),
    )


def written(table: LakeTable, rows: "pl.DataFrame", landing: Landing, bounds: Sequence[str] | None) -> tuple[NewFile, ...]:
    """Rows as Parquet files in their places, not committed: one, or one for each ticker range."""
    if not len(rows):
        return ()
    spec, chunk = table.table, table.table.chunk_of(landing.session)
    made = []
    # By ticker and time, as a flat file's rows are.
    rows = rows.sort([name for name in ("ticker", spec.time) if name], maintain_order=True)
    if spec.routed:
        parts = {f"{int(key[0]):02}": part.drop("bucket") for key, part in rows.with_columns(bucket_of(bounds or ())).group_by("bucket")}
    else:
        parts = {"": rows}
    with scratch(table.root) as folder:
        for bucket, part in sorted(parts.items()):
            draft = folder / f"{bucket or 'all'}.parquet"
            part.write_parquet(draft, compression="zstd", row_group_size=TICK_ROW_GROUP if spec.routed else None)
            footer = Footer.read(draft)
            path = Path(f"chunk={chunk}") / f"bucket={bucket or NO_BUCKET}" / f"{landing.session}-{uuid.uuid4().hex[:8]}.parquet"
            sync(draft)
            size = draft.stat().st_size
            place(draft, table.folder / path)
            made.append(NewFile(path.as_posix(), size, footer.rows, chunk, bucket or None, footer.stats(spec), footer.schema))
    return tuple(made)
