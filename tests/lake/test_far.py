"""A lake in a bucket of a real S3 server: what the base of it promises."""

from pathlib import Path

import pytest

import workbench
from workbench.config import Settings
from workbench.lake.remote.where import remote_of

pytestmark = pytest.mark.s3


def test_what_a_refresh_lands_another_machine_reads(far: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with workbench.Workbench(Settings.load(source="sample")) as bench:
        bench.refresh(days=3, datasets=["stock_day"]).run()
        held = bench.sql("SELECT * FROM stock_day ORDER BY ALL").fetchall()
    monkeypatch.setenv("WORKBENCH_CACHE", str(tmp_path / "another"))
    with workbench.open() as there:
        assert there.lake.root != far
        assert remote_of(there.lake.root)
        assert there.sql("SELECT * FROM stock_day ORDER BY ALL").fetchall() == held
        assert len(held) == 120
