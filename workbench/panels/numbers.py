"""The SQL behind each number of a status: text that `bench.sql` runs as it stands, and that gives the same number."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any

from workbench import sessions
from workbench.tables import TABLES

if TYPE_CHECKING:
    from workbench.query.report import Report

LANDED = "FROM workbench.lake_landings WHERE table_name = "
REFUSED = "FROM workbench.lake_refusals WHERE table_name = "
RELATIONS = "FROM workbench.lake_relations WHERE schema_name = 'main'"


@dataclass(frozen=True)
class Number:
    """A number that is shown: what it is called, its value as Python has it, and the SQL that gives it."""

    told: str
    value: Any
    sql: str


def numbers(status: "Report", health: "Report") -> dict[str, Number]:
    """Every number of a status, by the name of its cell: "stock_day.rows", "lake.rows", "health.disk"."""
    found = {
        f"{row['table']}.{column}": Number(f"{row['table']}: {column.replace('_', ' ')}", value, sql)
        for row in status
        for column, sql in of_table(row).items()
        if (value := valued(column, row[column])) is not None
    }
    if status:
        counts = "\n     + ".join(f"(SELECT count(*) FROM {row['table']})" for row in status)
        found["lake.rows"] = Number("all rows", status.facts["total_rows"], f"SELECT {counts}")
        found["lake.bytes"] = Number("all bytes", status.facts["total_bytes"], f"SELECT sum(own_bytes) {RELATIONS}")
        found["lake.tables"] = Number("tables that hold something", held(status), f"SELECT count(*) {RELATIONS} AND files > 0")
    for row in health:
        if row["value"] is not None:
            sql = f"SELECT value FROM workbench.lake_health WHERE name = '{row['name']}'"
            found[f"health.{row['name']}"] = Number(f"{row['name']}, in {row['unit']}", row["value"], sql)
    return found


def held(status: "Report") -> int:
    """How many tables have files; another may have nothing but what was refused."""
    return sum(row["files"] > 0 for row in status)


def of_table(row: Mapping[str, Any]) -> dict[str, str]:
    """The SQL of each number of a table's row."""
    name = row["table"]
    table, told = TABLES[name], f"'{name}'"
    sql = {
        "rows": f"SELECT count(*) FROM {name}",
        "files": f"SELECT files {RELATIONS} AND table_name = {told}",
        "bytes": f"SELECT bytes {RELATIONS} AND table_name = {told}",
        "refused_files": f"SELECT count(*) FILTER (whole) {REFUSED}{told}",
        "refused_rows": f"SELECT coalesce(sum(rows), 0) {REFUSED}{told}",
        "landed_at": f"SELECT max(landed_at) {LANDED}{told}",
    }
    if table.kind != "reference":
        sql |= {"first": f"SELECT min(date) FROM {name}", "last": f"SELECT max(date) FROM {name}"}
    if table.feeds:
        newest = f"SELECT max(session) {LANDED}{told} AND held_rows > 0"
        sql["sessions"] = f"SELECT count(DISTINCT session) {LANDED}{told} AND held_rows > 0"
        sql["behind"] = (
            f"SELECT count(*) FROM market_sessions WHERE calendar = '{table.calendar}'\n"
            f"  AND date > ({newest})\n  AND date <= DATE '{sessions.last_due()}'"
        )
        sql["fallback_only"] = (
            f"SELECT count(*) FROM (\n  SELECT session {LANDED}{told} AND held_rows > 0\n  GROUP BY session HAVING bool_and(fallback))"
        )
    return sql


def valued(column: str, value: Any) -> Any:
    """A number of the report as DuckDB gives it."""
    return datetime.fromisoformat(value) if column == "landed_at" and value else value
