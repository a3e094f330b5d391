"""The days of FRED's releases as events, from the stand-in."""

from datetime import date
from pathlib import Path

import pytest
from farend import FarEnd

from workbench.errors import BadKeys
from workbench.lake.reference import rows_of, update
from workbench.lake.store import Lake
from workbench.sources.fred import Fred
from workbench.sources.fred_reference import FredReference

TODAY = date(2024, 3, 8)


def source(far_end: FarEnd, key: str = "") -> FredReference:
    return FredReference(Fred(key or far_end.fred_key, far_end.fred_url, backoff_s=0.01), lambda: TODAY)


def test_it_has_series_and_releases(far_end: FarEnd) -> None:
    fred = source(far_end)
    assert (fred.refuses("economic_series"), fred.refuses("calendar_events")) == ("", "")
    assert "no splits" in fred.refuses("splits")
    [one] = fred.gather("economic_series", symbols=["GDP"])
    assert one.dataset == "economic_series"
    assert one.rows


def test_releases_are_events_of_a_day_with_an_impact_by_rule(far_end: FarEnd, tmp_path: Path) -> None:
    fred, lake = source(far_end), Lake(tmp_path / "data")
    for again in (False, True):
        for one in fred.gather("calendar_events"):
            done = update(lake, one, fred.name)
            assert (done.quarantined, done.committed) == (0, not again)
    rows = rows_of(lake, "calendar_events")
    assert dict(rows.select("name", "impact").rows()) == {
        "Consumer Price Index": 4,
        "Employment Situation": 4,
        "Gross Domestic Product": 4,
        "H.15 Selected Interest Rates": 2,
    }
    assert rows["date"].min() >= date(2023, 3, 8)  # type: ignore[operator]
    assert rows["date"].max() > TODAY  # type: ignore[operator]
    assert set(rows["source"]) == {"fred"}
    assert rows["forecast"].null_count() == len(rows)
    assert "economic_release:10:2024-03-12" in set(rows["id"])


def test_since_narrows_what_is_asked(far_end: FarEnd) -> None:
    [one] = source(far_end).gather("calendar_events", since=date(2024, 3, 1))
    assert min(row["date"] for row in one.rows) >= date(2024, 3, 1)
    assert one.transferred > 0


def test_a_wrong_key_is_told(far_end: FarEnd) -> None:
    fred = source(far_end, "0" * 32)
    with pytest.raises(BadKeys):
        list(fred.gather("calendar_events"))
    assert fred.check().state == "wrong key"
    fred.stop()
    fred.close()
