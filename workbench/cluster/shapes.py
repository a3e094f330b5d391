"""Parts of a query that Spark has in another shape: joins to the newest row before, and lists that become rows."""

from sqlglot import exp

from workbench.cluster.words import NotTranslated, call

ORDERS: dict[type[exp.Expr], bool] = {exp.GT: True, exp.GTE: True, exp.LT: False, exp.LTE: False}


def asof_written_out(tree: exp.Expr) -> None:
    """Put a lateral subquery of one row in the place of each `ASOF JOIN`: the nearest row that meets the conditions."""
    for join in list(tree.find_all(exp.Join)):
        if (join.args.get("method") or "").upper() == "ASOF":
            lateral(join)


def lateral(join: exp.Join) -> None:
    """One `ASOF JOIN` written out."""
    told = join.args.get("on")
    if told is None:
        raise NotTranslated("ASOF JOIN with USING")
    table = join.this
    name = table.alias_or_name
    tests = list(told.flatten()) if isinstance(told, exp.And) else [told]
    found = [one for test in tests if (one := nearest(test.unnest(), name))]
    if len(found) != 1:
        raise NotTranslated(f"ASOF JOIN with {len(found)} inequalities")
    [(key, down)] = found
    inner = (
        exp.select(exp.Column(this=exp.Star(), table=exp.to_identifier(name)))
        .from_(table.copy())
        .where(told.copy(), exp.Not(this=exp.Is(this=key.copy(), expression=exp.Null())))
        .order_by(exp.Ordered(this=key.copy(), desc=down, nulls_first=False))
        .limit(1)
    )
    side = join.args.get("side")
    made = exp.Join(
        this=exp.Lateral(this=exp.Subquery(this=inner), alias=exp.TableAlias(this=exp.to_identifier(name))), side=side, on=exp.true()
    )
    join.replace(made)


def nearest(test: exp.Expr, name: str) -> tuple[exp.Expr, bool] | None:
    """Of an inequality, the side that is the joined table's, and whether its greatest value is the nearest."""
    if type(test) not in ORDERS:
        return None
    down = ORDERS[type(test)]
    left, right = test.this, test.expression
    return (right, down) if of(right, name) else (left, not down)


def of(node: exp.Expr, name: str) -> bool:
    """Whether an expression is of the columns of one table."""
    return any(column.table == name for column in node.find_all(exp.Column))


def renamed(tree: exp.Expr) -> None:
    """Give relations that are called like a column of their query another name: Spark would look for their columns in that one."""
    twice = set()
    for select in tree.find_all(exp.Select):
        columns = {one.alias_or_name.lower() for one in select.expressions}
        twice |= {one.alias_or_name for one in sources(select) if one.alias_or_name.lower() in columns}
    for name in twice:
        for source in tree.find_all(exp.Table, exp.Subquery):
            if source.alias == name:
                source.args["alias"].set("this", exp.to_identifier(f"{name}_"))
        for column in tree.find_all(exp.Column):
            if column.table == name:
                column.set("table", exp.to_identifier(f"{name}_"))


def sources(select: exp.Select) -> list[exp.Expr]:
    """What a query reads from."""
    first = select.args.get("from_") or select.args.get("from")
    return [*([first.this] if first is not None else []), *(join.this for join in select.args.get("joins") or ())]


def filtered(tree: exp.Expr) -> exp.Expr:
    """A tree in which a HAVING over grouping sets is a condition around them, where Spark finds what it names."""
    for select in list(tree.find_all(exp.Select)):
        group, having = select.args.get("group"), select.args.get("having")
        if having is None or group is None or group.find(exp.GroupingSets, exp.Cube, exp.Rollup) is None:
            continue
        names = [one.alias_or_name for one in select.expressions]
        inner = select.copy()
        inner.set("having", None)
        inner.set("with_", None)
        inner.set("expressions", [*(one.copy() for one in select.expressions), exp.alias_(exp.Paren(this=having.this.copy()), "kept_")])
        outer = (
            exp.select(*(exp.column(name, table="grouped_") for name in names))
            .from_(exp.Subquery(this=inner, alias=exp.TableAlias(this=exp.to_identifier("grouped_"))))
            .where(exp.column("kept_", table="grouped_"))
        )
        for key in ("order", "limit", "with_"):
            if select.args.get(key) is not None:
                inner.set(key, None)
                outer.set(key, select.args[key].copy())
        if select is tree:
            return outer
        select.replace(outer)
    return tree


def numbered(tree: exp.Expr) -> None:
    """Give the columns of later branches of a union names of their own: two of one name, and one value, are an invalid plan to Spark's optimizer."""
    for union in tree.find_all(exp.SetOperation):
        branch = union.expression.unnest()
        if isinstance(branch, exp.Select):
            branch.set("expressions", [exp.alias_(one.unalias(), f"c{n}") for n, one in enumerate(branch.expressions)])


def hoisted(tree: exp.Expr) -> None:
    """Join the one row of a subquery that a function of a list takes its list from: Spark takes none within such functions."""
    for one in tree.find_all(exp.Select):
        told = [column.unalias() for column in one.expressions]
        for key in one.args["group"].expressions if one.args.get("group") else ():
            # By its place: written twice, it would be looked up twice.
            if key in told and key.find(exp.Subquery):
                key.replace(exp.Literal.number(told.index(key) + 1))
    for n, node in enumerate(list(tree.find_all(exp.Subquery))):
        select = node.find_ancestor(exp.Select)
        if select is None or isinstance(node.parent, exp.From | exp.Join | exp.Lateral) or not (within(node, select) or mixed(node)):
            continue
        name, column = f"one_{n}", f"value_{n}"
        inner = node.this.copy()
        inner.set("expressions", [exp.alias_(inner.expressions[0].unalias(), column)])
        node.replace(exp.column(column, table=name))
        if not sources(select):
            nothing = exp.select(exp.alias_(exp.Literal.number(0), "nothing"))
            select.set("from_", exp.From(this=exp.Subquery(this=nothing, alias=exp.TableAlias(this=exp.to_identifier("nothing_")))))
        # Lateral, since it may name columns of the query around it.
        held = exp.Lateral(this=exp.Subquery(this=gathered_first(inner, column)), alias=exp.TableAlias(this=exp.to_identifier(name)))
        select.append("joins", exp.Join(this=held, side="LEFT", on=exp.true()))


def mixed(node: exp.Subquery) -> bool:
    """Whether a query of one value tells what it gathers together with columns of the query around it."""
    inner = node.this
    if not isinstance(inner, exp.Select) or len(inner.expressions) != 1 or inner.expressions[0].find(exp.AggFunc) is None:
        return False
    own = {one.alias_or_name for one in sources(inner)}
    return any(column.table and column.table not in own for column in inner.expressions[0].find_all(exp.Column))


def gathered_first(select: exp.Select, column: str) -> exp.Select:
    """A query of one aggregated value in two steps: where rows are gathered, Spark knows no column of the query around it."""
    [value] = select.expressions
    told = value.copy()
    parts = [one for one in told.find_all(exp.AggFunc) if one.find_ancestor(exp.Subquery) is None]
    if not parts or select.args.get("group") or told.unalias() in parts:
        return select
    inner = select.copy()
    inner.set("expressions", [exp.alias_(one.copy(), f"part_{n}") for n, one in enumerate(parts)])
    for n, one in enumerate(parts):
        one.replace(exp.column(f"part_{n}", table=f"{column}_"))
    return exp.select(told).from_(exp.Subquery(this=inner, alias=exp.TableAlias(this=exp.to_identifier(f"{column}_"))))


def by_position(tree: exp.Expr) -> None:
    """Put the columns of a union BY NAME in one order, NULL for those that a side lacks."""
    for union in tree.find_all(exp.SetOperation):
        if not union.args.get("by_name"):
            continue
        sides = [union.this.unnest(), union.expression.unnest()]
        if not all(isinstance(one, exp.Select) and not one.is_star for one in sides):
            raise NotTranslated("a union BY NAME of more than two queries, or of columns that are not known")
        held = [{one.alias_or_name.lower(): one for one in side.expressions} for side in sides]
        names = list(dict.fromkeys([*held[0], *held[1]]))
        for side, columns in zip(sides, held, strict=True):
            side.set("expressions", [columns[name] if name in columns else exp.alias_(exp.Null(), name) for name in names])
        union.set("by_name", None)


def within(node: exp.Expr, select: exp.Select) -> bool:
    """Whether a node is part of what a function of lists is given."""
    above = node.parent
    while above is not None and above is not select:
        if isinstance(above, exp.Transform | exp.ArrayFilter | exp.Lambda) or (
            isinstance(above, exp.Anonymous) and above.name in ("aggregate", "transform")
        ):
            return True
        above = above.parent
    return False


def bracketed(tree: exp.Expr) -> None:
    """Put brackets around a NOT that is compared with something, which binds less in Spark."""
    for node in list(tree.find_all(exp.Not)):
        if isinstance(node.parent, exp.EQ | exp.NEQ | exp.NullSafeEQ | exp.NullSafeNEQ | exp.Is):
            node.replace(exp.Paren(this=node.copy()))


def exploded(tree: exp.Expr) -> None:
    """Have lists that become rows within an expression do so in a `LATERAL VIEW`, since Spark takes them only as columns of their own."""
    for n, node in enumerate(list(tree.find_all(exp.Explode, exp.Unnest))):
        select = node.find_ancestor(exp.Select)
        if (
            isinstance(node, exp.Unnest)
            or select is None
            or isinstance(node.parent, exp.Select)
            or (isinstance(node.parent, exp.Alias) and node.parent.parent is select)
        ):
            continue
        view, column = f"rows_{n}", f"row_{n}"
        held = exp.Lateral(
            this=call("explode", node.this),
            view=True,
            alias=exp.TableAlias(this=exp.to_identifier(view), columns=[exp.to_identifier(column)]),
        )
        select.append("laterals", held)
        node.replace(exp.column(column, table=view))
