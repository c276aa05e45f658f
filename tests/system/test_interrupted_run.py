"""An orchestrator that is killed with no chance to say anything: the next start finds out and says so."""

from __future__ import annotations

import contextlib
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.namespaces import program_elsewhere
from tests.programs import data_of, ended, events_of, exists, kill, ledger_of, pid_in, program, started, value_of

pytestmark = pytest.mark.system

DEFINITION = """\
[pipeline]
name = "p"
[steps.good]
command = ["true"]
[steps.plain]
shell = "echo $$ > p1; mv p1 plain; exec sleep 120"
[steps.family]
shell = "sleep 120 & echo $! > p2; mv p2 child; echo $$ > p3; mv p3 parent; wait"
needs = ["good"]
[steps.stubborn]
shell = "trap '' TERM; echo $$ > p4; mv p4 stubborn; exec sleep 120"
[steps.after]
command = ["true"]
needs = ["plain"]
"""
WAITS = """\
[pipeline]
name = "p"
[steps.a]
shell = "echo $$ > p; mv p pid; exec sleep 120"
"""
SHORT = '[pipeline]\nname = "p"\n[steps.good]\ncommand = ["true"]\n'
PIDS = ("plain", "child", "parent")


@contextlib.contextmanager
def killed_run(folder: Path, definition: str, files: tuple[str, ...]) -> Iterator[list[int]]:
    """Start a run, kill its orchestrator as soon as the steps have said who they are, and give their pids."""
    (folder / "pipeline.toml").write_text(definition, encoding="utf-8")
    pids: list[int] = []
    try:
        with started("run", "--jobs", "8", cwd=folder) as process:
            pids += [pid_in(folder / name) for name in files]
            process.kill()
            ended(process)
        yield pids
    finally:
        for pid in pids:
            kill(pid)


class TestAnotherContainer:
    """A run is looked at from where its orchestrator cannot be seen."""

    def test_it_is_on_as_long_as_its_lock_is_held(self, tmp_path: Path) -> None:
        """Given a run that is on, then it is not called lost, and no alert says so; once it is killed, it is."""
        alerts = '[alerts.channels.file]\ncommand = ["sh", "-c", "cat >> told"]\n'
        (tmp_path / "pipeline.toml").write_text(WAITS + alerts, encoding="utf-8")

        def found() -> tuple[object, str, bool]:
            (status,) = value_of(program_elsewhere("status", "--json", cwd=tmp_path), "status")
            shown = program_elsewhere("show", "latest", cwd=tmp_path).stdout.partition(":")[0]
            checked = program_elsewhere("check", "--json", cwd=tmp_path)
            findings = value_of(checked, "check", code=checked.returncode)["findings"]
            return status["alive"], shown, "lost_run" in [finding["kind"] for finding in findings]

        with started("run", "-q", cwd=tmp_path) as process:
            step = pid_in(tmp_path / "pid")
            try:
                assert found() == (True, "running", False)
                assert program_elsewhere("alerts", "send", cwd=tmp_path).returncode == 0
                assert not (tmp_path / "told").exists()
                process.kill()
                ended(process)
                assert found() == (False, "interrupted", True)
            finally:
                kill(step)


class TestKilledOrchestrator:
    """`kill -9` while steps run."""

    def test_next_run_ends_survivors_and_records_what_was_lost(self, tmp_path: Path) -> None:
        """Given steps that outlive their orchestrator, then the next run ends them, and the old run gets its end."""
        without_stubborn = DEFINITION.replace("trap '' TERM; ", "")
        with killed_run(tmp_path, without_stubborn, (*PIDS, "stubborn")) as pids:
            assert all(exists(pid) for pid in pids)
            old = data_of(ledger_of(tmp_path), "run.started")[0]["run_id"]
            (tmp_path / "pipeline.toml").write_text(SHORT, encoding="utf-8")
            done = program("run", "--json", cwd=tmp_path)
            assert value_of(done, "run")["status"] == "succeeded"
            assert done.stderr == f"run {old} had lost its orchestrator; it is interrupted now\n"
            assert not [pid for pid in pids if exists(pid)]
            own = [event for event in events_of(ledger_of(tmp_path)) if event["stream"] == f"run/{old}"]
            attempts = {
                event["data"]["step"]: (event["data"]["status"], event["data"].get("reason"))
                for event in own
                if event["type"] == "attempt.finished"
            }
            assert attempts == {
                "good": ("succeeded", None),
                "plain": ("failed", "lost"),
                "family": ("failed", "lost"),
                "stubborn": ("failed", "lost"),
            }
            assert (own[-1]["type"], own[-1]["data"]["status"]) == ("run.finished", "interrupted")
            survivors = {
                pid
                for event in own
                if event["type"] == "step.finished"
                for pid in event["data"].get("evidence", {}).get("survivors", [])
            }
            assert survivors >= set(pids)
        value = value_of(program("show", old, "--json", cwd=tmp_path), "show")
        assert (value["status"], value["exit_code"], value["duration_seconds"]) == ("interrupted", None, None)
        assert {step["step"]: step["status"] for step in value["steps"]} == {
            "good": "succeeded",
            "plain": "failed",
            "family": "failed",
            "stubborn": "failed",
            "after": "pending",
        }
        assert program("logs", old, cwd=tmp_path).returncode == 0
        assert program("explain", old, "plain", cwd=tmp_path).returncode == 0
        assert value_of(program("report", old, "--json", cwd=tmp_path), "report")["status"] == "interrupted"

    def test_lost_steps_run_again(self, tmp_path: Path) -> None:
        """Given a lost attempt, then the next run of the same definition runs it again and says why."""
        definition = (
            '[pipeline]\nname = "p"\n[datasets.raw]\npath = "raw"\n[steps.a]\n'
            'shell = "echo $$ > p1; mv p1 plain; while ! test -e go; do sleep 0.01; done"\nreads = ["raw"]\n'
        )
        (tmp_path / "raw").mkdir()
        with killed_run(tmp_path, definition, ("plain",)):
            (tmp_path / "go").touch()
            value_of(program("run", "--json", cwd=tmp_path), "run")
        value = value_of(program("show", "latest", "--json", cwd=tmp_path), "show")
        assert value["steps"][0]["attempts"][0]["start_reason"] == "last_attempt_lost"

    def test_resume_ends_survivors_before_it_attempts_them_again(self, tmp_path: Path) -> None:
        """Given steps that outlive their orchestrator, when their run is resumed, then they are gone before they are attempted again, and the run ends well."""
        definition = (
            '[pipeline]\nname = "p"\n[steps.good]\nshell = "echo good >> ran"\n[steps.a]\n'
            'shell = "test ! -e old || ! grep -q ^State:.[^ZX] /proc/$(cat old)/status || exit 9; echo $$ > p1; mv p1 plain; test -e go || exec sleep 120"\n'
            'needs = ["good"]\n'
        )
        with killed_run(tmp_path, definition, ("plain",)) as pids:
            assert exists(pids[0])
            (tmp_path / "plain").rename(tmp_path / "old")
            (tmp_path / "go").touch()
            value = value_of(program("resume", "latest", "--json", cwd=tmp_path), "resume")
            assert not exists(pids[0])
        assert {step["step"]: (step["status"], step["attempts"]) for step in value["steps"]} == {
            "good": ("succeeded", 1),
            "a": ("succeeded", 2),
        }
        assert (tmp_path / "ran").read_text(encoding="utf-8") == "good\n"
        assert [data["status"] for data in data_of(ledger_of(tmp_path), "run.finished")] == ["interrupted", "succeeded"]

    def test_other_processes_are_left_alone(self, tmp_path: Path) -> None:
        """Given a process of another run, then it is not ended."""
        other = subprocess.Popen(["sleep", "120"], env={"PATH": "/usr/bin:/bin", "ORCHESTRATE_RUN_ID": "another"})
        try:
            definition = '[pipeline]\nname = "p"\n[steps.a]\nshell = "echo $$ > p1; mv p1 plain; exec sleep 120"\n'
            with killed_run(tmp_path, definition, ("plain",)) as pids:
                (tmp_path / "pipeline.toml").write_text(SHORT, encoding="utf-8")
                assert program("run", "--quiet", cwd=tmp_path).returncode == 0
                assert not exists(pids[0])
            assert other.poll() is None
        finally:
            other.kill()
            other.wait()

    @pytest.mark.slow
    def test_step_that_ignores_term_is_killed(self, tmp_path: Path) -> None:
        """Given a survivor that ignores TERM, then it is killed when its grace is over."""
        with killed_run(tmp_path, DEFINITION, ("stubborn",)) as pids:
            (tmp_path / "pipeline.toml").write_text(SHORT, encoding="utf-8")
            assert program("run", "--quiet", cwd=tmp_path).returncode == 0
            assert not exists(pids[0])


class TestStrays:
    """What a step leaves behind."""

    def test_is_ended_recorded_and_told(self, tmp_path: Path) -> None:
        """Given a step that starts a process in a session of its own and ends well, then that is ended before the end is recorded, and named."""
        (tmp_path / "pipeline.toml").write_text(
            '[pipeline]\nname = "p"\n[steps.a]\nshell = """setsid sh -c "echo \\\\$\\\\$ > p; mv p pid; exec sleep 300" > /dev/null 2>&1 &\n'
            'while ! test -e pid; do :; done"""\n',
            encoding="utf-8",
        )
        done = program("run", cwd=tmp_path)
        assert done.returncode == 0
        (event,) = data_of(ledger_of(tmp_path), "attempt.finished")
        pid = pid_in(tmp_path / "pid")
        assert (event["status"], event["killed"]) == ("succeeded", ["SIGKILL"])
        assert [item["pid"] for item in event["survivors"]] == [pid]
        assert not exists(pid)
        assert "note: step a: a process that went on after it was killed: s" in done.stdout
