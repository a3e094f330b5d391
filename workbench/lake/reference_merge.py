"""Reference rows that came in, laid over those that are held: by key, by the better source, and nothing is forgotten."""

from dataclasses import dataclass
from datetime import date, datetime
from typing import TYPE_CHECKING, Any

from workbench.lake.types import polars_type
from workbench.sources.reference import Row
from workbench.tables import Table

if TYPE_CHECKING:
    import polars as pl

# Who is believed where several tell of the same event, best first; whoever is not named comes last.
SOURCES = ("polygon_api", "fred", "calendar", "folder", "yahoo", "sample")
# What rows of several sources are about, where it is not their key: of such an event only the best source's rows are held.
EVENTS = {
    "splits": ("ticker", "execution_date"),
    "dividends": ("ticker", "ex_dividend_date"),
    "ticker_changes": ("asset",),
    "exchanges": ("asset_class", "id"),
}
# Whose rows may move to another key: a corrected date keeps the vendor's id.
MOVING = ("splits", "dividends")
# What the lake works out, and no source tells.
DERIVED = ("duplicate_of", "verdict")
STAMPS = ("source", "seen_at", "updated_at")


@dataclass(frozen=True)
class Merged:
    """All rows of a table, or of a piece of it, after a merge; `weaker` rows were left out because a better source tells of the same."""

    rows: "pl.DataFrame"
    new: int = 0
    changed: int = 0
    same: int = 0
    weaker: int = 0
    replaced: int = 0
    disappeared: int = 0

    @property
    def moved(self) -> bool:
        """Whether anything is other than it was."""
        return bool(self.new or self.changed or self.replaced)


def rank(source: str) -> int:
    """How far down the list of the believed a source stands."""
    return SOURCES.index(source) if source in SOURCES else len(SOURCES)


def frame(table: Table, rows: list[Row]) -> "pl.DataFrame":
    """Checked rows as a frame with the table's columns; what a row was not told is NULL."""
    import polars as pl

    return pl.DataFrame({c.name: pl.Series(c.name, [row.get(c.name) for row in rows], polars_type(c)) for c in table.columns})


def merge(table: Table, held: "pl.DataFrame", told: "pl.DataFrame", source: str, now: datetime, today: date, *, whole: bool) -> Merged:
    """Lay rows that a source told, each key once, over the rows held."""
    import polars as pl

    if table.name == "tickers":
        return merge_tickers(table, held, told, source, today, whole=whole)
    key, names = list(table.key), [c.name for c in table.columns]
    held, told, replaced, weaker = by_source(table, held, told, source)
    here = pl.col("__old").is_not_null()
    told = told.with_columns(pl.lit(source).alias("source"))
    old = held.with_row_index("__old")
    stays = [*(name for name in DERIVED if name in names), *(["seen_at"] if "seen_at" in names else [])]
    moving = table.name in MOVING
    if moving:
        # The same id under another key: the row has moved there.
        told = told.with_row_index("__new")
        ids = old.filter(pl.col("id").is_not_null(), pl.col("source") == source).unique("id", keep="first").select("id", "__old")
        by_key = told.select("__new", *key).join(old.select("__old", *key), on=key, how="left", nulls_equal=True)
        by_id = told.filter(pl.col("id").is_not_null()).select("__new", "id").join(ids, on="id", how="inner").select("__new", by="__old")
        # A row found by its key is that row; an id is asked only where no key is, and only for a row that no key has found.
        taken = by_key["__old"].drop_nulls()
        by_id = by_id.filter(~pl.col("by").is_in(taken.implode())).unique("by", keep="first")
        found = by_key.join(by_id, on="__new", how="left").select("__new", pl.coalesce("__old", "by").alias("__old"))
        joined = told.join(found, on="__new", how="left").join(old, on="__old", how="left", suffix="__was")
        was = {name: f"{name}__was" for name in names}
    else:
        joined = told.join(old, on=key, how="left", nulls_equal=True, suffix="__was")
        was = {name: name if name in key else f"{name}__was" for name in names}
    facts = [name for name in names if name not in (*STAMPS, *DERIVED)]
    values: dict[str, Any] = {name: pl.coalesce(name, was[name]) if name not in key else pl.col(name) for name in facts}
    compared = [name for name in (*facts, "source") if moving or name not in key]
    differs = pl.any_horizontal([values.get(name, pl.col(name)).ne_missing(pl.col(was[name])) for name in compared])
    joined = joined.with_columns(__new_row=~here, __changed=here & differs)
    stamps: dict[str, Any] = {name: pl.when(here).then(pl.col(was[name])).otherwise(pl.col(name)) for name in stays}
    if "seen_at" in names:
        stamps["seen_at"] = pl.coalesce(stamps["seen_at"], pl.lit(now).cast(pl.Datetime("us", "UTC")))
    if "updated_at" in names:
        fresh = pl.col("__new_row") | pl.col("__changed")
        stamps["updated_at"] = pl.when(fresh).then(pl.lit(now).cast(pl.Datetime("us", "UTC"))).otherwise(pl.col(was["updated_at"]))
    made = joined.select(*((values | stamps).get(name, pl.col(name)).alias(name) for name in names))
    untouched = old.filter(~pl.col("__old").is_in(joined["__old"].drop_nulls().implode())).select(names)
    new, changed = int(joined["__new_row"].sum()), int(joined["__changed"].sum())
    gone = untouched.filter(pl.col("source") == source).height if whole else 0
    rows = pl.concat([untouched, made]).sort(key, nulls_last=True, maintain_order=True)
    return Merged(rows, new, changed, len(made) - new - changed, weaker, replaced, gone)


def by_source(table: Table, held: "pl.DataFrame", told: "pl.DataFrame", source: str) -> "tuple[pl.DataFrame, pl.DataFrame, int, int]":
    """Held and told rows without those of events of which a better source tells; how many held and how many told ones went."""
    import polars as pl

    event = list(EVENTS.get(table.name, table.key))
    if not len(held):
        return held, told, 0, 0
    ranks = held["source"].replace_strict({name: rank(name) for name in held["source"].unique()}, return_dtype=pl.Int64())
    better, worse = held.filter(ranks < rank(source)), held.filter(ranks > rank(source))
    kept = told.join(better, on=event, how="anti", nulls_equal=True)
    gone = worse.join(kept, on=event, how="semi", nulls_equal=True)
    if len(gone):
        held = pl.concat([held.filter(ranks <= rank(source)), worse.join(kept, on=event, how="anti", nulls_equal=True)])
    return held, kept, len(gone), len(told) - len(kept)


# ---------------------------------------------------------------------- listings


def merge_tickers(table: Table, held: "pl.DataFrame", told: "pl.DataFrame", source: str, today: date, *, whole: bool) -> Merged:
    """Lay a listing over the rows held: which row is which company is told by ids, not by the symbol, which another may take over."""
    import polars as pl

    before, after = held.to_dicts(), told.to_dicts()
    groups: dict[str, list[int]] = {}
    for n, row in enumerate(before):
        groups.setdefault(row["ticker"], []).append(n)
    mine: dict[str, list[int]] = {}
    for n, row in enumerate(after):
        mine.setdefault(row["ticker"], []).append(n)
    pairs: dict[int, int] = {}
    for ticker, news in mine.items():
        scored = [(score(before[old], after[new]), old, new) for old in groups.get(ticker, ()) for new in news]
        taken: set[int] = set()
        for points, old, new in sorted(scored, key=lambda one: (-one[0], one[1], one[2])):
            if points > 0 and old not in taken and new not in pairs:
                pairs[new] = old
                taken.add(old)
    new = changed = weaker = 0
    used = set(pairs.values())
    for n, row in enumerate(after):
        was = before[pairs[n]] if n in pairs else None
        if was and rank(source) > rank(was["source"]):
            weaker += 1
            continue
        made = row | {"source": source, "first_seen": was["first_seen"] if was else today, "last_seen": today}
        if was:
            # A listing says all there is of a row but for what it once said and no longer does; of that, a delisting is news.
            made |= {name: was[name] for name in made if made[name] is None and name not in ("delisted", "active")}
            made["first_seen"], made["last_seen"] = min(was["first_seen"], today), max(was["last_seen"], today)
            changed += made != was
            before[pairs[n]] = made
        else:
            new += 1
            before.append(made)
    gone = sum(n not in used and row["source"] == source for n, row in enumerate(before[: len(held)])) if whole else 0
    rows = pl.DataFrame(before, schema=told.schema, infer_schema_length=None).sort(list(table.key), nulls_last=True, maintain_order=True)
    return Merged(rows, new, changed, len(after) - new - changed - weaker, weaker, 0, gone)


def score(was: Row, told: Row) -> int:
    """How surely two rows of one symbol are of the same company; 0 if they are not."""

    def same(name: str) -> bool | None:
        return None if was[name] is None or told[name] is None else was[name] == told[name]

    figi, cik, share, name = same("composite_figi"), same("cik"), same("share_class_figi"), same("name")
    if figi is False or share is False or (cik is False and not (figi or share)):
        return 0
    sure = bool(figi or share or cik)
    ended = same("delisted")
    if ended is False and not sure:
        return 0
    if was["delisted"] is not None and told["delisted"] is None and not sure:
        # Delisted, and the symbol is listed again: somebody else's, unless the ids agree.
        return 0
    if not sure and name is False and ended is not True:
        # A company may change its name; one without ids that ended, or began anew, under another name is another.
        return 1 if was["delisted"] is None and told["delisted"] is None else 0
    points = ((figi, 16), (share, 8), (cik, 8), (ended, 4), (name, 2), (bool(was["active"] == told["active"]), 1))
    return 1 + sum(worth for agrees, worth in points if agrees)
