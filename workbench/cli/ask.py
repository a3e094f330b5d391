"""The commands that ask the lake and hand out its rows."""

import shutil
import sys
from collections.abc import Sequence
from contextlib import suppress
from io import StringIO
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from workbench.cli.fitting import fitted, grid
from workbench.cli.shared import Command, as_json, closing_bench, common, names
from workbench.progress import console, show, stoppable

if TYPE_CHECKING:
    import duckdb

    from workbench.bench import Workbench
    from workbench.importing import IfExists

SHOWN_ROWS = 100


def formats(function: Command) -> Command:
    """The options that say how rows are handed out."""
    options = (
        click.option("--format", "format_", type=click.Choice(["table", "csv", "json", "parquet"]), help="Default: table."),
        click.option("--output", type=click.Path(path_type=Path), metavar="FILE", help="Write to a file; its ending chooses the format."),
        click.option("--json", "json_", is_flag=True, help="The same as --format json."),
    )
    for option in reversed(options):
        function = option(function)
    return function


@click.command()
@click.argument("query", required=False)
@formats
@click.option("--print-views", is_flag=True, help="Print the views' declarations, for any other DuckDB.")
@click.option(
    "--save-views",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="Write a DuckDB file with views of all tables, for Superset, DBeaver and others; replaces FILE.",
)
@click.option("--platform", metavar="NAME", help="Take QUERY as it was written for a documented platform, as tetra or kraken_bot.")
@click.option("--read-only", is_flag=True, help="Run QUERY only if it is one query that can change and open nothing.")
@common
@click.pass_context
def sql(
    ctx: click.Context,
    query: str | None,
    format_: str | None,
    output: Path | None,
    print_views: bool,
    save_views: Path | None,
    platform: str | None,
    read_only: bool,
    json_: bool,
) -> None:
    """Run QUERY over the lake's tables and print the rows; `-` reads it from standard input."""
    if (query is not None) + print_views + bool(save_views) != 1:
        raise click.UsageError("give a query, `-` to read one from standard input, --print-views or --save-views")
    with closing_bench(ctx, must_exist=True) as bench:
        if print_views:
            from workbench.query.export import declarations

            emit(declarations(bench.lake, bench.snapshots()), output)
            return
        if save_views:
            from workbench.query.outside import write_views

            show(write_views(bench.catalog, save_views, overwrite=True), json_=json_)
            return
        text = sys.stdin.read() if query == "-" else str(query)
        from workbench.query.export import parted

        if not parted(text)[1]:
            raise click.UsageError("the query is empty")
        if read_only:
            only_read(bench, text, platform, format_ or ("json" if json_ else None), output)
            return
        if platform:
            catalog = bench.use(platform).catalog
            text = catalog.written(text) or catalog.translated(text)
        with bench.catalog.watch.timing(text):
            script = narrowest(bench, text)
            hand_out(bench.con, bench.settings.scratch, script, format_ or ("json" if json_ else None), output)


def only_read(bench: "Workbench", query: str, platform: str | None, format_: str | None, output: Path | None) -> None:
    """Print the rows of a query that can only read, or put them into a file: the rows alone come out of the session that runs it."""
    import duckdb

    from workbench.query.guarded import Guarded
    from workbench.query.views import literal

    with Guarded(bench) as guarded, duckdb.connect(config={"temp_directory": ""}) as apart:
        apart.execute(f"SET GLOBAL TimeZone = {literal(bench.settings.timezone)}")
        guarded.again(query, platform=platform).relation(apart).create_view("rows_of_the_query")
        hand_out(apart, bench.settings.scratch, "FROM rows_of_the_query", format_, output)


def narrowest(bench: "Workbench", script: str) -> str:
    """A script with fewer files to read, if it is one query whose conditions leave fewer, and DuckDB takes it."""
    import duckdb

    from workbench.query.export import parted

    before, last = parted(script)
    text = None if before else bench.catalog.narrowed(last)
    if text:
        # What is wrong with a query is told in its own words.
        with suppress(duckdb.Error):
            bench.con.sql(text)
            return text
    return script


def hand_out(con: "duckdb.DuckDBPyConnection", scratch: Path, script: str, format_: str | None, output: Path | None) -> None:
    """Print the rows of a script's last statement, or put them into a file, in a format or in that of the file's ending."""
    from workbench.query.export import copy, replacing

    chosen = format_ or ending(output)
    if chosen == "table":
        emit_table(con, script, output)
    elif output:
        with replacing(output) as draft:
            copy(con, script, draft, chosen)
    else:
        pour(con, scratch, script, chosen)


def ending(output: Path | None) -> str:
    """The format that a file's ending names."""
    suffix = output.suffix.removeprefix(".") if output else ""
    return suffix if suffix in ("csv", "json", "parquet") else "table"


def emit(text: str, output: Path | None) -> None:
    """Print a text, or put it into a file."""
    if not output:
        click.echo(text, nl=False)
        return
    from workbench.query.export import replacing

    with replacing(output) as draft:
        draft.write_text(text, encoding="utf-8")


def emit_table(con: "duckdb.DuckDBPyConnection", script: str, output: Path | None) -> None:
    """Print the first rows of a script's result, and how many more there are."""
    from rich.console import Console

    from workbench.query.export import first_rows

    columns: Sequence[str]
    rows: Sequence[Sequence[Any]]
    columns, rows, count = first_rows(con, script, SHOWN_ROWS)
    if not columns:
        click.echo("done", err=True)
        return
    terminal = None if output or not sys.stdout.isatty() else console().width
    left_out: list[str] = []
    if terminal:
        columns, rows, left_out = fitted(columns, rows, terminal)
    drawn = grid(columns, rows)
    made = StringIO()
    # In a file or a pipe there is room for every column.
    shown = Console(file=made, width=terminal or 10_000, highlight=False, force_terminal=bool(terminal), soft_wrap=False)
    shown.print(drawn)
    emit("".join(f"{line.rstrip()}\n" for line in made.getvalue().splitlines()), output)
    more = f", the first {SHOWN_ROWS} shown: --format csv gives all" * (count > SHOWN_ROWS)
    fewer = f"; left out to fit: {', '.join(left_out)}" * bool(left_out)
    click.echo(f"{count:,} row{'s' * (count != 1)}{more}{fewer}", err=True)


def pour(con: "duckdb.DuckDBPyConnection", scratch: Path, query: str, format_: str) -> None:
    """Write a query's rows to standard output, when all of them are there."""
    if format_ == "parquet" and sys.stdout.isatty():
        raise click.UsageError("Parquet is not for a terminal: give --output FILE, or redirect standard output")
    import tempfile

    from workbench.query.export import copy

    scratch.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=scratch) as folder:
        made = Path(folder) / "rows"
        copy(con, query, made, format_)
        out = sys.stdout.buffer
        with made.open("rb") as rows:
            shutil.copyfileobj(rows, out)
        out.flush()


# ---------------------------------------------------------------------- hand out


@click.command()
@click.argument("table")
@click.argument("dest", required=False, type=click.Path(path_type=Path))
@click.option("--to", metavar="URL", help="Write into a database instead: sqlite:path.db, or postgresql://user:password@host/db.")
@click.option(
    "--if-exists", type=click.Choice(["fail", "replace", "append"]), help="With --to: what to do with a table that is there. Default: fail."
)
@click.option("--format", "format_", type=click.Choice(["parquet", "csv", "arrow"]), help="Default: parquet.")
@click.option("--partition-by", metavar="COLUMNS", help="Make DEST a folder with a folder for each value, as date=2026-01-30/.")
@click.option("--start", metavar="DATE", help="First session.")
@click.option("--end", metavar="DATE", help="Last session, included.")
@click.option("--symbols", metavar="A,B", help="Only these tickers.")
@click.option("--overwrite", is_flag=True, help="Replace what DEST holds.")
@as_json
@common
@click.pass_context
def export(
    ctx: click.Context,
    table: str,
    dest: Path | None,
    to: str | None,
    if_exists: "IfExists | None",
    format_: str | None,
    partition_by: str | None,
    start: str | None,
    end: str | None,
    symbols: str | None,
    overwrite: bool,
    json_: bool,
) -> None:
    """Write TABLE to DEST as plain files for any other tool, or into a database with --to.

    DEST is a file, or a folder with --partition-by; in a folder that is there, a file named after the table. It appears when it is
    complete. In a database the table is made with the document's names, key and checks, and all rows go in or none; an import brings
    them back as they are.
    """
    from workbench.arguments import as_date
    from workbench.query.export import export as export_table

    if (dest is None) == (to is None):
        raise click.UsageError("give DEST, a file or folder, or --to URL, a database: one of them")
    files = {"--format": format_, "--partition-by": partition_by, "--overwrite": overwrite}
    if odd := [name for name, given in files.items() if to is not None and given] or ["--if-exists"] * bool(dest and if_exists):
        raise click.UsageError(f"{odd[0]} is for {'files; a database takes --if-exists' if to else 'a database; files take --overwrite'}")
    with closing_bench(ctx, must_exist=True) as bench, stoppable():
        by, tickers = names(partition_by), names(symbols)
        if to is not None:
            show(bench.export_to(table, to, if_exists=if_exists or "fail", start=start, end=end, symbols=tickers), json_=json_)
            return
        assert dest
        # What keeps a documented table from being shown is told, instead of that there is none.
        bench.catalog.documented.prepare(f"FROM {table}")
        made = export_table(
            bench.con, bench.lake, table, dest, format_ or "parquet", by, as_date(start), as_date(end), tickers, overwrite=overwrite
        )
    show(made, json_=json_)
