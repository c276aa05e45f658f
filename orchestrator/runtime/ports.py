"""The outside world as the engine sees it: protocols of a few methods each, owned by the engine, without an implementation."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Protocol

import attrs

from ledger.events import NewEvent, RecordedEvent
from orchestrator.core.decide import Measurement
from orchestrator.core.output_contract import Extent
from orchestrator.core.report import StepReport


@attrs.frozen
class Launch:
    """
    Everything that one attempt's process is started with.

    Attributes:
        argv: The words, resolved; the first is looked up in the `PATH` of *env* unless it holds a slash.
        env: The whole environment of the process.
        cwd: Absolute.
        log_path: Where its output goes; created with its first byte.
        timeout_us: Of the attempt, or None.
        grace_us: Between TERM and KILL.
        log_private: Its output is not for the group that the ledger is shared with.
    """

    step: str
    attempt: int
    argv: tuple[str, ...]
    env: Mapping[str, str]
    cwd: str
    log_path: Path
    log_limit_bytes: int
    timeout_us: int | None
    grace_us: int
    log_private: bool = False


@attrs.frozen
class Log:
    """What an attempt printed: where it is kept, how much it is, and how often each secret was masked in it."""

    bytes: int
    lines: int
    sha256: str
    truncated: bool = False
    masked: Mapping[str, int] = attrs.field(factory=dict)


@attrs.frozen
class Survivor:
    """
    Hold a process that went on when the one that was started had ended, and was killed: its number, and its name as the kernel keeps it.

    Attributes:
        is_alive: It could not be killed, and lives on.
    """

    pid: int
    name: str
    is_alive: bool = False


@attrs.frozen
class Exited:
    """
    How an attempt's process ended.

    Attributes:
        exit_code: None where a signal ended it or it never started.
        signal: None where it exited by itself.
        not_started: Why it could not be started, or None.
        timed_out: Its timeout had passed and its group was told to end.
        stopped: Somebody asked for its end (`Executor.stop`), before it ended.
        unkillable: It did not end by KILL, and lives on as the first of *survivors*.
        killed: The signals that were sent to its group, each once, in order.
        killed_us: When each of them was sent, for the first time, after the start.
        survivors: What was left of it, in its group or escaped from that, and was killed.
        last_line: Last line of its output, redacted, for people.
        log_failure: Why its output could not be kept, or not all of it; None where it was.
    """

    step: str
    attempt: int
    exit_code: int | None = None
    signal: int | None = None
    not_started: str | None = None
    timed_out: bool = False
    stopped: bool = False
    unkillable: bool = False
    killed: tuple[str, ...] = ()
    killed_us: tuple[int, ...] = ()
    survivors: tuple[Survivor, ...] = ()
    pid: int | None = None
    duration_us: int = 0
    log: Log | None = None
    last_line: str | None = None
    log_failure: str | None = None


class Clock(Protocol):
    """Tell the time."""

    def now(self) -> str:
        """Return the wall time: UTC, ISO 8601, six decimals and `Z`."""
        ...

    def monotonic_us(self) -> int:
        """Return microseconds of a clock that never goes back."""
        ...


class Executor(Protocol):
    """Start processes, watch them, end them."""

    def start(self, launch: Launch) -> None:
        """Start an attempt; what keeps it from starting comes back from `poll` as `Exited.not_started`."""
        ...

    def poll(self, timeout_us: int | None) -> list[Exited]:
        """Wait until something has ended or *timeout_us* has passed (None: for ever), and return what has ended."""
        ...

    def stop(self, step: str, *, force: bool = False) -> None:
        """Ask the group of the running attempt of *step* to end: TERM, grace, KILL; *force* starts at KILL."""
        ...

    def last_line(self, step: str) -> str | None:
        """Return the last line that the running attempt of *step* has printed, redacted."""
        ...


@attrs.frozen
class MeasureRequest:
    """
    Ask for the content that a decision or a success rests on.

    Attributes:
        inputs: Dataset names to digest as inputs, with what the last success saw (manifest digest) for comparison.
        outputs: Dataset names to digest as outputs.
        code: Also digest the code files of the step.
        rows: Those of the outputs whose rows are to be counted.
    """

    step: str
    inputs: Mapping[str, str | None] = attrs.field(factory=dict)
    outputs: tuple[str, ...] = ()
    code: bool = True
    rows: tuple[str, ...] = ()


@attrs.frozen
class Measured:
    """
    What was found.

    Attributes:
        inputs: Dataset to the digest of its manifest, None where it does not exist.
        code: File, relative to the definition's folder, to content digest.
        manifests: The manifests by digest, to be kept in the ledger.
        files: For each input, the counts `added`, `changed`, `removed` against what the last success saw.
        extents: How much each dataset is.
    """

    step: str
    inputs: Mapping[str, str | None] = attrs.field(factory=dict)
    outputs: Mapping[str, str | None] = attrs.field(factory=dict)
    code: Mapping[str, str] = attrs.field(factory=dict)
    manifests: Mapping[str, bytes] = attrs.field(factory=dict)
    files: Mapping[str, Mapping[str, int]] = attrs.field(factory=dict)
    extents: Mapping[str, Extent] = attrs.field(factory=dict)


@attrs.define(eq=False)
class Answer:
    """
    Hold what a probe has said, as soon as it has.

    Attributes:
        is_there: The probe has ended, or could not be started.
        manifest: Stands for the content; None where the probe failed, and *failure* says why.
        bytes: How much it printed.
    """

    is_there: bool = False
    manifest: bytes | None = None
    bytes: int = 0
    failure: str | None = None


class Prober(Protocol):
    """Ask datasets that are no files."""

    def ask(self, dataset: str) -> Answer:
        """Start the probe of *dataset*, or let it wait for its turn."""
        ...

    def cancel(self, answer: Answer) -> None:
        """End a probe whose answer nobody waits for any more."""
        ...

    def wait(self) -> None:
        """Wait until a probe has ended; for those who have no loop."""
        ...


class Digester(Protocol):
    """Measure files a little at a time, so that a large one stops neither timeouts nor other steps."""

    def submit(self, request: MeasureRequest) -> None:
        """Ask for a measurement; `advance` will return it."""
        ...

    def drop(self, step: str) -> None:
        """Forget what was asked of *step*."""
        ...

    @property
    def busy(self) -> bool:
        """Whether a measurement is under way."""
        ...

    def advance(self) -> list[Measured]:
        """Work for some milliseconds and return what is complete."""
        ...


class Pools(Protocol):
    """Shares of what several steps must not use at once."""

    def take(self, step: str, shares: Mapping[str, int]) -> bool:
        """Take all of *shares* for *step*, or none and return False."""
        ...

    def give_back(self, step: str) -> None:
        """Give back what *step* holds; whether or not it holds something, it waits for nothing any more."""
        ...


class Workbench(Protocol):
    """Prepare what an attempt finds when it starts, and read what it leaves behind."""

    def prepare(self, step: str, attempt: int, measurement: Measurement) -> Launch:
        """Write the files that the process may read and return what it is started with."""
        ...

    def collect(self, step: str, attempt: int) -> StepReport | None:
        """
        Return what the process reported, and clear up.

        Raises:
            BadResultError: The report breaks its schema or is no readable file.
        """
        ...

    def redact(self, text: str) -> str:
        """Return *text* without secrets."""
        ...


class Journal(Protocol):
    """The event store, as far as the engine needs it."""

    def append(
        self,
        stream: str,
        events: Sequence[NewEvent],
        *,
        expected_version: int | None,
        blobs: Mapping[str, bytes] = ...,
    ) -> list[RecordedEvent]:
        """Record *events* and *blobs* durably in one transaction."""
        ...


class Observer(Protocol):
    """Look on: told of each event after it was recorded, never before."""

    def recorded(self, event: RecordedEvent) -> None:
        """Take note of *event*."""
        ...

    def tick(self) -> int | None:
        """Redraw if there is reason to; return after how many microseconds to be called again, None for never."""
        ...


class Interrupts(Protocol):
    """Signals that were sent to the orchestrator."""

    def take(self) -> int | None:
        """Return the number of a signal that has come in since the last call, or None."""
        ...


@attrs.frozen
class Ports:
    """The outside world of one run."""

    journal: Journal
    clock: Clock
    executor: Executor
    digester: Digester
    workbench: Workbench
    interrupts: Interrupts
    pools: Pools
    observers: Sequence[Observer] = ()
