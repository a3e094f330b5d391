"""What happened to a table, and how two of its versions differ."""

import json
import os
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result
from flatfiles import FRI, MON, STOCK_DAY, STOCK_TRADES, THU, TRADE, bar, put, text, trade

import workbench
from workbench import __version__
from workbench.bench import Workbench
from workbench.cli import main
from workbench.config import Settings
from workbench.errors import BadRange, LakeError, UsageError
from workbench.lake import changes
from workbench.lake.processes import user
from workbench.lake.vacuum import vacuum

FEEDS = "kraken_bot.rss_feeds"


def landing(home: Path) -> None:
    """Thursday and Friday land, at versions 1; Friday again, with other values, and Monday, at 2."""
    folder = home / "vendor"
    put(folder, STOCK_DAY, THU, text([bar("AAA"), bar("BBB")]))
    put(folder, STOCK_DAY, FRI, text([bar("AAA", FRI), bar("OLD", FRI)]))
    put(folder, STOCK_TRADES, THU, text([trade("AAA", THU, n) for n in range(20)], TRADE))
    bench = Workbench(Settings.load(env={}, data=str(home / "lake")))
    fill(bench, folder)
    put(folder, STOCK_DAY, FRI, text([bar("AAA", FRI, close="9.75", volume=7), bar("ZZZ", FRI)]))
    put(folder, STOCK_DAY, MON, text([bar("AAA", MON)]))
    fill(bench, folder)
    bench.close()


def fill(bench: Workbench, vendor: Path) -> None:
    bench.refresh(source=f"folder:{vendor}").run()


@pytest.fixture
def bench(tmp_path: Path, made_once: Callable[..., None]) -> Iterator[Workbench]:
    made_once(landing, tmp_path)
    with Workbench(Settings.load(env={}, data=str(tmp_path / "lake"))) as made:
        yield made


@pytest.fixture
def run(bench: Workbench) -> Callable[..., Result]:
    return lambda *words: CliRunner().invoke(main, [*words, "--data", str(bench.lake.root)])


# ---------------------------------------------------------------------- history


def test_history_tells_who_what_when_and_from_where(bench: Workbench) -> None:
    bench.compact(["stock_day"], everything=True)
    bench.reset("stock_day")
    bench.undo_reset(["stock_day"])
    told = bench.history("stock_day")
    assert [row["what"] for row in told] == ["reset undone", "reset", "compacted", "settings", "replaced", "landed", "made"]
    newest, landed, replaced = told[0], told[5], told[4]
    assert newest["who"] == f"{user()}@{os.uname().nodename}"
    assert (newest["pid"], newest["library"]) == (os.getpid(), __version__)
    assert newest["command"]
    assert (landed["source"], landed["sessions"], landed["first"], landed["last"]) == ("folder", 2, THU, FRI)
    assert (landed["rows_added"], landed["rows_removed"], landed["files_added"]) == (4, 0, 2)
    assert (replaced["rows_added"], replaced["rows_removed"], replaced["sessions"]) == (3, 2, 2)
    assert (told[1]["rows_added"], told[1]["rows_removed"]) == (0, 5)
    assert len(landed["run"]) > 0
    assert datetime.fromisoformat(landed["at"]) <= datetime.now(UTC)
    assert told.facts["commits"] == 7
    assert [row["version"] for row in bench.history("stock_day", 2)] == [6, 5]


def test_history_of_what_people_write(bench: Workbench, monkeypatch: pytest.MonkeyPatch) -> None:
    bench.append(FEEDS, [{"url": f"u{n}", "name": "A"} for n in range(3)])
    monkeypatch.setenv("WORKBENCH_RUN", "run-7")
    bench.fold()
    newest, made = bench.history(FEEDS)
    assert (newest["what"], newest["rows_added"], newest["run"], made["what"]) == ("folded", 3, "run-7", "made")


def test_commits_of_before_do_not_say_who(bench: Workbench) -> None:
    path = bench.lake["stock_day"].commit_path(1)
    lines = [json.loads(line) for line in path.read_text().splitlines()]
    for line in lines:
        line.get("commitInfo", {}).pop("by", None)
    path.write_text("\n".join(json.dumps(line, separators=(",", ":")) for line in lines) + "\n")
    row = bench.history("stock_day")[-2]
    assert (row["version"], row["who"], row["command"], row["pid"], row["rows_added"]) == (1, "", "", None, 4)


def test_no_secret_of_a_command_stands_in_a_commit(bench: Workbench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.argv", ["/opt/secret-place/tool.py", "--password", "hunter2"])
    bench.reset("stock_day")
    newest = bench.lake["stock_day"].commit_path(bench.lake["stock_day"].snapshot().version).read_text()
    assert "hunter2" not in newest
    assert "secret-place" not in newest


def test_a_torn_commit_is_named(bench: Workbench) -> None:
    path = bench.lake["stock_day"].commit_path(1)
    path.write_text("{")
    with pytest.raises(LakeError, match=rf"{path.name} is damaged"):
        changes.entries(workbench.open(bench.lake.root).lake["stock_day"])


def test_five_thousand_commits_take_little(bench: Workbench) -> None:
    table = bench.lake["stock_day"]
    line = table.commit_path(1).read_text()
    for version in range(3, 5000):
        table.commit_path(version).write_text(line)
    began = time.monotonic()
    assert len(changes.entries(table)) == 5000
    assert time.monotonic() - began < 5


# ---------------------------------------------------------------------- two versions


def test_rows_are_compared_by_their_key(bench: Workbench) -> None:
    found = bench.diff("stock_day", 1, 2)
    facts = found.facts
    assert (facts["added"], facts["removed"], facts["changed"]) == (2, 1, 1)
    assert facts["columns"] == {"close": 1, "volume": 1}
    # Friday's two files and Monday's; Thursday's both versions have.
    assert facts["files_read"] == 3
    rows = {(row["change"], row["ticker"]): row for row in found}
    assert set(rows) == {("added", "AAA"), ("added", "ZZZ"), ("removed", "OLD"), ("changed", "AAA")}
    changed = rows["changed", "AAA"]
    assert (changed["columns"], changed["old"], changed["new"]) == (
        "volume, close",
        {"close": 10.5, "volume": 100},
        {"close": 9.75, "volume": 7},
    )
    assert rows["added", "ZZZ"]["old"] is None
    assert rows["added", "ZZZ"]["new"]["close"] == 10.5
    # The other way round, and as instants.
    back = bench.diff("stock_day", 2, 1).facts
    assert (back["added"], back["removed"], back["changed"]) == (1, 2, 1)
    times = [commit.at for commit in bench.lake["stock_day"].commits()]
    assert bench.diff("stock_day", times[1], times[2].isoformat()).facts == facts
    assert bench.diff("stock_day", "1").facts == facts


def test_all_are_counted_and_some_are_shown(bench: Workbench) -> None:
    found = bench.diff("stock_day", 0, 2, limit=3)
    assert (found.facts["added"], len(found)) == (5, 3)
    assert len(bench.diff("stock_day", 0, 2, limit=None)) == 5
    assert bench.diff("stock_day", 0, 2, limit=0).rows == []


def test_rows_without_a_key_are_compared_by_their_values(bench: Workbench) -> None:
    bench.create_table("derived.notes", {"text": "VARCHAR", "n": "INTEGER", "id": "UUID"})
    bench.append("derived.notes", [{"text": text, "n": 1} for text in ("same", "same", "same", "gone")])
    bench.fold()
    bench.append("derived.notes", [{"text": text, "n": 1} for text in ("same", "come")])
    bench.fold()
    found = bench.diff("derived.notes", 1)
    assert (found.facts["added"], found.facts["removed"], found.facts["changed"], found.facts["key"]) == (2, 0, 0, [])
    assert [(row["change"], row["new"]["text"]) for row in found] == [("added", "come"), ("added", "same")]
    back = bench.diff("derived.notes", 2, 1, limit=1)
    assert (back.facts["removed"], [row["old"]["text"] for row in back]) == (2, ["come"])
    assert bench.rewind("derived.notes", version=1).rows[0]["rows_then"] == 4
    assert bench.diff("derived.notes", 1).facts["added"] == 0


def test_a_compaction_changes_nothing_and_no_file_is_read_for_it(bench: Workbench, monkeypatch: pytest.MonkeyPatch) -> None:
    bench.compact(["stock_day"], everything=True)
    found = bench.diff("stock_day", 2)
    assert (found.rows, found.facts["proven"], found.facts["files_read"]) == ([], True, 0)
    assert "no row differs; no file was read" in found.title
    # And the rows say so too.
    monkeypatch.setattr(changes, "unchanged", lambda *_: False)
    found = bench.diff("stock_day", 2)
    assert (found.rows, found.facts["proven"], found.facts["added"]) == ([], False, 0)
    assert found.facts["files_read"] > 0


def test_a_reset_that_is_undone_is_no_difference(bench: Workbench) -> None:
    bench.reset("stock_day")
    bench.undo_reset(["stock_day"])
    found = bench.diff("stock_day", 2)
    assert (found.rows, found.facts["files_read"]) == ([], 0)


def test_what_people_wrote_is_compared_too(bench: Workbench) -> None:
    bench.append(FEEDS, [{"url": f"u{n}", "name": "A"} for n in range(3)])
    bench.fold()
    bench.upsert(FEEDS, {"url": "u1", "name": "B"})
    bench.delete(FEEDS, "url = 'u0'")
    bench.append(FEEDS, {"url": "u9", "name": "A"})
    bench.fold()
    found = bench.diff(FEEDS, 1)
    told = {(row["change"], (row["new"] or row["old"])["name"]) for row in found}
    assert told == {("added", "A"), ("removed", "A"), ("changed", "B")}
    assert found.facts["columns"]["name"] == 1


@pytest.mark.parametrize(
    ("old", "new", "kind", "why"),
    [
        (9, None, UsageError, "has the versions 0 to 2, and no 9; nothing was compared"),
        (-1, None, UsageError, "and no -1"),
        (1, "2001-01-01", BadRange, "had no commit by 2001"),
        ("soon", None, BadRange, "is not an instant"),
    ],
)
def test_versions_that_are_not_are_refused(bench: Workbench, old: Any, new: Any, kind: type[Exception], why: str) -> None:
    with pytest.raises(kind, match=why):
        bench.diff("stock_day", old, new)


def test_files_that_vacuum_removed_are_named(bench: Workbench) -> None:
    vacuum(bench.lake, timedelta(0), dry_run=False)
    with pytest.raises(
        LakeError, match=r"stock_day as of version 1 cannot be read: 1 of the 1 files that differ .*parquet\); nothing was compared"
    ):
        bench.diff("stock_day", 1)


# ---------------------------------------------------------------------- at the prompt


def test_the_commands(run: Callable[..., Result]) -> None:
    done = run("history", "stock_day", "--json")
    assert done.exit_code == 0
    assert [row["version"] for row in json.loads(done.stdout)["rows"]] == [2, 1, 0]
    done = run("history", "stock_day", "--limit", "1")
    assert "replaced" in done.stdout
    assert "3 commits, the newest 1 of them" in done.stdout
    done = run("diff", "stock_day", "1", "--json")
    assert (done.exit_code, json.loads(done.stdout)["changed"]) == (3, 1)
    done = run("diff", "stock_day", "1", "2")
    assert "close: 10.5 → 9.75" in done.stdout
    done = run("diff", "stock_day", "1", "--csv", "--limit", "1")
    assert done.stdout.splitlines()[0].startswith("change,ticker,")
    assert len(done.stdout.splitlines()) == 2
    assert run("diff", "stock_day", "2").exit_code == 0
    assert run("diff", "stock_day", "7").exit_code == 2
    assert run("history", "nothing").exit_code == 2
    done = run("migrate")
    assert (done.exit_code, "nothing to do" in done.stdout) == (0, True)
