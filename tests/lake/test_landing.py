"""One flat file becomes Parquet, or stands in quarantine with its reason; nothing is lost on the way."""

import gzip
import json
import os
import subprocess
import sys
from pathlib import Path

import polars as pl
import pytest
from flatfiles import (
    BAR,
    FRI,
    MON,
    STOCK_DAY,
    STOCK_MINUTE,
    STOCK_TRADES,
    THU,
    TRADE,
    bar,
    minutes,
    put,
    text,
    trade,
)

from workbench.bench import Workbench
from workbench.config import Settings
from workbench.lake.quarantine import refusals
from workbench.refresh.summary import Summary
from workbench.tables import FED, Table, find


@pytest.fixture
def bench(tmp_path: Path) -> Workbench:
    return Workbench(Settings.load(env={}, data=str(tmp_path / "lake")))


@pytest.fixture
def vendor(tmp_path: Path) -> Path:
    folder = tmp_path / "vendor"
    folder.mkdir()
    return folder


def refresh(bench: Workbench, vendor: Path) -> Summary:
    return bench.refresh(source=f"folder:{vendor}").run()


def rows(bench: Workbench, query: str) -> list[tuple[object, ...]]:
    return bench.sql(query).fetchall()


GOOD = text([bar("AAA"), bar("BRK.B"), bar("ZTEST")])


def test_a_good_file_lands_with_its_base_columns(bench: Workbench, vendor: Path) -> None:
    put(vendor, STOCK_DAY, THU, GOOD)

    summary = refresh(bench, vendor)

    assert (summary.exit_status, summary.problems) == (0, [])
    assert rows(bench, "SELECT ticker, close, volume, date::VARCHAR, source, is_test FROM stock_day ORDER BY ticker") == [
        ("AAA", 10.5, 100.0, "2024-03-07", "folder", False),
        ("BRK.B", 10.5, 100.0, "2024-03-07", "folder", False),
        ("ZTEST", 10.5, 100.0, "2024-03-07", "folder", True),
    ]
    assert rows(bench, "SELECT DISTINCT epoch_ns(timestamp) - window_start FROM stock_day") == [(0,)]
    assert bench.sql("FROM stock_day").columns == [c.name for c in STOCK_DAY.columns]


@pytest.mark.parametrize("ticker", ["NA", "NULL", "TRUE", "NAN", "INF", "null", "nan", "E", "1e5", "#N/A", "BACpB"])
def test_tickers_that_look_like_something_else_stay_text(bench: Workbench, vendor: Path, ticker: str) -> None:
    put(vendor, STOCK_DAY, THU, text([bar(ticker)]))

    refresh(bench, vendor)

    assert rows(bench, "SELECT ticker FROM stock_day") == [(ticker,)]


def test_fractional_volume_is_exact_in_the_last_row_too(bench: Workbench, vendor: Path) -> None:
    put(vendor, STOCK_MINUTE, THU, text([*minutes("AAA", THU, 900), *minutes("BBB", THU, 1), bar("CCC", volume="10.750001", at_ns=10**12)]))

    refresh(bench, vendor)

    assert rows(bench, "SELECT volume FROM stock_minute WHERE ticker = 'CCC'") == [(10.750001,)]


def test_the_timestamp_is_truncated_towards_the_past(bench: Workbench, vendor: Path) -> None:
    line = trade("AAA", THU, 1)
    stamp = STOCK_TRADES.session_ns(THU)[0] + 4 * 3600 * 10**9 + 10**9
    put(vendor, STOCK_TRADES, THU, text([line.replace(str(stamp), str(stamp + 1999))], TRADE))

    refresh(bench, vendor)

    assert rows(bench, "SELECT sip_timestamp, epoch_us(timestamp) FROM stock_trades") == [(stamp + 1999, stamp // 1000 + 1)]


# ---------------------------------------------------------------------- faulty files

GOOD_FRIDAY = text([bar("AAA", FRI), bar("BRK.B", FRI)])
SPOILED = {
    "BrokenGzip": {
        "truncated": gzip.compress(GOOD_FRIDAY, mtime=0)[:-20],
        "without its trailer": gzip.compress(GOOD_FRIDAY, mtime=0)[:-8],
        "another checksum": gzip.compress(GOOD_FRIDAY, mtime=0)[:-6] + b"\0\0" + gzip.compress(GOOD_FRIDAY, mtime=0)[-4:],
        "not gzip": b"this is no gzip file",
        "garbage after it": gzip.compress(GOOD_FRIDAY, mtime=0) + b"garbage",
    },
    "EmptyFile": {
        "no bytes": b"",
        "only a header": gzip.compress(text([])),
        "no text": gzip.compress(b""),
    },
    "UnknownHeader": {
        "a missing column": gzip.compress(b"ticker,volume,open,close,high,low,window_start\nA,1,1,1,1,1,1\n"),
        "an extra column": gzip.compress(text([bar("A", FRI) + ",1"], BAR + ",vwap")),
        "another order": gzip.compress(text([bar("A", FRI)], "ticker,volume,open,high,low,close,window_start,transactions")),
        "other names": gzip.compress(text([bar("A", FRI)], BAR.replace("ticker", "symbol"))),
        "no header": gzip.compress("\n".join([bar("A", FRI), bar("B", FRI), ""]).encode()),
    },
    "BrokenText": {
        "invalid UTF-8": gzip.compress(text([bar("AAA", FRI)]) + b"\xff\xfe,1,1,1,1,1,1709874000000000000,1\n"),
        "an open quote": gzip.compress(text([bar('"AAA', FRI), bar("BBB", FRI)])),
    },
    "WrongSession": {
        "the next session's stamps": gzip.compress(text([bar("AAA", MON), bar("BBB", MON)])),
        "one stray stamp": gzip.compress(text([bar("AAA", FRI), bar("BBB", MON), *(bar(f"C{n}", FRI) for n in range(2000))])),
        "milliseconds": gzip.compress(text(["AAA,1,1,1,1,1,1709787600000,1"])),
        "17 digits": gzip.compress(text(["AAA,1,1,1,1,1,17097876000000000,1"])),
        "a negative stamp": gzip.compress(text(["AAA,1,1,1,1,1,-68400000000000,1"])),
    },
    "TooManyFaults": {
        "words for prices": gzip.compress(text([bar(f"A{n}", FRI, close="x" if n % 2 else 1) for n in range(100)])),
    },
}


@pytest.mark.parametrize(("kind", "how"), [(kind, how) for kind, cases in SPOILED.items() for how in cases])
def test_a_faulty_file_is_kept_apart_and_changes_nothing(bench: Workbench, vendor: Path, kind: str, how: str) -> None:
    put(vendor, STOCK_DAY, THU, GOOD)
    refresh(bench, vendor)
    version = bench.lake["stock_day"].snapshot().version
    spoiled = put(vendor, STOCK_DAY, FRI, SPOILED[kind][how], raw=True)

    summary = refresh(bench, vendor)

    [refusal] = refusals(bench.lake.root)
    assert (refusal.kind, refusal.session, summary.exit_status) == (kind, FRI, 3)
    assert refusal.path.read_bytes() == spoiled.read_bytes()
    assert str(FRI) in refusal.reason, "the error names the file"
    assert len(refusal.reason) > 60, "the error says what was not done and what to do"
    assert bench.lake["stock_day"].snapshot().version == version
    assert list((bench.lake.root / "tmp").glob("land-*")) == []


def test_a_refused_file_is_not_tried_again_until_it_changes(bench: Workbench, vendor: Path) -> None:
    put(vendor, STOCK_DAY, THU, b"", raw=True)
    refresh(bench, vendor)
    assert [step.action for step in bench.plan(source=f"folder:{vendor}")] == ["refused"]
    assert [step.action for step in bench.plan(source=f"folder:{vendor}", again=True)] == ["land"]

    put(vendor, STOCK_DAY, THU, GOOD)

    assert refresh(bench, vendor).exit_status == 0
    assert [row["state"] for row in bench.coverage("stock_day", THU, THU)] == ["landed"]


def test_several_gzip_members_are_one_file(bench: Workbench, vendor: Path) -> None:
    put(vendor, STOCK_DAY, THU, gzip.compress(text([bar("AAA")])) + gzip.compress((bar("BBB") + "\n").encode()), raw=True)

    assert refresh(bench, vendor).exit_status == 0
    assert rows(bench, "SELECT count(*) FROM stock_day") == [(2,)]


@pytest.mark.parametrize("ending", [b"", b"\r\n"])
def test_line_ends_do_not_matter(bench: Workbench, vendor: Path, ending: bytes) -> None:
    lines = [BAR, bar("AAA"), bar("BBB")]
    put(vendor, STOCK_DAY, THU, (ending or b"\n").join(line.encode() for line in lines) + ending)

    assert refresh(bench, vendor).problems == []
    assert rows(bench, "SELECT count(*) FROM stock_day") == [(2,)]


def test_the_known_wrong_day_is_mended_and_said(bench: Workbench, vendor: Path) -> None:
    from datetime import date

    monday, tuesday = date(2019, 8, 12), date(2019, 8, 13)
    put(vendor, STOCK_DAY, monday, text([bar("AAA", tuesday), bar("BBB", tuesday)]))

    summary = refresh(bench, vendor)

    assert summary.exit_status == 0
    assert rows(bench, "SELECT DISTINCT window_start, date::VARCHAR FROM stock_day") == [(1_565_582_400_000_000_000, "2019-08-12")]
    assert "2019-08-13" in bench.lake["stock_day"].landings()[STOCK_DAY.key_of(STOCK_DAY.feeds[0], monday)].notes[0]


def test_a_known_wrong_day_with_a_faulty_row_is_mended_all_the_same(bench: Workbench, vendor: Path) -> None:
    from datetime import date

    put(vendor, STOCK_DAY, date(2019, 8, 12), text([bar("AAA", date(2019, 8, 13)), bar("BAD", date(2019, 8, 13), close="x")]))

    refresh(bench, vendor)

    assert rows(bench, "SELECT ticker, window_start FROM stock_day") == [("AAA", 1_565_582_400_000_000_000)]


def test_sizes_known_to_be_wrong_are_refused_while_they_are(bench: Workbench, vendor: Path) -> None:
    from datetime import date

    day = date(2015, 1, 6)
    wrong = [trade("AAA", day, n).replace(",10,1,202,", f",{33 + n % 17},1,202,") for n in range(50)]
    put(vendor, STOCK_TRADES, day, text(wrong, TRADE))
    refresh(bench, vendor)
    assert [one.kind for one in refusals(bench.lake.root)] == ["KnownFault"]

    put(vendor, STOCK_TRADES, day, text([trade("AAA", day, n) for n in range(50)], TRADE))

    assert refresh(bench, vendor).exit_status == 0


# ---------------------------------------------------------------------- faulty rows

FAULTY_ROWS = {
    "no close": bar("BAD", close=""),
    "no ticker": bar(""),
    "volume is not a DOUBLE": bar("BAD", volume="many"),
    "close is not a DOUBLE": bar("BAD", close="nan"),
    "high is not a DOUBLE": bar("BAD").replace(",11,", ",inf,"),
    "transactions is not a BIGINT": bar("BAD", trades="5.5"),
    "close below 0": bar("BAD", close=-1),
    "volume below 0": bar("BAD", volume=-0.5),
    "too many fields": bar("BAD") + ",7,8",
    "no volume": "BAD",
    "NUL byte in ticker": bar("B\0D"),
    "ticker is no symbol": bar('" DD"'),
}


@pytest.mark.parametrize("reason", FAULTY_ROWS)
def test_a_faulty_row_is_set_apart_and_accounted_for(bench: Workbench, vendor: Path, reason: str) -> None:
    put(vendor, STOCK_DAY, THU, text([bar("AAA"), FAULTY_ROWS[reason], bar("ZZZ")]))

    summary = refresh(bench, vendor)

    [landing] = bench.lake["stock_day"].landings().values()
    assert (landing.rows_in, landing.rows, landing.quarantined, landing.reasons) == (3, 2, 1, {reason: 1})
    assert rows(bench, "SELECT ticker FROM stock_day ORDER BY 1") == [("AAA",), ("ZZZ",)]
    [refusal] = refusals(bench.lake.root)
    assert pl.read_parquet(refusal.path)["reason"].to_list() == [reason]
    assert summary.exit_status == 0
    assert any("1 rows in quarantine" in problem for problem in summary.problems), "nothing is set apart in silence"


@pytest.mark.parametrize("ticker", ['""', '" "', '"A\nB"', "A B", '"\tA"'])
def test_text_that_is_no_symbol_does_not_land_as_a_ticker(bench: Workbench, vendor: Path, ticker: str) -> None:
    put(vendor, STOCK_DAY, THU, text([bar("AAA"), bar(ticker), bar("ZZZ")]))

    refresh(bench, vendor)

    assert rows(bench, "SELECT ticker FROM stock_day ORDER BY 1") == [("AAA",), ("ZZZ",)]
    [landing] = bench.lake["stock_day"].landings().values()
    assert landing.quarantined == 1


def test_a_nul_in_other_text_is_a_faulty_row(bench: Workbench, vendor: Path) -> None:
    put(vendor, STOCK_TRADES, THU, text([trade("AAA", THU, 1), trade("AAA", THU, 2).replace(",7167522,", ",71\x0067,")], TRADE))

    refresh(bench, vendor)

    [landing] = bench.lake["stock_trades"].landings().values()
    assert (landing.rows, landing.reasons) == (1, {"NUL byte in id": 1})


def test_the_faulty_rows_of_a_refused_file_can_be_looked_at(bench: Workbench, vendor: Path) -> None:
    put(vendor, STOCK_DAY, THU, text([bar(f"A{n}", close="x" if n % 2 else 1) for n in range(100)]))

    refresh(bench, vendor)

    [refusal] = refusals(bench.lake.root)
    [kept] = refusal.path.parent.glob("*.rows.parquet")
    assert kept.name in refusal.reason
    assert len(pl.read_parquet(kept)) == 50


def test_an_empty_line_is_a_row_without_a_ticker(bench: Workbench, vendor: Path) -> None:
    put(vendor, STOCK_DAY, THU, text([bar("AAA"), "", bar("ZZZ")]))

    refresh(bench, vendor)

    [landing] = bench.lake["stock_day"].landings().values()
    assert landing.reasons == {"no ticker": 1}


def test_ten_faulty_rows_are_borne_and_eleven_of_few_are_not(bench: Workbench, vendor: Path) -> None:
    good = [bar(f"A{n:03}") for n in range(100)]
    put(vendor, STOCK_DAY, THU, text([*good, *(bar(f"B{n}", close="x") for n in range(10))]))
    put(vendor, STOCK_DAY, FRI, text([*(bar(f"A{n:03}", FRI) for n in range(100)), *(bar(f"B{n}", FRI, close="x") for n in range(11))]))

    refresh(bench, vendor)

    assert rows(bench, "SELECT date::VARCHAR, count(*) FROM stock_day GROUP BY ALL") == [("2024-03-07", 100)]
    assert sorted(one.kind for one in refusals(bench.lake.root)) == ["TooManyFaults", "rows"]


def test_identical_rows_become_one(bench: Workbench, vendor: Path) -> None:
    put(vendor, STOCK_DAY, THU, text([bar("AAA"), bar("AAA"), bar("AAA"), bar("BBB")]))

    refresh(bench, vendor)

    [landing] = bench.lake["stock_day"].landings().values()
    assert (landing.rows_in, landing.rows, landing.reasons) == (4, 2, {"identical to another row": 2})


def test_an_empty_twin_gives_way_to_the_bar_with_trades(bench: Workbench, vendor: Path) -> None:
    put(vendor, STOCK_DAY, THU, text([bar("AMUB", volume=0, close=9, trades=0), bar("AMUB", close=10), bar("BBB")]))

    refresh(bench, vendor)

    assert rows(bench, "SELECT close FROM stock_day WHERE ticker = 'AMUB'") == [(10.0,)]


def test_rows_that_contradict_each_other_are_all_set_apart(bench: Workbench, vendor: Path) -> None:
    put(vendor, STOCK_DAY, THU, text([bar("AAA", close=9), bar("AAA", close=10), bar("BBB")]))

    refresh(bench, vendor)

    [landing] = bench.lake["stock_day"].landings().values()
    assert (landing.rows, landing.reasons) == (1, {"same key as another row": 2})


def test_the_same_key_far_apart_is_found(bench: Workbench, vendor: Path) -> None:
    put(vendor, STOCK_DAY, THU, text([bar("AAA"), bar("BBB"), bar("AAA", close=10)]))

    refresh(bench, vendor)

    assert rows(bench, "SELECT ticker FROM stock_day") == [("BBB",)]


def test_rows_out_of_order_are_sorted(bench: Workbench, vendor: Path) -> None:
    put(vendor, STOCK_MINUTE, THU, text([*minutes("BBB", THU, 5), *reversed(minutes("AAA", THU, 5)), *minutes("BBB", THU, 5, first=5)]))

    assert refresh(bench, vendor).problems == []
    [file] = bench.lake["stock_minute"].snapshot().files
    landed = pl.read_parquet(bench.lake["stock_minute"].folder / file.path)
    assert len(landed) == 15
    assert landed.select("ticker", "window_start").equals(landed.select("ticker", "window_start").sort("ticker", "window_start"))


def test_trades_of_one_instant_differ_by_their_sequence(bench: Workbench, vendor: Path) -> None:
    put(vendor, STOCK_TRADES, THU, text([trade("AAA", THU, 1, sequence=n) for n in (1, 2, 2, 3)], TRADE))

    refresh(bench, vendor)

    [landing] = bench.lake["stock_trades"].landings().values()
    assert (landing.rows, landing.reasons) == (3, {"identical to another row": 1})


def test_identical_rows_of_a_table_without_a_key_all_stay(bench: Workbench, vendor: Path) -> None:
    table = find("option_trades")
    assert not table.key
    header = table.headers[-1]
    stamp = table.session_ns(THU)[0] + 10**13
    values = {"ticker": "O:AAPL240315C00150000", "price": "1.5", "sip_timestamp": str(stamp), "size": "2"}
    line = ",".join(values.get(name, "") for name in header)
    put(vendor, table, THU, text([line, line], ",".join(header)))

    refresh(bench, vendor)

    assert rows(bench, "SELECT count(*) FROM option_trades") == [(2,)]


# ---------------------------------------------------------------------- ticks


def test_ticks_are_routed_to_ticker_ranges_that_hold_every_ticker(bench: Workbench, vendor: Path) -> None:
    tickers = sorted(f"{a}{b}" for a in "ABCDEFGH" for b in "XYZ")
    put(vendor, STOCK_TRADES, THU, text([trade(t, THU, n) for t in tickers for n in range(20)], TRADE))
    put(vendor, STOCK_TRADES, FRI, text([trade(t, FRI, n) for t in ("A", "AXA", "ZZZ", "a") for n in range(3)], TRADE))

    refresh(bench, vendor)

    shot = bench.lake["stock_trades"].snapshot()
    assert len(shot.bounds or ()) == 15
    assert len({file.bucket for file in shot.files}) == 16
    counts = {ticker: n for ticker, n in rows(bench, "SELECT ticker, count(*) FROM stock_trades GROUP BY ALL")}  # noqa: C416
    assert counts == dict.fromkeys(tickers, 20) | dict.fromkeys(("A", "AXA", "ZZZ", "a"), 3)
    for ticker in counts:
        assert rows(bench, f"SELECT count(*) FROM stock_trades WHERE ticker = '{ticker}'") == [(counts[ticker],)]


def test_a_faulty_row_among_ticks_leaves_nothing_of_the_first_try(bench: Workbench, vendor: Path) -> None:
    tickers = [f"{a}{b}" for a in "ABCDEFGH" for b in "XYZ"]
    put(vendor, STOCK_TRADES, THU, text([trade(t, THU, n) for t in tickers for n in range(20)], TRADE))
    lines = [trade(t, FRI, n) for t in tickers for n in range(400)]
    put(vendor, STOCK_TRADES, FRI, text([*lines, trade("ZZZ", FRI, 1, price="x")], TRADE))

    summary = refresh(bench, vendor)

    assert summary.exit_status == 0
    assert rows(bench, f"SELECT count(*), count(DISTINCT ticker) FROM stock_trades WHERE date = '{FRI}'") == [(len(lines), 24)]
    assert bench.lake["stock_trades"].landings()[STOCK_TRADES.key_of(STOCK_TRADES.feeds[0], FRI)].quarantined == 1


def test_ranges_are_decided_once_even_by_a_file_of_one_ticker(bench: Workbench, vendor: Path) -> None:
    from workbench.sessions import between

    days = between(STOCK_TRADES, THU, THU.replace(day=15))
    for day in days[:4]:
        put(vendor, STOCK_TRADES, day, text([trade("ZZZ", day, n) for n in range(5)], TRADE))
    for day in days[4:]:
        put(vendor, STOCK_TRADES, day, text([trade(t, day, n) for t in ("AA", "BB", "CC", "DD") for n in range(5)], TRADE))

    assert refresh(bench, vendor).problems == []

    expected = 4 * 5 + (len(days) - 4) * 20
    assert rows(bench, "SELECT count(*) FROM stock_trades") == [(expected,)]
    for ticker, count in (("ZZZ", 20), ("AA", 5 * (len(days) - 4)), ("DD", 5 * (len(days) - 4))):
        assert rows(bench, f"SELECT count(*) FROM stock_trades WHERE ticker = '{ticker}'") == [(count,)]


def test_a_refused_file_decides_no_ranges(bench: Workbench, vendor: Path) -> None:
    put(vendor, STOCK_TRADES, THU, text([trade(t, FRI, 1) for t in ("XA", "XB", "XC")], TRADE))
    refresh(bench, vendor)
    assert bench.lake["stock_trades"].snapshot().bounds is None

    put(vendor, STOCK_TRADES, FRI, text([trade(t, FRI, n) for t in ("AA", "BB", "CC") for n in range(9)], TRADE))
    refresh(bench, vendor)

    assert bench.lake["stock_trades"].snapshot().bounds == ("BB", "CC")


def test_rows_routed_to_other_ranges_than_the_tables_are_not_committed(bench: Workbench, vendor: Path) -> None:
    from dataclasses import replace

    from workbench.errors import BrokenPromise
    from workbench.lake.landing import Job, land
    from workbench.sources.folder import Folder

    put(vendor, STOCK_TRADES, THU, text([trade(t, THU, n) for t in ("AA", "BB") for n in range(9)], TRADE))
    [file] = Folder(vendor).list(STOCK_TRADES.feeds[0], THU, THU)
    bench.lake.make()
    table = bench.lake["stock_trades"]
    table.set_bounds(["BB"])
    landed = land(Job(vendor / file.key, file, "folder", bench.lake.root, bounds=("AB",)))

    with pytest.raises(BrokenPromise, match="other ticker ranges"):
        table.commit([landed])
    assert table.snapshot().files == ()
    assert table.commit([replace(land(Job(vendor / file.key, file, "folder", bench.lake.root, bounds=("BB",))))]) == ["landed"]


def test_one_ticker_reads_one_range(bench: Workbench, vendor: Path) -> None:
    tickers = [f"{a}X" for a in "ABCDEFGHIJKLMNOP"]
    put(vendor, STOCK_TRADES, THU, text([trade(t, THU, n) for t in tickers for n in range(20)], TRADE))
    refresh(bench, vendor)

    [(_, one)] = rows(bench, "EXPLAIN SELECT avg(price) FROM stock_trades WHERE ticker = 'CX'")
    [(_, whole)] = rows(bench, "EXPLAIN SELECT avg(price) FROM stock_trades")

    # DuckDB 2.0 names the function once a scan, 1.5 twice.
    assert str(whole).count("READ_PARQUET") == 16 * str(one).count("READ_PARQUET") > 0


# ---------------------------------------------------------------------- every declared table


def line_of(table: Table, ticker: str, ns: int) -> str:
    """A row that keeps every promise of a declaration."""
    text_of = {"ticker": ticker, table.time: str(ns), table.same_day: str(THU)}
    by_type = {"VARCHAR": "", "DATE": str(THU), "TINYINT": "1", "SMALLINT": "1", "INTEGER": "1", "BIGINT": "1", "DOUBLE": "1.5"}
    return ",".join(text_of.get(c.name, "" if not c.required else by_type[c.type]) for c in table.vendor)


@pytest.mark.parametrize("name", sorted(table.name for table in FED))
def test_every_declared_table_lands_what_it_declares(bench: Workbench, vendor: Path, name: str) -> None:
    table = find(name)
    first = (table.session_ns(THU)[0] + table.session_ns(THU)[1]) // 2
    lines = [line_of(table, ticker, first + n * 10**9) for ticker in ("AA", "BB") for n in range(3)]
    for feed in range(len(table.feeds)):
        put(vendor, table, THU, text(lines, ",".join(table.headers[0])), feed=feed)

    summary = refresh(bench, vendor)

    assert (summary.problems, summary.exit_status) == ([], 0)
    assert rows(bench, f"SELECT count(*), min(date)::VARCHAR, max(date)::VARCHAR FROM {name}") == [
        (6 * len(table.feeds), str(THU), str(THU))
    ]
    assert rows(bench, f"SELECT count(*) FROM {name} WHERE epoch_us(timestamp) <> {table.time} // 1000") == [(0,)]
    if any(feed.venue for feed in table.feeds):
        assert rows(bench, f"SELECT DISTINCT venue FROM {name} ORDER BY 1") == sorted((feed.venue,) for feed in table.feeds)


@pytest.mark.parametrize("name", [table.name for table in FED if not table.stray[0]])
def test_every_table_refuses_stamps_of_the_day_before(bench: Workbench, vendor: Path, name: str) -> None:
    table = find(name)
    put(vendor, table, THU, text([line_of(table, "AA", table.session_ns(THU)[0] - 1)], ",".join(table.headers[0])))

    refresh(bench, vendor)

    assert [one.kind for one in refusals(bench.lake.root)] == ["WrongSession"]


def test_a_futures_file_names_its_own_session(bench: Workbench, vendor: Path) -> None:
    table = find("futures_trades")
    line = line_of(table, "ESM4", table.session_ns(THU)[0]).replace(str(THU), str(FRI))
    put(vendor, table, THU, text([line], ",".join(table.headers[0])))

    refresh(bench, vendor)

    assert [one.kind for one in refusals(bench.lake.root)] == ["WrongSession"]


# ---------------------------------------------------------------------- quotes


def test_quote_sizes_carry_their_unit(bench: Workbench, vendor: Path) -> None:
    from datetime import date

    table = find("stock_quotes")

    def lines(day: date, size: int) -> list[str]:
        stamp = table.session_ns(day)[0] + 10**13
        return [f"AA,8,180.0,{size * (n + 1)},11,164.28,{size},,,{stamp},{n},{stamp + n},1,0" for n in range(20)]

    put(vendor, table, THU, text(lines(THU, 1), ",".join(table.headers[0])))
    put(vendor, table, FRI, text(lines(FRI, 100), ",".join(table.headers[0])))
    new = date(2025, 11, 3)
    put(vendor, table, new, text(lines(new, 1), ",".join(table.headers[0])))

    refresh(bench, vendor)

    assert rows(bench, "SELECT DISTINCT date::VARCHAR, size_unit FROM stock_quotes ORDER BY 1") == [
        ("2024-03-07", "lots"),
        ("2024-03-08", "shares"),
        ("2025-11-03", "shares"),
    ]


# ---------------------------------------------------------------------- again, and at the same time


def test_the_same_files_land_once(bench: Workbench, vendor: Path) -> None:
    put(vendor, STOCK_DAY, THU, GOOD)
    refresh(bench, vendor)
    version = bench.lake["stock_day"].snapshot().version

    summary = refresh(bench, vendor)

    assert (len(summary.done), summary.transferred, summary.exit_status) == (0, 0, 0)
    assert bench.lake["stock_day"].snapshot().version == version


def test_a_file_published_again_replaces_its_session(bench: Workbench, vendor: Path) -> None:
    put(vendor, STOCK_DAY, THU, GOOD)
    put(vendor, STOCK_DAY, FRI, text([bar("AAA", FRI)]))
    refresh(bench, vendor)
    put(vendor, STOCK_DAY, THU, text([bar("AAA", close=99)]))

    summary = refresh(bench, vendor)

    assert [one.outcome for one in summary.done] == ["replaced"]
    assert rows(bench, "SELECT date::VARCHAR, ticker, close FROM stock_day ORDER BY 1") == [
        ("2024-03-07", "AAA", 99.0),
        ("2024-03-08", "AAA", 10.5),
    ]
    assert sorted(one.version for one in bench.lake["stock_day"].landings().values()) == [1, 2]


def test_the_past_stays_open(bench: Workbench, vendor: Path) -> None:
    import time
    from datetime import UTC, datetime

    import workbench

    put(vendor, STOCK_DAY, THU, GOOD)
    refresh(bench, vendor)
    time.sleep(0.01)
    then = datetime.now(UTC)
    time.sleep(0.01)
    put(vendor, STOCK_DAY, THU, text([bar("AAA", close=99)]))
    refresh(bench, vendor)

    past = workbench.open(bench.lake.root, as_of=then)

    assert rows(past, "SELECT count(*) FROM stock_day") == [(3,)]
    assert past.status()[0]["rows"] == 3
    assert rows(bench, "SELECT count(*) FROM stock_day") == [(1,)]
    with pytest.raises(workbench.errors.BadRange, match=r"no commit by"):
        workbench.open(bench.lake.root, as_of="2001-01-01T00:00Z")


# Without the lock that has one process wait for another: what they land must not depend on it.
LAND = """
import sys
from contextlib import nullcontext
import workbench.refresh.run
workbench.refresh.run.refreshing = lambda *_: nullcontext()
from workbench.bench import Workbench
from workbench.config import Settings
bench = Workbench(Settings.load(env={}, data=sys.argv[1]))
summary = bench.refresh(source="folder:" + sys.argv[2]).run()
print(sorted({one.outcome for one in summary.done}))
sys.exit(summary.exit_status)
"""


def test_processes_that_land_the_same_files_end_with_one_copy(bench: Workbench, vendor: Path) -> None:
    from workbench.sessions import between

    days = between(STOCK_DAY, THU, MON.replace(month=6))
    for day in days:
        put(vendor, STOCK_DAY, day, text([bar("AAA", day), bar("BBB", day)]))
        put(vendor, STOCK_TRADES, day, text([trade(t, day, n) for t in ("AAA", "BBB", "CCC") for n in range(5)], TRADE))

    command = [sys.executable, "-c", LAND, str(bench.lake.root), str(vendor)]
    racers = [subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) for _ in range(3)]
    results = [(racer.communicate(timeout=120), racer.returncode) for racer in racers]

    assert [code for _, code in results] == [0, 0, 0], results
    assert rows(bench, "SELECT count(*), count(DISTINCT date) FROM stock_day") == [(2 * len(days), len(days))]
    assert rows(bench, "SELECT count(*), count(DISTINCT date) FROM stock_trades") == [(15 * len(days), len(days))]
    bench.close()
    # What one of them wrote cold or compacted took the place of what another had landed hot; such files are known, and go.
    Workbench(bench.settings).vacuum("0 days", dry_run=False)
    for name in ("stock_day", "stock_trades"):
        table = bench.lake[name]
        live = {file.path for file in table.snapshot().files}
        found = {str(path.relative_to(table.folder)) for path in table.folder.rglob("*.parquet") if "_delta_log" not in path.parts}
        assert found == live, "a copy that lost the race is deleted"


def test_another_etag_of_the_same_bytes_is_remembered_not_landed_again(bench: Workbench, vendor: Path) -> None:
    from dataclasses import replace

    from workbench.refresh.chain import Chain
    from workbench.refresh.plan import Plan, Step
    from workbench.refresh.run import Refresh
    from workbench.sources import Fetched, FlatFile
    from workbench.sources.folder import Folder

    class Multipart(Folder):
        """A far end that gives the same bytes another identity, as a multipart upload does."""

        def fetch(self, file: FlatFile, folder: Path) -> Fetched:
            return Fetched(vendor / file.key, file.size, lent=True)

    put(vendor, STOCK_DAY, THU, GOOD)
    refresh(bench, vendor)
    [held] = bench.lake["stock_day"].landings().values()
    source = Multipart(vendor)
    [file] = source.list(STOCK_DAY.feeds[0], THU, THU)
    multipart = replace(file, etag=f"{file.etag[::-1]}-2")
    step = Step("stock_day", THU, "replace", "published again", file.key, file.size, multipart, held)

    Refresh(bench.lake, Chain("folder", source), Plan([step], "folder")).run()

    [now] = bench.lake["stock_day"].landings().values()
    assert (now.etag, now.files, now.aliases) == (multipart.etag, held.files, (held.etag,))
    assert rows(bench, "SELECT count(*) FROM stock_day") == [(3,)]
    assert bench.plan(source=f"folder:{vendor}") == []


def test_the_commit_is_the_record(bench: Workbench, vendor: Path) -> None:
    put(vendor, STOCK_DAY, THU, GOOD)
    refresh(bench, vendor)

    logs = sorted((bench.lake["stock_day"].folder / "_delta_log").glob("*.json"))
    info = next(json.loads(line)["commitInfo"] for line in logs[-1].read_text().splitlines() if line.startswith('{"commitInfo"'))
    [record] = json.loads(info["landings"])

    assert {"key", "etag", "size", "rows", "session", "sha256", "landed_at", "library"} <= record.keys()
    assert record["rows_in"] == record["rows"] + record["quarantined"] == 3


def test_other_readers_of_delta_see_the_same_rows(bench: Workbench, vendor: Path) -> None:
    put(vendor, STOCK_DAY, THU, GOOD)
    put(vendor, STOCK_DAY, FRI, text([bar("AAA", FRI)]))
    refresh(bench, vendor)
    put(vendor, STOCK_DAY, THU, text([bar("AAA", close=99)]))
    refresh(bench, vendor)

    frame = pl.scan_delta(str(bench.lake["stock_day"].folder))

    assert len(frame.collect()) == 2
    assert len(frame.filter(pl.col("date") == THU).collect()) == 1


# ---------------------------------------------------------------------- the disk


@pytest.mark.on_disk
def test_a_parquet_file_that_is_gone_is_fetched_anew(bench: Workbench, vendor: Path) -> None:
    put(vendor, STOCK_DAY, THU, GOOD)
    put(vendor, STOCK_DAY, FRI, text([bar("AAA", FRI)]))
    refresh(bench, vendor)
    [held] = [one for one in bench.lake["stock_day"].landings().values() if one.session == THU]
    (bench.lake["stock_day"].folder / held.files[0]).unlink()

    assert [(step.session, step.action) for step in bench.plan(source=f"folder:{vendor}")] == [(THU, "mend")]
    assert [one.outcome for one in refresh(bench, vendor).done] == ["replaced"]
    assert rows(bench, "SELECT count(*) FROM stock_day") == [(4,)]


@pytest.mark.on_disk
@pytest.mark.parametrize("damage", ["emptied", "cut", "first gone"])
def test_a_damaged_log_is_an_error_and_never_an_empty_table(bench: Workbench, vendor: Path, damage: str) -> None:
    from workbench.errors import LakeError

    put(vendor, STOCK_DAY, THU, GOOD)
    refresh(bench, vendor)
    put(vendor, STOCK_DAY, FRI, text([bar("AAA", FRI)]))
    refresh(bench, vendor)
    logs = sorted((bench.lake["stock_day"].folder / "_delta_log").glob("*.json"))
    if damage == "first gone":
        logs[0].unlink()
    else:
        logs[-1].write_text("" if damage == "emptied" else logs[-1].read_text()[:50])

    fresh = Workbench(bench.settings)

    with pytest.raises(LakeError, match=r"_delta_log.*stock_day.*nothing was changed"):
        fresh.sql("SELECT count(*) FROM stock_day").fetchall()
    with pytest.raises(LakeError, match="damaged"):
        fresh.status()


def test_an_unreadable_record_in_quarantine_is_named_and_stops_nothing(bench: Workbench, vendor: Path) -> None:
    put(vendor, STOCK_DAY, THU, b"", raw=True)
    put(vendor, STOCK_DAY, FRI, text([bar("AAA", FRI)]))
    refresh(bench, vendor)
    [record] = (bench.lake.root / "quarantine").rglob("*.json")
    record.write_text("{")

    assert bench.status()[0]["rows"] == 1
    assert str(record) in next(row["reason"] for row in bench.coverage("stock_day", THU, FRI) if row["session"] == THU)


def test_drafts_of_a_killed_process_are_swept_and_those_of_a_living_one_stay(bench: Workbench, vendor: Path) -> None:
    import platform

    gone = subprocess.Popen([sys.executable, "-c", ""])
    gone.wait()
    dead, alive = (bench.lake.root / "tmp" / f"land-{platform.node()}-{pid}-0" for pid in (gone.pid, os.getppid()))
    for folder in (dead, alive):
        folder.mkdir(parents=True)
    put(vendor, STOCK_DAY, THU, GOOD)

    refresh(bench, vendor)

    assert (dead.exists(), alive.exists()) == (False, True)


@pytest.mark.on_disk
def test_a_lake_path_that_is_a_file_says_so(tmp_path: Path, vendor: Path) -> None:
    from workbench.errors import LakeError

    put(vendor, STOCK_DAY, THU, GOOD)
    (tmp_path / "taken").write_text("")
    bench = Workbench(Settings.load(env={}, data=str(tmp_path / "taken")))

    with pytest.raises(LakeError, match=r"cannot hold a lake.*WORKBENCH_DATA"):
        refresh(bench, vendor)


@pytest.mark.on_disk
@pytest.mark.skipif(os.geteuid() != 0, reason="only root may mount a small disk")
def test_a_full_disk_leaves_the_lake_as_it_was(tmp_path: Path, vendor: Path) -> None:
    from workbench.errors import LakeError

    small = tmp_path / "small"
    small.mkdir()
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=600k", "tmpfs", str(small)], capture_output=True, check=False).returncode:
        pytest.skip("this machine does not let a test mount a small disk")
    try:
        bench = Workbench(Settings.load(env={}, data=str(small)))
        put(vendor, STOCK_DAY, THU, GOOD)
        refresh(bench, vendor)
        noise = [bar(f"T{n:05}", FRI, volume=n * 7919 % 1_000_003, close=n * 104729 % 99991 / 100) for n in range(200_000)]
        put(vendor, STOCK_DAY, FRI, text(noise))

        with pytest.raises(LakeError, match=r"is full.*was not landed"):
            refresh(bench, vendor)

        assert rows(bench, "SELECT count(*) FROM stock_day") == [(3,)]
        assert list((small / "tmp").glob("land-*")) == []
    finally:
        subprocess.run(["umount", str(small)], check=True)
