-- What can be traded, a row per symbol: its newest listing in the base table tickers, and what people imported.
--
-- A symbol that one company gave up and another took shows the latter; all of them are in tickers. `exchange` is the market identifier code of the listing,
-- `figi` OpenFIGI's id of the security in its country. The vendor tells neither `lot_size` nor `tick_size`: for stocks they are the usual round lot
-- of 100 shares and the tick of 0.01 USD of prices from 1 USD on. Since November 2025 shares above 250 USD have smaller round lots, and prices below
-- 1 USD have a tick of 0.0001. Of other markets lot_size is 1, tick_size NULL. Of imported rows those show whose symbol is not here.
--
-- Example: SELECT symbol, name, exchange, active, listed FROM utilities.instruments WHERE symbol IN ('AAPL', 'IBM')
SELECT
    t.ticker AS symbol,
    coalesce(t.name, t.ticker) AS name,
    t.type,
    t.primary_exchange AS exchange,
    upper(t.currency) AS currency,
    CASE WHEN t.market IN ('stocks', 'otc') THEN 100 ELSE 1 END::DOUBLE AS lot_size,
    CASE WHEN t.market IN ('stocks', 'otc') THEN 0.01 END::DOUBLE AS tick_size,
    t.active,
    t.listed,
    t.delisted,
    t.composite_figi AS figi,
    t.cik
FROM main.tickers AS t
QUALIFY row_number() OVER (
    PARTITION BY t.ticker ORDER BY t.active DESC, t.delisted DESC NULLS FIRST, t.listed DESC NULLS LAST, t.last_seen DESC, t.composite_figi, t.name
) = 1
UNION ALL
SELECT i.symbol, i.name, i.type, i.exchange, i.currency, i.lot_size, i.tick_size, i.active, i.listed, i.delisted, i.figi, i.cik
FROM imported.utilities_instruments AS i
LEFT JOIN (SELECT DISTINCT ticker FROM main.tickers) AS b ON b.ticker = i.symbol
WHERE b.ticker IS NULL
