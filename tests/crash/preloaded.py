"""What children need, imported before they are forked. Nothing here may be used before the fork: engines' threads do not survive one."""

import deltalake
import duckdb
import filelock
import pandas
import polars
import pyarrow.parquet

import workbench.lake.maintain
import workbench.lake.retention
import workbench.lake.tiering
import workbench.refresh.run
from crash import appending, harness, written
from workbench import sessions

__all__ = ["appending", "deltalake", "duckdb", "filelock", "harness", "pandas", "polars", "pyarrow", "workbench", "written"]

# The calendar of sessions is plain dates once it is computed.
sessions.calendar("XNYS")
