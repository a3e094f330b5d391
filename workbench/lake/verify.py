"""The lake against itself: log, files, statistics, contents, landing records and quarantine, each against the others.

A fault is something that a reader could be misled by; a note is something that is there and need not be. Each says which command mends it.
What bytes say instead of what they should is found where it makes a page unreadable, rows disordered, keys double or statistics wrong; any
other value is found in cold files, whose commit keeps a hash of their rows, and not in hot files, whose landing keeps none of what it wrote.
"""

import json
import os
import time
from collections import Counter, defaultdict
from collections.abc import Generator, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import date
from pathlib import Path
from typing import Any

from workbench.errors import LakeError
from workbench.lake import contents, leftovers, quarantine, verify_journal, verify_records
from workbench.lake.cold import Part
from workbench.lake.files import Checked, Finding, check, where_to
from workbench.lake.history import History, history
from workbench.lake.landings import Landing, Reset, Retired, Rewound, hasher, restored, withdrawn
from workbench.lake.readers import Reader
from workbench.lake.records import RecordTable, record_named, written
from workbench.lake.remote.where import readable
from workbench.lake.snapshots import LiveFile, Snapshot
from workbench.lake.store import Lake, LakeTable
from workbench.lake.tiering import part_of
from workbench.lake.vacuum import standing
from workbench.tables import TABLES

WORKERS = 2
# Of a bucket, much of the time is waiting for answers.
FAR_WORKERS = 8


@dataclass
class Verified:
    """What was found, and how much was looked at. `deep` says that every row was read."""

    deep: bool
    findings: list[Finding] = field(default_factory=list)
    tables: int = 0
    commits: int = 0
    files: int = 0
    rows: int = 0
    size: int = 0
    landings: int = 0
    seconds: float = 0.0

    @property
    def faults(self) -> list[Finding]:
        """The findings that are faults."""
        return [one for one in self.findings if one.severity == "fault"]


def verify(lake: Lake, tables: Sequence[str] | None = None, *, deep: bool = True, scratch: Path | None = None) -> Verified:
    """Check tables (default: all). Changes nothing; others may land, compact and vacuum meanwhile.

    Not `deep`, it reads the log and the files' footers, and no rows. `scratch` is this machine's own folder.
    """
    began = time.monotonic()
    done = Verified(deep)
    for name in tables or (*TABLES, *(one.name for one in written(lake.root))):
        if record := record_named(lake.root, name):
            of_people(RecordTable(lake.root, record), done)
            continue
        # Anew: a snapshot that was read before hides what happened to the log since.
        table = LakeTable(lake.root, TABLES[name])
        table.mend()
        table.follow()
        if table.folder.exists():
            done.tables += 1
            done.findings += table_findings(table, done)
        done.findings += quarantine_findings(lake.root, name)
    if not tables or any(record_named(lake.root, name) for name in tables):
        done.findings += verify_journal.findings(lake.root, tables or None, deep=deep)
    left = leftovers.clean(lake.root, scratch or lake.root / "tmp")
    if left and not tables:
        size = sum(one.size for one in left)
        kinds = ", ".join(f"{n} {kind}" for kind, n in Counter(one.kind for one in left).items())
        what = f"{len(left)} leftovers of processes that are no more, {size:,} bytes: {kinds}"
        done.findings.append(Finding("", "leftovers", "note", str(lake.root), what, "`workbench clean --yes` removes them"))
    done.seconds = time.monotonic() - began
    return done


def of_people(table: RecordTable, done: Verified) -> None:
    """Everything about one table that people write."""
    told = history(table.folder)
    done.findings += verify_records.findings(table, deep=done.deep)
    done.tables += table.folder.exists()
    done.commits += len(told.infos)
    done.files += len(told.live)
    done.size += sum(life.size for life in told.live.values())
    done.rows += sum(json.loads(life.stats or "{}").get("numRecords", 0) for life in told.live.values())


def table_findings(table: LakeTable, done: Verified) -> Iterator[Finding]:
    """Everything about one table."""
    name = table.table.name
    on_disk = {one.path: one for one in standing(table)[0]}
    reader = Reader(table.root)
    try:
        # Registered, so that a vacuum meanwhile leaves these files.
        shot = reader.following(lambda _: {name: table.snapshot()})[name]
        told = history(table.folder)
        yield from log_findings(table, told, shot)
        if shot.version < 0 and on_disk:
            yield lost_log(table, len(on_disk))
        done.commits += len(told.infos)
        checked = yield from file_findings(table, shot, told, done)
        if told.faults:
            return  # records and orphans would be told from commits that are not there
        landings, odd = records(table, told, shot.version)
        yield from odd
        done.landings += len(landings)
        yield from session_findings(table, shot, landings, checked if done.deep else None)
        if done.deep:
            yield from key_findings(table, shot, checked)
            yield from rewrite_findings(table, shot.by_path, told, checked)
        orphans = [one for path, one in on_disk.items() if path not in told.files]
        if orphans:
            what = f"{len(orphans)} files that no commit knows, {sum(one.size for one in orphans):,} bytes; no reader sees them"
            yield Finding(name, "orphans", "note", orphans[0].path, what, "`workbench vacuum --yes` removes them when they are a day old")
    except LakeError as fault:
        told = history(table.folder)
        seen = [Finding(name, "log", "fault", readable(path), why, restore(table)) for path, why in told.faults.items()]
        seen = seen or records(table, told, told.version)[1]
        yield from seen or [Finding(name, "log", "fault", readable(table.folder / "_delta_log"), str(fault), restore(table))]
    finally:
        reader.close()


# ---------------------------------------------------------------------- the log


def restore(table: LakeTable) -> str:
    """What mends a damaged log."""
    return (
        f"bring the file back from a backup; or remove {readable(table.folder)} and `workbench refresh {table.table.name} --start DATE`: what the source "
        "still has lands again"
    )


def lost_log(table: LakeTable, count: int) -> Finding:
    """A table with files and no log."""
    return Finding(
        table.table.name,
        "log",
        "fault",
        readable(table.folder / "_delta_log"),
        f"it is gone, and {count} data files are there",
        restore(table),
    )


def log_findings(table: LakeTable, told: History, shot: Snapshot) -> Iterator[Finding]:
    """The commits: all there and legible; and the checkpoint, which must say what they say."""
    name, log = table.table.name, table.folder / "_delta_log"
    for path, why in told.faults.items():
        yield Finding(name, "log", "fault", readable(path), why, restore(table))
    remedy = f"remove {readable(log)}/_last_checkpoint and {readable(log)}/*.checkpoint.parquet: the commits are whole, and the next ones write them again"
    pointer = log / "_last_checkpoint"
    if pointer.exists():
        try:
            version = int(json.loads(pointer.read_text())["version"])
            import pyarrow.parquet as pq

            pq.read_metadata(log / f"{version:020}.checkpoint.parquet")
        except Exception as fault:
            yield Finding(name, "checkpoint", "fault", str(pointer), f"it cannot be read ({str(fault).splitlines()[0]})", remedy)
            return
    if not told.faults and shot.version == told.version and shot.by_path.keys() != told.live.keys():
        odd = sorted(shot.by_path.keys() ^ told.live.keys())
        yield Finding(
            name,
            "checkpoint",
            "fault",
            odd[0],
            f"{len(odd)} files are in the checkpoint's version and not in the commits', or the other way",
            remedy,
        )


# ---------------------------------------------------------------------- files


def file_findings(table: LakeTable, shot: Snapshot, told: History, done: Verified) -> Generator[Finding, None, dict[str, Checked]]:
    """Every live file; returns what each holds."""
    checked: dict[str, Checked] = {}
    hashed = (
        {path for info in told.infos.values() for path in rewrite_of(info).get("added", [])} & shot.by_path.keys() if done.deep else set()
    )
    # Few at a time: what is in memory is bounded by the workers' pieces.
    with ThreadPoolExecutor(FAR_WORKERS if table.remote and not done.deep else min(WORKERS, os.cpu_count() or 1)) as pool:
        for files in batches(shot.files, 64):
            work = [
                pool.submit(check, table, file, told.files.get(file.path), shot.bounds, deep=done.deep, hashed=file.path in hashed)
                for file in files
            ]
            for file, one in zip(files, (future.result() for future in work), strict=True):
                checked[file.path] = one
                done.files += 1
                done.rows += one.rows
                done.size += file.size
                yield from one.findings
    return checked


def batches(files: Sequence[LiveFile], count: int) -> Iterator[Sequence[LiveFile]]:
    """So many files at a time."""
    return (files[n : n + count] for n in range(0, len(files), count))


def key_findings(table: LakeTable, shot: Snapshot, checked: dict[str, Checked]) -> Iterator[Finding]:
    """Keys that stand in two files. Only files that share a session and reach into each other's tickers can share a key."""
    if not table.table.key:
        return
    holders: dict[Part, list[LiveFile]] = defaultdict(list)
    for file in shot.files:
        if held := checked[file.path].contents:
            for part in held.sessions:
                holders[part].append(file)
    pairs: dict[tuple[str, str], list[date]] = defaultdict(list)
    for part, files in holders.items():
        reaching: list[LiveFile] = []
        for file in sorted(files, key=lambda file: (file.low.encode(), file.path)):
            reaching = [other for other in reaching if other.high.encode() >= file.low.encode()]
            for other in reaching:
                pairs[other.path, file.path].append(part[0])
            reaching.append(file)
    for (first, second), days in pairs.items():
        shared = contents.shared_keys(table.here(first), table.here(second), table.table, days)
        if shared:
            what = f"{shared:,} rows have the keys of rows of {second} ({', '.join(table.table.key)}; sessions {min(days)} to {max(days)})"
            yield Finding(table.table.name, "keys", "fault", first, what, where_to(table.table, shot.by_path[second]))


def rewrite_of(info: dict[str, Any]) -> dict[str, Any]:
    """What a commit says of the files that it put in the place of others."""
    found: dict[str, Any] = json.loads(info.get("rewrite", "{}"))
    return found


def rewrite_findings(table: LakeTable, live: Mapping[str, LiveFile], told: History, checked: dict[str, Checked]) -> Iterator[Finding]:
    """Rows and content of what compaction wrote, where all of its files are still live, against what its commit says."""
    for version, info in told.infos.items():
        record = rewrite_of(info)
        added = record.get("added") or []
        held = [one for path in added if path in checked and (one := checked[path].contents)]
        if not added or len(held) < len(added):
            continue
        rows, content = sum(one.rows for one in held), sum(one.content for one in held) % 2**64
        told_content = record["content"] if record.get("hashed_by") == hasher() else str(content)
        if (rows, str(content)) != (record["rows"], told_content):
            what = f"the {len(added)} files hold {rows:,} rows of other content than the {record['rows']:,} that commit {version} wrote"
            yield Finding(table.table.name, "content", "fault", str(record["chunk"]), what, where_to(table.table, live[added[0]]))


# ---------------------------------------------------------------------- records


def records(table: LakeTable, told: History, version: int) -> tuple[dict[str, Landing], list[Finding]]:
    """The newest landing record of each object, and what is wrong with any."""
    found: dict[str, Landing] = {}
    odd = []
    for at, info in sorted(told.infos.items()):
        path = readable(table.folder / "_delta_log" / f"{at:020}.json")
        try:
            landings = [Landing.from_json(record) for record in json.loads(info.get("landings", "[]"))] if at <= version else []
            retired = [Retired.from_json(record) for record in json.loads(info.get("retired", "[]"))] if at <= version else []
            reset = Reset.from_json(json.loads(info["reset"])) if "reset" in info and at <= version else None
            rewound = Rewound.from_json(json.loads(info["rewound"])) if "rewound" in info and at <= version else None
        except (ValueError, KeyError, TypeError) as fault:
            odd.append(
                Finding(table.table.name, "record", "fault", path, f"its landing records cannot be read ({fault!r})", restore(table))
            )
            continue
        for one in landings:
            found[one.key] = one
            if one.rows_in != one.rows + one.quarantined + one.superseded:
                also = f", and {one.superseded:,} were there from a better source" * bool(one.superseded)
                what = f"{one.key} had {one.rows_in:,} rows, of which {one.rows:,} landed and {one.quarantined:,} were refused{also}"
                odd.append(Finding(table.table.name, "record", "fault", path, what, restore(table)))
        found |= withdrawn(found, retired)
        if reset and reset.restores >= 0:
            found |= restored(records(table, told, reset.restores)[0], found)
        found.update((one.key, one) for one in (rewound.landings if rewound else ()))
    return found, odd


def session_findings(
    table: LakeTable, shot: Snapshot, landings: dict[str, Landing], checked: dict[str, Checked] | None
) -> Iterator[Finding]:
    """Rows of each session, and venue, against the landing records; where no rows were read, of each session or chunk that files tell."""
    spec = table.table
    if spec.kind == "reference":
        told, there = sum(one.held for one in landings.values()), sum(file.rows for file in shot.files)
        if told != there:
            what = f"{there:,} rows are there, and the landing records tell of {told:,}"
            yield Finding(spec.name, "rows", "fault", spec.name, what, where_to(spec, shot.files[0]) if shot.files else restore(table))
        return
    if not spec.feeds:
        return  # filled from other tables, which keep the records
    landed: Counter[tuple[object, ...]] = Counter()
    held: Counter[tuple[object, ...]] = Counter()
    if checked is not None:
        if any(one.contents is None for one in checked.values()):
            return  # what cannot be read is a finding of its own
        for one in landings.values():
            landed[part_of(one)] += one.held
        for seen in checked.values():
            held.update(seen.contents.sessions if seen.contents else {})
    else:
        wide = {spec.chunk_of(file.first, spec.chunks[-1]) for file in shot.files if file.first != file.last}

        def group(day: date) -> tuple[object, ...]:
            chunk = spec.chunk_of(day, spec.chunks[-1])
            return (chunk if chunk in wide else day, None)

        for one in landings.values():
            landed[group(one.session)] += one.held
        for file in shot.files:
            held[group(file.first)] += file.rows
    for part in sorted(landed.keys() | held.keys(), key=str):
        if landed[part] != held[part]:
            where = " ".join(str(piece) for piece in part if piece)
            what = f"{held[part]:,} rows are there, and the landing records tell of {landed[part]:,}"
            yield Finding(spec.name, "rows", "fault", where, what, session_remedy(table, shot, part[0]))


def session_remedy(table: LakeTable, shot: Snapshot, day: object) -> str:
    """What lands a session, or a chunk, anew."""
    holds = [file for file in shot.files if (file.first <= day <= file.last if isinstance(day, date) else str(day) in file.chunk)]
    if not holds:
        return f"`workbench refresh {table.table.name} --start {day} --end {day}` does not know that it is missing: bring the table back from a backup"
    return where_to(table.table, holds[0])


# ---------------------------------------------------------------------- quarantine


def quarantine_findings(root: Path, name: str) -> Iterator[Finding]:
    """Records of what was refused, whose file is gone or holds other rows than they say."""
    for one in quarantine.refusals(root, name):
        place = str(one.path.relative_to(root))
        if one.kind == quarantine.UNREADABLE:
            yield Finding(name, "quarantine", "fault", place, "the record cannot be read", "look at what is beside it, and remove it")
        elif not quarantine.has(one):
            again = f"remove its record, {one.path.parent.relative_to(root)}/*.json of that name, and `workbench refresh {name} --again`"
            yield Finding(name, "quarantine", "fault", place, f"a record tells of it ({one.reason[:100]}), and it is gone", again)
