"""Signals and closed descriptors, as `docs/how-to/resume-and-cancel.md` has them in its table: each with the real program."""

from __future__ import annotations

import os
import re
import signal
import subprocess
from pathlib import Path

import pytest

from tests.programs import (
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

PAGE = Path(__file__).parents[2] / "docs" / "how-to" / "resume-and-cancel.md"
HANGS = """\
[pipeline]
name = "p"
[steps.hangs]
shell = "echo $$ > p; mv p pid; exec sleep 60"
[steps.clean]
shell = "echo clean >> cleaned"
needs = ["hangs"]
when = "always"
"""
STUBBORN = HANGS.replace('"echo $$', "\"trap '' TERM; echo $$").replace("exec sleep 60", "while :; do sleep 0.1; done")
QUICK = '[pipeline]\nname = "p"\n[steps.a]\nshell = "cat; echo out; echo err >&2"\n'


def write(folder: Path, definition: str) -> None:
    """Write *definition* into *folder*."""
    (folder / "pipeline.toml").write_text(definition, encoding="utf-8")


def state_of(pid: int) -> str:
    """Return the state of the process *pid* as the kernel names it: T for one that is stopped."""
    return Path(f"/proc/{pid}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()[0]


class TestEndingSignals:
    """What tells the orchestrator to end."""

    @pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
    def test_before_the_run_has_begun(self, tmp_path: Path, number: signal.Signals) -> None:
        """Given a source whose probe is being asked, then the probe is ended, no run begins, and the exit code is 128 and the signal's number."""
        probe = '[datasets.db]\nprobe = ["sh", "-c", "echo $$ > p; mv p pid; exec sleep 60"]\nprobe_timeout = "60s"\n'
        write(tmp_path, f'[pipeline]\nname = "p"\n{probe}[steps.a]\ncommand = ["true"]\nreads = ["db"]\n')
        with started("run", cwd=tmp_path) as process:
            pid = pid_in(tmp_path / "pid")
            process.send_signal(number)
            done = ended(process)
        assert done.returncode == 128 + number
        no_traceback(done)
        assert not exists(pid)
        assert not ledger_of(tmp_path).exists()

    @pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
    def test_first_one_ends_in_order(self, tmp_path: Path, number: signal.Signals) -> None:
        """Given TERM, INT or HUP, then the step gets TERM, clean-up runs, and the exit code is 128 and the signal's number."""
        write(tmp_path, HANGS)
        with started("run", "--json", cwd=tmp_path) as process:
            step = pid_in(tmp_path / "pid")
            process.send_signal(number)
            done = ended(process)
        value = value_of(done, "run", code=128 + number)
        assert [item["status"] for item in value["steps"]] == ["cancelled", "succeeded"]
        assert (tmp_path / "cleaned").exists()
        assert not exists(step)
        no_traceback(done)

    def test_second_one_kills(self, tmp_path: Path) -> None:
        """Given a step that ignores TERM, then the second signal kills it long before its grace of ten seconds is over; the first one counts for the exit code."""
        write(tmp_path, STUBBORN)
        with started("run", "--json", cwd=tmp_path) as process:
            step = pid_in(tmp_path / "pid")
            process.send_signal(signal.SIGINT)
            process.send_signal(signal.SIGTERM)
            value = value_of(ended(process), "run", code=None)
        assert value["exit_code"] in (130, 143)  # They may arrive at once.
        assert not exists(step)
        (first, *_) = data_of(ledger_of(tmp_path), "attempt.finished")
        assert first["killed"][-1] == "SIGKILL"
        assert first["duration_us"] < 9_000_000

    def test_what_was_ignored_at_the_start_stays_ignored(self, tmp_path: Path) -> None:
        """Given a start with nohup, then HUP changes nothing, and INT does for one that a shell has put into the background; TERM ends it."""
        write(tmp_path, HANGS)
        process = subprocess.Popen(
            ["sh", "-c", 'trap "" HUP INT; exec "$0" run --json', PROGRAM],
            cwd=tmp_path,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        try:
            step = pid_in(tmp_path / "pid")
            process.send_signal(signal.SIGHUP)
            process.send_signal(signal.SIGINT)
            process.send_signal(signal.SIGTERM)
            assert value_of(ended(process), "run", code=143)["status"] == "cancelled"
        finally:
            process.kill()
            kill(step)

    @pytest.mark.parametrize("number", [signal.SIGQUIT, signal.SIGUSR1, signal.SIGKILL])
    def test_other_ones_kill_the_orchestrator_and_the_next_start_finds_out(
        self, tmp_path: Path, number: signal.Signals
    ) -> None:
        """Given a signal that nobody takes, then the run is lost, as by KILL: `cancel` ends what lives of it and closes it."""
        write(tmp_path, HANGS)
        with started("run", "--json", cwd=tmp_path) as process:
            step = pid_in(tmp_path / "pid")
            process.send_signal(number)
            assert ended(process).returncode == -number
            try:
                value = value_of(program("cancel", "latest", "--json", cwd=tmp_path), "cancel")
                assert value["status"] == "interrupted"
                assert not exists(step)
            finally:
                kill(step)


class TestStopped:
    """TSTP and CONT."""

    def test_time_goes_on_while_the_orchestrator_is_stopped(self, tmp_path: Path) -> None:
        """Given an orchestrator that is stopped, then its step goes on; when it continues, the step whose timeout has passed is ended."""
        shell = "echo $$ > p; mv p pid; sleep 1.2; echo > late; exec sleep 60"
        write(tmp_path, f'[pipeline]\nname = "p"\n[steps.a]\nshell = "{shell}"\ntimeout = "1s"\n')
        with started("run", "--json", cwd=tmp_path) as process:
            step = pid_in(tmp_path / "pid")
            process.send_signal(signal.SIGSTOP)  # TSTP stops nobody in a group without a terminal
            wait_until(lambda: state_of(process.pid) == "T", "it was not stopped")
            wait_until((tmp_path / "late").exists, "the step stopped too")
            assert exists(step)
            process.send_signal(signal.SIGCONT)
            value = value_of(ended(process), "run", code=1)
        assert [(item["status"], item["reason"]) for item in value["steps"]] == [("failed", "timeout")]
        assert not exists(step)


class TestDescriptors:
    """Standard input, output and error that are closed, or that nobody reads."""

    @pytest.mark.parametrize("closed", ["<&-", ">&-", "2>&-", "<&- >&- 2>&-"])
    def test_closed_at_the_start(self, tmp_path: Path, closed: str) -> None:
        """Given a start without them, then the run succeeds, the step reads nothing, its log is whole, and the ledger verifies."""
        write(tmp_path, QUICK)
        done = subprocess.run(
            ["sh", "-c", f'"$0" run {closed}', PROGRAM],
            cwd=tmp_path,
            input="in\n",
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        assert (done.returncode, data_of(ledger_of(tmp_path), "run.finished")[0]["status"]) == (0, "succeeded")
        assert program("logs", "latest", "a", cwd=tmp_path).stdout.splitlines()[-2:] == ["out", "err"]
        assert value_of(program("audit", "verify", "--json", cwd=tmp_path), "audit-verify")["ok"]
        no_traceback(done)

    @pytest.mark.parametrize("which", ["stdout", "stderr"])
    def test_reader_that_leaves(self, tmp_path: Path, which: str) -> None:
        """Given a pipe whose reader is gone (PIPE), then the run goes on, and its exit code is its own."""
        write(tmp_path, '[pipeline]\nname = "p"\n[steps.a]\ncommand = ["true"]\n[steps.b]\ncommand = ["false"]\n')
        read_end, write_end = os.pipe()
        os.close(read_end)
        out, err = (write_end if which == name else subprocess.DEVNULL for name in ("stdout", "stderr"))
        done = subprocess.run(
            [PROGRAM, "run"], cwd=tmp_path, stdin=subprocess.DEVNULL, stdout=out, stderr=err, timeout=60, check=False
        )
        os.close(write_end)
        assert done.returncode == 1
        assert data_of(ledger_of(tmp_path), "run.finished")[0]["status"] == "failed"


def test_the_page_has_a_row_for_each_signal() -> None:
    """The table of the page names every signal that is tested here."""
    tested = {"TERM", "INT", "HUP", "PIPE", "TSTP", "CONT", "QUIT", "KILL"}
    page = PAGE.read_text(encoding="utf-8")
    assert {name for name in tested if not re.search(rf"^\| [^|]*\b{name}\b", page, re.MULTILINE)} == set()
