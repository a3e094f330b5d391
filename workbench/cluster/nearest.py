"""Joins to the nearest row, `ASOF JOIN` in DuckDB, as Spark has them: a window over both sides in one order."""

from collections.abc import Iterator

from sqlglot import exp

from workbench.cluster.shapes import sources
from workbench.cluster.words import NotTranslated, raw, text

ORDERS: dict[type[exp.Expr], bool] = {exp.GT: True, exp.GTE: True, exp.LT: False, exp.LTE: False}


def columns_noted(tree: exp.Expr) -> None:
    """Note at each `ASOF JOIN` which columns of its query's relations are named, as long as no rule has made texts of them."""
    for select in tree.find_all(exp.Select):
        joins = select.args.get("joins") or ()
        if any(map(is_asof, joins)):
            told = {name: fields(select, name) for one in sources(select) if (name := one.alias_or_name)}
            for join in filter(is_asof, joins):
                join.meta["fields"] = told


def asof_written_out(tree: exp.Expr) -> None:
    """Put what Spark has in the place of each `ASOF JOIN`: a window, or where that cannot stand a lateral subquery of one row."""
    # From within: what is written out is text, in which nothing is replaced any more.
    for n, select in enumerate(reversed(list(tree.find_all(exp.Select)))):
        for join in list(select.args.get("joins") or ()):
            if is_asof(join) and not windowed(join, f"asof_{n}"):
                lateral(join)


def is_asof(join: exp.Join) -> bool:
    """Whether a join is to the nearest row."""
    return (join.args.get("method") or "").upper() == "ASOF"


def windowed(join: exp.Join, name: str) -> bool:
    """Put one relation in the place of a query's first relations and of the one that an `ASOF JOIN` joins to them; false where none would do.

    It is a union of both sides' rows in one order, in which each row of the left takes the last one of the right before it. Each relation is in it
    as a struct under the relation's name, so that `name.column` still says what it said.
    """
    select, tests = join.parent, conditions(join)
    if not isinstance(select, exp.Select) or correlated(select):
        return False
    joins: list[exp.Join] = select.args["joins"]
    at = next(n for n, one in enumerate(joins) if one is join)
    left = [one.alias_or_name for one in sources(select)[: at + 1]]
    right = join.this.alias_or_name
    pairs = [pair for one in tests if (pair := sided(one, left, right))]
    orders = [(one, *pair) for one, pair in zip(tests, pairs, strict=False) if type(one) in ORDERS]
    if len(pairs) != len(tests) or len(orders) != 1 or "" in left or any(is_asof(one) for one in joins[:at]):
        return False
    [(test, here, there)] = orders
    fields_of = join.meta["fields"]
    keys = [pair for one, pair in zip(tests, pairs, strict=True) if isinstance(one, exp.EQ)]
    # As if the left side stood on the left.
    down = ORDERS[type(test)] == (test.this is here)
    # What is equal comes before the row that takes it, or after it.
    first = isinstance(test, exp.GTE | exp.LTE)
    nothing = [f"NULL AS {named(one)}" for one in left]
    mine = [f"struct({fields_of[one]}) AS {named(one)}" for one in left]
    these = ", ".join(
        [*mine, f"NULL AS {named(right)}", *(f"{text(one)} AS key_{n}" for n, (one, _) in enumerate(keys)), f"{text(here)} AS at_"]
    )
    those = ", ".join([*nothing, f"struct({fields_of[right]})", *(text(one) for _, one in keys), text(there)])
    before = exp.select("1")
    before.set("from_", select.args["from_"].copy())
    before.set("joins", [one.copy() for one in joins[:at]])
    known = " AND ".join(f"({text(one)}) IS NOT NULL" for one in (*(one for _, one in keys), there))
    both = (
        f"{text(before).replace('SELECT 1 ', f'SELECT {these}, {int(first)} AS side_, true AS asks_ ', 1)} UNION ALL "
        f"SELECT {those}, {int(not first)}, false FROM {text(join.this)} WHERE {known}"
    )
    by = ", ".join(f"key_{n}" for n, _ in enumerate(keys)) or "1"
    order = f"at_ {'ASC' if down else 'DESC'} NULLS FIRST, side_"
    taken = f"last_value({named(right)}) IGNORE NULLS OVER (PARTITION BY {by} ORDER BY {order} ROWS UNBOUNDED PRECEDING) AS {named(right)}"
    kept = "asks_" if join.args.get("side") else f"asks_ AND {named(right)} IS NOT NULL"
    columns = ", ".join(map(named, left))
    told = f"(SELECT * FROM (SELECT {columns}, asks_, {taken} FROM ({both})) WHERE {kept}) AS {name}"
    select.args["from_"].set("this", raw(told))
    select.set("joins", joins[at + 1 :])
    return True


def conditions(join: exp.Join) -> list[exp.Expr]:
    """What an `ASOF JOIN` is told to join on. Raises `NotTranslated`."""
    told = join.args.get("on")
    if told is None:
        raise NotTranslated("ASOF JOIN with USING")
    return [one.unnest() for one in (told.flatten() if isinstance(told, exp.And) else [told])]


def sided(test: exp.Expr, left: list[str], right: str) -> tuple[exp.Expr, exp.Expr] | None:
    """Of a comparison, the side of the relations before and that of the joined one; None where it is none of one with the other."""
    if type(test) not in ORDERS and not isinstance(test, exp.EQ):
        return None
    for one, other in ((test.this, test.expression), (test.expression, test.this)):
        if set(tables(one)) and set(tables(one)) <= set(left) and set(tables(other)) == {right}:
            return one, other
    return None


def tables(node: exp.Expr) -> Iterator[str]:
    """The relations whose columns an expression names."""
    yield from (column.table for column in node.find_all(exp.Column))


def fields(select: exp.Select, name: str) -> str:
    """The columns of a relation that a query names; all where it may take any."""
    held = [column for column in select.find_all(exp.Column) if column.table == name and meant(column) is select]
    plain = dict.fromkeys(text(exp.column(one.this.copy(), table=name)) for one in held if isinstance(one.this, exp.Identifier))
    stars = any(isinstance(one.unalias(), exp.Star) for one in select.expressions) or any(isinstance(one.this, exp.Star) for one in held)
    return f"{named(name)}.*" if stars or not plain else ", ".join(plain)


def meant(column: exp.Column) -> exp.Select | None:
    """The query whose relation a column's is: the nearest around it that reads one of that name."""
    select = column.find_ancestor(exp.Select)
    while select is not None and column.table not in [one.alias_or_name for one in sources(select)]:
        select = select.find_ancestor(exp.Select)
    return select


def named(name: str) -> str:
    """A name as Spark's SQL quotes it."""
    return text(exp.to_identifier(name, quoted=True))


def correlated(select: exp.Select) -> bool:
    """Whether a query may name columns of one around it, which no window of Spark's does."""
    below: exp.Expr = select
    above = below.parent
    while above is not None:
        if isinstance(above, exp.Lateral) or (
            isinstance(below, exp.Subquery) and not isinstance(above, exp.From | exp.Join | exp.Subquery)
        ):
            return True
        if isinstance(above, exp.Exists | exp.In | exp.CTE):
            return not isinstance(above, exp.CTE)
        below, above = above, above.parent
    return False


def lateral(join: exp.Join) -> None:
    """An `ASOF JOIN` as a lateral subquery of one row, the nearest that meets the conditions. It looks at each row of the one side for each of the other."""
    tests, table = conditions(join), join.this
    told, name = join.args["on"], table.alias_or_name
    found = [one for test in tests if (one := nearest(test, name))]
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
