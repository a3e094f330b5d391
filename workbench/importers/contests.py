"""Rows of an import that want a value of which there may be only one: judged as if rows came one after another."""

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from workbench.query.references import There, values_of
from workbench.query.staging import ROW, asking, numbered
from workbench.tables import quote
from workbench.tables.record import Record

if TYPE_CHECKING:
    import duckdb
    import numpy as np
    import pyarrow as pa

Near = Callable[["duckdb.DuckDBPyConnection", There, Sequence[str], Sequence[str]], str]


def contested(
    record: Record, rows: "pa.Table", identity: tuple[str, ...], there: There, stands: "np.ndarray[Any, Any]", near: Near
) -> list[tuple[int, str]]:
    """The rows that want values of a `unique`, or of a key, that another row has when they come, and why. `stands` are the rows that are in question."""
    import pyarrow as pa

    came = set(rows.column_names)
    asked = [columns for columns in filter(None, (record.key, *record.unique)) if columns != identity and set(columns) <= came]
    if not asked or not len(rows):
        return []
    holds: dict[tuple[str, ...], dict[tuple[Any, ...], Any]] = {}
    involved: set[Any] = set()
    with asking() as con:
        con.register("__mine", rows.append_column(ROW, numbered(len(rows))).append_column("__stands", pa.array(stands)))
        if not any(shared(con, columns, identity, there, near) for columns in asked):
            return []
        for columns in asked:
            names = ", ".join(map(quote, columns))
            whole = " AND ".join(f"{quote(name)} IS NOT NULL" for name in columns)
            mine = f"SELECT {names}, {whose(identity)} AS __who FROM __mine WHERE __stands AND {whole}"
            parts = [mine]
            if not there.empty:
                others = near(con, there, [*columns, *identity], columns)
                theirs = whose(identity) if identity else "'there'"
                parts.append(f"SELECT {names}, {theirs} AS __who FROM ({others}) SEMI JOIN (SELECT {names} FROM __mine) USING ({names})")
            query = f"SELECT {names} FROM ({' UNION ALL '.join(parts)}) GROUP BY {names} HAVING min(__who) <> max(__who)"
            odd = con.sql(query).to_arrow_table()
            holds[columns] = {}
            if not len(odd):
                continue
            con.register("__odd", odd)
            for part in parts:
                involved.update(
                    one for (one,) in con.execute(f"SELECT DISTINCT __who FROM ({part}) SEMI JOIN __odd USING ({names})").fetchall()
                )
            if len(parts) > 1:
                for *held, one in con.execute(f"SELECT {names}, __who FROM ({parts[1]}) SEMI JOIN __odd USING ({names})").fetchall():
                    holds[columns][tuple(held)] = one
        if not involved:
            return []
        con.register("__involved", pa.table({"__who": pa.array(sorted(involved), pa.string())}))
        told = ", ".join(quote(name) for columns in asked for name in columns)
        query = f"SELECT *, {whose(identity)} AS __who FROM __mine WHERE __stands"
        found = con.execute(f"SELECT {ROW}, __who, {told} FROM ({query}) SEMI JOIN __involved USING (__who) ORDER BY {ROW}").fetchall()
    return judged(asked, holds, found)


def shared(con: "duckdb.DuckDBPyConnection", columns: tuple[str, ...], identity: tuple[str, ...], there: There, near: Near) -> bool:
    """Whether two rows may want the same values: of the import, or one of it and another that is there."""
    names = ", ".join(map(quote, columns))
    whole = " AND ".join(f"{quote(name)} IS NOT NULL" for name in columns)
    if con.execute(f"SELECT 1 FROM __mine WHERE __stands AND {whole} GROUP BY {names} HAVING count(*) > 1 LIMIT 1").fetchall():
        return True
    if there.empty:
        return False
    same = " AND ".join(f"o.{quote(name)} = m.{quote(name)}" for name in columns)
    other = " OR ".join(f"o.{quote(name)} IS DISTINCT FROM m.{quote(name)}" for name in identity) or "true"
    others = near(con, there, [*columns, *identity], columns)
    return bool(con.execute(f"SELECT 1 FROM __mine m JOIN ({others}) o ON {same} WHERE m.__stands AND ({other}) LIMIT 1").fetchall())


def whose(identity: Sequence[str]) -> str:
    """An SQL expression of the text that tells a row from others."""
    if not identity:
        return f"{ROW}::VARCHAR"
    return f"concat_ws(chr(31), {', '.join(f'{quote(name)}::VARCHAR' for name in identity)})"


def judged(
    asked: Sequence[tuple[str, ...]], holds: dict[tuple[str, ...], dict[tuple[Any, ...], Any]], found: Sequence[tuple[Any, ...]]
) -> list[tuple[int, str]]:
    """Which of some rows, in their order, find a value taken. A row that goes in lets go of what its identity had."""
    has: dict[Any, dict[tuple[str, ...], tuple[Any, ...]]] = {}
    for columns, values in holds.items():
        for value, who in values.items():
            has.setdefault(who, {})[columns] = value
    refused = []
    for row, who, *told in found:
        wants: dict[tuple[str, ...], tuple[Any, ...]] = {}
        at = 0
        for columns in asked:
            wants[columns] = tuple(told[at : at + len(columns)])
            at += len(columns)
        taken = [columns for columns, value in wants.items() if None not in value and holds[columns].get(value, who) != who]
        if taken:
            refused.append(
                (row, "; ".join(f"unique ({', '.join(one)}): a row with {values_of(wants[one])} is there already" for one in taken))
            )
            continue
        mine = has.setdefault(who, {})
        for columns, value in wants.items():
            if columns in mine and mine[columns] != value:
                holds[columns].pop(mine[columns], None)
            if None not in value:
                holds[columns][value] = who
            mine[columns] = value
    return refused
