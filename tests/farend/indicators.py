"""Made-up economic series with revisions, and the dates of their releases."""

from datetime import date, timedelta

from farend import made
from farend.fred import FredRelease, FredSeries

Vintages = dict[str, dict[str, float | None]]


def series() -> dict[str, FredSeries]:
    """Monthly series that are revised a month later and once a year, GDP with its three estimates, and daily rates with holes."""
    return {
        "CPIAUCSL": FredSeries("Consumer Price Index for All Urban Consumers: All Items", monthly(299.17, 0.9, 12), "Index 1982-1984=100"),
        "UNRATE": FredSeries("Unemployment Rate", monthly(3.4, 0.03, 5), "Percent", release=50),
        "PAYEMS": FredSeries("All Employees, Total Nonfarm", monthly(155_007.0, 210.0, 5), "Thousands of Persons", release=50),
        "FEDFUNDS": FredSeries(
            "Federal Funds Effective Rate", monthly(4.33, 0.06, 1, revised=False), "Percent", adjustment="NSA", release=18
        ),
        "GDP": FredSeries("Gross Domestic Product", quarterly(), "Billions of Dollars", "Q", release=53),
        "DGS10": FredSeries("Market Yield on U.S. Treasury Securities at 10-Year", daily(4.1), "Percent", "D", "NSA", 18),
        "T10Y2Y": FredSeries("10-Year Treasury Minus 2-Year Treasury", daily(-0.35), "Percent", "D", "NSA", 18),
        "EMPTY": FredSeries("A Series Without Observations", {}),
    }


def months(first: int = 2023, last: int = 2024) -> list[date]:
    return [date(year, month, 1) for year in range(first, last + 1) for month in range(1, 13)][:17]


def after(day: date, count: int) -> date:
    """The first of a month, some months later."""
    whole = day.year * 12 + day.month - 1 + count
    return date(whole // 12, whole % 12 + 1, 1)


def monthly(level: float, step: float, day: int, *, revised: bool = True) -> Vintages:
    """From January 2023: told the month after, on a `day`; revised with the next and in February 2024."""
    found: Vintages = {}
    for nth, month in enumerate(months()):
        value = round(level + nth * step, 3)
        told: dict[str, float | None] = {after(month, 1).replace(day=day).isoformat(): value}
        if revised:
            told[after(month, 2).replace(day=day).isoformat()] = round(value + 0.1, 3)
            if month.year == 2023:
                told["2024-02-09"] = round(value + 0.2, 3)
        found[month.isoformat()] = told
    return found


def quarterly() -> Vintages:
    """An advance, a second and a third estimate, and the yearly revision of September 2024."""
    found: Vintages = {}
    for nth, month in enumerate(months()[::3][:5]):
        value = 26_813.6 + nth * 350
        found[month.isoformat()] = {after(month, 3 + k).replace(day=28).isoformat(): round(value + k * 7.7, 3) for k in range(1, 4)}
        found[month.isoformat()]["2024-09-26"] = round(value + 99.9, 3)
    return found


def daily(level: float) -> Vintages:
    """Every weekday of the first half of 2024; holidays are there without a value."""
    found: Vintages = {}
    for nth in range(182):
        day = date(2024, 1, 1) + timedelta(days=nth)
        if day.weekday() < 5:
            value = None if day in made.HOLIDAYS else round(level + (nth % 23 - 11) / 100, 2)
            found[day.isoformat()] = {(day + timedelta(days=1)).isoformat(): value}
    return found


def releases() -> dict[int, FredRelease]:
    told = {
        10: (12, "Consumer Price Index"),
        50: (5, "Employment Situation"),
        53: (28, "Gross Domestic Product"),
        18: (1, "H.15 Selected Interest Rates"),
    }
    return {
        number: FredRelease(name, [after(date(2023, 1, 1), n).replace(day=day).isoformat() for n in range(51)])
        for number, (day, name) in told.items()
    }
