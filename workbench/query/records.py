"""What people wrote to the documented tables, as views show it: Delta's rows, laid over by the journal's.

All tables that a query names are looked at in one moment, and with them all that the session has shown before, so that a transaction over several is seen
as a whole or not at all. Their views and the tables of the journal's rows change in one transaction of DuckDB's.
"""

import threading
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

import duckdb

from workbench.errors import Busy, LakeError
from workbench.lake.declared import declared
from workbench.lake.operations import Operation, Operations, Pending
from workbench.lake.pending import State, decoded
from workbench.lake.readers import Reader
from workbench.lake.records import Kept, RecordTable, lost
from workbench.lake.snapshots import Snapshot
from workbench.lake.vacuum import held_at
from workbench.query.documented import Documented, View
from workbench.query.laid import SCHEMA, Laid
from workbench.tables.platforms import RECORDS
from workbench.tables.record import Record

if TYPE_CHECKING:
    from datetime import datetime
    from pathlib import Path


# A fold may commit between the look at a table's versions and the one at the journal; so many in a row come from no fold.
ATTEMPTS = 8

# What a table is laid over, and the operations to lay over it.
Step = tuple[Laid, Sequence[Operation]]


@dataclass(frozen=True, eq=False)
class Moment:
    """A pin's: the version of each table, and what the journal held."""

    versions: Mapping[str, int]
    pending: Pending


class Records:
    """The views of one session, whose versions its `reader` registers. `at` is the instant that it was opened as of, which shows folded rows only."""

    def __init__(self, root: "Path", reader: Reader, at: "datetime | None" = None):
        self.root = root
        self._reader = reader
        # The versions that stand registered.
        self._registered: dict[str, int] = {}
        self._tables: dict[str, RecordTable] = {}
        # The tables by their views.
        self._views: dict[str, str] = {}
        # Readers have a connection of their own: a transaction of a writer's would have theirs wait, or be inside of it.
        self._operations = Operations(root)
        self._at = at
        self._pinned: Moment | None = None
        self._past: dict[str, Snapshot] = {}
        self._lock = threading.RLock()
        # What the session shows of the tables that were ever asked for, and why it cannot show some.
        self._laid: dict[str, Laid] = {}
        self._broken: dict[str, LakeError] = {}
        # The journal's change, or the pin, that these are of.
        self._seen: object = None
        self._journal, self._opened = "", 0
        self._documented: Documented
        for record in RECORDS.values():
            if record.takes_rows:
                self._add(record)

    def _add(self, record: Record) -> None:
        # Anew, since another thread may be going through them.
        self._tables = {**self._tables, record.full: RecordTable(self.root, record)}
        self._views = {**self._views, ".".join(record.imported): record.full}

    def supply(self, documented: Documented) -> None:
        """Have each view follow its table."""
        self._documented = documented
        documented.con.execute(f"CREATE SCHEMA IF NOT EXISTS {SCHEMA}")
        documented.moment, documented.mark, documented.own = self.look, self._mark, self._own
        for view, name in self._views.items():
            documented.supply(view, partial(self._query, name))

    def _own(self) -> dict[str, View]:
        """The views of the tables that people declared on the lake, those that they have declared meanwhile with them."""
        try:
            own = declared(self.root)
        except LakeError:
            # A declaration that cannot be read hides no other table; whoever writes is told.
            return {}
        for full, record in own.items():
            if full not in self._tables:
                self._add(record)
                self._documented.supply(full, partial(self._query, full))
        return {full: View(*record.imported, "view", record.doc, (), record.empty) for full, record in own.items()}

    def _mark(self, view: str) -> object:
        laid = self._laid.get(self._views[view])
        return laid and (self._journal, laid.shot.version, laid.upto)

    def _query(self, name: str, _con: duckdb.DuckDBPyConnection) -> str:
        if name in self._broken:
            raise self._broken[name]
        return self._laid[name].query

    # ------------------------------------------------------------------ a moment

    def look(self, views: Iterable[str]) -> None:
        """Have the session show what some views' tables hold now, all of one moment. Its other tables follow where the journal has changed."""
        wanted = {self._views[view] for view in views if view in self._views}
        if not wanted:
            return
        with self._lock:
            try:
                # Before the look: what changes after it is found next time.
                seen = self._pinned or self._at or self._operations.change
                if seen == self._seen and all(map(self._settled, wanted)):
                    return
                self._broken = {}
                self._show(self._steps(wanted))
                self._seen = seen
            except LakeError as fault:
                # The journal cannot be read. Whoever names a table is told.
                self._broken = dict.fromkeys(self._tables, fault)
                self._seen = None

    def _steps(self, wanted: AbstractSet[str]) -> dict[str, Step]:
        if pinned := self._pinned:
            return self._each(wanted, partial(self._pinned_step, pinned))
        if self._at:
            return self._each(wanted, lambda name: (self._over(name, self.held(name)), ()))
        return self._newest(wanted | self._laid.keys())

    def _settled(self, name: str) -> bool:
        """Whether a table is shown as it is, if the journal has not changed."""
        try:
            return name in self._laid and name not in self._broken and self._laid[name].shot.version == self.held(name).version
        except LakeError:
            return False

    def _each(self, names: Iterable[str], step: Callable[[str], Step]) -> dict[str, Step]:
        """The step of each table; why there is none is kept for who names the table."""
        made = {}
        for name in names:
            try:
                made[name] = step(name)
            except LakeError as fault:
                self._broken[name] = fault
        return made

    def _over(self, name: str, shot: Snapshot) -> Laid:
        """What is shown of a table, if that is of this version, or the version alone."""
        laid = self._laid.get(name) or Laid(self._tables[name].record, Snapshot(-2))
        if laid.shot.version == shot.version:
            return laid
        table = self._tables[name]
        return laid.anew(shot, table.paths(shot), shot.folded(self._journal) if isinstance(shot, Kept) else 0)

    def _pinned_step(self, moment: Moment, name: str) -> Step:
        shot = self.held(name)
        base = self._over(name, shot)
        held = [one for one in moment.pending.operations.get(name, ()) if one.seq > base.folded]
        if base.upto == max((one.seq for one in held), default=base.folded):
            return base, ()
        return base.bare(), held

    def _newest(self, names: Collection[str]) -> dict[str, Step]:
        """The newest versions, and what the journal holds beyond them, of one moment."""
        entire: set[str] = set()
        told: dict[str, Step] = {}
        behind: set[str] = set()
        before: Mapping[str, int] = {}
        for _ in range(ATTEMPTS):
            bases = {name: base for name, (base, _) in self._each(names, lambda name: (self._over(name, self.held(name)), ())).items()}
            # Of what is laid over a table already nothing is read again, unless it must be.
            bases |= {name: bases[name].bare() for name in entire & bases.keys()}
            pending = self._operations.pending({name: base.upto for name, base in bases.items()})
            if (pending.id, pending.opened) != (self._journal, self._opened):
                # Versions say how far they have folded one journal, and this is another, or the same out of a backup, which may lack what it had.
                self._journal, self._opened, self._laid, before = pending.id, pending.opened, {}, {}
                continue
            told = {name: (base, pending.operations.get(name, ())) for name, base in bases.items()}
            more = {name for name, (base, later) in told.items() if not base.takes(later)}
            entire |= more
            behind = {name for name, base in bases.items() if pending.folded.get(name, 0) > base.folded}
            # What the journal said before the look at a table, that look must show.
            if gone := {name for name in behind if before.get(name, 0) > bases[name].folded}:
                self._broken |= {name: LakeError(lost(self._operations.path, name, "the table cannot be shown")) for name in gone}
                names = set(names) - gone
            before = pending.folded
            if more or behind:
                continue
            if not self._register({name: base.shot.version for name, base in bases.items()}):
                break
        for name in behind - self._broken.keys():
            self._broken[name] = Busy(f"{name} is folded faster than it can be looked at; nothing was read. Ask again.")
        return {name: step for name, step in told.items() if name not in behind}

    def _register(self, versions: Mapping[str, int]) -> bool:
        """Have a vacuum leave the files of some versions; whether one was new, so that its table may have moved on before it was registered."""
        new = {name: version for name, version in versions.items() if version >= 0 and self._registered.get(name) != version}
        if new:
            self._reader.hold(new)
            self._registered |= new
        return bool(new)

    def _show(self, steps: Mapping[str, Step]) -> None:
        """Have the views show each table with its operations laid over it."""
        ready = {}
        for name, (base, later) in steps.items():
            try:
                ready[name] = base, decoded(base.record, later, self.root) if later else State(), later[-1].seq if later else base.upto
            except LakeError as fault:
                self._broken[name] = fault

        def work(con: duckdb.DuckDBPyConnection) -> dict[str, str]:
            made.update({name: base.later(con, state, upto) for name, (base, state, upto) in ready.items()})
            return {".".join(one.record.imported): one.query for one in made.values()}

        made: dict[str, Laid] = {}
        self._documented.change(work)
        self._laid |= made

    # ------------------------------------------------------------------ versions and numbers

    def held(self, name: str) -> Snapshot:
        """The version of a table that this session shows: a pin's, that of the instant it was opened as of, or the newest.

        Raises `LakeError` if the table's log is damaged.
        """
        table = self._tables[name]
        if self._at:
            if name not in self._past:
                self._past[name] = held_at(table, self._at, self._reader)
            return self._past[name]
        # Another thread may end the pin meanwhile.
        pinned = self._pinned
        if pinned is None:
            return table.newest()
        version = pinned.versions.get(name, -1)
        if name not in self._past or self._past[name].version != version:
            self._past[name] = table.at(version) if version >= 0 else Snapshot(-1)
        return self._past[name]

    def shots(self) -> dict[str, Snapshot]:
        """The version of each table that this session shows. Raises `LakeError` as `held` does."""
        return {name: self.held(name) for name in self._tables}

    def shown(self, name: str) -> Laid:
        """What this session shows of a table now. Raises `LakeError` as `held` does."""
        if name not in self._tables:
            # One that was declared since.
            self._documented.prepare(f"FROM {name}")
        with self._documented.alone, self._lock:
            self.look([".".join(self._tables[name].record.imported)])
            if name in self._broken:
                raise self._broken[name]
            return self._laid[name]

    def count(self, name: str) -> int:
        """The number of rows that people wrote to a table, those of the journal included. Raises `LakeError` as `held` does."""
        view = ".".join(self._tables[name].record.imported)
        self._documented.prepare(f"FROM {view}")
        told = self.shown(name).counted
        if told is None:
            with self._documented.con.cursor() as con:
                [(told,)] = con.execute(f"SELECT count(*) FROM {view}").fetchall()
        return int(told)

    def hold(self) -> None:
        """Show what there is now, until `release`; of no table is more read than the journal holds before somebody asks for it."""
        # Those that people declared since somebody asked, too.
        self._own()
        for _ in range(ATTEMPTS):
            versions = {name: table.version() for name, table in self._tables.items()}
            pending = self._operations.pending(dict.fromkeys(self._tables, 0))
            self._register(versions)
            # What a fold commits meanwhile, it takes out of the journal.
            if versions == {name: table.version() for name, table in self._tables.items()}:
                break
        with self._lock:
            if (pending.id, pending.opened) != (self._journal, self._opened):
                self._journal, self._opened, self._laid = pending.id, pending.opened, {}
            self._pinned = Moment(versions, pending)

    def release(self) -> None:
        """Show the newest rows again."""
        self._pinned = None

    def close(self) -> None:
        """Let go of the journal."""
        self._operations.close()
