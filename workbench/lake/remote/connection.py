"""A lake's bucket, as everything in the lake uses it: objects by the paths that stand for them, and what other engines open it with."""

import os
import re
import time
import uuid
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any
from weakref import WeakValueDictionary

from workbench.errors import BadKeys, LakeError, SourceError, Unreachable, WorkbenchError
from workbench.lake.modes import make_root
from workbench.lake.remote.bucket import ABSENT, CONNECTIONS, PART, THERE, UNKNOWING, Bucket, code_of
from workbench.lake.remote.listed import Listed

if TYPE_CHECKING:
    from workbench.lake.remote.farfile import FarFile
    from workbench.lake.remote.held import Held
    from workbench.lake.remote.mirror import Mirror
    from workbench.lake.remote.ranges import Ranges


# What delta-rs says of a store that it did not hear.
SILENT = ("error sending request", "Generic S3 error", "timed out", "retry timeout", "operation timed out")
# So often is a body asked for again that broke off.
AGAIN = 2
# So often is a small object put again that met another of its name on its way, and so long after, in seconds.
CONFLICTS, PAUSE_S = 3, 0.2
CONFLICT = {"ConditionalRequestConflict", "409"}


@dataclass(frozen=True)
class Stored:
    """An object: its name below the lake's prefix, its bytes, and when it was written, in seconds since 1970."""

    name: str
    size: int
    at: float


class Remote(Bucket):
    """The bucket of a lake whose root on this machine is `root`. Safe for threads; a forked child makes its own."""

    left = "the lake is unchanged"
    retry = "run the command again"
    # Somebody waits for an answer: a store that stalls is given up within a minute and a half, and said so.
    connect_s, read_s, attempts = 5, 20, 4

    def __init__(self, root: Path, where: str, endpoint: str = ""):
        super().__init__(where, endpoint)
        self.root = root
        self.listed = Listed()
        # How long the ends of tables' files are that have whole footers, by the tables' folders.
        self.tails: dict[str, int] = {}
        self._files: WeakValueDictionary[str, FarFile] = WeakValueDictionary()
        self._pool: tuple[int, ThreadPoolExecutor | None] = (0, None)
        # Whether DuckDB reads its files through this process, and not by itself.
        self.through = False

    def __repr__(self) -> str:
        return f"<Remote {self.where}>"

    @cached_property
    def mirror(self) -> "Mirror":
        """What this machine keeps of it."""
        from workbench.lake.remote.mirror import Mirror

        return Mirror(self)

    @cached_property
    def ranges(self) -> "Ranges":
        """What fetches parts of its objects."""
        from workbench.lake.remote.ranges import Ranges

        return Ranges(self)

    @cached_property
    def held(self) -> "Held":
        """The data files and parts of such that this machine holds."""
        from workbench.lake.remote.held import Held

        return Held(self)

    @property
    def pool(self) -> ThreadPoolExecutor:
        """Threads that wait for the bucket; a forked child has its own."""
        pid, pool = self._pool
        if pool is None or pid != os.getpid():
            pool = ThreadPoolExecutor(CONNECTIONS, thread_name_prefix="bucket")
            self._pool = os.getpid(), pool
        return pool

    def file(self, path: Path | str) -> "FarFile":
        """A data file, to be read by parts. Raises `FileNotFoundError` if there is none, and no log tells of it."""
        from workbench.lake.remote.farfile import FarFile

        name = str(path).removeprefix(f"{self.root}/")
        held = self._files.get(name)
        if held is None:
            size = self.listed.size(name)
            if size is None and (here := self.held.whole(name)):
                size = here.stat().st_size
            if size is None:
                size = self.size(name)
            if size is None:
                raise FileNotFoundError(f"{self.where}/{name} is not there")
            held = self._files.setdefault(name, FarFile(self, name, size))
        return held

    def home(self) -> None:
        """Make the root on this machine, if it is not there: rows that are not folded yet stand in it, and what is read of the lake, nobody else's to see."""
        if not self.root.exists():
            make_root(self.root)

    # ------------------------------------------------------------------ names

    def name(self, path: Path) -> str:
        """An object's name below the prefix, of the path that stands for it."""
        return path.relative_to(self.root).as_posix()

    def url_of(self, path: Path) -> str:
        """What other engines call the object or folder that a path stands for."""
        below = self.name(path)
        return self.where if below == "." else f"{self.where}/{below}"

    # ------------------------------------------------------------------ objects

    def get(self, name: str) -> bytes | None:
        """A small object; None if there is none of that name. One whose body breaks off is asked for again."""
        for again in range(AGAIN, -1, -1):
            came = False
            try:
                with self.reading(name) as body:
                    came = True
                    return body.read()
            except FileNotFoundError:
                break
            except Unreachable:
                # boto3 asks again for an answer, and not for the rest of one that broke off.
                if not (came and again):
                    raise
        return None

    def upload(self, path: Path, name: str) -> None:
        """Keep a file as an object of a name that nobody else uses, whole or not at all, for good once this returns."""
        from boto3.s3.transfer import TransferConfig

        if path.stat().st_size < PART:
            # Of a file in one piece boto3's transfers would cost more than the request.
            with self._said(f"{name} was not written"), path.open("rb") as file:
                self.client.put_object(Bucket=self.bucket, Key=self._prefix + name, Body=file)
            return
        parts = TransferConfig(multipart_threshold=PART, multipart_chunksize=PART, max_concurrency=4)
        with self._said(f"{name} was not written"):
            self.client.upload_file(str(path), self.bucket, self._prefix + name, Config=parts)

    def put_once(self, name: str, some: bytes) -> bool:
        """Keep a small object unless there is one of that name; False then. Raises `LakeError` where the store cannot be asked to leave what is there."""
        from botocore.exceptions import ClientError

        with self._said(f"{name} was not written"):
            try:
                for again in range(CONFLICTS, -1, -1):
                    try:
                        self.client.put_object(Bucket=self.bucket, Key=self._prefix + name, Body=some, IfNoneMatch="*")
                        break
                    except ClientError as fault:
                        # Another is at it, who may yet fail.
                        if code_of(fault) not in CONFLICT or not again:
                            raise
                        time.sleep(PAUSE_S)
            except ClientError as fault:
                if code_of(fault) in THERE:
                    return False
                if code_of(fault) in UNKNOWING:
                    raise LakeError(
                        f"{self.where} does not know conditional writes, without which two machines would overwrite each other; nothing was written. "
                        "Take a store that knows If-None-Match."
                    ) from fault
                raise
        return True

    def put_over(self, name: str, some: bytes) -> None:
        """Keep a small object, whatever has its name."""
        with self._said(f"{name} was not written"):
            self.client.put_object(Bucket=self.bucket, Key=self._prefix + name, Body=some)

    def size(self, name: str) -> int | None:
        """The bytes of an object; None if there is none of that name."""
        from botocore.exceptions import ClientError

        with self._said(f"{name} was not looked at"):
            try:
                return int(self.client.head_object(Bucket=self.bucket, Key=self._prefix + name)["ContentLength"])
            except ClientError as fault:
                if code_of(fault) in ABSENT:
                    return None
                if code_of(fault) == "403":
                    # An answer to HEAD has no words: a listing says what is wrong with the keys, if it is they.
                    self.client.list_objects_v2(Bucket=self.bucket, Prefix=self._prefix + name, MaxKeys=1)
                raise

    def download(self, name: str, target: Path) -> None:
        """Bring an object to a place on this machine, whole or not at all.

        Raises `FileNotFoundError` if there is none of that name, and `SourceError` where this machine's disk takes nothing more.
        """
        # Another lake's drafts are beside it: a disk's rename goes no further than the disk.
        draft = self.root / "tmp" / "coming" / f"{os.getpid()}-{uuid.uuid4().hex[:8]}"
        try:
            self.home()
            draft.parent.mkdir(parents=True, exist_ok=True)
            target.parent.mkdir(parents=True, exist_ok=True)
            for again in range(AGAIN, -1, -1):
                came = False
                try:
                    with self.reading(name) as body, draft.open("wb") as file:
                        came = True
                        for some in iter(lambda: body.read(1 << 20), b""):
                            file.write(some)
                        self.ranges.requests, self.ranges.bytes = self.ranges.requests + 1, self.ranges.bytes + file.tell()
                    break
                except Unreachable:
                    # As in `get`.
                    if not (came and again):
                        raise
            draft.replace(target)
        except FileNotFoundError:
            raise
        except OSError as fault:
            raise SourceError(
                f"{self.root} takes no more ({fault.strerror}): {name} was not brought, and the lake is unchanged. Make room, as `workbench clean --cache --yes` "
                "does; WORKBENCH_CACHE names another folder."
            ) from fault
        finally:
            with suppress(OSError):
                draft.unlink()

    def now(self) -> float:
        """The present instant by the store's clock, which objects are dated by, in seconds since 1970."""
        with self._said("nothing was listed"):
            told = self.client.list_objects_v2(Bucket=self.bucket, Prefix=self._prefix, MaxKeys=1)["ResponseMetadata"]["HTTPHeaders"]
        return parsedate_to_datetime(told["date"]).timestamp() if "date" in told else time.time()

    def expect_conditions(self) -> None:
        """Raise `LakeError` for a store that does not leave what is there when it is asked to; asked once for each root on a machine."""
        note = self.root / "locks" / "conditional"
        if note.exists():
            return
        name = f"tmp/{uuid.uuid4().hex}"
        try:
            # The first may have gone through without an answer, and be asked again by boto3.
            self.put_once(name, b"first")
            kept = not self.put_once(name, b"second") and self.get(name) == b"first"
        finally:
            with suppress(WorkbenchError, FileNotFoundError):
                self.remove(name)
        if not kept:
            raise LakeError(
                f"{self.where} overwrites what it was asked to leave (If-None-Match: *), so that two machines would overwrite each other's commits; "
                "nothing was written. Take a store with conditional writes."
            )
        note.parent.mkdir(parents=True, exist_ok=True)
        note.touch()

    def below(self, prefix: str, after: str = "") -> Iterator[Stored]:
        """The objects whose names begin with a text, by name; those after a name, if one is given.

        What no lake has put there is passed over: marks of folders, which other tools make, and names that would be paths out of this machine's folder.
        """
        more: dict[str, Any] = {"StartAfter": self._prefix + after} if after else {}
        with self._said("nothing was listed"):
            pages = self.client.get_paginator("list_objects_v2").paginate(Bucket=self.bucket, Prefix=self._prefix + prefix, **more)
            for page in pages:
                for one in page.get("Contents", ()):
                    if one["Key"].endswith("/") or ".." in one["Key"].split("/"):
                        continue
                    yield Stored(one["Key"].removeprefix(self._prefix), one["Size"], one["LastModified"].timestamp())

    def folders(self, prefix: str) -> list[str]:
        """The names of the folders right below a prefix that ends in a slash."""
        with self._said("nothing was listed"):
            pages = self.client.get_paginator("list_objects_v2").paginate(Bucket=self.bucket, Prefix=self._prefix + prefix, Delimiter="/")
            found = [one["Prefix"] for page in pages for one in page.get("CommonPrefixes", ())]
        names = [one.removeprefix(self._prefix + prefix).rstrip("/") for one in found]
        return [name for name in names if name not in ("", ".", "..")]

    def remove_all(self, names: Iterable[str]) -> None:
        """Take objects away, those that are there."""
        names = list(names)
        with self._said("not all of what was to go was removed"):
            for some in (names[n : n + 1000] for n in range(0, len(names), 1000)):
                told = self.client.delete_objects(
                    Bucket=self.bucket, Delete={"Objects": [{"Key": self._prefix + name} for name in some], "Quiet": True}
                )
                for one in told.get("Errors", ()):
                    raise self._meant(
                        str(one.get("Code")),
                        f"{one.get('Code')}: {one.get('Message')}",
                        f"{one.get('Key')} was not removed, nor all that was to go",
                    )

    def each(self, do: "Callable[[Any], object]", of: Iterable[Any]) -> list[Any]:
        """Do something for each of some things, many at a time; what was raised first is raised."""
        some = list(of)
        if len(some) < 2:
            return [do(one) for one in some]
        with ThreadPoolExecutor(min(CONNECTIONS, len(some)), thread_name_prefix="bucket") as pool:
            try:
                return list(pool.map(do, some))
            except RuntimeError as fault:
                if "after interpreter shutdown" not in str(fault):
                    raise
        # Python is ending, and a fold is the last thing that this process does: no thread is to be had any more.
        return [do(one) for one in some]

    # ------------------------------------------------------------------ parts of objects

    def signed(self, name: str, seconds: int) -> str:
        """An address that an object can be read at for so many seconds, by whoever has it: it is shown to nobody."""
        with self._said(f"{name} was not read"):
            return self.client.generate_presigned_url(
                "get_object", Params={"Bucket": self.bucket, "Key": self._prefix + name}, ExpiresIn=seconds
            )

    def lines(self, count: int) -> Any:
        """urllib3's connections, as the environment has boto3 make its own: through its proxies, and believing whom it names."""
        import urllib3
        from botocore.httpsession import get_cert_path
        from botocore.session import Session
        from botocore.utils import get_environ_proxies

        endpoint = self.client.meta.endpoint_url
        bundle = Session(include_builtin_handlers=False).get_config_variable("ca_bundle")
        more: dict[str, Any] = {"ca_certs": get_cert_path(bundle or True), "maxsize": count, "block": False}
        proxy = get_environ_proxies(endpoint).get(endpoint.partition(":")[0])
        return urllib3.ProxyManager(proxy, **more) if proxy else urllib3.PoolManager(**more)

    def refusal(self, code: str, told: str, undone: str) -> Exception:
        """What a store's refusal by a code means."""
        return self._meant(code, told, undone)

    # ------------------------------------------------------------------ other engines

    def options(self) -> dict[str, str]:
        """What delta-rs and Polars open the bucket with. Raises `BadKeys` if there are no keys."""
        import boto3.session

        session = boto3.session.Session()
        held = session.get_credentials()
        if held is None:
            raise BadKeys(
                f"there are no keys for {self.where}: nothing was done. Set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or a profile with AWS_PROFILE."
            )
        keys = held.get_frozen_credentials()
        endpoint = self.client.meta.endpoint_url
        told = {
            "aws_access_key_id": keys.access_key or "",
            "aws_secret_access_key": keys.secret_key or "",
            "aws_region": session.region_name or "us-east-1",
            "aws_conditional_put": "etag",
            "connect_timeout": f"{self.connect_s}s",
            "timeout": f"{self.read_s}s",
            "max_retries": str(self.attempts - 1),
            "retry_timeout": f"{self.read_s * self.attempts}s",
        }
        if keys.token:
            told["aws_session_token"] = keys.token
        if self.endpoint or not endpoint.endswith("amazonaws.com"):
            told |= {"aws_endpoint_url": endpoint, "aws_allow_http": str(endpoint.startswith("http://")).lower()}
        return told

    @contextmanager
    def meant(self, undone: str) -> Iterator[None]:
        """Say what delta-rs's errors of the bucket mean; its words for other things pass."""
        try:
            yield
        except WorkbenchError:
            raise
        except Exception as fault:
            told = " ".join(re.sub(r"\x1b\[[0-9;]*m|↳", "", str(fault)).split())
            code = re.search(r"<Code>(\w+)</Code>", told)
            if code and code[1] not in THERE | ABSENT:
                raise self._meant(code[1], code[1], undone) from fault
            if any(sign in told for sign in ("403 Forbidden", "AccessDenied", "SignatureDoesNotMatch", "InvalidAccessKeyId")):
                raise self._meant("AccessDenied", told[:200], undone) from fault
            if any(sign in told for sign in SILENT):
                raise Unreachable(
                    f"{self.where} does not answer ({told[-200:]}): {undone}. Run the command again; AWS_ENDPOINT_URL names the store."
                ) from fault
            raise
