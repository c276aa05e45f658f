"""What the place of a ledger may do to it: a file system that does not suit, and a reader that keeps its log from being folded back."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from pathlib import Path

from orchestrator.core.printable import printable
from orchestrator.core.problems import Problem
from orchestrator.runtime.liveness import kernel_text, process_name
from orchestrator.runtime.room import existing, is_large_log, shown_bytes

SHARED = frozenset(
    [
        "9p",
        "afs",
        "beegfs",
        "ceph",
        "cifs",
        "drvfs",
        "fuse.sshfs",
        "glusterfs",
        "lustre",
        "ncpfs",
        "nfs",
        "nfs4",
        "prl_fs",
        "smb3",
        "smbfs",
        "vboxsf",
        "virtiofs",
    ]
)
_WITHOUT_OWNERS = frozenset({"exfat", "fuseblk", "msdos", "ntfs", "ntfs3", "vfat"})
_LOST_AT_REBOOT = frozenset({"ramfs", "tmpfs"})
_MOUNTS = Path("/proc/self/mountinfo")
_LOCKS = Path("/proc/locks")
_LOCK = re.compile(r"\d+: POSIX +\w+ +READ +(-?\d+) ([0-9a-f]+):([0-9a-f]+):(\d+) (\d+) \d+")
_READ_MARKS = range(123, 128)
"""Bytes of the log's index that a reader holds locked: which moment of the ledger it sees."""


def file_system_of(folder: Path, mounts: str | None = None) -> str | None:
    """Return the kind of the file system that *folder* lies on, or None where the system does not tell."""
    return file_system(folder.resolve(), kernel_text(_MOUNTS) if mounts is None else mounts)


def file_system_problems(folder: Path, kind: str | None) -> Iterator[Problem]:
    """Yield a warning where the file system of *folder* is of a *kind* that does not suit a ledger."""
    if kind in SHARED:
        what = "a write-ahead log needs memory and locks that all of its users share, on one host"
    elif kind in _WITHOUT_OWNERS:
        what = "it keeps no modes, so that everybody may read the logs"
    elif kind in _LOST_AT_REBOOT:
        what = "it is lost when the machine goes down"
    else:
        return
    hint = "keep the ledger on a local disk, such as ext4, XFS or Btrfs, with --ledger or ORCHESTRATE_LEDGER"
    yield Problem("file_system", f"{folder} lies on {kind}: {what}", suggestion=hint, severity="warning")


def check_place(ledger: Path) -> list[Problem]:
    """Return the warning that a run gives where *ledger* lies, or will lie, on a file system that may damage it or show it to others."""
    try:
        folder = existing(ledger.parent)
        kind = file_system_of(folder)
    except OSError:
        return []  # Whoever opens the ledger says what is wrong with the place.
    # What is lost at a reboot was put there for that.
    return [] if kind in _LOST_AT_REBOOT else list(file_system_problems(folder, kind))


def file_system(folder: Path, mounts: str) -> str | None:
    """
    Return the kind of the file system that *folder*, a resolved path, lies on, or None where *mounts* do not tell.

    Args:
        mounts: Text of the form of `/proc/self/mountinfo`.
    """
    best, kind = -1, None
    for line in mounts.splitlines():
        before, _, after = line.partition(" - ")
        fields = before.split()
        if len(fields) < 5 or not after:  # noqa: PLR2004 - the fifth is the mount point
            continue
        point = Path(re.sub(r"\\([0-7]{3})", lambda match: chr(int(match[1], 8)), fields[4]))
        # Of two on one another the later one is seen.
        if folder.is_relative_to(point) and len(point.parts) >= best:
            best, kind = len(point.parts), after.split()[0]
    return kind


def held_log(ledger: Path) -> Problem | None:
    """Return a warning where the log beside *ledger* has grown far beyond what is normal and somebody reads it: until that ends it only grows."""
    if not is_large_log(ledger):
        return None
    try:
        readers = list(_readers(os.stat(f"{ledger}-shm")))
        size = shown_bytes(os.stat(f"{ledger}-wal").st_size)
    except OSError:
        return None
    if not readers:
        return None
    who = ", ".join(
        f"process {pid} ({process_name(pid) or 'gone by now'})"
        if pid > 0
        else "a process that cannot be seen from here"
        for pid in readers
    )
    message = f"the log {ledger.name}-wal has grown to {size}: {who} holds on to an earlier moment of the ledger"
    hint = "end that process: the log is folded back into the file by the next run"
    return Problem("log_held", printable(message), suggestion=hint, severity="warning")


def _readers(index: os.stat_result) -> Iterator[int]:
    found = set()
    for line in kernel_text(_LOCKS).splitlines():
        match = _LOCK.match(line)
        if match is None:
            continue
        place = (int(match[2], 16), int(match[3], 16), int(match[4]))
        is_it = place == (os.major(index.st_dev), os.minor(index.st_dev), index.st_ino) and int(match[5]) in _READ_MARKS
        if is_it and int(match[1]) != os.getpid():
            found.add(int(match[1]))
    yield from sorted(found)
