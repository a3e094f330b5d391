"""Kinds of old databases, what a place of one means, and that no password is told."""

import importlib
import os
import sqlite3
import traceback
from contextlib import closing
from pathlib import Path

import pytest

from workbench.errors import BadKeys, MissingExtra, SourceError, UnknownName, Unreachable, UsageError
from workbench.importers.urls import KINDS, hiding, kind_of, masked, name_of, opened, path_of, secrets_of


def test_a_kind_goes_by_several_names() -> None:
    assert [kind_of(word) for word in ("sqlite", "PostgreSQL", "timescale", "mongodb", "csv", "kdb+", "JSON")] == [
        "sqlite",
        "postgres",
        "postgres",
        "mongo",
        "files",
        "kdb",
        "json",
    ]


@pytest.mark.parametrize("word", ["oracle", "", "postgress", None])
def test_an_unknown_kind_names_those_there_are(word: object) -> None:
    with pytest.raises(UnknownName, match=r"there is no kind of database .*(postgres|sqlite|json)"):
        kind_of(word)


SECRETS = [
    ("postgresql://ada:s3cret@db.example.com/lake", "postgresql://ada:***@db.example.com/lake"),
    ("postgresql://ada:s3cret@db.example.com:5433/lake?sslmode=require", "postgresql://ada:***@db.example.com:5433/lake?sslmode=require"),
    # People write passwords as they are: with an @, a slash, a question mark, a colon, spaces.
    ("postgresql://ada:s3@cret@host/lake", "postgresql://ada:***@host/lake"),
    ("postgresql://ada:s3/cret@host/lake", "postgresql://ada:***@host/lake"),
    ("postgresql://ada:s3?cret@host/lake", "postgresql://ada:***@host/lake"),
    ("postgresql://ada:s3#cret@host/lake", "postgresql://ada:***@host/lake"),
    ("postgresql://ada:s3@c/ret@host/lake", "postgresql://ada:***@host/lake"),
    ("postgresql://ada:s3@c?ret@host/lake", "postgresql://ada:***@host/lake"),
    ("postgresql://ada:s3@c#r?et@host/lake?sslmode=require", "postgresql://ada:***@host/lake?sslmode=require"),
    ("postgresql://ada:s3cret@host/lake?options=a@b", "postgresql://ada:***@host/lake?options=a@b"),
    ("postgresql://ada:s3:cr et@host/lake", "postgresql://ada:***@host/lake"),
    ("postgresql://ada:s%33cret@host/lake", "postgresql://ada:***@host/lake"),
    ("postgresql://host/lake?user=ada&password=s3cret&sslmode=require", "postgresql://host/lake?user=ada&password=***&sslmode=require"),
    ("host=db dbname=lake user=ada password=s3cret", "host=db dbname=lake user=ada password=***"),
    ("host=db user=ada password='s3 cret' dbname=lake", "host=db user=ada password=*** dbname=lake"),
    (
        "mongodb+srv://ada:s3cret@a.example.com,b.example.com/bot?retryWrites=true",
        "mongodb+srv://ada:***@a.example.com,b.example.com/bot?retryWrites=true",
    ),
    ("kdb://ada:s3cret@host:5001", "kdb://ada:***@host:5001"),
    ("host:5001:ada:s3cret", "host:5001:ada:***"),
    (":host:5001:ada:s3cret", ":host:5001:ada:***"),
]


@pytest.mark.parametrize(("url", "shown"), SECRETS)
def test_a_url_is_told_without_its_password(url: str, shown: str) -> None:
    assert masked(url).rstrip("@") == shown
    assert not any(one in masked(url) for one in secrets_of(url))
    assert secrets_of(url)


@pytest.mark.parametrize(
    "url",
    [
        "postgresql://host/lake",
        "postgresql://ada@host/lake",
        "postgresql://host:5432/lake?options=a@b",
        "mongodb://localhost:27017",
        "mongodb://localhost:27017/bot?tag=a@b",
        "kdb://host:5001",
        "data/trading_bot.db",
        "/data/a@b:c.db",
        "C:/data/bot.db",
    ],
)
def test_what_has_no_password_is_told_as_it_is(url: str) -> None:
    assert masked(url) == url
    assert secrets_of(url) == ()


@pytest.mark.parametrize(("url", "_shown"), SECRETS)
def test_no_error_tells_a_password(url: str, _shown: str) -> None:
    secret = max(secrets_of(url), key=len)
    deeper = ValueError(f"no route for {url}")
    with pytest.raises(Unreachable) as seen, hiding(url):
        raise Unreachable(f"{secret} did not work") from deeper
    told = "".join(traceback.format_exception(seen.value))
    assert "*** did not work" in str(seen.value)
    # The test itself has the text in its source, which a traceback shows.
    assert not any(one in str(seen.value) or f"no route for {url}" in told for one in secrets_of(url))


def test_an_error_of_a_driver_becomes_one_of_ours_if_it_told_the_password() -> None:
    with pytest.raises(SourceError, match=r"^OSError: \*\*\* is wrong$"), hiding("postgresql://ada:s3cret@host/lake"):
        raise OSError("s3cret is wrong")
    with pytest.raises(BadKeys, match="the password is wrong"), hiding("postgresql://ada:s3cret@host/lake"):
        raise BadKeys("the password is wrong")
    with pytest.raises(OSError, match="no disk"), hiding("postgresql://ada:s3cret@host/lake"):
        raise OSError("no disk")


def test_a_short_password_takes_no_letters_out_of_words() -> None:
    with pytest.raises(SourceError) as seen, hiding("postgresql://ada:a@host/lake"):
        raise SourceError("a table has no data: password 'a' is wrong")
    assert str(seen.value) == "*** table has no data: password '***' is wrong"


@pytest.mark.parametrize(
    ("text", "path"),
    [
        ("data/bot.db", "data/bot.db"),
        ("sqlite:data/bot.db", "data/bot.db"),
        ("sqlite:///data/bot.db", "data/bot.db"),
        ("sqlite:////data/bot.db", "/data/bot.db"),
        ("file:///data/bot.db", "/data/bot.db"),
        (" ~/bot.db ", str(Path.home() / "bot.db")),
    ],
)
def test_a_file_may_be_told_as_a_url(text: str, path: str) -> None:
    assert path_of(text, KINDS["sqlite"]) == Path(path)


@pytest.mark.parametrize(
    ("kind", "url", "name"),
    [
        ("postgres", "postgresql://ada:s3/cret@host/lake?sslmode=require", "lake"),
        ("postgres", "host=db dbname=lake user=ada password=x", "lake"),
        ("mongo", "mongodb://localhost:27017", ""),
        ("mongo", "mongodb://localhost:27017/bot?w=1", "bot"),
        ("sqlite", "data/trading_bot.db", "trading_bot"),
        ("json", "/dumps/trading_simulator/", "trading_simulator"),
    ],
)
def test_the_name_of_a_database_is_in_its_place(kind: str, url: str, name: str) -> None:
    assert name_of(kind, url) == name


def test_a_server_is_no_file(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"postgresql://ada:\*\*\*@host/lake is no file or folder; nothing was read\. Write one as data/"):
        opened("sqlite", "postgresql://ada:s3cret@host/lake")
    with pytest.raises(UsageError, match="no place of a database was given"):
        opened("sqlite", " ")
    with pytest.raises(UsageError, match=r"a timeout of 0 s"):
        opened("postgres", "postgresql://host/lake", timeout=0)


def test_a_driver_that_is_not_installed_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    def lacks(_name: str) -> None:
        raise ModuleNotFoundError("No module named 'pymongo'", name="pymongo")

    monkeypatch.setattr(importlib, "import_module", lacks)
    with pytest.raises(MissingExtra, match=r"pymongo is not installed, which reads mongo; nothing was read\. .*workbench\[import\]"):
        opened("mongo", "mongodb://host/bot")


@pytest.mark.parametrize("kind", list(KINDS))
def test_a_place_with_a_nul_is_told(kind: str) -> None:
    with pytest.raises(UsageError, match="NUL"):
        opened(kind, "postgresql://me:hidden1@host/a\0b")
    with pytest.raises(UsageError) as told:
        opened(kind, "postgresql://me:hidden1@host/a\0b")
    assert "hidden1" not in str(told.value)


def test_what_is_kept_of_a_file_name_that_is_no_text_is_text(tmp_path: Path) -> None:
    path = tmp_path / os.fsdecode(b"bot-\xff.db")
    with closing(sqlite3.connect(path)) as con:
        con.execute("CREATE TABLE signals (id INTEGER)")
    origin = opened("sqlite", path)
    assert origin.label == f"sqlite:{tmp_path}/bot-\\xff.db"
    assert [one.name for one in origin.tables()] == ["signals"]
    origin.close()
