-- What splits up to today, or to the day of the instant that the lake was opened as of, do to bars: those of sessions from `since` on and before `until` have
-- their prices multiplied by `price_factor`, and their volumes by `volume_factor`. Sessions that no later split concerns have no row.
SELECT
    ticker,
    greatest(since, lag(date, 1, DATE '0001-01-01') OVER (PARTITION BY ticker ORDER BY date)) AS since,
    date AS until,
    product(price_factor) OVER later AS price_factor,
    product(volume_factor) OVER later AS volume_factor
FROM workbench.kept_splits
WHERE applies AND date <= (SELECT day FROM workbench.known_day)
WINDOW later AS (PARTITION BY ticker, since ORDER BY date DESC)
