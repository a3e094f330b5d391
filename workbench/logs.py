"""Log lines: the standard library's `logging`, under loggers named `workbench.*`, silent until somebody asks for them.

`configure` is for the command line and the web service; a program that has its own logging needs none of it: the loggers are there. Secrets of the
settings, and what the environment has under names that say so, are masked in messages, arguments and tracebacks before any handler of ours writes them.
"""

import logging
import os
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from workbench.errors import LakeError
from workbench.runs.masking import Secrets

if TYPE_CHECKING:
    from workbench.config import Settings

NAME = "workbench"
LOGGER = logging.getLogger(NAME)
# What a record has of itself; the rest was given with the message.
OWN = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "taskName"}


class Masking(logging.Formatter):
    """Formats records without secrets: in the message with its arguments, the traceback, and whatever goes with it. Other handlers get the record itself."""

    def __init__(self, inner: logging.Formatter, secrets: Secrets):
        super().__init__()
        self.inner, self.secrets = inner, secrets

    def format(self, record: logging.LogRecord) -> str:
        """The record's line."""
        return self.inner.format(self.masked(record))

    def masked(self, record: logging.LogRecord) -> logging.LogRecord:
        """A copy of the record without secrets."""
        told = logging.makeLogRecord(vars(record))
        try:
            told.msg = self.secrets.mask(record.getMessage())
        except Exception:
            # Whatever a caller's wrong arguments raise: a line that cannot be put together is told in its parts, and ends nobody's work.
            told.msg = self.secrets.mask(f"{record.msg} {record.args}")
        told.args = None
        if record.exc_info:
            told.exc_text = self.secrets.mask(record.exc_text or logging.Formatter().formatException(record.exc_info))
            # What formats it anew would have it unmasked.
            told.exc_info = None
        elif record.exc_text:
            told.exc_text = self.secrets.mask(record.exc_text)
        if record.stack_info:
            told.stack_info = self.secrets.mask(record.stack_info)
        for name in vars(record).keys() - OWN:
            setattr(told, name, self.secrets.masked(vars(record)[name]))
        return told


class Text(logging.Formatter):
    """A line for people: instant in UTC, level, logger, message."""

    default_msec_format = "%s.%03dZ"
    default_time_format = "%Y-%m-%dT%H:%M:%S"

    def __init__(self) -> None:
        super().__init__("%(asctime)s %(levelname)-7s %(name)s: %(message)s")
        self.converter = time.gmtime


def as_json() -> logging.Formatter:
    """A line of JSON for each record: `time` (UTC), `level`, `logger`, `message`, `process`, and whatever goes with the record."""
    from pythonjsonlogger.json import JsonFormatter

    line = JsonFormatter(
        "%(asctime)s %(levelname)s %(name)s %(process)d %(message)s",
        rename_fields={"asctime": "time", "levelname": "level", "name": "logger"},
        json_default=str,
        json_ensure_ascii=False,
    )
    line.converter, line.default_msec_format, line.default_time_format = time.gmtime, Text.default_msec_format, Text.default_time_format
    return line


def configure(
    level: str | int = "info",
    *,
    json: bool = False,
    file: str | Path | None = None,
    settings: "Settings | None" = None,
    env: Mapping[str, str] | None = None,
) -> logging.Handler:
    """Have log lines of `level` and above written to a file, or to standard error; gives the handler. Called again, it takes the place of the one before.

    `settings` are those whose secrets are masked. Raises `LakeError` where the file cannot be written.
    """
    handler: logging.Handler
    if file:
        path = Path(file).expanduser()
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            # Opened anew where somebody moves it away, as logrotate does.
            from logging.handlers import WatchedFileHandler

            handler = WatchedFileHandler(path, encoding="utf-8")
        except OSError as fault:
            raise LakeError(
                f"{path} cannot be written ({fault.strerror}); nothing is logged and nothing was done. Name another in WORKBENCH_LOG_FILE."
            ) from fault
    else:
        handler = logging.StreamHandler(sys.stderr)
    from workbench.config import Settings

    secrets = Secrets.of(settings or Settings(), os.environ if env is None else env)
    handler.setFormatter(Masking(as_json() if json else Text(), secrets))
    handler.set_name(NAME)
    for other in [one for one in LOGGER.handlers if one.get_name() == NAME]:
        LOGGER.removeHandler(other)
        other.close()
    LOGGER.addHandler(handler)
    LOGGER.setLevel(level.upper() if isinstance(level, str) else level)
    # Whoever configures the root besides would have each line twice.
    LOGGER.propagate = False
    return handler


def as_settings_say(settings: "Settings", default: str = "") -> logging.Handler | None:
    """Configure by WORKBENCH_LOG_LEVEL, WORKBENCH_LOG_FORMAT and WORKBENCH_LOG_FILE; `default` is the level where none is set, empty for no lines."""
    level = settings.log_level or default
    if not level:
        return None
    file = settings.project / Path(settings.log_file).expanduser() if settings.log_file else None
    return configure(level, json=settings.log_format == "json", file=file, settings=settings)
