"""Tell people of a scheduled run: by a command, by e-mail, by a webhook. Each that is named is tried; one that fails holds up nothing."""

import json
import platform
import shlex
import subprocess
import threading
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from workbench.runs import Run
from workbench.runs.masking import Secrets

if TYPE_CHECKING:
    from email.message import EmailMessage

    from workbench.config import Settings

SECONDS = 20
LOOPBACK = ("localhost", "127.0.0.1", "::1")
# What of a run's complaint is sent.
TAIL = 2_000


def message_of(root: Path, run: Run, schedule: str) -> dict[str, Any]:
    """What is told of a run, as JSON: `text` is a sentence, the rest its parts."""
    name = schedule or run.kind
    what = {"failed": "failed", "findings": "found something", "broken off": "was broken off"}.get(run.state, run.state)
    reason = run.reason[-TAIL:]
    return {
        "text": f"workbench on {platform.node()}: {name} {what} ({' '.join(run.command)}): {reason or 'it gave no reason'}",
        "event": run.state,
        "schedule": schedule,
        "command": ["workbench", *run.command],
        "reason": reason,
        "status": run.status,
        "attempts": run.attempts,
        "run": run.id,
        "root": str(root),
        "host": platform.node(),
        "started": run.started,
        "ended": run.ended,
        "seconds": run.seconds,
        "output": run.output,
        "late_seconds": run.facts.get("late", 0),
    }


def notify(settings: "Settings", message: dict[str, Any], secrets: Secrets) -> dict[str, str]:
    """Tell all that [notify] names; gives by way "told", or why not. Raises nothing."""
    chosen = settings.notify
    message = secrets.masked(message)
    ways: dict[str, Callable[[], None]] = {}
    if chosen.command:
        ways["command"] = lambda: by_command(chosen.command, message)
    if chosen.email:
        ways["email"] = lambda: by_email(settings, message)
    if chosen.webhook:
        ways["webhook"] = lambda: by_webhook(chosen.webhook, message)
    came: dict[str, str] = {}
    for way, tell in ways.items():
        came[way] = secrets.mask(tried(tell))[:500]
    return came


def tried(tell: Callable[[], None]) -> str:
    """What came of telling in one way. One that neither ends nor fails, as it is answered a letter at a time, is left alone after a while."""
    heard: list[str] = []

    def attempt() -> None:
        try:
            tell()
            heard.append("told")
        except Exception as fault:
            heard.append(f"failed: {' '.join(str(fault).split()) or type(fault).__name__}")

    trying = threading.Thread(target=attempt, name="notify", daemon=True)
    trying.start()
    trying.join(SECONDS + 5)
    return heard[0] if heard else f"failed: no end of it after {SECONDS + 5} s"


def wanted(settings: "Settings", run: Run) -> bool:
    """Whether somebody wants to hear of a run: that failed, was broken off, or, unless only failures are asked for, found something."""
    return run.state in ("failed", "broken off") or (run.state == "findings" and settings.notify.on != "failure")


def by_command(command: str, message: dict[str, Any]) -> None:
    """Give a message to a command on standard input."""
    told = subprocess.run(  # noqa: S603
        shlex.split(command), input=json.dumps(message), capture_output=True, text=True, timeout=SECONDS, check=False
    )
    if told.returncode:
        raise RuntimeError(f"{shlex.split(command)[0]} ended with status {told.returncode}: {told.stderr.strip()[-200:]}")


def by_webhook(url: str, message: dict[str, Any]) -> None:
    """Post a message."""
    from urllib.error import HTTPError, URLError
    from urllib.request import HTTPRedirectHandler, Request, build_opener

    class Stay(HTTPRedirectHandler):
        """Another address was not the one that was trusted with this."""

        def redirect_request(self, *_: Any) -> None:
            return None

    request = Request(  # noqa: S310
        url, json.dumps(message).encode(), {"Content-Type": "application/json", "User-Agent": "workbench"}, method="POST"
    )
    try:
        with build_opener(Stay).open(request, timeout=SECONDS):
            pass
    except HTTPError as fault:
        with fault:
            raise RuntimeError(f"the webhook answered {fault.code} {fault.reason}") from fault
    except URLError as fault:
        raise RuntimeError(f"the webhook does not answer ({fault.reason})") from fault


def letter(settings: "Settings", message: dict[str, Any]) -> "EmailMessage":
    """A message as an e-mail."""
    from email.message import EmailMessage
    from email.utils import formatdate, make_msgid

    made = EmailMessage()
    sender = settings.smtp_from or (settings.smtp_user if "@" in settings.smtp_user else f"workbench@{platform.node()}")
    subject = f"workbench: {message['schedule'] or 'run'} {message['event']} on {message['host']}"
    made["From"], made["To"], made["Subject"] = sender, ", ".join(settings.notify.email), " ".join(subject.split())
    made["Date"], made["Message-ID"] = formatdate(), make_msgid(domain=platform.node() or "localhost")
    rest = "\n".join(f"{name}: {shown}" for name, shown in message.items() if name != "text" and shown not in ("", None, 0))
    made.set_content(f"{message['text']}\n\n{rest}\n")
    return made


def by_email(settings: "Settings", message: dict[str, Any]) -> None:
    """Write to all addresses."""
    import smtplib
    import ssl

    host, port = settings.smtp_host, settings.smtp_port
    if not host:
        raise RuntimeError("no server is named: set WORKBENCH_SMTP_HOST")
    if settings.smtp_tls == "none" and settings.smtp_password and host not in LOOPBACK:
        raise RuntimeError(f"the password would go to {host} in the open: set WORKBENCH_SMTP_TLS to starttls or tls")
    trusted = ssl.create_default_context()
    opened = (
        smtplib.SMTP_SSL(host, port, timeout=SECONDS, context=trusted)
        if settings.smtp_tls == "tls"
        else smtplib.SMTP(host, port, timeout=SECONDS)
    )
    try:
        if settings.smtp_tls == "starttls":
            opened.starttls(context=trusted)
        if settings.smtp_user:
            opened.login(settings.smtp_user, settings.smtp_password)
        opened.send_message(letter(settings, message))
    finally:
        with suppress(smtplib.SMTPException, OSError):
            opened.quit()
