"""A server that speaks kdb+'s protocol, on loopback, for tests: aiokdb's, which encodes and checks logins. It is not q.

It knows the fixed texts that the importer sends, by heart, and answers them from Python's lists as q would by its documentation. So it proves what goes
over the wire, not that q reads those texts so.
"""

import asyncio
import ssl
import struct
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from aiokdb import AttrEnum, KFlip, KObj, MessageType, TypeEnum, b9, cv, kb, kj, kk, ks, ktn, xd, xt
from aiokdb.compress import compress
from aiokdb.extras import ktns
from aiokdb.server import KdbWriter, ServerContext, handle_connection

from workbench.importers import kdb

LETTERS = {
    one: TypeEnum[name]
    for one, name in zip(
        "bgxhijefcspmdznuvt",
        ["KB", "UU", "KG", "KH", "KI", "KJ", "KE", "KF", "KC", "KS", "KP", "KM", "KD", "KZ", "KN", "KU", "KV", "KT"],
        strict=True,
    )
}
PATTERN = {"j": "kJ", "e": "kE", "f": "kF", "p": "kJ", "z": "kF", "n": "kJ", "g": "kU", "x": "kG"}
DAY_NS = 86_400_000_000_000


@dataclass
class Col:
    """A column: the letter of its type, its values in q's units (text for `s`, `c` and `C`), and its attribute."""

    letter: str
    values: list[Any]
    attribute: str = ""


@dataclass
class Tab:
    """A table, or one with partitions: then it is in so many parts, and `by` is not among the columns."""

    columns: dict[str, Col] = field(default_factory=dict)
    keys: tuple[str, ...] = ()
    parts: dict[int, "Tab"] = field(default_factory=dict)
    by: str = ""

    @property
    def rows(self) -> int:
        return sum(one.rows for one in self.parts.values()) if self.by else len(next(iter(self.columns.values())).values)


class Signed(KObj):
    """Whole numbers of two or four bytes, of which the library packs none below zero."""

    def __init__(self, kind: TypeEnum, values: list[int], attribute: int) -> None:
        super().__init__(kind, attr=attribute)
        self.packed = struct.pack(f"<{len(values)}{'h' if kind == TypeEnum.KH else 'i'}", *values)
        self.count = len(values)

    def __len__(self) -> int:
        return self.count

    def _databytes(self) -> bytes:
        return struct.pack("<bBi", self.t, self.attrib, self.count) + self.packed

    def _paysz(self) -> int:
        return 6 + len(self.packed)


def vector(letter: str, values: list[Any], attribute: str = "") -> KObj:
    """Values of one type for the wire."""
    if letter == " ":
        return kk(*values)
    if letter == "C":
        return kk(*map(cv, values))
    if letter in "EFHIJ":
        return kk(*(vector(letter.lower(), one) for one in values))
    if letter == "c":
        return cv("".join(values))
    known = AttrEnum.SORTED if attribute == "s" else AttrEnum.NONE
    if letter in "himduvt":
        return Signed(LETTERS[letter], values, known)
    made = ktn(LETTERS[letter], attr=known)
    if letter == "s":
        made.appendS(*values)
    elif letter == "b":
        made.kG().extend(map(int, values))
    else:
        getattr(made, PATTERN[letter])().extend(values)
    return made


def table(columns: dict[str, Col], keys: tuple[str, ...] = ()) -> KObj:
    def flat(names: list[str]) -> KFlip:
        return xt(xd(ktns(*names), kk(*(vector(columns[n].letter, columns[n].values, columns[n].attribute) for n in names))))

    if not keys:
        return flat(list(columns))
    return xd(flat(list(keys)), flat([name for name in columns if name not in keys]))


class Process(ServerContext):
    """What answers: tables, by their names, and faults to be had."""

    def __init__(self, tables: dict[str, Tab], password: str | None) -> None:
        super().__init__(password)
        self.tables = tables
        self.asked: list[tuple[str, list[Any]]] = []
        # What to do at the text with this beginning: raise an error of q's, end, say nothing, or answer bytes.
        self.faults: dict[str, Callable[[KdbWriter], KObj]] = {}
        self.compressed = False
        self.largest = 0

    async def on_sync_request(self, cmd: KObj, dotzw: KdbWriter) -> KObj:
        text, values = (cmd.aS(), []) if cmd.t == TypeEnum.KC else (cmd.kK()[0].aS(), [python(one) for one in cmd.kK()[1:]])
        self.asked.append((text, values))
        for known, fault in self.faults.items():
            if text == known:
                await asyncio.sleep(0)
                return fault(dotzw)
        answer = ANSWERS[text](self, *values)
        self.largest = max(self.largest, len(b9(answer)))
        if self.compressed:
            dotzw.write = partial(packed, dotzw)  # type: ignore[method-assign]
        return answer

    def listed(self) -> KObj:
        return ktns(*sorted(self.tables))

    def look(self, name: str) -> KObj:
        one = self.tables[name]
        columns = dict(next(iter(one.parts.values())).columns) if one.by else one.columns
        columns = {one.by: Col("d", [])} | columns if one.by else columns
        letters, marks = "".join(c.letter for c in columns.values()), [c.attribute for c in columns.values()]
        meta = {"c": Col("s", list(columns)), "t": Col("c", list(letters)), "f": Col("s", [""] * len(columns)), "a": Col("s", marks)}
        return kk(table(meta), kj(one.rows), kb(bool(one.by)))

    def partitions(self) -> KObj:
        one = next(one for one in self.tables.values() if one.by)
        return kk(ks(one.by), vector("d", sorted(one.parts)))

    def part(self, name: str, by: str, part: Any) -> Tab:
        one = self.tables[name]
        if not by:
            return one
        found = one.parts.get(part) or Tab({n: Col(c.letter, []) for n, c in next(iter(one.parts.values())).columns.items()})
        return Tab({by: Col("d", [part] * found.rows)} | found.columns)

    def count(self, name: str, by: str, part: Any) -> KObj:
        return table({"n": Col("j", [self.part(name, by, part).rows])})

    def rows(self, one: Tab, numbers: list[int], names: list[str]) -> KObj:
        return table(
            {n: Col(one.columns[n].letter, [one.columns[n].values[at] for at in numbers], one.columns[n].attribute) for n in names}
        )

    def from_on(self, one: Tab, by: list[str], low: Any, high: Any = None) -> list[int]:
        values = expression(one, by) if by and by[0] else [0] * one.rows
        return [at for at in range(one.rows) if (low is None or values[at] >= low) and (high is None or values[at] < high)]

    def slice(self, name: str, by: str, part: Any, names: list[str], limited: list[str], low: Any, at: int, count: int) -> KObj:
        one = self.part(name, by, part)
        return self.rows(one, [row for row in self.from_on(one, limited, low) if at <= row <= at + count - 1], names)

    def bounds(self, name: str, by: str, part: Any, order: list[str], low: Any, count: int) -> KObj:
        one = self.part(name, by, part)
        values = expression(one, order)
        ranked = sorted(values[row] for row in self.from_on(one, order, low))
        letter = "p" if len(order) == 2 else one.columns[order[0]].letter
        return table({"x": Col(letter, list(dict.fromkeys(ranked[::count])))})

    def range(self, name: str, by: str, part: Any, names: list[str], order: list[str], low: Any, high: Any) -> KObj:
        one = self.part(name, by, part)
        values = expression(one, order)
        return self.rows(one, sorted(self.from_on(one, order, low, high), key=lambda row: values[row]), names)


def packed(writer: KdbWriter, answer: KObj, kind: MessageType = MessageType.SYNC) -> None:
    """Write an answer as q does to another host: compressed, if that makes it half as large."""
    whole = b9(answer, msgtype=kind)
    small = compress(whole[8:])
    writer.writer.write(bytes((1, kind, 1, 0)) + (len(small) + 8).to_bytes(4, "little") + small if small else whole)


ANSWERS: dict[str, Callable[..., KObj]] = {
    kdb.TABLES: Process.listed,
    kdb.LOOK: Process.look,
    kdb.PARTITIONS: Process.partitions,
    kdb.COUNT: Process.count,
    kdb.SLICE: Process.slice,
    kdb.BOUNDS: Process.bounds,
    kdb.RANGE: Process.range,
}


def expression(one: Tab, by: list[str]) -> list[Any]:
    """A column, or a day and the time of it as q's nanoseconds."""
    if len(by) == 1:
        return one.columns[by[0]].values
    unit = {"n": 1, "t": 1_000_000, "v": 1_000_000_000, "u": 60_000_000_000}[one.columns[by[1]].letter]
    return [day * DAY_NS + at * unit for day, at in zip(one.columns[by[0]].values, one.columns[by[1]].values, strict=True)]


def python(one: KObj) -> Any:
    """A parameter as Python has it."""
    match one.t:
        case TypeEnum.NIL:
            return None
        case TypeEnum.KS:
            return list(one.kS())
        case -11:
            return one.aS()
        case -7 | -12 | -16:
            return one.aJ()
        case -9 | -15:
            return one.aF()
        case _:
            return one.aI() if one.t < 0 else one


@dataclass
class Running:
    """A running server; `stop` ends it at once."""

    port: int
    process: Process
    stop: Callable[[], None]
    scheme: str = "kdb"

    @property
    def url(self) -> str:
        return f"{self.scheme}://127.0.0.1:{self.port}"


@contextmanager
def kdb_server(tables: dict[str, Tab], *, password: str | None = None, tls: ssl.SSLContext | None = None) -> Iterator[Running]:
    """Run one until the block ends, on 127.0.0.1 only."""
    loop = asyncio.new_event_loop()
    process = Process(tables, password)
    writers: list[asyncio.StreamWriter] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writers.append(writer)
        with suppress(asyncio.CancelledError, ConnectionError):
            await handle_connection(process, reader, writer)

    server = loop.run_until_complete(asyncio.start_server(serve, "127.0.0.1", 0, ssl=tls))
    port = server.sockets[0].getsockname()[1]
    thread = threading.Thread(target=loop.run_forever, daemon=True)
    thread.start()
    stopped = threading.Event()

    async def end() -> None:
        server.close()
        for one in writers:
            one.transport.abort()
        others = [task for task in asyncio.all_tasks() if task is not asyncio.current_task()]
        for task in others:
            task.cancel()
        await asyncio.gather(*others, return_exceptions=True)

    def stop() -> None:
        if not stopped.is_set():
            stopped.set()
            asyncio.run_coroutine_threadsafe(end(), loop).result(5)

    try:
        yield Running(port, process, stop, "kdbs" if tls else "kdb")
    finally:
        stop()
        loop.call_soon_threadsafe(loop.stop)
        thread.join(5)
        loop.close()
