"""Who looks on while a run is on: the live picture or plain lines, and the program's own log where it is asked for."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Callable, Iterator

from ledger.store import Ledger
from orchestrator.cli.progress import Live, PlainLines, Progress, Silent
from orchestrator.core.run_plan import RunPlan
from orchestrator.projections.estimates import duration_history, expected_us
from orchestrator.runtime.ports import Observer


class Watching:
    """
    Choose the observers of a run.

    Args:
        log_file: Where the program's own log goes as JSON lines, or None.
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

                log = EventLog(self._log_file, verbose=self._verbose)
                stack.callback(log.close)
                chosen.append(log)
            progress = self._progress(plan, ledger, last_line)
            stack.callback(progress.close)
            yield [*chosen, progress]

    def _progress(self, plan: RunPlan, ledger: Ledger, last_line: Callable[[str], str | None]) -> Progress:
        if self._silent:
            return Silent()
        total = len(plan.graph.order)
        # Records of the log and a picture that is drawn again and again would destroy each other.
        if self._verbose or not sys.stderr.isatty():
            return PlainLines(sys.stderr, total=total)
        from rich.console import Console

        history = duration_history(ledger.connection, plan.pipeline.name)
        expected = {step: usual for step, values in history.items() if (usual := expected_us(values)) is not None}
        return Live(Console(stderr=True), total=total, expected_us=expected, last_line=last_line)
