"""Notebooks run on record: what they are given, how they end, and what is kept of them."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psutil
import pytest
from flatfiles import STOCK_DAY, THU, bar, put, text

from workbench.bench import Workbench
from workbench.config import Settings
from workbench.errors import BadSetting, Busy, LakeError, UnknownName, UsageError
from workbench.lake import locks, processes
from workbench.notebooks import Findings, findings, running
from workbench.notebooks.executing import clean
from workbench.notebooks.parameters import Parameter, assigned, checked, read
from workbench.notebooks.running import Cell, Limits, Listener, Stop, run_notebook
from workbench.notebooks.stamping import changed, story, versions
from workbench.runs import Run, Runs
from workbench.runs.masking import MASK, Secrets, says_secret
from workbench.runs.supervised import Supervised

SECRET = 'q7"Zx&9/secret+key'
NONE = Secrets(())


def notebook(path: Path, *cells: str, parameters: str | None = "days = 5") -> Path:
    """A notebook of code cells, the first of which sets its parameters."""
    texts = [*([parameters] if parameters is not None else []), *cells]
    cells_made: list[dict[str, Any]] = [
        {
            "cell_type": "code",
            "id": f"c{n}",
            "metadata": {"tags": ["parameters"]} if n == 0 and parameters is not None else {},
            "execution_count": None,
            "outputs": [],
            "source": source,
        }
        for n, source in enumerate(texts)
    ]
    kernel = {"kernelspec": {"name": "python3", "display_name": "Python 3", "language": "python"}}
    path.write_text(json.dumps({"cells": cells_made, "metadata": kernel, "nbformat": 4, "nbformat_minor": 5}))
    return path


def made(path: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(path.read_text())
    return found


@pytest.fixture
def lake(tmp_path: Path) -> Settings:
    """Settings of a root that holds no lake yet."""
    return Settings.load(env={"POLYGON_API_KEY": SECRET}, start=tmp_path, data=str(tmp_path / "lake"))


# ---------------------------------------------------------------------- parameters


def takes(source: str, *given: tuple[str, str], secrets: Secrets = NONE) -> dict[str, Any]:
    cell = {"cell_type": "code", "metadata": {"tags": ["parameters"]}, "source": source}
    return checked({"cells": [cell]}, Path("10_refresh.ipynb"), given, secrets)


@pytest.mark.parametrize(
    ("own", "typed", "value"),
    [
        ("days = 5", "7", 7),
        ("days = 5", "-1", -1),
        ("share = 0.5", "1", 1),
        ("share = 0.5", "1e-3", 0.001),
        ("reset = False", "true", True),
        ("reset = False", "True", True),
        ("symbols = []", "AAPL,MSFT", ["AAPL", "MSFT"]),
        ("symbols = []", '["AAPL", "BRK.B"]', ["AAPL", "BRK.B"]),
        ("symbols = []", "['TRUE']", ["TRUE"]),
        ("symbols = []", "NAN", ["NAN"]),
        ("symbols = []", "", []),
        ("ticker = 'AAPL'", "TRUE", "TRUE"),
        ("ticker = 'AAPL'", "1", "1"),
        ("ticker = 'AAPL'", "None", None),
        ("ticker = None", "NAN", "NAN"),
        ("ticker = None", "1_000", "1_000"),
        ("start = '2024-01-02'", "2024-03-07", "2024-03-07"),
        ("start = None", "2024-03-07", "2024-03-07"),
        ("start: date | None = None", "null", None),
        ("days: int | None = None", "7", 7),
        ("symbols: list[str] | None = None", "AAPL", ["AAPL"]),
        ("ticker: str | None = None", "7", "7"),
        ("weights = {}", '{"A": 1}', {"A": 1}),
        ("%load_ext workbench\nx = 1", "2", 2),
        ("x = y = 1", "2", 2),
        ("x = [\n    1,\n    2,\n]", "[3]", [3]),
        ("x = 2 ** 3", "9", 9),
    ],
)
def test_a_value_is_taken_for_what_the_notebooks_own_is(own: str, typed: str, value: Any) -> None:
    [name] = list(assigned(own))[:1]
    found = takes(own, (name, typed))
    assert found == {name: value}
    assert type(found[name]) is type(value)


@pytest.mark.parametrize(
    ("own", "typed", "told"),
    [
        ("days = 5", "five", "must be a whole number"),
        ("days = 5", "1.5", "must be a whole number"),
        ("days = 5", "true", "must be a whole number"),
        ("reset = False", "1", "must be true or false"),
        ("start = '2024-01-02'", "2024-02-30", "must be a date"),
        ("start: date = None", "yesterday", "must be a date"),
        ("symbols = []", "[1, ", "must be a list"),
        ("weights = {}", "a=1", "must be JSON in braces"),
    ],
)
def test_a_value_of_another_kind_is_refused_with_the_notebooks_own(own: str, typed: str, told: str) -> None:
    [name] = assigned(own)
    with pytest.raises(BadSetting, match=told) as refused:
        takes(own, (name, typed))
    assert "nothing was run" in str(refused.value)


def test_papermills_words_are_read_where_the_notebook_says_nothing() -> None:
    assert [read(word) for word in ("True", "false", "None", "null", "3", "-2.5", "[1, 2]", "{'a': 1}", "x")] == [
        True,
        False,
        None,
        None,
        3,
        -2.5,
        [1, 2],
        {"a": 1},
        "x",
    ]


def test_unknown_parameters_are_refused_with_the_nearest() -> None:
    with pytest.raises(UnknownName, match="no parameter 'dayz'; nothing was done; did you mean days"):
        takes("days = 5\nstart = None", ("dayz", "1"))


def test_a_parameter_is_given_once() -> None:
    with pytest.raises(UsageError, match="given twice"):
        takes("days = 5", ("days", "1"), ("days", "2"))


def test_a_notebook_without_parameters_takes_none(tmp_path: Path) -> None:
    path = notebook(tmp_path / "n.ipynb", "x = 1", parameters=None)
    with pytest.raises(UsageError, match="no cell tagged parameters"):
        checked(made(path), path, [("days", "1")], NONE)
    assert checked(made(path), path, [], NONE) == {}


def test_a_parameters_cell_that_is_no_python_is_named() -> None:
    with pytest.raises(UsageError, match=r"cannot be read .* line 2"):
        takes("a = 1\nb = = 2")


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("note", SECRET),
        ("note", f"before {SECRET} after"),
        ("api_key", "abc"),
        ("apiKey", "abc"),
        ("db_password", "x"),
        ("AUTH_TOKEN", "x"),
        ("symbols", f'["A", {json.dumps(SECRET)}]'),
        ("note", "postgresql://me:hunter2@db/lake"),
    ],
)
def test_a_secret_is_no_parameter(name: str, value: str) -> None:
    source = "note = ''\napi_key = ''\napiKey = ''\ndb_password = ''\nAUTH_TOKEN = ''\nsymbols = []"
    with pytest.raises(UsageError, match=f"the parameter {name} is a secret") as refused:
        takes(source, (name, value), secrets=Secrets([SECRET]))
    assert SECRET not in str(refused.value)


def test_names_that_only_look_like_secrets_are_none() -> None:
    assert not any(map(says_secret, ("key", "ticker", "tokens_per_day", "keyword", "passed", "secretary", "primary_key")))


def test_a_parameter_tells_its_comment_and_kind() -> None:
    found = assigned("days = 5  # how many sessions\nstart: 'date | None' = None")
    assert (found["days"].kind, found["days"].comment, found["start"].kind) == ("whole number", "how many sessions", "date")
    assert Parameter("x", "f()").kind == ""


# ---------------------------------------------------------------------- secrets


def test_a_secret_is_masked_in_every_form() -> None:
    import base64
    import html
    from urllib.parse import quote

    secrets = Secrets([SECRET, "short"])
    forms = (
        SECRET,
        json.dumps({"k": SECRET}),
        html.escape(SECRET),
        quote(SECRET, safe=""),
        repr([SECRET]),
        base64.b64encode(SECRET.encode()).decode(),
    )
    for form in forms:
        assert "Zx" not in secrets.mask(form) and MASK in secrets.mask(form), form
    assert secrets.mask("short stays: it is no key") == "short stays: it is no key"
    assert secrets.mask("postgres://me:hunter2@db/x") == f"postgres://me:{MASK}@db/x"
    assert secrets.masked({SECRET: [SECRET, 1, None]}) == {MASK: [MASK, 1, None]}


def test_a_longer_secret_is_masked_before_one_within_it() -> None:
    assert Secrets(["abcdef", "abcdefghij"]).mask("abcdefghij abcdef") == f"{MASK} {MASK}"


def test_the_environments_secrets_count_by_their_names() -> None:
    env = {"MY_API_KEY": "environment-1", "DB_PASSWORD": "environment-2", "PATH": "/usr/bin:/bin", "GH_TOKEN": "x"}
    secrets = Secrets.of(Settings(), env)
    assert secrets.mask("environment-1 environment-2 /usr/bin:/bin") == f"{MASK} {MASK} /usr/bin:/bin"


def test_keys_of_profiles_and_signed_addresses_are_kept_out_too(tmp_path: Path) -> None:
    (tmp_path / "credentials").write_text("[lab]\naws_access_key_id = AKIA-lab-one\naws_secret_access_key = hush-hush-lab\n")
    (tmp_path / "config").write_text(
        "[profile lab]\nregion = us-east-1\naws_session_token = token-token\ns3 =\n  addressing_style = path\n"
    )
    env = {"AWS_SHARED_CREDENTIALS_FILE": str(tmp_path / "credentials"), "AWS_CONFIG_FILE": str(tmp_path / "config")}
    secrets = Secrets.of(Settings(), env)
    assert secrets.mask("AKIA-lab-one hush-hush-lab token-token us-east-1") == f"{MASK} {MASK} {MASK} us-east-1"
    url = "http://store/lake/a.parquet?X-Amz-Algorithm=AWS4&X-Amz-Credential=me%2Fs3&X-Amz-Expires=10&X-Amz-Signature=0bad"
    assert secrets.mask(f"'{url}'") == (
        f"'http://store/lake/a.parquet?X-Amz-Algorithm=AWS4&X-Amz-Credential={MASK}&X-Amz-Expires=10&X-Amz-Signature={MASK}'"
    )
    (tmp_path / "credentials").write_bytes(b"\xff\xfe no file of keys")
    assert "hush" in Secrets.of(Settings(), env).mask("hush-hush-lab")


def test_a_saved_notebook_has_no_widget_state_and_no_secret_in_two_pieces() -> None:
    import nbformat

    v4: Any = nbformat.v4
    nb = v4.new_notebook(
        metadata={"widgets": {"state": SECRET}},
        cells=[
            v4.new_code_cell(
                f"key = {SECRET!r}",
                outputs=[
                    v4.new_output("stream", name="stdout", text=SECRET[:5]),
                    v4.new_output("stream", name="stdout", text=SECRET[5:]),
                    v4.new_output("display_data", data={"text/html": f"<b>{SECRET}</b>", "application/json": {"k": SECRET}}),
                    v4.new_output("error", ename="E", evalue=SECRET, traceback=[SECRET]),
                ],
            )
        ],
    )
    plain = clean(nb, Secrets([SECRET]))

    assert "Zx" not in json.dumps(plain)
    assert "widgets" not in plain["metadata"]
    assert plain["cells"][0]["outputs"][0]["text"] == MASK
    nbformat.validate(nbformat.from_dict(plain))  # type: ignore[no-untyped-call]


# ---------------------------------------------------------------------- what is around a run


def test_findings_end_a_run_and_nothing_found_does_not() -> None:
    findings("")
    findings([])
    with pytest.raises(Findings, match="2 sessions are missing"):
        findings("2 sessions are missing")


def test_versions_are_those_of_the_log(tmp_path: Path) -> None:
    put(tmp_path / "files", STOCK_DAY, THU, text([bar("ACME", THU)]))
    bench = Workbench(Settings.load(env={}, data=str(tmp_path / "lake"), source=f"folder:{tmp_path / 'files'}"))
    assert versions(tmp_path / "lake") == {}
    bench.refresh(datasets=["stock_day"]).run()
    found = versions(tmp_path / "lake")

    assert found["stock_day"] == bench.lake["stock_day"].snapshot().version
    assert changed({}, {"stock_day": 1}) == {"stock_day": (None, 1)}


def test_the_last_cell_tells_what_changed_and_what_did_not() -> None:
    facts = {
        "run": "r",
        "state": "done",
        "started": "2026-01-01T00:00:00+00:00",
        "ended": "2026-01-01T00:01:00+00:00",
        "root": "/lake",
        "version": "1",
    }
    grown = story(facts | {"reason": "", "before": {"a": 1}, "after": {"a": 2, "b": 0}})
    still = story(facts | {"reason": "x\ny", "before": {"a": 1}, "after": {"a": 1}})

    assert "| a | 1 | 2 |" in grown and "| b | – | 0 |" in grown
    assert "> x\n> y" in still and "No table changed while it ran: 1 tables" in still


def test_a_notebook_that_is_not_there_is_refused_with_the_nearest(lake: Settings, tmp_path: Path) -> None:
    notebook(tmp_path / "refresh.ipynb")
    with pytest.raises(UnknownName, match=r"did you mean .*refresh\.ipynb"):
        run_notebook(lake, tmp_path / "refersh.ipynb")
    (tmp_path / "broken.ipynb").write_text("{")
    with pytest.raises(UsageError, match="is not a notebook"):
        run_notebook(lake, tmp_path / "broken.ipynb")
    assert not (tmp_path / "lake").exists()


def test_what_is_wrong_with_parameters_is_said_before_anything_is_made(lake: Settings, tmp_path: Path) -> None:
    with pytest.raises(UsageError):
        run_notebook(lake, notebook(tmp_path / "n.ipynb"), [("dayz", "5")])
    assert not (tmp_path / "lake").exists()


def test_a_root_that_is_no_folder_is_said_in_words(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    settings = Settings.load(env={}, start=tmp_path, data=str(tmp_path / "file" / "lake"))
    with pytest.raises(LakeError, match=r"cannot be made, as .* is a file: n.ipynb was not run"):
        run_notebook(settings, notebook(tmp_path / "n.ipynb"))


def test_a_second_run_of_a_notebook_is_refused_with_who_runs_it(lake: Settings, tmp_path: Path) -> None:
    path, other = notebook(tmp_path / "n.ipynb"), notebook(tmp_path / "other.ipynb")
    with running.alone(lake.root, path.resolve()) as note:
        locks.write(note, locks.Holder.here("run 20260101T000000000Z-abcd"))
        with pytest.raises(
            Busy, match=rf"n.ipynb is being run by process {os.getpid()} \(run 20260101T000000000Z-abcd, user .*nothing was run"
        ):
            run_notebook(lake, path)
        with running.alone(lake.root, other.resolve()):
            pass
    assert not list(Runs(lake.root))


def process(tmp_path: Path, code: str, **given: Any) -> Supervised:
    return Supervised([sys.executable, "-c", code], tmp_path / "out", tmp_path / "errors", Secrets([SECRET]), **given)


def test_what_a_process_prints_is_kept_without_secrets_and_within_bounds(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("workbench.runs.supervised.MOST_BYTES", 1000)
    child = process(
        tmp_path, f"import sys; print({SECRET!r}); print({SECRET!r}, file=sys.stderr); [print('x' * 99) for _ in range(100)]; sys.exit(3)"
    )

    assert child.wait(30) == 3
    assert (tmp_path / "out").read_text().startswith(MASK)
    assert (tmp_path / "errors").read_text() == f"{MASK}\n"
    assert (tmp_path / "out").stat().st_size < 1200
    assert "is not kept" in (tmp_path / "out").read_text()


def test_a_process_that_does_not_listen_is_ended_with_all_that_it_started(tmp_path: Path) -> None:
    deaf = "import signal, time; [signal.signal(n, signal.SIG_IGN) for n in (2, 15)]; print('on', flush=True); time.sleep(60)"
    code = f"import subprocess, sys, signal\n[signal.signal(n, signal.SIG_IGN) for n in (2, 15)]\nsubprocess.Popen([sys.executable, '-c', {deaf!r}]).wait()"
    child = process(tmp_path, code)
    wait_for(lambda: (tmp_path / "out").is_file() and "on" in (tmp_path / "out").read_text())
    below = psutil.Process(child.pid).children(recursive=True)

    assert child.end(0.2) == 137
    assert below
    wait_for(lambda: gone(*(one.pid for one in below)), 10)


def wait_for(there: Callable[[], Any], seconds: float = 60) -> None:
    until = time.monotonic() + seconds
    while not there():
        assert time.monotonic() < until, "it did not come"
        time.sleep(0.05)


# ---------------------------------------------------------------------- real kernels


class Heard(Listener):
    def __init__(self, at: Callable[[Cell], None] = lambda _: None):
        self.cells: list[Cell] = []
        self.texts: list[str] = []
        self.run: Run | None = None
        self.at = at

    def began(self, run: Run) -> None:
        self.run = run

    def cell(self, at: Cell) -> None:
        self.cells.append(at)
        self.at(at)

    def told(self, text: str) -> None:
        self.texts.append(text)


def gone(*pids: int) -> bool:
    return not any(processes.running(pid) for pid in pids)


@pytest.mark.slow
def test_a_run_keeps_its_results_the_lakes_versions_and_no_secret(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    put(tmp_path / "files", STOCK_DAY, THU, text([bar("ACME", THU)]))
    (tmp_path / "work").mkdir()
    env = {"POLYGON_API_KEY": SECRET, "WORKBENCH_SOURCE": f"folder:{tmp_path / 'files'}"}
    settings = Settings.load(env=env, start=tmp_path / "work", data=str(tmp_path / "lake"))
    monkeypatch.setenv("MY_TOKEN", "environment-token")
    path = notebook(
        tmp_path / "work" / "n.ipynb",
        "import os, sys, workbench\nfrom workbench.bench import Workbench\nbench = Workbench(workbench.Settings.load())",
        "bench.refresh(datasets=['stock_day']).run()",
        "print(days, os.getcwd(), os.environ['WORKBENCH_DATA'])",
        "key = os.environ['POLYGON_API_KEY']\nprint(key[:6], end='', flush=True)\nprint(key[6:])\nkey, [os.environ['MY_TOKEN']]",
        "import ipywidgets\nipywidgets.Label(key)",
        "print(key, file=sys.stderr); os.system('echo $POLYGON_API_KEY; echo $POLYGON_API_KEY >&2');",
    )
    heard = Heard()
    run = run_notebook(
        settings, path, [("days", "7")], listener=heard, copy=tmp_path / "copy.ipynb", words=("run", "n.ipynb", "-p", "days", "7")
    )

    output = Path(run.output)
    nb = made(output)
    assert (run.state, run.kind, run.by, run.attempts, run.facts["parameters"]) == ("done", "notebook", "prompt", 1, {"days": 7})
    assert output == tmp_path / "lake" / "runs" / run.id / "n.ipynb"
    assert (run.before, run.after) == ({}, versions(tmp_path / "lake"))
    assert nb["metadata"]["workbench"]["after"] == run.after
    assert (
        f"**Run {run.id}**: done" in nb["cells"][-1]["source"]
        and f"| stock_day | – | {run.after['stock_day']} |" in nb["cells"][-1]["source"]
    )
    assert f"7 {tmp_path / 'work'} {tmp_path / 'lake'}" in output.read_text()
    assert [cell.cell for cell in heard.cells] == list(range(1, 9)) and {cell.of for cell in heard.cells} == {8}
    assert "widgets" not in nb["metadata"]
    assert (tmp_path / "copy.ipynb").read_bytes() == output.read_bytes()
    for file in tmp_path.rglob("*"):
        if file.is_file() and file != path:
            held = file.read_bytes()
            assert b'q7"Zx' not in held and rb"q7\"Zx" not in held and b"environment-token" not in held, file
    assert not list(output.parent.glob(".*"))
    subprocess.run(
        [sys.executable, "-m", "nbconvert", "--to", "html", "--stdout", str(output)], check=True, capture_output=True, timeout=120
    )


@pytest.mark.slow
@pytest.mark.parametrize(
    ("cell", "status", "reason"),
    [
        ("1 / 0", 1, "cell 3: ZeroDivisionError: division by zero"),
        ("from workbench.notebooks import findings; findings('2 sessions are missing')", 3, "cell 3: 2 sessions are missing"),
        ("import sys; sys.exit(0)", 0, ""),
        ("import sys; sys.exit(3)", 3, "cell 3: sys.exit(3)"),
        ("import os; os.kill(os.getpid(), 9)", 1, "the kernel was killed or died"),
    ],
    ids=["raises", "finds", "ends early", "ends with 3", "dies"],
)
def test_how_a_notebook_ends_is_the_runs_status(lake: Settings, tmp_path: Path, cell: str, status: int, reason: str) -> None:
    path = notebook(tmp_path / "n.ipynb", "print('first')", cell, "print('never')")
    run = run_notebook(lake, path)

    assert run.status == status
    assert reason in run.reason
    told = Path(run.output).read_text()
    assert r"first\n" in told and r"never\n" not in told
    assert Runs(lake.root).get(run.id) == run


@pytest.mark.slow
def test_a_failed_run_is_tried_again_and_each_try_is_kept(lake: Settings, tmp_path: Path) -> None:
    path = notebook(
        tmp_path / "n.ipynb",
        f"from pathlib import Path\nmark = Path({str(tmp_path / 'mark')!r})\nif not mark.exists():\n    mark.touch(); 1 / 0\nprint('better')",
    )
    heard = Heard()
    run = run_notebook(lake, path, limits=Limits(retries=2, wait=0.1), listener=heard)

    assert (run.state, run.attempts, run.reason) == ("done", 2, "")
    assert heard.texts == ["attempt 1 failed (cell 2: ZeroDivisionError: division by zero); again in 0.1 s"]
    assert "ZeroDivisionError" in (Path(run.output).parent / "n.attempt-1.ipynb").read_text()
    assert "better" in Path(run.output).read_text()


@pytest.mark.slow
@pytest.mark.parametrize("deaf", [False, True], ids=["interrupted", "killed"])
def test_a_time_limit_ends_the_kernel_too_and_keeps_what_there_is(
    lake: Settings, tmp_path: Path, deaf: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Supervised.end, "__defaults__", (1.0,))
    ignore = "while True:\n    try:\n        time.sleep(60)\n    except KeyboardInterrupt:\n        pass" if deaf else "time.sleep(60)"
    path = notebook(
        tmp_path / "n.ipynb",
        f"import os, subprocess, time\nchild = subprocess.Popen(['sleep', '60'])\nopen({str(tmp_path / 'pids')!r}, 'w').write(f'{{os.getpid()}} {{child.pid}}')\nprint('began')",
        f"print('so far', flush=True)\ntime.sleep(3)\n{ignore}",
    )
    limits = Limits(timeout=1000)

    def at(cell: Cell) -> None:
        if cell.cell == 3:
            # However long a busy machine takes to get here.
            time.sleep(4)
            object.__setattr__(limits, "timeout", 1)

    run = run_notebook(lake, path, limits=limits, listener=Heard(at))

    assert (run.status, run.reason) == (1, "cell 3: it took longer than 1 s and was ended with its kernel")
    told = Path(run.output).read_text()
    assert "began" in told and "so far" in told and "longer than 1 s" in told
    pids = [int(pid) for pid in (tmp_path / "pids").read_text().split()]
    wait_for(lambda: gone(*pids), 20)


@pytest.mark.slow
def test_a_stop_interrupts_the_cell_and_no_more_is_tried(lake: Settings, tmp_path: Path) -> None:
    stop = Stop()
    path = notebook(tmp_path / "n.ipynb", "import time; print('began', flush=True); time.sleep(60)", "print('never')")

    def at(cell: Cell) -> None:
        if cell.cell == 2:
            time.sleep(1)
            stop()

    run = run_notebook(lake, path, limits=Limits(retries=3), listener=Heard(at), stop=stop)

    assert (run.state, run.status, run.reason, run.attempts) == ("stopped", 130, "cell 2: stopped", 1)
    assert "KeyboardInterrupt" in Path(run.output).read_text()


@contextmanager
def prompt(*words: str, env: dict[str, str]) -> "Iterator[subprocess.Popen[str]]":
    with subprocess.Popen(
        [sys.executable, "-m", "workbench", *words], env={**os.environ, **env}, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        try:
            yield process
        finally:
            process.kill()


@pytest.mark.slow
@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGKILL], ids=["Ctrl-C", "killed"])
def test_the_kernel_ends_with_the_prompt_that_runs_it(tmp_path: Path, how: signal.Signals) -> None:
    path = notebook(
        tmp_path / "n.ipynb",
        f"import os, time\nopen({str(tmp_path / 'pid')!r}, 'w').write(str(os.getpid()))\nprint('began', flush=True)\ntime.sleep(60)",
    )
    env = {"WORKBENCH_DATA": str(tmp_path / "lake")}
    with prompt("run", str(path), env=env) as process:
        wait_for(lambda: (tmp_path / "pid").is_file() and (tmp_path / "pid").read_text())
        with prompt("run", str(path), env=env) as second:
            refused = second.communicate(timeout=60)[1]
            assert (second.returncode, "n.ipynb is being run by process" in refused) == (1, True)
        kernel = int((tmp_path / "pid").read_text())
        process.send_signal(how)
        process.wait(60)
    wait_for(lambda: gone(kernel), 30)
    [run] = Runs(tmp_path / "lake")
    # Who ends the kernel ends after it, a moment later.
    wait_for(lambda: not run.worked, 30)

    assert run.state == ("stopped" if how == signal.SIGINT else "broken off")
    assert process.returncode == (130 if how == signal.SIGINT else -9)
    # Nothing holds the notebook any more.
    with running.alone(tmp_path / "lake", path.resolve()):
        pass


@pytest.mark.slow
@pytest.mark.skipif(os.getuid() == 0, reason="root writes everywhere")
def test_a_root_on_a_read_only_disk_is_said_in_words(tmp_path: Path) -> None:
    (tmp_path / "lake").mkdir()
    (tmp_path / "lake").chmod(0o500)
    with pytest.raises(LakeError, match="cannot be written"):
        run_notebook(Settings.load(env={}, data=str(tmp_path / "lake")), notebook(tmp_path / "n.ipynb"))
