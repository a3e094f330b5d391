"""JSON read piece by piece: what a file holds, one value after the other, however large the file is; what is broken in it is told and stepped over.

A file is a list of values, an object of them, or values line by line. Numbers keep their digits: fractions are `Decimal`.
"""

import gzip
import io
import json
import re
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import Any, Literal

Layout = Literal["list", "object", "lines"]

CHUNK = 1 << 20
# A value larger than this is not a record, but the rest of a file after a quote that is not closed.
LARGEST = 64 << 20
HEAD = 1 << 16
SHOWN = 2000
BLANK = re.compile(r"[ \t\n\r]*")
# What has to be read to step over a broken value: strings whole, and what opens and closes.
# No string goes on in another line, so that a quote that is not closed is no string.
MARK = re.compile(r'"(?:[^"\\\n]|\\.)*"|["{}\[\]]')
MARK_OR_COMMA = re.compile(MARK.pattern + "|,")
WORDS = ("true", "false", "null", "NaN", "Infinity", "-Infinity")
GZIP = b"\x1f\x8b"


class Twice(ValueError):
    """An object has a name twice: one value of the two would be lost."""


class Constant(ValueError):
    """NaN and infinities, which Python reads, are no JSON."""


class Ended(ValueError):
    """The text ends, or is cut off, before what is being read does."""


class NoJson(ValueError):
    """The file is none of JSON's; says why."""


@dataclass(frozen=True)
class Item:
    """A value of a file. `key` is its name if it, or the list that it is in, stands in an object; `listed` says that it is in a list there.

    `where` is its place in the file. `reason` says what is wrong with a value that could not be read, of which `raw` is the beginning.
    """

    where: str
    value: Any = None
    key: str | None = None
    listed: bool = False
    size: int = 0
    reason: str = ""
    raw: str = ""


def pairs(found: list[tuple[str, Any]]) -> dict[str, Any]:
    """An object; raises `Twice`."""
    made = dict(found)
    if len(made) < len(found):
        seen: set[str] = set()
        again = next(name for name, _ in found if name in seen or seen.add(name))  # type: ignore[func-returns-value]
        raise Twice(f"it has {again!r} twice")
    return made


def constant(name: str) -> None:
    """Raise `Constant`."""
    raise Constant(f"{name} is none of JSON's numbers")


STRICT = json.JSONDecoder(object_pairs_hook=pairs, parse_float=Decimal, parse_constant=constant)
# Finds where a value ends of which something is not allowed.
LOOSE = json.JSONDecoder()


class Bytes(io.RawIOBase):
    """The bytes of a file, unpacked if it is gzipped. They end where they cannot be read any more; `cut` then says why."""

    def __init__(self, path: Path):
        with path.open("rb") as file:
            packed = file.read(2) == GZIP
        self._file = gzip.open(path) if packed else path.open("rb")  # noqa: SIM115
        self.cut = ""

    def readable(self) -> bool:
        """Yes."""
        return True

    def readinto(self, into: Any) -> int:
        """The next bytes; none at the end."""
        try:
            piece = self._file.read1(len(into))
        except (EOFError, zlib.error, OSError) as fault:
            self.cut = str(fault)
            return 0
        into[: len(piece)] = piece
        return len(piece)

    def close(self) -> None:
        """Close the file."""
        self._file.close()
        super().close()


def opened(path: Path) -> io.TextIOWrapper:
    """A file as text. Bytes that are no UTF-8 come as halves of characters. Raises `NoJson`, `OSError`."""
    raw = Bytes(path)
    buffer = io.BufferedReader(raw, HEAD)
    head = buffer.peek(4)[:4]
    if head[:2] in (b"\xff\xfe", b"\xfe\xff") or 0 in head[:2]:
        buffer.close()
        raise NoJson("is UTF-16 or UTF-32, and JSON is UTF-8: save it as UTF-8")
    if raw.cut and not head:
        buffer.close()
        raise NoJson(f"is no whole gzip file ({raw.cut})")
    return io.TextIOWrapper(buffer, encoding="utf-8-sig", errors="surrogateescape", newline="")


def ended(file: io.TextIOWrapper) -> str:
    """Why a file ends where it does, if that is not its end."""
    return str(getattr(getattr(file.buffer, "raw", None), "cut", ""))


class Text:
    """The text of a file, of which a piece is held: from `at` on, what was not read yet."""

    def __init__(self, file: io.TextIOWrapper):
        self.file, self.held, self.at, self.ended = file, "", 0, False
        # Why the text ends where it does, if that is not its end; and whether what is left of it can no more be told.
        self.cut, self.lost = "", False

    def more(self) -> bool:
        """Hold more; false at the end."""
        if self.ended:
            return False
        # What is held is copied each time: to take as much again keeps that in proportion.
        piece = self.file.read(max(CHUNK, len(self.held) - self.at))
        self.cut = ended(self.file)
        self.ended = not piece
        self.held, self.at = self.held[self.at :] + piece, 0
        return not self.ended

    def next(self) -> str:
        """The next character that is not blank; empty at the end."""
        while True:
            found = BLANK.match(self.held, self.at)
            self.at = found.end() if found else self.at
            if self.at < len(self.held):
                return self.held[self.at]
            if not self.more():
                return ""

    def value(self, decoder: json.JSONDecoder = STRICT) -> Any:
        """The value that begins here, which is then behind. Raises `Ended`, `Twice`, `Constant`, or `ValueError`; nothing is behind then."""
        while True:
            try:
                told, end = decoder.raw_decode(self.held, self.at)
            except json.JSONDecodeError as fault:
                if not self._may_go_on(fault):
                    raise
                if self.ended or len(self.held) - self.at > LARGEST:
                    raise Ended(fault.msg) from None
            except RecursionError:
                raise ValueError("it is nested too deep") from None
            else:
                # A number may go on, with a point or an exponent, too.
                if self.ended or self.held[end : end + 4].strip("+-.eE0123456789"):
                    self.at = end
                    return told
            if not self.more() and len(self.held) == self.at:
                raise Ended("nothing stands there")

    def _may_go_on(self, fault: json.JSONDecodeError) -> bool:
        """Whether a value is wrong only for being cut off where what is held ends."""
        rest = self.held[fault.pos :]
        # A string that is not closed is told by its beginning, anything else by where it stops.
        if fault.msg.startswith("Unterminated") or (not self.ended and len(rest) < 12):
            return True
        return not rest.strip() or ("escape" in fault.msg and len(rest) < 6) or any(one.startswith(rest) for one in WORDS)

    def skip(self) -> bool:
        """Step over a broken value, up to what closes it or parts it from the next; false if the text ends before."""
        depth, at = 0, self.at
        while True:
            # Outside of all brackets a comma, or the bracket of what it is in, ends it.
            found = (MARK if depth else MARK_OR_COMMA).search(self.held, at)
            # A quote that is not closed yet may be so further on in its line.
            opens = found is not None and found[0] == '"' and self.held.find("\n", found.end()) < 0
            if found is None or ((opens or found.end() == len(self.held)) and not self.ended):
                at -= self.at
                if len(self.held) - self.at > LARGEST or not (self.more() or found):
                    return False
                at += self.at
                continue
            sign = found[0]
            if not depth and sign in ("]", "}", ","):
                # What is wrong may be that bracket itself.
                self.at = max(found.start(), self.at + (found.start() == self.at))
                return True
            depth += {"{": 1, "[": 1, "}": -1, "]": -1}.get(sign, 0)
            at = found.end()
            if not depth and sign in ("]", "}"):
                self.at = at
                return True


def layout(path: Path) -> Layout:
    """How a file is laid out. Raises `NoJson`, `OSError`."""
    with opened(path) as file:
        text = Text(file)
        first = text.next()
        if not first:
            raise NoJson(f"is cut off ({text.cut})" if text.cut else "is empty")
        named = {end.lower() for end in path.suffixes} & {".jsonl", ".ndjson"}
        if first not in "[{" and not named:
            raise NoJson(f"is no JSON: it begins with {text.held[text.at : text.at + 20]!r}")
        if named:
            return "lines"
        if first == "[":
            return "list"
        while len(text.held) - text.at < HEAD and text.more():
            pass
        lines = text.held[text.at : text.at + HEAD].splitlines()
    # A file of one line of objects is one of lines only if another follows.
    return "lines" if sum(isinstance(alone(line), dict) for line in lines[:100]) > 1 else "object"


def alone(line: str) -> Any:
    """The value that a line is; None if it is none, or null."""
    try:
        return LOOSE.decode(line)
    except (ValueError, RecursionError):
        return None


def items(path: Path, how: Layout, *, whole: bool = False) -> Iterator[Item]:
    """The values of a file. In an object's lists each value counts, unless `whole` takes the lists for values. Raises `NoJson`, `OSError`."""
    with opened(path) as file:
        if how == "lines":
            yield from lines_of(file)
            return
        text = Text(file)
        text.next()
        text.at += 1
        yield from listed(text, "", None) if how == "list" else named(text, whole=whole)
        if text.lost or (end := text.next()) == "":
            return
        yield Item("after the end", reason=f"{end!r} and more stand after what closes the file", raw=text.held[text.at : text.at + SHOWN])


def lines_of(file: io.TextIOWrapper) -> Iterator[Item]:
    """The values of a file of lines, of which blank ones do not count."""
    number, whole = 0, True
    while True:
        line = file.readline(LARGEST)
        if not line:
            return
        begins, whole = whole, line.endswith("\n")
        number += begins
        if not begins or not line.strip():
            continue
        where, told = f"line {number}", {"size": len(line), "raw": line[:SHOWN]}
        if len(line) >= LARGEST and not whole:
            yield Item(where, reason=f"it is longer than {LARGEST:,} characters", **told)  # type: ignore[arg-type]
            continue
        try:
            value = STRICT.decode(line.strip())
        except (ValueError, RecursionError) as fault:
            cut = "" if whole else f"; the file ends there{f' ({ended(file)})' * bool(ended(file))}"
            yield Item(where, reason=f"it is no JSON ({wrong(fault)}){cut}", **told)  # type: ignore[arg-type]
        else:
            yield item(where, value, None, line, in_list=False)


def listed(text: Text, before: str, key: str | None) -> Iterator[Item]:
    """The values of a list, which is open already; it is closed then, unless the text ends."""
    number = 0
    while (sign := text.next()) not in ("]", ""):
        # A comma too many, or one too few, takes nothing away.
        if sign == ",":
            text.at += 1
            continue
        yield one(text, f"{before}[{number}]", key, in_list=True)
        number += 1
        if text.lost:
            return
    if not sign:
        yield cut_off(text, f"{before}[{number}]", key, in_list=True)
    text.at += 1


def named(text: Text, *, whole: bool) -> Iterator[Item]:
    """The values of an object, which is open already."""
    seen: set[str] = set()
    while (sign := text.next()) not in ("}", ""):
        if sign == ",":
            text.at += 1
            continue
        try:
            key = text.value() if sign == '"' else None
            if not isinstance(key, str) or text.next() != ":":
                raise NoJson(f"{sign} stands where a name and a colon are to stand")
        except ValueError as fault:
            yield cut_off(text, "the end", None) if isinstance(fault, Ended) else broken(text, "a name", wrong(fault), None)
            if text.lost:
                return
            continue
        text.at += 1
        again = key in seen
        seen.add(key)
        if text.next() == "[" and not whole and not again:
            text.at += 1
            yield from listed(text, repr(key), key)
        else:
            item = one(text, repr(key), key, in_list=False)
            yield (
                Item(item.where, key=key, size=item.size, reason=f"its name {key!r} stands in the file twice", raw=item.raw)
                if again
                else item
            )
        if text.lost:
            return
    if not sign:
        yield cut_off(text, "the end", None)
    text.at += 1


def one(text: Text, where: str, key: str | None, *, in_list: bool) -> Item:
    """The value that begins here, or what is wrong with it."""
    before, held = text.at, text.held
    try:
        value = text.value()
    except (Twice, Constant) as fault:
        raw = text.held[text.at : text.at + SHOWN]
        try:
            text.value(LOOSE)
        except ValueError as worse:
            return (
                cut_off(text, where, key, in_list=in_list)
                if isinstance(worse, Ended)
                else broken(text, where, wrong(worse), key, in_list=in_list)
            )
        return Item(where, key=key, listed=in_list, reason=str(fault), raw=raw)
    except Ended:
        return cut_off(text, where, key, in_list=in_list)
    except ValueError as fault:
        return broken(text, where, wrong(fault), key, in_list=in_list)
    source = text.held[before if text.held is held else 0 : text.at]
    return item(where, value, key, source, in_list=in_list)


def item(where: str, value: Any, key: str | None, source: str, *, in_list: bool) -> Item:
    """A value that was read, and what it was read from, if it may have to be shown."""
    why = halves(source)
    return Item(where, value, key, in_list, len(source), why, source[:SHOWN] if why or not isinstance(value, dict) else "")


def broken(text: Text, where: str, why: str, key: str | None, *, in_list: bool = False) -> Item:
    """A value that is none, which is stepped over."""
    raw, rest = text.held[text.at : text.at + SHOWN], ""
    if not text.skip():
        text.lost, rest = True, ", and what comes after it in the file could not be told from it"
    return Item(where, key=key, listed=in_list, reason=f"it is no JSON ({why}){rest}", raw=raw)


def cut_off(text: Text, where: str, key: str | None, *, in_list: bool = False) -> Item:
    """A value at which the text ends."""
    raw, text.lost = text.held[text.at : text.at + SHOWN], True
    why = f" ({text.cut})" if text.cut else ""
    return Item(where, key=key, listed=in_list, reason=f"the file ends amid this{why}; what came before was read", raw=raw)


def halves(source: str) -> str:
    """What is wrong with text that came of bytes that are no UTF-8; empty if nothing is."""
    if source.isascii():
        return ""
    try:
        source.encode()
    except UnicodeEncodeError as fault:
        return f"it holds bytes that are not UTF-8, at character {fault.start + 1} of it"
    return ""


def wrong(fault: BaseException) -> str:
    """What is wrong, in short."""
    if isinstance(fault, json.JSONDecodeError):
        return f"{fault.msg[:1].lower()}{fault.msg[1:]}"
    return "it is nested too deep" if isinstance(fault, RecursionError) else str(fault)
