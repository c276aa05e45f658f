"""The event that opens a run, or opens it again: who started it, where, and with what."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any

import attrs

from ledger.canonical import blob_digest, canonical_bytes
from orchestrator import __version__
from orchestrator.cli.keying import keyed_in, secret_digests
from orchestrator.cli.project import Prepared
from orchestrator.core.events import RunResumed, RunStarted
from orchestrator.core.run_plan import RunPlan
from orchestrator.core.selection import Selection
from orchestrator.core.state import RunState
from orchestrator.core.tracing import TraceParent, parse_traceparent, traceparent_of
from orchestrator.runtime.assembly import graph_document
from orchestrator.runtime.environment import recorded_variables
from orchestrator.runtime.liveness import boot_id, process_start
from orchestrator.runtime.provenance import caller_trace, current_actor, host_name, trigger


def trace_of(state: RunState | None) -> TraceParent | None:
    """Return the trace context of a new run, or of the one in *state*, which keeps the one that it was started in."""
    return caller_trace(os.environ) if state is None else parse_traceparent(state.traceparent, state.tracestate)


@attrs.frozen
class Beginning:
    """
    Hold what a run begins with.

    Attributes:
        event: Opens the run; its environment is for whoever measures to add.
        state: Of the run before, where it goes on.
        secrets: What stands for the value of each in its environment.
    """

    event: RunStarted | RunResumed
    state: RunState | None
    secrets: Mapping[str, str]


def make_beginning(
    prepared: Prepared,
    selection: Selection,
    plan: RunPlan,
    *,
    reason: str | None,
    git: Mapping[str, object] | None,
    state: RunState | None,
) -> Beginning:
    """
    Return what the run of *plan* begins with, or the one in *state* goes on with.

    Args:
        reason: Why a person started it, without secrets.
    """
    project, pipeline, pid = prepared.project, prepared.project.pipeline, os.getpid()
    circumstances: dict[str, Any] = {
        "run_id": plan.run_id,
        "pipeline": pipeline.name,
        "night": plan.night,
        "definition": pipeline.digest,
        "definition_path": project.definition_path,
        "graph": blob_digest(canonical_bytes(graph_document(pipeline, project.graph))),
        "variables": recorded_variables(pipeline, prepared.environment, keyed_in(plan)),
        "trigger": trigger(),
        "actor": current_actor(os.environ),
        "git": git,
        "host": host_name(),
        "boot_id": boot_id(),
        "pid": pid,
        "process_start": process_start(pid) or "",
        "max_parallel": plan.max_parallel,
        "program": __version__,
        "reason": reason,
    }
    secrets = secret_digests(prepared)
    if state is not None:
        return Beginning(RunResumed(before=state.status, **circumstances), state, secrets)
    parent = caller_trace(os.environ)
    if parent is not None:
        circumstances["traceparent"] = traceparent_of(parent.trace_id, parent.span_id, sampled=parent.sampled)
        # Whoever set it may have put anything in.
        clean = parent.state is None or prepared.redactor.redact(parent.state) == parent.state
        circumstances["tracestate"] = parent.state if clean else None
    return Beginning(RunStarted(selection=selection.as_json(), **circumstances), None, secrets)
