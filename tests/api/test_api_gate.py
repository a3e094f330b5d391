"""Who may come in, and how much a request may cost: tokens, roles, addresses, rates, sizes, time."""

import socket
import ssl
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx
import pytest
from apiserver import Ground

from workbench.api import gate, replies
from workbench.api import serving as serving_module
from workbench.api.settings import Serving, networks
from workbench.api.tokens import Tokens
from workbench.errors import LakeError, UsageError

ENDLESS = "SELECT count(*) FROM range(100000000000000) AS t(i) WHERE i % 7 = 3"
SIGNALS = "/tables/kraken_bot.signals"
READS = [
    "/health",
    "/health/database",
    "/database/status",
    "/database/counts",
    "/runs",
    "/tables",
    "/bars/AAPL",
    "/tables/main.stock_day",
    "/metrics",
]


# ---------------------------------------------------------------------- tokens


@pytest.mark.parametrize("token", ["nonsense", "wb_" + "A" * 43, "wb_" * 400, "wb_é"])
def test_a_token_that_is_none_opens_nothing_not_even_what_needs_none(serving: Callable[..., Any], token: str) -> None:
    with serving() as ground:
        told = httpx.get(f"{ground.url}/health", headers=[(b"Authorization", f"Bearer {token}".encode())], trust_env=False)
    assert (told.status_code, told.json()["kind"], told.headers["www-authenticate"]) == (401, "NoToken", "Bearer")
    assert token not in told.text


def test_whatever_writes_needs_a_token(served: Ground) -> None:
    for method, path in (("POST", "/database/refresh"), ("POST", "/runs/x/stop"), ("POST", SIGNALS), ("DELETE", SIGNALS), ("PUT", "/sql")):
        told = served.ask(method, path, json={"rows": [{}]})
        assert (told.status_code, told.json()["kind"]) == (401, "NoToken"), path
    for path in READS:
        assert served.ask("GET", path).status_code == 200, path


@pytest.mark.parametrize(
    ("token", "method", "path", "body", "status"),
    [
        ("reader", "POST", SIGNALS, {"rows": [{}]}, 403),
        ("reader", "POST", "/database/refresh", {"source": "sample"}, 403),
        ("reader", "POST", "/runs/20260101T000000000Z-abcd/stop", None, 403),
        ("app", "POST", "/database/refresh", {"source": "sample"}, 403),
        ("app", "POST", "/database/refresh", {"source": "sample", "reset": True}, 403),
        ("app", "POST", "/runs/20260101T000000000Z-abcd/stop", None, 403),
        ("app", "POST", SIGNALS, {"rows": [{}]}, 422),
        ("limited app", "POST", "/tables/utilities.model_params", {"rows": [{}]}, 403),
        ("limited app", "POST", SIGNALS, {"rows": [{}]}, 422),
        ("limited", "GET", "/tables/kraken_bot.trades", None, 200),
        ("limited", "GET", "/tables/KRAKEN_BOT.TRADES", None, 200),
        ("limited", "GET", "/tables/main.stock_day", None, 403),
        ("limited", "GET", "/tables/utilities.model_params", None, 403),
        ("limited", "GET", "/bars/AAPL", None, 403),
        ("limited", "GET", "/database/status", None, 403),
        ("limited", "GET", "/database/counts", None, 200),
        ("limited", "GET", "/database/counts?platform=shrek", None, 403),
        ("limited", "GET", "/runs", None, 403),
        ("limited", "GET", "/metrics", None, 403),
        ("limited", "POST", "/sql", {"query": "SELECT * FROM stock_day"}, 403),
        ("limited", "POST", "/sql", {"query": "SELECT * FROM kraken_bot.trades"}, 200),
        ("owner", "DELETE", SIGNALS, None, 405),
    ],
)
def test_a_role_goes_as_far_as_it_goes(served: Ground, token: str, method: str, path: str, body: Any, status: int) -> None:
    told = served.ask(method, path, token, json=body)
    assert told.status_code == status, told.text


def test_a_limited_token_is_shown_its_own_tables_only(served: Ground) -> None:
    names = {one["name"] for one in served.ask("GET", "/tables", "limited").json()["tables"]}
    assert "kraken_bot.signals" in names
    assert {name.partition(".")[0] for name in names} <= {"kraken_bot", "market_data"}
    assert "stock" not in served.ask("GET", "/tables/kraken_bot.nope", "limited").text


def test_a_token_that_is_revoked_opens_nothing_from_then_on(serving: Callable[..., Any]) -> None:
    with serving() as ground:
        assert ground.ask("GET", "/health", "reader").status_code == 200
        Tokens(ground.root).revoke("a-reader")
        assert ground.ask("GET", "/health", "reader").status_code == 401


def test_who_tries_many_tokens_is_not_heard_for_a_while(serving: Callable[..., Any]) -> None:
    with serving() as ground:
        told = [ground.ask("GET", "/health", f"wrong-{n}").status_code for n in range(25)]
        right = ground.ask("GET", "/health", "reader")
        none = ground.ask("GET", "/health")
    assert told == [401] * 20 + [429] * 5
    # A right token is not looked at either: whoever guesses must not learn of it.
    assert (right.status_code, right.headers["retry-after"], none.status_code) == (429, "60", 200)


def test_tokens_that_cannot_be_read_let_nobody_in(serving: Callable[..., Any]) -> None:
    with serving() as ground:
        (ground.root / "access.json").write_text("{")
        told = ground.ask("POST", SIGNALS, "app", json={"rows": [{}]})
    assert (told.status_code, told.json()["kind"]) == (503, "LakeError")


# ---------------------------------------------------------------------- addresses


def test_on_loopback_a_host_or_page_of_elsewhere_is_refused(served: Ground) -> None:
    for host in ("evil.example", "evil.example:80", "", "127.0.0.1.evil.example"):
        assert served.ask("GET", "/health", headers={"Host": host}).status_code == 421, host
    for host in ("localhost", "127.0.0.1:1", "[::1]:80", "LOCALHOST"):
        assert served.ask("GET", "/health", headers={"Host": host}).status_code == 200, host
    assert served.ask("GET", "/health", headers={"Origin": "https://evil.example"}).status_code == 403
    assert served.ask("GET", "/health", headers={"Origin": "null"}).status_code == 403
    told = served.ask("GET", "/health", headers={"Origin": "http://localhost:8888"})
    assert told.status_code == 200
    assert not any(name.startswith("access-control") for name in told.headers)


def test_an_address_that_others_reach_wants_tokens_and_tls() -> None:
    for host in ("0.0.0.0", "::", "192.0.2.7", "lake.example"):
        with pytest.raises(UsageError, match="no tokens"):
            Serving(host=host).expect_safe(tokens=False)
        with pytest.raises(UsageError, match="--tls-cert"):
            Serving(host=host).expect_safe(tokens=True)
        Serving(host=host, behind_proxy=True).expect_safe(tokens=True)
        with pytest.raises(UsageError, match="no tokens"):
            Serving(host=host, behind_proxy=True).expect_safe(tokens=False)
    for host in ("127.0.0.1", "localhost", "::1", "127.9.9.9"):
        Serving(host=host).expect_safe(tokens=False)


def test_where_others_reach_it_everything_takes_a_token(serving: Callable[..., Any]) -> None:
    with serving(behind_proxy=True) as ground:
        for path in [*READS, "/openapi.json", "/nothing"]:
            assert ground.ask("GET", path).status_code == 401, path
        assert ground.ask("POST", "/sql", json={"query": "SELECT 1"}).status_code == 401
        for path in READS:
            assert ground.ask("GET", path, "reader", headers={"Host": "lake.example"}).status_code == 200, path


def test_only_allowed_addresses_may_ask_and_only_a_proxy_is_believed(serving: Callable[..., Any]) -> None:
    def asked(ground: Ground, *told: str) -> int:
        return ground.ask("GET", "/health", "reader", headers=[("X-Forwarded-For", one) for one in told]).status_code

    with serving(allow=networks(["10.0.0.0/8"])) as ground:
        assert asked(ground) == asked(ground, "10.1.2.3") == 403
    with serving(allow=networks(["10.0.0.0/8", "2001:db8::/32"]), behind_proxy=True) as ground:
        assert asked(ground, "10.1.2.3") == asked(ground, "192.0.2.7, 10.1.2.3") == asked(ground, "2001:db8::1") == 200
        # What comes before the address that our own proxy saw, anybody may have written.
        assert asked(ground, "10.1.2.3, 192.0.2.7") == asked(ground, "10.1.2.3, nonsense") == asked(ground) == 403
    with serving(allow=networks(["10.0.0.0/8"]), behind_proxy=True, proxies=networks(["127.0.0.1", "192.0.2.7"])) as ground:
        assert asked(ground, "10.1.2.3, 192.0.2.7") == 200
    with serving(allow=networks(["10.0.0.0/8"]), behind_proxy=True, proxies=networks(["192.0.2.7"])) as ground:
        assert asked(ground, "10.1.2.3") == 403


def test_tls_is_spoken_with_the_certificate_that_was_given(serving: Callable[..., Any], tmp_path: Path) -> None:
    import trustme

    authority = trustme.CA()
    issued = authority.issue_cert("127.0.0.1")
    cert, key = tmp_path / "cert.pem", tmp_path / "key.pem"
    issued.private_key_pem.write_to_path(key)
    for n, blob in enumerate(issued.cert_chain_pems):
        blob.write_to_path(cert, append=n > 0)
    trusting = ssl.create_default_context()
    authority.configure_trust(trusting)
    with serving(tls_cert=cert, tls_key=key) as ground:
        assert ground.url.startswith("https://")
        assert httpx.get(f"{ground.url}/health", verify=trusting, trust_env=False).status_code == 200
    key.write_text("no key")
    with pytest.raises(LakeError, match="cannot be used"), serving(tls_cert=cert, tls_key=key):
        pass


def test_a_port_that_is_taken_is_told(serving: Callable[..., Any]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken, pytest.raises(LakeError, match="--port"), serving(port=taken.getsockname()[1]):
        pass


# ---------------------------------------------------------------------- how much


def test_who_asks_too_often_is_told_to_wait_and_others_are_not(serving: Callable[..., Any]) -> None:
    with serving(rate="5/minute") as ground:
        told = [ground.ask("GET", "/health") for _ in range(7)]
        other = ground.ask("GET", "/health", "reader")
    assert [one.status_code for one in told] == [200] * 5 + [429] * 2
    assert 1 <= int(told[-1].headers["retry-after"]) <= 60
    assert other.status_code == 200


def raw(url: str, head: str, *pieces: bytes) -> bytes:
    """What a server says to bytes."""
    place = urlsplit(url)
    with socket.create_connection((place.hostname, place.port), timeout=20) as connection:
        connection.sendall(head.replace("\n", "\r\n").encode())
        try:
            for piece in pieces:
                connection.sendall(piece)
        except OSError:
            pass
        said = b""
        try:
            while data := connection.recv(65_536):
                said += data
        except OSError:
            pass
        return said


def test_a_body_that_is_too_large_is_refused_unread(served: Ground) -> None:
    head = "POST /sql HTTP/1.1\nHost: localhost\nContent-Type: application/json\n"
    began = time.monotonic()
    said = raw(served.url, f"{head}Content-Length: 10000001\n\n", b"{")
    assert said.startswith(b"HTTP/1.1 413") and b'"kind":"TooLarge"' in said
    # In pieces of which nobody said how many they would be.
    pieces = [b"100000\r\n" + b"x" * 0x100000 + b"\r\n"] * 12
    said = raw(served.url, f"{head}Transfer-Encoding: chunked\n\n", *pieces)
    assert said.startswith(b"HTTP/1.1 413")
    assert time.monotonic() - began < 10
    told = served.ask(
        "POST", SIGNALS, "app", content=b'{"rows":[' + b'{"symbol":"x"},' * 700_000 + b"{}]}", headers={"Content-Type": "application/json"}
    )
    assert told.status_code == 413
    assert served.ask("GET", "/health").status_code == 200


@pytest.mark.parametrize(
    "body", [b"{", b"[" * 100_000, b"\xff\xfe", b'{"query": 1}', b"null", b'{"query":"SELECT 1","parameters":[1]}', b""]
)
def test_a_body_that_cannot_be_read_is_told_so(served: Ground, body: bytes) -> None:
    told = served.ask("POST", "/sql", content=body, headers={"Content-Type": "application/json"})
    assert told.status_code in (400, 422), told.text
    assert {"error", "kind"} <= told.json().keys()


def test_a_form_of_a_page_is_no_query(served: Ground) -> None:
    told = served.ask("POST", "/sql", content=b'{"query":"SELECT 1"}', headers={"Content-Type": "text/plain"})
    assert told.status_code == 422


def test_a_head_or_body_that_does_not_come_ends_the_connection(served: Ground, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(serving_module, "HEAD_SECONDS", 0.5)
    monkeypatch.setattr(gate, "BODY_SECONDS", 0.5)
    began = time.monotonic()
    assert raw(served.url, "GET /health HT") == b""
    assert raw(served.url, "POST /sql HTTP/1.1\nHost: localhost\nContent-Length: 9\n\n", b"{").startswith(b"HTTP/1.1 408")
    assert time.monotonic() - began < 5
    place = urlsplit(served.url)
    # Letter by letter takes as long.
    with socket.create_connection((place.hostname, place.port), timeout=20) as slow, pytest.raises(OSError):
        for _ in range(40):
            slow.sendall(b"G")
            time.sleep(0.05)
        assert slow.recv(1) == b""
        raise ConnectionResetError
    assert raw(served.url, "GET / HTTP/1.1\nHost: localhost\nX: " + "x" * 2_000_000 + "\n\n").startswith(b"HTTP/1.1 400")


def test_sql_that_never_ends_is_stopped_and_the_worker_survives(serving: Callable[..., Any]) -> None:
    with serving(queries=1, timeout=1) as ground:
        for _ in range(3):
            began = time.monotonic()
            told = ground.sql(ENDLESS, timeout_s=1000)
            assert (told.status_code, told.json()["kind"]) == (504, "TookTooLong")
            assert time.monotonic() - began < 5
        assert ground.sql("SELECT 42 AS a").json()["rows"] == [{"a": 42}]


def test_a_query_whose_asker_has_gone_is_stopped(serving: Callable[..., Any]) -> None:
    with serving(queries=1, timeout=60) as ground:
        for query in (ENDLESS, "SELECT * FROM range(100000000000) AS a(i)"):
            with pytest.raises(httpx.TimeoutException):
                httpx.post(
                    f"{ground.url}/sql", json={"query": query, "format": "csv", "max_rows": 60_000_000}, timeout=0.5, trust_env=False
                )
                raise httpx.ReadTimeout("read whole")
        began = time.monotonic()
        assert ground.sql("SELECT 42 AS a").json()["rows"] == [{"a": 42}]
        assert time.monotonic() - began < 10


def test_an_answer_that_nobody_reads_gives_its_slot_back(serving: Callable[..., Any], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(replies, "STALL_SECONDS", 1.0)
    with serving(queries=1, timeout=60, max_rows=100_000_000) as ground:
        place = urlsplit(ground.url)
        body = b'{"query":"SELECT * FROM range(100000000) t(i)","format":"csv"}'
        with socket.create_connection((place.hostname, place.port), timeout=20) as idle:
            idle.sendall(
                b"POST /sql HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n" % len(body) + body
            )
            assert idle.recv(100).startswith(b"HTTP/1.1 200")
            assert ground.sql("SELECT 42 AS a").json()["rows"] == [{"a": 42}]


def test_a_large_answer_comes_in_pieces_and_one_that_fails_breaks_off(serving: Callable[..., Any]) -> None:
    with serving(max_rows=3_000_000, timeout=20) as ground:
        with httpx.stream(
            "POST",
            f"{ground.url}/sql",
            json={"query": "SELECT i, i * 2 AS b FROM range(2000000) t(i)", "format": "csv"},
            timeout=60,
            trust_env=False,
        ) as told:
            assert "content-length" not in told.headers and "x-truncated" not in told.headers
            assert sum(piece.count(b"\n") for piece in told.iter_bytes()) == 2_000_001
        with pytest.raises(httpx.RemoteProtocolError):
            ground.sql(
                "SELECT CASE WHEN i = 2000000 THEN error('on purpose') ELSE i::VARCHAR END AS a FROM range(2500000) t(i)", format="csv"
            )
        assert ground.sql("SELECT 1 AS a").status_code == 200


def test_when_too_many_wait_others_are_told_to_come_again(serving: Callable[..., Any]) -> None:
    with serving(queries=1, queue=1, timeout=4) as ground:
        told: list[httpx.Response] = []
        asking = [threading.Thread(target=lambda: told.append(ground.sql(ENDLESS))) for _ in range(4)]
        for one in asking:
            one.start()
        for one in asking:
            one.join()
        assert ground.sql("SELECT 42 AS a").status_code == 200
    statuses = sorted(one.status_code for one in told)
    assert statuses[:2] == [503, 503] and 504 in statuses, statuses
    assert [one.headers["retry-after"] for one in told if one.status_code == 503]


def test_a_query_has_no_more_memory_than_it_may(serving: Callable[..., Any]) -> None:
    with serving(memory="200MB", timeout=30) as ground:
        told = ground.sql("SELECT list(i) AS a, count(DISTINCT i::VARCHAR || 'x') FROM range(50000000) t(i)")
        assert (told.status_code, told.json()["kind"]) == (504, "TookTooLong"), told.text[:500]
        assert ground.sql("SELECT 42 AS a").status_code == 200


# ---------------------------------------------------------------------- what goes out


def test_no_path_or_secret_or_traceback_goes_out(serving: Callable[..., Any], monkeypatch: pytest.MonkeyPatch) -> None:
    canary = "canary-7f3a9c1e"
    monkeypatch.setenv("SOME_API_KEY", canary)
    with serving() as ground:

        def broken(*_: object, **__: object) -> None:
            raise RuntimeError(f"no /home/somebody/secret with {canary}")

        def ours(*_: object, **__: object) -> None:
            raise LakeError(f"{ground.root}/lake/a.parquet and /usr/lib/x.so, and {canary}: nothing was done.")

        monkeypatch.setattr(ground.bench, "bars", broken)
        unexpected = ground.ask("GET", "/bars/AAPL")
        monkeypatch.setattr(ground.bench, "bars", ours)
        known = ground.ask("GET", "/bars/AAPL")
    assert (unexpected.status_code, unexpected.json()["kind"]) == (500, "Unexpected")
    assert not any(word in unexpected.text for word in (canary, "/home", "RuntimeError", "Traceback"))
    assert known.json()["error"] == f"{ground.root}/lake/a.parquet and (a path), and ********: nothing was done."
    assert known.status_code == 503


def test_every_reply_says_that_it_is_not_to_be_kept_or_guessed_at(served: Ground) -> None:
    for path in ("/health", "/nothing", "/bars/AAPL"):
        told = served.ask("GET", path)
        assert (told.headers["cache-control"], told.headers["x-content-type-options"]) == ("no-store", "nosniff")
        assert "server" not in told.headers


def test_log_lines_name_route_and_token_and_hold_no_secret(served: Ground, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level("INFO", logger="workbench.api"):
        served.ask("GET", "/bars/AAPL?format=csv", "reader")
        served.ask("GET", "/bars/AAPL", "wb_a-token-that-is-none")
        until = time.monotonic() + 5
        # A line is written when its reply is out.
        while len(lines := [record for record in caplog.records if record.name == "workbench.api"]) < 2 and time.monotonic() < until:
            time.sleep(0.01)
    assert [record.getMessage().rsplit(" ", 2)[0] for record in lines] == ["GET /bars/{ticker} 200", "GET (no such route) 401"]
    assert vars(lines[0])["token"] == "a-reader"
    told = " ".join(str(vars(record)) for record in lines)
    assert served.tokens["reader"] not in told and "wb_a-token" not in told
