"""What all ways are made of that take whole arrays: each takes an array without loss, or raises."""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import pyarrow as pa

# A double gives any number of so many digits back, whatever its power of ten.
SURE_DIGITS = 15
# Sums leave a double a few steps beside the number that is meant, which is told while a step is far less than its last digit: below so many of that.
NOISE, QUIET = 4, 10**13
# Gives the array as it is kept, and the number of times in it that were cut to microseconds.
Way = Callable[["pa.Array"], "tuple[pa.Array, int]"]


class Odd(ValueError):
    """An array that does not go as a whole."""


def cast(form: "pa.DataType", array: "pa.Array") -> "tuple[pa.Array, int]":
    """As Arrow casts, which stops where anything would be lost."""
    return array.cast(form), 0


def expect(told: object) -> None:
    """Raises `Odd` unless something is so."""
    if not told:
        raise Odd


def every(condition: Any) -> bool:
    """Whether a condition holds of all values; nothing meets it."""
    import pyarrow.compute as pc

    return pc.all(condition).as_py() is not False


def nothing(array: "pa.Array") -> Any:
    """Of each value whether it is NULL; None if none is."""
    import pyarrow.compute as pc

    return pc.is_null(array).to_numpy(zero_copy_only=False) if array.null_count else None
