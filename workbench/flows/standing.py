"""What AmpyFin's tables hold when a flow begins: how far it was run, portfolios and what they cost, decisions, orders that are open, limits."""

import math
from collections.abc import Callable
from datetime import date
from typing import Any, NamedTuple

from workbench.flows.paper import Account, Limit, Position
from workbench.flows.prices import Prices
from workbench.tables.spec import NEW_YORK
from workbench.tables.starts import TIME_DELTA, text_id

# The name under which `portfolio_values` sums up all strategies.
TOTAL = "portfolio_percentage"

LAST = f"""
SELECT max(day), min(day) FROM (
    SELECT _id, (timestamp AT TIME ZONE '{NEW_YORK}')::DATE AS day FROM ampyfin.portfolio_values WHERE name = '{TOTAL}'
) WHERE _id = left(md5('portfolio_values {TOTAL} ' || day::VARCHAR), 24)"""
FILLS = f"""
SELECT d.strategy, d.ticker, (p.timestamp AT TIME ZONE '{NEW_YORK}')::DATE AS day, p.side, p.quantity, p.price
FROM ampyfin.strategy_decisions AS d
JOIN ampyfin.paper AS p ON p._id = left(md5('paper ' || d.strategy || ' ' || d.ticker || ' ' || d.date::VARCHAR), 24)
WHERE p.status = 'filled'
ORDER BY day, p.side DESC, d.strategy, d.ticker"""


class Decided(NamedTuple):
    """A decision: its session, the signal, and how sure it is."""

    day: date
    signal: str
    confidence: float | None


class Standing:
    """What the tables hold; `ask` gives the rows of a query. `first` and `last` are the sessions that the flow was run for, None if for none."""

    def __init__(self, ask: Callable[[str], list[tuple[Any, ...]]]):
        self.ask = ask
        [(self.last, self.first)] = ask(LAST)

    def accounts(self) -> tuple[dict[str, Account], list[str]]:
        """The portfolios, by strategy, of which what shares cost is not known yet; and the strategies of which no points are kept."""
        tallies = {name: (id, score) for id, name, score in self.ask("SELECT _id, strategy, total_points FROM ampyfin.points_tally")}
        found = self.ask(
            "SELECT _id, strategy, amount_cash, total_trades, successful_trades, neutral_trades, failed_trades, portfolio_value, "
            "map_keys(holdings), map_values(holdings) FROM ampyfin.algorithm_holdings ORDER BY strategy"
        )
        accounts = {}
        for id, name, cash, total, successful, neutral, failed, value, symbols, quantities in found:
            tally, score = tallies.get(name, (text_id("points_tally", name), 0.0))
            positions = {
                ticker: Position(float(count), None) for ticker, count in zip(symbols, quantities, strict=True) if count and count > 0
            }
            accounts[name] = Account(
                name, cash, total, successful, neutral, failed, score, value, positions, {"holdings": id, "points": tally}
            )
        return accounts, [name for name in accounts if name not in tallies]

    def decisions(self, prices: Prices) -> tuple[dict[tuple[str, str, date], Decided], dict[tuple[str, str], Decided]]:
        """Decisions for sessions to come, and those that are orders: made on the last session of their ticker that was run."""
        given, orders = {}, {}
        for strategy, ticker, day, signal, confidence in self.ask(
            "SELECT strategy, ticker, date, signal, confidence FROM ampyfin.strategy_decisions"
        ):
            one = Decided(day, signal, confidence)
            if self.last is None or day > self.last:
                given[strategy, ticker, day] = one
            elif signal != "Hold" and prices.last(ticker, self.last) == day:
                orders[strategy, ticker] = one
        return given, orders

    def cost(self, accounts: dict[str, Account], prices: Prices) -> None:
        """Have each portfolio know what its shares have cost, by the fills that bought them."""
        if not self.last:
            return
        bought: dict[tuple[str, str], Position] = {}
        seen: dict[tuple[str, str], date] = {}

        def upto(key: tuple[str, str], day: date) -> None:
            for split in prices.splits(key[1], seen.get(key, date.min), day):
                if key in bought:
                    bought[key].split(split.price, split.volume)
            seen[key] = day

        for strategy, ticker, day, side, quantity, price in self.ask(FILLS):
            key = strategy, ticker
            upto(key, day)
            if side == "sell":
                bought.pop(key, None)
            elif key in bought:
                bought[key].buy(quantity, price)
            else:
                bought[key] = Position(quantity, price)
        for key, position in bought.items():
            upto(key, self.last)
            own = accounts[key[0]].positions.get(key[1]) if key[0] in accounts else None
            # Shares that came from elsewhere have no known cost.
            if own and own.quantity == position.quantity:
                own.cost = position.cost

    def limits(self) -> dict[str, Limit]:
        """How much may be held of each asset that has a limit."""
        found = self.ask("SELECT symbol, max_quantity, max_value FROM ampyfin.assets_limit")
        return {symbol: Limit(quantity, value) for symbol, quantity, value in found}

    def assets(self) -> dict[str, tuple[str, float]]:
        """The `_id` and the quantity of each asset that is held."""
        found = self.ask("SELECT symbol, _id, quantity FROM ampyfin.assets_quantities")
        return {symbol: (id, float(count)) for symbol, id, count in found}

    def weight(self) -> float:
        """What scores weigh now."""
        found = self.ask("SELECT value FROM ampyfin.time_delta WHERE name = 'time_delta'")
        return float(found[0][0]) if found else TIME_DELTA


def number(value: object) -> float | None:
    """A finite number; None for what is none."""
    try:
        found = float(value)  # type: ignore[arg-type]
    except (TypeError, ValueError):
        return None
    return found if math.isfinite(found) else None
