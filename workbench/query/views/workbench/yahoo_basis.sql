-- The sessions that Yahoo gave, and the day on which it did, in New York: its prices are adjusted for the splits up to that day, and not for dividends.
SELECT base_table, date, basis
FROM workbench_log.yahoo_basis
