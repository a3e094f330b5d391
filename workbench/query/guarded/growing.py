"""How long a value a function can make, as far as the text of a query tells.

DuckDB makes one value in one go, and 2,048 of them at a time: it counts their bytes to no limit, and cannot be stopped before they are made. So what makes long
values of short ones is held to plain numbers and texts, and what all of it could make together is bounded.
"""

import re
from collections.abc import Sequence

from workbench.query.trees import Node, nodes, word

LONG = 100_000
# Compares each letter of one text with each of another.
COMPARED = 1000
PADS = frozenset(("lpad", "rpad", "list_resize", "array_resize"))
SERIES = frozenset(("range", "generate_series"))
DISTANCES = frozenset(("levenshtein", "editdist3", "damerau_levenshtein"))
REDUCES = frozenset(("list_reduce", "array_reduce", "reduce"))
JOINS = frozenset(("||", "concat", "list_concat", "array_concat", "list_cat", "array_cat", "concat_ws"))
LENGTHS = frozenset(("len", "length", "array_length", "strlen"))
# Steps of which a list from the first day that there is to the last one still fits.
STEPS = frozenset(("to_days", "to_weeks", "to_months", "to_quarters", "to_years"))
RECKONS = frozenset("+ - * / // % ** ^ abs round floor ceil sqrt ln log exp pow power greatest least sign mod if ifnull trunc".split())  # noqa: SIM905
DIGITS = re.compile(r"\d+")
# Widths that are among the values: %*d, and {:{}}.
WIDTHS = re.compile(r"%[^a-zA-Z%]*\*|\{[^}]*\{")
# Texts put behind each other, of which each could be the other one, but seldom is: a line of fifty columns may be made, and no tower of hundreds.
DOUBLES = 1.25


def of_any_length(name: str) -> bool:
    """Whether it is one of the functions whose arguments are looked at."""
    return name in PADS | SERIES | DISTANCES | REDUCES | {"repeat", "printf", "format", "replace", "regexp_replace", "array_to_string"}


def growth(name: str, given: Sequence[Node]) -> tuple[str, float]:
    """Why the value of a function could take any memory or time, empty if it could not; and how many times as long as its arguments it may be."""
    if name in PADS or name == "repeat":
        size = bound(given[1]) if len(given) > 1 else None
        if size is None or size > LONG:
            return f"its length must be a plain number up to {LONG:,}, as least(length, 100) is", 1.0
        return "", max(1.0, size) if name == "repeat" else 1.0
    if name in ("printf", "format"):
        pattern = word(given[0]) if given and plain(given[0]) else None
        if pattern is None or WIDTHS.search(pattern) or any(len(digits) > 4 for digits in DIGITS.findall(pattern)):
            return "its pattern must be a plain text, with widths of up to four digits", 1.0
    if name in ("replace", "regexp_replace") and len(given) > 2:
        if not plain(given[2]):
            return "what it puts in must be a plain text", 1.0
        new, old = len(word(given[2]) or ""), len(word(given[1]) or "") if plain(given[1]) and name == "replace" else 1
        # A pattern may be found between any two letters, and what it found may be put in again.
        return "", max(1.0, new / max(1, old)) if name == "replace" else float(new + 1) if len(given) > 3 else 1.0
    if name == "array_to_string" and len(given) > 1:
        return ("", max(1.0, len(word(given[1]) or ""))) if plain(given[1]) else ("what stands between must be a plain text", 1.0)
    if name in SERIES:
        return series(name, given)
    if name in DISTANCES and not all(plain(one) or ((size := cut(one)) is not None and size <= COMPARED) for one in given):
        return f"texts are compared letter by letter, so cut them: {name}(left(name, 100), …)", 1.0
    if name in REDUCES and any(
        one["class"] == "FUNCTION" and called(one) not in RECKONS
        for found in given
        if found.get("class") == "LAMBDA"
        for one in nodes(found.get("expr") or {})
        if "class" in one
    ):
        return "it may only reckon, with + and max and the like; string_agg() and array_to_string() put texts together", 1.0
    return "", DOUBLES if name in JOINS and sum(not plain(one) for one in given) > 1 else 1.0


def series(name: str, given: Sequence[Node]) -> tuple[str, float]:
    """The same, of a list of numbers or days."""
    if len(given) == 3 and called(given[2]) in STEPS:
        return "", 1.0
    sizes = [float(COMPARED) if called(one) in LENGTHS else bound(one) for one in given]
    if any(size is None or size > LONG for size in sizes):
        return (
            f"a list has up to {LONG:,} plain numbers, or least(number, 100), or days; as a table, FROM {name}(…), it has as many as are wanted",
            1.0,
        )
    return "", max([1.0, *(size for size in sizes if size is not None)])


def plain(node: Node) -> bool:
    """Whether it is a literal."""
    return node.get("class") == "CONSTANT"


def called(node: Node) -> str:
    """The name of the function that is called; empty if none is."""
    return str(node.get("function_name") or "").lower() if node.get("class") == "FUNCTION" else ""


def arguments(node: Node) -> list[Node]:
    """What a function is given."""
    told = node.get("arguments")
    return [one["expression"] for one in told] if told is not None else list(node.get("children", ()))


def cut(node: Node) -> float | None:
    """The length that a text is cut to; None if it is not."""
    told = arguments(node) if called(node) in ("left", "right", "substring", "substr") else []
    return number(told[-1]) if len(told) == (3 if called(node).startswith("sub") else 2) else None


def bound(node: Node) -> float | None:
    """The greatest number that it can be; None if any."""
    if called(node) == "least":
        known = [told for one in arguments(node) if (told := number(one)) is not None]
        return min(known, default=None)
    if node.get("class") == "CAST":
        return bound(node.get("child") or {})
    return number(node)


def number(node: Node) -> float | None:
    """A literal number, without its sign; None for anything else."""
    if called(node) == "-" and len(told := arguments(node)) == 1:
        return number(told[0])
    if not plain(node):
        return None
    told_as = (node.get("literal") or {}).get("text", (node.get("value") or {}).get("value"))
    try:
        return abs(float(str(told_as).replace("_", "")))
    except ValueError:
        return None
