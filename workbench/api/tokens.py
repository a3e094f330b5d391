"""Who may ask over HTTP, and what: tokens, of which the lake keeps no more than a digest.

They stand in `access.json` at the lake's root, which its owner alone reads. A token is 256 random bits: a plain SHA-256 of it cannot be
turned round by trying, which is what slow digests are for with passwords that people think of. A change of the file holds from the next
request on, with no restart.
"""

import hashlib
import hmac
import json
import os
import re
import secrets
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Literal, get_args

from filelock import FileLock, Timeout

from workbench.errors import Busy, LakeError, NoLake, UnknownName, UsageError
from workbench.lake.disk import disk, sync

Role = Literal["reader", "app", "owner"]
Action = Literal["read", "write", "refresh", "delete"]

ROLES: tuple[Role, ...] = get_args(Role)
# The documents' own split: an application inserts and updates; what takes rows away, or fetches new ones, is its owner's.
MAY: Mapping[Role, frozenset[Action]] = {
    "reader": frozenset({"read"}),
    "app": frozenset({"read", "write"}),
    "owner": frozenset({"read", "write", "refresh", "delete"}),
}
PREFIX = "wb_"
NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.@-]{0,63}")
# A token is looked for in the time that this takes; a longer text is none, and its digest would take as long as whoever sent it likes.
LONGEST = 512
FORMAT = 1
WAIT_S = 10.0


@dataclass(frozen=True)
class Grant:
    """What a token gives: the name it was made under, a role, the schemas it is limited to (None: all), and when it ends (None: never)."""

    name: str
    role: Role
    schemas: tuple[str, ...] | None = None
    expires: datetime | None = None
    made: datetime | None = None

    def may(self, action: Action) -> bool:
        """Whether the role goes so far."""
        return action in MAY[self.role]

    def reaches(self, schema: str) -> bool:
        """Whether a schema is among its own."""
        return self.schemas is None or schema.lower() in self.schemas

    @property
    def expired(self) -> bool:
        """Whether its time is over."""
        return self.expires is not None and self.expires <= datetime.now(UTC)


@dataclass(frozen=True)
class Held:
    """A grant as the file has it: with the digest of its token, and of the one before while that still holds."""

    grant: Grant
    digest: str
    before: str | None = None
    until: datetime | None = None

    def holds(self, digest: str) -> bool:
        """Whether a token's digest opens it. Takes as long for a wrong one as for a right one."""
        now = hmac.compare_digest(self.digest, digest)
        old = hmac.compare_digest(self.before or "-" * len(digest), digest)
        return now or (old and self.until is not None and self.until > datetime.now(UTC))

    def to_json(self) -> dict[str, Any]:
        """As the file keeps it."""
        one = self.grant
        return {
            "role": one.role,
            "schemas": list(one.schemas) if one.schemas is not None else None,
            "expires": one.expires.isoformat() if one.expires else None,
            "made": one.made.isoformat() if one.made else None,
            "sha256": self.digest,
            "before": self.before,
            "until": self.until.isoformat() if self.until else None,
        }

    @classmethod
    def from_json(cls, name: str, kept: Mapping[str, Any]) -> "Held":
        """As the file has it. Raises `KeyError`, `TypeError` or `ValueError` for what is none."""
        if kept["role"] not in ROLES or not re.fullmatch("[0-9a-f]{64}", kept["sha256"]):
            raise ValueError(name)
        schemas = None if kept["schemas"] is None else tuple(map(str, kept["schemas"]))
        grant = Grant(name, kept["role"], schemas, instant(kept["expires"]), instant(kept["made"]))
        return cls(grant, kept["sha256"], kept["before"], instant(kept["until"]))


class Tokens:
    """The tokens of one lake. Safe to use from many threads and processes."""

    def __init__(self, root: Path):
        self.root = root
        self.path = root / "access.json"
        self._seen: tuple[tuple[int, int, int] | None, dict[str, Held]] | None = None

    def __repr__(self) -> str:
        return f"<Tokens of {self.root}>"

    def __bool__(self) -> bool:
        """Whether there is any that opens something now."""
        return any(not one.grant.expired for one in self._read().values())

    def check(self, secret: str) -> Grant | None:
        """What a token gives; None if it is none, was revoked, or its time is over.

        Every token of the lake is compared, each in constant time: how long it takes tells nothing. Raises `LakeError` if the file cannot be
        read, in which case nobody is let in.
        """
        known = self._read()
        if not isinstance(secret, str) or len(secret) > LONGEST:
            return None
        told = digest(secret)
        found = [held.grant for held in known.values() if held.holds(told)]
        return found[0] if found and not found[0].expired else None

    def add(self, name: str, role: str, schemas: Collection[str] | None = None, expires: datetime | timedelta | None = None) -> str:
        """Make a token and give it. This once: nobody can tell it later.

        `schemas` limits what it reads and writes; `expires` is an instant, or how long it holds. Raises `UnknownName` for a role or schema,
        `UsageError` for a name that is taken or none, and for an end that is past.
        """
        if role not in ROLES:
            raise UnknownName("role", role, ROLES)
        if not NAME.fullmatch(name):
            raise UsageError(
                f"{name[:80]!r} is no name for a token; none was made. Give up to 64 letters, digits and any of _ . @ -, a letter or digit first."
            )
        limited = limits(schemas)
        if limited is not None and not limited:
            raise UsageError(f"the token {name} was given no schema to read; none was made. Name some, or leave them out for all of them.")
        if limited is not None and role == "owner":
            raise UsageError(
                f"an owner has all schemas, and {name} was given some; no token was made. Leave them out, or take another role."
            )
        now = datetime.now(UTC)
        end = now + expires if isinstance(expires, timedelta) else expires
        if end is not None and end.tzinfo is None:
            raise UsageError(f"{end} says no time zone; no token was made. Give one, as 2027-01-31T00:00:00Z.")
        if end is not None and end <= now:
            raise UsageError(f"{end:%Y-%m-%d %H:%M %Z} is past, so the token {name} would open nothing; none was made. Give a later end.")
        secret = made()
        with self._changing() as known:
            if name in known:
                raise UsageError(
                    f"there is a token {name} already; none was made. Revoke it, rotate it, or take another name (`workbench token list`)."
                )
            known[name] = Held(Grant(name, role, limited, end.astimezone(UTC) if end else None, now), digest(secret))
        return secret

    def rotate(self, name: str, grace: timedelta = timedelta()) -> str:
        """Make a new token in place of one, with the same rights and end, and give it. The old one goes on for as long as `grace`.

        Raises `UnknownName`, and `UsageError` for less than no time.
        """
        if grace < timedelta():
            raise UsageError(f"{grace} is less than no time; {name} was not changed. Give how long the old token goes on, as 1h.")
        secret = made()
        with self._changing() as known:
            old = self._named(name, known)
            until = datetime.now(UTC) + grace if grace else None
            known[name] = Held(old.grant, digest(secret), old.digest if until else None, until)
        return secret

    def revoke(self, name: str) -> Grant:
        """Take a token away, with the one before it; gives what it was. Raises `UnknownName`."""
        with self._changing() as known:
            return known.pop(self._named(name, known).grant.name).grant

    def list(self) -> tuple[Grant, ...]:
        """What every token gives, by name; the expired too."""
        return tuple(held.grant for _, held in sorted(self._read().items()))

    def _named(self, name: str, known: Mapping[str, Held]) -> Held:
        if name not in known:
            raise UnknownName("token", name, known)
        return known[name]

    def _read(self) -> dict[str, Held]:
        """The tokens as the file has them now: one `stat` if it stayed as it was."""
        seen = self._seen
        try:
            stat = self.path.stat()
        except FileNotFoundError:
            return {}
        except OSError as fault:
            raise LakeError(
                f"{self.path} cannot be read ({fault.strerror}): nobody is let in. Give yourself the right to read it."
            ) from fault
        # It is replaced whole at every change: a file of the same time and size is still another.
        state = (stat.st_ino, stat.st_mtime_ns, stat.st_size)
        if seen is None or seen[0] != state:
            seen = self._seen = (state, read(self.path))
        return seen[1]

    @contextmanager
    def _changing(self) -> Iterator[dict[str, Held]]:
        """The tokens, to be changed; written when the block ends, and as they were if it raises."""
        if not (self.root / "lake").is_dir():
            raise NoLake(
                f"{self.root} holds no lake, so nothing was changed. Make one first, with `workbench refresh` or `workbench demo`."
            )
        with disk(self.root, "no token was changed"):
            (self.root / "locks").mkdir(exist_ok=True)
            try:
                with FileLock(self.root / "locks" / "access.lock", timeout=WAIT_S):
                    known = read(self.path) if self.path.exists() else {}
                    yield known
                    self._write(known)
            except Timeout as fault:
                raise Busy(f"another process changes the tokens of {self.root}; nothing was changed. Run the command again.") from fault

    def _write(self, known: Mapping[str, Held]) -> None:
        draft = self.path.with_name(f".access.{os.getpid()}.{secrets.token_hex(4)}.draft")
        text = json.dumps({"format": FORMAT, "tokens": {name: held.to_json() for name, held in sorted(known.items())}}, indent=1)
        try:
            # Never readable by others, not even before its rights are set.
            handle = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
            with os.fdopen(handle, "w", encoding="utf-8") as file:
                file.write(text + "\n")
                file.flush()
                os.fsync(file.fileno())
            draft.replace(self.path)
            sync(self.path.parent)
        finally:
            draft.unlink(missing_ok=True)


def read(path: Path) -> dict[str, Held]:
    """The tokens of a file. Raises `LakeError` if it is damaged, or of a later version."""
    try:
        kept = json.loads(path.read_text(encoding="utf-8"))
        if kept["format"] > FORMAT:
            raise LakeError(f"{path} was written by a later version of the workbench: nobody is let in. Upgrade this one.")
        return {name: Held.from_json(name, one) for name, one in kept["tokens"].items()}
    except FileNotFoundError:
        return {}
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as fault:
        why = fault.strerror if isinstance(fault, OSError) else "it is not what the workbench wrote"
        raise LakeError(
            f"{path} cannot be read ({why}): nobody is let in, and no token was changed. Bring it back from a backup, or remove it and make "
            "the tokens anew."
        ) from fault


def limits(schemas: Collection[str] | None) -> tuple[str, ...] | None:
    """The schemas that a token is limited to, in lower case. Raises `UnknownName`."""
    from workbench.query.guarded.names import chosen

    return chosen(schemas)


def made() -> str:
    """A new token."""
    return PREFIX + secrets.token_urlsafe(32)


def digest(secret: str) -> str:
    """What the lake keeps of a token."""
    return hashlib.sha256(secret.encode("utf-8", "surrogatepass")).hexdigest()


def instant(text: str | None) -> datetime | None:
    """An instant as the file has it."""
    return datetime.fromisoformat(text).astimezone(UTC) if text else None
