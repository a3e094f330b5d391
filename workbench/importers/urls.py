"""The kinds of old databases, how each is opened, and how a URL is told without its password."""

import importlib
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import unquote_plus

from workbench.errors import MissingExtra, SourceError, UnknownName, UsageError, WorkbenchError
from workbench.importers.origin import Origin

# So long an import waits for a server that does not answer.
TIMEOUT_S = 10.0


@dataclass(frozen=True)
class Kind:
    """A kind of database: the module and class that read it, whether it is a file or folder, and what a place of it looks like."""

    module: str
    origin: str
    example: str
    file: bool = False
    aliases: tuple[str, ...] = ()


KINDS: Mapping[str, Kind] = {
    "sqlite": Kind("sqlite", "Sqlite", "data/trading_bot.db", file=True, aliases=("sqlite3",)),
    "json": Kind("json_files", "JsonFiles", "data/", file=True),
    "postgres": Kind("postgres", "Postgres", "postgresql://user:password@host/db", aliases=("postgresql", "timescale", "timescaledb")),
    "mongo": Kind("mongo", "Mongo", "mongodb://user:password@host/db", aliases=("mongodb",)),
    "kdb": Kind("kdb", "Kdb", "kdb://user:password@host:5001", aliases=("kdb+", "q")),
    "files": Kind("files", "Files", "dumps/", file=True, aliases=("csv", "parquet", "folder")),
}
CALLED = {word: name for name, one in KINDS.items() for word in (name, *one.aliases)}

MASK = "***"
# What stands before the password in the settings that drivers take in a URL's query, or instead of a URL.
SETTING = re.compile(r"""(?i)\b((?:ssl)?password|passwd|pwd|authMechanismProperties)\s*=\s*('(?:[^'\\]|\\.)*'|[^\s&]+)""")
# Of an exception only so many others that led to it are looked through.
DEPTH = 20


def kind_of(word: object) -> str:
    """The kind of that name, or of which that is another. Raises `UnknownName`."""
    if isinstance(word, str) and word.lower() in CALLED:
        return CALLED[word.lower()]
    raise UnknownName("kind of database", str(word), KINDS)


def opened(kind: str, url: str | Path, *, timeout: float = TIMEOUT_S) -> Origin:
    """An old database, open for reading. Raises as `Origin` says, `MissingExtra` without its driver, and tells no password."""
    named = KINDS[kind_of(kind)]
    if not str(url).strip():
        raise UsageError(f"no place of a database was given; nothing was read. Write one as {named.example}.")
    if "\0" in str(url):
        raise UsageError(
            f"{masked(str(url))!r} has a NUL in it, which no place of a database has; nothing was read. Write one as {named.example}."
        )
    if not named.file and timeout <= 0:
        raise UsageError(f"a timeout of {timeout:g} s waits for no answer; nothing was read. Give seconds above 0.")
    place = path_of(url, named) if named.file else str(url).strip()
    with hiding(str(url)):
        try:
            made = getattr(importlib.import_module(f"workbench.importers.{named.module}"), named.origin)
            origin: Origin = made(place) if named.file else made(place, timeout=timeout)
        except ImportError as fault:
            if isinstance(fault, MissingExtra):
                raise
            raise MissingExtra(
                f"{fault.name or fault} is not installed, which reads {kind_of(kind)}; nothing was read. Install it with "
                "`pip install 'workbench[import]'`."
            ) from fault
    # Names of files are bytes; what is kept of them, and shown, is text.
    origin.label = origin.label.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")
    return origin


def path_of(url: str | Path, kind: Kind) -> Path:
    """The file or folder that is meant, also by a URL as SQLAlchemy writes one. Raises `UsageError` for another's URL."""
    text = str(url).strip()
    scheme, colon, rest = text.partition(":")
    if colon and scheme.lower() in ("sqlite", "sqlite3", "file", "json", "csv", "parquet"):
        # sqlite:///here.db is relative, and sqlite:////there.db is not; a file's URL has a host between its slashes, which is empty.
        rest = rest.removeprefix("//").removeprefix("/") if scheme.lower().startswith("sqlite") and rest.startswith("///") else rest
        rest = rest.removeprefix("//") if scheme.lower() == "file" else rest
        text = rest
    elif "://" in text:
        raise UsageError(f"{masked(text)} is no file or folder; nothing was read. Write one as {kind.example}.")
    return Path(text).expanduser()


def name_of(kind: str, url: str | Path) -> str:
    """The database's own name, which may stand before its tables', as far as its place tells; empty if it does not."""
    if KINDS[kind].file:
        return path_of(url, KINDS[kind]).absolute().stem
    if found := re.search(r"\bdbname\s*=\s*'?([^\s']+)", str(url)):
        return found[1]
    after = userinfo(str(url))[2] or str(url).partition("://")[2]
    return unquote_plus(re.split(r"[?#]", after.partition("/")[2], maxsplit=1)[0])


# ---------------------------------------------------------------------- passwords


def masked(url: str) -> str:
    """A URL, or the words of a connection as libpq takes them, without its password."""
    text = SETTING.sub(lambda found: f"{found[1]}={MASK}", url)
    before, secret, after = userinfo(text)
    return f"{before}:{MASK}@{after}" if secret else text


def userinfo(url: str) -> tuple[str, str, str]:
    """A URL in three: up to its user, its password, and what comes after the @; the second is empty where there is none.

    People write passwords as they are, so that one may hold what would end it: the last @ counts, before the query if there is one.
    """
    scheme, mark, rest = url.partition("://")
    if not mark:
        # kdb+'s own: host:port:user:password.
        found = re.fullmatch(r"(:?[^:]*:\d+:[^:]*):(.+)", url)
        return (found[1], found[2], "") if found else (url, "", "")
    host = re.split(r"[/?#]", rest, maxsplit=1)[0]
    before, _, query = rest.partition("?")
    end = before.rfind("@") if "@" in before and re.match(r"\w+=", query) else rest.rfind("@")
    if end < 0:
        return url, "", ""
    # A path or query may hold an @ of its own; without a colon before it there is no password to hide.
    user, colon, password = rest[:end].partition(":")
    if not colon or ("@" not in host and re.fullmatch(r"\d*(/.*)?|\d*\?.*", password, re.DOTALL)):
        return url, "", ""
    return f"{scheme}://{user}", password, rest[end + 1 :]


def secrets_of(url: str) -> tuple[str, ...]:
    """What of a URL must never be told: its passwords, as they are written and as they are meant."""
    found = [userinfo(SETTING.sub(f"x={MASK}", url))[1]] + [one[2].strip("'") for one in SETTING.finditer(url)]
    spelt = [text for one in found for text in (one, unquote_plus(one), one.replace("%", "%%"))]
    return tuple(sorted({one for one in spelt if one and one != MASK}, key=len, reverse=True))


def without(secrets: tuple[str, ...], text: str) -> str:
    """A text without what must never be told."""
    for one in secrets:
        # A short password stands in many a word; where it is one of its own is where it would be told.
        text = text.replace(one, MASK) if len(one) > 3 else re.sub(rf"(?<![^\W_]){re.escape(one)}(?![^\W_])", MASK, text)
    return text


@contextmanager
def hiding(url: str) -> Iterator[None]:
    """Have no error tell the password of a URL, nor any error that led to it."""
    secrets = secrets_of(url)
    try:
        yield
    except Exception as fault:
        if not secrets or not any(told(one, secrets) for one in chain(fault)):
            raise
        text = without(secrets, str(fault))
        kind = type(fault) if isinstance(fault, WorkbenchError) and not isinstance(fault, UnknownName) else SourceError
        raise kind(text if kind is type(fault) else f"{type(fault).__name__}: {text}") from None


def told(fault: BaseException, secrets: tuple[str, ...]) -> bool:
    """Whether an error tells what must never be told."""
    seen = f"{fault} {fault.args!r}"
    return without(secrets, seen) != seen


def chain(fault: BaseException) -> Iterator[BaseException]:
    """An error, and those that led to it."""
    one: BaseException | None = fault
    for _ in range(DEPTH):
        if one is None:
            return
        yield one
        one = one.__cause__ or one.__context__
