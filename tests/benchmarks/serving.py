"""What a served lake bears: 50 clients for a minute on five years of sample minutes while a refresh lands, then 10,000 queries one after another.

Clients are a process of their own, on the same two cores as the server and the refresh. Every answer is looked at; one error fails the run.
"""

import asyncio
import json
import os
import random
import re
import statistics
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import date, timedelta
from pathlib import Path
from typing import IO, Any

import httpx
import psutil

from benchmarks import data
from workbench import sessions
from workbench.api.tokens import Tokens
from workbench.bench import Workbench
from workbench.config import Settings
from workbench.tables import find

CLIENTS = 50
YEARS = timedelta(days=5 * 365)
# The newest sessions, which the refresh lands while the clients ask.
LEFT = 20
TICKERS = ("AAPL", "AMZN", "IBM", "MSFT", "NVDA", "F", "JPM", "KO")
MEGABYTE = 1_000_000


@dataclass
class Asked:
    """What clients measured: milliseconds by what they asked, and what was no answer."""

    taken: dict[str, list[float]] = field(default_factory=dict)
    wrong: Counter[str] = field(default_factory=Counter)

    def add(self, what: str, milliseconds: float, fault: str) -> None:
        self.taken.setdefault(what, []).append(milliseconds)
        if fault:
            self.wrong[f"{what}: {fault}"] += 1


# ---------------------------------------------------------------------- the lake and its server


def lake(folder: Path, size: data.Size) -> Workbench:
    """Five years of day and minute bars of the sample market (a quarter if short), but for the newest sessions. Kept for the next run."""
    bench = Workbench(Settings.load(env={}, data=str(folder)))
    days = sessions.between(find("stock_minute"), date.today() - (timedelta(days=90) if size is data.SHORT else YEARS), sessions.last_due())
    done = folder / "made"
    if not done.exists():
        bench.lake.make()
        for table in ("stock_day", "stock_minute"):
            bench.refresh(source="sample", datasets=[table], start=days[0], end=days[-LEFT - 1]).run()
        bench.refresh(source="sample", datasets=["splits", "dividends", "tickers"]).run()
        bench.maintain()
        done.touch()
    return bench


@contextmanager
def served(root: Path, *options: str) -> Iterator[tuple[str, psutil.Process]]:
    """A server of a lake: its address and its process."""
    command = [sys.executable, "-m", "workbench", "serve", "--data", str(root), "--port", "0", *options]
    # Into a file: a pipe that nobody reads would fill, and hold up whoever logs.
    with tempfile.TemporaryFile("w+") as told:
        process = subprocess.Popen(command, stdout=told, stderr=subprocess.STDOUT, env=os.environ | {"WORKBENCH_SOURCE": "sample"})
        try:
            yield address(told, process), psutil.Process(process.pid)
        finally:
            process.terminate()
            process.wait(30)


def address(told: IO[str], process: "subprocess.Popen[bytes]") -> str:
    """Where a server says that it serves."""
    while process.poll() is None:
        told.seek(0)
        if found := re.search(r"http://127\.0\.0\.1:\d+", told.read()):
            return found[0]
        time.sleep(0.05)
    told.seek(0)
    raise RuntimeError(f"the server did not start:\n{told.read()}")


# ---------------------------------------------------------------------- clients


def question(chance: random.Random) -> tuple[str, str, str, dict[str, Any]]:
    """What a client asks next: its name, method, path and the rest."""
    ticker = chance.choice(TICKERS)
    start = date.today() - timedelta(days=chance.randrange(30, 60))
    end = str(start + timedelta(days=1))
    year = {"start": str(start - timedelta(days=365)), "end": str(start)}
    sql = "SELECT ticker, count(*) AS n, avg(close) AS mean FROM stock_minute WHERE ticker = $t AND date BETWEEN $a::DATE AND $b::DATE GROUP BY ticker"
    asked: list[tuple[str, str, str, dict[str, Any]]] = [
        ("bars, a day of minutes", "GET", f"/bars/{ticker}", {"params": {"start": str(start), "end": end, "freq": "1m"}}),
        ("bars, a year of days", "GET", f"/bars/{ticker}", {"params": {**year, "freq": "1d", "adjusted": "splits"}}),
        (
            "SQL, a ticker's month",
            "POST",
            "/sql",
            {"json": {"query": sql, "parameters": {"t": ticker, "a": str(start - timedelta(days=30)), "b": end}}},
        ),
        ("a table, filtered", "GET", "/tables/main.stock_day", {"params": {"ticker": ticker, "order": "-date", "limit": "20"}}),
        ("health", "GET", "/health/database", {}),
    ]
    return chance.choices(asked, weights=[30, 20, 30, 15, 5])[0]


async def client(base: str, token: str, until: float, told: Asked, seed: int) -> None:
    """Ask one thing after another until it is time."""
    chance = random.Random(seed)
    async with httpx.AsyncClient(base_url=base, headers={"Authorization": f"Bearer {token}"}, timeout=60) as http:
        while time.perf_counter() < until:
            what, method, path, more = question(chance)
            began = time.perf_counter()
            try:
                reply = await http.request(method, path, **more)
                fault = "" if reply.status_code == 200 and reply.content else f"{reply.status_code} {reply.text[:200]}"
            except httpx.HTTPError as broken:
                fault = repr(broken)
            told.add(what, (time.perf_counter() - began) * 1000, fault)


async def crowd(base: str, token: str, count: int, seconds: float) -> Asked:
    """So many clients for so many seconds."""
    told = Asked()
    until = time.perf_counter() + seconds
    await asyncio.gather(*(client(base, token, until, told, seed) for seed in range(count)))
    return told


def clients(base: str, token: str, count: str, seconds: str) -> None:
    """A process of clients: prints what they measured."""
    told = asyncio.run(crowd(base, token, int(count), float(seconds)))
    print(json.dumps({"taken": told.taken, "wrong": told.wrong}))


# ---------------------------------------------------------------------- measured


def crowded(base: str, token: str, seconds: float) -> tuple[Asked, str]:
    """The crowd while a refresh lands; and how that ended."""
    head = {"Authorization": f"Bearer {token}"}
    command = [sys.executable, "-m", "benchmarks.serving", base, token, str(CLIENTS), str(seconds)]
    running = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    time.sleep(min(5, seconds / 4))
    asked = {"source": "sample", "datasets": ["stock_day", "stock_minute"], "days": LEFT}
    run = httpx.post(f"{base}/database/refresh", json=asked, headers=head, timeout=60).raise_for_status().json()["run_id"]
    out, _ = running.communicate(timeout=seconds + 120)
    told = json.loads(out)
    state = "running"
    while state == "running":
        time.sleep(0.5)
        state = httpx.get(f"{base}/runs/{run}", headers=head, timeout=60).raise_for_status().json()["state"]
    return Asked(told["taken"], Counter(told["wrong"])), state


def flat(base: str, token: str, process: psutil.Process, count: int) -> list[tuple[int, float, int]]:
    """After so many queries: the server's resident megabytes and its open files."""
    chance, found = random.Random(7), list[tuple[int, float, int]]()
    with httpx.Client(base_url=base, headers={"Authorization": f"Bearer {token}"}, timeout=60) as http:
        for n in range(1, count + 1):
            _, method, path, more = question(chance)
            http.request(method, path, **more).raise_for_status()
            if n % (count // 10) == 0:
                found.append((n, process.memory_info().rss / MEGABYTE, process.num_fds()))
    return found


def quantile(taken: Sequence[float], share: float) -> float:
    """The value that a share of the values lies below."""
    return sorted(taken)[min(len(taken) - 1, int(len(taken) * share))]


def run(size: data.Size, home: Path) -> str:
    """The load as a table."""
    short = size is data.SHORT
    seconds, count = (6.0, 500) if short else (60.0, 10_000)
    folder = home / f"served-{'short' if short else 'years'}-{date.today()}"
    bench = lake(folder, size)
    rows = sum(row["rows"] for row in bench.status())
    bench.close()
    tokens = Tokens(folder)
    for old in tokens.list():
        tokens.revoke(old.name)
    token = tokens.add("benchmark", "owner")
    with served(folder, "--rate", "1000000/second") as (base, process):
        told, state = crowded(base, token, seconds)
        grown = flat(base, token, process, count)
    assert state == "done", f"the refresh ended as {state}"
    assert not told.wrong, f"answers that are none: {told.wrong.most_common(5)}"
    every = [one for taken in told.taken.values() for one in taken]
    lines = [
        f"| {CLIENTS} clients for {seconds:.0f} s, {rows:,} rows, a refresh of {2 * LEFT} files landing | requests | per second | p50 ms | p99 ms |",
        "| --- | --- | --- | --- | --- |",
    ]
    for what, taken in (*sorted(told.taken.items()), ("all", every)):
        numbers = (f"{len(taken):,}", f"{len(taken) / seconds:.0f}", f"{statistics.median(taken):.0f}", f"{quantile(taken, 0.99):.0f}")
        lines.append(f"| {what} | {' | '.join(numbers)} |")
    first, last = grown[0], grown[-1]
    lines += [
        "",
        f"No error. Then one query after another: {first[1]:.0f} MB and {first[2]} open files after {first[0]:,}, "
        f"{last[1]:.0f} MB and {last[2]} after {last[0]:,} (most on the way: {max(one[1] for one in grown):.0f} MB).",
    ]
    # Twice as many queries must not take much more memory than half of them did; fewer than that are still warming up.
    half = grown[len(grown) // 2]
    assert last[1] <= half[1] * 1.1 + 30 and last[2] <= half[2] + 5, f"the server grows: {grown}"
    return "\n".join(lines)


if __name__ == "__main__":
    clients(*sys.argv[1:])
