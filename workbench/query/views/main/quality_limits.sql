-- The limits of the checks of quality, each with its reason; what lies beyond one is told, never changed.
--
-- Example: SELECT name, value, unit FROM quality_limits ORDER BY name
SELECT name, value, unit, why
FROM (VALUES
    ('move', 2.0, 'times', 'From one bar to the next a share seldom doubles or halves: exchanges pause trading long before, and most that do are errors or news.'),
    ('move_step', 0.10, 'USD', 'Of a share that costs cents a single tick is half its price: a smaller step is never told. Of stocks only.'),
    ('move_days', 10.0, 'days', 'A close that is older says nothing of the next price: a halted share, or sessions that are not in the lake.'),
    ('split_tolerance', 1.25, 'times', 'The move of a day besides its split, as the verdicts of splits allow it.'),
    ('split_plain', 1.5, 'times', 'The price before a smaller split cannot be told from the price after it.'),
    ('stale_sessions', 5.0, 'sessions', 'Five sessions with the same four prices, and volume, are a copy sooner than a market.'),
    ('stale_minutes', 60.0, 'bars', 'An hour of minutes at one price in a session, with volume; a fund near its maturity may stand so.'),
    ('sum_above', 1.10, 'times', 'Volume of minutes over that of the day: by the rules at most 1; with day bars of the regular session only, 1.00 to 1.05 was measured.'),
    ('sum_below', 0.50, 'times', 'Minutes in which no trade may set a price have no bar, and their volume is in the day only: much, where odd lots prevail.'),
    ('sum_least', 10000.0, 'shares', 'A day of less says nothing by its sum: one block without a price is half of it.'),
    ('day_range', 0.005, 'share', 'How far regular minutes may leave the day''s high and low: up to 0.0004 was measured, from late corrections.'),
    ('day_ends', 0.01, 'share', 'How far open and close of the day may be from the regular minutes'': auctions set the day''s. 0 was measured.'),
    ('degraded_wrong', 0.001, 'share', 'A session with more rows than this that cannot be right is degraded: a bad file, not a bad print.'),
    ('degraded_odd', 0.05, 'share', 'A session with more rows than this that look odd is degraded: markets are odd here and there, not throughout.'),
    ('built_volume', 0.95, 'share', 'Trades make the volume of 99 % of the minutes even without sale conditions; where they make less, some are lacking.'),
    ('looked_at', 500.0, 'tickers', 'So many of a session are looked at bar by bar, the widest ranges first; of the rest only their range is told: then the file is bad.')
) AS limits(name, value, unit, why)
