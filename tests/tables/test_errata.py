"""Known wrong files: what acts can be recognised, and names a table and session that exist."""

from datetime import date

import exchange_calendars
import pytest

from workbench.tables import TABLES
from workbench.tables.errata import ERRATA, Erratum, for_file

every_erratum = pytest.mark.parametrize("erratum", ERRATA, ids=lambda e: f"{e.table} {e.day}")


@every_erratum
def test_an_erratum_names_a_session_of_a_table(erratum: Erratum) -> None:
    table = TABLES[erratum.table]
    assert erratum.day >= table.starts
    assert exchange_calendars.get_calendar(table.calendar, start=table.starts).is_session(erratum.day)


@every_erratum
def test_an_erratum_says_what_and_who_says_so(erratum: Erratum) -> None:
    assert erratum.symptom
    assert erratum.source.startswith("https://github.com/")


@every_erratum
def test_only_what_acts_on_a_file_declares_a_symptom_to_recognise(erratum: Erratum) -> None:
    assert (erratum.wrong is not None) == (erratum.action == "restamp")
    assert (erratum.within is not None) == bool(erratum.column) == (erratum.action == "quarantine")


@every_erratum
def test_a_wrong_stamp_is_outside_its_session(erratum: Erratum) -> None:
    if erratum.wrong is not None:
        begin, end = TABLES[erratum.table].session_ns(erratum.day)
        assert not begin <= erratum.wrong < end


@every_erratum
def test_a_symptom_is_about_a_column_of_the_vendor(erratum: Erratum) -> None:
    if erratum.within is not None:
        assert erratum.column in {column.name for column in TABLES[erratum.table].vendor}
        assert erratum.within[0] <= erratum.within[1]


def test_the_day_bars_of_2019_08_12_carry_the_next_midnight() -> None:
    [erratum] = for_file("stock_day", date(2019, 8, 12))
    assert (erratum.action, erratum.wrong) == ("restamp", 1565668800000000000)
    assert erratum.wrong == TABLES["stock_day"].session_ns(date(2019, 8, 13))[0]


def test_the_option_bars_of_2025_02_10_carry_a_stamp_of_1969() -> None:
    [erratum] = for_file("option_day", date(2025, 2, 10))
    assert (erratum.action, erratum.wrong) == ("restamp", -68400000000000)


def test_trade_sizes_of_two_days_are_recognised_by_their_range() -> None:
    for day in (date(2015, 1, 6), date(2015, 1, 7)):
        [erratum] = for_file("stock_trades", day)
        assert (erratum.action, erratum.column, erratum.within) == ("quarantine", "size", (33, 49))


def test_a_file_can_be_known_to_be_missing() -> None:
    [erratum] = for_file("option_trades", date(2018, 10, 12))
    assert erratum.action == "known missing"


def test_most_files_have_no_errata() -> None:
    assert for_file("stock_day", date(2019, 8, 13)) == ()
    assert for_file("stock_minute", date(2019, 8, 12)) == ()
