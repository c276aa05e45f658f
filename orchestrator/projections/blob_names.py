"""Which blobs an event names: what verifying makes sure to be there."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from ledger.events import RecordedEvent

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
