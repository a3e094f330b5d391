"""How DuckDB reads a lake in a bucket: with httpfs where that is installed for its version, else with the files that this machine holds of it, and s3fs."""

import re
from importlib import resources
from typing import TYPE_CHECKING, Any

import duckdb

from workbench.errors import MissingExtra

if TYPE_CHECKING:
    from workbench.config import Settings
    from workbench.lake.remote.connection import Remote

# Bytes of answers that httpfs waits for, in seconds, and how often it asks.
TIMEOUT_S, RETRIES = 20, 3
# The keys for whatever else stands in S3.
OTHERS = "workbench_others"
# The last line of a traceback, and what follows.
FAULT = re.compile(r"^(?:workbench\.errors\.)?[A-Z]\w+: (.*)", re.MULTILINE | re.DOTALL)


def attach(con: duckdb.DuckDBPyConnection, remote: "Remote", settings: "Settings") -> None:
    """Have a session read the urls of a bucket. Raises `MissingExtra` if nothing is installed that does."""
    remote.held.limit = settings.cache_bytes
    if httpfs(con, remote):
        return
    try:
        import fsspec  # noqa: F401
    except ImportError as fault:
        raise missing(remote) from fault
    from workbench.query.lakefiles import LakeFiles

    remote.through = True
    con.register_filesystem(LakeFiles(remote))


def s3fs(remote: "Remote") -> Any:
    """What reads other urls of S3, with the keys of a bucket. Raises `MissingExtra`."""
    try:
        import s3fs as library
    except ImportError as fault:
        raise missing(remote) from fault
    options = remote.options()
    return library.S3FileSystem(
        key=options["aws_access_key_id"],
        secret=options["aws_secret_access_key"],
        token=options.get("aws_session_token"),
        endpoint_url=options.get("aws_endpoint_url"),
        client_kwargs={"region_name": options["aws_region"]},
    )


def missing(remote: "Remote") -> MissingExtra:
    """What to say where nothing reads S3."""
    return MissingExtra(
        f"{remote.where} cannot be read: s3fs is not installed; nothing was asked. `pip install 'workbench[s3]'` brings it."
    )


def kept_secret(con: duckdb.DuckDBPyConnection) -> list[str]:
    """The statements after which a session reaches nothing of S3 but the lake's place, and shows no keys."""
    names = {name for (name,) in con.execute("SELECT name FROM duckdb_settings() WHERE name LIKE 's3%'").fetchall()}
    keys = [f"SET GLOBAL {name} = ''" for name in ("s3_access_key_id", "s3_secret_access_key", "s3_session_token") if name in names]
    return [*keys, f"DROP SECRET IF EXISTS {OTHERS}"] if names else []


def plainly(told: str) -> str:
    """What DuckDB says went wrong, of a fault of the bucket's: its sentence, without the Python code that it came through."""
    _, traceback, rest = told.partition("Traceback (most recent call last):")
    found = FAULT.search(rest) if traceback else None
    return found[1].strip() if found else told


def httpfs(con: duckdb.DuckDBPyConnection, remote: "Remote") -> bool:
    """Load httpfs with the bucket's keys, if its wheel for this DuckDB is there."""
    try:
        path = resources.files("duckdb_extension_httpfs") / "extensions" / f"v{duckdb.__version__}" / "httpfs.duckdb_extension"
    except ModuleNotFoundError:
        return False
    # One of another version would end the process.
    if not path.is_file():
        return False
    con.execute(f"LOAD '{path}'")
    options = remote.options()
    endpoint = options.get("aws_endpoint_url", "")
    given = {"KEY_ID": options["aws_access_key_id"], "SECRET": options["aws_secret_access_key"], "REGION": options["aws_region"]}
    if "aws_session_token" in options:
        given["SESSION_TOKEN"] = options["aws_session_token"]
    if endpoint:
        given |= {"ENDPOINT": endpoint.partition("://")[2], "URL_STYLE": "path", "USE_SSL": str(endpoint.startswith("https")).lower()}
    told = ", ".join(f"{name} '{value.replace(chr(39), chr(39) * 2)}'" for name, value in given.items())
    con.execute(f"CREATE OR REPLACE SECRET workbench_lake (TYPE s3, SCOPE '{remote.where}', {told})")
    con.execute(f"CREATE OR REPLACE SECRET {OTHERS} (TYPE s3, {told})")
    for setting in (
        f"http_timeout = {TIMEOUT_S}",
        f"http_retries = {RETRIES}",
        # The lake's files never change: what is known of one need not be asked again.
        "enable_http_metadata_cache = true",
        "enable_external_file_cache = true",
    ):
        con.execute(f"SET GLOBAL {setting}")
    return True
