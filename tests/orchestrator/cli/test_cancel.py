"""Tests of `cancel`: a run that is on is ended from another process, and only by telling the one that works on it."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from ledger.store import Ledger
from orchestrator.cli import cancelling
from orchestrator.cli.cancelling import close_lost_run, end_run, orchestrator_of
from orchestrator.cli.errors import RefusedError
from orchestrator.cli.holding import pipeline_lock
from orchestrator.cli.opening import open_to_write
from orchestrator.projections.starts import last_start
from orchestrator.runtime.liveness import boot_id, process_start
from tests.programs import (
    Json,
    data_of,
    ended,
    events_of,
    exists,
    kill,
    ledger_of,
    pid_in,
    program,
    refused,
    started,
    value_of,
    wait_until,
)

HANGS = """\
[pipeline]
name = "p"
[steps.hangs]
shell = "echo $$ > p; mv p pid; exec sleep 60"
[steps.after]
command = ["true"]
needs = ["hangs"]
"""
STUBBORN = HANGS.replace('"echo', "\"trap '' TERM; echo").replace("exec sleep 60", "while :; do sleep 0.1; done")


@contextlib.contextmanager
def running(folder: Path, definition: str = HANGS) -> Iterator[subprocess.Popen[str]]:
    """Give the process of a run whose step hangs."""
    (folder / "pipeline.toml").write_text(definition, encoding="utf-8")
    with started("run", "--json", cwd=folder) as process:
        step = pid_in(folder / "pid")
        try:
            yield process
        finally:
            kill(step)


def print_nothing(_: str) -> None:
    """Keep what would be told."""


def requests(folder: Path) -> list[Json]:
    """Return what was recorded of wishes to cancel."""
    return data_of(ledger_of(folder), "run.cancel_requested")


class TestCancel:
    """The run ends as by a signal from its own terminal."""

    def test_run_ends_and_says_how(self, tmp_path: Path) -> None:
        """Given a run that is on, then its step is gone, its end recorded after the wish, and both programs say how it ended."""
        with running(tmp_path) as process:
            step = pid_in(tmp_path / "pid")
            done = program("cancel", "latest", "--reason", "ticket 4711", "--json", cwd=tmp_path)
            value = value_of(done, "cancel")
            assert (value["status"], value["ended"]) == ("cancelled", True)
            assert f"waiting for the end of run {value['run_id']}: 1 step runs (hangs)\n" in done.stderr
            assert value_of(ended(process), "run", code=143)["status"] == "cancelled"
        assert not exists(step)
        (data,) = requests(tmp_path)
        assert (data["run_id"], data["force"], data["reason"]) == (value["run_id"], False, "ticket 4711")
        assert data["actor"]["claimed_by"] == "host"
        of = {event["type"]: event for event in events_of(ledger_of(tmp_path))}
        assert of["run.cancel_requested"]["stream"] == "pipeline/p"
        assert of["run.cancel_requested"]["seq"] < of["run.finished"]["seq"]
        assert value_of(program("audit", "verify", "--json", cwd=tmp_path), "audit-verify")["projections"] == "held"

    def test_force_kills_what_runs(self, tmp_path: Path) -> None:
        """Given a step that ignores TERM and has ten seconds of grace, then --force ends it at once."""
        with running(tmp_path, STUBBORN.replace("needs", 'when = "always"\nneeds')) as process:
            done = program("cancel", "latest", "--force", cwd=tmp_path)
            assert done.returncode == 0, done.stderr
            assert done.stdout.endswith(", cancelled\n")
            ended(process)
        (data, *_) = data_of(ledger_of(tmp_path), "attempt.finished")
        assert data["killed"][-1] == "SIGKILL"
        assert data["duration_us"] < 9_000_000

    def test_run_that_does_not_end_in_time(self, tmp_path: Path) -> None:
        """Given a step that ignores TERM and no time to wait, then exit code 1 and what else can be done; the run goes on to end."""
        with running(tmp_path, STUBBORN) as process:
            done = program("cancel", "latest", "--timeout", "0s", cwd=tmp_path)
            assert done.returncode == 1
            assert done.stdout.endswith("has not within 0s; `orchestrate cancel --force` kills what runs\n")
            assert program("cancel", "latest", "--force", cwd=tmp_path).returncode == 0
            ended(process)
        assert [data["force"] for data in requests(tmp_path)] == [False, True]

    def test_resumed_run(self, tmp_path: Path) -> None:
        """Given a run that was resumed by another process than it was started by, then it is that one that is told."""
        with running(tmp_path) as process:
            program("cancel", "latest", cwd=tmp_path)
            ended(process)
        (tmp_path / "pid").unlink()
        with started("resume", "latest", "-q", cwd=tmp_path) as process:
            pid_in(tmp_path / "pid")
            assert program("cancel", "latest", cwd=tmp_path).stdout.endswith(", cancelled\n")
            assert ended(process).returncode == 143
        assert [data["status"] for data in data_of(ledger_of(tmp_path), "run.finished")] == ["cancelled", "cancelled"]

    def test_run_that_has_lost_its_orchestrator(self, tmp_path: Path) -> None:
        """Given a dead orchestrator, then the run is closed as interrupted, and what still lived of it is gone."""
        with running(tmp_path) as process:
            step = pid_in(tmp_path / "pid")
            process.kill()
            ended(process)
            done = program("cancel", "latest", "--json", cwd=tmp_path)
            value = value_of(done, "cancel")
            assert (value["status"], value["ended"]) == ("interrupted", True)
            assert f"run {value['run_id']} had lost its orchestrator; it is interrupted now\n" in done.stderr
            assert not exists(step)
        assert len(requests(tmp_path)) == 1

    def test_orchestrator_that_dies_while_it_is_waited_for(self, tmp_path: Path) -> None:
        """Given an orchestrator that is killed when it has been told to end, then whoever waits for it closes the run."""
        with running(tmp_path, STUBBORN) as process, started("cancel", "latest", "--json", cwd=tmp_path) as waiting:
            wait_until(lambda: requests(tmp_path), "nobody asked for its end")
            process.kill()
            value = value_of(ended(waiting), "cancel")
        assert (value["status"], value["ended"]) == ("interrupted", True)

    @pytest.mark.parametrize("arguments", [("latest",), ("latest", "--force")])
    def test_run_that_has_ended(self, tmp_path: Path, arguments: tuple[str, ...]) -> None:
        """Given a run with its end, then exit code 2, and nothing is recorded."""
        (tmp_path / "pipeline.toml").write_text('[pipeline]\nname = "p"\n[steps.a]\ncommand = ["true"]\n')
        program("run", "-q", cwd=tmp_path)
        (problem,) = refused(program("cancel", *arguments, "--json", cwd=tmp_path))
        assert problem["kind"] == "has_ended"
        assert "has ended (succeeded)" in problem["message"]
        assert requests(tmp_path) == []

    def test_reason_that_the_pipeline_requires(self, tmp_path: Path) -> None:
        """Given require_reason, then a cancel without one is refused, and the run goes on."""
        with running(tmp_path, HANGS.replace('"p"\n', '"p"\n[audit]\nrequire_reason = true\n')) as process:
            (problem,) = refused(program("cancel", "latest", "--json", cwd=tmp_path))
            assert problem["kind"] == "missing_reason"
            assert process.poll() is None
            assert program("cancel", "latest", "--reason", "x", cwd=tmp_path).returncode == 0

    def test_timeout_that_is_none(self, tmp_path: Path) -> None:
        """Given a timeout that is no duration, then exit code 2."""
        (problem,) = refused(program("cancel", "latest", "--timeout", "soon", "--json", cwd=tmp_path))
        assert "not a duration" in problem["message"]

    def test_pipeline_that_something_else_has(self, tmp_path: Path) -> None:
        """Given a dead run whose pipeline somebody has taken meanwhile, then nobody is signalled, and the holder is named."""
        with running(tmp_path) as process:
            process.kill()
            ended(process)
            with open_to_write(ledger_of(tmp_path)) as store:
                lock = pipeline_lock(store, "p")
                assert lock.acquire(holder={"run_id": "another", "pid": os.getpid(), "host": os.uname().nodename})
                (problem,) = refused(program("cancel", "latest", "--json", cwd=tmp_path), 4)
                run_id = data_of(ledger_of(tmp_path), "run.started")[0]["run_id"]
                close_lost_run(store, run_id, say=print_nothing)
                assert data_of(ledger_of(tmp_path), "run.finished") == []
                lock.release()
        assert (
            f"pipeline p is held by run another, process {os.getpid()}, not by process {process.pid}"
            in problem["message"]
        )
        assert requests(tmp_path) == []


class TestWhichProcess:
    """Never a number alone: host, boot and start time have to agree, and the process must be within reach."""

    @pytest.fixture
    def held(self, tmp_path: Path) -> Iterator[tuple[Ledger, str]]:
        """Give the ledger and the id of a run that was lost, with its pipeline's lock held as if by its orchestrator."""
        with running(tmp_path) as process:
            process.kill()
            ended(process)
        (run,) = data_of(ledger_of(tmp_path), "run.started")
        with open_to_write(ledger_of(tmp_path)) as store:
            lock = pipeline_lock(store, "p")
            assert lock.acquire(holder={name: run[name] for name in ("run_id", "pid", "host")})
            yield store, str(run["run_id"])
            lock.release()

    @staticmethod
    def find(held: tuple[Ledger, str], monkeypatch: pytest.MonkeyPatch, process: dict[str, Any]) -> tuple[str, str]:
        """Look for the orchestrator where the run's event and its holder say *process*; return kind and message of the refusal."""
        store, run_id = held
        recorded = last_start(store.connection, run_id) | process
        holder = {"run_id": run_id, "pid": recorded["pid"], "host": recorded["host"]}
        (store.path.parent / "locks" / "p.lock").write_text(json.dumps(holder), encoding="utf-8")
        monkeypatch.setattr(cancelling, "last_start", lambda *_: recorded)
        with pytest.raises(RefusedError) as caught, orchestrator_of(store, run_id, "p"):
            pass
        (problem,) = caught.value.problems
        found: Json = problem.as_json()
        return found["kind"], found["message"]

    def test_another_machine(self, held: tuple[Ledger, str], monkeypatch: pytest.MonkeyPatch) -> None:
        """Given a run on another host of a shared file system, then it is to be cancelled there."""
        kind, message = self.find(held, monkeypatch, {"host": "elsewhere"})
        assert kind == "other_host"
        assert "on elsewhere" in message

    @pytest.mark.parametrize("wrong", [{"process_start": "1"}, {"boot_id": "another"}, {"pid": 2**22 + 1}])
    def test_number_of_another_process(
        self, held: tuple[Ledger, str], monkeypatch: pytest.MonkeyPatch, wrong: dict[str, Any]
    ) -> None:
        """Given a process that has the number but not the start time or the boot, or none at all, then it is left alone."""
        with subprocess.Popen(["sleep", "60"]) as bystander:
            try:
                own = {"pid": bystander.pid, "process_start": process_start(bystander.pid), "boot_id": boot_id()}
                kind, message = self.find(held, monkeypatch, own | wrong)
                assert kind == "not_seen"
                assert "cannot be seen from here" in message
                assert bystander.poll() is None
            finally:
                bystander.kill()

    def test_another_user(self, held: tuple[Ledger, str], monkeypatch: pytest.MonkeyPatch) -> None:
        """Given a process that this user may not signal, then that is told, and nothing is recorded."""

        def forbidden(*_: object) -> None:
            raise PermissionError(1, "Operation not permitted")

        monkeypatch.setattr(signal, "pidfd_send_signal", forbidden)
        own = {"pid": os.getpid(), "process_start": process_start(os.getpid()), "boot_id": boot_id()}
        kind, message = self.find(held, monkeypatch, own)
        assert kind == "other_user"
        assert "belongs to another user" in message

    def test_process_that_has_just_ended(self, held: tuple[Ledger, str], monkeypatch: pytest.MonkeyPatch) -> None:
        """Given a process that is gone between being found and being told, then that is no error, and a lock that another one has is left alone."""
        store, run_id = held
        gone = subprocess.Popen(["sleep", "60"])
        started_at = process_start(gone.pid)
        pidfd = os.pidfd_open(gone.pid)
        gone.kill()
        gone.wait()
        monkeypatch.setattr(os, "pidfd_open", lambda _: pidfd)
        monkeypatch.setattr(cancelling, "process_start", lambda _: started_at)
        own = {"pid": gone.pid, "process_start": started_at, "boot_id": boot_id()}
        process = last_start(store.connection, run_id) | own
        monkeypatch.setattr(cancelling, "last_start", lambda *_: process)
        holder = {"run_id": run_id, "pid": gone.pid, "host": process["host"]}
        (store.path.parent / "locks" / "p.lock").write_text(json.dumps(holder), encoding="utf-8")
        with orchestrator_of(store, run_id, "p") as target:
            assert target is not None
            assert not end_run(store, run_id, target, force=False, seconds=5, say=print_nothing)
