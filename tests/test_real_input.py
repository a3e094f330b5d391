"""Real sessions in the vendor's format, through a real S3 server with real credentials, into the lake.

The files stand beside the project and are not part of it; without them these tests skip, by name.
"""

from collections.abc import Iterator
from pathlib import Path

import pytest
from s3server import S3

from workbench.bench import Workbench
from workbench.config import Settings
from workbench.errors import BadKeys

FLATFILES = Path(__file__).resolve().parents[2] / "shared" / "flatfiles"
DATASETS = ["stock_day", "stock_minute", "stock_trades", "stock_quotes"]
ROWS = {"stock_day": 6_755, "stock_minute": 12_911, "stock_trades": 271_718, "stock_quotes": 35_772}
SESSIONS = {"stock_day": 504, "stock_minute": 12, "stock_trades": 2, "stock_quotes": 2}

pytestmark = [
    pytest.mark.s3,
    pytest.mark.skipif(not FLATFILES.is_dir(), reason="the real flat files are not beside the project"),
]


@pytest.fixture(scope="module")
def vendor(s3: S3) -> Iterator[S3]:
    s3.clear()
    for path in sorted(FLATFILES.rglob("*.csv.gz")):
        s3.put(str(path.relative_to(FLATFILES)), path.read_bytes())
    yield s3
    s3.clear()


def bench_on(vendor: S3, root: Path, **changed: str) -> Workbench:
    env = {
        "POLYGON_S3_ENDPOINT": vendor.endpoint,
        "POLYGON_S3_BUCKET": vendor.bucket,
        "POLYGON_S3_ACCESS_KEY": vendor.reader.access,
        "POLYGON_S3_SECRET_KEY": vendor.reader.secret,
    }
    return Workbench(Settings.load(env | changed, root, data=str(root / "lake")))


@pytest.fixture(scope="module")
def landed(vendor: S3, tmp_path_factory: pytest.TempPathFactory) -> Workbench:
    bench = bench_on(vendor, tmp_path_factory.mktemp("real"))
    summary = bench.refresh(start="2013-01-02", end="2014-12-31", datasets=DATASETS).run()
    assert summary.transferred == sum(path.stat().st_size for path in FLATFILES.rglob("*.csv.gz"))
    bad = [one for one in summary.done if one.outcome not in ("landed", "missing")]
    assert not bad
    return bench


@pytest.mark.parametrize("table", DATASETS)
def test_every_row_of_the_real_input_lands(landed: Workbench, table: str) -> None:
    assert landed.sql(f"SELECT count(*), count(DISTINCT date) FROM {table}").fetchall() == [(ROWS[table], SESSIONS[table])]
    records = landed.lake[table].landings().values()
    assert (sum(one.rows_in for one in records), sum(one.quarantined for one in records)) == (ROWS[table], 0)
    assert {one.source for one in records} == {"polygon_s3"}


def test_the_close_of_the_split_day_is_the_real_one(landed: Workbench) -> None:
    query = "SELECT close, volume FROM stock_day WHERE ticker = $ticker AND date = $day"
    assert landed.sql(query, ticker="AAPL", day="2014-06-09").fetchall() == [(93.7, 72_875_948.0)]


def test_a_second_refresh_transfers_nothing_and_moves_no_table(landed: Workbench) -> None:
    versions = {table: landed.lake[table].snapshot().version for table in DATASETS}

    summary = landed.refresh(start="2013-01-02", end="2014-12-31", datasets=DATASETS).run()

    assert summary.transferred == 0
    assert {one.outcome for one in summary.done} <= {"missing"}
    assert {table: landed.lake[table].snapshot().version for table in DATASETS} == versions


def test_a_folder_of_the_same_bytes_is_the_same_object(landed: Workbench) -> None:
    assert landed.plan(source=f"folder:{FLATFILES}").to_fetch == []


def test_missing_sessions_of_the_range_are_named(landed: Workbench) -> None:
    plan = landed.plan(start="2013-10-01", end="2013-10-11", datasets=["stock_minute"])
    assert [(step.action, str(step.session)) for step in plan] == [("missing", f"2013-10-0{n}") for n in (1, 2, 3)]


def test_wrong_keys_are_told_from_everything_else(vendor: S3, tmp_path: Path) -> None:
    bench = bench_on(vendor, tmp_path, POLYGON_S3_SECRET_KEY="not-the-secret")
    with pytest.raises(BadKeys, match="POLYGON_S3_SECRET_KEY"):
        bench.refresh(start="2014-06-09", end="2014-06-09")
    assert not bench.lake.exists
