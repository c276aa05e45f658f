"""`python -m benchmarks`: all measurements, or some of them, printed and written as JSON."""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path

import attrs

from benchmarks import measures
from benchmarks.contenders import missing
from benchmarks.evidence import evidence
from benchmarks.machine import machine_facts
from benchmarks.printing import print_results
from benchmarks.redacting import redaction
from benchmarks.shapes import SHAPES
from benchmarks.telemetry import telemetry

PARTS = ("steps", "startup", "validation", "growth", "evidence", "redaction", "telemetry", "history")


@attrs.frozen
class Size:
    """How much is measured: steps of a graph, rounds of it, and the same of the other parts."""

    steps: int
    rounds: int
    startup_rounds: int
    validated: int
    validation_rounds: int
    grown: int
    growth_rounds: int
    nights: int
    evidence_rounds: int
    redaction_rounds: int
    telemetry_rounds: int
    history_events: int
    history_rounds: int


WHOLE = Size(1000, 9, 25, 10_000, 5, 20_000, 3, 10, 9, 9, 9, 1_000_000, 5)
SMOKE = Size(100, 2, 3, 1_000, 1, 1_000, 1, 2, 1, 3, 2, 10_000, 2)


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure what is asked for; return the exit code."""
    options = _options(arguments)
    size = SMOKE if options.smoke else WHOLE
    if options.rounds:
        size = attrs.evolve(size, rounds=options.rounds)
    with tempfile.TemporaryDirectory(prefix="bench-", dir=options.folder) as temporary:
        folder = Path(temporary)
        results: dict[str, object] = {"machine": machine_facts(folder), "missing": missing()}
        results.update((part, _measured(part, folder, size)) for part in options.only or PARTS)
    print_results(results)
    if options.json is not None:
        options.json.parent.mkdir(parents=True, exist_ok=True)
        options.json.write_text(json.dumps(results, indent=1) + "\n", encoding="utf-8")
    return 0


def _options(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("--smoke", action="store_true", help="small graphs, few rounds: under a minute")
    parser.add_argument("--rounds", type=int, metavar="N", help="rounds of the comparison with other tools")
    parser.add_argument("--only", action="append", choices=PARTS, help="measure this part; may be given several times")
    parser.add_argument("--folder", type=Path, help="work below this folder, on the disk that is to be measured")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the results there")
    return parser.parse_args(arguments)


def _measured(part: str, folder: Path, size: Size) -> Mapping[str, object]:
    print(f"measuring {part} …", file=sys.stderr, flush=True)
    if part == "steps":
        return {shape: measures.steps(folder, shape=shape, count=size.steps, rounds=size.rounds) for shape in SHAPES}
    if part == "startup":
        return measures.startup(folder, rounds=size.startup_rounds)
    if part == "validation":
        return measures.validation(folder, count=size.validated, rounds=size.validation_rounds)
    if part == "evidence":
        return evidence(folder, steps=size.steps, nights=size.nights, rounds=size.evidence_rounds)
    if part == "redaction":
        return redaction(rounds=size.redaction_rounds)
    if part == "history":
        from benchmarks.exploring import exploring  # pandas is an extra

        return exploring(folder, events=size.history_events, rounds=size.history_rounds)
    if part == "telemetry":
        return telemetry(folder, rounds=size.telemetry_rounds)
    return measures.growth(folder, small=size.steps, large=size.grown, rounds=size.growth_rounds)


if __name__ == "__main__":
    sys.exit(main())
