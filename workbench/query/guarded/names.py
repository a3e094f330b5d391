"""What people who may only read can name in SQL: tables and views of the schemas that they were given, and functions that were looked at.

Both are lists of what may be, never of what may not: a function that a new DuckDB brings, or a view that a new version of this library does,
is nobody's until somebody puts it in.
"""

import re
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from workbench.errors import UnknownName
from workbench.query.documented import View, below, every
from workbench.tables import TABLES
from workbench.tables.platforms import OTHER_NAMES, SCHEMAS
from workbench.tables.record import Record

FUNCTIONS = Path(__file__).with_name("functions.txt")
# What lists the lake's tables and their columns, and tells neither text of SQL nor places on the disk; not for whoever was given some schemas.
LISTINGS = frozenset(f"information_schema.{name}" for name in ("tables", "columns", "schemata", "key_column_usage", "table_constraints"))
# What of a lake's own state names folders, runs and other people's queries.
OWNERS = frozenset(
    f"workbench.{name}"
    for name in (
        "lake_health",
        "lake_runs",
        "lake_refusals",
        "lake_landings",
        "lake_policies",
        "pg_stat_statements",
        "query_log",
    )
)
# A macro that reads a table of which it is told the name: the argument that is.
TAKES_A_NAME = re.compile(r"\bquery_table\(\s*(\w+)\s*\)", re.IGNORECASE)
READS = re.compile(r"\b(?:FROM|JOIN)\b", re.IGNORECASE)


@dataclass(frozen=True)
class Names:
    """What may be named, in lower case: tables by full name, functions where a value stands, and where a table does.

    `told` are macros that take the name of a table: the argument's name, and its place. `schemas` are those given; None for all.
    """

    tables: frozenset[str]
    functions: frozenset[str]
    table_functions: frozenset[str]
    told: Mapping[str, tuple[str, int]]
    schemas: tuple[str, ...] | None


@cache
def listed(section: str) -> frozenset[str]:
    """The functions of a section of the list, in lower case."""
    found: dict[str, list[str]] = {}
    words: list[str] = []
    for line in FUNCTIONS.read_text(encoding="utf-8").splitlines():
        if line.startswith("[") and line.endswith("]"):
            words = found.setdefault(line[1:-1], [])
        elif not line.startswith("#"):
            words += line.lower().split()
    return frozenset(found[section])


def schemas() -> frozenset[str]:
    """The schemas that somebody may be given."""
    return frozenset({"main", *SCHEMAS, *(view.schema for view in every().values())})


def chosen(given: Collection[str] | None) -> tuple[str, ...] | None:
    """The schemas that somebody is given, in lower case and in order; None for all. Raises `UnknownName`."""
    if given is None:
        return None
    known = schemas()
    for name in [given] if isinstance(given, str) else given:
        if not isinstance(name, str) or name.lower() not in known:
            raise UnknownName("schema", str(name)[:200], known)
    return tuple(sorted({name.lower() for name in ([given] if isinstance(given, str) else given)}))


def names(given: tuple[str, ...] | None, own: Iterable[Record]) -> Names:
    """What somebody with these schemas may name; `own` are the tables that the lake's people write to."""
    views = [view for view in every().values() if view.kind == "view"]
    macros = [view for view in every().values() if view.kind != "view" and may_call(view, given)]
    tables = {f"main.{name}" for name in TABLES} | {view.full for view in views} | {one.full for one in own}
    if given is None:
        tables |= LISTINGS
    else:
        tables = {full for full in tables if reached(full.lower(), given)} - OWNERS
    told = {view.name: place for view in macros if (place := takes_a_name(view))}
    return Names(
        frozenset(full.lower() for full in tables),
        listed("functions") | {view.name.lower() for view in macros if view.kind == "macro"},
        listed("tables") | {view.name.lower() for view in macros if view.kind == "table macro"},
        told,
        given,
    )


def reached(full: str, given: Collection[str]) -> bool:
    """Whether a table is in one of some schemas, or is one of theirs under the name that its platform's own database gave it."""
    return any(name.partition(".")[0] in given for name in (full, OTHER_NAMES.get(full, "")))


def may_call(view: View, given: Collection[str] | None) -> bool:
    """Whether somebody with these schemas may call a macro: it reads what is in main, or nothing."""
    if given is None or "main" in given:
        return True
    return view.kind == "macro" and not below()[view.full] and not READS.search(view.body)


def takes_a_name(view: View) -> tuple[str, int] | None:
    """Which argument of a macro is a table's name, by name and place; None if none is."""
    found = TAKES_A_NAME.search(view.sql)
    if not found:
        return None
    arguments = [one.split(":=")[0].strip().lower() for one in view.arguments.split(",")]
    return found[1].lower(), arguments.index(found[1].lower())
