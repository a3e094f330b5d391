"""The commands of what people write: first rows, the daily flow, and the fold of the journal."""

import importlib
import sys
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

import click

from workbench.cli.shared import as_json, closing_bench, common, names
from workbench.errors import UsageError
from workbench.progress import note, show, stoppable

if TYPE_CHECKING:
    from workbench.flows import Decide


@click.command()
@click.argument("platform")
@click.option("--strategies", metavar="A,B", help="Names of AmpyFin's strategies. Default: a few well-known indicators.")
@as_json
@common
@click.pass_context
def init(ctx: click.Context, platform: str, strategies: str | None, json_: bool) -> None:
    """Write what the document of PLATFORM initialises: shrek, ampyfin, kraken_bot, tetra or layers. Makes the lake if there is none.

    What is there stays as it is; running it again writes nothing.

    For example `workbench init ampyfin --strategies RSI_indicator,MACD_indicator`.
    """
    with closing_bench(ctx) as bench:
        made = bench.init(platform, names(strategies) if strategies is not None else None)
    show(made, json_=json_)


@click.command()
@click.argument("platform")
@click.option(
    "--strategies",
    "function",
    metavar="MODULE:FUNCTION",
    help="Decides: called with a strategy, a ticker and its history. Default: decisions that stand in the table.",
)
@click.option("--names", "named", metavar="A,B", help="Names of the strategies that decide. Default: those that init wrote.")
@click.option("--symbols", metavar="A,B", help="Tickers that are decided on. Default: of WORKBENCH_UNIVERSE those with prices.")
@click.option("--start", metavar="DATE", help="First session of the first run. Default: the first with prices.")
@click.option("--end", metavar="DATE", help="Last session, included. Default: the newest with prices.")
@as_json
@common
@click.pass_context
def flow(
    ctx: click.Context,
    platform: str,
    function: str | None,
    named: str | None,
    symbols: str | None,
    start: str | None,
    end: str | None,
    json_: bool,
) -> None:
    """Run the daily flow of PLATFORM (ampyfin) over sessions that have not been run yet.

    Prices, decisions, paper fills at the next open, holdings, cash and counts, portfolio values, points, ranks. A session is written whole or not
    at all; Ctrl-C keeps those before, and the same command goes on.

    For example `workbench flow ampyfin --strategies workbench.flows:momentum`, or with a function and names of your own
    `workbench flow ampyfin --strategies mine:decide --names RSI_indicator --symbols AAPL,MSFT --start 2024-01-02`.
    """
    decide = function_of(function) if function else None
    with closing_bench(ctx, must_exist=True) as bench, stoppable():
        made = bench.flow(
            platform,
            decide,
            start,
            end,
            strategies=names(named) if named is not None else None,
            symbols=names(symbols) if symbols is not None else None,
        )
    show(made, json_=json_)
    note(made.facts["notes"], quiet=json_)


@click.command()
@click.option(
    "--apart", is_flag=True, help="Fold nothing: show the rows that were set apart, since another machine had written their keys first."
)
@click.option("--forget", is_flag=True, help="With --apart: let go of them.")
@as_json
@common
@click.pass_context
def fold(ctx: click.Context, apart: bool, forget: bool, json_: bool) -> None:
    """Fold what the records' journal holds into Parquet. It happens by itself by and by, and with `workbench maintain`.

    Rows are seen by every query before it and after it; it is for whoever copies the lake's folder, or reads its tables with other tools.
    """
    from workbench.query.report import Report

    if forget and not apart:
        raise click.UsageError("--forget lets go of rows that were set apart: give it with --apart")
    with closing_bench(ctx, must_exist=True) as bench:
        if apart:
            show(bench.set_apart(forget=forget), json_=json_)
            return
        rows = [asdict(one) for one in bench.fold()]
        told = f"{sum(row['rows'] for row in rows):,} rows and keys of {len(rows)} table{'s' * (len(rows) != 1)} were folded"
        made = Report(f"{bench.lake.where}: {told if rows else 'the journal holds nothing to fold'}", rows, ("seconds", "removed"))
    show(made, json_=json_)


def function_of(text: str) -> "Decide":
    """The function that `module:function` names; modules of the working directory count. Raises `UsageError`."""
    module, _, name = text.partition(":")
    if not module or not name:
        raise UsageError(f"{text!r} does not name a function; nothing was run. Write module:function, as workbench.flows:momentum.")
    here = str(Path.cwd())
    if here not in sys.path:
        sys.path.insert(0, here)
    try:
        found = getattr(importlib.import_module(module), name)
    except (ImportError, AttributeError, ValueError) as fault:
        raise UsageError(f"{text!r} cannot be imported ({fault}); nothing was run. Give a module that Python finds from here.") from fault
    except Exception as fault:
        raise UsageError(f"{text!r} cannot be imported ({type(fault).__name__}: {fault}); nothing was run.") from fault
    if not callable(found):
        raise UsageError(f"{text!r} is no function; nothing was run.")
    return found  # type: ignore[no-any-return]
