-- How each version of a strategy did in each UTC month: computed from the trades of production and the signals that they came from, joined with what
-- people imported.
--
-- A trade counts for every strategy that said in its signal what the signal came to be (`final_signal`), wholly for each: sums over strategies are more
-- than what was made. Counted are trades that closed some of a position, by running average cost for each symbol, with fees taken off: a profit is a win,
-- a loss a loss, neither neutral. Trades without a signal, and those that never came to pass by their `status`, are no strategy's; nor are test rows.
-- `strategy_version` is the trade's, else its signal's, else unknown. `max_drawdown` is the deepest fall, as a share of its high, of what one unit of
-- money became that went into each of the month's trades in turn. `sharpe` is of what was realised by UTC day, from the first to the last that closed
-- something: mean over deviation, times the root of 365; NULL of less than two days or without deviation. `created_at` and `updated_at` are when the first
-- and the last of its trades were written. Of each key the row that people wrote shows, not the computed one; a test's shows beside it.
--
-- Example: SELECT strategy, sum(trades) AS trades, sum(total_pnl) AS pnl FROM kraken_bot.strategy_performance GROUP BY strategy ORDER BY pnl DESC
WITH
attributed AS (
    SELECT
        unnest(map_keys(map_from_entries(list_filter(map_entries(s.strategies), lambda one: one.value.signal = s.final_signal)))) AS strategy,
        coalesce(f.strategy_version, s.strategy_version, 'unknown') AS strategy_version,
        date_trunc('month', f.date)::DATE AS month,
        f.date,
        f.executed_at,
        f.trade_id,
        f.created_at,
        f.realized,
        -- What the closed part had cost, or brought if sold short.
        f.realized::DOUBLE / nullif(f.average_price * f.closed::DOUBLE, 0) AS gain
    FROM workbench.kraken_fills AS f
    INNER JOIN kraken_bot.prod_signals AS s ON s.id = f.signal_id
    WHERE f.closed IS NOT NULL
),
of_days AS (
    SELECT strategy, strategy_version, month, date, sum(realized) AS gained
    FROM attributed
    GROUP BY strategy, strategy_version, month, date
),
steadiness AS (
    SELECT
        strategy,
        strategy_version,
        month,
        date_diff('day', min(date), max(date)) + 1 AS days,
        any_value(mean_of_days) AS mean,
        -- Days without a trade gained nothing.
        sqrt((sum((gained::DOUBLE - mean_of_days) ** 2 ORDER BY date) + (days - count(*)) * any_value(mean_of_days) ** 2) / nullif(days - 1, 0)) AS deviation
    FROM (
        SELECT
            *,
            (sum(gained) OVER one)::DOUBLE / (date_diff('day', min(date) OVER one, max(date) OVER one) + 1) AS mean_of_days
        FROM of_days
        WINDOW one AS (PARTITION BY strategy, strategy_version, month)
    )
    GROUP BY strategy, strategy_version, month
),
grown AS (
    SELECT *, product(greatest(1 + gain, 0)) OVER (PARTITION BY strategy, strategy_version, month ORDER BY executed_at, trade_id) AS worth
    FROM attributed
),
fallen AS (
    SELECT *, greatest(max(worth) OVER (PARTITION BY strategy, strategy_version, month ORDER BY executed_at, trade_id), 1) AS high
    FROM grown
),
computed AS (
    SELECT
        f.strategy,
        f.strategy_version,
        f.month::TIMESTAMP AT TIME ZONE 'UTC' AS period_start,
        count(*) AS trades,
        count(*) FILTER (f.realized > 0) AS wins,
        count(*) FILTER (f.realized < 0) AS losses,
        count(*) FILTER (f.realized = 0) AS neutral,
        wins / trades AS win_rate,
        TRY_CAST(sum(f.realized) AS DECIMAL(20, 8)) AS total_pnl,
        TRY_CAST(avg(f.realized) AS DECIMAL(20, 8)) AS average_pnl,
        max((f.high - f.worth) / f.high) AS max_drawdown,
        any_value(s.mean) / nullif(any_value(s.deviation), 0) * sqrt(365) AS sharpe,
        max(f.created_at) AS updated_at,
        min(f.created_at) AS created_at
    FROM fallen AS f
    INNER JOIN steadiness AS s ON s.strategy = f.strategy AND s.strategy_version = f.strategy_version AND s.month = f.month
    GROUP BY f.strategy, f.strategy_version, f.month
)
SELECT
    c.strategy,
    c.strategy_version,
    c.period_start,
    c.trades,
    c.wins,
    c.losses,
    c.neutral,
    c.win_rate,
    c.total_pnl,
    c.average_pnl,
    c.max_drawdown,
    c.sharpe,
    c.updated_at,
    false AS test_mode,
    NULL::VARCHAR AS test_reason,
    NULL::VARCHAR AS bot_version,
    c.created_at,
    NULL::VARCHAR AS loaded_from
FROM computed AS c
ANTI JOIN imported.kraken_bot_strategy_performance AS i
    ON NOT i.test_mode AND i.strategy = c.strategy AND i.strategy_version = c.strategy_version AND i.period_start = c.period_start
UNION ALL
SELECT
    i.strategy,
    i.strategy_version,
    i.period_start,
    i.trades,
    i.wins,
    i.losses,
    i.neutral,
    i.win_rate,
    i.total_pnl,
    i.average_pnl,
    i.max_drawdown,
    i.sharpe,
    i.updated_at,
    i.test_mode,
    i.test_reason,
    i.bot_version,
    i.created_at,
    i.loaded_from
FROM imported.kraken_bot_strategy_performance AS i
