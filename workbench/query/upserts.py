"""Rows that replace those of their key: what they leave out stays as it is there."""

from typing import TYPE_CHECKING

from workbench.query.references import There
from workbench.query.staging import ROW, Batch, asking, numbered
from workbench.query.values import stored, typed
from workbench.tables import quote

if TYPE_CHECKING:
    import pyarrow as pa

# What says when a row was changed last is set anew.
CHANGED = frozenset(("updated_at", "last_updated"))


def merged(batch: Batch, there: There) -> "pa.Array":
    """Have rows take what they leave out from the rows of their keys that are there; gives which have one."""
    import numpy as np
    import pyarrow as pa
    import pyarrow.compute as pc

    record = batch.record
    kept = {
        one.name: told
        for one in record.columns
        if one.name not in record.key and not (one.name in CHANGED and one.default)
        if (told := batch.none[one.name] if one.required and (one.default or one.serial) else batch.absent[one.name]).any()
    }
    if there.empty:
        return pa.array([False] * batch.count)
    with asking() as con:
        con.register("__mine", pa.table({**{name: batch.columns[name] for name in record.key}, ROW: numbered(batch.count)}))
        same = " AND ".join(f"o.{quote(name)} = m.{quote(name)}" for name in record.key)
        theirs = "".join(f", o.{quote(name)}" for name in kept)
        query = f"SELECT m.{ROW} AS __n{theirs} FROM __mine m JOIN ({there.query(con, [*record.key, *kept])}) o ON {same}"
        found = con.sql(query).to_arrow_table()
    places = np.full(batch.count, -1, dtype=np.int64)
    places[found["__n"].to_numpy()] = np.arange(len(found))
    has = places >= 0
    at = pa.array(places, mask=~has)
    for name, rows in kept.items():
        column = record[name]
        values = found[name].combine_chunks().cast(stored(typed(column.type))).take(at)
        batch.columns[name] = pc.if_else(pa.array(has & rows), values, batch.columns[name])
        batch.none[name] = batch.none[name] & ~has
        batch.absent[name] = batch.absent[name] & ~has
    return pa.array(has)
