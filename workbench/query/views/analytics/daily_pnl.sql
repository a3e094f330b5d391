-- Profit and loss of each user by day and portfolio: computed from `transactional.trades` and the closes of stock_day, joined with what people imported.
--
-- Realised profit is by running average cost, for each portfolio and symbol: a trade that closes some of a position realises what it brought less that
-- share of the position's cost. Fees, of opening and of closing, are taken off it; `fees`, what was paid that day, is not to be taken off again. What is
-- open at the end of a day is worth that day's close in that day's shares, splits included, or the last close of the five sessions before;
-- `unrealized_pnl` and `total_pnl` are NULL if any of it has none. What has more digits than a column holds is NULL, too. `unrealized_pnl` is what has
-- been gained since it was opened, not on the day: it does not add up over days. There is a row for every session in New York, up to the newest that
-- stock_day holds, at whose end something was open, and for each day with a trade. `portfolio_id` is 0 where orders name none, so that portfolios add up.
-- Of each key the row that people wrote shows, not the computed one; one of theirs of portfolio 0, which is of all of them, hides all that is computed of
-- the user's day.
--
-- Example: SELECT date, sum(realized_pnl) AS realized, sum(unrealized_pnl) AS unrealized FROM analytics.daily_pnl WHERE user_id = 1 GROUP BY date ORDER BY date
WITH
traded AS (
    SELECT
        user_id,
        portfolio_id,
        date,
        CASE WHEN count(closed) = count(realized) THEN coalesce(sum(realized), 0) END AS realized,
        sum(fee) AS fees,
        sum(TRY_CAST(quantity::DOUBLE * price::DOUBLE AS DECIMAL(38, 8))) AS turnover
    FROM workbench.fills
    WHERE user_id IS NOT NULL
    GROUP BY user_id, portfolio_id, date
),
-- Sessions, and other days on which somebody traded, each with the number of sessions up to it.
days AS (
    SELECT date, is_session, row_number() OVER (ORDER BY date) AS n, sum(is_session::INTEGER) OVER (ORDER BY date) AS sessions
    FROM (
        SELECT date, true AS is_session
        FROM main.market_sessions
        WHERE calendar = 'XNYS'
            AND date BETWEEN (SELECT min(date) - 21 FROM traded)
            AND (
                SELECT greatest(max(date), (SELECT max(date) FROM workbench.held_sessions WHERE base_table = 'stock_day')) FROM traded
            )
        UNION ALL
        SELECT DISTINCT date, false FROM traded ANTI JOIN main.market_sessions AS s ON s.calendar = 'XNYS' AND s.date = traded.date
    )
),
-- Until when a portfolio's days are told: the newest session held, or its own last trade.
told AS (
    SELECT
        user_id,
        portfolio_id,
        greatest(max(date), (SELECT max(date) FROM workbench.held_sessions WHERE base_table = 'stock_day')) AS last
    FROM traded
    GROUP BY user_id, portfolio_id
),
spans AS (
    SELECT h.*, least(h.until, t.last + 1) AS before
    FROM workbench.held_positions AS h
    INNER JOIN told AS t ON t.user_id = h.user_id AND t.portfolio_id = h.portfolio_id
),
begun AS (
    SELECT s.*, d.n AS first
    FROM spans AS s
    ASOF INNER JOIN days AS d ON s.since <= d.date
),
open_days AS (
    SELECT b.*, unnest(range(b.first, coalesce(e.n + 1, b.first))) AS n
    FROM begun AS b
    ASOF LEFT JOIN days AS e ON b.before > e.date
),
days_of_users AS (
    SELECT u.user_id, d.n, d.date
    FROM (SELECT DISTINCT user_id FROM traded) AS u
    CROSS JOIN (FROM days WHERE is_session) AS d
    UNION ALL
    SELECT DISTINCT t.user_id, d.n, d.date
    FROM traded AS t
    INNER JOIN (FROM days WHERE NOT is_session) AS d ON d.date = t.date
),
-- What a share is worth on a day. Closes are in today's shares, and brought back to those of the day.
closes AS (
    SELECT c.ticker, c.date, c.close, d.sessions
    FROM workbench.traded_closes AS c
    INNER JOIN days AS d ON d.date = c.date
),
prices AS (
    SELECT h.symbol, d.n, CASE WHEN d.sessions - c.sessions <= 5 THEN c.close END / coalesce(s.price_factor, 1) AS price
    FROM (SELECT DISTINCT symbol FROM workbench.held_positions) AS h
    CROSS JOIN days AS d
    ASOF INNER JOIN closes AS c ON c.ticker = h.symbol AND d.date >= c.date
    LEFT JOIN workbench.split_spans AS s ON s.ticker = h.symbol AND d.date >= s.since AND d.date < s.until
),
valued AS (
    SELECT
        o.user_id,
        o.portfolio_id,
        d.date,
        -- Sums of decimals are the same in any order.
        o.cash + TRY_CAST(o.quantity::DOUBLE * p.price AS DECIMAL(38, 8)) AS gained
    FROM open_days AS o
    INNER JOIN days_of_users AS d ON d.user_id = o.user_id AND d.n = o.n
    LEFT JOIN prices AS p ON p.symbol = o.symbol AND p.n = o.n
),
unrealized AS (
    SELECT user_id, portfolio_id, date, CASE WHEN count(*) = count(gained) THEN sum(gained) END AS gained
    FROM valued
    GROUP BY user_id, portfolio_id, date
),
computed AS (
    SELECT
        coalesce(t.user_id, u.user_id) AS user_id,
        coalesce(t.date, u.date) AS date,
        coalesce(t.portfolio_id, u.portfolio_id) AS portfolio_id,
        CASE WHEN t.date IS NULL THEN 0 ELSE TRY_CAST(t.realized AS DECIMAL(20, 8)) END AS realized_pnl,
        CASE WHEN u.date IS NULL THEN 0 ELSE TRY_CAST(u.gained AS DECIMAL(20, 8)) END AS unrealized_pnl,
        TRY_CAST(coalesce(t.fees, 0) AS DECIMAL(20, 8)) AS fees,
        CASE WHEN t.date IS NULL THEN 0 ELSE TRY_CAST(t.turnover AS DECIMAL(20, 8)) END AS turnover
    FROM traded AS t
    FULL JOIN unrealized AS u ON u.user_id = t.user_id AND u.portfolio_id = t.portfolio_id AND u.date = t.date
)
SELECT
    c.user_id,
    c.date,
    c.portfolio_id,
    c.realized_pnl,
    c.unrealized_pnl,
    TRY_CAST(c.realized_pnl + c.unrealized_pnl AS DECIMAL(20, 8)) AS total_pnl,
    c.fees,
    c.turnover
FROM computed AS c
ANTI JOIN imported.analytics_daily_pnl AS i ON i.user_id = c.user_id AND i.date = c.date AND (i.portfolio_id = c.portfolio_id OR i.portfolio_id = 0)
UNION ALL
SELECT i.user_id, i.date, i.portfolio_id, i.realized_pnl, i.unrealized_pnl, i.total_pnl, i.fees, i.turnover
FROM imported.analytics_daily_pnl AS i
