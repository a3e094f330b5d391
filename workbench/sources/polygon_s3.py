"""The vendor's bucket: flat files over S3.

botocore's own retries are off: it starts a broken body again from its first byte, and a file of trades is gigabytes.
Its exceptions never leave this module.
"""

import hashlib
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any, TypeVar

from workbench.errors import BadKeys, BadSetting, BrokenDownload, NotEntitled, SourceError, Unreachable, WorkbenchError
from workbench.sources import Fetched, FlatFile, Verdict
from workbench.sources.parts import claimed, expect_room, intact, resume, storing
from workbench.sources.s3_refusals import LISTING_MEANINGS, MEANINGS, REFUSED, REPLACED, Meaning, Patience, code_of, passing, status_of
from workbench.tables import Feed, find, locate

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

T = TypeVar("T")

# A stall loses what is read of one chunk, so chunks are small.
CHUNK_BYTES = 64 * 1024
LISTERS = 8
STATES: dict[type[WorkbenchError], str] = {BadKeys: "wrong key", NotEntitled: "not entitled"}


@dataclass(eq=False)
class PolygonS3:
    """The vendor's flat files, read from its bucket with the plan's S3 keys.

    `timeout_s` is how long the far end may stay silent, `tries` how many attempts in a row may bring nothing. One object
    serves many threads; a process that it is sent to connects anew. Start such processes by spawn or forkserver: a fork beside
    running threads may find OpenSSL's locks held for ever.
    """

    endpoint: str
    bucket: str
    access_key: str = field(repr=False)
    secret_key: str = field(repr=False)
    timeout_s: float = 60.0
    tries: int = 6
    backoff_s: float = 0.5
    connections: int = 16
    name: str = field(default="polygon_s3", init=False)
    _clients: dict[int, "S3Client"] = field(default_factory=dict, init=False, repr=False)
    _closed: int = field(default=0, init=False, repr=False)

    def __getstate__(self) -> dict[str, Any]:
        return vars(self) | {"_clients": {}}

    @property
    def _client(self) -> "S3Client":
        # Two threads may both connect; one of the two clients is kept. A fork must not share its parent's connections.
        return self._clients.get(os.getpid()) or self._clients.setdefault(os.getpid(), self._connect())

    def _connect(self) -> "S3Client":
        import boto3.session
        from botocore.config import Config
        from botocore.exceptions import BotoCoreError

        if not (self.access_key and self.secret_key):
            # boto3 would go on to look for the keys of some other account.
            raise BadKeys(f"{self.endpoint} was not asked: there are no keys for it; set POLYGON_S3_ACCESS_KEY and POLYGON_S3_SECRET_KEY")
        config = Config(
            signature_version="s3v4",
            s3={"addressing_style": "path"},
            retries={"total_max_attempts": 1},
            connect_timeout=min(self.timeout_s, 10.0),
            read_timeout=self.timeout_s,
            max_pool_connections=self.connections,
            request_checksum_calculation="when_required",
            response_checksum_validation="when_required",
        )
        try:
            session = boto3.session.Session(self.access_key, self.secret_key, region_name="us-east-1")
            return session.client("s3", endpoint_url=self.endpoint, config=config)
        except (ValueError, BotoCoreError) as exc:
            raise BadSetting(
                f"{self.endpoint!r} cannot be used as an S3 endpoint ({exc}); nothing was asked of it;"
                " write POLYGON_S3_ENDPOINT like https://files.massive.com"
            ) from exc

    def list(self, feed: Feed, start: date, end: date) -> Sequence[FlatFile]:
        """The feed's files with sessions from `start` to `end`, both included, oldest first; keys that are no flat file's are passed over."""
        wanted = prefixes(feed, start, end)
        if not wanted:
            return []
        with ThreadPoolExecutor(min(LISTERS, len(wanted))) as pool:
            try:
                found = [file for files in pool.map(self._list, wanted) for file in files]
            except BaseException:
                pool.shutdown(wait=False, cancel_futures=True)
                raise
        inside = [file for file in found if (place := locate(file.key)) and place[1] == feed and start <= place[2] <= end]
        return sorted(inside, key=lambda file: file.key)

    def _list(self, prefix: str) -> Sequence[FlatFile]:
        files: list[FlatFile] = []
        token = ""
        while True:
            page = self._page(prefix, token)
            files += (FlatFile(found["Key"], found["ETag"].strip('"'), found["Size"]) for found in page.get("Contents", ()))
            token = page.get("NextContinuationToken", "")
            if not token:
                return files

    def _page(self, prefix: str, token: str = "", limit: int = 1000, tries: int = 0) -> Mapping[str, Any]:
        asked: dict[str, Any] = {"ContinuationToken": token} if token else {}

        def ask() -> Mapping[str, Any]:
            return self._client.list_objects_v2(Bucket=self.bucket, Prefix=prefix, MaxKeys=limit, **asked)

        with self._translated(f"{prefix or self.bucket} was not listed", LISTING_MEANINGS):
            return self._insist(ask, tries or self.tries)

    def fetch(self, file: FlatFile, folder: Path) -> Fetched:
        """The file's bytes, whole and verified, under `folder`.

        What came before the source fell silent stays there, and the next call goes on from it. Raises `SourceError`, or
        `LakeError` if `folder` cannot hold the file.
        """
        whole = whole_of(file, folder)
        with storing(file, folder):
            folder.mkdir(parents=True, exist_ok=True)
            with claimed(whole) as part:
                # Whoever held the part may have finished it meanwhile.
                if intact(whole, file):
                    return Fetched(whole, 0)
                came = self._download(file, part)
                part.replace(whole)
        return Fetched(whole, came)

    def held(self, file: FlatFile, folder: Path) -> int:
        """How many bytes of a file are under `folder` now, for whoever watches its download."""
        whole = whole_of(file, folder)
        for path in (whole.with_name(f"{whole.name}.part"), whole):
            with suppress(OSError):
                return path.stat().st_size
        return 0

    def _download(self, file: FlatFile, part: Path) -> int:
        """Append to `part` until it is whole; returns the bytes that came. It stays only if a next call can resume it."""
        digest = hashlib.md5(usedforsecurity=False)
        held = resume(part, file, digest.update)
        came, closed = 0, self._closed
        patience = Patience(self.tries, self.backoff_s)
        try:
            with (
                open(part, "ab") as draft,
                self._translated(f"{file.key} was not downloaded", again="refresh again later: the download goes on where it stopped"),
            ):
                expect_room(part.parent, file.size - held)
                while held < file.size:
                    try:
                        for chunk in filter(None, self._bytes(file, held)):
                            draft.write(chunk)
                            digest.update(chunk)
                            held += len(chunk)
                            came += len(chunk)
                            patience.renew()
                            self._still(closed, file, held)
                    except Exception as exc:
                        patience.endure(exc)
            if held != file.size:
                raise BrokenDownload(f"{file.key} came with {held:,} bytes instead of {file.size:,}; nothing was landed; refresh again")
            if "-" not in file.etag and digest.hexdigest() != file.etag:
                raise BrokenDownload(
                    f"{file.key} came with the md5 {digest.hexdigest()} instead of {file.etag}; nothing was landed;"
                    " refresh again: the download starts anew"
                )
        except (OSError, SourceError) as exc:
            if not (isinstance(exc, Unreachable) and held):
                part.unlink(missing_ok=True)
            raise
        return came

    def _still(self, closed: int, file: FlatFile, held: int) -> None:
        """Raise `Unreachable`, which keeps the part, if the source was closed since a download began."""
        if self._closed != closed:
            raise Unreachable(
                f"{file.key} was stopped at {held:,} of {file.size:,} bytes; nothing was landed; the next refresh goes on there"
            )

    def _bytes(self, file: FlatFile, start: int) -> Iterator[bytes]:
        """The object's bytes from `start` on, in small pieces, if it still is the object that was listed."""
        from botocore.exceptions import IncompleteReadError

        rest: dict[str, Any] = {"Range": f"bytes={start}-"} if start else {}
        answer = self._client.get_object(Bucket=self.bucket, Key=file.key, IfMatch=f'"{file.etag}"', **rest)
        with closing(answer["Body"]) as body:
            if answer["ETag"].strip('"') != file.etag:
                raise BrokenDownload(f"{file.key} was not downloaded: {REPLACED.reason}; nothing was landed; {REPLACED.advice}")
            # A far end that does not know ranges sends everything: what is here already is passed over.
            at = first_byte(answer.get("ContentRange", ""))
            if at > start:
                raise BrokenDownload(
                    f"{file.key} was not downloaded: {self.endpoint} sent another range than it was asked for; nothing was landed"
                )
            while chunk := body.read(CHUNK_BYTES):
                known = max(0, start - at)
                at += len(chunk)
                yield chunk[known:]
        if at < file.size:
            raise IncompleteReadError(actual_bytes=at, expected_bytes=file.size)

    def check(self) -> Verdict:
        """List one key, then read one byte of the latest day file; never raises."""
        try:
            self._page("", limit=1, tries=2)
            latest = self._latest()
            if latest:
                with self._translated(f"{latest.key} was not read"):
                    self._insist(lambda: self._touch(latest), tries=2)
        except WorkbenchError as error:
            absent = isinstance(error.__cause__, Exception) and code_of(error.__cause__) in {"NoSuchBucket", "InvalidBucketName", "404"}
            return Verdict(self.name, "no bucket" if absent else STATES.get(type(error), "unreachable"), str(error))
        return Verdict(self.name, "works", f"{self.endpoint} {self.bucket}: {f'read {latest.key}' if latest else 'holds no day file'}")

    def _latest(self) -> FlatFile | None:
        """The newest file of day bars, which every plan with flat files covers."""
        [feed] = find("stock_day").feeds
        year = datetime.now(UTC).year
        for prefix in (f"{feed.prefix}/{year}/", f"{feed.prefix}/{year - 1}/", f"{feed.prefix}/"):
            files = [file for file in self._list(prefix) if file.size and locate(file.key)]
            if files:
                return max(files, key=lambda file: file.key)
        return None

    def _touch(self, file: FlatFile) -> None:
        with closing(self._client.get_object(Bucket=self.bucket, Key=file.key, Range="bytes=0-0")["Body"]) as body:
            body.read()

    def close(self) -> None:
        """Give back this process's connections and end its downloads, which can be resumed; the next call connects anew."""
        self._closed += 1
        client = self._clients.pop(os.getpid(), None)
        if client:
            client.close()

    def _insist(self, ask: Callable[[], T], tries: int) -> T:
        patience = Patience(tries, self.backoff_s)
        while True:
            try:
                return ask()
            except Exception as exc:
                patience.endure(exc)

    @contextmanager
    def _translated(self, undone: str, meanings: Mapping[str, Meaning] = MEANINGS, again: str = "try again later") -> Iterator[None]:
        """Turn botocore's errors into ours; let everything else through."""
        from botocore.exceptions import BotoCoreError, ClientError
        from botocore.parsers import ResponseParserError

        try:
            yield
        except (ClientError, BotoCoreError, ResponseParserError) as exc:
            if passing(exc):
                raise Unreachable(
                    f"{undone}: {self.endpoint} {self._trouble(exc)}; nothing was landed; {again}, or check POLYGON_S3_ENDPOINT"
                ) from exc
            code = code_of(exc)
            meaning = meanings.get(code) or meanings.get(str(status_of(exc)), REFUSED)
            reason = meaning.reason.format(endpoint=self.endpoint, bucket=self.bucket)
            raise meaning.error(f"{undone}: {reason} ({code}); nothing was landed; {meaning.advice}") from exc

    def _trouble(self, exc: Exception) -> str:
        from botocore.exceptions import ClientError, ConnectTimeoutError, IncompleteReadError, ReadTimeoutError

        if isinstance(exc, ReadTimeoutError | ConnectTimeoutError):
            return f"was silent for {self.timeout_s:g} s"
        if isinstance(exc, IncompleteReadError):
            return "closed the connection too early"
        if isinstance(exc, ClientError):
            return f"keeps answering {code_of(exc)} (HTTP {status_of(exc)})"
        cause: BaseException = exc
        while inner := cause.__cause__ or cause.__context__:
            cause = inner
        return f"does not answer ({cause})"


def whole_of(file: FlatFile, folder: Path) -> Path:
    """Where a downloaded file stands: a name of its own for each version of it."""
    identity = hashlib.sha1(f"{file.key} {file.etag}".encode(), usedforsecurity=False).hexdigest()[:12]
    return folder / f"{identity}-{PurePosixPath(file.key).name}"


def prefixes(feed: Feed, start: date, end: date) -> Sequence[str]:
    """The prefixes that hold a range: one request each, and little that was not asked for.

    A feed has at most 366 keys a year, so a year is one page and costs as much as a month.
    """
    if end.year - start.year > 30:
        return [f"{feed.prefix}/"]
    wanted = []
    for year in range(start.year, end.year + 1):
        first = start.month if year == start.year else 1
        last = end.month if year == end.year else 12
        if first <= last:
            wanted.append(f"{feed.prefix}/{year:04}/{first:02}/" if first == last else f"{feed.prefix}/{year:04}/")
    return wanted


def first_byte(content_range: str) -> int:
    """Where the body begins in the object: 100 for `bytes 100-199/200`, 0 without a range."""
    return int(content_range.removeprefix("bytes ").partition("-")[0]) if content_range else 0
