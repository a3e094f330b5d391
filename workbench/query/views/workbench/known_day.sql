-- The day up to which corporate actions count where no other is asked: today in New York, or the day of the instant that the lake was opened as of.
SELECT coalesce(opened_as_of, (now() AT TIME ZONE 'America/New_York')::DATE) AS day
FROM workbench_log.opened
