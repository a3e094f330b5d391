"""Documented tables that market data feeds: right answers on small lakes, beside what people imported; and of the files only those that matter."""

import hashlib
import re
import shutil
from collections.abc import Callable, Iterator
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any
from uuid import UUID
from zoneinfo import ZoneInfo

import pytest
from flatfiles import FRI, MON, STOCK_DAY, STOCK_TRADES, THU, TRADE, put, text

from workbench import sessions
from workbench.bench import Workbench
from workbench.config import Settings
from workbench.lake.reference import update
from workbench.query.documented import every
from workbench.sources.reference import Gathered
from workbench.tables import find
from workbench.tables.platforms import RECORDS
from workbench.tables.record import Record

NEW_YORK = ZoneInfo("America/New_York")
STOCK_QUOTES = find("stock_quotes")
QUOTE = ",".join(STOCK_QUOTES.headers[0])
TEN = 10 * 3_600_000_000_000
FED = [one for one in RECORDS.values() if one.fed and one.full in every()]


def line(ticker: str, day: date, close: float) -> str:
    return f"{ticker},1000.5,{close - 1},{close},{close + 2},{close - 2},{STOCK_DAY.session_ns(day)[0]},5"


def trade(ticker: str, day: date, at: int, price: float, sequence: int) -> str:
    stamp = STOCK_TRADES.session_ns(day)[0] + TEN + at
    return f'{ticker},"12,37",0,4,7167522,{stamp - 1000},{price},{sequence},{stamp},0.5,1,202,{stamp}'


def quote(ticker: str, day: date, at: int, bid: float, ask: float, sequence: int) -> str:
    stamp = STOCK_QUOTES.session_ns(day)[0] + TEN + at
    return f"{ticker},4,{ask},3,5,{bid},2,1,,{stamp},{sequence},{stamp},1,0"


CLOSES = {THU: {"SPLT": 80.0, "AAPL": 10.0}, FRI: {"SPLT": 20.0, "AAPL": 11.0}, MON: {"SPLT": 10.0, "AAPL": 12.0}}
NEXT_YEAR = f"{sessions.today().year + 1}-01-02"


def at(text: str) -> datetime:
    """An instant in New York."""
    return datetime.fromisoformat(text).replace(tzinfo=NEW_YORK)


def tell(bench: Workbench, table: str, *rows: dict[str, Any], source: str = "polygon_api", now: datetime | None = None) -> None:
    assert update(bench.lake, Gathered(table, "k", list(rows)), source, now=now).quarantined == 0


@pytest.fixture(scope="module")
def bench(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Workbench]:
    """A lake of three sessions, with trades and quotes on the first; SPLT splits twice, and once more next year."""
    home = tmp_path_factory.mktemp("fed")
    for day, closes in CLOSES.items():
        put(home / "vendor", STOCK_DAY, day, text([line(ticker, day, close) for ticker, close in closes.items()]))
    # Two at one instant, in the file in another order; 1.5 and 2.5 microseconds after ten.
    trades = [trade("AAPL", THU, 2_500, 10.3, 3), trade("AAPL", THU, 1_500, 10.2, 2), trade("AAPL", THU, 1_500, 10.1, 1)]
    put(home / "vendor", STOCK_TRADES, THU, text([*trades, trade("SPLT", THU, 0, 80, 1)], TRADE))
    put(home / "vendor", STOCK_TRADES, FRI, text([trade("AAPL", FRI, 0, 11, 1)], TRADE))
    put(home / "vendor", STOCK_QUOTES, THU, text([quote("AAPL", THU, 0, 10, 10.5, 1), quote("AAPL", THU, 0, 0, 10.25, 2)], QUOTE))
    with Workbench(Settings.load(env={}, data=str(home / "lake"))) as made:
        made.refresh(f"folder:{home / 'vendor'}", datasets=["stock_day", "stock_trades", "stock_quotes"], start=THU, end=MON).run()
        for executed, to in ((str(FRI), 4.0), (str(MON), 2.0), (NEXT_YEAR, 10.0)):
            tell(made, "splits", {"ticker": "SPLT", "execution_date": executed, "split_from": 1.0, "split_to": to})
        yield made


@pytest.fixture
def empty(tmp_path: Path) -> Iterator[Workbench]:
    with Workbench(Settings.load(env={}, data=str(tmp_path / "empty"))) as made:
        made.lake.make()
        yield made


@pytest.fixture
def imported(bench: Workbench) -> Iterator[Callable[[str, str], None]]:
    """Has the rows of a query stand for what people imported of a table."""
    known = {**bench.catalog.documented._suppliers}

    def supply(full: str, query: str) -> None:
        record = RECORDS[full]
        names = ", ".join(f'"{one.name}"' for one in record.columns)
        padded = f"SELECT {names} FROM ({record.empty}) UNION ALL BY NAME {query}"
        bench.catalog.documented.supply(".".join(record.imported), lambda _: padded)

    yield supply
    documented = bench.catalog.documented
    for name in {*documented._suppliers} - {*known}:
        documented.supply(name, lambda _, name=name: every()[name].sql)  # type: ignore[misc]
        documented.prepare(f"FROM {name}")
    documented._suppliers = known


# ---------------------------------------------------------------------- all


@pytest.mark.parametrize("record", FED, ids=lambda one: one.full)
def test_a_view_has_the_columns_that_are_declared_in_their_order_and_types(empty: Workbench, bench: Workbench, record: Record) -> None:
    declared = bench.con.sql(record.empty)
    for lake in (empty, bench):
        view = lake.sql(f"FROM {record.full}")
        assert (view.columns, [*map(str, view.types)]) == (declared.columns, [*map(str, declared.types)])


@pytest.mark.parametrize("record", [one for one in FED if one.takes_rows], ids=lambda one: one.full)
def test_nothing_imported_costs_nothing(bench: Workbench, record: Record) -> None:
    """The plan of the view is that of its own rows: nothing of the branch of imported rows is left in it."""
    bench.sql(f"FROM {record.full}")
    body = every()[record.full].sql
    own, _, _ = body.rpartition("UNION ALL\nSELECT")

    def leaves(query: str) -> list[str]:
        [(_, plan)] = bench.con.sql(f"EXPLAIN (FORMAT json) {query}").fetchall()
        found = re.findall(r'"name": "(\w+)\s*",\s*"children": \[\]', plan)
        return [one for one in found if one != "EMPTY_RESULT"]

    assert leaves(f"FROM {record.full}") == leaves(own)
    assert leaves(own) or not {"stock_day", "stock_trades", "stock_quotes", "calendar"} & {*record.fed}


def test_a_lake_without_rows_is_closed_and_empty(empty: Workbench) -> None:
    for record in FED:
        if "calendar" not in record.fed and "data_sync_log" not in record.fed:
            assert empty.sql(f"FROM {record.full}").fetchall() == [], record.full


@pytest.mark.parametrize(
    ("query", "files"),
    [
        (
            "SELECT close, adjusted_close, updated_at FROM shrek.stock_prices WHERE symbol = 'SPLT' AND date >= '2024-03-08' AND date < '2024-03-09'",
            1,
        ),
        ("SELECT * FROM shrek.stock_prices WHERE symbol = 'AAPL' AND date BETWEEN '2024-03-07' AND '2024-03-08'", 2),
        ("SELECT count(*) FROM ampyfin.price_data WHERE ticker = 'AAPL' AND date = '2024-03-08'", 1),
        ("SELECT data FROM ampyfin.historical_database WHERE ticker = 'ZZZ'", 0),
        ("SELECT data FROM ampyfin.historical_database WHERE ticker = 'SPLT'", 3),
        ("SELECT max(price) FROM historical.trade WHERE sym = 'AAPL' AND time >= '2024-03-08' AND time < '2024-03-09'", 1),
        ("SELECT * FROM historical.trade WHERE sym = 'SPLT'", 1),
        ("SELECT * FROM historical.quote WHERE sym = 'AAPL' AND time < '2024-03-07'", 0),
    ],
)
def test_only_the_files_of_a_symbol_and_a_day_are_read(bench: Workbench, query: str, files: int) -> None:
    narrowed = bench.catalog.narrowed(query)
    assert narrowed is not None
    assert narrowed.count(".parquet'") == files
    # Neither promises an order: several files are read at once.
    assert sorted(bench.sql(query).fetchall(), key=repr) == sorted(bench.con.sql(query).fetchall(), key=repr)


PRICES: dict[str, Any] = {"open": 1.0, "high": 2.0, "low": 1.0, "close": 2.0, "volume": 10.0}


def test_imported_rows_leave_the_files_of_a_symbol_and_a_day_as_few(bench: Workbench, tmp_path: Path) -> None:
    root = shutil.copytree(bench.lake.root, tmp_path / "lake")
    with Workbench(Settings.load(env={}, data=str(root))) as mixed:
        # Of each pair the lake has the first itself.
        mixed.append("shrek.stock_prices", [{"symbol": one, "date": FRI, **PRICES} for one in ("AAPL", "ZMINE")])
        mixed.append("ampyfin.price_data", [{"ticker": one, "date": FRI, **PRICES} for one in ("AAPL", "ZMINE")])
        whole = {"dates": [FRI], **{name: [value] for name, value in PRICES.items()}}
        mixed.append("ampyfin.historical_database", [{"ticker": one, "data": whole} for one in ("SPLT", "ZMINE")])
        mixed.append("historical.trade", {"time": at("2024-03-08 10:00"), "sym": "AAPL", "price": 1.0, "size": 2.0})
        mixed.append(
            "historical.quote", {"time": at("2024-03-07 10:00"), "sym": "ZMINE", "bid": 1.0, "ask": 2.0, "bsize": 3.0, "asize": 4.0}
        )
        # How many rows, and files of the lake: once for its own rows, once to see which imported ones it has.
        for query, rows, files in (
            ("FROM shrek.stock_prices WHERE symbol = 'AAPL' AND date = '2024-03-08'", 1, 2),
            ("FROM shrek.stock_prices WHERE symbol = 'ZMINE' AND date = '2024-03-08'", 1, 0),
            ("FROM ampyfin.price_data WHERE ticker = 'AAPL' AND date = '2024-03-08'", 1, 2),
            ("FROM ampyfin.price_data WHERE ticker IN ('AAPL', 'ZMINE') AND date >= '2024-03-08'", 3, 4),
            ("FROM ampyfin.historical_database WHERE ticker = 'ZMINE'", 1, 0),
            ("FROM historical.trade WHERE sym = 'AAPL' AND time >= '2024-03-08'", 2, 1),
            ("FROM historical.quote WHERE sym = 'ZMINE'", 1, 0),
        ):
            narrowed = mixed.catalog.narrowed(query)
            assert narrowed is not None, query
            assert narrowed.count("/lake/lake/main/") == files, query
            found = mixed.sql(query).fetchall()
            assert len(found) == rows, query
            assert sorted(map(repr, found)) == sorted(map(repr, mixed.con.sql(query).fetchall()))


# ---------------------------------------------------------------------- prices


def test_closes_are_adjusted_over_splits_that_were_executed(bench: Workbench) -> None:
    rows = bench.sql(
        "SELECT symbol, date, open, high, low, close, volume, vwap, adjusted_close, source FROM shrek.stock_prices ORDER BY ALL"
    ).fetchall()
    assert rows == [
        (ticker, day, close - 1, close + 2, close - 2, close, 1000.5, None, 10.0 if ticker == "SPLT" else close, "folder")
        for ticker in ("AAPL", "SPLT")
        for day, close in ((day, closes[ticker]) for day, closes in CLOSES.items())
    ]
    landed = {one.session: datetime.fromisoformat(one.landed_at) for one in bench.lake["stock_day"].landings().values()}
    assert dict(bench.sql("SELECT DISTINCT date, updated_at FROM shrek.stock_prices").fetchall()) == landed


def test_imported_prices_show_where_the_lake_has_no_bar(bench: Workbench, imported: Callable[[str, str], None]) -> None:
    imported(
        "shrek.stock_prices",
        "SELECT unnest(['AAPL', 'AAPL', 'MINE']) AS symbol, unnest([DATE '2024-03-08', '2024-03-06', '2024-03-08']) AS date, 1.5 AS close, 2.5 AS vwap",
    )
    ask = "SELECT symbol, date, close, vwap FROM shrek.stock_prices"
    assert bench.sql(f"{ask} WHERE date < '2024-03-11' ORDER BY ALL").fetchall() == [
        ("AAPL", date(2024, 3, 6), 1.5, 2.5),
        ("AAPL", THU, 10.0, None),
        ("AAPL", FRI, 11.0, None),
        ("MINE", FRI, 1.5, 2.5),
        ("SPLT", THU, 80.0, None),
        ("SPLT", FRI, 20.0, None),
    ]
    assert bench.sql(f"{ask} WHERE symbol = 'MINE'").fetchall() == [("MINE", FRI, 1.5, 2.5)]


def test_price_data_has_ids_of_its_key(bench: Workbench) -> None:
    rows = bench.sql("SELECT * FROM ampyfin.price_data WHERE ticker = 'SPLT' ORDER BY date").fetchall()
    assert [row[1:] for row in rows] == [
        ("SPLT", day, one["SPLT"] - 1, one["SPLT"] + 2, one["SPLT"] - 2, one["SPLT"], 1000.5) for day, one in CLOSES.items()
    ]
    # The lower half of the md5, as a number of 63 bits; DuckDB reads its bytes backwards.
    digests = [hashlib.md5(f"SPLT {day}".encode(), usedforsecurity=False).digest()[8:] for day in CLOSES]
    assert [row[0] for row in rows] in ([int.from_bytes(one, order) >> 1 for one in digests] for order in ("little", "big"))
    assert len({row[0] for row in bench.sql("FROM ampyfin.price_data").fetchall()}) == 6


def test_imported_price_data_gives_way_to_the_lakes(bench: Workbench, imported: Callable[[str, str], None]) -> None:
    imported(
        "ampyfin.price_data",
        "SELECT unnest([1, 2]) AS id, 'AAPL' AS ticker, unnest([DATE '2024-03-08', '2024-03-09']) AS date, 1.5 AS close",
    )
    asked = bench.sql("SELECT date, close FROM ampyfin.price_data WHERE ticker = 'AAPL' ORDER BY date").fetchall()
    assert asked == [(THU, 10.0), (FRI, 11.0), (date(2024, 3, 9), 1.5), (MON, 12.0)]


def test_the_history_of_a_ticker_is_arrays_in_order(bench: Workbench, imported: Callable[[str, str], None]) -> None:
    imported("ampyfin.historical_database", "SELECT unnest(['a', 'b']) AS _id, unnest(['SPLT', 'MINE']) AS ticker")
    rows = bench.sql("SELECT * FROM ampyfin.historical_database ORDER BY ticker").fetchall()
    landed = max(datetime.fromisoformat(one.landed_at) for one in bench.lake["stock_day"].landings().values())
    assert [(row[0], row[1], row[3]) for row in rows] == [
        (hashlib.md5(b"AAPL", usedforsecurity=False).hexdigest()[:24], "AAPL", landed),
        ("b", "MINE", None),
        (hashlib.md5(b"SPLT", usedforsecurity=False).hexdigest()[:24], "SPLT", landed),
    ]
    assert rows[2][2] == {
        "dates": [THU, FRI, MON],
        "open": [79.0, 19.0, 9.0],
        "high": [82.0, 22.0, 12.0],
        "low": [78.0, 18.0, 8.0],
        "close": [80.0, 20.0, 10.0],
        "volume": [1000.5, 1000.5, 1000.5],
    }


# ---------------------------------------------------------------------- ticks


def test_trades_are_in_order_to_the_microsecond(bench: Workbench, imported: Callable[[str, str], None]) -> None:
    imported(
        "historical.trade", "SELECT TIMESTAMPTZ '2024-03-07 09:00:00-05' AS time, 'AAPL' AS sym, 9.5 AS price, 1.0 AS size, 'buy' AS side"
    )
    rows = bench.sql("FROM historical.trade WHERE sym = 'AAPL' AND time < '2024-03-08' ORDER BY time, sequence").fetchall()
    ten = at("2024-03-07 10:00")
    assert rows == [
        (at("2024-03-07 09:00"), "AAPL", 9.5, 1.0, "buy", None, None, None, None),
        (ten.replace(microsecond=1), "AAPL", 10.1, 0.5, None, "4", "12,37", 1, "7167522"),
        (ten.replace(microsecond=1), "AAPL", 10.2, 0.5, None, "4", "12,37", 2, "7167522"),
        (ten.replace(microsecond=2), "AAPL", 10.3, 0.5, None, "4", "12,37", 3, "7167522"),
    ]
    # As nanoseconds, the base table has what is cut off.
    assert bench.sql("SELECT max(sip_timestamp) % 1000 FROM stock_trades WHERE date = '2024-03-07'").fetchall() == [(500,)]


def test_sizes_of_quotes_are_shares(bench: Workbench) -> None:
    assert bench.sql("SELECT DISTINCT size_unit FROM stock_quotes").fetchall() == [("lots",)]
    rows = bench.sql("FROM historical.quote WHERE sym = 'AAPL' ORDER BY time, sequence").fetchall()
    ten = at("2024-03-07 10:00")
    assert rows == [
        (ten, "AAPL", 10.0, 10.5, 200.0, 300.0, "5", "4", "1", 1),
        (ten, "AAPL", 0.0, 10.25, 200.0, 300.0, "5", "4", "1", 2),
    ]


# ---------------------------------------------------------------------- the calendar


@pytest.mark.parametrize(
    ("instant", "is_open"),
    [
        ("2024-03-07 09:29:59.999999", False),
        ("2024-03-07 09:30", True),
        ("2024-03-07 15:59:59.999999", True),
        ("2024-03-07 16:00", False),
        # After the clocks changed.
        ("2024-03-11 09:30", True),
        ("2024-03-11 09:29", False),
        # A Saturday, Good Friday, a day before a holiday.
        ("2024-03-09 12:00", False),
        ("2024-03-29 12:00", False),
        ("2024-07-03 12:59:59", True),
        ("2024-07-03 13:00", False),
    ],
)
def test_the_market_is_open_in_regular_sessions(empty: Workbench, instant: str, is_open: bool) -> None:
    assert empty.sql("SELECT market_is_open($t)", t=at(instant)).fetchall() == [(is_open,)]


def test_the_status_of_the_market_is_of_now(empty: Workbench) -> None:
    def status() -> str:
        hours = sessions.hours(STOCK_DAY, sessions.today())
        return "open" if hours and hours.regular[0] <= datetime.now(UTC) < hours.regular[1] else "closed"

    before = status()
    [(_id, told)] = empty.sql("FROM ampyfin.market_status").fetchall()
    assert _id == "market_status_config"
    assert told in (before, status())
    # What it asks is what was tested of other instants.
    assert "main.market_is_open(now())" in every()["ampyfin.market_status"].sql


def test_the_holidays_of_2024_and_2025(empty: Workbench) -> None:
    asked = "SELECT date, status, close FROM utilities.holidays WHERE exchange = 'XNYS' AND date >= '2024-01-01' AND date < '2026-01-01' ORDER BY date"
    rows = empty.sql(asked).fetchall()
    closed = "2024: 01-01 01-15 02-19 03-29 05-27 06-19 07-04 09-02 11-28 12-25; 2025: 01-01 01-09 01-20 02-17 04-18 05-26 06-19 07-04 09-01 11-27 12-25"
    early = "2024: 07-03 11-29 12-24; 2025: 07-03 11-28 12-24"

    def days(told: str) -> list[str]:
        return [f"{year.strip()}-{day}" for year, _, rest in (part.partition(":") for part in told.split(";")) for day in rest.split()]

    assert [str(day) for day, status, _ in rows if status == "closed"] == days(closed)
    assert [(str(day), close) for day, status, close in rows if status == "early_close"] == [
        (day, at(f"{day} 13:00")) for day in days(early)
    ]
    [(name, opens)] = empty.sql("SELECT name, open FROM utilities.holidays WHERE date = '2024-07-03'").fetchall()
    assert (name, opens) == ("Day before Independence Day", at("2024-07-03 09:30"))
    assert empty.sql("SELECT name, open, close FROM utilities.holidays WHERE date = '2012-10-29'").fetchall() == [
        ("Hurricane Sandy", None, None)
    ]


def test_holidays_go_from_2003_to_the_end_of_next_year_and_take_other_exchanges(
    bench: Workbench, imported: Callable[[str, str], None]
) -> None:
    last = sessions.today().year + 1
    [(years,)] = bench.sql("SELECT list(DISTINCT year(date) ORDER BY year(date)) FROM utilities.holidays").fetchall()
    assert set(range(2003, last + 1)) <= set(years)
    imported(
        "utilities.holidays",
        "SELECT unnest(['XLON', 'XNYS']) AS exchange, unnest([DATE '2024-12-26', '2024-12-25']) AS date, 'Boxing Day' AS name, 'closed' AS status",
    )
    asked = "SELECT exchange, date FROM utilities.holidays WHERE date >= '2024-12-25' AND date < '2025-01-01' ORDER BY ALL"
    assert bench.sql(asked).fetchall() == [("XLON", date(2024, 12, 26)), ("XNYS", date(2024, 12, 25))]


# ---------------------------------------------------------------------- reference data


def test_an_instrument_is_the_newest_listing_of_its_symbol(empty: Workbench) -> None:
    usual = {"market": "stocks", "type": "CS", "currency": "usd", "primary_exchange": "XNAS"}
    tell(
        empty,
        "tickers",
        {
            "ticker": "META",
            "name": "Roundhill Ball Metaverse ETF",
            "active": False,
            "listed": "2021-06-30",
            "delisted": "2022-01-31",
            **usual,
        },
        {"ticker": "META", "name": "Meta Platforms", "active": True, "listed": "2022-06-09", "cik": "0001326801", **usual},
        {"ticker": "GONE", "name": "Second", "active": False, "listed": "2019-01-02", "delisted": "2020-05-01", **usual},
        {"ticker": "GONE", "name": "First", "active": False, "listed": "2009-01-02", "delisted": "2010-05-01", **usual},
        {"ticker": "X:BTCUSD", "name": "Bitcoin", "market": "crypto", "active": True, "currency": "USD"},
    )
    rows = empty.sql(
        "SELECT symbol, name, exchange, currency, lot_size, tick_size, active, listed, delisted, cik FROM utilities.instruments ORDER BY symbol"
    )
    assert rows.fetchall() == [
        ("GONE", "Second", "XNAS", "USD", 100.0, 0.01, False, date(2019, 1, 2), date(2020, 5, 1), None),
        ("META", "Meta Platforms", "XNAS", "USD", 100.0, 0.01, True, date(2022, 6, 9), None, "0001326801"),
        ("X:BTCUSD", "Bitcoin", None, "USD", 1.0, None, True, None, None, None),
    ]


def test_of_revisions_the_newest_shows(empty: Workbench) -> None:
    gdp = {"series": "GDPC1", "date": "2023-10-01"}
    first, then = datetime(2024, 1, 25, 14, tzinfo=UTC), datetime(2024, 2, 28, 14, tzinfo=UTC)
    tell(
        empty, "economic_series", {**gdp, "value": 22672.9, "revision_date": "2024-01-25", "is_preliminary": True}, source="fred", now=first
    )
    tell(
        empty,
        "economic_series",
        {**gdp, "value": 22668.986, "revision_date": "2024-02-28", "is_preliminary": False},
        {**gdp, "date": "2024-01-01", "value": 22758.8, "revision_date": "2024-02-28"},
        source="fred",
        now=then,
    )
    # The vendor does not tell when: what is dated is newer.
    tell(empty, "economic_series", {"series": "cpi", "date": "2024-01-01", "value": 308.4}, source="polygon_api", now=then)
    columns = "symbol, date, value, is_preliminary, revision_date, source, created_at, updated_at"
    rows = empty.sql(f"SELECT {columns} FROM economic_data.economic_data ORDER BY ALL").fetchall()
    assert rows == [
        ("GDPC1", at("2023-10-01"), 22668.986, False, at("2024-02-28"), "FRED", first, then),
        ("GDPC1", at("2024-01-01"), 22758.8, False, at("2024-02-28"), "FRED", then, then),
        ("cpi", at("2024-01-01"), 308.4, False, None, "polygon_api", then, then),
    ]
    asked = "SELECT value FROM economic_data.economic_data WHERE symbol = 'GDPC1' AND date >= '2024-01-01'"
    assert empty.sql(asked).fetchall() == [(22758.8,)]
    [(told,)] = empty.sql("SELECT id FROM economic_data.economic_data WHERE symbol = 'cpi'").fetchall()
    assert told == UUID(hashlib.md5(b"cpi 2024-01-01", usedforsecurity=False).hexdigest())


def test_an_address_has_one_article(empty: Workbench) -> None:
    one = {"title": "One", "article_url": "https://a.example/1", "publisher": "Example", "published_at": "2024-03-07T12:00:00+00:00"}
    tell(
        empty,
        "news_items",
        {"id": "b", **one},
        {"id": "a", **one, "title": "Again", "published_at": "2024-03-07T13:00:00+00:00"},
        {"id": "c", **one, "title": "Two", "article_url": "https://a.example/2", "author": "Jo", "description": "Words"},
    )
    rows = empty.sql(
        "SELECT title, description, content, url, source, author, published_at FROM news.news_articles ORDER BY url"
    ).fetchall()
    noon = datetime(2024, 3, 7, 12, tzinfo=UTC)
    assert rows == [
        ("One", None, None, "https://a.example/1", "Example", None, noon),
        ("Two", "Words", None, "https://a.example/2", "Example", "Jo", noon),
    ]
    assert empty.sql("SELECT count(*) FROM news_items").fetchall() == [(3,)]
    tell(empty, "news_items", {"id": "d", **one, "published_at": "2024-03-06T12:00:00+00:00", "title": "Before"})
    assert empty.sql("SELECT title FROM news.news_articles ORDER BY url").fetchall() == [("Before",), ("Two",)]


def test_events_keep_their_ids_and_levels(empty: Workbench) -> None:
    event = {"event_type": "split", "date": "2024-03-11", "event_at": "2024-03-11T04:00:00+00:00", "name": "SPLT splits", "impact": 2}
    tell(empty, "calendar_events", {"id": "split:SPLT:2024-03-11", "ticker": "SPLT", "actual": 4.0, **event})
    [row] = empty.sql("FROM events.event_data").fetchall()
    told = UUID(hashlib.md5(b"split:SPLT:2024-03-11", usedforsecurity=False).hexdigest())
    assert row[:-1] == (
        told, "split", at("2024-03-11"), "SPLT splits", None, 2, "SPLT", None, None, 4.0, None, None, "polygon_api",
    )  # fmt: skip


def test_imported_reference_data_shows_where_the_lake_has_none(bench: Workbench, imported: Callable[[str, str], None]) -> None:
    tell(bench, "tickers", {"ticker": "AAPL", "name": "Apple", "active": True, "market": "stocks"})
    tell(bench, "economic_series", {"series": "UNRATE", "date": "2024-01-01", "value": 3.7}, source="fred")
    tell(
        bench, "news_items", {"id": "a", "title": "Told", "article_url": "https://a.example/1", "published_at": "2024-03-07T12:00:00+00:00"}
    )
    tell(
        bench,
        "calendar_events",
        {"id": "e", "event_type": "ipo", "date": "2024-03-07", "event_at": "2024-03-07T05:00:00+00:00", "name": "E", "impact": 2},
    )
    tell(bench, "fundamentals", {"ticker": "AAPL", "as_of": "2023-12-31", "period": "annual", "revenue": 1.0})
    ours = hashlib.md5(b"e", usedforsecurity=False).hexdigest()
    imported("utilities.instruments", "SELECT unnest(['AAPL', 'MINE']) AS symbol, 'Mine' AS name")
    imported(
        "economic_data.economic_data",
        "SELECT 'UNRATE' AS symbol, unnest([TIMESTAMPTZ '2024-01-01 00:00:00-05', TIMESTAMPTZ '2024-02-01 00:00:00-05']) AS date, 9.9 AS value",
    )
    imported("news.news_articles", "SELECT uuid() AS id, 'Mine' AS title, unnest(['https://a.example/1', 'https://b.example']) AS url")
    imported("events.event_data", f"SELECT unnest(['{ours}', '{'0' * 32}'])::UUID AS id, 'Mine' AS event_name")
    imported(
        "shrek.stock_fundamentals",
        "SELECT 'AAPL' AS symbol, DATE '2023-12-31' AS as_of, unnest(['annual', 'ttm']) AS period, 2.0 AS revenue",
    )
    asked = {
        "SELECT symbol, name FROM utilities.instruments": [("AAPL", "Apple"), ("MINE", "Mine")],
        "SELECT date, value FROM economic_data.economic_data": [(at("2024-01-01"), 3.7), (at("2024-02-01"), 9.9)],
        "SELECT title, url FROM news.news_articles": [("Mine", "https://b.example"), ("Told", "https://a.example/1")],
        "SELECT event_name FROM events.event_data": [("E",), ("Mine",)],
        "SELECT period, revenue FROM shrek.stock_fundamentals": [("annual", 1.0), ("ttm", 2.0)],
    }
    assert {query: bench.sql(f"{query} ORDER BY ALL").fetchall() for query in asked} == asked
