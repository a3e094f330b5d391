"""AmpyFin's day: prices, decisions, paper fills, holdings, points and ranks, a session at a time.

The document names the collections and what flows from one to the other; the rest it leaves open, and it is decided here:

- **Prices** are `ampyfin.price_data`, as traded. What decides sees them adjusted for splits that took effect by the session that it decides.
- **Decisions** are made after the close, for every strategy and ticker with a bar on that session, into `strategy_decisions`. One that stands there
  already is taken as it is.
- **Fills** are at the open of the ticker's next session with one, without fee or slippage; an order that waits for more than five sessions
  lapses. Sales come first, and are of everything the strategy holds of the ticker; then purchases, those of the best ranked strategy first: in
  whole shares, up to a tenth of the portfolio's last value in one ticker, within its cash and `assets_limit`, which holds for all strategies together.
  An order of which nothing can be bought for want of cash or room is in `paper` as `rejected`, with what was wanted. No position is ever short.
- **Holdings.** `algorithm_holdings` has each strategy's; `total_trades` counts sales, as the document's example does (95 + 10 + 45 = 150), each successful,
  failed or neutral against the average cost. On a split's day holdings are multiplied; dividends are not paid. A ticker without a bar keeps its last close.
  `assets_quantities` sums them over the strategies; `portfolio_values` has a row per session and strategy, and `portfolio_percentage` for all together.
- **Points.** A sale scores 1, 1.5 or 2 for a profit below 5 %, below 10 % or more, and -1, -1.5 or -2 for a loss below 2.5 %, below 5 % or more, times
  `time_delta`, which grows by 0.01 each session, so that newer scores weigh more. Ranks are by points, then value, then name (`ampyfin.strategy_ranks`);
  `rank_to_coefficient` keeps its rows, and gets those of ranks that it lacks: 0.85 to the power of the rank.

All rows of a session are one transaction, and every `_id` follows from what it is of, so that the same prices and decisions give the same rows,
in one run or in many. An order's `_id` is `left(md5('paper ' || strategy || ' ' || ticker || ' ' || date), 24)` of its decision.
"""

import math
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, date, datetime, time
from typing import TYPE_CHECKING, Any
from zoneinfo import ZoneInfo

from workbench import sessions
from workbench.errors import BadRange, NoLake, UsageError
from workbench.flows import Decide, paper
from workbench.flows.paper import Account, Side
from workbench.flows.prices import Prices
from workbench.flows.standing import TOTAL, Decided, Standing, number
from workbench.lake.locks import refreshing
from workbench.query.report import Report
from workbench.refresh.universe import checked, resolve
from workbench.tables import find
from workbench.tables.spec import NEW_YORK
from workbench.tables.starts import coefficients, holdings, points, text_id, time_delta

if TYPE_CHECKING:
    from workbench.bench import Workbench

SIGNALS = {"buy": "Buy", "sell": "Sell", "hold": "Hold"}
# An order that found no open for so many sessions lapses.
PATIENCE = 5


@dataclass(frozen=True)
class Order:
    """What is to be run: the arguments of `Workbench.flow`."""

    decide: Decide | None
    start: date | None
    end: date | None
    strategies: tuple[str, ...] | None
    symbols: tuple[str, ...] | None


@dataclass
class Day:
    """What a session adds to the tables."""

    decisions: list[dict[str, Any]]
    fills: list[dict[str, Any]]


def run(bench: "Workbench", order: Order) -> Report:
    """Run the sessions that have not been run yet. Raises `UsageError`, `BadRange`, `NoLake`, or `Busy` while another flow runs."""
    if not bench.lake.exists:
        raise NoLake(f"{bench.lake.where} holds no lake; nothing was run. Make one with `workbench refresh`, or `workbench demo`.")
    if order.start and order.end and order.start > order.end:
        raise BadRange(f"{order.start} is after {order.end}; nothing was run. Give the dates in order.")
    with refreshing(bench.lake.root, ["flow-ampyfin"], "workbench flow ampyfin"):
        return Flow(bench, order).run()


class Flow:
    """One run over some sessions."""

    def __init__(self, bench: "Workbench", order: Order):
        self.bench, self.order = bench, order
        self.notes: list[str] = []
        asked = checked(order.symbols) if order.symbols is not None else resolve(bench, bench.settings.universe)
        stands = Standing(self._rows)
        self.first, self.done = stands.first, stands.last
        self.accounts, self.untallied = stands.accounts()
        self._named()
        held = {ticker for account in self.accounts.values() for ticker in account.positions}
        self.prices = Prices(bench.catalog.ask, [*asked, *sorted(held)], order.end)
        self.tickers = [ticker for ticker in self.prices.tickers if ticker in set(asked)]
        if not self.tickers:
            raise UsageError(
                f"the lake holds no prices of {', '.join(asked[:5]) or 'no symbols'}{' …' * (len(asked) > 5)}; nothing was run. "
                "Refresh stock_day, or name symbols that it holds."
            )
        self.days = self._days()
        self.given, self.orders = stands.decisions(self.prices)
        stands.cost(self.accounts, self.prices)
        self.limits = stands.limits()
        self.assets = stands.assets()
        self.tallied = {one.strategy: one.points for one in self.accounts.values()}
        self.weight = stands.weight()

    def run(self) -> Report:
        """Every session in its turn, and the ranks after it."""
        decided = filled = 0
        for day in self.days:
            made = self._session(day)
            decided, filled = decided + len(made.decisions), filled + sum(one["status"] == "filled" for one in made.fills)
        if self.order.decide is None and self.days and not self.given:
            self.notes.append(
                "No decisions stand in ampyfin.strategy_decisions, and no function decides: workbench.flows:momentum is a sample."
            )
        return self._report(decided, filled)

    # ------------------------------------------------------------------ what is there

    def _rows(self, query: str, **values: object) -> list[tuple[Any, ...]]:
        found = self.bench.catalog.ask(query, **values)
        return found.fetchall() if found is not None else []

    def _named(self) -> None:
        """Which strategies decide, and which of them are new."""
        named = self.order.strategies
        if named is not None and (not named or any(not isinstance(one, str) or not one.strip() for one in named)):
            raise UsageError(f"{named!r} are not names of strategies; nothing was run.")
        if named is None and not self.accounts:
            raise UsageError("no strategies are there; nothing was run. Run `workbench init ampyfin` first, or name strategies.")
        self.strategies = sorted(set(named if named is not None else self.accounts))
        self.fresh = [name for name in self.strategies if name not in self.accounts]

    def _days(self) -> list[date]:
        """The sessions to run: those with prices, after the last that was run."""
        start, end = self.order.start, self.order.end
        if self.first and start and start < self.first:
            raise BadRange(
                f"the flow begins on {self.first}, and what came before {start} cannot be put in front of it; nothing was run. "
                'Run it anew after bench.reset_tables("ampyfin"), or leave out the start.'
            )
        some = self.prices.days
        days = [day for day in some if (self.done is None or day > self.done) and (self.done or start is None or day >= start)]
        if self.done and start and days and start > days[0]:
            self.notes.append(f"The flow goes on after {self.done}: no session is left out before {start}.")
        if days:
            due = sessions.between(find("stock_day"), self.done or days[0], days[-1])
            if missing := sorted({*due} - {*days, self.done}):
                told = ", ".join(map(str, missing[:3])) + " …" * (len(missing) > 3)
                self.notes.append(f"{len(missing)} sessions have no prices and were passed over: {told}.")
        elif not self.done:
            raise BadRange(
                f"there are no prices from {start} to {end or 'the end'}; nothing was run. Give other dates, or refresh stock_day."
            )
        return days

    # ------------------------------------------------------------------ a session

    def _session(self, day: date) -> Day:
        """Fill what was ordered, value what is held, decide anew, and write it all at once."""
        opens, closes = edges(day)
        begun = self._begin(opens)
        if self.done:
            for account in self.accounts.values():
                for ticker, held in account.positions.items():
                    for split in self.prices.splits(ticker, self.done, day):
                        held.split(split.price, split.volume)
        fills = self._fill(day, opens)
        symbols = {ticker for account in self.accounts.values() for ticker in account.positions}
        last = {ticker: close for ticker in symbols if (close := self.prices.close(ticker, day)) is not None}
        for account in self.accounts.values():
            account.value = account.valued(last)
        made = Day(self._decide(day, closes), fills)
        self.weight += paper.TIME_STEP
        self._write(day, closes, made, begun)
        self.done = day
        return made

    def _begin(self, opens: datetime) -> dict[str, list[dict[str, Any]]]:
        """The first rows of strategies that are new, and of ranks that have no coefficient, to be written with the first session."""
        rows: dict[str, list[dict[str, Any]]] = {}
        for row in holdings(self.fresh, opens):
            ids = {"holdings": row["_id"], "points": text_id("points_tally", row["strategy"])}
            self.accounts[row["strategy"]] = Account(row["strategy"], row["amount_cash"], value=row["portfolio_value"], ids=ids)
            rows.setdefault("ampyfin.algorithm_holdings", []).append(row)
        if tallies := points([*self.untallied, *self.fresh], opens):
            rows["ampyfin.points_tally"] = tallies
        known = (
            {one for row in self._rows("SELECT rank, _id FROM ampyfin.rank_to_coefficient") for one in row}
            if self.fresh or not self.done
            else set()
        )
        if self.fresh or not self.done:
            lacking = [row for row in coefficients(len(self.accounts)) if not known & {row["rank"], row["_id"]}]
            rows |= {"ampyfin.rank_to_coefficient": lacking} if lacking else {}
        self.fresh, self.untallied = [], []
        return rows

    def _fill(self, day: date, at: datetime) -> list[dict[str, Any]]:
        """Execute at a session's open what was decided before: sales, then purchases."""
        fills = []
        ranks = paper.ranked(self.accounts.values())
        places = {account.strategy: n for n, account in enumerate(ranks)}
        due: list[tuple[bool, int, str, float, Decided]] = []
        for (strategy, ticker), order in list(self.orders.items()):
            price = self.prices.open(ticker, day)
            if price is None and not self.prices.has(ticker, day):
                continue
            del self.orders[strategy, ticker]
            waited = len(sessions.between(find("stock_day"), order.day, day)) - 1
            if price is not None and strategy in self.accounts and waited <= PATIENCE:
                due.append((order.signal == "Buy", places[strategy], ticker, price, order))
        for buys, place, ticker, price, order in sorted(due, key=lambda one: one[:3]):
            account = ranks[place]
            if not buys:
                if ticker in account.positions:
                    fills.append(self._paper(account, ticker, "sell", account.sell(ticker, price, self.weight), price, at, order))
                continue
            if (want := paper.wanted(account, ticker, price)) < 1:
                continue
            room = self.limits[ticker].room(self._held(ticker), price) if ticker in self.limits else math.inf
            count = min(want, paper.affordable(account, price), math.inf if room == math.inf else float(math.floor(room)))
            if count >= 1:
                account.buy(ticker, count, price)
            fills.append(self._paper(account, ticker, "buy", count if count >= 1 else want, price, at, order, filled=count >= 1))
        return fills

    def _held(self, ticker: str) -> float:
        """The shares of a ticker that all strategies hold together."""
        return sum(account.positions[ticker].quantity for _, account in sorted(self.accounts.items()) if ticker in account.positions)

    def _paper(
        self, account: Account, ticker: str, side: Side, quantity: float, price: float, at: datetime, order: Decided, *, filled: bool = True
    ) -> dict[str, Any]:
        return {
            "_id": text_id("paper", account.strategy, ticker, order.day),
            "symbol": ticker,
            "side": side,
            "quantity": quantity,
            "price": price,
            "timestamp": at,
            "status": "filled" if filled else "rejected",
        }

    def _decide(self, day: date, at: datetime) -> list[dict[str, Any]]:
        """Decide for every strategy and ticker with a bar, by what is known at the close; gives the decisions that are new."""
        rows = []
        for strategy in self.strategies:
            for ticker in self.tickers:
                if not self.prices.has(ticker, day):
                    continue
                made = self.given.get((strategy, ticker, day))
                if made is None and (told := self._told(strategy, ticker, day)):
                    made = told
                    rows.append(
                        {
                            "ticker": ticker,
                            "strategy": strategy,
                            "date": day,
                            "signal": made.signal,
                            "confidence": made.confidence,
                            "timestamp": at,
                        }
                    )
                if made and made.signal != "Hold":
                    self.orders[strategy, ticker] = made
        return rows

    def _told(self, strategy: str, ticker: str, day: date) -> Decided | None:
        """What the user's function says. Raises `UsageError` if that is no decision, or if it fails."""
        if self.order.decide is None:
            return None
        where = f"the decision of {strategy} on {ticker} for {day}"
        kept = f"sessions up to {self.done} are kept" if self.done else "nothing was written"
        try:
            told = self.order.decide(strategy, ticker, self.prices.history(ticker, day))
        except Exception as fault:
            raise UsageError(
                f"{where} failed ({type(fault).__name__}: {fault}); {kept}. Mend the function, and run the flow again."
            ) from fault
        if told is None:
            return None
        signal, confidence = told if isinstance(told, tuple) and len(told) == 2 else (told, None)
        known = SIGNALS.get(signal.strip().lower()) if isinstance(signal, str) else None
        sure = None if confidence is None else number(confidence)
        if known is None or (confidence is not None and sure is None):
            raise UsageError(
                f'{where} is {told!r}, which is none; {kept}. Give "Buy", "Sell" or "Hold", with a finite confidence or without, or None.'
            )
        return Decided(day, known, sure)

    def _write(self, day: date, at: datetime, made: Day, begun: dict[str, list[dict[str, Any]]]) -> None:
        """Write a session, all of it or nothing."""
        everyone = [account for _, account in sorted(self.accounts.items())]
        values = [(TOTAL, sum(one.value for one in everyone)), *((one.strategy, one.value) for one in everyone)]
        scored = [one for one in everyone if self.tallied.get(one.strategy, 0.0) != one.points]
        held, gone = self._assets(everyone)
        with self.bench.transaction() as writes:
            for table, rows in begun.items():
                writes.append(table, rows)
            writes.append(
                "ampyfin.portfolio_values",
                [
                    {"_id": text_id("portfolio_values", name, day), "name": name, "portfolio_value": value, "timestamp": at}
                    for name, value in values
                ],
            )
            if made.decisions:
                writes.append("ampyfin.strategy_decisions", made.decisions)
            if made.fills:
                writes.append("ampyfin.paper", made.fills)
            writes.upsert("ampyfin.algorithm_holdings", [portfolio(one, at) for one in everyone])
            if scored:
                writes.upsert(
                    "ampyfin.points_tally",
                    [
                        {"_id": one.ids["points"], "strategy": one.strategy, "total_points": one.points, "last_updated": at}
                        for one in scored
                    ],
                )
            if held:
                writes.upsert(
                    "ampyfin.assets_quantities",
                    [{"_id": id, "symbol": symbol, "quantity": count} for symbol, (id, count) in held.items()],
                )
            for symbol in gone:
                writes.delete("ampyfin.assets_quantities", key=self.assets[symbol][0])
            writes.upsert("ampyfin.time_delta", [time_delta(self.weight, at)])
        self.tallied |= {one.strategy: one.points for one in scored}
        self.assets = {symbol: kept for symbol, kept in (self.assets | held).items() if symbol not in gone}

    def _assets(self, everyone: Iterable[Account]) -> tuple[dict[str, tuple[str, float]], list[str]]:
        """Of the symbols whose quantity in all has changed, the `_id` and the quantity; and the symbols of which nothing is held any more."""
        symbols = sorted({*self.tickers, *(ticker for one in everyone for ticker in one.positions)})
        counts = {symbol: self._held(symbol) for symbol in symbols}
        known = {symbol: self.assets.get(symbol, (text_id("assets_quantities", symbol), 0.0)) for symbol in symbols}
        held = {symbol: (known[symbol][0], count) for symbol, count in counts.items() if count > 0 and count != known[symbol][1]}
        return held, [symbol for symbol, count in counts.items() if count <= 0 and symbol in self.assets]

    # ------------------------------------------------------------------ what is told

    def _report(self, decided: int, filled: int) -> Report:
        known: dict[int, float] = dict(self._rows("SELECT rank, coefficient FROM ampyfin.rank_to_coefficient"))
        rows = [
            {
                "rank": n,
                "strategy": one.strategy,
                "points": one.points,
                "coefficient": known.get(n),
                "portfolio_value": one.value,
                "cash": one.cash,
                "sales": one.total,
                "successful": one.successful,
                "neutral": one.neutral,
                "failed": one.failed,
            }
            for n, one in enumerate(paper.ranked(self.accounts.values()), 1)
        ]
        what = f"{len(self.days)} sessions from {self.days[0]} to {self.days[-1]}" if self.days else f"nothing to run after {self.done}"
        title = f"{self.bench.lake.where}: {what}; {decided:,} decisions, {filled:,} fills"
        facts = {"first": self.days[0] if self.days else None, "last": self.done, "sessions": len(self.days)}
        return Report(
            title,
            rows,
            ("neutral", "cash"),
            root=self.bench.lake.where,
            **facts,
            decisions=decided,
            fills=filled,
            tickers=len(self.tickers),
            notes=self.notes,
        )


def portfolio(account: Account, at: datetime) -> dict[str, Any]:
    """A strategy's document in `algorithm_holdings`."""
    return {
        "_id": account.ids["holdings"],
        "strategy": account.strategy,
        "holdings": {ticker: held.quantity for ticker, held in sorted(account.positions.items())},
        "amount_cash": account.cash,
        "total_trades": account.total,
        "successful_trades": account.successful,
        "neutral_trades": account.neutral,
        "failed_trades": account.failed,
        "last_updated": at,
        "portfolio_value": account.value,
    }


def edges(day: date) -> tuple[datetime, datetime]:
    """When a day's session opens and closes; of a day that is no session, the usual hours."""
    if known := sessions.hours(find("stock_day"), day):
        return known.regular
    zone = ZoneInfo(NEW_YORK)
    return tuple(datetime.combine(day, at, zone).astimezone(UTC) for at in (time(9, 30), time(16)))  # type: ignore[return-value]
