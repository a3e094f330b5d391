-- A number of bytes as PostgreSQL's `pg_size_pretty` writes it: bytes, kB, MB, GB, TB or PB, each of 1,024 of the one before, rounded half away from zero.
--
-- A unit goes up to 10,239 of it; a fraction of a byte is rounded away.
--
-- Example: SELECT lake_size_pretty(10239) AS a, lake_size_pretty(10240) AS b, lake_size_pretty(-1e12) AS c
-- Example: SELECT table_name, lake_size_pretty(bytes) AS size FROM workbench.lake_relations WHERE bytes > 0 ORDER BY bytes DESC, table_name
CREATE OR REPLACE MACRO main.lake_size_pretty(bytes) AS (
    -- A list of one, so that what is given is worked out once. Half units, cut towards zero, then rounded: as the sizes of PostgreSQL are.
    list_transform([bytes::HUGEINT], lambda __size: CASE WHEN __size < 0 THEN '-' ELSE '' END || CASE
        WHEN abs(__size) < 10240 THEN abs(__size) || ' bytes'
        WHEN abs(__size) // 512 < 20479 THEN (abs(__size) // 512 + 1) // 2 || ' kB'
        WHEN abs(__size) // 524288 < 20479 THEN (abs(__size) // 524288 + 1) // 2 || ' MB'
        WHEN abs(__size) // 536870912 < 20479 THEN (abs(__size) // 536870912 + 1) // 2 || ' GB'
        WHEN abs(__size) // 549755813888 < 20479 THEN (abs(__size) // 549755813888 + 1) // 2 || ' TB'
        ELSE (abs(__size) // 562949953421312 + 1) // 2 || ' PB'
    END)[1]
)
