"""Which table each file of a folder is of, as its path tells: by its name, by its folder's, by its schema's folder; Hive folders are columns."""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path, PurePath
from urllib.parse import unquote

from workbench.tables.platforms import OTHER_NAMES, PLATFORMS, RECORDS, SCHEMAS

# What is read, by the end of its name.
FORMATS = {
    **dict.fromkeys((".csv", ".csv.gz", ".tsv", ".tsv.gz", ".txt.gz"), "csv"),
    **dict.fromkeys((".parquet", ".pq"), "parquet"),
    **dict.fromkeys((".arrow", ".feather", ".ipc"), "arrow"),
}
HIVE = re.compile(r"([A-Za-z_]\w*)=(.*)")
# How Hive's folders spell NULL.
NOTHING = "__HIVE_DEFAULT_PARTITION__"
# How tools name the parts of what they write into a folder.
PART = re.compile(r"(?:part|data|chunk|batch|file|block)?[-_.]?[\d\W_]+|(?:part|data)[-_].*|[0-9a-f-]{32,36}(?:[-_]\d+)?", re.IGNORECASE)

TABLES = {name for full in (*RECORDS, *OTHER_NAMES) for name in (full.lower(), full.partition(".")[2].lower())}
DATABASES = {name.lower() for name in (*SCHEMAS, *(base for one in PLATFORMS.values() for base in one.databases))}


@dataclass(frozen=True)
class File:
    """A file: the table that it is of, its format, and what the folders above it say of its rows."""

    path: Path
    table: str
    format: str
    folders: tuple[tuple[str, str | None], ...] = ()


def files(root: Path) -> list[File]:
    """What there is in a folder, or a file alone, in order of their tables' names and their own; files that begin with . or _ are left out."""
    if root.is_file():
        kind = format_of(root)
        return [File(root, stem(root), kind)] if kind else []
    found = []
    for path in sorted(root.rglob("*")):
        inside = path.relative_to(root)
        if not path.is_file() or any(part.startswith((".", "_")) for part in inside.parts):
            continue
        if kind := format_of(path):
            hive = tuple(
                (one[1], None if one[2] == NOTHING else unquote(one[2])) for part in inside.parts[:-1] if (one := HIVE.fullmatch(part))
            )
            found.append(File(path, table_of(root, inside), kind, hive))
    return sorted(found, key=lambda one: (one.table, one.path))


def format_of(path: PurePath) -> str:
    """The format that a file's name tells; empty for one that is not read."""
    return next((kind for ending, kind in FORMATS.items() if path.name.lower().endswith(ending)), "")


def stem(path: PurePath) -> str:
    """A file's name without its format."""
    return next(path.name[: -len(ending)] for ending in sorted(FORMATS, key=len, reverse=True) if path.name.lower().endswith(ending))


def table_of(root: Path, inside: PurePath) -> str:
    """The table that a file in a folder is of.

    Below Hive folders, or under a name that numbers parts, it is the folder's; else what has the name of a documented table says so, the file or the
    nearest folder; else a schema's folder holds a file for each table, and any other folder is a table itself.
    """
    above = [part for part in inside.parts[:-1] if not HIVE.fullmatch(part)]
    hive = len(above) < len(inside.parts) - 1
    name = stem(inside)
    if not above:
        whole = hive or PART.fullmatch(name) or (root.name.lower() in TABLES and name.lower() not in TABLES)
        return of_schema([root.parent.name, root.name]) if whole else of_schema([root.name, name])
    if not hive and not PART.fullmatch(name) and (name.lower() in TABLES or f"{above[-1]}.{name}".lower() in TABLES):
        return of_schema([*above, name])
    for depth in range(len(above), 0, -1):
        if above[depth - 1].lower() in TABLES:
            return of_schema([root.name, *above[:depth]])
    if above[0].lower() in DATABASES:
        return ".".join([above[0], above[1] if above[1:] else name])
    return above[0]


def of_schema(names: Iterable[str]) -> str:
    """The last of some names, with the one before it if that is a schema's or a database's and the last has none."""
    *before, name = names
    schema = before[-1] if before else ""
    return f"{schema}.{name}" if schema.lower() in DATABASES and "." not in name else name
