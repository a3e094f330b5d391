"""What the platforms' documents name besides tables, and what stands for it here: functions, endpoints, settings, scripts, commands, statements.

Data, declared once; tables, collections and databases follow from the declarations (`documents.py`). `name` is as the document writes it. What has
no equal here says why; what is to come says that it is not there yet.
"""

from dataclasses import dataclass
from typing import Literal

State = Literal["here", "not yet", "not mirrored"]


@dataclass(frozen=True)
class Mirror:
    """One thing that a document names: its kind, what stands for it here, and a remark; without `here`, the remark says why nothing does.

    `soon` is true of what is not there yet; `here` is then what comes nearest to it today.
    """

    name: str
    kind: str
    here: str = ""
    note: str = ""
    soon: bool = False

    @property
    def state(self) -> State:
        """Whether it is here, not yet, or not at all."""
        return "not yet" if self.soon else "here" if self.here else "not mirrored"


@dataclass(frozen=True)
class Unbound:
    """What stands in a document, or is of its dialect, and does not bind or parse here, even while its platform is in use."""

    platform: str
    written: str
    why: str
    nearest: str


SERVERLESS = "There is no server to connect to: the lake is a folder, and a bench may be shared by threads."
COPY = "The lake is a folder of files; copied while nothing writes to it, it is a backup."
NO_INDEX = "Nothing needs it: files are sorted by ticker, and their statistics tell a query which of them to read."
NO_BROKER = "The workbench keeps records and sends no orders."
NO_MACHINE = "It manages a database's server or container, of which there is none."
STARTS = "What is there already stays as it is."
PER_ROW = "One row, which it gives back with its number; `bench.append` takes many."

SHREK = (
    Mirror(
        "Database Management",
        "screen",
        "workbench.panels.RefreshPanel(bench)",
        "In a notebook, not in Gradio; StatusPanel shows the state.",
    ),
    Mirror(
        "Refresh Database",
        "button",
        "bench.refresh(source, symbols, days)",
        "Its button in RefreshPanel; `workbench refresh` at the prompt.",
    ),
    Mirror("Get Database Status", "button", "bench.status()", "StatusPanel in a notebook; `workbench status` at the prompt."),
    Mirror("get_market_db()", "function", "workbench.open()"),
    Mirror(
        "db.reset_tables()",
        "function",
        'bench.reset("shrek")',
        "Empties what market data fills; can be undone until vacuum. What people wrote is emptied by bench.reset_tables.",
    ),
    Mirror("_get_connection", "function", "bench.sql(query)", "Each thread has a cursor of its own."),
    Mirror(
        "PRAGMA foreign_keys",
        "statement",
        "",
        "References between tables are declared, and hold for whatever is written; there is no switch.",
    ),
    Mirror("data_sync_log", "journal", "data_sync_log", "In `main` too: the same rows as shrek.data_sync_log."),
    Mirror("polygon_s3", "source", "polygon_s3", "`--source` or WORKBENCH_SOURCE."),
    Mirror("polygon_api", "source", "polygon_api", "`--source` or WORKBENCH_SOURCE."),
    Mirror("yahoo", "source", "yahoo", "`--source` or WORKBENCH_SOURCE; prices too, as the last leg, if WORKBENCH_YAHOO allows."),
    Mirror("POLYGON_S3_ACCESS_KEY", "setting", "POLYGON_S3_ACCESS_KEY"),
    Mirror("POLYGON_S3_SECRET_KEY", "setting", "POLYGON_S3_SECRET_KEY"),
    Mirror("POLYGON_S3_FALLBACK", "setting", "POLYGON_S3_FALLBACK"),
    Mirror("POLYGON_API_KEY", "setting", "POLYGON_API_KEY", "MASSIVE_API_KEY is read, too."),
    Mirror("default universe", "setting", "WORKBENCH_UNIVERSE"),
    Mirror("POST /database/refresh", "endpoint", "bench.refresh(source, symbols, days)", "There is no web service yet.", soon=True),
    Mirror("GET /database/status", "endpoint", "bench.status()", "There is no web service yet.", soon=True),
)

AMPYFIN = (
    Mirror("dbs/databases/price_data.db", "file", "ampyfin.price_data", "There is no file of its own."),
    Mirror("dbs/databases/strategy_decisions.db", "file", "ampyfin.strategy_decisions", "There is no file of its own."),
    Mirror("setup.py", "script", "workbench init ampyfin", STARTS),
    Mirror(
        "initialize_rank()",
        "function",
        'bench.init("ampyfin")',
        "Holdings and points of each strategy, and the ranks' coefficients. " + STARTS,
    ),
    Mirror("initialize_time_delta()", "function", 'bench.init("ampyfin")', STARTS),
    Mirror("initialize_market_setup()", "function", "ampyfin.market_status", "Nothing to set: it follows from the calendar and the clock."),
    Mirror("initialize_indicator_setup()", "function", 'bench.init("ampyfin")', STARTS),
    Mirror("Ranking", "step", "ampyfin.strategy_ranks", "Ranks follow from points; `workbench flow ampyfin` keeps these."),
    Mirror("Strategy Evaluation", "step", "workbench flow ampyfin --strategies", "Prices, decisions, paper fills, holdings, points."),
    Mirror("store_price_data.py", "script", "workbench refresh stock_day", "`ampyfin.price_data` shows what has landed."),
    Mirror(
        "compute_store_strategy_decisions.py",
        "script",
        'bench.flow("ampyfin", decide)',
        "The strategies are the bot's own: a function that decides. Decisions that are appended are taken, too.",
    ),
    Mirror("yfinance", "source", "yahoo", "`--source yahoo`."),
    Mirror("Broker API (Alpaca/IBKR)", "service", "", NO_BROKER),
    Mirror("utilities/mongo_reset.py", "script", 'bench.reset_tables("ampyfin")', "Empties all that was written to them."),
    Mirror("utilities/clean_artificats_folder.py", "script", "workbench clean"),
    Mirror(
        "reset_trading_collections()",
        "function",
        "bench.reset_tables(RESET)",
        'With RESET = ["ampyfin.paper", "ampyfin.assets_quantities", "ampyfin.assets_limit"]: all three, or none.',
    ),
    Mirror("clean_artifacts()", "function", "bench.clean()", "Partial downloads, drafts and spill files; `workbench clean` at the prompt."),
    Mirror(
        "check_database_health()",
        "function",
        "bench.health()",
        "Tables, logs, journals, disk and more in one report; `bench.verify()` reads every row.",
    ),
    Mirror("migrate_database()", "function", "", "Columns follow from the declarations; there is nothing to migrate."),
    Mirror("mongodump", "command", "", COPY, soon=True),
    Mirror("mongorestore", "command", "", COPY, soon=True),
    Mirror("cp dbs/databases/price_data.db", "command", "", COPY, soon=True),
    Mirror("createIndex", "function", "", NO_INDEX),
    Mirror("CREATE INDEX", "statement", "", NO_INDEX),
    Mirror("MongoClient", "function", "workbench.open()", SERVERLESS),
    Mirror("certifi.where()", "function", "", "No connection, so no certificate."),
    Mirror("maxPoolSize", "setting", "", SERVERLESS),
    Mirror("db.setProfilingLevel", "function", 'bench.sql("EXPLAIN ANALYZE …")', "A query's own profile; there is no log of slow ones."),
    Mirror("logging.getLogger('pymongo')", "function", "", "There is no driver to log."),
)

KRAKEN_BOT = (
    Mirror("data/trading_bot.db", "file", "kraken_bot", "A schema; there is no file of its own."),
    Mirror("prod_trades", "view", "kraken_bot.prod_trades", "The document counts these; here they can be asked, too."),
    Mirror("prod_signals", "view", "kraken_bot.prod_signals"),
    Mirror("test_trades", "view", "kraken_bot.test_trades"),
    Mirror("models.py", "script", 'orm.models("kraken_bot")', "Made of the declarations in workbench/tables."),
    Mirror("connection.py", "script", "workbench.open()", SERVERLESS),
    Mirror("Signal", "class", "kraken_bot.signals"),
    Mirror("Trade", "class", "kraken_bot.trades"),
    Mirror("get_db()", "function", "orm.sessions(bench)", SERVERLESS),
    Mirror("get_db_session", "function", "orm.sessions(bench)", SERVERLESS),
    Mirror(
        "db.query",
        "function",
        "orm.sessions(bench)",
        'SQLAlchemy\'s own queries, as they stand, on `orm.models("kraken_bot")`; or SQL by `bench.sql`.',
    ),
    Mirror("db.add", "function", 'bench.add("kraken_bot.signals", row)', PER_ROW),
    Mirror(
        "db.commit()",
        "function",
        "bench.transaction()",
        "`with bench.transaction() as t:` commits at its end, all or nothing; `add`, `append` and the like commit by themselves without one.",
    ),
    Mirror(
        "signal.trades",
        "relationship",
        "kraken_bot.trades",
        "`SELECT * FROM trades WHERE signal_id = $id`; a trade's signal must be there.",
    ),
    Mirror("init_db", "function", 'bench.init("kraken_bot")', "Makes the lake if there is none; the tables are there as declared."),
    Mirror("drop_all_tables", "function", 'bench.reset_tables("kraken_bot")', "Empties them, all or none; the tables stay."),
    Mirror(
        "health_check",
        "function",
        "bench.health().facts",
        "`status`, `database` and `size_bytes` are in it, and `error` if it is unhealthy.",
    ),
    Mirror("get_table_counts", "function", 'bench.table_counts("kraken_bot")'),
    Mirror(
        "scripts/migrate_to_sqlite.py",
        "script",
        "workbench import json data/ --platform kraken_bot",
        "Skips bad records as the script did, counts them, and keeps them with their reasons. The SQLite file itself: `workbench import sqlite`.",
    ),
    Mirror("cp data/trading_bot.db", "command", "", COPY, soon=True),
    Mirror(".backup", "command", "", COPY, soon=True),
    Mirror("sqlite3 data/trading_bot.db", "command", "workbench sql --platform kraken_bot", "Asks one query, and ends."),
    Mirror(".tables", "command", "workbench tables kraken_bot"),
    Mirror(".schema signals", "command", "workbench tables kraken_bot.signals"),
    Mirror("WAL Mode", "feature", "", "Not needed: a commit to a Delta table is there as a whole, and readers wait for no writer."),
    Mirror("64MB Cache", "setting", "WORKBENCH_MEMORY_LIMIT", "What DuckDB may use in all."),
    Mirror("DATABASE_URL", "setting", "WORKBENCH_DATA"),
    Mirror("alembic", "tool", "", "Columns follow from the declarations; there is nothing to migrate."),
    Mirror(
        '@app.get("/signals")', "endpoint", "bench.sql(query)", "A web service of one's own may call it; there is none here yet.", soon=True
    ),
    Mirror("get_signals", "function", "bench.sql(query)", "What that endpoint calls."),
    Mirror(
        "amount == 0",
        "rule",
        "kraken_bot.test_trades",
        "Such rows are tagged as they are written, with the reason in `test_reason`, unless the writer says `test_mode`; [test_rules] in workbench.toml "
        "changes the rules.",
    ),
    Mirror("with get_db() as db", "statement", "bench.transaction()", "What is written in it is seen together, or not at all."),
    Mirror("Foreign Keys", "feature", "", "A trade whose signal is not there is refused; so is the deletion of a signal that has trades."),
)

TETRA = (
    Mirror("Docker", "service", "", NO_MACHINE),
    Mirror("docker-compose.yml", "file", "", NO_MACHINE),
    Mirror("docker exec -it tetra-postgres psql", "command", "workbench sql --platform tetra", "Asks one query, and ends."),
    Mirror("postgresql://tetra_user:tetra_password@localhost:5432/tetra", "setting", "WORKBENCH_DATA", SERVERLESS),
    Mirror("lsof -i :5432", "command", "", NO_MACHINE),
    Mirror("brew services stop postgresql@15", "command", "", NO_MACHINE),
    Mirror(
        "create_hypertable", "function", "", "Tables are cut by period as it is: session by session first, months or years when complete."
    ),
    Mirror("timescaledb.compress", "setting", "", "All files are compressed Parquet."),
    Mirror("add_compression_policy", "function", "bench.compact()", "Every refresh compacts what is complete."),
    Mirror("compress_chunk", "function", "bench.compact()"),
    Mirror("show_chunks", "function", "timescaledb_information.chunks"),
    Mirror(
        "CREATE MATERIALIZED VIEW market_data.ohlcv_daily",
        "statement",
        "market_data.ohlcv_daily",
        "A view: never behind, so without a policy.",
    ),
    Mirror(
        "add_continuous_aggregate_policy", "function", "market_data.ohlcv_daily", "Nothing to refresh: it is computed when it is asked."
    ),
    Mirror(
        "add_retention_policy",
        "function",
        "bench.retain()",
        "How long is set in [retention] of workbench.toml; nothing is lost: the archive keeps it.",
    ),
    Mirror("time_bucket", "function", "time_bucket", "DuckDB's own; while tetra is in use, buckets are of New York's time."),
    Mirror("first(open, timestamp)", "function", "arg_min(open, timestamp)", "While tetra is in use, as written."),
    Mirror("last(close, timestamp)", "function", "arg_max(close, timestamp)", "While tetra is in use, as written."),
    Mirror("generate_series", "function", "generate_series", "DuckDB's own; while tetra is in use, also of dates, as rows."),
    Mirror("gen_random_uuid()", "function", "gen_random_uuid()", "DuckDB's own. Ids of what market data feeds follow from the key."),
    Mirror("pg_database_size", "function", "lake_database_size()", "While tetra is in use, as written."),
    Mirror("pg_total_relation_size", "function", "lake_relation_size(name)", "While tetra is in use, as written."),
    Mirror("pg_size_pretty", "function", "lake_size_pretty(bytes)", "While tetra is in use, as written."),
    Mirror("pg_tables", "view", "workbench.pg_tables", "While tetra is in use, as written."),
    Mirror("pg_catalog", "schema", "pg_catalog", "DuckDB's own."),
    Mirror("pg_stat_statements", "view", "workbench.pg_stat_statements", "While tetra is in use, as written."),
    Mirror("timescaledb_information.chunks", "view", "timescaledb_information.chunks"),
    Mirror("Gap detection", "query", 'bench.gaps("stock_day")', "Knows the calendar: the document's query takes holidays for gaps."),
    Mirror("CREATE INDEX", "statement", "", NO_INDEX),
    Mirror("ALTER SYSTEM", "statement", "", NO_MACHINE),
    Mirror("CREATE USER", "statement", "", "Who may read the folder's files may read the lake; there are no users."),
    Mirror("GRANT", "statement", "", "Who may read the folder's files may read the lake; there are no users."),
    Mirror("pg_hba.conf", "file", "", SERVERLESS),
    Mirror("src/db/base.py", "script", "workbench.open()", SERVERLESS),
    Mirror("create_async_engine", "function", "workbench.open()", SERVERLESS),
    Mirror("async_session", "function", "workbench.open()", SERVERLESS),
    Mirror("pool_size", "setting", "", SERVERLESS),
    Mirror("asyncpg", "tool", "", SERVERLESS),
    Mirror("Alembic", "tool", "", "Columns follow from the declarations; there is nothing to migrate."),
    Mirror(
        "INSERT with multiple VALUES or COPY",
        "statement",
        'bench.append("market_data.ohlcv", rows)',
        "Rows as dicts, or a polars, pandas or Arrow table.",
    ),
    Mirror(
        "init.sql", "script", 'bench.init("tetra")', "The tables are there as declared: it says so, and makes the lake if there is none."
    ),
    Mirror("database_health()", "function", "bench.health().facts", "`status` and `timestamp` are in it, and `error` if it is unhealthy."),
    Mirror("/health/database", "endpoint", "bench.status()", "There is no web service yet.", soon=True),
    Mirror("pg_dump", "command", "", COPY, soon=True),
    Mirror("gunzip", "command", "", COPY, soon=True),
    Mirror(
        "wal_level",
        "setting",
        'workbench.open(as_of="2026-11-01T00:00Z")',
        "Every commit can be read again, until vacuum; there is no log to archive.",
    ),
    Mirror("Replication", "feature", "", "The lake's files can be copied or served by any store; nothing replicates them."),
    Mirror("Kafka connect", "service", "", "Nothing streams: rows come by refresh or append."),
)

LAYERS = (
    Mirror("TransactionalDB", "class", "workbench.open()", SERVERLESS),
    Mirror("place_order", "function", 'bench.add("transactional.orders", row)', NO_BROKER + " " + PER_ROW),
    Mirror("KDBClient", "class", "workbench.open()", SERVERLESS),
    Mirror("insert_trade", "function", 'bench.append("historical.trade", rows)'),
    Mirror("AnalyticsDB", "class", "workbench.open()", SERVERLESS),
    Mirror("insert_daily_pnl", "function", 'bench.append("analytics.daily_pnl", rows)'),
    Mirror("ModelParamsDB", "class", "workbench.open()", SERVERLESS),
    Mirror(
        "set_param", "function", 'bench.upsert("utilities.model_params", row)', "Sets a new one, or another value of one that is there."
    ),
    Mirror("manager.py", "script", "workbench init layers", STARTS),
    Mirror("Use transactions", "practice", "bench.transaction()", "`with bench.transaction() as t:` several writes, all or nothing."),
    Mirror("models.py", "script", "workbench tables transactional", "Tables are declared in workbench/tables."),
    Mirror("migrations/", "folder", "", "Columns follow from the declarations; there is nothing to migrate."),
    Mirror("kdb_client.py", "script", "bench.sql(query)"),
    Mirror("schemas.q", "script", "workbench tables historical", "SQL, not q."),
    Mirror("queries.py", "script", "workbench tables", "The macros, as bars_from_trades and trades_with_quotes, are such queries."),
    Mirror(
        "aggregations.py",
        "script",
        "analytics.daily_pnl",
        "Computed from trades and bars when it is asked, joined with what people import.",
    ),
    Mirror(
        "metrics.py",
        "script",
        "analytics.trader_metrics",
        "Computed from trades and bars when it is asked, joined with what people import.",
    ),
    Mirror("model_params.py", "script", "utilities.model_params"),
    Mirror("Redis", "service", "", "There is no cache to keep in step: tables are read from their files."),
    Mirror("connection pooling", "feature", "", SERVERLESS),
    Mirror("backups", "feature", "", COPY, soon=True),
    Mirror("Archive historical data", "feature", "bench.retain()", "As [retention] in workbench.toml says."),
)

MIRRORED: dict[str, tuple[Mirror, ...]] = {"shrek": SHREK, "ampyfin": AMPYFIN, "kraken_bot": KRAKEN_BOT, "tetra": TETRA, "layers": LAYERS}

UNBOUND = (
    Unbound(
        "ampyfin",
        'db.algorithm_holdings.find({"strategy": "RSI_indicator"})',
        "MongoDB's shell is JavaScript, not SQL.",
        "SELECT * FROM algorithm_holdings WHERE strategy = 'RSI_indicator'",
    ),
    Unbound(
        "kraken_bot",
        "db.query(Trade).filter(Trade.test_mode == False).all()",
        "It is Python, not SQL; `workbench.orm` runs it.",
        "SELECT * FROM prod_trades",
    ),
    Unbound("kraken_bot", "SELECT rowid FROM signals", "Rows have no hidden number.", "SELECT id FROM signals"),
    Unbound("kraken_bot", "SELECT last_insert_rowid()", "`bench.add` gives the row with its number.", "SELECT max(id) FROM signals"),
    Unbound(
        "tetra",
        "UPDATE market_data.ohlcv SET volume = 0",
        "Market data comes by refresh; rows of one's own are imported beside it.",
        'bench.append("market_data.ohlcv", rows)',
    ),
    Unbound(
        "kraken_bot",
        "INSERT INTO rss_feeds (url, name) VALUES ('https://example.com/rss', 'news') RETURNING url",
        "Plain INSERT, UPDATE and DELETE are done by append, upsert and delete; with RETURNING, ON CONFLICT or FROM they are not.",
        'bench.append("kraken_bot.rss_feeds", rows)',
    ),
    Unbound(
        "tetra",
        "SELECT time_bucket_gapfill('1 day', timestamp) AS day, locf(avg(close)) FROM ohlcv GROUP BY day",
        "Of TimescaleDB's functions those that the document uses are translated.",
        "SELECT date, close FROM filled_bars('AAPL', '1d', 5) ORDER BY date",
    ),
    Unbound(
        "tetra",
        "SELECT histogram(close, 0, 100, 5) FROM ohlcv",
        "DuckDB's histogram has other arguments.",
        "SELECT histogram(close, [20, 40, 60, 80, 100]) FROM ohlcv",
    ),
    Unbound("tetra", "SELECT approximate_row_count('market_data.ohlcv')", "A count reads no rows.", "SELECT count(*) FROM ohlcv"),
    Unbound("tetra", "SELECT * FROM pg_stat_activity", "There is no server, so no sessions of others.", "SELECT * FROM pg_stat_statements"),
    Unbound("tetra", "SELECT jsonb_build_object('a', 1)", "DuckDB has one JSON type.", "SELECT json_object('a', 1)"),
    Unbound("layers", "select from trade where sym=`AAPL", "q, not SQL.", "SELECT * FROM historical.trade WHERE sym = 'AAPL'"),
)
