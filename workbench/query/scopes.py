"""Which conditions the rows of a lake's table must meet to matter to a query: those of WHERE, and those by which they are joined.

A row may be left out if no row of the answer needs it. WHERE says so of every table whose rows pass on to it, but for those that an
outer join would replace by NULLs that meet the condition; ON says so of the sides that must match. Equal columns lend each other their
conditions.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from workbench.query.outputs import outputs, united
from workbench.query.predicates import FEW, OPERATORS, SPANS, Span, Translation
from workbench.query.sights import Derived, Leaf, Listed, Output, Pair, Part, Sight
from workbench.query.trees import BARE, Holes, Node, constant, nodes
from workbench.tables import TABLES, quote

# What may be said of a SELECT through which conditions on plain columns pass.
PASSING = frozenset(
    ("type", "modifiers", "cte_map", "select_list", "from_table", "where_clause", "having", "qualify", "aggregate_handling")
)
GROUPING = frozenset(("group_expressions", "group_sets"))


@dataclass(frozen=True)
class Named:
    """A CTE: its body, the names that it gives its columns, and where it can be named; `constant` is a subquery for it, if it holds nothing else."""

    name: str
    body: Node
    columns: list[str]
    within: Node
    hidden: Mapping[str, "Named"]
    constant: Node | None

    @property
    def once(self) -> bool:
        """Whether it is named but once, so that what is asked of it there is all that is asked of it."""
        tables = (node for node in nodes(self.within) if node.get("type") == "BASE_TABLE" and not node.get("schema_name"))
        return len([node for node in tables if node["table_name"].lower() == self.name]) == 1


Hidden = Mapping[str, Named]


@dataclass
class Reading:
    """Reads one statement's tree, and finds the tables in it and their conditions."""

    holes: Holes = field(default_factory=Holes)
    leaves: list[Leaf] = field(default_factory=list)
    parts: dict[int, Part] = field(default_factory=dict)
    # What is made of the lake's columns, and constants, besides the columns themselves.
    spans: dict[str, Span] = field(default_factory=lambda: dict(SPANS))
    named: set[int] = field(default_factory=set)

    @property
    def found(self) -> list[tuple[Leaf, str, str]]:
        """The tables that conditions narrow, with what a file must meet to hold rows that matter, and a relation that their tickers are among."""
        # Each list of values is a join with the statistics: many of them cost more than they save.
        few = [one for one in self.leaves if one.made and sum(test.count("EXISTS") for test in one.made) <= FEW]
        return [(leaf, " AND ".join(leaf.made), leaf.among[0] if leaf.among else "") for leaf in few]

    def visit(self, tree: Any, hidden: Hidden) -> None:
        """Every SELECT in a tree; `hidden` are the names that CTEs take."""
        if isinstance(tree, list):
            for part in tree:
                self.visit(part, hidden)
        elif isinstance(tree, dict) and tree.get("type") == "SHOW_REF":
            self.describe(tree, hidden)
        elif isinstance(tree, dict):
            hidden = within(tree, hidden)
            if tree.get("type") == "SELECT_NODE":
                self.select(tree, hidden)
            for part in tree.values():
                self.visit(part, hidden)

    def select(self, node: Node, hidden: Hidden) -> Part:
        """One SELECT: its FROM, then its WHERE."""
        if id(node) in self.parts:
            return self.parts[id(node)]
        part = self.source(node.get("from_table", {}), hidden)
        if "where_clause" in node:
            part = replace(part, sight=replace(part.sight, pairs=[*part.sight.pairs]))
            self.apply(node["where_clause"], part.sight, part.leaves)
        elif len(part.leaves) == 1 and part.leaves[0].node is node.get("from_table") and (most := first_rows(node)):
            part.leaves[0].made.append(f"before < {' + '.join(map(self.holes.name, most))}")
        visible = part.sight.visible
        alone = len(part.sight.aliases) == len(visible) and not any(BARE & {*one.columns} for one in visible)
        for leaf in part.leaves:
            self.settle(leaf, strict=part.strict, alone=alone)
        self.parts[id(node)] = part
        return part

    def describe(self, ref: Node, hidden: Hidden) -> None:
        """DESCRIBE, whose answer takes no file; not SUMMARIZE."""
        parts = list(nodes(ref.get("query", {})))
        if ref.get("show_type") == "DESCRIBE" and not hidden and not any(part.get("cte_map", {}).get("map") for part in parts):
            for leaf in [leaf for part in parts if part.get("type") == "BASE_TABLE" for leaf in self.table(part, {}).leaves]:
                leaf.made.append("FALSE")

    def settle(self, leaf: Leaf, *, strict: bool, alone: bool) -> None:
        """Translate a SELECT's conditions on a table; what stands around it may add others."""
        for node, sight in leaf.tests:
            told = Translation(lambda names, sight=sight: sight.means(leaf, names), self.holes, strict, alone, leaf.among, self.spans)  # type: ignore[misc]
            leaf.made += [test] if (test := told.condition(node)) else []
        blank = Translation(lambda _: None, self.holes, strict, alone, leaf.among, self.spans)
        for key, relation in leaf.lists:
            leaf.made += [test] if (test := blank.member(self.spans[key], "=", relation)) else []
        leaf.tests, leaf.lists, leaf.only = [], [], None

    def apply(self, condition: Node, sight: Sight, leaves: Iterable[Leaf]) -> None:
        """Have a condition, and the equalities in it, thin out tables."""
        parts = conjuncts(condition)
        sight.pairs += [pair for part in parts if (pair := equality(part, sight))]
        for leaf in leaves:
            leaf.tests += [(part, sight) for part in parts]
            leaf.lists += [(key, relation) for part in parts for key, relation in self.among(part, sight, leaf)]

    def among(self, condition: Node, sight: Sight, leaf: Leaf) -> Iterable[tuple[str, str]]:
        """The columns of a table that a condition equals with a column of constants, with those constants."""
        if condition["type"] != "COMPARE_EQUAL":
            return
        for one, other in ((condition["left"], condition["right"]), (condition["right"], condition["left"])):
            if one["type"] == other["type"] == "COLUMN_REF" and (key := sight.means(leaf, one["column_names"])):
                names = [name.lower() for name in other["column_names"]]
                bare = len(names) == 1 and not sight.murky and names[0] not in sight.merged
                for held in sight.listed:
                    if names[-1] in held.columns and (bare or (names[:-1] == [held.alias] and sight.aliases.count(held.alias) == 1)):
                        yield key, self.listed(held, names[-1])

    def listed(self, held: Listed, name: str) -> str:
        """A column of a relation of constants, as `Translation.member` takes it."""
        columns = ", ".join(quote(f"__{column}") for column in held.columns)
        return f"(SELECT {quote(f'__{name}')} AS __value FROM {self.holes.name(held.node)} AS __listed({columns}))"

    # ------------------------------------------------------------------ FROM

    def source(self, ref: Node, hidden: Hidden) -> Part:
        """What stands in a FROM."""
        alias = str(ref.get("alias", "")).lower()
        match ref.get("type", "EMPTY"):
            case "BASE_TABLE":
                return self.table(ref, hidden)
            case "JOIN":
                return self.join(ref, hidden)
            case "EMPTY":
                return Part()
            case "SUBQUERY" if not as_list(ref):
                return self.derived(ref["subquery"]["node"], alias, [ref.get("column_name_alias") or []], hidden)
            case _:
                return listing(alias, as_list(ref))

    def table(self, ref: Node, hidden: Hidden) -> Part:
        name, alias = ref["table_name"].lower(), str(ref.get("alias") or ref["table_name"]).lower()
        path: list[str] = ref.get("qualified_name", {}).get("path") or [ref.get("schema_name", "main"), name]
        if name in hidden and not ref.get("schema_name"):
            one = hidden[name]
            if one.constant:
                return listing(alias, as_list({**one.constant, "alias": alias, **own_columns(ref)}))
            if id(one.body) in self.named or not one.once:
                return listing(alias, None)
            self.named.add(id(one.body))
            return self.derived(one.body, alias, (one.columns, ref.get("column_name_alias") or []), one.hidden)
        foreign = ref.get("catalog_name") or len(path) > 2 or (len(path) == 2 and path[0].lower() not in ("main", ""))
        narrowed = name in TABLES and TABLES[name].kind != "reference"
        if not narrowed or foreign or ref.get("column_name_alias") or ref.get("at_clause"):
            return listing(alias, None)
        leaf = Leaf(ref, TABLES[name], alias)
        self.leaves.append(leaf)
        return Part(Sight([leaf], aliases=[alias]), [leaf])

    def derived(self, node: Node, alias: str, renamed: Iterable[Sequence[str]], hidden: Hidden) -> Part:
        """A subquery or CTE, some columns of which are given names, once or twice: what passes through it is thinned out by what is asked of it."""
        passing = self.passing(node, hidden)
        if passing is None:
            return listing(alias, None)
        output, leaves, strict = passing
        for names in renamed:
            output = [*((new.lower(), told) for new, (_, told) in zip(names, output, strict=False)), *output[len(names) :]]
        return Part(Sight([Derived(alias, output)], aliases=[alias]), leaves, strict)

    def passing(self, node: Node, hidden: Hidden) -> tuple[Output, list[Leaf], bool] | None:
        """The columns of a query, the tables whose rows a condition on them may thin out, and whether an outer join may make NULLs of these.

        None if fewer rows of the tables would change others of the query's, or its columns are not known.
        """
        hidden = within(node, hidden)
        if any(
            one["type"] not in ("ORDER_MODIFIER", "DISTINCT_MODIFIER") or "distinct_on_targets" in one for one in node.get("modifiers", ())
        ):
            return None
        if node["type"] == "SET_OPERATION_NODE" and node["setop_type"] in ("UNION", "UNION_BY_NAME"):
            sides = [self.passing(side, hidden) for side in node.get("children") or (node["left"], node["right"])]
            whole = [side for side in sides if side is not None]
            output = united([side[0] for side in whole], by_name=node["setop_type"] != "UNION") if len(whole) == len(sides) else None
            return (output, [leaf for side in whole for leaf in side[1]], any(side[2] for side in whole)) if output is not None else None
        if node["type"] != "SELECT_NODE" or set(node) - PASSING - GROUPING or len(node.get("group_sets", ())) > 1:
            return None
        part = self.select(node, hidden)
        output = outputs(node, part, self.holes, self.spans)
        return (output, part.leaves, part.strict) if output is not None else None

    def join(self, ref: Node, hidden: Hidden) -> Part:
        """A join: what it lets through of either side. Of kinds that are not named here, nothing is said of the rows below."""
        left, right = self.source(ref["left"], hidden), self.source(ref["right"], hidden)
        kind, manner = ref.get("join_type", "INNER"), ref.get("ref_type", "REGULAR")
        using = [name.lower() for name in ref.get("using_columns", ())]
        both = [*left.leaves, *right.leaves]
        seen = Sight(
            [*left.sight.visible, *right.sight.visible],
            [*left.sight.pairs, *right.sight.pairs],
            {**left.sight.merged, **right.sight.merged},
            [*left.sight.aliases, *right.sight.aliases],
            [*left.sight.listed, *right.sight.listed],
            left.sight.murky or right.sight.murky or manner == "NATURAL",
        )
        strict = left.strict or right.strict or manner not in ("REGULAR", "CROSS") or kind != "INNER"
        if manner not in ("REGULAR", "CROSS", "ASOF", "NATURAL") or kind not in ("INNER", "LEFT", "RIGHT", "FULL", "SEMI", "ANTI"):
            return Part(Sight(aliases=seen.aliases, murky=True), [], strict=True)
        equal = using[:-1] if manner == "ASOF" else using
        for name in using:
            a, b = (side.sight.merged[name] if name in side.sight.merged else side.sight.sole(name) for side in (left, right))
            if name in equal and a and b and (x := a.key(name)) and (y := b.key(name)) and a.kind(x) == b.kind(y):
                seen.pairs += matching(Pair(a, x, b, y), kind, left, right)
            seen.merged[name] = {"RIGHT": b, "FULL": None}.get(kind, a)
        matched = {"INNER": both, "LEFT": right.leaves, "RIGHT": left.leaves, "SEMI": both, "ANTI": right.leaves}.get(kind, [])
        if "condition" in ref:
            self.match(ref["condition"], seen, matched if manner == "REGULAR" else [], kind, left, right)
        for one, other in ((left, right), (right, left)) if manner == "REGULAR" and kind in ("INNER", "SEMI") else ():
            for held in other.sight.listed:
                for name in using:
                    for leaf in one.leaves if name in held.columns else ():
                        leaf.lists += [(key, self.listed(held, name))] if (key := one.sight.means(leaf, [name])) else []
        if manner == "ASOF":
            # Fewer rows to the right would change which one is matched, unless whole groups of equals go.
            alone = len(right.sight.aliases) == 1 and len(right.sight.visible) == 1
            for leaf in right.leaves:
                leaf.only = (
                    {(id(one), x) for pair in seen.pairs for one, x in ((pair.a, pair.x), (pair.b, pair.y)) if one in right.sight.visible}
                    if alone
                    else set()
                )
            if kind not in ("INNER", "LEFT"):
                return Part(seen, [], strict=True)
        if kind in ("SEMI", "ANTI"):
            seen = Sight(left.sight.visible, seen.pairs, left.sight.merged, left.sight.aliases, left.sight.listed, seen.murky)
        return Part(seen, both, strict)

    def match(self, condition: Node, seen: Sight, matched: list[Leaf], kind: str, left: Part, right: Part) -> None:
        """The condition by which a join of a kind matches rows of either side; it thins out `matched`."""
        if kind in ("INNER", "SEMI"):
            self.apply(condition, seen, matched)
            return
        pairs = [pair for part in conjuncts(condition) if (pair := equality(part, seen))]
        # Of rows that match, all of it is true.
        self.apply(condition, replace(seen, pairs=[*seen.pairs]), matched)
        seen.pairs += [one for pair in pairs for one in matching(pair, kind, left, right)]


def first_rows(select: Node) -> list[Node]:
    """How many rows at most a SELECT takes of its table, whichever they are, as a sum; empty if that is not told."""
    plain = {"type", "modifiers", "cte_map", "select_list", "from_table", "aggregate_handling"}
    modifiers = select.get("modifiers", [])
    if set(select) - plain or select["from_table"]["type"] != "BASE_TABLE" or [one["type"] for one in modifiers] != ["LIMIT_MODIFIER"]:
        return []
    counts = [modifiers[0][key] for key in ("limit", "offset") if key in modifiers[0]]
    simple = all(part["class"] in ("COLUMN_REF", "STAR") for part in select["select_list"]) and all(map(constant, counts))
    return counts if simple and "limit" in modifiers[0] else []


def listing(alias: str, held: Listed | None) -> Part:
    """A piece of a FROM that is none of the lake's tables."""
    return Part(Sight(aliases=[alias], listed=[held] if held else []))


def conjuncts(condition: Node) -> list[Node]:
    """The parts of a condition that must all be met."""
    if condition["type"] == "CONJUNCTION_AND":
        return [part for child in condition["children"] for part in conjuncts(child)]
    return [condition]


def equality(condition: Node, sight: Sight) -> Pair | None:
    """The two columns that a condition makes equal."""
    if OPERATORS.get(condition["type"]) != "=":
        return None
    left, right = (
        sight.owner(side["column_names"]) if side["type"] == "COLUMN_REF" else None for side in (condition["left"], condition["right"])
    )
    if not left or not right or left[0] is right[0] or left[0].kind(left[1]) != right[0].kind(right[1]):
        return None
    return Pair(*left, *right)


def matching(pair: Pair, kind: str, left: Part, right: Part) -> list[Pair]:
    """What two equal columns in the condition of a join say of its rows, by the kind of join: those that have no match need not have them equal."""
    if kind in ("INNER", "SEMI"):
        return [pair]
    missing = left if kind == "RIGHT" else right
    a, b = (one in missing.sight.visible for one in (pair.a, pair.b))
    if kind == "FULL":
        return [replace(pair, outer="both")] if a != b else []
    if a == b:
        # Two columns of the side whose rows stay, equal or not; or two of the other's, of which only equal ones are found.
        return [pair] if a else []
    return [Pair(pair.b, pair.y, pair.a, pair.x, "one") if a else replace(pair, outer="one")]


def own_columns(ref: Node) -> Node:
    """The column names that a reference to a CTE gives."""
    return {"column_name_alias": ref["column_name_alias"]} if ref.get("column_name_alias") else {}


def within(node: Node, hidden: Hidden) -> Hidden:
    """The names that CTEs take inside a node."""
    ctes = (node.get("cte_map") or {}).get("map", ())
    if not ctes:
        return hidden
    inner = {**hidden}
    for one in ctes:
        value = one["value"]
        body = value.get("query_node") or value.get("query", {}).get("node") or {}
        inner[one["key"].lower()] = Named(one["key"].lower(), body, value.get("aliases", []), node, inner, as_constant(value))
    return inner


def as_constant(cte: Node) -> Node | None:
    """A CTE of constants, as a subquery that may stand in its place."""
    body = cte.get("query_node") or cte.get("query", {}).get("node") or {}
    if body.get("type") != "SELECT_NODE" or not constant(body, asks=True):
        return None
    return {"type": "SUBQUERY", "subquery": {"node": body}, "column_name_alias": cte.get("aliases", [])}


def as_list(ref: Node) -> Listed | None:
    """A relation of constants with named columns."""
    if ref["type"] not in ("SUBQUERY", "TABLE_FUNCTION", "EXPRESSION_LIST"):
        return None
    columns = ref.get("column_name_alias") or [
        one.get("alias", "") for one in ref.get("subquery", {}).get("node", {}).get("select_list", ())
    ]
    if not columns or not all(columns) or len({name.lower() for name in columns}) < len(columns) or not constant(ref, asks=True):
        return None
    bare = {key: part for key, part in ref.items() if key not in ("alias", "column_name_alias", "sample")}
    return Listed(bare, ref.get("alias", "").lower(), tuple(name.lower() for name in columns))
