"""The layer's `transactional`: users, orders, trades and what they hold."""

from datetime import UTC, datetime
from decimal import Decimal

from workbench.tables.record import Check, Field, Record, Reference

DOCUMENT = "004_26ba1580175c944d"
AMOUNT = "DECIMAL(20,8)"
UPDATED_AT = Field("updated_at", "TIMESTAMPTZ", "When the row was last changed.", default="now()")
SIDE = Check("side", "side IN ('buy', 'sell')")
AT = datetime(2025, 11, 24, 14, 30, tzinfo=UTC)

USERS = Record(
    schema="transactional",
    name="users",
    doc="Accounts of users.",
    columns=(
        Field("id", "BIGINT", "Number of the user.", serial=True),
        Field("username", "VARCHAR", "Name to log in with."),
        Field("email", "VARCHAR", "Address of the user."),
        Field("password_hash", "VARCHAR", "Hash of the password, if kept here.", required=False),
        Field("role", "VARCHAR", "What the user may do, as trader.", default="'trader'"),
        Field("active", "BOOLEAN", "Whether the account is in use.", default="true"),
        Field("created_at", "TIMESTAMPTZ", "When the account was made.", default="now()"),
    ),
    key=("id",),
    unique=(("username",), ("email",)),
    example={"username": "ada", "email": "ada@example.com", "role": "trader"},
    document=DOCUMENT,
)

CLIENTS = Record(
    schema="transactional",
    name="clients",
    doc="Registered clients.",
    columns=(
        Field("id", "BIGINT", "Number of the client.", serial=True),
        Field("name", "VARCHAR", "Name of the client."),
        Field("type", "VARCHAR", "Kind of client, as fund."),
        Field("contact", "VARCHAR", "How to reach the client.", required=False),
        Field("status", "VARCHAR", "State of the registration, as active.", default="'active'"),
        Field("registered_at", "TIMESTAMPTZ", "When the client registered.", default="now()"),
    ),
    key=("id",),
    example={"name": "Example Fund", "type": "fund", "contact": "desk@example.com", "status": "active"},
    document=DOCUMENT,
)

PORTFOLIOS = Record(
    schema="transactional",
    name="portfolios",
    doc="Portfolios of users.",
    columns=(
        Field("id", "BIGINT", "Number of the portfolio.", serial=True),
        Field("user_id", "BIGINT", "Whose it is."),
        Field("name", "VARCHAR", "Its name."),
        Field("base_currency", "VARCHAR", "The currency that it is valued in.", default="'USD'"),
        Field("cash", AMOUNT, "Cash in it, in that currency.", default="0"),
        Field("created_at", "TIMESTAMPTZ", "When it was made.", default="now()"),
    ),
    key=("id",),
    references=(Reference(("user_id",), "transactional.users", ("id",)),),
    example={"user_id": 1, "name": "Main", "base_currency": "USD", "cash": Decimal("100000.00")},
    document=DOCUMENT,
)

POSITIONS = Record(
    schema="transactional",
    name="positions",
    doc="What each portfolio holds now.",
    columns=(
        Field("portfolio_id", "BIGINT", "The portfolio that holds it."),
        Field("symbol", "VARCHAR", "What is held, as AAPL."),
        Field("quantity", AMOUNT, "How much of it; less than 0 if sold short."),
        Field("average_price", AMOUNT, "What a unit cost on average."),
        UPDATED_AT,
    ),
    key=("portfolio_id", "symbol"),
    references=(Reference(("portfolio_id",), "transactional.portfolios", ("id",)),),
    example={"portfolio_id": 1, "symbol": "AAPL", "quantity": Decimal(100), "average_price": Decimal("150.00")},
    document=DOCUMENT,
)

ORDERS = Record(
    schema="transactional",
    name="orders",
    doc="Orders, whatever became of them.",
    columns=(
        Field("id", "BIGINT", "Number of the order.", serial=True),
        Field("user_id", "BIGINT", "Who ordered."),
        Field("portfolio_id", "BIGINT", "The portfolio that it is for.", required=False),
        Field("client_id", "BIGINT", "The client that it is for.", required=False),
        Field("symbol", "VARCHAR", "What was ordered, as AAPL."),
        Field("side", "VARCHAR", "buy or sell."),
        Field("order_type", "VARCHAR", "market, limit, stop or stop_limit."),
        Field("quantity", AMOUNT, "How much was ordered."),
        Field("price", AMOUNT, "Limit of the price.", required=False),
        Field("stop_price", AMOUNT, "Price at which a stop order comes to life.", required=False),
        Field("time_in_force", "VARCHAR", "How long it stands, as day.", default="'day'"),
        Field("status", "VARCHAR", "new, partially_filled, filled, cancelled or rejected.", default="'new'"),
        Field("filled_quantity", AMOUNT, "How much of it was executed.", default="0"),
        Field("created_at", "TIMESTAMPTZ", "When it was ordered.", default="now()"),
        UPDATED_AT,
    ),
    key=("id",),
    checks=(
        SIDE,
        Check("order_type", "order_type IN ('market', 'limit', 'stop', 'stop_limit')"),
        Check("quantity", "quantity > 0"),
        Check("status", "status IN ('new', 'partially_filled', 'filled', 'cancelled', 'rejected')"),
    ),
    references=(
        Reference(("user_id",), "transactional.users", ("id",)),
        Reference(("portfolio_id",), "transactional.portfolios", ("id",)),
        Reference(("client_id",), "transactional.clients", ("id",)),
    ),
    example={
        "user_id": 1,
        "symbol": "AAPL",
        "side": "buy",
        "order_type": "limit",
        "quantity": Decimal(100),
        "price": Decimal("150.0"),
    },
    document=DOCUMENT,
)

TRADES = Record(
    schema="transactional",
    name="trades",
    doc="Executed trades, each of an order.",
    columns=(
        Field("id", "BIGINT", "Number of the trade.", serial=True),
        Field("order_id", "BIGINT", "The order that it executed."),
        Field("symbol", "VARCHAR", "What was traded, as AAPL."),
        Field("side", "VARCHAR", "buy or sell."),
        Field("quantity", AMOUNT, "How much was traded."),
        Field("price", AMOUNT, "At which price."),
        Field("fee", AMOUNT, "What it cost.", default="0"),
        Field("executed_at", "TIMESTAMPTZ", "When it was executed."),
    ),
    key=("id",),
    checks=(SIDE, Check("quantity", "quantity > 0"), Check("price", "price > 0")),
    references=(Reference(("order_id",), "transactional.orders", ("id",)),),
    example={
        "order_id": 1,
        "symbol": "AAPL",
        "side": "buy",
        "quantity": Decimal(100),
        "price": Decimal("150.0"),
        "fee": Decimal("1.00"),
        "executed_at": AT,
    },
    document=DOCUMENT,
)

RECORDS = (USERS, ORDERS, TRADES, PORTFOLIOS, POSITIONS, CLIENTS)
