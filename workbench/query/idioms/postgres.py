"""PostgreSQL's and TimescaleDB's spellings as DuckDB's, in the tree of a statement, where sqlglot does not do it or would change an answer."""

import re
from collections.abc import Callable, Collection

import sqlglot
from sqlglot import exp

from workbench.errors import QueryError
from workbench.query.idioms.columns import type_of
from workbench.query.idioms.shared import call, cast, divided, ordered, several, text_of
from workbench.tables.spec import NEW_YORK

# PostgreSQL's patterns of to_char as those of strftime. Longest first; FM only takes away what %-d does.
PATTERNS = {
    "YYYY": "%Y", "IYYY": "%G", "YY": "%y", "FMMonth": "%B", "FMDay": "%A", "Mon": "%b", "Dy": "%a", "FMMM": "%-m", "FMDDD": "%-j", "FMDD": "%-d",
    "FMHH24": "%-H", "FMHH12": "%-I", "FMMI": "%-M", "FMSS": "%-S", "MM": "%m", "DDD": "%j", "DD": "%d", "HH24": "%H", "HH12": "%I", "HH": "%I",
    "MI": "%M", "SS": "%S", "MS": "%g", "US": "%f", "ID": "%u", "IW": "%V", "AM": "%p", "PM": "%p", "OF": "%z", "TZ": "%Z",
}  # fmt: skip
PATTERN = re.compile(r'"([^"]*)"|' + "|".join(sorted(PATTERNS, key=len, reverse=True)) + r"|[A-Za-z]+|.", re.DOTALL)
# A width as text, whole days and more, and how many of a unit an hour has.
SPAN = re.compile(r"(\d+)\s*([a-z]+?)s?", re.IGNORECASE)
LONG = frozenset(("day", "d", "week", "w", "month", "mon", "year", "y"))
SHORT = {"second": 3600, "sec": 3600, "s": 3600, "minute": 60, "min": 60, "m": 60, "hour": 1, "hr": 1, "h": 1}
# What PostgreSQL divides to a fraction, though DuckDB's is whole or no number.
FRACTIONS = (exp.Extract, exp.Avg, exp.Round, exp.Ceil, exp.Floor, exp.Interval)


def rewritten(node: exp.Expr, flags: Collection[str]) -> exp.Expr:
    """A node as DuckDB has it. `flags` are what an attempt before this one taught."""
    change = NODES.get(type(node))
    return change(node, flags) if change else node


def timescale(node: exp.Expr, flags: Collection[str]) -> exp.Expr:
    """A node of a text that is DuckDB's own: only what DuckDB has no meaning for, and the sessions' buckets."""
    if isinstance(node, exp.Anonymous) and node.name.lower() in OURS:
        return anonymous(node, flags)
    return first_last(node, flags) if isinstance(node, exp.First | exp.Last) else node


def anonymous(node: exp.Expr, flags: Collection[str]) -> exp.Expr:
    """A call of a function that is not standard SQL."""
    change = FUNCTIONS.get(node.name.lower())
    return change(node, flags) if change else node


def first_last(node: exp.Expr, _: Collection[str]) -> exp.Expr:
    """The value of the row of the least or greatest time, NULL if it is NULL there. DuckDB's own has one argument."""
    if node.args.get("expression") is None:
        return node
    return call("arg_min_null" if isinstance(node, exp.First) else "arg_max_null", node.this, node.args["expression"])


def time_bucket(node: exp.Expr, flags: Collection[str]) -> exp.Expr:
    """Buckets of New York's sessions; where a zone, an origin or an offset is told, that."""
    given = [one for one in node.expressions if not isinstance(one, exp.Kwarg | exp.PropertyEQ)]
    told = {one.this.name.lower(): one.expression for one in node.expressions if isinstance(one, exp.Kwarg | exp.PropertyEQ)}
    if len(given) < 2 or told.keys() - {"timezone", "origin", "offset"} or len(told) > 1:
        return node
    width, time = given[:2]
    if isinstance(width, exp.Literal) and not width.is_string:
        raise QueryError(
            "time_bucket over whole numbers is not translated: time_bucket counts time; nothing was run. Write (x // width) * width."
        )
    if len(given) > 2 or told:
        return call("time_bucket", width, time, *given[2:], *told.values())
    kind = type_of(time)
    if kind in ("DATE", "TIMESTAMP") or (not kind and naive(time)):
        return call("time_bucket", width, time)
    if not kind and "naive" in flags:
        buckets = [one for one in node.root().find_all(exp.Anonymous) if one.name.lower() == "time_bucket"]
        if len(buckets) == 1:
            return call("time_bucket", width, time)
        # One of several is a date, or has no zone: each is counted by the clock, and becomes again what it was.
        return exp.Case(ifs=[exp.If(this=exp.false(), true=time.copy())], default=call("time_bucket", width, cast(time, "TIMESTAMP")))
    zoned = call("time_bucket", width, time, exp.Literal.string(NEW_YORK))
    if within_hours(width):
        return zoned
    # DuckDB counts hours from a winter's midnight, summer and winter: four of them would begin at 05:00 in summer, a day's 24 at 01:00. The clock's
    # own hours do not; the other branch, which is never taken, keeps a time without a zone from being read as one that has it.
    clock = exp.AtTimeZone(this=exp.Paren(this=time.copy()), zone=exp.Literal.string(NEW_YORK))
    local = exp.AtTimeZone(this=call("time_bucket", width, clock), zone=exp.Literal.string(NEW_YORK))
    return exp.Case(ifs=[exp.If(this=exp.false(), true=zoned)], default=local)


def within_hours(width: exp.Expr) -> bool:
    """Whether buckets of a width are the same counted by New York's clock or by any other: parts of an hour, or whole days and more."""
    inner = width.this if isinstance(width, exp.Interval | exp.Cast) else width
    unit = width.args.get("unit") if isinstance(width, exp.Interval) else None
    told = f"{inner.name if isinstance(inner, exp.Literal) else ''} {unit.name if unit is not None else ''}"
    if not (found := SPAN.fullmatch(told.strip())):
        return False
    count, word = int(found[1]), found[2].lower()
    # Every hour begins at a whole one of every zone's that New York has had since 1883.
    return word in LONG or (word in SHORT and count > 0 and SHORT[word] % count == 0)


def naive(node: exp.Expr) -> bool:
    """Whether an expression is a date, or a time without a zone, as it is written."""
    return isinstance(node, exp.Cast) and node.to.this in (exp.DType.DATE, exp.DType.TIMESTAMP)


def divide(node: exp.Expr, flags: Collection[str]) -> exp.Expr:
    """Whole numbers divide to whole numbers: DuckDB's // does that, and with any other number what / does."""
    sides = (node.this, node.expression)
    if ("fraction" in flags and not counted(node.this)) or any(isinstance(side.unnest(), FRACTIONS) for side in sides):
        return node
    return divided(*sides)


def counted(node: exp.Expr) -> bool:
    """Whether an expression is no span of time for certain: made of numbers, counts and columns of numbers."""
    if isinstance(node, exp.Paren | exp.Neg | exp.Sum | exp.Max | exp.Min):
        return counted(node.this)
    if isinstance(node, exp.Add | exp.Sub | exp.Mul | exp.Div | exp.IntDiv | exp.Mod):
        return counted(node.this) and counted(node.expression)
    return isinstance(node, exp.Count | exp.Literal) or type_of(node) in ("DOUBLE", "BIGINT", "INTEGER", "HUGEINT")


def as_type(node: exp.Expr, _: Collection[str]) -> exp.Expr:
    """Types that DuckDB lacks, or means otherwise: a name of a relation is its text; NUMERIC without digits keeps them all."""
    to = node.args["to"]
    if to.this is exp.DType.DECIMAL and not to.expressions:
        return cast(node.this, "DOUBLE")
    if to.this is exp.DType.FLOAT and not to.expressions:
        return cast(node.this, "DOUBLE")
    if to.sql().upper() in ("REGCLASS", "OID", "NAME"):
        return node.this  # type: ignore[no-any-return]
    return node


def like(node: exp.Expr, _: Collection[str]) -> exp.Expr:
    """A backslash escapes in PostgreSQL."""
    if isinstance(node.parent, exp.Escape) or "\\" not in text_of(node.expression):
        return node
    return exp.Escape(this=node.copy(), expression=exp.Literal.string("\\"))


def similar(node: exp.Expr, _: Collection[str]) -> exp.Expr:
    """% and _ are wild in SQL's own regular expressions, and a dot is a dot."""
    pattern = text_of(node.expression)
    if not pattern:
        return node
    told = "".join({"%": ".*", "_": ".", ".": r"\.", "^": r"\^", "$": r"\$"}.get(one, one) for one in pattern)
    return call("regexp_full_match", node.this, exp.Literal.string(told))


def to_char(node: exp.Expr, _: Collection[str]) -> exp.Expr:
    """A time as a text, by a pattern."""
    if len(node.expressions) != 2 or not text_of(node.expressions[1]):
        return node
    return call("strftime", node.expressions[0], exp.Literal.string(patterned("to_char", text_of(node.expressions[1]))))


def from_text(node: exp.Expr, _: Collection[str]) -> exp.Expr:
    """`to_date` and `to_timestamp` of a text and its pattern; a number is seconds since 1970."""
    if len(node.expressions) != 2 or not text_of(node.expressions[1]):
        return node
    pattern = exp.Literal.string(patterned(node.name.lower(), text_of(node.expressions[1])))
    return cast(call("strptime", node.expressions[0], pattern), "DATE" if node.name.lower() == "to_date" else "TIMESTAMPTZ")


def patterned(function: str, pattern: str) -> str:
    """A pattern of strftime's. Raises `QueryError` for one that it cannot say."""
    made = ""
    for found in PATTERN.finditer(pattern):
        word = found[0]
        if found[1] is not None:
            made += found[1].replace("%", "%%")
        elif known := PATTERNS.get(word) or PATTERNS.get(word.upper()):
            made += known
        elif re.search(r"[A-Za-z09]", word):
            raise QueryError(
                f"{function}(…, '{pattern}') is not translated: DuckDB's strftime has nothing for {word!r}; nothing was run. "
                "Write strftime(x, '%Y-%m-%d') with its own patterns, or format('{:.2f}', x) for a number."
            )
        else:
            made += word.replace("%", "%%")
    return made


def date(node: exp.Expr, _: Collection[str]) -> exp.Expr:
    """A day of New York's."""
    return cast(node.expressions[0], "DATE") if len(node.expressions) == 1 else node


def div(node: exp.Expr, _: Collection[str]) -> exp.Expr:
    """A quotient without its fraction."""
    return call("trunc", divided(*node.expressions)) if len(node.expressions) == 2 else node


def renamed(name: str, arguments: int | None = None) -> Callable[[exp.Expr, Collection[str]], exp.Expr]:
    """A call under another name, with so many of its arguments."""
    return lambda node, _: call(name, *node.expressions[:arguments])


def show_chunks(node: exp.Expr, _: Collection[str]) -> exp.Expr:
    """The chunks of a table, a row for each; in a FROM they are a table, which `of_table` makes."""
    return node if isinstance(node.parent, exp.Table) else call("unnest", exp.Array(expressions=[chunks(node).unnest()]))


def chunks(node: exp.Expr) -> exp.Expr:
    """The chunks of a table, which `timescaledb_information.chunks` lists."""
    named = {one.this.name.lower(): one.expression for one in node.expressions if isinstance(one, exp.Kwarg | exp.PropertyEQ)}
    table = text_of(node.expressions[0]) if node.expressions else ""
    bounds = [f"range_end <= now() - ({one.sql('duckdb')})" for key, one in named.items() if key == "older_than"]
    bounds += [f"range_start >= now() - ({one.sql('duckdb')})" for key, one in named.items() if key == "newer_than"]
    schema, _dot, name = table.rpartition(".")
    tests = [f"hypertable_name = {exp.Literal.string(name.strip(chr(34))).sql()}", *bounds]
    tests += [f"hypertable_schema = {exp.Literal.string(schema).sql()}"] * bool(schema)
    return sqlglot.parse_one(
        "(SELECT chunk_schema || '.' || chunk_name AS show_chunks FROM timescaledb_information.chunks "
        f"WHERE {' AND '.join(tests)} ORDER BY range_start)",
        read="duckdb",
    )


def of_table(node: exp.Expr, _: Collection[str]) -> exp.Expr:
    """`show_chunks(…)` in a FROM, and a series under a name, whose column has that name, too."""
    function = node.this
    alias = node.args.get("alias")
    if isinstance(function, exp.Anonymous) and function.name.lower() == "show_chunks":
        made = chunks(function)
        name = alias.this if alias is not None else exp.to_identifier("show_chunks")
        return exp.Subquery(this=made.unnest(), alias=exp.TableAlias(this=name, columns=[name.copy()]))
    if isinstance(function, exp.GenerateSeries) and alias is not None and alias.this is not None and not alias.args.get("columns"):
        alias.set("columns", [alias.this.copy()])
    return node


def any_of(node: exp.Expr, _: Collection[str]) -> exp.Expr:
    """`= ANY('{a,b}')`, `<> ALL('{a,b}')`: an array as a text is a list."""
    inner = node.expressions[0] if isinstance(node, exp.Anonymous) else node.this.unnest()
    if (told := text_of(inner)) and (inside := re.fullmatch(r"\{(.*)\}", told)):
        values = [one.strip().strip('"') for one in inside[1].split(",")] if inside[1] else []
        numbers = all(re.fullmatch(r"-?\d+(\.\d+)?", one) for one in values)
        items = [exp.Literal.number(one) if numbers else exp.Literal.string(one) for one in values]
        made = exp.Array(expressions=items)
        return call(node.name, made) if isinstance(node, exp.Anonymous) else exp.Any(this=exp.Paren(this=made))
    return node


def path_of(node: exp.Expr, _: Collection[str]) -> exp.Expr:
    """`#>>` and `#>`: a path as an array's text."""
    inside = re.fullmatch(r"\{(.*)\}", text_of(node.expression))
    if not inside:
        return node
    path = "$" + "".join(f"[{one}]" if one.isdigit() else f".{one.strip()}" for one in inside[1].split(","))
    return call("json_extract_string" if isinstance(node, exp.JSONBExtractScalar) else "json_extract", node.this, exp.Literal.string(path))


def json_contains(node: exp.Expr, _: Collection[str]) -> exp.Expr:
    """`@>` with an object or a list of JSON on its right."""
    return call("json_contains", node.this, node.expression) if text_of(node.expression)[:1] in ("{", "[") else node


def within(node: exp.Expr, _: Collection[str]) -> exp.Expr:
    """`mode() WITHIN GROUP (ORDER BY x)`."""
    order = node.expression
    if isinstance(node.this, exp.Mode) and node.this.this is None and isinstance(order, exp.Order):
        return call("mode", order.expressions[0].this)
    return node


NODES: dict[type[exp.Expr], Callable[[exp.Expr, Collection[str]], exp.Expr]] = {
    exp.Anonymous: anonymous,
    exp.First: first_last,
    exp.Last: first_last,
    exp.Div: divide,
    exp.Cast: as_type,
    exp.TryCast: as_type,
    exp.Like: like,
    exp.ILike: like,
    exp.SimilarTo: similar,
    exp.Table: of_table,
    exp.Any: any_of,
    exp.JSONBExtract: path_of,
    exp.JSONBExtractScalar: path_of,
    exp.ArrayContainsAll: json_contains,
    exp.Ordered: ordered,
    exp.WithinGroup: within,
}
FUNCTIONS: dict[str, Callable[[exp.Expr, Collection[str]], exp.Expr]] = {
    "all": any_of,
    "time_bucket": time_bucket,
    "to_char": to_char,
    "to_date": from_text,
    "to_timestamp": from_text,
    "date": date,
    "div": div,
    "show_chunks": show_chunks,
    "pg_size_pretty": renamed("lake_size_pretty"),
    "pg_database_size": renamed("lake_database_size", 0),
    "pg_total_relation_size": renamed("lake_relation_size", 1),
    "pg_relation_size": renamed("lake_relation_size", 1),
    "pg_table_size": renamed("lake_relation_size", 1),
    "hypertable_size": renamed("lake_relation_size", 1),
    "to_regclass": lambda node, _: node.expressions[0],
    "quote_ident": lambda node, _: node.expressions[0],
    "gen_random_uuid": renamed("uuid", 0),
}

# Functions that are read for what they are, and give a column its name.
TITLED = (
    exp.AggFunc, exp.Case, exp.Ceil, exp.Coalesce, exp.Exists, exp.Extract, exp.Floor, exp.Greatest, exp.Least, exp.Nullif, exp.Round,
)  # fmt: skip
OURS = frozenset(name for name in FUNCTIONS if name.startswith(("pg_", "hyper", "show_", "time_")))


def titled(select: exp.Select) -> None:
    """Call columns that are functions or casts as PostgreSQL does, where the name is nobody else's: by the function, by the column."""
    if several(select) or any(isinstance(one, exp.Star) for one in select.expressions):
        return
    names = [one.alias_or_name for one in select.expressions if isinstance(one, exp.Alias | exp.Column)]
    made: list[tuple[int, str]] = []
    for n, one in enumerate(select.expressions):
        inner = one.this if isinstance(one, exp.Window | exp.Filter | exp.WithinGroup) else one
        if isinstance(one, exp.Cast) and isinstance(one.this, exp.Column):
            made.append((n, one.this.name))
        elif isinstance(inner, exp.Anonymous):
            made.append((n, inner.name.lower()))
        elif isinstance(inner, TITLED) and not isinstance(one, exp.Alias):
            made.append((n, {"groupconcat": "string_agg"}.get(inner.key, inner.sql_name().lower())))
    told = [name for _, name in made]
    for n, name in made:
        if told.count(name) == 1 and name not in names:
            select.expressions[n].replace(exp.alias_(select.expressions[n].copy(), name, quoted=not name.isidentifier()))
