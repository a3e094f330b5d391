"""How fast a source may be asked: the plan's calls a minute, told or learnt from its refusals.

A plan allows so many calls in any minute. A call's minute begins when its answer is here, which is never before the far end counted it, so
that what this side counts never allows more than the far end does; the calls of one minute may be made all at once.
"""

import threading
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field

from workbench.errors import BadSetting, SourceError

# The vendor's smallest plan. Fewer calls that went through before the first refusal mean that somebody else used up the rest.
LEAST = 5
# Calls that are made one at a time while nothing is known of the plan, so that a small plan is overstepped once and not by many at a time.
CAREFUL = 10
# What is worth telling.
LONG_S = 1.0
BURST_S = 1.0


class Stopped(SourceError):
    """The run was stopped before the source was asked."""


@dataclass(eq=False)
class Run:
    """Calls that belong together. `over` is why no further one is to be made; set it with `Limiter.end`."""

    over: SourceError | None = None


@dataclass(eq=False)
class Limiter:
    """Turns for calls, for many threads. `rate` is how many a window allows, None until a refusal tells; `burst` how many a second at most.

    Each `take` is followed by `done` when the call was answered or failed, or by `refused` when the far end said that it was one too many.
    """

    rate: int | None = None
    window_s: float = 60.0
    burst: int = 100
    tell: Callable[[str], None] = lambda _: None
    told: bool = field(init=False)
    _turn: threading.Condition = field(default_factory=threading.Condition, init=False, repr=False)
    _flying: int = field(default=0, init=False)
    _answered: int = field(default=0, init=False)
    _refusals: int = field(default=0, init=False)
    _refused: float = field(default=0.0, init=False)
    _since: float | None = field(default=None, init=False)
    _hold: float = field(default=0.0, init=False)
    _announced: float = field(default=0.0, init=False)
    _back: deque[float] = field(default_factory=deque, init=False, repr=False)
    _off: deque[float] = field(default_factory=deque, init=False, repr=False)

    def __post_init__(self) -> None:
        self.told = self.rate is not None

    def take(self, run: Run) -> float:
        """Wait for a turn, and give the time at which the call sets off. Raises what ended the run."""
        with self._turn:
            while True:
                if run.over:
                    raise run.over
                now = time.monotonic()
                wait_s, why = self._wait(now)
                if wait_s <= 0:
                    break
                self._announce(now, wait_s, why)
                self._turn.wait(wait_s)
            self._flying += 1
            self._off.append(now)
            self._since = now if self._since is None else self._since
            return now

    def done(self) -> None:
        """The call was answered, or failed: it counts, and the plan had room for it."""
        with self._turn:
            now = time.monotonic()
            self._flying -= 1
            self._answered += 1
            self._refusals = 0
            self._back.append(now)
            self._forget(now)
            if self.rate is not None and not self.told:
                # Calls that were under way when another was refused went through after all.
                self.rate = max(self.rate, len(self._back))
            self._turn.notify_all()

    def refused(self, began: float, after_s: float = 0.0) -> int:
        """The call that set off at `began` was one too many; the far end asks to wait `after_s` seconds, or does not say.

        Learns the plan's rate, and tells how many times in a row waiting did not help, whoever waited; calls that are refused together
        count once.
        """
        with self._turn:
            now = time.monotonic()
            self._flying -= 1
            self._refusals += began >= self._refused
            self._refused = now
            self._forget(now)
            if not self.told:
                watched = self._since is not None and now - self._since >= self.window_s
                passed = max(len(self._back), 1 if watched else LEAST)
                if self.rate is None or passed < self.rate:
                    self.rate = passed
                    self.tell(f"the plan allows {self._allowance()}, as its refusal shows")
            if after_s:
                self._hold = max(self._hold, now + after_s)
            elif len(self._back) < (self.rate or 1) or self._refusals > 1:
                # Not our own calls, or not these alone: nobody can say when there will be room.
                self._hold = max(self._hold, now + self.window_s * min(1.0, 2.0 ** (self._refusals - 3)))
            self._turn.notify_all()
            return self._refusals

    def pause(self, run: Run, seconds: float) -> None:
        """Wait before asking again. Raises what ended the run."""
        until = time.monotonic() + seconds
        with self._turn:
            while not run.over and (left := until - time.monotonic()) > 0:
                self._turn.wait(left)
            if run.over:
                raise run.over

    def end(self, run: Run, why: SourceError) -> None:
        """Let no further call of a run be made, and wake those that wait."""
        with self._turn:
            run.over = run.over or why
            self._turn.notify_all()

    def _forget(self, now: float) -> None:
        while self._back and self._back[0] + self.window_s <= now:
            self._back.popleft()
        while self._off and self._off[0] + BURST_S <= now:
            self._off.popleft()

    def _wait(self, now: float) -> tuple[float, str]:
        """How long until the next turn, in seconds, and what for; where only another call's end can tell, a whole window."""
        self._forget(now)
        if now < self._hold:
            return self._hold - now, "as the plan's limit is used up"
        if len(self._off) >= self.burst:
            return self._off[0] + BURST_S - now, ""
        unsure = self._refusals or (self.rate is None and self._answered < CAREFUL)
        if unsure and self._flying:
            return self.window_s, ""
        if self.rate is not None and (over := self._flying + len(self._back) - self.rate + 1) > 0:
            if over > len(self._back):
                return self.window_s, ""
            return self._back[over - 1] + self.window_s - now, f"for the plan's limit of {self._allowance()}"
        return 0.0, ""

    def _announce(self, now: float, wait_s: float, why: str) -> None:
        """Tell of a long wait, once for all who wait."""
        if why and wait_s >= LONG_S and now + wait_s > self._announced + LONG_S:
            self._announced = now + wait_s
            self.tell(f"waiting {wait_s:.0f} s {why}")

    def _allowance(self) -> str:
        span = "a minute" if self.window_s == 60 else f"in {self.window_s:g} s"
        return f"{self.rate} call{'s' * (self.rate != 1)} {span}"


def rate_of(text: str) -> int | None:
    """What a setting says of the plan's calls a minute; None where it is to be learnt. Raises `BadSetting`."""
    if not text.strip():
        return None
    try:
        rate = int(text)
    except ValueError:
        rate = 0
    if rate < 1:
        raise BadSetting(
            f"POLYGON_API_RATE is {text!r}, which is no number of calls a minute; nothing was asked; write it like 5, or leave it out"
            " to have it learnt"
        )
    return rate
