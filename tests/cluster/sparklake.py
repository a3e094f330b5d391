"""A lake that has something of everything: made-up bars, ticks and companies, what users traded on them, and rows that people wrote over what is fed."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import date, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest

from workbench.bench import Workbench
from workbench.config import Settings
from workbench.lake.folding import Folder
from workbench.query.monitoring import Asked
from workbench.query.querylog import WRITER

REFERENCE = ["tickers", "ticker_changes", "splits", "dividends", "conditions", "exchanges", "calendar_events"]


@contextmanager
def opened(folder: Path) -> Iterator[Workbench]:
    """Make it in a folder."""
    with Workbench(Settings(data=str(folder / "data"), source="sample")) as bench:
        for names, count in ((["stock_day"], 5), (["stock_minute"], 3), (["stock_trades", "stock_quotes"], 1), (REFERENCE, None)):
            bench.refresh(datasets=names, days=count, maintain=False).run()
        days = [day for (day,) in bench.sql("SELECT DISTINCT date FROM stock_minute ORDER BY 1").fetchall()]
        bench.compact(["stock_day", "stock_minute"])
        traded(bench, days)
        bench.append("kraken_bot.signals", signals(at(days[1], "09:45")))
        bench.append("kraken_bot.trades", bot_trades(at(days[1], "10:00")))
        bench.fold()
        # Over what is fed, and not folded: rows of the journal's.
        bench.append("market_data.ohlcv", [bar("ZZZ", at(days[0], "09:30")), bar("AAPL", at(days[0], "09:30") - timedelta(days=3000))])
        bench.append(
            "ampyfin.points_tally",
            [
                {"strategy": name, "total_points": points, "initialized_date": at(days[0]), "last_updated": at(days[0])}
                for name, points in (("rsi", 12.5), ("macd", 3.25))
            ],
        )
        with still():
            yield bench


@contextmanager
def still() -> Iterator[None]:
    """Have a lake stay what it is for as long as it is asked about: nothing is folded, and nobody counts the queries."""
    WRITER.flush()
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(Folder, "_due", lambda self: (None, None))
        patched.setattr(Asked, "add", lambda self, query, seconds: None)
        patched.setattr(WRITER, "put", lambda note: None)
        yield


def traded(bench: Workbench, days: Sequence[date]) -> None:
    """A user who buys on two days and sells on the third, above the closes."""
    [user, portfolio] = [1, 1]
    bench.append("transactional.users", {"username": "one", "email": "one@example.com"})
    bench.append("transactional.portfolios", {"user_id": user, "name": "Main", "cash": Decimal(10_000)})
    closes = dict(bench.sql("SELECT ticker || ' ' || date, close FROM stock_day").fetchall())
    orders, trades = [], []
    for day, side, quantity in ((days[0], "buy", 10), (days[1], "buy", 5), (days[2], "sell", 12)):
        for ticker in ("AAPL", "MSFT"):
            one = {"symbol": ticker, "side": side, "quantity": Decimal(quantity)}
            orders.append(one | {"user_id": user, "portfolio_id": portfolio, "order_type": "market", "created_at": at(day, "10:59")})
            price = Decimal(str(round(closes[f"{ticker} {day}"] * 1.01, 2)))
            trades.append(one | {"order_id": len(orders), "price": price, "fee": Decimal("0.5"), "executed_at": at(day, "11:00")})
    bench.append("transactional.orders", orders)
    bench.append("transactional.trades", trades)


def at(day: date, time: str = "10:00") -> datetime:
    """An instant in New York."""
    return datetime.fromisoformat(f"{day} {time}").replace(tzinfo=ZoneInfo("America/New_York"))


def bar(symbol: str, when: datetime) -> dict[str, object]:
    """A bar that somebody wrote."""
    return {
        "symbol": symbol,
        "timestamp": when,
        "open": 1.5,
        "high": 2,
        "low": 1,
        "close": 1.75,
        "volume": 100,
        "timeframe": "1m",
        "source": "hand",
    }


def signals(when: datetime) -> list[dict[str, object]]:
    """Two signals of the bot's, with what its strategies said."""
    said = {"rsi": {"signal": "BUY", "confidence": 0.75}, "macd": {"signal": "HOLD", "confidence": 0.5}}
    told = {"timestamp": when, "price": 50_000, "final_confidence": 0.85, "aggregation_method": "weighted_average", "strategies": said}
    return [told | {"id": n, "symbol": symbol, "final_signal": "BUY", "test_mode": False} for n, symbol in ((1, "BTCUSD"), (2, "ETHUSD"))]


def bot_trades(when: datetime) -> list[dict[str, object]]:
    """What the bot bought and sold of them."""
    rows = []
    for n, (signal, symbol, action, price) in enumerate(
        ((1, "BTCUSD", "BUY", 50_000), (1, "BTCUSD", "SELL", 51_000), (2, "ETHUSD", "BUY", 3_000), (2, "ETHUSD", "SELL", 2_900))
    ):
        rows.append(
            {
                "id": n + 1,
                "signal_id": signal,
                "timestamp": when + timedelta(hours=n),
                "symbol": symbol,
                "action": action,
                "amount": Decimal(1),
                "price": Decimal(price),
                "fee": Decimal(2),
                "status": "filled",
                "test_mode": False,
            }
        )
    return rows
