"""One piece of work by one system, in a process of its own: `cd tests && python -m benchmarks.work WORK SYSTEM FLATFILES OUT DAY…`.

Prints JSON: seconds of the work itself (imports and planning excluded), of planning it, peak memory of the process, rows, and a sum
to compare answers by.
"""

import json
import resource
import sys
import time
from collections.abc import Callable
from datetime import date
from pathlib import Path

from workbench.tables import Table, find

TABLE = {"minute": "stock_minute", "day": "stock_day", "trades": "stock_trades", "quotes": "stock_quotes"}


Work = Callable[[], None]


def polars(table: Table, paths: list[Path], out: Path) -> Work:
    """What any user of Polars would write: scan with a schema, sink as zstd."""
    import polars as pl

    from workbench.lake.types import polars_type

    schema = {c.header: polars_type(c) for c in table.vendor}

    def work() -> None:
        for path in paths:
            stamped = pl.scan_csv(path, schema=schema).with_columns(timestamp=pl.from_epoch(table.time, time_unit="ns"))
            stamped.sink_parquet(out / f"{path.name}.parquet", compression="zstd")

    return work


def duckdb(table: Table, paths: list[Path], out: Path) -> Work:
    """What any user of DuckDB would write: one COPY a file."""
    import duckdb

    con = duckdb.connect()
    columns = {c.header: c.type for c in table.vendor}

    def work() -> None:
        for path in paths:
            rows = f"SELECT *, make_timestamp_ns({table.time}) AS timestamp FROM read_csv('{path}', header = true, columns = {columns})"
            con.execute(f"COPY ({rows}) TO '{out / path.name}.parquet' (FORMAT parquet, COMPRESSION zstd)")

    return work


def workbench(table: Table, paths: list[Path], out: Path) -> Work:
    """Land, check and commit what is planned. A table of ticks knows its ranges, as it does from its first session on."""
    from workbench.bench import Workbench
    from workbench.config import Settings
    from workbench.lake.routing import ranges

    flatfiles = Path(str(paths[0]).removesuffix(table.key_of(table.feeds[0], session(paths[0]))))
    bench = Workbench(Settings.load(env={}, data=str(out)))
    bench.lake.make()
    if table.routed:
        bench.lake[table.name].set_bounds(ranges(paths[0], table, paths[0].name))
    planned = bench.refresh(f"folder:{flatfiles}", None, None, session(paths[0]), session(paths[-1]), [table.name], maintain=False)

    def work() -> None:
        wrong = [one for one in planned.run().done if one.outcome != "landed"]
        assert not wrong, wrong[:3]

    return work


def session(path: Path) -> date:
    return date.fromisoformat(path.name.removesuffix(".csv.gz"))


SYSTEMS: dict[str, Callable[[Table, list[Path], Path], Work]] = {"polars": polars, "duckdb": duckdb, "workbench": workbench}


def warm(system: str) -> None:
    """Import what the system needs, so that the work is timed and not the imports."""
    import duckdb as _duckdb
    import polars as _polars

    if system == "workbench":
        import boto3  # noqa: F401
        import deltalake  # noqa: F401
        import exchange_calendars  # noqa: F401
        import pyarrow.parquet  # noqa: F401

        import workbench.refresh.run  # noqa: F401
    assert _duckdb and _polars


def answer(system: str, table: Table, out: Path) -> tuple[int, float]:
    """Rows and a sum over what was written, to compare systems by."""
    import duckdb

    import workbench as package

    value = next(name for name in ("volume", "size", "bid_size") if name in {column.name for column in table.columns})
    written = table.name if system == "workbench" else f"read_parquet('{out}/**/*.parquet', hive_partitioning = false)"
    ask = package.open(out).sql if system == "workbench" else duckdb.connect().sql
    [(rows, total)] = ask(f"SELECT count(*), sum({value}) FROM {written}").fetchall()
    return rows, round(total, 3)


def cpu() -> float:
    """Seconds of a core that this process and those of its children that have ended have used."""
    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(one.ru_utime + one.ru_stime for one in used)


def main(work: str, system: str, flatfiles: str, out: str, *days: str) -> None:
    table = find(TABLE[work])
    paths = [Path(flatfiles) / table.key_of(table.feeds[0], date.fromisoformat(day)) for day in days]
    Path(out).mkdir(parents=True, exist_ok=True)
    warm(system)
    planning = time.perf_counter()
    run = SYSTEMS[system](table, paths, Path(out))
    began, spent = time.perf_counter(), cpu()
    run()
    seconds, spent = time.perf_counter() - began, cpu() - spent
    # Not ru_maxrss, which a process inherits from the one that started it.
    [peak] = [int(line.split()[1]) for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("VmHWM")]
    rows, total = answer(system, table, Path(out))
    stored = sum(path.stat().st_size for path in Path(out).rglob("*.parquet") if "_delta_log" not in path.parts)
    told = {"seconds": seconds, "cpu": spent, "planning": began - planning, "peak_mb": peak / 1000, "rows": rows, "sum": total}
    print(json.dumps(told | {"stored": stored, "fetched": sum(path.stat().st_size for path in paths)}))


if __name__ == "__main__":
    main(*sys.argv[1:])
