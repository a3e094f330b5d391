"""A lake in Spark, on a standalone master with two workers: every relation and every documented query gives DuckDB's answer.

What does not translate is listed in `untranslated.txt` with its reason: a change there is a change of what Spark can be asked, in either direction.
WORKBENCH_WRITE=1 writes the list anew.
"""

import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pyarrow as pa
import pytest
import sparklake
import sqlglot
from asked import queries
from comparing import difference
from sparkcluster import needs_java, session
from sqlglot import exp

from workbench.bench import Workbench
from workbench.cluster import to_spark
from workbench.cluster.spark import Registered
from workbench.cluster.words import NotTranslated
from workbench.errors import QueryError

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

pytest.importorskip("pyspark", reason="the `spark` extra is not installed")
pytestmark = [pytest.mark.slow, needs_java, pytest.mark.timeout(900)]

LIST = Path(__file__).with_name("untranslated.txt")
# What tells of the machine and the moment.
MOVING = {"workbench.lake_health", "analytics.system_performance"}
# What Spark is handed in a shape of its own.
RESHAPED = {"workbench.close_factors"}


@pytest.fixture(scope="module")
def bench(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Workbench]:
    with sparklake.opened(tmp_path_factory.mktemp("lake")) as made:
        yield made


@pytest.fixture(scope="module")
def spark(tmp_path_factory: pytest.TempPathFactory) -> Iterator["SparkSession"]:
    with session(tmp_path_factory.mktemp("spark")) as made:
        yield made


@pytest.fixture(scope="module")
def registered(spark: "SparkSession", bench: Workbench) -> Registered:
    return to_spark(spark, bench)


@pytest.fixture(scope="module")
def untranslated() -> Iterator[dict[str, str]]:
    """What was found not to translate; written, if asked for, when all was looked at."""
    found: dict[str, str] = {}
    yield found
    if os.environ.get("WORKBENCH_WRITE"):
        LIST.write_text("".join(f"{name}\n    {why}\n" for name, why in sorted(found.items())))


def listed(kind: str) -> dict[str, str]:
    """The committed list of relations, or of queries."""
    lines = LIST.read_text().splitlines() if LIST.exists() else []
    pairs = {name: why.strip() for name, why in zip(lines[::2], lines[1::2], strict=True)}
    return {name: why for name, why in pairs.items() if name.startswith("relation ") == (kind == "relation")}


def test_what_is_left_out_is_what_is_listed(registered: Registered, untranslated: dict[str, str]) -> None:
    found = {f"relation {row['name']} ({row['how']})": row["why"] for row in registered.rows if row["why"] and row["how"] != "macro"}
    untranslated.update(found)
    assert os.environ.get("WORKBENCH_WRITE") or found == listed("relation")


def test_every_relation_holds_duckdbs_rows(registered: Registered, bench: Workbench, spark: "SparkSession") -> None:
    odd, compared = {}, 0
    for row in registered.rows:
        name = row["name"]
        if row["how"] in ("macro", "left out") or name in MOVING | RESHAPED:
            continue
        ours = bench.catalog.ask(f"SELECT * FROM {name}")
        assert ours is not None
        held = ours.to_arrow_table()
        if not len(held):
            assert spark.table(name).columns == held.column_names, name
            continue
        compared += 1
        if told := difference(held, spark.sql(f"SELECT * FROM {name}").toArrow(), ordered=False):
            odd[name] = told
    assert odd == {}
    assert compared > 70


def test_every_documented_query_and_each_benchmark_question_is_answered_alike(
    registered: Registered, bench: Workbench, spark: "SparkSession", untranslated: dict[str, str]
) -> None:
    from pyspark.errors import AnalysisException, PySparkException

    [(day,)] = bench.sql("SELECT max(date)::VARCHAR FROM stock_minute").fetchall()
    odd, found, alike = {}, {}, 0
    for asked in queries(day):
        bench.use(asked.platform)
        try:
            ours = bench.sql(asked.text)
            held = ours.to_arrow_table() if ours is not None else None
            text = bench.catalog.translated(asked.text)
        except QueryError as fault:
            found[asked.name] = f"DuckDB refuses it, too: {type(fault).__name__}"
            continue
        finally:
            bench.use(None)
        if held is None:
            found[asked.name] = "a statement that gives no rows"
            continue
        try:
            ordered, text = settled(text, held.schema)
            theirs = spark.sql(registered.translated(text)).toArrow()
        except NotTranslated as fault:
            found[asked.name] = str(fault)
            continue
        except AnalysisException as fault:
            found[asked.name] = f"Spark refuses it: {fault.getCondition()}"
            continue
        except PySparkException as fault:
            odd[asked.name] = " ".join(str(fault).split())[:300]
            continue
        again = bench.catalog.ask(text)
        assert again is not None
        if told := difference(again.to_arrow_table(), theirs, ordered=ordered):
            odd[asked.name] = told
        alike += 1
    untranslated.update({f"query {name}": why for name, why in found.items()})
    assert odd == {}
    assert alike > 100
    assert os.environ.get("WORKBENCH_WRITE") or {f"query {name}": why for name, why in found.items()} == listed("query")


def asked_anyhow() -> Iterator[str]:
    """What researchers ask of any lake: each expression alone, and whole queries."""
    here = Path(__file__).parent
    for line in (here / "expressions.txt").read_text().splitlines():
        yield f"SELECT {line}"
    yield from (one.strip() for one in (here / "questions.sql").read_text().split(";\n") if one.strip())


def test_what_researchers_ask_is_answered_alike_or_refused(registered: Registered, bench: Workbench, spark: "SparkSession") -> None:
    from pyspark.errors import PySparkException

    odd, refused, alike = {}, {}, 0
    for query in asked_anyhow():
        ours = bench.sql(query)
        assert ours is not None, query
        try:
            ordered, text = settled(query, ours.to_arrow_table().schema)
            theirs = spark.sql(registered.translated(text)).toArrow()
        except (NotTranslated, PySparkException) as fault:
            refused[query] = " ".join(str(fault).split())[:200]
            continue
        again = bench.catalog.ask(text)
        assert again is not None
        if told := difference(again.to_arrow_table(), theirs, ordered=ordered):
            odd[query] = told
        alike += 1
    assert odd == {}
    # All were answered when they were written down.
    assert refused == {}, refused
    assert alike > 400


def settled(text: str, columns: pa.Schema) -> tuple[bool, str]:
    """Whether a query tells the order of its rows; and the query with all of that order told, or without a LIMIT where that would take any rows."""
    try:
        tree = sqlglot.parse_one(text, read="duckdb")
    except sqlglot.errors.SqlglotError:
        return False, text
    found = re.fullmatch(r"(.*?)(\s+LIMIT\s+\d+)?[\s;]*", text, flags=re.IGNORECASE | re.DOTALL)
    if not isinstance(tree, exp.Query) or not found:
        return False, text
    query, limit = found[1], found[2] or ""
    order = tree.args.get("order")
    if order is None:
        return False, query
    # What is alike by the order that is asked for may come in any: then by all columns but maps, which Spark has no order of.
    further = (
        ""
        if order.expressions[0].this.name.upper() == "ALL"
        else "".join(f", {n + 1}" for n, kind in enumerate(columns.types) if not pa.types.is_map(kind))
    )
    return True, f"{query}{further}{limit}"
