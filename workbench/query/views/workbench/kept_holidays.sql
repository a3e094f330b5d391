-- When exchanges are closed on a weekday, and when they close early, as the calendar tells: `utilities.holidays` has what people imported besides.
SELECT exchange, date, name, status, open, close
FROM workbench_log.holidays
