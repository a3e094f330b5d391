"""What people write to the lake: rows of the documented tables; and how many rows these hold."""

import threading
from abc import abstractmethod
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from workbench.config import Settings
from workbench.errors import NoLake, UsageError
from workbench.lake.remote.where import remote_of
from workbench.lake.store import Lake
from workbench.query.verbs import Verbs
from workbench.tables import platforms, quote
from workbench.tables.platforms import RECORDS
from workbench.tables.record import Record

if TYPE_CHECKING:
    from workbench.lake.fold import Folded
    from workbench.query.catalog import Catalog
    from workbench.query.ledger import Ahead, Ledger, Within
    from workbench.query.report import Report
    from workbench.query.staging import Batch
    from workbench.query.transactions import Transaction
    from workbench.query.writers import Writer


class Writing(Verbs):
    """The verbs that write rows."""

    lake: Lake
    settings: Settings
    _ledger: "Ledger | None" = None
    _lock: threading.Lock
    _as_of: datetime | None

    # What `Workbench` has, and counting needs.
    snapshots: Any

    @property
    @abstractmethod
    def platform(self) -> str | None:
        """The platform in use."""

    @property
    @abstractmethod
    def catalog(self) -> "Catalog":
        """The DuckDB session, which `Workbench` makes."""

    @property
    def ledger(self) -> "Ledger":
        """What rows are written by, made when it is first needed."""
        with self._lock:
            if self._ledger is None:
                from workbench.query.ledger import Ledger

                ours = self.settings
                self._ledger = Ledger(self.lake.root, self.records, ours.test_rules, ours.bot_version, ours.synchronous)
            return self._ledger

    def take_up(self) -> None:
        """Have what a killed process of this machine left in the journal be folded, where the lake is in a bucket and others wait for it."""
        if remote_of(self.lake.root) and (self.lake.root / "journal" / "records.db").exists():
            self.ledger.folder.take_up()

    def records(self) -> Mapping[str, Record]:
        """The tables that people write to, by full name: the documented ones, and those that were created on this lake."""
        from workbench.lake.declared import records

        return records(self.lake.root)

    def _to(self, table: str) -> Record:
        """The table of a name, if it takes rows now."""
        named = platforms.record(table, self.platform, self.records())
        if not named.takes_rows:
            raise UsageError(
                f"{named.full} is computed from {' and '.join(sources(named))}; nothing was written. Write to what it is made of."
            )
        self._expect_writable(named.full)
        return named

    def _expect_writable(self, what: str) -> None:
        """Raises `UsageError` where there is no lake that changes."""
        if self._as_of:
            raise UsageError(
                f"this is the lake as of {self._as_of}, which cannot change; nothing was written to {what}. Open it without as_of."
            )
        if not self.lake.exists:
            raise NoLake(
                f"{self.lake.where} holds no lake; nothing was written to {what}. Make one with `workbench refresh`, or `workbench demo`."
            )

    @contextmanager
    def _within(self, what: str, *, durable: bool = False) -> "Iterator[Within]":
        """A transaction of a verb's own."""
        with self.ledger.writing(what, durable=durable) as within:
            yield within
        self.ledger.settle(within)

    def _ahead(self, batch: "Batch") -> "Ahead | None":
        from workbench.query.transactions import large

        return large(self.ledger, batch)

    def transaction(self, *, durable: bool = False) -> "Transaction":
        """Writes to several tables that are seen together, or not at all: `with bench.transaction() as t: t.append(…); t.upsert(…)`.

        `t` has append, upsert, delete, add and get. All that it wrote stands when the block ends, and nothing of it if the block raises, or the
        process is killed. From its first verb on, `get` with them, other writers wait for its end, up to 30 s: fetch what takes time before. It is its thread's own;
        queries see what it wrote after its end, `t.get` at once. With `durable` it waits at its end as `append` does; each table gets a commit of its own, and
        another machine may see one before the other. Raises `UsageError` within another, and for any use after its end.
        """
        from workbench.query.transactions import Transaction

        return Transaction(self.ledger, self._to, self.get, self.ledger.settle, durable=durable)

    def writer(self, table: str, *, bot_version: str | None = None, loaded_from: str | None = None, durable: bool = False) -> "Writer":
        """Takes single rows of a documented table, each durable when `append` returns its key: `with bench.writer("kraken_bot.signals") as w: w.append(row)`.

        Any number of processes and threads may write at once. Rows are checked and filled in as by `append`, and go into Delta by and by; with `durable`
        each is in a commit when its `append` returns, at the cost of one.
        Raises `UnknownName` and `UsageError` as `append` does.
        """
        from workbench.query.writers import Writer

        record, ledger = self._to(table), self.ledger
        return Writer(
            ledger,
            record,
            ledger.filling(record, bot_version=bot_version, loaded_from=loaded_from),
            self.get,
            ledger.settle,
            durable=durable,
        )

    def create_table(self, table: str, columns: Mapping[str, str], *, key: Sequence[str] | str | None = None, doc: str = "") -> None:
        """Declare a table of one's own, kept with the lake: `create_table("derived.my_factor", {"symbol": "VARCHAR", "date": "DATE", "value": "DOUBLE"}, key=("symbol", "date"))`.

        It stands in the schema derived, strategies or execution, and from then on every bench on the lake has it, to write to and to query, as the
        documented tables. Columns are names with DuckDB's types; those of the key every row must have. The same declaration again does nothing.
        Raises `UsageError` for a name, type or key that cannot be, and if the table is there with other columns.
        """
        from workbench.lake.declared import declare
        from workbench.query.creating import declaration

        record = declaration(table, columns, key, doc)
        self._expect_writable(record.full)
        declare(self.lake.root, record)

    def reset_tables(self, scope: str | Sequence[str] | None = None, *, dry_run: bool = False) -> "Report":
        """Take out all rows that people wrote, of a platform's tables, a schema's, one table, several of these, or all, in one transaction; gives their numbers.

        What market data feeds stays; `reset` empties that. `dry_run` only tells. Declarations stay, and numbers are counted on. Raises `UnknownName`,
        and `BrokenRule` if rows of a table that is not meant refer to some that are.
        """
        from workbench.query.emptying import emptied, meant

        tables = meant(list(self.records().values()), scope)
        self._expect_writable(", ".join(one.full for one in tables) if scope else "any table")
        with self._within(scope if isinstance(scope, str) else "any table") as within:
            return emptied(within, tables, dry_run=dry_run)

    def fold(self) -> "list[Folded]":
        """Fold all that the records' journal holds into Delta, which happens by itself by and by, and give what was folded of each table.

        What another process folds meanwhile is left to it. Raises `LakeError` as for a full disk; the journal keeps everything then.
        """
        from workbench.lake.fold import fold_all

        return fold_all(self.lake.root, self.ledger.operations)

    def set_apart(self, *, forget: bool = False) -> "Report":
        """The rows that this machine wrote and that are not in the lake, since another machine had committed rows of their keys first.

        That happens on a lake in a bucket alone, where two machines append a row of one key within the second that a fold takes. A row for each: table,
        key, and the row as JSON. `forget` lets go of them, once they have been looked at. Raises `LakeError` for a journal that cannot be read.
        """
        from workbench.lake import apart
        from workbench.query.report import Report

        journal = self.ledger.operations
        found = apart.kept(journal)
        rows = [
            {"table": one.name, "key": one.key, "row": one.body, "at": datetime.fromtimestamp(one.at / 1_000_000, UTC)} for one in found
        ]
        if forget:
            apart.forget(journal, found)
        told = apart.said(found) if found else "no row of this machine's was set apart"
        return Report(
            f"{self.lake.where}: {told}{'; they are let go of' * (forget and bool(found))}", rows, root=self.lake.where, forgotten=forget
        )

    def get(self, table: str, key: object) -> dict[str, Any] | None:
        """The row of a key as `sql` gives it, or None if there is none: `get("kraken_bot.signals", 7)`.

        Of a key of several columns it takes a tuple or a dict. Of a table that market data feeds, it looks among the rows that people wrote.
        Raises `UnknownName` for a table, `UsageError` for what is no key of it.
        """
        from workbench.query.deletes import key_of

        record = platforms.record(table, self.platform, self.records())
        return self.catalog.getting.row(record, key_of(record, key))

    def table_counts(self, platform: str | None = None) -> dict[str, int]:
        """The number of rows of each documented table of a platform, by its name there; or of every table, by full name.

        What market data feeds is counted with it. A platform's views of parts of its tables are counted, too, as `prod_trades`.
        Raises `UnknownName`.
        """
        from workbench.query.documented import every

        own = self.records()
        views = {full: (view.schema, view.name) for full, view in every().items() if view.kind == "view"}
        views |= {full: (one.schema, one.name) for full, one in own.items() if full not in RECORDS}
        if platform is None:
            base = {name: shot.rows for name, shot in self.snapshots().items()}
            return base | {full: self._count(full) for full in own if full in views}
        schemas = platforms.platform(platform).schemas
        names = Counter(name for schema, name in views.values() if schema in schemas)
        # A name that two of a platform's schemas have is told with its schema's.
        told = {full: name if names[name] == 1 else full for full, (schema, name) in views.items() if schema in schemas}
        return {name: self._count(full) for full, name in told.items()}

    def _count(self, full: str) -> int:
        """The rows of a documented table or view."""
        if (record := self.records().get(full)) and not record.fed:
            return self.catalog.records.count(full)
        [(count,)] = self.catalog.ask(f"SELECT count(*) FROM {'.'.join(map(quote, full.split('.')))}").fetchall()  # type: ignore[union-attr]
        return int(count)


def sources(record: Record) -> tuple[str, ...]:
    """What a table is computed from."""
    return tuple("the calendar" if one == "calendar" else one for one in record.fed) or ("other tables",)
