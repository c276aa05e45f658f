"""A disk that takes no log for a while (46 in `docs/reliability.md`): the real program, whose thread for logs is made to wait in each write."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from hashlib import sha256
from pathlib import Path

import pytest

from tests.faults.steps import attempts, log_of, verifies
from tests.programs import ended, ledger_of, started, value_of, wait_until

pytestmark = [pytest.mark.system, pytest.mark.needs("strace")]

MEBIBYTES = 64
GROWTH_KIB_MAX = 16 << 10
# Steps wait for what the test makes, so that nothing depends on how fast anything is.
DEFINITION = f"""
[pipeline]
name = "p"
max_parallel = 2
[steps.loud]
shell = "echo hello; while ! test -e go; do sleep 0.05; done; exec {sys.executable} -I -S loud.py"
[steps.gate]
shell = "while ! test -e go; do sleep 0.05; done"
[steps.slow]
shell = "exec sleep 1000"
timeout = "300ms"
needs = ["gate"]
"""
LOUD = f"import os\nfor _ in range({MEBIBYTES}):\n    os.write(1, b'x' * (1 << 20))\n"


@contextmanager
def _writes_that_wait(thread: int, seconds: int) -> Iterator[None]:
    """Make each write of *thread* take *seconds*."""
    tracer = subprocess.Popen(
        [
            "strace",
            "-p",
            str(thread),
            "-e",
            "trace=write",
            "-e",
            f"inject=write:delay_enter={seconds}s",
            "-o",
            "/dev/null",
        ],
        stderr=subprocess.PIPE,
        text=True,
    )
    assert tracer.stderr is not None
    try:
        assert "attached" in tracer.stderr.readline()
        yield
    finally:
        tracer.kill()
        tracer.communicate()


def _memory_kib(pid: int) -> int:
    text = Path(f"/proc/{pid}/status").read_text(encoding="utf-8")
    return int(text.partition("VmHWM:")[2].split()[0])


def test_46_disk_that_takes_no_log_for_a_while(tmp_path: Path) -> None:
    """Given a log whose write does not come back, then another step's time is up in time, memory stays as it is, and later all of it is kept."""
    (tmp_path / "pipeline.toml").write_text(DEFINITION, encoding="utf-8")
    (tmp_path / "loud.py").write_text(LOUD, encoding="utf-8")

    def ends() -> dict[str, str | None]:
        return {item["step"]: item.get("reason") for item in attempts(tmp_path)} if ledger_of(tmp_path).exists() else {}

    with started("run", "--json", cwd=tmp_path) as process:
        tasks = Path(f"/proc/{process.pid}/task")
        wait_until(lambda: list(tmp_path.glob(".orchestrate/logs/*/loud.1.log")), "nothing was printed")
        (thread,) = [int(task.name) for task in tasks.iterdir() if int(task.name) != process.pid]
        before = _memory_kib(process.pid)
        with _writes_that_wait(thread, 1000):
            (tmp_path / "go").touch()
            wait_until(lambda: ends() == {"gate": None, "slow": "timeout"}, "no step but the loud one has ended")
            assert _memory_kib(process.pid) - before < GROWTH_KIB_MAX
        done = ended(process)
    steps = {step["step"]: step["status"] for step in value_of(done, "run", code=1)["steps"]}
    assert steps == {"loud": "succeeded", "gate": "succeeded", "slow": "failed"}
    (loud,) = [item for item in attempts(tmp_path) if item["step"] == "loud"]
    content = log_of(tmp_path, "loud.1").read_bytes()
    assert content == b"hello\n" + b"x" * (MEBIBYTES << 20)
    assert (loud["log"]["bytes"], loud["log"]["sha256"]) == (len(content), sha256(content).hexdigest())
    assert verifies(tmp_path)
