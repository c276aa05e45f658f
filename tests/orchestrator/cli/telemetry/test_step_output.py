"""Lines of steps on their way to an outlet: each is taken or counted, and those that are taken are the lines of the log."""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path

import attrs
from hypothesis import given
from hypothesis import strategies as st

from orchestrator.cli.telemetry.outlet import Outlet
from orchestrator.cli.telemetry.settings import Batching
from orchestrator.cli.telemetry.step_output import StepOutput
from orchestrator.projections.log_records import Record, RunLog
from orchestrator.runtime.ports import Launch
from tests.orchestrator.cli.test_progress import RUN, event

PIECES = st.lists(st.lists(st.sampled_from([b"x", b"yz", b"\n"]), max_size=12).map(b"".join), max_size=12)


@attrs.define
class Memory:
    """A place that keeps what it is sent."""

    taken: list[Record] = attrs.field(factory=list)

    def send(self, items: Sequence[object]) -> None:
        """Keep *items*."""
        self.taken += [item for item in items if isinstance(item, Record)]

    def hang_up(self) -> None:
        """Do nothing."""

    def close(self) -> None:
        """Do nothing."""


def launch(*, private: bool = False) -> Launch:
    """Return what an attempt is started with."""
    return Launch("a", 1, ("true",), {}, "/", Path("log"), 1 << 20, None, 0, log_private=private)


def log() -> RunLog:
    """Return a log that knows of the run."""
    found = RunLog()
    found.apply(event("run.started", **RUN, host="h"))
    return found


class TestStepOutput:
    """`StepOutput`, with a real outlet."""

    @given(PIECES, st.integers(1, 6))
    def test_each_line_is_taken_or_counted(self, pieces: list[bytes], most: int) -> None:
        """For any output and any room: what is taken are lines of it with their numbers, and with what was missed it is all of them."""
        place = Memory()
        outlet = Outlet("step_output", "r", place, Batching(0, 2, most))
        ear = StepOutput(log(), [outlet], (), print).listen(launch())
        assert ear is not None
        # What waits is never more than there is room for; the thread starts in the middle.
        for number, piece in enumerate(pieces):
            if number == len(pieces) // 2:
                outlet.start()
            ear.hear(piece)
        if not pieces:
            outlet.start()
        ear.end()
        outlet.close()
        (outcome,) = outlet.outcomes(time.monotonic() + 30)

        *whole, rest = b"".join(pieces).split(b"\n")
        lines = {number: line.decode() for number, line in enumerate([*whole, rest] if rest else whole, 1)}
        assert all(lines[int(record.fields["line"])] == record.message for record in place.taken)
        assert (len(place.taken), len(lines)) == (outcome.taken, outcome.taken + outcome.missed)

    def test_what_is_private_is_not_heard(self) -> None:
        """Given a launch whose log is private, or a step that was withheld before, then nobody listens."""
        assert StepOutput(log(), [], (), print).listen(launch(private=True)) is None
        assert StepOutput(log(), [], {"a"}, print).listen(launch()) is None
        assert StepOutput(log(), [], {"b"}, print).listen(launch()) is not None

    def test_bytes_of_any_kind(self) -> None:
        """Given bytes that are no UTF-8 and a line without end, then the record holds what can be shown, and says that it is cut."""
        place = Memory()
        outlet = Outlet("step_output", "r", place, Batching())
        outlet.start()
        ear = StepOutput(log(), [outlet], (), print).listen(launch())
        assert ear is not None
        ear.hear(b"caf\xe9\n" + b"y" * 20_000)
        ear.end()
        outlet.close()
        outlet.outcomes(time.monotonic() + 30)
        assert [record.message for record in place.taken] == ["caf\ufffd", "y" * 16_384]
        assert [record.fields.get("is_cut") for record in place.taken] == [None, True]

    def test_a_bug_in_it_is_said_once(self) -> None:
        """Given a log that knows nothing, so that records cannot be made, then that is said, the step goes on, and nothing more is heard."""

        class Broken(RunLog):
            def printed(self, step: str, attempt: int) -> None:  # type: ignore[override]
                """Fail."""
                raise LookupError(step, attempt)

        said: list[str] = []
        ear = StepOutput(Broken(), [Outlet("step_output", "r", Memory(), Batching())], (), said.append).listen(launch())
        assert ear is not None
        for _ in range(3):
            ear.hear(b"x\n")
        assert said == ["warning: telemetry: LookupError: ('a', 1)"]
