-- The price halfway between bid and ask; NULL if a side is empty (0 or NULL).
--
-- Example: SELECT timestamp, mid(bid_price, ask_price) AS mid FROM stock_quotes WHERE ticker = 'IBM' AND date = '2013-10-07' ORDER BY timestamp LIMIT 10
-- Example: SELECT timestamp, price - mid(bid, ask) AS above_mid FROM trades_with_quotes('IBM', '2013-10-07') LIMIT 10
CREATE OR REPLACE MACRO main.mid(bid, ask) AS
CASE WHEN bid > 0 AND ask > 0 THEN (bid + ask) / 2 END
