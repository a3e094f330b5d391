-- Financial events, a row each: splits, dividends, IPOs, holidays and releases of economic data, of the base table calendar_events, and what people imported.
--
-- `impact_level` goes from 1, slight, to 4, the whole market, by the rule that calendar_events tells. `event_datetime` is midnight New York where only
-- the day is known. No source tells a `forecast`: it is NULL but in imported rows. `id` derives from what happens to whom and when, `created_at` is when
-- the lake first held the event. Of imported rows those show whose `id` is not here.
--
-- Example: SELECT event_datetime, event_name, impact_level FROM events.event_data WHERE symbol = 'AAPL' ORDER BY event_datetime DESC LIMIT 10
SELECT
    md5(b.id)::UUID AS id,
    b.event_type,
    b.event_at AS event_datetime,
    b.name AS event_name,
    b.description,
    b.impact::INTEGER AS impact_level,
    b.ticker AS symbol,
    b.currency,
    b.country,
    b.actual,
    b.forecast,
    b.previous,
    b.source,
    b.seen_at AS created_at
FROM main.calendar_events AS b
UNION ALL
SELECT
    i.id,
    i.event_type,
    i.event_datetime,
    i.event_name,
    i.description,
    i.impact_level,
    i.symbol,
    i.currency,
    i.country,
    i.actual,
    i.forecast,
    i.previous,
    i.source,
    i.created_at
FROM imported.events_event_data AS i
LEFT JOIN (SELECT md5(id)::UUID AS id FROM main.calendar_events) AS b ON b.id = i.id
WHERE b.id IS NULL
