"""Statements that keep a database and ask for no rows: what holds here instead, and the call or setting that does it.

Statements that would change documented rows are refused; those that make a user's own tables are left to DuckDB.
"""

import re
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass

from sqlglot import exp

from workbench.errors import QueryError
from workbench.query.documented import every
from workbench.query.idioms.names import Names
from workbench.query.views import literal
from workbench.tables import FED, TABLES
from workbench.tables.platforms import PLATFORMS, RECORDS

PART = r'(?:"[^"]+"|\w+)'
NAME = rf"{PART}(?:\s*\.\s*{PART})*"
COMMENTS = re.compile(r"\A(?:\s|--[^\n]*(?:\n|\Z)|/\*.*?\*/)+", re.DOTALL)
# A notebook keeps what is shown in it.
PASSWORD = re.compile(r"(\bPASSWORD\s+)'[^']*'", re.IGNORECASE)
AGE = re.compile(r"INTERVAL\s*'?\s*(\d+)\s*'?\s*(day|week|month|year)s?|'(\d+)\s*(day|week|month|year)s?'", re.IGNORECASE)

SORTED = "Files are sorted by ticker and time, and the log's statistics say which of them a query needs."
INDEX = ("There are no indexes to make or to drop. " + SORTED, "EXPLAIN SELECT … shows which files are read")
RIGHTS = (
    "The lake is files: who may read it is who may read its folder. There are no users, roles or passwords.",
    "chmod, or the bucket's policy",
)
SERVER = ("There is no server to set up: DuckDB runs in this process.", "WORKBENCH_MEMORY_LIMIT, WORKBENCH_THREADS; workbench config")
CHUNKED = ("Tables of market data are cut into chunks of time as they land.", "FROM timescaledb_information.hypertables")
PACKED = (
    "Files are compressed as they land; chunks that are complete are written sorted, compressed more, at the end of a refresh.",
    "bench.compact(), or [maintain] compact_after in workbench.toml",
)
UNPACKED = ("Compressed chunks are read and refreshed as they are; nothing is to be decompressed.", "bench.refresh(…) replaces a session")
COMPUTED = ("It is computed from the newest rows whenever it is read; there is nothing to refresh.", "SELECT … FROM it")
NO_JOB = ("Policies stand in workbench.toml and run at the end of each refresh.", "workbench maintain, or bench.maintain()")
NO_CODE = ("Nothing runs inside the lake; no function was made.", "Python, with bench.append; CREATE MACRO f(x) AS … for an expression")
CLEANED = (
    "Replaced files are removed, and chunks written anew, at the end of each refresh.",
    "bench.vacuum(), bench.compact(), bench.maintain()",
)
# Functions that TimescaleDB is kept with, by what holds here.
FUNCTIONS: dict[str, tuple[str, str]] = {
    "create_hypertable": CHUNKED,
    "set_chunk_time_interval": CHUNKED,
    "add_dimension": CHUNKED,
    "create_distributed_hypertable": CHUNKED,
    "add_compression_policy": PACKED,
    "add_columnstore_policy": PACKED,
    "compress_chunk": PACKED,
    "convert_to_columnstore": PACKED,
    "recompress_chunk": PACKED,
    "decompress_chunk": UNPACKED,
    "convert_to_rowstore": UNPACKED,
    "add_continuous_aggregate_policy": COMPUTED,
    "refresh_continuous_aggregate": COMPUTED,
    "remove_continuous_aggregate_policy": COMPUTED,
    "remove_compression_policy": ("Compaction is not a policy of one table.", "[maintain] compact_after in workbench.toml"),
    "remove_columnstore_policy": ("Compaction is not a policy of one table.", "[maintain] compact_after in workbench.toml"),
    "add_job": NO_JOB,
    "alter_job": NO_JOB,
    "delete_job": NO_JOB,
    "run_job": NO_JOB,
    "add_reorder_policy": ("Files are sorted by ticker and time as they are written.", "bench.compact()"),
    "reorder_chunk": ("Files are sorted by ticker and time as they are written.", "bench.compact()"),
    "pg_stat_statements_reset": ("Times of queries are not kept.", "%timeit in a notebook"),
    "pg_reload_conf": SERVER,
}
KEPT = frozenset((*FUNCTIONS, "add_retention_policy", "remove_retention_policy", "drop_chunks"))
# Statements by their first words, with what holds here.
HEADS: tuple[tuple[str, tuple[str, str]], ...] = (
    (r"(GRANT|REVOKE)\b", RIGHTS),
    (r"(CREATE|ALTER|DROP)\s+(USER|ROLE|GROUP)\b", RIGHTS),
    (r"ALTER\s+DEFAULT\s+PRIVILEGES\b", RIGHTS),
    (r"ALTER\s+(SYSTEM|DATABASE)\b", SERVER),
    (r"(CREATE|ALTER|DROP)\s+EXTENSION\b", ("What the extension adds is translated, or here already.", "workbench tables --documents")),
    (r"CREATE\s+DATABASE\b", ("The lake holds every platform's tables, each in its schemas.", "workbench.open(…), workbench refresh")),
    (r"REINDEX\b", INDEX),
    (r"VACUUM\b", CLEANED),
    (r"ANALYZE\b(?!\s*\()", ("Statistics are written with each file, and are never stale.", "bench.verify(quick=True) compares them")),
    (r"CLUSTER\b", ("Files are sorted by ticker and time as they are written.", "bench.compact()")),
    (r"REFRESH\s+MATERIALIZED\s+VIEW\b", COMPUTED),
    (r"COMMENT\s+ON\b", ("Documented tables have their comments.", "workbench tables, or SELECT comment FROM duckdb_views()")),
    (r"(LISTEN|NOTIFY|UNLISTEN|LOCK)\b", ("Nobody waits for anybody: a reader sees the newest commit, or the one that it pinned.", "with bench.pin(): …")),
    (r"(CREATE|DROP|ALTER)\s+(?:OR\s+REPLACE\s+)?(?:CONSTRAINT\s+)?(TRIGGER|RULE|POLICY|PUBLICATION|SUBSCRIPTION)\b", NO_JOB),
    (r"(CREATE|ALTER|DROP)\s+(?:OR\s+REPLACE\s+)?(PROCEDURE|AGGREGATE|FUNCTION\s.*\b(RETURNS|LANGUAGE)\b)|DO\s+(LANGUAGE\b|\$)", NO_CODE),
    (r"SET\s+(?:SESSION\s+|LOCAL\s+)?search_path\b", ("Names without a schema are those of the platform in use.", 'bench.use("market_data")')),
    (r"(SET|RESET)\s+(?:SESSION\s+|LOCAL\s+)?(work_mem|maintenance_work_mem|shared_buffers|statement_timeout|lock_timeout|effective_\w+|random_page_cost"
     r"|client_\w+|log_\w+|max_parallel\w*|jit\w*|timescaledb\.\w+|session_replication_role|row_security|synchronous_commit|idle_\w+|role|enable_(?:seqscan|\w+scan|\w+join|sort|hashagg|\w+_append)|application_name|datestyle|default_transaction\w*)\b", SERVER),
)  # fmt: skip
PRAGMAS = {
    "integrity_check": ("Log, files, statistics, rows and keys are proved by a command.", "bench.verify()"),
    "quick_check": ("Log and footers are proved by a command.", "bench.verify(quick=True)"),
    "foreign_keys": (
        "Checks, keys and references are declared with the tables, and hold for every row that is written.",
        'bench.append("schema.table", rows)',
    ),
    "foreign_key_check": (
        "Checks, keys and references are declared with the tables, and hold for every row that is written.",
        'bench.append("schema.table", rows)',
    ),
    "index_list": INDEX,
    "index_info": INDEX,
    "optimize": CLEANED,
    "wal_checkpoint": CLEANED,
    "incremental_vacuum": CLEANED,
    "auto_vacuum": CLEANED,
}
FILED = (
    "The lake is files, written whole and committed at once: there is no journal, cache or lock to set.",
    "WORKBENCH_MEMORY_LIMIT; workbench config",
)
SQLITES = frozenset(
    [
        "journal_mode",
        "synchronous",
        "cache_size",
        "temp_store",
        "mmap_size",
        "busy_timeout",
        "page_size",
        "locking_mode",
        "encoding",
        "user_version",
        "application_id",
        "journal_size_limit",
        "secure_delete",
        "case_sensitive_like",
        "recursive_triggers",
        "wal_autocheckpoint",
        "page_count",
        "freelist_count",
    ]
)
WRITES = re.compile(
    rf"(?:INSERT\s+(?:OR\s+\w+\s+)?INTO|REPLACE\s+INTO|UPDATE(?:\s+OR\s+\w+)?(?:\s+ONLY)?|DELETE\s+FROM(?:\s+ONLY)?|MERGE\s+INTO|TRUNCATE(?:\s+TABLE)?(?:\s+ONLY)?"
    rf"|DROP\s+(?:TABLE|VIEW|MATERIALIZED\s+VIEW)(?:\s+IF\s+EXISTS)?|COPY)\s+({NAME}(?:\s*,\s*{NAME})*)",
    re.IGNORECASE,
)

SCHEMAS = re.compile(rf"(DROP\s+SCHEMA|DROP\s+DATABASE|ALTER\s+SCHEMA)\s+(?:IF\s+EXISTS\s+)?({NAME}(?:\s*,\s*{NAME})*)", re.IGNORECASE)
EXPLAINED = re.compile(r"\AEXPLAIN\s+(?:\([^)]*\)\s*|(?:ANALYZE|VERBOSE|QUERY\s+PLAN)\s+)*", re.IGNORECASE)


@dataclass(frozen=True)
class Answer:
    """What holds here in place of a statement, and the call or setting that does what it asks for."""

    statement: str
    answer: str
    instead: str


def rows(answers: Sequence[Answer]) -> str:
    """A query that gives a row for each answer."""
    told = ", ".join(f"({', '.join(map(literal, (one.statement, one.answer, one.instead)))})" for one in answers)
    return f"SELECT * FROM (VALUES {told}) AS answers(statement, answer, instead)"


def answered(raw: str, names: Names, own: Collection[str]) -> Answer | str | None:
    """The answer to a statement that asks for no rows, or the SQL that does it here; None for one that is to be run.

    Raises `QueryError` for one that would change documented rows or the lake's.
    """
    text = PASSWORD.sub(r"\1'…'", COMMENTS.sub("", raw).strip())
    refuse(text, names, own)
    for head, told in HEADS:
        if re.match(head, text, re.IGNORECASE | re.DOTALL):
            return Answer(text, *told)
    if found := re.match(r"SET\s+(?:SESSION\s+|LOCAL\s+)?TIME\s+ZONE\s+('[^']*'|\w+)\s*\Z", text, re.IGNORECASE):
        return f"SET TimeZone = {found[1] if found[1].startswith(chr(39)) else literal(found[1])}"
    if found := re.match(r"CALL\s+(\w+)\s*\(", text, re.IGNORECASE):
        return kept(text, found[1].lower(), names) if found[1].lower() in KEPT else None
    if found := re.match(rf"PRAGMA\s+(?:main\.)?(\w+)\s*[(=]?\s*('[^']*'|{NAME})?", text, re.IGNORECASE):
        return pragma(text, found[1].lower(), found[2] or "", names)
    return made(text, names, own)


def refuse(text: str, names: Names, own: Collection[str]) -> None:
    """Raise `QueryError` for a statement that would change or remove what documents or the lake declare."""
    if found := SCHEMAS.match(text):
        known = {one for platform in PLATFORMS.values() for one in platform.schemas} | {"main"} | {view.schema for view in every().values()}
        for one in re.findall(NAME, found[2]):
            if (schema := one.rpartition(".")[2].strip().strip('"').lower()) in known | names.own:
                raise QueryError(
                    f"{found[1].upper()} {schema} is not run: the lake's views stand in it; nothing was changed. "
                    "Tables of your own go in a schema of your own: CREATE SCHEMA mine."
                )
    text = EXPLAINED.sub("", text)
    inner = re.sub(r"\AWITH\b.*?\)\s*(?=(?:INSERT|UPDATE|DELETE|MERGE)\b)", "", text, flags=re.IGNORECASE | re.DOTALL)
    if not (found := WRITES.match(inner)):
        return
    word = found[0].split()[0].upper()
    if word == "COPY" and not re.search(r"\)?\s*\bFROM\b", inner[found.end() :], re.IGNORECASE):
        return
    for one in re.findall(NAME, found[1]):
        if full := documented(one, names, own):
            verb = {"REPLACE": "INSERT", "COPY": "COPY"}.get(word, word)
            raise QueryError(f"{verb} on {full} is not run: {instead(verb, full)}")


def instead(verb: str, full: str) -> str:
    """Why a statement that writes to a table is not run, and the call that does it."""
    record = RECORDS.get(full)
    if record is None and full in every():
        return "it is a view, which shows what stands in other tables; nothing was changed. Write to those of them that take rows."
    if record is None or not record.takes_rows:
        return "the lake's tables are not written by SQL; nothing was changed. Rows come with bench.refresh()."
    adds = f'bench.append("{full}", rows)'
    if verb in ("DROP", "TRUNCATE"):
        return f'its columns are declared as they are documented, and only its rows go; nothing was changed. Empty it with bench.reset_tables("{full}").'
    if verb in ("INSERT", "COPY", "MERGE"):
        replaces = f', or bench.upsert("{full}", rows) to replace those of the same key' * bool(record.key)
        return f"of its kind only a plain INSERT of values or of a query is; nothing was changed. Add rows with {adds}{replaces}."
    if record.fed and not record.base:
        own = f'bench.upsert("{full}", rows)' if verb == "UPDATE" else f'bench.delete("{full}", "condition")'
        return f"what is computed is not changed by SQL; nothing was changed. It follows from {', '.join(record.fed)}; of rows of your own, write {own}."
    if record.fed:
        return (
            f"what market data feeds is not changed by SQL; nothing was changed. Rows come with bench.refresh(), and your own with {adds}."
        )
    changes = f'bench.upsert("{full}", rows)' if verb == "UPDATE" else f'bench.delete("{full}", "condition")'
    return f"of its kind only a plain one is, of one table and not of its key; nothing was changed. Write {changes}."


def documented(name: str, names: Names, own: Collection[str]) -> str:
    """The full name of a documented table or view, or of one of the lake's, that a name in a statement means; empty if it is a user's own."""
    parts = [one.strip().strip('"') for one in name.split(".")]
    if len(parts) == 1 and parts[0].lower() in own:
        return ""
    if found := names.find(*([""] * (3 - len(parts)) + parts)[-3:]):
        return ".".join(found)
    full = ".".join(parts).lower()
    if full in RECORDS or full in every():
        return full
    bare = parts[-1].lower()
    if len(parts) == 1 or parts[0].lower() == "main":
        return bare if bare in TABLES or bare == "data_sync_log" or f"main.{bare}" in every() else ""
    return ""


def made(text: str, names: Names, own: Collection[str]) -> Answer | None:
    """The answer to a statement that makes or alters what is here already."""
    if found := re.match(
        rf"(?:CREATE\s+(?:UNIQUE\s+)?INDEX\s+(?:CONCURRENTLY\s+)?(?:IF\s+NOT\s+EXISTS\s+)?(?:{NAME}\s+)?ON\s+(?:ONLY\s+)?({NAME})|DROP\s+INDEX)",
        text,
        re.IGNORECASE,
    ):
        return Answer(text, *INDEX) if not found[1] or documented(found[1], names, own) else None
    if found := re.match(rf"CREATE\s+SCHEMA\s+(?:IF\s+NOT\s+EXISTS\s+)?({PART})", text, re.IGNORECASE):
        schema = found[1].strip('"').lower()
        known = {one for platform in PLATFORMS.values() for one in platform.schemas}
        return Answer(text, f"The schema {schema} is here.", "workbench tables --documents") if schema in known else None
    if found := re.match(
        rf"CREATE\s+(?:OR\s+REPLACE\s+)?(?:(TEMP|TEMPORARY|UNLOGGED)\s+)?(MATERIALIZED\s+VIEW|TABLE|VIEW)\s+(?:IF\s+NOT\s+EXISTS\s+)?({NAME})",
        text,
        re.IGNORECASE,
    ):
        return table(text, found, names, own)
    if found := re.match(
        rf"ALTER\s+(?:TABLE|MATERIALIZED\s+VIEW|VIEW)\s+(?:IF\s+EXISTS\s+)?(?:ONLY\s+)?({NAME})\s+(.*)", text, re.IGNORECASE | re.DOTALL
    ):
        return altered(text, found[1], found[2], names, own)
    return None


def table(text: str, found: re.Match[str], names: Names, own: Collection[str]) -> Answer | None:
    """The answer to CREATE TABLE or VIEW."""
    temporary, kind, name = found[1], found[2].upper(), found[3]
    full = documented(name, names, own)
    if full and not (temporary and temporary.upper().startswith("TEMP")):
        if full.endswith("ohlcv_archive") and (" as" in text.lower()):
            return Answer(
                text,
                "It is here: it holds the bars that retention moves out of their tables, which goes on reading them in one place.",
                '[retention.stock_minute] keep = "2 years", then = "archive" in workbench.toml; bench.retain()',
            )
        if kind == "MATERIALIZED VIEW":
            return Answer(text, f"{full} is here. {COMPUTED[0]}", f"SELECT * FROM {full}")
        how = f'bench.append("{full}", rows)' if full in RECORDS and RECORDS[full].takes_rows else f"SELECT * FROM {full}"
        return Answer(text, f"{full} is here, with its columns and checks as documented.", how)
    if kind == "MATERIALIZED VIEW":
        return Answer(
            text,
            "Views are not stored: one is computed from the newest rows whenever it is read. None was made.",
            f"CREATE VIEW {name} AS SELECT …",
        )
    return None


def altered(text: str, name: str, what: str, names: Names, own: Collection[str]) -> Answer | None:
    """The answer to ALTER TABLE of a documented table. Raises `QueryError` for a change of its columns."""
    if not (full := documented(name, names, own)):
        return None
    if re.match(r"(RE)?SET\s*\(\s*timescaledb", what, re.IGNORECASE):
        return Answer(text, *PACKED)
    if re.match(
        r"(RE)?SET\s*\(|SET\s+(SCHEMA|TABLESPACE|WITHOUT|LOGGED|UNLOGGED)|CLUSTER|ENABLE|DISABLE|VALIDATE|REPLICA", what, re.IGNORECASE
    ):
        return Answer(text, *SERVER)
    if re.match(r"OWNER\b", what, re.IGNORECASE):
        return Answer(text, *RIGHTS)
    if re.match(r"ADD\s+(CONSTRAINT|CHECK|UNIQUE|PRIMARY|FOREIGN|EXCLUDE)\b", what, re.IGNORECASE):
        return Answer(
            text,
            f"The checks and keys of {full} are declared with it: an appended row must meet them; a vendor's row that does not stays, and is reported.",
            "workbench tables --documents; workbench quality",
        )
    raise QueryError(
        f"ALTER TABLE {full} {' '.join(what.split())[:60]} is not run: its columns are declared as they are documented; nothing was changed. "
        f"Make a view of your own: CREATE VIEW mine AS SELECT *, … FROM {full}."
    )


def called(raw: str, tree: exp.Expr, names: Names) -> Answer | None:
    """The answer to a query that calls a function which keeps a database."""
    for one in tree.find_all(exp.Anonymous):
        if one.name.lower() in KEPT:
            return kept(COMMENTS.sub("", raw).strip(), one.name.lower(), names)
    return None


def kept(text: str, function: str, names: Names) -> Answer:
    """The answer to a call of a function that TimescaleDB is kept with."""
    if function in FUNCTIONS:
        return Answer(text, *FUNCTIONS[function])
    if function == "remove_retention_policy":
        return Answer(
            text,
            "Retention stands in workbench.toml; without a section there, nothing is ever removed.",
            "take [retention.…] out of workbench.toml",
        )
    found = AGE.search(text)
    age = f"{found[1] or found[3]} {(found[2] or found[4]).lower()}s" if found else "2 years"
    sections = list(policies(text, names)) or ["stock_minute"]
    settings = "; ".join(f'[retention.{one}] keep = "{age}", then = "{then(one)}"' for one in sections)
    return Answer(
        text,
        "Rows are kept for ever unless workbench.toml says how long; then what is older leaves at the end of a refresh. Nothing was removed now.",
        f"{settings} in workbench.toml; bench.retain() shows what would leave",
    )


def then(table: str) -> str:
    """What retention may do with a table's old rows."""
    return "archive" if TABLES[table].kind == "bars" else "drop"


def policies(text: str, names: Names) -> Iterator[str]:
    """The base tables whose retention a statement on a documented table means."""
    for told in re.findall(rf"'({NAME})'", text):
        full = documented(told, names, ())
        for base in RECORDS[full].base if full in RECORDS else (full,):
            if base in {one.name for one in FED}:
                yield base


def pragma(text: str, name: str, given: str, names: Names) -> Answer | str | None:
    """What a PRAGMA of SQLite's is here: an answer, or a query; None for DuckDB's own."""
    if name in ("table_info", "table_xinfo", "foreign_key_list") and given:
        full = documented(given.strip("'"), names, ())
        record = RECORDS.get(full)
        if record and name != "foreign_key_list":
            keys = {column: n for n, column in enumerate(record.key, 1)}
            told = ", ".join(
                f"({n}, {literal(one.name)}, {literal(one.type)}, {int(one.required)}, "
                f"{literal(one.default) if one.default else 'NULL'}, {keys.get(one.name, 0)})"
                for n, one in enumerate(record.columns)
            )
            return f'SELECT * FROM (VALUES {told}) AS t(cid, name, type, "notnull", dflt_value, pk)'
        if record:
            links = ", ".join(
                f"({n}, {k}, {literal(one.table)}, {literal(column)}, {literal(one.to[k])})"
                for n, one in enumerate(record.references)
                for k, column in enumerate(one.columns)
            )
            where = "" if links else " LIMIT 0"
            return f'SELECT * FROM (VALUES {links or chr(40) + "0, 0, NULL, NULL, NULL)"}) AS t(id, seq, "table", "from", "to"){where}'
        return f"PRAGMA table_info({literal(full)})" if full and name == "table_info" else None
    if name in PRAGMAS:
        return Answer(text, *PRAGMAS[name])
    return Answer(text, *FILED) if name in SQLITES and names.platform.dialect == "sqlite" else None
