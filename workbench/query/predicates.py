"""What a condition on rows says of files: the same question, asked of the log's statistics.

A condition is a node of DuckDB's parse tree (`json_serialize_sql`), of DuckDB 1.5 or 2.0. Its translation is SQL over the statistics
that is false only for files in which no row can meet the condition. What is not understood keeps every file: an answer may cost
time, never a row.

An expression lies, within a file, between two others: a column between its least and greatest value, a constant between itself and
itself, a function that never falls between its values at both ends. All comparisons follow from that.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Literal

from workbench.query.trees import Holes, Node, called, column, constant, known, nodes, steady, type_of, with_given, word

Kind = Literal["text", "day", "instant", "number", "constant"]

OPERATORS = {
    "COMPARE_EQUAL": "=",
    "COMPARE_NOTEQUAL": "<>",
    "COMPARE_LESSTHAN": "<",
    "COMPARE_GREATERTHAN": ">",
    "COMPARE_LESSTHANOREQUALTO": "<=",
    "COMPARE_GREATERTHANOREQUALTO": ">=",
}
OPPOSITE = {"=": "<>", "<>": "=", "<": ">=", ">": "<=", "<=": ">", ">=": "<"}

# Parts of a date that never fall as time goes on.
RISING = frozenset("year isoyear yearweek decade century millennium era epoch epoch_ms epoch_us epoch_ns julian".split())  # noqa: SIM905
# Forms in which dates stand in the order of time.
FORMS = frozenset(("%Y", "%Y-%m", "%Y%m", "%Y-%m-%d", "%Y%m%d"))
INSTANTS = frozenset(("timestamp", "datetime", "timestamptz", "timestamp with time zone", "timestamp_ns"))
TEXTS = frozenset(("varchar", "text", "string"))
PREFIXES = frozenset(("starts_with", "^@", "prefix"))
MEMBERS = frozenset(("contains", "list_contains", "list_has", "array_contains", "array_has"))

# More values than these are compared as one list.
FEW = 8


@dataclass(frozen=True)
class Span:
    """Between which two expressions over the statistics another one lies within a file.

    `wide` are the ends that a function's values are told from, where they are others: local time falls back by an hour in autumn.
    `only_if` are conditions without which the span says nothing. `plain` marks a column itself.
    """

    low: Node
    high: Node
    kind: Kind
    wide: tuple[Node, Node] | None = None
    only_if: tuple[str, ...] = ()
    plain: bool = False


# The columns that the log knows, under the names that the statistics have in `narrow`.
SPANS = {
    "ticker": Span(column("low"), column("high"), "text", plain=True),
    "date": Span(column("first"), column("last"), "day", plain=True),
    "timestamp": Span(column("since"), column("until"), "instant", (column("early"), column("late")), plain=True),
    "time": Span(column("since_ns"), column("until_ns"), "number", (column("early_ns"), column("late_ns")), plain=True),
}


# The types of these columns. Columns of one type may lend each other their conditions, and be the sides of a UNION.
TYPES = {"ticker": "VARCHAR", "date": "DATE", "timestamp": "TIMESTAMPTZ", "time": "BIGINT"}
CASTS = {"date": "DATE", "timestamptz": "TIMESTAMPTZ", "timestamp with time zone": "TIMESTAMPTZ", **dict.fromkeys(TEXTS, "VARCHAR")}


@dataclass
class Translation:
    """Translates conditions for one table of a query.

    `resolve` tells which of the columns in `spans` a reference means, if it means this table's: those in `SPANS`, and what is made of them. `strict` asks for conditions that a
    row of NULLs cannot meet, as outer joins make them. `alone` says that the table stands alone, so that no other has a column of a
    bare name. `among` gathers the relations whose values the rows' tickers are among, as `member` takes them.
    """

    resolve: Callable[[Sequence[str]], str | None]
    holes: Holes
    strict: bool
    alone: bool
    among: list[str] = field(default_factory=list)
    spans: Mapping[str, Span] = field(default_factory=lambda: SPANS)

    def condition(self, node: Node, *, no: bool = False) -> str | None:
        """The translation of a condition, or of its opposite; None if it says nothing of files."""
        kind = node["type"]
        if kind in ("CONJUNCTION_AND", "CONJUNCTION_OR"):
            either = (kind == "CONJUNCTION_AND") == no
            held = [*self.among]
            parts = [self.condition(child, no=no) for child in node["children"]]
            known = [part for part in parts if part]
            if not either:
                return joined(" AND ", known)
            self.among[:] = held
            return joined(" OR ", known) if len(known) == len(parts) else None
        if kind == "OPERATOR_NOT":
            return self.condition(node["children"][0], no=not no)
        if self.constant(node):
            return f"{'NOT ' * no}({self.holes.name(node)})::BOOLEAN"
        return self._compared(node, no=no) or self._on_a_single_day(node, no=no)

    def _compared(self, node: Node, *, no: bool) -> str | None:
        kind = node["type"]
        if operator := OPERATORS.get(kind):
            return self.compare(self.span(node["left"]), OPPOSITE[operator] if no else operator, self.span(node["right"]))
        if kind == "COMPARE_NOT_DISTINCT_FROM" and not no:
            left, right = self.span(node["left"]), self.span(node["right"])
            return self.compare(left, "=", right, null=True) if left and right and "constant" in (left.kind, right.kind) else None
        if kind in ("COMPARE_BETWEEN", "COMPARE_NOT_BETWEEN"):
            value, lower, upper = (self.span(node[part]) for part in ("input", "lower", "upper"))
            if no != (kind == "COMPARE_NOT_BETWEEN"):
                parts = [self.compare(value, "<", lower), self.compare(value, ">", upper)]
                return joined(" OR ", [part for part in parts if part]) if all(parts) else None
            return joined(" AND ", [part for part in (self.compare(value, ">=", lower), self.compare(value, "<=", upper)) if part])
        if kind in ("COMPARE_IN", "COMPARE_NOT_IN"):
            return self._in(node["children"][0], node["children"][1:], no=no != (kind == "COMPARE_NOT_IN"))
        if kind == "SUBQUERY" and node.get("subquery_type") == "ANY" and not no and self.constant(node["subquery"], asks=True):
            relation = self.holes.name({"type": "SUBQUERY", "subquery": node["subquery"]})
            return self.member(self.span(node["child"]), OPERATORS.get(node["comparison_type"], ""), f"{relation} AS __values(__value)")
        if kind == "FUNCTION" and not no:
            return self._called(node)
        return None

    def _called(self, node: Node) -> str | None:
        name, given = called(node)
        if len(given) != 2:
            return None
        if name in MEMBERS and self.constant(given[0]):
            return self.member(self.span(given[1]), "=", f"(SELECT unnest({self.holes.name(given[0])})) AS __values(__value)")
        span = self.span(given[0])
        if span is None or span.kind != "text" or not self.constant(given[1]) or not (name in PREFIXES or name == "~~"):
            return None
        low, high, start = self.holes.name(span.low), self.holes.name(span.high), self.holes.name(given[1])
        whole = f"regexp_extract({start}, '^[^%_]*')" if name == "~~" else start
        test = f'"left"({low}, length({whole})) <= {whole} AND "left"({high}, length({whole})) >= {whole}'
        return guarded([*span.only_if, f"typeof({start}) = 'VARCHAR'"], test)

    def _in(self, value: Node, members: Sequence[Node], *, no: bool) -> str | None:
        name, parts = called(value) if value["type"] == "FUNCTION" else ("", [])
        if name == "row":
            tuples = [called(member) if member["type"] == "FUNCTION" else ("", []) for member in members]
            if no or any(other != "row" or len(given) != len(parts) for other, given in tuples):
                return None
            alike = [[self.compare(self.span(a), "=", self.span(b)) for a, b in zip(parts, given, strict=True)] for _, given in tuples]
            rows = [joined(" AND ", [part for part in one if part]) for one in alike]
            return joined(" OR ", [row for row in rows if row]) if all(rows) else None
        span = self.span(value)
        if span and span.kind == "text" and not no and all(map(self.constant, members)):
            relation = f"(SELECT unnest([{', '.join(map(self.holes.name, members))}])) AS __values(__value)"
            if len(members) > FEW:
                return self.member(span, "=", relation)
            self.among += [relation] if span is SPANS["ticker"] else []
        tests = [self.compare(span, "<>" if no else "=", self.span(member)) for member in members]
        return joined(" AND " if no else " OR ", [test for test in tests if test]) if tests and all(tests) else None

    def member(self, span: Span | None, operator: str, relation: str) -> str | None:
        """Whether an expression can stand so to one of the values that a constant relation holds as `__value`."""
        if span is None or not operator or span.kind == "constant":
            return None
        test = self.compare(span, operator, Span(column("__value"), column("__value"), "constant"))
        if test is None:
            return None
        if span is SPANS["ticker"] and operator == "=":
            self.among.append(relation)
        # Where the log does not say, a file stays; a NULL among the values equals nothing.
        return f"EXISTS (SELECT 1 FROM {relation} WHERE __value IS NOT NULL AND ({test}) IS NOT FALSE)"

    def compare(self, left: Span | None, operator: str, right: Span | None, *, null: bool = False) -> str | None:
        """Whether two expressions can stand so to each other in a row of a file; `null`: two NULLs can too."""
        if left is None or right is None or left.kind == right.kind == "constant" or left is right:
            return None
        kinds = {left.kind, right.kind} - {"constant"}
        if len(kinds) > 1 and kinds & {"text", "number"}:
            return None
        a, b, c, d = (self.holes.name(node) for node in (left.low, left.high, right.low, right.high))
        tests = {
            "=": f"{a} <= {d} AND {b} >= {c}",
            "<>": f"({a} <> {d} OR {b} <> {c} OR {a} <> {b})",
            "<": f"{a} < {d}",
            "<=": f"{a} <= {d}",
            ">": f"{b} > {c}",
            ">=": f"{b} >= {c}",
        }
        # Statistics are in the order of the column's own type; beside another type DuckDB may compare in that type's order.
        constant, node = (c, right.low) if right.kind == "constant" else (a, left.low) if left.kind == "constant" else ("", {})
        told = {"text": [f"typeof({constant}) = 'VARCHAR'"], "number": [f"typeof({constant}) <> 'VARCHAR'"]} if constant else {}
        test = guarded([*left.only_if, *right.only_if, *told.get(next(iter(kinds)), [])], tests[operator])
        return test if null or not constant or known(node) else f"({constant} IS NOT NULL AND {test})"

    # ------------------------------------------------------------------ expressions

    def span(self, node: Node) -> Span | None:
        """Between what an expression lies in a file; None if that is not known."""
        if self.constant(node):
            return Span(node, node, "constant")
        if node["type"] == "COLUMN_REF":
            name = self.resolve(node["column_names"])
            return self.spans[name] if name else None
        if node["type"] == "OPERATOR_CAST":
            inner, to = self.span(node["child"]), type_of(node)
            kind = cast_kind(inner.kind, to) if inner else None
            return wrapped(inner, kind, lambda end: {**node, "child": end}) if inner and kind else None
        return self._function(node) if node["type"] == "FUNCTION" else None

    def _function(self, node: Node) -> Span | None:
        name, given = called(node)
        varying = [at for at, one in enumerate(given) if not self.constant(one)]
        if len(varying) != 1:
            return None
        [at] = varying
        inner = self.span(given[at])
        kind = rising(name, given, at, inner) if inner else None
        if inner is None or kind is None:
            return None
        made = wrapped(inner, kind, lambda end: with_given(node, [end if n == at else one for n, one in enumerate(given)]))
        if name in ("*", "/", "//"):
            return replace(made, only_if=(*made.only_if, f"{self.holes.name(given[1 - at])} > 0"))
        return made

    def _on_a_single_day(self, node: Node, *, no: bool) -> str | None:
        """Any condition on `date` alone, for the files that hold one session: put to that session."""
        if self.strict:
            return None
        whole = self._dated(node)
        if whole is None or not any(part is SPANS["date"].low for part in nodes(whole)):
            return None
        return guarded(["first = last"], f"{'NOT ' * no}({self.holes.name(whole)})::BOOLEAN")

    def _dated(self, tree: Any) -> Any:
        """A condition with its references to `date` replaced by the first session; None if there is anything else in it."""
        if isinstance(tree, list):
            parts = [self._dated(part) for part in tree]
            return None if any(part is None for part in parts) else parts
        if not isinstance(tree, dict):
            return tree if tree is not None else ""
        if tree.get("class") == "COLUMN_REF" and not self.constant(tree):
            return SPANS["date"].low if self.resolve(tree["column_names"]) == "date" else None
        if "class" in tree and not steady(tree, self.alone):
            return None
        fields = {key: self._dated(part) for key, part in tree.items() if part is not None}
        return None if any(part is None for part in fields.values()) else fields

    def constant(self, node: Node, *, asks: bool = False) -> bool:
        """Whether an expression is the same for every row; `asks`: a subquery, over nothing but values that it names itself."""
        return constant(node, asks=asks, alone=self.alone)


def cast_kind(kind: Kind, to: str) -> Kind | None:
    """What a cast makes of an expression, if it keeps the order."""
    if kind in ("day", "instant"):
        if to == "date":
            return "day"
        if to in INSTANTS:
            return "instant"
        return "text" if kind == "day" and to in TEXTS else None
    if kind == "text":
        return "text" if to in TEXTS else None
    return "number" if kind == "number" and to in ("bigint", "hugeint", "double", "int8") else None


def rising(name: str, given: Sequence[Node], at: int, inner: Span) -> Kind | None:
    """What a function makes of its one varying argument, if it never falls while that rises."""
    kind = inner.kind
    if kind == "number":
        if len(given) == 2 and (name in ("+", "*") or (name in ("-", "/", "//") and at == 0)):
            return "number"
        return "instant" if name in ("to_timestamp", "make_timestamp", "make_timestamp_ns", "epoch_ms") and len(given) == 1 else None
    if kind not in ("day", "instant"):
        return None
    if len(given) == 2 and (name == "+" or (name == "-" and at == 0)):
        return "instant"
    if name in RISING and len(given) == 1:
        return "number"
    if name in ("date_part", "datepart") and at == 1 and word(given[0]).lower() in RISING:
        return "number"
    if name in ("date_trunc", "datetrunc", "time_bucket") and at == 1 and len(given) == 2:
        return "instant"
    # With a time zone, an origin or an offset; in local time, as below.
    if name == "time_bucket" and at == 1 and len(given) == 3 and inner.plain:
        return "instant"
    if name == "last_day":
        return "day"
    if name == "timezone" and at == 1 and kind == "instant" and inner.plain:
        return "instant"
    if name == "strftime" and len(given) == 2 and word(given[1 - at]) in FORMS:
        return "text"
    return None


def wrapped(inner: Span, kind: Kind, made: Callable[[Node], Node]) -> Span:
    """The span of a function's values, from those of its argument."""
    low, high = inner.wide or (inner.low, inner.high)
    return Span(made(low), made(high), kind, None, inner.only_if)


def guarded(conditions: Sequence[str], test: str) -> str:
    """A test that says nothing unless conditions are met."""
    return f"CASE WHEN {' AND '.join(conditions)} THEN {test} ELSE TRUE END" if conditions else f"({test})"


def joined(word: str, parts: Sequence[str]) -> str | None:
    """Tests put together; None if there is none."""
    return f"({word.join(parts)})" if parts else None
