"""The SQLite files of the documents, made as the platforms' programs made them."""

import json
import sqlite3
from contextlib import closing
from pathlib import Path

SHREK = """
CREATE TABLE stock_prices (
    symbol TEXT NOT NULL, date TEXT NOT NULL, open REAL, high REAL, low REAL, close REAL, volume INTEGER, adjusted_close REAL,
    source TEXT, updated_at TIMESTAMP DEFAULT CURRENT_TIMESTAMP, PRIMARY KEY (symbol, date)
);
CREATE TABLE stock_fundamentals (
    symbol TEXT NOT NULL, as_of TEXT NOT NULL, period TEXT NOT NULL, market_cap REAL, eps REAL, PRIMARY KEY (symbol, as_of, period)
) WITHOUT ROWID;
CREATE TABLE data_sync_log (id INTEGER PRIMARY KEY AUTOINCREMENT, source TEXT, status TEXT, created_at TIMESTAMP DEFAULT CURRENT_TIMESTAMP);
INSERT INTO stock_prices VALUES ('AAPL', '2024-03-07', 169.15, 170.73, 168.49, 169, 71765061, 169.0, 'yahoo', '2024-03-08 06:00:00');
INSERT INTO stock_prices VALUES ('MSFT', '2024-03-07', 406.12, 409.78, 402.24, 409.14, 18718500, NULL, 'yahoo', '2024-03-08 06:00:00');
INSERT INTO stock_fundamentals VALUES ('AAPL', '2023-09-30', 'annual', NULL, 6.13);
INSERT INTO data_sync_log (source, status) VALUES ('polygon_s3', 'success');
"""

PRICE_DATA = """
CREATE TABLE price_data (
    id INTEGER PRIMARY KEY AUTOINCREMENT, ticker TEXT NOT NULL, date TEXT NOT NULL, open REAL NOT NULL, high REAL NOT NULL, low REAL NOT NULL,
    close REAL NOT NULL, volume INTEGER NOT NULL, UNIQUE(ticker, date)
);
"""

STRATEGY_DECISIONS = """
CREATE TABLE strategy_decisions (
    id INTEGER PRIMARY KEY AUTOINCREMENT, ticker TEXT NOT NULL, strategy TEXT NOT NULL, date TEXT NOT NULL, signal TEXT NOT NULL, confidence REAL,
    timestamp TEXT NOT NULL, UNIQUE(ticker, strategy, date)
);
INSERT INTO strategy_decisions (ticker, strategy, date, signal, confidence, timestamp)
VALUES ('AAPL', 'RSI_indicator', '2024-03-07', 'Buy', 0.8, '2024-03-07T21:00:00'), ('MSFT', 'RSI_indicator', '2024-03-07', 'Hold', NULL, '2024-03-07T21:00:01');
"""

PROVENANCE = "test_mode BOOLEAN NOT NULL, test_reason VARCHAR(200), bot_version VARCHAR(20), created_at DATETIME NOT NULL"
KRAKEN = f"""
CREATE TABLE signals (
    id INTEGER NOT NULL, timestamp DATETIME NOT NULL, symbol VARCHAR(20) NOT NULL, price NUMERIC(20, 8) NOT NULL, final_signal VARCHAR(10) NOT NULL,
    final_confidence NUMERIC(10, 6) NOT NULL, aggregation_method VARCHAR(50) NOT NULL, strategies JSON NOT NULL, strategy_version VARCHAR(64),
    {PROVENANCE}, PRIMARY KEY (id)
);
CREATE INDEX ix_signals_timestamp ON signals (timestamp);
CREATE TABLE trades (
    id INTEGER NOT NULL, signal_id INTEGER, timestamp DATETIME NOT NULL, symbol VARCHAR(20) NOT NULL, action VARCHAR(10) NOT NULL,
    amount NUMERIC(20, 8) NOT NULL, price NUMERIC(20, 8) NOT NULL, fee NUMERIC(20, 8), status VARCHAR(20) NOT NULL, {PROVENANCE},
    PRIMARY KEY (id), FOREIGN KEY(signal_id) REFERENCES signals (id)
);
CREATE TABLE holdings (symbol VARCHAR(20) NOT NULL, amount NUMERIC(20, 8) NOT NULL, updated_at DATETIME NOT NULL, {PROVENANCE}, PRIMARY KEY (symbol));
CREATE TABLE bot_status ("key" VARCHAR(50) NOT NULL, value JSON NOT NULL, updated_at DATETIME NOT NULL, {PROVENANCE}, PRIMARY KEY ("key"));
CREATE TABLE alembic_version (version_num VARCHAR(32) NOT NULL);
CREATE VIEW production AS SELECT * FROM trades WHERE test_mode = 0;
"""
AT = "2025-11-23 14:30:00.000000"


def made(path: Path, script: str) -> Path:
    """A file of a script's tables."""
    with closing(sqlite3.connect(path)) as con:
        con.executescript(script)
    return path


def shrek(folder: Path) -> Path:
    """The market database of Shrek."""
    return made(folder / "market.db", SHREK)


def price_data(folder: Path, count: int = 3) -> Path:
    """AmpyFin's prices."""
    path = made(folder / "price_data.db", PRICE_DATA)
    with closing(sqlite3.connect(path)) as con, con:
        rows = (
            (f"T{n % 7}", f"{2000 + n // 7 // 365:04}-{n // 7 % 365:03}", n + 0.25, n + 1.0, n - 1.5, n, n * 1000) for n in range(count)
        )
        con.executemany("INSERT INTO price_data (ticker, date, open, high, low, close, volume) VALUES (?, ?, ?, ?, ?, ?, ?)", rows)
    return path


def strategy_decisions(folder: Path) -> Path:
    """AmpyFin's decisions."""
    return made(folder / "strategy_decisions.db", STRATEGY_DECISIONS)


def kraken(folder: Path) -> Path:
    """The Kraken bot's database, as SQLAlchemy makes it: in WAL mode, decimals as REAL, times as text."""
    path = made(folder / "trading_bot.db", KRAKEN)
    said = json.dumps({"sentiment": {"signal": "BUY", "confidence": 0.9}})
    with closing(sqlite3.connect(path)) as con, con:
        con.execute("PRAGMA journal_mode = WAL")
        signal = (AT, "BTCUSD", 50000.0, "BUY", 0.85, "weighted_average", said, None, 0, None, "1.0.0", AT)
        con.execute(f"INSERT INTO signals VALUES (1, {', '.join('?' * 12)})", signal)
        con.execute(f"INSERT INTO signals VALUES (2, {', '.join('?' * 12)})", (*signal[:2], 50000.12345678, *signal[3:]))
        con.execute("INSERT INTO trades VALUES (1, 1, ?, 'BTCUSD', 'BUY', 0.05, 50010, 6.5, 'filled', 0, NULL, '1.0.0', ?)", (AT, AT))
        con.execute("INSERT INTO holdings VALUES ('BTC', 0.05, ?, 0, NULL, '1.0.0', ?)", (AT, AT))
        con.execute("INSERT INTO bot_status VALUES ('running', 'true', ?, 0, NULL, '1.0.0', ?)", (AT, AT))
    return path
