"""What begins a platform's work: its first rows (`init`), and the daily run of those that have one (`flow`)."""

from abc import abstractmethod
from collections.abc import Iterable, Sequence
from datetime import UTC, date, datetime
from typing import TYPE_CHECKING, Any

from workbench.arguments import as_date, as_tickers, several
from workbench.errors import BrokenRule, UsageError
from workbench.lake.store import Lake
from workbench.query.report import Report
from workbench.tables import platforms, quote
from workbench.tables.starts import INDICATORS, STARTS, Asked, Start

if TYPE_CHECKING:
    from workbench.flows import Decide
    from workbench.query.catalog import Catalog

# Another may write a row between the look and the append, and is looked for again.
TRIES = 5


class Starting:
    """The verbs that begin a platform's work."""

    lake: Lake
    _as_of: datetime | None

    @property
    @abstractmethod
    def catalog(self) -> "Catalog":
        """The DuckDB session, which `Workbench` makes."""

    # What `Writing` has.
    transaction: Any

    def init(self, platform: str, strategies: str | Iterable[str] | None = None) -> Report:
        """Write what a platform's document initialises, of which nothing is there yet, and make the lake if there is none.

        A row for each initialisation: what was written, what was there, and why where there is nothing to write. What is there stays as it is, so
        that a second run writes nothing. `strategies` are AmpyFin's, by name (default: a few well-known indicators). Raises `UnknownName`.
        """
        named = platforms.platform(platform).name
        self._present("initialised")
        chosen = list(dict.fromkeys(INDICATORS if strategies is None else several(strategies)))
        if strategies is not None and named != "ampyfin":
            raise UsageError(f"{named} has no strategies; nothing was written. Leave them out.")
        if any(not isinstance(one, str) or not one.strip() for one in chosen):
            raise UsageError(f"{chosen!r} are not names of strategies; nothing was written.")
        if not self.lake.exists:
            self.lake.make()
        for left in reversed(range(TRIES)):
            try:
                rows = self._started(STARTS[named], chosen)
                break
            except BrokenRule:
                if not left:
                    raise
        written, there = (sum(row[what] for row in rows) for what in ("written", "there"))
        return Report(
            f"{self.lake.where}: {written} rows written for {named}, {there} were there", rows, root=self.lake.where, platform=named
        )

    def flow(
        self,
        platform: str,
        decide: "Decide | None" = None,
        start: date | str | None = None,
        end: date | str | None = None,
        *,
        strategies: str | Iterable[str] | None = None,
        symbols: str | Iterable[str] | None = None,
    ) -> Report:
        """Run a platform's daily flow over sessions that have not been run yet: prices, decisions, paper fills, holdings, points and ranks.

        AmpyFin has one: `workbench.flows.ampyfin` says what each step does. `decide(strategy, ticker, history)` gives "Buy", "Sell" or "Hold",
        or one of them with a confidence; None means no decision. `history` holds split-adjusted day bars up to the session that is decided, and
        nothing later. Decisions that stand in `ampyfin.strategy_decisions` are taken as they are; without `decide` there are only those.
        `strategies` are names (default: those that `init` wrote), `symbols` tickers (default: of the configured universe those with prices).
        A session is one transaction: a run that ends early goes on where it was, and one that is run again changes nothing.
        Raises `UsageError`, `BadRange`, and `Busy` while another flow runs.
        """
        from workbench.flows import ampyfin

        named = platforms.platform(platform).name
        if named != "ampyfin":
            raise UsageError(f"{named} has no daily flow; nothing was run. ampyfin has one.")
        self._present("run")
        return ampyfin.run(
            self,  # type: ignore[arg-type]
            ampyfin.Order(
                decide,
                as_date(start),
                as_date(end),
                None if strategies is None else several(strategies),
                None if symbols is None else as_tickers(symbols),
            ),
        )

    def _present(self, verb: str) -> None:
        if self._as_of:
            raise UsageError(f"this is the lake as of {self._as_of}, which cannot change; nothing was {verb}. Open it without as_of.")

    def _started(self, starts: Sequence[Start], strategies: Sequence[str]) -> list[dict[str, Any]]:
        """Write what is not there, all in one transaction, and tell it."""
        held = {one.table: self._held(one) for one in starts if one.table}
        everyone = {
            *strategies,
            *(value for told in held.get("ampyfin.algorithm_holdings", ()) for name, value in told if name == "strategy"),
        }
        asked = Asked(strategies, len(everyone), datetime.now(UTC))
        told, missing = [], {}
        for one in starts:
            rows = list(one.rows(asked))
            # A row that was begun under another name is there, too: its key is.
            fresh = [row for row in rows if not held[one.table] & {tuple((name, row[name]) for name in by) for by in told_by(one)}]
            if fresh:
                missing[one.table] = fresh
            told.append(
                {
                    "initialisation": one.name,
                    "table": one.table,
                    "written": len(fresh),
                    "there": len(rows) - len(fresh),
                    "note": one.note,
                }
            )
        if missing:
            with self.transaction() as writes:
                for table, rows in missing.items():
                    writes.append(table, rows)
        return told

    def _held(self, one: Start) -> set[tuple[Any, ...]]:
        """The rows that a table holds, by the columns that tell them apart, each with its name."""
        found = set[tuple[Any, ...]]()
        for by in told_by(one):
            told = self.catalog.ask(f"SELECT DISTINCT {', '.join(map(quote, by))} FROM {one.table}")
            found |= {tuple(zip(by, row, strict=True)) for row in (told.fetchall() if told is not None else ())}
        return found


def told_by(one: Start) -> set[tuple[str, ...]]:
    """The columns that tell rows of a table apart: the document's, and the `_id` that follows from them."""
    return {one.by, ("_id",)} if platforms.RECORDS[one.table].key == ("_id",) else {one.by}
