"""Which logs an event names: what verifying compares with the files."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from ledger.audit.files import NamedFile
from ledger.events import RecordedEvent


def log_names(event: RecordedEvent) -> Iterator[NamedFile]:
    """Yield the log of the attempt that *event* ends, where it had one."""
    log = event.data.get("log") if event.type == "attempt.finished" else None
    if not isinstance(log, Mapping):
        return
    path, size, digest = log.get("path"), log.get("bytes"), log.get("sha256")
    if isinstance(path, str) and isinstance(size, int) and isinstance(digest, str):
        run = event.stream.removeprefix("run/")
        what = f"the log of run {run}, step {event.data.get('step')}, attempt {event.data.get('attempt')}"
        yield NamedFile(event.seq, path, size, digest, what)
