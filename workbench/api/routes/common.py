"""What all routes take and tell: who asks, the service, and which errors may come."""

from typing import Annotated, Any

from fastapi import Depends, Request, Security
from fastapi.security import HTTPBearer

from workbench.api.forms import MEDIA, Form
from workbench.api.models import Answer, Fault
from workbench.api.service import Service
from workbench.api.tokens import Grant

BEARER = HTTPBearer(
    auto_error=False,
    description="A token of `workbench token add`. Needed for whatever writes, and for all else where others than this machine's users may ask.",
)
TOLD = {
    400: "What was asked cannot be asked.",
    401: "A token is needed, or this one opens nothing.",
    403: "The token's role, or this address, may not.",
    404: "Nothing of that name is there.",
    406: "No answer comes in the form that is accepted.",
    408: "The request's body did not come.",
    409: "Somebody else is at it.",
    413: "The body is too large.",
    421: "The Host header does not name this machine.",
    422: "The request, or a row in it, is not as it must be.",
    429: "Too many requests came.",
    500: "A fault of the workbench's own.",
    501: "A part of the package that was not installed is needed.",
    502: "A source of data does not serve.",
    503: "The lake cannot be used now, or too much is asked at a time.",
    504: "It took more time, rows or memory than it may.",
}
EVERYWHERE = (400, 401, 403, 408, 413, 421, 422, 429, 500, 503)


def faults(*more: int) -> dict[int | str, dict[str, Any]]:
    """The errors that a route may reply with: those that any may, and some more."""
    return {status: {"model": Fault, "description": TOLD[status]} for status in sorted({*EVERYWHERE, *more})}


def rows(*more: int) -> dict[int | str, dict[str, Any]]:
    """The replies of a route that gives rows."""
    content: dict[str, Any] = {MEDIA[form].partition(";")[0]: {"schema": {"type": "string"}} for form in ("arrow", "csv", "ndjson")}
    headers = {
        "X-Max-Rows": {"description": "No more rows than this are in the answer.", "schema": {"type": "integer"}},
        "X-Truncated": {"description": "Whether there were more; only in the headers of a small answer.", "schema": {"type": "boolean"}},
    }
    told = "The rows, in the form that was asked for."
    return {200: {"model": Answer, "content": content, "headers": headers, "description": told}, **faults(406, 504, *more)}


def service_of(request: Request) -> Service:
    """What all requests share."""
    found: Service = request.app.state.service
    return found


def grant_of(request: Request, _: Annotated[Any, Security(BEARER)] = None) -> Grant:
    """Who asks; the gate has looked at the token."""
    found: Grant = request.state.grant
    return found


Ours = Annotated[Service, Depends(service_of)]
Who = Annotated[Grant, Depends(grant_of)]
__all__ = ["BEARER", "Form", "Ours", "Who", "faults", "rows"]
