"""What kdb+ and its clients say to each other: https://code.kx.com/q/basics/ipc/, as far as reading tables takes it.

Ours, because what is there either brings code under a proprietary licence (pykx), has infinities come as nulls (xqdb), or is a test's server (aiokdb).
"""

import socket
import ssl
import struct
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from workbench.errors import BadKeys, BrokenAnswer, SourceError, Unreachable

if TYPE_CHECKING:
    import numpy as np

# Compression, timestamps, timespans and guids; messages up to 2 GB.
CAPABILITY = b"\x03"
GENERAL, BOOLEAN, GUID, BYTE, SHORT, INT, LONG, REAL, FLOAT, CHAR, SYMBOL = 0, 1, 2, 4, 5, 6, 7, 8, 9, 10, 11
TIMESTAMP, MONTH, DATE, DATETIME, TIMESPAN, MINUTE, SECOND, TIME = 12, 13, 14, 15, 16, 17, 18, 19
TABLE, DICT, LAMBDA, NOTHING, SORTED_DICT, ERROR = 98, 99, 100, 101, 127, -128
# How each type that has values of one size lies in a message, without the order of its bytes.
LAYOUT = {
    BOOLEAN: "i1",
    BYTE: "u1",
    SHORT: "i2",
    INT: "i4",
    LONG: "i8",
    REAL: "f4",
    FLOAT: "f8",
    CHAR: "u1",
    TIMESTAMP: "i8",
    MONTH: "i4",
    DATE: "i4",
    DATETIME: "f8",
    TIMESPAN: "i8",
    MINUTE: "i4",
    SECOND: "i4",
    TIME: "i4",
}
LARGEST = 2**31


class Refused(Exception):
    """What q answers in place of a result: the name of an error."""


@dataclass(frozen=True)
class Atom:
    """One value as q has it: a number in q's own units, text in bytes."""

    type: int
    value: Any


@dataclass(frozen=True)
class Vector:
    """Values of one type, or of any if that is `GENERAL`. `sorted` says that q knows them to be in order."""

    type: int
    values: "np.ndarray[Any, Any] | list[Any]"
    sorted: bool = False

    def __len__(self) -> int:
        return len(self.values)


@dataclass(frozen=True)
class Dict:
    """Keys with their values, neither of them a table."""

    keys: Any
    values: Any


Table = dict[str, Vector]


def encoded(value: Any) -> bytes:
    """A value for q: `str` is a symbol, `bytes` is text, a tuple of `str` symbols, `int` a long, `Atom` what it says, None the generic null."""
    match value:
        case None:
            return b"\x65\x00"
        case bool():
            return struct.pack("<bB", -BOOLEAN, value)
        case int():
            return struct.pack("<bq", -LONG, value)
        case str():
            return b"\xf5" + named(value)
        case bytes():
            return struct.pack("<bBi", CHAR, 0, len(value)) + value
        case tuple():
            return struct.pack("<bBi", SYMBOL, 0, len(value)) + b"".join(map(named, value))
        case Atom(type=kind, value=one):
            code = {"i1": "b", "u1": "B", "i2": "h", "i4": "i", "i8": "q", "f4": "f", "f8": "d"}[LAYOUT[kind]]
            return struct.pack(f"<b{code}", -kind, one)
    raise TypeError(f"{type(value).__name__} is not said to q")


def named(name: str) -> bytes:
    """A symbol's bytes; raises `ValueError` for one that would end early."""
    if "\0" in name:
        raise ValueError(f"{name!r} is no name in q, which ends one at a zero")
    return name.encode() + b"\0"


class Connection:
    """A connection to a q process. `timeout` is for it to answer at all, `patience` for each answer to go on; both are in seconds.

    Opening it raises `Unreachable` and `BadKeys`; `ask` raises `Refused` for q's errors, `Unreachable` for a process that goes away or falls silent.
    """

    def __init__(
        self,
        host: str,
        port: int,
        *,
        user: str = "",
        password: str = "",
        timeout: float = 10,
        patience: float = 60,
        tls: ssl.SSLContext | None = None,
    ):
        self.name = f"{host}:{port}"
        self._socket: socket.socket | None = None
        try:
            plain = socket.create_connection((host, port), timeout)
        except OSError as fault:
            raise Unreachable(
                f"{self.name} does not answer ({said(fault)}); nothing was read. Is it running, and does it listen there?"
            ) from None
        self._socket = plain
        try:
            if tls is not None:
                self._socket = tls.wrap_socket(plain, server_hostname=host)
            # Those that want none take no user to be an empty one.
            self._socket.sendall(f"{user}:{password}".encode() + CAPABILITY + b"\0")
            capability = self._socket.recv(1)
            self._socket.settimeout(patience)
        except TimeoutError:
            self.close()
            raise Unreachable(f"{self.name} is silent for {timeout:g} s; nothing was read. Is it a q process, and is it idle?") from None
        except ssl.SSLError as fault:
            self.close()
            raise Unreachable(
                f"{self.name} cannot be spoken to in TLS ({fault.reason or said(fault)}); nothing was read. "
                "Does it speak TLS, and is its certificate known to tlsCAFile and for this host?"
            ) from None
        except OSError:
            capability = b""
        if not capability:
            self.close()
            raise BadKeys(
                f"{self.name} refuses {'the user or the password' if user or password else 'users without a password'}; nothing was read."
            )

    def ask(self, text: str, *values: Any) -> Any:
        """What a text of q is worth, or a function with values for its parameters; these go as what they are, never as part of the text."""
        if self._socket is None:
            raise Unreachable(f"{self.name} is closed; nothing was read.")
        body = (
            encoded(text.encode())
            if not values
            else struct.pack("<bBi", 0, 0, 1 + len(values)) + b"".join(map(encoded, (text.encode(), *values)))
        )
        try:
            self._socket.sendall(struct.pack("<BBBBi", 1, 1, 0, 0, 8 + len(body)) + body)
            kind = 0
            while kind != 2:
                kind, answer, order = self._message()
        except TimeoutError:
            self.close()
            raise Unreachable(f"{self.name} stopped answering; what had come before is in.") from None
        except OSError as fault:
            self.close()
            raise Unreachable(f"{self.name} went away ({said(fault)}); what had come before is in.") from None
        try:
            found = Decoder(answer, order).whole()
        except (struct.error, ValueError, IndexError, KeyError, RecursionError) as fault:
            raise BrokenAnswer(f"{self.name} answers what is not kdb+'s format ({fault}); what had come before is in.") from None
        if isinstance(found, Atom) and found.type == ERROR:
            raise Refused(found.value.decode(errors="replace"))
        return found

    def _message(self) -> tuple[int, bytes, str]:
        head = self._exactly(8)
        order = "<" if head[0] == 1 else ">"
        (length,) = struct.unpack_from(f"{order}I", head, 4)
        if not 8 < length < LARGEST:
            self.close()
            raise BrokenAnswer(
                f"{self.name} answers with a message of {length} bytes, which is none of kdb+'s; what had come before is in."
            )
        body = self._exactly(length - 8)
        if head[2]:
            try:
                body = inflated(body, order)
            except (IndexError, struct.error):
                raise BrokenAnswer(f"{self.name} answers with a message that is compressed wrong; what had come before is in.") from None
        return head[1], body, order

    def _exactly(self, count: int) -> bytes:
        assert self._socket is not None
        # Grows with what comes, not with what is promised.
        got = bytearray()
        while len(got) < count:
            piece = self._socket.recv(min(count - len(got), 1 << 20))
            if not piece:
                raise ConnectionError("it closed the connection")
            got += piece
        return bytes(got)

    @property
    def closed(self) -> bool:
        """Whether it is at its end, by us or by the process."""
        return self._socket is None

    def close(self) -> None:
        """End it."""
        if self._socket is not None:
            self._socket.close()
            self._socket = None


def said(fault: OSError) -> str:
    """What an error of the system says, in words."""
    return fault.strerror or str(fault) or type(fault).__name__


def inflated(data: bytes, order: str = "<") -> bytes:
    """A message's body as it was before q compressed it: bytes as they are, and repetitions of what stood where two bytes were last alike in their xor."""
    size = struct.unpack_from(f"{order}I", data)[0] - 8
    if not 0 <= size < LARGEST:
        raise IndexError("its length makes no sense")
    out = bytearray(size)
    last = [0] * 256
    read, wrote, hashed = 4, 0, 0
    while wrote < size:
        flags = data[read]
        read += 1
        for bit in range(8):
            if wrote >= size:
                break
            more = 0
            if flags >> bit & 1:
                start, more = last[data[read]], data[read + 1]
                read += 2
                end = wrote + 2 + more
                if end > size or start >= wrote:
                    raise IndexError("it repeats what is not there")
                gap = wrote - start
                if gap >= 2 + more:
                    out[wrote:end] = out[start : start + 2 + more]
                else:
                    pattern = bytes(out[start:wrote])
                    out[wrote:end] = (pattern * ((2 + more) // gap + 1))[: 2 + more]
                wrote += 2
            else:
                out[wrote] = data[read]
                read += 1
                wrote += 1
            while hashed < wrote - 1:
                last[out[hashed] ^ out[hashed + 1]] = hashed
                hashed += 1
            wrote += more
            if flags >> bit & 1:
                hashed = wrote
    return bytes(out)


class Decoder:
    """Reads values from a message's body, from its beginning on."""

    def __init__(self, data: bytes, order: str = "<"):
        self.data, self.order, self.at = data, order, 0

    def whole(self) -> Any:
        """The one value that it is; raises `ValueError` if there is more."""
        value = self.value()
        if self.at != len(self.data):
            raise ValueError(f"{len(self.data) - self.at} bytes are left over")
        return value

    def _take(self, code: str) -> Any:
        (value,) = struct.unpack_from(self.order + code, self.data, self.at)
        self.at += struct.calcsize(self.order + code)
        return value

    def _text(self) -> bytes:
        end = self.data.index(b"\0", self.at)
        text, self.at = self.data[self.at : end], end + 1
        return text

    def value(self) -> Any:
        """The value that stands next."""
        kind = self._take("b")
        if kind == ERROR:
            return Atom(ERROR, self._text())
        if kind < 0:
            return Atom(-kind, self._one(-kind))
        if kind <= TIME:
            return self._vector(kind)
        if kind == TABLE:
            self._take("b")
            return self._table(self.value())
        if kind in (DICT, SORTED_DICT):
            keys, values = self.value(), self.value()
            if isinstance(keys, dict) and isinstance(values, dict):
                # A keyed table is a table of keys with a table of the rest.
                return keys | values
            return Dict(keys, values)
        if kind in (NOTHING, 102, 103):
            self._take("b")
            return None
        raise ValueError(f"a value of type {kind}, which is no data")

    def _one(self, kind: int) -> Any:
        if kind == SYMBOL:
            return self._text()
        if kind == GUID:
            value, self.at = self.data[self.at : self.at + 16], self.at + 16
            return value
        [value] = self._many(kind, 1)
        return value.item()

    def _many(self, kind: int, count: int) -> "np.ndarray[Any, Any]":
        import numpy as np

        dtype = np.dtype(self.order + LAYOUT[kind])
        values = np.frombuffer(self.data, dtype, count, self.at)
        self.at += count * dtype.itemsize
        return values if self.order == "<" else values.astype(dtype.newbyteorder("<"))

    def _vector(self, kind: int) -> Vector:
        known = self._take("b") == 1
        count = self._take("i")
        if count < 0:
            raise ValueError(f"a list of {count} values")
        if kind == GENERAL:
            return Vector(kind, [self.value() for _ in range(count)])
        if kind == SYMBOL:
            *texts, _ = self.data[self.at :].split(b"\0", count)
            if len(texts) != count:
                raise ValueError("a list of symbols without its end")
            self.at += sum(map(len, texts)) + count
            return Vector(kind, texts, known)
        if kind == GUID:
            end = self.at + 16 * count
            if end > len(self.data):
                raise ValueError("a list of guids without its end")
            values, self.at = [self.data[at : at + 16] for at in range(self.at, end, 16)], end
            return Vector(kind, values, known)
        return Vector(kind, self._many(kind, count), known)

    def _table(self, columns: Any) -> Table:
        names, values = columns.keys, columns.values
        if names.type != SYMBOL or values.type != GENERAL or len(names) != len(values):
            # A list of columns that have one type comes as a list of lists all the same.
            raise ValueError("a table without names for its columns")
        return {name.decode(): one for name, one in zip(names.values, values.values, strict=True)}


def refusal(name: str, fault: Refused, outcome: str) -> SourceError:
    """A refusal of q's as an error that says what it means."""
    from workbench.errors import NotEntitled

    text = str(fault)
    if "permission" in text.lower() or "access" in text.lower():
        return NotEntitled(f"{name} does not let this user do that ('{text}); {outcome}.")
    meaning = {
        "stop": "its own limit of time ended the query",
        "wsfull": "it ran out of memory",
        "limit": "its answer would be larger than 2 GB",
    }.get(text, "")
    return SourceError(f"{name} refuses: '{text}{f', {meaning}' if meaning else ''}; {outcome}.")
