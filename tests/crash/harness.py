"""Start a child, kill it, and compare what is left with what should be."""

import functools
import multiprocessing as mp
import multiprocessing.forkserver
import os
import random
import shutil
import signal
import time
import traceback
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass, field
from itertools import zip_longest
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

from crash import judge
from crash.judge import State
from crash.points import Kill, Point, Points
from crash.scenarios import Scenario, bench
from crash.sources import SCENARIOS
from workbench.tables import DISAGREEMENTS, TABLES

# Imported once, before any child: a child is then a fork that takes milliseconds. None of them starts a pool of threads when imported.
PRELOADED = ["crash.preloaded"]
PATIENCE_S = 120.0
TESTS = Path(__file__).parents[1]


@functools.cache
def forkserver() -> Any:
    """Where children come from: a process that imports and never uses an engine."""
    context = mp.get_context("forkserver")
    context.set_forkserver_preload(PRELOADED)
    before = os.environ.get("PYTHONPATH")
    # Python 3.11's server looks for what it preloads on its own path, and is silent when it finds nothing.
    os.environ["PYTHONPATH"] = os.pathsep.join([str(TESTS), *filter(None, [before])])
    try:
        mp.forkserver.ensure_running()
    finally:
        os.environ.pop("PYTHONPATH")
        if before is not None:
            os.environ["PYTHONPATH"] = before
    return context


def child(name: str, root: str, vendor: str, kill: Kill | None, told: Connection) -> None:
    """The child: do a scenario's work, be killed on the way, or tell what points were passed and what went wrong."""
    points = Points(root, kill)
    points.install()
    told.send("go")
    began = time.monotonic()
    try:
        SCENARIOS[name].work(Path(root), Path(vendor))
    except BaseException:
        told.send((traceback.format_exc(), [], 0.0))
        os._exit(1)
    points.reach("end")
    told.send(("", points.passed, time.monotonic() - began))
    os._exit(0)


@dataclass
class Ended:
    """How a child ended."""

    killed: bool
    fault: str = ""
    points: list[Point] = field(default_factory=list)
    seconds: float = 0.0


def run(name: str, root: Path, vendor: Path, kill: Kill | None = None) -> Ended:
    """Run a scenario's work in a child, and kill it if asked to."""
    context = forkserver()
    ours, theirs = context.Pipe()
    process = context.Process(target=child, args=(name, str(root), str(vendor), kill, theirs), daemon=True)
    process.start()
    theirs.close()
    try:
        if not ours.poll(PATIENCE_S) or ours.recv() != "go":
            return Ended(killed=False, fault="the child did not start")
        if kill and kill.at >= 0:
            time.sleep(kill.at)
            process.kill()
        process.join(PATIENCE_S)
        if process.is_alive():
            process.kill()
            process.join()
            return Ended(killed=False, fault="the child hung")
        killed = process.exitcode == -signal.SIGKILL
        try:
            return Ended(killed, *ours.recv())
        except EOFError:
            return Ended(killed, "" if killed else f"the child ended with {process.exitcode}")
    finally:
        ours.close()


@dataclass
class Prepared:
    """A scenario with its lake before, and what is to be found before and after."""

    scenario: Scenario
    base: Path
    before: State
    after: State
    records: dict[str, tuple[Any, ...]]
    noted: list[str]
    points: list[Point]
    seconds: float

    def kills(self, rng: random.Random) -> Iterator[Kill]:
        """Kills without end: in turn at a point, inside an engine's write, and at a random instant."""
        order = spread(self.points, rng)
        long = [n for n, point in enumerate(self.points) if point.seconds]
        turn = 0
        while True:
            point = order[turn % len(order)]
            yield Kill(point=point, kind=self.points[point].kind)
            if turn % 2 and long:
                inside = rng.choice(long)
                kind = self.points[inside].kind.replace("before", "inside")
                yield Kill(point=inside, inside=max(rng.random() * self.points[inside].seconds, 1e-6), kind=kind)
            else:
                yield Kill(at=rng.random() * self.seconds)
            turn += 1


def spread(points: list[Point], rng: random.Random) -> list[int]:
    """All points by their number, in an order of chance; those around commits, which are few and matter most, take turns with all others."""
    order = rng.sample(range(len(points)), len(points))
    commits = [n for n in order if points[n].kind.endswith("commit")]
    others = [n for n in order if not points[n].kind.endswith("commit")]
    return [n for pair in zip_longest(commits, others) for n in pair if n is not None]


def prepare(name: str, folder: Path) -> Prepared:
    """Make a scenario's lake, and run it once to its end to know what is to be found afterwards."""
    scenario = SCENARIOS[name]
    base = folder / name.replace(" ", "-")
    lake, vendor = base / "lake", base / "vendor"
    vendor.mkdir(parents=True)
    scenario.before(lake, vendor)
    scenario.publish(vendor)
    lake.mkdir(exist_ok=True)
    before = told(lake)
    once = base / "once"
    shutil.copytree(lake, once)
    ended = run(name, once, vendor)
    if ended.fault:
        raise RuntimeError(f"{name}, not killed: {ended.fault}")
    after, landed = told(once), records(scenario, once)
    if faults := [*judge.wrong(once), *judge.drafts(once)]:
        raise RuntimeError(f"{name}, not killed, leaves {faults}")
    shutil.rmtree(once)
    return Prepared(scenario, base, before, after, landed, judge.attempts(lake), ended.points, ended.seconds)


def records(scenario: Scenario, root: Path) -> dict[str, tuple[Any, ...]]:
    """The landing records, as far as they do not depend on how often the work was run."""
    return {key: one[scenario.empties :] for key, one in judge.records(root).items()}


def told(root: Path) -> State:
    """What a lake holds; SQL and Delta must agree."""
    with closing(bench(root)) as reader:
        state = judge.by_sql(reader)
    if state != judge.by_delta(root):
        raise RuntimeError(f"SQL and Delta read different rows of {root}")
    return state


def strike(prepared: Prepared, kill: Kill, folder: Path) -> tuple[list[str], bool]:
    """Kill a scenario once and look at what is left. Gives what is wrong, and whether the child died before it was done."""
    scenario, vendor = prepared.scenario, prepared.base / "vendor"
    lake = folder / "lake"
    shutil.rmtree(lake, ignore_errors=True)
    shutil.copytree(prepared.base / "lake", lake)
    faults: list[str] = []
    with closing(bench(lake)) as pinned, closing(bench(lake)) as open_before, pinned.pin():
        relations = {name: pinned.sql(judge.question(name)) for name in judge.NAMES}
        ended = run(scenario.name, lake, vendor, kill)
        if ended.fault:
            faults.append(ended.fault)
        faults += unlike(by_relations(relations), prepared, "a relation made before the kill", old=True)
        faults += unlike(judge.by_sql(pinned), prepared, "a pinned reader", old=True)
        seen = judge.by_sql(open_before)
        faults += unlike(seen, prepared, "a reader opened before the kill")
        with closing(bench(lake)) as fresh:
            if judge.by_sql(fresh) != seen:
                faults.append("a fresh reader sees other rows than one opened before the kill")
        if judge.by_delta(lake) != seen:
            faults.append("a plain reader of Delta sees other rows than the workbench")
        faults += [f"after the kill: {fault}" for fault in judge.wrong(lake)]
        noted = judge.attempts(lake)
        if noted[: len(prepared.noted)] != prepared.noted:
            faults.append("the journal lost what it held before the kill")
        try:
            (scenario.then or scenario.work)(lake, vendor)
        except Exception:
            return [*faults, f"the run after the kill failed: {traceback.format_exc()}"], ended.killed
        if judge.by_sql(open_before) != prepared.after or judge.by_delta(lake) != prepared.after:
            faults.append("the run after the kill did not end with the right rows")
        faults += unlike(by_relations(relations), prepared, "a relation made before the kill, at the end", old=True)
        if judge.attempts(lake)[: len(noted)] != noted:
            faults.append("the journal lost what it held after the kill")
    if records(scenario, lake) != prepared.records:
        faults.append("the run after the kill did not end with the right landing records")
    faults += [f"at the end: {fault}" for fault in judge.wrong(lake)]
    faults += [f"left over: {path}" for path in judge.left_over(lake)]
    if judge.by_delta(lake) != prepared.after:
        faults.append("vacuum removed rows")
    return faults, ended.killed


def by_relations(relations: dict[str, Any]) -> State:
    state: State = {}
    for name, relation in relations.items():
        state |= judge.by_session(TABLES[name], relation.fetchall())
    return state


def unlike(state: State, prepared: Prepared, who: str, *, old: bool = False) -> list[str]:
    """What a reader sees that is neither the lake before nor the lake after; `old` readers see the one before."""
    if state == prepared.before or (state == prepared.after and not old):
        return []
    if old or (prepared.scenario.whole and landed(state) not in (landed(prepared.before), landed(prepared.after))):
        return [f"{who} sees neither the lake before nor the lake after"]
    was, will, seen = ((by_source(one) if prepared.scenario.legs else one) for one in (prepared.before, prepared.after, state))
    return [
        f"{who} sees {session} neither as before nor as after"
        for session in sorted(was.keys() | will.keys() | seen.keys())
        if seen.get(session) not in (was.get(session), will.get(session))
        and not (prepared.scenario.empties and session not in seen)
        and not (
            session[0].startswith(DISAGREEMENTS.name) and set(was.get(session, ())) <= set(seen.get(session, ())) <= set(will[session])
        )
    ]


def by_source(state: State) -> State:
    """A state with each source's rows of a session by themselves."""
    found: State = {}
    for (name, day), rows in state.items():
        at = judge.columns(TABLES[name]).index("source")
        for row in rows:
            found.setdefault((f"{name} {row[at]}", day), []).append(row)
    return found


def landed(state: State) -> State:
    """A state without the differences that were found, which are written before the rows."""
    return {session: rows for session, rows in state.items() if session[0] != DISAGREEMENTS.name}
