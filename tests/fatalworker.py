"""Loaded by a Dask worker of a test: it ends at once with a file of the day that `FATAL` names, as one does that runs out of memory."""

import os
from typing import Any

from workbench.lake import landing

LAND = landing.land


def land(job: Any) -> Any:
    if os.environ["FATAL"] in job.file.key:
        os._exit(1)
    return LAND(job)


vars(landing)["land"] = land
