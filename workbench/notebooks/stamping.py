"""What a run leaves in its notebook: which lake, its tables' versions before and after, how it ended. In the metadata, and in a last cell to read."""

import json
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from workbench.runs.masking import Secrets

TAG = "workbench-run"
COMMIT_DIGITS = 20
# What a reader is shown; the metadata has all.
SHOWN = 40


def versions(root: Path) -> dict[str, int]:
    """The newest version of every table of a lake, by name (with its schema's where that is not main); empty where there is no lake."""
    found = {}
    for log in sorted((root / "lake").glob("*/*/_delta_log")):
        numbers = [int(path.stem) for path in log.glob("[0-9]*.json") if path.stem.isdigit() and len(path.stem) == COMMIT_DIGITS]
        if numbers:
            schema, table = log.parts[-3:-1]
            found[table if schema == "main" else f"{schema}.{table}"] = max(numbers)
    return found


def changed(before: Mapping[str, int], after: Mapping[str, int]) -> dict[str, tuple[int | None, int | None]]:
    """The tables whose versions differ, with both."""
    names = sorted({*before, *after})
    return {name: (before.get(name), after.get(name)) for name in names if before.get(name) != after.get(name)}


def stamp(output: Path, facts: Mapping[str, Any], secrets: Secrets) -> None:
    """Write how a run ended into its notebook, whatever state that is in; does nothing where none was written."""
    from workbench.notebooks.executing import write

    try:
        notebook = json.loads(output.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return
    notebook["metadata"]["workbench"] = dict(facts)
    for cell in notebook["cells"]:
        of_run = cell.get("metadata", {}).get("papermill")
        if of_run and of_run.get("status") == "running":
            # Its process was ended in the middle of it.
            of_run |= {"status": "failed", "exception": True}
    notebook["cells"] = [cell for cell in notebook["cells"] if TAG not in (cell.get("metadata", {}).get("tags") or [])]
    notebook["cells"].append({"cell_type": "markdown", "id": "workbench-run", "metadata": {"tags": [TAG]}, "source": story(facts)})
    with suppress(OSError):
        write(from_plain(notebook), output, secrets)


def from_plain(notebook: dict[str, Any]) -> Any:
    """A notebook as its library has it."""
    nbformat: Any
    import nbformat

    return nbformat.from_dict(notebook)


def story(facts: Mapping[str, Any]) -> str:
    """How a run ended, as Markdown."""
    moved = changed(facts["before"], facts["after"])
    lines = [
        f"**Run {facts['run']}**: {facts['state']}, {facts['started'][:19]} to {facts['ended'][:19]} UTC, on the lake in `{facts['root']}`, by "
        f"workbench {facts['version']}."
    ]
    if facts["reason"]:
        lines.append("\n".join(f"> {line}" for line in facts["reason"].splitlines()))
    if moved:
        rows = "\n".join(f"| {name} | {shown(old)} | {shown(new)} |" for name, (old, new) in list(moved.items())[:SHOWN])
        more = f"\n\n… and {len(moved) - SHOWN} more, in this notebook's metadata." if len(moved) > SHOWN else ""
        lines.append(f"Versions of tables that changed while it ran:\n\n| table | before | after |\n| --- | ---: | ---: |\n{rows}{more}")
    else:
        held = facts["after"]
        lines.append(f"No table changed while it ran: {len(held)} tables, at the versions in this notebook's metadata." if held else "There is no lake.")
    return "\n\n".join(lines)


def shown(version: int | None) -> str:
    """A version as a reader sees it."""
    return "–" if version is None else str(version)
