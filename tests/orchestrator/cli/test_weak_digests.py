"""Tests of runs over datasets that are compared by their listing or by a probe."""

from __future__ import annotations

import json
import os
import signal
from pathlib import Path

import pytest

from orchestrator.runtime.liveness import DEAD, process_fields
from tests.programs import (
    Json,
    data_of,
    ended,
    ledger_of,
    no_traceback,
    program,
    refused,
    started,
    value_of,
    wait_until,
)

pytestmark = pytest.mark.system

DEFINITION = """
[pipeline]
name = "p"
[env.vars]
TOKEN = {{ required = true, secret = true }}
[datasets.db]
probe = ["sh", "-c", "{source}"]
env = ["TOKEN"]
probe_timeout = "20s"
[datasets.big]
path = "big"
digest = "listing"
[datasets.table]
probe = ["sh", "-c", "{output}"]
[steps.load]
shell = "cat db big > table"
reads = ["db", "big"]
writes = ["table"]
[steps.use]
shell = "cat table"
reads = ["table"]
"""
SECRET = "correct-horse-battery"


@pytest.fixture(name="folder")
def _folder(tmp_path: Path) -> Path:
    (tmp_path / "db").write_text("1")
    (tmp_path / "big").write_text("1")
    (tmp_path / ".env").write_text(f"TOKEN={SECRET}\n")
    define(tmp_path)
    return tmp_path


def define(folder: Path, source: str = "cat db", output: str = "cat table") -> None:
    """Write a definition whose probes are these."""
    (folder / "pipeline.toml").write_text(DEFINITION.format(source=source, output=output))


def run(folder: Path, code: int = 0) -> dict[str, tuple[str, str | None]]:
    """Run and return how each step ended."""
    value = value_of(program("run", "--json", cwd=folder), "run", code=code)
    return {step["step"]: (step["status"], step["reason"]) for step in value["steps"]}


def ends(folder: Path, step: str) -> list[Json]:
    """Return the ends of *step*, in order."""
    return [event for event in data_of(ledger_of(folder), "step.finished") if event["step"] == step]


class TestProbe:
    """A dataset that is no file is as new as its probe says."""

    def test_what_it_says_decides(self, folder: Path) -> None:
        """Given the same answer, then the step is skipped; given another one, then it runs; both say what was compared."""
        assert run(folder) == {"load": ("succeeded", None), "use": ("succeeded", None)}
        assert run(folder) == {"load": ("skipped", "no_new_data"), "use": ("skipped", "up_to_date")}
        assert ends(folder, "load")[-1]["evidence"]["strength"] == {"db": "probe", "big": "listing", "table": "probe"}
        assert (
            "(big by its names, sizes and times, db by its probe, table by its probe)"
            in program("explain", "latest", "load", cwd=folder).stdout
        )
        (folder / "db").write_text("2")
        planned = value_of(program("plan", "--json", cwd=folder), "plan")["steps"][0]
        assert (planned["reason"], planned["evidence"]["strength"]) == ("input_changed", "probe")
        assert run(folder)["load"] == ("succeeded", None)
        started = data_of(ledger_of(folder), "attempt.started")[-2]
        evidence = started["evidence"]
        assert (evidence["component"], evidence["strength"]) == ("input:db", "probe")
        assert not evidence.keys() & {"added", "changed", "removed"}
        assert "input db changed, by its probe" in program("explain", "latest", "load", cwd=folder).stdout
        assert value_of(program("audit", "verify", "--json", cwd=folder), "audit-verify")["ok"]

    def test_answer_is_not_kept(self, folder: Path) -> None:
        """Given a probe that prints a secret, then neither that nor its digest's origin is anywhere in the ledger."""
        define(folder, source="echo $TOKEN")
        run(folder)
        content = b"".join(path.read_bytes() for path in folder.glob(".orchestrate/**/*") if path.is_file())
        assert SECRET.encode() not in content

    def test_source_that_does_not_answer(self, folder: Path) -> None:
        """Given a failing probe of a source, then the run is refused, nothing is started, and the last line is told without secrets."""
        define(folder, source="echo no access with $TOKEN; exit 3")
        validated = program("validate", cwd=folder)
        assert validated.returncode == 2
        assert "its probe failed" in validated.stdout + validated.stderr
        for command in ("plan", "run"):
            (problem,) = refused(program(command, "--json", cwd=folder))
            assert problem["kind"] == "probe_failed"
            assert problem["path"] == ["datasets", "db", "probe"]
            assert problem["message"].startswith("source db: its probe failed: exit code 3")
        assert data_of(ledger_of(folder), "attempt.started") == []
        assert SECRET not in json.dumps(data_of(ledger_of(folder), "run.refused"))

    def test_source_that_hangs(self, folder: Path) -> None:
        """Given a probe without end, then it ends with its timeout, and the run is refused."""
        text = (folder / "pipeline.toml").read_text()
        (folder / "pipeline.toml").write_text(text.replace("cat db", "sleep 60").replace('"20s"', '"200ms"'))
        (problem,) = refused(program("run", "--json", cwd=folder))
        assert problem["message"] == "source db: its probe failed: its time was up (200ms)"

    def test_nothing_is_asked_where_the_environment_is_wrong(self, folder: Path) -> None:
        """Given a variable that lacks, then the probe that needs it is not started, and that alone is told."""
        define(folder, source="touch asked")
        (folder / ".env").unlink()
        (problem,) = refused(program("run", "--json", cwd=folder))
        assert problem["kind"] == "missing_variable"
        assert not (folder / "asked").exists()

    def test_output_that_does_not_answer(self, folder: Path) -> None:
        """Given a probe of an output that fails before and after its step, then the step runs, and fails as `missing_output`."""
        define(folder, output="echo no table; exit 1")
        assert run(folder, code=1) == {"load": ("failed", "missing_output"), "use": ("skipped", "upstream_failed")}
        (attempt,) = data_of(ledger_of(folder), "attempt.finished")
        expected = "it ended well, but table does not exist (its probe failed: exit code 1)"
        assert attempt["message"] == expected

    def test_output_that_says_nothing(self, folder: Path) -> None:
        """Given a probe that prints nothing, then its dataset is empty."""
        define(folder, output="true")
        assert run(folder, code=1)["load"] == ("failed", "missing_output")
        assert "table is empty" in data_of(ledger_of(folder), "attempt.finished")[0]["message"]

    def test_accept(self, folder: Path) -> None:
        """Given an output that was mended by hand, then accepting it asks its probe."""
        run(folder)
        (folder / "table").write_text("by hand")
        done = program("accept", "latest", "load", "--reason", "mended", "--json", cwd=folder)
        assert value_of(done, "accept")["outputs"].keys() == {"table"}
        assert run(folder)["load"] == ("skipped", "no_new_data")
        (folder / "table").unlink()
        (problem,) = refused(program("accept", "latest", "load", "--reason", "x", "--json", cwd=folder))
        assert "table (its probe failed: exit code 1" in problem["message"]

    def test_step_beside_a_slow_probe(self, folder: Path) -> None:
        """Given a probe that waits, then a step that needs nothing of it starts, ends and is recorded meanwhile."""
        gate = "if test -e asked; then while ! test -e other; do sleep 0.02; done; fi; touch asked; cat db"
        define(folder, source=gate)
        with (folder / "pipeline.toml").open("a") as file:
            file.write('[steps.other]\nshell = "touch other"\n')
        assert run(folder)["other"] == ("succeeded", None)
        order = [event["step"] for event in data_of(ledger_of(folder), "attempt.started")]
        assert order[0] == "other"

    @pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
    def test_ended_while_a_probe_runs(self, folder: Path, number: int) -> None:
        """Given a run that is told to end, or killed, while a probe runs, then at the latest the next start ends that."""
        gate = "if test -e asked; then echo $$ > p; mv p pid; exec sleep 60; fi; touch asked; cat db"
        define(folder, source=gate)
        with started("run", "-q", cwd=folder) as process:
            wait_until((folder / "pid").exists, "the probe")
            os.kill(process.pid, number)
            done = ended(process)
        no_traceback(done)
        if number == signal.SIGKILL:
            define(folder)
            run(folder)
        pid = int((folder / "pid").read_text())
        wait_until(lambda: not (fields := process_fields(pid)) or fields[0] in DEAD, "the end of the probe")


class TestListing:
    """A dataset that is too big to hash is compared by names, sizes and times."""

    def test_times_decide(self, folder: Path) -> None:
        """Given the same bytes with another time, then it counts as new, and the evidence says by what."""
        run(folder)
        os.utime(folder / "big", ns=(1, 1))
        assert run(folder)["load"] == ("succeeded", None)
        evidence = [event for event in data_of(ledger_of(folder), "attempt.started") if event["step"] == "load"][-1][
            "evidence"
        ]
        assert (evidence["component"], evidence["strength"]) == ("input:big", "listing")

    def test_same_size_and_time(self, folder: Path) -> None:
        """Given other bytes with the same size and time, then they are not seen: that is what the word promises."""
        os.utime(folder / "big", ns=(1, 1))
        run(folder)
        (folder / "big").write_text("2")
        os.utime(folder / "big", ns=(1, 1))
        assert run(folder)["load"] == ("skipped", "no_new_data")
