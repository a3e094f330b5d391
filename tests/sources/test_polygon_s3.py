"""The vendor's bucket, over a real S3 server and over one that fails as told."""

import hashlib
import multiprocessing
import os
import pickle
import random
import shutil
import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from datetime import date
from itertools import count
from pathlib import Path
from typing import Any

import pytest
from s3server import S3, Fault, Keys, StandIn

from workbench.errors import (
    BadKeys,
    BadSetting,
    BrokenDownload,
    LakeError,
    NotEntitled,
    NotPublished,
    SourceError,
    Unreachable,
)
from workbench.sources import Fetched, FlatFile, Source, polygon_s3
from workbench.sources.parts import intact
from workbench.sources.polygon_s3 import PolygonS3, prefixes
from workbench.tables import Feed, find

[DAY] = find("stock_day").feeds
[TRADES] = find("stock_trades").feeds
MON, TUE, WED = date(2014, 6, 9), date(2014, 6, 10), date(2014, 6, 11)
SECRET = "secret-that-must-not-show"
ACCESS = "access-that-must-not-show"


def key(day: date, feed: Feed = DAY) -> str:
    return f"{feed.prefix}/{day:%Y/%m/%Y-%m-%d}.csv.gz"


def noise(size: int, seed: int = 7) -> bytes:
    return random.Random(seed).randbytes(size)


def far(endpoint: str, bucket: str = "flatfiles", keys: Keys | None = None, **more: Any) -> PolygonS3:
    keys = keys or Keys(ACCESS, SECRET)
    return PolygonS3(endpoint, bucket, keys.access, keys.secret, **({"timeout_s": 30.0, "backoff_s": 0.01} | more))


def listed(source: PolygonS3, day: date = MON, feed: Feed = DAY) -> FlatFile:
    [file] = source.list(feed, day, day)
    return file


@pytest.fixture
def source(stand_in: StandIn) -> Iterator[PolygonS3]:
    source = far(stand_in.endpoint)
    yield source
    source.close()


def parts(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir() if path.suffix in {".part", ".lock"})


# Listing


def test_a_range_is_listed_oldest_first(stand_in: StandIn, source: PolygonS3) -> None:
    for day in (WED, MON, date(2014, 5, 30), date(2014, 6, 12), date(2014, 7, 1)):
        stand_in.put(key(day), b"rows")
    stand_in.put(key(TUE, TRADES), b"rows")

    files = source.list(DAY, date(2014, 5, 30), WED)

    assert [file.place[2] for file in files] == [date(2014, 5, 30), MON, WED]
    assert files[0] == FlatFile(key(date(2014, 5, 30)), hashlib.md5(b"rows").hexdigest(), 4)


def test_keys_that_are_no_flat_files_are_passed_over(stand_in: StandIn, source: PolygonS3) -> None:
    folder = "us_stocks_sip/day_aggs_v1/2014/06"
    garbage = (
        "",
        "2014-06-09.csv",
        "2014-06-31.csv.gz",
        "2014-07-01.csv.gz",
        "2014-06-09.csv.gz.tmp",
        "a b+ü&<.csv.gz",
        "old/2014-06-09.csv.gz",
    )
    for name in garbage:
        stand_in.put(f"{folder}/{name}", b"?")
    stand_in.put(key(MON), b"rows")

    assert [file.key for file in source.list(DAY, date(2014, 1, 1), date(2014, 12, 31))] == [key(MON)]


def test_a_listing_of_many_pages_is_read_to_its_end(stand_in: StandIn, source: PolygonS3) -> None:
    for n in range(2345):
        stand_in.put(f"us_stocks_sip/day_aggs_v1/2014/06/{n:05}.txt", b"")
    stand_in.put(key(MON), b"rows")

    assert [file.key for file in source.list(DAY, MON, MON)] == [key(MON)]
    assert len(stand_in.asked("list")) == 3


def test_what_is_absent_is_an_empty_list(source: PolygonS3, stand_in: StandIn) -> None:
    assert list(source.list(DAY, MON, TUE)) == []
    assert list(source.list(DAY, TUE, MON)) == []


def test_one_request_serves_a_month_or_a_year() -> None:
    assert prefixes(DAY, MON, WED) == ["us_stocks_sip/day_aggs_v1/2014/06/"]
    assert prefixes(DAY, date(2013, 12, 30), date(2015, 2, 1)) == [
        "us_stocks_sip/day_aggs_v1/2013/12/",
        "us_stocks_sip/day_aggs_v1/2014/",
        "us_stocks_sip/day_aggs_v1/2015/",
    ]
    assert prefixes(DAY, date.min, date.max) == ["us_stocks_sip/day_aggs_v1/"]
    assert prefixes(DAY, TUE, date(2014, 5, 1)) == []


def test_a_listing_survives_a_busy_server(stand_in: StandIn, source: PolygonS3) -> None:
    stand_in.put(key(MON), b"rows")
    stand_in.faults = [
        Fault("list", 503, "SlowDown"),
        Fault("list", 502, body="<html>Bad Gateway</html>"),
        Fault("list", 400, "RequestTimeout"),
    ]

    assert listed(source).key == key(MON)
    assert len(stand_in.asked("list")) == 4


# Fetching


def test_a_file_comes_whole_and_only_once(stand_in: StandIn, source: PolygonS3, tmp_path: Path) -> None:
    stand_in.put(key(MON), noise(300_000))

    first = source.fetch(listed(source), tmp_path / "new")
    again = source.fetch(listed(source), tmp_path / "new")

    assert first.path.read_bytes() == noise(300_000)
    assert first.path.name.endswith("-2014-06-09.csv.gz")
    assert (first.transferred, first.lent) == (300_000, False)
    assert again == Fetched(first.path, 0)
    assert len(stand_in.asked("get")) == 1
    assert parts(first.path.parent) == []


def test_a_finished_file_with_other_bytes_is_fetched_again(stand_in: StandIn, source: PolygonS3, tmp_path: Path) -> None:
    stand_in.put(key(MON), b"true")
    path = source.fetch(listed(source), tmp_path).path
    path.write_bytes(b"lies")

    assert source.fetch(listed(source), tmp_path).transferred == 4
    assert path.read_bytes() == b"true"


def test_two_versions_of_an_object_have_two_names(stand_in: StandIn, source: PolygonS3, tmp_path: Path) -> None:
    stand_in.put(key(MON), b"first")
    first = source.fetch(listed(source), tmp_path)
    stand_in.put(key(MON), b"second")
    second = source.fetch(listed(source), tmp_path)

    assert (first.path.read_bytes(), second.path.read_bytes()) == (b"first", b"second")


def test_an_empty_object_is_a_file_too(stand_in: StandIn, source: PolygonS3, tmp_path: Path) -> None:
    stand_in.put(key(MON), b"")

    assert source.fetch(listed(source), tmp_path).path.read_bytes() == b""


def test_an_etag_of_parts_is_no_md5(stand_in: StandIn, source: PolygonS3, tmp_path: Path) -> None:
    stand_in.put(key(MON), b"rows", etag=f"{hashlib.md5(b'parts').hexdigest()}-3")

    fetched = source.fetch(listed(source), tmp_path)

    assert fetched.path.read_bytes() == b"rows"
    assert source.fetch(listed(source), tmp_path) == Fetched(fetched.path, 0)


@pytest.mark.parametrize("silent_s", [0.0, 30.0], ids=["cut", "stalled"])
def test_a_broken_body_goes_on_where_it_stopped(stand_in: StandIn, tmp_path: Path, silent_s: float) -> None:
    size = 1_500_000
    stand_in.put(key(MON), noise(size))
    stand_in.faults = [Fault("get", sent=700_000, silent_s=silent_s), Fault("get", sent=300_000, silent_s=silent_s)]
    source = far(stand_in.endpoint, timeout_s=1.5 if silent_s else 30.0)

    fetched = source.fetch(listed(source), tmp_path)

    assert fetched.path.read_bytes() == noise(size)
    starts = [int(request.range.removeprefix("bytes=").removesuffix("-") or 0) for request in stand_in.asked("get")]
    assert starts[0] == 0
    assert 600_000 < starts[1] <= 700_000
    assert 900_000 < starts[2] <= 1_000_000
    assert stand_in.served < 1.2 * size
    assert fetched.transferred == size


def test_progress_renews_patience(stand_in: StandIn, tmp_path: Path) -> None:
    stand_in.put(key(MON), noise(1_000_000))
    stand_in.forever = [Fault("get", sent=100_000)]
    source = far(stand_in.endpoint, tries=2)

    assert source.fetch(listed(source), tmp_path).path.read_bytes() == noise(1_000_000)
    assert len(stand_in.asked("get")) > 5


def test_the_next_run_resumes_what_an_earlier_one_left(stand_in: StandIn, tmp_path: Path) -> None:
    stand_in.put(key(MON), noise(1_000_000))
    stand_in.faults = [Fault("get", sent=800_000), *[Fault("get", 503, "SlowDown")] * 2]
    source = far(stand_in.endpoint, tries=2)
    with pytest.raises(
        Unreachable, match=f"{key(MON)} was not downloaded: .* keeps answering SlowDown .*; nothing was landed; .* goes on where it stopped"
    ):
        source.fetch(listed(source), tmp_path)
    assert len(parts(tmp_path)) == 1

    fetched = far(stand_in.endpoint).fetch(listed(source), tmp_path)

    assert fetched.path.read_bytes() == noise(1_000_000)
    assert fetched.transferred < 300_000
    assert stand_in.served < 1.2 * 1_000_000
    assert parts(tmp_path) == []


def test_a_far_end_that_knows_no_ranges_is_borne(stand_in: StandIn, source: PolygonS3, tmp_path: Path) -> None:
    stand_in.put(key(MON), noise(500_000))
    stand_in.ranges = False
    stand_in.faults = [Fault("get", sent=123_457)]

    assert source.fetch(listed(source), tmp_path).path.read_bytes() == noise(500_000)


def test_a_part_longer_than_the_object_is_started_anew(stand_in: StandIn, source: PolygonS3, tmp_path: Path) -> None:
    stand_in.put(key(MON), b"rows")
    whole = source.fetch(listed(source), tmp_path).path
    whole.rename(f"{whole}.part").write_bytes(b"too many rows")

    assert source.fetch(listed(source), tmp_path).path.read_bytes() == b"rows"


def test_a_part_with_other_bytes_is_thrown_away(stand_in: StandIn, source: PolygonS3, tmp_path: Path) -> None:
    stand_in.put(key(MON), b"true rows")
    whole = source.fetch(listed(source), tmp_path).path
    whole.rename(f"{whole}.part").write_bytes(b"lie")

    with pytest.raises(BrokenDownload, match=r"came with the md5 .* instead of"):
        source.fetch(listed(source), tmp_path)
    assert parts(tmp_path) == []
    assert source.fetch(listed(source), tmp_path).path.read_bytes() == b"true rows"


def test_a_whole_file_is_not_undone_by_a_stale_part(stand_in: StandIn, source: PolygonS3, tmp_path: Path) -> None:
    stand_in.put(key(MON), b"true rows")
    stand_in.meeting = 2
    file = listed(source)
    with ThreadPoolExecutor(2) as pool:
        both = list(pool.map(lambda _: source.fetch(file, tmp_path), range(2)))
    Path(f"{both[0].path}.part").write_bytes(b"lie")

    assert source.fetch(file, tmp_path) == Fetched(both[0].path, 0)
    assert both[0].path.read_bytes() == b"true rows"


@pytest.mark.parametrize(
    "faults",
    [
        [Fault("get", 503, "SlowDown")] * 2,
        [Fault("get", 502, body="<html><body>Bad Gateway</body></html>")] * 2,
        [Fault("get", 500, "InternalError"), Fault("get", 504, "GatewayTimeout")],
        [Fault("get", 400, "RequestTimeout")],
        [Fault("get", sent=0)] * 3,
    ],
    ids=["slow down", "html", "5xx", "request timeout", "nothing sent"],
)
def test_what_passes_is_tried_again(stand_in: StandIn, source: PolygonS3, tmp_path: Path, faults: list[Fault]) -> None:
    stand_in.put(key(MON), b"rows")
    stand_in.faults = list(faults)

    assert source.fetch(listed(source), tmp_path).path.read_bytes() == b"rows"
    assert len(stand_in.asked("get")) == len(faults) + 1


def test_retry_after_is_honoured(stand_in: StandIn, source: PolygonS3, tmp_path: Path) -> None:
    stand_in.put(key(MON), b"rows")
    stand_in.faults = [Fault("get", 429, "TooManyRequests", headers={"Retry-After": "1"})]
    file = listed(source)

    begun = time.monotonic()
    source.fetch(file, tmp_path)

    assert 1 <= time.monotonic() - begun < 30


def test_patience_ends(stand_in: StandIn, tmp_path: Path) -> None:
    stand_in.put(key(MON), b"rows")
    stand_in.forever = [Fault("get", 503, "SlowDown")]
    source = far(stand_in.endpoint, tries=4)

    with pytest.raises(Unreachable):
        source.fetch(listed(source), tmp_path)
    assert len(stand_in.asked("get")) == 4
    assert parts(tmp_path) == []


def test_an_object_replaced_after_its_listing_is_not_mixed(stand_in: StandIn, source: PolygonS3, tmp_path: Path) -> None:
    stand_in.put(key(MON), noise(400_000))
    file = listed(source)
    stand_in.faults = [Fault("get", sent=200_000)]
    with pytest.raises(Unreachable):
        far(stand_in.endpoint, tries=1).fetch(file, tmp_path)
    assert len(parts(tmp_path)) == 1
    stand_in.put(key(MON), noise(400_000, seed=8))

    with pytest.raises(BrokenDownload, match=r"replaced after it had been listed .*; nothing was landed; refresh again"):
        source.fetch(file, tmp_path)
    assert list(tmp_path.iterdir()) == []
    assert source.fetch(listed(source), tmp_path).path.read_bytes() == noise(400_000, seed=8)


def test_bytes_that_belie_their_md5_are_refused(stand_in: StandIn, source: PolygonS3, tmp_path: Path) -> None:
    stand_in.put(key(MON), b"rows", etag="0" * 32)

    with pytest.raises(BrokenDownload, match="md5"):
        source.fetch(listed(source), tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_another_etag_than_listed_is_noticed_without_if_match(
    stand_in: StandIn, source: PolygonS3, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    stand_in.put(key(MON), b"rows")
    file = listed(source)
    honest = source._client.get_object
    stand_in.put(key(MON), b"more")
    monkeypatch.setattr(source._client, "get_object", lambda **asked: honest(**{name: v for name, v in asked.items() if name != "IfMatch"}))

    with pytest.raises(BrokenDownload, match="replaced"):
        source.fetch(file, tmp_path)


def test_a_listed_file_outside_the_plan(stand_in: StandIn, source: PolygonS3, tmp_path: Path) -> None:
    stand_in.put(key(MON), b"rows")
    stand_in.forever = [Fault("get", 403, "AccessDenied")]

    with pytest.raises(
        NotEntitled, match=f"{key(MON)} was not downloaded: the plan of these keys does not cover it .*; nothing was landed"
    ) as caught:
        source.fetch(listed(source), tmp_path)
    assert caught.value.__cause__ is not None
    assert len(stand_in.asked("get")) == 1
    assert list(tmp_path.iterdir()) == []


def test_a_listed_file_that_has_gone(stand_in: StandIn, source: PolygonS3, tmp_path: Path) -> None:
    stand_in.put(key(MON), b"rows")
    file = listed(source)
    stand_in.objects.clear()

    with pytest.raises(NotPublished, match=r"flatfiles does not hold it .* refresh again"):
        source.fetch(file, tmp_path)


@pytest.mark.parametrize(("code", "body"), [("Forbidden", ""), ("Unheard", ""), ("", "<html>Forbidden</html>"), ("", "Forbidden & gone")])
def test_a_refusal_without_a_reason_speaks_of_the_keys_in_a_listing(stand_in: StandIn, source: PolygonS3, code: str, body: str) -> None:
    stand_in.forever = [Fault("list", 403, code, body)]

    with pytest.raises(BadKeys, match="POLYGON_S3_ACCESS_KEY and POLYGON_S3_SECRET_KEY"):
        source.list(DAY, MON, MON)


def test_a_refusal_that_nobody_knows_is_told(stand_in: StandIn, source: PolygonS3) -> None:
    stand_in.forever = [Fault("list", 400, "TeapotRequired")]

    with pytest.raises(SourceError, match="TeapotRequired"):
        source.list(DAY, MON, MON)


def test_a_dead_endpoint_is_unreachable(tmp_path: Path) -> None:
    # A port that is taken, and at which nobody listens.
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        port = taken.getsockname()[1]
        source = far(f"http://127.0.0.1:{port}")

        with pytest.raises(Unreachable, match=f"was not listed: http://127.0.0.1:{port} does not answer .*refused.*POLYGON_S3_ENDPOINT"):
            source.list(DAY, MON, MON)
        with pytest.raises(Unreachable, match="was not downloaded"):
            source.fetch(FlatFile(key(MON), "0" * 32, 4), tmp_path)
    assert list(tmp_path.iterdir()) == []
    assert source.check().state == "unreachable"


def test_a_host_that_does_not_exist_is_unreachable() -> None:
    with pytest.raises(Unreachable, match="does not answer"):
        far("http://no-such-host.invalid", tries=2).list(DAY, MON, MON)


# Disk


def fetch_into(folder: Path, endpoint: str, file: FlatFile) -> Fetched:
    return far(endpoint).fetch(file, folder)


def test_a_disk_without_room_is_not_begun_to_fill(
    stand_in: StandIn, source: PolygonS3, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    stand_in.put(key(MON), b"rows")
    file = listed(source)
    usage = shutil.disk_usage(tmp_path)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage._replace(free=3))

    with pytest.raises(
        LakeError, match=f"{key(MON)} does not fit under .*: it needs 4 bytes and 3 are free; nothing was landed .* free some space"
    ):
        source.fetch(file, tmp_path)
    assert stand_in.asked("get") == []
    assert list(tmp_path.iterdir()) == []


def test_a_disk_that_fills_up_on_the_way(stand_in: StandIn, source: PolygonS3, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    disk = tmp_path / "disk"
    disk.mkdir()
    if os.geteuid() != 0 or subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", str(disk)], capture_output=True).returncode:
        pytest.skip("a small disk cannot be mounted: not root, or mount is forbidden")
    try:
        stand_in.put(key(MON), noise(3_000_000))
        file = listed(source)
        # Somebody else takes the room between the look and the last write.
        monkeypatch.setattr(polygon_s3, "expect_room", lambda *_: None)

        with pytest.raises(LakeError, match=r"does not fit under .*: it needs 3,000,000 bytes and [0-9,]+ are free; nothing was landed"):
            source.fetch(file, disk / "new")
        assert list((disk / "new").iterdir()) == []
    finally:
        subprocess.run(["umount", str(disk)], check=True)


def test_a_folder_that_cannot_be_written(stand_in: StandIn, source: PolygonS3, tmp_path: Path) -> None:
    stand_in.put(key(MON), b"rows")
    (tmp_path / "file").write_text("not a folder")

    with pytest.raises(LakeError, match="cannot be written under"):
        source.fetch(listed(source), tmp_path / "file" / "below")


# Several at once


def test_two_processes_fetch_the_same_object(stand_in: StandIn, source: PolygonS3, tmp_path: Path) -> None:
    stand_in.put(key(MON), noise(2_000_000))
    stand_in.meeting = 2
    file = listed(source)

    with ProcessPoolExecutor(2, mp_context=multiprocessing.get_context("spawn")) as pool:
        both = [each.result(60) for each in [pool.submit(fetch_into, tmp_path, stand_in.endpoint, file) for _ in range(2)]]

    assert both[0].path == both[1].path
    assert both[0].path.read_bytes() == noise(2_000_000)
    assert [path.name for path in tmp_path.iterdir()] == [both[0].path.name]
    assert len(stand_in.asked("get")) == 2


def test_a_private_part_is_not_left_behind(stand_in: StandIn, tmp_path: Path) -> None:
    stand_in.put(key(MON), noise(400_000))
    stand_in.forever = [Fault("get", sent=200_000, silent_s=1)]
    file = listed(far(stand_in.endpoint))

    def attempt(_: int) -> str:
        with pytest.raises(Unreachable):
            far(stand_in.endpoint, tries=1, timeout_s=0.3).fetch(file, tmp_path)
        return "unreachable"

    with ThreadPoolExecutor(3) as pool:
        assert set(pool.map(attempt, range(3))) == {"unreachable"}
    assert len(parts(tmp_path)) == 1


def test_one_source_serves_many_threads(stand_in: StandIn, source: PolygonS3, tmp_path: Path) -> None:
    days = [date(2014, 6, day) for day in range(2, 26)]
    for n, day in enumerate(days):
        stand_in.put(key(day), noise(50_000, seed=n))
    files = source.list(DAY, days[0], days[-1])

    with ThreadPoolExecutor(12) as pool:
        fetched = list(pool.map(lambda file: source.fetch(file, tmp_path), files))

    assert [each.path.read_bytes() for each in fetched] == [noise(50_000, seed=n) for n in range(len(days))]


def test_a_source_used_here_works_in_another_process(stand_in: StandIn, source: PolygonS3) -> None:
    stand_in.put(key(MON), b"rows")
    here = listed(source)

    with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as pool:
        there = pool.submit(listed, source).result(60)

    assert there == here == listed(source)


def test_a_fork_does_not_share_its_parents_connections(source: PolygonS3, monkeypatch: pytest.MonkeyPatch) -> None:
    # In one process, since a fork beside the stand-in's threads may deadlock in OpenSSL.
    parents = source._client
    assert source._client is parents

    monkeypatch.setattr(os, "getpid", lambda: -1)

    assert source._client is not parents


def test_a_closed_source_connects_anew(stand_in: StandIn, source: PolygonS3) -> None:
    stand_in.put(key(MON), b"rows")
    before, client = listed(source), source._client
    source.close()
    source.close()

    assert listed(source) == before
    assert source._client is not client


# Keys and settings


def test_secrets_do_not_show_and_errors_survive_pickling(stand_in: StandIn, source: PolygonS3, tmp_path: Path) -> None:
    stand_in.put(key(MON), b"rows")
    file = listed(source)
    errors: list[Exception] = []
    for fault in (
        Fault("get", 403, "AccessDenied"),
        Fault("get", 403, "SignatureDoesNotMatch"),
        Fault("get", 404, "NoSuchKey"),
        Fault("get", 412, "PreconditionFailed"),
        Fault("get", 301, body=f"<Error><Code>Moved</Code><Message>{ACCESS} {SECRET}</Message></Error>"),
    ):
        stand_in.faults = [fault]
        with pytest.raises(SourceError) as caught:
            source.fetch(file, tmp_path)
        errors.append(caught.value)
    with pytest.raises(BadKeys) as caught:
        PolygonS3(stand_in.endpoint, "flatfiles", ACCESS, "").list(DAY, MON, MON)
    errors.append(caught.value)

    for error in errors:
        again = pickle.loads(pickle.dumps(error))
        assert type(again) is type(error)
        assert str(again) == str(error)
        assert "nothing was landed" in str(error) or "was not asked" in str(error)
        assert SECRET not in f"{error!r} {error}"
        assert ACCESS not in f"{error!r} {error}"
    assert SECRET not in repr(source)
    assert ACCESS not in repr(source)


def test_missing_keys_are_not_sought_elsewhere(stand_in: StandIn, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "somebody")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "else")
    source = PolygonS3(stand_in.endpoint, "flatfiles", "", "")

    with pytest.raises(BadKeys, match="set POLYGON_S3_ACCESS_KEY and POLYGON_S3_SECRET_KEY"):
        source.list(DAY, MON, MON)
    assert source.check().state == "wrong key"
    assert stand_in.requests == []


@pytest.mark.parametrize("endpoint", ["files.massive.com", "", "http://", "ftp//x"])
def test_an_endpoint_that_is_no_url(endpoint: str) -> None:
    with pytest.raises(BadSetting, match=r"POLYGON_S3_ENDPOINT like https://files.massive.com"):
        far(endpoint).list(DAY, MON, MON)
    assert far(endpoint).check().state == "unreachable"


def test_a_bucket_name_that_cannot_be(stand_in: StandIn) -> None:
    source = far(stand_in.endpoint, bucket="no bucket!")

    with pytest.raises(SourceError, match=r"has no bucket 'no bucket!' .*; nothing was landed; check POLYGON_S3_BUCKET"):
        source.list(DAY, MON, MON)
    assert source.check().state == "no bucket"


# Checking


@pytest.mark.parametrize(
    ("faults", "state"),
    [
        ([], "works"),
        ([Fault("list", 503, "SlowDown")], "works"),
        ([Fault("list", 403, "InvalidAccessKeyId")], "wrong key"),
        ([Fault("list", 403, "SignatureDoesNotMatch")], "wrong key"),
        ([Fault("list", 403, "AccessDenied")], "not entitled"),
        ([Fault("get", 403, "AccessDenied")], "not entitled"),
        ([Fault("list", 404, "NoSuchBucket")], "no bucket"),
        ([Fault("list", 500, "InternalError")] * 2, "unreachable"),
        ([Fault("list", 200, body="<html>Please log in")] * 2, "unreachable"),
    ],
    ids=count(),
)
def test_a_check_says_what_is_wrong(stand_in: StandIn, source: PolygonS3, faults: list[Fault], state: str) -> None:
    stand_in.put(key(MON), b"rows")
    stand_in.put(key(TUE), b"rows")
    stand_in.faults = list(faults)

    verdict = source.check()

    assert (verdict.source, verdict.state) == ("polygon_s3", state)
    assert verdict.detail
    assert SECRET not in verdict.detail
    if state == "works":
        assert [(request.name, request.range) for request in stand_in.asked("get")] == [(key(TUE), "bytes=0-0")]


def test_a_check_of_an_empty_bucket_works(source: PolygonS3) -> None:
    assert source.check().state == "works"
    assert "holds no day file" in source.check().detail


def test_it_is_a_source(source: PolygonS3) -> None:
    kept: Source = source
    assert kept.name == "polygon_s3"


# The real server


@pytest.fixture
def reader(bucket: S3) -> PolygonS3:
    return far(bucket.endpoint, keys=bucket.reader)


@pytest.mark.s3
def test_a_reader_lists_and_fetches(bucket: S3, reader: PolygonS3, tmp_path: Path) -> None:
    for n, day in enumerate((MON, TUE, date(2014, 7, 1))):
        bucket.put(key(day), noise(100_000, seed=n))
    bucket.put("us_stocks_sip/day_aggs_v1/2014/06/a b+ü&.txt", b"?")

    files = reader.list(DAY, MON, WED)

    assert [file.key for file in files] == [key(MON), key(TUE)]
    assert [file.etag for file in files] == [hashlib.md5(noise(100_000, seed=n)).hexdigest() for n in range(2)]
    assert [reader.fetch(file, tmp_path).path.read_bytes() for file in files] == [noise(100_000, seed=n) for n in range(2)]
    assert list(reader.list(TRADES, MON, WED)) == []
    assert reader.check().state == "works"


@pytest.mark.s3
def test_a_part_is_resumed_from_the_real_server(bucket: S3, reader: PolygonS3, tmp_path: Path) -> None:
    bucket.put(key(MON), noise(6_000_000))
    whole = reader.fetch(listed(reader), tmp_path).path
    os.truncate(whole.rename(f"{whole}.part"), 5_000_000)

    fetched = reader.fetch(listed(reader), tmp_path)

    assert fetched == Fetched(whole, 1_000_000)
    assert whole.read_bytes() == noise(6_000_000)


@pytest.mark.s3
def test_an_object_in_parts_is_known_by_its_length(bucket: S3, reader: PolygonS3, tmp_path: Path) -> None:
    from boto3.s3.transfer import TransferConfig

    local = tmp_path / "local"
    local.write_bytes(noise(12_000_000))
    limit = 5 * 1024 * 1024
    bucket.admin.upload_file(
        str(local), bucket.bucket, key(MON), Config=TransferConfig(multipart_threshold=limit, multipart_chunksize=limit)
    )

    file = listed(reader)
    fetched = reader.fetch(file, tmp_path / "new")

    assert file.etag.endswith("-3")
    assert fetched.path.read_bytes() == noise(12_000_000)
    assert intact(fetched.path, file)
    assert reader.fetch(file, tmp_path / "new").transferred == 0


@pytest.mark.s3
def test_the_real_server_notices_a_replaced_object(bucket: S3, reader: PolygonS3, tmp_path: Path) -> None:
    bucket.put(key(MON), b"first")
    file = listed(reader)
    bucket.put(key(MON), b"other")

    with pytest.raises(BrokenDownload, match=r"replaced .* refresh again"):
        reader.fetch(file, tmp_path)


@pytest.mark.s3
def test_the_real_server_has_no_such_key(bucket: S3, reader: PolygonS3, tmp_path: Path) -> None:
    with pytest.raises(NotPublished):
        reader.fetch(FlatFile(key(MON), "0" * 32, 4), tmp_path)


@pytest.mark.s3
@pytest.mark.parametrize(
    ("change", "error", "words", "state"),
    [
        (lambda s3: {"keys": Keys(s3.reader.access, "wrong")}, BadKeys, "does not accept the secret key", "wrong key"),
        (lambda s3: {"keys": Keys("nobody", "wrong")}, BadKeys, "does not know the access key", "wrong key"),
        (lambda s3: {"keys": s3.admin_keys, "bucket": "absent"}, SourceError, "has no bucket 'absent'.*POLYGON_S3_BUCKET", "no bucket"),
        (lambda s3: {"keys": s3.reader, "bucket": "private"}, NotEntitled, "does not cover it", "not entitled"),
    ],
    ids=["wrong secret", "unknown key", "absent bucket", "another's bucket"],
)
def test_the_real_server_refuses(
    bucket: S3, change: Callable[[S3], dict[str, Any]], error: type[SourceError], words: str, state: str
) -> None:
    bucket.admin.create_bucket(Bucket="private")
    try:
        source = far(bucket.endpoint, **change(bucket))

        with pytest.raises(error, match=words):
            source.list(DAY, MON, MON)
        assert source.check().state == state
    finally:
        bucket.admin.delete_bucket(Bucket="private")


def test_closing_ends_a_download_that_the_next_one_resumes(
    stand_in: StandIn, source: PolygonS3, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = noise(2_000_000)
    stand_in.put(key(MON), data)
    file = listed(source)
    whole = PolygonS3._bytes

    def closed_midway(self: PolygonS3, file: FlatFile, start: int) -> Iterator[bytes]:
        for n, chunk in enumerate(whole(self, file, start)):
            if n == 5:
                self.close()
            yield chunk

    monkeypatch.setattr(PolygonS3, "_bytes", closed_midway)
    with pytest.raises(Unreachable, match=r"was stopped at .* goes on there"):
        source.fetch(file, tmp_path)
    monkeypatch.setattr(PolygonS3, "_bytes", whole)

    fetched = source.fetch(file, tmp_path)

    assert fetched.path.read_bytes() == data
    assert 0 < fetched.transferred < len(data)
