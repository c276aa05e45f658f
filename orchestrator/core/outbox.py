"""
The outbox of a pipeline: which alerts were raised, and what became of each. A fold over the stream `alerts/NAME`.

Plain values alone, so that listing them loads little. What was raised twice was raised once, and what was delivered stays delivered.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime, timedelta
from typing import Any

Row = dict[str, Any]

GIVEN_UP_AFTER = timedelta(days=7)
"""An attempt that fails so long after the alert was raised is the last that a start makes; `orchestrate alerts send` makes more."""

_FIELDS = ("alert", "pipeline", "channel", "kind", "what", "run_id", "about", "facts")


def stream_of(pipeline: str) -> str:
    """Return the stream that holds the alerts of *pipeline*."""
    return f"alerts/{pipeline}"


def outbox(events: Iterable[tuple[str, Mapping[str, Any], str]]) -> dict[str, Row]:
    """
    Return each alert by its id, in the order in which they were raised.

    Args:
        events: Type, data and time of each event of the stream, in order.

    Returns:
        What was raised, and `state` (waiting, delivered, given_up), `attempts`, `error` of the last one, `raised_at`, `changed_at`.
    """
    found: dict[str, Row] = {}
    for kind, data, recorded_at in events:
        alert = str(data["alert"])
        row = found.get(alert)
        if row is None and kind == "alert.raised":
            raised = {name: data.get(name) for name in _FIELDS}
            raised |= {"state": "waiting", "attempts": 0, "error": None, "raised_at": recorded_at}
            found[alert] = raised | {"changed_at": recorded_at}
        elif row is not None and row["state"] != "delivered" and kind != "alert.raised":
            delivered = kind == "alert.delivered"
            row["attempts"] += 1
            row["error"] = None if delivered else data["error"]
            row["changed_at"] = recorded_at
            given_up = _time(recorded_at) - _time(row["raised_at"]) >= GIVEN_UP_AFTER
            row["state"] = "delivered" if delivered else "given_up" if given_up else "waiting"
    return found


def undelivered(rows: Mapping[str, Row], *, given_up: bool = False) -> list[Row]:
    """Return what of *rows* is still to be sent, what was tried least and is oldest first; with *given_up* also what no start tries any more."""
    states = ("waiting", "given_up") if given_up else ("waiting",)
    return sorted((row for row in rows.values() if row["state"] in states), key=lambda row: int(row["attempts"]))


def _time(text: str) -> datetime:
    return datetime.fromisoformat(text)
