-- Minutes of stocks that `transactional.trades` names, of the days from the first order to the last trade, at prices as traded.
--
-- Made of: workbench.fills
SELECT
    b.ticker,
    b.date,
    b.timestamp,
    b.high * coalesce(y.price_factor, 1) AS high,
    b.low * coalesce(y.price_factor, 1) AS low,
    b.close * coalesce(y.price_factor, 1) AS close,
    b.volume * coalesce(y.volume_factor, 1) AS volume
FROM main.stock_minute AS b
LEFT JOIN workbench.kept_yahoo AS y ON y.base_table = 'stock_minute' AND y.ticker = b.ticker AND y.date = b.date AND b.source = 'yahoo'
