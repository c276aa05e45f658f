"""
Present names for what was renamed: which name a step, a dataset or a pipeline of long ago has today.

A definition says by `formerly` what a thing was called before it. Read from the newest definition back to the oldest, that gives each definition's
names their present ones, also where a name was given up and later to something else.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple


class Generation(NamedTuple):
    """
    Hold a time in which the runs of a pipeline had one definition.

    Attributes:
        pipeline: Its name at that time.
        definition: The definition in its canonical form; empty where the ledger does not keep it.
    """

    pipeline: str
    definition: Mapping[str, Any]


class Names(NamedTuple):
    """Hold the present name of a pipeline, and those of its steps and datasets that have another one now than they had then."""

    pipeline: str
    steps: Mapping[str, str]
    datasets: Mapping[str, str]


def present_names(generations: Sequence[Generation]) -> list[Names]:
    """
    Return the present names for each of *generations*, which stand in the order of time.

    >>> before, after = {"steps": {"load": {}}}, {"steps": {"ingest": {"formerly": ["load"]}}}
    >>> present_names([Generation("shop", before), Generation("shop", after)])[0].steps
    {'load': 'ingest'}
    """
    pipelines: dict[str, str] = {}
    known: dict[str, tuple[dict[str, str], dict[str, str]]] = {}
    found = []
    for generation in reversed(generations):
        pipeline = pipelines.get(generation.pipeline, generation.pipeline)
        steps, datasets = known.get(pipeline, ({}, {}))
        found.append(Names(pipeline, steps, datasets))
        definition = generation.definition
        known[pipeline] = (
            _earlier(steps, definition.get("steps", {})),
            _earlier(datasets, definition.get("datasets", {})),
        )
        for former in _formerly(definition.get("pipeline", {})):
            pipelines[former] = pipeline
    return found[::-1]


def _earlier(present: dict[str, str], entries: Mapping[str, Any]) -> dict[str, str]:
    """Return what *present* becomes for the time before a definition with *entries*."""
    renamed = {
        former: present.get(name, name)
        for name, entry in entries.items()
        for former in _formerly(entry)
        if former not in entries
    }
    return {**present, **renamed} if renamed else present


def _formerly(entry: object) -> Sequence[str]:
    former = entry.get("formerly", ()) if isinstance(entry, Mapping) else ()
    return [name for name in former if isinstance(name, str)] if isinstance(former, list | tuple) else ()
