"""Trying a channel: a message that says that it is one, which no ledger records."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime

from ledger.times import utc_now
from orchestrator.cli.alerting import message_of
from orchestrator.cli.reach import Reach
from orchestrator.core.definition import CHANNEL_TIMEOUT_MAX_US
from orchestrator.core.outbox import outbox


def try_channels(reach: Reach, names: Sequence[str]) -> list[dict[str, object]]:
    """Send a message to each channel of *names* and return for each whether it took it, and why not."""
    now = datetime.now(UTC)
    found: list[dict[str, object]] = []
    for name in names:
        raised = {
            "alert": f"test:{now:%Y%m%dT%H%M%SZ}:{name}",
            "pipeline": reach.pipeline.name,
            "channel": name,
            "kind": "test",
            "what": f"{reach.pipeline.name}: this is a test of the channel {name}; nothing has happened",
        }
        (row,) = outbox([("alert.raised", raised, utc_now())]).values()
        error = reach.send(name, message_of(row, reach, None), CHANNEL_TIMEOUT_MAX_US)
        found.append({"channel": name, "ok": error is None, "error": error})
    return found
