"""MongoDB as an origin: each collection is a table, `database.collection`, its documents' fields are the columns.

Reads in the moment of one snapshot where the server can (a replica set or a sharded cluster from MongoDB 5 on); `notes` says where it cannot. Fields are
found in a sample, and a field that appears only later comes all the same, as a column of its own beside those asked for.
"""

import re
import warnings
from collections import deque
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from datetime import UTC, date, datetime, time
from itertools import islice
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl, unquote

from workbench.errors import BadKeys, BrokenAnswer, MissingExtra, NotEntitled, SourceError, Unreachable, UsageError, WorkbenchError
from workbench.importers.documents import ALIKE, KINDS, Gathered, Reading, found, joined, kind, options, size_of
from workbench.importers.origin import BATCH_ROWS, Arrived, Asked, Column, Held, Origin

if TYPE_CHECKING:
    from pymongo import MongoClient
    from pymongo.client_session import ClientSession
    from pymongo.collection import Collection

# So many documents come at a time; the server sends fewer if they are large (16 MB at most).
DOCUMENTS = 10_000
# So many are made columns of at a time, or as few as are so large: they stay in the processor's caches, which is twice as fast as all that came.
PIECE = 1_000
PIECE_BYTES = 8_000_000
# So many bytes of documents are gathered to one batch at most.
BATCH_BYTES = 48_000_000
# So many documents of the beginning, of the end, and of anywhere tell fields and types.
SAMPLE = 500
# Of so many batches it is known which document each row was.
KEPT = 4
# A server that is slow to sort or to look may be silent for so many times `timeout` before it counts as gone.
PATIENCE = 6
OWN = frozenset(("admin", "local", "config"))
# Error codes of MongoDB: https://github.com/mongodb/mongo/blob/master/src/mongo/base/error_codes.yml
WRONG_KEYS = frozenset((18, 8000))
UNAUTHORIZED = 13
# The server ended the cursor: not found, killed, its plan killed, shutting down, interrupted.
ENDED = frozenset((43, 237, 175, 91, 11600, 11601, 11602))
# The server has no snapshot, or has it no longer: standalone, not on this collection, unavailable, too old.
NO_SNAPSHOT = frozenset((20, 72, 123, 239, 246))
SECRET_OPTIONS = ("tlscertificatekeyfilepassword", "authmechanismproperties", "proxypassword")


class Mongo(Origin):
    """A MongoDB server or cluster, by the URL that its driver takes: options such as `tls`, `tlsCAFile`, `authSource` or `replicaSet` go to it as they are.

    `timeout` is in seconds; timeouts in the URL win. A database in the URL limits it to that one, other than `admin`, which is where users are known.
    """

    kind = "mongo"

    def __init__(self, url: str, timeout: float = 10):
        try:
            from pymongo import MongoClient
        except ImportError as fault:
            raise MissingExtra("pymongo is not installed, so MongoDB was not read; pip install 'workbench[import]'") from fault
        self.url = Url(url)
        self.label = self.url.label
        self.notes: list[str] = []
        # The number of the first row of each of the last batches, and their rows' ids: whoever asks for one may be some batches behind.
        self._last: deque[tuple[int, Any]] = deque(maxlen=KEPT)
        given = self.url.options
        # What is said here counts more than the URL for the driver, so only what the URL leaves open is said.
        waits: dict[str, Any] = {"serverSelectionTimeoutMS": timeout, "connectTimeoutMS": timeout, "socketTimeoutMS": timeout * PATIENCE}
        waits = {name: round(value * 1000) for name, value in waits.items() if name.lower() not in given}
        if "timeoutms" in given:
            waits.pop("socketTimeoutMS", None)
        self._client: MongoClient[Any] | None = None
        self._session: ClientSession | None = None
        try:
            with self._translated("was not opened"):
                with warnings.catch_warnings(record=True) as odd:
                    # Of options that it does not know the driver only warns.
                    warnings.simplefilter("always")
                    self._client = MongoClient(url, appname=None if "appname" in given else "workbench", **waits)
                told = [" ".join(str(one.message).split()) for one in odd if issubclass(one.category, UserWarning)]
                self.notes += [self.url.masked(f"{self.label}: {one.removesuffix(' Refer to docstring.')}") for one in told]
                hello = self._client.admin.command("hello")
                self._client.admin.command("ping")
                self._session = self._snapshot(hello)
        except BaseException:
            self.close()
            raise

    @property
    def client(self) -> "MongoClient[Any]":
        """The driver's client; raises `UsageError` once it is closed."""
        if self._client is None:
            raise UsageError(f"{self.label} is closed; nothing was read.")
        return self._client

    def _snapshot(self, hello: Mapping[str, Any]) -> "ClientSession | None":
        """A session in which all is read as of one moment, where the server can."""
        several = "setName" in hello or hello.get("msg") == "isdbgrid"
        if several and hello.get("maxWireVersion", 0) >= 13:
            return self.client.start_session(snapshot=True)
        which = "is older than MongoDB 5" if several else "is not a replica set"
        self.notes.append(f"{self.label} {which}, so it has no snapshots: what is written to it while it is read may be in or not.")
        return None

    def tables(self) -> list[Held]:
        with self._translated("was not read"):
            databases = [self.url.database] if self.url.database else sorted(set(self.client.list_database_names()) - OWN)
            return [held for database in databases for held in self._tables(database)]

    def _tables(self, database: str) -> Iterator[Held]:
        from pymongo.errors import OperationFailure

        try:
            listed = sorted(self.client[database].list_collections(), key=lambda one: one["name"])
        except OperationFailure as refusal:
            if refusal.code != UNAUTHORIZED or not self.url.user:
                raise
            yield Held(f"{database}.*", (), fault=f"this user may not list the collections of {database}; nothing of it was read.")
            return
        for one in listed:
            if one["name"].startswith("system."):
                continue
            name = f"{database}.{one['name']}"
            collection = self.client[database][one["name"]]
            try:
                fields = found(self._sample(collection, plain=one.get("type", "collection") == "collection"))
                rows = collection.estimated_document_count() if one.get("type") != "view" else None
            except OperationFailure as refusal:
                if refusal.code in WRONG_KEYS | ENDED:
                    raise
                why = "this user may not read it" if refusal.code == UNAUTHORIZED else self._text(refusal)
                yield Held(name, (), fault=f"{name} cannot be read: {why}; nothing of it was imported.")
                continue
            yield Held(name, tuple(Column(field, types) for field, types in fields.items()), rows)

    def _sample(self, collection: "Collection[Any]", *, plain: bool) -> list[dict[str, Any]]:
        """Documents that tell fields and types: the first, the last, and some of anywhere."""
        from pymongo.errors import OperationFailure

        lenient = collection.with_options(options())
        first = list(lenient.find(limit=SAMPLE))
        last = list(lenient.find(limit=SAMPLE, sort=[("_id", -1)])) if plain and len(first) == SAMPLE else []
        some: list[dict[str, Any]] = []
        if len(last) == SAMPLE:
            # Not every server that speaks the protocol can; the others tell enough then.
            with suppress(OperationFailure):
                some = list(lenient.aggregate([{"$sample": {"size": SAMPLE}}]))
        # Some documents are among several of these.
        return list({repr(one.get("_id")): one for one in (*first, *last, *some)}.values())

    def ordered(self, table: Held, column: str) -> bool:
        """Whether an index leads with it and all its values are of one type: others stand before or behind in an order that is not that of what they say."""
        types = {one.name: one.kind for one in table.columns}
        if not _addressable(column) or types.get(column, "(") not in set(KINDS.values()) - {"null", "array", "object"}:
            return False
        from pymongo.errors import OperationFailure

        collection = self._collection(table.name)
        with self._translated("was not read"):
            try:
                indexes = list(collection.list_indexes())
                if not any(_leads(one, column) for one in indexes):
                    return False
                return collection.find_one(_others(column, types[column]), projection={"_id": 1}) is None
            except OperationFailure as refusal:
                if refusal.code in WRONG_KEYS | ENDED | {UNAUTHORIZED}:
                    raise
                # A view has no indexes.
                return False

    def batches(self, asked: Asked) -> Iterator[Arrived]:
        reading = Reading(asked.table.name, asked.table.names, asked.columns)
        gathered = Gathered()
        self._last.clear()
        for piece, size in self._pieces(asked):
            gathered.add(*reading.columns(piece))
            gathered.bytes += size
            if gathered.count > BATCH_ROWS - PIECE or gathered.bytes >= BATCH_BYTES:
                yield self._arrived(gathered, reading)
                gathered = Gathered()
        if gathered.count or reading.rejects:
            yield self._arrived(gathered, reading)
        if reading.late:
            fields = ", ".join(f"{name} ({count:,} documents)" for name, count in sorted(reading.late.items()))
            self.notes.append(f"{asked.table.name} has fields that its sample did not show, so that they are no columns of it: {fields}.")

    def _arrived(self, gathered: Gathered, reading: Reading) -> Arrived:
        start, before = self._last[-1] if self._last else (0, ())
        self._last.append((start + len(before), joined(gathered.ids)))
        rejects, reading.rejects = tuple(reading.rejects), []
        return Arrived(gathered.count, gathered.columns(), rejects)

    def where(self, table: Held, number: int) -> str:
        """By its `_id`, for rows of the batches that came last."""
        for start, ids in tuple(self._last):
            if start <= number < start + len(ids):
                return f"{table.name} _id {ids[number - start]}"
        return super().where(table, number)

    def _pieces(self, asked: Asked) -> Iterator[tuple[list[dict[str, Any]], int]]:
        """Some documents at a time, fewer if they are large, with about how many bytes they are."""
        documents = self._documents(asked)
        count = max(1, PIECE // 10)
        while True:
            with self._translated("stopped answering while it was read; what had come before is in"):
                piece = list(islice(documents, count))
            if not piece:
                return
            some = piece[:: max(1, len(piece) // 10)]
            average = sum(map(size_of, some)) / len(some)
            count = max(1, min(PIECE, int(PIECE_BYTES / average)))
            yield piece, round(average * len(piece))

    def _documents(self, asked: Asked) -> Iterator[dict[str, Any]]:
        from pymongo.errors import OperationFailure

        if self._session is not None:
            try:
                yield from self._cursor(asked, self._session)
            except OperationFailure as refusal:
                if refusal.code not in NO_SNAPSHOT:
                    raise
                # What has come is compared with itself then, so that reading it again costs time only.
                self._session = None
                self.notes.append(
                    f"{asked.table.name} and what came after it were read without a snapshot, as the server has none that is as old ({self._text(refusal)}):"
                    f" what was written meanwhile may be in or not. A longer minSnapshotHistoryWindowInSeconds there keeps it."
                )
            else:
                return
        yield from self._cursor(asked, None)

    def _cursor(self, asked: Asked, session: "ClientSession | None") -> Iterator[dict[str, Any]]:
        unwanted = [name for name in asked.table.names if name not in asked.columns and name != "_id" and _addressable(name)]
        query: dict[str, Any] = {}
        if asked.since is not None and _addressable(asked.since[0]):
            query = _from(*asked.since)
        found = (
            self._collection(asked.table.name)
            .with_options(options())
            .find(
                query,
                # Naming what is not wanted lets fields come that nobody has seen yet.
                dict.fromkeys(unwanted, 0) or None,
                sort=[(asked.order, 1)] if asked.order else None,
                allow_disk_use=True if asked.order else None,
                batch_size=DOCUMENTS,
                session=session,
            )
        )
        with found as cursor:
            yield from cursor

    def _collection(self, name: str) -> "Collection[Any]":
        database, _, collection = name.partition(".")
        return self.client[database][collection]

    def close(self) -> None:
        client, self._client = self._client, None
        session, self._session = self._session, None
        for one in (session, client):
            if one is not None:
                with suppress(Exception):
                    one.end_session() if one is session else one.close()  # type: ignore[union-attr]

    def _text(self, fault: BaseException) -> str:
        """What the driver says, in one line, without secrets and without how it is configured."""
        text = re.split(r" \(configured timeouts|, Timeout: |, full error: |, topology_description", str(fault))[0]
        return self.url.masked(" ".join(text.split())).rstrip(". ")

    @contextmanager
    def _translated(self, outcome: str) -> Iterator[None]:
        """The driver's errors as ours; their own text goes in without secrets, and they are not shown as the cause."""
        from bson.errors import BSONError
        from pymongo import errors

        try:
            yield
        except WorkbenchError:
            raise
        except errors.OperationFailure as fault:
            raise self._refused(fault, outcome) from None
        except errors.ConnectionFailure as fault:
            text = self._text(fault)
            tls = self.url.tls or re.search(r"SSL|TLS|certificate", text)
            check = (
                "Does it speak TLS, and is its certificate known to tlsCAFile and for this host?"
                if tls
                else "Is it running, and does the URL name it?"
            )
            raise Unreachable(f"{self.label} {outcome}: {text}. {check}") from None
        except errors.ConfigurationError as fault:
            if self.url.srv and not isinstance(fault, errors.InvalidURI) and "option" not in str(fault).lower():
                raise Unreachable(f"{self.label} {outcome}: its servers cannot be looked up ({self._text(fault)}).") from None
            raise UsageError(f"{self.label} {outcome}: {self._text(fault)}. Check the URL.") from None
        except (errors.PyMongoError, BSONError) as fault:
            kind_of = BrokenAnswer if isinstance(fault, (errors.ProtocolError, BSONError)) else SourceError
            raise kind_of(f"{self.label} {outcome}: {self._text(fault)}.") from None
        except (OSError, ValueError, TypeError, NotImplementedError) as fault:
            raise UsageError(f"{self.label} {outcome}: {self._text(fault)}. Check the URL.") from None

    def _refused(self, fault: Any, outcome: str) -> WorkbenchError:
        text = self._text(fault)
        if fault.code in WRONG_KEYS:
            return BadKeys(
                f"{self.label} {outcome}: it refuses the user or the password. Check both in the URL, and authSource if users are kept elsewhere."
            )
        if fault.code == UNAUTHORIZED:
            if not self.url.user:
                return BadKeys(f"{self.label} {outcome}: it wants a user and a password, which the URL lacks.")
            return NotEntitled(f"{self.label} {outcome}: this user may not do that ({text}).")
        if fault.code in ENDED:
            return Unreachable(f"{self.label} {outcome}: it ended the reading ({text}).")
        return SourceError(f"{self.label} {outcome}: {text}.")


class Url:
    """What a URL of MongoDB says, as far as it matters here: `mongodb://user:password@host1,host2/database?option=value`."""

    def __init__(self, url: str):
        match = re.fullmatch(r"(mongodb(?:\+srv)?)://(?:(.*)@)?([^/?@]*)(?:/([^?]*))?(?:\?(.*))?", url.strip(), re.DOTALL)
        if not match:
            raise UsageError("a URL of MongoDB is mongodb://user:password@host:27017/database or mongodb+srv://…; nothing was read.")
        scheme, user, hosts, database, query = match.groups(default="")
        if re.search(r"[@/?]", user):
            # The driver would take a part of the password for an option or a host, and tell it.
            raise UsageError(
                "the URL of MongoDB has an @ after a / ? or @, of which its password would end; nothing was read. Write it as "
                "mongodb://user:password@host:27017/database, with @ : / ? # and % of a password, and @ of an option, in percent (@ is %40)."
            )
        self.srv = scheme.endswith("+srv")
        self.user, _, password = user.partition(":")
        self.options = {name.lower(): value for name, value in parse_qsl(query, keep_blank_values=True)}
        self.database = "" if (name := unquote(database).partition(".")[0]) in OWN else name
        self.tls = self.srv or "true" in (self.options.get("tls", ""), self.options.get("ssl", ""))
        secrets = [password, unquote(password), *(self.options.get(name, "") for name in SECRET_OPTIONS)]
        self.secrets = sorted({one for one in secrets if one}, key=len, reverse=True)
        named = (host.lower() if self.srv or re.search(r":\d+$|\.sock$", host) else f"{host.lower()}:27017" for host in hosts.split(","))
        self.label = f"{scheme}://{','.join(sorted(named))}" + (f"/{self.database}" if self.database else "")

    def masked(self, text: str) -> str:
        """Text without the password."""
        for secret in self.secrets:
            text = text.replace(secret, "***")
        return text


def _addressable(name: str) -> bool:
    """Whether a query can name a field: one with dots or a leading dollar means something else to it."""
    return bool(name) and "." not in name and not name.startswith("$")


def _leads(index: Mapping[str, Any], column: str) -> bool:
    """Whether an index has every document, in the order of a column."""
    first = next(iter(index["key"].items()), ("", 0))
    partial = index.get("sparse") or "partialFilterExpression" in index or "collation" in index
    return first[0] == column and first[1] in (1, -1) and not partial


def _others(column: str, type: str) -> dict[str, Any]:
    """A query for documents whose value of a field is not comparable with values of a type, or is none."""
    alike = ALIKE.get(type, (type,))
    return {"$or": [{column: {"$eq": None}}, *({column: {"$type": one}} for one in _TYPES if one not in alike)]}


_TYPES = sorted(set(KINDS.values()) - {"null"})


def _from(column: str, value: Any) -> dict[str, Any]:
    """A query for documents from a value on. Those with a value of another type come always, as MongoDB compares like with like only."""
    if isinstance(value, date) and not isinstance(value, datetime):
        value = datetime.combine(value, time(), UTC)
    others = _others(column, "double" if isinstance(value, int | float) else kind(value))
    return {"$or": [{column: {"$gte": value}}, *others["$or"]]}
