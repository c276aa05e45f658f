"""Tests of the outbox: what was raised, and what became of it."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st

from orchestrator.core.outbox import GIVEN_UP_AFTER, outbox, undelivered

Entry = tuple[str, dict[str, object], str]

IDS = ("failed:1:ops", "failed:1:chat", "recovered:2:ops")
START = datetime(2026, 1, 31, tzinfo=UTC)


def entry(kind: str, alert: str, after: timedelta = timedelta()) -> Entry:
    """Return an event of the stream, so long after the start."""
    data: dict[str, object] = {"alert": alert, "pipeline": "shop", "channel": alert.rpartition(":")[2]}
    data |= {"kind": "failed", "what": "x"} if kind == "raised" else {"attempt": 1}
    data |= {"error": "no"} if kind == "failed" else {}
    return f"alert.{kind}", data, (START + after).isoformat()


ENTRIES = st.lists(
    st.builds(
        entry, st.sampled_from(["raised", "delivered", "failed"]), st.sampled_from(IDS), st.just(timedelta(hours=1))
    ),
    max_size=30,
)


class TestFold:
    """The state of an alert follows from its events."""

    def test_states(self) -> None:
        """Given an alert that fails and is delivered then, then it has waited and is delivered, with the last error gone."""
        events = [entry("raised", IDS[0]), entry("failed", IDS[0]), entry("delivered", IDS[0])]
        seen = [outbox(events[:count])[IDS[0]] for count in (1, 2, 3)]
        assert [row["state"] for row in seen] == ["waiting", "waiting", "delivered"]
        assert [(row["attempts"], row["error"]) for row in seen] == [(0, None), (1, "no"), (2, None)]

    def test_given_up_after_a_week(self) -> None:
        """Given an alert that fails for a week, then no start tries it again, and whoever asks for it can; a delivery is one all the same."""
        events = [entry("raised", IDS[0]), entry("failed", IDS[0], GIVEN_UP_AFTER - timedelta(seconds=1))]
        assert len(undelivered(outbox(events))) == 1
        events.append(entry("failed", IDS[0], GIVEN_UP_AFTER))
        rows = outbox(events)
        assert rows[IDS[0]]["state"] == "given_up"
        assert (len(undelivered(rows)), len(undelivered(rows, given_up=True))) == (0, 1)
        events.append(entry("delivered", IDS[0], GIVEN_UP_AFTER))
        assert outbox(events)[IDS[0]]["state"] == "delivered"

    @given(ENTRIES)
    def test_law(self, events: list[Entry]) -> None:
        """For any events: an alert is there once it was raised, stays delivered once it was, and is undelivered exactly while it is not."""
        rows = outbox(events)
        for alert in IDS:
            kinds = [kind.removeprefix("alert.") for kind, data, _ in events if data["alert"] == alert]
            after = kinds[kinds.index("raised") :] if "raised" in kinds else []
            assert (alert in rows) == bool(after)
            if after:
                delivered = "delivered" in after
                assert (rows[alert]["state"] == "delivered") == delivered
                assert (alert in [row["alert"] for row in undelivered(rows)]) == (not delivered)
                tried = after[: after.index("delivered") + 1] if delivered else after
                assert rows[alert]["attempts"] == len(tried) - tried.count("raised")
        assert (
            outbox([*events, *(item for item in events if item[0] == "alert.raised" and item[1]["alert"] in rows)])
            == rows
        )
