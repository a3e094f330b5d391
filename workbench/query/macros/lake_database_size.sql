-- The bytes of all live files of the lake, each counted once: what is answered to PostgreSQL's `pg_database_size`.
--
-- Example: SELECT lake_size_pretty(lake_database_size()) AS size
CREATE OR REPLACE MACRO main.lake_database_size() AS (
    (SELECT sum(own_bytes)::BIGINT FROM workbench.lake_relations)
)
