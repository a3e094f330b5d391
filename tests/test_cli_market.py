"""`workbench bars`, `workbench actions` and `workbench tables`: what they print, where, and how wide."""

import json
import re
from collections.abc import Callable, Iterator
from datetime import UTC, date, datetime
from io import StringIO
from pathlib import Path
from typing import Any

import click
import polars as pl
import pytest
from click.testing import CliRunner, Result
from flatfiles import FRI, MON, STOCK_DAY, STOCK_MINUTE, THU, bar, minutes, put, text
from rich.console import Console

import workbench
from workbench.cli import main
from workbench.cli.fitting import fitted
from workbench.config import Settings
from workbench.errors import UnknownName
from workbench.lake.reference import update
from workbench.lake.store import Lake
from workbench.query.documented import every
from workbench.query.listing import arguments
from workbench.query.report import Report
from workbench.sources.reference import Gathered
from workbench.tables import TABLES
from workbench.tables.platforms import OTHER_NAMES, RECORDS

Run = Callable[..., Result]


@pytest.fixture(autouse=True)
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No settings but the defaults, in a folder of its own."""
    for declared in Settings.declared().values():
        for variable in declared.metadata["variables"]:
            monkeypatch.delenv(variable, raising=False)
    (tmp_path / "workbench.toml").touch()
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def run() -> Run:
    """Run a command here, with standard output and standard error apart."""

    def invoke(*words: str | Path) -> Result:
        return CliRunner().invoke(main, [str(word) for word in words], prog_name="workbench")

    return invoke


@pytest.fixture
def landed(run: Run, tmp_path: Path) -> Path:
    """A lake with three sessions of two tickers, minutes of one, and a split."""
    files = tmp_path / "files"
    for n, day in enumerate((THU, FRI, MON)):
        put(files, STOCK_DAY, day, text([bar("ACME", day, close=10 + n / 4), bar("BETA", day)]))
    put(files, STOCK_MINUTE, THU, text(minutes("ACME", THU, 3)))
    assert run("refresh", "--source", f"folder:{files}").exit_code == 0
    split = {"ticker": "ACME", "execution_date": str(MON), "split_from": 1.0, "split_to": 2.0}
    update(Lake(tmp_path / "data"), Gathered("splits", "k", [split]), "polygon_api")
    return tmp_path / "data"


# ---------------------------------------------------------------------- bars


def test_bars_are_printed_by_ticker_and_time(run: Run, landed: Path) -> None:
    result = run("bars", "BETA, ACME", "--start", THU, "--end", FRI)

    assert result.exit_code == 0
    lines = [line.split() for line in result.stdout.splitlines()]
    assert lines[0][:3] == ["ticker", "date", "timestamp"]
    assert [line[:2] for line in lines[1:]] == [[t, str(d)] for t in ("ACME", "BETA") for d in (THU, FRI)]
    assert result.stderr == "4 rows\n"


def test_bars_are_those_of_the_method_in_every_format(run: Run, landed: Path, tmp_path: Path) -> None:
    with workbench.open(landed) as bench:
        expected = bench.bars(["ACME"], start=THU, freq="1m")
    for name in ("bars.parquet", "bars.csv", "bars.json"):
        assert run("bars", "ACME", "--start", THU, "--freq", "1m", "--output", tmp_path / name).exit_code == 0
    assert pl.read_parquet(tmp_path / "bars.parquet")["close"].to_list() == expected["close"].to_list()
    assert pl.read_csv(tmp_path / "bars.csv")["close"].to_list() == expected["close"].to_list()
    told = json.loads(run("bars", "ACME", "--start", THU, "--freq", "1m", "--json").stdout)
    assert told == json.loads((tmp_path / "bars.json").read_text())
    assert [row["close"] for row in told] == expected["close"].to_list() == [10.0, 10.5, 10.0]


def test_every_option_reaches_the_method(run: Run, landed: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: dict[str, Any] = {}

    def bars(_: object, tickers: list[str], **given: Any) -> pl.DataFrame:
        asked.update(given, tickers=tickers)
        return pl.DataFrame({"ticker": ["ACME"]})

    monkeypatch.setattr("workbench.asking.Asking.bars", bars)
    words = "--start 2024-03-07 --end 2024-03-11 --freq 5m --adjusted all --as-of 2024-03-12 --session regular --fill forward --limit 3 --follow"
    assert run("bars", "ACME", *words.split(), "--table", "stock_minute").exit_code == 0
    assert asked == {
        "tickers": ["ACME"],
        "start": "2024-03-07",
        "end": "2024-03-11",
        "freq": "5m",
        "adjusted": "all",
        "as_of": "2024-03-12",
        "session": "regular",
        "fill": "forward",
        "limit": 3,
        "follow": True,
        "table": "stock_minute",
    }


def test_an_unknown_ticker_is_named_and_no_error(run: Run, landed: Path) -> None:
    result = run("bars", "acme,ACME", "--format", "csv")

    assert result.exit_code == 0
    assert len(result.stdout.splitlines()) == 4
    assert "no bars of acme;" in result.stderr


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["ACME", "--freq", "7q"], "7q"),
        (["ACME", "--start", "2024-03-11", "--end", "2024-03-07"], "2024-03-07"),
        (["ACME", "--table", "stock_dya"], "stock_day"),
        ([" , "], "no ticker"),
    ],
)
def test_what_cannot_be_asked_ends_with_status_2(run: Run, landed: Path, words: list[str], told: str) -> None:
    result = run("bars", *words)
    assert (result.exit_code, result.stdout) == (2, "")
    assert told in result.stderr


def test_bars_of_no_lake_are_refused(run: Run) -> None:
    assert run("bars", "ACME").exit_code == 2


def test_a_file_appears_whole_or_not_at_all(run: Run, landed: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "bars.csv").write_text("before")

    def broken(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("workbench.query.export.copy", broken)
    assert run("bars", "ACME", "--output", tmp_path / "bars.csv").exit_code == 1
    assert (tmp_path / "bars.csv").read_text() == "before"
    assert not list(tmp_path.glob(".bars*"))


# ---------------------------------------------------------------------- actions


def test_actions_are_the_report_of_the_method(run: Run, landed: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[object] = []

    def actions(_: object, tickers: list[str], as_of: str | None) -> Report:
        asked.append((tickers, as_of))
        return Report("1 action", [{"ticker": "ACME", "date": MON, "told": "2 for 1"}])

    monkeypatch.setattr("workbench.asking.Asking.actions", actions)
    assert "2 for 1" in run("actions", "ACME,BETA", "--as-of", "2024-03-12").stdout
    assert json.loads(run("actions", "ACME", "--json").stdout)["rows"] == [{"ticker": "ACME", "date": str(MON), "told": "2 for 1"}]
    assert asked == [(["ACME", "BETA"], "2024-03-12"), (["ACME"], None)]


# ---------------------------------------------------------------------- tables


def test_everything_that_can_be_asked_is_listed_by_kind(run: Run, landed: Path) -> None:
    rows = {row["name"]: row for row in json.loads(run("tables", "--json").stdout)["rows"]}

    views = {v.name if v.schema == "main" else v.full for v in every().values()}
    again = {name for name in views if name.startswith("imported.")} | set(OTHER_NAMES)
    assert set(rows) == {*TABLES, "data_sync_log", *RECORDS, *views} - again
    assert (rows["kraken_bot.signals"]["kind"], rows["kraken_bot.signals"]["key"]) == ("documented table", "id")
    assert (rows["stock_day"]["rows"], rows["stock_day"]["kind"]) == (6, "table")
    assert (rows["splits"]["rows"], rows["splits"]["kind"]) == (1, "reference table")
    assert rows["vwap"]["call"] == "vwap(price, size)"
    assert all(row["doc"] and "\n" not in row["doc"] for row in rows.values())
    shown = run("tables").stdout
    # Whole, however many there are.
    assert all(f"\n{name} " in shown for name in rows.keys() - RECORDS.keys())
    told = shown[shown.index("Tables of the documented platforms") : shown.index("\nViews\n")]
    for schema in {record.schema for record in RECORDS.values()}:
        row = told.split(f"\n{schema} ")[1]
        assert {one.name for one in RECORDS.values() if one.schema == schema} <= set(re.findall(r"\w+", row))
    assert shown.index("Tables\n") < shown.index("Reference data\n") < shown.index("Views\n") < shown.index("Macros that give a value")


def test_without_a_lake_what_could_be_asked_is_still_listed(run: Run) -> None:
    told = json.loads(run("tables", "--json").stdout)
    assert "no lake" in told["title"]
    assert {row["rows"] for row in told["rows"]} == {None}


def test_a_table_is_shown_with_its_columns_units_and_meanings(run: Run, landed: Path) -> None:
    told = json.loads(run("tables", "stock_day", "--json").stdout)
    close = next(row for row in told["rows"] if row["column"] == "close")

    assert (told["rows_held"], told["key"]) == (6, list(TABLES["stock_day"].key))
    assert (close["type"], close["unit"], close["meaning"]) == ("DOUBLE", "USD", TABLES["stock_day"]["close"].doc)
    shown = run("tables", "main.STOCK_DAY").stdout
    assert "6 rows" in shown and "shares" in shown


def test_a_macro_is_shown_with_its_arguments_and_examples(run: Run) -> None:
    told = json.loads(run("tables", "vwap", "--json").stdout)
    assert told["rows"] == [{"argument": "price", "default": "(needed)"}, {"argument": "size", "default": "(needed)"}]
    shown = run("tables", "vwap(price, size)").stdout
    assert all(f'$ workbench sql "{example}"' in shown for example in every()["main.vwap"].examples)


def test_a_view_is_shown_with_its_columns(run: Run) -> None:
    told = json.loads(run("tables", "kraken_bot.prod_signals", "--json").stdout)
    assert told["rows"][0] == {"column": "id", "type": "BIGINT"}
    assert told["doc"] == every()["kraken_bot.prod_signals"].doc


def test_a_documented_table_is_shown_with_its_columns_rules_and_a_row(run: Run) -> None:
    told = json.loads(run("tables", "kraken_bot.trades", "--json").stdout)
    fee = next(row for row in told["rows"] if row["column"] == "fee")
    assert (told["kind"], told["key"], told["fed"], told["example"]["action"]) == ("documented table", ["id"], [], "BUY")
    assert (fee["type"], fee["required"], fee["default"]) == ("DECIMAL(20,8)", False, "")
    assert told["rules"] == [
        "key: id",
        "check action: action IN ('BUY', 'SELL')",
        "reference: signal_id to kraken_bot.signals, id",
        "rows: holds what people write",
    ]
    shown = run("tables", "Kraken_Bot.Trades").stdout
    assert all(f"\n{rule}\n" in shown for rule in told["rules"])
    assert '\nA row: {"timestamp": "2025-11-23 14:30:01+00:00", "symbol": "BTCUSD"' in shown


def test_a_table_that_market_data_feeds_says_what_its_view_says(run: Run) -> None:
    told = json.loads(run("tables", "shrek.stock_fundamentals", "--json").stdout)
    assert told["doc"] == every()["shrek.stock_fundamentals"].doc
    assert (told["fed"], told["takes_rows"], told["rules"][-1]) == (
        ["fundamentals"],
        True,
        "rows: fed by fundamentals, joined with what people import",
    )
    log = json.loads(run("tables", "shrek.data_sync_log", "--json").stdout)
    assert (log["takes_rows"], log["rules"][-1]) == (False, "rows: fed by what refreshes did; takes no rows")


def test_a_platform_or_a_schema_of_one_is_listed(run: Run) -> None:
    tables = [
        f"kraken_bot.{name}" for name in ["signals", "trades", "holdings", "strategy_performance", "strategy_definitions", "error_logs"]
    ]
    tables += [
        f"kraken_bot.{name}"
        for name in ["rss_feeds", "seen_news", "bot_status", "prod_signals", "prod_trades", "test_signals", "test_trades"]
    ]
    assert [row["name"] for row in json.loads(run("tables", "kraken", "--json").stdout)["rows"]] == tables
    assert [row["name"] for row in json.loads(run("tables", "news", "--json").stdout)["rows"]] == ["news.news_articles"]
    assert {row["name"].split(".")[0] for row in json.loads(run("tables", "tetra", "--json").stdout)["rows"]} == {
        *("market_data", "economic_data", "news", "events")
    }
    assert "\nkraken_bot.prod_signals " in run("tables", "kraken_bot").stdout


def test_what_the_documents_name_is_told(run: Run) -> None:
    told = json.loads(run("tables", "--documents", "--json").stdout)
    rows = {(row["platform"], row["there"]): row for row in told["rows"]}
    assert rows["ampyfin", "HistoricalDatabase.HistoricalDatabase"]["here"] == "ampyfin.historical_database"
    assert (rows["layers", "Redis"]["here"], rows["layers", "Redis"]["state"]) == ("", "not mirrored")
    assert rows["ampyfin", "mongodump"]["state"] == "not yet"
    shown = run("tables", "--documents").stdout
    assert all(f"\n{there} " in shown for _, there in rows)
    assert run("tables", "shrek", "--documents").exit_code == 2


@pytest.fixture(scope="module")
def nowhere(tmp_path_factory: pytest.TempPathFactory) -> Iterator[workbench.Workbench]:
    """A workbench without a lake."""
    with workbench.Workbench(Settings(data=str(tmp_path_factory.mktemp("nowhere") / "none"))) as bench:
        yield bench


@pytest.mark.parametrize("name", [*TABLES, *every()])
def test_each_can_be_looked_up(nowhere: workbench.Workbench, name: str) -> None:
    report = nowhere.tables(name)
    assert report.facts["name"] == name.removeprefix("main.")
    assert len(report) or report.facts["call"].endswith("()"), "columns or arguments"


def test_the_nearest_of_an_unknown_name_is_told(run: Run) -> None:
    result = run("tables", "vwpa")
    assert (result.exit_code, result.stdout) == (2, "")
    assert "did you mean vwap" in result.stderr
    with workbench.Workbench(Settings(data="none")) as bench, pytest.raises(UnknownName):
        bench.tables("stock_dya")


def test_arguments_are_told_with_their_defaults() -> None:
    view = every()["main.vwap"]
    odd = type(view)("main", "odd", "table macro", "", (), "", "symbol, n := list_value(1, 2), d := CAST(NULL AS DECIMAL(9, 2))")
    assert arguments(odd) == [("symbol", ""), ("n", "list_value(1, 2)"), ("d", "CAST(NULL AS DECIMAL(9, 2))")]


# ---------------------------------------------------------------------- width

BARS = ["ticker", "date", "open", "close", "volume", "transactions", "source"]
ROW = ["AAPL", date(2024, 3, 7), 645.5700000001, 92.22428571428571, 12345678.25, 61456, "polygon_s3"]


def test_what_fits_is_shown_as_it_is() -> None:
    assert fitted(BARS, [ROW], 120) == (BARS, [ROW], [])


def test_numbers_are_rounded_before_a_column_is_left_out() -> None:
    columns, rows, left_out = fitted(BARS, [ROW], 80)
    assert (columns, left_out) == (BARS, [])
    assert rows[0][2:5] == ["645.57", "92.224286", "12345678"]


def test_what_a_reader_misses_least_goes_first() -> None:
    assert fitted(BARS, [ROW], 62)[2] == ["source"]
    assert fitted(BARS, [ROW], 50)[2] == ["transactions", "source"]
    assert fitted(BARS, [ROW], 40)[2] == ["volume", "transactions", "source"]
    assert fitted(BARS, [ROW], 3)[0] == ["ticker", "date"]


def test_of_a_session_and_a_time_the_one_that_tells_less_goes() -> None:
    columns = ["ticker", "date", "timestamp", "volume"]
    midnight, morning = (datetime(2024, 3, 7, hour, tzinfo=UTC) for hour in (0, 9))
    assert fitted(columns, [["AAPL", THU, midnight, 1.5]], 40)[2] == ["timestamp"]
    assert fitted(columns, [["AAPL", THU, midnight, 1.5], ["AAPL", THU, morning, 1.5]], 45)[2] == ["date"]


def test_a_long_text_is_folded_and_costs_no_other_column() -> None:
    columns, _, left_out = fitted(["ticker", "doc", "n"], [["A", "long " * 60, 1]], 60)
    assert (columns, left_out) == (["ticker", "doc", "n"], [])


def test_a_terminal_says_what_it_left_out_and_a_pipe_leaves_out_nothing(
    run: Run, landed: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    query = "SELECT *, volume / 3 AS third, repeat('x', 60) AS x FROM stock_day WHERE ticker = 'ACME'"
    piped = run("sql", query)
    assert {len(line.split()) > 13 for line in piped.stdout.splitlines()} == {True}
    assert piped.stderr == "3 rows\n"

    from workbench.cli import ask

    monkeypatch.setenv("COLUMNS", "80")
    monkeypatch.setattr("sys.stdout.isatty", lambda: True)
    with workbench.open(landed) as bench:
        ask.emit_table(bench.con, query, None)
    out, err = capsys.readouterr()
    out = click.unstyle(out)
    assert max(map(len, out.splitlines())) <= 80
    assert len(out.splitlines()) == 4
    assert "3 rows; left out to fit: " in err
    assert "window_start" in err and "is_test" in err


def test_dates_are_not_broken_where_there_is_little_room() -> None:
    rows = [
        {
            "ticker": "NVDA",
            "date": date(2003, 10, 9),
            "kind": "dividend",
            "told": "0.39 USD",
            "applies": "no",
            "reason": "no close of the 10 days",
        }
    ]

    with StringIO() as out:
        Console(file=out, width=50).print(Report("Actions", rows))
        assert "2003-10-09" in out.getvalue()
