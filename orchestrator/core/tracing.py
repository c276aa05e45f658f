"""
Ids of traces and spans: functions of run, step and attempt, so that whoever sends a trace, and whenever, sends the same.

The form of the context is that of W3C Trace Context, level 1 (`traceparent`: version, trace id, parent id, flags).
"""

from __future__ import annotations

import re
from hashlib import sha256

import attrs

_TRACEPARENT = re.compile(r"([0-9a-f]{2})-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})(-.*)?")
_TRACESTATE_MAX = 512

PROPAGATORS = ("tracecontext", "baggage")
"""What context is known here, as `OTEL_PROPAGATORS` calls it."""

_SAMPLED = 1


@attrs.frozen
class TraceParent:
    """
    Hold the context that a run was started in.

    Attributes:
        trace_id: 32 hexadecimal digits.
        span_id: Of the caller's span, 16 hexadecimal digits.
        sampled: The caller records this trace.
        state: The caller's `tracestate`, to be handed on.
    """

    trace_id: str
    span_id: str
    sampled: bool = True
    state: str | None = None


def parse_traceparent(text: str | None, state: str | None = None) -> TraceParent | None:
    """
    Return the context that *text* says, or None where there is none or it is not valid; then a new trace begins, as the specification says.

    >>> parse_traceparent("00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01").span_id
    'b7ad6b7169203331'
    """
    found = _TRACEPARENT.fullmatch((text or "").strip())
    if found is None:
        return None
    version, trace_id, span_id, flags, more = found.groups()
    if version == "ff" or (version == "00" and more) or not int(trace_id, 16) or not int(span_id, 16):
        return None
    usable = state is not None and 0 < len(state) <= _TRACESTATE_MAX and state.isascii() and state.isprintable()
    return TraceParent(trace_id, span_id, bool(int(flags, 16) & _SAMPLED), state if usable else None)


def chosen_propagators(text: str | None) -> frozenset[str]:
    """
    Return which of `PROPAGATORS` the variable `OTEL_PROPAGATORS` asks for with *text*: all where it is empty, none where `none` is among the words.

    >>> sorted(chosen_propagators("b3, Baggage"))
    ['baggage']
    """
    words = {word.strip().lower() for word in (text or "").split(",")} - {""}
    return frozenset() if "none" in words else frozenset(PROPAGATORS).intersection(words or PROPAGATORS)


def trace_id_of(run_id: str, parent: TraceParent | None) -> str:
    """Return the id of the trace of a run: the caller's, else a function of *run_id*."""
    return parent.trace_id if parent is not None else _digest("trace", run_id)[:32]


def span_id_of(run_id: str, *, part: int = 0, step: str | None = None, attempt: int | None = None) -> str:
    """
    Return the id of a span of the run *run_id*: of the run itself, of a step, or of an attempt of it.

    Args:
        part: How often the run had been resumed before; each part has its own span, and spans of the steps that ended in it.
            An attempt belongs to one part, its number tells which, and its id does not depend on this.
    """
    if attempt is not None:
        return _digest("attempt", run_id, str(step), str(attempt))[:16]
    return _digest("run" if step is None else "step", run_id, str(part), step or "")[:16]


def traceparent_of(trace_id: str, span_id: str, *, sampled: bool = True) -> str:
    """Return the text that hands a context on."""
    return f"00-{trace_id}-{span_id}-{_SAMPLED if sampled else 0:02x}"


def _digest(*parts: str) -> str:
    """Return the digest of *parts*, none of which holds a NUL; an id of zeros alone, which is none, would take 2⁶⁴ runs."""
    return sha256("\0".join(("orchestrate", *parts)).encode()).hexdigest()
