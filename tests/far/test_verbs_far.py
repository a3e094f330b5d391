"""Every verb that reads, of a lake in a bucket: it says what it says of the same lake on disk."""

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import duckdb
import farlake
import pytest
from s3server import S3

import workbench
from workbench.bench import Workbench
from workbench.config import Settings
from workbench.lake.remote.where import remote_of
from workbench.query.catalog import Catalog
from workbench.query.export import declarations, export

pytestmark = pytest.mark.s3

DATASETS = ["stock_day", "stock_minute", "stock_trades", "stock_quotes", "splits", "dividends"]


def landed(root: Path) -> None:
    """A few sessions of made-up data, of all kinds."""
    with Workbench(Settings.load(env={}, data=str(root), source="sample")) as bench:
        bench.refresh(days=2, datasets=DATASETS).run()


@pytest.fixture
def both(far: Path, made_once: Callable[..., None], tmp_path: Path) -> Iterator[tuple[Workbench, Workbench]]:
    """The same lake on disk and in the bucket."""
    made_once(landed, tmp_path / "near")
    shutil.rmtree(tmp_path / "near" / "journal", ignore_errors=True)
    farlake.up(tmp_path / "near", far)
    with workbench.open(tmp_path / "near") as near, workbench.open() as there:
        yield near, there


def day(bench: Workbench) -> Any:
    found = bench.sql("SELECT max(date) FROM stock_day")
    return found.fetchall()[0][0]


def rows(report: Any) -> list[dict[str, Any]]:
    return [{name: value for name, value in row.items() if "at" not in name} for row in report]


ASKED: dict[str, Callable[[Workbench], Any]] = {
    "bars": lambda bench: bench.bars(["AAPL", "MSFT"], freq="1m").rows(),
    "adjusted": lambda bench: bench.bars("AAPL", freq="1d", adjusted="all").rows(),
    "resampled": lambda bench: bench.bars("AAPL", freq="15m").rows(),
    "trades": lambda bench: bench.trades("AAPL", day(bench)).rows(),
    "quotes": lambda bench: bench.quotes("AAPL", day(bench)).rows(),
    "trades with quotes": lambda bench: bench.trades_with_quotes("AAPL", day(bench)).rows(),
    "bars from trades": lambda bench: bench.bars_from_trades("AAPL", day(bench)).rows(),
    "status": lambda bench: rows(bench.status()),
    "coverage": lambda bench: rows(bench.coverage("stock_minute")),
    "gaps": lambda bench: rows(bench.gaps("stock_day")),
    "gaps of the market": lambda bench: rows(bench.gaps("stock_minute", by="market")),
    "quality": lambda bench: rows(bench.quality("stock_minute")),
    "views": lambda bench: bench.sql("SELECT count(*) FROM adjusted_bars('AAPL', bar_size := '1d')").fetchall(),
    "newest": lambda bench: bench.sql("SELECT * FROM stock_minute WHERE ticker = 'AAPL' ORDER BY timestamp DESC LIMIT 3").fetchall(),
    "several": lambda bench: bench.sql(
        "SELECT ticker, sum(volume) FROM stock_day WHERE ticker IN ('AAPL', 'MSFT') GROUP BY ALL ORDER BY ALL"
    ).fetchall(),
}


@pytest.mark.parametrize("verb", ASKED)
def test_a_verb_says_the_same(both: tuple[Workbench, Workbench], verb: str) -> None:
    near, there = both
    told = ASKED[verb](there)
    assert told == ASKED[verb](near)


def test_titles_name_the_bucket_and_not_this_machines_folder(both: tuple[Workbench, Workbench]) -> None:
    _, there = both
    where = remote_of(there.lake.root)
    assert where
    for report in (there.status(), there.coverage("stock_day"), there.gaps("stock_day"), there.quality("stock_day")):
        assert str(there.lake.root) not in f"{report.title} {report.facts}"
    assert there.status().title.startswith(f"{where.where}: ")


def test_a_pin_and_an_instant_hold_what_was(both: tuple[Workbench, Workbench]) -> None:
    _, there = both
    count = "SELECT count(*) FROM stock_day"
    [(held,)] = there.sql(count).fetchall()
    with workbench.open(as_of=there.lake["stock_day"].commits()[-1].at) as then:
        assert then.sql(count).fetchall() == [(held,)]
    with there.pin():
        assert there.sql(count).fetchall() == [(held,)]


def test_printed_views_name_the_bucket_say_what_they_need_and_show_no_key(both: tuple[Workbench, Workbench], s3: S3) -> None:
    _, there = both
    text = declarations(there.lake, there.snapshots())
    assert text.startswith(f"-- These views read {remote_of(there.lake.root).where}: have DuckDB reach it first")  # type: ignore[union-attr]
    assert "read_parquet(['s3://" in text
    assert str(there.lake.root) not in text
    assert s3.admin_keys.secret not in text
    assert s3.admin_keys.access not in text
    con = duckdb.connect()
    if duckdb.__version__.startswith("1."):
        from importlib import resources

        wheel = resources.files("duckdb_extension_httpfs") / "extensions" / f"v{duckdb.__version__}" / "httpfs.duckdb_extension"
        con.execute(f"LOAD '{wheel}'")
        keys = f"KEY_ID '{s3.admin_keys.access}', SECRET '{s3.admin_keys.secret}', ENDPOINT '{s3.endpoint.partition('//')[2]}', URL_STYLE 'path'"
        con.execute(f"CREATE SECRET (TYPE s3, {keys}, USE_SSL false, REGION 'us-east-1')")
    else:
        import s3fs

        con.register_filesystem(s3fs.S3FileSystem(key=s3.admin_keys.access, secret=s3.admin_keys.secret, endpoint_url=s3.endpoint))
    con.execute(text)
    count = "SELECT count(*), sum(close) FROM stock_day"
    # Sums depend on the order of threads.
    assert con.execute(count).fetchone() == pytest.approx(there.sql(count).fetchall()[0])


def test_an_export_is_the_same_file(both: tuple[Workbench, Workbench], tmp_path: Path) -> None:
    near, there = both
    for name, bench in (("a", near), ("b", there)):
        export(bench.con, bench.lake, "stock_day", tmp_path / f"{name}.csv", "csv")
    assert (tmp_path / "a.csv").read_bytes() == (tmp_path / "b.csv").read_bytes()


def test_a_locked_session_reads_the_lake_and_nothing_else_of_s3(both: tuple[Workbench, Workbench], s3: S3) -> None:
    _, there = both
    remote = remote_of(there.lake.root)
    assert remote
    s3.admin.put_object(Bucket="lakes", Key="canary.csv", Body=b"a\nno-one-is-to-read-this\n")
    beside = f"{remote.where}2/lake/canary.csv"
    s3.admin.put_object(Bucket="lakes", Key=beside.removeprefix("s3://lakes/"), Body=b"a\nno-one-is-to-read-this\n")
    locked = Catalog(there.settings, there.lake, locked=True)
    try:
        con = locked.fresh()
        assert con.execute("SELECT count(*) FROM stock_day").fetchall() == there.sql("SELECT count(*) FROM stock_day").fetchall()
        shown = []
        for query in (
            "SELECT * FROM read_csv('s3://lakes/canary.csv')",
            f"SELECT * FROM read_csv('{beside}')",
            f"SELECT * FROM read_text('{remote.where}/lake.json')",
            "SELECT * FROM glob('s3://lakes/*')",
            "SELECT * FROM duckdb_secrets()",
            "SELECT * FROM duckdb_secrets(redact := false)",
            "SELECT current_setting('s3_secret_access_key')",
            "SELECT value FROM duckdb_settings() WHERE name LIKE 's3%'",
        ):
            try:
                shown.append(str(con.execute(query).fetchall()))
            except duckdb.Error as fault:
                shown.append(str(fault))
        told = " ".join(shown)
        assert "no-one-is-to-read-this" not in told
        assert s3.admin_keys.secret not in told
    finally:
        locked.close()
