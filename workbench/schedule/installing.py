"""Have the system call `workbench schedule due` every minute: a marked block in the user's crontab, or a timer of the user's systemd."""

import hashlib
import os
import re
import shlex
import shutil
import subprocess
import sys
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from workbench.errors import UsageError, WorkbenchError

if TYPE_CHECKING:
    from workbench.config import Settings

How = Literal["cron", "systemd"]
SECONDS = 30


@dataclass(frozen=True)
class Installation:
    """What the system is told for a lake: texts by where they go."""

    root: Path
    how: How
    texts: dict[str, str]


def words(settings: "Settings") -> list[str]:
    """What the system calls."""
    return [sys.executable, "-m", "workbench", "schedule", "due", "--no-wait", "--data", str(settings.root)]


def mark(root: Path) -> str:
    """A lake's mark, by which its own is found again."""
    return hashlib.sha256(str(root).encode()).hexdigest()[:8]


def planned(settings: "Settings", how: How) -> Installation:
    """What would be written. Raises `UsageError` for a folder that it cannot be written for."""
    for path in (settings.project, settings.root, Path(sys.executable)):
        if re.search(r"[\n\r]", str(path)):
            raise UsageError(f"{path} has a line break in its name; nothing was installed.")
    if how == "cron":
        # In a crontab % is a line break.
        line = f"cd {shlex.quote(str(settings.project))} && {shlex.join(words(settings))} >/dev/null 2>&1".replace("%", r"\%")
        begin, end = fences(settings.root)
        return Installation(settings.root, how, {"crontab": f"{begin}\n* * * * * {line}\n{end}\n"})
    name, folder = unit(settings.root), units()
    service = (
        f"[Unit]\nDescription=workbench: begin what is due in {escaped(settings.where)}\n\n[Service]\nType=oneshot\n"
        f"WorkingDirectory={escaped(str(settings.project))}\nExecStart={' '.join(quoted(word) for word in words(settings))}\n"
        # Runs go on when the look that began them ends.
        "KillMode=process\n"
    )
    timer = (
        f"[Unit]\nDescription=workbench: look every minute for what is due in {escaped(settings.where)}\n\n[Timer]\nOnCalendar=minutely\n"
        "AccuracySec=1s\n\n[Install]\nWantedBy=timers.target\n"
    )
    return Installation(settings.root, how, {str(folder / f"{name}.service"): service, str(folder / f"{name}.timer"): timer})


def install(settings: "Settings", how: How) -> Installation:
    """Write it, and have it begin. Raises `UsageError` where the system has no such thing, `WorkbenchError` if it refuses."""
    plan = planned(settings, how)
    if how == "cron":
        need("crontab", "cron")
        kept, _ = without(crontab(), settings.root)
        write_crontab(kept + plan.texts["crontab"])
        return plan
    need("systemctl", "systemd")
    called("systemctl", "--user", "daemon-reload")
    try:
        for path, text in plan.texts.items():
            Path(path).parent.mkdir(parents=True, exist_ok=True)
            Path(path).write_text(text, encoding="utf-8")
    except OSError as fault:
        raise WorkbenchError(f"{fault.filename} cannot be written ({fault.strerror}); nothing was installed.") from fault
    called("systemctl", "--user", "daemon-reload")
    called("systemctl", "--user", "enable", "--now", f"{unit(settings.root)}.timer")
    return plan


def uninstall(settings: "Settings") -> list[str]:
    """Take out what was installed for a lake, and nothing else; gives what was taken out."""
    gone = []
    if shutil.which("crontab"):
        kept, found = without(crontab(), settings.root)
        if found:
            write_crontab(kept)
            gone.append("the block in the crontab")
    files = [units() / f"{unit(settings.root)}{end}" for end in (".timer", ".service")]
    if any(path.exists() for path in files):
        with suppress(WorkbenchError, UsageError):
            called("systemctl", "--user", "disable", "--now", f"{unit(settings.root)}.timer")
        for path in files:
            if path.exists():
                path.unlink()
                gone.append(str(path))
        with suppress(WorkbenchError, UsageError):
            called("systemctl", "--user", "daemon-reload")
    return gone


def fences(root: Path) -> tuple[str, str]:
    """The lines around our block."""
    return f"# workbench schedule {mark(root)} begin: {root}", f"# workbench schedule {mark(root)} end"


def without(text: str, root: Path) -> tuple[str, bool]:
    """A crontab without our block, and whether it had one."""
    begin, end = (re.escape(f"# workbench schedule {mark(root)} {word}") for word in ("begin", "end"))
    kept, found = re.subn(rf"^{begin}.*?^{end}[^\n]*\n?", "", text, flags=re.MULTILINE | re.DOTALL)
    if kept and not kept.endswith("\n"):
        kept += "\n"
    return kept, bool(found)


def crontab() -> str:
    """The user's crontab; empty if there is none."""
    told = subprocess.run(["crontab", "-l"], capture_output=True, text=True, timeout=SECONDS, check=False)  # noqa: S607
    if told.returncode and "no crontab" not in told.stderr.lower():
        raise WorkbenchError(f"the crontab cannot be read ({told.stderr.strip() or told.returncode}); nothing was changed.")
    return "" if told.returncode else told.stdout


def write_crontab(text: str) -> None:
    """Write the user's crontab."""
    told = subprocess.run(["crontab", "-"], input=text, capture_output=True, text=True, timeout=SECONDS, check=False)  # noqa: S607
    if told.returncode:
        raise WorkbenchError(f"the crontab was not taken ({told.stderr.strip() or told.returncode}); nothing was changed.")


def unit(root: Path) -> str:
    """The name of a lake's units."""
    return f"workbench-schedule-{mark(root)}"


def units() -> Path:
    """Where the user's units stand."""
    return Path(os.environ.get("XDG_CONFIG_HOME") or Path.home() / ".config") / "systemd" / "user"


def need(program: str, what: str) -> None:
    """Raises `UsageError` where the system has no such program."""
    if not shutil.which(program):
        raise UsageError(
            f"this machine has no {program}, so nothing was installed for {what}. Install it, or run `workbench schedule serve` in the foreground "
            "(in a container: as its command)."
        )


def called(*words: str) -> None:
    """Call the system. Raises `WorkbenchError` with what it says."""
    need(words[0], "systemd")
    try:
        told = subprocess.run(words, capture_output=True, text=True, timeout=SECONDS, check=False)  # noqa: S603
    except subprocess.TimeoutExpired as fault:
        raise WorkbenchError(f"`{shlex.join(words)}` does not answer; nothing more was done.") from fault
    if told.returncode:
        raise WorkbenchError(
            f"`{shlex.join(words)}` was refused ({' '.join(told.stderr.split()) or told.returncode}); nothing more was done. Where systemd does not "
            "run for this user, run `workbench schedule serve` in the foreground, or take --cron."
        )


def escaped(text: str) -> str:
    """A text as a unit's line takes it."""
    return text.replace("%", "%%")


def quoted(word: str) -> str:
    """A word of a command as a unit's line takes it."""
    word = escaped(word).replace("\\", "\\\\").replace('"', '\\"').replace("$", "$$")
    return f'"{word}"' if re.search(r"[\s'\"]", word) or not word else word


def left_out(settings: "Settings") -> list[str]:
    """The settings that stand in this shell's environment only, which the system's own does not have."""
    inside = (settings.origins.get(name, "") for name in settings.declared())
    return sorted(
        {told.removesuffix(" in the environment") for told in inside if told.endswith(" in the environment")} - {"WORKBENCH_DATA"}
    )
