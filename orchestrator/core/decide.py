"""
Whether a step runs: one pure function, `decide`, over the facts that are known when all its upstreams are done.

The cases stand in the order of the decision table in `docs/reference/decisions.md`; a test holds the two together.
The facts about content are expensive to get, so `decide` is asked twice at most: it answers `Measure` where the table
cannot be read without them.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TypeAlias

import attrs

from orchestrator.core.definition import Step
from orchestrator.core.fingerprint import (
    Difference,
    Material,
    first_difference,
    key_components,
    key_digest,
    known_recipe,
)
from orchestrator.core.output_contract import Extent

LOST = ("lost", "running")
"""Statuses of a last attempt whose end nobody saw; one that runs when somebody decides has lost its orchestrator."""

SUCCESSES = frozenset({"succeeded", "no_new_data", "accepted"})
"""Statuses of a last attempt after which a step counts as done."""


@attrs.frozen
class Baseline:
    """
    What a decision compares with: the last success of a step and the end of its last attempt.

    Attributes:
        key: Key of the last success, or None where it never succeeded.
        components: The key's material.
        outputs: Content digest of each dataset as the last success left it, or as it was accepted.
        success: `run_id/attempt` of the last success.
        last_status: How its last attempt of any outcome ended, or None where there was none.
        last_attempt: `run_id/attempt` of that attempt.
        vouched_run: The run about which that attempt was accepted, where it had been lost; None otherwise.
        vouched_night: The night of that attempt, in the same case.
    """

    key: str | None = None
    components: Mapping[str, object] = attrs.field(factory=dict)
    outputs: Mapping[str, str | None] = attrs.field(factory=dict)
    success: str | None = None
    last_status: str | None = None
    last_attempt: str | None = None
    vouched_run: str | None = None
    vouched_night: str | None = None


NEVER_RUN = Baseline()


@attrs.frozen
class Upstream:
    """
    What this run has done above a step, at any distance.

    Attributes:
        failed: The first step that failed, or None.
        attempted: Something was attempted.
        begun: Place of the last start of an attempt in the stream of the run, -1 where there is none.
    """

    failed: str | None = None
    attempted: bool = False
    begun: int = -1


@attrs.frozen
class Measurement:
    """
    The content that a decision rests on, as it is now.

    Attributes:
        material: What the key is made of, see `core.fingerprint`.
        outputs: Content digest of each dataset that the step writes; None where it does not exist.
        files: For an input, how many files were added, changed and removed since the last success.
        extents: How much each dataset is.
        components: The material as the newest recipe has it.
    """

    material: Material
    outputs: Mapping[str, str | None] = attrs.field(factory=dict)
    files: Mapping[str, Mapping[str, int]] = attrs.field(factory=dict)
    extents: Mapping[str, Extent] = attrs.field(factory=dict)
    components: Mapping[str, object] = attrs.field(
        init=False, default=attrs.Factory(lambda self: key_components(self.material), takes_self=True)
    )

    @property
    def inputs(self) -> Mapping[str, str | None]:
        """Content digest of each dataset that the step reads."""
        return self.material.inputs

    @property
    def needs(self) -> Mapping[str, str | None]:
        """The attempt that last succeeded of each step that it needs."""
        return self.material.needs

    def components_like(self, others: Mapping[str, object]) -> Mapping[str, object]:
        """Return the material as the recipe of *others* has it, or as the newest one does where that recipe is not known."""
        recipe = known_recipe(others)
        if recipe is None or recipe == self.components["recipe"]:
            return self.components
        return key_components(self.material, recipe)


@attrs.frozen
class Facts:
    """
    Everything that a decision may look at.

    Attributes:
        selected: The step is part of this run.
        forced: `--force` was given.
        attempted: It was attempted in this run before that was resumed, so that its last attempt is one of this run.
        vouched: It must not be attempted twice (`rerun = "never"`), and its lost attempt was accepted in this run or is of this night: it counts as
            done here as if it had succeeded in this run.
        retried: The attempt of this run that failed and is now to be tried again, as `run_id/attempt`, or None.
        ending: Why the run is ending (`cancelled`, `deadline`, `fail_fast`), or None.
        sources: The datasets that it reads and nobody writes.
        trusted: For each dataset that it reads and whose writer is not part of this run, what that writer last left or
            had accepted; None where the writer never succeeded.
        weak: How a dataset that it reads or writes is measured, where that is not by its content: `listing` or `probe`.
        measurement: None until somebody has measured.
    """

    step: Step
    upstream: Upstream = Upstream()
    baseline: Baseline = NEVER_RUN
    selected: bool = True
    forced: bool = False
    attempted: bool = False
    vouched: bool = False
    retried: str | None = None
    ending: str | None = None
    sources: frozenset[str] = frozenset()
    trusted: Mapping[str, str | None] = attrs.field(factory=dict)
    weak: Mapping[str, str] = attrs.field(factory=dict)
    measurement: Measurement | None = None


@attrs.frozen
class Run:
    """Start an attempt; *evidence* is what *reason* rests on."""

    reason: str
    evidence: Mapping[str, object] = attrs.field(factory=dict)


@attrs.frozen
class Skip:
    """Do not run the step; *evidence* is what *reason* rests on."""

    reason: str
    evidence: Mapping[str, object] = attrs.field(factory=dict)


@attrs.frozen
class Fail:
    """End the step as failed without an attempt."""

    reason: str
    evidence: Mapping[str, object] = attrs.field(factory=dict)


@attrs.frozen
class Measure:
    """Ask again with a measurement: the table cannot be read without it."""


Decision: TypeAlias = Run | Skip | Fail
MEASURE = Measure()


def decide(facts: Facts) -> Decision | Measure:
    """
    Decide what follows for a step whose upstreams are all done: the first case of the table that fits.

    Pure and total. Cost: linear in the datasets, files and needs of the step.
    """
    early = _decide_without_content(facts)
    if early is not None:
        return early
    if facts.measurement is None:
        return MEASURE
    return _decide_inputs(facts, facts.measurement) or _retry(facts) or _decide_key(facts, facts.measurement)


def _decide_without_content(facts: Facts) -> Decision | Measure | None:
    step, upstream = facts.step, facts.upstream
    if not facts.selected:
        return Skip("not_selected")
    if step.when == "on_failure":
        if upstream.failed is None:
            return Skip("no_failure")
        return (
            MEASURE if facts.measurement is None else _retry(facts) or Run("upstream_failed", {"step": upstream.failed})
        )
    if step.when == "always":
        if not upstream.attempted:
            return Skip("upstream_skipped")
        return MEASURE if facts.measurement is None else _retry(facts) or Run("cleanup")
    if upstream.failed is not None:
        return Skip("upstream_failed", {"root": upstream.failed})
    if facts.ending is not None:
        return Skip("run_ended", {"cause": facts.ending})
    lost = facts.baseline.last_status in LOST and facts.retried is None
    if step.rerun == "never" and lost and not _is_forced(facts):
        return Fail("lost", {"attempt": facts.baseline.last_attempt})
    return None


def _retry(facts: Facts) -> Run | None:
    return None if facts.retried is None else Run("retry", {"attempt": facts.retried})


def _decide_inputs(facts: Facts, measurement: Measurement) -> Decision | None:
    for dataset, actual in measurement.inputs.items():
        expected = facts.trusted.get(dataset, actual)
        if expected != actual:
            evidence = {"dataset": dataset, "expected": expected, "actual": actual}
            return Skip("input_untrusted", {**evidence, **_strength(facts, dataset)})
    for dataset, actual in measurement.inputs.items():
        if actual is None and dataset not in facts.sources:
            return Skip("upstream_skipped", {"dataset": dataset})
    for step, success in measurement.needs.items():
        if success is None:
            return Skip("upstream_skipped", {"step": step})
    return None


def _decide_key(facts: Facts, measurement: Measurement) -> Decision:
    baseline = facts.baseline
    touched = changed_output(baseline, measurement.outputs)
    overwritten = {"output": touched} if touched else {}
    if _is_forced(facts):
        return Run("forced", overwritten)
    if baseline.key is None and baseline.last_status is None:
        return Run("never_succeeded", {**({"per_night": True} if facts.step.per_night else {}), **overwritten})
    if baseline.last_status not in SUCCESSES:
        reason = "last_attempt_lost" if baseline.last_status in LOST else "last_attempt_failed"
        return Run(reason, {"attempt": baseline.last_attempt, "status": baseline.last_status, **overwritten})
    if baseline.key is None:
        return Run("never_succeeded", overwritten)
    if not facts.step.reads and not facts.step.needs and not facts.attempted and not facts.vouched:
        return Run("no_inputs", overwritten)
    components = measurement.components_like(baseline.components)
    # What was accepted in place of a lost attempt is not done again because something else has changed since.
    difference = None if facts.vouched else first_difference(baseline.components, components)
    if difference is not None:
        evidence = _difference_evidence(difference, measurement)
        kind, _, name = difference.component.partition(":")
        by = _strength(facts, name) if kind == "input" else {}
        return Run(_difference_reason(difference), {**evidence, **by, **overwritten})
    if touched is not None:
        by = _strength(facts, str(touched["dataset"]))
        return Run("output_changed" if touched["actual"] is not None else "output_missing", {**touched, **by})
    new = new_output(baseline, measurement.outputs)
    if new is not None:
        return Run("output_new", new)
    key = baseline.key if facts.vouched else key_digest(components)
    return Skip(
        "no_new_data" if facts.sources else "up_to_date",
        {"key": key, "since": baseline.success, **({"strength": facts.weak} if facts.weak else {})},
    )


def _strength(facts: Facts, dataset: str) -> dict[str, str]:
    """Return by what *dataset* was compared, where that was not its content."""
    return {"strength": facts.weak[dataset]} if dataset in facts.weak else {}


def _is_forced(facts: Facts) -> bool:
    """Whether `--force` counts: it asks for one attempt, and a run that is resumed was started with it before what it has attempted."""
    return facts.forced and not facts.attempted


def changed_output(baseline: Baseline, outputs: Mapping[str, str | None]) -> dict[str, object] | None:
    """Name the first of *outputs*, as they are now, that is not what the last success left, with both digests; None where there is none."""
    for dataset, actual in outputs.items():
        expected = baseline.outputs.get(dataset)
        if expected is not None and expected != actual:
            return {"dataset": dataset, "expected": expected, "actual": actual}
    return None


def new_output(baseline: Baseline, outputs: Mapping[str, str | None]) -> dict[str, object] | None:
    """Name the first of *outputs*, as they are now, that the last success did not declare, so that it says nothing of it; None where there is none."""
    for dataset, actual in outputs.items():
        if dataset not in baseline.outputs:
            return {"dataset": dataset, "actual": actual}
    return None


def _difference_reason(difference: Difference) -> str:
    kind = difference.component.partition(":")[0]
    return "variables_changed" if kind == "variable" else f"{kind}_changed"


def _difference_evidence(difference: Difference, measurement: Measurement) -> dict[str, object]:
    kind, _, name = difference.component.partition(":")
    evidence: dict[str, object] = {
        "component": difference.component,
        "before": difference.before,
        "after": difference.after,
    }
    if kind == "input":
        evidence.update(measurement.files.get(name, {}))
    return evidence
