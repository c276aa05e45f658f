"""
What `plan` forecasts is what a run does, whatever happened before, where nothing fails.

Nights of deliveries, edits, failures, kills and outputs changed by hand come first; then a forecast is made and the run started.
A step forecast as run does run, one forecast as skip is skipped for that reason, one forecast as fail fails for that reason; of one that
depends nothing is promised.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager

from hypothesis import given
from hypothesis import strategies as st

from orchestrator.core.decide import Measurement
from orchestrator.core.definition import Pipeline
from orchestrator.core.forecast import Forecast, forecast
from orchestrator.core.run_plan import RunPlan
from orchestrator.core.state import RunState, initial_state
from orchestrator.projections.baseline_rows import baselines_for
from orchestrator.projections.queries import load_json
from orchestrator.runtime.ports import MeasureRequest
from orchestrator.runtime.recovery import reconcile
from tests.pipelines import data_pipeline, graphs
from tests.properties.test_run_machine import Killed, Mortal, Nights
from tests.simulation import SimulatedDigester, World, simulated_plan


@st.composite
def pipelines(draw: st.DrawFn) -> Pipeline:
    """Draw a pipeline whose edges are data or not, and whose steps have any `when` and `rerun`."""
    edges = draw(graphs(max_steps=6))
    plain = draw(st.booleans())
    reads: dict[str, list[str]] = {}
    options: dict[str, Mapping[str, object]] = {}
    for name, others in edges.items():
        needs = draw(st.sets(st.sampled_from(others), max_size=2)) if others and not plain else set[str]()
        own = [f"raw_{name}"] if draw(st.booleans()) else []
        reads[name] = [other for other in others if other not in needs] + own
        options[name] = {
            "needs": tuple(sorted(needs)),
            "when": "upstream_ok" if plain else draw(st.sampled_from(["upstream_ok"] * 5 + ["always", "on_failure"])),
            "rerun": "safe" if plain else draw(st.sampled_from(["safe", "safe", "never"])),
        }
    return data_pipeline(reads, **options)


@contextmanager
def history(pipeline: Pipeline) -> Iterator[Nights]:
    """Give an empty ledger and a world in which the sources of *pipeline* exist."""
    nights = Nights()
    nights.pipeline = pipeline
    nights.world = World(pipeline, contents=dict.fromkeys(pipeline.sources(), "first"))
    try:
        yield nights
    finally:
        nights.teardown()


def live(nights: Nights, data: st.DataObject) -> None:
    """Let one thing happen to the world, or one night pass."""
    world, steps = nights.world, sorted(nights.pipeline.steps)
    step = data.draw(st.sampled_from(steps), label="step")
    world.behaviour = {}
    match data.draw(
        st.sampled_from(["deliver", "meddle", "remove", "edit", "run", "fail", "die", "select"]), label="what"
    ):
        case "deliver":
            world.contents.update(
                {name: nights._fresh() for name in nights.pipeline.sources() if name == f"raw_{step}"}
            )
        case "meddle":
            world.contents[step] = nights._fresh()
        case "remove":
            world.contents.pop(step, None)
        case "edit":
            world.code[step] = world.code.get(step, 0) + 1
        case "run":
            nights._run()
        case "fail":
            world.behaviour = {step: data.draw(st.sampled_from(["exit:1", "signal:9", "missing", "no_new_data"]))}
            nights._run()
        case "die":
            try:
                nights._run(journal=Mortal(nights.store, data.draw(st.integers(2, 9)), after=True))
            except Killed:
                reconcile(nights.store, [f"run-{nights.runs}"], grace_seconds=0)
        case "select":
            nights._run(selected=[step])
    world.behaviour = {}


def foreseen(nights: Nights, selected: list[str] | None, *, forced: bool) -> list[Forecast]:
    """Return what `plan` says now."""
    connection = nights.store.connection
    plan = simulated_plan(
        nights.pipeline,
        rows=baselines_for(connection, nights.pipeline.name),
        run_id="forecast",
        selected=selected,
        forced=forced,
        load=lambda value: load_json(connection, value),
    )
    return forecast(plan, lambda name: _measured(plan, nights.world, name))


def _measured(plan: RunPlan, world: World, name: str) -> Measurement:
    step = plan.steps[name].step
    found = SimulatedDigester(world).measure(MeasureRequest(name, dict.fromkeys(step.reads), step.writes))
    return plan.measurement(
        name, initial_state(), inputs=found.inputs, outputs=found.outputs, code=found.code, files={}
    )


def _done(state: RunState, step: str) -> tuple[str, str | None, bool]:
    found = state.step(step)
    return found.status, found.reason, found.attempt > 0


def keep_promises(nights: Nights, selected: list[str] | None, *, forced: bool) -> None:
    """Forecast, run, and compare."""
    entries = foreseen(nights, selected, forced=forced)
    state = nights._run(selected=selected, forced=forced)

    for entry in entries:
        done = _done(state, entry.step)
        match entry.outlook:
            case "run":
                assert ("succeeded", None, True) == done, entry
            case "skip":
                assert ("skipped", entry.reason, False) == done, entry
            case "fail":
                assert ("failed", entry.reason, False) == done, entry
            case "depends":
                assert done[0] in ("succeeded", "skipped"), entry


class TestForecast:
    """A promise is kept."""

    @given(pipelines(), st.data())
    def test_what_is_foreseen_happens(self, pipeline: Pipeline, data: st.DataObject) -> None:
        """For any pipeline and history, given that nothing fails, then each step does what was said of it."""
        with history(pipeline) as nights:
            for _ in range(data.draw(st.integers(0, 6), label="events")):
                live(nights, data)
            some = st.lists(st.sampled_from(sorted(pipeline.steps)), unique=True, min_size=1)
            selected = data.draw(st.none() | st.none() | some, label="selected")
            forced = data.draw(st.booleans(), label="forced") and data.draw(st.booleans())

            keep_promises(nights, selected, forced=forced)

    @given(pipelines(), st.data())
    def test_any_changes_after_a_clean_night(self, pipeline: Pipeline, data: st.DataObject) -> None:
        """For any pipeline after a night without failures, and any set of changes at once, then the same holds."""
        with history(pipeline) as nights:
            nights._run()
            steps = sorted(pipeline.steps)
            some = st.sets(st.sampled_from(steps))
            nights.world.contents.update({name: nights._fresh() for name in sorted(data.draw(some, label="meddled"))})
            for name in sorted(data.draw(some, label="edited")):
                nights.world.code[name] = 1
            for name in sorted(data.draw(some, label="delivered")):
                if f"raw_{name}" in pipeline.datasets:
                    nights.world.contents[f"raw_{name}"] = nights._fresh()

            keep_promises(nights, None, forced=False)
