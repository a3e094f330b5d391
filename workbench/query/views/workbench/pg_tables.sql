-- PostgreSQL's list of tables, told of the lake: its base tables, under `main`, and the documented ones, whether or not they hold anything.
--
-- `pg_tables` alone is DuckDB's own, which lists what was made with CREATE TABLE in the session.
--
-- Example: SELECT schemaname, count(*) AS tables FROM workbench.pg_tables GROUP BY schemaname ORDER BY schemaname
SELECT
    schema_name AS schemaname,
    table_name AS tablename,
    'workbench' AS tableowner,
    NULL::VARCHAR AS tablespace,
    false AS hasindexes,
    false AS hasrules,
    false AS hastriggers,
    false AS rowsecurity
FROM workbench.lake_relations
