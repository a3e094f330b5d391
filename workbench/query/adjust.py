"""Prices as corporate actions leave them: the factors of a ticker's bars, and frames of bars multiplied by them.

What an action does to prices is SQL's to say (`macros/actions_of.sql`); here its factors are kept in memory, and applied. A factor holds
for a stretch of sessions, so that only the rows of such a stretch are touched.
"""

from collections import OrderedDict
from collections.abc import Callable, Hashable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from itertools import pairwise
from threading import Lock
from typing import TYPE_CHECKING, Any

from workbench.errors import UsageError
from workbench.query import kept
from workbench.query.rows import Rows

if TYPE_CHECKING:
    import polars as pl

Sql = Callable[..., Any]

ADJUSTED = ("none", "splits", "all")
PRICES = ("open", "high", "low", "close", "vwap")
# Answers that are kept in memory.
ANSWERS = 64

ALL_SPLITS = "SELECT ticker, since, date, price_factor, volume_factor FROM workbench.kept_splits WHERE applies"
ACTIONS = """SELECT asked, since, date, price_factor, volume_factor, kind = 'split' FROM main.actions_of($tickers, as_of_date := $as_of, along := $along)
    WHERE applies AND (kind = 'split' OR $all)"""
UNDONE = """SELECT ticker, date, price_factor AS __price, volume_factor AS __volume FROM workbench.kept_yahoo
    WHERE base_table = $table AND list_contains($tickers, ticker)"""


@dataclass(frozen=True)
class Action:
    """What an action does to the bars from `since` on and before `day`: prices times `price`, volumes times `volume`."""

    since: date
    day: date
    price: float
    volume: float
    is_split: bool = True


@dataclass(frozen=True)
class Step:
    """The factors of the sessions from `since` on and before `until`: prices times `price`, volumes times `volume`."""

    since: date
    until: date
    price: float
    volume: float


@dataclass(frozen=True)
class Steps:
    """The factors of some tickers, each in order of time. `applied` are those that were asked for; `splits` those of splits alone."""

    applied: Mapping[str, Sequence[Step]] = field(default_factory=dict)
    splits: Mapping[str, Sequence[Step]] = field(default_factory=dict)

    def multiply(self, rows: "pl.DataFrame") -> "pl.DataFrame":
        """Bars, sorted by ticker and date, at adjusted prices and volumes; the same rows, uncopied, if nothing applies to them."""
        touched = list(stretches(rows, self.applied))
        if not touched:
            return rows
        prices = [(start, end, step.price) for step, start, end in touched]
        volumes = [(start, end, step.volume) for step, start, end in touched]
        wanted = [(name, prices) for name in PRICES if name in rows.columns] + [("volume", volumes)]
        # With one thread: measured, several fight for the memory's bandwidth and for fresh pages, and take twice as long.
        return rows.with_columns(scaled(rows[name], parts) for name, parts in wanted)

    def shares(self, rows: "pl.DataFrame") -> "pl.Series | None":
        """For each of the rows, sorted by ticker and date, the price factor of splits alone; None if all are 1."""
        import numpy as np
        import polars as pl

        touched = list(stretches(rows, self.splits))
        if not touched:
            return None
        made = np.ones(len(rows))
        for step, start, end in touched:
            made[start:end] = step.price
        return pl.Series("shares", made)


class Answers:
    """The newest of the answers that were asked for."""

    def __init__(self, limit: int = ANSWERS):
        self._limit = limit
        self._held: OrderedDict[Hashable, Any] = OrderedDict()
        self._lock = Lock()

    def __call__(self, name: Hashable, make: Callable[[], Any]) -> Any:
        """The answer of a name; made if it is not held."""
        with self._lock:
            if name in self._held:
                self._held.move_to_end(name)
                return self._held[name]
        made = make()
        with self._lock:
            self._held[name] = made
            while len(self._held) > self._limit:
                self._held.popitem(last=False)
        return made


KEPT = Answers()


def steps(source: Rows, sql: Sql, tickers: Iterable[str], adjusted: str, as_of: date, follow: bool = False) -> Steps:
    """The factors of some tickers' bars as of a date; `follow` has those of their earlier symbols count, too. Raises `UsageError`.

    They are kept in memory while the tables that tell of them stand still.
    """
    if adjusted not in ADJUSTED:
        raise UsageError(
            f"adjusted={adjusted!r} is not known; nothing was read. Say {', '.join(map(repr, ADJUSTED[:-1]))} or {ADJUSTED[-1]!r}."
        )
    names = tuple(dict.fromkeys(tickers))
    dividends = adjusted == "all"
    marks = (*kept.TELL_OF_SPLITS, "dividends", *kept.FROM_YAHOO[:1]) if dividends else kept.TELL_OF_SPLITS
    mark = tuple(stand(source, name) for name in marks)

    def made() -> Steps:
        if dividends or follow:
            found = listed(sql, names, as_of, dividends, follow)
        else:
            found = split(KEPT(("splits", mark), lambda: sql(ALL_SPLITS).pl().sort("ticker")), names, as_of)
        applied = {ticker: stepped(actions) for ticker, actions in found.items()} if adjusted != "none" else {}
        splits = (
            {ticker: stepped(filter(lambda one: one.is_split, actions)) for ticker, actions in found.items()}
            if dividends or not applied
            else applied
        )
        return Steps(applied, splits)

    answer: Steps = KEPT((mark, names, adjusted, as_of, follow), made)
    return answer


def stand(source: Rows, table: str) -> Hashable:
    """What tells how a table stands: its version, and a file of it, since another lake may have come to stand in the same folder."""
    shot = source.shots(table)
    return source.lake.root, table, shot.version, shot.stats["path"][0].as_py() if shot.stats else None


def listed(sql: Sql, tickers: Sequence[str], as_of: date, dividends: bool, follow: bool) -> dict[str, list[Action]]:
    """The actions of some tickers that apply, of each ticker that has some."""
    found: dict[str, list[Action]] = {}
    for ticker, *told in sql(ACTIONS, tickers=list(tickers), as_of=as_of, along=follow, all=dividends).fetchall():
        found.setdefault(ticker, []).append(Action(*told))
    return found


def split(whole: "pl.DataFrame", tickers: Sequence[str], as_of: date) -> dict[str, list[Action]]:
    """The same of splits alone, out of all there are, by ticker."""
    found = {}
    for ticker in tickers:
        low, high = (int(whole["ticker"].search_sorted(ticker, side=side)) for side in ("left", "right"))
        own = [Action(*told) for told in whole[low:high, 1:].iter_rows()]
        if any(one.day <= as_of for one in own):
            found[ticker] = [one for one in own if one.day <= as_of]
    return found


def stepped(actions: Iterable[Action]) -> list[Step]:
    """What actions do together: stretches of sessions, in order of time, each with its factors."""
    days: dict[date, list[Action]] = {}
    for one in actions:
        days.setdefault(one.day, []).append(one)
    found: list[Step] = []
    # Actions that reach back to the same day are of one company, and add up.
    sofar: dict[date, tuple[float, float]] = {}
    dates = sorted(days, reverse=True)
    for day, before in pairwise([*dates, date.min]):
        since = days[day][0].since
        price, volume = sofar.get(since, (1.0, 1.0))
        for one in days[day]:
            price, volume = price * one.price, volume * one.volume
        sofar[since] = price, volume
        if (price, volume) != (1.0, 1.0):
            found.append(Step(max(since, before), day, price, volume))
    return found[::-1]


# ---------------------------------------------------------------------- apply


def stretches(rows: "pl.DataFrame", steps: Mapping[str, Sequence[Step]]) -> Iterator[tuple[Step, int, int]]:
    """The rows that each step applies to, from the first on and before the last."""
    import numpy as np

    if not steps or not len(rows):
        return
    days = rows["date"].to_physical().to_numpy()
    for ticker, low, high in runs(rows["ticker"]):
        if own := steps.get(ticker):
            edges = np.array([day for step in own for day in (step.since, step.until)], "datetime64[D]").astype(days.dtype)
            places = (low + np.searchsorted(days[low:high], edges)).tolist()
            for step, start, end in zip(own, places[::2], places[1::2], strict=True):
                if start < end:
                    yield step, start, end


def runs(tickers: "pl.Series") -> Iterator[tuple[str, int, int]]:
    """The runs of one ticker in sorted tickers: where each begins, and where it has ended."""
    if tickers[0] == tickers[-1]:
        yield tickers[0], 0, len(tickers)
        return
    start = 0
    for length, ticker in tickers.rle().struct.unnest().select("len", "value").iter_rows():
        yield ticker, start, start + length
        start += length


def scaled(column: "pl.Series", parts: Sequence[tuple[int, int, float]]) -> "pl.Series":
    """A column with some of its stretches, in order, multiplied, each by its factor."""
    import numpy as np
    import polars as pl
    import pyarrow as pa

    if column.null_count() or column.n_chunks() > 1 or column.dtype != pl.Float64:
        factors = np.ones(len(column))
        for start, end, factor in parts:
            factors[start:end] = factor
        return column * pl.Series(factors)
    values = column.to_numpy()
    # In pyarrow's pool, which keeps its memory: memory fresh from the system costs more than to multiply.
    room = pa.allocate_buffer(values.nbytes)
    made: np.ndarray[Any, Any] = np.frombuffer(room, values.dtype)
    done = 0
    for start, end, factor in parts:
        made[done:start] = values[done:start]
        np.multiply(values[start:end], factor, out=made[start:end])
        done = end
    made[done:] = values[done:]
    series = pl.from_arrow(pa.Array.from_buffers(pa.float64(), len(values), [None, room]))
    assert isinstance(series, pl.Series)
    return series.alias(column.name)


# ---------------------------------------------------------------------- Yahoo's


def basis(source: Rows, table: str) -> Mapping[date, date]:
    """For each session of a table that Yahoo gave: the day in New York on which it did, up to which its prices are adjusted for splits."""
    version = source.shots(table).version
    found: Mapping[date, date] = KEPT(
        ("yahoo", stand(source, table)), lambda: kept.bases(source.lake, table, version) if table in kept.FROM_YAHOO else {}
    )
    return found


def as_traded(sql: Sql, table: str, rows: "pl.DataFrame") -> "pl.DataFrame":
    """Bars of a table, with the column `source`, at prices and volumes as traded, without that column: only Yahoo's come otherwise.

    A bar's symbol is its `traded_as`, where there is such a column.
    """
    import polars as pl

    symbol = "traded_as" if "traded_as" in rows.columns else "ticker"
    its = rows.filter(pl.col("source") == "yahoo")[symbol].unique().to_list()
    undone = sql(UNDONE, table=table, tickers=its).pl() if its else None
    if undone is None or not len(undone):
        return rows.drop("source")
    joined = rows.join(undone, left_on=[symbol, "date"], right_on=["ticker", "date"], how="left", maintain_order="left")
    wanted = (pl.col("source") == "yahoo") & pl.col("__price").is_not_null()
    factors = dict.fromkeys((name for name in PRICES if name in rows.columns), "__price") | {"volume": "__volume"}
    changed = (pl.when(wanted).then(pl.col(name) * pl.col(factor)).otherwise(pl.col(name)).alias(name) for name, factor in factors.items())
    return joined.with_columns(changed).select(pl.exclude("source", "__price", "__volume"))
