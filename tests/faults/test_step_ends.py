"""Ends of steps and traces of them, as the catalogue of `docs/reliability.md` numbers them (40 to 52), with real processes."""

from __future__ import annotations

import errno
import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from orchestrator.core.redaction import Redactor
from orchestrator.runtime.clock import SystemClock
from orchestrator.runtime.executor import ProcessExecutor
from orchestrator.runtime.ports import Exited
from orchestrator.runtime.signals import prepare_process
from tests.faults.steps import HEAD, attempts, launch, log_of, verifies, write
from tests.programs import PROGRAM, data_of, ended, ledger_of, no_traceback, program, refused, value_of, wait_until

pytestmark = pytest.mark.system


@pytest.fixture
def executor() -> Iterator[ProcessExecutor]:
    """Give what starts processes."""
    prepare_process()
    executor = ProcessExecutor(clock=SystemClock(), new_stream=Redactor([]).stream)
    yield executor
    executor.close()


def end_of(executor: ProcessExecutor, folder: Path, script: str) -> Exited:
    """Return how a shell that runs *script* has ended."""
    executor.start(launch(folder, script))
    while True:
        for exited in executor.poll(10_000_000):
            return exited


class TestEveryEnd:
    """Each code and each signal is told apart from every other."""

    def test_40_exit_codes(self, executor: ProcessExecutor, tmp_path: Path) -> None:
        """All of them, and a code of 137 is no signal."""
        ends = {code: end_of(executor, tmp_path, f"exit {code}") for code in range(256)}
        assert {code: (end.exit_code, end.signal) for code, end in ends.items()} == {n: (n, None) for n in range(256)}

    def test_40_signals(self, executor: ProcessExecutor, tmp_path: Path) -> None:
        """All that end a process."""
        harmless = {"SIGCHLD", "SIGCONT", "SIGURG", "SIGWINCH", "SIGSTOP", "SIGTSTP", "SIGTTIN", "SIGTTOU"}
        numbers = [int(number) for number in signal.valid_signals() if getattr(number, "name", "") not in harmless]
        ends = {number: end_of(executor, tmp_path, f"kill -{number} $$; exec sleep 60") for number in numbers}
        assert {number: (end.exit_code, end.signal) for number, end in ends.items()} == {n: (None, n) for n in numbers}

    def test_40_what_is_shown(self, tmp_path: Path) -> None:
        """Given exit code 137 and a step that was killed, then `show` tells one from the other."""
        write(tmp_path, a="exit 137", b="kill -9 $$")
        value_of(program("run", "--json", cwd=tmp_path), "run", code=1)
        steps = value_of(program("show", "latest", "--json", cwd=tmp_path), "show")["steps"]
        ends = [(step["reason"], step["attempts"][0]["exit_code"], step["attempts"][0]["signal"]) for step in steps]
        assert ends == [("exit", 137, None), ("signal", None, 9)]


def test_41_command_that_is_being_written(tmp_path: Path) -> None:
    """Given a program that somebody has open for writing, then it could not start, and the run goes on."""
    shutil.copy(shutil.which("true") or "/bin/true", tmp_path / "tool")
    step = '[steps.a]\ncommand = ["./tool"]\n[steps.b]\ncommand = ["true"]\n'
    (tmp_path / "pipeline.toml").write_text(HEAD + step, encoding="utf-8")
    with (tmp_path / "tool").open("ab"):
        value = value_of(program("run", "--json", cwd=tmp_path), "run", code=1)
    assert [(item["status"], item["reason"]) for item in value["steps"]] == [
        ("failed", "not_started"),
        ("succeeded", None),
    ]
    assert os.strerror(errno.ETXTBSY) in attempts(tmp_path)[0]["message"]


def test_42_step_that_dumps_core(tmp_path: Path) -> None:
    """Given a step that crashes where core dumps are allowed, then the signal is recorded, and there is no dump."""
    write(tmp_path, a="ulimit -c; kill -SEGV $$")
    done = subprocess.run(
        ["sh", "-c", 'ulimit -c unlimited 2>/dev/null; exec "$0" run -q', PROGRAM],
        cwd=tmp_path,
        timeout=60,
        check=False,
        capture_output=True,
    )
    assert done.returncode == 1
    assert attempts(tmp_path)[0]["signal"] == signal.SIGSEGV
    assert log_of(tmp_path).read_text(encoding="utf-8") == "0\n"
    assert list(tmp_path.glob("core*")) == []


def test_44_more_steps_at_once_than_descriptors(tmp_path: Path) -> None:
    """Given 200 steps at once and 128 descriptors, then as many run as there is room for, the others wait, and all succeed."""
    steps = "".join(f'[steps.s{number}]\nshell = "touch up/$ORCHESTRATE_STEP; : < gate"\n' for number in range(200))
    (tmp_path / "pipeline.toml").write_text(f"{HEAD}max_parallel = 200\n{steps}", encoding="utf-8")
    (tmp_path / "up").mkdir()
    os.mkfifo(tmp_path / "gate")
    script = 'ulimit -n 128; exec "$0" run --json'
    process = subprocess.Popen(
        ["sh", "-c", script, PROGRAM], cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    try:
        room = (128 - 40) // 3
        wait_until(lambda: len(list((tmp_path / "up").iterdir())) == room, f"not {room} at once")
        gate = os.open(tmp_path / "gate", os.O_RDWR)
        value = value_of(ended(process), "run")
        os.close(gate)
    finally:
        process.kill()
        process.communicate()
    assert {step["status"] for step in value["steps"]} == {"succeeded"}
    assert len(list((tmp_path / "up").iterdir())) == 200


def test_45_no_zombies(tmp_path: Path) -> None:
    """Given 200 steps with a child each that outlives them, then the last step is the only child of its orchestrator."""
    steps = "".join(f'[steps.s{number}]\nshell = "true & exit 0"\n' for number in range(200))
    names = json.dumps([f"s{number}" for number in range(200)])
    last = f'[steps.a]\nshell = "cat /proc/$PPID/task/$PPID/children; echo; echo $$"\nneeds = {names}\n'
    (tmp_path / "pipeline.toml").write_text(HEAD + steps + last, encoding="utf-8")
    assert program("run", "-q", cwd=tmp_path).returncode == 0
    children, own = log_of(tmp_path).read_text(encoding="utf-8").splitlines()
    assert children.split() == [own]


def test_47_folders_that_a_step_removes(tmp_path: Path) -> None:
    """Given a step that removes its working folder and the folder of the logs, then it goes on, later steps have logs, and its own log is all that is missed."""
    log = "../.orchestrate/logs/$ORCHESTRATE_RUN_ID/a.1.log"
    write(
        tmp_path,
        a=f"echo one; while ! test -s {log}; do :; done; rm -rf ../.orchestrate/logs ../work; echo two",
        b="echo three",
    )
    (tmp_path / "pipeline.toml").write_text(
        (tmp_path / "pipeline.toml").read_text(encoding="utf-8").replace("[steps.b]", 'cwd = "work"\n[steps.b]'),
        encoding="utf-8",
    )
    (tmp_path / "work").mkdir()
    assert program("run", "-q", cwd=tmp_path).returncode == 0
    assert log_of(tmp_path, "b.1").read_text(encoding="utf-8") == "three\n"
    assert attempts(tmp_path)[0]["log"]["bytes"] == len("one\ntwo\n")
    found = value_of(program("audit", "verify", "--json", cwd=tmp_path), "audit-verify", code=None)
    assert [problem["kind"] for problem in found["problems"]] == ["missing_file"]
    assert "step a, attempt 1" in found["problems"][0]["detail"]


def test_48_log_that_becomes_a_link(tmp_path: Path) -> None:
    """Given a step that puts a link in the place of its log, then what it prints later goes where the log is, not where the link leads."""
    log = ".orchestrate/logs/$ORCHESTRATE_RUN_ID/a.1.log"
    write(tmp_path, a=f"echo one; while ! test -s {log}; do :; done; mv {log} moved; ln -s $PWD/victim {log}; echo two")
    (tmp_path / "victim").write_text("precious\n", encoding="utf-8")
    assert program("run", "-q", cwd=tmp_path).returncode == 0
    assert (tmp_path / "victim").read_text(encoding="utf-8") == "precious\n"
    assert (tmp_path / "moved").read_text(encoding="utf-8") == "one\ntwo\n"


def test_49_step_that_writes_into_the_ledger(tmp_path: Path) -> None:
    """Given a step that edits the record of the one before, then `audit verify` says so."""
    code = (
        "import sqlite3\nc = sqlite3.connect('.orchestrate/ledger.db')\n"
        "for (name,) in c.execute(\"SELECT name FROM sqlite_master WHERE type = 'trigger'\").fetchall(): c.execute(f'DROP TRIGGER {name}')\n"
        'c.execute("UPDATE events SET body = replace(body, \'\\"exit_code\\":3\', \'\\"exit_code\\":0\')")\nc.commit()\n'
    )
    (tmp_path / "edit.py").write_text(code, encoding="utf-8")
    write(tmp_path, a="exit 3", b=f"exec {sys.executable} edit.py")
    program("run", "-q", cwd=tmp_path)
    assert 3 not in [event.get("exit_code") for event in attempts(tmp_path)]
    assert not verifies(tmp_path)


@pytest.mark.parametrize(
    ("top", "shell"),
    [
        ("", "rm -rf .orchestrate"),
        ("", "echo something; rm -rf .orchestrate"),
        ("", "rm .orchestrate/ledger.db"),
        # It is gone when all of the run has been recorded.
        ("[audit]\nanchor_command = ['rm', '-rf', '.orchestrate']\n", "true"),
    ],
    ids=["folder", "folder and log", "file", "at the end"],
)
def test_49_step_that_removes_the_ledger(tmp_path: Path, top: str, shell: str) -> None:
    """Given a step that removes the ledger or its folder, then the run ends with exit code 5 and names it."""
    write(tmp_path, top, a=shell)
    done = program("run", cwd=tmp_path)
    no_traceback(done)
    assert (done.returncode, ".orchestrate/ledger.db" in done.stderr) == (5, True)


@pytest.mark.parametrize("timeout", ["'0s'", "0", "'1e300s'", "1e300", "'99999d'"])
def test_50_timeout_that_is_none(tmp_path: Path, timeout: str) -> None:
    """Given zero, what is no duration, or a longer one than a hundred years, then it is refused with its line."""
    definition = f"{HEAD}[steps.a]\ncommand = ['true']\ntimeout = {timeout}\n"
    (tmp_path / "pipeline.toml").write_text(definition, encoding="utf-8")
    (problem,) = refused(program("validate", "--json", cwd=tmp_path))
    assert (problem["path"], problem["line"]) == (["steps", "a", "timeout"], 5)


def test_51_attempt_after_one_whose_grandchild_holds_a_lock(tmp_path: Path) -> None:
    """Given an attempt whose escaped child holds a lock, then that is dead before the next attempt, which gets the lock."""
    hold = "setsid flock lock sh -c 'touch held; exec sleep 60' > /dev/null 2>&1 & while ! test -e held; do :; done"
    script = f"test $ORCHESTRATE_ATTEMPT = 2 || {{ {hold}; exit 75; }}; exec flock --nonblock lock true"
    write(tmp_path, a=script)
    assert program("run", "-q", cwd=tmp_path).returncode == 1
    assert program("resume", "latest", "-q", cwd=tmp_path).returncode == 0
    assert [event["status"] for event in attempts(tmp_path)] == ["failed", "succeeded"]
    assert [item["name"] for item in attempts(tmp_path)[0]["survivors"]] == ["flock", "sleep"]


@pytest.mark.parametrize("rule", ["", "allow_empty = true"])
@pytest.mark.parametrize(
    ("shell", "told"),
    [
        ("true", "out does not exist at out"),
        ("mkdir out", "out is empty, which only allow_empty = true allows"),
        ("mkdir out; : > out/a; : > out/b", "out is empty, which only allow_empty = true allows"),
        (": > out", "out is empty, which only allow_empty = true allows"),
    ],
    ids=["missing", "empty folder", "empty files", "empty file"],
)
def test_52_promised_output(tmp_path: Path, shell: str, told: str, rule: str) -> None:
    """Given a step that ends well, then an output that is missing or empty fails it; one that may be empty has to exist."""
    write(tmp_path, f'writes = ["out"]\n[datasets.out]\npath = "out"\n{rule}\n', a=shell)
    failed = not rule or shell == "true"
    value = value_of(program("run", "--json", cwd=tmp_path), "run", code=int(failed))
    assert value["steps"][0]["reason"] == ("missing_output" if failed else None)
    if failed:
        (attempt,) = attempts(tmp_path)
        assert (attempt["reason"], attempt["message"]) == ("missing_output", f"it ended well, but {told}")
        assert told in program("explain", "latest", "a", cwd=tmp_path).stdout


@pytest.mark.parametrize(
    ("rule", "shell", "told"),
    [
        ("min_files = 2", "mkdir out; echo 1 > out/a", "out has 1 files, expected at least 2"),
        ("min_files = 2", "mkdir out; echo 1 > out/a; echo 2 > out/b", None),
        ("min_rows = 2", "mkdir out; printf 'n\\n1\\n' > out/a.csv", "out has 1 rows as counted, expected at least 2"),
        ("min_rows = 2", "mkdir out; printf 'n\\n1\\n2\\n' > out/a.csv", None),
        ("min_rows = 2", "mkdir out; echo 1 > out/a; echo 2 > out/b", "out is to have at least 2 rows, and how many it has is not known"),
        ("min_rows = 2", 'echo x > out; echo \'{"outputs": {"out": {"rows": 2}}}\' > $ORCHESTRATE_RESULT', None),
        ("min_rows = 2", 'echo x > out; echo \'{"outputs": {"out": {"rows": 1}}}\' > $ORCHESTRATE_RESULT', "out has 1 rows as reported, expected at least 2"),
    ],
)  # fmt: skip
def test_52_output_with_too_little_in_it(tmp_path: Path, rule: str, shell: str, told: str | None) -> None:
    """Given a least number of files or rows, then fewer fail the step; rows are what it reports, else what is counted."""
    write(tmp_path, f'writes = ["out"]\n[datasets.out]\npath = "out"\n{rule}\n', a=shell)
    assert program("run", "-q", cwd=tmp_path).returncode == (0 if told is None else 1)
    (attempt,) = attempts(tmp_path)
    assert attempt.get("reason") == (None if told is None else "missing_output")
    assert told is None or told in attempt["message"]


@pytest.mark.parametrize(
    ("outputs", "told"),
    [
        ('{"out": {"digest": "sha256:0f00000000000000000000000000000000000000000000000000000000000000"}}', "what is there has sha256:"),
        ('{"other": {"rows": 1}}', "the report tells of an output other, which is none of the step's: it writes out"),
        ('{"correct\'\'-horse-battery": {"rows": 1}}', "the report tells of an output ***, which is none of the step's"),
        ('{"out": {"rows": -1}}', "outputs.out.rows is -1, expected a whole number, 0 or more"),
        ('{"out": {"digest": "\'$(sha256sum < out | cut -c1-64)\'"}}', "digest is"),
        ('{"out": {"digest": "sha256:\'$(sha256sum < out | cut -c1-64)\'", "rows": 3}}', None),
    ],
    ids=["digest", "name", "secret name", "rows", "no digest", "true"],
)  # fmt: skip
def test_52_report_that_is_not_true(tmp_path: Path, outputs: str, told: str | None) -> None:
    """Given a report that says of an output what is not so, then the step fails as `bad_result`; what is true is kept."""
    shell = f"echo 1 > out; echo '{{\"outputs\": {outputs}}}' > $ORCHESTRATE_RESULT"
    write(tmp_path, 'writes = ["out"]\n[datasets.out]\npath = "out"\n[env.vars]\nTOKEN = { secret = true }\n', a=shell)
    (tmp_path / ".env").write_text("TOKEN=correct-horse-battery\n", encoding="utf-8")
    assert program("run", "-q", cwd=tmp_path).returncode == (0 if told is None else 1)
    (attempt,) = attempts(tmp_path)
    assert attempt.get("reason") == (None if told is None else "bad_result"), attempt
    assert told in attempt["message"] if told else attempt["reported"]["out"]["rows"] == 3
    assert "correct-horse" not in json.dumps(data_of(ledger_of(tmp_path), "step.finished"))


@pytest.mark.parametrize("there", ["ln -s $PWD/.env", "mkfifo"])
def test_48_what_is_read_in_the_place_of_a_log(tmp_path: Path, there: str) -> None:
    """Given a step that fails and has put a link or a FIFO in the place of its log, then nobody reads it."""
    log = ".orchestrate/logs/$ORCHESTRATE_RUN_ID/a.1.log"
    write(tmp_path, a=f"echo one; while ! test -s {log}; do :; done; rm {log}; {there} {log}; exit 1")
    (tmp_path / ".env").write_text("TOKEN=correct-horse-battery\n", encoding="utf-8")
    done = program("run", cwd=tmp_path, timeout=20)
    assert done.returncode == 1
    shown = done.stdout + done.stderr + program("logs", "latest", "a", cwd=tmp_path, timeout=20).stdout
    reports = [path.read_text() for path in tmp_path.glob(".orchestrate/reports/*/*")]
    assert [text for text in (shown, *reports) if "correct-horse" in text] == []
