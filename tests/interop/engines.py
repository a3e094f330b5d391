"""Engines that know nothing of the workbench, each asked for the same facts of a Delta table: what is in it, or in the rows that a condition leaves."""

import json
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import polars as pl
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.dataset as ds
from deltalake import DeltaTable, QueryBuilder

Condition = tuple[str, str, object]
NUMBERS = ("TINYINT", "SMALLINT", "INTEGER", "BIGINT", "DOUBLE", "FLOAT", "DECIMAL")
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
# The CLI of DuckDB's own package, which has no Python beside it.
CLI = Path(sys.executable).with_name("duckdb")


@dataclass(frozen=True)
class Asked:
    """What is asked of a table: its numbers, its first instant and first text, by name; and conditions that all must hold."""

    numbers: tuple[str, ...]
    instant: str | None
    text: str | None
    where: tuple[Condition, ...] = ()

    @property
    def columns(self) -> list[str]:
        return [*dict.fromkeys([*self.numbers, *filter(None, (self.instant, self.text)), *(name for name, _, _ in self.where)])]


@dataclass(frozen=True)
class Place:
    """Where a table's folder is, as others name it, the version that is read (none: the newest), and what it takes to get there."""

    url: str
    version: int | None = None
    options: Mapping[str, str] = field(default_factory=dict)

    def delta(self) -> DeltaTable:
        return DeltaTable(self.url, version=self.version, storage_options=dict(self.options) or None)


@dataclass(frozen=True)
class Facts:
    """Rows, how many have each number, the numbers' sums, the least and greatest instant in microseconds, and rows by text."""

    rows: int
    had: tuple[int, ...]
    sums: tuple[float, ...]
    ends: tuple[int | None, int | None]
    by: dict[str, int]

    def __eq__(self, other: object) -> bool:
        assert isinstance(other, Facts)
        near = all(abs(a - b) <= 1e-9 * max(abs(a), abs(b)) for a, b in zip(self.sums, other.sums, strict=True))
        return near and (self.rows, self.had, self.ends, self.by) == (other.rows, other.had, other.ends, other.by)

    __hash__ = None  # type: ignore[assignment]


# ---------------------------------------------------------------------- by SQL

Run = Callable[[str], list[tuple[Any, ...]]]


def by_sql(run: Run, table: str, asked: Asked, literal: Callable[[object], str], micros: str) -> Facts:
    """Facts by two queries. `micros` makes a number of an instant."""
    where = " AND ".join(f'"{name}" {op} {literal(value)}' for name, op, value in asked.where) or "true"
    had = [f'count("{name}")' for name in asked.numbers]
    # Whole numbers of nanoseconds do not add up in 64 bits.
    sums = [f'sum(CAST("{name}" AS DOUBLE))' for name in asked.numbers]
    ends = [micros.format(f'{one}("{asked.instant}")') for one in ("min", "max")] if asked.instant else []
    [told] = run(f"SELECT {', '.join(['count(*)', *had, *sums, *ends])} FROM {table} WHERE {where}")
    n = len(asked.numbers)
    by = run(f'SELECT "{asked.text}", count(*) FROM {table} WHERE {where} GROUP BY 1') if asked.text else []
    span = tuple(told[1 + 2 * n :]) or (None, None)
    return Facts(told[0], tuple(told[1 : 1 + n]), tuple(one or 0.0 for one in told[1 + n : 1 + 2 * n]), (span[0], span[1]), dict(by))


def duck(value: object) -> str:
    """A value in DuckDB's SQL."""
    if isinstance(value, datetime):
        return f"TIMESTAMPTZ '{value.astimezone(UTC):%Y-%m-%d %H:%M:%S.%f}+00'"
    return f"DATE '{value}'" if isinstance(value, date) else str(value) if isinstance(value, int) else f"'{value}'"


def fusion(value: object) -> str:
    """A value in DataFusion's SQL."""
    if isinstance(value, datetime):
        return f"arrow_cast({(value - EPOCH) // (EPOCH.resolution)}, 'Timestamp(Microsecond, Some(\"UTC\"))')"
    return duck(value)


def arrow_rows(batches: Any) -> list[tuple[Any, ...]]:
    if isinstance(batches, list):
        return [row for batch in batches for row in zip(*(column.to_pylist() for column in batch.columns), strict=True)]
    table = pa.table(batches)
    return list(zip(*(column.to_pylist() for column in table.columns), strict=True))


def delta_sql(place: Place, asked: Asked) -> Facts:
    """delta-rs' own queries."""
    builder = QueryBuilder().register("t", place.delta())
    return by_sql(lambda query: arrow_rows(builder.execute(query).read_all()), "t", asked, fusion, "CAST({} AS BIGINT)")


def datafusion(place: Place, asked: Asked) -> Facts:
    """DataFusion, with delta-rs' table handed to it."""
    from datafusion import SessionContext

    context = SessionContext()
    context.register_table("t", place.delta())
    return by_sql(lambda query: arrow_rows(context.sql(query).collect()), "t", asked, fusion, "CAST({} AS BIGINT)")


def datafusion_dataset(place: Place, asked: Asked) -> Facts:
    """DataFusion over pyarrow's dataset."""
    from datafusion import SessionContext

    context = SessionContext()
    context.register_dataset("t", place.delta().to_pyarrow_dataset())
    return by_sql(lambda query: arrow_rows(context.sql(query).collect()), "t", asked, fusion, "CAST({} AS BIGINT)")


def duckdb_cli(views: Path, table: str, asked: Asked) -> Facts:
    """The DuckDB CLI, which reads a file of declarations first and is a process without the workbench."""

    def run(query: str) -> list[tuple[Any, ...]]:
        told = subprocess.run(
            [CLI, "-json", "-init", views, "-c", query],
            capture_output=True,
            text=True,
            check=True,
            cwd=views.parent,
            env={"HOME": str(views.parent)},
        )
        assert not told.stderr.strip() or "Loading resources" in told.stderr, told.stderr
        return [tuple(row.values()) for row in json.loads(told.stdout or "[]")]

    return by_sql(run, table, asked, duck, "epoch_us({})")


# ---------------------------------------------------------------------- by frames

COMPARED: Mapping[str, Callable[[Any, Any], Any]] = {
    "=": lambda a, b: a == b,
    "<": lambda a, b: a < b,
    "<=": lambda a, b: a <= b,
    ">": lambda a, b: a > b,
    ">=": lambda a, b: a >= b,
}


def of_frame(rows: pl.DataFrame, asked: Asked) -> Facts:
    """Facts of rows that are chosen already."""
    ends = (None, None)
    if asked.instant:
        stamps = rows[asked.instant].dt.epoch("us")
        ends = (stamps.min(), stamps.max())  # type: ignore[assignment]
    numbers = [rows[name].cast(pl.Float64) for name in asked.numbers]
    by = dict(rows[asked.text].value_counts().iter_rows()) if asked.text else {}
    had = tuple(len(one) - one.null_count() for one in numbers)
    return Facts(len(rows), had, tuple(float(one.sum() or 0) for one in numbers), ends, by)


def polars(place: Place, asked: Asked) -> Facts:
    """Polars' `scan_delta`, with the conditions pushed into it."""
    rows = pl.scan_delta(place.url, version=place.version, storage_options=dict(place.options) or None)
    for name, op, value in asked.where:
        rows = rows.filter(COMPARED[op](pl.col(name), pl.lit(value)))
    return of_frame(rows.select(asked.columns).collect(), asked)


def chosen(where: Sequence[Condition]) -> pc.Expression | None:
    """Conditions as pyarrow has them."""
    made: pc.Expression | None = None
    for name, op, value in where:
        scalar = pa.scalar(value, pa.timestamp("us", "UTC")) if isinstance(value, datetime) else pa.scalar(value)
        one = COMPARED[op](pc.field(name), scalar)
        made = one if made is None else made & one
    return made


def arrow_dataset(place: Place, asked: Asked) -> Facts:
    """pyarrow's dataset as delta-rs makes it, with the log's statistics."""
    rows = place.delta().to_pyarrow_dataset().to_table(columns=asked.columns, filter=chosen(asked.where))
    return of_frame(pl.DataFrame(rows), asked)


def arrow_files(place: Place, asked: Asked) -> Facts:
    """pyarrow's dataset over the files that the table lists, with the table's schema: some files lack a later column."""
    delta = place.delta()
    files = delta.file_uris()
    named = [field for field in pa.schema(delta.schema()) if field.name not in delta.metadata().partition_columns]
    dataset = ds.dataset(files, schema=pa.schema(named), format="parquet") if not place.options else on_s3(files, pa.schema(named), place)
    return of_frame(pl.DataFrame(dataset.to_table(columns=asked.columns, filter=chosen(asked.where))), asked)


def on_s3(files: Sequence[str], schema: pa.Schema, place: Place) -> ds.Dataset:
    from pyarrow.fs import S3FileSystem

    options = place.options
    far = S3FileSystem(
        access_key=options["AWS_ACCESS_KEY_ID"],
        secret_key=options["AWS_SECRET_ACCESS_KEY"],
        endpoint_override=options["AWS_ENDPOINT_URL"].removeprefix("http://"),
        scheme="http",
        region=options["AWS_REGION"],
    )
    return ds.dataset([name.removeprefix("s3://") for name in files], schema=schema, format="parquet", filesystem=far)


def pandas(place: Place, asked: Asked) -> Facts:
    """delta-rs' way to pandas."""
    rows = place.delta().to_pandas(columns=asked.columns, filters=chosen(asked.where))
    return of_frame(pl.from_pandas(rows), asked)


# Over a bucket, what delta-rs hands to DataFusion finds no object store (delta-io/delta-rs issue 4623): pyarrow's dataset is the way there.
LOCAL_ONLY = frozenset({datafusion.__name__})
ENGINES: Mapping[str, Callable[[Place, Asked], Facts]] = {
    one.__name__: one for one in (delta_sql, datafusion, datafusion_dataset, polars, arrow_dataset, arrow_files, pandas)
}
