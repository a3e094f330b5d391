"""`workbench serve` as it is run: it says where, is stopped by a signal, and does not begin where it must not."""

import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import httpx
import pytest
from apiserver import landed

# Each starts Python anew.
pytestmark = pytest.mark.slow


@pytest.fixture
def lake(made_once: Callable[..., None], tmp_path: Path) -> Path:
    made_once(landed, tmp_path / "lake")
    return tmp_path / "lake"


def begun(lake: Path, *words: str) -> "subprocess.Popen[str]":
    command = [sys.executable, "-m", "workbench", "serve", "--data", str(lake), "--port", "0", *words]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_it_says_where_it_serves_and_ends_when_it_is_stopped(lake: Path, number: signal.Signals) -> None:
    server = begun(lake)
    try:
        assert server.stdout is not None
        line = server.stdout.readline()
        url = re.search(r"http://127\.0\.0\.1:\d+", line)
        assert url and str(lake) in line, line
        assert httpx.get(f"{url[0]}/health", trust_env=False).status_code == 200
        # What goes on then is ended, too.
        with pytest.raises(httpx.HTTPError), httpx.Client(timeout=0.5, trust_env=False) as client:
            client.post(f"{url[0]}/sql", json={"query": "SELECT count(*) FROM range(100000000000000) t(i) WHERE i % 7 = 3"})
        since = time.monotonic()
        server.send_signal(number)
        out, err = server.communicate(timeout=30)
        assert time.monotonic() - since < 20
    finally:
        server.kill()
        server.wait()
    assert server.returncode == 0, err
    assert "stopped" in out
    assert "GET /health 200" in err
    assert "Traceback" not in err


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--host", "0.0.0.0"), "no tokens"),
        (("--tls-cert", "nowhere.pem"), "its key"),
        (("--allow", "everybody"), "no network"),
        (("--rate", "often"), "no rate"),
        (("--timeout", "0"), "more than 0"),
    ],
)
def test_it_does_not_begin_where_it_must_not(lake: Path, words: tuple[str, ...], said: str) -> None:
    server = begun(lake, *words)
    out, err = server.communicate(timeout=60)
    assert (server.returncode, out) == (2, "")
    assert said in err and "Traceback" not in err


def test_it_serves_no_lake_that_is_not_there(tmp_path: Path) -> None:
    server = begun(tmp_path / "none")
    assert "holds no lake" in server.communicate(timeout=60)[1]
    assert server.returncode == 2
