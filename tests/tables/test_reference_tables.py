"""What tables of reference data promise, checked against facts that are stated here."""

import pytest

from workbench.tables import REFERENCE, TABLES, Table, find

every_table = pytest.mark.parametrize("table", REFERENCE, ids=lambda table: table.name)

NAMES = "tickers ticker_changes splits dividends conditions exchanges fundamentals news_items economic_series calendar_events".split()  # noqa: SIM905


def test_the_ten_tables_are_declared() -> None:
    assert [table.name for table in REFERENCE] == NAMES
    assert set(NAMES) <= set(TABLES)


@every_table
def test_it_has_no_sessions_and_no_base_columns(table: Table) -> None:
    assert (table.kind, table.feeds, table.routed, table.rollup) == ("reference", (), False, "")
    assert table.columns == table.vendor
    assert not {"is_test", "timestamp"} & {c.name for c in table.columns}


@every_table
def test_it_says_where_a_row_came_from_and_where_the_table_is_known_from(table: Table) -> None:
    assert table["source"].required
    assert table.source


@every_table
def test_key_columns_exist(table: Table) -> None:
    assert table.key
    assert all(table[name] for name in table.key)


def test_codes_of_trades_and_quotes_are_apart_and_an_exchanges_id_is_not_its_key() -> None:
    assert "data_type" in find("conditions").key
    assert {"id", "mic"} < set(find("exchanges").key)


def test_a_symbol_that_was_reused_has_room_for_each_company() -> None:
    assert {"delisted", "composite_figi"} < set(find("tickers").key)


def test_series_and_reports_keep_what_each_source_and_each_revision_says() -> None:
    assert {"revision_date", "source"} < set(find("economic_series").key)
    assert "source" in find("fundamentals").key


def test_forecasts_are_never_told_and_the_rule_of_impact_is_stated() -> None:
    events = find("calendar_events")
    assert "NULL" in events["forecast"].doc
    assert (events["impact"].low, events["impact"].high) == (1, 4)
    assert "follows a rule" in events.doc
