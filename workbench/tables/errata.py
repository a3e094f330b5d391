"""Files that the vendor published wrong, or not at all. Data and a lookup; landing applies it.

The vendor may have mended a file since it was reported, so an erratum that acts says how to recognise its symptom, and acts on
nothing else: a file without the symptom lands as any other.
"""

from dataclasses import dataclass
from datetime import date
from typing import Literal

Action = Literal["restamp", "quarantine", "known missing", "note"]


@dataclass(frozen=True)
class Erratum:
    """A known fault of one table's file of one session.

    restamp: every row's time column holds `wrong`; the repaired value is the session's midnight in the table's zone.
    quarantine: every value of `column` lies in `within`, both ends included.
    known missing: the vendor's listing lacked the file; should it appear, it lands.
    note: nothing to recognise in the file; it lands, and whoever looks at the session is told.
    """

    table: str
    day: date
    action: Action
    symptom: str
    source: str
    wrong: int | None = None
    column: str = ""
    within: tuple[float, float] | None = None


# Prices and times of these two files look right, but sizes that never leave 33 to 49 in a whole session are not sizes, and would
# pass into every volume made from them. The symptom is plain (a real session has millions of trades of 1 and of 100 shares), so
# the file is refused while it has it. The reporter expected more such days; none is named.
SIZES = "every trade has a size between 33 and 49"

LATE = "not listed three days later, when the API had no minutes either; published since, perhaps"
NO_CLOSE = "about 40 tickers that trade at the close have no minute bar there"

ERRATA = (
    Erratum(
        "stock_day",
        date(2019, 8, 12),
        "restamp",
        "every window_start is midnight of the next session, 2019-08-13",
        "https://github.com/fovi-llc/zipline-polygon-bundle/issues/5",
        wrong=1_565_668_800_000_000_000,
    ),
    Erratum(
        "option_day",
        date(2025, 2, 10),
        "restamp",
        "every window_start is -68400000000000",
        "https://github.com/polygon-io/issues/issues/334",
        wrong=-68_400_000_000_000,
    ),
    *(
        Erratum(
            "stock_trades",
            day,
            "quarantine",
            SIZES,
            "https://github.com/polygon-io/issues/issues/291",
            column="size",
            within=(33, 49),
        )
        for day in (date(2015, 1, 6), date(2015, 1, 7))
    ),
    Erratum(
        "option_trades",
        date(2018, 10, 12),
        "known missing",
        "the listing went from 2018-10-11 to 2018-10-15, a Friday left out",
        "https://github.com/polygon-io/issues/issues/293",
    ),
    # How early is too early depends on the ticker: nothing in the file alone tells a cut from a quiet afternoon.
    Erratum(
        "option_trades",
        date(2024, 6, 10),
        "note",
        "SPY's trades end at 15:32 New York; reported for most sessions from mid-June 2024 on",
        "https://github.com/polygon-io/issues/issues/308",
    ),
    Erratum(
        "stock_trades",
        date(2009, 6, 25),
        "note",
        "trades with condition 56, which the vendor's list of conditions lacks; on other days of 2009 too",
        "https://github.com/polygon-io/issues/issues/295",
    ),
    *(
        Erratum("stock_minute", day, "note", LATE, "https://github.com/polygon-io/issues/issues/338")
        for day in (date(2025, 8, 7), date(2025, 8, 8))
    ),
    # The vendor makes a bar only of eligible trades, so a bar that is absent may be right.
    *(
        Erratum("stock_minute", date(2025, 1, day), "note", NO_CLOSE, "https://github.com/polygon-io/issues/issues/329")
        for day in (17, 21, 22, 23, 24, 27, 28, 29)
    ),
)


def for_file(table: str, day: date) -> tuple[Erratum, ...]:
    """What is known to be wrong with a table's file of a session; mostly nothing."""
    return tuple(erratum for erratum in ERRATA if (erratum.table, erratum.day) == (table, day))
