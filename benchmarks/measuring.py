"""Run a command, take its time and its memory; run several in turn, so that what drifts on the machine drifts for all."""

from __future__ import annotations

import os
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from statistics import median

import attrs

_UNUSUAL = ("PYTHONDONTWRITEBYTECODE", "PYTHONUNBUFFERED", "PYTHONHASHSEED", "COVERAGE_PROCESS_START")
"""Variables of a developer's machine that no installed program has."""


class FailedCommandError(RuntimeError):
    """A command that should have succeeded did not."""


@attrs.frozen
class Sample:
    """
    One run of a command.

    Attributes:
        seconds: From before its start to its end, on the wall.
        cpu_seconds: Of itself and of the processes that it waited for.
        peak_kib: Largest resident size of one process of it; this program's own is the least that can be seen.
    """

    seconds: float
    cpu_seconds: float
    peak_kib: int


@attrs.frozen
class Contender:
    """
    A command to be timed.

    Attributes:
        prepare: Puts its folder into the state that each run starts from; is not timed.
    """

    name: str
    command: tuple[str, ...]
    folder: Path
    prepare: Callable[[], None] = lambda: None


def run_once(contender: Contender) -> Sample:
    """
    Prepare and run *contender* once.

    Raises:
        FailedCommandError: It exited with another status than 0.
    """
    contender.prepare()
    with (contender.folder / "output.txt").open("wb") as output:
        before = time.perf_counter()
        process = subprocess.Popen(
            contender.command,
            cwd=contender.folder,
            env={name: value for name, value in os.environ.items() if name not in _UNUSUAL},
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
        )
        _, status, usage = os.wait4(process.pid, 0)
        seconds = time.perf_counter() - before
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode != 0:
        text = (contender.folder / "output.txt").read_text(encoding="utf-8", errors="replace")
        raise FailedCommandError(f"{' '.join(contender.command)} exited {process.returncode}: {text[-500:]}")
    return Sample(seconds, usage.ru_utime + usage.ru_stime, usage.ru_maxrss)


def run_rounds(contenders: Sequence[Contender], rounds: int) -> dict[str, list[Sample]]:
    """
    Run every contender once a round; each round begins with another one.

    A run that does not count comes before: compiled files are written, and the disk's cache is warm for all.
    """
    for contender in contenders:
        run_once(contender)
    samples: dict[str, list[Sample]] = {contender.name: [] for contender in contenders}
    for number in range(rounds):
        first = number % len(contenders)
        for contender in (*contenders[first:], *contenders[:first]):
            samples[contender.name].append(run_once(contender))
    return samples


def seconds_of(samples: Sequence[Sample]) -> float:
    """Return the median of the times."""
    return median(sample.seconds for sample in samples)


def ratio_to(samples: Mapping[str, Sequence[Sample]], name: str, other: str) -> float | None:
    """Return the median over the rounds of the ratio of *name* to *other*; None where *other* was left out."""
    if other not in samples:
        return None
    pairs = zip(samples[name], samples[other], strict=True)
    return median(mine.seconds / theirs.seconds for mine, theirs in pairs)
