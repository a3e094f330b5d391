-- Strategies by rank, the best first, each with the weight of its rank: by points, then by the value of the portfolio, then by name.
--
-- The document keeps points and weights; the rank follows from the one and leads to the other. `coefficient` is NULL of a rank that has none.
--
-- Example: SELECT rank, strategy, total_points, coefficient FROM ampyfin.strategy_ranks ORDER BY rank
SELECT r.rank, r.strategy, r.total_points, r.portfolio_value, c.coefficient
FROM (
    SELECT
        row_number() OVER (ORDER BY p.total_points DESC, h.portfolio_value DESC NULLS LAST, p.strategy) AS rank,
        p.strategy,
        p.total_points,
        h.portfolio_value
    FROM ampyfin.points_tally AS p
    LEFT JOIN ampyfin.algorithm_holdings AS h ON h.strategy = p.strategy
) AS r
LEFT JOIN ampyfin.rank_to_coefficient AS c ON c.rank = r.rank
