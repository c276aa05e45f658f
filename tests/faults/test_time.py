"""Scenarios 92 to 103: several at once, and clocks, hosts, boots and surroundings that are not what they were."""

from __future__ import annotations

import contextlib
import json
import os
import re
import shutil
import socket
import sqlite3
import subprocess
import sys
from collections.abc import Mapping
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest

from tests.faults.clock import CLOCK, JUMPS
from tests.faults.oracle import broken_promises
from tests.programs import (
    AT,
    PROGRAM,
    Done,
    data_of,
    ended,
    events_of,
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

WAITING = "echo $$ > p; mv p pid; while [ ! -e go ]; do sleep 0.02; done"


def define(folder: Path, shell: str, **keys: str) -> Path:
    """Write a definition of one step."""
    folder.mkdir(exist_ok=True)
    more = "".join(f"{key} = {value}\n" for key, value in keys.items())
    (folder / "pipeline.toml").write_text(
        f"[pipeline]\nname = \"p\"\n[steps.a]\nshell = '''{shell}'''\n{more}", encoding="utf-8"
    )
    return folder


def wrapped(command: list[str], *arguments: str, cwd: Path, env: Mapping[str, str] | None = None) -> Done:
    """Run the program with *arguments* by way of *command*."""
    return subprocess.run(
        [*command, *arguments],
        cwd=cwd,
        env=dict(os.environ) if env is None else dict(env),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        errors="replace",
        timeout=60,
        check=False,
    )


class TestManyStarts:
    """92 to 95: the same pipeline, started by several at once."""

    @pytest.mark.slow
    def test_92_twenty_at_once(self, tmp_path: Path) -> None:
        """Given twenty starts at the same moment, before there is a ledger, then one runs, and nineteen say who does and are recorded."""
        define(tmp_path, f"echo ran >> done; {WAITING}")
        with contextlib.ExitStack() as stack:
            processes = [stack.enter_context(started("run", "--json", cwd=tmp_path)) for _ in range(20)]
            wait_until(
                lambda: sum(process.poll() is not None for process in processes) >= 19,
                "not nineteen have ended",
                seconds=120,
            )
            (tmp_path / "go").touch()
            ends = [ended(process) for process in processes]
        assert sorted(done.returncode for done in ends) == [0] + [4] * 19
        assert (tmp_path / "done").read_text(encoding="utf-8") == "ran\n"
        assert len(data_of(ledger_of(tmp_path), "run.started")) == 1
        refused = data_of(ledger_of(tmp_path), "run.refused")
        assert len(refused) == 19
        assert all("pipeline p is active: run " in data["problems"][0]["message"] for data in refused)
        assert broken_promises(tmp_path, finished=False) == []

    @pytest.mark.slow
    def test_95_two_resumes_at_once(self, tmp_path: Path) -> None:
        """Given a failed run, when two resume it, then one goes on and the other is told; the step runs once more."""
        define(tmp_path, "exit 3")
        assert program("run", "-q", cwd=tmp_path).returncode == 1
        define(tmp_path, f"echo ran >> done; {WAITING}")
        words = ("resume", "latest", "--json", "--accept-definition")
        with started(*words, cwd=tmp_path) as one, started(*words, cwd=tmp_path) as other:
            wait_until(lambda: one.poll() is not None or other.poll() is not None, "both go on")
            (tmp_path / "go").touch()
            ends = [ended(one), ended(other)]
        assert sorted(done.returncode for done in ends) == [0, 4]
        assert (tmp_path / "done").read_text(encoding="utf-8") == "ran\n"

    @pytest.mark.slow
    def test_95_readers_while_a_run_is_on(self, tmp_path: Path) -> None:
        """Given a run of many steps, when it is looked at all the time, then each look succeeds, and so does the run."""
        steps = "".join(f"[steps.s{number}]\nshell = 'echo {number}'\n" for number in range(400))
        (tmp_path / "pipeline.toml").write_text(f'[pipeline]\nname = "p"\n{steps}', encoding="utf-8")
        looks = 0
        with started("run", "-q", cwd=tmp_path) as process:
            wait_until(ledger_of(tmp_path).exists, "no ledger")
            while process.poll() is None or looks < 4:
                for words in (("status", "--json"), ("runs", "--json"), ("audit", "verify", "--json")):
                    done = program(*words, cwd=tmp_path)
                    assert done.returncode == 0, (words, done.stdout, done.stderr)
                    looks += 1
            assert ended(process).returncode == 0
        assert broken_promises(tmp_path, finished=False) == []

    def test_94_lock_file_deleted_while_held(self, tmp_path: Path) -> None:
        """Given the lock's file deleted under a run that is on, then no second run starts beside it."""
        define(tmp_path, WAITING)
        with started("run", "-q", cwd=tmp_path, env={"TMPDIR": str(tmp_path)}) as first:
            pid_in(tmp_path / "pid")
            (tmp_path / ".orchestrate" / "locks" / "p.lock").unlink()
            with started("run", "-q", cwd=tmp_path) as second:
                wait_until(
                    lambda: second.poll() is not None or len(data_of(ledger_of(tmp_path), "run.started")) == 2,
                    "it neither starts nor ends",
                )
                (tmp_path / "go").touch()
                assert (ended(second).returncode, ended(first).returncode) == (4, 0)

    def test_94_lock_file_that_is_left(self, tmp_path: Path) -> None:
        """Given the file of a lock whose holder was killed, and whose note names a process that lives, then it stops nobody."""
        define(tmp_path, "echo ran >> done")
        assert program("run", "-q", cwd=tmp_path).returncode == 0
        note = {"run_id": "20260101T000000Z-000000000", "pid": os.getpid(), "host": socket.gethostname()}
        (tmp_path / ".orchestrate" / "locks" / "p.lock").write_text(json.dumps(note), encoding="utf-8")
        done = program("run", "-q", cwd=tmp_path)
        assert (done.returncode, done.stderr) == (0, "")


class TestClock:
    """97: the wall clock jumps while a step runs."""

    @pytest.mark.parametrize("jump", JUMPS)
    def test_97_wall_clock_jumps(self, tmp_path: Path, jump: str) -> None:
        """Given a jump during a step, then durations are as they were, order is by number, no time is negative, and the ledger verifies."""
        define(tmp_path, f"echo {JUMPS[jump]} > c; mv c clock", timeout='"30s"')
        launcher = [sys.executable, "-c", CLOCK]
        assert wrapped(launcher, "run", "-q", cwd=tmp_path).returncode == 0
        (finished,) = data_of(ledger_of(tmp_path), "run.finished")
        assert 0 <= finished["duration_us"] < 60_000_000
        done = wrapped(launcher, "runs", "--json", cwd=tmp_path)
        (row,) = value_of(done, "runs")
        assert 0 <= row["duration_seconds"] < 60
        for words in (("status",), ("show", "latest")):
            done = wrapped(launcher, *words, cwd=tmp_path)
            assert done.returncode == 0, done.stderr
            assert not re.search(r"(?<![0-9T])-[0-9.]+ ?(s|ms|m|h)\b", done.stdout), done.stdout
        # Whoever verifies has to be past the times that were recorded: a clock that is behind them calls them post-dated.
        (tmp_path / "clock").write_text(str(max(0, JUMPS[jump])), encoding="ascii")
        done = wrapped(launcher, "audit", "verify", "--json", cwd=tmp_path)
        assert value_of(done, "audit-verify")["problems"] == []
        set_back = [event for event in events_of(ledger_of(tmp_path)) if event["type"] == "ledger.clock_set_back"]
        assert len(set_back) == (1 if JUMPS[jump] < 0 else 0)


NIGHTS = {
    "2026-03-28T22:59:00Z": "2026-03-28",
    "2026-03-28T23:00:00Z": "2026-03-29",
    "2026-03-29T00:59:00Z": "2026-03-29",
    "2026-03-29T01:00:01Z": "2026-03-29",
    "2026-03-29T22:00:00Z": "2026-03-30",
    "2026-10-25T00:30:00Z": "2026-10-25",
    "2026-10-25T01:30:00Z": "2026-10-25",
    "2026-10-25T22:59:00Z": "2026-10-25",
    "2026-10-25T23:00:00Z": "2026-10-26",
}
"""Moments around the two changes of the clock in Berlin, and the nights that they belong to."""


class TestSummerTime:
    """99: the nights in which the clock is changed."""

    @pytest.mark.slow
    def test_99_nights_in_which_the_clock_is_changed(self, tmp_path: Path) -> None:
        """Given starts around both changes, in a zone, also when TZ says another, then each night is done once, and times are UTC."""
        text = '[pipeline]\nname = "p"\n[schedule]\ntimezone = "Europe/Berlin"\n'
        (tmp_path / "pipeline.toml").write_text(
            f'{text}[datasets.raw]\npath = "raw"\n[steps.a]\nshell = "echo $ORCHESTRATE_NIGHT >> done"\nreads = ["raw"]\nper_night = true\n',
            encoding="utf-8",
        )
        (tmp_path / "raw").mkdir()
        for number, moment in enumerate(NIGHTS):
            seconds = str(int(datetime.fromisoformat(moment).timestamp()))
            env = os.environ | {"AT": seconds, "TZ": ("UTC", "America/New_York", "Pacific/Auckland")[number % 3]}
            done = wrapped([sys.executable, "-c", AT], "run", "-q", cwd=tmp_path, env=env)
            assert done.returncode == 0, done.stderr
        assert [data["night"] for data in data_of(ledger_of(tmp_path), "run.started")] == list(NIGHTS.values())
        assert (tmp_path / "done").read_text(encoding="utf-8").split() == sorted(set(NIGHTS.values()))
        with contextlib.closing(sqlite3.connect(ledger_of(tmp_path))) as connection:
            times = [time for (time,) in connection.execute("SELECT started_at FROM runs ORDER BY started_at")]
        assert [time[:16] for time in times] == [moment[:16] for moment in NIGHTS]
        assert program("audit", "verify", cwd=tmp_path).returncode == 0


def in_namespace(*options: str, first: str) -> list[str]:
    """Return the command that runs the program in a namespace of its own, after *first*; skip where that may not be."""
    command = ["unshare", *options, "sh", "-c", f'{first} && exec "$@"', "sh"]
    if (
        os.geteuid() != 0
        or shutil.which("unshare") is None
        or subprocess.run([*command[:-2], "true", "sh"], check=False, capture_output=True).returncode
    ):
        pytest.skip("the kernel gives no namespace of one's own")
    return [*command, str(PROGRAM)]


class TestBoot:
    """100: the machine was started anew while a run was on."""

    def test_100_other_boot(self, tmp_path: Path) -> None:
        """Given a run of a former boot, then it is interrupted, its step is lost and runs again, and no process is ended for its number."""
        define(tmp_path, f"echo ran >> done; {WAITING}")
        (tmp_path / "boot_id").write_text("11111111-2222-3333-4444-555555555555\n", encoding="ascii")
        command = in_namespace("--mount", first="mount --bind boot_id /proc/sys/kernel/random/boot_id")
        with started("run", "-q", cwd=tmp_path) as process:
            step = pid_in(tmp_path / "pid")
            process.kill()
            ended(process)
        try:
            (tmp_path / "go").touch()
            wait_until(lambda: not exists(step), "the step goes on")
            done = wrapped(command, "run", "-q", cwd=tmp_path)
            assert done.returncode == 0, done.stderr
        finally:
            kill(step)
        assert [data["status"] for data in data_of(ledger_of(tmp_path), "run.finished")] == ["interrupted", "succeeded"]
        first, second = data_of(ledger_of(tmp_path), "run.started")
        assert first["boot_id"] != second["boot_id"] == "11111111-2222-3333-4444-555555555555"
        assert (tmp_path / "done").read_text(encoding="utf-8") == "ran\nran\n"
        assert broken_promises(tmp_path, finished=False) == []


NAMED = "import os, socket, sys; socket.sethostname(os.fsencode(sys.argv[1])); os.execv(sys.argv[2], sys.argv[2:])"


class TestHost:
    """101: names that a host may have."""

    @pytest.mark.parametrize("name", ["", "h" * 64, "\x1b[31mred", "-rf"], ids=["empty", "long", "escape", "option"])
    def test_101_host_name(self, tmp_path: Path, name: str) -> None:
        """Given such a name, then it is recorded as it is, the second host is told, and what is shown is written out."""
        define(tmp_path, "true")
        in_namespace("--uts", first=":")
        assert program("run", "-q", cwd=tmp_path).returncode == 0
        command = ["unshare", "--uts", sys.executable, "-c", NAMED, name, str(PROGRAM)]
        done = wrapped(command, "run", "-q", cwd=tmp_path)
        assert done.returncode == 0, done.stderr
        assert f"last ran on host {socket.gethostname()}, now on" in done.stderr
        assert [data["host"] for data in data_of(ledger_of(tmp_path), "run.started")] == [socket.gethostname(), name]
        assert "\x1b" not in program("changes", cwd=tmp_path).stdout
        assert program("audit", "verify", cwd=tmp_path).returncode == 0

    @pytest.mark.parametrize("name", [os.fsdecode(b"caf\xe9"), "\x1b[31mred"], ids=["bytes", "escape"])
    def test_101_host_name_written_out(self, tmp_path: Path, name: str) -> None:
        """Given a name that is no text or a control sequence, then the run goes on, and the warning writes it out."""
        define(tmp_path, "true")
        in_namespace("--uts", first=":")
        assert program("run", "-q", cwd=tmp_path).returncode == 0
        command = ["unshare", "--uts", sys.executable, "-c", NAMED, name, str(PROGRAM)]
        done = wrapped(command, "run", "-q", cwd=tmp_path)
        assert done.returncode == 0, done.stderr
        assert "\x1b" not in done.stderr


TURKISH = "I\u0131\u0130i"
"""Letters that change their case in another way there."""
SURROUNDINGS: dict[str, dict[str, str]] = {
    "C": {"LC_ALL": "C"},
    "POSIX": {"LC_ALL": "POSIX", "LANG": "POSIX"},
    "Turkish": {"LC_ALL": "tr_TR.UTF-8", "LANG": "tr_TR.UTF-8"},
    "dumb terminal": {"TERM": "dumb", "COLUMNS": "junk"},
    "nothing": {},
}


class TestSurroundings:
    """102: the environment that cron gives, or less."""

    @pytest.mark.parametrize("case", SURROUNDINGS)
    def test_102_surroundings(self, tmp_path: Path, case: str) -> None:
        """Given another locale, terminal, no HOME or no PATH, then ledger and logs hold the same bytes."""
        texts = f"/usr/bin/printf '{TURKISH} \\303\\251 \\377 \\360\\237\\231\\202'; exit 3"
        found = []
        for folder, env in ((tmp_path / "usual", dict(os.environ)), (tmp_path / "other", SURROUNDINGS[case])):
            define(folder, texts)
            done = wrapped([str(PROGRAM)], "run", "--reason", TURKISH, cwd=folder, env=env)
            assert done.returncode == 1, done.stderr
            no_traceback(done)
            (log,) = (folder / ".orchestrate" / "logs").rglob("*.log")
            found.append((log.read_bytes(), [lasting(event) for event in events_of(ledger_of(folder))]))
        assert found[0] == found[1]


def lasting(event: dict[str, Any]) -> tuple[str, dict[str, Any]]:
    """Return what of an event does not depend on when, where and by whom."""
    kept = (
        "reason",
        "step",
        "status",
        "exit_code",
        "log_bytes",
        "log_sha256",
        "error_class",
        "message",
        "definition",
        "graph",
        "key",
        "night",
        "pipeline",
    )
    return event["type"], {name: event["data"][name] for name in kept if name in event["data"]}
