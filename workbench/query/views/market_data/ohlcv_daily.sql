-- Sessions of stocks, summed up from `market_data.ohlcv` as Tetra's continuous aggregate does; it is always fresh.
--
-- Where minutes landed, pre-market and post-market count, so that open and close are the first and last price of 04:00 to 20:00; where only day bars
-- did, they are the day bar's own, of the regular session. `day` is midnight in New York. For the vendor's day bars ask stock_day.
-- Sessions that are summed up already (stock_sessions) are read as they are, also after retention took their minutes; the rest is computed.
--
-- Example: SELECT day, open, high, low, close, volume FROM market_data.ohlcv_daily WHERE symbol = 'AAPL' ORDER BY day DESC LIMIT 10
SELECT symbol, day, open, high, low, close, volume, vwap
FROM workbench.bars_of_days
