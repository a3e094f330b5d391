-- Trading signals of tests: the rows of `signals` whose `test_mode` is true.
--
-- Example: SELECT symbol, final_signal, count(*) AS signals FROM kraken_bot.test_signals GROUP BY ALL ORDER BY ALL
SELECT * FROM kraken_bot.signals WHERE test_mode
