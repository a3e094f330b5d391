-- Every table, base and documented, with the files behind it and their bytes; a file that feeds a documented table counts there and under its own table.
--
-- `own_bytes` leaves out what others' files hold: it adds up to what the lake's live files take. A documented table that only people write to has no
-- files before its first rows; one that is computed has none at all.
--
-- Example: SELECT schema_name, table_name, files, bytes FROM workbench.lake_relations WHERE bytes > 0 ORDER BY bytes DESC, schema_name, table_name
SELECT schema_name, table_name, documented, files, rows, bytes, own_bytes, time_column, time_type, period, aggregate_of
FROM workbench_log.lake_relations
