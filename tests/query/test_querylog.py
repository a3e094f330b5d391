"""The query log: what was asked, without its literals, with its times; off the queries' way, whatever happens to it."""

import json
import logging
import multiprocessing
import os
import shutil
import statistics
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import duckdb
import pytest
from click.testing import CliRunner
from hypothesis import given, settings
from hypothesis import strategies as st

from workbench.bench import Workbench
from workbench.cli import main
from workbench.config import Settings
from workbench.errors import BadSetting, QueryError
from workbench.query import querylog
from workbench.query.literals import LONGEST, masked
from workbench.query.querylog import WRITER, entries, place, record

SECRET = "hunter2-zq81"
TELLS = pytest.mark.skipif(duckdb.__version__.startswith("1."), reason="DuckDB 1 does not tell by a query's text how it was read")


@pytest.fixture
def root(tmp_path: Path) -> Path:
    Workbench(Settings(data=str(tmp_path / "lake"))).lake.make()
    return tmp_path / "lake"


@pytest.fixture
def bench(root: Path) -> Iterator[Workbench]:
    with Workbench(Settings(data=str(root))) as made:
        yield made


def asked(root: Path, start: str) -> list[dict[str, Any]]:
    return [one for one in entries(root) if one["query"].startswith(start)]


# ---------------------------------------------------------------------- masked


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        (f"SELECT '{SECRET}' AS a, 12.5e3", "SELECT ? AS a, ?"),
        ("SELECT 'it''s', e'a\\'b', x'ab', $$a'b$$, $t$c$t$", "SELECT ?, …"),
        (f"SELECT 1 -- {SECRET}\n+ 2 /* {SECRET}\n*/", "SELECT ? + ?"),
        (f"SELECT '{SECRET}", "SELECT ?"),
        (f"SELECT $${SECRET}", "SELECT ?"),
        (f"/* {SECRET}", ""),
        ("SELECT x1, t.y2 FROM a.b3 t WHERE z = .5 AND q = 0xff", "SELECT x1, t.y2 FROM a.b3 t WHERE z = ? AND q = ?"),
        ("FROM t WHERE day IN ('a', 'b') OR n IN (1,2,3, 4)", "FROM t WHERE day IN (?, ?) OR n IN (?, …)"),
        ("SELECT $name, ?", "SELECT $name, ?"),
        ("SELECT \"a col\", é, 'é', 7", 'SELECT "a col", é, ?, ?'),
        (f"ATTACH 'postgres://u:{SECRET}@host/db'", "ATTACH ?"),
        (f'FROM "postgres://u:{SECRET}@host/db"', 'FROM "postgres://u:********@host/db"'),
        ("FROM workbench.query_log", "FROM workbench.query_log"),
        ("", ""),
    ],
)
def test_literals_and_comments_are_left_out(query: str, expected: str) -> None:
    assert masked(query) == expected


def test_a_long_text_is_cut() -> None:
    assert len(masked("SELECT a" + ", b" * 100_000)) == LONGEST + 1
    assert masked(f"SELECT '{'x' * 200_000}{SECRET}'") == "SELECT ?…"


def test_it_is_masked_where_the_tokenizer_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(_: str) -> None:
        raise RuntimeError("no tokens")

    monkeypatch.setattr(duckdb, "tokenize", broken)
    assert masked(f"SELECT '{SECRET}', 7 -- {SECRET}") == "SELECT ?, ?"


@given(st.text(max_size=60), st.text(alphabet=st.characters(codec="utf-8", exclude_characters="'$\x00"), min_size=3, max_size=20))
@settings(max_examples=150, deadline=None)
def test_no_text_fails_and_no_string_is_left(around: str, secret: str) -> None:
    masked(around)
    told = f"q{secret}q"
    assert f"'{told}'" not in masked(f"SELECT '{told}' AS a, {around}")
    assert told not in masked(f"SELECT '{told}' AS a")


# ---------------------------------------------------------------------- told


@TELLS
def test_a_relation_that_was_read_tells_time_rows_and_bytes(bench: Workbench, root: Path) -> None:
    bench.sql(f"SELECT range AS first, '{SECRET}' AS x FROM range($n)", n=1000).fetchall()
    [one] = bench.sql("FROM workbench.query_log WHERE query LIKE 'SELECT range AS first%'").fetchall()
    row = dict(zip(querylog.COLUMNS, one, strict=True))

    assert row["query"] == "SELECT range AS first, ? AS x FROM range($n)"
    assert (row["rows"], row["status"], row["error"], row["slow"]) == (1000, "ok", None, False)
    assert row["ms"] > row["planned_ms"] > 0
    assert row["session"].startswith(os.uname().nodename)
    assert SECRET not in place(root).read_text()


@TELLS
def test_bytes_are_those_read_from_files(bench: Workbench, root: Path, tmp_path: Path) -> None:
    file = tmp_path / "rows.parquet"
    bench.con.execute(f"COPY (SELECT range AS n, hash(range) AS h FROM range(100000)) TO '{file}'")
    bench.sql(f"SELECT sum(h) AS whole FROM '{file}'").fetchall()
    bench.sql("SELECT 1")
    [one] = asked(root, "SELECT sum(h) AS whole")
    assert one["rows"] == 1
    assert file.stat().st_size / 2 < one["bytes"] < file.stat().st_size * 2


@TELLS
def test_relations_read_out_of_turn_are_told_apart_and_an_unread_one_has_no_rows(bench: Workbench, root: Path) -> None:
    first = bench.sql("SELECT range AS one FROM range(7)")
    bench.sql("SELECT range AS two FROM range(9)")
    assert len(first.filter("one > 2").fetchall()) == 4
    bench.sql("SELECT 3 AS three")
    [one], [two] = asked(root, "SELECT range AS one"), asked(root, "SELECT range AS two")
    assert (one["rows"], two["rows"]) == (4, None)
    assert two["ms"] == two["planned_ms"]


@TELLS
def test_the_last_query_is_told_when_the_bench_is_closed(root: Path) -> None:
    with Workbench(Settings(data=str(root))) as bench:
        bench.sql("SELECT range AS last FROM range(5)").fetchall()
    [one] = asked(root, "SELECT range AS last")
    assert one["rows"] == 5


def test_one_that_fails_tells_its_kind(bench: Workbench, root: Path) -> None:
    with pytest.raises(QueryError):
        bench.sql(f"SELECT no_such FROM nowhere WHERE x = '{SECRET}'")
    [one] = asked(root, "SELECT no_such")
    assert (one["status"], one["error"], one["query"]) == ("error", "CatalogException", "SELECT no_such FROM nowhere WHERE x = ?")


def test_a_platform_is_told(bench: Workbench, root: Path) -> None:
    bench.use("tetra")
    bench.sql("SELECT 41 + 1 AS platforms")
    assert [one["platform"] for one in asked(root, "SELECT ? + ? AS platforms")] == ["tetra"]


def test_the_prompt_and_whoever_times_it_themselves_are_told(root: Path) -> None:
    assert CliRunner().invoke(main, ["sql", "SELECT 42 AS prompt", "--data", str(root)]).exit_code == 0
    [one] = asked(root, "SELECT ? AS prompt")
    assert one["ms"] > 0

    record(root, "SELECT 5 AS served", 12.5, rows=3, size=100, error="TookTooLong", platform="tetra", user_name="ada", session="web")
    [one] = asked(root, "SELECT ? AS served")
    told = [one[name] for name in ("ms", "rows", "bytes", "status", "error", "platform", "user", "session")]
    assert told == [12.5, 3, 100, "error", "TookTooLong", "tetra", "ada", "web"]


def test_a_slow_one_is_flagged_and_logged_without_its_literals(root: Path, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING, "workbench"), Workbench(Settings(data=str(root), slow_ms=0)) as bench:
        bench.sql(f"CREATE TEMP TABLE slow AS SELECT '{SECRET}' AS x")
        bench.sql("SELECT count(*) AS slow_too FROM slow").fetchall()
    assert [one["slow"] for one in entries(root)] == [True, True]
    assert "slow query" in caplog.text and "CREATE TEMP TABLE slow AS SELECT ? AS x" in caplog.text
    assert SECRET not in caplog.text


def test_a_quick_one_is_not(bench: Workbench, root: Path, caplog: pytest.LogCaptureFixture) -> None:
    record(root, "SELECT 1", 999, slow_ms=1000)
    record(root, "SELECT 1", 1000, slow_ms=1000)
    assert [bool(one.get("slow")) for one in entries(root)] == [False, True]
    assert len([one for one in caplog.records if one.name == "workbench.query"]) == 1


@pytest.mark.parametrize(("name", "value"), [("SLOW_MS", "-1"), ("SLOW_MS", "soon"), ("LOG_LEVEL", "loud"), ("LOG_FORMAT", "xml")])
def test_a_setting_that_cannot_be_used_is_refused(name: str, value: str, tmp_path: Path) -> None:
    with pytest.raises(BadSetting):
        Settings.load(env={f"WORKBENCH_{name}": value}, start=tmp_path)


# ---------------------------------------------------------------------- bad luck


def test_nothing_that_happens_to_the_log_fails_a_query(root: Path) -> None:
    (root / "logs").write_text("in the way")
    with Workbench(Settings(data=str(root))) as bench:
        assert bench.sql("SELECT 1").fetchall() == [(1,)]
        assert bench.sql("FROM workbench.query_log").fetchall() == []
    assert WRITER.told(root).dropped >= 1


def test_a_lake_that_is_removed_does_not_come_back(root: Path) -> None:
    with Workbench(Settings(data=str(root))) as bench:
        bench.sql("SELECT 1").fetchall()
        shutil.rmtree(root)
        WRITER.flush()
        assert not root.exists()


def test_lines_that_cannot_be_read_are_left_out(root: Path) -> None:
    record(root, "SELECT a", 1)
    WRITER.flush()
    with place(root).open("ab") as file:
        file.write(b'{"id": "torn\n\xff\xfe\n[]\n{"id": "x"}\n')
    record(root, "SELECT b", 1)
    assert [one["query"] for one in entries(root)] == ["SELECT a", "SELECT b"]


def test_it_is_bounded_and_forgets(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(querylog, "LARGEST", 2_000)
    for n in range(60):
        record(root, f"SELECT a{n}", 1)
        WRITER.flush()
    sizes = {path.name: path.stat().st_size for path in place(root).parent.iterdir()}
    assert sum(sizes.values()) < 2 * (2_000 + 500)
    assert entries(root)[-1]["query"] == "SELECT a59"

    monkeypatch.setattr(querylog, "KEPT_S", -1)
    assert entries(root) == []


def test_what_waits_is_bounded(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(querylog, "WAITING", 10)
    before = WRITER.told(root).dropped
    with WRITER._writing:
        for n in range(25):
            record(root, f"SELECT b{n}", 1)
    assert [one["query"] for one in entries(root)][-1] == "SELECT b24"
    assert WRITER.told(root).dropped > before


def test_many_threads_ask_and_all_is_told(root: Path) -> None:
    with Workbench(Settings(data=str(root))) as bench:
        threads = [threading.Thread(target=lambda n=n: [bench.sql(f"SELECT {k} AS t{n}").fetchall() for k in range(5)]) for n in range(4)]
        for one in threads:
            one.start()
        for one in threads:
            one.join()
    assert len(entries(root)) == 20
    assert len({one["id"] for one in entries(root)}) == 20


def test_the_thread_writes_by_itself_and_ends_when_nothing_comes(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(querylog, "IDLE_S", 0.05)
    record(root, "SELECT alone", 1)
    end = time.monotonic() + 15
    while not place(root).exists() or WRITER._thread is not None:
        assert time.monotonic() < end, "it did not write, or did not end"
        time.sleep(0.02)
    assert json.loads(place(root).read_text())["query"] == "SELECT alone"
    record(root, "SELECT again", 1)
    assert WRITER._thread is not None


def in_child(root: Path) -> None:
    record(root, "SELECT child", 1)
    WRITER.flush()
    os._exit(0)


def test_a_fork_writes_its_own_and_not_its_parents(root: Path) -> None:
    with WRITER._writing:
        record(root, "SELECT parent", 1)
        child = multiprocessing.get_context("fork").Process(target=in_child, args=(root,))
        child.start()
        child.join(30)
    told = [one["query"] for one in entries(root)]
    assert sorted(told) == ["SELECT child", "SELECT parent"]
    assert child.exitcode == 0


@pytest.mark.slow
def test_what_it_costs_a_query(bench: Workbench) -> None:
    """The time of this thread that a query takes with the log and without, the least of many rounds; printed."""
    watch, catalog = bench.catalog.watch, bench.catalog

    def spent(on: bool) -> float:
        watch._profiles = on
        for cursor in catalog._cursors():
            cursor.execute("SET enable_profiling = 'no_output'" if on else "PRAGMA disable_profiling")
        began = time.thread_time()
        for _ in range(100):
            bench.sql("SELECT 1").fetchall()
        return (time.thread_time() - began) / 100 * 1e6

    bench.sql("SELECT 1").fetchall()
    asked, settle = watch.asked, watch.settle
    pairs = []
    for _ in range(12):
        watch.asked, watch.settle = asked, settle  # type: ignore[method-assign]
        full = spent(True)
        watch.asked, watch.settle = (lambda *_, **__: None), (lambda *_: False)  # type: ignore[method-assign]
        pairs.append((full, spent(False)))
    least = [min(column) for column in zip(*pairs, strict=True)]
    print(
        f"a query takes {least[0]:.0f} µs with the log, {least[1]:.0f} µs without; median of differences {statistics.median(a - b for a, b in pairs):.0f} µs"
    )
    assert least[0] - least[1] < 300
