"""Sessions that write as the bench does: what was added, changed and deleted since goes in by one transaction, when the session commits."""

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from sqlalchemy import inspect
from sqlalchemy.orm import MANYTOONE, Session, make_transient_to_detached, sessionmaker

from workbench.errors import UsageError
from workbench.orm.dialect import engine
from workbench.orm.mapped import Mapped

if TYPE_CHECKING:
    from workbench.bench import Workbench


class LakeSession(Session):
    """A session on a bench. Nothing is written before `commit`, or `flush`, which stands: a later `rollback` does not take it back.

    All of one flush is written or nothing. Queries do not see what was not written. With `durable` it stands in commits of the lake when `commit` returns,
    as `bench.append` says. Raises as `bench.add` and `bench.upsert` do.
    """

    def __init__(self, bench: "Workbench", *, durable: bool = False, **options: Any):
        super().__init__(**{"autoflush": False, **options, "bind": options.get("bind") or engine(bench)})
        self.bench, self._durable = bench, durable

    def flush(self, objects: Sequence[Any] | None = None) -> None:
        """Write what was added, changed and deleted since."""
        if objects is not None:
            raise UsageError(
                "a part of a session is not written by itself; nothing was written. Commit the session, or add to another one."
            )
        new, deleted = list(self.new), list(self.deleted)
        changed = [one for one in self.dirty if self.is_modified(one) and one not in self.deleted]
        for one in (*new, *deleted, *changed):
            if not isinstance(one, Mapped):
                raise UsageError(
                    f"{type(one).__name__} is no class of orm.models, so nothing says which table takes it; nothing was written."
                )
        keys: dict[int, dict[str, Any]] = {}
        if new or deleted or changed:
            with self.bench.transaction(durable=self._durable) as t:
                for one in in_order(new):
                    keys[id(one)] = t.add(full(one), row(one, keys))
                for one in changed:
                    t.upsert(full(one), difference(one, keys))
                for one in reversed(in_order(deleted)):
                    t.delete(full(one), key=inspect(one).identity)
        for one in new:
            self.expunge(one)
            for column in one.__table__.primary_key:
                setattr(one, column.name, keys[id(one)][column.name])
            make_transient_to_detached(one)
            self.add(one)
        for one in deleted:
            self.expunge(one)
        # Also what only refers to what was changed, which SQLAlchemy would ask for again.
        for one in list(self.dirty):
            self.expire(one)


def full(one: Any) -> str:
    """The table that an object is of."""
    return f"{one.__table__.schema}.{one.__table__.name}"


def in_order(objects: Sequence[Any]) -> list[Any]:
    """Objects, each after those that it may refer to, and as they were added otherwise."""
    places = {table: place for place, table in enumerate(objects[0].__table__.metadata.sorted_tables)} if objects else {}
    return sorted(objects, key=lambda one: (places.get(one.__table__, -1), getattr(inspect(one), "insert_order", 0)))


def row(one: Any, keys: dict[int, dict[str, Any]]) -> dict[str, Any]:
    """What was said of a new object; what was not said, or None, its table fills in."""
    told = {column.name: meant(one, column) for column in one.__table__.columns if one.__dict__.get(column.name) is not None}
    return told | referred(one, keys)


def meant(one: Any, column: Any) -> Any:
    """The value of an object's column; a time without a zone is UTC's."""
    value = one.__dict__[column.name]
    return value.replace(tzinfo=UTC) if isinstance(value, datetime) and value.tzinfo is None else value


def referred(one: Any, keys: dict[int, dict[str, Any]]) -> dict[str, Any]:
    """The columns of an object that an attribute of it says: `Trade(signal=signal)` says its signal_id."""
    found = {}
    for each in inspect(type(one)).relationships:
        other = one.__dict__.get(each.key)
        if each.direction is MANYTOONE and other is not None:
            for local, remote in each.local_remote_pairs:
                found[local.name] = keys[id(other)][remote.name] if id(other) in keys else getattr(other, remote.name)
    return found


def difference(one: Any, keys: dict[int, dict[str, Any]]) -> dict[str, Any]:
    """The key of an object, and what was changed of it. Raises `UsageError` for another key."""
    state = inspect(one)
    told = dict(zip((column.name for column in one.__table__.primary_key), state.identity, strict=True))
    changed = {column.name: meant(one, column) for column in one.__table__.columns if state.attrs[column.name].history.has_changes()}
    if moved := changed.keys() & told.keys():
        raise UsageError(
            f"{', '.join(sorted(moved))} is the key of {full(one)} and does not change; nothing was written. Delete the row and add another."
        )
    relations = {each.key for each in inspect(type(one)).relationships if state.attrs[each.key].history.has_changes()}
    return told | changed | (referred(one, keys) if relations else {})


def sessions(bench: "Workbench", **options: Any) -> "sessionmaker[LakeSession]":
    """What makes sessions on a bench: `get_db = orm.sessions(bench)`, then `with get_db() as db: db.query(Signal).all()`."""
    return sessionmaker(class_=LakeSession, **{"autoflush": False, "bench": bench, **options})
