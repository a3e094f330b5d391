-- The bytes of the live files behind a table, base or documented: what is answered to PostgreSQL's `pg_total_relation_size`.
--
-- `relation` is a text, with its schema or without: a name alone is the base table of that name, or else the only documented one. One that there is not, or
-- that several documented tables bear, is an error, as it is in PostgreSQL.
--
-- Example: SELECT lake_size_pretty(lake_relation_size('stock_day')) AS base, lake_size_pretty(lake_relation_size('market_data.ohlcv')) AS documented
CREATE OR REPLACE MACRO main.lake_relation_size(relation) AS (
    CASE WHEN relation IS NOT NULL THEN coalesce(
        (SELECT bytes FROM workbench.lake_sizes WHERE name = lower(replace(relation, '"', ''))),
        error('relation "' || relation || '" is no table of the lake, or several; its size was not told. workbench.pg_tables lists them with their schemas.')
    ) END
)
