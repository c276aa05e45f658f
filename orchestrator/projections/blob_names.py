"""Which blobs an event names: what verifying makes sure to be there, and what goes with the event wherever it is taken."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Iterator, Mapping

from ledger.canonical import DIGEST
from ledger.events import RecordedEvent
from ledger.reader import kept_blob

FOR_TABLES: Mapping[str, tuple[str, ...]] = {
    "run.started": ("definition", "graph"),
    "run.resumed": ("definition", "graph"),
    "definition.changed": ("after",),
    "history.carried": ("state",),
}
"""What the tables over the events are made of besides these: it is never pruned."""

_BESIDES: Mapping[str, tuple[str, ...]] = {"run.started": ("environment",), "run.resumed": ("environment",)}
_WITH_COMPONENTS = ("attempt.started", "step.finished")


def blob_names(event: RecordedEvent) -> Iterator[str]:
    """Yield the digest of each blob that *event* names in a field of its own; what large components name is not followed."""
    data = event.data
    yield from named_in(event, FOR_TABLES)
    yield from named_in(event, _BESIDES)
    evidence = data.get("evidence")
    if isinstance(evidence, Mapping) and isinstance(digest := evidence.get("certificate"), str):
        yield digest
    if event.type in _WITH_COMPONENTS:
        components = data.get("components")
        if isinstance(components, Mapping) and components.keys() == {"blob"}:
            yield str(components["blob"])


def named_in(event: RecordedEvent, fields: Mapping[str, tuple[str, ...]]) -> Iterator[str]:
    """Yield the digest in each of the fields that *fields* has for the type of *event*."""
    for field in fields.get(event.type, ()):
        if isinstance(digest := event.data.get(field), str):
            yield digest


def blobs_below(connection: sqlite3.Connection, texts: Iterable[bytes]) -> dict[str, bytes]:
    """Return by digest each blob that is kept and that *texts* name anywhere, or that one of those names."""
    found: dict[str, bytes | None] = {}
    waiting = list(texts)
    while waiting:
        for digest in DIGEST.findall(waiting.pop().decode("utf-8", "replace")):
            if digest not in found:
                found[digest] = kept = kept_blob(connection, digest)
                if kept is not None:
                    waiting.append(kept)
    return {digest: kept for digest, kept in found.items() if kept is not None}
