"""Figures as pages are told of them: Plotly once, and what is shown now."""

from typing import Any

import pytest

from workbench.panels import figures
from workbench.panels.figures import Figure


@pytest.fixture
def told(monkeypatch: pytest.MonkeyPatch) -> list[dict[str, Any]]:
    """All that is shown, each time that a figure sends it."""
    sent: list[dict[str, Any]] = []
    real = Figure.send_state

    def watched(figure: Figure, key: Any = None) -> None:
        if "_widget_data" in (key or ()):
            sent.append(figure.get_state(key=key))
        real(figure, key)

    monkeypatch.setattr(Figure, "send_state", watched)
    return sent


def test_only_the_first_figure_of_a_kernel_takes_plotly_to_its_page(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Figure, "_taken", False)
    opened: list[int] = []
    real = Figure.get_state

    def watched(figure: Figure, key: Any = None, drop_defaults: bool = False) -> Any:
        state = real(figure, key, drop_defaults)
        if figure._opening:
            opened.append(len(state["_bundle"]))
        return state

    monkeypatch.setattr(Figure, "get_state", watched)
    first, second = figures.figure(), figures.figure()
    assert opened[0] > 1e6
    assert opened[-1] == 0
    # A page that is opened anew may have seen neither.
    assert len(first.get_state()["_bundle"]) == len(second.get_state()["_bundle"]) == len(figures.bundle())


def test_a_page_that_has_never_seen_plotly_asks_for_it(monkeypatch: pytest.MonkeyPatch) -> None:
    sent: list[Any] = []
    made = figures.figure()
    monkeypatch.setattr(made, "send", lambda *given: sent.append(given))
    made._handle_custom_msg({"wants": "plotly"}, [])
    made._handle_custom_msg({"wants": "tea"}, [])
    [(content, [script])] = sent
    assert content == {"is": "plotly"}
    assert script.decode() == figures.bundle()


def test_until_a_figure_is_drawn_each_change_goes_with_all_that_is_shown(told: list[dict[str, Any]]) -> None:
    made = figures.figure()
    made.add_scatter(y=[1, 2])
    with made.batch_update():
        made.data[0].y = [1, 2, 3]
    assert list(told[-1]["_widget_data"][0]["y"]) == [1, 2, 3]
    made._js2py_traceDeltas = {"trace_deltas": [], "trace_edit_id": 0}
    count = len(told)
    made.data[0].y = [4]
    assert len(told) == count
    # Another page, which has yet to draw it.
    made._view_count = 1
    made.data[0].y = [5]
    assert list(told[-1]["_widget_data"][0]["y"]) == [5]


def test_a_figure_is_told_to_fit_when_it_is_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    made = figures.figure()
    sent: list[Any] = []
    monkeypatch.setattr(made, "_send_relayout_msg", lambda told: sent.append(told))
    made._view_count = 1
    assert sent == [{"autosize": True}]
    made._js2py_traceDeltas = {"trace_deltas": [], "trace_edit_id": 0}
    assert sent == [{"autosize": True}] * 2
    made._js2py_traceDeltas = {"trace_deltas": [], "trace_edit_id": 1}
    assert len(sent) == 2
