"""The layer's `utilities`: reference data and configuration."""

from datetime import UTC, date, datetime
from decimal import Decimal

from workbench.tables.record import Check, Field, Record

DOCUMENT = "004_26ba1580175c944d"
AMOUNT = "DECIMAL(20,8)"
UPDATED_AT = Field("updated_at", "TIMESTAMPTZ", "When the row was last changed.", default="now()")

MODEL_PARAMS = Record(
    schema="utilities",
    name="model_params",
    doc="Parameters of models.",
    columns=(
        Field("model", "VARCHAR", "Name of the model."),
        Field("name", "VARCHAR", "Name of the parameter."),
        Field("value", "JSON", "Its value."),
        Field("type", "VARCHAR", "Type of the value, as int or json.", default="'json'"),
        Field("version", "BIGINT", "Number of the value's version.", default="1"),
        UPDATED_AT,
        Field("updated_by", "VARCHAR", "Who set it.", required=False),
    ),
    key=("model", "name"),
    example={"model": "strategy", "name": "max_position_size", "value": "1000"},
    document=DOCUMENT,
)

INSTRUMENTS = Record(
    schema="utilities",
    name="instruments",
    doc="Instruments that can be traded.",
    columns=(
        Field("symbol", "VARCHAR", "Ticker, as AAPL."),
        Field("name", "VARCHAR", "Name of the company or fund."),
        Field("type", "VARCHAR", "Kind of instrument, as CS for common stock."),
        Field("exchange", "VARCHAR", "Where it is listed, as XNAS."),
        Field("currency", "VARCHAR", "The currency that it trades in, as USD."),
        Field("lot_size", "DOUBLE", "How many make a round lot.", default="1"),
        Field("tick_size", "DOUBLE", "Smallest step of its price.", required=False),
        Field("active", "BOOLEAN", "Whether it trades now.", default="true"),
        Field("listed", "DATE", "The day on which it was listed.", required=False),
        Field("delisted", "DATE", "The day on which it ceased to be.", required=False),
        Field("figi", "VARCHAR", "Composite FIGI.", required=False),
        Field("cik", "VARCHAR", "The SEC's number of the company.", required=False),
    ),
    key=("symbol",),
    fed=("tickers",),
    example={
        "symbol": "BTCUSD",
        "name": "Bitcoin in US dollars",
        "type": "crypto",
        "exchange": "KRAKEN",
        "currency": "USD",
        "lot_size": 0.0001,
        "tick_size": 0.1,
        "active": True,
    },
    document=DOCUMENT,
)

HOLIDAYS = Record(
    schema="utilities",
    name="holidays",
    doc="Days on which an exchange is closed, or closes early.",
    columns=(
        Field("exchange", "VARCHAR", "The exchange, as XNYS."),
        Field("date", "DATE", "The day."),
        Field("name", "VARCHAR", "Name of the holiday."),
        Field("status", "VARCHAR", "closed or early_close."),
        Field("open", "TIMESTAMPTZ", "When it opens, if it does.", required=False),
        Field("close", "TIMESTAMPTZ", "When it closes, if it opens.", required=False),
    ),
    key=("exchange", "date"),
    checks=(Check("status", "status IN ('closed', 'early_close')"),),
    fed=("calendar",),
    example={
        "exchange": "XLON",
        "date": date(2025, 12, 24),
        "name": "Christmas Eve",
        "status": "early_close",
        "open": datetime(2025, 12, 24, 8, 0, tzinfo=UTC),
        "close": datetime(2025, 12, 24, 12, 30, tzinfo=UTC),
    },
    document=DOCUMENT,
)

RISK_LIMITS = Record(
    schema="utilities",
    name="risk_limits",
    doc="Limits of risk, by what they hold for.",
    columns=(
        Field("scope", "VARCHAR", "What it holds for, as user."),
        Field("scope_id", "VARCHAR", "Which of them."),
        Field("name", "VARCHAR", "Name of the limit."),
        Field("limit_value", AMOUNT, "The limit."),
        Field("currency", "VARCHAR", "Its currency, if it is money.", required=False),
        Field("active", "BOOLEAN", "Whether it is in force.", default="true"),
        UPDATED_AT,
    ),
    key=("scope", "scope_id", "name"),
    example={"scope": "user", "scope_id": "1", "name": "max_order_value", "limit_value": Decimal("50000.00"), "currency": "USD"},
    document=DOCUMENT,
)

FEATURE_FLAGS = Record(
    schema="utilities",
    name="feature_flags",
    doc="Features that can be turned on and off.",
    columns=(
        Field("name", "VARCHAR", "Name of the feature."),
        Field("enabled", "BOOLEAN", "Whether it is on.", default="false"),
        Field("rollout_percent", "DOUBLE", "For which share of users, from 0 to 100.", default="100"),
        Field("description", "VARCHAR", "What it does.", required=False),
        UPDATED_AT,
    ),
    key=("name",),
    checks=(Check("rollout_percent", "rollout_percent BETWEEN 0 AND 100"),),
    example={"name": "new_router", "enabled": True, "rollout_percent": 25.0, "description": "Routes orders by cost."},
    document=DOCUMENT,
)

RECORDS = (MODEL_PARAMS, INSTRUMENTS, HOLIDAYS, RISK_LIMITS, FEATURE_FLAGS)
