"""Rows of base files that the journal hides, since a later row has their key, or since they were deleted."""

from typing import TYPE_CHECKING

from workbench.lake import record_files

if TYPE_CHECKING:
    import polars as pl
    import pyarrow as pa

    from workbench.lake.records import Kept, RecordTable


def candidates(table: "RecordTable", shot: "Kept", hidden: "pa.Table") -> list[str]:
    """The files that may hold a hidden key, by what the log keeps of them."""
    import pyarrow.compute as pc

    actions = shot.actions
    if actions is None:
        return []
    found = []
    for row in actions.to_pylist():
        within = None
        for name in table.record.key:
            for bound, compare in ((row.get(f"min.{name}"), pc.greater_equal), (row.get(f"max.{name}"), pc.less_equal)):
                if bound is not None:
                    its = compare(hidden[name], bound)
                    within = its if within is None else pc.and_(within, its)
        if within is None or pc.any(within).as_py():
            found.append(row["path"])
    return found


def hit(table: "RecordTable", path: str, hidden: "pa.Table") -> "pl.Series":
    """The places of the rows of a file whose keys are hidden."""
    import polars as pl

    keys = list(table.record.key)
    held = pl.DataFrame(record_files.read(table.here(path), keys)).with_row_index("__n")
    return held.join(pl.DataFrame(hidden).unique(), on=keys, how="semi")["__n"]


def left(table: "RecordTable", path: str, hidden: "pa.Table") -> "pa.Table | None":
    """The rows of a file whose keys are not hidden; None if none of them is."""
    import numpy as np
    import pyarrow as pa

    gone = hit(table, path, hidden)
    if not len(gone):
        return None
    rows = record_files.read(table.here(path))
    stays = np.ones(len(rows), dtype=bool)
    stays[gone.to_numpy()] = False
    return rows.filter(pa.array(stays))
