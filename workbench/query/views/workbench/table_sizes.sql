-- The size of each table: files, rows, chunks, the instants between which its rows lie, and bytes before and after compression.
--
-- `bytes` is its live files, `own_bytes` leaves out what others' files hold, and adds up to the lake's. `bytes_before` and `bytes_after` tell of the chunks
-- that files landed in: what the vendor's files took, as they came (.csv.gz), and what their Parquet files take. Rows that people wrote are counted when they are folded into
-- files; until then the journal holds them.
--
-- Example: SELECT table_name, rows, bytes, bytes_before, ratio FROM workbench.table_sizes WHERE schema_name = 'main' AND rows > 0 ORDER BY bytes DESC, table_name
SELECT
    r.schema_name,
    r.table_name,
    r.documented,
    r.files,
    r.rows,
    count(c.chunk) AS chunks,
    count(c.chunk) FILTER (WHERE c.sealed) AS sealed_chunks,
    min(c.range_start) AS range_start,
    max(c.range_end) AS range_end,
    r.bytes,
    r.own_bytes,
    sum(c.landed_bytes)::BIGINT AS bytes_before,
    (sum(c.bytes) FILTER (WHERE c.landed_bytes IS NOT NULL))::BIGINT AS bytes_after,
    round(sum(c.landed_bytes) / nullif(sum(c.bytes) FILTER (WHERE c.landed_bytes IS NOT NULL), 0), 2) AS ratio
FROM workbench.lake_relations AS r
LEFT JOIN workbench.lake_chunks AS c ON c.schema_name = r.schema_name AND c.table_name = r.table_name
GROUP BY r.schema_name, r.table_name, r.documented, r.files, r.rows, r.bytes, r.own_bytes
