"""Laws of the demo's plan: every day is delivered, every event has its room."""

from __future__ import annotations

from datetime import date, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestrator.cli.demo_nights import MOST_NIGHTS, STORM, plan_nights

NIGHTS = st.integers(1, MOST_NIGHTS)


class TestPlanNights:
    """Whatever the number of nights."""

    @given(NIGHTS)
    def test_nights_follow_each_other_within_the_year(self, nights: int) -> None:
        """Given a number, then so many nights in a row, numbered from 1, all of 2013."""
        plan = plan_nights(nights)
        assert [night.number for night in plan] == list(range(1, nights + 1))
        assert [night.night for night in plan] == [plan[0].night + timedelta(days=day) for day in range(nights)]
        assert date(2013, 1, 1) <= plan[0].night <= plan[-1].night <= date(2013, 12, 31)

    @given(NIGHTS)
    def test_every_day_is_delivered_once(self, nights: int) -> None:
        """Given a number, then each night's files come that night, or with the next where that night brought nothing."""
        plan = plan_nights(nights)
        delivered = [day for night in plan for day in (*night.late, *([night.night] if night.kind != "none" else []))]
        assert delivered == [night.night for night in plan]
        assert plan[-1].kind != "none"

    @given(NIGHTS)
    def test_broken_delivery_is_repaired_in_the_morning(self, nights: int) -> None:
        """Given a number, then a broken night has a morning of repair, a night of nothing has none."""
        for night in plan_nights(nights):
            assert (night.kind == "broken") == (night.morning == "repair")
            assert night.runs == (1 if night.morning is None else 2)
            if night.kind == "none":
                assert (night.morning, night.registry, night.late) == (None, None, ())

    @given(NIGHTS)
    def test_registry_begins_with_the_first_delivery(self, nights: int) -> None:
        """Given a number, then the first night brings the first registry, the second week its update, later ones the same."""
        states = [night.registry for night in plan_nights(nights) if night.registry is not None]
        assert plan_nights(nights)[0].registry == "first"
        assert states[:2] == ["first", "update"][: len(states)]
        assert set(states[2:]) <= {"resend"}

    @given(NIGHTS)
    def test_storm_is_the_end_of_a_short_demo_and_part_of_a_long_one(self, nights: int) -> None:
        """Given a number, then the blizzard is on its two nights."""
        plan = plan_nights(nights)
        stormy = [night.night for night in plan if night.night in STORM]
        assert stormy == list(STORM)[-min(nights, 2) :]
        if nights < 9:
            assert plan[-1].night == STORM[1]

    @pytest.mark.parametrize(
        ("nights", "kinds", "resent"),
        [(1, 0, 0), (2, 0, 0), (3, 1, 0), (4, 2, 0), (5, 2, 0), (8, 2, 0), (14, 2, 1), (365, 26, 13)],
    )
    def test_events_have_their_room(self, nights: int, kinds: int, resent: int) -> None:
        """Given more nights, then more happens in them."""
        plan = plan_nights(nights)
        assert sum(night.kind != "delivery" for night in plan) == kinds
        assert sum(night.morning == "resend" for night in plan) == resent

    @pytest.mark.parametrize("nights", [-1, 0, 366])
    def test_number_out_of_range(self, nights: int) -> None:
        """Given a number that the year does not have, then it is refused with the range."""
        with pytest.raises(ValueError, match=f"a demo has 1 to 365 nights, not {nights}"):
            plan_nights(nights)
