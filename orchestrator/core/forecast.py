"""
What a run would do now, without doing it.

A step below one that would run cannot be decided yet: whether it runs depends on what that one writes. Such a step is said to
`depend`, unless the table already knows that it would run.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Literal

import attrs

from orchestrator.core.decide import Decision, Facts, Fail, Measure, Measurement, Run, Skip, Upstream, decide
from orchestrator.core.run_plan import RunPlan
from orchestrator.core.state import initial_state

Outlook = Literal["run", "skip", "fail", "depends"]
_MAY_WRITE = ("run", "depends")
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
    failed: dict[str, str] = {}
    found: list[Forecast] = []
    for name in plan.graph.order:
        upstream = plan.graph.upstream[name]
        above = Upstream(
            failed=next((failed[other] for other in upstream if other in failed), None),
            attempted=any(other in attempted for other in upstream),
        )
        facts = plan.facts(name, state, upstream=above, ending=None)
        decision = decide(facts)
        if isinstance(decision, Measure):
            decision = _decide_measured(facts, measure(name), plan, outlooks)
        assert not isinstance(decision, Measure)
        entry = _entry(plan, facts, decision, outlooks)
        outlooks[name] = entry.outlook
        if entry.outlook in _MAY_WRITE or above.attempted:
            attempted.add(name)
        if entry.outlook == "fail" or above.failed is not None:
            failed[name] = above.failed or name
        found.append(entry)
    return found


def _decide_measured(
    facts: Facts, measurement: Measurement, plan: RunPlan, outlooks: Mapping[str, str]
) -> Decision | Measure:
    """
    Decide; where a changed input is the reason and its writer may run, as if that writer left what was read last.

    What then still runs does so whatever its upstreams write.
    """
    decision = decide(attrs.evolve(facts, measurement=measurement))
    if not isinstance(decision, Run) or decision.reason != "input_changed":
        return decision
    before = facts.baseline.components.get("inputs")
    known = before if isinstance(before, Mapping) else {}
    inputs = {
        dataset: known.get(dataset, digest) if outlooks.get(plan.writers.get(dataset, "")) in _MAY_WRITE else digest
        for dataset, digest in measurement.inputs.items()
    }
    material = attrs.evolve(measurement.material, inputs=inputs)
    return decide(attrs.evolve(facts, measurement=attrs.evolve(measurement, material=material)))


def _entry(plan: RunPlan, facts: Facts, decision: Run | Skip | Fail, outlooks: Mapping[str, str]) -> Forecast:
    name = facts.step.name
    above = [other for other in plan.graph.upstream[name] if outlooks[other] in _MAY_WRITE]
    if not isinstance(decision, Skip):
        outlook: Outlook = "run" if isinstance(decision, Run) else "fail"
        return Forecast(name, outlook, decision.reason, decision.evidence)
    if not above or facts.vouched or decision.reason not in _MAY_CHANGE:
        return Forecast(name, "skip", decision.reason, decision.evidence)
    again = next((other for other in plan.steps[name].step.needs if outlooks[other] == "run"), None)
    # A success of a step that it needs is a new one in any case; what a writer leaves may be the same again.
    if again is not None and decision.reason in ("up_to_date", "no_new_data"):
        return Forecast(name, "run", "needs_changed", {"component": f"needs:{again}"})
    return Forecast(name, "depends", "upstream_runs", {"upstream": above})
