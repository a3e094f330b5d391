-- Splits, and what each does to bars before its date: prices are multiplied by `price_factor`, volumes by `volume_factor`.
--
-- Bars from `since` on and before `date` are meant: earlier ones are of another company that had the ticker. A split that does not apply has factors of 1,
-- and `reason` says why. One whose ratio the closes contradict applies, and `verdict` says so.
SELECT
    s.ticker,
    s.execution_date AS date,
    coalesce(h.last_date + 1, DATE '0001-01-01') AS since,
    printf('%.10g for %.10g', s.split_to, s.split_from) AS told,
    CASE WHEN s.reason IS NULL THEN s.split_from / s.split_to ELSE 1 END AS price_factor,
    CASE WHEN s.reason IS NULL THEN s.split_to / s.split_from ELSE 1 END AS volume_factor,
    s.reason IS NULL AS applies,
    s.reason,
    s.verdict
FROM (
    SELECT
        ticker,
        execution_date,
        split_from,
        split_to,
        CASE
            WHEN duplicate_of IS NOT NULL THEN 'it is the split of ' || duplicate_of || ', told twice'
            WHEN NOT (split_from > 0 AND split_to > 0 AND isfinite(split_from) AND isfinite(split_to)) THEN 'its ratio is not above zero'
        END AS reason,
        verdict
    FROM main.splits
) AS s
ASOF LEFT JOIN main.ticker_handovers AS h ON h.ticker = s.ticker AND h.last_date < s.execution_date
