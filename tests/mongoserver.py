"""A server that speaks MongoDB's protocol, on loopback, for tests: nx-27017, which keeps documents in SQLite. It is not `mongod`.

It asks for no password, knows no snapshots, and keeps no Decimal128, regular expressions or other rarer types; `strange` stands in for those: a
server with fixed answers, which says and does what no healthy one would.
"""

import socket
import struct
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from s3server import free_ports

if TYPE_CHECKING:
    from pymongo import MongoClient

READY_S = 60.0


def free_port() -> int:
    """A port that nobody holds now, and that no outgoing connection is given."""
    return free_ports(1)[0]


@dataclass
class Server:
    """A running server; `stop` ends it at once, as a crash would."""

    port: int
    process: "subprocess.Popen[bytes]"

    @property
    def url(self) -> str:
        return f"mongodb://127.0.0.1:{self.port}/"

    def client(self) -> "MongoClient[dict[str, Any]]":
        from pymongo import MongoClient

        return MongoClient(self.url, serverSelectionTimeoutMS=30_000)

    def clear(self) -> None:
        """Drop all that it holds."""
        with self.client() as client:
            for name in client.list_database_names():
                if name not in ("admin", "local", "config"):
                    client.drop_database(name)

    def stop(self) -> None:
        self.process.kill()
        self.process.wait()


@contextmanager
def mongo() -> Iterator[Server]:
    """Run one until the block ends, empty, in memory."""
    port = free_port()
    with tempfile.TemporaryDirectory() as folder:
        log = Path(folder) / "nx.log"
        command = [Path(sys.executable).with_name("nx-27017"), "--data-dir", "memory", "--host", "127.0.0.1", "-p", str(port)]
        command += ["--log-file", log, "--pid-file", Path(folder) / "nx.pid"]
        process = subprocess.Popen(list(map(str, command)), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, cwd=folder)
        server = Server(port, process)
        try:
            ready(server)
            yield server
        finally:
            server.stop()


def ready(server: Server) -> None:
    until = time.monotonic() + READY_S
    while time.monotonic() < until and server.process.poll() is None:
        with suppress(OSError), socket.create_connection(("127.0.0.1", server.port), timeout=1):
            return
        time.sleep(0.05)
    raise RuntimeError(f"nx-27017 did not come up in {READY_S:.0f} s")


OP_REPLY, OP_QUERY, OP_MSG = 1, 2004, 2013
COMMANDS_FREE = ("hello", "ismaster", "isMaster", "saslStart", "endSessions")


@dataclass
class Strange:
    """A server of MongoDB's protocol with documents as they are given, byte by byte, and with the faults that are set.

    `collections` has documents in BSON by `database.collection`. `asked` has the commands that came, by name.
    """

    collections: dict[str, list[bytes]] = field(default_factory=dict)
    indexes: dict[str, list[dict[str, Any]]] = field(default_factory=dict)
    batch: int = 2
    password: str = ""
    # Whether each field has one type, so that a search for others finds nothing.
    uniform: bool = False
    # Whether it says that it is a replica set, and the code with which it refuses snapshots, after so many batches.
    snapshots: bool = False
    refuses_snapshots: int = 0
    refuses_after: int = 0
    # What becomes of a cursor after so many batches: "gone" (killed there), "hung up" (no more answers), "silent" (an answer never comes).
    then: str = ""
    after: int = 1
    asked: list[dict[str, Any]] = field(default_factory=list)
    refusing: bool = False

    def __post_init__(self) -> None:
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = self._listener.getsockname()[1]
        self._open: list[socket.socket] = []
        self._stopped = threading.Event()
        threading.Thread(target=self._accept, daemon=True).start()

    @property
    def url(self) -> str:
        return f"mongodb://127.0.0.1:{self.port}/"

    def put(self, name: str, *documents: dict[str, Any]) -> None:
        import bson

        self.collections.setdefault(name, []).extend(map(bson.encode, documents))

    def close(self) -> None:
        self._stopped.set()
        for one in (self._listener, *self._open):
            with suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)
            one.close()

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                peer, _ = self._listener.accept()
                self._open.append(peer)
                threading.Thread(target=self._serve, args=(peer,), daemon=True).start()

    def _serve(self, peer: socket.socket) -> None:
        import bson

        with suppress(OSError), peer, peer.makefile("rb") as stream:
            while len(head := stream.read(16)) == 16:
                size, number, _, kind = struct.unpack("<iiii", head)
                body = stream.read(size - 16)
                if kind == OP_QUERY:
                    start = body.index(b"\0", 4) + 9
                    answer = self._answer(bson.decode(body[start : start + struct.unpack_from("<i", body, start)[0]]))
                    told = struct.pack("<iqii", 8, 0, 0, 1) + bson.encode(answer)
                    peer.sendall(struct.pack("<iiii", 16 + len(told), 1, number, OP_REPLY) + told)
                else:
                    start = 5
                    found = self._answer(bson.decode(body[start : start + struct.unpack_from("<i", body, start)[0]]))
                    if found is None:
                        return
                    encoded = found if isinstance(found, bytes) else bson.encode(found)
                    told = struct.pack("<iB", 0, 0) + encoded
                    peer.sendall(struct.pack("<iiii", 16 + len(told), 1, number, OP_MSG) + told)

    def _answer(self, command: dict[str, Any]) -> Any:
        name, value = next(iter(command.items()))
        self.asked.append(command)
        database = command.get("$db", "admin")
        if self.password and name == "saslStart":
            return {"ok": 0.0, "code": 18, "codeName": "AuthenticationFailed", "errmsg": "Authentication failed."}
        if self.password and name not in COMMANDS_FREE:
            return {"ok": 0.0, "code": 13, "codeName": "Unauthorized", "errmsg": f"command {name} requires authentication"}
        match name:
            case "hello" | "ismaster" | "isMaster":
                several = {"setName": "rs0", "hosts": [f"127.0.0.1:{self.port}"], "me": f"127.0.0.1:{self.port}"} if self.snapshots else {}
                limits = {"maxBsonObjectSize": 2**24, "maxMessageSizeBytes": 48_000_000, "maxWriteBatchSize": 1000}
                known = {"minWireVersion": 0, "maxWireVersion": 21, "logicalSessionTimeoutMinutes": 30, "readOnly": False}
                return {"ok": 1.0, "isWritablePrimary": True, "ismaster": True, "helloOk": True} | several | limits | known
            case "listDatabases":
                return {"ok": 1.0, "databases": [{"name": one} for one in sorted({n.partition(".")[0] for n in self.collections})]}
            case "listCollections":
                own = [n.partition(".")[2] for n in self.collections if n.startswith(f"{database}.")]
                return self._batch(database, "$cmd", [{"name": one, "type": "collection"} for one in own])
            case "count":
                return {"ok": 1.0, "n": len(self.collections[f"{database}.{value}"])}
            case "listIndexes":
                return self._batch(database, value, self.indexes.get(f"{database}.{value}", []))
            case "find":
                return self._found(database, value, 0, command)
            case "getMore":
                return self._found(database, command["collection"], int(value) // 1000, command)
        return {"ok": 1.0}

    def _found(self, database: str, collection: str, start: int, command: dict[str, Any]) -> Any:
        if start:
            since = start // self.batch
            if self.then and since >= self.after:
                if self.then == "silent":
                    self._stopped.wait(30)
                return {"ok": 0.0, "code": 43, "errmsg": "cursor id 1 not found"} if self.then == "gone" else None
            if self.refuses_snapshots and since >= self.refuses_after > 0 and self.refusing:
                self.refusing = False
                return {"ok": 0.0, "code": self.refuses_snapshots, "errmsg": "snapshot too old"}
        elif "snapshot" in str(command.get("readConcern", "")):
            self.refusing = True
            if self.refuses_snapshots and not self.refuses_after:
                return {"ok": 0.0, "code": self.refuses_snapshots, "errmsg": "no snapshots of this collection"}
        documents = self.collections[f"{database}.{collection}"]
        if self.uniform and "$or" in command.get("filter", {}):
            documents = []
        documents = documents[: int(command.get("limit", 0)) or None]
        return self._batch(database, collection, documents, start)

    def _batch(self, database: str, collection: str, documents: list[Any], start: int = 0) -> bytes:
        """A cursor's batch; documents that are bytes go in as they are, whatever they hold."""
        import bson

        end = start + self.batch if documents and isinstance(documents[0], bytes) else len(documents)
        raws = [one if isinstance(one, bytes) else bson.encode(one) for one in documents[start:end]]
        items = b"".join(b"\x03" + str(at).encode() + b"\0" + raw for at, raw in enumerate(raws))
        array = struct.pack("<i", len(items) + 5) + items + b"\0"
        more = end * 1000 if end < len(documents) else 0
        cursor = bson.encode({"id": bson.Int64(more), "ns": f"{database}.{collection}"})[4:-1]
        cursor += (b"\x04nextBatch\0" if start else b"\x04firstBatch\0") + array
        cursor = struct.pack("<i", len(cursor) + 5) + cursor + b"\0"
        whole = b"\x03cursor\0" + cursor + b"\x01ok\0" + struct.pack("<d", 1.0)
        return struct.pack("<i", len(whole) + 5) + whole + b"\0"
