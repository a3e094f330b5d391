"""The documented tables that people write, each a Delta table in `lake/<schema>/<name>/`: what was folded out of the journal that all writes go through.

A commit stands only if it is the very next one after the version that it was decided over. With the rows it carries how far a journal is folded, so that
no reader takes an operation twice.
"""

import json
import time
import uuid
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from workbench.lake.declared import records
from workbench.lake.delta import ATTEMPTS, commit, make
from workbench.lake.hiding import candidates, hit
from workbench.lake.history import COMMIT_DIGITS, lines
from workbench.lake.landings import Rewound
from workbench.lake.log import TableLog
from workbench.lake.operations import FOLDS, Operations
from workbench.lake.pending import decoded, schema
from workbench.lake.remote.where import readable
from workbench.lake.snapshots import Snapshot, read
from workbench.lake.store import Lake
from workbench.tables.record import Record

if TYPE_CHECKING:
    import pyarrow as pa
    from deltalake import DeltaTable


@dataclass(frozen=True)
class Added:
    """A new file of a table, in its place: its path below the table's folder, and what the log is to keep of it."""

    path: str
    size: int
    stats: Mapping[str, Any]


@dataclass(frozen=True, eq=False)
class Kept(Snapshot):
    """A version of a table that people write."""

    delta: "DeltaTable | None" = None

    def folded(self, journal: str) -> int:
        """The number of the last operation of a journal, by its id, that stands in this version; 0 if none does."""
        return (self.delta.transaction_version(f"{FOLDS}{journal}") or 0) if self.delta and journal else 0

    @cached_property
    def actions(self) -> "pa.Table | None":
        """Its files as the log lists them, by path: `path`, `size_bytes`, `num_records`, and `min.` and `max.` of columns whose range is kept."""
        import pyarrow as pa

        return pa.table(self.delta.get_add_actions(flatten=True)).sort_by("path") if self.delta and self.stats else None

    @cached_property
    def highest(self) -> dict[str, int]:
        """The greatest value of each column of whole numbers."""
        if self.actions is None:
            return {}
        told = {name.removeprefix("max."): self.actions[name].to_pylist() for name in self.actions.column_names if name.startswith("max.")}
        whole = {name: [one for one in values if isinstance(one, int)] for name, values in told.items()}
        return {name: max(each) for name, each in whole.items() if each}


class RecordTable(TableLog):
    """The Delta table of one documented table, created by the first fold."""

    def __init__(self, root: Path, record: Record):
        super().__init__(root, record.full)
        self.record = record
        self._looked = False
        self._snapshot: Kept = Kept(-1)

    def snapshot(self) -> Kept:
        """The newest version; read again only if the table has moved."""
        super().snapshot()
        return self._snapshot

    def newest(self) -> Kept:
        """The newest version, for one `stat` where there is no newer one, or none at all."""
        if self._looked and not self.moved:
            return self._snapshot
        self._looked = True
        return self.snapshot()

    def version(self) -> int:
        """The newest version's number, for a look into the log's folder; -1 if there is none."""
        names = (path.stem for path in self._log.glob("[0-9]*.json"))
        return max((int(name) for name in names if name.isdigit() and len(name) == COMMIT_DIGITS), default=-1)

    def at(self, version: int) -> Kept:
        """A version."""
        if version == self._snapshot.version:
            return self._snapshot
        kept: Kept = self.listed(self._read(self._open(version)))
        return kept

    def paths(self, shot: Snapshot) -> list[str]:
        """The files of a snapshot, as paths that anybody can open."""
        start = readable(self.folder)
        return [f"{start}/{path}" for path in shot.stats["path"].to_pylist()] if shot.stats is not None else []

    def make(self, schema: "pa.Schema") -> None:
        """Make the table, if it is not there."""
        from deltalake import Schema

        make(self, Schema.from_arrow(schema), (), self.record.doc)

    def commit(self, over: Kept, added: Sequence[Added], removed: Sequence[str], journal: str, upto: int) -> bool:
        """Commit files in and out, with the number that a journal is folded up to, after a version; False if another writer was first.

        The files are in their places, and the disk keeps them.
        """
        from deltalake import Transaction
        from deltalake.transaction import AddAction, RemoveAction

        if self._widened():
            return False
        delta, now = self._open(over.version), int(time.time() * 1000)
        sizes = dict(zip(*(over.stats[name].to_pylist() for name in ("path", "size")), strict=True)) if over.stats else {}
        adds = [AddAction(one.path, one.size, {}, now, data_change=True, stats=json.dumps(one.stats)) for one in added]
        removes = [RemoveAction(path, True, now, sizes[path], {}) for path in removed]
        told = {"fold": json.dumps({"journal": journal, "upto": upto})}
        return commit(self, delta, [*removes, *adds], delta.schema(), (), told, [Transaction(f"{FOLDS}{journal}", upto)])

    def _widened(self) -> bool:
        """Whether columns that were declared since the table was made had to be added to it, in commits of their own."""
        from deltalake import Schema

        from workbench.lake.formats import missing, widen

        declared = Schema.from_arrow(schema(self.record))
        return bool(missing(self._open(), declared)) and widen(self, declared)

    def restore(self, over: Kept, added: Sequence[Added], removed: Sequence[str], rewound: Rewound) -> bool:
        """Commit files of an earlier version in, and others out, after a version; False if another writer was first.

        How far journals are folded stays as it is: what stands in the log is not laid over the table again. The caller keeps writers away.
        """
        from deltalake.transaction import AddAction, RemoveAction

        delta, now = self._open(over.version), int(time.time() * 1000)
        sizes = {file.path: file.size for file in over.files} if over.stats else {}
        adds = [AddAction(one.path, one.size, {}, now, data_change=True, stats=json.dumps(one.stats)) for one in added]
        removes = [RemoveAction(path, True, now, sizes[path], {}) for path in removed]
        return commit(self, delta, [*removes, *adds], delta.schema(), (), {"rewound": json.dumps(rewound.to_json())})

    @staticmethod
    def log_of(root: Path, name: str) -> str:
        """Where the log of a table stands, by its full name: for who looks at it with every row."""
        schema, _, bare = name.partition(".")
        return f"{root}/lake/{schema}/{bare}/_delta_log"

    def told(self, version: int, journal: str, upto: int) -> bool:
        """Whether a version says of itself that it folds a journal up to a number."""
        path = self.commit_path(version)
        return path.exists() and {"appId": f"{FOLDS}{journal}", "version": upto} in [one.get("txn") for one in lines(path)]

    def name_for(self, version: int) -> str:
        """A fresh name for a file that is to come with a version: readers take files in the order of their names."""
        return f"{version:012}-{uuid.uuid4().hex[:8]}.parquet"

    def _read(self, delta: "DeltaTable") -> Kept:
        shot = read(delta)
        there = {field.name for field in delta.schema().fields}
        widened = (*shot.widened, *(name for name in self.record.names if name not in there))
        return Kept(shot.version, shot.stats, shot.bounds, tuple(dict.fromkeys(widened)), delta)

    def _mend(self, *, torn: bool) -> str:
        if torn:
            return (
                "or, since it is the newest commit, which a loss of power may have torn, remove it: the journal still holds what it folded."
            )
        return f"or copy the rows of the files in {readable(self.folder)} out, remove it, and append them again."


def written(root: Path) -> Iterator[RecordTable]:
    """The documented tables that anybody ever wrote to."""
    for record in records(root).values():
        table = RecordTable(root, record)
        if table.folder.is_dir():
            yield table


def record_rows(lake: Lake) -> dict[str, int]:
    """The number of rows that people wrote to each documented table, by full name, as a reader would see them; those that nobody wrote to are left out."""
    journal = Operations(lake.root)
    try:
        found = {table.name: table for table in written(lake.root)}
        found |= {
            name: RecordTable(lake.root, record)
            for name in journal.held()
            if name not in found and (record := record_named(lake.root, name))
        }
        return {name: rows_of(found[name], journal) for name in records(lake.root) if name in found}
    finally:
        journal.close()


def rows_of(table: RecordTable, journal: Operations) -> int:
    """The number of rows of a table, with what the journal lays over it. The log tells it alone where that hides nothing."""
    for _ in range(ATTEMPTS):
        shot, id = table.snapshot(), journal.id
        held = journal.pending({table.name: shot.folded(id)})
        # A fold may have come between the two looks.
        if held.id == id and held.folded.get(table.name, 0) <= shot.folded(id):
            break
    state = decoded(table.record, held.operations.get(table.name, ()), table.root)
    base = 0 if state.cleared else shot.rows
    if state.hidden is not None and base:
        base -= sum(len(hit(table, path, state.hidden)) for path in candidates(table, shot, state.hidden))
    return base + state.filed + (len(state.rows) if state.rows is not None else 0)


def lost(journal: Path, name: str, undone: str) -> str:
    """What to say of a table that has lost what was folded into it."""
    return (
        f"{name} has lost rows that were folded out of {journal}: its newest version is older than the journal says; {undone}. Bring the table's folder "
        f"back from a backup; or, to go on without those rows, `sqlite3 {journal} \"DELETE FROM folded WHERE name = '{name}'\"`."
    )


def record_named(root: Path, name: str) -> Record | None:
    """The record of a lake's table by its full name; None if this library knows of none."""
    return records(root).get(name)
