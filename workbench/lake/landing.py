"""One flat file becomes checked Parquet and a landing record.

The vendor's rows come contiguous per ticker and in time order, so the fast way is one streaming pass with the declared types, and
checks that cost little: what the footers' statistics answer, and a comparison of neighbours. Only a file that fails one of them
takes the slow way (`faults`), which tells faulty rows from good ones.
"""

import hashlib
import uuid
from collections import Counter
from dataclasses import dataclass, field, replace
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING

from workbench import __version__
from workbench.errors import EmptyFile, LandingError, TooManyFaults
from workbench.lake import checks, faults, quarantine
from workbench.lake.disk import disk, full_disk, place, scratch, sync
from workbench.lake.footers import Footer
from workbench.lake.landings import Landed, Landing, NewFile
from workbench.lake.routing import bucket_of
from workbench.lake.store import NO_BUCKET, LakeTable, utc_now
from workbench.lake.types import polars_type
from workbench.sources import FlatFile
from workbench.tables import Feed, Table
from workbench.tables.spec import midnight_ns
from workbench.tables.stocks import SHARES
from workbench.tables.test_tickers import test_tickers

if TYPE_CHECKING:
    import polars as pl

TICK_ROW_GROUP = 65_536
FAULTY_SHARE, FAULTY_ROWS = 0.01, 10
SAMPLE_ROWS = 50_000
SORTED = "sorted: rows were not in order of ticker and time"
ROUND_SHARE = 0.99


@dataclass(frozen=True)
class Job:
    """A fetched flat file to land: where its bytes are, and what the lake held of it when the plan was made.

    A file that is `lent` is somebody else's, and stays. The rest stands in the landing record: see `Landing`.
    """

    path: Path
    file: FlatFile
    source: str
    root: Path
    bounds: tuple[str, ...] | None = None
    held: Landing | None = None
    mends: bool = False
    lent: bool = True
    run: str = ""
    began: str = ""
    fallback_from: str = ""
    asked: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()

    def drop(self) -> None:
        """Remove the fetched file, unless it is lent."""
        if not self.lent:
            self.path.unlink(missing_ok=True)

    @property
    def seen(self) -> int:
        """The object's version that the lake held; 0 if none."""
        return self.held.version if self.held else 0


@dataclass
class Draft:
    """What has been found out about a file so far, and the Parquet files written of it."""

    job: Job
    table: Table
    feed: Feed
    day: date
    header: tuple[str, ...]
    folder: Path
    size_unit: str = ""
    restamp: bool = False
    parts: dict[Path, Footer] = field(default_factory=dict)
    orders: dict[Path, faults.Order] = field(default_factory=dict)
    refused: list["pl.DataFrame"] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


def land_or_refuse(job: Job) -> Landed | quarantine.Refusal:
    """Land a file, or keep it in quarantine with the reason; the lake is unchanged either way until the commit."""
    table, _, day = job.file.place
    try:
        return land(job)
    except LandingError as fault:
        of = {"key": job.file.key, "etag": job.file.etag, "size": job.file.size, "source": job.source}
        return quarantine.refuse_file(job.root, job.path, fault, **of, table=table.name, session=day, library=__version__, at=utc_now())


def land(job: Job) -> Landed:
    """Write a flat file as checked Parquet in its place, ready to commit.

    Raises a `LandingError` if the file breaks a promise of its table, and `LakeError` if the disk is full; nothing is left behind
    then. Faulty rows go to quarantine. The same bytes as the lake holds give a record that only adds the ETag.
    """
    table, feed, day = job.file.place
    digest = sha256(job.path)
    if job.held and job.held.sha256 == digest and not job.mends:
        alias = replace(job.held, etag=job.file.etag, aliases=(*job.held.aliases, job.held.etag))
        return Landed(alias, (), job.seen)
    header = checks.read_header(job.path, table, job.file.key)
    with disk(job.root, f"{job.file.key} was not landed"), scratch(job.root) as folder:
        draft = Draft(job, table, feed, day, header, folder)
        draft.size_unit = size_unit(draft) if table.size_unit else ""
        write_checked(draft)
        draft.notes += checks.check_errata(draft.parts.values(), table, day, job.file.key)
        for part in list(draft.parts):
            settle(draft, part)
        refused = keep_refused(draft)
        home = LakeTable(job.root, table)
        # Files without a log beside them look like a table that lost its own.
        if not home.exists:
            home.create()
        files = [move(draft, part, footer) for part, footer in sorted(draft.parts.items()) if footer.rows]
    rows = sum(file.rows for file in files)
    landing = Landing(
        key=job.file.key,
        etag=job.file.etag,
        size=job.file.size,
        sha256=digest,
        table=table.name,
        session=day,
        source=job.source,
        version=job.seen + 1,
        rows_in=rows + sum(refused.values()),
        rows=rows,
        quarantined=sum(refused.values()),
        reasons=refused,
        files=tuple(file.path for file in files),
        library=__version__,
        landed_at=utc_now(),
        notes=(*job.notes, *draft.notes),
        run=job.run,
        began=job.began,
        fallback_from=job.fallback_from,
        asked=job.asked,
    )
    return Landed(landing, tuple(files), job.seen, job.bounds, job.mends)


# ---------------------------------------------------------------------- reading


def sha256(path: Path) -> str:
    """The file's sha256."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def scan(draft: Draft) -> "pl.LazyFrame":
    """The file's rows with the declared types; nothing is read yet."""
    import polars as pl

    by_header = {c.header: c for c in draft.table.vendor}
    schema = {name: polars_type(by_header[name]) for name in draft.header}
    return pl.scan_csv(draft.job.path, schema=schema, glob=False)


# ---------------------------------------------------------------------- writing


def write_checked(draft: Draft) -> None:
    """Write the file's good rows. The fast way first; what it cannot vouch for goes the slow way, row by row."""
    import polars as pl

    rows = scan(draft)
    try:
        write(draft, rows)
    except (pl.exceptions.PolarsError, OSError) as fault:
        if full_disk(fault):
            raise
        checks.check_gzip(draft.job.path, draft.job.file.key)
        separate(draft)
    else:
        check_session(draft, rows)
        if checks.suspects(draft.parts.values(), draft.table) or any(order(draft, part).odd for part in draft.parts):
            separate(draft)
    if not any(footer.rows for footer in draft.parts.values()) and not draft.refused:
        raise EmptyFile(f"{draft.job.file.key} has a header and no rows; it was not landed. Wait for the vendor to publish it again.")


def write(draft: Draft, rows: "pl.LazyFrame") -> None:
    """Stream rows into Parquet: one file, or one for each ticker range that has rows."""
    import polars as pl

    # A write that failed midway leaves pieces that a second one may not overwrite.
    for part in draft.folder.rglob("*.parquet"):
        part.unlink()
    rows = with_base_columns(draft, rows)
    if draft.table.routed:
        rows = rows.with_columns(bucket_of(draft.job.bounds or ()))
        ways = pl.PartitionBy(draft.folder, key="bucket", include_key=False, approximate_bytes_per_file=None)
        rows.sink_parquet(ways, compression="zstd", row_group_size=TICK_ROW_GROUP, maintain_order=True, mkdir=True)
    else:
        rows.sink_parquet(draft.folder / "all.parquet", compression="zstd", maintain_order=True)
    draft.parts = {part: Footer.read(part) for part in draft.folder.rglob("*.parquet")}
    draft.orders = {}


def with_base_columns(draft: Draft, rows: "pl.LazyFrame") -> "pl.LazyFrame":
    """The table's columns, in order, from the vendor's."""
    import polars as pl

    table, day = draft.table, draft.day
    present = {c.header: c.name for c in table.vendor if c.header in draft.header}
    rows = rows.rename({header: name for header, name in present.items() if header != name})
    absent = [pl.lit(None, polars_type(c)).alias(c.name) for c in table.vendor if c.header not in draft.header]
    stamp = pl.lit(midnight_ns(day, table.zone)).alias(table.time) if draft.restamp else pl.col(table.time)
    base = {
        "date": pl.lit(day),
        "timestamp": (stamp // 1000).cast(pl.Datetime("us", "UTC")),
        "source": pl.lit(draft.job.source),
        "is_test": pl.col("ticker").is_in(sorted(test_tickers(day))),
        "size_unit": pl.lit(draft.size_unit),
        "venue": pl.lit(draft.feed.venue),
    }
    # A NaN is text where a number belongs. As a null it is counted in the footer, which NaN is not.
    numbers = [pl.col(c.name).fill_nan(None) for c in table.vendor if c.type == "DOUBLE" and c.header in draft.header]
    rows = rows.with_columns(*numbers, *absent, stamp)
    wanted = [base[c.name].alias(c.name) if c.name in base and c not in table.vendor else pl.col(c.name) for c in table.columns]
    return rows.select(wanted)


# ---------------------------------------------------------------------- mending


def check_session(draft: Draft, rows: "pl.LazyFrame") -> None:
    """Raise `WrongSession` unless every stamp is the session's own; write the rows anew if the errata know how to mend them."""
    erratum = checks.check_session(draft.parts.values(), draft.table, draft.day, draft.job.file.key)
    if erratum:
        draft.restamp = True
        draft.notes.append(f"restamped from {erratum.wrong}: {erratum.symptom} ({erratum.source})")
        write(draft, rows)


def separate(draft: Draft) -> None:
    """The slow way: write the good rows, and set the faulty ones apart with their reasons."""
    rows, refused = faults.separate(scan_text(draft), draft.table, draft.header, draft.job.file.key)
    draft.refused = [refused] if len(refused) else []
    write(draft, rows)
    check_session(draft, rows)


def scan_text(draft: Draft) -> "pl.LazyFrame":
    """The file's rows as text, with whatever a row has too much in a last column."""
    import polars as pl

    schema = dict.fromkeys((*draft.header, faults.EXTRA), pl.String())
    # The header is skipped as a line, for it does not name the last column.
    as_told = {"has_header": False, "skip_lines": 1, "missing_columns": "insert", "truncate_ragged_lines": True}
    return pl.scan_csv(draft.job.path, schema=schema, glob=False, **as_told)  # type: ignore[arg-type]


def order(draft: Draft, part: Path) -> faults.Order:
    """What a comparison of neighbours tells of a part; compared once."""
    if part not in draft.orders:
        draft.orders[part] = faults.order(part, draft.table)
    return draft.orders[part]


def settle(draft: Draft, part: Path) -> None:
    """Sort a part that is out of order, and set rows apart that share a key."""
    table = draft.table
    state = order(draft, part)
    if state.whole:
        return
    rows, refused = faults.settled(part, table, sort=not state.sorted)
    if not state.sorted and SORTED not in draft.notes:
        draft.notes.append(SORTED)
    rows.write_parquet(part, compression="zstd", row_group_size=TICK_ROW_GROUP if table.routed else None)
    draft.parts[part] = Footer.read(part)
    if len(refused):
        draft.refused.append(refused)


def size_unit(draft: Draft) -> str:
    """What quote sizes count in this file, lots or shares: by its date, unless the sizes themselves say otherwise.

    Files published again may hold shares for dates on which the feed carried lots: then nearly all sizes are multiples of 100.
    """
    import polars as pl

    if draft.day >= SHARES.since:
        return "shares"
    try:
        sizes = scan(draft).head(SAMPLE_ROWS).select("bid_size", "ask_size").unpivot().select("value").collect()["value"]
    except (pl.exceptions.PolarsError, OSError):
        return "lots"
    sizes = sizes.filter(sizes > 0)
    if len(sizes) and (sizes % 100 == 0).mean() >= ROUND_SHARE:  # type: ignore[operator]
        draft.notes.append("sizes taken as shares: nearly all are multiples of 100")
        return "shares"
    return "lots"


# ---------------------------------------------------------------------- finishing


def keep_refused(draft: Draft) -> dict[str, int]:
    """Write refused rows to quarantine and count them by reason. Raises `TooManyFaults` if the file cannot be trusted."""
    import polars as pl

    if not draft.refused:
        return {}
    refused = pl.concat(draft.refused, how="diagonal")
    stem = quarantine.place(draft.job.root, draft.job.file.key, draft.job.file.etag)
    stem.parent.mkdir(parents=True, exist_ok=True)
    kept = stem.with_name(f"{stem.name}.rows.parquet")
    made = draft.folder / "refused"
    refused.write_parquet(made, compression="zstd")
    place(made, kept)
    reasons = Counter(refused["reason"].to_list())
    landed = sum(footer.rows for footer in draft.parts.values())
    faulty = sum(n for reason, n in reasons.items() if reason not in faults.HARMLESS)
    # Of a file without a single good row nothing would land; as one that landed it would hide that its session is missing.
    if (faulty and not landed) or (faulty > FAULTY_ROWS and faulty > FAULTY_SHARE * (landed + len(refused))):
        worst = ", ".join(f"{n} {reason}" for reason, n in reasons.most_common(4))
        raise TooManyFaults(
            f"{draft.job.file.key} has {faulty:,} faulty rows of {landed + len(refused):,} ({worst}); nothing was landed and the "
            f"file is in quarantine, with its faulty rows in {kept.name}. If the vendor replaces the file, the next refresh lands it."
        )
    quarantine.write(
        stem,
        quarantine.Refusal(
            key=draft.job.file.key,
            etag=draft.job.file.etag,
            size=draft.job.file.size,
            source=draft.job.source,
            table=draft.table.name,
            session=draft.day,
            kind="rows",
            reason=", ".join(f"{n} {reason}" for reason, n in reasons.most_common()),
            rows=len(refused),
            library=__version__,
            at=utc_now(),
            path=kept,
        ),
    )
    return dict(reasons)


def move(draft: Draft, part: Path, footer: Footer) -> NewFile:
    """Put a finished part in its place under the table's folder."""
    table, chunk = draft.table, draft.table.chunk_of(draft.day)
    bucket = f"{int(part.parent.name.removeprefix('bucket=')):02}" if table.routed else None
    venue = f"{draft.feed.venue.lower()}-" * bool(draft.feed.venue)
    path = f"chunk={chunk}/bucket={bucket or NO_BUCKET}/{venue}{draft.day}-{uuid.uuid4().hex[:8]}.parquet"
    target = draft.job.root / "lake" / "main" / table.name / path
    sync(part)
    size = part.stat().st_size
    place(part, target)
    return NewFile(path, size, footer.rows, chunk, bucket, footer.stats(table), footer.schema)
