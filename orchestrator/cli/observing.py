"""Who looks on while a run is on: the live picture or plain lines, and the program's own log where it is asked for."""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Callable, Iterator

from ledger.events import RecordedEvent
from ledger.store import Ledger
from orchestrator.cli.progress import Live, PlainLines, Progress, Silent
from orchestrator.core.run_plan import RunPlan
from orchestrator.projections.estimates import expected_us, history_of_graph
from orchestrator.runtime.assembly import graph_document
from orchestrator.runtime.ports import Observer


class _Guarded:
    """
    Stand between the engine and a picture of it.

    A terminal that has gone away, a pipe that nobody reads: the run goes on, and nothing more is shown.
    """

    def __init__(self, progress: Progress) -> None:
        self._progress: Progress = progress

    def recorded(self, event: RecordedEvent) -> None:
        """Tell of *event*, as long as that works."""
        try:
            self._progress.recorded(event)
        except (OSError, ValueError):
            self._progress = Silent()

    def tick(self) -> int | None:
        """Redraw, as long as that works."""
        try:
            return self._progress.tick()
        except (OSError, ValueError):
            self._progress = Silent()
            return None


class Watching:
    """
    Choose the observers of a run.

    Args:
        log_file: Where the program's own log goes as JSON lines, `-` for stderr, or None.
        verbose: Show that log on stderr.
        silent: Show no progress.
    """

    def __init__(self, *, log_file: str | None, verbose: bool, silent: bool) -> None:
        self._log_file = log_file
        self._verbose = verbose
        self._silent = silent

    @contextlib.contextmanager
    def observers(
        self, plan: RunPlan, ledger: Ledger, last_line: Callable[[str], str | None]
    ) -> Iterator[list[Observer]]:
        """Give the observers of the run of *plan*; they are closed when it has ended."""
        with contextlib.ExitStack() as stack:
            chosen: list[Observer] = []
            if self._log_file is not None or self._verbose:
                from orchestrator.cli.event_log import EventLog

                before = ledger.read_stream(f"run/{plan.run_id}")
                log = EventLog(self._log_file, verbose=self._verbose, before=before)
                stack.callback(log.close)
                chosen.append(log)
            progress = self._progress(plan, ledger, last_line)
            stack.callback(_close, progress)
            yield [*chosen, _Guarded(progress)]

    def _progress(self, plan: RunPlan, ledger: Ledger, last_line: Callable[[str], str | None]) -> Progress:
        if self._silent or sys.stderr is None:
            return Silent()
        total = len(plan.graph.order)
        # Records of the log and a picture that is drawn again and again would destroy each other; some terminals draw nothing twice.
        if (
            self._verbose
            or self._log_file == "-"
            or not sys.stderr.isatty()
            or os.environ.get("TERM", "dumb") in ("dumb", "unknown")
        ):
            return PlainLines(sys.stderr, total=total)
        from rich.console import Console

        graph = graph_document(plan.pipeline, plan.graph)
        history = history_of_graph(ledger.connection, plan.pipeline.name, graph)
        expected = {step: usual for step, values in history.items() if (usual := expected_us(values)) is not None}
        return Live(Console(stderr=True), plan=plan, expected_us=expected, last_line=last_line)


def _close(progress: Progress) -> None:
    with contextlib.suppress(OSError, ValueError):
        progress.close()
