"""The names of attributes that spans and their resource carry, with what they mean; `docs/reference/telemetry.md` is made from this."""

from __future__ import annotations

from collections.abc import Mapping

RESOURCE_ATTRIBUTES: Mapping[str, str] = {
    "cicd.pipeline.name": "Name of the pipeline.",
    "cicd.pipeline.run.id": "Id of the run.",
    "cicd.worker.id": "Name of the host.",
    "cicd.worker.name": "The same.",
    "vcs.ref.head.revision": "Commit of the folder of the definition, where git knows one.",
}
"""Of what all spans of a part of a run are, besides what the environment says and the SDK adds."""

RUN_ATTRIBUTES: Mapping[str, str] = {
    "cicd.pipeline.name": "Name of the pipeline.",
    "cicd.pipeline.run.id": "Id of the run.",
    "cicd.pipeline.action.name": "`RUN`.",
    "cicd.pipeline.result": "`success`, `failure`, `error`, `timeout`, `cancellation` or `skip`: nothing was new.",
    "error.type": "The status, where the result is no success and no skip.",
    "process.pid": "Of the orchestrator.",
    "orchestrate.status": "How it ended, in the words of `show`.",
    "orchestrate.night": "The night that it was for.",
    "orchestrate.definition": "Digest of the definition.",
    "orchestrate.trigger": "What started it.",
    "orchestrate.steps.STATUS": "How many steps ended so.",
    "orchestrate.checkpoint.origin": "The ledger that the checkpoint over the run is of.",
    "orchestrate.checkpoint.size": "How many events it covers: up to the end of the run.",
    "orchestrate.checkpoint.root": "Of their Merkle tree, hexadecimal. `audit verify --checkpoint` holds the ledger to it.",
}
"""Of the span of a run, or of a part of one that was resumed."""

STEP_ATTRIBUTES: Mapping[str, str] = {
    "cicd.pipeline.task.name": "Name of the step.",
    "cicd.pipeline.task.run.id": "Run and step.",
    "cicd.pipeline.task.run.result": "As `cicd.pipeline.result`; `skip` for a step that was skipped.",
    "error.type": "`exit_3`, `SIGKILL`, else the reason; absent where the result is a success or a skip.",
    "orchestrate.status": "How it ended; `retrying` where its run was interrupted between two attempts.",
    "orchestrate.reason": "Why it failed or was skipped, in the words of [the decision table](decisions.md).",
    "orchestrate.error_class": "`transient`, `infrastructure`, `misuse` or `permanent`.",
    "orchestrate.night": "The night of the run.",
    "orchestrate.attempts": "How many attempts there were.",
}
"""Of the span of a step."""

ATTEMPT_ATTRIBUTES: Mapping[str, str] = {
    **{name: text for name, text in STEP_ATTRIBUTES.items() if name != "orchestrate.attempts"},
    "orchestrate.attempt": "Its number, from 1.",
    "orchestrate.start_reason": "Why the step ran.",
    "orchestrate.key": "The key that it ran for.",
    "orchestrate.waited_us": "How long it waited for its place and its shares of pools.",
    "orchestrate.duration_us": "From spawn to exit, by the monotonic clock.",
    "orchestrate.survivors": "How many processes it left behind that were killed.",
    "process.pid": "Of the process that was started.",
    "process.exit.code": "Where it exited.",
}
"""Of the span of an attempt."""

RETRY_ATTRIBUTES: Mapping[str, str] = {
    "orchestrate.attempt": "Number of the attempt that follows.",
    "orchestrate.delay_us": "How long it is waited for.",
}
"""Of the event `retry.scheduled` in the span of a step."""
