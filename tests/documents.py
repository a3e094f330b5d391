"""The documents of the old platforms, where they stand beside the project, and the SQL in them."""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

DOCUMENTS = Path(__file__).resolve().parents[2] / "shared" / "documents"
there = pytest.mark.skipif(not DOCUMENTS.is_dir(), reason="the old platforms' documents are not beside the project")

FENCE = re.compile(r"^[ \t]*```(\w*)[ \t]*\n(.*?)^[ \t]*```", re.MULTILINE | re.DOTALL)
# A statement as psql is given it, on a line of its own or after a backslash.
PSQL = re.compile(r'psql\b(?:[^"\n]|\\\n)*-c\s*\\?\s*"([^"]*)"')
PYTHON = re.compile(r'\btext\("([^"]*)"\)')
COMMENT = re.compile(r"--[^\n]*")
# What is typed into a shell that a line before opened, or stands there as if it were.
TYPED = re.compile(r"^[ \t]*(\.\w+[^\n]*|(?:SELECT|WITH|ALTER|CREATE|GRANT|INSERT|UPDATE|DELETE)\b[^;]*)", re.MULTILINE)


def blocks(document: str) -> Iterator[tuple[str, str]]:
    """The fenced blocks of a document's text: language and content."""
    return ((found[1], found[2]) for found in FENCE.finditer(document))


def statements(document: str) -> list[str]:
    """Every SQL statement of a document, as written: of its SQL, of what psql and the SQLite shell are given, of what Python sends."""
    found: list[str] = []
    for language, content in blocks(document):
        if language == "sql":
            found += split(content)
        elif language == "bash":
            found += [one for given in PSQL.findall(content) for one in split(given)]
            found += [typed.rstrip() for typed in TYPED.findall(PSQL.sub("", content))]
        elif language == "python":
            found += PYTHON.findall(content)
    return found


def split(script: str) -> list[str]:
    """The statements of a script, without those that only comment."""
    parts = re.split(r";[ \t]*(?:--[^\n]*)?(?:\n|$)", script)
    return [part.strip("\n") for part in parts if COMMENT.sub("", part).strip()]


def plain(statement: str) -> str:
    """A statement on one line, without comments."""
    return " ".join(COMMENT.sub("", statement).split())
