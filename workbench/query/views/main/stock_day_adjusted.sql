-- Day bars of stocks at prices and volumes that are adjusted for splits up to today, or to the day of the instant that the lake was opened as of.
--
-- For dividends, another day or minutes there is `adjusted_bars`. Bars of Yahoo's, which come adjusted, are first brought back to what was traded.
SELECT
    b.ticker,
    b.date,
    b.timestamp,
    b.open * coalesce(y.price_factor, 1) * coalesce(s.price_factor, 1) AS open,
    b.high * coalesce(y.price_factor, 1) * coalesce(s.price_factor, 1) AS high,
    b.low * coalesce(y.price_factor, 1) * coalesce(s.price_factor, 1) AS low,
    b.close * coalesce(y.price_factor, 1) * coalesce(s.price_factor, 1) AS close,
    b.volume * coalesce(y.volume_factor, 1) * coalesce(s.volume_factor, 1) AS volume,
    b.transactions,
    b.source
FROM main.stock_day AS b
LEFT JOIN workbench.split_spans AS s ON s.ticker = b.ticker AND b.date >= s.since AND b.date < s.until
LEFT JOIN workbench.kept_yahoo AS y ON y.base_table = 'stock_day' AND y.ticker = b.ticker AND y.date = b.date AND b.source = 'yahoo'
