"""Steps that behave badly, as the catalogue of `docs/reliability.md` numbers them (22 to 38), with real processes."""

from __future__ import annotations

import contextlib
import os
import pty
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from orchestrator.core.redaction import Redactor
from orchestrator.runtime import strays
from orchestrator.runtime.executor import ProcessExecutor
from orchestrator.runtime.ports import Exited
from orchestrator.runtime.signals import prepare_process
from tests.faults.steps import attempts, launch, log_of, verifies, write
from tests.programs import (
    PATIENCE_SECONDS,
    PROGRAM,
    data_of,
    ended,
    exists,
    kill,
    ledger_of,
    no_traceback,
    pid_in,
    program,
    started,
    value_of,
    wait_until,
)

pytestmark = pytest.mark.system


class Hand:
    """A clock that is moved by hand."""

    now_us = 0

    def monotonic_us(self) -> int:
        """Return the time."""
        return self.now_us

    def now(self) -> str:
        """Return no time of the day, which nobody asks for."""
        raise NotImplementedError


@pytest.fixture
def hand() -> Hand:
    """Give a clock."""
    return Hand()


@pytest.fixture
def executor(hand: Hand) -> Iterator[ProcessExecutor]:
    """Give an executor that goes by that clock."""
    prepare_process()
    executor = ProcessExecutor(clock=hand, new_stream=Redactor([]).stream)
    yield executor
    executor.close()


def test_22_survivor_that_holds_the_output(tmp_path: Path) -> None:
    """Given a step that ends and leaves a child with its output, then its own exit code counts, the child is ended and named, and the run goes on."""
    write(tmp_path, a="sleep 1000 & echo $! > child; exit 3", b="true")
    value = value_of(program("run", "--json", cwd=tmp_path), "run", code=1)
    assert [item["status"] for item in value["steps"]] == ["failed", "succeeded"]
    first, _ = attempts(tmp_path)
    child = int((tmp_path / "child").read_text(encoding="utf-8"))
    assert (first["exit_code"], [item["pid"] for item in first["survivors"]]) == (3, [child])
    assert not exists(child)


class TestSurvivorThatGoesOnWriting:
    """The end of the output is waited for as long as something comes, and not for ever."""

    @pytest.fixture
    def writer(self, executor: ProcessExecutor, tmp_path: Path) -> Iterator[int]:
        """Give the pipe that lets a line through: its step has ended, and its child writes one for each byte."""
        os.mkfifo(tmp_path / "gate")
        gate = os.open(tmp_path / "gate", os.O_RDWR)
        executor.start(launch(tmp_path, "while read line; do echo $line; done < gate & exit 4"))
        yield gate
        os.close(gate)

    def written(self, executor: ProcessExecutor, gate: int, line: str) -> list[Exited]:
        """Let the child write *line*, and return what has ended by the time it is read."""
        os.write(gate, f"{line}\n".encode())
        ended: list[Exited] = []

        def turn() -> bool:
            ended.extend(executor.poll(10_000))
            return bool(ended) or executor.last_line("a") == line

        wait_until(turn, line)
        return ended

    def test_23_survivor_that_goes_on_writing(
        self, executor: ProcessExecutor, hand: Hand, writer: int, tmp_path: Path
    ) -> None:
        """Given a child that writes every 0.4 s for 2 s, then each line is kept; half a second after the last one it is ended."""
        for number in range(6):
            assert self.written(executor, writer, f"line {number}") == []
            hand.now_us += 400_000
        hand.now_us += 100_000
        (exited,) = _ends(executor, hand)
        assert (exited.exit_code, len(exited.survivors)) == (4, 1)
        assert (tmp_path / "logs/a.1.log").read_text() == "".join(f"line {number}\n" for number in range(6))

    def test_23_survivor_that_writes_for_ever(self, executor: ProcessExecutor, hand: Hand, writer: int) -> None:
        """Given a child that never stops, then five seconds after the end of its step it is ended all the same."""
        ended: list[Exited] = []
        while not ended and hand.now_us < 20_000_000:
            hand.now_us += 400_000
            ended = self.written(executor, writer, f"at {hand.now_us}")
        (exited,) = ended
        assert (exited.exit_code, len(exited.survivors)) == (4, 1)
        assert 5_000_000 < hand.now_us < 6_500_000


def _ends(executor: ProcessExecutor, hand: Hand) -> list[Exited]:
    """Let time pass, a little a turn, until something has ended, and return it."""
    ended: list[Exited] = []

    def turn() -> bool:
        ended.extend(executor.poll(10_000))
        hand.now_us += 10_000
        return bool(ended)

    wait_until(turn, "nothing has ended")
    return ended


def test_26_step_that_ignores_term(tmp_path: Path) -> None:
    """Given a step whose time is up and that ignores TERM, then it is killed after its grace, and the event names the signals in order."""
    write(tmp_path, 'timeout = "300ms"\ngrace = "100ms"\n', a="trap '' TERM; echo $$ > pid; while :; do sleep 1; done")
    assert program("run", "-q", cwd=tmp_path).returncode == 1
    (event,) = attempts(tmp_path)
    assert (event["reason"], event["signal"], event["killed"]) == ("timeout", 9, ["SIGTERM", "SIGCONT", "SIGKILL"])
    term, cont, killed = event["killed_us"]
    assert 300_000 <= term <= cont
    assert term + 100_000 <= killed <= event["duration_us"]
    assert not exists(pid_in(tmp_path / "pid"))


_PATIENT_PROGRAM = """
import sys
from orchestrator.cli.app import run_command
from orchestrator.runtime import executor
executor._UNKILLABLE_US = 200_000
sys.exit(run_command(sys.argv[1:]))
"""


@pytest.mark.needs("setpriv")
@pytest.mark.skipif(os.geteuid() != 0, reason="a step can become another user only if the program is started by root")
def test_28_step_that_cannot_be_killed(tmp_path: Path) -> None:
    """Given a step that has become another user, whom the program may not signal, then it is named as living, nothing is tried again, and the run goes on."""
    write(tmp_path, b="echo fine")
    step = '[steps.a]\ncommand = ["setpriv", "--reuid=1", "--clear-groups", "sh", "-c", "echo $$; exec sleep 1000"]\n'
    retry = 'timeout = "300ms"\ngrace = "100ms"\nretry = { attempts = 3, delay = "0s" }\n'
    with (tmp_path / "pipeline.toml").open("a", encoding="utf-8") as file:
        file.write(step + retry)
    command = ["setpriv", "--bounding-set=-kill", sys.executable, "-c", _PATIENT_PROGRAM, "run", "--json"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=60, check=False)
    pid = int(log_of(tmp_path).read_text(encoding="utf-8"))
    try:
        steps = {item["step"]: item for item in value_of(done, "run", code=1)["steps"]}
        assert {name: item["status"] for name, item in steps.items()} == {"a": "failed", "b": "succeeded"}
        assert exists(pid)
        (event,) = [item for item in attempts(tmp_path) if item["step"] == "a"]
        assert (event["reason"], event["error_class"]) == ("timeout", "permanent")
        assert event["survivors"] == [{"pid": pid, "name": "sleep", "alive": True}]
        assert event["message"] == f"a process that could not be killed lives on: sleep ({pid})"
        assert (event["killed"], event["pid"], event["log"]["lines"]) == ([], pid, 1)
        assert verifies(tmp_path)
        no_traceback(done)
    finally:
        kill(pid)
        with contextlib.suppress(ChildProcessError):
            os.waitpid(pid, 0)  # It is ours where a test before has made this process a subreaper.


def test_29_children_that_fork_faster_than_they_are_killed(tmp_path: Path) -> None:
    """Given a step whose child forks without end, each in a session of its own, when its time is up, then nobody is left."""
    code = (
        "import os, time\nif os.fork():\n    time.sleep(60)\nend = time.monotonic() + 60\n"
        "while time.monotonic() < end:\n    if os.fork():\n        os._exit(0)\n    os.setsid()\n"
    )
    (tmp_path / "roll.py").write_text(code, encoding="utf-8")
    write(tmp_path, 'timeout = "300ms"\ngrace = "100ms"\n', a=f"exec {sys.executable} -I -S roll.py")
    assert program("run", "-q", cwd=tmp_path).returncode == 1
    (event,) = attempts(tmp_path)
    assert event["reason"] == "timeout"
    assert event["survivors"]
    assert _children_of_run(tmp_path) == []


def test_29_parent_that_ends_while_it_is_looked_at(
    executor: ProcessExecutor, hand: Hand, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Given a stray that ends right after the list of children was read, then its own child, which the list did not have, is ended too."""
    stray = "sleep 60 & echo $! > child; echo $$ > p; mv p parent; wait"
    listed = strays._children

    def late() -> list[int]:
        found = listed()
        if (parent := int((tmp_path / "parent").read_text())) in found and exists(parent):
            os.kill(parent, signal.SIGKILL)
            os.waitid(os.P_PID, parent, os.WEXITED | os.WNOWAIT)
        return found

    monkeypatch.setattr(strays, "_children", late)
    executor.start(launch(tmp_path, f"setsid sh -c '{stray}' > /dev/null 2>&1 & while ! test -e parent; do :; done"))
    (exited,) = _ends(executor, hand)
    child = pid_in(tmp_path / "child")
    try:
        assert [item.pid for item in exited.survivors] == [child]
        assert not exists(child)
    finally:
        kill(child)


def _children_of_run(folder: Path) -> list[str]:
    """Return the processes that still have the run's id in their environment."""
    (run,) = data_of(ledger_of(folder), "run.started")
    mark = f"ORCHESTRATE_RUN_ID={run['run_id']}".encode()
    found = []
    for path in Path("/proc").glob("[0-9]*/environ"):
        with contextlib.suppress(OSError):
            if mark in path.read_bytes().split(b"\0"):
                found.append(path.parent.name)
    return found


def test_33_three_signals_at_once(tmp_path: Path) -> None:
    """Given a step that ignores TERM and three signals in a row, then it is killed before its grace is over, and the ledger is whole."""
    write(tmp_path, 'grace = "1h"\n', a="trap '' TERM; echo $$ > p; mv p pid; while :; do sleep 0.1; done")
    with started("run", "--json", cwd=tmp_path) as process:
        step = pid_in(tmp_path / "pid")
        numbers = (
            signal.SIGINT,
            signal.SIGTERM,
            signal.SIGHUP,
        )  # Of two equal ones that are on their way, one arrives.
        for number in numbers:
            process.send_signal(number)
        done = ended(process)
    value = value_of(done, "run", code=None)
    assert (value["status"], value["exit_code"] - 128 in numbers) == ("cancelled", True)
    no_traceback(done)
    assert not exists(step)
    assert verifies(tmp_path)


def test_34_interrupt_from_the_terminal(tmp_path: Path) -> None:
    """Given Ctrl-C, which the terminal sends to all in its foreground, then the step gets TERM from the orchestrator and no INT."""
    write(
        tmp_path,
        a="trap 'echo INT >> got' INT; trap 'echo TERM >> got; exit 9' TERM; echo $$ > p; mv p pid; while :; do sleep 0.1; done",
    )
    master, slave = pty.openpty()
    process = subprocess.Popen(
        ["setsid", "--ctty", PROGRAM, "run", "-q"], cwd=tmp_path, stdin=slave, stdout=slave, stderr=slave
    )
    os.close(slave)
    try:
        pid_in(tmp_path / "pid")
        os.write(master, b"\x03")
        assert process.wait(PATIENCE_SECONDS) == 130
    finally:
        process.kill()
        process.wait()
        os.close(master)
    assert (tmp_path / "got").read_text(encoding="utf-8") == "TERM\n"


@pytest.mark.parametrize("command", [("status",), ("runs",), ("show", "latest", "--json")], ids=" ".join)
def test_35_reader_that_leaves_before_the_first_line(tmp_path: Path, command: tuple[str, ...]) -> None:
    """Given a reading command into a pipe whose reader is gone, then it ends without a word."""
    write(tmp_path, a="true")
    program("run", "-q", cwd=tmp_path)
    read_end, write_end = os.pipe()
    os.close(read_end)
    done = subprocess.run(
        [PROGRAM, *command], cwd=tmp_path, stdout=write_end, stderr=subprocess.PIPE, text=True, timeout=60, check=False
    )
    os.close(write_end)
    assert done.stderr == ""
    assert done.returncode in (0, 128 + signal.SIGPIPE)


def test_36_signals_that_were_ignored_at_the_start(tmp_path: Path) -> None:
    """Given a start that ignores TERM, INT and HUP, then its steps block nothing, and ignore only what the C library keeps for itself in all that it spawns."""
    write(tmp_path, a="grep -E '^Sig(Blk|Ign)' /proc/self/status")
    done = subprocess.run(
        ["sh", "-c", 'trap "" TERM INT HUP; exec "$0" run -q', PROGRAM], cwd=tmp_path, timeout=60, check=False
    )
    assert done.returncode == 0
    _, blocked, _, ignored = log_of(tmp_path).read_text(encoding="utf-8").split()
    assert int(blocked, 16) == 0
    assert int(ignored, 16) == _ignored_by_the_library()
    assert not any(int(ignored, 16) >> (number - 1) & 1 for number in signal.valid_signals())


def _ignored_by_the_library() -> int:
    """Return the signals that a process ignores which was spawned with all of them at their default."""
    read_end, write_end = os.pipe()
    pid = os.posix_spawn(
        "/bin/grep",
        ["grep", "^SigIgn", "/proc/self/status"],
        os.environ,
        file_actions=[(os.POSIX_SPAWN_DUP2, write_end, 1)],
        setsigdef=signal.valid_signals() - {signal.SIGKILL, signal.SIGSTOP},
    )
    os.close(write_end)
    with os.fdopen(read_end, encoding="utf-8") as lines:
        ignored = int(lines.read().split()[1], 16)
    os.waitpid(pid, 0)
    return ignored


def test_38_descriptors_that_were_open_at_the_start(tmp_path: Path) -> None:
    """Given a start with open files, then the step has its three descriptors and neither those nor the ledger's."""
    write(tmp_path, a="ls /proc/self/fd; cat /dev/fd/9 || echo closed")
    (tmp_path / "vault").write_text("vault\n", encoding="utf-8")
    script = 'exec 3< vault 9< vault; exec "$0" run -q'
    assert subprocess.run(["sh", "-c", script, PROGRAM], cwd=tmp_path, timeout=60, check=False).returncode == 0
    lines = log_of(tmp_path).read_text(encoding="utf-8").splitlines()
    assert (lines[:4], lines[-1]) == (["0", "1", "2", "3"], "closed")  # 3 is the listing's own.
    assert len(lines) == 6
