"""The slow way of landing: which rows are faulty, and which share a key.

Taken only by files that the fast way could not vouch for. Nothing is guessed: a row lands as it is or stands apart with its reason.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from workbench.errors import BrokenText
from workbench.lake.types import polars_type
from workbench.tables import Column, Table

if TYPE_CHECKING:
    import polars as pl

EXTRA = "\x00extra"
REASON = "reason"
IDENTICAL, EMPTY_TWIN, REPEATED = "identical to another row", "empty twin of another bar", "same key as another row"
# Empty, or with space or control characters in it: what stray quotes and shifted lines leave for a ticker.
NO_SYMBOL = r"^$|[\s\x00-\x1f\x7f]"
# Nothing is lost with these rows, so they do not make a file suspect.
HARMLESS = (IDENTICAL, EMPTY_TWIN)


@dataclass(frozen=True)
class Order:
    """What a comparison of neighbours tells of a part. `odd` text (blank or untidy tickers, NUL bytes) is looked at row by row."""

    sorted: bool
    unique: bool
    odd: bool

    @property
    def whole(self) -> bool:
        """Whether there is nothing to do."""
        return self.sorted and self.unique and not self.odd


def order(part: Path, table: Table) -> Order:
    """Compare neighbours: tickers contiguous, times not falling, keys not repeating.

    Equal keys have equal tickers and times, so in a part that is in order they can only be neighbours of one another.
    """
    import polars as pl

    rest = [name for name in table.key if name not in ("ticker", table.time)]
    rows = pl.scan_parquet(part, glob=False).select("ticker", table.time, *rest)
    ticker, stamp = pl.col("ticker"), pl.col(table.time)
    begins = (ticker != ticker.shift(1)).fill_null(value=True)
    tied = (stamp == stamp.shift(1)) & ~begins
    # One query, and not a streaming one: on a small file the calls cost more than the work.
    found = rows.select(
        contiguous=ticker.filter(begins).n_unique() == begins.sum(),
        rising=((stamp >= stamp.shift(1)) | begins).all(),
        ties=tied.sum(),
        odd=ticker.filter(begins).str.contains(NO_SYMBOL).any(),
    ).collect(engine="in-memory")
    contiguous, rising, ties, odd = found.row(0)
    in_order = contiguous and rising
    odd = odd or nul_in_text(part, table)
    if not table.key or not ties:
        return Order(in_order, unique=in_order or not table.key, odd=odd)
    if not in_order or not rest:
        return Order(in_order, unique=False, odd=odd)
    several = rows.filter(tied | tied.shift(-1, fill_value=False)).collect(engine="in-memory")
    return Order(in_order, unique=not several.select(table.key).is_duplicated().any(), odd=odd)


def nul_in_text(part: Path, table: Table) -> bool:
    """Whether a text column other than the ticker holds a NUL byte."""
    import polars as pl

    text = [c.name for c in table.vendor if c.type == "VARCHAR" and c.name != "ticker"]
    if not text:
        return False
    found = pl.scan_parquet(part, glob=False).select(pl.col(text).str.contains("\0", literal=True).any()).collect(engine="streaming")
    return any(found.row(0))


def settled(part: Path, table: Table, *, sort: bool) -> tuple["pl.DataFrame", "pl.DataFrame"]:
    """A part's rows in order and with unique keys, and the rows set apart for it, with their reasons."""
    import polars as pl

    rows = pl.read_parquet(part, glob=False)
    if sort:
        rows = rows.sort(list(dict.fromkeys(("ticker", table.time, *table.key))), maintain_order=True)
    if not table.key:
        return rows, rows.clear()
    vendor = [c.name for c in table.vendor]
    nth = rows.with_row_index("nth")
    shared = nth.filter(pl.struct(table.key).is_duplicated())
    once = shared.unique(vendor, keep="first", maintain_order=True)
    apart = {IDENTICAL: shared.join(once, on="nth", how="anti")}
    if {"volume", "transactions"} <= set(vendor):
        empty = (pl.col("volume") == 0) & (pl.col("transactions").fill_null(0) == 0)
        twins = once.filter(empty & (~empty).any().over(table.key))
        apart[EMPTY_TWIN] = twins
        once = once.join(twins, on="nth", how="anti")
    apart[REPEATED] = once.filter(pl.struct(table.key).is_duplicated())
    refused = pl.concat([frame.with_columns(pl.lit(reason).alias(REASON)) for reason, frame in apart.items()])
    kept = nth.join(refused, on="nth", how="anti", maintain_order="left").drop("nth")
    return kept, refused.select(*(pl.col(name).cast(pl.String) for name in vendor), REASON)


def separate(text: "pl.LazyFrame", table: Table, header: tuple[str, ...], key: str) -> tuple["pl.LazyFrame", "pl.DataFrame"]:
    """A file's good rows with the declared types, lazily, and its faulty rows as text with their reasons.

    Raises `BrokenText` if the file cannot be read as CSV at all.
    """
    import polars as pl

    columns = {c.header: c for c in table.vendor}
    reasons = [pl.when(pl.col(EXTRA).is_not_null()).then(pl.lit("too many fields"))]
    for name in header:
        reasons += [pl.when(fault).then(pl.lit(why)) for why, fault in tests(columns[name], name)]
    reason = pl.coalesce(*(branch.otherwise(None) for branch in reasons))
    judged = text.with_columns(reason.alias(REASON))
    faulty = judged.filter(pl.col(REASON).is_not_null()).rename({EXTRA: "too_much"})
    try:
        refused = faulty.collect(engine="streaming")
    except pl.exceptions.PolarsError as fault:
        raise BrokenText(
            f"{key} cannot be read as CSV ({str(fault).splitlines()[0]}); nothing was landed and the file is in quarantine. "
            "Refresh again when the vendor has replaced it."
        ) from fault
    good = judged.filter(pl.col(REASON).is_null())
    return good.select(number(columns[name], name) for name in header), refused


def number(column: Column, name: str) -> "pl.Expr":
    """A text column with its declared type; null where the text does not say such a value."""
    import polars as pl

    text = pl.col(name)
    if column.type == "DATE":
        return text.str.to_date("%Y-%m-%d", strict=False)
    value = text.cast(polars_type(column), strict=False)
    # Text such as "nan" and "inf" is a float to a parser, and no price.
    return pl.when(value.is_finite()).then(value).alias(name) if column.type == "DOUBLE" else value


def tests(column: Column, name: str) -> "list[tuple[str, pl.Expr]]":
    """The ways in which a column's text can be faulty, each with its reason."""
    import polars as pl

    text = pl.col(name)
    found: list[tuple[str, pl.Expr]] = []
    if column.required:
        found.append((f"no {column.name}", text.is_null()))
    found.append((f"NUL byte in {column.name}", text.str.contains("\0", literal=True)))
    if column.name == "ticker":
        found.append(("ticker is no symbol", text.str.contains(NO_SYMBOL)))
    if column.type == "VARCHAR":
        return found
    value = number(column, name)
    found.append((f"{column.name} is not a {column.type}", text.is_not_null() & value.is_null()))
    if column.low is not None:
        found.append((f"{column.name} below {column.low:g}", value < column.low))
    if column.high is not None:
        found.append((f"{column.name} above {column.high:g}", value > column.high))
    return found
