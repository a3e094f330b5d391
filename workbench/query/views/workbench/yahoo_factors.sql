-- What brings a bar of Yahoo's back to the prices and volumes of its own day: prices times `price_factor`, volumes times `volume_factor`.
--
-- Yahoo's bars have the splits in them that were executed after their session and up to the day on which they were landed (`yahoo_basis`). Only bars that
-- such a split changed have a row, and only rows of a base table whose source is yahoo are meant.
SELECT
    y.base_table,
    s.ticker,
    y.date,
    product(s.volume_factor) AS price_factor,
    product(s.price_factor) AS volume_factor
FROM workbench.kept_splits AS s
INNER JOIN workbench.yahoo_basis AS y ON y.date < s.date AND s.date <= y.basis
WHERE s.applies
GROUP BY y.base_table, s.ticker, y.date
