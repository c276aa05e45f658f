"""Two manifests of a dataset compared: which files came, changed and went."""

from __future__ import annotations

import json
from typing import Any

FILES_MAX = 20
"""So many files are named."""


def manifest_diff(before: bytes, after: bytes, *, single: str = "") -> dict[str, object]:
    """
    Return how many files were added, changed and removed between two manifests, see `runtime.digests`, and the first of them by name.

    Args:
        single: What a file is called that is the whole dataset, since manifests give it no name.
    """
    old, new = _files(before, single), _files(after, single)
    kinds = {
        "added": [name for name in new if name not in old],
        "changed": [name for name in new if name in old and old[name] != new[name]],
        "removed": [name for name in old if name not in new],
    }
    named = sorted((name, kind) for kind, names in kinds.items() for name in names)
    first = [{"path": name, "change": kind} for name, kind in named[:FILES_MAX]]
    return {**{kind: len(names) for kind, names in kinds.items()}, "first": first}


def _files(manifest: bytes, single: str) -> dict[str, list[Any]]:
    # What a probe answered has no files.
    return {str(entry[0]) or single: entry[1:] for entry in json.loads(manifest).get("files", ())}
