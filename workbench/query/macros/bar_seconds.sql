-- How long a bar of a timeframe is, in seconds: of '1m', '15min', '1h', '1d', '1w', '1M' or '1mo'; NULL for what is none.
--
-- A month counts 30 days: it is for telling which of two timeframes is finer.
--
-- Example: SELECT bar_seconds('5m') < bar_seconds('1d') AS finer
CREATE OR REPLACE MACRO main.bar_seconds(timeframe) AS
    TRY_CAST(regexp_extract(timeframe, '^(\d+) *[A-Za-z]+$', 1) AS BIGINT)
    * CASE
        WHEN regexp_matches(timeframe, '(mo|mon|month|months)$', 'i') OR timeframe LIKE '%M' THEN 30 * 86400
        WHEN regexp_matches(timeframe, '\d *(s|sec|seconds?)$', 'i') THEN 1
        WHEN regexp_matches(timeframe, '\d *(m|min|minutes?)$', 'i') THEN 60
        WHEN regexp_matches(timeframe, '\d *(h|hours?)$', 'i') THEN 3600
        WHEN regexp_matches(timeframe, '\d *(d|days?)$', 'i') THEN 86400
        WHEN regexp_matches(timeframe, '\d *(w|weeks?)$', 'i') THEN 7 * 86400
    END
