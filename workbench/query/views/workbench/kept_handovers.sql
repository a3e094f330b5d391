-- What `main.ticker_handovers` says, kept in memory while the lake's tables stand still.
--
-- Made of: main.ticker_handovers
SELECT ticker, last_date
FROM workbench_log.ticker_handovers
