"""A standalone Spark on loopback: a master and two workers, each in a process of its own, and a session on them. All of it is always stopped."""

import os
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

HOST = "127.0.0.1"
READY_S = 120.0
MEMORY = "512m"
QUICK = "-XX:TieredStopAtLevel=1"

needs_java = pytest.mark.skipif(shutil.which("java") is None, reason="Java 17 is not installed: Spark runs on it")


def free_port() -> int:
    """A port that nobody listens on now."""
    with socket.socket() as held:
        held.bind((HOST, 0))
        port: int = held.getsockname()[1]
        return port


@contextmanager
def running(kind: str, arguments: list[str], out: IO[bytes]) -> Iterator[subprocess.Popen[bytes]]:
    """A master or a worker, killed with all that it started."""
    import pyspark

    home = Path(pyspark.__file__).parent
    env = os.environ | {"SPARK_HOME": str(home), "SPARK_LOCAL_IP": HOST, "SPARK_DAEMON_MEMORY": "128m", "SPARK_NO_DAEMONIZE": "1"}
    command = [str(home / "bin" / "spark-class"), f"org.apache.spark.deploy.{kind}", *arguments]
    process = subprocess.Popen(command, env=env, stdin=subprocess.DEVNULL, stdout=out, stderr=out, start_new_session=True)
    try:
        yield process
    finally:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def until(log: Path, word: str, count: int, processes: list[subprocess.Popen[bytes]]) -> None:
    """Wait until a log tells something so many times."""
    end = time.monotonic() + READY_S
    while log.read_text(errors="replace").count(word) < count:
        assert time.monotonic() < end and all(one.poll() is None for one in processes), log.read_text(errors="replace")[-2000:]
        time.sleep(0.1)


@contextmanager
def session(folder: Path) -> Iterator["SparkSession"]:
    """A session on a master with two workers of a core each; `folder` takes what they write."""
    with ExitStack() as stack:
        port, log = free_port(), folder / "cluster.log"
        out = stack.enter_context(log.open("wb"))
        master = f"spark://{HOST}:{port}"
        told = ["--host", HOST, "--port", str(port), "--webui-port", "0"]
        processes = [stack.enter_context(running("master.Master", told, out))]
        until(log, "New state: ALIVE", 1, processes)
        for n in range(2):
            told = [
                "--host",
                HOST,
                "--cores",
                "1",
                "--memory",
                MEMORY,
                "--webui-port",
                "0",
                "--work-dir",
                str(folder / f"worker{n}"),
                master,
            ]
            processes.append(stack.enter_context(running("worker.Worker", told, out)))
        until(log, "Successfully registered with master", 2, processes)
        yield stack.enter_context(driver(master, folder))


@contextmanager
def driver(master: str, folder: Path) -> Iterator["SparkSession"]:
    """A session on a master, in a process of Java's that ends with it."""
    from pyspark import SparkContext
    from pyspark.sql import SparkSession

    settings = {
        "spark.driver.host": HOST,
        "spark.driver.bindAddress": HOST,
        "spark.driver.memory": "1g",
        "spark.executor.memory": MEMORY,
        "spark.ui.enabled": "false",
        "spark.ui.showConsoleProgress": "false",
        # Most queries run once: to compile them well takes longer.
        "spark.driver.extraJavaOptions": QUICK,
        "spark.executor.extraJavaOptions": QUICK,
        "spark.sql.shuffle.partitions": "2",
        # To plan again while a query runs takes longer than a small lake's rows do.
        "spark.sql.adaptive.enabled": "false",
        "spark.sql.warehouse.dir": str(folder / "warehouse"),
        "spark.local.dir": str(folder / "local"),
    }
    with pytest.MonkeyPatch.context() as patched:
        patched.setenv("SPARK_LOCAL_IP", HOST)
        made = SparkSession.builder.master(master).appName("workbench tests")
        for name, value in settings.items():
            made = made.config(name, value)
        spark = made.getOrCreate()
        spark.sparkContext.setLogLevel("OFF")
        try:
            yield spark
        finally:
            gateway: Any = SparkContext._gateway
            spark.stop()
            gateway.shutdown()
            # What Java's end is told by.
            gateway.proc.stdin.close()
            gateway.proc.wait(30)
            SparkContext._gateway = SparkContext._jvm = None
