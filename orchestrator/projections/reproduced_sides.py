"""
A run and its reproduction as the sides of a comparison: only of what was run again, and only what can tell of a difference.

That each of its steps was forced, that the others were not chosen, and that code, secrets and the end of those were not there, lies in what a reproduction is.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from orchestrator.core.reproduction import Ending
from orchestrator.projections.run_sides import Document, Side, StepSide


def sides_of_reproduction(before: Side, after: Side) -> tuple[Side, Side] | None:
    """Return both sides with what can be compared of a run and its reproduction, whichever comes first; None where neither reproduces the other."""
    if after.run.get("reproduces") == before.run["run_id"]:
        linked = after
    elif before.run.get("reproduces") == after.run["run_id"]:
        linked = before
    else:
        return None
    chosen = linked.start["selection"]["only"]
    pairs = {name: _pair(before.steps[name], after.steps[name]) for name in linked.steps if name in chosen}
    return _narrowed(before, {name: pair[0] for name, pair in pairs.items()}), _narrowed(
        after, {name: pair[1] for name, pair in pairs.items()}
    )


def _pair(before: StepSide, after: StepSide) -> tuple[StepSide, StepSide]:
    """Return both sides of a step without why they ran, what only one of them knows of its key, and how often it took, or how they ended where that is alike."""
    outcomes: list[Document] = [before.outcome, after.outcome]
    if (before.is_done and after.is_done) or _ending(before).signature == _ending(after).signature:
        outcomes = [{}, {}]
    elif before.outcome["attempts"] and after.outcome["attempts"]:
        outcomes = [{name: value for name, value in item.items() if name != "attempts"} for item in outcomes]
    known = before.components is not None and after.components is not None
    return (
        before._replace(decision=None, outcome=outcomes[0], components=before.components if known else None),
        after._replace(decision=None, outcome=outcomes[1], components=after.components if known else None),
    )


def _ending(step: StepSide) -> Ending:
    known = {name: step.outcome.get(name) for name in ("reason", "exit_code", "signal")}
    return Ending(step.status, **known)


def _narrowed(side: Side, steps: Mapping[str, StepSide]) -> Side:
    environment: dict[str, Any] | None = None
    if side.environment is not None:
        code: dict[str, str] = {}
        for step in steps.values():
            code.update((step.components or {}).get("code", {}))
        environment = {**side.environment, "code": [{"path": path, "digest": digest} for path, digest in code.items()]}
    return side._replace(steps=steps, start={**side.start, "variables": _taken(side, steps)}, environment=environment)


def _taken(side: Side, steps: Mapping[str, StepSide]) -> dict[str, Any]:
    """Return the variables without the secrets that none of *steps* takes: those are not looked for."""
    known: Mapping[str, Any] = (side.definition or {}).get("steps", {})
    names = {name for step in steps for name in known.get(step, {}).get("env", ())}
    return {name: entry for name, entry in side.start["variables"].items() if "value" in entry or name in names}
