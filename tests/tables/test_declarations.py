"""Every table keeps what a declaration promises. Headers, sessions and starts are restated here as independent facts."""

from datetime import date, timedelta

import duckdb
import exchange_calendars
import pytest

from workbench.errors import UnknownName
from workbench.tables import ARCHIVE, FED, REFERENCE, TABLES, Column, Table, find, locate

FUTURES_BAR = "ticker,exchange,session_end_date,window_start,open,high,low,close,volume,dollar_volume,transactions"
BAR = "ticker,volume,open,close,high,low,window_start,transactions"

# The header lines of real files.
HEADERS = {
    "stock_day": BAR,
    "stock_minute": BAR,
    "stock_trades": "ticker,conditions,correction,exchange,id,participant_timestamp,price,sequence_number,sip_timestamp,size,tape,trf_id,trf_timestamp",
    "stock_quotes": "ticker,ask_exchange,ask_price,ask_size,bid_exchange,bid_price,bid_size,conditions,indicators,participant_timestamp,sequence_number,sip_timestamp,tape,trf_timestamp",
    "option_day": BAR,
    "option_minute": BAR,
    "option_trades": "ticker,conditions,correction,exchange,price,sip_timestamp,size",
    "option_quotes": "ticker,ask_exchange,ask_price,ask_size,bid_exchange,bid_price,bid_size,sequence_number,sip_timestamp",
    "index_day": "ticker,open,close,high,low,window_start",
    "index_minute": "ticker,open,close,high,low,window_start",
    "index_values": "ticker,value,timestamp",
    "forex_day": BAR,
    "forex_minute": BAR,
    "forex_quotes": "ticker,ask_exchange,ask_price,bid_exchange,bid_price,participant_timestamp",
    "crypto_day": BAR,
    "crypto_minute": BAR,
    "crypto_trades": "ticker,conditions,exchange,id,participant_timestamp,price,size",
    "futures_session": FUTURES_BAR,
    "futures_minute": FUTURES_BAR,
    "futures_trades": "ticker,timestamp,sequence_number,report_sequence,price,size,correction,exchange,session_end_date",
    "futures_quotes": "ticker,timestamp,sequence_number,report_sequence,ask_timestamp,ask_price,ask_size,bid_timestamp,bid_price,bid_size,exchange,session_end_date",
}
STARTS = {
    "stock": date(2003, 9, 10),
    "option": date(2014, 6, 2),
    "index": date(2023, 2, 14),
    "forex": date(2009, 9, 25),
    "crypto": date(2013, 11, 1),
    "futures": date(2017, 4, 3),
}
CALENDARS = {"stocks": "XNYS", "options": "XNYS", "indices": "XNYS", "forex": "24/5", "crypto": "24/7", "futures": "CMES"}
HOUR = 3_600 * 10**9

# Numbers that count nothing and measure nothing.
UNITLESS = {"correction", "exchange", "ask_exchange", "bid_exchange", "sequence_number", "report_sequence", "tape", "trf_id"}

every_table = pytest.mark.parametrize("table", FED, ids=lambda table: table.name)
every_column = pytest.mark.parametrize(
    ("table", "column"), [pytest.param(t, c, id=f"{t.name}.{c.name}") for t in TABLES.values() for c in t.columns]
)


def names(table: Table) -> list[str]:
    return [column.name for column in table.columns]


def test_every_flat_file_dataset_is_declared() -> None:
    assert {table.name for table in FED} == set(HEADERS)
    assert set(TABLES) == {*HEADERS, "lone_days", "stock_sessions", "ohlcv_archive", "disagreements", *(table.name for table in REFERENCE)}


@every_column
def test_a_column_says_what_it_holds(table: Table, column: Column) -> None:
    assert column.doc.endswith(".")
    assert all(era.doc and era.source for era in column.eras)


@every_column
def test_a_number_has_a_unit(table: Table, column: Column) -> None:
    numeric = column.type in ("DOUBLE", "BIGINT", "INTEGER", "SMALLINT", "TINYINT")
    assert bool(column.unit) == (numeric and column.name not in UNITLESS)


@every_column
def test_volumes_and_sizes_take_fractions_and_are_not_negative(table: Table, column: Column) -> None:
    if column.name.endswith(("size", "volume")) and column.name != "dollar_volume" and column.type != "BOOLEAN":
        assert (column.type, column.low) == ("DOUBLE", 0)


@every_column
def test_prices_have_a_lower_bound_only_where_they_cannot_be_negative(table: Table, column: Column) -> None:
    if column.name in ("open", "high", "low", "close", "price", "value", "ask_price", "bid_price", "settlement_price", "dollar_volume"):
        assert column.low == (None if table.asset in ("futures", "indices", "archive", "reference") else 0)
        assert column.high is None


@every_table
def test_column_names_are_unique(table: Table) -> None:
    assert len(set(names(table))) == len(names(table))


@every_table
def test_key_columns_exist_and_are_required(table: Table) -> None:
    assert all(table[name].required for name in table.key)


def test_the_tables_without_a_key_are_those_whose_rows_nothing_numbers() -> None:
    without = {t.name for t in TABLES.values() if not t.key}
    assert without == {"option_trades", "index_values", "forex_quotes", "crypto_trades", "disagreements"}


@every_table
def test_the_time_column_counts_nanoseconds(table: Table) -> None:
    time = table[table.time]
    assert (time.type, time.unit, time.required) == ("BIGINT", "ns since 1970, UTC", True)


@every_table
def test_the_base_columns_follow_the_vendors(table: Table) -> None:
    base = ["date", "timestamp", "source", "is_test"]
    extra = {"stock_quotes": ["size_unit"]}.get(table.name, ["venue"] if table.asset == "futures" else [])
    assert names(table)[len(table.vendor) :] == base + extra


@every_table
def test_the_header_of_a_real_file_is_known(table: Table) -> None:
    assert tuple(HEADERS[table.name].split(",")) in table.headers


@every_table
def test_the_full_header_is_the_real_one_unless_a_shorter_is_declared(table: Table) -> None:
    if not table.short_headers:
        assert ",".join(table.headers[0]) == HEADERS[table.name]


@every_table
def test_a_shorter_header_lacks_only_what_may_be_null(table: Table) -> None:
    optional = {c.header for c in table.vendor if not c.required}
    for header in table.short_headers:
        assert len(set(header)) == len(header)
        assert set(table.headers[0]) - set(header) <= optional
        assert set(header) <= set(table.headers[0])


def test_option_trades_may_name_the_participants_time() -> None:
    full = "ticker,conditions,correction,exchange,participant_timestamp,price,sip_timestamp,size"
    assert ",".join(TABLES["option_trades"].headers[0]) == full


def test_futures_sessions_may_settle() -> None:
    newer = "ticker,session_end_date,window_start,open,high,low,close,volume,dollar_volume,transactions,settlement_price"
    assert tuple(newer.split(",")) in TABLES["futures_session"].headers


def test_headers_of_which_no_real_file_was_seen_say_so() -> None:
    assert {t.name for t in TABLES.values() if not t.confirmed} == {"forex_day", "forex_minute"}
    assert all(t.source for t in TABLES.values())


@every_table
def test_an_object_key_leads_back_to_its_table_feed_and_session(table: Table) -> None:
    for feed in table.feeds:
        assert locate(table.key_of(feed, date(2024, 3, 1))) == (table, feed, date(2024, 3, 1))


@pytest.mark.parametrize(
    "key",
    [
        "us_stocks_sip/day_aggs_v1/2024/03/2024-03-01.csv",
        "us_stocks_sip/day_aggs_v1/2024/03/2024-03-01.csv.gz.part",
        "us_stocks_sip/day_aggs_v1/2024/04/2024-03-01.csv.gz",
        "us_stocks_sip/day_aggs_v1/2024/02/2024-02-30.csv.gz",
        "us_stocks_sip/news_v1/2024/03/2024-03-01.csv.gz",
        "flatfiles/us_stocks_sip/day_aggs_v1/2024/03/2024-03-01.csv.gz",
    ],
)
def test_any_other_object_belongs_to_no_table(key: str) -> None:
    assert locate(key) is None


def test_each_futures_venue_feeds_the_same_four_tables() -> None:
    for table in FED:
        venues = {feed.prefix.split("/")[0]: feed.venue for feed in table.feeds}
        if table.asset == "futures":
            assert venues == {
                "us_futures_cbot": "CBOT",
                "us_futures_cme": "CME",
                "us_futures_nymex": "NYMEX",
                "us_futures_comex": "COMEX",
            }
        else:
            assert list(venues.values()) == [""]


@every_table
def test_duckdb_takes_the_ddl_and_agrees_with_the_empty_query(table: Table) -> None:
    with duckdb.connect() as con:
        con.execute(table.ddl)
        con.execute(f"INSERT INTO {table.name} {table.empty}")
        declared, described = ([row[:2] for row in con.execute(f"DESCRIBE {what}").fetchall()] for what in (table.name, table.empty))
        assert con.execute(f"FROM {table.name}").fetchall() == []
    assert described == declared
    assert [name for name, _ in declared] == names(table)


@every_table
def test_a_required_column_refuses_null(table: Table) -> None:
    with duckdb.connect() as con:
        con.execute(table.ddl)
        with pytest.raises(duckdb.ConstraintException):
            con.execute(f"INSERT INTO {table.name} SELECT * FROM ({table.empty.replace('LIMIT 0', '')})")


@every_table
def test_chunks_are_named_by_their_period(table: Table) -> None:
    names = ["2024-02-29"] if table.routed else ["2024-02", "2024-Q1"] if table.name.endswith("_minute") else ["2024-02", "2024"]
    assert [table.chunk_of(date(2024, 2, 29), period) for period in table.chunks] == names
    assert table.chunk_of(date(2024, 2, 29)) == names[0]


def test_trades_quotes_and_index_values_are_routed() -> None:
    assert {t.name for t in TABLES.values() if t.routed} == {n for n in HEADERS if n.endswith(("_trades", "_quotes", "_values"))}


@every_table
def test_history_starts_when_the_vendor_says(table: Table) -> None:
    options_quotes = {"option_quotes": date(2022, 3, 7)}
    assert table.starts == options_quotes.get(table.name, STARTS[table.name.split("_")[0]])


@every_table
def test_the_calendar_is_one_that_can_be_asked(table: Table) -> None:
    assert table.calendar == CALENDARS[table.asset]
    assert table.calendar in exchange_calendars.get_calendar_names()


@every_table
def test_sessions_without_stray_meet_end_to_end(table: Table) -> None:
    for day in (date(2024, 3, 8), date(2024, 3, 10), date(2024, 11, 3), date(2024, 12, 31)):
        before, after = (timedelta(days=n) for n in table.stray)
        _, end = table.session_ns(day - after)
        begin, _ = table.session_ns(day + timedelta(days=1) + before)
        assert end == begin


@pytest.mark.parametrize(
    ("day", "begins"),
    [
        (date(2024, 3, 8), 1_709_874_000),  # Friday before summer time: 05:00 UTC
        (date(2024, 3, 11), 1_710_129_600),  # Monday after: 04:00 UTC
        (date(2024, 11, 1), 1_730_433_600),  # Friday before winter time: 04:00 UTC
        (date(2024, 11, 4), 1_730_696_400),  # Monday after: 05:00 UTC
    ],
)
def test_a_new_york_session_runs_from_midnight_for_a_day(day: date, begins: int) -> None:
    for table in TABLES.values():
        if table.asset in ("stocks", "options", "indices"):
            assert table.session_ns(day) == (begins * 10**9, begins * 10**9 + 24 * HOUR)


def test_forex_and_crypto_sessions_are_utc_days() -> None:
    for table in TABLES.values():
        if table.asset in ("forex", "crypto"):
            assert table.session_ns(date(2024, 3, 11)) == (1_710_115_200 * 10**9, 1_710_201_600 * 10**9)


def test_futures_stamps_may_be_four_days_early_and_one_late() -> None:
    for table in TABLES.values():
        if table.asset == "futures":
            begin, end = table.session_ns(date(2024, 1, 16))  # after Martin Luther King Day
            assert (begin, end) == (1_705_039_200 * 10**9, 1_705_557_600 * 10**9)  # 2024-01-12 06:00 UTC, 2024-01-18 06:00 UTC


def test_futures_rows_repeat_their_session() -> None:
    for table in TABLES.values():
        assert table.same_day == ("session_end_date" if table.asset == "futures" else "")
        if table.same_day:
            assert (table[table.same_day].type, table[table.same_day].required) == ("DATE", True)
            assert all(table.same_day in header for header in table.headers)


@every_table
def test_the_last_nanosecond_of_a_session_is_of_that_day(table: Table) -> None:
    begin, end = table.session_ns(date(2024, 3, 10))
    before, after = table.stray
    assert table.session_of(begin) == date(2024, 3, 10) - timedelta(days=before)
    assert table.session_of(begin - 1) == date(2024, 3, 9) - timedelta(days=before)
    assert table.session_of(end - 1) == date(2024, 3, 10) + timedelta(days=after)


@every_table
def test_no_two_tables_share_a_feed(table: Table) -> None:
    others = {feed.prefix for other in TABLES.values() if other is not table for feed in other.feeds}
    assert others.isdisjoint(feed.prefix for feed in table.feeds)


def test_a_misspelt_table_is_answered_with_the_nearest() -> None:
    with pytest.raises(UnknownName, match="did you mean stock_minute"):
        find("stock_minutes")


def test_a_misspelt_column_is_answered_with_the_nearest() -> None:
    with pytest.raises(UnknownName, match="did you mean sip_timestamp"):
        TABLES["stock_trades"]["sip_timestam"]


@every_table
def test_the_archive_has_every_column_of_a_bar_in_its_type(table: Table) -> None:
    if table.kind == "bars":
        assert {(c.name, c.type) for c in table.columns} <= {(c.name, c.type) for c in ARCHIVE.columns}


def test_the_archive_requires_only_what_every_bar_has() -> None:
    required = {c.name for c in ARCHIVE.columns if c.required}
    own = {"base_table", "timeframe"}
    assert all(required - own <= {c.name for c in table.columns if c.required} for table in FED if table.kind == "bars")
    assert own <= required


# The coarser table of each; quotes have none, nor have the coarsest bars.
ROLLUPS = {
    **{f"{asset}_minute": f"{asset}_day" for asset in ("stock", "option", "index", "forex", "crypto")},
    **{f"{asset}_trades": f"{asset}_minute" for asset in ("stock", "option", "crypto", "futures")},
    "futures_minute": "futures_session",
    "index_values": "index_minute",
}


def test_rows_are_summed_up_in_the_next_coarser_bars() -> None:
    assert {table.name: table.rollup for table in TABLES.values() if table.rollup} == ROLLUPS
    assert all({f.venue for f in TABLES[name].feeds} == {f.venue for f in TABLES[rollup].feeds} for name, rollup in ROLLUPS.items())
