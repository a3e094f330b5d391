"""What is declared is what the platforms' documents say: columns, types, keys, checks, examples, and every name; read from the documents themselves."""

import ast
import json
import re
from collections.abc import Iterator
from datetime import date, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from workbench.tables.documents import named
from workbench.tables.mirrored import MIRRORED
from workbench.tables.platforms import PLATFORMS, RECORDS
from workbench.tables.record import Platform, Record

FOLDER = Path(__file__).resolve().parents[3] / "shared" / "documents"
pytestmark = pytest.mark.skipif(not FOLDER.is_dir(), reason="the platforms' documents are not beside the project")
TEXTS = {one.name: (FOLDER / f"{one.document}.txt").read_text(encoding="utf-8") if FOLDER.is_dir() else "" for one in PLATFORMS.values()}


def blocks(text: str, language: str) -> list[str]:
    """The parts of a document that are code of some language."""
    return re.findall(rf"^ *```{language}\n(.*?)^ *```", text, re.DOTALL | re.MULTILINE)


# ---------------------------------------------------------------------- CREATE TABLE

CREATED = [
    (RECORDS[name if "." in name else f"{platform}.{name}"], body)
    for platform, text in TEXTS.items()
    for name, body in re.findall(r"CREATE TABLE (\S+) \(\n(.*?)\n\);", text, re.DOTALL)
]


def parts(body: str) -> Iterator[tuple[str, str]]:
    """The columns of a CREATE TABLE with what is said of each; what is said of the table has no name."""
    for line in body.splitlines():
        text = re.sub(r"\s*--.*", "", line).strip().rstrip(",")
        name, _, rest = text.partition(" ")
        whole = name in ("PRIMARY", "CONSTRAINT") or name.startswith("UNIQUE(")
        yield ("", text) if whole else (name, rest)


def test_the_documents_create_six_tables() -> None:
    assert [record.full for record, _ in CREATED] == [
        *("ampyfin.price_data", "ampyfin.strategy_decisions", "market_data.ohlcv"),
        *("economic_data.economic_data", "news.news_articles", "events.event_data"),
    ]


@pytest.mark.parametrize(("record", "body"), CREATED, ids=lambda one: getattr(one, "full", ""))
def test_a_created_table_has_its_columns_types_and_rules(record: Record, body: str) -> None:
    columns = [(name, rest) for name, rest in parts(body) if name]
    assert [name for name, _ in columns] == [column.name for column in record.columns]
    checks = 0
    for name, rest in columns:
        column, kind = record[name], re.match(r"\w+(\(.*?\))?", rest)
        assert kind and (column.told or column.type) == kind[0].replace(" ", "")
        assert column.required == ("NOT NULL" in rest or "PRIMARY KEY" in rest)
        assert column.serial == ("AUTOINCREMENT" in rest)
        default = re.search(r"DEFAULT (\S+)", rest)
        assert column.default.lower() == (default[1].lower() if default else "")
        if check := re.search(r"CHECK \((.*)\)", rest):
            checks += 1
            assert check[1] in {one.rule for one in record.checks}
        if "PRIMARY KEY" in rest:
            assert record.key == (name,)
        if "UNIQUE" in rest:
            assert (name,) in record.unique
    for _, rest in (part for part in parts(body) if not part[0]):
        names = tuple(re.findall(r"\w+", rest[rest.rindex("(") :]))
        assert names == record.key if "PRIMARY" in rest else names in (record.key, *record.unique)
    added = re.findall(rf"ALTER TABLE {record.full} \n +(ADD CONSTRAINT .*?);", TEXTS["tetra"], re.DOTALL)
    rules = re.findall(r"ADD CONSTRAINT (\w+) CHECK \((.*)\)", "".join(added))
    assert set(rules) <= {(one.name, one.rule) for one in record.checks}
    # A signal's values stand in a remark.
    assert len(record.checks) == checks + len(rules) + (record.name == "strategy_decisions")


def test_the_daily_view_has_its_columns() -> None:
    [query] = re.findall(r"CREATE MATERIALIZED VIEW market_data.ohlcv_daily.*?SELECT(.*?)FROM", TEXTS["tetra"], re.DOTALL)
    columns = [re.findall(r"\w+", part)[-1] for part in re.split(r",\n", query.strip())]
    assert columns == [column.name for column in RECORDS["market_data.ohlcv_daily"].columns]


def test_the_archive_has_the_columns_of_what_it_archives() -> None:
    assert "CREATE TABLE market_data.ohlcv_archive AS \nSELECT * FROM market_data.ohlcv" in TEXTS["tetra"]
    assert RECORDS["market_data.ohlcv_archive"].columns == RECORDS["market_data.ohlcv"].columns


# ---------------------------------------------------------------------- collections

COLLECTIONS = re.findall(r"^#### Collection: `(\w+)`\n.*?```javascript\n(.*?)```", TEXTS["ampyfin"], re.DOTALL | re.MULTILINE)


def collection(name: str) -> Record:
    """The table of a collection, by the name that the document gives that."""
    [ours] = {tables[name] for tables in PLATFORMS["ampyfin"].databases.values() if name in tables}
    return RECORDS[f"ampyfin.{ours}"]


def written(value: Any) -> Any:
    """A value of an example as the document's JSON would have it."""
    if isinstance(value, dict):
        return {key: written(part) for key, part in value.items()}
    if isinstance(value, list):
        return [written(part) for part in value]
    return value.isoformat() if isinstance(value, date) and not isinstance(value, datetime) else value


def test_the_document_has_ten_collections() -> None:
    assert len(COLLECTIONS) == 10


@pytest.mark.parametrize(("name", "shown"), COLLECTIONS, ids=lambda one: one.split("\n")[0])
def test_a_collection_has_its_fields_and_its_example(name: str, shown: str) -> None:
    record = collection(name)
    told = json.loads(re.sub(r"\b(ObjectId|ISODate)\b", "null", re.sub(r"//.*", "", shown)))
    assert list(told) == [column.name for column in record.columns]
    for key, value in told.items():
        bare = re.search(rf'"{key}": (ObjectId|ISODate)', shown)
        assert record[key].told == ("object" if isinstance(value, dict) else bare[1] if bare else "")
        if value is not None:
            assert written(record.example[key]) == value
    if "data" in told:
        assert re.findall(r"(\w+) (?:DATE|DOUBLE)\[\]", record["data"].type) == list(told["data"])


# ---------------------------------------------------------------------- lists of tables, calls


def test_tables_that_are_only_named_are_all_there() -> None:
    lists = {
        "shrek": re.findall(r"^- `(\w+)`: ", TEXTS["shrek"].split("Key tables include:")[1].split("##")[0], re.MULTILINE),
        "kraken_bot": re.findall(r"^\d\. \*\*(\w+)\*\* - ", TEXTS["kraken_bot"], re.MULTILINE),
        "layers": re.findall(r"^- `(\w+)` - ", TEXTS["layers"], re.MULTILINE),
    }
    assert {name: len(tables) for name, tables in lists.items()} == {"shrek": 3, "kraken_bot": 9, "layers": 19}
    for name, tables in lists.items():
        assert [record.name for record in PLATFORMS[name].records] == tables


def test_a_signal_is_the_documents_own() -> None:
    [call] = re.findall(r"signal = Signal\((.*?)\n    \)", TEXTS["kraken_bot"], re.DOTALL)
    # The document has a quotation mark too many.
    call = call.replace('0.8"', "0.8").replace("datetime.utcnow()", "None")
    told = {word.arg: word.value for word in ast.parse(f"f({call})", mode="eval").body.keywords}  # type: ignore[attr-defined]
    example = RECORDS["kraken_bot.signals"].example
    assert list(told) == list(example)
    numbers = {name: Decimal(ast.literal_eval(told[name].args[0])) for name in ("price", "final_confidence")}
    rest = {name: ast.literal_eval(value) for name, value in told.items() if name not in {*numbers, "timestamp"}}
    assert {**numbers, **rest} == {name: value for name, value in example.items() if name != "timestamp"}


@pytest.mark.parametrize(("call", "table"), [("place_order", "transactional.orders"), ("insert_daily_pnl", "analytics.daily_pnl")])
def test_what_a_function_writes_is_the_example(call: str, table: str) -> None:
    [text] = re.findall(rf"{call}\((.*?)\)\n", TEXTS["layers"])
    told = {word.arg: ast.literal_eval(word.value) for word in ast.parse(f"f({text})", mode="eval").body.keywords}  # type: ignore[attr-defined]
    assert len(told) == 5
    assert {name: written(RECORDS[table].example[name]) for name in told} == told


def test_a_parameter_is_the_documents_own() -> None:
    assert "set_param('strategy', 'max_position_size', 1000)" in TEXTS["layers"]
    assert RECORDS["utilities.model_params"].example == {"model": "strategy", "name": "max_position_size", "value": "1000"}


# ---------------------------------------------------------------------- names

platforms = pytest.mark.parametrize("platform", PLATFORMS.values(), ids=lambda one: one.name)
# SQL that is not the platform's own.
PLAIN = {
    *("avg", "check", "count", "date", "decimal", "distinct", "extract", "in", "interval"),
    *("key", "max", "min", "now", "numeric", "over", "sum", "unique", "values", "varchar"),
}


@platforms
def test_what_is_said_of_stands_in_the_document(platform: Platform) -> None:
    text = TEXTS[platform.name]
    assert not [one.name for one in MIRRORED[platform.name] if one.name.removesuffix("()") not in text]


@platforms
def test_every_name_of_a_document_is_said_of(platform: Platform) -> None:
    text = TEXTS[platform.name]
    code = "\n".join(blocks(text, "python"))
    sql = "\n".join(re.sub(r"--.*", "", block) for block in blocks(text, "sql"))
    found = set(re.findall(r"\b(?:POST|GET) (/\S+?)`", text)) | set(re.findall(r'@\w+\.\w+\("(\S+?)"', code))
    found |= set(re.findall(r"^(?:async )?def (\w+)\(", code, re.MULTILINE)) | set(re.findall(r"\bPOLYGON_\w+", text))
    found |= set(re.findall(r"^#+ (?:Collection|Table|Database): `(.+)`", text, re.MULTILINE))
    found |= set(re.findall(r"CREATE SCHEMA IF NOT EXISTS (\w+)", sql)) | set(re.findall(r"\b(pg_\w+|timescaledb_\w+\.\w+)", sql))
    found |= {word for words in re.findall(r"^from (?:app|database)\S* import (.+)$", code, re.MULTILINE) for word in words.split(", ")}
    found |= {word for word in re.findall(r"\b([a-z_]+)\(", sql) if word not in PLAIN}
    found |= set(re.findall(r"\b[a-z]\w*\.(?:py|q)\b", text)) | set(re.findall(r"\b(?:Kafka|Redis|Docker|Alpaca)\b", text))
    said = " ".join(f"{one.name} {one.here}" for one in named(platform))
    assert not {word for word in found if not re.search(rf"(?<!\w){re.escape(word)}(?!\w)", said)}
