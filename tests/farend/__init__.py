"""The far end of the network for tests: the vendor's REST API, Yahoo and FRED, as one HTTP server on loopback.

    with FarEnd() as far_end:
        client = massive.RESTClient(far_end.key, base=far_end.api_url)

It serves a made-up market (`farend.made`) on any machine, the real flat files beside the project if they are there, and before both what a
test puts: `far_end.bars["ACME", day] = Bar(10, 11, 9, 10.5)`, `.minutes`, `.trades`, `.quotes` (None takes away), `far_end.rows["splits"]`
and the other reference lists (see `farend.reference`), `.yahoo_info`, `.yahoo_statements`, `.fred`. `far_end.faults` are used up in order,
one per fitting request; `far_end.forever` stay.
"""

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from http.server import ThreadingHTTPServer
from threading import Event, Lock, Thread
from typing import Any, Self

from farend import indicators, reference
from farend.faults import Fault
from farend.fred import FredRelease, FredSeries
from farend.market import Market
from farend.plans import ADVANCED, BASIC, DEVELOPER, STARTER, Plan
from farend.server import Asked, Handler
from farend.shapes import Bar, Row
from farend.times import NEW_YORK

__all__ = ["ADVANCED", "BASIC", "DEVELOPER", "STARTER", "Asked", "Bar", "FarEnd", "Fault", "FredRelease", "FredSeries", "Plan"]


@dataclass
class FarEnd:
    """The far end, running from construction to `close`.

    `rate` is how many REST calls fit into `window_s` seconds before 429 (None: any number); `retry_after` goes with it if set, and
    `too_many` says what its body is: "json", "empty" or "html". `entitled_from` is the history wall. `delayed` plans say DELAYED.
    `today` follows `now`, which a test may replace. `last_page_empty` gives a `next_url` on the last page too, which leads to an empty one.

    Yahoo has no `yahoo_missing` symbols, keeps the bars of a `yahoo_former` name, has rows of nulls where `yahoo_holes` says, ends a chart
    with the latest price if it is `yahoo_live`, and intraday bars only of the last days unless `yahoo_intraday_forever`.

    `requests` are all that came, `connections` counts the lines they came on, `broken` are failures of the far end itself.
    """

    key: str = "far-end-key-3f9a1c"
    fred_key: str = "abcdefabcdefabcdefabcdefabcdef12"
    plan: Plan = ADVANCED
    rate: int | None = None
    window_s: float = 60.0
    retry_after: str = ""
    too_many: str = "json"
    entitled_from: date | None = None
    delayed: bool = False
    last_page_empty: bool = False
    compress: bool = True
    skew_s: float = 0.0
    real: bool = True
    made: bool = True
    now: Callable[[], datetime] = field(default=lambda: datetime.now(UTC))
    faults: list[Fault] = field(default_factory=list)
    forever: list[Fault] = field(default_factory=list)
    requests: list[Asked] = field(default_factory=list)
    broken: list[str] = field(default_factory=list)
    port: int = 0
    yahoo_symbols: dict[str, str] = field(default_factory=dict)
    yahoo_missing: set[str] = field(default_factory=lambda: {"GONE", "OLDCO"})
    yahoo_former: dict[str, str] = field(default_factory=lambda: {"NEWCO": "OLDCO"})
    yahoo_holes: set[tuple[str, date]] = field(default_factory=set)
    yahoo_live: bool = False
    yahoo_intraday_forever: bool = False

    def __post_init__(self) -> None:
        self.market = Market({}, {}, {}, {}, real=self.real, made=self.made)
        self.bars, self.minutes = self.market.bars, self.market.minutes
        self.trades, self.quotes = self.market.trades, self.market.quotes
        self.rows: dict[str, list[Row]] = reference.rows(real=self.real, made=self.made)
        self.yahoo_info: dict[str, dict[str, Row]] = reference.yahoo_info() if self.made else {}
        self.yahoo_statements: dict[str, dict[str, dict[str, float]]] = reference.yahoo_statements() if self.made else {}
        self.yahoo_shares: dict[str, list[tuple[str, int]]] = {"ACME": [("2024-01-31", 1_000_000), ("2024-05-02", 1_010_000)]}
        self.fred: dict[str, FredSeries] = indicators.series() if self.made else {}
        self.fred_releases: dict[int, FredRelease] = indicators.releases()
        self.connections = 0
        self.lock, self.stopping = Lock(), Event()
        self.called: deque[float] = deque()

        class Bound(Handler):
            far_end = self

        self.server = ThreadingHTTPServer(("127.0.0.1", self.port), Bound)
        self.server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self.server.server_address[1]}"
        self.api_url = self.yahoo_url = self.url
        self.fred_url = f"{self.url}/fred"
        self.thread = Thread(target=self.server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
        self.thread.start()

    @property
    def today(self) -> date:
        """Today in New York."""
        return self.now().astimezone(NEW_YORK).date()

    def asked(self, path: str = "") -> list[Asked]:
        """The requests whose path with its query fits a regex, oldest first."""
        with self.lock:
            return [one for one in self.requests if Fault(path).fits(one.url)]

    def fault(self, url: str) -> Fault | None:
        """The fault that the next answer has: the first that fits, from those that are used up, then from those that stay."""
        with self.lock:
            for fault in self.faults:
                if fault.fits(url):
                    self.faults.remove(fault)
                    return fault
            return next((fault for fault in self.forever if fault.fits(url)), None)

    def true_splits(self, ticker: str) -> list[Row]:
        """A ticker's splits up to today, but for rows that are wrong (`_false`)."""
        splits = [row for row in self.rows["splits"] if row["ticker"] == ticker and not row.get("_false")]
        return [row for row in splits if date.fromisoformat(row["execution_date"]) <= self.today]

    def factor(self, ticker: str, day: date) -> float:
        """What a price of a day is multiplied with for the splits after it."""
        product = 1.0
        for split in self.true_splits(ticker):
            if date.fromisoformat(split["execution_date"]) > day:
                product *= split["split_from"] / split["split_to"]
        return product

    def close(self) -> None:
        """Stop; connections that are held silent are let go."""
        self.stopping.set()
        self.server.shutdown()
        self.server.server_close()
        self.thread.join(5)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: Any) -> None:
        self.close()
