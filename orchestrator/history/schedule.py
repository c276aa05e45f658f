"""
What a run could have taken: its steps with the durations that they had, put on another number of places.

Pure functions of durations and edges. The replay starts whatever is ready in the order of the graph while there is a place, as the program does.
"""

from __future__ import annotations

import heapq
from collections.abc import Mapping, Sequence
from typing import NamedTuple


class Task(NamedTuple):
    """Hold a step that ran: how long it took, and after which others it came."""

    step: str
    seconds: float
    upstream: tuple[str, ...] = ()


def critical_path(tasks: Sequence[Task]) -> list[str]:
    """
    Return the chain of steps that takes longest: with any number of places, a run takes at least as long as this.

    Args:
        tasks: In an order in which each comes after its upstream; what is upstream and not among them took no time.

    >>> critical_path([Task("a", 3), Task("b", 1), Task("c", 2, ("a", "b"))])
    ['a', 'c']
    """
    ends: dict[str, float] = {}
    before: dict[str, str | None] = {}
    for task in tasks:
        known = [name for name in task.upstream if name in ends]
        last = max(known, key=lambda name: ends[name], default=None)
        before[task.step] = last
        ends[task.step] = task.seconds + (0.0 if last is None else ends[last])
    step = max(ends, key=lambda name: ends[name], default=None)
    path = []
    while step is not None:
        path.append(step)
        step = before[step]
    return path[::-1]


def path_seconds(tasks: Sequence[Task]) -> float:
    """Return how long the steps of the critical path take."""
    seconds = {task.step: task.seconds for task in tasks}
    return sum(seconds[step] for step in critical_path(tasks))


def replay(tasks: Sequence[Task], places: int) -> float:
    """
    Return how many seconds the *tasks* take on so many *places*.

    Raises:
        ValueError: There is no place.

    >>> steps = [Task("a", 2), Task("b", 2), Task("c", 1, ("a",))]
    >>> replay(steps, 1), replay(steps, 2)
    (5.0, 3.0)
    """
    if places < 1:
        raise ValueError(f"a run needs at least one place, not {places}")
    order = {task.step: number for number, task in enumerate(tasks)}
    waiting = {task.step: sum(1 for name in task.upstream if name in order) for task in tasks}
    after: Mapping[str, list[str]] = {task.step: [] for task in tasks}
    for task in tasks:
        for name in task.upstream:
            if name in order:
                after[name].append(task.step)
    ready = [order[name] for name, count in waiting.items() if not count]
    heapq.heapify(ready)
    running: list[tuple[float, int]] = []
    now = 0.0
    while ready or running:
        while ready and len(running) < places:
            number = heapq.heappop(ready)
            heapq.heappush(running, (now + tasks[number].seconds, number))
        now, ended = heapq.heappop(running)
        for name in after[tasks[ended].step]:
            waiting[name] -= 1
            if not waiting[name]:
                heapq.heappush(ready, order[name])
    return now
