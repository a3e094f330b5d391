"""What DuckDB's SQL means that Spark's says otherwise: a rule for each kind of node, over a tree whose types are known.

Instants stay instants (`TIMESTAMP` in Spark, `TIMESTAMPTZ` in DuckDB), times without a zone stay such (`TIMESTAMP_NTZ`). Where both engines know a
function of one name that differ in the corners (NULL, an empty list, division by zero, which weekday is the first), DuckDB's answer is written out.
"""

from collections.abc import Callable
from typing import Any

from sqlglot import exp
from sqlglot.expressions import DataType

from workbench.cluster.corners import CORNERS, key_of, shown
from workbench.cluster.formats import formatted, printed, read_time, written_time
from workbench.cluster.times import apart, at_time_zone, bucketed, epoch, extracted, micros_of, passed, spelled, truncated
from workbench.cluster.words import BROKEN, INSTANTS, LISTED, SPANS, WHOLE, NotTranslated, as_type, call, raw, text, type_of, typed

# What whole numbers are called where they are cast to from texts.
SPARKS = {"UTINYINT": "SMALLINT", "USMALLINT": "INT", "UINT": "BIGINT"}

# ---------------------------------------------------------------------- arithmetic


def added(node: exp.Add) -> exp.Expr:
    """`+` where a date is one side."""
    left, right = type_of(node.this), type_of(node.expression)
    if right == "DATE" and left != "DATE":
        return added(exp.Add(this=node.expression, expression=node.this))
    if left == "DATE":
        if right in WHOLE:
            return typed(call("date_add", node.this, as_int(node.expression)), "DATE")
        if right == "TIME" or (isinstance(node.expression, exp.Cast) and node.expression.to.this.name == "TIME"):
            told = node.expression.this if isinstance(node.expression, exp.Cast) else node.expression
            shown = call("concat", as_type(node.this, "STRING"), "' '", told)
            return typed(as_type(shown, "TIMESTAMP_NTZ"), "TIMESTAMPNTZ")
        if right == "INTERVAL" or isinstance(node.expression, exp.Interval):
            return typed(exp.Add(this=as_type(node.this, "TIMESTAMP_NTZ"), expression=node.expression.copy()), "TIMESTAMPNTZ")
    if left in INSTANTS and (micros := passed(node.expression)):
        return typed(call("timestamp_micros", f"unix_micros({text(node.this)}) + {micros}"), "TIMESTAMPTZ")
    return node


def taken(node: exp.Sub) -> exp.Expr:
    """`-` where a date is one side."""
    left, right = type_of(node.this), type_of(node.expression)
    if left == "DATE" and right == "DATE":
        return typed(call("datediff", node.this, node.expression), "BIGINT")
    if left == "DATE" and right in WHOLE:
        return typed(call("date_sub", node.this, as_int(node.expression)), "DATE")
    if left == "DATE" and (right == "INTERVAL" or isinstance(node.expression, exp.Interval)):
        return typed(exp.Sub(this=as_type(node.this, "TIMESTAMP_NTZ"), expression=node.expression.copy()), "TIMESTAMPNTZ")
    if left in INSTANTS and (micros := passed(node.expression)):
        return typed(call("timestamp_micros", f"unix_micros({text(node.this)}) - {micros}"), "TIMESTAMPTZ")
    return node


def as_int(node: exp.Expr) -> exp.Expr:
    """A number of days as Spark's dates take it."""
    return node if isinstance(node, exp.Literal) else as_type(node, "INT")


def divided(node: exp.Div) -> exp.Expr:
    """`/`: of floating numbers always, and by zero as IEEE has it. A number that is written out is a decimal to Spark, of which it would keep few places."""
    above, below = (as_type(one, "DOUBLE") for one in (node.this, node.expression))
    if (isinstance(node.expression, exp.Literal) and float(node.expression.name)) or isinstance(node.expression.unnest(), exp.Nullif):
        return typed(exp.Paren(this=exp.Div(this=exp.Paren(this=above), expression=exp.Paren(this=below))), "DOUBLE")
    by_zero = exp.Mul(this=exp.Paren(this=above.copy()), expression=raw(f"CASE WHEN {text(below)} = 0 THEN DOUBLE('Infinity') END"))
    return typed(call("coalesce", call("try_divide", above, below), by_zero), "DOUBLE")


def cast(node: exp.Cast) -> exp.Expr:
    """Casts whose rounding, or target, Spark has otherwise."""
    target, kind = node.to.this, type_of(node.this)
    name = target.name if isinstance(target, DataType.Type) else ""
    tried = "try_cast" if isinstance(node, exp.TryCast) else "cast"
    if name == "UUID":
        if kind == "UUID":
            return typed(node.this.copy(), "UUID")
        dashed = f"regexp_replace(lower({text(node.this)}), '^(.{{8}})-?(.{{4}})-?(.{{4}})-?(.{{4}})-?(.{{12}})$', '$1-$2-$3-$4-$5')"
        return typed(raw(dashed), "UUID")
    if name == "JSON":
        return typed(as_type(node.this, "STRING"), "VARCHAR")
    if name in ("INT128", "UINT128", "UBIGINT"):
        return typed(exp.Anonymous(this=tried, expressions=[exp.Alias(this=node.this.copy(), alias=exp.Var(this="DECIMAL(38, 0)"))]), name)
    if name == "TIME" and isinstance(node.parent, exp.Add):
        # Its sum with a date is what counts.
        return node
    if name == "INTERVAL" and isinstance(node.this, exp.Null):
        return typed(as_type(node.this, "INTERVAL DAY TO SECOND"), "INTERVAL")
    if name == "INTERVAL" and (count := spelled(node)):
        return typed(raw(f"INTERVAL '{count[0]}' {count[1]}"), "INTERVAL")
    if name == "TIME" or (name == "INTERVAL" and kind == "VARCHAR"):
        raise NotTranslated(f"a cast to {name}")
    if name in ("VARCHAR", "TEXT") and kind in (*BROKEN, *INSTANTS, *LISTED, "STRUCT", "MAP", "INTERVAL"):
        return shown(node.this)
    if name in WHOLE and kind in ("VARCHAR", "TEXT"):
        # Texts with a fraction, or a power of ten, are rounded.
        told = f"{tried}(round({tried}({text(node.this)} AS DECIMAL(38, 18))) AS {SPARKS.get(name, name)})"
        return typed(raw(told), name)
    if name in WHOLE and (kind in BROKEN or kind == "DECIMAL"):
        node.set("this", call("rint" if kind in BROKEN else "round", node.this))
    return node


# ---------------------------------------------------------------------- lists, aggregates, texts


def placed(node: exp.Bracket) -> exp.Expr:
    """`list[n]`, `struct['field']` and `map[key]`: NULL for what is not there."""
    if len(node.expressions) != 1 or isinstance(node.expressions[0], exp.Slice):
        raise NotTranslated("a slice of a list")
    [at] = node.expressions
    if (hashed := at.find(exp.Anonymous)) and hashed.name.lower() == "hash":
        # Kept by the hash in DuckDB, by the text itself where it was handed to Spark.
        return call("try_element_at", node.this, hashed.expressions[0])
    if type_of(node.this) == "MAP":
        return call("try_element_at", node.this, at)
    if isinstance(at, exp.Literal) and at.is_string:
        return exp.Dot(this=node.this.copy(), expression=exp.to_identifier(at.name, quoted=True))
    if isinstance(at, exp.Literal):
        return call("get", node.this, exp.Sub(this=as_type(at, "INT"), expression=raw("1")))
    # Which may be below zero, and counts from the end then.
    return call("try_element_at", node.this, call("nullif", as_type(at, "INT"), 0))


def joined(node: exp.Concat | exp.DPipe) -> exp.Expr:
    """`concat`, which leaves NULL out, and `||`, which does not; of numbers their text."""
    parts = node.expressions if isinstance(node, exp.Concat) else [node.this, node.expression]
    if isinstance(node, exp.DPipe) and all(type_of(one) in LISTED for one in parts):
        return typed(call("concat", *parts), type_of(node.this))
    texts = [one.copy() if type_of(one) == "VARCHAR" else shown(one) for one in parts]
    return typed(call("concat", *(call("coalesce", one, "''") if isinstance(node, exp.Concat) else one for one in texts)), "VARCHAR")


def least(node: exp.ArgMin | exp.ArgMax) -> exp.Expr:
    """`arg_min` and `arg_max`: of rows in which neither side is NULL."""
    if node.args.get("count") is not None:
        raise NotTranslated(f"{'arg_min' if isinstance(node, exp.ArgMin) else 'arg_max'} of several rows")
    name = "min_by" if isinstance(node, exp.ArgMin) else "max_by"
    key = as_struct(node.expression)
    kept = call("if", exp.Is(this=node.this.copy(), expression=exp.Null()), "NULL", key)
    return call(name, node.this, kept)


def as_struct(node: exp.Expr) -> exp.Expr:
    """Several values that are compared as one."""
    return call("struct", *node.expressions) if isinstance(node, exp.Tuple) else node


def unordered(node: exp.Expr) -> exp.Expr:
    """An aggregate of numbers told in an order, which only its last digits depend on."""
    if isinstance(node.this, exp.Order):
        node.set("this", node.this.this.copy())
    if isinstance(node, exp.Avg):
        node.set("this", as_type(node.this, "DOUBLE"))
    return node


def gathered(node: exp.ArrayAgg) -> exp.Expr:
    """`list(x ORDER BY y)`: NULLs are among it, and of no rows it is NULL."""
    of, keys, down = node.this, [], False
    if isinstance(of, exp.Order):
        keys, of = of.expressions, of.this
        downs = {bool(key.args.get("desc")) for key in keys}
        if len(downs) > 1:
            raise NotTranslated("a list in an order both ascending and descending")
        down = downs.pop()
    if isinstance(of, exp.Distinct):
        return call("nullif", call("collect_set", of.expressions[0]), "array()")
    parts = [part for n, key in enumerate(keys) for part in (f"{key_of(key)} AS n{n}", f"{text(key.this)} AS k{n}")]
    held = call("collect_list", f"struct({', '.join([*parts, text(of) + ' AS v'])})")
    listed = call("sort_array", held, str(not down).lower()) if keys else held
    return call("nullif", call("transform", listed, "one -> one.v"), "array()")


def product(held: exp.Expr) -> exp.Expr:
    """The product of a list of numbers; NULL of none."""
    return typed(call("aggregate", held, "CAST(NULL AS DOUBLE)", "(one, other) -> coalesce(one, 1D) * other"), "DOUBLE")


def over(node: exp.Window | exp.Filter) -> exp.Expr:
    """A window or a condition of an aggregate that is a function of a gathered list: it is the list's."""
    if isinstance(node.this, exp.Anonymous) and node.this.name in ("aggregate", "nullif") and node.this.find(exp.Anonymous):
        made = node.this.copy()
        for gathered_ in made.find_all(exp.Anonymous):
            if gathered_.name in ("collect_list", "collect_set"):
                held = node.copy()
                held.set("this", gathered_.copy())
                gathered_.replace(held)
                return made
    return node


def series(node: exp.GenerateSeries) -> exp.Expr:
    """`generate_series` and `range`: empty where the end is before the start. sqlglot tells a range by its `is_end_exclusive`."""
    first, last, step = node.args["start"], node.args["end"], node.args.get("step")
    if type_of(first) == "DATE" and step is not None:
        # Which are times of day in DuckDB, too.
        first, last = (as_type(one, "TIMESTAMP_NTZ") for one in (first, last))
    start, end = (text(one) for one in (first, last))
    if node.args.get("is_end_exclusive"):
        end = f"({end}) - 1" if step is None else end
        if step is not None:
            raise NotTranslated("range by a step")
    if step is not None and type_of(step) != "INTERVAL" and not isinstance(step, exp.Interval | exp.Literal):
        raise NotTranslated("a series by a step that may be below zero")
    by = f", {text(step)}" if step is not None else ""
    none = f"WHEN ({start}) > ({end}) THEN filter(array({start}), one -> false)" * (not isinstance(node.parent, exp.Table))
    backwards = f"CASE WHEN ({start}) <= ({end}) THEN sequence({start}, {end}{by}) {none} END".replace("  ", " ")
    # Of which a relation has a row each.
    return call("explode", backwards) if isinstance(node.parent, exp.Table) else raw(backwards)


def anonymous(node: exp.Anonymous) -> exp.Expr:
    """Functions that sqlglot knows in no database, or only by name."""
    name, given = node.name.lower(), node.expressions
    if made := FUNCTIONS.get(name):
        return made(*given)
    match name:
        case "printf":
            return printed(node)
        case "to_seconds" | "to_minutes" | "to_hours" | "to_days":
            return typed(call("make_dt_interval", *(["0"] * SPANS[name]), given[0]), "INTERVAL")
        case "to_microseconds":
            return typed(call("make_dt_interval", 0, 0, 0, f"CAST({text(given[0])} AS DECIMAL(18, 6)) / 1000000"), "INTERVAL")
        case "to_months" | "to_years":
            return typed(raw(f"make_ym_interval({'0, ' * (name == 'to_months')}{text(given[0])})"), "INTERVAL")
        case "timezone":
            return at_time_zone(exp.AtTimeZone(this=given[1], zone=given[0]))
        case "date_part" | "datepart":
            return extracted(given[0].name, given[1])
        case "hash":
            if node.find_ancestor(exp.Bracket):
                return node
            raise NotTranslated("hash(), whose values are DuckDB's own")
    return node


def numbered(of: exp.Expr) -> exp.Expr:
    """`md5_number_lower`: the last eight bytes of a digest, told from the least."""
    digits = f"substring(md5({text(of)}), 17, 16)"
    turned = ", ".join(f"substring({digits}, {at}, 2)" for at in range(15, 0, -2))
    return typed(raw(f"CAST(conv(concat({turned}), 16, 10) AS DECIMAL(20, 0))"), "UBIGINT")


def counted(node: exp.Length) -> exp.Expr:
    """`len` and `length`, of lists as of texts."""
    of = node.this.unnest()
    listed = isinstance(of, exp.Array | exp.ArrayFilter | exp.Transform) or (isinstance(of, exp.Anonymous) and of.name in LISTS)
    return typed(call("array_size", node.this), "BIGINT") if listed or type_of(of) in ("ARRAY", "LIST") else node


def compared(node: exp.EQ | exp.NEQ) -> exp.Expr:
    """`=` and `<>` of a truth and a number, which is 0 or 1."""
    for side, other in (("this", "expression"), ("expression", "this")):
        if type_of(node.args[side]) == "BOOLEAN" and type_of(node.args[other]) in (*WHOLE, *BROKEN):
            node.set(side, as_type(node.args[side], "INT"))
    return node


def fully(told: exp.Expr, form: exp.Expr) -> exp.Expr:
    """`regexp_full_match`."""
    return typed(exp.Paren(this=exp.RegexpLike(this=told.copy(), expression=call("concat", "'^(?:'", form, "')$'"))), "BOOLEAN")


FUNCTIONS: dict[str, Callable[..., exp.Expr]] = {
    "arg_min_null": lambda one, key: call("min_by", one, as_struct(key)),
    "arg_max_null": lambda one, key: call("max_by", one, as_struct(key)),
    "epoch_us": micros_of,
    "time_bucket": bucketed,
    "epoch_ms": lambda of: typed(raw(f"({text(micros_of(of))} DIV 1000)"), "BIGINT"),
    "epoch_ns": lambda of: typed(raw(f"({text(micros_of(of))} * 1000)"), "BIGINT"),
    "isfinite": lambda of: typed(raw(f"(abs({text(of)}) < DOUBLE('Infinity'))"), "BOOLEAN"),
    "list_position": lambda held, one: typed(call("nullif", call("array_position", held, one), 0), "BIGINT"),
    "list_product": lambda held: product(held),
    "product": lambda of: product(call("collect_list", of)),
    "md5_number_lower": numbered,
    "error": lambda told: call("raise_error", told),
    "isodow": lambda of: extracted("isodow", of),
    "dayofweek": lambda of: extracted("dow", of),
    "weekday": lambda of: extracted("dow", of),
    "epoch": epoch,
    "regexp_full_match": fully,
    "make_timestamptz": lambda of: typed(call("timestamp_micros", of), "TIMESTAMPTZ"),
    "today": lambda: typed(call("current_date"), "DATE"),
    "get_current_timestamp": lambda: typed(call("now"), "TIMESTAMPTZ"),
    "ifnull": lambda one, other: call("coalesce", one, other),
}

# Calls of Spark's that give lists.
LISTS = ("transform", "filter", "flatten", "array", "sort_array", "sequence")
# What the results of functions are that sqlglot does not know.
TYPES = {
    "epoch_us": "BIGINT",
    "epoch_ms": "BIGINT",
    "epoch_ns": "BIGINT",
    "list_product": "DOUBLE",
    "product": "DOUBLE",
    "md5_number_lower": "UBIGINT",
}
TYPES |= {
    "printf": "VARCHAR",
    "list_position": "INT",
    "now": "TIMESTAMPTZ",
    "md5": "VARCHAR",
    "date_part": "BIGINT",
    "today": "DATE",
    "isfinite": "BOOLEAN",
}

RULES: dict[type[exp.Expr], Callable[[Any], exp.Expr]] = {
    **CORNERS,
    exp.AtTimeZone: at_time_zone,
    exp.TimestampTrunc: truncated,
    exp.DateTrunc: truncated,
    exp.DateDiff: apart,
    exp.Extract: lambda node: extracted(node.this.name, node.expression),
    exp.TimeToUnix: lambda node: epoch(node.this),
    exp.DayOfWeekIso: lambda node: extracted("isodow", node.this),
    exp.Dayname: lambda node: typed(call("date_format", node.this, "'EEEE'"), "VARCHAR"),
    exp.Monthname: lambda node: typed(call("date_format", node.this, "'MMMM'"), "VARCHAR"),
    exp.TimeToStr: lambda node: written_time(node.this, node.args["format"]),
    exp.StrToTime: lambda node: read_time(node.this, node.args["format"]),
    exp.TimestampFromParts: lambda node: typed(call("make_timestamp_ntz", *node.args.values()), "TIMESTAMP"),
    exp.DayOfWeek: lambda node: extracted("dow", node.this),
    exp.RegexpFullMatch: lambda node: fully(node.this, node.expression),
    exp.Format: lambda node: formatted(node.this, *node.expressions),
    exp.Length: counted,
    exp.EQ: compared,
    exp.NEQ: compared,
    exp.Add: added,
    exp.Sub: taken,
    exp.Div: divided,
    exp.Cast: cast,
    exp.TryCast: cast,
    exp.Bracket: placed,
    exp.Concat: joined,
    exp.DPipe: joined,
    exp.ArgMin: least,
    exp.ArgMax: least,
    exp.Sum: unordered,
    exp.Avg: unordered,
    exp.Stddev: unordered,
    exp.StddevSamp: unordered,
    exp.ArrayAgg: gathered,
    exp.GenerateSeries: series,
    exp.Anonymous: anonymous,
    exp.Window: over,
    exp.Filter: over,
}
