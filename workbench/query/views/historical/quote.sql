-- Market quotes, as a KDB+ table of them is named: the national best bid and offer of stocks, of the base table stock_quotes, and quotes that people inserted.
--
-- `time` is the instant at which the SIP published the quote, in microseconds; `sip_timestamp` of the base table has its nanoseconds. `sequence` orders the
-- quotes of one instant. `bsize` and `asize` are shares: the round lots that files before November 2025 count are taken for 100. A side that is
-- empty has a price and size of 0. Exchanges are the vendor's numbers, which the base table exchanges explains.
-- Ask for one day: a session of the whole market is hundreds of millions of rows.
--
-- Example: SELECT time, bid, ask, bsize, asize FROM historical.quote WHERE sym = 'IBM' AND time >= '2013-10-07' AND time < '2013-10-08' ORDER BY time, sequence LIMIT 10
SELECT
    b.timestamp AS time,
    b.ticker AS sym,
    b.bid_price AS bid,
    b.ask_price AS ask,
    b.bid_size * CASE b.size_unit WHEN 'lots' THEN 100 ELSE 1 END AS bsize,
    b.ask_size * CASE b.size_unit WHEN 'lots' THEN 100 ELSE 1 END AS asize,
    b.bid_exchange::VARCHAR AS bid_exchange,
    b.ask_exchange::VARCHAR AS ask_exchange,
    b.conditions,
    b.sequence_number AS sequence
FROM main.stock_quotes AS b
UNION ALL
SELECT i.time, i.sym, i.bid, i.ask, i.bsize, i.asize, i.bid_exchange, i.ask_exchange, i.conditions, i.sequence
FROM imported.historical_quote AS i
