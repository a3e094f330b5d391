"""The lake as engines read it that know nothing of the workbench: the same rows as `bench.sql`, of every table, version and condition."""

import re
import shutil
import uuid
from collections.abc import Iterator, Mapping
from contextlib import nullcontext
from dataclasses import dataclass, field, replace
from datetime import date, datetime, timedelta
from importlib.util import find_spec
from pathlib import Path

import duckdb
import pytest
from click.testing import CliRunner
from deltalake import DeltaTable
from flatfiles import STOCK_DAY, STOCK_MINUTE, STOCK_TRADES
from s3server import S3

from interop.engines import CLI, ENGINES, LOCAL_ONLY, NUMBERS, Asked, Condition, Facts, Place, by_sql, duck, duckdb_cli
from interop.everystate import FEBRUARY, FLAGS, HOT, OWN, SIGNALS, WIDE_DAY, fill, litter, opened, widen, wider
from workbench.bench import Workbench
from workbench.cli import main
from workbench.lake.vacuum import vacuum

BASE = ("stock_day", "stock_minute", "stock_trades", "ohlcv_archive", "stock_sessions", "splits")
PEOPLE = (SIGNALS, FLAGS, OWN)
EVERY = (*BASE, *PEOPLE)
DAYS, MINUTES, TRADES = STOCK_DAY.name, STOCK_MINUTE.name, STOCK_TRADES.name


@dataclass
class Ground:
    """The lake, opened by us, and where others find its tables."""

    bench: Workbench
    home: Path
    url: str
    options: Mapping[str, str]
    told: dict[tuple[str, Asked, int | None], Facts] = field(default_factory=dict)

    def place(self, table: str, version: int | None = None) -> Place:
        schema, _, name = table.rpartition(".")
        return Place(f"{self.url}/{schema or 'main'}/{name}", version, self.options)

    def asked(self, table: str, *where: Condition) -> Asked:
        """What a table has to be asked for, as DuckDB describes it."""
        columns = self.bench.sql(f"DESCRIBE {table}").fetchall()
        instants = [name for name, kind, *_ in columns if kind == "TIMESTAMP WITH TIME ZONE"]
        texts = [name for name, kind, *_ in columns if kind == "VARCHAR"]
        numbers = tuple(name for name, kind, *_ in columns if kind.startswith(NUMBERS))
        return Asked(numbers, instants[0] if instants else None, texts[0] if texts else None, where)

    def expected(self, table: str, asked: Asked, version: int | None = None, at: datetime | None = None) -> Facts:
        """What `bench.sql` says, of now or of a version that was the newest at an instant; it is asked once, for all engines."""
        key = (table, asked, version)
        if key not in self.told:
            with opened(self.bench.settings.data, as_of=at) if at else nullcontext(self.bench) as bench:
                self.told[key] = expected(bench, table, asked)
        return self.told[key]


def expected(bench: Workbench, table: str, asked: Asked) -> Facts:
    """What `bench.sql` says."""
    return by_sql(lambda query: bench.sql(query).fetchall(), table, asked, duck, "epoch_us({})")


def make(data: str | Path, home: Path) -> None:
    """A lake in every state, under a library that declares one more column than when it began."""
    with opened(data) as bench:
        fill(bench, home)
    with wider(), opened(data) as bench:
        widen(bench, home)
        for table in BASE:
            litter(bench.lake[table])


@pytest.fixture(scope="module")
def later() -> Iterator[None]:
    """The library that declares one column more."""
    with wider():
        yield


@pytest.fixture(scope="module")
def local(tmp_path_factory: pytest.TempPathFactory, request: pytest.FixtureRequest) -> Iterator[Ground]:
    """The lake on this machine's disk."""
    home = tmp_path_factory.mktemp("every")
    make(home / "lake", home)
    request.getfixturevalue("later")
    with opened(home / "lake") as bench:
        yield Ground(bench, home, str(home / "lake" / "lake"), {})


@pytest.fixture(scope="module")
def distant(tmp_path_factory: pytest.TempPathFactory, s3: S3) -> Iterator[Ground]:
    """The lake in a bucket, made there."""
    home, bucket = tmp_path_factory.mktemp("distant"), f"interop-{uuid.uuid4().hex[:12]}"
    s3.admin.create_bucket(Bucket=bucket)
    keys = {
        "AWS_ENDPOINT_URL": s3.endpoint,
        "AWS_ACCESS_KEY_ID": s3.admin_keys.access,
        "AWS_SECRET_ACCESS_KEY": s3.admin_keys.secret,
        "WORKBENCH_CACHE": str(home / "cache"),
    }
    data = f"s3://{bucket}/deep/prefix"
    with pytest.MonkeyPatch.context() as patched:
        for name, value in keys.items():
            patched.setenv(name, value)
        make(data, home)
        with wider(), opened(data) as bench:
            yield Ground(bench, home, f"{data}/lake", keys | {"AWS_REGION": "us-east-1", "AWS_ALLOW_HTTP": "true"})


@pytest.fixture
def ground(request: pytest.FixtureRequest) -> Ground:
    given: Ground = request.getfixturevalue(request.param)
    return given


ABLE = {"local": list(ENGINES), "distant": [name for name in ENGINES if name not in LOCAL_ONLY]}
engines = pytest.mark.parametrize("engine", ENGINES)
# Every engine on this machine's disk, and each that can in a bucket.
everywhere = pytest.mark.parametrize(
    ("ground", "engine"), [(place, engine) for place, able in ABLE.items() for engine in able], indirect=["ground"]
)


# ---------------------------------------------------------------------- as it is


def test_the_lake_is_in_every_state(local: Ground) -> None:
    """What follows proves as much as the lake has in it."""
    files = {name: local.bench.lake[name].snapshot().files for name in BASE}
    assert {file.bucket is None for file in files[MINUTES]} == {file.bucket is None for file in files[DAYS]} == {True, False}
    assert not {file.bucket for file in files[TRADES]} & {None}
    assert {one.retired for one in local.bench.lake[MINUTES].landings().values()} == {"", "archived"}
    assert {one.retired for one in local.bench.lake[TRADES].landings().values()} == {"", "reset"}
    assert max(one.version for one in local.bench.lake[MINUTES].landings().values()) == 2
    assert local.bench.lake[DAYS].snapshot().widened == ("vwap",)
    for name in BASE:
        folder = local.bench.lake[name].folder
        stray = {str(path.relative_to(folder)) for path in folder.rglob("*.parquet") if "_delta_log" not in path.parts}
        assert any("orphan" in path for path in stray)
        # Retired ones too, but of the archive, which nothing ever left.
        assert len(stray - {file.path for file in files[name]}) > 1 or name == "ohlcv_archive"


@everywhere
@pytest.mark.parametrize("table", EVERY)
def test_all_rows(ground: Ground, engine: str, table: str) -> None:
    asked = ground.asked(table)
    told = ground.expected(table, asked)
    assert told.rows > 0
    assert ENGINES[engine](ground.place(table), asked) == told


@everywhere
def test_a_column_that_came_later_is_null_in_the_rows_of_before(ground: Ground, engine: str) -> None:
    asked = ground.asked(DAYS)
    told = ENGINES[engine](ground.place(DAYS), asked)
    had = dict(zip(asked.numbers, told.had, strict=True))
    assert 0 < had["vwap"] < had["close"] == told.rows


# ---------------------------------------------------------------------- conditions


def conditions(bench: Workbench, table: str) -> list[tuple[Condition, ...]]:
    """A ticker, tickers that are spelled oddly, dates, and instants on both sides of where files' statistics end."""
    made: list[tuple[Condition, ...]] = [
        *((("ticker", "=", ticker),) for ticker in ("AAPL", "NA", "NULL", "AApA", "aB")),
        (("date", ">=", FEBRUARY[1]), ("date", "<=", HOT[0])),
        (("ticker", ">=", "AMZN"), ("date", "=", HOT[0])),
    ]
    files = bench.lake[table].snapshot().files
    for file in files[:: max(1, len(files) // 2)]:
        for edge in (file.since, file.until):
            made += [(("timestamp", op, edge),) for op in ("=", ">", "<=")]
            made += [(("ticker", "=", file.low), ("timestamp", ">", edge - timedelta(microseconds=1)))]
    return made


@engines
@pytest.mark.parametrize("table", [DAYS, MINUTES, TRADES])
def test_a_condition_leaves_the_same_rows(local: Ground, engine: str, table: str) -> None:
    found = 0
    for where in conditions(local.bench, table):
        asked = local.asked(table, *where)
        told = local.expected(table, asked)
        assert ENGINES[engine](local.place(table), asked) == told, where
        found += told.rows
    assert found


@pytest.mark.parametrize("engine", ABLE["distant"])
def test_a_condition_leaves_the_same_rows_in_a_bucket(distant: Ground, engine: str) -> None:
    for where in conditions(distant.bench, MINUTES)[::4]:
        asked = distant.asked(MINUTES, *where)
        assert ENGINES[engine](distant.place(MINUTES), asked) == distant.expected(MINUTES, asked), where


@pytest.mark.parametrize("engine", LOCAL_ONLY)
def test_what_reads_no_bucket(distant: Ground, engine: str) -> None:
    """Known of delta-rs. When it passes, it is one of those that do."""
    with pytest.raises(Exception, match="No suitable object store"):
        ENGINES[engine](distant.place(MINUTES), distant.asked(MINUTES))


# ---------------------------------------------------------------------- versions


def moments(bench: Workbench, table: str) -> dict[int, datetime]:
    """An instant at which each version was the newest; where two were made in the same millisecond, none of the older one."""
    log = bench.lake[table]
    at = {n: commit.at for n, commit in enumerate(log.commits())}
    return {n: instant for n, instant in at.items() if log.version_at(instant) == n}


@everywhere
@pytest.mark.parametrize("table", [DAYS, MINUTES, TRADES])
def test_an_older_version_is_what_as_of_shows(ground: Ground, engine: str, table: str) -> None:
    versions = moments(ground.bench, table)
    assert len(versions) > 3
    asked = ground.asked(table)
    for version, instant in list(versions.items())[:: 1 if not ground.options else 3]:
        place = ground.place(table, version)
        # Others show a version with the columns that it had; the view of now has all.
        there = {field.name for field in place.delta().schema().fields}
        then = replace(asked, numbers=tuple(name for name in asked.numbers if name in there))
        assert ENGINES[engine](place, then) == ground.expected(table, then, version, instant), version


# ---------------------------------------------------------------------- DuckDB by itself


@pytest.fixture(scope="module")
def views(local: Ground, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What `workbench sql --print-views` prints, in a file."""
    path = tmp_path_factory.mktemp("views") / "views.sql"
    path.write_text(printed(local))
    return path


@pytest.mark.skipif(not CLI.exists(), reason="the DuckDB CLI (duckdb-cli) is not installed")
@pytest.mark.parametrize("table", BASE)
def test_the_duckdb_cli_reads_printed_views(local: Ground, views: Path, table: str) -> None:
    asked = local.asked(table)
    assert duckdb_cli(views, table, asked) == local.expected(table, asked)


@pytest.mark.skipif(not CLI.exists(), reason="the DuckDB CLI (duckdb-cli) is not installed")
@pytest.mark.parametrize("table", [DAYS, MINUTES, TRADES])
def test_the_duckdb_cli_finds_what_a_condition_leaves(local: Ground, views: Path, table: str) -> None:
    for where in conditions(local.bench, table)[::3]:
        asked = local.asked(table, *where)
        assert duckdb_cli(views, table, asked) == local.expected(table, asked), where


def printed(ground: Ground) -> str:
    """What `workbench sql --print-views` prints of a lake."""
    env = {"WORKBENCH_DATA": ground.bench.settings.data}
    return CliRunner().invoke(main, ["sql", "--print-views"], env=env, catch_exceptions=False).stdout


def another(ground: Ground) -> duckdb.DuckDBPyConnection:
    """A DuckDB that reads the bucket by itself: with httpfs where there is one for its version, else with s3fs."""
    con = duckdb.connect()
    options = ground.options
    host = options["AWS_ENDPOINT_URL"].removeprefix("http://")
    library = find_spec("duckdb_extension_httpfs")
    built = f"extensions/v{duckdb.__version__}/httpfs.duckdb_extension"
    # One of another version would end the process.
    if library and library.origin and (path := Path(library.origin).parent / built).exists():
        con.execute(f"LOAD '{path}'")
        keys = f"KEY_ID '{options['AWS_ACCESS_KEY_ID']}', SECRET '{options['AWS_SECRET_ACCESS_KEY']}', REGION '{options['AWS_REGION']}'"
        con.execute(f"CREATE SECRET (TYPE s3, {keys}, ENDPOINT '{host}', URL_STYLE 'path', USE_SSL false)")
        return con
    from s3fs import S3FileSystem

    far = S3FileSystem(
        key=options["AWS_ACCESS_KEY_ID"],
        secret=options["AWS_SECRET_ACCESS_KEY"],
        endpoint_url=options["AWS_ENDPOINT_URL"],
        skip_instance_cache=True,
    )
    con.register_filesystem(far)
    return con


def test_views_of_a_bucket_name_what_stands_there_and_no_key(distant: Ground) -> None:
    text = printed(distant)
    named = set(re.findall(r"'(s3://[^']+\.parquet)'", text))
    live = {f"{distant.place(name).url}/{file.path}" for name in BASE for file in distant.bench.lake[name].snapshot().files}
    assert live <= named
    assert not [one for one in named if "orphan" in one]
    assert str(distant.bench.lake.root) not in text
    assert distant.options["AWS_SECRET_ACCESS_KEY"] not in text


@pytest.mark.parametrize("table", BASE)
def test_another_duckdb_reads_printed_views_of_a_bucket(distant: Ground, table: str) -> None:
    asked = distant.asked(table)
    with another(distant) as con:
        con.execute(printed(distant))
        told = by_sql(lambda query: con.execute(query).fetchall(), table, asked, duck, "epoch_us({})")
    assert told == distant.expected(table, asked)


# ---------------------------------------------------------------------- and what would not do


def test_a_glob_reads_what_is_retired_which_is_why_nobody_is_told_to(local: Ground) -> None:
    folder = local.bench.lake[MINUTES].folder
    [(globbed,)] = local.bench.con.execute(
        f"SELECT count(*) FROM read_parquet('{folder}/**/*.parquet', hive_partitioning = false, union_by_name = true)"
    ).fetchall()
    assert globbed > local.bench.lake[MINUTES].snapshot().rows


def test_after_vacuum_others_read_the_same(local: Ground, tmp_path: Path) -> None:
    shutil.copytree(local.home / "lake", tmp_path / "lake")
    with opened(tmp_path / "lake") as bench:
        vacuum(bench.lake, timedelta(0), dry_run=False, orphans=timedelta(0))
        for table in BASE:
            folder = bench.lake[table].folder
            asked = local.asked(table)
            assert ENGINES["polars"](Place(str(folder)), asked) == local.expected(table, asked)
            assert not list(folder.rglob("orphan-*"))


def test_a_checkpoint_changes_nothing_that_others_read(local: Ground, tmp_path: Path) -> None:
    folder = tmp_path / "copy"
    shutil.copytree(local.bench.lake[MINUTES].folder, folder)
    DeltaTable(folder).create_checkpoint()
    asked = local.asked(MINUTES)
    for name, engine in ENGINES.items():
        assert engine(Place(str(folder)), asked) == local.expected(MINUTES, asked), name


def test_a_row_more_or_less_is_seen(local: Ground) -> None:
    """The comparison itself: a day's rows less, a volume's last digit, a microsecond."""
    asked = local.asked(DAYS)
    told = local.expected(DAYS, asked)
    assert expected(local.bench, DAYS, replace(asked, where=(("date", "<", WIDE_DAY),))) != told
    assert replace(told, sums=(*told.sums[:-1], told.sums[-1] * (1 + 1e-8))) != told
    assert isinstance(WIDE_DAY, date)
    assert replace(told, ends=(told.ends[0], (told.ends[1] or 0) + 1)) != told
