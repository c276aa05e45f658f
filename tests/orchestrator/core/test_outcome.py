"""Tests of how an attempt ended: the whole table."""

from __future__ import annotations

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestrator.core.outcome import Outcome, classify
from orchestrator.core.report import StepReport


@attrs.frozen
class Seen:
    """What was seen of an attempt; by default it ended well and wrote everything."""

    exit_code: int | None = 0
    signal: int | None = None
    timed_out: bool = False
    not_started: str | None = None
    cancelled: str | None = None
    report: StepReport | None = None
    bad_result: str | None = None
    exit_codes: dict[int, str] = attrs.field(factory=dict)
    unkillable: bool = False


def outcome(seen: Seen) -> Outcome:
    """Return how the attempt ended."""
    return classify(
        exit_code=seen.exit_code,
        signal=seen.signal,
        timed_out=seen.timed_out,
        not_started=seen.not_started,
        cancelled=seen.cancelled,
        report=seen.report,
        bad_result=seen.bad_result,
        exit_codes=seen.exit_codes,
        unkillable=seen.unkillable,
    )


SAID = StepReport(message="said")
NOTHING_NEW = StepReport(status="no_new_data", message="said")
FAILED = StepReport(status="failed", message="said")
TRANSIENT = StepReport(status="failed", error_class="transient")
CODES = {3: "no_new_data", 4: "transient", 75: "permanent", 0: "no_new_data"}


class TestTable:
    """Given what was seen, then how it ended: the first case that holds."""

    @pytest.mark.parametrize(
        ("given_", "then"),
        [
            (Seen(), Outcome("succeeded")),
            (Seen(report=SAID), Outcome("succeeded", message="said")),
            (
                Seen(exit_code=None, not_started="no such file"),
                Outcome("failed", "not_started", "misuse", "no such file"),
            ),
            (
                Seen(exit_code=None, not_started="x", cancelled="cancelled"),
                Outcome("failed", "not_started", "misuse", "x"),
            ),
            (Seen(exit_code=None, signal=15, cancelled="cancelled"), Outcome("cancelled", "cancelled")),
            (Seen(cancelled="cancelled", report=SAID), Outcome("cancelled", "cancelled", None, "said")),
            (Seen(exit_code=0, cancelled="cancelled", timed_out=True), Outcome("cancelled", "cancelled")),
            (Seen(exit_code=None, signal=15, cancelled="deadline"), Outcome("cancelled", "deadline")),
            (Seen(exit_code=None, signal=15, timed_out=True), Outcome("failed", "timeout", "transient")),
            (Seen(exit_code=0, timed_out=True), Outcome("failed", "timeout", "transient")),
            (Seen(exit_code=None, timed_out=True, unkillable=True), Outcome("failed", "timeout", "permanent")),
            (Seen(exit_code=None, cancelled="cancelled", unkillable=True), Outcome("cancelled", "cancelled")),
            (Seen(exit_code=None, signal=9), Outcome("failed", "signal", "infrastructure")),
            (Seen(exit_code=None, signal=11, report=SAID), Outcome("failed", "signal", "permanent", "said")),
            (Seen(exit_code=None, signal=15), Outcome("failed", "signal", "permanent")),
            (Seen(exit_code=1), Outcome("failed", "exit", "permanent")),
            (Seen(exit_code=1, report=SAID), Outcome("failed", "exit", "permanent", "said")),
            (Seen(exit_code=64), Outcome("failed", "exit", "misuse")),
            (Seen(exit_code=75), Outcome("failed", "exit", "transient")),
            (Seen(exit_code=78), Outcome("failed", "exit", "misuse")),
            (Seen(exit_code=126), Outcome("failed", "exit", "misuse")),
            (Seen(exit_code=127), Outcome("failed", "exit", "misuse")),
            (Seen(exit_code=255), Outcome("failed", "exit", "permanent")),
            (Seen(exit_code=3, exit_codes=CODES), Outcome("no_new_data")),
            (Seen(exit_code=3, exit_codes=CODES, report=SAID), Outcome("no_new_data", message="said")),
            (Seen(exit_code=0, exit_codes=CODES), Outcome("no_new_data")),
            (Seen(exit_code=3, exit_codes=CODES, report=NOTHING_NEW), Outcome("no_new_data", message="said")),
            (Seen(exit_code=3, exit_codes=CODES, report=FAILED), Outcome("failed", "reported", "permanent", "said")),
            (Seen(exit_code=3, exit_codes=CODES, report=TRANSIENT), Outcome("failed", "reported", "transient")),
            (Seen(exit_code=3, exit_codes=CODES, bad_result="x"), Outcome("failed", "bad_result", "permanent", "x")),
            (Seen(exit_code=0, exit_codes=CODES, bad_result="x"), Outcome("failed", "bad_result", "permanent", "x")),
            (Seen(exit_code=0, exit_codes=CODES, report=FAILED), Outcome("failed", "reported", "permanent", "said")),
            (Seen(exit_code=4, exit_codes=CODES), Outcome("failed", "exit", "transient")),
            (Seen(exit_code=75, exit_codes=CODES), Outcome("failed", "exit", "permanent")),
            (Seen(exit_code=75, exit_codes=CODES, report=TRANSIENT), Outcome("failed", "exit", "transient")),
            (Seen(exit_code=1, bad_result="no JSON"), Outcome("failed", "exit", "permanent", "no JSON")),
            (Seen(bad_result="no JSON"), Outcome("failed", "bad_result", "permanent", "no JSON")),
            (Seen(report=FAILED), Outcome("failed", "reported", "permanent", "said")),
            (Seen(report=TRANSIENT), Outcome("failed", "reported", "transient")),
            (Seen(report=NOTHING_NEW), Outcome("no_new_data", message="said")),
        ],
    )
    def test_case(self, given_: Seen, then: Outcome) -> None:
        """Given one row, then its outcome."""
        assert then == outcome(given_)

    @given(
        st.builds(
            Seen,
            exit_code=st.none() | st.integers(0, 255),
            signal=st.none() | st.integers(1, 64),
            timed_out=st.booleans(),
            not_started=st.none() | st.just("x"),
            cancelled=st.sampled_from([None, "cancelled", "deadline"]),
            report=st.none() | st.sampled_from([SAID, NOTHING_NEW, FAILED, TRANSIENT]),
            bad_result=st.none() | st.just("x"),
            exit_codes=st.just(CODES),
        )
    )
    def test_every_failure_has_a_reason_and_a_class(self, seen: Seen) -> None:
        """For anything that may be seen: failed has reason and class, cancelled no class, success neither."""
        found = outcome(seen)

        assert (found.status, found.reason is None, found.error_class is None) in {
            ("failed", False, False),
            ("cancelled", False, True),
            ("succeeded", True, True),
            ("no_new_data", True, True),
        }
        assert found.error_class in (None, "transient", "infrastructure", "misuse", "permanent")
