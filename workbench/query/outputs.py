"""The columns that a query gives, and what each is of the lake's tables below: what a condition on it says of them."""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from workbench.query.predicates import CASTS, TYPES, Span, Translation
from workbench.query.sights import TYPE, Leaf, Output, Part, Sight
from workbench.query.trees import Holes, Node, known, nodes, type_of, word


def outputs(select: Node, part: Part, holes: Holes, spans: dict[str, Span]) -> Output | None:
    """The columns that a SELECT gives, by the FROM that it has; None if they are not known."""
    windows = [one for key in ("select_list", "qualify") for one in nodes(select.get(key, [])) if one.get("class") == "WINDOW"]
    sight = part.sight

    def told(names: Sequence[str]) -> Mapping[int, str] | None:
        owner = sight.owner(names)
        # A window sees all rows of a partition, or fewer would change what it gives for others.
        if owner is None or any(
            owner not in [sight.owner(by["column_names"]) for by in columns(one.get("partitions", []))] for one in windows
        ):
            return None
        means = {id(leaf): key for leaf in part.leaves if (key := sight.means(leaf, names))}
        return {TYPE: owner[0].kind(owner[1])} | means

    made: Output = []
    for one in select["select_list"]:
        if one["class"] == "STAR":
            if (whole := starred(one, sight)) is None:
                return None
            replaced = {str(new["key"]).lower() for new in one.get("replace_list", ())}
            made += [(name, None if name in replaced else told([*prefix, name])) for prefix, name in whole]
        elif one["class"] == "COLUMN_REF":
            names = one["column_names"]
            made.append((str(one.get("alias") or names[-1]).lower(), told(names)))
        else:
            made.append((str(one.get("alias", "")).lower(), None if windows else expressed(one, part, holes, spans)))
    return made


def expressed(one: Node, part: Part, holes: Holes, spans: dict[str, Span]) -> Mapping[int, str] | None:
    """What an expression in a SELECT is of the tables below: a text, what rises with one of their columns, or of a type that they have."""
    if one["class"] == "CONSTANT":
        if not word(one):
            return None if known(one) else {}
        spans.setdefault(key := f"{TYPES['ticker']} {word(one)}", Span(bare := alone(one), bare, "text"))
        return {TYPE: TYPES["ticker"]} | dict.fromkeys(map(id, part.leaves), key)
    made: dict[int, str] = {}
    for leaf in part.leaves:

        def means(names: Sequence[str], leaf: Leaf = leaf) -> str | None:
            return part.sight.means(leaf, names)

        span = Translation(means, holes, part.strict, alone=False, spans=spans).span(one)
        if span and span.kind != "constant":
            made[id(leaf)] = key = json.dumps(canonical(one, means))
            spans.setdefault(key, replace(span, plain=False))
    cast = CASTS.get(type_of(one)) if one["class"] == "CAST" else None
    kinds = {cast} if cast else {*made.values()}
    return {TYPE: str(kinds.pop())} | made if len(kinds) == 1 else None


def alone(one: Node) -> Node:
    """An expression without the name that it is given."""
    return {key: part for key, part in one.items() if key != "alias"}


def canonical(tree: Any, means: Callable[[Sequence[str]], str | None]) -> Any:
    """An expression as it reads for any table: with the spans that its columns are in their place."""
    if isinstance(tree, list):
        return [canonical(part, means) for part in tree]
    if not isinstance(tree, dict):
        return tree
    if tree.get("class") == "COLUMN_REF":
        return {"means": means(tree["column_names"])}
    return {key: canonical(part, means) for key, part in tree.items() if key != "alias" and not key.startswith("query_location")}


def starred(star: Node, sight: Sight) -> list[tuple[list[str], str]] | None:
    """The columns that a star gives, as references; None if that is not known."""
    if star.get("columns") or star.get("expr") or star.get("rename_list") or star.get("qualified_exclude_list"):
        return None
    relation = str(star.get("relation_name", "")).lower()
    among = [one for one in sight.visible if relation in ("", one.alias)]
    # Of a join, a star gives the columns that USING made one but once.
    if len(among) != 1 or (not relation and len(sight.aliases) > 1) or (relation and sight.aliases.count(relation) != 1):
        return None
    left_out = {str(name).lower() for name in star.get("exclude_list", ())}
    if not left_out <= {*among[0].columns}:
        return None
    return [([relation] if relation else [], name) for name in among[0].columns if name not in left_out]


def columns(parts: Sequence[Node]) -> list[Node]:
    """Those of some expressions that are columns."""
    return [part for part in parts if part["class"] == "COLUMN_REF"]


def united(sides: Sequence[Output], *, by_name: bool) -> Output | None:
    """The columns of a UNION. One that is anything else on a side may be of another type than the lake's, and is compared otherwise."""
    if by_name:
        names = list(dict.fromkeys(name for side in sides for name, _ in side))
        if any(len(dict(side)) != len(side) for side in sides):
            return None
        sides = [[(name, dict(side).get(name, {})) for name in names] for side in sides]
    if len({len(side) for side in sides}) != 1:
        return None
    made: Output = []
    for column in zip(*sides, strict=True):
        origins = [told for _, told in column]
        whole = {leaf: key for told in origins if told for leaf, key in told.items()}
        types = {told[TYPE] for told in origins if told}
        made.append((column[0][0], None if None in origins or len(types) > 1 else whole))
    return made
