-- What `workbench.yahoo_factors` says, kept in memory while the lake's tables stand still.
--
-- Made of: workbench.yahoo_factors
SELECT base_table, ticker, date, price_factor, volume_factor
FROM workbench_log.yahoo_factors
