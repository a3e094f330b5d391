"""Checks that tell whether a lake can be relied upon: whose it is, its logs whole, versions that fit each other, a clock that goes right, backups.

All of them are cheap: they read names, the newest commit of each table and a few small files, and no rows. `workbench verify` reads everything.
"""

import json
import platform
import time
from collections.abc import Mapping
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path
from zoneinfo import ZoneInfo

from workbench.config import Settings
from workbench.errors import WorkbenchError
from workbench.lake.backup import notes
from workbench.lake.history import COMMIT_DIGITS
from workbench.lake.identity import FORMAT, NAME, expect_known
from workbench.lake.remote.where import remote_of
from workbench.lake.snapshots import Snapshot
from workbench.lake.store import Lake
from workbench.query.checks import Check, State
from workbench.query.report import sized

# The oldest versions that the library works with, and single ones that it does not: as pyproject.toml has them.
NEEDS = {"duckdb": (1, 5, 5), "deltalake": (1, 6, 6), "pyarrow": (25,), "polars": (2, 1)}
UNFIT = {"duckdb": ("1.5.6",)}
# Clocks of machines that share a lake may differ by so much.
AHEAD_S = 60.0
# A backup that is older than this, or a drill, wants a look, once there was one.
BACKUP_H, DRILL_H = 48.0, 24.0 * 92
# What every Parquet file ends with.
PARQUET = b"PAR1"
# A bucket that takes longer for a small answer is far away, or overloaded.
SLOW_S = 1.0


def named(lake: Lake) -> Check:
    """Whether there is a lake, of a format that this library reads. Raises `NewerLake` for a later one, and `LakeError` for a torn `lake.json`."""
    if not lake.exists:
        return Check(
            "lake",
            "bad",
            None,
            "format",
            f"{lake.where} holds no lake. Make one with `workbench refresh`, or name another root in WORKBENCH_DATA.",
        )
    found = expect_known(lake.root)
    if found.format < FORMAT:
        told = (
            f"The lake is of format {found.format}, and this library writes {FORMAT}: `workbench migrate` says what would be moved forward."
        )
        return Check("lake", "good", found.format, "format", told)
    return Check(
        "lake", "good", found.format, "format", f"The lake is {found.id}, of format {found.format}, made by workbench {found.made_by}."
    )


# ---------------------------------------------------------------------- logs


def whole(lake: Lake) -> Check:
    """Whether the log of every table has all its commits, a newest one that can be read, and a checkpoint where it names one."""
    tables, commits, odd = 0, 0, list[str]()
    for log in sorted((lake.root / "lake").glob("*/*/_delta_log")):
        name = f"{log.parent.parent.name}.{log.parent.name}".removeprefix("main.")
        versions = sorted(int(path.name[:COMMIT_DIGITS]) for path in log.iterdir() if commit(path.name))
        tables, commits = tables + bool(versions), commits + len(versions)
        if why := gap(versions) or torn(log, versions) or lame(log):
            odd.append(f"{name}: {why}.")
    if odd:
        remedy = " `workbench verify` tells more; bring the files back from a backup."
        return Check("log", "bad", len(odd), "damaged", " ".join(odd) + remedy)
    return Check(
        "log", "good", 0, "damaged", f"The logs of {tables:,} table{'s' * (tables != 1)} are whole: {commits:,} commits, none missing."
    )


def commit(name: str) -> bool:
    """Whether a file of a log is a commit: drafts and compacted logs have longer names."""
    return len(name) == COMMIT_DIGITS + 5 and name.endswith(".json") and name[:COMMIT_DIGITS].isdigit()


def gap(versions: list[int]) -> str:
    """Which commits are missing, if any are."""
    missing = (versions[-1] + 1 - len(versions)) if versions else 0
    if not missing:
        return ""
    first = next(n for n, version in enumerate([*versions, -1]) if n != version)
    return f"commit {first} is missing" + f" and {missing - 1:,} more" * (missing > 1)


def torn(log: Path, versions: list[int]) -> str:
    """Whether the newest commit, where a loss of power leaves one half written, can be read."""
    if not versions:
        return ""
    path = log / f"{versions[-1]:0{COMMIT_DIGITS}}.json"
    try:
        actions = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
    except (OSError, ValueError) as fault:
        return f"commit {versions[-1]} cannot be read ({fault})"
    return "" if any("commitInfo" in one for one in actions) else f"commit {versions[-1]} says nothing of itself"


def lame(log: Path) -> str:
    """Whether the checkpoint that a log names is there, and whole as far as its two ends tell."""
    pointer = log / "_last_checkpoint"
    if not pointer.exists():
        return ""
    try:
        version = int(json.loads(pointer.read_text(encoding="utf-8"))["version"])
        with (log / f"{version:0{COMMIT_DIGITS}}.checkpoint.parquet").open("rb") as file:
            begins = file.read(4)
            file.seek(-4, 2)
            ends = file.read(4)
    except (OSError, ValueError, KeyError, TypeError) as fault:
        return f"its checkpoint cannot be read ({fault})"
    return "" if begins == ends == PARQUET else f"the checkpoint of version {version} is no whole Parquet file"


# ---------------------------------------------------------------------- versions, clock


def versions() -> Check:
    """What the library runs on, and which of it does not fit."""
    from workbench import __version__

    found = {name: metadata.version(name) for name in NEEDS}
    odd = [
        f"{name} {found[name]} is older than {'.'.join(map(str, least))}" for name, least in NEEDS.items() if number(found[name]) < least
    ]
    odd += [f"{name} {found[name]} is known not to work" for name, unfit in UNFIT.items() if found[name] in unfit]
    told = f"workbench {__version__}, Python {platform.python_version()}, " + ", ".join(f"{name} {one}" for name, one in found.items())
    state: State = "bad" if odd else "good"
    return Check("versions", state, len(odd), "unfit", f"{told}." + f" {'; '.join(odd)}: install what the library asks for." * bool(odd))


def number(version: str) -> tuple[int, ...]:
    """A version as numbers: what follows a letter is left out."""
    found = []
    for piece in version.split("."):
        digits = piece[: next((n for n, c in enumerate(piece) if not c.isdigit()), len(piece))]
        if not digits:
            break
        found.append(int(digits))
        if digits != piece:
            break
    return tuple(found)


def clock(lake: Lake, shots: Mapping[str, Snapshot]) -> Check:
    """Whether anything in the lake is of the future, and whether time zones are known."""
    try:
        ZoneInfo("America/New_York")
    except (KeyError, ValueError, OSError) as fault:
        return Check(
            "clock",
            "bad",
            None,
            "seconds ahead",
            f"No time zones are known ({fault}): sessions cannot be told. Install the package tzdata.",
        )
    now, newest, whose = datetime.now(UTC), datetime.min.replace(tzinfo=UTC), ""
    for name, shot in shots.items():
        if shot.version < 0:
            continue
        written = lake[name].commit_path(shot.version)
        told = [lake[name].commits(shot.version)[-1].at]
        if written.exists():
            told.append(datetime.fromtimestamp(written.stat().st_mtime, UTC))
        if max(told) > newest:
            newest, whose = max(told), name
    ahead = (newest - now).total_seconds()
    if ahead > AHEAD_S:
        said = f"The newest commit of {whose} is of {newest:%Y-%m-%d %H:%M} UTC, and it is {now:%Y-%m-%d %H:%M} UTC here: a clock goes wrong. Set this machine's by NTP."
        return Check("clock", "look", round(ahead), "seconds ahead", said)
    return Check("clock", "good", 0, "seconds ahead", "Nothing in the lake is of the future, and time zones are known.")


# ---------------------------------------------------------------------- backups


def backed_up(lake: Lake, settings: Settings | None) -> list[Check]:
    """How old the newest good backup is, and the newest drill; and whether the newest of each failed.

    A lake that nobody ever backed up is told, and wants a look only where a place for backups is set.
    """
    meant = str(getattr(settings, "backup", "") or "")
    found = []
    for kind, limit, command in (("backup", BACKUP_H, "workbench backup"), ("drill", DRILL_H, "workbench backup drill")):
        last, good = notes.last(lake.root, kind), notes.last(lake.root, kind, good=True)
        if last is None:
            state: State = "look" if meant and kind == "backup" else "good"
            told = f"There was no {kind} of this lake yet: `{command} {meant or 'DEST'}` makes one."
            found.append(Check(kind, state, None, "hours", told))
            continue
        hours = max(time.time() - good.at.timestamp(), 0) / 3600 if good else None
        when = f"The newest good one is of {good.at.astimezone(UTC):%Y-%m-%d %H:%M} UTC, {good.where}" if good else "None was ever good"
        if not last.good:
            found.append(Check(kind, "bad", hours, "hours", f"The last {kind} failed{f': {last.said}' if last.said else ''}. {when}."))
        elif hours is not None and hours > limit:
            found.append(Check(kind, "look", hours, "hours", f"{when}: that is long ago; `{command} {last.where}` makes another."))
        else:
            found.append(Check(kind, "good", hours, "hours", f"{when}."))
    return found


# ---------------------------------------------------------------------- the bucket


def answering(lake: Lake) -> list[Check]:
    """Whether the bucket that a lake stands in answers, and how long a look takes; nothing of a lake in a folder."""
    remote = remote_of(lake.root)
    if remote is None:
        return []
    began = time.monotonic()
    try:
        there = remote.size(NAME)
        took = time.monotonic() - began
        # What it takes to read anything: not all that may be asked for one object may be asked for a list of them.
        remote.mirror.look()
    except WorkbenchError as fault:
        return [Check("bucket", "bad", time.monotonic() - began, "seconds", str(fault))]
    if there is None:
        return [Check("bucket", "bad", took, "seconds", f"{remote.where} answers, and holds no {NAME}: no lake is there any more.")]
    told = f"{remote.where} answers within {took * 1000:,.0f} ms."
    if took > SLOW_S:
        return [
            Check("bucket", "look", took, "seconds", f"{told} Every refresh and every look for new rows waits so long: see to the network.")
        ]
    return [Check("bucket", "good", took, "seconds", told)]


def held(lake: Lake, settings: Settings | None) -> list[Check]:
    """How much of a bucket's data this machine holds; nothing of a lake in a folder."""
    remote = remote_of(lake.root)
    if remote is None:
        return []
    size, most = remote.held.size(), settings.cache_bytes if settings else remote.held.limit
    told = f"This machine holds {sized(size)} of its data, of {sized(most)} that it may (WORKBENCH_CACHE_SIZE), in its cache, {lake.root}."
    return [Check("cache", "good", size, "bytes", f"{told} `workbench clean --cache --yes` lets it go.")]
