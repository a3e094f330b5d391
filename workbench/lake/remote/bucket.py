"""What stands in a bucket: any store that speaks S3. Keys and endpoint are found as boto3 finds them (AWS_ACCESS_KEY_ID, AWS_ENDPOINT_URL, …)."""

import re
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime, timedelta
from functools import cached_property
from typing import IO, TYPE_CHECKING, Any, cast

from workbench.errors import BadKeys, LakeError, SourceError, Unreachable, UsageError
from workbench.lake.disk import full_disk

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

    from workbench.lake.backup.destination import Fill

# Larger objects go up in parts; so much of one is held in memory.
PART = 16 << 20
CONNECTIONS = 16
# Parts that nobody completed are a killed backup's; one that goes up takes less long.
ABANDONED = timedelta(days=2)
ABSENT = {"NoSuchKey", "NotFound", "404"}
THERE = {"PreconditionFailed", "412", "ConditionalRequestConflict", "409"}
UNKNOWING = {"NotImplemented", "501", "InvalidArgument", "MethodNotAllowed"}
KEYS = {"InvalidAccessKeyId", "SignatureDoesNotMatch", "ExpiredToken", "InvalidToken"}
FULL = {"QuotaExceeded", "InsufficientStorage", "507", "XMinioStorageFull", "EntityTooLarge"}


class Bucket:
    """What stands below a prefix of a bucket. Safe for threads. `endpoint` is another than what the environment says."""

    # What a fault leaves: the end of sentences.
    left = "no snapshot was made"
    retry = "the next backup goes on from here"
    connect_s, read_s, attempts = 10, 60, 6

    def __init__(self, where: str, endpoint: str = ""):
        self.endpoint = endpoint
        self.where = f"s3://{where.removeprefix('s3://').rstrip('/')}"
        self.bucket, _, prefix = self.where.removeprefix("s3://").partition("/")
        if not re.fullmatch(r"[A-Za-z0-9._-]{1,255}", self.bucket):
            raise UsageError(f"{where} names no bucket; nothing was done. Write s3://bucket/prefix.")
        self._prefix = f"{prefix}/" if prefix else ""

    @cached_property
    def client(self) -> "S3Client":
        """The connection, made when it is first needed."""
        import boto3.session
        from botocore.config import Config
        from botocore.exceptions import BotoCoreError

        config = Config(
            retries={"total_max_attempts": self.attempts, "mode": "standard"},
            connect_timeout=self.connect_s,
            read_timeout=self.read_s,
            max_pool_connections=CONNECTIONS,
            # Signed addresses would be of the version before it in one region.
            signature_version="s3v4",
            # Stores other than Amazon's do not all know the newer checksums; every byte is checked against its sha256 anyway.
            request_checksum_calculation="when_required",
            response_checksum_validation="when_required",
        )
        try:
            session = boto3.session.Session()
            return session.client("s3", region_name=session.region_name or "us-east-1", endpoint_url=self.endpoint or None, config=config)
        except (BotoCoreError, ValueError) as fault:
            raise UsageError(f"{self.where} cannot be reached with these settings ({fault}); nothing was done. See to AWS_…") from fault

    def exists(self) -> bool:
        """Whether anything stands there."""
        with self._said("nothing was read"):
            return bool(self.client.list_objects_v2(Bucket=self.bucket, Prefix=self._prefix, MaxKeys=1).get("KeyCount"))

    def names(self, below: str) -> dict[str, int]:
        """The objects below a prefix of it, with their sizes."""
        with self._said("nothing was read"):
            pages = self.client.get_paginator("list_objects_v2").paginate(Bucket=self.bucket, Prefix=self._prefix + below)
            return {one["Key"].removeprefix(self._prefix): one["Size"] for page in pages for one in page.get("Contents", ())}

    def get(self, name: str) -> bytes | None:
        """A small object; None if there is none of that name."""
        try:
            with self.reading(name) as body:
                return body.read()
        except FileNotFoundError:
            return None

    @contextmanager
    def reading(self, name: str) -> Iterator[IO[bytes]]:
        """An object to be read from its beginning. Raises `FileNotFoundError`."""
        with self._said(f"{name} was not read"):
            body: Any = self.client.get_object(Bucket=self.bucket, Key=self._prefix + name)["Body"]
            with body:
                yield body

    def part(self, name: str, start: int, end: int) -> bytes:
        """The bytes of an object from one place to before another. Raises `FileNotFoundError`."""
        with self._said(f"{name} was not read"):
            body: Any = self.client.get_object(Bucket=self.bucket, Key=self._prefix + name, Range=f"bytes={start}-{end - 1}")["Body"]
            with body:
                return bytes(body.read())

    def put(self, name: str, fill: "Fill", *, anew: bool = False) -> bool:
        """Upload an object, whole or not at all."""
        with tempfile.SpooledTemporaryFile(PART) as spool:
            try:
                fill(cast("IO[bytes]", spool))
            except OSError as fault:
                if not full_disk(fault):
                    raise
                raise LakeError(
                    f"the disk that holds {tempfile.gettempdir()} is full: {name} was not kept, and {self.left}. What goes to {self.where} passes "
                    f"through there: free some space, or name another folder with TMPDIR. What was copied stays: {self.retry}."
                ) from fault
            size = spool.tell()
            spool.seek(0)
            with self._said(f"{name} was not kept"):
                if size < PART:
                    return self._put(name, spool.read(), anew=anew)
                from boto3.s3.transfer import TransferConfig

                parts = TransferConfig(multipart_threshold=PART, multipart_chunksize=PART, max_concurrency=4)
                self.client.upload_fileobj(spool, self.bucket, self._prefix + name, Config=parts)
        return True

    def _put(self, name: str, some: bytes, *, anew: bool) -> bool:
        from botocore.exceptions import ClientError

        place: Any = {"Bucket": self.bucket, "Key": self._prefix + name}
        if not anew:
            try:
                self.client.put_object(**place, Body=some, IfNoneMatch="*")
            except ClientError as fault:
                if code_of(fault) in THERE:
                    return False
                if code_of(fault) not in UNKNOWING:
                    raise
            else:
                return True
            # This store cannot be asked to keep what is there.
            if self.names(name):
                return False
        self.client.put_object(**place, Body=some)
        return True

    def remove(self, name: str) -> None:
        """Take an object away, if it is there."""
        with self._said(f"{name} was not removed"):
            self.client.delete_object(Bucket=self.bucket, Key=self._prefix + name)

    def settle(self) -> None:
        """What a store has said that it has, it has."""

    def sweep(self, older: timedelta = ABANDONED) -> None:
        """Give up the parts of uploads that were begun so long ago and never completed."""
        from botocore.exceptions import ClientError

        # Not every store lists them, and nothing but room depends on it.
        with suppress(ClientError, LakeError, SourceError):
            pages = self.client.get_paginator("list_multipart_uploads").paginate(Bucket=self.bucket, Prefix=self._prefix)
            for one in [one for page in pages for one in page.get("Uploads", ())]:
                if datetime.now(UTC) - one["Initiated"] > older:
                    self.client.abort_multipart_upload(Bucket=self.bucket, Key=one["Key"], UploadId=one["UploadId"])

    @contextmanager
    def _said(self, undone: str) -> Iterator[None]:
        """Say what the store's errors mean."""
        from boto3.exceptions import Boto3Error
        from botocore.exceptions import BotoCoreError, ClientError, NoCredentialsError, PartialCredentialsError
        from urllib3.exceptions import HTTPError

        try:
            yield
        except ClientError as fault:
            raise self._meant(code_of(fault), str(fault), undone) from fault
        except (NoCredentialsError, PartialCredentialsError) as fault:
            raise BadKeys(
                f"there are no keys for {self.where}: {undone}. Set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or a profile with AWS_PROFILE."
            ) from fault
        except (BotoCoreError, Boto3Error, HTTPError) as fault:
            cause = fault.__cause__ or fault.__context__
            if isinstance(cause, ClientError):
                raise self._meant(code_of(cause), str(cause), undone) from fault
            raise Unreachable(
                f"{self.where} does not answer ({fault}): {undone}, and {self.left}. Run the command again; AWS_ENDPOINT_URL names the store."
            ) from fault

    def _meant(self, code: str, told: str, undone: str) -> Exception:
        if code in ABSENT:
            return FileNotFoundError(told)
        if code == "NoSuchBucket":
            return UsageError(f"there is no bucket {self.bucket!r}: {undone}. Make it, or name another.")
        if code in KEYS:
            return BadKeys(f"{self.where} does not know these keys ({code}): {undone}. See to AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY.")
        if code in ("AccessDenied", "403", "Forbidden"):
            return BadKeys(f"these keys may not do this in {self.where} ({told}): {undone}. They need to list, read, put and delete there.")
        if code in FULL:
            return LakeError(f"{self.where} is full ({told}): {undone}, and {self.left}. Free some room; {self.retry}.")
        return SourceError(f"{self.where} refused ({told}): {undone}, and {self.left}. Run the command again.")


def code_of(fault: Exception) -> str:
    """The store's own name for what went wrong."""
    return str(getattr(fault, "response", {}).get("Error", {}).get("Code", ""))
