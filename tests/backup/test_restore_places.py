"""Restores from a bucket, and of an encrypted backup."""

from collections.abc import Callable
from pathlib import Path

import pytest
from backed import landed, opened, seen
from s3server import S3

from workbench.errors import BrokenBackup, UsageError
from workbench.lake.backup.backups import Backups
from workbench.lake.restoring.restore import restore


@pytest.fixture
def home(tmp_path: Path, made_once: Callable[..., None]) -> Path:
    made_once(landed, tmp_path)
    return tmp_path


def keys(home: Path, name: str) -> tuple[str, str]:
    """A public key, and the file of its secret one."""
    pyrage = pytest.importorskip("pyrage")
    identity = pyrage.x25519.Identity.generate()
    (home / name).write_text(f"# public key: {identity.to_public()}\n{identity}\n")
    return str(identity.to_public()), str(home / name)


def test_an_encrypted_backup_restores_with_its_identity_alone(home: Path) -> None:
    (public, file), (_, other) = keys(home, "mine"), keys(home, "another")
    with opened(home / "lake") as bench:
        bench.backup(home / "backups", recipients=[public])
    where = str(home / "backups")
    for wrong, said in (((), "no identity was given"), ((other,), "encrypted to other keys")):
        with pytest.raises(UsageError, match=said):
            restore(where, home / "new", identities=wrong)
    assert not (home / "new").exists()

    restore(where, home / "new", identities=[file])
    assert seen(home / "new") == seen(home / "lake")
    with opened(home / "lake") as bench:
        assert bench.drill(where, identities=[file]).facts["good"]


def test_a_bucket_restores_and_names_what_it_lacks(home: Path, bucket: S3, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in (
        ("ACCESS_KEY_ID", bucket.admin_keys.access),
        ("SECRET_ACCESS_KEY", bucket.admin_keys.secret),
        ("ENDPOINT_URL", bucket.endpoint),
    ):
        monkeypatch.setenv(f"AWS_{name}", value)
    where = f"s3://{bucket.bucket}/kept/lake"
    with opened(home / "lake") as bench:
        bench.backup(where)
    restore(where, home / "new")
    assert seen(home / "new") == seen(home / "lake")
    with opened(home / "lake") as bench:
        assert bench.drill(where).facts["good"]

    backups = Backups.open(where)
    kept = next(one for one in backups.manifest().files if one.path.endswith(".parquet"))
    bucket.admin.delete_object(Bucket=bucket.bucket, Key=f"kept/lake/{backups.name(kept.sha256)}")
    with pytest.raises(BrokenBackup, match=kept.path):
        restore(where, home / "other")
    assert not (home / "other").exists()
