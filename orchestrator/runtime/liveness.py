"""Which process is which: enough to tell a living orchestrator from a later process with the same number."""

from __future__ import annotations

import select
from pathlib import Path

DEAD = "ZX"
"""States of a process that has ended."""


def boot_id() -> str:
    """Return the identity of this boot of the machine; empty where the kernel does not give one."""
    return kernel_text(Path("/proc/sys/kernel/random/boot_id")).strip()


def process_start(pid: int) -> str | None:
    """
    Return the start time of the process *pid* in clock ticks since boot, or None where there is no such process.

    Together with the boot id it tells a process from a later one with the same number.
    """
    fields = process_fields(pid)
    return fields[19] if fields else None


def is_alive(*, pid: int, start: str, boot: str) -> bool:
    """Whether the process that had *pid* since *start* in the boot *boot* of this machine still runs; one that has only not been waited for does not."""
    fields = process_fields(pid)
    return boot == boot_id() and bool(fields) and fields[19] == start and fields[0] not in DEAD


def has_ended(pidfd: int, seconds: float = 0) -> bool:
    """Whether the process of the descriptor *pidfd* has ended, or does so within *seconds*; whether anybody has waited for it plays no part."""
    waiting = select.poll()  # `select.select` takes no number above 1023.
    waiting.register(pidfd, select.POLLIN)
    return bool(waiting.poll(seconds * 1000))


def process_fields(pid: int) -> list[str]:
    """Return the state, the parent, the group and what else `/proc` says of the process *pid*, see proc(5); nothing where it is gone."""
    text = kernel_text(Path(f"/proc/{pid}/stat"))
    # The second field is the command's name in brackets and may itself hold brackets and blanks.
    return text.rpartition(")")[2].split()


def process_name(pid: int) -> str:
    """Return the name of the process *pid* as the kernel keeps it; empty where it is gone."""
    # It may be cut within a character.
    return (
        kernel_text(Path(f"/proc/{pid}/comm"))
        .rstrip("\n")
        .encode("utf-8", "surrogateescape")
        .decode("utf-8", "replace")
    )


def kernel_text(path: Path) -> str:
    """Return what the kernel says in the file *path*, such as one of a process, with names of files as Python has them; empty where it says nothing."""
    try:
        return path.read_text(encoding="utf-8", errors="surrogateescape")
    except OSError:
        return ""
