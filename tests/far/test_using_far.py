"""A lake in a bucket, used: what it says of itself while the bucket is away, and what this machine holds of it."""

import errno
import os
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import duckdb
import farlake
import pytest
from click.testing import CliRunner
from farproxy import FarProxy, Trouble
from flatfiles import FRI, MON, STOCK_DAY, bar, put, text

import workbench
from workbench.api.faults import Outward, kind_of, status_of
from workbench.bench import Workbench
from workbench.cli import main
from workbench.config import Settings
from workbench.errors import BadKeys, UsageError
from workbench.lake import leftovers
from workbench.lake.remote.connection import Remote
from workbench.lake.remote.where import remote_of
from workbench.panels import StatusPanel
from workbench.query.guarded import Guarded
from workbench.query.report import Report

pytestmark = pytest.mark.s3
AWAY = [
    {"status": 500},
    {"reset": True},
    {"kind": "list", "status": 403, "code": "AccessDenied"},
    {"kind": "head", "key": "_delta_log", "status": 500},
]


def landed(root: Path) -> None:
    """Two sessions of day bars."""
    for day in (FRI, MON):
        put(root / "files", STOCK_DAY, day, text([bar("ACME", day)]))
    with Workbench(Settings(data=str(root), source=f"folder:{root / 'files'}")) as bench:
        bench.refresh(datasets=["stock_day"], start=FRI, end=MON, maintain=False).run()


@pytest.fixture
def lake(far: Path, between: FarProxy, made_once: Callable[..., None], tmp_path: Path) -> Iterator[FarProxy]:
    """That lake in the bucket, behind a proxy."""
    made_once(landed, tmp_path / "near")
    farlake.up(tmp_path / "near", Settings.load().root)
    between.clear()
    yield between


def bucket() -> Remote:
    remote = remote_of(Settings.load().root)
    assert remote
    return remote


def checks(report: Report) -> dict[str, str]:
    return {one["name"]: one["state"] for one in report}


@pytest.mark.parametrize("away", AWAY, ids=str)
def test_a_bucket_that_is_away_is_told_at_once_with_what_this_machine_knows_by_itself(lake: FarProxy, away: dict[str, object]) -> None:
    with workbench.open() as bench:
        assert bench.sql("SELECT count(*) FROM stock_day").fetchall() == [(2,)]
        panel = StatusPanel(bench)
        farlake.quick(bucket())
        lake.troubles.append(Trouble(**away))  # type: ignore[arg-type]
        bucket().mirror.stale()
        began = time.monotonic()
        told = bench.health()
        assert time.monotonic() - began < 8
        assert told.facts["status"] == "unhealthy"
        assert checks(told)["bucket"] == "bad" and "s3://" in told.facts["error"]
        assert {"disk", "cache", "journal", "versions"} <= checks(told).keys()
        assert not {"tables", "log", "freshness", "quarantine"} & checks(told).keys(), "what cannot be known is not said to be well"

        bucket().mirror.stale()
        panel.reload()
        assert "as they were before" in panel.message.value
        assert "ACME" not in panel.message.value

        lake.troubles.clear()
        assert bench.health().facts["status"] != "unhealthy"
        panel.reload()
        assert panel.message.value == ""


def test_what_this_machine_holds_is_told_and_let_go(lake: FarProxy) -> None:
    runner = CliRunner()
    with workbench.open() as bench:
        assert bench.sql("SELECT sum(volume) FROM stock_day").fetchall()
        held = bucket().held
        lake.clear()
        # Whatever DuckDB reads it with.
        [path] = [bucket().mirror.bring(bench.lake["stock_day"].folder / one) for one in bench.lake["stock_day"].snapshot().paths][:1]
        size = held.size()
        assert size >= path.stat().st_size
        assert bench.status().facts["held"] == {"bytes": size, "most": 20 * 10**9}
        [row] = [one for one in bench.health() if one["name"] == "cache"]
        assert (row["state"], row["value"]) == ("good", size)

        assert held.let_go() == (0, 0), "it may be in use"
        for _, _, one in held.files():
            os.utime(one, (0, 0))
        said = runner.invoke(main, ["clean", "--cache"])
        assert "would be removed; nothing was" in said.stdout and held.size() == size
        said = runner.invoke(main, ["clean", "--cache", "--yes"])
        assert "files that this machine holds of it" in said.stdout, said.output
        assert held.size() == 0
        assert list((bucket().root / "lake/main/stock_day/_delta_log").glob("*.json"))
        assert bench.sql("SELECT count(*) FROM stock_day").fetchall() == [(2,)]


def test_of_a_lake_in_a_folder_nothing_is_held(tmp_path: Path) -> None:
    landed(tmp_path)
    with workbench.open(tmp_path) as bench:
        assert "cache" not in checks(bench.health())
        assert "held" not in bench.status().facts
        with pytest.raises(UsageError, match="nothing was removed"):
            bench.clean(cache=True)


def test_what_was_on_its_way_when_a_process_was_killed_is_cleaned(lake: FarProxy) -> None:
    with workbench.open() as bench:
        coming = bench.lake.root / "tmp" / "coming" / "4711-0badcafe"
        coming.parent.mkdir(parents=True, exist_ok=True)
        coming.write_bytes(b"half")
        assert leftovers.clean(bench.lake.root, bench.settings.scratch) == []
        os.utime(coming, (0, 0))
        [left] = leftovers.clean(bench.lake.root, bench.settings.scratch, dry_run=False)
        assert (left.kind, left.path, coming.exists()) == ("downloads", coming, False)


def test_replies_name_the_lake_and_not_what_this_machine_has_of_it(far: Path) -> None:
    outward = Outward(Settings.load())
    assert outward.text(f"{far}/lake/main/a.parquet is shorter") == f"{Settings.load().url}/lake/main/a.parquet is shorter"
    assert outward.text(f"on the disk of {far}, and /etc/passwd") == f"on the disk of {Settings.load().url}, and (a path)"


def test_a_full_disk_is_said_so_leaves_nothing_and_what_is_mirrored_is_read(lake: FarProxy, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    (bucket().root / "lake.json").unlink(missing_ok=True)
    with monkeypatch.context() as patched:
        patched.setattr(Path, "replace", full)
        said = CliRunner().invoke(main, ["status"])
        assert (said.exit_code, "takes no more (No space left on device)" in said.stderr) == (1, True), said.output
        assert "fault of the workbench" not in said.output
        assert not [path for path in bucket().root.glob("*") if path.name.startswith(".lake.json")]
    assert CliRunner().invoke(main, ["status"]).exit_code == 0
    with monkeypatch.context() as patched:
        patched.setattr(Path, "replace", full)
        with workbench.open() as bench:
            assert bench.sql("SELECT count(*) FROM stock_day").fetchall() == [(2,)]


@pytest.mark.skipif(duckdb.__version__.startswith("1."), reason="httpfs reads the bucket itself here")
@pytest.mark.parametrize("looked", [False, True], ids=["declared", "asked"])
def test_a_query_that_the_bucket_refuses_is_no_fault_of_whoever_asks(lake: FarProxy, looked: bool) -> None:
    refused = "SELECT sum(volume) FROM stock_day"
    with workbench.open() as bench, Guarded(bench) as guarded:
        if looked:
            with guarded.stream("SELECT count(*) FROM stock_day WHERE ticker = '~'") as answer:
                assert [len(batch) for batch in answer] == [1]
            bucket().held.let_go(dry_run=False)
            for _, _, path in bucket().held.files():
                Path(path).unlink()
            bucket()._files.clear()
        lake.troubles.append(Trouble("get", r"\.parquet", status=403, code="AccessDenied"))
        with pytest.raises(BadKeys, match=r"^these keys may not do this [^\n]*$") as caught, guarded.stream(refused) as answer:
            list(answer)
        assert (status_of(caught.value, {}), kind_of(caught.value)) == (502, "BadKeys")
        with pytest.raises((BadKeys, duckdb.Error), match="these keys may not do this"):
            bench.sql(refused).fetchall()
        lake.troubles.clear()
        with guarded.stream(refused) as answer:
            assert [len(batch) for batch in answer] == [1]
        assert bench.sql(refused).fetchall()
