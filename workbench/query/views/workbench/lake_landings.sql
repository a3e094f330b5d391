-- What landed and stands, by the lake's own log: a row for each of the source's objects, as its newest version landed.
--
-- `held_rows` are the rows of it that its table holds now, `retired` what became of them since (archived, dropped, superseded, reset), else NULL. `fallback` says that it came
-- from a source behind the one that sessions should come from. Every version that landed before, and every attempt, is in `data_sync_log`.
--
-- Example: SELECT table_name, count(DISTINCT session) AS sessions, max(landed_at) AS newest FROM workbench.lake_landings WHERE held_rows > 0 GROUP BY table_name ORDER BY table_name
SELECT table_name, object_key, session, source, fallback, version, rows, held_rows, refused_rows, bytes, retired, run_id, landed_at
FROM workbench_log.lake_landings
