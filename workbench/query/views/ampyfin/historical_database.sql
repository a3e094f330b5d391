-- The history of each stock in one row, as the collection HistoricalDatabase kept it: arrays of equal length, in the order of the dates.
--
-- From the day bars of the base table stock_day, as traded; `dates` are dates, which print as the texts did. Name a ticker: without one, every bar of the lake is read. `_id` derives
-- from the ticker, `last_updated` is when the newest of its sessions was landed. Of imported rows those show whose ticker the lake has no bar of.
--
-- Example: SELECT ticker, data.dates[-1] AS newest, data.close[-1] AS close FROM ampyfin.historical_database WHERE ticker = 'AAPL'
-- Example: SELECT unnest(data.dates) AS date, unnest(data.close) AS close FROM ampyfin.historical_database WHERE ticker = 'AAPL' LIMIT 10
SELECT
    left(md5(h.ticker), 24) AS _id,
    h.ticker,
    struct_pack(
        dates := list_transform(h.bars, lambda bar: bar.date),
        "open" := list_transform(h.bars, lambda bar: bar.open),
        high := list_transform(h.bars, lambda bar: bar.high),
        low := list_transform(h.bars, lambda bar: bar.low),
        "close" := list_transform(h.bars, lambda bar: bar.close),
        volume := list_transform(h.bars, lambda bar: bar.volume)
    ) AS data,
    h.last_updated
FROM (
    SELECT
        b.ticker,
        list(
            struct_pack(date := b.date, "open" := b.open, high := b.high, low := b.low, "close" := b.close, volume := b.volume) ORDER BY b.date
        ) AS bars,
        max((SELECT updated FROM workbench.landed_times WHERE base_table = 'stock_day')[b.date - DATE '1989-12-31']) AS last_updated
    FROM main.stock_day AS b
    GROUP BY b.ticker
) AS h
UNION ALL
SELECT i._id, i.ticker, i.data, i.last_updated
FROM imported.ampyfin_historical_database AS i
LEFT JOIN (SELECT DISTINCT ticker FROM main.stock_day) AS b ON b.ticker = i.ticker
WHERE b.ticker IS NULL
