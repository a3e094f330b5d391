-- What `workbench.repeated_news` says, kept in memory while the lake's table stands still.
--
-- Made of: workbench.repeated_news
SELECT id
FROM workbench_log.repeated_news
