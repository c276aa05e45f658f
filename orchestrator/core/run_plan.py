"""What one run is going to work on: the definition, resolved for this night, and what each step compares itself with."""

from __future__ import annotations

from collections.abc import Mapping

import attrs

from orchestrator.core.decide import NEVER_RUN, Baseline, Facts, Measurement, Run, Upstream, changed_output, new_output
from orchestrator.core.definition import Pipeline, Step
from orchestrator.core.fingerprint import Material
from orchestrator.core.graph import Graph
from orchestrator.core.output_contract import Extent
from orchestrator.core.state import RunState

NO_EXTENTS: Mapping[str, Extent] = {}


@attrs.frozen
class StepPlan:
    """
    One step, resolved.

    Attributes:
        argv: What is executed, every `${NAME}` replaced.
        cwd: Absolute.
        command: The step's command as a component of its key.
        variables: Its declared variables as a component of its key; None stands for a secret, a keyed digest for one with `rekey`.
        sources: The datasets that it reads and nobody writes.
        touches: The highest class of what it reads and writes, or None.
    """

    step: Step
    argv: tuple[str, ...]
    cwd: str
    command: Mapping[str, object]
    variables: Mapping[str, str | None] = attrs.field(factory=dict)
    sources: frozenset[str] = frozenset()
    baseline: Baseline = NEVER_RUN
    touches: str | None = None


@attrs.frozen
class RunPlan:
    """
    Everything a run decides with, besides what it measures.

    Attributes:
        selected: The steps that are part of this run.
        forced: `--force` was given.
        writers: Dataset to the step that writes it.
        fail_fast: The first failure ends the run.
        deadline_us: Its time, from its start or its last resume, or None.
    """

    run_id: str
    night: str
    pipeline: Pipeline
    graph: Graph
    steps: Mapping[str, StepPlan]
    selected: frozenset[str]
    forced: bool
    max_parallel: int
    writers: Mapping[str, str]
    _weak: Mapping[str, str] = attrs.field(
        init=False,
        default=attrs.Factory(
            lambda self: {name: i.digest for name, i in self.pipeline.datasets.items() if i.digest != "content"},
            takes_self=True,
        ),
    )

    @property
    def fail_fast(self) -> bool:
        """Whether the first failure ends the run."""
        return self.pipeline.fail_fast

    @property
    def deadline_us(self) -> int | None:
        """The time of the run, from its start or its last resume, or None."""
        return self.pipeline.deadline_us

    def retried(self, name: str, state: RunState) -> str | None:
        """Return the attempt of the step *name* that failed and is to be followed by another one, or None; what was accepted by hand since is not."""
        known, baseline = state.step(name), self.steps[name].baseline
        attempt = f"{self.run_id}/{known.attempt}"
        accepted = baseline.last_status == "accepted" and baseline.last_attempt == attempt
        return attempt if known.status == "retrying" and not accepted else None

    def facts(
        self,
        name: str,
        state: RunState,
        *,
        upstream: Upstream,
        ending: str | None,
        measurement: Measurement | None = None,
    ) -> Facts:
        """Gather what the decision about the step *name* may look at."""
        plan, known = self.steps[name], state.step(name)
        return Facts(
            step=plan.step,
            upstream=upstream,
            baseline=plan.baseline,
            selected=name in self.selected,
            forced=self.forced,
            attempted=known.attempt > 0,
            vouched=self._is_vouched(plan),
            retried=self.retried(name, state),
            ending=ending,
            sources=plan.sources,
            trusted=self._trusted(plan.step) if plan.step.reads else {},
            weak=self._weak_of(plan.step) if self._weak else {},
            measurement=measurement,
        )

    def measurement(
        self,
        name: str,
        state: RunState,
        *,
        inputs: Mapping[str, str | None],
        outputs: Mapping[str, str | None],
        code: Mapping[str, str],
        files: Mapping[str, Mapping[str, int]],
        extents: Mapping[str, Extent] = NO_EXTENTS,
    ) -> Measurement:
        """Join what was measured of the step *name* with the parts of its key that need no measuring."""
        plan = self.steps[name]
        material = Material(
            command=plan.command,
            code=code,
            variables=plan.variables,
            inputs=inputs,
            needs={other: self.success_of(other, state) for other in plan.step.needs},
        )
        return Measurement(material, outputs, files, extents)

    def changed_since(self, name: str, outputs: Mapping[str, str | None]) -> Run | None:
        """
        Return the attempt that a success of the step *name* needs for its *outputs*, as they are now, or None where they are as it left them.

        One that it did not declare then, so that nobody has measured it, is not as it left it.
        """
        baseline = self.steps[name].baseline
        touched, new = changed_output(baseline, outputs), new_output(baseline, outputs)
        if touched is not None:
            return Run("output_missing" if touched["actual"] is None else "output_changed", touched)
        return None if new is None else Run("output_new", new)

    def success_of(self, name: str, state: RunState) -> str | None:
        """Return `run_id/attempt` of the last success of the step *name*, in this run or before it."""
        step = state.step(name)
        if step.attempt_status in ("succeeded", "no_new_data") and step.status in ("succeeded", "skipped"):
            return f"{self.run_id}/{step.attempt}"
        return self.steps[name].baseline.success

    def _is_vouched(self, plan: StepPlan) -> bool:
        """Whether somebody has accepted the lost attempt of a step that must not be attempted twice, in this run or for its night."""
        baseline = plan.baseline
        here = self.run_id == baseline.vouched_run or self.night == baseline.vouched_night
        return here and plan.step.rerun == "never"

    def _weak_of(self, step: Step) -> dict[str, str]:
        return {name: self._weak[name] for name in (*step.reads, *step.writes) if name in self._weak}

    def _trusted(self, step: Step) -> dict[str, str | None]:
        """What the writers that are not part of this run last left in the datasets that *step* reads."""
        outside = {name: self.writers[name] for name in step.reads if name in self.writers}
        return {
            dataset: self.steps[writer].baseline.outputs.get(dataset)
            for dataset, writer in outside.items()
            if writer not in self.selected
        }
