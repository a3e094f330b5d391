"""What the verbs that write rows do within a transaction, and transactions of several verbs."""

import os
import sqlite3
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from typing import TYPE_CHECKING, Any, Self

from workbench.errors import UsageError
from workbench.lake.disk import disk
from workbench.query.deletes import of_key
from workbench.query.ledger import LARGE, OPEN, Ahead, Ledger, Within, written_out
from workbench.query.provenance import versioned
from workbench.query.references import rows_broken
from workbench.query.staging import Batch, asking, refusal, shaped
from workbench.query.upserts import merged
from workbench.query.verbs import Verbs
from workbench.tables.record import Record

if TYPE_CHECKING:
    import pyarrow as pa


def appended(within: Within, batch: Batch, ahead: Ahead | None = None) -> int:
    """Write rows down that are none of those there; `ahead` has them where they are many."""
    if ahead:
        within.keeps(ahead.file)
    rows = checked(within, batch, ahead)
    within.put(batch.record, rows, replaces=False, file=ahead.file if ahead else None)
    return len(rows)


def upserted(within: Within, batch: Batch) -> int:
    """Write rows down in the place of those of their keys."""
    import pyarrow.compute as pc

    there = merged(batch, within.there(batch.record.full))
    batch.complete()
    rows = checked(within, batch, replaces=True)
    if (old := rows.filter(there)) and len(old):
        within.put(batch.record, old, replaces=True)
    within.put(batch.record, rows.filter(pc.invert(there)), replaces=False)
    return len(rows)


def checked(within: Within, batch: Batch, ahead: Ahead | None = None, *, replaces: bool = False) -> "pa.Table":
    """The rows of a batch, numbered and filled in, as they go in beside those that are there. Raises `BrokenRule` with all that is wrong."""
    record, records = batch.record, within.ledger.records()
    rows = ahead.rows if ahead else versioned(record, batch.decided(within.numbering(record)), records, within.there)
    # Numbers that were taken before are nobody's only if nobody has written since: others may have said theirs themselves.
    fresh = batch.fresh if not ahead or ahead.newest == within.newest(record.full) else no_column
    broken = batch.broken + rows_broken(record, rows, within.there, fresh, replaces=replaces)
    if broken:
        raise refusal(record, broken, batch.count)
    return rows


def no_column(_columns: Sequence[str]) -> bool:
    """Nothing is known of any column."""
    return False


def shown(record: Record, rows: "pa.Table") -> dict[str, Any]:
    """A row, as `sql` gives it."""
    with asking() as con:
        con.register("__added", rows)
        [row] = con.execute(f"SELECT {', '.join(map(shaped, record.columns))} FROM __added").fetchall()
    return dict(zip(record.names, row, strict=True))


class Transaction(Verbs):
    """Writes to any tables that are seen together, or not at all. Of one thread; others wait from its first verb on, until it ends."""

    def __init__(
        self,
        ledger: Ledger,
        find: Callable[[str], Record],
        get: Callable[[str, object], dict[str, Any] | None],
        settle: Callable[[Within], None],
        *,
        durable: bool = False,
    ):
        self._ledger, self._find, self._get, self._settle = ledger, find, get, settle
        self._stack = ExitStack()
        self._open: Within | None = None
        # Whether its end waits for commits, and the newest operation before it.
        self._durable, self._since = durable, 0
        self._thread: int | None = None
        self._pid = 0
        self._ended = False

    @property
    def ledger(self) -> Ledger:
        """What they are written by."""
        return self._ledger

    def __enter__(self) -> Self:
        if self._ended or self._thread is not None:
            raise UsageError("this transaction was begun already; nothing was written. Begin another with bench.transaction().")
        if self._ledger.mine in OPEN:
            raise UsageError(
                "a transaction is open in this thread, and none begins within it; nothing was written. Write by the one that is open."
            )
        self._thread, self._pid = threading.get_ident(), os.getpid()
        OPEN.add(self._ledger.mine)
        return self

    def __exit__(self, *exc: Any) -> None:
        OPEN.discard((self._ledger.root, self._thread or 0))
        self._ended = True
        within = self._open
        upto = within.write.last if within and exc[0] is None and self._durable else 0
        self._stack.__exit__(*exc)
        if within and exc[0] is None:
            self._settle(within)
            if upto:
                self._ledger.lasting(within.written, self._since, upto)

    def _to(self, table: str) -> Record:
        self._expect_open()
        return self._find(table)

    def _expect_open(self) -> None:
        if self._ended:
            raise UsageError("this transaction has ended; nothing was written. Begin another with bench.transaction().")
        if self._thread is None:
            raise UsageError("this transaction was not begun; nothing was written. Write in `with bench.transaction() as t:`.")
        if self._thread != threading.get_ident():
            raise UsageError("this transaction is another thread's; nothing was written. Begin one in each thread.")
        if self._pid != os.getpid():
            raise UsageError("this transaction is that of the process that this one was forked from; nothing was written. Begin one here.")

    @contextmanager
    def _within(self, what: str, *, durable: bool = False) -> Iterator[Within]:
        """The one transaction, begun by the first verb; what a verb wrote that fails is taken back, and the rest stands."""
        self._expect_open()
        if durable and not self._durable:
            raise UsageError(
                "a transaction ends whole, and so its end is what waits; nothing was written. Begin it with bench.transaction(durable=True)."
            )
        if self._open is None:
            self._open = self._stack.enter_context(self._ledger.journal(f"{what}, nor by the transaction to any table"))
            self._since = self._open.write.last
        within = self._open
        within.write.con.execute("SAVEPOINT verb")
        try:
            yield within
        except BaseException:
            within.looks_anew()
            # After some errors, as of a full disk, SQLite has taken back all: then the end of the transaction is refused.
            with suppress(sqlite3.Error):
                within.write.con.execute("ROLLBACK TO verb")
                within.write.con.execute("RELEASE verb")
            raise
        within.write.con.execute("RELEASE verb")

    def _ahead(self, _batch: Batch) -> Ahead | None:
        return None

    def get(self, table: str, key: object) -> dict[str, Any] | None:
        """The row of a key as the transaction sees it, its own writes with it; None if there is none. Raises as `bench.get` does.

        From then on nobody else changes it until the end: what is written may be worked out from it.
        """
        record = self._to(table)
        if not record.takes_rows or not record.key:
            return self._get(table, key)
        with self._within(record.full) as within:
            rows = of_key(within.there(record.full), record.names, key)
        return shown(record, rows) if len(rows) else None


def added(within: Within, batch: Batch) -> dict[str, Any]:
    """Write one row down, and give it as it is kept."""
    rows = checked(within, batch)
    within.put(batch.record, rows, replaces=False)
    return shown(batch.record, rows)


def large(ledger: Ledger, batch: Batch) -> Ahead | None:
    """The rows of a large batch with their numbers and versions, in a file; None for a small one, and for one that is refused."""
    if batch.count < LARGE or batch.broken:
        return None
    record = batch.record
    with ledger.writing(record.full) as within:
        rows = versioned(record, batch.decided(within.numbering(record)), ledger.records(), within.there)
        newest = within.newest(record.full)
    with disk(ledger.root, f"nothing was written to {record.full}"):
        return Ahead(rows, written_out(ledger.operations.rows, rows), newest)
