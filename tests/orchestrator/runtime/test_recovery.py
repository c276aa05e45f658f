"""Tests of what is done about runs whose orchestrator died."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest

from ledger.events import NewEvent
from orchestrator.core.events import (
    AttemptFinished,
    AttemptStarted,
    Event,
    RunFinished,
    StepFinished,
    event_data,
    event_from_data,
    event_type,
)
from orchestrator.core.state import fold
from orchestrator.runtime.liveness import boot_id, process_start
from orchestrator.runtime.provenance import current_actor, git_state
from orchestrator.runtime.recovery import end_survivors, reconcile
from tests.fakes import MemoryEventStore
from tests.pipelines import chain
from tests.programs import exists, kill
from tests.simulation import run_started, simulated_plan

STREAM = "run/run-1"


def stored(events: Sequence[Event]) -> MemoryEventStore:
    """Return a store that holds the run `run-1` with *events*."""
    store = MemoryEventStore()
    new = [NewEvent(*event_type(event), event_data(event)) for event in events]
    store.append(STREAM, new, expected_version=-1)
    return store


def history(store: MemoryEventStore) -> list[Event]:
    """Return the events of the run as values."""
    return [event_from_data(item.type, item.type_version, item.data) for item in store.read_stream(STREAM)]


STARTED = run_started(simulated_plan(chain("a", "b")))
ATTEMPT = AttemptStarted("a", 1, "never_succeeded", {}, "sha256:k", {"recipe": 1})


class TestReconcile:
    """A run without an orchestrator gets its end."""

    def test_attempt_that_nobody_saw_end_is_lost(self) -> None:
        """Given a run that died in an attempt, then the attempt is lost, its step failed, the run interrupted."""
        store = stored([STARTED, ATTEMPT])

        assert reconcile(store, ["run-1"], grace_seconds=0) == ["run-1"]

        state = fold(history(store))
        assert ("interrupted", "failed", "lost", "lost") == (
            state.status,
            state.step("a").status,
            state.step("a").reason,
            state.step("a").attempt_status,
        )

    def test_attempt_whose_end_was_seen_is_not_lost(self) -> None:
        """Given a run that died between an attempt's end and its step's, then the attempt stays as it was."""
        store = stored([STARTED, ATTEMPT, AttemptFinished("a", 1, "succeeded", exit_code=0)])

        reconcile(store, ["run-1"], grace_seconds=0)

        state = fold(history(store))
        assert ("failed", "succeeded") == (state.step("a").status, state.step("a").attempt_status)

    def test_steps_that_do_not_run_are_left_as_they_are(self) -> None:
        """Given a run that died between two steps, then only the run gets its end."""
        events: list[Event] = [STARTED, StepFinished("a", "skipped", "up_to_date")]
        store = stored(events)

        assert reconcile(store, ["run-1"], grace_seconds=0) == ["run-1"]
        assert ["RunFinished"] == [type(event).__name__ for event in history(store)[len(events) :]]

    def test_finished_run_is_left_alone(self) -> None:
        """Given a run that has its end, then nothing is recorded."""
        store = stored([STARTED, StepFinished("a", "skipped", "up_to_date"), RunFinished("nothing_to_do", 0, 1, {})])

        assert reconcile(store, ["run-1"]) == []


class TestSurvivors:
    """What still lives of a dead run is found by its environment, and ended."""

    @pytest.mark.parametrize(
        "script", ["echo ready; exec sleep 300", "trap '' TERM; echo ready; while :; do sleep 1; done"]
    )
    def test_survivor_is_ended_by_term_or_kill(self, script: str) -> None:
        """Given a process of the run, then it is ended, also if it ignores TERM, and named."""
        survivor = subprocess.Popen(
            ["sh", "-c", script],
            env={"PATH": os.environ["PATH"], "ORCHESTRATE_RUN_ID": "run-1"},
            start_new_session=True,
            stdout=subprocess.PIPE,
        )
        bystander = subprocess.Popen(
            ["sleep", "300"], env={"PATH": os.environ["PATH"], "ORCHESTRATE_RUN_ID": "run-12"}, start_new_session=True
        )
        assert survivor.stdout is not None
        survivor.stdout.readline()
        try:
            found = end_survivors("run-1", grace_seconds=0.3)

            assert survivor.pid in found
            assert bystander.pid not in found
            assert survivor.wait(20) in (-signal.SIGTERM, -signal.SIGKILL)
            assert bystander.poll() is None
        finally:
            for process in (survivor, bystander):
                if process.poll() is None:
                    os.killpg(process.pid, signal.SIGKILL)
                process.wait()
            survivor.stdout.close()

    def test_processes_of_a_copy_are_left(self, tmp_path: Path) -> None:
        """Given the same run in a copy of the folder, where it was resumed, then only what reports to this folder, or to one that has been moved away, is ended."""
        own, copy = tmp_path / "own", tmp_path / "copy"
        (tmp_path / "link").symlink_to(own)
        for folder in (own, copy):
            folder.mkdir()
        reports = [
            f"{tmp_path}/{name}/exchange/run-copied/a.2.result.json" for name in ("own", "link", "moved", "copy")
        ]
        processes = [
            subprocess.Popen(
                ["sleep", "300"],
                env={"PATH": os.environ["PATH"], "ORCHESTRATE_RUN_ID": "run-copied", "ORCHESTRATE_RESULT": report},
                start_new_session=True,
            )
            for report in [*reports, "short"]
        ]
        own_ones = [process for process in processes if process is not processes[3]]
        try:
            assert set(end_survivors("run-copied", folder=own, grace_seconds=5)) == {each.pid for each in own_ones}
            assert [each.wait(20) for each in own_ones] == [-signal.SIGTERM] * 4
            assert processes[3].poll() is None
        finally:
            for process in processes:
                if process.poll() is None:
                    process.kill()
                process.wait()


class TestTenacity:
    """Who starts others while it is being ended does not get away."""

    def test_children_that_come_while_it_is_ended_are_ended_too(self) -> None:
        """Given a process that answers TERM by starting another session, then none of them is left."""
        # What it starts when it is told to end starts one more in its turn.
        code = (
            "import os, signal, subprocess, sys\n"
            "def again(*_):\n"
            "    left = int(sys.argv[1])\n"
            "    if left:\n"
            "        subprocess.Popen([sys.executable, '-c', sys.argv[2], str(left - 1), sys.argv[2]], start_new_session=True)\n"
            "    os._exit(0)\n"
            "signal.signal(signal.SIGTERM, again)\n"
            "print('ready', flush=True)\n"
            "while True: signal.pause()\n"
        )
        first = subprocess.Popen(
            [sys.executable, "-c", code, "2", code],
            env={"PATH": os.environ["PATH"], "ORCHESTRATE_RUN_ID": "run-tenacious"},
            start_new_session=True,
            stdout=subprocess.PIPE,
        )
        assert first.stdout is not None
        first.stdout.readline()

        ended = end_survivors("run-tenacious", grace_seconds=5)
        first.wait(20)
        first.stdout.close()

        assert first.pid in ended
        assert end_survivors("run-tenacious", grace_seconds=0) == []

    def test_parent_that_ends_while_it_is_looked_at(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """Given a process that ends right after the list was read, then its child, which was not listed, is ended too."""
        listed = os.listdir
        script = "read line; sleep 300 & echo $! > child; exec true"
        parent = subprocess.Popen(
            ["sh", "-c", script],
            env={"PATH": os.environ["PATH"], "ORCHESTRATE_RUN_ID": "run-hidden"},
            cwd=tmp_path,
            stdin=subprocess.PIPE,
            start_new_session=True,
        )

        def late(path: str) -> list[str]:
            found = listed(path)
            if parent.returncode is None:
                parent.communicate(b"\n")
            return found

        monkeypatch.setattr(os, "listdir", late)
        ended = end_survivors("run-hidden", grace_seconds=5)
        child = int((tmp_path / "child").read_text(encoding="utf-8"))
        try:
            assert ended == [child]
            assert not exists(child)
        finally:
            kill(child)

    @pytest.mark.needs("setpriv")
    @pytest.mark.skipif(os.geteuid() != 0, reason="only root can start what it may not signal afterwards")
    def test_one_that_cannot_be_killed(self) -> None:
        """Given one that may not be signalled, then it is tried once, named, and waited for no longer."""
        code = (
            "from orchestrator.runtime import recovery\n"
            "rounds = []\n"
            "signal_all = recovery._signal_all\n"
            "recovery._signal_all = lambda left, number: (rounds.append(number.name), signal_all(left, number))\n"
            "print(recovery.end_survivors('run-immortal', grace_seconds=0.1), *rounds)\n"
        )
        command = ["setpriv", "--bounding-set=-kill", sys.executable, "-c", code]
        environment = {"PATH": os.environ["PATH"], "ORCHESTRATE_RUN_ID": "run-immortal"}
        with subprocess.Popen(["sleep", "300"], env=environment, user=1, group=1, extra_groups=[]) as process:
            try:
                done = subprocess.run(command, capture_output=True, text=True, timeout=30, check=True)
                assert done.stdout == f"[{process.pid}] SIGTERM SIGCONT SIGKILL\n"
                assert process.poll() is None
            finally:
                process.kill()


class TestProvenance:
    """Facts about who started a run, and where."""

    def test_actor_names_user_and_host(self) -> None:
        """Who acts is said as the host claims it; sudo is not lost."""
        actor = current_actor({"SUDO_USER": "alice"})

        assert ("alice", "host") == (actor["sudo"], actor["claimed_by"])
        assert actor["user"]
        assert actor["host"]

    def test_this_process_has_a_start_and_no_other_has_none(self) -> None:
        """A start time tells a process from a later one with its number."""
        assert process_start(os.getpid()) is not None
        assert process_start(2**22 + 1) is None
        assert boot_id()

    def test_commit_of_a_folder(self, tmp_path: object) -> None:
        """Given a repository, then its commit and whether it is dirty; outside of one, nothing."""
        from pathlib import Path

        folder = Path(str(tmp_path))
        assert git_state(folder) is None
        environment = {**os.environ, "GIT_CONFIG_GLOBAL": os.devnull, "GIT_CONFIG_SYSTEM": os.devnull}
        for arguments in (
            ["init", "-q"],
            ["-c", "user.name=n", "-c", "user.email=e@example.org", "commit", "-q", "--allow-empty", "-m", "one"],
        ):
            subprocess.run(["git", "-C", str(folder), *arguments], check=True, env=environment)

        state = git_state(folder)

        assert state is not None
        assert (40, False) == (len(str(state["commit"])), state["dirty"])
