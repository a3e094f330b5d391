"""Which documented table each table of an old database is, and which column of ours each column of theirs."""

import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence, Set
from dataclasses import dataclass, field, replace

from workbench.errors import UnknownName, UsageError
from workbench.importers.identity import identity
from workbench.importers.origin import Held
from workbench.tables import platforms
from workbench.tables.platforms import PLATFORMS, RECORDS
from workbench.tables.record import Field, Record

# Schemas that databases put everything into, so that they say nothing of a table.
COMMON = frozenset({"public", "main", "dbo", "temp"})
HOW_TO_MAP = "--map theirs=schema.table says which it is"
WRITE = "Write theirs=schema.table, or theirs=schema.table:theircolumn=ourcolumn,…"


@dataclass(frozen=True)
class Map:
    """What somebody says: a table of theirs is one of ours, and columns of theirs are columns of ours; "" for a column that is left out."""

    theirs: str
    ours: str
    columns: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Match:
    """A table of theirs, and what it becomes.

    `columns` are theirs with ours, `left_out` those of theirs that have none here, `absent` those of ours that they lack. `identity` are the columns
    that tell rows apart, of ours; without any it is the whole row. `fault` says in a sentence why nothing of it is imported, and `harmless` whether
    nothing is missing here for that. `how` says how it was found.
    """

    held: Held
    record: Record | None = None
    columns: Mapping[str, str] = field(default_factory=dict)
    left_out: tuple[str, ...] = ()
    absent: tuple[Field, ...] = ()
    identity: tuple[str, ...] = ()
    how: str = ""
    fault: str = ""
    harmless: bool = False

    @property
    def theirs(self) -> str:
        """Its name in the old database."""
        return self.held.name

    @property
    def ours(self) -> str:
        """The full name of the table that it becomes; empty if there is none."""
        return self.record.full if self.record else ""

    @property
    def time(self) -> str:
        """The column of ours in whose order rows come that only the whole row tells apart; empty where others do, or there is no such column."""
        if self.identity or not self.record:
            return ""
        return next((one.name for one in self.record.columns if one.required and one.name in self.columns.values() and timed(one)), "")


def timed(column: Field) -> bool:
    """Whether a column tells a day or an instant."""
    return column.type in ("TIMESTAMPTZ", "DATE")


# ---------------------------------------------------------------------- what was said


def maps_of(maps: Mapping[str, object] | Iterable[str | Map] | None) -> list[Map]:
    """What was said of tables: texts as at the prompt, or a dict from theirs to ours or to ours with its columns. Raises `UsageError`."""
    if maps is None:
        return []
    if isinstance(maps, str):
        return [map_of(maps)]
    if isinstance(maps, Mapping):
        return [of_pair(theirs, ours) for theirs, ours in maps.items()]
    return [one if isinstance(one, Map) else map_of(one) for one in maps]


def of_pair(theirs: object, ours: object) -> Map:
    """An entry of a dict: `{"prices": "market_data.ohlcv"}`, or `{"prices": ("market_data.ohlcv", {"t": "timestamp"})}`."""
    if isinstance(ours, str) and isinstance(theirs, str):
        return map_of(f"{theirs}={ours}")
    if isinstance(theirs, str) and isinstance(ours, Sequence) and len(ours) == 2 and isinstance(ours[1], Mapping):
        return Map(theirs, str(ours[0]), {str(one): str(to or "") for one, to in ours[1].items()})
    raise UsageError(
        f"{theirs!r}: {ours!r} maps no table; nothing was read. "
        'Give {"theirs": "schema.table"}, or {"theirs": ("schema.table", {"theircolumn": "ourcolumn"})}.'
    )


def map_of(text: object) -> Map:
    """`theirs=schema.table[:theircolumn=ourcolumn,…]`. Raises `UsageError`."""
    theirs, equals, rest = str(text).partition("=")
    ours, _, told = rest.partition(":")
    pairs = [pair.partition("=") for pair in told.split(",") if pair.strip()]
    if not equals or not theirs.strip() or not ours.strip() or any(not mark or not one.strip() for one, mark, _ in pairs):
        raise UsageError(f"{str(text)!r} maps no table; nothing was read. {WRITE}")
    names = [one.strip() for one, _, _ in pairs]
    if twice := [one for one, count in Counter(names).items() if count > 1]:
        raise UsageError(f"{str(text)!r} says twice what {twice[0]} is; nothing was read. Say it once.")
    return Map(theirs.strip(), ours.strip(), {one.strip(): to.strip() for one, _, to in pairs})


# ---------------------------------------------------------------------- tables


def matched(
    tables: Sequence[Held],
    records: Mapping[str, Record] = RECORDS,
    *,
    maps: Sequence[Map] = (),
    platform: str | None = None,
    only: Sequence[str] = (),
    database: str = "",
) -> list[Match]:
    """What each table becomes, those first that others refer to; of `only` some, if any are named.

    `database` is the old database's own name, which some put before their tables'. Raises `UnknownName` for a table, column or platform that is not
    there, and `UsageError` for maps that contradict each other.
    """
    of = platforms.platform(platform).name if platform is not None else None
    said = resolved(maps, tables, records, of)
    # Which platform's a database is shows in all its tables, also where only some are asked for.
    schemas = {held.name.lower().rpartition(".")[0] for held in tables}
    found = {held.name: named(held, schemas, records, said, of, database) for held in tables}
    found = fitted(found, tables, schemas, records, of, database)
    chosen = [found[held.name] for held in selected(tables, only, found)]
    return in_order(alone([with_columns(one, said.get(one.theirs)) if one.record and not one.fault else one for one in chosen], said))


def resolved(maps: Sequence[Map], tables: Sequence[Held], records: Mapping[str, Record], of: str | None) -> dict[str, Map]:
    """What was said, by the names that their tables have, with the full names of ours."""
    said: dict[str, Map] = {}
    for one in maps:
        meant = theirs_called(one.theirs, tables)
        if not meant:
            raise UnknownName("table to map in this database", one.theirs, (each.name for each in tables))
        held, *more = meant
        if more:
            raise UsageError(
                f"--map {one.theirs} means {held.name} and {', '.join(each.name for each in more)}; nothing was read. Write its whole name."
            )
        if held.name in said:
            raise UsageError(f"--map says twice what {held.name} is; nothing was read. Say it once.")
        record = platforms.record(one.ours.lower(), of, records)
        columns = {}
        for theirs, ours in one.columns.items():
            known = {name.lower(): name for name in held.names} | {name: name for name in held.names}
            if (own := known.get(theirs) or known.get(theirs.lower())) is None:
                raise UnknownName(f"column to map of {held.name}", theirs, held.names)
            columns[own] = record[ours.lower() if ours not in record.names else ours].name if ours else ""
        if twice := [name for name, count in Counter(filter(None, columns.values())).items() if count > 1]:
            raise UsageError(f"--map makes two columns of {held.name} the {twice[0]} of {record.full}; nothing was read. Name one.")
        said[held.name] = Map(held.name, record.full, columns)
    return said


def theirs_called(word: str, tables: Sequence[Held]) -> list[Held]:
    """The tables of theirs that a word means: its name as it is, in any case, or without what stands before it."""
    exact = [one for one in tables if one.name == word]
    alike = [one for one in tables if one.name.lower() == word.lower()]
    return exact or alike or [one for one in tables if one.name.lower().rpartition(".")[2] == word.lower()]


def selected(tables: Sequence[Held], only: Sequence[str], found: Mapping[str, Match]) -> list[Held]:
    """The tables that are asked for, by their names or by ours. Raises `UnknownName`."""
    if not only:
        return list(tables)
    some: dict[str, Held] = {}
    for word in only:
        meant = theirs_called(word, tables) or [
            one for one in tables if word.lower() in (found[one.name].ours, found[one.name].ours.rpartition(".")[2])
        ]
        if not meant:
            raise UnknownName("table in this database", word, (one.name for one in tables))
        some |= {one.name: one for one in meant}
    return list(some.values())


def named(held: Held, schemas: Set[str], records: Mapping[str, Record], said: Mapping[str, Map], of: str | None, database: str) -> Match:
    """What a table's name alone says that it is; no record where it takes a platform to know."""
    if held.name in said:
        return Match(held, records[said[held.name].ours], how="--map")
    for called in dict.fromkeys((held.name.lower(), f"{database}.{held.name}".lower())):
        for one in PLATFORMS.values():
            for its, names in one.databases.items():
                ours = {f"{its}.{theirs}".lower(): mine for theirs, mine in names.items()}.get(called)
                if ours and (of is None or of == one.name):
                    return Match(held, RECORDS[f"{one.schemas[0]}.{ours}"], how=f"{one.name}'s database {its}")
    if record := records.get(held.name.lower()):
        return Match(held, record, how="its full name")
    own = [record for full, record in records.items() if full not in RECORDS and record.name == bare(held, schemas, database)]
    if of is None and len(own) == 1 and not any(record.name == own[0].name for record in RECORDS.values()):
        return Match(held, own[0], how="its name")
    return Match(held)


def bare(held: Held, schemas: Set[str], database: str) -> str:
    """A table's name without what says nothing: a schema that everything is in, or the database's name. Empty for one of another schema's."""
    before, dot, name = held.name.lower().rpartition(".")
    return name if not dot or before in COMMON or before == database.lower() or schemas == {before} else ""


def fitted(
    found: Mapping[str, Match],
    tables: Sequence[Held],
    schemas: Set[str],
    records: Mapping[str, Record],
    of: str | None,
    database: str,
) -> dict[str, Match]:
    """The tables that their names alone did not tell, as those of the platform that was named, or else of the one that all fit best."""
    names = {held.name: bare(held, schemas, database) for held in tables if not found[held.name].record}
    chosen, tied = ([of], []) if of else best(found, names)
    made = dict(found)
    for held in tables:
        if held.name not in names:
            continue
        record = next((record for platform in chosen for record in of_platform(str(platform), names[held.name], records)), None)
        options = [record.full for platform in tied for record in of_platform(platform, names[held.name], records)]
        if options:
            fault = f"{held.name} may be {' or '.join(options)}; nothing of it was imported. Say which with --platform {' or '.join(tied)}"
            made[held.name] = Match(held, fault=fault)
        elif record is None:
            made[held.name] = Match(held, fault=unfit(held, names[held.name], of, records))
        else:
            made[held.name] = Match(held, record, how=f"its name in {chosen[0]}")
    # What cannot be read is told as that, whatever it is called.
    return {name: replace(one, fault=one.held.fault) if one.held.fault else one for name, one in made.items()}


def best(found: Mapping[str, Match], names: Mapping[str, str]) -> tuple[list[str], list[str]]:
    """The platform that most tables fit by their names, and then most columns; or those that fit alike."""
    scores = {}
    for platform in PLATFORMS:
        sure = [one.record for one in found.values() if one.record and one.record.schema in PLATFORMS[platform].schemas]
        told = [(found[name].held, record) for name, called in names.items() for record in of_platform(platform, called, RECORDS)[:1]]
        if told:
            scores[platform] = (len(sure) + len(told), sum(len(paired(held, record)) for held, record in told))
    top = [platform for platform, score in scores.items() if score == max(scores.values())]
    return (top, []) if len(top) == 1 else ([], top)


def of_platform(platform: str, name: str, records: Mapping[str, Record]) -> list[Record]:
    """The table of that name in a platform's schemas, by its name here or in the platform's own databases."""
    its = PLATFORMS[platform]
    theirs = {mine: ours for names in its.databases.values() for mine, ours in ((one.lower(), to) for one, to in names.items())}
    return [records[full] for schema in its.schemas for full in (f"{schema}.{theirs.get(name, name)}",) if name and full in records]


def unfit(held: Held, called: str, of: str | None, records: Mapping[str, Record]) -> str:
    """What to say of a table that fits nothing."""
    name = called or held.name.lower().rpartition(".")[2]
    near = [full for full in records if full.rpartition(".")[2] == name]
    own = [full for full in near if of and full.partition(".")[0] in PLATFORMS[of].schemas]
    if of and near and not own:
        why = f"{of} documents no table {name}"
    elif called or not near:
        why = f"no documented table is called {name}"
    else:
        why = f"its schema is none of ours, so that it may be another {name}"
    return f"{held.name}: {why}; nothing of it was imported. --map {held.name}={near[0] if near else 'schema.table'} says which it is"


def alone(found: Sequence[Match], said: Mapping[str, Map]) -> list[Match]:
    """The same, where several tables would become one: rows of one would take the place of those of another. A map goes before a guess."""
    made = []
    # Few of many tables are ours, and only those can meet.
    known = [one for one in found if one.record]
    for one in found:
        same = [each for each in known if one.record and not one.fault and not each.fault and each.ours == one.ours]
        mapped = [each for each in known if each.theirs in said and one.record and each.ours == one.ours]
        if len(mapped) > 1 and one in mapped:
            both = " and ".join(each.theirs for each in mapped)
            raise UsageError(
                f"--map makes {both} one table, {one.ours}, where rows of one would take the place of the other's; nothing was read. "
                "Import them one after the other, with --tables, if their keys differ."
            )
        if len(same) > 1 and one not in mapped:
            others = " and ".join(each.theirs for each in same if each != one)
            one = replace(
                one,
                fault=f"{one.theirs} would become {one.ours}, as {others}; nothing of it was imported. {HOW_TO_MAP}, or --tables chooses",
            )
        made.append(one)
    return made


def in_order(found: Sequence[Match]) -> list[Match]:
    """Tables with those that they refer to before them; those of which nothing is imported last."""
    left = sorted((one for one in found if not one.fault), key=lambda one: one.theirs)
    made: list[Match] = []
    while left:
        waiting = {one.ours for one in left}
        ready = [one for one in left if not any(to.table in waiting - {one.ours} for to in one.record.references)] if left else []  # type: ignore[union-attr]
        # Tables that refer to each other in a ring come as they are.
        made += ready or left
        left = [one for one in left if one not in made]
    return made + [one for one in found if one.fault]


# ---------------------------------------------------------------------- columns


def with_columns(one: Match, said: Map | None) -> Match:
    """A match with its columns; with a fault, where the table takes no rows or rows would lack what they must have."""
    record = one.record
    assert record
    if not record.takes_rows:
        made_of = " and ".join(record.fed) or "other tables"
        return replace(
            one, fault=f"{one.theirs} is {record.full}, which is computed here from {made_of}; it needs no import", harmless=True
        )
    columns = paired(one.held, record, said.columns if said else {})
    came = set(columns.values())
    absent = tuple(column for column in record.columns if column.name not in came)
    one = replace(
        one,
        columns=columns,
        left_out=tuple(its.name for its in one.held.columns if its.name not in columns and not its.made),
        absent=absent,
        identity=identity(record, came),
    )
    if lacking := [column.name for column in absent if needed(record, column)]:
        return replace(
            one,
            fault=(
                f"{one.theirs} has no {' and no '.join(lacking)}, which every row of {record.full} must have; nothing of it was imported. "
                f"--map {one.theirs}={record.full}:theircolumn={lacking[0]} says which column it is"
            ),
        )
    if not columns:
        return replace(one, fault=f"{one.theirs} has no column that {record.full} has; nothing of it was imported. --map names them")
    return one


def needed(record: Record, column: Field) -> bool:
    """Whether every row must say a value for a column."""
    return (column.required or column.name in record.key) and not column.default and not column.serial


def paired(held: Held, record: Record, said: Mapping[str, str] | None = None) -> dict[str, str]:
    """The columns of theirs that are columns of ours: those that were mapped, then by name as it is, in any case, in snake_case, and `_id` for `id`."""
    said = said or {}
    made = {theirs: ours for theirs, ours in said.items() if ours}
    ways = (
        lambda name: name,
        lambda name: name.lower(),
        lambda name: snake(name),
        lambda name: {"id": "_id", "_id": "id"}.get(name.lower(), ""),
    )
    for way in ways:
        for theirs in held.names:
            ours = way(theirs)
            if theirs not in made and theirs not in said and ours in record.names and ours not in made.values():
                made[theirs] = ours
    return {theirs: made[theirs] for theirs in held.names if theirs in made}


def snake(name: str) -> str:
    """A name in small letters, its words apart: avgCost and "Average Cost" are avg_cost and average_cost."""
    apart = re.sub(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])|[\s-]+", "_", name.strip())
    return re.sub(r"__+", "_", apart).lower()
