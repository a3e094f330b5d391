"""Landing by executors of every kind: of this process, of this machine, of a Dask cluster; and what becomes of workers that cannot, or are lost."""

import json
import logging
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Executor, Future, InvalidStateError, ProcessPoolExecutor, ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import replace
from datetime import date, timedelta
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import pytest
from daskcluster import Dask, dask, ready
from flatfiles import FRI, MON, STOCK_DAY, STOCK_MINUTE, STOCK_TRADES, THU, TRADE, bar, minutes, put, text, trade

from workbench import cluster, sessions
from workbench.bench import Workbench
from workbench.cluster import executing
from workbench.config import Settings
from workbench.errors import ClusterError, MissingExtra, UsageError
from workbench.lake import identity
from workbench.lake.locks import holder
from workbench.lake.quarantine import refusals
from workbench.lake.vacuum import vacuum
from workbench.lake.verify import verify
from workbench.refresh import crews, working
from workbench.tables import TABLES

TICKERS = ("AAA", "BBB", "CCC", "DDD")
DAYS = (THU, FRI, MON)


def files(vendor: Path) -> None:
    """Day and minute bars and trades of three sessions; one file of them is no gzip."""
    for day in DAYS:
        put(vendor, STOCK_DAY, day, text([bar(t, day) for t in TICKERS]))
        put(vendor, STOCK_MINUTE, day, text([line for t in TICKERS for line in minutes(t, day, 5)]))
        put(vendor, STOCK_TRADES, day, text([trade(t, day, n) for t in TICKERS for n in range(6)], TRADE))
    put(vendor, STOCK_MINUTE, FRI, b"no gzip", raw=True)


@pytest.fixture
def vendor(tmp_path: Path) -> Path:
    files(tmp_path / "vendor")
    return tmp_path / "vendor"


def opened(root: Path, vendor: Path, **given: Any) -> Workbench:
    return Workbench(Settings.load(env={}, data=str(root), source=f"folder:{vendor}", **given))


DATASETS = ["stock_day", "stock_minute", "stock_trades"]


def landed(bench: Workbench) -> dict[str, Any]:
    """What a lake holds: rows, and landing records without what differs from run to run; and that nothing is wrong with it."""
    held: dict[str, Any] = {}
    for name in DATASETS:
        columns = ", ".join(f'"{c.name}"' for c in TABLES[name].columns)
        held[name] = sorted(map(repr, bench.sql(f"SELECT {columns} FROM {name}").fetchall()))
        held[f"records of {name}"] = {
            key: replace(one, files=(), landed_at="", run="", began="") for key, one in bench.lake[name].landings().items()
        }
        shot = bench.lake[name].snapshot()
        held[f"ranges of {name}"] = shot.bounds
        listed = [path for one in bench.lake[name].landings().values() for path in one.files]
        assert len(listed) == len(set(listed))
    held["refused"] = sorted((one.key, one.kind) for one in refusals(bench.lake.root))
    assert not verify(bench.lake, DATASETS).faults
    return held


@pytest.fixture
def alone(tmp_path: Path, vendor: Path) -> dict[str, Any]:
    """What the same files are in a lake without any executor."""
    bench = opened(tmp_path / "alone", vendor)
    summary = bench.refresh(datasets=DATASETS).run()
    assert sorted(one.outcome for one in summary.done) == ["landed"] * 8 + ["quarantined"]
    return landed(bench)


@pytest.fixture(scope="module")
def two() -> Iterator[Dask]:
    """A scheduler and two worker processes, which know of no settings but their own."""
    with dask(2) as running:
        yield running


class OneByOne(Executor):
    """An executor of a kind that nobody has heard of: it hands its calls, as bytes, to a process of its own."""

    def __init__(self) -> None:
        self.calls: list[tuple[Any, ...]] = []
        self._inner = ProcessPoolExecutor(1, mp_context=get_context("spawn"))

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
        self.calls.append(args)
        return self._inner.submit(fn, *args, **kwargs)

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        self._inner.shutdown(wait=wait, cancel_futures=cancel_futures)


# ---------------------------------------------------------------------- the same lake by all


@pytest.mark.parametrize("kind", ["threads", "processes", "unknown"])
def test_any_executor_lands_what_a_refresh_without_one_does(kind: str, tmp_path: Path, vendor: Path, alone: dict[str, Any]) -> None:
    made: dict[str, Callable[[], Executor]] = {
        "threads": lambda: ThreadPoolExecutor(2),
        "processes": lambda: ProcessPoolExecutor(2, mp_context=get_context("spawn")),
        "unknown": OneByOne,
    }
    bench = opened(tmp_path / "lake", vendor)
    with made[kind]() as executor:
        summary = bench.refresh(datasets=DATASETS, executor=executor).run()
        assert sorted(one.outcome for one in summary.done) == ["landed"] * 8 + ["quarantined"]
        assert bench.refresh(datasets=DATASETS, executor=executor).run().done[0].outcome == "quarantined"
    assert landed(bench) == alone


@pytest.mark.parametrize("given", ["address", "executor", "setting"])
def test_two_dask_workers_land_what_a_refresh_without_them_does(
    given: str, two: Dask, tmp_path: Path, vendor: Path, alone: dict[str, Any]
) -> None:
    from distributed import Client

    with ExitStack() as stack:
        executor: Any = None
        if given == "executor":
            client = stack.enter_context(Client(two.address, set_as_default=False))  # type: ignore[no-untyped-call]
            executor = client.get_executor()
        elif given == "address":
            executor = two.address
        bench = opened(tmp_path / "lake", vendor, **({"cluster": two.address} if given == "setting" else {}))
        summary = bench.refresh(datasets=DATASETS, executor=executor).run()
        assert sorted(one.outcome for one in summary.done) == ["landed"] * 8 + ["quarantined"]
        assert landed(bench) == alone
        assert all(one.seconds > 0 for one in summary.done)
        # Nothing to land, nobody to ask.
        again = bench.refresh(datasets=DATASETS, executor="tcp://127.0.0.1:1" if given == "address" else executor).run()
        assert [one.outcome for one in again.done] == ["quarantined"]


def test_the_driver_fetches_nothing_for_workers_elsewhere(two: Dask, tmp_path: Path, vendor: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fetch(*_: object) -> None:
        raise AssertionError("the driver fetched")

    monkeypatch.setattr("workbench.sources.folder.Folder.fetch", fetch)
    bench = opened(tmp_path / "lake", vendor)
    assert {one.outcome for one in bench.refresh(datasets=["stock_day"], executor=two.address).run().done} == {"landed"}


def test_a_session_published_again_is_replaced_by_workers(two: Dask, tmp_path: Path, vendor: Path) -> None:
    bench = opened(tmp_path / "lake", vendor)
    bench.refresh(datasets=["stock_day"], executor=two.address).run()
    put(vendor, STOCK_DAY, FRI, text([bar(t, FRI, close=10.9) for t in TICKERS[:2]]))
    [done] = bench.refresh(datasets=["stock_day"], executor=two.address).run().done
    assert (done.outcome, done.rows) == ("replaced", 2)
    assert bench.sql("SELECT count(*), max(close) FROM stock_day").fetchall() == [(10, 10.9)]
    assert not verify(bench.lake, ["stock_day"]).faults


def test_made_up_files_are_made_up_by_each_worker(two: Dask, tmp_path: Path) -> None:
    bench = Workbench(Settings.load(env={}, data=str(tmp_path / "lake"), source="sample"))
    assert [one.outcome for one in bench.refresh(datasets=["stock_day"], days=1, executor=two.address).run().done] == ["landed"]


def test_ticker_ranges_are_decided_once_though_the_first_file_is_refused(two: Dask, tmp_path: Path) -> None:
    vendor = tmp_path / "ticks"
    # The largest decides; here it is broken, and so is the next.
    put(vendor, STOCK_TRADES, THU, os.urandom(9000), raw=True)
    put(vendor, STOCK_TRADES, FRI, os.urandom(8000), raw=True)
    days = sessions.between(STOCK_TRADES, MON, MON + timedelta(days=4))
    for n, day in enumerate(days):
        put(vendor, STOCK_TRADES, day, text([trade(f"{t}{n}", day, m) for t in TICKERS for m in range(6)], TRADE))
    bench = opened(tmp_path / "lake", vendor)
    summary = bench.refresh(datasets=["stock_trades"], executor=two.address).run()
    assert sorted(one.outcome for one in summary.done) == ["landed"] * len(days) + ["quarantined"] * 2
    landings = bench.lake["stock_trades"].landings().values()
    assert bench.lake["stock_trades"].snapshot().bounds
    assert sum(one.rows for one in landings) == 24 * len(days)
    assert not verify(bench.lake, ["stock_trades"]).faults


# ---------------------------------------------------------------------- secrets


def test_no_secret_and_no_path_but_the_users_own_goes_to_workers(tmp_path: Path, vendor: Path) -> None:
    secrets = {name: f"secret-{name}" for name, one in Settings.declared().items() if one.metadata["secret"]}
    bench = opened(tmp_path / "lake", vendor, **secrets)
    with OneByOne() as executor:
        bench.refresh(datasets=["stock_day"], executor=executor).run()
    told = repr(executor.calls).encode() + b"".join(order for _, order in executor.calls)
    assert executor.calls and str(vendor).encode() in told
    assert not [secret for secret in secrets.values() if secret.encode() in told]


def test_what_a_dashboard_may_show_is_a_name_and_bytes(two: Dask, tmp_path: Path, vendor: Path) -> None:
    with cluster.executor(two.address) as executor:
        seen: list[str] = []
        inner: Any = executor._inner

        class Watched(Executor):
            def submit(self, fn: Callable[..., Any], /, *args: Any, **named: Any) -> Future[Any]:
                seen.append(named["key"])
                future: Future[Any] = inner.submit(fn, *args, **named)
                return future

        executor._inner = Watched()
        opened(tmp_path / "lake", vendor).refresh(datasets=["stock_day"], executor=executor).run()
        assert repr(executor) == f"<{two.address}: 2 workers, 2 threads>"
    assert len(seen) == 3
    assert all(key.startswith("land-") and len(key) == 37 for key in seen)
    assert str(vendor) not in two.said()


# ---------------------------------------------------------------------- workers that cannot


def test_a_worker_that_does_not_see_the_lake_says_so(two: Dask, tmp_path: Path, vendor: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    here = crews.sent
    for folder, sentence in ((tmp_path / "elsewhere", "holds no lake"), (tmp_path / "other", "holds the lake")):
        if "the lake" in sentence:
            Workbench(Settings.load(env={}, data=str(folder))).lake.make()
        monkeypatch.setattr(crews, "sent", lambda settings, to=folder: here(settings) | {"data": str(to)})
        bench = opened(tmp_path / f"lake for {folder.name}", vendor)
        done = bench.refresh(datasets=["stock_day"], executor=two.address).run().done
        assert {one.outcome for one in done} == {"failed"}
        for one in done:
            assert sentence in one.reason and identity.identity(bench.lake.root).id in one.reason
            assert "no other worker is left" in one.reason and "all its machines see" in one.reason
        assert not bench.lake["stock_day"].landings()
        assert not list(folder.rglob("*.parquet"))
        assert holder(bench.lake.root, "stock_day") is None


def test_a_worker_without_the_sources_folder_says_so(two: Dask, tmp_path: Path, vendor: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    here = crews.sent
    monkeypatch.setattr(crews, "sent", lambda settings: here(settings) | {"source": f"folder:{tmp_path / 'nowhere'}"})
    done = opened(tmp_path / "lake", vendor).refresh(datasets=["stock_day"], executor=two.address).run().done
    assert {one.outcome for one in done} == {"failed"}
    assert all("nowhere does not exist" in one.reason for one in done)


def test_workers_of_other_versions_are_refused(two: Dask, tmp_path: Path, vendor: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(crews, "versions", lambda: working.versions() | {"polars": "0.0.1"})
    bench = opened(tmp_path / "lake", vendor)
    done = bench.refresh(datasets=["stock_day"], executor=two.address).run().done
    assert {one.outcome for one in done} == {"failed"}
    assert all("the driver polars 0.0.1 and workbench" in one.reason and "install the same versions" in one.reason for one in done)
    assert not bench.lake["stock_day"].landings()


def test_one_worker_that_cannot_leaves_all_to_the_others(tmp_path: Path, vendor: Path, alone: dict[str, Any]) -> None:
    """The faulty one is the quickest: it must not eat up all there is to do."""
    with dask(1) as running:
        running.work(1, env={"WORKBENCH_THREADS": "none"})
        with cluster.executor(running.address) as executor:
            executor.client.wait_for_workers(2, timeout=60)
            bench = opened(tmp_path / "lake", vendor)
            summary = bench.refresh(datasets=DATASETS, executor=executor).run()
            assert sorted(one.outcome for one in summary.done) == ["landed"] * 8 + ["quarantined"]
            assert executor.capacity == 1
    assert landed(bench) == alone


# ---------------------------------------------------------------------- workers that are lost


@pytest.mark.parametrize("dataset", ["stock_minute", "stock_trades"])
def test_a_worker_killed_in_the_middle_of_a_file_doubles_nothing(dataset: str, tmp_path: Path, vendor: Path, alone: dict[str, Any]) -> None:
    hold = tmp_path / "hold"
    hold.touch()
    held = hold.with_suffix(".held")
    bench = opened(tmp_path / "lake", vendor)
    with dask(2, env={"HELD_BY": str(hold)}, preload="heldworker") as running:
        run = bench.refresh(datasets=[dataset], executor=running.address)
        steps = iter(run)
        with ThreadPoolExecutor(1) as thread:
            rest = thread.submit(list, steps)
            until = time.monotonic() + 60
            while not held.exists() or not held.read_text():
                assert time.monotonic() < until, running.said()
                time.sleep(0.02)
            [victim] = [one for one in running.workers if one.pid == int(held.read_text())]
            left = list((bench.lake.root / "lake").rglob("*.parquet"))
            victim.send_signal(signal.SIGKILL)
            victim.wait()
            done = rest.result(60)
    good = [one for one in done if one.outcome == "landed"]
    assert len(good) == len({one.step.key for one in good}) == (2 if dataset == "stock_minute" else 3)
    bench.refresh(datasets=DATASETS).run()
    assert landed(bench) == alone
    # What the lost worker had put into its place is no part of the lake, and vacuum takes it.
    listed = {file.path for file in bench.lake[dataset].snapshot().files}
    orphans = [path for path in left if path.relative_to(bench.lake[dataset].folder).as_posix() not in listed]
    assert orphans
    vacuum(bench.lake, timedelta(0), dry_run=False, orphans=timedelta(0))
    assert not [path for path in orphans if path.exists()]
    assert landed(bench) == alone


def test_a_file_that_ends_every_worker_is_given_up_and_the_rest_lands(
    tmp_path: Path, vendor: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A process pool cannot be used again: what landed stays, the rest waits for the next refresh."""
    monkeypatch.setattr(crews, "land_or_refuse", ends_at_friday)
    bench = opened(tmp_path / "lake", vendor)
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as executor, pytest.raises(ClusterError) as caught:
        for _ in bench.refresh(datasets=["stock_day"], executor=executor):
            pass
    assert "lost a worker" in str(caught.value) and "new executor" in str(caught.value)
    assert FRI not in {one.session for one in bench.lake["stock_day"].landings().values()}
    monkeypatch.undo()
    bench.refresh(datasets=["stock_day"]).run()
    assert bench.sql("SELECT count(*) FROM stock_day").fetchall() == [(12,)]
    assert not verify(bench.lake, ["stock_day"]).faults


def ends_at_friday(job: Any) -> Any:
    from workbench.lake.landing import land_or_refuse

    if job.file.place[2] == FRI:
        os._exit(1)
    return land_or_refuse(job)


@pytest.mark.slow
def test_a_file_that_ends_each_dask_worker_is_told_and_the_others_land(tmp_path: Path, vendor: Path) -> None:
    bench = opened(tmp_path / "lake", vendor)
    with dask(1, env={"FATAL": str(FRI)}, preload="fatalworker", nanny=True) as running:
        done = bench.refresh(datasets=["stock_day"], executor=running.address).run().done
    assert {one.step.session: one.outcome for one in done} == {THU: "landed", FRI: "failed", MON: "landed"}
    [failed] = [one for one in done if one.outcome == "failed"]
    assert "each worker that it was given to was lost" in failed.reason and "more memory" in failed.reason
    assert [one.outcome for one in bench.refresh(datasets=["stock_day"]).run().done] == ["landed"]
    assert not verify(bench.lake, ["stock_day"]).faults


@pytest.mark.parametrize("kind", [ThreadPoolExecutor, OneByOne])
def test_an_executor_that_was_shut_down_is_told(kind: Any, tmp_path: Path, vendor: Path) -> None:
    executor = kind()
    executor.shutdown()
    bench = opened(tmp_path / "lake", vendor)
    with pytest.raises(ClusterError, match=f"{kind.__name__} takes no more work .*shutdown.* new executor"):
        bench.refresh(datasets=["stock_trades"], executor=executor).run()
    assert not bench.lake["stock_trades"].landings()


def test_what_is_no_executor_is_refused_before_a_table_is_emptied(tmp_path: Path, vendor: Path) -> None:
    bench = opened(tmp_path / "lake", vendor)
    bench.refresh(datasets=["stock_day"]).run()
    with pytest.raises(UsageError, match="8 is no executor; nothing was fetched"):
        bench.refresh(datasets=["stock_day"], reset=True, executor=8).run()  # type: ignore[arg-type]
    assert bench.sql("SELECT count(*) FROM stock_day").fetchall() == [(12,)]


def test_what_the_scheduler_gives_up_is_tried_a_few_times(tmp_path: Path, vendor: Path) -> None:
    class Away(Executor):
        """Of a class that is not known to be this machine's; gives up its first calls."""

        def __init__(self, times: int):
            self.inner, self.times, self.seen = ThreadPoolExecutor(1), times, 0

        def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
            self.seen += 1
            if self.seen <= self.times:
                gone: Future[Any] = Future()
                gone.cancel()
                gone.set_running_or_notify_cancel()
                return gone
            return self.inner.submit(fn, *args, **kwargs)

    bench = opened(tmp_path / "lake", vendor)
    lost = Away(10_000)
    done = bench.refresh(datasets=["stock_day"], executor=lost).run().done
    assert {one.outcome for one in done} == {"failed"}
    assert all(f"it was tried {crews.TRIES} times" in one.reason for one in done)
    assert lost.seen == 3 * crews.TRIES
    assert {one.outcome for one in bench.refresh(datasets=["stock_day"], executor=Away(3)).run().done} == {"landed"}


@pytest.mark.slow
def test_a_scheduler_that_ends_in_the_middle_ends_the_run_with_a_sentence(tmp_path: Path, vendor: Path) -> None:
    hold = tmp_path / "hold"
    hold.touch()
    held = hold.with_suffix(".held")
    bench = opened(tmp_path / "lake", vendor)
    with dask(1, env={"HELD_BY": str(hold)}, preload="heldworker") as running:
        run = bench.refresh(datasets=["stock_day"], executor=running.address)
        with ThreadPoolExecutor(1) as thread:
            rest = thread.submit(list, run)
            until = time.monotonic() + 60
            while not held.exists():
                assert time.monotonic() < until, running.said()
                time.sleep(0.02)
            running.gone(running.scheduler)
            with pytest.raises(ClusterError, match=r"answers no more .* takes up what is left"):
                rest.result(90)
    assert {one.outcome for one in bench.refresh(datasets=["stock_day"]).run().done} == {"landed"}
    assert not verify(bench.lake, ["stock_day"]).faults


def test_a_cluster_without_any_worker_left_is_given_up_after_a_while(tmp_path: Path, vendor: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(executing, "LOST_S", 0.5)
    bench = opened(tmp_path / "lake", vendor)
    with dask(1) as running, cluster.executor(running.address) as executor:
        running.gone(running.workers[0])
        with pytest.raises(ClusterError, match=r"has had no worker for .*; what landed before is kept"):
            bench.refresh(datasets=["stock_day"], executor=executor).run()
        assert not bench.lake["stock_day"].landings()
        # One that joins takes up what is left.
        running.work(1)
        executor.client.wait_for_workers(1, timeout=60)
        time.sleep(2 * executing.LOOK_S)
        assert {one.outcome for one in bench.refresh(datasets=["stock_day"], executor=executor).run().done} == {"landed"}


@pytest.mark.parametrize("how", ["asked", "left"])
def test_stopping_gives_up_what_waits_and_keeps_what_landed(how: str, two: Dask, tmp_path: Path) -> None:
    vendor = tmp_path / "many"
    days = sessions.between(STOCK_DAY, date(2023, 9, 1), date(2024, 2, 29))
    for day in days:
        put(vendor, STOCK_DAY, day, text([bar(t, day) for t in TICKERS]))
    bench = opened(tmp_path / "lake", vendor)
    with cluster.executor(two.address) as executor:
        run = bench.refresh(datasets=["stock_day"], executor=executor)
        for done in run:
            assert done.outcome == "landed"
            if how == "left":
                break
            run.stop()
        assert run.stopped == (how == "asked")
        count = len(bench.lake["stock_day"].landings())
        assert 0 < count < len(days)
        until = time.monotonic() + 20
        while any(executor.client.processing().values()):  # type: ignore[no-untyped-call]
            assert time.monotonic() < until
            time.sleep(0.05)
    bench.refresh(datasets=["stock_day"], executor=two.address).run()
    assert bench.sql("SELECT count(*), count(DISTINCT date) FROM stock_day").fetchall() == [(4 * len(days), len(days))]
    assert not verify(bench.lake, ["stock_day"]).faults


def test_what_has_not_begun_when_a_run_is_stopped_is_cancelled(tmp_path: Path, vendor: Path) -> None:
    class Never(Executor):
        capacity = 1

        def __init__(self) -> None:
            self.given: list[Future[Any]] = []

        def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
            self.given.append(Future())
            return self.given[-1]

    executor = Never()
    run = opened(tmp_path / "lake", vendor).refresh(datasets=["stock_day"], executor=executor)
    run.stop()
    assert (run.run().done, run.stopped) == ([], True)
    assert len(executor.given) == crews.AHEAD
    assert all(future.cancelled() for future in executor.given)
    assert run.flights.told() == []


def test_chunks_that_workers_land_stay_hot_until_they_are_compacted(two: Dask, tmp_path: Path) -> None:
    vendor = tmp_path / "year"
    days = sessions.between(STOCK_DAY, date(2023, 12, 1), date(2023, 12, 29))
    for day in days:
        put(vendor, STOCK_DAY, day, text([bar(t, day) for t in TICKERS]))
    held = []
    for name, executor in (("alone", None), ("workers", two.address)):
        bench = opened(tmp_path / name, vendor)
        bench.refresh(datasets=["stock_day"], executor=executor).run()
        assert len(bench.lake["stock_day"].snapshot().files) == (len(days) if executor else 1)
        bench.compact(["stock_day"])
        assert len(bench.lake["stock_day"].snapshot().files) == 1
        held.append(bench.sql("SELECT * FROM stock_day ORDER BY ALL").fetchall())
        assert not verify(bench.lake, ["stock_day"]).faults
    assert held[0] == held[1]


def test_as_many_are_under_way_as_the_cluster_has_threads_and_those_that_join_get_some(tmp_path: Path, vendor: Path) -> None:
    with dask(1) as running, cluster.executor(running.address) as executor:
        assert executor.capacity == 1
        running.work(1, threads=3)
        executor.client.wait_for_workers(2, timeout=60)
        time.sleep(0.6)
        assert (executor.capacity, executor.told) == (4, f"{running.address}: 2 workers, 4 threads")
        bench = opened(tmp_path / "lake", vendor)
        bench.lake.make()
        away = crews.crew_of(executor, lambda _: None, bench.lake, bench.settings, "run", bench.refresh().flights)  # type: ignore[arg-type,return-value]
        assert away.room == 8
        executor.avoid(next(worker for worker, count in executor.threads.items() if count == 3))
        assert away.room == 2


# ---------------------------------------------------------------------- addresses


def test_an_address_that_is_none_or_that_nobody_answers_at(tmp_path: Path, vendor: Path) -> None:
    for wrong in ("127.0.0.1:8786", "http://127.0.0.1:8786", "tcp://host", "tcp://host:port"):
        with pytest.raises(UsageError, match="is no address of a Dask scheduler; nothing was landed"):
            cluster.executor(wrong)
    began = time.monotonic()
    with pytest.raises(ClusterError, match=r"no Dask scheduler answers at tcp://127\.0\.0\.1:1 .*nothing was landed.*--cluster"):
        executing.executor("tcp://127.0.0.1:1", answer_s=0.5)
    assert time.monotonic() - began < 10


def test_an_address_is_refused_that_cannot_be_one_and_its_password_is_not_shown() -> None:
    for wrong in ("tcp://one:secret@host:8786", "tcp://host:0", "tcp://host:99999"):
        with pytest.raises(UsageError, match="is no address of a Dask scheduler") as caught:
            cluster.executor(wrong)
        assert "secret" not in str(caught.value)
    with pytest.raises(UsageError, match="wants certificates"):
        cluster.executor("tls://127.0.0.1:8786")


def test_who_takes_a_connection_and_says_nothing_is_waited_for_a_while(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(executing, "GRACE_S", 0.5)
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen()
        began = time.monotonic()
        with pytest.raises(ClusterError, match="says nothing, so it is most likely no scheduler"):
            executing.executor(f"tcp://127.0.0.1:{silent.getsockname()[1]}", answer_s=0.2)
    assert time.monotonic() - began < 10


def test_workers_without_a_workbench_are_told_or_passed_over(tmp_path: Path, vendor: Path, alone: dict[str, Any]) -> None:
    """To give them anything would end them."""
    with dask(1, preload="bareworker") as running:
        with pytest.raises(ClusterError, match=r"and every other one, has no workbench .*Install the workbench"):
            opened(tmp_path / "bare", vendor).refresh(datasets=["stock_day"], executor=running.address).run()
        assert running.workers[0].poll() is None
        running.work(1)
        ready(running, 2)
        bench = opened(tmp_path / "lake", vendor)
        summary = bench.refresh(datasets=DATASETS, executor=running.address).run()
        assert sorted(one.outcome for one in summary.done) == ["landed"] * 8 + ["quarantined"]
    assert landed(bench) == alone


class Odd(Executor):
    """An executor that does not do what executors do: what its calls give is made by `give`."""

    def __init__(self, give: Callable[[Future[Any]], Any]):
        self._give, self._pool = give, ThreadPoolExecutor(1)

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Any:
        return self._give(self._pool.submit(fn, *args, **kwargs))


def given(value: Any) -> Future[Any]:
    future: Future[Any] = Future()
    if isinstance(value, Exception):
        future.set_exception(value)
    else:
        future.set_result(value)
    return future


SAME = given(("again", "one", "busy"))


def refuses(_: Future[Any]) -> Any:
    raise ConnectionResetError("the queue is gone")


@pytest.mark.parametrize(
    ("give", "told"),
    [
        (lambda _: None, "gave NoneType, which is no concurrent.futures.Future"),
        (lambda _: given(None), "gave NoneType for the answer of a worker"),
        (lambda _: given(("done", "one", 42)), "gave int for what came of a file"),
        (lambda _: SAME, "gave the future of another file"),
        (lambda _: given(KeyError("boom")), "ended in KeyError"),
        (refuses, "takes no more work (the queue is gone)"),
    ],
)
def test_an_executor_that_is_none_is_told(give: Any, told: str, tmp_path: Path, vendor: Path) -> None:
    bench = opened(tmp_path / "lake", vendor)
    with pytest.raises(ClusterError) as caught:
        bench.refresh(datasets=["stock_day"], executor=Odd(give)).run()
    assert told in str(caught.value) and "us_stocks_sip/day_aggs_v1" in str(caught.value) and "is kept" in str(caught.value)
    assert holder(bench.lake.root, "stock_day") is None
    assert [one.outcome for one in bench.refresh(datasets=["stock_day"]).run().done] == ["landed"] * 3


def test_what_came_of_another_file_is_not_taken_for_this_one(tmp_path: Path, vendor: Path) -> None:
    kept: list[Future[Any]] = []

    def first(future: Future[Any]) -> Future[Any]:
        kept.append(future)
        return given(kept[0].result())

    bench = opened(tmp_path / "lake", vendor)
    with pytest.raises(ClusterError, match="gave what came of us_stocks_sip"):
        bench.refresh(datasets=["stock_day"], executor=Odd(first)).run()
    # What landed before is kept, and no more.
    assert len(bench.lake["stock_day"].landings()) == 1
    assert [one.outcome for one in bench.refresh(datasets=["stock_day"]).run().done if one.outcome == "landed"] == ["landed"] * 2
    assert not verify(bench.lake, ["stock_day"]).faults


def test_processes_that_are_forked_are_refused_before_they_hang(tmp_path: Path, vendor: Path) -> None:
    with (
        ProcessPoolExecutor(1, mp_context=get_context("fork")) as forked,
        pytest.raises(UsageError, match=r"by fork.*get_context\('spawn'\)"),
    ):
        opened(tmp_path / "lake", vendor).refresh(datasets=["stock_day"], executor=forked).run()


def test_a_scheduler_without_workers_is_told(tmp_path: Path) -> None:
    with dask(0) as running, pytest.raises(ClusterError, match=r"has no workers; nothing was landed\. Start some with `dask worker tcp://"):
        executing.executor(running.address, workers_s=0.3)


def test_without_dask_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "distributed", None)
    with pytest.raises(MissingExtra, match=r"workbench\[cluster\]"):
        cluster.executor("tcp://127.0.0.1:8786")


def test_a_table_is_not_emptied_where_no_cluster_answers(tmp_path: Path, vendor: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cluster, "executor", lambda at: executing.executor(at, answer_s=0.5))
    bench = opened(tmp_path / "lake", vendor)
    bench.refresh(datasets=["stock_day"]).run()
    with pytest.raises(ClusterError):
        bench.refresh(datasets=["stock_day"], reset=True, executor="tcp://127.0.0.1:1").run()
    assert bench.sql("SELECT count(*) FROM stock_day").fetchall() == [(12,)]


# ---------------------------------------------------------------------- the command


def command(*words: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    repository = Path(cluster.__file__).parents[2]
    env = {name: os.environ[name] for name in ("PATH", "HOME") if name in os.environ} | {"PYTHONPATH": str(repository)}
    return subprocess.run(
        [sys.executable, "-m", "workbench", *words], capture_output=True, text=True, env=env, cwd=cwd, timeout=120, check=False
    )


def test_the_command_lands_on_a_cluster(two: Dask, tmp_path: Path, vendor: Path) -> None:
    (tmp_path / "workbench.toml").write_text("")
    plain = command("refresh", "stock_day", "--source", f"folder:{vendor}", "--cluster", two.address, cwd=tmp_path)
    assert (plain.returncode, plain.stderr) == (0, "")
    assert sum(line.startswith("stock_day ") and " landed " in line for line in plain.stdout.splitlines()) == 3
    assert f"landed by {two.address}: 2 workers, 2 threads" in plain.stdout
    told = command("refresh", "stock_minute", "--source", f"folder:{vendor}", "--cluster", two.address, "--jsonl", cwd=tmp_path)
    events = [json.loads(line) for line in told.stdout.splitlines()]
    assert told.returncode == 3 and told.stderr == ""
    assert sorted(one["outcome"] for one in events if one["event"] == "step") == ["landed", "landed", "quarantined"]
    moves = [one for event in events if event["event"] == "moves" for one in event["files"]]
    assert all((one["doing"], one["fetched"]) == ("with a worker", 0) for one in moves)
    assert (events[-1]["event"], events[-1]["workers"]) == ("summary", f"{two.address}: 2 workers, 2 threads")


def test_an_answer_to_what_was_given_up_is_not_worth_a_word(caplog: pytest.LogCaptureFixture) -> None:
    executing.quieted()
    executing.quieted()
    loop = logging.getLogger("tornado.application")
    given_up, broken = Future[int](), Future[int]()
    given_up.cancel()
    broken.set_result(1)
    for future in (given_up, broken):
        try:
            future.set_result(1)
        except InvalidStateError:
            loop.exception("Exception in callback")
    assert [str(record.exc_info[1]).split(":")[0] for record in caplog.records if record.exc_info] == ["FINISHED"]


@pytest.mark.slow
@pytest.mark.parametrize("how", ["ctrl-c", "a worker lost"])
def test_the_command_is_stopped_or_loses_a_worker_without_a_word_of_dasks(how: str, tmp_path: Path) -> None:
    (tmp_path / "workbench.toml").write_text("")
    days = sessions.between(STOCK_DAY, date(2023, 9, 1), date(2024, 2, 29))
    for day in days:
        put(tmp_path / "many", STOCK_DAY, day, text([bar(t, day) for t in TICKERS]))
    repository = Path(cluster.__file__).parents[2]
    env = {name: os.environ[name] for name in ("PATH", "HOME") if name in os.environ} | {"PYTHONPATH": str(repository)}
    with dask(2) as running:
        words = [
            "refresh",
            "stock_day",
            "--source",
            f"folder:{tmp_path / 'many'}",
            "--cluster",
            running.address,
            "--jsonl",
            "--no-maintain",
        ]
        with subprocess.Popen(
            [sys.executable, "-m", "workbench", *words], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=env, cwd=tmp_path
        ) as process:
            assert process.stdout and process.stderr
            for line in process.stdout:
                if '"landed"' in line:
                    break
            if how == "ctrl-c":
                process.send_signal(signal.SIGINT)
            else:
                running.gone(running.workers[0])
            _, complaints = process.communicate(timeout=100)
    bench = Workbench(Settings.load(env={}, data=str(tmp_path / "data"), source=f"folder:{tmp_path / 'many'}"))
    count = len(bench.lake["stock_day"].landings())
    if how == "ctrl-c":
        assert process.returncode == 130
        assert [line for line in complaints.splitlines() if line and not line.startswith("stopp")] == []
        assert 0 < count < len(days)
        bench.refresh(datasets=["stock_day"]).run()
    else:
        assert (process.returncode, complaints) == (0, "")
    assert bench.sql("SELECT count(*), count(DISTINCT date) FROM stock_day").fetchall() == [(4 * len(days), len(days))]
    assert not verify(bench.lake, ["stock_day"]).faults


@pytest.mark.slow
def test_the_command_says_what_is_wrong_with_a_cluster(tmp_path: Path, vendor: Path) -> None:
    (tmp_path / "workbench.toml").write_text("")
    for address, status, sentence in (
        ("dask:8786", 2, "'dask:8786' is no address of a Dask scheduler"),
        ("tcp://127.0.0.1:1", 1, "no Dask scheduler answers at tcp://127.0.0.1:1"),
    ):
        done = command("refresh", "stock_day", "--source", f"folder:{vendor}", "--cluster", address, cwd=tmp_path)
        assert (done.returncode, len(done.stderr.splitlines())) == (status, 1), done.stderr
        assert done.stderr.startswith(f"workbench: {sentence}")
    assert not list(tmp_path.rglob("*.parquet"))
