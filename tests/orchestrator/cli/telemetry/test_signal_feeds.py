"""What the feeds of metrics and logs make while a run is on is what the ledger makes again, for runs of any shape."""

from __future__ import annotations

from hypothesis import given

from ledger.events import RecordedEvent
from orchestrator.cli.telemetry.feeds import Feed
from orchestrator.cli.telemetry.log_feed import LogFeed
from orchestrator.cli.telemetry.metric_feed import MetricFeed
from orchestrator.cli.telemetry.settings import Signal
from orchestrator.projections.metrics import metrics_of
from tests.random_runs import nights, recorded
from tests.simulated_nights import Night


def fed(feed: Feed, events: list[RecordedEvent]) -> list[object]:
    """Return all that *feed* makes of *events*."""
    return [item for event in events for item in feed.items(event)] + list(feed.last_items(None))


def parts(events: list[RecordedEvent]) -> list[list[RecordedEvent]]:
    """Return the events of the start and of each resume."""
    found: list[list[RecordedEvent]] = []
    for event in events:
        if event.type in ("run.started", "run.resumed"):
            found.append([])
        found[-1].append(event)
    return found


class TestFeeds:
    """One feed for each start or resume, as each is a process of its own."""

    @given(nights())
    def test_all_parts_are_the_whole(self, tonight: Night) -> None:
        """For any run: what each process sends of it, one after the other, is what is made of the whole run in the end."""
        before: list[RecordedEvent] = []
        sent: dict[Signal, list[object]] = {"metrics": [], "logs": []}
        for part in parts(recorded(tonight)):
            sent["metrics"] += fed(MetricFeed(), part)
            sent["logs"] += fed(LogFeed(before), part)
            before += part

        assert sent["metrics"] == metrics_of(before)
        assert sent["logs"] == fed(LogFeed(), before)
