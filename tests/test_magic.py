"""`%%sql` and `%sql` in an IPython of the test's own: what they run, show, keep, refuse and complete; and relations shown as tables."""

import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import duckdb
import pytest
from flatfiles import FRI, MON, STOCK_DAY, THU, bar, put, text

from workbench.bench import Workbench
from workbench.bench import open as open_bench
from workbench.config import Settings
from workbench.errors import NoLake, UnknownName, UsageError

IPython = pytest.importorskip("IPython")
# Since DuckDB 2.0 a relation can hold what its query gave.
HOLDS = hasattr(duckdb.DuckDBPyRelation, "materialize")


@pytest.fixture(scope="module")
def lake(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A lake of three sessions of two tickers."""
    home = tmp_path_factory.mktemp("magic")
    for n, day in enumerate((THU, FRI, MON)):
        put(home / "files", STOCK_DAY, day, text([bar("ACME", day, close=10 + n / 2), bar("BETA", day)]))
    with Workbench(Settings.load(env={}, data=str(home / "lake"), source=f"folder:{home / 'files'}")) as bench:
        bench.refresh().run()
    return home / "lake"


class Notebook:
    """An IPython with the magics."""

    def __init__(self, shell: Any):
        self.shell = shell

    def __getitem__(self, name: str) -> Any:
        return self.shell.user_ns[name]

    def run(self, cell: str) -> Any:
        """Run a cell; gives its result, or raises what it raised."""
        done = self.shell.run_cell(cell)
        done.raise_error()
        return done.result

    def refused(self, cell: str, capsys: pytest.CaptureFixture[str]) -> str:
        """What a cell that fails prints, without colours."""
        capsys.readouterr()
        done = self.shell.run_cell(cell)
        assert done.error_in_exec is not None, "the cell did not fail"
        return re.sub(r"\x1b\[[0-9;]*m", "", "".join(capsys.readouterr()))

    def completed(self, cell: str) -> list[tuple[str, str]]:
        """What the cursor, where the bar is, may become, each with its kind."""
        from IPython.core.completer import provisionalcompleter

        at = cell.index("|")
        with provisionalcompleter():
            found = list(self.shell.Completer.completions(cell.replace("|", "", 1), at))
        return [(one.text, one.type) for one in found]

    def names(self, cell: str) -> list[str]:
        return [name for name, _ in self.completed(cell)]


@pytest.fixture(scope="module")
def shell(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    from IPython.core.interactiveshell import InteractiveShell
    from traitlets.config import Config

    kept = sys.modules["__main__"], sys.displayhook, sys.excepthook
    InteractiveShell.clear_instance()
    with pytest.MonkeyPatch.context() as patched:
        patched.setenv("IPYTHONDIR", str(tmp_path_factory.mktemp("ipython")))
        yield InteractiveShell.instance(config=Config(HistoryManager={"enabled": False}))
    InteractiveShell.clear_instance()
    sys.modules["__main__"], sys.displayhook, sys.excepthook = kept


@pytest.fixture(scope="module")
def opened(shell: Any, lake: Path) -> Iterator[Workbench]:
    with open_bench(lake, timezone="America/New_York", source=f"folder:{lake.parent / 'files'}") as bench:
        yield bench


@pytest.fixture
def notebook(shell: Any, opened: Workbench) -> Iterator[Notebook]:
    before = dict(shell.user_ns)
    made = Notebook(shell)
    made.run("%reload_ext workbench")
    shell.user_ns |= {"bench": opened, "ticker": "ACME"}
    yield made
    shell.user_ns.clear()
    shell.user_ns |= before


def test_a_cell_shows_the_first_rows_with_types_and_gives_all(notebook: Notebook) -> None:
    answer = notebook.run("%%sql --limit 2\nSELECT ticker, date, close FROM stock_day ORDER BY ticker, date")

    shown = answer._repr_html_()
    assert shown.count("<tr>") == 3
    assert f"… and more (3 columns × {'6' if HOLDS else 'unknown'} rows)" in shown
    assert ">VARCHAR<" in shown and ">DOUBLE<" in shown
    assert answer.fetchall()[2] == ("ACME", MON, 11.0)
    assert len(answer.pl()) == 6


def test_values_come_from_the_notebook_as_values_only(notebook: Notebook) -> None:
    notebook.shell.user_ns["ticker"] = "ACME' OR 'a' = 'a"
    assert notebook.run("%sql SELECT count(*) FROM stock_day WHERE ticker = $ticker").fetchall() == [(0,)]

    notebook.run(
        "import numpy\nfrom datetime import date\ndays = [date(2024, 3, 7), date(2024, 3, 8)]\nleast = numpy.float64(10.2)\nticker = 'ACME'"
    )
    found = notebook.run(
        "%%sql\nSELECT close FROM stock_day WHERE ticker = $ticker AND date IN $days AND close > $least -- not $this, '$that'"
    )
    assert found.fetchall() == [(10.5,)]


def test_a_variable_that_is_not_there_is_named_before_anything_runs(notebook: Notebook, capsys: pytest.CaptureFixture[str]) -> None:
    said = notebook.refused("%%sql\nCREATE TEMP TABLE made AS SELECT 1 AS a;\nSELECT $nothing", capsys)

    assert said.strip() == "the query takes $nothing, and the notebook has no variable nothing; nothing was run. Give it a value first."
    assert "made" not in notebook.names("%%sql\nFROM ma|")


def test_rows_are_kept_as_frames(notebook: Notebook) -> None:
    answer = notebook.run("%%sql --as bars\nFROM stock_day ORDER BY ticker, date")
    assert (type(notebook["bars"]).__module__.split(".")[0], notebook["bars"].height) == ("polars", 6)
    assert "12 columns × 6 rows" in answer._repr_html_()

    notebook.run("%%sql --as bars --df\nFROM stock_day")
    assert (type(notebook["bars"]).__module__.split(".")[0], len(notebook["bars"])) == ("pandas", 6)
    notebook.run("frame = %sql --pl SELECT 1 AS one")
    assert notebook["frame"].to_dicts() == [{"one": 1}]
    assert notebook.run("%sql SELECT sum(one) FROM frame").fetchall() == [(1,)]


def test_statements_run_in_order_and_each_query_is_shown(notebook: Notebook, capsys: pytest.CaptureFixture[str]) -> None:
    capsys.readouterr()
    last = notebook.run(
        "%%sql\nCREATE TEMP TABLE kept AS SELECT 1 AS a;\nINSERT INTO kept VALUES (2);\nSELECT 42 AS first;\nFROM kept ORDER BY a;"
    )

    printed = capsys.readouterr().out
    assert printed.count("first") == 1 and "Count" not in printed
    assert last.fetchall() == [(1,), (2,)]
    assert (
        notebook.bench_tables("kept") if hasattr(notebook, "bench_tables") else ("kept", "table") in notebook.completed("%%sql\nFROM ke|")
    )


def test_a_platforms_own_sql_is_read_as_its_own(notebook: Notebook) -> None:
    # A day of the platform's is New York's session, and its table is meant by its bare name.
    found = notebook.run("%%sql --platform tetra\nSELECT count(*) FROM ohlcv WHERE symbol = $ticker AND DATE(timestamp) = '2024-03-08'")
    assert found.fetchall() == [(1,)]
    assert notebook["bench"].platform is None


def test_explaining_runs_nothing(notebook: Notebook) -> None:
    shown = notebook.run("%%sql --explain\nSELECT error('it was run') FROM stock_day WHERE ticker = $ticker")

    assert "stock_day" in repr(shown).lower() or "parquet" in repr(shown).lower()
    assert shown._repr_html_().startswith("<pre")


@pytest.mark.parametrize(
    ("cell", "sentence"),
    [
        ("%%sql --plaform tetra\nSELECT 1", "%%sql has no option --plaform; nothing was run; did you mean --platform?"),
        ("%%sql --as\nSELECT 1", "--as needs a value (name); nothing was run."),
        ("%sql --as class SELECT 1", "--as class is no name that a variable can have; nothing was run."),
        ("%sql --as bench SELECT 1", "--as bench would replace the workbench of that name; nothing was run."),
        ("%sql --as kept SELECT union_value(num := 2) AS u", "the rows cannot be kept as a frame"),
        ("%sql --limit 0 SELECT 1", "--limit is a number of rows to show from 1 to 1000, not 0; nothing was run."),
        ("%sql --pl --df SELECT 1", "--pl and --df ask for two kinds of frame; nothing was run. Give one."),
        ("%sql --bench other SELECT 1", "--bench other is no variable that holds a workbench; nothing was run. Of these there are bench."),
        ("%%sql --explain\nSELECT 1; SELECT 2", "--explain takes one statement, and there are 2; nothing was run."),
        (
            "%sql --explain --as a SELECT 1",
            "--explain runs nothing, so there are no rows to keep; nothing was run. Leave out --as, --df and --pl.",
        ),
        ("%%sql\n-- nothing\n", "there is no SQL to run. Write it after %sql, or below %%sql."),
        ("%sql SELECT $1", "$1 takes a value by its place, which a cell does not have; nothing was run. Name a variable: $ticker."),
        ("%sql --as a CREATE TEMP TABLE IF NOT EXISTS none AS FROM stock_day LIMIT 0", "the last statement gives no rows to keep"),
    ],
)
def test_wrong_use_is_one_sentence(notebook: Notebook, capsys: pytest.CaptureFixture[str], cell: str, sentence: str) -> None:
    assert notebook.refused(cell, capsys).strip().startswith(sentence)


def test_an_error_has_the_cells_line_with_a_caret_and_no_traceback(notebook: Notebook, capsys: pytest.CaptureFixture[str]) -> None:
    said = notebook.refused("%%sql\nSELECT 1;\n\nSELECT ticker,\n  clse FROM stock_day", capsys)

    line, caret = said.splitlines()[-2:]
    # Older versions of DuckDB mark the first letter only.
    assert (line, caret.rstrip("^")) == ("LINE 4:   clse FROM stock_day", " " * 10)
    assert "Traceback" not in said and "cells.py" not in said
    assert 'Referenced column "clse" not found' in said
    syntax = notebook.refused("%%sql\nSELECT 1\nFORM stock_day WHERE", capsys)
    assert "LINE 2: FORM stock_day WHERE" in syntax and "Traceback" not in syntax


@pytest.mark.parametrize("name", ["line", "cell", "_options", "result"])
def test_names_of_functions_that_run_are_no_tables(notebook: Notebook, capsys: pytest.CaptureFixture[str], name: str) -> None:
    # DuckDB looks for frames among the variables of all functions on the stack, of which a notebook's user knows nothing.
    said = notebook.refused(f"%sql FROM {name}", capsys)

    assert name in said and "replacement scan" not in said and "cells.py" not in said


def test_a_variable_that_is_no_frame_is_told_as_such(notebook: Notebook, capsys: pytest.CaptureFixture[str]) -> None:
    assert "the notebook's variable ticker is of type str, not a frame" in notebook.refused("%sql FROM ticker", capsys)


def test_the_workbench_is_found_or_asked_for(notebook: Notebook, lake: Path, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    space, bench = notebook.shell.user_ns, notebook["bench"]
    with Workbench(Settings.load(env={}, data=str(tmp_path / "other"))) as other:
        other.lake.make()
        space |= {"mine": bench, "yours": other}
        assert notebook.run("%sql SELECT count(*) FROM stock_day").fetchall() == [(6,)]
        del space["bench"]
        assert "there are several workbenches: mine, yours; nothing was run. Choose one with --bench." in notebook.refused(
            "%sql SELECT 1", capsys
        )
        assert notebook.run("%sql --bench yours SELECT count(*) FROM stock_day").fetchall() == [(0,)]
        del space["yours"]
        assert notebook.run("%sql SELECT count(*) FROM stock_day").fetchall() == [(6,)]
    with pytest.MonkeyPatch.context() as patched:
        del space["mine"]
        patched.setenv("WORKBENCH_DATA", str(tmp_path / "nowhere"))
        with pytest.raises(NoLake):
            notebook.run("%sql SELECT 1")
        patched.setenv("WORKBENCH_DATA", str(lake))
        assert notebook.run("%sql SELECT count(*) FROM stock_day").fetchall() == [(6,)]


def test_magics_are_taken_away_again(notebook: Notebook) -> None:
    notebook.run("%unload_ext workbench")
    assert notebook.names("%%sql\nFROM stock_d|") == []
    assert notebook.shell.find_cell_magic("sql") is None


@pytest.mark.parametrize(
    ("cell", "among"),
    [
        ("%%sql\nSELECT * FROM stock_d|", ("stock_day", "table")),
        ("%%sql\nSELECT | FROM stock_day", ("close", "column")),
        ("%%sql\nSELECT s.cl| FROM stock_day AS s", ("close", "column")),
        ("%%sql\nSELECT d.\nFROM stock_minute m JOIN stock_day d ON d.ti|", ("ticker", "column")),
        ("%%sql\nSELECT a.ad| FROM shrek.stock_prices a", ("adjusted_close", "column")),
        ("%%sql\nFROM shrek.|", ("stock_prices", "table")),
        ("%%sql\nFROM shr|", ("shrek", "schema")),
        ("%%sql --platform tetra\nSELECT timef| FROM ohlcv", ("timeframe", "column")),
        ("%%sql --platform tetra\nFROM oh|", ("ohlcv", "table")),
        ("%%sql\nFROM adjusted_b|", ("adjusted_bars(", "macro")),
        ("%%sql\nSELECT b.clo| FROM adjusted_bars($ticker) b", ("close", "column")),
        ("%%sql\nSELECT vwa|", ("vwap(", "macro")),
        ("%%sql\nSELECT approx_count_d| FROM stock_day", ("approx_count_distinct(", "function")),
        ("%%sql\nWITH mine AS (SELECT 1) SELECT * FROM mi|", ("mine", "table")),
        ("%%sql\nsel|", ("select", "keyword")),
        ("%%sql\nSELECT * FROM stock_day WHERE ticker = $ti|", ("$ticker", "variable")),
        ("%sql SELECT * FROM stock_day WHERE hi|", ("high", "column")),
        ("rows = %sql SELECT * FROM stock_d|", ("stock_day", "table")),
        ("%%sql --pl|", ("--platform", "option")),
        ("%%sql --platform te|", ("tetra", "platform")),
        ("%%sql --bench |", ("bench", "bench")),
    ],
)
def test_names_are_completed_where_they_may_stand(notebook: Notebook, cell: str, among: tuple[str, str]) -> None:
    assert among in notebook.completed(cell)


def test_no_names_are_offered_where_none_stand(notebook: Notebook) -> None:
    assert notebook.names("%%sql\nSELECT * FROM stock_day WHERE ticker = 'stock_d|'") == []
    assert notebook.names("%%sql\n-- stock_d|") == []
    assert "stock_day" not in notebook.names("stock_d|")


# ---------------------------------------------------------------------- relations


def display(notebook: Notebook, shown: Any) -> dict[str, str]:
    told: dict[str, str] = notebook.shell.display_formatter.format(shown)[0]
    return told


@pytest.mark.skipif(not HOLDS, reason="this DuckDB's relations hold no result")
def test_a_relation_is_a_table_with_types_of_one_run(notebook: Notebook) -> None:
    ran: list[int] = []

    def counted(value: int) -> int:
        ran.append(value)
        return value

    bench = notebook["bench"]
    bench.con.create_function("counted", counted, ["BIGINT"], "BIGINT", side_effects=True)
    told = display(notebook, bench.sql("SELECT counted(i) AS n FROM range(50) AS t(i)"))

    assert len(ran) == 50
    assert "… and more (1 column × 50 rows)" in told["text/html"]
    assert told["text/plain"] == str(bench.sql("SELECT i AS n FROM range(50) AS t(i)"))


def test_values_are_shown_as_duckdb_writes_them(notebook: Notebook) -> None:
    query = """SELECT 170141183460469231731687303715884105727::HUGEINT AS huge, 0.1::DECIMAL(9, 4) AS exact, 1e22::DOUBLE AS large, true AS yes,
        TIMESTAMPTZ '2024-07-01 12:00:00+00' AS at, TIMESTAMP_NS '2024-01-01 00:00:00.123456789' AS ns, NULL AS nothing, [1, NULL] AS listed,
        '<script>alert(1)</script>' AS words, repeat('x', 1000000) AS long, 'a' AS same, 'b' AS same"""
    html = display(notebook, notebook["bench"].sql(query))["text/html"]

    for value in (
        "170141183460469231731687303715884105727",
        ">0.1000<",
        ">1e+22<",
        ">true<",
        ">2024-07-01 08:00:00-04<",
        "00:00:00.123456789<",
    ):
        assert value in html
    assert "&lt;script&gt;" in html and "<script" not in html
    assert html.count("NULL</span></td>") == 1
    assert html.count(">same<") == 2
    assert len(html) < 6000


def test_what_is_large_is_bounded(notebook: Notebook) -> None:
    columns = ", ".join(f"i AS c{n}" for n in range(150))
    html = display(notebook, notebook["bench"].sql(f"SELECT {columns} FROM range(30_000_000) AS t(i)"))["text/html"]

    assert "… and more (150 columns × unknown rows)" in html
    assert html.count("<tr>") == 21
    assert "c99<" in html and "c100<" not in html


def test_a_query_that_fails_when_it_is_read_is_told_of(notebook: Notebook) -> None:
    told = display(notebook, notebook["bench"].sql("SELECT error('the cause') FROM range(3)"))

    assert "the cause" in told["text/html"] and "the cause" in told["text/plain"]


def test_opening_outside_a_notebook_imports_no_ipython(lake: Path) -> None:
    code = (
        f"import sys, workbench; workbench.open({str(lake)!r}); print('IPython' in sys.modules, 'workbench.query.rendering' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split() == ["False", "False"]


def test_options_are_read_apart_from_the_sql() -> None:
    from workbench.magic.options import read

    options, rest = read(" --as rows --limit=5 --platform 'tetra' SELECT --1 AS a")
    assert (options.name, options.limit, options.platform, rest) == ("rows", 5, "tetra", " SELECT --1 AS a")
    with pytest.raises(UsageError, match="--as needs a value"):
        read("--as --df SELECT 1")


def test_unknown_platforms_are_named(notebook: Notebook) -> None:
    with pytest.raises(UnknownName, match=r"there is no platform 'tetraa'.*tetra"):
        notebook.run("%sql --platform tetraa SELECT 1")


def test_what_is_to_run_shows_its_plan(notebook: Notebook) -> None:
    run = notebook["bench"].refresh()
    told = display(notebook, run)
    run.chain.close()
    assert "A refresh that has not run yet" in told["text/html"] and "<table" in told["text/html"]
