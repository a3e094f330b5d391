"""The views of rollups: in every state the same as what is summed up straight, by the calendar's hours, first and last by time."""

import os
import re
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import plainbars
import pytest
from flatfiles import FRI, MINUTE_NS, MON, MORNING_NS, STOCK_DAY, STOCK_MINUTE, THU, bar, minutes, put, text
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from straightbars import DAILY, MINUTES, alike, longer, same

import workbench
from workbench.bench import Workbench
from workbench.config import Settings
from workbench.lake import lone_days, reset, retention, rollups, tiering
from workbench.policies import Age, Retention
from workbench.tables.rollups import Rollup

ZONE = ZoneInfo("America/New_York")
EXAMPLES = int(os.environ.get("WORKBENCH_EXAMPLES", "12"))


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Workbench]:
    with Workbench(Settings.load(env={}, data=str(tmp_path / "lake"))) as made:
        yield made


def rows(bench: Workbench, query: str) -> list[tuple[Any, ...]]:
    return bench.sql(f"SELECT * FROM ({query}) ORDER BY ALL").fetchall()


def land(bench: Workbench, folder: Path) -> None:
    bench.refresh(source=f"folder:{folder}").run()


def at(day: date, clock: str) -> int:
    """Nanoseconds after midnight of a wall clock in New York."""
    hour, minute = map(int, clock.split(":"))
    moment = datetime(day.year, day.month, day.day, hour, minute, tzinfo=ZONE)
    return int(moment.timestamp()) * 1_000_000_000 - STOCK_DAY.session_ns(day)[0]


# ---------------------------------------------------------------------- the rules, bar by bar


@pytest.fixture(scope="module")
def ruled(tmp_path_factory: pytest.TempPathFactory) -> tuple[Workbench, list[plainbars.Bar]]:
    """A lake over weeks in which clocks change and sessions end early, half of it cold, and its minutes."""
    bars, days = plainbars.made_up()
    bench = plainbars.landed(tmp_path_factory.mktemp("ruled"), bars, days)
    return bench, bars


@pytest.mark.parametrize("rolled", [True, False], ids=["summed up", "left"])
@pytest.mark.parametrize("part", plainbars.PARTS)
def test_parts_of_sessions_are_as_the_rules_say(
    ruled: tuple[Workbench, list[plainbars.Bar]], part: str, rolled: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    bench, bars = ruled
    if not rolled:
        monkeypatch.setattr(rollups, "digest", lambda _: "another")
        bench = Workbench(bench.settings)
    expected = plainbars.resampled(bars, "1d", part)
    query = "SELECT symbol, day, open, high, low, close, volume, transactions FROM market_data.ohlcv_sessions WHERE session = $part ORDER BY 1, 2"
    found = bench.sql(query, part=part).fetchall()
    asked = bench.catalog.documented.given["workbench.minutes_left"]
    assert ("1900" in asked) is rolled
    told = [
        plainbars.Bar(symbol, its, when.astimezone(UTC), open_, high, low, close, volume, count, its)
        for symbol, when, open_, high, low, close, volume, count in found
        for its in [when.astimezone(ZONE).date()]
    ]
    assert len(expected) > 20
    assert plainbars.alike([replace(one, at=plainbars.midnight(one.day)) for one in expected], told)


@pytest.mark.parametrize(("view", "size", "name"), [("weekly", "1w", "week"), ("monthly", "1mo", "month")])
def test_weeks_and_months_are_as_the_rules_say(ruled: tuple[Workbench, list[plainbars.Bar]], view: str, size: str, name: str) -> None:
    bench, bars = ruled
    held = {(one.ticker, one.day) for one in bars}
    # Day bars show where a session has no minute of the ticker.
    days = plainbars.rows_of(bench.sql("SELECT ticker, date, timestamp, open, high, low, close, volume, transactions FROM stock_day").pl())
    lone = [one for one in days if (one.ticker, one.day) not in held]
    whole = sorted([*plainbars.resampled(bars, "1d", "all"), *lone], key=lambda one: (one.ticker, one.day))
    expected = plainbars.resampled(whole, size, "all")
    found = bench.sql(
        f"SELECT symbol, {name}, open, high, low, close, volume, sessions FROM market_data.ohlcv_{view} ORDER BY 1, 2"
    ).fetchall()
    assert [(symbol, when.astimezone(UTC)) for symbol, when, *_ in found] == [(one.ticker, one.at) for one in expected]
    for (_, _, *numbers), one in zip(found, expected, strict=True):
        assert numbers[:5] == pytest.approx(list(plainbars.numbers(one)))


def test_the_vwap_of_longer_bars_is_that_of_all_their_minutes(ruled: tuple[Workbench, list[plainbars.Bar]]) -> None:
    bench, _ = ruled
    weeks = bench.sql(
        "SELECT w.vwap, m.v FROM market_data.ohlcv_weekly AS w JOIN (SELECT ticker, bar_start(timestamp, date, '1w') AS week, "
        "sum(close * volume) / nullif(sum(volume), 0) AS v FROM stock_minute GROUP BY ALL) AS m ON m.ticker = w.symbol AND m.week = w.week"
    ).fetchall()
    assert len(weeks) > 10
    assert [one for one, _ in weeks] == pytest.approx([other for _, other in weeks])


# ---------------------------------------------------------------------- days that go wrong elsewhere


def test_an_early_close_ends_regular_hours_and_the_post_market(bench: Workbench, tmp_path: Path) -> None:
    day = date(2024, 7, 3)
    clocks = ["04:00", "09:29", "09:30", "12:59", "13:00", "16:59", "17:00", "19:59"]
    put(tmp_path, STOCK_MINUTE, day, text([bar("AAA", day, at_ns=at(day, clock), volume=10**n) for n, clock in enumerate(clocks)]))
    land(bench, tmp_path)
    found = bench.sql("SELECT session, volume FROM market_data.ohlcv_sessions ORDER BY session").fetchall()
    assert found == [("all", 11_111_111.0), ("post", 110_000.0), ("pre", 11.0), ("regular", 1_100.0)]
    same(bench)


def test_a_january_fridays_last_minute_stays_on_friday(bench: Workbench, tmp_path: Path) -> None:
    day = date(2024, 1, 5)
    put(tmp_path, STOCK_MINUTE, day, text([bar("AAA", day, at_ns=at(day, clock)) for clock in ("04:00", "19:59")]))
    land(bench, tmp_path)
    assert bench.sql("SELECT day::DATE, volume FROM market_data.ohlcv_daily").fetchall() == [(day, 200.0)]
    assert bench.sql("SELECT week::DATE, volume FROM market_data.ohlcv_weekly").fetchall() == [(date(2024, 1, 2), 200.0)]
    assert bench.sql("SELECT month::DATE, sessions FROM market_data.ohlcv_monthly").fetchall() == [(date(2024, 1, 2), 1)]
    same(bench)


def test_the_week_in_which_clocks_change_has_its_hours(bench: Workbench, tmp_path: Path) -> None:
    for day in (FRI, MON):
        put(tmp_path, STOCK_MINUTE, day, text([bar("AAA", day, at_ns=at(day, clock)) for clock in ("09:29", "09:30", "15:59", "16:00")]))
    land(bench, tmp_path)
    found = bench.sql("SELECT day::DATE, session, bars FROM market_data.ohlcv_sessions WHERE session <> 'all' ORDER BY ALL").fetchall()
    assert found == [(day, session, count) for day in (FRI, MON) for session, count in (("post", 1), ("pre", 1), ("regular", 2))]
    same(bench)


def test_a_ticker_without_a_regular_bar_has_no_regular_row(bench: Workbench, tmp_path: Path) -> None:
    put(tmp_path, STOCK_MINUTE, THU, text([bar("EARLY", THU, at_ns=MORNING_NS), bar("NONE", THU, at_ns=MORNING_NS, volume=0, trades=0)]))
    land(bench, tmp_path)
    found = bench.sql("SELECT symbol, session, volume, vwap FROM market_data.ohlcv_sessions ORDER BY ALL").fetchall()
    assert found == [
        ("EARLY", "all", 100.0, 10.5),
        ("EARLY", "pre", 100.0, 10.5),
        ("NONE", "all", 0.0, None),
        ("NONE", "pre", 0.0, None),
    ]


# ---------------------------------------------------------------------- in every state


def test_as_things_change_every_state_shows_what_is_so(bench: Workbench, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path / "vendor"
    for day in (THU, FRI, MON):
        put(folder, STOCK_DAY, day, text([bar(ticker, day, volume=1000) for ticker in ("AAA", "BBB", "LON")]))
    for day in (THU, FRI):
        put(folder, STOCK_MINUTE, day, text([line for ticker in ("AAA", "BBB") for line in minutes(ticker, day, 400)]))
    with monkeypatch.context() as patched:
        patched.setattr(rollups, "refresh", lambda *_: 0)
        patched.setattr(bench.settings.maintain.__class__, "after_refresh", False)
        patched.setattr(lone_days, "compare", lambda _: 0)
        land(bench, folder)
    assert not bench.lake["stock_sessions"].exists
    same(bench)
    with monkeypatch.context() as patched:
        # Half of it.
        patched.setattr(Rollup, "inside", lambda _, day, due: day == THU)
        rollups.refresh(bench.lake)
        same(bench)
        assert bench.sql("SELECT DISTINCT date FROM workbench.minutes_left").fetchall() == [(FRI,)]
    land(bench, folder)
    assert bench.sql("SELECT count(*) FROM workbench.minutes_left").fetchall() == [(0,)]
    same(bench)
    bench.append(
        "market_data.ohlcv",
        [
            {"symbol": "OWN", "timestamp": f"2024-03-07T{clock}:00-05:00", "timeframe": "1h", "source": "csv", "vwap": vwap, "volume": 2.0}
            | {"open": 1.0, "high": 3.0, "low": 1.0, "close": 2.0}
            for clock, vwap in (("10:00", 1.5), ("11:00", 2.5))
        ],
    )
    same(bench)
    assert bench.sql("SELECT vwap FROM market_data.ohlcv_daily WHERE symbol = 'OWN'").fetchall() == [(2.0,)]
    assert bench.sql("SELECT vwap FROM market_data.ohlcv_weekly WHERE symbol = 'OWN'").fetchall() == [(2.0,)]
    put(folder, STOCK_MINUTE, FRI, text(minutes("LON", FRI, 5)))
    with monkeypatch.context() as patched:
        patched.setattr(rollups, "refresh", lambda *_: 0)
        patched.setattr(rollups, "due", lambda *_: [])
        land(bench, folder)
        # Its old rows stand there still, and are not shown.
        assert bench.sql("SELECT count(*) FROM stock_sessions WHERE date = '2024-03-08'").fetchall() == [(2,)]
        same(bench)
    land(bench, folder)
    same(bench)
    reset.reset(bench.lake, ["stock_minute"])
    same(bench)
    land(bench, folder)
    same(bench)


def test_what_retention_took_is_shown_once_as_it_was(bench: Workbench, tmp_path: Path) -> None:
    folder = tmp_path / "vendor"
    put(folder, STOCK_DAY, FRI, text([bar(ticker, FRI, volume=1000) for ticker in ("AAA", "LON")]))
    put(folder, STOCK_MINUTE, FRI, text(minutes("AAA", FRI, 3)))
    land(bench, folder)
    told = {
        "timestamp": "2024-03-08T10:00:00-05:00",
        "timeframe": "1h",
        "source": "csv",
        "open": 1.0,
        "high": 1.0,
        "low": 1.0,
        "close": 1.0,
    }
    bench.append("market_data.ohlcv", [{"symbol": symbol, "volume": 7.0, **told} for symbol in ("AAA", "LON", "OWN")])
    before = rows(bench, "FROM market_data.ohlcv_daily")
    assert [(row[0], row[6]) for row in before] == [("AAA", 300.0), ("LON", 1000.0), ("OWN", 7.0)]
    for one in retention.plan(bench.lake, {"stock_minute": Retention(Age(21, "month"), "drop")}, date(2026, 3, 2)):
        assert retention.retire(bench.lake, one).outcome == "dropped"
    reset.reset(bench.lake, ["stock_day"])
    # Without the day bars, a bar that was appended is all that there is of LON; AAA's row stands.
    assert [(row[0], row[6]) for row in rows(bench, "FROM market_data.ohlcv_daily")] == [("AAA", 300.0), ("LON", 7.0), ("OWN", 7.0)]
    reset.undo(bench.lake)
    assert rows(bench, "FROM market_data.ohlcv_daily") == before
    assert [row[0] for row in rows(bench, "FROM market_data.ohlcv_weekly")] == ["AAA", "LON", "OWN"]


def test_a_pin_and_the_past_show_what_was_there(bench: Workbench, tmp_path: Path) -> None:
    put(tmp_path, STOCK_MINUTE, THU, text(minutes("AAA", THU, 3)))
    land(bench, tmp_path)
    first, between = rows(bench, "FROM market_data.ohlcv_daily"), datetime.now(UTC)
    with bench.pin():
        put(tmp_path, STOCK_MINUTE, THU, text(minutes("AAA", THU, 5)))
        land(bench, tmp_path)
        assert rows(bench, "FROM market_data.ohlcv_daily") == first
    assert [row[6] for row in rows(bench, "FROM market_data.ohlcv_daily")] == [500.0]
    with workbench.open(bench.lake.root, as_of=between) as past:
        assert rows(past, "FROM market_data.ohlcv_daily") == first


# ---------------------------------------------------------------------- whatever the minutes are

one_minute = st.tuples(
    st.sampled_from(["AAA", "BBB", "b.c"]), st.sampled_from([THU, FRI, MON]), st.integers(0, 1439), st.integers(1, 99), st.integers(0, 7)
)


@pytest.mark.timeout(3600)
@settings(max_examples=EXAMPLES, deadline=None, suppress_health_check=list(HealthCheck))
@given(told=st.lists(one_minute, min_size=1, max_size=40, unique_by=lambda one: one[:3]), cold=st.booleans(), late=st.booleans())
def test_whatever_the_minutes_are_the_views_sum_them_up(
    tmp_path_factory: pytest.TempPathFactory, told: list[tuple[Any, ...]], cold: bool, late: bool
) -> None:
    home = tmp_path_factory.mktemp("any")
    with Workbench(Settings.load(env={}, data=str(home / "lake"))) as bench:
        for n, some in enumerate((told[::2], told) if late else (told,)):
            for day in {one[1] for one in some}:
                lines = [
                    f"{ticker},{volume / 4},{price / 8},{price / 8 + 1},{price / 4 + 1},{price / 16},"
                    f"{STOCK_DAY.session_ns(day)[0] + minute * MINUTE_NS},{volume}"
                    for ticker, its, minute, price, volume in some
                    if its == day
                ]
                put(home / "vendor", STOCK_MINUTE, day, text(lines))
            land(bench, home / "vendor")
            if cold and not n:
                for unit in tiering.due(bench.lake["stock_minute"], everything=True):
                    tiering.compact(bench.lake["stock_minute"], unit)
        assert not rollups.due(bench.lake)
        same(bench)


condition = st.sampled_from(
    [
        "symbol = 'AAA'",
        "symbol IN ('BBB', 'RARE')",
        "symbol > 'B'",
        "{} >= '2024-03-27' AND {} < '2024-07-03'",
        "{} = '2024-07-03'",
        "symbol = 'AAA' AND {} > '2024-11-01'",
        "volume > 1000 AND {} < '2024-04-01'",
    ]
)


@settings(max_examples=EXAMPLES, deadline=None, suppress_health_check=list(HealthCheck))
@given(where=condition, view=st.sampled_from(["daily", "sessions", "weekly", "monthly"]), left=st.booleans())
def test_fewer_files_give_the_same(ruled: tuple[Workbench, list[plainbars.Bar]], where: str, view: str, left: bool) -> None:
    straight = {"daily": DAILY, "sessions": MINUTES, "weekly": longer("1w", "week"), "monthly": longer("1mo", "month")}[view]
    where = re.sub(r"\{\}", {"weekly": "week", "monthly": "month"}.get(view, "day"), where)
    with pytest.MonkeyPatch.context() as patched:
        if left:
            patched.setattr(rollups, "digest", lambda _: "another")
        with Workbench(ruled[0].settings) as bench:
            less = " EXCLUDE (vwap)" if view in ("weekly", "monthly") else ""
            alike(bench, f"SELECT *{less} FROM market_data.ohlcv_{view} WHERE {where}", f"SELECT * FROM ({straight}) WHERE {where}")
