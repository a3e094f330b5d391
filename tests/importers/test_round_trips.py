"""What `workbench export` writes as files comes back equal: every documented table with rows, in every format, whole and by day."""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from workbench.bench import Workbench
from workbench.cli import main
from workbench.config import Settings
from workbench.query.export import day_of
from workbench.query.export import export as export_table
from workbench.tables.platforms import RECORDS

NASTY = ("NA", "NULL", "TRUE", "nan", "007", "", " x ", 'a "b", c\nd', "café", "1e5", "A/B=C%2F")
# Of those, one tells of the moment in which it is asked.
WRITTEN = {full: one for full, one in RECORDS.items() if one.takes_rows and one.example and full != "analytics.system_performance"}
FEW = ("kraken_bot.signals", "kraken_bot.trades", "utilities.model_params")


@pytest.fixture(scope="module")
def bench(tmp_path_factory: pytest.TempPathFactory) -> Workbench:
    """A lake with each table's example, and texts, numbers and times that are easily lost."""
    bench = Workbench(Settings(data=str(tmp_path_factory.mktemp("from") / "lake")))
    bench.lake.make()
    for full, record in WRITTEN.items():
        if not record.references:
            bench.append(full, [dict(record.example)])
    said: Mapping[str, Any] = RECORDS["kraken_bot.signals"].example
    for n, text in enumerate(NASTY):
        at = datetime(2024, 3, 10, 6, 59, 59, 999_999, tzinfo=UTC) + timedelta(microseconds=n)
        made = bench.add(
            "kraken_bot.signals",
            {
                **said,
                "symbol": text,
                "strategy_version": text or None,
                "timestamp": at,
                "price": Decimal("0.00000001") * (n + 1),
                "strategies": {text: {"signal": text, "confidence": 0.1 + n}} if n else {},
            },
        )
        bench.add("kraken_bot.trades", {**RECORDS["kraken_bot.trades"].example, "signal_id": made["id"], "timestamp": at, "order_id": text})
        bench.add(
            "utilities.model_params",
            {"model": f"m{n}", "name": text or "-", "value": {"a": [n, None, text]}, "type": "json", "updated_by": text},
        )
    return bench


def export(bench: Workbench, full: str, dest: Path, format: str, by: Sequence[str] = ()) -> None:
    bench.catalog.documented.prepare(f"FROM {full}")
    export_table(bench.catalog.cursor(), bench.lake, full, dest, format, by)


def rows(bench: Workbench, full: str) -> list[str]:
    """Its rows in all columns; without where they were loaded from, which an import says."""
    told = [name for name in RECORDS[full].names if name != "loaded_from"]
    return sorted(map(repr, bench.sql(f"SELECT {', '.join(told)} FROM {full}").fetchall()))


def there_and_back(bench: Workbench, tables: Sequence[str], format: str, by: Sequence[str], folder: Path) -> None:
    (folder / "dump").mkdir()
    for full in tables:
        export(bench, full, folder / "dump" / (full if by else f"{full}.{format}"), format, by)
    with Workbench(Settings(data=str(folder / "lake"))) as other:
        done = other.import_from("files", folder / "dump").run()
        told = {row["becomes"]: row for row in done}
        assert {full: told[full]["rejected"] for full in tables} == dict.fromkeys(tables, 0), [
            path.read_text()[:500] for path in done.rejects.values()
        ]
        assert {full: told[full]["outcome"] for full in tables} == dict.fromkeys(tables, "landed")
        for full in tables:
            assert rows(other, full) == rows(bench, full), full
        again = other.import_from("files", folder / "dump").run()
        assert sum(row["new"] + row["changed"] + row["rejected"] for row in again) == 0


@pytest.mark.parametrize(("format", "by"), [("csv", ["date"]), ("arrow", ["symbol"])])
def test_nested_columns_and_odd_texts_come_back(bench: Workbench, format: str, by: Sequence[str], tmp_path: Path) -> None:
    there_and_back(bench, FEW[:2] if by == ["symbol"] else FEW, format, by, tmp_path)


@pytest.mark.slow
@pytest.mark.parametrize("format", ["parquet", "csv", "arrow"])
@pytest.mark.parametrize("by", [(), ("date",)], ids=["whole", "by day"])
def test_what_was_exported_comes_back_equal(bench: Workbench, format: str, by: Sequence[str], tmp_path: Path) -> None:
    there = [full for full, one in WRITTEN.items() if (not by or day_of(one)) and rows(bench, full)]
    assert len(there) > (10 if by else 15)
    there_and_back(bench, there, format, by, tmp_path)


def test_a_times_day_is_new_yorks(bench: Workbench, tmp_path: Path) -> None:
    root = str(bench.lake.root)
    some = ["--partition-by", "date", "--start", "2024-03-10", "--end", "2024-03-10", "--data", root]
    done = CliRunner().invoke(main, ["export", "kraken_bot.signals", str(tmp_path / "dump"), *some])
    assert (done.exit_code, [one.name for one in (tmp_path / "dump").iterdir()]) == (0, ["date=2024-03-10"]), done.output
    assert bench.sql(f"SELECT count(*) FROM '{tmp_path}/dump/*/*.parquet'").fetchall() == [(len(NASTY),)]
