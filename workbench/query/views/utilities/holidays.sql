-- When exchanges are closed on a weekday, and when they close early: by the trading calendar, from 1990 to the end of next year, and what people imported.
--
-- XNYS stands for all exchanges of US stocks, options and indices, which keep the same days. `status` is closed, without `open` and `close`, or
-- early_close, with the instants at which the regular session begins and ends. Of imported rows those show whose exchange and date are not here.
--
-- Example: SELECT date, name, status, close FROM utilities.holidays WHERE exchange = 'XNYS' AND date BETWEEN '2024-01-01' AND '2024-12-31' ORDER BY date
SELECT b.exchange, b.date, b.name, b.status, b.open, b.close
FROM workbench.kept_holidays AS b
UNION ALL
SELECT i.exchange, i.date, i.name, i.status, i.open, i.close
FROM imported.utilities_holidays AS i
LEFT JOIN workbench.kept_holidays AS b ON b.exchange = i.exchange AND b.date = i.date
WHERE b.date IS NULL
