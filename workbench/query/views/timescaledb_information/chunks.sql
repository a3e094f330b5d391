-- The chunks of each hypertable, with their sizes: those of the tables that feed it, by the lake's own log.
--
-- A chunk holds the sessions of a month, a quarter or a year (ticks: of one day), from the midnight in its market's zone that begins it up to the one that
-- ends it. Compressed is one whose files are cold: in order, in ticker ranges. `total_bytes` and `after_compression_total_bytes` are its live Parquet files;
-- `before_compression_total_bytes` is what the vendor's files took, as they came (.csv.gz). Of `market_data.ohlcv` the chunks of `stock_minute` are here, and
-- those of `stock_day` that hold a session without a minute file.
--
-- Example: SELECT chunk_name, range_start, is_compressed, lake_size_pretty(total_bytes) AS size FROM timescaledb_information.chunks WHERE hypertable_name = 'ohlcv' ORDER BY range_start
SELECT
    schema_name AS hypertable_schema,
    table_name AS hypertable_name,
    'main' AS chunk_schema,
    base_table || '_' || chunk AS chunk_name,
    'timestamp' AS primary_dimension,
    'timestamp with time zone' AS primary_dimension_type,
    range_start,
    range_end,
    NULL::BIGINT AS range_start_integer,
    NULL::BIGINT AS range_end_integer,
    sealed AS is_compressed,
    NULL::VARCHAR AS chunk_tablespace,
    CASE WHEN sealed THEN 'Compressed' ELSE 'Uncompressed' END AS compression_status,
    bytes AS total_bytes,
    landed_bytes AS before_compression_total_bytes,
    CASE WHEN sealed THEN bytes END AS after_compression_total_bytes,
    files AS num_files,
    rows AS num_rows
FROM workbench.lake_chunks
