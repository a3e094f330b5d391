"""Tokens: what the lake keeps of them, what they give, and the modes of what it keeps."""

import json
import os
import stat
import threading
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from click.testing import CliRunner

from workbench.api.tokens import LONGEST, Tokens, digest
from workbench.cli import main
from workbench.config import Settings
from workbench.errors import BadSetting, LakeError, NoLake, UnknownName, UsageError
from workbench.lake import modes
from workbench.lake.store import Lake
from workbench.query.standing import health


@pytest.fixture
def root(tmp_path: Path) -> Iterator[Path]:
    Lake(tmp_path / "lake").make()
    yield tmp_path / "lake"


def test_a_token_gives_what_it_was_made_for_and_the_lake_keeps_no_token(root: Path) -> None:
    tokens = Tokens(root)
    assert not tokens
    secret = tokens.add("ana", "reader", ["Kraken_Bot", "main"])
    grant = tokens.check(secret)
    assert grant and (grant.name, grant.role, grant.schemas, grant.expires) == ("ana", "reader", ("kraken_bot", "main"), None)
    assert grant.reaches("MAIN") and not grant.reaches("ampyfin")
    kept = (root / "access.json").read_text()
    assert secret not in kept and secret.removeprefix("wb_") not in kept and digest(secret) in kept
    assert stat.S_IMODE((root / "access.json").stat().st_mode) == 0o600
    assert len(secret) > 40 and secret != Tokens(root).add("ben", "owner")
    assert tokens and [one.name for one in tokens.list()] == ["ana", "ben"]
    assert not [path for path in root.iterdir() if "draft" in path.name]


@pytest.mark.parametrize(
    ("role", "may"),
    [("reader", {"read"}), ("app", {"read", "write"}), ("owner", {"read", "write", "refresh", "delete"})],
)
def test_roles(root: Path, role: str, may: set[str]) -> None:
    grant = Tokens(root).check(Tokens(root).add("x", role))
    assert grant
    assert {one for one in ("read", "write", "refresh", "delete") if grant.may(one)} == may


def test_what_is_no_token_opens_nothing(root: Path) -> None:
    tokens = Tokens(root)
    secret = tokens.add("ana", "owner")
    wrong = [
        "",
        " ",
        "wb_",
        secret[:-1],
        secret + "x",
        secret.upper(),
        f" {secret}",
        "ana",
        digest(secret),
        "\0",
        "\ud800",
        "é" * 9,
        "x" * 10**6,
    ]
    assert not any(tokens.check(one) for one in wrong)
    assert tokens.check(secret) and len(secret) < LONGEST


def test_a_token_ends(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tokens = Tokens(root)
    secret = tokens.add("ana", "reader", expires=timedelta(hours=1))
    assert tokens.check(secret)

    class Later(datetime):
        @classmethod
        def now(cls, tz: object = None) -> datetime:  # type: ignore[override]
            return datetime.now(UTC) + timedelta(hours=2)

    monkeypatch.setattr("workbench.api.tokens.datetime", Later)
    assert tokens.check(secret) is None
    assert tokens.list()[0].expired and not tokens


def test_rotated_and_revoked(root: Path) -> None:
    tokens, other = Tokens(root), Tokens(root)
    first = tokens.add("ana", "app", ["main"])
    second = other.rotate("ana", timedelta(hours=1))
    both = tokens.check(first), tokens.check(second)
    assert both[0] == both[1] and both[0] and both[0].schemas == ("main",), "with no restart, and both while the grace lasts"
    third = other.rotate("ana")
    assert [bool(tokens.check(one)) for one in (first, second, third)] == [False, False, True]
    other.revoke("ana")
    assert not any(tokens.check(one) for one in (first, second, third))
    for verb in (tokens.rotate, tokens.revoke):
        with pytest.raises(UnknownName, match="token"):
            verb("ana")


def test_a_grace_ends(root: Path) -> None:
    tokens = Tokens(root)
    first = tokens.add("ana", "app")
    tokens.rotate("ana", timedelta(hours=1))
    path = root / "access.json"
    kept = json.loads(path.read_text())
    kept["tokens"]["ana"]["until"] = (datetime.now(UTC) - timedelta(seconds=1)).isoformat()
    path.write_text(json.dumps(kept))
    assert tokens.check(first) is None


@pytest.mark.parametrize("name", ["", "../x", "a/b", "a b", "-a", "a\n", "a\0", "x" * 65, "'; --", "é"])
def test_names_that_are_none(root: Path, name: str) -> None:
    with pytest.raises(UsageError, match="is no name for a token"):
        Tokens(root).add(name, "reader")
    assert not (root / "access.json").exists()


def test_what_cannot_be_given(root: Path, tmp_path: Path) -> None:
    tokens = Tokens(root)
    tokens.add("ana", "reader")
    with pytest.raises(UsageError, match="already"):
        tokens.add("ana", "reader")
    with pytest.raises(UnknownName, match="role"):
        tokens.add("ben", "admin")
    with pytest.raises(UnknownName, match="schema"):
        tokens.add("ben", "reader", ["krakenbot"])
    with pytest.raises(UsageError, match="no schema"):
        tokens.add("ben", "reader", [])
    with pytest.raises(UsageError, match="an owner has all schemas"):
        tokens.add("ben", "owner", ["main"])
    with pytest.raises(UsageError, match="is past"):
        tokens.add("ben", "reader", expires=datetime(2020, 1, 1, tzinfo=UTC))
    with pytest.raises(UsageError, match="no time zone"):
        tokens.add("ben", "reader", expires=datetime(2120, 1, 1))
    with pytest.raises(UsageError, match="less than no time"):
        tokens.rotate("ana", timedelta(-1))
    with pytest.raises(NoLake):
        Tokens(tmp_path / "none").add("ana", "reader")
    assert [one.name for one in tokens.list()] == ["ana"]


@pytest.mark.parametrize("text", ["", "{", "[]", '{"format": 1, "tokens": {"ana": {"role": "owner"}}}', '{"format": 2, "tokens": {}}'])
def test_a_damaged_file_lets_nobody_in_and_is_not_written_over(root: Path, text: str) -> None:
    tokens = Tokens(root)
    secret = tokens.add("ana", "owner")
    (root / "access.json").write_text(text)
    for verb in (lambda: tokens.check(secret), lambda: tokens.add("ben", "owner"), tokens.list):
        with pytest.raises(LakeError, match="nobody is let in"):
            verb()
    assert (root / "access.json").read_text() == text


def test_many_at_once_lose_none(root: Path) -> None:
    made: dict[str, str] = {}

    def add(n: int) -> None:
        made[f"t{n}"] = Tokens(root).add(f"t{n}", "reader")

    threads = [threading.Thread(target=add, args=(n,)) for n in range(16)]
    for one in threads:
        one.start()
    for one in threads:
        one.join()
    tokens = Tokens(root)
    assert {grant.name for secret in made.values() if (grant := tokens.check(secret))} == {f"t{n}" for n in range(16)}


def test_at_the_prompt(root: Path) -> None:
    def run(*words: str) -> tuple[int, str, str]:
        done = CliRunner().invoke(main, ["token", *words, "--data", str(root)])
        return done.exit_code, done.stdout, done.stderr

    status, secret, told = run("add", "ana", "--schemas", "kraken_bot", "--expires", "90d")
    assert status == 0 and "not shown again" in told and secret.strip() not in told
    grant = Tokens(root).check(secret.strip())
    assert grant and grant.schemas == ("kraken_bot",) and grant.expires
    assert timedelta(days=89) < grant.expires - datetime.now(UTC) <= timedelta(days=90)
    status, listed, _ = run("list", "--json")
    assert status == 0 and json.loads(listed)["rows"][0]["name"] == "ana" and secret.strip() not in listed
    status, again, _ = run("rotate", "ana", "--json")
    assert Tokens(root).check(json.loads(again)["token"]) and not Tokens(root).check(secret.strip())
    assert run("revoke", "ana")[0] == 0 and not Tokens(root)
    for words in (
        ("revoke", "ana"),
        ("add", "x", "--role", "admin"),
        ("add", "../x"),
        ("add", "x", "--schemas", ""),
        ("add", "x", "--expires", "soon"),
    ):
        assert run(*words)[0] == 2, words


# ---------------------------------------------------------------------- modes


def test_a_new_lake_is_its_owners_alone(tmp_path: Path) -> None:
    before = os.umask(0o022)
    try:
        for name, private, mode in (("private", True, 0o700), ("shared", False, 0o755)):
            lake = Lake(tmp_path / name, private=private)
            lake.make()
            assert stat.S_IMODE(lake.root.stat().st_mode) == mode
            assert [row["state"] for row in health(lake).rows if row["name"] == "modes"] == ["good"]
        for name, held, made, mode in (
            ("bare", ("README.md", ".gitignore"), 0o755, 0o700),
            ("used", ("notes.txt",), 0o755, 0o755),
            ("for a group", (), 0o770, 0o770),
        ):
            folder = tmp_path / name
            folder.mkdir()
            folder.chmod(made)
            for file in held:
                (folder / file).touch()
            Lake(folder).make()
            Lake(folder).make()
            assert stat.S_IMODE(folder.stat().st_mode) == mode, name
    finally:
        os.umask(before)


def test_what_is_looser_is_told_once_with_what_closes_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    root, env = tmp_path / "my lake", tmp_path / ".env"
    Lake(root).make()
    root.chmod(0o755)
    env.write_text("POLYGON_API_KEY=secret-key\n")
    env.chmod(0o644)
    (tmp_path / "workbench.toml").write_text(f'data = "{root}"\n')
    monkeypatch.chdir(tmp_path)
    for name in ("POLYGON_API_KEY", "MASSIVE_API_KEY", "WORKBENCH_DATA"):
        monkeypatch.delenv(name, raising=False)

    def warned() -> list[str]:
        done = CliRunner().invoke(main, ["status"])
        assert done.exit_code == 0
        return [line for line in done.stderr.splitlines() if line.startswith("warning: ")]

    [told] = warned()
    assert f"`chmod 700 '{root}'` and `chmod 600 {env}`" in told and "0755" in told and "secret-key" not in told
    [row] = [row for row in health(Lake(root)).rows if row["name"] == "modes"]
    assert row["state"] == "look" and "chmod 700" in row["told"]
    root.chmod(0o700)
    env.chmod(0o600)
    assert not warned()
    root.chmod(0o755)
    monkeypatch.setenv("WORKBENCH_FILE_MODES", "umask")
    assert not warned()
    (root / "access.json").write_text("{}")
    (root / "access.json").chmod(0o644)
    assert [one.path.name for one in modes.loose(root, private=False)] == ["access.json"], "digests are nobody else's in any lake"
    with pytest.raises(BadSetting, match="file_modes"):
        Settings.load(env={"WORKBENCH_FILE_MODES": "0777"}, start=tmp_path)
