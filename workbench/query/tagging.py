"""What a write fills in where its rows say nothing: who wrote them, where they come from, and whether they are a test's.

Rules that tell tests are declared with their tables, and changed in workbench.toml. They tag rows whose writer does not say `test_mode`; what he says stays.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import duckdb

from workbench.errors import BadSetting
from workbench.query.views import literal
from workbench.tables.record import Record, TestRule

if TYPE_CHECKING:
    import pyarrow as pa

    from workbench.query.staging import Mask

MODE, REASON = "test_mode", "test_reason"
# Of changed rules, by table and name; None where one is turned off.
Changed = Mapping[str, Mapping[str, TestRule | None]]


@dataclass(frozen=True)
class Filling:
    """What stands in columns of which a row says nothing, by name, and the rules that tell a test's rows."""

    values: Mapping[str, str] = field(default_factory=dict)
    rules: tuple[TestRule, ...] = ()


NOTHING = Filling()


def filling(record: Record, changed: Changed, told: Mapping[str, str | None]) -> Filling:
    """What a write to a table fills in: values that are told, in columns that it has, and its rules with what was changed of them."""
    values = {name: value for name, value in told.items() if value and name in record.names}
    if not {MODE, REASON} <= set(record.names):
        return Filling(values)
    rules = {rule.name: rule for rule in record.tests} | {**changed.get(record.full, {})}
    return Filling(values, tuple(rule for rule in rules.values() if rule))


def reasons(con: duckdb.DuckDBPyConnection, rows: str, rules: Sequence[TestRule], order: str) -> "pa.Array":
    """Of each row of a relation why it is a test's, or an empty text. Raises `BadSetting` for a rule that cannot be asked."""

    def why(some: Sequence[TestRule]) -> "pa.Array":
        told = ", ".join(f"CASE WHEN ({one.rule}) THEN {literal(one.reason)} END" for one in some)
        return con.sql(f"SELECT concat_ws('; ', {told}) AS v FROM {rows} ORDER BY {order}").to_arrow_table()["v"].combine_chunks()

    try:
        return why(rules)
    except duckdb.Error:
        for one in rules:
            try:
                why([one])
            except duckdb.Error as fault:
                raise BadSetting(
                    f"the test rule {one.name} is {one.rule!r}, which is no condition over the table's columns "
                    f"({str(fault).splitlines()[0]}); nothing was written. Mend it in workbench.toml under [test_rules]."
                ) from fault
        raise


def marked(columns: "Mapping[str, pa.Array]", why: "pa.Array", untold: "Mask") -> "dict[str, pa.Array]":
    """The two columns that say whether rows are a test's, where those that do not say it themselves have a reason to be one."""
    import pyarrow as pa
    import pyarrow.compute as pc

    hit = pc.and_(pa.array(untold), pc.not_equal(why, ""))
    return {
        MODE: pc.if_else(hit, True, columns[MODE]),
        REASON: pc.if_else(pc.and_(hit, pc.is_null(columns[REASON])), why, columns[REASON]),
    }
