"""The trace of a run, as a ledger has it."""

from __future__ import annotations

from pathlib import Path

import pytest

from ledger.checkpoints import seal
from ledger.events import NewEvent
from ledger.store import Ledger, open_ledger
from orchestrator.core.tracing import span_id_of, trace_id_of
from orchestrator.projections.traces import checkpoint_of_size, run_trace
from tests.pipelines import pipeline_of
from tests.simulated_nights import night

CALLER = "0af7651916cd43dd8448eb211c80319c"


def append_run(ledger: Ledger, run_id: str, **facts: str) -> int:
    """Append the events of a run, started with *facts* besides, and return how many events there are now."""
    tonight = night(pipeline_of({"a": []}))
    tonight.run()
    events = [(event.type, event.type_version, event.data) for event in tonight.store.read_stream("run/run-1")]
    (kind, version, data), *rest = events
    opened = NewEvent(kind, version, {**data, "run_id": run_id, **facts})
    recorded = ledger.append(f"run/{run_id}", [opened, *(NewEvent(*event) for event in rest)], expected_version=-1)
    return recorded[-1].seq + 1


class TestRunTrace:
    """What a ledger knows besides the events of the run."""

    @pytest.mark.parametrize(
        ("facts", "trace_id"),
        [({}, trace_id_of("run-0", None)), ({"traceparent": f"00-{CALLER}-b7ad6b7169203331-01"}, CALLER)],
    )
    def test_what_a_run_reproduces(self, facts: dict[str, str], trace_id: str, tmp_path: Path) -> None:
        """Given a run that reproduces another, then it is linked to that in the trace that it has; one that is not there has that of its id."""
        with open_ledger(tmp_path / "ledger.db") as ledger:
            append_run(ledger, "run-0", **facts)
            append_run(ledger, "run-1", reproduces="run-0")
            append_run(ledger, "run-2", reproduces="run-9")
            links = [run_trace(ledger.connection, run_id).spans[-1].links for run_id in ("run-1", "run-2")]
        assert [((trace_id, span_id_of("run-0")),), ((trace_id_of("run-9", None), span_id_of("run-9")),)] == links

    def test_its_checkpoint(self, tmp_path: Path) -> None:
        """Given a checkpoint over a run, then its span carries it; one over more, or none, says nothing of it."""
        with open_ledger(tmp_path / "ledger.db") as ledger:
            size = append_run(ledger, "run-0")
            found = seal(ledger, size).checkpoint
            later = append_run(ledger, "run-1")
            ledger.append("other", [NewEvent("thing.happened", 1, {})], expected_version=None)
            seal(ledger)
            assert found == checkpoint_of_size(ledger.connection, size)
            assert checkpoint_of_size(ledger.connection, later) is None
            first, second = (run_trace(ledger.connection, run_id).spans[-1].attributes for run_id in ("run-0", "run-1"))
        assert (found.origin, size, found.root.hex()) == tuple(
            first[f"orchestrate.checkpoint.{name}"] for name in ("origin", "size", "root")
        )
        assert "orchestrate.checkpoint.size" not in second

    def test_a_note_that_is_none(self, tmp_path: Path) -> None:
        """Given something that was put there and is no checkpoint, then there is none."""
        with open_ledger(tmp_path / "ledger.db") as ledger:
            size = append_run(ledger, "run-0")
            values = (size, bytes(32), "no note", "2026-01-01T00:00:00.000000Z")
            ledger.connection.execute(
                "INSERT INTO checkpoints (size, root, note, recorded_at) VALUES (?, ?, ?, ?)", values
            )
            assert checkpoint_of_size(ledger.connection, size) is None
