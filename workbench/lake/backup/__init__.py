"""Backups: a consistent copy of a lake in a folder or a bucket, made beside whoever writes."""

from workbench.lake.backup.backups import Backups
from workbench.lake.backup.manifest import Kept, Manifest, TableState

__all__ = ["Backups", "Kept", "Manifest", "TableState"]
