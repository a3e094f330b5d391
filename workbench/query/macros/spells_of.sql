-- The symbols that the assets had which have some tickers on a day (default: today): a row for each asked ticker and each symbol, with the first and the last
-- day of it, both included.
--
-- Told by `ticker_history`. A ticker that nothing is told of has one spell; where it had been another company's, that begins the day after. A ticker that is
-- no longer anybody's is that of the asset which had it last. What happens after the day is not known on it.
--
-- Example: SELECT * FROM spells_of(['GOOGL', 'META'], as_of_date := '2024-01-02')
CREATE OR REPLACE MACRO main.spells_of(symbols, as_of_date := NULL) AS TABLE
WITH
asked AS (
    SELECT DISTINCT one.symbol AS asked, coalesce(as_of_date::DATE, (SELECT day FROM workbench.known_day)) AS known_until
    FROM (SELECT unnest(symbols) AS symbol) AS one
),
-- Who has it on the day comes before who had it last; of two that are told to have it on one day, the one that gave it up first has it.
holders AS (
    SELECT a.asked, a.known_until, arg_min(h.asset, (h.last_date < a.known_until, abs(h.last_date - a.known_until))) AS asset
    FROM asked AS a
    INNER JOIN workbench.kept_history AS h ON h.ticker = a.asked
    WHERE h.first_date <= a.known_until AND (h.last_date >= a.known_until OR h.asset = h.ticker)
    GROUP BY a.asked, a.known_until
),
told AS (
    SELECT o.asked, h.asset, h.ticker, h.first_date, least(h.last_date, o.known_until) AS last_date
    FROM holders AS o
    INNER JOIN workbench.kept_history AS h USING (asset)
    WHERE h.first_date <= o.known_until
    UNION ALL
    SELECT asked, asked, asked, DATE '0001-01-01', known_until
    FROM asked
    WHERE asked NOT IN (SELECT asked FROM holders)
)
SELECT
    t.asked,
    t.asset,
    t.ticker,
    CASE WHEN t.first_date = DATE '0001-01-01' THEN coalesce(h.last_date + 1, t.first_date) ELSE t.first_date END AS first_date,
    t.last_date
FROM told AS t
ASOF LEFT JOIN workbench.kept_handovers AS h ON h.ticker = t.ticker AND h.last_date < t.last_date
