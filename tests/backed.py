"""A lake with a bit of everything, and a backup of it while nobody writes."""

from contextlib import closing
from pathlib import Path
from typing import Any

from flatfiles import FRI, STOCK_DAY, STOCK_MINUTE, THU, bar, minutes, put, text

from workbench.bench import Workbench
from workbench.config import Settings
from workbench.lake.backup.backups import Backups
from workbench.lake.backup.manifest import Kept, Manifest
from workbench.lake.restoring.restore import restore
from workbench.tables.platforms import RECORDS

SIGNALS = "kraken_bot.signals"
# Of each table its rows, whatever their order.
Seen = dict[str, list[tuple[Any, ...]]]
ASKED = {
    "stock_day": "SELECT * FROM stock_day ORDER BY ALL",
    "stock_minute": "SELECT * FROM stock_minute ORDER BY ALL",
    SIGNALS: f"SELECT * FROM {SIGNALS} ORDER BY ALL",
}


def seen(root: Path) -> Seen:
    """What a reader sees that opens the lake now."""
    with closing(opened(root)) as bench:
        return {name: bench.sql(query).fetchall() for name, query in ASKED.items()}


def signals(first: int, count: int) -> list[dict[str, Any]]:
    return [{**RECORDS[SIGNALS].example, "id": n} for n in range(first, first + count)]


def opened(root: Path) -> Workbench:
    """A bench on a lake, with no settings but its root."""
    return Workbench(Settings.load(env={}, data=str(root)))


def landed(home: Path) -> None:
    """Two sessions of day bars and one of minutes, landed in `home/lake`; rows that people wrote, some folded and some not."""
    put(home / "vendor", STOCK_DAY, THU, text([bar("AAA"), bar("BBB"), *(bar(f"T{n:03}") for n in range(200))]))
    put(home / "vendor", STOCK_DAY, FRI, text([bar("AAA", FRI)]))
    put(home / "vendor", STOCK_MINUTE, THU, text(minutes("AAA", THU, 10)))
    with opened(home / "lake") as bench:
        bench.refresh(source=f"folder:{home / 'vendor'}").run()
        bench.append(SIGNALS, signals(1, 30))
        bench.fold()
        bench.append(SIGNALS, signals(31, 5))


def backed(root: Path, where: Path) -> Manifest:
    """A snapshot of a lake."""
    with closing(opened(root)) as bench:
        made = bench.backup(where)
    return Backups.open(str(where)).manifest(made.facts["snapshot"])


def object_of(where: Path, kept: Kept) -> Path:
    """Where the bytes of a file stand in a backup that is not encrypted."""
    return where / "objects" / kept.sha256[:2] / kept.sha256


# ---------------------------------------------------------------------- the work of a child that is killed


def to_new(home: Path) -> None:
    """Restore to a root that is not there."""
    restore(str(home / "backups"), home / "new")


def in_place(home: Path) -> None:
    """Restore in the place of the lake."""
    restore(str(home / "backups"), home / "lake", replace=True)


def gone_on(home: Path) -> None:
    """Have the lake go on after its backup."""
    with closing(opened(home / "lake")) as bench:
        bench.append(SIGNALS, signals(36, 4))
        bench.fold()
        bench.append(SIGNALS, signals(40, 4))
        bench.reset("stock_day")
