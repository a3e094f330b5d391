-- What stands in quarantine and was not made good since: a row for each file that was refused whole, and for each file of which rows were, with the reason.
--
-- `path` is where it is kept, beside its record. What a later version of the object mended is not here.
--
-- Example: SELECT table_name, session, kind, rows, reason FROM workbench.lake_refusals ORDER BY refused_at DESC
SELECT table_name, session, object_key, source, kind, whole, rows, reason, refused_at, path
FROM workbench_log.lake_refusals
