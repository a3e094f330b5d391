"""The data dictionary with the documented tables, views and macros: `python -m workbench.query.dictionary > data/README.md`."""

import json
import sys
from collections.abc import Iterator

from workbench.query.documented import View, every
from workbench.query.listing import doc, listed, rules
from workbench.tables import dictionary
from workbench.tables.platforms import PLATFORMS
from workbench.tables.record import Record

DOCUMENTED = """\

## Tables of the documented platforms

Each platform's tables, under the names of its document, with its columns in its order. Those that market data feeds show the lake's rows, joined with what
people import; the others hold what people write. `docs/documents.md` says what else the documents name, and what types became.
A column marked required is never NULL in rows that people write; where it has a default, they may lack it.
"""
VIEWS = """\

## Views and macros

What can be named in SQL besides the tables, each from a file of `workbench/query/views` or `workbench/query/macros`. `workbench tables NAME` shows the
same at the prompt. A macro that gives rows stands where a table does, `FROM adjusted_bars('AAPL')`; one that gives a value stands where a column does.
An argument with `:=` may be left out, and is given by place or by its name.
"""
TITLES = {"view": "Views", "table macro": "Macros that give rows", "macro": "Macros that give a value"}


def table(record: Record) -> Iterator[str]:
    """A documented table's part of the dictionary."""
    yield from ("", f"#### {record.full}", "", *doc(record).splitlines(), "")
    yield from (f"- {rule}" for rule in rules(record))
    yield ""
    head = ("column", "type", "in the document", "required", "default", "meaning")
    told = ((c, f"`{c.default}`" if c.default else "numbered" * c.serial) for c in record.columns)
    yield from dictionary.rows(head, ((f"`{c.name}`", c.type, c.told, "yes" if c.required else "", given, c.doc) for c, given in told))
    yield from ("", "A row:", "", "```json", json.dumps(record.example, default=str), "```")
    if record.full in every():
        yield from ("", "```sql", *(f"{one};" for one in every()[record.full].examples), "```")


def section(view: View) -> Iterator[str]:
    """A view's or macro's part of the dictionary."""
    yield from ("", f"#### {view.full if view.schema != 'main' else view.name}", "")
    if view.kind != "view":
        yield from (f"`{view.call}`", "")
    yield from view.doc.splitlines()
    if view.examples:
        yield from ("", "```sql", *(f"{one};" for one in view.examples), "```")


def render() -> str:
    """The whole dictionary."""
    lines = [DOCUMENTED.rstrip("\n")]
    for platform in PLATFORMS.values():
        lines += ["", f"### {platform.title.rstrip('.')}", *(line for record in platform.records for line in table(record))]
    lines += [VIEWS.rstrip("\n")]
    for kind, title in TITLES.items():
        lines += ["", f"### {title}", *(line for view in every().values() if view.kind == kind and listed(view) for line in section(view))]
    return dictionary.render() + "\n".join(lines) + "\n"


if __name__ == "__main__":
    sys.stdout.write(render())
