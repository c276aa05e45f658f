"""Which blobs an event names: what verifying makes sure to be there."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from ledger.events import RecordedEvent

_FIELDS: Mapping[str, tuple[str, ...]] = {
    "run.started": ("definition", "graph", "environment"),
    "run.resumed": ("definition", "graph", "environment"),
    "definition.changed": ("after",),
    "history.carried": ("state",),
}
_WITH_COMPONENTS = ("attempt.started", "step.finished")


def blob_names(event: RecordedEvent) -> Iterator[str]:
    """Yield the digest of each blob that *event* names in a field of its own; what large components name is not followed."""
    data = event.data
    for field in _FIELDS.get(event.type, ()):
        if isinstance(digest := data.get(field), str):
            yield digest
    evidence = data.get("evidence")
    if isinstance(evidence, Mapping) and isinstance(digest := evidence.get("certificate"), str):
        yield digest
    if event.type in _WITH_COMPONENTS:
        components = data.get("components")
        if isinstance(components, Mapping) and components.keys() == {"blob"}:
            yield str(components["blob"])
