"""The chart, by its fields, its buttons, and what a page tells of a hand on it; without a browser."""

import asyncio
import base64
import re
import threading
from datetime import date
from html import unescape
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest

from workbench import sessions
from workbench.bench import Workbench
from workbench.config import Settings
from workbench.lake.reference import update
from workbench.panels import ChartPanel
from workbench.panels.chart import said_of
from workbench.panels.chart_axis import LABELS, Axis
from workbench.panels.chart_svg import CANDLES
from workbench.query import candles
from workbench.sources import sample
from workbench.sources.reference import Gathered
from workbench.tables import find

TICKERS = ["AAPL", "MSFT", "NVDA"]
DAYS = sessions.between(find("stock_day"), date(2026, 4, 1), date(2026, 7, 10))
MINUTES, TICKS = DAYS[-6:], DAYS[-1]
SPLIT = date(2026, 6, 10)
CRYPTO = [date(2026, 7, 4), date(2026, 7, 5)]


def made(home: Path) -> None:
    """A lake of a hundred days, minutes of the last week, trades and quotes of its last session, and crypto over a weekend."""
    for name, days in (("stock_day", DAYS), ("stock_minute", MINUTES), ("stock_trades", [TICKS]), ("stock_quotes", [TICKS])):
        for day in days:
            sample.write(
                home / "files",
                find(name),
                day,
                tickers=TICKERS,
                rows=90_000 if day is TICKS and "minute" not in name and "day" not in name else None,
            )
    for day in CRYPTO:
        sample.write(home / "files", find("crypto_minute"), day, tickers=["X:BTCUSD", "X:ETHUSD"])
    bench = Workbench(Settings.load(env={}, data=str(home / "lake"), source=f"folder:{home / 'files'}"))
    bench.refresh(
        start=DAYS[0], end=DAYS[-1], datasets=["stock_day", "stock_minute", "stock_trades", "stock_quotes", "crypto_minute"]
    ).run()
    split = {"ticker": "NVDA", "execution_date": SPLIT.isoformat(), "split_from": 1, "split_to": 4}
    paid = {"ticker": "NVDA", "ex_dividend_date": "2026-05-12", "cash_amount": 0.5, "currency": "USD"}
    for name, row in (("splits", split), ("dividends", paid)):
        update(bench.lake, Gathered(name, "k", [row]), "polygon_api")
    bench.close()


@pytest.fixture(scope="module")
def bench(tmp_path_factory: pytest.TempPathFactory) -> Workbench:
    """Read only."""
    home = tmp_path_factory.mktemp("chart")
    made(home)
    return Workbench(Settings.load(env={}, data=str(home / "lake")))


def said(panel: ChartPanel) -> str:
    """All that a panel says is wrong."""
    return " ".join(
        re.sub("<[^>]+>", "", one.value) for one in (panel.message, *said_of(panel._upper), *said_of(panel._lower)) if one.value
    )


def under(entry: Any, panel: ChartPanel) -> str:
    """What is said under a field."""
    for box in (*panel._upper.children, *panel._lower.children):
        held = getattr(box, "children", ())
        if held and (held[0] is entry or entry in getattr(held[0], "children", ())):
            return unescape(re.sub("<[^>]+>", "", held[1].value))
    raise AssertionError("no field")


def moved(panel: ChartPanel, x0: float, x1: float) -> None:
    """What a page tells when a hand moves the chart."""
    panel.figure._js2py_relayout = {"relayout_data": {"xaxis.range[0]": x0, "xaxis.range[1]": x1}, "source_view_id": "v"}


def clicked(panel: ChartPanel, nth: int) -> None:
    """What a page tells when a candle is clicked."""
    points = {"trace_indexes": [0], "point_indexes": [nth], "xs": [0.0], "ys": [0.0]}
    panel.figure._js2py_pointsCallback = {"event_type": "plotly_click", "points": points, "device_state": None, "selector": None}


def size(panel: ChartPanel) -> str:
    assert panel._look
    return panel._look.wanted.size


def nth_in_sight(panel: ChartPanel) -> int:
    """A candle in the middle of what is in sight, by its number among those that were sent."""
    assert panel._look
    view = panel._look.view
    middle = (view.x0 + view.x1) / 2
    return int(abs(view.candles.middle - middle).argmin())


def same(panel: ChartPanel) -> int:
    """What `sql` gives is what `data()` gives; how many candles."""
    rows = panel.data()
    found = panel.bench.sql(panel.sql).pl()
    assert found["timestamp"].to_list() == rows["timestamp"].to_list()
    for name in ("open", "high", "low", "close", "volume"):
        assert found[name].to_list() == pytest.approx(rows[name].to_list(), rel=1e-9)
    return len(rows)


# ---------------------------------------------------------------------- draw


def test_a_chart_has_the_candles_of_its_sessions_with_volume(bench: Workbench) -> None:
    panel = ChartPanel(bench, "MSFT", freq="1d", adjusted="splits", start="2026-06-01", end="2026-06-30")
    rows = bench.bars("MSFT", "2026-06-01", "2026-06-30")

    assert said(panel) == ""
    assert panel.data().equals(rows)
    shown, bars, _ = panel.figure.data
    inside = [n for n, x in enumerate(shown.x) if panel.figure.layout.xaxis.range[0] < x < panel.figure.layout.xaxis.range[1]]
    assert [shown.close[n] for n in inside] == rows["close"].to_list()
    assert [bars.y[n] for n in inside] == rows["volume"].to_list()
    assert [b - a for a, b in zip(shown.x[:-1], shown.x[1:], strict=True)] == [1.0] * (len(shown.x) - 1)
    assert "MSFT, 1d · 21 candles of stock_day · 2026-06-01 to 2026-06-30 · adjusted for splits" in panel.told.value
    assert (panel.start.value, panel.end.value) == (date(2026, 6, 1), date(2026, 6, 30))
    assert same(panel) == 21


def test_no_more_candles_are_sent_than_there_are_pixels(bench: Workbench) -> None:
    for freq in ("auto", "1m", "1d"):
        panel = ChartPanel(bench, "AAPL", freq)
        for button in panel.spans.values():
            button.click()
            assert len(panel.figure.data[0].x) <= 2 * candles.MOST
    panel = ChartPanel(bench, "AAPL", "1m", start=MINUTES[0])
    assert size(panel) == "15m"
    assert "candles of 1m would be about 5,760, more than there are pixels" in panel.told.value


def test_who_comes_nearer_gets_shorter_candles_down_to_minutes(bench: Workbench) -> None:
    panel = ChartPanel(bench, "AAPL")
    assert size(panel) == "1d"
    end, sizes = panel._window[1], []
    for width in (5.0, 2.0, 1.0, 0.3):
        moved(panel, end - width, end)
        sizes.append(size(panel))
        assert same(panel)
    assert sizes == ["15m", "5m", "5m", "1m"]
    panel.farther.click()
    assert size(panel) == "5m"
    panel.spans["all"].click()
    assert (size(panel), panel.start.value, panel.end.value) == ("1d", DAYS[0], DAYS[-1])


def test_moving_keeps_the_width_and_ends_where_bars_end(bench: Workbench) -> None:
    panel = ChartPanel(bench, "AAPL", "1d", start="2026-05-01", end="2026-05-29")
    width = panel._window[1] - panel._window[0]
    panel.forward.click()
    assert panel._window[1] - panel._window[0] == pytest.approx(width)
    assert panel.start.value == date(2026, 5, 15)
    for _ in range(20):
        panel.forward.click()
    assert len(panel.data()), "so far off that nothing is in sight"
    moved(panel, -1e6, 1e6)
    assert panel.start.value <= DAYS[0]
    assert panel._window[1] - panel._window[0] < len(DAYS) * 1.2


def test_nights_weekends_holidays_and_early_closes_take_no_room(bench: Workbench) -> None:
    axis = Axis(find("stock_minute"), "all", "America/New_York")
    rows = bench.bars("AAPL", MINUTES[0], MINUTES[-1], freq="1m")
    since, until = axis.spans(rows, "1m")
    # A bar ends where the next begins, over night, too; but for the few minutes in which nothing was traded.
    gaps = since[1:] - until[:-1]
    assert abs(gaps).max() < 3 / 960
    assert (abs(gaps) < 1e-6).mean() > 0.99
    nights = [n for n, (a, b) in enumerate(zip(rows["date"][:-1], rows["date"][1:], strict=True)) if a != b]
    assert len(nights) == len(MINUTES) - 1
    early = Axis(find("stock_minute"), "regular", "America/New_York")
    place = early.of_day(date(2024, 7, 3))
    assert early.minutes(place) == 210
    assert early.minutes(place + 1) == 390
    assert early.session(place + 1) == date(2024, 7, 5)


@pytest.mark.parametrize("day", [date(2026, 3, 6), date(2026, 3, 9), date(2026, 10, 30), date(2026, 11, 2), date(2024, 7, 3)])
def test_a_place_is_an_instant_and_back_on_either_side_of_a_change_of_clocks(day: date) -> None:
    for part, first, last in (("all", "04:00", "17:00" if day == date(2024, 7, 3) else "20:00"), ("regular", "09:30", "")):
        axis = Axis(find("stock_minute"), part, "America/New_York")
        x = float(axis.of_day(day))
        assert axis.session(x) == axis.session(x + 0.999) == day
        assert f"{axis.instant(x):%H:%M}" == first
        assert not last or f"{axis.instant(x + 1 - 1e-9):%H:%M}" == last or f"{axis.instant(x + 0.999999):%H:%M}" < last
        when = axis.instant(x + 0.25)
        number = (day - date(1970, 1, 1)).days
        import numpy as np

        assert axis.of_instants(np.array([int(when.timestamp() * 1e6)]), np.array([number]))[0] == pytest.approx(x + 0.25, abs=1e-6)


@pytest.mark.parametrize("sessions_in_sight", [0.05, 0.4, 1, 2.5, 5, 9, 12, 40, 120, 300, 1300, 5000])
def test_labels_are_few_in_order_and_tell_the_year_once(sessions_in_sight: float) -> None:
    axis = Axis(find("stock_minute"), "all", "America/New_York")
    end = float(axis.of_day(date(2026, 7, 10)) + 1)
    ticks = axis.ticks(end - sessions_in_sight, end)
    assert 1 <= len(ticks) <= LABELS + 2
    places = [one.x for one in ticks]
    assert places == sorted(set(places))
    assert all(end - sessions_in_sight - 1e-6 <= x <= end for x in places)
    assert "20" in ticks[0].text


def test_before_the_opening_and_after_the_close_is_shaded_where_there_is_room(bench: Workbench) -> None:
    panel = ChartPanel(bench, "AAPL", start=MINUTES[0])
    shapes = panel.figure.layout.shapes
    assert len(shapes) == 2 * len(MINUTES)
    opening = panel._scene.axis.instant(shapes[0].x1)  # type: ignore[union-attr]
    assert f"{opening:%H:%M}" == "09:30"
    panel.session.value = "regular"
    assert panel.figure.layout.shapes == ()
    assert {at.strftime("%H:%M") for at in panel.data()["timestamp"]} >= {"09:30"}
    assert min(at.strftime("%H:%M") for at in panel.data()["timestamp"]) == "09:30"
    panel.session.value = "all"
    panel.spans["all"].click()
    assert panel.figure.layout.shapes == ()


def test_splits_and_dividends_are_marked_and_prices_adjusted_as_asked(bench: Workbench) -> None:
    panel = ChartPanel(bench, "NVDA", "1d")
    marks = panel.figure.data[2]
    assert list(marks.text) == ["S", "D"]
    assert "4 for 1" in marks.hovertext[0]
    assert "earlier prices × 0.25" in marks.hovertext[0]
    assert marks.x[0] == panel._scene.axis.of_day(SPLIT) + 0.5  # type: ignore[union-attr]
    adjusted = panel.data()["close"][0]
    panel.adjusted.value = "none"
    assert panel.data()["close"][0] == pytest.approx(4 * adjusted)
    assert "as traded" in panel.told.value
    panel.adjusted.value = "all"
    assert panel.data()["close"][0] < adjusted
    before = ChartPanel(bench, "NVDA", "1d", as_of="2026-06-09")
    assert list(before.figure.data[2].text) == ["D"]
    assert before.data()["date"].max() == date(2026, 6, 9)


def test_crypto_trades_on_weekends_and_has_no_shades(bench: Workbench) -> None:
    panel = ChartPanel(bench, "X:BTCUSD")
    assert said(panel) == ""
    assert panel.data()["date"].unique().sort().to_list() == CRYPTO
    assert panel.figure.layout.shapes == ()
    other = ChartPanel(bench, "ETHUSD", table="crypto_minute")
    assert "X:ETHUSD" in other.told.value
    panel.session.value = "pre"
    assert "only stocks have" in under(panel.session, panel)


# ---------------------------------------------------------------------- a moment


def test_a_click_goes_into_a_candle_and_a_minute_shows_its_trades_and_quotes(bench: Workbench) -> None:
    panel = ChartPanel(bench, "AAPL", "1d")
    clicked(panel, len(panel.figure.data[0].x) - 1)
    assert (panel.start.value, panel.end.value, panel.freq.value, size(panel)) == (TICKS, TICKS, "auto", "5m")
    clicked(panel, nth_in_sight(panel))
    assert size(panel) == "1m"
    clicked(panel, nth_in_sight(panel))
    moment = panel.moment.moment
    assert moment
    assert panel.moment.view.layout.display == ""
    expected = bench.trades("AAPL", TICKS)
    expected = expected.filter(expected["timestamp"].is_between(moment.since, moment.since.replace(second=59, microsecond=999_999)))
    assert len(expected) > 3
    assert moment.trades["price"].to_list() == expected["price"].to_list()
    whole = bench.trades_with_quotes("AAPL", TICKS)
    whole = whole.filter(whole["timestamp"].is_between(moment.since, moment.since.replace(second=59, microsecond=999_999)))
    assert moment.trades["bid"].to_list() == whole["bid"].to_list()
    assert f"{len(expected):,} trades" in panel.moment.title.value
    assert "<td" in panel.moment.table.value
    assert len(panel.moment.figure.data[2].x) == len(expected)
    assert len(panel.moment.figure.data[0].x) > 1
    assert bench.sql(moment.sql).pl()["price"].to_list() == expected["price"].to_list()
    panel.moment.hide_button.click()
    assert panel.moment.view.layout.display == "none"


def test_a_minute_whose_ticks_are_not_landed_says_what_lands_them(bench: Workbench) -> None:
    panel = ChartPanel(bench, "AAPL", start=MINUTES[0], end=MINUTES[0])
    panel.nearer.click()
    panel.nearer.click()
    assert size(panel) == "1m"
    clicked(panel, nth_in_sight(panel))
    assert f"workbench refresh stock_trades --start {MINUTES[0]}" in panel.moment.title.value


def test_where_no_minutes_are_a_session_is_the_shortest(bench: Workbench) -> None:
    panel = ChartPanel(bench, "AAPL", "1d", start="2026-05-01", end="2026-05-08")
    clicked(panel, nth_in_sight(panel))
    assert size(panel) == "1d"
    days = ChartPanel(bench, "AAPL", "1d", table="stock_day")
    clicked(days, 3)
    assert "nothing shorter" in under(days.freq, days)


# ---------------------------------------------------------------------- bad input


def test_an_unknown_ticker_is_told_with_the_nearest_and_the_chart_stays(bench: Workbench) -> None:
    panel = ChartPanel(bench, "AAPL")
    shown = list(panel.figure.data[0].x)
    panel.ticker.value = "MSTF"
    panel.show_button.click()
    assert "stock_day and stock_minute hold no bars of MSTF" in under(panel.ticker, panel)
    assert "Did you mean MSFT" in under(panel.ticker, panel)
    assert "still shows AAPL" in under(panel.ticker, panel)
    assert list(panel.figure.data[0].x) == shown
    panel.ticker.value = "msft"
    panel.show_button.click()
    assert "Did you mean MSFT?" in under(panel.ticker, panel)
    panel.ticker.value = ""
    panel.show_button.click()
    assert "No ticker is named" in under(panel.ticker, panel)
    panel.ticker.value = "MSFT"
    panel.show_button.click()
    assert said(panel) == ""
    assert "MSFT" in panel.told.value


def test_a_table_that_holds_nothing_says_what_lands_it(bench: Workbench) -> None:
    panel = ChartPanel(bench, "I:SPX")
    assert "index_day and index_minute hold nothing yet. `workbench refresh index_day` lands it." in under(panel.ticker, panel)
    assert panel.static()
    with pytest.raises(Exception, match="no chart is drawn yet"):
        panel.data()


def test_dates_that_make_no_range_are_told_under_them_and_nothing_moves(bench: Workbench) -> None:
    panel = ChartPanel(bench, "AAPL", "1d", start="2026-05-01", end="2026-05-29")
    panel.end.value = date(2026, 4, 2)
    assert "2026-05-01 is after 2026-04-02. Turn the two dates round." in under(panel.start, panel)
    assert "2026-05-01 to 2026-05-29" in panel.told.value
    panel.start.value = date(2026, 4, 1)
    assert under(panel.start, panel) == ""
    assert panel.data()["date"].to_list() == [date(2026, 4, 1), date(2026, 4, 2)]
    for start, end, told in (("2026-05-02", "2026-05-01", "Turn the two dates round"), ("yesterday", None, "'yesterday' is not a date")):
        bad = ChartPanel(bench, "AAPL", start=start, end=end)
        assert told in under(bad.start, bad)
        assert len(bad.data())


def test_a_range_without_bars_says_where_there_are_some(bench: Workbench) -> None:
    panel = ChartPanel(bench, "AAPL", start="2020-01-02", end="2020-02-03")
    assert "no bars of AAPL from 2020-01-02 to 2020-02-03" in under(panel.start, panel)
    assert f"from {DAYS[0]} to {DAYS[-1]}" in under(panel.start, panel)
    panel.spans["all"].click()
    assert under(panel.start, panel) == ""
    assert len(panel.data()) == len(DAYS)


def test_candles_that_the_data_does_not_have_are_told_and_longer_ones_shown(bench: Workbench) -> None:
    panel = ChartPanel(bench, "AAPL", "5m", start="2026-05-01", end="2026-05-08")
    assert f"Minutes of AAPL are landed from {MINUTES[0]} to {MINUTES[-1]} only" in under(panel.freq, panel)
    assert size(panel) == "1d"
    days = ChartPanel(bench, "AAPL", "5m", table="stock_day")
    assert "No minutes of AAPL are landed" in under(days.freq, days)
    assert size(days) == "1d"
    days.session.value = "regular"
    assert "made of minutes" in under(days.session, days)
    panel.freq.value = "1d"
    assert under(panel.freq, panel) == ""


def test_choices_that_there_are_not_are_told_under_their_field(bench: Workbench) -> None:
    panel = ChartPanel(bench, "AAPL", "2h", "dividends", session="night", table="stock_days")
    for entry, value in ((panel.freq, "2h"), (panel.adjusted, "dividends"), (panel.session, "night")):
        assert value in under(entry, panel)


def test_an_unforeseen_error_is_a_sentence(bench: Workbench, monkeypatch: pytest.MonkeyPatch) -> None:
    panel = ChartPanel(bench, "AAPL")
    monkeypatch.setattr("workbench.panels.chart_scene.Scene.look", lambda *_: 1 / 0)
    panel.nearer.click()
    assert "ZeroDivisionError" in panel.message.value
    assert "report" in panel.message.value


# ---------------------------------------------------------------------- shown


def test_names_are_offered_while_a_ticker_is_typed_and_one_that_is_picked_is_shown(bench: Workbench) -> None:
    panel = ChartPanel(bench, "AAPL")
    panel.ticker.value = "M"
    assert panel.ticker.options == ("MSFT",)
    panel.ticker.value = "MSFT"
    assert "MSFT" in panel.told.value
    panel.ticker.value = "MSF"
    panel.ticker.value = "MSFT"
    assert said(panel) == ""


def test_where_no_kernel_runs_the_chart_is_an_image(bench: Workbench) -> None:
    panel = ChartPanel(bench, "NVDA", "1d", start="2026-05-01", end="2026-06-30")
    shown = panel._repr_mimebundle_()
    html = shown["text/html"]
    assert "application/vnd.jupyter.widget-view+json" in shown
    assert len(html) < 100_000
    assert "<script" not in html
    [picture] = re.findall(r"data:image/svg\+xml;base64,([^\"]+)", html)
    drawing = ElementTree.fromstring(base64.b64decode(picture))
    paths = " ".join(
        one.get("d", "") for one in drawing.iter("{http://www.w3.org/2000/svg}path") if one.get("stroke") in ("#26a69a", "#ef5350")
    )
    assert paths.count("M") == len(panel.data()) == 41
    words = {one.text for one in drawing.iter("{http://www.w3.org/2000/svg}text")}
    assert {"S", "D"} <= words
    assert "NVDA, 1d · 41 candles" in shown["text/plain"]
    panel = ChartPanel(bench, "AAPL", "1m", start=TICKS, end=TICKS)
    assert len(panel.data()) > 900
    [picture] = re.findall(r"data:image/svg\+xml;base64,([^\"]+)", panel.static())
    drawing = ElementTree.fromstring(base64.b64decode(picture))
    paths = " ".join(
        one.get("d", "") for one in drawing.iter("{http://www.w3.org/2000/svg}path") if one.get("stroke") in ("#26a69a", "#ef5350")
    )
    assert 300 < paths.count("M") <= CANDLES
    assert len(panel.static()) < 200_000


def test_a_page_that_is_opened_anew_is_told_what_is_shown_now(bench: Workbench) -> None:
    panel = ChartPanel(bench, "AAPL", "1d")
    panel.spans["1 month"].click()
    state = panel.figure.get_state()
    assert state["_widget_layout"]["xaxis"]["range"] == list(panel._window)
    assert list(state["_widget_data"][0]["x"]["buffer"]) == list(panel.figure.data[0].x)
    assert len(state["_bundle"]) > 1e6


def test_a_hand_that_moves_on_has_only_its_last_place_read(bench: Workbench, monkeypatch: pytest.MonkeyPatch) -> None:
    panel = ChartPanel(bench, "AAPL", "1d")
    drawn: list[float] = []
    monkeypatch.setattr(panel, "_go", lambda window: drawn.append(window[0]))

    async def hand() -> None:
        for n in range(5):
            moved(panel, 9100.0 + n, 9130.0 + n)
        assert drawn == []
        await asyncio.sleep(0.3)

    asyncio.run(hand())
    assert drawn == [9104.0]


def test_no_thread_is_left_and_a_chart_may_be_closed(bench: Workbench) -> None:
    before = threading.active_count()
    panel = ChartPanel(bench, "AAPL")
    panel._repr_mimebundle_(), panel._repr_mimebundle_()
    panel.close()
    assert threading.active_count() <= before


def test_a_chart_without_a_ticker_asks_for_one(bench: Workbench) -> None:
    panel = ChartPanel(bench)
    assert "Name a ticker" in panel.message.value
    for button in (*panel.spans.values(), panel.back, panel.nearer):
        button.click()
    clicked(panel, 0)
    panel.freq.value = "1d"
    panel.start.value = date(2026, 5, 1)
    assert "no chart yet" in panel.static() or "Name a ticker" in panel.static()


def test_beyond_all_bars_the_query_is_of_the_last_of_them_and_before_them_as_of_is_told(bench: Workbench) -> None:
    beyond = ChartPanel(bench, "AAPL", "1d", start="2030-01-02", end="2030-02-01")
    first, last = re.findall(r"'(\d{4}-\d{2}-\d{2})'", beyond.sql)[:2]
    assert first <= last == DAYS[-1].isoformat()

    before = ChartPanel(bench, "AAPL", "1d", as_of="1990-01-01")
    assert "As of 1990-01-01 there were none yet" in under(before.start, before)


def test_an_error_goes_with_the_next_good_picture(bench: Workbench) -> None:
    chart = ChartPanel(bench, "AAPL", "1d")
    chart.tell("something went wrong", "bad")
    chart.back.click()
    assert chart.message.value == ""
