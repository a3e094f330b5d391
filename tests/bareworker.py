"""Loaded by a Dask worker of a test: it is one of a machine on which nobody installed the workbench."""

import sys
from typing import Any

gone: Any = None
sys.modules["workbench"] = gone
