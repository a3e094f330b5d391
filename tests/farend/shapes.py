"""The shapes that everything at the far end is made of."""

from dataclasses import dataclass, field, replace
from typing import Any

Row = dict[str, Any]


@dataclass(frozen=True)
class Bar:
    """A bar, unadjusted. `start_ns` is set by the session for bars of a day; `vwap` and `trades` may be unknown."""

    open: float
    high: float
    low: float
    close: float
    volume: float = 1000.0
    trades: int | None = 10
    vwap: float | None = None
    otc: bool = False
    start_ns: int = 0

    def at(self, start_ns: int) -> "Bar":
        return self if self.start_ns else replace(self, start_ns=start_ns)


@dataclass
class Reply:
    """An answer before it is written: JSON, text or bytes."""

    body: Any
    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)
    kind: str = "application/json"


class Refused(Exception):
    """An answer that is a refusal."""

    def __init__(self, status: int, text: str):
        super().__init__(status, text)
        self.status, self.text = status, text
