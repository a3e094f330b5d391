"""Names from users: of tables, columns, tickers, runs, schemas and files. Each is quoted or refused, and none gets out of its place."""

import os
from collections.abc import Callable, Iterator
from pathlib import Path

import duckdb
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from oldlake import OldLake, opened

from workbench.api.tokens import Tokens
from workbench.bench import Workbench
from workbench.errors import WorkbenchError
from workbench.query.guarded import Guarded
from workbench.runs.record import Runs
from workbench.tables import quote

EXAMPLES = int(os.environ.get("WORKBENCH_EXAMPLES", "25"))
ODD = [
    "",
    ".",
    "..",
    "../../outside",
    "/etc/passwd",
    "..\\outside",
    "a/../../../outside",
    "%2e%2e%2foutside",
    "\0",
    "a\0b",
    "a\nb",
    "\r\n",
    "'; DROP VIEW stock_day; --",
    '"; DROP VIEW stock_day; --',
    "' OR 1=1 --",
    '"',
    "'",
    "''",
    "$1",
    "${HOME}",
    "$(touch outside)",
    "`touch outside`",
    "*",
    "?",
    "[a-z]",
    "-rf",
    "--yes",
    "~",
    "nul",
    "\u202etxt",
    "é",
    "\u017ftock_day",
    "\U0001f4b8",
    "x" * 10_000,
    "stock_day" + "\0",
    "kraken_bot.signals; DROP TABLE x",
    "kraken_bot.'signals'",
    'kraken_bot."signals"',
    "kraken_bot.signals.signals.signals",
    "file:///etc/passwd",
    "s3://bucket/key",
    "{}",
    "{0}",
    "%s",
    "<script>",
]
NAMES = st.one_of(st.sampled_from(ODD), st.text(max_size=40), st.text(alphabet="./\\'\"-;$\0 ab", max_size=20))


@pytest.fixture(scope="module")
def lake(tmp_path_factory: pytest.TempPathFactory) -> Iterator[OldLake]:
    with opened(tmp_path_factory.mktemp("names")) as made:
        yield made
        if guarded := GUARDED.pop(id(made), None):
            guarded.close()


def asks(bench: Workbench) -> dict[str, Callable[[str], object]]:
    """What takes a name, and looks."""
    return {
        "bars": lambda name: bench.bars(name),
        "bars of several": lambda name: bench.bars([name, "AAPL"]),
        "freq": lambda name: bench.bars("AAPL", freq=name),
        "adjusted": lambda name: bench.bars("AAPL", adjusted=name),
        "trades": lambda name: bench.trades(name, "2024-01-05"),
        "actions": lambda name: bench.actions(name),
        "coverage": lambda name: bench.coverage(name),
        "gaps": lambda name: bench.gaps(name),
        "gaps of a ticker": lambda name: bench.gaps("stock_day", tickers=[name]),
        "tables": lambda name: bench.tables(name),
        "tickers": lambda name: bench.tickers([name]),
        "table_counts": lambda name: bench.table_counts(name),
        "get": lambda name: bench.get(name, 1),
        "get a key": lambda name: bench.get("kraken_bot.signals", name),
        "use": lambda name: bench.use(name).use(None),
        "verify": lambda name: bench.verify([name]),
        "as_of": lambda name: bench.bars("AAPL", as_of=name),
        "reset": lambda name: bench.reset(name, dry_run=True),
        "reset_tables": lambda name: bench.reset_tables(name or "x", dry_run=True),
        "compact": lambda name: bench.compact([name]),
        "reading": lambda name: bench.reading([name]).close(),
        "a value": lambda name: bench.sql("SELECT count(*) FROM stock_day WHERE ticker = $t", t=name).fetchall(),
        "a run": lambda name: Runs(bench.lake.root).get(name),
        "a token": lambda name: Tokens(bench.lake.root).check(name),
    }


def writes(bench: Workbench) -> dict[str, Callable[[str], object]]:
    """What takes a name, and would write."""
    return {
        "append": lambda name: bench.append(name, [{"symbol": "A"}]),
        "append a column": lambda name: bench.append("kraken_bot.signals", [{name: 1}]),
        "upsert": lambda name: bench.upsert(name, [{"id": 1}]),
        "delete": lambda name: bench.delete(name, "true"),
        "create_table": lambda name: bench.create_table(name, {"a": "INTEGER"}),
        "create a column": lambda name: bench.create_table("derived.odd", {name: "INTEGER"}),
        "create a type": lambda name: bench.create_table("derived.odd", {"a": name}),
        "writer": lambda name: bench.writer(name),
        "add a token": lambda name: Tokens(bench.lake.root).add(name, "reader"),
        "a role": lambda name: Tokens(bench.lake.root).add("x", name),
        "a schema": lambda name: Tokens(bench.lake.root).add("x", "reader", [name]),
        "rotate": lambda name: Tokens(bench.lake.root).rotate(name),
        "refresh symbols": lambda name: bench.plan(source="sample", datasets=["stock_day"], days=1, symbols=[name]),
        "refresh datasets": lambda name: bench.plan(source="sample", datasets=[name], days=1),
        "refresh source": lambda name: bench.plan(source=name, datasets=["stock_day"], days=1),
    }


def names_outside(root: Path) -> set[str]:
    """What stands beside a lake, and in the folders of tables, by name."""
    return {
        str(path) for folder in (root.parent, root, root / "lake", root / "lake" / "stocks") if folder.is_dir() for path in folder.iterdir()
    }


@pytest.mark.slow
@pytest.mark.parametrize("verb", [*asks(None), *writes(None)])  # type: ignore[arg-type]
@settings(max_examples=EXAMPLES, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(name=NAMES)
def test_a_name_is_quoted_or_refused(lake: OldLake, verb: str, name: str) -> None:
    bench = lake.bench
    root = bench.lake.root
    before, counts = names_outside(root), bench.table_counts("kraken_bot")
    try:
        {**asks(bench), **writes(bench)}[verb](name)
    except WorkbenchError as fault:
        # A sentence, not a traceback's worth: the longest names are cut or told once.
        assert str(fault)
    after = names_outside(root)
    assert after - before <= {str(root / name) for name in ("access.json", "locks", "logs")}
    assert bench.table_counts("kraken_bot") == counts
    assert bench.sql("SELECT count(*) FROM stock_day").fetchall() == [(6,)]


@settings(max_examples=EXAMPLES, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(name=NAMES.filter(bool))
def test_a_quoted_name_is_one_name(name: str) -> None:
    try:
        [(told, *_)] = duckdb.connect().execute(f"SELECT 1 AS {quote(name)}").description
    except duckdb.Error:
        # DuckDB 1 reads no further than a zero, and finds no end of the name.
        assert "\0" in name
    else:
        assert told == name


@settings(max_examples=EXAMPLES * 2, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    name=NAMES,
    form=st.sampled_from(["FROM {}", "FROM kraken_bot.{}", "FROM {}.signals", "SELECT {}()", "FROM {}('x')", "SELECT {} FROM stock_day"]),
)
def test_odd_names_in_sql_of_readers_end_in_a_sentence(lake: OldLake, name: str, form: str) -> None:
    guarded = held(lake)
    for text in (form.format(name) if name.count("{") == 0 else form, form.replace("{}", quote(name))):
        try:
            with guarded.stream(text, seconds=5) as answer:
                list(answer)
        except WorkbenchError as fault:
            assert str(fault)
    with guarded.stream("SELECT count(*) FROM stock_day") as answer:
        assert next(iter(answer)).column(0).to_pylist() == [6]


GUARDED: dict[int, Guarded] = {}


def held(lake: OldLake) -> Guarded:
    """One session for all examples."""
    return GUARDED.setdefault(id(lake), Guarded(lake.bench))
