"""What is typed at a database's shell rather than sent as SQL: sqlite3's dot commands and psql's backslash commands, with a query that answers."""

import re

from workbench.errors import QueryError
from workbench.query.idioms.names import Names, declaration
from workbench.query.views import literal
from workbench.tables import quote
from workbench.tables.platforms import RECORDS

DOT = re.compile(r"\s*\.(\w+)\s*([^;\s]*)[^;]*;?\s*")
BACKSLASH = re.compile(r"\s*\\(\w+|[?!])\+?(?:\s+([^;\s]*)[^;]*)?;?\s*")
# A line of a terminal's that asks one query: psql's -c, sqlite3's last word.
LINE = re.compile(
    r"\s*(?:docker(?:-compose|\s+compose)?\s+exec\b[^\"']*?\s)?"
    r"(?:psql\b[^\"']*?\s(?:-c|--command[= ])|sqlite3\s+(?:-\w+\s+)*\S+)[\s\\]*(?:\"([^\"]*)\"|'([^']*)')\s*;?\s*"
)
MONGO = re.compile(r"(?:\s|//[^\n]*\n)*(?:db\.(?:getCollection\([\"'])?(\w+)|show\s+(?:dbs|collections)\b).*", re.DOTALL)
TERMINAL = re.compile(r"\s*(?:\$\s+)?(docker|psql|sqlite3|pg_dump|pg_restore|mongosh|mongodump|mongorestore|redis-cli|createdb|dropdb)\s")
INSTEAD = {
    "backup": (
        "The lake is a folder of files that are never changed once they are written.",
        "a copy of the folder, made while nothing writes",
    ),
    "quit": ("There is no shell to leave.", "bench.close()"),
    "exit": ("There is no shell to leave.", "bench.close()"),
    "headers": ("A result has its columns' names.", ".df(), .pl() or workbench sql --format csv"),
    "mode": ("A result is a relation; its form is chosen when it is read.", ".df(), .pl() or workbench sql --format csv|json|parquet"),
    "databases": ("Every platform's tables are in one session, a schema or several for each.", "workbench tables --documents"),
    "indexes": ("There are no indexes: files are sorted, and statistics say which of them matter.", "EXPLAIN SELECT …"),
    "indices": ("There are no indexes: files are sorted, and statistics say which of them matter.", "EXPLAIN SELECT …"),
    "dump": ("Tables are written out one by one.", "workbench export, or COPY (FROM …) TO 'file.csv'"),
    "timer": ("The time of a query is not printed.", "%timeit in a notebook"),
    "import": ("Rows are appended.", 'bench.append("schema.table", rows)'),
    "restore": ("A copy of the lake's folder is a lake.", 'workbench.open("copy")'),
    "read": ("A script is given as text.", 'bench.sql(Path("script.sql").read_text())'),
    "output": ("Rows go to a file by COPY.", "workbench sql --output FILE"),
}


def within(text: str) -> str:
    """The query that a line of a terminal's asks; the text itself if it is none."""
    found = LINE.fullmatch(text)
    return (found[1] or found[2] or "") if found else text


def answer(text: str, names: Names) -> str | None:
    """The query that answers a shell's command; None for a text that is none. Raises `QueryError` for a query of MongoDB's."""
    if TERMINAL.match(text):
        return row(text, "This is a terminal's command; its query is read without it.", "bench.sql with what stands between the quotes")
    if (found := DOT.fullmatch(text)) and names.platform.dialect == "sqlite":
        command, given = found[1].lower(), found[2].strip("\"'").lower()
        if command in ("tables", "table"):
            return tables(names, given)
        if command in ("schema", "fullschema"):
            return schema(names, given)
        told, instead = INSTEAD.get(command, ("This is a command of sqlite3's shell, which is not here.", "workbench sql, or bench.sql"))
        return row(text, told, instead)
    if (found := MONGO.fullmatch(text)) and names.platform.databases:
        if not found[1]:
            return tables(names, "")
        known = names.bare(found[1])
        instead = f"SELECT * FROM {'.'.join(known)} WHERE …" if known else "workbench tables --documents"
        if re.search(r"\.(?:create|drop|ensure)Index", text):
            return row(
                text, "Collections are tables, which need no indexes: files are sorted, and statistics say which of them matter.", instead
            )
        raise QueryError(
            f"{' '.join(text.split())[:60]} is not run: MongoDB's shell is JavaScript, which is not read here. Write {instead}"
        )
    if (found := BACKSLASH.fullmatch(text)) and names.platform.dialect == "postgres":
        command, given = found[1], (found[2] or "").strip('"').lower()
        if command in ("dt", "dv") or (command == "d" and not given):
            return tables(names, given)
        if command == "d":
            schema_, _, name = given.rpartition(".")
            known = names.find("", schema_, name) or (schema_, name)
            return f"DESCRIBE {'.'.join(quote(one) for one in known if one)}"
        if command == "dn":
            return f"SELECT unnest([{', '.join(map(literal, names.platform.schemas))}]) AS schema"
        return row(text, "This is a command of psql's, which is not here.", "workbench status, workbench sql, or bench.sql")
    return None


def row(text: str, told: str, instead: str) -> str:
    """A query of one answer."""
    return f"SELECT {literal(text.strip())} AS statement, {literal(told)} AS answer, {literal(instead)} AS instead"


def tables(names: Names, pattern: str) -> str:
    """The platform's tables by name, those that a pattern of LIKE finds if one is given."""
    rows = [f"({literal(schema)}, {literal(name)})" for name, schemas in sorted(names.tables.items()) for schema in schemas]
    where = f" WHERE name ILIKE {literal(pattern.replace('*', '%'))}" if pattern else ""
    return f"SELECT * FROM (VALUES {', '.join(rows)}) AS t(schema, name){where}"


def schema(names: Names, name: str) -> str:
    """The platform's tables, or one of them, as statements that would make them."""
    known = [RECORDS[full] for held, schemas in sorted(names.tables.items()) for one in schemas if (full := f"{one}.{held}") in RECORDS]
    told = [declaration(record) for record in known if name in ("", record.name, record.full)]
    return f"SELECT unnest([{', '.join(map(literal, told))}]::VARCHAR[]) AS sql"
