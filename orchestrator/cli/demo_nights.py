"""
What happens in each night of the demo: a pure plan, so that it can be read and tested without running anything.

A real pipeline's nights are not all alike, and the demo's are not either: one night brings nothing (its files come with the next),
one brings a broken file that is delivered again in the morning, one file comes twice in another order, and the registry of
aircraft comes every week. 14 nights from 1 February hold the blizzard of 8 and 9 February 2013; fewer end with it.
"""

from __future__ import annotations

from datetime import date, timedelta
from typing import Literal

import attrs

MOST_NIGHTS = 365
STORM = (date(2013, 2, 8), date(2013, 2, 9))
_YEAR_STARTS = date(2013, 1, 1)
_YEAR_ENDS = date(2013, 12, 31)
_START = date(2013, 2, 1)
_NIGHTS_TO_STORM_END = (STORM[1] - _START).days + 1

# The events of a long demo come again every four weeks, the registry every week.
_EVENT_PERIOD = 28
_REGISTRY_PERIOD = 7

# So many nights before the storm hold all events, the two main ones, one of them.
_ROOM_FOR_ALL, _ROOM_FOR_BOTH, _ROOM_FOR_TWO = 6, 3, 2

Kind = Literal["delivery", "none", "broken"]
Registry = Literal["first", "update", "resend"]
Morning = Literal["repair", "resend"]


@attrs.frozen
class DemoNight:
    """
    Say what arrives in one night and the morning after.

    Attributes:
        number: From 1.
        kind: `delivery` is in order, `none` brings nothing at all, `broken` brings a damaged file of flights.
        late: Days whose files were missing before and come tonight as well.
        registry: The state of the slow dimensions that comes along, or None.
        morning: `repair` delivers the broken file again, `resend` delivers the same rows in another order; the pipeline
            then runs a second time for this night.
    """

    number: int
    night: date
    kind: Kind = "delivery"
    late: tuple[date, ...] = ()
    registry: Registry | None = None
    morning: Morning | None = None

    @property
    def runs(self) -> int:
        """How often the pipeline runs for this night."""
        return 1 if self.morning is None else 2


def plan_nights(nights: int) -> list[DemoNight]:
    """
    Plan a demo of *nights* nights.

    The first is 1 February 2013; fewer than nine nights start later and end with the blizzard, more than 334 start on 1 January.

    Raises:
        ValueError: *nights* is not between 1 and 365.
    """
    if not 1 <= nights <= MOST_NIGHTS:
        raise ValueError(f"a demo has 1 to {MOST_NIGHTS} nights, not {nights}: the data is that of one year")
    first = _first_night(nights)
    silent, broken, resent = _event_numbers(nights)
    planned: list[DemoNight] = []
    late: tuple[date, ...] = ()
    for number in range(1, nights + 1):
        night = first + timedelta(days=number - 1)
        if number in silent:
            planned.append(DemoNight(number, night, kind="none"))
            late = (night,)
            continue
        planned.append(
            DemoNight(
                number,
                night,
                kind="broken" if number in broken else "delivery",
                late=late,
                registry=_registry(number),
                morning="repair" if number in broken else "resend" if number in resent else None,
            )
        )
        late = ()
    return planned


def _first_night(nights: int) -> date:
    if nights < _NIGHTS_TO_STORM_END:
        return STORM[1] - timedelta(days=nights - 1)
    if nights > (_YEAR_ENDS - _START).days + 1:
        return _YEAR_STARTS
    return _START


def _event_numbers(nights: int) -> tuple[set[int], set[int], set[int]]:
    """Return the numbers of the nights without delivery, with a broken one, and with one that comes twice."""
    before_storm = nights - len(STORM)
    if before_storm >= _ROOM_FOR_ALL:
        silent = set(range(4, nights, _EVENT_PERIOD))  # never the last night: its files come with the next
        broken = set(range(6, nights + 1, _EVENT_PERIOD))
        resent = set(range(10, nights + 1, _EVENT_PERIOD))
        return silent, broken, resent
    if before_storm >= _ROOM_FOR_BOTH:
        return {2}, {3}, set()
    if before_storm == _ROOM_FOR_TWO:
        return {2}, {1}, set()
    return set(), {1} if before_storm == 1 else set(), set()


def _registry(number: int) -> Registry | None:
    """The first registry lacks the newest aircraft, the second has them, all later ones say the same in another order."""
    week, weekday = divmod(number - 1, _REGISTRY_PERIOD)
    if weekday:
        return None
    return "first" if week == 0 else "update" if week == 1 else "resend"
