"""Writes to the documented tables, each within one transaction of the journal: what stands in a table, fresh numbers, rows in and keys out.

Whatever the types of rows cost is done before the transaction, which holds out all other writers. Rows of a large batch go into a file beside the
journal, and the journal names it.
"""

import threading
import time
import uuid
import weakref
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from workbench.errors import BrokenRule, Busy, LakeError, UsageError, WorkbenchError
from workbench.lake import apart, imports, keys, record_files
from workbench.lake.delta import ATTEMPTS
from workbench.lake.disk import disk, sync
from workbench.lake.fold import fold
from workbench.lake.folding import Folder
from workbench.lake.operations import Operations, Write, key_text, newest
from workbench.lake.pending import decoded, encoder
from workbench.lake.records import RecordTable, lost
from workbench.query.references import There
from workbench.query.staging import Numbering
from workbench.query.tagging import Changed, Filling, filling
from workbench.query.values import BITS, typed
from workbench.tables.record import Field, Record

if TYPE_CHECKING:
    import pyarrow as pa

# For so long the fold of another process is waited for.
LASTING_S = 60.0
# Of so many rows on, a batch goes into a file.
LARGE = 1_000
# The threads that have a transaction open, by the lake's root: a second would wait for the first, which would wait for it.
OPEN: set[tuple[Path, int]] = set()


@dataclass(frozen=True)
class Ahead:
    """The rows of a large batch with their numbers, the file that has them, and the newest operation on their table when they were numbered."""

    rows: "pa.Table"
    file: Path
    newest: int


class Ledger:
    """What one bench writes by. Safe for threads, which take turns."""

    def __init__(
        self,
        root: Path,
        records: Callable[[], Mapping[str, Record]],
        rules: Changed,
        bot_version: str = "",
        synchronous: str = "NORMAL",
    ):
        self.root = root
        # Readers have a connection of their own, or they would wait for whoever writes.
        self.operations = Operations(root, synchronous=synchronous)
        self.records = records
        self._rules, self._bot_version = rules, bot_version
        self._tables: dict[str, RecordTable] = {}
        self.folder = Folder(root)
        # A thread that runs on while Python ends leaves DuckDB in pieces.
        weakref.finalize(self, self.folder.close)

    def table(self, name: str) -> RecordTable:
        """The Delta table of a record table."""
        if name not in self._tables:
            self._tables[name] = RecordTable(self.root, self.records()[name])
        return self._tables[name]

    def filling(self, record: Record, **told: str | None) -> Filling:
        """What a write to a table fills in."""
        return filling(record, self._rules, {"bot_version": self._bot_version} | {name: one for name, one in told.items() if one})

    @property
    def mine(self) -> tuple[Path, int]:
        """The thread that asks, as `OPEN` has it."""
        return self.root, threading.get_ident()

    @contextmanager
    def writing(self, what: str, *, durable: bool = False) -> "Iterator[Within]":
        """A transaction of the journal; `what` is written, and all of it stands when the block ends, or nothing. With `durable` it stands in commits then.

        Raises `Busy` if others hold the journal for too long, `LakeError` if it cannot be written, `UsageError` within a `transaction`.
        """
        if self.mine in OPEN:
            raise UsageError(
                f"a transaction is open in this thread; nothing was written to {what}. Write by the transaction, or after its end."
            )
        with self.journal(what) as within:
            since = within.write.last if durable else 0
            yield within
            upto = within.write.last if durable else 0
        if durable:
            self.lasting(within.written, since, upto)

    @contextmanager
    def journal(self, what: str) -> "Iterator[Within]":
        """As `writing`, for the transaction that is open itself."""
        with disk(self.root, f"nothing was written to {what}"), self.operations.writing() as write:
            within = Within(self, write)
            try:
                yield within
                write.expect_there()
            except BaseException:
                within.forget()
                raise

    def settle(self, within: "Within") -> None:
        """Fold what a transaction wrote: tables that got a file at once, others by and by."""
        for name, count in within.written.items():
            if name not in within.filed:
                self.folder.wrote(name, count)
                continue
            try:
                fold(self.root, self.records()[name], self.operations)
            except Exception:
                # The rows stand in the journal, and nobody must write them again; whoever folds next tells what is wrong, if it still is.
                self.folder.wrote(name, count)

    def lasting(self, names: Iterable[str], since: int, upto: int) -> None:
        """Wait until the operations on some tables up to a number stand in commits, folding them; those above `since` are the caller's.

        Raises `Busy` if another process does not end its fold, `LakeError` or `Unreachable` if it cannot be done: the journal keeps the rows then, and they
        are folded later. Raises `BrokenRule` for rows whose keys another machine has committed first: these are not in the lake, and are forgotten.
        """
        odd: list[apart.Apart] = []
        for name in names:
            until = time.monotonic() + LASTING_S
            while any(one.seq <= upto for one in self.operations.pending({name: 0}).operations.get(name, ())):
                try:
                    done = fold(self.root, self.records()[name], self.operations)
                except WorkbenchError as fault:
                    self.folder.wrote(name)
                    raise LakeError(
                        f"{fault} What was written to {name} stands in the journal of this machine, and in no commit yet: it is folded later; do not "
                        "write it again."
                    ) from fault
                if done is None and time.monotonic() > until:
                    self.folder.wrote(name)
                    raise Busy(
                        f"{name} is being folded by another process for {LASTING_S:.0f} s: what was written stands in the journal of this machine, and in no "
                        "commit yet. It is folded later; do not write it again."
                    )
                if done is None:
                    # Another's fold tells nobody when it ends.
                    time.sleep(0.02)
            odd += apart.kept(self.operations, name, since, upto)
        if odd:
            apart.forget(self.operations, odd)
            raise BrokenRule(f"{apart.said(odd)}; what else was written with it stands. Look at the row that is there, and write again.")

    def close(self) -> None:
        """Let go of the journal, once a fold that is under way has ended."""
        self.folder.close()
        self.operations.close()


@dataclass
class Within:
    """A transaction under way: what stands in tables now, its own writes too, and what is to be written."""

    ledger: Ledger
    write: Write
    # The rows and keys that were written, by table, and the tables that have files of rows.
    written: "Counter[str]" = field(default_factory=Counter)
    filed: set[str] = field(default_factory=set)
    _made: list[Path] = field(default_factory=list)
    _there: dict[str, There] = field(default_factory=dict)

    def there(self, name: str) -> There:
        """What stands in a table, by full name."""
        if name not in self._there:
            self._there[name] = self._look(self.ledger.records()[name])
        return self._there[name]

    def _look(self, record: Record) -> There:
        """The newest version of its files, and what the journal lays over them: nobody else takes anything out of that meanwhile."""
        table = self.ledger.table(record.full)
        told = self.write.con.execute("SELECT seq FROM folded WHERE name = ?", (record.full,)).fetchone()
        for _ in range(ATTEMPTS):
            shot = table.newest()
            folded = shot.folded(self.write.id)
            if not told or folded >= told[0]:
                operations = self.write.pending(record.full, folded)
                return There(record, tuple(map(str, table.all_here(sorted(shot.paths)))), decoded(record, operations, self.ledger.root))
        raise LakeError(lost(self.ledger.operations.path, record.full, "nothing was written"))

    def number(self, record: Record, column: Field, count: int, least: int) -> int:
        """The first of some fresh numbers, above all that are there or were given, and above a least one. Raises `BrokenRule` where there are none left."""
        self.write.expect_level(record.full)
        told = self.write.con.execute("SELECT last FROM numbers WHERE name = ? AND of = ?", (record.full, column.name)).fetchone()
        if not told:
            least = max(least, self.ledger.table(record.full).newest().highest.get(column.name, 0))
        last = max(told[0] if told else 0, least)
        if count and last + count >= 2 ** (BITS[typed(column.type).id] - 1):
            raise BrokenRule(f"{record.full} has no numbers left for {column.name} after {last}; nothing was written. Give them yourself.")
        return self.write.number(record.full, column.name, count, least)

    def numbering(self, record: Record) -> Numbering:
        """What gives a batch its numbers."""
        return lambda column, count, least: self.number(record, column, count, least)

    def newest(self, name: str) -> int:
        """The number of the newest operation on a table, in the journal or folded."""
        return newest(self.write.con, name)

    def looks_anew(self) -> None:
        """Forget what stood in tables."""
        self._there.clear()

    # ------------------------------------------------------------------ what is written

    def put(self, record: Record, rows: "pa.Table", *, replaces: bool, file: Path | None = None) -> None:
        """Write rows down; `file` has them already where they are many."""
        if not len(rows):
            return
        if file or len(rows) >= LARGE:
            file = file or self.file(rows)
            self.write.add(record.full, "puts", body=str(file), count=len(rows), replaces=replaces)
            if not replaces:
                # To take in rows that replace others, files are written anew: that can wait.
                self.filed.add(record.full)
            keys.drop(self.write, record)
        else:
            encoded, told = encoder(record), rows.to_pylist()
            for row in told:
                key = key_text([row[name] for name in record.key]) if record.key else None
                self.write.add(record.full, "put", key=key, body=encoded(row), replaces=replaces)
            if replaces and record.unique:
                # What the rows that are replaced had of these is not known here.
                keys.drop(self.write, record)
            else:
                for columns in filter(None, (record.key, *record.unique)):
                    values = ([row[name] for name in columns] for row in told)
                    keys.admit(self.write, record, columns, [key_text(one) for one in values if None not in one])
        self._done(record, len(rows))

    def take(self, record: Record, gone: "pa.Table") -> None:
        """Take out the rows of some keys, which are there."""
        if len(gone) >= LARGE:
            self.write.add(record.full, "deletes", body=str(self.file(gone)), count=len(gone), replaces=True)
        else:
            told = [key_text([row[name] for name in record.key]) for row in gone.to_pylist()]
            for key in told:
                self.write.add(record.full, "delete", key=key, replaces=True)
            if not record.unique:
                keys.retire(self.write, record, record.key, told)
        if record.unique or len(gone) >= LARGE:
            keys.drop(self.write, record)
        self._done(record, len(gone))

    def clear(self, record: Record, count: int) -> None:
        """Take out all rows, so many."""
        self.write.add(record.full, "clear", count=count, replaces=True)
        keys.drop(self.write, record)
        # The next import is to bring all of it again.
        imports.forget(self.write.con, record.full)
        self._done(record, count)

    def _done(self, record: Record, count: int) -> None:
        self.written[record.full] += count
        self._there.pop(record.full, None)

    def file(self, rows: "pa.Table") -> Path:
        """A file of rows beside the journal, which goes if the transaction does not come to its end."""
        path = written_out(self.ledger.operations.rows, rows)
        self._made.append(path)
        return path

    def keeps(self, file: Path) -> None:
        """Have a file that was written before go with this transaction."""
        self._made.append(file)

    def forget(self) -> None:
        """Remove the files that nothing names now."""
        for path in self._made:
            with suppress(OSError):
                path.unlink(missing_ok=True)


def written_out(folder: Path, rows: "pa.Table") -> Path:
    """A new file of rows, on the disk."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{uuid.uuid4().hex}.parquet"
    try:
        # In small groups: a look for one row reads little of it.
        record_files.write(rows, path)
        sync(folder)
    except BaseException:
        path.unlink(missing_ok=True)
        raise
    return path
