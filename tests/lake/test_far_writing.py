"""What writes to a lake in a bucket, beside others who do: two machines, readers elsewhere, files that nobody committed, mirrors that are damaged."""

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import date, timedelta
from pathlib import Path

import pytest
from farlooks import remote
from flatfiles import FRI, MON, STOCK_DAY, STOCK_MINUTE, STOCK_TRADES, THU, TRADE, bar, minutes, put, text, trade

import workbench
from workbench import Workbench
from workbench.config import Settings
from workbench.errors import Busy, LakeError
from workbench.lake import leftovers, quarantine, tiering, vacuum
from workbench.lake.readers import registered
from workbench.lake.remote.connection import Remote
from workbench.lake.remote.registering import BELOW, Published
from workbench.lake.store import LakeTable
from workbench.lake.verify import verify
from workbench.tables import TABLES

pytestmark = pytest.mark.s3

HOUR = 3600.0
Machine = Callable[[str], Workbench]


@pytest.fixture
def machine(far: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Machine:
    """A bench on one of several machines, each with a mirror of its own."""
    made: dict[str, Workbench] = {}

    def on(name: str) -> Workbench:
        if name not in made:
            monkeypatch.setenv("WORKBENCH_CACHE", str(tmp_path / name))
            made[name] = Workbench(Settings.load())
        return made[name]

    return on


@pytest.fixture
def vendor(tmp_path: Path) -> Path:
    folder = tmp_path / "vendor"
    for day in (THU, FRI, MON):
        put(folder, STOCK_DAY, day, text([bar("AAA", day), bar("BBB", day)]))
    return folder


def land(bench: Workbench, vendor: Path, *tables: str) -> dict[str, int]:
    run = bench.refresh(source=f"folder:{vendor}", datasets=list(tables) or None).run()
    return {name: sum(row[name] for row in run.rows) for name in ("landed", "replaced", "rows")} | {"status": run.exit_status}


def anew(bench: Workbench, name: str = "stock_day") -> LakeTable:
    """The table as somebody sees it who has not looked before."""
    remote(bench).mirror.stale()
    return LakeTable(bench.lake.root, TABLES[name])


def sound(bench: Workbench, *, deep: bool = True) -> list[str]:
    remote(bench).mirror.stale()
    return [f"{one.table} {one.kind} {one.what}" for one in verify(bench.lake, deep=deep).faults]


def count(bench: Workbench, name: str = "stock_day") -> int:
    remote(bench).mirror.stale()
    return int(bench.sql(f"SELECT count(*) FROM {name}").fetchall()[0][0])


def there(bench: Workbench, below: str = "lake/main/stock_day/chunk") -> set[str]:
    return {one.name for one in remote(bench).below(below)}


def files(bench: Workbench, name: str = "stock_day") -> set[str]:
    return {f"lake/main/{name}/{path}" for path in anew(bench, name).snapshot().paths}


# ---------------------------------------------------------------------- two machines


@pytest.mark.usefixtures("unlocked")
def test_two_machines_land_the_same_files_at_once_and_the_lake_holds_each_once(machine: Machine, vendor: Path) -> None:
    benches = [machine("one"), machine("two")]
    with ThreadPoolExecutor(2) as pool:
        told = list(pool.map(lambda bench: land(bench, vendor), benches))

    assert sum(one["landed"] for one in told) == 3
    assert [count(bench) for bench in benches] == [6, 6]
    assert there(benches[0]) == files(benches[0]), "what was landed twice left nothing behind"
    assert [sound(bench) for bench in benches] == [[], []]


@pytest.mark.usefixtures("unlocked")
def test_two_machines_land_different_files_of_one_table_at_once(machine: Machine, vendor: Path, tmp_path: Path) -> None:
    benches, folders = [machine("one"), machine("two")], [vendor, tmp_path / "other"]
    for day in (date(2024, 4, 1), date(2024, 4, 2)):
        put(folders[1], STOCK_DAY, day, text([bar("CCC", day)]))
    with ThreadPoolExecutor(2) as pool:
        told = list(pool.map(land, benches, folders))

    assert [one["landed"] for one in told] == [3, 2]
    assert [count(bench) for bench in benches] == [8, 8]
    assert sound(benches[1]) == []


def test_two_machines_compact_the_same_chunk_and_one_of_them_does_it(machine: Machine, vendor: Path) -> None:
    benches = [machine("one"), machine("two")]
    land(benches[0], vendor)
    tables = [anew(bench) for bench in benches]
    units = [tiering.due(table, everything=True)[0] for table in tables]
    with ThreadPoolExecutor(2) as pool:
        done = list(pool.map(tiering.compact, tables, units))

    assert sorted(one.outcome for one in done) == ["compacted", "overtaken"]
    assert there(benches[0]) >= files(benches[0])
    assert [count(bench) for bench in benches] == [6, 6]
    assert sound(benches[0]) == []


def test_a_compaction_and_a_replacement_on_another_machine_end_with_the_replacement(
    machine: Machine, vendor: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    one, two = machine("one"), machine("two")
    land(one, vendor)
    put(vendor, STOCK_DAY, FRI, text([bar("AAA", FRI, close=9.75)]))
    table, write = anew(one), LakeTable._write
    [unit] = tiering.due(table, everything=True)

    def meanwhile(*given: object) -> bool:
        monkeypatch.setattr(LakeTable, "_write", write)
        assert land(two, vendor)["replaced"] == 1
        return write(*given)  # type: ignore[arg-type]

    monkeypatch.setattr(LakeTable, "_write", meanwhile)

    assert tiering.compact(table, unit).outcome == "overtaken"
    assert (count(one), count(two)) == (5, 5)
    assert there(one) >= files(one)
    assert sound(two) == []


def test_two_machines_decide_ticker_ranges_and_both_have_the_first_ones(machine: Machine, tmp_path: Path) -> None:
    folder = tmp_path / "ticks"
    put(folder, STOCK_TRADES, THU, text([trade(f"T{n:02}", THU, n) for n in range(40)], TRADE))
    benches = [machine("one"), machine("two")]
    with ThreadPoolExecutor(2) as pool:
        ranges = list(
            pool.map(lambda pair: anew(pair[0], "stock_trades").set_bounds(pair[1]), zip(benches, (("B", "M"), ("C",)), strict=True))
        )

    assert ranges[0] == ranges[1]
    assert land(benches[0], folder)["rows"] == 40
    assert (count(benches[1], "stock_trades"), sound(benches[1])) == (40, [])


MANY = """
import sys, workbench
from workbench.config import Settings
with workbench.Workbench(Settings.load()) as bench:
    run = bench.refresh(source="folder:" + sys.argv[1]).run()
    print(sum(row["landed"] for row in run.rows))
"""


def test_two_processes_with_their_own_mirrors_land_into_a_lake_that_is_not_there_yet(
    far: Path, machine: Machine, vendor: Path, tmp_path: Path
) -> None:
    def run(name: str) -> "subprocess.Popen[str]":
        told = os.environ | {"WORKBENCH_CACHE": str(tmp_path / name)}
        return subprocess.Popen([sys.executable, "-c", MANY, str(vendor)], env=told, stdout=subprocess.PIPE, text=True)

    both = [run("p1"), run("p2")]
    landed = [int(one.communicate(timeout=60)[0]) for one in both]

    assert sum(landed) == 3
    bench = machine("one")
    assert (count(bench), sound(bench)) == (6, [])
    assert len({json.loads((tmp_path / name).joinpath(*far.parts[-2:], "lake.json").read_text())["id"] for name in ("p1", "p2")}) == 1


# ---------------------------------------------------------------------- verbs, seen from another machine


def test_everything_that_rewrites_works_from_a_machine_that_holds_no_file(machine: Machine, vendor: Path) -> None:
    put(vendor, STOCK_MINUTE, THU, text([*minutes("AAA", THU, 5), *minutes("BBB", THU, 3)]))
    land(machine("one"), vendor)
    two = machine("two")
    assert {row["outcome"] for row in two.compact(everything=True).rows} == {"compacted"}
    three = machine("three")
    three.maintain()
    assert (count(three), count(three, "stock_minute")) == (6, 8)
    held = three.sql("FROM stock_day ORDER BY ALL").fetchall()
    three.reset("stock_day")
    assert count(two) == 0
    machine("four").undo_reset(["stock_day"])
    assert machine("four").sql("FROM stock_day ORDER BY ALL").fetchall() == held
    put(vendor, STOCK_DAY, FRI, text([bar("AAA", FRI, close=9.75)]))
    assert land(machine("five"), vendor)["replaced"] == 1
    assert (count(two), sound(machine("five"))) == (5, [])


def test_what_is_refused_stands_in_the_bucket_and_is_seen_elsewhere(machine: Machine, vendor: Path) -> None:
    one, two = machine("one"), machine("two")
    put(vendor, STOCK_DAY, FRI, b"no gzip", raw=True)
    put(vendor, STOCK_DAY, MON, text([bar("AAA", MON), bar("BAD", MON, close="x")]))
    land(one, vendor)

    refused = sorted(quarantine.refusals(two.lake.root), key=lambda refusal: refusal.session)
    assert [(refusal.session, refusal.whole) for refusal in refused] == [(FRI, True), (MON, False)]
    assert all(quarantine.here(refusal).read_bytes() for refusal in refused)
    assert land(two, vendor) == {"landed": 0, "replaced": 0, "rows": 0, "status": 3}, "a file that was refused is not landed again"
    assert sound(two) == []
    remote(two).remove(remote(two).name(refused[1].path))
    assert ["it is gone" in fault for fault in sound(two)] == [True]
    put(vendor, STOCK_DAY, FRI, text([bar("AAA", FRI)]))
    assert land(two, vendor)["landed"] == 1


# ---------------------------------------------------------------------- vacuum


def later(monkeypatch: pytest.MonkeyPatch, seconds: float) -> None:
    """The bucket's clock, so much on: what stands there is so much older."""
    real = Remote.now
    monkeypatch.setattr(Remote, "now", lambda self: real(self) + seconds)


def swept(bench: Workbench, keep: timedelta = timedelta(0), orphans: timedelta = timedelta(0)) -> tuple[int, int]:
    remote(bench).mirror.stale()
    found = vacuum.vacuum(bench.lake, keep, dry_run=False, orphans=orphans)
    return sum(len(one.retired) for one in found), sum(len(one.orphans) for one in found)


def replaced(bench: Workbench, vendor: Path) -> None:
    land(bench, vendor)
    put(vendor, STOCK_DAY, FRI, text([bar("AAA", FRI, close=9.75)]))
    land(bench, vendor)


def test_vacuum_removes_from_the_bucket_and_from_the_mirror_what_was_replaced_and_what_nobody_committed(
    machine: Machine, vendor: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    bench = machine("one")
    replaced(bench, vendor)
    remote(bench).put_over("lake/main/stock_day/chunk=2024-03/bucket=00/orphan.parquet", b"rows")
    before = there(bench)
    assert swept(bench) == (0, 0), "whatever is asked for, the young stay"
    assert there(bench) == before
    assert any("stay, whatever is asked for" in note for note in bench.vacuum("0 days").facts["notes"])
    assert bench.vacuum("7 days").facts["notes"] == []

    later(monkeypatch, HOUR + 60)
    assert swept(bench) == (1, 1)
    assert there(bench) == files(bench)
    here = {path.relative_to(bench.lake.root).as_posix() for path in (bench.lake.root / "lake/main/stock_day").rglob("chunk*/**/*.parquet")}
    assert here <= files(bench)
    assert swept(bench) == (0, 0)
    assert (count(bench), sound(bench)) == (5, [])


def test_a_mirror_forgets_what_another_machine_has_vacuumed(machine: Machine, vendor: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    one, two = machine("one"), machine("two")
    replaced(one, vendor)
    later(monkeypatch, HOUR + 60)
    held = set((one.lake.root / "lake").rglob("chunk*/**/*.parquet"))
    assert swept(two) == (1, 0)
    assert set((one.lake.root / "lake").rglob("chunk*/**/*.parquet")) == held
    swept(one)
    assert {path.relative_to(one.lake.root).as_posix() for path in (one.lake.root / "lake").rglob("chunk*/**/*.parquet")} == files(one)


def test_a_reader_on_another_machine_keeps_its_files(machine: Machine, vendor: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    one, two = machine("one"), machine("two")
    land(one, vendor)
    remote(two).mirror.stale()
    monkeypatch.setattr("workbench.lake.remote.registering.SAY_S", 0.05)
    assert count(two) == 6
    wait(lambda: there(one, BELOW) != set())
    put(vendor, STOCK_DAY, FRI, text([bar("AAA", FRI, close=9.75)]))
    land(one, vendor)
    later(monkeypatch, HOUR + 60)
    assert (1, 1) in registered(one.lake.root)["stock_day"]
    assert swept(one) == (0, 0)
    two.close()
    assert there(one, BELOW) == set()
    assert swept(one) == (1, 0)


def test_a_reader_of_the_past_is_known_elsewhere_at_once(machine: Machine, vendor: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    one, two = machine("one"), machine("two")
    land(one, vendor)
    at = anew(one).commits()[-1].at
    put(vendor, STOCK_DAY, FRI, text([bar("AAA", FRI, close=9.75)]))
    land(one, vendor)
    remote(two).mirror.stale()
    with workbench.open(two.settings, as_of=at) as past:
        assert there(one, BELOW)
        later(monkeypatch, HOUR + 60)
        assert swept(one) == (0, 0)
        assert past.sql("SELECT count(*) FROM stock_day").fetchall() == [(6,)]
    assert swept(one) == (1, 0)


def test_a_reader_that_has_not_said_so_for_a_day_counts_no_more(machine: Machine, vendor: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    bench = machine("one")
    replaced(bench, vendor)
    remote(bench).put_over(f"{BELOW}gone-1-00000000.json", json.dumps({"started": "", "tables": {"stock_day": [0, 99]}}).encode())
    later(monkeypatch, HOUR + 60)
    assert swept(bench) == (0, 0)
    later(monkeypatch, 24 * HOUR)
    assert swept(bench) == (1, 0)
    assert there(bench, BELOW) == set()
    later(monkeypatch, -24 * HOUR)
    remote(bench).put_over(f"{BELOW}odd-1-00000000.json", b"{")
    with pytest.raises(Busy, match=r"cannot be read.*nothing was removed"):
        swept(bench)


def test_a_registration_is_not_made_for_a_short_look(machine: Machine, vendor: Path) -> None:
    bench = machine("one")
    land(bench, vendor)
    assert count(bench) == 6
    assert there(bench, BELOW) == set()
    said = Published(remote(bench), "a-1-00000000")
    said.tell("{}")
    said.end()
    assert there(bench, BELOW) == set()


def test_uploads_that_were_never_completed_are_given_up_when_a_day_old(
    machine: Machine, vendor: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    bench = machine("one")
    land(bench, vendor)
    far = remote(bench)
    far.client.create_multipart_upload(Bucket=far.bucket, Key=f"{far._prefix}lake/main/stock_day/chunk=2024-03/part.parquet")

    def waiting() -> int:
        return len(far.client.list_multipart_uploads(Bucket=far.bucket, Prefix=far._prefix).get("Uploads", ()))

    swept(bench)
    assert (waiting(), sound(bench)) == (1, []), "nobody sees it, and it may be somebody's"
    monkeypatch.setattr(vacuum, "UPLOADS", timedelta(seconds=-5))
    swept(bench)
    assert waiting() == 0


def test_clean_removes_refused_rows_without_a_record_from_the_bucket(
    machine: Machine, vendor: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    bench = machine("one")
    put(vendor, STOCK_DAY, MON, text([bar("AAA", MON), bar("BAD", MON, close="x")]))
    land(bench, vendor)
    remote(bench).put_over("quarantine/stock_day/2024-03-07/us-e1.rows.parquet", b"rows")
    assert leftovers.clean(bench.lake.root, bench.settings.scratch) == []
    later(monkeypatch, 25 * HOUR)
    [left] = leftovers.clean(bench.lake.root, bench.settings.scratch, dry_run=False)
    assert (left.kind, left.size) == (leftovers.UNTOLD, 4)
    assert {name.rpartition(".rows.")[2] for name in there(bench, "quarantine/")} == {"json", "parquet"}
    assert len(there(bench, "quarantine/")) == 2


# ---------------------------------------------------------------------- verify


def test_verify_tells_what_is_gone_from_the_bucket_or_other_there_whatever_the_mirror_holds(machine: Machine, vendor: Path) -> None:
    bench = machine("one")
    land(bench, vendor)
    far, names = remote(bench), sorted(files(bench))
    held = far.get(names[0])
    assert held
    far.remove(names[0])
    assert "gone from the bucket" in sound(bench, deep=False)[0]
    assert land(bench, vendor)["status"] == 0
    assert sound(bench) == []

    name = min(files(bench))
    held = far.get(name)
    assert held
    spoilt = bytearray(held)
    spoilt[30:60] = bytes(30)
    far.put_over(name, bytes(spoilt))
    assert sound(bench, deep=False) == []
    assert sound(bench) != []
    far.put_over(name, held)
    (bench.lake.root / name).write_bytes(bytes(spoilt))
    assert sound(bench) == [], "what the bucket holds counts, and mends the copy"
    assert (bench.lake.root / name).read_bytes() == held


def test_a_refresh_lands_anew_what_is_gone_from_the_bucket(machine: Machine, vendor: Path) -> None:
    bench = machine("one")
    land(bench, vendor)
    remote(bench).remove(min(files(bench)))
    assert land(bench, vendor)["status"] == 0
    assert there(bench) == files(bench)
    assert (count(machine("two")), sound(bench)) == (6, [])


# ---------------------------------------------------------------------- the mirror


@pytest.mark.parametrize("spoil", ["cut", "emptied", "removed", "all"])
def test_a_mirror_that_is_damaged_mends_itself(machine: Machine, vendor: Path, spoil: str) -> None:
    bench = machine("one")
    replaced(bench, vendor)
    log = bench.lake.root / "lake/main/stock_day/_delta_log"
    names = sorted(log.glob("*.json"))
    path = names[1]
    if spoil == "all":
        for one in names:
            one.unlink()
    elif spoil == "removed":
        path.unlink()
    else:
        path.write_bytes(path.read_bytes()[:100] if spoil == "cut" else b"")
    remote(bench).mirror._next.clear()
    remote(bench).mirror.stale()
    with Workbench(bench.settings) as again:
        assert count(again) == 5
        assert sound(again) == []


def test_a_copy_of_a_data_file_that_is_cut_is_brought_again(machine: Machine, vendor: Path) -> None:
    bench = machine("one")
    land(bench, vendor)
    for name in files(bench):
        path = bench.lake.root / name
        path.write_bytes(path.read_bytes()[:50])
    [unit] = tiering.due(anew(bench), everything=True)
    assert tiering.compact(anew(bench), unit).outcome == "compacted"
    assert (count(bench), sound(bench)) == (6, [])


def test_a_bucket_that_holds_another_lake_is_not_written_to(machine: Machine, vendor: Path) -> None:
    bench = machine("one")
    land(bench, vendor)
    far = remote(bench)
    far.remove_all([one.name for one in far.below("")])
    other = machine("two")
    land(other, vendor)
    before = there(other)
    told = os.environ | {"WORKBENCH_CACHE": str(bench.lake.root.parents[1])}
    run = subprocess.run([sys.executable, "-c", MANY, str(vendor)], env=told, stderr=subprocess.PIPE, text=True, check=False)
    assert "holds another lake than the one" in run.stderr
    assert (there(other), sound(other)) == (before, [])


def wait(until: Callable[[], bool], seconds: float = 10) -> None:
    end = time.monotonic() + seconds
    while not until():
        assert time.monotonic() < end
        time.sleep(0.05)


def test_a_lake_of_before_is_not_made_in_a_bucket_that_overwrites(machine: Machine, vendor: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    bench = machine("one")
    monkeypatch.setattr(Remote, "put_once", lambda self, name, some: self.put_over(name, some) or True)
    with pytest.raises(LakeError, match=r"overwrites what it was asked to leave .*nothing was written. Take a store"):
        land(bench, vendor)
    assert there(bench, "") == set()
