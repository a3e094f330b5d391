-- How well each trade of `transactional.trades` was executed: computed from its order, and from minutes and quotes of stocks, joined with what people
-- imported.
--
-- `arrival_price` is the mid of the quote in force when the order was created, of the same day; where the lake holds none that has one, the close of the
-- last minute that had ended. `slippage_bps` is positive where the trade was worse than that: a cost. `vwap_interval` is of the minutes' closes, by
-- volume, from the one in which the order was created to the one in which it was executed. `spread_bps` is of the quote in force at the execution. Trades
-- that closed some of a position have `realized_pnl`, by running average cost for each portfolio and symbol, fees taken off, and `holding_seconds` since
-- the position was opened; `mae` and `mfe` are in money a share, from the average price that was paid, of the minutes wholly between its opening and the
-- trade, and not less than 0. Prices of before a split are brought to the shares of the closing day. What the lake has no data for is NULL, and so is what
-- follows from when the order was created, if that is after the trade. Of each trade the row that people wrote shows, not the computed one.
--
-- Example: SELECT symbol, avg(slippage_bps) AS slippage, sum(realized_pnl) AS realized FROM analytics.trade_analytics GROUP BY symbol ORDER BY symbol
WITH
quotes AS (
    SELECT ticker, date, told_by, main.mid(bid_price, ask_price) AS mid, main.spread(bid_price, ask_price) AS spread
    FROM workbench.traded_quotes
),
-- Of an instant, the newest quote up to it; of one that microseconds cannot tell from it, too.
moments AS (
    SELECT
        trade_id,
        symbol,
        (ordered_at AT TIME ZONE 'America/New_York')::DATE AS ordered_on,
        (epoch_us(ordered_at)::HUGEINT * 1000 + 1000) * 18446744073709551616 AS ordered,
        date,
        (epoch_us(executed_at)::HUGEINT * 1000 + 1000) * 18446744073709551616 AS executed
    FROM workbench.fills
),
arrived AS (
    SELECT m.trade_id, CASE WHEN q.spread >= 0 THEN q.mid END AS mid
    FROM moments AS m
    ASOF INNER JOIN quotes AS q ON q.ticker = m.symbol AND q.date = m.ordered_on AND m.ordered > q.told_by
),
spread AS (
    SELECT m.trade_id, CASE WHEN q.spread >= 0 THEN q.spread / q.mid * 10000 END AS bps
    FROM moments AS m
    ASOF INNER JOIN quotes AS q ON q.ticker = m.symbol AND q.date = m.date AND m.executed > q.told_by
),
last_minute AS (
    SELECT f.trade_id, b.close
    FROM (SELECT *, (ordered_at AT TIME ZONE 'America/New_York')::DATE AS ordered_on, ordered_at - INTERVAL 1 MINUTE AS begun FROM workbench.fills) AS f
    ASOF INNER JOIN workbench.traded_minutes AS b ON b.ticker = f.symbol AND b.date = f.ordered_on AND f.begun >= b.timestamp
),
executing AS (
    SELECT
        trade_id,
        symbol,
        ordered_at,
        executed_at,
        unnest(generate_series((ordered_at AT TIME ZONE 'America/New_York')::DATE, date, INTERVAL 1 DAY))::DATE AS date
    FROM workbench.fills
),
meanwhile AS (
    SELECT e.trade_id, sum(b.close * b.volume ORDER BY b.timestamp) / nullif(sum(b.volume ORDER BY b.timestamp), 0) AS vwap
    FROM executing AS e
    INNER JOIN workbench.traded_minutes AS b
        ON b.ticker = e.symbol AND b.date = e.date AND b.timestamp >= date_trunc('minute', e.ordered_at) AND b.timestamp <= e.executed_at
    GROUP BY e.trade_id
),
-- How far prices went while a position was held: by minute on its first and last day, by day between them.
held AS (
    SELECT trade_id, symbol, side, opened_at, executed_at, average_price, (opened_at AT TIME ZONE 'America/New_York')::DATE AS first, date AS last
    FROM workbench.fills
    WHERE closed IS NOT NULL
),
of_days AS (
    SELECT ticker, date, max(high) AS high, min(low) AS low
    FROM workbench.traded_minutes
    GROUP BY ticker, date
),
reached AS (
    SELECT h.trade_id, h.symbol, h.last, b.date, max(b.high) AS high, min(b.low) AS low
    FROM (SELECT *, unnest(list_distinct([first, last])) AS date FROM held) AS h
    INNER JOIN workbench.traded_minutes AS b
        ON b.ticker = h.symbol AND b.date = h.date AND b.timestamp >= h.opened_at AND b.timestamp <= h.executed_at - INTERVAL 1 MINUTE
    GROUP BY h.trade_id, h.symbol, h.last, b.date
    UNION ALL
    SELECT h.trade_id, h.symbol, h.last, d.date, d.high, d.low
    FROM held AS h
    INNER JOIN of_days AS d ON d.ticker = h.symbol AND d.date > h.first AND d.date < h.last
),
furthest AS (
    SELECT
        r.trade_id,
        max(r.high * coalesce(s.price_factor, 1) / coalesce(e.price_factor, 1)) AS high,
        min(r.low * coalesce(s.price_factor, 1) / coalesce(e.price_factor, 1)) AS low
    FROM reached AS r
    LEFT JOIN workbench.split_spans AS s ON s.ticker = r.symbol AND r.date >= s.since AND r.date < s.until
    LEFT JOIN workbench.split_spans AS e ON e.ticker = r.symbol AND r.last >= e.since AND r.last < e.until
    GROUP BY r.trade_id
),
found AS (
    SELECT
        f.trade_id,
        f.symbol,
        f.side,
        f.price::DOUBLE AS price,
        coalesce(a.mid, l.close) AS arrival_price,
        m.vwap,
        s.bps,
        (epoch_us(f.executed_at) - epoch_us(f.opened_at)) / 1000000 AS holding_seconds,
        f.realized,
        -- What was closed by a sale had been bought.
        CASE WHEN f.side < 0 THEN f.average_price - r.low ELSE r.high - f.average_price END AS against,
        CASE WHEN f.side < 0 THEN r.high - f.average_price ELSE f.average_price - r.low END AS in_favour,
        r.high IS NOT NULL AS is_reached
    FROM workbench.fills AS f
    LEFT JOIN arrived AS a ON a.trade_id = f.trade_id
    LEFT JOIN spread AS s ON s.trade_id = f.trade_id
    LEFT JOIN last_minute AS l ON l.trade_id = f.trade_id
    LEFT JOIN meanwhile AS m ON m.trade_id = f.trade_id
    LEFT JOIN furthest AS r ON r.trade_id = f.trade_id
)
SELECT
    c.trade_id,
    c.symbol,
    TRY_CAST(c.arrival_price AS DECIMAL(20, 8)) AS arrival_price,
    TRY_CAST(c.vwap AS DECIMAL(20, 8)) AS vwap_interval,
    c.side * (c.price - c.arrival_price) / nullif(c.arrival_price, 0) * 10000 AS slippage_bps,
    c.bps AS spread_bps,
    c.holding_seconds,
    TRY_CAST(c.realized AS DECIMAL(20, 8)) AS realized_pnl,
    CASE WHEN c.is_reached THEN greatest(c.against, 0) END AS mae,
    CASE WHEN c.is_reached THEN greatest(c.in_favour, 0) END AS mfe
FROM found AS c
ANTI JOIN imported.analytics_trade_analytics AS i ON i.trade_id = c.trade_id
UNION ALL
SELECT
    i.trade_id,
    i.symbol,
    i.arrival_price,
    i.vwap_interval,
    i.slippage_bps,
    i.spread_bps,
    i.holding_seconds,
    i.realized_pnl,
    i.mae,
    i.mfe
FROM imported.analytics_trade_analytics AS i
