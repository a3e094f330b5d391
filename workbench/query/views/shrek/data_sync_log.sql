-- The log of data synchronization: what every refresh did and tried, a row for each.
--
-- What landed is told by the lake's own commits and is never missing here; what failed, was skipped or had no data is told by the journal. `status` is
-- started, success, no_data, failed, skipped, quarantined or superseded: the last is what has been replaced since, and `reason` says by what. A NULL
-- `symbol` means the whole market, or more symbols than one; a NULL `finished_at`, that it still goes on or was killed.
--
-- Example: SELECT dataset, status, count(*) AS tries FROM shrek.data_sync_log GROUP BY ALL ORDER BY ALL
SELECT
    id,
    run_id,
    sync_type,
    dataset,
    symbol,
    session,
    source,
    fallback_from,
    status,
    reason,
    rows,
    quarantined,
    bytes,
    object_key,
    etag,
    started_at,
    finished_at,
    duration_ms,
    library_version
FROM main.data_sync_log
