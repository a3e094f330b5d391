"""What was last done to keep a lake safe, as `journal/backups.json` keeps it."""

from pathlib import Path

import pytest

from workbench.lake.backup.notes import NAME, last, noted


def test_the_newest_of_a_kind_is_told_and_the_newest_good_one(tmp_path: Path) -> None:
    good = noted(tmp_path, "backup", "/backups", "20261122T104500Z-0a1b", seconds=2.5, size=1_000, said="3 files")
    bad = noted(tmp_path, "backup", "/backups", good=False, said="the disk is full")

    assert last(tmp_path, "backup") == bad
    assert last(tmp_path, "backup", good=True) == good
    assert last(tmp_path, "drill") is None


@pytest.mark.parametrize(
    "text", ["", "{", "[]", '{"backup": 3}', '{"backup": {"last": {"at": "no instant"}}}', '{"backup": {"last": null}}']
)
def test_a_note_that_cannot_be_read_is_none_and_is_written_anew(tmp_path: Path, text: str) -> None:
    (tmp_path / "journal").mkdir()
    (tmp_path / "journal" / NAME).write_text(text)

    assert last(tmp_path, "backup") is None
    made = noted(tmp_path, "backup", "/backups")
    assert last(tmp_path, "backup") == made
    assert list((tmp_path / "journal").iterdir()) == [tmp_path / "journal" / NAME]


def test_a_kind_that_nobody_knows_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="not one of"):
        noted(tmp_path, "bakcup", "/backups")
