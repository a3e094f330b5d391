"""The calendar: sessions, special closures, and when a file is due."""

from datetime import UTC, date, datetime

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
