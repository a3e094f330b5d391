"""The parameters of a notebook: what its `parameters` cell declares, and values for them as they are typed at a prompt.

A value is taken for what the notebook's own is: a number for a number, a list for a list (as A,B or as JSON), text for text, so that the
ticker TRUE stays one. Where the notebook's own says nothing (None), it is taken as papermill's `-p` takes it, and lists besides.
"""

import ast
import io
import json
import math
import re
import tokenize
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any

from workbench.errors import BadSetting, UnknownName, UsageError
from workbench.runs.masking import Secrets, says_secret

NUMBER, WHOLE = re.compile(r"[-+]?(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d+)?"), re.compile(r"[-+]?\d+")
ISO_DATE = re.compile(r"\d{4}-\d{2}-\d{2}")
WORDS: dict[str, Any] = {"True": True, "true": True, "False": False, "false": False, "None": None, "null": None}
UNKNOWN = object()
# Python reads no longer one.
LONGEST_NUMBER = 4000
# What reading a text as a value may raise: `{[1]: 2}` is a TypeError, a thousand brackets the others.
UNREADABLE = (ValueError, SyntaxError, TypeError, RecursionError, MemoryError)


@dataclass(frozen=True)
class Parameter:
    """What a notebook can be given: its name, its own value (as it is written, and what that is), type and comment."""

    name: str
    written: str
    own: Any = UNKNOWN
    annotation: str = ""
    comment: str = ""

    @property
    def kind(self) -> str:
        """What a value must be: number, whole number, flag, list, mapping, date, text; empty if nothing says it."""
        said = self.annotation.lower()
        for word, kind in (("list", "list"), ("tuple", "list"), ("sequence", "list"), ("dict", "mapping"), ("bool", "flag"), ("float", "number")):
            if re.search(rf"\b{word}\b", said):
                return kind
        for word, kind in (("int", "whole number"), ("date", "date"), ("str", "text")):
            if re.search(rf"\b{word}\b", said):
                return kind
        if isinstance(self.own, bool):
            return "flag"
        if isinstance(self.own, int):
            return "whole number"
        if isinstance(self.own, float):
            return "number"
        if isinstance(self.own, list | tuple | set):
            return "list"
        if isinstance(self.own, dict):
            return "mapping"
        if isinstance(self.own, str):
            return "date" if ISO_DATE.fullmatch(self.own) else "text"
        return ""

    def value(self, text: str) -> Any:
        """A typed text as a value. Raises `BadSetting` for one that the notebook cannot take."""
        if text in ("None", "null"):
            return None
        kind = self.kind
        if kind == "text":
            return text
        found = {"list": listed, "date": dated}.get(kind, read)(text)
        right = {
            "flag": isinstance(found, bool),
            "whole number": isinstance(found, int) and not isinstance(found, bool),
            "number": isinstance(found, int | float) and not isinstance(found, bool),
            "list": isinstance(found, list),
            "mapping": isinstance(found, dict),
            "date": isinstance(found, str),
        }.get(kind, True)
        if not right:
            like = {"flag": "true or false", "date": "a date, as 2026-01-31", "list": "a list, as A,B or [1, 2]", "mapping": "JSON in braces"}
            raise BadSetting(
                f"the parameter {self.name} is {text!r}, but it must be {like.get(kind, f'a {kind}')} (the notebook's own is {self.written}); "
                "nothing was run."
            )
        return found


def read(text: str) -> Any:
    """A typed text as papermill takes it: a number, a flag, None, else text; and lists and mappings, as JSON or Python has them."""
    if text in WORDS:
        return WORDS[text]
    if WHOLE.fullmatch(text) and len(text) <= LONGEST_NUMBER:
        return int(text)
    if NUMBER.fullmatch(text):
        return float(text)
    if text[:1] in ("[", "{", "("):
        for parse in (json.loads, ast.literal_eval):
            try:
                found = parse(text)
            except UNREADABLE:
                continue
            return list(found) if isinstance(found, tuple | set) else found
    return text


def listed(text: str) -> Any:
    """A list as it is typed: JSON, or names with commas."""
    found = read(text)
    if isinstance(found, list) or text[:1] in ("[", "{", "("):
        return found
    return [piece.strip() for piece in text.split(",") if piece.strip()]


def dated(text: str) -> str | None:
    """A date in ISO form, which is how notebooks take one; None for what is none."""
    try:
        return date.fromisoformat(text).isoformat()
    except ValueError:
        return None


def declared(notebook: Mapping[str, Any]) -> dict[str, Parameter] | None:
    """The parameters of a notebook, by name; None if no cell is tagged `parameters`."""
    for cell in notebook["cells"]:
        if "parameters" in (cell.get("metadata", {}).get("tags") or []) and cell["cell_type"] == "code":
            source = cell["source"]
            return assigned(source if isinstance(source, str) else "".join(source))
    return None


def assigned(source: str) -> dict[str, Parameter]:
    """The names that a cell assigns, with what stands beside them. Raises `UsageError` for a cell that is not Python."""
    # A magic is no Python, and no parameter.
    source = "\n".join("" if line.lstrip().startswith(("%", "!")) else line for line in source.splitlines())
    try:
        body = ast.parse(source).body
    except SyntaxError as fault:
        raise UsageError(f"the cell tagged parameters cannot be read ({fault.msg}, its line {fault.lineno}); nothing was run.") from fault
    comments = {
        token.start[0]: token.string.lstrip("# ").strip()
        for token in tokenize.generate_tokens(io.StringIO(source).readline)
        if token.type == tokenize.COMMENT
    }
    found: dict[str, Parameter] = {}
    for statement in body:
        if isinstance(statement, ast.AnnAssign):
            targets: Sequence[ast.expr] = [statement.target]
            annotation = ast.unparse(statement.annotation)
        elif isinstance(statement, ast.Assign):
            targets, annotation = statement.targets, ""
        else:
            continue
        if statement.value is None:
            continue
        try:
            own = ast.literal_eval(statement.value)
        except UNREADABLE:
            own = UNKNOWN
        for target in targets:
            if isinstance(target, ast.Name):
                comment = comments.get(statement.end_lineno or 0, "")
                found[target.id] = Parameter(target.id, ast.unparse(statement.value), own, annotation, comment)
    return found


def checked(
    notebook: Mapping[str, Any], path: Path, given: Iterable[tuple[str, str]], secrets: Secrets, *, typed: bool = True
) -> dict[str, Any]:
    """The values to run a notebook with. Raises `UsageError` for what it does not take, or must not be given.

    `typed` values are texts from a prompt; others are taken as they are.
    """
    pairs = list(given)
    known = declared(notebook)
    if pairs and known is None:
        raise UsageError(
            f"{path.name} has no cell tagged parameters, so it takes none; nothing was run. Tag the cell that sets {pairs[0][0]} "
            "(JupyterLab: property inspector, cell tags), or leave -p out."
        )
    found: dict[str, Any] = {}
    for name, value in pairs:
        if known is None or name not in known:
            raise UnknownName("parameter", name, known or (), hint=f"`workbench run {path} --parameters` lists those of the notebook.")
        if name in found:
            raise UsageError(f"the parameter {name} was given twice; nothing was run. Give it once.")
        if says_secret(name) or any(text in secrets for text in texts(value)):
            raise UsageError(
                f"the parameter {name} is a secret, and parameters are kept in the notebook and on record; nothing was run. Put it into the "
                "environment or .env, where the notebook's kernel finds it."
            )
        taken = known[name].value(value) if typed else value
        if not kept(taken):
            raise BadSetting(
                f"the parameter {name} is {taken!r}, but it must be a text, a finite number, true, false, null, or a list or mapping (by text) of "
                "those, as it is kept on record; nothing was run. Give a date as its text, as 2026-01-31."
            )
        found[name] = taken
    return found


def kept(value: Any) -> bool:
    """Whether a value is in a record what it was before."""
    if isinstance(value, Mapping):
        return all(isinstance(name, str) and kept(one) for name, one in value.items())
    if isinstance(value, list | tuple):
        return all(map(kept, value))
    return value is None or isinstance(value, str | int) or (isinstance(value, float) and math.isfinite(value))


def texts(value: Any) -> Iterable[str]:
    """All texts within a value."""
    if isinstance(value, Mapping):
        for name, one in value.items():
            yield from (str(name), *texts(one))
    elif isinstance(value, list | tuple | set):
        for one in value:
            yield from texts(one)
    else:
        yield str(value)
