-- What `bench.sql` was asked in this session: each text, how often, and the milliseconds that it took to be understood and planned.
--
-- A relation reads when it is asked for rows, which may be never or several times: the time of reading is not in here, and `rows` is NULL. `EXPLAIN ANALYZE`
-- tells both of one query. The newest 5,000 texts are kept, until the session is closed, of each its first 10,000 characters; constants in them stand as
-- they were written.
--
-- Example: SELECT query, calls, total_time FROM workbench.pg_stat_statements WHERE query LIKE 'SELECT no such text%' ORDER BY total_time DESC LIMIT 10
SELECT
    hash(query) AS queryid,
    query,
    calls,
    total_ms AS total_time,
    min_ms AS min_time,
    max_ms AS max_time,
    total_ms / calls AS mean_time,
    NULL::BIGINT AS rows,
    first_asked,
    last_asked
FROM workbench_log.pg_stat_statements
