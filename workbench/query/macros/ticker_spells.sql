-- The symbols that the asset had which has a ticker on a day (default: today), oldest first: `ticker` from `first_date` to `last_date`, both included.
--
-- `followed_bars` gives the bars of all of them. A first day that nobody tells is 0001-01-01.
--
-- Example: SELECT * FROM ticker_spells('GOOGL')
CREATE OR REPLACE MACRO main.ticker_spells(symbol, as_of_date := NULL) AS TABLE
SELECT asset, ticker, first_date, last_date
FROM main.spells_of([symbol], as_of_date := as_of_date)
ORDER BY first_date
