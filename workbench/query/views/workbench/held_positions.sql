-- What each portfolio held of a symbol at the ends of the days from `since` on and before `until` (NULL: still), by `transactional.trades`.
--
-- `quantity` is less than 0 if sold short, and in shares as of those days. `cash` is what came in for it, fees taken off: less than 0 for what was bought.
--
-- Made of: workbench.fills
SELECT owner AS user_id, place AS portfolio_id, symbol, since, until, quantity, cash
FROM workbench_log.held_positions
