"""Schedules: when something is due, who begins it, and who is told."""

import json
import os
import signal
import smtplib
import socketserver
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from datetime import UTC, date, datetime, timedelta
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import psutil
import pytest
from hypothesis import given
from hypothesis import settings as examples
from hypothesis import strategies as st

from workbench.config import Settings
from workbench.errors import BadSetting, Busy, LakeError, UnknownName, UsageError
from workbench.policies import Notify
from workbench.runs import Run, Runs
from workbench.runs.masking import Secrets
from workbench.schedule import firing, installing, minding, notifying, serving
from workbench.schedule.book import FILE, Book, going, named
from workbench.schedule.cron import Cron

NEW_YORK = ZoneInfo("America/New_York")
SECRET = "very-secret-key-1"


def utc(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


def ny(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=NEW_YORK).astimezone(UTC)


def coming(when: str, start: datetime, count: int) -> list[datetime]:
    cron, found = Cron.parse(when), []
    for _ in range(count):
        start = cron.after(start) or start
        found.append(start)
    return found


# ---------------------------------------------------------------------- times


def test_the_days_of_the_week_are_crons_and_not_apschedulers() -> None:
    # 2026-01-04 is a Sunday.
    week = {n: coming(f"0 12 * * {n} UTC", utc("2026-01-03T13:00"), 1)[0].date() for n in range(8)}
    assert week == {n: date(2026, 1, 4 + n % 7) for n in range(8)}
    assert coming("30 11 * * 2-6 America/New_York", ny("2026-01-03T12:00"), 6) == [
        ny(f"2026-01-{day:02}T11:30") for day in (6, 7, 8, 9, 10, 13)
    ]


@pytest.mark.parametrize(
    ("field", "days"),
    [
        ("mon-fri", {1, 2, 3, 4, 5}),
        ("SUN", {0}),
        ("sat,7", {0, 6}),
        ("fri-sun", {0, 5, 6}),
        ("*/2", {0, 2, 4, 6}),
        ("5-7", {0, 5, 6}),
        ("1-5/2", {1, 3, 5}),
    ],
)
def test_days_of_the_week_by_name_range_and_step(field: str, days: set[int]) -> None:
    assert Cron.parse(f"0 0 * * {field}").weekdays == days


def test_fields_with_ranges_steps_and_lists() -> None:
    cron = Cron.parse("*/20,5 8-10 1,15 jan-mar *")
    assert (cron.minutes, cron.hours) == ((0, 5, 20, 40), (8, 9, 10))
    assert (set(cron.days), set(cron.months)) == ({1, 15}, {1, 2, 3})
    assert Cron.parse("10/20 * * * *").minutes == (10, 30, 50)
    assert str(Cron.parse("@daily UTC")) == "0 0 * * * UTC"
    assert str(Cron.parse("0 5 * * *", "Asia/Tokyo")) == "0 5 * * * Asia/Tokyo"


def test_where_both_days_are_given_either_will_do() -> None:
    # The 13th, and every Friday.
    assert [at.date().isoformat() for at in coming("0 0 13 * 5 UTC", utc("2026-01-08"), 4)] == [
        "2026-01-09",
        "2026-01-13",
        "2026-01-16",
        "2026-01-23",
    ]
    # A step over all is no restriction: both must do.
    assert coming("0 0 */10 * 5 UTC", utc("2026-01-02"), 1) == [utc("2026-05-01")]


def test_a_leap_day_comes_and_one_that_never_comes_is_refused() -> None:
    assert coming("0 0 29 2 * UTC", utc("2026-01-01"), 1) == [utc("2028-02-29")]
    with pytest.raises(UsageError, match="never comes"):
        Cron.parse("0 0 30 2 *")


@pytest.mark.parametrize(
    ("when", "told"),
    [
        ("* * * *", "has 4 fields"),
        ("60 * * * *", "the minute is '60', but it must be .* from 0 to 59"),
        ("* 24 * * *", "the hour is '24'"),
        ("* * 0 * *", "the day of the month is '0'"),
        ("* * * 13 *", "the month is '13'"),
        ("* * * * 8", "the day of the week is '8'"),
        ("* * * * monday", "the day of the week is 'monday'"),
        ("5-1 * * * *", "the minute is '5-1'"),
        ("*/0 * * * *", "the minute is '\\*/0'"),
        ("1,,2 * * * *", "'' in '1,,2'"),
        ("* * * * * Mars/Olympus", "no time zone 'Mars/Olympus'"),
        ("@noon", "'@noon' is no time"),
        ("", "has 0 fields"),
        ("-1 * * * *", "the minute is '-1'"),
    ],
)
def test_a_time_that_means_nothing_is_refused_with_what_would(when: str, told: str) -> None:
    with pytest.raises(UsageError, match=told) as refused:
        Cron.parse(when)
    assert "nothing was scheduled" in str(refused.value)


def test_a_time_that_clocks_leave_out_comes_once() -> None:
    # In New York 02:30 of 2026-03-08 does not exist.
    assert coming("30 2 * * * America/New_York", ny("2026-03-07T12:00"), 2) == [utc("2026-03-08T07:30"), ny("2026-03-09T02:30")]
    assert coming("30 * * * * America/New_York", ny("2026-03-08T00:45"), 3) == [
        ny("2026-03-08T01:30"),
        ny("2026-03-08T03:30"),
        ny("2026-03-08T04:30"),
    ]
    assert coming("30 2,3 * * * America/New_York", ny("2026-03-08T00:45"), 2) == [ny("2026-03-08T03:30"), ny("2026-03-09T02:30")]


def test_a_time_that_clocks_bring_twice_comes_once_but_every_hour_is_every_hour() -> None:
    # In New York 01:30 of 2026-11-01 comes twice: at 05:30 and at 06:30 UTC.
    assert coming("30 1 * * * America/New_York", ny("2026-10-31T12:00"), 2) == [utc("2026-11-01T05:30"), ny("2026-11-02T01:30")]
    hours = coming("30 * * * * America/New_York", utc("2026-11-01T04:00"), 4)
    assert hours == [utc(f"2026-11-01T{hour:02}:30") for hour in (4, 5, 6, 7)]
    assert coming("0 */2 * * * America/New_York", utc("2026-11-01T03:00"), 3) == [
        utc("2026-11-01T04:00"),
        utc("2026-11-01T07:00"),
        utc("2026-11-01T09:00"),
    ]


def test_midnight_where_clocks_change_at_midnight() -> None:
    # In Santiago, 2026-09-06 has no 00:00.
    [first, second] = coming("0 0 * * * America/Santiago", utc("2026-09-05T12:00"), 2)
    assert first == utc("2026-09-06T04:00") and second == utc("2026-09-07T03:00")


FIELD = st.sampled_from(["*", "*/7", "0", "3-5", "1,4", "2-6/2"])


@examples(deadline=None, max_examples=40)
@given(
    FIELD, FIELD, st.sampled_from(["*", "1", "10-20", "*/9"]), st.sampled_from(["*", "1-3", "2"]), st.sampled_from(["*", "0", "1-5", "6,7"])
)
def test_times_are_those_that_a_look_at_every_minute_finds(minute: str, hour: str, day: str, month: str, weekday: str) -> None:
    cron = Cron.parse(f"{minute} {hour} {day} {month} {weekday} UTC")
    start = utc("2026-02-25T22:13")
    every = [start + timedelta(minutes=n) for n in range(1, 60 * 24 * 6)]
    right = [
        at
        for at in every
        if at.minute in cron.minutes
        and at.hour in cron.hours
        and at.month in cron.months
        and (
            (at.day in cron.days or at.isoweekday() % 7 in cron.weekdays)
            if cron.either_day
            else (at.day in cron.days and at.isoweekday() % 7 in cron.weekdays)
        )
    ]
    assert (cron.after(start) if right else None) == (right[0] if right else None)
    assert cron.latest(every[-1], start) == (right[-1] if right else None)
    assert cron.count(every[-1], start) == min(len(right), 1000)


def test_the_last_time_until_now_is_the_newest_and_all_missed_are_counted() -> None:
    cron = Cron.parse("0 6 * * * UTC")
    assert cron.latest(utc("2026-01-10T05:59"), utc("2026-01-07T06:00")) == utc("2026-01-09T06:00")
    assert cron.count(utc("2026-01-10T05:59"), utc("2026-01-07T06:00")) == 2
    assert cron.latest(utc("2026-01-10T05:59"), utc("2026-01-09T06:00")) is None
    assert Cron.parse("* * * * * UTC").count(utc("2026-01-10"), utc("2025-01-01")) == 1000


def test_apscheduler_is_given_the_same_times() -> None:
    due = serving.trigger(Cron.parse("0 12 * * 0 UTC"))
    assert due.get_next_fire_time(None, utc("2026-01-03")) == utc("2026-01-04T12:00")
    assert due.get_next_fire_time(utc("2026-01-04T12:00"), utc("2026-01-04T12:00")) == utc("2026-01-11T12:00")


# ---------------------------------------------------------------------- the book


def scheduled(root: Path, when: str = "0 6 * * * UTC", *command: str, since: str = "2026-01-01T00:00:00+00:00", timeout: float = 0) -> str:
    with Book.changing(root) as book:
        one = book.add("", Cron.parse(when), command or ("status",), root, timeout)
        book.change(one.name, since=since)
    return one.name


def test_schedules_are_kept_and_named_after_their_command(tmp_path: Path) -> None:
    names = [
        scheduled(tmp_path, "0 6 * * *", *command) for command in (("refresh",), ("refresh", "--last", "5"), ("run", "a/10_refresh.ipynb"))
    ]
    assert names == ["refresh", "refresh-2", "run-10_refresh"]
    assert [one.command for one in Book.read(tmp_path)] == [("refresh",), ("refresh", "--last", "5"), ("run", "a/10_refresh.ipynb")]
    assert named(["sql", "SELECT 1"]) == "sql"


def test_a_name_is_taken_once_and_an_unknown_one_is_told_with_the_nearest(tmp_path: Path) -> None:
    scheduled(tmp_path)
    with Book.changing(tmp_path) as book:
        with pytest.raises(UsageError, match="there is a schedule status"):
            book.add("status", Cron.parse("@daily"), ("status",), tmp_path)
        with pytest.raises(UsageError, match="is no name for a schedule"):
            book.add("../x", Cron.parse("@daily"), ("status",), tmp_path)
        with pytest.raises(UnknownName, match="did you mean status"):
            book.remove("statsu")


def test_a_change_that_fails_changes_nothing(tmp_path: Path) -> None:
    scheduled(tmp_path)
    before = (tmp_path / FILE).read_bytes()
    with pytest.raises(UnknownName), Book.changing(tmp_path) as book:
        book.add("other", Cron.parse("@daily"), ("status",), tmp_path)
        book.remove("nothing")
    assert (tmp_path / FILE).read_bytes() == before


@pytest.mark.parametrize("text", ["{", '{"schedules": [{"name": "x"}]}', "[]"])
def test_a_torn_file_is_said_and_left_as_it_is(tmp_path: Path, text: str) -> None:
    (tmp_path / FILE).write_text(text)
    with pytest.raises(LakeError, match="is not what the workbench writes"):
        Book.read(tmp_path)
    assert (tmp_path / FILE).read_text() == text


def test_what_a_newer_version_wrote_beside_is_read_over(tmp_path: Path) -> None:
    scheduled(tmp_path)
    told = json.loads((tmp_path / FILE).read_text())
    told["schedules"][0]["colour"] = "blue"
    (tmp_path / FILE).write_text(json.dumps(told))
    assert [one.name for one in Book.read(tmp_path)] == ["status"]


def test_changes_side_by_side_are_all_kept(tmp_path: Path) -> None:
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda n: scheduled(tmp_path, "@daily", f"c{n}"), range(16)))
    assert sorted(one.name for one in Book.read(tmp_path)) == sorted(f"c{n}" for n in range(16))


# ---------------------------------------------------------------------- due


@pytest.fixture
def launched(monkeypatch: pytest.MonkeyPatch) -> list[Run]:
    """Runs that were begun; no process is."""
    found: list[Run] = []
    monkeypatch.setattr(firing, "launch", lambda root, run: found.append(run))
    return found


def test_missed_times_are_caught_up_once_and_how_late_is_on_record(tmp_path: Path, launched: list[Run]) -> None:
    name = scheduled(tmp_path)
    [begun] = firing.due(tmp_path, utc("2026-01-04T08:00"))
    again = firing.due(tmp_path, utc("2026-01-04T08:01"))

    assert (begun.late, begun.times, again) == (7200, 4, [])
    assert str(begun) == f"status: began run {begun.run.id} (2 h late, for 4 times): status"
    assert launched == [begun.run]
    assert (begun.run.by, begun.run.kind, begun.run.facts["late"], begun.run.facts["times"]) == (f"schedule:{name}", "status", 7200.0, 4)
    assert (Book.read(tmp_path)[name].claimed, Book.read(tmp_path)[name].run) == ("2026-01-04T06:00:00+00:00", begun.run.id)


def test_the_next_time_comes_after_the_claimed_one(tmp_path: Path, launched: list[Run]) -> None:
    scheduled(tmp_path)
    [first] = firing.due(tmp_path, utc("2026-01-02T06:00"))
    Runs(tmp_path).end(first.run, 0)
    assert firing.due(tmp_path, utc("2026-01-03T05:59:59")) == []
    [second] = firing.due(tmp_path, utc("2026-01-03T06:00:01"))
    assert (second.late, second.times) == (1, 1)
    assert "late" not in str(second)


def test_a_time_that_comes_while_the_last_run_goes_on_waits_for_its_end(tmp_path: Path, launched: list[Run]) -> None:
    scheduled(tmp_path)
    runs = Runs(tmp_path)
    [first] = firing.due(tmp_path, utc("2026-01-02T06:00"))
    run = runs.minded(first.run)
    assert firing.due(tmp_path, utc("2026-01-04T07:00")) == []
    with pytest.raises(Busy, match=f"is being run since .*{run.id}"):
        firing.now(tmp_path, "status")
    runs.end(run, 0)
    [second] = firing.due(tmp_path, utc("2026-01-04T07:00"))
    assert second.times == 2
    assert len(launched) == 2


def test_two_servers_at_the_same_moment_begin_it_once(tmp_path: Path, launched: list[Run]) -> None:
    for n in range(5):
        scheduled(tmp_path, "0 6 * * * UTC", f"c{n}")
    gate = threading.Barrier(8)

    def look(_: int) -> int:
        gate.wait()
        return len(firing.due(tmp_path, utc("2026-01-02T07:00")))

    with ThreadPoolExecutor(8) as pool:
        assert sum(pool.map(look, range(8))) == 5
    assert len(launched) == len(list(Runs(tmp_path))) == 5


def test_a_paused_one_is_not_due_and_its_times_are_not_missed(tmp_path: Path, launched: list[Run]) -> None:
    name = scheduled(tmp_path)
    with Book.changing(tmp_path) as book:
        book.change(name, paused=True)
    assert firing.due(tmp_path, utc("2026-01-04T08:00")) == []
    with Book.changing(tmp_path) as book:
        book.change(name, paused=False, since="2026-01-04T08:00:00+00:00")
    assert firing.due(tmp_path, utc("2026-01-04T09:00")) == []
    assert len(firing.due(tmp_path, utc("2026-01-05T06:00"))) == 1


def test_one_that_is_run_now_keeps_its_times(tmp_path: Path, launched: list[Run]) -> None:
    scheduled(tmp_path)
    begun = firing.now(tmp_path, "status")
    Runs(tmp_path).end(begun.run, 0)
    assert begun.run.facts["asked"] is True
    assert len(firing.due(tmp_path, utc("2026-01-02T06:00"))) == 1


def test_a_run_whose_process_never_came_does_not_hold_up_the_next(tmp_path: Path, launched: list[Run]) -> None:
    scheduled(tmp_path)
    [first] = firing.due(tmp_path, utc("2026-01-02T06:00"))
    [schedule] = Book.read(tmp_path)
    assert going(tmp_path, schedule, datetime.now(UTC))
    assert not going(tmp_path, schedule, datetime.now(UTC) + timedelta(minutes=2))
    assert first.run.pid == 0


def test_a_run_that_was_broken_off_is_told_of_once(tmp_path: Path, launched: list[Run], monkeypatch: pytest.MonkeyPatch) -> None:
    told: list[dict[str, Any]] = []

    def notify(settings: Settings, message: dict[str, Any], secrets: Secrets) -> dict[str, str]:
        told.append(message)
        return {"command": "told"}

    monkeypatch.setattr(notifying, "notify", notify)
    scheduled(tmp_path)
    runs = Runs(tmp_path)
    [begun] = firing.due(tmp_path, utc("2026-01-02T06:00"))
    with subprocess.Popen([sys.executable, "-c", ""]) as process:
        process.wait()
    runs.change(runs.minded(begun.run), pid=process.pid, begun="1")
    settings = Settings.load(env={}, start=tmp_path, data=str(tmp_path))

    assert [run.id for run in firing.mourn(settings)] == [begun.run.id]
    assert firing.mourn(settings) == []
    assert len(told) == 1 and "it was broken off" in told[0]["text"]
    assert runs.get(begun.run.id).facts["notified"] == {"command": "told"}


# ---------------------------------------------------------------------- notify


class Mail(socketserver.StreamRequestHandler):
    """As much of SMTP as a sender needs."""

    def say(self, text: str) -> None:
        self.wfile.write(f"{text}\r\n".encode())

    def handle(self) -> None:
        kept: list[str] = self.server.kept  # type: ignore[attr-defined]
        self.say("220 here")
        for raw in self.rfile:
            word = raw.decode().strip()
            kept.append(word)
            match word.split(maxsplit=1)[0].upper():
                case "EHLO":
                    self.say("250-here")
                    self.say("250 AUTH PLAIN")
                case "AUTH":
                    self.say("235 yes")
                case "DATA":
                    self.say("354 go on")
                    for line in self.rfile:
                        if line == b".\r\n":
                            break
                        kept.append(line.decode().rstrip())
                    self.say("250 taken")
                case "QUIT":
                    self.say("221 bye")
                    return
                case _:
                    self.say("250 yes")


class Hook(BaseHTTPRequestHandler):
    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"])).decode()
        self.server.kept.append((self.path, self.headers["Content-Type"], body))  # type: ignore[attr-defined]
        moved = self.path.startswith("/moved")
        self.send_response(302 if moved else 500 if self.path.startswith("/broken") else 200)
        if moved:
            self.send_header("Location", "/elsewhere")
        self.end_headers()

    do_GET = do_POST  # noqa: N815

    def log_message(self, *_: Any) -> None:
        """Says nothing."""


@contextmanager
def listening(server: Any) -> Iterator[tuple[int, list[Any]]]:
    server.kept = []
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    try:
        yield server.server_address[1], server.kept
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


@pytest.fixture
def mail() -> Iterator[tuple[int, list[str]]]:
    with listening(socketserver.ThreadingTCPServer(("127.0.0.1", 0), Mail)) as told:
        yield told


@pytest.fixture
def hook() -> Iterator[tuple[int, list[tuple[str, str, str]]]]:
    with listening(HTTPServer(("127.0.0.1", 0), Hook)) as told:
        yield told


def failed(tmp_path: Path, reason: str = "no keys", status: int = 1) -> Run:
    now = "2026-01-02T06:00:00+00:00"
    return Run("r1", "refresh", ("refresh", "--last", "5"), "schedule:nightly", now, ended=now, status=status, reason=reason)


def settings_of(tmp_path: Path, toml: str, **env: str) -> Settings:
    (tmp_path / "workbench.toml").write_text(toml)
    return Settings.load(env={"POLYGON_API_KEY": SECRET, **env}, start=tmp_path, data=str(tmp_path / "lake"))


def catcher(tmp_path: Path, status: int = 0) -> str:
    script = tmp_path / "catch.py"
    script.write_text(f"import sys; open({str(tmp_path / 'caught.json')!r}, 'a').write(sys.stdin.read() + chr(10)); sys.exit({status})")
    return f"{sys.executable} {script}"


def test_a_failure_is_told_by_command_mail_and_webhook_without_secrets(
    tmp_path: Path, mail: tuple[int, list[str]], hook: tuple[int, list[tuple[str, str, str]]]
) -> None:
    toml = f'[notify]\ncommand = "{catcher(tmp_path)}"\nemail = ["ops@example.com", "me@example.com"]\nwebhook = "http://127.0.0.1:{hook[0]}/T0/secret-hook"\n'
    env = {
        "WORKBENCH_SMTP_HOST": "127.0.0.1",
        "WORKBENCH_SMTP_PORT": str(mail[0]),
        "WORKBENCH_SMTP_TLS": "none",
        "WORKBENCH_SMTP_FROM": "w@example.com",
    }
    settings = settings_of(tmp_path, toml, **env)
    run = failed(tmp_path, f"the key {SECRET} is not known")
    came = notifying.notify(settings, notifying.message_of(settings.root, run, "nightly"), Secrets.of(settings, {}))

    assert came == {"command": "told", "email": "told", "webhook": "told"}
    caught = json.loads((tmp_path / "caught.json").read_text())
    assert (caught["event"], caught["schedule"], caught["command"], caught["reason"]) == (
        "failed",
        "nightly",
        ["workbench", "refresh", "--last", "5"],
        "the key ******** is not known",
    )
    assert "nightly failed (refresh --last 5): the key" in caught["text"]
    letter = "\n".join(mail[1])
    assert "rcpt TO:<ops@example.com>" in letter and "rcpt TO:<me@example.com>" in letter
    assert (
        "Subject: workbench: nightly failed on" in letter and "From: w@example.com" in letter and "the key ******** is not known" in letter
    )
    [(path, kind, body)] = hook[1]
    assert (path, kind, json.loads(body)) == ("/T0/secret-hook", "application/json", caught)
    assert SECRET not in letter + body + (tmp_path / "caught.json").read_text()


def test_each_is_tried_and_one_that_fails_is_told_of(tmp_path: Path, hook: tuple[int, list[tuple[str, str, str]]]) -> None:
    toml = f'[notify]\ncommand = "{catcher(tmp_path, 3)}"\nemail = "ops@example.com"\nwebhook = "http://127.0.0.1:{hook[0]}/broken/secret-hook"\n'
    settings = settings_of(tmp_path, toml)
    came = notifying.notify(settings, notifying.message_of(settings.root, failed(tmp_path), ""), Secrets.of(settings, {}))

    assert came["command"].startswith("failed: ") and "ended with status 3" in came["command"]
    assert came["email"] == "failed: no server is named: set WORKBENCH_SMTP_HOST"
    assert came["webhook"] == "failed: the webhook answered 500 Internal Server Error"
    assert "secret-hook" not in str(came)


def test_what_a_notifier_complains_of_is_masked(tmp_path: Path) -> None:
    (tmp_path / "complain.py").write_text(f"import sys; sys.exit({SECRET!r})")
    settings = settings_of(tmp_path, f'[notify]\ncommand = "{sys.executable} {tmp_path / "complain.py"}"\n')
    came = notifying.notify(settings, notifying.message_of(settings.root, failed(tmp_path), ""), Secrets.of(settings, {}))
    assert "ended with status 1: ********" in came["command"]


def test_a_webhook_that_moved_is_not_followed(tmp_path: Path, hook: tuple[int, list[tuple[str, str, str]]]) -> None:
    with pytest.raises(RuntimeError, match="answered 302"):
        notifying.by_webhook(f"http://127.0.0.1:{hook[0]}/moved", {})
    assert [path for path, *_ in hook[1]] == ["/moved"]
    with pytest.raises(RuntimeError, match="does not answer"):
        notifying.by_webhook("http://127.0.0.1:1/x", {})


def test_a_password_goes_over_no_open_line(tmp_path: Path, mail: tuple[int, list[str]]) -> None:
    env = {
        "WORKBENCH_SMTP_HOST": "mail.example.com",
        "WORKBENCH_SMTP_PASSWORD": SECRET,
        "WORKBENCH_SMTP_USER": "me",
        "WORKBENCH_SMTP_TLS": "none",
    }
    message = {"text": "x", "schedule": "", "event": "failed", "host": "h"}
    with pytest.raises(RuntimeError, match="in the open"):
        notifying.by_email(settings_of(tmp_path, '[notify]\nemail = "a@b"\n', **env), message)
    here = env | {"WORKBENCH_SMTP_HOST": "127.0.0.1", "WORKBENCH_SMTP_PORT": str(mail[0]), "WORKBENCH_SMTP_TLS": "starttls"}
    with pytest.raises(smtplib.SMTPNotSupportedError, match="STARTTLS"):
        notifying.by_email(settings_of(tmp_path, '[notify]\nemail = "a@b"\n', **here), message)
    assert not any(word.startswith("AUTH") for word in mail[1])
    notifying.by_email(settings_of(tmp_path, '[notify]\nemail = "a@b"\n', **here | {"WORKBENCH_SMTP_TLS": "none"}), message)
    assert any(word.startswith("AUTH") for word in mail[1])


@pytest.mark.parametrize(
    ("status", "on", "heard"),
    [
        (1, "findings", True),
        (2, "failure", True),
        (3, "findings", True),
        (3, "failure", False),
        (0, "findings", False),
        (130, "findings", False),
    ],
)
def test_who_hears_of_what(tmp_path: Path, status: int, on: str, heard: bool) -> None:
    settings = settings_of(tmp_path, f'[notify]\ncommand = "true"\non = "{on}"\n')
    assert notifying.wanted(settings, failed(tmp_path, status=status)) is heard


@pytest.mark.parametrize(
    ("toml", "told"),
    [
        ('webhok = "x"', "no key 'webhok'.*did you mean webhook"),
        ('webhook = "http://example.com/secret-hook"', "must begin with https://"),
        ('webhook = "http://127.0.0.1.example.com/secret-hook"', "must begin with https://"),
        ('webhook = "file:///etc/secret-hook"', "must begin with https://"),
        ('email = "nobody"', "it must be an address"),
        ("email = 3", "it must be an address"),
        ("command = 3", "it must be a text"),
        ('on = "success"', 'it must be "findings" or "failure"'),
    ],
)
def test_a_policy_that_cannot_be_followed_is_refused(tmp_path: Path, toml: str, told: str) -> None:
    with pytest.raises((BadSetting, UnknownName), match=told) as refused:
        settings_of(tmp_path, f"[notify]\n{toml}\n")
    assert "secret-hook" not in str(refused.value)


def test_the_webhook_is_shown_to_nobody(tmp_path: Path) -> None:
    settings = settings_of(tmp_path, '[notify]\nwebhook = "https://hooks.example.com/secret-hook"\nemail = ["a@b.c"]\n')
    shown = {row["setting"]: row["value"] for row in settings.shown()}
    assert (shown["notify.webhook"], shown["notify.email"]) == ("********", "a@b.c")
    assert "secret-hook" not in f"{settings!r}"
    assert bool(settings.notify) and not Notify()


def test_how_mail_is_spoken_to_is_checked(tmp_path: Path) -> None:
    with pytest.raises(BadSetting, match="smtp_tls is 'ssl3'"):
        settings_of(tmp_path, "", WORKBENCH_SMTP_TLS="ssl3")


# ---------------------------------------------------------------------- minding


def minded(root: Path, *command: str, **facts: Any) -> Run:
    runs = Runs(root)
    run = runs.begin(command[0], command, "schedule:s", schedule="s", folder=str(root.parent), **facts)
    with subprocess.Popen([sys.executable, "-m", "workbench.schedule", str(root), run.id], start_new_session=True) as process:
        process.wait(60)
    return runs.get(run.id)


def test_a_scheduled_command_that_fails_is_on_record_and_told_of(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MY_API_KEY", SECRET)
    (tmp_path / "workbench.toml").write_text(f'[notify]\ncommand = "{catcher(tmp_path)}"\n')
    run = minded(tmp_path / "lake", "sql", f"SELECT '{SECRET}' FROM nothing")

    assert (run.state, run.status, run.facts["notified"]) == ("failed", 2, {"command": "told"})
    assert "holds no lake" in run.reason and run.seconds is not None
    assert json.loads((tmp_path / "caught.json").read_text())["reason"] == run.reason
    place = Runs(tmp_path / "lake").place(run.id)
    assert "holds no lake" in (place / "errors.txt").read_text()
    assert SECRET not in (tmp_path / "caught.json").read_text() + (place / "errors.txt").read_text()


def test_a_scheduled_command_that_works_tells_nobody(tmp_path: Path) -> None:
    (tmp_path / "workbench.toml").write_text(f'[notify]\ncommand = "{catcher(tmp_path)}"\n')
    run = minded(tmp_path / "lake", "config")

    assert (run.state, run.reason) == ("done", "")
    assert "notified" not in run.facts and not (tmp_path / "caught.json").exists()
    assert "WORKBENCH_DATA" in (Runs(tmp_path / "lake").place(run.id) / "log.jsonl").read_text()


def test_a_command_whose_folder_is_gone_or_whose_settings_are_wrong_fails_on_record(tmp_path: Path) -> None:
    runs = Runs(tmp_path / "lake")
    gone = runs.begin("config", ("config",), "schedule:s", schedule="s", folder=str(tmp_path / "gone"))
    minding.mind(tmp_path / "lake", gone.id)
    assert runs.get(gone.id).reason.startswith("it could not be begun: ")
    (tmp_path / "workbench.toml").write_text("[notify]\nwebhok = 1\n")
    assert "no key 'webhok'" in minded(tmp_path / "lake", "config").reason


@pytest.fixture(autouse=True)
def same_folder() -> Iterator[None]:
    """Minding changes the working directory, and what signals do."""
    before, handlers = Path.cwd(), {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    yield
    os.chdir(before)
    for number, handler in handlers.items():
        signal.signal(number, handler)


def test_the_reason_is_the_sentence_that_the_command_ended_with() -> None:
    assert minding.why("Traceback\nworkbench: one\nnoise\nworkbench: two\n") == "two"
    assert minding.why("Killed") == "Killed"


@pytest.mark.slow
def test_a_scheduled_command_that_takes_too_long_is_ended(tmp_path: Path) -> None:
    notebook: dict[str, Any] = {
        "cells": [
            {
                "cell_type": "code",
                "id": "a",
                "metadata": {},
                "execution_count": None,
                "outputs": [],
                "source": "import time; time.sleep(600)",
            }
        ]
    }
    (tmp_path / "n.ipynb").write_text(json.dumps(notebook | {"metadata": {}, "nbformat": 4, "nbformat_minor": 5}))
    run = minded(tmp_path / "lake", "run", "n.ipynb", timeout=8.0)

    assert (run.state, run.reason) == ("failed", "it took longer than 8 s and was ended")
    assert not [p for p in psutil.process_iter(["cmdline"]) if run.id in " ".join(p.info["cmdline"] or [])]


@pytest.mark.slow
def test_a_scheduled_notebook_is_one_run_on_record(tmp_path: Path) -> None:
    cell: dict[str, Any] = {"cell_type": "code", "id": "a", "metadata": {}, "execution_count": None, "outputs": [], "source": "1 / 0"}
    (tmp_path / "n.ipynb").write_text(json.dumps({"cells": [cell], "metadata": {}, "nbformat": 4, "nbformat_minor": 5}))
    run = minded(tmp_path / "lake", "run", "n.ipynb")

    assert [one.id for one in Runs(tmp_path / "lake")] == [run.id]
    assert (run.status, run.reason, run.by) == (1, "cell 1: ZeroDivisionError: division by zero", "schedule:s")
    assert "ZeroDivisionError" in Path(run.output).read_text()
    assert "cell 1 of 1" in (Runs(tmp_path / "lake").place(run.id) / "log.jsonl").read_text()


# ---------------------------------------------------------------------- serve


def wait_for(there: Callable[[], Any], seconds: float = 60) -> None:
    until = time.monotonic() + seconds
    while not there():
        assert time.monotonic() < until, "it did not come"
        time.sleep(0.05)


@contextmanager
def served(settings: Settings) -> Iterator[list[str]]:
    said: list[str] = []
    ended = threading.Event()
    thread = threading.Thread(target=serving.serve, args=(settings, said.append, ended))
    thread.start()
    try:
        yield said
    finally:
        ended.set()
        thread.join(30)
        assert not thread.is_alive()


def test_a_server_catches_up_follows_changes_and_is_alone(tmp_path: Path, launched: list[Run], monkeypatch: pytest.MonkeyPatch) -> None:
    class Done:
        def poll(self) -> int:
            return 0

    def launch(root: Path, run: Run) -> Done:
        launched.append(Runs(root).end(run, 0))
        return Done()

    monkeypatch.setattr(firing, "launch", launch)
    monkeypatch.setattr(serving, "LOOK_S", 0.1)
    settings = Settings.load(env={}, start=tmp_path, data=str(tmp_path / "lake"))
    scheduled(settings.root)
    with served(settings) as said:
        wait_for(lambda: launched)
        with pytest.raises(Busy, match=f"are served by process {os.getpid()}"):
            serving.serve(settings, print, threading.Event())
        other = scheduled(settings.root, "0 0 1 1 * UTC", "verify", since="2020-01-01T00:00:00+00:00")
        wait_for(lambda: len(launched) == 2)
        with Book.changing(settings.root) as book:
            book.remove(other)
        wait_for(lambda: "serving 1 schedules" in said[-1])
    assert [run.command for run in launched] == [("status",), ("verify",)]
    assert said[0].startswith("serving 1 schedules of ") and "; next is status at " in said[0]
    assert said[-1].startswith("stopped")
    assert not [thread for thread in threading.enumerate() if "APScheduler" in thread.name]


def test_a_server_outlives_a_file_that_cannot_be_read(tmp_path: Path, launched: list[Run], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(serving, "LOOK_S", 0.1)
    settings = Settings.load(env={}, start=tmp_path, data=str(tmp_path / "lake"))
    name = scheduled(settings.root, "0 0 1 1 * UTC", since="2100-01-01T00:00:00+00:00")
    with served(settings) as said:
        wait_for(lambda: said)
        kept = (settings.root / FILE).read_text()
        (settings.root / FILE).write_text("{")
        wait_for(lambda: "cannot begin what is due" in said[-1])
        time.sleep(0.5)
        (settings.root / FILE).write_text(kept.replace("2100", "2020"))
        wait_for(lambda: launched)
    assert sum("cannot begin" in one for one in said) == 1
    assert launched[0].by == f"schedule:{name}"


# ---------------------------------------------------------------------- install


@pytest.fixture
def system(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A machine whose crontab is a file, and whose systemd writes down what it is told."""
    bin = tmp_path / "bin"
    bin.mkdir()
    table, calls = tmp_path / "crontab", tmp_path / "calls"
    (bin / "crontab").write_text(
        f'#!/bin/sh\nif [ "$1" = -l ]; then [ -f {table} ] && cat {table} || {{ echo "no crontab for me" >&2; exit 1; }}; else cat > {table}; fi\n'
    )
    (bin / "systemctl").write_text(f'#!/bin/sh\necho "$@" >> {calls}\n')
    for script in bin.iterdir():
        script.chmod(0o755)
    monkeypatch.setenv("PATH", f"{bin}{os.pathsep}{os.environ['PATH']}")
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    return tmp_path


def test_cron_is_given_a_marked_block_and_only_that_is_taken_out(system: Path) -> None:
    (system / "crontab").write_text("0 1 * * * mine")
    project = system / "mine, 50%"
    project.mkdir()
    one, other = (Settings.load(env={}, start=project, data=str(system / name)) for name in ("lake & more", "other"))
    for _ in range(2):
        installing.install(one, "cron")
    installing.install(other, "cron")
    both = (system / "crontab").read_text()

    assert both.startswith("0 1 * * * mine\n# workbench schedule ") and both.count("\n* * * * * cd ") == 2
    assert f"* cd '{system}/mine, 50\\%' && {sys.executable} -m workbench schedule due --no-wait --data '{system}/lake & more' >" in both
    assert installing.uninstall(one) == ["the block in the crontab"]
    assert installing.uninstall(one) == []
    assert "other" in (system / "crontab").read_text()
    installing.uninstall(other)
    assert (system / "crontab").read_text() == "0 1 * * * mine\n"


def test_cron_calls_what_is_due(system: Path, launched: list[Run]) -> None:
    settings = Settings.load(env={}, start=system, data=str(system / "lake"))
    [text] = installing.planned(settings, "cron").texts.values()
    line = text.splitlines()[1].removeprefix("* * * * * ").replace(r"\%", "%").removesuffix(" >/dev/null 2>&1")
    subprocess.run(["sh", "-c", line.replace("schedule due --no-wait", "schedule list")], check=True, capture_output=True, timeout=60)


def test_systemd_is_given_a_timer_of_the_user(system: Path) -> None:
    settings = Settings.load(env={}, start=system, data=str(system / 'lake "x" $y'))
    plan = installing.install(settings, "systemd")
    service, timer = plan.texts.values()

    assert f'--data "{system}/lake \\"x\\" $$y"' in service and "KillMode=process" in service
    assert "OnCalendar=minutely" in timer
    assert sorted(path.name for path in (system / "config" / "systemd" / "user").iterdir()) == [
        f"workbench-schedule-{installing.mark(settings.root)}.{end}" for end in ("service", "timer")
    ]
    assert f"--user enable --now {installing.unit(settings.root)}.timer" in (system / "calls").read_text()
    assert len(installing.uninstall(settings)) == 2
    assert not list((system / "config" / "systemd" / "user").iterdir())


def test_systemd_finds_no_fault_in_what_it_is_given(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import shutil

    if not (analyze := shutil.which("systemd-analyze")):
        pytest.skip("no systemd-analyze on this machine")
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    settings = Settings.load(env={}, start=tmp_path, data=str(tmp_path / "lake of mine"))
    for path, text in installing.planned(settings, "systemd").texts.items():
        Path(path).parent.mkdir(parents=True, exist_ok=True)
        Path(path).write_text(text)
    told = subprocess.run(
        [analyze, "verify", "--man=no", *installing.planned(settings, "systemd").texts],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert str(tmp_path) not in told.stderr and "workbench" not in told.stderr, told.stderr


def test_a_machine_with_neither_is_told_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    settings = Settings.load(env={}, start=tmp_path, data=str(tmp_path / "lake"))
    for how, program in (("cron", "crontab"), ("systemd", "systemctl")):
        with pytest.raises(UsageError, match=f"this machine has no {program}.*schedule serve"):
            installing.install(settings, how)  # type: ignore[arg-type]
    assert installing.uninstall(settings) == []


def test_settings_of_the_shell_that_the_system_will_not_have_are_named(tmp_path: Path) -> None:
    (tmp_path / ".env").write_text("FRED_API_KEY=abc\n")
    settings = Settings.load(env={"POLYGON_API_KEY": SECRET, "WORKBENCH_DATA": "x"}, start=tmp_path)
    assert installing.left_out(settings) == ["POLYGON_API_KEY"]
