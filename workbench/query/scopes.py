"""Which conditions the rows of a lake's table must meet to matter to a query: those of WHERE, and those by which they are joined.

A row may be left out if no row of the answer needs it. WHERE says so of every table whose rows pass on to it, but for those that an
outer join would replace by NULLs that meet the condition; ON says so of the sides that must match. Equal columns lend each other their
conditions.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from workbench.query.predicates import FEW, OPERATORS, SPANS, Translation
from workbench.query.trees import Holes, Node, constant, nodes
from workbench.tables import TABLES, Table, quote


@dataclass(eq=False)
class Leaf:
    """A table of the lake where it stands in a FROM, with the conditions that its rows must meet to matter.

    `only`, if not None, are the columns that conditions may speak of; the rest would change which rows an ASOF join matches.
    """

    node: Node
    table: Table
    alias: str
    tests: list[tuple[Node, "Sight"]] = field(default_factory=list)
    lists: list[tuple[str, str]] = field(default_factory=list)
    only: set[str] | None = None

    def key(self, name: str) -> str | None:
        """Under which name of `SPANS` the log knows a column."""
        name = name.lower()
        return "time" if name == self.table.time != "timestamp" else name if name in SPANS and name != "time" else None

    @property
    def columns(self) -> set[str]:
        return {c.name.lower() for c in self.table.columns}


Pair = tuple[Leaf, str, Leaf, str]


@dataclass(frozen=True)
class Listed:
    """A relation of constants in a FROM: its alias and columns."""

    node: Node
    alias: str
    columns: tuple[str, ...]


@dataclass
class Sight:
    """What a condition sees: the tables whose columns it may name, and which of their columns are equal in every row that matters.

    `merged` are the columns that USING made one, each with the table whose column it is (None: unknown). `murky` says that a bare
    name may be anybody's.
    """

    visible: list[Leaf] = field(default_factory=list)
    pairs: list[Pair] = field(default_factory=list)
    merged: dict[str, Leaf | None] = field(default_factory=dict)
    aliases: list[str] = field(default_factory=list)
    listed: list[Listed] = field(default_factory=list)
    murky: bool = False

    def owner(self, names: Sequence[str]) -> tuple[Leaf, str] | None:
        """The table and column that a reference means; None if it is none of the lake's, or not surely."""
        name = names[-1].lower()
        if len(names) == 1:
            if self.murky:
                return None
            # Two tables with a column of that name would be an error of the query's, unless USING made them one.
            owners: list[Leaf | None]
            owners = [self.merged[name]] if name in self.merged else [leaf for leaf in self.visible if name in leaf.columns]
        else:
            owners = [leaf for leaf in self.visible if len(names) == 2 and leaf.alias == names[0].lower()]
            if self.aliases.count(names[0].lower()) != 1:
                return None
        if len(owners) != 1 or (owner := owners[0]) is None:
            return None
        key = owner.key(name)
        return (owner, key) if key else None

    def means(self, leaf: Leaf, names: Sequence[str]) -> str | None:
        """Which of a table's columns a reference equals, in every row that matters."""
        found = self.owner(names)
        if found is None:
            return None
        same = {(id(found[0]), found[1])}
        for _ in self.pairs:
            for a, x, b, y in self.pairs:
                if {(id(a), x), (id(b), y)} & same:
                    same |= {(id(a), x), (id(b), y)}
        keys = [key for key in ((found[1],) if found[0] is leaf else SPANS) if (id(leaf), key) in same]
        return keys[0] if keys and (leaf.only is None or keys[0] in leaf.only) else None


@dataclass
class Part:
    """A piece of a FROM: what is seen of it, and the tables whose rows conditions above it may thin out."""

    sight: Sight = field(default_factory=Sight)
    leaves: list[Leaf] = field(default_factory=list)
    strict: bool = False


@dataclass
class Reading:
    """Reads one statement's tree, and finds the tables in it and their conditions."""

    holes: Holes = field(default_factory=Holes)
    found: list[tuple[Leaf, str, str]] = field(default_factory=list)

    def visit(self, tree: Any, hidden: Mapping[str, Node | None]) -> None:
        """Every SELECT in a tree; `hidden` are the names that CTEs take, with those of constants."""
        if isinstance(tree, list):
            for part in tree:
                self.visit(part, hidden)
        elif isinstance(tree, dict) and tree.get("type") == "SHOW_REF":
            self.describe(tree, hidden)
        elif isinstance(tree, dict):
            named = tree.get("cte_map") or {}
            hidden = {**hidden, **{one["key"].lower(): as_constant(one["value"]) for one in named.get("map", ())}}
            if tree.get("type") == "SELECT_NODE":
                self.select(tree, hidden)
            for part in tree.values():
                self.visit(part, hidden)

    def select(self, node: Node, hidden: Mapping[str, Node | None]) -> None:
        """One SELECT: its FROM, then its WHERE."""
        part = self.source(node.get("from_table", {}), hidden)
        if "where_clause" in node:
            self.apply(node["where_clause"], replace(part.sight, pairs=[*part.sight.pairs]), part.leaves)
        elif len(part.leaves) == 1 and (most := first_rows(node)):
            self.found.append((part.leaves[0], f"before < {' + '.join(map(self.holes.name, most))}", ""))
        alone = len(part.sight.aliases) == len(part.sight.visible)
        for leaf in part.leaves:
            tests, among = self.tests(leaf, strict=part.strict, alone=alone)
            # Each list of values is a join with the statistics: many of them cost more than they save.
            if tests and sum(test.count("EXISTS") for test in tests) <= FEW:
                self.found.append((leaf, " AND ".join(tests), among[0] if among else ""))

    def describe(self, ref: Node, hidden: Mapping[str, Node | None]) -> None:
        """DESCRIBE, whose answer takes no file; not SUMMARIZE."""
        parts = list(nodes(ref.get("query", {})))
        if ref.get("show_type") == "DESCRIBE" and not hidden and not any(part.get("cte_map", {}).get("map") for part in parts):
            self.found += [
                (leaf, "FALSE", "") for part in parts if part.get("type") == "BASE_TABLE" for leaf in self.table(part, {}).leaves
            ]

    def tests(self, leaf: Leaf, *, strict: bool, alone: bool) -> tuple[list[str], list[str]]:
        """What a file must meet to hold rows of a table that matter, and relations among which their tickers are."""
        made: list[str] = []
        among: list[str] = []
        for node, sight in leaf.tests:
            known = Translation(lambda names, sight=sight: sight.means(leaf, names), self.holes, strict, alone, among)  # type: ignore[misc]
            made += [test] if (test := known.condition(node)) else []
        blank = Translation(lambda _: None, self.holes, strict, alone, among)
        for key, relation in leaf.lists:
            if leaf.only is None or key in leaf.only:
                made += [test] if (test := blank.member(SPANS[key], "=", relation)) else []
        return made, among

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

    def source(self, ref: Node, hidden: Mapping[str, Node | None]) -> Part:
        """What stands in a FROM."""
        match ref.get("type", "EMPTY"):
            case "BASE_TABLE":
                return self.table(ref, hidden)
            case "JOIN":
                return self.join(ref, hidden)
            case "EMPTY":
                return Part()
            case _:
                return listing(str(ref.get("alias", "")).lower(), as_list(ref))

    def table(self, ref: Node, hidden: Mapping[str, Node | None]) -> Part:
        name, alias = ref["table_name"].lower(), str(ref.get("alias") or ref["table_name"]).lower()
        path: list[str] = ref.get("qualified_name", {}).get("path") or [ref.get("schema_name", "main"), name]
        if name in hidden and not ref.get("schema_name"):
            body = hidden[name]
            return listing(alias, as_list({**body, "alias": alias, **own_columns(ref)}) if body else None)
        foreign = ref.get("catalog_name") or len(path) > 2 or (len(path) == 2 and path[0].lower() not in ("main", ""))
        narrowed = name in TABLES and TABLES[name].kind != "reference"
        if not narrowed or foreign or ref.get("column_name_alias") or ref.get("at_clause"):
            return listing(alias, None)
        leaf = Leaf(ref, TABLES[name], alias)
        return Part(Sight([leaf], aliases=[alias]), [leaf])

    def join(self, ref: Node, hidden: Mapping[str, Node | None]) -> Part:
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
            a, b = (side.sight.merged[name] if name in side.sight.merged else sole(side.sight, name) for side in (left, right))
            if name in equal and a and b and (x := a.key(name)) and (y := b.key(name)) and x == y:
                seen.pairs.append((a, x, b, y))
            seen.merged[name] = {"RIGHT": b, "FULL": None}.get(kind, a)
        matched = {"INNER": both, "LEFT": right.leaves, "RIGHT": left.leaves, "SEMI": both}.get(kind, [])
        self.match(ref, seen, matched if manner == "REGULAR" else [])
        for one, other in ((left, right), (right, left)) if manner == "REGULAR" and kind in ("INNER", "SEMI") else ():
            for held in other.sight.listed:
                for name in using:
                    if name in held.columns and (leaf := sole(one.sight, name)) and (key := leaf.key(name)):
                        leaf.lists.append((key, self.listed(held, name)))
        if manner == "ASOF":
            # Fewer rows to the right would change which one is matched, unless whole groups of equals go.
            for leaf in right.leaves:
                alone = leaf is right.leaves[0] and len(right.sight.aliases) == 1
                leaf.only = {y if b is leaf else x for a, x, b, y in seen.pairs if leaf in (a, b)} if alone else set()
            if kind not in ("INNER", "LEFT"):
                return Part(seen, [], strict=True)
        if kind in ("SEMI", "ANTI"):
            seen = Sight(left.sight.visible, seen.pairs, left.sight.merged, left.sight.aliases, left.sight.listed, seen.murky)
        return Part(seen, left.leaves if kind == "ANTI" else both, strict)

    def match(self, ref: Node, seen: Sight, matched: list[Leaf]) -> None:
        """The condition by which a join matches rows."""
        if "condition" in ref and matched:
            self.apply(ref["condition"], seen, matched)
        elif "condition" in ref:
            seen.pairs += [pair for part in conjuncts(ref["condition"]) if (pair := equality(part, seen))]


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


def sole(sight: Sight, name: str) -> Leaf | None:
    """The one table in sight that has a column."""
    owners = [leaf for leaf in sight.visible if name in leaf.columns]
    return owners[0] if len(owners) == 1 and not sight.murky else None


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
    return (*left, *right) if left and right and left[1] == right[1] and left[0] is not right[0] else None


def own_columns(ref: Node) -> Node:
    """The column names that a reference to a CTE gives."""
    return {"column_name_alias": ref["column_name_alias"]} if ref.get("column_name_alias") else {}


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
