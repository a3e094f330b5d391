"""What the platforms' documents initialise: the rows that `workbench init` writes, and why where there is nothing to write.

Data. What is there already stays as it is, whoever wrote it. No users, limits, flags or feeds are made up: those are the user's own.
"""

import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

# What each of AmpyFin's strategies starts with, USD, and the weight of its first scores.
CASH = 50_000.0
TIME_DELTA = 0.01
# The document's example weighs rank 1 with 0.85; each next rank weighs as much of the one before.
COEFFICIENT = 0.85
# The strategies that take part unless others are named, with the period of data that suits each. The document shows the first; the others are the
# best known of its kind.
INDICATORS: Mapping[str, str] = {
    "RSI_indicator": "1mo",
    "MACD_indicator": "3mo",
    "BBANDS_indicator": "1y",
    "SMA_indicator": "1mo",
    "EMA_indicator": "1mo",
    "MOM_indicator": "1mo",
}


@dataclass(frozen=True)
class Asked:
    """What the rows may depend on: the strategies that are to take part, how many there are with those that do already, and the present instant."""

    strategies: Sequence[str]
    count: int
    now: datetime


@dataclass(frozen=True)
class Start:
    """One of a document's initialisations, by the document's name for it: the rows that it writes to a table, or a note on why there are none.

    `by` are the columns that tell whether a row is there already.
    """

    name: str
    table: str = ""
    by: tuple[str, ...] = ()
    rows: Callable[[Asked], Sequence[Mapping[str, Any]]] = lambda _: ()
    note: str = ""


def text_id(*parts: object) -> str:
    """An `_id` that follows from what a document is of, so that it is written once whoever writes it: SQL's `left(md5('a b'), 24)`."""
    return hashlib.md5(" ".join(map(str, parts)).encode(), usedforsecurity=False).hexdigest()[:24]


def holdings(strategies: Sequence[str], at: datetime) -> list[dict[str, Any]]:
    """A document of `algorithm_holdings` for each strategy, before its first trade."""
    return [
        {
            "_id": text_id("algorithm_holdings", name),
            "strategy": name,
            "holdings": {},
            "amount_cash": CASH,
            "initialized_date": at,
            "total_trades": 0,
            "successful_trades": 0,
            "neutral_trades": 0,
            "failed_trades": 0,
            "last_updated": at,
            "portfolio_value": CASH,
        }
        for name in strategies
    ]


def points(strategies: Sequence[str], at: datetime) -> list[dict[str, Any]]:
    """A document of `points_tally` for each strategy, without points."""
    return [
        {"_id": text_id("points_tally", name), "strategy": name, "total_points": 0.0, "initialized_date": at, "last_updated": at}
        for name in strategies
    ]


def coefficients(count: int) -> list[dict[str, Any]]:
    """The weights of the ranks from 1 on."""
    return [{"_id": text_id("rank_to_coefficient", rank), "rank": rank, "coefficient": COEFFICIENT**rank} for rank in range(1, count + 1)]


def time_delta(value: float, at: datetime) -> dict[str, Any]:
    """The weight of scores, as `time_delta` keeps it."""
    return {"name": "time_delta", "value": value, "updated_at": at}


STARTS: Mapping[str, tuple[Start, ...]] = {
    "shrek": (Start("stock_prices, stock_fundamentals", note="Nothing to write: `workbench refresh` fills them."),),
    "ampyfin": (
        Start("initialize_rank()", "ampyfin.algorithm_holdings", ("strategy",), lambda asked: holdings(asked.strategies, asked.now)),
        Start("initialize_rank()", "ampyfin.points_tally", ("strategy",), lambda asked: points(asked.strategies, asked.now)),
        Start("initialize_rank()", "ampyfin.rank_to_coefficient", ("rank",), lambda asked: coefficients(asked.count)),
        Start("initialize_time_delta()", "ampyfin.time_delta", ("name",), lambda asked: [time_delta(TIME_DELTA, asked.now)]),
        Start("initialize_market_setup()", note="Nothing to write: `ampyfin.market_status` follows from the calendar and the clock."),
        Start(
            "initialize_indicator_setup()",
            "ampyfin.indicators",
            ("indicator",),
            lambda asked: [
                {"_id": text_id("indicators", name), "indicator": name, "ideal_period": INDICATORS.get(name, "1mo")}
                for name in asked.strategies
            ],
        ),
    ),
    "kraken_bot": (
        Start("init_db()", note="Nothing to write: the tables are here as declared."),
        Start(
            "How Test Data is Tagged",
            note="Nothing to write: the rules are declared with the tables; [test_rules] in workbench.toml changes them.",
        ),
        Start("rss_feeds, bot_status", note='Nothing to write: feeds and status are the bot\'s own, as bench.upsert("kraken_bot.rss_feeds", rows).'),
    ),
    "tetra": (
        Start("init.sql", note="Nothing to write: schemas, tables, checks and rollups are here as declared; `workbench refresh` fills them."),
    ),
    "layers": (
        Start("transactional/manager.py", note='Nothing to write: users and portfolios are your own, as bench.add("transactional.users", {…}).'),
        Start("historical/schemas.q", note="Nothing to write: trades and quotes come with `workbench refresh`, or with bench.append."),
        Start("analytics/aggregations.py", note="Nothing to write: it is computed from trades and bars."),
        Start(
            "utilities/model_params.py",
            "utilities.model_params",
            ("model", "name"),
            # The one parameter that the document sets.
            lambda _: [{"model": "strategy", "name": "max_position_size", "value": "1000", "type": "int", "updated_by": "workbench init"}],
        ),
        Start("risk_limits, feature_flags", note='Nothing to write: limits and flags are your own, as bench.upsert("utilities.risk_limits", rows).'),
    ),
}  # fmt: skip
