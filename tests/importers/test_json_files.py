"""JSON files are read for what they hold in whatever shape; what is broken in them is told, with its place, and the rest comes."""

import gzip
import json
import random
import tracemalloc
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from workbench.errors import SourceError, UsageError
from workbench.importers import json_text
from workbench.importers.json_files import JsonFiles
from workbench.importers.origin import Arrived, Asked, Held, Reject
from workbench.tables.platforms import RECORDS
from workbench.tables.record import Field

ANY = Field("any", "VARCHAR", "")
SIGNAL = {"timestamp": "2025-11-23T14:30:00", "symbol": "BTCUSD", "price": 50000.00}


def written(folder: Path, name: str, text: str | bytes) -> Path:
    folder.mkdir(exist_ok=True)
    path = folder / name
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return path


def held(origin: JsonFiles, name: str) -> Held:
    return next(one for one in origin.tables() if one.name == name)


def batches(origin: JsonFiles, name: str, fields: dict[str, Field] | None = None, **asked: Any) -> list[Arrived]:
    table = held(origin, name)
    assert table.fault == ""
    return list(origin.batches(Asked(table, {one: (fields or {}).get(one, ANY) for one in table.names}, **asked)))


def read(path: Path, name: str, fields: dict[str, Field] | None = None, **asked: Any) -> tuple[list[dict[str, Any]], list[Reject]]:
    """The rows of a table without what they lack, and its rejects."""
    with JsonFiles(path) as origin:
        found = batches(origin, name, fields, **asked)
        table = held(origin, name)
    assert table.rows == sum(one.count + len(one.rejects) for one in found)
    rows = []
    for one in found:
        columns = {key: values if isinstance(values, list) else values.to_pylist() for key, values in one.columns.items()}
        rows += [{key: values[n] for key, values in columns.items() if values[n] is not None} for n in range(one.count)]
    return rows, [reject for one in found for reject in one.rejects]


# ---------------------------------------------------------------------- shapes


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("signals.json", '[{"id": 1, "symbol": "A"}, {"id": 2, "symbol": "B", "note": [1]}]'),
        ("signals.json", '\ufeff [\n  {"id": 1, "symbol": "A"},\n  {"id": 2, "symbol": "B", "note": [1]},\n]\n'),
        ("signals.jsonl", '{"id": 1, "symbol": "A"}\n\n{"id": 2, "symbol": "B", "note": [1]}'),
        ("signals.ndjson", '{"id": 1, "symbol": "A"}\r\n{"id": 2, "symbol": "B", "note": [1]}\r\n'),
        ("signals.json", '{"id": 1, "symbol": "A"}\n{"id": 2, "symbol": "B", "note": [1]}\n'),
        ("signals.json", '{"1": {"id": 1, "symbol": "A"}, "x": {"id": 2, "symbol": "B", "note": [1]}}'),
        ("signals.json", '{"signals": [{"id": 1, "symbol": "A"}, {"id": 2, "symbol": "B", "note": [1]}], "count": 2}'),
        ("signals.json", '{"version": 3, "data": [{"id": 1, "symbol": "A"}, {"id": 2, "symbol": "B", "note": [1]}]}'),
        (
            "state.json",
            '{"saved": "2025-11-23", "signals": [{"id": 1, "symbol": "A"}, {"id": 2, "symbol": "B", "note": [1]}], "trades": []}',
        ),
    ],
)
@pytest.mark.parametrize("packed", [False, True], ids=["", "gz"])
def test_a_table_in_any_shape(tmp_path: Path, name: str, text: str, packed: bool) -> None:
    path = written(tmp_path / "data", name + ".gz" * packed, gzip.compress(text.encode()) if packed else text)
    for place in (path, path.parent):
        rows, rejects = read(place, "signals")
        assert rows == [{"id": 1, "symbol": "A"}, {"id": 2, "symbol": "B", "note": [1]}]
        assert rejects == []


@pytest.mark.parametrize(
    ("name", "key", "text"),
    [
        ("holdings", "symbol", '{"BTC": {"amount": 0.05}, "ETH": {"amount": 1}}'),
        ("rss_feeds", "url", '{"BTC": {"name": "a"}, "ETH": {"name": "b"}}'),
        ("seen_news", "news_id", '{"BTC": {"title": "a"}, "ETH": {"title": "b"}}'),
        ("signals", "id", '{"BTC": {"symbol": "a"}, "ETH": {"symbol": "b"}, "updated_at": "2025"}'),
        ("strategy_definitions", "name", '{"BTC": {"version": "a"}, "ETH": {"version": "b"}}'),
        ("strategy_performance", "strategy", '{"BTC": [{"trades": 1}], "ETH": [{"trades": 2}]}'),
        ("whatever", "key", '{"BTC": {"a": 1}, "ETH": {"a": 2}}'),
        ("bot_status", "key", '{"BTC": {"value": 1, "updated_at": "2025"}, "ETH": true}'),
    ],
)
def test_the_names_of_an_objects_records_fill_their_key(tmp_path: Path, name: str, key: str, text: str) -> None:
    written(tmp_path, f"{name}.json", text)
    rows, rejects = read(tmp_path, name)
    assert [row[key] for row in rows] == ["BTC", "ETH"]
    assert rejects == []


def test_a_record_that_has_its_key_keeps_it(tmp_path: Path) -> None:
    written(tmp_path, "holdings.json", '{"a": {"symbol": "BTC", "amount": 1}, "ETH": {"amount": 2}}')
    assert [row["symbol"] for row in read(tmp_path, "holdings")[0]] == ["BTC", "ETH"]


def test_values_by_name_are_a_row_each(tmp_path: Path) -> None:
    written(
        tmp_path,
        "bot_status.json",
        '{"running": true, "mode": "paper", "rate": 0.10, "errors": [], "last": {"at": 1.50}, "none": null, "json": "{\\"a\\": 1}"}',
    )
    rows, rejects = read(tmp_path, "bot_status", {"value": RECORDS["kraken_bot.bot_status"]["value"]})
    assert {row["key"]: row.get("value") for row in rows} == {
        "running": "true",
        "mode": '"paper"',
        "rate": "0.10",
        "errors": "[]",
        "last": '{"at": 1.50}',
        "none": None,
        "json": '{"a": 1}',
    }
    assert rejects == []


@pytest.mark.parametrize("chunk", [1, 2, 3, 5])
def test_a_number_is_whole_wherever_the_file_is_cut(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, chunk: int) -> None:
    monkeypatch.setattr("workbench.importers.json_text.CHUNK", chunk)
    written(tmp_path, "bot_status.json", '{"a": 1234567, "b": -12.5e10, "c": true}')
    assert [row["value"] for row in read(tmp_path, "bot_status")[0]] == [1234567, Decimal("-12.5e10"), True]


def test_an_object_of_plain_values_is_one_record(tmp_path: Path) -> None:
    written(tmp_path, "signals.json", json.dumps({**SIGNAL, "strategies": {"rsi": {"signal": "BUY"}}, "tags": [1, 2]}))
    written(tmp_path, "other.json", '{"a": 1, "b": [1, 2]}')
    [row], rejects = read(tmp_path, "signals")
    assert (row["symbol"], row["strategies"], row["tags"], rejects) == ("BTCUSD", {"rsi": {"signal": "BUY"}}, [1, 2], [])
    assert read(tmp_path, "other")[0] == [{"a": 1, "b": [1, 2]}]


def test_a_backup_of_all_tables_in_one_file(tmp_path: Path) -> None:
    text = '{"signals": [{"id": 1}], "holdings": {"BTC": {"amount": 1}}, "bot_status": {"running": true}, "made": "2025"}'
    path = written(tmp_path, "backup.json", text)
    with JsonFiles(path) as origin:
        assert [one.name for one in origin.tables()] == ["bot_status", "holdings", "signals"]
    assert read(path, "holdings")[0] == [{"symbol": "BTC", "amount": 1}]
    assert read(path, "bot_status")[0] == [{"key": "running", "value": True}]


def test_a_folder_of_a_bot(tmp_path: Path) -> None:
    written(tmp_path, "signals.json", json.dumps([SIGNAL]))
    written(tmp_path, "trades.jsonl", '{"amount": 0.05}\n')
    written(tmp_path, "trades.json.gz", gzip.compress(b'[{"amount": 1, "late": true}]'))
    written(tmp_path, "holdings.json", "[]")
    written(tmp_path, "README.md", "not ours")
    (tmp_path / "sub.json").mkdir()
    with JsonFiles(tmp_path) as origin:
        assert [(one.name, one.rows, one.names, one.fault) for one in origin.tables()] == [
            ("holdings", 0, (), ""),
            ("signals", 1, ("timestamp", "symbol", "price"), ""),
            ("trades", 2, ("amount", "late"), ""),
        ]
        assert {column.name: column.kind for column in held(origin, "signals").columns} == {
            "timestamp": "text",
            "symbol": "text",
            "price": "number",
        }
        assert origin.label == f"json:{tmp_path}"
        assert not origin.ordered(held(origin, "signals"), "timestamp")
    assert {row["amount"] for row in read(tmp_path, "trades")[0]} == {1, Decimal("0.05")}


# ---------------------------------------------------------------------- values


def test_numbers_keep_their_digits(tmp_path: Path) -> None:
    numbers = ["0.1", "1.10", "12345678901234567890.12345678", "1e400", "123456789012345678901234567890", "-0.0", "5", "null"]
    path = written(tmp_path, "t.json", "[" + ", ".join(f'{{"a": {one}}}' for one in numbers) + "]")
    rows, _ = read(path, "t")
    got = [row.get("a") for row in rows]
    assert got == [Decimal(one) for one in numbers[:-1]] + [None]
    assert [str(one) for one in got[:2]] == ["0.1", "1.10"]


def test_columns_of_one_type_come_as_arrays(tmp_path: Path) -> None:
    rows = [
        {"a": 0.1, "b": "x", "c": 1, "d": True, "e": 0.12345678901234567891, "f": 1},
        {"a": 2, "b": None, "c": None, "d": False, "e": 1, "f": "1"},
    ]
    text = json.dumps(rows).replace("0.12345678901234568", "0.12345678901234567891")
    path = written(tmp_path, "t.json", text)
    number = Field("n", "DOUBLE", "")
    with JsonFiles(path) as origin:
        [batch] = batches(origin, "t", {"a": number, "e": number})
    kinds = {name: str(getattr(values, "type", "list")) for name, values in batch.columns.items()}
    assert kinds == {"a": "double", "b": "string", "c": "int64", "d": "bool", "e": "list", "f": "list"}


def test_half_a_character_comes_as_it_is(tmp_path: Path) -> None:
    path = written(tmp_path, "t.json", '[{"a": "\\ud800"}, {"a": "\\ud83d\\ude00"}]')
    assert [row["a"] for row in read(path, "t")[0]] == ["\ud800", "😀"]


@pytest.mark.parametrize("chunk", [1, 3, 7])
def test_where_a_file_is_cut_into_pieces_changes_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, chunk: int) -> None:
    chance = random.Random(chunk)

    def value(depth: int = 0) -> Any:
        plain = [1, -12.5, True, None, 'a"b\\ü😀', 1234567890123]
        inner: list[Any] = [value(depth + 1) for _ in range(chance.randrange(3))] if depth < 3 else []
        return chance.choice([*plain, inner, {chance.choice("abcd"): one for one in inner}])

    path = tmp_path / "t.json"
    for _ in range(300):
        made = chance.choice([[value() for _ in range(4)], {chance.choice("vwxyz"): value() for _ in range(4)}])
        text = json.dumps(made, ensure_ascii=chance.random() < 0.5, indent=chance.choice([None, 1]))
        # Half of them broken.
        for _ in range(chance.choice([0, 0, 1, 2])):
            at = chance.randrange(len(text))
            text = (
                text[:at] + chance.choice(["", '"', "{", "}", "]", ",", ":", "\\", "\n", "t", "1.", "e"]) + text[at + chance.randrange(2) :]
            )
        path.write_text(text, newline="")
        try:
            how = json_text.layout(path)
        except json_text.NoJson:
            continue
        whole = list(json_text.items(path, how))
        with monkeypatch.context() as patched:
            patched.setattr(json_text, "CHUNK", chunk)
            pieces = list(json_text.items(path, how))
        told = [(one.where, one.value, one.key, one.listed, one.reason, one.size) for one in whole]
        assert [(one.where, one.value, one.key, one.listed, one.reason, one.size) for one in pieces] == told, text


# ---------------------------------------------------------------------- bad records

BAD = [
    ("t.json", '[{"a": 1}, 5, {"a": 2}]', "[1]", "it is no object, but number: 5"),
    ("t.json", '[{"a": 1}, {"a": 7, "a": 8}, {"a": 2}]', "[1]", "it has 'a' twice"),
    ("t.json", '[{"a": 1}, {"a": NaN}, {"a": 2}]', "[1]", "NaN is none of JSON's numbers"),
    ("t.json", '[{"a": 1}, {"a": -Infinity}, {"a": 2}]', "[1]", "-Infinity is none of JSON's numbers"),
    ("t.json", '[{"a": 1}, {"a": }, {"a": 2}]', "[1]", "it is no JSON (expecting value)"),
    ("t.json", '[{"a": 1}, {"a": "open}\n, {"a": 2}]', "[1]", "it is no JSON (invalid control character at)"),
    ("t.json", '[{"a": 1}, {"a": 2}, {"a": 3', "[2]", "the file ends amid this; what came before was read"),
    ("t.json", '[{"a": 1}, {"a": 2}', "[2]", "the file ends amid this; what came before was read"),
    ("t.json", '[{"a": 1}, {"a": 2}] {"a": 3}', "after the end", "'{' and more stand after what closes the file"),
    ("t.jsonl", '{"a": 1}\n{"a": \n{"a": 2}\n', "line 2", "it is no JSON (expecting value)"),
    ("t.jsonl", '{"a": 1}\n[1]\n{"a": 2}\n', "line 2", "it is no object, but list: [1]"),
    ("t.jsonl", '{"a": 1}\n{"a": 2}\n{"a', "line 3", "it is no JSON (unterminated string starting at); the file ends there"),
    ("t.json", '{"a": 1}\n{"a": 1, "a": 2}\n{"a": 2}\n', "line 2", "it is no JSON (it has 'a' twice)"),
    ("t.json", '{"x": {"a": 1}, "y": {"a": 2}, "x": {"a": 3}}', "'x'", "its name 'x' stands in the file twice"),
    ("t.json", '{"x": {"a": 1}, "y": {"a": 2}, z: {"a": 3}}', "a name", "it is no JSON (z stands where a name and a colon are to stand)"),
    ("t.json", b'[{"a": 1}, {"a": "\xff"}, {"a": 2}]', "[1]", "it holds bytes that are not UTF-8, at character 8 of it"),
    ("t.jsonl", b'{"a": 1}\n{"a": "\xff"}\n{"a": 2}', "line 2", "it holds bytes that are not UTF-8, at character 8 of it"),
]


@pytest.mark.parametrize(("name", "text", "where", "reason"), BAD, ids=[str(n) for n in range(len(BAD))])
@pytest.mark.parametrize("chunk", [1 << 20, 3])
def test_a_bad_record_is_handed_on_with_its_place_and_reason(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, text: str | bytes, where: str, reason: str, chunk: int
) -> None:
    # However the file is cut into pieces.
    monkeypatch.setattr("workbench.importers.json_text.CHUNK", chunk)
    written(tmp_path, name, text)
    rows, [reject] = read(tmp_path, "t")
    assert [row["a"] for row in rows] == [1, 2]
    assert (reject.where, reject.reason) == (f"{name} {where}", reason)


@pytest.mark.usefixtures("deep")
def test_what_is_deeper_than_python_goes_ends_the_file(tmp_path: Path) -> None:
    written(tmp_path, "t.json", '[{"a": 1}, {"a": ' + "[" * 100_000 + "]" * 100_000 + '}, {"a": 2}]')
    rows, [reject] = read(tmp_path, "t")
    assert [row["a"] for row in rows] == [1, 2]
    assert reject.reason == "it is no JSON (it is nested too deep)"


def test_a_reject_can_be_written_as_json(tmp_path: Path) -> None:
    written(tmp_path, "t.json", '[{"": 1.5}, 7, {"a": NaN}]')
    _, rejects = read(tmp_path, "t")
    assert [json.loads(json.dumps(one.row)) for one in rejects] == [{"": "1.5"}, {"text": "7"}, {"text": '{"a": NaN}]'}]


def test_a_gzip_file_that_is_cut_short_gives_what_came_before(tmp_path: Path) -> None:
    chance = random.Random(1)
    packed = gzip.compress("\n".join(json.dumps({"a": chance.random()}) for _ in range(50_000)).encode())
    written(tmp_path, "t.jsonl.gz", packed[: len(packed) // 2])
    rows, [reject] = read(tmp_path, "t")
    assert 10_000 < len(rows) < 40_000
    assert "the file is cut off" in reject.reason or "the file ends there" in reject.reason
    text = json.dumps([{"a": chance.random()} for _ in range(50_000)])
    packed = gzip.compress(text.encode())
    written(tmp_path, "u.json.gz", packed[: len(packed) // 2])
    rows, [reject] = read(tmp_path, "u")
    assert 10_000 < len(rows) < 40_000
    assert "the file ends amid this (Compressed file ended" in reject.reason


def test_where_a_row_stands(tmp_path: Path) -> None:
    written(tmp_path, "t.json", '[{"a": 1}, 5, {"a": 2}]')
    written(tmp_path, "t.jsonl", '\n{"a": 3}\n')
    with JsonFiles(tmp_path) as origin:
        [batch] = batches(origin, "t")
        table = held(origin, "t")
        assert batch.count == 3
        assert [origin.where(table, n) for n in range(4)] == ["t.json [0]", "t.json [2]", "t.jsonl line 2", "t row 3"]


# ---------------------------------------------------------------------- files that are none


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (b"", "t.json is empty"),
        (b"  \n", "t.json is empty"),
        (b"\xef\xbb\xbf", "t.json is empty"),
        (b"<html>", "t.json is no JSON: it begins with '<html>'"),
        (b'"text"', "t.json is no JSON"),
        ('[{"a": 1}]'.encode("utf-16"), "t.json is UTF-16 or UTF-32, and JSON is UTF-8: save it as UTF-8"),
        ('[{"a": 1}]'.encode("utf-16-be"), "t.json is UTF-16"),
        ('[{"a": 1}]'.encode("utf-32-le"), "t.json is UTF-16"),
        (b"\x1f\x8b\x08broken", "t.json is no whole gzip file"),
    ],
)
def test_a_file_that_is_no_json_is_reported_and_the_others_are_read(tmp_path: Path, text: bytes, said: str) -> None:
    written(tmp_path, "t.json", text)
    written(tmp_path, "u.json", '[{"a": 1}]')
    with JsonFiles(tmp_path) as origin:
        found = {one.name: one.fault for one in origin.tables()}
    assert found["t"].startswith(said) and found["t"].endswith("; nothing of it was imported.")
    assert found["u"] == ""
    assert read(tmp_path, "u")[0] == [{"a": 1}]


def test_places_that_hold_none(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="is not there; nothing was imported"):
        JsonFiles(tmp_path / "absent")
    with pytest.raises(UsageError, match=r"holds no \.json, \.jsonl, \.ndjson file; nothing was imported"):
        JsonFiles(tmp_path)


def test_a_file_that_went_away_meanwhile(tmp_path: Path) -> None:
    path = written(tmp_path, "t.json", '[{"a": 1}]')
    with JsonFiles(path) as origin:
        table = held(origin, "t")
        path.unlink()
        with pytest.raises(SourceError, match="cannot be read any more"):
            list(origin.batches(Asked(table, {"a": ANY})))


# ---------------------------------------------------------------------- order and size


def test_order_by_a_column(tmp_path: Path) -> None:
    written(tmp_path, "t.json", '[{"a": 1, "at": "2025-03"}, {"a": 2, "at": "2025-01"}, {"a": 3}, {"a": 4, "at": "2025-02"}]')
    assert [row["a"] for row in read(tmp_path, "t", order="at")[0]] == [3, 2, 4, 1]


@pytest.mark.parametrize("shape", ["list", "lines"])
def test_memory_is_bounded_whatever_the_file_holds(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, shape: str) -> None:
    monkeypatch.setattr("workbench.importers.json_files.BATCH_CHARS", 200_000)
    monkeypatch.setattr("workbench.importers.json_text.CHUNK", 100_000)
    row = json.dumps({"a": 1, "text": "x" * 1000})
    count = 6_000
    text = "[" + ",\n".join([row] * count) + "]" if shape == "list" else "\n".join([row] * count)
    path = written(tmp_path, "t.json", text)
    del text
    tracemalloc.start()
    with JsonFiles(path) as origin:
        table = held(origin, "t")
        sizes = [one.count for one in origin.batches(Asked(table, {"a": ANY, "text": ANY}))]
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert sum(sizes) == count == table.rows
    assert max(sizes) < 250
    assert peak < 3_000_000 < path.stat().st_size
