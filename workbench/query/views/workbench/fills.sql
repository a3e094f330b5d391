-- Each trade of `transactional.trades`, with whose it is, how much of a position it closed, and what that realised: by running average cost.
--
-- `user_id` is whose portfolio it is, or who ordered where the order names none; then `portfolio_id` is 0. `date` is the day in New York. `realized` is
-- the profit less loss of what was closed, fees of opening and closing taken off; NULL of a trade that only opened. `opened_at` is when the position that
-- it closed was opened, `average_price` what a unit of it was traded at then, without fees, in the shares of the closing day. `ordered_at` is NULL where
-- the order was written down after the trade.
--
-- Made of: transactional.trades, transactional.orders, transactional.portfolios, workbench.kept_splits
SELECT
    trade_id,
    order_id,
    owner AS user_id,
    place AS portfolio_id,
    symbol,
    side,
    quantity,
    price,
    fee,
    executed_at,
    date,
    ordered_at,
    closed,
    realized,
    opened AS opened_at,
    average AS average_price
FROM workbench_log.fills
