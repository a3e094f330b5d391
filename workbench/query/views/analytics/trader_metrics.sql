-- How each trader did in each calendar month: computed from `transactional.trades` and what `analytics.daily_pnl` shows, joined with what people imported.
--
-- `trades` counts those that closed some of a position, whose profits, by running average cost for each portfolio and symbol and with fees taken off, are
-- what `win_rate` and the averages are of; `average_loss` is positive, and `profit_factor` NULL without a loss. `sharpe` and `sortino` are of what the
-- user gained from day to day, realised or not, of the days that `analytics.daily_pnl` tells of: mean over deviation (of losses, in `sortino`), times the
-- root of 252; NULL of less than two days or without deviation. `max_drawdown` is the deepest fall, within the month, of the cash of the user's
-- portfolios, taken as what was there before the first trade, and all gained since; as a share of the high that it fell from, NULL if that was never above
-- zero. Of each key the row that people wrote shows, not the computed one.
--
-- Example: SELECT period_start, trades, win_rate, profit_factor, sharpe FROM analytics.trader_metrics WHERE user_id = 1 ORDER BY period_start
WITH
of_days AS (
    SELECT
        user_id,
        date,
        sum(realized_pnl) AS realized,
        CASE WHEN count(*) = count(unrealized_pnl) THEN sum(unrealized_pnl) END AS unrealized
    FROM analytics.daily_pnl
    GROUP BY user_id, date
),
curve AS (
    SELECT
        d.user_id,
        d.date,
        (d.realized + d.unrealized - lag(d.unrealized, 1, 0) OVER in_order)::DOUBLE AS gained,
        (coalesce(p.cash, 0) + sum(d.realized) OVER in_order + d.unrealized)::DOUBLE AS worth,
        coalesce(p.cash, 0)::DOUBLE AS cash
    FROM of_days AS d
    LEFT JOIN (SELECT user_id, sum(cash) AS cash FROM transactional.portfolios GROUP BY user_id) AS p ON p.user_id = d.user_id
    WINDOW in_order AS (PARTITION BY d.user_id ORDER BY d.date)
),
-- A month's first high is what was there at the end of the one before.
highs AS (
    SELECT
        *,
        greatest(
            max(worth) OVER (PARTITION BY user_id, date_trunc('month', date) ORDER BY date),
            first_value(before) OVER (PARTITION BY user_id, date_trunc('month', date) ORDER BY date)
        ) AS high
    FROM (
        SELECT *, coalesce(last_value(worth IGNORE NULLS) OVER (PARTITION BY user_id ORDER BY date ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING), cash) AS before
        FROM curve
    )
),
of_months AS (
    SELECT
        user_id,
        date_trunc('month', date)::DATE AS month,
        avg(gained ORDER BY date) / nullif(stddev_samp(gained ORDER BY date), 0) * sqrt(252) AS sharpe,
        CASE WHEN count(gained) > 1 THEN avg(gained ORDER BY date) / nullif(sqrt(avg(least(gained, 0) ** 2 ORDER BY date)), 0) * sqrt(252) END AS sortino,
        max((high - worth) / high) FILTER (high > 0) AS max_drawdown
    FROM highs
    GROUP BY user_id, month
),
closing AS (
    SELECT
        user_id,
        date_trunc('month', date)::DATE AS month,
        count(realized) AS trades,
        count(*) FILTER (realized > 0) AS wins,
        sum(realized) FILTER (realized > 0) AS won,
        count(*) FILTER (realized < 0) AS losses,
        -sum(realized) FILTER (realized < 0) AS lost,
        sum(TRY_CAST(quantity::DOUBLE * price::DOUBLE AS DECIMAL(38, 8))) AS turnover
    FROM workbench.fills
    GROUP BY user_id, month
),
computed AS (
    SELECT
        m.user_id,
        m.month AS period_start,
        last_day(m.month) AS period_end,
        coalesce(c.trades, 0) AS trades,
        c.wins / nullif(c.trades, 0) AS win_rate,
        TRY_CAST(c.won::DOUBLE / nullif(c.wins, 0) AS DECIMAL(20, 8)) AS average_win,
        TRY_CAST(c.lost::DOUBLE / nullif(c.losses, 0) AS DECIMAL(20, 8)) AS average_loss,
        coalesce(c.won, 0)::DOUBLE / c.lost::DOUBLE AS profit_factor,
        m.sharpe,
        m.sortino,
        m.max_drawdown,
        TRY_CAST(coalesce(c.turnover, 0) AS DECIMAL(20, 8)) AS turnover
    FROM of_months AS m
    LEFT JOIN closing AS c ON c.user_id = m.user_id AND c.month = m.month
)
SELECT
    c.user_id,
    c.period_start,
    c.period_end,
    c.trades,
    c.win_rate,
    c.average_win,
    c.average_loss,
    c.profit_factor,
    c.sharpe,
    c.sortino,
    c.max_drawdown,
    c.turnover
FROM computed AS c
ANTI JOIN imported.analytics_trader_metrics AS i ON i.user_id = c.user_id AND i.period_start = c.period_start AND i.period_end = c.period_end
UNION ALL
SELECT
    i.user_id,
    i.period_start,
    i.period_end,
    i.trades,
    i.win_rate,
    i.average_win,
    i.average_loss,
    i.profit_factor,
    i.sharpe,
    i.sortino,
    i.max_drawdown,
    i.turnover
FROM imported.analytics_trader_metrics AS i
