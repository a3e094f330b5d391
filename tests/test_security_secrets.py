"""Secrets: nothing that refreshes, runs, notices and imports leave behind, or print, holds one, in any form in which it may be written."""

import base64
import json
import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import quote

import pytest
from farend import FarEnd
from s3server import S3, StandIn
from test_notebook_runs import notebook

from workbench.config import Settings
from workbench.lake.remote.connection import Remote
from workbench.runs.masking import Secrets, forms_of
from workbench.schedule.notifying import notify

PATTERN = "Zq7-{}/x+9Kw canary"


def canary(name: str) -> str:
    """A secret that stands nowhere else: with letters that URLs, JSON and base64 write otherwise."""
    return PATTERN.format(name).replace(" ", "-")


SECRETS = {
    variable: canary(name)
    for name, declared in Settings.declared().items()
    if declared.metadata["secret"]
    for variable in declared.metadata["variables"][:1]
}


def forms(secret: str) -> set[bytes]:
    """A secret in each form in which it may be written down; of base64, what does not depend on what stands before it."""
    told = {one.encode() for one in forms_of(secret)} | {quote(quote(secret, safe=""), safe="").encode()}
    for shift in range(3):
        for encoded in (base64.b64encode, base64.urlsafe_b64encode):
            text = encoded(b"\0" * shift + secret.encode())
            told.add(text[4 if shift else 0 : len(text) // 4 * 4 - 4])
    return told


def left(folder: Path, secrets: dict[str, str]) -> list[str]:
    """Where a secret stands among the files of a folder."""
    found = []
    for path in folder.rglob("*"):
        if path.is_file() and path.name != ".env":
            held = str(path).encode() + path.read_bytes()
            found += [f"{name} in {path}" for name, secret in secrets.items() if any(form in held for form in forms(secret))]
    return found


def closed() -> int:
    """A port that nobody answers."""
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return int(one.getsockname()[1])


@pytest.fixture
def place(tmp_path: Path, stand_in: StandIn) -> Iterator[tuple[Path, dict[str, str], FarEnd]]:
    """A project whose every secret is a canary, in its `.env`, and that reaches a far end that takes them."""
    with FarEnd(real=False, key=SECRETS["POLYGON_API_KEY"], fred_key=SECRETS["FRED_API_KEY"]) as far_end:
        told = {
            **SECRETS,
            "WORKBENCH_DATA": str(tmp_path / "lake"),
            "POLYGON_S3_ENDPOINT": stand_in.endpoint,
            "POLYGON_API_URL": far_end.api_url,
            "WORKBENCH_YAHOO_URL": far_end.yahoo_url,
            "FRED_API_URL": f"{far_end.api_url}/fred",
            "WORKBENCH_UNIVERSE": "ACME ON",
        }
        (tmp_path / ".env").write_text("".join(f"{name}={value}\n" for name, value in told.items()))
        (tmp_path / ".env").chmod(0o600)
        (tmp_path / "workbench.toml").write_text("")
        yield tmp_path, {name: value for name, value in os.environ.items() if name not in told}, far_end


def run(folder: Path, env: dict[str, str], *words: str) -> subprocess.CompletedProcess[bytes]:
    """A command at the prompt; what it prints is kept in the folder."""
    done = subprocess.run(
        [sys.executable, "-m", "workbench", *words],
        cwd=folder,
        env={**env, "PYTHONPATH": os.pathsep.join(sys.path)},
        capture_output=True,
        timeout=100,
        check=False,
    )
    n = len(list(folder.glob("printed-*")))
    (folder / f"printed-{n}").write_bytes(repr(words[0]).encode() + done.stdout + b"\n" + done.stderr)
    return done


@pytest.mark.slow
def test_nothing_that_is_left_behind_holds_a_secret(place: tuple[Path, dict[str, str], FarEnd]) -> None:
    folder, env, far_end = place
    assert len(SECRETS) >= 5 and not left(folder, SECRETS)
    # A refresh that works, by keys; its S3 is empty, so that the API is asked.
    done = run(folder, env, "refresh", "stock_day", "--days", "2", "--jsonl")
    assert b'"ACME"' in done.stdout or (folder / "lake" / "lake").is_dir(), done.stderr
    assert far_end.requests, "the keys were used"
    run(folder, env, "refresh", "economic_series", "--debug")
    # One that fails, with a key that is refused, told with its traceback.
    wrong = canary("refused-key")
    everything = {**SECRETS, "refused": wrong}
    failing = ("refresh", "stock_day", "--days", "1", "--last", "1", "--source", "polygon_api", "--again", "--debug")
    assert run(folder, {**env, "POLYGON_API_KEY": wrong}, *failing).returncode != 0
    for words in (("status", "--json"), ("config", "--json"), ("config", "--check"), ("health", "--json"), ("runs", "--json")):
        run(folder, env, *words)
    # A notebook that prints them, and then fails with one.
    made = notebook(
        folder / "leaks.ipynb",
        "import os, base64, urllib.parse\nfrom workbench import Settings\ns = Settings.load()\n"
        "print(s, s.shown())\nprint(s.polygon_api_key, urllib.parse.quote(s.polygon_api_key, safe=''))\n"
        "print(base64.b64encode(s.polygon_api_key.encode()).decode())",
        "s.smtp_password",
        "raise ValueError(s.polygon_s3_secret_key)",
    )
    assert run(folder, env, "run", str(made)).returncode != 0
    made.unlink()
    # An import by a URL with a password, of each kind of database, of which none answers.
    everything["url"] = password = canary("url-password")
    for scheme in ("postgresql", "mongodb", "kdb"):
        url = f"{scheme}://ana:{quote(password, safe='')}@127.0.0.1:{closed()}/db"
        assert run(folder, env, "import", url, "--debug").returncode != 0
    run(folder, env, "export", "stock_day", "--to", f"postgresql://ana:{quote(password, safe='')}@127.0.0.1:{closed()}/db", "--debug")
    # A notice that cannot be given.
    everything["hook"] = hook = "hookcanary8842771663"
    (folder / "workbench.toml").write_text(
        f'[notify]\nwebhook = "http://127.0.0.1:{closed()}/services/{hook}"\nemail = "ana@example.com"\n'
    )
    settings = Settings.load(env={**env, "WORKBENCH_SMTP_HOST": "127.0.0.1", "WORKBENCH_SMTP_PORT": str(closed())}, start=folder)
    secrets = Secrets.of(settings, SECRETS)
    told = notify(settings, {"text": f"failed with {SECRETS['POLYGON_API_KEY']}", "reason": "x"}, secrets)
    (folder / "workbench.toml").write_text("")
    (folder / "printed-notice").write_text(json.dumps(told) + repr(settings) + repr(secrets))
    assert not left(folder, everything)


def test_the_search_finds_what_is_there(tmp_path: Path) -> None:
    secret = canary("x")
    texts = [secret, quote(secret, safe=""), json.dumps(secret)]
    texts += [base64.b64encode(f"{lead}:{secret}".encode()).decode() for lead in ("", "a", "ab", "user")]
    for text in texts:
        (tmp_path / "a").write_text(f"… {text} …")
        assert left(tmp_path, {"it": secret}), text


@pytest.mark.slow
@pytest.mark.s3
def test_nothing_that_a_lake_in_a_bucket_leaves_behind_holds_its_keys(far: Path, s3: S3, tmp_path: Path) -> None:
    keys = {"AWS_ACCESS_KEY_ID": s3.admin_keys.access, "AWS_SECRET_ACCESS_KEY": s3.admin_keys.secret, "wrong": canary("wrong-key")}
    env = {**os.environ, "WORKBENCH_LOG_LEVEL": "debug", "WORKBENCH_LOG_FILE": str(tmp_path / "log")}
    (tmp_path / "workbench.toml").write_text("")
    # What is written, read, kept and told of, each with its log.
    for words in (
        ("refresh", "stock_day", "--source", "sample", "--days", "2", "--debug"),
        ("init", "tetra", "--debug"),
        ("sql", "SELECT count(*) AS n FROM stock_day"),
        ("sql", "FROM duckdb_secrets()"),
        ("sql", "SELECT name, value FROM duckdb_settings()"),
        ("backup", str(tmp_path / "kept")),
        ("config", "--json"),
        ("status", "--json"),
        ("health", "--json"),
        ("runs", "--json"),
    ):
        done = run(tmp_path, env, *words)
        assert done.returncode in (0, 1, 2, 3), words
        assert b"Traceback" not in done.stderr, done.stderr.decode()
    refused = run(
        tmp_path, {**env, "AWS_SECRET_ACCESS_KEY": keys["wrong"], "WORKBENCH_CACHE": str(tmp_path / "another")}, "status", "--debug"
    )
    assert refused.returncode == 1
    assert b"does not know these keys" in refused.stderr
    # A notebook that prints them, and then fails with one.
    made = notebook(
        tmp_path / "leaks.ipynb",
        "import os, workbench\nbench = workbench.open()\nprint(bench, bench.settings, bench.settings.shown())",
        "from workbench.lake.remote.where import remote_of\nremote = remote_of(bench.lake.root)\nprint(remote, vars(remote), remote.options())",
        "print(bench.sql('FROM duckdb_secrets()').fetchall())\nprint({n: v for n, v in os.environ.items() if n.startswith('AWS_')})",
        "raise ValueError(os.environ['AWS_SECRET_ACCESS_KEY'])",
    )
    assert run(tmp_path, env, "run", str(made)).returncode != 0
    made.unlink()
    # What stands in the bucket, as another machine finds it.
    remote = Remote(tmp_path / "there", Settings.load().url)
    for one in remote.below(""):
        remote.download(one.name, tmp_path / "there" / "found" / one.name)
    assert len(list((tmp_path / "there" / "found").rglob("*.json"))) > 2
    assert not left(tmp_path, keys)
