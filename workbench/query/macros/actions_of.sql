-- The splits and dividends of some tickers up to a day (default: today), and what each does to bars before its date: prices are multiplied by `price_factor`,
-- volumes by `volume_factor`. With `along`, those of the symbols that their assets had before are theirs, too.
--
-- `asked` is the ticker that the action counts for, `listed_as` the one that the source lists it under. Bars from `since` on and before `date` are meant:
-- earlier ones are of another company. What does not apply has factors of 1, and `reason` says why.
--
-- A split of 7 for 1 divides the prices before its date by 7 and multiplies the volumes. A dividend multiplies the prices before its ex-date by 1 - D/P: D is
-- the sum of the date's payments, in the shares of that date, and P the last close as traded before it, of at most 10 days earlier, brought over the splits
-- between. The factors of one date's payments multiply to that. A dividend does nothing if its currency is not USD, if no such close is in the lake, or if it is
-- no less than the close.
--
-- Example: SELECT * FROM actions_of(['AAPL', 'IBM'], as_of_date := '2014-12-31')
-- Example: SELECT * FROM actions_of(['GOOGL'], along := true)
CREATE OR REPLACE MACRO main.actions_of(symbols, as_of_date := NULL, along := false) AS TABLE
WITH
known AS (SELECT coalesce(as_of_date::DATE, (SELECT day FROM workbench.known_day)) AS until_day),
-- Whose bars and closes are an asked ticker's, and when.
spells AS (
    SELECT DISTINCT unnest(symbols) AS asked, unnest(symbols) AS ticker, DATE '0001-01-01' AS first_date, DATE '9999-12-31' AS last_date
    WHERE NOT along
    UNION ALL
    SELECT asked, ticker, first_date, last_date
    FROM main.spells_of(symbols, as_of_date := as_of_date)
    WHERE along
),
-- Under which symbols a source may list its actions, and when. That of a change of symbols may stand under the old one.
listings AS (
    SELECT asked, ticker, first_date, last_date FROM spells
    UNION ALL
    SELECT s.asked, s.ticker, s.last_date + 1, s.last_date + 1
    FROM spells AS s
    WHERE along AND NOT EXISTS (FROM workbench.kept_history AS h WHERE h.ticker = s.ticker AND s.last_date + 1 BETWEEN h.first_date AND h.last_date)
    UNION ALL
    -- Or under the symbol that the asset has now, whenever it was; not while the symbol was another's.
    SELECT s.asked, s.asked, greatest(min(s.first_date), coalesce(max(h.last_date) + 1, DATE '0001-01-01')), max(s.last_date)
    FROM spells AS s
    LEFT JOIN workbench.kept_handovers AS h ON h.ticker = s.asked
    WHERE along
    GROUP BY s.asked
),
splits AS (
    SELECT DISTINCT l.asked, f.ticker, f.date, CASE WHEN NOT along THEN f.since ELSE DATE '0001-01-01' END AS since,
        f.told, f.price_factor, f.volume_factor, f.reason, f.verdict
    FROM workbench.kept_splits AS f
    INNER JOIN listings AS l ON l.ticker = f.ticker AND f.date BETWEEN l.first_date AND l.last_date
    WHERE (along OR list_contains(symbols, f.ticker)) AND f.date <= (SELECT until_day FROM known)
),
-- A split that stands under two of an asset's symbols counts once.
counted AS (
    SELECT * REPLACE (
        CASE
            WHEN reason IS NULL AND row_number() OVER (PARTITION BY asked, date ORDER BY reason IS NOT NULL, ticker <> asked, ticker) > 1
                THEN 'it is listed under another symbol, too'
            ELSE reason
        END AS reason
    )
    FROM splits
),
payments AS (
    SELECT DISTINCT l.asked, d.ticker, d.ex_dividend_date AS date, d.cash_amount, d.currency,
        CASE WHEN NOT along THEN coalesce(h.last_date + 1, DATE '0001-01-01') ELSE DATE '0001-01-01' END AS since,
        CASE
            WHEN d.currency <> 'USD' THEN 'it is paid in ' || d.currency || ', and prices are in USD'
            WHEN NOT (d.cash_amount > 0 AND isfinite(d.cash_amount)) THEN 'its amount is not above zero'
        END AS reason
    FROM main.dividends AS d
    INNER JOIN listings AS l ON l.ticker = d.ticker AND d.ex_dividend_date BETWEEN l.first_date AND l.last_date
    ASOF LEFT JOIN workbench.kept_handovers AS h ON h.ticker = d.ticker AND h.last_date < d.ex_dividend_date
    WHERE (along OR list_contains(symbols, d.ticker)) AND d.ex_dividend_date <= (SELECT until_day FROM known)
),
-- So do the payments of a day.
once AS (
    SELECT * REPLACE (CASE WHEN reason IS NULL AND ticker <> first_listed THEN 'it is listed under another symbol, too' ELSE reason END AS reason)
    FROM (
        SELECT
            *,
            first_value(ticker) OVER (PARTITION BY asked, date ORDER BY reason IS NOT NULL, ticker <> asked, ticker) AS first_listed
        FROM payments
    )
),
closes AS (
    SELECT s.asked, b.date, b.close * coalesce(y.price_factor, 1) AS close
    FROM main.stock_day AS b
    INNER JOIN spells AS s ON s.ticker = b.ticker AND b.date BETWEEN s.first_date AND s.last_date
    LEFT JOIN workbench.kept_yahoo AS y ON y.ticker = b.ticker AND y.date = b.date AND y.base_table = 'stock_day' AND b.source = 'yahoo'
    WHERE (along OR list_contains(symbols, b.ticker)) AND b.close > 0
),
ex_dates AS (
    SELECT p.asked, p.date, p.since, c.close * coalesce(product(f.price_factor), 1) AS close
    FROM (SELECT DISTINCT asked, date, since FROM once WHERE reason IS NULL) AS p
    ASOF LEFT JOIN closes AS c ON c.asked = p.asked AND c.date < p.date
    LEFT JOIN counted AS f ON f.asked = p.asked AND f.reason IS NULL AND f.date > c.date AND f.date <= p.date
    WHERE c.date >= greatest(p.date - 10, p.since)
    GROUP BY p.asked, p.date, p.since, c.close
),
-- What the payments of a date have come to, with each of them.
dividends AS (
    SELECT
        o.*,
        e.close,
        sum(o.cash_amount) FILTER (o.reason IS NULL) OVER (PARTITION BY o.asked, o.date) AS whole,
        sum(o.cash_amount) FILTER (o.reason IS NULL) OVER (PARTITION BY o.asked, o.date ORDER BY o.cash_amount, o.ticker ROWS UNBOUNDED PRECEDING) AS so_far
    FROM once AS o
    LEFT JOIN ex_dates AS e ON e.asked = o.asked AND e.date = o.date
),
judged AS (
    SELECT * REPLACE (
        CASE
            WHEN reason IS NOT NULL THEN reason
            WHEN close IS NULL THEN 'no close of the 10 days before it is in stock_day'
            WHEN whole >= close THEN printf('the payments of its date, %.10g USD, are no less than the close before, %.10g', whole, close)
        END AS reason
    )
    FROM dividends
)
SELECT asked, ticker AS listed_as, date, 'split' AS kind, told, since,
    CASE WHEN reason IS NULL THEN price_factor ELSE 1 END AS price_factor,
    CASE WHEN reason IS NULL THEN volume_factor ELSE 1 END AS volume_factor,
    reason IS NULL AS applies, reason, verdict
FROM counted
UNION ALL
SELECT asked, ticker, date, 'dividend', printf('%.10g %s', cash_amount, coalesce(currency, 'USD')),
    since,
    CASE WHEN reason IS NULL THEN (1 - so_far / close) / (1 - (so_far - cash_amount) / close) ELSE 1 END, 1,
    reason IS NULL, reason, NULL
FROM judged
