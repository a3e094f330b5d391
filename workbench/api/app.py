"""The application: routes, errors in one form, and the gate in front of them."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

from fastapi import FastAPI

from workbench import __version__
from workbench.api import faults
from workbench.api.gate import Gate, reads
from workbench.api.routes import asking, database, runs
from workbench.api.service import Service
from workbench.api.settings import Serving

if TYPE_CHECKING:
    from workbench.bench import Workbench

DESCRIPTION = """A lake of market data: refresh it, ask it in SQL, read bars and tables, write rows of the documented ones.

Whatever writes needs a token (`workbench token add`), and so does everything where the server can be reached from other machines. Errors come in
one form: `error` is a sentence, `kind` the kind of error."""


def application(bench: "Workbench", serving: Serving) -> FastAPI:
    """The app over a bench, which stays the caller's to close."""
    service = Service(bench, serving)

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        service.warm()
        yield
        service.close()

    # Its pages of documentation would load scripts from elsewhere.
    app = FastAPI(title="workbench", version=__version__, description=DESCRIPTION, docs_url=None, redoc_url=None, lifespan=lifespan)
    app.state.service = service
    for part in (database, runs, asking):
        app.include_router(part.routes)
    faults.install(app, service.outward)
    describing(app, serving)
    app.add_middleware(Gate, serving=serving, tokens=service.tokens, measures=service.measures)
    return app


def describing(app: FastAPI, serving: Serving) -> None:
    """Have the description say where a token may be left out: FastAPI knows needed ones only."""
    make = app.openapi

    def openapi() -> dict[str, Any]:
        told = make()
        for path, methods in told["paths"].items():
            for method, one in methods.items():
                if not serving.exposed and reads(method.upper(), path) and {} not in one["security"]:
                    one["security"].append({})
        return told

    app.openapi = openapi  # type: ignore[method-assign]
