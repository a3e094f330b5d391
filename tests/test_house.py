"""The house rules: who may import whom, the drawn errors, the public names, what an import costs, and what must not be committed."""

import ast
import re
import subprocess
import sys
from pathlib import Path

import pytest

import workbench
from workbench import errors

PACKAGE = Path(workbench.__file__).parent
REPOSITORY = PACKAGE.parent
MODULES = sorted(PACKAGE.rglob("*.py"))

# The data's path. A folder imports what everybody may, itself, and folders to its left.
PATH = ("sources", "lake", "runs", "query", "importers", "exporters")
COMMON = {"tables", "errors", "config", "policies", "sessions", "__init__"}
FACES = {"panels", "api", "cli", "orm"}
# Who may see several folders: the object that hands everything over, the one that drives the path, and the faces.
SEES_ALL = {
    "arguments",
    "asking",
    "bench",
    "cluster",
    "flows",
    "importing",
    "keeping",
    "logs",
    "refresh",
    "notebooks",
    "magic",
    "operating",
    "progress",
    "reading",
    "schedule",
    "starting",
    "writing",
    "__init__",
}
SEES_ALL |= {"__main__"} | FACES


def part(module: str) -> str:
    """The folder or module of the package that a dotted name lies in."""
    pieces = module.split(".")
    return pieces[1] if len(pieces) > 1 else "__init__"


def imported(path: Path) -> set[str]:
    """The parts of the package that a file imports."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom) and node.module and node.module.split(".")[0] == "workbench":
            whole = part(node.module)
            found |= (
                {alias.name if (PACKAGE / f"{alias.name}.py").exists() else whole for alias in node.names}
                if whole == "__init__"
                else {whole}
            )
        elif isinstance(node, ast.Import):
            found |= {part(alias.name) for alias in node.names if alias.name.split(".")[0] == "workbench"}
    return found


@pytest.mark.parametrize("path", MODULES, ids=lambda p: str(p.relative_to(PACKAGE)))
def test_nothing_imports_against_the_path(path: Path) -> None:
    relative = path.relative_to(PACKAGE)
    own = relative.parts[0].removesuffix(".py")
    if own in SEES_ALL:
        assert own in FACES | {"__init__", "__main__"} or not imported(path) & FACES, "nothing imports a face"
        return
    left = set(PATH[: PATH.index(own)]) if own in PATH else set()
    common = (
        COMMON
        if own not in COMMON
        else {"tables", "errors", "__init__"} - ({own} - {"tables"}) | ({"policies"} if own == "config" else set())
    )
    allowed = common | left | {own}
    assert imported(path) <= allowed, f"{relative} may import only {sorted(allowed)}"


def test_inside_the_lake_everything_stands_on_the_store() -> None:
    for name in ("log", "store", "types", "footers"):
        source = (PACKAGE / "lake" / f"{name}.py").read_text()
        assert not re.search(r"workbench\.lake\.(landing|faults|quarantine)\b", source)


def test_the_drawn_error_tree_is_the_real_one() -> None:
    drawn = {}
    above: list[str] = []
    for line in (errors.__doc__ or "").splitlines():
        if match := re.match(r"^([│├└─ ]*)([A-Z]\w+)(?: {2,}|$)", line):
            depth = len(match[1]) // 4
            above[depth:] = [match[2]]
            drawn[match[2]] = above[depth - 1] if depth else "Exception"
    real = {n: c.__mro__[1].__name__ for n, c in vars(errors).items() if isinstance(c, type) and issubclass(c, Exception)}
    assert drawn == real


@pytest.mark.parametrize("kind", [c for c in vars(errors).values() if isinstance(c, type) and issubclass(c, Exception)])
def test_errors_survive_a_process_pool(kind: type[Exception]) -> None:
    import pickle

    fault = (
        errors.UnknownName("table", "stock_dya", ["stock_day"])
        if kind is errors.UnknownName
        else kind("a.csv.gz is bad; nothing was done.")
    )
    assert str(pickle.loads(pickle.dumps(fault))) == str(fault)


def test_the_public_names_are_there_and_sorted() -> None:
    assert workbench.__all__ == sorted(workbench.__all__)
    assert all(getattr(workbench, name) is not None for name in workbench.__all__)


HEAVY = ("polars", "deltalake", "pyarrow", "yfinance", "papermill", "s3fs", "pandas", "boto3", "duckdb", "exchange_calendars", "numpy")


@pytest.mark.parametrize("statement", ["import workbench", "import workbench.cli", "import workbench.tables, workbench.config"])
def test_an_import_is_light(statement: str) -> None:
    code = f"{statement}; import sys; print([name for name in {HEAVY} if name in sys.modules])"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.strip() == "[]"


def test_no_module_is_too_long_to_read() -> None:
    long = {str(path.relative_to(PACKAGE)): n for path in MODULES if (n := len(path.read_text().splitlines())) > 500}
    assert not long, "split them"


def test_the_lock_names_no_host_and_pins_by_hash() -> None:
    for lock in (REPOSITORY / "requirements").glob("*.txt"):
        text = lock.read_text()
        assert not re.search(r"https?://|--index|--find-links", text), lock
        pins = re.findall(r"^[a-zA-Z0-9_.\[\]-]+==", text, re.MULTILINE)
        assert pins and text.count("--hash=sha256:") >= len(pins)
