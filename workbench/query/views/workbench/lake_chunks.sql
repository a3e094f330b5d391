-- The lake's chunks by its own log, a row for each chunk of each table, and once more under each documented table that it feeds.
--
-- `landed_bytes` is what the vendor's files of its sessions took, as they came; NULL where no file landed in it. `sealed` says that every file of it is cold.
--
-- Example: SELECT table_name, count(*) AS chunks, sum(bytes) AS bytes FROM workbench.lake_chunks WHERE schema_name = 'main' GROUP BY table_name ORDER BY table_name
SELECT schema_name, table_name, base_table, chunk, range_start, range_end, sealed, files, rows, bytes, landed_bytes
FROM workbench_log.lake_chunks
