"""SQLAlchemy on a lake: the Kraken document's ORM queries as they stand there, reflected models, and what sessions write."""

import subprocess
import sys
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from workbench.bench import Workbench
from workbench.config import Settings
from workbench.errors import BrokenRule, QueryError, UnknownName, UsageError

sqlalchemy = pytest.importorskip("sqlalchemy", reason="the orm extra is not installed")

from sqlalchemy import MetaData, func, inspect, select, text  # noqa: E402
from sqlalchemy.exc import DBAPIError  # noqa: E402
from sqlalchemy.ext.automap import automap_base  # noqa: E402
from sqlalchemy.orm import Session, joinedload  # noqa: E402

from workbench import orm  # noqa: E402

Signal, Trade = orm.models("kraken_bot", "Signal", "Trade")
NOW = datetime(2025, 11, 23, 14, 30, tzinfo=UTC)


def signal(**changed: Any) -> Any:
    """The document's signal."""
    told = {
        "timestamp": NOW,
        "symbol": "BTCUSD",
        "price": Decimal("50000.00"),
        "final_signal": "BUY",
        "final_confidence": Decimal("0.85"),
        "aggregation_method": "weighted_average",
        "strategies": {"sentiment": {"signal": "BUY", "confidence": 0.9}, "technical": {"signal": "BUY", "confidence": 0.8}},
        "test_mode": False,
        "bot_version": "1.0.0",
    }
    return Signal(**{**told, **changed})


def trade(**changed: Any) -> Any:
    told = {
        "timestamp": NOW,
        "symbol": "BTCUSD",
        "action": "BUY",
        "amount": Decimal("0.05"),
        "price": Decimal("50010.00"),
        "status": "filled",
    }
    return Trade(**{**told, **changed})


@pytest.fixture
def bench(tmp_path: Path) -> Workbench:
    bench = Workbench(Settings(data=str(tmp_path / "lake")))
    bench.lake.make()
    return bench


@pytest.fixture
def held(bench: Workbench) -> Workbench:
    """Two signals, of which the first has two trades, and a trade of a test."""
    with orm.sessions(bench)() as db:
        first = signal()
        db.add_all([first, signal(symbol="ETHUSD", final_signal="HOLD")])
        first.trades += [trade(), trade(action="SELL", timestamp=NOW - timedelta(days=2))]
        db.add(trade(amount=0))
        db.commit()
    return bench


# ---------------------------------------------------------------------- the document's


def test_the_documents_queries_run_as_they_stand(held: Workbench) -> None:
    get_db = orm.sessions(held)
    with get_db() as session:
        prod_trades = session.query(Trade).filter(Trade.test_mode == False).all()  # noqa: E712
        test_trades = session.query(Trade).filter(Trade.test_mode == True).all()  # noqa: E712
        assert (len(prod_trades), len(test_trades)) == (2, 1)
        assert session.query(Signal).limit(10).all() == session.query(Signal).order_by(Signal.id).all()

        found = session.query(Signal).filter(Signal.symbol == "BTCUSD").first()
        assert [(one.action, one.signal is found) for one in sorted(found.trades, key=lambda one: one.id)] == [
            ("BUY", True),
            ("SELL", True),
        ]

        results = (
            session.query(Signal, Trade).outerjoin(Trade, Signal.id == Trade.signal_id).filter(Signal.test_mode == False).all()  # noqa: E712
        )
        told = sorted(f"{signal.final_signal} {trade.action if trade else 'Not executed'}" for signal, trade in results)
        assert told == ["BUY BUY", "BUY SELL", "HOLD Not executed"]


@pytest.mark.parametrize("zone", ["America/New_York", "UTC", "Asia/Tokyo"])
def test_times_without_a_zone_are_utcs(zone: str, held: Workbench) -> None:
    held = Workbench(Settings(data=str(held.lake.root), timezone=zone))
    with orm.sessions(held)() as db:
        yesterday = NOW.replace(tzinfo=None) - timedelta(hours=1)
        production = Trade.test_mode == False  # noqa: E712
        recent = db.query(Trade).filter(production).filter(Trade.timestamp >= yesterday).order_by(Trade.timestamp.desc()).all()
        assert [one.timestamp for one in recent] == [NOW]
        assert recent[0].timestamp.tzinfo is UTC
        assert not db.query(Trade).filter(Trade.timestamp > NOW).all()
        assert [
            one.timestamp for one in db.query(Trade).filter(Trade.timestamp.between(yesterday, NOW + timedelta(0))).filter(Trade.amount > 0)
        ] == [NOW]
    naive = orm.models("kraken_bot", naive=True)
    with orm.sessions(held)() as db:
        assert db.query(naive.Signal).filter(naive.Signal.symbol == "BTCUSD").one().timestamp == NOW.replace(tzinfo=None)


def test_an_inserted_signal_is_as_the_document_has_it(bench: Workbench) -> None:
    with orm.sessions(bench)() as db:
        made = signal(timestamp=NOW.replace(tzinfo=None))
        db.add(made)
        db.commit()
        assert (made.id, made.price, made.final_confidence) == (1, Decimal("50000.00000000"), Decimal("0.850000"))
        assert made.strategies["technical"] == {"signal": "BUY", "confidence": 0.8}
        assert made.timestamp == NOW
        assert isinstance(made.created_at, datetime)
    row = bench.get("kraken_bot.signals", 1)
    assert row is not None
    assert (row["symbol"], row["timestamp"], row["bot_version"], row["strategies"]["sentiment"]["confidence"]) == (
        "BTCUSD",
        NOW,
        "1.0.0",
        0.9,
    )


def test_what_else_the_orm_writes_runs(held: Workbench) -> None:
    with orm.sessions(held)() as db:
        assert db.query(Signal).count() == 2
        assert db.query(func.max(Trade.price)).scalar() == Decimal("50010.00000000")
        assert db.get_one(Signal, 1).symbol == "BTCUSD"
        assert db.execute(select(Signal.symbol).where(Signal.symbol.in_(["ETHUSD", "%(x)s"]))).scalars().all() == ["ETHUSD"]
        assert db.query(Signal).filter(Signal.symbol.ilike("btc%")).one().id == 1
        assert db.query(Signal).filter(~Signal.trades.any()).one().symbol == "ETHUSD"
        assert len(db.query(Signal).options(joinedload(Signal.trades)).order_by(Signal.id).all()[0].trades) == 2
        assert db.query(Trade.symbol, func.sum(Trade.amount)).group_by(Trade.symbol).having(func.count() > 1).all() == [
            ("BTCUSD", Decimal("0.1"))
        ]
        assert db.query(Signal).order_by(Signal.id.desc()).offset(1).limit(1).one().id == 1
        assert db.execute(text("SELECT count(*) FROM kraken_bot.prod_trades WHERE symbol = :s"), {"s": "BTCUSD"}).scalar() == 2
        assert sum(1 for _ in db.query(Trade).yield_per(1)) == 3


def test_queries_see_what_others_write_meanwhile(held: Workbench) -> None:
    other = Workbench(Settings(data=str(held.lake.root)))
    with orm.sessions(held)() as db:
        assert db.query(Signal).count() == 2
        other.append("kraken_bot.signals", [{name: value for name, value in vars(signal()).items() if not name.startswith("_")}])
        assert db.query(Signal).count() == 3
    held.use("kraken_bot")
    with orm.sessions(held)() as db:
        assert db.query(Signal).count() == 3


# ---------------------------------------------------------------------- reflected


def test_models_are_reflected_with_keys_and_references(held: Workbench) -> None:
    engine = orm.engine(held)
    metadata = MetaData()
    metadata.reflect(engine, schema="kraken_bot")
    assert len(metadata.tables) == 9
    trades = metadata.tables["kraken_bot.trades"]
    assert [one.name for one in trades.primary_key] == ["id"]
    assert [one.target_fullname for one in trades.foreign_keys] == ["kraken_bot.signals.id"]
    base: Any = automap_base(metadata=metadata)
    base.prepare()
    with Session(engine) as db:
        assert len(db.query(base.classes.signals).filter_by(symbol="BTCUSD").one().trades_collection) == 2


def test_an_inspector_sees_all_that_is_declared(held: Workbench) -> None:
    held.create_table("derived.mine", {"symbol": "VARCHAR", "value": "DOUBLE"}, key="symbol")
    seen = inspect(orm.engine(held))
    assert {"kraken_bot", "transactional", "derived", "market_data"} <= set(seen.get_schema_names())
    assert seen.get_table_names("derived") == ["mine"]
    assert seen.has_table("signals", "kraken_bot")
    assert not seen.has_table("signals")
    assert seen.get_unique_constraints("users", "transactional")[0]["column_names"] == ["username"]
    for schema in seen.get_schema_names():
        for name in seen.get_table_names(schema):
            assert [one["name"] for one in seen.get_columns(name, schema)] == held.sql(f"FROM {schema}.{name} LIMIT 0").columns


def test_every_platforms_models_can_be_asked(held: Workbench) -> None:
    asked = 0
    with orm.sessions(held)() as db:
        for platform in ("shrek", "ampyfin", "kraken_bot", "tetra", "layers"):
            for model in orm.models(platform):
                db.query(model).first()
                asked += 1
    assert asked > 40


def test_classes_are_called_as_their_tables_in_the_singular(bench: Workbench) -> None:
    kraken = orm.models("kraken_bot")
    assert {one.__name__ for one in kraken} == {
        "Signal", "Trade", "Holding", "StrategyPerformance", "StrategyDefinition", "ErrorLog", "RssFeed", "SeenNews", "BotStatus",
    }  # fmt: skip
    assert kraken["kraken_bot.signals"] is kraken.Signal
    assert orm.models("utilities").RiskLimit.__table__.schema == "utilities"
    assert "historical.trade" in orm.models("layers").metadata.tables
    assert orm.models("layers").Order.user.property.mapper.class_.__name__ == "User"
    bench.create_table("derived.my_factor", {"symbol": "VARCHAR", "value": "DOUBLE"}, key="symbol")
    assert orm.models("derived", bench=bench).MyFactor.__table__.fullname == "derived.my_factor"
    with pytest.raises(AttributeError, match=r"there is no class 'Sginal'; there are BotStatus, "):
        _ = kraken.Sginal
    with pytest.raises(UnknownName):
        orm.models("krakn")
    with pytest.raises(TypeError, match=r"Signal has no 'pric'"):
        Signal(pric=1)


# ---------------------------------------------------------------------- written


def test_nothing_is_written_before_the_commit(bench: Workbench) -> None:
    with orm.sessions(bench)() as db:
        db.add(signal())
        assert db.query(Signal).count() == 0
        db.rollback()
        db.commit()
        assert db.query(Signal).count() == 0


def test_a_commit_is_whole_or_nothing(bench: Workbench) -> None:
    with orm.sessions(bench)() as db:
        db.add_all([signal(), signal(final_signal="PERHAPS")])
        with pytest.raises(BrokenRule, match="final_signal"):
            db.commit()
        db.rollback()
        assert db.query(Signal).count() == 0
        db.add(signal())
        db.commit()
        assert db.query(Signal).count() == 1


def test_objects_are_changed_and_deleted(held: Workbench) -> None:
    with orm.sessions(held)() as db:
        first = db.get_one(Signal, 1)
        first.strategy_version = "abc"
        first.test_reason = None
        db.commit()
        assert first.strategy_version == "abc"
        assert first.trades
        for one in list(first.trades):
            db.delete(one)
        db.delete(first)
        db.commit()
        assert [one.id for one in db.query(Signal)] == [2]
        assert db.query(Trade).count() == 1
    assert held.get("kraken_bot.signals", 1) is None


def test_a_changed_reference_is_written(held: Workbench) -> None:
    with orm.sessions(held)() as db:
        lone = db.query(Trade).filter(Trade.signal_id.is_(None)).one()
        lone.signal = db.get(Signal, 2)
        db.commit()
        assert lone.signal_id == 2
        lone.id = 99
        with pytest.raises(UsageError, match=r"id is the key of kraken_bot.trades and does not change; nothing was written"):
            db.commit()


def test_sql_that_writes_is_refused(held: Workbench) -> None:
    with orm.sessions(held)() as db:
        for statement in (
            sqlalchemy.insert(Signal).values(symbol="X"),
            sqlalchemy.delete(Signal),
            sqlalchemy.update(Signal).values(symbol="X"),
            text("DROP VIEW kraken_bot.signals"),
        ):
            with pytest.raises((DBAPIError, QueryError), match="is not run through SQLAlchemy; nothing was done"):
                db.execute(statement)
        assert db.query(Signal).count() == 2


def test_without_sqlalchemy_it_says_what_to_install() -> None:
    code = "import sys; sys.modules['sqlalchemy'] = None\ntry:\n    import workbench.orm\nexcept ImportError as fault:\n    print(type(fault).__name__, fault)"
    told = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert told.startswith("MissingExtra SQLAlchemy is not installed")
    assert "pip install 'workbench[orm]'" in told
