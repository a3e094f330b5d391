"""A Dask scheduler and its workers, each a process of its own on loopback, for tests and benchmarks; they end with the block, however it ends."""

import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

from s3server import die_with_parent, free_ports

HERE = Path(__file__).parent
READY_S = 60.0


@dataclass
class Dask:
    """A running scheduler. `workers` are started one by one, each with an environment, and a folder, of its own."""

    address: str
    folder: Path
    scheduler: subprocess.Popen[bytes]
    workers: list[subprocess.Popen[bytes]] = field(default_factory=list)

    def work(
        self, count: int = 1, *, threads: int = 1, env: Mapping[str, str] | None = None, preload: str = "", nanny: bool = False
    ) -> list[subprocess.Popen[bytes]]:
        """Start workers; they know of this machine's settings only what `env` says."""
        started = []
        for _ in range(count):
            own = self.folder / f"worker-{len(self.workers)}"
            own.mkdir()
            words = [
                "distributed.cli.dask_worker",
                self.address,
                "--nthreads",
                str(threads),
                "--nanny" if nanny else "--no-nanny",
                "--no-dashboard",
            ]
            words += ["--host", "127.0.0.1", "--local-directory", str(own), *(["--preload", preload] if preload else [])]
            # Where it runs there is no project, and so no .env of one.
            one = run(words, self.folder / f"worker-{len(self.workers)}.log", own, dict(env or {}))
            self.workers.append(one)
            started.append(one)
        return started

    def said(self) -> str:
        """All that scheduler and workers have printed."""
        return "\n".join(path.read_text(errors="replace") for path in sorted(self.folder.glob("*.log")))

    def gone(self, one: subprocess.Popen[bytes]) -> None:
        """End a process at once, as a machine that loses its power would."""
        one.kill()
        one.wait()


@contextmanager
def dask(workers: int = 2, **options: object) -> Iterator[Dask]:
    """A scheduler with workers that are ready."""
    with tempfile.TemporaryDirectory(prefix="dask-", ignore_cleanup_errors=True) as name:
        folder, [port] = Path(name), free_ports(1)
        words = ["distributed.cli.dask_scheduler", "--host", "127.0.0.1", "--port", str(port), "--no-dashboard"]
        address = f"tcp://127.0.0.1:{port}"
        cluster = Dask(address, folder, run(words, folder / "scheduler.log", folder, {}))
        try:
            cluster.work(workers, **options)  # type: ignore[arg-type]
            ready(cluster, workers)
            yield cluster
        finally:
            for one in (*cluster.workers, cluster.scheduler):
                with suppress(ProcessLookupError):
                    os.killpg(one.pid, signal.SIGKILL)
                one.wait()


def run(words: list[str], log: Path, folder: Path, env: dict[str, str]) -> subprocess.Popen[bytes]:
    """A Python process that runs a module and ends with this one."""
    kept = {name: os.environ[name] for name in ("PATH", "HOME", "TMPDIR", "LANG") if name in os.environ}
    paths = [str(HERE.parent), str(HERE)]
    with open(log, "wb") as out:
        return subprocess.Popen(
            [sys.executable, "-m", *words],
            cwd=folder,
            env=kept | {"PYTHONPATH": os.pathsep.join(paths)} | env,
            stdin=subprocess.DEVNULL,
            stdout=out,
            stderr=out,
            start_new_session=True,
            preexec_fn=die_with_parent,
        )


def ready(cluster: Dask, workers: int) -> None:
    """Wait until the scheduler has so many workers."""
    from distributed import Client

    host, port = cluster.address.removeprefix("tcp://").split(":")
    until = time.monotonic() + READY_S
    while True:
        with suppress(OSError), socket.create_connection((host, int(port)), timeout=1):
            break
        assert time.monotonic() < until and cluster.scheduler.poll() is None, cluster.said()
        time.sleep(0.05)
    with Client(cluster.address, timeout=READY_S, set_as_default=False) as client:  # type: ignore[no-untyped-call]
        if workers:
            client.wait_for_workers(workers, timeout=READY_S)
