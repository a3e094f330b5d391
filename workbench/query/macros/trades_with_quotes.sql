-- A stock's trades on a session, or on the sessions up to another, each with the quote in force at its time.
--
-- In force is the newest quote of the same session at or before the trade's time at the SIP (of several at one time, the one with the greatest
-- sequence number); with `strict`, before it. A session begins without one: then, and if it is older than `max_age`, an interval such as
-- '5 seconds', the quote's columns are NULL. Nothing is left out: `quote_state` says which quotes are locked, crossed, one-sided or empty;
-- a side that is empty is NULL in `bid` or `ask`. `quote_age_ns` is by how many nanoseconds the trade came later; `size_unit` says what
-- `bid_size` and `ask_size` count.
--
-- Example: SELECT timestamp, price, size, bid, ask, quote_state FROM trades_with_quotes('IBM', '2013-10-07') ORDER BY sip_timestamp, sequence_number LIMIT 10
-- Example: SELECT quote_state, count(*) AS trades FROM trades_with_quotes('IBM', '2013-10-07', '2013-10-08', max_age := '5 seconds') GROUP BY quote_state
CREATE OR REPLACE MACRO main.trades_with_quotes(symbol, first_session, last_session := NULL, strict := false, max_age := NULL) AS TABLE
WITH
trades AS (
    -- What is before a time is at or before the nanosecond before it.
    SELECT t.* EXCLUDE (source, is_test), (t.sip_timestamp - strict::INTEGER)::HUGEINT * 18446744073709551616 + 18446744073709551615 AS told_by
    FROM main.stock_trades AS t
    WHERE t.ticker = symbol
      AND t.date BETWEEN coalesce(first_session::DATE, DATE '0001-01-01') AND coalesce(last_session::DATE, first_session::DATE, DATE '9999-12-31')
),
quotes AS (
    SELECT q.date, q.bid_price, q.ask_price, q.bid_size, q.ask_size, q.size_unit, q.sip_timestamp,
        q.sip_timestamp::HUGEINT * 18446744073709551616 + q.sequence_number AS told_by
    FROM main.stock_quotes AS q
    WHERE q.ticker = symbol
      AND q.date BETWEEN coalesce(first_session::DATE, DATE '0001-01-01') AND coalesce(last_session::DATE, first_session::DATE, DATE '9999-12-31')
),
joined AS (
    SELECT t.*, q.* EXCLUDE (date, sip_timestamp, told_by), q.sip_timestamp AS quoted,
        coalesce(t.sip_timestamp - q.sip_timestamp <= 1000 * epoch_us(max_age::INTERVAL), q.sip_timestamp IS NOT NULL) AS in_force
    FROM trades AS t
    ASOF LEFT JOIN quotes AS q ON t.date = q.date AND t.told_by >= q.told_by
)
SELECT
    j.* EXCLUDE (told_by, bid_price, ask_price, bid_size, ask_size, size_unit, quoted, in_force),
    CASE WHEN in_force AND bid_price > 0 THEN bid_price END AS bid,
    CASE WHEN in_force AND ask_price > 0 THEN ask_price END AS ask,
    CASE WHEN in_force THEN j.bid_size END AS bid_size,
    CASE WHEN in_force THEN j.ask_size END AS ask_size,
    CASE WHEN in_force THEN j.size_unit END AS size_unit,
    CASE WHEN in_force THEN quoted END AS quote_sip_timestamp,
    CASE WHEN in_force THEN j.sip_timestamp - quoted END AS quote_age_ns,
    CASE WHEN in_force THEN main.quote_state(bid_price, ask_price) END AS quote_state
FROM joined AS j
