"""Restores are killed at fault points: a new root is there whole or not at all, a lake is the old one or the restored one, and the same command ends it."""

import random
import shutil
import signal
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from backed import backed, gone_on, in_place, landed, opened, seen, to_new
from crash.points import Kill, Point
from crash.written import strike

from workbench.lake.verify import verify

KILLS = 12


def made(home: Path) -> None:
    landed(home)
    backed(home / "lake", home / "backups")
    shutil.copytree(home / "lake", home / "then")
    gone_on(home)


@pytest.fixture
def home(tmp_path: Path, made_once: Callable[..., None]) -> Path:
    """A folder with a backup, the lake as it was then (`then`), and as it is now (`lake`)."""
    made_once(made, tmp_path / "made")
    return tmp_path / "made"


def copies(home: Path, work: Callable[[Path], None]) -> Iterator[tuple[Path, Kill]]:
    """Copies in which a child was killed at its work, each at another point; the last is after the last one."""
    whole = home.with_name("whole")
    shutil.copytree(home, whole)
    code, points = strike(whole, work)
    assert (code, len(points) > 30) == (0, True), points
    for kill in chosen(points):
        copy = home.with_name("killed")
        shutil.rmtree(copy, ignore_errors=True)
        shutil.copytree(home, copy)
        code, _ = strike(copy, work, kill)
        # Where threads pass points, there may be a few less the second time.
        assert code in (0, -signal.SIGKILL)
        yield copy, kill


def chosen(points: list[Point]) -> list[Kill]:
    """Some points, and those at the end, where names change."""
    rng = random.Random(5)
    last = range(len(points) - 40, len(points))
    at = {*rng.sample(range(len(points) - 40), KILLS // 2), *rng.sample(last, KILLS // 2)}
    return [Kill(point=n) for n in sorted(at)]


@pytest.mark.slow
def test_a_new_root_is_there_whole_or_not_at_all(home: Path) -> None:
    then = seen(home / "then")
    for copy, kill in copies(home, to_new):
        if (copy / "new").exists():
            assert seen(copy / "new") == then, kill
        else:
            to_new(copy)
        assert seen(copy / "new") == then, kill
        assert verify(opened(copy / "new").lake).faults == [], kill
        assert list(copy.glob("new.*")) == [], kill


@pytest.mark.slow
def test_a_lake_is_the_old_one_or_the_restored_one_and_neither_is_lost(home: Path) -> None:
    then, now = seen(home / "then"), seen(home / "lake")
    assert then != now
    ends = set()
    for copy, kill in copies(home, in_place):
        shown = seen(copy / "lake")
        assert shown in (then, now), kill
        ends.add(shown == then)
        if shown != then:
            in_place(copy)
        assert seen(copy / "lake") == then, kill
        assert verify(opened(copy / "lake").lake).faults == [], kill
        [kept] = copy.glob("lake.before-*")
        assert seen(kept) == now, kill
    assert ends == {True, False}
