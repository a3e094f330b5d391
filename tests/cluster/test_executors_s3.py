"""A lake and a source in buckets of a real S3 server, and workers that are machines of their own: each with its cache folder and its keys."""

import signal
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from daskcluster import Dask, dask
from flatfiles import FRI, MON, STOCK_DAY, STOCK_TRADES, THU, TRADE, bar, put, text, trade
from s3server import S3, Keys

from workbench import cluster
from workbench.bench import Workbench
from workbench.config import Settings
from workbench.lake.quarantine import refusals
from workbench.lake.verify import verify

pytestmark = [pytest.mark.s3, pytest.mark.slow]
DATASETS = ["stock_day", "stock_trades"]
TICKERS = ("AAA", "BBB", "CCC", "DDD")


@pytest.fixture
def published(bucket: S3, tmp_path: Path) -> S3:
    """Six files in the vendor's bucket, one of them broken."""
    for day in (THU, FRI, MON):
        put(tmp_path / "vendor", STOCK_DAY, day, text([bar(t, day) for t in TICKERS]))
        put(tmp_path / "vendor", STOCK_TRADES, day, text([trade(t, day, n) for t in TICKERS for n in range(6)], TRADE))
    put(tmp_path / "vendor", STOCK_DAY, FRI, b"no gzip", raw=True)
    for path in (tmp_path / "vendor").rglob("*.gz"):
        bucket.put(path.relative_to(tmp_path / "vendor").as_posix(), path.read_bytes())
    return bucket


def settings(s3: S3, **given: Any) -> Settings:
    source = {"polygon_s3_endpoint": s3.endpoint, "polygon_s3_access_key": s3.reader.access, "polygon_s3_secret_key": s3.reader.secret}
    return Settings.load(**{**source, "source": "polygon_s3", **given})


def machine(s3: S3, cache: Path, keys: Keys | None = None) -> dict[str, str]:
    """What a machine of the cluster has in its environment."""
    vendor = keys or s3.reader
    return {
        "WORKBENCH_CACHE": str(cache),
        "AWS_ENDPOINT_URL": s3.endpoint,
        "AWS_ACCESS_KEY_ID": s3.admin_keys.access,
        "AWS_SECRET_ACCESS_KEY": s3.admin_keys.secret,
        "POLYGON_S3_ACCESS_KEY": vendor.access,
        "POLYGON_S3_SECRET_KEY": vendor.secret,
    }


@pytest.fixture
def machines(published: S3, tmp_path: Path) -> Iterator[Dask]:
    """Two workers that share nothing but the server."""
    with dask(1, env=machine(published, tmp_path / "one")) as running:
        running.work(1, env=machine(published, tmp_path / "two"))
        yield running


def landed(bench: Workbench) -> dict[str, Any]:
    held: dict[str, Any] = {}
    for name in DATASETS:
        held[name] = sorted(map(repr, bench.sql(f"SELECT * FROM {name}").fetchall()))
        held[f"{name}'s"] = {
            key: replace(one, files=(), landed_at="", run="", began="") for key, one in bench.lake[name].landings().items()
        }
    return held


def test_workers_download_from_s3_and_write_to_a_lake_on_s3(
    machines: Dask, far: Path, published: S3, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    here = Workbench(settings(published, data=str(tmp_path / "local")))
    here.refresh(datasets=DATASETS, start=THU, end=MON).run()

    def fetch(*_: object) -> None:
        raise AssertionError("the driver fetched")

    bench = Workbench(settings(published))
    with monkeypatch.context() as patched:
        patched.setattr("workbench.sources.polygon_s3.PolygonS3.fetch", fetch)
        summary = bench.refresh(datasets=DATASETS, start=THU, end=MON, executor=machines.address).run()
    assert sorted(one.outcome for one in summary.done) == ["landed"] * 5 + ["quarantined"]
    assert all(one.transferred == one.step.size for one in summary.done)
    assert landed(bench) == landed(here)
    assert [one.kind for one in refusals(bench.lake.root)] == [one.kind for one in refusals(here.lake.root)]
    assert not verify(bench.lake, DATASETS).faults
    # Workers keep nothing of what they downloaded or landed, and no key is written down.
    for folder in (tmp_path / "one", tmp_path / "two"):
        assert list(folder.rglob("_delta_log"))
        assert not [*folder.rglob("*.csv.gz*"), *folder.rglob("*.parquet")]
    told = machines.said()
    for keys in (published.reader, published.admin_keys):
        assert keys.secret not in told
        for path in (p for p in machines.folder.rglob("*") if p.is_file()):
            assert keys.secret.encode() not in path.read_bytes()
    assert bench.refresh(datasets=["stock_trades"], start=THU, end=MON).run().done == []


def test_a_worker_killed_in_the_middle_of_a_file_on_s3_doubles_nothing(published: S3, far: Path, tmp_path: Path) -> None:
    hold = tmp_path / "hold"
    hold.touch()
    held = hold.with_suffix(".held")
    bench = Workbench(settings(published))
    with dask(1, env=machine(published, tmp_path / "one") | {"HELD_BY": str(hold)}, preload="heldworker") as running:
        running.work(1, env=machine(published, tmp_path / "two") | {"HELD_BY": str(hold)}, preload="heldworker")
        with ThreadPoolExecutor(1) as thread:
            rest = thread.submit(list, bench.refresh(datasets=DATASETS, start=THU, end=MON, executor=running.address))
            until = time.monotonic() + 60
            while not held.exists() or not held.read_text():
                assert time.monotonic() < until, running.said()
                time.sleep(0.02)
            [victim] = [one for one in running.workers if one.pid == int(held.read_text())]
            victim.send_signal(signal.SIGKILL)
            victim.wait()
            done = rest.result(60)
    assert sorted(one.outcome for one in done) == ["landed"] * 5 + ["quarantined"]
    assert bench.sql("SELECT count(*) FROM stock_trades").fetchall() == [(72,)]
    assert bench.sql("SELECT count(*) FROM stock_day").fetchall() == [(8,)]
    assert not verify(bench.lake, DATASETS).faults
    # What the lost worker had written is in the bucket and no part of the lake.
    remote = bench.lake["stock_day"].remote
    assert remote
    there = {one.name for one in remote.below("lake/") if one.name.endswith(".parquet") and "_delta_log" not in one.name}
    listed = {f"{bench.lake[name]._name()}/{file.path}" for name in DATASETS for file in bench.lake[name].snapshot().files}
    assert listed < there


@pytest.mark.parametrize("wrong", ["keys of the source", "no keys of the source", "keys of the lake", "no endpoint of the lake"])
def test_wrong_keys_on_one_worker_leave_all_to_the_other_and_on_all_are_told(wrong: str, published: S3, far: Path, tmp_path: Path) -> None:
    env = machine(published, tmp_path / "wrong")
    if wrong == "keys of the source":
        env["POLYGON_S3_SECRET_KEY"] = "not-the-secret"
    elif wrong == "no keys of the source":
        del env["POLYGON_S3_ACCESS_KEY"], env["POLYGON_S3_SECRET_KEY"]
    elif wrong == "keys of the lake":
        env["AWS_SECRET_ACCESS_KEY"] = "not-the-secret"
    else:
        env["AWS_ENDPOINT_URL"] = "http://127.0.0.1:9"
    bench = Workbench(settings(published))
    # A bucket that does not answer is asked again, and again: one file of it is enough.
    silent = wrong == "no endpoint of the lake"
    asked: dict[str, Any] = {"datasets": ["stock_trades"], "start": THU, "end": THU if silent else MON, "maintain": False}
    with dask(1, env=env) as running:
        done = bench.refresh(**asked, executor=running.address).run().done
        assert {one.outcome for one in done} == {"failed"}
        sentence = {
            "keys of the source": "POLYGON_S3",
            "no keys of the source": "there are no keys for it",
            "keys of the lake": "does not know these keys",
            "no endpoint of the lake": "does not answer",
        }[wrong]
        for one in done:
            assert sentence in one.reason and "tcp://127.0.0.1:" in one.reason, one.reason
            assert "not-the-secret" not in one.reason and published.reader.secret not in one.reason
        assert not bench.lake["stock_trades"].landings()
        if silent:
            return
        running.work(1, env=machine(published, tmp_path / "right"))
        with cluster.executor(running.address) as executor:
            executor.client.wait_for_workers(2, timeout=60)
            done = bench.refresh(**asked, executor=executor).run().done
        assert [one.outcome for one in done] == ["landed"] * 3
    assert "not-the-secret" not in running.said()
    assert bench.sql("SELECT count(*) FROM stock_trades").fetchall() == [(72,)]
