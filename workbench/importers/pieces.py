"""Rows of an import on their way into the lake, with where they come from: those that break a rule are told by it."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from workbench.importers.origin import Arrived

if TYPE_CHECKING:
    import pyarrow as pa


@dataclass(frozen=True)
class Piece:
    """Rows as the lake keeps them, and where they come from: what arrived, the number of its first row in the table, and which of its rows they are."""

    rows: "pa.Table"
    sources: Sequence[tuple[Arrived, int, Sequence[int]]]

    def origin(self, number: int) -> tuple[Arrived, int, int]:
        """What a row arrived in, where in that it stood, and its number in its table."""
        for arrived, first, at in self.sources:
            if number < len(at):
                return arrived, at[number], first + at[number]
            number -= len(at)
        raise IndexError(number)


def merged(rejects: Sequence[tuple[int, str]]) -> list[tuple[int, str]]:
    """Each row once, with all that is wrong with it."""
    made: dict[int, list[str]] = {}
    for at, why in rejects:
        made.setdefault(at, []).append(why)
    return [(at, "; ".join(why)) for at, why in sorted(made.items())]


def row(arrived: Arrived, at: int) -> dict[str, Any]:
    """A row as it arrived."""
    return {name: value(values[at]) for name, values in arrived.columns.items()}


def value(one: Any) -> Any:
    """A value of a column, also one that Python has none for."""
    if not hasattr(one, "as_py"):
        return one
    try:
        return one.as_py()
    except (ValueError, OverflowError, KeyError):
        return str(one)


def part(piece: Piece, mask: Any) -> Piece:
    """Some of the rows."""
    import pyarrow as pa

    sources, start = [], 0
    for arrived, first, at in piece.sources:
        its = mask[start : start + len(at)]
        start += len(at)
        sources.append((arrived, first, [at[n] for n in its.nonzero()[0]]))
    return Piece(piece.rows.filter(pa.array(mask)), [one for one in sources if one[2]])


def joined(one: Piece, other: Piece) -> Piece:
    """Rows of one piece before those of another."""
    import pyarrow as pa

    return Piece(pa.concat_tables([one.rows, other.rows]), [*one.sources, *other.sources])
