"""The command line: each command calls one method of the workbench and shows what comes back.

Exit status: 0 done; 1 failed; 2 wrong usage; 3 from `refresh` if something due is not in the lake as it should be, and from `verify` if it
finds a fault; 130 stopped by Ctrl-C. What a command reports goes to standard output, everything else to standard error.
"""

import sys
from contextlib import closing
from typing import TYPE_CHECKING, Any

import click

from workbench import __version__
from workbench.cli import ask, backing, exchange, keep, market, past, records, resetting, restoring, running, tiers
from workbench.cli.gaps import gaps
from workbench.cli.health import health
from workbench.cli.quality import quality
from workbench.cli.scheduling import schedule
from workbench.cli.serving import serve
from workbench.cli.shared import FAILED, Command, Commands, as_json, closing_bench, common, configured, names
from workbench.cli.tokens import token
from workbench.errors import NoSource, WorkbenchError
from workbench.progress import STOPPED, Lines, conclude, console, driven, note, progress, show, stoppable, telling_faults

if TYPE_CHECKING:
    from workbench.config import Settings
    from workbench.lake.store import Lake

# What `demo` lands: sample files of these tables, for so many sessions; then what adjusts their prices.
DEMO = (("stock_day", 250), ("stock_minute", 5), ("stock_trades", 1), ("stock_quotes", 1))
DEMO_REFERENCE = ("tickers", "ticker_changes", "splits", "dividends", "conditions", "exchanges", "calendar_events")
FIRST_QUERY = """\
SELECT ticker, count(*) AS sessions, min(low) AS low, max(high) AS high, round(sum(close * volume) / 1e9, 1) AS billion_usd
FROM stock_day
WHERE NOT is_test
GROUP BY ticker
ORDER BY billion_usd DESC
LIMIT 5"""


def selection(function: Command) -> Command:
    """The options that say what to refresh."""
    options = (
        click.argument("datasets", nargs=-1),
        click.option(
            "--source", help="polygon_s3, polygon_api, yahoo, sample or folder:PATH. Default: WORKBENCH_SOURCE, or what there are keys for."
        ),
        click.option("--symbols", metavar="A,B", help="Symbols, for sources that serve symbol by symbol; flat files land whole."),
        click.option("--universe", metavar="U", help="Symbols as a file with one a line, or top:500 by turnover in the lake."),
        click.option("--days", type=int, metavar="N", help="The newest N sessions."),
        click.option("--start", metavar="DATE", help="First session, as 2026-01-31."),
        click.option("--end", metavar="DATE", help="Last session, included."),
        click.option("--last", type=int, metavar="N", help="Look at the newest N sessions again, besides what else is asked for."),
        click.option("--again", is_flag=True, help="Try files once more that were refused before."),
    )
    for option in reversed(options):
        function = option(function)
    return function


@click.group(cls=Commands, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110})
@click.version_option(__version__, prog_name="workbench")
@common
def main() -> None:
    """Market data as a lake of Parquet, asked in SQL.

    Start with `workbench demo`, which needs no keys; or `workbench refresh`, then `workbench sql "SELECT …"`.
    """


# ---------------------------------------------------------------------- fill


@main.command()
@selection
@as_json
@common
@click.pass_context
def plan(ctx: click.Context, /, json_: bool, symbols: str | None, **chosen: Any) -> None:
    """Show what `refresh` would do. Fetches and changes nothing."""
    with closing_bench(ctx) as bench:
        steps = bench.plan(symbols=names(symbols), **asked(chosen))
        if json_:
            click.echo(steps.report.to_json())
        else:
            note(steps.notes)
            console().print(steps.report)


@main.command()
@selection
@as_json
@click.option("--jsonl", is_flag=True, help="Print a line of JSON for the plan, for each step as it is done, and for the summary.")
@click.option("--reset", is_flag=True, help="Empty the tables first; shows rows and bytes, and asks.")
@click.option("--yes", is_flag=True, help="With --reset: do not ask.")
@click.option(
    "--cluster",
    metavar="ADDRESS",
    help="The Dask scheduler whose workers fetch and land flat files, as tcp://host:port. Default: WORKBENCH_CLUSTER.",
)
@click.option("--no-maintain", is_flag=True, help="Leave out the upkeep at the end ([maintain] in workbench.toml).")
@common
@click.pass_context
def refresh(
    ctx: click.Context,
    /,
    json_: bool,
    jsonl: bool,
    symbols: str | None,
    reset: bool,
    yes: bool,
    cluster: str | None,
    no_maintain: bool,
    **chosen: Any,
) -> None:
    """Bring DATASETS (default: day and minute bars of stocks) up to date; without dates, for the newest 30 sessions.

    `reference` stands for all reference data. What flat files lack is asked of the API, and of Yahoo where it is allowed. Ctrl-C stops it and
    keeps what is committed; the same command takes up what is left. Exit status 3: a due session is missing, was refused, or came from a
    fallback only.
    """
    if json_ and jsonl:
        raise click.UsageError("--json and --jsonl were both given; give one of them")
    with closing_bench(ctx) as bench, stoppable(), telling_faults(jsonl=jsonl):
        run = bench.refresh(symbols=names(symbols), maintain=False if no_maintain else None, reset=reset, executor=cluster, **asked(chosen))
        with closing(run.chain):
            if reset and bench.lake.exists:
                resetting.agreed(bench.reset(run.empties, dry_run=True), "reset", yes=yes, json_=json_ or jsonl)
            say = Lines(run) if jsonl else progress(run, quiet=json_)
            if not jsonl:
                note(run.plan.notes, quiet=json_)
            summary = driven(run, say)
            if run.stopped:
                note(run.gone, quiet=json_)
                ctx.exit(STOPPED)
        if (wanted := names(symbols)) and bench.lake.exists:
            summary.facts["tickers"] = bench.tickers(
                wanted, list(dict.fromkeys(step.table for step in run.plan)) or asked(chosen)["datasets"]
            )
    say.end(summary)
    if json_:
        click.echo(summary.to_json())
    elif not jsonl:
        conclude(summary)
    ctx.exit(summary.exit_status)


def asked(chosen: dict[str, Any]) -> dict[str, Any]:
    """The arguments of `Workbench.plan` and `Workbench.refresh` as the options give them."""
    datasets = [name for word in chosen["datasets"] for name in names(word)]
    return chosen | {"datasets": datasets or None}


# ---------------------------------------------------------------------- look


@main.command()
@as_json
@common
@click.pass_context
def status(ctx: click.Context, json_: bool) -> None:
    """Show what the lake holds."""
    with closing_bench(ctx, must_exist=True) as bench:
        show(bench.status(), json_=json_)


@main.command()
@click.argument("table")
@click.option("--start", metavar="DATE", help="First session.")
@click.option("--end", metavar="DATE", help="Last session, included.")
@as_json
@common
@click.pass_context
def coverage(ctx: click.Context, table: str, start: str | None, end: str | None, json_: bool) -> None:
    """Show every session of TABLE: landed, missing, refused or not yet due."""
    with closing_bench(ctx, must_exist=True) as bench:
        show(bench.coverage(table, start, end), json_=json_)


@main.command()
@click.option("--check", is_flag=True, help="Try each configured source with its cheapest call.")
@as_json
@common
@click.pass_context
def config(ctx: click.Context, check: bool, json_: bool) -> None:
    """Show every setting, where it came from, and the source in use; secrets are masked."""
    from workbench.query.report import Report

    settings = configured(ctx)
    missing: NoSource | None = None
    try:
        chosen = settings.chosen_source
    except NoSource as fault:
        chosen, missing = "", fault
    checks = [verdict(settings, source, used=source == chosen) for source in sources(settings)] if check else []
    title = f"root {settings.where}, source {chosen or 'not configured'}, project {settings.project}"
    facts: dict[str, Any] = {"root": settings.where, "project": str(settings.project), "chosen_source": chosen or None}
    if check:
        facts["checks"] = checks
    report = Report(title, settings.shown(), **facts)
    if json_:
        click.echo(report.to_json())
    else:
        brief = [{name: clipped(row[name]) for name in ("variable", "value", "from")} for row in report.rows]
        console().print(Report(title, brief))
        for one in checks:
            click.echo(f"{one['source']}{' (in use)' * one['in_use']}: {one['state']}. {one['detail']}")
    if check and missing:
        raise missing
    if any(one["in_use"] and one["state"] != "works" for one in checks):
        ctx.exit(FAILED)


def clipped(text: str) -> str:
    """A value short enough for a line."""
    return text if len(text) <= 60 else f"{text[:57]}…"


def sources(settings: "Settings") -> list[str]:
    """The sources that the settings name or have keys for."""
    s3 = settings.polygon_s3_access_key and settings.polygon_s3_secret_key
    api = "polygon_api" if settings.polygon_api_key else ""
    others = ["polygon_s3" if s3 else "", api, "yahoo" if settings.yahoo else "", "fred" if settings.fred_api_key else ""]
    return list(dict.fromkeys(filter(None, [settings.source, *others])))


def verdict(settings: "Settings", source: str, *, used: bool) -> dict[str, Any]:
    """What a source's cheapest call says."""
    from workbench.refresh.chain import opened

    told = {"source": source, "in_use": used}
    try:
        if source == "fred":
            from workbench.sources.fred import Fred

            with closing(Fred(settings.fred_api_key, settings.fred_url)) as series:
                found = series.check()
        else:
            with opened(settings if source == settings.source else settings.with_source(source)) as origin:
                found = origin.check()
    except WorkbenchError as fault:
        return told | {"state": "cannot be used", "detail": str(fault)}
    return told | {"state": found.state, "detail": found.detail}


# ---------------------------------------------------------------------- try


@main.command()
@click.option("--no-notebook", is_flag=True, help="Do not run the first notebook.")
@common
@click.pass_context
def demo(ctx: click.Context, no_notebook: bool) -> None:
    """Land sample files (made-up prices, no keys, no network), ask a first query and run the first notebook."""
    with closing_bench(ctx) as bench:
        from workbench.refresh.before import guard

        guard(bench.lake, "sample")
        failures = 0
        for tables, days in (*(([table], days) for table, days in DEMO), (DEMO_REFERENCE, None)):
            run = bench.refresh(source="sample", datasets=tables, days=days)
            with closing(run.chain), progress(run, quiet=not sys.stdout.isatty()) as bar, stoppable(run.stop):
                run.waits = bar.waits
                summary = run.run(bar.step)
            if run.stopped:
                raise KeyboardInterrupt
            click.echo(summary.title)
            failures += len(summary.problems)
        click.echo()
        show(bench.status())
        click.echo(f'\n$ workbench sql "{FIRST_QUERY}"\n')
        ask.emit_table(bench.con, FIRST_QUERY, None)
        click.echo()
        if not no_notebook:
            first_notebook(bench.lake)
    ctx.exit(FAILED if failures else 0)


def first_notebook(lake: "Lake") -> None:
    """Run the first notebook on a lake, and say where the result is."""
    from workbench import notebooks

    notebook = notebooks.FOLDER / "00_first_query.ipynb"
    if not notebook.exists():
        click.echo("The first notebook is not installed with the package, so it was not run; it is in the repository's notebooks/.")
        return
    click.echo(f"Running {notebook} …")
    made = notebooks.run(notebook, lake.root / "runs", data=lake.where)
    click.echo(f"The notebook ran; open it with its results: jupyter lab {made}")


for command in (
    ask.sql,
    market.bars,
    market.actions,
    market.tables,
    ask.export,
    exchange.import_,
    exchange.imports,
    keep.verify,
    keep.vacuum,
    keep.clean,
    backing.backup,
    past.history,
    past.diff,
    past.migrate,
    resetting.reset,
    restoring.restore,
    tiers.compact,
    tiers.retain,
    tiers.maintain,
    gaps,
    health,
    quality,
    records.init,
    records.flow,
    records.fold,
    running.run,
    running.runs,
    running.lab,
    schedule,
    serve,
    token,
):
    main.add_command(command)
