"""What corporate actions do to prices, told: factors, and why an action does nothing."""

from collections.abc import Iterator
from typing import Any

import pytest
from reallake import landed
from reallake import real as real_files
from told import Row, Told, bar, day, dividend, listing, spell, split

from workbench.bench import Workbench
from workbench.query import actions

BARS = [bar("A", n, 100.0) for n in range(6)]
LATE = day(40)


def reported(told: Told, *columns: str, ticker: str = "A") -> list[tuple[object, ...]]:
    """Oldest first: a report has the newest first, of a day the split."""
    rows = sorted(actions.report(told.sql, [ticker], LATE), key=lambda row: row["date"])
    return [tuple(row[name] for name in columns) for row in rows]


def test_each_action_is_told_with_what_it_does() -> None:
    splits = [split("A", 2, 1, 7, verdict="agrees: raw closes"), split("A", 5, 20, 1), split("A", 4, 1, 1.0027)]
    with Told(stock_day=BARS, splits=splits, dividends=[dividend("A", 2, 0.47), dividend("A", 3, 5, None)]) as told:
        columns = ("date", "kind", "told", "price_factor", "volume_factor", "applies", "reason", "verdict")
        assert reported(told, *columns) == [
            (day(2), "split", "7 for 1", 1 / 7, 7, True, None, "agrees: raw closes"),
            # 100 before the split are 100 / 7 of the shares that are paid.
            (day(2), "dividend", "0.47 USD", pytest.approx(1 - 0.47 / (100 / 7)), 1, True, None, None),
            (day(3), "dividend", "5 USD", 0.95, 1, True, None, None),
            (day(4), "split", "1.0027 for 1", 1 / 1.0027, 1.0027, True, None, None),
            (day(5), "split", "1 for 20", 20, 0.05, True, None, None),
        ]


@pytest.mark.parametrize(
    ("table", "row", "reason"),
    [
        ("splits", split("A", 3, 0, 2), "its ratio is not above zero"),
        ("splits", split("A", 3, 2, 0), "its ratio is not above zero"),
        ("splits", split("A", 3, 1, 2, duplicate_of=day(4)), "it is the split of 2024-01-05, told twice"),
        ("dividends", dividend("A", 3, 1, "CAD"), "it is paid in CAD, and prices are in USD"),
        ("dividends", dividend("A", 3, 0), "its amount is not above zero"),
        ("dividends", dividend("A", 3, -1), "its amount is not above zero"),
        ("dividends", dividend("A", 3, 100), "the payments of its date, 100 USD, are no less than the close before, 100"),
        ("dividends", dividend("A", 0, 1), "no close of the 10 days before it is in stock_day"),
        ("dividends", dividend("A", 16, 1), "no close of the 10 days before it is in stock_day"),
    ],
)
def test_what_does_nothing_says_why(table: str, row: Row, reason: str) -> None:
    tables: dict[str, Any] = {"stock_day": BARS, table: [row]}
    with Told(**tables) as told:
        assert reported(told, "price_factor", "volume_factor", "applies", "reason") == [(1, 1, False, reason)]


def test_the_payments_of_a_day_multiply_to_what_they_do_together() -> None:
    paid = [dividend("A", 3, 2), dividend("A", 3, 3), dividend("A", 3, 4, "CAD")]
    with Told(stock_day=BARS, dividends=paid) as told:
        rows = reported(told, "told", "price_factor", "applies")
    assert [(name, applies) for name, _, applies in rows] == [("2 USD", True), ("3 USD", True), ("4 CAD", False)]
    product = 1.0
    for _, factor, _ in rows:
        assert isinstance(factor, float)
        product *= factor
    assert product == pytest.approx(0.95)


def test_a_split_that_the_closes_contradict_is_applied_and_told() -> None:
    with Told(stock_day=BARS, splits=[split("A", 3, 1, 2, verdict="disagrees: raw closes 100 to 100")]) as told:
        report = actions.report(told.sql, ["A"], LATE)
    assert report.rows[0]["applies"]
    assert report.facts["notes"] == [f"the closes contradict A's split of {day(3)}, 2 for 1; it is applied all the same"]
    assert report.facts["notes"][0] in report.title


def test_an_action_says_from_when_on_the_ticker_is_its_companys() -> None:
    changes = [spell("Z", "A", None, 1), spell("B", "A", 2, None)]
    with Told(stock_day=BARS, splits=[split("A", 1, 1, 2), split("A", 4, 1, 2)], ticker_changes=changes) as told:
        assert reported(told, "date", "since") == [(day(1), None), (day(4), day(2))]
    rows = [listing("A", 2, figi="F1"), listing("A", None, figi="F2")]
    with Told(stock_day=BARS, dividends=[dividend("A", 4, 1)], tickers=rows) as told:
        assert reported(told, "since", "applies") == [(day(3), True)]


def test_a_ticker_without_actions_is_named_and_bars_are_not_needed() -> None:
    with Told(splits=[split("GONE", 3, 1, 2)], dividends=[dividend("GONE", 4, 1)]) as told:
        report = actions.report(told.sql, ["NOPE", "GONE", "NOPE"], LATE)
        assert [(row["ticker"], row["applies"]) for row in report] == [("GONE", False), ("GONE", True)]
        assert report.facts["notes"] == [f"of NOPE no split and no dividend up to {LATE} is in the lake"]
        assert actions.report(told.sql, [], LATE).rows == []


def test_only_what_was_by_the_day_is_told() -> None:
    with Told(splits=[split("A", 3, 1, 2), split("A", 4, 1, 2)]) as told:
        assert [row["date"] for row in actions.report(told.sql, ["A"], day(3))] == [day(3)]
        assert told.ask("SELECT date FROM corporate_actions('A', as_of_date := $a)", a=str(day(3))) == [(day(3),)]


# ---------------------------------------------------------------------- whole lakes


@pytest.fixture(scope="module")
def real(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Workbench]:
    with landed(
        tmp_path_factory.mktemp("real"), ["stock_day"], "2014-02-01", "2014-06-30", ["splits", "dividends", "ticker_changes"]
    ) as bench:
        yield bench


@real_files
@pytest.mark.shared
def test_apples_actions(real: Workbench) -> None:
    rows = [row for row in real.actions("AAPL", as_of="2014-12-31") if row["date"].year == 2014]
    assert [(str(row["date"]), row["told"], row["applies"]) for row in rows] == [
        # The closes end before it.
        ("2014-11-06", "0.47 USD", False),
        ("2014-08-07", "0.47 USD", False),
        ("2014-06-09", "7 for 1", True),
        ("2014-05-08", "3.29 USD", True),
        ("2014-02-06", "3.05 USD", True),
    ]
    assert rows[2]["verdict"].startswith("agrees: raw closes 645.57 to 93.7")
    assert rows[3]["price_factor"] == pytest.approx(1 - 3.29 / 592.33, abs=1e-4)


@real_files
@pytest.mark.shared
def test_googles_class_split_is_judged_by_the_closes_under_its_old_symbol(real: Workbench) -> None:
    [row] = real.actions("GOOGL", as_of="2014-12-31")
    assert (row["told"], row["applies"]) == ("2 for 1", True)
    assert row["verdict"].startswith("agrees: raw closes 1135.1 to 571.5")
