-- Executed trades of tests: the rows of `trades` whose `test_mode` is true.
--
-- Example: SELECT symbol, action, sum(amount * price) AS turnover FROM kraken_bot.test_trades GROUP BY ALL ORDER BY ALL
SELECT * FROM kraken_bot.trades WHERE test_mode
