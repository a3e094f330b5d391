"""Parts of sessions: as the calendar has them, for many days at once, in Python and in SQL."""

from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import plainbars
import polars as pl
import pytest

from workbench import sessions
from workbench.bench import Workbench
from workbench.config import Settings
from workbench.errors import UsageError
from workbench.query import parts
from workbench.tables import find

EPOCH = date(1970, 1, 1)


@pytest.fixture(scope="module")
def bench(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Workbench]:
    with Workbench(Settings(data=str(tmp_path_factory.mktemp("parts")))) as made:
        made.lake.make()
        yield made


def us(at: datetime) -> int:
    return int(at.timestamp()) * 1_000_000


@pytest.mark.parametrize("name", ["stock_minute", "option_minute", "crypto_minute", "forex_minute", "futures_minute"])
def test_the_clock_tells_what_the_calendar_tells_of_each_session(name: str) -> None:
    table = find(name)
    days = sessions.between(table, date(2003, 1, 1), date(2027, 12, 31))
    numbers = pl.Series(days).to_physical().to_numpy()
    whole, regular = (list(zip(*parts.clock(table).span(part, numbers), strict=True)) for part in ("all", "regular"))

    for day, all_of_it, opened in list(zip(days, whole, regular, strict=True))[::7] + list(zip(days, whole, regular, strict=True))[-400:]:
        hours = sessions.hours(table, day)
        assert hours
        assert opened == tuple(map(us, hours.regular))
        assert all_of_it == (us((hours.pre or hours.regular)[0]), us((hours.post or hours.regular)[1]))


def test_every_early_close_ends_the_post_market_early() -> None:
    early = [one.date for one in sessions.holidays(date(2003, 9, 10), date(2026, 12, 31)) if one.status == "early_close"]
    numbers = pl.Series(early).to_physical().to_numpy()
    _, ends = parts.clock(find("stock_minute")).span("post", numbers)

    assert len(early) > 40
    assert [f"{datetime.fromtimestamp(at / 1e6, plainbars.ZONE):%H:%M}" for at in ends] == ["17:00"] * len(early)


def test_a_day_that_is_no_session_has_the_hours_of_a_usual_one() -> None:
    sunday = date(2024, 3, 10)
    numbers = pl.Series([sunday]).to_physical().to_numpy()

    assert [int(edge[0]) for edge in parts.clock(find("stock_minute")).span("all", numbers)] == [
        us(edge) for edge in (plainbars.edges(sunday)[0], plainbars.edges(sunday)[3])
    ]


def test_parts_of_stocks_meet_at_multiples_of_half_an_hour() -> None:
    assert parts.clock(find("stock_minute")).grid_us == 30 * 60_000_000
    assert parts.clock(find("crypto_minute")).grid_us == 24 * 60 * 60_000_000


def test_sql_knows_the_sessions(bench: Workbench) -> None:
    [(opens, closes, post, why)] = bench.sql(
        "SELECT open, close, post_close, early_close FROM market_sessions WHERE calendar = 'XNYS' AND date = '2024-07-03'"
    ).fetchall()
    pre, *edges = plainbars.edges(date(2024, 7, 3))

    assert [opens, closes, post] == edges
    assert pre < opens
    assert why == sessions.calendar("XNYS").early[date(2024, 7, 3)]
    counted = dict(bench.sql("SELECT calendar, count(*) FROM market_sessions GROUP BY calendar").fetchall())
    assert counted == {name: len(sessions.calendar(name).days) for name in ("XNYS", "CMES", "24/5", "24/7")}
    assert bench.sql(
        "SELECT count(*) FROM market_sessions WHERE date IN ('2012-10-29', '2018-12-05') AND calendar = 'XNYS'"
    ).fetchall() == [(0,)]


def test_the_calendar_is_made_once_a_year(bench: Workbench, monkeypatch: pytest.MonkeyPatch) -> None:
    bench.sql("FROM market_sessions").fetchall()
    with bench.catalog._con.cursor() as own:
        own.execute("DELETE FROM workbench_log.sessions WHERE calendar <> 'XNYS'")

    assert bench.sql("SELECT DISTINCT calendar FROM market_sessions").fetchall() == [("XNYS",)]
    year = sessions.today().year
    known = parts.of_calendars(year + 1)
    monkeypatch.setattr(parts, "of_calendars", lambda last_year: known if last_year == year + 2 else None)
    monkeypatch.setattr(sessions, "today", lambda: date(year + 1, 1, 1))
    assert len(bench.sql("SELECT DISTINCT calendar FROM market_sessions").fetchall()) == 4


DAYS = [date(2024, 3, 8), date(2024, 3, 11), date(2024, 7, 3), date(2024, 11, 29), date(2024, 3, 29), date(2024, 3, 10)]


def test_sql_tells_the_part_and_the_start_of_any_minute(bench: Workbench) -> None:
    minutes = [(day, plainbars.edges(day)[0] + timedelta(minutes=n)) for day in DAYS for n in range(-240, 1200, 7)]
    asked = pl.DataFrame(minutes, {"date": pl.Date, "timestamp": pl.Datetime("us", "UTC")}, orient="row")

    sizes = ", ".join(f"bar_start(timestamp, date, '{size}')" for size in plainbars.SIZES)
    got = bench.sql(f"SELECT date, timestamp, session_part(timestamp, date), {sizes} FROM asked ORDER BY ALL").fetchall()

    assert len(asked) == len(got)
    for day, at, part, *starts in got:
        told = [name for name in ("pre", "regular", "post") for since, until in plainbars.spans(day, name) if since <= at < until]
        assert part == (told[0] if told else None)
        assert starts == [plainbars.begin(at.astimezone(UTC), day, size) for size in plainbars.SIZES]


def test_what_is_given_may_have_any_name(bench: Workbench) -> None:
    # The macros look a session up, in a table with these columns of its own.
    query = """SELECT session_part(open, date), bar_start(open, date, '1h'), bar_start(open, date, '1w'), session_edges(date).close = close
        FROM market_sessions WHERE calendar = 'XNYS' AND date IN ('2024-07-02', '2024-07-03') ORDER BY date"""
    got = bench.sql(query).fetchall()

    assert [one[0] for one in got] == ["regular", "regular"]
    assert [one[1] for one in got] == [plainbars.edges(day)[1] for day in (date(2024, 7, 2), date(2024, 7, 3))]
    assert {one[2] for one in got} == {plainbars.midnight(date(2024, 7, 1))}
    assert [one[3] for one in got] == [True, True]


@pytest.mark.parametrize(
    ("ticker", "part", "says"),
    [
        ("AAA", "evening", "no part 'evening'.*all, pre, regular, post"),
        ("O:AAPL240119C00150000", "pre", "option_minute has no pre-market"),
        ("X:BTC-USD", "post", "crypto_minute has no post-market"),
    ],
)
def test_a_part_that_there_is_not_is_refused(tmp_path: Path, ticker: str, part: str, says: str) -> None:
    with Workbench(Settings(data=str(tmp_path))) as bench, pytest.raises(UsageError, match=rf"{says}"):
        bench.bars([ticker, "AAA"], session=part)
