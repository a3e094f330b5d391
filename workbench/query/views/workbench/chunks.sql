-- The chunks of each table: the instants between which its rows lie, files, rows, and bytes before and after compression.
--
-- `bytes_before` is what the vendor's files took, as they came (.csv.gz), NULL where no file landed in it; `bytes_after` is its live Parquet files;
-- `ratio` says how many times smaller they are. `sealed` chunks are cold: in order, in ticker ranges. A table that feeds a documented one is here under
-- both names: `schema_name = 'main'` counts every chunk once. Its range begins at the midnight in its market's zone and ends before the last.
--
-- Example: SELECT table_name, chunk, range_start, range_end, rows, bytes_before, bytes_after, ratio FROM workbench.chunks WHERE schema_name = 'main' ORDER BY table_name, range_start
SELECT
    schema_name,
    table_name,
    base_table,
    chunk,
    range_start,
    range_end,
    sealed,
    files,
    rows,
    landed_bytes AS bytes_before,
    bytes AS bytes_after,
    round(landed_bytes / nullif(bytes, 0), 2) AS ratio
FROM workbench.lake_chunks
