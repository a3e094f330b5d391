"""What is in flight while a refresh runs, and who is told of it."""

import gzip
import io
import json
import threading
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from flatfiles import FRI, STOCK_DAY, THU, bar, text
from s3server import Fault, StandIn

from workbench.bench import Workbench
from workbench.cli import main
from workbench.config import Settings
from workbench.progress import Bar, Lines, Progress, driven, watched

KEY = STOCK_DAY.key_of(STOCK_DAY.feeds[0], THU)


@pytest.fixture
def bench(tmp_path: Path, stand_in: StandIn) -> Workbench:
    """A bucket of two sessions, incompressible enough to come in several pieces, and no lake."""
    lines = [bar(f"T{n:05}", THU, volume=n * 7919 % 104_729, close=10 + n % 100 / 100, trades=n * 31 % 997) for n in range(20_000)]
    stand_in.put(KEY, gzip.compress(text(lines), 1))
    stand_in.put(STOCK_DAY.key_of(STOCK_DAY.feeds[0], FRI), gzip.compress(text([bar("T", FRI)])))
    keys = {"polygon_s3_access_key": "a", "polygon_s3_secret_key": "s", "polygon_s3_endpoint": stand_in.endpoint}
    return Workbench(Settings.load(env={}, start=tmp_path, data=str(tmp_path / "lake"), source="polygon_s3", **keys))


class Watching(Progress):
    """Notes what it is told of."""

    def __init__(self, run: Any):
        super().__init__(run)
        self.told: list[list[dict[str, Any]]] = []
        self.half = threading.Event()

    def moves(self, flights: list[dict[str, Any]]) -> None:
        self.told.append(flights)
        if any(0 < one["fetched"] < one["size"] for one in flights):
            self.half.set()


def test_the_bytes_of_a_file_in_flight_are_told_while_it_comes(
    bench: Workbench, stand_in: StandIn, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("workbench.progress.MOVES_SECONDS", 0.01)
    # Part of it comes, then nothing until it was seen.
    stand_in.faults.append(Fault("get", sent=100_000, silent_s=1.5))
    run = bench.refresh(datasets=["stock_day"], start=THU, end=THU)
    with closing(run.chain):
        say = Watching(run)
        summary = driven(run, say)

    assert summary.exit_status == 0
    assert say.half.is_set()
    [size] = {one["size"] for flights in say.told for one in flights}
    assert size == len(stand_in.objects[KEY])
    assert {one["doing"] for flights in say.told for one in flights} >= {"fetching"}
    came = [one["fetched"] for flights in say.told for one in flights]
    assert came == sorted(came), "bytes do not go back"
    assert run.flights.told() == []
    assert not [thread for thread in threading.enumerate() if thread.name == "progress"]


def test_lines_of_json_tell_of_it_and_whoever_does_not_ask_is_not_told(bench: Workbench, capsys: pytest.CaptureFixture[str]) -> None:
    run = bench.refresh(datasets=["stock_day"], start=THU, end=FRI)
    with closing(run.chain):
        lines = Lines(run)
        with run.flights.of(run.plan.to_fetch[0], "landing"):
            lines.moves(run.flights.told())
        with watched(run, Progress(run)):
            assert not [thread for thread in threading.enumerate() if thread.name == "progress"]
    event = json.loads(capsys.readouterr().out.splitlines()[-1])

    size = run.plan.to_fetch[0].size
    one = {"table": "stock_day", "session": "2024-03-07", "key": KEY, "size": size, "fetched": size, "doing": "landing"}
    assert event == {"event": "moves", "files": [one]}


def test_the_bar_moves_with_the_bytes_in_flight_and_never_back(bench: Workbench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stdout", io.StringIO())
    run = bench.refresh(datasets=["stock_day"], start=THU, end=FRI)
    with closing(run.chain):
        bar = Bar(run, err=False)
        [task] = bar.bar.tasks
        first, second = run.plan.to_fetch
        moving: Callable[[int], None] = lambda n: bar.moves([{"key": first.key, "fetched": n, "size": first.size}])  # noqa: E731
        at = list[float]()
        acts: list[Callable[[], None]] = [
            lambda: moving(100),
            lambda: moving(0),
            lambda: moving(first.size),
            lambda: bar.waits(first),
            lambda: moving(first.size),
        ]
        for act in acts:
            act()
            at.append(task.completed)
        bar.waits(second)

    assert at == [100, 100, *[first.size] * 3]
    assert task.completed == task.total == first.size + second.size


def test_what_breaks_a_run_off_is_its_last_line_with_its_class(tmp_path: Path, stand_in: StandIn, monkeypatch: pytest.MonkeyPatch) -> None:
    stand_in.forever.append(Fault("list", status=403, code="InvalidAccessKeyId"))
    monkeypatch.chdir(tmp_path)
    env = {
        "POLYGON_S3_ACCESS_KEY": "a",
        "POLYGON_S3_SECRET_KEY": "s",
        "POLYGON_S3_ENDPOINT": stand_in.endpoint,
        "WORKBENCH_SOURCE": "polygon_s3",
    }
    words = ["refresh", "stock_day", "--days", "1", "--jsonl", "--data", str(tmp_path / "lake")]
    result = CliRunner().invoke(main, words, env=env | {"POLYGON_API_KEY": ""})

    event = json.loads(result.stdout.splitlines()[-1])
    assert (result.exit_code, event["event"], event["kind"]) == (1, "error", "BadKeys")
    assert event["text"] in result.stderr
