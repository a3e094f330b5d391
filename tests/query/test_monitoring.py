"""What the lake tells of itself under the names of PostgreSQL and TimescaleDB: chunks, sizes, tables, policies, statements."""

import shutil
import time
from collections.abc import Iterator
from datetime import date, datetime
from pathlib import Path
from threading import Thread
from types import MappingProxyType
from zoneinfo import ZoneInfo

import duckdb
import pyarrow as pa
import pytest
from flatfiles import FRI, MON, STOCK_DAY, STOCK_MINUTE, STOCK_TRADES, THU, TRADE, bar, minutes, put, text, trade

from workbench.bench import Workbench
from workbench.config import Settings
from workbench.errors import QueryError
from workbench.lake.snapshots import Snapshot
from workbench.policies import Age, Retention
from workbench.query import monitoring
from workbench.query.documented import below, every, standing
from workbench.tables import TABLES, Table
from workbench.tables.platforms import RECORDS

NEW_YORK = ZoneInfo("America/New_York")
OLD = date(2023, 12, 29)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Day bars of a Friday in 2023 and of three sessions of March 2024, minutes of one of these, trades of another; only 2023 is sealed."""
    made = tmp_path_factory.mktemp("monitored")
    for day in (OLD, THU, FRI, MON):
        put(made / "files", STOCK_DAY, day, text([bar(ticker, day) for ticker in ("ACME", "BETA")]))
    put(made / "files", STOCK_MINUTE, THU, text(minutes("ACME", THU, 5)))
    put(made / "files", STOCK_TRADES, FRI, text([trade("ACME", FRI, n) for n in range(3)], TRADE))
    # What is long over lands cold at once.
    with pytest.MonkeyPatch.context() as patched, opened(made) as bench:
        patched.setattr("workbench.lake.tiering.sealed", lambda table, chunk, *_, **__: chunk.startswith("2023"))
        bench.refresh(start=OLD, end=MON).run()
    return made


def opened(folder: Path) -> Workbench:
    kept = MappingProxyType({"stock_minute": Retention(Age(90, "year"), "archive")})
    return Workbench(Settings(data=str(folder / "data"), source=f"folder:{folder / 'files'}", retention=kept))


@pytest.fixture(scope="module")
def bench(folder: Path) -> Iterator[Workbench]:
    with opened(folder) as made:
        yield made


@pytest.fixture
def own(folder: Path, tmp_path: Path) -> Iterator[Workbench]:
    """A copy, to land more in."""
    shutil.copytree(folder, tmp_path / "own")
    with opened(tmp_path / "own") as made:
        yield made


def parquet(bench: Workbench, table: str, chunk: str = "*") -> int:
    """The bytes of a table's Parquet files on the disk that stand in a chunk's folder, but for those that were replaced."""
    live = {file.path for file in bench.snapshots()[table].files}
    folder = bench.lake[table].folder
    return sum(path.stat().st_size for path in folder.glob(f"chunk={chunk}/**/*.parquet") if str(path.relative_to(folder)) in live)


def vendors(folder: Path, table: Table, *days: date) -> int:
    """The bytes of the vendor's files of some sessions."""
    return sum((folder / "files" / table.key_of(table.feeds[0], day)).stat().st_size for day in days)


# ---------------------------------------------------------------------- chunks


def test_a_chunk_tells_its_range_its_files_and_what_landed_in_it(bench: Workbench, folder: Path) -> None:
    found = bench.sql(
        "SELECT chunk_schema, chunk_name, range_start, range_end, is_compressed, compression_status, total_bytes, "
        "before_compression_total_bytes, after_compression_total_bytes, num_files, num_rows FROM timescaledb_information.chunks "
        "WHERE hypertable_schema = 'main' AND hypertable_name = 'stock_day' ORDER BY range_start"
    ).fetchall()

    def first(year: int, month: int) -> datetime:
        return datetime(year, month, 1, tzinfo=NEW_YORK)

    cold, hot = parquet(bench, "stock_day", "2023"), parquet(bench, "stock_day", "2024-03")
    landed = vendors(folder, STOCK_DAY, OLD), vendors(folder, STOCK_DAY, THU, FRI, MON)
    files = len([file for file in bench.snapshots()["stock_day"].files if file.chunk == "2023"])
    assert cold
    assert hot
    assert found == [
        ("main", "stock_day_2023", first(2023, 1), first(2024, 1), True, "Compressed", cold, landed[0], cold, files, 2),
        ("main", "stock_day_2024-03", first(2024, 3), first(2024, 4), False, "Uncompressed", hot, landed[1], None, 3, 6),
    ]


def test_ticks_have_a_chunk_a_day(bench: Workbench, folder: Path) -> None:
    found = bench.sql(
        "SELECT hypertable_schema, hypertable_name, chunk_name, range_start, range_end, total_bytes, before_compression_total_bytes "
        "FROM timescaledb_information.chunks WHERE chunk_name LIKE 'stock_trades%' ORDER BY hypertable_schema"
    ).fetchall()

    day = datetime(2024, 3, 8, tzinfo=NEW_YORK), datetime(2024, 3, 9, tzinfo=NEW_YORK)
    told = ("stock_trades_2024-03-08", *day, parquet(bench, "stock_trades"), vendors(folder, STOCK_TRADES, FRI))
    assert found == [("historical", "trade", *told), ("main", "stock_trades", *told)]


def ohlcv(bench: Workbench) -> list[str]:
    query = "SELECT chunk_name FROM timescaledb_information.chunks WHERE hypertable_name = 'ohlcv' ORDER BY chunk_name"
    return [name for (name,) in bench.sql(query).fetchall()]


def test_ohlcv_has_the_chunks_of_minutes_and_of_the_days_that_have_no_minutes(own: Workbench, tmp_path: Path) -> None:
    assert ohlcv(own) == ["stock_day_2023", "stock_day_2024-03", "stock_minute_2024-03"]
    for day in (FRI, MON):
        put(tmp_path / "own" / "files", STOCK_MINUTE, day, text(minutes("ACME", day, 5)))
    own.refresh(start=OLD, end=MON).run()
    assert ohlcv(own) == ["stock_day_2023", "stock_minute_2024-03"]


def test_the_past_and_a_pin_show_the_chunks_that_were(own: Workbench, tmp_path: Path) -> None:
    put(tmp_path / "own" / "files", STOCK_MINUTE, OLD, text(minutes("ACME", OLD, 5)))
    with own.pin():
        before = ohlcv(own)
        Workbench(own.settings).refresh(start=OLD, end=MON).run()
        assert ohlcv(own) == before
    assert ohlcv(own) == ["stock_day_2024-03", "stock_minute_2023-Q4", "stock_minute_2024-03"]


def test_hypertables_are_what_lies_in_time(bench: Workbench) -> None:
    found = bench.sql(
        "SELECT hypertable_schema || '.' || hypertable_name, num_chunks, primary_dimension FROM timescaledb_information.hypertables"
    ).fetchall()
    told = {name: rest for name, *rest in found}

    assert told["main.stock_day"] == [2, "timestamp"]
    assert told["main.crypto_trades"] == [0, "timestamp"]
    assert told["market_data.ohlcv"] == [3, "timestamp"]
    assert told["shrek.stock_prices"] == [2, "date"]
    assert "main.splits" not in told
    assert "market_data.ohlcv_daily" not in told
    assert len(found) == len(told)
    aggregates = bench.sql(
        "SELECT hypertable_schema, hypertable_name, view_schema || '.' || view_name FROM timescaledb_information.continuous_aggregates"
    ).fetchall()
    assert {one[:2] for one in aggregates} == {("market_data", "ohlcv")}
    summed_up = {view.full for view in every().values() if "workbench.rolled_up" in {one.full for one in standing(view)}}
    assert {one[2] for one in aggregates} == {name for name in summed_up if not name.startswith("workbench.")}


def test_dimensions_and_settings_tell_how_a_chunk_lies(bench: Workbench) -> None:
    days = bench.sql(
        "SELECT hypertable_name, column_name, column_type, time_interval = INTERVAL 1 MONTH FROM timescaledb_information.dimensions "
        "WHERE hypertable_name IN ('ohlcv', 'stock_prices') ORDER BY 1"
    ).fetchall()
    lying = bench.sql(
        "SELECT attname, segmentby_column_index, orderby_column_index FROM timescaledb_information.compression_settings "
        "WHERE hypertable_name = 'ohlcv' ORDER BY attname"
    ).fetchall()

    assert days == [("ohlcv", "timestamp", "timestamp with time zone", True), ("stock_prices", "date", "date", True)]
    assert lying == [("symbol", 1, None), ("timestamp", None, 1)]


def test_policies_are_those_of_the_settings(bench: Workbench) -> None:
    jobs = bench.sql(
        "SELECT proc_name, scheduled, config->>'drop_after' FROM timescaledb_information.jobs WHERE hypertable_name = 'stock_minute' ORDER BY job_id"
    ).fetchall()
    assert jobs == [("policy_compression", True, None), ("policy_retention", True, "90 years")]
    [rolled] = bench.sql(
        "SELECT hypertable_name, application_name LIKE 'Refresh Continuous Aggregate Policy%', config->>'start_offset', config->>'end_offset' "
        "FROM timescaledb_information.jobs WHERE proc_name = 'policy_refresh_continuous_aggregate'"
    ).fetchall()
    assert rolled == ("stock_sessions", True, None, "0 days")


# ---------------------------------------------------------------------- sizes


# As PostgreSQL's own regression test of pg_size_pretty has them.
PRETTY = [
    (0, "0 bytes"),
    (10, "10 bytes"),
    (1000, "1000 bytes"),
    (1000000, "977 kB"),
    (1000000000, "954 MB"),
    (1000000000000, "931 GB"),
    (1000000000000000, "909 TB"),
    (10239, "10239 bytes"),
    (10240, "10 kB"),
    (10485247, "10239 kB"),
    (10485248, "10 MB"),
    (10736893951, "10239 MB"),
    (10736893952, "10 GB"),
    (10994579406847, "10239 GB"),
    (10994579406848, "10 TB"),
    (11258449312612351, "10239 TB"),
    (11258449312612352, "10 PB"),
]


def test_sizes_are_written_as_postgresql_writes_them(bench: Workbench) -> None:
    values = ", ".join(f"({size})" for size, _ in PRETTY)
    found = bench.sql(f"SELECT size, lake_size_pretty(size), lake_size_pretty(-1 * size) FROM (VALUES {values}) AS t(size)").fetchall()
    assert found == [(size, told, f"-{told}" if size else told) for size, told in PRETTY]
    [(null, least, column)] = bench.sql(
        "SELECT lake_size_pretty(NULL), lake_size_pretty(-9223372036854775808), (SELECT lake_size_pretty(sum(n)) FROM range(200) t(n))"
    ).fetchall()
    assert (null, least, column) == (None, "-8192 PB", "19 kB")


def test_the_lakes_size_counts_each_file_once(bench: Workbench) -> None:
    whole = sum(parquet(bench, name) for name in TABLES)
    assert whole >= sum(parquet(bench, name) for name in ("stock_day", "stock_minute", "stock_trades")) > 0
    assert bench.sql("SELECT lake_database_size()").fetchall() == [(whole,)]


def test_a_tables_size_is_that_of_the_files_behind_it(bench: Workbench) -> None:
    day, minute = parquet(bench, "stock_day"), parquet(bench, "stock_minute")
    names = {
        "stock_day": day,
        "main.stock_day": day,
        "STOCK_MINUTE": minute,
        '"market_data"."ohlcv"': day + minute,
        "ohlcv": day + minute,
        "shrek.stock_prices": day,
        "kraken_bot.trades": 0,
        "market_data.ohlcv_archive": 0,
    }
    for name, size in names.items():
        assert bench.sql("SELECT lake_relation_size($name)", name=name).fetchall() == [(size,)], name
    assert bench.sql("SELECT lake_relation_size(NULL)").fetchall() == [(None,)]


@pytest.mark.parametrize("name", ["nothing", "trades", "main.ohlcv", ""])
def test_the_size_of_what_there_is_not_or_what_may_be_several_is_an_error(bench: Workbench, name: str) -> None:
    with pytest.raises(duckdb.Error, match=f'relation "{name}" is no table of the lake, or several; its size was not told'):
        bench.sql("SELECT lake_relation_size($name)", name=name).fetchall()


def test_rows_that_people_wrote_count_to_their_table_and_to_the_lake(bench: Workbench) -> None:
    written = Snapshot(0, pa.table({"size": [1000], "path": ["a.parquet"], "rows": [7]}))
    told = monitoring.Monitoring(
        bench.lake, bench.snapshots(), bench.settings, lambda: {"market_data.ohlcv": written, "kraken_bot.trades": written}
    )
    rows = {(schema, name): (files, size, own) for schema, name, _, files, _, size, own, *_ in told.relations()}
    behind = parquet(bench, "stock_day") + parquet(bench, "stock_minute")

    assert rows["kraken_bot", "trades"] == (1, 1000, 1000)
    assert rows["market_data", "ohlcv"][1:] == (behind + 1000, 1000)
    assert rows["main", "stock_day"][2] == parquet(bench, "stock_day")


def test_every_table_is_listed_once_and_all_sizes_can_be_asked_at_once(bench: Workbench) -> None:
    found = bench.sql(
        "SELECT schemaname || '.' || tablename, lake_relation_size(schemaname || '.' || tablename) AS size FROM workbench.pg_tables "
        "WHERE schemaname NOT IN ('pg_catalog', 'information_schema') ORDER BY size DESC"
    ).fetchall()
    assert sorted(name for name, _ in found) == sorted([*(f"main.{name}" for name in TABLES), *RECORDS])
    assert dict(found)["main.stock_trades"] == parquet(bench, "stock_trades")
    assert found[0][1] == max(size for _, size in found)


# ---------------------------------------------------------------------- asked


def test_what_was_asked_is_counted_and_timed(bench: Workbench) -> None:
    for _ in range(3):
        bench.sql("SELECT 41 + 1").fetchall()
    with pytest.raises(QueryError):
        bench.sql("SELECT nothing")
    found = bench.sql(
        "SELECT query, calls, total_time > 0, mean_time = total_time / calls, min_time <= max_time, rows FROM workbench.pg_stat_statements "
        "WHERE query IN ('SELECT 41 + 1', 'SELECT nothing')"
    ).fetchall()
    assert found == [("SELECT 41 + 1", 3, True, True, True, None)]


def test_of_a_long_text_the_beginning_is_kept() -> None:
    asked = monitoring.Asked()
    for n in range(3):
        asked.add("SELECT '" + "x" * 1_000_000 + f"{n}'", 0.001)
    [row] = asked.rows()
    assert len(row[0]) == monitoring.LONGEST + 1
    assert row[1] == 3


def test_the_texts_that_were_asked_last_are_kept_and_threads_count_together() -> None:
    asked = monitoring.Asked()

    def ask() -> None:
        for _ in range(1000):
            asked.add("same", 0.001)

    threads = [Thread(target=ask) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [row[:2] for row in asked.rows()] == [("same", 4000)]
    for n in range(monitoring.KEPT - 1):
        asked.add(str(n), 0.002)
    asked.add("same", 0.003)
    asked.add("one more", 0)
    kept = {row[0]: row for row in asked.rows()}
    assert len(kept) == monitoring.KEPT
    assert "0" not in kept
    assert kept["same"][1:5] == (4001, pytest.approx(4003), pytest.approx(1), pytest.approx(3))


# ---------------------------------------------------------------------- cost


def test_no_view_stands_on_itself() -> None:
    def reached(name: str, inside: tuple[str, ...] = ()) -> None:
        assert name not in inside, f"{' → '.join((*inside, name))}: what is said of a view must not name one that stands on it"
        for other in below()[name]:
            reached(other.full, (*inside, name))

    for name in every():
        reached(name)


def test_twenty_years_of_ticks_are_told_within_a_second(bench: Workbench, monkeypatch: pytest.MonkeyPatch) -> None:
    days, buckets = 5000, 16
    chunks = [str(date.fromordinal(730_000 + n)) for n in range(days)]
    stats = pa.table(
        {
            "path": [f"chunk={chunk}/bucket={n}/a.parquet" for chunk in chunks for n in range(buckets)],
            "size": [n + 1 for _ in chunks for n in range(buckets)],
            "rows": [10] * (days * buckets),
            "chunk": [chunk for chunk in chunks for _ in range(buckets)],
            "bucket": [f"{n:02}" for _ in chunks for n in range(buckets)],
        }
    )
    monkeypatch.setattr(bench.lake["stock_trades"], "landings", lambda version: {})
    began = time.process_time()
    found = monitoring.chunks(bench.lake, "stock_trades", Snapshot(7, stats))

    assert time.process_time() - began < 1
    assert len(found.known) == days
    assert found.known[chunks[9]] == monitoring.Chunk(chunks[9], buckets, 160, 136, True, 0)
