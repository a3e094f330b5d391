"""Which documented table a table of an old database is, and which column is which."""

from collections.abc import Mapping, Sequence
from typing import Any

import pytest

from workbench.errors import UnknownName, UsageError
from workbench.importers.matching import Map, Match, map_of, maps_of, matched, snake
from workbench.importers.origin import Column, Held
from workbench.tables.platforms import RECORDS
from workbench.tables.record import Field, Record


def held(name: str, *columns: str, like: str = "", rows: int | None = None, fault: str = "") -> Held:
    """A table with some columns, or with all of one of ours."""
    return Held(name, tuple(Column(one, "TEXT") for one in (*columns, *(RECORDS[like].names if like else ()))), rows, fault)


def found(*tables: Held, maps: Sequence[str] = (), **chosen: Any) -> dict[str, Match]:
    return {one.theirs: one for one in matched(tables, maps=[map_of(one) for one in maps], **chosen)}


def become(*tables: Held, **chosen: Any) -> dict[str, str]:
    return {name: one.ours if not one.fault else f"! {one.fault}" for name, one in found(*tables, **chosen).items()}


KRAKEN = [held(name.rpartition(".")[2], like=name) for name in RECORDS if name.startswith("kraken_bot.")]


def test_every_documented_table_is_known_by_its_full_name() -> None:
    made = become(*(held(name.upper(), like=name) for name in RECORDS))
    for name, record in RECORDS.items():
        assert made[name.upper()] == name if record.takes_rows else "computed here" in made[name.upper()]


def test_a_database_of_bare_names_is_the_platform_that_it_fits_best() -> None:
    assert become(*KRAKEN) == {one.name: f"kraken_bot.{one.name}" for one in KRAKEN}


def test_one_table_whose_name_two_platforms_have_is_told_by_its_columns() -> None:
    assert become(held("trades", like="kraken_bot.trades")) == {"trades": "kraken_bot.trades"}
    assert become(held("public.trades", like="transactional.trades")) == {"public.trades": "transactional.trades"}


def test_a_tie_is_told_and_the_platform_settles_it() -> None:
    # Both have these, and no more of them.
    tables = [held("trades", "id", "symbol", "price"), held("mine", "x")]
    made = become(*tables)
    assert made["trades"] == (
        "! trades may be kraken_bot.trades or transactional.trades; nothing of it was imported. Say which with --platform kraken_bot or layers"
    )
    full = held("trades", like="transactional.trades")
    assert become(full, platform="layers") == {"trades": "transactional.trades"}
    assert "has no signal" not in become(held("trades", like="kraken_bot.trades"), platform="kraken")["trades"]


def test_the_platform_counts_in_all_tables_where_some_are_asked_for() -> None:
    orders = held("orders", like="transactional.orders")
    trades = held("trades", "id", "symbol", "price", "order_id", "side", "quantity", "executed_at")
    assert become(orders, trades, only=["trades"]) == {"trades": "transactional.trades"}


def test_a_platforms_own_databases_are_known() -> None:
    tables = [
        held("trading_simulator.points_tally", like="ampyfin.points_tally"),
        held("IndicatorsDatabase.Indicators", like="ampyfin.indicators"),
        held("trades.paper", like="ampyfin.paper"),
        held("market_data.market_status", like="ampyfin.market_status"),
        held("market_data.ohlcv", like="market_data.ohlcv"),
    ]
    made = become(*tables)
    assert [made[one.name] for one in tables] == [
        "ampyfin.points_tally",
        "ampyfin.indicators",
        "ampyfin.paper",
        "! market_data.market_status is ampyfin.market_status, which is computed here from calendar; it needs no import",
        "market_data.ohlcv",
    ]
    assert found(*tables)["market_data.market_status"].harmless


def test_a_collection_of_a_named_database_is_known_by_its_bare_name() -> None:
    assert become(held("points_tally", like="ampyfin.points_tally"), database="trading_simulator") == {
        "points_tally": "ampyfin.points_tally"
    }
    assert become(held("Indicators", like="ampyfin.indicators")) == {"Indicators": "ampyfin.indicators"}


@pytest.mark.parametrize("name", ["signals", "main.signals", "public.Signals", "bot.signals", "BOT.SIGNALS"])
def test_what_everything_is_in_says_nothing(name: str) -> None:
    assert become(held(name, like="kraken_bot.signals"), database="bot") == {name: "kraken_bot.signals"}


def test_another_schema_says_that_it_may_be_another_table() -> None:
    made = become(held("audit.signals", like="kraken_bot.signals"), held("public.holdings", like="kraken_bot.holdings"))
    assert made["audit.signals"] == (
        "! audit.signals: its schema is none of ours, so that it may be another signals; nothing of it was imported. "
        "--map audit.signals=kraken_bot.signals says which it is"
    )
    assert made["public.holdings"] == "kraken_bot.holdings"


def test_a_schema_that_all_are_in_is_the_databases() -> None:
    made = become(*(held(f"mybot.{one.name}", *one.names) for one in KRAKEN))
    assert set(made.values()) == {f"kraken_bot.{one.name}" for one in KRAKEN}


def test_a_table_that_fits_nothing_is_told_and_the_rest_goes_on() -> None:
    made = become(*KRAKEN, held("alembic_version", "version_num"))
    assert made["alembic_version"] == (
        "! alembic_version: no documented table is called alembic_version; nothing of it was imported. "
        "--map alembic_version=schema.table says which it is"
    )
    assert made["signals"] == "kraken_bot.signals"
    made = become(held("orders", like="transactional.orders"), platform="kraken_bot")
    assert "kraken_bot documents no table orders" in made["orders"] and "--map orders=transactional.orders" in made["orders"]


def test_a_table_that_cannot_be_read_is_told_as_that() -> None:
    assert become(held("signals", like="kraken_bot.signals", fault="signals is damaged")) == {"signals": "! signals is damaged"}


def test_tables_of_ones_own_are_known_by_their_names() -> None:
    own = Record(
        "derived", "my_factor", "", (Field("symbol", "VARCHAR", ""), Field("value", "DOUBLE", "", required=False)), key=("symbol",)
    )
    records = {**RECORDS, own.full: own}
    assert become(held("my_factor", "symbol", "value"), records=records) == {"my_factor": "derived.my_factor"}
    assert become(held("derived.my_factor", "symbol"), records=records) == {"derived.my_factor": "derived.my_factor"}


# ---------------------------------------------------------------------- maps


def test_a_map_says_which_table_and_column_is_which() -> None:
    [one] = found(
        held("px", "Ticker", "t", "o", "h", "l", "close", "v", "tf", "source", "note"),
        maps=["px=market_data.ohlcv:Ticker=symbol,t=timestamp,o=open,h=high,l=low,v=volume,tf=timeframe"],
    ).values()
    assert one.ours == "market_data.ohlcv" and not one.fault
    assert one.columns == {
        "Ticker": "symbol",
        "t": "timestamp",
        "o": "open",
        "h": "high",
        "l": "low",
        "close": "close",
        "v": "volume",
        "tf": "timeframe",
        "source": "source",
    }
    assert one.left_out == ("note",)
    assert one.identity == ("symbol", "timestamp")


def test_a_map_of_a_column_to_nothing_leaves_it_out() -> None:
    [one] = found(held("holdings", like="kraken_bot.holdings"), maps=["holdings=kraken_bot.holdings:value="]).values()
    assert "value" not in one.columns and one.left_out == ("value",)


def test_maps_are_given_as_texts_or_as_a_dict() -> None:
    assert maps_of(None) == []
    assert maps_of("a=x.b") == maps_of(["a=x.b"]) == maps_of({"a": "x.b"}) == [Map("a", "x.b")]
    assert maps_of({"a": ("x.b", {"c": "d", "e": None})}) == [Map("a", "x.b", {"c": "d", "e": ""})]
    assert map_of("a=x.b:c=d, e=f") == Map("a", "x.b", {"c": "d", "e": "f"})


@pytest.mark.parametrize("text", ["", "a", "=x.b", "a=", "a=x.b:c", "a=x.b:=d", "a=x.b:c=d,c=e"])
def test_a_map_that_says_nothing_is_refused(text: str) -> None:
    with pytest.raises(UsageError, match="nothing was read"):
        map_of(text)
    with pytest.raises(UsageError, match="maps no table"):
        maps_of({"a": 3})


@pytest.mark.parametrize(
    ("maps", "told"),
    [
        (["nosuch=kraken_bot.holdings"], "there is no table to map in this database 'nosuch'"),
        (["holdings=kraken_bot.nosuch"], "there is no documented table 'kraken_bot.nosuch'"),
        (["holdings=kraken_bot.holdings:nosuch=amount"], "there is no column to map of holdings 'nosuch'"),
        (["holdings=kraken_bot.holdings:amount=nosuch"], "there is no column 'nosuch'"),
        (["holdings=kraken_bot.holdings:amount=value,value=value"], "makes two columns of holdings the value"),
        (["holdings=kraken_bot.holdings", "Holdings=kraken_bot.signals"], "says twice what holdings is"),
        (["holdings=kraken_bot.holdings", "signals=kraken_bot.holdings"], r"makes signals and holdings one table, kraken_bot\.holdings"),
    ],
)
def test_a_map_that_names_nothing_or_contradicts_itself_is_refused(maps: list[str], told: str) -> None:
    with pytest.raises(UsageError, match=told):
        found(*KRAKEN, maps=maps)


def test_a_word_that_means_two_tables_is_refused() -> None:
    tables = [held("a.px", "symbol"), held("b.px", "symbol")]
    with pytest.raises(UsageError, match=r"--map px means a\.px and b\.px; nothing was read"):
        found(*tables, maps=["px=market_data.ohlcv"])


def test_two_tables_that_would_become_one_are_told_unless_a_map_chooses() -> None:
    tables = [held("main.holdings", like="kraken_bot.holdings"), held("public.holdings", like="kraken_bot.holdings")]
    made = become(*tables)
    assert made["main.holdings"].startswith(
        "! main.holdings would become kraken_bot.holdings, as public.holdings; nothing of it was imported"
    )
    assert made["public.holdings"].startswith("! public.holdings would become")
    made = become(*tables, maps=["main.holdings=kraken_bot.holdings"])
    assert made["main.holdings"] == "kraken_bot.holdings" and made["public.holdings"].startswith("!")
    assert become(*tables, only=["main.holdings"]) == {"main.holdings": "kraken_bot.holdings"}


def test_an_unknown_platform_or_table_is_refused() -> None:
    with pytest.raises(UnknownName, match=r"there is no platform 'kraken_bott'.*did you mean kraken"):
        found(*KRAKEN, platform="kraken_bott")
    with pytest.raises(UnknownName, match=r"there is no table in this database 'signal'.*did you mean signals"):
        found(*KRAKEN, only=["signal"])


def test_tables_are_asked_for_by_their_names_or_ours() -> None:
    tables = [held("px", *RECORDS["kraken_bot.signals"].names), held("Holdings", like="kraken_bot.holdings")]
    maps = ["px=kraken_bot.signals"]
    for word in ("px", "signals", "kraken_bot.signals", "PX"):
        assert list(found(*tables, maps=maps, only=[word])) == ["px"]
    assert list(found(*tables, maps=maps, only=["holdings"])) == ["Holdings"]


# ---------------------------------------------------------------------- columns


def columns(match: Mapping[str, Match]) -> dict[str, str]:
    [one] = match.values()
    return dict(one.columns)


def test_columns_go_by_name_in_any_case_and_spelling() -> None:
    names = ["Symbol", "amount", "averageCost", "Current Price", "VALUE", "updatedAt", "extra"]
    assert columns(found(held("holdings", *names))) == {
        "Symbol": "symbol",
        "amount": "amount",
        "averageCost": "average_cost",
        "Current Price": "current_price",
        "VALUE": "value",
        "updatedAt": "updated_at",
    }


def test_the_nearest_spelling_takes_a_column_and_the_other_is_left_out() -> None:
    [one] = found(held("holdings", "SYMBOL", "symbol", "amount", "averageCost", "average_cost")).values()
    assert one.columns == {"symbol": "symbol", "amount": "amount", "average_cost": "average_cost"}
    assert one.left_out == ("SYMBOL", "averageCost")


def test_mongos_id_is_ours_and_ours_is_mongos() -> None:
    tally = [name for name in RECORDS["ampyfin.points_tally"].names if name != "_id"]
    assert columns(found(held("points_tally", "id", *tally)))["id"] == "_id"
    signals = [name for name in RECORDS["kraken_bot.signals"].names if name != "id"]
    assert columns(found(held("signals", "_id", *signals)))["_id"] == "id"
    both = columns(found(held("signals", "_id", "id", *signals)))
    assert both["id"] == "id" and "_id" not in both


@pytest.mark.parametrize(
    ("name", "told"),
    [("avgCost", "avg_cost"), ("HTTPServer", "http_server"), ("a-b c", "a_b_c"), ("_id", "_id"), ("rsi14", "rsi14"), ("A__b", "a_b")],
)
def test_names_in_snake_case(name: str, told: str) -> None:
    assert snake(name) == told


def test_a_table_without_what_every_row_must_have_is_told() -> None:
    made = become(held("holdings", "symbol", "value"), held("bot_status", like="kraken_bot.bot_status"))
    assert made["holdings"] == (
        "! holdings has no amount, which every row of kraken_bot.holdings must have; nothing of it was imported. "
        "--map holdings=kraken_bot.holdings:theircolumn=amount says which column it is"
    )
    assert made["bot_status"] == "kraken_bot.bot_status"


def test_what_tells_rows_apart_is_the_key_then_what_is_unique_then_the_row() -> None:
    def of(table: str, *without: str) -> tuple[str, ...]:
        names = [name for name in RECORDS[table].names if name not in without]
        return found(held(table, *names))[table].identity

    assert of("ampyfin.points_tally") == ("_id",)
    assert of("ampyfin.points_tally", "_id") == ("strategy",)
    assert of("transactional.users", "id", "username") == ("email",)
    assert of("kraken_bot.signals", "id") == ()
    assert of("historical.trade") == ()
    [one] = found(held("historical.trade", like="historical.trade")).values()
    assert one.time == "time"


def test_tables_that_others_refer_to_come_first_and_those_with_a_fault_last() -> None:
    names = ["trades", "positions", "clients", "orders", "portfolios", "users"]
    made = list(become(held("odd", "x"), *(held(name, like=f"transactional.{name}") for name in names)))
    assert made[-1] == "odd"
    for one, other in [
        ("users", "portfolios"),
        ("portfolios", "orders"),
        ("clients", "orders"),
        ("orders", "trades"),
        ("portfolios", "positions"),
    ]:
        assert made.index(one) < made.index(other)


def test_each_of_many_tables_is_looked_at_once() -> None:
    """A database of ten thousand tables took a minute, as each was held against all others."""
    asked = 0

    class Counted(Held):
        def __getattribute__(self, name: str) -> Any:
            nonlocal asked
            asked += name == "name"
            return super().__getattribute__(name)

    tables = [Counted(f"public.t{n}", ()) for n in range(400)]
    assert len(matched(tables, platform="kraken_bot", database="many")) == 400
    assert asked < 40 * 400
