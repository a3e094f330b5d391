"""What the lake is asked: SQL, bars, tables; and rows that are written to it."""

from collections.abc import Iterator
from datetime import date
from typing import TYPE_CHECKING, Annotated, Any, Literal

from fastapi import APIRouter, Query, Request
from fastapi import Path as PathParameter
from fastapi.responses import Response

from workbench.api import chosen
from workbench.api.forms import Form, form_of
from workbench.api.models import RowsGiven, SqlAsked, ThingsTold, Word, Written
from workbench.api.replies import Rows, Stoppable, reply
from workbench.api.routes.common import Ours, Who, faults, rows
from workbench.api.service import Service, expect
from workbench.api.tokens import Grant
from workbench.errors import UsageError
from workbench.tables.platforms import record as record_of

if TYPE_CHECKING:
    import polars as pl
    import pyarrow as pa

routes = APIRouter()
LIMIT, MOST_TICKERS, BATCH = 1000, 50, 16_384
# The names of conditions are those of a table's columns, which no declaration lists.
CONDITIONS = {
    "name": "conditions",
    "in": "query",
    "required": False,
    "description": "Conditions by column, as ticker=AAPL or close.gt=100.",
    "style": "form",
    "explode": True,
    "schema": {"type": "object", "additionalProperties": {"type": "string"}},
}


# ---------------------------------------------------------------------- sql


@routes.post("/sql", response_class=Response, summary="Ask in SQL", responses=rows(), tags=["rows"])
async def sql(asked: SqlAsked, request: Request, service: Ours, who: Who) -> Response:
    """One query, which can only read, of the schemas that the token reaches; its rows as they come, in the form that is asked for."""
    expect(who, "read")
    most = min(asked.max_rows or service.serving.max_rows, service.serving.max_rows)
    seconds = min(asked.timeout_s or service.serving.timeout, service.serving.timeout)
    form = form_of(asked.format, request.headers.get("accept", ""))
    return await guarded(service, request, who, asked.query, asked.parameters or {}, form, most, seconds, asked.platform)


async def guarded(
    service: Service,
    request: Request,
    who: Grant,
    query: str,
    values: dict[str, Any],
    form: Form,
    most: int,
    seconds: float,
    platform: str | None = None,
) -> Response:
    """Run a query in the session for what a token may read, and reply."""
    session = service.session(who)

    def ask(stoppable: Stoppable) -> Rows:
        return session.guarded.stream(query, values, platform=platform, max_rows=most, seconds=seconds, stoppable=stoppable, who=who.name)

    # The session ends a query by itself; what it does besides is not to take much longer.
    return await reply(service, request, ask, form, most, seconds + 1, session)


# ---------------------------------------------------------------------- bars


@routes.get("/bars/{ticker}", response_class=Response, summary="Bars of a ticker, or several", responses=rows(404), tags=["rows"])
async def bars(
    ticker: Annotated[str, PathParameter(max_length=1000, description="AAPL, or several as AAPL,MSFT; case matters.")],
    request: Request,
    service: Ours,
    who: Who,
    start: Annotated[date | None, Query(description="First session.")] = None,
    end: Annotated[date | None, Query(description="Last session, included.")] = None,
    freq: Annotated[Literal["1m", "5m", "15m", "30m", "1h", "1d", "1w", "1mo"], Query(description="How long a bar is.")] = "1d",
    adjusted: Annotated[Literal["none", "splits", "all"], Query(description="`all` is for splits and dividends.")] = "none",
    as_of: Annotated[date | None, Query(description="Only corporate actions up to this date count, and no later bars are given.")] = None,
    session: Annotated[Literal["all", "pre", "regular", "post"], Query(description="Which part of the day.")] = "all",
    fill: Annotated[
        Literal["forward"] | None, Query(description="Put bars where there are none, at the close before; needs limit.")
    ] = None,
    limit: Annotated[int | None, Query(ge=1, le=1_000_000, description="With fill: at most so many bars in a row.")] = None,
    follow: Annotated[bool, Query(description="Take the earlier symbols of a ticker with it.")] = False,
    table: Annotated[Word | None, Query(description="Another table of bars.")] = None,
    format: Annotated[Form | None, Query(description="Default: by the Accept header, else json.")] = None,
) -> Response:
    """Bars by ticker and time, as `Workbench.bars` gives them. A ticker that the lake does not hold has no rows."""
    expect(who, "read", "main")
    tickers = chosen.words(ticker)
    if not tickers or len(tickers) > MOST_TICKERS:
        raise UsageError(f"{len(tickers)} tickers were given; nothing was read. Give 1 to {MOST_TICKERS}, as AAPL,MSFT.")
    form, most = form_of(format, request.headers.get("accept", "")), service.serving.max_rows

    def ask(_: Stoppable) -> Rows:
        frame = service.bench.bars(tickers, start, end, freq, adjusted, as_of, session, fill, limit=limit, follow=follow, table=table)
        return Frame(frame, most)

    return await reply(service, request, ask, form, most, service.serving.timeout)


class Frame:
    """A frame that is there, as an answer."""

    def __init__(self, frame: "pl.DataFrame", most: int):
        made = frame.head(most).to_arrow()
        self.schema: pa.Schema = made.schema
        self.truncated = len(frame) > most
        self._table = made

    def __iter__(self) -> "Iterator[pa.RecordBatch]":
        return iter(self._table.to_batches(max_chunksize=BATCH))

    def interrupt(self) -> None:
        """There is nothing to stop any more."""

    def close(self) -> None:
        """There is nothing to let go of."""


# ---------------------------------------------------------------------- tables


@routes.get("/tables", summary="All that a query can name", responses=faults(), tags=["rows"])
async def tables(service: Ours, who: Who) -> ThingsTold:
    """Tables, reference data, documented tables, views and macros, of the schemas that the token reaches."""
    expect(who, "read")
    told = await service.lately("tables", service.bench.tables)
    keys = ("name", "kind", "call", "doc", "rows")
    seen = [row for row in told.rows if who.reaches(schema_of(str(row["name"])))]
    return ThingsTold.model_validate({"tables": [{name: row[name] for name in keys} for row in seen]})


def schema_of(name: str) -> str:
    """The schema of a table or view, as the list names it."""
    return name.partition(".")[0] if "." in name else "main"


SCHEMA = PathParameter(max_length=200, description="main for the lake's own tables, else a documented schema.")
TABLE = PathParameter(max_length=200, description="A table or view.")


@routes.get(
    "/tables/{schema}.{table}",
    response_class=Response,
    summary="Rows of a table or view",
    responses=rows(404),
    openapi_extra={"parameters": [CONDITIONS]},
    tags=["rows"],
)
async def table(
    schema: Annotated[str, SCHEMA],
    table: Annotated[str, TABLE],
    request: Request,
    service: Ours,
    who: Who,
    columns: Annotated[str | None, Query(max_length=10_000, description="Names with commas; default: all.")] = None,
    order: Annotated[str | None, Query(max_length=2000, description="Names with commas; -name for the greatest first.")] = None,
    limit: Annotated[int, Query(ge=1, description="At most so many rows, and never more than the server gives.")] = LIMIT,
    offset: Annotated[
        int, Query(ge=0, le=2**53, description="Leave out so many rows first; by the table's key where no order is given.")
    ] = 0,
    format: Annotated[Form | None, Query(description="Default: by the Accept header, else json.")] = None,
) -> Response:
    """Rows that meet all conditions, each a parameter.

    `ticker=AAPL`, `close.gt=100`, `date.gte=2026-01-02`, `ticker.in=AAPL,MSFT`, `vwap.null=true`; operators are eq, ne, gt, gte, lt, lte, like, in, null.
    """
    expect(who, "read", schema)
    form, most = form_of(format, request.headers.get("accept", "")), min(limit, service.serving.max_rows)
    with service.session(who) as session:
        found = await service.run(lambda: chosen.shape(service.bench, schema, table, session.guarded.names.tables))
    given = [(key, text) for key, text in request.query_params.multi_items() if key not in chosen.OWN]
    query, values = chosen.query(found, given, columns, order, most, offset)
    return await guarded(service, request, who, query, values, form, most, service.serving.timeout)


@routes.post(
    "/tables/{schema}.{table}", status_code=201, summary="Write rows to a documented table", responses=faults(404, 409), tags=["rows"]
)
async def write(schema: Annotated[str, SCHEMA], table: Annotated[str, TABLE], given: RowsGiven, service: Ours, who: Who) -> Written:
    """Write rows, all or none; `upsert` puts each in the place of the row of its key. Needs the role app or owner."""
    expect(who, "write", schema.lower())
    bench, full = service.bench, f"{schema}.{table}".lower()
    record = record_of(full, among=bench.records())
    verb = bench.append if given.mode == "append" else bench.upsert
    async with service.slot():
        count = await service.query(lambda: verb(record.full, given.rows, bot_version=given.bot_version, loaded_from=given.loaded_from))
    return Written(table=record.full, mode=given.mode, rows=count)
