"""Reference data from a folder of replies: shapes, pages, unknown files, and files that are no replies."""

import json
from datetime import date
from pathlib import Path
from typing import Any

import pytest

from workbench.errors import BrokenAnswer, NotPublished
from workbench.sources.folder_reference import FILES, FolderReference
from workbench.sources.reference import Gathered
from workbench.tables import REFERENCE

FLATFILES = Path(__file__).resolve().parents[3] / "shared" / "flatfiles"
SPLIT = {"ticker": "ACME", "execution_date": "2024-03-07", "split_from": 1, "split_to": 2}


@pytest.fixture
def root(tmp_path: Path) -> Path:
    (tmp_path / "reference").mkdir()
    return tmp_path


def write(root: Path, name: str, content: Any) -> Path:
    path = root / "reference" / name
    path.write_bytes(content if isinstance(content, bytes) else json.dumps(content).encode())
    return path


def gather(root: Path, dataset: str) -> list[Gathered]:
    return list(FolderReference(root).gather(dataset))


def test_every_file_fills_a_declared_table() -> None:
    assert {fills for fills, _ in FILES.values()} == {table.name for table in REFERENCE}


@pytest.mark.parametrize("content", [{"results": [SPLIT], "status": "OK"}, [SPLIT], {"results": SPLIT}], ids=["reply", "list", "one"])
def test_a_reply_its_list_and_a_single_record_are_read(root: Path, content: Any) -> None:
    write(root, "splits.json", content)
    [one] = gather(root, "splits")
    assert (one.dataset, one.key, one.rows, one.refused) == ("splits", "folder:reference/splits.json", [SPLIT], ())


def test_pages_are_read_in_their_order(root: Path) -> None:
    for name, ticker in (("splits-10.json", "C"), ("splits-2.json", "B"), ("splits.json", "A")):
        write(root, name, [SPLIT | {"ticker": ticker}])
    assert [row["ticker"] for one in gather(root, "splits") for row in one.rows] == ["A", "B", "C"]


def test_a_page_of_several_says_that_there_are_more(root: Path) -> None:
    write(root, "splits.json", {"results": [SPLIT], "next_url": "https://api.massive.com/x?cursor=1"})
    assert gather(root, "splits")[0].notes == ("splits.json is one page of several: its next_url was not followed",)


def test_a_folder_that_holds_the_flat_files_is_accepted(root: Path) -> None:
    (root / "flatfiles").mkdir()
    (root / "reference").rename(root / "flatfiles" / "reference")
    (root / "flatfiles" / "reference" / "splits.json").write_text(json.dumps([SPLIT]))
    assert gather(root, "splits")[0].rows == [SPLIT]


def test_files_that_fill_no_table_are_named(root: Path) -> None:
    write(root, "splits.json", [SPLIT])
    write(root, "weather.json", [])
    write(root, "notes.txt", b"")
    write(root, ".hidden", b"")
    [one] = gather(root, "splits")
    assert one.notes == (f"{root / 'reference'} also holds notes.txt, weather.json, which fill no table",)


@pytest.mark.parametrize(
    ("content", "why"),
    [
        (b"", "is not JSON"),
        (b'{"results": [', "is not JSON"),
        (b"\xff\xfe\x00", "is not JSON"),
        (b"[" * 100_000, "is not JSON"),
        (b"<html>502</html>", "is not JSON"),
        ({"status": "OK"}, "it has no list of results"),
        ({"results": "none"}, "it has no list of results"),
        (7, "it has no list of results"),
        (None, "it has no list of results"),
        ({"status": "NOT_AUTHORIZED", "message": "You are not entitled"}, "it says: You are not entitled"),
    ],
)
@pytest.mark.usefixtures("deep")
def test_what_is_no_reply_is_an_error_that_says_so(root: Path, content: Any, why: str) -> None:
    path = write(root, "splits.json", content)
    with pytest.raises(BrokenAnswer, match="nothing of it was gathered") as told:
        gather(root, "splits")
    assert str(path) in str(told.value)
    assert why in str(told.value)


def test_a_byte_order_mark_is_no_fault(root: Path) -> None:
    write(root, "splits.json", b"\xef\xbb\xbf" + json.dumps([SPLIT]).encode())
    assert gather(root, "splits")[0].rows == [SPLIT]


def test_what_is_not_there_is_refused_by_name(root: Path, tmp_path: Path) -> None:
    source = FolderReference(root)
    assert "has no splits.json" in source.refuses("splits")
    assert "has no folder reference/" in FolderReference(tmp_path / "nowhere").refuses("splits")
    assert source.refuses("stock_day") == "no file of a folder fills stock_day"
    with pytest.raises(NotPublished, match=r"has no news\.json; nothing was gathered"):
        gather(root, "news_items")
    assert source.check().state == "works"
    assert FolderReference(tmp_path / "nowhere").check().state == "unreachable"


def test_records_of_another_shape_are_refused_one_by_one(root: Path) -> None:
    write(
        root,
        "conditions.json",
        [{"id": 1}, 5, {"id": 1, "data_types": ["trade"], "sip_mapping": 3}, {"id": 2, "data_types": ["bbo", "nbbo"]}],
    )
    [one] = gather(root, "conditions")
    assert one.rows == [{"id": 2, "data_type": "quote"}]
    assert [odd.reason for odd in one.refused] == [
        "data_types is missing: its id may be a trade's or a quote's",
        "it is not an object with fields",
        "sip_mapping is not an object with fields",
    ]


def test_ticker_changes_are_spells_or_events(root: Path) -> None:
    spells = [
        {"asset": "META", "ticker": "META", "last_date": "20501231"},
        {"asset": "META", "ticker": "FB", "last_date": "20220608"},
        {"asset": "META", "ticker": "XX", "last_date": "soon"},
        {"ticker": "XX", "last_date": "20220608"},
    ]
    write(root, "ticker_changes.json", spells)
    events = [
        {"type": "ticker_change", "date": "2022-06-09", "ticker_change": {"ticker": "META"}},
        {"type": "ticker_change", "date": "2012-05-18", "ticker_change": {"ticker": "FB"}},
    ]
    write(root, "ticker_events.json", {"results": {"name": "Meta Platforms", "composite_figi": "BBG000MM2P62", "events": events}})
    told, events_told = gather(root, "ticker_changes")
    assert [(row["ticker"], row.get("first_date"), row.get("last_date")) for row in told.rows] == [
        ("FB", None, date(2022, 6, 8)),
        ("META", date(2022, 6, 9), None),
    ]
    assert [odd.reason for odd in told.refused] == [
        "last_date is 'soon', not a date as 20140402",
        "asset or ticker is missing, or not a text",
    ]
    assert [(row["asset"], row["ticker"], row["first_date"], row.get("last_date")) for row in events_told.rows] == [
        ("META", "FB", "2012-05-18", "2022-06-08"),
        ("META", "META", "2022-06-09", None),
    ]


def test_a_stop_reads_no_further_file(root: Path) -> None:
    write(root, "splits.json", [SPLIT])
    write(root, "splits-2.json", [SPLIT])
    source = FolderReference(root)
    gathering = source.gather("splits")
    next(gathering)
    source.stop()
    assert list(gathering) == []


@pytest.mark.shared
@pytest.mark.skipif(not FLATFILES.is_dir(), reason="the real flat files are not beside the project")
def test_the_real_files_are_read_without_a_row_left_over() -> None:
    source = FolderReference(FLATFILES.parent)
    for dataset in ("splits", "dividends", "ticker_changes"):
        [one] = source.gather(dataset)
        assert len(one.rows) == len(json.loads((FLATFILES / "reference" / f"{dataset}.json").read_text())["results"])
        assert one.refused == ()
        assert one.notes == ()
