"""Verify: each kind of damage, made by hand, is found for what it is, and what is said to mend it does."""

import json
import os
import shutil
import time
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import Any

import hypothesis as hyp
import polars as pl
import pytest
from flatfiles import FRI, MON, STOCK_DAY, STOCK_MINUTE, STOCK_TRADES, THU, TRADE, bar, minutes, put, text, trade
from hypothesis import strategies as st

from workbench.bench import Workbench
from workbench.config import Settings
from workbench.lake import contents
from workbench.lake.files import Finding
from workbench.lake.footers import Footer
from workbench.lake.tiering import compact, due
from workbench.lake.verify import Verified, verify
from workbench.tables import Table, find

TICKERS = [f"T{n:03}" for n in range(40)]


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two sessions of day bars, two of minutes, one of trades: as flat files, landed, and landed with cold minutes."""
    home = tmp_path_factory.mktemp("made")
    for day in (THU, FRI):
        put(home / "vendor", STOCK_DAY, day, text([bar(name, day) for name in TICKERS]))
        put(home / "vendor", STOCK_MINUTE, day, text([line for name in TICKERS for line in minutes(name, day, 10)]))
    put(home / "vendor", STOCK_TRADES, THU, text([trade(name, THU, n) for name in TICKERS for n in range(5)], TRADE))
    for lake in ("hot", "cold"):
        opened(home / lake).refresh(source=f"folder:{home / 'vendor'}").run()
    table = opened(home / "cold").lake["stock_minute"]
    for one in due(table, everything=True):
        compact(table, one)
    return home


def opened(root: Path) -> Workbench:
    return Workbench(Settings.load(env={}, data=str(root)))


@pytest.fixture
def vendor(made: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(made / "vendor", tmp_path / "vendor"))


@pytest.fixture
def bench(made: Path, tmp_path: Path) -> Workbench:
    return opened(Path(shutil.copytree(made / "hot", tmp_path / "lake")))


@pytest.fixture
def cold(made: Path, tmp_path: Path) -> Workbench:
    return opened(Path(shutil.copytree(made / "cold", tmp_path / "cold")))


def folder(bench: Workbench, name: str) -> Path:
    return bench.lake[name].folder


def live(bench: Workbench, name: str, n: int = 0) -> Path:
    return folder(bench, name) / sorted(bench.lake[name].snapshot().by_path)[n]


def faults(bench: Workbench, *, deep: bool = True) -> list[Finding]:
    return verify(bench.lake, deep=deep).faults


def only(bench: Workbench, kind: str, *, deep: bool = True) -> Finding:
    """The one fault there is."""
    found = faults(bench, deep=deep)
    assert [one.kind for one in found] == [kind], found
    return found[0]


def log(bench: Workbench, name: str, version: int) -> Path:
    return folder(bench, name) / "_delta_log" / f"{version:020}.json"


def edit(bench: Workbench, name: str, change: Callable[[dict[str, Any]], None]) -> None:
    """Change every action of every commit of a table."""
    for path in sorted((folder(bench, name) / "_delta_log").glob("*.json")):
        actions = [json.loads(line) for line in path.read_text().splitlines()]
        for action in actions:
            change(action)
        path.write_text("".join(json.dumps(action, separators=(",", ":")) + "\n" for action in actions))


def rewrite(bench: Workbench, table: Table, path: Path, change: Callable[[pl.DataFrame], pl.DataFrame]) -> None:
    """Change a live file's rows, and what the log says of it to match: only its rows are wrong then."""
    change(pl.read_parquet(path, hive_partitioning=False)).write_parquet(path, compression="zstd")
    stats = Footer.read(path).stats(table)

    def told(action: dict[str, Any]) -> None:
        add = action.get("add")
        if add and path.as_posix().endswith(add["path"]):
            add |= {"size": path.stat().st_size, "stats": json.dumps(stats)}

    edit(bench, table.name, told)


def mends(bench: Workbench, vendor: Path, fault: Finding) -> None:
    """Do what the finding says: the file is removed, and a refresh of its sessions lands it anew."""
    assert f"workbench refresh {fault.table} --start" in fault.remedy
    if "remove " in fault.remedy:
        (bench.lake.root / fault.remedy.split("remove ")[1].split(" and ")[0]).unlink()
    start, end = fault.remedy.split("--start ")[1].split()[0], fault.remedy.split("--end ")[1].split("`")[0]
    again = Workbench(bench.settings)
    again.refresh(source=f"folder:{vendor}", datasets=[fault.table], start=start, end=end).run()
    assert faults(again) == []


# ---------------------------------------------------------------------- a lake that is whole


def test_a_whole_lake_has_no_findings_and_says_what_was_looked_at(bench: Workbench) -> None:
    found = verify(bench.lake)

    assert found.findings == []
    # Two of the records are of sessions whose 40 tickers are summed up.
    assert (found.tables, found.landings, found.rows) == (5, 9, 2 * 40 + 2 * 400 + 200 + 2 * 40)
    assert verify(bench.lake, deep=False).findings == []


def test_a_compacted_lake_too(cold: Workbench) -> None:
    found = verify(cold.lake)

    assert found.faults == []
    assert found.rows == 2 * 40 + 2 * 400 + 200 + 2 * 40
    assert verify(cold.lake, deep=False).faults == []


@pytest.mark.parametrize("piece", [1, 2, 3, 7, 50, 1000])
def test_pieces_of_any_length_tell_the_same(bench: Workbench, monkeypatch: pytest.MonkeyPatch, piece: int) -> None:
    monkeypatch.setattr(contents, "PIECE", piece)

    assert verify(bench.lake, ["stock_trades"]).findings == []
    file = live(bench, "stock_day")
    rewrite(bench, STOCK_DAY, file, lambda rows: pl.concat([rows[:20], rows[19:20], rows[20:]]))
    assert contents.examine(file, STOCK_DAY, sorted_tickers=True).repeated == 1


def test_one_table_can_be_asked_alone(bench: Workbench) -> None:
    live(bench, "stock_day").unlink()

    assert verify(bench.lake, ["stock_minute"]).findings == []


def test_verify_changes_nothing(bench: Workbench) -> None:
    before = sorted((path, path.stat().st_mtime_ns) for path in bench.lake.root.rglob("*") if path.is_file())
    verify(bench.lake)

    assert sorted((path, path.stat().st_mtime_ns) for path in bench.lake.root.rglob("*") if path.is_file()) == before


# ---------------------------------------------------------------------- files


@pytest.mark.parametrize("name", ["stock_day", "stock_minute", "stock_trades"])
def test_a_live_file_that_is_gone(bench: Workbench, vendor: Path, name: str) -> None:
    live(bench, name).unlink()

    missing = only(bench, "missing")
    assert only(bench, "missing", deep=False) == missing
    assert missing.where in bench.lake[name].snapshot().by_path
    mends(bench, vendor, missing)


def test_a_cold_file_that_is_gone(cold: Workbench) -> None:
    live(cold, "stock_minute", 3).unlink()

    assert "--start 2024-01-01 --end 2024-03-31" in only(cold, "missing").remedy


def test_a_truncated_file(bench: Workbench, vendor: Path) -> None:
    path = live(bench, "stock_day")
    path.write_bytes(path.read_bytes()[:-7])

    mends(bench, vendor, only(bench, "size", deep=False))


def test_a_footer_that_cannot_be_read(bench: Workbench, vendor: Path) -> None:
    path = live(bench, "stock_day")
    path.write_bytes(path.read_bytes()[:-4] + b"RAP1")

    mends(bench, vendor, only(bench, "footer", deep=False))


def test_a_page_that_cannot_be_read(bench: Workbench, vendor: Path) -> None:
    path = live(bench, "stock_minute")
    content = bytearray(path.read_bytes())
    content[4:40] = bytes(36)  # the head of the first page
    path.write_bytes(content)

    assert faults(bench, deep=False) == []
    pages = only(bench, "pages")
    mends(bench, vendor, pages)


def test_a_byte_of_a_cold_page_is_found_by_its_content(cold: Workbench) -> None:
    """A value that decodes, and is another: order, keys and statistics may not tell, the hash of the commit does."""
    rewrite(
        cold,
        STOCK_MINUTE,
        live(cold, "stock_minute", 2),
        lambda rows: rows.with_columns(pl.col("close") + (pl.int_range(pl.len()) == 3) * 0.01),
    )

    assert "of other content than" in only(cold, "content").what


def test_a_hash_by_another_version_is_not_compared(cold: Workbench, monkeypatch: pytest.MonkeyPatch) -> None:
    def other(action: dict[str, Any]) -> None:
        if "rewrite" in action.get("commitInfo", {}):
            action["commitInfo"]["rewrite"] = json.dumps(json.loads(action["commitInfo"]["rewrite"]) | {"content": "1"})

    edit(cold, "stock_minute", other)
    only(cold, "content")
    monkeypatch.setattr("workbench.lake.verify.hasher", lambda: "polars 99")
    assert faults(cold) == []


def test_columns_that_are_not_declared(bench: Workbench, vendor: Path) -> None:
    rewrite(bench, STOCK_DAY, live(bench, "stock_day"), lambda rows: rows.with_columns(pl.col("transactions").cast(pl.Int32)))

    schema = only(bench, "schema", deep=False)
    assert "['transactions']" in schema.what
    mends(bench, vendor, schema)


def test_a_file_in_the_wrong_chunk(bench: Workbench, vendor: Path) -> None:
    def other(action: dict[str, Any]) -> None:
        if action.get("add", {}).get("path", "").endswith(path.name):
            action["add"]["path"] = action["add"]["path"].replace("chunk=2024-03", "chunk=2024-02")
            action["add"]["partitionValues"]["chunk"] = "2024-02"
        if "landings" in action.get("commitInfo", {}):
            action["commitInfo"]["landings"] = action["commitInfo"]["landings"].replace(
                str(path.relative_to(folder(bench, "stock_day"))), str(moved)
            )

    path = live(bench, "stock_day")
    moved = str(path.relative_to(folder(bench, "stock_day"))).replace("chunk=2024-03", "chunk=2024-02")
    (folder(bench, "stock_day") / moved).parent.mkdir(parents=True)
    path.rename(folder(bench, "stock_day") / moved)
    edit(bench, "stock_day", other)

    assert "not all of 2024-02" in only(bench, "partition", deep=False).what


def test_partition_values_that_are_not_the_paths(bench: Workbench) -> None:
    path = live(bench, "stock_day")

    def other(action: dict[str, Any]) -> None:
        if action.get("add", {}).get("path", "").endswith(path.name):
            action["add"]["partitionValues"]["chunk"] = "2024-02"

    edit(bench, "stock_day", other)
    assert "the log has it in chunk=2024-02" in only(bench, "partition", deep=False).what


@pytest.mark.parametrize(
    ("where", "name", "value", "told"),
    [
        ("minValues", "ticker", "T010", "least ticker T010, not T000"),
        ("maxValues", "timestamp", "2024-03-07T06:00:00.000000Z", "greatest timestamp 2024-03-07T06:00:00.000000Z, not"),
        ("maxValues", "window_start", 5, "greatest window_start 5"),
        ("nullCount", "ticker", 3, "absent ticker 3, not 0"),
    ],
)
def test_statistics_of_the_log_that_are_not_the_footers(bench: Workbench, where: str, name: str, value: object, told: str) -> None:
    path = live(bench, "stock_day")

    def other(action: dict[str, Any]) -> None:
        if action.get("add", {}).get("path", "").endswith(path.name):
            stats = json.loads(action["add"]["stats"])
            stats[where][name] = value
            action["add"]["stats"] = json.dumps(stats)

    edit(bench, "stock_day", other)
    assert told in only(bench, "statistics", deep=False).what


def test_a_footer_that_says_other_things_than_its_rows(bench: Workbench, monkeypatch: pytest.MonkeyPatch) -> None:
    """Footer and log agree, for the log was told by the footer; both are wrong."""
    path = live(bench, "stock_day")
    told = Footer.stats

    def wrong(footer: Footer, table: Table) -> dict[str, Any]:
        stats = told(footer, table)
        stats["maxValues"]["ticker"] = "T020"
        return stats

    monkeypatch.setattr(Footer, "stats", wrong)
    rewrite(bench, STOCK_DAY, path, lambda rows: rows)
    found = [one for one in faults(bench) if one.where.endswith(path.name)]
    assert [one.what for one in found] == ["its footer says other things than its rows: greatest ticker T020, not T039"]


# ---------------------------------------------------------------------- rows


def swapped(rows: pl.DataFrame) -> pl.DataFrame:
    return rows[[0, 2, 1, *range(3, len(rows))]]


@pytest.mark.parametrize("name", ["stock_minute", "stock_trades"])
def test_two_rows_in_the_wrong_order(bench: Workbench, vendor: Path, name: str) -> None:
    rewrite(bench, find(name), live(bench, name), swapped)

    order = only(bench, "order")
    assert order.what.startswith("1 rows come before")
    mends(bench, vendor, order)


def test_a_ticker_in_two_places(bench: Workbench) -> None:
    rewrite(bench, STOCK_MINUTE, live(bench, "stock_minute"), lambda rows: pl.concat([rows[:5], rows[10:20], rows[5:10], rows[20:]]))

    assert "1 tickers stand in several places" in only(bench, "order").what


def test_hot_files_need_not_be_in_byte_order_and_cold_ones_must(tmp_path: Path) -> None:
    rows = pl.DataFrame({"ticker": ["B", "B", "A"], "date": [THU] * 3, "window_start": [1000, 2000, 1000]})
    rows.with_columns(timestamp=pl.from_epoch("window_start", "ns").dt.cast_time_unit("us").dt.replace_time_zone("UTC")).write_parquet(
        tmp_path / "a"
    )

    assert contents.examine(tmp_path / "a", STOCK_DAY, sorted_tickers=False).disordered == 0
    assert contents.examine(tmp_path / "a", STOCK_DAY, sorted_tickers=True).disordered == 1


def test_a_key_twice_in_a_file(bench: Workbench, vendor: Path) -> None:
    rewrite(bench, STOCK_DAY, live(bench, "stock_day"), lambda rows: pl.concat([rows[:3], rows[2:3], rows[4:]]))

    keys = only(bench, "keys")
    assert keys.what == "1 rows have the key of another (ticker, window_start)"
    mends(bench, vendor, keys)


def test_keys_that_differ_in_their_last_column_only_are_no_fault(bench: Workbench, vendor: Path) -> None:
    put(vendor, STOCK_TRADES, FRI, text([trade("T001", FRI, 7, sequence=n) for n in range(50)], TRADE))
    bench.refresh(source=f"folder:{vendor}").run()

    assert faults(bench) == []
    rewrite(bench, STOCK_TRADES, live(bench, "stock_trades", -1), lambda rows: pl.concat([rows[:49], rows[:1]]))
    assert only(bench, "keys").what.startswith("1 rows have the key of another (ticker, sip_timestamp, sequence_number)")


def test_a_key_in_two_files_hot_and_cold(cold: Workbench, vendor: Path) -> None:
    """Monday landed hot, and its file is given a row that the cold ones have."""
    put(vendor, STOCK_MINUTE, MON, text(minutes("T005", MON, 3)))
    cold.refresh(source=f"folder:{vendor}").run()
    [hot] = [folder(cold, "stock_minute") / file.path for file in cold.lake["stock_minute"].snapshot().files if file.bucket is None]
    known = cold.sql("SELECT * FROM stock_minute WHERE ticker = 'T005' AND date = '2024-03-08' LIMIT 1").pl()
    known = known.with_columns(pl.col("timestamp").dt.convert_time_zone("UTC"))
    rewrite(cold, STOCK_MINUTE, hot, lambda rows: pl.concat([known, rows]).cast(dict(rows.schema)))

    found = {one.kind: one for one in faults(cold)}
    assert found.keys() == {"keys", "rows"}
    assert "1 rows have the keys of rows of" in found["keys"].what
    assert found["rows"].what == "401 rows are there, and the landing records tell of 400"


def rows_of(path: Path, ticker: str) -> pl.DataFrame:
    return pl.read_parquet(path, hive_partitioning=False).filter(pl.col("ticker") == ticker)


def test_a_row_in_the_wrong_range(bench: Workbench) -> None:
    """The log tells how far it reaches, so that views find it: worth a note, and what puts it right."""
    a, b = live(bench, "stock_trades", 0), live(bench, "stock_trades", -1)
    stray = pl.read_parquet(b, hive_partitioning=False)[-1:]
    rewrite(bench, STOCK_TRADES, a, lambda rows: pl.concat([rows[:-1], stray]))

    assert faults(bench, deep=False) == []
    [misplaced] = [one for one in verify(bench.lake, deep=False).findings if one.kind == "range"]
    ticker = stray["ticker"][0]
    found = Workbench(bench.settings).sql("SELECT count(*) FROM stock_trades WHERE ticker = $t", t=ticker).fetchall()
    assert found == [(len(rows_of(b, ticker)) + 1,)]
    assert misplaced.severity == "note"
    assert misplaced.remedy.startswith("`workbench compact stock_trades`")
    for one in due(bench.lake["stock_trades"]):
        compact(bench.lake["stock_trades"], one)


def test_rows_that_no_record_tells_of(bench: Workbench, vendor: Path) -> None:
    rewrite(bench, STOCK_MINUTE, live(bench, "stock_minute"), lambda rows: rows[:-1])

    lost = only(bench, "rows")
    assert (lost.where, lost.what) == ("2024-03-07", "399 rows are there, and the landing records tell of 400")
    assert only(bench, "rows", deep=False) == lost
    mends(bench, vendor, lost)


def test_rows_lost_from_cold_files_are_seen_by_a_quick_look_too(cold: Workbench) -> None:
    rewrite(cold, STOCK_MINUTE, live(cold, "stock_minute", 1), lambda rows: rows[:-1])

    assert only(cold, "rows", deep=False).where == "2024-Q1"
    assert {one.kind for one in faults(cold)} == {"rows", "content"}


def test_a_timestamp_that_is_not_of_its_time(bench: Workbench) -> None:
    def later(rows: pl.DataFrame) -> pl.DataFrame:
        return rows.with_columns(pl.col("timestamp").dt.offset_by("1us"))

    rewrite(bench, STOCK_DAY, live(bench, "stock_day"), later)
    assert only(bench, "timestamp").what == "in 40 rows timestamp is not that of window_start"


ROWS = st.lists(st.tuples(st.sampled_from("ABC"), st.integers(0, 3)), min_size=1, max_size=12)


@hyp.settings(max_examples=50, deadline=None)
@hyp.given(rows=ROWS, tidy=st.booleans(), piece=st.integers(1, 12))
def test_order_and_keys_are_told_as_by_looking_at_all_pairs(
    tmp_path_factory: pytest.TempPathFactory, rows: list[tuple[str, int]], tidy: bool, piece: int
) -> None:
    rows = sorted(rows) if tidy else rows
    path = tmp_path_factory.mktemp("rows") / "rows.parquet"
    frame = pl.DataFrame({"ticker": [t for t, _ in rows], "date": [THU] * len(rows), "window_start": [n * 1000 for _, n in rows]})
    stamps = pl.from_epoch("window_start", "ns").dt.cast_time_unit("us").dt.replace_time_zone("UTC")
    frame.with_columns(timestamp=stamps).write_parquet(path)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(contents, "PIECE", piece)
        hot, cold = (contents.examine(path, STOCK_DAY, sorted_tickers=strict) for strict in (False, True))

    assert hot.repeated == cold.repeated == len(rows) - len(set(rows))
    assert (cold.disordered == 0 and cold.scattered == 0) == (rows == sorted(rows))
    runs = [t for n, (t, _) in enumerate(rows) if n == 0 or rows[n - 1][0] != t]
    assert hot.scattered == len(runs) - len(set(runs))
    assert hot.disordered == sum(a[0] == b[0] and a[1] > b[1] for a, b in pairwise(rows))
    assert (hot.rows, hot.lows["ticker"], hot.highs["window_start"]) == (len(rows), min(rows)[0], max(n for _, n in rows) * 1000)


# ---------------------------------------------------------------------- the log


@pytest.mark.parametrize("spoiled", ["", "{", '{"add": {"path": 3}}\n', '{"commitInfo":{"timestamp":"x"}}\n'])
def test_a_newest_commit_that_cannot_be_read(bench: Workbench, spoiled: str) -> None:
    version = bench.lake["stock_day"].snapshot().version
    log(bench, "stock_day", version).write_text(spoiled)

    damaged = only(bench, "log")
    assert damaged.where == str(log(bench, "stock_day", version))
    assert "from a backup" in damaged.remedy


def test_a_commit_missing_in_the_middle(bench: Workbench, vendor: Path) -> None:
    put(vendor, STOCK_DAY, MON, text([bar("AAA", MON)]))
    bench.refresh(source=f"folder:{vendor}").run()
    log(bench, "stock_day", 1).unlink()

    assert only(bench, "log", deep=False).where == str(log(bench, "stock_day", 1))


def test_a_log_without_its_beginning(bench: Workbench) -> None:
    log(bench, "stock_day", 0).unlink()

    assert only(bench, "log").where == str(log(bench, "stock_day", 0))


def test_a_log_that_is_gone(bench: Workbench) -> None:
    for path in (folder(bench, "stock_day") / "_delta_log").iterdir():
        path.unlink()

    assert "it is gone, and 2 data files are there" in only(bench, "log").what


def checkpointed(bench: Workbench) -> Path:
    from deltalake import DeltaTable

    DeltaTable(folder(bench, "stock_day")).create_checkpoint()
    return folder(bench, "stock_day") / "_delta_log"


@pytest.mark.parametrize("spoil", ["the pointer", "the checkpoint"])
def test_a_checkpoint_that_cannot_be_read(bench: Workbench, spoil: str) -> None:
    place = checkpointed(bench)
    assert faults(bench) == []
    [path] = place.glob("*.checkpoint.parquet" if spoil == "the checkpoint" else "_last_checkpoint")
    path.write_bytes(b"{")

    [fault] = faults(bench)
    assert fault.kind in ("checkpoint", "log")


def test_a_checkpoint_that_says_other_things_than_the_commits(bench: Workbench) -> None:
    place = checkpointed(bench)
    [path] = place.glob("*.checkpoint.parquet")
    import pyarrow.parquet as pq

    rows = pq.read_table(path)
    added = [n for n, one in enumerate(rows["add"].to_pylist()) if one]
    pq.write_table(rows.take([n for n in range(len(rows)) if n != added[0]]), path)

    found = faults(bench)
    assert [one.kind for one in found][:1] == ["checkpoint"]
    assert "_last_checkpoint" in found[0].remedy
    for one in (path, place / "_last_checkpoint"):
        one.unlink()
    assert faults(Workbench(bench.settings)) == []


def recorded(bench: Workbench, change: Callable[[dict[str, Any]], None]) -> None:
    """Change the landing records of a table."""

    def told(action: dict[str, Any]) -> None:
        if "landings" in action.get("commitInfo", {}):
            landings = json.loads(action["commitInfo"]["landings"])
            for one in landings:
                change(one)
            action["commitInfo"]["landings"] = json.dumps(landings)

    edit(bench, "stock_day", told)


def test_a_record_that_does_not_add_up(bench: Workbench) -> None:
    def other(one: dict[str, Any]) -> None:
        one["rows_in"] += one["session"] == "2024-03-08"

    recorded(bench, other)
    assert "had 41 rows, of which 40 landed and 0 were refused" in only(bench, "record", deep=False).what


def test_a_record_without_its_row_count(bench: Workbench) -> None:
    recorded(bench, lambda one: one.pop("rows"))

    assert {one.kind for one in faults(bench, deep=False)} == {"record"}


def test_a_record_of_other_rows_than_are_there(bench: Workbench) -> None:
    def other(one: dict[str, Any]) -> None:
        if one["session"] == "2024-03-08":
            one["rows"] -= 1
            one["rows_in"] -= 1

    recorded(bench, other)
    assert only(bench, "rows").what == "40 rows are there, and the landing records tell of 39"


# ---------------------------------------------------------------------- beside the tables


def test_a_quarantine_record_without_its_file(bench: Workbench, vendor: Path) -> None:
    put(vendor, STOCK_DAY, MON, b"", raw=True)
    bench.refresh(source=f"folder:{vendor}").run()
    assert faults(bench) == []
    [kept] = (bench.lake.root / "quarantine").rglob("*.csv.gz")
    kept.unlink()

    assert only(bench, "quarantine", deep=False).where == str(kept.relative_to(bench.lake.root))


def notes(found: Verified) -> dict[str, str]:
    return {one.kind: one.remedy for one in found.findings if one.severity == "note"}


def test_orphans_and_leftovers_are_notes(bench: Workbench) -> None:
    orphan = folder(bench, "stock_day") / "chunk=2024-03" / "lost.parquet"
    orphan.write_bytes(b"x")
    draft = bench.lake.root / "tmp" / "fetch" / "a.part"
    draft.parent.mkdir(parents=True)
    draft.touch()
    os.utime(draft, (time.time() - 30 * 86400,) * 2)

    found = verify(bench.lake)
    assert found.faults == []
    assert "workbench vacuum --yes" in notes(found)["orphans"]
    assert "workbench clean --yes" in notes(found)["leftovers"]


def test_replaced_files_are_no_finding(bench: Workbench, vendor: Path) -> None:
    put(vendor, STOCK_DAY, THU, text([bar(name, THU, close=11) for name in TICKERS]))
    bench.refresh(source=f"folder:{vendor}").run()

    assert verify(bench.lake).findings == []
