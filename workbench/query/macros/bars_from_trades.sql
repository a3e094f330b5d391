-- A stock's bars on a session, or on the sessions up to another, made of every trade by the consolidated rules of its conditions.
--
-- Left out are trades that were corrected or cancelled since (of the column `correction`, NULL, 0 and 12 stay) and those without price or size. Each
-- of the others counts towards high and low, open and close, and volume only if all its conditions allow it (`trade_conditions`); outside regular
-- hours condition 12, Form T, forbids no price. There is no bar where no trade may set a price. First and last are told by the time at the SIP and the
-- sequence number. `vwap` is over the trades that count towards volume and some price. `bar_size` is 1m, 5m, 15m, 30m or 1h; `part` is
-- all, pre, regular or post.
--
-- Example: SELECT timestamp, open, high, low, close, volume, vwap FROM bars_from_trades('IBM', '2013-10-07') ORDER BY timestamp LIMIT 10
-- Example: SELECT timestamp, close, vwap FROM bars_from_trades('IBM', '2013-10-07', '2013-10-08', bar_size := '5m', part := 'regular') ORDER BY timestamp
CREATE OR REPLACE MACRO main.bars_from_trades(symbol, first_session, last_session := NULL, bar_size := '1m', part := 'all') AS TABLE
WITH
kept AS (
    SELECT t.ticker, t.date, t.timestamp, t.sip_timestamp, t.sequence_number, t.price, t.size, coalesce(t.conditions, '') AS told,
        main.session_part(t.timestamp, t.date) AS part_of_session
    FROM main.stock_trades AS t
    WHERE t.ticker = symbol
      AND t.date BETWEEN coalesce(first_session::DATE, DATE '0001-01-01') AND coalesce(last_session::DATE, first_session::DATE, DATE '9999-12-31')
      AND t.price > 0 AND t.size > 0 AND coalesce(t.correction, 0) IN (0, 12)
),
lists AS (
    SELECT DISTINCT told FROM kept
),
ids AS (
    SELECT told, unnest(regexp_extract_all(told, '[^,; \t\[\]"]+')) AS id FROM lists
),
rules AS (
    SELECT l.told,
        coalesce(bool_and(c.updates_high_low), true) AS high_low,
        coalesce(bool_and(c.updates_open_close), true) AS open_close,
        coalesce(bool_and(c.updates_volume), true) AS counts,
        coalesce(bool_and(c.updates_high_low) FILTER (c.id <> 12), true) AS late_high_low,
        coalesce(bool_and(c.updates_open_close) FILTER (c.id <> 12), true) AS late_open_close
    FROM lists AS l
    LEFT JOIN ids AS i ON i.told = l.told
    LEFT JOIN main.trade_conditions AS c ON c.id = CASE WHEN regexp_full_match(i.id, '[0-9]{1,9}') THEN i.id::INTEGER END
    GROUP BY l.told
),
ruled AS (
    SELECT k.*, r.counts,
        CASE WHEN k.part_of_session = 'regular' THEN r.high_low ELSE r.late_high_low END AS high_low,
        CASE WHEN k.part_of_session = 'regular' THEN r.open_close ELSE r.late_open_close END AS open_close
    FROM kept AS k
    JOIN rules AS r ON r.told = k.told
    WHERE part = 'all' OR k.part_of_session = part
),
bars AS (
    SELECT ticker, date, main.bar_start(k.timestamp, k.date, bar_size) AS timestamp,
        arg_min(price, (sip_timestamp, sequence_number)) FILTER (open_close) AS open,
        max(price) FILTER (high_low) AS high,
        min(price) FILTER (high_low) AS low,
        arg_max(price, (sip_timestamp, sequence_number)) FILTER (open_close) AS close,
        coalesce(sum(size) FILTER (counts), 0) AS volume,
        count(*) FILTER (counts) AS transactions,
        main.vwap(price, CASE WHEN counts AND (high_low OR open_close) THEN size END) AS vwap
    FROM ruled AS k
    GROUP BY ALL
)
SELECT * FROM bars WHERE open IS NOT NULL AND high IS NOT NULL
UNION ALL
SELECT NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL,
    error('bars_from_trades: bar_size is 1m, 5m, 15m, 30m or 1h, and part is all, pre, regular or post; nothing was read')
WHERE bar_size NOT IN ('1m', '5m', '15m', '30m', '1h') OR part NOT IN ('all', 'pre', 'regular', 'post')
ORDER BY ticker, timestamp
