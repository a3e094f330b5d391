"""A layer over PostgreSQL, KDB+ and TimescaleDB, without a name of its own. Its document names the tables and gives no columns."""

from workbench.tables import layers_analytics, layers_historical, layers_transactional, layers_utilities
from workbench.tables.record import Platform

PLATFORM = Platform(
    name="layers",
    title="A layer over PostgreSQL, KDB+ and TimescaleDB, without a name of its own.",
    document="004_26ba1580175c944d",
    schemas=("transactional", "historical", "analytics", "utilities"),
    dialect="postgres",
    aliases=("kdb", "database_layer"),
    records=(*layers_transactional.RECORDS, *layers_historical.RECORDS, *layers_analytics.RECORDS, *layers_utilities.RECORDS),
)
