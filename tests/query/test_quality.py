"""Quality: what each rule tells and leaves alone, what a session is like, and the real oddity of the real data."""

import math
import random
from collections.abc import Callable, Iterator
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from flatfiles import FRI, MINUTE_NS, MON, MORNING_NS, STOCK_DAY, STOCK_MINUTE, STOCK_TRADES, THU, TRADE, put, text, trade
from reallake import FLATFILES, landed

from workbench import sessions
from workbench.bench import Workbench
from workbench.config import Settings
from workbench.errors import BadRange, UnknownName, UsageError
from workbench.lake.reference import update
from workbench.query import built, quality
from workbench.query.gaps import Facts, Gap
from workbench.query.quality_sessions import condition
from workbench.sources.reference import Gathered
from workbench.tables import find
from workbench.tables.platforms import record

DAYS = sessions.between(STOCK_DAY, date(2024, 2, 26), date(2024, 3, 15))
OPENS_NS = (9 * 60 + 30) * MINUTE_NS

Make = Callable[..., Workbench]


def line(
    ticker: str, day: date, prices: tuple[float, float, float, float], *, volume: object = 20_000, trades: int = 5, at_ns: int = 0
) -> str:
    """A line of a day file, or of a minute file; prices are open, high, low and close."""
    first, high, low, last = prices
    return f"{ticker},{volume},{first},{last},{high},{low},{STOCK_DAY.session_ns(day)[0] + at_ns},{trades}"


def flat(price: float) -> tuple[float, float, float, float]:
    return price, price * 1.01, price * 0.99, price


@pytest.fixture
def make(tmp_path: Path) -> Iterator[Make]:
    """Makes a lake of lines of day and minute files, by session, and of reference rows, by table."""
    benches = []

    def made(
        days: dict[date, list[str]] | None = None, minutes: dict[date, list[str]] | None = None, **reference: list[dict[str, Any]]
    ) -> Workbench:
        vendor = tmp_path / "vendor"
        bench = Workbench(Settings.load(env={}, data=str(tmp_path / "lake")))
        bench.lake.make()
        benches.append(bench)
        for table, files in ((STOCK_DAY, days), (STOCK_MINUTE, minutes)):
            for day, lines in (files or {}).items():
                put(vendor, table, day, text(lines))
        if days or minutes:
            assert not [one for one in bench.refresh(source=f"folder:{vendor}").run().done if one.outcome not in ("landed", "missing")]
        for name, rows in reference.items():
            update(bench.lake, Gathered(name, "k", rows), "polygon_api")
        return bench

    yield made
    for bench in benches:
        bench.close()


def found(bench: Workbench, table: str = "stock_day", **asked: Any) -> list[tuple[str, str, date]]:
    return sorted((one["check"], one["ticker"], one["date"]) for one in bench.quality(table, **asked).facts["findings"])


def told(bench: Workbench, table: str = "stock_day", **asked: Any) -> list[str]:
    return [one["told"] for one in bench.quality(table, **asked).facts["findings"]]


def split(ticker: str, day: date, split_to: float, split_from: float = 1, **more: object) -> dict[str, object]:
    return {"ticker": ticker, "execution_date": str(day), "split_from": split_from, "split_to": split_to, **more}


# ---------------------------------------------------------------------- days


def test_a_quiet_market_has_nothing_to_tell(make: Make) -> None:
    generator = random.Random(5)
    bench = make({day: [line(t, day, flat(10 + generator.random())) for t in ("NA", "TRUE", "BACpB", "BACPB")] for day in DAYS})

    report = bench.quality("stock_day")

    assert report.facts["findings"] == []
    assert (report.facts["problems"], report.facts["conditions"]) == (0, {"good": len(DAYS)})
    assert [(row["session"], row["condition"], row["rows"]) for row in report] == [(day, "good", 4) for day in DAYS]
    assert "nothing odd" in report.title


def test_prices_out_of_order_and_not_above_zero_are_wrong(make: Make) -> None:
    bench = make(
        {
            THU: [
                line("HIGH", THU, (10, 9.5, 9, 9.2)),
                line("LOW", THU, (10, 11, 10.5, 10.8)),
                line("ZERO", THU, (1, 1, 0, 1)),
                line("FINE", THU, flat(5)),
            ]
        }
    )

    checks = [("chk_high_prices", "HIGH", THU), ("chk_low_prices", "LOW", THU), ("ohlcv_low_check", "ZERO", THU)]
    assert found(bench) == sorted([*checks, ("order", "HIGH", THU), ("order", "LOW", THU), ("price", "ZERO", THU)])
    assert "open 10, high 9.5, low 9 and close 9.2 are out of order" in told(bench)
    # What is told again under a documented check's name is no second fault.
    report = bench.quality("stock_day")
    assert {(one["check"] in ("order", "price"), one["severity"]) for one in report.facts["findings"]} == {(True, "wrong"), (False, "note")}
    assert report.facts["problems"] == 3 + 1


BREAKS = {
    "ohlcv_open_check": (0, 2, 1, 1),
    "ohlcv_high_check": (1, 0, 1, 1),
    "ohlcv_low_check": (1, 2, 0, 1),
    "ohlcv_close_check": (1, 2, 1, 0),
    "chk_high_low": (1, 1, 2, 1),
    "chk_high_prices": (3, 2, 1, 1),
    "chk_low_prices": (1, 2, 1.5, 1.5),
}


def test_each_check_that_bars_are_documented_with_is_told_by_its_name_and_the_rows_stay(make: Make) -> None:
    bars = {name: line(f"T{n}", THU, prices) for n, (name, prices) in enumerate(BREAKS.items())}
    bench = make({THU: [*bars.values(), line("FINE", THU, flat(5))]}, {THU: [one for name, one in bars.items()]})

    for table in ("stock_day", "stock_minute"):
        told = {(check, ticker) for check, ticker, _ in found(bench, table) if "_check" in check or check.startswith("chk_")}
        # A bar that breaks one may break others, by hand: the high of T1 is below all else, that of T4 below the low.
        others = {("chk_low_prices", "T0"), ("chk_low_prices", "T3"), ("chk_low_prices", "T4")}
        others |= {("chk_high_low", "T1"), ("chk_high_prices", "T1")}
        assert told == {(name, f"T{n}") for n, name in enumerate(BREAKS)} | others, table
        assert bench.sql(f"SELECT count(DISTINCT ticker) FROM {table} WHERE ticker <> 'FINE'").fetchall() == [(len(BREAKS),)]
    # A volume below zero is refused when a file lands; this macro is what both rules ask.
    declared = [one.name for one in record("market_data.ohlcv").checks]
    assert declared == [*list(BREAKS)[:4], "ohlcv_volume_check", *list(BREAKS)[4:]]
    ask = "SELECT checks_broken(1.0, 2.0, 1.0, 1.0, -1.0), checks_broken(1.0, 2.0, 1.0, 1.0, 0.0), checks_broken(1.0, 2.0, NULL, 1.0, 1.0)"
    assert bench.sql(ask).fetchall() == [(["ohlcv_volume_check"], [], [])]


def test_what_is_no_number_is_out_of_order(make: Make) -> None:
    bench = make()
    nan, inf = math.nan, math.inf
    odd = [
        (nan, 2, 1, 1),
        (1, nan, 1, 1),
        (1, 2, nan, 1),
        (1, 2, 1, nan),
        (nan, nan, nan, nan),
        (1, inf, 1, 1),
        (inf, inf, inf, inf),
        (1, 2, -inf, 1),
    ]
    con = bench.con
    con.execute("CREATE TEMP TABLE odd_bars AS SELECT ticker, date, timestamp, open, high, low, close, volume, transactions FROM stock_day")
    for n, prices in enumerate([*odd, (1, 2, 1, 1)]):
        con.execute(
            "INSERT INTO odd_bars VALUES ($1, $2, $3, $4, $5, $6, $7, $8, 1)",
            [f"T{n}", THU, datetime(2024, 3, 7, tzinfo=UTC), *prices, inf],
        )

    for rule in ("quality_of_days", "quality_of_minutes"):
        rows = con.execute(f"SELECT check_name, ticker FROM {rule}($1, bars := 'odd_bars')", [THU]).fetchall()
        assert sorted(t for check, t in rows if check == "order") == [f"T{n}" for n in range(len(odd))], rule
        assert sorted(t for check, t in rows if check == "volume") == [f"T{n}" for n in range(len(odd) + 1)], rule


def test_no_volume_and_no_transactions_are_told(make: Make) -> None:
    bench = make({THU: [line("NONE", THU, flat(10), volume=0), line("UNCOUNTED", THU, flat(10), trades=0), line("FINE", THU, flat(10))]})

    assert found(bench) == [("transactions", "UNCOUNTED", THU), ("volume", "NONE", THU)]


@pytest.mark.parametrize(
    ("before", "after", "is_told"),
    [(10, 19.9, False), (10, 20.2, True), (10, 5.1, False), (10, 4.9, True), (0.04, 0.13, False), (0.04, 0.15, True)],
)
def test_a_move_without_a_split_is_told(make: Make, before: float, after: float, *, is_told: bool) -> None:
    bench = make({THU: [line("ACME", THU, flat(before))], FRI: [line("ACME", FRI, flat(after))]})

    assert found(bench) == [("move", "ACME", FRI)] * is_told


def test_an_open_far_from_the_close_before_is_a_move_too(make: Make) -> None:
    bench = make({THU: [line("ACME", THU, flat(10))], FRI: [line("ACME", FRI, (30, 31, 9, 10))]})

    assert told(bench) == ["opens at 30, 3 times the close 10 of 2024-03-07; no split explains it"]


def test_a_move_is_told_over_the_edge_of_the_range_and_not_over_a_long_silence(make: Make) -> None:
    bench = make(
        {
            DAYS[0]: [line("GONE", DAYS[0], flat(10))],
            THU: [line("ACME", THU, flat(10))],
            FRI: [line("ACME", FRI, flat(30)), line("GONE", FRI, flat(30))],
        }
    )

    assert found(bench, start=FRI) == [("move", "ACME", FRI)]
    assert found(bench, end=THU) == []


def test_a_split_explains_its_move_and_no_other(make: Make) -> None:
    def days(after: float) -> dict[date, list[str]]:
        return {THU: [line("ACME", THU, flat(70))], FRI: [line("ACME", FRI, flat(after))], MON: [line("ACME", MON, flat(after))]}

    bench = make(days(10), splits=[split("ACME", FRI, 7), split("OTHER", FRI, 7)])

    assert found(bench) == []


@pytest.mark.parametrize(("after", "ratio"), [(10, 2), (70, 7)])
def test_a_split_that_the_prices_contradict_explains_nothing(make: Make, after: float, ratio: float) -> None:
    bench = make({THU: [line("ACME", THU, flat(70))], FRI: [line("ACME", FRI, flat(after))]}, splits=[split("ACME", FRI, ratio)])

    [one] = [one for one in bench.quality("stock_day").facts["findings"] if one["check"] == "move"]

    assert one["told"].endswith(f"; the split of {ratio} for 1 on 2024-03-08 tells {1 / ratio:.3g} times")


def test_an_open_between_the_two_prices_of_a_split_is_a_move(make: Make) -> None:
    bench = make({THU: [line("ACME", THU, flat(69))], FRI: [line("ACME", FRI, (54.5, 54.6, 23, 23.2))]}, splits=[split("ACME", FRI, 3)])

    assert told(bench) == ["opens at 54.5, 0.79 times the close 69 of 2024-03-07; the split of 3 for 1 on 2024-03-08 tells 0.333 times"]


def test_a_split_that_is_listed_twice_counts_once(make: Make) -> None:
    prices = {THU: 70, FRI: 35, MON: 35}
    bench = make({day: [line("ACME", day, flat(one))] for day, one in prices.items()}, splits=[split("ACME", day, 2) for day in (FRI, MON)])

    assert bench.sql("SELECT execution_date, duplicate_of FROM splits ORDER BY 1").fetchall() == [(FRI, None), (MON, FRI)]
    assert found(bench) == []


def test_a_day_bar_that_opens_before_its_split_is_told_as_such(make: Make) -> None:
    bench = make({THU: [line("ACME", THU, flat(70))], FRI: [line("ACME", FRI, (70, 71, 9.9, 10))]}, splits=[split("ACME", FRI, 7)])

    assert told(bench) == ["opens at 70, 7.0 times its close 10; the split of 7 for 1 executes on this day"]
    assert found(bench) == [("pre_split", "ACME", FRI)]


def test_the_verdict_on_a_split_is_told(make: Make) -> None:
    bench = make(
        {THU: [line("ACME", THU, flat(10))], FRI: [line("ACME", FRI, flat(10))]},
        splits=[split("ACME", FRI, 1.4), split("GONE", FRI, 2)],
    )

    assert told(bench) == ["the split of 1.4 for 1 disagrees: raw closes 10 to 10, a ratio of 1 where 0.7143 is told"]
    assert told(bench, start=MON, end=MON) == []


@pytest.mark.parametrize(("count", "volume", "is_told"), [(5, 100, True), (4, 100, False), (5, 0, False)])
def test_prices_that_stand_still_with_volume_are_told(make: Make, count: int, volume: int, *, is_told: bool) -> None:
    some = DAYS[:7]
    bench = make({day: [line("ACME", day, flat(10 + (n >= count) * n / 10), volume=volume)] for n, day in enumerate(some)})

    stale = [one for one in bench.quality("stock_day").facts["findings"] if one["check"] == "stale"]

    assert [(one["date"], one["rows"]) for one in stale] == [(some[count - 1], count)] * is_told
    if is_told:
        # The run is told in full, whatever part of it is asked for.
        [part] = [one for one in bench.quality("stock_day", some[3]).facts["findings"] if one["check"] == "stale"]
        assert (part["rows"], part["told"]) == (count - 3, f"the same four prices in {count} sessions on end since {some[0]}, close 10")
        assert [one for one in bench.quality("stock_day", some[count]).facts["findings"] if one["check"] == "stale"] == []


# ---------------------------------------------------------------------- listings


def listing(ticker: str, listed: date | None, delisted: date | None, name: str = "A") -> dict[str, object]:
    return {
        "ticker": ticker,
        "name": name,
        "active": delisted is None,
        "listed": listed and str(listed),
        "delisted": delisted and str(delisted),
        "first_seen": "2024-03-01",
        "last_seen": "2024-03-20",
    }


def test_bars_outside_of_all_listings_are_told(make: Make) -> None:
    names = ["NEW", "GONE", "AGAIN", "KEPT", "SILENT", "RENAMED"]
    bench = make(
        {day: [line(t, day, flat(10)) for t in names] for day in (THU, FRI, MON)},
        {day: [line(t, day, flat(10), at_ns=OPENS_NS) for t in names] for day in (THU, FRI, MON)},
        tickers=[
            listing("NEW", FRI, None),
            listing("GONE", None, THU),
            # Another company took the symbol.
            listing("AGAIN", date(2020, 1, 2), THU),
            listing("AGAIN", MON, None, "B"),
            listing("KEPT", None, None),
            listing("RENAMED", MON, None, "C"),
        ],
        ticker_changes=[{"asset": "OTHER", "ticker": "RENAMED", "first_date": "2020-01-02", "last_date": str(FRI)}],
    )
    expected = [("listing", "AGAIN", FRI), ("listing", "GONE", FRI), ("listing", "GONE", MON), ("listing", "NEW", THU)]

    assert found(bench) == expected
    assert [one for one in found(bench, "stock_minute") if one[0] == "listing"] == expected
    assert "a bar before its first listing, on 2024-03-08" in told(bench)


# ---------------------------------------------------------------------- minutes


def walk(ticker: str, day: date, count: int = 70, *, first_ns: int = OPENS_NS) -> list[str]:
    """Minutes that are as they should be, around 10."""
    return [line(ticker, day, flat(10 + n % 7 / 100), volume=1000, at_ns=first_ns + n * MINUTE_NS) for n in range(count)]


def test_quiet_minutes_have_nothing_to_tell(make: Make) -> None:
    bench = make({THU: [line("ACME", THU, (10, 10.16, 9.9, 10), volume=70_000)]}, {THU: walk("ACME", THU)})

    assert bench.quality("stock_minute").facts["findings"] == []


def test_a_minute_from_before_the_split_is_told_and_not_changed(make: Make) -> None:
    lines = walk("ACME", THU)
    lines[0] = line("ACME", THU, (70, 70, 10, 10), at_ns=MORNING_NS)
    lines[1] = line("ACME", THU, flat(70), at_ns=MORNING_NS + MINUTE_NS)
    bench = make(None, {THU: lines}, splits=[split("ACME", THU, 7)])
    before = bench.sql("FROM stock_minute ORDER BY timestamp").fetchall()

    [one] = bench.quality("stock_minute").facts["findings"]

    assert (one["check"], one["severity"], one["rows"]) == ("pre_split", "wrong", 2)
    assert one["told"] == "opens at 70, 7.0 times its close 10; the split of 7 for 1 executes on this day; 1 more bars are like it"
    assert bench.sql("FROM stock_minute ORDER BY timestamp").fetchall() == before


def test_a_split_of_three_for_two_is_looked_at_bar_by_bar(make: Make) -> None:
    lines = walk("ACME", THU)
    lines[0] = line("ACME", THU, flat(15), at_ns=MORNING_NS)
    bench = make(None, {THU: lines}, splits=[split("ACME", THU, 3, 2)])

    assert told(bench, "stock_minute") == ["opens at 15, 1.5 times the session's median 10.03; the split of 3 for 2 executes on this day"]


def test_a_jump_within_a_session_is_told_at_its_worst_bar(make: Make) -> None:
    lines = walk("ACME", THU)
    lines[20] = line("ACME", THU, (10, 45, 10, 44), at_ns=OPENS_NS + 20 * MINUTE_NS)
    bench = make(None, {THU: lines})

    [one] = bench.quality("stock_minute").facts["findings"]

    assert (one["check"], one["rows"]) == ("move", 2)
    assert one["told"] == "goes from 10 to 45, 4.5 times, within the minute; 1 more bars move as far"
    assert one["timestamp"].hour * 60 + one["timestamp"].minute == 9 * 60 + 50


def test_of_a_file_that_is_all_odd_the_widest_are_looked_at_and_the_rest_counted(make: Make) -> None:
    names = [f"T{n:03}" for n in range(505)]
    jumps = [line(t, THU, (10, 25 + n / 100, 10, 20), at_ns=OPENS_NS) for n, t in enumerate(names)]
    jumps += [line("ORDER", THU, (10, 9, 8, 9), at_ns=OPENS_NS), line("PRICE", THU, (1, 1, 0, 1), at_ns=OPENS_NS)]

    report = make(None, {THU: jumps}).quality("stock_minute")

    counts = {one["check"]: one["findings"] for one in report.facts["counts"]}
    assert counts == {"move": 505, "order": 1, "price": 1, "chk_high_prices": 1, "ohlcv_low_check": 1}
    moves = {one["ticker"]: one["told"] for one in report.facts["findings"] if one["check"] == "move"}
    assert moves["T504"] == "goes from 10 to 30.04, 3 times, within the minute"
    assert moves["T000"] == "goes from 10 to 25, 2.5 times, within the session"
    assert sum(one.endswith("within the session") for one in moves.values()) == 7


def test_what_rises_little_by_little_is_no_jump(make: Make) -> None:
    lines = [line("ACME", THU, flat(10 * 1.05**n), at_ns=OPENS_NS + n * MINUTE_NS) for n in range(30)]

    assert make(None, {THU: lines}).quality("stock_minute").facts["findings"] == []


def test_an_hour_at_one_price_is_told(make: Make) -> None:
    still = [line("STILL", THU, (5, 5, 5, 5), at_ns=OPENS_NS + n * MINUTE_NS) for n in range(60)]
    quiet = [line("QUIET", THU, (5, 5, 5, 5), at_ns=OPENS_NS + n * MINUTE_NS) for n in range(59)]
    empty = [line("EMPTY", THU, (5, 5, 5, 5), volume=0, at_ns=OPENS_NS + n * MINUTE_NS) for n in range(60)]
    bench = make(None, {THU: still + quiet + empty})

    assert told(bench, "stock_minute") == ["all 60 bars stand at 5", "60 of 60 bars have no volume"]


def test_minutes_out_of_order_are_counted(make: Make) -> None:
    lines = walk("ACME", THU)
    lines[3:5] = [line("ACME", THU, (10, 9, 8, 9), at_ns=OPENS_NS + n * MINUTE_NS) for n in (3, 4)]
    lines[6] = line("ACME", THU, flat(10), volume=0, at_ns=OPENS_NS + 6 * MINUTE_NS)
    bench = make(None, {THU: lines})

    assert sorted(told(bench, "stock_minute")) == [
        "1 of 70 bars have no volume",
        "breaks a check of market_data.ohlcv: open 10, high 9, low 8, close 9, volume 20000; so do 1 more bars",
        "open 10, high 9, low 8 and close 9 are out of order; so are 1 more bars",
    ]
    [row] = bench.quality("stock_minute")
    assert (row["condition"], row["order"], row["volume"]) == ("degraded", 1, 1)
    assert row["why"] == "wrong by order: 2 of 70 rows"


@pytest.mark.parametrize(
    ("day_bar", "volume", "says"),
    [
        ((10, 10.16, 9.9, 10), 60_000, "the minutes' volume is 70,000, 1.17 times the day's 60,000"),
        ((10, 10.16, 9.9, 10), 150_000, "the minutes' volume is 70,000, 0.467 times the day's 150,000"),
        ((10, 10.05, 9.9, 10), 70_000, "regular minutes reach 10.1606, above the day's high 10.05"),
        ((10, 10.16, 9.97, 10), 70_000, "regular minutes fall to 9.9, below the day's low 9.97"),
        ((10, 10.3, 9.9, 10), 70_000, "no minute reaches the day's high 10.3: the highest is 10.1606"),
        ((10, 10.16, 9.8, 10), 70_000, "no minute falls to the day's low 9.8: the lowest is 9.9"),
    ],
)
def test_minutes_are_held_against_the_days_bar(make: Make, day_bar: tuple[float, float, float, float], volume: int, says: str) -> None:
    bench = make({THU: [line("ACME", THU, day_bar, volume=volume)]}, {THU: walk("ACME", THU)})

    assert told(bench, "stock_minute") == [says]


def test_what_auctions_and_extended_hours_do_is_normal(make: Make) -> None:
    early = [
        line("ACME", THU, flat(14), volume=1000, at_ns=MORNING_NS),
        line("ACME", THU, flat(7.5), volume=1000, at_ns=MORNING_NS + MINUTE_NS),
    ]
    bench = make(
        {THU: [line("ACME", THU, (10.05, 10.16, 9.9, 10), volume=90_000)], FRI: [line("ACME", FRI, (10, 10.16, 9.9, 9.91), volume=70_000)]},
        # A bar after the close, where the closing auction is.
        {THU: [*early, *walk("ACME", THU)], FRI: [*walk("ACME", FRI), line("ACME", FRI, flat(10), volume=9, at_ns=16 * 60 * MINUTE_NS)]},
    )

    report = bench.quality("stock_minute")

    assert [(one["check"], one["date"], one["severity"]) for one in report.facts["findings"]] == [("ends", FRI, "note")]
    assert report.facts["problems"] == 0
    assert report.facts["conditions"] == {"good": 2}


def test_bars_outside_of_the_session_are_a_note(make: Make) -> None:
    bench = make(None, {THU: [*walk("ACME", THU), line("ACME", THU, flat(10), at_ns=20 * 60 * MINUTE_NS)]})

    assert told(bench, "stock_minute") == ["1 of 71 bars lie outside of the session, from 09:30 to 20:00 New York"]
    assert bench.quality("stock_minute").facts["problems"] == 0


# ---------------------------------------------------------------------- others


def test_other_assets_are_checked_without_what_only_stocks_have(make: Make, tmp_path: Path) -> None:
    bench = make(splits=[split("X:BTC-USD", FRI, 2)])
    table = find("crypto_day")
    for day, price in ((THU, 10), (FRI, 30)):
        put(tmp_path / "vendor", table, day, text([f"X:BTC-USD,1,{price},{price},{price - 1},{price - 2},{table.session_ns(day)[0]},5"]))
    bench.refresh(source=f"folder:{tmp_path / 'vendor'}", datasets=["crypto_day"]).run()

    assert [check for check, *_ in found(bench, "crypto_day")] == ["move", "order", "order"]


@pytest.mark.parametrize(
    "table", ["index_day", "index_minute", "forex_day", "futures_session", "futures_minute", "option_day", "option_minute"]
)
def test_every_table_of_bars_can_be_looked_at(make: Make, table: str) -> None:
    bench = make()
    rule = "quality_of_minutes" if table.endswith("_minute") else "quality_of_days"

    assert bench.sql(f"FROM {rule}(NULL, bars := '{table}')").fetchall() == []
    assert bench.quality(table, THU, FRI).facts["conditions"] == {"missing": 2}


# ---------------------------------------------------------------------- trades


def test_trades_that_make_their_minutes_have_nothing_to_tell(make: Make, tmp_path: Path) -> None:
    bench = traded(make, tmp_path, volume=20)

    report = bench.quality("stock_trades")

    assert (report.facts["findings"], report.facts["problems"]) == ([], 0)
    assert [(one["ticker"], one["minutes"], one["volume"], one["equal"]) for one in report.facts["shares"]] == [("ACME", 2, 1.0, 1.0)]


def test_minutes_that_trades_do_not_make_are_told(make: Make, tmp_path: Path) -> None:
    bench = traded(make, tmp_path, volume=30)

    report = bench.quality("stock_trades")

    assert [(one["check"], one["ticker"], one["told"]) for one in report.facts["findings"]] == [
        ("built", "ACME", "volume 30 in the minute file, 20 of its trades")
    ]
    assert report.facts["findings"][0]["timestamp"].isoformat() == "2024-03-07T04:01:00-05:00"
    assert [row["condition"] for row in report] == ["degraded"]
    assert report[0]["why"] == "its trades make the volume of 50.0% of the minutes"


def test_minutes_that_are_not_listed_are_counted(make: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(built, "ROWS", 0)

    report = traded(make, tmp_path, volume=30).quality("stock_trades")

    assert (report.facts["findings"], report.facts["counts"]) == ([], [{"check": "built", "severity": "odd", "findings": 1, "rows": 1}])
    assert (report[0]["built"], report.facts["problems"]) == (1, 2)
    assert report.title.startswith("stock_trades, 1 session from") and report.title.endswith("1 finding (1 built)")
    assert "1 more minutes differ on 2024-03-07 than are listed." in report.facts["notes"]


def test_trades_without_minutes_are_not_compared(make: Make, tmp_path: Path) -> None:
    report = traded(make, tmp_path, volume=None).quality("stock_trades")

    assert (report.facts["findings"], report.facts["shares"]) == ([], [])
    assert report.facts["notes"][-1] == "1 session has trades and no minutes to compare them with: 2024-03-07"


def traded(make: Make, tmp_path: Path, volume: int | None) -> Workbench:
    """A lake of two minutes of trades, each of two trades of 10 shares, and of bars of them, the second with a volume of its own."""
    stamps = [(minute, nth) for minute in (0, 1) for nth in (0, 1)]
    trades = [trade("ACME", THU, minute * 60 + nth, price=10).replace('"12,37"', "") for minute, nth in stamps]
    put(tmp_path / "vendor", STOCK_TRADES, THU, text(trades, TRADE))
    bars = [line("ACME", THU, (10, 10, 10, 10), volume=20, trades=2, at_ns=MORNING_NS)]
    bars += [line("ACME", THU, (10, 10, 10, 10), volume=volume, trades=2, at_ns=MORNING_NS + MINUTE_NS)]
    return make(None, {THU: bars} if volume else {FRI: bars_of_another_day()})


def bars_of_another_day() -> list[str]:
    return [line("ACME", FRI, flat(10), at_ns=OPENS_NS)]


# ---------------------------------------------------------------------- sessions


def test_the_newest_thirty_sessions_that_are_held_are_looked_at(make: Make) -> None:
    some = sessions.between(STOCK_DAY, date(2024, 1, 2), date(2024, 3, 15))
    bench = make({day: [line("ACME", day, flat(10 + n / 7))] for n, day in enumerate(some)})

    report = bench.quality("stock_day")

    assert [row["session"] for row in report] == some[-30:]
    assert "not in the lake: see its gaps" in report.facts["notes"][0]
    assert [row["session"] for row in bench.quality("stock_day", end=some[39])] == some[10:40]


def test_sessions_are_missing_or_held_in_part(make: Make) -> None:
    bench = make({THU: [line("ACME", THU, flat(10))], MON: [line("ACME", MON, flat(10))]})

    assert [(row["session"], row["condition"], row["rows"]) for row in bench.quality("stock_day")] == [
        (THU, "good", 1),
        (FRI, "missing", 0),
        (MON, "good", 1),
    ]
    assert bench.quality("stock_day").facts["problems"] == 1


def test_a_file_that_was_published_again_is_late(make: Make, tmp_path: Path) -> None:
    bench = make({THU: [line("ACME", THU, flat(10))]})
    put(tmp_path / "vendor", STOCK_DAY, THU, text([line("ACME", THU, flat(11))]))
    bench.refresh(source=f"folder:{tmp_path / 'vendor'}").run()

    [row] = bench.quality("stock_day")

    assert row["condition"] == "late"
    assert row["why"].startswith("published again: version 2 landed on ")


def test_refused_rows_degrade_a_session(make: Make) -> None:
    bench = make({THU: [line("ACME", THU, flat(10)), *(line(f"T{n}", THU, flat(10)) for n in range(200)), line("BAD", THU, (1, 1, -1, 1))]})

    [row] = bench.quality("stock_day")

    assert (row["condition"], row["why"]) == ("degraded", "1 row refused")


@pytest.mark.parametrize(
    ("landed", "begun", "expected"),
    [
        (timedelta(hours=23), timedelta(days=-9), "good"),
        (timedelta(hours=25), timedelta(days=-9), "late"),
        # A backfill is not late.
        (timedelta(days=400), timedelta(days=1), "good"),
    ],
)
def test_what_landed_a_day_after_it_was_due_is_late(make: Make, landed: timedelta, begun: timedelta, expected: str) -> None:
    from dataclasses import replace

    bench = make({THU: [line("ACME", THU, flat(10))]})
    [landing] = bench.lake["stock_day"].landings().values()
    due = sessions.due_at(THU)
    known = Facts([replace(landing, landed_at=(due + landed).astimezone(UTC).isoformat())])

    told = condition(Gap(THU, "landed"), STOCK_DAY, known, due + begun)

    assert told is not None
    assert told.condition == expected


def test_a_known_fault_of_a_file_degrades_its_session(make: Make) -> None:
    day = date(2025, 8, 7)
    bench = make(None, {day: walk("ACME", day)})

    [row] = bench.quality("stock_minute")

    assert row["condition"] == "degraded"
    assert row["why"].startswith("known of the file: not listed three days later")


def test_the_view_tells_the_condition_of_every_session(make: Make, tmp_path: Path) -> None:
    bench = make({THU: [line("ACME", THU, flat(10))], MON: [line("ACME", MON, flat(10))]})
    query = "SELECT session, condition, rows FROM session_condition WHERE table_name = 'stock_day' AND session <= $last ORDER BY session"
    assert bench.sql(query, last=MON).fetchall() == [(THU, "good", 1), (FRI, "missing", 0), (MON, "good", 1)]

    put(tmp_path / "vendor", STOCK_DAY, FRI, text([line("ACME", FRI, flat(10))]))
    bench.refresh(source=f"folder:{tmp_path / 'vendor'}").run()

    assert bench.sql(query, last=MON).fetchall() == [(THU, "good", 1), (FRI, "good", 1), (MON, "good", 1)]


# ---------------------------------------------------------------------- report


def test_counts_are_exact_and_the_worst_of_each_kind_come_first(make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(quality, "KEPT", 4)
    lines = [line(f"T{n}", FRI, flat(30 + n)) for n in range(5)] + [line(f"Z{n}", FRI, flat(10), volume=0) for n in range(6)]
    bench = make({THU: [line(f"T{n}", THU, flat(10)) for n in range(5)], FRI: lines})

    report = bench.quality("stock_day")

    assert [(one["check"], one["ticker"]) for one in report.facts["findings"]][::2] == [("move", "T4"), ("move", "T3")]
    assert [one["check"] for one in report.facts["findings"]] == ["move", "volume"] * 2
    assert {one["check"]: one["findings"] for one in report.facts["counts"]} == {"move": 5, "volume": 6}
    assert (report[1]["move"], report[1]["volume"]) == (5, 6)
    assert report.facts["problems"] == 12


@pytest.mark.parametrize("singly", [0, 8])
def test_some_tickers_are_looked_at_alone(make: Make, monkeypatch: pytest.MonkeyPatch, singly: int) -> None:
    monkeypatch.setattr(quality, "SINGLY", singly)
    bench = make({THU: [line(t, THU, flat(10), volume=0) for t in ("NA", "TRUE", "BACpB", "BACPB")]})

    assert found(bench, tickers=["BACpB", "NA", "NA", "NOPE"]) == [("volume", "BACpB", THU), ("volume", "NA", THU)]
    assert [row["rows"] for row in bench.quality("stock_day", tickers="TRUE")] == [1]
    # A ticker without rows is not one without faults.
    notes = bench.quality("stock_day", tickers=["NA", "na", "NOPE"]).facts["notes"]
    assert "na, NOPE have no rows in stock_day from 2024-03-07 to 2024-03-07; case matters." in notes


def test_stretches_find_what_one_look_finds(make: Make) -> None:
    some = sessions.between(STOCK_DAY, date(2024, 1, 2), date(2024, 7, 15))
    bench = make(
        {
            day: [line("ACME", day, flat(10 if n < 57 else 30)), line("OFF", day, flat(10 + n % 3), volume=n % 5)]
            for n, day in enumerate(some)
        },
        # On Good Friday, between the two quarters.
        splits=[split("OFF", date(2024, 3, 29), 1.4)],
    )

    report = bench.quality("stock_day", some[0], some[-1])

    [(count,)] = bench.sql("SELECT count(*) FROM quality_of_days($first, $last)", first=some[0], last=some[-1]).fetchall()
    stale = [one for one in report.facts["findings"] if one["check"] == "stale"]
    # A run that goes on from one quarter into the next is told in both.
    assert sum(one["findings"] for one in report.facts["counts"]) - count == len(stale) - 2
    assert {"move", "split", "volume", "stale"} == {one["check"] for one in report.facts["counts"]}


@pytest.mark.parametrize(
    ("table", "asked", "error", "says"),
    [
        ("stock_dya", {}, UnknownName, "stock_day"),
        ("splits", {}, UsageError, "holds neither bars"),
        ("stock_quotes", {}, UsageError, "holds neither bars"),
        ("ohlcv_archive", {}, UsageError, "holds neither bars"),
        ("stock_day", {"start": FRI, "end": THU}, BadRange, "ends .* before it starts"),
        ("stock_day", {"start": "soon"}, BadRange, "is not a date"),
    ],
)
def test_what_cannot_be_asked_is_refused(make: Make, table: str, asked: dict[str, Any], error: type[Exception], says: str) -> None:
    with pytest.raises(error, match=says):
        make().quality(table, **asked)


def test_an_empty_lake_and_a_range_without_sessions_are_no_fault(make: Make) -> None:
    bench = make()
    for table in ("stock_day", "stock_minute"):
        report = bench.quality(table)
        assert report.facts["findings"] == []
        assert set(report.facts["conditions"]) <= {"missing"}
        weekend = bench.quality(table, date(2024, 3, 9), date(2024, 3, 10))
        assert list(weekend) == []
        assert "none to look at" in weekend.title
        assert "session" not in weekend.columns


# ---------------------------------------------------------------------- real


@pytest.fixture(scope="module")
def real(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Workbench]:
    """The real sessions, with the real splits."""
    if not FLATFILES.is_dir():
        pytest.skip("the real flat files are not beside the project")
    tables = ["stock_day", "stock_minute", "stock_trades"]
    with landed(tmp_path_factory.mktemp("real"), tables, "2013-01-02", "2014-12-31", ["splits", "ticker_changes"]) as bench:
        yield bench


def test_the_real_bar_that_opens_before_its_split_is_reported_and_not_changed(real: Workbench) -> None:
    report = real.quality("stock_minute", "2014-06-05", "2014-06-09", "AAPL")

    [one] = [one for one in report.facts["findings"] if one["check"] not in ("volume", "transactions")]

    assert one == {
        "check": "pre_split",
        "ticker": "AAPL",
        "date": date(2014, 6, 9),
        "timestamp": datetime(2014, 6, 9, 8, tzinfo=UTC),
        "told": "opens at 645.57, 7.0 times its close 92.42; the split of 7 for 1 executes on this day",
        "severity": "wrong",
        "rows": 1,
    }
    raw = real.sql(
        "SELECT open, close FROM stock_minute WHERE ticker = 'AAPL' AND date = '2014-06-09' ORDER BY timestamp LIMIT 1"
    ).fetchall()
    assert raw == [(645.57, 92.42)]


def test_real_bars_are_not_cried_at(real: Workbench) -> None:
    """But for `transactions`, which that data has none of: two years of days, splits and all, and twelve sessions of minutes."""
    days, minutes = real.quality("stock_day", "2013-01-01", "2014-12-31"), real.quality("stock_minute", "2013-01-01", "2014-12-31")

    assert [(one["check"], one["findings"]) for one in days.facts["counts"]] == [("transactions", 6_755)]
    assert [(one["check"], one["findings"]) for one in minutes.facts["counts"]] == [("pre_split", 1), ("transactions", 23)]


def test_real_trades_make_real_minutes_but_for_what_conditions_would_tell(real: Workbench) -> None:
    """That data has no sale conditions: shares as measured."""
    report = real.quality("stock_trades", "2013-10-07", "2013-10-07")

    shares = {one["ticker"]: one for one in report.facts["shares"]}
    assert shares["IBM"]["volume"] >= 0.98
    assert shares["BAC"]["volume"] >= 0.98
    assert (round(shares["IBM"]["close"], 2), round(shares["BAC"]["close"], 2)) == (0.83, 0.98)
    assert report.facts["conditions"] == {"good": 1}
    assert len(report.facts["findings"]) == report[0]["built"] > 100
