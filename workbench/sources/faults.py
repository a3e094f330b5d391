"""Good flat files made faulty, each in one way that a vendor, a network or a disk has shown or could show.

`FAULTS` holds them by name; each takes the text of a good file and gives the bytes of the faulty object, the same every time.
"""

import csv
import io
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from workbench.sources.folder import replacing

DAY = 86_400_000_000_000
TIMES = ("window_start", "sip_timestamp", "timestamp", "participant_timestamp")
PRICES = ("open", "price", "ask_price", "value")

Rows = list[list[str]]


@dataclass(frozen=True)
class Fault:
    """What the vendor or a disk did, and how to do it again."""

    doc: str
    make: Callable[[bytes], bytes]


FAULTS: dict[str, Fault] = {}


def fault(name: str, path: Path) -> Path:
    """Replace the good flat file at `path` by its faulty twin."""
    made = FAULTS[name].make(text_of(path))
    with replacing(path) as draft:
        draft.write_bytes(made)
    return path


def text_of(path: Path) -> bytes:
    """The text of a good flat file."""
    return zlib.decompress(path.read_bytes(), wbits=16 + zlib.MAX_WBITS)


def packed(text: bytes) -> bytes:
    """Text as one gzip member without name or time."""
    packer = zlib.compressobj(6, zlib.DEFLATED, 16 + zlib.MAX_WBITS)
    return packer.compress(text) + packer.flush()


def _known(function: Callable[[bytes], bytes]) -> Callable[[bytes], bytes]:
    """Bytes that are made from the text: what packing or storing did."""
    FAULTS[function.__name__] = Fault(function.__doc__ or "", function)
    return function


def _text(function: Callable[[bytes], bytes]) -> Callable[[bytes], bytes]:
    """Text that is made from the text, packed well."""
    FAULTS[function.__name__] = Fault(function.__doc__ or "", lambda text: packed(function(text)))
    return function


def _rows(function: Callable[[list[str], Rows], Rows]) -> Callable[[list[str], Rows], Rows]:
    """Rows that are made from the header and the rows below it; the function may change the header in place."""

    def make(text: bytes) -> bytes:
        header, *rows = csv.reader(io.StringIO(text.decode(), newline=""))
        out = io.StringIO(newline="")
        changed = function(header, rows)
        csv.writer(out, lineterminator="\n").writerows([header, *changed])
        return packed(out.getvalue().encode())

    FAULTS[function.__name__] = Fault(function.__doc__ or "", make)
    return function


def time_of(header: list[str]) -> int:
    """The position of the column that says when."""
    return next(header.index(name) for name in TIMES if name in header)


def price_of(header: list[str]) -> int:
    """The position of the first price."""
    return next(header.index(name) for name in PRICES if name in header)


def _every(rows: Rows, step: int, column: int, change: Callable[[str], str]) -> Rows:
    """The rows with a column changed in every `step`-th, the second first; at least one row is changed."""
    for i in range(min(1, len(rows) - 1), len(rows), step):
        rows[i][column] = change(rows[i][column])
    return rows


# --- stamps


@_rows
def wrong_day(header: list[str], rows: Rows) -> Rows:
    """Every row is stamped a day later: the vendor published the next session's stamps, as in stock_day of 2019-08-12."""
    return _stamped(header, rows, lambda stamp: str(int(stamp) + DAY))


def _stamped(header: list[str], rows: Rows, change: Callable[[str], str]) -> Rows:
    at = time_of(header)
    for row in rows:
        row[at] = change(row[at])
    return rows


@_rows
def strayed_rows(header: list[str], rows: Rows) -> Rows:
    """One row in 500 is stamped a day later: another session's rows slipped in."""
    return _every(rows, 500, time_of(header), lambda stamp: str(int(stamp) + DAY))


@_rows
def negative_stamp(header: list[str], rows: Rows) -> Rows:
    """Every stamp is -68400000000000: a date that was never set, told in a zone; as in option_day of 2025-02-10."""
    return _stamped(header, rows, lambda _: "-68400000000000")


@_rows
def milliseconds(header: list[str], rows: Rows) -> Rows:
    """Stamps in milliseconds, as an old page of the vendor's documentation says."""
    return _stamped(header, rows, lambda stamp: stamp[:13])


@_rows
def seventeen_digits(header: list[str], rows: Rows) -> Rows:
    """Stamps of 17 digits, as in one of the vendor's printed samples."""
    return _stamped(header, rows, lambda stamp: stamp[:17])


# --- order and repetition


@_rows
def duplicate_identical(header: list[str], rows: Rows) -> Rows:  # noqa: ARG001
    """One row in 100 comes twice: the vendor's job ran twice over a part."""
    return [again for i, row in enumerate(rows) for again in ([row, row] if i % 100 == 0 else [row])]


@_rows
def duplicate_zero(header: list[str], rows: Rows) -> Rows:
    """One bar in 100 has a twin without volume and transactions, as the vendor's files had for AMUB."""
    return _twins(header, rows, {"volume": "0", "transactions": "0", "size": "0"})


@_rows
def duplicate_differing(header: list[str], rows: Rows) -> Rows:
    """One row in 100 has a twin with the same key and another price: nobody can say which holds."""
    return _twins(header, rows, {header[price_of(header)]: "12345.67"})


def _twins(header: list[str], rows: Rows, changes: dict[str, str]) -> Rows:
    twins = [[changes.get(name, value) for name, value in zip(header, row, strict=True)] for row in rows]
    return [both for i, row in enumerate(rows) for both in ([row, twins[i]] if i % 100 == 0 else [row])]


@_rows
def unsorted_times(header: list[str], rows: Rows) -> Rows:  # noqa: ARG001
    """Each ticker's rows come newest first: a merge lost its order."""
    groups: dict[str, Rows] = {}
    for row in rows:
        groups.setdefault(row[0], []).append(row)
    return [row for group in groups.values() for row in reversed(group)]


@_rows
def scattered_tickers(header: list[str], rows: Rows) -> Rows:  # noqa: ARG001
    """Odd rows first, then even ones, so that a ticker's rows are apart: two workers' parts were put one after the other."""
    return rows[::2] + rows[1::2]


# --- size and gzip


@_text
def header_only(text: bytes) -> bytes:
    """A header and no rows: published before the job had data."""
    return text[: text.index(b"\n") + 1]


@_known
def zero_bytes(text: bytes) -> bytes:  # noqa: ARG001
    """An object of no bytes: an upload that never came."""
    return b""


@_known
def empty_gzip(text: bytes) -> bytes:  # noqa: ARG001
    """A whole gzip stream of no text at all, not even a header."""
    return packed(b"")


@_known
def truncated(text: bytes) -> bytes:
    """The first half of the bytes: a transfer or a disk ended early."""
    whole = packed(text)
    return whole[: len(whole) // 2]


@_known
def no_trailer(text: bytes) -> bytes:
    """All of the text, without the last four bytes of the gzip trailer."""
    return packed(text)[:-4]


@_known
def bit_flip(text: bytes) -> bytes:
    """One bit in the middle is another: a disk or memory fault."""
    whole = bytearray(packed(text))
    whole[len(whole) // 2] ^= 0x10
    return bytes(whole)


@_known
def crc(text: bytes) -> bytes:
    """The text is whole, the checksum after it is another text's."""
    whole = bytearray(packed(text))
    whole[-8] ^= 0xFF
    return bytes(whole)


@_known
def multi_member(text: bytes) -> bytes:
    """Two gzip members, one after the other, cut within a line. Legal: readers must take both."""
    middle = len(text) // 2
    return packed(text[:middle]) + packed(text[middle:])


@_known
def trailing_garbage(text: bytes) -> bytes:
    """Bytes after the gzip stream that are not gzip: a download resumed at the wrong place."""
    return packed(text) + b"<html>garbage</html>"


@_known
def not_gzip(text: bytes) -> bytes:
    """Plain text under a name that says gzip: a proxy unpacked it on the way."""
    return text


@_known
def error_page(text: bytes) -> bytes:  # noqa: ARG001
    """A server's answer in place of the file."""
    return b'<?xml version="1.0" encoding="UTF-8"?>\n<Error><Code>SlowDown</Code></Error>'


# --- columns


@_rows
def extra_column(header: list[str], rows: Rows) -> Rows:
    """A column that the table does not know, at the end: the vendor added one."""
    header.append("vwap")
    return [[*row, "1.5"] for row in rows]


@_rows
def missing_column(header: list[str], rows: Rows) -> Rows:
    """The first price's column is gone: the vendor dropped one."""
    at = price_of(header)
    del header[at]
    return [row[:at] + row[at + 1 :] for row in rows]


@_rows
def reordered_columns(header: list[str], rows: Rows) -> Rows:
    """The columns stand in another order, and so does the header, which is readable by name."""
    order = [0, *range(len(header) - 1, 0, -1)]
    header[:] = [header[i] for i in order]
    return [[row[i] for i in order] for row in rows]


@_rows
def renamed_column(header: list[str], rows: Rows) -> Rows:
    """The time column has another name."""
    header[time_of(header)] = "t"
    return rows


@_rows
def repeated_column(header: list[str], rows: Rows) -> Rows:
    """Two columns have the first price's name."""
    header.append(header[price_of(header)])
    return [[*row, "1.5"] for row in rows]


@_text
def no_header(text: bytes) -> bytes:
    """The first line is a row."""
    return text[text.index(b"\n") + 1 :]


@_text
def byte_order_mark(text: bytes) -> bytes:
    """A byte order mark before the header: somebody saved it from a spreadsheet."""
    return b"\xef\xbb\xbf" + text


# --- values


@_rows
def text_in_number(header: list[str], rows: Rows) -> Rows:
    """A word in place of a price in one row of 1,000."""
    return _every(rows, 1_000, price_of(header), lambda _: "n/a")


@_rows
def text_in_many_numbers(header: list[str], rows: Rows) -> Rows:
    """A word in place of a price in one row of 20: too many to trust the others."""
    return _every(rows, 20, price_of(header), lambda _: "n/a")


@_rows
def missing_value(header: list[str], rows: Rows) -> Rows:
    """No price in one row of 1,000."""
    return _every(rows, 1_000, price_of(header), lambda _: "")


@_rows
def missing_ticker(header: list[str], rows: Rows) -> Rows:  # noqa: ARG001
    """No ticker in one row of 1,000."""
    return _every(rows, 1_000, 0, lambda _: "")


@_rows
def negative_price(header: list[str], rows: Rows) -> Rows:
    """A price below zero in one row of 1,000."""
    return _every(rows, 1_000, price_of(header), lambda price: "-" + price)


@_rows
def nan_price(header: list[str], rows: Rows) -> Rows:
    """A price that is not a number, in one row of 1,000, which a lenient reader takes for one."""
    return _every(rows, 1_000, price_of(header), lambda _: "NaN")


@_rows
def infinite_price(header: list[str], rows: Rows) -> Rows:
    """A price without bound in one row of 1,000."""
    return _every(rows, 1_000, price_of(header), lambda _: "inf")


@_rows
def too_big(header: list[str], rows: Rows) -> Rows:
    """A stamp that does not fit 64 bits, in one row of 1,000."""
    return _every(rows, 1_000, time_of(header), lambda stamp: stamp + "0000")


# --- text


@_text
def nul_byte(text: bytes) -> bytes:
    """A zero byte within a row: a block that the disk never wrote."""
    return _after_first_row(text, b"\x00")


@_text
def invalid_utf8(text: bytes) -> bytes:
    """Two bytes within a ticker that are not UTF-8."""
    return _after_first_row(text, b"\xff\xfe")


@_text
def open_quote(text: bytes) -> bytes:
    """A quote that begins a field and is never closed, so that a reader takes the rest of the file for its text."""
    return _after_first_row(text, b'"')


def _after_first_row(text: bytes, what: bytes) -> bytes:
    at = text.index(b"\n", text.index(b"\n") + 1) + 1
    return text[:at] + what + text[at:]


@_text
def short_rows(text: bytes) -> bytes:
    """The last field of one row in 1,000 is gone."""
    return _lines(text, lambda line: line.rpartition(b",")[0])


@_text
def long_rows(text: bytes) -> bytes:
    """One row in 1,000 has a field too many."""
    return _lines(text, lambda line: line + b",1")


def _lines(text: bytes, change: Callable[[bytes], bytes]) -> bytes:
    lines = text.split(b"\n")
    for i in range(1, len(lines) - 1, 1_000):
        lines[i] = change(lines[i])
    return b"\n".join(lines)


@_text
def half_row(text: bytes) -> bytes:
    """The text ends within a row, in a gzip stream that is whole: the writer stopped before the packer."""
    return text[: text.rindex(b",", 0, len(text) - 2)]


@_text
def crlf(text: bytes) -> bytes:
    """Lines end as on Windows. Legal: readers must take it."""
    return text.replace(b"\n", b"\r\n")


@_text
def empty_lines(text: bytes) -> bytes:
    """Empty lines between rows and at the end."""
    lines = text.split(b"\n")
    return b"\n".join([*lines[:2], b"", *lines[2:], b"", b""])


@_text
def no_final_newline(text: bytes) -> bytes:
    """The last row has no line end. Legal: readers must take it."""
    return text.removesuffix(b"\n")
