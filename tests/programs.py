"""The program as a process of its own: started, watched, ended; what it prints as JSON held against the published schemas."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import jsonschema

from orchestrator.schemas import load_schema
from tests.counting import count
from tests.measuring import environment_for

PROGRAM = Path(sys.executable).with_name("orchestrate")
PATIENCE_SECONDS = 30.0

AT = """
import datetime, os, time
offset = int(os.environ["AT"]) * 10**9 - time.time_ns()
real = time.time_ns
time.time_ns = lambda: real() + offset
class Moved(datetime.datetime):
    @classmethod
    def now(cls, tz=None):
        return cls.fromtimestamp(time.time_ns() / 1e9, tz)
datetime.datetime = Moved
from orchestrator.cli.app import main
main()
"""
"""The program at a time that a variable gives, in seconds since the epoch."""

Done = subprocess.CompletedProcess[str]
Json = dict[str, Any]


def program(*arguments: str, cwd: Path, env: Mapping[str, str] | None = None, timeout: float = 60) -> Done:
    """Run the program to its end and return what it printed; nothing is checked."""
    return subprocess.run(
        [PROGRAM, *arguments],
        cwd=cwd,
        env={**environment_for(arguments), **(env or {})},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=timeout,
        check=False,
    )


def program_at(
    moment: str, *arguments: str, cwd: Path, env: Mapping[str, str] | None = None, timeout: float = 60
) -> Done:
    """Run the program as `program` does, at the UTC time *moment*, such as `2026-01-31 02:30`; times of files stay real."""
    seconds = int(datetime.fromisoformat(moment).replace(tzinfo=UTC).timestamp())
    return subprocess.run(
        [sys.executable, "-c", AT, *arguments],
        cwd=cwd,
        env={**environment_for(arguments), **(env or {}), "AT": str(seconds)},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=timeout,
        check=False,
    )


def value_of(done: Done, schema: str | None = None, *, code: int | None = 0) -> Any:  # noqa: ANN401 - whatever was printed
    """Return the one JSON value on the one line of stdout; it follows *schema*, and the exit code is *code* (None: any)."""
    assert code is None or done.returncode == code, (done.returncode, done.stdout, done.stderr)
    assert done.stdout.endswith("\n"), done
    assert done.stdout.count("\n") == 1, done.stdout
    value = json.loads(done.stdout)
    if schema is not None:
        follows(value, schema)
    return value


def follows(value: object, schema: str) -> None:
    """Assert that *value* follows the published schema `cli/` + *schema*."""
    published = load_schema(f"cli/{schema}")
    validator = jsonschema.Draft202012Validator(published, format_checker=jsonschema.FormatChecker())
    problems = [f"{error.json_path}: {error.message}" for error in validator.iter_errors(value)]
    assert problems == [], problems


def refused(done: Done, code: int = 2) -> list[Json]:
    """Return the problems of a command that was refused with `--json` and the exit code *code*."""
    value = value_of(done, "refusal", code=code)
    assert value["exit_code"] == code
    no_traceback(done)
    count("bad inputs refused")
    problems: list[Json] = value["problems"]
    return problems


def no_traceback(done: Done) -> None:
    """Assert that what was printed is for people."""
    for text in (done.stdout, done.stderr):
        assert "Traceback" not in text, text
        assert "this is a bug" not in text, text


def wait_until(holds: Callable[[], object], what: str, *, seconds: float = PATIENCE_SECONDS) -> None:
    """Return as soon as *holds* returns something true; fail with *what* when that takes too long."""
    deadline = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < deadline, f"waited {seconds:g} s in vain: {what}"
        time.sleep(0.01)


@contextlib.contextmanager
def started(*arguments: str, cwd: Path, env: Mapping[str, str] | None = None) -> Iterator[subprocess.Popen[str]]:
    """Start the program; what still lives of it at the end of the block is killed."""
    process = subprocess.Popen(
        [PROGRAM, *arguments],
        cwd=cwd,
        env={**os.environ, **(env or {})},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        yield process
    finally:
        if process.poll() is None:
            process.kill()
        process.communicate()


def ended(process: subprocess.Popen[str], *, timeout: float = PATIENCE_SECONDS) -> Done:
    """Wait for the end of *process* and return what it printed."""
    stdout, stderr = process.communicate(timeout=timeout)
    return subprocess.CompletedProcess(process.args, process.returncode, stdout, stderr)


def ledger_of(folder: Path) -> Path:
    """Return the ledger beside the definition in *folder*."""
    return folder / ".orchestrate" / "ledger.db"


def events_of(ledger: Path) -> list[Json]:
    """Return every event as `{"seq", "stream", "type", "data"}`, in order."""
    with contextlib.closing(sqlite3.connect(f"file:{ledger}?mode=ro", uri=True)) as connection:
        rows = connection.execute("SELECT seq, stream, type, data FROM events ORDER BY seq").fetchall()
    return [{"seq": seq, "stream": stream, "type": kind, "data": json.loads(data)} for seq, stream, kind, data in rows]


def data_of(ledger: Path, kind: str) -> list[Json]:
    """Return the data of every event of type *kind*, in order."""
    return [event["data"] for event in events_of(ledger) if event["type"] == kind]


def everything_in(folder: Path) -> list[str]:
    """List what lies in *folder*, at any depth."""
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*"))


def exists(pid: int) -> bool:
    """Whether the process *pid* lives; one that has ended and waits for its parent does not."""
    try:
        state = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()[0]
    except (FileNotFoundError, ProcessLookupError):
        return False
    return state != "Z"


def pid_in(path: Path) -> int:
    """Wait for a step to have written its pid to *path*, and return it."""
    wait_until(lambda: path.is_file() and path.read_text(encoding="utf-8").endswith("\n"), f"no pid in {path.name}")
    return int(path.read_text(encoding="utf-8"))


def kill(pid: int) -> None:
    """Kill the process *pid*, a step that a test's own run has started, if it still lives."""
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, signal.SIGKILL)
