-- How many times the smaller of two prices the larger is, 1 or more; NULL where one is not above zero, or no number.
--
-- Example: SELECT times_apart(92.42, 645.57)
CREATE OR REPLACE MACRO main.times_apart(one_price, other_price) AS
    CASE WHEN one_price > 0 AND other_price > 0 AND isfinite(one_price) AND isfinite(other_price)
        THEN greatest(one_price / other_price, other_price / one_price) END
