"""Tests of an attempt's end as the event that records it."""

from __future__ import annotations

import signal

import pytest

from orchestrator.core.outcome import Outcome
from orchestrator.core.report import StepReport
from orchestrator.runtime.ports import Exited, Log, Survivor
from orchestrator.runtime.recording import attempt_finished, ended_evidence, signal_name


def redact(text: str) -> str:
    """Return *text* without the one secret there is."""
    return text.replace("secret", "***")


class TestAttemptFinished:
    """Everything that was seen, and no secret."""

    def test_texts_are_redacted(self) -> None:
        """Message, metrics and facts about outputs; numbers stay numbers."""
        report = StepReport(
            message="a secret", metrics={"rows": 3, "note": "secret!", "ok": True}, outputs={"out": {"key": "secret"}}
        )
        event = attempt_finished(
            "run-1", Exited("a", 1, exit_code=1), Outcome("failed", "reported", "permanent", "a secret"), report, redact
        )

        assert "a ***" == event.message
        assert {"rows": 3, "note": "***!", "ok": True} == event.metrics
        assert {"out": {"key": "***"}} == event.reported

    def test_names_and_numbers_may_be_secrets_too(self) -> None:
        """A name that holds one is masked, and so are digits that are one."""
        report = StepReport(metrics={"my_secret": 1, "pin": 4711}, outputs={"secret": {"secret": 4711}})

        def mask(text: str) -> str:
            return text.replace("secret", "***").replace("4711", "###")

        event = attempt_finished("run-1", Exited("a", 1, exit_code=0), Outcome("succeeded"), report, mask)

        assert {"my_***": 1, "pin": "###"} == event.metrics
        assert {"***": {"***": "###"}} == event.reported

    @pytest.mark.parametrize("report", [None, StepReport()])
    def test_what_is_not_there_is_left_out(self, report: StepReport | None) -> None:
        """A silent success has nothing to tell."""
        event = attempt_finished("run-1", Exited("a", 1, exit_code=0), Outcome("succeeded"), report, redact)

        assert [None] * 5 == [event.message, event.log, event.metrics, event.reported, event.masked]

    @pytest.mark.parametrize("truncated", [True, False])
    def test_log(self, *, truncated: bool) -> None:
        """Where it is, relative to the ledger, what it holds, and how often each secret was masked."""
        log = Log(bytes=3, lines=1, sha256="ab", truncated=truncated, masked={"TOKEN": 2})
        exited = Exited("a", 2, exit_code=0, duration_us=5, log=log)
        event = attempt_finished("run-1", exited, Outcome("succeeded"), None, redact)

        expected = {"path": "logs/run-1/a.2.log", "bytes": 3, "lines": 1, "sha256": "ab"}
        assert event.log == ({**expected, "truncated": True} if truncated else expected)
        assert ({"TOKEN": 2}, 5) == (event.masked, event.duration_us)

    @pytest.mark.parametrize(("message", "told"), [(None, ""), ("two rows", "two rows; ")])
    def test_output_that_could_not_be_kept_is_told(self, message: str | None, told: str) -> None:
        """Whoever looks for a log has to know why there is none, or not all of it."""
        exited = Exited("a", 1, exit_code=0, log_failure="No space left on device")
        event = attempt_finished("run-1", exited, Outcome("succeeded", message=message), None, redact)

        assert event.message == f"{told}its output could not be kept: No space left on device"

    @pytest.mark.parametrize(
        ("names", "told"),
        [
            (["sleep"], "a process that went on after it was killed: sleep"),
            (["sleep", "sleep", ""], "3 processes that went on after it were killed: sleep, (no name)"),
            (["a secret", "b", "c", "d"], "4 processes that went on after it were killed: a ***, b, c, …"),
        ],
    )
    def test_survivors_are_named(self, names: list[str], told: str) -> None:
        """Whoever reads of the attempt reads what it left behind; names are the steps' own, and go through the redactor."""
        exited = Exited("a", 1, exit_code=0, survivors=tuple(Survivor(pid, name) for pid, name in enumerate(names)))
        event = attempt_finished("run-1", exited, Outcome("succeeded"), None, redact)

        assert event.message == told
        assert [item["pid"] for item in event.survivors] == [*range(len(names))]
        assert "secret" not in str(event.survivors)

    def test_what_lives_on_is_told_with_its_number(self) -> None:
        """Since somebody has to look after it; what was killed is told beside it."""
        survivors = (Survivor(7, "dd", is_alive=True), Survivor(8, "sh"), Survivor(9, "secret", is_alive=True))
        exited = Exited("a", 1, timed_out=True, unkillable=True, survivors=survivors)
        event = attempt_finished("run-1", exited, Outcome("failed", "timeout", "permanent"), None, redact)

        dead = "a process that went on after it was killed: sh"
        assert event.message == f"{dead}; 2 processes that could not be killed live on: dd (7), *** (9)"
        assert [item.get("alive") for item in event.survivors] == [True, None, True]

    def test_signals_have_their_moments(self) -> None:
        """Each beside its name; nothing where nothing was sent."""
        sent = Exited("a", 1, signal=9, killed=("SIGTERM", "SIGKILL"), killed_us=(5, 9))
        events = [
            attempt_finished("run-1", exited, Outcome("failed", "timeout", "transient"), None, redact)
            for exited in (sent, Exited("a", 1, exit_code=0))
        ]
        assert [event.killed_us for event in events] == [(5, 9), None]

    def test_a_hundred_survivors_are_enough(self) -> None:
        """The event stays small, and the message says how many there were."""
        exited = Exited("a", 1, exit_code=0, survivors=(Survivor(7, "x"),) * 200)
        event = attempt_finished("run-1", exited, Outcome("succeeded"), None, redact)

        assert len(event.survivors) == 100
        assert str(event.message).startswith("200 processes")

    def test_what_never_started_took_no_time(self) -> None:
        """No duration, not one of zero."""
        exited = Exited("a", 1, not_started="could not start")
        event = attempt_finished("run-1", exited, Outcome("failed", "not_started", "misuse"), None, redact)

        assert event.duration_us is None


class TestEvidence:
    """What a failure rests on."""

    @pytest.mark.parametrize(
        ("exited", "evidence"),
        [
            (None, {}),
            (Exited("a", 1, exit_code=0), {}),
            (Exited("a", 1, not_started="x"), {}),
            (Exited("a", 1, exit_code=137), {"exit_code": 137}),
            (Exited("a", 1, signal=9), {"signal": 9, "name": "SIGKILL"}),
        ],
    )
    def test_evidence(self, exited: Exited | None, evidence: dict[str, object]) -> None:
        """The exit code or the signal; 137 is no signal."""
        assert evidence == ended_evidence(exited)

    @pytest.mark.parametrize(
        ("number", "name"),
        [
            (signal.SIGTERM, "SIGTERM"),
            (signal.SIGRTMIN, "SIGRTMIN"),
            (signal.SIGRTMIN + 3, "SIGRTMIN+3"),
            (signal.SIGRTMAX, "SIGRTMAX"),
            (signal.SIGRTMIN - 2, "signal 32"),
        ],
    )
    def test_every_signal_has_a_name(self, number: int, name: str) -> None:
        """Those for real time are counted; those of the C library have a number."""
        assert name == signal_name(number)
