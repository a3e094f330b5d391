"""Splits against raw closes, and the calendar that derives from splits, dividends and the exchange's days."""

import gzip
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from flatfiles import BAR, STOCK_DAY, bar, put, text

from workbench import sessions
from workbench.bench import Workbench
from workbench.config import Settings
from workbench.lake import calendar_events
from workbench.lake.reference import rows_of, update
from workbench.lake.reference_splits import NO_CLOSES, Split, resolve_splits, resolved
from workbench.lake.store import Lake
from workbench.sessions import Holiday
from workbench.sources.folder_reference import FolderReference
from workbench.sources.reference import Gathered, Row

FLATFILES = Path(__file__).resolve().parents[3] / "shared" / "flatfiles"
REAL = pytest.mark.skipif(not FLATFILES.is_dir(), reason="the real flat files are not beside the project")
NOW = datetime(2024, 7, 1, 14, tzinfo=UTC)
EARLY, LATE = date(2024, 6, 6), date(2024, 6, 13)


def split(day: date, *, ticker: str = "ACME", ratio: tuple[float, float] = (1, 10)) -> Row:
    return {"ticker": ticker, "execution_date": day, "split_from": ratio[0], "split_to": ratio[1]}


def landed(root: Path, closes: dict[date, float], ticker: str = "ACME") -> Lake:
    """A lake with a ticker's closes, and no others."""
    files = root / "files"
    for day, close in closes.items():
        put(files, STOCK_DAY, day, text([bar(ticker, day, close=close).replace(",10,", f",{close},", 1)], BAR))
    lines = {day: gzip.decompress((files / STOCK_DAY.key_of(STOCK_DAY.feeds[0], day)).read_bytes()) for day in closes}
    assert all(lines.values())
    with Workbench(Settings(data=str(root / "data"))) as bench:
        bench.refresh(source=f"folder:{files}", datasets=["stock_day"], maintain=False).run()
        return bench.lake


def prices(jumps_on: date | None, *, until: date = date(2024, 6, 28)) -> dict[date, float]:
    days = sessions.between(STOCK_DAY, date(2024, 6, 3), until)
    return {day: 65.0 if jumps_on and day >= jumps_on else 650.0 for day in days}


def told(lake: Lake) -> dict[date, tuple[date | None, str]]:
    rows = rows_of(lake, "splits").select("execution_date", "duplicate_of", "verdict").rows()
    return {day: (of, verdict) for day, of, verdict in rows}


def take(lake: Lake, *rows: Row) -> None:
    update(lake, Gathered("splits", "k", list(rows)), "polygon_api", now=NOW)


@pytest.mark.parametrize(("real", "twin"), [(LATE, EARLY), (EARLY, LATE)])
def test_of_two_equal_splits_the_one_that_the_closes_show_stays(tmp_path: Path, real: date, twin: date) -> None:
    lake = landed(tmp_path, prices(real))
    take(lake, split(EARLY), split(LATE))
    found = told(lake)
    assert found[real][0] is None
    assert found[real][1].startswith(f"agrees: raw closes 650 to 65, a ratio of 0.1 where 0.1 is told; {twin} tells of the same")
    assert found[twin][0] == real
    assert found[twin][1].startswith(f"duplicate of {real}")


def test_a_split_is_looked_at_again_when_closes_have_come(tmp_path: Path) -> None:
    lake = Lake(tmp_path / "data")
    take(lake, split(EARLY), split(LATE))
    assert told(lake)[EARLY] == (LATE, f"duplicate of {LATE}; {NO_CLOSES}")
    assert told(lake)[LATE][1] == f"{NO_CLOSES}; {EARLY} tells of the same; none of the dates shows a jump: the latest is taken"
    landed(tmp_path, prices(EARLY))
    # The refresh that brought the closes has looked at them.
    assert told(lake)[LATE][0] == EARLY
    assert told(lake)[EARLY][0] is None
    assert not resolve_splits(lake, now=NOW).committed


def test_a_refresh_of_splits_keeps_what_was_found_of_them(tmp_path: Path) -> None:
    lake = landed(tmp_path, prices(LATE))
    take(lake, split(EARLY), split(LATE))
    version = lake["splits"].snapshot().version
    take(lake, split(EARLY), split(LATE))
    assert lake["splits"].snapshot().version == version
    assert told(lake)[EARLY][0] == LATE


def closes(day: date, ratio: float, before: float | None, after: float | None, ticker: str = "A") -> Split:
    return Split(ticker, day, ratio, before, after)


@pytest.mark.parametrize(
    ("found", "duplicates"),
    [
        # Two real splits of the same ratio within a month.
        ([closes(EARLY, 2, 100, 50), closes(LATE, 2, 50, 25)], []),
        # Put off: the first date passed without a jump, the second is to come.
        ([closes(EARLY, 2, 100, 101), closes(LATE, 2, None, None)], [EARLY]),
        # Nothing is known of either: the later one is taken.
        ([closes(EARLY, 2, None, None), closes(LATE, 2, None, None)], [EARLY]),
        # Not the same ratio; not the same ticker; too far apart.
        ([closes(EARLY, 2, None, None), closes(LATE, 3, None, None)], []),
        ([closes(EARLY, 2, None, None), closes(LATE, 2, None, None, "B")], []),
        ([closes(EARLY, 2, None, None), closes(EARLY + timedelta(days=31), 2, None, None)], []),
        # Three of a kind, in steps of less than a month.
        ([closes(EARLY, 2, 100, 99), closes(LATE, 2, 98, 49), closes(LATE + timedelta(days=25), 2, 50, 51)], [EARLY, LATE + timedelta(days=25)]),
        # Reverse splits jump upwards.
        ([closes(EARLY, 0.1, 1, 1.02), closes(LATE, 0.1, 1, 9.8)], [EARLY]),
        # No jump can be seen of so little: one of the two, not both.
        ([closes(EARLY, 1.0027, 100, 100.1), closes(LATE, 1.0027, 100, 100.5)], [EARLY]),
    ],
)  # fmt: skip
def test_duplicates(found: list[Split], duplicates: list[date]) -> None:
    assert [one.day for one, (of, _) in resolved(found).items() if of] == duplicates


@pytest.mark.parametrize(
    ("one", "verdict"),
    [
        (closes(EARLY, 7, 645.57, 93.7), "agrees: raw closes 645.57 to 93.7, a ratio of 0.1451 where 0.1429 is told"),
        (closes(EARLY, 1.0027, 565.06, 555.37), "agrees: raw closes 565.06 to 555.37, a ratio of 0.9829 where 0.9973 is told"),
        (closes(EARLY, 2, 100, 101), "disagrees: raw closes 100 to 101, a ratio of 1.01 where 0.5 is told"),
        (closes(EARLY, 2, 100, 50 * 1.249), "agrees"),
        (closes(EARLY, 2, 100, 50 * 1.251), "disagrees"),
        (closes(EARLY, 2, 100, 50 / 1.251), "disagrees"),
        (closes(EARLY, 2, 100, None), NO_CLOSES),
        (closes(EARLY, 2, None, 50), NO_CLOSES),
    ],
)
def test_verdicts(one: Split, verdict: str) -> None:
    [(duplicate_of, found)] = resolved([one]).values()
    assert duplicate_of is None
    assert found.startswith(verdict)


def test_prices_that_are_adjusted_already_say_nothing(tmp_path: Path) -> None:
    import polars as pl

    from workbench.lake.reference_splits import closes as closes_around

    lake = landed(tmp_path, prices(LATE))
    wanted = pl.DataFrame({"ticker": ["ACME"], "execution_date": [LATE]})
    assert closes_around(lake, wanted).rows() == [("ACME", LATE, 650.0, 65.0)]
    for file in lake["stock_day"].snapshot().files:
        path = lake["stock_day"].folder / file.path
        pl.read_parquet(path, hive_partitioning=False).with_columns(source=pl.lit("yahoo")).write_parquet(path)
    assert closes_around(lake, wanted).rows() == []


def test_closes_too_far_from_the_date_say_nothing(tmp_path: Path) -> None:
    first, last, day = date(2024, 6, 3), date(2024, 6, 28), date(2024, 6, 14)
    lake = landed(tmp_path, {first: 650.0, last: 65.0})
    # Splits of another ticker have both files read.
    take(lake, split(day), split(first, ticker="OTHER"), split(last, ticker="OTHER"))
    assert told(lake)[day] == (None, NO_CLOSES)


def test_closes_under_the_symbol_of_then_are_a_splits_too(tmp_path: Path) -> None:
    days = prices(LATE)
    lake = landed(tmp_path, {day: close for day, close in days.items() if day < LATE}, "OLD")
    lake = landed(tmp_path, {day: close for day, close in days.items() if day >= LATE})
    take(lake, split(LATE))
    assert told(lake)[LATE] == (None, NO_CLOSES)
    spells: list[Row] = [{"asset": "ACME", "ticker": "OLD", "last_date": LATE - timedelta(days=1)}, {"asset": "ACME", "ticker": "ACME"}]
    update(lake, Gathered("ticker_changes", "k", [*spells, {"asset": "NEW", "ticker": "OLD", "first_date": LATE}]), "polygon_api", now=NOW)

    # News of symbols is reason enough to look again.
    assert [one.table for one in calendar_events.follow(lake, ["ticker_changes"], now=NOW) if one.committed][:1] == ["splits"]

    assert told(lake)[LATE][1].startswith("agrees: raw closes 650 to 65")
    assert not resolve_splits(lake, now=NOW).committed


def test_another_companys_closes_say_nothing_of_a_split(tmp_path: Path) -> None:
    lake = landed(tmp_path, prices(LATE))
    spells: list[Row] = [
        {"asset": "GONE", "ticker": "ACME", "last_date": LATE - timedelta(days=1)},
        {"asset": "ACME", "ticker": "ACME", "first_date": LATE},
    ]
    update(lake, Gathered("ticker_changes", "k", spells), "polygon_api", now=NOW)
    take(lake, split(LATE))
    assert told(lake)[LATE] == (None, NO_CLOSES)


@REAL
@pytest.mark.shared
def test_real_splits_against_real_closes(tmp_path: Path) -> None:
    with Workbench(Settings(data=str(tmp_path / "data"))) as bench:
        bench.refresh(
            source=f"folder:{FLATFILES}", datasets=["stock_day"], start=date(2014, 5, 1), end=date(2014, 7, 1), maintain=False
        ).run()
        lake, folder = bench.lake, FolderReference(FLATFILES)
        for dataset in ("splits", "dividends", "ticker_changes"):
            for gathered in folder.gather(dataset):
                done = update(lake, gathered, folder.name)
                assert done.quarantined == 0
                assert done.rows_new + done.repeated == done.rows_in
        [(verdict,)] = bench.sql("SELECT verdict FROM splits WHERE ticker = 'AAPL' AND execution_date = '2014-06-09'").fetchall()
        assert verdict.startswith("agrees: raw closes 645.57 to 93.7")
        # Without the closes it has no verdict, and its fraction is kept.
        assert bench.sql("SELECT split_to, verdict FROM splits WHERE ticker = 'GOOG'").fetchall() == [(1.0027, NO_CLOSES)]
        assert bench.sql("SELECT count(*) FROM splits WHERE duplicate_of IS NOT NULL").fetchall() == [(0,)]
        spells = bench.sql("SELECT ticker, first_date, last_date FROM ticker_changes WHERE asset = 'QQQ' ORDER BY 2 NULLS FIRST").fetchall()
        assert spells == [
            ("QQQ", None, date(2004, 11, 30)),
            ("QQQQ", date(2004, 12, 1), date(2011, 3, 22)),
            ("QQQ", date(2011, 3, 23), None),
        ]
        assert not bench.verify().rows


# ---------------------------------------------------------------------- the calendar


DIVIDEND: Row = {"ticker": "ACME", "ex_dividend_date": "2024-02-14", "cash_amount": 0.5, "currency": "USD", "dividend_type": "CD"}
DAYS = [
    Holiday(date(2024, 7, 4), "Independence Day", "closed"),
    Holiday(date(2024, 7, 3), "Independence Day", "early_close", NOW, datetime(2024, 7, 3, 17, tzinfo=UTC)),
]


def shown(lake: Lake, *columns: str) -> list[tuple[Any, ...]]:
    return rows_of(lake, "calendar_events").sort("id").select(columns).rows()


def test_events_derive_from_splits_dividends_and_the_exchanges_days(tmp_path: Path) -> None:
    lake = Lake(tmp_path / "data")
    take(lake, split(EARLY), split(LATE), split(LATE, ticker="RVRS", ratio=(10, 1)))
    special = {**DIVIDEND, "ex_dividend_date": "2024-05-15", "cash_amount": 2.25, "dividend_type": "SC"}
    update(lake, Gathered("dividends", "k", [DIVIDEND, special]), "polygon_api", now=NOW)

    done = calendar_events.derive(lake, now=NOW, holidays=DAYS)

    assert (done.rows_in, done.rows_new, done.committed) == (6, 6, True)
    assert shown(lake, "id", "impact", "name", "actual", "previous") == [
        ("dividend:ACME:2024-02-14:0.5", 1, "ACME goes ex dividend, 0.5 USD", 0.5, None),
        ("dividend:ACME:2024-05-15:2.25", 2, "ACME goes ex dividend, 2.25 USD", 2.25, 0.5),
        ("early_close:2024-07-03", 3, "Independence Day: market closes early", None, None),
        ("holiday:2024-07-04", 4, "Independence Day: market closed", None, None),
        (f"split:ACME:{LATE}", 2, "ACME splits, 10 for 1", 10.0, None),
        (f"split:RVRS:{LATE}", 2, "RVRS splits in reverse, 1 for 10", 0.1, None),
    ]
    assert {forecast for (forecast,) in shown(lake, "forecast")} == {None}
    at = dict(shown(lake, "id", "event_at"))
    assert at["early_close:2024-07-03"] == datetime(2024, 7, 3, 17, tzinfo=UTC)
    assert at["holiday:2024-07-04"] == datetime(2024, 7, 4, 4, tzinfo=UTC)
    assert not calendar_events.derive(lake, now=NOW + timedelta(days=1), holidays=DAYS).committed


def test_an_event_whose_split_moved_goes_and_a_sources_own_events_stay(tmp_path: Path) -> None:
    lake = Lake(tmp_path / "data")
    take(lake, {**split(EARLY), "id": "E1"})
    calendar_events.derive(lake, now=NOW, holidays=[])
    ipo = {"id": "ipo:NEW:2024-06-06", "event_type": "ipo", "date": "2024-06-06", "event_at": NOW, "name": "New is listed", "impact": 2}
    closed = {**ipo, "id": "holiday:2024-07-04", "event_type": "holiday", "impact": 4}
    update(lake, Gathered("calendar_events", "k", [ipo, closed]), "polygon_api", now=NOW)
    take(lake, {**split(LATE), "id": "E1"})
    done = calendar_events.derive(lake, now=NOW, holidays=DAYS)
    assert (done.rows_new, done.replaced, done.weaker) == (2, 1, 1)
    assert shown(lake, "id", "source") == [
        ("early_close:2024-07-03", "calendar"),
        ("holiday:2024-07-04", "polygon_api"),
        ("ipo:NEW:2024-06-06", "polygon_api"),
        (f"split:ACME:{LATE}", "calendar"),
    ]


def test_the_exchanges_own_calendar_is_asked(tmp_path: Path) -> None:
    lake = Lake(tmp_path / "data")
    calendar_events.derive(lake, now=NOW)
    kinds = dict(shown(lake, "id", "name"))
    assert kinds["holiday:2012-10-29"].startswith("Hurricane Sandy")
    assert "early_close:2023-11-24" in kinds
    assert max(day for (day,) in shown(lake, "date")) > NOW.date()


def test_an_empty_lake_without_days_gets_no_table(tmp_path: Path) -> None:
    lake = Lake(tmp_path / "data")
    assert not calendar_events.derive(lake, now=NOW, holidays=[]).committed
    assert not lake["calendar_events"].exists


def test_what_derives_follows_what_was_refreshed(tmp_path: Path) -> None:
    lake = Lake(tmp_path / "data")
    assert calendar_events.follow(lake, ["stock_day"], now=NOW) == []
    take(lake, split(EARLY), split(LATE))
    assert [one.table for one in calendar_events.follow(lake, ["splits"], now=NOW) if one.committed] == ["calendar_events"]
    assert [name for (name,) in shown(lake, "id") if name.startswith("split:")] == [f"split:ACME:{LATE}"]
    # A refresh of bars ends with it.
    landed(tmp_path, prices(EARLY))
    assert [name for (name,) in shown(lake, "id") if name.startswith("split:")] == [f"split:ACME:{EARLY}"]
    assert [one.table for one in calendar_events.follow(lake, ["stock_day"], now=NOW)] == ["splits"]
    assert not any(one.committed for one in calendar_events.follow(lake, ["dividends"]))
    assert calendar_events.follow(lake, ["news_items"], now=NOW) == []
