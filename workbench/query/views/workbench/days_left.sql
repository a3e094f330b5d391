-- Day bars of stocks that the views of sessions show: where no minute of the ticker is held in the session, nor was summed up before retention took it.
--
-- Example: SELECT date, count(*) AS bars FROM workbench.days_left GROUP BY date ORDER BY date DESC LIMIT 10
SELECT d.*
FROM workbench.days_without_minutes AS d
ANTI JOIN workbench.rolled_up AS r ON r.ticker = d.ticker AND r.date = d.date
