"""What DuckDB's SQL means that Spark's says otherwise: a rule for each kind of node, over a tree whose types are known.

Instants stay instants (`TIMESTAMP` in Spark, `TIMESTAMPTZ` in DuckDB), times without a zone stay such (`TIMESTAMP_NTZ`). Where both engines know a
function of one name that differ in the corners (NULL, an empty list, division by zero, which weekday is the first), DuckDB's answer is written out.
"""

import re
from collections.abc import Callable
from typing import Any

from sqlglot import exp
from sqlglot.expressions import DataType

from workbench.cluster.times import apart, at_time_zone, bucketed, epoch, extracted, micros_of, spelled, truncated
from workbench.cluster.words import BROKEN, SPANS, WHOLE, NotTranslated, as_type, call, raw, text, type_of, typed

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
    return node


def as_int(node: exp.Expr) -> exp.Expr:
    """A number of days as Spark's dates take it."""
    return node if isinstance(node, exp.Literal) else as_type(node, "INT")


def divided(node: exp.Div) -> exp.Expr:
    """`/`: of floating numbers always, and by zero as IEEE has it."""
    above, below = (as_type(one, "DOUBLE") if type_of(one) not in BROKEN else one.copy() for one in (node.this, node.expression))
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
    return call("get", node.this, exp.Sub(this=as_type(at, "INT"), expression=raw("1")))


def joined(node: exp.Concat | exp.DPipe) -> exp.Expr:
    """`concat`, which leaves NULL out, and `||`, which does not; of numbers their text."""
    parts = node.expressions if isinstance(node, exp.Concat) else [node.this, node.expression]
    texts = [one.copy() if type_of(one) == "VARCHAR" else as_type(one, "STRING") for one in parts]
    return typed(call("concat", *(call("coalesce", one, "''") if isinstance(node, exp.Concat) else one for one in texts)), "VARCHAR")


def shifted(node: exp.BitwiseRightShift) -> exp.Expr:
    """`>>`, of numbers too great for Spark's shifts as well."""
    if isinstance(node.expression, exp.Literal) and (n := int(node.expression.name)):
        return typed(raw(f"(({text(node.this)}) DIV {2**n})"), "BIGINT")
    return node


def least(node: exp.ArgMin | exp.ArgMax) -> exp.Expr:
    """`arg_min` and `arg_max`: of rows in which neither side is NULL."""
    name = "min_by" if isinstance(node, exp.ArgMin) else "max_by"
    key = as_struct(node.expression)
    kept = call("if", exp.Is(this=node.this.copy(), expression=exp.Null()), "NULL", key)
    return call(name, node.this, kept)


def as_struct(node: exp.Expr) -> exp.Expr:
    """Several values that are compared as one."""
    return call("struct", *node.expressions) if isinstance(node, exp.Tuple) else node


def first_of(node: exp.First | exp.Last) -> exp.Expr:
    """`first(x ORDER BY y)`."""
    if not isinstance(node.this, exp.Order):
        return node
    keys = node.this.expressions
    if len(keys) != 1:
        raise NotTranslated(f"{node.key} in the order of several columns")
    down = bool(keys[0].args.get("desc")) != isinstance(node, exp.Last)
    return call("max_by" if down else "min_by", node.this.this, keys[0].this)


def unordered(node: exp.Expr) -> exp.Expr:
    """An aggregate of numbers told in an order, which only its last digits depend on."""
    if isinstance(node.this, exp.Order):
        node.set("this", node.this.this.copy())
    if isinstance(node, exp.Avg) and type_of(node.this) not in BROKEN:
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
    parts = [f"{text(key.this)} AS k{n}" for n, key in enumerate(keys)]
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


def printed(node: exp.Anonymous) -> exp.Expr:
    """`printf` with texts and `%.10g`, which Java's formats do otherwise: ten digits that count, and no zeros after them."""
    form, values = node.expressions[0], [text(one) for one in node.expressions[1:]]
    if not (isinstance(form, exp.Literal) and form.is_string):
        raise NotTranslated("printf in a form that is not a constant")
    told = [
        f"regexp_replace(CAST(TRY_CAST(format_string('%.9e', CAST({one} AS DOUBLE)) AS DECIMAL(38, 18)) AS STRING), '\\\\.?0+$', '')"
        if piece == "%.10g"
        else one
        for piece, one in zip(pieces(form.name), values, strict=True)
    ]
    made = text(call("format_string", exp.Literal.string(form.name.replace("%.10g", "%s")), *told))
    return typed(raw(f"CASE WHEN {' AND '.join(f'{one} IS NOT NULL' for one in values)} THEN {made} END"), "VARCHAR")


def pieces(form: str) -> list[str]:
    """The places of a form of `printf`."""
    found = re.findall(r"%[-+0 #]*\d*(?:\.\d+)?[a-zA-Z]", form)
    if odd := [one for one in found if one.endswith("g") and one != "%.10g"]:
        raise NotTranslated(f"printf with {odd[0]}")
    return found


def formatted(form: exp.Expr, *values: exp.Expr) -> exp.Expr:
    """`format`: texts and whole numbers as `{}`, numbers as `{:g}`, `{:.3g}`, `{:.1f}` and `{:,.0f}`."""
    if not (isinstance(form, exp.Literal) and form.is_string):
        raise NotTranslated("format in a form that is not a constant")
    parts = re.split(r"\{([^{}]*)\}", form.name)
    if len(parts) != 2 * len(values) + 1:
        raise NotTranslated("format with places that are numbered, or brackets of its own")
    told = [text(exp.Literal.string(parts[0]))]
    for one, place, after in zip(values, parts[1::2], parts[2::2], strict=True):
        told += [in_place(one, place), text(exp.Literal.string(after))]
    return typed(call("concat", *told), "VARCHAR")


def in_place(value: exp.Expr, place: str) -> str:
    """A value as a place of `format` shows it."""
    told = f"CAST({text(value)} AS DOUBLE)"
    if not place and type_of(value) not in BROKEN:
        return f"CAST({text(value)} AS STRING)"
    if place == ":," and type_of(value) in WHOLE:
        return f"format_string('%,d', {text(value)})"
    if found := re.fullmatch(r":(,?)\.(\d+)f", place):
        return f"CASE WHEN {told} IS NOT NULL THEN format_string('%{found[1]}.{found[2]}f', {told}) END"
    if not (found := re.fullmatch(r":(?:\.([1-9]))?g", place)):
        raise NotTranslated(f"format with {{{place}}} of {type_of(value) or 'a type that is not known'}")
    digits = int(found[1] or 6)
    shown = f"format_string('%.{digits - 1}e', {told})"
    power = f"CAST(substring_index({shown}, 'e', -1) AS INT)"
    bare = "regexp_replace({}, '[.]0+$|([.][0-9]*?[1-9])0+$', '$1')"
    plainly = bare.format(f"CAST(CAST({shown} AS DECIMAL(38, 18)) AS STRING)")
    mantissa = bare.format(f"substring_index({shown}, 'e', 1)")
    return (
        f"CASE WHEN {told} = 0 THEN '0' WHEN isnan({told}) THEN 'nan' WHEN abs({told}) = DOUBLE('Infinity') THEN if({told} > 0, 'inf', '-inf') "
        f"WHEN {told} IS NULL THEN NULL WHEN {power} BETWEEN -4 AND {digits - 1} THEN {plainly} "
        f"ELSE concat({mantissa}, 'e', substring_index({shown}, 'e', -1)) END"
    )


def series(node: exp.GenerateSeries) -> exp.Expr:
    """`generate_series` and `range`: empty where the end is before the start. sqlglot tells a range by its `is_end_exclusive`."""
    first, last, step = node.args["start"], node.args["end"], node.args.get("step")
    start, end = (text(one) for one in (first, last))
    if node.args.get("is_end_exclusive"):
        end = f"({end}) - 1" if step is None else end
        if step is not None:
            raise NotTranslated("range by a step")
    by = f", {text(step)}" if step is not None else ""
    backwards = f"CASE WHEN ({start}) <= ({end}) THEN sequence({start}, {end}{by}) END"
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
    exp.AtTimeZone: at_time_zone,
    exp.TimestampTrunc: truncated,
    exp.DateTrunc: truncated,
    exp.DateDiff: apart,
    exp.Extract: lambda node: extracted(node.this.name, node.expression),
    exp.TimeToUnix: lambda node: epoch(node.this),
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
    exp.BitwiseRightShift: shifted,
    exp.ArgMin: least,
    exp.ArgMax: least,
    exp.First: first_of,
    exp.Last: first_of,
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
