"""
Running a recorded run again: which of its steps, with which inputs and which code, and what the result is called.

What ran then is run again with what its attempts recorded; what was skipped then is not run, and what it had left stands as an input. Steps start from nothing:
an output that depends on what lay there before is no function of what is recorded, and differs.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence

import attrs

from orchestrator.core.decide import Baseline
from orchestrator.core.definition import Pipeline, Step
from orchestrator.core.problems import Problem

VERDICTS = ("identical", "equivalent", "different", "not_reproducible")
"""From the best to the worst; what is made of parts is called as the worst of them."""

_DONE = ("succeeded", "no_new_data")
_UNSEEN = ("lost", "cancelled", "running")
_INTERRUPTED = ("deadline", "cancelled", "lost")


@attrs.frozen
class RecordedStep:
    """
    Hold what is recorded of a step in the run that is to be run again.

    Attributes:
        status: Its final one in that run.
        reason: Why it was skipped or failed, or None.
        exit_code: Of its last attempt, or None.
        signal: That ended its last attempt, or None.
        attempt_status: How its last attempt ended, or None where it was not attempted.
        components: The material of the key of that attempt.
        outputs: Content digest of each dataset as it left them; empty where it did not end well.
    """

    status: str
    reason: str | None = None
    exit_code: int | None = None
    attempt_status: str | None = None
    signal: int | None = None
    components: Mapping[str, object] = attrs.field(factory=dict)
    outputs: Mapping[str, str | None] = attrs.field(factory=dict)

    @property
    def is_done(self) -> bool:
        """Whether it ended well, so that its outputs are what they should be."""
        return is_done(self.status, self.attempt_status)

    def part(self, name: str) -> Mapping[str, str | None]:
        """Return the component *name* of its key, such as `inputs`; empty where there is none."""
        found = self.components.get(name)
        return {str(key): value for key, value in found.items()} if isinstance(found, Mapping) else {}


def is_done(status: str, attempt_status: str | None) -> bool:
    """Whether a step that ended as *status* after an attempt that ended as *attempt_status* came to a good end by that."""
    return attempt_status in _DONE and status in ("succeeded", "skipped")


@attrs.frozen
class Again:
    """
    Say what of a run is run again, and with what.

    Attributes:
        steps: In the order of the definition.
        left_out: Step that was attempted then and is not run again, with the reason.
        inputs: Dataset that no step of *steps* writes, to the digest that was read; None where it did not exist.
        code: File, relative to the definition's folder, to the digest that ran.
        problems: Why it cannot be done; empty where, as far as the records say, it can.
    """

    steps: tuple[str, ...]
    left_out: Mapping[str, str]
    inputs: Mapping[str, str | None] = attrs.field(factory=dict)
    code: Mapping[str, str] = attrs.field(factory=dict)
    problems: tuple[Problem, ...] = ()

    def baselines(self, pipeline: Pipeline, recorded: Mapping[str, RecordedStep]) -> dict[str, Baseline]:
        """Return what decisions about these steps compare with: of what is not run again, what it had left; of the rest nothing."""
        found: dict[str, Baseline] = {}
        needed = {name: run for step in self.steps for name, run in recorded[step].part("needs").items()}
        for name, step in pipeline.steps.items():
            outputs = {dataset: self.inputs[dataset] for dataset in step.writes if dataset in self.inputs}
            if name not in self.steps and (outputs or name in needed):
                found[name] = Baseline(outputs=outputs, success=needed.get(name))
        return found


def steps_again(pipeline: Pipeline, recorded: Mapping[str, RecordedStep]) -> Again:
    """Return what of the run that is *recorded* is run again; linear in the steps, their inputs and their code."""
    steps: list[str] = []
    left_out: dict[str, str] = {}
    problems: list[Problem] = []
    for name, step in pipeline.steps.items():
        known = recorded.get(name)
        if known is None or known.attempt_status is None:
            continue
        why = _left_out(step, known)
        if why is not None:
            left_out[name] = why
        else:
            steps.append(name)
            problems += _step_problems(pipeline, step)
    if not steps:
        problems.append(Problem("nothing_ran", "no step of it ran that leaves a dataset: there is nothing to compare"))
    written = {dataset for name in steps for dataset in pipeline.steps[name].writes}
    inputs, changed = _joined(recorded, steps, "inputs", skip=written)
    problems += [
        Problem("input_changed", f"{name} changed while the run was on: its steps read different contents of it")
        for name in changed
    ]
    code, changed = _joined(recorded, steps, "code")
    problems += [
        Problem("code_changed", f"{name} changed while the run was on: its steps ran different contents of it")
        for name in changed
    ]
    known_code = {name: digest for name, digest in code.items() if digest is not None}
    return Again(tuple(steps), left_out, inputs, known_code, tuple(problems))


def _left_out(step: Step, recorded: RecordedStep) -> str | None:
    if not step.writes:
        return "it writes no dataset: there is nothing to compare, and what it does elsewhere is not done twice"
    if step.when != "upstream_ok":
        return f'when = "{step.when}": whether it runs depends on how others end'
    if recorded.attempt_status in _UNSEEN or recorded.reason in _INTERRUPTED:
        return f"it did not come to its own end then ({recorded.reason or recorded.attempt_status})"
    return None


def _step_problems(pipeline: Pipeline, step: Step) -> Iterator[Problem]:
    if step.rerun == "never":
        yield Problem("rerun_never", f'step {step.name} says rerun = "never": it is not to be run a second time')
    for dataset in (*step.reads, *step.writes):
        if pipeline.datasets[dataset].probe or pipeline.datasets[dataset].path is None:
            message = f"step {step.name}: {dataset} is measured by a probe, and cannot be laid out in a folder"
            yield Problem("probe_dataset", message)


def _joined(
    recorded: Mapping[str, RecordedStep], steps: Iterable[str], part: str, *, skip: Iterable[str] = ()
) -> tuple[dict[str, str | None], list[str]]:
    """Return the component *part* of all *steps* together, and the names under which they do not agree."""
    found: dict[str, str | None] = {}
    changed: dict[str, None] = {}
    left = frozenset(skip)
    for step in steps:
        for name, digest in recorded[step].part(part).items():
            if name not in left and found.setdefault(name, digest) != digest:
                changed.setdefault(name)
    return found, list(changed)


# What comes of it


@attrs.frozen
class FileVerdict:
    """
    Say how a file differs from the recorded one.

    Attributes:
        verdict: `equivalent` or `different`.
        detail: How, as `runtime.dataset_comparison` gives it; for a file that only one side has, `{"only": "then"}` or `{"only": "now"}`.
    """

    path: str
    verdict: str
    detail: Mapping[str, object] = attrs.field(factory=dict)


@attrs.frozen
class DatasetVerdict:
    """Say how a dataset differs from the recorded one: both digests, and each file that differs."""

    dataset: str
    verdict: str
    expected: str | None
    actual: str | None
    files: tuple[FileVerdict, ...] = ()


@attrs.frozen
class StepVerdict:
    """
    Say how a step that was run again compares with what is recorded.

    Attributes:
        outcome: `{"expected": ..., "actual": ...}` where it ended otherwise; outputs are not compared then.
        behind: The steps upstream of it that differ themselves, so that it may differ for that.
    """

    step: str
    verdict: str
    datasets: tuple[DatasetVerdict, ...] = ()
    outcome: Mapping[str, object] | None = None
    behind: tuple[str, ...] = ()


def worst(verdicts: Iterable[str]) -> str:
    """Return the worst of *verdicts*; `identical` where there is none."""
    return max(verdicts, key=VERDICTS.index, default=VERDICTS[0])


@attrs.frozen
class Ending:
    """
    Say how a step ended.

    Attributes:
        exit_code: Of its last attempt; None is as good as 0, which says nothing where it failed all the same.
        signal: That ended its last attempt.
    """

    status: str
    reason: str | None = None
    exit_code: int | None = None
    signal: int | None = None

    @property
    def signature(self) -> tuple[object, ...]:
        """What is the same where two endings are alike: what was ended because its time was up was ended by us, with whichever signal it took."""
        return self.status, self.reason, self.exit_code or None, self.signal if self.reason == "signal" else None

    def __str__(self) -> str:
        """Return it for people."""
        facts = [] if self.reason in (None, "signal") else [self.reason]
        facts += [
            f"{word} {number}" for word, number in (("exit code", self.exit_code), ("signal", self.signal)) if number
        ]
        return f"{self.status} ({', '.join(map(str, facts))})" if facts else self.status


def other_outcome(recorded: RecordedStep, now: Ending) -> dict[str, object] | None:
    """Return how the step ended then and now, where that is not the same; without new data is as good as done."""
    is_done = now.status == "succeeded" or (now.status, now.reason) == ("skipped", "no_new_data")
    then = Ending(recorded.status, recorded.reason, recorded.exit_code, recorded.signal)
    if (recorded.is_done and is_done) or (not recorded.is_done and then.signature == now.signature):
        return None
    return {"expected": str(then), "actual": str(now)}


def first_different(steps: Sequence[StepVerdict]) -> StepVerdict | None:
    """Return the first of *steps*, which stand in the order of the graph, that differs; None where none does."""
    return next((step for step in steps if step.verdict == "different"), None)
