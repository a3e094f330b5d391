"""The generator keeps the vendor's format, is the same everywhere, and its faults are what they say."""

import csv
import gzip
import io
import json
import subprocess
import sys
import zlib
from collections import Counter
from collections.abc import Iterator
from datetime import UTC, date, datetime
from hashlib import md5
from itertools import groupby, pairwise
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest

from workbench.sources.faults import DAY, FAULTS, fault, packed, text_of
from workbench.sources.market import Market, cms
from workbench.sources.sample import Sample, write
from workbench.tables import FED, TABLES, locate
from workbench.tables.spec import midnight_ns

STOCK_DAY, STOCK_MINUTE, TRADES, QUOTES = (TABLES[f"stock_{kind}"] for kind in ("day", "minute", "trades", "quotes"))
NEW_YORK = ZoneInfo("America/New_York")
OLD, TEXT_IDS, WHOLE, FRACTIONAL, SIX = (
    date(2003, 9, 10),
    date(2016, 1, 4),
    date(2024, 3, 8),
    date(2026, 3, 2),
    date(2026, 10, 2),
)
SUMMER, EARLY = date(2024, 3, 11), date(2024, 7, 3)

Rows = list[dict[str, str]]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("flatfiles")


def rows_of(path: Path) -> Rows:
    return list(csv.DictReader(io.StringIO(gzip.decompress(path.read_bytes()).decode(), newline="")))


def rows(folder: Path, name: str, day: date) -> Rows:
    path = folder / TABLES[name].key_of(TABLES[name].feeds[0], day)
    return rows_of(path if path.exists() else write(folder, TABLES[name], day))


def by_ticker(rows: Rows) -> Iterator[tuple[str, Rows]]:
    return ((ticker, list(group)) for ticker, group in groupby(rows, key=lambda row: row["ticker"]))


def clock(ns: str) -> str:
    return datetime.fromtimestamp(int(ns) / 1e9, NEW_YORK).strftime("%H:%M")


# --- the same everywhere


@pytest.mark.parametrize("name", ["stock_day", "stock_minute", "stock_trades", "stock_quotes", "crypto_trades"])
def test_another_process_writes_the_same_bytes(tmp_path: Path, name: str) -> None:
    here = write(tmp_path / "here", TABLES[name], WHOLE, tickers=7, rows=7 if "day" in name else 900, seed=3)
    code = (
        "import sys; from datetime import date; from pathlib import Path\n"
        "from workbench.sources.sample import write; from workbench.tables import TABLES\n"
        f"write(Path(sys.argv[1]), TABLES[{name!r}], date({WHOLE:%Y, %-m, %-d}), tickers=7, rows={7 if 'day' in name else 900}, seed=3)"
    )
    subprocess.run([sys.executable, "-c", code, str(tmp_path / "there")], check=True, env={"PYTHONHASHSEED": "17"})
    there = tmp_path / "there" / here.relative_to(tmp_path / "here")
    assert here.read_bytes() == there.read_bytes()
    assert here.read_bytes() != write(tmp_path / "other", TABLES[name], WHOLE, tickers=7, seed=4).read_bytes()


def test_a_ticker_is_the_same_whoever_is_beside_it(folder: Path, tmp_path: Path) -> None:
    alone = rows_of(write(tmp_path, STOCK_MINUTE, WHOLE, tickers=["IBM"]))
    assert alone == [row for row in rows(folder, "stock_minute", WHOLE) if row["ticker"] == "IBM"]


def test_pieces_do_not_show(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = text_of(write(tmp_path, TRADES, TEXT_IDS, rows=5_000))
    monkeypatch.setattr("workbench.sources.sample.PIECE", 333)
    path = write(tmp_path, TRADES, TEXT_IDS, rows=5_000)
    assert text_of(path) == whole
    stream = zlib.decompressobj(16 + zlib.MAX_WBITS)
    stream.decompress(path.read_bytes())
    assert stream.eof, "one member"
    assert not stream.unused_data, "one member"
    assert path.read_bytes()[3:8] == bytes(5), "neither name nor time"


def test_prices_walk_from_session_to_session() -> None:
    days = [date.fromordinal(o) for o in range(date(2024, 1, 1).toordinal(), date(2024, 3, 1).toordinal())]
    closes = [float(Market.of(STOCK_DAY, ["AAPL"], day, 0).settled(day.toordinal())[0]) for day in days]
    steps = [abs(after / before - 1) for before, after in pairwise(closes)]
    assert max(steps) < 0.06
    assert min(steps) > 0
    assert sum(steps) / len(steps) == pytest.approx(0.008, abs=0.005)


# --- the vendor's format


@pytest.mark.parametrize("table", FED, ids=lambda table: table.name)
def test_every_table_is_written_as_declared(tmp_path: Path, table) -> None:  # type: ignore[no-untyped-def]
    day = date(2026, 10, 2)
    for feed in table.feeds:
        path = write(tmp_path, table, day, tickers=12, feed=feed)
        assert locate(path.relative_to(tmp_path).as_posix()) == (table, feed, day)
        assert text_of(path).partition(b"\n")[0].decode() == ",".join(table.headers[0])
        found = rows_of(path)
        low, high = table.session_ns(day)
        time = table[table.time].header
        keys = [tuple(row[table[name].header] for name in table.key) for row in found]
        assert len({row["ticker"] for row in found}) == 12
        assert all(low <= int(row[time]) < high for row in found)
        assert not table.key or len(set(keys)) == len(keys)
        assert not table.same_day or {row[table.same_day] for row in found} == {"2026-10-02"}
        for column in table.vendor:
            values = [row[column.header] for row in found]
            assert not column.required or all(values), column.name
            if column.type in ("DOUBLE", "BIGINT", "SMALLINT", "TINYINT") and any(values):
                assert column.low is None or min(float(value) for value in values if value) >= column.low, column.name
            if column.type in ("BIGINT", "SMALLINT", "TINYINT"):
                assert all(value.isdigit() for value in values if value), column.name


def test_tickers_come_in_the_tapes_order() -> None:
    ordered = ["A", "AGM.A", "AGMpC", "AIpC", "AIGpA", "AIG.WS", "BACpB", "BACPB", "CpS", "CAIpA", "CPS", "FTVpA", "FTVw"]
    assert sorted(sorted(ordered), key=cms) == ordered
    assert [cms(ticker) for ticker in ("BApA", "AIG.WS", "NMCOr", "FTVw", "BRK.B")] == ["BA PRA", "AIG WS", "NMCO RT", "FTV WI", "BRK B"]


@pytest.mark.parametrize("name", ["stock_day", "stock_minute", "stock_trades", "stock_quotes"])
def test_rows_are_grouped_by_ticker_and_ordered_within(folder: Path, name: str) -> None:
    found = list(by_ticker(rows(folder, name, WHOLE)))
    tickers = [ticker for ticker, _ in found]
    assert tickers == sorted(set(tickers), key=cms) != sorted(tickers)
    for _, group in found:
        stamps = [(int(row[TABLES[name].time]), int(row.get("sequence_number", 0))) for row in group]
        assert stamps == sorted(stamps)


def test_odd_tickers_are_there(folder: Path) -> None:
    odd = """BApA BRK.B NE.WS.A BCATrw NMCOr NA NULL TRUE NAN INF ON E T CpS CPS BACpB BACPB ZVZZT ZTEST ATEST NTEST.H"""
    assert set(odd.split()) <= {row["ticker"] for row in rows(folder, "stock_day", WHOLE)}


def test_many_tickers_are_distinct_and_keep_suffixes(tmp_path: Path) -> None:
    found = [row["ticker"] for row in rows_of(write(tmp_path, STOCK_DAY, WHOLE, tickers=11_000))]
    assert len(set(found)) == len(found) == 11_000
    assert sum(not ticker.isupper() or "." in ticker for ticker in found) > 500


def test_sizes_are_whole_until_shares_were_divided(folder: Path) -> None:
    assert all(row["volume"].isdigit() for row in rows(folder, "stock_minute", WHOLE))
    assert all(row["size"].isdigit() for row in rows(folder, "stock_trades", WHOLE))
    for name, column in (("stock_minute", "volume"), ("stock_trades", "size"), ("stock_day", "volume")):
        values = [row[column] for row in rows(folder, name, FRACTIONAL)]
        assert all(len(value.partition(".")[2]) == 6 for value in values)
        assert not all(value.endswith(".000000") for value in values)


def test_prices_have_six_decimals_since_september_2026(folder: Path) -> None:
    assert all(len(row["price"].partition(".")[2]) == 6 for row in rows(folder, "stock_trades", SIX))
    for day in (WHOLE, FRACTIONAL):
        assert all(repr(float(row["close"])) == row["close"] for row in rows(folder, "stock_minute", day))


def test_old_trades(folder: Path) -> None:
    found = rows(folder, "stock_trades", OLD)
    assert {(row["id"], row["participant_timestamp"], row["trf_id"]) for row in found} == {("", "0", "0")}
    assert {len(row["sequence_number"]) for row in found} == {16}
    assert all(row["sip_timestamp"].endswith("000000") for row in found)
    assert sum(not row["conditions"] for row in found) > 0.9 * len(found)
    assert clock(min(row["sip_timestamp"] for row in found)) >= "08:00"
    codes = Counter(row["correction"] for row in found)
    assert codes["8"] == codes["10"] > 0
    assert codes["1"] == codes["12"] > 0
    assert codes["7"] == codes["11"] > 0
    for before, after in pairwise(found):
        if after["correction"] in ("10", "11"):
            assert (before["price"], before["size"]) == (after["price"], after["size"])


def test_text_ids(folder: Path) -> None:
    ids = [row["id"] for row in rows(folder, "stock_trades", TEXT_IDS)]
    for end in ("]:C", "`", "\\"):
        assert any(value.endswith(end) for value in ids), end


def test_trades_have_the_oddities(folder: Path) -> None:
    found = rows(folder, "stock_trades", FRACTIONAL)
    text = text_of(folder / TRADES.key_of(TRADES.feeds[0], FRACTIONAL))
    assert b',"12,37",' in text
    assert b',"14,12,37,41",' in text
    ahead = [int(row["participant_timestamp"]) - int(row["sip_timestamp"]) for row in found]
    assert any(0 < ns < 10_000_000 for ns in ahead), "a participant's clock runs ahead"
    assert any(ns < -3_600_000_000_000 for ns in ahead), "late reports"
    assert any(float(row["size"]) == 0 for row in found)
    assert any(0 < float(row["size"]) < 1 for row in found)
    assert {row["trf_id"] for row in found} == {"0", "201", "202", "203"}
    times = [clock(row["sip_timestamp"]) for row in found]
    assert (min(times), max(times)) == ("04:00", "20:00")
    for row in found:
        extended = not "09:30" <= clock(row["sip_timestamp"]) < "16:00"
        assert ("12" in row["conditions"].split(",")) == extended


def test_quotes_have_the_oddities(folder: Path) -> None:
    found = rows(folder, "stock_quotes", WHOLE)
    sides = [(float(row["bid_price"]), float(row["ask_price"])) for row in found]
    early = [row for row in found if clock(row["sip_timestamp"]) < "04:00"]
    assert {row["conditions"] for row in early} == {"1,81"}
    assert any(row["bid_price"] == row["ask_price"] == "0.0" and row["bid_size"] == "0" for row in early)
    assert any(bid == 0 < ask for bid, ask in sides)
    assert any(ask == 0 < bid for bid, ask in sides)
    assert any(0 < ask < bid for bid, ask in sides), "crossed"
    assert any(0 < ask == bid for bid, ask in sides), "locked"
    assert sum(0 < bid < ask for bid, ask in sides) > 0.95 * len(sides)


def test_quote_sizes_become_shares(folder: Path) -> None:
    assert {int(row["bid_size"]) for row in rows(folder, "stock_quotes", WHOLE)} == set(range(10))
    assert {int(row["bid_size"]) for row in rows(folder, "stock_quotes", FRACTIONAL)} == set(range(0, 1000, 100))


# --- the session


@pytest.mark.parametrize(("day", "hour"), [(WHOLE, 9), (SUMMER, 8)])
def test_the_clock_is_new_yorks(folder: Path, day: date, hour: int) -> None:
    stamps = [int(row["window_start"]) for row in rows(folder, "stock_minute", day)]
    assert datetime.fromtimestamp(min(stamps) // 10**9, UTC).hour == hour
    assert (clock(str(min(stamps))), clock(str(max(stamps)))) == ("04:00", "19:59")
    assert {int(row["window_start"]) for row in rows(folder, "stock_day", day)} == {midnight_ns(day, "America/New_York")}


def test_an_early_close_ends_the_day_at_17(folder: Path) -> None:
    assert clock(max(row["window_start"] for row in rows(folder, "stock_minute", EARLY))) == "16:59"
    regular = [row for row in rows(folder, "stock_trades", EARLY) if "12" not in row["conditions"].split(",")]
    assert "12:50" < clock(max(row["sip_timestamp"] for row in regular)) < "13:00"


@pytest.mark.parametrize("day", [OLD, WHOLE, EARLY, FRACTIONAL, SIX])
def test_minutes_agree_with_the_day(folder: Path, day: date) -> None:
    close_at = "13:00" if day == EARLY else "16:00"
    days = {row["ticker"]: {k: float(v) for k, v in row.items() if k != "ticker"} for row in rows(folder, "stock_day", day)}
    minutes = dict(by_ticker(rows(folder, "stock_minute", day)))
    assert minutes.keys() == days.keys()
    for ticker, group in minutes.items():
        bar = days[ticker]
        bars = [{k: float(v) for k, v in row.items() if k != "ticker"} for row in group]
        for row in (*bars, bar):
            assert row["low"] <= min(row["open"], row["close"]) <= max(row["open"], row["close"]) <= row["high"]
        regular = [new for new, row in zip(bars, group, strict=True) if "09:30" <= clock(row["window_start"]) < close_at]
        assert regular[0]["open"] == bar["open"]
        assert regular[-1]["close"] == bar["close"]
        assert max(row["high"] for row in regular) == bar["high"]
        assert min(row["low"] for row in regular) == bar["low"]
        assert sum(row["volume"] for row in bars) <= bar["volume"]
        assert sum(row["transactions"] for row in bars) <= bar["transactions"]


def test_trades_stay_between_the_days_prices_and_near_the_quotes(folder: Path) -> None:
    days = {row["ticker"]: row for row in rows(folder, "stock_day", WHOLE)}
    trades = [row for row in rows(folder, "stock_trades", WHOLE) if "12" not in row["conditions"].split(",") and float(row["price"])]
    assert all(float(days[r["ticker"]]["low"]) <= float(r["price"]) <= float(days[r["ticker"]]["high"]) for r in trades)
    tape = [(int(r["sip_timestamp"]), r["ticker"], 1, float(r["price"]), 0.0) for r in trades if r["ticker"] == "SPY"]
    quotes = (r for r in rows(folder, "stock_quotes", WHOLE) if r["ticker"] == "SPY" and float(r["bid_price"]) and float(r["ask_price"]))
    tape += [(int(r["sip_timestamp"]), "SPY", 0, float(r["bid_price"]), float(r["ask_price"])) for r in quotes]
    inside, bid, ask = [], 0.0, 0.0
    for _, _, is_trade, one, other in sorted(tape):
        if is_trade:
            inside.append(bid - 0.1 <= one <= ask + 0.1)
        else:
            bid, ask = one, other
    assert sum(inside) > 0.9 * len(inside)


# --- sizes


@pytest.mark.parametrize(("table", "count"), [(STOCK_DAY, 30), (STOCK_MINUTE, 20_000), (TRADES, 12_345), (QUOTES, 17), (TRADES, 1)])
def test_the_rows_asked_for(tmp_path: Path, table, count: int) -> None:  # type: ignore[no-untyped-def]
    found = rows_of(write(tmp_path, table, WHOLE, rows=count))
    assert len(found) == count
    if count > 1_000:
        most = Counter(row["ticker"] for row in found).most_common(1)[0]
        assert most[1] > 1.9 * count / 40, "liquid tickers have most rows"


def test_more_bars_than_minutes_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="1,000 rows do not fit"):
        write(tmp_path, STOCK_MINUTE, WHOLE, tickers=["SPY"], rows=1_000)
    assert not list(tmp_path.rglob("*.gz*"))


# --- the source


def test_it_lists_what_is_due(tmp_path: Path) -> None:
    source = Sample(tmp_path, tickers=5, now=lambda: datetime(2024, 7, 9, 10, 59, tzinfo=NEW_YORK))
    files = source.list(STOCK_DAY.feeds[0], date(2024, 7, 3), date(2024, 7, 20))
    assert [file.place[2].day for file in files] == [3, 5], "no holiday, no weekend, and the 8th is out at 11:00 on the 9th"
    source.now = lambda: datetime(2024, 7, 9, 11, 0, tzinfo=NEW_YORK)
    assert source.list(STOCK_DAY.feeds[0], date(2024, 7, 8), date(2024, 7, 8))[0].place[2] == date(2024, 7, 8)


def test_it_lends_its_files(tmp_path: Path) -> None:
    source = Sample(tmp_path, tickers=5)
    (file,) = source.list(STOCK_DAY.feeds[0], WHOLE, WHOLE)
    fetched = source.fetch(file, tmp_path / "elsewhere")
    data = fetched.path.read_bytes()
    assert fetched.lent
    assert fetched.path == tmp_path / file.key
    assert (file.etag, file.size) == (md5(data).hexdigest(), len(data))
    assert (source.name, source.check().state) == ("sample", "works")


def test_it_leaves_alone_what_is_there(tmp_path: Path) -> None:
    path = write(tmp_path, STOCK_DAY, WHOLE, tickers=3)
    before = path.read_bytes()
    assert Sample(tmp_path, tickers=5).list(STOCK_DAY.feeds[0], WHOLE, WHOLE)[0].size == len(before)
    assert path.read_bytes() == before


def test_no_session_no_file(tmp_path: Path) -> None:
    assert Sample(tmp_path).list(STOCK_DAY.feeds[0], date(1990, 1, 1), date(2003, 9, 9)) == []
    assert Sample(tmp_path).list(STOCK_DAY.feeds[0], date(2012, 10, 29), date(2012, 10, 30)) == [], "Hurricane Sandy"
    chosen = Sample(tmp_path, tickers=2, sessions=lambda table, start, end: [date(2024, 7, 6)])
    assert [file.place[2] for file in chosen.list(STOCK_DAY.feeds[0], EARLY, date(2024, 7, 8))] == [date(2024, 7, 6)]


def test_importing_it_is_light() -> None:
    code = "import sys, workbench.sources.sample, workbench.sources.faults, json; print(json.dumps(sorted(sys.modules)))"
    loaded = json.loads(subprocess.run([sys.executable, "-c", code], check=True, capture_output=True).stdout)
    assert not {"numpy", "polars", "pyarrow", "pandas", "exchange_calendars"} & set(loaded)


# --- faults


@pytest.fixture
def minutes(tmp_path: Path) -> Path:
    return write(tmp_path, STOCK_MINUTE, WHOLE, tickers=8)


def made(path: Path, name: str) -> tuple[list[bytes], Rows]:
    """A fault's lines, and its rows where CSV can read them."""
    text = text_of(fault(name, path))
    return text.split(b"\n"), list(csv.DictReader(io.StringIO(text.decode("latin-1").replace("\x00", ""), newline="")))


@pytest.mark.parametrize("name", FAULTS)
@pytest.mark.parametrize("table", [STOCK_MINUTE, TRADES, QUOTES], ids=lambda table: table.name)
def test_a_fault_changes_the_file_the_same_way_twice(tmp_path: Path, table, name: str) -> None:  # type: ignore[no-untyped-def]
    path = write(tmp_path, table, WHOLE, tickers=8, rows=300)
    text = text_of(path)
    faulty = fault(name, path).read_bytes()
    assert faulty != packed(text)
    assert faulty == FAULTS[name].make(text)
    assert FAULTS[name].doc.endswith(".")


@pytest.mark.parametrize(
    ("name", "error"),
    [
        ("truncated", EOFError),
        ("no_trailer", EOFError),
        ("crc", gzip.BadGzipFile),
        ("trailing_garbage", gzip.BadGzipFile),
        ("not_gzip", gzip.BadGzipFile),
        ("error_page", gzip.BadGzipFile),
        ("bit_flip", (zlib.error, gzip.BadGzipFile, EOFError)),
    ],
)
def test_broken_gzip_cannot_be_read(minutes: Path, name: str, error: type[Exception]) -> None:
    fault(name, minutes)
    with pytest.raises(error), gzip.open(minutes) as data:
        data.read()


def test_two_members_hold_the_same_text(minutes: Path) -> None:
    text = text_of(minutes)
    fault("multi_member", minutes)
    assert gzip.decompress(minutes.read_bytes()) == text
    assert text_of(minutes) == text[: len(text) // 2]


def test_empty_ones(minutes: Path) -> None:
    good = text_of(minutes)
    assert FAULTS["zero_bytes"].make(good) == b""
    assert gzip.decompress(FAULTS["empty_gzip"].make(good)) == b""
    assert gzip.decompress(FAULTS["header_only"].make(good)) == good.partition(b"\n")[0] + b"\n"


@pytest.mark.parametrize(
    ("name", "change"),
    [
        ("wrong_day", lambda ns: ns + DAY),
        ("negative_stamp", lambda ns: -68_400_000_000_000),
        ("milliseconds", lambda ns: ns // 1_000_000),
        ("seventeen_digits", lambda ns: ns // 100),
    ],
)
def test_stamps(minutes: Path, name: str, change) -> None:  # type: ignore[no-untyped-def]
    expected = [change(int(row["window_start"])) for row in rows_of(minutes)]
    assert [int(row["window_start"]) for row in made(minutes, name)[1]] == expected


@pytest.mark.parametrize(("name", "differing"), [("identical", set()), ("zero", {"volume", "transactions"}), ("differing", {"open"})])
def test_twins(minutes: Path, name: str, differing: set[str]) -> None:
    good = rows_of(minutes)
    found = made(minutes, f"duplicate_{name}")[1]
    twins = [(a, b) for a, b in pairwise(found) if (a["ticker"], a["window_start"]) == (b["ticker"], b["window_start"])]
    assert len(twins) == len(found) - len(good) == -(-len(good) // 100)
    for one, twin in twins:
        assert {column for column in one if one[column] != twin[column]} == differing


def test_order(minutes: Path) -> None:
    good = rows_of(minutes)
    backwards, scattered = (
        list(csv.DictReader(io.StringIO(gzip.decompress(FAULTS[name].make(text_of(minutes))).decode())))
        for name in ("unsorted_times", "scattered_tickers")
    )
    for found in (backwards, scattered):
        assert sorted(map(str, found)) == sorted(map(str, good))
    assert [ticker for ticker, _ in by_ticker(backwards)] == [ticker for ticker, _ in by_ticker(good)]
    assert all(int(a["window_start"]) > int(b["window_start"]) for _, group in by_ticker(backwards) for a, b in pairwise(group))
    assert len(list(by_ticker(scattered))) > len(list(by_ticker(good)))


@pytest.mark.parametrize(
    ("name", "header"),
    [
        ("extra_column", "ticker,volume,open,close,high,low,window_start,transactions,vwap"),
        ("missing_column", "ticker,volume,close,high,low,window_start,transactions"),
        ("reordered_columns", "ticker,transactions,window_start,low,high,close,open,volume"),
        ("renamed_column", "ticker,volume,open,close,high,low,t,transactions"),
        ("repeated_column", "ticker,volume,open,close,high,low,window_start,transactions,open"),
        ("byte_order_mark", "\ufeffticker,volume,open,close,high,low,window_start,transactions"),
    ],
)
def test_headers(minutes: Path, name: str, header: str) -> None:
    good = rows_of(minutes)
    lines, found = made(minutes, name)
    assert lines[0].decode() == header
    assert {line.count(b",") for line in lines[:-1]} == {header.count(",")}
    assert [row["close"] for row in found] == [row["close"] for row in good]


def test_no_header(minutes: Path) -> None:
    assert made(minutes, "no_header")[0][0].split(b",")[0] == b"AAPL"


@pytest.mark.parametrize(
    ("name", "column", "wrong", "step"),
    [
        ("text_in_number", "open", "n/a", 1_000),
        ("text_in_many_numbers", "open", "n/a", 20),
        ("missing_value", "open", "", 1_000),
        ("missing_ticker", "ticker", "", 1_000),
        ("negative_price", "open", "-", 1_000),
        ("nan_price", "open", "NaN", 1_000),
        ("infinite_price", "open", "inf", 1_000),
        ("too_big", "window_start", None, 1_000),
        ("strayed_rows", "window_start", None, 500),
    ],
)
def test_values(minutes: Path, name: str, column: str, wrong: str | None, step: int) -> None:
    good = rows_of(minutes)
    found = made(minutes, name)[1]
    changed = [i for i, (one, other) in enumerate(zip(good, found, strict=True)) if one != other]
    assert changed == list(range(1, len(good), step))
    for i in changed:
        assert {k for k in good[i] if good[i][k] != found[i][k]} == {column}
        assert wrong is None or found[i][column] in (wrong, "-" + good[i][column])
        assert name != "too_big" or int(found[i][column]) > 2**63


def test_text(minutes: Path) -> None:
    good = text_of(minutes)
    lines = good.split(b"\n")

    def text(name: str) -> bytes:
        return gzip.decompress(FAULTS[name].make(good))

    assert text("nul_byte").split(b"\n")[2] == b"\x00" + lines[2]
    with pytest.raises(UnicodeDecodeError):
        text("invalid_utf8").decode()
    assert text("open_quote").count(b'"') == 1
    assert text("crlf").count(b"\r\n") == good.count(b"\n")
    assert text("empty_lines").split(b"\n")[2] == b""
    assert text("no_final_newline") + b"\n" == good
    assert good.startswith(text("half_row"))
    assert text("half_row").split(b"\n")[-1].count(b",") == 6
    fields = {name: Counter(line.count(b",") for line in text(name).split(b"\n")[:-1]) for name in ("short_rows", "long_rows")}
    few = len(range(1, len(lines) - 1, 1_000))
    assert fields == {"short_rows": {7: len(lines) - 1 - few, 6: few}, "long_rows": {7: len(lines) - 1 - few, 8: few}}
