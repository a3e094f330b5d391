"""Rows that people write to a lake in a bucket: the journal is the machine's own, and others see a row once it is folded."""

import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path

import pytest

import workbench
from workbench.config import Settings
from workbench.errors import BrokenRule, LakeError, Unreachable, UsageError
from workbench.lake import apart
from workbench.lake.folding import Folder
from workbench.lake.operations import Operations
from workbench.lake.remote.where import remote_of

pytestmark = pytest.mark.s3

SIGNAL = {
    "timestamp": "2024-01-02T10:00:00Z",
    "symbol": "BTCUSD",
    "price": "1.5",
    "final_signal": "BUY",
    "final_confidence": "0.5",
    "aggregation_method": "mean",
    "strategies": {},
}
OWN = "derived.factor"


@pytest.fixture
def machines(far: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[str], workbench.Workbench]]:
    """Opens the lake as the machine of a name sees it: each has a folder of its own."""
    opened: list[workbench.Workbench] = []
    with workbench.Workbench(Settings.load()) as bench:
        bench.init("kraken_bot")
        bench.create_table(OWN, {"name": "VARCHAR", "value": "DOUBLE"}, key="name")

    def machine(name: str) -> workbench.Workbench:
        monkeypatch.setenv("WORKBENCH_CACHE", str(tmp_path / name))
        opened.append(workbench.open())
        return opened[-1]

    yield machine
    for one in opened:
        one.close()


def until(told: Callable[[], object], seconds: float = 10.0) -> float:
    """Waits until something is so, and gives the seconds that it took."""
    began = time.monotonic()
    while not told():
        assert time.monotonic() - began < seconds
        time.sleep(0.02)
    return time.monotonic() - began


def names(bench: workbench.Workbench) -> list[tuple[str, float]]:
    return bench.sql(f"SELECT name, value FROM {OWN} ORDER BY ALL").fetchall()


@contextmanager
def unfolded(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Nothing is folded by itself."""
    with monkeypatch.context() as patched:
        patched.setattr(Folder, "wrote", lambda *_: None)
        patched.setattr(Folder, "_last", lambda *_: None)
        yield


def test_another_machine_sees_a_row_within_a_second_or_two(machines: Callable[[str], workbench.Workbench]) -> None:
    one, other = machines("one"), machines("other")
    assert one.lake.root != other.lake.root
    assert names(other) == []
    one.append(OWN, [{"name": "a", "value": 1.0}])
    assert names(one) == [("a", 1.0)]
    # A second until it is folded, and a look a second.
    assert until(lambda: names(other)) < 4
    assert names(other) == [("a", 1.0)]


def test_durable_returns_when_the_rows_are_in_a_commit_of_the_bucket(
    machines: Callable[[str], workbench.Workbench], monkeypatch: pytest.MonkeyPatch
) -> None:
    one = machines("one")
    with unfolded(monkeypatch):
        assert one.append(OWN, [{"name": "a", "value": 1.0}], durable=True) == 1
        assert one.upsert(OWN, [{"name": "a", "value": 2.0}, {"name": "b", "value": 3.0}], durable=True) == 2
        assert one.delete(OWN, key="b", durable=True) == 1
        assert one.add(OWN, {"name": "c", "value": 4.0}, durable=True)["value"] == 4.0
        with one.transaction(durable=True) as t:
            t.append(OWN, [{"name": "d", "value": 5.0}])
            t.append("kraken_bot.signals", [SIGNAL])
        with one.writer(OWN, durable=True) as writer:
            assert writer.append({"name": "e", "value": 6.0}) == "e"
        assert Operations(one.lake.root).held() == {}
        assert names(machines("other")) == [("a", 2.0), ("c", 4.0), ("d", 5.0), ("e", 6.0)]
        with one.transaction() as t, pytest.raises(UsageError, match="durable=True"):
            t.append(OWN, [{"name": "f", "value": 5.0}], durable=True)


def test_a_bench_that_closes_has_folded_and_what_a_killed_process_left_is_folded_by_the_next(
    machines: Callable[[str], workbench.Workbench], monkeypatch: pytest.MonkeyPatch
) -> None:
    one = machines("one")
    one.append(OWN, [{"name": "a", "value": 1.0}])
    one.close()
    other = machines("other")
    assert names(other) == [("a", 1.0)]
    with unfolded(monkeypatch):
        left = machines("one")
        left.append(OWN, [{"name": "b", "value": 2.0}])
        left.close()
        assert Operations(left.lake.root).held()
    machines("one")
    until(lambda: len(names(other)) == 2)


def test_two_machines_number_rows_apart(machines: Callable[[str], workbench.Workbench], monkeypatch: pytest.MonkeyPatch) -> None:
    one, other = machines("one"), machines("other")
    with unfolded(monkeypatch):
        for bench in (one, other, one, other):
            bench.append("kraken_bot.signals", [SIGNAL] * 3)
            with bench.writer("kraken_bot.signals") as writer:
                writer.append(SIGNAL)
        one.fold()
        other.fold()
    third = machines("third")
    ids = [id for (id,) in third.sql("SELECT id FROM kraken_bot.signals ORDER BY id").fetchall()]
    # One machine counts on without a gap; another's numbers are of another range.
    assert ids == [*range(1, 9), *range(1001, 1009)]
    # More than are left of a range: it goes on where nobody has claimed since.
    third.append("kraken_bot.signals", [SIGNAL] * 1500, durable=True)
    assert third.sql("SELECT min(id), max(id) FROM kraken_bot.signals WHERE id > 2000").fetchall() == [(2001, 3500)]


def test_one_machine_counts_without_a_gap_over_ranges(machines: Callable[[str], workbench.Workbench]) -> None:
    one = machines("one")
    row = SIGNAL
    for count in (1, 998, 3, 1200):
        one.append("kraken_bot.signals", [row] * count)
    assert one.sql("SELECT count(*), min(id), max(id) FROM kraken_bot.signals").fetchall() == [(2202, 1, 2202)]


def test_of_a_key_that_two_machines_write_the_first_commit_stands_and_the_other_row_is_set_apart(
    machines: Callable[[str], workbench.Workbench], monkeypatch: pytest.MonkeyPatch
) -> None:
    one, other = machines("one"), machines("other")
    with unfolded(monkeypatch):
        one.append(OWN, [{"name": "a", "value": 1.0}, {"name": "same", "value": 7.0}])
        other.append(OWN, [{"name": "a", "value": 2.0}, {"name": "b", "value": 3.0}, {"name": "same", "value": 7.0}])
        one.fold()
        other.fold()
    third = machines("third")
    assert names(third) == [("a", 1.0), ("b", 3.0), ("same", 7.0)]
    assert names(other) == names(third)
    [row] = apart.kept(Operations(other.lake.root))
    assert (row.name, row.key) == (OWN, '["a"]')
    assert '"value":2.0' in row.body
    assert "set apart" in next(c for c in other.health() if c["name"] == "journal")["told"]
    assert "same" not in row.body
    assert [one["what"] for one in other.verify() if one["kind"] == "apart"]
    told = other.set_apart()
    assert (told.rows[0]["table"], told.rows[0]["key"]) == (OWN, '["a"]')
    assert other.set_apart(forget=True).rows == told.rows
    assert other.set_apart().rows == []
    # Whoever waits for the commit is told.
    with unfolded(monkeypatch):
        one.append(OWN, [{"name": "z", "value": 1.0}])
        # The other has looked before it was folded.
        other.sql(f"FROM {OWN}").fetchall()
        monkeypatch.setattr("workbench.lake.remote.mirror.Mirror.look", lambda _: None)
        one.fold()
        with pytest.raises(
            BrokenRule, match=r'another machine had written its key, or a unique value of its, first: derived\.factor \["z"\]'
        ):
            other.append(OWN, [{"name": "z", "value": 2.0}], durable=True)
    assert other.set_apart().rows == []


def test_of_a_unique_value_that_two_machines_write_under_two_keys_the_first_commit_stands(
    machines: Callable[[str], workbench.Workbench], monkeypatch: pytest.MonkeyPatch
) -> None:
    one, other = machines("one"), machines("other")
    users, user = "transactional.users", {"role": "trader", "password_hash": None}
    with unfolded(monkeypatch):
        one.append(users, [user | {"username": "ann", "email": "ann@example.com"}])
        other.append(
            users,
            [
                user | {"username": "ann", "email": "ann@example.org"},
                user | {"username": "bob", "email": "bob@example.com"},
                user | {"username": "cid", "email": "ann@example.com"},
            ],
        )
        one.fold()
        other.fold()
        third = machines("third")
        held = "SELECT username, email FROM transactional.users ORDER BY 1"
        assert third.sql(held).fetchall() == other.sql(held).fetchall() == [("ann", "ann@example.com"), ("bob", "bob@example.com")]
        assert ["ann@example.org" in row.body or "cid" in row.body for row in apart.kept(Operations(other.lake.root))] == [True, True]
        # A value that is let go of is another's to take, also in the batch that lets go of it.
        [(key,)] = other.sql("SELECT id FROM transactional.users WHERE username = 'ann'").fetchall()
        other.delete(users, key=key)
        other.append(users, [user | {"username": "ann", "email": "ann@example.net"}])
        other.fold()
    until(lambda: third.sql(held).fetchall() == [("ann", "ann@example.net"), ("bob", "bob@example.com")])


def test_a_large_batch_that_meets_rows_of_another_machine_keeps_the_others(
    machines: Callable[[str], workbench.Workbench], monkeypatch: pytest.MonkeyPatch
) -> None:
    one, other = machines("one"), machines("other")
    with unfolded(monkeypatch):
        one.append(OWN, [{"name": f"{n:05}", "value": 1.0} for n in range(10)])
        monkeypatch.setattr("workbench.query.ledger.fold", lambda *_: None)
        other.append(OWN, [{"name": f"{n:05}", "value": 2.0} for n in range(5, 2005)])
        one.fold()
        other.fold()
    assert machines("third").sql(f"SELECT count(*), sum(value), count(DISTINCT name) FROM {OWN}").fetchall() == [
        (2005, 10 + 2 * 1995, 2005)
    ]
    assert len(apart.kept(Operations(other.lake.root))) == 5


def test_updates_and_deletes_of_two_machines_stand_in_the_order_of_their_folds(
    machines: Callable[[str], workbench.Workbench], monkeypatch: pytest.MonkeyPatch
) -> None:
    one, other = machines("one"), machines("other")
    one.append(OWN, [{"name": name, "value": 0.0} for name in "abc"], durable=True)
    until(lambda: len(names(other)) == 3)
    with unfolded(monkeypatch):
        one.upsert(OWN, [{"name": "a", "value": 1.0}])
        one.delete(OWN, key="b")
        other.upsert(OWN, [{"name": "a", "value": 2.0}, {"name": "b", "value": 2.0}])
        other.delete(OWN, key="c")
        one.fold()
        other.fold()
    assert names(machines("third")) == [("a", 2.0), ("b", 2.0)]
    assert machines("third").verify().facts["faults"] == 0


@pytest.mark.slow
def test_threads_of_two_machines_lose_and_double_nothing(machines: Callable[[str], workbench.Workbench]) -> None:
    benches = [machines("one"), machines("other")]

    def write(bench: workbench.Workbench, mine: str) -> None:
        for n in range(25):
            bench.append(OWN, [{"name": f"{mine}{n:03}", "value": 1.0}])
            time.sleep(0.02)

    threads = [threading.Thread(target=write, args=(bench, f"{n}")) for n, bench in enumerate(benches)]
    for one in threads:
        one.start()
    for one in threads:
        one.join()
    for bench in benches:
        bench.close()
    third = machines("third")
    assert third.sql(f"SELECT count(*), count(DISTINCT name) FROM {OWN}").fetchall() == [(50, 50)]
    assert remote_of(third.lake.root)


def test_an_orm_session_waits_for_the_commit(machines: Callable[[str], workbench.Workbench], monkeypatch: pytest.MonkeyPatch) -> None:
    from workbench import orm

    one, (signal,) = machines("one"), orm.models("kraken_bot", "Signal")
    with unfolded(monkeypatch):
        with orm.sessions(one, durable=True)() as session:
            session.add(
                signal(
                    **SIGNAL | {"price": Decimal("1.5"), "final_confidence": Decimal("0.5"), "timestamp": datetime(2024, 1, 2, tzinfo=UTC)}
                )
            )
            session.commit()
        assert Operations(one.lake.root).held() == {}
    assert machines("other").sql("SELECT symbol FROM kraken_bot.signals").fetchall() == [("BTCUSD",)]


@pytest.mark.slow
def test_a_process_that_ends_without_closing_has_folded(machines: Callable[[str], workbench.Workbench]) -> None:
    one = machines("one")
    script = f"import workbench; bench = workbench.open(); bench.append({OWN!r}, [{{'name': 'a', 'value': 1.0}}])"
    subprocess.run([sys.executable, "-c", script], check=True, timeout=100)
    assert Operations(one.lake.root).held() == {}
    assert names(machines("other")) == [("a", 1.0)]


@pytest.mark.slow
def test_what_a_process_wrote_before_it_was_killed_the_next_one_here_folds(machines: Callable[[str], workbench.Workbench]) -> None:
    one, other = machines("one"), machines("other")
    one.append(OWN, [{"name": "a", "value": 1.0}], durable=True)
    row = [{"name": "b", "value": 2.0}]
    script = f"import os, workbench; bench = workbench.open(); bench.append({OWN!r}, {row!r}); os.kill(os.getpid(), 9)"
    done = subprocess.run(
        [sys.executable, "-c", script], check=False, timeout=100, env={**os.environ, "WORKBENCH_CACHE": str(one.lake.root.parents[1])}
    )
    assert done.returncode == -9
    # Here it is seen at once, by whoever asks, and elsewhere when the next process has folded it.
    assert len(names(one)) == 2
    again = subprocess.run(
        [sys.executable, "-c", "import workbench; workbench.open().close()"],
        check=True,
        timeout=100,
        env={**os.environ, "WORKBENCH_CACHE": str(one.lake.root.parents[1])},
    )
    assert again.returncode == 0
    assert Operations(one.lake.root).held() == {}
    until(lambda: len(names(other)) == 2)


def test_where_the_bucket_does_not_answer_rows_are_kept_and_whoever_waits_is_told(
    machines: Callable[[str], workbench.Workbench], monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    one = machines("one")
    names(one)

    def down(*_: object, **__: object) -> None:
        raise Unreachable("s3://lakes does not answer: nothing was committed.")

    with monkeypatch.context() as patched:
        patched.setattr("workbench.lake.records.commit", down)
        one.append(OWN, [{"name": "a", "value": 1.0}])
        with pytest.raises(LakeError, match=r"does not answer.*stands in the journal of this machine"):
            one.append(OWN, [{"name": "b", "value": 1.0}], durable=True)
        assert len(names(one)) == 2
        one.close()
    assert "no other sees until they are folded" in caplog.text
    machines("one")
    other = machines("other")
    until(lambda: len(names(other)) == 2)
