-- What the condition ids of stock trades let a trade do to the consolidated high and low, open and close, and volume.
--
-- A trade counts towards one of these only if every one of its conditions allows it; one without conditions counts towards all, and ids that are
-- not here are left aside. NULL: the vendor gives no rule, and the id changes nothing. Ids of quotes overlap with these and mean other things.
-- `source` is workbench for the vendor's table as it was written down with this version; ids that it lacks come from the lake's `conditions`.
--
-- Example: SELECT id, name FROM trade_conditions WHERE NOT updates_high_low ORDER BY id
WITH ours(id, name, updates_high_low, updates_open_close, updates_volume, legacy) AS (
    VALUES
    (1, 'Acquisition', true, true, true, false),
    (2, 'Average Price Trade', false, false, true, false),
    (3, 'Automatic Execution', true, true, true, false),
    (4, 'Bunched Trade', true, true, true, false),
    (5, 'Bunched Sold Trade', true, false, true, false),
    (6, 'CAP Election', true, true, true, true),
    (7, 'Cash Sale', false, false, true, false),
    (8, 'Closing Prints', true, true, true, false),
    (9, 'Cross Trade', true, true, true, false),
    (10, 'Derivatively Priced', true, false, true, false),
    (11, 'Distribution', true, true, true, false),
    (12, 'Form T', false, false, true, false),
    (13, 'Extended Hours (Sold Out of Sequence)', false, false, true, false),
    (14, 'Intermarket Sweep', true, true, true, false),
    (15, 'Market Center Official Close', false, false, false, false),
    (16, 'Market Center Official Open', false, false, false, false),
    (17, 'Market Center Opening Trade', true, false, true, false),
    (18, 'Market Center Reopening Trade', true, true, true, false),
    (19, 'Market Center Closing Trade', true, true, true, false),
    (20, 'Next Day', false, false, true, false),
    (21, 'Price Variation Trade', false, false, true, false),
    (22, 'Prior Reference Price', true, false, true, false),
    (23, 'Rule 155 Trade (AMEX)', true, true, true, false),
    (24, 'Rule 127 (NYSE Only)', true, true, true, false),
    (25, 'Opening Prints', true, true, true, false),
    (27, 'Stopped Stock (Regular Trade)', true, true, true, true),
    (28, 'Re-Opening Prints', true, true, true, false),
    (29, 'Seller', false, false, true, false),
    (30, 'Sold Last', true, true, true, false),
    (31, 'Sold Last and Stopped Stock', true, true, true, true),
    (32, 'Sold (Out of Sequence)', true, false, true, false),
    (33, 'Sold (Out of Sequence) and Stopped Stock', true, false, true, true),
    (34, 'Split Trade', true, true, true, false),
    (35, 'Stock Option', true, true, true, true),
    (36, 'Yellow Flag Regular Trade', true, true, true, false),
    (37, 'Odd Lot Trade', false, false, true, false),
    (38, 'Corrected Consolidated Close', true, true, false, false),
    (41, 'Trade Thru Exempt', NULL, NULL, NULL, false),
    (52, 'Contingent Trade', false, false, true, false),
    (53, 'Qualified Contingent Trade', false, false, true, false),
    (55, 'Opening Reopening Trade Detail', true, true, true, true),
    (57, 'Short Sale Restriction Activated', NULL, NULL, NULL, false),
    (58, 'Short Sale Restriction Continued', NULL, NULL, NULL, false),
    (59, 'Short Sale Restriction Deactivated', NULL, NULL, NULL, false),
    (60, 'Short Sale Restriction In Effect', NULL, NULL, NULL, false),
    (62, 'Financial Status: Bankrupt', NULL, NULL, NULL, false),
    (63, 'Financial Status: Deficient', NULL, NULL, NULL, false),
    (64, 'Financial Status: Delinquent', NULL, NULL, NULL, false),
    (65, 'Financial Status: Bankrupt and Deficient', NULL, NULL, NULL, false),
    (66, 'Financial Status: Bankrupt and Delinquent', NULL, NULL, NULL, false),
    (67, 'Financial Status: Deficient and Delinquent', NULL, NULL, NULL, false),
    (68, 'Financial Status: Deficient, Delinquent and Bankrupt', NULL, NULL, NULL, false),
    (69, 'Financial Status: Liquidation', NULL, NULL, NULL, false),
    (70, 'Financial Status: Creations Suspended', NULL, NULL, NULL, false),
    (71, 'Financial Status: Redemptions Suspended', NULL, NULL, NULL, false)
)

SELECT id, name, updates_high_low, updates_open_close, updates_volume, legacy, 'workbench' AS source
FROM ours
UNION ALL
SELECT
    id,
    any_value(name),
    bool_and(updates_high_low),
    bool_and(updates_open_close),
    bool_and(updates_volume),
    bool_or(coalesce(legacy, false)),
    any_value(source)
FROM main.conditions
WHERE asset_class = 'stocks' AND data_type = 'trade' AND id NOT IN (SELECT id FROM ours)
GROUP BY id
