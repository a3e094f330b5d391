"""What the platforms' documents name, and what it is called here: `named` as data, `render` as the page docs/documents.md.

`python -m workbench.tables.documents > docs/documents.md` writes the page.
"""

import sys
from collections.abc import Iterator

from workbench.tables.calls import CALLS
from workbench.tables.dictionary import rows
from workbench.tables.mirrored import MIRRORED, UNBOUND, Mirror
from workbench.tables.platforms import OTHER_NAMES, PLATFORMS, SCHEMAS
from workbench.tables.record import Platform, Record
from workbench.tables.untranslated import UNTRANSLATED

INTRO = """\
# Names of the documented platforms, and what they are here

<!-- Generated from workbench/tables: edit there, then run `make dictionary`. -->

Five platforms kept their data in databases of their own. What their documents name is here under these names: each platform is a schema, or several,
each table or collection a table in it. `bench.use("tetra")`, or `workbench sql --platform tetra`, makes a platform's bare names resolve and its SQL
run as it was written; `workbench tables kraken_bot.signals` shows a table's columns, and `workbench tables --documents` this list.

What types became: a documented INTEGER or BIGINT volume is DOUBLE, for vendor volumes count fractions of shares; NUMERIC is DECIMAL in tables that people
write, and DOUBLE in those that market data feeds; a documented text that is a date is DATE, and a timestamp without a zone is TIMESTAMPTZ, so that files
can be left out by it; a nested document is a MAP, STRUCT or LIST; VARCHAR(n) is VARCHAR, whose length nothing limits.
"""

WRITES = """\

## Calls that write, in one line each

`bench` is `workbench.open()`; what is written is checked, numbered, and seen by every process's next query. Several such lines are one within
`with bench.transaction() as t:`, as `t.add(…)`. While a platform is in use, its plain INSERT, UPDATE and DELETE do the same.
"""
UNBINDS = """\

## What does not bind or parse, and the nearest form that does

Even while its platform is in use:
"""
GENERAL = "And of what the documents do not use, but their databases have:"


def named(platform: Platform) -> Iterator[Mirror]:
    """All that a platform's document names: its databases and tables, as declared, then the rest."""
    theirs = {ours: f"{database}.{name}" for database, tables in platform.databases.items() for name, ours in tables.items()}
    for database in platform.databases:
        taken = database.lower() in SCHEMAS
        here = platform.schemas[0] if taken else database
        yield Mirror(database, "database", here, f"Only while the platform is in use: else `{database}` is another's schema." * taken)
    for schema in () if platform.databases else platform.schemas:
        empty = not any(record.schema == schema for record in platform.records)
        yield Mirror(schema, "schema", schema, "Empty, for views of one's own." * empty)
    for record in platform.records:
        called = theirs.get(record.name, record.full if len(platform.schemas) > 1 else record.name)
        also = "Under either name. " if called.lower() in OTHER_NAMES else ""
        yield Mirror(called, "collection" if record.name in theirs else "table", record.full, also + fed(record))
    yield from MIRRORED[platform.name]


# Words for what feeds tables and is no base table.
WORDS = {"calendar": "the calendar", "data_sync_log": "what refreshes did"}


def fed(record: Record) -> str:
    """Where the rows of a table come from, in words."""
    names = " and ".join(WORDS.get(name, f"`{name}`") for name in record.fed)
    if not names:
        return "Holds what people write."
    return f"Fed by {names}, joined with what people import." if record.takes_rows else f"Fed by {names}; takes no rows."


def told(one: Mirror) -> str:
    """The remark on one, with whether it is there."""
    state = {"here": "", "not yet": "**Not yet.** ", "not mirrored": "**Not mirrored.** "}[one.state]
    return state + one.note


def code(text: str) -> str:
    """Text as code, unless there is none."""
    return f"`` {text} ``" if "`" in text else f"`{text}`" if text else ""


def render() -> str:
    """The page."""
    lines = [INTRO.rstrip("\n")]
    for platform in PLATFORMS.values():
        lines += ["", f"## {platform.title.rstrip('.')}", "", f'Document {platform.document}; `bench.use("{platform.name}")`.', ""]
        lines += rows(
            ("there", "kind", "here", "remark"), ((code(one.name), one.kind, code(one.here), told(one)) for one in named(platform))
        )
    lines += [WRITES]
    lines += rows(("platform", "written", "here"), ((one.platform, code(one.written), code(one.here)) for one in CALLS))
    lines += [UNBINDS]
    lines += rows(
        ("platform", "written", "why", "nearest form"), ((one.platform, code(one.written), one.why, code(one.nearest)) for one in UNBOUND)
    )
    lines += ["", GENERAL, ""]
    lines += rows(("written", "why", "nearest form"), ((code(written), why, code(nearest)) for written, why, nearest in UNTRANSLATED))
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    sys.stdout.write(render())
