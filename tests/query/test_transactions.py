"""Writes to several tables that are seen together, or not at all."""

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from workbench.bench import Workbench
from workbench.config import Settings
from workbench.errors import BrokenRule, Busy, UsageError
from workbench.tables.platforms import RECORDS

SIGNALS, TRADES, HOLDINGS, FEEDS = "kraken_bot.signals", "kraken_bot.trades", "kraken_bot.holdings", "kraken_bot.rss_feeds"
SIGNAL: dict[str, Any] = dict(RECORDS[SIGNALS].example)
TRADE: dict[str, Any] = dict(RECORDS[TRADES].example)
HOLDING: dict[str, Any] = dict(RECORDS[HOLDINGS].example)


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Workbench]:
    with Workbench(Settings(data=str(tmp_path / "lake"))) as made:
        made.lake.make()
        yield made


def counts(bench: Workbench) -> tuple[int, ...]:
    tables = (SIGNALS, TRADES, HOLDINGS, FEEDS)
    query = f"SELECT {', '.join(f'(SELECT count(*) FROM {table})' for table in tables)}"
    [row] = bench.sql(query).fetchall()
    return tuple(row)


def test_writes_to_several_tables_are_seen_together(bench: Workbench) -> None:
    with Workbench(bench.settings) as other:
        with bench.transaction() as t:
            made = t.add(SIGNALS, SIGNAL)
            assert t.append(TRADES, TRADE | {"signal_id": made["id"]}) == 1
            assert t.upsert(HOLDINGS, HOLDING) == 1
            assert t.append(FEEDS, [{"url": f"u{n}", "name": "A"} for n in range(1200)]) == 1200
            assert t.delete(FEEDS, "url <> 'u7'") == 1199
            for one in (bench, other):
                assert counts(one) == (0, 0, 0, 0), "nobody sees any of it yet"
        for one in (bench, other):
            assert counts(one) == (1, 1, 1, 1)
        bench.fold()
        assert counts(other) == (1, 1, 1, 1)


def test_a_transaction_sees_what_it_wrote_itself(bench: Workbench) -> None:
    bench.append(FEEDS, {"url": "old", "name": "Old"})
    with bench.transaction() as t:
        assert t.get(FEEDS, "old")
        assert t.get(FEEDS, "a") is None
        t.append(FEEDS, {"url": "a", "name": "A", "error_count": 2})
        row = t.get(FEEDS, "a")
        assert row and (row["name"], row["error_count"], row["test_mode"]) == ("A", 2, False)
        t.upsert(FEEDS, {"url": "a", "name": "B"})
        row = t.get(FEEDS, "a")
        assert row and (row["name"], row["error_count"]) == ("B", 2)
        with pytest.raises(BrokenRule, match="a row with a is there already"):
            t.append(FEEDS, {"url": "a", "name": "A"})
        assert t.delete(FEEDS, key="a") == 1
        assert t.get(FEEDS, "a") is None
        assert t.append(FEEDS, {"url": "a", "name": "C"}) == 1
    assert bench.sql(f"SELECT url, name FROM {FEEDS} ORDER BY url").fetchall() == [("a", "C"), ("old", "Old")]


def test_references_see_what_the_transaction_wrote_and_deleted(bench: Workbench) -> None:
    bench.append(SIGNALS, SIGNAL)
    bench.append(TRADES, TRADE | {"signal_id": 1})
    with bench.transaction() as t:
        t.delete(TRADES, key=1)
        t.delete(SIGNALS, key=1)
        with pytest.raises(BrokenRule, match="signal_id 1 is not in"):
            t.append(TRADES, TRADE | {"signal_id": 1})
    assert counts(bench) == (0, 0, 0, 0)


@pytest.mark.parametrize("rows", [1, 1200])
def test_a_block_that_raises_leaves_nothing(bench: Workbench, rows: int) -> None:
    with pytest.raises(RuntimeError, match="half-way"), bench.transaction() as t:
        t.append(SIGNALS, [SIGNAL] * rows)
        t.upsert(HOLDINGS, HOLDING)
        raise RuntimeError("half-way")
    assert counts(bench) == (0, 0, 0, 0)
    assert not list((bench.lake.root / "journal" / "rows").glob("*"))
    assert bench.add(SIGNALS, SIGNAL)["id"] == 1, "numbers are as they were, too"


def test_what_is_refused_and_caught_leaves_the_rest(bench: Workbench) -> None:
    with bench.transaction() as t:
        t.append(FEEDS, {"url": "a", "name": "A"})
        with pytest.raises(BrokenRule, match="name is missing"):
            t.append(FEEDS, [{"url": "b", "name": "B"}, {"url": "c"}])
        t.append(FEEDS, {"url": "d", "name": "D"})
    assert bench.sql(f"SELECT url FROM {FEEDS} ORDER BY url").fetchall() == [("a",), ("d",)]


def test_what_fails_while_it_is_written_is_taken_back_alone(bench: Workbench, monkeypatch: pytest.MonkeyPatch) -> None:
    from workbench.lake.operations import Write

    whole = Write.add

    def fails(self: Write, name: str, kind: Any, **values: Any) -> None:
        if values.get("key") == '["c"]':
            raise RuntimeError("the machine broke")
        whole(self, name, kind, **values)

    monkeypatch.setattr(Write, "add", fails)
    with bench.transaction() as t:
        t.append(FEEDS, {"url": "a", "name": "A"})
        with pytest.raises(RuntimeError):
            t.append(FEEDS, [{"url": "b", "name": "B"}, {"url": "c", "name": "C"}])
        assert t.get(FEEDS, "b") is None
    assert bench.sql(f"SELECT url FROM {FEEDS} ORDER BY url").fetchall() == [("a",)]


def test_no_transaction_begins_within_another_and_none_is_used_outside(bench: Workbench) -> None:
    with bench.transaction() as t:
        with pytest.raises(UsageError, match="none begins within it"), bench.transaction():
            pass
        for write in (lambda: bench.append(SIGNALS, SIGNAL), lambda: bench.reset_tables(), lambda: bench.writer(SIGNALS).append(SIGNAL)):
            with pytest.raises(UsageError, match="a transaction is open in this thread; nothing was written"):
                write()
        with pytest.raises(UsageError, match="begun already"):
            t.__enter__()
        with Workbench(bench.settings) as other, pytest.raises(UsageError, match="a transaction is open in this thread"):
            other.append(SIGNALS, SIGNAL)
        t.append(SIGNALS, SIGNAL)
    for verb in (lambda: t.append(SIGNALS, SIGNAL), lambda: t.get(SIGNALS, 1), lambda: t.delete(SIGNALS, "true"), lambda: t.__enter__()):
        with pytest.raises(UsageError, match=r"ended|begun already"):
            verb()
    with pytest.raises(UsageError, match="was not begun"):
        bench.transaction().append(SIGNALS, SIGNAL)
    with bench.transaction():
        pass
    assert counts(bench) == (1, 0, 0, 0)
    assert bench.append(SIGNALS, SIGNAL) == 1


def test_a_transaction_is_one_threads(bench: Workbench) -> None:
    told: list[BaseException] = []

    def work() -> None:
        try:
            t.append(SIGNALS, SIGNAL)
        except BaseException as fault:
            told.append(fault)

    with bench.transaction() as t:
        thread = threading.Thread(target=work, daemon=True)
        thread.start()
        thread.join(10)
        t.append(FEEDS, {"url": "a", "name": "A"})
    [fault] = told
    assert isinstance(fault, UsageError)
    assert "another thread's; nothing was written" in str(fault)
    assert counts(bench) == (0, 0, 0, 1)


def test_other_threads_wait_for_the_end(bench: Workbench) -> None:
    order: list[str] = []

    def work() -> None:
        bench.append(FEEDS, {"url": "late", "name": "A"})
        order.append("append")

    with bench.transaction() as t:
        t.append(FEEDS, {"url": "a", "name": "A"})
        thread = threading.Thread(target=work)
        thread.start()
        thread.join(0.3)
        order.append("end")
    thread.join()
    assert order == ["end", "append"]
    assert counts(bench) == (0, 0, 0, 2)


def test_who_waits_for_too_long_is_told(bench: Workbench, monkeypatch: pytest.MonkeyPatch) -> None:
    bench.append(FEEDS, {"url": "a", "name": "A"})
    monkeypatch.setattr("workbench.lake.sqlitefile.PATIENCE_S", 0.2)
    told: list[BaseException] = []

    def work() -> None:
        with Workbench(bench.settings) as other:
            try:
                other.append(FEEDS, {"url": "b", "name": "B"})
            except BaseException as fault:
                told.append(fault)

    with bench.transaction() as t:
        t.append(FEEDS, {"url": "c", "name": "C"})
        thread = threading.Thread(target=work)
        thread.start()
        thread.join()
    assert [type(one) for one in told] == [Busy]
    assert "nothing was written" in str(told[0])


KILLED = """
import sys, os, signal
from workbench.bench import Workbench
from workbench.config import Settings
from workbench.tables.platforms import RECORDS
bench = Workbench(Settings(data=sys.argv[1]))
with bench.transaction() as t:
    made = t.add("kraken_bot.signals", RECORDS["kraken_bot.signals"].example)
    t.append("kraken_bot.trades", {**RECORDS["kraken_bot.trades"].example, "signal_id": made["id"]})
    t.append("kraken_bot.rss_feeds", [{"url": f"u{n}", "name": "A"} for n in range(1200)])
    if sys.argv[2] == "before":
        os.kill(os.getpid(), signal.SIGKILL)
os.kill(os.getpid(), signal.SIGKILL)
"""


@pytest.mark.parametrize(("when", "left"), [("before", (0, 0, 0, 0)), ("after", (1, 1, 0, 1200))])
def test_a_process_that_is_killed_leaves_all_or_nothing(bench: Workbench, when: str, left: tuple[int, ...]) -> None:
    done = subprocess.run([sys.executable, "-c", KILLED, str(bench.lake.root), when], env=os.environ, check=False)
    assert done.returncode == -signal.SIGKILL
    assert counts(bench) == left
    assert bench.append(FEEDS, {"url": "next", "name": "A"}) == 1
    bench.fold()
    assert counts(bench) == (*left[:3], left[3] + 1)
