"""The data dictionary of the tables, in Markdown, rendered from the declarations."""

from collections.abc import Iterable, Iterator
from itertools import groupby

from workbench.tables import REFERENCE, TABLES, Column, Table
from workbench.tables.errata import ERRATA
from workbench.tables.spec import DATE, IS_TEST, SOURCE, TIMESTAMP
from workbench.tables.test_tickers import TEST_TICKERS

BASE = (DATE, TIMESTAMP, SOURCE, IS_TEST)

INTRO = """\
# The data folder, and what its tables hold

<!-- Generated from workbench/tables and workbench/query: edit there, then run `make dictionary`. -->

This folder holds the lake, unless `WORKBENCH_DATA` names another. Git ignores all of it but this page.

| path | what |
| --- | --- |
| `lake/<schema>/<table>/` | a Delta table: `_delta_log/` and Parquet files under `chunk=…/bucket=…/`; a chunk is a year, quarter, month or day, a bucket a range of tickers |
| `quarantine/<table>/<date>/` | files and rows that break a promise below, with the reason |
| `journal/` | the tables that people write, before they are folded into the lake |
| `runs/` | what each refresh did |
| `tmp/`, `locks/` | drafts and locks of running processes |

Read the tables through the workbench, or with any Delta reader. A glob over a table's folder also finds files that were replaced
and not yet removed.
"""

PROMISES = """\
## Tables of the vendor's flat files

One row per record of the vendor, prices and sizes as published, unadjusted. A column marked required is never NULL. A row with a
value outside its range is set apart. A file whose header is not known, or whose stamps belong to another session, goes to
quarantine whole. Keys are checked within a file.

Every table ends with these columns:
"""


FACTS = """\

## Reference data

One row per fact, by key, as reference sources tell it: the REST API, a folder's `reference/*.json`, Yahoo, FRED, and what the workbench derives. A
refresh adds and corrects rows and takes none away. A row that lacks what is required, has a value outside its range or the key of another goes
to quarantine with its reason. A source that knows better replaces another's rows of the same event.
"""


def cell(text: str) -> str:
    """Text that cannot break a table row."""
    return text.replace("|", "\\|") or " "


def rows(head: tuple[str, ...], body: Iterable[tuple[str, ...]]) -> Iterator[str]:
    """A Markdown table."""
    for row in (head, ("---",) * len(head), *body):
        yield f"| {' | '.join(map(cell, row))} |"


def limits(column: Column) -> str:
    """The range of a column's values, in words."""
    if column.low is not None and column.high is not None:
        return f"{column.low:g} to {column.high:g}"
    if column.low is not None:
        return f"{column.low:g} or more"
    return "" if column.high is None else f"{column.high:g} or less"


def meaning(column: Column) -> str:
    """What a column holds, its name in the vendor's files, and its dated changes."""
    named = f" `{column.csv}` in the vendor's files." if column.csv else ""
    eras = "".join(f" *{era.since}: {era.doc} ({era.source}).*" for era in column.eras)
    return column.doc + named + eras


def columns(listed: Iterable[Column]) -> Iterator[str]:
    """A table of columns."""
    head = ("column", "type", "unit", "required", "range", "meaning")
    yield from rows(head, ((f"`{c.name}`", c.type, c.unit, "yes" if c.required else "", limits(c), meaning(c)) for c in listed))


def session(table: Table) -> str:
    """Which stamps a session may hold, in words."""
    before, after = table.stray
    stray = f"; stamps from {before} days before to {after} day after" if any(table.stray) else ""
    same = f"; `{table.same_day}` equals the session in every row" if table.same_day else ""
    return f"a day in {table.zone}, calendar {table.calendar}{stray}{same}"


def chunks(table: Table) -> str:
    """How a table's cold files are cut, in words."""
    periods = ", then ".join(f"{period} (`{table.chunk_of(table.starts, period)}`)" for period in table.chunks)
    return f"a {periods}; {'one file each' if table.ranges == 1 else f'{table.ranges} ticker ranges, a file each'}"


def facts(table: Table) -> Iterator[str]:
    """What holds for a whole table."""
    state = "confirmed" if table.confirmed else "**not confirmed**"
    key = ", ".join(f"`{name}`" for name in table.key) or "none: identical rows may occur and are kept"
    rollup = (("summed up in", f"`{table.rollup}`"),) if table.rollup else ()
    if table.kind == "reference":
        yield from rows(("", ""), (("from", table.source), ("key", key)))
        return
    if not table.feeds:
        yield from rows(("", ""), (("from", table.source), ("key", key), ("time", f"`{table.time}`")))
        return
    lines = (
        ("from", ", ".join(f"`{feed.prefix}`" for feed in table.feeds)),
        ("history", f"since {table.starts}"),
        ("key", key),
        ("time", f"`{table.time}`"),
        ("session", session(table)),
        ("chunks", chunks(table)),
        *rollup,
        ("header", f"{state} ({table.source})"),
        *((f"header, shorter {n}", f"`{','.join(header)}`") for n, header in enumerate(table.short_headers, 1)),
    )
    yield from rows(("", ""), lines)


def section(table: Table) -> Iterator[str]:
    """A table's part of the dictionary."""
    yield from ("", f"### {table.name}", "", table.doc, "")
    yield from facts(table)
    yield ""
    yield from columns(c for c in table.columns if c not in BASE or table.kind == "reference")


def faults() -> Iterator[str]:
    """The known faults of the vendor's files."""
    yield from (
        "",
        "## Files that the vendor published wrong",
        "",
        "restamp: landed with the session's midnight, if the fault is in the file. quarantine: refused, if the fault is in the file."
        " known missing: the vendor did not list the file. note: landed as it is.",
        "",
    )
    yield from rows(
        ("table", "session", "action", "fault", "source"),
        ((f"`{e.table}`", f"{e.day}", e.action, e.symptom, e.source) for e in ERRATA),
    )


def symbols() -> Iterator[str]:
    """The exchanges' test symbols."""
    yield from ("", "## Test tickers", "", "`is_test` is true for these, on these dates, in the case written here:", "")
    always = groupby(TEST_TICKERS, key=lambda r: (r.since, r.until, r.note))
    for (since, until, note), group in always:
        dates = " ".join(filter(None, (since and f"from {since}", until and f"until {until}"))) or "always"
        yield f"- {dates}: {', '.join(f'`{r.ticker}`' for r in group)}{note and f' ({note})'}"


def render() -> str:
    """The dictionary of the tables."""
    fed = (line for table in TABLES.values() if table.kind != "reference" for line in section(table))
    told = (line for table in REFERENCE for line in section(table))
    lines = (INTRO, PROMISES, *columns(BASE), *fed, FACTS, *told, *faults(), *symbols())
    return "\n".join(lines) + "\n"
