"""Reports as text: the same wherever they are printed."""

import pytest

from workbench.query.report import Report


def test_a_report_is_plain_text_where_a_kernel_says_that_it_takes_colours(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FORCE_COLOR", "1")
    assert repr(Report("two numbers", [{"a": 1, "b": 2}])) == "two numbers\na  b\n1  2"
