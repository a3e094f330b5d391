-- From when to when a symbol was listed, first and last day included, once for each row of `tickers` that has it and for each spell in which an asset had it.
--
-- NULL is open, or not told. Symbols that `tickers` does not have are left out: of them nobody knows when they were listed.
-- Example: SELECT ticker, listed, delisted FROM ticker_listings WHERE ticker = 'GOOG' ORDER BY listed
SELECT t.ticker, t.listed, t.delisted, 'tickers' AS told_by
FROM main.tickers AS t
UNION ALL
SELECT c.ticker, c.first_date, c.last_date, 'ticker_changes'
FROM main.ticker_changes AS c
WHERE c.ticker IN (SELECT ticker FROM main.tickers)
