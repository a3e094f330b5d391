-- What a raw close of `stock_day` is multiplied by to be adjusted for splits, as one list of lists: what concerns a ticker stands in the list at hash(ticker) % 16384.
--
-- An entry is for sessions from `since` on and before `until`; one `of_yahoo` is for Yahoo's bars only, which come adjusted, and brings them back to what was
-- traded. Where several concern a bar, all of them do. It says what `workbench.split_spans` and `workbench.kept_yahoo` say, so that a query that does not
-- ask for adjusted prices does not pay for a join; `workbench.close_factors` is kept in memory while splits and sessions stand still.
--
-- Made of: workbench.kept_yahoo, workbench.split_spans
--
-- Example: SELECT entry.ticker, entry.since, entry.until, entry.factor FROM (SELECT unnest(flatten(steps)) AS entry FROM workbench.close_factors) ORDER BY ALL LIMIT 9
SELECT steps
FROM workbench_log.close_factors
