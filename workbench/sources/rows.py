"""Rows of the imagined market, column by column, as the vendor prints them on their date."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from functools import cached_property
from typing import Any

from workbench.sources.market import MINUTE, SECOND, Market, bell, mixed, unit
from workbench.tables import Table
from workbench.tables.spec import midnight_ns
from workbench.tables.stocks import FRACTIONAL, SHARES

# Dated by rows of real files.
DECIMAL_PRICES = date(2026, 9, 1)
NUMBERED_IDS = date(2017, 1, 1)
MICROSECONDS = date(2010, 1, 1)
MICRO = 1_000_000

PLAIN = ("", "", "", "", "14", "14,41", "9", "10,41")
ODD_LOT = ("37", "37", "37", "14,37", "14,37,41", "37", "37,41", "37")
EXTENDED = ("12", "12", "12", "14,12", "12,41", "14,12,41", "12", "12")
EXTENDED_ODD_LOT = ("12,37", "12,37", "12,37", "14,12,37", "14,12,37,41", "12,37", "12,37", "12,37")
CONDITIONS = (*PLAIN, *ODD_LOT, *EXTENDED, *EXTENDED_ODD_LOT)
ID_ENDS = ("]:C", "`", "\\", "", "A", "[<", "'", "^;B")
EXCHANGES = (4, 4, 4, 11, 12, 10, 1, 19, 8, 15, 2, 21, 4, 11, 12, 7)
TRF = 4

Values = dict[str, Any]


def _frame(table: Table, market: Market, row: Any, values: Values) -> Any:
    """Columns in the vendor's order; one that nothing was made up for is blank, or 0 where the vendor always fills it."""
    import polars as pl

    values = {"ticker": pl.Series(market.tickers).gather(row), **values}
    if table.same_day:
        values[table.same_day] = str(market.day)
    columns: list[Any] = []
    for column in table.vendor:
        value = values.get(column.header, 0 if column.required else None)
        if isinstance(value, str | int | None):
            columns.append(pl.repeat(value, len(row), dtype=pl.String if value is None else None, eager=True).alias(column.name))
        else:
            columns.append(pl.Series(column.name, value))
    return pl.DataFrame(columns)


def _decimals(millionths: Any) -> Any:
    """Whole millionths, to be printed with six decimals."""
    import numpy as np
    import polars as pl
    import pyarrow as pa

    words = np.zeros((len(millionths), 2), np.int64)
    words[:, 0] = millionths
    return pl.from_arrow(pa.Array.from_buffers(pa.decimal128(38, 6), len(millionths), [None, pa.py_buffer(words)]))


def _money(table: Table, day: date, price: Any) -> Any:
    """Prices as the vendor prints them on that date: the shortest decimals, or six."""
    import numpy as np

    if table.asset == "stocks" and day >= DECIMAL_PRICES:
        return _decimals(np.round(price * MICRO).astype(np.int64))
    return price


def _amount(table: Table, day: date, whole: Any, millionths: Any) -> Any:
    """Sizes and volumes as the vendor prints them on that date: whole, or with six decimals."""
    if table.asset == "stocks" and day >= FRACTIONAL.since:
        return _decimals(whole * MICRO + millionths)
    return whole + millionths / MICRO if table.asset == "crypto" else whole


def _bars(table: Table, market: Market, prices: Sequence[Any], volume: Any, fraction: Any, lot: Any, minutes: Any) -> Values:
    """What day and minute bars share."""
    import numpy as np

    bar = dict(zip(("open", "high", "low", "close"), (_money(table, market.day, p) for p in prices), strict=True))
    amount = _amount(table, market.day, volume, fraction)
    money = {"dollar_volume": np.round(prices[3] * volume, 2), "settlement_price": prices[3]}
    return bar | money | {"volume": amount, "transactions": minutes + (volume - 1) // lot}


def _lot(market: Market) -> Any:
    """The size of a ticker's usual trade."""
    import numpy as np

    return 30 + (mixed(11, market.ids) % np.uint64(90)).astype(np.int64)


def _fraction(bits: Any, rank: Any) -> Any:
    """Millionths of a share; none for every other ticker that trades little."""
    import numpy as np

    return np.where((rank > 0.7) & (bits % np.uint64(2) == 0), 0, (bits >> np.uint64(20)) % np.uint64(MICRO)).astype(np.int64)


def days(table: Table, market: Market, row: Any) -> Any:
    """Bars of a session: prices of the regular hours, volume of all."""
    import numpy as np

    prices = [price[row] for price in market.prices]
    fraction = _fraction(market.noise(12), market.rank)[row]
    values = _bars(table, market, prices, market.volume[row], fraction, _lot(market)[row], market.active[row])
    start = market.hours.first if any(table.stray) else midnight_ns(market.day, table.zone)
    return _frame(table, market, row, values | {"window_start": np.full(len(row), start)})


def minutes(table: Table, market: Market, counts: Any) -> Any:
    """Minute bars, inside the session's bar: they meet its open, high, low and close, and stay below its volume."""
    import numpy as np

    minute, (begin, end) = np.arange(market.minutes), market.regular
    bits = mixed(10, market.day.toordinal(), market.ids[:, None], minute[None, :])
    wait = unit(bits) / market.tempo
    sure = begin + (market.noise(13) % np.uint64(end - begin)).astype(np.int64)
    wait[np.arange(len(counts)), sure] = -1
    latest = np.take_along_axis(np.sort(wait, axis=1), np.maximum(counts - 1, 0)[:, None], axis=1)
    row, at = np.nonzero((wait <= latest) & (counts > 0)[:, None])
    bits = bits[row, at]

    top, bottom = (np.where((at >= begin) & (at < end), market.prices[i][row], limit) for i, limit in ((1, np.inf), (2, 0)))
    open, close = (np.clip(market.rounded(market.path[row, at + step]), bottom, top) for step in (0, 1))
    regular = np.flatnonzero((at >= begin) & (at < end))
    if len(regular):
        first = np.flatnonzero(np.diff(row[regular], prepend=-1))
        last = np.append(first[1:], len(regular)) - 1
        open[regular[first]] = market.prices[0][row[regular[first]]]
        close[regular[last]] = market.prices[3][row[regular[last]]]
    wick = np.exp(np.abs(bell(mixed(14, bits))) * market.volatility[row] / 40)
    high = np.clip(market.rounded(np.maximum(open, close) * wick), np.maximum(open, close), top)
    low = np.clip(market.rounded(np.minimum(open, close) / wick), bottom, np.minimum(open, close))
    if len(regular):
        length = np.diff(np.append(first, len(regular)))
        peak = high[regular] == np.repeat(np.maximum.reduceat(high[regular], first), length)
        pit = low[regular] == np.repeat(np.minimum.reduceat(low[regular], first), length)
        high[regular[peak]], low[regular[pit]] = top[regular[peak]], bottom[regular[pit]]

    share = market.tempo[at] * (0.5 + unit(mixed(15, bits)))
    share /= np.bincount(row, share, minlength=len(counts))[row]
    volume = 1 + np.floor(np.maximum(0, 0.9 * market.volume - 2 * counts)[row] * share).astype(np.int64)
    fraction = _fraction(mixed(16, bits), market.rank[row])
    values = _bars(table, market, (open, high, low, close), volume, fraction, _lot(market)[row], 1)
    return _frame(table, market, row, values | {"window_start": market.hours.first + at * MINUTE})


def ticks(table: Table, market: Market, counts: Any, offsets: Any, low: int, high: int) -> Any:
    """Rows `low` to `high` of a tick file, from their positions alone; `offsets` say where each ticker's rows begin."""
    import numpy as np

    start, stop = int(np.searchsorted(offsets, low, "right")) - 1, int(np.searchsorted(offsets, high, "left"))
    inside = np.minimum(offsets[start + 1 : stop + 1], high) - np.maximum(offsets[start:stop], low)
    traded = np.flatnonzero(inside) + start
    row = np.repeat(np.arange(len(traded)), inside[inside > 0])
    place = np.arange(low, high) - offsets[traded][row]
    tape = Tape(table, market[traded], counts[traded], row, place)
    return _frame(table, tape.market, row, tape.quotes() if "ask_price" in table.headers[0] else tape.trades())


@dataclass(frozen=True)
class Tape:
    """Rows of a tick file: `row` is each one's ticker, `place` its position among the ticker's `counts` rows."""

    table: Table
    market: Market
    counts: Any
    row: Any
    place: Any

    @cached_property
    def bits(self) -> Any:
        """A hash of every row."""
        return self._bits(self.place)

    def _bits(self, place: Any) -> Any:
        return mixed(20, self.market.day.toordinal(), self.market.ids[self.row], place)

    def odds(self, purpose: int, sides: int) -> Any:
        """A die with so many sides, thrown for every row."""
        import numpy as np

        return (mixed(purpose, self.bits) % np.uint64(sides)).astype(np.int64)

    @cached_property
    def unit_ns(self) -> int:
        """The resolution of the era's stamps."""
        day = self.market.day
        return 1 if day >= NUMBERED_IDS else 1_000 if day >= MICROSECONDS else 1_000_000

    def moment(self, place: Any) -> Any:
        """When the records at these places happen, in ns after the market begins: evenly through the session's tempo."""
        import numpy as np

        tempo = np.concatenate([[0], np.cumsum(self.market.tempo)])
        spent = (place + unit(self._bits(place))) / self.counts[self.row]
        return np.interp(spent, tempo / tempo[-1], np.arange(len(tempo)) * float(MINUTE))

    def middle(self, place: Any) -> Any:
        """The price that the market stands at when the records at these places happen."""
        import numpy as np

        position = np.minimum(self.moment(place) / MINUTE, self.market.minutes - 1e-6)
        minute = position.astype(np.int64)
        path, part = self.market.path, position - minute
        return path[self.row, minute] * (1 - part) + path[self.row, minute + 1] * part

    def spread(self, price: Any) -> Any:
        """From bid to offer: a tick or more, wider for what trades little."""
        import numpy as np

        tick = self.market.tick(price)
        return np.maximum(1, np.round(price / tick * (1e-4 + 1e-3 * self.market.rank[self.row]))) * tick

    def whole(self, stamps: Any) -> Any:
        """Stamps to the resolution of the era."""
        return stamps // self.unit_ns * self.unit_ns

    def sequence(self) -> Any:
        """Sequence numbers: of 16 digits in the oldest files."""
        if self.market.day < MICROSECONDS:
            return 1_929_946_249_800_780 + 10 * self.place
        return 1_000 + 3 * self.place + self.odds(21, 3)

    def stamps(self, sip: Any) -> Values:
        """The record's other times; a few participants' clocks run ahead of the SIP's."""
        import numpy as np

        made = self.whole(sip - 20_000 - self.odds(22, 400_000) + np.where(self.odds(23, 997) == 0, 5_000_000, 0))
        old = self.table.asset == "stocks" and self.market.day < MICROSECONDS
        return {
            "sip_timestamp": sip,
            "timestamp": sip,
            "participant_timestamp": np.zeros_like(sip) if old else made,
            "sequence_number": self.sequence(),
            "report_sequence": self.place + 1,
            "tape": 1 + (self.market.ids[self.row] % np.uint64(3)).astype(np.int64),
        }

    def finish(self, values: Values) -> Values:
        """The same, with the table's own time column set even if it is not one that the SIP stamps."""
        time = self.table[self.table.time].header
        return values | ({time: values["sip_timestamp"]} if self.table.asset != "stocks" else {})

    def corrected(self) -> tuple[Any, Any]:
        """Codes of corrections, and the place that each record repeats: in old files a pair in every 500 rows.

        The original keeps 8, 1 or 7; the row after it is the cancel, the correction or the error record: 10, 12 or 11.
        """
        import numpy as np

        code = np.zeros(len(self.place), np.int64)
        if self.table.asset != "stocks" or self.market.day >= NUMBERED_IDS:
            return code, self.place
        pair, turn = self.place // 500, self.place % 500
        kinds = 3 if self.market.day < MICROSECONDS else 2
        paired = pair * 500 + 101 < self.counts[self.row]
        for at, codes in ((100, (8, 1, 7)), (101, (10, 12, 11))):
            code = np.where((turn == at) & paired, np.array(codes)[pair % kinds], code)
        return code, self.place - ((code == 10) | (code == 11))

    def trades(self) -> Values:
        """Trades, or values of an index."""
        import numpy as np
        import polars as pl

        market, day, stock = self.market, self.market.day, self.table.asset == "stocks"
        correction, source = self.corrected()
        bits = self._bits(source)
        offset = self.moment(self.place).astype(np.int64)
        # A last print within the second after the close of the extended hours.
        after = stock & (self.counts[self.row] > 1000) & (self.place == self.counts[self.row] - 1)
        offset = np.where(after, market.minutes * MINUTE + 4 * SECOND // 10, offset)
        sip = self.whole(market.hours.first + offset)
        middle = self.middle(source)
        price = market.rounded(middle + self.spread(middle) * 0.25 * bell(mixed(24, bits)))
        regular = (sip >= market.hours.open) & (sip < market.hours.close)
        price = np.where(regular, np.clip(price, market.prices[2][self.row], market.prices[1][self.row]), price)

        die = (mixed(25, bits) % np.uint64(256)).astype(np.int64)
        size = np.where(die < 90, 100, np.where(die < 200, 1 + die * 7 % 99, 100 * (1 + die % 10)))
        part = np.where(die % 8 == 3, 1 + (mixed(26, bits) % np.uint64(999_999)).astype(np.int64), 0)
        if stock and day >= FRACTIONAL.since:
            size = np.where(die % 32 == 3, 0, size)
        if self.table.asset == "crypto":
            size, part = die % 7, part + 100 + die
        empty, free = self.odds(27, 5_003) == 1, stock & (self.odds(28, 20_011) == 1)
        size, part, price = np.where(empty, 0, size), np.where(empty, 0, part), np.where(free, 0, price)

        group = 8 * (size < 100) + 16 * ~regular + self.odds(29, 8)
        conditions = pl.Series(CONDITIONS).replace("", None).gather(group)
        if day < MICROSECONDS:
            conditions = conditions.zip_with(pl.Series(self.odds(30, 24) == 0), pl.Series([None], dtype=pl.String))
        exchange = np.array(EXCHANGES)[self.odds(31, 16)]
        times = self.stamps(sip)
        reported = (exchange == TRF) & (day >= MICROSECONDS)
        # Prints that a facility received hours after they were made.
        late = reported & (self.odds(32, 499) == 0)
        times["participant_timestamp"] = np.where(
            late, self.whole(sip - 3_600 * SECOND - self.odds(33, 9_000) * SECOND), times["participant_timestamp"]
        )
        return self.finish(
            times
            | {
                "conditions": conditions if stock else None,
                "correction": correction,
                "exchange": exchange,
                "id": self.ids(),
                "price": _money(self.table, day, price),
                "value": price,
                "size": _amount(self.table, day, size, part),
                "trf_id": np.where(reported, 201 + self.odds(34, 3), 0),
                "trf_timestamp": np.where(reported, self.whole(sip - 35_000), 0),
            }
        )

    def ids(self) -> Any:
        """Trade ids: blank in the oldest files, then text with odd characters, then numbers."""
        import polars as pl

        if self.market.day < MICROSECONDS:
            return None
        if self.market.day >= NUMBERED_IDS:
            return pl.Series(52_983_525_000_000 + 7 * self.place).cast(pl.String)
        return pl.Series(self.place).cast(pl.String).str.zfill(5) + pl.Series(ID_ENDS).gather(self.odds(35, len(ID_ENDS)))

    def quotes(self) -> Values:
        """Best bids and offers around the same middle as the trades."""
        import numpy as np
        import polars as pl

        market, day, stock = self.market, self.market.day, self.table.asset == "stocks"
        # The first few records come in the hour before the market begins, most of them empty on both sides.
        ahead = np.minimum(5, self.counts[self.row] // 20) if stock and day >= MICROSECONDS else np.zeros_like(self.place)
        early = self.place < ahead
        wait = 56 * MINUTE * (ahead - self.place) // np.maximum(ahead, 1)
        offset = np.where(early, -wait, self.moment(self.place).astype(np.int64))
        sip = self.whole(market.hours.first + offset)
        middle = self.middle(self.place)
        # The offer is told from the bid: rounded each for itself, both fall on the same price where the middle is a whole cent.
        spread = self.spread(middle)
        bid = market.rounded(middle - spread / 2)
        ask = market.rounded(bid + spread)
        state = self.odds(41, 2_003)
        ask = np.where(state < 6, bid, ask)  # locked
        bid, ask = np.where((state >= 6) & (state < 9), (ask, bid), (bid, ask))  # crossed
        lot = 100 if stock and day >= SHARES.since else 1
        sides: Values = {}
        for side, price, purpose in (("ask", ask, 42), ("bid", bid, 45)):
            none = (early & (self.odds(48, 3) > 0)) | (stock & (self.odds(purpose, 307) == 3))
            fields = {
                "price": np.where(none, 0, price),
                "size": np.where(none, 0, lot * (1 + self.odds(purpose + 1, 9))),
                "exchange": np.array(EXCHANGES)[self.odds(purpose + 2, 16)],
                "timestamp": self.whole(sip - self.odds(purpose, 1_000_000)),
            }
            sides |= {f"{side}_{name}": value for name, value in fields.items()}
        codes = pl.Series(["1", None, "1,81"], dtype=pl.String)
        return self.finish(
            self.stamps(sip)
            | sides
            | {
                "conditions": codes.gather(np.where(early, 2, self.odds(49, 4) == 0)),
                "indicators": pl.Series([None, "1"], dtype=pl.String).gather(
                    (self.odds(50, 40) == 0) & (day >= NUMBERED_IDS) & (day < FRACTIONAL.since)
                ),
                "exchange": EXCHANGES[3],
                "trf_timestamp": 0,
            }
        )
