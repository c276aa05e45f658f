"""Who started a run, on which machine, from which commit: facts that the host claims, recorded with the run."""

from __future__ import annotations

import os
import pwd
import shutil
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

from orchestrator.core.printable import as_utf8

_GIT_TIMEOUT_SECONDS = 5


def current_actor(environ: Mapping[str, str]) -> dict[str, object]:
    """Return who acts: user, login user, sudo user, host, and terminal or unit; all of it as claimed by the host."""
    actor: dict[str, object] = {"user": _user_name(os.geteuid()), "host": os.uname().nodename, "claimed_by": "host"}
    optional = {
        "login": environ.get("LOGNAME"),
        "sudo": environ.get("SUDO_USER"),
        "terminal": _terminal(),
        "unit": environ.get("INVOCATION_ID"),
    }
    actor.update({name: as_utf8(value) for name, value in optional.items() if value})
    return actor


def git_state(folder: Path) -> dict[str, object] | None:
    """
    Return the commit that *folder* is at and whether it has changes, or None outside of a repository.

    Starts git twice inside a repository and never outside of one; gives up on a call after five seconds.
    """
    repository = next((parent for parent in (folder, *folder.parents) if (parent / ".git").exists()), None)
    git = shutil.which("git")
    if repository is None or git is None:
        return None
    commit = _git(git, folder, "rev-parse", "HEAD")
    if commit is None:
        return None
    status = _git(git, folder, "status", "--porcelain", "--untracked-files=no", "--", ".")
    return {"commit": commit, "dirty": bool(status)}


def trigger() -> str:
    """Return what kind of start this is: `terminal`, `systemd` or `unattended`."""
    if "INVOCATION_ID" in os.environ:
        return "systemd"
    return "terminal" if _terminal() else "unattended"


def _git(git: str, folder: Path, *arguments: str) -> str | None:
    try:
        done = subprocess.run(
            [git, "--no-optional-locks", "-c", "core.fsmonitor=", "-C", str(folder), *arguments],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=_GIT_TIMEOUT_SECONDS,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    return done.stdout.decode("utf-8", "replace").strip() if done.returncode == 0 else None


def _user_name(uid: int) -> str:
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return str(uid)


def _terminal() -> str | None:
    for stream in (sys.stdin, sys.stderr):
        try:
            if stream is not None and stream.isatty():
                return os.ttyname(stream.fileno())
        except (OSError, ValueError):
            continue
    return None
