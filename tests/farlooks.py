"""What tests do with a lake in a bucket, and find in it."""

from pathlib import Path
from typing import Any

from workbench.bench import Workbench
from workbench.lake.remote.connection import Remote
from workbench.lake.remote.where import remote_of
from workbench.lake.verify import verify


def remote(bench: Workbench) -> Remote:
    found = remote_of(bench.lake.root)
    assert found
    return found


def land(bench: Workbench, vendor: Path) -> Any:
    return bench.refresh(source=f"folder:{vendor}").run()


def count(bench: Workbench, name: str = "stock_day") -> int:
    remote(bench).mirror.stale()
    return int(bench.sql(f"SELECT count(*) FROM {name}").fetchall()[0][0])


def sound(bench: Workbench) -> list[str]:
    remote(bench).mirror.stale()
    return [f"{one.table} {one.kind} {one.what}" for one in verify(bench.lake).faults]
