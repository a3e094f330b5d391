"""A process in a group of its own: what it prints goes to files without secrets, and it can be ended with all that it started."""

import os
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import IO

from workbench.runs.masking import Secrets

# What a run may print; more would fill the disk that the lake is on.
MOST_BYTES = 20_000_000
LONGEST_LINE = 1_000_000
HELD = 10_000
# How long a process has to end after it was asked to.
GRACE_S = 10.0


class Supervised:
    """A command in a process group of its own; what it prints, line by line and masked, is appended to two files.

    `feed` is what it reads on standard input, which then stays open: a child that finds it closed knows that whoever started it is no more.
    """

    def __init__(
        self,
        words: Sequence[str],
        out: Path,
        errors: Path,
        secrets: Secrets,
        *,
        env: Mapping[str, str] | None = None,
        cwd: Path | None = None,
        feed: bytes | None = None,
        pass_fds: Sequence[int] = (),
        heard: Callable[[str], None] | None = None,
    ):
        self.groups: set[int] = set()
        self.secrets = secrets
        self.process = subprocess.Popen(  # noqa: S603
            words,
            stdin=subprocess.DEVNULL if feed is None else subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env=None if env is None else dict(env),
            cwd=cwd,
            start_new_session=True,
            pass_fds=pass_fds,
        )
        self.pid = self.process.pid
        if feed is not None and self.process.stdin:
            with suppress(BrokenPipeError):
                self.process.stdin.write(feed)
                self.process.stdin.flush()
        pairs = ((self.process.stdout, out, heard), (self.process.stderr, errors, None))
        self._readers = [threading.Thread(target=self._copy, args=pair, daemon=True, name=f"log-{pair[1].name}") for pair in pairs]
        for reader in self._readers:
            reader.start()

    def _copy(self, stream: IO[bytes], path: Path, heard: Callable[[str], None] | None) -> None:
        written, held = 0, ""
        with path.open("ab", buffering=0) as log, stream:
            while (line := stream.readline(LONGEST_LINE)) or held:
                text = self.secrets.mask(held + line.decode(errors="replace"))
                # A line too long is cut, perhaps within a secret: its end waits for what follows.
                text, held = (text[:-HELD], text[-HELD:]) if line and not text.endswith("\n") else (text, "")
                if written <= MOST_BYTES:
                    written += len(text)
                    # A full disk ends the record, not the run.
                    with suppress(OSError):
                        log.write(text.encode() if written <= MOST_BYTES else b"... more was printed, and is not kept\n")
                if heard:
                    heard(text)

    def wait(self, seconds: float | None = None) -> int | None:
        """Its exit status, as a shell tells it; None if it has not ended by then."""
        try:
            status = self.process.wait(seconds)
        except subprocess.TimeoutExpired:
            return None
        for reader in self._readers:
            # What it started may live on and hold the pipe.
            reader.join(2)
        return 128 - status if status < 0 else status

    def interrupt(self) -> None:
        """Ask it to stop, as Ctrl-C would: the process, and what it works with."""
        for group in {self.pid, *self.groups}:
            send(group, signal.SIGINT)

    def end(self, grace: float = GRACE_S) -> int:
        """Have it end: asked first, then killed with all of its groups; gives its exit status."""
        self.interrupt()
        status = self.wait(grace)
        if status is None:
            for group in {self.pid, *self.groups}:
                send(group, signal.SIGTERM)
            status = self.wait(2)
        for group in {self.pid, *self.groups}:
            send(group, signal.SIGKILL)
        until = time.monotonic() + GRACE_S
        while status is None and time.monotonic() < until:
            status = self.wait(1)
        return 137 if status is None else status

    def close(self) -> None:
        """Let go of its standard input."""
        if self.process.stdin:
            with suppress(OSError):
                self.process.stdin.close()


def send(group: int, number: int) -> None:
    """Send a signal to a process group, if it is still there."""
    with suppress(ProcessLookupError, PermissionError):
        os.killpg(group, number)
