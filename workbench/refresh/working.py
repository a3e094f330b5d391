"""What a worker does, in any process of any machine: fetch a flat file, and write it into the lake, checked, in its place. The driver commits.

An `Order` says what is to be done, and stands on nothing of the driver's machine but a root and a source that both see. It holds no keys: a worker's own
settings do. It comes as bytes, so that no dashboard shows more of it than its length, and so that a worker of another version can say that it is one.
"""

import os
import pickle
import platform
import sys
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from workbench import __version__
from workbench.config import Settings
from workbench.errors import BadKeys, LakeError, LandingError, SourceError, UsageError
from workbench.lake.disk import sweep
from workbench.lake.identity import expect_known
from workbench.lake.landing import Job, land_or_refuse
from workbench.lake.landings import Landed, Landing
from workbench.lake.quarantine import Refusal
from workbench.lake.remote.where import remote_of
from workbench.lake.routing import ranges
from workbench.lake.store import LakeTable, utc_now
from workbench.sources import FlatFile, Source
from workbench.tables import TABLES

# Landings at once in a worker with many threads; the others may download meanwhile.
LANDERS = 2
LANDING = threading.BoundedSemaphore(LANDERS)
# What must be alike for two machines to write the same rows in the same way.
ALIKE = ("polars",)

# The worker, and: "done", and what came of the order; "unfit", and why it can do none; or "again", and why it could not do this one now.
Told = tuple[str, str, Any]


@dataclass(frozen=True)
class Order:
    """A flat file to fetch and to land.

    `settings` are those of the driver that say where the lake and the source are; `lake` is the lake's own name. What the plan knew of the file is as in
    `Job`. An order that `decides` cuts the table's ticker ranges by this file's rows.
    """

    settings: Mapping[str, Any]
    lake: str
    file: FlatFile
    bounds: tuple[str, ...] | None = None
    held: Landing | None = None
    mends: bool = False
    run: str = ""
    decides: bool = False


@dataclass(frozen=True)
class Came:
    """What came of an order: a landing to commit, a refusal, or the reason why the file could not be had. `seconds` are the worker's."""

    made: Landed | Refusal | str
    transferred: int = 0
    seconds: float = 0.0


class Unfit(Exception):
    """A worker can do no order of this kind, whatever the file; another may."""


def versions() -> dict[str, str]:
    """What is installed here of that which must be alike everywhere."""
    found = {"workbench": __version__}
    for name in ALIKE:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            found[name] = "none"
    return found


def work(alike: Mapping[str, str], order: bytes) -> Told:
    """Do an order, if this worker is of the driver's versions. Raises `LakeError` if the lake, or the disk for downloads, cannot be written."""
    here = versions()
    if here != dict(alike):
        mine, theirs = (" and ".join(f"{name} {one.get(name, 'none')}" for name in sorted({*here, *alike})) for one in (here, alike))
        return "unfit", name_of_worker(), f"it runs {mine}, and the driver {theirs}; install the same versions on both"
    try:
        return "done", name_of_worker(), done(pickle.loads(order))  # noqa: S301
    except Unfit as fault:
        return "unfit", name_of_worker(), str(fault)
    except SourceError as fault:
        return "again", name_of_worker(), str(fault)
    except LakeError as fault:
        # A bucket is written by way of this machine's own disk, which others do not share; a folder is one disk to all.
        if str(order_settings(order).get("data", "")).startswith("s3://"):
            return "unfit", name_of_worker(), str(fault)
        raise


def order_settings(order: bytes) -> Mapping[str, Any]:
    """The settings that an order tells."""
    told: Mapping[str, Any] = pickle.loads(order).settings  # noqa: S301
    return told


def done(order: Order) -> Came:
    """Fetch and land. Raises `Unfit` if this worker has no lake, no source or no keys, `SourceError` if the lake's bucket does not answer."""
    began = time.monotonic()
    try:
        settings = Settings.load(**order.settings)
        root = settings.root
        seen = expect_known(root)
        source = SOURCES.of(settings)
    except (UsageError, BadKeys) as fault:
        raise Unfit(str(fault)) from fault
    if seen.id != order.lake:
        held = f"the lake {seen.id}, not" if seen.id else "no lake; the driver means"
        raise Unfit(
            f"{order.settings['data']} holds {held} the lake {order.lake}; give the cluster a folder that all its machines see under that name, or a "
            "lake on s3://"
        )
    SWEPT.once(root)
    transferred = 0
    try:
        if source.name == "sample":
            # What is made up as it is listed need not have been made up on this machine.
            _, feed, day = order.file.place
            source.list(feed, day, day)
        fetched = source.fetch(order.file, settings.scratch / "fetch")
        transferred = fetched.transferred
        job = Job(
            fetched.path,
            order.file,
            source.name,
            root,
            order.bounds,
            order.held,
            mends=order.mends,
            lent=fetched.lent,
            run=order.run,
            began=utc_now(),
        )
        try:
            with LANDING:
                made = land_or_refuse(cut(job) if order.decides else job)
            if remote_of(root):
                forget(root, made)
        except FileNotFoundError:
            if job.path.exists():
                raise
            # A scheduler that takes a worker for lost has another do the same file: two on one disk share its download.
            gone = f"{order.file.key} was removed by another worker that landed it, too; nothing was landed here; refresh again"
            return Came(gone, transferred, time.monotonic() - began)
        finally:
            job.drop()
    except BadKeys as fault:
        raise Unfit(str(fault)) from fault
    except SourceError as fault:
        return Came(" ".join(str(fault).split()), transferred, time.monotonic() - began)
    return Came(made, transferred, time.monotonic() - began)


def forget(root: Path, made: Landed | Refusal) -> None:
    """Keep no copy of what is in the bucket now: a worker that lands for days would fill its disk with files that nobody reads here."""
    if isinstance(made, Refusal):
        made.path.unlink(missing_ok=True)
    else:
        folder = LakeTable(root, TABLES[made.landing.table]).folder
        for file in made.files:
            (folder / file.path).unlink(missing_ok=True)


def cut(job: Job) -> Job:
    """The job with ticker ranges that cut its own rows well."""
    try:
        return replace(job, bounds=ranges(job.path, job.file.place[0], job.file.key))
    except LandingError:
        # Landing finds the same fault and says what is wrong with the file; the next file decides.
        return replace(job, bounds=())


def name_of_worker() -> str:
    """What this worker is called by its scheduler; else its machine and process."""
    if distributed := sys.modules.get("distributed"):
        try:
            return str(distributed.get_worker().address)
        except ValueError:
            pass
    return f"{platform.node()}, process {os.getpid()}"


# ---------------------------------------------------------------------- what a process keeps


@dataclass
class Sources:
    """Sources of this process, for the connections that they keep."""

    held: dict[tuple[str, ...], Source] = field(default_factory=dict, repr=False)

    def of(self, settings: Settings) -> Source:
        """The source that settings choose. Raises `UsageError` if it is not there."""
        kind = settings.chosen_source.partition(":")[0]
        if kind == "folder":
            from workbench.sources.folder import Folder

            return Folder(settings.folder)
        if kind == "sample":
            from workbench.refresh.chain import made_up

            return made_up()
        from workbench.sources.polygon_s3 import PolygonS3

        keys = settings.polygon_s3_access_key, settings.polygon_s3_secret_key
        at = settings.polygon_s3_endpoint, settings.polygon_s3_bucket
        return self.held.get((*at, *keys)) or self.held.setdefault((*at, *keys), PolygonS3(*at, *keys))


@dataclass
class Swept:
    """The roots of which this process has removed what a worker left that was killed."""

    roots: set[str] = field(default_factory=set)

    def once(self, root: Path) -> None:
        """Remove the drafts of this machine's processes that are no more, the first time."""
        if str(root) not in self.roots:
            self.roots.add(str(root))
            sweep(root)


SOURCES, SWEPT = Sources(), Swept()
