-- The ask less the bid; NULL if a side is empty (0 or NULL), 0 if the quote is locked, negative if it is crossed.
--
-- Example: SELECT ticker, avg(spread(bid_price, ask_price)) AS spread FROM stock_quotes WHERE ticker = 'IBM' AND date = '2013-10-07' GROUP BY ticker
-- Example: SELECT timestamp, price, spread(bid, ask) AS spread FROM trades_with_quotes('IBM', '2013-10-07') WHERE quote_state = 'normal' LIMIT 10
CREATE OR REPLACE MACRO main.spread(bid, ask) AS
CASE WHEN bid > 0 AND ask > 0 THEN ask - bid END
