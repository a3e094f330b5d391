"""What trades made or lost, and what stayed open: running average cost, a position at a time.

A position is what one portfolio holds of one symbol; less than nothing if it was sold short. What opens or adds to it goes into its cost with the
fee; what closes some of it takes that share of the cost out, and the difference to what it brought is realised, less the fee. A trade that turns a
position round closes it and opens the other, its fee shared by quantity. A split multiplies the quantity on its day, before that day's trades; the cost
stays. Sums are of whole numbers, so that nothing is lost on the way: once a position is closed, what it realised is exactly the money that came in
less what went out.
"""

import threading
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from fractions import Fraction
from functools import partial
from itertools import groupby
from operator import itemgetter
from typing import TYPE_CHECKING, Any, NamedTuple
from zoneinfo import ZoneInfo

from workbench import sessions
from workbench.lake.snapshots import Snapshot
from workbench.query.kept import TELL_OF_SPLITS
from workbench.query.narrow import SCHEMA
from workbench.query.streams import with_frames
from workbench.query.views import literal
from workbench.tables.spec import NEW_YORK

if TYPE_CHECKING:
    import pyarrow as pa
    from duckdb import DuckDBPyConnection

    from workbench.query.documented import Documented

# Quantities, prices and fees are whole numbers of 0.00000001, products of two of them of the square of that.
UNIT = 10**8
EPOCH = date(1970, 1, 1)
# So many symbols at most are named in a query; of more, all are read.
SYMBOLS = 1_000
# A close may be this many days before the first trade, and still be the last known.
BEFORE = 21

# The trades of each kind of account; `owner`, `place` and symbol tell whose position one is of.
ACCOUNTS = {
    "fills": f"""SELECT t.id AS trade_id, coalesce(p.user_id, o.user_id) AS owner, coalesce(o.portfolio_id, 0) AS place, t.symbol,
            CASE t.side WHEN 'buy' THEN 1 ELSE -1 END AS side, t.quantity, t.price, t.fee, t.executed_at,
            (t.executed_at AT TIME ZONE '{NEW_YORK}')::DATE AS date, t.order_id,
            CASE WHEN o.created_at <= t.executed_at THEN o.created_at END AS ordered_at
        FROM transactional.trades AS t
        LEFT JOIN transactional.orders AS o ON o.id = t.order_id
        LEFT JOIN transactional.portfolios AS p ON p.id = o.portfolio_id""",
    "kraken_fills": """SELECT id AS trade_id, 0::BIGINT AS owner, 0::BIGINT AS place, symbol, CASE action WHEN 'BUY' THEN 1 ELSE -1 END AS side,
            amount AS quantity, price, coalesce(fee, 0) AS fee, timestamp AS executed_at, (timestamp AT TIME ZONE 'UTC')::DATE AS date,
            signal_id, strategy_version, created_at
        FROM kraken_bot.prod_trades
        WHERE amount > 0 AND price > 0
            AND lower(status) NOT IN ('new', 'open', 'pending', 'cancelled', 'canceled', 'rejected', 'expired', 'failed')""",
}

# Views of the market's rows of what was traded, and whether they go on after the last trade.
MARKET = {"traded_closes": True, "traded_minutes": False, "traded_quotes": False}
# The trades as whole numbers, in their order; those that happened at one instant, by number.
WHOLE = f"""SELECT owner, place, symbol, side, (quantity * {UNIT})::HUGEINT, (price * {UNIT})::HUGEINT, (fee * {UNIT})::HUGEINT, epoch_us(executed_at),
        date - DATE '{EPOCH}', trade_id
    FROM ordered_trades ORDER BY owner, place, symbol, executed_at, trade_id"""
SPLITS = f"""SELECT ticker, date - DATE '{EPOCH}', since - DATE '{EPOCH}', volume_factor
    FROM workbench.kept_splits SEMI JOIN ordered_trades ON symbol = ticker
    WHERE applies AND volume_factor != 1 AND date <= $day ORDER BY ticker, date"""
SPAN = f"""SELECT list(DISTINCT symbol ORDER BY symbol), min(least(date, (ordered_at AT TIME ZONE '{NEW_YORK}')::DATE)), max(date) FROM ordered_trades"""
FILLS = "SELECT t.*, c.closed, c.realized::DECIMAL(38, 8) AS realized, c.opened, c.average FROM ordered_trades AS t LEFT JOIN of_closed AS c ON c.trade_id = t.trade_id"
HELD = """SELECT * FROM (
        SELECT owner, place, symbol, since, lead(since) OVER (PARTITION BY owner, place, symbol ORDER BY since) AS until, quantity, cash::DECIMAL(38, 8) AS cash
        FROM of_states
    ) WHERE quantity != 0"""
# Ratios of splits have whole numbers up to this; and decimals that DuckDB holds are below this, as whole numbers.
FINEST = 10**6
MOST = 10**38


class Closed(NamedTuple):
    """What a trade closed: how much, what that realised, when the position was opened, and what a unit was traded at then, without fees."""

    quantity: int
    realized: int
    opened: int
    average: float


class Split(NamedTuple):
    """A split: its day, by how much quantities grow, and the first day of the company whose symbol it was then."""

    day: int
    ratio: Fraction
    since: int


@dataclass(slots=True)
class Position:
    """What is held of a symbol. `cash` is what came in for it, less than nothing for what was bought; `traded` the same without sign and fees."""

    quantity: int = 0
    cash: int = 0
    traded: int = 0
    opened: int = 0
    day: int = 0

    def trade(self, side: int, quantity: int, price: int, fee: int, at: int, day: int) -> Closed | None:
        """Buy (1) or sell (-1); what that closed, if anything."""
        fee *= UNIT
        closed = None
        if self.quantity * side < 0:
            held = abs(self.quantity)
            part = min(quantity, held)
            cash, traded, charged = shared(self.cash, part, held), shared(self.traded, part, held), shared(fee, part, quantity)
            closed = Closed(part, cash - side * part * price - charged, self.opened, traded / part / UNIT)
            self.quantity += side * part
            self.cash -= cash
            self.traded -= traded
            fee -= charged
            quantity -= part
        if quantity:
            if not self.quantity:
                self.opened, self.day = at, day
            self.quantity += side * quantity
            self.cash -= side * quantity * price + fee
            self.traded += quantity * price
        return closed

    def split(self, one: Split) -> None:
        """Hold as much more, at the same cost; unless it is another company's split, of which the symbol was not when the position was opened."""
        if self.quantity and self.day >= one.since:
            self.quantity = shared(self.quantity, one.ratio.numerator, one.ratio.denominator) or (1 if self.quantity > 0 else -1)


def shared(whole: int, part: int, of: int) -> int:
    """A share of a whole, to the nearest unit."""
    if part == of:
        return whole
    n, left = divmod(abs(whole) * part, of)
    n += 2 * left >= of
    return n if whole >= 0 else -n


@dataclass
class Folded:
    """What became of trades: of each that closed something what, by its number; and positions, of each day at whose end they changed."""

    closed: dict[int, Closed] = field(default_factory=dict)
    states: list[tuple[Any, Any, str, int, int, int]] = field(default_factory=list)


def fold(trades: Iterable[Sequence[Any]], splits: Mapping[str, Sequence[Split]]) -> Folded:
    """Follow trades in their order. A trade is owner, place, symbol, side, quantity, price, fee, when (µs), its day and its number."""
    folded = Folded()
    for (owner, place, symbol), of_one in groupby(trades, itemgetter(0, 1, 2)):
        position, ahead = Position(), list(reversed(splits.get(symbol, ())))
        for day, on in groupby(of_one, itemgetter(8)):
            for changed in over(position, ahead, day - 1):
                folded.states.append((owner, place, symbol, changed, position.quantity, position.cash))
            for _ in over(position, ahead, day):
                pass
            for trade in on:
                if closed := position.trade(*trade[3:9]):
                    folded.closed[trade[9]] = closed
            folded.states.append((owner, place, symbol, day, position.quantity, position.cash))
        for changed in over(position, ahead, None):
            folded.states.append((owner, place, symbol, changed, position.quantity, position.cash))
    return folded


def over(position: Position, ahead: list[Split], day: int | None) -> Iterator[int]:
    """Have the next splits, up to a day, change a position; the day of each that did. What is past leaves `ahead`."""
    while ahead and (day is None or ahead[-1].day <= day):
        one, before = ahead.pop(), position.quantity
        position.split(one)
        if position.quantity != before:
            yield one.day


# ---------------------------------------------------------------------- the session's


class Fills:
    """The tables in memory of one session. `shown` are the versions that it shows; `at` is the instant that it was opened as of."""

    def __init__(self, shown: Mapping[str, Snapshot], at: datetime | None = None):
        self._shown = shown
        self._day = at.astimezone(ZoneInfo(NEW_YORK)).date() if at else None
        self._lock = threading.Lock()
        self._made: dict[str, object] = {}
        # Which stocks were traded, and from when to when anything was ordered or executed.
        self._traded: tuple[list[str], date, date] | None = None

    def supply(self, documented: "Documented") -> None:
        """Have each brought up to date before a query that names its view."""
        for name in ACCOUNTS:
            documented.supply(f"workbench.{name}", partial(self.fills, name))
        for name, open_end in MARKET.items():
            documented.supply(f"workbench.{name}", partial(self.market, f"workbench.{name}", open_end))

    def fills(self, name: str, con: "DuckDBPyConnection") -> None:
        """What trades closed, and what stayed open, worked out anew if trades, or what tells of splits, moved."""
        query, stocks = ACCOUNTS[name], name == "fills"
        day = self._day or sessions.today()
        versions = (day, *(self._shown[one].version for one in TELL_OF_SPLITS)) if stocks else ()
        # What people write may change under a query that stays the same; to look takes a small part of what to follow takes.
        of = (con.execute(f"SELECT count(*), bit_xor(hash(t)) FROM ({query}) AS t").fetchall(), *versions)
        with self._lock:
            if self._made.get(name) == of:
                return
            con.execute(f"CREATE OR REPLACE TEMP TABLE ordered_trades AS {query}")
            known = splits(con, day) if stocks else {}
            folded = fold(con.execute(WHOLE).fetchall(), known)
            of_closed, of_states = closed_table(folded.closed), states_table(folded.states)
            with_frames(con, f"CREATE OR REPLACE TABLE {SCHEMA}.{name} AS {FILLS}", of_closed=of_closed)
            if stocks:
                with_frames(con, f"CREATE OR REPLACE TABLE {SCHEMA}.held_positions AS {HELD}", of_states=of_states)
                [(symbols, first, last)] = con.execute(SPAN).fetchall()
                self._traded = (symbols, first, last) if symbols else None
            con.execute("DROP TABLE ordered_trades")
            self._made[name] = of

    def market(self, view: str, open_end: bool, _con: "DuckDBPyConnection") -> str:
        """The query for a market's rows of the symbols and days that were traded, as constants, by which files are left out."""
        from workbench.query.documented import every

        tests = ["false"]
        if self._traded:
            symbols, first, last = self._traded
            tests = [f"b.date >= DATE '{first - timedelta(BEFORE)}'" if open_end else f"b.date BETWEEN DATE '{first}' AND DATE '{last}'"]
            if len(symbols) <= SYMBOLS:
                tests.append(f"b.ticker IN ({', '.join(map(literal, symbols))})")
        return f"{every()[view].sql}\nWHERE {' AND '.join(tests)}"


def splits(con: "DuckDBPyConnection", day: date) -> dict[str, list[Split]]:
    """The splits of what was traded, up to a day, in their order."""
    found: dict[str, list[Split]] = {}
    for ticker, on, since, factor in con.execute(SPLITS, {"day": day}).fetchall():
        exact = Fraction(factor).limit_denominator(FINEST) if factor >= 1 else 1 / Fraction(1 / factor).limit_denominator(FINEST)
        found.setdefault(ticker, []).append(Split(on, exact, since))
    return found


def closed_table(closed: Mapping[int, Closed]) -> "pa.Table":
    """What trades closed, as Arrow."""
    import pyarrow as pa

    rows = closed.values()
    return pa.table(
        {
            "trade_id": pa.array(closed, pa.int64()),
            "closed": amounts(one.quantity for one in rows),
            "realized": amounts((one.realized for one in rows), 16),
            "opened": pa.array((one.opened for one in rows), pa.int64()).cast(pa.timestamp("us", "UTC")),
            "average": pa.array((one.average for one in rows), pa.float64()),
        }
    )


def states_table(states: Sequence[tuple[Any, Any, str, int, int, int]]) -> "pa.Table":
    """Positions, as Arrow."""
    import pyarrow as pa

    return pa.table(
        {
            "owner": pa.array((one[0] for one in states), pa.int64()),
            "place": pa.array((one[1] for one in states), pa.int64()),
            "symbol": pa.array((one[2] for one in states), pa.string()),
            "since": pa.array((one[3] for one in states), pa.int32()).cast(pa.date32()),
            "quantity": amounts(one[4] for one in states),
            "cash": amounts((one[5] for one in states), 16),
        }
    )


def amounts(units: Iterable[int], scale: int = 8) -> "pa.Array":
    """Whole numbers of units as Arrow's decimals; NULL for what has more digits than those hold."""
    import pyarrow as pa
    import pyarrow.compute as pc

    told = [one if -MOST < one < MOST else None for one in units]
    values = b"".join((one or 0).to_bytes(16, "little", signed=True) for one in told)
    made = pa.Array.from_buffers(pa.decimal128(38, scale), len(told), [None, pa.py_buffer(values)])
    return pc.if_else(pa.array(one is not None for one in told), made, None) if None in told else made
