"""What a lake was asked: a line for each query, without its literals, in `logs/queries.jsonl` under the root.

Whoever asks only puts a note on a queue; a thread writes what stands there every half second, and ends when nothing comes. What cannot be written is
dropped and counted: no query waits for its note, or fails with it. Lines are added whole, so that any number of processes write to one file; at 8 MB
it takes the place of `queries.1.jsonl`, and what is older than a week is not told.
"""

import atexit
import itertools
import json
import logging
import os
import platform
import threading
import time
from collections import deque
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NamedTuple

from workbench.lake.processes import user
from workbench.query.literals import LOOKED_AT, masked

# A file is set aside at so many bytes, and then at most one older one is kept.
LARGEST = 8_000_000
KEPT_S = 7 * 86_400
# So many notes wait at most; beyond that the oldest are dropped.
WAITING = 5_000
PAUSE_S, IDLE_S = 0.5, 5.0
# The upper edges of the histogram, in seconds.
EDGES = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0)

LOG = logging.getLogger("workbench.query")

COLUMNS = {
    "id": "string",
    "asked_at": "instant",
    "user_name": "string",
    "session": "string",
    "platform": "string",
    "query": "string",
    "ms": "double",
    "planned_ms": "double",
    "rows": "int64",
    "bytes": "int64",
    "status": "string",
    "error": "string",
    "slow": "bool",
}


# ---------------------------------------------------------------------- notes


class Reading(NamedTuple):
    """A query that may be read later: its id, the text that DuckDB got, and the milliseconds that it took until then."""

    id: str
    text: str
    planned_ms: float


class Note(NamedTuple):
    """What waits to be written: a line, or, with `profile`, what DuckDB told of the last reading, and which queries it may have been of."""

    root: Path
    slow_ms: float
    line: dict[str, Any]
    profile: str = ""
    candidates: Sequence[Reading] = ()


@dataclass
class Totals:
    """What this process was asked of one lake. `buckets` count the seconds of queries whose end is known, by `EDGES` and beyond."""

    asked: int = 0
    errors: int = 0
    slow: int = 0
    dropped: int = 0
    seconds: float = 0.0
    buckets: list[int] = field(default_factory=lambda: [0] * (len(EDGES) + 1))

    def took(self, ms: float, *, slow: bool) -> None:
        """Count one that ended."""
        self.seconds += ms / 1000
        self.slow += slow
        self.buckets[next((n for n, edge in enumerate(EDGES) if ms / 1000 <= edge), len(EDGES))] += 1


class Writer:
    """The queue of this process, and the thread that empties it."""

    def __init__(self) -> None:
        self.totals: dict[Path, Totals] = {}
        self._renew()

    def _renew(self) -> None:
        self._queue: deque[Note] = deque()
        # The newest texts, by id: what DuckDB tells of a reading comes later.
        self._texts: dict[str, str] = {}
        self._comes = threading.Event()
        self._lock = threading.Lock()
        self._writing = threading.RLock()
        self._thread: threading.Thread | None = None

    def forked(self) -> None:
        """In a child: what waits is its parent's to write, and the thread is not there."""
        self._renew()
        self.totals = {}

    def put(self, note: Note) -> None:
        """Have a note written soon. Cheap, and never fails."""
        if len(self._queue) >= WAITING:
            with suppress(IndexError):
                self._of(self._queue.popleft().root).dropped += 1
        self._queue.append(note)
        if not self._comes.is_set():
            self._comes.set()
        if self._thread is None:
            self._start()

    def _start(self) -> None:
        with self._lock:
            if self._thread is None:
                thread = threading.Thread(target=self._work, name="workbench query log", daemon=True)
                # At the end of the interpreter no thread starts any more, and what waits is written by `flush`.
                with suppress(RuntimeError):
                    thread.start()
                    self._thread = thread

    def _work(self) -> None:
        while True:
            if not self._comes.wait(IDLE_S):
                with self._lock:
                    if not self._comes.is_set():
                        self._thread = None
                        return
            time.sleep(PAUSE_S)
            self.flush()

    def flush(self) -> None:
        """Write what waits, now."""
        with self._writing:
            self._comes.clear()
            lines: dict[Path, list[dict[str, Any]]] = {}
            while self._queue:
                try:
                    note = self._queue.popleft()
                    if line := self._settled(note):
                        lines.setdefault(note.root, []).append(line)
                except IndexError:
                    break
                except Exception:
                    LOG.debug("a note of a query was dropped", exc_info=True)
            for root, some in lines.items():
                try:
                    write(root, some)
                except Exception:
                    self._of(root).dropped += len(some)
                    LOG.debug("the query log of %s could not be written", root, exc_info=True)

    def told(self, root: Path) -> Totals:
        """What this process was asked of a lake until now."""
        self.flush()
        return self._of(root)

    def _of(self, root: Path) -> Totals:
        return self.totals.get(root) or self.totals.setdefault(root, Totals())

    def _settled(self, note: Note) -> dict[str, Any] | None:
        """The line of a note; None for a profile that is of no query in question. Counts it, and says so if it was slow."""
        totals, line = self._of(note.root), note.line
        if note.profile:
            told = profiled(note.profile, note.candidates)
            if told is None:
                return None
            line = told
        else:
            totals.asked += 1
            totals.errors += line["status"] == "error"
            line = {**line, "query": masked(line["query"])}
            self._texts[line["id"]] = line["query"]
            if len(self._texts) > WAITING:
                del self._texts[next(iter(self._texts))]
            if line["lazy"] and line["ms"] < note.slow_ms:
                # Its end is not known yet.
                return {name: value for name, value in line.items() if name != "lazy"}
        slow = line["ms"] >= note.slow_ms
        totals.took(line["ms"], slow=slow)
        line = {name: value for name, value in line.items() if name != "lazy"} | {"slow": slow}
        if slow:
            query = self._texts.get(line["id"], "")
            LOG.warning(
                "slow query: %.0f ms, %s rows: %s",
                line["ms"],
                line.get("rows") if line.get("rows") is not None else "?",
                query,
                extra={"ms": round(line["ms"], 3), "rows": line.get("rows"), "bytes": line.get("bytes"), "query": query},
            )
        return line


WRITER = Writer()
atexit.register(WRITER.flush)
os.register_at_fork(after_in_child=WRITER.forked)
NUMBERED = itertools.count(1)


def profiled(profile: str, candidates: Sequence[Reading]) -> dict[str, Any] | None:
    """What DuckDB 2.0 told of a reading, of the newest query that it was of: its text is the query's, or is made of it; None if it was of none."""
    told = json.loads(profile)
    if "query" not in told:
        return None
    text = told["query"]["sql"].strip().rstrip(";")
    for one in reversed(candidates):
        if text and (text in one.text or one.text.strip().rstrip(";") in text):
            top = told["operator"][0] if told.get("operator") else {}
            inner = (top.get("children") or [top])[0]
            rows = inner.get("intermediate_rows") if top.get("type") == "RESULT_COLLECTOR" else top.get("intermediate_rows")
            ms = one.planned_ms + told["query"]["total_time"] * 1000
            return {"id": one.id, "ms": ms, "rows": rows, "bytes": told.get("io", {}).get("total_bytes_read")}
    return None


def record(
    root: Path,
    query: str,
    ms: float,
    *,
    rows: int | None = None,
    size: int | None = None,
    error: str = "",
    platform: str | None = None,
    user_name: str | None = None,
    session: str | None = None,
    slow_ms: float = 1000,
) -> None:
    """Note a query that has ended, for whoever times it themselves: `ms` in milliseconds, `size` in bytes read, `error` the kind of the error."""
    WRITER.put(Note(root, slow_ms, line(query, ms, ms, rows, size, error, platform, user_name, session)))


def line(
    query: str,
    ms: float,
    planned_ms: float | None,
    rows: int | None = None,
    size: int | None = None,
    error: str = "",
    platform: str | None = None,
    user_name: str | None = None,
    session: str | None = None,
    *,
    lazy: bool = False,
) -> dict[str, Any]:
    """A query as its line has it, but for the mask, which takes its time. `lazy` says that its rows were not read yet."""
    return {
        "id": f"{here()}-{next(NUMBERED)}",
        "at": time.time(),
        "user": user_name or whoami(),
        "session": session or here(),
        "platform": platform,
        "query": query[: LOOKED_AT + 1],
        "ms": ms,
        "planned_ms": planned_ms,
        "rows": rows,
        "bytes": size,
        "status": "error" if error else "ok",
        "error": error or None,
        "lazy": lazy,
    }


class Here:
    """Names of this process, looked up once: host and number, and the user. A fork is another process."""

    pid, began, host, user = 0, 0, platform.node(), ""


def here() -> str:
    """The name of this process: host, number, and when it began to ask."""
    if Here.pid != os.getpid():
        Here.pid, Here.began = os.getpid(), int(time.time())
    return f"{Here.host}-{Here.pid}-{Here.began:x}"


def whoami() -> str:
    """The user of this process, by the system."""
    if not Here.user:
        Here.user = user()
    return Here.user


# ---------------------------------------------------------------------- files


def place(root: Path) -> Path:
    """Where the log of a lake stands."""
    return root / "logs" / "queries.jsonl"


def write(root: Path, lines: Sequence[Mapping[str, Any]]) -> None:
    """Add lines to a lake's log, in one write. Raises `OSError`; makes no root."""
    path = place(root)
    # A lake that was removed meanwhile must not come back as a folder of logs.
    with suppress(FileExistsError):
        path.parent.mkdir()
    text = "".join(f"{json.dumps(one, ensure_ascii=False)}\n" for one in lines).encode(errors="replace")
    handle = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | getattr(os, "O_CLOEXEC", 0), 0o666)
    try:
        os.write(handle, text)
        full = os.fstat(handle).st_size >= LARGEST
    finally:
        os.close(handle)
    if full:
        set_aside(path)


def set_aside(path: Path) -> None:
    """Put a full log in the place of the older one, unless another process does."""
    from filelock import FileLock, Timeout

    with suppress(Timeout), FileLock(path.with_name(".queries.lock"), timeout=0):
        if path.stat().st_size >= LARGEST:
            path.replace(path.with_name("queries.1.jsonl"))


def entries(root: Path) -> list[dict[str, Any]]:
    """What is on record of a lake, oldest first: each query with what was told of it later. Lines that cannot be read are left out."""
    WRITER.flush()
    found, since = dict[str, dict[str, Any]](), time.time() - KEPT_S
    for path in (place(root).with_name("queries.1.jsonl"), place(root)):
        with suppress(OSError), path.open(encoding="utf-8", errors="replace") as lines:
            for text in lines:
                with suppress(ValueError, TypeError, KeyError):
                    one = json.loads(text)
                    if one["id"] in found:
                        found[one["id"]].update(one)
                    elif one["at"] >= since:
                        found[one["id"]] = one
    return list(found.values())


def rows(root: Path) -> list[tuple[Any, ...]]:
    """What is on record of a lake, as `COLUMNS` names the columns."""
    return [
        (
            one["id"],
            datetime.fromtimestamp(one["at"], UTC),
            one["user"],
            one["session"],
            one["platform"],
            one["query"],
            one["ms"],
            one["planned_ms"],
            one["rows"],
            one["bytes"],
            one["status"],
            one["error"],
            bool(one.get("slow")),
        )
        for one in entries(root)
    ]
