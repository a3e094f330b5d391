"""The commands that ask the lake and hand out its rows."""

import shutil
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

from workbench.cli.shared import as_json, closing_bench, common, names
from workbench.progress import console, grid, show

if TYPE_CHECKING:
    from workbench.bench import Workbench

SHOWN_ROWS = 100


@click.command()
@click.argument("query", required=False)
@click.option("--format", "format_", type=click.Choice(["table", "csv", "json", "parquet"]), help="Default: table.")
@click.option("--output", type=click.Path(path_type=Path), metavar="FILE", help="Write to a file; its ending chooses the format.")
@click.option("--print-views", is_flag=True, help="Print the views' declarations, for any other DuckDB.")
@click.option("--json", "json_", is_flag=True, help="The same as --format json.")
@common
@click.pass_context
def sql(ctx: click.Context, query: str | None, format_: str | None, output: Path | None, print_views: bool, json_: bool) -> None:
    """Run QUERY over the lake's tables and print the rows; `-` reads it from standard input."""
    if (query is None) != print_views:
        raise click.UsageError("give a query, `-` to read one from standard input, or --print-views")
    with closing_bench(ctx, must_exist=True) as bench:
        if print_views:
            from workbench.query.export import declarations

            emit(declarations(bench.lake, bench.snapshots()), output)
            return
        text = sys.stdin.read() if query == "-" else str(query)
        from workbench.query.export import copy, parted, replacing

        if not parted(text)[1]:
            raise click.UsageError("the query is empty")
        chosen = format_ or ("json" if json_ else ending(output))
        if chosen == "table":
            emit_table(bench, text, output)
        elif output:
            with replacing(output) as draft:
                copy(bench.con, text, draft, chosen)
        else:
            pour(bench, text, chosen)


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


def emit_table(bench: "Workbench", script: str, output: Path | None) -> None:
    """Print the first rows of a script's result, and how many more there are."""
    from workbench.query.export import first_rows

    columns, rows, count = first_rows(bench.con, script, SHOWN_ROWS)
    if not columns:
        click.echo("done", err=True)
        return
    shown = console()
    with shown.capture() as captured:
        shown.print(grid(columns, rows))
    emit(captured.get(), output)
    more = f", the first {SHOWN_ROWS} shown: --format csv gives all" * (count > SHOWN_ROWS)
    click.echo(f"{count:,} row{'s' * (count != 1)}{more}", err=True)


def pour(bench: "Workbench", query: str, format_: str) -> None:
    """Write a query's rows to standard output, when all of them are there."""
    if format_ == "parquet" and sys.stdout.isatty():
        raise click.UsageError("Parquet is not for a terminal: give --output FILE, or redirect standard output")
    import tempfile

    from workbench.query.export import copy

    bench.settings.scratch.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=bench.settings.scratch) as folder:
        made = Path(folder) / "rows"
        copy(bench.con, query, made, format_)
        out = sys.stdout.buffer
        with made.open("rb") as rows:
            shutil.copyfileobj(rows, out)
        out.flush()


# ---------------------------------------------------------------------- hand out


@click.command()
@click.argument("table")
@click.argument("dest", type=click.Path(path_type=Path))
@click.option("--format", "format_", type=click.Choice(["parquet", "csv", "arrow"]), default="parquet", show_default=True)
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
    dest: Path,
    format_: str,
    partition_by: str | None,
    start: str | None,
    end: str | None,
    symbols: str | None,
    overwrite: bool,
    json_: bool,
) -> None:
    """Write TABLE to DEST as plain files for any other tool.

    DEST is a file, or a folder with --partition-by; in a folder that is there, a file named after the table. It appears when it is
    complete.
    """
    from workbench.arguments import as_date
    from workbench.query.export import export as export_table

    with closing_bench(ctx, must_exist=True) as bench:
        by, tickers = names(partition_by), names(symbols)
        made = export_table(bench.con, bench.lake, table, dest, format_, by, as_date(start), as_date(end), tickers, overwrite=overwrite)
    show(made, json_=json_)
