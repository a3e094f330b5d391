"""Every route against its own description: what is asked is made up from it, and what comes back must be what it says."""

from collections.abc import Callable
from typing import Any

import hypothesis
import pytest
import schemathesis
from apiserver import Ground
from hypothesis import strategies as st
from schemathesis.checks import CHECKS, load_all_checks

pytestmark = pytest.mark.slow
load_all_checks()
# What the description calls right may still be no name, session or query of this lake.
LEFT_OUT = ("positive_data_acceptance",)
ROUTES = [
    ("POST", "/database/refresh"),
    ("GET", "/database/status"),
    ("GET", "/database/counts"),
    ("GET", "/health"),
    ("GET", "/health/database"),
    ("GET", "/metrics"),
    ("GET", "/runs"),
    ("GET", "/runs/{id}"),
    ("GET", "/runs/{id}/events"),
    ("POST", "/runs/{id}/stop"),
    ("POST", "/sql"),
    ("GET", "/bars/{ticker}"),
    ("GET", "/tables"),
    ("GET", "/tables/{schema}.{table}"),
    ("POST", "/tables/{schema}.{table}"),
]
EXAMPLES = 12


@pytest.fixture(scope="module")
def described(served: Ground) -> Any:
    """The server's own description."""
    return schemathesis.openapi.from_url(f"{served.url}/openapi.json")


def test_every_route_is_tried(described: Any) -> None:
    assert set(ROUTES) == {(one.ok().method.upper(), one.ok().path) for one in described.get_all_operations()}


@pytest.mark.parametrize("mode", [schemathesis.GenerationMode.POSITIVE, schemathesis.GenerationMode.NEGATIVE], ids=["right", "wrong"])
@pytest.mark.parametrize(("method", "path"), ROUTES)
def test_a_route_keeps_to_its_description(described: Any, served: Ground, method: str, path: str, mode: Any) -> None:
    operation = described[path][method]
    checks: list[Callable[..., Any]] = [one for one in CHECKS.get_all() if one.__name__ not in LEFT_OUT]
    cases = operation.as_strategy(generation_mode=mode)

    @hypothesis.settings(max_examples=EXAMPLES, deadline=None, suppress_health_check=list(hypothesis.HealthCheck))
    @hypothesis.given(st.data())
    def tried(data: Any) -> None:
        case = data.draw(cases)
        case.call_and_validate(headers={"Authorization": f"Bearer {served.tokens['owner']}"}, checks=checks, timeout=60)

    try:
        tried()
    except hypothesis.errors.Unsatisfiable:
        # A route without parameters takes everything.
        if mode is schemathesis.GenerationMode.POSITIVE:
            raise
