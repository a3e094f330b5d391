-- What `main.ticker_history` says, kept in memory while the lake's tables stand still.
--
-- Made of: main.ticker_history
SELECT asset, ticker, first_date, last_date
FROM workbench_log.ticker_history
