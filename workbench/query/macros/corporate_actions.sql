-- The splits and dividends of a ticker up to a day (default: today), and what each does to bars before its date: prices are multiplied by
-- `price_factor`, volumes by `volume_factor`.
--
-- Bars from `since` on and before `date` are meant: earlier ones are of another company that had the ticker. What does not apply has factors of 1, and
-- `reason` says why. `verdict` is what the raw closes say of a split's ratio: one that they contradict applies all the same. `actions_of` says how a factor is
-- made.
--
-- Example: SELECT date, kind, told, price_factor, reason FROM corporate_actions('AAPL', as_of_date := '2014-12-31') WHERE date >= '2014-01-01'
CREATE OR REPLACE MACRO main.corporate_actions(symbol, as_of_date := NULL) AS TABLE
SELECT listed_as AS ticker, date, kind, told, since, price_factor, volume_factor, applies, reason, verdict
FROM main.actions_of([symbol], as_of_date := as_of_date)
ORDER BY date, kind DESC
