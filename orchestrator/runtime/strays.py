"""
What an attempt leaves behind: processes that go on when the one that was started has ended, in its group or escaped from it.

The orchestrator is a child subreaper, so that whatever loses its parent becomes its own child: also what has made a session of its own (`setsid`) or
forked twice. Such a stray belongs to the attempt in whose group it is, or whose variables are in its environment; else to the one that is
over, if it cannot be of any other that still runs, since it began before all of these. What cannot be told yet is told when those have ended.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterable, Sequence
from pathlib import Path

import attrs

from orchestrator.runtime.liveness import DEAD, process_fields, process_name, process_start
from orchestrator.runtime.ports import Launch, Survivor

_PR_SET_CHILD_SUBREAPER = 36
_CHILDREN = "/proc/self/task/{}/children"
_LOOKS = 50
_FIRST = 1


def become_subreaper() -> None:
    """
    Make this process the parent of every descendant that loses its own (Linux, `prctl(2)`).

    Raises:
        OSError: The kernel refuses.
    """
    # Here, since nothing but a run needs it.
    import ctypes

    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0):
        raise OSError(ctypes.get_errno(), "the program cannot become a child subreaper")


@attrs.frozen
class Owner:
    """
    Hold what tells the processes of an attempt from those of others.

    Attributes:
        pid: Of the process that was started, whether or not it has ended; nobody has waited for it yet.
        marks: Entries of its environment that only its own processes have.
    """

    pid: int
    marks: frozenset[bytes]

    @classmethod
    def of(cls, launch: Launch, pid: int) -> Owner:
        """Return the owner of what *launch*, started as *pid*, leaves behind."""
        names = ("ORCHESTRATE_RUN_ID", "ORCHESTRATE_STEP", "ORCHESTRATE_ATTEMPT", "ORCHESTRATE_PROBE")
        marks = (os.fsencode(f"{name}={launch.env[name]}") for name in names if name in launch.env)
        return cls(pid, frozenset(marks))


def are_all_ours() -> bool:
    """
    Return whether every orphan that is given to us from now on can only come from what we start: nobody else's descendants are ours.

    A shell that becomes the program by `exec` may have started others before, and the first process of a container gets everybody's orphans.
    """
    return os.getpid() != _FIRST and not any(True for _ in _children())


def strays_of(owner: Owner, others: Sequence[Owner], *, all_ours: bool) -> list[Survivor]:
    """
    Return what is left of the attempt of *owner*, whose process has ended, while *others* still run; strays that have ended are waited for.

    Args:
        all_ours: What `are_all_ours` said at the beginning; if not, a stray without a trace is left alone.

    Costs the reading of one small file where nothing is left.
    """
    known = {owner.pid, *(other.pid for other in others)}
    left: list[Survivor] = []
    for _ in range(_LOOKS):
        ended = False
        left.clear()
        for pid in _children():
            if pid in known:
                continue
            if _belongs(pid, owner, others, all_ours=all_ours):
                left.append(Survivor(pid, process_name(pid)))
            elif _waited_for(pid):
                ended = True
        # What one that has just ended had started became ours after the list was read.
        if not ended:
            break
    return left


def _children() -> list[int]:
    try:
        # Orphans are given to the first thread, which also starts the steps.
        descriptor = os.open(_CHILDREN.format(os.getpid()), os.O_RDONLY | os.O_CLOEXEC)
    except FileNotFoundError:
        return list(_children_by_parent())
    with os.fdopen(descriptor, "rb") as file:
        return [int(pid) for pid in file.read().split()]


def _children_by_parent() -> Iterable[int]:
    """Look at every process of the machine, where the kernel keeps no list of children."""
    for name in os.listdir("/proc"):
        if name.isdigit() and (fields := process_fields(int(name))) and int(fields[1]) == os.getpid():
            yield int(name)


def _waited_for(pid: int) -> bool:
    """Whether the child *pid* had ended; then nothing of it is left."""
    with contextlib.suppress(ChildProcessError):
        return os.waitpid(pid, os.WNOHANG)[0] == pid
    return True


def _belongs(pid: int, owner: Owner, others: Sequence[Owner], *, all_ours: bool) -> bool:
    fields = process_fields(pid)
    if not fields or fields[0] in DEAD:
        return False
    group = int(fields[2])
    if group == owner.pid:
        return True
    environment = _environment(pid)
    if owner.marks and owner.marks <= environment:
        return True
    if any(group == other.pid or (other.marks and other.marks <= environment) for other in others):
        return False
    began = _began(pid)
    return all_ours and began >= _began(owner.pid) and all(began < _began(other.pid) for other in others)


def _began(pid: int) -> int:
    return int(process_start(pid) or 0)


def _environment(pid: int) -> set[bytes]:
    try:
        return set(Path(f"/proc/{pid}/environ").read_bytes().split(b"\0"))
    except OSError:
        return set()
