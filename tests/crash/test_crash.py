"""The lake's work is killed at fault points and at random instants; `make crash` does so five hundred times."""

import random
from itertools import islice
from pathlib import Path

import pytest

from crash.harness import prepare, strike
from crash.sources import SCENARIOS

KILLS = 60


@pytest.mark.slow
@pytest.mark.parametrize("name", SCENARIOS)
def test_whatever_is_killed_readers_see_before_or_after_and_the_next_run_ends_it(name: str, tmp_path: Path) -> None:
    prepared = prepare(name, tmp_path)
    outcomes = {kill: strike(prepared, kill, tmp_path) for kill in islice(prepared.kills(random.Random(name)), -(-KILLS // len(SCENARIOS)))}

    assert {kill: faults for kill, (faults, _) in outcomes.items() if faults} == {}
    assert any(killed for _, killed in outcomes.values()), "not one child died before it was done"
