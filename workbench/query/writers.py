"""Single rows on their way into a table: each in a transaction of its own, on the disk of this machine when `append` returns."""

import threading
from collections.abc import Callable, Mapping
from typing import Any, Self

from workbench.errors import UsageError
from workbench.lake import keys
from workbench.lake.operations import Write, key_text, newest
from workbench.lake.pending import encoder
from workbench.lake.remote.where import remote_of
from workbench.query.ledger import OPEN, Ledger, Within
from workbench.query.provenance import DEFINITIONS, STRATEGIES, VERSION, defined, follows, hashed, hashes
from workbench.query.rowwise import Odd, Rowwise
from workbench.query.staging import staged
from workbench.query.tagging import Filling
from workbench.query.transactions import checked
from workbench.tables.record import Record

NUMBER = "UPDATE numbers SET last = last + 1 WHERE name = ? AND of = ? AND last < ? RETURNING last"
# The greatest number that a BIGINT has.
MOST = 2**63 - 1
# So many versions of rows that others refer to are remembered.
REMEMBERED = 100_000

Get = Callable[[str, object], dict[str, Any] | None]


class Writer:
    """Takes single rows of one table: `with bench.writer("kraken_bot.signals") as w: key = w.append(row)`. Safe for threads."""

    def __init__(
        self, ledger: Ledger, record: Record, filling: Filling, get: Get, settle: Callable[[Within], None], *, durable: bool = False
    ):
        self.record = record
        self._ledger, self._filling, self._get, self._settle = ledger, filling, get, settle
        self._wrote, self._durable = ledger.folder.wrote, durable
        # Of a lake in a bucket, whose numbers other machines give, too.
        self._shared = remote_of(ledger.root) is not None
        self._rowwise, self._encode = Rowwise(record, filling), encoder(record)
        records = ledger.records()
        self._serials = [one.name for one in record.columns if one.serial]
        self._others = [(one, records[one.table]) for one in record.references]
        self._hashes, self._follows = hashes(record), follows(record, records)
        # The definitions of strategies as of an operation on them, with the hashes of those that were named.
        self._definitions: tuple[int, dict[str, dict[str, Any]], dict[tuple[str, ...], str]] = (-1, {}, {})
        self._versions: dict[str, str | None] = {}
        self._lock = threading.Lock()
        self._ended = False

    def __repr__(self) -> str:
        return f"<Writer of {self.record.full}>"

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self._ended = True

    def append(self, row: Mapping[str, Any]) -> Any:
        """Write one row, and give its key: a value, or a tuple of several; None of a table without one.

        When it returns, the row outlives this process, and the next `sql` of any process sees it. Raises `BrokenRule` with all that is wrong with
        the row, as `bench.append` does, and `UsageError` after the writer's end, and within a transaction of the same thread.
        """
        if self._ended:
            raise UsageError(f"this writer has ended; nothing was written to {self.record.full}. Take another by bench.writer.")
        made = self._rowwise(row) if isinstance(row, Mapping) else None
        if made is None or (OPEN and self._ledger.mine in OPEN):
            return self._judged(row)
        if self._follows and made[VERSION] is None:
            made[VERSION] = self._theirs(made)
        try:
            with self._ledger.operations.writing() as write:
                since = write.last if self._durable else 0
                key = self._put(write, made)
                upto = write.last if self._durable else 0
        except Odd:
            return self._judged(row)
        if self._durable:
            self._ledger.lasting((self.record.full,), since, upto)
            return key
        self._wrote(self.record.full)
        return key

    def _put(self, write: Write, made: dict[str, Any]) -> Any:
        """Write a row down. Raises `Odd` for one that there are doubts about."""
        record, fresh = self.record, set()
        write.expect_level(record.full)
        for name in self._serials:
            if made[name] is None:
                made[name] = self._number(write, name)
                fresh.add(name)
            else:
                Within(self._ledger, write).number(record, record[name], 0, made[name])
        text = key_text([made[name] for name in record.key]) if record.key else None
        for columns in (record.key, *record.unique):
            if not columns or any(made[name] is None for name in columns):
                continue
            its = text if columns is record.key and text else key_text([made[name] for name in columns])
            if not fresh.intersection(columns) and keys.known(write, record, columns, [its]):
                raise Odd
            keys.admit(write, record, columns, [its])
        for reference, other in self._others:
            values = [made[name] for name in reference.columns]
            if None not in values and not keys.known(write, other, reference.to, [key_text(values)]):
                raise Odd
        if self._hashes and made[VERSION] is None:
            made[VERSION] = self._hash(write, made[STRATEGIES])
        write.add(record.full, "put", key=text, body=self._encode(made))
        return made[record.key[0]] if len(record.key) == 1 else tuple(made[name] for name in record.key) or None

    def _number(self, write: Write, name: str) -> int:
        """A fresh number."""
        # Of a table with rows of before the journal, the first is found by its log.
        told = [] if self._shared else write.con.execute(NUMBER, (self.record.full, name, MOST)).fetchall()
        return int(told[0][0]) if told else Within(self._ledger, write).number(self.record, self.record[name], 1, 0)

    def _judged(self, row: object) -> Any:
        """Write a row by the way of batches, which tells what is wrong with it."""
        record = self.record
        batch = staged(record, [row], self._filling)
        with self._ledger.writing(record.full, durable=self._durable) as within:
            rows = checked(within, batch)
            within.put(record, rows, replaces=False)
        self._settle(within)
        [made] = rows.select(list(record.key)).to_pylist() if record.key else [{}]
        return tuple(made.values()) if len(made) > 1 else next(iter(made.values()), None)

    # ------------------------------------------------------------------ versions of strategies

    def _hash(self, write: Write, named: Any) -> str | None:
        """The hash of the strategies that a row names, as they are defined now."""
        names = tuple(named) if isinstance(named, Mapping) else tuple(name for name, _ in named or ())
        if not names:
            return None
        full = f"{self.record.schema}.{DEFINITIONS}"
        at = newest(write.con, full)
        if self._definitions[0] != at:
            self._definitions = at, defined(Within(self._ledger, write).there(full)), {}
        _, definitions, known = self._definitions
        if names not in known:
            known[names] = hashed(names, definitions)
        return known[names]

    def _theirs(self, made: Mapping[str, Any]) -> str | None:
        """The version of the row that a row refers to."""
        assert self._follows
        values = tuple(made[name] for name in self._follows.columns)
        if None in values:
            return None
        found = self._get(self._follows.table, dict(zip(self._follows.to, values, strict=True)))
        return found[VERSION] if found else None
