"""Turns for calls: the plan's limit is used up and not overstepped, learnt where nobody tells it, and nobody waits for ever."""

import threading
from collections import deque
from collections.abc import Iterator
from contextlib import suppress

import pytest
from virtual import Clock, Condition

from workbench.errors import BadSetting
from workbench.sources.limiter import LEAST, Limiter, Run, Stopped, rate_of


@pytest.fixture(autouse=True)
def time(monkeypatch: pytest.MonkeyPatch) -> Iterator[Clock]:
    """The limiter's time, and the test's: it passes while everybody waits, and not while a busy machine does other things."""
    clock, made = Clock(), Limiter.__post_init__

    def with_clock(limiter: Limiter) -> None:
        made(limiter)
        limiter._turn = Condition(clock)  # type: ignore[assignment]

    monkeypatch.setattr(Limiter, "__post_init__", with_clock)
    monkeypatch.setattr("workbench.sources.limiter.time", clock)
    with clock.taking_part():
        yield clock


class Plan:
    """A far end that lets so many calls through in any window, and takes `delay_s` for each."""

    def __init__(self, time: Clock, rate: int, window_s: float, delay_s: float = 0.0):
        self.time = time
        self.rate, self.window_s, self.delay_s = rate, window_s, delay_s
        self.passed: deque[float] = deque()
        self.count = self.refusals = 0
        self.lock = threading.Lock()

    def ask(self) -> bool:
        self.time.sleep(self.delay_s)
        with self.lock:
            now = self.time.monotonic()
            while self.passed and self.passed[0] + self.window_s <= now:
                self.passed.popleft()
            if len(self.passed) >= self.rate:
                self.refusals += 1
                return False
            self.passed.append(now)
            self.count += 1
            return True


def call(limiter: Limiter, plan: Plan, run: Run, after_s: float = 0.0) -> None:
    while True:
        began = limiter.take(run)
        if plan.ask():
            limiter.done()
            return
        limiter.refused(began, after_s)


def calls(limiter: Limiter, plan: Plan, seconds: float, threads: int = 1) -> None:
    """Call as often as the limiter allows for so long, side by side."""
    run, time = Run(), plan.time
    until = time.monotonic() + seconds

    def keep_calling() -> None:
        with suppress(Stopped):
            while time.monotonic() < until:
                call(limiter, plan, run)

    time.later(seconds, lambda: limiter.end(run, Stopped("time is up")))
    time.side_by_side(threads, keep_calling)


@pytest.mark.parametrize("threads", [1, 8])
def test_a_told_limit_is_used_up_and_never_overstepped(time: Clock, threads: int) -> None:
    plan = Plan(time, 20, 0.5, delay_s=0.001)
    calls(Limiter(20, 0.5), plan, 2.45, threads)
    assert plan.refusals == 0
    # Five windows begin in 2.45 s.
    assert plan.count >= 0.95 * 5 * 20


def test_a_limit_is_learnt_from_one_refusal_and_then_used_up(time: Clock) -> None:
    plan, limiter = Plan(time, 20, 0.5, delay_s=0.001), Limiter(window_s=0.5)
    calls(limiter, plan, 2.45)
    assert (limiter.rate, plan.refusals) == (20, 1)
    assert plan.count >= 0.95 * 5 * 20


def test_many_threads_overstep_a_small_plan_once(time: Clock) -> None:
    plan, limiter = Plan(time, 5, 0.5, delay_s=0.01), Limiter(window_s=0.5)
    calls(limiter, plan, 1.4, threads=8)
    assert (limiter.rate, plan.refusals, plan.count) == (5, 1, 15)


def test_threads_that_are_refused_together_learn_the_whole_limit(time: Clock) -> None:
    plan, limiter = Plan(time, 30, 1.0, delay_s=0.01), Limiter(window_s=1.0)
    calls(limiter, plan, 3.9, threads=8)
    assert limiter.rate == 30
    assert plan.refusals <= 8, "only those that were under way when the limit was learnt"
    assert plan.count >= 0.95 * 4 * 30


def test_a_minute_that_somebody_else_used_up_teaches_no_smaller_plan_than_there_is(time: Clock) -> None:
    plan, limiter = Plan(time, 5, 0.5), Limiter(window_s=0.5)
    for _ in range(3):
        plan.ask()
    calls(limiter, plan, 1.8)
    assert limiter.rate == LEAST == 5
    assert plan.refusals <= 4


def test_a_plan_below_the_smallest_is_believed_after_a_whole_window(time: Clock) -> None:
    plan, limiter = Plan(time, 2, 0.3), Limiter(window_s=0.3)
    calls(limiter, plan, 1.8)
    assert limiter.rate == 2


def test_a_wait_that_the_far_end_asks_for_is_kept(time: Clock) -> None:
    plan, limiter, run = Plan(time, 1, 0.1), Limiter(window_s=0.1), Run()
    call(limiter, plan, run)
    started = time.monotonic()
    call(limiter, plan, run, after_s=0.6)
    assert 0.6 <= time.monotonic() - started < 0.61
    assert plan.refusals == 1


def test_a_plan_without_a_limit_is_asked_a_hundred_times_a_second_at_most(time: Clock) -> None:
    plan = Plan(time, 10**6, 60.0)
    calls(Limiter(), plan, 1.9, threads=4)
    assert 150 <= plan.count <= 200
    assert not plan.refusals


def test_who_waits_is_woken_when_the_run_ends(time: Clock) -> None:
    limiter, run, other = Limiter(1, 60.0), Run(), Run()
    call(limiter, Plan(time, 9, 60.0), run)
    time.later(0.1, lambda: limiter.end(run, Stopped("enough")))
    started = time.monotonic()
    with pytest.raises(Stopped, match="enough"):
        limiter.take(run)
    with pytest.raises(Stopped):
        limiter.pause(run, 60)
    assert time.monotonic() - started < 0.2
    assert not other.over


def test_a_pause_lasts_as_long_as_it_is_asked_for(time: Clock) -> None:
    started = time.monotonic()
    Limiter().pause(Run(), 0.2)
    assert 0.2 <= time.monotonic() - started < 0.21


def test_refusals_in_a_row_are_counted_once_for_all_that_were_refused_together(time: Clock) -> None:
    limiter, run = Limiter(window_s=0.04), Run()
    for _ in range(12):
        limiter.take(run)
        limiter.done()
    together = [limiter.take(run) for _ in range(4)]
    assert [limiter.refused(began) for began in together] == [1, 1, 1, 1]
    assert limiter.refused(limiter.take(run)) == 2
    assert limiter.refused(limiter.take(run)) == 3
    limiter.take(run)
    limiter.done()
    assert limiter.refused(limiter.take(run)) == 1


def test_a_long_wait_is_told_once(time: Clock) -> None:
    told: list[str] = []
    limiter, run = Limiter(1, 60.0, tell=told.append), Run()
    call(limiter, Plan(time, 9, 60.0), run)
    time.later(0.3, lambda: limiter.end(run, Stopped("enough")))

    def wait() -> None:
        with pytest.raises(Stopped):
            limiter.take(run)

    time.side_by_side(4, wait)
    assert told == ["waiting 60 s for the plan's limit of 1 call a minute"]


def test_what_was_learnt_is_told(time: Clock) -> None:
    told: list[str] = []
    limiter, run = Limiter(tell=told.append), Run()
    for _ in range(7):
        limiter.take(run)
        limiter.done()
    limiter.refused(limiter.take(run))
    assert told == ["the plan allows 7 calls a minute, as its refusal shows"]


def test_the_setting_says_calls_a_minute_or_nothing(time: Clock) -> None:
    assert (rate_of(""), rate_of(" 5 ")) == (None, 5)
    for text in ("five", "0", "-1", "5/min", "1e3"):
        with pytest.raises(BadSetting, match="POLYGON_API_RATE"):
            rate_of(text)
