"""Run events of OpenLineage over any history: each follows the official schemas, each start has one end, ids and times are functions of the events."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from hypothesis import given, settings

from ledger.events import RecordedEvent
from orchestrator.core.events import RunFinished, event_data, event_type
from orchestrator.projections.openlineage import lineage_events
from tests.openlineage import broken_rules, problems_of
from tests.properties.test_read_models import Append, histories
from tests.properties.test_run_machine import Nights

LEDGER = "0" * 32


def recorded_of(history: Sequence[Append]) -> dict[str, list[RecordedEvent]]:
    """Return the events of each run in *history*, as a ledger would give them."""
    found: dict[str, list[RecordedEvent]] = {}
    seq = 0
    for append in history:
        for event in append.events:
            name, version = event_type(event)
            at = f"2026-01-01T00:00:{seq // 10:02}.{seq % 10:06}Z"
            events = found.setdefault(append.stream, [])
            data: Any = json.loads(json.dumps(event_data(event)))
            events.append(RecordedEvent(seq, append.stream, len(events), name, version, at, data, f"id-{seq}"))
            seq += 1
    return {stream: events for stream, events in found.items() if stream.startswith("run/")}


def blobs_of(history: Sequence[Append]) -> dict[str, Mapping[str, Any]]:
    """Return the documents in *history*."""
    return {digest: json.loads(data) for append in history for digest, data in append.blobs.items()}


class TestAnyHistory:
    """Events in any order that runs can have."""

    @given(history=histories())
    def test_laws(self, history: list[Append]) -> None:
        """Given any run, then its run events are valid, begin and end once each, and those of its beginning are the beginning of them."""
        blobs = blobs_of(history)
        for events in recorded_of(history).values():
            made = list(lineage_events(events, blobs.get, ledger=LEDGER))
            assert [problem for event in made for problem in problems_of(event)] == []
            is_over = events[-1].type == event_type(RunFinished("failed", 1, 0, {}))[0]
            assert broken_rules(made, finished=is_over) == []
            assert {event["eventTime"] for event in made} <= {event.recorded_at for event in events}
            for length in (0, 1, len(events) // 2, len(events) - 1):
                part = list(lineage_events(events[:length], blobs.get, ledger=LEDGER))
                assert part == made[: len(part)]

    @given(history=histories())
    def test_pruned(self, history: list[Append]) -> None:
        """Given documents that are gone, then the same runs begin and end, and all of it is valid."""
        blobs = blobs_of(history)
        for events in recorded_of(history).values():
            made = list(lineage_events(events, lambda _: None, ledger=LEDGER))
            assert [problem for event in made for problem in problems_of(event)] == []
            whole = lineage_events(events, blobs.get, ledger=LEDGER)
            assert [_who(event) for event in made] == [_who(event) for event in whole]

    @given(history=histories())
    def test_ids(self, history: list[Append]) -> None:
        """Given two ledgers, or two runs, then no run of the one has the id of a run of the other."""
        blobs = blobs_of(history)
        ids: list[str] = []
        for ledger in (LEDGER, "1" * 32):
            for events in recorded_of(history).values():
                ids += {event["run"]["runId"] for event in lineage_events(events, blobs.get, ledger=ledger)}
        assert len(ids) == len(set(ids))


def _who(event: Mapping[str, Any]) -> tuple[str, str, str]:
    return event["eventType"], event["eventTime"], event["run"]["runId"]


class ExportedNights(Nights):
    """Whole runs of the engine in the simulated world, kills, resumes and repairs included; in the end, all of them are exported."""

    def teardown(self) -> None:
        """Export every run, and hold it against the schemas and the rules."""
        try:
            rows = self.store.connection.execute("SELECT run_id, status FROM runs").fetchall()
            for run_id, status in rows:
                events = self.store.read_stream(f"run/{run_id}")
                made = list(lineage_events(events, self._document, ledger=self.store.ledger_id))
                assert [problem for event in made for problem in problems_of(event)] == []
                assert broken_rules(made, finished=status != "running") == []
                self._check_versions(events, made)
        finally:
            super().teardown()

    def _document(self, digest: str) -> Mapping[str, Any] | None:
        content = self.store.blob(digest)
        found: Mapping[str, Any] | None = None if content is None else json.loads(content)
        return found

    @staticmethod
    def _check_versions(events: Sequence[RecordedEvent], made: Sequence[Mapping[str, Any]]) -> None:
        """Each output that a success has left is there with its digest as version."""
        left = [
            f"{name} {digest}"
            for event in events
            if event.type == "step.finished" and event.data["status"] == "succeeded"
            for name, digest in sorted(event.data.get("outputs", {}).items())  # type: ignore[attr-defined]
        ]
        told = [
            f"{output['name'].rpartition('.')[2]} {output['facets']['version']['datasetVersion']}"
            for event in made
            if event["eventType"] == "COMPLETE"
            for output in sorted(event.get("outputs", ()), key=lambda item: str(item["name"]))
        ]
        assert told == left


TestExportedNights = ExportedNights.TestCase
TestExportedNights.settings = settings(max_examples=15, stateful_step_count=10, deadline=None)
