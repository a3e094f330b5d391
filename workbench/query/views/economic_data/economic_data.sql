-- Economic data, a row per series and period: the newest known version of each observation of the base table economic_series, and what people imported.
--
-- `symbol` is FRED's id of the series (GDPC1), or the vendor's name of one. `date` is the period's first day, at midnight New York; `revision_date` the day
-- on which the value was published, where the source tells it. `is_preliminary`: a later version corrects the value, or is expected to. All
-- versions, for whoever must not know what was revised later, are in economic_series. `id` derives from symbol and date; `created_at` is when the lake
-- first held the observation, `updated_at` when it held this version. Of imported rows those show whose symbol and date are not here.
--
-- Example: SELECT date, value, is_preliminary, revision_date FROM economic_data.economic_data WHERE symbol = 'GDPC1' ORDER BY date DESC LIMIT 8
SELECT
    md5(e.series || ' ' || e.date::VARCHAR)::UUID AS id,
    e.series AS symbol,
    timezone('America/New_York', e.date::TIMESTAMP) AS date,
    e.value,
    coalesce(e.is_preliminary, false) AS is_preliminary,
    timezone('America/New_York', e.revision_date::TIMESTAMP) AS revision_date,
    CASE e.source WHEN 'fred' THEN 'FRED' ELSE e.source END AS source,
    min(e.seen_at) OVER (PARTITION BY e.series, e.date) AS created_at,
    e.seen_at AS updated_at
FROM main.economic_series AS e
QUALIFY row_number() OVER (
    PARTITION BY e.series, e.date
    ORDER BY e.revision_date DESC NULLS LAST, list_position(['fred', 'polygon_api', 'folder'], e.source) NULLS LAST, e.seen_at DESC
) = 1
UNION ALL
SELECT i.id, i.symbol, i.date, i.value, i.is_preliminary, i.revision_date, i.source, i.created_at, i.updated_at
FROM imported.economic_data_economic_data AS i
LEFT JOIN (SELECT DISTINCT series, timezone('America/New_York', date::TIMESTAMP) AS date FROM main.economic_series) AS b ON b.series = i.symbol AND b.date = i.date
WHERE b.series IS NULL
