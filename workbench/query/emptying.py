"""The rows that people wrote, taken out of whole tables."""

from collections.abc import Sequence
from typing import Any

from workbench.errors import UnknownName
from workbench.lake.remote.where import readable
from workbench.query.deletes import unreferred
from workbench.query.ledger import Within
from workbench.query.report import Report
from workbench.query.staging import asking
from workbench.tables import platforms
from workbench.tables.record import Record


def meant(records: Sequence[Record], scope: str | Sequence[str] | None) -> list[Record]:
    """The tables of a scope: of a platform, a schema, or all; or one table; or of several scopes. Raises `UnknownName`."""
    ours = [one for one in records if one.takes_rows]
    if scope is None:
        return ours
    if not isinstance(scope, str):
        return list({one.full: one for each in scope for one in meant(records, each)}.values())
    told = str(scope).lower()
    if named := [one for one in ours if told in (one.schema, one.full)]:
        return named
    known = {*platforms.PLATFORMS, *platforms.SCHEMAS, *(one.full for one in ours)}
    if told in platforms.SCHEMAS:
        return []
    try:
        schemas = platforms.platform(told).schemas
    except UnknownName:
        raise UnknownName("platform, schema or table that people write to", str(scope), known) from None
    return [one for one in ours if one.schema in schemas]


def emptied(within: Within, tables: Sequence[Record], *, dry_run: bool) -> Report:
    """Take all rows out of some tables; a dry run only says which. Raises `BrokenRule` if rows of another table refer to some."""
    names = [one.full for one in tables]
    rows: list[dict[str, Any]] = []
    for record in tables:
        there = within.there(record.full)
        if there.empty:
            continue
        keys = list(record.key or record.names[:1])
        with asking() as con:
            held = con.sql(there.query(con, keys)).to_arrow_table()
        if not len(held):
            continue
        rows.append({"table": record.full, "rows": len(held)})
        if not dry_run:
            unreferred(within, record, held, names)
            within.clear(record, len(held))
    total = sum(row["rows"] for row in rows)
    did = "would be taken out; nothing was" if dry_run else "were taken out"
    what = (
        f"{total:,} rows of {len(rows)} table{'s' * (len(rows) != 1)} that people write {did}"
        if rows
        else "no table holds rows that people wrote"
    )
    return Report(f"{readable(within.ledger.root)}: {what}", rows, rows_total=total, dry_run=dry_run)
