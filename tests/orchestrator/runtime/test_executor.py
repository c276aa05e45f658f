"""Tests of the executor against real processes."""

from __future__ import annotations

import errno
import os
import resource
import signal
import stat
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from orchestrator.core.redaction import Redactor
from orchestrator.runtime.clock import SystemClock
from orchestrator.runtime.executor import ProcessExecutor
from orchestrator.runtime.ports import Exited, Launch
from orchestrator.runtime.signals import SignalInbox, prepare_process
from tests.orchestrator.runtime.test_files import as_nobody

PATIENCE_US = 20_000_000
SECRET = "correct-horse-battery"


@pytest.fixture(name="executor")
def _executor() -> Iterator[ProcessExecutor]:
    prepare_process()
    executor = ProcessExecutor(clock=SystemClock(), new_stream=Redactor({"TOKEN": SECRET}).stream)
    yield executor
    executor.close()


@pytest.fixture(name="folder")
def _folder(tmp_path: Path) -> Path:
    return tmp_path


def launch(folder: Path, *argv: str, **changes: object) -> Launch:
    """Return what a process is started with in *folder*."""
    fields: dict[str, object] = {
        "step": "step",
        "attempt": 1,
        "argv": argv,
        "env": {"PATH": os.environ["PATH"]},
        "cwd": str(folder),
        "log_path": folder / "logs" / "step.1.log",
        "log_limit_bytes": 1 << 20,
        "timeout_us": None,
        "grace_us": 200_000,
    }
    return Launch(**{**fields, **changes})  # type: ignore[arg-type]


def python(folder: Path, code: str, **changes: object) -> Launch:
    """Return the start of a Python process that runs *code*."""
    return launch(folder, sys.executable, "-I", "-S", "-c", code, **changes)


def outcome(executor: ProcessExecutor, what: Launch) -> Exited:
    """Start *what* and wait for its end."""
    executor.start(what)
    return ended(executor)


def ended(executor: ProcessExecutor) -> Exited:
    """Wait for the next end of a process; `poll` also returns when one has printed something."""
    while True:
        for exited in executor.poll(PATIENCE_US):
            return exited


def descriptors() -> list[str]:
    """Return the descriptors that this process has open."""
    return sorted(path.name for path in Path("/proc/self/fd").iterdir())


def dies(pid: int) -> bool:
    """Wait until the process *pid*, which was sent KILL, has gone; the limit of the test is the limit."""
    while alive(pid):
        os.sched_yield()
    return True


class TestExit:
    """How a process ended is told exactly."""

    @pytest.mark.parametrize("code", [0, 1, 3, 75, 126, 137, 255])
    def test_exit_code(self, executor: ProcessExecutor, folder: Path, code: int) -> None:
        """An exit code comes back as it was, also 137, which is no signal."""
        exited = outcome(executor, python(folder, f"raise SystemExit({code})"))

        assert (code, None) == (exited.exit_code, exited.signal)

    @pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGSEGV, signal.SIGTERM])
    def test_signal(self, executor: ProcessExecutor, folder: Path, number: signal.Signals) -> None:
        """A signal comes back as its number, without an exit code."""
        exited = outcome(executor, python(folder, f"import os; os.kill(os.getpid(), {number.value})"))

        assert (None, number) == (exited.exit_code, exited.signal)

    @pytest.mark.parametrize(
        ("argv", "text"),
        [
            (("no-such-command",), "not in PATH"),
            (("./missing",), "does not exist"),
            (("./plain",), "Permission denied"),
            (("./folder",), "Permission denied"),
            (("./bad-interpreter",), "interpreter"),
            (("x" * 200_000, "y"), "could not start"),
            (("true", "a\0b"), "NUL"),
        ],
    )
    def test_what_cannot_start_says_why(
        self, executor: ProcessExecutor, folder: Path, argv: tuple[str, ...], text: str
    ) -> None:
        """A command that cannot be executed is told from one that failed."""
        (folder / "plain").write_text("echo")
        (folder / "folder").mkdir()
        (folder / "bad-interpreter").write_text("#!/no/such/interpreter\n")
        (folder / "bad-interpreter").chmod(0o700)

        exited = outcome(executor, launch(folder, *argv))

        assert exited.not_started is not None
        assert text in exited.not_started

    def test_missing_working_folder(self, executor: ProcessExecutor, folder: Path) -> None:
        """A working folder that does not exist is named."""
        exited = outcome(executor, launch(folder, "true", cwd=str(folder / "gone")))

        assert exited.not_started is not None
        assert "working folder" in exited.not_started


class TestSurroundings:
    """A process gets what it was given, and nothing else."""

    def test_own_session_and_standard_descriptors_only(self, executor: ProcessExecutor, folder: Path) -> None:
        """It leads its own session, reads from /dev/null, and inherits no descriptor."""
        leaked = os.open(os.devnull, os.O_RDONLY)
        code = (
            "import os; fds = sorted(int(n) for n in os.listdir('/proc/self/fd'));"
            "print(os.getsid(0) == os.getpid(), os.readlink('/proc/self/fd/0'), fds[:3], len(fds) - 3,"
            "os.readlink('/proc/self/fd/1') == os.readlink('/proc/self/fd/2'))"
        )

        outcome(executor, python(folder, code))
        os.close(leaked)

        # The fourth descriptor is that of the listing itself.
        assert (folder / "logs/step.1.log").read_text() == "True /dev/null [0, 1, 2] 1 True\n"

    def test_signals_are_as_in_a_new_process(self, executor: ProcessExecutor, folder: Path) -> None:
        """Nothing is ignored and nothing is blocked, whatever the orchestrator does for itself."""
        former = signal.signal(signal.SIGTERM, signal.SIG_IGN)
        try:
            outcome(executor, launch(folder, "grep", "-E", "^Sig(Ign|Blk)", "/proc/self/status"))
        finally:
            signal.signal(signal.SIGTERM, former)

        masks = [int(line.split()[1], 16) for line in (folder / "logs/step.1.log").read_text().splitlines()]
        # 32 and 33 belong to the C library, which lets nobody touch them: they may have been inherited from far above.
        assert [mask & ~(0b11 << 31) for mask in masks] == [0, 0]

    @pytest.mark.parametrize(("own", "of_the_step"), [("0", 200), ("900", 1000)])
    def test_is_killed_first_where_memory_runs_out(self, folder: Path, own: str, of_the_step: int) -> None:
        """Its score is higher than that of the program, which stays what it was, also where it could not start."""
        score = Path("/proc/self/oom_score_adj")
        former = score.read_text()
        score.write_text(own)
        executor = ProcessExecutor(clock=SystemClock(), new_stream=Redactor([]).stream)
        try:
            exited = outcome(executor, launch(folder, "cat", "/proc/self/oom_score_adj"))
            outcome(executor, launch(folder, "./missing"))
            assert (exited.last_line, score.read_text()) == (str(of_the_step), f"{own}\n")
        finally:
            score.write_text(former)
            executor.close()

    def test_kernel_without_such_a_score(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """Given none, then steps run as ever."""
        monkeypatch.setattr("orchestrator.runtime.spawning._OOM_SCORE", "/nowhere")
        executor = ProcessExecutor(clock=SystemClock(), new_stream=Redactor([]).stream)
        assert outcome(executor, launch(folder, "echo", "hello")).last_line == "hello"
        executor.close()

    def test_environment_is_exactly_what_was_given(self, executor: ProcessExecutor, folder: Path) -> None:
        """Nothing of the parent's environment comes along."""
        outcome(executor, launch(folder, "env", env={"PATH": os.environ["PATH"], "A": "1"}))

        assert set((folder / "logs/step.1.log").read_text().splitlines()) == {f"PATH={os.environ['PATH']}", "A=1"}

    def test_each_process_runs_in_its_own_folder(self, executor: ProcessExecutor, folder: Path) -> None:
        """Two starts with different working folders do not disturb each other."""
        (folder / "sub").mkdir()
        for number, cwd in enumerate((folder, folder / "sub", folder), 1):
            log = folder / f"{number}.log"
            outcome(executor, launch(folder, "pwd", cwd=str(cwd), log_path=log))
            assert log.read_text().strip() == str(cwd)


class TestOutput:
    """What a process prints goes through the redactor into one file."""

    def test_silent_process_leaves_no_file(self, executor: ProcessExecutor, folder: Path) -> None:
        """The file and its folder appear with the first byte."""
        exited = outcome(executor, launch(folder, "true"))

        assert exited.log is None
        assert not list(folder.glob("logs/*"))

    def test_both_streams_in_one_private_file(self, executor: ProcessExecutor, folder: Path) -> None:
        """Standard output and error are in order, in a file that only its owner can read."""
        exited = outcome(executor, launch(folder, "sh", "-c", "echo one; echo two >&2; echo three"))
        log = folder / "logs/step.1.log"

        assert log.read_text() == "one\ntwo\nthree\n"
        assert stat.S_IMODE(log.stat().st_mode) == 0o600
        assert stat.S_IMODE(log.parent.stat().st_mode) == 0o700
        assert exited.log is not None
        assert (14, 3) == (exited.log.bytes, exited.log.lines)
        assert exited.last_line == "three"

    def test_secret_is_masked_and_counted(self, executor: ProcessExecutor, folder: Path) -> None:
        """A secret never reaches the disk, also when it comes in two writes."""
        half = len(SECRET) // 2
        code = f"import sys, time; w = sys.stdout; w.write('{SECRET[:half]}'); w.flush(); w.write('{SECRET[half:]}\\n')"

        exited = outcome(executor, python(folder, code))

        assert SECRET[:half] not in (folder / "logs/step.1.log").read_text()
        assert exited.log is not None
        assert dict(exited.log.masked) == {"TOKEN": 1}

    def test_one_turn_is_over_after_some_time(self, folder: Path) -> None:
        """Given output that takes long to mask, then the loop gets its turn in between, and all of it is kept in the end."""
        fed = 0

        class SlowClock(SystemClock):
            def monotonic_us(self) -> int:
                return 3000 * fed

        class SlowStream:
            @property
            def counts(self) -> dict[str, int]:
                return {}

            def feed(self, data: bytes, /) -> bytes:
                nonlocal fed
                fed += 1
                assert len(data) <= 16_384  # The hardest text takes 50 ms then.
                return data

            def flush(self) -> bytes:
                return b""

        executor = ProcessExecutor(clock=SlowClock(), new_stream=SlowStream)
        size = 1 << 19
        code = f"import fcntl; fcntl.fcntl(1, fcntl.F_SETPIPE_SZ, {size}); print('x' * {size - 1})"
        executor.start(python(folder, code))
        (pid,) = [process.pid for process in executor._running.values()]
        os.waitid(os.P_PID, pid, os.WEXITED | os.WNOWAIT)
        at_once = executor.poll(PATIENCE_US)
        fed_at_first = fed
        exited = at_once[0] if at_once else ended(executor)
        executor.close()

        assert (fed_at_first, exited.exit_code) == (4, 0)  # two for the output and two for the exit
        assert (folder / "logs" / "step.1.log").stat().st_size == size

    def test_log_limit_cuts_with_one_notice(self, executor: ProcessExecutor, folder: Path) -> None:
        """What is printed beyond the limit is read and dropped, and the process ends as it would."""
        exited = outcome(executor, python(folder, "print('x' * 300_000)", log_limit_bytes=1000))
        text = (folder / "logs/step.1.log").read_text()

        assert exited.exit_code == 0
        assert exited.log is not None
        assert exited.log.truncated
        assert (1, True) == (text.count("log limit reached"), len(text) < 1100)

    def test_log_file_that_exists_is_never_written_to(self, executor: ProcessExecutor, folder: Path) -> None:
        """A link in the place of the log is not followed; the process runs without a log."""
        victim = folder / "victim"
        victim.write_text("precious")
        (folder / "logs").mkdir()
        (folder / "logs/step.1.log").symlink_to(victim)

        exited = outcome(executor, launch(folder, "echo", "hello"))

        assert (0, None) == (exited.exit_code, exited.log)
        assert victim.read_text() == "precious"


class TestEnding:
    """A process that must end takes its group along."""

    def test_timeout_ends_the_whole_group(self, executor: ProcessExecutor, folder: Path) -> None:
        """Given a child that ignores TERM, then KILL follows after the grace, and nothing of the group is left."""
        script = "trap '' TERM; sleep 300 & echo $!; wait; wait"

        exited = outcome(executor, launch(folder, "sh", "-c", script, timeout_us=100_000))
        child = int((folder / "logs/step.1.log").read_text())

        assert exited.timed_out
        assert ("SIGTERM", "SIGCONT", "SIGKILL") == exited.killed
        assert dies(child)

    def test_stopped_process_can_act_on_term(self, executor: ProcessExecutor, folder: Path) -> None:
        """Given a process that has stopped itself, then TERM reaches it all the same."""
        code = "import os, signal; os.kill(os.getpid(), signal.SIGSTOP)"

        exited = outcome(executor, python(folder, code, timeout_us=300_000, grace_us=PATIENCE_US))

        assert (True, signal.SIGTERM) == (exited.timed_out, exited.signal)

    def test_grandchild_that_holds_the_output_does_not_hold_the_run(
        self, executor: ProcessExecutor, folder: Path
    ) -> None:
        """Given a background process that keeps stdout, then the exit code comes soon and that process is ended."""
        exited = outcome(executor, launch(folder, "sh", "-c", "sleep 300 & echo $!; exit 3"))
        child = int((folder / "logs/step.1.log").read_text())

        assert exited.exit_code == 3
        assert exited.duration_us < PATIENCE_US
        assert dies(child)

    def test_output_that_trails_the_exit_is_kept(self, executor: ProcessExecutor, folder: Path) -> None:
        """Given a background process that prints shortly after the exit, then its output is in the log."""
        outcome(executor, launch(folder, "sh", "-c", "(sleep 0.1; echo late) & echo soon"))

        assert (folder / "logs/step.1.log").read_text() == "soon\nlate\n"

    def test_stop_tells_the_group_and_says_so(self, executor: ProcessExecutor, folder: Path) -> None:
        """Given a running step, when it is stopped, then it ends by TERM and is known to have been asked."""
        executor.start(launch(folder, "sleep", "300"))
        executor.stop("step")

        exited = ended(executor)

        assert (True, signal.SIGTERM) == (exited.stopped, exited.signal)

    def test_forced_stop_kills(self, executor: ProcessExecutor, folder: Path) -> None:
        """Given a step that ignores TERM, when it is stopped by force, then it does not get its grace."""
        executor.start(launch(folder, "sh", "-c", "trap '' TERM; echo ready; sleep 300", grace_us=PATIENCE_US))
        while executor.last_line("step") != "ready":
            executor.poll(10_000)
        executor.stop("step")
        executor.stop("step", force=True)

        exited = ended(executor)

        assert signal.SIGKILL == exited.signal

    def test_stop_of_a_step_that_does_not_run_is_nothing(self, executor: ProcessExecutor) -> None:
        """Asking for the end of what has ended is no mistake."""
        executor.stop("unknown")

        assert executor.last_line("unknown") is None

    def test_writer_without_end_is_ended(self, executor: ProcessExecutor, folder: Path) -> None:
        """Given a background process that writes for ever, then the exit code comes, and what is left of the output is bounded."""
        executor.start(launch(folder, "sh", "-c", "yes & echo $!; sleep 300", log_limit_bytes=1000))
        while executor.last_line("step") is None:
            executor.poll(10_000)
        executor.stop("step")
        exited = ended(executor)
        child = int((folder / "logs/step.1.log").read_text().split("\n")[0])

        assert (exited.stopped, exited.signal) == (True, signal.SIGTERM)
        assert dies(child)

    @pytest.mark.parametrize("reads", [1, 16])
    def test_writer_that_ignores_term(
        self, executor: ProcessExecutor, folder: Path, monkeypatch: pytest.MonkeyPatch, reads: int
    ) -> None:
        """Given a background process that writes for ever and ignores TERM, then it is killed, and what it had written is read."""
        monkeypatch.setattr("orchestrator.runtime.executor.READS_A_TURN", reads)
        script = "(trap '' TERM; exec yes) & echo $! > child; exec sleep 300"
        executor.start(launch(folder, "sh", "-c", script, log_limit_bytes=1000, grace_us=PATIENCE_US))
        while executor.last_line("step") is None or not (folder / "child").exists():
            executor.poll(10_000)
        executor.stop("step")
        exited = ended(executor)

        assert (exited.stopped, exited.signal) == (True, signal.SIGTERM)
        assert dies(int((folder / "child").read_text()))

    def test_holder_of_the_output_that_ignores_term(self, executor: ProcessExecutor, folder: Path) -> None:
        """Given a stopped step whose child holds its output and ignores TERM, then the child is killed without a wait."""
        script = "(trap '' TERM; echo ready; exec sleep 300) & echo $! > child; exec sleep 300"
        executor.start(launch(folder, "sh", "-c", script, grace_us=PATIENCE_US))
        while executor.last_line("step") != "ready":
            executor.poll(10_000)
        executor.stop("step")
        executor.stop("step")
        exited = ended(executor)

        assert exited.signal == signal.SIGTERM
        assert dies(int((folder / "child").read_text()))
        assert exited.killed == ("SIGTERM", "SIGCONT", "SIGKILL")

    def test_output_may_end_before_the_process(self, executor: ProcessExecutor, folder: Path) -> None:
        """Given a daemon-like step that closes its output, then its exit code is waited for."""
        exited = outcome(executor, launch(folder, "sh", "-c", "echo hello; exec >&- 2>&-; sleep 0.1; exit 4"))

        assert (exited.exit_code, exited.last_line) == (4, "hello")

    def test_timeout_of_what_is_being_stopped_is_no_timeout(self, executor: ProcessExecutor, folder: Path) -> None:
        """Given a timeout that passes within the grace, then it counts as stopped."""
        executor.start(
            launch(folder, "sh", "-c", "trap '' TERM; echo ready; sleep 300", timeout_us=600_000, grace_us=700_000)
        )
        while executor.last_line("step") != "ready":
            executor.poll(10_000)
        executor.stop("step")
        exited = ended(executor)

        assert (exited.stopped, exited.timed_out, exited.signal) == (True, False, signal.SIGKILL)

    def test_end_that_was_not_looked_at_in_time_is_no_timeout(self, executor: ProcessExecutor, folder: Path) -> None:
        """Given a process that ended by itself while the loop was busy until after its timeout, then that is how it ended."""
        executor.start(launch(folder, "sh", "-c", "exit 3", timeout_us=1_000_000))
        (pid,) = [process.pid for process in executor._running.values()]
        os.waitid(os.P_PID, pid, os.WEXITED | os.WNOWAIT)
        executor._enforce(SystemClock().monotonic_us() + 2_000_000)
        (exited,) = executor.poll(0)
        assert (exited.exit_code, exited.timed_out, exited.killed) == (3, False, ())

    def test_close_leaves_nobody(self, folder: Path) -> None:
        """When the executor goes away, what it started goes too."""
        executor = ProcessExecutor(clock=SystemClock(), new_stream=Redactor([]).stream)
        executor.start(launch(folder, "sh", "-c", "echo $$; exec sleep 300"))
        while executor.last_line("step") is None:
            executor.poll(10_000)
        pid = int(executor.last_line("step") or "0")

        executor.close()

        assert not alive(pid)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can start what it may not signal afterwards")
class TestUnkillable:
    """A process that KILL does not end: here, one that has become a user whom the program, as nobody, may not signal."""

    @pytest.fixture
    def pid(self, executor: ProcessExecutor, folder: Path, monkeypatch: pytest.MonkeyPatch) -> int:
        """Give such a process, whose time is up."""
        monkeypatch.setattr("orchestrator.runtime.executor._UNKILLABLE_US", 50_000)
        code = "import os, signal; os.setgroups([]); os.setresuid(1, 1, 1); print('up', flush=True); signal.pause()"
        executor.start(python(folder, code, timeout_us=1_000_000, grace_us=50_000))
        while executor.last_line("step") is None or not list(folder.glob("logs/*")):
            executor.poll(10_000)
        return executor._running["step"].pid

    def test_is_named_and_the_run_goes_on(self, executor: ProcessExecutor, folder: Path, pid: int) -> None:
        """Given that its time is up, then its end is told without an exit code; what comes later is no business of others."""
        with as_nobody():
            exited = ended(executor)
        try:
            (survivor,) = exited.survivors
            assert (survivor.pid, survivor.is_alive, exited.unkillable) == (pid, True, True)
            assert (exited.exit_code, exited.signal, exited.timed_out, exited.killed) == (None, None, True, ())
            assert exited.last_line == "up"
            assert exited.log is not None
            other = outcome(executor, launch(folder, "true", step="other", log_path=folder / "other.log"))
            assert (other.exit_code, other.survivors) == (0, ())
        finally:
            os.kill(pid, signal.SIGKILL)
            os.waitid(os.P_PID, pid, os.WEXITED | os.WNOWAIT)

    def test_nothing_is_started_in_its_place(self, executor: ProcessExecutor, folder: Path, pid: int) -> None:
        """Given the next attempt of its step, then that is not started as long as it lives."""
        with as_nobody():
            ended(executor)
        again = launch(folder, "true", attempt=2, log_path=folder / "2.log")
        refused = outcome(executor, again)
        os.kill(pid, signal.SIGKILL)
        os.waitid(os.P_PID, pid, os.WEXITED | os.WNOWAIT)
        assert refused.not_started is not None
        assert refused.not_started.startswith(f"not started: process {pid} (python")
        assert outcome(executor, again).exit_code == 0
        assert not Path(f"/proc/{pid}").exists()

    @pytest.mark.parametrize("is_told", [True, False])
    def test_on_the_way_out(
        self, executor: ProcessExecutor, pid: int, monkeypatch: pytest.MonkeyPatch, *, is_told: bool
    ) -> None:
        """Given an error of ours, before its end was told or after, then it is not waited for."""
        monkeypatch.setattr("orchestrator.runtime.executor._WAY_OUT_SECONDS", 0.05)
        with as_nobody():
            if is_told:
                ended(executor)
            executor.close()
        assert alive(pid)
        os.kill(pid, signal.SIGKILL)
        os.waitid(os.P_PID, pid, os.WEXITED | (os.WNOWAIT if is_told else 0))  # What was told is waited for in the end.

    def test_ends_at_the_last_moment(self, executor: ProcessExecutor, folder: Path) -> None:
        """Given one that has ended by KILL while the loop was busy until after the limit, then that is how it ended."""
        executor.start(launch(folder, "sleep", "300"))
        executor.stop("step", force=True)
        (pid,) = [attempt.pid for attempt in executor._running.values()]
        os.waitid(os.P_PID, pid, os.WEXITED | os.WNOWAIT)
        executor._enforce(SystemClock().monotonic_us() + 3_600_000_000)
        (exited,) = executor.poll(0)
        assert (exited.signal, exited.unkillable, exited.survivors) == (signal.SIGKILL, False, ())


class TestStart:
    """What a process is started with is looked up anew for each."""

    def test_folder_that_was_replaced(self, executor: ProcessExecutor, folder: Path) -> None:
        """Given a step that puts a new folder in the place of its own, then the next process runs in the new one."""
        (folder / "work").mkdir()
        cwd = str(folder / "work")
        outcome(executor, launch(folder, "sh", "-c", f"mv {cwd} {cwd}.old && mkdir {cwd} && touch {cwd}/new", cwd=cwd))
        outcome(executor, launch(folder, "ls", cwd=cwd, log_path=folder / "2.log"))

        assert (folder / "2.log").read_text() == "new\n"

    def test_folder_that_is_a_file(self, executor: ProcessExecutor, folder: Path) -> None:
        """It is told from a command that cannot be executed."""
        (folder / "file").touch()
        exited = outcome(executor, launch(folder, "true", cwd=str(folder / "file")))

        assert exited.not_started == f"could not start: working folder {folder / 'file'} is no folder"

    @pytest.mark.parametrize("path", [None, "", ":/nowhere", "/nowhere::"])
    def test_path_of_the_child(self, executor: ProcessExecutor, folder: Path, path: str | None) -> None:
        """Without PATH there is a usual one; an empty entry is the working folder."""
        (folder / "tool").symlink_to("/bin/echo")
        (folder / "sh").mkdir()
        env = {} if path is None else {"PATH": path}
        exited = outcome(executor, launch(folder, "echo" if path is None else "tool", "hello", env=env))

        assert (exited.exit_code, exited.last_line) == (0, "hello")

    def test_entry_of_path_that_depends_on_the_working_folder(self, executor: ProcessExecutor, folder: Path) -> None:
        """Given two steps with one relative PATH and a folder each, then each finds the tool that its own folder has, or the next one."""
        (folder / "own" / "bin").mkdir(parents=True)
        (folder / "own" / "bin" / "echo").write_text("#!/bin/sh\n/bin/echo own\n")
        (folder / "own" / "bin" / "echo").chmod(0o700)
        (folder / "other").mkdir()
        said = [
            outcome(executor, launch(folder, "echo", name, cwd=str(folder / name), env={"PATH": "bin:/bin"})).last_line
            for name in ("own", "other")
        ]

        assert said == ["own", "other"]

    def test_folder_in_path_is_no_command(self, executor: ProcessExecutor, folder: Path) -> None:
        """The search goes on."""
        (folder / "echo").mkdir()
        exited = outcome(executor, launch(folder, "echo", "hello", env={"PATH": f"{folder}:/bin"}))

        assert exited.last_line == "hello"

    def test_no_descriptor_left(self, executor: ProcessExecutor, folder: Path) -> None:
        """Given a limit that is reached, then the attempt has not started, and a later one does."""
        former = resource.getrlimit(resource.RLIMIT_NOFILE)
        resource.setrlimit(resource.RLIMIT_NOFILE, (len(descriptors()) - 1, former[1]))
        try:
            executor.start(launch(folder, "true"))
        finally:
            resource.setrlimit(resource.RLIMIT_NOFILE, former)
        exited = ended(executor)

        assert exited.not_started == "could not start: true: Too many open files"
        assert outcome(executor, launch(folder, "true")).exit_code == 0

    def test_descriptors_do_not_pile_up(self, executor: ProcessExecutor, folder: Path) -> None:
        """Whether an attempt ran or could not start."""
        outcome(executor, launch(folder, "true"))
        before = descriptors()
        outcome(executor, launch(folder, "no-such-command"))
        outcome(executor, launch(folder, "true"))

        assert before == descriptors()

    def test_signal_wakes_the_loop(self, folder: Path) -> None:
        """Given a descriptor that tells of a signal, then `poll` returns at once, and waits again afterwards."""
        with SignalInbox() as inbox:
            executor = ProcessExecutor(clock=SystemClock(), new_stream=Redactor([]).stream, wakeup_fd=inbox.fd)
            executor.start(launch(folder, "sleep", "300"))
            signal.raise_signal(signal.SIGHUP)

            assert executor.poll(PATIENCE_US) == []
            assert inbox.take() == signal.SIGHUP
            assert executor.poll(1000) == []
            executor.close()

    def test_time_passes_without_anything(self, executor: ProcessExecutor) -> None:
        """A limit to the wait is kept."""
        assert executor.poll(1000) == []


class TestWithoutDescriptors:
    """What cannot be watched does not run."""

    @pytest.mark.parametrize("call", ["pidfd_open", "epoll"])
    def test_process_goes_again(
        self, executor: ProcessExecutor, folder: Path, monkeypatch: pytest.MonkeyPatch, call: str
    ) -> None:
        """Given no descriptor left once it was spawned, then it is ended, says so, and nothing leaks."""
        pids: list[int] = []
        before = descriptors()

        def refuse(*_: object, **__: object) -> int:
            raise OSError(errno.EMFILE, "Too many open files")

        spawn = executor._spawner.spawn

        def spawned(launch: Launch, output: int) -> int:
            pids.append(spawn(launch, output))
            return pids[-1]

        monkeypatch.setattr(executor._spawner, "spawn", spawned)
        with monkeypatch.context() as patch:
            if call == "epoll":
                patch.setattr(executor, "_watch", refuse)
            else:
                patch.setattr(os, "pidfd_open", refuse)
            exited = outcome(executor, launch(folder, "sleep", "300"))
        assert "Too many open files" in str(exited.not_started)
        assert not alive(pids[0])
        assert descriptors() == before


class TestManyAtOnce:
    """Several processes are watched in one loop."""

    def test_numbers_of_descriptors_that_select_does_not_take(self, folder: Path) -> None:
        """Given so many descriptors that those of a process have numbers above 1023, then its time is up and it is ended all the same."""
        former, most = resource.getrlimit(resource.RLIMIT_NOFILE)
        resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
        taken = [os.open(os.devnull, os.O_RDONLY | os.O_CLOEXEC) for _ in range(1024)]
        executor = ProcessExecutor(clock=SystemClock(), new_stream=Redactor([]).stream)
        try:
            timed_out = outcome(executor, launch(folder, "sleep", "300", timeout_us=1))
            executor.start(launch(folder, "sleep", "300", step="other"))
            executor.close()
        finally:
            for descriptor in taken:
                os.close(descriptor)
            resource.setrlimit(resource.RLIMIT_NOFILE, (former, most))

        assert (timed_out.timed_out, timed_out.signal) == (True, signal.SIGTERM)
        with pytest.raises(ChildProcessError):
            os.waitpid(-1, os.WNOHANG)

    def test_each_end_is_told_once(self, executor: ProcessExecutor, folder: Path) -> None:
        """Given thirty processes, then thirty ends come back and no zombie is left."""
        for number in range(30):
            log = folder / "logs" / f"{number}.log"
            executor.start(launch(folder, "sh", "-c", f"echo {number}; exit {number}", step=f"s{number}", log_path=log))
        ended: dict[str, int | None] = {}
        while len(ended) < 30:
            for exited in executor.poll(PATIENCE_US):
                assert exited.step not in ended
                ended[exited.step] = exited.exit_code

        assert ended == {f"s{number}": number for number in range(30)}
        with pytest.raises(ChildProcessError):
            os.waitpid(-1, os.WNOHANG)


def alive(pid: int) -> bool:
    """Whether the process *pid* exists and is no zombie."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False
