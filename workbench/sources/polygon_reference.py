"""Reference data from the vendor's REST API: listings, actions, codes, news, reports, series and events.

Where the vendor has a newer endpoint it is asked first, and the older one if the plan or the server does not know it.
"""

from collections.abc import Callable, Iterator, Sequence
from datetime import date, timedelta
from itertools import islice
from typing import Any, Protocol

from workbench.errors import NotEntitled, NotPublished
from workbench.sources import Verdict
from workbench.sources import reference_replies as replies
from workbench.sources import reference_reports as reports
from workbench.sources.reference import Gathered, Refused
from workbench.sources.reference_replies import Maker, made
from workbench.tables import REFERENCE

Record = dict[str, Any]
# Rows that are committed together: what came before a stop stays.
BATCH = 50_000
# Without anything held, news go back so far; all there is would take a small plan hours.
NEWS_DAYS = 30
# Statements of a period may be told in several filings; the newest of them is asked for by its date.
SERIES = {
    "treasury-yields": "list_treasury_yields",
    "inflation": "list_inflation",
    "inflation-expectations": "list_inflation_expectations",
    "labor-market": "list_labor_market_indicators",
}
STATEMENTS = (
    ("list_financials_income_statements", reports.statement(reports.INCOME)),
    ("list_financials_balance_sheets", reports.statement(reports.BALANCE)),
    ("list_financials_cash_flow_statements", reports.statement(reports.CASH_FLOW)),
    ("list_financials_ratios", reports.ratios),
)


class Api(Protocol):
    """What is asked of the REST API: `PolygonAPI` does it."""

    name: str

    def listed(self, method: str, **params: Any) -> Iterator[Record]:
        """The raw records of all pages of a method of the official client; none where the vendor has none. Raises `SourceError`."""
        ...

    def check(self) -> Verdict: ...

    def stop(self) -> None: ...

    def close(self) -> None: ...


class PolygonReference:
    """The REST API as a source of reference data. `markets` are those whose tickers are listed."""

    def __init__(self, api: Api, markets: Sequence[str] = ("stocks",)):
        self.api, self.markets = api, tuple(markets)
        self.name = "polygon_api"
        self._stopped = False

    def refuses(self, dataset: str) -> str:
        """Why it cannot serve a dataset; empty if it can."""
        known = [table.name for table in REFERENCE]
        return "" if dataset in known else f"polygon_api has no reference data called {dataset}: it has {', '.join(known)}"

    def gather(self, dataset: str, *, since: date | None = None, symbols: Sequence[str] = ()) -> Iterator[Gathered]:
        """Ask for a dataset; `ticker_changes` and `fundamentals` are asked by symbol, the others for the whole market unless symbols are named.

        Raises `SourceError`, and `UnknownName` never: ask `refuses` first.
        """
        self._stopped = False
        gatherers: dict[str, Callable[[date | None, Sequence[str]], Iterator[Gathered]]] = {
            "tickers": self._tickers,
            "ticker_changes": self._changes,
            "splits": self._splits,
            "dividends": self._dividends,
            "conditions": self._conditions,
            "exchanges": self._exchanges,
            "news_items": self._news,
            "fundamentals": self._reports,
            "economic_series": self._series,
            "calendar_events": self._events,
        }
        yield from gatherers[dataset](since, list(dict.fromkeys(symbols)))

    def stop(self) -> None:
        """Have calls that wait give up soon."""
        self._stopped = True
        self.api.stop()

    def check(self) -> Verdict:
        """Try the source with its cheapest call."""
        return self.api.check()

    def close(self) -> None:
        """Give back connections."""
        self.api.close()

    # ------------------------------------------------------------------ listings

    def _tickers(self, _: date | None, symbols: Sequence[str]) -> Iterator[Gathered]:
        """Active and delisted ones together: of a symbol that was taken over, one listing alone would confuse the companies."""
        records: list[Record] = []
        for active in (True, False):
            try:
                for about in [{"ticker": symbol} for symbol in symbols] or [{"market": market} for market in self.markets]:
                    found = self.api.listed("list_tickers", active=active, limit=1000, order="asc", sort="ticker", **about)
                    records += [{"active": active, **one} for one in found]
            except NotEntitled:
                if not records:
                    raise
                note = "delisted tickers are outside the plan: only listed ones are told"
                yield gathered("tickers", "api:v3/reference/tickers?active=true", records, replies.ticker, notes=(note,))
                return
        # A listing that is empty is no listing: nobody has disappeared.
        whole = not symbols and any(one["active"] for one in records) and not all(one["active"] for one in records)
        yield gathered("tickers", "api:v3/reference/tickers", records, replies.ticker, whole=whole)

    def _changes(self, _: date | None, symbols: Sequence[str]) -> Iterator[Gathered]:
        if not symbols:
            note = "ticker changes are asked symbol by symbol: name symbols to have them"
            yield Gathered("ticker_changes", "api:vX/reference/tickers/*/events", [], notes=(note,))
        for symbol in symbols:
            found = list(self.api.listed("get_ticker_events", ticker=symbol))
            notes = () if found else (f"{symbol}: the vendor knows no events of it",)
            yield gathered("ticker_changes", f"api:vX/reference/tickers/{symbol}/events", found, replies.events, notes=notes)

    # ------------------------------------------------------------------ actions

    def _splits(self, since: date | None, symbols: Sequence[str]) -> Iterator[Gathered]:
        names = ("list_stocks_splits", "stocks/v1/splits"), ("list_splits", "v3/reference/splits")
        yield from self._actions("splits", names, "execution_date", replies.split, since, symbols)

    def _dividends(self, since: date | None, symbols: Sequence[str]) -> Iterator[Gathered]:
        names = ("list_stocks_dividends", "stocks/v1/dividends"), ("list_dividends", "v3/reference/dividends")
        yield from self._actions("dividends", names, "ex_dividend_date", replies.dividend, since, symbols)

    def _actions(
        self,
        dataset: str,
        methods: tuple[tuple[str, str], tuple[str, str]],
        dated: str,
        maker: Maker,
        since: date | None,
        symbols: Sequence[str],
    ) -> Iterator[Gathered]:
        (new, new_path), (old, old_path) = methods
        window: Record = {f"{dated}_gte": since.isoformat()} if since else {}
        abouts: list[Record] = [{"ticker": symbol} for symbol in symbols] or [{}]
        notes: tuple[str, ...] = ()
        for n, about in enumerate(abouts):
            of = f"?ticker={about['ticker']}" if about else f"?since={since}" if since else ""
            records: Iterator[Record] = iter(())
            path = new_path
            first: list[Record] = []
            if new:
                try:
                    records = self.api.listed(new, limit=5000, sort=f"{dated}.asc", **window, **about)
                    first = list(islice(records, 1))
                except (NotEntitled, NotPublished) as refusal:
                    notes, new = (f"{new_path} is refused ({type(refusal).__name__}): {old_path} was asked instead",), ""
            if not first and (not new or (n == 0 and not notes)):
                # A server without the endpoint says 404, which reads as an empty listing; a market without any splits there is not.
                records = self.api.listed(old, limit=1000, sort=dated, order="asc", **window, **about)
                first, path = list(islice(records, 1)), old_path
                if first and new:
                    notes, new = (f"{new_path} told nothing: {old_path} was asked instead",), ""
            for page, some in enumerate(self._batches(first, records), 1):
                alone = len(some) < BATCH and page == 1
                key = f"api:{path}{of}" + ("" if alone else f"#{page}")
                yield gathered(dataset, key, some, maker, whole=alone and not window and not about, notes=notes)
                notes = ()

    def _batches(self, first: list[Record], records: Iterator[Record]) -> Iterator[list[Record]]:
        """Records in pieces that are committed together; one piece at least, be it empty."""
        some = [*first, *islice(records, BATCH - len(first))]
        while True:
            yield some
            if len(some) < BATCH or not (some := list(islice(records, BATCH))):
                return

    # ------------------------------------------------------------------ codes

    def _conditions(self, _: date | None, __: Sequence[str]) -> Iterator[Gathered]:
        rows, refused = made(self.api.listed("list_conditions", limit=1000), replies.condition)
        rows, legacy = replies.without_legacy(rows)
        notes = (f"{legacy} conditions out of use have ids that are in use: left out",) * bool(legacy)
        yield Gathered("conditions", "api:v3/reference/conditions", rows, whole=bool(rows), notes=notes, refused=tuple(refused))

    def _exchanges(self, _: date | None, __: Sequence[str]) -> Iterator[Gathered]:
        records = list(self.api.listed("get_exchanges"))
        yield gathered("exchanges", "api:v3/reference/exchanges", records, replies.exchange, whole=bool(records))

    # ------------------------------------------------------------------ news, reports, series

    def _news(self, since: date | None, symbols: Sequence[str]) -> Iterator[Gathered]:
        begin = since or date.today() - timedelta(days=NEWS_DAYS)
        notes = () if since else (f"nothing was held: news of the last {NEWS_DAYS} days were asked for",)
        for about in [{"ticker": symbol} for symbol in symbols] or [{}]:
            of = f"&ticker={about['ticker']}" if about else ""
            found = self.api.listed(
                "list_ticker_news", published_utc_gte=begin.isoformat(), order="asc", sort="published_utc", limit=1000, **about
            )
            for page, some in enumerate(self._batches([], found), 1):
                yield gathered("news_items", f"api:v2/reference/news?since={begin}{of}#{page}", some, replies.article, notes=notes)
                notes = ()

    def _reports(self, since: date | None, symbols: Sequence[str]) -> Iterator[Gathered]:
        """The new endpoints, else the old one; by symbol, because the whole market's reports are millions of figures."""
        if not symbols:
            note = "fundamentals are asked symbol by symbol: name symbols to have them"
            yield Gathered("fundamentals", "api:stocks/financials/v1", [], notes=(note,))
        filed: Record = {"filing_date_gte": since.isoformat()} if since else {}
        notes: tuple[str, ...] = ()
        newer = True
        for symbol in symbols:
            parts: list[tuple[list[Record], Any]] = []
            for method, maker in STATEMENTS if newer else ():
                about = {"ticker": symbol} if maker is reports.ratios else {"tickers": symbol, **filed}
                try:
                    found = list(self.api.listed(method, limit=1000, **about))
                except (NotEntitled, NotPublished) as refusal:
                    notes = (*notes, f"{method.removeprefix('list_')} is refused ({type(refusal).__name__})")
                    continue
                parts.append((found, maker))
            newer = bool(parts)
            path = "stocks/financials/v1"
            if not any(found for found, _ in parts):
                path = "vX/reference/financials"
                found = list(self.api.listed("vx.list_stock_financials", ticker=symbol, limit=100, **filed))
                parts = [(found, reports.financials)]
            rows, refused = reports.joined(parts)
            if not rows and not refused:
                notes = (*notes, f"{symbol}: the vendor has no reports of it")
            yield Gathered("fundamentals", f"api:{path}?ticker={symbol}", rows, notes=notes, refused=tuple(refused))
            notes = ()

    def _series(self, since: date | None, _: Sequence[str]) -> Iterator[Gathered]:
        window: Record = {"date_gte": since.isoformat()} if since else {}
        for path, method in SERIES.items():
            found = list(self.api.listed(method, limit=50_000, sort="date.asc", **window))
            yield gathered("economic_series", f"api:fed/v1/{path}", found, replies.observation)

    def _events(self, since: date | None, _: Sequence[str]) -> Iterator[Gathered]:
        """Listings and the holidays to come; the rest of the calendar derives from what the lake holds."""
        window: Record = {"listing_date_gte": since.isoformat()} if since else {}
        ipos = list(self.api.listed("vx.list_ipos", limit=1000, order="asc", sort="listing_date", **window))
        planned = sum(not one.get("listing_date") for one in ipos)
        notes = (f"{planned} listings have no date yet: no event",) * bool(planned)
        yield gathered("calendar_events", "api:vX/reference/ipos", ipos, replies.ipo, notes=notes)
        rows, refused = replies.holidays(list(self.api.listed("get_market_holidays")))
        yield Gathered("calendar_events", "api:v1/marketstatus/upcoming", rows, refused=tuple(refused))


def gathered(dataset: str, key: str, records: Sequence[Any], maker: Maker, *, whole: bool = False, notes: tuple[str, ...] = ()) -> Gathered:
    """Records of a reply as rows of a dataset."""
    rows, refused = made(records, maker)
    odd: tuple[Refused, ...] = tuple(refused)
    return Gathered(dataset, key, rows, whole=whole and bool(rows), notes=notes, refused=odd)
