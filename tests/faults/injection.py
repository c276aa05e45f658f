"""
The real program under strace, which makes one of its system calls fail, or ends the program there.

Only the orchestrator itself is traced, so that each number is one of its own calls, and the same one each time.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from tests.programs import PROGRAM

CALLS = (
    "write", "pwrite64", "fsync", "fdatasync", "ftruncate", "mkdir", "rename", "renameat", "renameat2", "link", "linkat", "unlink",
    "vfork", "clone3",
)  # fmt: skip
"""What changes the world: the disk, or which processes there are."""
_CALL = re.compile(r"^([a-z0-9]+)\(")
_SECONDS = 60


def traced(
    folder: Path, arguments: Sequence[str], *options: str, output: Path | None = None
) -> subprocess.CompletedProcess[str]:
    """Run the program with *arguments* in *folder* under strace with *options*."""
    trace = ["strace", "-qq", "-o", str(output or os.devnull), *options]
    return subprocess.run(
        [*trace, sys.executable, PROGRAM, *arguments],
        cwd=folder,
        env=os.environ | {"PYTHONDONTWRITEBYTECODE": "1"},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=_SECONDS,
        check=False,
    )


def killed_at(folder: Path, arguments: Sequence[str], call: str, number: int) -> subprocess.CompletedProcess[str]:
    """Run the program and kill it when it enters its *call* with that *number*, counted from 1."""
    return traced(folder, arguments, "-e", f"trace={call}", "-e", f"inject={call}:signal=KILL:when={number}")


def failing_at(
    folder: Path, arguments: Sequence[str], call: str, number: int, error: str, *, for_ever: bool
) -> subprocess.CompletedProcess[str]:
    """Run the program, whose *call* with that *number* fails with *error*, and each after it too where *for_ever* is set."""
    when = f"{number}+" if for_ever else str(number)
    return traced(folder, arguments, "-e", f"trace={call}", "-e", f"inject={call}:error={error}:when={when}")


def counted(folder: Path, arguments: Sequence[str], output: Path, calls: Sequence[str] = CALLS) -> Counter[str]:
    """Run the program undisturbed and return how often it makes each of *calls*."""
    done = traced(folder, arguments, "-e", f"trace={','.join(calls)}", output=output)
    assert done.returncode == 0, done.stderr
    lines = output.read_text(encoding="utf-8", errors="replace").splitlines()
    return Counter(match[1] for line in lines if (match := _CALL.match(line)))
