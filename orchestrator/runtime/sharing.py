"""
A ledger that a group may read: `[access] group`.

That a ledger is shared is a property of its folder (mode 2750 and the group), which what is made in it inherits, see `ledger.folders`; so whoever writes
there needs no definition. Locks, caches and exchange files stay the owner's, and so do logs of personal data.
"""

from __future__ import annotations

import grp
import os
import shlex
import stat
from pathlib import Path

from ledger.folders import SHARED_FILE, SHARED_FOLDER
from orchestrator.core.definition import Pipeline
from orchestrator.core.problems import Problem

_FOLDERS = ("logs", "reports", "checkpoints", "checkpoints/*")
_FILES = ("", "-wal", "-shm")
_OWN = (0o700, 0o750, 0o2700, SHARED_FOLDER)
"""Modes of a folder that is the ledger's own, to be shared: another one was given for a purpose that is not known here."""


def check_group(pipeline: Pipeline) -> list[Problem]:
    """Return what keeps this user from sharing the ledger with the group that *pipeline* names; none where it names none."""
    name = pipeline.access_group
    if name is None:
        return []
    path = ("access", "group")
    try:
        group = grp.getgrnam(name).gr_gid
    except KeyError:
        message = f"access.group is {name}, which this machine does not know"
        return [Problem("unknown_group", message, path, suggestion=f"groupadd {name}, or name another one")]
    if os.geteuid() == 0 or group in {os.getegid(), *os.getgroups()}:
        return []
    message = f"access.group is {name}, and this user is not in that group: nothing can be given to it"
    return [Problem("not_in_group", message, path, suggestion=f"have root add the user with: gpasswd -a USER {name}")]


def share_ledger(ledger: Path, pipeline: Pipeline) -> list[Problem]:
    """
    Let the group that *pipeline* names read the ledger, and what is made beside it from now on; return what is in the way, besides what `check_group` says.

    What lies there stays as it is, but for the ledger itself and the folders.

    Raises:
        OSError: It cannot be done.
    """
    if pipeline.access_group is None or check_group(pipeline):
        return []
    folder = ledger.parent
    mode = stat.S_IMODE(folder.stat().st_mode)
    if mode not in _OWN:
        message = (
            f"{folder} has the mode {mode:04o}: a folder that is shared with access.group has to be the ledger's own"
        )
        hint = f"chmod 2750 {shlex.quote(str(folder))}, or keep the ledger in another one with --ledger"
        return [Problem("shared_folder", message, ("access", "group"), suggestion=hint)]
    gid = grp.getgrnam(pipeline.access_group).gr_gid
    for place in (folder, *(found for name in _FOLDERS for found in sorted(folder.glob(name)))):
        if place.is_dir() and not place.is_symlink():
            _set(place, gid, SHARED_FOLDER)
    for side in _FILES:
        place = ledger.with_name(ledger.name + side)
        if place.is_file():
            _set(place, gid, SHARED_FILE)
    return []


def _set(place: Path, gid: int, mode: int) -> None:
    status = place.stat()
    if status.st_gid != gid:
        os.chown(place, -1, gid)
    if status.st_gid != gid or status.st_mode & 0o7777 != mode:
        place.chmod(mode)
