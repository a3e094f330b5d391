"""Which lake a root holds: named once, refused when it is newer than the library."""

import json
import os
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

import workbench
from workbench import __version__
from workbench.errors import LakeError, NewerLake
from workbench.lake import identity
from workbench.lake.operations import Operations
from workbench.lake.store import Lake

FEEDS = "kraken_bot.rss_feeds"


def newer(root: Path) -> None:
    """Have a root say that a later library made it."""
    (root / "lake.json").write_text(
        json.dumps({"format": identity.FORMAT + 1, "id": "f" * 32, "made_by": "9.0", "made_at": "2031-01-01T00:00:00"})
    )


def test_a_lake_is_named_when_it_is_made_and_stays_the_same(tmp_path: Path) -> None:
    assert identity.identity(tmp_path) == identity.UNNAMED
    Lake(tmp_path).make()
    found = identity.identity(tmp_path)
    assert (len(found.id), found.format, found.made_by) == (32, identity.FORMAT, __version__)
    Lake(tmp_path).make()
    assert identity.identity(tmp_path) == found == identity.claim(tmp_path)
    assert [path.name for path in tmp_path.iterdir() if "json" in path.name] == ["lake.json"]


def test_many_that_name_a_lake_at_once_agree(tmp_path: Path) -> None:
    with ThreadPoolExecutor(8) as pool:
        found = list(pool.map(lambda _: identity.claim(tmp_path), range(32)))
    assert len({one.id for one in found}) == 1
    assert sorted(path.name for path in tmp_path.rglob("*")) == ["lake.json", "tmp"]


def test_a_disk_that_makes_no_links_holds_a_named_lake_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise PermissionError(1, "Operation not permitted")

    monkeypatch.setattr(os, "link", refuse)
    assert identity.claim(tmp_path).id == identity.identity(tmp_path).id != ""


def test_another_file_in_its_place_is_read_anew(tmp_path: Path) -> None:
    before = identity.claim(tmp_path)
    (tmp_path / "lake.json").unlink()
    assert identity.identity(tmp_path) == identity.UNNAMED
    assert identity.claim(tmp_path).id != before.id


def test_a_newer_lake_is_neither_opened_nor_written(tmp_path: Path) -> None:
    lake = Lake(tmp_path)
    lake.make()
    bench = workbench.open(tmp_path)
    bench.append(FEEDS, {"url": "before", "name": "A"})
    newer(tmp_path)
    with pytest.raises(NewerLake, match=r"made by workbench 9\.0, in format 3; .* reads up to format 2: nothing was opened\. Install"):
        workbench.open(tmp_path)
    with pytest.raises(NewerLake, match="nothing was written"):
        lake.make()
    with pytest.raises(NewerLake, match="nothing was written"), Operations(tmp_path).writing():
        pass
    with pytest.raises(NewerLake, match="stock_day was not made"):
        lake["stock_day"].create()
    # A bench that was open before does not write either.
    with pytest.raises(NewerLake):
        bench.append(FEEDS, {"url": "after", "name": "A"})
    bench.close()


@pytest.mark.parametrize(
    "text", ["", "{", "[]", '{"format": 2}', '{"id": "x", "format": "new"}', '{"id": "", "format": 2}', '{"id": "x", "format": 0}']
)
def test_a_damaged_name_is_told(tmp_path: Path, text: str) -> None:
    (tmp_path / "lake.json").write_text(text)
    with pytest.raises(LakeError, match=r"lake\.json cannot be read .* nothing was opened or written\. Bring"):
        identity.identity(tmp_path)
