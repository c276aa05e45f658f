"""Who besides the user may read or write a file of variables: secrets in it would be theirs, and what steps are started with is theirs to choose."""

from __future__ import annotations

import os
import pwd
import shlex
import stat
from collections.abc import Iterator
from pathlib import Path

from orchestrator.core.problems import Problem

_ROOT = 0


def access_problems(path: Path, *, shown: str, secret: bool, user: int | None = None) -> Iterator[Problem]:
    """
    Yield what is wrong with owner and mode of the file at *path*; nothing where there is none.

    A file that everybody may write to is an error: whoever it is would choose what steps are started with. That its group may write, that others may
    read it, or that it belongs to another user (but for root, who can do all of that anyway), are warnings, since there may be a reason for it.

    Args:
        shown: Its name in messages.
        secret: It holds the value of a secret.
        user: Who reads it, a number; the present user by default.
    """
    try:
        status = os.stat(path)
    except (OSError, ValueError):
        return
    if not stat.S_ISREG(status.st_mode):
        return
    mode, name = stat.S_IMODE(status.st_mode), shlex.quote(shown)
    what = f"the environment file ({mode:04o})"
    if mode & stat.S_IWOTH:
        message = f"everybody on this machine may write to {what}, and so choose what steps are started with"
        yield Problem(
            "env_writable", message, file=shown, suggestion=f"chmod go-w {name}, and look at what stands in it"
        )
    elif mode & stat.S_IWGRP:
        message = f"its group may write to {what}, and so choose what steps are started with"
        yield Problem("env_writable", message, file=shown, suggestion=f"chmod g-w {name}", severity="warning")
    if secret and mode & (stat.S_IRGRP | stat.S_IROTH):
        message = f"others than its owner may read {what}, which holds a secret"
        yield Problem("env_readable", message, file=shown, suggestion=f"chmod go-rwx {name}", severity="warning")
    if status.st_uid not in (os.geteuid() if user is None else user, _ROOT):
        message = f"the environment file belongs to {_user_name(status.st_uid)}, who may change it at any time"
        yield Problem("env_owner", message, file=shown, suggestion="have a file of your own", severity="warning")


def _user_name(uid: int) -> str:
    try:
        return f"the user {pwd.getpwuid(uid).pw_name}"
    except KeyError:
        return f"the user {uid}"
