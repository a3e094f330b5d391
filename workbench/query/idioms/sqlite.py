"""SQLite's spellings as DuckDB's, in the tree of a statement, where sqlglot does not do it or would change an answer.

SQLite keeps times as text, in UTC; here they are times, which show in New York while a platform is in use: `date(timestamp)` is the session's day.
"""

import re
from collections.abc import Callable, Collection, Sequence

from sqlglot import exp
from sqlglot.tokenizer_core import Token, TokenType

from workbench.errors import QueryError
from workbench.query.idioms.columns import type_of
from workbench.query.idioms.shared import call, cast, divided, interval, ordered, several, text_of

STEP = re.compile(r"([+-]?\d+(?:\.\d+)?)\s*(second|minute|hour|day|month|year)s?", re.IGNORECASE)
START = re.compile(r"start of (day|month|year)", re.IGNORECASE)
WEEKDAY = re.compile(r"weekday ([0-6])", re.IGNORECASE)
# SQLite's patterns of strftime that DuckDB has under another name.
PATTERNS = {"%f": "%S.%g", "%F": "%Y-%m-%d", "%T": "%H:%M:%S", "%R": "%H:%M", "%e": "%-d", "%k": "%-H", "%l": "%-I", "%P": "%p"}
TIMES = ("DATE", "TIMESTAMPTZ", "TIMESTAMP")
WHOLE = (exp.DType.INT, exp.DType.BIGINT, exp.DType.SMALLINT, exp.DType.TINYINT)
ASCII = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"


def rewritten(node: exp.Expr, flags: Collection[str]) -> exp.Expr:
    """A node as DuckDB has it. `flags` are what an attempt before this one taught."""
    change = NODES.get(type(node))
    return change(node, flags) if change else node


def anonymous(node: exp.Expr, flags: Collection[str]) -> exp.Expr:
    """A call of a function that is not standard SQL."""
    change = FUNCTIONS.get(node.name.lower())
    return change(node, flags) if change else node


def moment(given: Sequence[exp.Expr], function: str) -> exp.Expr:
    """The time that a time value and its modifiers say. Raises `QueryError` for a modifier that is none."""
    base = given[0] if given else exp.Literal.string("now")
    made: exp.Expr
    steps = list(given[1:])
    if text_of(base).lower() == "now":
        made = exp.CurrentTimestamp()
    elif steps and text_of(steps[0]).lower() in ("unixepoch", "auto"):
        made = call("to_timestamp", cast(base, "DOUBLE"))
    elif type_of(base) in TIMES:
        made = base.copy()
    else:
        made = cast(base, "TIMESTAMPTZ")
    for step in steps:
        told = text_of(step).strip().lower()
        if found := STEP.fullmatch(told):
            made = exp.Paren(this=exp.Add(this=made, expression=interval(found[1].removeprefix("+"), found[2])))
        elif found := START.fullmatch(told):
            made = call("date_trunc", exp.Literal.string(found[1]), made)
        elif found := WEEKDAY.fullmatch(told):
            days = exp.Mod(
                this=exp.Paren(this=exp.Sub(this=exp.Literal.number(7 + int(found[1])), expression=call("dayofweek", made))),
                expression=exp.Literal.number(7),
            )
            made = exp.Paren(this=exp.Add(this=made, expression=call("to_days", cast(exp.Paren(this=days), "INTEGER"))))
        elif told in ("localtime", "utc", "unixepoch", "auto", "subsec", "subsecond"):
            continue
        elif told:
            raise QueryError(
                f"{function}(…, '{told}') is not translated: '{told}' is no modifier of SQLite's that is known here; nothing was run. "
                "Write timestamp + INTERVAL 7 DAY, or date_trunc('month', timestamp)."
            )
        else:
            made = exp.Paren(this=exp.Add(this=made, expression=cast(step, "INTERVAL")))
    return made


def date(node: exp.Expr, _: Collection[str]) -> exp.Expr:
    """A day of New York's."""
    return cast(moment(node.expressions, "date"), "DATE")


def datetime(node: exp.Expr, _: Collection[str]) -> exp.Expr:
    """A time, to be compared with others; SQLite's was the text of one in UTC."""
    return cast(moment(node.expressions, "datetime"), "TIMESTAMPTZ")


def time(node: exp.Expr, _: Collection[str]) -> exp.Expr:
    """The time of day, as a text."""
    return call("strftime", moment(node.expressions, "time"), exp.Literal.string("%H:%M:%S"))


def epoch(node: exp.Expr, _: Collection[str]) -> exp.Expr:
    """Whole seconds since 1970."""
    return cast(call("floor", call("epoch", moment(node.expressions, "unixepoch"))), "BIGINT")


def julian(node: exp.Expr, _: Collection[str]) -> exp.Expr:
    """Days since noon of 24 November 4714 BC, in UTC."""
    days = exp.Div(this=call("epoch", moment(node.expressions, "julianday")), expression=exp.Literal.number("86400.0"))
    return exp.Paren(this=exp.Add(this=days, expression=exp.Literal.number("2440587.5")))


def strftime(node: exp.Expr, _: Collection[str]) -> exp.Expr:
    """The pattern comes second in DuckDB. Raises `QueryError` for one that it cannot say."""
    if not node.expressions or not (pattern := text_of(node.expressions[0])):
        return node
    when = moment(node.expressions[1:], "strftime")
    if pattern == "%s":
        return cast(cast(call("floor", call("epoch", when)), "BIGINT"), "VARCHAR")
    if pattern == "%J":
        return cast(julian(exp.Anonymous(this="julianday", expressions=node.expressions[1:]), ()), "VARCHAR")
    if found := re.search(r"%[sJ]", pattern):
        raise QueryError(
            f"strftime('{pattern}', …) is not translated: DuckDB's strftime has nothing for {found[0]}; nothing was run. "
            "Write unixepoch(x) or julianday(x), joined with ||."
        )
    told = re.sub(r"%.", lambda one: PATTERNS.get(one[0], one[0]), pattern)
    return call("strftime", when, exp.Literal.string(told))


def as_text(node: exp.Expr) -> exp.Expr:
    """A column that holds dates or times, which were text, as text."""
    return cast(node, "VARCHAR") if type_of(node) in TIMES else node.copy()


def like(node: exp.Expr, _: Collection[str]) -> exp.Expr:
    """Letters of ASCII match in either case, others only as they are."""
    left, right = as_text(node.this), node.expression
    if isinstance(right, exp.Literal) and right.name.isascii():
        return exp.ILike(this=left, expression=right.copy(), negate=node.args.get("negate"))
    upper, lower = exp.Literal.string(ASCII), exp.Literal.string(ASCII.lower())
    folded = [call("translate", one, upper, lower) for one in (left, right)]
    return exp.Like(this=folded[0], expression=folded[1], negate=node.args.get("negate"))


def substring(node: exp.Expr, _: Collection[str]) -> exp.Expr:
    """A part of a text, which dates were."""
    node.set("this", as_text(node.this))
    return node


def divide(node: exp.Expr, _: Collection[str]) -> exp.Expr:
    """Whole numbers divide to whole numbers, and by zero to NULL."""
    right = node.expression
    if not (isinstance(right, exp.Literal) and not right.is_string and float(right.name)):
        right = call("nullif", right, exp.Literal.number(0))
    return divided(node.this, right)


def remainder(node: exp.Expr, _: Collection[str]) -> exp.Expr:
    """What a division leaves: by zero NULL."""
    right = node.expression.unnest()
    if isinstance(right, exp.Literal) and not right.is_string and float(right.name):
        return node
    return exp.Mod(this=node.this.copy(), expression=call("nullif", node.expression, exp.Literal.number(0)))


def as_type(node: exp.Expr, _: Collection[str]) -> exp.Expr:
    """A cast to INTEGER cuts the fraction off, which DuckDB's rounds."""
    inner = node.this
    if node.args["to"].this not in WHOLE or "trunc" in node.meta:
        return node
    if isinstance(inner, exp.Literal) and inner.is_string:
        found = re.match(r"\s*([+-]?\d+)", inner.name)
        return cast(exp.Literal.number(int(found[1]) if found else 0), "BIGINT")
    fraction = cast(call("trunc", exp.TryCast(this=inner.copy(), to=exp.DataType.build("DOUBLE"))), "BIGINT")
    whole = exp.TryCast(this=inner.copy(), to=exp.DataType.build("BIGINT"))
    has = exp.In(this=call("typeof", inner), expressions=[exp.Literal.string(one) for one in ("DOUBLE", "FLOAT", "VARCHAR")])
    test = exp.Or(this=has, expression=exp.Like(this=call("typeof", inner), expression=exp.Literal.string("DECIMAL%")))
    for one in (fraction, whole):
        one.meta["trunc"] = True
    return exp.Case(ifs=[exp.If(this=test, true=fraction)], default=whole)


def total(node: exp.Expr, _: Collection[str]) -> exp.Expr:
    """A sum that is 0.0 over no rows."""
    return cast(call("coalesce", call("sum", *node.expressions), exp.Literal.number(0)), "DOUBLE")


def random(_node: exp.Expr, _: Collection[str]) -> exp.Expr:
    """A whole number, of either sign."""
    spread = exp.Paren(this=exp.Sub(this=call("random"), expression=exp.Literal.number("0.5")))
    return cast(exp.Paren(this=exp.Mul(this=spread, expression=exp.Literal.number("1.8e19"))), "BIGINT")


def quoted(node: exp.Expr, flags: Collection[str]) -> exp.Expr:
    """A name in double quotes that no column has is a text."""
    if isinstance(node.this, exp.Identifier) and node.this.quoted and not node.args.get("table") and f'"{node.name}"' in flags:
        return exp.Literal.string(node.name)
    return node


def table(node: exp.Expr, _: Collection[str]) -> exp.Expr:
    """An index that a query asks for is not there."""
    node.set("indexed", None)
    return node


def titled(select: exp.Select, tokens: Sequence[Token], text: str) -> None:
    """Call columns that have no name by the words that ask for them, as SQLite does."""
    if tokens[0].token_type is not TokenType.SELECT or several(select):
        return
    depth, pieces, at = 0, list[str](), 1
    at += tokens[1].token_type in (TokenType.DISTINCT, TokenType.ALL) if len(tokens) > 1 else 0
    for n, token in enumerate([*tokens, None]):
        if n < at:
            continue
        if token is None or (depth == 0 and token.token_type in (TokenType.COMMA, TokenType.FROM)):
            pieces.append(text[tokens[at].start : tokens[n - 1].end + 1] if at < n else "")
            at = n + 1
            if token is None or token.token_type is TokenType.FROM:
                break
        depth += {TokenType.L_PAREN: 1, TokenType.R_PAREN: -1}.get(token.token_type, 0)
    if len(pieces) != len(select.expressions):
        return
    for one, piece in zip(select.expressions, pieces, strict=True):
        # DuckDB takes a column of the name of a constant, as current_date, for the constant's own.
        if not isinstance(one, exp.Alias | exp.Column | exp.Star | exp.CurrentDate | exp.CurrentTime | exp.CurrentTimestamp):
            one.replace(exp.alias_(one.copy(), piece, quoted=True))


NODES: dict[type[exp.Expr], Callable[[exp.Expr, Collection[str]], exp.Expr]] = {
    exp.Anonymous: anonymous,
    exp.Like: like,
    exp.Substring: substring,
    exp.Div: divide,
    exp.Mod: remainder,
    exp.Cast: as_type,
    exp.Column: quoted,
    exp.Ordered: ordered,
    exp.Table: table,
}
FUNCTIONS: dict[str, Callable[[exp.Expr, Collection[str]], exp.Expr]] = {
    "date": date,
    "datetime": datetime,
    "time": time,
    "julianday": julian,
    "unixepoch": epoch,
    "strftime": strftime,
    "total": total,
    "random": random,
}
