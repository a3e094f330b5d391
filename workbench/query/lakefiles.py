"""What DuckDB reads a bucket with where httpfs is not there for its version: the lake's own files by what this machine holds of them, others by s3fs."""

from datetime import UTC, datetime
from functools import cached_property
from typing import TYPE_CHECKING, Any

from fsspec import AbstractFileSystem

from workbench.errors import UsageError
from workbench.lake.remote.farfile import Opened

if TYPE_CHECKING:
    from workbench.lake.remote.connection import Remote

# The lake's data files never change.
ALWAYS = datetime(2000, 1, 1, tzinfo=UTC)


class LakeFiles(AbstractFileSystem):  # type: ignore[misc]
    """The objects of `s3://`, as DuckDB asks for them: those of a lake's data, whose names and sizes the log has told, without asking the bucket for them."""

    protocol = "s3"
    # Each session has its own: its lake.
    cachable = False

    def __init__(self, remote: "Remote"):
        super().__init__()
        self.remote = remote
        self._start = f"{remote.where}/lake/"

    @cached_property
    def others(self) -> Any:
        """What stands elsewhere in S3, with the keys of the lake's bucket. Raises `MissingExtra`."""
        from workbench.query.buckets import s3fs

        return s3fs(self.remote)

    def _name(self, path: str) -> str | None:
        """The name of a data file of the lake; None for anything else."""
        path = path if path.startswith("s3://") else f"s3://{path}"
        return path.removeprefix(f"{self.remote.where}/") if path.startswith(self._start) and not set("*?[") & set(path) else None

    def glob(self, path: str, **more: Any) -> Any:
        """The paths that a pattern means. A file of the lake is there, by the log's word; reading it says if it is not."""
        return [path] if self._name(path) else self.others.glob(path, **more)

    def open(self, path: str, mode: str = "rb", **more: Any) -> Any:
        """Open a file. Raises `UsageError` for one of the lake's that is to be written."""
        name = self._name(path)
        if name is None:
            return self.others.open(path, mode=mode, **more)
        if mode != "rb":
            raise UsageError(
                f"{path} is inside the lake, which only the workbench's own verbs write; nothing was written. Name a place outside of it."
            )
        return Opened(self.remote.file(self.remote.root / name))

    def exists(self, path: str, **more: Any) -> bool:
        """Whether there is such a file."""
        name = self._name(path)
        if name is None:
            return bool(self.others.exists(path, **more))
        return self.remote.listed.size(name) is not None or self.remote.size(name) is not None

    def info(self, path: str, **more: Any) -> Any:
        """Size and kind of a file."""
        name = self._name(path)
        if name is None:
            return self.others.info(path, **more)
        return {"name": path, "size": self.remote.file(self.remote.root / name).size, "type": "file"}

    def size(self, path: str) -> Any:
        """The bytes of a file."""
        return self.info(path)["size"]

    def modified(self, path: str) -> Any:
        """When a file was last written."""
        return ALWAYS if self._name(path) else self.others.modified(path)

    def isfile(self, path: str) -> bool:
        """Whether a path is one of a file."""
        return True if self._name(path) else bool(self.others.isfile(path))

    def isdir(self, path: str) -> bool:
        """Whether a path is one of a folder."""
        return False if self._name(path) else bool(self.others.isdir(path))

    def ls(self, path: str, detail: bool = True, **more: Any) -> Any:
        """What stands in a folder."""
        return self.others.ls(path, detail=detail, **more)

    def makedirs(self, path: str, exist_ok: bool = False) -> None:
        """Folders need no making in a bucket."""

    def mkdir(self, path: str, create_parents: bool = True, **more: Any) -> None:
        """Folders need no making in a bucket."""

    def mv(self, path1: str, path2: str, **more: Any) -> None:
        """Give an object another name. Raises `UsageError` for the lake's own."""
        self._expect_outside(path1, path2)
        self.others.mv(path1, path2, **more)

    def rm_file(self, path: str) -> None:
        """Remove an object. Raises `UsageError` for the lake's own."""
        self._expect_outside(path)
        self.others.rm_file(path)

    def _expect_outside(self, *paths: str) -> None:
        for path in paths:
            if self._name(path):
                raise UsageError(f"{path} is inside the lake, which only the workbench's own verbs write; nothing was changed.")
