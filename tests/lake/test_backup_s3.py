"""Backups in a bucket, on a real S3 server and on one that stands in for it: the same as in a folder, and what is said where the store refuses."""

import os
import uuid
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from flatfiles import STOCK_DAY, THU, bar, put, text
from s3server import S3, Keys

from workbench.bench import Workbench
from workbench.config import Settings
from workbench.errors import BadKeys, BrokenBackup, Busy, LakeError, Unreachable, UsageError
from workbench.lake.backup import Backups, locking
from workbench.lake.backup.destination import destination, poured
from workbench.lake.remote import bucket
from workbench.lake.restoring.restore import restore


@pytest.fixture(autouse=True)
def keys(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """No keys of this machine's own."""
    for name in [name for name in os.environ if name.startswith("AWS_")]:
        monkeypatch.delenv(name)
    for name in ("AWS_CONFIG_FILE", "AWS_SHARED_CREDENTIALS_FILE"):
        monkeypatch.setenv(name, str(tmp_path / "none"))
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")


def use(monkeypatch: pytest.MonkeyPatch, endpoint: str, keys: Keys) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL", endpoint)
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", keys.access)
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", keys.secret)


@pytest.fixture(params=["seaweed", "moto"])
def place(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """A prefix of an empty bucket, where stores keep to S3's rules in different ways."""
    if request.param == "seaweed":
        server: S3 = request.getfixturevalue("bucket")
        use(monkeypatch, server.endpoint, server.admin_keys)
        yield f"s3://{server.bucket}/deep/backups"
        return
    moto = pytest.importorskip("moto.server")
    far: Any = moto.ThreadedMotoServer("127.0.0.1", 0, verbose=False)
    far.start()
    try:
        host, port = far.get_host_and_port()
        # What it holds is the process's, not the server's.
        name = f"mine-{uuid.uuid4().hex}"
        use(monkeypatch, f"http://{host}:{port}", Keys("any", "any"))
        bucket.Bucket(f"s3://{name}").client.create_bucket(Bucket=name)
        yield f"s3://{name}/backups/"
    finally:
        far.stop()


@pytest.fixture
def bench(tmp_path: Path, made_once: Callable[..., None]) -> Iterator[Workbench]:
    made_once(landing, tmp_path)
    with closing(opened(tmp_path / "lake")) as made:
        yield made


def opened(root: Path) -> Workbench:
    return Workbench(Settings.load(env={}, data=str(root)))


def landing(home: Path) -> None:
    with closing(opened(home / "lake")) as bench:
        put(home / "vendor", STOCK_DAY, THU, text([bar("AAA", THU, close=10), bar("BBB", THU)]))
        bench.refresh(source=f"folder:{home / 'vendor'}").run()


def closes(bench: Workbench) -> Any:
    return bench.sql("SELECT ticker, close FROM stock_day ORDER BY ALL").fetchall()


def test_a_bucket_is_a_place_as_a_folder_is(bench: Workbench, place: str, tmp_path: Path) -> None:
    first = bench.backup(place)
    again = bench.backup(place)
    assert first.facts["copied_files"] >= 5 and again.facts["copied_files"] == 1
    assert [row["state"] for row in bench.backups(place)] == ["complete"] * 2
    assert bench.verify_backup(place).facts["faults"] == 0
    restore(place, tmp_path / "again")
    with closing(opened(tmp_path / "again")) as lake:
        assert closes(lake) == closes(bench)
    backups = Backups.open(place)
    lone = backups.name(next(one.sha256 for one in backups.manifest().files if one.path.endswith("_delta_log/00000000000000000000.json")))
    whole = backups.at.get(lone) or b""
    backups.at.put(lone, lambda sink: sink.write(b"x" * len(whole)), anew=True)
    assert [row["what"] for row in bench.verify_backup(place)] == ["altered"] * 2
    backups.at.remove(lone)
    assert [row["what"] for row in bench.verify_backup(place, quick=True)] == ["missing"] * 2
    with pytest.raises(BrokenBackup, match="is missing from the backup"):
        restore(place, tmp_path / "more")
    bench.backup(place)
    assert bench.verify_backup(place).facts["faults"] == 0
    assert bench.prune_backups(place, "0d", dry_run=False).facts["removed"] == backups.ids()[:0] or len(Backups.open(place).ids()) == 1


def test_one_at_a_time_in_a_bucket_too(bench: Workbench, place: str) -> None:
    bench.backup(place)
    at = destination(place)
    with locking.held(at, "workbench backup", "nothing"), pytest.raises(Busy, match="is held by process"):
        bench.backup(place)
    bench.backup(place)


def test_a_large_object_goes_up_in_parts(place: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bucket, "PART", 5 << 20)
    some = os.urandom(12 << 20)
    (tmp_path / "large").write_bytes(some)
    at = destination(place)

    def fill(sink: Any) -> None:
        with (tmp_path / "large").open("rb") as file:
            poured(file, sink)

    assert at.put("objects/aa/large", fill)
    assert at.get("objects/aa/large") == some
    assert at.names("objects/") == {"objects/aa/large": len(some)}
    at.sweep()


def test_a_place_with_other_things_in_it_is_refused(bench: Workbench, place: str) -> None:
    at = destination(place)
    at.put("photo.jpg", lambda sink: sink.write(b"x"))
    with pytest.raises(UsageError, match="holds other things"):
        bench.backup(place)
    with pytest.raises(UsageError, match="holds no backup"):
        bench.backups(place)


# ---------------------------------------------------------------------- refusals


def test_what_a_store_refuses_is_said(bench: Workbench, bucket: S3, monkeypatch: pytest.MonkeyPatch) -> None:
    place = f"s3://{bucket.bucket}/x"
    monkeypatch.setenv("AWS_ENDPOINT_URL", bucket.endpoint)
    with pytest.raises(BadKeys, match="there are no keys"):
        bench.backup(place)
    secret = "a-secret-that-is-wrong"
    use(monkeypatch, bucket.endpoint, Keys(bucket.admin_keys.access, secret))
    with pytest.raises(BadKeys, match="does not know these keys") as told:
        bench.backup(place)
    assert secret not in str(told.value)
    use(monkeypatch, bucket.endpoint, bucket.reader)
    with pytest.raises(BadKeys, match="may not do this"):
        bench.backup(place)
    use(monkeypatch, bucket.endpoint, bucket.admin_keys)
    with pytest.raises((UsageError, LakeError), match=r"bucket"):
        bench.backups("s3://no-such-bucket-here/x")
    with pytest.raises(UsageError, match="names no bucket"):
        bench.backup("s3:///x")


def test_a_store_that_does_not_answer_is_said(bench: Workbench, monkeypatch: pytest.MonkeyPatch) -> None:
    use(monkeypatch, "http://127.0.0.1:9", Keys("a", "b"))
    monkeypatch.setattr("botocore.retries.standard.ExponentialBackoff.delay_amount", lambda *_: 0.0)
    with pytest.raises(Unreachable, match="does not answer"):
        bench.backup("s3://any/x")
