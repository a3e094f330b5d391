"""Metrics: valid by Prometheus's own parser, right by what the lake holds, cheap, and told whatever is damaged."""

import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from flatfiles import FRI, MON, STOCK_DAY, bar, put, text
from prometheus_client.parser import text_string_to_metric_families

from workbench.bench import Workbench
from workbench.config import Settings
from workbench.errors import MissingExtra, QueryError
from workbench.lake.backup import notes
from workbench.query import metrics
from workbench.runs.record import Runs


def land(folder: Path) -> None:
    """A lake of one session that landed, one that was refused, rows that people wrote, and a run that failed."""
    put(folder / "files", STOCK_DAY, FRI, text([bar("ACME", FRI), bar("BETA", FRI)]))
    put(folder / "files", STOCK_DAY, MON, b"no gzip", raw=True)
    with Workbench(settings(folder)) as bench:
        bench.refresh(datasets=["stock_day"], start=FRI, end=MON).run()
        flags = [{"name": name, "enabled": True, "rollout_percent": 1} for name in ("a", "b", "c")]
        bench.append("utilities.feature_flags", flags[:2])
        bench.fold()
        bench.append("utilities.feature_flags", flags[2:])
        runs = Runs(bench.lake.root)
        runs.end(runs.begin("refresh", ("refresh",)), 1, reason="no keys")


def settings(folder: Path) -> Settings:
    return Settings(data=str(folder / "lake"), source=f"folder:{folder / 'files'}")


@pytest.fixture
def bench(made_once: Callable[[Callable[[Path], object], Path], None], tmp_path: Path) -> Iterator[Workbench]:
    made_once(land, tmp_path / "own")
    with Workbench(settings(tmp_path / "own")) as made:
        yield made


def samples(text: str) -> dict[str, float]:
    """Every sample by its name and labels; the parser raises for what Prometheus would not take."""
    return {
        " ".join([one.name, *(f"{key}={value}" for key, value in sorted(one.labels.items()))]): one.value
        for family in text_string_to_metric_families(text)
        for one in family.samples
    }


def test_the_lake_is_told(bench: Workbench) -> None:
    notes.noted(bench.lake.root, "backup", "/elsewhere")
    told = samples(bench.metrics())
    shot = bench.snapshots()["stock_day"]
    assert told["workbench_table_rows table=stock_day"] == 2
    assert told["workbench_table_rows table=utilities.feature_flags"] == 2
    assert told["workbench_table_bytes table=stock_day"] == shot.size
    assert told["workbench_table_files table=stock_day"] == len(shot.files)
    assert told["workbench_table_commits_total table=stock_day"] == shot.version + 1
    assert told["workbench_quarantine_refusals table=stock_day"] == 1
    assert told["workbench_table_sessions_behind table=stock_day"] > 400
    assert told["workbench_table_newest_session_timestamp_seconds table=stock_day"] == 1709856000
    assert told["workbench_journal_rows"] == 1
    assert (told["workbench_runs state=failed"], told["workbench_runs state=done"]) == (1, 0)
    assert told["workbench_health_check check=quarantine"] == 1
    assert (told["workbench_health_status status=unhealthy"], told["workbench_health_status status=healthy"]) == (1, 0)
    assert 0 <= time.time() - told["workbench_last_good_timestamp_seconds kind=backup"] < 60
    assert told["workbench_last_refresh_age_seconds"] >= 0
    assert told["workbench_disk_free_bytes"] > 0
    assert told["process_resident_memory_bytes"] > 10_000_000
    assert told["process_open_fds"] > 2
    assert any(name.startswith("workbench_build_info") and "format=2" in name for name in told)


def test_queries_are_counted_at_once_and_the_lake_is_looked_at_every_few_seconds(bench: Workbench, monkeypatch: pytest.MonkeyPatch) -> None:
    before = samples(bench.metrics())
    bench.sql("SELECT 1").fetchall()
    with pytest.raises(QueryError):
        bench.sql("SELECT nothing")
    bench.sql("CREATE TEMP TABLE done AS SELECT 1")
    bench.append("utilities.feature_flags", [{"name": "d", "enabled": True, "rollout_percent": 1}])
    after = samples(bench.metrics())
    assert after["workbench_queries_total"] - before["workbench_queries_total"] == 3
    assert after["workbench_query_errors_total"] - before["workbench_query_errors_total"] == 1
    assert after["workbench_query_seconds_count"] > before["workbench_query_seconds_count"]
    assert after["workbench_query_seconds_bucket le=+Inf"] == after["workbench_query_seconds_count"]
    assert after["workbench_journal_rows"] == before["workbench_journal_rows"] == 1

    monkeypatch.setattr(metrics, "KEPT_S", 0)
    assert samples(bench.metrics())["workbench_journal_rows"] == 2


def test_a_damaged_lake_and_none_at_all_are_told(bench: Workbench, tmp_path: Path) -> None:
    log = bench.lake["stock_day"].folder / "_delta_log"
    max(log.glob("[0-9]*.json")).write_text("{")
    with Workbench(bench.settings) as again:
        told = samples(again.metrics())
    assert told["workbench_health_check check=log"] == 2
    assert told["workbench_table_rows table=utilities.feature_flags"] == 2
    assert "workbench_table_rows table=stock_day" not in told

    with Workbench(Settings(data=str(tmp_path / "none"))) as nothing:
        told = samples(nothing.metrics())
    assert told["workbench_health_status status=unhealthy"] == 1
    assert not (tmp_path / "none").exists()


def test_without_the_library_it_says_what_to_install(bench: Workbench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "prometheus_client", None)
    with pytest.raises(MissingExtra, match=r"workbench\[api\]"):
        bench.metrics()
