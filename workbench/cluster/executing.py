"""A Dask cluster as an executor: the workers of a running scheduler land flat files, `workbench refresh --cluster tcp://host:port`."""

import logging
import re
import threading
import time
import uuid
from collections.abc import Callable
from concurrent.futures import Executor, Future
from contextlib import suppress
from pydoc import locate
from typing import TYPE_CHECKING, Any, TypeVar

from workbench.errors import ClusterError, MissingExtra, UsageError

if TYPE_CHECKING:
    from distributed import Client

T = TypeVar("T")

# How long a scheduler may take to answer, and then to have a worker.
ANSWER_S, WORKERS_S = 10.0, 10.0
# What a connection may take longer than that, before nobody waits for its end.
GRACE_S = 5.0
# How long a scheduler may be without any before a run gives up.
LOST_S = 60.0
# What a worker must be able to load, and how long it may take to say so.
MODULE, MEET_S = "workbench.refresh.working", 20.0
# How often the scheduler is asked who its workers are.
LOOK_S = 0.5
# Of what went wrong inside a worker or a scheduler, so much is told.
MOST_TOLD = 300


class Cluster(Executor):
    """The workers of a Dask scheduler. What they are given shows on its dashboard as `land-…` and no more.

    `capacity` is how many threads they have now, without those of workers that were told to be avoided. Raises `ClusterError` once the scheduler is gone,
    or has had no worker for a while.
    """

    def __init__(self, client: "Client", *, own: bool = False, **options: Any):
        self.client = client
        self._own = own
        # Each call is one of its own, however alike: two runs may land the same file.
        self._inner: Executor = client.get_executor(**{**options, "pure": False})  # type: ignore[no-untyped-call]
        self._limited = "workers" in options
        self._avoided: set[str] = set()
        self._seen, self._manned = 0.0, time.monotonic()
        self._threads: dict[str, int] = {}
        # Of the workers that were met why each has no workbench; empty for those that have one.
        self._met: dict[str, str] = {}

    def __repr__(self) -> str:
        return f"<{self.told}>"

    @property
    def address(self) -> str:
        """Where the scheduler is."""
        return str(self.client.scheduler.address) if self.client.scheduler else "a scheduler that is gone"

    @property
    def threads(self) -> dict[str, int]:
        """The workers that may be given something, each with its threads."""
        if time.monotonic() - self._seen > LOOK_S:
            self._threads = self._asked(lambda: dict(self.client.nthreads()))  # type: ignore[no-untyped-call]
            self._meet()
            self._seen = time.monotonic()
            if self._threads:
                self._manned = self._seen
            elif self._seen - self._manned > LOST_S:
                raise ClusterError(
                    f"{self.address} has had no worker for {LOST_S:.0f} s; what landed before is kept, nothing else was landed. Start some, and refresh again."
                )
        return {worker: count for worker, count in self._threads.items() if worker not in self._avoided}

    def _meet(self) -> None:
        """Ask workers that are new whether they have a workbench: one that is given work without it does not say so, it ends."""
        if new := [worker for worker in self._threads if worker not in self._met]:
            told: dict[str, Any] = {}
            # Who does not answer has most likely only no time.
            with suppress(Exception):
                told = within(MEET_S, lambda: self.client.run(locate, f"{MODULE}.__name__", workers=new, on_error="return"))
            for worker in new:
                found = told.get(worker, MODULE)
                self._met[worker] = "" if found == MODULE else brief(found) if isinstance(found, BaseException) else "it has none"
        strangers = {worker: why for worker in self._threads if (why := self._met.get(worker))}
        self._avoided |= strangers.keys()
        if strangers and len(strangers) == len(self._threads):
            worker, why = next(iter(strangers.items()))
            raise ClusterError(
                f"worker {worker} of {self.address}, and every other one, has no workbench that it can load ({why}); what landed before is kept, nothing else was "
                "landed. Install the workbench that the driver has on all machines of the cluster, with its extra `cluster`."
            )

    @property
    def capacity(self) -> int:
        """The threads of those workers."""
        return sum(self.threads.values())

    @property
    def told(self) -> str:
        """The scheduler and how many workers it has, for people."""
        some = self.threads
        count = sum(some.values())
        return f"{self.address}: {len(some)} worker{'s' * (len(some) != 1)}, {count} thread{'s' * (count != 1)}"

    def avoid(self, worker: str) -> None:
        """Give a worker nothing more."""
        self._avoided.add(worker)

    def submit(self, fn: Callable[..., T], /, *args: Any, **kwargs: Any) -> Future[T]:
        """Have a function called by a worker; its name must be one that workers can import."""
        options: dict[str, Any] = {"key": f"land-{uuid.uuid4().hex}"}
        if self._avoided and not self._limited:
            # Should they be lost too, any may have it: a call that waits for workers that never come back would wait for ever.
            options |= {"workers": list(self.threads) or None, "allow_other_workers": bool(self.threads)}
        return self._asked(lambda: self._inner.submit(fn, *args, **options, **kwargs))

    def meaning(self, fault: BaseException) -> str:
        """What an error of Dask's own means for what was submitted; empty if it is none of them."""
        from distributed.scheduler import KilledWorker

        if isinstance(fault, KilledWorker):
            return (
                "each worker that it was given to was lost, most likely for want of memory; the lake is unchanged. Give the workers more memory, or "
                "fewer threads each, and refresh again"
            )
        said = brief(fault)
        if isinstance(fault, ImportError | AttributeError) or "deserializ" in said:
            return (
                f"a worker, or the scheduler, cannot read what it was given ({said}); the lake is unchanged. Install the workbench that the driver has on "
                "all machines of the cluster, with its extra `cluster`"
            )
        return ""

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        """Take nothing more; the connection is closed if it was made for this executor."""
        with suppress(Exception):
            self._inner.shutdown(wait=wait and not cancel_futures)
        if self._own:
            with suppress(Exception):
                self.client.close(timeout=5)  # type: ignore[no-untyped-call]

    def __exit__(self, *exc: object) -> None:
        # What is still with workers when a block ends was given up.
        self.shutdown(wait=False)

    def _asked(self, ask: "Callable[[], T]") -> T:
        try:
            return ask()
        except Exception as fault:
            raise ClusterError(
                f"{self.address} answers no more ({brief(fault)}); what landed before is kept, nothing else was landed. Start the scheduler again, and "
                "run the refresh again: it takes up what is left."
            ) from fault


def executor(address: str, *, answer_s: float = ANSWER_S, workers_s: float = WORKERS_S) -> Cluster:
    """The cluster whose scheduler is at an address, as `tcp://10.0.0.5:8786`; use it in a `with` block, which closes the connection.

    Raises `MissingExtra` without Dask, `UsageError` for what is no address, and `ClusterError` if no scheduler answers within `answer_s` seconds, or has
    no worker within `workers_s` more.
    """
    found = re.fullmatch(r"(tcp|tls|ws|wss)://[^\s/@]+:(\d{1,5})", address)
    if not found or not 0 < int(found[2]) < 65536:
        # Schedulers know no passwords: one that stands there was meant for something else.
        shown = re.sub(r"//[^/]*@", "//…@", address)
        raise UsageError(f"{shown!r} is no address of a Dask scheduler; nothing was landed. Write it like tcp://10.0.0.5:8786")
    try:
        from distributed import Client, Security
    except ImportError as fault:
        raise MissingExtra(f"Dask is not installed, so {address} was not asked; pip install 'workbench[cluster]'") from fault
    quieted()
    if found[1] in ("tls", "wss") and Security().get_connection_args("client").get("ssl_context") is None:  # type: ignore[no-untyped-call]
        raise UsageError(
            f"{address} wants certificates, and Dask knows of none; nothing was landed. Tell it by DASK_DISTRIBUTED__COMM__TLS__CA_FILE, …__CLIENT__CERT and "
            "…__CLIENT__KEY, or write tcp:// if the scheduler does without."
        )
    began = time.monotonic()
    try:
        client = within(answer_s + GRACE_S, lambda: Client(address, timeout=answer_s, set_as_default=False, name="workbench"))  # type: ignore[no-untyped-call]
    except (OSError, TimeoutError, ValueError, RuntimeError) as fault:
        raise ClusterError(
            f"no Dask scheduler answers at {address} after {time.monotonic() - began:.0f} s ({brief(fault)}); nothing was landed. Start one with "
            "`dask scheduler`, or leave out --cluster (WORKBENCH_CLUSTER): this machine then lands the files itself."
        ) from fault
    cluster = Cluster(client, own=True)
    try:
        try:
            client.wait_for_workers(1, timeout=workers_s)
        except TimeoutError as fault:
            raise ClusterError(
                f"the Dask scheduler at {address} has no workers; nothing was landed. Start some with `dask worker {address}`, and refresh again."
            ) from fault
        _ = cluster.threads
    except BaseException:
        cluster.shutdown(wait=False)
        raise
    return cluster


def within(seconds: float, make: Callable[[], T]) -> T:
    """What a call gives. Raises `TimeoutError` after so many seconds: who takes a connection and never says a word is waited for without end by Dask."""
    told: Future[T] = Future()

    def run() -> None:
        try:
            told.set_result(make())
        except BaseException as fault:
            told.set_exception(fault)

    threading.Thread(target=run, name="cluster", daemon=True).start()
    try:
        return told.result(seconds)
    except TimeoutError as fault:
        if told.done():
            raise
        raise TimeoutError("it takes the connection and says nothing, so it is most likely no scheduler") from fault


def adopted(workers: Any) -> Cluster:
    """The cluster behind what `Client.get_executor` gave, or behind a client; the caller's connection stays open."""
    client = getattr(workers, "_client", None)
    return Cluster(client, **getattr(workers, "_kwargs", {})) if client else Cluster(workers)


def brief(fault: BaseException) -> str:
    """What an error says, in a line."""
    said = " ".join(f"{type(fault).__name__}: {fault}".split())
    return said if len(said) <= MOST_TOLD else f"{said[: MOST_TOLD - 1]}…"


def quieted() -> None:
    """Have Dask's client say on standard error only what breaks it: that a worker was lost is told here, in the run's own words."""
    for name in ("distributed.client", "distributed.core", "distributed.comm", "distributed.batched"):
        logger = logging.getLogger(name)
        if logger.level in (logging.NOTSET, logging.INFO, logging.WARNING):
            logger.setLevel(logging.ERROR)
    logging.getLogger("tornado.application").addFilter(wanted)


def wanted(record: logging.LogRecord) -> bool:
    """Whether a record of the client's event loop is worth a word: not that an answer came for what a run that was stopped had given up."""
    from concurrent.futures import InvalidStateError

    fault = record.exc_info[1] if record.exc_info else None
    return not (isinstance(fault, InvalidStateError) and str(fault).startswith("CANCELLED"))
