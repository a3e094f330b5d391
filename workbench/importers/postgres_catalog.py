"""What a PostgreSQL database holds, by its own catalogue: a few queries, however many tables there are."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from workbench.importers.origin import Column, Held
from workbench.tables.spec import quote

Ask = Callable[[str], list[tuple[Any, ...]]]

# PostgreSQL writes the digits of a NUMERIC(p, s) into one number, from this on.
TYPMOD = 4
SETTINGS = {
    "statement_timeout": "0",
    "idle_in_transaction_session_timeout": "0",
    "transaction_timeout": "0",
    "idle_session_timeout": "0",
    # What is asked for as text comes in one form from all servers.
    "TimeZone": "UTC",
    "DateStyle": "ISO, YMD",
    "IntervalStyle": "iso_8601",
    "bytea_output": "hex",
    "extra_float_digits": "3",
    # A policy that hides rows is an error, then, and no gap that nobody sees.
    "row_security": "off",
}


@dataclass(frozen=True)
class Kind:
    """A column's type: its number, PostgreSQL's name for the type below any domain, or "" for one of nobody's, and that to compare it in.

    `nested` tells arrays and rows; `precision` and `scale` are the digits that a NUMERIC may have, None where it may have any; `required` that it is
    never NULL.
    """

    number: int
    base: str
    cast: str
    nested: bool = False
    precision: int | None = None
    scale: int = 0
    required: bool = False


@dataclass(frozen=True)
class Relation:
    """A table: its number, its name as SQL has it, and the types of its columns."""

    oid: int
    quoted: str
    held: Held
    kinds: dict[str, Kind] = field(default_factory=dict)


def settings(lock_ms: int) -> str:
    """The statement that sets what a snapshot needs, as far as the server knows it, until the snapshot ends."""
    wanted = {**SETTINGS, "lock_timeout": str(lock_ms)}
    values = ", ".join(f"('{name}', '{value}')" for name, value in wanted.items())
    return (
        f"SELECT pg_catalog.set_config(s.name, v.value, true) FROM (VALUES {values}) AS v(name, value) "
        "JOIN pg_catalog.pg_settings s ON pg_catalog.lower(s.name) = pg_catalog.lower(v.name)"
    )


# Partitions, heirs and chunks are read with the table that they are of; their parent's number of rows is the sum of theirs.
RELATIONS = """
WITH RECURSIVE listed AS (
    SELECT c.oid, n.nspname, c.relname, c.relkind,
        pg_catalog.has_schema_privilege(n.oid, 'USAGE') AS enters,
        pg_catalog.has_table_privilege(c.oid, 'SELECT') AS reads,
        pg_catalog.has_any_column_privilege(c.oid, 'SELECT') AS reads_some,
        pg_catalog.row_security_active(c.oid) AS hides
    FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
    WHERE c.relkind = ANY (ARRAY[{kinds}]::"char"[]) AND NOT c.relispartition AND c.relpersistence <> 't'
        AND n.nspname !~ '^(pg_|_timescaledb_|timescaledb_)' AND n.nspname <> 'information_schema'
        AND NOT EXISTS (SELECT FROM pg_catalog.pg_inherits i WHERE i.inhrelid = c.oid)
        AND NOT EXISTS (
            SELECT FROM pg_catalog.pg_depend d
            WHERE d.classid = 'pg_catalog.pg_class'::pg_catalog.regclass AND d.objid = c.oid AND d.deptype = 'e'
        )
), tree AS (
    SELECT oid AS root, oid FROM listed
    UNION ALL
    SELECT tree.root, i.inhrelid FROM tree JOIN pg_catalog.pg_inherits i ON i.inhparent = tree.oid
), counted AS (
    SELECT root, sum(known)::int8 AS rows, bool_and(known IS NOT NULL) AS all_known FROM (
        SELECT root, CASE
            WHEN c.relkind IN ('p', 'v') THEN CASE c.relkind WHEN 'p' THEN 0 END
            WHEN c.reltuples > 0 OR (c.reltuples = 0 AND c.relpages > 0) THEN c.reltuples
            WHEN c.relkind <> 'f' AND pg_catalog.pg_relation_size(c.oid) = 0 THEN 0
        END AS known FROM tree JOIN pg_catalog.pg_class c ON c.oid = tree.oid
    ) AS each GROUP BY root
)
SELECT listed.oid::int8, nspname::text, relname::text, enters, reads, reads_some, hides, CASE WHEN all_known THEN rows END
FROM listed JOIN counted ON counted.root = listed.oid ORDER BY nspname, relname
"""
COLUMNS = """
SELECT a.attrelid::int8, a.attname::text, a.attnum::int4, a.attnotnull, a.atttypid::int8, a.atttypmod,
    pg_catalog.format_type(a.atttypid, a.atttypmod), pg_catalog.has_column_privilege(a.attrelid, a.attnum, 'SELECT')
FROM pg_catalog.pg_attribute a JOIN pg_catalog.pg_class c ON c.oid = a.attrelid JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
WHERE a.attnum > 0 AND NOT a.attisdropped AND c.relkind = ANY (ARRAY[{kinds}]::"char"[]) AND NOT c.relispartition
    AND n.nspname !~ '^(pg_|_timescaledb_|timescaledb_)' AND n.nspname <> 'information_schema'
ORDER BY a.attrelid, a.attnum
"""
TYPES = """
SELECT t.oid::int8, CASE WHEN n.nspname = 'pg_catalog' OR t.typname = 'hstore' THEN t.typname::text ELSE '' END, t.typtype::text, t.typcategory::text,
    t.typbasetype::int8, t.typtypmod, pg_catalog.format_type(t.oid, NULL)
FROM pg_catalog.pg_type t JOIN pg_catalog.pg_namespace n ON n.oid = t.typnamespace
WHERE t.typtype NOT IN ('p') AND n.nspname !~ '^_timescaledb_'
"""
# Compressed chunks look empty: how many rows they hold TimescaleDB keeps by itself.
COMPRESSED = "SELECT pg_catalog.to_regclass('_timescaledb_catalog.compression_chunk_size') IS NOT NULL"
CHUNKS = """
SELECT h.schema_name::text || '.' || h.table_name::text, CASE WHEN bool_and(coalesce(s.numrows_pre_compression, each.known) IS NOT NULL)
    THEN sum(coalesce(s.numrows_pre_compression, each.known))::int8 END
FROM _timescaledb_catalog.hypertable h
JOIN _timescaledb_catalog.chunk c ON c.hypertable_id = h.id
JOIN pg_catalog.pg_namespace n ON n.nspname = c.schema_name
JOIN pg_catalog.pg_class k ON k.relnamespace = n.oid AND k.relname = c.table_name
CROSS JOIN LATERAL (
    SELECT CASE WHEN k.reltuples > 0 THEN k.reltuples WHEN pg_catalog.pg_relation_size(k.oid) = 0 THEN 0 END AS known
) AS each
LEFT JOIN _timescaledb_catalog.compression_chunk_size s ON s.chunk_id = c.id
GROUP BY 1
"""


def relations(ask: Ask, attempt: Ask, *, views: bool) -> dict[str, Relation]:
    """The tables that people made, by `schema.table`; with views if asked. What is only attempted may fail, and gives nothing then."""
    kinds = ", ".join(f"'{one}'" for one in ("r", "p", "f", *("v", "m") * views))
    types = {row[0]: row[1:] for row in ask(TYPES)}
    columns: dict[int, list[tuple[Any, ...]]] = {}
    for row in ask(COLUMNS.format(kinds=kinds)):
        columns.setdefault(row[0], []).append(row[1:])
    [(compressed,)] = ask(COMPRESSED)
    chunked: dict[str, int | None] = dict(attempt(CHUNKS)) if compressed else {}
    found = {}
    for oid, schema, name, enters, reads, some, hides, rows in ask(RELATIONS.format(kinds=kinds)):
        mine = [one for one in columns.get(oid, ()) if reads or one[6] or not some]
        full = f"{schema}.{name}"
        fault = ""
        if not enters or not (reads or some):
            fault = f"{full} may not be read by this user; nothing of it was imported. Its owner lets them with GRANT {'USAGE ON SCHEMA' if not enters else 'SELECT'}."
        elif hides:
            fault = (
                f"{full} has row-level security, which would hide rows of it from this user without a word; nothing of it was imported. "
                "Read it as its owner, or as a user with BYPASSRLS."
            )
        held = Held(full, tuple(Column(one[0], one[5]) for one in mine), chunked.get(full, rows), fault)
        found[full] = Relation(oid, f"{quote(schema)}.{quote(name)}", held, {one[0]: kind_of(types, *one[1:5]) for one in mine})
    return found


def kind_of(types: dict[int, tuple[Any, ...]], number: int, required: bool, oid: int, typmod: int) -> Kind:
    """What a column's type comes down to."""
    cast = ""
    while True:
        base, sort, category, below, inner, shown = types.get(oid, ("", "", "", 0, -1, "text"))
        cast = shown
        if sort != "d":
            break
        oid, typmod = below, inner
    precision, scale = None, 0
    if base == "numeric" and typmod >= TYPMOD:
        precision, scale = (typmod - TYPMOD) >> 16 & 0xFFFF, (typmod - TYPMOD) & 0x7FF
        # 11 bits, of which the first is the sign.
        scale -= 0x800 if scale & 0x400 else 0
    return Kind(number, base, cast, category == "A" or sort == "c", precision, scale, required)


def indexed(oid: int, number: int) -> str:
    """The query that gives a row if a whole index leads with a column."""
    return (
        "SELECT 1::int4 FROM pg_catalog.pg_index i JOIN pg_catalog.pg_class c ON c.oid = i.indexrelid JOIN pg_catalog.pg_am m ON m.oid = c.relam "
        f"WHERE i.indrelid = {oid} AND i.indisvalid AND i.indpred IS NULL AND i.indkey[0] = {number} AND m.amname = 'btree' LIMIT 1"
    )
