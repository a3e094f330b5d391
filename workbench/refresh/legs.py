"""Which source of rows is asked for a due session that flat files lack: for the whole market, or ticker by ticker. Pure decisions."""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import replace
from datetime import date
from typing import TYPE_CHECKING

from workbench import sessions
from workbench.lake.landings import Landing
from workbench.refresh.chain import Chain
from workbench.sources import RowSource
from workbench.tables import Table
from workbench.tables.answers import ASSETS, RANK, SOURCES, key_of

if TYPE_CHECKING:
    from workbench.refresh.plan import Step

ORIGINS = {name: origin for origin, name in SOURCES.items()}


def assign(
    table: Table,
    steps: "Iterable[Step]",
    held: Mapping[str, Landing],
    chain: Chain,
    symbols: Sequence[str],
    universe: Sequence[str],
    anew: Collection[date],
    down: str,
) -> "list[Step]":
    """The steps of a table, with what flat files lack of due sessions turned into questions to the first leg that serves them.

    `anew` are the sessions that are asked for again even if their rows are here; `down` is why flat files could not be listed.
    """
    answered: dict[date, list[Landing]] = {}
    for landing in held.values():
        if ":" in landing.key and (landing.held or landing.retired in ("archived", "dropped")):
            answered.setdefault(landing.session, []).append(landing)
    found = []
    for step in steps:
        if step.action not in ("missing", "refused") or step.session > sessions.last_due():
            found.append(step)
            continue
        if down or not chain.files:
            step = replace(step, reason=f"{chain.name} could not be listed" if down else "not in the lake")
        made = ask(table, step, answered.get(step.session, []), chain, symbols, universe, step.session in anew)
        # What nobody looked for is not known to be missing.
        found += [replace(one, action="failed", reason=down) if down and one.action == "missing" else one for one in made]
    return found


def ask(
    table: Table, step: "Step", here: Sequence[Landing], chain: Chain, symbols: Sequence[str], universe: Sequence[str], anew: bool
) -> "list[Step]":
    """The question that a session is turned into; none if its rows are here, and the step as it was if no leg serves it."""
    primary = chain.primary
    for leg in chain.rows:
        tickers = wanted(leg, table, symbols, universe)
        if tickers is None:
            continue
        left = tickers if anew else lacking(leg, here, tickers)
        if left is None:
            stands = max(here, key=lambda one: RANK[one.source])
            told = f"{step.reason}; rows of {stands.source} stand in since {stands.landed_at[:10]}"
            return [] if primary else [replace(step, action="stands in", reason=told, source=stands.source)]
        return [asked(leg, table, step, left, "" if primary and leg is chain.rows[0] else chain.name)]
    return [step]


def asked(leg: RowSource, table: Table, step: "Step", tickers: Sequence[str], instead_of: str) -> "Step":
    """The step that asks a leg for a session."""
    key = key_of(ORIGINS[leg.name], table.name, step.session, tickers)
    return replace(step, action="ask", key=key, source=leg.name, tickers=tuple(tickers), instead_of=instead_of, file=None, size=0)


def wanted(leg: RowSource, table: Table, symbols: Sequence[str], universe: Sequence[str]) -> tuple[str, ...] | None:
    """The tickers to ask a leg for; none for the whole market. None if it does not serve the table."""
    if not symbols and not leg.refuses(table.name, whole=True):
        return ()
    # A symbol's prefix tells its asset class: those of another one are none of this table's.
    asset = table.name.partition("_")[0]
    some = tuple(dict.fromkeys(one for one in symbols or universe if ASSETS.get(one[:2], "stock") == asset))
    return None if not some or leg.refuses(table.name, whole=False) else some


def lacking(leg: RowSource, here: Sequence[Landing], tickers: tuple[str, ...]) -> tuple[str, ...] | None:
    """The tickers that a leg, or a better one, was not asked for yet; None if there is nothing left to ask."""
    good = [one for one in here if RANK[one.source] >= RANK[leg.name]]
    whole = any(not one.asked for one in good)
    if whole or (tickers and not set(tickers) - {ticker for one in good for ticker in one.asked}):
        return None
    return tuple(ticker for ticker in tickers if not any(ticker in one.asked for one in good))


def told(steps: "Iterable[Step]", symbols: Sequence[str], universe: Sequence[str]) -> list[str]:
    """What a user should know of questions: tickers that stand for a whole market."""
    by_leg: dict[tuple[str, str], int] = {}
    for step in steps:
        if step.action == "ask" and step.tickers and not symbols:
            by_leg[step.source, step.table] = by_leg.get((step.source, step.table), 0) + 1
    return [
        f"{source} serves {table} ticker by ticker: the {len(universe)} of WORKBENCH_UNIVERSE are asked for, not the whole market."
        for source, table in by_leg
    ]
