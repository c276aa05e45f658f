"""
The shape of the code: what may import what, what the core may not know, and how long things may be.

Everything but the start-up tests is read from the syntax trees; nothing is imported.
"""

from __future__ import annotations

import ast
import json
import subprocess
import sys
from collections.abc import Iterator
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

from tests.conftest import OrchestrateCommand

ROOT = Path(__file__).resolve().parent.parent
PACKAGES = ("ledger", "orchestrator")

FILE_LINES_MAX = 400
FILE_LINES_GOOD = 300
FILE_LINES_ALLOWED = {"ledger/verifier.py": 985}
"""What is one file on purpose: a copy of it lies in each bundle."""
FUNCTION_LINES_MAX = 70

FLOORS: dict[str, frozenset[str]] = {
    "ledger": frozenset(),
    "orchestrator.step": frozenset(),
    "orchestrator.schemas": frozenset(),
    "orchestrator.examples_path": frozenset(),
    "orchestrator.core": frozenset({"ledger.canonical", "ledger.errors", "ledger.events", "ledger.merkle"}),
    "orchestrator.runtime": frozenset({"ledger", "orchestrator.core", "orchestrator.schemas"}),
    "orchestrator.projections": frozenset({"ledger", "orchestrator.core"}),
    "orchestrator.history": frozenset(
        {"ledger", "orchestrator.core", "orchestrator.runtime", "orchestrator.projections"}
    ),
    "orchestrator.cli": frozenset({"ledger", "orchestrator"}),
    "orchestrator.__main__": frozenset({"orchestrator.cli"}),
}
"""What each part may import from our own code besides itself; the root `orchestrator` (its version) is open to all above the ledger."""

# fmt: off
IMPURE = frozenset({
        "asyncio", "concurrent", "getpass", "http", "io", "loguru", "multiprocessing", "opentelemetry", "os",
        "pathlib", "pwd", "random", "secrets", "select", "selectors", "shutil", "signal", "socket", "sqlite3",
        "sqlite_utils", "subprocess", "tempfile", "threading", "time", "urllib", "uuid",
})
# fmt: on
"""Modules that the core may not import."""

BANNED_IMPORTS: dict[str, tuple[str, ...]] = {
    "asyncio": (),
    "pickle": (),
    "marshal": (),
    "loguru": ("orchestrator/cli/", "orchestrator/runtime/"),
    "rich": ("orchestrator/cli/",),
    "rich_click": ("orchestrator/cli/",),
    "click": ("orchestrator/cli/",),
    "pandas": ("orchestrator/history/",),
    "altair": ("orchestrator/history/",),
    "nbclient": ("orchestrator/cli/",),
    "papermill": ("orchestrator/cli/",),
    "subprocess": ("orchestrator/runtime/", "orchestrator/cli/", "ledger/verifier.py"),
    "multiprocessing": (),
}
"""A module, and where alone it may be imported."""

BANNED_CALLS: dict[str, tuple[str, ...]] = {
    "print": ("orchestrator/cli/render.py",),
    "input": ("orchestrator/cli/",),
    "eval": (),
    "exec": (),
    "exit": (),
    "sys.exit": ("orchestrator/cli/", "orchestrator/step.py"),
    "os.system": (),
    "os.popen": (),
    "datetime.utcnow": (),
    "datetime.now": ("orchestrator/runtime/clock.py", "orchestrator/cli/", "ledger/"),
    "datetime.today": (),
    "date.today": (),
    "time.time": ("orchestrator/runtime/clock.py",),
    "time.sleep": ("orchestrator/cli/", "ledger/locks.py"),
    "logger.add": ("orchestrator/cli/",),
    "uuid.uuid4": (),
    "random.seed": (),
}
"""A call, and where alone it may stand."""

BANNED_ARGUMENTS = ("shell", "preexec_fn")
"""Keyword arguments that nobody gives to a process: no shell but the one that a definition asks for, nothing between fork and exec."""

UNWANTED_WHEN_READING = ("attrs", "attr", "rich", "rich_click", "loguru", "sqlite_utils", "jsonschema", "opentelemetry")


def _module(path: Path) -> str:
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


SOURCES = {_module(path): path for package in PACKAGES for path in sorted((ROOT / package).rglob("*.py"))}
TREES = {module: ast.parse(path.read_text(encoding="utf-8"), str(path)) for module, path in SOURCES.items()}


def _place(module: str) -> str:
    return SOURCES[module].relative_to(ROOT).as_posix()


def _within(module: str, package: str) -> bool:
    return module == package or module.startswith(package + ".")


def _imports(tree: ast.AST) -> Iterator[tuple[str, int]]:
    """Name every module that *tree* imports, at whatever depth, with the line; `from a import b` as `a.b` where that is a module."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from ((alias.name, node.lineno) for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.level == 0:
            base = node.module or ""
            for alias in node.names:
                full = f"{base}.{alias.name}"
                yield (full if full in SOURCES else base), node.lineno


def _imports_at_start(module: str) -> set[str]:
    """Name our own modules that are imported when *module* is, so not those inside of functions or for types alone."""
    tree = TREES[module]
    top = [node for node in tree.body if not (isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test))]
    plain = ast.Module([node for node in top if not isinstance(node, ast.FunctionDef | ast.ClassDef)], [])
    return {name for name, _ in _imports(plain) if name in SOURCES and name != module}


def _floor(module: str) -> str:
    (floor,) = [floor for floor in FLOORS if _within(module, floor)]
    return floor


def _calls(tree: ast.AST) -> Iterator[tuple[str, ast.Call]]:
    """Name every call by its last two words, such as `datetime.now` for `datetime.datetime.now(…)`."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Call):
            yield ".".join(ast.unparse(node.func).split(".")[-2:]), node


def _in_places(place: str, places: tuple[str, ...]) -> bool:
    return any(place.startswith(allowed) for allowed in places)


class TestFloors:
    """Dependencies point one way."""

    def test_every_module_stands_on_a_floor(self) -> None:
        """A new part has to be given its place in `FLOORS`."""
        assert SOURCES
        lost = [
            module for module in SOURCES if module != "orchestrator" and not any(_within(module, f) for f in FLOORS)
        ]
        assert lost == []

    def test_imports_point_down(self) -> None:
        """The ledger knows no pipeline, the core no effects, runtime and projections not each other, nobody the command line."""
        wrong = []
        for module in SOURCES.keys() - {"orchestrator"}:
            floor = _floor(module)
            for name, line in _imports(TREES[module]):
                ours = any(_within(name, package) for package in PACKAGES)
                root = name == "orchestrator" and floor != "ledger"
                if ours and not root and not any(_within(name, allowed) for allowed in (*FLOORS[floor], floor)):
                    wrong.append(f"{_place(module)}:{line} imports {name}")
        assert sorted(wrong) == []

    def test_the_root_imports_nothing(self) -> None:
        """`import orchestrator` costs nothing, since every command pays it."""
        assert [name for name, _ in _imports(TREES["orchestrator"]) if name != "__future__"] == []

    def test_the_helper_for_steps_needs_the_standard_library_alone(self) -> None:
        """A step may copy `orchestrator/step.py` and run without us."""
        tree = TREES.get("orchestrator.step", ast.Module([], []))
        assert [name for name, _ in _imports(tree) if name.split(".")[0] not in sys.stdlib_module_names] == []

    def test_no_module_imports_itself_through_others(self) -> None:
        """Modules can be read in an order."""
        try:
            TopologicalSorter({module: _imports_at_start(module) for module in SOURCES}).prepare()
        except CycleError as error:
            pytest.fail(f"modules import each other: {' -> '.join(error.args[1])}")


class TestPurity:
    """The core decides; it sees no clock, no disk, no process and no chance."""

    def test_the_core_imports_no_effects(self) -> None:
        """Neither at the top of a module nor inside of a function."""
        wrong = [
            f"{_place(module)}:{line} imports {name}"
            for module in SOURCES
            if _within(module, "orchestrator.core")
            for name, line in _imports(TREES[module])
            if name.split(".")[0] in IMPURE and name != "urllib.parse"
        ]
        assert wrong == []

    def test_the_core_opens_no_file_and_asks_no_clock(self) -> None:
        """What needs no import is forbidden too."""
        banned = {"open", "print", "input", "datetime.now", "datetime.today", "date.today", "datetime.utcnow", "hash"}
        wrong = [
            f"{_place(module)}:{call.lineno} calls {name}"
            for module in SOURCES
            if _within(module, "orchestrator.core")
            for name, call in _calls(TREES[module])
            if name in banned
        ]
        assert wrong == []


class TestBans:
    """What stands in one place only, or nowhere."""

    def test_modules_are_imported_only_where_they_belong(self) -> None:
        """Colours and commands in `cli/`, dataframes and charts in `history/`, no asyncio anywhere."""
        wrong = [
            f"{_place(module)}:{line} imports {name}"
            for module in SOURCES
            for name, line in _imports(TREES[module])
            if not _in_places(_place(module), BANNED_IMPORTS.get(name.split(".")[0], ("",)))
        ]
        assert wrong == []

    def test_calls_stand_only_where_they_belong(self) -> None:
        """One place reads the clock, one prints, one ends the program."""
        wrong = [
            f"{_place(module)}:{call.lineno} calls {name}"
            for module in SOURCES
            for name, call in _calls(TREES[module])
            if not _in_places(_place(module), BANNED_CALLS.get(name, ("",)))
        ]
        assert wrong == []

    def test_no_process_is_started_through_a_shell(self) -> None:
        """`shell = "…"` of a definition becomes an argument vector of its own."""
        wrong = [
            f"{_place(module)}:{call.lineno} passes {keyword.arg} to {name}"
            for module in SOURCES
            for name, call in _calls(TREES[module])
            for keyword in call.keywords
            if keyword.arg in BANNED_ARGUMENTS and name.split(".")[0] in ("subprocess", "os")
        ]
        assert wrong == []

    def test_the_ledger_never_replaces_a_row(self) -> None:
        """REPLACE deletes without asking the guards; the ledger's tables are never transformed either."""
        wrong = [
            f"{_place(module)}:{node.lineno}"
            for module in SOURCES
            for node in ast.walk(TREES[module])
            if isinstance(node, ast.Constant) and isinstance(node.value, str)
            if "INSERT OR REPLACE" in node.value.upper() and _within(module, "ledger")
        ]
        wrong += [
            f"{_place(module)}:{call.lineno}"
            for module in SOURCES
            for name, call in _calls(TREES[module])
            if name.endswith(".transform") and _within(module, "ledger")
        ]
        assert wrong == []


def _function_lines(function: ast.FunctionDef | ast.AsyncFunctionDef) -> int:
    """Count the lines of a function without its decorators and its docstring."""
    lines = (function.end_lineno or function.lineno) - function.lineno + 1
    first = function.body[0]
    if ast.get_docstring(function, clean=False) is not None:
        lines -= (first.end_lineno or first.lineno) - first.lineno + 1
    return lines


class TestLengths:
    """A file has one reason to change, a function fits a screen."""

    def test_no_file_is_too_long(self) -> None:
        """At most 400 lines, but for what is one file on purpose."""
        lengths = {_place(module): _lines(module) for module in SOURCES}
        assert {
            place: lines for place, lines in lengths.items() if lines > FILE_LINES_ALLOWED.get(place, FILE_LINES_MAX)
        } == {}

    def test_few_files_are_long(self) -> None:
        """At most one in ten has more than 300 lines."""
        long = {_place(module): _lines(module) for module in SOURCES if _lines(module) > FILE_LINES_GOOD}
        assert len(long) * 10 <= len(SOURCES), long

    def test_no_function_is_too_long(self) -> None:
        """At most 70 lines, its docstring not counted."""
        long = [
            f"{_place(module)}:{node.lineno} {node.name} has {_function_lines(node)} lines"
            for module in SOURCES
            for node in ast.walk(TREES[module])
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and _function_lines(node) > FUNCTION_LINES_MAX
        ]
        assert long == []


def _lines(module: str) -> int:
    return len(SOURCES[module].read_text(encoding="utf-8").splitlines())


PIPELINE = """
[pipeline]
name = "tiny"
[steps.one]
command = ["true"]
"""

SPY = """
import json, sys
sys.argv = ["orchestrate", *sys.argv[1:]]
from orchestrator.cli.app import main
try:
    main()
finally:
    print(json.dumps(sorted(sys.modules)), file=sys.stderr)
"""


class TestStartUp:
    """A command that only reads starts fast, because it imports little."""

    @pytest.fixture
    def folder(self, tmp_path: Path, orchestrate: OrchestrateCommand) -> Path:
        """Give a folder whose pipeline has run once."""
        (tmp_path / "pipeline.toml").write_text(PIPELINE, encoding="utf-8")
        done = orchestrate("run")
        assert done.returncode == 0, done.stderr
        return tmp_path

    @pytest.mark.system
    @pytest.mark.parametrize(
        "arguments", [("status",), ("runs",), ("show", "latest"), ("logs", "latest")], ids=" ".join
    )
    def test_reading_commands_import_nothing_heavy(self, folder: Path, arguments: tuple[str, ...]) -> None:
        """Neither what only writing needs, nor what only drawing needs."""
        spied = subprocess.run(
            [sys.executable, "-c", SPY, *arguments], cwd=folder, capture_output=True, text=True, timeout=60, check=False
        )
        assert spied.returncode == 0, spied.stderr
        imported = json.loads(spied.stderr.splitlines()[-1])
        assert [name for name in imported if name in UNWANTED_WHEN_READING] == []

    @pytest.mark.parametrize("module", ["ledger", "ledger.reader", "orchestrator", "orchestrator.step"])
    def test_what_reading_needs_imports_nothing_heavy(self, module: str) -> None:
        """Importing the packages for reading is as light as the commands that do it."""
        code = f"import json, sys, {module}; print(json.dumps(sorted(sys.modules)))"
        done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
        assert [name for name in json.loads(done.stdout) if name in UNWANTED_WHEN_READING] == []
