"""The cycles of a graph that should have none, each with its whole path."""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping, Sequence


def find_cycles(edges: Mapping[str, Sequence[str]]) -> list[list[str]]:
    """
    Return one shortest cycle for each group of steps that wait for each other, as `[a, b, c, a]`: a waits for b.

    Groups that share no step are reported each, in the order of *edges*; linear in the edges.
    """
    left = _turned(_without_ends(_turned(_without_ends(edges))))
    cycles = []
    seen: set[str] = set()
    for step in edges:
        if step in left and step not in seen:
            cycle = _cycle_through(step, left)
            if cycle is not None:
                cycles.append(cycle)
                seen |= _reaching_each_other(step, left)
    return cycles


def _without_ends(edges: Mapping[str, Sequence[str]]) -> dict[str, list[str]]:
    """Return *edges* without the steps that wait, at whatever distance, for nothing that is in a cycle."""
    waiting_for = {step: len(others) for step, others in edges.items()}
    waiters = _turned(edges)
    done = deque(step for step, count in waiting_for.items() if count == 0)
    gone: set[str] = set()
    while done:
        step = done.popleft()
        gone.add(step)
        for waiter in waiters[step]:
            waiting_for[waiter] -= 1
            if waiting_for[waiter] == 0:
                done.append(waiter)
    return {
        step: [other for other in others if other not in gone] for step, others in edges.items() if step not in gone
    }


def _cycle_through(start: str, edges: Mapping[str, Sequence[str]]) -> list[str] | None:
    """Return a shortest way from *start* back to itself, or None where there is none."""
    came_from: dict[str, str] = {}
    waiting = deque([start])
    while waiting:
        step = waiting.popleft()
        for other in edges[step]:
            if other == start:
                path = [step]
                while path[-1] != start:
                    path.append(came_from[path[-1]])
                return [*reversed(path), start]
            if other not in came_from:
                came_from[other] = step
                waiting.append(other)
    return None


def _reaching_each_other(start: str, edges: Mapping[str, Sequence[str]]) -> set[str]:
    """Return the steps that *start* waits for and that wait for *start*."""
    return _reached(start, edges) & _reached(start, _turned(edges))


def _turned(edges: Mapping[str, Sequence[str]]) -> dict[str, list[str]]:
    """Return the edges the other way round."""
    turned: dict[str, list[str]] = {step: [] for step in edges}
    for step, others in edges.items():
        for other in others:
            turned[other].append(step)
    return turned


def _reached(start: str, edges: Mapping[str, Sequence[str]]) -> set[str]:
    found: set[str] = {start}
    waiting = [start]
    while waiting:
        for other in edges[waiting.pop()]:
            if other not in found:
                found.add(other)
                waiting.append(other)
    return found
