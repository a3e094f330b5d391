"""Reading what a user asks while a platform is in use: each statement as DuckDB gets it, and what to try where DuckDB refuses that.

A statement is first read in the platform's dialect; what that dialect does not know, in DuckDB's; and what neither knows goes to DuckDB as it is.
Where two readings are both SQL, the platform's counts, as it would there.
"""

import re
import threading
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from sqlglot import exp
from sqlglot.errors import SqlglotError, UnsupportedError
from sqlglot.tokenizer_core import Token

from workbench.errors import QueryError
from workbench.query.idioms import admin, postgres, shell, sqlite, writes
from workbench.query.idioms.dialects import only_duckdbs, parsed, statements, written
from workbench.query.idioms.hints import NO_TABLE, hint
from workbench.query.idioms.names import Names, resolve
from workbench.tables.platforms import platform
from workbench.tables.record import Platform

TEXTS = 512
WARMING = """WITH c AS (SELECT DISTINCT CAST(a AS date) AS b, d / 2 AS e FROM t WHERE f LIKE 'x%' AND g = $h)
    SELECT i, count(*) AS n, sum(j) OVER (PARTITION BY i ORDER BY k DESC), time_bucket('1 day', k), first(l, k), date(k), generate_series(1, 3)
    FROM c LEFT JOIN u ON c.b = u.b AND now() - INTERVAL '1 day' < k WHERE e IS NULL AND EXTRACT(dow FROM k) NOT IN (0, 6) GROUP BY i ORDER BY n DESC LIMIT 1"""
EXPLAIN = re.compile(
    r"EXPLAIN\s+(QUERY\s+PLAN\s+|\([^)]*\)\s*|(?:ANALYZE\s+|VERBOSE\s+)*)(?=SELECT|FROM|WITH|VALUES|TABLE|\()", re.IGNORECASE
)
# Statements that only DuckDB has, some of which the other dialects would read as something else.
DUCKDBS = frozenset("DESCRIBE DESC SUMMARIZE PIVOT UNPIVOT FROM SHOW CALL INSTALL LOAD ATTACH DETACH USE EXPORT IMPORT CHECKPOINT".split())  # noqa: SIM905
# Square brackets of which SQLite would make a name: an index, a list.
LISTED = re.compile(r"\[\s*(?:[-\d'$\]]|[^\]]*,|[^\]]*\sfor\s)")
TEXT = re.compile(r"'[^']*'")
MAKES = re.compile(
    r"\s*CREATE\s+(?:OR\s+REPLACE\s+)?(?:(?:TEMP|TEMPORARY)\s+)?(?:TABLE|VIEW)\s+(?:IF\s+NOT\s+EXISTS\s+)?(?:temp\.)?\"?+(\w++)\"?+(?!\s*\.)",
    re.IGNORECASE,
)
DROPS = re.compile(r"\s*DROP\s+(?:TABLE|VIEW)\s+(?:IF\s+EXISTS\s+)?(?:temp\.)?\"?+(\w++)\"?+(?!\s*\.)", re.IGNORECASE)
VALUE = re.compile(r"(?<![\w$])\$([A-Za-z_]\w*)")
ILL_FORMED = re.compile(r"\AParser Error")
NO_SQL = re.compile(r"syntax error|unterminated", re.IGNORECASE)
NO_SUCH_CALL = re.compile(r"Function with name|No function matches|Could not choose a best candidate")
FLAGS: tuple[tuple[re.Pattern[str], Callable[[re.Match[str]], str]], ...] = (
    (re.compile(r'Referenced column "([^"]+)" (?:not found|was not found)'), lambda found: f'"{found[1]}"'),
    (re.compile(r"function call \"time_bucket\(|types '\"?time_bucket\"?\("), lambda _: "naive"),
    (re.compile(r"types '//\(INTERVAL"), lambda _: "fraction"),
)


@dataclass
class Statement:
    """One statement as it was written, and as DuckDB gets it; `again` reads it anew, by what a refusal taught. A `change` is written, not run."""

    text: str
    sql: str
    again: Callable[[Collection[str]], str] | None = None
    others: tuple[Callable[[], str], ...] = ()
    makes: str = ""
    drops: str = ""
    why: str = ""
    change: writes.Change | None = None


class Run:
    """One run of a text: its statements in order, and what to try next where DuckDB refuses one.

    `sql` and `values` are what is to be run now, `result` is what the last statement gave.
    """

    def __init__(self, using: "Using", statements: Sequence["Statement"], values: Mapping[str, object]):
        self._using, self._statements, self._given = using, list(statements), values
        self._at = -1
        self.alone = len(self._statements) == 1
        self.sql = ""
        self.result: Any = None

    @property
    def script(self) -> str:
        """The statements as DuckDB gets them."""
        return ";\n".join(one.sql for one in self._statements)

    def goes_on(self) -> bool:
        """Whether a statement is left, which then is to be run."""
        if self._at < 0 or not self.sql:
            self._at += 1
            if self._at >= len(self._statements):
                return False
            self._statement = self._statements[self._at]
            self.sql, self._left = self._statement.sql, list(self._statement.others)
            self._refusals: list[QueryError] = []
            self._taught: set[str] = set()
        return True

    @property
    def change(self) -> writes.Change | None:
        """What the statement writes to a documented table, if it does."""
        return self._statement.change

    @property
    def given(self) -> Mapping[str, object]:
        """All values that were given."""
        return self._given

    @property
    def values(self) -> Mapping[str, object]:
        """The values that the statement names; all of them, for DuckDB to judge, if there is no other statement."""
        if self.alone or not self._given:
            return self._given
        return {name: self._given[name] for name in VALUE.findall(self.sql) if name in self._given}

    def ran(self, result: object) -> None:
        """Remember what DuckDB took, and what names it made the user's own."""
        self._statement.sql, self.sql = self.sql, ""
        self.result = result
        if self._statement.makes:
            self._using.own.add(self._statement.makes)
        self._using.own.discard(self._statement.drops)

    def refused(self, fault: QueryError) -> None:
        """Take up the next reading; without one, raise what was wrong with the first, and what would have worked."""
        self._refusals.append(fault)
        message = str(fault)
        if (found := NO_TABLE.search(message)) and (gone := found[1].strip('"!').lower()) in self._using.own:
            # Rolled back, renamed, or dropped with others: the platform's table is in sight again.
            self._using.own.discard(gone)
            if len(read := self._using.read(self._statement.text)) == 1:
                [self._statement] = read
                self.sql, self._left, self._refusals = self._statement.sql, list(self._statement.others), []
                return
        if self._statement.again:
            for pattern, flag in FLAGS:
                if (found := pattern.search(message)) and (told := flag(found)) not in self._taught:
                    self._taught.add(told)
                    if (made := self._statement.again(self._taught)) != self.sql:
                        self.sql = made
                        return
        # Another reading of a text that was understood, and does not fit the tables, would only find another table.
        while self._left and (ILL_FORMED.search(message) or (len(self._left) > 1 and NO_SUCH_CALL.search(message))):
            with suppress(SqlglotError):
                if (made := self._left.pop(0)()) != self.sql:
                    self.sql = made
                    return
        raise self._using.explained(self._refusals, self._statement.why)


class Using:
    """A platform in use. `name` is the platform's, another that it goes by, or one of its schemas, whose tables then go first.

    Raises `UnknownName`. Safe to use from many threads; tables and views that a thread makes for itself hide the platform's there.
    """

    def __init__(self, name: str):
        self.platform: Platform = platform(name)
        self.names = Names(self.platform, name.lower() if name.lower() in self.platform.schemas else None)
        self.dialect: str = self.platform.dialect
        self._threads = threading.local()
        self._read: dict[tuple[str, frozenset[str]], list[Statement]] = {}
        # What sqlglot builds when it first reads and writes is built here, not in a user's first query.
        self.read(WARMING)
        self._read = {}

    @property
    def own(self) -> set[str]:
        """Names of tables and views that this thread's user made."""
        made: set[str] = vars(self._threads).setdefault("own", set())
        return made

    def run(self, text: str, values: Mapping[str, object]) -> Run:
        """The statements of a text, to be run. Raises `QueryError` for one that is not run here."""
        return Run(self, self.read(text), values)

    def read(self, text: str) -> list[Statement]:
        """The statements of a text; those that ask for no rows are answered together, if one of them is the last."""
        key = text, frozenset(self.own & self.names.tables.keys()) if self.own else frozenset[str]()
        if (held := self._read.get(key)) is None:
            if len(self._read) >= TEXTS:
                self._read = {}
            held = self._read[key] = list(self._statements(text, key[1]))
        return held

    def _statements(self, text: str, own: Collection[str]) -> Iterator[Statement]:
        text = shell.within(text)
        if answer := shell.answer(text, self.names):
            yield Statement(text, answer)
            return
        reading = self.dialect
        try:
            if reading == "sqlite" and LISTED.search(TEXT.sub("''", text)):
                reading = "duckdb"
            parts = statements(text, reading)
        except SqlglotError:
            try:
                parts = statements(text, reading := "duckdb")
            except SqlglotError:
                yield Statement(text, text)
                return
        answers: list[admin.Answer] = []
        made: Statement | admin.Answer | None = None
        for raw, tokens in parts:
            if change := writes.change(raw, tokens, reading, self.names, own):
                made = Statement(raw, raw, change=change)
                yield made
                continue
            told = admin.answered(raw, self.names, own)
            made = Statement(raw, told) if isinstance(told, str) else told or self._statement(raw, tokens, reading, own)
            if isinstance(made, admin.Answer):
                answers.append(made)
            else:
                # What one statement makes or drops, the next ones see.
                own = ({*own, made.makes} if made.makes else set(own)) - {made.drops}
                yield made
        # The last statement's result is the text's.
        if isinstance(made, admin.Answer):
            yield Statement(text, admin.rows(answers))

    def _statement(self, raw: str, tokens: list[Token], reading: str, own: Collection[str]) -> Statement | admin.Answer:
        """One statement that asks for rows, or makes the user's own tables."""
        makes, drops = MAKES.match(raw), DROPS.match(raw)
        prefix = ""
        body = raw
        if found := EXPLAIN.match(raw):
            prefix = "EXPLAIN ANALYZE " if "ANALYZE" in found[1].upper() else "EXPLAIN "
            body = raw[found.end() :]
            tokens = statements(body, reading)[0][1]
        first = tokens[0].text.upper()
        dialects = [reading, "duckdb"] if not (reading == "duckdb" or first in DUCKDBS or only_duckdbs(tokens)) else ["duckdb"]

        def version(dialect: str, flags: Collection[str] = ()) -> str:
            held = tokens if dialect == reading else statements(body, dialect)[0][1]
            return prefix + translated(held, body, dialect, self.names, own, flags)

        why = ""
        for n, dialect in enumerate(dialects):
            try:
                tree = parsed(tokens if dialect == reading else statements(body, dialect)[0][1], body, dialect)
                if tree is None or isinstance(tree, exp.Command) or (first == "SUMMARIZE" and not isinstance(tree, exp.Summarize)):
                    continue
                if told := admin.called(raw, tree, self.names):
                    return told
                sql = prefix + written(rewritten(tree, dialect, self.names, own, (), tokens, body))
            except SqlglotError as fault:
                why = why or f"It was not translated: {fault}." * isinstance(fault, UnsupportedError)
                continue
            others = tuple((lambda one=one: version(one)) for one in dialects[n + 1 :])
            return Statement(
                raw,
                sql,
                again=lambda flags, dialect=dialect: version(dialect, flags),  # type: ignore[misc]
                others=(*others, lambda: raw),
                makes=makes[1].lower() if makes else "",
                drops=drops[1].lower() if drops else "",
            )
        return Statement(raw, raw, makes=makes[1].lower() if makes else "", drops=drops[1].lower() if drops else "", why=why)

    def explained(self, refusals: list[QueryError], why: str) -> QueryError:
        """The first refusal, with what would have worked; where no reading parses, what DuckDB says of the text as it was written."""
        fault = refusals[0]
        told = hint(str(fault), self.platform)
        if NO_SQL.search(str(fault)) and not NO_SQL.search(str(refusals[-1])):
            # Another reading was understood.
            fault = refusals[-1]
            told = hint(str(fault), self.platform)
        elif NO_SQL.search(str(fault)):
            fault = refusals[-1]
            called = {"postgres": "PostgreSQL and TimescaleDB", "sqlite": "SQLite"}[self.dialect]
            told = (
                f"Read as SQL of {called}, which {self.platform.name} is written in, and as DuckDB's own, this is neither; nothing was run. "
                "The caret marks the clause: write that in either of the two."
            )
        if not (told := f"{told} {why}".strip()):
            return fault
        made = type(fault)(f"{fault}\n\n{told}")
        made.__cause__ = fault.__cause__
        return made


def translated(tokens: list[Token], text: str, dialect: str, names: Names, own: Collection[str], flags: Collection[str]) -> str:
    """A statement as DuckDB gets it. Raises sqlglot's errors where it is none of that dialect."""
    tree = parsed(tokens, text, dialect)
    assert tree is not None
    return written(rewritten(tree, dialect, names, own, flags, tokens, text))


def rewritten(
    tree: exp.Expr, dialect: str, names: Names, own: Collection[str], flags: Collection[str], tokens: Sequence[Token], text: str
) -> exp.Expr:
    """A tree with the platform's tables, and its functions as DuckDB has them."""
    resolve(tree, names, own)
    if dialect == "sqlite" and isinstance(tree, exp.Select):
        sqlite.titled(tree, tokens, text)
    if dialect == "postgres":
        for select in tree.find_all(exp.Select):
            postgres.titled(select)
    for select in tree.find_all(exp.Select):
        # Nobody writes to what a query reads.
        select.set("locks", None)
    for inner in list(tree.find_all(exp.IgnoreNulls)):
        if isinstance(inner.this, exp.Func) and not isinstance(inner.parent, exp.Func):
            function = inner.this
            inner.replace(function)
            one = function.expressions[0] if isinstance(function, exp.Anonymous) else function.this
            one.replace(exp.IgnoreNulls(this=one.copy()))
    change = {"postgres": postgres.rewritten, "sqlite": sqlite.rewritten}.get(dialect)
    if dialect == "duckdb":
        change = postgres.timescale if names.platform.dialect == "postgres" else None
    if change is None:
        return tree
    # From the leaves up: what a change puts in place of a node is not changed again.
    for node in reversed(list(tree.walk())):
        made = change(node, flags)
        if made is not node:
            if node is tree:
                tree = made
            else:
                node.replace(made)
    return tree
