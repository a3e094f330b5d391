"""`python -m workbench.runs ROOT ID`: the process that minds a run."""

import sys
from pathlib import Path

from workbench.runs.minding import mind

if __name__ == "__main__":
    mind(Path(sys.argv[1]), sys.argv[2])
