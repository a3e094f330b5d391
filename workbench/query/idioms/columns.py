"""What is known of a column in a query: its type, and whether it always has a value, where its table is a known one."""

from collections.abc import Iterator

from sqlglot import exp

from workbench.query.idioms.names import columns, required


def sources(node: exp.Expr) -> Iterator[tuple[str, str, str] | None]:
    """Alias, schema and name of each table that the SELECT around a node reads; None for what is no table."""
    select = node.find_ancestor(exp.Select)
    if select is None:
        return
    told = [select.args.get("from_"), *(select.args.get("joins") or ())]
    for one in told:
        source = one.this if one is not None else None
        if isinstance(source, exp.Table) and isinstance(source.this, exp.Identifier):
            yield source.alias_or_name.lower(), source.db, source.name
        elif source is not None:
            yield None


def type_of(node: exp.Expr) -> str:
    """The type that a column was declared with; empty if it is no column of a known table, or of two types in two tables."""
    while isinstance(node, exp.Paren):
        node = node.this
    if not isinstance(node, exp.Column):
        return ""
    found = set()
    for source in sources(node):
        if source and node.table.lower() in ("", source[0]) and (told := columns(*source[1:]).get(node.name.lower())):
            found.add(told)
    return found.pop() if len(found) == 1 else ""


def always(node: exp.Expr) -> bool:
    """Whether a column has a value in every row: one of the only table that its SELECT reads, which requires it."""
    if not isinstance(node, exp.Column):
        return False
    told = list(sources(node))
    if len(told) != 1 or told[0] is None:
        return False
    return required(told[0][1], told[0][2], node.name.lower())
