"""What children need, imported before they are forked. Nothing here may be used before the fork: engines' threads do not survive one."""

from datetime import timedelta

import deltalake
import duckdb
import filelock
import pandas
import polars
import pyarrow.parquet

import workbench.lake.maintain
import workbench.lake.retention
import workbench.lake.tiering
import workbench.refresh
from crash import harness
from workbench import sessions

__all__ = ["deltalake", "duckdb", "filelock", "harness", "pandas", "polars", "pyarrow", "workbench"]

# The calendar of sessions is plain dates once it is computed.
newest = sessions.today()
for first, last in ((2024, 2024), ((newest - timedelta(days=30)).year, newest.year)):
    sessions.calendar_days("XNYS", first, last)
