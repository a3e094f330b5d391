"""What the documents promise of the routes: each of their keys, and what each route does."""

import json
import time
from collections.abc import Callable
from datetime import datetime
from typing import Any

import httpx
import polars as pl
import pyarrow as pa
import pytest
from apiserver import Ground

SIGNAL = {
    "timestamp": "2026-01-02T10:00:00-05:00",
    "symbol": "BTCUSD",
    "price": 95000.5,
    "final_signal": "BUY",
    "final_confidence": 0.8,
    "aggregation_method": "weighted",
    "strategies": {"technical": {"signal": "BUY", "confidence": 0.8}},
}


def test_the_status_of_the_database_has_the_documented_keys(served: Ground) -> None:
    told = served.ask("GET", "/database/status")
    assert told.status_code == 200
    reply = told.json()
    assert reply["status"] in ("healthy", "degraded", "unhealthy")
    assert reply["database"] == str(served.root)
    assert reply["size_bytes"] > 0
    assert datetime.fromisoformat(reply["timestamp"]).utcoffset() is not None
    assert reply["total_rows"] == sum(one["rows"] for one in reply["tables"])
    assert {"stock_day", "stock_minute"} <= {one["table"] for one in reply["tables"]}


def test_the_health_of_the_database_has_the_documented_keys(served: Ground) -> None:
    told = served.ask("GET", "/health/database")
    assert told.status_code == 200
    assert {"status", "database", "size_bytes", "timestamp"} <= told.json().keys()
    assert "error" not in told.json()


def test_an_unhealthy_database_is_503_with_the_error(serving: Callable[..., Any]) -> None:
    with serving() as ground:
        for one in (ground.root / "lake" / "main" / "stock_day").rglob("*.parquet"):
            one.unlink()
        told = ground.ask("GET", "/health/database")
    assert told.status_code == 503
    assert told.json()["status"] == "unhealthy"
    assert "stock_day" in told.json()["error"]
    assert {"database", "size_bytes", "timestamp"} <= told.json().keys()


def test_health_tells_that_the_server_is_alive(served: Ground) -> None:
    assert served.ask("GET", "/health").json()["status"] == "healthy"


def test_counts_have_the_documented_names(served: Ground) -> None:
    counts = served.ask("GET", "/database/counts").json()
    assert {"signals", "trades", "prod_trades", "test_trades", "holdings"} <= counts.keys()
    assert counts == served.bench.table_counts("kraken_bot")
    assert served.ask("GET", "/database/counts?platform=shrek").json()["stock_prices"] == 120
    assert served.ask("GET", "/database/counts?platform=nobody").json()["kind"] == "UnknownName"


# ---------------------------------------------------------------------- refresh


def events(reply: httpx.Response) -> list[dict[str, Any]]:
    """Server-sent events: of each its name, id and data."""
    found = []
    for block in reply.text.split("\n\n"):
        fields = dict(line.split(": ", 1) for line in block.splitlines() if ": " in line and not line.startswith(":"))
        if "data" in fields:
            found.append(
                {"event": fields["event"], "id": int(fields["id"]) if "id" in fields else None, "data": json.loads(fields["data"])}
            )
    return found


@pytest.mark.slow
def test_a_refresh_gives_its_run_at_once_and_lands(serving: Callable[..., Any]) -> None:
    with serving() as ground:
        began = time.monotonic()
        asked = {"source": "sample", "symbols": ["AAPL"], "days": 5, "datasets": ["stock_day"]}
        told = ground.ask("POST", "/database/refresh", "owner", json=asked)
        assert told.status_code == 202, told.text
        assert time.monotonic() - began < 3
        id = told.json()["run_id"]
        again = ground.ask("POST", "/database/refresh", "owner", json=asked)
        assert (again.status_code, again.json()["kind"], again.json()["run_id"]) == (409, "Busy", id)

        followed = events(ground.ask("GET", f"/runs/{id}/events"))
        assert [one["event"] for one in followed[:1] + followed[-2:]] == ["plan", "summary", "end"]
        assert followed[-1]["data"]["state"] == "done"
        kept = [one for one in followed if one["event"] != "moves"]
        rest = events(ground.ask("GET", f"/runs/{id}/events", headers={"Last-Event-ID": str(kept[0]["id"])}))
        assert [one["event"] for one in rest] == [one["event"] for one in kept[1:]]
        assert rest[-1]["data"]["id"] == id

        run = ground.ask("GET", f"/runs/{id}").json()
        assert (run["id"], run["state"], run["status"], run["by"]) == (id, "done", 0, "api:an-owner")
        assert [one["id"] for one in ground.ask("GET", "/runs?kind=refresh&limit=1").json()["runs"]] == [id]
        assert ground.ask("GET", "/runs?kind=notebook").json()["runs"] == []
        assert ground.sql("SELECT count(DISTINCT date) AS n FROM stock_day").json()["rows"] == [{"n": 5}]
        over = ground.ask("POST", f"/runs/{id}/stop", "owner")
        assert over.status_code == 409


@pytest.mark.slow
def test_a_refresh_with_reset_empties_first_and_one_that_goes_on_is_stopped(serving: Callable[..., Any]) -> None:
    with serving() as ground:
        told = ground.ask(
            "POST",
            "/database/refresh",
            "owner",
            json={"source": "sample", "days": 250, "datasets": ["stock_day", "stock_minute"], "reset": True},
        )
        id = told.json()["run_id"]
        stopped = ground.ask("POST", f"/runs/{id}/stop", "owner")
        assert stopped.status_code == 202, stopped.text
        ended = events(ground.ask("GET", f"/runs/{id}/events"))[-1]["data"]
    assert ended["state"] == "stopped"
    assert "--reset" in ended["command"]


@pytest.mark.parametrize(
    ("asked", "status", "kind"),
    [
        ({"source": "nowhere"}, 400, "UnknownName"),
        ({"datasets": ["stock_dya"]}, 400, "UnknownName"),
        ({"start": "2026-02-02", "end": "2026-01-02"}, 400, "BadRange"),
        ({"days": 3, "start": "2026-01-02"}, 400, "BadRange"),
        ({"days": 0}, 422, "Invalid"),
        ({"symbols": ["A,B"]}, 400, "UsageError"),
        ({"symbols": ["A\x00B"]}, 422, "Invalid"),
        ({"source": "sample", "dayz": 3}, 422, "Invalid"),
        ({}, 400, "NoSource"),
    ],
)
def test_a_refresh_that_cannot_be_is_refused_before_it_begins(served: Ground, asked: dict[str, Any], status: int, kind: str) -> None:
    told = served.ask("POST", "/database/refresh", "owner", json=asked)
    assert (told.status_code, told.json()["kind"]) == (status, kind), told.text
    assert served.ask("GET", "/runs").json()["runs"] == []


@pytest.mark.parametrize("id", ["20260101T000000000Z-abcd", "x", "..%2F..%2Faccess.json", "%00"])
def test_a_run_that_is_not_there_is_not_found(served: Ground, id: str) -> None:
    for method, path in (("GET", ""), ("GET", "/events"), ("POST", "/stop")):
        assert served.ask(method, f"/runs/{id}{path}", "owner").status_code == 404


# ---------------------------------------------------------------------- rows


def frames(served: Ground, path: str, body: dict[str, Any] | None = None) -> dict[str, pl.DataFrame]:
    """An answer in each of its forms, as frames."""
    found: dict[str, pl.DataFrame] = {}
    for form in ("arrow", "csv", "json", "ndjson"):
        told = served.ask("POST", path, json=body | {"format": form}) if body else served.ask("GET", path, params={"format": form})
        assert told.status_code == 200, told.text
        match form:
            case "arrow":
                found[form] = pl.DataFrame(pa.ipc.open_stream(told.content).read_all())
            case "csv":
                found[form] = pl.read_csv(told.content, try_parse_dates=True)
            case "json":
                assert told.json()["row_count"] == len(told.json()["rows"])
                found[form] = pl.DataFrame(told.json()["rows"])
            case "ndjson":
                found[form] = pl.read_ndjson(told.content)
    return found


def test_an_answer_is_the_same_in_every_form(served: Ground) -> None:
    query = "SELECT ticker, close, transactions FROM stock_day WHERE date = $day ORDER BY ticker"
    day = str(served.bench.sql("SELECT max(date) FROM stock_day").fetchall()[0][0])
    told = frames(served, "/sql", {"query": query, "parameters": {"day": day}})
    own = served.bench.sql(query, day=day).pl()
    assert len(own) == 40
    for form, frame in told.items():
        assert frame.equals(own), form


def test_the_accept_header_chooses_the_form(served: Ground) -> None:
    for accept, media in (
        ("text/csv", "text/csv; charset=utf-8"),
        ("application/vnd.apache.arrow.stream", "application/vnd.apache.arrow.stream"),
        ("text/csv;q=0.5, application/x-ndjson", "application/x-ndjson"),
        ("*/*", "application/json"),
    ):
        told = served.ask("POST", "/sql", json={"query": "SELECT 1 AS a"}, headers={"Accept": accept})
        assert told.headers["content-type"] == media
    assert served.ask("POST", "/sql", json={"query": "SELECT 1"}, headers={"Accept": "image/png"}).status_code == 406


def test_every_type_has_a_form_in_json_and_csv(served: Ground) -> None:
    query = """SELECT 'nan'::DOUBLE AS nan, 1.25::DECIMAL(10, 2) AS money, sum(3::BIGINT) AS whole, TIMESTAMP '2024-01-02 09:30:00.5' AS naive,
        TIMESTAMPTZ '2024-01-02 09:30:00-05' AS instant, [1, 2] AS list, {'a': 1} AS struct, map {'k': DATE '2024-01-02'} AS map, NULL AS nothing,
        INTERVAL 1 DAY AS length, '\\x00'::BLOB AS bytes, [BLOB 'x'] AS many, 1 AS a, 2 AS a, 'a
        "b",c' AS text"""
    told = served.sql(query)
    assert told.status_code == 200, told.text
    [row] = told.json()["rows"]
    assert (row["nan"], row["money"], row["whole"], row["list"], row["struct"], row["nothing"]) == (None, 1.25, 3, [1, 2], {"a": 1}, None)
    assert (row["map"], row["bytes"], row["many"], row["a"], row["text"].split("\n")[0]) == ({"k": "2024-01-02"}, "AA==", ["eA=="], 1, "a")
    assert datetime.fromisoformat(row["instant"]) == datetime.fromisoformat("2024-01-02T09:30:00-05:00")
    assert served.sql(query, format="csv").status_code == served.sql(query, format="arrow").status_code == 200


def test_an_answer_says_whether_it_was_cut(served: Ground) -> None:
    told = served.sql("SELECT * FROM stock_day", max_rows=7)
    assert (told.json()["row_count"], told.json()["truncated"], told.headers["x-truncated"]) == (7, True, "true")
    whole = served.sql("SELECT * FROM stock_day LIMIT 7", max_rows=7)
    assert (whole.json()["row_count"], whole.json()["truncated"], whole.headers["x-truncated"]) == (7, False, "false")
    batches = pa.ipc.open_stream(
        served.sql("SELECT * FROM stock_day", max_rows=7, format="arrow").content
    ).iter_batches_with_custom_metadata()
    assert [(batch.num_rows, bool(more)) for batch, more in batches] == [(7, False), (0, True)]
    most = served.sql("SELECT * FROM range(100000)", max_rows=10_000_000)
    assert (most.json()["row_count"], most.json()["truncated"], most.headers["x-max-rows"]) == (60_000, True, "60000")


def test_a_platforms_own_sql_is_answered(served: Ground) -> None:
    told = served.sql("SELECT count(*) AS n FROM stock_prices", platform="shrek")
    assert told.json()["rows"] == [{"n": 120}]


@pytest.mark.parametrize(
    ("query", "status", "kind"),
    [
        ("selec 1", 400, "QueryError"),
        ("SELECT * FROM nowhere", 403, "NotAllowed"),
        ("SELECT $a", 400, "QueryError"),
        ("COPY stock_day TO '/tmp/x.csv'", 403, "NotAllowed"),
        ("SELECT 1; SELECT 2", 403, "NotAllowed"),
        ("SELECT * FROM read_text('/etc/passwd')", 403, "NotAllowed"),
        ("", 422, "Invalid"),
    ],
)
def test_a_query_that_cannot_be_is_told_so(served: Ground, query: str, status: int, kind: str) -> None:
    told = served.sql(query)
    assert (told.status_code, told.json()["kind"]) == (status, kind), told.text


def test_bars_are_those_of_the_bench(served: Ground) -> None:
    for path, own in (
        ("/bars/AAPL", served.bench.bars("AAPL")),
        ("/bars/AAPL,MSFT?freq=1w&adjusted=all", served.bench.bars(["AAPL", "MSFT"], freq="1w", adjusted="all")),
        (
            "/bars/AAPL?freq=5m&session=regular&fill=forward&limit=3",
            served.bench.bars("AAPL", freq="5m", session="regular", fill="forward", limit=3),
        ),
    ):
        told = served.ask("GET", path, headers={"Accept": "application/vnd.apache.arrow.stream"})
        assert pl.DataFrame(pa.ipc.open_stream(told.content).read_all()).equals(own), path
    assert served.ask("GET", "/bars/NOBODY").json()["rows"] == []
    assert served.ask("GET", "/bars/AAPL?start=2026-02-02&end=2026-01-02").json()["kind"] == "BadRange"
    assert served.ask("GET", "/bars/AAPL?freq=7m").status_code == 422
    assert served.ask("GET", "/bars/AAPL?table=nope").json()["kind"] == "UnknownName"


def test_tables_are_listed_and_read_with_conditions(served: Ground) -> None:
    names = {one["name"] for one in served.ask("GET", "/tables").json()["tables"]}
    assert {"stock_day", "kraken_bot.signals", "shrek.stock_prices"} <= names
    path = "/tables/main.stock_day?ticker.in=AAPL,MSFT&close.gt=1&date.gte=2026-01-01&order=-date,ticker&columns=date,ticker,close&limit=4"
    own = served.bench.sql(
        "SELECT date, ticker, close FROM stock_day WHERE ticker IN ('AAPL', 'MSFT') ORDER BY date DESC, ticker LIMIT 4"
    ).pl()
    reply = served.ask("GET", path).json()
    assert reply["truncated"]
    assert [(one["date"], one["ticker"], one["close"]) for one in reply["rows"]] == [(str(a), b, c) for a, b, c in own.rows()]
    assert served.ask("GET", "/tables/main.stock_day?ticker=AAPL&offset=2").json()["row_count"] == 1
    assert served.ask("GET", "/tables/main.stock_day?ticker.like=AA%25").json()["row_count"] == 3
    assert served.ask("GET", "/tables/main.stock_day?close.null=true").json()["row_count"] == 0
    assert served.ask("GET", "/tables/shrek.stock_prices?symbol=AAPL").json()["row_count"] == 3
    assert frames(served, "/tables/main.stock_day")["json"].height == 120


@pytest.mark.parametrize(
    ("path", "status", "kind"),
    [
        ("/tables/main.nope", 404, "UnknownName"),
        ("/tables/nope.stock_day", 404, "UnknownName"),
        ("/tables/main.stock_day?nope=1", 400, "UnknownName"),
        ("/tables/main.stock_day?order=nope", 400, "UnknownName"),
        ("/tables/main.stock_day?columns=date,1;DROP", 400, "UnknownName"),
        ("/tables/main.stock_day?close.gt=much", 400, "UsageError"),
        ("/tables/main.stock_day?close.near=1", 400, "UnknownName"),
        ("/tables/main.stock_day?limit=0", 422, "Invalid"),
        ("/tables/main.stock_day?close.like=1", 400, "UsageError"),
        ("/tables/main.%22stock_day%22", 404, "UnknownName"),
        ("/tables/main.stock_day%00", 404, "UnknownName"),
        ("/tables/..%2F..%2Fetc.passwd", 404, "NotFound"),
        ("/tables/main.stock_day%20UNION%20SELECT%201", 404, "UnknownName"),
        ("/tables/main.stock_day%3BDROP%20VIEW%20stock_day", 404, "UnknownName"),
        ("/tables/pg_catalog.pg_class", 404, "UnknownName"),
        ("/../../etc/passwd", 404, "NotFound"),
        ("/bars/..%2F..%2Fetc%2Fpasswd", 404, "NotFound"),
    ],
)
def test_names_that_are_none_are_refused(served: Ground, path: str, status: int, kind: str) -> None:
    told = served.ask("GET", path)
    assert (told.status_code, told.json()["kind"]) == (status, kind), told.text


def test_rows_are_written_by_an_application(serving: Callable[..., Any]) -> None:
    with serving() as ground:
        for mode, price in (("append", 95000.5), ("upsert", 96000.5)):
            row = SIGNAL | {"price": price} | ({"id": 1} if mode == "upsert" else {})
            told = ground.ask("POST", "/tables/kraken_bot.signals", "app", json={"rows": [row], "mode": mode})
            assert (told.status_code, told.json()) == (201, {"table": "kraken_bot.signals", "mode": mode, "rows": 1}), told.text
            read = ground.ask("GET", "/tables/kraken_bot.signals?columns=id,price,symbol").json()["rows"]
            assert read == [{"id": 1, "price": price, "symbol": "BTCUSD"}]
        broken = ground.ask("POST", "/tables/kraken_bot.signals", "app", json={"rows": [SIGNAL, {"symbol": "X"}]})
        assert (broken.status_code, broken.json()["kind"]) == (422, "BrokenRule")
        for table, body, status in (
            ("kraken_bot.nope", {"rows": [{}]}, 404),
            ("kraken_bot.signals", {"rows": [{"nope": 1}]}, 400),
            ("kraken_bot.signals", {"rows": []}, 422),
            ("kraken_bot.signals", {"rows": [{}], "mode": "delete"}, 422),
            ("kraken_bot.signals", {"rows": "x"}, 422),
        ):
            assert ground.ask("POST", f"/tables/{table}", "app", json=body).status_code == status, (table, body)
        assert ground.ask("GET", "/database/counts").json()["signals"] == 1


def test_metrics_are_prometheus_text(served: Ground) -> None:
    from prometheus_client.parser import text_string_to_metric_families

    served.ask("GET", "/nothing/here")
    told = served.ask("GET", "/metrics")
    assert told.headers["content-type"].startswith("text/plain")
    found = {one.name: one for one in text_string_to_metric_families(told.text)}
    routes = {sample.labels["route"] for sample in found["workbench_http_requests"].samples if sample.name.endswith("_total")}
    assert {"(none)", "/health"} & routes == {"(none)", "/health"} or "(none)" in routes
    assert not any("nothing" in route for route in routes)
    assert "workbench_http_seconds" in found


def test_the_description_names_every_route_its_errors_and_the_tokens(served: Ground) -> None:
    told = served.ask("GET", "/openapi.json").json()
    assert {
        ("/database/refresh", "post"),
        ("/database/status", "get"),
        ("/database/counts", "get"),
        ("/health", "get"),
        ("/health/database", "get"),
        ("/metrics", "get"),
        ("/runs", "get"),
        ("/runs/{id}", "get"),
        ("/runs/{id}/events", "get"),
        ("/runs/{id}/stop", "post"),
        ("/sql", "post"),
        ("/bars/{ticker}", "get"),
        ("/tables", "get"),
        ("/tables/{schema}.{table}", "get"),
        ("/tables/{schema}.{table}", "post"),
    } == {(path, method) for path, methods in told["paths"].items() for method in methods}
    for path, methods in told["paths"].items():
        for method, one in methods.items():
            assert ({} in one["security"]) == (method == "get" or path == "/sql")
            assert one["security"] and one["summary"] and {"401", "403", "413", "429", "503"} <= one["responses"].keys()
    assert told["components"]["securitySchemes"]["HTTPBearer"]["scheme"] == "bearer"
