"""Which table a name in a platform's query means: one of the platform's, else whatever DuckDB finds, the lake's tables first."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from functools import cache, cached_property

import sqlglot
from sqlglot import exp

from workbench.errors import QueryError
from workbench.query.documented import every
from workbench.tables import TABLES
from workbench.tables.platforms import RECORDS
from workbench.tables.record import Platform, Record

# What PostgreSQL's catalogue is called here.
CATALOGUE = {"pg_tables": ("workbench", "pg_tables"), "pg_stat_statements": ("workbench", "pg_stat_statements")}
SQLITE_MASTER = frozenset(("sqlite_master", "sqlite_schema"))
# The schema that each of the two databases has unless another is made.
DEFAULT = {"postgres": "public", "sqlite": "main"}


@dataclass(frozen=True)
class Names:
    """The names that a platform's queries know. `first` is the schema that was named, if one was: its tables go before the others'."""

    platform: Platform
    first: str | None = None

    @cached_property
    def tables(self) -> Mapping[str, tuple[str, ...]]:
        """The platform's tables and views: by name, the schemas that have one of that name, the one to take first."""
        found: dict[str, list[str]] = {}
        views = (view.full for view in every().values() if view.kind == "view")
        for full in dict.fromkeys((*(record.full for record in self.platform.records), *views)):
            schema, _, name = full.partition(".")
            if schema in self.platform.schemas:
                found.setdefault(name.lower(), []).append(schema)
        return {name: tuple(sorted(schemas, key=lambda one: one != self.first)) for name, schemas in found.items()}

    @cached_property
    def own(self) -> frozenset[str]:
        """What the platform calls itself, where a query writes a database's name."""
        return frozenset((self.platform.name, *self.platform.aliases))

    @cached_property
    def collections(self) -> Mapping[tuple[str, str], str]:
        """The platform's tables by the names of old databases and collections in lower case, and by those of collections alone."""
        told = {
            (database.lower(), name.lower()): table for database, held in self.platform.databases.items() for name, table in held.items()
        }
        return {("", name): table for (_, name), table in told.items()} | told

    def bare(self, name: str) -> tuple[str, str] | None:
        """Schema and name of the platform's table of that name. Raises `QueryError` if two schemas have one."""
        schemas = self.tables.get(name.lower(), ())
        if not schemas and (table := self.collections.get(("", name.lower()))):
            return self.bare(table)
        if len(schemas) > 1 and schemas[0] != self.first:
            choice = " or ".join(f"{schema}.{name.lower()}" for schema in schemas)
            raise QueryError(
                f"{name} is {choice} on {self.platform.name}; nothing was run. Write the schema, or name it first: "
                f'bench.use("{schemas[0]}").'
            )
        return (schemas[0], name.lower()) if schemas else None

    def find(self, catalog: str, schema: str, name: str) -> tuple[str, str] | None:
        """Schema and name of what a query's name means; None if it means what it says."""
        told = schema.lower()
        if catalog and catalog.lower() not in self.own:
            return None
        if self.platform.dialect == "postgres" and told in ("", "pg_catalog", "public") and name.lower() in CATALOGUE:
            return CATALOGUE[name.lower()]
        if not told:
            return self.bare(name)
        if table := self.collections.get((told, name.lower())):
            return self.bare(table)
        if told in self.tables.get(name.lower(), ()):
            return told, name.lower()
        if (told in self.own or told == DEFAULT[self.platform.dialect]) and name.lower() not in TABLES:
            return self.bare(name)
        return (schema, name) if catalog else None


@cache
def columns(schema: str, name: str) -> Mapping[str, str]:
    """The types of a known table's columns by name, in lower case; empty for any other."""
    if found := RECORDS.get(f"{schema}.{name}"):
        return {column.name.lower(): column.type for column in found.columns}
    if schema in ("", "main") and name in TABLES:
        return {column.name.lower(): column.type for column in TABLES[name].columns}
    return {}


def required(schema: str, name: str, column: str) -> bool:
    """Whether a known table has a value of that column in every row."""
    known = RECORDS.get(f"{schema}.{name}")
    return bool(known and any(one.name.lower() == column and one.required for one in known.columns))


def resolve(tree: exp.Expr, names: Names, own: Collection[str]) -> None:
    """Write the platform's tables in a tree with their schemas; `own` are tables of the user's that hide the platform's."""
    made = tree.this.this if isinstance(tree, exp.Create) and isinstance(tree.this, exp.Schema) else tree.this
    for table in list(tree.find_all(exp.Table)):
        if table is made and isinstance(tree, exp.Create):
            continue
        if not isinstance(table.this, exp.Identifier) or not table.name:
            continue
        if not table.db and (table.name.lower() in own or in_sight(table)):
            continue
        if names.platform.dialect == "sqlite" and table.name.lower() in SQLITE_MASTER and table.db.lower() in ("", "main"):
            table.replace(master(names, table.alias_or_name))
            continue
        if found := names.find(table.catalog, table.db, table.name):
            if not table.alias and found[1] != table.name.lower() and isinstance(table.parent, (exp.From, exp.Join)):
                # Columns may be written with the table's own name before them.
                table.set("alias", exp.TableAlias(this=table.this.copy()))
            table.set("catalog", None)
            table.set("db", exp.to_identifier(found[0]))
            table.set("this", exp.to_identifier(found[1]))
    for column in tree.find_all(exp.Column):
        if column.catalog.lower() in names.own:
            column.set("catalog", None)
        if column.db and not column.catalog and names.find("", column.db, column.table) not in (None, (column.db, column.table)):
            column.set("db", None)


def in_sight(table: exp.Expr) -> bool:
    """Whether a name is that of a CTE where it stands: of one written before, of its own if recursive, or of any above it."""
    below = {id(table)}
    above = table.parent
    while above is not None:
        told = above.args.get("with_")
        recursive = isinstance(told, exp.With) and bool(told.recursive)
        for cte in told.expressions if isinstance(told, exp.With) else ():
            mine = id(cte) in below
            if mine and not recursive:
                break
            if cte.alias.lower() == table.name.lower():
                return True
            if mine:
                break
        below.add(id(above))
        above = above.parent
    return False


def master(names: Names, alias: str) -> exp.Expr:
    """SQLite's list of tables: the platform's."""
    rows = []
    for name, schemas in sorted(names.tables.items()):
        record = RECORDS.get(f"{schemas[0]}.{name}")
        text = declaration(record) if record else ""
        kind = "table" if record else "view"
        rows.append(f"({', '.join(exp.Literal.string(one).sql() for one in (kind, name, name))}, 0, {exp.Literal.string(text).sql()})")
    return sqlglot.parse_one(
        f'SELECT * FROM (SELECT * FROM (VALUES {", ".join(rows)}) AS t(type, name, tbl_name, rootpage, sql)) AS "{alias}"', read="duckdb"
    ).find(exp.Subquery)  # type: ignore[return-value]


def declaration(record: Record) -> str:
    """A documented table as a statement that would make it."""
    lines = [f"    {one.name} {one.type}{' NOT NULL' * one.required}" for one in record.columns]
    lines += [f"    PRIMARY KEY ({', '.join(record.key)})"] * bool(record.key)
    lines += [f"    UNIQUE ({', '.join(unique)})" for unique in record.unique]
    lines += [f"    CHECK ({check.rule})" for check in record.checks]
    return f"CREATE TABLE {record.full} (\n" + ",\n".join(lines) + "\n)"
