"""The verbs that write rows of the documented tables: of a bench each in a transaction of its own, of `bench.transaction()` all in one."""

from abc import abstractmethod
from collections.abc import Mapping
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING, Any

from workbench.errors import UsageError
from workbench.tables.record import Record

if TYPE_CHECKING:
    from workbench.query.ledger import Ahead, Ledger, Within
    from workbench.query.staging import Batch


class Verbs:
    """What writes rows of the documented tables."""

    @property
    @abstractmethod
    def ledger(self) -> "Ledger":
        """What they are written by."""

    @abstractmethod
    def _to(self, table: str) -> Record:
        """The table of a name, if it takes rows now."""

    @abstractmethod
    def _within(self, what: str, *, durable: bool = False) -> "AbstractContextManager[Within]":
        """The transaction to write in, as a context manager; with `durable` what it wrote stands in commits when it ends."""

    def append(
        self, table: str, rows: object, *, bot_version: str | None = None, loaded_from: str | None = None, durable: bool = False
    ) -> int:
        """Write rows to a documented table, all or none, and give their number: `append("kraken_bot.signals", [{…}, {…}])`.

        A table of the platform in use goes by its bare name, too.
        `rows` are dicts, a Polars or Pandas frame, an Arrow table, or a relation of `sql`. Values are taken if nothing of them is lost: times need
        a zone, JSON comes as an object or as its text. Columns left out take their defaults; numbered rows are counted on. Rows of a table that
        market data feeds stand in `imported.<schema>_<name>`, and show beside the lake's own where these lack their key.
        `bot_version` and `loaded_from` fill columns of these names where rows say nothing; so do rules that tell a test's rows.
        Others may write at the same time. When it returns, the rows outlive this process, and the next `sql` of any process of this machine sees them;
        of a lake in a bucket, other machines see them within a second or so. With `durable` it returns when they stand in a commit of the lake, for every
        machine and whatever becomes of this one; it raises `BrokenRule` if another machine has committed a row of the same key first, and `Busy` or
        `LakeError` where no commit comes to stand: the rows are in this machine's journal then, and are committed later.
        Raises `UnknownName` for a table or column, `UsageError` for a table that is computed and for what holds no rows, and `BrokenRule` with
        every row that the table cannot take, and why.
        """
        from workbench.query.staging import staged
        from workbench.query.transactions import appended

        record = self._to(table)
        batch = staged(record, rows, self.ledger.filling(record, bot_version=bot_version, loaded_from=loaded_from))
        if not batch.count:
            return 0
        ahead = self._ahead(batch)
        with self._within(record.full, durable=durable) as within:
            return appended(within, batch, ahead)

    @abstractmethod
    def _ahead(self, batch: "Batch") -> "Ahead | None":
        """The rows of a large batch, where they are numbered and written to a file before the transaction that names it."""

    def upsert(
        self, table: str, rows: object, *, bot_version: str | None = None, loaded_from: str | None = None, durable: bool = False
    ) -> int:
        """Write rows to a documented table, each in the place of the row of its key if there is one, all or none; gives their number.

        Columns left out keep what the row there has, or take their default where there is none; `updated_at` is set anew unless a row says it.
        Rows are what `append` takes. Raises as `append` does, and `UsageError` for a table without a key.
        """
        from workbench.query.staging import typed_in
        from workbench.query.transactions import upserted

        record = self._to(table)
        if not record.key:
            raise UsageError(f"{record.full} has no key to find rows by; nothing was written. Use append.")
        batch = typed_in(record, rows, self.ledger.filling(record, bot_version=bot_version, loaded_from=loaded_from))
        if not batch.count:
            return 0
        with self._within(record.full, durable=durable) as within:
            return upserted(within, batch)

    def delete(self, table: str, where: str | None = None, /, *, key: object = None, durable: bool = False, **values: object) -> int:
        """Take rows out of a documented table, and give their number: `delete("kraken_bot.trades", "symbol = $pair", pair="BTCUSD")`.

        `where` is an SQL condition over the table's columns, in which `$name` takes the value passed as `name`; `key` is a row's key instead: a
        value, or of several columns a tuple or a dict. `durable` is that of `append`. Raises `QueryError` for a condition that DuckDB does not take, `UsageError` for none, and
        `BrokenRule` if rows of another table refer to one that is to go; nothing is deleted then.
        """
        from workbench.query.deletes import deleted

        record = self._to(table)
        if (where is None) == (key is None) or (values and where is None):
            raise UsageError(
                f"say which rows of {record.full} by a condition or by their key; nothing was deleted. reset_tables empties tables."
            )
        with self._within(record.full, durable=durable) as within:
            return deleted(within, record, where, key, values)

    def add(
        self, table: str, row: Mapping[str, Any], *, bot_version: str | None = None, loaded_from: str | None = None, durable: bool = False
    ) -> dict[str, Any]:
        """Write one row to a documented table, and give it back as it is kept, with its number and defaults. Raises as `append` does."""
        from workbench.query.staging import staged
        from workbench.query.transactions import added

        record = self._to(table)
        batch = staged(record, [row], self.ledger.filling(record, bot_version=bot_version, loaded_from=loaded_from))
        with self._within(record.full, durable=durable) as within:
            return added(within, batch)
