"""Bars under Tetra's names: each session once, in the finest bars that landed, whatever landed of it, and the same answers from fewer files."""

import os
import re
from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import duckdb
import pytest
from chained import opened
from flatfiles import BAR, FRI, MINUTE_NS, MON, MORNING_NS, STOCK_DAY, STOCK_MINUTE, THU, bar, minutes, put, text
from hypothesis import HealthCheck, event, given, settings
from hypothesis import strategies as st

import workbench
from workbench.bench import Workbench
from workbench.config import Settings
from workbench.lake import lone_days, retention, rollups, tiering
from workbench.policies import Age, Retention
from workbench.query import ohlcv
from workbench.query.documented import every
from workbench.tables.platforms import record

ZONE = ZoneInfo("America/New_York")
JANUARY = date(2024, 1, 5)
TUE = date(2024, 3, 12)
CLOSING_NS = (20 * 60 - 1) * MINUTE_NS
Values = dict[str, Any]


def days(folder: Path, day: date, *tickers: str, volume: int = 1000) -> None:
    put(folder, STOCK_DAY, day, text([bar(ticker, day, volume=volume) for ticker in tickers]))


def traded(folder: Path, day: date, *tickers: str, count: int = 3) -> None:
    put(folder, STOCK_MINUTE, day, text([line for ticker in tickers for line in minutes(ticker, day, count)]))


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Workbench]:
    with Workbench(Settings(data=str(tmp_path / "lake"))) as made:
        made.lake.make()
        yield made


@pytest.fixture
def vendor(tmp_path: Path) -> Path:
    """Day bars of three sessions, minutes of the second: AAA and BBB trade in it, LON in no minute of it."""
    folder = tmp_path / "vendor"
    for day in (THU, FRI, MON):
        days(folder, day, "AAA", "BBB", "LON")
    traded(folder, FRI, "AAA", "BBB")
    return folder


def land(bench: Workbench, vendor: Path, *tables: str) -> None:
    bench.refresh(source=f"folder:{vendor}", datasets=list(tables) or None).run()


def shown(bench: Workbench, where: str = "true") -> list[tuple[Any, ...]]:
    """Session, symbol and timeframe of all bars, with how many there are and the volume of them."""
    return bench.sql(
        "SELECT (timestamp AT TIME ZONE 'America/New_York')::DATE AS day, symbol, timeframe, count(*), sum(volume) "
        f"FROM market_data.ohlcv WHERE {where} GROUP BY ALL ORDER BY ALL"
    ).fetchall()


MIXED = [
    (THU, "AAA", "1d", 1, 1000.0),
    (THU, "BBB", "1d", 1, 1000.0),
    (THU, "LON", "1d", 1, 1000.0),
    (FRI, "AAA", "1m", 3, 300.0),
    (FRI, "BBB", "1m", 3, 300.0),
    (FRI, "LON", "1d", 1, 1000.0),
    (MON, "AAA", "1d", 1, 1000.0),
    (MON, "BBB", "1d", 1, 1000.0),
    (MON, "LON", "1d", 1, 1000.0),
]


# ---------------------------------------------------------------------- what is shown


@pytest.mark.parametrize("name", ["market_data.ohlcv", "market_data.ohlcv_daily", "market_data.ohlcv_archive"])
@pytest.mark.parametrize("landed", [False, True], ids=["empty", "landed"])
def test_the_columns_are_the_documents(bench: Workbench, vendor: Path, name: str, landed: bool) -> None:
    if landed:
        land(bench, vendor)
    found = bench.sql(f"FROM {name}")
    types = [(column.name, column.type.replace("TIMESTAMPTZ", "TIMESTAMP WITH TIME ZONE")) for column in record(name).columns]
    assert [*zip(found.columns, map(str, found.types), strict=True)] == types
    assert landed or found.fetchall() == []


def test_every_session_is_shown_once_in_the_finest_bars_that_landed(bench: Workbench, vendor: Path) -> None:
    land(bench, vendor)
    assert shown(bench) == MIXED
    daily = bench.sql(
        "SELECT (day AT TIME ZONE 'America/New_York')::DATE, symbol, volume FROM market_data.ohlcv_daily ORDER BY ALL"
    ).fetchall()
    assert daily == [(day, symbol, volume) for day, symbol, _, _, volume in MIXED]


def test_a_row_is_the_bar_as_it_landed(bench: Workbench, vendor: Path) -> None:
    land(bench, vendor)
    rows = bench.sql(
        "SELECT * FROM market_data.ohlcv WHERE symbol = 'AAA' AND timestamp < '2024-03-08 04:01:00-05' ORDER BY timestamp"
    ).fetchall()
    day, minute = (row[1:12] for row in rows)
    midnight = datetime(2024, 3, 7, tzinfo=ZONE)
    assert (day[0], day[1].astimezone(ZONE), *day[2:]) == ("AAA", midnight, 10.0, 11.0, 9.5, 10.5, 1000.0, None, 5, "1d", "folder")
    at = datetime(2024, 3, 8, 4, tzinfo=ZONE)
    assert (minute[0], minute[1].astimezone(ZONE), *minute[2:]) == ("AAA", at, 10.0, 11.0, 9.5, 10.0, 100.0, None, 5, "1m", "folder")


def test_ids_stay_and_times_are_those_of_the_landings(bench: Workbench, vendor: Path) -> None:
    land(bench, vendor)
    query = (
        "SELECT id, created_at, updated_at FROM market_data.ohlcv WHERE symbol = $s AND timestamp::DATE = '2024-03-08' ORDER BY timestamp"
    )
    before = bench.sql(query, s="AAA").fetchall()
    assert len({one for one, _, _ in before}) == 3
    landed = {one.session: datetime.fromisoformat(one.landed_at) for one in bench.lake["stock_minute"].landings().values()}
    assert {(created, updated) for _, created, updated in before} == {(landed[FRI], landed[FRI])}
    traded(vendor, FRI, "AAA", "BBB", count=4)
    land(bench, vendor)
    after = bench.sql(query, s="AAA").fetchall()
    assert [one for one, _, _ in after[:3]] == [one for one, _, _ in before]
    [(created, updated)] = {(created, updated) for _, created, updated in after}
    assert created == landed[FRI] < updated
    # A lone bar's are those of the day file.
    [(_, created, _)] = bench.sql(query, s="LON").fetchall()
    assert created == min(
        datetime.fromisoformat(one.landed_at) for one in bench.lake["stock_day"].landings().values() if one.session == FRI
    )


def test_sessions_from_before_the_vendors_first_have_the_times_of_their_own_landings(bench: Workbench, tmp_path: Path) -> None:
    folder = tmp_path / "old"
    sessions = [date(2002, 12, 30), date(2002, 12, 31), THU]
    for day in sessions:
        days(folder, day, "AAA")
    bench.refresh(source=f"folder:{folder}", datasets=["stock_day"], start=sessions[0], end=THU).run()
    landed = {one.session: datetime.fromisoformat(one.landed_at) for one in bench.lake["stock_day"].landings().values()}
    found = bench.sql("SELECT timestamp::DATE, created_at, updated_at FROM market_data.ohlcv ORDER BY timestamp").fetchall()
    assert found == [(day, landed[day], landed[day]) for day in sessions]


def test_a_january_fridays_last_minute_stays_on_friday(bench: Workbench, tmp_path: Path) -> None:
    folder = tmp_path / "vendor"
    put(folder, STOCK_MINUTE, JANUARY, text([bar("AAA", JANUARY, at_ns=MORNING_NS), bar("AAA", JANUARY, at_ns=CLOSING_NS)]))
    land(bench, folder)
    for friday in ("timestamp::date", "DATE(timestamp)", "time_bucket(INTERVAL 1 DAY, timestamp, 'America/New_York')::date"):
        query = f"SELECT {friday} AS d, count(*) FROM market_data.ohlcv WHERE {friday} = '2024-01-05' GROUP BY d"
        assert bench.sql(query).fetchall() == [(JANUARY, 2)]
    assert bench.sql("SELECT day::date, volume FROM market_data.ohlcv_daily WHERE day = '2024-01-05'").fetchall() == [(JANUARY, 200.0)]


def test_the_daily_aggregate_is_the_documents(bench: Workbench, tmp_path: Path) -> None:
    folder = tmp_path / "vendor"
    stamps = [STOCK_DAY.session_ns(THU)[0] + MORNING_NS + n * MINUTE_NS for n in range(3)]
    told = [(7, 9, 5, 8), (8, 12, 8, 11), (11, 11, 4, 6)]
    lines = [f"AAA,10,{o},{c},{h},{low},{at},1" for at, (o, h, low, c) in zip(stamps, told, strict=True)]
    put(folder, STOCK_MINUTE, THU, text(lines, BAR))
    land(bench, folder)
    rows = bench.sql("SELECT symbol, open, high, low, close, volume, vwap FROM market_data.ohlcv_daily").fetchall()
    assert rows == [("AAA", 7.0, 12.0, 4.0, 6.0, 30.0, None)]


# ---------------------------------------------------------------------- as things change


def test_what_lands_later_takes_the_place_of_days(bench: Workbench, vendor: Path) -> None:
    land(bench, vendor, "stock_day")
    assert {frame for _, _, frame, _, _ in shown(bench)} == {"1d"}
    land(bench, vendor)
    assert shown(bench) == MIXED


def test_a_republished_session_is_shown_as_it_is_now(bench: Workbench, vendor: Path) -> None:
    land(bench, vendor)
    assert shown(bench) == MIXED
    traded(vendor, FRI, "LON")
    land(bench, vendor)
    friday = [(FRI, "AAA", "1d", 1, 1000.0), (FRI, "BBB", "1d", 1, 1000.0), (FRI, "LON", "1m", 3, 300.0)]
    assert shown(bench, "timestamp::date = '2024-03-08'") == friday
    assert bench.sql("SELECT sum(volume) FROM market_data.ohlcv").fetchall() == [(8300.0,)]


def test_sessions_that_were_not_compared_yet_are_shown_right_too(bench: Workbench, vendor: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as patched:
        patched.setattr(lone_days, "compare", lambda _: 0)
        land(bench, vendor)
    assert not bench.lake["lone_days"].exists
    assert shown(bench) == MIXED
    assert shown(bench, "symbol = 'LON' AND timestamp >= '2024-03-08' AND timestamp < '2024-03-09'") == [(FRI, "LON", "1d", 1, 1000.0)]
    land(bench, vendor)
    assert bench.lake["lone_days"].snapshot().rows == 1
    assert shown(bench) == MIXED


def test_archived_minutes_give_way_to_days_and_are_in_the_archive(bench: Workbench, vendor: Path) -> None:
    land(bench, vendor)
    policies = {"stock_minute": Retention(Age(21, "month"), "archive")}
    for one in retention.plan(bench.lake, policies, date(2026, 3, 2)):
        assert retention.retire(bench.lake, one).outcome == "archived"
    assert {(frame, volume) for _, _, frame, _, volume in shown(bench)} == {("1d", 1000.0)}
    assert len(shown(bench)) == 9
    archived = "SELECT symbol, timeframe, count(*), min(created_at) IS NOT NULL FROM market_data.ohlcv_archive GROUP BY ALL ORDER BY ALL"
    assert bench.sql(archived).fetchall() == [("AAA", "1m", 3, True), ("BBB", "1m", 3, True)]


def test_a_session_of_which_the_api_gave_some_tickers_minutes_shows_the_others_days(settings: dict[str, str]) -> None:
    with opened(settings, POLYGON_S3_ACCESS_KEY="", POLYGON_S3_SECRET_KEY="") as bench:
        bench.refresh(datasets=["stock_day"], start=FRI, end=FRI).run()
        bench.refresh(datasets=["stock_minute"], start=FRI, end=FRI, symbols=["ACME"]).run()
        [landing] = bench.lake["stock_minute"].landings().values()
        assert landing.asked == ("ACME",)
        traded = {t for (t,) in bench.sql("SELECT DISTINCT ticker FROM stock_minute").fetchall()}
        every = {t for (t,) in bench.sql("SELECT DISTINCT ticker FROM stock_day").fetchall()}
        assert traded == {"ACME"} < every
        frames = dict(bench.sql("SELECT DISTINCT symbol, timeframe FROM market_data.ohlcv").fetchall())
        assert frames == {ticker: "1m" if ticker == "ACME" else "1d" for ticker in every}
        # Another ticker's minutes are asked for: it is shown in minutes from then on.
        other = min(every - traded)
        bench.refresh(datasets=["stock_minute"], start=FRI, end=FRI, symbols=[other]).run()
        minutes = {t for (t,) in bench.sql("SELECT DISTINCT ticker FROM stock_minute").fetchall()}
        frames = dict(bench.sql("SELECT DISTINCT symbol, timeframe FROM market_data.ohlcv").fetchall())
        assert frames == {ticker: "1m" if ticker in minutes else "1d" for ticker in every}


def test_the_past_and_a_pin_show_what_was_there(bench: Workbench, vendor: Path) -> None:
    land(bench, vendor, "stock_day")
    between = datetime.now(UTC)
    days_only = shown(bench)
    with bench.pin():
        land(bench, vendor)
        assert shown(bench) == days_only
    assert shown(bench) == MIXED
    after = datetime.now(UTC)
    traded(vendor, FRI, "LON")
    land(bench, vendor)
    for at, expected in ((between, days_only), (after, MIXED)):
        with workbench.open(bench.lake.root, as_of=at) as past:
            assert shown(past) == expected


# ---------------------------------------------------------------------- rows that people wrote


IMPORTED = [
    ("OLD", "2019-05-02 09:30:00-04", 1),
    ("AAA", "2019-05-02 09:30:00-04", 2),
    ("AAA", "2024-03-07 09:30:00-05", 3),
    ("AAA", "2024-03-08 23:59:00-05", 4),
    ("NEW", "2024-03-08 09:30:00-05", 5),
    ("LON", "2024-03-08 09:30:00-05", 6),
    # After eight in the evening in New York: it is tomorrow in UTC.
    ("AAA", "2024-03-12 21:00:00-04", 7),
]


def wrote(bench: Workbench) -> None:
    """Have rows stand in the table that people write to."""
    names = [column.name for column in record("market_data.ohlcv").columns]
    told = [{"symbol": f"'{s}'", "timestamp": f"'{at}'", "volume": str(v), "timeframe": "'1h'", "source": "'csv'"} for s, at, v in IMPORTED]
    rows = ", ".join(f"({', '.join(one.get(name, 'NULL') for name in names)})" for one in told)
    columns = ", ".join(f"{column.name}::{column.type} AS {column.name}" for column in record("market_data.ohlcv").columns)
    query = f"SELECT {columns} FROM (VALUES {rows}) AS told({', '.join(names)})"
    bench.catalog.documented.supply("imported.market_data_ohlcv", lambda _: query)


def test_imported_rows_are_shown_where_the_lake_has_no_bar_of_their_symbol_and_session(bench: Workbench, vendor: Path) -> None:
    land(bench, vendor)
    wrote(bench)
    its = [(one[0], one[1], one[4]) for one in shown(bench, "timeframe = '1h'")]
    assert its == [(date(2019, 5, 2), "AAA", 2.0), (date(2019, 5, 2), "OLD", 1.0), (FRI, "NEW", 5.0), (TUE, "AAA", 7.0)]
    assert shown(bench, "timeframe <> '1h'") == MIXED
    assert shown(bench, "symbol = 'NEW'") == [(FRI, "NEW", "1h", 1, 5.0)]
    [latest] = bench.sql("SELECT volume FROM market_data.ohlcv WHERE symbol = 'AAA' ORDER BY timestamp DESC LIMIT 1").fetchall()
    assert latest == (7.0,)


def test_of_imported_timeframes_the_finest_of_a_session_is_shown(bench: Workbench, vendor: Path) -> None:
    land(bench, vendor)
    bar = {"symbol": "OWN", "open": 1.0, "high": 1.0, "low": 1.0, "close": 1.0, "source": "csv"}
    told = [
        ("07 00:00", "1d", 6),
        ("07 10:00", "5m", 3),
        ("07 10:05", "5m", 3),
        ("07 10:01", "15min", 1),
        ("08 00:00", "1d", 4),
        ("08 01:00", "odd", 9),
    ]
    rows = [{**bar, "timestamp": f"2024-03-{at}:00-05:00", "timeframe": timeframe, "volume": volume} for at, timeframe, volume in told]
    bench.append("market_data.ohlcv", rows)
    asked = "SELECT timeframe, sum(volume) FROM market_data.ohlcv WHERE symbol = 'OWN' GROUP BY timeframe ORDER BY timeframe"
    assert bench.sql(asked).fetchall() == [("1d", 4.0), ("5m", 6.0)]
    # What is not shown is not lost.
    assert bench.sql("SELECT count(*) FROM imported.market_data_ohlcv").fetchall() == [(6,)]


@pytest.mark.parametrize(
    ("timeframe", "seconds"),
    [
        ("30s", 30),
        ("1m", 60),
        ("15min", 900),
        ("1H", 3600),
        ("4 hours", 14400),
        ("1D", 86400),
        ("1w", 604800),
        ("1M", 2592000),
        ("1mo", 2592000),
    ],
)
def test_a_timeframe_has_a_length(bench: Workbench, timeframe: str, seconds: int) -> None:
    assert bench.sql("SELECT bar_seconds($t), bar_seconds('odd')", t=timeframe).fetchall() == [(seconds, None)]


def test_bars_that_are_appended_one_after_another_are_told_apart_each_time(bench: Workbench, vendor: Path) -> None:
    land(bench, vendor)
    query = "SELECT symbol, timeframe, close FROM market_data.ohlcv WHERE symbol IN ('AAA', 'ZZZ') AND source = 'mine' ORDER BY ALL"
    at = datetime(2024, 3, 8, 16, tzinfo=UTC)
    row = {"timestamp": at, "open": 1, "high": 1, "low": 1, "close": 1, "volume": 1, "source": "mine"}
    bench.append("market_data.ohlcv", row | {"symbol": "ZZZ", "timeframe": "1d"})
    assert bench.sql(query).fetchall() == [("ZZZ", "1d", 1.0)]

    bench.append("market_data.ohlcv", row | {"symbol": "AAA", "timeframe": "1d"})
    assert bench.sql(query).fetchall() == [("ZZZ", "1d", 1.0)]
    bench.append("market_data.ohlcv", row | {"symbol": "ZZZ", "timeframe": "1m", "timestamp": at + timedelta(minutes=1)})
    assert bench.sql(query).fetchall() == [("ZZZ", "1m", 1.0)]


def test_where_nothing_was_imported_nothing_is_looked_for(bench: Workbench, vendor: Path) -> None:
    land(bench, vendor)
    # A session's minutes by symbol and time: of three files of days and one of minutes, that one.
    query = "SELECT * FROM market_data.ohlcv WHERE symbol = 'AAA' AND timestamp BETWEEN '2024-03-08 04:00:00' AND '2024-03-08 19:59:00'"
    before = bench.catalog.narrowed(query) or ""
    assert before.count(".parquet'") == 1
    assert "imported" not in before
    wrote(bench)
    after = bench.catalog.narrowed(query) or ""
    assert after.count(".parquet'") == 1
    assert "imported" in after


def test_what_has_no_file_left_is_left_out_when_a_query_comes_again(bench: Workbench, vendor: Path) -> None:
    land(bench, vendor)
    query = "SELECT volume FROM market_data.ohlcv WHERE symbol = $t AND timestamp BETWEEN '2024-03-08 04:00' AND '2024-03-08 19:59' ORDER BY ALL"
    whole = {one: bench.con.execute(query, {"t": one}).fetchall() for one in ("AAA", "LON")}
    texts = [bench.catalog.narrowed(query, t="AAA") or "" for _ in range(3)]
    assert [text.count("UNION ALL") for text in texts] == [2, 0, 0], texts
    assert bench.sql(query, t="AAA").fetchall() == whole["AAA"] != []
    # Of another ticker other tables are left, and the text is another one.
    day = "SELECT sum(volume) FROM market_data.ohlcv WHERE symbol = $t"
    whole = {one: bench.con.execute(day, {"t": one}).fetchall() for one in ("AAA", "LON", "NONE")}
    for ticker in ("LON", "AAA", "NONE", "LON", "AAA", "NONE"):
        assert bench.sql(day, t=ticker).fetchall() == whole[ticker]


# ---------------------------------------------------------------------- from fewer files


ALL = [date(2024, 1, 5), date(2024, 1, 8), date(2024, 2, 5), THU, FRI, MON, TUE]
OF_DAYS, OF_MINUTES = {*ALL} - {MON}, {date(2024, 1, 8), date(2024, 2, 5), FRI, MON, TUE}
SYMBOLS = ["AAA", "BBB", "LON", "ZZZ"]
# What sessions are, without any that is summed up already.
DAILY = """SELECT symbol, time_bucket(INTERVAL 1 DAY, timestamp, 'America/New_York') AS day, arg_min(open, timestamp) AS open, max(high) AS high,
    min(low) AS low, arg_max(close, timestamp) AS close, sum(volume) AS volume, avg(vwap) AS vwap FROM market_data.ohlcv GROUP BY ALL"""


@pytest.fixture(scope="module")
def both(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Workbench, duckdb.DuckDBPyConnection]]:
    """A bench with cold and hot sessions of days, minutes and both, one of them not compared yet; and what its bars mean, over plain tables."""
    root = tmp_path_factory.mktemp("ohlcv")
    folder = root / "vendor"

    def put_all(some: set[date]) -> None:
        for day in some & OF_DAYS:
            days(folder, day, *SYMBOLS)
        for n, day in enumerate(sorted(some & OF_MINUTES)):
            traded(folder, day, *[one for one in ("AAA", "BBB", "ZZZ") if (n, one) != (1, "BBB")], count=4 + n)

    with Workbench(Settings(data=str(root / "lake"))) as bench, pytest.MonkeyPatch.context() as patched:
        put_all({*ALL[:4]})
        land(bench, folder)
        for name in ("stock_day", "stock_minute"):
            for unit in tiering.due(bench.lake[name], everything=True):
                tiering.compact(bench.lake[name], unit)
        put_all({FRI, MON})
        land(bench, folder)
        patched.setattr(lone_days, "compare", lambda _: 0)
        patched.setattr(rollups, "refresh", lambda *_: 0)
        put_all({TUE})
        land(bench, folder)
        wrote(bench)
        bench.sql("FROM market_data.ohlcv, market_data.ohlcv_daily LIMIT 0")
        truth = duckdb.connect()
        truth.execute("SET TimeZone = 'America/New_York'; CREATE SCHEMA market_data; CREATE SCHEMA workbench; CREATE SCHEMA imported")
        for name in ("stock_day", "stock_minute"):
            rows = bench.sql(f"FROM {name}").to_arrow_table()
            truth.execute(f"CREATE TABLE {name} AS FROM rows")
            del rows
        lists = bench.sql("FROM workbench.landed_times").to_arrow_table()
        truth.execute("CREATE TABLE workbench.landed_times AS FROM lists")
        del lists
        truth.execute(f"CREATE VIEW imported.market_data_ohlcv AS {bench.catalog.documented.given['imported.market_data_ohlcv']}")
        truth.execute(every()["main.bar_seconds"].sql)
        for name in ("workbench.days_without_minutes", "workbench.imported_twice", "market_data.ohlcv"):
            truth.execute(f"CREATE VIEW {name} AS {every()[name].body}")
        truth.execute(f"CREATE VIEW market_data.ohlcv_daily AS {DAILY}")
        yield bench, truth
        truth.close()


def test_the_lake_that_is_asked_has_everything(both: tuple[Workbench, duckdb.DuckDBPyConnection]) -> None:
    given = both[0].catalog.documented.given["workbench.days_without_minutes"]
    assert "ANTI JOIN" in given
    assert "lone_days" in given
    assert "BETWEEN DATE '2024-01-05' AND DATE '2024-01-05'" in given
    # Some sessions are summed up, one is not.
    assert "stock_sessions" in both[0].catalog.documented.given["workbench.rolled_up"]
    assert "BETWEEN DATE '2024-03-12' AND DATE '2024-03-12'" in both[0].catalog.documented.given["workbench.minutes_left"]
    frames = both[0].sql("SELECT timeframe, count(*) FROM market_data.ohlcv GROUP BY ALL ORDER BY ALL").fetchall()
    assert [frame for frame, _ in frames] == ["1d", "1h", "1m"]


symbol = st.sampled_from([*SYMBOLS, "OLD", "NEW", "A"]).map("'{}'".format) | st.sampled_from(["$t", "NULL"])
day = st.sampled_from([*ALL, date(2024, 3, 9), date(2019, 5, 2)]).map("'{}'".format)
compare = st.sampled_from(["=", "<>", "<", "<=", ">", ">="])
moment = st.one_of(
    day,
    day.map("{}::TIMESTAMPTZ".format),
    st.sampled_from(ALL).map("TIMESTAMPTZ '{} 04:01:00-05'".format),
    st.sampled_from([f"now() - INTERVAL {(date.today() - one).days} DAY" for one in ALL]),
)
dated = st.sampled_from(
    [
        "timestamp::date",
        "DATE(timestamp)",
        "date_trunc('day', timestamp)",
        "time_bucket(INTERVAL 1 DAY, timestamp)",
        "time_bucket(INTERVAL '1 day', timestamp, 'America/New_York')",
        "time_bucket(INTERVAL '2 hours', timestamp, 'Asia/Tokyo')",
        "time_bucket(INTERVAL 7 DAY, timestamp, TIMESTAMPTZ '2024-01-01 00:00:00-05')",
    ]
)
leaf = st.one_of(
    st.builds("symbol {} {}".format, compare, symbol),
    st.builds("symbol IN ({}, {})".format, symbol, symbol),
    st.builds("timestamp {} {}".format, compare, moment),
    st.builds("timestamp BETWEEN {} AND {}".format, moment, moment),
    st.builds("{} {} {}".format, dated, compare, day),
    st.builds("timeframe {} {}".format, compare, st.sampled_from(["'1m'", "'1d'", "'1h'", "'1w'", "NULL"])),
    st.sampled_from(["timeframe IN ('1d', '1h')", "timeframe LIKE '1m%'", "volume > 500", "source = 'csv'", "starts_with(symbol, 'A')"]),
)
condition = st.recursive(
    leaf,
    lambda inner: st.one_of(
        st.builds("({} AND {})".format, inner, inner), st.builds("({} OR {})".format, inner, inner), st.builds("(NOT {})".format, inner)
    ),
    max_leaves=4,
)
KINDS = [
    "SELECT symbol, timestamp, timeframe, volume, id, updated_at FROM market_data.ohlcv WHERE {} ORDER BY ALL",
    "SELECT count(*), sum(volume) FROM market_data.ohlcv WHERE {}",
    "SELECT timestamp FROM market_data.ohlcv WHERE {} ORDER BY timestamp DESC LIMIT 1",
    "SELECT timestamp FROM market_data.ohlcv WHERE {} ORDER BY timestamp DESC LIMIT 5 OFFSET 2",
    "SELECT timestamp FROM market_data.ohlcv WHERE {} ORDER BY timestamp ASC LIMIT 7",
    "SELECT time_bucket(INTERVAL 1 DAY, timestamp, 'America/New_York') AS d, symbol, sum(volume) FROM market_data.ohlcv WHERE {} GROUP BY ALL ORDER BY ALL",
    "SELECT d.trading_date FROM (SELECT unnest([DATE '2024-03-07', DATE '2024-03-08', DATE '2024-03-09']) AS trading_date) d LEFT JOIN "
    "(SELECT DISTINCT DATE(timestamp) AS data_date FROM market_data.ohlcv WHERE {}) e ON d.trading_date = e.data_date "
    "WHERE e.data_date IS NULL ORDER BY ALL",
    "SELECT a.symbol, a.timestamp, b.timeframe FROM market_data.ohlcv a JOIN market_data.ohlcv b USING (symbol, timestamp) WHERE {} ORDER BY ALL",
]
daily = st.builds(
    "SELECT symbol, day, open, high, low, close, volume, vwap FROM market_data.ohlcv_daily WHERE {} ORDER BY ALL".format,
    condition.map(lambda text: re.sub(r"timeframe|source", "symbol", text.replace("timestamp ", "day ").replace("timestamp)", "day)"))),
)
EXAMPLES = int(os.environ.get("WORKBENCH_EXAMPLES", "40"))


def answer(con: Any, query: str, values: Values) -> tuple[str, object]:
    try:
        return "rows", (con(query, **values) if callable(con) else con.execute(query, values or None)).fetchall()
    except duckdb.Error as fault:
        return "refused", next(base.__name__ for base in type(fault).__mro__ if base.__module__ == "_duckdb")


@pytest.mark.timeout(3600)
@settings(max_examples=EXAMPLES, deadline=None, suppress_health_check=list(HealthCheck))
@given(
    query=st.one_of(st.builds(str.format, st.sampled_from(KINDS), condition), daily),
    ticker=st.sampled_from(SYMBOLS),
    zone=st.sampled_from(["America/New_York", "UTC", "Asia/Tokyo"]),
)
def test_bars_from_fewer_files_are_the_same(both: Any, query: str, ticker: str, zone: str) -> None:
    bench, truth = both
    values = {"t": ticker} if "$t" in query else {}
    query = re.sub(r"\b(timeframe|source|volume)\b(?= )", r"a.\1", query) if " a JOIN " in query else query
    for con in (bench.con, truth):
        con.execute(f"SET TimeZone = '{zone}'")
    expected = answer(truth, query, values)
    event(f"{'narrowed' if bench.catalog.narrowed(query, **values) else 'whole'}, {expected[0]}")
    assert answer(bench.sql, query, values) == expected, bench.catalog.narrowed(query, **values)


@pytest.mark.parametrize(
    ("where", "files"),
    [
        # Of minutes a range of the cold quarter and three hot sessions; of days a cold year, a hot session that was not compared; none that is lone.
        ("symbol = 'AAA'", 6),
        ("timeframe = '1m' AND symbol = 'AAA'", 4),
        # Of minutes, those of the session that was not compared.
        ("timeframe = '1d'", 4),
        ("timestamp >= '2024-03-08' AND timestamp < '2024-03-09'", 3),
    ],
)
def test_what_is_read(both: tuple[Workbench, duckdb.DuckDBPyConnection], where: str, files: int) -> None:
    both[0].con.execute("SET TimeZone = 'America/New_York'")
    text = both[0].catalog.narrowed(f"SELECT * FROM market_data.ohlcv WHERE {where}") or ""
    assert len(set(re.findall(r"[^']+\.parquet", text))) == files, text


def test_sessions_are_written_as_few_ranges() -> None:
    every = [date(2024, 1, 1) + timedelta(days=n) for n in range(40)]
    assert ohlcv.where("due", {*every}, every) == ""
    assert ohlcv.where("due", {*every[:5]}, every) == " WHERE date BETWEEN DATE '2024-01-01' AND DATE '2024-01-05'"
    assert ohlcv.where("due", {*every[3:5], every[9]}, every).count("BETWEEN") == 2
    assert ohlcv.joined([]) == []
    # Six runs, of which those that are one or two days apart are taken together.
    runs = [(every[a], every[b]) for a, b in ((0, 1), (3, 4), (10, 12), (15, 16), (25, 25), (39, 39))]
    assert ohlcv.joined(runs) == [(every[0], every[4]), (every[10], every[16]), (every[25], every[25]), (every[39], every[39])]
    many = ohlcv.where("due", {*every[::2]}, every)
    assert many.count("BETWEEN") == ohlcv.RANGES
    assert many.endswith("AND date IN (SELECT date FROM workbench_log.bar_sessions WHERE state = 'due')")


def test_every_other_session_in_minutes(bench: Workbench, tmp_path: Path) -> None:
    folder = tmp_path / "vendor"
    every = [date(2024, 3, 4) + timedelta(days=n) for n in range(5)] + [date(2024, 3, 11) + timedelta(days=n) for n in range(5)]
    for n, day in enumerate(every):
        days(folder, day, "AAA", "LON")
        if n % 2:
            traded(folder, day, "AAA", count=2)
    land(bench, folder)
    expected = [
        (day, "AAA", "1m", 2, 200.0) if n % 2 and one == "AAA" else (day, one, "1d", 1, 1000.0)
        for n, day in enumerate(every)
        for one in ("AAA", "LON")
    ]
    assert shown(bench) == expected
    assert "bar_sessions" in bench.catalog.documented.given["workbench.days_without_minutes"]
    assert shown(bench, "symbol = 'AAA' AND timestamp >= '2024-03-11'") == [one for one in expected if one[1] == "AAA" and one[0] >= MON]
