"""A bench for people who may only read: what looks at the lake works as it does, whatever changes it is refused, and SQL goes through a gate."""

from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from datetime import datetime
from functools import wraps
from typing import TYPE_CHECKING, Any, Never, Self

from workbench.bench import Workbench
from workbench.config import Settings
from workbench.errors import NotAllowed
from workbench.tables import platforms

if TYPE_CHECKING:
    import duckdb

# Verbs that only look: at anybody's rows as `sql` does; at the market's, which are in main; and at the lake as a whole.
ANYBODYS = frozenset(("sql", "get", "use", "reading", "records", "pin", "close"))
MARKETS = frozenset(
    (
        "bars",
        "bars_from_trades",
        "trades",
        "quotes",
        "trades_with_quotes",
        "actions",
        "gaps",
        "coverage",
        "calendar",
        "tickers",
        "quality",
        "snapshots",
    )
)
WHOLE = frozenset(("status", "health", "metrics", "tables", "table_counts", "imports", "verify", "history", "diff"))


class Reading(Workbench):
    """A bench that cannot write: every verb that could raises `NotAllowed`, and `sql` takes queries only.

    It keeps a program, or a notebook, from writing by mistake, and whoever only hands it SQL from writing at all; it does not keep apart code that
    runs in its own process. Each result is a relation in a DuckDB of its own, which knows nothing of the lake.
    """

    def __init__(self, settings: Settings, as_of: datetime | None = None, schemas: Collection[str] | None = None):
        super().__init__(settings, as_of)
        from workbench.query.guarded import Guarded

        self.guarded = Guarded(self, schemas)
        self._shown: duckdb.DuckDBPyConnection | None = None

    def __repr__(self) -> str:
        return f"<Workbench on {self.lake.where}, to read only>"

    @property
    def schemas(self) -> tuple[str, ...] | None:
        """The schemas whose tables may be named; None for all."""
        return self.guarded.schemas

    def sql(self, query: str, /, **values: object) -> "duckdb.DuckDBPyRelation":
        """Run one query over the tables that may be named; `$name` in it takes the value passed as `name`.

        Gives a relation that runs it anew each time that it is read, in a DuckDB of its own. Raises `NotAllowed` for anything but a query, and
        for what may not be named in one, and `QueryError`.
        """
        return self.guarded.again(query, values, platform=self.platform).relation(self._apart())

    def _apart(self) -> "duckdb.DuckDBPyConnection":
        """The DuckDB that results stand in: it opens nothing, and holds no table."""
        with self._lock:
            if self._shown is None:
                import duckdb

                from workbench.query.views import literal

                self._shown = duckdb.connect(config={"temp_directory": ""})
                for statement in (
                    f"SET GLOBAL TimeZone = {literal(self.settings.timezone)}",
                    "SET GLOBAL enable_external_access = false",
                    "SET GLOBAL python_enable_replacements = false",
                    "SET GLOBAL lock_configuration = true",
                ):
                    self._shown.execute(statement)
            return self._shown.cursor()

    def get(self, table: str, key: object) -> dict[str, Any] | None:
        """The row of a key, of a table that may be named; as `Workbench.get`."""
        full = platforms.record(table, self.platform, self.records()).full
        if full not in self.guarded.names.tables:
            raise NotAllowed(f"{full} is no table that may be read here; nothing was read.")
        return super().get(full, key)

    @contextmanager
    def pin(self) -> Iterator[Self]:
        """Hold one snapshot still until the block ends: every query in it reads the same versions."""
        with super().pin(), self.guarded.pin():
            yield self

    def reading(self, schemas: Collection[str] | None = None) -> "Reading":
        """The same lake for whoever may read less of it. Raises `NotAllowed` for schemas that this one does not have."""
        own = self.schemas
        if own is not None and (schemas is None or {name.lower() for name in schemas} - set(own)):
            raise NotAllowed(f"this bench reads {', '.join(own)} only; nothing was opened. Ask for some of these.")
        return Reading(self.settings, self._as_of, schemas)

    @property
    def con(self) -> Never:
        """Nobody's here."""
        raise NotAllowed(REFUSED.format("con, which takes any SQL, is", self.lake.root))

    @property
    def ledger(self) -> Never:
        """Nobody's here."""
        raise NotAllowed(REFUSED.format("what rows are written by is", self.lake.root))

    def close(self) -> None:
        """Close its sessions."""
        if self._catalog:
            self._catalog.close()
            self._catalog = None
        self.guarded.close()
        if self._shown is not None:
            self._shown.close()
            self._shown = None
        self._reader.close()


REFUSED = "{} not for a bench that only reads; {} is as it was, and nothing was done. Open it without read_only, if you may."


def refused(name: str) -> Callable[..., Never]:
    """A verb that is not for readers."""

    def verb(self: Reading, *_: object, **__: object) -> Never:
        raise NotAllowed(REFUSED.format(f"{name} is", self.lake.root))

    return verb


def limited(name: str) -> Callable[..., Any]:
    """A verb that looks at more than one schema, for whoever may look at all of it."""
    own = getattr(Workbench, name)

    @wraps(own)
    def verb(self: Reading, *given: Any, **named: Any) -> Any:
        schemas = self.schemas
        if schemas is not None and not (name in MARKETS and "main" in schemas):
            what = "the market's tables, which are in main" if name in MARKETS else "the whole lake"
            raise NotAllowed(f"{name} looks at {what}, and this bench reads {', '.join(schemas)} only; nothing was read. Ask with sql.")
        return own(self, *given, **named)

    return verb


# By what is known to be harmless: a verb that is new is refused until somebody has looked at it.
for _name in dir(Workbench):
    if not _name.startswith("_") and callable(getattr(Workbench, _name)) and _name not in ANYBODYS:
        setattr(Reading, _name, limited(_name) if _name in MARKETS | WHOLE else refused(_name))
