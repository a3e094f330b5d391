"""Plain INSERT, UPDATE and DELETE of a platform's, done by append, upsert and delete: what is written is checked, numbered and journaled as by those.

A statement is taken apart by its tokens, so that its expressions are read as any query of the platform's; whatever it holds besides (a CTE, ON CONFLICT,
RETURNING, another table) leaves it to the refusal that names the call. Rows to change are looked up under the lock that the change is written under.
"""

from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from sqlglot import exp
from sqlglot.errors import SqlglotError
from sqlglot.tokenizer_core import Token, TokenType

from workbench.errors import QueryError
from workbench.query.idioms.admin import documented
from workbench.query.idioms.dialects import parsed
from workbench.query.idioms.names import Names
from workbench.tables import quote
from workbench.tables.platforms import RECORDS
from workbench.tables.record import Record

# All that a statement may hold, by its kind.
PLAIN: dict[type[exp.Expr], set[str]] = {
    exp.Insert: {"this", "expression"},
    exp.Update: {"this", "expressions", "where"},
    exp.Delete: {"this", "where"},
}
OPENING, CLOSING = ("(", "[", "{"), (")", "]", "}")

# Runs a query of the platform's and gives its rows.
Ask = Callable[[str], list[tuple[Any, ...]]]


@dataclass(frozen=True)
class Change:
    """A statement that writes: the table, the query that tells its rows, and the columns that these are of, the key's first where there is one to find."""

    verb: str
    record: Record
    query: str
    columns: tuple[str, ...]

    def run(self, bench: Any, ask: Ask) -> int:
        """Do it, all or nothing; gives the number of rows. Raises what the bench's verbs raise."""
        full, key = self.record.full, self.record.key
        if self.verb == "INSERT":
            return int(bench.append(full, list(self._rows(ask))))
        with bench.transaction() as writes:
            # Nobody else writes from here on, so that what is read is what is changed.
            writes.delete(full, "false")
            rows = list(self._rows(ask))
            if not rows:
                return 0
            if self.verb == "UPDATE":
                return int(writes.upsert(full, rows))
            lists = ", ".join(f"unnest($k{n}) AS k{n}" for n in range(len(key)))
            same = " AND ".join(f"k{n} = {quote(name)}" for n, name in enumerate(key))
            gone = {f"k{n}": [row[name] for row in rows] for n, name in enumerate(key)}
            return int(writes.delete(full, f"EXISTS (SELECT 1 FROM (SELECT {lists}) WHERE {same})", **gone))

    def _rows(self, ask: Ask) -> Iterator[dict[str, Any]]:
        flags = {name for name in self.columns if self.record[name].type == "BOOLEAN"}
        for row in ask(self.query):
            if len(row) != len(self.columns):
                raise QueryError(
                    f"{len(row)} values were given for {len(self.columns)} columns of {self.record.full}; nothing was written."
                )
            told = dict(zip(self.columns, row, strict=True))
            # SQLite's truth is 0 or 1.
            yield told | {name: bool(told[name]) for name in flags if told[name] in (0, 1) and isinstance(told[name], int)}


def change(raw: str, tokens: Sequence[Token], reading: str, names: Names, own: Collection[str]) -> Change | None:
    """What a statement changes in a documented table; None for one that changes none, or is not plain."""
    if tokens[0].text.upper() not in ("INSERT", "UPDATE", "DELETE"):
        return None
    try:
        tree = parsed(list(tokens), raw, reading)
    except SqlglotError:
        return None
    if tree is None or type(tree) not in PLAIN or {name for name, value in tree.args.items() if value} - PLAIN[type(tree)]:
        return None
    target = tree.this.this if isinstance(tree.this, exp.Schema) else tree.this
    if not isinstance(target, exp.Table) or target.args.get("joins"):
        return None
    record = RECORDS.get(documented(".".join(part.name for part in target.parts), names, own))
    if record is None or not record.takes_rows or (tokens[0].text.upper() != "INSERT" and (record.fed or not record.key)):
        return None

    def text(some: Sequence[Token]) -> str:
        return raw[some[0].start - tokens[0].start : some[-1].end - tokens[0].start + 1] if some else ""

    if isinstance(tree, exp.Insert):
        return inserted(record, tree, tokens, text)
    at = {word: n for n, word in top(tokens) if word in ("SET", "WHERE", "FROM")}
    ends = at.get("WHERE", len(tokens))
    where = f" WHERE {text(tokens[ends + 1 :])}" if "WHERE" in at else ""
    keys = [f"{quote(name)} AS __key_{n}" for n, name in enumerate(record.key)]
    if isinstance(tree, exp.Delete):
        return Change("DELETE", record, f"SELECT {', '.join(keys)} FROM {text(tokens[at['FROM'] + 1 : ends])}{where}", record.key)
    parts = list(split(tokens[at["SET"] + 1 : ends]))
    if any(len(part) < 3 or part[1].text != "=" for part in parts):
        return None
    columns = tuple(known(record, part[0].text) for part in parts)
    if set(columns) & set(record.key) or len(set(columns)) < len(columns):
        return None
    values = [f"{text(part[2:])} AS __set_{n}" for n, part in enumerate(parts)]
    query = f"SELECT {', '.join([*keys, *values])} FROM {text(tokens[1 : at['SET']])}{where}"
    return Change("UPDATE", record, query, (*record.key, *columns))


def inserted(record: Record, tree: exp.Insert, tokens: Sequence[Token], text: Callable[[Sequence[Token]], str]) -> Change | None:
    """What an INSERT adds: rows of values, or of a query."""
    begins = next((n for n, word in top(tokens) if word in ("VALUES", "SELECT")), None)
    if begins is None or tree.find(exp.Placeholder):
        return None
    columns = [one.name for one in tree.this.expressions] if isinstance(tree.this, exp.Schema) else [one.name for one in record.columns]
    source = text(tokens[begins:])
    query = f"SELECT * FROM ({source}) AS __given" if tokens[begins].text.upper() == "VALUES" else source
    return Change("INSERT", record, query, tuple(known(record, name) for name in columns))


def known(record: Record, name: str) -> str:
    """A column as it is declared. Raises `UnknownName`."""
    return next((one.name for one in record.columns if one.name.lower() == name.lower()), None) or record[name].name


def top(tokens: Sequence[Token]) -> Iterator[tuple[int, str]]:
    """The tokens that stand in no brackets: where, and which word; a text and a name in quotes are no word."""
    depth = 0
    for n, token in enumerate(tokens):
        word = "" if token.token_type in (TokenType.STRING, TokenType.IDENTIFIER) else token.text.upper()
        depth += (word in OPENING) - (word in CLOSING)
        if depth == 0:
            yield n, word


def split(tokens: Sequence[Token]) -> Iterator[Sequence[Token]]:
    """The parts of a list."""
    commas = [n for n, word in top(tokens) if word == ","]
    for start, end in zip([-1, *commas], [*commas, len(tokens)], strict=True):
        yield tokens[start + 1 : end]
