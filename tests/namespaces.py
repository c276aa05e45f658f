"""The program where it cannot see the processes of this one, as in another container."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

from tests.programs import PROGRAM, Done

_HIDDEN = ("unshare", "--map-root-user", "--pid", "--fork", "--mount-proc")


def program_elsewhere(*arguments: str, cwd: Path) -> Done:
    """Run the program with processes of its own to its end, and return what it printed; skip the test where the kernel gives none."""
    may_be = (
        shutil.which(_HIDDEN[0]) and not subprocess.run([*_HIDDEN, "true"], capture_output=True, check=False).returncode
    )
    if not may_be:
        pytest.skip(f"the kernel gives no processes of one's own ({' '.join(_HIDDEN)})")
    command = [*_HIDDEN, str(PROGRAM), *arguments]
    return subprocess.run(command, cwd=cwd, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False)
