"""A lake in a bucket, read: which requests a question costs, what this machine holds, and what a bucket that fails leads to.

Requests are counted by a proxy before a real S3 server, which also fails as it is told.
"""

import errno
import os
import re
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import duckdb
import farlake
import pytest
from farlake import FILES, QUARTERS, ticker
from farproxy import FarProxy, Trouble
from s3server import S3

import workbench
from workbench.bench import Workbench
from workbench.config import Settings
from workbench.errors import LakeError, SourceError, Unreachable, WorkbenchError
from workbench.lake.remote.connection import Remote
from workbench.lake.remote.where import remote_of
from workbench.query import rows as reading
from workbench.query.buckets import plainly

pytestmark = pytest.mark.s3

HTTPFS = duckdb.__version__.startswith("1.")
ours = pytest.mark.skipif(HTTPFS, reason="httpfs reads the bucket itself here")
# At most so many requests a file: its end, a longer end, and one for each of the three columns that are asked of a ticker's rows, if they stand apart.
A_FILE = 5


@pytest.fixture
def lake(far: Path, between: FarProxy, made_once: Callable[..., None], tmp_path: Path) -> Iterator[FarProxy]:
    """A lake of `farlake` in the bucket, behind the proxy; the same rows stand in `near`."""
    made_once(farlake.fill, tmp_path / "near")
    farlake.up(tmp_path / "near", far)
    reading.FOOTERS_READ = reading.Footers()
    with farlake.little():
        yield between
    reading.FOOTERS_READ = reading.Footers()


@pytest.fixture
def near(lake: FarProxy, tmp_path: Path) -> Iterator[Workbench]:
    with workbench.open(tmp_path / "near") as bench:
        yield bench


def bucket() -> Remote:
    remote = remote_of(Settings.load().root)
    assert remote
    return remote


def fresh() -> Workbench:
    """A session that has looked, and was asked something that no file answers; footers are in no memory."""
    reading.FOOTERS_READ = reading.Footers()
    bench = workbench.open()
    bench.sql("SELECT count(*) FROM stock_minute WHERE ticker = '~'").fetchall()
    return bench


def each(passed: FarProxy) -> Counter[str]:
    """How many requests were made for each data file."""
    return Counter(one.key.rpartition("/chunk=")[2] for one in passed.data())


SQL = "SELECT count(*), sum(close), min(timestamp) FROM stock_minute WHERE ticker = '{}'"


@pytest.mark.parametrize("ask", ["sql", "bars"])
def test_one_tickers_rows_cost_requests_for_the_files_of_its_range_only(lake: FarProxy, near: Workbench, ask: str) -> None:
    wanted = ticker(1, 7)
    with fresh() as bench:
        lake.clear()
        if ask == "sql":
            assert bench.sql(SQL.format(wanted)).fetchall() == near.sql(SQL.format(wanted)).fetchall()
        else:
            assert bench.bars(wanted, freq="1m").equals(near.bars(wanted, freq="1m"))
    files = each(lake)
    assert all("bucket=01/" in name or "bucket=__HIVE" in name for name in files), files
    cold = {name: count for name, count in files.items() if "bucket=01/" in name}
    assert 0 < len(cold) <= QUARTERS
    most = 12 if HTTPFS and ask == "sql" else A_FILE
    assert max(cold.values()) <= most, cold
    assert sum(one.received for one in lake.data() if "bucket=01/" in one.key) < 300_000 * QUARTERS


@ours
def test_nobody_asks_the_bucket_how_long_a_data_file_is_or_whether_it_is_there(lake: FarProxy) -> None:
    with fresh() as bench:
        bench.sql(SQL.format(ticker(0, 1))).fetchall()
        bench.bars(ticker(0, 2), freq="1m")
        bench.sql("SELECT count(*) FROM stock_minute").fetchall()
    assert not lake.of("head", r"\.parquet$")
    assert not lake.of("list", "chunk=")


@ours
@pytest.mark.parametrize("ask", ["sql", "bars"])
def test_a_second_session_fetches_no_footer_and_the_same_question_nothing(lake: FarProxy, ask: str) -> None:
    def put(bench: Workbench, which: str) -> object:
        return bench.sql(SQL.format(which)).fetchall() if ask == "sql" else bench.bars(which, freq="1m").rows()

    with fresh() as bench:
        first = put(bench, ticker(2, 3))
    sizes = {file.path: file.size for file in workbench.open().lake["stock_minute"].snapshot().files}
    with fresh() as bench:
        lake.clear()
        assert put(bench, ticker(2, 3)) == first
        assert not lake.data()
        put(bench, ticker(2, 50))
    assert lake.data(), "another ticker's rows are in other parts"
    for one in lake.data():
        _, end = map(int, one.range.removeprefix("bytes=").split("-"))
        assert end < sizes["chunk=" + one.key.rpartition("/chunk=")[2]] - 8, "a footer was fetched again"


def test_the_same_session_asked_again_fetches_nothing_by_bars(lake: FarProxy) -> None:
    with fresh() as bench:
        held = bench.bars(ticker(1, 1), freq="1m")
        lake.clear()
        assert bench.bars(ticker(1, 1), freq="1m").equals(held)
    assert not lake.data()


@ours
def test_a_hot_file_is_brought_whole_and_once(lake: FarProxy, near: Workbench) -> None:
    query = "SELECT ticker, sum(volume) FROM stock_minute WHERE date >= DATE '2025-04-01' GROUP BY ticker ORDER BY ticker"
    with fresh() as bench:
        assert bench.sql(query).fetchall() == near.sql(query).fetchall()
        bench.bars([ticker(0, 1), ticker(2, 9)], freq="1m", start="2025-04-01")
    hot = {name: count for name, count in each(lake).items() if "HIVE" in name}
    assert list(hot.values()) == [1, 1]


@ours
def test_a_file_of_which_many_parts_are_asked_is_brought_whole(lake: FarProxy, near: Workbench) -> None:
    with farlake.little(most=4), fresh() as bench:
        for n in range(0, farlake.TICKERS, 6):
            assert bench.bars(ticker(0, n), freq="1m").equals(near.bars(ticker(0, n), freq="1m"))
        assert max(each(lake).values()) <= 2 + 4 + 1
        lake.clear()
        assert bench.bars(ticker(0, 33), freq="1m").equals(near.bars(ticker(0, 33), freq="1m"))
    assert not lake.data()


def test_the_whole_table_is_what_it_is_on_disk(lake: FarProxy, near: Workbench) -> None:
    query = "SELECT date, count(*), sum(close), max(volume), count(DISTINCT ticker) FROM stock_minute GROUP BY date ORDER BY date"
    with fresh() as bench:
        assert bench.sql(query).fetchall() == near.sql(query).fetchall()
        if not HTTPFS:
            assert len(each(lake)) == FILES + len(farlake.HOT_DAYS)
            assert sum(one.received for one in lake.data()) < 3 * sum(file.size for file in bench.lake["stock_minute"].snapshot().files)


# ---------------------------------------------------------------------- the look


def test_a_look_costs_one_request_a_table_and_schema_at_most_once_a_second_for_all_sessions(lake: FarProxy) -> None:
    benches = [fresh() for _ in range(3)]
    time.sleep(1.1)
    lake.clear()
    began = time.monotonic()
    while time.monotonic() - began < 0.7:
        for bench in benches:
            bench.sql("SELECT 1").fetchall()
    # The schemas, the tables of `main`, those that people declared, and the next commit of the one table that there is.
    assert lake.counts() == {"list": 3, "head": 1}
    for bench in benches:
        bench.close()


# ---------------------------------------------------------------------- what is held


def test_no_more_is_held_than_the_limit_and_logs_stay(lake: FarProxy, near: Workbench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("workbench.lake.remote.held.PRESSED_S", 1.0)
    monkeypatch.setenv("WORKBENCH_CACHE_SIZE", "1MB")
    with fresh() as bench:
        for n in range(0, farlake.TICKERS, 9):
            for bucket_number in range(3):
                wanted = ticker(bucket_number, n)
                assert bench.bars(wanted, freq="1m").equals(near.bars(wanted, freq="1m"))
    held = bucket().held
    assert held.limit == 10**6
    time.sleep(1.1)
    held.make_room()
    assert 0 < held.size() <= held.limit
    assert list((bucket().root / "lake/main/stock_minute/_delta_log").glob("*.json"))


def test_what_was_used_longest_ago_goes_first_and_what_may_be_in_use_stays(lake: FarProxy) -> None:
    with fresh() as bench:
        bench.bars(ticker(0, 0), freq="1m")
        bench.bars(ticker(1, 0), freq="1m")
    held = bucket().held
    old = [path for _, _, path in held.files() if "bucket=00" in path]
    new = [path for _, _, path in held.files() if "bucket=01" in path]
    assert old
    assert new
    for path in old:
        os.utime(path, (0, 0))
    held.limit = held.size() - 1
    held.make_room()
    assert not all(Path(path).exists() for path in old)
    assert all(Path(path).exists() for path in new)
    held.limit = 0
    held.make_room()
    hot = [path for _, _, path in held.files()]
    assert hot, "whole files may be in use"
    assert all("HIVE" in path for path in hot)


def test_a_reader_whose_files_another_process_has_removed_fetches_them_again(lake: FarProxy, near: Workbench) -> None:
    with fresh() as bench:
        whole = near.bars(ticker(1, 2), freq="1m")
        assert bench.bars(ticker(1, 2), freq="1m").equals(whole)
        for _, _, path in bucket().held.files():
            Path(path).unlink()
        assert bench.bars(ticker(1, 2), freq="1m").equals(whole)
        query = SQL.format(ticker(1, 3))
        assert bench.sql(query).fetchall() == near.sql(query).fetchall()


def test_a_cache_of_nothing_reads_all_the_same(lake: FarProxy, near: Workbench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WORKBENCH_CACHE_SIZE", "0")
    with fresh() as bench:
        for n in (1, 2):
            assert bench.bars(ticker(1, n), freq="1m").equals(near.bars(ticker(1, n), freq="1m"))
            assert bench.sql(SQL.format(ticker(2, n))).fetchall() == near.sql(SQL.format(ticker(2, n))).fetchall()
    assert not list((bucket().root / "parts").rglob("*-*"))


# ---------------------------------------------------------------------- a bucket that fails


@pytest.mark.parametrize(
    "trouble",
    [
        Trouble("get", "parquet", times=1, status=503, code="SlowDown"),
        Trouble("get", "parquet", times=1, reset=True),
        Trouble("get", "parquet", times=1, cut=700),
    ],
)
@pytest.mark.parametrize("ask", ["sql", "bars"])
def test_a_failure_that_passes_is_not_noticed(lake: FarProxy, near: Workbench, trouble: Trouble, ask: str) -> None:
    with fresh() as bench:
        lake.troubles.append(Trouble(**(vars(trouble) | {"key": "bucket=01.*parquet", "met": 0})))
        if ask == "bars":
            assert bench.bars(ticker(1, 5), freq="1m").equals(near.bars(ticker(1, 5), freq="1m"))
        else:
            assert bench.sql(SQL.format(ticker(1, 5))).fetchall() == near.sql(SQL.format(ticker(1, 5))).fetchall()
        assert lake.troubles[0].met > 1


def test_a_bucket_that_stalls_in_the_middle_of_an_answer_is_given_up_with_a_sentence(lake: FarProxy) -> None:
    with fresh() as bench:
        farlake.quick(bucket())
        lake.troubles.append(Trouble("get", "bucket=01.*parquet", stall=30))
        began = time.monotonic()
        with pytest.raises(Unreachable, match=r"does not answer .*was not read\. Run the command again") as told:
            bench.bars(ticker(1, 5), freq="1m")
        assert time.monotonic() - began < 15
        assert "X-Amz" not in str(told.value)
        assert "Signature" not in str(told.value)


@ours
def test_a_bucket_that_stalls_under_a_query_is_given_up_with_a_sentence(lake: FarProxy) -> None:
    with fresh() as bench:
        farlake.quick(bucket())
        lake.troubles.append(Trouble("get", "bucket=01.*parquet", stall=30))
        began = time.monotonic()
        with pytest.raises(duckdb.Error, match=r"does not answer .*was not read\. Run the command again"):
            bench.sql(SQL.format(ticker(1, 5))).fetchall()
        assert time.monotonic() - began < 30


@ours
@pytest.mark.parametrize(
    ("trouble", "error", "says"),
    [
        ({"status": 500}, SourceError, "fails"),
        ({"cut": 700}, Unreachable, "does not answer"),
        ({"reset": True}, Unreachable, "does not answer"),
    ],
)
def test_a_bucket_that_goes_on_failing_gives_no_rows(
    lake: FarProxy, trouble: dict[str, Any], error: type[WorkbenchError], says: str
) -> None:
    with fresh() as bench:
        farlake.quick(bucket())
        lake.troubles.append(Trouble("get", "bucket=01.*parquet", **trouble))
        with pytest.raises(error, match=f"{says}.*was not read"):
            bench.bars(ticker(1, 5), freq="1m")
        with pytest.raises(duckdb.Error, match=f"{says}.*was not read"):
            bench.sql(SQL.format(ticker(1, 5))).fetchall()


def test_a_file_that_a_vacuum_elsewhere_removed_is_told_of(lake: FarProxy, s3: S3) -> None:
    with fresh() as bench:
        gone = [file.path for file in bench.lake["stock_minute"].snapshot().files if file.bucket == "01"]
        remote = bucket()
        for path in gone:
            remote.remove(f"lake/main/stock_minute/{path}")
        with pytest.raises(LakeError, match=r"is gone: a vacuum on another machine .*Run the query again"):
            bench.bars(ticker(1, 5), freq="1m")
        with pytest.raises(duckdb.Error, match=r"404|is gone"):
            bench.sql(SQL.format(ticker(1, 5))).fetchall()


@pytest.mark.parametrize("length", [400_000, 5_000_000])
def test_another_file_of_that_name_is_not_read(lake: FarProxy, length: int) -> None:
    with fresh() as bench:
        [path, *_] = [file.path for file in bench.lake["stock_minute"].snapshot().files if file.bucket == "01"]
        bucket().put_over(f"lake/main/stock_minute/{path}", os.urandom(length))
        with pytest.raises(LakeError, match=r"and the log tells of [\d,]+ bytes: it is another file; nothing of it was read"):
            bench.bars(ticker(1, 5), freq="1m")


def test_what_duckdb_says_of_our_faults_is_their_sentence() -> None:
    assert (
        plainly('Traceback (most recent call last):\n  File "x.py", line 1, in read\nworkbench.errors.Unreachable: it stalls')
        == "it stalls"
    )
    assert plainly("Binder Error: no such column: Error: x") == "Binder Error: no such column: Error: x"


# ---------------------------------------------------------------------- other places, and keys


def test_other_places_of_s3_are_read_too_and_not_held(lake: FarProxy, s3: S3) -> None:
    s3.admin.put_object(Bucket="lakes", Key="other/some.csv", Body=b"a,b\n1,2\n")
    with fresh() as bench:
        assert bench.sql("SELECT * FROM read_csv('s3://lakes/other/some.csv')").fetchall() == [(1, 2)]
    assert not list(bucket().root.rglob("*some*"))


@ours
def test_nobody_writes_into_the_lake_by_sql(lake: FarProxy) -> None:
    with fresh() as bench, pytest.raises(duckdb.Error, match="is inside the lake, which only the workbench's own verbs write"):
        bench.sql(f"COPY (SELECT 1) TO '{bucket().where}/lake/main/stock_minute/evil.parquet'")


def test_no_key_is_shown_to_whoever_asks(lake: FarProxy, s3: S3) -> None:
    with fresh() as bench:
        shown = str([bench.sql(f"SELECT * FROM {where}()").fetchall() for where in ("duckdb_secrets", "duckdb_settings")])
    assert s3.admin_keys.secret not in shown


@pytest.mark.parametrize("size", ["-1", "lots", "20", "20 parsecs"])
def test_a_cache_size_that_is_none_is_refused(size: str) -> None:
    with pytest.raises(WorkbenchError, match=r"cache_size is .* must be like 20GB"):
        Settings.load(env={"WORKBENCH_CACHE_SIZE": size})


def test_cache_sizes_are_bytes() -> None:
    sizes = {"0": 0, "20GB": 20 * 10**9, "1.5 MiB": 3 << 19, "7kb": 7000}
    assert {text: Settings.load(env={"WORKBENCH_CACHE_SIZE": text}).cache_bytes for text in sizes} == sizes
    assert re.fullmatch(r"\d+GB", Settings.load(env={}).cache_size)


@ours
@pytest.mark.parametrize("length", [0, 1000, None])
def test_a_file_that_is_here_in_part_only_is_brought_again(lake: FarProxy, near: Workbench, length: int | None) -> None:
    """As a machine leaves it that lost its power."""
    query = "SELECT sum(volume) FROM stock_minute WHERE date >= DATE '2025-04-01'"
    with fresh() as bench:
        whole = near.sql(query).fetchall()
        assert bench.sql(query).fetchall() == whole
    hot = [Path(path) for _, _, path in bucket().held.files() if "HIVE" in path]
    assert hot
    for path in hot:
        os.truncate(path, path.stat().st_size + 7 if length is None else length)
    bucket()._files.clear()
    with fresh() as bench:
        assert bench.sql(query).fetchall() == whole
        assert bench.bars(ticker(1, 5), freq="1m").equals(near.bars(ticker(1, 5), freq="1m"))


def test_a_disk_that_takes_no_more_is_no_fault_of_a_querys(lake: FarProxy, near: Workbench, monkeypatch: pytest.MonkeyPatch) -> None:
    with fresh() as bench:
        bucket().mirror._looked = time.monotonic() + 600

        def full(*_: object) -> None:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

        monkeypatch.setattr(Path, "replace", full)
        query = "SELECT sum(volume), count(*) FROM stock_minute WHERE date >= DATE '2025-04-01'"
        assert bench.sql(query).fetchall() == near.sql(query).fetchall()
        with pytest.raises(SourceError, match=r"takes no more \(No space left on device\): .* was not brought, .*workbench clean --cache"):
            bench.bars(ticker(1, 5), freq="1m")
        assert not [path for path in bucket().root.glob("tmp/coming/*") if path.is_file()]
