-- Executed trades of production: the rows of `trades` whose `test_mode` is false.
--
-- Example: SELECT symbol, action, sum(amount * price) AS turnover FROM kraken_bot.prod_trades GROUP BY ALL ORDER BY ALL
SELECT * FROM kraken_bot.trades WHERE NOT test_mode
