-- Where two sources of the same bar or tick differ by more than a thousandth, the largest differences first.
--
-- `value` is what the table follows, `other_value` what gave way; `difference` is their distance as a share of the larger. Smaller differences
-- stand in `disagreements`, which has every one that was seen. Yahoo's prices are adjusted for the splits since, so that before a split they
-- differ by its ratio: `split_adjusted` marks them, and they say nothing of an error. Volumes and counts of trades differ most often, since sources
-- count other trades.
--
-- Example: SELECT ticker, date, "column", value, other_value, other_source FROM source_disagreements WHERE NOT split_adjusted LIMIT 10
SELECT
    base_table,
    ticker,
    date,
    timestamp,
    "column",
    value,
    source,
    other_value,
    other_source,
    difference,
    'yahoo' IN (source, other_source) AND "column" IN ('open', 'high', 'low', 'close', 'volume') AS split_adjusted,
    found_at
FROM main.disagreements
WHERE difference > 0.001
ORDER BY difference DESC, date, ticker
