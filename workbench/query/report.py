"""A small table to look at: what status, coverage and plan give. Shown as text, as HTML in a notebook, as JSON at the prompt."""

import json
from collections.abc import Iterator, Sequence
from datetime import date, datetime
from html import escape
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import pandas as pd
    import polars as pl
    from rich.table import Table as RichTable

SHOWN = 40


class Report(Sequence[dict[str, Any]]):
    """Rows with a title. `title` says in a sentence what they are; `facts` are single values that go with them.

    `spare` names the columns that a narrow terminal can do without, the first to go first; `most` is how many rows are shown to a person.
    """

    most = SHOWN

    def __init__(self, title: str, rows: Sequence[dict[str, Any]], spare: Sequence[str] = (), **facts: Any):
        self.title, self.rows, self.spare, self.facts = title, list(rows), list(spare), facts

    def __len__(self) -> int:
        return len(self.rows)

    def __iter__(self) -> Iterator[dict[str, Any]]:
        return iter(self.rows)

    def __getitem__(self, at: Any) -> Any:
        return self.rows[at]

    @property
    def columns(self) -> list[str]:
        """The names of the columns."""
        return list(self.rows[0]) if self.rows else []

    def to_dicts(self) -> list[dict[str, Any]]:
        """The rows as dicts."""
        return [dict(row) for row in self.rows]

    def to_json(self) -> str:
        """Title, facts and rows as JSON; dates in ISO form."""
        return json.dumps({"title": self.title, **self.facts, "rows": self.rows}, default=plain, indent=1)

    def pl(self) -> "pl.DataFrame":
        """The rows as a polars frame."""
        import polars as pl

        return pl.DataFrame(self.rows, infer_schema_length=None)

    def df(self) -> "pd.DataFrame":
        """The rows as a pandas frame."""
        import pandas as pd

        return pd.DataFrame(self.rows)

    def __repr__(self) -> str:
        from io import StringIO

        from rich.console import Console

        out = StringIO()
        # In a notebook rich would display instead of printing, and leave nothing to return; and kernels say that they take colours.
        Console(file=out, width=160, no_color=True, force_jupyter=False, force_terminal=False).print(self)
        return out.getvalue().rstrip()

    def __rich_console__(self, console: Any, options: Any) -> Iterator[Any]:
        from rich.measure import Measurement
        from rich.text import Text

        yield Text(self.title)
        if not self.rows:
            return
        columns = self.columns
        # Where there is no room, what says nothing goes first, then what is declared spare.
        spare = [name for name in reversed(columns) if not any(row[name] for row in self.rows)] + self.spare
        unbounded = options.update(max_width=10_000)
        while spare and Measurement.get(console, unbounded, self._table(columns)).maximum > options.max_width:
            left_out = spare.pop(0)
            columns = [name for name in columns if name != left_out]
        yield self._table(columns)
        if len(self.rows) > self.most:
            yield Text(f"… and {len(self.rows) - self.most} more")

    def _table(self, columns: Sequence[str]) -> "RichTable":
        from rich.table import Table as RichTable
        from rich.text import Text

        table = RichTable(box=None, pad_edge=False)
        for name in columns:
            numeric = all(isinstance(row[name], int | float) or row[name] is None for row in self.rows)
            # The first column names the row, and is read whole, as are dates; the others give way.
            whole = name == columns[0] or any(isinstance(row[name], date) for row in self.rows)
            table.add_column(name.replace("_", " "), justify="right" if numeric else "left", overflow="fold", no_wrap=whole)
        for row in self.rows[: self.most]:
            table.add_row(*(Text(shown(row[name])) for name in columns))
        return table

    def _repr_html_(self) -> str:
        head = "".join(f"<th>{escape(name.replace('_', ' '))}</th>" for name in self.columns)
        body = "".join("<tr>" + "".join(cell(row[name]) for name in self.columns) + "</tr>" for row in self.rows[: self.most])
        more = f"<p>… and {len(self.rows) - self.most} more</p>" * (len(self.rows) > self.most)
        return f'<p>{escape(self.title)}</p><table style="margin:0"><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>{more}'


def plain(value: Any) -> Any:
    """What JSON has no word for: a report within a report, and times in ISO form."""
    return {"title": value.title, **value.facts, "rows": value.rows} if isinstance(value, Report) else str(value)


def cell(value: Any) -> str:
    """A value as a table cell of HTML; numbers stand on the right, dates on one line."""
    align = "right" if isinstance(value, int | float) and not isinstance(value, bool) else "left"
    wrap = ";white-space:nowrap" if isinstance(value, date) else ""
    return f'<td style="text-align:{align}{wrap}">{escape(shown(value))}</td>'


def shown(value: Any) -> str:
    """A value as a person reads it."""
    if value is None:
        return ""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int):
        return f"{value:,}"
    if isinstance(value, float):
        return f"{value:,.0f}" if 1e6 <= abs(value) < 1e15 else f"{value:,.6g}"
    if isinstance(value, datetime):
        return value.isoformat(sep=" ", timespec="seconds")
    return value.isoformat() if isinstance(value, date) else str(value)


def sized(count: float) -> str:
    """Bytes as a person reads them."""
    for unit in ("B", "kB", "MB", "GB"):
        if count < 1000:
            return f"{count:.0f} {unit}" if unit == "B" else f"{count:.1f} {unit}"
        count /= 1000
    return f"{count:.1f} TB"
