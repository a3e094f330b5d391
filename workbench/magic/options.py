"""The options of `%%sql`, read from its line."""

import re
from dataclasses import dataclass
from difflib import get_close_matches
from keyword import iskeyword

from workbench.errors import UsageError

# What each takes, and is for.
OPTIONS = {
    "as": ("name", "keep the rows in a variable, as a polars frame"),
    "pl": ("", "give a polars frame"),
    "df": ("", "give a pandas frame, or keep one"),
    "limit": ("rows", "show so many rows; what is kept or given is whole"),
    "bench": ("name", "the variable that holds the workbench"),
    "platform": ("name", "read the SQL as a documented platform's"),
    "explain": ("", "show how DuckDB would run it, and run nothing"),
}
LEADING = re.compile(r"\s*--([A-Za-z][\w-]*)(=?)")
VALUE = re.compile(r"\s*(?:\"([^\"]*)\"|'([^']*)'|([^\s;]+))")
MOST = 1000


@dataclass
class Options:
    """How a statement is run and shown."""

    name: str = ""
    frame: str = ""
    limit: int = 20
    bench: str = ""
    platform: str = ""
    explain: bool = False


def read(line: str) -> tuple[Options, str]:
    """The options that a text begins with, and the rest. Raises `UsageError`."""
    options, at = Options(), 0
    while found := LEADING.match(line, at):
        word, at = found[1].lower(), found.end()
        if word not in OPTIONS:
            near = get_close_matches(word, OPTIONS, n=1, cutoff=0.5)
            hint = f"did you mean --{near[0]}?" if near else f"There are {', '.join(f'--{one}' for one in OPTIONS)}."
            raise UsageError(f"%%sql has no option --{word}; nothing was run; {hint}")
        value = ""
        if OPTIONS[word][0]:
            given = VALUE.match(line, at)
            if not given or (given[3] and given[3].startswith("--")):
                raise UsageError(f"--{word} needs a value ({OPTIONS[word][0]}); nothing was run.")
            value, at = next(part for part in given.groups() if part is not None), given.end()
        take(options, word, value)
    if options.explain and (options.name or options.frame):
        raise UsageError("--explain runs nothing, so there are no rows to keep; nothing was run. Leave out --as, --df and --pl.")
    return options, line[at:]


def take(options: Options, word: str, value: str) -> None:
    """Take in one option. Raises `UsageError` for a value that it cannot have."""
    if word == "as":
        if not value.isidentifier() or iskeyword(value):
            raise UsageError(f"--as {value} is no name that a variable can have; nothing was run.")
        options.name = value
    elif word in ("pl", "df"):
        if options.frame not in ("", word):
            raise UsageError("--pl and --df ask for two kinds of frame; nothing was run. Give one.")
        options.frame = word
    elif word == "limit":
        if not value.isdigit() or not 1 <= int(value) <= MOST:
            raise UsageError(f"--limit is a number of rows to show from 1 to {MOST}, not {value}; nothing was run.")
        options.limit = int(value)
    elif word == "explain":
        options.explain = True
    else:
        setattr(options, word, value)
