"""The stock symbols that exchanges keep for tests in production, as an exact list with dates.

Their trades and quotes are in the vendor's files like any other. The list is exact because patterns hit real companies (ZTS, ZBRA,
CBOE), and dated because a string can be a company in one year and a test in another.
"""

from dataclasses import dataclass
from datetime import date


@dataclass(frozen=True)
class Reserved:
    """A test symbol, from `since` to `until`, both included; None where no source gives a date."""

    ticker: str
    since: date | None = None
    until: date | None = None
    note: str = ""

    def on(self, day: date) -> bool:
        """Whether the symbol is a test on that day."""
        return (self.since is None or self.since <= day) and (self.until is None or day <= self.until)


# No source dates these, and none is known to have been a company while the vendor's files exist (2003 on).
UNDATED = (
    "ATEST ATEST.A ATEST.B ATEST.C CBOA CBOJ CBOL CBOO CBOX CBOY CBXA CBXJ CBXL CBXO CBXY MTEST MTEST.A"
    " NTEST NTEST.A NTEST.B NTEST.C NTEST.H NTEST.I ZBZX ZEXIT ZIEXT ZJZZT ZTEST ZTST ZVZZT ZWZZT ZXIET ZXZZT"
    " ZZZTA ZZZTE ZZZTS ZZZTT ZZZTX"
)

NASDAQ_2013 = "named as a test issue in Nasdaq's Equity Technical Update 2013-5; earlier use is not known"

TEST_TICKERS = (
    *map(Reserved, UNDATED.split()),
    Reserved("CBOT", since=date(2007, 7, 13), note="CBOT Holdings until its merger with CME on 2007-07-12"),
    Reserved("IBOT", until=date(2023, 4, 4), note="VanEck Robotics ETF since 2023-04-05"),
    *(Reserved(ticker, since=date(2013, 1, 18), note=NASDAQ_2013) for ticker in ("CBO", "CBX", "IGZ", "ZVV")),
)


def test_tickers(day: date) -> frozenset[str]:
    """The test symbols of a day; compare with the case kept."""
    return frozenset(reserved.ticker for reserved in TEST_TICKERS if reserved.on(day))
