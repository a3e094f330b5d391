"""Has a query read fewer files: keeps the plans that `narrow` makes of texts, and puts them to the statistics of the versions that a session shows."""

import re
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING

import duckdb

from workbench.lake.snapshots import Snapshot
from workbench.lake.store import Lake
from workbench.query import ahead, narrow, newest, views
from workbench.query.documented import Documented
from workbench.query.inline import known
from workbench.query.streams import with_frames
from workbench.query.views import few, located
from workbench.tables import TABLES, Table, quote

if TYPE_CHECKING:
    import pyarrow as pa

# The same twice only in a transaction of the user's own.
TRANSACTION = "SELECT txid_current()"
MAKES_FUNCTIONS = re.compile(r"\b(MACRO|FUNCTION)\b", re.IGNORECASE)
PLANS = 256
# So many files are read as soon as it is found out in which of them the first rows are.
FEW_FILES = 4
# A longer text, which is a list of thousands of values, takes longer to understand than fewer files save.
LONGEST = 16_000


@dataclass(frozen=True)
class Logged:
    """A snapshot whose statistics stand in a table of DuckDB: range and path, as a literal, of the files that the table numbers, and their times."""

    version: int
    files: list[tuple[str | None, str]]
    times: "pa.Table | None" = None

    def named(self, numbers: Sequence[int]) -> list[str]:
        """The paths of some files below the table's folder."""
        return [self.times["path"][n].as_py() for n in numbers] if self.times else []

    @cached_property
    def _ends(self) -> list[list[int]]:
        """When the rows of each file begin and end, in microseconds."""
        import pyarrow as pa

        columns = (self.times[name] for name in ("since", "until")) if self.times else ()
        return [column.cast(pa.timestamp("us", "UTC")).cast(pa.int64()).to_pylist() for column in columns]

    def ends(self, numbers: Sequence[int], *, newest: bool) -> list[tuple[int, int]]:
        """When the rows of some files end and begin, or, of the oldest, begin and end; none of files of which the log does not know it."""
        since, until = self._ends if self.times else ([], [])
        told = ((until[n], since[n]) if newest else (since[n], until[n]) for n in numbers)
        return [end for end in told if None not in end]

    def beyond(self, numbers: Sequence[int], edge: int, *, newest: bool) -> list[int]:
        """Those of some files that may hold rows from a time on, or, of the oldest, until then."""
        since, until = self._ends if self.times else ([], [])
        return [n for n in numbers if (until[n] is None or until[n] >= edge if newest else since[n] is None or since[n] <= edge)]


@dataclass(frozen=True)
class Left:
    """What is left to read of a table: its files by number, and pairs of a ticker and a number if only some tickers matter."""

    table: Table
    shot: Snapshot
    logged: Logged
    numbers: Sequence[int]
    tickers: Sequence[tuple[str, int]]

    def beyond(self, edge: int, *, newest: bool) -> "Left":
        """The same with the files that may hold rows from a time on, or, of the oldest, until then."""
        kept = self.logged.beyond(self.numbers, edge, newest=newest)
        return replace(self, numbers=kept, tickers=[pair for pair in self.tickers if pair[1] in kept])


class Narrowing:
    """The narrowing of one session's queries. `shots` are the versions that it shows, `declaring` its own cursor, which `lock` is for."""

    def __init__(
        self,
        lake: Lake,
        shots: Mapping[str, Snapshot],
        declaring: duckdb.DuckDBPyConnection,
        lock: threading.RLock,
        documented: Documented,
    ):
        self._lake, self._shots, self._declaring, self._lock, self._documented = lake, shots, declaring, lock, documented
        self._logged: dict[str, Logged] = {}
        self._plans: dict[str, narrow.Plan | None] = {}
        # Plans of texts that came again, by the tables that are left out of them.
        self._lean: dict[tuple[str, frozenset[str]], narrow.Plan | None] = {}
        self._came: set[str] = set()
        # The views' queries that the plans were made with.
        self._given: dict[str, str] = {}
        # Whether the user may have made functions that are called as DuckDB's own.
        self.functions = False

    def narrowed(self, cursor: duckdb.DuckDBPyConnection, query: str, values: Mapping[str, object]) -> str | None:
        """A query's text with fewer files, if it can be had."""
        self.functions = self.functions or bool(MAKES_FUNCTIONS.search(query))
        if len(query) > LONGEST or not narrow.concerns(query):
            return None
        # Of a text that is known to have nothing to narrow, nothing is asked.
        if self._documented.given is self._given and self._plans.get(query, self) is None:
            return None

        def ask(question: str, given: dict[str, object]) -> list[tuple[object, ...]]:
            return cursor.execute(question, given or None).fetchall()

        try:
            # In a transaction of the user's own a mistake of ours would end it, and it has its own snapshot.
            if ask(TRANSACTION, {}) == ask(TRANSACTION, {}):
                return None
            given = self._documented.given
            if given is not self._given or len(self._plans) >= PLANS:
                self._plans, self._lean, self._came, self._given = {}, {}, set(), given
            if query not in self._plans:
                self._plans[query] = narrow.read(query, ask, given)
            plan = self._plans[query]
            return self._answered(query, plan, ask, values) if plan and self._trusted(plan, ask) else None
        except (duckdb.Error, LookupError, TypeError, ValueError):
            return None

    def _trusted(self, plan: narrow.Plan, ask: narrow.Ask) -> bool:
        """Whether the functions of a plan are DuckDB's own, and its macros ours, by their documentation."""
        if not (self.functions and (plan.functions or plan.macros)):
            return True
        found = ask(
            "SELECT lower(function_name), comment FROM duckdb_functions() WHERE NOT internal AND lower(function_name) IN $names",
            {"names": [*plan.functions, *plan.macros]},
        )
        return sorted(map(str, found)) == sorted(str((name, known()[f"main.{name}"].doc)) for name in plan.macros)

    def _answered(self, query: str, plan: narrow.Plan, ask: narrow.Ask, values: Mapping[str, object]) -> str | None:
        """The text of a plan with the files that the log's statistics leave now; None if they leave all of many."""
        shots = {name: self._shots[name] for name in plan.tables}
        logged = {name: self._log(name, shot) for name, shot in shots.items()}
        asks = re.sub(r"\b__log_(\w+)\b", lambda hole: narrow.log(hole[1], shots[hole[1]].version), plan.asks)
        [(usual, *answers, ordered)] = ask(asks, {name: values[name] for name in plan.values})
        if not usual:
            return None
        told = zip(plan.tables, answers[::2], answers[1::2], strict=True)
        left = [Left(TABLES[name], shots[name], logged[name], sorted(n or ()), t or ()) for name, n, t in told]
        if plan.first and ordered and (first := self._first(query, plan.first, left, ask, values)):
            return first
        lean, kept = self._leaner(query, left, ask)
        return (self._filled(lean.text, kept) if lean else None) or self._filled(plan.text, left)

    def _leaner(self, query: str, left: Sequence[Left], ask: narrow.Ask) -> tuple[narrow.Plan | None, Sequence[Left]]:
        """The plan of a query without the tables of which nothing is left, and what is left of the others; none if they do not all go."""
        gone = frozenset(one.table.name for one in left) - {one.table.name for one in left if one.numbers}
        # To understand a text once more pays off when it comes again.
        if not gone or query not in self._came:
            self._came.add(query)
            return None, left
        if (query, gone) not in self._lean:
            self._lean[query, gone] = narrow.read(query, ask, self._given, gone)
        lean = self._lean[query, gone]
        kept = [one for one in left if one.table.name not in gone]
        return (lean, kept) if lean and [one.table.name for one in kept] == list(lean.tables) else (None, left)

    def _filled(self, text: str, left: Sequence[Left]) -> str | None:
        """A text with the files that are left in the place of its holes; None if all of many are."""
        fewer = False
        sources = []
        for one in left:
            files = one.logged.files
            # A flat list of few files is planned sooner than the view's branches, even if none can go.
            if len(one.numbers) == len(files) > views.FLAT:
                sources.append(quote(one.table.name))
                continue
            fewer = True
            if one.shot.stats is not None:
                ahead.ends(self._lake[one.table.name].folder, one.logged.named(one.numbers))
            sources.append(f"({few(one.table, one.shot, files, one.numbers, one.tickers)})")
        return re.sub(r"\b__lake(\d+)\b", lambda hole: sources[int(hole[1])], text) if fewer else None

    def _first(self, query: str, first: narrow.First, left: Sequence[Left], ask: narrow.Ask, values: Mapping[str, object]) -> str | None:
        """The text for the first rows by time, if the newest file (or the oldest) of those that are left has enough; None if not."""
        ends = [end for one in left for end in one.logged.ends(one.numbers, newest=first.greatest)]
        if len(ends) <= FEW_FILES:
            return None
        edge = max(ends)[1] if first.greatest else min(ends)[1]
        lean, kept = self._leaner(query, [one.beyond(edge, newest=first.greatest) for one in left], ask)
        first = lean.first if lean and lean.first else first
        if lean and first is not lean.first:
            return None
        probe, bounded = (self._filled(newest.marked(text, edge), kept) for text in (first.probe, first.bounded))
        if not probe or ask(probe, {name: values[name] for name in first.values}) != [(first.count,)]:
            return None
        return bounded

    def _log(self, name: str, shot: Snapshot) -> Logged:
        """Have the statistics of a snapshot stand in a table of DuckDB."""
        with self._lock:
            held = self._logged.get(name)
            if held and held.version == shot.version:
                return held
            made = Logged(shot.version, located(shot, self._lake[name].folder) if shot.stats is not None else [], shot.stats)
            declare_log(self._declaring, narrow.statistics(name, shot.version), shot)
            # A thread that is asking the old one meets an error and runs its query as it is.
            if held:
                self._declaring.execute(f"DROP TABLE {narrow.log(name, held.version)}")
            self._logged[name] = made
            return made


def declare_log(con: duckdb.DuckDBPyConnection, statement: str, snapshot: Snapshot) -> None:
    """Run a statement that finds a snapshot's statistics by the name that they are given below."""
    import pyarrow as pa

    stats = snapshot.stats
    if stats is None:
        stats = pa.table({name: pa.nulls(0) for name in ("rows", "low", "high", "first", "last", "since", "until")})
    statistics_of_the_log = stats.append_column("n", pa.array(range(len(stats)), pa.int64()))
    with_frames(con, statement, statistics_of_the_log=statistics_of_the_log)
