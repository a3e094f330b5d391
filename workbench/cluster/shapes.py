"""Parts of a query that Spark has in another shape: subqueries, unions, and lists that become rows."""

from sqlglot import exp

from workbench.cluster.words import NotTranslated, call


def series_named(tree: exp.Expr) -> None:
    """Name the column of each `generate_series` and `range` that is read from: as the relation is called, as in DuckDB."""
    for series in tree.find_all(exp.GenerateSeries):
        table = series.parent
        if isinstance(table, exp.Table):
            name = table.alias or ("range" if series.args.get("is_end_exclusive") else "generate_series")
            alias = table.args.get("alias") or exp.TableAlias(this=exp.to_identifier(name))
            if not alias.columns:
                alias.set("columns", [exp.to_identifier(name)])
            table.set("alias", alias)


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
    """Join the one row of a subquery that a function of a list takes, or an order is told by: Spark takes none there."""
    for one in tree.find_all(exp.Select):
        told = [column.unalias() for column in one.expressions]
        for key in one.args["group"].expressions if one.args.get("group") else ():
            # By its place: written twice, it would be looked up twice.
            if key in told and key.find(exp.Subquery):
                key.replace(exp.Literal.number(told.index(key) + 1))
    for n, node in enumerate(list(tree.find_all(exp.Subquery))):
        select = node.find_ancestor(exp.Select)
        if (
            select is None
            or isinstance(node.parent, exp.From | exp.Join | exp.Lateral)
            or not (within(node, select) or mixed(node) or ordering(node, select))
        ):
            continue
        name, column = f"one_{n}", f"value_{n}"
        inner = node.this.copy()
        inner.set("expressions", [exp.alias_(inner.expressions[0].unalias(), column)])
        node.replace(exp.column(column, table=name))
        if not sources(select):
            select.set("from_", no_table())
        # Lateral, since it may name columns of the query around it.
        held = exp.Lateral(this=exp.Subquery(this=gathered_first(inner, column)), alias=exp.TableAlias(this=exp.to_identifier(name)))
        select.append("joins", exp.Join(this=held, side="LEFT", on=exp.true()))


def ordering(node: exp.Subquery, select: exp.Select) -> bool:
    """Whether a query's rows are put in order by what a subquery of its own gives."""
    order = node.find_ancestor(exp.Order)
    return order is not None and order is select.args.get("order")


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
    """Have lists that become rows within an expression, or side by side, do so in a `LATERAL VIEW`: Spark takes one only, as a column of its own."""
    found: dict[int, tuple[exp.Select, list[exp.Explode]]] = {}
    for node in tree.find_all(exp.Explode):
        if not isinstance(node, exp.Unnest) and (select := node.find_ancestor(exp.Select)) is not None:
            found.setdefault(id(select), (select, []))[1].append(node)
    for n, (select, nodes) in enumerate(found.values()):
        [first, *others] = nodes
        alone = isinstance(first.parent, exp.Select) or (isinstance(first.parent, exp.Alias) and first.parent.parent is select)
        if alone and not others:
            continue
        if others and (select.args.get("group") or any(one.find(exp.AggFunc, exp.Window) for one in select.expressions)):
            raise NotTranslated("several lists that become rows in a query that gathers rows")
        made = call("explode", first.this)
        if others:
            # Row by row, NULL for what a shorter one lacks: Spark of itself would give each of one with each of the other.
            made = call("inline", call("arrays_zip", *(call("coalesce", node.this, "array()") for node in nodes)))
        view, columns = f"rows_{n}", [f"row_{n}_{at}" for at, _ in enumerate(nodes)]
        if not sources(select):
            select.set("from_", no_table())
        alias = exp.TableAlias(this=exp.to_identifier(view), columns=[exp.to_identifier(one) for one in columns])
        select.append("laterals", exp.Lateral(this=made, view=True, alias=alias))
        for node, column in zip(nodes, columns, strict=True):
            node.replace(exp.column(column, table=view))


def no_table() -> exp.From:
    """One row to read from, where a query names no table and is to be joined."""
    nothing = exp.select(exp.alias_(exp.Literal.number(0), "nothing"))
    return exp.From(this=exp.Subquery(this=nothing, alias=exp.TableAlias(this=exp.to_identifier("nothing_"))))


def rows_compared(tree: exp.Expr) -> None:
    """Compare `(a, b) IN (SELECT (c, d) …)` as structs: to Spark one side is two columns and the other is one."""
    for node in tree.find_all(exp.In):
        query = node.args.get("query")
        select = query.unnest() if query is not None else None
        if not isinstance(node.this, exp.Tuple) or not isinstance(select, exp.Select) or len(select.expressions) != 1:
            continue
        [told] = select.expressions
        if isinstance(told.unalias(), exp.Tuple):
            node.set("this", struct(node.this))
            select.set("expressions", [exp.alias_(struct(told.unalias()), told.alias or "row_")])


def struct(row: exp.Expr) -> exp.Expr:
    """A row of values as a struct, in which NULLs are equal as in DuckDB; by names of its own, which both sides of a comparison share."""
    return call("named_struct", *(part for n, one in enumerate(row.expressions) for part in (f"'v{n}'", one)))
