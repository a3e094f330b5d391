"""What clients did to the server that it did not bear: answers with odd values, halves of addresses, and those who leave at a bad moment."""

import json
import socket
import threading
import time
from collections.abc import Iterator
from urllib.parse import urlsplit

import duckdb
import httpx
import pytest
from apiserver import Ground, ground, landed

from workbench.api.serving import beside
from workbench.api.settings import Serving
from workbench.errors import UsageError
from workbench.query.guarded.running import Limit, Run
from workbench.query.guarded.watch import Watch

ENDLESS = "SELECT count(*) FROM range(100000000000) a, range(1000000) b"


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Ground]:
    root = tmp_path_factory.mktemp("attacked") / "lake"
    landed(root)
    with ground(root, Serving(port=0, timeout=20.0, queries=2, queue=50)) as made:
        yield made


@pytest.mark.parametrize("form", ["json", "ndjson", "csv"])
@pytest.mark.parametrize(
    "value",
    [
        "timestamp 'infinity'",
        "date '-infinity'",
        "timestamptz '290000-01-01'",
        "[timestamp 'infinity']",
        "{'a': date '5881580-01-01'}",
        "{'a': timestamp '290000-01-01', 'b': interval 1 day}",
        "map {[1]: 2}",
    ],
)
def test_values_that_a_form_cannot_tell_are_said_so(served: Ground, value: str, form: str) -> None:
    told = served.sql(f"SELECT {value} AS a", format=form)
    assert told.status_code == 400 and "ask for Arrow" in told.json()["error"], told.text


def test_arrow_tells_them(served: Ground) -> None:
    assert served.sql("SELECT timestamp 'infinity' AS a, map {[1]: 2} AS b", format="arrow").status_code == 200


@pytest.mark.parametrize("head", [{"Host": "[::1"}, {"Origin": "http://[::1"}])
def test_half_an_address_is_refused(served: Ground, head: dict[str, str]) -> None:
    assert httpx.get(f"{served.url}/health", headers=head, trust_env=False).status_code in (403, 421)


def test_many_who_leave_at_once_leave_the_server_free(served: Ground) -> None:
    where = urlsplit(served.url)
    body = json.dumps({"query": ENDLESS}).encode()
    head = f"POST /sql HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n".encode()
    for n in range(30):
        with socket.create_connection((where.hostname, where.port)) as asked:
            asked.sendall(head + body)
            time.sleep(0.002 * n)
    began = time.monotonic()
    assert served.sql("SELECT 1").status_code == 200
    assert time.monotonic() - began < 10


def test_a_query_that_is_stopped_just_before_it_runs_is_stopped_all_the_same() -> None:
    watch = Watch()
    cursor = duckdb.connect()
    run = Run(cursor, watch, Limit(None, time.monotonic()))
    run.stop()
    give_up = threading.Timer(8, cursor.interrupt)
    give_up.start()
    began = time.monotonic()
    # DuckDB forgets what it was told before.
    with pytest.raises(duckdb.InterruptException):
        cursor.sql(ENDLESS).fetchall()
    assert time.monotonic() - began < 4
    give_up.cancel()
    watch.close()


def test_what_is_asked_over_http_stands_in_the_query_log_and_is_counted(served: Ground) -> None:
    def counted(name: str) -> float:
        # What was told is told again for two seconds.
        lines = served.ask("GET", "/metrics").text.splitlines()
        return next(float(line.split()[1]) for line in lines if line.startswith(f"{name} "))

    before = {name: counted(name) for name in ("workbench_queries_total", "workbench_query_errors_total", "workbench_query_seconds_count")}
    served.sql("SELECT ticker, 'a-secret' AS noted FROM stock_day LIMIT 7", "owner")
    served.sql("SELECT noted FROM stock_day WHERE ticker = 'a-secret'")
    served.sql("SELECT 1 AS noted FROM read_csv('a-secret')")
    served.sql(ENDLESS.replace("a,", "noted,"), timeout_s=0.3)
    told = served.sql(
        "SELECT user_name, query, rows, status, error, ms FROM workbench.query_log WHERE query LIKE '%noted%' ORDER BY asked_at"
    )
    found = [row for row in told.json()["rows"] if "query_log" not in row["query"]]
    assert [(row["rows"], row["status"], row["error"]) for row in found] == [
        (7, "ok", None),
        (0, "error", "BinderException"),
        (0, "error", "NotAllowed"),
        (0, "error", "TookTooLong"),
    ]
    assert [row["user_name"] for row in found] == ["an-owner", "local", "local", "local"]
    assert "a-secret" not in told.text and found[3]["ms"] >= 300
    time.sleep(2.1)
    assert counted("workbench_queries_total") - before["workbench_queries_total"] >= 5
    assert counted("workbench_query_errors_total") - before["workbench_query_errors_total"] == 3
    assert counted("workbench_query_seconds_count") - before["workbench_query_seconds_count"] >= 5


def test_a_size_that_is_none_is_said_before_anything_is_served(served: Ground) -> None:
    with pytest.raises(UsageError, match="memory_limit"), beside(served.bench, Serving(port=0, memory="junk")):
        pass


def test_a_limit_that_no_clock_tells_leaves_the_others_as_they_are() -> None:
    watch, called = Watch(), threading.Event()
    watch.after(1e300, lambda: None)
    time.sleep(0.1)
    watch.after(0.1, called.set)
    assert called.wait(2)
    watch.close()
