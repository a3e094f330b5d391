"""The journal: what was tried and did not land, in SQLite, since a commit that was not made can carry no record.

What did land stands in the Delta commits; `query.synclog` shows both together. Write-ahead logging lets any number of processes write, and
a process that is killed leaves what it recorded. A journal that is damaged is set aside and a new one begun: a refresh never waits for it,
and of the data nothing depends on it.
"""

import sqlite3
import uuid
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, fields, replace
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

from workbench import __version__
from workbench.lake.sqlitefile import DAMAGED, Opened, SqliteFile, code_of, whole
from workbench.lake.store import utc_now

# How the reason of a run ends that came to its end without bringing some of what it was for.
NOTHING = "brought nothing"

T = TypeVar("T")


class Stamp(NamedTuple):
    """How far a journal has come: which file it is, and the number of its newest attempt."""

    file: Opened | None
    newest: int


@dataclass(frozen=True)
class Attempt:
    """One thing that was tried: a row of `data_sync_log`, in its documented columns.

    `status` is started, success, no_data, failed, skipped, quarantined or superseded. The `reason` of a failure begins with the error's
    class: "NotEntitled: …". Instants are ISO texts in UTC. What is empty of `id`, `started_at`, `finished_at` and `library_version` is
    filled in when it is recorded; of what is only started, no end.
    """

    run_id: str
    sync_type: str
    dataset: str
    source: str
    status: str
    symbol: str | None = None
    session: date | None = None
    fallback_from: str | None = None
    reason: str | None = None
    rows: int = 0
    quarantined: int = 0
    bytes: int = 0
    object_key: str | None = None
    etag: str | None = None
    started_at: str = ""
    finished_at: str = ""
    duration_ms: int = 0
    library_version: str = ""
    id: str = ""


COUNTED = ("rows", "quarantined", "bytes", "duration_ms")
NAMES = tuple(field.name for field in fields(Attempt))
COLUMNS = {name: "INTEGER NOT NULL DEFAULT 0" if name in COUNTED else "TEXT" for name in NAMES}


class Journal(SqliteFile):
    """The attempts of one lake, at `journal/journal.db` under its root. The file is made by the first record. Safe for threads and forks."""

    def __init__(self, root: Path):
        super().__init__(root, "journal")
        # What happened to the journal itself in this process, in sentences: that it was damaged and set aside.
        self.notes: list[str] = []

    # ------------------------------------------------------------------ write, read

    def record(self, attempts: Iterable[Attempt]) -> None:
        """Keep attempts, all or none; they outlive the process when this returns. The same id twice is one.

        Raises `LakeError` if the disk is full or cannot be written, `Busy` if another process does not let go of the journal.
        """
        made = [complete(one) for one in attempts]
        if made:
            undone = f"{len(made)} attempt{'s' * (len(made) != 1)} of {made[0].dataset} {'were' if len(made) > 1 else 'was'} not recorded"
            self._asked(lambda con: insert(con, made), undone, make=True)

    def attempts(self, dataset: str | None = None, since: str | None = None) -> list[Attempt]:
        """What was recorded, oldest first: of one dataset, and not ended before an instant, if they are given."""
        told = (dict(zip(NAMES, row, strict=True)) for _, *row in self.rows(dataset=dataset, since=since))
        return [Attempt(**one | {"session": day(one["session"])}) for one in told]

    def rows(self, after: int = 0, *, dataset: str | None = None, since: str | None = None) -> list[tuple[Any, ...]]:
        """Attempts as they are kept, each with its number before the fields: those above `after`, for who has read the others before."""
        tests, values = ["seq > ?"], list[object]([after])
        if dataset is not None:
            tests, values = [*tests, "dataset = ?"], [*values, dataset]
        if since is not None:
            tests, values = [*tests, "coalesce(nullif(finished_at, ''), started_at) >= ?"], [*values, instant(since)]
        query = f"SELECT seq, {', '.join(NAMES)} FROM attempts WHERE {' AND '.join(tests)} ORDER BY seq"
        return self._asked(lambda con: con.execute(query, values).fetchall(), "no attempt was read") or []

    def broken_off(self) -> list[str]:
        """The tables of refreshes that did not come to their end, and of which no later one, which did, has made up for."""
        # One that brought nothing has failed, and has come to its end.
        status = f"CASE WHEN reason LIKE '% {NOTHING}' THEN 'success' ELSE status END"
        query = f"SELECT run_id, {status}, dataset FROM attempts WHERE sync_type = 'refresh' AND session IS NULL ORDER BY seq DESC"

        def asked(con: sqlite3.Connection) -> dict[str, None]:
            ended: list[str] = []
            found: dict[str, None] = {}
            for run, status, tables in con.execute(query):
                if status == "success":
                    ended.append(run)
                elif status == "started" and ended and run == ended[0]:
                    # It has seen to whatever was left before it began.
                    break
                elif status == "started" and run not in ended:
                    found |= dict.fromkeys(tables.split(", "))
            return found

        return list(self._asked(asked, "the journal was not read") or ())

    def stamp(self) -> "Stamp":
        """Something that is equal to what it was before if nothing was recorded since, by any process."""
        query = "SELECT coalesce(max(seq), 0) FROM attempts"
        newest = self._asked(lambda con: int(con.execute(query).fetchall()[0][0]), "the journal was not read")
        return Stamp(self._opened, newest or 0)

    # ------------------------------------------------------------------ the file

    def _prepare(self, con: sqlite3.Connection) -> None:
        prepare(con)

    def _asked(self, question: Callable[[sqlite3.Connection], T], undone: str, *, make: bool = False) -> T | None:
        """What the open file answers; None if there is none. A damaged one is set aside, and a new one asked."""
        with self._lock:
            for again in (True, True, False):
                try:
                    return super()._asked(question, undone, make=make)
                except Exception as meant:
                    fault = meant.__cause__
                    if not again or not isinstance(fault, sqlite3.Error) or code_of(fault) not in DAMAGED:
                        raise
                    self._set_aside(str(fault), undone)
        return None

    def _set_aside(self, why: str, undone: str) -> None:
        """Give a damaged file another name, so that a new one can be begun, and say so in the new one."""
        found = self._identity()
        self.close()
        try:
            with self._alone():
                if found is None or self._identity() != found:
                    # Another process was first.
                    return
                name = f"{self.path.name}.damaged-{datetime.now(UTC):%Y%m%dT%H%M%S}-{uuid.uuid4().hex[:4]}"
                for ending in ("-wal", "-shm", ""):
                    part = self.path.with_name(self.path.name + ending)
                    if part.exists():
                        part.rename(self.path.with_name(name + ending))
                note = (
                    f"{self.path} is damaged ({why}): it was renamed to {name} and a new journal was begun. What failed before is no longer "
                    "in data_sync_log; no landed row was lost. Bring it back from a backup, or remove it."
                )
                self.path.with_name(f"{name}.txt").write_text(note + "\n")
        except OSError as fault:
            raise self._meant(fault, undone) from fault
        self.notes.append(note)
        self.record([Attempt("", "journal", "data_sync_log", "", "failed", reason=f"LakeError: {note}")])

    def _identity(self) -> tuple[int, int] | None:
        try:
            stat = self.path.stat()
        except FileNotFoundError:
            return None
        return stat.st_dev, stat.st_ino


def prepare(con: sqlite3.Connection) -> None:
    """Make the tables, or what they lack of this version's columns."""
    con.execute("PRAGMA journal_mode = WAL").fetchall()
    with whole(con):
        columns = ", ".join(f"{name} {kind}" for name, kind in COLUMNS.items())
        con.execute(f"CREATE TABLE IF NOT EXISTS attempts (seq INTEGER PRIMARY KEY AUTOINCREMENT, {columns})")
        held = {row[1] for row in con.execute("PRAGMA table_info(attempts)").fetchall()}
        for name in COLUMNS.keys() - held:
            con.execute(f"ALTER TABLE attempts ADD COLUMN {name} {COLUMNS[name]}")
        con.execute("CREATE UNIQUE INDEX IF NOT EXISTS attempts_id ON attempts (id)")
        con.execute("CREATE INDEX IF NOT EXISTS attempts_dataset ON attempts (dataset)")
        con.execute(f"PRAGMA user_version = {Journal.SCHEMA}")


def insert(con: sqlite3.Connection, attempts: Sequence[Attempt]) -> None:
    """Add attempts in one transaction."""
    text = f"INSERT OR IGNORE INTO attempts ({', '.join(NAMES)}) VALUES ({', '.join('?' * len(NAMES))})"
    with whole(con):
        con.executemany(text, [tuple(plain(getattr(one, name)) for name in NAMES) for one in attempts])


def complete(attempt: Attempt) -> Attempt:
    """An attempt with what it left to be filled in."""
    now = utc_now()
    ended = attempt.finished_at or ("" if attempt.status == "started" else now)
    began = datetime.fromisoformat(ended or now) - timedelta(milliseconds=attempt.duration_ms)
    return replace(
        attempt,
        id=attempt.id or uuid.uuid4().hex,
        started_at=instant(attempt.started_at or began.isoformat()),
        finished_at=instant(ended) if ended else "",
        library_version=attempt.library_version or __version__,
    )


def instant(text: str) -> str:
    """An instant as all are kept, so that texts compare as times do; one without a zone is of UTC."""
    at = datetime.fromisoformat(text)
    return (at if at.tzinfo else at.replace(tzinfo=UTC)).astimezone(UTC).isoformat(timespec="milliseconds")


def plain(value: object) -> object:
    """A value as SQLite keeps it."""
    if isinstance(value, str):
        # An error may quote the name of a file that is no text.
        return value.encode(errors="backslashreplace").decode()
    return value.isoformat() if isinstance(value, date) else value


def day(text: str | None) -> date | None:
    """A session as Python has it."""
    return date.fromisoformat(text) if text else None
