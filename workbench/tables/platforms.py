"""The documented platforms, and their tables: `PLATFORMS` by name, `RECORDS` by full name, `OTHER_NAMES` of them."""

from collections.abc import Mapping

from workbench.errors import UnknownName
from workbench.tables import ampyfin, kraken_bot, layers, shrek, tetra
from workbench.tables.record import Platform, Record

PLATFORMS: dict[str, Platform] = {module.PLATFORM.name: module.PLATFORM for module in (shrek, ampyfin, kraken_bot, tetra, layers)}
RECORDS: dict[str, Record] = {record.full: record for platform in PLATFORMS.values() for record in platform.records}
SCHEMAS: dict[str, Platform] = {schema: one for one in PLATFORMS.values() for schema in one.schemas}
# Full names, in lower case, that tables have after their platform's own databases, with their names here; not where a schema has the database's name.
OTHER_NAMES: dict[str, str] = {
    f"{database}.{theirs}".lower(): f"{one.schemas[0]}.{ours}"
    for one in PLATFORMS.values()
    for database, names in one.databases.items()
    if database.lower() not in SCHEMAS
    for theirs, ours in names.items()
}

_CALLED = {word: one for one in PLATFORMS.values() for word in (*one.schemas, *one.aliases, one.name)}


def platform(name: str) -> Platform:
    """The platform of that name, or of which that is a schema; raises `UnknownName` with the nearest names."""
    if isinstance(name, str) and name.lower() in _CALLED:
        return _CALLED[name.lower()]
    raise UnknownName("platform", str(name), _CALLED)


def record(name: str, of: str | None = None, among: Mapping[str, Record] = RECORDS) -> Record:
    """The documented table of that name: with its schema's, or its own where one table of the platform `of` has it.

    `among` are those of a lake, where people may have declared more. Raises `UnknownName` with the nearest names.
    """
    told = [f"{schema}.{name}" for schema in PLATFORMS[of].schemas] if of else []
    found = {full.lower() for full in (str(name), *told) if full.lower() in among}
    if len(found) == 1:
        return among[found.pop()]
    raise UnknownName("documented table", str(name), among, hint="`workbench tables --documents` lists them.")
