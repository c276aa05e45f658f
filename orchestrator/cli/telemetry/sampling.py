"""Which traces are sent: the samplers that `OTEL_TRACES_SAMPLER` chooses from, as functions of the trace id."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from orchestrator.cli.telemetry.settings import Settings
from orchestrator.core.tracing import TraceParent, trace_id_of


def is_sampled(settings: Settings, trace_id: str, parent: bool | None) -> bool:  # noqa: FBT001 - read as words
    """
    Return whether the trace *trace_id* is sent; all of its spans or none.

    Args:
        parent: Whether the caller, in whose trace the run was started, records it; None without a caller.
    """
    sampler = settings.sampler
    if sampler.startswith("parentbased_"):
        if parent is not None:
            return parent
        sampler = sampler.removeprefix("parentbased_")
    decide: Mapping[str, Callable[[], bool]] = {
        "always_on": lambda: True,
        "always_off": lambda: False,
        "traceidratio": lambda: int(trace_id[16:], 16) < round(settings.sampler_ratio * (1 << 64)),
    }
    return decide[sampler]()


def run_is_sampled(settings: Settings, run_id: str, caller: TraceParent | None) -> bool:
    """Return whether the trace of the run *run_id*, started in the context of *caller*, is sent."""
    return is_sampled(settings, trace_id_of(run_id, caller), None if caller is None else caller.sampled)
