"""Small files of one chunk, landed together: one pass over all of them where each alone would cost more in calls than in work.

Only files without a blemish are landed this way, with the same checks as each alone; one that needs a closer look sends them all there.
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from workbench import __version__
from workbench.errors import LandingError
from workbench.lake import checks, cold, faults
from workbench.lake.landing import Draft, Job, scan, sha256, with_base_columns
from workbench.lake.landings import Landed, Landing
from workbench.lake.store import utc_now
from workbench.tables import Table, errata

if TYPE_CHECKING:
    import polars as pl


def land(jobs: Sequence[Job]) -> "tuple[list[Landed], pl.DataFrame] | None":
    """The files' landing records and all their rows, in order of ticker and time; None if one of them needs a closer look."""
    import polars as pl

    table = jobs[0].file.place[0]
    if any(errata.for_file(table.name, job.file.place[2]) for job in jobs):
        return None
    try:
        frames = [frame(job) for job in jobs]
    except (LandingError, pl.exceptions.PolarsError, OSError):
        return None
    if not all(of_its_session(rows, job) for rows, job in zip(frames, jobs, strict=True)):
        return None
    rows = cold.concat(frames)
    ordered = cold.ordered(rows, table)
    if not faultless(rows, ordered, table):
        return None
    landed = [Landed(record(job, len(one)), (), job.seen, job.bounds) for one, job in zip(frames, jobs, strict=True)]
    return landed, ordered


def frame(job: Job) -> "pl.DataFrame":
    """A file's rows with the table's columns. Raises what its header, its gzip stream or its values do."""
    table, feed, day = job.file.place
    draft = Draft(job, table, feed, day, checks.read_header(job.path, table, job.file.key), job.root)
    return with_base_columns(draft, scan(draft)).collect()


def of_its_session(rows: "pl.DataFrame", job: Job) -> bool:
    """Whether a file has rows, and all of them are stamped on its session."""
    table, _, day = job.file.place
    if not len(rows) or (table.same_day and not (rows[table.same_day] == day).all()):
        return False
    times, (first, end) = rows[table.time], table.session_ns(day)
    low, high = times.min(), times.max()
    return isinstance(low, int) and isinstance(high, int) and first <= low and high < end


def faultless(rows: "pl.DataFrame", ordered: "pl.DataFrame", table: Table) -> bool:
    """Whether no value is missing or out of its range, no text is odd, a session's tickers stand together, and no key repeats."""
    import polars as pl

    nulls = rows.null_count().row(0, named=True)
    for column in table.vendor:
        values = rows[column.name]
        if column.required and nulls[column.name]:
            return False
        if column.type == "VARCHAR":
            if values.unique().str.contains(faults.NO_SYMBOL if column.name == "ticker" else "\0").any():
                return False
        elif not checks.within(column, values.min(), values.max()):  # type: ignore[arg-type]
            return False
    ticker, stamp, day = pl.col("ticker"), pl.col(table.time), pl.col("date")
    begins = ((ticker != ticker.shift(1)) | (day != day.shift(1))).sum()
    falls = ((stamp < stamp.shift(1)) & (ticker == ticker.shift(1)) & (day == day.shift(1))).sum()
    repeats = ((stamp == stamp.shift(1)) & (ticker == ticker.shift(1))).sum()
    told = rows.select(begins=begins, falls=falls).row(0)
    runs, tied = ordered.select(begins, repeats).row(0)
    return told == (runs, 0) and not tied


def record(job: Job, rows: int) -> Landing:
    """The landing record of a faultless file."""
    table, _, day = job.file.place
    return Landing(
        key=job.file.key,
        etag=job.file.etag,
        size=job.file.size,
        sha256=sha256(job.path),
        table=table.name,
        session=day,
        source=job.source,
        version=job.seen + 1,
        rows_in=rows,
        rows=rows,
        quarantined=0,
        reasons={},
        files=(),
        library=__version__,
        landed_at=utc_now(),
        notes=job.notes,
        run=job.run,
        began=job.began,
    )
