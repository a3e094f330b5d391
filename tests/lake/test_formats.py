"""Upgrades: a lake that the first release made, read, written to and brought forward; columns that are declared later; a crash in between."""

import json
import zipfile
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from deltalake import DeltaTable
from flatfiles import BAR, FRI, MON, STOCK_DAY, THU, bar, put, text

from workbench import tables
from workbench.bench import Workbench
from workbench.config import Settings
from workbench.errors import NewerLake
from workbench.lake import formats
from workbench.lake.identity import FORMAT, identity
from workbench.lake.journal import Journal
from workbench.lake.operations import Operations
from workbench.lake.store import Lake
from workbench.tables.spec import Column

# Written by the library as it was when it first landed anything, of two sessions of day bars, of which one was published twice, and ten minutes.
FIRST = Path(__file__).parent.parent / "firstlake.zip"
VWAP = Column("vwap", "DOUBLE", "A price that files have since.", required=False)
WIDER = replace(STOCK_DAY, vendor=(*STOCK_DAY.vendor, VWAP), short_headers=(STOCK_DAY.headers[0],))
FEEDS = "kraken_bot.rss_feeds"
BEFORE = [("AAA", THU, 10.5), ("AAA", FRI, 10.8), ("BBB", THU, 10.25)]


@pytest.fixture
def root(tmp_path: Path) -> Path:
    with zipfile.ZipFile(FIRST) as kept:
        kept.extractall(tmp_path / "lake")
    return tmp_path / "lake"


@pytest.fixture
def bench(root: Path) -> Iterator[Workbench]:
    with Workbench(Settings.load(env={}, data=str(root))) as made:
        yield made


@pytest.fixture
def wider(monkeypatch: pytest.MonkeyPatch) -> None:
    """Have a later library declare one more column."""
    monkeypatch.setitem(tables.TABLES, "stock_day", WIDER)
    [feed] = WIDER.feeds
    monkeypatch.setitem(tables._FEEDS, feed.prefix, (WIDER, feed))


def rows(bench: Workbench) -> list[Any]:
    return bench.sql("SELECT ticker, date, close FROM stock_day ORDER BY ALL").fetchall()


def faults(bench: Workbench) -> list[dict[str, object]]:
    return [row for row in bench.verify().rows if row["severity"] == "fault"]


def land(bench: Workbench, folder: Path, *, wide: bool) -> None:
    """Land Monday, in a file of the wider header or of the one of before."""
    content = text([f"{bar('AAA', MON)},10.33"], f"{BAR},vwap") if wide else text([bar("AAA", MON)])
    put(folder, STOCK_DAY, MON, content)
    run = bench.refresh(source=f"folder:{folder}", datasets=["stock_day"], start=MON, end=MON).run()
    assert [row["landed"] for row in run.rows] == [1], run


# ---------------------------------------------------------------------- as it is


def test_it_is_read_as_it_is_and_nothing_is_written(bench: Workbench, root: Path) -> None:
    before = {path for path in root.rglob("*") if path.is_file()}
    assert rows(bench) == BEFORE
    assert bench.sql("SELECT count(*) FROM stock_minute").fetchall() == [(10,)]
    assert len(bench.bars("AAA", THU, FRI)) == 2
    assert faults(bench) == []
    assert [(row["what"], row["who"], row["source"]) for row in bench.history("stock_day")] == [
        ("replaced", "", "folder"),
        ("landed", "", "folder"),
        ("made", "", ""),
    ]
    assert bench.diff("stock_day", 1).facts["changed"] == 1
    assert identity(root).format == 1
    left = {path for path in root.rglob("*") if path.is_file()} - before
    assert {path.relative_to(root).parts[0] for path in left} <= {"locks", "logs", "tmp"}


def test_a_write_gives_it_its_name_and_leaves_its_rows(bench: Workbench, root: Path, tmp_path: Path) -> None:
    land(bench, tmp_path / "vendor", wide=False)
    assert (identity(root).format, len(identity(root).id)) == (FORMAT, 32)
    assert rows(bench) == sorted([*BEFORE, ("AAA", MON, 10.5)])
    assert faults(bench) == []
    bench.rewind("stock_day", version=1)
    assert rows(bench)[1] == ("AAA", FRI, 10.75)
    assert faults(bench) == []


def test_it_is_brought_forward_once(bench: Workbench, root: Path) -> None:
    said = bench.migrate()
    assert [row["what"] for row in said] == ["format"]
    assert (said.facts["dry_run"], said.facts["format"], identity(root).format) == (True, 1, 1)
    assert [row["what"] for row in bench.migrate(dry_run=False)] == ["format"]
    named = identity(root)
    assert named.format == FORMAT
    assert bench.migrate(dry_run=False).rows == []
    assert identity(root) == named
    assert rows(bench) == BEFORE


def test_a_newer_lake_is_not_migrated(bench: Workbench, root: Path) -> None:
    (root / "lake.json").write_text(json.dumps({"format": 99, "id": "a", "made_by": "9.9"}))
    with pytest.raises(NewerLake, match="nothing was changed"):
        bench.migrate(dry_run=False)


def test_settings_that_a_table_lacks_are_made(bench: Workbench) -> None:
    table = bench.lake["stock_day"]
    path = table.commit_path(0)
    path.write_text(path.read_text().replace('"delta.checkpointInterval":"100"', '"delta.other":"100"'))
    assert ("settings", "stock_day", "delta.checkpointInterval = 100") in [tuple(row.values()) for row in bench.migrate()]
    bench.migrate(dry_run=False)
    assert DeltaTable(table.folder).metadata().configuration["delta.checkpointInterval"] == "100"
    assert bench.migrate().rows == []
    assert rows(bench) == BEFORE


def test_journals_get_the_tables_of_this_version(bench: Workbench, root: Path) -> None:
    import sqlite3

    bench.append(FEEDS, {"url": "u", "name": "A"})
    bench.close()
    con = sqlite3.connect(Operations(root).path)
    con.execute("DROP TABLE imports")
    con.execute("PRAGMA user_version = 1")
    con.close()
    assert [row["what"] for row in bench.migrate()] == ["journal"]
    bench.migrate(dry_run=False)
    assert bench.migrate().rows == []
    con = sqlite3.connect(Operations(root).path)
    assert con.execute("SELECT count(*) FROM imports").fetchall() == [(0,)]
    con.close()
    assert bench.sql(f"SELECT url FROM {FEEDS}").fetchall() == [("u",)]
    assert Journal(root).attempts() == []


# ---------------------------------------------------------------------- one more column


@pytest.mark.usefixtures("wider")
@pytest.mark.parametrize("first", ["as it is", "migrated"])
def test_a_table_with_one_more_column_is_read_landed_and_compacted(bench: Workbench, tmp_path: Path, first: str) -> None:
    if first == "migrated":
        assert [(row["what"], row["detail"]) for row in bench.migrate(dry_run=False)][1] == (
            "columns",
            "added, NULL in the rows of before: vwap",
        )
    asked = "SELECT ticker, date, close, vwap FROM stock_day ORDER BY ALL"
    assert bench.sql(asked).fetchall() == [(*row, None) for row in BEFORE]
    assert len(bench.bars("AAA", THU, FRI)) == 2
    assert faults(bench) == []

    land(bench, tmp_path / "vendor", wide=True)
    held = [(*BEFORE[0], None), (*BEFORE[1], None), ("AAA", MON, 10.5, 10.33), (*BEFORE[2], None)]
    assert bench.sql(asked).fetchall() == held
    assert bench.sql("SELECT vwap FROM stock_day WHERE ticker = 'AAA' AND date = $day", day=MON).fetchall() == [(10.33,)]
    assert bench.sql("SELECT count(*) FROM stock_day WHERE vwap > 10").fetchall() == [(1,)]
    assert len(bench.bars("AAA", THU, MON)) == 3
    assert faults(bench) == []
    assert "vwap" in [field.name for field in DeltaTable(bench.lake["stock_day"].folder).schema().fields]
    assert bench.diff("stock_day", 2).facts["added"] == 1

    bench.compact(["stock_day"], everything=True)
    assert len(bench.lake["stock_day"].snapshot().files) == 1
    assert bench.sql(asked).fetchall() == held
    assert faults(bench) == []
    assert bench.migrate().rows == [] or first == "as it is"
    assert [row["what"] for row in bench.history("stock_day")].count("columns added") == 1
    # And back to where no file had it.
    bench.rewind("stock_day", version=2)
    assert bench.sql(asked).fetchall() == [(*row, None) for row in BEFORE]
    assert faults(bench) == []


@pytest.mark.usefixtures("wider")
@pytest.mark.parametrize("point", ["set_table_properties", "add_columns"])
def test_a_crash_in_between_goes_on(bench: Workbench, root: Path, monkeypatch: pytest.MonkeyPatch, point: str) -> None:
    from deltalake.table import TableAlterer

    def killed(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patched, pytest.raises(KeyboardInterrupt):
        patched.setattr(TableAlterer, point, killed)
        bench.migrate(dry_run=False)
    asked = "SELECT count(*), count(vwap) FROM stock_day"
    assert bench.sql(asked).fetchall() == [(3, 0)]
    assert [row["what"] for row in bench.migrate()] == ["columns"]
    bench.migrate(dry_run=False)
    assert bench.migrate().rows == []
    assert bench.sql(asked).fetchall() == [(3, 0)]
    assert faults(bench) == []
    # Without the declaration of the later library the column is there, and hidden.
    monkeypatch.setitem(tables.TABLES, "stock_day", STOCK_DAY)
    with Workbench(Settings.load(env={}, data=str(root))) as before:
        assert rows(before) == BEFORE


def test_a_table_that_people_write_gets_a_column(bench: Workbench, monkeypatch: pytest.MonkeyPatch) -> None:
    from workbench.lake import declared
    from workbench.tables.platforms import RECORDS
    from workbench.tables.record import Field

    bench.append(FEEDS, {"url": "old", "name": "A"})
    bench.fold()
    record = RECORDS[FEEDS]
    more = replace(record, columns=(*record.columns, Field("stars", "INTEGER", "How many.", required=False)))
    monkeypatch.setitem(RECORDS, FEEDS, more)
    assert declared.records(bench.lake.root)[FEEDS] is more
    with Workbench(bench.settings) as later:
        assert ("columns", FEEDS, "added, NULL in the rows of before: stars") in [tuple(row.values()) for row in later.migrate()]
        asked = f"SELECT url, stars FROM {FEEDS} ORDER BY url"
        assert later.sql(asked).fetchall() == [("old", None)]
        later.append(FEEDS, {"url": "new", "name": "B", "stars": 5})
        assert later.sql(asked).fetchall() == [("new", 5), ("old", None)]
        later.fold()
        assert later.sql(asked).fetchall() == [("new", 5), ("old", None)]
        assert later.diff(FEEDS, 1).facts["added"] == 1
        assert "stars" in [field.name for field in DeltaTable(Lake(bench.lake.root).root / "lake/kraken_bot/rss_feeds").schema().fields]
        assert formats.plan(later.lake) == []
