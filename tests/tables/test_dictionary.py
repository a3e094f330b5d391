"""The data dictionary in data/README.md, and the page docs/documents.md, are what the declarations say."""

from collections.abc import Callable
from pathlib import Path

import pytest

from workbench.query.dictionary import render
from workbench.query.dictionary import table as documented
from workbench.query.documented import View, every
from workbench.query.listing import doc, listed
from workbench.tables import TABLES, Table, dictionary, documents
from workbench.tables.platforms import RECORDS
from workbench.tables.record import Record

README = Path(__file__).parents[2] / "data" / "README.md"
PAGE = Path(__file__).parents[2] / "docs" / "documents.md"


def test_the_committed_dictionary_is_the_rendered_one() -> None:
    assert README.read_text(encoding="utf-8") == render(), "run `make dictionary`"


@pytest.mark.parametrize("table", TABLES.values(), ids=lambda table: table.name)
def test_a_table_is_described_with_all_its_columns(table: Table) -> None:
    section = "\n".join(dictionary.section(table))
    assert f"### {table.name}" in section
    assert all(feed.prefix in section for feed in table.feeds)
    assert all(f"| `{column.name}` | {column.type} |" in section for column in table.vendor)
    assert ("**not confirmed**" in section) == (not table.confirmed)


@pytest.mark.parametrize("view", [one for one in every().values() if listed(one)], ids=lambda view: view.full)
def test_a_view_or_macro_is_described_with_its_call_and_examples(view: View) -> None:
    rendered = README.read_text(encoding="utf-8")
    assert f"\n{view.doc}\n" in rendered
    assert view.kind == "view" or f"\n`{view.call}`\n" in rendered
    assert all(f"\n{example};\n" in rendered for example in view.examples)


@pytest.mark.parametrize("record", RECORDS.values(), ids=lambda record: record.full)
def test_a_documented_table_is_described_with_columns_rules_and_a_row(record: Record) -> None:
    section = "\n".join(documented(record))
    assert f"\n#### {record.full}\n" in section and f"\n{doc(record)}\n" in section
    assert all(f"\n| `{column.name}` | {column.type} |" in section for column in record.columns)
    assert all(f": {check.rule}\n" in section for check in record.checks)
    assert not record.key or f"\n- key: {', '.join(record.key)}\n" in section
    assert all(f'"{name}": ' in section for name in record.example)


def test_the_committed_page_of_documents_is_the_rendered_one() -> None:
    assert PAGE.read_text(encoding="utf-8") == documents.render(), "run `make dictionary`"


@pytest.mark.parametrize("page", [render, documents.render])
def test_every_row_of_a_markdown_table_has_as_many_cells_as_its_head(page: Callable[[], str]) -> None:
    block: list[int] = []
    for line in page().splitlines():
        if line.startswith("|"):
            block.append(line.replace("\\|", "").count("|"))
            assert block[-1] == block[0], line
        else:
            block = []
