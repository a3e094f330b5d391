"""The calendar: sessions, special closures, and when a file is due."""

import subprocess
import sys
from collections.abc import Iterator
from datetime import UTC, date, datetime
from pathlib import Path

import pytest

from workbench import sessions
from workbench.errors import BadRange
from workbench.tables import TABLES, find

DAY = find("stock_day")


@pytest.mark.parametrize(
    ("day", "why"),
    [
        ("2024-03-09", "a Saturday"),
        ("2024-03-29", "Good Friday"),
        ("2007-01-02", "mourning for Ford"),
        ("2012-10-29", "Sandy"),
        ("2018-12-05", "mourning for Bush"),
        ("2025-01-09", "mourning for Carter"),
        ("2022-06-20", "Juneteenth"),
    ],
)
def test_closed_days_are_no_sessions(day: str, why: str) -> None:
    assert sessions.between(DAY, date.fromisoformat(day), date.fromisoformat(day)) == [], why


def test_a_year_has_its_sessions_and_history_its_beginning() -> None:
    assert len(sessions.between(DAY, date(2024, 1, 1), date(2024, 12, 31))) == 252
    assert sessions.between(DAY, date(2000, 1, 1), date(2003, 9, 10)) == [date(2003, 9, 10)]


@pytest.mark.parametrize("name", sorted(TABLES))
def test_every_table_has_a_calendar(name: str) -> None:
    assert sessions.between(find(name), date(2024, 3, 4), date(2024, 3, 8))


def test_crypto_never_closes() -> None:
    assert len(sessions.between(find("crypto_day"), date(2024, 3, 1), date(2024, 3, 31))) == 31


@pytest.mark.parametrize(
    ("now", "due"),
    [
        ("2024-03-08T15:59Z", "2024-03-06"),  # 10:59 in New York, winter
        ("2024-03-08T16:00Z", "2024-03-07"),
        ("2024-03-13T14:59Z", "2024-03-11"),  # 10:59 in New York, summer
        ("2024-03-13T15:00Z", "2024-03-12"),
    ],
)
def test_a_file_is_due_at_eleven_in_new_york_the_day_after(now: str, due: str) -> None:
    assert sessions.last_due(datetime.fromisoformat(now)) == date.fromisoformat(due)


def test_the_newest_sessions_are_counted_back_from_what_is_due() -> None:
    monday_noon = datetime(2024, 4, 1, 16, tzinfo=UTC)
    assert sessions.last_sessions(DAY, 2, monday_noon) == [date(2024, 3, 27), date(2024, 3, 28)]
    assert len(sessions.last_sessions(DAY, 2_000, monday_noon)) == 2_000
    with pytest.raises(BadRange, match="at least one"):
        sessions.last_sessions(DAY, 0)


@pytest.mark.parametrize(
    ("day", "why"),
    [
        ("2024-03-08", ""),
        ("2024-03-09", "Saturday"),
        ("2024-03-29", "Good Friday"),
        ("2012-10-30", "Hurricane Sandy"),
        ("2018-12-05", "National Day of Mourning"),
        ("2022-06-20", "Juneteenth National Independence Day"),
        ("2003-09-09", "before 2003-09-10, when stock_day begins"),
        ("2400-01-01", f"after {sessions.today().year + 1}-12-31, where the calendar ends"),
    ],
)
def test_a_day_without_a_session_says_why(day: str, why: str) -> None:
    assert sessions.why_closed(DAY, date.fromisoformat(day)) == why


def test_sessions_do_not_go_on_for_ever() -> None:
    assert len(sessions.between(DAY, date.min, date.max)) > 5_800


@pytest.mark.parametrize(
    ("day", "pre", "opens", "closes", "post", "early"),
    [
        ("2024-03-08", "09:00", "14:30", "21:00", "01:00", ""),  # New York is five hours behind, two days before summer time
        ("2024-03-11", "08:00", "13:30", "20:00", "00:00", ""),
        ("2024-11-29", "09:00", "14:30", "18:00", "22:00", "Black Friday"),
        ("2024-07-03", "08:00", "13:30", "17:00", "21:00", "Day before Independence Day"),
    ],
)
def test_the_hours_of_a_session(day: str, pre: str, opens: str, closes: str, post: str, early: str) -> None:
    found = sessions.hours(DAY, date.fromisoformat(day))

    assert found and found.pre and found.post
    instants = (found.pre[0], *found.regular, found.post[1])
    assert [f"{instant:%H:%M}" for instant in instants] == [pre, opens, closes, post]
    assert (found.pre[1], found.post[0]) == found.regular
    assert found.early_close == early


def test_a_closed_day_has_no_hours_and_others_than_stocks_no_extended_ones() -> None:
    assert sessions.hours(DAY, date(2024, 3, 29)) is None
    options, crypto = (sessions.hours(find(name), date(2024, 3, 8)) for name in ("option_day", "crypto_day"))
    assert options and options.pre is None and options.post is None
    assert crypto and crypto.regular == (datetime(2024, 3, 8, tzinfo=UTC), datetime(2024, 3, 9, tzinfo=UTC))


def test_holidays_are_closed_weekdays_and_early_closes_by_their_names() -> None:
    found = [(str(one.date), one.name, one.status) for one in sessions.holidays(date(2018, 11, 22), date(2018, 12, 25))]

    assert found == [
        ("2018-11-22", "Thanksgiving", "closed"),
        ("2018-11-23", "Black Friday", "early_close"),
        ("2018-12-05", "National Day of Mourning", "closed"),
        ("2018-12-24", "Christmas Eve", "early_close"),
        ("2018-12-25", "Christmas", "closed"),
    ]
    [eve] = sessions.holidays(date(2018, 12, 24), date(2018, 12, 24))
    assert (eve.open, eve.close) == (datetime(2018, 12, 24, 14, 30, tzinfo=UTC), datetime(2018, 12, 24, 18, tzinfo=UTC))


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """An empty cache folder, and nothing remembered."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    sessions.loaded.cache_clear()
    yield tmp_path / "workbench" / "calendars"
    sessions.loaded.cache_clear()


def fresh(name: str = "XNYS") -> sessions.Calendar:
    sessions.loaded.cache_clear()
    return sessions.calendar(name)


@pytest.mark.parametrize("name", ["XNYS", "CMES", "24/5"])
def test_a_calendar_is_kept_as_it_was_computed(home: Path, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    first = fresh(name)
    assert len(list(home.iterdir())) == 1
    monkeypatch.setattr(sessions, "computed", None)

    assert fresh(name) == first


@pytest.mark.parametrize("left", ["", "[]", "{}", "null", "[[1], [], [], {}, {}]", '[["a"], [1], [1], {}, {}]', "[[], [], [], {}, {}]"])
def test_a_kept_calendar_that_is_spoilt_is_computed_anew(home: Path, left: str) -> None:
    first = fresh()
    [kept] = home.iterdir()
    whole = kept.read_text()
    kept.write_text(left)

    assert fresh() == first
    assert kept.read_text() == whole


def test_a_home_that_cannot_be_written_costs_nothing_but_time(tmp_path: Path, home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))

    assert len(fresh().days) > 9_000
    assert not home.exists()


def test_planning_many_sessions_imports_no_calendar_library_twice(home: Path) -> None:
    code = "import sys; from datetime import date; from workbench import sessions; from workbench.tables import find\n"
    code += "print(len(sessions.between(find('stock_day'), date(2024, 1, 1), date(2024, 12, 31))), 'exchange_calendars' in sys.modules)"
    told = [subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split() for _ in range(2)]
    assert told == [["252", "True"], ["252", "False"]]
