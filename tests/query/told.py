"""Tables of the lake as a test tells them, in DuckDB's memory: with the views and macros over them, and without files, which take time to write."""

from collections.abc import Mapping
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any, cast
from unittest import mock

import duckdb
import polars as pl

from workbench.lake.snapshots import Snapshot
from workbench.lake.store import Lake
from workbench.query import adjust, fed, kept, narrow
from workbench.query.documented import Documented
from workbench.query.rows import Rows
from workbench.tables import TABLES

Row = Mapping[str, object]
NAMES = ("stock_day", "stock_minute", "splits", "dividends", "tickers", "ticker_changes")
START = date(2024, 1, 1)


class Told:
    """A market as it is told. `as_of` is the day of the instant that it is looked at from; `bases` are the sessions of stock_day that Yahoo gave;
    `tables` are lists of rows.
    """

    def __init__(self, as_of: date | None = None, bases: Mapping[date, date] | None = None, **tables: Any) -> None:
        self.con = duckdb.connect()
        self.con.execute(f"SET TimeZone = 'America/New_York'; CREATE SCHEMA {narrow.SCHEMA}")
        for name in NAMES:
            self.con.execute(f"CREATE TABLE {name} AS {TABLES[name].empty}")
            if rows := tables.get(name):
                told = pl.DataFrame(rows, infer_schema_length=None)
                self.con.execute(f"INSERT INTO {name} BY NAME SELECT * FROM told")
                del told
        self.documented = Documented(self.con.cursor())
        shots = {name: Snapshot(0) for name in TABLES}
        at = datetime(as_of.year, as_of.month, as_of.day, 17, tzinfo=UTC) if as_of else None
        self.kept = kept.Kept(Lake(Path("nowhere")), shots, at)
        self.kept.supply(self.documented)
        self.documented.supply("workbench.close_factors", fed.Supplies(Lake(Path("nowhere")), shots, at).close_factors)
        # Nothing was landed.
        self.con.execute(f"CREATE TABLE {narrow.SCHEMA}.landed_times (base_table VARCHAR, created TIMESTAMPTZ[], updated TIMESTAMPTZ[])")
        self.bases = bases or {}
        self.rows = Rows(Lake(Path("nowhere")), shots.__getitem__, "America/New_York", 1)

    def __enter__(self) -> "Told":
        self._patched = mock.patch.object(kept, "bases", lambda _lake, table, _version: self.bases if table == "stock_day" else {})
        self._patched.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._patched.stop()
        self.con.close()
        adjust.KEPT = adjust.Answers()

    def sql(self, query: str, **values: object) -> duckdb.DuckDBPyRelation:
        self.documented.prepare(query)
        return self.con.sql(query, params=values or None)

    def ask(self, query: str, **values: object) -> list[tuple[Any, ...]]:
        return self.sql(query, **values).fetchall()

    def bars(self, ticker: str, as_of: date, adjusted: str, follow: bool = False) -> pl.DataFrame:
        """Day bars as the fast path has them: read here by SQL."""
        rows = self.sql("SELECT * FROM stock_day WHERE ticker = $t AND date <= $last ORDER BY ticker, timestamp", t=ticker, last=as_of).pl()
        found = adjust.as_traded(self.sql, "stock_day", rows)
        return adjust.steps(self.rows, self.sql, [ticker], adjusted, as_of, follow).multiply(found)


def day(nth: int) -> date:
    return START + timedelta(days=nth)


def bar(ticker: str, nth: int, close: float, *, source: str = "folder") -> Row:
    """A day bar of the `nth` day."""
    prices = {"open": close - 1, "high": close + 2, "low": close - 2, "close": close}
    at = datetime.combine(day(nth), datetime.min.time(), tzinfo=UTC) + timedelta(hours=5)
    return {"ticker": ticker, "date": day(nth), "timestamp": at, **prices, "volume": 1000.0, "transactions": 5, "source": source}


def split(
    ticker: str, nth: int, split_from: float, split_to: float, *, duplicate_of: date | None = None, verdict: str | None = None
) -> Row:
    told = {"ticker": ticker, "execution_date": day(nth), "split_from": split_from, "split_to": split_to}
    return told | {"duplicate_of": duplicate_of, "verdict": verdict}


def dividend(ticker: str, nth: int, amount: float, currency: str | None = "USD") -> Row:
    return {"ticker": ticker, "ex_dividend_date": day(nth), "cash_amount": amount, "currency": currency}


def spell(asset: str, ticker: str, first: int | None, last: int | None) -> Row:
    """A spell of a symbol, both days included; None is not told."""
    ends = (None if nth is None else day(nth) for nth in (first, last))
    return {"asset": asset, "ticker": ticker, **cast("Row", dict(zip(("first_date", "last_date"), ends, strict=True)))}


def listing(ticker: str, delisted: int | None, *, figi: str | None = None, cik: str | None = None, name: str | None = None) -> Row:
    ends = None if delisted is None else day(delisted)
    return {"ticker": ticker, "delisted": ends, "composite_figi": figi, "cik": cik, "name": name, "last_seen": day(0)}
