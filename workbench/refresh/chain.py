"""The sources that a refresh asks, best first: flat files, then the API, then Yahoo; and why any of them is left out."""

import os
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING

from workbench.config import Settings
from workbench.errors import NoSource
from workbench.sources import RowSource, Source, Verdict
from workbench.tables.answers import RANK

if TYPE_CHECKING:
    from workbench.sources.polygon_api import PolygonAPI
    from workbench.sources.reference import ReferenceSource
    from workbench.sources.sample import Sample

API_KEY = "POLYGON_API_KEY"
S3_KEYS = "POLYGON_S3_ACCESS_KEY and POLYGON_S3_SECRET_KEY"


@dataclass
class Chain:
    """Sources of flat files, of rows and of reference data, each best first. `skipped` names the legs that are left out, with the reason."""

    name: str
    files: Source | None = None
    rows: tuple[RowSource, ...] = ()
    reference: "tuple[ReferenceSource, ...]" = ()
    skipped: dict[str, str] = field(default_factory=dict)
    api: "PolygonAPI | None" = None

    @property
    def notes(self) -> list[str]:
        """A sentence about the legs that are left out, but for those that only give reference data."""
        out = [f"{name} ({why})" for name, why in self.skipped.items() if name in RANK]
        return [f"Left out: {', '.join(out)}."] if out else []

    @property
    def primary(self) -> bool:
        """Whether the first source of rows is the one that was chosen, not what stands behind one that is left out."""
        return self.files is None and self.name not in self.skipped

    def only(self, names: Sequence[str]) -> "Chain":
        """The same chain with some of its sources; all of them if none are named."""
        if not names:
            return self
        # A folder holds the bucket's own files.
        files = self.files if self.files and (self.files.name in names or "polygon_s3" in names) else None
        return replace(self, files=files, rows=tuple(leg for leg in self.rows if leg.name in names), skipped={})

    def check(self) -> Verdict:
        """Try the first source with its cheapest call."""
        first = self.files or next(iter(self.rows))
        return first.check()

    def hear(self, tell: Callable[[str], None]) -> None:
        """Be told of long waits for a plan's limit, from any thread."""
        if self.api:
            self.api.tell = tell

    def stop(self) -> None:
        """Have calls that wait give up soon."""
        for leg in self.rows:
            leg.stop()
        for source in self.reference:
            source.stop()

    def close(self) -> None:
        """Give back connections and temporary files."""
        closing = [leg.close for leg in (self.files, *self.rows) if leg] + [source.close for source in self.reference]
        for close in closing:
            with suppress(OSError):
                close()


def chain_of(settings: Settings) -> Chain:
    """The configured chain. Raises `NoSource` if no leg of it can be used, and `UsageError` for one that is set up wrong."""
    kind, _, _ = settings.chosen_source.partition(":")
    if kind == "folder":
        from workbench.sources.folder import Folder
        from workbench.sources.folder_reference import FolderReference

        folder = Folder(settings.folder, cache=settings.scratch / "folder-identities.json")
        return Chain(kind, folder, reference=(FolderReference(folder.root),))
    if kind == "sample":
        from workbench.sources.sample_reference import SampleReference

        return Chain(kind, made_up(), reference=(SampleReference(),))
    chain = Chain(kind)
    if kind == "polygon_s3":
        add_files(chain, settings)
    elif settings.polygon_s3_access_key or settings.polygon_s3_secret_key:
        half = not (settings.polygon_s3_access_key and settings.polygon_s3_secret_key)
        chain.skipped |= {"polygon_s3": f"it needs {S3_KEYS}, and only one of them is set"} if half else {}
    if kind in ("polygon_s3", "polygon_api"):
        add_api(chain, settings, fallback=kind == "polygon_s3")
    add_yahoo(chain, settings, chosen=kind == "yahoo")
    add_fred(chain, settings)
    if not (chain.files or chain.rows):
        raise NoSource(
            f"no source can be asked, so nothing was fetched: {'; '.join(f'{name}: {why}' for name, why in chain.skipped.items())}."
        )
    return chain


def made_up() -> "Sample":
    """The source that makes its files up."""
    from workbench.sources.market import EDITION
    from workbench.sources.sample import Sample

    # Not under the root: planning must not make one.
    return Sample(Path(tempfile.gettempdir()) / f"workbench-sample-{EDITION}-{os.getuid()}")


def add_files(chain: Chain, settings: Settings) -> None:
    """The vendor's bucket, if there are keys for it."""
    if not (settings.polygon_s3_access_key and settings.polygon_s3_secret_key):
        chain.skipped["polygon_s3"] = f"it needs {S3_KEYS}"
        return
    from workbench.sources.polygon_s3 import PolygonS3

    chain.files = PolygonS3(
        settings.polygon_s3_endpoint, settings.polygon_s3_bucket, settings.polygon_s3_access_key, settings.polygon_s3_secret_key
    )


def add_api(chain: Chain, settings: Settings, *, fallback: bool) -> None:
    """The REST API, for rows and reference data, if there is a key for it; as a fallback only if that is allowed."""
    if not settings.polygon_api_key:
        chain.skipped["polygon_api"] = f"it needs {API_KEY}"
        return
    from workbench.sources.polygon_api import PolygonAPI
    from workbench.sources.polygon_reference import PolygonReference

    api = PolygonAPI(settings.polygon_api_key, settings.polygon_api_url, settings.polygon_api_rate)
    chain.api = api
    chain.reference += (PolygonReference(api),)
    if fallback and not settings.polygon_s3_fallback:
        chain.skipped["polygon_api"] = "POLYGON_S3_FALLBACK is false"
        return
    chain.rows += (api,)


def add_yahoo(chain: Chain, settings: Settings, *, chosen: bool) -> None:
    """Yahoo, as the last leg, if it is allowed."""
    if not (settings.yahoo or chosen):
        chain.skipped["yahoo"] = "WORKBENCH_YAHOO does not allow it (its terms: personal use)"
        return
    from workbench.sources.yahoo import Yahoo
    from workbench.sources.yahoo_fundamentals import YahooFundamentals

    if settings.polygon_s3_fallback or chosen or chain.name == "polygon_api":
        chain.rows += (Yahoo(settings.yahoo_url),)
    chain.reference += (YahooFundamentals(settings.yahoo_url),)


def add_fred(chain: Chain, settings: Settings) -> None:
    """FRED, for economic series and the days of their release, if there is a key for it."""
    if settings.fred_api_key:
        from workbench.sources.fred import Fred
        from workbench.sources.fred_reference import FredReference

        chain.reference = (FredReference(Fred(settings.fred_api_key, settings.fred_url)), *chain.reference)
    else:
        chain.skipped["fred"] = "it needs FRED_API_KEY"


@contextmanager
def opened(settings: Settings) -> Iterator[Chain]:
    """The configured chain, closed afterwards."""
    chain = chain_of(settings)
    try:
        yield chain
    finally:
        chain.close()
