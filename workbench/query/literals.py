"""Queries without their literals, as a log may keep them."""

import re

from workbench.runs.masking import LOGIN_IN_URL, MASK

# So much of a text is looked at, and so many characters of it are kept.
LOOKED_AT, LONGEST = 100_000, 4_000
# What a tokenizer may have left, also where a text ends within it.
STRINGS = re.compile(r"'(?:[^']|'')*(?:'|$)|\$(\w*)\$.*?(?:\$\1\$|$)", re.DOTALL)
NUMBERS = re.compile(r"(?<![\w$\"])\d[\w.]*")
COMMENTS = re.compile(r"--[^\n]*|/\*.*?(?:\*/|$)", re.DOTALL)
NUMBER = re.compile(rb"\.?\d")
LISTS = re.compile(r"\?(?:\s*,\s*\?){2,}")


def masked(query: str) -> str:
    """A query without its literals and comments, on one line: `?` stands for each literal, and `?, …` for three or more in a row. Never fails."""
    text = query[:LOOKED_AT]
    try:
        text = unquoted(text)
    except Exception:
        text = COMMENTS.sub(" ", STRINGS.sub("?", text))
    # Once more over what is left: the tokenizer of DuckDB 1.5 gives up at a string without an end, which then stands there whole.
    text = NUMBERS.sub("?", STRINGS.sub("?", text))
    text = " ".join(LISTS.sub("?, …", LOGIN_IN_URL.sub(rf"\1:{MASK}", text)).split())
    return text if len(text) <= LONGEST and len(query) <= LOOKED_AT else f"{text[:LONGEST]}…"


def unquoted(text: str) -> str:
    """A text with `?` in the place of its literals, and without comments, by DuckDB's own tokenizer, which counts in bytes."""
    import duckdb

    raw, pieces = text.encode(errors="replace"), list[bytes]()
    kinds = duckdb.token_type
    tokens = duckdb.tokenize(raw.decode())
    edges = [*(at for at, _ in tokens), len(raw)]
    after = b""
    for (at, kind), end in zip(tokens, edges[1:], strict=True):
        piece = raw[at:end]
        if kind == kinds.numeric_const and not NUMBER.match(piece):
            # The tokenizer of 2.0 takes a name after a dot for one.
            kind = kinds.identifier
        glued = bool(pieces) and after == b"number" and not raw[at - 1 : at].isspace()
        if kind == kinds.comment:
            pieces.append(b" ")
            after = b""
        elif kind in (kinds.string_const, kinds.numeric_const):
            pieces.append(b"?" + (b" " if piece[-1:].isspace() else b""))
            after = b"number" if kind == kinds.numeric_const and not piece[-1:].isspace() else b""
        elif glued and kind == kinds.identifier:
            # The rest of a number, as ff is of 0xff.
            pieces.append(b" " if piece[-1:].isspace() else b"")
            after = b""
        else:
            # Comments are no tokens in DuckDB 1.5, and stand in what follows the one before.
            pieces.append(COMMENTS.sub(" ", piece.decode(errors="replace")).encode())
            after = b""
    return b"".join(pieces).decode(errors="replace")
