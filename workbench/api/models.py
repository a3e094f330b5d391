"""What requests and replies look like: FastAPI checks requests by these, and `/openapi.json` is made of them."""

from datetime import date
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from workbench.api.forms import Form

# A name or text as people write one: no NUL, which neither files nor processes take.
Word = Annotated[str, Field(min_length=1, max_length=200, pattern=r"^[^\x00-\x1f]+$")]
MOST_SYMBOLS, MOST_ROWS = 10_000, 100_000


class Asked(BaseModel):
    """A request; what it does not know it refuses."""

    model_config = ConfigDict(extra="forbid")


class Told(BaseModel):
    """A reply."""


class Fault(Told):
    """Why a request was not served."""

    error: str = Field(description="Which thing, what is wrong, what was not done, and what to do next.")
    kind: str = Field(description="The kind of error, as `UnknownName`.")
    detail: list[dict[str, Any]] | None = Field(None, description="Of a request that cannot be read: where, and what is wrong there.")
    run_id: str | None = Field(None, description="The run that goes on already.")


# ---------------------------------------------------------------------- database


class RefreshAsked(Asked):
    """A refresh, as `workbench refresh` takes it."""

    source: Word | None = Field(None, description="polygon_s3, polygon_api, yahoo, sample or folder:PATH; default: what is configured.")
    symbols: Annotated[list[Word], Field(max_length=MOST_SYMBOLS)] | None = Field(
        None, description="Symbols, for sources that serve symbol by symbol; flat files land whole."
    )
    days: Annotated[int, Field(ge=1, le=100_000)] | None = Field(None, description="The newest so many sessions.")
    start: date | None = Field(None, description="First session.")
    end: date | None = Field(None, description="Last session, included.")
    datasets: Annotated[list[Word], Field(max_length=100)] | None = Field(
        None, description="Tables, or `reference`; default: day and minute bars of stocks."
    )
    reset: bool = Field(False, description="Empty the tables first.")
    again: bool = Field(False, description="Try files once more that were refused before.")


class Begun(Told):
    """A run that was begun."""

    run_id: str
    state: str
    status: Literal["started"] = "started"


class TableTold(Told):
    """One table of the lake."""

    table: str
    rows: int
    sessions: int | None
    first: date | None
    last: date | None
    behind: int
    files: int
    bytes: int


class Status(Told):
    """What the lake holds."""

    status: Literal["healthy", "degraded", "unhealthy"]
    database: str = Field(description="The lake's root.")
    size_bytes: int
    timestamp: str = Field(description="When this was told, UTC.")
    total_rows: int
    title: str
    tables: list[TableTold]


class Health(Told):
    """How the lake stands."""

    status: Literal["healthy", "degraded", "unhealthy"]
    database: str = Field(description="The lake's root.")
    size_bytes: int
    timestamp: str = Field(description="When this was told, UTC.")
    error: str | None = Field(None, description="What is wrong; only where it is unhealthy.")
    checks: list[dict[str, Any]] = Field(description="Each thing that was looked at, with its state.")


class Alive(Told):
    """That the server runs."""

    status: Literal["healthy"] = "healthy"
    version: str
    timestamp: str


# ---------------------------------------------------------------------- runs


class RunTold(Told):
    """A run on record."""

    id: str
    kind: str
    state: Literal["running", "done", "failed", "findings", "stopped", "broken off"]
    command: list[str]
    by: str
    started: str
    ended: str | None
    seconds: float | None
    status: int | None = Field(description="The exit status; none while it goes on.")
    attempts: int
    reason: str
    facts: dict[str, Any]


class RunsTold(Told):
    """Runs, the newest first."""

    runs: list[RunTold]


# ---------------------------------------------------------------------- rows


class SqlAsked(Asked):
    """A query, which can only read."""

    query: Annotated[str, Field(min_length=1, max_length=200_000)]
    parameters: dict[str, Any] | None = Field(None, description="Values for `$name` in the query.")
    platform: Word | None = Field(None, description="A documented platform whose SQL this is, as `tetra`.")
    format: Form | None = Field(None, description="Default: by the Accept header, else json.")
    max_rows: Annotated[int, Field(ge=1)] | None = Field(None, description="At most so many rows, and never more than the server gives.")
    timeout_s: Annotated[float, Field(gt=0)] | None = Field(None, description="At most so long, and never longer than the server lets it.")


class Column(Told):
    """A column of an answer: its name and Arrow's type."""

    name: str
    type: str


class Answer(Told):
    """Rows. `truncated` says that there were more than were asked for."""

    columns: list[Column]
    rows: list[dict[str, Any]]
    row_count: int
    truncated: bool


class ThingTold(Told):
    """A table, view or macro that a query can name."""

    name: str
    kind: str
    call: str
    doc: str
    rows: int | None


class ThingsTold(Told):
    """All that a query can name."""

    tables: list[ThingTold]


class RowsGiven(Asked):
    """Rows for a documented table."""

    rows: Annotated[list[dict[str, Any]], Field(min_length=1, max_length=MOST_ROWS)]
    mode: Literal["append", "upsert"] = "append"
    bot_version: Word | None = None
    loaded_from: Word | None = None


class Written(Told):
    """What was written, all of it."""

    table: str
    mode: Literal["append", "upsert"]
    rows: int
