"""What an error of DuckDB's should say besides: where the name is that it did not find, and what DuckDB calls a function of another database."""

import re
from collections.abc import Mapping
from difflib import get_close_matches

from workbench.tables.platforms import PLATFORMS, RECORDS
from workbench.tables.record import Platform

# Functions that no translation knows, with the nearest form that runs.
FORMS: Mapping[str, str] = {
    "time_bucket_gapfill": 'join the buckets to generate_series(start, finish, width) with a LEFT JOIN, or take bench.bars(…, fill="forward")',
    "locf": "write last_value(x IGNORE NULLS) OVER (ORDER BY bucket)",
    "interpolate": "write fill(x) OVER (ORDER BY bucket)",
    "candlestick_agg": "write first(price, time), max(price), min(price), last(price, time), sum(size), or take bench.bars",
    "candlestick": "write first(price, time), max(price), min(price), last(price, time), sum(size), or take bench.bars",
    "histogram": "write histogram(x, range(low, high, width)), whose buckets are told by their upper ends",
    "width_bucket": "write floor((x - low) / width) + 1",
    "approx_percentile": "write approx_quantile(x, 0.5)",
    "percentile_agg": "write approx_quantile(x, 0.5)",
    "stats_agg": "write avg(x), stddev(x), count(x)",
    "time_weight": "weigh by the time to the next row: lead(time) OVER (ORDER BY time) - time",
    "approximate_row_count": "write count(*), which reads no rows, only the files' footers",
    "jsonb_array_elements": "write unnest(json_extract(x, '$[*]'))",
    "json_array_elements": "write unnest(json_extract(x, '$[*]'))",
    "jsonb_array_elements_text": "write unnest(json_extract_string(x, '$[*]'))",
    "jsonb_each": "write json_each(x), a table function",
    "jsonb_build_object": "write json_object('key', value, …)",
    "json_build_object": "write json_object('key', value, …)",
    "jsonb_agg": "write json_group_array(x)",
    "json_agg": "write json_group_array(x)",
    "row_to_json": "write to_json(t)",
    "regexp_match": "write regexp_extract(text, pattern)",
    "regexp_split_to_table": "write unnest(regexp_split_to_array(text, pattern))",
    "crosstab": "write PIVOT t ON column USING sum(value)",
    "to_tsvector": "write text ILIKE '%word%'",
    "to_tsquery": "write text ILIKE '%word%'",
    "hypertable_detailed_size": "write hypertable_size('market_data.ohlcv')",
    "chunks_detailed_size": "read total_bytes in timescaledb_information.chunks",
    "hypertable_compression_stats": "read before_ and after_compression_total_bytes in timescaledb_information.chunks",
    "chunk_compression_stats": "read before_ and after_compression_total_bytes in timescaledb_information.chunks",
    "every": "write bool_and(x)",
    "make_interval": "write INTERVAL '3 days', or to_days(3)",
    "changes": "bench.append, upsert and delete return how many rows they wrote",
    "last_insert_rowid": "bench.add gives the row with its number: bench.add(table, row)['id']",
}
# What a platform in use answers or translates, with the dialect that has it.
TRANSLATED = {
    "postgres": frozenset(
        [
            "create_hypertable",
            "add_compression_policy",
            "add_retention_policy",
            "add_continuous_aggregate_policy",
            "compress_chunk",
            "decompress_chunk",
            "show_chunks",
            "drop_chunks",
            "remove_retention_policy",
            "remove_compression_policy",
            "to_char",
            "pg_database_size",
            "pg_total_relation_size",
            "pg_relation_size",
            "hypertable_size",
            "regclass",
        ]
    ),
    "sqlite": frozenset(("datetime", "julianday", "unixepoch", "total")),
}
NO_FUNCTION = re.compile(
    r"(?:Function|Type) with name (\w+) does not exist|No function matches the given name and argument types '\"?(\w+)", re.IGNORECASE
)
NO_TABLE = re.compile(r"Table with name (\S+) does not exist", re.IGNORECASE)
NOT_BY_SQL = re.compile(r"Can only (?:delete from|update) base table|is not an table")
TWO_ARGUMENTS = re.compile(r"No function matches the given name and argument types '(first|last)\(", re.IGNORECASE)


def hint(message: str, used: Platform | None = None) -> str:
    """What to add to a message of DuckDB's; empty if there is nothing. `used` is the platform in use."""
    if found := NO_TABLE.search(message):
        return table(found[1].rstrip("!").strip('"'), used)
    if NOT_BY_SQL.search(message):
        return (
            "Documented tables are written by bench.append, bench.upsert and bench.delete; bench.use(platform) takes plain INSERT, UPDATE and "
            "DELETE of that platform's tables, too. Nothing was changed."
        )
    if (found := TWO_ARGUMENTS.search(message)) and not used:
        word, least = found[1].lower(), "min" if found[1].lower() == "first" else "max"
        return f'{word}(value, time) is TimescaleDB\'s: bench.use("tetra") translates it, or write arg_{least}(value, time).'
    if found := NO_FUNCTION.search(message):
        return function((found[1] or found[2]).lower(), used)
    return ""


def table(name: str, used: Platform | None) -> str:
    """Where a table of that name, or of one much like it, is documented."""
    bare = name.rpartition(".")[2].lower()
    same = [record for record in RECORDS.values() if record.name == bare]
    if same:
        platforms = [one.name for one in PLATFORMS.values() for record in same if record in one.records]
        told = f"{bare} is {' or '.join(record.full for record in same)}: write the schema"
        return f"{told}." if used else f'{told}, or bench.use("{platforms[0]}").'
    known = [record.full for record in (used.records if used else RECORDS.values())]
    near = get_close_matches(name.lower(), known, n=3, cutoff=0.6) or [
        full for full in known if get_close_matches(bare, [full.partition(".")[2]], cutoff=0.7)
    ]
    return f"Documented tables of a like name: {', '.join(near[:3])}." if near else ""


def function(name: str, used: Platform | None) -> str:
    """What a function of another database is here."""
    for dialect, known in TRANSLATED.items():
        if name in known and (used is None or used.dialect != dialect):
            called = "PostgreSQL's or TimescaleDB's" if dialect == "postgres" else "SQLite's"
            users = " or ".join(f'bench.use("{one.name}")' for one in PLATFORMS.values() if one.dialect == dialect)
            return f"{name} is {called}: {users} translates or answers it."
    return f"{name} is not translated: {FORMS[name]}." if name in FORMS else ""
