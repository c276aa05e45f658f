"""The graphs that are run: for each step the steps that it waits for."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TypeAlias

Graph: TypeAlias = Mapping[str, tuple[str, ...]]

_LAYERS = 10


def layered(count: int, layers: int = _LAYERS) -> Graph:
    """
    Return *count* steps in *layers*; each waits for two of the layer before.

    >>> dict(layered(4, layers=2))
    {'s0': (), 's1': (), 's2': ('s0', 's1'), 's3': ('s1', 's0')}
    """
    width = count // layers
    names = [f"s{number}" for number in range(count)]
    graph: dict[str, tuple[str, ...]] = {}
    for number, name in enumerate(names):
        layer, place = divmod(number, width)
        before = names[(layer - 1) * width : layer * width] if layer else []
        graph[name] = tuple(dict.fromkeys((before[place], before[(place + 1) % width]))) if before else ()
    return graph


def independent(count: int) -> Graph:
    """Return *count* steps that wait for nothing."""
    return {f"s{number}": () for number in range(count)}


def chain(count: int) -> Graph:
    """Return *count* steps, each of which waits for the one before."""
    return {f"s{number}": (f"s{number - 1}",) if number else () for number in range(count)}


SHAPES: Mapping[str, Callable[[int], Graph]] = {"layered": layered, "independent": independent, "chain": chain}
"""Every shape by its name."""
