-- Whether the stock market is open now: one row, told by the exchange calendar, with its early closes and holidays. Of another instant `market_is_open` tells.
--
-- Open is the regular session only, from 09:30 New York until 16:00, or 13:00 after an early close.
--
-- Example: SELECT market_status FROM ampyfin.market_status
SELECT
    'market_status_config' AS _id,
    CASE WHEN main.market_is_open(now()) THEN 'open' ELSE 'closed' END AS market_status
