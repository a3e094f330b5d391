"""SQLAlchemy over a lake: the ORM queries of an old bot run as they are, on classes that follow from the declarations.

    from workbench import orm

    Signal, Trade = orm.models("kraken_bot", "Signal", "Trade")
    get_db = orm.sessions(bench)
    with get_db() as db:
        db.query(Signal, Trade).outerjoin(Trade, Signal.id == Trade.signal_id).filter(Signal.test_mode == False).all()

Queries see what was committed before them, each by itself. `add`, changes and `delete` of objects are written when the session commits or flushes, in one
transaction of the bench's, as `bench.add`, `upsert` and `delete` write; SQL that writes is refused. Needs `pip install 'workbench[orm]'`.
"""

from workbench.errors import MissingExtra

try:
    import sqlalchemy  # noqa: F401
except ImportError as fault:
    raise MissingExtra("SQLAlchemy is not installed, so there are no models; nothing was read. pip install 'workbench[orm]'") from fault

from workbench.orm.dialect import engine
from workbench.orm.mapped import Models, models
from workbench.orm.session import LakeSession, sessions

__all__ = ["LakeSession", "Models", "engine", "models", "sessions"]
