"""What figures depend on: the machine, without its name."""

from __future__ import annotations

import os
import platform
import sqlite3
import time
from pathlib import Path
from statistics import median


def machine_facts(folder: Path) -> dict[str, object]:
    """Return the facts of this machine, and of the disk under *folder*."""
    return {
        "cpus": len(os.sched_getaffinity(0)),
        "cpu": _cpu_model(),
        "memory_gib": round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30),
        "python": platform.python_version(),
        "sqlite": sqlite3.sqlite_version,
        "kernel": platform.release().split("-")[0],
        "filesystem": _filesystem(folder),
        "fdatasync_us": _sync_us(folder),
    }


def _cpu_model() -> str:
    lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    return next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), platform.machine())


def _filesystem(folder: Path) -> str:
    """Return the type of the file system that *folder* lies on: that of the longest mount point above it."""
    best, kind = "", "unknown"
    for line in Path("/proc/self/mounts").read_text(encoding="utf-8").splitlines():
        _, place, found, *_ = line.split()
        if folder.resolve().is_relative_to(place) and len(place) >= len(best):
            best, kind = place, found
    return kind


def _sync_us(folder: Path, times: int = 200) -> int:
    """Return the median time of writing 4 KiB at the end of a file and waiting for the disk."""
    path = folder / "sync.tmp"
    taken = []
    with path.open("wb", buffering=0) as file:
        for _ in range(times):
            before = time.perf_counter()
            file.write(b"x" * 4096)
            os.fdatasync(file.fileno())
            taken.append(time.perf_counter() - before)
    path.unlink()
    return round(median(taken) * 1e6)
