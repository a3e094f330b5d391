"""Flat files of an imagined market, of any size, in the vendor's exact format and with its oddities.

The same arguments give the same bytes. Prices show the splits, dividends and new symbols of `workbench.sources.market_actions`, of which
`sample_reference` tells. `workbench.sources.faults` makes faulty files of good ones.
"""

import zlib
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from functools import partial
from itertools import chain
from pathlib import Path
from typing import Any

from workbench.sessions import between, due_at
from workbench.sources import Fetched, FlatFile, Verdict
from workbench.sources.folder import Folder, replacing
from workbench.sources.market import Market, names, shared_out
from workbench.sources.rows import days, minutes, ticks
from workbench.tables import TABLES, Feed, Table

PIECE = 250_000  # rows of one piece of a tick file: about 25 MB of text
GROUP = 512  # tickers of one piece of a minute file
WORKERS = 2


def write(
    folder: Path,
    table: Table,
    day: date,
    *,
    tickers: int | Sequence[str] = 40,
    rows: int | None = None,
    seed: int = 0,
    feed: Feed | None = None,
) -> Path:
    """Write one flat file below `folder`, laid out like the vendor's bucket, and return its path; it appears whole or not at all.

    `tickers` are names or how many; `rows` is how many rows to share out among them, liquid ones first. `feed` is the first of
    the table's unless given. The file is one gzip member. Raises `ValueError` for more bars than the session has minutes.
    """
    feed = feed or table.feeds[0]
    market = Market.of(table, names(table, feed, tickers, day) if isinstance(tickers, int) else tickers, day, seed)
    path = folder / table.key_of(feed, day)
    with replacing(path) as draft, open(draft, "wb") as out:
        out.writelines(_gzip(_header(table), _pieces(table, feed, market, rows)))
    return path


@dataclass
class Sample:
    """A source that makes its flat files up as they are listed, below `folder`.

    A file that is there stays as it is. `sessions` gives the sessions of a table between two dates, if not its calendar; `now` is
    the clock by which a session's file is out: 11:00 New York on the next day, as the vendor promises.
    """

    folder: Path
    tickers: int | Sequence[str] = 40
    seed: int = 0
    sessions: Callable[[Table, date, date], Iterable[date]] | None = None
    now: Callable[[], datetime] = lambda: datetime.now(UTC)
    name: str = field(default="sample", init=False)
    _disk: Folder | None = field(default=None, init=False, repr=False)

    def list(self, feed: Feed, start: date, end: date) -> Sequence[FlatFile]:
        """The feed's files with sessions from `start` to `end`, both included, oldest first; those not there yet are written."""
        table = next(table for table in TABLES.values() if feed in table.feeds)
        (self.folder / feed.prefix).mkdir(parents=True, exist_ok=True)
        for day in (self.sessions or between)(table, start, end):
            if due_at(day) <= self.now() and not (self.folder / table.key_of(feed, day)).exists():
                write(self.folder, table, day, tickers=self.tickers, seed=self.seed, feed=feed)
        return self._files().list(feed, start, end)

    def fetch(self, file: FlatFile, folder: Path) -> Fetched:
        """The file where it is, lent."""
        return self._files().fetch(file, folder)

    def check(self) -> Verdict:
        """It always works."""
        return Verdict(self.name, "works", f"made-up prices, written below {self.folder}")

    def close(self) -> None:
        """There is nothing to give back."""

    def _files(self) -> Folder:
        if self._disk is None:
            self._disk = Folder(self.folder, self.folder / ".md5.json")
        return self._disk


def _header(table: Table) -> bytes:
    return ",".join(table.headers[0]).encode() + b"\n"


def _gzip(header: bytes, pieces: Iterable[Callable[[], Any]]) -> Iterator[bytes]:
    """One gzip member without name or time, its pieces rendered and compressed side by side, a few at a time."""
    crc = size = 0
    yield b"\x1f\x8b\x08\x00\x00\x00\x00\x00\x00\xff"
    with ThreadPoolExecutor(WORKERS) as pool:
        waiting: deque[Future[tuple[bytes, bytes]]] = deque()
        work: Iterator[Callable[[], bytes]] = chain([lambda: header], (partial(_csv, piece) for piece in pieces))
        try:
            while True:
                while len(waiting) <= WORKERS and (piece := next(work, None)):
                    waiting.append(pool.submit(_deflated, piece))
                if not waiting:
                    break
                text, packed = waiting.popleft().result()
                crc, size = zlib.crc32(text, crc), size + len(text)
                yield packed
        finally:
            pool.shutdown(wait=True, cancel_futures=True)
    yield b"\x03\x00" + crc.to_bytes(4, "little") + (size % 2**32).to_bytes(4, "little")


def _deflated(piece: Callable[[], bytes]) -> tuple[bytes, bytes]:
    """A piece's text, and its part of a deflate stream that does not look back at other parts."""
    text = piece()
    packer = zlib.compressobj(1, zlib.DEFLATED, -zlib.MAX_WBITS)
    return text, packer.compress(text) + packer.flush(zlib.Z_FULL_FLUSH)


def _csv(piece: Callable[[], Any]) -> bytes:
    text: bytes = piece().write_csv(include_header=False).encode()
    return text


def _pieces(table: Table, feed: Feed, market: Market, rows: int | None) -> Iterator[Callable[[], Any]]:
    """The parts of a file, in order, each to be made when it is called."""
    import numpy as np

    count = len(market.tickers)
    if table.kind == "ticks":
        weights = 1 / market.rank
        natural = 10 + 3 * weights * (2 if "ask_price" in table.headers[0] else 1)
        limits = np.full(count, np.iinfo(np.int64).max // (count + 1))
        counts = shared_out(int(natural.sum()) if rows is None else rows, weights if rows else natural, limits)
        offsets = np.concatenate([[0], np.cumsum(counts)])
        for low in range(0, int(offsets[-1]), PIECE):
            yield partial(ticks, table, market, counts, offsets, low, min(low + PIECE, int(offsets[-1])))
    elif "minute" in feed.prefix:
        counts = market.active if rows is None else shared_out(rows, (1 - market.rank) ** 4 + 1e-6, market.most)
        for start in range(0, count, GROUP):
            part = range(start, min(start + GROUP, count))
            yield partial(minutes, table, market[part], counts[start : part.stop])
    else:
        counts = np.ones(count, np.int64) if rows is None else shared_out(rows, 1 / market.rank, np.ones(count, np.int64))
        yield partial(days, table, market, np.flatnonzero(counts))
