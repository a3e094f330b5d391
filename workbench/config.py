"""Settings: the one reader of arguments, environment, `.env` and `workbench.toml`.

Each setting is declared once, as a field of `Settings`; its variable, its key in `workbench.toml` and its line in `workbench config`
follow from the field. Policies stand in sections of `workbench.toml` only:

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
"""

import os
import re
import tomllib
from calendar import monthrange
from collections.abc import Mapping
from dataclasses import dataclass, field, fields, replace
from datetime import date, timedelta
from pathlib import Path
from types import MappingProxyType
from typing import Any, Literal, Self
from zoneinfo import ZoneInfo

from workbench.errors import BadSetting, NoSource, UnknownName
from workbench.tables import FED, find

MARKERS = ("workbench.toml", "pyproject.toml")
MOST_THREADS = 1024  # DuckDB starts as many as it is told, until the machine stands still
YES, NO = frozenset({"1", "true", "yes", "on"}), frozenset({"0", "false", "no", "off"})
SOURCES = ("polygon_s3", "polygon_api", "yahoo", "sample", "folder:PATH")

# Large, liquid, and of every listing exchange; fallback sources, which serve symbol by symbol, use it when none are named.
UNIVERSE = (
    "AAPL MSFT NVDA AMZN GOOGL META BRK.B TSLA AVGO JPM LLY V UNH XOM MA COST HD PG WMT JNJ "
    "ORCL BAC ABBV KO MRK CVX CRM AMD PEP NFLX IBM GE CAT DIS MCD CSCO INTC BA SPY QQQ"
)


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


def setting(variable: str, default: Any, doc: str, *others: str, secret: bool = False) -> Any:
    """A field of `Settings`: its variable, what else it is read from, its meaning, and whether it must never be shown."""
    return field(default=default, repr=not secret, metadata={"variables": (variable, *others), "doc": doc, "secret": secret})


@dataclass(frozen=True)
class Settings:
    """Everything that can be configured. `origins` tells where each value came from; secrets are never shown."""

    data: str = setting("WORKBENCH_DATA", "data", "The lake's root.")
    source: str = setting("WORKBENCH_SOURCE", "", f"Where flat files come from: {', '.join(SOURCES)}.")
    polygon_s3_access_key: str = setting("POLYGON_S3_ACCESS_KEY", "", "Flat-file access key id.", secret=True)
    polygon_s3_secret_key: str = setting("POLYGON_S3_SECRET_KEY", "", "Flat-file secret key.", secret=True)
    polygon_s3_endpoint: str = setting("POLYGON_S3_ENDPOINT", "https://files.massive.com", "S3 endpoint of the flat files.")
    polygon_s3_bucket: str = setting("POLYGON_S3_BUCKET", "flatfiles", "Bucket of the flat files.")
    polygon_s3_fallback: bool = setting("POLYGON_S3_FALLBACK", True, "Fall back to the API when S3 fails or has no data.")
    polygon_api_key: str = setting("POLYGON_API_KEY", "", "REST key.", "MASSIVE_API_KEY", secret=True)
    polygon_api_url: str = setting("POLYGON_API_URL", "https://api.massive.com", "REST endpoint.")
    polygon_api_rate: str = setting(
        "POLYGON_API_RATE", "", "REST calls a minute that the plan allows, as 5; default: learnt from refusals."
    )
    fred_api_key: str = setting("FRED_API_KEY", "", "Key for economic series.", secret=True)
    fred_url: str = setting("FRED_API_URL", "https://api.stlouisfed.org/fred", "Endpoint of economic series.")
    yahoo: bool = setting("WORKBENCH_YAHOO", False, "Allow Yahoo as the last source (its terms: personal use).")
    yahoo_url: str = setting("WORKBENCH_YAHOO_URL", "", "A mirror or proxy that answers in the place of Yahoo's hosts.")
    memory_limit: str = setting("WORKBENCH_MEMORY_LIMIT", "75%", "DuckDB's memory limit: 4GB, or a share of RAM.")
    threads: int = setting("WORKBENCH_THREADS", os.cpu_count() or 1, "DuckDB's threads.")
    temp: str = setting("WORKBENCH_TEMP", "", "Where DuckDB spills; default tmp/ under the root.")
    cache: str = setting("WORKBENCH_CACHE", "", "This machine's own folder; default tmp/ under the root.")
    universe: str = setting("WORKBENCH_UNIVERSE", UNIVERSE, "Symbols for sources that serve symbol by symbol.")
    timezone: str = setting("WORKBENCH_TIMEZONE", "America/New_York", "How TIMESTAMPTZ is shown.")
    retention: Mapping[str, Retention] = field(default_factory=dict)
    maintain: Maintain = field(default_factory=Maintain)
    project: Path = field(default_factory=Path, repr=False)
    origins: Mapping[str, str] = field(default_factory=dict, repr=False)

    @classmethod
    def load(cls, env: Mapping[str, str] | None = None, start: Path | None = None, **given: Any) -> Self:
        """Settings from arguments, then environment, then `.env`, then `workbench.toml`, then defaults.

        The two files are those of the project's folder: the nearest upward from `start` (the working directory) that holds a
        `workbench.toml` or a `pyproject.toml`. Raises `BadSetting` or `UnknownName` for what cannot be used.
        """
        env = os.environ if env is None else env
        project = project_folder(start or Path.cwd())
        file = project / "workbench.toml"
        dotenv, (toml, sections) = read_dotenv(project / ".env"), read_toml(file, cls.declared())
        values: dict[str, Any] = {}
        origins: dict[str, str] = {}
        for name in given.keys() - cls.declared().keys():
            raise UnknownName("setting", name, cls.declared())
        for name, declared in cls.declared().items():
            found: list[tuple[Any, str]] = [(given.get(name), "argument")]
            for variable in declared.metadata["variables"]:
                found += [(env.get(variable), f"{variable} in the environment"), (dotenv.get(variable), f"{variable} in .env")]
            # A variable that is set but empty counts as not set: that is how shells and CI unset a secret.
            found.sort(key=lambda pair: pair[1].endswith(".env"))
            found += [(toml.get(name), "workbench.toml"), (declared.default, "default")]
            value, origin = next((v, o) for v, o in found if v not in (None, "") or o == "default")
            values[name], origins[name] = converted(name, declared.default, value, origin), origin
        retention, maintain = retentions(sections.get("retention", {}), file), maintenance(sections.get("maintain", {}), file)
        origins |= {f"maintain.{name}": "workbench.toml" for name in sections.get("maintain", {})}
        policies: dict[str, Any] = {"retention": MappingProxyType(retention), "maintain": maintain}
        return cls(**values, **policies, project=project, origins=MappingProxyType(origins))._checked()

    @classmethod
    def declared(cls) -> dict[str, Any]:
        """The fields that are settings, by name."""
        return {f.name: f for f in fields(cls) if f.metadata}

    def _checked(self) -> Self:
        try:
            # The machine's own zone has this name for Python and none for DuckDB.
            ZoneInfo(self.timezone if self.timezone != "localtime" else "")
        except (KeyError, ValueError, OSError) as fault:
            raise self.bad("timezone", "no time zone of that name is known; try America/New_York or UTC") from fault
        if not 1 <= self.threads <= MOST_THREADS:
            raise self.bad("threads", f"DuckDB works with 1 to {MOST_THREADS}; take about as many as there are cores")
        if not re.fullmatch(r"(?:100|[1-9]\d?)(?:\.\d+)?%|\d+(?:\.\d+)? ?(?:[KMGT]i?)?B", self.memory_limit, re.IGNORECASE):
            raise self.bad("memory_limit", "it must be like 75% or 8GB")
        if self.source and self.source not in SOURCES and not self.source.startswith("folder:"):
            raise UnknownName("source", self.source, SOURCES)
        return self

    def bad(self, name: str, why: str) -> BadSetting:
        """The error for a setting that cannot be used."""
        shown = "(secret)" if self.declared()[name].metadata["secret"] else repr(getattr(self, name))
        return BadSetting(f"{name} is {shown} ({self.origins.get(name, 'argument')}), but {why}; nothing was done.")

    def with_source(self, source: str | None) -> Self:
        """The same settings with another source; a folder's path is told from the working directory."""
        if source is None:
            return self
        return replace(self, source=source, origins=MappingProxyType({**self.origins, "source": "argument"}))._checked()

    @property
    def root(self) -> Path:
        """The lake's root, absolute; a relative one is told from the project's folder, never from a notebook's."""
        if "://" in self.data:
            raise self.bad("data", "a lake on object storage is not supported yet; give a folder")
        root = (self.project / Path(self.data).expanduser()).resolve()
        if odd := sorted({c for c in str(root) if c in "%*?[]" or not c.isprintable()}):
            raise self.bad("data", f"{' '.join(map(repr, odd))} in a path means something else to the engines; take another folder")
        return root

    @property
    def scratch(self) -> Path:
        """Where unfinished downloads and drafts stand."""
        return (self.project / Path(self.cache).expanduser()).resolve() if self.cache else self.root / "tmp"

    @property
    def chosen_source(self) -> str:
        """The source to use when none is named. Raises `NoSource` with the ways to have one."""
        if self.source:
            return self.source
        if self.polygon_s3_access_key and self.polygon_s3_secret_key:
            return "polygon_s3"
        if self.polygon_api_key:
            return "polygon_api"
        if self.yahoo:
            return "yahoo"
        half = " Only one of the two flat-file keys is set." * bool(self.polygon_s3_access_key or self.polygon_s3_secret_key)
        raise NoSource(
            f"no source of data is configured, so nothing was fetched.{half} Set POLYGON_S3_ACCESS_KEY and POLYGON_S3_SECRET_KEY "
            "for flat files, or POLYGON_API_KEY for the REST API (in the environment or in .env); or allow Yahoo with WORKBENCH_YAHOO=true; or "
            "name a folder of flat files with --source folder:PATH; or try --source sample, which needs nothing."
        )

    @property
    def folder(self) -> Path:
        """The folder of a `folder:PATH` source: from the working directory if named there and then, else from the project's."""
        base = self.project if self.origins.get("source", "").endswith((".env", ".toml")) else Path.cwd()
        return (base / Path(self.source.removeprefix("folder:")).expanduser()).resolve()

    def shown(self) -> list[dict[str, str]]:
        """Every setting and policy with its value (secrets masked), where it came from and what it means."""
        upkeep = [(f"maintain.{f.name}", getattr(self.maintain, f.name), f.metadata["doc"]) for f in fields(Maintain)]
        kept = [(f"retention.{name}", one, "What becomes of old rows.") for name, one in self.retention.items()]
        policies = [
            {
                "setting": name,
                "variable": f"[{name}]" if name.startswith("retention") else name,
                "value": str(value).lower() if isinstance(value, bool) else str(value),
                "from": self.origins.get(name, "workbench.toml" if name.startswith("retention") else "default"),
                "meaning": doc,
            }
            for name, value, doc in (*kept, *upkeep)
        ]
        settings = [
            {
                "setting": name,
                "variable": declared.metadata["variables"][0],
                "value": masked(getattr(self, name)) if declared.metadata["secret"] else str(getattr(self, name)),
                "from": self.origins.get(name, "default"),
                "meaning": declared.metadata["doc"],
            }
            for name, declared in self.declared().items()
        ]
        return settings + policies


def masked(secret: str) -> str:
    """A secret as it may be shown: whether it is set, and no part of it."""
    return "********" if secret else ""


def project_folder(start: Path) -> Path:
    """The nearest folder upward that holds a `workbench.toml` or a `pyproject.toml`; else the start itself."""
    start = start.resolve()
    return next((folder for folder in (start, *start.parents) if any((folder / name).is_file() for name in MARKERS)), start)


def read_dotenv(path: Path) -> Mapping[str, str | None]:
    """The variables of a `.env` file; none if there is no file."""
    if not path.is_file():
        return {}
    from dotenv import dotenv_values

    return dotenv_values(path)


def read_toml(path: Path, declared: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    """The keys of a `workbench.toml`, which are the settings' names or their variables', and its sections of policies."""
    if not path.is_file():
        return {}, {}
    try:
        given = tomllib.loads(path.read_text(encoding="utf-8"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as fault:
        raise BadSetting(f"{path} is not TOML: {fault}; nothing was done. Mend that line.") from fault
    names = {variable: name for name, f in declared.items() for variable in f.metadata["variables"]} | {name: name for name in declared}
    sections: dict[str, Any] = {key: given.pop(key) for key in ("retention", "maintain") if key in given}
    for key in given.keys() - names.keys():
        raise UnknownName("setting", key, [*names, "retention", "maintain"], hint=f"It stands in {path}.")
    for key, value in sections.items():
        if not isinstance(value, dict):
            raise BadSetting(f"{key} in {path} is {value!r}, but it must be a section, as [{key}]; nothing was done.")
    return {names[key]: value for key, value in given.items()}, sections


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
