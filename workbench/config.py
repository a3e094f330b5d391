"""Settings: the one reader of arguments, environment, `.env` and `workbench.toml`.

Each setting is declared once, as a field of `Settings`; its variable, its key in `workbench.toml` and its line in `workbench config`
follow from the field. Policies stand in sections of `workbench.toml`: see `workbench.policies`.
"""

import os
import re
import tomllib
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from types import MappingProxyType
from typing import Any, Self
from urllib.parse import urlsplit
from zoneinfo import ZoneInfo

from workbench.errors import BadSetting, NoSource, UnknownName
from workbench.policies import Maintain, Notify, Retention, converted, maintenance, notification, retentions
from workbench.tables.record import TestRule
from workbench.tables.testing_rules import test_rules

SECTIONS = ("retention", "maintain", "notify", "test_rules")
MARKERS = ("workbench.toml", "pyproject.toml")
MOST_THREADS = 1024  # DuckDB starts as many as it is told, until the machine stands still
SMTP_TLS = ("starttls", "tls", "none")
LOG_LEVELS, LOG_FORMATS = ("", "debug", "info", "warning", "error"), ("text", "json")
# Bytes, as people write them; thousands of thousands, or with an i what computers count by.
SIZE, UNITS = r"0|(\d+(?:\.\d+)?) ?([KMGT])(i?)B", "KMGT"
# What people put into urls that nobody else is to see: who logs in, and what is asked with.
LOGIN = re.compile(r"(?<=://)[^/@]*(?=@)|(?<=\?)[^'\"]+")
SYNCHRONOUS = ("NORMAL", "FULL")
FILE_MODES = ("private", "umask")
SOURCES = ("polygon_s3", "polygon_api", "yahoo", "sample", "folder:PATH")

# Large, liquid, and of every listing exchange; fallback sources, which serve symbol by symbol, use it when none are named.
UNIVERSE = (
    "AAPL MSFT NVDA AMZN GOOGL META BRK.B TSLA AVGO JPM LLY V UNH XOM MA COST HD PG WMT JNJ "
    "ORCL BAC ABBV KO MRK CVX CRM AMD PEP NFLX IBM GE CAT DIS MCD CSCO INTC BA SPY QQQ"
)


def setting(variable: str, default: Any, doc: str, *others: str, secret: bool = False) -> Any:
    """A field of `Settings`: its variable, what else it is read from, its meaning, and whether it must never be shown."""
    return field(default=default, repr=not secret, metadata={"variables": (variable, *others), "doc": doc, "secret": secret})


@dataclass(frozen=True)
class Settings:
    """Everything that can be configured. `origins` tells where each value came from; secrets are never shown."""

    data: str = setting("WORKBENCH_DATA", "data", "The lake's root: a folder, or s3://bucket/prefix (keys as AWS_…).")
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
    cache: str = setting(
        "WORKBENCH_CACHE", "", "This machine's own folder; default tmp/ under the root, and ~/.cache/workbench for a lake on s3://."
    )
    cache_size: str = setting(
        "WORKBENCH_CACHE_SIZE",
        "20GB",
        "How much of a lake on s3:// this machine holds, as 20GB; what was used longest ago goes, 0 holds nothing.",
    )
    synchronous: str = setting(
        "WORKBENCH_SYNCHRONOUS", "NORMAL", "What rows that people write outlive: NORMAL, their process; FULL, a loss of power (slower)."
    )
    file_modes: str = setting(
        "WORKBENCH_FILE_MODES", "private", "Who else may read a new lake: private, nobody; umask, whom the system's own rule lets."
    )
    universe: str = setting("WORKBENCH_UNIVERSE", UNIVERSE, "Symbols for sources that serve symbol by symbol.")
    cluster: str = setting(
        "WORKBENCH_CLUSTER", "", "The Dask scheduler whose workers land flat files: tcp://host:port; default: this machine."
    )
    timezone: str = setting("WORKBENCH_TIMEZONE", "America/New_York", "How TIMESTAMPTZ is shown.")
    backup: str = setting("WORKBENCH_BACKUP", "", "Where backups stand: a folder, or s3://bucket/prefix (keys as AWS_…).")
    backup_identity: str = setting("WORKBENCH_BACKUP_IDENTITY", "", "The file with the secret key that encrypted backups are read with.")
    smtp_host: str = setting("WORKBENCH_SMTP_HOST", "", "The server that sends what [notify] email asks for.")
    smtp_port: int = setting("WORKBENCH_SMTP_PORT", 587, "Its port.")
    smtp_user: str = setting("WORKBENCH_SMTP_USER", "", "Who logs in there; default: nobody does.")
    smtp_password: str = setting("WORKBENCH_SMTP_PASSWORD", "", "The password of that user.", secret=True)
    smtp_from: str = setting("WORKBENCH_SMTP_FROM", "", "The sender's address; default: that user, else workbench at this machine.")
    smtp_tls: str = setting(
        "WORKBENCH_SMTP_TLS", "starttls", "How it is spoken to: starttls, tls, or none, which takes no password off this machine."
    )
    slow_ms: int = setting(
        "WORKBENCH_SLOW_MS", 1000, "Queries that take longer, in milliseconds, are flagged in workbench.query_log and logged."
    )
    log_level: str = setting(
        "WORKBENCH_LOG_LEVEL", "", "What is logged: debug, info, warning or error; default: nothing, and info by `serve`."
    )
    log_format: str = setting("WORKBENCH_LOG_FORMAT", "text", "How: text, or json for a line of JSON each.")
    log_file: str = setting("WORKBENCH_LOG_FILE", "", "Where to; default: standard error.")
    bot_version: str = setting("WORKBENCH_BOT_VERSION", "", "The version of the bot that writes rows, where they do not say it.")
    retention: Mapping[str, Retention] = field(default_factory=dict)
    maintain: Maintain = field(default_factory=Maintain)
    notify: Notify = field(default_factory=Notify)
    test_rules: Mapping[str, Mapping[str, TestRule | None]] = field(default_factory=dict)
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
        rules = test_rules(sections.get("test_rules", {}), file)
        notify = notification(sections.get("notify", {}), file)
        origins |= {f"notify.{name}": "workbench.toml" for name in sections.get("notify", {})}
        policies: dict[str, Any] = {
            "retention": MappingProxyType(retention),
            "maintain": maintain,
            "notify": notify,
            "test_rules": MappingProxyType(rules),
        }
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
        if not re.fullmatch(SIZE, self.cache_size, re.IGNORECASE):
            raise self.bad("cache_size", "it must be like 20GB, or 0 for none")
        if self.synchronous not in SYNCHRONOUS:
            raise self.bad("synchronous", f"it must be {' or '.join(SYNCHRONOUS)}")
        if self.slow_ms < 0:
            raise self.bad("slow_ms", "no query takes less than no time; give milliseconds, as 1000")
        if self.log_level.lower() not in LOG_LEVELS:
            raise self.bad("log_level", f"it must be {', '.join(LOG_LEVELS[1:-1])} or {LOG_LEVELS[-1]}")
        if self.log_format not in LOG_FORMATS:
            raise self.bad("log_format", f"it must be {' or '.join(LOG_FORMATS)}")
        if self.file_modes not in FILE_MODES:
            raise self.bad("file_modes", f"it must be {' or '.join(FILE_MODES)}")
        if self.smtp_tls not in SMTP_TLS:
            raise self.bad("smtp_tls", f"it must be {', '.join(SMTP_TLS[:-1])} or {SMTP_TLS[-1]}")
        if self.source and self.source not in SOURCES and not self.source.startswith("folder:"):
            raise UnknownName("source", self.source, SOURCES)
        return self

    def bad(self, name: str, why: str) -> BadSetting:
        """The error for a setting that cannot be used."""
        shown = "(secret)" if self.declared()[name].metadata["secret"] else LOGIN.sub("********", repr(getattr(self, name)))
        return BadSetting(f"{name} is {shown} ({self.origins.get(name, 'argument')}), but {why}; nothing was done.")

    def with_source(self, source: str | None) -> Self:
        """The same settings with another source; a folder's path is told from the working directory."""
        if source is None:
            return self
        return replace(self, source=source, origins=MappingProxyType({**self.origins, "source": "argument"}))._checked()

    @property
    def url(self) -> str:
        """The lake's place in a bucket, as s3://bucket/prefix; empty for a lake in a folder."""
        if "://" not in self.data and not self.data.startswith("s3:"):
            return ""
        if not self.data.startswith("s3://"):
            raise self.bad("data", "a lake stands in a folder, or in a bucket as s3://bucket/prefix")
        place = self.data.removeprefix("s3://").rstrip("/")
        # What stands in a key is also part of a path on this machine, which tells the bucket to whoever sees it.
        if not re.fullmatch(r"[a-z0-9][a-z0-9.-]{1,61}[a-z0-9](?:/[A-Za-z0-9._=+@ -]+)*", place) or any(
            part in (".", "..") for part in place.split("/")
        ):
            raise self.bad("data", "it must be like s3://bucket/prefix, of letters, digits and . _ - = + @ in the prefix")
        return f"s3://{place}"

    @property
    def where(self) -> str:
        """The lake's place as people name it: its url, or its folder."""
        return self.url or str(self.root)

    @property
    def cache_folder(self) -> Path:
        """The folder of this machine in which it keeps what it has of lakes in buckets, absolute."""
        home = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "workbench"
        return ((self.project / Path(self.cache).expanduser()) if self.cache else home).resolve()

    @property
    def _machines(self) -> Path:
        """The folder of this machine that holds the roots of lakes in buckets of one endpoint. Raises `BadSetting` for what is none."""
        variable = "AWS_ENDPOINT_URL_S3" if os.environ.get("AWS_ENDPOINT_URL_S3") else "AWS_ENDPOINT_URL"
        told = os.environ.get(variable, "").strip()
        if not told:
            return self.cache_folder / "s3:"
        # The name of a folder of this machine tells of it, so that it must say where the store is, and nothing else.
        if not re.fullmatch(r"https?://(?:[A-Za-z0-9._-]+|\[[0-9A-Fa-f:.]+\])(?::\d{1,5})?/?", told):
            raise BadSetting(
                f"{variable} is {LOGIN.sub('********', told)!r}, but the endpoint of a store must be like https://host or http://host:9000; nothing was done."
            )
        endpoint = urlsplit(told)
        return self.cache_folder / f"s3:{endpoint.scheme}:{endpoint.netloc}"

    @property
    def root(self) -> Path:
        """The lake's root, absolute; a relative one is told from the project's folder, never from a notebook's.

        Of a lake in a bucket it is this machine's own folder for it, below WORKBENCH_CACHE (default: ~/.cache/workbench).
        """
        if self.url:
            return self._machines / self.url.removeprefix("s3://").replace("/", ":")
        root = (self.project / Path(self.data).expanduser()).resolve()
        if odd := sorted({c for c in str(root) if c in "%*?[]" or not c.isprintable()}):
            raise self.bad("data", f"{' '.join(map(repr, odd))} in a path means something else to the engines; take another folder")
        return root

    @property
    def cache_bytes(self) -> int:
        """How many bytes of a lake in a bucket this machine may hold."""
        found = re.fullmatch(SIZE, self.cache_size, re.IGNORECASE)
        assert found
        return int(float(found[1]) * (1024 if found[3] else 1000) ** (UNITS.index(found[2].upper()) + 1)) if found[1] else 0

    @property
    def scratch(self) -> Path:
        """Where unfinished downloads and drafts stand."""
        return (self.project / Path(self.cache).expanduser()).resolve() if self.cache and not self.url else self.root / "tmp"

    @property
    def secret_files(self) -> tuple[Path, ...]:
        """The files of the project that a secret was read from."""
        files = {".env": self.project / ".env", "workbench.toml": self.project / "workbench.toml"}
        told = {self.origins.get(name, "") for name, one in self.declared().items() if one.metadata["secret"] and getattr(self, name)}
        return tuple(path for name, path in files.items() if any(origin.endswith(name) for origin in told))

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

    @property
    def best_source(self) -> str:
        """The source that sessions should come from; what a weaker one gave is a fallback's."""
        with suppress(NoSource):
            best = self.chosen_source.partition(":")[0]
            if best in ("polygon_api", "yahoo"):
                return best
        return "polygon_s3"

    def shown(self) -> list[dict[str, str]]:
        """Every setting and policy with its value (secrets masked), where it came from and what it means."""
        written = ("retention", "test_rules")
        upkeep = [(f"maintain.{f.name}", getattr(self.maintain, f.name), f.metadata["doc"]) for f in fields(Maintain)]
        for f in fields(Notify):
            told = getattr(self.notify, f.name)
            told = masked(told) if f.name == "webhook" else ", ".join(told) if isinstance(told, tuple) else told
            upkeep.append((f"notify.{f.name}", told, f.metadata["doc"]))
        kept: list[tuple[str, Any, str]] = [(f"retention.{name}", one, "What becomes of old rows.") for name, one in self.retention.items()]
        for table, rules in self.test_rules.items():
            kept += [
                (f"test_rules.{table}.{name}", one.rule if one else "none", "Which rows count as a test's.") for name, one in rules.items()
            ]
        policies = [
            {
                "setting": name,
                "variable": f"[{name}]" if name.startswith(written) else name,
                "value": str(value).lower() if isinstance(value, bool) else str(value),
                "from": self.origins.get(name, "workbench.toml" if name.startswith(written) else "default"),
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
    sections: dict[str, Any] = {key: given.pop(key) for key in SECTIONS if key in given}
    for key in given.keys() - names.keys():
        raise UnknownName("setting", key, [*names, *SECTIONS], hint=f"It stands in {path}.")
    for key, value in sections.items():
        if not isinstance(value, dict):
            raise BadSetting(f"{key} in {path} is {value!r}, but it must be a section, as [{key}]; nothing was done.")
    return {names[key]: value for key, value in given.items()}, sections
