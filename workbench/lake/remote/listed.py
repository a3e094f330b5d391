"""How long data files are, as the logs say that were read: nobody asks the bucket for that."""

from collections import deque
from threading import Lock
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import pyarrow as pa

# Of each table so many versions are known: sessions show the newest ones, and what they hold still.
VERSIONS = 8


class Listed:
    """The sizes of a bucket's data files, by the names of the objects. Safe for threads."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._told: dict[str, deque[tuple[Any, dict[str, int]]]] = {}

    def note(self, table: str, stats: "pa.Table") -> None:
        """Note the files of a version of a table, whose folder is named from the lake's root."""
        with self._lock:
            self._told.setdefault(table, deque(maxlen=VERSIONS)).append((stats, {}))

    def size(self, name: str) -> int | None:
        """The bytes of a data file; None if no log that was read tells of it."""
        parts = name.split("/", 3)
        if len(parts) < 4:
            return None
        with self._lock:
            versions = list(self._told.get("/".join(parts[:3]), ()))
        for stats, sizes in reversed(versions):
            if not sizes:
                sizes.update(zip(stats["path"].to_pylist(), stats["size"].to_pylist(), strict=True))
            found: int | None = sizes.get(parts[3])
            if found is not None:
                return found
        return None
