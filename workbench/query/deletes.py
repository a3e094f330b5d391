"""Rows that go: which are meant, and what refers to them."""

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import duckdb

from workbench.errors import BrokenRule, QueryError, UsageError
from workbench.query.ledger import Within
from workbench.query.references import There, referred
from workbench.query.staging import TOLD, asking, shaped
from workbench.query.values import Refused, shown, stored, taker, typed
from workbench.tables import quote
from workbench.tables.record import Record, Reference

if TYPE_CHECKING:
    import pyarrow as pa


def deleted(within: Within, record: Record, where: str | None, key: object, values: Mapping[str, object]) -> int:
    """Take out the rows that a condition or a key means, and give their number. Raises `BrokenRule` if something refers to one."""
    there = within.there(record.full)
    if not record.key:
        return without(within, record, there, where, values)
    columns = tuple(dict.fromkeys([*record.key, *(to for _, one in referrers(within, record) for to in one.to)]))
    gone = chosen(there, columns, where, values) if where is not None else of_key(there, columns, key)
    if not len(gone):
        return 0
    unreferred(within, record, gone)
    within.take(record, gone.select(list(record.key)))
    return len(gone)


def chosen(there: There, columns: Sequence[str], where: str | None, values: Mapping[str, object]) -> "pa.Table":
    """Some columns of the rows that meet a condition."""
    names = ", ".join(map(quote, columns))
    return asked(there, f"SELECT {names} FROM __kept WHERE __meets ORDER BY ALL", where, values).cast(kept(there.record, columns))


def asked(there: There, query: str, where: str | None, values: Mapping[str, object]) -> "pa.Table":
    """What a query gives of `__kept`, the rows of a table as files keep them, which has in `__meets` whether they meet a condition."""
    record = there.record
    with asking() as con:
        raw = there.query(con, record.names)
        asides = [f"{quote(one.name)} AS __kept_{n}" for n, one in enumerate(record.columns)]
        back = ", ".join(f"__kept_{n} AS {quote(one.name)}" for n, one in enumerate(record.columns))
        shapes = ", ".join([*map(shaped, record.columns), *asides])
        text = f"WITH __kept AS (SELECT {back}, (\n{where}\n) IS TRUE AS __meets FROM (SELECT {shapes} FROM ({raw}))) {query}"
        try:
            if len(con.extract_statements(text)) != 1:
                raise QueryError(f"{where!r} is no condition, but several statements; nothing was deleted from {record.full}.")
            return con.sql(text, params=dict(values) or None).to_arrow_table()
        except duckdb.Error as fault:
            told = str(fault).splitlines()[0]
            raise QueryError(
                f"{where!r} is no condition over the columns of {record.full} ({told}); nothing was deleted. "
                f"Its columns are {', '.join(record.names)}."
            ) from fault


def of_key(there: There, columns: Sequence[str], key: object) -> "pa.Table":
    """Some columns of the row of a key; none if it is not there."""
    import pyarrow as pa

    record = there.record
    told = key_of(record, key)
    with asking() as con:
        con.register("__key", pa.table({name: pa.array([told[name]], stored(typed(record[name].type))) for name in record.key}))
        same = " AND ".join(f"o.{quote(name)} = k.{quote(name)}" for name in record.key)
        names = ", ".join(f"o.{quote(name)}" for name in columns)
        found = con.sql(f"SELECT {names} FROM ({there.query(con, columns)}) o JOIN __key k ON {same}").to_arrow_table()
    return found.cast(kept(record, columns))


def key_of(record: Record, key: object) -> dict[str, Any]:
    """The values of a key as they are kept. Raises `UsageError` for what is none."""
    if isinstance(key, Mapping):
        given = dict(key)
    else:
        parts = tuple(key) if isinstance(key, list | tuple) else (key,)
        given = dict(zip(record.key, parts, strict=False)) if len(parts) == len(record.key) else {}
    if set(given) != set(record.key):
        raise UsageError(f"{shown(key)} is no key of {record.full}; nothing was done. Its key is ({', '.join(record.key)}).")
    try:
        return {name: taker(typed(record[name].type))(given[name]) for name in record.key}
    except Refused as fault:
        raise UsageError(f"{shown(key)} is no key of {record.full}: {fault}; nothing was done.") from None


def without(within: Within, record: Record, there: There, where: str | None, values: Mapping[str, object]) -> int:
    """Take out rows of a table without a key: all go, and the others come again."""
    if where is None:
        raise UsageError(f"{record.full} has no key; nothing was deleted. Say which rows by a condition.")
    found = asked(there, "FROM __kept", where, values)
    stay = found.filter(pc_not(found["__meets"])).drop_columns(["__meets"]).cast(kept(record, record.names))
    gone = len(found) - len(stay)
    if gone:
        within.clear(record, len(found))
        within.put(record, stay, replaces=False)
    return gone


def pc_not(mask: "pa.ChunkedArray") -> Any:
    """The other rows."""
    import pyarrow.compute as pc

    return pc.invert(mask)


def kept(record: Record, columns: Iterable[str]) -> "pa.Schema":
    """Some columns as files keep them."""
    import pyarrow as pa

    return pa.schema([(name, stored(typed(record[name].type))) for name in columns])


def referrers(within: Within, record: Record) -> list[tuple[Record, Reference]]:
    """What may refer to the rows of a table."""
    return [(one, each) for one in within.ledger.records().values() for each in one.references if each.table == record.full]


def unreferred(within: Within, record: Record, gone: "pa.Table", but: Iterable[str] = ()) -> None:
    """Raises `BrokenRule` if a row of another table, but of some, refers to one that is to go."""
    told: list[str] = []
    for other, reference in referrers(within, record):
        there = within.there(other.full)
        if other.full not in but and not there.empty:
            told += referred(gone, reference, other, there, TOLD + 1)
    if told:
        more = ["  and more"] * (len(told) > TOLD)
        raise BrokenRule(
            "\n".join(
                [
                    f"other rows refer to what is to go from {record.full}; nothing was deleted. Delete these first:",
                    *(f"  {one}" for one in told[:TOLD]),
                    *more,
                ]
            )
        )
