-- What `main.split_factors` says, kept in memory while the lake's tables stand still.
--
-- Made of: main.split_factors
SELECT ticker, date, since, told, price_factor, volume_factor, applies, reason, verdict
FROM workbench_log.split_factors
