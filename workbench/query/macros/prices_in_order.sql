-- Whether the four prices of a bar are numbers, with no other above the high or below the low.
--
-- Example: SELECT ticker, timestamp FROM stock_minute WHERE NOT prices_in_order(open, high, low, close)
CREATE OR REPLACE MACRO main.prices_in_order(open_price, high_price, low_price, close_price) AS
    high_price >= greatest(open_price, close_price, low_price) AND low_price <= least(open_price, close_price)
    AND isfinite(high_price) AND isfinite(low_price)
