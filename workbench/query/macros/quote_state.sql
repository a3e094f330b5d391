-- What a quote is by its two prices: normal, locked (bid = ask), crossed (bid > ask), one-sided (a side is 0 or NULL) or empty (both are).
--
-- Example: SELECT quote_state(bid_price, ask_price) AS state, count(*) AS quotes FROM stock_quotes WHERE ticker = 'IBM' AND date = '2013-10-07' GROUP BY state
CREATE OR REPLACE MACRO main.quote_state(bid, ask) AS
CASE
    WHEN coalesce(bid, 0) <= 0 AND coalesce(ask, 0) <= 0 THEN 'empty'
    WHEN coalesce(bid, 0) <= 0 OR coalesce(ask, 0) <= 0 THEN 'one-sided'
    WHEN bid > ask THEN 'crossed'
    WHEN bid = ask THEN 'locked'
    ELSE 'normal'
END
