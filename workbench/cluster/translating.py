"""Queries in DuckDB's SQL as Spark runs them: macros written out, names and types made known, then rule by rule, then Spark's text by sqlglot."""

import re
from collections.abc import Iterator, Mapping
from itertools import count
from typing import Any, ClassVar

import sqlglot
from sqlglot import exp
from sqlglot.dialects.duckdb import DuckDB
from sqlglot.errors import ErrorLevel, SqlglotError
from sqlglot.optimizer.annotate_types import annotate_types
from sqlglot.optimizer.qualify import qualify
from sqlglot.parsers.duckdb import DuckDBParser
from sqlglot.schema import MappingSchema

from workbench.cluster.corners import distinct_on, qualified
from workbench.cluster.nearest import asof_written_out, columns_noted
from workbench.cluster.rules import RULES, TYPES
from workbench.cluster.shapes import bracketed, by_position, exploded, filtered, hoisted, numbered, renamed, rows_compared, series_named
from workbench.cluster.words import BROKEN, WHOLE, NotTranslated, text, type_of
from workbench.query.documented import View, every

# What sqlglot, and rules on trees that nobody thought of, end in.
FAILS = (AssertionError, AttributeError, IndexError, KeyError, RecursionError, TypeError, ValueError, SqlglotError)
# Calls of macros within one query, those that macros make with them.
CALLS = 500
# The names and types of columns: schema, table, column, and its type as DuckDB writes it.
Columns = Mapping[str, Mapping[str, Mapping[str, str]]]


class Written(DuckDB):
    """DuckDB's SQL, whose lists are counted from 1 as they are written: sqlglot counts anew where it knows the type of a place, and there only."""

    INDEX_OFFSET = 0

    class Parser(DuckDBParser):
        """DuckDB's parser, to which a zone is no unit of time."""

        FUNCTIONS: ClassVar[dict[str, Any]] = {name: made for name, made in DuckDBParser.FUNCTIONS.items() if name != "TIME_BUCKET"}


def told(annotator: Any, call: exp.Anonymous) -> exp.Anonymous:
    """Know the type of a call that sqlglot does not know."""
    name = call.name.lower()
    if name == "time_bucket" or name == "timezone":
        kind = type_of(call.expressions[1]) or "TIMESTAMPTZ"
        turned = "TIMESTAMPTZ" if kind != "TIMESTAMPTZ" else "TIMESTAMP"
        annotator._set_type(call, exp.DataType.build(kind if name == "time_bucket" else turned, dialect="duckdb"))
    elif name in TYPES:
        annotator._set_type(call, exp.DataType.build(TYPES[name], dialect="duckdb"))
    return call


def as_written(annotator: Any, literal: exp.Literal) -> exp.Literal:
    """Know that a number with a point in it is a decimal, unless it has a power of ten."""
    exact = not literal.is_string and "." in literal.name and "e" not in literal.name.lower()
    if exact:
        annotator._set_type(literal, exp.DType.DECIMAL)
        return literal
    made: exp.Literal = annotator._annotate_literal(literal)
    return made


METADATA: dict[Any, Any] = {**DuckDB.EXPRESSION_METADATA, exp.Anonymous: {"annotator": told}, exp.Literal: {"annotator": as_written}}
METADATA[exp.Median] = {"annotator": lambda self, e: self._set_type(e, exp.DType.DOUBLE if type_of(e.this) in (*WHOLE, *BROKEN) else None)}
METADATA |= {kind: {"annotator": lambda self, e: self._annotate_by_args(e, "this")} for kind in (exp.ArgMin, exp.ArgMax, exp.ArrayFilter)}


class Translator:
    """Writes queries for Spark. `columns` are those of every relation that a query may name."""

    def __init__(self, columns: Columns):
        self._schema = MappingSchema({db: dict(tables) for db, tables in columns.items()}, dialect="duckdb", normalize=True)
        self._columns = columns

    def query(self, asked: str) -> str:
        """A query in Spark's SQL. Raises `NotTranslated`, which says what has no counterpart."""
        try:
            trees = [one for one in sqlglot.parse(asked, read=Written, error_level=ErrorLevel.RAISE) if one is not None]
        except SqlglotError as fault:
            raise NotTranslated(f"it is not read by sqlglot: {plain(fault)}") from fault
        if len(trees) != 1:
            raise NotTranslated(f"it is {len(trees)} statements")
        [tree] = trees
        if not isinstance(tree, exp.Query):
            raise NotTranslated(f"{tree.key.upper()} is a statement to DuckDB, not a query")
        try:
            return text(self.tree(tree))
        except FAILS as fault:
            raise NotTranslated(f"sqlglot fails on it: {type(fault).__name__}: {plain(fault)}") from fault

    def reads(self, asked: str) -> list[tuple[str, str]]:
        """Schema and name of the relations that a query names, as far as they are none of its own. Raises `NotTranslated`."""
        try:
            tree = written_out(sqlglot.parse_one(asked, read=Written))
        except SqlglotError as fault:
            raise NotTranslated(f"it is not read by sqlglot: {plain(fault)}") from fault
        self._placed(tree)
        return sorted({(table.db, table.name) for table in tree.find_all(exp.Table) if table.db and isinstance(table.this, exp.Identifier)})

    def tree(self, tree: exp.Expr) -> exp.Expr:
        """A query's tree with nothing in it that is DuckDB's own."""
        try:
            tree = written_out(tree)
            self._placed(tree)
            series_named(tree)
            tree = qualify(
                tree, schema=self._schema, dialect="duckdb", quote_identifiers=False, identify=False, validate_qualify_columns=False
            )
            # By now it is known which columns `*` stands for.
            distinct_on(tree)
            tree = annotate_types(tree, schema=self._schema, dialect="duckdb", expression_metadata=METADATA)
        except SqlglotError as fault:
            raise NotTranslated(f"its columns are not made out: {plain(fault)}") from fault
        # Before there are texts of Spark's, in which nothing is renamed.
        renamed(tree)
        columns_noted(tree)
        # From the leaves up: what a rule puts in place of a node is not changed again.
        for node in reversed(list(tree.walk())):
            if (rule := RULES.get(type(node))) and (made := rule(node)) is not node:
                if node is tree:
                    tree = made
                else:
                    node.replace(made)
        for shape in (by_position, numbered, hoisted, exploded, rows_compared, bracketed, asof_written_out):
            shape(tree)
        return qualified(filtered(tree))

    def _placed(self, tree: exp.Expr) -> None:
        """Give tables that are named without their schema the one that they have."""
        hidden = {one.alias_or_name.lower() for one in tree.find_all(exp.CTE)}
        for table in tree.find_all(exp.Table):
            if (
                not table.db
                and table.name
                and isinstance(table.this, exp.Identifier)
                and table.name.lower() not in hidden
                and table.name.lower() in self._columns.get("main", {})
            ):
                table.set("db", exp.to_identifier("main"))


def plain(fault: object) -> str:
    """What a fault says, on a line."""
    return " ".join(re.sub(r"\x1b\[\d*m", "", str(fault)).split())[:200]


# ---------------------------------------------------------------------- macros


def written_out(tree: exp.Expr) -> exp.Expr:
    """A tree in which macros are replaced by what they stand for, until none is left."""
    own_names(tree, names := count())
    for _ in range(CALLS):
        if not (found := next(macros(tree), None)):
            return tree
        node, macro, given = found
        body = sqlglot.parse_one(macro.body, read=Written)
        own_names(body, names)
        made = replaced(body, arguments(macro, given))
        if macro.kind == "table macro":
            named(made)
            for part in [one for one in made.find_all(exp.Anonymous) if one.name.lower() == "query" and isinstance(one.parent, exp.Table)]:
                put_together(part, macro, names)
            node.replace(exp.Subquery(this=made, alias=node.args.get("alias") or exp.TableAlias(this=exp.to_identifier(macro.name))))
        elif node is tree:
            tree = exp.Paren(this=made)
        else:
            node.replace(exp.Paren(this=made))
    raise NotTranslated(f"its macros call one another more than {CALLS} times")


def named(tree: exp.Expr) -> None:
    """Replace `query_table('name')` by the table of that name."""
    for part in [one for one in tree.find_all(exp.Anonymous) if one.name.lower() == "query_table"]:
        table, told = part.parent, part.expressions[0].unnest()
        if isinstance(table, exp.Table) and isinstance(told, exp.Literal) and told.is_string:
            held = exp.to_table(told.name, dialect="duckdb")
            held.set("alias", table.args.get("alias"))
            table.replace(held)


def own_names(tree: exp.Expr, numbers: Iterator[int]) -> None:
    """Give the queries of each WITH names that no other has: sqlglot puts all of them at the top, for Spark. From within, where a name may stand again."""
    for with_ in reversed(list(tree.find_all(exp.With))):
        for cte in with_.expressions:
            # Which Spark decides for itself.
            cte.set("materialized", None)
        if with_.recursive:
            continue
        for at, cte in enumerate(with_.expressions):
            name, made = cte.alias, f"{cte.alias}_{next(numbers)}"
            around = with_.parent
            later = {id(one) for one in with_.expressions[: at + 1]}
            for table in list(around.find_all(exp.Table)) if around is not None else []:
                if table.db or table.name.lower() != name.lower() or not isinstance(table.this, exp.Identifier):
                    continue
                above = table.parent
                while above is not None and above is not around and id(above) not in later:
                    above = above.parent
                if above is around:
                    if not table.alias:
                        table.set("alias", exp.TableAlias(this=table.this.copy()))
                    table.set("this", exp.to_identifier(made))
            cte.args["alias"].set("this", exp.to_identifier(made))


def put_together(part: exp.Anonymous, macro: View, names: Iterator[int]) -> None:
    """Replace `query(text)` by the query whose text its constants make, as DuckDB makes it. Raises `NotTranslated` where they are none."""
    import duckdb

    table = part.parent
    assert table is not None
    with duckdb.connect() as own:
        try:
            [(made,)] = own.execute(f"SELECT {part.expressions[0].sql('duckdb')}").fetchall()
        except duckdb.Error as fault:
            raise NotTranslated(
                f"{macro.name} puts the text of its query together of what is no constant, or not one it takes: {plain(fault)}"
            ) from fault
    inner = sqlglot.parse_one(made, read=Written)
    own_names(inner, names)
    table.replace(exp.Subquery(this=inner, alias=table.args.get("alias") or exp.TableAlias(this=exp.to_identifier("put_together"))))


def macros(tree: exp.Expr) -> Any:
    """Calls of documented macros: what is to be replaced, which it is, and its arguments."""
    for call in tree.find_all(exp.Anonymous):
        macro = every().get(f"main.{call.name.lower()}")
        if not macro or macro.kind == "view":
            continue
        above = call.parent
        if macro.kind == "table macro":
            if isinstance(above, exp.Table):
                yield above, macro, call.expressions
        else:
            yield above if isinstance(above, exp.Dot) else call, macro, call.expressions


def arguments(macro: View, given: list[exp.Expr]) -> dict[str, exp.Expr]:
    """What a call gives for each parameter, by its name."""
    call = sqlglot.parse_one(f"SELECT f({macro.arguments})", read=Written).find(exp.Anonymous)
    assert call
    told: dict[str, exp.Expr] = {}
    names = []
    for one in call.expressions:
        name = one.this.name if isinstance(one, exp.PropertyEQ | exp.Kwarg) else one.name
        names.append(name.lower())
        if isinstance(one, exp.PropertyEQ | exp.Kwarg):
            told[name.lower()] = one.expression
    places = iter(names)
    for one in given:
        if isinstance(one, exp.PropertyEQ | exp.Kwarg):
            told[one.this.name.lower()] = one.expression
        else:
            told[next(places)] = one
    if lacking := [name for name in names if name not in told]:
        raise NotTranslated(f"{macro.name} is called without {', '.join(lacking)}")
    return told


def replaced(body: exp.Expr, values: Mapping[str, exp.Expr]) -> exp.Expr:
    """A macro's body with values in the place of its parameters."""
    holder = exp.Paren(this=body)
    for column in list(holder.find_all(exp.Column)):
        if not column.table and column.name.lower() in values:
            value = values[column.name.lower()].copy()
            column.replace(value if isinstance(value, exp.Literal | exp.Column | exp.Null | exp.Boolean) else exp.Paren(this=value))
    made: exp.Expr = holder.this
    return made.pop()
