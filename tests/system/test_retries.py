"""Other attempts, deadlines and pools, as the program has them: real steps, real kills, real locks."""

from __future__ import annotations

import contextlib
import sqlite3
from pathlib import Path

import pytest

from tests.programs import (
    Json,
    data_of,
    ended,
    events_of,
    exists,
    ledger_of,
    pid_in,
    program,
    started,
    value_of,
    wait_until,
)

pytestmark = pytest.mark.system


def write(folder: Path, text: str, name: str = "p") -> Path:
    """Write a definition into *folder* and return that."""
    folder.mkdir(exist_ok=True)
    (folder / "pipeline.toml").write_text(f'[pipeline]\nname = "{name}"\n{text}', encoding="utf-8")
    return folder


def attempts(folder: Path) -> list[Json]:
    """Return how each attempt in the ledger of *folder* has ended."""
    return data_of(ledger_of(folder), "attempt.finished")


FLAKY = """\
[steps.fetch]
shell = "echo attempt $ORCHESTRATE_ATTEMPT; test -e there || exit 75; echo done"
retry = { attempts = 3, delay = "DELAY", factor = 1.0 }
[steps.load]
command = ["true"]
needs = ["fetch"]
"""


class TestRetries:
    """A step is tried again, and everything about it can be read."""

    def test_all_attempts_stay_visible(self, tmp_path: Path) -> None:
        """Given a step that succeeds at its third attempt, then each has its log, its place in `show`, and a line while it runs."""
        text = FLAKY.replace("DELAY", "10ms").replace("test -e there", "test $ORCHESTRATE_ATTEMPT = 3")
        done = program("run", cwd=write(tmp_path, text))

        assert 0 == done.returncode, done.stderr
        assert "fetch: a failure that is transient; attempt 2 follows in 10ms" in done.stdout + done.stderr
        shown = value_of(program("show", "latest", "--json", cwd=tmp_path), "show")
        fetch = shown["steps"][0]
        assert [("failed", "exit", 75), ("failed", "exit", 75), ("succeeded", None, 0)] == [
            (item["status"], item["reason"], item["exit_code"]) for item in fetch["attempts"]
        ]
        assert ["attempt 1\n", "attempt 2\n", "attempt 3\ndone\n"] == [
            (tmp_path / ".orchestrate" / item["log"]).read_text() for item in fetch["attempts"]
        ]
        assert "attempt 2" in program("show", "latest", cwd=tmp_path).stdout
        assert "it is tried again" in program("explain", "latest", "fetch", cwd=tmp_path).stdout
        assert 0 == program("audit", "verify", cwd=tmp_path).returncode

    def test_attempts_run_out(self, tmp_path: Path) -> None:
        """Given a step that never succeeds, then the run fails after as many attempts as it may have."""
        value = value_of(program("run", "--json", cwd=write(tmp_path, FLAKY.replace("DELAY", "1ms"))), "run", code=1)

        assert [("failed", "exit", "transient", 3), ("skipped", "upstream_failed", None, 0)] == [
            (step["status"], step["reason"], step["error_class"], step["attempts"]) for step in value["steps"]
        ]

    def test_killed_while_it_waits(self, tmp_path: Path) -> None:
        """Given a kill between two attempts, then the step is still waiting for those who look, and a resumed run goes on with attempt 2."""
        write(tmp_path, FLAKY.replace("DELAY", "3s"))
        with started("run", cwd=tmp_path) as process:
            wait_until(
                lambda: ledger_of(tmp_path).exists() and data_of(ledger_of(tmp_path), "retry.scheduled"), "no retry"
            )
            process.kill()
        step = value_of(program("show", "latest", "--json", cwd=tmp_path), "show")["steps"][0]
        (scheduled,) = data_of(ledger_of(tmp_path), "retry.scheduled")
        assert ("retrying", scheduled["not_before"]) == (step["status"], step["retry_at"])
        assert "tried again at" in program("show", "latest", cwd=tmp_path).stdout

        (tmp_path / "there").touch()
        value = value_of(program("resume", "latest", "--json", cwd=tmp_path), "resume")

        assert ("succeeded", 2) == (value["status"], value["steps"][0]["attempts"])
        with contextlib.closing(sqlite3.connect(ledger_of(tmp_path))) as connection:
            query = "SELECT started_at FROM attempts WHERE step = 'fetch' AND attempt = 2"
            (second,) = connection.execute(query).fetchone()
        assert second >= scheduled["not_before"]
        assert 0 == program("audit", "verify", cwd=tmp_path).returncode

    def test_51_attempt_after_one_whose_grandchild_holds_a_lock(self, tmp_path: Path) -> None:
        """Given an attempt whose time is up and whose escaped child holds a lock, then the next attempt of the run gets the lock."""
        script = (
            "test $ORCHESTRATE_ATTEMPT = 2 && exec flock --nonblock lock true; "
            "setsid flock lock sh -c 'touch held; exec sleep 60' > /dev/null 2>&1 & while ! test -e held; do :; done; sleep 60"
        )
        text = f'[steps.a]\nshell = "{script}"\ntimeout = "2s"\ngrace = "1s"\nretry = {{ attempts = 2 }}\n'
        done = program("run", "-q", cwd=write(tmp_path, text))

        assert 0 == done.returncode, done.stderr
        assert [("failed", "timeout"), ("succeeded", None)] == [
            (item["status"], item.get("reason")) for item in attempts(tmp_path)
        ]
        assert {"flock", "sleep"} <= {item["name"] for item in attempts(tmp_path)[0]["survivors"]}


class TestDeadline:
    """A run that takes too long is ended as a whole."""

    def test_what_runs_is_ended(self, tmp_path: Path) -> None:
        """Given a step that outlives the run's time, then it is ended with what it started, clean-up runs, and the run is timed out."""
        text = (
            'deadline = "500ms"\n'
            '[steps.long]\nshell = "sleep 61 & echo $! > pid.new; mv pid.new pid; sleep 61"\n'
            '[steps.after]\ncommand = ["true"]\nneeds = ["long"]\n'
            '[steps.clean]\ncommand = ["touch", "cleaned"]\nneeds = ["long"]\nwhen = "always"\n'
        )
        value = value_of(program("run", "--json", cwd=write(tmp_path, text)), "run", code=1)

        assert "timed_out" == value["status"]
        assert {
            "long": ("cancelled", "deadline"), "after": ("skipped", "run_ended"), "clean": ("succeeded", None),
        } == {step["step"]: (step["status"], step["reason"]) for step in value["steps"]}  # fmt: skip
        assert (tmp_path / "cleaned").exists()
        assert not exists(pid_in(tmp_path / "pid"))
        assert "the run's time was up" in program("show", "latest", cwd=tmp_path).stdout

    def test_clean_up_is_bounded_by_its_own_timeout(self, tmp_path: Path) -> None:
        """Given clean-up that does not end by itself, then its timeout ends it after the run's time is up."""
        text = (
            'deadline = "100ms"\n'
            '[steps.long]\ncommand = ["sleep", "61"]\n'
            '[steps.clean]\ncommand = ["sleep", "61"]\nneeds = ["long"]\nwhen = "always"\ntimeout = "200ms"\n'
        )
        value = value_of(program("run", "--json", cwd=write(tmp_path, text)), "run", code=1)

        assert "timed_out" == value["status"]
        assert {"long": ("cancelled", "deadline"), "clean": ("failed", "timeout")} == {
            step["step"]: (step["status"], step["reason"]) for step in value["steps"]
        }


POOLED = """\
[pools]
database = 1
[steps.use]
shell = "echo $$ > p; mv p pid; while ! test -e go; do sleep 0.01; done"
uses = { database = 1 }
"""


class TestPools:
    """Shares are counted over all pipelines of a ledger."""

    @staticmethod
    def starts_and_ends(ledger: Path) -> list[tuple[str, str]]:
        """Return which pipeline's attempts started and ended, in order."""
        pipelines = {
            event["data"]["run_id"]: event["data"]["pipeline"]
            for event in events_of(ledger)
            if event["type"] == "run.started"
        }
        return [
            (pipelines[event["stream"].removeprefix("run/")], event["type"])
            for event in events_of(ledger)
            if event["type"].startswith("attempt.")
        ]

    def test_two_pipelines(self, tmp_path: Path) -> None:
        """Given a pool of one and two pipelines that use it, then the second one's step starts when the first one's has ended."""
        ledger = tmp_path / "shared" / "ledger.db"
        one, other = (write(tmp_path / name, POOLED, name) for name in ("one", "other"))
        (other / "go").touch()
        with started("run", "--ledger", str(ledger), cwd=one) as first:
            pid_in(one / "pid")
            with started("run", "--ledger", str(ledger), cwd=other) as second:
                wait_until(lambda: 2 == len(data_of(ledger, "run.started")), "the second run did not start")
                wait_until(
                    lambda: _is_locked(tmp_path / "shared" / "locks" / "pools" / "database.pool"), "nobody waits"
                )
                assert [("one", "attempt.started")] == self.starts_and_ends(ledger)
                (one / "go").touch()
                assert (0, 0) == (ended(first).returncode, ended(second).returncode)

        assert [
            ("one", "attempt.started"),
            ("one", "attempt.finished"),
            ("other", "attempt.started"),
            ("other", "attempt.finished"),
        ] == self.starts_and_ends(ledger)
        assert data_of(ledger, "attempt.started")[1]["waited_us"] > 0

    def test_a_kill_leaves_nothing_to_unlock(self, tmp_path: Path) -> None:
        """Given an orchestrator that is killed while its step holds a share, then another pipeline has it at once."""
        ledger = tmp_path / "shared" / "ledger.db"
        one, other = (write(tmp_path / name, POOLED, name) for name in ("one", "other"))
        (other / "go").touch()
        with started("run", "--ledger", str(ledger), cwd=one) as first:
            pid_in(one / "pid")
            first.kill()

        try:
            assert 0 == program("run", "--ledger", str(ledger), cwd=other).returncode
        finally:
            (one / "go").touch()


def _is_locked(path: Path) -> bool:
    """Whether somebody has his turn at the pool in *path*."""
    import fcntl

    try:
        with path.open("rb") as file:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    return False


class TestAcceptedMeanwhile:
    """Who mends by hand what waits to be tried again is not overruled."""

    def test_accepted_before_the_resume(self, tmp_path: Path) -> None:
        """Given a kill between two attempts and an output that is mended and accepted, then the resumed run leaves both as they are."""
        text = (
            '[datasets.out]\npath = "out"\n[steps.s]\nshell = "echo broken > out; exit 75"\nwrites = ["out"]\n'
            'retry = { attempts = 3, delay = "1h" }\n[steps.after]\nshell = "cat out"\nreads = ["out"]\n'
        )
        write(tmp_path, text)
        with started("run", cwd=tmp_path) as process:
            ledger = ledger_of(tmp_path)
            wait_until(lambda: ledger.exists() and data_of(ledger, "retry.scheduled"), "no retry")
            process.kill()
        (tmp_path / "out").write_text("mended\n", encoding="utf-8")
        assert 0 == program("accept", "latest", "s", "--reason", "mended", cwd=tmp_path).returncode

        value = value_of(program("resume", "latest", "--json", cwd=tmp_path), "resume")

        assert {"s": "skipped", "after": "succeeded"} == {step["step"]: step["status"] for step in value["steps"]}
        assert "mended\n" == (tmp_path / "out").read_text(encoding="utf-8")
        assert 1 == len([data for data in data_of(ledger, "attempt.started") if data["step"] == "s"])

    def test_step_that_is_not_defined_any_more(self, tmp_path: Path) -> None:
        """Given a kill between two attempts and a definition without that step, then the resumed run shows it as failed, not as waiting."""
        write(tmp_path, FLAKY.replace("DELAY", "1h"))
        with started("run", cwd=tmp_path) as process:
            ledger = ledger_of(tmp_path)
            wait_until(lambda: ledger.exists() and data_of(ledger, "retry.scheduled"), "no retry")
            process.kill()
        write(tmp_path, '[steps.load]\ncommand = ["true"]\n')
        assert 0 == program("resume", "latest", "--accept-definition", cwd=tmp_path).returncode

        steps = value_of(program("show", "latest", "--json", cwd=tmp_path), "show")["steps"]

        assert {("load", "succeeded", None), ("fetch", "failed", "exit")} == {
            (step["step"], step["status"], step["reason"]) for step in steps
        }
        assert all(step["retry_at"] is None for step in steps)
