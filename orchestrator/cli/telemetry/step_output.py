"""
What steps print, as records of the log: heard as it goes into the files, redacted, never waited for.

Whoever hears a piece of output is the loop that watches all steps. It cuts lines only for as many as there is room for in the outlets, counts the others, and
goes on. What a step prints that touches personal data is not heard at all; see `projections.withheld`.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Container, Sequence

from orchestrator.cli.telemetry.outlet import Outlet
from orchestrator.core.line_cutter import Line, LineCutter
from orchestrator.projections.log_records import RunLog
from orchestrator.runtime.output import Listener
from orchestrator.runtime.ports import Launch


class StepOutput:
    """
    Offer the lines of the attempts of one run to *outlets*.

    Args:
        log: Knows where in the trace an attempt belongs.
        withheld: Steps whose output is not sent whatever their launch says.
        say: Is told what is wrong with this itself.
    """

    def __init__(
        self, log: RunLog, outlets: Sequence[Outlet], withheld: Container[str], say: Callable[[str], None]
    ) -> None:
        self._log = log
        self._outlets = outlets
        self._withheld = withheld
        self._say = say

    def listen(self, launch: Launch) -> Listener | None:
        """Return who hears the attempt of *launch*, or None where its output is withheld."""
        # Its log is private because of the class of the data that the step touches now.
        if launch.log_private or launch.step in self._withheld:
            return None
        return _Ears(self._log, launch, self._outlets, self._say)


class _Ears:
    """Hear one attempt for each outlet; see `runtime.output.Listener`."""

    def __init__(self, log: RunLog, launch: Launch, outlets: Sequence[Outlet], say: Callable[[str], None]) -> None:
        self._log = log
        self._launch = launch
        self._cutters = [(outlet, LineCutter()) for outlet in outlets]
        self._say = say

    def hear(self, data: bytes) -> None:
        """Offer the lines that end in *data*; those for which there is no room are lost, and counted."""
        self._harmless(lambda outlet, cutter: _cut(data, outlet.room, cutter))

    def end(self) -> None:
        """Offer the last line, where it has no end."""
        self._harmless(lambda _, cutter: cutter.end())

    def _harmless(self, cut: Callable[[Outlet, LineCutter], list[Line]]) -> None:
        """Offer what *cut* returns; what goes wrong in that is said, and nothing more is heard: a step does not fail because nobody could listen."""
        try:
            for outlet, cutter in self._cutters:
                lost = cutter.lost
                self._offer(outlet, cut(outlet, cutter))
                outlet.miss(cutter.lost - lost)
        except Exception as error:  # noqa: BLE001 - telemetry changes no result, whatever is wrong with it
            self._cutters = []
            self._say(f"warning: telemetry: {type(error).__name__}: {error}")

    def _offer(self, outlet: Outlet, lines: Sequence[Line]) -> None:
        if not lines:
            return
        # Nobody knows of the run before its start was recorded, and nothing prints before that.
        printed = self._log.printed(self._launch.step, self._launch.attempt)
        now_ns = time.time_ns()
        outlet.offer([
            printed.record(line.data.decode("utf-8", "replace"), now_ns, line.number, is_cut=line.is_cut)
            for line in lines
        ])  # fmt: skip


def _cut(data: bytes, most: int, cutter: LineCutter) -> list[Line]:
    """Return *most* of the lines that end in *data* at most; the others are lost."""
    kept = _beginning(data, most)
    lines = cutter.feed(kept) if kept else []
    cutter.skip(data[len(kept) :])
    return lines


def _beginning(data: bytes, most: int) -> bytes:
    """Return of *data* as much as holds the ends of *most* lines at most; all of it where there are no more."""
    if not most:
        return b""
    pieces = data.split(b"\n", most)
    return data if len(pieces) <= most else data[: len(data) - len(pieces[-1])]
