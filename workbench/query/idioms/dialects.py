"""The two dialects, read as they are written: what sqlglot would translate by itself, and not as DuckDB means it, is left to this package."""

import itertools
import re
from collections.abc import Iterable, Iterator, Sequence
from functools import cache
from typing import Any, ClassVar

from sqlglot import exp
from sqlglot.dialects.dialect import Dialect
from sqlglot.dialects.duckdb import DuckDB
from sqlglot.dialects.postgres import Postgres
from sqlglot.dialects.sqlite import SQLite
from sqlglot.errors import ErrorLevel, ParseError, UnsupportedError
from sqlglot.generators.duckdb import DuckDBGenerator
from sqlglot.parsers.duckdb import DuckDBParser
from sqlglot.parsers.postgres import PostgresParser
from sqlglot.parsers.sqlite import SQLiteParser
from sqlglot.tokenizer_core import Token, TokenType

HEX = re.compile(r"0x[0-9a-f]+\b", re.IGNORECASE)
# Functions that sqlglot may read for what they are. It knows those of thirty databases under one name; any other name is left as it is written,
# for this package or for DuckDB, whose function of that name is then meant.
READ = {
    "postgres": frozenset(
        [
            "ANY_VALUE",
            "ARRAY",
            "ARRAY_AGG",
            "AVG",
            "BTRIM",
            "CEIL",
            "CEILING",
            "COALESCE",
            "COUNT",
            "EXISTS",
            "FIRST",
            "FIRST_VALUE",
            "FLOOR",
            "GENERATE_SERIES",
            "GREATEST",
            "GROUPING",
            "LAG",
            "LAST",
            "LAST_VALUE",
            "LEAD",
            "LEAST",
            "MAX",
            "MIN",
            "MODE",
            "NOW",
            "NTH_VALUE",
            "NULLIF",
            "PERCENTILE_CONT",
            "PERCENTILE_DISC",
            "ROUND",
            "STRUCT",
            "SUM",
            "UNNEST",
        ]
    ),
    "sqlite": frozenset(
        "ARRAY AVG COALESCE COUNT EXISTS FIRST_VALUE IIF JSON_EXTRACT LAG LAST_VALUE LEAD MAX MIN NTH_VALUE STRUCT SUBSTR SUM UNNEST".split()  # noqa: SIM905
    ),
    "duckdb": frozenset("ARRAY COUNT EXISTS FIRST LAST LIST STRUCT UNNEST".split()),  # noqa: SIM905
}
# Calls that are written in a way of their own: date_add(…, INTERVAL …) is no such call in DuckDB, trim(BOTH … FROM …) is.
OWN_WAY = frozenset("CAST EXTRACT OVERLAY POSITION SUBSTRING TRIM TRY_CAST".split())  # noqa: SIM905
# How sqlglot fails on texts that it does not expect: as deep as Python goes, or where it takes for granted what is not there.
FAILURES = (AssertionError, AttributeError, IndexError, KeyError, RecursionError, TypeError, ValueError)


class WrittenPostgres(Postgres):
    """PostgreSQL and TimescaleDB."""

    class Parser(PostgresParser):
        """PostgreSQL's parser without the functions that are ours."""

        FUNCTIONS: ClassVar[dict[str, Any]] = {name: made for name, made in PostgresParser.FUNCTIONS.items() if name in READ["postgres"]}

        def _warn_unsupported(self) -> None:
            """What cannot be parsed is told in an error, not in a log."""


class WrittenSQLite(SQLite):
    """SQLite."""

    class Parser(SQLiteParser):
        """SQLite's parser without the functions that are ours."""

        FUNCTIONS: ClassVar[dict[str, Any]] = {name: made for name, made in SQLiteParser.FUNCTIONS.items() if name in READ["sqlite"]}

        def _warn_unsupported(self) -> None:
            """What cannot be parsed is told in an error, not in a log."""


class WrittenDuckDB(DuckDB):
    """DuckDB itself, for texts that are none of the platform's dialect."""

    class Parser(DuckDBParser):
        """DuckDB's parser, silent. A call goes on as it is written: what sqlglot takes for the same in all databases it may write otherwise."""

        FUNCTIONS: ClassVar[dict[str, Any]] = {name: made for name, made in DuckDBParser.FUNCTIONS.items() if name in READ["duckdb"]}
        FUNCTION_PARSERS: ClassVar[dict[str, Any]] = {name: made for name, made in DuckDBParser.FUNCTION_PARSERS.items() if name in OWN_WAY}

        def _warn_unsupported(self) -> None:
            """What cannot be parsed is told in an error, not in a log."""

    class Generator(DuckDBGenerator):
        """DuckDB's text."""

        def ignorenulls_sql(self, expression: exp.IgnoreNulls) -> str:
            """Inside the brackets of any function; sqlglot knows it there for some."""
            return f"{self.sql(expression, 'this')} IGNORE NULLS"


@cache
def dialect(name: str) -> Dialect:
    """A dialect by name: postgres, sqlite or duckdb."""
    return {"postgres": WrittenPostgres, "sqlite": WrittenSQLite, "duckdb": WrittenDuckDB}[name]()


def only_duckdbs(tokens: Sequence[Token]) -> bool:
    """Whether a statement holds what only DuckDB has, and the other dialects would read as something else without complaint."""
    for one, two in itertools.pairwise(tokens):
        words = one.text.upper(), two.text.upper()
        touching = one.end + 1 == two.start
        if words in (("LIST", "("), ("MAP", "{"), ("POSITIONAL", "JOIN")) or (
            one.token_type is TokenType.NUMBER and two.text[:1] == "_" and touching
        ):
            return True
    return False


def numbered(tokens: Iterable[Token], text: str) -> Iterator[Token]:
    """Tokens in which 0x1F is a whole number, not bytes, and not a 0 that is called x1F."""
    end = -1
    for token in tokens:
        if token.start <= end:
            continue
        if found := HEX.match(text, token.start) if text[token.start] == "0" else None:
            end = found.end() - 1
            yield Token(TokenType.NUMBER, str(int(found[0], 16)), start=token.start, end=end)
        else:
            yield token


def statements(text: str, name: str) -> list[tuple[str, list[Token]]]:
    """The statements of a text, each as it is written and as tokens. Raises sqlglot's `TokenError`."""
    found: list[tuple[str, list[Token]]] = []
    held: list[Token] = []
    for token in [*numbered(dialect(name).tokenize(text), text), None]:
        if token is not None and token.token_type is not TokenType.SEMICOLON:
            held.append(token)
            continue
        if held:
            found.append((text[held[0].start : held[-1].end + 1], held))
        held = []
    return found


def parsed(tokens: list[Token], text: str, name: str) -> exp.Expr | None:
    """The tree of a statement. Raises sqlglot's `ParseError`."""
    try:
        [tree] = dialect(name).parser(error_level=ErrorLevel.IMMEDIATE).parse(tokens, text)
    except FAILURES as fault:
        raise ParseError("sqlglot does not read it") from fault
    return tree


def written(tree: exp.Expr) -> str:
    """A tree as DuckDB reads it. Raises sqlglot's `UnsupportedError` for what DuckDB lacks."""
    try:
        return dialect("duckdb").generate(tree, comments=False, unsupported_level=ErrorLevel.RAISE)
    except FAILURES as fault:
        raise UnsupportedError("DuckDB has nothing for one of its clauses") from fault
