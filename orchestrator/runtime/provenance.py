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
from orchestrator.core.tracing import TraceParent, chosen_propagators, parse_traceparent
from orchestrator.runtime.liveness import kernel_text

_GIT_TIMEOUT_SECONDS = 5
_PROCESS = Path("/proc/self")
_NOBODY_LOGGED_IN = str(2**32 - 1)


def current_actor(environ: Mapping[str, str], process: Path = _PROCESS) -> dict[str, object]:
    """
    Return who acts: user, login user, sudo user, host, terminal and unit, as far as they are known; all of it as claimed by the host.

    The login user is the one that the kernel's audit remembers across `su` and `sudo`, else `LOGNAME`. The unit is the service or
    session whose control group the process is in, else the invocation id that systemd gave it.
    """
    actor: dict[str, object] = {"user": _user_name(os.geteuid()), "host": host_name(), "claimed_by": "host"}
    optional = {
        "login": _login_user(process) or environ.get("LOGNAME"),
        "sudo": environ.get("SUDO_USER"),
        "terminal": _terminal(),
        "unit": _unit(process) or environ.get("INVOCATION_ID"),
    }
    actor.update({name: as_utf8(value) for name, value in optional.items() if value})
    return actor


def host_name() -> str:
    """Return the name of this machine as it can be recorded: it need not be text."""
    return as_utf8(os.uname().nodename)


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


def caller_trace(environ: Mapping[str, str]) -> TraceParent | None:
    """Return the trace context that this process was started in (W3C, in environment variables), or None; also where `OTEL_PROPAGATORS` leaves it out."""
    if "tracecontext" not in chosen_propagators(environ.get("OTEL_PROPAGATORS")):
        return None
    return parse_traceparent(environ.get("TRACEPARENT"), environ.get("TRACESTATE"))


def trigger() -> str:
    """
    Return what kind of start this is: `terminal`, `systemd` or `unattended`.

    A terminal counts first: in a desktop session every shell carries the invocation id of the session's unit.
    """
    if _terminal():
        return "terminal"
    return "systemd" if "INVOCATION_ID" in os.environ else "unattended"


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


def _login_user(process: Path) -> str | None:
    """Return who logged in to the session that *process* is in, or None where nobody did or the kernel does not tell."""
    uid = kernel_text(process / "loginuid").strip()
    if not uid.isdecimal() or uid == _NOBODY_LOGGED_IN:
        return None
    return _user_name(int(uid))


def _unit(process: Path) -> str | None:
    """Return the innermost service or session in whose control group *process* is, or None outside of any."""
    for line in kernel_text(process / "cgroup").splitlines():
        _, controllers, group = line.split(":", 2)
        if controllers in ("", "name=systemd"):
            units = (part for part in reversed(group.split("/")) if part.endswith((".service", ".scope")))
            unit = next(units, None)
            if unit is not None:
                return unit
    return None


def _terminal() -> str | None:
    for stream in (sys.stdin, sys.stderr):
        try:
            if stream is not None and stream.isatty():
                return os.ttyname(stream.fileno())
        except (OSError, ValueError):
            continue
    return None
