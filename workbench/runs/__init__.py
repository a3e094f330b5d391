"""Runs: what was started, by whom, what came of it. A refresh, a notebook or any command, in a process of its own that outlives who started it.

<root>/runs/<id>/run.json     what it is and how it ended      log.jsonl   what it printed      errors.txt   what it complained of
"""

from workbench.runs.record import Run, Runs

__all__ = ["Run", "Runs"]
