"""
Asking datasets that are no files, or too big to be read: a command whose output stands for their content.

A probe is a process like a step's, in a session of its own, with a timeout, and dead with all that it has started before its answer counts. What it
prints is digested as it comes, up to a limit, and kept nowhere. Whoever waits for an answer goes on with other work meanwhile: the executor that
watches the steps watches probes too, and a few at once at most.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Mapping
from hashlib import sha256
from pathlib import Path

from ledger.canonical import canonical_bytes
from orchestrator.core.definition import Pipeline
from orchestrator.core.durations import format_duration
from orchestrator.core.problems import Problem
from orchestrator.runtime.digests import DatasetPlace
from orchestrator.runtime.executor import ProcessExecutor
from orchestrator.runtime.output import RedactingStream
from orchestrator.runtime.ports import Answer, Exited, Launch, Log
from orchestrator.runtime.recording import signal_name

OUTPUT_BYTES_MAX = 1 << 20
_TAIL_BYTES = 4096
_AT_ONCE = 4
_GRACE_US = 1_000_000


class _Output:
    """Digest what a probe prints; of what people may see, the last line is kept, redacted."""

    failure = None
    has_room = True
    is_kept = True

    def __init__(self, stream: RedactingStream) -> None:
        self._stream = stream
        self._digest = sha256()
        self._tail = b""
        self.bytes = 0

    @property
    def last_line(self) -> str | None:
        lines = self._tail.decode("utf-8", "replace").strip().rsplit("\n", 1)
        return lines[-1].strip() or None

    def feed(self, data: bytes) -> None:
        if self.bytes <= OUTPUT_BYTES_MAX:
            self._digest.update(data)
            self._tail = (self._tail + self._stream.feed(data))[-_TAIL_BYTES:]
        self.bytes += len(data)

    def end(self) -> None:
        self._tail = (self._tail + self._stream.flush())[-_TAIL_BYTES:]

    def give_up(self) -> None:
        """Nothing is waited for."""

    def finish(self) -> Log | None:
        return None

    def manifest(self) -> bytes:
        said = {"bytes": self.bytes, "digest": f"sha256:{self._digest.hexdigest()}"}
        return canonical_bytes({"files": [], "probe": said, "recipe": 1, "strength": "probe"})


class Probes:
    """
    Ask the datasets of one pipeline.

    Args:
        executor: Watches the processes; it has to be polled, as by the engine or by `wait`.
        places: Of the datasets.
        folder: Of the definition, in which probes run.
        environment: For each dataset with a probe, the variables that its probe sees.
        new_stream: Makes the redacting stream of what a probe prints.
        run_id: Marks the processes of a run, so that whoever cleans up after it finds them.
    """

    def __init__(
        self,
        executor: ProcessExecutor,
        *,
        places: Mapping[str, DatasetPlace],
        folder: Path,
        environment: Mapping[str, Mapping[str, str]],
        new_stream: Callable[[], RedactingStream],
        run_id: str | None = None,
    ) -> None:
        self._executor = executor
        self._places = places
        self._folder = str(folder)
        self._environment = environment
        self._new_stream = new_stream
        self._marks = {} if run_id is None else {"ORCHESTRATE_RUN_ID": run_id}
        self._waiting: deque[tuple[str, Answer]] = deque()
        self._running: dict[str, Answer] = {}
        self._asked = 0

    def ask(self, dataset: str) -> Answer:
        """Start the probe of *dataset*, or let it wait for its turn."""
        answer = Answer()
        self._waiting.append((dataset, answer))
        self._start_some()
        return answer

    def cancel(self, answer: Answer) -> None:
        """End a probe whose answer nobody waits for any more."""
        self._waiting = deque(entry for entry in self._waiting if entry[1] is not answer)
        for name, other in self._running.items():
            if other is answer:
                self._executor.stop(name, force=True)

    def wait(self) -> None:
        """Wait until a probe has ended; for those who have no loop."""
        self._executor.poll(None)

    def _start_some(self) -> None:
        while self._waiting and len(self._running) < _AT_ONCE:
            dataset, answer = self._waiting.popleft()
            place = self._places[dataset]
            self._asked += 1
            name = f"probe:{dataset}:{self._asked}"
            output = _Output(self._new_stream())
            self._running[name] = answer
            launch = Launch(
                step=name,
                attempt=1,
                argv=place.probe,
                env={**self._environment.get(dataset, {}), **self._marks, "ORCHESTRATE_PROBE": name},
                cwd=self._folder,
                log_path=Path(),
                log_limit_bytes=0,
                timeout_us=place.probe_timeout_us,
                grace_us=_GRACE_US,
            )
            self._executor.start_aside(launch, output, self._told(answer, output, place))

    def _told(self, answer: Answer, output: _Output, place: DatasetPlace) -> Callable[[Exited], None]:
        def ended(exited: Exited) -> None:
            del self._running[exited.step]
            answer.bytes = output.bytes
            answer.failure = _failure(exited, output, place)
            answer.manifest = output.manifest() if answer.failure is None else None
            answer.is_there = True
            self._start_some()

        return ended


def _failure(exited: Exited, output: _Output, place: DatasetPlace) -> str | None:
    """Say why what a probe has printed does not count, or return None."""
    if exited.not_started is not None:
        return exited.not_started
    if exited.timed_out:
        what = f"its time was up ({format_duration(place.probe_timeout_us)})"
    elif exited.signal is not None:
        what = f"ended by {signal_name(exited.signal)}"
    elif exited.exit_code:
        what = f"exit code {exited.exit_code}"
    elif output.bytes > OUTPUT_BYTES_MAX:
        return f"it prints more than {OUTPUT_BYTES_MAX} bytes"
    else:
        return None
    return what  # What it has printed is kept nowhere: it may be the data.


def check_probes(
    pipeline: Pipeline,
    places: Mapping[str, DatasetPlace],
    probes: Probes,
    *,
    selected: Iterable[str],
    look_up: Callable[[], None] = lambda: None,
) -> list[Problem]:
    """
    Ask the sources that the *selected* steps read and that have a probe, and return a problem for each that does not answer.

    Args:
        look_up: Called whenever something has happened, and may raise.
    """
    read = {name for step in selected for name in pipeline.steps[step].reads}
    answers = {
        name: probes.ask(name) for name in pipeline.sources() if name in read and name in places and places[name].probe
    }
    found = []
    for name, answer in answers.items():
        while not answer.is_there:
            probes.wait()
            look_up()
        if answer.failure is not None:
            message = f"source {name}: its probe failed: {answer.failure}"
            hint = f"try it by hand: {' '.join(places[name].probe)}"
            found.append(Problem("probe_failed", message, ("datasets", name, "probe"), suggestion=hint))
    return found
