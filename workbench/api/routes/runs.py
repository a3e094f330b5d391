"""Runs: how they go and went, their log as it is written, and how one is stopped."""

import asyncio
import json
from collections.abc import AsyncIterator, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Annotated, Any, BinaryIO

from fastapi import APIRouter, Header, Query
from fastapi.responses import StreamingResponse

from workbench.api.faults import RETRY, Refused
from workbench.api.models import RunsTold, RunTold, Word
from workbench.api.routes.common import Ours, Who, faults
from workbench.api.service import FOLLOWERS, Service, expect
from workbench.errors import UnknownName
from workbench.runs import minding
from workbench.runs.record import LOG, Run, Runs

routes = APIRouter(tags=["runs"])
MOST = 500
LOOK_SECONDS = 0.25
# Proxies close what says nothing for longer.
SILENCE_SECONDS = 15.0
CHUNK = 1_000_000
# What was in flight is not kept in the log of a run that has ended, so it is not counted, and not told again.
PASSING = "moves"


@routes.get("/runs", summary="Runs, the newest first", responses=faults())
async def runs(
    service: Ours,
    who: Who,
    kind: Annotated[Word | None, Query(description="As refresh, or notebook.")] = None,
    limit: Annotated[int, Query(ge=1, le=MOST)] = 50,
) -> RunsTold:
    """Refreshes, notebooks and scheduled commands of this lake."""
    expect(who, "read", "main")

    def found() -> list[RunTold]:
        chosen = (run for run in Runs(service.bench.lake.root) if kind in (None, run.kind))
        return [told(run, service) for run, _ in zip(chosen, range(limit), strict=False)]

    return RunsTold(runs=await service.run(found))


@routes.get("/runs/{id}", summary="One run", responses=faults(404))
async def run(id: str, service: Ours, who: Who) -> RunTold:
    """How a run goes, or how it ended."""
    expect(who, "read", "main")
    return told(await service.run(lambda: get(service, id)), service)


@routes.post("/runs/{id}/stop", status_code=202, summary="Stop a run", responses=faults(404, 409))
async def stop(id: str, service: Ours, who: Who) -> RunTold:
    """Ask a run to stop as Ctrl-C would: what is landed stays. A second time, to leave at once. Needs the role owner."""
    expect(who, "refresh")
    found = await service.run(lambda: get(service, id))
    if found.state != "running":
        raise Refused(409, "UsageError", f"the run {found.id} is not going on ({found.state}); nothing was stopped.")
    await service.run(lambda: minding.stop(service.bench.lake.root, id))
    return told(await service.run(lambda: get(service, id)), service)


@routes.get(
    "/runs/{id}/events",
    summary="A run's log, as it is written",
    response_class=StreamingResponse,
    responses={
        **faults(404),
        200: {"content": {"text/event-stream": {"schema": {"type": "string"}}}, "description": "Server-sent events, until the run ends."},
    },
)
async def events(
    id: str,
    service: Ours,
    who: Who,
    last_event_id: Annotated[
        str | None, Header(description="The id of the last event that came, to go on behind it.", pattern=r"^[0-9]{1,18}$")
    ] = None,
) -> StreamingResponse:
    """Each line of the run's log as an event: plan, step, summary and others, with their data as JSON; at last `end`, with the run."""
    expect(who, "read", "main")
    await service.run(lambda: get(service, id))
    if service.followers >= FOLLOWERS:
        raise Refused(503, "Busy", f"{FOLLOWERS} follow runs already; nothing was begun. Ask /runs/{{id}} now and then.", RETRY)
    return StreamingResponse(following(service, id, int(last_event_id or 0)), media_type="text/event-stream")


def get(service: Service, id: str) -> Run:
    """A run of the lake. Raises `UnknownName`."""
    # Ids are looked up by name on the disk: what is none is not looked for.
    if not minding_id(id):
        raise UnknownName("run", id[:80], ())
    return Runs(service.bench.lake.root).get(id)


def minding_id(id: str) -> bool:
    """Whether a text may be a run's id."""
    from workbench.runs.record import ID

    return bool(ID.fullmatch(id))


def told(run: Run, service: Service) -> RunTold:
    """A run, as it may be told to others."""
    return RunTold(
        id=run.id,
        kind=run.kind,
        state=run.state,
        command=service.outward.value(list(run.command)),
        by=service.outward.text(run.by),
        started=run.started,
        ended=run.ended or None,
        seconds=run.seconds,
        status=run.status,
        attempts=run.attempts,
        reason=service.outward.text(run.reason),
        facts=service.outward.value(run.facts),
    )


# ---------------------------------------------------------------------- events


async def following(service: Service, id: str, last: int) -> AsyncIterator[bytes]:
    """The events of a run behind the `last` that was told, until it ends or the server does."""
    log = Following(Runs(service.bench.lake.root).place(id) / LOG, last, service)
    service.followers += 1
    service.measures.following.inc()
    silent = 0.0
    try:
        yield b"retry: 2000\n\n"
        while not service.stopping:
            # The state before the log: what a run says last stands there then.
            run = await service.run(lambda: get(service, id))
            if made := await service.run(log.read):
                yield made
                silent = 0.0
                if len(made) > CHUNK:
                    continue
            elif run.state != "running":
                yield event("end", told(run, service).model_dump(), log.count)
                return
            else:
                await asyncio.sleep(LOOK_SECONDS)
                silent += LOOK_SECONDS
            if silent >= SILENCE_SECONDS:
                yield b": still running\n\n"
                silent = 0.0
    except UnknownName:
        # It was too old to be kept, meanwhile.
        return
    finally:
        service.followers -= 1
        service.measures.following.dec()
        log.close()


class Following:
    """Reads a log as it grows. `count` numbers its lines but for what passes; a log that is shortened meanwhile is read to its old end."""

    def __init__(self, path: Path, last: int, service: Service):
        self._path, self._last, self._service = path, last, service
        self._file: BinaryIO | None = None
        self._rest = b""
        self.count = 0

    def read(self) -> bytes:
        """The events of what was written since, up to a chunk of it."""
        if self._file is None:
            with suppress(FileNotFoundError):
                self._file = self._path.open("rb")
        while self._file is not None and (data := self._file.read(CHUNK)):
            *lines, self._rest = (self._rest + data).split(b"\n")
            if made := b"".join(self._events(lines)):
                return made
        return b""

    def _events(self, lines: list[bytes]) -> Iterator[bytes]:
        for line in lines:
            if not line.strip():
                continue
            try:
                data = json.loads(line)
            except ValueError:
                data = line.decode(errors="replace")
            known = data if isinstance(data, dict) else {"event": "line", "text": data}
            name = str(known.get("event") or "line")
            passing = name == PASSING
            self.count += not passing
            if self.count > self._last or (passing and self.count >= self._last):
                yield event(name, self._service.outward.value(known), None if passing else self.count)

    def close(self) -> None:
        """Read no more."""
        if self._file is not None:
            self._file.close()


def event(name: str, data: Any, id: int | None) -> bytes:
    """An event as it is sent; without an id it is not gone on behind."""
    one = "".join(part for part in name if part.isalnum() or part in "-_ ")
    numbered = f"id: {id}\n" if id is not None else ""
    return f"{numbered}event: {one}\ndata: {json.dumps(data)}\n\n".encode()
