"""What a condition in a query sees: the lake's tables and what is derived of them, and which of their columns are equal."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal, Protocol

from workbench.query.predicates import SPANS, TYPES
from workbench.query.trees import Node
from workbench.tables import Table


class Source(Protocol):
    """What stands in a FROM with columns that are known, those of a lake's table or of a subquery."""

    alias: str

    @property
    def columns(self) -> Sequence[str]:
        """The names of all columns, in lower case."""

    def key(self, name: str) -> str | None:
        """Under which name this source tells of a column; None of those by which no file can be left out."""

    def kind(self, key: str) -> str:
        """The type of such a column."""

    def of(self, leaf: "Leaf", key: str) -> str | None:
        """Which column of a table of the lake's is this one, in the rows that are made of that table's."""


@dataclass(eq=False)
class Leaf:
    """A table of the lake where it stands in a FROM, with what its files must meet to matter.

    `tests` and `lists` are the conditions of the SELECT that is being read, `made` and `among` those that have been translated. `only`, if not
    None, are the sources' columns that the former may speak of; the rest would change which rows an ASOF join matches.
    """

    node: Node
    table: Table
    alias: str
    tests: list[tuple[Node, "Sight"]] = field(default_factory=list)
    lists: list[tuple[str, str]] = field(default_factory=list)
    only: set[tuple[int, str]] | None = None
    made: list[str] = field(default_factory=list)
    among: list[str] = field(default_factory=list)

    @property
    def columns(self) -> Sequence[str]:
        return [c.name.lower() for c in self.table.columns]

    def key(self, name: str) -> str | None:
        name = name.lower()
        return "time" if name == self.table.time != "timestamp" else name if name in SPANS and name != "time" else None

    def kind(self, key: str) -> str:
        return TYPES[key]

    def of(self, leaf: "Leaf", key: str) -> str | None:
        return key if leaf is self else None


# The output of a query: names of columns, each with the spans of the lake's tables that it is, by the identity of the table, and under TYPE its type;
# none of them where it is NULL, and None where it is anything else.
TYPE = 0
Output = list[tuple[str, Mapping[int, str] | None]]


@dataclass(eq=False)
class Derived:
    """A subquery, or a CTE that is named once, whose columns are known."""

    alias: str
    output: Output

    @property
    def columns(self) -> Sequence[str]:
        return [name for name, _ in self.output]

    def key(self, name: str) -> str | None:
        name = name.lower()
        told = [origins or {} for column, origins in self.output if column == name]
        return name if len(told) == 1 and TYPE in told[0] else None

    def kind(self, key: str) -> str:
        return (dict(self.output)[key] or {})[TYPE]

    def of(self, leaf: Leaf, key: str) -> str | None:
        return (dict(self.output)[key] or {}).get(id(leaf))


@dataclass(frozen=True)
class Pair:
    """Two columns that are equal: in every row that matters, or only where a join found a row.

    `outer` is "one" where the row of `b` may be missing from those of `a`, and "both" where either may be.
    """

    a: Source
    x: str
    b: Source
    y: str
    outer: Literal["", "one", "both"] = ""

    def steps(self, *, missing: bool) -> "Iterator[tuple[tuple[Source, str], tuple[Source, str], bool]]":
        """From which column a condition passes on to which; `missing` says that it came to a row that may be missing, and `a` with it.

        What must be true of a row that matches need not be true of another that it does not match: there is no way back.
        """
        if not (missing and self.outer == "both"):
            yield (self.a, self.x), (self.b, self.y), missing or bool(self.outer)
        if not (missing and self.outer):
            yield (self.b, self.y), (self.a, self.x), missing or self.outer == "both"


@dataclass(frozen=True)
class Listed:
    """A relation of constants in a FROM: its alias and columns."""

    node: Node
    alias: str
    columns: tuple[str, ...]


@dataclass
class Sight:
    """What a condition sees: the sources whose columns it may name, and which of their columns are equal in every row that matters.

    `merged` are the columns that USING made one, each with the source whose column it is (None: unknown). `murky` says that a bare
    name may be anybody's.
    """

    visible: list[Source] = field(default_factory=list)
    pairs: list[Pair] = field(default_factory=list)
    merged: dict[str, Source | None] = field(default_factory=dict)
    aliases: list[str] = field(default_factory=list)
    listed: list[Listed] = field(default_factory=list)
    murky: bool = False

    def owner(self, names: Sequence[str]) -> tuple[Source, str] | None:
        """The source and column that a reference means; None if it is none of the lake's, or not surely."""
        name = names[-1].lower()
        if len(names) == 1:
            if self.murky:
                return None
            # Two sources with a column of that name would be an error of the query's, unless USING made them one.
            owners: list[Source | None]
            owners = [self.merged[name]] if name in self.merged else [one for one in self.visible if name in one.columns]
        else:
            owners = [one for one in self.visible if len(names) == 2 and one.alias == names[0].lower()]
            if self.aliases.count(names[0].lower()) != 1:
                return None
        if len(owners) != 1 or (owner := owners[0]) is None:
            return None
        key = owner.key(name)
        return (owner, key) if key else None

    def means(self, leaf: Leaf, names: Sequence[str]) -> str | None:
        """Which of a table's columns a reference equals, in every row that matters."""
        found = self.owner(names)
        if found is None:
            return None
        same: list[tuple[tuple[Source, str], bool]] = [(found, False)]
        for column, missing in same:
            for pair in self.pairs:
                for one, other, gone in pair.steps(missing=missing):
                    if one == column and (other, gone) not in same:
                        same.append((other, gone))
        for (source, key), _ in same:
            if (told := source.of(leaf, key)) and (leaf.only is None or (id(source), key) in leaf.only):
                return told
        return None

    def sole(self, name: str) -> Source | None:
        """The one source in sight that has a column."""
        owners = [one for one in self.visible if name in one.columns]
        return owners[0] if len(owners) == 1 and not self.murky else None


@dataclass
class Part:
    """A piece of a FROM: what is seen of it, and the tables whose rows conditions above it may thin out."""

    sight: Sight = field(default_factory=Sight)
    leaves: list[Leaf] = field(default_factory=list)
    strict: bool = False
