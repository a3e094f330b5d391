"""Looks what is known of faults in the packages that the lock names: `python tests/audit.py`.

With pip-audit where it can be had and reaches its data, in an environment of its own; otherwise only whether every package in the locks is
pinned with hashes, which is said. Exit status 1: a fault is known, or a package is not pinned; 0 otherwise, offline too.
"""

import re
import subprocess
import sys
import tempfile
import venv
from pathlib import Path

LOCKS = sorted((Path(__file__).parent.parent / "requirements").glob("*.txt"))
MINUTES = 3
# What pip and pip-audit say where they reach nothing; anything else that fails is told.
FOUND = re.compile(r"Found \d+ known vulnerabilit", re.IGNORECASE)
CLEAN = "No known vulnerabilities found"


def unpinned(lock: Path) -> list[str]:
    """The packages of a lock that have no version or no hash."""
    logical = re.sub(r"\\\n", " ", lock.read_text(encoding="utf-8"))
    lines = [line.strip() for line in logical.splitlines() if line.strip() and not line.strip().startswith("#")]
    return [line.split()[0] for line in lines if not line.startswith("-") and not ("==" in line and "--hash=sha256:" in line)]


def audited(lock: Path, auditor: Path) -> tuple[bool | None, str]:
    """Whether nothing is known of a lock's packages (None: that could not be found out), and what was said."""
    words = [str(auditor), "--requirement", str(lock), "--require-hashes", "--disable-pip", "--progress-spinner", "off"]
    try:
        done = subprocess.run(words, capture_output=True, text=True, timeout=60 * MINUTES, check=False)
    except subprocess.TimeoutExpired:
        return None, f"no answer within {MINUTES} minutes"
    said = f"{done.stdout}\n{done.stderr}".strip()
    if CLEAN in said:
        return True, said
    return (False, said) if FOUND.search(said) else (None, said.splitlines()[-1] if said else f"status {done.returncode}")


def auditor(folder: Path) -> Path | None:
    """pip-audit in an environment of its own, so that it changes nothing that is tested; None where it cannot be had."""
    venv.create(folder, with_pip=True)
    try:
        words = [str(folder / "bin" / "python"), "-m", "pip", "install", "--quiet", "pip-audit"]
        done = subprocess.run(words, capture_output=True, timeout=60 * MINUTES, check=False)
    except subprocess.TimeoutExpired:
        return None
    return folder / "bin" / "pip-audit" if done.returncode == 0 else None


def main() -> int:
    """Audit every lock, and say how."""
    loose = {lock.name: found for lock in LOCKS if (found := unpinned(lock))}
    for name, found in loose.items():
        print(f"{name}: not pinned by version and hash: {', '.join(found)}")
    print(f"hashes: {len(LOCKS)} locks, {'all pinned' if not loose else 'NOT all pinned'}")
    faulty = False
    with tempfile.TemporaryDirectory() as folder:
        tool = auditor(Path(folder))
        if tool is None:
            print("pip-audit: not to be had here; hashes only")
        for lock in LOCKS if tool else ():
            clean, said = audited(lock, tool)  # type: ignore[arg-type]
            faulty |= clean is False
            print(
                f"{lock.name}: {'nothing known' if clean else said if clean is False else f'could not be looked up ({said}); hashes only'}"
            )
            if clean is None:
                # The next one would wait for the same data.
                break
    return 1 if loose or faulty else 0


if __name__ == "__main__":
    sys.exit(main())
