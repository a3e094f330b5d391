-- Bars of a stock between two sessions, both included, at adjusted prices and volumes; `bar_size` is 1d or 1m.
--
-- `adjust` is splits, all (splits and dividends) or none (as traded). Only actions after a bar and up to `as_of_date` (default: today) count, and bars after that
-- day are left out. Volumes know splits only. `corporate_actions` shows the factors, `followed_bars` takes earlier symbols with it, `resampled_bars` makes
-- longer bars. Bars of Yahoo's, which come adjusted, are first brought back to what was traded.
--
-- Example: SELECT date, close, volume FROM adjusted_bars('AAPL', '2014-06-02', '2014-06-13', as_of_date := '2014-12-31') ORDER BY date
-- Example: SELECT timestamp, close FROM adjusted_bars('AAPL', '2014-06-06', '2014-06-06', bar_size := '1m', adjust := 'all') ORDER BY timestamp
CREATE OR REPLACE MACRO main.adjusted_bars(
    symbol, first_session := NULL, last_session := NULL, bar_size := '1d', adjust := 'splits', as_of_date := NULL
) AS TABLE
WITH
bars AS (
    SELECT b.ticker, b.date, b.timestamp, b.open, b.high, b.low, b.close, b.volume, b.transactions, b.source,
        CASE bar_size WHEN '1d' THEN 'stock_day' ELSE 'stock_minute' END AS base_table
    -- As a text, so that nobody waits for the table that is not asked.
    FROM query(
        CASE bar_size
            WHEN '1d' THEN 'FROM main.stock_day'
            WHEN '1m' THEN 'FROM main.stock_minute'
            ELSE error('adjusted_bars: there are bars of ''1d'' and ''1m'', not of ''' || coalesce(bar_size, 'NULL') || '''; nothing was read')
        END
    ) AS b
    WHERE b.ticker = symbol
        AND b.date >= coalesce(first_session::DATE, DATE '0001-01-01')
        AND b.date <= least(coalesce(last_session::DATE, DATE '9999-12-31'), coalesce(as_of_date::DATE, DATE '9999-12-31'))
),
steps AS (
    FROM query(format(
        CASE
            WHEN adjust = 'all' THEN 'FROM main.steps_of([''{}''], adjust := ''all'', as_of_date := {})'
            WHEN adjust IN ('splits', 'none') THEN 'FROM main.split_steps(''{}'', as_of_date := {})'
            ELSE error('adjusted_bars: adjust is ''none'', ''splits'' or ''all'', not ''' || coalesce(adjust, 'NULL') || '''; nothing was read')
        END,
        coalesce(replace(symbol, '''', ''''''), ''),
        coalesce('DATE ''' || as_of_date::DATE || '''', 'NULL')
    ))
    WHERE adjust <> 'none'
)
SELECT
    b.ticker,
    b.date,
    b.timestamp,
    b.open * coalesce(y.price_factor, 1) * coalesce(s.price_factor, 1) AS open,
    b.high * coalesce(y.price_factor, 1) * coalesce(s.price_factor, 1) AS high,
    b.low * coalesce(y.price_factor, 1) * coalesce(s.price_factor, 1) AS low,
    b.close * coalesce(y.price_factor, 1) * coalesce(s.price_factor, 1) AS close,
    b.volume * coalesce(y.volume_factor, 1) * coalesce(s.volume_factor, 1) AS volume,
    b.transactions
FROM bars AS b
LEFT JOIN steps AS s ON b.date >= s.since AND b.date < s.until
LEFT JOIN workbench.kept_yahoo AS y ON y.base_table = b.base_table AND y.ticker = b.ticker AND y.date = b.date AND b.source = 'yahoo'
