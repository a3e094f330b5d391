"""Log lines: silent until asked for, as text or JSON, to a file or standard error, and never with a secret."""

import io
import json
import logging
import subprocess
import sys
from base64 import b64encode
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
from click.testing import CliRunner
from flatfiles import FRI, MON, STOCK_DAY, bar, put, text

from workbench import logs
from workbench.bench import Workbench
from workbench.cli import main
from workbench.config import Settings
from workbench.errors import LakeError

KEY = "canary/Key+9f8e7d6c"
LOG = logging.getLogger("workbench.test")


@pytest.fixture(autouse=True)
def as_before() -> Iterator[None]:
    handlers, level, propagate = list(logs.LOGGER.handlers), logs.LOGGER.level, logs.LOGGER.propagate
    yield
    for one in [one for one in logs.LOGGER.handlers if one not in handlers]:
        one.close()
    logs.LOGGER.handlers[:], logs.LOGGER.propagate = handlers, propagate
    logs.LOGGER.setLevel(level)


def written(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def test_the_library_says_nothing_unasked() -> None:
    code = "import workbench, logging; logging.getLogger('workbench.query').error('heard')"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert (done.stdout, done.stderr) == ("", "")


def test_a_line_of_json_has_its_fields(tmp_path: Path) -> None:
    file = tmp_path / "logs" / "w.jsonl"
    logs.configure("info", json=True, file=file, env={})
    LOG.info("%s landed", "stock_day", extra={"table": "stock_day", "rows": 3, "at": FRI})
    LOG.debug("not heard")
    [one] = written(file)
    assert {name: one[name] for name in ("level", "logger", "message", "table", "rows", "at")} == {
        "level": "INFO",
        "logger": "workbench.test",
        "message": "stock_day landed",
        "table": "stock_day",
        "rows": 3,
        "at": FRI.isoformat(),
    }
    assert one["time"].endswith("Z") and one["process"] > 0


def test_a_line_of_text_goes_to_standard_error_and_once(capsys: pytest.CaptureFixture[str]) -> None:
    logs.configure("warning", env={})
    logs.configure("info", env={})
    LOG.info("one")
    told = capsys.readouterr()
    assert told.out == ""
    assert told.err.count("INFO    workbench.test: one") == 1


@pytest.mark.parametrize("as_json", [False, True])
@pytest.mark.parametrize("form", [KEY, quote(KEY, safe=""), b64encode(KEY.encode()).decode(), json.dumps(KEY)[1:-1]])
def test_no_secret_is_written_wherever_it_stands(tmp_path: Path, form: str, as_json: bool) -> None:
    file = tmp_path / "w.log"
    logs.configure("debug", json=as_json, file=file, settings=Settings(polygon_api_key=KEY), env={"SOME_TOKEN": "environments-own"})
    other = logging.StreamHandler(plain := io.StringIO())
    LOG.addHandler(other)
    try:
        LOG.info("in the message %s", form)
        LOG.info(f"in the text {form}", extra={"given": {"deep": [form]}, "url": f"https://u:{form}@host"})
        LOG.info("%d", "no number " + form)
        LOG.info("environments-own", stack_info=True)
        try:
            raise ValueError(form)  # noqa: TRY301
        except ValueError:
            LOG.exception("in a traceback")
    finally:
        LOG.removeHandler(other)
    found = file.read_text()
    assert form not in found and KEY not in found and "environments-own" not in found
    assert found.count("********") >= 5
    assert "ValueError" in found
    assert form in plain.getvalue(), "a program's own handlers get the record as it is"


def test_a_file_that_cannot_be_written_is_said(tmp_path: Path) -> None:
    (tmp_path / "in the way").write_text("")
    with pytest.raises(LakeError, match=r"cannot be written.*WORKBENCH_LOG_FILE"):
        logs.configure("info", file=tmp_path / "in the way" / "w.log", env={})


def test_settings_say_whether_and_how(tmp_path: Path) -> None:
    assert logs.as_settings_say(Settings()) is None
    file = tmp_path / "w.log"
    assert logs.as_settings_say(Settings(log_level="error", log_format="json", log_file=str(file)), "info")
    LOG.warning("not heard")
    LOG.error("heard")
    assert [one["message"] for one in written(file)] == ["heard"]


def test_a_refresh_tells_what_landed_what_was_refused_and_what_was_committed(tmp_path: Path) -> None:
    put(tmp_path / "files", STOCK_DAY, FRI, text([bar("ACME", FRI)]))
    put(tmp_path / "files", STOCK_DAY, MON, b"no gzip", raw=True)
    logs.configure("info", json=True, file=tmp_path / "w.log", env={})
    with Workbench(Settings(data=str(tmp_path / "lake"), source=f"folder:{tmp_path / 'files'}")) as bench:
        bench.refresh(datasets=["stock_day"], start=FRI, end=MON).run()
        bench.append("utilities.feature_flags", [{"name": "a", "enabled": True, "rollout_percent": 1}])
        bench.maintain()
    told = written(tmp_path / "w.log")
    steps = {one["session"]: one for one in told if "session" in one}
    assert (steps[str(FRI)]["outcome"], steps[str(FRI)]["rows"], steps[str(FRI)]["level"]) == ("landed", 1, "INFO")
    assert (steps[str(MON)]["outcome"], steps[str(MON)]["level"]) == ("quarantined", "WARNING")
    assert "refused" in steps[str(MON)]["message"]
    assert any(one["logger"] == "workbench.lake" and one.get("table") == "stock_day" for one in told)
    assert any(one["logger"] == "workbench.maintain" and one["outcome"] == "folded" for one in told)
    ends = [one["message"] for one in told if one["logger"] == "workbench.refresh" and "session" not in one]
    assert "begins" in ends[0] and "ended" in ends[-1]


def test_the_prompt_logs_where_it_is_told_to(tmp_path: Path) -> None:
    Workbench(Settings(data=str(tmp_path / "lake"))).lake.make()
    told = {
        "WORKBENCH_LOG_LEVEL": "info",
        "WORKBENCH_LOG_FORMAT": "json",
        "WORKBENCH_LOG_FILE": str(tmp_path / "w.log"),
        "WORKBENCH_SLOW_MS": "0",
    }
    done = CliRunner().invoke(main, ["sql", "SELECT 'hidden' AS a", "--data", str(tmp_path / "lake")], env=told)
    assert done.exit_code == 0
    assert [one["query"] for one in written(tmp_path / "w.log")] == ["SELECT ? AS a"]
