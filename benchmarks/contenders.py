"""The tools that run the same graph, two steps at a time: what each is given and how it is called."""

from __future__ import annotations

import json
import shutil
import sys
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path

from benchmarks.measuring import Contender
from benchmarks.shapes import Graph

PARALLEL = 2
PROGRAM = str(Path(sys.executable).with_name("orchestrate"))
OWN = "orchestrate"

_TRUE = shutil.which("true") or "/bin/true"
_SECRETS = 3
_HEAD = """[pipeline]
name = "bench"
max_parallel = {parallel}

[env]
files = [".env"]

[datasets.raw]
path = "raw"
min_files = 1

"""


def available() -> Mapping[str, Callable[[Path, Graph], Contender]]:
    """Return the makers of all contenders that are installed here, ours first."""
    return {name: make for name, make in _MAKERS.items() if name == OWN or _found(name) is not None}


def missing() -> list[str]:
    """Name the contenders that are not installed here."""
    return [name for name in _MAKERS if name not in available()]


def definition(graph: Graph) -> str:
    """
    Return the definition of *graph* with everything on.

    Every step is given three secrets, each of which is looked for in all output; the first reads a dataset.
    """
    secrets = [f"SECRET_{number}" for number in range(_SECRETS)]
    lines = [_HEAD.format(parallel=PARALLEL)]
    lines += [f"[env.vars.{name}]\nrequired = true\nsecret = true\n" for name in secrets]
    for name, needs in graph.items():
        lines += [f"[steps.{name}]", f'command = ["{_TRUE}"]', f"env = {_array(secrets)}"]
        lines += [f"needs = {_array(needs)}"] if needs else []
        lines += ['reads = ["raw"]'] if name == next(iter(graph)) else []
        lines += [""]
    return "\n".join(lines)


def _array(words: Iterable[str]) -> str:
    """Return *words* as an array of TOML, which for plain names is one of JSON."""
    return json.dumps(list(words))


def write_pipeline(folder: Path, graph: Graph) -> None:
    """Write the pipeline of *graph* with its `.env` file and its source into *folder*."""
    (folder / "raw").mkdir(parents=True, exist_ok=True)
    (folder / "raw/one.csv").write_text("a,b\n1,2\n", encoding="utf-8")
    secrets = "".join(f"SECRET_{number}=correct-horse-{number}-battery\n" for number in range(_SECRETS))
    (folder / ".env").write_text(secrets, encoding="utf-8")
    (folder / "pipeline.toml").write_text(definition(graph), encoding="utf-8")


def _orchestrate(folder: Path, graph: Graph) -> Contender:
    write_pipeline(folder, graph)

    def forget() -> None:
        shutil.rmtree(folder / ".orchestrate", ignore_errors=True)

    return Contender(OWN, (PROGRAM, "run"), folder, forget)


def _make(folder: Path, graph: Graph) -> Contender:
    rules = "".join(f"{name}: {' '.join(needs)}\n\t@{_TRUE}\n" for name, needs in graph.items())
    names = " ".join(graph)
    (folder / "Makefile").write_text(f"all: {names}\n.PHONY: all {names}\n{rules}", encoding="utf-8")
    return Contender("make", ("make", f"-j{PARALLEL}", "all"), folder)


def _ninja(folder: Path, graph: Graph) -> Contender:
    rules = "".join(f"build {name}: step {' '.join(needs)}\n" for name, needs in graph.items())
    (folder / "build.ninja").write_text(f"rule step\n  command = {_TRUE}\n{rules}", encoding="utf-8")
    return Contender("ninja", ("ninja", f"-j{PARALLEL}"), folder, lambda: _remove(folder, ".ninja_*"))


def _doit(folder: Path, graph: Graph) -> Contender:
    edges = {name: list(needs) for name, needs in graph.items()}
    text = f"""EDGES = {edges!r}


def task_step():
    for name, needs in EDGES.items():
        yield {{"name": name, "actions": [[{_TRUE!r}]], "task_dep": [f"step:{{other}}" for other in needs]}}
"""
    (folder / "dodo.py").write_text(text, encoding="utf-8")
    command = (_found("doit") or "doit", "-n", str(PARALLEL))
    return Contender("doit", command, folder, lambda: _remove(folder, ".doit.db*"))


_MAKERS: Mapping[str, Callable[[Path, Graph], Contender]] = {
    OWN: _orchestrate,
    "make": _make,
    "ninja": _ninja,
    "doit": _doit,
}


def _found(tool: str) -> str | None:
    """Return the path of *tool*: beside this Python, or where the shell finds it."""
    beside = Path(sys.executable).with_name(tool)
    return str(beside) if beside.exists() else shutil.which(tool)


def _remove(folder: Path, pattern: str) -> None:
    for path in folder.glob(pattern):
        path.unlink()
