"""Tests of the timeline: a bar for each attempt, on an axis that people can read, whatever is missing."""

from __future__ import annotations

import re
from xml.etree.ElementTree import Element

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestrator.projections.graph_text import LOOKS
from orchestrator.projections.timeline_svg import duration_text, tick_moments, time_text, timeline_svg
from tests.orchestrator.projections.test_graph import parsed
from tests.orchestrator.projections.test_reports import (
    Detail,
    attempt_of,
    failed_run,
    large_run,
    moment,
    run_of,
    step_of,
)

SVG = "{http://www.w3.org/2000/svg}"
SECOND = 1_000_000


def drawn(detail: Detail) -> list[Element]:
    """Return the group of each attempt in the timeline of *detail*."""
    return [group for group in parsed(timeline_svg(detail)).iter(f"{SVG}g") if group.get("class") == "attempt"]


def texts(element: Element) -> list[str]:
    """Return all texts that are drawn in *element*."""
    return [text.text or "" for text in element.iter(f"{SVG}text")]


def bar(group: Element) -> tuple[float, float]:
    """Return where the bar of an attempt begins and how wide it is."""
    box = group.find(f"{SVG}rect")
    assert box is not None
    return float(box.attrib["x"]), float(box.attrib["width"])


class TestBars:
    """Attempts as they happened."""

    def test_in_the_order_of_their_start(self) -> None:
        """Given a run with retries and skips, then each attempt has a row, later ones further down, and skips have none."""
        rows = [texts(group) for group in drawn(failed_run())]
        assert [row[0] for row in rows] == [
            "land_flights",
            "land_dimensions",
            "bronze_flights",
            "quality_gate",
            "silver_weather",
            "quality_gate #2",
            "quality_gate #3",
        ]

    def test_failures_have_a_glyph_and_tell_why(self) -> None:
        """Given a failed attempt, then glyph, class and tooltip say so."""
        group = drawn(failed_run())[3]
        box = group.find(f"{SVG}rect")

        assert texts(group)[1:] == [LOOKS["failed"].glyph, "1m40s"]
        assert box is not None
        assert box.get("class") == "box failed"
        assert (group.findtext(f"{SVG}title") or "").startswith(
            "quality_gate, attempt 1: failed; exit; quality gate: 1,204"
        )

    def test_places_follow_the_times(self) -> None:
        """Given an attempt of half the run, then its bar is half as wide as that of the whole."""
        steps = [step_of("all", attempts=[attempt_of(1, 0, 900)]), step_of("half", attempts=[attempt_of(1, 450, 900)])]
        (left, width), (half_left, half_width) = (bar(group) for group in drawn(run_of(steps)))
        assert (half_left - left, half_width) == pytest.approx((width / 2, width / 2), abs=0.2)

    def test_expected_durations_are_marked(self) -> None:
        """Given a usual duration of twice the actual one, then a line reaches twice as far as the bar."""
        steps = [step_of("one", attempts=[attempt_of(1, 0, 300)], expected_seconds=600.0)]
        (group,) = drawn(run_of(steps))
        mark = group.find(f"{SVG}path")
        left, width = bar(group)

        assert mark is not None
        found = re.match(r"M([\d.]+) [\d.]+H([\d.]+)v-5", mark.attrib["d"])
        assert found is not None
        assert (float(found[1]), float(found[2])) == pytest.approx((left, left + 2 * width), abs=0.2)
        assert "Thin line" in timeline_svg(run_of(steps))
        assert "Thin line" not in timeline_svg(run_of([step_of("one", attempts=[attempt_of(1, 0, 300)])]))

    def test_a_running_attempt_reaches_to_the_end(self) -> None:
        """Given a run that is still on, then its open attempt lasts to the last known time."""
        steps = [
            step_of("done", attempts=[attempt_of(1, 0, 100)]),
            step_of("on", "running", attempts=[attempt_of(1, 50, None, None)]),  # type: ignore[arg-type]
        ]
        groups = drawn(run_of(steps, status="running", finished_at=None, duration_seconds=None))
        (left, width), (open_left, open_width) = (bar(group) for group in groups)
        box = groups[1].find(f"{SVG}rect")

        assert open_left + open_width == pytest.approx(left + width, abs=0.2)
        assert box is not None
        assert box.get("class") == "box running open"
        assert texts(groups[1]) == ["on", LOOKS["running"].glyph, ""]
        assert "no end recorded" in (groups[1].findtext(f"{SVG}title") or "")

    def test_a_run_without_length_is_drawn(self) -> None:
        """Given a run in which everything happened at once, then the bar can still be seen."""
        steps = [step_of("now", attempts=[attempt_of(1, 0, 0)])]
        (group,) = drawn(run_of(steps, finished_at=moment(0), duration_seconds=0.0))
        assert bar(group)[1] >= 2
        assert texts(group)[2] == "0s"

    def test_no_times_at_all(self) -> None:
        """Given attempts that never started, then the picture says that nothing ran."""
        never = attempt_of(1, 0, 0) | {"started_at": None, "finished_at": None}
        for steps in ([], [step_of("a", "failed", [never])]):
            root = parsed(timeline_svg(run_of(steps)))
            assert texts(root) == ["No step was started."]

    def test_a_run_without_a_start_begins_with_its_first_attempt(self) -> None:
        """Given no start of the run, then the first attempt stands at the left."""
        steps = [step_of("a", attempts=[attempt_of(1, 60, 70)])]
        assert "from 2026-01-31 02:01:03 to" in timeline_svg(run_of(steps, started_at=None))

    def test_an_attempt_without_news_says_so(self) -> None:
        """Given an attempt that reported no new data, then it looks skipped and says what it is."""
        steps = [step_of("a", "skipped", [attempt_of(1, 0, 5, "no_new_data")])]
        (group,) = drawn(run_of(steps))
        assert texts(group) == ["a", LOOKS["skipped"].glyph, "5s no new data"]

    def test_of_many_the_longest(self) -> None:
        """Given 250 attempts, then the longest 200 are drawn in the order of their start, and the picture says so."""
        steps = [step_of(f"s{number}", attempts=[attempt_of(1, number, number + 1 + number)]) for number in range(250)]
        detail = run_of(steps)
        names = [texts(group)[0] for group in drawn(detail)]

        assert names == [f"s{number}" for number in range(50, 250)]
        assert "The longest 200 of 250 attempts are drawn." in texts(parsed(timeline_svg(detail)))[-1]

    def test_hostile_text_is_text(self) -> None:
        """Given markup in names and messages, then the only elements are our own."""
        attempt = attempt_of(1, 0, 5, "failed", message="</title><script>alert(1)</script>\x00\n", reason="<b>")
        picture = timeline_svg(run_of([step_of('"><img src=x>', "failed", [attempt])]))
        tags = {element.tag.removeprefix(SVG) for element in parsed(picture).iter()}
        assert tags == {"svg", "title", "style", "rect", "g", "line", "text"}

    def test_everything_lies_within(self) -> None:
        """Given a large run, then no bar reaches beyond the picture, and it comes out the same again."""
        picture = timeline_svg(large_run())
        width = float(parsed(picture).attrib["width"])
        assert all(sum(bar(group)) < width for group in drawn(large_run()))
        assert picture == timeline_svg(large_run())


class TestAxis:
    """Times at round distances."""

    @given(st.integers(0, 4 * 10**15), st.integers(1_000, 10**15))
    def test_ticks_are_round_and_few(self, start: int, length: int) -> None:
        """For any span there are one to eight ticks a step apart within it, none only where the span is short of a step."""
        step, moments = tick_moments(start, start + length)
        assert len(moments) <= 8
        assert len(moments) >= 1 or length < step
        assert all(start <= moment <= start + length and moment % step == 0 for moment in moments)

    @pytest.mark.parametrize(
        ("seconds", "label"),
        [(0.004, "03.000s"), (4, "02:00:03"), (600, "02:02"), (86_400, "06:00"), (86_400 * 40, "2026-02-05")],
    )
    def test_labels_fit_their_distance(self, seconds: float, label: str) -> None:
        """Given a span, then its ticks are labelled as finely as they stand."""
        steps = [step_of("a", attempts=[attempt_of(1, 0, seconds)])]
        root = parsed(timeline_svg(run_of(steps, finished_at=moment(seconds))))
        ticks = [text.text for text in root.iter(f"{SVG}text") if text.get("class") == "quiet middle"]
        assert label in ticks

    def test_a_span_beyond_all_steps(self) -> None:
        """Given a span of thousands of years, then there are still few ticks."""
        assert len(tick_moments(0, 10**19)[1]) <= 8

    def test_durations_are_rounded_for_people(self) -> None:
        """Given durations of each size, then no more digits than one compares."""
        values = (0, 400, 123_456, 12_345_678, 65_432_100)
        assert [duration_text(value) for value in values] == ["0s", "0.4ms", "123ms", "12.3s", "1m5s"]

    def test_times_are_to_the_second(self) -> None:
        """Given a stored time, then it is shown without its fraction; without one a dash."""
        assert (time_text("2026-01-31T02:03:04.123456Z"), time_text(None)) == ("2026-01-31 02:03:04Z", "-")
