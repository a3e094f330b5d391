"""The hash of the strategies that gave a signal, which tells its trades apart, too: filled in where a row lacks `strategy_version`.

It is of the strategies' names, and of the version and parameters of each that is defined: of several definitions the newest that is in use.
"""

import hashlib
import json
from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING, Any

from workbench.query.references import There
from workbench.query.staging import ROW, asking, numbered
from workbench.tables import quote
from workbench.tables.record import Record, Reference

if TYPE_CHECKING:
    import pyarrow as pa

VERSION, STRATEGIES = "strategy_version", "strategies"
# What each schema's definitions of strategies are called.
DEFINITIONS = "strategy_definitions"
DIGITS = 16

Look = Callable[[str], There]
Definitions = Mapping[str, Mapping[str, Any]]


def hashed(names: Iterable[str], definitions: Definitions) -> str:
    """What tells some strategies, as they are defined now, from any others."""
    told = {name: definitions.get(name, {}) for name in names}
    text = json.dumps(told, sort_keys=True, ensure_ascii=False, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()[:DIGITS]


def hashes(record: Record) -> bool:
    """Whether the rows of a table name the strategies that gave them."""
    return {VERSION, STRATEGIES} <= set(record.names) and record[STRATEGIES].type.startswith("MAP")


def follows(record: Record, records: Mapping[str, Record]) -> Reference | None:
    """What refers to the row that a row of a table takes its version from."""
    if VERSION not in record.names or hashes(record):
        return None
    return next((one for one in record.references if VERSION in records[one.table].names), None)


def defined(there: There) -> dict[str, dict[str, Any]]:
    """Version and parameters of the strategies that are in use, by name."""
    if there.empty:
        return {}
    with asking() as con:
        query = there.query(con, ("name", "version", "parameters", "enabled", "updated_at"))
        found = con.execute(f"SELECT name, version, parameters FROM ({query}) WHERE enabled ORDER BY updated_at, version").fetchall()
    return {name: {"version": version, "parameters": json.loads(told or "null")} for name, version, told in found}


def versioned(record: Record, rows: "pa.Table", records: Mapping[str, Record], look: Look) -> "pa.Table":
    """Rows with the version of their strategies, where they lack it."""
    if VERSION not in record.names or not rows[VERSION].null_count:
        return rows
    if hashes(record):
        return with_hashes(record, rows, look)
    if reference := follows(record, records):
        return with_theirs(rows, reference, look(reference.table))
    return rows


def with_hashes(record: Record, rows: "pa.Table", look: Look) -> "pa.Table":
    """Rows with the hash of the strategies that each names."""
    import pyarrow as pa

    definitions = defined(look(f"{record.schema}.{DEFINITIONS}"))
    known: dict[tuple[str, ...], str] = {}
    made = []
    for told, named in zip(rows[VERSION].to_pylist(), rows[STRATEGIES].to_pylist(), strict=True):
        names = tuple(name for name, _ in named or ())
        if told is None and names and names not in known:
            known[names] = hashed(names, definitions)
        made.append(told if told is not None else known.get(names))
    return put(rows, pa.array(made, pa.string()))


def with_theirs(rows: "pa.Table", reference: Reference, there: There) -> "pa.Table":
    """Rows with the version of the row that each refers to."""
    import pyarrow as pa

    own = list(reference.columns)
    if there.empty:
        return rows
    with asking() as con:
        con.register("__mine", rows.select([*own, VERSION]).append_column(ROW, numbered(len(rows))))
        same = " AND ".join(f"o.{quote(to)} = m.{quote(name)}" for name, to in zip(own, reference.to, strict=True))
        theirs = there.query(con, [*reference.to, VERSION])
        query = f"SELECT coalesce(m.{VERSION}, o.{VERSION}) FROM __mine m LEFT JOIN ({theirs}) o ON {same} ORDER BY m.{ROW}"
        made = [value for (value,) in con.execute(query).fetchall()]
    return put(rows, pa.array(made, pa.string()))


def put(rows: "pa.Table", versions: "pa.Array") -> "pa.Table":
    """Rows with some versions."""
    return rows.set_column(rows.column_names.index(VERSION), VERSION, versions)
