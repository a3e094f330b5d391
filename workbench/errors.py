"""What can go wrong, along the data's path.

WorkbenchError
├── UsageError           what was asked cannot be asked
│   ├── UnknownName      nothing of that name is declared
│   ├── BadSetting       a setting's value cannot be used
│   ├── BadRange         the dates do not make a range
│   ├── NoLake           the root holds no lake
│   ├── BrokenRule       rows are not what their table asks of them
│   ├── NotAllowed       whoever asks may not do this here
│   ├── NewerLake        a later version of the library made the lake
│   └── MissingExtra     a part of the package that was not installed is needed
├── SourceError          the bytes could not be had
│   ├── NoSource         no source is configured
│   ├── BadKeys          the source does not know these keys
│   ├── NotEntitled      the plan does not cover the file
│   ├── NotPublished     the file does not exist, or does not exist yet
│   ├── RateLimited      the plan's calls are used up for now
│   ├── Unreachable      the source does not answer
│   ├── BrokenAnswer     what the source says cannot be understood
│   └── BrokenDownload   the bytes that came are not the bytes that were listed
├── LandingError         the bytes are not what the table promises
│   ├── EmptyFile        the file has no rows
│   ├── BrokenGzip       the file is not one whole gzip stream
│   ├── BrokenText       the text cannot be read as CSV
│   ├── UnknownHeader    the header is not one that the table knows
│   ├── WrongSession     rows are stamped with another session
│   ├── KnownFault       the vendor is known to have published this file wrong
│   └── TooManyFaults    too many rows are faulty to trust the others
├── LakeError            the lake could not be read or written
│   ├── BrokenPromise    a file to be committed is not what the table declares
│   ├── BrokenBackup     a backup lacks a file, or has other bytes than it was made of
│   └── Busy             somebody else holds what is needed
├── ClusterError         other machines, or processes, could not be had or were lost
└── QueryError           the query was refused, by DuckDB or before it
    └── TookTooLong      it went over its limit of time, rows or memory

Every error says which thing, what is wrong, what was not done and what to do next. Arguments go to `super().__init__`, so that
errors survive a process pool.
"""

from collections.abc import Iterable
from difflib import get_close_matches


class WorkbenchError(Exception):
    """Anything that the workbench raises on purpose."""


class UsageError(WorkbenchError):
    """What was asked cannot be asked."""


class UnknownName(UsageError):
    """Nothing of that name is declared; names the nearest that are."""

    def __init__(self, kind: str, name: str, known: Iterable[str], hint: str = ""):
        known = sorted(known)
        super().__init__(kind, name, known, hint)
        self.kind, self.name, self.known, self.hint = kind, name, known, hint

    def __str__(self) -> str:
        near = get_close_matches(self.name, self.known, n=3, cutoff=0.5)
        listing = f"known are {', '.join(self.known)}" if len(self.known) <= 25 else ""
        advice = f"did you mean {' or '.join(near)}?" if near else listing
        if self.hint and advice and not near:
            advice += "."
        return f"there is no {self.kind} {self.name!r}; nothing was done; {' '.join(filter(None, (advice, self.hint)))}".rstrip("; ")


class BadSetting(UsageError):
    """A setting's value cannot be used."""


class BadRange(UsageError):
    """The dates do not make a range."""


class NoLake(UsageError):
    """The root holds no lake."""


class BrokenRule(UsageError):
    """Rows are not what their table asks of them; none of them was written."""


class NotAllowed(UsageError):
    """Whoever asks may not do this here."""


class NewerLake(UsageError):
    """A later version of the library made the lake."""


class MissingExtra(UsageError, ImportError):
    """A part of the package that was not installed is needed."""


class SourceError(WorkbenchError):
    """The bytes could not be had."""


class NoSource(SourceError, UsageError):
    """No source is configured."""


class BadKeys(SourceError):
    """The source does not know these keys."""


class NotEntitled(SourceError):
    """The plan does not cover the file."""


class NotPublished(SourceError):
    """The file does not exist, or does not exist yet."""


class RateLimited(SourceError):
    """The plan's calls are used up for now."""


class BrokenAnswer(SourceError):
    """What the source says cannot be understood."""


class Unreachable(SourceError):
    """The source does not answer."""


class BrokenDownload(SourceError):
    """The bytes that came are not the bytes that were listed."""


class LandingError(WorkbenchError):
    """The bytes are not what the table promises; the file goes to quarantine and the lake is unchanged."""


class EmptyFile(LandingError):
    """The file has no rows."""


class BrokenGzip(LandingError):
    """The file is not one whole gzip stream."""


class BrokenText(LandingError):
    """The text cannot be read as CSV."""


class UnknownHeader(LandingError):
    """The header is not one that the table knows."""


class WrongSession(LandingError):
    """Rows are stamped with another session."""


class KnownFault(LandingError):
    """The vendor is known to have published this file wrong, and the fault is in it."""


class TooManyFaults(LandingError):
    """Too many rows are faulty to trust the others."""


class LakeError(WorkbenchError):
    """The lake could not be read or written."""


class BrokenPromise(LakeError):
    """A file to be committed is not what the table declares."""


class BrokenBackup(LakeError):
    """A backup lacks a file, or has other bytes than it was made of."""


class Busy(LakeError):
    """Somebody else holds what is needed."""


class ClusterError(WorkbenchError):
    """Other machines, or processes, could not be had or were lost."""


class QueryError(WorkbenchError):
    """The query was refused, by DuckDB or before it."""


class TookTooLong(QueryError):
    """It went over its limit of time, rows or memory."""
