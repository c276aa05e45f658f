"""
What a run shows while it is on: a live picture on a terminal, plain lines elsewhere.

Both are observers: they are told of events after these were recorded, and show nothing else, besides the clock and the last line of
output of what runs.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Protocol, TextIO

from orchestrator.core.classification import is_withheld
from orchestrator.core.durations import format_duration
from orchestrator.core.explain import overwritten_text, reason_text
from orchestrator.core.printable import printable
from orchestrator.core.remaining import remaining_us

if TYPE_CHECKING:
    from rich.console import Console, RenderableType

    from ledger.events import RecordedEvent
    from orchestrator.core.run_plan import RunPlan

_REFRESH_US = 250_000
_SHOWN_AT_MOST = 12
_MINUTE = 60
_SETTLED = ("succeeded", "failed", "skipped", "cancelled")


class Progress(Protocol):
    """An observer with an end."""

    def recorded(self, event: RecordedEvent) -> None:
        """Take note of *event*."""
        ...

    def tick(self) -> int | None:
        """Redraw; return after how many microseconds to be called again, None for never."""
        ...

    def close(self) -> None:
        """Stop drawing."""
        ...


class Silent:
    """Show nothing."""

    def recorded(self, event: RecordedEvent) -> None:
        """Ignore *event*."""

    def tick(self) -> int | None:
        """Ask for nothing."""
        return None

    def close(self) -> None:
        """Nothing is open."""


class PlainLines:
    """
    Print one line for each step that ran, for log files and for cron's mail.

    What is skipped is left to the summary.
    """

    def __init__(self, stream: TextIO, *, total: int) -> None:
        self._stream = stream
        self._total = total
        self._finished = 0

    def recorded(self, event: RecordedEvent) -> None:
        """Print a line if *event* is the end of a step that ran, or the start of the run."""
        data = event.data
        if event.type == "run.started":
            self._print(_run_line(data, self._total))
        elif event.type == "attempt.started":
            for line in _overwriting(data):
                self._print(line)
        elif event.type == "retry.scheduled":
            self._print(_retry_line(data))
        elif event.type == "step.finished":
            self._finished += 1
            if data["status"] != "skipped":
                self._print(f"[{self._finished}/{self._total}] {_step_line(data)}")

    def tick(self) -> int | None:
        """Ask for nothing."""
        return None

    def close(self) -> None:
        """Nothing is open."""

    def _print(self, line: str) -> None:
        self._stream.write(printable(line) + "\n")
        self._stream.flush()


class Live:
    """
    Draw what runs, for how long, how long it took before, and its last line of output.

    Args:
        plan: Of the run.
        expected_us: Expected duration of each step, from history.
        last_line: Returns the last line of output of a running step; not asked for where that is withheld.
    """

    def __init__(
        self,
        console: Console,
        *,
        plan: RunPlan,
        expected_us: Mapping[str, int],
        last_line: Callable[[str], str | None],
    ) -> None:
        from rich.live import Live as RichLive

        self._plan = plan
        self._total = len(plan.graph.order)
        self._expected_us = expected_us
        self._finished: set[str] = set()
        self._last_line = last_line
        self._running: dict[str, float] = {}
        self._retrying: dict[str, float] = {}
        self._counts: dict[str, int] = {}
        self._started = time.monotonic()
        self._title = ""
        self._live = RichLive(console=console, auto_refresh=False, transient=True)
        self._live.start()

    def recorded(self, event: RecordedEvent) -> None:
        """Take *event* into the picture; failures stay on the screen above it."""
        data = event.data
        if event.type == "run.started":
            self._title = f"{data['pipeline']} {data['night']}"
            self._live.console.print(_escape(_run_line(data, self._total)), highlight=False)
        elif event.type == "attempt.started":
            self._retrying.pop(str(data["step"]), None)
            self._running[str(data["step"])] = time.monotonic()
            for line in _overwriting(data):
                self._live.console.print(_escape(line), highlight=False)
        elif event.type == "retry.scheduled":
            self._running.pop(str(data["step"]), None)
            self._retrying[str(data["step"])] = time.monotonic() + int(str(data["delay_us"])) / 1e6
            self._live.console.print(_escape(_retry_line(data)), highlight=False)
        elif event.type == "step.finished":
            self._running.pop(str(data["step"]), None)
            self._retrying.pop(str(data["step"]), None)
            self._finished.add(str(data["step"]))
            status = str(data["status"])
            self._counts[status] = self._counts.get(status, 0) + 1
            if status == "failed":
                self._live.console.print(f"[bold red]failed[/] {_escape(_step_line(data))}", highlight=False)

    def tick(self) -> int | None:
        """Redraw; ask to be called again soon."""
        self._live.update(self._picture(), refresh=True)
        return _REFRESH_US

    def close(self) -> None:
        """Take the picture away."""
        self._live.stop()

    def _line(self, step: str) -> str:
        touched = self._plan.steps[step].touches
        if is_withheld(touched):
            return f"(output withheld: {touched} data)"
        return printable(self._last_line(step) or "")

    def _left(self) -> str:
        now = time.monotonic()
        left = remaining_us(
            self._plan.graph,
            expected_us=self._expected_us,
            elapsed_us={name: int((now - since) * 1e6) for name, since in self._running.items()},
            finished=self._finished,
            max_parallel=self._plan.max_parallel,
        )
        return "" if left is None else f"about {_duration(left / 1e6)} left"

    def _picture(self) -> RenderableType:
        from rich.console import Group
        from rich.progress_bar import ProgressBar
        from rich.table import Table
        from rich.text import Text

        done = sum(self._counts.values())
        head = Table.grid(padding=(0, 2))
        head.add_row(
            Text(printable(self._title), style="bold"),
            ProgressBar(
                total=max(1, self._total), completed=done, width=24, complete_style="cyan", finished_style="cyan"
            ),
            Text(f"{done}/{self._total}"),
            Text(", ".join(f"{self._counts[name]} {name}" for name in _SETTLED if name in self._counts)),
            Text(_duration(time.monotonic() - self._started)),
            Text(self._left(), style="dim"),
        )
        table = Table.grid(padding=(0, 2))
        for name, since in list(self._running.items())[:_SHOWN_AT_MOST]:
            elapsed = _duration(time.monotonic() - since)
            expected = self._expected_us.get(name)
            usual = "" if expected is None else f"usually {_duration(expected / 1e6)}"
            table.add_row(
                Text("running", style="cyan"),
                Text(name),
                Text(elapsed, justify="right"),
                Text(usual),
                Text(self._line(name)[:80], style="dim"),
            )
        for name, due in list(self._retrying.items())[:_SHOWN_AT_MOST]:
            left = _duration(max(0.0, due - time.monotonic()))
            table.add_row(Text("retrying", style="yellow"), Text(name), Text(f"in {left}", justify="right"))
        more = sum(max(0, len(rows) - _SHOWN_AT_MOST) for rows in (self._running, self._retrying))
        return Group(head, table, *([Text(f"and {more} more", style="dim")] if more > 0 else []))


def _duration(seconds: float) -> str:
    """Return *seconds* as a picture that is drawn four times a second can show them: to the tenth, from a minute on to the second."""
    return f"{seconds:.1f}s" if seconds < _MINUTE else format_duration(int(seconds) * 1_000_000)


def _run_line(data: Mapping[str, object], total: int) -> str:
    return f"run {data['run_id']} of {data['pipeline']}, night {data['night']}, {total} step{'' if total == 1 else 's'}"


def _step_line(data: Mapping[str, object]) -> str:
    duration = data.get("duration_us")
    took = f" in {format_duration(round(duration, -3))}" if isinstance(duration, int) else ""
    evidence = data.get("evidence")
    reason = data.get("reason")
    why = ""
    if reason is not None:
        why = ": " + reason_text(str(data["status"]), str(reason), evidence if isinstance(evidence, Mapping) else {})
    return f"{data['step']} {data['status']}{took}{why}"


def _retry_line(data: Mapping[str, object]) -> str:
    delay = format_duration(round(int(str(data["delay_us"])), -3))
    return (
        f"note: {data['step']}: a failure that is {data['error_class']}; attempt {data['attempt']} follows in {delay}"
    )


def _overwriting(data: Mapping[str, object]) -> list[str]:
    """Name, before it is overwritten, an output that was changed by hand."""
    evidence = data.get("evidence")
    text = overwritten_text(str(data.get("reason")), evidence) if isinstance(evidence, Mapping) else None
    return [] if text is None else [f"note: {data['step']}: {text}"]


def _escape(text: str) -> str:
    from rich.markup import escape

    return escape(printable(text))
