"""Delta tables made, and committed to, whatever stands in them; what it takes for a commit to be there after a loss of power."""

import logging
import random
import time
import uuid
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import TYPE_CHECKING

from workbench.errors import Unreachable, WorkbenchError
from workbench.lake.disk import disk, sync
from workbench.lake.identity import claim
from workbench.lake.log import Forks, TableLog
from workbench.lake.who import by

if TYPE_CHECKING:
    from deltalake import CommitProperties, DeltaTable, Schema, Transaction
    from deltalake.transaction import AddAction, RemoveAction

ATTEMPTS = 40
# What fails within that is a line that was closed.
SOON_S = 5.0
LOG = logging.getLogger("workbench.lake")

# Checkpoints keep no commit information, and landing records live in it: the log is kept for good.
CONFIGURATION = {
    "delta.logRetentionDuration": "interval 36500 days",
    "delta.enableExpiredLogCleanup": "false",
    "delta.checkpointInterval": "100",
}
# Of a table with more columns, Delta keeps statistics of the first ones only, and ours stand last.
FIRST = 32
WIDE = {"delta.dataSkippingNumIndexedCols": "-1"}


def make(log: TableLog, schema: "Schema", partitions: Sequence[str], doc: str) -> None:
    """Make a Delta table, if it is not there."""
    from deltalake import DeltaTable
    from deltalake.exceptions import DeltaError

    if log.exists:
        return
    Forks.expect_none(log.name)
    claim(log.root, f"{log.name} was not made")
    try:
        with disk(log.root, f"{log.name} was not made"), meant(log, f"{log.name} was not made"):
            if log.remote is None:
                log.folder.mkdir(parents=True, exist_ok=True)
            DeltaTable.create(
                log.remote.url_of(log.folder) if log.remote else log.folder,
                storage_options=log.remote.options() if log.remote else None,
                schema=schema,
                partition_by=list(partitions),
                mode="ignore",
                name=log.name,
                description=doc,
                configuration=CONFIGURATION | (WIDE if len(schema.fields) > FIRST else {}),
                commit_properties=properties({}),
            )
    except DeltaError:
        # Somebody else was first; anything else shows when the table is opened.
        log.follow()
        if not log.exists:
            raise
    settle(log, 0)
    for folder in () if log.remote else (log.folder, log.folder.parent, log.folder.parent.parent):
        sync(folder)


def commit(
    log: TableLog,
    delta: "DeltaTable",
    actions: "Sequence[AddAction | RemoveAction]",
    schema: "Schema",
    partitions: Sequence[str],
    metadata: Mapping[str, str],
    transactions: "Sequence[Transaction]" = (),
) -> bool:
    """Write the commit after the version that `delta` stands at, for good; False, and nothing done, if another writer was first."""
    from deltalake.exceptions import CommitFailedError

    claim(log.root, f"nothing was committed to {log.name}")
    version, writer = delta.version() + 1, uuid.uuid4().hex
    undone, paths = f"nothing was committed to {log.name}", {one.path for one in actions}
    for again in (True, False):
        writing = log.writable(delta)
        if writing is None:
            log.follow()
            return False
        began = time.monotonic()
        try:
            with disk(log.root, undone), meant(log, undone):
                writing.create_write_transaction(
                    list(actions),
                    "append",
                    schema,
                    list(partitions),
                    commit_properties=properties({**metadata, "writer": writer}, transactions),
                )
        except Exception as fault:
            # A commit stands once its file does: a checkpoint that cannot be written after it is made later. Where the bucket has not said so, it may yet.
            log.doubtful |= paths if log.remote else set()
            log.follow()
            if not log.committed(version) or writer not in log.commit_path(version).read_text():
                if isinstance(fault, CommitFailedError):
                    log.doubtful -= paths
                    return False
                # delta-rs asks no store again to put something; one that has stalled is not asked again here either.
                if again and isinstance(fault, Unreachable) and time.monotonic() - began < SOON_S:
                    continue
                raise
            log.doubtful -= paths
        seen(log, version, paths)
        log.written(writing)
        return True
    raise AssertionError("the last attempt has ended")


def seen(log: TableLog, version: int, paths: set[str]) -> None:
    """Settle a commit that stands. Where it cannot be brought here, it is brought by a later look, and its files are nobody's to remove until then."""
    try:
        settle(log, version)
    except (WorkbenchError, OSError) as fault:
        if log.remote is None:
            raise
        log.doubtful |= paths
        log.remote.mirror.stale()
        LOG.warning("%s: version %d is committed, and cannot be brought here yet: %s", log.name, version, fault)


def properties(metadata: Mapping[str, str], transactions: "Sequence[Transaction]" = ()) -> "CommitProperties":
    """What a commit carries besides its actions, and who makes it; another's that comes first ends it."""
    from deltalake import CommitProperties

    return CommitProperties(custom_metadata={**metadata, "by": by()}, app_transactions=list(transactions), max_commit_retries=0)


def settle(log: TableLog, version: int) -> None:
    """Have the disk keep a commit: a machine that loses its power must not leave one without its text. A bucket has what it said it has."""
    path = log.commit_path(version)
    if log.remote:
        log.follow()
    else:
        sync(path)
        sync(path.parent)
    # The first only makes the table.
    if version:
        LOG.info("%s: version %d is committed", log.name, version, extra={"table": log.name, "version": version})


def meant(log: TableLog, undone: str) -> AbstractContextManager[None]:
    """Say what errors of a bucket mean, where the table stands in one."""
    return log.remote.meant(undone) if log.remote else nullcontext()


def pause(attempt: int) -> None:
    """Wait a little before the next attempt to commit, longer each time.

    Another writer has won the version; jitter keeps two that collided from colliding again. It is no secret that the numbers are guessable.
    """
    # Nobody tells when the other writer is done: the log is files, and its lock is a name that is taken.
    time.sleep(random.uniform(0.001, 0.01 * 1.3 ** min(attempt, 15)))  # noqa: S311
