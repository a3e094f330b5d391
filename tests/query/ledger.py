"""Users, orders and trades for tests of what is computed from them, beside a market of a few sessions."""

from collections.abc import Mapping, Sequence
from datetime import date, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

from flatfiles import STOCK_DAY, STOCK_MINUTE, put, text

from workbench.bench import Workbench
from workbench.config import Settings
from workbench.lake.reference import update
from workbench.sources.reference import Gathered

NEW_YORK = ZoneInfo("America/New_York")
Row = tuple[Any, ...]


def at(day: date, time: str = "10:00") -> datetime:
    """An instant in New York."""
    return datetime.fromisoformat(f"{day} {time}").replace(tzinfo=NEW_YORK)


def d(text: str | float) -> Decimal:
    """A decimal as the tables have them."""
    return Decimal(str(text)).quantize(Decimal("0.00000001"))


def opened(folder: Path) -> Workbench:
    """A lake without rows."""
    bench = Workbench(Settings(data=str(folder / "lake")))
    bench.lake.make()
    return bench


def closes(bench: Workbench, folder: Path, told: Mapping[date, Mapping[str, float]]) -> None:
    """Land day bars that close so."""
    for day, of_day in told.items():
        lines = [
            f"{ticker},100,{close},{close},{close + 1},{close - 1},{STOCK_DAY.session_ns(day)[0]},5" for ticker, close in of_day.items()
        ]
        put(folder / "files", STOCK_DAY, day, text(lines))
    bench.refresh(f"folder:{folder / 'files'}", datasets=["stock_day"], start=min(told), end=max(told), maintain=False).run()


def minutes(bench: Workbench, folder: Path, day: date, bars: Sequence[tuple[str, str, float, float, float, float]]) -> None:
    """Land minutes: ticker, when it begins, high, low, close and volume of each."""
    lines = [
        f"{ticker},{volume},{close},{close},{high},{low},{int(at(day, time).timestamp()) * 10**9},5"
        for ticker, time, high, low, close, volume in sorted(bars)
    ]
    put(folder / "files", STOCK_MINUTE, day, text(lines))
    bench.refresh(f"folder:{folder / 'files'}", datasets=["stock_minute"], start=day, end=day, maintain=False).run()


def split(bench: Workbench, ticker: str, day: date, of: float, to: float) -> None:
    """Tell the lake of a split."""
    row = {"ticker": ticker, "execution_date": str(day), "split_from": of, "split_to": to}
    assert update(bench.lake, Gathered("splits", "k", [row]), "polygon_api").quarantined == 0


class Ledger:
    """Writes what users do, a row at a time."""

    def __init__(self, bench: Workbench):
        self.bench = bench
        self._count = dict.fromkeys(("users", "portfolios", "orders", "trades"), 0)

    def _add(self, table: str, *rows: Mapping[str, Any]) -> int:
        self._count[table] += self.bench.append(f"transactional.{table}", list(rows))
        return self._count[table]

    def user(self) -> int:
        """A new user."""
        name = f"user{self._count['users']}"
        return self._add("users", {"username": name, "email": f"{name}@example.com"})

    def portfolio(self, user: int, cash: float = 0) -> int:
        """A new portfolio of a user."""
        return self._add("portfolios", {"user_id": user, "name": "Main", "cash": d(cash)})

    def trades(self, user: int, portfolio: int | Sequence[int] | None, *told: Row) -> list[int]:
        """An order and a trade of each: symbol, side, quantity, price, fee and when; and when it was ordered, if that was not a minute before.

        All are of one portfolio, or each of its own.
        """
        orders, rows = [], []
        portfolios = portfolio if isinstance(portfolio, Sequence) else [portfolio] * len(told)
        for of, (symbol, side, quantity, price, fee, when, *ordered) in zip(portfolios, told, strict=True):
            order = {"user_id": user, "portfolio_id": of, "symbol": symbol, "side": side, "order_type": "market"}
            orders.append(order | {"quantity": d(quantity), "created_at": ordered[0] if ordered else when - timedelta(minutes=1)})
            row = {"order_id": self._count["orders"] + len(orders), "symbol": symbol, "side": side}
            rows.append(row | {"quantity": d(quantity), "price": d(price), "fee": d(fee), "executed_at": when})
        self._add("orders", *orders)
        last = self._add("trades", *rows)
        return list(range(last - len(rows) + 1, last + 1))
