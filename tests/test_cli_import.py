"""The commands that bring an old database in and hand tables back, at the prompt."""

import json
import re
import signal
import sqlite3
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from workbench.cli import main

SIGNALS = """
CREATE TABLE signals (
    id INTEGER PRIMARY KEY, timestamp DATETIME NOT NULL, symbol TEXT, price NUMERIC, final_signal TEXT, final_confidence REAL, aggregation_method TEXT,
    strategies JSON, mood TEXT
);
CREATE TABLE trades (
    id INTEGER PRIMARY KEY, signal_id INTEGER, timestamp DATETIME, symbol TEXT, action TEXT, amount NUMERIC, price NUMERIC, status TEXT
);
CREATE TABLE alembic_version (version_num TEXT);
"""


def signals(first: int, count: int) -> list[tuple[Any, ...]]:
    told = json.dumps({"rsi": {"signal": "BUY", "confidence": 0.5}})
    numbers = range(first, first + count)
    return [(n, "2026-01-05 12:00:00", "BTCUSD", "50000.25", "BUY", 0.5, "weighted", told, "fine") for n in numbers]


def add(path: Path, table: str, rows: list[tuple[Any, ...]]) -> None:
    con = sqlite3.connect(path)
    with con:
        con.executemany(f"INSERT INTO {table} VALUES ({', '.join('?' * len(rows[0]))})", rows)
    con.close()


@pytest.fixture
def old(tmp_path: Path) -> Path:
    """A Kraken bot's database."""
    path = tmp_path / "trading_bot.db"
    con = sqlite3.connect(path)
    con.executescript(SIGNALS)
    con.close()
    add(path, "signals", signals(1, 20))
    add(path, "trades", [(n, n, "2026-01-05T12:00:01Z", "BTCUSD", "BUY", "0.5", "50001", "filled") for n in range(1, 11)])
    return path


@pytest.fixture
def lake(tmp_path: Path) -> Path:
    return tmp_path / "lake"


def run(lake: Path, *words: object) -> Result:
    return CliRunner().invoke(main, ["--data", str(lake), *map(str, words)], catch_exceptions=False)


def flat(made: Result) -> str:
    """What was printed, in one line: paths of any length wrap it anywhere."""
    return " ".join(made.stdout.split())


def asked(lake: Path, query: str) -> Any:
    return json.loads(run(lake, "sql", query, "--json").stdout)


def test_a_database_comes_in_and_again_only_what_is_new(old: Path, lake: Path) -> None:
    made = run(lake, "import", "sqlite", old, "--tables", "signals,trades")
    assert made.exit_code == 0, made.output
    lines = made.stdout.splitlines()
    assert flat(made).startswith(f"import of sqlite:{old} into {lake}: 2 of 2 tables, which hold 30 rows ")
    assert "left out: mood" in flat(made)
    assert [line.split()[:3] for line in lines if " new " in line and "rows/s" in line] == [
        ["kraken_bot.signals", "20", "new"],
        ["kraken_bot.trades", "10", "new"],
    ]
    assert re.search(rf"import from sqlite:{re.escape(str(old))}: 30 rows read in [\d.]+ s: 30 new ", flat(made))
    assert asked(lake, "SELECT count(*) AS n, min(timestamp) = TIMESTAMPTZ '2026-01-05 12:00:00Z' AS t FROM kraken_bot.signals") == [
        {"n": 20, "t": True}
    ]
    add(old, "signals", signals(21, 5))
    again = run(lake, "import", "sqlite", old, "--tables", "signals")
    assert again.exit_code == 0
    assert "25 rows read" in flat(again) and ": 5 new, 20 unchanged" in flat(again)
    assert "what is new since id 20" in flat(again)
    told = json.loads(run(lake, "imports", "--json").stdout)
    assert [(row["table"], row["becomes"], row["up to"], row["rows brought"]) for row in told["rows"]] == [
        ("signals", "kraken_bot.signals", "id 25", 25),
        ("trades", "kraken_bot.trades", "id 10", 10),
    ]
    assert "signals" in run(lake, "imports", "--json").stdout and run(lake, "imports").exit_code == 0


def test_a_dry_run_tells_each_column_and_makes_nothing(old: Path, lake: Path) -> None:
    add(old, "signals", [(99, "yesterday", "BTCUSD", "1", "BUY", 0.5, "weighted", "{}", "")])
    made = run(lake, "import", "sqlite", old, "--dry-run")
    assert made.exit_code == 0 and not lake.exists()
    assert "signals → kraken_bot.signals" in flat(made)
    assert "21 rows; found by its name in kraken_bot; told apart by id; what is new is told by id; read whole" in flat(made)
    assert "of the first 21 rows 1 would be rejected for what it holds:" in flat(made) and "yesterday" in flat(made)
    assert "alembic_version: no documented table is called alembic_version; nothing of it was imported" in flat(made)
    told = json.loads(run(lake, "import", "sqlite", old, "--dry-run", "--json").stdout)
    [price] = [row for row in told["rows"] if (row["table"], row["our column"]) == ("signals", "price")]
    assert price == {
        "table": "signals",
        "their column": "price",
        "their type": "NUMERIC",
        "our column": "price",
        "our type": "DECIMAL(20,8)",
        "what happens": "cast",
    }
    assert [(one["table"], one["doing"], one["would_reject"]) for one in told["tables"]] == [
        ("signals", "read whole", 1),
        ("trades", "read whole", 0),
        ("alembic_version", "not imported", 0),
    ]


def test_what_does_not_come_in_is_told_and_the_status_says_so(old: Path, lake: Path) -> None:
    add(old, "signals", [(99, "yesterday", "BTCUSD", "1", "BUY", 0.5, "weighted", "{}", "")])
    made = run(lake, "import", "sqlite", old)
    assert made.exit_code == 3
    assert "alembic_version: no documented table is called alembic_version" in flat(made)
    assert "signals: 1 row rejected, first signals" in flat(made) and "--full reads them again" in flat(made)
    [path] = (lake / "rejects").glob("*.jsonl")
    assert json.loads(path.read_text())["row"]["timestamp"] == "yesterday"
    told = json.loads(run(lake, "import", "sqlite", old, "--full", "--json").stdout)
    assert (told["exit_status"], told["read"], told["unchanged"], told["rejected"]) == (3, 31, 30, 1)


def test_a_map_brings_what_no_name_tells(old: Path, lake: Path) -> None:
    con = sqlite3.connect(old)
    con.executescript("CREATE TABLE px (t TEXT, s TEXT, c REAL); INSERT INTO px VALUES ('2026-01-05', 'ACME', 1.5);")
    con.close()
    made = run(
        lake,
        "import",
        "sqlite",
        old,
        "--tables",
        "px",
        "--map",
        "px=economic_data.economic_data:t=date,s=symbol,c=value",
        "--timezone",
        "America/New_York",
    )
    assert made.exit_code == 0, made.output
    query = "SELECT symbol, value, date = TIMESTAMPTZ '2026-01-05 00:00:00-05' AS t FROM economic_data.economic_data"
    assert asked(lake, query) == [{"symbol": "ACME", "value": 1.5, "t": True}]


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["oracle", "x"], "there is no kind of database 'oracle'"),
        (["sqlite", "nosuch.db"], "nosuch.db is not there"),
        (["sqlite", "OLD", "--platform", "nosuch"], "there is no platform 'nosuch'"),
        (["sqlite", "OLD", "--tables", "nosuch"], "there is no table in this database 'nosuch'"),
        (["sqlite", "OLD", "--map", "nosuch=kraken_bot.signals"], "there is no table to map in this database 'nosuch'"),
        (["sqlite", "OLD", "--map", "signals"], "'signals' maps no table; nothing was read"),
        (["sqlite", "OLD", "--timezone", "Mars"], "no time zone is called 'Mars'"),
        (["sqlite"], "Missing argument 'URL'"),
    ],
)
def test_what_cannot_be_asked_is_wrong_usage_and_makes_no_lake(old: Path, lake: Path, words: list[str], told: str) -> None:
    made = run(lake, "import", *(str(old) if word == "OLD" else word for word in words))
    assert (made.exit_code, made.stdout) == (2, "")
    assert told in made.stderr and not lake.exists()


def test_a_server_that_is_not_there_fails_without_its_password(lake: Path) -> None:
    made = run(lake, "import", "postgres", "postgresql://ada:s3cret@127.0.0.1:1/bot", "--timeout", "2", "--debug")
    assert made.exit_code == 1
    assert "s3cret" not in made.output and "127.0.0.1" in made.stderr
    assert not lake.exists()


def start(lake: Path, *words: object) -> "subprocess.Popen[str]":
    """The command in a process of its own, with the signal on, which shells take from what they start behind them."""
    return subprocess.Popen(
        [sys.executable, "-m", "workbench", "--data", str(lake), *map(str, words)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
    )


@pytest.mark.slow
def test_ctrl_c_keeps_what_is_in_and_the_same_command_goes_on(old: Path, lake: Path) -> None:
    add(old, "trades", [(n, None, "2026-01-05T12:00:01Z", "BTCUSD", "BUY", 0.5, 50001, "filled") for n in range(100, 500_100)])
    command = start(lake, "import", "sqlite", old, "--tables", "trades")
    assert command.stdout and command.stderr
    # The first batch is in.
    while not (line := command.stdout.readline()).startswith("kraken_bot.trades"):
        assert line, command.stderr.read()
    command.send_signal(signal.SIGINT)
    _, error = command.communicate(timeout=120)
    assert command.returncode == 130
    assert "stopping: the batch at hand is finished and kept" in error and "the same command goes on" in error
    kept = asked(lake, "SELECT count(*) AS n FROM kraken_bot.trades")[0]["n"]
    assert 0 < kept < 500_000
    made = run(lake, "import", "sqlite", old, "--tables", "trades", "--json")
    told = json.loads(made.stdout)
    assert told["read"] <= 500_000 - kept + 1_001, "it goes on from where it was"
    assert asked(lake, "SELECT count(*) AS n FROM kraken_bot.trades") == [{"n": 500_000}]


@pytest.mark.slow
def test_ctrl_c_ends_a_wait_for_a_server(lake: Path) -> None:
    import socket

    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen()
        command = start(lake, "import", "postgres", f"postgresql://ada:s3cret@127.0.0.1:{silent.getsockname()[1]}/bot", "--timeout", "100")
        silent.settimeout(60)
        taken, _ = silent.accept()
        time.sleep(0.5)
        command.send_signal(signal.SIGINT)
        out, error = command.communicate(timeout=30)
        taken.close()
    assert command.returncode == 130
    assert "s3cret" not in out + error


# ---------------------------------------------------------------------- out


def test_a_table_goes_out_and_comes_back_as_it_is(old: Path, lake: Path, tmp_path: Path) -> None:
    run(lake, "import", "sqlite", old, "--tables", "signals,trades")
    there = tmp_path / "out.db"
    made = run(lake, "export", "kraken_bot.signals", "--to", f"sqlite:{there}")
    assert made.exit_code == 0, made.output
    assert made.stdout.strip() == f"kraken_bot.signals: 20 rows in sqlite:{there}"
    again = run(lake, "export", "kraken_bot.signals", "--to", f"sqlite:{there}")
    assert again.exit_code == 2
    assert run(lake, "export", "kraken_bot.signals", "--to", f"sqlite:{there}", "--if-exists", "replace", "--json").exit_code == 0
    con = sqlite3.connect(there)
    assert con.execute("SELECT count(*) FROM signals").fetchall() == [(20,)]
    con.close()
    told = json.loads(run(lake, "import", "sqlite", there, "--platform", "kraken_bot", "--json").stdout)
    assert (told["read"], told["unchanged"], told["exit_status"]) == (20, 20, 0)


@pytest.mark.parametrize(
    ("words", "told"),
    [
        ([], "give DEST, a file or folder, or --to URL, a database: one of them"),
        (["x.parquet", "--to", "sqlite:x.db"], "one of them"),
        (["--to", "sqlite:x.db", "--format", "csv"], "--format is for files"),
        (["--to", "sqlite:x.db", "--overwrite"], "--overwrite is for files"),
        (["x.parquet", "--if-exists", "replace"], "--if-exists is for a database"),
        (["--to", "oracle://ada:s3cret@host/x"], "'oracle://ada:***@host/x' is no database that tables are written to"),
        (["--to", "sqlite:"], "names no file"),
    ],
)
def test_where_a_table_cannot_go_is_wrong_usage(lake: Path, words: list[str], told: str) -> None:
    run(lake, "init", "kraken_bot")
    made = run(lake, "export", "kraken_bot.signals", *words)
    assert (made.exit_code, made.stdout) == (2, "")
    assert told in made.stderr and "s3cret" not in made.output


def test_an_unknown_table_goes_nowhere(lake: Path, tmp_path: Path) -> None:
    run(lake, "init", "kraken_bot")
    made = run(lake, "export", "kraken_bot.nosuch", "--to", f"sqlite:{tmp_path / 'x.db'}")
    assert made.exit_code == 2 and "there is no table or view 'kraken_bot.nosuch'" in made.stderr
    inside = run(lake, "export", "kraken_bot.signals", "--to", f"sqlite:{lake / 'lake' / 'x.db'}")
    assert inside.exit_code == 2 and "is inside the lake" in inside.stderr
    assert [one.name for one in tmp_path.iterdir()] == ["lake"]


@pytest.mark.parametrize("place", ["", " ", "sqlite:a\0b"])
def test_a_place_to_export_to_that_is_none_is_told(old: Path, lake: Path, place: str) -> None:
    run(lake, "import", "sqlite", old, "--tables", "signals")
    made = run(lake, "export", "kraken_bot.signals", "--to", place)
    assert made.exit_code == 2 and "nothing was exported" in made.output
