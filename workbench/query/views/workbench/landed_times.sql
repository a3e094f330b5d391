-- When the sessions of each table that files fill were landed, first (`created`) and last (`updated`): a row for each table, with its times as lists by day.
--
-- The first entry of a list is of 1990-01-01; a session that neither the table nor the archive holds has NULL, or none. A whole session has one time, whoever of its
-- tickers was landed when. Select one entry by its place, as in the example: DuckDB then reads nothing of it where no query asks for the column, and
-- one that does finds it without a join.
--
-- Example: SELECT ticker, date, (SELECT updated FROM workbench.landed_times WHERE base_table = 'stock_day')[date - DATE '1989-12-31'] AS updated_at FROM stock_day LIMIT 3
SELECT base_table, created, updated
FROM workbench_log.landed_times
