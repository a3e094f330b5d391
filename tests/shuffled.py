"""Every answer whose SQL says no order, mixed up: `pytest -p shuffled` finds the tests that lean on the order in which rows happen to come.

DuckDB and Polars give rows back in any order where several threads, files or hash tables are between them and the answer, and on an idle machine it is
nearly always the same one. What a plan puts in order at its end (ORDER BY, Top N) stays so; WORKBENCH_SHUFFLE_SCANS=1 mixes plain scans, too, which DuckDB
keeps as they were put in. Answers that the product asks for itself are mixed like those that a test asks for.
"""

import os
import random
import re
from typing import Any

import duckdb

THROUGH = re.compile(
    r"projection|filter|streaming|limit|unnest|result[_ ]collector|reservoir|cross[_ ]product|nested[_ ]loop", re.IGNORECASE
)
ORDERED = re.compile(r"order[_ ]by|top[_ ]n", re.IGNORECASE)
SCANS = re.compile(r"scan|read|range|dummy|empty|union|series|values|inout|ungrouped", re.IGNORECASE)
NAME = re.compile(r"╭─ (.*?) ─*┴?─*╮")
ALL = os.environ.get("WORKBENCH_SHUFFLE_SCANS") == "1"
CHANCE = random.Random(int(os.environ.get("WORKBENCH_SHUFFLE_SEED", "1")))

_queries: dict[int, tuple[Any, Any, Any]] = {}


def ordered(plan: str) -> bool:
    """Whether the plan, an operator a box, from the top, keeps an order up to its end."""
    for box in plan.splitlines():
        if not box.lstrip().startswith("╭"):
            continue
        names = [one.strip() for one in re.findall(r"╭─ (\w[\w ]*\w)", box)]
        if len(names) != 1:
            return not ALL and all(SCANS.search(one) for one in names)
        if ORDERED.search(names[0]):
            return True
        if not THROUGH.search(names[0]):
            return not ALL and bool(SCANS.search(names[0]))
    return True


def _relation_ordered(relation: Any) -> bool:
    try:
        return ordered(relation.explain())
    except duckdb.Error:
        return True


def _connection_ordered(con: Any) -> bool:
    held = _queries.get(id(con))
    if held is None:
        return True
    _, query, values = held
    if not isinstance(query, str) or not re.match(r"\s*(SELECT|WITH|FROM|\()", query, re.IGNORECASE):
        return True
    try:
        cursor = con.cursor()
        return ordered(cursor.execute("EXPLAIN " + query, *values).fetchall()[0][1])
    except duckdb.Error:
        return bool(re.search(r"ORDER\s+BY[^)]*$", query, re.IGNORECASE))


def _mixed(answer: Any) -> Any:
    if isinstance(answer, list):
        CHANCE.shuffle(answer)
        return answer
    many = len(answer)
    order = CHANCE.sample(range(many), many)
    kind = type(answer).__module__.partition(".")[0]
    if kind == "polars":
        return answer[order]
    if kind == "pandas":
        return answer.iloc[order].reset_index(drop=True)
    if kind == "pyarrow" and hasattr(answer, "take"):
        return answer.take(order)
    return answer


def _wrapped(kind: Any, name: str, kept: Any) -> None:
    plain = getattr(kind, name, None)
    if plain is None:
        return

    def asked(self: Any, *args: Any, **options: Any) -> Any:
        answer = plain(self, *args, **options)
        if not hasattr(answer, "__len__") or len(answer) < 2 or kept(self):
            return answer
        return _mixed(answer)

    setattr(kind, name, asked)


def _remembered(name: str) -> None:
    plain = getattr(duckdb.DuckDBPyConnection, name)

    def asked(self: Any, query: Any, *args: Any, **options: Any) -> Any:
        if name == "execute":
            if len(_queries) > 10_000:
                _queries.clear()
            _queries[id(self)] = (None, query, args)
        try:
            return plain(self, query, *args, **options)
        except duckdb.CatalogException:
            # A frame that is a variable of the caller, who is one call further away than DuckDB looks.
            plain(self, "SET python_scan_all_frames = true")
            return plain(self, query, *args, **options)

    setattr(duckdb.DuckDBPyConnection, name, asked)


for _name in ("fetchall", "df", "fetchdf", "to_df", "pl", "arrow", "to_arrow_table", "fetch_arrow_table"):
    _wrapped(duckdb.DuckDBPyRelation, _name, _relation_ordered)
    _wrapped(duckdb.DuckDBPyConnection, _name, _connection_ordered)
_remembered("execute")
