"""What went wrong, as a reply says it: a status, a sentence, the error's kind; and nothing that whoever asks has no business to know."""

import logging
import os
import re
import secrets
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException

from workbench import errors
from workbench.runs.masking import Secrets

if TYPE_CHECKING:
    from workbench.config import Settings

LOG = logging.getLogger("workbench.api")

# The first that fits.
STATUS: tuple[tuple[type[errors.WorkbenchError], int], ...] = (
    (errors.NotAllowed, 403),
    (errors.BrokenRule, 422),
    (errors.NoLake, 503),
    (errors.NewerLake, 503),
    (errors.MissingExtra, 501),
    (errors.UsageError, 400),
    (errors.TookTooLong, 504),
    (errors.SourceError, 502),
    (errors.QueryError, 400),
    (errors.Busy, 409),
    (errors.LakeError, 503),
)
# What an HTTP status without an error of ours is called.
KINDS = {404: "NotFound", 405: "MethodNotAllowed", 413: "TooLarge", 415: "UnsupportedMediaType", 422: "Invalid"}
RETRY = {"Retry-After": "1"}


class Refused(HTTPException):
    """A request that is not served: its status, kind and sentence, and what else the reply says."""

    def __init__(self, status: int, kind: str, text: str, headers: Mapping[str, str] | None = None, **more: Any):
        # Of this kind FastAPI lets it through where it reads a body.
        super().__init__(status, text, dict(headers or {}))
        self.status, self.kind, self.text, self.more = status, kind, text, more

    @property
    def body(self) -> dict[str, Any]:
        """What the reply says."""
        return {"error": self.text, "kind": self.kind, **self.more}


class Outward:
    """Takes out of a text what is not to leave this machine: secrets, and paths that are not the lake's own."""

    def __init__(self, settings: "Settings"):
        self._secrets = Secrets.of(settings, os.environ)
        self._root, self._where = str(settings.root), settings.where
        # A path is told from other text with slashes by the folder that it begins with.
        folders = sorted((re.escape(one.name) for one in Path("/").iterdir()), key=len, reverse=True)
        self._path = re.compile(rf"(?<![\w.\-/])(?:file://)?/(?:{'|'.join(folders)})(?:/[^\s'\"`<>|,;:()\[\]{{}}]*)+")

    def text(self, told: str) -> str:
        """The text as it may go out."""
        # What this machine has of a lake in a bucket is nobody's business: its place has its url.
        return self._path.sub(self._own, self._secrets.mask(told).replace(self._root, self._where))

    def value(self, told: Any) -> Any:
        """A value as JSON has it, with the texts in it as they may go out."""
        if isinstance(told, str):
            return self.text(told)
        if isinstance(told, Mapping):
            return {self.text(str(name)): self.value(one) for name, one in told.items()}
        return [self.value(one) for one in told] if isinstance(told, list | tuple) else told

    def _own(self, found: "re.Match[str]") -> str:
        path = found[0].removeprefix("file://")
        return found[0] if path == self._root or path.startswith(f"{self._root}/") else "(a path)"


def status_of(fault: errors.WorkbenchError, named: Mapping[str, Any]) -> int:
    """The status of an error; a name that stands in the path `named`, and that nothing has, is not found."""
    told = [str(one).lower() for one in named.values()]
    if isinstance(fault, errors.UnknownName) and fault.name.lower() in (*told, ".".join(told)):
        return 404
    return next((status for kind, status in STATUS if isinstance(fault, kind)), 500)


def kind_of(fault: errors.WorkbenchError) -> str:
    """The name of an error's class, of those that `errors` declares."""
    return next(one.__name__ for one in type(fault).__mro__ if one.__module__ == errors.__name__ and one.__name__ in vars(errors))


def refusal(fault: errors.WorkbenchError, named: Mapping[str, Any], outward: Outward) -> Refused:
    """An error as a reply says it."""
    status = status_of(fault, named)
    headers = RETRY if status in (409, 503) else None
    return Refused(status, kind_of(fault), outward.text(str(fault)), headers)


def install(app: FastAPI, outward: Outward) -> None:
    """Have an app reply to every error in the same form."""

    async def refused(_: Request, fault: Exception) -> JSONResponse:
        assert isinstance(fault, Refused)
        return JSONResponse(fault.body, fault.status, fault.headers)

    async def ours(request: Request, fault: Exception) -> JSONResponse:
        assert isinstance(fault, errors.WorkbenchError)
        return await refused(request, refusal(fault, request.path_params, outward))

    async def invalid(_: Request, fault: Exception) -> JSONResponse:
        assert isinstance(fault, RequestValidationError)
        told = [{"at": ".".join(map(str, one["loc"])), "what": outward.text(str(one["msg"]))} for one in fault.errors()[:20]]
        said = "; ".join(f"{one['at']}: {one['what']}" for one in told)
        return JSONResponse({"error": f"the request cannot be read ({said}); nothing was done.", "kind": "Invalid", "detail": told}, 422)

    async def http(_: Request, fault: Exception) -> JSONResponse:
        assert isinstance(fault, HTTPException)
        kind = KINDS.get(fault.status_code, "Refused")
        said = "there is nothing at this path; /openapi.json tells what there is." if fault.status_code == 404 else str(fault.detail)
        return JSONResponse({"error": outward.text(said), "kind": kind}, fault.status_code, getattr(fault, "headers", None))

    app.add_exception_handler(Refused, refused)
    app.add_exception_handler(errors.WorkbenchError, ours)
    app.add_exception_handler(RequestValidationError, invalid)
    app.add_exception_handler(HTTPException, http)


def unexpected(fault: BaseException) -> Refused:
    """The reply to a fault of the workbench's own, whose traceback only the log has."""
    id = secrets.token_hex(4)
    LOG.error("unexpected %s (fault %s)", type(fault).__name__, id, exc_info=fault)
    return Refused(500, "Unexpected", f"this is a fault of the workbench; it stands in the server's log as fault {id}.")
