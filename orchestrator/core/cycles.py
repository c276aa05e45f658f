"""The cycles of a graph that should have none, each with its whole path."""

from __future__ import annotations

from collections import deque
from collections.abc import Collection, Iterator, Mapping, Sequence


def find_cycles(edges: Mapping[str, Sequence[str]]) -> list[list[str]]:
    """
    Return a cycle for each group of steps that wait for each other, as `[a, b, c, a]`: a waits for b.

    It is a shortest one through the group's first step. Groups come in the order of *edges*; linear in the edges.
    """
    place = {step: number for number, step in enumerate(edges)}
    groups = [group for group in _groups(edges) if len(group) > 1]
    firsts = {min(group, key=place.__getitem__): frozenset(group) for group in groups}
    return [_cycle_through(first, firsts[first], edges) for first in sorted(firsts, key=place.__getitem__)]


def _groups(edges: Mapping[str, Sequence[str]]) -> Iterator[list[str]]:
    """Yield the strongly connected components (Tarjan's, with a stack of its own instead of recursion)."""
    number: dict[str, int] = {}
    lowest: dict[str, int] = {}
    open_steps: list[str] = []
    is_open: set[str] = set()
    for start in edges:
        calls = [] if start in number else [(start, iter(edges[start]))]
        while calls:
            step, others = calls[-1]
            if step not in number:
                number[step] = lowest[step] = len(number)
                open_steps.append(step)
                is_open.add(step)
            other = next(others, None)
            if other is None:
                calls.pop()
                if calls:
                    lowest[calls[-1][0]] = min(lowest[calls[-1][0]], lowest[step])
                if lowest[step] == number[step]:
                    group = _popped(open_steps, step)
                    is_open.difference_update(group)
                    yield group
            elif other not in number:
                calls.append((other, iter(edges[other])))
            elif other in is_open:
                lowest[step] = min(lowest[step], number[other])


def _popped(steps: list[str], last: str) -> list[str]:
    """Take from the end of *steps* until *last* is taken."""
    group = [steps.pop()]
    while group[-1] != last:
        group.append(steps.pop())
    return group


def _cycle_through(start: str, group: Collection[str], edges: Mapping[str, Sequence[str]]) -> list[str]:
    """Return a shortest way from *start* back to itself inside *group*, which holds one."""
    came_from: dict[str, str] = {}
    waiting = deque([start])
    while start not in came_from:
        step = waiting.popleft()
        for other in edges[step]:
            if other in group and other not in came_from:
                came_from[other] = step
                waiting.append(other)
    path = [start]
    while len(path) == 1 or path[-1] != start:
        path.append(came_from[path[-1]])
    return path[::-1]
