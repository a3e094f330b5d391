"""What is killed where several sources meet: answers that land, give way and are reset, reference data, and the journal of what failed."""

import gzip
import hashlib
import json
import uuid
from collections.abc import Iterator, Sequence
from contextlib import suppress
from datetime import date
from pathlib import Path
from typing import Any

from flatfiles import BAR, STOCK_DAY, STOCK_MINUTE, STOCK_TRADES, TRADE, bar, put, text

from crash import scenarios
from crash.scenarios import JANUARY, SEALED, TICKERS, Scenario, bench, compact, hot, lines, no_more, publish, refresh
from workbench.errors import UsageError
from workbench.refresh import plan
from workbench.refresh.chain import Chain
from workbench.refresh.legs import ORIGINS
from workbench.refresh.run import Refresh
from workbench.sources import Answer, FlatFile, Question, Verdict
from workbench.tables import find
from workbench.tables.answers import key_of

# Two sessions that follow each other, so that a range of dates asks for no others.
DAYS = JANUARY[:2]
# More sessions than there are since then.
AGES = 5000
BARS, TICKS = ("stock_day", "stock_minute"), ("stock_trades",)
REFERENCE = ("splits", "dividends", "tickers", "calendar_events")
FINE = {"landed", "replaced", "already landed", "stands in", "missing", "up to date"}


class Shelf:
    """A far end that serves tickers: what it says of a session stands beside the vendor's folder, as a flat file."""

    def __init__(self, name: str, vendor: Path):
        self.name, self.folder = name, shelf(vendor, name)

    def refuses(self, table: str, *, whole: bool) -> str:
        """Yahoo has no ticks, and neither answers for the whole market."""
        return "not served" if whole or (self.name == "yahoo" and table in TICKS) else ""

    def questions(self, table: str, sessions: Sequence[date], tickers: Sequence[str]) -> Sequence[Question]:
        """Session by session, so that several are under way at once."""
        return [Question(table, (day,), tuple(tickers)) for day in sessions]

    def answer(self, question: Question, folder: Path) -> Iterator[Answer]:
        """The rows of the tickers asked for."""
        table, tickers, [day] = find(question.table), question.tickers, question.sessions
        path = self.folder / table.key_of(table.feeds[0], day)
        header, *rows = gzip.decompress(path.read_bytes()).decode().split() if path.exists() else ["", ""]
        mine = [row for row in rows if row.partition(",")[0] in tickers]
        silent = tuple(sorted(set(tickers) - {row.partition(",")[0] for row in mine}))
        if not mine:
            yield Answer(table.name, day, tickers, silent=silent)
            return
        folder.mkdir(parents=True, exist_ok=True)
        made = folder / f"{uuid.uuid4().hex}.csv.gz"
        made.write_bytes(gzip.compress(text(mine, header), mtime=0))
        key = key_of(ORIGINS[self.name], table.name, day, tickers)
        file = FlatFile(key, hashlib.sha256(made.read_bytes()).hexdigest(), made.stat().st_size)
        yield Answer(table.name, day, tickers, file, made, len(mine), silent)

    def stop(self) -> None:
        """Nothing waits."""

    def check(self) -> Verdict:
        """It is there."""
        return Verdict(self.name, "works", "")

    def close(self) -> None:
        """Nothing is held."""


def shelf(vendor: Path, source: str) -> Path:
    """Where a source's answers stand."""
    return vendor.with_name("shelf") / source


def say(vendor: Path, source: str, tables: Sequence[str], edition: int) -> None:
    """Have a source answer for both sessions; it has no rows of the first tickers, one for each edition, and other prices in each."""
    for table in map(find, tables):
        for day in DAYS:
            put(shelf(vendor, source), table, day, text(lines(table, day, edition), TRADE if table is STOCK_TRADES else BAR))


def ask(root: Path, vendor: Path, last: int | None = None) -> None:
    """Ask for both sessions of the tables that the far ends have, as `gaps --repair` does, be there flat files or not.

    What was asked for before is left out, but for the newest `last` sessions.
    """
    made, chain = bench(root), Chain("polygon_api", rows=(Shelf("polygon_api", vendor), Shelf("yahoo", vendor)))
    served = {path.relative_to(vendor.with_name("shelf")).parts[1:3] for path in vendor.with_name("shelf").rglob("*.csv.gz")}
    tables = [name for name in (*BARS, *TICKS) if Path(find(name).feeds[0].prefix).parts in served]
    steps = plan.plan(made.lake, chain, tables, DAYS[0], DAYS[-1], universe=TICKERS, only=DAYS, last=last)
    summary = Refresh(made.lake, chain, steps, None, made.settings.scratch / "fetch", (), TICKERS).run()
    if odd := {one.outcome for one in summary.done} - FINE:
        raise RuntimeError(f"the questions ended with {odd}: {summary.problems}")


# ---------------------------------------------------------------------- before, and what is done


def answers(vendor: Path) -> None:
    """Both sources have bars; the API lacks a ticker, which Yahoo has."""
    say(vendor, "polygon_api", BARS, 1)
    say(vendor, "yahoo", BARS, 0)


def ask_anew(root: Path, vendor: Path) -> None:
    """What the API was asked for is asked for again, and with it what it left to Yahoo, which a plain refresh would not come to."""
    ask(root, vendor, last=AGES)


def one_leg(vendor: Path) -> None:
    say(vendor, "polygon_api", (*BARS, *TICKS), 0)


def answered(root: Path, vendor: Path) -> None:
    """Bars of the API, and one ticker of Yahoo's."""
    answers(vendor)
    ask(root, vendor)


def answered_cold(root: Path, vendor: Path) -> None:
    """The same in a cold chunk, beside a session of flat files."""
    answered(root, vendor)
    for table in (STOCK_DAY, STOCK_MINUTE):
        publish(vendor, table, JANUARY[2])
    refresh(root, vendor)
    compact(root, SEALED)


def answered_ticks(root: Path, vendor: Path) -> None:
    say(vendor, "polygon_api", TICKS, 1)
    ask(root, vendor)


def files(vendor: Path) -> None:
    """Flat files of both sessions, without three tickers that answers have."""
    for day in DAYS:
        for table in (STOCK_DAY, STOCK_MINUTE):
            publish(vendor, table, day, edition=3)


def files_of_ticks(vendor: Path) -> None:
    for day in DAYS:
        publish(vendor, STOCK_TRADES, day, edition=2)


def filed(root: Path, vendor: Path) -> None:
    """Flat files of bars and ticks, the bars cold."""
    files(vendor)
    files_of_ticks(vendor)
    refresh(root, vendor)
    compact(root, SEALED)


def everything(vendor: Path) -> None:
    say(vendor, "polygon_api", (*BARS, *TICKS), 0)
    say(vendor, "yahoo", BARS, 1)


def reply(vendor: Path, name: str, *records: dict[str, Any]) -> None:
    place = vendor / "reference" / f"{name}.json"
    place.parent.mkdir(exist_ok=True)
    place.write_text(json.dumps({"results": records, "status": "OK"}))


def listed(vendor: Path, edition: int = 0) -> None:
    """Reference data; in another edition rows are corrected, and there are more of them. One split is told twice."""
    some = TICKERS[: 4 + 2 * edition]
    at = {"execution_date": "2024-01-04"}
    twins = [{"ticker": "IBM", "execution_date": f"2024-01-{day}", "split_from": 1, "split_to": 2} for day in ("04", "17")]
    reply(vendor, "splits", *({"ticker": one, **at, "split_from": 1, "split_to": 2 + edition} for one in some), *twins[: 1 + edition])
    reply(vendor, "dividends", *({"ticker": one, "ex_dividend_date": "2024-02-01", "cash_amount": 0.5 + edition} for one in some))
    reply(vendor, "tickers", *({"ticker": one, "name": f"{one} {edition}", "market": "stocks", "active": True} for one in some))


def gather(root: Path, vendor: Path) -> None:
    """Refresh day bars and reference data."""
    summary = bench(root).refresh(source=f"folder:{vendor}", datasets=["stock_day", *REFERENCE], maintain=False).run()
    if odd := {one.outcome for one in summary.done} - FINE:
        raise RuntimeError(f"the refresh ended with {odd}: {summary.problems}")


def gathered(root: Path, vendor: Path) -> None:
    """Day bars, and the first edition of reference data."""
    publish(vendor, STOCK_DAY, JANUARY[0])
    listed(vendor)
    gather(root, vendor)


def listed_again(vendor: Path) -> None:
    """More reference data, and closes that say more of the splits."""
    listed(vendor, 1)
    publish(vendor, STOCK_DAY, JANUARY[1], edition=1)


def closes(vendor: Path) -> None:
    """Day bars from which it follows what splits are worth."""
    for day in JANUARY[1:3]:
        publish(vendor, STOCK_DAY, day)


def bars(root: Path, vendor: Path) -> None:
    bench(root).refresh(source=f"folder:{vendor}", datasets=["stock_day"], maintain=False).run()


def mixed(root: Path, vendor: Path) -> None:
    """Rows of three sources, and where they differ."""
    answered(root, vendor)
    files(vendor)
    refresh(root, vendor)


def empty(root: Path, vendor: Path) -> None:
    bench(root).reset(["stock_day", "stock_minute", "disagreements"])


def emptied(root: Path, vendor: Path) -> None:
    mixed(root, vendor)
    empty(root, vendor)


def bring_back(root: Path, vendor: Path) -> None:
    # Killed just after its last commit, there is nothing left to undo.
    with suppress(UsageError):
        bench(root).undo_reset()


def from_nothing(root: Path, vendor: Path) -> None:
    """Empty tables, and land all that the source has."""
    bench(root).refresh(source=f"folder:{vendor}", datasets=list(BARS), reset=True, maintain=False).run()


def strangers(vendor: Path) -> None:
    """Rows of nobody who is asked for."""
    for source in ("polygon_api", "yahoo"):
        put(shelf(vendor, source), STOCK_DAY, DAYS[0], text([bar("NOBODY", DAYS[0])]))


def ask_in_vain(root: Path, vendor: Path) -> None:
    """No source has a row: all that comes of it stands in the journal."""
    for _ in range(3):
        ask(root, vendor)


SCENARIOS = scenarios.SCENARIOS | {
    one.name: one
    for one in (
        Scenario("land answers", scenarios.nothing, one_leg, ask),
        Scenario("land answers of two sources", scenarios.nothing, answers, ask, legs=True, then=ask_anew),
        Scenario("flat files supersede answers", answered, files, refresh),
        Scenario("flat files supersede cold answers", answered_cold, files, refresh),
        Scenario("flat files supersede ticks", answered_ticks, files_of_ticks, refresh),
        Scenario("land weaker answers beside flat files", filed, everything, ask, legs=True),
        Scenario("update reference data", gathered, listed_again, gather),
        Scenario("look at splits again", gathered, closes, bars),
        Scenario("reset", mixed, no_more, empty),
        Scenario("undo a reset", emptied, no_more, bring_back),
        Scenario("refresh with reset", hot, no_more, from_nothing, empties=True, then=refresh),
        Scenario("note what failed", scenarios.nothing, strangers, ask_in_vain),
    )
}
