"""Delta tables of our own Parquet files: made, and committed to.

Everything in the lake stands on this module. A `LakeTable` is one Delta table; a commit adds and removes whole files and carries
the landing records of the files it adds, so that the commit is the record. Delta itself checks neither schema nor constraints of
files that we commit ourselves: `LakeTable.commit` does.
"""

import json
import time
from collections.abc import Callable, Container, Iterable, Mapping, Sequence, Set
from dataclasses import dataclass, field, replace
from datetime import UTC, date, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from workbench.errors import BrokenPromise, Busy, LakeError
from workbench.lake.delta import ATTEMPTS, commit, make, meant, pause, properties, settle
from workbench.lake.disk import disk, sync
from workbench.lake.identity import claim, expect_known
from workbench.lake.landings import Edit, Landed, Landing, NewFile, Reset, Retired, Rewound, Rewrite, beside
from workbench.lake.log import TableLog
from workbench.lake.modes import make_root
from workbench.lake.remote.where import readable, remote_of
from workbench.lake.snapshots import BOUNDS, LiveFile, Snapshot, bounds_of, read
from workbench.lake.types import delta_type
from workbench.tables import TABLES, Table

if TYPE_CHECKING:
    from deltalake import DeltaTable, Schema

PARTITIONS = ("chunk", "bucket")
NO_BUCKET = "__HIVE_DEFAULT_PARTITION__"

Outcome = Literal["landed", "replaced", "already landed", "overtaken"]


class LakeTable(TableLog):
    """One Delta table of the lake, created by the first commit."""

    def __init__(self, root: Path, table: Table):
        super().__init__(root, table.name)
        self.table = table

    @property
    def schema(self) -> "Schema":
        """The Delta schema: the table's columns, then the partition columns that a reader never sees."""
        from deltalake import Field, Schema
        from deltalake.schema import PrimitiveType

        columns = [Field(c.name, delta_type(c), nullable=True) for c in self.table.columns]
        return Schema([*columns, *(Field(name, PrimitiveType("string"), nullable=True) for name in PARTITIONS)])

    def create(self) -> "DeltaTable":
        """The Delta table as it stands now, made if it is not there."""
        self.follow()
        make(self, self.schema, PARTITIONS, self.table.doc)
        delta = self._open()
        if self._lacked(delta):
            from workbench.lake.formats import widen

            widen(self, self.schema)
            delta = self._open()
        return delta

    def _lacked(self, delta: "DeltaTable") -> list[str]:
        """The columns that are declared since the table was made."""
        there = {field.name for field in delta.schema().fields}
        return [column.name for column in self.table.columns if column.name not in there]

    def _read(self, delta: "DeltaTable") -> Snapshot:
        shot = read(delta)
        # Of a lake that an earlier version of the library made, and nobody has written to since.
        lacked = self._lacked(delta)
        return replace(shot, widened=tuple(dict.fromkeys((*shot.widened, *lacked)))) if lacked else shot

    def set_bounds(self, bounds: Sequence[str], *, anew: bool = False) -> tuple[str, ...]:
        """Decide the table's ticker ranges, unless they are; gives the ranges it has now.

        `anew` decides them once more: files cut by the old ones stay where they are until they are rewritten, and landings and rewrites
        by the old ones are refused from now on.
        """
        from deltalake.exceptions import CommitFailedError

        for attempt in range(ATTEMPTS):
            delta = self.create()
            held = bounds_of(delta)
            if held == tuple(bounds) or (held is not None and not anew):
                return held
            try:
                undone = f"the ticker ranges of {self.table.name} were not decided"
                with disk(self.root, undone), meant(self, undone):
                    told, writing = properties({"decided": BOUNDS}), self.writable(delta)
                    if writing is None:
                        continue
                    writing.alter.set_table_properties(
                        {BOUNDS: json.dumps(list(bounds))}, raise_if_not_exists=False, commit_properties=told
                    )
            except CommitFailedError:
                pause(attempt)
            else:
                settle(self, writing.version())
        raise self._too_busy()

    def commit(self, landed: Sequence[Landed], rewrite: Rewrite | None = None) -> list[Outcome]:
        """Make landed files visible, all in one commit, with their records; what others landed meanwhile is dropped.

        An object that the lake already holds with the same bytes is "already landed"; one of which another version was
        landed since the plan is "overtaken": the next refresh lists it anew. With a `rewrite`, the landed rows stand in its files, and all
        of it is committed or, if anything under it has moved, nothing. Raises `BrokenPromise` if a file is not what the table declares,
        and `Busy` if other writers won every attempt; the table is unchanged then.
        """
        for one in (each for landing in landed for each in (landing, *landing.kept)):
            for file in one.files:
                self._keeps_promise(file, one.landing.key, one.landing.session)
        for attempt in range(ATTEMPTS):
            delta = self.create()
            known = self.landings()
            live = self._live(delta) if rewrite or any(one.seen or one.displaced for one in landed) else {}
            there = by_session(landed, known)
            outcomes = [self._outcome(one, known, there, live, rewrite) for one in landed]
            chosen = [one for one, outcome in zip(landed, outcomes, strict=True) if outcome in ("landed", "replaced")]
            if rewrite and (len(chosen) < len(landed) or not self._still(rewrite, delta, live)):
                outcomes = [outcome if outcome == "already landed" else "overtaken" for outcome in outcomes]
                chosen = []
            if not chosen:
                break
            if rewrite:
                added, removed = rewrite.added, set(rewrite.removed)
            else:
                if self.table.routed:
                    self._routed_alike(chosen, bounds_of(delta))
                every = [*chosen, *(kept for one in chosen for kept in one.kept)]
                added, removed = tuple(file for one in every for file in one.files), replaced(chosen, known)
            if self._write(delta, live, added, removed & live.keys(), chosen, rewrite):
                break
            pause(attempt)
        else:
            raise self._too_busy()
        # What a rewrite took in stands in its files.
        out = [one for one, outcome in zip(landed, outcomes, strict=True) if rewrite or outcome not in ("landed", "replaced")]
        self.discard([file for one in out for each in (one, *one.kept) for file in each.files])
        if rewrite and not chosen:
            self.discard(rewrite.added)
        return outcomes

    def rewrite(self, rewrite: Rewrite) -> bool:
        """Put files in the place of others, in one commit; False, and nothing done, if any of them has been replaced meanwhile.

        Raises `BrokenPromise` or `Busy` as `commit` does.
        """
        for attempt in range(ATTEMPTS):
            delta = self.create()
            live = self._live(delta)
            if not self._still(rewrite, delta, live):
                self.discard(rewrite.added)
                return False
            if self._write(delta, live, rewrite.added, set(rewrite.removed), (), rewrite):
                return True
            pause(attempt)
        raise self._too_busy()

    def retire(self, paths: Sequence[str], retired: Sequence[Retired]) -> bool:
        """Take files out of the table, in one commit that says which landed objects their rows were of.

        False, and nothing done, if any of the files or objects has been replaced meanwhile. Raises `Busy` as `commit` does.
        """

        def decide(live: Mapping[str, LiveFile], known: Mapping[str, Landing]) -> Edit | None:
            same = all((held := known.get(one.key)) and held.version == one.version and not held.retired for one in retired)
            return Edit(removed=frozenset(paths), retired=tuple(retired)) if same and all(path in live for path in paths) else None

        return self.edit(decide) is not None

    def edit(self, decide: Callable[[Mapping[str, LiveFile], Mapping[str, Landing]], Edit | None]) -> Edit | None:
        """Commit what is decided over the live files and landing records of the newest version; None if nothing is to be done.

        Another writer's commit has it decided anew. Raises `Busy` as `commit` does.
        """
        for attempt in range(ATTEMPTS):
            delta = self.create()
            live = self._live(delta)
            made = decide(live, self.landings())
            if made is None or self._write(delta, live, made.added, made.removed, (), None, made.retired, made.reset, made.rewound):
                return made
            pause(attempt)
        raise self._too_busy()

    def _live(self, delta: "DeltaTable") -> dict[str, LiveFile]:
        """The files of a version, by path; those of the snapshot held, if it is that version."""
        shot = self._snapshot if self._snapshot.version == delta.version() else self._read(delta)
        return shot.by_path

    def _still(self, rewrite: Rewrite, delta: "DeltaTable", live: Container[str]) -> bool:
        """Whether the files to replace are all live, and the table's ranges those that the new files were cut by."""
        return all(path in live for path in rewrite.removed) and rewrite.bounds == bounds_of(delta)

    def _outcome(
        self,
        one: Landed,
        known: Mapping[str, Landing],
        there: Mapping[date, Sequence[Landing]],
        live: Container[str],
        rewrite: Rewrite | None,
    ) -> Outcome:
        held = known.get(one.landing.key)
        same = held is not None and held.sha256 == one.landing.sha256 and one.landing.etag in (held.etag, *held.aliases)
        if held and same and not one.mends and held.retired != "reset":
            return "already landed"
        if one.beside != {(other.key, other.version) for other in beside(one.landing, there.get(one.landing.session, ()))}:
            return "overtaken"
        # What stands in cold files leaves by a rewrite of its chunk.
        if not rewrite and any(path not in live for gone in one.displaced for path in known[gone.key].files or ("",)):
            return "overtaken"
        if held is None:
            return "landed"
        if held.version != one.seen:
            return "overtaken"
        # Cold by now: its old rows stand in files that hold other sessions too. An alias has no rows of its own.
        own = held.files and all(path in live for path in held.files)
        moved = one.landing.files != held.files and held.held > 0 and not own
        return "overtaken" if moved and not rewrite else "replaced"

    def _write(
        self,
        delta: "DeltaTable",
        live: Mapping[str, LiveFile],
        added: Sequence[NewFile],
        removed: Set[str],
        landed: Sequence[Landed],
        rewrite: Rewrite | None,
        retired: Sequence[Retired] = (),
        reset: Reset | None = None,
        rewound: Rewound | None = None,
    ) -> bool:
        """Write one commit, for good; False if another writer was first."""
        from deltalake import Transaction
        from deltalake.transaction import AddAction, RemoveAction

        if rewrite:
            for file in added:
                self._keeps_promise(file, rewrite.chunk)
        now, changes = int(time.time() * 1000), bool(landed or retired or reset or rewound or (rewrite and rewrite.origin))
        adds = [
            AddAction(f.path, f.size, {"chunk": f.chunk, "bucket": f.bucket}, now, data_change=changes, stats=json.dumps(f.stats))
            for f in added
        ]
        removes = [
            RemoveAction(path, changes, now, live[path].size, {"chunk": live[path].chunk, "bucket": live[path].bucket})
            for path in sorted(removed)
        ]
        retired = [*retired, *(gone for one in landed for gone in one.displaced)]
        landed = [*landed, *(kept for one in landed for kept in one.kept)]
        records = [one.landing.to_json() | {"version": one.seen + 1} for one in landed]
        metadata = {"landings": json.dumps(records)} | ({"rewrite": json.dumps(rewrite.to_json())} if rewrite else {})
        metadata |= {"retired": json.dumps([one.to_json() for one in retired])} if retired else {}
        metadata |= {"reset": json.dumps(reset.to_json())} if reset else {}
        metadata |= {"rewound": json.dumps(rewound.to_json())} if rewound else {}
        with disk(self.root, f"nothing was committed to {self.name}"):
            self._settle_files(added)
        transactions = [Transaction(f"land/{one.landing.key}", one.seen + 1) for one in landed]
        return commit(self, delta, [*adds, *removes], self.schema, PARTITIONS, metadata, transactions)

    def _settle_files(self, added: Iterable[NewFile]) -> None:
        """Have the disk keep the names of new files, which stand in their places, before a commit points at them."""
        if self.remote:
            return
        places = {(self.folder / file.path).parent for file in added}
        for folder in {folder for place in places for folder in (place, place.parent, self.folder)}:
            sync(folder)

    def _keeps_promise(self, file: NewFile, origin: str, session: date | None = None) -> None:
        promised = tuple((c.name, c.type) for c in self.table.columns)
        if file.schema != promised:
            odd = sorted(set(file.schema) ^ set(promised)) or "in another order"
            raise BrokenPromise(
                f"{file.path} made from {origin} has other columns than {self.table.name} declares: {odd}. "
                "It was not committed and the lake is unchanged. This is a fault of the workbench: please report it."
            )
        told = session.isoformat() if session and self.table.kind != "reference" else None
        if file.stats["numRecords"] != file.rows or (told and file.stats["minValues"]["date"] != told):
            raise BrokenPromise(f"{file.path} made from {origin} has statistics of other rows. It was not committed; please report it.")

    def _routed_alike(self, landed: Sequence[Landed], bounds: tuple[str, ...] | None) -> None:
        """Raise `BrokenPromise` before rows stand in a range in which no view looks for them."""
        for one in landed:
            if one.files and one.bounds != bounds:
                raise BrokenPromise(
                    f"{one.landing.key} was routed to other ticker ranges than {self.table.name} has. It was not committed and the lake is "
                    "unchanged; run the refresh again."
                )

    def discard(self, files: Iterable[NewFile]) -> None:
        """Delete files that were written but will not be committed. One that was, by a run that was killed at once afterwards, stays."""
        files = tuple(files)
        live = self.snapshot().by_path if files else {}
        self.drop(*(file.path for file in files if file.path not in live))

    def _too_busy(self) -> Busy:
        return Busy(f"{self.table.name}: other writers won {ATTEMPTS} attempts to commit. The lake is unchanged; run the command again.")


@dataclass
class Lake:
    """All tables under one root. `private`: nobody but its owner is to read it."""

    root: Path
    _tables: dict[str, LakeTable] = field(default_factory=dict)
    private: bool = True

    @property
    def where(self) -> str:
        """The lake's place as people name it: its url in a bucket, or its folder."""
        return readable(self.root)

    @property
    def exists(self) -> bool:
        """Whether the root holds a lake, be it an empty one."""
        if (self.root / "lake").is_dir():
            return True
        remote = remote_of(self.root)
        return remote is not None and next(remote.below("lake"), None) is not None

    def make(self) -> None:
        """Make the root, and give the lake its name. Raises `LakeError` if it is a file or cannot be written, `NewerLake` for a later library's."""
        expect_known(self.root, "nothing was written")
        try:
            make_root(self.root, private=self.private)
            for name in ("lake", "tmp", "quarantine", "locks"):
                (self.root / name).mkdir(parents=True, exist_ok=True)
        except OSError as fault:
            raise LakeError(
                f"{self.root} cannot hold a lake: {fault.strerror} ({fault.filename}). Nothing was written; "
                "set WORKBENCH_DATA to a folder that can be written."
            ) from fault
        claim(self.root)

    def __getitem__(self, name: str) -> LakeTable:
        # setdefault is atomic: two threads that ask at once get the same table.
        return self._tables.get(name) or self._tables.setdefault(name, LakeTable(self.root, TABLES[name]))


def replaced(landed: Iterable[Landed], known: Mapping[str, Landing]) -> set[str]:
    """The files of the versions that landed ones replace. An alias keeps its files."""
    kept = {path for one in landed for path in one.landing.files}
    gone = {key for one in landed for key in (one.landing.key, *(other.key for other in one.displaced))}
    return {path for key in gone if (held := known.get(key)) for path in held.files} - kept


def by_session(landed: Iterable[Landed], known: Mapping[str, Landing]) -> dict[date, list[Landing]]:
    """What the table holds of the sessions of landed files."""
    found: dict[date, list[Landing]] = {one.landing.session: [] for one in landed}
    for landing in known.values():
        if landing.session in found:
            found[landing.session].append(landing)
    return found


def utc_now() -> str:
    """The present instant, as records keep it."""
    return datetime.now(UTC).isoformat(timespec="milliseconds")
