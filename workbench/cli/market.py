"""The commands that ask about the market: bars, what corporate actions did to them, and what can be asked at all."""

import json
from collections.abc import Iterable
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from workbench.cli.ask import formats, hand_out
from workbench.cli.shared import as_json, closing_bench, common, names
from workbench.progress import console, note, show

if TYPE_CHECKING:
    from workbench.query.report import Report

# The name under which DuckDB finds the bars that are handed out.
ASKED = "bars_that_were_asked"
TITLES = {
    "table": "Tables",
    "reference table": "Reference data",
    "documented table": "Tables of the documented platforms, by schema",
    "table of one's own": "Tables that were declared on this lake",
    "view": "Views",
    "table macro": "Macros that give rows: they stand where a table does",
    "macro": "Macros that give a value: they stand where a column does",
}


@click.command()
@click.argument("tickers")
@click.option("--start", metavar="DATE", help="First session.")
@click.option("--end", metavar="DATE", help="Last session, included.")
@click.option("--freq", default="1d", show_default=True, help="1m, 5m, 15m, 30m, 1h, 1d, 1w or 1mo.")
@click.option("--adjusted", default="none", show_default=True, help="none, splits, or all for splits and dividends.")
@click.option("--as-of", metavar="DATE", help="Only corporate actions up to this date count, and no later bars are shown. Default: today.")
@click.option("--session", default="all", show_default=True, help="all, pre, regular or post.")
@click.option("--fill", metavar="forward", help="Put bars where there are none, at the close before; needs --limit.")
@click.option("--limit", type=int, metavar="N", help="With --fill: at most so many bars in a row.")
@click.option("--follow", is_flag=True, help="Take the earlier symbols of a ticker with it.")
@click.option("--table", metavar="NAME", help="Another table of bars. Default: by the ticker's prefix.")
@formats
@common
@click.pass_context
def bars(
    ctx: click.Context, /, tickers: str, fill: str | None, format_: str | None, output: Path | None, json_: bool, **chosen: Any
) -> None:
    """Show bars of TICKERS, as AAPL or AAPL,MSFT, by ticker and time.

    Without --start and --end, all that the lake holds. Bars of a week or month, and those within a day, are told by session.
    """
    asked = names(tickers)
    if not asked:
        raise click.UsageError("no ticker was given; name one, or several as AAPL,MSFT")
    with closing_bench(ctx, must_exist=True) as bench:
        frame = bench.bars(asked, fill=fill, **chosen)
        without = [ticker for ticker in asked if ticker not in set(frame["ticker"])]
        bench.con.register(ASKED, frame.to_arrow())
        hand_out(bench.con, bench.settings.scratch, f"FROM {ASKED}", format_ or ("json" if json_ else None), output)
        if without:
            note(
                [f"there are no bars of {', '.join(without)}; case matters, and `workbench coverage` shows what the lake holds"], quiet=True
            )


@click.command()
@click.argument("tickers")
@click.option("--as-of", metavar="DATE", help="Only actions up to this date. Default: today.")
@as_json
@common
@click.pass_context
def actions(ctx: click.Context, tickers: str, as_of: str | None, json_: bool) -> None:
    """Show the splits and dividends of TICKERS, what each does to the prices before it, and why one does nothing."""
    asked = names(tickers)
    if not asked:
        raise click.UsageError("no ticker was given; name one, or several as AAPL,MSFT")
    with closing_bench(ctx, must_exist=True) as bench:
        show(bench.actions(asked, as_of), json_=json_)


@click.command()
@click.argument("name", required=False)
@click.option("--documents", is_flag=True, help="Every name in the documents of the five platforms, and what it is here.")
@as_json
@common
@click.pass_context
def tables(ctx: click.Context, name: str | None, documents: bool, json_: bool) -> None:
    """List what can be asked in SQL: tables, reference data, documented tables, views and macros, and how many rows the lake has of each.

    With NAME, one of them: columns with type, unit and meaning, keys and checks, or arguments, documentation and examples; or what a platform has.
    """
    if name and documents:
        raise click.UsageError("--documents lists every name; give no NAME beside it")
    with closing_bench(ctx) as bench:
        report = bench.tables(name, documents=documents)
    if json_:
        show(report, json_=True)
    elif documents:
        for platform in by_platform(report):
            console().print(platform)
            click.echo()
        note([report.title])
    elif name:
        tell(report)
    else:
        for part in parts(report):
            console().print(part)
            click.echo()
        note([report.title, "`workbench tables NAME` tells more of one, or of a platform; --documents, what a document's names are here."])


def parts(report: "Report") -> Iterable["Report"]:
    """The list of what can be asked, a report for each kind."""
    from workbench.query.report import Report

    for kind, alike in groupby(report, key=lambda row: str(row["kind"])):
        if kind == "documented table":
            yield by_schema([str(row["name"]) for row in alike])
            continue
        kept = ("name", "rows", "since", "chunks", "key", "doc") if "table" in (kind, kind.partition(" ")[2]) else ("name", "doc")
        part = Report(TITLES[kind], [{key: row[key] for key in kept} for row in alike], report.spare)
        part.most = len(part)
        yield part


def by_platform(report: "Report") -> Iterable["Report"]:
    """What the documents name, a report for each platform."""
    from workbench.query.report import Report
    from workbench.tables.platforms import PLATFORMS

    for name, alike in groupby(report, key=lambda row: str(row["platform"])):
        rows = [{key: value for key, value in row.items() if key != "platform"} for row in alike]
        part = Report(PLATFORMS[name].title, rows, ("kind",))
        part.most = len(part)
        yield part


def by_schema(names: Iterable[str]) -> "Report":
    """The documented tables, a row for each schema."""
    from workbench.query.report import Report
    from workbench.tables.platforms import SCHEMAS

    schemas = [
        (schema, [name.partition(".")[2] for name in alike]) for schema, alike in groupby(names, key=lambda name: name.partition(".")[0])
    ]
    rows = [{"schema": schema, "tables": ", ".join(tables), "platform": SCHEMAS[schema].name} for schema, tables in schemas]
    return Report(TITLES["documented table"], rows)


def tell(report: "Report") -> None:
    """One table, view, macro or platform, as a person reads it."""
    from rich.text import Text

    from workbench.query.report import Report

    out = console()
    out.print(Text(report.title))
    for paragraph in report.facts["doc"].split("\n\n")[1:]:
        out.print(Text("\n" + " ".join(paragraph.split())))
    for title, rows in (("", report.rows), ("It gives", report.facts.get("columns", []))):
        if rows:
            part = Report(title, rows, report.spare)
            part.most = len(rows)
            out.print(part)
    if rules := report.facts.get("rules"):
        out.print(Text("\n" + "\n".join(rules)))
    if example := report.facts.get("example"):
        click.echo(f"\nA row: {json.dumps(example, default=str)}")
    for example in report.facts.get("examples", ()):
        click.echo(f'\n$ workbench sql "{example}"' if '"' not in example else f"\n{example}")
