"""What an event says is removed: what verifying then does not miss."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from ledger.audit.verdict import NOTHING_REMOVED, Removed
from ledger.events import RecordedEvent


def removed_names(event: RecordedEvent) -> Removed:
    """Return which logs and blobs *event* says are removed; reports are named by no event before, and can be made again."""
    if event.type == "blobs.pruned":
        return Removed(blobs=tuple(_texts(event.data.get("blobs"), "digest")))
    if event.type == "files.pruned" and event.data.get("kind") == "logs":
        return Removed(files=tuple(_texts(event.data.get("files"), "path")))
    return NOTHING_REMOVED


def _texts(items: object, name: str) -> Iterator[str]:
    for item in items if isinstance(items, list) else ():
        if isinstance(item, Mapping) and isinstance(text := item.get(name), str):
            yield text
