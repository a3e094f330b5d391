"""kdb+'s tables: what comes of its types, in which slices and order, and what is said when it does not.

Against aiokdb, which speaks kdb+'s protocol and is not q: the wire, the types, the refusals are proven, not how q reads what is sent to it.
"""

import math
import re
import socket
import ssl
import struct
import uuid
from collections.abc import Callable
from datetime import UTC, date, datetime, time, timedelta
from pathlib import Path
from typing import Any

import aiokdb
import pyarrow as pa
import pytest
from aiokdb import KObj, b9, compress, krr
from aiokdb.extras import ktns
from aiokdb.server import KdbWriter
from kdbserver import Col, Tab, kdb_server, table, vector

from workbench.errors import BadKeys, BrokenAnswer, NotEntitled, SourceError, Unreachable, UsageError
from workbench.importers import kdb, q_columns, q_ipc
from workbench.importers.kdb import Kdb
from workbench.importers.origin import Asked, Held
from workbench.tables.layers_historical import RECORDS
from workbench.tables.record import Field

DAY_NS = 86_400_000_000_000
HOUR_NS = DAY_NS // 24
# 2025-11-24 14:30 UTC in q's nanoseconds, and its day.
DAY = 9459
T0 = DAY * DAY_NS + 14 * HOUR_NS + HOUR_NS // 2
HISTORICAL = {record.name: record for record in RECORDS}

TRADE = Tab(
    {
        "time": Col("p", [T0, T0 + 1], "s"),
        "sym": Col("s", ["AAPL", "MSFT"]),
        "price": Col("f", [150.0, 1.5]),
        "size": Col("j", [100, 7]),
        "side": Col("s", ["buy", ""]),
    }
)


def held(origin: Kdb, name: str) -> Held:
    return next(one for one in origin.tables() if one.name == name)


def asked(table: Held, columns: dict[str, str] | None = None, **more: Any) -> Asked:
    types = columns if columns is not None else {name: "VARCHAR" for name in table.names if "+" not in name}
    return Asked(table, {name: Field(name, kind, "", required=False) for name, kind in types.items()}, **more)


def plain(values: Any) -> list[Any]:
    if isinstance(values, list):
        return values
    if str(values.type).endswith("[ns]"):
        values = values.cast(
            {"t": pa.timestamp("us"), "d": pa.duration("us")}[str(values.type)[0]] if "time64" not in str(values.type) else pa.time64("us"),
            safe=False,
        )
    listed: list[Any] = values.to_pylist()
    return listed


def read(origin: Kdb, want: Asked) -> tuple[dict[str, list[Any]], list[Any]]:
    columns: dict[str, list[Any]] = {name: [] for name in want.columns}
    rejects: list[Any] = []
    for arrived in origin.batches(want):
        for name, values in arrived.columns.items():
            assert len(values) == arrived.count
            columns[name] += plain(values)
        rejects += arrived.rejects
    return columns, rejects


def one_column(letter: str, values: list[Any], ours: str = "VARCHAR") -> tuple[list[Any], list[str]]:
    with kdb_server({"t": Tab({"v": Col(letter, values)})}) as server, Kdb(server.url, timeout=30) as origin:
        columns, rejects = read(origin, asked(held(origin, "t"), {"v": ours}))
    return columns["v"], [one.reason for one in rejects]


def test_documented_tables_come_as_they_are() -> None:
    level = {"price": Col("f", [149.99, 149.98]), "size": Col("f", [200.0, 500.0])}
    asks = {"price": Col("f", [150.01, 150.02]), "size": Col("f", [300.0, 100.0])}
    book = {"time": Col("p", [T0]), "sym": Col("s", ["AAPL"]), "exchange": Col("s", ["XNAS"])}
    tables = {
        "trade": Tab(TRADE.columns | {"sequence": Col("j", [1, 2]), "trade_id": Col("C", ["1", "2"])}),
        "quote": Tab(
            {"time": Col("p", [T0]), "sym": Col("s", ["AAPL"]), "sequence": Col("i", [1])}
            | {name: Col("f", [value]) for name, value in {"bid": 149.99, "ask": 150.01, "bsize": 200.0, "asize": 300.0}.items()}
        ),
        "orderbook_snapshot": Tab(
            book | {"depth": Col("i", [2]), "bids": Col(" ", [table(level)]), "asks": Col(" ", [table(asks)]), "sequence": Col("j", [1])},
            keys=("time", "sym", "exchange"),
        ),
        "market_depth": Tab(
            book
            | {
                "side": Col("s", ["bid"]),
                "level": Col("h", [1]),
                "price": Col("f", [149.99]),
                "size": Col("e", [200.0]),
                "orders": Col("i", [3]),
            }
        ),
    }
    with kdb_server(tables) as server, Kdb(server.url, timeout=30) as origin:
        there = {one.name: one for one in origin.tables()}
        assert set(there) == set(HISTORICAL) and {one.rows for one in there.values()} == {1, 2}
        for name, record in HISTORICAL.items():
            columns, rejects = read(origin, Asked(there[name], {one: record[one] for one in there[name].names if one in record.names}))
            assert not rejects
            for field, value in record.example.items():
                if field in columns:
                    assert columns[field][0] == (value.replace(tzinfo=None) if isinstance(value, datetime) else value), f"{name}.{field}"
            assert {one.name for one in record.columns if one.required} <= set(columns)


@pytest.mark.parametrize(
    ("letter", "values", "kept", "why"),
    [
        ("b", [True, False], [True, False], []),
        ("x", [0, 255], [0, 255], []),
        ("h", [1, -32768, 32767, -32767], [1, None], ["v is infinite"] * 2),
        ("i", [1, -(2**31), 2**31 - 1], [1, None], ["v is infinite"]),
        ("j", [2**62, -(2**63), 2**63 - 1, -(2**63) + 1], [2**62, None], ["v is infinite"] * 2),
        ("e", [1.5, math.nan, math.inf], [1.5, None, math.inf], []),
        ("f", [0.1, math.nan, -math.inf], [0.1, None, -math.inf], []),
        ("s", ["AAPL", "", "é"], ["AAPL", None, "é"], []),
        ("c", ["a", " ", "z"], ["a", None, "z"], []),
        ("C", ["text", "", " "], ["text", "", " "], []),
        ("g", [uuid.UUID(int=1), uuid.UUID(int=0)], [str(uuid.UUID(int=1)), None], []),
        ("p", [0, -(2**63), 2**63 - 1, T0 + 1500], [datetime(2000, 1, 1), None, datetime(2025, 11, 24, 14, 30, 0, 1)], ["v is infinite"]),
        ("p", [2**63 - 2], [], ["v is outside the years that nanoseconds reach, 1707 to 2262"]),
        ("m", [0, -(2**31), 311, -1], [date(2000, 1, 1), None, date(2025, 12, 1), date(1999, 12, 1)], []),
        ("d", [0, -(2**31), DAY, 2**31 - 1], [date(2000, 1, 1), None, date(2025, 11, 24)], ["v is infinite"]),
        ("d", [3_000_000], [], ["v is outside the years 1 to 9999"]),
        ("z", [DAY + 0.604166666, math.nan, math.inf], [datetime(2025, 11, 24, 14, 29, 59, 999942), None], ["v is infinite"]),
        ("n", [HOUR_NS, -(2**63), -1_000], [timedelta(hours=1), None, timedelta(microseconds=-1)], []),
        ("u", [90, -(2**31), 1440], [time(1, 30), None], ["v is no time of a day"]),
        ("v", [3661, -1], [time(1, 1, 1)], ["v is no time of a day"]),
        ("t", [1, 86_400_000], [time(0, 0, 0, 1000)], ["v is no time of a day"]),
        ("F", [[1.0, math.nan], [], [2.5]], [[1.0, None], [], [2.5]], []),
        ("J", [[1], [2**63 - 1, 2]], [[1]], ["v holds what is infinite"]),
        (" ", [vector("f", []), vector("s", ["a", ""]), aiokdb.kj(3)], [[], ["a", None], 3], []),
    ],
)
def test_values_come_as_what_they_are(letter: str, values: list[Any], kept: list[Any], why: list[str]) -> None:
    if letter == "z":
        # q shows milliseconds of these, so that is what counts.
        kept = [one and one.replace(microsecond=round(one.microsecond, -3) % 1_000_000) for one in kept]
        kept[0] = datetime(2025, 11, 24, 14, 30)
    assert one_column(letter, values) == (kept, why)


def test_a_timespan_is_a_time_where_that_is_wanted() -> None:
    assert one_column("n", [HOUR_NS, DAY_NS], "TIME") == ([time(1)], ["v is no time of a day"])


def test_nanoseconds_stay() -> None:
    with kdb_server({"trade": TRADE}) as server, Kdb(server.url, timeout=30) as origin:
        [arrived] = origin.batches(asked(held(origin, "trade")))

    assert arrived.columns["time"].type == pa.timestamp("ns")  # type: ignore[union-attr]
    assert arrived.columns["time"].cast(pa.int64()).to_pylist()[1] % 1000 == 1  # type: ignore[union-attr]


def test_bytes_that_are_no_text_reject_their_row_only() -> None:
    def bad(_: KdbWriter) -> KObj:
        return Raw(b9(table({"v": Col("s", ["good", "b__d", "fine"])}))[8:].replace(b"b__d", b"b\xff\xfed"))

    with kdb_server({"t": Tab({"v": Col("s", ["good", "b", "fine"])})}) as server, Kdb(server.url, timeout=30) as origin:
        there = held(origin, "t")
        server.process.faults[kdb.SLICE] = bad
        columns, [reject] = read(origin, asked(there))

    assert columns == {"v": ["good", "fine"]}
    assert reject.reason == r"v is not UTF-8: b\xff\xfed" and reject.where == "t"


class Raw(KObj):
    """Bytes as they are, in place of a value."""

    def __init__(self, data: bytes) -> None:
        super().__init__(0)
        self.raw = data

    def _databytes(self) -> bytes:
        return self.raw

    def _paysz(self) -> int:
        return len(self.raw)


def test_types_are_told_as_q_calls_them() -> None:
    letters = {"b": "boolean", "g": "guid", "j": "long", "p": "timestamp", "C": "string", "F": "list of float", " ": "mixed list"}
    with (
        kdb_server({"t": Tab({f"v{n}": Col(letter, []) for n, letter in enumerate(letters)})}) as server,
        Kdb(server.url, timeout=30) as origin,
    ):
        assert [one.kind for one in held(origin, "t").columns] == list(letters.values())


def test_a_table_in_memory_comes_in_slices(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kdb, "FIRST_ROWS", 10)
    monkeypatch.setattr(kdb, "BATCH_ROWS", 1500)
    with kdb_server({"t": Tab({"v": Col("j", list(range(5000)))})}) as server, Kdb(server.url, timeout=30) as origin:
        there = held(origin, "t")
        counts = [arrived.count for arrived in origin.batches(asked(there))]

    assert counts == [10, 1500, 1500, 1500, 490]


def test_wide_rows_make_short_slices(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kdb, "FIRST_ROWS", 1000)
    monkeypatch.setattr(kdb, "SLICE_BYTES", 300_000)
    with kdb_server({"t": Tab({"v": Col("F", [[1.0] * 25] * 4000)})}) as server, Kdb(server.url, timeout=30) as origin:
        counts = [arrived.count for arrived in origin.batches(asked(held(origin, "t")))]
        assert sum(counts) == 4000 and max(counts) <= 1500
        assert server.process.largest < 400_000


def test_rows_come_in_order_whether_q_has_them_so_or_not(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kdb, "BATCH_ROWS", 1000)
    order = [n * 7919 % 5003 // 3 for n in range(5003)]
    with (
        kdb_server({"t": Tab({"time": Col("p", order), "n": Col("j", list(range(5003)))}), "trade": TRADE}) as server,
        Kdb(server.url, timeout=30) as origin,
    ):
        there = held(origin, "t")
        assert not origin.ordered(there, "time") and origin.ordered(held(origin, "trade"), "time")
        batches = list(origin.batches(asked(there, {"n": "BIGINT"}, order="time")))

    numbers = [n for one in batches for n in plain(one.columns["n"])]
    assert sorted(numbers) == list(range(5003)) and [order[n] for n in numbers] == sorted(order)
    assert len(batches) > 3


def test_since_asks_q_for_what_is_new() -> None:
    values = [T0 + n * HOUR_NS for n in range(10)]
    with (
        kdb_server({"t": Tab({"time": Col("p", values), "n": Col("j", list(range(10))), "s": Col("s", ["a"] * 10)})}) as server,
        Kdb(server.url, timeout=30) as origin,
    ):
        there = held(origin, "t")
        at = datetime(2025, 11, 24, 14, 30, tzinfo=UTC) + timedelta(hours=8)
        assert read(origin, asked(there, {"n": "BIGINT"}, since=("time", at)))[0] == {"n": [8, 9]}
        assert read(origin, asked(there, {"n": "BIGINT"}, since=("time", at), order="time"))[0] == {"n": [8, 9]}
        assert read(origin, asked(there, {"n": "BIGINT"}, since=("time", date(2025, 11, 25))))[0] == {"n": list(range(10))[10:]}
        assert read(origin, asked(there, {"n": "BIGINT"}, since=("n", 8)))[0] == {"n": [8, 9]}
        # Text is ordered otherwise in q than here, so all of it comes.
        assert len(read(origin, asked(there, {"n": "BIGINT"}, since=("s", "b")))[0]["n"]) == 10


def partitioned() -> Tab:
    return Tab(
        by="date",
        parts={
            DAY + n: Tab(
                {"time": Col("n", [HOUR_NS * 2, HOUR_NS]), "sym": Col("s", ["AAPL", "MSFT"]), "price": Col("f", [1.0 + n, 2.0 + n])}
            )
            for n in range(3)
        },
    )


def test_a_table_with_partitions_is_read_one_after_the_other() -> None:
    with kdb_server({"trade": partitioned()}) as server, Kdb(server.url, timeout=30) as origin:
        there = held(origin, "trade")
        assert there.rows == 6 and there.names == ("date", "time", "sym", "price", "date+time")
        columns, rejects = read(origin, asked(there, {"date": "DATE", "price": "DOUBLE"}))
        assert columns == {"date": [date(2025, 11, 24 + n // 2) for n in range(6)], "price": [1.0, 2.0, 2.0, 3.0, 3.0, 4.0]} and not rejects
        assert [values[1:3] for text, values in server.process.asked if text == kdb.SLICE] == [["date", DAY + n] for n in range(3)]
        assert origin.where(there, 3) == "trade date 2025-11-25 row 3"
        assert origin.ordered(there, "date") and not origin.ordered(there, "time")


def test_partitions_before_what_is_asked_for_are_left_alone() -> None:
    with kdb_server({"trade": partitioned()}) as server, Kdb(server.url, timeout=30) as origin:
        there = held(origin, "trade")
        columns, _ = read(origin, asked(there, {"price": "DOUBLE"}, since=("date", date(2025, 11, 26))))
        assert columns == {"price": [3.0, 4.0]}
        assert [values[2] for text, values in server.process.asked if text == kdb.COUNT] == [DAY + 1, DAY + 2]


def test_a_day_and_a_time_are_one_instant_where_it_is_said() -> None:
    with kdb_server({"trade": partitioned()}) as server, Kdb(server.url, timeout=30) as origin:
        there = held(origin, "trade")
        columns, rejects = read(origin, asked(there, {"date+time": "TIMESTAMPTZ", "sym": "VARCHAR"}, order="date+time"))
        later, _ = read(
            origin, asked(there, {"sym": "VARCHAR"}, order="date+time", since=("date+time", datetime(2025, 11, 26, 2, tzinfo=UTC)))
        )
        assert origin.ordered(there, "date+time")

    assert columns["date+time"] == [datetime(2025, 11, 24 + n, hour) for n in range(3) for hour in (1, 2)] and not rejects
    assert columns["sym"] == ["MSFT", "AAPL"] * 3 and later == {"sym": ["AAPL"]}


@pytest.mark.parametrize(("letter", "values"), [("t", [3_600_000, 86_400_000]), ("v", [3600, -1]), ("u", [60, 1440])])
def test_a_time_beyond_its_day_makes_no_instant(letter: str, values: list[int]) -> None:
    columns = {"date": Col("d", [DAY, DAY]), "time": Col(letter, values)}
    with kdb_server({"t": Tab(columns)}) as server, Kdb(server.url, timeout=30) as origin:
        made, [reject] = read(origin, asked(held(origin, "t"), {"date+time": "TIMESTAMPTZ"}))

    assert made == {"date+time": [datetime(2025, 11, 24, 1)]} and reject.reason == "date+time is no time of a day"


def test_two_lists_are_one_list_of_pairs_where_it_is_said() -> None:
    columns = {"bids": Col("F", [[2.0, 1.0], [1.0], []]), "bsizes": Col("J", [[10, 20], [1, 2], []])}
    with kdb_server({"t": Tab(columns)}) as server, Kdb(server.url, timeout=30) as origin:
        there = held(origin, "t")
        made, [reject] = read(origin, asked(there, {"bids+bsizes": "STRUCT(price DOUBLE, size DOUBLE)[]"}))

    assert made == {"bids+bsizes": [[{"price": 2.0, "size": 10}, {"price": 1.0, "size": 20}], []]}
    assert reject.reason == "bids+bsizes is made of two lists that do not go together"


def test_what_other_hosts_get_is_compressed_and_comes_the_same() -> None:
    values = {"sym": Col("s", ["AAPL", "MSFT", "A" * 300] * 500), "v": Col("j", list(range(1500))), "w": Col("f", [0.0] * 1500)}
    with kdb_server({"t": Tab(values)}) as server, Kdb(server.url, timeout=30) as origin:
        server.process.compressed = True
        columns, _ = read(origin, asked(held(origin, "t")))

    assert columns == {name: one.values for name, one in values.items()}


@pytest.mark.parametrize(
    "data", [bytes(5000), bytes(n % 7 for n in range(5000)), b"abcabcabd" * 500, b"aaab" * 3 + b"x" * 4000 + b"aaab" * 300]
)
def test_compression_of_another_hand_is_undone(data: bytes) -> None:
    packed = compress.compress(data)
    assert packed is not None and q_ipc.inflated(packed) == data


def test_names_and_values_never_become_text_of_q() -> None:
    name = 'x";exit 0;`'
    columns = {name: Col("j", [1, 2])}
    with kdb_server({'t;exit 0;"': Tab(columns)}) as server, Kdb(server.url, timeout=30) as origin:
        read_back, _ = read(origin, asked(held(origin, 't;exit 0;"'), since=(name, 2)))
        assert read_back == {name: [2]}
        assert all("exit" not in text for text, _ in server.process.asked)
    with pytest.raises(ValueError, match="ends one at a zero"):
        q_ipc.encoded("a\0b")


def test_every_text_is_balanced() -> None:
    """No q is at hand to parse them: at least what opens is closed, and no function has more than q's eight parameters."""
    for text in (kdb.TABLES, kdb.LOOK, kdb.PARTITIONS, kdb.COUNT, kdb.SLICE, kdb.BOUNDS, kdb.RANGE):
        open_: list[str] = []
        for one in re.sub(r'"[^"]*"', "", text):
            if one in "([{":
                open_.append(one)
            elif one in ")]}":
                assert open_.pop() + one in ("()", "[]", "{}")
        assert not open_
        if text.startswith("{["):
            assert len(text[2 : text.index("]")].split(";")) <= 8


# ---------------------------------------------------------------------- refusals


def test_wrong_keys_are_refused_without_being_told() -> None:
    with kdb_server({"trade": TRADE}, password="right:p@ss") as server:
        at = server.url.removeprefix("kdb://")
        with pytest.raises(BadKeys, match="refuses the user or the password") as refused:
            Kdb(f"kdb://ann:s3cret@{at}", timeout=30)
        with pytest.raises(BadKeys, match="refuses users without a password"):
            Kdb(f"kdb://{at}", timeout=30)
        with Kdb(f"kdb://ann:right%3Ap%40ss@{at}", timeout=30) as origin:
            assert origin.label == f"kdb://{at}" and [one.name for one in origin.tables()] == ["trade"]
    assert "s3cret" not in str(refused.value) and refused.value.__cause__ is None


def test_a_host_that_does_not_answer_is_unreachable_in_time() -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        port = silent.getsockname()[1]
        with pytest.raises(Unreachable, match=r"is silent for 0\.3 s"):
            Kdb(f"kdb://127.0.0.1:{port}", timeout=0.3)
    with pytest.raises(Unreachable, match="does not answer"):
        Kdb(f"kdb://ann:s3cret@127.0.0.1:{port}", timeout=0.3)


def hung_up(writer: KdbWriter) -> KObj:
    writer.writer.transport.abort()
    return ktns()


@pytest.mark.parametrize(
    ("fault", "kind", "said"),
    [
        (hung_up, Unreachable, "went away"),
        (lambda _: krr("access"), NotEntitled, "does not let this user do that"),
        (lambda _: krr("stop"), SourceError, "its own limit of time ended the query"),
        (lambda _: krr("type"), SourceError, "refuses: 'type; what had come before is in"),
        (lambda _: Raw(b"\x07\x00\xff\xff\xff\x7f1234"), BrokenAnswer, "not kdb"),
        (lambda _: Raw(b"\x00\x00\xff\xff\xff\x7f"), BrokenAnswer, "not kdb"),
        (lambda _: Raw(b"\x00\x00\x01\x00\x00\x00" * 5000), BrokenAnswer, "not kdb"),
        (lambda _: Raw(b"\x0b\x00\x05\x00\x00\x00abc\x00"), BrokenAnswer, "not kdb"),
        (lambda _: Raw(b"\xf9" + bytes(9)), BrokenAnswer, "left over"),
        (lambda _: Raw(b"\x64\x00"), BrokenAnswer, "not kdb"),
    ],
)
def test_what_goes_wrong_midway_is_said(
    fault: Callable[[KdbWriter], KObj], kind: type[Exception], said: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(kdb, "FIRST_ROWS", 1)
    monkeypatch.setattr(kdb, "BATCH_ROWS", 1)
    with kdb_server({"trade": TRADE}) as server, Kdb(server.url, timeout=30) as origin:
        coming = origin.batches(asked(held(origin, "trade")))
        assert next(coming).count == 1
        server.process.faults[kdb.SLICE] = fault
        with pytest.raises(kind, match=said):
            list(coming)


def test_a_server_that_ends_or_falls_silent_midway_is_unreachable() -> None:
    with kdb_server({"trade": TRADE}) as server, Kdb(server.url, timeout=30) as origin:
        there = held(origin, "trade")
        server.stop()
        with pytest.raises(Unreachable, match="went away"):
            list(origin.batches(asked(there)))
        with pytest.raises(Unreachable, match="is closed"):
            origin.tables()

    with socket.create_server(("127.0.0.1", 0)) as listener:
        import threading

        def greet() -> None:
            peer, _ = listener.accept()
            with peer:
                peer.recv(100)
                peer.send(b"\x03")
                peer.recv(1000)
                done.wait(60)

        done = threading.Event()
        thread = threading.Thread(target=greet, daemon=True)
        thread.start()
        with (
            Kdb(f"kdb://127.0.0.1:{listener.getsockname()[1]}", timeout=0.5) as origin,
            pytest.raises(Unreachable, match="stopped answering"),
        ):
            origin.tables()
        done.set()
        thread.join(5)


def test_a_table_that_cannot_be_looked_at_is_told_and_the_others_come() -> None:
    with kdb_server({"a": Tab({"v": Col("j", [1])}), "trade": TRADE}) as server, Kdb(server.url, timeout=30) as origin:
        server.process.tables["b"] = Tab({"v": Col("j", [1])})
        del server.process.tables["a"].columns["v"]
        [a, b, trade] = origin.tables()

    assert a.fault.startswith("a cannot be read") and not b.fault and not trade.fault


@pytest.mark.parametrize(
    "url", ["kdb://host", "kdb://u:s3cret@host/x", "postgres://host:1", "kdb://host:1?unknown=s3cret", "kdbs://h:1?tlsCAFile=/nowhere.pem"]
)
def test_a_url_that_cannot_be_used_says_so(url: str) -> None:
    with pytest.raises(UsageError, match="nothing was read") as refused:
        Kdb(url, timeout=0.2)
    assert "s3cret" not in str(refused.value)


def certificate(folder: Path) -> tuple[Path, Path]:
    """A certificate for 127.0.0.1 that vouches for itself, and its key."""
    x509 = pytest.importorskip("cryptography.x509")
    import ipaddress

    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec

    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "test")])
    now = datetime.now(UTC)
    made = (
        x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number(), now - timedelta(days=1), now + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    (folder / "ca.pem").write_bytes(made.public_bytes(serialization.Encoding.PEM))
    private = key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    (folder / "key.pem").write_bytes(private)
    return folder / "ca.pem", folder / "key.pem"


def test_tls_checks_the_certificate(tmp_path: Path) -> None:
    ca, key = certificate(tmp_path)
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(ca, key)
    with kdb_server({"trade": TRADE}, tls=context) as server:
        with Kdb(f"{server.url}?tlsCAFile={ca}", timeout=30) as origin:
            assert read(origin, asked(held(origin, "trade")))[0]["sym"] == ["AAPL", "MSFT"]
        with pytest.raises(Unreachable, match="cannot be spoken to in TLS"):
            Kdb(server.url, timeout=30)


def test_a_server_of_the_other_order_of_bytes_is_read() -> None:
    body = struct.pack(">bbi2q", 7, 0, 2, 5, -6)
    found = q_ipc.Decoder(body, ">").whole()
    assert found.values.tolist() == [5, -6] and found.values.dtype.isnative


@pytest.mark.parametrize(
    "data",
    [b"\x10\x00\x00\x00\x01\x05\x03", struct.pack("<I", 16) + b"\x02a\x00\xff", struct.pack("<I", 16) + b"\x00ab", struct.pack("<I", 4)],
)
def test_what_is_compressed_wrong_is_no_message(data: bytes) -> None:
    with pytest.raises(IndexError):
        q_ipc.inflated(data)


def test_there_is_nothing_of_what_is_not_asked_for() -> None:
    with kdb_server({"trade": TRADE}) as server, Kdb(server.url, timeout=30) as origin:
        assert list(origin.batches(asked(held(origin, "trade"), {}))) == []
        read(origin, asked(held(origin, "trade"), {"sym": "VARCHAR"}))
        assert [values[3] for text, values in server.process.asked if text == kdb.SLICE] == [["sym"]]


def test_a_keyed_table_is_one_table() -> None:
    body = b9(table({"sym": Col("s", ["A"]), "n": Col("j", [1])}, keys=("sym",)))[8:]
    found = q_ipc.Decoder(body).whole()
    assert list(found) == ["sym", "n"] and found["sym"].values == [b"A"]


def test_lists_of_numbers_are_one_array() -> None:
    body = b9(vector("F", [[1.0], [], [2.0, 3.0]]))[8:]
    made, bad = q_columns.column(q_ipc.Decoder(body).whole())
    assert isinstance(made, pa.ListArray) and made.to_pylist() == [[1.0], [], [2.0, 3.0]] and not bad
