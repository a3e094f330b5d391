"""What the condition ids of stock trades let a trade do to the consolidated high and low, open and close, and volume. Data, no I/O.

A trade counts towards one of these only if every one of its conditions allows it; one without conditions is regular and counts towards all.
Ids of quotes overlap with these and mean other things. SQL has the same rows in the view `trade_conditions`; a test compares the two.

Source: the consolidated update rules of the vendor's /v3/reference/conditions?asset_class=stocks, in full (94 rows, quotes' included) in
tests/conditions.ipynb of github.com/fovi-llc/zipline-polygon-bundle. Names as https://polygon.io/glossary/us/stocks/conditions-indicators
lists them.
"""

from dataclasses import dataclass

# In pre-market and post-market its own rule is left aside for prices: all trades there carry it. Source: the vendor's knowledge base,
# why-doesnt-a-bar-from-the-rest-api-match-the-flat-files (minute bars outside regular hours take their prices from Form T trades).
FORM_T = 12


@dataclass(frozen=True)
class TradeCondition:
    """An id, and what a trade that has it counts towards; `ruled` is False where the vendor gives no rule, so that it changes nothing.

    `legacy` ids are in old files only.
    """

    id: int
    name: str
    high_low: bool
    open_close: bool
    volume: bool
    ruled: bool = True
    legacy: bool = False


def condition(number: int, name: str, rule: str = "", *, legacy: bool = False) -> TradeCondition:
    """A condition by its rule as the vendor's table reads across: Y or N for high and low, for open and close, for volume; none is neutral."""
    high_low, open_close, volume = (letter == "Y" for letter in rule or "YYY")
    return TradeCondition(number, name, high_low, open_close, volume, bool(rule), legacy)


TRADE_CONDITIONS = (
    condition(1, "Acquisition", "YYY"),
    condition(2, "Average Price Trade", "NNY"),
    condition(3, "Automatic Execution", "YYY"),
    condition(4, "Bunched Trade", "YYY"),
    condition(5, "Bunched Sold Trade", "YNY"),
    condition(6, "CAP Election", "YYY", legacy=True),
    condition(7, "Cash Sale", "NNY"),
    condition(8, "Closing Prints", "YYY"),
    condition(9, "Cross Trade", "YYY"),
    condition(10, "Derivatively Priced", "YNY"),
    condition(11, "Distribution", "YYY"),
    condition(12, "Form T", "NNY"),
    condition(13, "Extended Hours (Sold Out of Sequence)", "NNY"),
    condition(14, "Intermarket Sweep", "YYY"),
    condition(15, "Market Center Official Close", "NNN"),
    condition(16, "Market Center Official Open", "NNN"),
    condition(17, "Market Center Opening Trade", "YNY"),
    condition(18, "Market Center Reopening Trade", "YYY"),
    condition(19, "Market Center Closing Trade", "YYY"),
    condition(20, "Next Day", "NNY"),
    condition(21, "Price Variation Trade", "NNY"),
    condition(22, "Prior Reference Price", "YNY"),
    condition(23, "Rule 155 Trade (AMEX)", "YYY"),
    condition(24, "Rule 127 (NYSE Only)", "YYY"),
    condition(25, "Opening Prints", "YYY"),
    condition(27, "Stopped Stock (Regular Trade)", "YYY", legacy=True),
    condition(28, "Re-Opening Prints", "YYY"),
    condition(29, "Seller", "NNY"),
    condition(30, "Sold Last", "YYY"),
    condition(31, "Sold Last and Stopped Stock", "YYY", legacy=True),
    condition(32, "Sold (Out of Sequence)", "YNY"),
    condition(33, "Sold (Out of Sequence) and Stopped Stock", "YNY", legacy=True),
    condition(34, "Split Trade", "YYY"),
    condition(35, "Stock Option", "YYY", legacy=True),
    condition(36, "Yellow Flag Regular Trade", "YYY"),
    condition(37, "Odd Lot Trade", "NNY"),
    condition(38, "Corrected Consolidated Close", "YYN"),
    condition(41, "Trade Thru Exempt"),
    condition(52, "Contingent Trade", "NNY"),
    condition(53, "Qualified Contingent Trade", "NNY"),
    condition(55, "Opening Reopening Trade Detail", "YYY", legacy=True),
    condition(57, "Short Sale Restriction Activated"),
    condition(58, "Short Sale Restriction Continued"),
    condition(59, "Short Sale Restriction Deactivated"),
    condition(60, "Short Sale Restriction In Effect"),
    condition(62, "Financial Status: Bankrupt"),
    condition(63, "Financial Status: Deficient"),
    condition(64, "Financial Status: Delinquent"),
    condition(65, "Financial Status: Bankrupt and Deficient"),
    condition(66, "Financial Status: Bankrupt and Delinquent"),
    condition(67, "Financial Status: Deficient and Delinquent"),
    condition(68, "Financial Status: Deficient, Delinquent and Bankrupt"),
    condition(69, "Financial Status: Liquidation"),
    condition(70, "Financial Status: Creations Suspended"),
    condition(71, "Financial Status: Redemptions Suspended"),
)

BY_ID = {one.id: one for one in TRADE_CONDITIONS}
