"""Policies, as sections of `workbench.toml` declare them: how long rows are kept, when the lake is looked after, who hears of what failed.

One of each:

    [retention.stock_minute]         # one section a table; without any, nothing is ever removed
    keep = "2 years"                 # days, weeks, months, quarters or years, counted back from today in New York
    then = "archive"                 # to ohlcv_archive; or "drop", when the coarser bars that sum the rows up are there

    [retention.stock_quotes]
    keep = "6 months"
    then = "drop"
    rollup = "none"                  # drop what nothing sums up, too

    [maintain]
    after_refresh = true             # also at the end of each refresh
    seconds = 60                     # and then begin nothing new after so long
    compact_after = "30 days"        # leave younger chunks as they landed; default: compact as soon as they are complete
    fold_after = "92 days"           # fold finer chunks into coarser ones
    vacuum_keep = "7 days"           # how long replaced files stay, for readers and for as_of

    [notify]                         # who hears of a scheduled run that failed; each that is named is tried
    command = "notify-send workbench" # is given what happened as JSON on standard input
    email = ["ops@example.com"]      # by WORKBENCH_SMTP_HOST and its fellows
    webhook = "https://…"            # JSON is posted to it; it is shown to nobody
    on = "findings"                  # failures and findings (exit status 3); or "failure"

    [test_rules."kraken_bot.trades"] # which rows count as a test's; names of rules as declared, or new ones
    amount_above = { rule = "amount > 500", reason = "amount above 500" }
    price_above = false              # no such rule
"""

import re
from calendar import monthrange
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from datetime import date, timedelta
from pathlib import Path
from typing import Any, Literal

from workbench.errors import BadSetting, UnknownName
from workbench.tables import FED, find

YES, NO = frozenset({"1", "true", "yes", "on"}), frozenset({"0", "false", "no", "off"})
WEBHOOK = re.compile(r"https://[^/\s]+|http://(?:localhost|127\.0\.0\.1|\[::1\])(?::\d+)?(?:/|$)")
TIMES = {"day": 1, "week": 7, "month": 1, "quarter": 3, "year": 12}


@dataclass(frozen=True)
class Age:
    """A length of time as the calendar counts it."""

    count: int
    unit: str

    def __str__(self) -> str:
        return f"{self.count} {self.unit}{'s' * (self.count != 1)}"

    def before(self, day: date) -> date:
        """The date so long before another; the month's last day where its month is too short."""
        if self.unit in ("day", "week"):
            return day - timedelta(days=min(self.count * TIMES[self.unit], (day - date.min).days))
        months = max(day.year * 12 + day.month - 1 - self.count * TIMES[self.unit], 12)
        year, month = months // 12, months % 12 + 1
        return date(year, month, min(day.day, monthrange(year, month)[1]))

    def back(self, day: date) -> timedelta:
        """How long before a date it is, in days."""
        return day - self.before(day)


@dataclass(frozen=True)
class Retention:
    """How long a table keeps its rows, and what becomes of them then. `rollup` says whether what nothing sums up may be dropped ("none")."""

    keep: Age
    then: Literal["archive", "drop"]
    rollup: Literal["required", "none"] = "required"

    def __str__(self) -> str:
        return f"keep {self.keep}, then {self.then}{', with or without a rollup' * (self.rollup == 'none')}"


AT_ONCE, A_WEEK, THREE_MONTHS = Age(0, "day"), Age(7, "day"), Age(92, "day")


@dataclass(frozen=True)
class Maintain:
    """What `workbench maintain` does, and when."""

    after_refresh: bool = field(default=True, metadata={"doc": "Maintain the lake at the end of each refresh."})
    seconds: int = field(default=60, metadata={"doc": "The end of a refresh begins no new work after so long."})
    compact_after: Age = field(default=AT_ONCE, metadata={"doc": "Chunks are compacted when they are complete and this old."})
    fold_after: Age = field(default=THREE_MONTHS, metadata={"doc": "Finer chunks are folded into coarser ones when they are this old."})
    vacuum_keep: Age = field(default=A_WEEK, metadata={"doc": "How long replaced files stay."})


@dataclass(frozen=True)
class Notify:
    """Who hears of a scheduled run that failed."""

    command: str = field(default="", metadata={"doc": "A command that is given what happened as JSON on standard input."})
    email: tuple[str, ...] = field(default=(), metadata={"doc": "Addresses that are written to."})
    webhook: str = field(default="", repr=False, metadata={"doc": "A URL that JSON is posted to."})
    on: str = field(default="findings", metadata={"doc": "What for: failures and findings, or failures only."})

    def __bool__(self) -> bool:
        return bool(self.command or self.email or self.webhook)


def retentions(section: Mapping[str, Any], path: Path) -> dict[str, Retention]:
    """The policies in `[retention.<table>]`, by table. Raises `UnknownName` or `BadSetting` for one that cannot be followed."""
    found = {}
    for name, given in section.items():
        where = f"[retention.{name}] in {path}"
        if name not in {table.name for table in FED}:
            raise UnknownName("table", name, (table.name for table in FED), hint=f"It stands in {where}.")
        if not isinstance(given, dict):
            raise BadSetting(f"retention.{name} in {path} is {given!r}, but it must be a section, as {where}; nothing was done.")
        known = ("keep", "then", "rollup")
        for key in given.keys() - set(known):
            raise UnknownName("key", key, known, hint=f"It stands in {where}.")
        for key, words in (("then", ("archive", "drop")), ("rollup", ("required", "none"))):
            if given.get(key, "required" if key == "rollup" else None) not in words:
                raise BadSetting(f'{key} in {where} is {given.get(key)!r}, but it must be "{words[0]}" or "{words[1]}"; nothing was done.')
        if "keep" not in given:
            raise BadSetting(f'{where} lacks keep, as keep = "2 years"; nothing was done.')
        one = Retention(age("keep", given["keep"], where), given["then"], given.get("rollup", "required"))
        table = find(name)
        if not one.keep.count:
            raise BadSetting(f"keep in {where} is {given['keep']!r}, which would keep nothing; nothing was done. Give at least 1 day.")
        if one.then == "archive" and table.kind != "bars":
            raise BadSetting(
                f'then in {where} is "archive", but ohlcv_archive holds bars, not ticks; nothing was done. Ticks can be dropped.'
            )
        if one.then == "drop" and not table.rollup and one.rollup != "none":
            raise BadSetting(
                f'then in {where} is "drop", but no table sums the rows of {name} up; nothing was done. Say rollup = "none" to drop them anyway.'
            )
        found[name] = one
    return found


def maintenance(section: Mapping[str, Any], path: Path) -> Maintain:
    """The policies in `[maintain]`. Raises `UnknownName` or `BadSetting` for one that cannot be followed."""
    known, where = {f.name: f.default for f in fields(Maintain)}, f"[maintain] in {path}"
    for key in section.keys() - known.keys():
        raise UnknownName("key", key, known, hint=f"It stands in {where}.")
    given: dict[str, Any] = {
        key: age(key, value, where) if isinstance(known[key], Age) else converted(f"maintain.{key}", known[key], value, where)
        for key, value in section.items()
    }
    if given.get("seconds", 1) < 0:
        raise BadSetting(f"seconds in {where} is {given['seconds']}, but it must be 0 or more; nothing was done.")
    return Maintain(**given)


def notification(section: Mapping[str, Any], path: Path) -> Notify:
    """The policies in `[notify]`. Raises `UnknownName` or `BadSetting` for one that cannot be followed."""
    known, where = [f.name for f in fields(Notify)], f"[notify] in {path}"
    for key in section.keys() - set(known):
        raise UnknownName("key", key, known, hint=f"It stands in {where}.")
    given = dict(section)
    if isinstance(given.get("email"), str):
        given["email"] = [one.strip() for one in given["email"].split(",") if one.strip()]
    emails = given.get("email", [])
    if not isinstance(emails, list) or not all(isinstance(one, str) and re.fullmatch(r"[^@\s]+@[^@\s]+", one) for one in emails):
        raise BadSetting(f"email in {where} is {given['email']!r}, but it must be an address, or a list of some; nothing was done.")
    for key in ("command", "webhook", "on"):
        if not isinstance(given.get(key, ""), str):
            raise BadSetting(f"{key} in {where} is {given[key]!r}, but it must be a text; nothing was done.")
    if (webhook := given.get("webhook")) and not WEBHOOK.match(webhook):
        raise BadSetting(
            f"webhook in {where} must begin with https://, or be on this machine; nothing was done. It is not shown: it may be a secret."
        )
    if given.get("on", "findings") not in ("findings", "failure"):
        raise BadSetting(f'on in {where} is {given["on"]!r}, but it must be "findings" or "failure"; nothing was done.')
    return Notify(**given | {"email": tuple(emails)})


def age(key: str, value: object, where: str) -> Age:
    """A length of time from its words, as 2 years. Raises `BadSetting`, or `UnknownName` for a unit that is none."""
    match = re.fullmatch(r"\s*([0-9]{1,5})\s*([A-Za-z]+)\s*", str(value))
    if not match:
        raise BadSetting(f'{key} in {where} is {value!r}, but it must be a count and a unit, as "2 years"; nothing was done.')
    unit = match[2].lower().removesuffix("s")
    if unit not in TIMES:
        raise UnknownName("unit of time", match[2], [f"{name}s" for name in TIMES], hint=f"It stands in {where}.")
    return Age(int(match[1]), unit)


def converted(name: str, default: Any, value: Any, origin: str) -> Any:
    """A value in the type of its default. Raises `BadSetting`."""
    text = str(value).strip()
    if isinstance(default, bool):
        if text.lower() not in YES | NO:
            raise BadSetting(f"{name} is {text!r} ({origin}), but it must be true or false; nothing was done.")
        return text.lower() in YES
    if isinstance(default, int):
        if not re.fullmatch(r"-?[0-9]{1,9}", text):
            raise BadSetting(f"{name} is {text!r} ({origin}), but it must be a whole number; nothing was done.")
        return int(text)
    return text
