-- Historical prices of stocks, a row per symbol and session: the day bars of the base table stock_day, and those that people imported.
--
-- Prices and volumes are as they were traded, not adjusted; `adjusted_close` is the close adjusted for the splits up to today, or to the day of the
-- instant that the lake was opened as of. Of Yahoo's bars, which come adjusted for the splits before they were fetched, the other prices stay so. No
-- source of day bars tells a `vwap`: it is NULL but in imported rows. `source` says where a row came from, `updated_at` when its session was landed last.
-- Of imported rows those show whose symbol and session the lake has no bar of.
--
-- Example: SELECT date, close, adjusted_close FROM shrek.stock_prices WHERE symbol = 'AAPL' AND date >= '2014-06-01' ORDER BY date LIMIT 10
SELECT
    b.ticker AS symbol,
    b.date,
    b.open,
    b.high,
    b.low,
    b.close,
    b.volume,
    NULL::DOUBLE AS vwap,
    b.close * coalesce(
        list_product(
            list_transform(
                list_filter(
                    (SELECT steps FROM workbench.close_factors)[(hash(b.ticker) % 16384)::INTEGER + 1],
                    lambda s: s.ticker = b.ticker AND s.since <= b.date AND b.date < s.until AND (NOT s.of_yahoo OR b.source = 'yahoo')
                ),
                lambda s: s.factor
            )
        ),
        1
    ) AS adjusted_close,
    b.source,
    (SELECT updated FROM workbench.landed_times WHERE base_table = 'stock_day')[b.date - DATE '1989-12-31'] AS updated_at
FROM main.stock_day AS b
UNION ALL
SELECT i.symbol, i.date, i.open, i.high, i.low, i.close, i.volume, i.vwap, i.adjusted_close, i.source, i.updated_at
FROM imported.shrek_stock_prices AS i
LEFT JOIN main.stock_day AS b ON b.ticker = i.symbol AND b.date = i.date
WHERE b.ticker IS NULL
