"""`%%sql` and `%sql`: SQL over the notebook's workbench, its answer as a table, its errors as a sentence."""

import re
from collections.abc import Iterator, Mapping
from html import escape
from typing import Any

import duckdb
from IPython.core.magic import Magics, line_cell_magic, magics_class, needs_local_scope, no_var_expand
from IPython.display import display

from workbench.bench import Workbench
from workbench.bench import open as open_bench
from workbench.errors import QueryError, UsageError, WorkbenchError
from workbench.magic.options import Options, read
from workbench.query import rendering
from workbench.query.catalog import QUERY

# What may hold a dollar or a semicolon that means nothing: texts, names, comments.
QUIET = re.compile(r"'(?:[^']|'')*'|\"(?:[^\"]|\"\")*\"|\$\$.*?\$\$|--[^\n]*|/\*.*?\*/", re.DOTALL)
LINE = re.compile(r"^LINE \d+:.*", re.DOTALL | re.MULTILINE)
NUMBERED = re.compile(r"^LINE (\d+):", re.MULTILINE)
NAMED = re.compile(r"(?<![\w$])\$([A-Za-z_]\w*)")


class Answer:
    """What a query gave: a table of its first rows where it is shown; `pl`, `df` and `to_arrow_table` run it for all of them."""

    def __init__(self, sql: str, relation: duckdb.DuckDBPyRelation, limit: int):
        self.sql, self.relation = sql, relation
        shown, self._text = rendering.once(relation, limit)
        self._html, self.count = rendering.html(shown), shown.count
        # Whether it only tells how many rows a statement changed.
        self.counts = list(shown.columns) == ["Count"] and not QUERY.match(sql)

    def __getattr__(self, name: str) -> Any:
        # Whatever a relation can do: .pl(), .df(), .fetchall(), .columns.
        if name.startswith("_"):
            raise AttributeError(name)
        return getattr(self.relation, name)

    def __repr__(self) -> str:
        return self._text

    def _repr_html_(self) -> str:
        return self._html


class Explained:
    """How DuckDB would run a query."""

    def __init__(self, text: str):
        self.text = text

    def __repr__(self) -> str:
        return self.text

    def _repr_html_(self) -> str:
        return f'<pre style="font-size:12px;line-height:1.2;overflow-x:auto">{escape(self.text)}</pre>'


@magics_class
class SqlMagics(Magics):
    """The magics of a notebook."""

    workbench = True

    def __init__(self, shell: Any):
        super().__init__(shell)
        self._opened: Workbench | None = None

    @property
    def space(self) -> dict[str, Any]:
        """The notebook's variables."""
        assert self.shell
        space: dict[str, Any] = self.shell.user_ns
        return space

    # Dollars and braces are SQL's: IPython would put variables' text there.
    @no_var_expand
    @needs_local_scope
    @line_cell_magic
    def sql(self, line: str, cell: str | None = None, local_ns: Mapping[str, Any] | None = None) -> Any:
        """Run SQL over the lake of the notebook's workbench.

        %%sql [--as NAME] [--df | --pl] [--limit ROWS] [--bench NAME] [--platform NAME] [--explain]

        The answer is shown as a table of its first rows; `_` and `Out[n]` hold it, with .pl(), .df() and the rest of a DuckDB relation.
        --as NAME keeps all rows in a variable, as a polars frame, or with --df as a pandas frame; --df or --pl alone give that frame.
        $name takes the value of the notebook's variable of that name, never its text. Statements are separated by semicolons.
        The workbench is the variable `bench`, or the only one that the notebook has, or the one named by --bench, or the configured lake.
        """
        try:
            return self._sql(line, cell, {**self.space, **(local_ns or {})})
        except (WorkbenchError, duckdb.Error) as _fault:
            raise spoken(_fault, self.space) from None

    def _sql(self, line: str, cell: str | None, _space: Mapping[str, Any]) -> Any:
        _options, _rest = read(line)
        _text = _rest.strip() if cell is None else f"{_rest.lstrip()}\n{cell}" if _rest.strip() else cell
        if not QUIET.sub("", _text).strip(" \t\n;"):
            raise UsageError("there is no SQL to run. Write it after %sql, or below %%sql.")
        if _options.name in benches(_space):
            raise UsageError(f"--as {_options.name} would replace the workbench of that name; nothing was run. Choose another name.")
        _bench = self.bench(_options.bench, _space)
        _before = _bench.platform
        if _options.platform:
            _bench.use(_options.platform)
        try:
            return self._run(_bench, _text, _options, _space)
        finally:
            if _options.platform:
                _bench.use(_before)

    def _run(self, _bench: Workbench, _text: str, _options: Options, _space: Mapping[str, Any]) -> Any:
        """Run the statements in order. All of them are shown that ask for rows."""
        _parts = list(statements(_bench, _text))
        _values = [{_name: value(_name, _space) for _name in _names} for _, _names, _ in _parts]
        if _options.explain and len(_parts) > 1:
            raise UsageError(f"--explain takes one statement, and there are {len(_parts)}; nothing was run.")
        _answer: Any = None
        for _n, ((_query, _, _line), _given) in enumerate(zip(_parts, _values, strict=True)):
            # What a statement before the last changed is not shown.
            if isinstance(_answer, Answer) and not _answer.counts:
                display(_answer)  # type: ignore[no-untyped-call]
            _last = _n == len(_parts) - 1
            try:
                _answer = self._one(_bench, _query, _given, _options if _last else Options(limit=_options.limit))
            except duckdb.Error as _fault:
                raise below(_fault, _line) from _fault
        if (_options.name or _options.frame) and _answer is None:
            raise QueryError(
                f"the last statement gives no rows to keep, so there is no {_options.name or 'frame'}; it was run. End with a query."
            )
        return _answer

    def _one(self, _bench: Workbench, _query: str, _given: Mapping[str, Any], _options: Options) -> Any:
        """Run one statement. DuckDB looks for frames among the names of all functions that are running: hence such odd ones."""
        if _options.explain:
            _plan = _bench.sql(f"EXPLAIN {_query.strip()}", **_given)
            return Explained("\n".join(row[-1] for row in _plan.fetchall()))
        try:
            _found = _bench.sql(_query, **_given)
        except duckdb.Error as _fault:
            raise marked(_fault, _bench, _query, _given) from _fault
        if _found is None or (
            _found.columns == ["Count"] and not QUERY.match(_query) and (_options.name or _options.frame or not _found.fetchall())
        ):
            return None
        if not _options.name and not _options.frame:
            return Answer(_query, _found, _options.limit)
        _held = _found.materialize() if hasattr(_found, "materialize") else _found
        try:
            _frame = _held.df() if _options.frame == "df" else _held.pl()
        except duckdb.Error:
            raise
        except Exception as _fault:
            # Neither kind of frame has all of DuckDB's types.
            raise QueryError(f"the rows cannot be kept as a frame ({_fault}). Cast the column to VARCHAR.") from _fault
        if not _options.name:
            return _frame
        self.space[_options.name] = _frame
        return Answer(_query, _held, _options.limit)

    def bench(self, name: str, space: Mapping[str, Any]) -> Workbench:
        """The workbench to ask. Raises `UsageError`, or what opening the configured lake raises."""
        found = benches(space)
        if name:
            if name not in found:
                there = f"there are {', '.join(found)}" if found else "there is none"
                raise UsageError(f"--bench {name} is no variable that holds a workbench; nothing was run. Of these {there}.")
            return found[name]
        if "bench" in found:
            return found["bench"]
        if len({id(one) for one in found.values()}) > 1:
            raise UsageError(f"there are several workbenches: {', '.join(found)}; nothing was run. Choose one with --bench.")
        if found:
            return next(iter(found.values()))
        if self._opened is None:
            self._opened = open_bench()
        return self._opened


def marked(fault: duckdb.Error, bench: Workbench, query: str, given: Mapping[str, Any]) -> duckdb.Error:
    """An error with the line that it is in, and a caret: DuckDB tells these of a query that is run, and not of one that is only bound."""
    if LINE.search(str(fault)) or bench.platform or not QUERY.match(query):
        return fault
    try:
        # What could not be bound is not run.
        bench.catalog._idle().execute(query, dict(given) or None)
    except duckdb.Error as told:
        if found := LINE.search(str(told)):
            return type(fault)(f"{str(fault).strip()}\n\n{found[0].strip()}")
    return fault


def spoken(fault: Exception, space: Mapping[str, Any]) -> Exception:
    """An error that a notebook shows as what it says, without where in Python it was raised."""
    fault = rendering.plain_fault(fault, space)
    said = str(fault).strip()
    # IPython asks an error itself how to be shown.
    fault._render_traceback_ = said.splitlines  # type: ignore[attr-defined]
    return fault


def benches(space: Mapping[str, Any]) -> dict[str, Workbench]:
    """The workbenches among variables, but those that IPython keeps under names of its own."""
    return {name: one for name, one in space.items() if isinstance(one, Workbench) and not name.startswith("_")}


def statements(bench: Workbench, text: str) -> Iterator[tuple[str, list[str], int]]:
    """The statements of a text, each with the names of the values that it takes, and the number of lines above it.

    Where one is no SQL, the whole, for `Workbench.sql` to say so. A platform's own SQL is whole, too: it is separated where it is read.
    """
    try:
        if bench.platform:
            raise duckdb.ParserException
        found = duckdb.extract_statements(text)
    except duckdb.Error:
        yield text, sorted(set(NAMED.findall(QUIET.sub(" ", text)))), text.count("\n", 0, len(text) - len(text.lstrip()))
        return
    at = 0
    for one in found:
        query = one.query.strip("; \n\t")
        at = max(text.find(query, at), at)
        yield query, sorted(one.named_parameters), text.count("\n", 0, at)
        at += len(query)


def below(fault: duckdb.Error, lines: int) -> duckdb.Error:
    """An error of a statement whose lines are counted from the cell's first on."""
    moved = NUMBERED.sub(
        lambda found: f"LINE {int(found[1]) + lines}:{' ' * (len(found[1]) - len(str(int(found[1]) + lines)))}", str(fault)
    )
    return fault if moved == str(fault) else type(fault)(moved)


def value(name: str, space: Mapping[str, Any]) -> Any:
    """A variable's value, for a query. Raises `UsageError` where there is none."""
    if name.isdigit():
        raise UsageError(f"${name} takes a value by its place, which a cell does not have; nothing was run. Name a variable: $ticker.")
    if name not in space:
        raise UsageError(f"the query takes ${name}, and the notebook has no variable {name}; nothing was run. Give it a value first.")
    one = space[name]
    # Numbers as numpy and its kin have them.
    return one.item() if hasattr(one, "item") and getattr(one, "shape", None) == () else one
