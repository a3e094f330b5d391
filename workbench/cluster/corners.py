"""Numbers, texts and aggregates that both engines have under one name, and that are not the same in the corners."""

import re
from typing import Any

from sqlglot import exp

from workbench.cluster.words import BROKEN, INSTANTS, LISTED, WHOLE, NotTranslated, as_type, call, raw, text, type_of, typed

UNSIGNED = ("UTINYINT", "USMALLINT", "UINT", "UBIGINT", "UINT128")


def once(of: exp.Expr, told: str) -> exp.Expr:
    """An expression of a value that is called `v` in it, which is told once: it may be long, or a query."""
    return call("get", call("transform", call("array", of), f"v -> {told}"), "0")


# ---------------------------------------------------------------------- numbers


def whole_part(node: exp.IntDiv) -> exp.Expr:
    """`//`, towards zero of whole numbers; of others DuckDB's has a fraction, and Spark's has none."""
    # Of floating numbers whose type is not known, Spark itself refuses it.
    if any(type_of(one) in (*BROKEN, "DECIMAL") for one in (node.this, node.expression)):
        raise NotTranslated("// of numbers that are not whole; write floor(a / b), or trunc(a / b)")
    return node


def rounded(node: exp.Round) -> exp.Expr:
    """`round` to places: of floating numbers DuckDB rounds what stands in the machine, and Spark the number that is shown."""
    places = node.args.get("decimals")
    if places is None or type_of(node.this) not in BROKEN:
        return node
    if not re.fullmatch(r"-?\d+", told := places.sql("duckdb")):
        raise NotTranslated("round of a floating number to places that are no constant")
    by, inverse = ("*", "/") if int(told) >= 0 else ("/", "*")
    power = f"1e{abs(int(told))}D"
    return typed(exp.Paren(this=raw(f"(round(({text(as_type(node.this, 'DOUBLE'))}) {by} {power}) {inverse} {power})")), "DOUBLE")


def cut_off(node: exp.Trunc) -> exp.Expr:
    """`trunc` of a number."""
    if node.args.get("decimals") is not None:
        raise NotTranslated("trunc to places")
    return node


def logarithm(node: exp.Log) -> exp.Expr:
    """`log` of one number, which is to the base of ten."""
    return node if node.expression else typed(call("log10", node.this), "DOUBLE")


def shifted(node: exp.BitwiseRightShift) -> exp.Expr:
    """`>>`, of numbers too great for Spark's shifts as well, and of those below zero."""
    if not isinstance(node.expression, exp.Literal) or not (n := int(node.expression.name)):
        return node
    of = text(node.this)
    held = of if type_of(node.this) in UNSIGNED else f"({of}) - pmod({of}, {2**n})"
    return typed(raw(f"(({held}) DIV {2**n})"), "BIGINT")


# ---------------------------------------------------------------------- texts


def shown(node: exp.Expr) -> exp.Expr:
    """The text of a value, as DuckDB writes it."""
    kind = type_of(node)
    if kind in BROKEN:
        java = "cast(v AS STRING)"
        bare = f"cast(cast({java} AS DECIMAL(38, 18)) AS STRING)"
        plain = rf"regexp_replace(regexp_replace({bare}, '0+$', ''), '[.]$', '.0')"
        mantissa = f"regexp_replace(substring_index({java}, 'E', 1), '[.]0$', '')"
        power = f"cast(substring_index({java}, 'E', -1) AS INT)"
        signed = f"concat(if({power} < 0, 'e-', 'e+'), if(abs({power}) < 10, '0', ''), abs({power}))"
        return typed(
            once(
                node,
                f"CASE WHEN isnan(v) THEN 'nan' WHEN v = DOUBLE('Infinity') THEN 'inf' WHEN v = -DOUBLE('Infinity') THEN '-inf' WHEN v = 0 OR NOT "
                f"contains({java}, 'E') THEN {java} WHEN abs(v) >= 1e-4D AND abs(v) < 1e16D THEN {plain} ELSE concat({mantissa}, {signed}) END",
            ),
            "VARCHAR",
        )
    if kind in INSTANTS:
        return typed(once(node, "concat(cast(v AS STRING), regexp_replace(date_format(v, 'xxx'), ':00$', ''))"), "VARCHAR")
    if kind in (*LISTED, "STRUCT", "MAP", "INTERVAL"):
        raise NotTranslated(f"the text of a value of type {kind}")
    return as_type(node, "STRING")


def left_of(node: exp.Left | exp.Right) -> exp.Expr:
    """`left` and `right`: a count below zero is of what is left out."""
    of, n, name = node.this, node.expression, "left" if isinstance(node, exp.Left) else "right"
    if isinstance(n, exp.Literal):
        return node
    count, told = text(n), text(of)
    rest = f"substring({told}, 1, greatest(length({told}) + ({count}), 0))" if name == "left" else f"substring({told}, 1 - ({count}))"
    return typed(raw(f"if(({count}) >= 0, {name}({told}, {count}), {rest})"), "VARCHAR")


def part_of(node: exp.Substring) -> exp.Expr:
    """`substring` from 0, which is the place before the first letter."""
    start, length = node.args.get("start"), node.args.get("length")
    if length is None or start is None or (isinstance(start.unnest(), exp.Literal | exp.Neg) and start.name != "0"):
        return node
    at, many = text(start), text(length)
    return typed(call("substring", node.this, at, f"if(({at}) = 0, greatest(({many}) - 1, 0), {many})"), "VARCHAR")


def split(node: exp.Split) -> exp.Expr:
    """`string_split` by a text that is there."""
    if isinstance(node.expression, exp.Literal) and not node.expression.name:
        raise NotTranslated("a text split into its letters")
    return node


def flagged(pattern: exp.Expr, flags: exp.Expr | None) -> tuple[exp.Expr, str]:
    """A pattern with the flags of a call in it, and those flags."""
    told = flags.name if isinstance(flags, exp.Literal) else "" if flags is None else "?"
    if set(told) - set("gic"):
        raise NotTranslated(f"a regular expression with the flags {told}")
    return (call("concat", "'(?i)'", pattern) if "i" in told else pattern), told


def matched(node: exp.RegexpLike) -> exp.Expr:
    """`regexp_matches`, with flags."""
    if node.args.get("flag") is None:
        return node
    pattern, _ = flagged(node.expression, node.args["flag"])
    return typed(exp.RegexpLike(this=node.this.copy(), expression=pattern.copy()), "BOOLEAN")


def extracted_by(node: exp.RegexpExtract | exp.RegexpExtractAll) -> exp.Expr:
    """`regexp_extract`, without flags."""
    if node.args.get("parameters") is not None:
        raise NotTranslated("regexp_extract with flags")
    return node


def replaced_by(node: exp.RegexpReplace) -> exp.Expr:
    """`regexp_replace`, which is of the first match alone unless it is told `g`."""
    pattern, told = flagged(node.expression, node.args.get("modifiers"))
    new = node.args.get("replacement")
    if not (isinstance(new, exp.Literal) and new.is_string):
        raise NotTranslated("regexp_replace by what is no constant text")
    every = "g" in told
    groups = re.sub(r"\\(\d)", lambda one: f"${int(one[1]) + (not every)}", re.sub(r"([$])", r"\\\1", new.name))
    if not every:
        pattern, groups = call("concat", r"'^([\\s\\S]*?)(?:'", pattern, "')'"), f"$1{groups}"
    if re.search(r"\$\d\d", groups):
        raise NotTranslated("regexp_replace by a group with a digit after it")
    return typed(call("regexp_replace", node.this, pattern, text(exp.Literal.string(groups))), "VARCHAR")


# ---------------------------------------------------------------------- lists


def holds(node: exp.ArrayContains) -> exp.Expr:
    """`list_contains`: false where a list has NULL and not what is looked for."""
    told = f"if({text(node.expression)} IS NULL, NULL, exists({text(node.this)}, e -> e <=> {text(node.expression)}))"
    return typed(raw(told), "BOOLEAN")


def without_place(node: exp.Transform | exp.ArrayFilter) -> exp.Expr:
    """A lambda of a value; with its place, DuckDB counts from 1 and Spark from 0."""
    if isinstance(node.expression, exp.Lambda) and len(node.expression.expressions) > 1:
        raise NotTranslated("a lambda of a value and its place")
    return node


# ---------------------------------------------------------------------- aggregates


def key_of(order: exp.Ordered) -> str:
    """A struct by which rows come in an order's order, the least first; the greatest where it is a descending one."""
    last = not order.args.get("nulls_first")
    down = bool(order.args.get("desc"))
    return f"({text(order.this)}) IS {'NOT ' * (last == down)}NULL"


def first_of(node: exp.First | exp.Last) -> exp.Expr:
    """`first(x ORDER BY y)`, in which NULLs come where the order has them."""
    if not isinstance(node.this, exp.Order):
        return node
    keys = node.this.expressions
    if len(keys) != 1:
        raise NotTranslated(f"{node.key} in the order of several columns")
    down = bool(keys[0].args.get("desc")) != isinstance(node, exp.Last)
    return call("max_by" if down else "min_by", node.this.this, call("struct", key_of(keys[0]), keys[0].this))


def quantile(node: exp.PercentileCont) -> exp.Expr:
    """`quantile_cont` of numbers."""
    if isinstance(node.parent, exp.WithinGroup):
        return node
    return percentile(node.this, node.expression)


def within_group(node: exp.WithinGroup) -> exp.Expr:
    """`percentile_cont(q) WITHIN GROUP (ORDER BY x)`, and `listagg`."""
    if isinstance(node.this, exp.PercentileDisc):
        raise NotTranslated("percentile_disc")
    if not isinstance(node.this, exp.PercentileCont):
        return node
    [order] = node.expression.expressions
    share = node.this.this
    return percentile(order.this, raw(f"1 - ({text(share)})") if order.args.get("desc") else share)


def percentile(of: exp.Expr, share: exp.Expr) -> exp.Expr:
    """What stands at a share of the numbers in order, between two of them if it must."""
    if type_of(of) not in (*WHOLE, *BROKEN, "DECIMAL"):
        raise NotTranslated(f"quantiles of a value of type {type_of(of) or 'that is not known'}")
    return typed(call("percentile", of, share), "DOUBLE")


def refused(what: str) -> Any:
    """A rule for what has no counterpart."""

    def rule(node: exp.Expr) -> exp.Expr:  # noqa: ARG001
        raise NotTranslated(what)

    return rule


def framed(node: exp.WindowSpec) -> exp.Expr:
    """The frame of a window."""
    if node.args.get("exclude") is not None:
        raise NotTranslated("a window that excludes rows of its own")
    return node


def looked_for(node: exp.In) -> exp.Expr:
    """`IN (SELECT …)`: to Spark NULL is false, unless the whole condition of a query is told by it."""
    if node.args.get("query") is None:
        return node
    above = node.parent
    denied = either = False
    while isinstance(above, exp.Paren | exp.And | exp.Or | exp.Not):
        denied, either = denied or isinstance(above, exp.Not), either or isinstance(above, exp.Or)
        above = above.parent
    if not isinstance(above, exp.Where) or (denied and either):
        raise NotTranslated("IN (SELECT …) other than as a condition in WHERE, where NULL and false are not the same")
    return node


def distinct_on(tree: exp.Expr) -> None:
    """Have `DISTINCT ON` be a window over its rows, in which their order is kept."""
    for select in tree.find_all(exp.Select):
        distinct = select.args.get("distinct")
        if distinct is None or distinct.args.get("on") is None:
            continue
        if select.args.get("qualify") is not None or select.args.get("group") is not None:
            raise NotTranslated("DISTINCT ON of groups, or with QUALIFY")
        order = exp.Order(expressions=[exp.Literal.string("")])
        if select.args.get("order") is not None:
            order = exp.Order(expressions=[in_window(one, select) for one in select.args["order"].expressions])
        on = distinct.args["on"].unnest()
        keys = [in_window(one, select) for one in (on.expressions if isinstance(on, exp.Tuple) else [on])]
        window = exp.Window(this=exp.RowNumber(), partition_by=keys, order=order)
        select.set("distinct", None)
        select.set("qualify", exp.Qualify(this=exp.EQ(this=window, expression=exp.Literal.number(1))))


def in_window(key: exp.Expr, select: exp.Select) -> exp.Expr:
    """What a query is in order by, as a window may name it: not by the place or the new name of a column."""
    made = key.copy()
    of = made.this if isinstance(made, exp.Ordered) else made
    told = {one.alias.lower(): one.this for one in select.expressions if isinstance(one, exp.Alias)}
    meant: exp.Expr | None = None
    if isinstance(of, exp.Literal) and not of.is_string:
        meant = (
            select.expressions[int(of.name) - 1].unalias() if not select.is_star and int(of.name) <= len(select.expressions) else exp.Star()
        )
    elif isinstance(of, exp.Column) and not of.table:
        meant = told.get(of.name.lower(), exp.Star() if of.name.upper() == "ALL" else None)
    if isinstance(meant, exp.Star):
        raise NotTranslated("DISTINCT ON in the order of columns that are told by *, or by ALL")
    if meant is None:
        return made
    if of is made:
        return meant.copy()
    of.replace(meant.copy())
    return made


def qualified(tree: exp.Expr) -> exp.Expr:
    """A tree in which the order and the limit of a query with QUALIFY are those of what it leaves."""
    for select in list(tree.find_all(exp.Select)):
        parts = ("order", "limit", "offset")
        if select.args.get("qualify") is None or all(select.args.get(part) is None for part in parts):
            continue
        names = [one.alias_or_name for one in select.expressions]
        if select.is_star or len(set(names)) < len(names) or "" in names or select.args.get("distinct") is not None:
            raise NotTranslated("QUALIFY in an order, of columns without names of their own")
        inner = select.copy()
        outer = exp.select(*(exp.column(name, table="qualified_") for name in names))
        outer = outer.from_(exp.Subquery(this=inner, alias=exp.TableAlias(this=exp.to_identifier("qualified_"))))
        for part in (*parts, "with_"):
            if select.args.get(part) is not None:
                inner.set(part, None)
                outer.set(part, select.args[part].copy())
        order = outer.args.get("order")
        for n, one in enumerate(order.expressions if order is not None else ()):
            of, name = one.this, f"order_{n}"
            if isinstance(of, exp.Column) and of.name.upper() == "ALL":
                continue
            if isinstance(of, exp.Literal) and not of.is_string:
                name = names[int(of.name) - 1]
            elif isinstance(of, exp.Column) and not of.table and of.name in names:
                name = of.name
            else:
                inner.append("expressions", exp.alias_(of.copy(), name))
            one.set("this", exp.column(name, table="qualified_"))
        if select is tree:
            return outer
        select.replace(outer)
    return tree


CORNERS: dict[type[exp.Expr], Any] = {
    exp.IntDiv: whole_part,
    exp.Round: rounded,
    exp.Trunc: cut_off,
    exp.Log: logarithm,
    exp.BitwiseRightShift: shifted,
    exp.Left: left_of,
    exp.Right: left_of,
    exp.Substring: part_of,
    exp.Split: split,
    exp.RegexpLike: matched,
    exp.RegexpExtract: extracted_by,
    exp.RegexpExtractAll: extracted_by,
    exp.RegexpReplace: replaced_by,
    exp.ArrayContains: holds,
    exp.ArrayDistinct: lambda node: call("array_compact", call("array_distinct", node.this)),
    exp.Transform: without_place,
    exp.ArrayFilter: without_place,
    exp.First: first_of,
    exp.Last: first_of,
    exp.PercentileCont: quantile,
    exp.WithinGroup: within_group,
    exp.Quantile: refused("quantile, which is quantile_disc; quantile_cont and median translate"),
    exp.PercentileDisc: lambda node: node if isinstance(node.parent, exp.WithinGroup) else refused("quantile_disc")(node),
    exp.Skewness: refused("skewness, which Spark has of a population and DuckDB of a sample"),
    exp.Kurtosis: refused("kurtosis, which Spark has of a population and DuckDB of a sample"),
    exp.Typeof: refused("typeof, whose words are each engine's own"),
    exp.WindowSpec: framed,
    exp.In: looked_for,
}
