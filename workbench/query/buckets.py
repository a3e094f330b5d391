"""How DuckDB reads a lake in a bucket: with httpfs where that is installed for its version, else with the files that this machine holds of it, and s3fs."""

import re
from collections.abc import Sequence
from contextlib import suppress
from importlib import resources
from typing import TYPE_CHECKING, Any

import duckdb

from workbench import errors
from workbench.errors import MissingExtra, QueryError, SourceError

if TYPE_CHECKING:
    from workbench.config import Settings
    from workbench.lake.remote.connection import Remote

# Bytes of answers that httpfs waits for, in seconds, and how often it asks.
TIMEOUT_S, RETRIES = 20, 3
# The keys for whatever else stands in S3.
OTHERS = "workbench_others"
# The last line of a traceback, and what follows.
KIND = re.compile(r"^(?:workbench\.errors\.)?([A-Z]\w+): ", re.MULTILINE)
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
    """The statements after which a session reaches nothing of S3 but the lake's place."""
    [(there,)] = con.execute("SELECT count(*) FROM duckdb_settings() WHERE name LIKE 's3%'").fetchall()
    return [f"DROP SECRET IF EXISTS {OTHERS}"] if there else []


def plainly(told: str) -> str:
    """What DuckDB says went wrong, of a fault of the bucket's: its sentence, without the Python code that it came through."""
    _, traceback, rest = told.partition("Traceback (most recent call last):")
    found = FAULT.search(rest) if traceback else None
    # Where in SQL it was met is a place in statements of ours, or of no matter.
    return found[1].partition("\n\nLINE ")[0].strip() if found else told


def of_the_bucket(told: str) -> tuple[type[SourceError], ...]:
    """The kind of a fault of the bucket's that DuckDB passes on, which is none of the query's; empty if it is another."""
    _, traceback, rest = told.partition("Traceback (most recent call last):")
    found = KIND.search(rest) if traceback else None
    kind = getattr(errors, found[1], None) if found else None
    return (kind,) if isinstance(kind, type) and issubclass(kind, SourceError) and kind.__init__ is Exception.__init__ else ()


def declare(con: duckdb.DuckDBPyConnection, statements: Sequence[str]) -> None:
    """Run declarations in one transaction.

    Raises `SourceError` where a bucket does not give what they look at, and what else DuckDB refuses as it is: nothing is declared then, and may be later.
    """
    try:
        con.execute(";\n".join(["BEGIN", *statements, "COMMIT"]))
    except duckdb.Error as fault:
        with suppress(duckdb.Error):
            con.execute("ROLLBACK")
        told = str(fault)
        for kind in of_the_bucket(told):
            raise kind(plainly(told)) from fault
        # What httpfs says for itself.
        if isinstance(fault, duckdb.HTTPException) or "s3://" in told:
            raise query_error(fault) from fault
        raise


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
        # It has read the environment's keys, and shows them to whoever asks for the settings; those of the secrets it shows to nobody.
        *(f"{name} = ''" for name in ("s3_access_key_id", "s3_secret_access_key", "s3_session_token")),
        f"http_timeout = {TIMEOUT_S}",
        f"http_retries = {RETRIES}",
        # The lake's files never change: what is known of one need not be asked again.
        "enable_http_metadata_cache = true",
        "enable_external_file_cache = true",
    ):
        con.execute(f"SET GLOBAL {setting}")
    return True


def query_error(fault: duckdb.Error, more: str = "") -> QueryError:
    """DuckDB's refusal as a `QueryError` that whoever catches `duckdb.Error` catches too; `more` is what to say besides."""
    kind = type(fault)
    both: type[QueryError] = type(kind.__name__, (*of_the_bucket(str(fault)), QueryError, kind), {"__module__": QueryError.__module__})
    told = plainly(str(fault))
    return both(f"{told}\n\n{more}" if more else told)
