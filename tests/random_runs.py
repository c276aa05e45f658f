"""Random runs as the ledger keeps them: any graph, any end, perhaps killed, perhaps resumed."""

from __future__ import annotations

import signal

import attrs
from hypothesis import strategies as st

from ledger.events import NewEvent, RecordedEvent
from orchestrator.core.definition import RetryPolicy
from orchestrator.core.events import event_data, event_type
from orchestrator.core.state import fold
from orchestrator.runtime.recovery import closing_events
from tests.fakes import MemoryEventStore
from tests.pipelines import graphs, pipeline_of
from tests.simulated_nights import Killer, Night, Ticker, night

BEHAVIOURS = ["ok", "ok", "ok", "exit:1", "exit:75", "signal:9", "signal:60", "not_started", "no_new_data"]


@st.composite
def nights(draw: st.DrawFn) -> Night:
    """Draw a run of any graph whose steps end in any way, perhaps cancelled, perhaps resumed."""
    edges = draw(graphs(max_steps=5))
    pipeline = pipeline_of(edges)
    # Long enough, perhaps, for the orchestrator to die while a step waits for its next attempt.
    retry = RetryPolicy(2, draw(st.sampled_from([1000, 3_000_000])))
    steps = {
        name: attrs.evolve(step, retry=retry, when=draw(st.sampled_from(["upstream_ok", "always"])))
        for name, step in pipeline.steps.items()
    }
    tonight = night(attrs.evolve(pipeline, steps=steps), **{name: draw(st.sampled_from(BEHAVIOURS)) for name in edges})
    tonight.world.duration_us = {name: draw(st.integers(1, 3)) * 1_000_000 for name in edges}
    stopped = draw(st.none() | st.integers(0, 5_000_000))
    if draw(st.booleans()):
        killed(tonight, draw(st.integers(0, 5_000_000)))
    tonight.run(at=() if stopped is None else ((stopped, signal.SIGTERM),))
    if draw(st.booleans()) and fold(tonight.history()).status not in ("succeeded", "nothing_to_do"):
        tonight.world.behaviour.clear()
        tonight.run()
    return tonight


def killed(tonight: Night, at_us: int) -> None:
    """Run until the orchestrator dies, and close the run as the next start does; where it was done before, begin anew."""
    tonight.observer = Killer(tonight.clock, tonight.clock.us + at_us)
    try:
        tonight.run()
    except Killer.DeathError:
        closing = closing_events(fold(tonight.history()), [])
        new = [NewEvent(*event_type(event), event_data(event)) for event in closing]
        tonight.store.append("run/run-1", new, expected_version=None)
    else:
        tonight.store = MemoryEventStore(now=tonight.clock.now)
    tonight.observer = Ticker()


def recorded(tonight: Night) -> list[RecordedEvent]:
    """Return the events of the run as they were recorded."""
    return list(tonight.store.read_stream("run/run-1"))
