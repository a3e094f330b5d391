"""The rules by which rows of the Kraken bot count as a test's, and how workbench.toml changes them: see `workbench.config`."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from workbench.errors import BadSetting, UnknownName
from workbench.tables.record import TestRule
from workbench.tables.test_tickers import TEST_TICKERS


def reserved() -> str:
    """The condition that a symbol is one that exchanges keep for tests, on the day of a time."""
    dated = [one for one in TEST_TICKERS if one.since or one.until]
    always = ", ".join(f"'{one.ticker}'" for one in TEST_TICKERS if one not in dated)
    parts = [f"symbol IN ({always})"]
    for one in dated:
        tests = [f"symbol = '{one.ticker}'"]
        tests += [f"timestamp >= TIMESTAMPTZ '{one.since} 00:00:00 America/New_York'"] * bool(one.since)
        tests += [f"timestamp < TIMESTAMPTZ '{one.until} 00:00:00 America/New_York' + INTERVAL 1 DAY"] * bool(one.until)
        parts.append(f"({' AND '.join(tests)})")
    return " OR ".join(parts)


NO_AMOUNT = TestRule("amount_zero", "amount = 0", "amount is 0")
LARGE_AMOUNT = TestRule("amount_above", "amount > 1000", "amount above 1000")
HIGH_PRICE = TestRule("price_above", "price > 200000", "price above 200000")
TEST_SYMBOL = TestRule("test_symbol", "symbol LIKE 'TEST%'", "symbol begins with TEST")
TEST_TICKER = TestRule("test_ticker", reserved(), "symbol that exchanges keep for tests")


def test_rules(section: Mapping[str, Any], path: Path) -> dict[str, dict[str, TestRule | None]]:
    """The rules in `[test_rules."<table>"]`, by table and name, None for one that is turned off. Raises `UnknownName` or `BadSetting`."""
    from workbench.tables.platforms import RECORDS

    tables = {name: one for name, one in RECORDS.items() if "test_mode" in one.names}
    found: dict[str, dict[str, TestRule | None]] = {}
    for table, given in section.items():
        where = f'[test_rules."{table}"] in {path}'
        if table not in tables:
            raise UnknownName("table with a test_mode", table, tables, hint=f"It stands in {where}.")
        if not isinstance(given, dict):
            raise BadSetting(f"{where} is {given!r}, but it must be a section of rules; nothing was done.")
        known = {rule.name: rule for rule in tables[table].tests}
        found[table] = {name: changed(name, told, known.get(name), where) for name, told in given.items()}
    return found


def changed(name: str, told: object, known: TestRule | None, where: str) -> TestRule | None:
    """A rule as workbench.toml has it."""
    if told is False:
        return None
    if told is True and known:
        return known
    given = {"rule": told} if isinstance(told, str) else told
    if not isinstance(given, dict) or not given.keys() <= {"rule", "reason"} or not all(isinstance(one, str) for one in given.values()):
        raise BadSetting(
            f'{name} in {where} is {told!r}; nothing was done. Write {name} = {{ rule = "amount > 500", reason = "too large" }}, or false for no rule.'
        )
    rule = given.get("rule", known.rule if known else "")
    if not rule:
        raise BadSetting(f"{name} in {where} lacks its rule, an SQL condition; nothing was done.")
    # The reason of a rule that has another condition now would say something wrong.
    return TestRule(name, rule, given.get("reason") or (known.reason if known and rule == known.rule else rule))
