"""What counts as lost while others replace files."""

from pathlib import Path

import pytest

from workbench.lake.store import Lake
from workbench.lake.tiering import lost_landings


def test_a_file_that_was_replaced_and_vacuumed_since_the_look_is_not_lost(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    table = Lake(tmp_path)["stock_day"]
    monkeypatch.setattr(table, "lost", lambda: {"chunk=2024-02/bucket=00/gone.parquet"})
    assert lost_landings(table) == set()
