"""The records' journal: what people write to documented tables, in SQLite from the moment it is acknowledged until it is folded into Delta.

One transaction of SQLite's is one transaction over any number of tables; every write to a record table goes through it, so that numbers, keys and
references are decided over exactly what is there. Rows of a large batch stand in a Parquet file beside the journal, and the journal names it.
A fold commits what the journal holds of a table to its Delta table, with the number of the last operation in the same commit; a reader who sees that
commit leaves out what it folded, so that rows are never seen twice, nor missed, while the fold takes them out of the journal.
"""

import json
import os
import sqlite3
import time
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any, Literal, NamedTuple, TypeVar

from workbench.errors import UsageError
from workbench.lake.disk import sync
from workbench.lake.identity import claim
from workbench.lake.remote.where import remote_of
from workbench.lake.sqlitefile import SqliteFile, shrunk, whole

T = TypeVar("T")
Kind = Literal["put", "puts", "delete", "deletes", "clear"]

# What a table's Delta log says that it has folded is kept under this name, and the journal's id.
FOLDS = "journal/"

TABLES = """
CREATE TABLE IF NOT EXISTS journal (id TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS operations (
    seq INTEGER PRIMARY KEY AUTOINCREMENT, name TEXT NOT NULL, kind TEXT NOT NULL, replaces INTEGER NOT NULL,
    key TEXT, body TEXT, count INTEGER NOT NULL, at INTEGER NOT NULL
);
CREATE INDEX IF NOT EXISTS operations_name ON operations (name, seq);
CREATE TABLE IF NOT EXISTS folded (name TEXT PRIMARY KEY, seq INTEGER NOT NULL);
CREATE TABLE IF NOT EXISTS numbers (name TEXT NOT NULL, of TEXT NOT NULL, last INTEGER NOT NULL, PRIMARY KEY (name, of));
CREATE TABLE IF NOT EXISTS indexes (
    id INTEGER PRIMARY KEY AUTOINCREMENT, name TEXT NOT NULL, columns TEXT NOT NULL, version INTEGER NOT NULL, UNIQUE (name, columns)
);
CREATE TABLE IF NOT EXISTS imports (
    source TEXT NOT NULL, theirs TEXT NOT NULL, ours TEXT NOT NULL, of TEXT NOT NULL, value TEXT NOT NULL, rows INTEGER NOT NULL,
    at INTEGER NOT NULL, PRIMARY KEY (source, theirs, ours)
);
CREATE TABLE IF NOT EXISTS claims (
    name TEXT NOT NULL, of TEXT NOT NULL, n INTEGER NOT NULL, first INTEGER NOT NULL, until INTEGER NOT NULL, PRIMARY KEY (name, of)
);
CREATE TABLE IF NOT EXISTS apart (name TEXT NOT NULL, seq INTEGER NOT NULL, key TEXT NOT NULL, body TEXT NOT NULL, at INTEGER NOT NULL);
"""
OF = "SELECT seq, name, kind, replaces, key, body, count, at FROM operations WHERE name = ? AND seq > ? ORDER BY seq"
ADD = "INSERT INTO operations (name, kind, replaces, key, body, count, at) VALUES (?, ?, ?, ?, ?, ?, ?)"
NEWEST = (
    "SELECT coalesce((SELECT seq FROM operations WHERE name = ?1 ORDER BY seq DESC LIMIT 1), (SELECT seq FROM folded WHERE name = ?1), 0)"
)
LAST = "SELECT coalesce((SELECT seq FROM sqlite_sequence WHERE name = 'operations'), 0)"


class Operation(NamedTuple):
    """One thing that was done to a table, by its full name. `seq` counts on over all tables.

    `put` is a row, its JSON in `body`; `puts` are `count` rows in the Parquet file `body`; `delete` takes out the row of `key`, `deletes` those whose
    keys stand in the file `body`; `clear` takes out all that were there. Files stand in `journal/rows`: the journal keeps their names, and here are
    their paths. `replaces` says that a row of the same key may have been there: without it,
    it is known that none was. `key` is the key's JSON (`key_text`), None of tables without one. `at` is in microseconds since 1970.
    """

    seq: int
    name: str
    kind: Kind
    replaces: bool
    key: str | None
    body: str | None
    count: int  # type: ignore[assignment]
    at: int


@dataclass(frozen=True)
class Pending:
    """What a journal holds of some tables in one moment: `last` is the number of its newest operation then, `folded` how far each was folded.

    `opened` changes where another file has come into the journal's place.
    """

    id: str = ""
    last: int = 0
    folded: Mapping[str, int] = field(default_factory=dict)
    operations: Mapping[str, Sequence[Operation]] = field(default_factory=dict)
    opened: int = 0


class File(SqliteFile):
    """One connection to `journal/records.db`. It is never set aside: what was not folded stands nowhere else."""

    # The second has `imports`, the third `claims` and `apart`.
    SCHEMA = 3

    def _prepare(self, con: sqlite3.Connection) -> None:
        # Before there is any table: the pages that folds empty can be given back.
        con.execute("PRAGMA auto_vacuum = INCREMENTAL")
        con.execute("PRAGMA journal_mode = WAL").fetchall()
        with whole(con):
            for statement in filter(str.strip, TABLES.split(";")):
                con.execute(statement)
            con.execute("INSERT INTO journal SELECT ? WHERE NOT EXISTS (SELECT 1 FROM journal)", (uuid.uuid4().hex,))
            con.execute(f"PRAGMA user_version = {self.SCHEMA}")

    def _remedy(self) -> str:
        return (
            f"Bring it back from a backup; or save what can be read with `sqlite3 {self.path} .recover | sqlite3 {self.path}.new` and put that in its "
            f"place; or move {self.path.name}* away, which loses what was written and not folded yet."
        )


class Operations:
    """The journal of one lake, at `journal/records.db` under its root; the first write makes it. Safe for threads and forks.

    All that it does raises `LakeError` for a full disk, a file that is damaged or may not be written, and `Busy` if another process does not let go
    of it; nothing is written then. `synchronous` is SQLite's: with NORMAL, what is written outlives its process, with FULL a loss of power, too.
    """

    def __init__(self, root: Path, *, synchronous: str = "NORMAL"):
        self.root = root
        # Readers see what was committed, and wait for no writer of this process either.
        self._reader = File(root, "records")
        self._writer = File(root, "records", synchronous=synchronous)
        self.path = self._reader.path
        # The Parquet files that operations name.
        self.rows = root / "journal" / "rows"
        # The tables of which this object knows that the journal is not older than they are, and in which file.
        self._level: dict[str, int] = {}

    def __repr__(self) -> str:
        return f"<Operations at {self.path}>"

    @property
    def id(self) -> str:
        """What tells this journal from any other, in commits of folds; empty before the first write."""
        return self.pending({}).id

    def pending(self, since: Mapping[str, int]) -> Pending:
        """What it holds of tables beyond a number of each, all in one moment."""

        def asked(con: sqlite3.Connection) -> Pending:
            [(id,)] = con.execute("SELECT id FROM journal").fetchall()
            [(last,)] = con.execute(LAST).fetchall()
            folded = dict(con.execute("SELECT name, seq FROM folded").fetchall())
            held = {name: self._read(con, name, after) for name, after in since.items()}
            return Pending(id, last, folded, {name: found for name, found in held.items() if found}, self._reader.opened)

        return self._asked(asked) or Pending()

    def held(self) -> dict[str, tuple[int, int]]:
        """Of each table that it holds something of: the number of rows and keys, and the instant of the oldest, in microseconds since 1970."""
        query = "SELECT name, sum(count), min(at) FROM operations GROUP BY name"
        return self._asked(lambda con: {name: (count, at) for name, count, at in con.execute(query)}) or {}

    def files(self) -> set[Path]:
        """The Parquet files that operations name."""
        query = "SELECT body FROM operations WHERE kind IN ('puts', 'deletes')"
        return self._asked(lambda con: {self.rows / body for (body,) in con.execute(query)}) or set()

    def damage(self, *, deep: bool) -> str:
        """What SQLite says is wrong with the file, in a line; empty if nothing is. `deep` compares its indexes with its rows, too."""
        look = "integrity_check" if deep else "quick_check"
        told = self._asked(lambda con: [str(line) for (line,) in con.execute(f"PRAGMA {look}(1)")]) or ["ok"]
        return "" if told == ["ok"] else " ".join(told[0].split())

    @property
    def size(self) -> int:
        """Bytes on the disk, those of files that operations name with them."""
        kept = [self.path.with_name(f"{self.path.name}{ending}") for ending in ("", "-wal")]
        sizes = []
        for path in (*kept, *self.files()):
            with suppress(FileNotFoundError):
                sizes.append(path.stat().st_size)
        return sum(sizes)

    @property
    def change(self) -> int:
        """A number that every write changes, of any process: what was read before still holds while it stays. Costs microseconds."""

        def asked(con: sqlite3.Connection) -> int:
            [(version,)] = con.execute("PRAGMA data_version").fetchall()
            return int(version) + self._reader.opened * 1_000_000_007

        found = self._reader._asked(asked, "nothing was read")
        return -1 if found is None else found

    @contextmanager
    def writing(self) -> "Iterator[Write]":
        """A transaction that writes, alone among all processes: all of it stands when the block ends, or nothing if it raises.

        Raises `UsageError` within another of the same thread's.
        """
        file, pid = self._writer, os.getpid()
        claim(self.root)
        with file._lock:
            try:
                con = file._open(make=True)
                assert con
                if con.in_transaction:
                    raise UsageError(
                        f"{self.path} is being written by this thread already; nothing was written. Write in that transaction."
                    )
                con.execute("BEGIN IMMEDIATE")
            except (sqlite3.Error, OSError) as fault:
                raise file._meant(fault, "nothing was written") from fault
            try:
                yield Write(con, self)
                expect_same(pid)
                con.execute("COMMIT")
            except BaseException as fault:
                if os.getpid() == pid:
                    # A full disk ends the transaction by itself.
                    with suppress(sqlite3.Error):
                        con.execute("ROLLBACK")
                if isinstance(fault, sqlite3.Error):
                    raise file._meant(fault, "nothing was written") from fault
                raise

    def keep(self) -> None:
        """Have the disk keep all that was written so far: a loss of power must not take back what a fold is about to commit elsewhere."""
        wal = self.path.with_name(f"{self.path.name}-wal")
        with suppress(FileNotFoundError):
            sync(wal)

    def fold(self, name: str, upto: int) -> None:
        """Take out what a fold has committed of a table, up to a number."""
        with self.writing() as write:
            write.con.execute(
                "INSERT INTO folded VALUES (?, ?) ON CONFLICT (name) DO UPDATE SET seq = max(seq, excluded.seq)", (name, upto)
            )
            write.con.execute("DELETE FROM operations WHERE name = ? AND seq <= ?", (name, upto))
        self._writer._asked(shrunk, f"{self.path} was not made smaller")

    def close(self) -> None:
        """Let go of the file; the next call opens it again."""
        self._reader.close()
        self._writer.close()

    def _asked(self, question: Callable[[sqlite3.Connection], T]) -> T | None:
        """What the file answers in one moment; None if there is none."""

        def asked(con: sqlite3.Connection) -> T:
            con.execute("BEGIN")
            try:
                return question(con)
            finally:
                con.execute("COMMIT")

        return self._reader._asked(asked, "nothing was read")

    def _read(self, con: sqlite3.Connection, name: str, after: int) -> list[Operation]:
        folder = f"{self.rows}/"
        return [
            Operation(seq, full, kind, bool(replaces), key, folder + body if kind in ("puts", "deletes") else body, count, at)
            for seq, full, kind, replaces, key, body, count, at in con.execute(OF, (name, after))
        ]


def expect_same(pid: int) -> None:
    """Raise `UsageError` in a child that was forked inside a transaction: that is its parent's."""
    if os.getpid() != pid:
        raise UsageError(
            "a transaction cannot be ended in a process that was forked in it; nothing was written. End it where it was begun."
        )


def newest(con: sqlite3.Connection, name: str) -> int:
    """The number of the newest operation on a table, in the journal or folded; 0 if there was none."""
    [(found,)] = con.execute(NEWEST, (name,)).fetchall()
    return int(found)


def overtaken(con: sqlite3.Connection, root: Path, name: str, number: int) -> None:
    """Go on from a table that has folded more than the journal knows of: with the next operation, with fresh numbers, and with keys that are built anew."""
    from workbench.lake.records import RecordTable, record_named

    [(last,)] = con.execute(LAST).fetchall()
    if last < number:
        con.execute("DELETE FROM sqlite_sequence WHERE name = 'operations'")
        con.execute("INSERT INTO sqlite_sequence VALUES ('operations', ?)", (number,))
    con.execute("UPDATE indexes SET version = -2 WHERE name = ?", (name,))
    if record := record_named(root, name):
        for column, most in RecordTable(root, record).snapshot().highest.items():
            con.execute("UPDATE numbers SET last = max(last, ?) WHERE name = ? AND of = ?", (most, name, column))


def folded_number(root: Path, name: str, id: str) -> int:
    """The number of the last operation of a journal that a table has folded, by its log; 0 if it has folded none."""
    from workbench.lake.log import TableLog

    log = TableLog(root, name)
    return (log._open().transaction_version(f"{FOLDS}{id}") or 0) if log.exists else 0


@dataclass
class Write:
    """A transaction under way."""

    con: sqlite3.Connection
    operations: Operations
    # How far the tables have folded that were found to be newer than the journal.
    _behind: dict[str, int] = field(default_factory=dict)

    @property
    def root(self) -> Path:
        """The lake's root."""
        return self.operations.root

    def add(
        self, name: str, kind: Kind, *, key: str | None = None, body: str | None = None, count: int = 1, replaces: bool = False
    ) -> None:
        """Write down one operation. The file of `puts` and `deletes` stands in `journal/rows`, and the disk keeps it."""
        self.expect_level(name)
        if kind in ("puts", "deletes"):
            body = os.path.basename(body or "")  # noqa: PTH119
        self.con.execute(ADD, (name, kind, replaces, key, body, count, time.time_ns() // 1000))

    def expect_there(self) -> None:
        """Raise `LakeError` if the journal was taken away meanwhile, or another put into its place: what is written to it nobody would find."""
        self.operations._writer._expect_there("nothing was written")

    def expect_level(self, name: str) -> None:
        """Have numbers go on above what a table has folded: a journal that came from a backup may be older than that, and would write under them."""
        level, opened = self.operations._level, self.operations._writer.opened
        if level.get(name) == opened:
            return
        if name not in self._behind:
            number = folded_number(self.root, name, self.id)
            if number <= newest(self.con, name):
                level[name] = opened
                return
            self._behind[name] = number
        # Again and again in one transaction, since a part of it may be taken back.
        if self._behind[name] > newest(self.con, name):
            overtaken(self.con, self.root, name, self._behind[name])

    def pending(self, name: str, after: int) -> list[Operation]:
        """What the journal holds of a table beyond a number, this transaction's own operations too."""
        return self.operations._read(self.con, name, after)

    @property
    def id(self) -> str:
        """The journal's."""
        [(id,)] = self.con.execute("SELECT id FROM journal").fetchall()
        return str(id)

    @property
    def last(self) -> int:
        """The number of the newest operation, this transaction's own too."""
        [(last,)] = self.con.execute(LAST).fetchall()
        return int(last)

    def number(self, name: str, column: str, count: int, least: int = 0) -> int:
        """The first of `count` fresh numbers for a column, above all given before and above `least`; 0 of them: notes that `least` is taken."""
        told = self.con.execute("SELECT last FROM numbers WHERE name = ? AND of = ?", (name, column)).fetchone()
        last = max(told[0] if told else 0, least)
        if count and (remote := remote_of(self.root)):
            from workbench.lake.claims import claimed

            last = claimed(self.con, remote, name, column, last, count)
        self.con.execute("INSERT OR REPLACE INTO numbers VALUES (?, ?, ?)", (name, column, last + count))
        return int(last + 1)


SIMPLE = (str, int, type(None))
ENCODE = json.JSONEncoder(ensure_ascii=False, separators=(",", ":")).encode


def key_text(values: Sequence[Any]) -> str:
    """The values of a key as the journal keeps and compares them: equal keys have equal texts."""
    return ENCODE([one if type(one) in SIMPLE else plain(one) for one in values])


def plain(value: Any) -> Any:
    """A value as JSON has it, without loss, and the same for the same value."""
    match value:
        case bool() | int() | str() | float() | None:
            return value
        case datetime():
            return value.astimezone(UTC).isoformat(timespec="microseconds")
        case date():
            return value.isoformat()
        case Decimal():
            # 1.50 and 1.5 are one value. Decimal's own arithmetic would round to 28 digits.
            told = format(value, "f")
            return (told.rstrip("0").rstrip(".") if "." in told else told) if value else "0"
        case Mapping():
            return {str(name): plain(one) for name, one in value.items()}
        case list() | tuple():
            return [plain(one) for one in value]
    return str(value)
