"""One thing that was looked at: what health is made of."""

from dataclasses import dataclass
from typing import Literal

State = Literal["good", "look", "bad"]
Status = Literal["healthy", "degraded", "unhealthy"]


@dataclass(frozen=True)
class Check:
    """One thing that was looked at: a number with its unit, how that stands, and the sentence that says so."""

    name: str
    state: State
    value: float | None
    unit: str
    told: str
