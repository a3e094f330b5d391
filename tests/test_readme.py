"""The README says what the code does: settings, commands and links."""

import re
from pathlib import Path

import pytest

from workbench.cli import main
from workbench.config import Settings

REPOSITORY = Path(__file__).parents[1]
README = (REPOSITORY / "README.md").read_text()


@pytest.mark.parametrize("name", sorted(Settings.declared()))
def test_every_setting_is_in_the_table_with_its_meaning(name: str) -> None:
    declared = Settings.declared()[name]
    variables = ", ".join(f"`{variable}`" for variable in declared.metadata["variables"])
    [line] = [line for line in README.splitlines() if line.startswith(f"| {variables} |")]
    assert line.endswith(f"| {declared.metadata['doc']} |")


def test_every_command_that_is_shown_exists() -> None:
    shown = set(re.findall(r"^    (?:\$ )?workbench (\w+)", README, re.MULTILINE)) | set(re.findall(r"`workbench (\w+)", README))
    assert shown and shown <= set(main.commands)


def test_every_make_target_that_is_shown_exists() -> None:
    targets = set(re.findall(r"^([a-z-]+):", (REPOSITORY / "Makefile").read_text(), re.MULTILINE))
    shown = set(re.findall(r"make ((?!and|\.)[a-z-]+)", README))
    assert shown and shown - {"needs"} <= targets


@pytest.mark.parametrize("link", sorted(set(re.findall(r"\]\(([^)#:]+)\)", README))))
def test_every_link_leads_somewhere(link: str) -> None:
    assert (REPOSITORY / link).exists()


def test_the_policies_that_are_shown_can_be_loaded(tmp_path: Path) -> None:
    shown = re.findall(r"```toml\n(.*?)```", README, re.DOTALL)
    (tmp_path / "workbench.toml").write_text("\n".join(shown))

    settings = Settings.load({}, tmp_path)

    assert str(settings.retention["stock_minute"]) == "keep 2 years, then archive"
    assert (str(settings.maintain.compact_after), settings.maintain.seconds) == ("30 days", 60)
    rules = settings.test_rules["kraken_bot.trades"]
    assert rules["price_above"] is None
    assert rules["amount_above"] and rules["amount_above"].rule == "amount > 500"
