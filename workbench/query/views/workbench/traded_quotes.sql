-- Quotes of stocks that `transactional.trades` names, of the days from the first order to the last trade. `told_by` puts them in their order.
--
-- Made of: workbench.fills
SELECT
    b.ticker,
    b.date,
    b.sip_timestamp::HUGEINT * 18446744073709551616 + b.sequence_number AS told_by,
    b.bid_price,
    b.ask_price
FROM main.stock_quotes AS b
