"""A folder laid out like the vendor's bucket."""

import errno
import hashlib
import json
import os
import pickle
import time
from datetime import date
from pathlib import Path

import pytest

from workbench.errors import BrokenDownload, SourceError, UsageError
from workbench.sources import Fetched, FlatFile, Source, folder
from workbench.sources.folder import Folder
from workbench.tables import Feed, find

[DAY] = find("stock_day").feeds
[MINUTE] = find("stock_minute").feeds
MON, TUE, WED = date(2014, 6, 9), date(2014, 6, 10), date(2014, 6, 11)
LONG_AGO_NS = 1_400_000_000 * 10**9


def put(root: Path, day: date, data: bytes, feed: Feed = DAY, changed_ns: int = LONG_AGO_NS) -> Path:
    path = root / f"{feed.prefix}/{day:%Y/%m/%Y-%m-%d}.csv.gz"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)
    os.utime(path, ns=(changed_ns, changed_ns))
    return path


@pytest.fixture
def hashed(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The names of the files whose md5 was taken."""
    names: list[str] = []
    honest = folder.md5_of

    def md5_of(path: Path) -> str:
        names.append(path.name)
        return honest(path)

    monkeypatch.setattr(folder, "md5_of", md5_of)
    return names


def test_a_range_is_listed_oldest_first(tmp_path: Path) -> None:
    for day in (WED, MON, date(2013, 12, 31), date(2014, 6, 12)):
        put(tmp_path, day, b"rows")
    put(tmp_path, TUE, b"rows", MINUTE)

    files = Folder(tmp_path).list(DAY, date(2013, 12, 31), WED)

    assert [file.place[2] for file in files] == [date(2013, 12, 31), MON, WED]
    assert files[1] == FlatFile("us_stocks_sip/day_aggs_v1/2014/06/2014-06-09.csv.gz", hashlib.md5(b"rows").hexdigest(), 4)


def test_files_that_are_no_flat_files_are_passed_over(tmp_path: Path) -> None:
    month = put(tmp_path, MON, b"rows").parent
    for name in ("2014-06-10.csv", "._2014-06-10.csv.gz", "2014-06-31.csv.gz", "2014-07-01.csv.gz", "notes.csv.gz"):
        (month / name).write_bytes(b"?")
    (month / "2014-06-11.csv.gz").mkdir()
    (month / "2014-06-12.csv.gz").symlink_to(tmp_path / "nowhere")
    (month.parent / "junk").mkdir()
    (month.parent.parent / "readme").mkdir()

    assert [file.place[2] for file in Folder(tmp_path).list(DAY, date.min, date.max)] == [MON]


def test_a_feed_that_is_absent_is_an_empty_list(tmp_path: Path) -> None:
    put(tmp_path, MON, b"rows")

    assert list(Folder(tmp_path).list(MINUTE, MON, TUE)) == []
    assert list(Folder(tmp_path).list(DAY, TUE, MON)) == []


def test_a_parent_that_holds_flatfiles_is_accepted(tmp_path: Path) -> None:
    path = put(tmp_path / "flatfiles", MON, b"rows")
    source = Folder(tmp_path)
    [file] = source.list(DAY, MON, MON)

    assert file.key == "us_stocks_sip/day_aggs_v1/2014/06/2014-06-09.csv.gz"
    assert source.fetch(file, tmp_path / "new") == Fetched(path, 0, lent=True)
    assert not (tmp_path / "new").exists()


def test_a_folder_that_is_none_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").write_text("?")
    (tmp_path / "empty").mkdir()
    monkeypatch.chdir(tmp_path)

    for name, trouble in (("absent", "does not exist"), ("file", "is not a folder"), ("empty", "holds no flat files")):
        with pytest.raises(UsageError, match=f"{tmp_path}/{name} {trouble}; nothing was listed. .*us_stocks_sip/day_aggs_v1") as caught:
            Folder(Path(name))
        assert str(pickle.loads(pickle.dumps(caught.value))) == str(caught.value)


def test_a_file_that_changed_or_went_is_not_handed_over(tmp_path: Path) -> None:
    path = put(tmp_path, MON, b"rows")
    source = Folder(tmp_path)
    [file] = source.list(DAY, MON, MON)

    put(tmp_path, MON, b"swor", changed_ns=LONG_AGO_NS + 1)
    with pytest.raises(BrokenDownload, match="has changed"):
        source.fetch(file, tmp_path)
    put(tmp_path, MON, b"more rows")
    with pytest.raises(BrokenDownload, match=r"has changed since it was listed \(9 bytes, .*\); nothing was landed; refresh again"):
        source.fetch(file, tmp_path)
    path.unlink()
    with pytest.raises(BrokenDownload, match="has gone"):
        source.fetch(file, tmp_path)


def test_an_md5_is_taken_once(tmp_path: Path, hashed: list[str]) -> None:
    put(tmp_path, MON, b"monday")
    put(tmp_path, TUE, b"tuesday")
    cache = tmp_path / "state" / "md5.json"
    first = Folder(tmp_path, cache).list(DAY, MON, TUE)
    assert len(hashed) == 2

    put(tmp_path, TUE, b"tuesday again", changed_ns=LONG_AGO_NS + 1)
    put(tmp_path, WED, b"wednesday")
    source = Folder(tmp_path, cache)
    second = source.list(DAY, MON, WED)
    source.fetch(second[0], tmp_path)

    assert second[0] == first[0]
    assert [file.etag for file in second[1:]] == [hashlib.md5(data).hexdigest() for data in (b"tuesday again", b"wednesday")]
    assert sorted(hashed[2:]) == ["2014-06-10.csv.gz", "2014-06-11.csv.gz"]
    assert [path.name for path in cache.parent.iterdir()] == ["md5.json"]


def test_two_folders_share_a_cache(tmp_path: Path, hashed: list[str]) -> None:
    cache = tmp_path / "md5.json"
    for name in ("one", "two"):
        put(tmp_path / name, MON, name.encode())

    for _ in range(2):
        for name in ("one", "two"):
            [file] = Folder(tmp_path / name, cache).list(DAY, MON, MON)
            assert file.etag == hashlib.md5(name.encode()).hexdigest()
    assert len(hashed) == 2


def test_a_young_file_is_not_remembered(tmp_path: Path, hashed: list[str]) -> None:
    put(tmp_path, MON, b"rows", changed_ns=time.time_ns())
    source = Folder(tmp_path, tmp_path / "md5.json")
    source.list(DAY, MON, MON)
    source.list(DAY, MON, MON)

    assert len(hashed) == 2


@pytest.mark.parametrize("text", ["", "{", "[]", '{"root": 3}', '{"/": {"key": [1]}}', "\x00\x00"])
def test_a_corrupt_cache_is_ignored_and_replaced(tmp_path: Path, hashed: list[str], text: str) -> None:
    put(tmp_path, MON, b"rows")
    cache = tmp_path / "md5.json"
    cache.write_text(text)

    [file] = Folder(tmp_path, cache).list(DAY, MON, MON)

    assert file.etag == hashlib.md5(b"rows").hexdigest()
    assert list(json.loads(cache.read_text())[str(tmp_path)]) == [file.key]


def test_a_cache_that_cannot_be_written_stops_nothing(tmp_path: Path) -> None:
    put(tmp_path, MON, b"rows")
    (tmp_path / "file").write_text("not a folder")

    assert len(Folder(tmp_path, tmp_path / "file" / "md5.json").list(DAY, MON, MON)) == 1


def test_a_file_that_is_being_written_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = put(tmp_path, MON, b"rows")

    def md5_of(_: Path) -> str:
        put(tmp_path, MON, b"rows and more", changed_ns=LONG_AGO_NS + 1)
        return "0" * 32

    monkeypatch.setattr(folder, "md5_of", md5_of)
    with pytest.raises(SourceError, match=f"{path} is being written; nothing of it was landed"):
        Folder(tmp_path).list(DAY, MON, MON)


def test_a_file_that_cannot_be_read_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = put(tmp_path, MON, b"rows")

    def md5_of(_: Path) -> str:
        raise PermissionError(errno.EACCES, "Permission denied")  # root, who may run this, reads every file

    monkeypatch.setattr(folder, "md5_of", md5_of)
    with pytest.raises(SourceError, match=f"{path} cannot be read"):
        Folder(tmp_path).list(DAY, MON, MON)


def test_a_check_looks_for_the_feeds(tmp_path: Path) -> None:
    path = put(tmp_path / "flatfiles", MON, b"rows")
    source = Folder(tmp_path)
    verdict = source.check()
    assert (verdict.source, verdict.state) == ("folder", "works")
    assert "us_stocks_sip/day_aggs_v1" in verdict.detail

    path.parents[3].rename(tmp_path / "elsewhere")
    assert source.check().state == "not a folder"


def test_a_folder_works_in_another_process(tmp_path: Path, hashed: list[str]) -> None:
    put(tmp_path, MON, b"rows")
    source = Folder(tmp_path)
    files = source.list(DAY, MON, MON)
    there: Source = pickle.loads(pickle.dumps(source))

    assert there.fetch(files[0], tmp_path).lent
    assert there.name == "folder"
    assert len(hashed) == 1
