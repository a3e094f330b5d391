"""The coverage panel, clicked without a browser: the calendar against the reports of gaps, cells and what mends them, fields and what is wrong with them."""

import base64
import re
from collections.abc import Callable, Iterator
from datetime import date, timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from xml.etree import ElementTree

import pytest
from flatfiles import FRI, MON, STOCK_DAY, THU, put
from held import GOOD, TUE, WED, lake

from workbench.bench import Workbench
from workbench.config import Settings
from workbench.errors import UsageError
from workbench.panels import CoveragePanel, RefreshPanel, heatmap
from workbench.panels.parts import STATIC_BYTES, image
from workbench.query.coverage import Line, Map

LAST = date(2024, 3, 12)


@pytest.fixture(scope="module")
def bench(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Workbench]:
    """A lake that no test changes."""
    with lake(tmp_path_factory.mktemp("coverage")) as bench:
        yield bench


@pytest.fixture
def panel(bench: Workbench) -> CoveragePanel:
    return CoveragePanel(bench, end=LAST)


class Filled:
    """A refresh panel that keeps what it is filled with."""

    def __init__(self) -> None:
        self.given: dict[str, Any] = {}

    def fill(self, **given: Any) -> None:
        self.given = given


# ---------------------------------------------------------------------- the calendar


def test_the_calendar_says_what_the_reports_of_gaps_say(bench: Workbench) -> None:
    found = bench.calendar()
    assert [line.name for line in found.lines] == ["stock_day", "stock_minute"]
    for line in found.lines:
        told = {row["session"]: row["state"] for row in bench.gaps(line.table, everything=True)}
        assert dict(line.states) == {day: state for day, state in told.items() if state != "closed"}
    [days, _] = found.lines
    assert [days.states[day] for day in (GOOD, TUE, WED, THU, FRI, MON)] == [
        "landed",
        "fallback only",
        "quarantined",
        "landed",
        "landed",
        "missing",
    ]
    assert "no source ever had anything" in found.notes[0]
    assert "option_day" in found.notes[0]


def test_what_landed_and_was_refused_anew_is_no_plain_session(
    made_once: Callable[[Callable[[Path], object], Path], None], tmp_path: Path
) -> None:
    made_once(lake, tmp_path / "own")
    files = tmp_path / "own" / "files"
    put(files, STOCK_DAY, FRI, b"no gzip either", raw=True)
    bench = Workbench(Settings.load(env={}, data=str(tmp_path / "own" / "lake"), source=f"folder:{files}"))
    bench.refresh(datasets=["stock_day"], start=FRI, end=FRI).run()
    [line] = bench.calendar("stock_day").lines
    assert line.states[FRI] == "quarantined"
    assert line.states[FRI] == bench.gaps("stock_day", FRI, FRI)[0]["state"]


def test_the_calendar_of_tickers_says_what_their_reports_say(bench: Workbench) -> None:
    found = bench.calendar("stock_day", end=LAST, tickers=["ACME", "BETA"])
    assert [line.name for line in found.lines] == ["ACME stock_day", "BETA stock_day"]
    beta = found.lines[1].states
    assert beta[THU] != "landed"
    assert beta[FRI] == "landed"
    for row in bench.gaps("stock_day", end=LAST, tickers="BETA", everything=True):
        assert beta[row["first"]] == beta[row["last"]] == row["state"]


def test_closed_days_are_no_columns(panel: CoveragePanel) -> None:
    assert panel.grid
    days = [column.first for column in panel.grid.columns]
    assert FRI in days
    assert MON in days
    assert FRI + timedelta(days=1) not in days


def test_the_legend_counts_every_session(panel: CoveragePanel) -> None:
    text = re.sub(r"<[^>]+>", "", panel.legend.value)
    assert "quarantined 1" in text
    assert "fallback only 1" in text
    assert "missing 2" in text
    assert "landed 5" in text


def test_what_a_screen_has_no_columns_for_is_told_by_week_and_its_worst_session() -> None:
    first = date(2020, 1, 6)
    states = {first + timedelta(days=n): "landed" for n in range(2000) if (first + timedelta(days=n)).weekday() < 5}
    states[date(2022, 5, 4)] = "missing"
    made = heatmap.grid(Map((Line("stock_day", states),), first, max(states)))
    assert made.size == "week"
    [bad] = [n for n, state in enumerate(made.states[0]) if state == "missing"]
    assert made.columns[bad].first == date(2022, 5, 2)
    assert made.told(0, bad) == "stock_day<br>2022-05-02 to 2022-05-06<br>4 landed, 1 missing"
    assert heatmap.grid(Map((Line("stock_day", states),), first, max(states)), most=100).size == "month"


def test_every_state_has_a_colour_of_its_own() -> None:
    from workbench.query import gaps, gaps_tickers

    said = {*gaps.PROBLEMS, *gaps.QUIET, *gaps_tickers.TICKER_PROBLEMS} - {"closed"}
    assert said <= heatmap.COLOURS.keys()
    assert len(set(heatmap.COLOURS.values())) == len(heatmap.COLOURS)


# ---------------------------------------------------------------------- a cell


def test_a_click_tells_why_and_repair_fills_the_refresh_panel(bench: Workbench) -> None:
    filled = Filled()
    panel = CoveragePanel(bench, filled, end=LAST)
    assert panel.grid
    at = [column.first for column in panel.grid.columns].index(WED)
    panel._clicked(SimpleNamespace(xs=[at], ys=[0]))

    assert "quarantined" in panel.detail.value
    assert "gzip" in panel.detail.value
    assert not panel.repair_button.disabled
    panel.repair_button.click()
    assert filled.given == {"datasets": ["stock_day"], "symbols": [], "start": WED, "end": WED, "source": None, "again": True}
    assert "look at its plan" in panel.message.value


def test_a_fallback_is_mended_from_the_better_source(bench: Workbench) -> None:
    filled = Filled()
    panel = CoveragePanel(bench, filled, end=LAST)
    panel.pick("stock_day", TUE)
    assert "polygon_api" in panel.detail.value
    panel.repair_button.click()
    assert filled.given["source"] == "polygon_s3"


def test_what_landed_has_nothing_to_mend(panel: CoveragePanel) -> None:
    panel.pick("stock_day", FRI)
    assert "landed" in panel.detail.value
    assert panel.repair_button.disabled
    panel.repair_button.click()
    with pytest.raises(UsageError, match="no gap that a refresh mends"):
        panel.repair()


def test_a_ticker_that_was_refused_is_asked_for_alone(bench: Workbench) -> None:
    filled = Filled()
    panel = CoveragePanel(bench, filled, tickers="BETA", start=GOOD, end=LAST)
    panel.pick("BETA stock_day", MON)
    panel.repair_button.click()
    assert (filled.given["start"], filled.given["end"], filled.given["datasets"]) == (MON, MON, ["stock_day"])


def test_without_a_refresh_panel_one_is_shown_below(panel: CoveragePanel) -> None:
    panel.pick("stock_day", MON)
    panel.repair_button.click()
    assert isinstance(panel.refresh_panel, RefreshPanel)
    assert panel.below.children == (panel.refresh_panel.view,)
    assert panel.refresh_panel.fields.datasets.value == ("stock_day",)
    assert panel.refresh_panel.fields.start.value == "2024-03-11"
    panel.close()


def test_a_cell_that_is_not_shown_is_said_not_to_be(panel: CoveragePanel) -> None:
    with pytest.raises(UsageError, match="not in the calendar that is shown"):
        panel.pick("stock_day", date(2020, 1, 2))


# ---------------------------------------------------------------------- fields


def test_a_span_is_chosen_by_year_or_range(bench: Workbench) -> None:
    panel = CoveragePanel(bench)
    assert {"2024", "2025", "2026"} <= set(panel.span.options)
    panel.span.value = "2024"
    assert (panel.start.value, panel.end.value) == ("2024-01-01", "2024-12-31")
    assert panel.grid
    assert panel.grid.columns[-1].first == date(2024, 12, 31)
    panel.span.value = "all there is"
    assert panel.grid.columns[-1].last > date(2026, 1, 1)
    assert "2025" in panel.span.options


@pytest.mark.parametrize(
    ("start", "end", "where", "said"),
    [
        ("2024-13-45", "", "say_start", "2024-13-45"),
        ("", "yesterday-ish", "say_end", "yesterday-ish"),
        ("2024-03-08", "2024-03-05", "say_start", "Turn the two dates round"),
        ("2999-01-01", "", "say_start", "in the future"),
    ],
)
def test_a_date_that_cannot_be_is_said_under_its_field(panel: CoveragePanel, start: str, end: str, where: str, said: str) -> None:
    shown = panel.grid
    panel._filling = True
    panel.start.value, panel.end.value = start, end
    panel._filling = False
    panel.reload()
    fields = panel.view.children[0].children
    under = {"say_start": fields[2], "say_end": fields[3]}[where].children[1]
    assert said in under.value
    assert under.layout.display == ""
    # What was shown before stays.
    assert panel.grid is shown

    panel.start.value = panel.end.value = ""
    assert under.value == ""


def test_an_unknown_ticker_is_said_under_its_field(panel: CoveragePanel) -> None:
    panel.tickers.value = "acme"
    under = panel.view.children[0].children[0].children[1]
    assert "acme has no rows of stock_day" in under.value
    assert "Case matters" in under.value
    panel.tickers.value = "ACME"
    assert under.value == ""
    assert panel.grid
    assert panel.grid.lines[0].name == "ACME stock_day"


def test_a_table_that_is_none_is_said(bench: Workbench) -> None:
    panel = CoveragePanel(bench, tables="stock_dya")
    assert "stock_dya" in panel.message.value
    assert "please report" not in panel.message.value


def test_an_empty_lake_says_so_and_shows_no_empty_chart(tmp_path: Path) -> None:
    bench = Workbench(Settings.load(env={}, data=str(tmp_path / "lake")))
    bench.lake.make()
    panel = CoveragePanel(bench)
    assert "holds no sessions yet" in panel.message.value
    assert panel.calendar.layout.display == "none"


# ---------------------------------------------------------------------- without a kernel


def test_without_a_kernel_the_calendar_is_a_drawing(panel: CoveragePanel) -> None:
    shown = panel._repr_mimebundle_()
    html = shown["text/html"]
    found = re.search(r'src="data:image/svg\+xml;base64,([^"]+)"', html)
    assert found
    svg = ElementTree.fromstring(base64.b64decode(found[1]))
    fills = {one.get("fill") for one in svg if one.tag.endswith("path")}
    assert heatmap.colour("missing") in fills
    assert heatmap.colour("quarantined") in fills
    assert {"stock_day", "stock_minute"} <= {one.text for one in svg}
    assert "quarantined 1" in shown["text/plain"]
    assert "<script" not in html


def test_a_drawing_of_the_worst_case_is_kept_in_bounds() -> None:
    days = [date(2021, 1, 4) + timedelta(days=n) for n in range(400)]
    names = list(heatmap.COLOURS)
    lines = tuple(Line(f"table_{y}", {day: names[(n + y) % len(names)] for n, day in enumerate(days)}) for y in range(21))
    svg = heatmap.drawing(heatmap.grid(Map(lines, days[0], days[-1])))
    assert len(image(svg, "")) < STATIC_BYTES - 10_000
