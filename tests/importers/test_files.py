"""Folders of CSV, Parquet and Arrow files as an import reads them: which table each is, what is no row, and nothing lost."""

import gzip
from collections.abc import Sequence
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from workbench.errors import UsageError
from workbench.importers.file_names import files
from workbench.importers.files import Files
from workbench.importers.origin import Asked, Held, Reject
from workbench.tables.record import Field


def put(path: Path, content: str | bytes | pa.Table) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    if isinstance(content, pa.Table):
        if path.suffix == ".parquet":
            pq.write_table(content, path)
        else:
            with pa.OSFile(str(path), "wb") as out, pa.ipc.new_file(out, content.schema) as file:
                file.write_table(content)
    else:
        path.write_bytes(content.encode() if isinstance(content, str) else content)
    return path


def read(
    path: Path, table: str | None = None, since: tuple[str, Any] | None = None, order: str = "", columns: Sequence[str] | None = None
) -> tuple[list[dict[str, Any]], list[Reject]]:
    """The rows of a table, each with where it stands, and what is none."""
    rows: list[dict[str, Any]] = []
    rejects: list[Reject] = []
    with Files(path) as origin:
        held = {one.name: one for one in origin.tables()}
        one = held[table] if table else next(iter(held.values()))
        wanted = columns or one.names
        number = 0
        for arrived in origin.batches(Asked(one, {name: Field(name, "VARCHAR", "") for name in wanted}, since, order)):
            assert all(len(column) == arrived.count for column in arrived.columns.values())
            made = {name: column if isinstance(column, list) else column.to_pylist() for name, column in arrived.columns.items()}
            for at in range(arrived.count):
                rows.append({**{name: values[at] for name, values in made.items()}, "#": origin.where(one, number)})
                number += 1
            rejects += arrived.rejects
    return rows, rejects


def bare(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [{name: value for name, value in row.items() if name != "#"} for row in rows]


def table(path: Path) -> Held:
    with Files(path) as origin:
        [held] = origin.tables()
    return held


# ---------------------------------------------------------------------- which table


@pytest.mark.parametrize(
    ("paths", "told"),
    [
        (["signals.csv"], {"signals"}),
        (["kraken_bot.signals.csv.gz"], {"kraken_bot.signals"}),
        (["kraken_bot/signals.csv", "kraken_bot/trades.parquet"], {"kraken_bot.signals", "kraken_bot.trades"}),
        (["dump/signals.csv", "dump/trades.csv"], {"signals", "trades"}),
        (["stock_prices/2024/01/a.parquet", "stock_prices/2024/02/b.parquet"], {"stock_prices"}),
        (["shrek.stock_prices/date=2024-01-02/data_0.parquet"], {"shrek.stock_prices"}),
        (["shrek/stock_prices/date=2024-01-02/data_0.parquet"], {"shrek.stock_prices"}),
        (["prices/part-0.csv", "prices/part-1.csv"], {"prices"}),
        (["prices/AAPL.csv", "prices/MSFT.csv"], {"prices"}),
        (["trading_simulator/points_tally.csv"], {"trading_simulator.points_tally"}),
        (["a.feather", "b.pq", "c.tsv", ".hidden.csv", "_SUCCESS.csv", "d.xlsx"], {"a", "b", "c"}),
    ],
)
def test_a_files_path_says_which_table_it_is_of(paths: list[str], told: set[str], tmp_path: Path) -> None:
    for path in paths:
        put(tmp_path / path, "")
    assert {one.table for one in files(tmp_path)} == told


def test_a_folder_that_an_export_made_is_the_table_itself(tmp_path: Path) -> None:
    put(tmp_path / "stock_prices" / "date=2024-01-02" / "data_0.csv", "")
    put(tmp_path / "shrek" / "stock_prices" / "date=2024-01-02" / "data_0.csv", "")
    assert [one.table for one in files(tmp_path / "stock_prices")] == ["stock_prices"]
    assert [one.table for one in files(tmp_path / "shrek" / "stock_prices")] == ["shrek.stock_prices"]


def test_a_place_without_files_is_told(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"is not there; nothing was read"):
        Files(tmp_path / "nowhere")
    with pytest.raises(UsageError, match=r"holds no file that ends in \.csv"):
        Files(tmp_path)


# ---------------------------------------------------------------------- CSV


def test_csv_is_text_whatever_it_looks_like(tmp_path: Path) -> None:
    put(tmp_path / "t.csv", '\ufeffticker,note,n\nNA,,1.50\nNULL,"",TRUE\nTRUE,"a ""b"", c\nd",\n"nan",007,1e5\n')
    rows, rejects = read(tmp_path)
    assert bare(rows) == [
        {"ticker": "NA", "note": None, "n": "1.50"},
        {"ticker": "NULL", "note": "", "n": "TRUE"},
        {"ticker": "TRUE", "note": 'a "b", c\nd', "n": None},
        {"ticker": "nan", "note": "007", "n": "1e5"},
    ]
    assert not rejects
    assert rows[3]["#"] == "t.csv row 4"


@pytest.mark.parametrize("mark", [",", ";", "\t", "|"])
@pytest.mark.parametrize("end", ["\n", "\r\n"])
def test_the_delimiter_is_found(mark: str, end: str, tmp_path: Path) -> None:
    put(
        tmp_path / "t.csv",
        end.join([f'"a"{mark}b', f"1{mark}2,5", "", f"3{mark}4"]) if mark != "," else end.join(["a,b", '1,"2,5"', "", "3,4"]),
    )
    assert bare(read(tmp_path)[0]) == [{"a": "1", "b": "2,5"}, {"a": "3", "b": "4"}]


def test_lines_that_are_no_rows_are_told_and_the_rest_goes_in(tmp_path: Path) -> None:
    put(tmp_path / "t.csv", 'a,b\n1,2\n3\n"x\ny",4\n5,6,7\n8,9\n')
    rows, rejects = read(tmp_path)
    assert bare(rows) == [{"a": "1", "b": "2"}, {"a": "x\ny", "b": "4"}, {"a": "8", "b": "9"}]
    assert [(one.where, one.reason, one.row) for one in rejects] == [
        ("t.csv line 3", "it has 1 fields, and its file's first line 2", {"line": "3"}),
        ("t.csv line 6", "it has 3 fields, and its file's first line 2", {"line": "5,6,7"}),
    ]
    assert [row["#"] for row in rows] == ["t.csv line 2", "t.csv line 4", "t.csv line 7"]


@pytest.mark.parametrize("bad", ['"3,op', '3,"op', '"3,"op'])
@pytest.mark.parametrize("before", [0, 3, 20_000])
def test_a_quote_that_nobody_closed_spoils_its_own_line(bad: str, before: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("workbench.importers.csv_files.BLOCK", 1 << 14)
    put(tmp_path / "t.csv", "a,b\n" + "1,2\n" * before + bad + "\n" + "8,9\n" * 5)
    with Files(tmp_path) as origin:
        [held] = origin.tables()
        came = list(origin.batches(Asked(held, {name: Field(name, "VARCHAR", "") for name in held.names})))
    assert sum(one.count for one in came) == before + 5
    assert [one.where for some in came for one in some.rejects] == [f"t.csv line {before + 2:,}"]


def test_rows_between_two_lone_quotes_are_rows(tmp_path: Path) -> None:
    put(tmp_path / "t.csv", 'a,b\n"3,op\n8,9\n4,5"\n"6,"\n')
    rows, rejects = read(tmp_path)
    assert bare(rows) == [{"a": "8", "b": "9"}, {"a": "4", "b": '5"'}]
    assert [one.where for one in rejects] == ["t.csv line 2", "t.csv line 5"]


def test_what_is_not_utf8_is_told(tmp_path: Path) -> None:
    put(tmp_path / "t.csv", b"a,b\n1,caf\xe9\n2,caf\xc3\xa9\n")
    rows, [reject] = read(tmp_path)
    assert bare(rows) == [{"a": "2", "b": "café"}]
    assert rows[0]["#"] == "t.csv row 2"
    assert (reject.where, reject.reason) == ("t.csv row 1", r"b is not UTF-8: b'caf\xe9'")


@pytest.mark.parametrize(
    ("content", "why"),
    [
        ("", "has no first line with its columns' names, for it is empty"),
        ("1,2.5\n3,4\n", "'1' among its columns' names, as if its first line were a row"),
        ("AAPL,2024-01-02\n", "'2024-01-02' among its columns' names"),
        ("a,,b\n1,2,3\n", "a column without a name"),
        ("a,b,a\n1,2,3\n", "two columns called a"),
        ("a,b\n1,2\n".encode("utf-16"), "is not UTF-8 text: save it as UTF-8"),
        (b"a\0,b\n", "is not UTF-8 text"),
        ("a,b\r1,2\r", "carriage returns only"),
        (b"caf\xe9,b\n1,2\n", "is not UTF-8 text"),
    ],
)
def test_a_header_that_names_no_columns_is_told(content: str | bytes, why: str, tmp_path: Path) -> None:
    put(tmp_path / "t.csv", content)
    held = table(tmp_path)
    assert held.fault.startswith("t.csv cannot be imported: it ")
    assert why in held.fault
    assert not held.columns


def test_the_index_that_pandas_writes_has_a_name(tmp_path: Path) -> None:
    put(tmp_path / "t.csv", ",a\n0,x\n")
    assert bare(read(tmp_path)[0]) == [{"Unnamed: 0": "0", "a": "x"}]


def test_gzip_is_read_as_far_as_it_goes(tmp_path: Path) -> None:
    packed = gzip.compress(b"a,b\n" + b"".join(b"%d,%d\n" % (n, n * 7919 % 100_003) for n in range(100_000)))
    put(tmp_path / "whole" / "t.csv.gz", packed + gzip.compress(b"9,9\n") + b"\0" * 9)
    put(tmp_path / "cut" / "t.csv.gz", packed[: len(packed) // 2])
    rows, rejects = read(tmp_path / "whole")
    assert (len(rows), rejects) == (100_001, [])
    rows, [reject] = read(tmp_path / "cut")
    assert 40_000 < len(rows) < 60_000
    assert [row["a"] for row in rows] == [str(n) for n in range(len(rows))]
    assert reject.where == "t.csv.gz"
    assert reject.reason == f"it breaks off after line {len(rows) + 1:,}, for it is cut short; its first {len(rows):,} rows were read"


# ---------------------------------------------------------------------- Parquet and Arrow


def test_files_of_one_table_may_differ_and_nothing_is_rounded(tmp_path: Path) -> None:
    big = 2**53 + 1
    put(tmp_path / "t" / "part-0.parquet", pa.table({"id": [big], "volume": pa.array([big], pa.int64())}))
    put(tmp_path / "t" / "part-1.parquet", pa.table({"volume": [0.5], "note": ["x"]}))
    put(tmp_path / "t" / "part-2.arrow", pa.table({"volume": pa.array([Decimal("1.10")]), "id": [2]}))
    put(tmp_path / "t" / "part-3.csv", "id,volume\n3,1e3\n")
    held = table(tmp_path)
    assert held.rows is None
    assert {one.name: one.kind for one in held.columns} == {
        "id": "int64 or text, in 3 of 4 files",
        "volume": "int64 or double or decimal128(3, 2) or text",
        "note": "string, in 1 of 4 files",
    }
    rows, rejects = read(tmp_path)
    assert bare(rows) == [
        {"id": big, "volume": big, "note": None},
        {"id": None, "volume": 0.5, "note": "x"},
        {"id": 2, "volume": Decimal("1.10"), "note": None},
        {"id": "3", "volume": "1e3", "note": None},
    ]
    assert not rejects
    in_order, _ = read(tmp_path, order="volume")
    assert [row["volume"] for row in in_order] == ["0.5", "1.10", "1e3", str(big)]
    assert in_order[3]["#"] == "t/part-0.parquet row 1"


def test_a_column_that_a_file_lacks_takes_its_default(tmp_path: Path) -> None:
    put(tmp_path / "t" / "part-0.csv", "a,test_mode\n1,true\n")
    put(tmp_path / "t" / "part-1.csv", "a\n2\n")
    with Files(tmp_path) as origin:
        [held] = origin.tables()
        asked = Asked(held, {"a": Field("a", "BIGINT", ""), "test_mode": Field("test_mode", "BOOLEAN", "", default="false")})
        assert [set(one.columns) for one in origin.batches(asked)] == [{"a", "test_mode"}, {"a"}]


def test_hive_folders_are_columns(tmp_path: Path) -> None:
    for day in ("2024-01-03", "2024-01-02", "__HIVE_DEFAULT_PARTITION__"):
        put(tmp_path / "t" / f"date={day}" / "sym=A%2FB" / "data_0.parquet", pa.table({"close": [1.5]}))
    rows, _ = read(tmp_path)
    assert [(row["date"], row["sym"], row["close"]) for row in rows] == [
        ("2024-01-02", "A/B", 1.5),
        ("2024-01-03", "A/B", 1.5),
        (None, "A/B", 1.5),
    ]
    rows, _ = read(tmp_path, since=("date", date(2024, 1, 4)), columns=["close", "date"])
    assert [row["date"] for row in rows] == ["2024-01-03", None]
    with Files(tmp_path) as origin:
        [held] = origin.tables()
        assert (origin.ordered(held, "date"), origin.ordered(held, "close")) == (True, False)


def test_damaged_files_are_told_and_the_others_read(tmp_path: Path) -> None:
    whole = put(
        tmp_path / "t" / "part-0.parquet",
        pa.table({"a": list(range(1000))}),
    ).read_bytes()
    put(tmp_path / "t" / "part-1.parquet", whole[: len(whole) // 2])
    put(tmp_path / "t" / "part-2.parquet", whole[:100] + b"\xff" * 200 + whole[300:])
    put(tmp_path / "t" / "part-3.arrow", b"ARROW1 and nothing else")
    put(tmp_path / "t" / "part-4.csv", "")
    put(tmp_path / "t" / "part-5.csv", "a\n7\n")
    rows, rejects = read(tmp_path)
    assert [row["a"] for row in rows if isinstance(row["a"], str)] == ["7"]
    assert [row["a"] for row in rows][:1000] == list(range(1000))
    assert [one.where for one in rejects] == ["t/part-1.parquet", "t/part-3.arrow", "t/part-4.csv", "t/part-2.parquet"]
    assert all("is damaged" in one.reason for one in rejects if "csv" not in one.where)
    assert all(one.reason.endswith("none of its rows were read") for one in rejects)


def test_small_files_come_together(tmp_path: Path) -> None:
    for n in range(30):
        put(tmp_path / "t" / f"part-{n:02}.parquet", pa.table({"a": [n], "b": pa.nulls(1) if n % 2 else pa.array(["x"])}))
    with Files(tmp_path) as origin:
        [held] = origin.tables()
        assert held.rows == 30
        [arrived] = origin.batches(Asked(held, {name: Field(name, "VARCHAR", "") for name in held.names}))
        made: Any = arrived.columns["a"]
        assert list(made.to_pylist()) == list(range(30))
        assert origin.where(held, 17) == "t/part-17.parquet row 1"


def test_values_keep_their_types(tmp_path: Path) -> None:
    at = datetime(2024, 1, 2, 14, 30, 0, 1, tzinfo=UTC)
    made = pa.table(
        {
            "ns": pa.array([1_704_205_800_000_000_123], pa.timestamp("ns", "UTC")),
            "at": pa.array([at], pa.timestamp("us", "America/New_York")),
            "price": pa.array([Decimal("0.00000001")], pa.decimal128(20, 8)),
            "of": pa.array([[("a", {"n": 1.5})]], pa.map_(pa.string(), pa.struct([("n", pa.float64())]))),
            "said": pa.array(["x"]).dictionary_encode(),
            "time": pa.array([1], pa.time64("us")),
        }
    )
    put(tmp_path / "a.parquet", made)
    put(tmp_path / "b.arrow", made)
    for name in ("a", "b"):
        for order in ("", "price"):
            [row], _ = read(tmp_path, name, order=order)
            assert row["ns"].value == 1_704_205_800_000_000_123
            assert (row["at"], row["price"], row["of"], row["said"]) == (at, Decimal("0.00000001"), [("a", {"n": 1.5})], "x")


# ---------------------------------------------------------------------- from a value on, in order


@pytest.mark.parametrize("order", ["", "id"])
def test_only_rows_from_a_value_on_come(order: str, tmp_path: Path) -> None:
    ids = list(range(50_000))
    pq.write_table(
        pa.table({"id": ids, "at": pa.array([datetime(2024, 1, 1, tzinfo=UTC) + timedelta(hours=n) for n in ids])}),
        tmp_path / "a.parquet",
        row_group_size=10_000,
    )
    put(tmp_path / "b.csv", "id,at\n" + "".join(f"{n},2024-01-01 00:00:00\n" for n in range(10)) + "x,2024-01-05\n,\n")
    rows, _ = read(tmp_path, "a", since=("id", 49_998), order=order)
    assert [row["id"] for row in rows] == [49_998, 49_999]
    assert rows[0]["#"] == "a.parquet row 49,999"
    rows, _ = read(tmp_path, "a", since=("at", datetime(2024, 1, 1, tzinfo=UTC) + timedelta(hours=49_999)), columns=["id"])
    assert bare(rows) == [{"id": 49_999}]
    # What cannot be compared comes, and is told of later.
    assert len(read(tmp_path, "b", since=("id", 8))[0]) == 12
    assert [row["id"] for row in read(tmp_path, "b", since=("at", datetime(2024, 1, 5, 12, tzinfo=UTC)))[0]] == ["x", None]


def test_rows_come_in_the_order_of_a_column(tmp_path: Path) -> None:
    put(tmp_path / "t" / "part-0.csv", "time,n\n2024-01-02 10:00:00-05,1\n2024-01-02 09:00:00-05,2\n2024-01-02T14:30:00Z,3\nrubbish,4\n")
    put(tmp_path / "t" / "part-1.csv", "time,n\n2024-01-01,5\n2024-01-03,6,7\n")
    rows, [reject] = read(tmp_path, order="time")
    assert [row["n"] for row in rows] == ["4", "5", "2", "3", "1"]
    assert [row["#"] for row in rows] == [
        f"t/{one}" for one in ("part-0.csv row 4", "part-1.csv line 2", "part-0.csv row 2", "part-0.csv row 3", "part-0.csv row 1")
    ]
    assert reject.where == "t/part-1.csv line 3"
    assert not list(tmp_path.glob("sorting-*"))


def test_what_stands_in_order_is_not_sorted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    put(tmp_path / "t" / "part-0.parquet", pa.table({"at": [1, 1, 2]}))
    put(tmp_path / "t" / "part-1.parquet", pa.table({"at": [2, 3]}))
    monkeypatch.setattr("workbench.importers.files.sorted_parts", None)
    assert [row["at"] for row in read(tmp_path, order="at")[0]] == [1, 1, 2, 2, 3]
    put(tmp_path / "t" / "part-2.parquet", pa.table({"at": [2]}))
    with pytest.raises(TypeError):
        read(tmp_path, order="at")
