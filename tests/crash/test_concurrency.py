"""Eight processes write one lake while four read it; `make crash` lets them do so for longer."""

from pathlib import Path

import pytest

from crash.race import race


@pytest.mark.slow
def test_eight_that_write_and_four_that_read_neither_lose_nor_double_a_row(tmp_path: Path) -> None:
    done, faults = race(tmp_path, seconds=12, seed=1)

    assert faults == []
    assert done["landed"] and done["replaced"] and done["compacted"], done
    assert done["answer landed"] + done["answer replaced"], done
    assert done["looks"] > 4, done
