"""
What a run would do now, without doing it.

A step below one that would run cannot be decided yet: whether it runs depends on what that one writes. Such a step is said to
`depend`, unless the table already knows that it would run.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Literal

import attrs

from orchestrator.core.decide import Fail, Measure, Measurement, Run, Skip, Upstream, decide
from orchestrator.core.run_plan import RunPlan
from orchestrator.core.state import initial_state

Outlook = Literal["run", "skip", "fail", "depends"]


@attrs.frozen
class Forecast:
    """Say what would become of *step*, and why."""

    step: str
    outlook: Outlook
    reason: str
    evidence: Mapping[str, object] = attrs.field(factory=dict)


def forecast(plan: RunPlan, measure: Callable[[str], Measurement]) -> list[Forecast]:
    """
    Say for each step of *plan*, in order, what a run would do if it started now and nothing failed.

    Args:
        measure: Returns the content that the decision about a step rests on, as it is now.
    """
    state = initial_state()
    would_run: set[str] = set()
    found: list[Forecast] = []
    for name in plan.graph.order:
        above = [other for other in plan.graph.upstream[name] if other in would_run]
        facts = plan.facts(name, state, upstream=Upstream(attempted=bool(above)), ending=None)
        decision = decide(facts)
        if isinstance(decision, Measure):
            decision = decide(attrs.evolve(facts, measurement=measure(name)))
        assert not isinstance(decision, Measure)
        entry = _entry(name, decision, above)
        if entry.outlook in ("run", "depends"):
            would_run.add(name)
        found.append(entry)
    return found


def _entry(name: str, decision: Run | Skip | Fail, above: list[str]) -> Forecast:
    match decision:
        case Run():
            return Forecast(name, "run", decision.reason, decision.evidence)
        case Fail():
            return Forecast(name, "fail", decision.reason, decision.evidence)
        case Skip() if above and decision.reason in (
            "up_to_date",
            "no_new_data",
            "upstream_skipped",
            "input_untrusted",
        ):
            return Forecast(name, "depends", "upstream_runs", {"upstream": above})
        case Skip():
            return Forecast(name, "skip", decision.reason, decision.evidence)
