"""
Where the steps of a graph stand in a picture: layers from left to right, edges as lines that bend around steps.

The usual three phases: a step's layer is the length of the longest path to it; the order within each layer follows the mean
position of the neighbours, in sweeps to and fro; places are as near to the neighbours as the steps beside them allow. Everything
is deterministic. The cost of a sweep is linear in the edges (times a logarithm for counting crossings), and the number of sweeps and of
bends is bounded, so that a graph of thousands of steps takes seconds and not minutes.
"""

from __future__ import annotations

import graphlib
import itertools
from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

NODE_HEIGHT = 28
NODE_GAP = 12
LAYER_GAP = 48
_GAP_OF_EDGE = 1.5
_GAP_OF_EDGES_MAX = 90
_BEND_WIDTH = 16
_BENDS_AT_MOST = 20_000
_SWEEPS = 16
_SWEEPS_MIN = 4
_VISITS = 4_000

Point = tuple[float, float]


class Node(NamedTuple):
    """Place a step: the left edge *x*, the middle *y*, and its size."""

    name: str
    layer: int
    x: float
    y: float
    width: float
    height: float


class Edge(NamedTuple):
    """Draw a line from *source* to *target*: *points* come in pairs, curved within a pair, straight between them."""

    source: str
    target: str
    points: tuple[Point, ...]


class Layout(NamedTuple):
    """Hold the places of all steps and edges; every coordinate lies within *width* and *height*."""

    width: float
    height: float
    nodes: tuple[Node, ...]
    edges: tuple[Edge, ...]


class _Layers:
    """The graph with its long edges cut into short ones: vertices are numbers, steps first, then bends."""

    def __init__(self, upstream: Mapping[str, Sequence[str]]) -> None:
        self.names = list(upstream)
        number_of = {name: number for number, name in enumerate(self.names)}
        layer_of = layer_numbers(upstream)
        self.layer = [layer_of[name] for name in self.names]
        self.above: list[list[int]] = [[] for _ in self.names]
        self.below: list[list[int]] = [[] for _ in self.names]
        self.paths: dict[tuple[int, int], list[int]] = {}
        for target, others in upstream.items():
            for source in others:
                if source in number_of:
                    self.paths[number_of[source], number_of[target]] = []
        self._bend()
        self.rows = self._rows()

    def _bend(self) -> None:
        """Give each long edge a vertex in every layer that it passes, the shorter edges first, while there are any left."""
        left = _BENDS_AT_MOST
        for source, target in sorted(self.paths, key=lambda ends: self.layer[ends[1]] - self.layer[ends[0]]):
            passed = range(self.layer[source] + 1, self.layer[target])
            if len(passed) > left:
                continue
            left -= len(passed)
            before = source
            for layer in passed:
                bend = len(self.layer)
                self.layer.append(layer)
                self.above.append([])
                self.below.append([])
                self._join(before, bend)
                self.paths[source, target].append(bend)
                before = bend
            self._join(before, target)

    def _join(self, source: int, target: int) -> None:
        self.below[source].append(target)
        self.above[target].append(source)

    def _rows(self) -> list[list[int]]:
        """Return the vertices of each layer in the order of a walk that follows the edges, neighbours side by side."""
        rows: list[list[int]] = [[] for _ in range(max(self.layer, default=-1) + 1)]
        seen: set[int] = set()
        waiting = [vertex for vertex in reversed(range(len(self.names))) if not self.above[vertex]]
        while waiting:
            vertex = waiting.pop()
            if vertex not in seen:
                seen.add(vertex)
                rows[self.layer[vertex]].append(vertex)
                waiting.extend(reversed(self.below[vertex]))
        return rows


def layer_numbers(upstream: Mapping[str, Sequence[str]]) -> dict[str, int]:
    """
    Map each step to the length of the longest path that leads to it; upstreams that are no steps do not count.

    Raises:
        graphlib.CycleError: The edges hold a cycle.
    """
    known = {step: [other for other in others if other in upstream] for step, others in upstream.items()}
    layers: dict[str, int] = {}
    for step in graphlib.TopologicalSorter(known).static_order():
        layers[step] = max((layers[other] + 1 for other in known[step]), default=0)
    return layers


def lay_out(upstream: Mapping[str, Sequence[str]], widths: Mapping[str, float]) -> Layout:
    """
    Place the steps of *upstream*, which maps each step to those that it waits for.

    Args:
        widths: How much room the text of each step takes; all steps of a layer get the widest one's.

    Raises:
        graphlib.CycleError: The edges hold a cycle.
    """
    layers = _Layers(upstream)
    rows = _ordered(layers, min(_SWEEPS, max(_SWEEPS_MIN, _VISITS // max(len(layers.layer), 1))))
    middles = _placed(layers, rows)
    lefts, rights = _columns(layers, rows, widths)
    nodes = [
        Node(name, layer, lefts[layer], middles[number], rights[layer] - lefts[layer], NODE_HEIGHT)
        for number, (name, layer) in enumerate(zip(layers.names, layers.layer, strict=False))
    ]
    edges = []
    for (source, target), bends in layers.paths.items():
        points: list[Point] = [(rights[layers.layer[source]], middles[source])]
        for bend in bends:
            layer = layers.layer[bend]
            points += [(lefts[layer], middles[bend]), (rights[layer], middles[bend])]
        points.append((lefts[layers.layer[target]], middles[target]))
        edges.append(Edge(layers.names[source], layers.names[target], tuple(points)))
    height = max(middles, default=0) + NODE_HEIGHT / 2
    return Layout(max(rights, default=0), height, tuple(nodes), tuple(edges))


def _columns(
    layers: _Layers, rows: Sequence[Sequence[int]], widths: Mapping[str, float]
) -> tuple[list[float], list[float]]:
    """Return where each layer begins and ends; where many edges leave one, there is more room behind it."""
    lefts, rights = list[float](), list[float]()
    left = 0.0
    for row in rows:
        steps = [layers.names[vertex] for vertex in row if vertex < len(layers.names)]
        lefts.append(left)
        rights.append(left + max((widths[name] for name in steps), default=_BEND_WIDTH))
        leaving = sum(len(layers.below[vertex]) for vertex in row)
        left = rights[-1] + LAYER_GAP + min(leaving * _GAP_OF_EDGE, _GAP_OF_EDGES_MAX)
    return lefts, rights


def _ordered(layers: _Layers, sweeps: int) -> list[list[int]]:
    """Return the rows in an order with few crossings: the best that *sweeps* sweeps came across."""
    rows = [list(row) for row in layers.rows]
    places = [0.0] * len(layers.layer)
    for row in rows:
        _spread(row, places)
    best, fewest = [list(row) for row in rows], _crossings(rows, layers.below)
    for sweep in range(sweeps):
        if fewest == 0:
            break
        down = sweep % 2 == 0
        near = layers.above if down else layers.below
        for row in rows[1:] if down else reversed(rows[:-1]):
            wishes = {vertex: _mean((places[other] for other in near[vertex]), places[vertex]) for vertex in row}
            row.sort(key=wishes.__getitem__)
            _spread(row, places)
        crossings = _crossings(rows, layers.below)
        if crossings < fewest:
            best, fewest = [list(row) for row in rows], crossings
    return best


def _spread(row: Sequence[int], places: list[float]) -> None:
    """Spread *row* evenly between 0 and 1, so that layers of different sizes compare."""
    for index, vertex in enumerate(row):
        places[vertex] = (index + 0.5) / len(row)


def _mean(values: Iterable[float], otherwise: float) -> float:
    total, count = 0.0, 0
    for value in values:
        total, count = total + value, count + 1
    return total / count if count else otherwise


def _crossings(rows: Sequence[Sequence[int]], below: Sequence[Sequence[int]]) -> int:
    """Count the pairs of edges between neighbouring layers that cross, with a Fenwick tree over the lower layer."""
    crossings = 0
    for upper, lower in itertools.pairwise(rows):
        index_of = {vertex: index for index, vertex in enumerate(lower)}
        tree = [0] * (len(lower) + 1)
        seen = 0
        for vertex in upper:
            ends = sorted(index_of[other] for other in below[vertex])
            for end in ends:
                crossings += seen - _count_up_to(tree, end + 1)
            for end in ends:
                _add(tree, end + 1)
            seen += len(ends)
    return crossings


def _count_up_to(tree: Sequence[int], index: int) -> int:
    count = 0
    while index:
        count += tree[index]
        index &= index - 1
    return count


def _add(tree: list[int], index: int) -> None:
    while index < len(tree):
        tree[index] += 1
        index += index & -index


def _placed(layers: _Layers, rows: Sequence[Sequence[int]]) -> list[float]:
    """Return the middle of every vertex: each row as near to its neighbours' means as its distances allow."""
    heights = [NODE_HEIGHT if vertex < len(layers.names) else 0 for vertex in range(len(layers.layer))]
    middles = [0.0] * len(heights)
    both = [[*above, *below] for above, below in zip(layers.above, layers.below, strict=True)]
    sweeps = [(both, False), (layers.above, False), (layers.below, True), (layers.above, False), (layers.below, True)]
    for near, upwards in [*sweeps, (both, False)]:
        for row in reversed(rows) if upwards else rows:
            wishes = [_mean((middles[other] for other in near[vertex]), middles[vertex]) for vertex in row]
            for vertex, middle in zip(row, _apart(wishes, [heights[vertex] for vertex in row]), strict=True):
                middles[vertex] = middle
    top = min((middle - NODE_HEIGHT / 2 for middle in middles), default=0.0)
    return [round(middle - top, 1) for middle in middles]


def _apart(wishes: Sequence[float], heights: Sequence[int]) -> list[float]:
    """
    Return the places nearest to *wishes* (by least squares) at which boxes of *heights* keep their order and do not overlap.

    Without the distances this is a regression that may only rise: neighbours that fall are pooled to their mean.
    """
    offsets = [0.0]
    for upper, lower in itertools.pairwise(heights):
        offsets.append(offsets[-1] + (upper + lower) / 2 + NODE_GAP)
    pools: list[tuple[float, int]] = []
    for wish, offset in zip(wishes, offsets, strict=False):
        total, count = wish - offset, 1
        while pools and pools[-1][0] * count >= total * pools[-1][1]:
            other_total, other_count = pools.pop()
            total, count = total + other_total, count + other_count
        pools.append((total, count))
    bases = [round(total / count, 1) for total, count in pools for _ in range(count)]
    return [base + offset for base, offset in zip(bases, offsets, strict=False)]
