"""CSV as old databases left it: text in batches; what is no row is told with its line, and the rest is read all the same.

Arrow reads a file as long as all its lines are rows. From the first that is not, records are read one at a time: slower, but with the number of each line,
and such that a quote that nobody closed spoils its own line only. Both take quotes as RFC 4180 does: an empty field is NULL, an empty one in quotes is
empty text.
"""

import codecs
import re
import zlib
from collections import deque
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from workbench.errors import BrokenText
from workbench.importers.origin import BATCH_ROWS, Reject

if TYPE_CHECKING:
    import pyarrow as pa

DELIMITERS = (b",", b";", b"\t", b"|")
# Bytes that Arrow parses at a time, and the longest record that is read one at a time: what is longer is taken for a quote that nobody closed.
BLOCK, LONGEST = 8 << 20, 16 << 20
CHUNK = 1 << 20
# Rows that are read one at a time before they are handed over.
SLOW_ROWS = 50_000
# Characters of a bad line that are told.
TOLD = 500
# What no column is called: a number, a date or a time.
VALUE = re.compile(r"[-+]?\d+([.,:/-]\d+)*([eE][-+]?\d+)?|\d{4}-\d\d-\d\d[T ].*")


class Stream(Protocol):
    """Bytes to read."""

    def read(self, size: int = -1, /) -> bytes: ...


@contextmanager
def opened(path: Path) -> Iterator[Stream]:
    """The bytes of a file, unpacked if its name says that they are packed."""
    with path.open("rb") as raw:
        yield Unpacked(raw) if path.suffix.lower() == ".gz" else raw


class Unpacked:
    """The bytes of a gzip stream, of several members if need be. What of a damaged one can be unpacked is given, then `BrokenText` raised."""

    def __init__(self, raw: Stream):
        self.raw, self._member, self._packed = raw, zlib.decompressobj(31), b""

    def read(self, size: int = -1, /) -> bytes:
        """Up to so many bytes; none at the end."""
        found = bytearray()
        while size < 0 or len(found) < size:
            if self._member.eof:
                # Zeros after the last member are padding.
                self._packed = (self._member.unused_data or self.raw.read(CHUNK)).lstrip(b"\0")
                if not self._packed:
                    break
                self._member = zlib.decompressobj(31)
            packed = self._packed or self.raw.read(CHUNK)
            try:
                made = self._member.decompress(packed, CHUNK if size < 0 else size - len(found))
                wrong = "" if packed or made or self._member.eof else "it is cut short"
            except zlib.error as fault:
                made, wrong = b"", f"its gzip stream is damaged ({fault})"
            if wrong:
                if not found:
                    raise BrokenText(wrong)
                # Told at the next call: `_packed` fails again.
                self._packed = packed
                break
            self._packed = self._member.unconsumed_tail
            found += made
        return bytes(found)


class Counted:
    """A stream of bytes as Arrow asks for it, which counts the quotes that pass."""

    def __init__(self, stream: Stream):
        self.stream, self.quotes, self.closed = stream, 0, False

    def read(self, size: int = -1, /) -> bytes:
        """Up to so many bytes."""
        found = self.stream.read(size)
        self.quotes += found.count(b'"')
        return found

    def readable(self) -> bool:
        """It is."""
        return True

    def close(self) -> None:
        """The stream is another's to close."""
        self.closed = True


class Lines:
    """The lines of a stream with their ends, and their numbers from 1. Lines may be given back."""

    def __init__(self, stream: Stream):
        self.stream, self.number = stream, 0
        self.fault: BrokenText | None = None
        self._given: deque[bytes] = deque()
        self._rest = b""

    def next(self) -> bytes:
        """The next line; none at the end, or where the stream breaks off, which `fault` tells then."""
        while not self._given:
            try:
                found = b"" if self.fault else self.stream.read(CHUNK)
            except BrokenText as fault:
                # The line in which it breaks off is none.
                self.fault, self._rest = fault, b""
                return b""
            if not found:
                if not self._rest:
                    return b""
                self._given.append(self._rest)
                self._rest = b""
                break
            *whole, last = found.split(b"\n")
            if whole:
                whole[0] = self._rest + whole[0]
                self._rest = b""
            self._given.extend(line + b"\n" for line in whole)
            self._rest += last
        self.number += 1
        return self._given.popleft()

    def back(self, lines: Sequence[bytes]) -> None:
        """Have them read again."""
        self._given.extendleft(reversed(lines))
        self.number -= len(lines)


@dataclass
class Record:
    """A record: the line that it begins with, its lines, and its fields, or why it has none."""

    number: int
    lines: list[bytes]
    fields: list[bytes | None]
    fault: str = ""


def record(lines: Lines, delimiter: bytes) -> Record | None:
    """The next record that is not an empty line; None at the end."""
    text = lines.next()
    while text and not text.strip(b"\r\n"):
        text = lines.next()
    if not text:
        return None
    found = Record(lines.number, [text], [])
    if b'"' not in text:
        found.fields = [one or None for one in text.rstrip(b"\r\n").split(delimiter)]
        return found
    at = 0
    while True:
        value = b""
        quoted = text[at : at + 1] == b'"'
        if quoted:
            begin = at = at + 1
            while (at := text.find(b'"', at)) < 0 or text[at + 1 : at + 2] == b'"':
                if at >= 0:
                    at += 2
                    continue
                at = len(text)
                more = lines.next() if at < LONGEST else b""
                if not more:
                    lines.back(found.lines[1:])
                    found.lines[1:] = []
                    found.fault = "a quote is opened in it that nothing closes"
                    return found
                found.lines.append(more)
                text += more
            value = text[begin:at].replace(b'""', b'"')
            at += 1
        end = text.find(delimiter, at)
        value += text[at : end if end >= 0 else len(text)].rstrip(b"" if end >= 0 else b"\r\n")
        found.fields.append(value if value or quoted else None)
        if end < 0:
            return found
        at = end + 1


@dataclass
class Batch:
    """Rows of a file: columns by their names, how many rows, what is no row, and which rows of the file they are, or their lines."""

    columns: "dict[str, pa.Array]"
    count: int
    rejects: list[Reject] = field(default_factory=list)
    first: int = 0
    numbers: Sequence[int] | None = None
    unit: str = "row"

    def number(self, row: int) -> str:
        """Which row of the file a row of it is."""
        return f"{self.unit} {self.numbers[row] if self.numbers is not None else self.first + row:,}"


class Text:
    """A CSV file: the names in its first line, and its rows as text.

    Raises `BrokenText`, which ends a sentence that the file begins, for one whose first line does not name its columns, or that is no UTF-8 text.
    """

    def __init__(self, path: Path, shown: str):
        self.path, self.shown = path, shown
        with opened(path) as stream:
            lines = Lines(stream)
            first = lines.next()
        if b"\0" in first:
            raise BrokenText("is not UTF-8 text: save it as UTF-8")
        if b"\r" in first.rstrip(b"\r\n") and not first.endswith(b"\n"):
            raise BrokenText("ends its lines with carriage returns only: save it with line feeds")
        if lines.fault or not first.removeprefix(codecs.BOM_UTF8).strip():
            raise BrokenText(f"has no first line with its columns' names, for {lines.fault or 'it is empty'}")
        header = first.removeprefix(codecs.BOM_UTF8)
        self.delimiter, names = max(((one, parsed(header, one)) for one in DELIMITERS), key=lambda told: len(told[1]))
        self.skipped = len(first)
        try:
            told = [(name or b"").decode().strip() for name in names]
        except UnicodeDecodeError as fault:
            raise BrokenText(f"is not UTF-8 text ({fault.reason} in its first line): save it as UTF-8") from fault
        # Pandas writes its index under no name.
        told[0] = told[0] or "Unnamed: 0"
        if odd := [name for name in told if not name or VALUE.fullmatch(name)]:
            raise BrokenText(
                f"has {odd[0]!r} among its columns' names" * bool(odd[0])
                + "has a column without a name" * (not odd[0])
                + ", as if its first line were a row: write a line with the columns' names before it"
            )
        if twice := sorted({name for name in told if told.count(name) > 1}):
            raise BrokenText(f"has two columns called {twice[0]}, and which of them is meant cannot be told: rename one")
        self.names = tuple(told)

    def batches(self, wanted: Sequence[str]) -> Iterator[Batch]:
        """Its rows, of some columns, at most `BATCH_ROWS` at a time; raises `BrokenText`, after all rows that can be read, where the file breaks off."""
        count = 0
        with opened(self.path) as stream:
            stream.read(self.skipped)
            for batch in self._fast(stream, wanted):
                if batch is None:
                    break
                count += batch.num_rows
                for at in range(0, batch.num_rows, BATCH_ROWS):
                    part = batch.slice(at, BATCH_ROWS)
                    made = Batch(dict(zip(wanted, part.columns, strict=True)), part.num_rows, first=count - batch.num_rows + at + 1)
                    yield self._decoded(made)
            else:
                return
        with opened(self.path) as stream:
            stream.read(self.skipped)
            yield from self._slow(Lines(stream), count, wanted)

    def _fast(self, stream: Stream, wanted: Sequence[str]) -> Iterator["pa.RecordBatch | None"]:
        """Batches as long as all lines are rows; then None."""
        import pyarrow as pa
        import pyarrow.csv as pc

        counted, bad = Counted(stream), False

        def broken(_: Any) -> str:
            nonlocal bad
            bad = True
            return "skip"

        held: pa.RecordBatch | None = None
        try:
            reader = pc.open_csv(
                pa.PythonFile(counted, "r"),
                read_options=pc.ReadOptions(block_size=BLOCK, use_threads=True, column_names=list(self.names)),
                parse_options=pc.ParseOptions(delimiter=self.delimiter.decode(), newlines_in_values=True, invalid_row_handler=broken),
                convert_options=pc.ConvertOptions(
                    column_types=dict.fromkeys(self.names, pa.binary()),
                    include_columns=list(wanted),
                    null_values=[""],
                    strings_can_be_null=True,
                    quoted_strings_can_be_null=False,
                ),
            )
            for batch in reader:
                if bad:
                    break
                if held is not None:
                    yield held
                held = batch
        except (pa.ArrowInvalid, BrokenText) as fault:
            # No row at all is an error to Arrow.
            bad = "Empty CSV file" not in str(fault)
        # Arrow parses ahead of what it gives: what was bad may stand after the rows that are held. A quote that is open at the end has swallowed rows.
        if bad or counted.quotes % 2:
            yield None
        elif held is not None:
            yield held

    def _slow(self, lines: Lines, skipped: int, wanted: Sequence[str]) -> Iterator[Batch]:
        """Batches, of records read one at a time, without as many as were handed over already."""
        import pyarrow as pa

        places, width = [self.names.index(name) for name in wanted], len(self.names)
        rows: list[list[bytes | None]] = []
        numbers: list[int] = []
        rejects: list[Reject] = []

        def made() -> Batch:
            columns = {name: pa.array([row[place] for row in rows], pa.binary()) for name, place in zip(wanted, places, strict=True)}
            return self._decoded(Batch(columns, len(rows), list(rejects), numbers=list(numbers), unit="line"))

        # The first line was read before.
        lines.number = 1
        while found := record(lines, self.delimiter):
            if skipped:
                skipped -= 1
                continue
            if not found.fault and len(found.fields) == width:
                rows.append(found.fields)
                numbers.append(found.number)
            else:
                if found.lines[1:] and any(len(parsed(line, self.delimiter)) == width for line in found.lines[1:]):
                    # A quote in the first line has swallowed rows.
                    lines.back(found.lines[1:])
                    found.lines[1:] = []
                reason = found.fault or f"it has {len(found.fields)} fields, and its file's first line {width}"
                told = b"".join(found.lines).decode(errors="replace").rstrip("\r\n")
                rejects.append(Reject(f"{self.shown} line {found.number:,}", reason, {"line": told[:TOLD]}))
            if len(rows) + len(rejects) >= SLOW_ROWS:
                yield made()
                rows, numbers, rejects = [], [], []
        if rows or rejects:
            yield made()
        if lines.fault:
            raise BrokenText(f"breaks off after line {lines.number:,}, for {lines.fault}") from lines.fault

    def _decoded(self, batch: Batch) -> Batch:
        """A batch with text for bytes; rows with bytes that are no UTF-8 are rejected."""
        import pyarrow as pa

        texts: dict[str, pa.Array] = {}
        broken: dict[int, Reject] = {}
        for name, column in batch.columns.items():
            try:
                texts[name] = column.cast(pa.string())
            except pa.ArrowInvalid:
                for row, value in enumerate(column.to_pylist()):
                    try:
                        (value or b"").decode()
                    except UnicodeDecodeError:
                        reason = f"{name} is not UTF-8: {value[:TOLD]!r}"
                        told = {one: (held[row].as_py() or b"").decode(errors="replace")[:TOLD] for one, held in batch.columns.items()}
                        broken.setdefault(row, Reject(f"{self.shown} {batch.number(row)}", reason, told))
        if not broken:
            return Batch(texts, batch.count, batch.rejects, batch.first, batch.numbers, batch.unit)
        good = [row for row in range(batch.count) if row not in broken]
        at = pa.array(good, pa.int64())
        numbers = [batch.numbers[row] if batch.numbers is not None else batch.first + row for row in good]
        columns = {name: column.take(at).cast(pa.string()) for name, column in batch.columns.items()}
        return Batch(columns, len(good), [*batch.rejects, *broken.values()], numbers=numbers, unit=batch.unit)


def parsed(line: bytes, delimiter: bytes) -> list[bytes | None]:
    """The fields of one line; none if it is not a whole record."""
    found = record(Lines(_One(line)), delimiter)
    return found.fields if found and not found.fault else []


class _One:
    """A stream of one line."""

    def __init__(self, line: bytes):
        self._line = line

    def read(self, _: int = -1, /) -> bytes:
        """The line, once."""
        line, self._line = self._line, b""
        return line
