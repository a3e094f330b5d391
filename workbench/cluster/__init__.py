"""The lake beyond one machine: workers of a Dask cluster that land flat files, and its tables and documented views in a Spark session."""

from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

    from workbench.bench import Workbench
    from workbench.cluster.executing import Cluster
    from workbench.cluster.spark import Registered


def executor(address: str) -> "Cluster":
    """The workers of a Dask scheduler as an executor of `Workbench.refresh`; `workbench.cluster.executing.executor` says all of it."""
    from workbench.cluster.executing import executor as connected

    return connected(address)


def to_spark(spark: "SparkSession", bench: "Workbench", scratch: str | Path | None = None) -> "Registered":
    """Register a lake with a Spark session; `workbench.cluster.spark.to_spark` says all of it."""
    from workbench.cluster.spark import to_spark as registered

    return registered(spark, bench, scratch)
