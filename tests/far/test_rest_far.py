"""What else is done with a lake in a bucket: imports and exports, health and metrics, the API, notebooks, runs, and the names that people read."""

import json
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from apiserver import ground
from flatfiles import STOCK_DAY, THU, bar, put, text
from s3server import S3

import workbench
from workbench import notebooks
from workbench.api.settings import Serving
from workbench.cli import main
from workbench.config import Settings
from workbench.errors import UsageError
from workbench.lake.modes import loose
from workbench.lake.operations import Operations

pytestmark = pytest.mark.s3


@pytest.fixture
def bench(far: Path) -> Iterator[workbench.Workbench]:
    """A lake in the bucket with three sessions."""
    with workbench.Workbench(Settings.load(source="sample")) as made:
        made.refresh(days=3, datasets=["stock_day"], maintain=False).run()
    with workbench.open() as bench:
        yield bench


def elsewhere(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> workbench.Workbench:
    monkeypatch.setenv("WORKBENCH_CACHE", str(tmp_path / "elsewhere"))
    return workbench.open()


def ran(*words: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run([sys.executable, "-m", "workbench", *words], capture_output=True, text=True, timeout=120, check=False)


def test_what_people_read_names_the_bucket_and_not_the_folder_of_its_mirror(
    bench: workbench.Workbench, capsys: pytest.CaptureFixture[str]
) -> None:
    where, folder = Settings.load().url, str(bench.lake.root)
    told = [repr(bench), repr(bench.reading()), bench.lake.where]
    told += [one.title for one in (bench.status(), bench.verify(), bench.vacuum(), bench.clean(), bench.history("stock_day"))]
    told += [str(one.facts.get("root", where)) for one in (bench.status(), bench.health(), bench.verify())]
    assert all(where in one for one in (told[0], told[1], told[2], told[3], told[4]))
    assert bench.health().facts["database"] == where
    for words in (["config"], ["status", "--json"], ["health", "--json"], ["tables"], ["fold"]):
        with pytest.raises(SystemExit):
            main(words)
        out = capsys.readouterr().out
        told.append(out.replace(f"cache, {folder}", ""))
    assert where in told[-5]
    assert not [one for one in told if folder in one]


def test_health_looks_at_the_bucket_and_at_this_machines_disk(bench: workbench.Workbench, monkeypatch: pytest.MonkeyPatch) -> None:
    checks = {one["name"]: one for one in bench.health()}
    assert checks["bucket"]["state"] == "good", checks["bucket"]
    assert "answers within" in checks["bucket"]["told"]
    assert "this machine's cache" in checks["disk"]["told"]
    odd = [one["told"] for one in checks.values() if one["state"] == "bad"]
    assert not odd
    assert loose(bench.lake.root) == []
    monkeypatch.setattr("workbench.query.soundness.SLOW_S", -1)
    assert {one["name"]: one["state"] for one in bench.health()}["bucket"] == "look"
    monkeypatch.setattr("workbench.lake.remote.connection.Remote.size", lambda *_: None)
    told = next(one for one in bench.health() if one["name"] == "bucket")
    assert told["state"] == "bad"
    assert "no lake is there any more" in told["told"]
    text = bench.metrics()
    assert f'root="{Settings.load().url}"' in text


@pytest.mark.slow
def test_a_bucket_that_does_not_answer_is_told_in_a_sentence(far: Path, s3: S3, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "another")
    done = ran("status")
    assert done.returncode == 1
    assert "does not know these keys" in done.stderr
    assert "Traceback" not in done.stderr
    assert s3.admin_keys.access not in done.stderr


@pytest.mark.slow
def test_old_databases_are_imported_and_tables_exported(
    bench: workbench.Workbench, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    old = tmp_path / "kraken.db"
    with sqlite3.connect(old) as con:
        con.execute("CREATE TABLE pairs (name TEXT PRIMARY KEY, spread REAL)")
        con.executemany("INSERT INTO pairs VALUES (?, ?)", [(f"P{n}", n / 2) for n in range(1500)])
    (tmp_path / "few.json").write_text(json.dumps([{"name": "a", "value": 1}, {"name": "b", "value": 2}]))
    (tmp_path / "some.csv").write_text("name,value\nc,3\nd,4\n")
    for kind, place, theirs, column in (
        ("sqlite", old, "pairs", "spread"),
        ("json", tmp_path / "few.json", "few", "value"),
        ("files", tmp_path / "some.csv", "some", "value"),
    ):
        bench.create_table(f"derived.{theirs}", {"name": "VARCHAR", column: "DOUBLE"}, key="name")
        made = bench.import_from(kind, place, maps={theirs: f"derived.{theirs}"}).run()
        assert not made.problems, made.problems
    # Nothing waits in this machine's journal: others see all of it.
    assert Operations(bench.lake.root).held() == {}
    with elsewhere(monkeypatch, tmp_path) as there:
        assert there.sql("SELECT count(*), sum(spread) FROM derived.pairs").fetchall() == [(1500, sum(n / 2 for n in range(1500)))]
        assert there.sql("SELECT list(name ORDER BY name) FROM (FROM derived.few UNION ALL FROM derived.some)").fetchall() == [
            (["a", "b", "c", "d"],)
        ]
        there.export_to("derived.pairs", f"sqlite:{tmp_path / 'out.db'}")
        done = ran("export", "stock_day", str(tmp_path / "days.parquet"))
        assert done.returncode == 0, done.stderr
    with sqlite3.connect(tmp_path / "out.db") as con:
        [(name,)] = con.execute("SELECT name FROM sqlite_master WHERE type = 'table' AND name LIKE '%pairs'").fetchall()
        assert con.execute(f'SELECT count(*) FROM "{name}"').fetchall() == [(1500,)]
    assert (tmp_path / "days.parquet").stat().st_size


def test_the_api_serves_it_and_writes_to_it(bench: workbench.Workbench, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    bench.create_table("derived.factor", {"name": "VARCHAR", "value": "DOUBLE"}, key="name")
    with ground(bench.lake.root, Serving(port=0)) as served:
        told = served.sql("SELECT count(*) AS n FROM stock_day", "owner")
        assert told.json().get("rows") == [{"n": 120}], told.text
        assert served.ask("GET", "/health", "owner").json()["status"] == "healthy"


@pytest.mark.slow
def test_a_notebook_is_given_the_bucket_and_reads_it(bench: workbench.Workbench, tmp_path: Path) -> None:
    made = notebooks.run(notebooks.FOLDER / "00_first_query.ipynb", tmp_path / "runs", data=bench.lake.where)
    text = made.read_text()
    assert bench.lake.where in text
    assert "120" in text


@pytest.mark.slow
def test_the_prompt_folds_before_it_ends(bench: workbench.Workbench, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "few.json").write_text(json.dumps([{"name": "a", "value": 1}]))
    bench.create_table("derived.few", {"name": "VARCHAR", "value": "DOUBLE"}, key="name")
    done = ran("init", "tetra")
    assert done.returncode == 0, done.stderr
    assert "s3://lakes/" in done.stdout
    assert Operations(bench.lake.root).held() == {}


def test_rows_of_a_place_that_is_no_bucket_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(UsageError, match="s3://bucket/prefix"):
        workbench.open("s3://Not A Bucket/x")


def test_made_up_prices_in_a_bucket_are_not_mixed_with_real_ones(far: Path, tmp_path: Path) -> None:
    with workbench.Workbench(Settings.load(source="sample")) as bench:
        bench.refresh(days=1, datasets=["stock_day"]).run()
        put(tmp_path / "flat", STOCK_DAY, THU, text([bar("AAPL")]))
        with pytest.raises(UsageError, match=r"s3://.*Set WORKBENCH_DATA to another prefix\.$"):
            bench.refresh(source=f"folder:{tmp_path / 'flat'}").run()
