"""Queries of a documented platform over tables in DuckDB's memory, which stand under the platform's names."""

from typing import Any

import duckdb

from workbench.query.buckets import query_error
from workbench.query.idioms.using import Using


class Asked:
    """A platform in use over a DuckDB that holds only what a test puts there."""

    def __init__(self, platform: str, *statements: str):
        self.using = Using(platform)
        self.con = duckdb.connect()
        self.con.execute("SET GLOBAL TimeZone = 'America/New_York'")
        for statement in statements:
            self.con.execute(statement)

    def relation(self, text: str, **values: object) -> Any:
        run = self.using.run(text, values)
        while run.goes_on():
            try:
                run.ran(self.con.sql(run.sql, params=dict(run.values) or None))
            except duckdb.Error as fault:
                run.refused(query_error(fault))
        return run.result

    def rows(self, text: str, **values: object) -> list[tuple[Any, ...]]:
        return self.relation(text, **values).fetchall()  # type: ignore[no-any-return]

    def one(self, text: str, **values: object) -> Any:
        [(value,)] = self.rows(f"SELECT {text}", **values)
        return value

    def sql(self, text: str) -> str:
        """What DuckDB gets first."""
        return ";\n".join(one.sql for one in self.using.read(text))
