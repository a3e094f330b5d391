-- Bars of the asset that has a ticker on a day (`as_of_date`, default: today), under every symbol that it had, between two sessions, both included; `bar_size`
-- is 1d or 1m, `adjust` splits, all or none, as in `adjusted_bars`.
--
-- `ticker` is the asked one, `traded_as` the symbol of then; `ticker_spells` tells which was when. The actions of each symbol count while the asset had it, and
-- on the day after; those that are listed under the asked symbol count whenever they were, except while it was another's.
--
-- Example: SELECT date, traded_as, close FROM followed_bars('GOOGL', '2014-03-31', '2014-04-04') ORDER BY date
CREATE OR REPLACE MACRO main.followed_bars(
    symbol, first_session := NULL, last_session := NULL, bar_size := '1d', adjust := 'splits', as_of_date := NULL
) AS TABLE
WITH
spells AS MATERIALIZED (SELECT ticker, first_date, last_date FROM main.spells_of([symbol], as_of_date := as_of_date)),
bars AS (
    SELECT b.ticker, b.date, b.timestamp, b.open, b.high, b.low, b.close, b.volume, b.transactions, b.source,
        CASE bar_size WHEN '1d' THEN 'stock_day' ELSE 'stock_minute' END AS base_table
    -- As a text, so that nobody waits for the table that is not asked.
    FROM query(
        CASE bar_size
            WHEN '1d' THEN 'FROM main.stock_day'
            WHEN '1m' THEN 'FROM main.stock_minute'
            ELSE error('followed_bars: there are bars of ''1d'' and ''1m'', not of ''' || coalesce(bar_size, 'NULL') || '''; nothing was read')
        END
    ) AS b
    INNER JOIN spells AS s ON s.ticker = b.ticker AND b.date BETWEEN s.first_date AND s.last_date
    WHERE b.date >= coalesce(first_session::DATE, DATE '0001-01-01')
        AND b.date <= least(coalesce(last_session::DATE, DATE '9999-12-31'), coalesce(as_of_date::DATE, DATE '9999-12-31'))
),
steps AS (
    FROM query(format(
        CASE
            WHEN adjust = 'all' THEN 'FROM main.steps_of([''{}''], adjust := ''all'', as_of_date := {}, along := true)'
            WHEN adjust IN ('splits', 'none') THEN 'FROM main.steps_of([''{}''], as_of_date := {}, along := true)'
            ELSE error('followed_bars: adjust is ''none'', ''splits'' or ''all'', not ''' || coalesce(adjust, 'NULL') || '''; nothing was read')
        END,
        coalesce(replace(symbol, '''', ''''''), ''),
        coalesce('DATE ''' || as_of_date::DATE || '''', 'NULL')
    ))
    WHERE adjust <> 'none'
)
SELECT
    symbol AS ticker,
    b.date,
    b.timestamp,
    b.open * coalesce(y.price_factor, 1) * coalesce(s.price_factor, 1) AS open,
    b.high * coalesce(y.price_factor, 1) * coalesce(s.price_factor, 1) AS high,
    b.low * coalesce(y.price_factor, 1) * coalesce(s.price_factor, 1) AS low,
    b.close * coalesce(y.price_factor, 1) * coalesce(s.price_factor, 1) AS close,
    b.volume * coalesce(y.volume_factor, 1) * coalesce(s.volume_factor, 1) AS volume,
    b.transactions,
    b.ticker AS traded_as
FROM bars AS b
LEFT JOIN steps AS s ON b.date >= s.since AND b.date < s.until
LEFT JOIN workbench.kept_yahoo AS y ON y.base_table = b.base_table AND y.ticker = b.ticker AND y.date = b.date AND b.source = 'yahoo'
