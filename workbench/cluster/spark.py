"""The lake's tables and documented views in a Spark session, under their own names.

Spark knows a table by its folder, the lake by its log: a base table is the folder's files, and a view over them that names those of one version.
What Python fills in DuckDB, and what people wrote, is handed over as the rows that there are now, in Parquet files beside. All other views are
translated from their own `.sql`.
"""

import re
import shutil
import tempfile
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from workbench.cluster.handing import handed, quoted, spark_type, text_of, tick
from workbench.cluster.translating import Translator, plain
from workbench.cluster.words import NotTranslated
from workbench.errors import QueryError, UsageError
from workbench.lake.remote.where import remote_of
from workbench.lake.snapshots import Snapshot
from workbench.query.documented import View, in_order
from workbench.query.report import Report
from workbench.tables import TABLES, Table

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

    from workbench.bench import Workbench

FILES = "workbench_files"
# What people wrote is read from files and the journal, laid over one another.
READS_FILES = re.compile(r"\b(?:read_parquet|read_csv|read_json)\w*\s*\(", re.IGNORECASE)
# A database's property that tells that `to_spark` made it.
OURS = "workbench.root"
# What is handed over in another form than DuckDB keeps it in: it looks these up by a hash of its own, Spark by the text.
RESHAPED = {
    "workbench_log.close_factors": """
        SELECT map_from_entries(list(struct_pack(k := ticker, v := steps))) AS steps
        FROM (SELECT step.ticker AS ticker, list(step) AS steps FROM (SELECT unnest(flatten(steps)) AS step FROM workbench_log.close_factors) GROUP BY ALL)
    """,
}
DELTA = {
    "spark.sql.extensions": "io.delta.sql.DeltaSparkSessionExtension",
    "spark.sql.catalog.spark_catalog": "org.apache.spark.sql.delta.catalog.DeltaCatalog",
}


class Registered(Report):
    """What a Spark session has of a lake: a row for each relation with how it came there, and why one did not.

    `how` is "files" (a base table's, of the version in `version`), "delta" (the same through Delta's own reader), "view" (translated),
    "rows" (handed over as they were) or "left out", for which `why` says what does not translate. `close` takes all of it away again.
    """

    most = 400

    def __init__(self, title: str, rows: Sequence[dict[str, Any]], registering: "Registering"):
        super().__init__(title, rows, ("version",), root=str(registering.bench.lake.root))
        self._registering = registering

    @property
    def left_out(self) -> dict[str, str]:
        """Why each relation that is not there is not."""
        return {row["name"]: row["why"] for row in self.rows if row["how"] == "left out"}

    def translated(self, query: str) -> str:
        """A query in DuckDB's SQL, or that of the platform in use, as this Spark session runs it. Raises `QueryError` with what does not translate."""
        return self._registering.translated(query)

    def sql(self, query: str, /, **values: object) -> Any:
        """Spark's frame of a query in DuckDB's SQL, or that of the platform in use; `$name` takes the value passed as `name`."""
        return self._registering.spark.sql(self.translated(query), args=values or None)

    def close(self) -> None:
        """Take the databases out of the session, and the handed rows off the disk."""
        self._registering.clear()


def to_spark(spark: "SparkSession", bench: "Workbench", scratch: str | Path | None = None) -> Registered:
    """Register the lake's tables and every documented view with a Spark session, as they are now; gives what is registered, and what is not.

    Afterwards `spark.sql("SELECT * FROM market_data.ohlcv")` runs. Tables are of the versions that the bench shows, whatever is committed later: call
    it again to follow. `scratch` is a folder for handed rows, which the session's executors can read like the lake's own; default: one of the
    machine's. The session's time zone becomes the bench's, its current database `main`. Raises `UsageError` where a database of such a
    name is somebody else's, and `QueryError` where Spark refuses what the rest stands on.
    """
    registering = Registering(spark, bench, Path(scratch) if scratch else None)
    return registering.run()


@dataclass
class Relation:
    """One relation of DuckDB's: its columns and their types."""

    full: str
    columns: Mapping[str, str]


class Registering:
    """One lake in one session."""

    def __init__(self, spark: "SparkSession", bench: "Workbench", scratch: Path | None):
        self.spark, self.bench = spark, bench
        self._given = scratch
        self.scratch: Path | None = None
        self._made: list[str] = []
        self._rows: list[dict[str, Any]] = []
        self._translator: Translator | None = None

    # ------------------------------------------------------------------ the way

    def run(self) -> Registered:
        """Register everything."""
        from py4j.protocol import Py4JError
        from pyspark.errors import PySparkException

        catalog = self.bench.catalog
        self.spark.conf.set("spark.sql.session.timeZone", catalog.zone)
        # What a view reads is checked by its columns' types here; Spark's own checks of stored views would only repeat that.
        with self.bench.pin():
            con = self.bench.con
            con.execute("SELECT 1").fetchall()
            catalog.documented.prepare()
            columns = described(con)
            self._translator = Translator(columns)
            views = [catalog.documented.current(one) for one in in_order() if one.kind == "view"]
            views += [catalog.documented.current(one) for one in catalog.documented.own().values()]
            schemas = {one.schema for one in views} | {"main", FILES, "workbench_log"}
            try:
                self._databases(sorted(schemas))
                self.scratch = self._folder()
                for name, table in TABLES.items():
                    self._base(table, catalog.held(name))
                known = {*(f"main.{name}" for name in TABLES), *(one.full for one in views)}
                for view in views:
                    self._view(view, known, columns)
                for macro in (one for one in in_order() if one.kind != "view"):
                    self._rows.append(
                        {"name": macro.full, "how": "macro", "version": None, "why": "written out where a translated query calls it"}
                    )
                self.spark.sql("USE main")
            except (PySparkException, Py4JError) as fault:
                self._given_up()
                raise QueryError(
                    f"Spark refused what the lake's tables stand on: {plain(getattr(fault, 'java_exception', None) or fault)}. What was registered before that "
                    f"was taken away again; {self._remedy(str(fault))} and call to_spark again."
                ) from fault
            except BaseException:
                self._given_up()
                raise
        left = sum(row["how"] == "left out" for row in self._rows)
        title = (
            f"{self.bench.lake.root} in Spark {self.spark.version}: {len(self._rows) - left} relations{f', {left} left out' * bool(left)}"
        )
        return Registered(title, sorted(self._rows, key=lambda row: (row["how"] != "left out", row["name"])), self)

    def translated(self, query: str) -> str:
        """A user's query as Spark runs it."""
        assert self._translator
        return self._translator.query(self.bench.catalog.translated(query))

    def _remedy(self, fault: str) -> str:
        """What helps against an error of Spark's."""
        if remote_of(self.bench.lake.root) and ("S3AFileSystem" in fault or 'scheme "s3a"' in fault):
            return (
                "it reads a bucket by hadoop-aws: start the session with spark.jars.packages org.apache.hadoop:hadoop-aws of its own Hadoop's version, and "
                "with spark.hadoop.fs.s3a.endpoint and keys,"
            )
        return "mend that"

    def _given_up(self) -> None:
        """Leave nothing of what was begun."""
        with suppress(Exception):
            self.clear()

    def clear(self) -> None:
        """Take away what was made."""
        for name in self._made:
            self.spark.sql(f"DROP DATABASE IF EXISTS {tick(name)} CASCADE")
        if self._made:
            self.spark.sql("USE default")
        self._made = []
        if self.scratch:
            shutil.rmtree(self.scratch, ignore_errors=True)

    # ------------------------------------------------------------------ databases and folders

    def _databases(self, schemas: Sequence[str]) -> None:
        held = {row[0] for row in self.spark.sql("SHOW DATABASES").collect()}
        for name in schemas:
            if name in held and not self._is_ours(name):
                raise UsageError(
                    f"the Spark session has a database {name} that is not this library's; nothing was registered. "
                    "Use a session with a catalog of its own, or drop that database."
                )
        for name in schemas:
            if name in held:
                self.spark.sql(f"DROP DATABASE {tick(name)} CASCADE")
            self.spark.sql(f"CREATE DATABASE {tick(name)} WITH DBPROPERTIES ('{OURS}' = {text_of(str(self.bench.lake.root))})")
            self._made.append(name)

    def _is_ours(self, name: str) -> bool:
        told = self.spark.sql(f"DESCRIBE DATABASE EXTENDED {tick(name)}").collect()
        return any(OURS in str(row[1]) for row in told)

    def _folder(self) -> Path:
        if self._given:
            self._given.mkdir(parents=True, exist_ok=True)
        return Path(tempfile.mkdtemp(prefix="workbench-spark-", dir=self._given))

    # ------------------------------------------------------------------ tables

    def _base(self, table: Table, shot: Snapshot) -> None:
        """A base table: what its folder holds, and of that the files of a version."""
        columns = ", ".join(f"{tick(c.name)} {spark_type(c.type)}" for c in table.columns)
        names = ", ".join(tick(c.name) for c in table.columns)
        how, folder = "files", self.bench.lake[table.name].folder
        if shot.stats is None:
            empty = ", ".join(f"CAST(NULL AS {spark_type(c.type)}) AS {tick(c.name)}" for c in table.columns)
            query = f"SELECT {empty} WHERE false"
        elif reads_delta(self.spark):
            how = "delta"
            query = f"SELECT {names} FROM delta.{tick(f'{place_of(folder)}@v{shot.version}')}"
        else:
            place = f"{FILES}.{tick(table.name)}"
            self.spark.sql(
                f"CREATE TABLE {place} ({columns}) USING parquet OPTIONS (recursiveFileLookup 'true') LOCATION {text_of(place_of(folder))}"
            )
            # Which Spark drops before it reads: files that a version no longer has, or not yet, are not opened.
            held = ", ".join(text_of(Path(path).name) for path in sorted(shot.paths))
            query = f"SELECT {names} FROM {place} WHERE _metadata.file_name IN ({held})"
        self.spark.sql(f"CREATE VIEW main.{tick(table.name)} COMMENT {text_of(table.doc)} AS {query}")
        self._rows.append({"name": f"main.{table.name}", "how": how, "version": shot.version, "why": None})

    def _view(self, view: View, known: set[str], columns: Mapping[str, Mapping[str, Mapping[str, str]]]) -> None:
        """A documented view: translated, after the relations that only DuckDB has; as rows where it reads files, or nothing that grows."""
        from pyspark.errors import PySparkException

        assert self._translator
        why = None
        try:
            foreign = [one for one in self._translator.reads(view.sql) if ".".join(one) not in known]
            # One of the session's own may have a name that Spark takes for none.
            here = bool(READS_FILES.search(view.sql)) or any(not re.fullmatch(r"\w+", name) for _, name in foreign)
            if not here:
                for schema, name in foreign:
                    self._hand(schema, name, columns[schema][name])
                    known.add(f"{schema}.{name}")
                query = self._translator.query(view.sql)
                self.spark.sql(f"CREATE VIEW {tick(view.schema)}.{tick(view.name)} COMMENT {text_of(view.doc)} AS {query}")
        except NotTranslated as fault:
            why, here = str(fault), self._only_rows(view)
        except PySparkException as fault:
            why, here = f"Spark refuses it: {fault.getCondition() or plain(fault)}", self._only_rows(view)
        how = "rows" if here else "left out" if why else "view"
        if how == "rows":
            self._hand(view.schema, view.name, columns[view.schema][view.name])
        self._rows.append({"name": view.full, "how": how, "version": None, "why": why})

    def _only_rows(self, view: View) -> bool:
        """Whether a view stands on nothing but what was handed over: its rows are then as good as its query."""
        assert self._translator
        held = {row["name"]: row["how"] for row in self._rows}
        try:
            return all(
                held.get(f"{schema}.{name}", "rows") == "rows" or self._stands_on_rows(f"{schema}.{name}")
                for schema, name in self._translator.reads(view.sql)
            )
        except NotTranslated:
            return False

    def _stands_on_rows(self, full: str) -> bool:
        documented = self.bench.catalog.documented
        one = next((view for view in in_order() if view.full == full), None)
        return one is not None and self._only_rows(documented.current(one))

    def _hand(self, schema: str, name: str, columns: Mapping[str, str]) -> None:
        """Write the rows that a relation of DuckDB's has now, and have Spark read them under its name."""
        import pyarrow.parquet as pq

        assert self.scratch
        full = f"{schema}.{name}"
        query = (
            RESHAPED.get(full)
            or f"SELECT {', '.join(handed(column, kind) for column, kind in columns.items())} FROM {quoted(schema)}.{quoted(name)}"
        )
        found = self.bench.catalog.ask(query)
        assert found is not None
        told = {column: str(kind) for column, kind in zip(found.columns, found.types, strict=True)}
        place = self.scratch / full
        place.mkdir()
        pq.write_table(found.to_arrow_table(), place / "rows.parquet")
        fields = ", ".join(f"{tick(column)} {spark_type(kind)}" for column, kind in told.items())
        self.spark.sql(f"CREATE TABLE {tick(schema)}.{tick(name)} ({fields}) USING parquet LOCATION {text_of(str(place))}")


# ---------------------------------------------------------------------- words


def described(con: Any) -> dict[str, dict[str, dict[str, str]]]:
    """The columns of every relation of a DuckDB session."""
    found: dict[str, dict[str, dict[str, str]]] = {}
    query = "SELECT schema_name, table_name, column_name, data_type FROM duckdb_columns() WHERE NOT internal ORDER BY column_index"
    for schema, table, column, kind in con.execute(query).fetchall():
        found.setdefault(schema, {}).setdefault(table, {})[column] = kind
    return found


def place_of(folder: Path) -> str:
    """Where Spark finds a folder of the lake: itself, or in the bucket by Hadoop's name of S3."""
    bucket = remote_of(folder)
    return str(folder) if bucket is None else bucket.url_of(folder).replace("s3://", "s3a://", 1)


def reads_delta(spark: "SparkSession") -> bool:
    """Whether a session reads Delta tables of itself: it has the classes, and is set up for them."""
    if any(want not in (spark.conf.get(name, "") or "") for name, want in DELTA.items()):
        return False
    try:
        spark._jvm.java.lang.Class.forName("io.delta.sql.DeltaSparkSessionExtension")  # type: ignore[union-attr]
    except Exception:
        # Py4J's own error, or no JVM to ask as in Spark Connect.
        return False
    return True
