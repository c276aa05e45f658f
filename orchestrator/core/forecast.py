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
_MAY_CHANGE = ("up_to_date", "no_new_data", "upstream_skipped", "input_untrusted")


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
    outlooks: dict[str, str] = {}
    attempted: set[str] = set()
    found: list[Forecast] = []
    for name in plan.graph.order:
        upstream = plan.graph.upstream[name]
        facts = plan.facts(
            name, state, upstream=Upstream(attempted=any(other in attempted for other in upstream)), ending=None
        )  # fmt: skip
        decision = decide(facts)
        if isinstance(decision, Measure):
            decision = decide(attrs.evolve(facts, measurement=measure(name)))
        assert not isinstance(decision, Measure)
        entry = _entry(plan, name, decision, outlooks)
        outlooks[name] = entry.outlook
        if entry.outlook in ("run", "depends") or any(other in attempted for other in upstream):
            attempted.add(name)
        found.append(entry)
    return found


def _entry(plan: RunPlan, name: str, decision: Run | Skip | Fail, outlooks: Mapping[str, str]) -> Forecast:
    above = [other for other in plan.graph.upstream[name] if outlooks[other] in ("run", "depends")]
    match decision:
        case Run():
            return Forecast(name, "run", decision.reason, decision.evidence)
        case Fail():
            return Forecast(name, "fail", decision.reason, decision.evidence)
        case Skip() if above and decision.reason in _MAY_CHANGE:
            again = next((other for other in plan.steps[name].step.needs if outlooks[other] == "run"), None)
            # A success of a step that it needs is a new one in any case; what a writer leaves may be the same again.
            if again is not None and decision.reason in ("up_to_date", "no_new_data"):
                return Forecast(name, "run", "needs_changed", {"component": f"needs:{again}"})
            return Forecast(name, "depends", "upstream_runs", {"upstream": above})
        case Skip():
            return Forecast(name, "skip", decision.reason, decision.evidence)
