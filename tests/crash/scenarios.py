"""What is killed: small lakes before, and the work that a child does on them. All sessions are made up."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import date, timedelta
from pathlib import Path

from flatfiles import STOCK_DAY, STOCK_MINUTE, STOCK_TRADES, TRADE, bar, minutes, put, text, trade

from workbench import sessions
from workbench.bench import Workbench
from workbench.config import Settings
from workbench.lake import retention, tiering
from workbench.lake.store import Lake
from workbench.lake.vacuum import vacuum
from workbench.policies import Age, Retention
from workbench.tables import Table

# The vendor's order of tickers is not that of their bytes.
TICKERS = (
    "A",
    "AA",
    "AAPL",
    "BF.A",
    "BFpB",
    "BRK.B",
    "CAT",
    "DIS",
    "F",
    "GE",
    "IBM",
    "KO",
    "LUVw",
    "MMM",
    "NKE",
    "ORCL",
    "T",
    "VZ",
    "XOM",
    "ZTEST",
)
JANUARY = tuple(date(2024, 1, n) for n in (3, 4, 17, 31))
FEBRUARY = tuple(date(2024, 2, n) for n in (1, 15, 29))
MARCH = tuple(date(2024, 3, n) for n in (1, 28))
SEALED, FOLDED = date(2024, 4, 20), date(2024, 8, 1)


def lines(table: Table, day: date, edition: int = 0) -> list[str]:
    """A session's rows; another edition has other prices, one ticker less and one more."""
    tickers = [*TICKERS[edition:], *(f"Z{n}" for n in range(edition))]
    if table is STOCK_DAY:
        return [bar(ticker, day, close=10 + (edition or 0.5)) for ticker in tickers]
    if table is STOCK_MINUTE:
        return [line for ticker in tickers for line in minutes(ticker, day, 3 + edition, first=edition)]
    return [trade(ticker, day, n, price=10 + edition) for ticker in tickers for n in range(3)]


def publish(vendor: Path, table: Table, day: date, edition: int = 0) -> None:
    """Write a session's flat file."""
    put(vendor, table, day, text(lines(table, day, edition), TRADE) if table is STOCK_TRADES else text(lines(table, day, edition)))


def bench(root: Path) -> Workbench:
    """A workbench as a user opens it, with little memory and one thread."""
    return Workbench(Settings.load(env={}, data=str(root), memory_limit="256MiB", threads=1))


def refresh(root: Path, vendor: Path, *, maintain: bool = False) -> None:
    """Land whatever the source has. Raises if anything did not land."""
    names = ["stock_day", "stock_minute", "stock_trades"]
    summary = bench(root).refresh(source=f"folder:{vendor}", datasets=names, maintain=maintain).run()
    odd = {one.outcome for one in summary.done} - {"landed", "replaced", "already landed"}
    if summary.exit_status or odd:
        raise RuntimeError(f"the refresh ended with {summary.exit_status}: {odd} {summary.problems}")


def compact(root: Path, today: date) -> None:
    """Write every due chunk cold."""
    lake = Lake(root)
    lake.make()
    for name in ("stock_day", "stock_minute"):
        for unit in tiering.due(lake[name], today):
            if tiering.compact(lake[name], unit).outcome != "compacted":
                raise RuntimeError(f"{name} {unit.chunk} was overtaken")


# ---------------------------------------------------------------------- before, and what is done


def nothing(root: Path, vendor: Path) -> None:
    """No lake yet."""


def hot(root: Path, vendor: Path) -> None:
    """Sessions of January and February, hot."""
    for day in (*JANUARY, *FEBRUARY):
        publish(vendor, STOCK_MINUTE, day)
        publish(vendor, STOCK_DAY, day)
    refresh(root, vendor)


def cold(root: Path, vendor: Path) -> None:
    """January and February, cold."""
    hot(root, vendor)
    compact(root, SEALED)


@dataclass(frozen=True)
class Scenario:
    """A piece of work to kill: `before` makes the lake, `publish` adds to the source, `work` is done by the child.

    `whole` says that its work is one commit, so that readers see all of it or nothing; else each session is old or new by itself, and with
    `legs` each source's part of it. Where sources differ is written before it. Work that `empties` tables lets sessions be missing meanwhile, and counts new versions however often it is
    run; `then` is what a user does after the kill, if it is not the same again.
    """

    name: str
    before: Callable[[Path, Path], None]
    publish: Callable[[Path], None]
    work: Callable[[Path, Path], None]
    whole: bool = False
    legs: bool = False
    empties: bool = False
    then: Callable[[Path, Path], None] | None = None


def days_and_minutes(vendor: Path) -> None:
    for day in MARCH:
        publish(vendor, STOCK_MINUTE, day)
        publish(vendor, STOCK_DAY, day)


def one_day(vendor: Path) -> None:
    publish(vendor, STOCK_DAY, JANUARY[0])


def faulty(vendor: Path) -> None:
    put(vendor, STOCK_DAY, MARCH[0], text([*lines(STOCK_DAY, MARCH[0]), bar("BAD", MARCH[0], close="x")]))


def ticks(vendor: Path) -> None:
    for day in JANUARY[:2]:
        publish(vendor, STOCK_TRADES, day)


def ticks_landed(root: Path, vendor: Path) -> None:
    ticks(vendor)
    refresh(root, vendor)


def ticks_again(vendor: Path) -> None:
    publish(vendor, STOCK_TRADES, JANUARY[1], edition=1)


def again(vendor: Path) -> None:
    publish(vendor, STOCK_MINUTE, JANUARY[1], edition=1)


def two_again(vendor: Path) -> None:
    for day in JANUARY[1:3]:
        publish(vendor, STOCK_MINUTE, day, edition=2)


def late(root: Path, vendor: Path) -> None:
    cold(root, vendor)
    for day in (date(2024, 1, 5), date(2024, 1, 30)):
        publish(vendor, STOCK_MINUTE, day)
        publish(vendor, STOCK_DAY, day)
    refresh(root, vendor)


def spring(root: Path, vendor: Path) -> None:
    cold(root, vendor)
    days_and_minutes(vendor)
    refresh(root, vendor)


def no_more(vendor: Path) -> None:
    """The source has nothing new."""


def month(vendor: Path) -> None:
    """Every session of a month that is long over: it lands cold, in one commit."""
    for day in sessions.between(STOCK_MINUTE, date(2024, 1, 1), date(2024, 1, 31)):
        publish(vendor, STOCK_MINUTE, day)


def to_months(root: Path, vendor: Path) -> None:
    compact(root, SEALED)


def maintained(root: Path, vendor: Path) -> None:
    refresh(root, vendor, maintain=True)


def to_archive(root: Path, vendor: Path) -> None:
    lake = Lake(root)
    for one in retention.plan(lake, {"stock_minute": Retention(Age(60, "day"), "archive")}, SEALED):
        if retention.retire(lake, one).outcome != "archived":
            raise RuntimeError(f"{one.chunk} was not archived")


def to_nothing(root: Path, vendor: Path) -> None:
    lake = Lake(root)
    vacuum(lake, timedelta(0), dry_run=False, orphans=timedelta(0))


def to_quarters(root: Path, vendor: Path) -> None:
    compact(root, FOLDED)


SCENARIOS = {
    one.name: one
    for one in (
        Scenario("land a first session", nothing, one_day, refresh, whole=True),
        Scenario("land sessions", hot, days_and_minutes, refresh),
        Scenario("land a session with a faulty row", hot, faulty, refresh, whole=True),
        Scenario("land first ticks", nothing, ticks, refresh),
        Scenario("publish ticks again", ticks_landed, ticks_again, refresh, whole=True),
        Scenario("publish a hot session again", hot, again, refresh, whole=True),
        Scenario("publish a cold session again", cold, again, refresh, whole=True),
        Scenario("publish two cold sessions again", cold, two_again, refresh, whole=True),
        Scenario("compact for the first time", hot, no_more, to_months),
        Scenario("merge late sessions", late, no_more, to_months),
        Scenario("fold months into a quarter", spring, no_more, to_quarters),
        Scenario("refresh, with all upkeep after it", late, days_and_minutes, maintained),
        Scenario("archive what is old", cold, no_more, to_archive),
        Scenario("vacuum", spring, no_more, to_nothing),
        Scenario("land a whole month cold", nothing, month, refresh, whole=True),
    )
}
