"""The database as the documents have it: refresh, status, counts, health."""

from datetime import UTC, datetime
from typing import Annotated, Any

from fastapi import APIRouter, Query
from fastapi.responses import JSONResponse, PlainTextResponse

from workbench import __version__
from workbench.api.faults import RETRY, Refused
from workbench.api.models import Alive, Begun, Fault, Health, RefreshAsked, Status, TableTold, Word
from workbench.api.routes.common import Ours, Who, faults
from workbench.api.service import Service, expect
from workbench.errors import UsageError, WorkbenchError
from workbench.runs.minding import start_or_follow
from workbench.runs.record import Run
from workbench.tables.platforms import platform as platform_of

routes = APIRouter()
KIND = "refresh"
# Of the documents only this platform's counts its tables for its users.
COUNTED = "kraken_bot"


@routes.post(
    "/database/refresh",
    status_code=202,
    summary="Begin a refresh",
    responses={**faults(409, 501, 502), 409: {"model": Fault, "description": "A refresh goes on already: `run_id` names it."}},
    tags=["database"],
)
async def refresh(asked: RefreshAsked, service: Ours, who: Who) -> Begun:
    """Begin a refresh beside the server, and give its run at once; `/runs/{id}` tells how it goes. Needs the role owner."""
    expect(who, "refresh")
    if asked.reset:
        expect(who, "delete")
    run, begun = await service.run(lambda: started(service, asked, f"api:{who.name}"))
    if not begun:
        told = f"a refresh goes on already, run {run.id} by {run.by}; nothing was started. Follow that one, or wait until it has ended."
        raise Refused(409, "Busy", service.outward.text(told), RETRY, run_id=run.id)
    return Begun(run_id=run.id, state=run.state)


def started(service: Service, asked: RefreshAsked, by: str) -> tuple[Run, bool]:
    """Start a refresh, or give the one that goes on. Raises what a refresh raises before it begins."""
    from workbench.arguments import expanded
    from workbench.refresh.plan import check
    from workbench.refresh.universe import checked

    settings = service.bench.settings.with_source(asked.source)
    check(expanded(asked.datasets), asked.start, asked.end, asked.days)
    if any("," in name for name in asked.symbols or ()):
        raise UsageError("a symbol holds a comma; nothing was started. Give each as one of the list.")
    words = [KIND, *(asked.datasets or ())]
    for option, value in (("source", asked.source), ("days", asked.days), ("start", asked.start), ("end", asked.end)):
        words += [f"--{option}={value}"] if value is not None else []
    if symbols := checked(asked.symbols or ()):
        words.append(f"--symbols={','.join(symbols)}")
    words += ["--again"] * asked.again + ["--reset", "--yes"] * asked.reset
    # The same as Python would say, before anything is begun: which source, and whether there are keys for it.
    _ = settings.chosen_source
    return start_or_follow(settings, (*words, "--jsonl", "--data", settings.where), kind=KIND, by=by)


@routes.get("/database/status", summary="What the lake holds", responses=faults(), tags=["database"])
async def status(service: Ours, who: Who) -> Status:
    """Rows, sessions, files and bytes of every table of the lake, and how it stands."""
    expect(who, "read", "main")
    told = await service.lately("status", service.bench.status)
    stands = await health_of(service)
    keys = ("table", "rows", "sessions", "first", "last", "behind", "files", "bytes")
    return Status(
        status=stands["status"],
        database=stands["database"],
        size_bytes=stands["size_bytes"],
        timestamp=stands["timestamp"],
        total_rows=told.facts["total_rows"],
        title=told.title,
        tables=[TableTold(**{name: row[name] for name in keys}) for row in told.rows],
    )


@routes.get("/database/counts", summary="Rows of each table of a platform", responses=faults(404, 504), tags=["database"])
async def counts(
    service: Ours, who: Who, platform: Annotated[Word, Query(description="A documented platform.")] = COUNTED
) -> dict[str, int]:
    """The number of rows of each documented table of a platform, by its name there; of kraken_bot with `prod_trades` and `test_trades`."""
    found = platform_of(platform)
    for schema in found.schemas:
        expect(who, "read", schema)
    async with service.slot():
        told: dict[str, int] = await service.lately(f"counts {found.name}", lambda: service.bench.table_counts(found.name))
    return told


# ---------------------------------------------------------------------- health


@routes.get("/health", summary="Whether the server runs", responses=faults(), tags=["health"])
async def alive(who: Who) -> Alive:
    """That the server runs, and nothing of the lake."""
    expect(who, "read")
    return Alive(version=__version__, timestamp=now())


@routes.get(
    "/health/database",
    summary="How the lake stands",
    response_model=Health,
    response_model_exclude_none=True,
    responses={**faults(), 503: {"model": Health | Fault, "description": "It is unhealthy: `error` says why."}},
    tags=["health"],
)
async def health(service: Ours, who: Who) -> Any:
    """How the lake stands, as the documents' health checks have it; 503 with `error` where it is unhealthy."""
    expect(who, "read")
    told = await health_of(service)
    if told["status"] == "unhealthy":
        return JSONResponse(told, 503, RETRY)
    return told


@routes.get(
    "/metrics",
    summary="Numbers for Prometheus",
    response_class=PlainTextResponse,
    responses={**faults(), 200: {"content": {"text/plain": {"schema": {"type": "string"}}}, "description": "Prometheus' text form."}},
    tags=["health"],
)
async def metrics(service: Ours, who: Who) -> PlainTextResponse:
    """What the lake and the server tell of themselves, in Prometheus' text form."""
    expect(who, "read", "main")
    lake = await service.lately("metrics", service.bench.metrics)
    return PlainTextResponse(lake + service.measures.text(), media_type="text/plain; version=0.0.4; charset=utf-8")


async def health_of(service: Service) -> dict[str, Any]:
    """The reply of `/health/database`. What keeps the lake from being looked at is told as an error, too."""
    told: dict[str, Any] = await service.lately("health", lambda: looked(service))
    return told


def looked(service: Service) -> dict[str, Any]:
    """Look how the lake stands."""
    try:
        report = service.bench.health()
    except WorkbenchError as fault:
        told = {"status": "unhealthy", "database": service.bench.lake.where, "size_bytes": 0, "timestamp": now(), "error": str(fault)}
        return {**service.outward.value(told), "checks": []}
    told = {name: report.facts[name] for name in ("status", "database", "size_bytes", "timestamp", "error") if name in report.facts}
    checks = [{name: row[name] for name in ("name", "state", "told")} for row in report.rows]
    return {**service.outward.value(told | {"checks": checks})}


def now() -> str:
    """The time, UTC, in ISO form."""
    return datetime.now(UTC).isoformat()
