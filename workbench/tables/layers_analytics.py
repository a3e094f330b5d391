"""The layer's `analytics`: figures of users, trades and the system."""

from datetime import UTC, date, datetime
from decimal import Decimal

from workbench.tables.record import Field, Record

DOCUMENT = "004_26ba1580175c944d"
AMOUNT = "DECIMAL(20,8)"
AT = datetime(2025, 11, 24, 14, 30, tzinfo=UTC)

DAILY_PNL = Record(
    schema="analytics",
    name="daily_pnl",
    doc="Profit and loss of each user by day.",
    columns=(
        Field("user_id", "BIGINT", "Whose it is."),
        Field("date", "DATE", "The day."),
        Field("portfolio_id", "BIGINT", "The portfolio; 0 where it is of all of them, or orders name none.", default="0"),
        Field("realized_pnl", AMOUNT, "Profit less loss of what was closed that day, fees taken off."),
        Field("unrealized_pnl", AMOUNT, "Profit less loss of what was open at its end."),
        Field("total_pnl", AMOUNT, "Both together."),
        Field("fees", AMOUNT, "What trading cost that day; already taken off.", required=False),
        Field("turnover", AMOUNT, "What was traded that day, in money.", required=False),
    ),
    key=("user_id", "date", "portfolio_id"),
    example={
        "user_id": 1,
        "date": date(2025, 11, 23),
        "realized_pnl": Decimal(100),
        "unrealized_pnl": Decimal(50),
        "total_pnl": Decimal(150),
    },
    fed=("transactional.trades", "stock_day"),
    document=DOCUMENT,
)

TRADER_METRICS = Record(
    schema="analytics",
    name="trader_metrics",
    doc="How each trader did in a period.",
    columns=(
        Field("user_id", "BIGINT", "Whose it is."),
        Field("period_start", "DATE", "First day of the period."),
        Field("period_end", "DATE", "Last day of the period."),
        Field("trades", "BIGINT", "Count of trades that closed some of a position."),
        Field("win_rate", "DOUBLE", "Share of trades with a profit, from 0 to 1."),
        Field("average_win", AMOUNT, "Profit of a trade with a profit, on average."),
        Field("average_loss", AMOUNT, "Loss of a trade with a loss, on average."),
        Field("profit_factor", "DOUBLE", "All profits over all losses."),
        Field("sharpe", "DOUBLE", "Sharpe ratio.", required=False),
        Field("sortino", "DOUBLE", "Sortino ratio.", required=False),
        Field("max_drawdown", "DOUBLE", "The deepest fall from a high, as a share of it."),
        Field("turnover", AMOUNT, "What was traded, in money."),
    ),
    key=("user_id", "period_start", "period_end"),
    example={
        "user_id": 1,
        "period_start": date(2025, 11, 1),
        "period_end": date(2025, 11, 30),
        "trades": 40,
        "win_rate": 0.55,
        "average_win": Decimal("120.00"),
        "average_loss": Decimal("80.00"),
        "profit_factor": 1.83,
        "sharpe": 1.2,
        "max_drawdown": 0.04,
        "turnover": Decimal("250000.00"),
    },
    fed=("transactional.trades", "analytics.daily_pnl"),
    document=DOCUMENT,
)

SYSTEM_PERFORMANCE = Record(
    schema="analytics",
    name="system_performance",
    doc="How the system itself does.",
    columns=(
        Field("time", "TIMESTAMPTZ", "When it was measured."),
        Field("component", "VARCHAR", "The part of the system."),
        Field("metric", "VARCHAR", "What was measured."),
        Field("value", "DOUBLE", "How much."),
        Field("unit", "VARCHAR", "The unit of the value, as ms."),
    ),
    key=("time", "component", "metric"),
    example={"time": AT, "component": "gateway", "metric": "latency_p99", "value": 4.2, "unit": "ms"},
    fed=("data_sync_log",),
    document=DOCUMENT,
)

TRADE_ANALYTICS = Record(
    schema="analytics",
    name="trade_analytics",
    doc="How well each trade was executed.",
    columns=(
        Field("trade_id", "BIGINT", "Number of the trade."),
        Field("symbol", "VARCHAR", "What was traded, as AAPL."),
        Field("arrival_price", AMOUNT, "Price when the order came.", required=False),
        Field("vwap_interval", AMOUNT, "Volume-weighted average price while it was executed.", required=False),
        Field("slippage_bps", "DOUBLE", "How much worse than the arrival price, in 0.01 % of it.", required=False),
        Field("spread_bps", "DOUBLE", "Spread at the execution, in 0.01 % of the mid price.", required=False),
        Field("holding_seconds", "DOUBLE", "How long the position was held.", required=False),
        Field("realized_pnl", AMOUNT, "Profit less loss of what it closed, fees taken off.", required=False),
        Field("mae", "DOUBLE", "The furthest that the price moved against the position, in money a share.", required=False),
        Field("mfe", "DOUBLE", "The furthest that it moved in its favour, in money a share.", required=False),
    ),
    key=("trade_id",),
    example={"trade_id": 1, "symbol": "AAPL", "arrival_price": Decimal("149.98"), "slippage_bps": 1.33, "spread_bps": 1.33},
    fed=("transactional.trades", "stock_minute", "stock_quotes"),
    document=DOCUMENT,
)

RECORDS = (DAILY_PNL, TRADER_METRICS, SYSTEM_PERFORMANCE, TRADE_ANALYTICS)
