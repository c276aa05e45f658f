"""Tests of what an attempt leaves behind, with real processes that try to get away."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

from orchestrator.core.redaction import Redactor
from orchestrator.runtime import strays
from orchestrator.runtime.clock import SystemClock
from orchestrator.runtime.executor import ProcessExecutor
from orchestrator.runtime.liveness import process_fields, process_name
from orchestrator.runtime.ports import Exited, Launch
from orchestrator.runtime.signals import prepare_process
from tests.programs import exists

PATIENCE_US = 20_000_000
# Each is a command that goes on in the background after it has told its number, with no hold on our pipe.
SETSID = "setsid sh -c 'echo $$ > stray; exec sleep 300' >/dev/null 2>&1"
IN_THE_GROUP = "sh -c 'echo $$ > stray; exec sleep 300' >/dev/null 2>&1 &"
WITHOUT_A_TRACE = "env -i setsid /bin/sh -c 'echo $$ > stray; exec /bin/sleep 300' >/dev/null 2>&1"
UNTIL_THERE = "while ! test -s stray; do :; done"


@pytest.fixture(name="executor")
def _executor() -> Iterator[ProcessExecutor]:
    prepare_process()
    executor = ProcessExecutor(clock=SystemClock(), new_stream=Redactor([]).stream)
    yield executor
    executor.close()


def launch(
    folder: Path, script: str, *, step: str = "a", env: Mapping[str, str] | None = None, **changes: object
) -> Launch:
    """Return the start of a shell that runs *script*."""
    (folder / step).mkdir(exist_ok=True)
    marks = {"ORCHESTRATE_RUN_ID": "r", "ORCHESTRATE_STEP": step, "ORCHESTRATE_ATTEMPT": "1"}
    fields: dict[str, object] = {
        "argv": ("sh", "-c", script),
        "env": {"PATH": os.environ["PATH"], **(marks if env is None else env)},
        "cwd": str(folder / step),
        "log_path": folder / "logs" / f"{step}.1.log",
        "log_limit_bytes": 1 << 20,
        "timeout_us": None,
        "grace_us": PATIENCE_US,
    }
    return Launch(step=step, attempt=1, **{**fields, **changes})  # type: ignore[arg-type]


def ended(executor: ProcessExecutor) -> Exited:
    """Wait for the next end."""
    while True:
        for exited in executor.poll(PATIENCE_US):
            return exited


def stray_of(folder: Path, step: str = "a") -> int:
    """Return the pid that the stray of *step* has written."""
    return int((folder / step / "stray").read_text(encoding="utf-8"))


class TestNobodyIsLeft:
    """When the end of an attempt is told, nothing of it lives."""

    @pytest.mark.parametrize("escape", [SETSID, IN_THE_GROUP, WITHOUT_A_TRACE])
    def test_escaped(self, executor: ProcessExecutor, tmp_path: Path, escape: str) -> None:
        """Given a process in the background, in a session of its own, without our variables, then it is ended and named; the exit code stays."""
        executor.start(launch(tmp_path, f"{escape.rstrip('&')} & {UNTIL_THERE}; exit 4"))
        exited = ended(executor)
        assert (exited.exit_code, exited.killed) == (4, ("SIGKILL",))
        (survivor,) = exited.survivors
        assert survivor.pid == stray_of(tmp_path)
        assert not Path(f"/proc/{survivor.pid}").exists()

    def test_escaped_from_a_timeout(self, executor: ProcessExecutor, tmp_path: Path) -> None:
        """Given a timeout, then the group gets TERM, and what has escaped from it is killed."""
        executor.start(launch(tmp_path, f"{SETSID} & {UNTIL_THERE}; exec sleep 300", timeout_us=300_000))
        exited = ended(executor)
        assert (exited.timed_out, exited.signal) == (True, signal.SIGTERM)
        assert exited.killed == ("SIGTERM", "SIGCONT", "SIGKILL")
        assert [item.pid for item in exited.survivors] == [stray_of(tmp_path)]
        assert not exists(stray_of(tmp_path))

    def test_one_that_starts_others(self, executor: ProcessExecutor, tmp_path: Path) -> None:
        """Given a stray with children in sessions of their own, then each of them is ended too."""
        inner = "for n in 1 2 3; do setsid sh -c 'echo $$ >> pids; exec sleep 300' & done; exec sleep 300"
        until = "while test $(cat pids 2>/dev/null | wc -l) -lt 3; do :; done"
        executor.start(
            launch(tmp_path, f'setsid sh -c "{inner.replace("$", chr(92) + "$")}" >/dev/null 2>&1 & {until}')
        )
        exited = ended(executor)
        assert len(exited.survivors) == 4
        assert not any(exists(int(pid)) for pid in (tmp_path / "a" / "pids").read_text(encoding="utf-8").split())

    def test_nothing_is_left(self, executor: ProcessExecutor, tmp_path: Path) -> None:
        """Given a pipeline that ends by itself, then nobody is killed, and nobody named."""
        executor.start(launch(tmp_path, "yes | head -n 1000 | wc -l"))
        exited = ended(executor)
        assert (exited.exit_code, exited.killed, exited.survivors) == (0, (), ())

    def test_one_that_goes_by_itself(
        self, executor: ProcessExecutor, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Given one that ends when its parent has, then it is waited for and not named."""
        monkeypatch.setattr("orchestrator.runtime.executor._STRAYS_GRACE_US", PATIENCE_US)
        monkeypatch.setattr("orchestrator.runtime.executor._STRAYS_TOTAL_US", 2 * PATIENCE_US)
        code = "import os; os.close(1); os.close(2); p = os.getppid(); open('stray', 'w').write('1')\nwhile os.getppid() == p: pass"
        executor.start(launch(tmp_path, f'{sys.executable} -I -S -c "{code}" & {UNTIL_THERE}'))
        exited = ended(executor)
        assert (exited.killed, exited.survivors) == ((), ())

    def test_one_that_cannot_be_killed(
        self, executor: ProcessExecutor, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Given one that is still there after two seconds of killing, then nobody waits any longer, and it is named."""
        monkeypatch.setattr("orchestrator.runtime.executor._STRAYS_TOTAL_US", 0)
        executor.start(launch(tmp_path, f"{SETSID} & {UNTIL_THERE}"))
        (survivor,) = ended(executor).survivors
        assert (survivor.pid, survivor.is_alive) == (stray_of(tmp_path), True)
        assert exists(survivor.pid)
        os.kill(survivor.pid, signal.SIGKILL)
        os.waitpid(stray_of(tmp_path), 0)

    def test_on_the_way_out(self, tmp_path: Path) -> None:
        """Given an error of ours, then what has escaped is ended with the rest."""
        prepare_process()
        executor = ProcessExecutor(clock=SystemClock(), new_stream=Redactor([]).stream)
        executor.start(launch(tmp_path, f"{SETSID} & {UNTIL_THERE}; echo there; exec sleep 300"))
        while executor.last_line("a") is None:
            executor.poll(10_000)
        executor.close()
        assert not exists(stray_of(tmp_path))


class TestWhoseItIs:
    """Of several attempts at once."""

    def test_by_its_environment(self, executor: ProcessExecutor, tmp_path: Path) -> None:
        """Given another attempt that began before, then the one whose variables it has takes it along."""
        executor.start(launch(tmp_path, "exec sleep 300", step="b"))
        executor.start(launch(tmp_path, f"{SETSID} & {UNTIL_THERE}"))
        exited = ended(executor)
        assert (exited.step, len(exited.survivors)) == ("a", 1)
        executor.stop("b")
        assert ended(executor).survivors == ()

    def test_of_another_attempt(self, executor: ProcessExecutor, tmp_path: Path) -> None:
        """Given strays of an attempt that still runs, in its group or with its variables, then the end of another one leaves them alone."""
        script = f"{SETSID} & {UNTIL_THERE}; mv stray first; {IN_THE_GROUP} {UNTIL_THERE}; echo there; exec sleep 300"
        executor.start(launch(tmp_path, script, step="b"))
        while executor.last_line("b") is None:
            executor.poll(10_000)
        executor.start(launch(tmp_path, "true"))
        assert ended(executor).survivors == ()
        pids = [int((tmp_path / "b" / name).read_text(encoding="utf-8")) for name in ("first", "stray")]
        assert all(exists(pid) for pid in pids)
        executor.stop("b")
        assert {item.pid for item in ended(executor).survivors} >= {pids[0]}
        assert not any(exists(pid) for pid in pids)

    def test_that_cannot_be_told(self, executor: ProcessExecutor, tmp_path: Path) -> None:
        """Given a stray without a trace that may be of either of two, then the last one of them takes it along."""
        executor.start(launch(tmp_path, "exec sleep 300", step="b"))
        executor.start(launch(tmp_path, f"{WITHOUT_A_TRACE} & {UNTIL_THERE}"))
        assert ended(executor).survivors == ()
        assert exists(stray_of(tmp_path))
        executor.stop("b")
        assert [item.pid for item in ended(executor).survivors] == [stray_of(tmp_path)]

    def test_without_variables(self, executor: ProcessExecutor, tmp_path: Path) -> None:
        """Given an attempt that has none of our variables, then its group and its time are what it is known by."""
        executor.start(launch(tmp_path, f"{SETSID} & {UNTIL_THERE}", env={}))
        assert len(ended(executor).survivors) == 1

    @pytest.mark.parametrize("case", ["first", "parent"])
    def test_not_alone(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, case: str) -> None:
        """Given the first process of a container, or one with other children, then what has no trace may be somebody else's, and is left alone."""
        prepare_process()
        with monkeypatch.context() as patch:
            if case == "first":
                patch.setattr(strays, "_FIRST", os.getpid())
            other = None if case == "first" else os.posix_spawn("/bin/sleep", ["sleep", "300"], {})
            executor = ProcessExecutor(clock=SystemClock(), new_stream=Redactor([]).stream)
        executor.start(launch(tmp_path, f"{WITHOUT_A_TRACE} & {UNTIL_THERE}"))
        assert ended(executor).survivors == ()
        assert exists(stray_of(tmp_path))
        executor.close()
        for pid in (stray_of(tmp_path), *([] if other is None else [other])):
            os.kill(pid, signal.SIGKILL)
            os.waitpid(pid, 0)

    def test_older_than_the_attempt(self, executor: ProcessExecutor, tmp_path: Path) -> None:
        """Given a child of the program that was there before the attempt, then it is none of its business."""
        other = os.posix_spawn("/bin/sleep", ["sleep", "300"], {})
        ticks = strays._began(other)
        while (
            strays._began(os.posix_spawnp("true", ["true"], {})) == ticks
        ):  # the kernel counts in hundredths of a second
            pass
        executor.start(launch(tmp_path, "true"))
        assert ended(executor).survivors == ()
        assert exists(other)
        os.kill(other, signal.SIGKILL)
        os.waitpid(other, 0)


class TestWithoutTheListOfChildren:
    """A kernel that does not keep it."""

    def test_every_process_is_looked_at(
        self, executor: ProcessExecutor, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Given no list of children, then they are found by their parent."""
        monkeypatch.setattr(strays, "_CHILDREN", "/nowhere/{}")
        executor.start(launch(tmp_path, f"{SETSID} & {UNTIL_THERE}"))
        assert len(ended(executor).survivors) == 1


class TestGone:
    """Processes that end while they are looked at."""

    def test_nothing_is_known_of_them(self) -> None:
        """Given a number that nobody has, then it belongs to nobody."""
        assert process_fields(0) == []
        assert strays._environment(0) == set()
        assert process_name(0) == ""
        assert strays._waited_for(1)
        assert not strays._belongs(0, strays.Owner(1, frozenset()), [], all_ours=True)
