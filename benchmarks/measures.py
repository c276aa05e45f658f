"""What is measured, one function each; each returns plain values that can be printed and written as JSON."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from benchmarks.contenders import OWN, PROGRAM, available, write_pipeline
from benchmarks.measuring import Contender, Sample, ratio_to, run_once, run_rounds, seconds_of
from benchmarks.shapes import SHAPES, layered

BARE = "python -c pass"


def steps(folder: Path, *, shape: str, count: int, rounds: int) -> dict[str, object]:
    """Run *count* steps of one *shape* with every contender, in turn."""
    graph = SHAPES[shape](count)
    contenders = [make(_fresh(folder / shape / name), graph) for name, make in available().items()]
    samples = run_rounds(contenders, rounds)
    return {
        "steps": count,
        "rounds": rounds,
        "seconds": {name: round(seconds_of(taken), 4) for name, taken in samples.items()},
        "cpu_seconds": {name: round(_cpu(taken), 4) for name, taken in samples.items()},
        "ratio_to": {other: _rounded(ratio_to(samples, OWN, other)) for other in samples if other != OWN},
        "peak_mib": _peak_mib(samples[OWN]),
    }


def startup(folder: Path, *, rounds: int) -> dict[str, object]:
    """Start `status`, `--help`, `--version` and a run of one step beside a bare interpreter, in turn."""
    place = _fresh(folder / "startup")
    write_pipeline(place, {"only": ()})
    run_once(Contender("run", (PROGRAM, "run"), place))
    commands: Mapping[str, tuple[str, ...]] = {
        BARE: (sys.executable, "-c", "pass"),
        "status": (PROGRAM, "status"),
        "--help": (PROGRAM, "--help"),
        "--version": (PROGRAM, "--version"),
        "run of one step": (PROGRAM, "run", "--force"),
    }
    samples = run_rounds([Contender(name, command, place) for name, command in commands.items()], rounds)
    return {
        "rounds": rounds,
        "milliseconds": {name: round(seconds_of(taken) * 1000, 1) for name, taken in samples.items()},
        "ratio_to_bare": {name: _rounded(ratio_to(samples, name, BARE)) for name in samples if name != BARE},
    }


def validation(folder: Path, *, count: int, rounds: int) -> dict[str, object]:
    """Validate a layered definition of *count* steps."""
    place = _fresh(folder / "validation")
    write_pipeline(place, layered(count))
    taken = run_rounds([Contender("validate", (PROGRAM, "validate"), place)], rounds)["validate"]
    return {
        "steps": count,
        "seconds": round(seconds_of(taken), 3),
        "microseconds_per_step": round(seconds_of(taken) / count * 1e6),
        "peak_mib": _peak_mib(taken),
    }


def growth(folder: Path, *, small: int, large: int, rounds: int) -> dict[str, object]:
    """
    Run a layered graph of *large* steps beside one of *small* steps, and compare the cost of a step.

    The small one runs on both sides of the large one, so that a drift of the machine is seen by both.
    """
    contenders = {}
    for count in (small, large):
        make = available()[OWN]
        contenders[count] = make(_fresh(folder / f"growth-{count}"), layered(count))
    taken: dict[int, list[Sample]] = {small: [], large: []}
    ratios = []
    for _ in range(rounds):
        before, middle, after = (run_once(contenders[count]) for count in (small, large, small))
        taken[small] += [before, after]
        taken[large].append(middle)
        ratios.append((middle.seconds / large) / ((before.seconds + after.seconds) / 2 / small))
    return {
        "steps": {"small": small, "large": large},
        "microseconds_per_step": {str(count): round(seconds_of(taken[count]) / count * 1e6) for count in taken},
        "ratio": round(sorted(ratios)[len(ratios) // 2], 3),
        "peak_mib": {str(count): _peak_mib(taken[count]) for count in taken},
    }


def _fresh(folder: Path) -> Path:
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    return folder


def _peak_mib(samples: Sequence[Sample]) -> float:
    return round(max(sample.peak_kib for sample in samples) / 1024, 1)


def _cpu(samples: Sequence[Sample]) -> float:
    return sorted(sample.cpu_seconds for sample in samples)[len(samples) // 2]


def _rounded(ratio: float | None) -> float | None:
    return None if ratio is None else round(ratio, 3)
