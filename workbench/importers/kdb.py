"""kdb+ as an origin: the tables of one q process, in memory or on disk.

What is said to q is fixed text; names, values and limits go beside it as what they are, as a function's parameters. Nothing is set or kept there. Rows
come in slices of a table, and of a partition where it has those, so that neither side needs memory for more.
"""

import re
import ssl
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from typing import Any
from urllib.parse import parse_qsl, unquote

from workbench.errors import SourceError, UsageError
from workbench.importers import q_columns, q_ipc
from workbench.importers.origin import BATCH_ROWS, Arrived, Asked, Column, Held, Origin, Reject
from workbench.importers.q_columns import EPOCH_NS, LETTERS, TEMPORAL, UNITS, kind_of
from workbench.importers.q_ipc import Atom, Connection, Refused, Table, Vector

# A slice is as many rows as make up so many bytes, by those that came before.
SLICE_BYTES = 24_000_000
FIRST_ROWS = 10_000
# An answer may be so many times `timeout` away: q answers one after the other, and sorts before it does.
PATIENCE = 6
DAY_NS = 86_400_000_000_000

TABLES = "tables[]"
LOOK = "{[t] v:get t; (0!meta v;count v;1b~.Q.qp v)}"
PARTITIONS = "(.Q.pf;.Q.pv)"
COUNT = "{[t;f;d] ?[t;enlist(=;f;d);0b;(enlist`n)!enlist(count;`i)]}"
# The column that rows are limited by: one, or a day with a time of it.
BY = 'e:$[2=count o;(+;($;"p";o 0);($;"n";o 1));first o];'
# Of one partition, if there are any, and from a value on, if there is one.
WHERE = "w:$[null f;();enlist(=;f;d)]; w,:$[lo~(::);();enlist(>=;e;lo)];"
SLICE = f"{{[t;f;d;cs;o;lo;j;n] {BY} {WHERE} ?[t;w,enlist(within;`i;(j;j+n-1));0b;cs!cs]}}"
# Where slices of n rows in order begin.
BOUNDS = f"{{[t;f;d;o;lo;n] {BY} {WHERE} x:asc(0!?[t;w;0b;(enlist`x)!enlist e])`x; ([]x:distinct x n*til ceiling(count x)%n)}}"
RANGE = f"{{[t;f;d;cs;o;lo;hi] {BY} {WHERE} w,:$[hi~(::);();enlist(<;e;hi)]; o xasc 0!?[t;w;0b;cs!cs]}}"


@dataclass(frozen=True)
class Look:
    """What is known of a table: the letter of each column's type, which columns q knows to be in order, how many rows, and if it has partitions."""

    letters: Mapping[str, str] = field(default_factory=dict)
    sorted: frozenset[str] = frozenset()
    rows: int = 0
    partitioned: bool = False


class Kdb(Origin):
    """A q process by its URL, `kdb://user:password@host:port`; `kdbs://` speaks TLS, and checks the certificate against `?tlsCAFile=` or the system's.

    `timeout` is in seconds. Two columns make one where it is said: `date+time` is an instant, `bids+bsizes` a list of pairs; such columns are listed
    beside the others, and fit nothing of ours by their names.
    """

    kind = "kdb"

    def __init__(self, url: str, timeout: float = 10):
        match = re.fullmatch(r"(kdbs?)://(?:(.*)@)?(\[[^\]]+\]|[^/?@:]+):(\d{1,5})/?(?:\?(.*))?", url.strip(), re.DOTALL)
        if not match:
            raise UsageError("a URL of kdb+ is kdb://user:password@host:5001, or kdbs://… with TLS; nothing was read.")
        scheme, keys, host, port, query = match.groups(default="")
        user, _, password = keys.partition(":")
        options = {name.lower(): value for name, value in parse_qsl(query)}
        if unknown := options.keys() - {"tlscafile"}:
            raise UsageError(f"a URL of kdb+ has no option {', '.join(sorted(unknown))}; nothing was read. It has tlsCAFile.")
        self.label = f"{scheme}://{host.lower()}:{port}"
        self.notes: list[str] = [
            f"{self.label} is read table by table, as q has no snapshots: what is written to it while it is read may be in or not."
        ]
        self._looks: dict[str, Look] = {}
        self._partitions: tuple[str, Vector] | None = None
        self._names: list[tuple[int, str]] = []
        tls = None
        if scheme == "kdbs":
            try:
                tls = ssl.create_default_context(cafile=options.get("tlscafile"))
            except OSError as fault:
                raise UsageError(f"{options.get('tlscafile')} holds no certificates ({q_ipc.said(fault)}); nothing was read.") from None
        self._connection = Connection(
            host.strip("[]"),
            int(port),
            user=unquote(user),
            password=unquote(password),
            timeout=timeout,
            patience=timeout * PATIENCE,
            tls=tls,
        )

    def _ask(self, text: str, *values: Any, of: str = "") -> Any:
        try:
            return self._connection.ask(text, *values)
        except Refused as fault:
            raise q_ipc.refusal(f"{self.label} {of}".rstrip(), fault, "what had come before is in" if of else "nothing was read") from None

    def tables(self) -> list[Held]:
        found = self._ask(TABLES)
        if not isinstance(found, Vector) or found.type not in (q_ipc.SYMBOL, q_ipc.GENERAL):
            raise SourceError(f"{self.label} does not list its tables; nothing was read.")
        return [self._held(name.decode(errors="backslashreplace")) for name in found.values]

    def _held(self, name: str) -> Held:
        try:
            look = self._look(name)
        except (SourceError, UnicodeDecodeError) as fault:
            if self._connection.closed:
                raise
            return Held(name, (), fault=f"{name} cannot be read: {fault}")
        columns = [Column(one, kind_of(letter)) for one, letter in look.letters.items()]
        days = [one for one, letter in look.letters.items() if letter == "d"]
        times = [one for one, letter in look.letters.items() if LETTERS.get(letter) in UNITS]
        lists = [one for one, letter in look.letters.items() if letter in "EFHIJ"]
        columns += [Column(f"{day}+{time}", "timestamp of two columns", made=True) for day in days for time in times]
        columns += [Column(f"{one}+{other}", "list of pairs of two columns", made=True) for one in lists for other in lists if one != other]
        return Held(name, tuple(columns), look.rows)

    def _look(self, name: str) -> Look:
        found = self._ask(LOOK, name, of=name)
        try:
            meta, rows, partitioned = found.values
            names = [one.decode() for one in meta["c"].values]
            letters = meta["t"].values.tobytes().decode("latin-1")
            known = meta["a"].values
            look = Look(
                dict(zip(names, letters, strict=True)),
                frozenset(one for one, mark in zip(names, known, strict=True) if mark == b"s"),
                int(rows.value),
                bool(partitioned.value),
            )
        except (AttributeError, TypeError, KeyError, ValueError) as fault:
            raise SourceError(f"{self.label} does not say what {name} is ({fault}); nothing of it was read.") from None
        self._looks[name] = look
        return look

    def ordered(self, table: Held, column: str) -> bool:
        """Whether q knows the column to be in order, or partitions are by it."""
        look = self._looks.get(table.name) or self._look(table.name)
        parts = column.split("+")
        if look.partitioned:
            by, _ = self._parted()
            return parts[0] == by and (len(parts) == 1 or LETTERS.get(look.letters.get(parts[1], "")) in UNITS)
        return len(parts) == 1 and column in look.sorted

    def _parted(self) -> tuple[str, Vector]:
        """The column that partitions are by, and its values."""
        if self._partitions is None:
            found = self._ask(PARTITIONS)
            by, values = found.values if isinstance(found, Vector) and len(found) == 2 else (None, None)
            if not isinstance(by, Atom) or not isinstance(values, Vector):
                raise SourceError(f"{self.label} does not say what its partitions are; nothing of partitioned tables was read.")
            self._partitions = by.value.decode(), values
        return self._partitions

    def batches(self, asked: Asked) -> Iterator[Arrived]:
        name = asked.table.name
        look = self._look(name)
        self._names = []
        wanted = list(
            dict.fromkeys(part for one in [*asked.columns, *([asked.order] if asked.order else [])] for part in parts_of(one, look.letters))
        )
        if not wanted:
            return
        number = 0
        for place, found in self._slices(asked, look, tuple(wanted)):
            rows = len(next(iter(found.values()), ()))
            arrived = self._arrived(asked, found, rows, place)
            if not self._names or self._names[-1][1] != place:
                self._names.append((number, place))
            number += arrived.count
            if rows:
                yield arrived

    def where(self, table: Held, number: int) -> str:
        """By its number, and by the partition that it came of."""
        place = next((place for start, place in reversed(tuple(self._names)) if start <= number), "")
        return f"{table.name}{place} row {number}"

    def _slices(self, asked: Asked, look: Look, wanted: tuple[str, ...]) -> Iterator[tuple[str, Table]]:
        since = self._since(asked, look)
        if not look.partitioned:
            yield from (("", one) for one in self._of(asked, look, wanted, since, "", None, look.rows))
            return
        by, values = self._parted()
        from_day = lowest(since[1], values.type) if since else None
        for value in sorted(values.values.tolist() if not isinstance(values.values, list) else values.values):
            if from_day is not None and value < from_day:
                continue
            part = Atom(values.type, value)
            counted = self._ask(COUNT, asked.table.name, by, part, of=asked.table.name)
            numbers = counted["n"].values
            rows = int(numbers[0]) if len(numbers) else 0
            place = f" {by} {shown(part)}"
            if rows:
                yield from ((place, one) for one in self._of(asked, look, wanted, since, by, part, rows))

    def _of(
        self, asked: Asked, look: Look, wanted: tuple[str, ...], since: tuple[str, Atom] | None, by: str, part: Atom | None, rows: int
    ) -> Iterator[Table]:
        """The rows of a table, or of a part of it, slice by slice."""
        name = asked.table.name
        limited = tuple(since[0].split("+")) if since else ("",)
        low = since[1] if since else None
        order = tuple(part_of for part_of in asked.order.split("+") if part_of) if asked.order else ()
        # Of one day's partition, the day is the same.
        if not order or order == (by,) or (len(order) == 1 and order[0] in look.sorted):
            at, count = 0, FIRST_ROWS
            while at < rows:
                count = min(count, rows - at)
                found = self._ask(SLICE, name, by, part, wanted, limited, low, at, count, of=name)
                yield found
                at += count
                count = slice_rows(found, count)
            return
        probe = self._ask(SLICE, name, by, part, wanted, limited, None, 0, min(rows, 1000), of=name)
        bounds = self._ask(BOUNDS, name, by, part, order, low, slice_rows(probe, min(rows, 1000)), of=name)["x"]
        starts = [Atom(bounds.type, one) for one in bounds.values.tolist()]
        for at, start in enumerate(starts):
            end = starts[at + 1] if at + 1 < len(starts) else None
            yield self._ask(RANGE, name, by, part, wanted, order, start, end, of=name)

    def _since(self, asked: Asked, look: Look) -> tuple[str, Atom] | None:
        """From which value on, in q's units; None if all rows are wanted, or if the column is of a type that it cannot be said in."""
        if asked.since is None:
            return None
        name, value = asked.since
        if asked.order and asked.order != name:
            return None
        parts = name.split("+")
        kind = q_ipc.TIMESTAMP if len(parts) == 2 else LETTERS.get(look.letters.get(name, ""))
        said = in_q(value, kind)
        return (name, said) if said is not None else None

    def _arrived(self, asked: Asked, found: Table, rows: int, place: str) -> Arrived:
        """A slice as columns; rows with values that cannot be kept are rejects."""
        import numpy as np

        columns: dict[str, Any] = {}
        bad: dict[int, str] = {}
        for name, ours in asked.columns.items():
            vectors = [found[part] for part in parts_of(name, found)]
            if not vectors:
                continue
            made, wrong = (
                q_columns.joined(vectors[0], vectors[1], ours.type) if len(vectors) == 2 else q_columns.column(vectors[0], ours.type)
            )
            columns[name] = made
            for row, why in wrong.items():
                bad.setdefault(row, f"{name} {why}")
        if not bad:
            return Arrived(rows, columns)
        keep = np.array([row for row in range(rows) if row not in bad], "i8")
        rejects = tuple(
            Reject(f"{asked.table.name}{place}", bad[row], {name: told(values[row]) for name, values in columns.items()})
            for row in sorted(bad)
        )
        kept = {name: [values[row] for row in keep] if isinstance(values, list) else values.take(keep) for name, values in columns.items()}
        return Arrived(len(keep), kept, rejects)

    def close(self) -> None:
        self._connection.close()


def parts_of(name: str, known: Mapping[str, Any]) -> tuple[str, ...]:
    """The columns of q's that make up one: itself, or the two that its name joins."""
    if name in known:
        return (name,)
    parts = tuple(name.split("+"))
    return parts if len(parts) == 2 and all(part in known for part in parts) else ()


def slice_rows(found: Table, rows: int) -> int:
    """How many rows to ask for next, by how large those are that came."""
    if not (came := len(next(iter(found.values()), ()))):
        return min(rows * 4, BATCH_ROWS)
    size = sum(size_of(one) for one in found.values()) / came
    return max(1_000, min(BATCH_ROWS, int(SLICE_BYTES / max(size, 1))))


def size_of(value: Any) -> int:
    """Some bytes that a value takes in a message."""
    if isinstance(value, Vector):
        if not isinstance(value.values, list):
            return int(value.values.nbytes)
        return sum(len(one) + 1 if isinstance(one, bytes) else 6 + size_of(one) for one in value.values)
    return sum(map(size_of, value.values())) if isinstance(value, dict) else 16


def lowest(low: Atom, kind: int) -> int | None:
    """The first partition that rows from a value on may be in; one day before, as a day there may be of another zone than times."""
    if kind != q_ipc.DATE:
        return None
    if low.type == q_ipc.DATE:
        return int(low.value) - 1
    if low.type == q_ipc.TIMESTAMP:
        return int(low.value) // DAY_NS - 1
    return int(low.value) - 1 if low.type == q_ipc.DATETIME else None


def in_q(value: Any, kind: int | None) -> Atom | None:
    """A value as q has those of a type; None where it has no such value."""
    if isinstance(value, datetime):
        value = value.astimezone(UTC) if value.tzinfo else value.replace(tzinfo=UTC)
        delta = value - datetime(2000, 1, 1, tzinfo=UTC)
        us = (delta.days * 86_400 + delta.seconds) * 1_000_000 + delta.microseconds
        if kind == q_ipc.TIMESTAMP and abs(us) < EPOCH_NS // 1_000 * 9:
            return Atom(kind, us * 1_000)
        if kind == q_ipc.DATETIME:
            return Atom(kind, us / 86_400_000_000)
        return Atom(kind, delta.days) if kind == q_ipc.DATE else None
    if isinstance(value, date):
        days = (value - date(2000, 1, 1)).days
        if kind == q_ipc.DATE:
            return Atom(kind, days)
        return Atom(kind, days * DAY_NS) if kind == q_ipc.TIMESTAMP and abs(days) < 100_000 else None
    if (
        isinstance(value, int)
        and not isinstance(value, bool)
        and kind in q_columns.WHOLE
        and abs(value) < 2 ** (q_columns.WHOLE[kind] - 1) - 1
    ):
        return Atom(kind, value)
    return None


def shown(part: Atom) -> str:
    """A partition's value as people write it."""
    import numpy as np

    if part.type in TEMPORAL:
        made, _ = q_columns.column(Vector(part.type, np.array([part.value], q_ipc.LAYOUT[part.type])))
        return str(q_columns.aslist(made)[0])
    return str(part.value)


def told(value: Any) -> Any:
    """A value for a file of rejects."""
    plain = value.as_py() if hasattr(value, "as_py") and not str(value.type).endswith("[ns]") else value
    return plain if plain is None or isinstance(plain, str | int | float | bool | list | dict) else str(plain)
