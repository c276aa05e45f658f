"""The results as text, with the goals beside what they are goals for."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeAlias

Results: TypeAlias = Mapping[str, Any]

GOALS: Mapping[str, float] = {"make": 2.8, "ninja": 1.5, "peak": 40, "status": 4.5}
"""Ratios that the layered graph is held to, mebibytes, and bare starts of `status`."""

EVIDENCE_GOALS: Mapping[str, float] = {"append": 0.6, "leaves and root": 0.35, "rebuild": 0.5}
"""Of the speed of what each is measured beside."""


REDACTION_GOALS: Mapping[str, float] = {"speed": 100, "tokens": 0.5, "start": 5}
"""Megabytes a second, a part of the speed without the built-in rules, and milliseconds at each start."""

TELEMETRY_GOAL = 1.0
"""Seconds that the end of a run waits at most."""


def print_results(results: Results) -> None:
    """Print everything that was measured."""
    print("machine: " + ", ".join(f"{name} {value}" for name, value in results["machine"].items()))
    for name in results["missing"]:
        print(f"left out, not installed: {name}")
    printers = {
        "steps": _steps,
        "startup": _startup,
        "validation": _validation,
        "growth": _growth,
        "evidence": _evidence,
        "redaction": _redaction,
        "telemetry": _telemetry,
        "history": _history,
    }
    for part, printer in printers.items():
        if part in results:
            print()
            printer(results[part])


def _steps(shapes: Results) -> None:
    first = next(iter(shapes.values()))
    print(f"{first['steps']} steps that run `true`, two at a time, median of {first['rounds']} rounds")
    tools = list(first["seconds"])
    print(_row("", [*tools, *(f"x {tool}" for tool in first["ratio_to"]), "peak"]))
    for shape, found in shapes.items():
        times = [f"{found['seconds'][tool]:.3f} s" for tool in tools]
        ratios = [f"{ratio:.2f}" for ratio in found["ratio_to"].values()]
        print(_row(shape, [*times, *ratios, f"{found['peak_mib']} MiB"]))
    print(f"goals, layered: {GOALS['make']} x make, {GOALS['ninja']} x ninja, under {GOALS['peak']:.0f} MiB")


def _startup(found: Results) -> None:
    print(f"start-up, median of {found['rounds']} rounds")
    for name, taken in found["milliseconds"].items():
        ratio = found["ratio_to_bare"].get(name)
        print(_row(name, [f"{taken:.1f} ms", "" if ratio is None else f"{ratio:.2f} x"]))
    print(f"goal: `status` within {GOALS['status']} bare starts")


def _validation(found: Results) -> None:
    each = found["microseconds_per_step"]
    print(f"validate {found['steps']} steps: {found['seconds']} s, {each} us a step, peak {found['peak_mib']} MiB")


def _growth(found: Results) -> None:
    print("cost of a step in a large graph beside that in a small one")
    for count, taken in found["microseconds_per_step"].items():
        print(_row(f"{count} steps", [f"{taken} us", f"{found['peak_mib'][count]} MiB"]))
    print(f"ratio {found['ratio']:.2f}; goal: 1")


def _evidence(found: Results) -> None:
    print(f"{found['events']} events of {found['mean_bytes']} bytes, median of {found['rounds']} rounds")
    for name, taken in found["microseconds_per_event"].items():
        beside = found["beside"].get(name)
        ratio = "" if beside is None else f"{found['ratio'][name]:.2f} of {beside}"
        goal = f"  goal: {EVIDENCE_GOALS[name]}" if name in EVIDENCE_GOALS else ""
        print(f"{name:<24}{taken:>9.2f} us an event  {ratio}{goal}")


def _redaction(found: Results) -> None:
    print(f"masking {found['secrets']} secrets, median of {found['rounds']} rounds")
    for kind, lines in found["lines"].items():
        for name, speed in lines["megabytes_per_second"].items():
            print(f"{kind + ', ' + name:<40}{speed:>6} MB/s  {lines['ratio'][name]:.2f} of values alone")
    print(", ".join(f"{name} {taken} ms" for name, taken in found["milliseconds"].items()))
    print(
        f"goals: {REDACTION_GOALS['speed']:.0f} MB/s, {REDACTION_GOALS['tokens']} of values alone with tokens, "
        f"{REDACTION_GOALS['start']:.0f} ms for the made-up secret"
    )


def _telemetry(found: Results) -> None:
    print(f"a run of one step: {found['seconds_without']} s; with telemetry, median of {found['rounds']} rounds")
    for kind, more in found["seconds_more"].items():
        waited, most = found["seconds_waited"][kind], found["most_seconds_waited"][kind]
        print(
            f"{'a collector that ' + kind:<32}{more:+.3f} s  x {found['ratio'][kind]:.2f}  its end waited {waited:.3f} s, at most {most:.3f}"
        )
    print(f"goal: no end of a run waits longer than {TELEMETRY_GOAL} s and what it takes to record that")


def _row(name: str, cells: list[str]) -> str:
    return f"{name:<16}" + "".join(f"{cell:>12}" for cell in cells)


def _history(found: Results) -> None:
    print(
        f"dataframes of {found['events']} events and {found['attempts']} attempts, processor time, median of {found['rounds']} rounds"
    )
    for name, seconds in found["cpu_seconds"].items():
        ratios = found["ratio"].get(name, {}).items()
        print(f"{name:<42}{seconds:>9.3f} s" + "".join(f"   {ratio:.2f} of {other}" for other, ratio in ratios))
