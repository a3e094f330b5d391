"""Names and types as Spark's SQL writes them, and what rows are handed over as that it has no type for."""

import re
from collections.abc import Iterator

TYPES = {
    "VARCHAR": "STRING",
    "DOUBLE": "DOUBLE",
    "FLOAT": "FLOAT",
    "BIGINT": "BIGINT",
    "INTEGER": "INT",
    "SMALLINT": "SMALLINT",
    "TINYINT": "TINYINT",
    "BOOLEAN": "BOOLEAN",
    "DATE": "DATE",
    "TIMESTAMP": "TIMESTAMP_NTZ",
    "TIMESTAMPTZ": "TIMESTAMP",
    "TIMESTAMP WITH TIME ZONE": "TIMESTAMP",
    "BLOB": "BINARY",
}
# What Parquet, or Spark, has no type for, and what it is handed over as.
HANDED = (
    (r'"NULL"', "VARCHAR"),
    (r"\bUUID\b|\bJSON\b|\bINTERVAL\b|\bTIME\b(?! ZONE)|\bENUM\([^)]*\)", "VARCHAR"),
    (r"\bU?HUGEINT\b", "DECIMAL(38, 0)"),
    (r"\bUBIGINT\b", "DECIMAL(20, 0)"),
    (r"\bUINTEGER\b", "BIGINT"),
    (r"\bUSMALLINT\b", "INTEGER"),
    (r"\bUTINYINT\b", "SMALLINT"),
    (r"\bTIMESTAMP_(NS|MS|S)\b", "TIMESTAMP"),
)


def handed(column: str, kind: str) -> str:
    """A column as it is handed over."""
    told = kind
    for pattern, instead in HANDED:
        told = re.sub(pattern, instead, told)
    return quoted(column) if told == kind else f"CAST({quoted(column)} AS {told}) AS {quoted(column)}"


def spark_type(kind: str) -> str:
    """A type of DuckDB's by Spark's name."""
    kind = kind.strip()
    if kind.endswith("[]"):
        return f"ARRAY<{spark_type(kind[:-2])}>"
    if kind.startswith("STRUCT("):
        return f"STRUCT<{', '.join(f'{tick(name)}: {spark_type(one)}' for name, one in fields(kind[7:-1]))}>"
    if kind.startswith("MAP("):
        key, value = split(kind[4:-1])
        return f"MAP<{spark_type(key)}, {spark_type(value)}>"
    return kind if kind.startswith("DECIMAL(") else TYPES[kind]


def fields(inside: str) -> Iterator[tuple[str, str]]:
    """The fields of a struct's type."""
    for one in split(inside):
        told = re.match(r'"((?:[^"]|"")*)"\s+(.*)|(\S+)\s+(.*)', one.strip(), re.DOTALL)
        assert told
        yield (told[1].replace('""', '"'), told[2]) if told[1] is not None else (told[3], told[4])


def split(inside: str) -> list[str]:
    """The parts of a text between the commas that stand in no brackets."""
    parts, depth = [""], 0
    for letter in inside:
        depth += (letter in "(<") - (letter in ")>")
        if letter == "," and not depth:
            parts.append("")
        else:
            parts[-1] += letter
    return parts


def tick(name: str) -> str:
    """A name as Spark's SQL quotes it."""
    return "`" + name.replace("`", "``") + "`"


def quoted(name: str) -> str:
    """A name as DuckDB's SQL quotes it."""
    return '"' + name.replace('"', '""') + '"'


def text_of(told: str) -> str:
    """A text as Spark's SQL writes it."""
    return "'" + told.replace("\\", "\\\\").replace("'", "\\'") + "'"
