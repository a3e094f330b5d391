"""Parts of objects, fetched: many small requests, for which boto3 takes three times the time of the processor.

Each object's address is signed once and serves for every part of it; what is sent is urllib3's, whose connections are kept. An answer counts only if it is of
the very bytes that were asked for, of an object as long as the log says: anything else is asked for once more, and then said.
"""

import os
import re
import time
from collections import OrderedDict
from threading import Lock
from typing import TYPE_CHECKING, Any

from workbench.errors import LakeError, SourceError, Unreachable
from workbench.lake.remote.bucket import CONNECTIONS

if TYPE_CHECKING:
    from workbench.lake.remote.connection import Remote

# An address is good for an hour, and taken for half of one: the query that has it may take its time.
SIGNED_S, TAKEN_S = 3600, 1800
ADDRESSES = 50_000
PAUSE_S = 0.2
# What passes, as the protocol has it.
PASSING = {408, 429, 500, 502, 503, 504}
GONE, BEYOND = 404, 416


class Ranges:
    """Fetches parts of a bucket's objects. Safe for threads and for forked children."""

    def __init__(self, remote: "Remote"):
        self.remote = remote
        self._lock = Lock()
        self._signed: OrderedDict[str, tuple[str, float]] = OrderedDict()
        self._lines: tuple[int, Any] = (0, None)
        # How many requests were made, and for how many bytes: for whoever wants to know what a query costs.
        self.requests = self.bytes = 0

    def get(self, name: str, start: int, stop: int, size: int) -> bytes:
        """The bytes of an object from `start` to before `stop`; `size` is how long the log says that it is.

        Raises `FileNotFoundError` if there is none of that name, `LakeError` if it is another, `Unreachable`, `BadKeys` and `SourceError`.
        """
        import urllib3

        remote, trouble = self.remote, ""
        for attempt in range(remote.attempts):
            if attempt:
                # A store that is busy says so, and not when it will not be.
                time.sleep(PAUSE_S * 2 ** (attempt - 1))
            try:
                answer = self._line().request(
                    "GET",
                    self._address(name, anew=attempt > 0),
                    headers={"Range": f"bytes={start}-{stop - 1}", "Accept-Encoding": "identity"},
                    timeout=urllib3.Timeout(connect=remote.connect_s, read=remote.read_s),
                    retries=False,
                )
                some: bytes = answer.data
            except urllib3.exceptions.HTTPError as fault:
                # Without what is signed, which some faults show.
                trouble = re.sub(r"[?&]X-Amz-\S*", "", str(fault))
                continue
            with self._lock:
                self.requests += 1
                self.bytes += len(some)
            if answer.status in (200, 206):
                if (whole := told(answer, some)) != size:
                    raise self._another(name, size, f"has {whole:,} bytes")
                some = some[start:stop] if answer.status == 200 else some
                if len(some) == stop - start:
                    return some
                trouble = f"{len(some):,} of {stop - start:,} bytes came"
                continue
            if answer.status == BEYOND:
                raise self._another(name, size, "is shorter")
            code = found[1] if (found := re.search(r"<Code>(\w+)</Code>", some[:2000].decode(errors="replace"))) else str(answer.status)
            trouble = f"it says {code}"
            if answer.status not in PASSING and (answer.status == GONE or attempt):
                raise remote.refusal(code, f"it says {code}", f"{name} was not read")
        if trouble.startswith("it says"):
            raise SourceError(
                f"{remote.where} fails ({trouble}), asked {remote.attempts} times: {name} was not read. Run the command again."
            )
        raise Unreachable(
            f"{remote.where} does not answer ({trouble}): {name} was not read. Run the command again; AWS_ENDPOINT_URL names the store."
        )

    def _another(self, name: str, size: int, found: str) -> LakeError:
        return LakeError(
            f"{self.remote.where}/{name} {found}, and the log tells of {size:,} bytes: it is another file; nothing of it was read. `workbench verify` says "
            "what is wrong with the lake and what mends it."
        )

    def _address(self, name: str, *, anew: bool) -> str:
        """An object's address, signed."""
        now = time.monotonic()
        with self._lock:
            held = self._signed.get(name)
        if held and not anew and now - held[1] < TAKEN_S:
            return held[0]
        url: str = self.remote.signed(name, SIGNED_S)
        with self._lock:
            self._signed[name] = url, now
            while len(self._signed) > ADDRESSES:
                self._signed.popitem(last=False)
        return url

    def _line(self) -> Any:
        """The connections of this process: two that shared one would read each other's answers."""
        pid, lines = self._lines
        if pid != os.getpid():
            lines = self.remote.lines(CONNECTIONS)
            self._lines = os.getpid(), lines
        return lines


def told(answer: Any, some: bytes) -> int:
    """How long the object is that an answer is a part of, by its own word."""
    if answer.status == 200:
        return int(answer.headers.get("Content-Length") or len(some))
    found = re.fullmatch(r"bytes \d+-\d+/(\d+)", answer.headers.get("Content-Range", ""))
    return int(found[1]) if found else -1
