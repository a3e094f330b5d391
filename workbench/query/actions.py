"""What corporate actions do to the prices before them: `Workbench.actions`."""

from collections.abc import Callable, Sequence
from datetime import date
from typing import Any

from workbench.query.report import Report

ACTIONS = """SELECT asked, date, kind, told, price_factor, volume_factor, applies, reason, nullif(since, DATE '0001-01-01'), verdict
    FROM main.actions_of($tickers, as_of_date := $as_of) ORDER BY asked, date DESC, kind DESC, told"""
COLUMNS = ("ticker", "date", "kind", "told", "price_factor", "volume_factor", "applies", "reason", "since", "verdict")


def report(sql: Callable[..., Any], tickers: Sequence[str], as_of: date) -> Report:
    """The splits and dividends of some tickers up to a date, a row for each, newest first.

    Prices before the date are multiplied by `price_factor`, volumes by `volume_factor`; those before `since`, if that is told, are another
    company's that had the ticker. `reason` says why one does nothing, `verdict` what the closes around a split say of its ratio.
    """
    names = list(dict.fromkeys(tickers))
    rows = [dict(zip(COLUMNS, row, strict=True)) for row in sql(ACTIONS, tickers=names, as_of=as_of).fetchall()]
    told = {row["ticker"] for row in rows}
    notes = [f"of {ticker} no split and no dividend up to {as_of} is in the lake" for ticker in names if ticker not in told]
    notes += [
        f"the closes contradict {row['ticker']}'s split of {row['date']}, {row['told']}; it is applied all the same"
        for row in rows
        if row["applies"] and (row["verdict"] or "").startswith("disagrees")
    ]
    title = f"Corporate actions of {', '.join(names)} up to {as_of}: prices before the date are multiplied by price_factor"
    return Report(title + "".join(f"; {note}" for note in notes), rows, ("verdict", "since"), as_of=str(as_of), notes=notes)
