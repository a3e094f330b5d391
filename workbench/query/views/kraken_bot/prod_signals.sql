-- Trading signals of production: the rows of `signals` whose `test_mode` is false.
--
-- Example: SELECT symbol, final_signal, count(*) AS signals FROM kraken_bot.prod_signals GROUP BY ALL ORDER BY ALL
SELECT * FROM kraken_bot.signals WHERE NOT test_mode
