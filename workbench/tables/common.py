"""Columns that several asset classes share; what differs between them is an argument."""

from typing import Literal

from workbench.tables.spec import Column, Era

NS = "ns since 1970, UTC"
SPEEDUP = "header lines that the massive-speedup project copied from real files"

WINDOW_START = Column("window_start", "BIGINT", "Start of the window.", NS)
TRANSACTIONS = Column("transactions", "BIGINT", "Trades in the window.", "trades", required=False, low=0)
CORRECTION = Column("correction", "TINYINT", "0 or blank regular; 1, 7, 8 original later changed; 10, 11, 12 the change.", required=False)
EXCHANGE = Column("exchange", "SMALLINT", "The vendor's id of the exchange.", required=False)
SEQUENCE_NUMBER = Column("sequence_number", "BIGINT", "Order of the record within its ticker and feed.")


def ticker(doc: str) -> Column:
    """The vendor's symbol."""
    return Column("ticker", "VARCHAR", doc)


def volume(doc: str, unit: str, eras: tuple[Era, ...] = ()) -> Column:
    """What changed hands in a window; DOUBLE everywhere, because fractions came in place, without a change of header."""
    return Column("volume", "DOUBLE", doc, unit, low=0, eras=eras)


def prices(what: str, unit: str, low: float | None = 0) -> tuple[Column, Column, Column, Column]:
    """Open, close, high and low, in the order in which the vendor writes them for most asset classes."""
    return (
        Column("open", "DOUBLE", f"First {what}.", unit, low=low),
        Column("close", "DOUBLE", f"Last {what}.", unit, low=low),
        Column("high", "DOUBLE", f"Highest {what}.", unit, low=low),
        Column("low", "DOUBLE", f"Lowest {what}.", unit, low=low),
    )


def best(side: Literal["ask", "bid"], price_unit: str, size_unit: str, eras: tuple[Era, ...] = ()) -> tuple[Column, Column, Column]:
    """Exchange, price and size of one side of the best bid and offer."""
    word = {"ask": "offer", "bid": "bid"}[side]
    return (
        Column(f"{side}_exchange", "SMALLINT", f"The vendor's id of the exchange with the best {word}.", required=False),
        Column(f"{side}_price", "DOUBLE", f"Best {word}; 0 if there is none.", price_unit, low=0),
        Column(f"{side}_size", "DOUBLE", f"Size of the best {word}.", size_unit, low=0, eras=eras),
    )
