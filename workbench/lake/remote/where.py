"""Which folders of this machine stand for a lake in a bucket, told from their paths alone, so that every process and thread knows it.

    <cache>/s3:<scheme>:<host>/<bucket>:<prefix>:<prefix>/lake/main/stock_day/…        s3://bucket/prefix/prefix/lake/main/stock_day/…

The first part is `s3:` alone for Amazon's own endpoint.
"""

import re
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from workbench.lake.remote.connection import Remote
    from workbench.lake.remote.farfile import Opened

ROOT = re.compile(r"(?P<root>.*?/s3:(?P<endpoint>[^/]*)/(?P<place>[^/]+))(?:/(?P<below>.*))?", re.DOTALL)


def remote_of(path: Path | str) -> "Remote | None":
    """The bucket that a path's lake stands in; None for a lake in a folder."""
    text = str(path)
    # Every look into a lake asks this: most paths are of folders.
    if "/s3:" not in text:
        return None
    found = ROOT.fullmatch(text)
    # What is restored to a folder for work, to be looked at, is a lake of this machine's.
    if found is None or (found["below"] or "").startswith("tmp/"):
        return None
    return made(found["root"], found["endpoint"], found["place"])


@lru_cache(maxsize=64)
def made(root: str, endpoint: str, place: str) -> "Remote":
    """The bucket of a machine's root, one for each process."""
    from workbench.lake.remote.connection import Remote

    scheme, _, host = endpoint.partition(":")
    return Remote(Path(root), f"s3://{place.replace(':', '/')}", f"{scheme}://{host}" if host else "")


def readable(path: Path | str) -> str:
    """What an engine opens for a path of a lake: a url in a bucket, or the path itself."""
    remote = remote_of(path)
    return remote.url_of(Path(path)) if remote else str(path)


def opened(path: str) -> "str | Opened":
    """What pyarrow reads a data file of a lake by: its path, or in a bucket what fetches the parts that are read."""
    remote = remote_of(path)
    if remote is None:
        return path
    from workbench.lake.remote.farfile import Opened

    return Opened(remote.file(path))


def here(root: Path, path: str) -> str:
    """A path on this machine of a data file, by its path or its url: brought from the bucket if it is not here. Raises `FileNotFoundError`."""
    remote = remote_of(root)
    if remote is None or not path.startswith(f"{remote.where}/"):
        return path
    return str(remote.mirror.bring(remote.root / path.removeprefix(f"{remote.where}/")))
