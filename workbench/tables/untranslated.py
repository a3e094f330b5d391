"""What the old databases have, the documented queries do not use, and no translation knows: as written, why, and the nearest form that runs."""

UNTRANSLATED: tuple[tuple[str, str, str], ...] = (
    ("candlestick_agg(time, price, volume)", "TimescaleDB's toolkit", "first(price, time), max(price), min(price), last(price, time), sum(volume); bench.bars"),
    ("time_bucket(10, id)", "DuckDB's counts time, not whole numbers", "(id // 10) * 10"),
    ("to_char(1234.5, '9,999.99')", "strftime is for times", "format('{:,.2f}', 1234.5)"),
    ("to_char(time, 'J'), to_char(time, 'Q'), 'WW', 'TZH'", "strftime has no such pattern", "quarter(time), week(time), julian(time)"),
    ("json -> '$.a'", "PostgreSQL reads '$.a' as the name of a key", "json -> 'a', or json_extract(json, '$.a')"),
    ("round(x) of 0.5, 1.5, 2.5 as DOUBLE PRECISION", "PostgreSQL rounds a half of that type to even, DuckDB away from zero", "round_even(x, 0)"),
    ("sum(bigint) / count(*)", "PostgreSQL's sum of BIGINT is NUMERIC and divides to a fraction; here whole numbers divide to whole ones", "avg(x)"),
    ("SELECT symbol, price, max(timestamp) … GROUP BY symbol", "SQLite takes price from the row of the maximum, DuckDB refuses it", "arg_max(price, timestamp)"),
    ("CAST(column AS INTEGER) of a text that is no number", "SQLite gives 0, here it is NULL", "coalesce(TRY_CAST(column AS INTEGER), 0)"),
    ("datetime('now') as text", "SQLite's is a text in UTC, here it is a time that shows in New York", "strftime(now() AT TIME ZONE 'UTC', '%Y-%m-%d %H:%M:%S')"),
    ("json_extract(x, '$.n') > 1", "a text is compared with the number, by the number's digits", "CAST(json_extract(x, '$.n') AS DOUBLE) > 1"),
    ("CREATE TRIGGER, CREATE FUNCTION … LANGUAGE plpgsql, DO $$ … $$", "nothing runs inside the lake", "Python, with bench.append"),
)  # fmt: skip
