"""Encrypted backups, in the age format (age-encryption.org): whoever makes them needs public keys alone, whoever reads them an identity file.

Objects are named by a keyed hash of their bytes, with a key that stands beside them: the names do not tell which known file they are to somebody who only
sees a list of them. Sizes are not hidden.
"""

import hashlib
import hmac
from collections.abc import Sequence
from importlib import import_module
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

from workbench.errors import BrokenBackup, MissingExtra, UsageError

if TYPE_CHECKING:
    from types import ModuleType


def pyrage() -> "ModuleType":
    """The library that speaks age. Raises `MissingExtra`."""
    try:
        return import_module("pyrage")
    except ImportError as fault:
        raise MissingExtra(
            "encrypted backups need pyrage, which is not installed; nothing was done. pip install 'workbench[backup]'"
        ) from fault


def recipients_of(given: Sequence[str]) -> tuple[str, ...]:
    """The public keys (age1…) that are named, or that stand in files that are named, sorted. Raises `UsageError`."""
    found = set()
    for one in given:
        lines = [one] if one.startswith("age1") else text_of(one, "recipients").splitlines()
        # An identity file says its public key in a comment, but to read a secret for that would be wrong.
        for line in filter(None, (line.partition("#")[0].strip() for line in lines)):
            if not line.startswith("age1"):
                raise UsageError(
                    f"{one} holds a line that is no public key of age; nothing was done. Give age1…, or a file of such lines "
                    "(`age-keygen -y identity.txt`)."
                )
            found.add(line)
    for key in found:
        public(key)
    if given and not found:
        raise UsageError(f"{', '.join(given)} names no public key; nothing was done. Give age1…, or a file of such lines.")
    return tuple(sorted(found))


def public(key: str) -> Any:
    """A public key of age. Raises `UsageError`."""
    age = pyrage()
    try:
        return age.x25519.Recipient.from_str(key)
    except age.RecipientError as fault:
        raise UsageError(f"{key!r} is no public key of age ({fault}); nothing was done. Give age1… as age-keygen prints it.") from fault


def identities_of(files: Sequence[str]) -> list[Any]:
    """The secret keys in identity files, as age-keygen writes them. Raises `UsageError`, which never shows a key."""
    found = []
    for file in files:
        for line in filter(None, (line.partition("#")[0].strip() for line in text_of(file, "identity").splitlines())):
            age = pyrage()
            try:
                found.append(age.x25519.Identity.from_str(line))
            except age.IdentityError:
                # The line may be a secret, and the cause may quote it.
                raise UsageError(
                    f"{file} holds a line that is no secret key of age; nothing was read. Give the file that age-keygen wrote."
                ) from None
    if files and not found:
        raise UsageError(f"{', '.join(files)} holds no secret key of age; nothing was read. Give the file that age-keygen wrote.")
    return found


def text_of(file: str, what: str) -> str:
    """The text of a file of keys. Raises `UsageError`."""
    try:
        return Path(file).expanduser().read_text(encoding="utf-8")
    except (OSError, ValueError) as fault:
        why = fault.strerror if isinstance(fault, OSError) else "it is no text"
        raise UsageError(f"the {what} file {file} cannot be read ({why}); nothing was done. Name a file that age-keygen wrote.") from fault


def named(sha256: str, salt: str) -> str:
    """The name of an object: its bytes' sha256, keyed where there is a salt."""
    return hmac.new(bytes.fromhex(salt), bytes.fromhex(sha256), hashlib.sha256).hexdigest() if salt else sha256


def seal(source: IO[bytes], sink: IO[bytes], recipients: Sequence[str]) -> None:
    """Encrypt to everybody named. Raises `OSError` as reading and writing do."""
    age, told = pyrage(), Kept(sink, source)
    try:
        age.encrypt_io(told, told, [public(key) for key in recipients])
    except age.EncryptError as fault:
        raise told.fault or fault from fault


def unseal(source: IO[bytes], sink: IO[bytes], identities: Sequence[Any], what: str) -> None:
    """Decrypt. Raises `UsageError` if no identity fits, `BrokenBackup` if it was altered; both name `what`."""
    if not identities:
        raise UsageError(
            f"{what} is encrypted, and no identity was given; nothing was read. Give --identity FILE, or set WORKBENCH_BACKUP_IDENTITY."
        )
    age, told = pyrage(), Kept(sink, source)
    try:
        age.decrypt_io(told, told, identities)
    except (age.DecryptError, OSError) as fault:
        if told.fault:
            raise told.fault from fault
        if "No matching keys" in str(fault):
            raise UsageError(
                f"{what} was encrypted to other keys than those given; nothing was read. Give the identity that fits."
            ) from fault
        raise BrokenBackup(
            f"{what} was altered or torn ({fault}); nothing was made of it. Take another snapshot, or bring it back from a copy of the backup."
        ) from fault


class Kept:
    """A source and a sink whose own errors are kept: the library turns them into texts."""

    def __init__(self, sink: IO[bytes], source: IO[bytes]):
        self._sink, self._source = sink, source
        self.fault: Exception | None = None

    def read(self, size: int = -1) -> bytes:
        """The source's next bytes."""
        try:
            return self._source.read(size)
        except Exception as fault:
            self.fault = fault
            raise

    def write(self, some: bytes) -> int:
        """Pass bytes on to the sink."""
        try:
            self._sink.write(some)
        except Exception as fault:
            self.fault = fault
            raise
        return len(some)

    def flush(self) -> None:
        """Pass on that what was written is to be there."""
        self._sink.flush()
