"""The data dictionary in data/README.md is what the declarations say."""

from pathlib import Path

import pytest

from workbench.tables import TABLES, Table, dictionary

README = Path(__file__).parents[2] / "data" / "README.md"


def test_the_committed_dictionary_is_the_rendered_one() -> None:
    assert README.read_text(encoding="utf-8") == dictionary.render(), "run `make dictionary`"


@pytest.mark.parametrize("table", TABLES.values(), ids=lambda table: table.name)
def test_a_table_is_described_with_all_its_columns(table: Table) -> None:
    section = "\n".join(dictionary.section(table))
    assert f"### {table.name}" in section
    assert all(feed.prefix in section for feed in table.feeds)
    assert all(f"| `{column.name}` | {column.type} |" in section for column in table.vendor)
    assert ("**not confirmed**" in section) == (not table.confirmed)


def test_every_row_of_a_markdown_table_has_as_many_cells_as_its_head() -> None:
    block: list[int] = []
    for line in dictionary.render().splitlines():
        if line.startswith("|"):
            block.append(line.replace("\\|", "").count("|"))
            assert block[-1] == block[0], line
        else:
            block = []
