"""
The class of data: which class a dataset counts as, and where data flows from a higher class to a lower one.

A dataset counts as the class that the definition gives it; one without a class that a step writes counts as the highest class that this
step reads. Everything here takes names and plain values, so that it works on a definition and on the graph that a ledger keeps alike.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, Literal, NamedTuple

Classification = Literal["public", "internal", "confidential", "personal"]
CLASSIFICATIONS: tuple[Classification, ...] = ("public", "internal", "confidential", "personal")
"""From the lowest to the highest."""

WITHHELD_FROM = "personal"
"""From this class on, what a step prints and says is shown to those alone who ask for its log."""

_RANKS: Mapping[str | None, int] = {None: -1, **{name: rank for rank, name in enumerate(CLASSIFICATIONS)}}


class Known(NamedTuple):
    """
    Say which class a dataset counts as.

    Attributes:
        source: The dataset that the definition gives this class: the dataset itself, or the one from which it inherits.
    """

    classification: str
    source: str


class Downgrade(NamedTuple):
    """Hold a dataset that a step writes and that has a lower class than one that it reads."""

    written: str
    written_class: str
    read: str
    known: Known


def rank(classification: str | None) -> int:
    """Return the place of *classification* in the order of classes; nothing is below all, and a class that nobody knows above all."""
    return _RANKS.get(classification, len(_RANKS))


def is_withheld(classification: str | None) -> bool:
    """Whether what a step prints is not shown by the way, where it touches data of *classification*."""
    return rank(classification) >= rank(WITHHELD_FROM)


class Classes(NamedTuple):
    """Hold the class of each dataset and of each step that has one; that of a step is the highest of what it reads and writes."""

    datasets: Mapping[str, Known]
    steps: Mapping[str, str]


def find_classes(steps: Mapping[str, tuple[Sequence[str], Sequence[str]]], declared: Mapping[str, str]) -> Classes:
    """
    Return what counts as which class; linear in the edges.

    Args:
        steps: What each step reads and what it writes, every upstream before its downstreams.
        declared: The classes that the definition gives to datasets.
    """
    known = {name: Known(classification, name) for name, classification in declared.items()}
    touched: dict[str, str] = {}
    for step, (reads, writes) in steps.items():
        highest = highest_class(reads, known)
        if highest is not None:
            for name in writes:
                known.setdefault(name, highest[1])
        highest = highest_class((*reads, *writes), known)
        if highest is not None:
            touched[step] = highest[1].classification
    return Classes(known, touched)


def highest_class(datasets: Iterable[str], known: Mapping[str, Known]) -> tuple[str, Known] | None:
    """Return which of *datasets* has the highest class, the first of several, and that class; None where none has any."""
    classed = [(name, known[name]) for name in datasets if name in known]
    return max(classed, key=lambda item: rank(item[1].classification), default=None)


def downgrades(reads: Iterable[str], writes: Iterable[str], known: Mapping[str, Known]) -> Iterator[Downgrade]:
    """Yield each dataset of *writes* whose class is lower than the highest of *reads*."""
    highest = highest_class(reads, known)
    for name in writes if highest is not None else ():
        own = known[name].classification
        assert highest is not None
        if rank(own) < rank(highest[1].classification):
            yield Downgrade(name, own, *highest)


def graph_classes(graph: Mapping[str, Any]) -> Classes:
    """Return the classes in *graph*, as `runtime.assembly.graph_document` makes it and the ledger keeps it."""
    steps = {entry["step"]: (entry.get("reads", ()), entry.get("writes", ())) for entry in graph["steps"]}
    declared = {
        name: item["classification"] for name, item in graph.get("datasets", {}).items() if "classification" in item
    }
    return find_classes(steps, declared)
