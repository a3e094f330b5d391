"""Functions that make long values of short ones, or compare each letter with each: DuckDB counts them to no limit, and stops none of them."""

from collections.abc import Iterator

import pytest

from workbench.errors import NotAllowed
from workbench.query.guarded.gate import Gate
from workbench.query.guarded.names import names

ENDLESS = [
    "SELECT length(repeat(repeat('x', 100000), 100000))",
    "SELECT length(repeat(repeat(a, 1000), 1000)) FROM (SELECT 'x' AS a)",
    "SELECT length(replace(repeat('a', 100000), 'a', repeat('b', 20000)))",
    "SELECT length(replace(replace(repeat('a', 10000), 'a', 'bbbbbbbb'), 'b', 'cccccccc'))",
    "SELECT length(regexp_replace(repeat('a', 50000), 'a', 'bbbbbbbbb', 'g'))",
    "SELECT length(format('{:{}}', 'x', 2000000000))",
    "SELECT length(printf('%*d', 2000000000, 1))",
    "SELECT length(printf('%-*d', 2000000000, 1))",
    "SELECT len(list_reduce(list_transform(range(32), lambda x: [x]), lambda a, b: a || a))",
    "SELECT length(list_reduce(['a', 'b'], lambda a, b: concat(a, a)))",
    "SELECT len(list_transform(range(10000), lambda x: range(10000)))",
    "SELECT len(range(x)) FROM (SELECT 100000000 AS x)",
    "SELECT len(range(1::BIGINT << 30))",
    "SELECT len(generate_series(TIMESTAMP '1900-01-01', TIMESTAMP '2100-01-01', INTERVAL 1 MILLISECOND))",
    "SELECT array_to_string(list_resize(['a'], 100000, 'x'), repeat('y', 10000))",
    "SELECT damerau_levenshtein(repeat('a', 20000), repeat('b', 20000))",
    "SELECT levenshtein(a, b) FROM (SELECT string_agg(ticker) AS a, string_agg(ticker) AS b FROM stock_day)",
    f"SELECT length(a) FROM (SELECT {'||'.join(['a'] * 60)} AS a FROM (SELECT 'aa' AS a))",
    "SELECT ticker.repeat(2000000000) FROM stock_day",
    "SELECT ticker.format('{:9}') FROM stock_day",
]
PLAIN = [
    "SELECT repeat('*', least(close / 10, 100)::INT), lpad(ticker, 20, ' '), rpad(ticker, least(length(ticker), 9), ' ') FROM stock_day",
    "SELECT replace(replace(ticker, '.', '-'), ' ', ''), regexp_replace(ticker, '[^A-Z]', '', 'g'), replace(ticker, '/', '_slash_') FROM stock_day",
    "SELECT printf('%-10s %8.2f', ticker, close), format('{:,} {:>10.2f}', volume, close) FROM stock_day",
    "SELECT unnest(generate_series(min(date), max(date), INTERVAL 1 DAY)) FROM stock_day",
    "SELECT unnest(range(DATE '2025-01-01', DATE '2026-01-01', INTERVAL 1 WEEK))",
    "SELECT * FROM range(TIMESTAMP '2025-01-02 09:30:00', TIMESTAMP '2025-01-02 16:00:00', INTERVAL 1 MINUTE)",
    "SELECT list_transform(range(len(l)), lambda i: l[i + 1]) FROM (SELECT list(close) AS l FROM stock_day)",
    "SELECT list_reduce([1, 2, 3], lambda a, b: a * (1 + b)), list_reduce([1, 2], lambda a, b: greatest(a, b))",
    "SELECT ticker || '-' || date || '-' || source || ' ' || close, concat_ws('/', ticker, date, source) FROM stock_day",
    f"SELECT {'||'.join(f'a{n}' for n in range(40))} FROM stock_day",
    "SELECT levenshtein(left(ticker, 10), 'AAPL') FROM stock_day",
    "SELECT ticker.lower(), close.round(2), ticker.lower().upper() FROM stock_day",
    "SELECT array_to_string(list(ticker), ', ') FROM stock_day",
]


@pytest.fixture(scope="module")
def gate() -> Iterator[Gate]:
    made = Gate()
    yield made
    made.close()


@pytest.mark.parametrize("query", ENDLESS)
def test_what_could_be_of_any_length_is_not_run(gate: Gate, query: str) -> None:
    with pytest.raises(NotAllowed, match="nothing was run"):
        gate.check(query, names(None, ()))


@pytest.mark.parametrize("query", PLAIN)
def test_what_analysts_write_is_run(gate: Gate, query: str) -> None:
    gate.check(query, names(None, ()))


@pytest.mark.parametrize("query", ["SELECT workbench.upper('a')", "SELECT kraken_bot.lower('a')", "SELECT information_schema.lower('a')"])
def test_a_function_of_a_schema_is_none_of_a_column(gate: Gate, query: str) -> None:
    with pytest.raises(NotAllowed, match="without a schema"):
        gate.check(query, names(None, ()))
