"""MongoDB's collections as tables: what comes of documents, in which order, and what is said when it does not.

Against nx-27017, which speaks MongoDB's protocol, through the real driver; what that server lacks comes from one with fixed answers.
"""

import socket
import uuid
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import pyarrow as pa
import pytest
from bson import Binary, Decimal128, Int64, MaxKey, ObjectId, Regex, Timestamp, encode
from bson.datetime_ms import DatetimeMS
from mongoserver import Server, Strange, free_port, mongo

from workbench.errors import BadKeys, BrokenAnswer, SourceError, Unreachable, UsageError
from workbench.importers import documents
from workbench.importers.mongo import Mongo, Url
from workbench.importers.origin import Arrived, Asked, Held
from workbench.importers.taking import taken
from workbench.tables.ampyfin import PLATFORM
from workbench.tables.record import Field

T0 = datetime(2024, 1, 2, 14, 30, tzinfo=UTC)


@pytest.fixture(scope="module")
def running() -> Iterator[Server]:
    with mongo() as server:
        yield server


@pytest.fixture
def server(running: Server) -> Server:
    running.clear()
    return running


@pytest.fixture
def strange() -> Iterator[Strange]:
    far_end = Strange()
    yield far_end
    far_end.close()


def held(origin: Mongo, name: str) -> Held:
    return next(one for one in origin.tables() if one.name == name)


def asked(table: Held, columns: dict[str, str] | None = None, **more: Any) -> Asked:
    """All its columns, wanted as what `columns` says, else as text that may be NULL."""
    types = columns or {}
    fields = {
        name: Field(name, types.get(name, "VARCHAR"), "", required=False) for name in (*table.names, *(types.keys() - set(table.names)))
    }
    return Asked(table, fields, **more)


def read(origin: Mongo, want: Asked) -> tuple[dict[str, list[Any]], list[Any]]:
    """All that comes of a table, columns and rejects."""
    columns: dict[str, list[Any]] = {}
    rejects: list[Any] = []
    count = 0
    for arrived in origin.batches(want):
        for name in columns.keys() | arrived.columns.keys():
            new = plain(arrived.columns[name]) if name in arrived.columns else [None] * arrived.count
            assert len(new) == arrived.count
            columns.setdefault(name, [None] * count).extend(new)
        count += arrived.count
        rejects += arrived.rejects
    return columns, rejects


def plain(values: Any) -> list[Any]:
    listed: list[Any] = values if isinstance(values, list) else values.to_pylist()
    return listed


def test_each_documented_collection_is_found_with_its_fields(server: Server) -> None:
    records = {record.name: record for record in PLATFORM.records}
    with server.client() as client:
        for database, tables in PLATFORM.databases.items():
            for theirs, ours in tables.items():
                client[database][theirs].insert_one(as_written(records[ours].example))

    with Mongo(server.url) as origin:
        there = {one.name: one for one in origin.tables()}
        assert set(there) == {f"{database}.{theirs}" for database, names in PLATFORM.databases.items() for theirs in names}
        for database, names in PLATFORM.databases.items():
            for theirs, name_here in names.items():
                table, record = there[f"{database}.{theirs}"], records[name_here]
                assert table.rows == 1 and not table.fault
                assert set(table.names) - {"_id"} == set(record.example) - {"_id"}
                wanted = {name: record[name] for name in table.names if name in record.names}
                columns, rejects = read(origin, Asked(table, wanted))
                assert not rejects
                for name, value in record.example.items():
                    assert columns[name] == [as_written(value)], f"{table.name}.{name}"
                [arrived] = origin.batches(Asked(table, wanted))
                kept = taken(record, {name: name for name in wanted}, arrived, "UTC")
                assert not kept.rejects
                for name, value in record.example.items():
                    [row] = kept.rows[name].to_pylist()
                    assert (dict(row) if name == "holdings" else row) == value, f"{record.full}.{name}"


def as_written(example: Any) -> Any:
    """A row as AmpyFin writes it: a new document, sessions as text."""
    if isinstance(example, dict | type(PLATFORM.databases)):
        return {name: as_written(value) for name, value in example.items()}
    if isinstance(example, list):
        return [as_written(value) for value in example]
    return example if isinstance(example, datetime) or not hasattr(example, "isoformat") else example.isoformat()


def test_values_come_as_what_they_are(server: Server) -> None:
    key = ObjectId()
    with server.client() as client:
        client.shop.t.insert_one(
            {
                "_id": key,
                "whole": 5,
                "long": Int64(2**62),
                "part": 0.1,
                "yes": True,
                "text": "é 😀",
                "at": T0 + timedelta(microseconds=123_000),
                "none": None,
                "deep": {"a": {"b": [1, "x", 2.5]}, "id": key, "at": T0},
                "list": [1, "x", 2.5, None],
                "other": key,
            }
        )

    with Mongo(server.url) as origin:
        table = held(origin, "shop.t")
        kinds = {one.name: one.kind for one in table.columns}
        columns, rejects = read(origin, asked(table))

    assert not rejects
    assert {name: values[0] for name, values in columns.items()} == {
        "_id": str(key),
        "whole": 5,
        "long": 2**62,
        "part": 0.1,
        "yes": True,
        "text": "é 😀",
        "at": T0 + timedelta(microseconds=123_000),
        "none": None,
        "deep": {"a": {"b": [1, "x", 2.5]}, "id": str(key), "at": T0},
        "list": [1, "x", 2.5, None],
        "other": str(key),
    }
    assert columns["at"][0].utcoffset() == timedelta(0) and columns["deep"][0]["at"].utcoffset() == timedelta(0)
    assert kinds == {
        "_id": "objectId",
        "whole": "int",
        "long": "long",
        "part": "double",
        "yes": "bool",
        "text": "string",
        "at": "date",
        "none": "null",
        "deep": "object",
        "list": "array",
        "other": "objectId",
    }


def test_rarer_types_of_bson_come_or_are_told(strange: Strange) -> None:
    one = uuid.uuid4()
    strange.put("shop.t", {"_id": 1, "v": Decimal128("1.10")}, {"_id": 2, "v": Binary.from_uuid(one)}, {"_id": 3, "v": float("nan")})
    bad = {
        4: Regex("a.*"),
        5: b"abc",
        6: Timestamp(5, 1),
        7: MaxKey(),
        8: DatetimeMS(2**60),
        9: {"deep": [Regex("x")]},
        10: Binary(b"x", 3),
    }
    for number, value in bad.items():
        strange.put("shop.t", {"_id": number, "v": value})

    with Mongo(strange.url) as origin:
        columns, rejects = read(origin, asked(held(origin, "shop.t")))

    assert columns["_id"] == ["1", "2", "3"]
    assert columns["v"][:2] == [Decimal("1.10"), str(one)] and columns["v"][2] != columns["v"][2]
    assert sorted(((one.where, one.reason) for one in rejects), key=lambda one: int(one[0].split()[-1])) == [
        ("shop.t _id 4", "v is of MongoDB's type regex, which no column holds"),
        ("shop.t _id 5", "v is of MongoDB's type binData, which no column holds"),
        ("shop.t _id 6", "v is of MongoDB's type timestamp, which no column holds"),
        ("shop.t _id 7", "v is of MongoDB's type maxKey, which no column holds"),
        ("shop.t _id 8", f"v is a date outside the years 1 to 9999 ({2**60} ms since 1970)"),
        ("shop.t _id 9", "v is of MongoDB's type regex, which no column holds"),
        ("shop.t _id 10", "v is of MongoDB's type binData, which no column holds"),
    ]
    assert next(one.row for one in rejects if one.where.endswith(" 4")) == {
        "_id": 4,
        "v": {"$regularExpression": {"pattern": "a.*", "options": ""}},
    }


def test_what_is_not_wanted_is_no_reason_to_reject(strange: Strange) -> None:
    strange.put("shop.t", {"_id": 1, "v": Regex("a"), "w": 1})

    with Mongo(strange.url) as origin:
        table = held(origin, "shop.t")
        columns, rejects = read(origin, Asked(table, {"w": Field("w", "BIGINT", "")}))

    assert columns == {"w": [1]} and not rejects
    finds = [one for one in strange.asked if "find" in one]
    assert finds[-1]["projection"] == {"v": 0}


def test_text_that_is_not_utf_8_rejects_its_document_only(strange: Strange) -> None:
    strange.batch = 5
    bad = "\xe4".encode()
    strange.collections["shop.t"] = [
        encode({"_id": 1, "v": "good"}),
        encode({"_id": 2, "v": "b\xe4d"}).replace(bad, b"\xff\xfe"),
        encode({"_id": 3, "v": {"deep": ["b\xe4d"]}}).replace(bad, b"\xff\xfe"),
        encode({"_id": "b\xe4d", "v": "good"}).replace(bad, b"\xff\xfe"),
        encode({"_id": 5, "v": "g\xf6\xf6d"}),
    ]

    with Mongo(strange.url) as origin:
        columns, rejects = read(origin, asked(held(origin, "shop.t")))

    assert columns == {"_id": ["1", "5"], "v": ["good", "g\xf6\xf6d"]}
    assert [(one.where, one.reason, one.row) for one in rejects] == [
        ("shop.t _id 2", "v holds text that is not UTF-8", {"_id": 2, "v": r"b\xff\xfed"}),
        ("shop.t _id 3", "v holds text that is not UTF-8", {"_id": 3, "v": {"deep": [r"b\xff\xfed"]}}),
        (r"shop.t _id b\xff\xfed", "_id holds text that is not UTF-8", {"_id": r"b\xff\xfed", "v": "good"}),
    ]


def test_damaged_bytes_end_the_reading(strange: Strange) -> None:
    strange.put("shop.t", {"_id": 1, "v": "good"})

    with Mongo(strange.url) as origin:
        table = held(origin, "shop.t")
        strange.collections["shop.t"] = [encode({"_id": 4, "v": "good"}).replace(b"\x02v", b"\x63v")]
        with pytest.raises(BrokenAnswer, match="stopped answering while it was read"):
            list(origin.batches(asked(table)))


def test_ids_are_text_whatever_they_are(strange: Strange) -> None:
    strange.put("shop.t", *({"_id": one} for one in (ObjectId("65" * 12), "market_status_config", 5, Int64(6), T0, {"b": 1, "a": 2}, True)))

    with Mongo(strange.url) as origin:
        columns, _ = read(origin, asked(held(origin, "shop.t")))

    assert columns["_id"] == ["65" * 12, "market_status_config", "5", "6", "2024-01-02T14:30:00+00:00", '{"a": 2, "b": 1}', "true"]


def test_a_field_of_several_types_is_told_and_each_value_kept(server: Server) -> None:
    with server.client() as client:
        client.shop.t.insert_many([{"_id": n, "v": 1.5, "w": n} for n in range(99)] + [{"_id": 99, "v": "1.5", "w": None}])

    with Mongo(server.url) as origin:
        table = held(origin, "shop.t")
        columns, rejects = read(origin, asked(table, {"v": "DOUBLE"}))

    assert {one.name: one.kind for one in table.columns} == {"_id": "int", "v": "double (99 %), string (1 %)", "w": "int"}
    assert columns["v"] == [1.5] * 99 + ["1.5"] and not rejects


@pytest.mark.parametrize(
    ("values", "ours", "kept"),
    [
        ([1, 2.5], "DOUBLE", pa.array([1.0, 2.5])),
        ([1, 2.5], "VARCHAR", [1, 2.5]),
        ([2**53 + 1, 2.5], "DOUBLE", [2**53 + 1, 2.5]),
        ([1, True], "DOUBLE", [1, True]),
        ([1, Int64(2), None], "BIGINT", pa.array([1, 2, None])),
        ([None, None], "BIGINT", pa.nulls(2)),
        (["a", None], "VARCHAR", pa.array(["a", None])),
        ([datetime(1, 1, 1), datetime(9999, 12, 31, 23, 59, 59, 999000)], "TIMESTAMPTZ", None),
        ([b"a"], "BLOB", pa.array([b"a"])),
    ],
)
def test_columns_are_arrays_where_nothing_is_lost_by_it(values: list[Any], ours: str, kept: Any) -> None:
    column = documents.column("v", values, ours)

    if kept is None:
        assert plain(column) == [one.replace(tzinfo=UTC) for one in values]
    else:
        assert type(column) is type(kept) and plain(column) == plain(kept)


def test_a_field_that_appears_only_later_comes_all_the_same(strange: Strange) -> None:
    strange.put("shop.t", *({"_id": n, "v": n} | ({"late": str(n), "à.b": n} if n == 1500 else {}) for n in range(2000)))
    strange.batch = 700

    with Mongo(strange.url) as origin:
        table = replace(held(origin, "shop.t"))
        columns, rejects = read(origin, asked(table))
        note = origin.notes[-1]

    assert (
        note == "shop.t has fields that its sample did not show, so that they are no columns of it: late (1 documents), à.b (1 documents)."
    )
    assert table.names == ("_id", "v") and not rejects
    assert columns["v"] == list(range(2000))
    assert columns["late"] == [None] * 1500 + ["1500"] + [None] * 499
    assert columns["à.b"][1500] == 1500


def test_the_sample_sees_the_newest_documents_too(server: Server) -> None:
    with server.client() as client:
        client.shop.t.insert_many([{"v": n} | ({"late": 1} if n >= 1990 else {}) for n in range(2000)])

    with Mongo(server.url) as origin:
        assert held(origin, "shop.t").names == ("_id", "v", "late")


def test_a_field_that_a_document_lacks_is_null(server: Server) -> None:
    with server.client() as client:
        client.shop.t.insert_many([{"_id": "a", "at": T0, "v": 1}, {"_id": "b", "v": 2}, {"_id": "c", "at": None}])

    with Mongo(server.url) as origin:
        columns, rejects = read(origin, asked(held(origin, "shop.t"), {"at": "TIMESTAMPTZ", "v": "BIGINT"}))

    assert columns == {"_id": ["a", "b", "c"], "at": [T0, None, None], "v": [1, 2, None]} and not rejects


def test_each_batch_has_every_column_also_one_of_rejects_only(strange: Strange) -> None:
    strange.put("shop.t", {"_id": 1, "v": Regex("a"), "w": 1})

    with Mongo(strange.url) as origin:
        [arrived] = origin.batches(asked(held(origin, "shop.t")))

    assert arrived.count == 0 and len(arrived.rejects) == 1
    assert {name: plain(values) for name, values in arrived.columns.items()} == {"_id": [], "v": [], "w": []}


def test_keys_with_dots_are_fields_as_others(server: Server) -> None:
    with server.client() as client:
        client.shop.t.insert_one({"_id": 1, "a.b": 1, "a": {"b": 2}, "$x": 3, "": 4})

    with Mongo(server.url) as origin:
        table = held(origin, "shop.t")
        columns, rejects = read(origin, asked(table, since=("a.b", 1)))
        assert not origin.ordered(table, "a.b")

    assert {name: values[0] for name, values in columns.items()} == {"_id": "1", "a.b": 1, "a": {"b": 2}, "$x": 3, "": 4} and not rejects


def test_a_database_in_the_url_limits_to_it_and_admin_does_not(server: Server) -> None:
    with server.client() as client:
        client.trades.paper.insert_one({"v": 1})
        client.shop.t.insert_one({"v": 1})

    def names(url: str) -> list[str]:
        with Mongo(url) as origin:
            return [one.name for one in origin.tables()]

    assert names(server.url) == ["shop.t", "trades.paper"]
    assert names(server.url + "trades") == ["trades.paper"]
    assert names(server.url + "admin") == ["shop.t", "trades.paper"]
    assert names(server.url + "nothing") == []


def test_since_asks_for_what_is_new_and_for_what_cannot_be_compared(server: Server) -> None:
    with server.client() as client:
        client.shop.t.insert_many([{"_id": n, "at": T0 + timedelta(hours=n), "n": n} for n in range(10)])
        client.shop.t.insert_many([{"_id": "text", "at": "2020-01-01", "n": "3"}, {"_id": "none", "at": None}, {"_id": "lacks"}])

    with Mongo(server.url) as origin:
        table = held(origin, "shop.t")
        later, _ = read(origin, asked(table, since=("at", T0 + timedelta(hours=8))))
        more, _ = read(origin, asked(table, since=("n", 8)))

    assert sorted(later["_id"]) == sorted(["8", "9", "text", "none", "lacks"])
    assert sorted(more["_id"]) == sorted(["8", "9", "text", "none", "lacks"])


def test_rows_come_in_order_where_an_index_leads_with_the_field(server: Server) -> None:
    with server.client() as client:
        client.shop.t.insert_many([{"_id": n, "at": T0 + timedelta(hours=n * 7 % 10), "v": n, "mixed": n or "x"} for n in range(10)])
        for name in ("at", "mixed"):
            client.shop.t.create_index(name)

    with Mongo(server.url) as origin:
        table = held(origin, "shop.t")
        columns, _ = read(origin, asked(table, order="at"))
        assert origin.ordered(table, "at") and origin.ordered(table, "_id")
        assert not origin.ordered(table, "v") and not origin.ordered(table, "mixed")
        assert columns["at"] == sorted(columns["at"])


@pytest.mark.parametrize(
    "index",
    [
        {"key": {"b": 1, "at": 1}},
        {"key": {"at": "hashed"}},
        {"key": {"at": 1}, "sparse": True},
        {"key": {"at": 1}, "partialFilterExpression": {"b": 1}},
    ],
)
def test_an_index_that_lacks_documents_gives_no_order(strange: Strange, index: dict[str, Any]) -> None:
    strange.put("shop.t", {"_id": 1, "at": T0})
    strange.uniform = True

    with Mongo(strange.url) as origin:
        strange.indexes["shop.t"] = [{"name": "x", **index}]
        assert not origin.ordered(held(origin, "shop.t"), "at")
        strange.indexes["shop.t"] = [{"name": "x", "key": {"at": -1, "b": 1}}]
        assert origin.ordered(held(origin, "shop.t"), "at")


def test_a_late_value_of_another_type_gives_no_order(strange: Strange) -> None:
    """The stand-in answers any find with all it has: a document that is not of the field's type."""
    strange.put("shop.t", {"_id": 1, "at": T0})
    strange.indexes["shop.t"] = [{"name": "x", "key": {"at": -1}}]

    with Mongo(strange.url) as origin:
        assert not origin.ordered(held(origin, "shop.t"), "at")
    [query] = [one["filter"]["$or"] for one in strange.asked if "$or" in one.get("filter", {})]
    assert query[0] == {"at": {"$eq": None}} and {"at": {"$type": "string"}} in query and {"at": {"$type": "date"}} not in query


def test_batches_are_bounded_and_rows_are_named_by_their_id(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("workbench.importers.mongo.PIECE", 100)
    monkeypatch.setattr("workbench.importers.mongo.BATCH_ROWS", 250)
    with server.client() as client:
        client.shop.t.insert_many([{"_id": f"id{n}", "v": n} for n in range(1500)])

    with Mongo(server.url) as origin:
        table = held(origin, "shop.t")
        counts: list[int] = []
        named: list[bool] = []
        for arrived in origin.batches(asked(table)):
            named.append(origin.where(table, sum(counts)) == f"shop.t _id {plain(arrived.columns['_id'])[0]}")
            counts.append(arrived.count)
        # Of what came long before only the number is known.
        assert origin.where(table, 0) == "shop.t row 0"

    assert sum(counts) == 1500 and max(counts) <= 250 and all(named)


def test_large_documents_make_small_batches(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("workbench.importers.mongo.BATCH_BYTES", 10_000)
    monkeypatch.setattr("workbench.importers.mongo.PIECE", 4)
    with server.client() as client:
        client.shop.t.insert_many([{"_id": n, "v": "x" * 3000} for n in range(20)])

    with Mongo(server.url) as origin:
        counts = [arrived.count for arrived in origin.batches(asked(held(origin, "shop.t")))]

    assert sum(counts) == 20 and max(counts) <= 5


def test_all_is_read_in_one_snapshot_where_the_server_can(strange: Strange) -> None:
    strange.snapshots = True
    strange.put("shop.t", {"_id": 1})

    with Mongo(strange.url) as origin:
        read(origin, asked(held(origin, "shop.t")))
        assert origin.notes == []
    [*_, found] = [one for one in strange.asked if "find" in one]
    assert found["readConcern"]["level"] == "snapshot"


def test_a_server_without_snapshots_is_said(server: Server) -> None:
    with Mongo(server.url) as origin:
        [note] = origin.notes
    assert "is not a replica set, so it has no snapshots" in note


@pytest.mark.parametrize("after", [0, 1])
def test_a_snapshot_that_is_refused_or_lost_is_said_and_all_comes(strange: Strange, after: int) -> None:
    strange.snapshots, strange.refuses_snapshots, strange.refuses_after = True, 239 if after else 246, after
    strange.put("shop.t", *({"_id": n} for n in range(6)))

    with Mongo(strange.url) as origin:
        columns, _ = read(origin, asked(held(origin, "shop.t")))
        [note] = origin.notes

    assert set(columns["_id"]) == set(map(str, range(6)))
    assert "shop.t and what came after it were read without a snapshot" in note


@pytest.mark.parametrize("then", ["gone", "hung up", "silent"])
def test_a_server_that_goes_away_midway_is_unreachable(strange: Strange, then: str) -> None:
    strange.put("shop.t", *({"_id": n} for n in range(6)))

    with Mongo(strange.url + "?socketTimeoutMS=1500", timeout=5) as origin:
        table = held(origin, "shop.t")
        strange.then = then
        with pytest.raises(Unreachable, match=r"stopped answering while it was read"):
            list(origin.batches(asked(table)))


def test_a_server_that_is_killed_midway_is_unreachable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("workbench.importers.mongo.DOCUMENTS", 100)
    monkeypatch.setattr("workbench.importers.mongo.PIECE", 100)
    monkeypatch.setattr("workbench.importers.mongo.BATCH_ROWS", 100)
    with mongo() as server:
        with server.client() as client:
            client.shop.t.insert_many([{"v": n} for n in range(1000)])
        with Mongo(server.url, timeout=3) as origin:
            table = held(origin, "shop.t")
            coming: Iterator[Arrived] = origin.batches(asked(table))
            assert next(coming).count
            server.stop()
            with pytest.raises(Unreachable, match="stopped answering"):
                list(coming)
            with pytest.raises(Unreachable, match="was not read"):
                origin.tables()


def test_a_host_that_does_not_answer_is_unreachable_in_time() -> None:
    with pytest.raises(Unreachable) as refused:
        Mongo(f"mongodb://ann:s3cret@127.0.0.1:{free_port()}/", timeout=0.3)
    assert "127.0.0.1" in str(refused.value) and "s3cret" not in str(refused.value) and "Topology" not in str(refused.value)

    with socket.create_server(("127.0.0.1", 0)) as silent, pytest.raises(Unreachable):
        Mongo(f"mongodb://127.0.0.1:{silent.getsockname()[1]}/", timeout=0.3)


def test_timeouts_in_the_url_win(server: Server) -> None:
    with Mongo(server.url + "?connectTimeoutMS=1234&SOCKETtimeoutms=2345", timeout=7) as origin:
        options = origin.client.options.pool_options
        assert (options.connect_timeout, options.socket_timeout) == (1.234, 2.345)
        assert origin.client.options.server_selection_timeout == 7


def test_wrong_keys_and_missing_ones(strange: Strange) -> None:
    strange.password = "right"
    at = f"127.0.0.1:{strange.port}"

    with pytest.raises(BadKeys, match="refuses the user or the password") as wrong:
        Mongo(f"mongodb://ann:s3cr%40t@{at}/?authSource=admin", timeout=2)
    assert "s3cr" not in str(wrong.value) and wrong.value.__cause__ is None
    with pytest.raises(BadKeys, match="wants a user and a password"):
        Mongo(f"mongodb://{at}/", timeout=2)


@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("postgres://x", "a URL of MongoDB is"),
        ("mongodb://ann:p@ss:word@host/", "in percent"),
        ("mongodb://ann:x?s3cret@127.0.0.1:1/trades", "in percent"),
        ("mongodb://ann:x/s3cret@127.0.0.1:1/trades", "in percent"),
        ("mongodb://ann:x?y=1&s3cret@127.0.0.1:1/trades?serverSelectionTimeoutMS=20", "in percent"),
        ("mongodb://ann:s3cret@host:notaport/", "Check the URL"),
        ("mongodb://ann:s3cret@127.0.0.1:1/?tls=true&tlsCAFile=/nowhere/ca.pem", "Check the URL"),
    ],
)
def test_a_url_that_cannot_be_used_says_so_without_its_password(url: str, said: str) -> None:
    with pytest.raises(UsageError, match=said) as refused:
        Mongo(url, timeout=0.2)
    assert "s3cret" not in str(refused.value) and "p@ss" not in str(refused.value)


def test_an_option_that_the_driver_does_not_know_is_a_note(server: Server, recwarn: pytest.WarningsRecorder) -> None:
    with Mongo(f"{server.url}?tlsCAFiel=/ca.pem") as origin:
        assert any("Unknown option: tlscafiel" in note and "tlscafile" in note for note in origin.notes)
    assert not recwarn.list


def test_tls_is_asked_for_as_the_url_says(server: Server) -> None:
    """The server speaks none, so the handshake fails: what matters is that none is read in the clear."""
    certifi = pytest.importorskip("certifi")
    with pytest.raises((Unreachable, SourceError)) as refused:
        Mongo(f"{server.url}?tls=true&tlsCAFile={certifi.where()}", timeout=0.5)
    assert "tlsCAFile" in str(refused.value)


def test_names_that_are_looked_up_and_not_found_are_unreachable() -> None:
    with pytest.raises(Unreachable, match="cannot be looked up"):
        Mongo("mongodb+srv://ann:s3cret@nothing.invalid/", timeout=0.5)


@pytest.mark.parametrize(
    ("url", "label", "database"),
    [
        ("mongodb://Host/", "mongodb://host:27017", ""),
        ("mongodb://u:p@b:1,a:2/trades?authSource=admin", "mongodb://a:2,b:1/trades", "trades"),
        ("mongodb+srv://u:p@c.example.net/admin", "mongodb+srv://c.example.net", ""),
        ("mongodb://u:p%2F%40@[::1]:5/x", "mongodb://[::1]:5/x", "x"),
    ],
)
def test_a_label_tells_the_server_and_no_user(url: str, label: str, database: str) -> None:
    assert (Url(url).label, Url(url).database) == (label, database)
    assert Url(url).masked(f"no {url}") in (f"no {url}", "no mongodb://u:***@b:1,a:2/trades?authSource=admin") or "p%2F" not in Url(
        url
    ).masked(url)
