-- Trade ticks, as a KDB+ table of them is named: the trades of stocks, of the base table stock_trades, and ticks that people inserted.
--
-- `time` is the instant at which the SIP published the trade, in microseconds; `sip_timestamp` of the base table has its nanoseconds. `sequence` orders
-- the trades of one instant. `exchange` is the vendor's number, which the base table exchanges explains; `conditions` are the vendor's ids, as it lists them.
-- Which side began a trade the tape does not tell: `side` is NULL. Cancelled and corrected trades are here, too.
-- Ask for one day: a session of the whole market is tens of millions of rows.
--
-- Example: SELECT time, price, size, exchange FROM historical.trade WHERE sym = 'IBM' AND time >= '2013-10-07' AND time < '2013-10-08' ORDER BY time, sequence LIMIT 10
SELECT
    b.timestamp AS time,
    b.ticker AS sym,
    b.price,
    b.size,
    NULL::VARCHAR AS side,
    b.exchange::VARCHAR AS exchange,
    b.conditions,
    b.sequence_number AS sequence,
    b.id AS trade_id
FROM main.stock_trades AS b
UNION ALL
SELECT i.time, i.sym, i.price, i.size, i.side, i.exchange, i.conditions, i.sequence, i.trade_id
FROM imported.historical_trade AS i
