"""What a lake and this process tell a Prometheus server, as its text format: gauges of the lake, counts of queries.

A scrape reads no rows. What the lake tells is kept for a few seconds, so that several servers, or an impatient one, cost no more than one; queries and
the process are told as they are at that moment.
"""

import os
import platform
import shutil
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import suppress
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from workbench import sessions
from workbench.config import Settings
from workbench.errors import LakeError, MissingExtra, WorkbenchError
from workbench.lake.backup import notes
from workbench.lake.identity import identity
from workbench.lake.operations import Operations
from workbench.lake.records import written
from workbench.lake.snapshots import Snapshot
from workbench.lake.store import Lake
from workbench.query import standing
from workbench.query.querylog import EDGES, WRITER, Totals
from workbench.query.status import open_refusals
from workbench.tables import TABLES

if TYPE_CHECKING:
    from prometheus_client.core import Metric

KEPT_S = 5.0
STATES = ("running", "done", "failed", "findings", "stopped", "broken off")
VALUES = {"good": 0, "look": 1, "bad": 2}
STATUSES = ("healthy", "degraded", "unhealthy")


class Metrics:
    """The metrics of one bench. `shown` gives the versions of its tables, `ran` the runs on record. Safe for threads."""

    def __init__(
        self, lake: Lake, settings: Settings, shown: Callable[[], Mapping[str, Snapshot]], ran: Callable[[], Iterable[Any]] = tuple
    ):
        self._lake, self._settings, self._shown, self._ran = lake, settings, shown, ran
        self._lock = threading.Lock()
        self._told: tuple[float, list[Metric]] = (-KEPT_S, [])

    def text(self) -> str:
        """All of it, in Prometheus's text format. Raises `MissingExtra` without prometheus-client."""
        try:
            from prometheus_client import CollectorRegistry, generate_latest
        except ImportError as fault:
            raise MissingExtra(
                "metrics need prometheus-client, which is not installed; nothing was measured. pip install 'workbench[api]'"
            ) from fault
        registry = CollectorRegistry(auto_describe=False)
        registry.register(self)
        return generate_latest(registry).decode()

    def describe(self) -> list[Any]:
        """Nothing: whoever registers a collector asks this, and must not have it collect."""
        return []

    def collect(self) -> Iterator["Metric"]:
        """The families, those of the lake as they were a few seconds ago at most."""
        with self._lock:
            if time.monotonic() - self._told[0] >= KEPT_S:
                began = time.perf_counter()
                found = list(self._of_lake())
                found.append(gauge("workbench_scrape_seconds", "Seconds that it took to look at the lake.", time.perf_counter() - began))
                self._told = time.monotonic(), found
            yield from self._told[1]
        yield from of_queries(WRITER.told(self._lake.root))
        yield from of_process()

    # ------------------------------------------------------------------ the lake

    def _of_lake(self) -> Iterator["Metric"]:
        from workbench import __version__

        build = {"version": __version__, "python": platform.python_version(), "root": self._lake.where}
        with suppress(WorkbenchError):
            build["format"] = str(identity(self._lake.root).format)
        yield info("workbench_build_info", "The library, and the lake that it tells of.", {"format": "", **build})
        told = standing.health(self._lake, None, self._ran, self._settings)
        yield from of_health(told)
        with suppress(OSError):
            disk = shutil.disk_usage(self._lake.root)
            yield gauge("workbench_disk_free_bytes", "Room on the disk of the lake.", disk.free)
            yield gauge("workbench_disk_size_bytes", "Size of the disk of the lake.", disk.total)
        if not self._lake.exists:
            return
        for look in (self._of_tables, self._of_journal, self._of_runs, self._of_backups):
            # What is damaged is told by its check; the rest is told all the same.
            with suppress(WorkbenchError, OSError):
                yield from list(look())

    def _of_tables(self) -> Iterator["Metric"]:
        held: dict[str, Snapshot] = {}
        try:
            held.update(self._shown())
        except LakeError:
            for name in TABLES:
                with suppress(LakeError):
                    held[name] = self._lake[name].snapshot()
        rows, size, files = (families(f"workbench_table_{what}", doc) for what, doc in SIZES)
        commits = families("workbench_table_commits_total", "Commits of a table.", kind="counter")
        newest = families("workbench_table_newest_session_timestamp_seconds", "Midnight (UTC) of the newest session of a table.")
        behind = families("workbench_table_sessions_behind", "Sessions that are due and have not landed since the newest.")
        refused = families("workbench_quarantine_refusals", "Files, and files with rows, that were refused and not made good.")
        due = sessions.last_due()
        for name, shot in held.items():
            if shot.version < 0:
                continue
            for family, value in ((rows, shot.rows), (size, shot.size), (files, 0 if shot.stats is None else len(shot.stats))):
                family.add_metric([name], value)
            commits.add_metric([name], shot.version + 1)
            refused.add_metric([name], len(open_refusals(self._lake, name)))
            if shot.stats is None or TABLES[name].kind == "reference" or not TABLES[name].feeds:
                continue
            if last := max(standing.landed_days(self._lake, name, shot), default=None):
                newest.add_metric([name], datetime(last.year, last.month, last.day, tzinfo=UTC).timestamp())
                behind.add_metric([name], len(sessions.between(TABLES[name], last, due)[1:]))
        for record in written(self._lake.root):
            with suppress(LakeError):
                shot = record.snapshot()
                for family, value in ((rows, shot.rows), (size, shot.size), (files, 0 if shot.stats is None else len(shot.stats))):
                    family.add_metric([record.name], value)
                commits.add_metric([record.name], shot.version + 1)
        yield from (rows, size, files, commits, newest, behind, refused)

    def _of_journal(self) -> Iterator["Metric"]:
        journal = Operations(self._lake.root)
        try:
            yield gauge(
                "workbench_journal_rows", "Rows that people wrote and that are not folded yet.", sum(n for n, _ in journal.held().values())
            )
            yield gauge("workbench_journal_bytes", "Bytes of the journal of such rows.", journal.size)
        finally:
            journal.close()

    def _of_runs(self) -> Iterator["Metric"]:
        found = list(self._ran())
        states = Counter(run.state for run in found)
        told = families("workbench_runs", "Runs on record, by state.", ("state",))
        for state in STATES:
            told.add_metric([state.replace(" ", "_")], states[state])
        yield told
        done = [run.ended for run in found if run.kind == "refresh" and run.state in ("done", "findings") and run.ended]
        if done:
            yield gauge("workbench_last_refresh_run_timestamp_seconds", "When the newest run of a refresh ended well.", seconds(max(done)))

    def _of_backups(self) -> Iterator["Metric"]:
        ages = families(
            "workbench_last_good_timestamp_seconds", "When the newest good backup, drill, restore or check of a backup ended.", ("kind",)
        )
        good = families("workbench_last_was_good", "Whether the newest backup, drill, restore or check of a backup was good.", ("kind",))
        for kind in notes.KINDS:
            if last := notes.last(self._lake.root, kind):
                good.add_metric([kind], last.good)
            if well := notes.last(self._lake.root, kind, good=True):
                ages.add_metric([kind], well.at.timestamp())
        yield from (ages, good)


SIZES = (
    ("rows", "Rows of a table, in its live files."),
    ("bytes", "Bytes of a table's live files."),
    ("files", "Live files of a table."),
)


def of_health(told: Any) -> Iterator["Metric"]:
    """The checks, and what comes of them."""
    health = families("workbench_health_check", "How a thing stands that was looked at: 0 good, 1 to look at, 2 bad.", ("check",))
    for one in told:
        health.add_metric([one["name"]], VALUES[one["state"]])
    yield health
    status = families("workbench_health_status", "1 for how the lake stands: healthy, degraded or unhealthy.", ("status",))
    for name in STATUSES:
        status.add_metric([name], told.facts["status"] == name)
    yield status
    yield gauge("workbench_lake_bytes", "Bytes of the lake's live files and journals.", told.facts["size_bytes"])
    for one in told:
        if one["name"] == "last refresh" and one["value"] is not None:
            yield gauge(
                "workbench_last_refresh_age_seconds", "Seconds since rows last landed, or a refresh last ended.", one["value"] * 3600
            )


def of_queries(totals: Totals) -> Iterator["Metric"]:
    """The queries that this process was asked about the lake."""
    from prometheus_client.core import HistogramMetricFamily

    for name, doc, value in (
        ("workbench_queries_total", "Queries that this process was asked.", totals.asked),
        ("workbench_query_errors_total", "Those that were refused or failed.", totals.errors),
        ("workbench_queries_slow_total", "Those that took WORKBENCH_SLOW_MS or longer.", totals.slow),
        ("workbench_query_notes_dropped_total", "Those that the query log has no line of.", totals.dropped),
    ):
        family = families(name, doc, (), kind="counter")
        family.add_metric([], value)
        yield family
    buckets, count = list[tuple[str, float]](), 0
    for edge, n in zip((*EDGES, float("inf")), totals.buckets, strict=True):
        count += n
        buckets.append(("+Inf" if edge == float("inf") else str(edge), count))
    histogram = HistogramMetricFamily("workbench_query_seconds", "Seconds of queries whose end is known.")
    histogram.add_metric([], buckets, totals.seconds)
    yield histogram


def of_process() -> Iterator["Metric"]:
    """Memory and open files of this process, where the system tells them."""
    with suppress(OSError, ValueError, IndexError):
        with open("/proc/self/statm") as text:
            pages = int(text.read().split()[1])
        yield gauge("process_resident_memory_bytes", "Memory of this process.", pages * os.sysconf("SC_PAGE_SIZE"))
    for folder in ("/proc/self/fd", "/dev/fd"):
        with suppress(OSError):
            yield gauge("process_open_fds", "Files that this process has open.", len(os.listdir(folder)))  # noqa: PTH208
            return


# ---------------------------------------------------------------------- families


def gauge(name: str, doc: str, value: float) -> "Metric":
    """A single value."""
    from prometheus_client.core import GaugeMetricFamily

    return GaugeMetricFamily(name, doc, value=float(value))


def info(name: str, doc: str, labels: Mapping[str, str]) -> "Metric":
    """A 1 with labels."""
    from prometheus_client.core import GaugeMetricFamily

    family = GaugeMetricFamily(name, doc, labels=list(labels))
    family.add_metric(list(labels.values()), 1.0)
    return family


def families(name: str, doc: str, labels: Iterable[str] = ("table",), kind: str = "gauge") -> Any:
    """A family to add values to, with its labels."""
    from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily

    return (CounterMetricFamily if kind == "counter" else GaugeMetricFamily)(name, doc, labels=list(labels))


def seconds(instant: str) -> float:
    """An instant in ISO form as seconds since 1970."""
    return datetime.fromisoformat(instant).timestamp()
