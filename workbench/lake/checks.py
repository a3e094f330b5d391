"""What a flat file promises as a whole: its gzip stream, its header, its session, its values' ranges.

Each check raises a `LandingError` that says which file, what is wrong, what was not done and what to do next.
"""

import gzip
import zlib
from collections.abc import Iterable
from datetime import date
from math import isfinite
from pathlib import Path

from workbench.errors import BrokenGzip, BrokenText, EmptyFile, KnownFault, UnknownHeader, WrongSession
from workbench.lake.footers import Footer
from workbench.tables import Column, Table, errata
from workbench.tables.errata import Erratum

HEADER_BYTES = 4096


def read_header(path: Path, table: Table, key: str) -> tuple[str, ...]:
    """The file's header, if the table knows it. Raises `EmptyFile`, `BrokenGzip`, `BrokenText` or `UnknownHeader`."""
    if path.stat().st_size == 0:
        raise EmptyFile(f"{key} is empty (0 bytes); it was not landed. Wait for the vendor to publish it again.")
    try:
        with gzip.open(path) as stream:
            line = stream.readline(HEADER_BYTES)
    except (EOFError, OSError, zlib.error) as fault:
        raise broken_gzip(key, fault) from fault
    try:
        header = tuple(line.decode().rstrip("\r\n").split(","))
    except UnicodeDecodeError as fault:
        raise BrokenText(f"{key} does not begin with text ({fault.reason}); it was not landed.") from fault
    if header in table.headers:
        return header
    if header[0].startswith("\ufeff"):
        raise UnknownHeader(f"{key} begins with a byte order mark, which the vendor does not write; nothing was landed. Fetch it again.")
    if header == ("",):
        raise EmptyFile(f"{key} has no text in it; it was not landed. Wait for the vendor to publish it again.")
    known = table.headers[0]
    missing, extra = sorted(set(known) - set(header)), sorted(set(header) - set(known))
    how = [
        f"lacks {', '.join(missing)}" * bool(missing),
        f"adds {', '.join(extra)[:200]}" * bool(extra),
        "has the columns of the table in another order" * (not missing and not extra),
    ]
    raise UnknownHeader(
        f"{key} {' and '.join(filter(None, how))}; no row was landed. "
        f"If the vendor changed the file, declare the new header of {table.name} in workbench/tables and refresh again."
    )


def check_gzip(path: Path, key: str) -> None:
    """Raise `BrokenGzip` unless the whole file decompresses and its checksums agree."""
    try:
        with gzip.open(path) as stream:
            while stream.read(1 << 20):
                pass
    except (EOFError, OSError, zlib.error) as fault:
        raise broken_gzip(key, fault) from fault


def broken_gzip(key: str, fault: Exception) -> BrokenGzip:
    """The error for a file that is not one whole gzip stream."""
    return BrokenGzip(
        f"{key} is not a whole gzip file ({fault}); nothing was landed and the file is in quarantine. "
        "Fetch it again; if the vendor's own file is broken, wait for the vendor to replace it."
    )


def check_session(parts: Iterable[Footer], table: Table, day: date, key: str) -> Erratum | None:
    """Raise `WrongSession` unless every stamp is the session's own, or is wrong in a way that the erratum given back mends."""
    filled = [footer for footer in parts if footer.rows]
    if table.same_day:
        said = [footer.spans[table.same_day] for footer in filled]
        if stray := sorted({str(end) for span in said for end in (span.low, span.high) if end not in (day, None)}):
            raise WrongSession(
                f"{key} holds rows whose {table.same_day} is {' and '.join(stray)}, not {day}; nothing was landed and the file is in "
                "quarantine. Refresh again when the vendor has replaced it."
            )
    spans = [span for footer in filled if (span := footer.spans[table.time]).low is not None]
    if not spans:
        return None
    low, high = min(s.low for s in spans), max(s.high for s in spans)
    first, end = table.session_ns(day)
    if first <= low and high < end:
        return None
    for erratum in errata.for_file(table.name, day):
        if erratum.action == "restamp" and erratum.wrong == low == high:
            return erratum
    raise WrongSession(
        f"{key} holds rows stamped {when(low, table)} to {when(high, table)}, which is not the session {day} in {table.zone}; "
        "nothing was landed and the file is in quarantine. Refresh again when the vendor has replaced it."
    )


def check_errata(parts: Iterable[Footer], table: Table, day: date, key: str) -> list[str]:
    """Raise `KnownFault` if the file has a fault that its vendor is known to have published; gives what cannot be recognised."""
    notes = []
    for erratum in errata.for_file(table.name, day):
        if erratum.action == "note":
            notes.append(f"known: {erratum.symptom} ({erratum.source})")
        if erratum.action == "quarantine" and erratum.within:
            spans = [footer.spans[erratum.column] for footer in parts if footer.rows]
            low, high = erratum.within
            if spans and all(span.low is not None and low <= span.low and span.high <= high for span in spans):
                raise KnownFault(
                    f"{key} is known to be wrong, and is: {erratum.symptom} ({erratum.source}); nothing was landed and the file is in "
                    "quarantine. Refresh again when the vendor has replaced it."
                )
    return notes


def when(ns: int, table: Table) -> str:
    """A stamp as a date in the table's zone, or as it is if it is no date."""
    try:
        return str(table.session_of(ns))
    except (OverflowError, OSError, ValueError):
        return str(ns)


def suspects(parts: Iterable[Footer], table: Table) -> bool:
    """Whether the footers show a row that breaks a promise: a missing value, or one out of its declared range."""
    return any(
        (column.required and span.nulls) or not within(column, span.low, span.high) or not span.known
        for footer in parts
        if footer.rows
        for column in table.vendor
        for span in (footer.spans[column.name],)
    )


def within(column: Column, low: float | None, high: float | None) -> bool:
    """Whether a column's least and greatest value are numbers inside its declared range."""
    if column.type != "DOUBLE" and column.low is None and column.high is None:
        return True
    return (
        low is None
        or high is None
        or (isfinite(low) and isfinite(high) and (column.low is None or low >= column.low) and (column.high is None or high <= column.high))
    )
