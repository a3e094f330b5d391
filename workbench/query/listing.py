"""What can be asked in SQL: the lake's tables, the documented platforms', views and macros, with what they mean: `Workbench.tables`."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from datetime import date
from pathlib import Path
from typing import Any

import duckdb

from workbench.errors import QueryError, UnknownName
from workbench.lake.declared import declared, records
from workbench.lake.remote.where import readable
from workbench.lake.snapshots import Snapshot
from workbench.query import synclog
from workbench.query.documented import View, every
from workbench.query.report import Report
from workbench.tables import TABLES, Table
from workbench.tables.dictionary import limits, meaning
from workbench.tables.documents import fed
from workbench.tables.documents import named as mirrors
from workbench.tables.platforms import OTHER_NAMES, PLATFORMS, RECORDS, platform
from workbench.tables.record import Record

KINDS = ("table", "reference table", "documented table", "table of one's own", "view", "table macro", "macro")
SYNC_LOG = View("main", synclog.NAME, "view", synclog.DOC, (f"SELECT * FROM {synclog.NAME} ORDER BY started_at DESC LIMIT 10",), "")

Ask = Callable[..., Any]


def listing(snapshots: Mapping[str, Snapshot], root: str) -> Report:
    """All that a query can name, a row each, by kind; rows are counted where the lake holds them."""
    rows = [
        told(name, kind(table), table.doc)
        | {
            "rows": snapshots[name].rows if name in snapshots else None,
            "since": table.starts if table.starts > date.min else None,
            "chunks": " → ".join(table.chunks),
            "key": ", ".join(table.key),
        }
        for name, table in TABLES.items()
    ]
    blank = {"rows": None, "since": None, "chunks": "", "key": ""}
    rows += [told(one.full, "documented table", doc(one)) | blank | {"key": ", ".join(one.key)} for one in RECORDS.values()]
    own = declared(Path(root))
    rows += [told(one.full, "table of one's own", one.doc) | blank | {"key": ", ".join(one.key)} for one in own.values()]
    rows += [told(view.call, view.kind, view.doc) | blank | {"name": named(view)} for view in known().values() if listed(view)]
    rows.sort(key=lambda row: KINDS.index(row["kind"]))
    counted = f"rows as in {readable(root)}" if snapshots else f"no lake in {readable(root)}"
    report = Report(
        f"{len(TABLES)} tables, {len(RECORDS)} of documented platforms, {len(rows) - len(TABLES) - len(RECORDS) - len(own)} views and macros"
        f"{f', {len(own)} declared on the lake' * bool(own)}; {counted}",
        rows,
        ("key", "chunks", "since"),
        root=root,
    )
    report.most = len(rows)
    return report


def told(call: str, of_kind: str, doc: str) -> dict[str, Any]:
    """What the list says of one: how it is written, and the first sentence of what it is."""
    return {"name": call, "kind": of_kind, "call": call, "doc": brief(doc)}


def brief(doc: str) -> str:
    """The first sentence of a documentation."""
    return " ".join(doc.split("\n\n")[0].split()).split(". ")[0].rstrip(".")


def kind(table: Table) -> str:
    """What a lake's table is called in the list."""
    return "reference table" if table.kind == "reference" else "table"


def known() -> dict[str, View]:
    """The documented views and macros, as a query would name them."""
    return {named(view): view for view in [SYNC_LOG, *every().values()]}


def listed(view: View) -> bool:
    """Whether a list names a view or macro itself, not only the documented table that it shows."""
    return view.full not in RECORDS and view.full not in OTHER_NAMES and view.schema != "imported"


def doc(record: Record) -> str:
    """What a documented table is; the comment of its view tells more, where market data feeds it."""
    return every()[record.full].doc if record.full in every() else record.doc


def named(view: View) -> str:
    """A view's or macro's name; with its schema where that is not main."""
    return view.name if view.schema == "main" else view.full


def of(name: str, snapshots: Mapping[str, Snapshot], ask: Ask, root: Path) -> Report:
    """One table, view or macro: its columns or arguments, what they mean, and examples; or what a platform has. Raises `UnknownName` with the nearest."""
    plain = name.strip().lower().removeprefix("main.").partition("(")[0]
    if plain in TABLES:
        return table(TABLES[plain], snapshots)
    if plain in RECORDS:
        return record(RECORDS[plain])
    if one := declared(root).get(plain):
        return record(one)
    views = {one.lower(): view for one, view in known().items()}
    if plain not in views:
        with suppress(UnknownName):
            return of_platform(plain)
        candidates = dict.fromkeys([*TABLES, *records(root), *known(), *PLATFORMS])
        raise UnknownName("table, view, macro or platform", name, candidates, hint="`workbench tables` lists them.")
    view = views[plain]
    facts: dict[str, Any] = {"name": named(view), "kind": view.kind, "call": view.call, "doc": view.doc, "examples": list(view.examples)}
    title = f"{view.call}, a {view.kind}: {brief(view.doc)}"
    if view.kind == "view":
        return whole(Report(title, described(ask, f"FROM {named(view)}"), **facts))
    rows = [{"argument": one, "default": default or "(needed)"} for one, default in arguments(view)]
    if view.kind == "table macro":
        needed = ", ".join("NULL" for _, default in arguments(view) if not default)
        facts["columns"] = described(ask, f"FROM {named(view)}({needed})")
    return whole(Report(title, rows, **facts))


def table(declared: Table, snapshots: Mapping[str, Snapshot]) -> Report:
    """A lake's table: its columns with type, unit and meaning."""
    rows = [
        {
            "column": c.name,
            "type": c.type,
            "unit": c.unit,
            "required": c.required,
            "range": limits(c),
            "meaning": meaning(c).replace("`", ""),
        }
        for c in declared.columns
    ]
    held = snapshots[declared.name].rows if declared.name in snapshots else None
    count = f"{held:,} rows" if held is not None else "no lake"
    facts = {"name": declared.name, "kind": kind(declared), "doc": declared.doc, "rows_held": held, "key": list(declared.key)}
    return whole(Report(f"{declared.name}, a {kind(declared)}, {count}: {brief(declared.doc)}", rows, ("range", "required"), **facts))


def record(declared: Record) -> Report:
    """A documented table: its columns with type, default and meaning, and the rules that its rows keep."""
    rows = [
        {
            "column": c.name,
            "type": c.type,
            "document": c.told,
            "required": c.required,
            "default": "numbered" if c.serial else c.default,
            "meaning": c.doc.replace("`", ""),
        }
        for c in declared.columns
    ]
    text = doc(declared)
    examples = every()[declared.full].examples if declared.full in every() else ()
    facts: dict[str, Any] = {
        "name": declared.full,
        "kind": "documented table",
        "doc": text,
        "key": list(declared.key),
        "rules": [*rules(declared)],
    }
    facts |= {"fed": list(declared.fed), "takes_rows": declared.takes_rows, "example": dict(declared.example), "examples": list(examples)}
    title = f"{declared.full}, a documented table: {brief(text)}"
    return whole(Report(title, rows, ("document", "required", "default"), **facts))


def rules(declared: Record) -> Iterator[str]:
    """What rows of a documented table keep, and where they come from, a line each."""
    if declared.key:
        yield f"key: {', '.join(declared.key)}"
    yield from (f"unique: {', '.join(names)}" for names in declared.unique)
    yield from (f"check {one.name}: {one.rule}" for one in declared.checks)
    yield from (f"reference: {', '.join(one.columns)} to {one.table}, {', '.join(one.to)}" for one in declared.references)
    yield f"rows: {rows_of(declared)}"


def rows_of(declared: Record) -> str:
    """Where the rows of a documented table come from, as part of a sentence."""
    text = fed(declared).replace("`", "").rstrip(".")
    return text[0].lower() + text[1:]


def of_platform(name: str) -> Report:
    """The tables and views of a platform, or of one of its schemas. Raises `UnknownName`."""
    one = platform(name)
    schemas = {name} if name in one.schemas else set(one.schemas)
    rows = [
        {"name": each.full, "key": ", ".join(each.key), "rows": rows_of(each), "doc": brief(doc(each))}
        for each in one.records
        if each.schema in schemas
    ]
    others = [view for view in known().values() if listed(view) and view.schema in schemas]
    rows += [{"name": view.full, "key": "", "rows": "a view", "doc": brief(view.doc)} for view in others]
    facts = {"name": name, "kind": "platform", "doc": one.title, "schemas": sorted(schemas), "document": one.document}
    return whole(Report(f"{name}, {len(rows)} tables and views: {one.title.rstrip('.')}", rows, ("key", "rows"), **facts))


def documents() -> Report:
    """What each platform's document names, and what it is here."""
    rows = [
        {"platform": one.name, "there": each.name, "kind": each.kind, "here": each.here, "state": each.state, "remark": each.note}
        for one in PLATFORMS.values()
        for each in mirrors(one)
    ]
    mirrored = sum(row["state"] == "here" for row in rows)
    return whole(
        Report(f"{len(rows)} names in the documents of {len(PLATFORMS)} platforms; {mirrored} are here", rows, ("kind", "platform"))
    )


def whole(report: Report) -> Report:
    """A report that is shown with all its rows."""
    report.most = len(report)
    return report


def arguments(view: View) -> list[tuple[str, str]]:
    """A macro's arguments in their order, each with its default; none where it is needed."""
    parts: list[str] = []
    depth = 0
    for piece in view.arguments.split(","):
        # A comma in brackets, as in a default's type, ends no argument.
        parts = [*parts[:-1], f"{parts[-1]},{piece}"] if depth else [*parts, piece]
        depth += piece.count("(") + piece.count("[") - piece.count(")") - piece.count("]")
    pairs = (part.partition(":=") for part in parts if part.strip())
    return [(name.strip(), default.strip()) for name, _, default in pairs]


def described(ask: Ask, query: str) -> list[dict[str, Any]]:
    """The columns that a query gives; none where DuckDB does not tell without values."""
    with suppress(QueryError, duckdb.Error):
        return [{"column": column, "type": str(type_)} for column, type_, *_ in ask(f"DESCRIBE {query}").fetchall()]
    return []
