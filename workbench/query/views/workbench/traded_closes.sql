-- Closes of stocks that `transactional.trades` names, from before the first trade on: adjusted for splits as those of `stock_day_adjusted`.
--
-- Made of: workbench.fills
SELECT b.ticker, b.date, b.close
FROM main.stock_day_adjusted AS b
