-- Day bars of stocks for whose session and ticker stock_minute has no bar: what `market_data.ohlcv` shows beside minutes.
--
-- This is what it means. What the lake's log tells stands in its place: constant ranges of sessions without minutes, and the rows that were compared as
-- they landed (`lone_days`); only of sessions that were not compared yet are the two tables read like this.
--
-- Example: SELECT date, count(*) AS bars FROM workbench.days_without_minutes GROUP BY date ORDER BY date DESC LIMIT 10
SELECT d.*
FROM main.stock_day AS d
ANTI JOIN (SELECT DISTINCT ticker, date FROM main.stock_minute) AS m ON m.ticker = d.ticker AND m.date = d.date
