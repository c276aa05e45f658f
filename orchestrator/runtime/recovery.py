"""
What a dead orchestrator left behind: runs without an end, and processes without a parent.

Whoever holds the lock of a pipeline knows that no other orchestrator works on it, so a run of it that still counts as running has lost
its orchestrator. What still lives of its steps is found by the run id in its environment, ended, and named; its attempts are
`lost`, since nobody saw how they ended; the run is `interrupted`. Nothing is started again here.
"""

from __future__ import annotations

import contextlib
import os
import select
import signal
from collections.abc import Collection, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Protocol

from ledger.events import NewEvent, RecordedEvent
from orchestrator.core.events import (
    AttemptFinished,
    Event,
    RunFinished,
    StepFinished,
    event_data,
    event_from_data,
    event_type,
)
from orchestrator.core.state import RunState, fold
from orchestrator.runtime.ports import Journal

GRACE_SECONDS = 10.0
_KILL_SECONDS = 1.0
_ROUNDS = 50
_EMPTY_LOOKS = 2


class History(Journal, Protocol):
    """An event store that can be read back."""

    def read_stream(self, stream: str) -> Sequence[RecordedEvent]:
        """Return the events of *stream* in order."""
        ...


def reconcile(
    store: History, run_ids: Sequence[str], *, folder: Path | None = None, grace_seconds: float = GRACE_SECONDS
) -> list[str]:
    """
    End the runs *run_ids*, whose orchestrator is dead, and return those that were ended.

    The caller holds the lock of their pipeline. Processes that are left get TERM, *grace_seconds*, then KILL, before anything is
    recorded.

    Args:
        folder: Of the ledger; see `end_survivors`.
    """
    ended = []
    for run_id in run_ids:
        stream = f"run/{run_id}"
        events = [event_from_data(item.type, item.type_version, item.data) for item in store.read_stream(stream)]
        state = fold(events)
        if state.status != "running":
            continue
        version = state.version
        survivors = end_survivors(run_id, folder=folder, grace_seconds=grace_seconds)
        closing = closing_events(state, survivors)
        store.append(
            stream,
            [NewEvent(*event_type(event), event_data(event)) for event in closing],
            expected_version=version,
        )
        ended.append(run_id)
    return ended


def closing_events(state: RunState, survivors: Sequence[int]) -> list[Event]:
    """
    Return the events that end a run whose orchestrator died in *state*, and fold them into it.

    Args:
        survivors: Pids of processes of the run that were ended.
    """
    events: list[Event] = []
    evidence = {"survivors": list(survivors)}
    for name, step in state.steps.items():
        if step.status != "running":
            continue
        if step.attempt_status is None:
            message = "the orchestrator died while it ran; how it ended is not known"
            events.append(
                AttemptFinished(
                    name, step.attempt, "failed", "lost", error_class="infrastructure", message=message,
                    killed=("SIGTERM",) if survivors else (),
                )
            )  # fmt: skip
        events.append(
            StepFinished(name, "failed", "lost", evidence, error_class="infrastructure", attempts=step.attempt)
        )
    counts = fold(events, state).counts(state.steps)
    events.append(RunFinished("interrupted", None, None, counts))
    return events


def end_survivors(run_id: str, *, grace_seconds: float, folder: Path | None = None) -> list[int]:
    """
    End every process that has *run_id* in its environment: TERM and CONT, *grace_seconds*, KILL; return their pids.

    A copy of the ledger's *folder* knows the same run, which may have been resumed where it was copied from: a process whose report would go to another
    folder that exists belongs to that one, and is left. Where that folder exists no more, it was moved.

    Looks again until none is left, since a process may start others while it is being ended; twice, since one that ends between being listed and being
    looked at hides what it has started. What cannot be killed is tried once, and left.

    A process is signalled through a descriptor that was opened before its environment was read, so that a number that
    has been given to another process meanwhile cannot be hit.
    """
    ended: set[int] = set()
    living: set[int] = set()
    grace = grace_seconds
    empty_looks = 0
    for _ in range(_ROUNDS):
        found = _processes_of(run_id, living, folder)
        if not found:
            empty_looks += 1
            if empty_looks == _EMPTY_LOOKS:
                break
            continue
        empty_looks = 0
        ended.update(found)
        living |= _end_all(found, grace)
        # What a process has started while it was being ended gets no time of its own.
        grace = 0.0
    return sorted(ended)


def _end_all(processes: Mapping[int, int], grace_seconds: float) -> set[int]:
    """End *processes*, given as pid and descriptor, wait until they have gone, and let go of them; return those that would not go."""
    descriptors = processes.values()
    try:
        for number in (signal.SIGTERM, signal.SIGCONT):
            _signal_all(descriptors, number)
        left = _still_there(descriptors, grace_seconds)
        _signal_all(left, signal.SIGKILL)
        left = _still_there(left, _KILL_SECONDS)
        return {pid for pid, descriptor in processes.items() if descriptor in left}
    finally:
        for descriptor in descriptors:
            os.close(descriptor)


def _still_there(descriptors: Iterable[int], seconds: float) -> set[int]:
    """Wait for the end of processes, *seconds* after the last one at most, and return those that are left."""
    waiting = select.poll()
    left = set(descriptors)
    for descriptor in left:
        waiting.register(descriptor, select.POLLIN)
    while left and (ready := waiting.poll(seconds * 1000)):
        for descriptor, _ in ready:
            waiting.unregister(descriptor)
            left.discard(descriptor)
    return left


def _processes_of(run_id: str, without: Collection[int], folder: Path | None) -> dict[int, int]:
    marker = f"ORCHESTRATE_RUN_ID={run_id}".encode()
    found: dict[int, int] = {}
    for entry in os.listdir("/proc"):
        if not entry.isdigit() or int(entry) == os.getpid() or int(entry) in without:
            continue
        with contextlib.suppress(OSError):
            descriptor = os.pidfd_open(int(entry))
            try:
                variables = Path(f"/proc/{entry}/environ").read_bytes().split(b"\0")
                mine = marker in variables and not _is_of_another(variables, folder)
            except OSError:
                mine = False
            if mine:
                found[int(entry)] = descriptor
            else:
                os.close(descriptor)
    return found


def _is_of_another(variables: Iterable[bytes], folder: Path | None) -> bool:
    """Return whether a process with the environment *variables* reports to a folder that exists and is not *folder*."""
    if folder is None:
        return False
    reports = [os.fsdecode(entry.partition(b"=")[2]) for entry in variables if entry.startswith(b"ORCHESTRATE_RESULT=")]
    for report in reports:
        # FOLDER/exchange/RUN/STEP.ATTEMPT.result.json
        with contextlib.suppress(OSError, IndexError, ValueError):
            return not os.path.samefile(Path(report).parents[2], folder)
    return False


def _signal_all(descriptors: Iterable[int], number: signal.Signals) -> None:
    for descriptor in descriptors:
        with contextlib.suppress(OSError):
            signal.pidfd_send_signal(descriptor, number)
