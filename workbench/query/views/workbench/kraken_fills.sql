-- Each executed trade of `kraken_bot.prod_trades`, how much of a position it closed, and what that realised: by running average cost, a symbol at a time.
--
-- Trades that never came to pass, by their `status`, are left out; so are those of tests. `realized` has the fees of opening and closing taken off.
--
-- Made of: kraken_bot.prod_trades
SELECT
    trade_id,
    signal_id,
    strategy_version,
    symbol,
    side,
    quantity,
    price,
    fee,
    executed_at,
    date,
    created_at,
    closed,
    realized,
    opened AS opened_at,
    average AS average_price
FROM workbench_log.kraken_fills
