-- A stock's minutes as made of trades against those of the minute file, on a session, or on the sessions up to another: which fields differ.
--
-- `open`, `high` and so on are the file's, `built_open` and so on `bars_from_trades`'s; a bar that one side lacks is NULL there, and differs in
-- everything. `differs` is an empty list for a minute that is the same. Volumes are the same if they are nearer than half a millionth. Only sessions of
-- which the lake holds both trades of the stock and the minutes are compared.
--
-- Example: SELECT timestamp, close, built_close, volume, built_volume FROM built_against_minutes('IBM', '2013-10-07') WHERE len(differs) > 0 ORDER BY timestamp
-- Example: SELECT avg((NOT list_contains(differs, 'volume'))::INTEGER) AS volume, avg((NOT list_contains(differs, 'close'))::INTEGER) AS close FROM built_against_minutes('IBM', '2013-10-07')
CREATE OR REPLACE MACRO main.built_against_minutes(symbol, first_session, last_session := NULL) AS TABLE
WITH
minutes AS (
    SELECT m.* FROM main.stock_minute AS m
    WHERE m.ticker = symbol
      AND m.date BETWEEN coalesce(first_session::DATE, DATE '0001-01-01') AND coalesce(last_session::DATE, first_session::DATE, DATE '9999-12-31')
),
landed AS (
    SELECT DISTINCT d.date FROM main.stock_minute AS d
    WHERE d.date BETWEEN coalesce(first_session::DATE, DATE '0001-01-01') AND coalesce(last_session::DATE, first_session::DATE, DATE '9999-12-31')
),
traded AS (
    SELECT DISTINCT t.date FROM main.stock_trades AS t
    WHERE t.ticker = symbol
      AND t.date BETWEEN coalesce(first_session::DATE, DATE '0001-01-01') AND coalesce(last_session::DATE, first_session::DATE, DATE '9999-12-31')
)
SELECT
    coalesce(m.ticker, b.ticker) AS ticker,
    coalesce(m.date, b.date) AS date,
    coalesce(m.timestamp, b.timestamp) AS timestamp,
    list_filter([
        CASE WHEN m.open IS DISTINCT FROM b.open THEN 'open' END,
        CASE WHEN m.high IS DISTINCT FROM b.high THEN 'high' END,
        CASE WHEN m.low IS DISTINCT FROM b.low THEN 'low' END,
        CASE WHEN m.close IS DISTINCT FROM b.close THEN 'close' END,
        CASE WHEN coalesce(abs(m.volume - b.volume) >= 5e-7, true) THEN 'volume' END,
        CASE WHEN m.transactions IS DISTINCT FROM b.transactions THEN 'transactions' END
    ], lambda field: field IS NOT NULL) AS differs,
    m.open, b.open AS built_open,
    m.high, b.high AS built_high,
    m.low, b.low AS built_low,
    m.close, b.close AS built_close,
    m.volume, b.volume AS built_volume,
    m.transactions, b.transactions AS built_transactions
FROM minutes AS m
FULL JOIN main.bars_from_trades(symbol, first_session, last_session) AS b ON b.date = m.date AND b.timestamp = m.timestamp
WHERE coalesce(m.date, b.date) IN (FROM landed) AND coalesce(m.date, b.date) IN (FROM traded)
