"""
Steps that are to run and cannot yet: the time of their next attempt has not come, or shares of pools are taken.

Nobody overtakes in a pool: a step that wants much of it would otherwise wait for ever beside those that want little.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping

import attrs

from orchestrator.core.decide import Measurement, Run
from orchestrator.runtime.ports import Pools

_LOOK_US = 200_000


@attrs.frozen
class Ready:
    """Hold a step that is started as soon as there is a place for it, why, and the content that this rests on."""

    step: str
    decision: Run
    measurement: Measurement


class Waiting:
    """
    Keep the steps of one run that wait, and the shares of those that do not any more.

    Args:
        uses: Returns the shares that a step takes of each pool.
    """

    def __init__(self, pools: Pools, uses: Callable[[str], Mapping[str, int]]) -> None:
        self._pools = pools
        self._uses = uses
        self._due: dict[str, int] = {}
        self._parked: dict[str, None] = {}
        self._wanted: Counter[str] = Counter()
        self._holding: set[str] = set()

    def __contains__(self, step: str) -> bool:
        return step in self._due or step in self._parked

    @property
    def timed(self) -> list[str]:
        """The steps that wait for a time."""
        return sorted(self._due)

    @property
    def parked(self) -> list[str]:
        """The steps that wait for shares, in the order in which they asked."""
        return list(self._parked)

    def patience_us(self, now_us: int) -> int | None:
        """Return after how many microseconds to look again, None where nothing waits; who else holds shares tells nobody when he lets go."""
        moments = [*self._due.values(), *((now_us + _LOOK_US,) if self._parked else ())]
        return max(0, min(moments) - now_us) if moments else None

    def until(self, step: str, due_us: int) -> None:
        """Let *step* wait until *due_us* of the monotonic clock."""
        self._due[step] = due_us

    def due(self, now_us: int) -> list[str]:
        """Return the steps whose time has come, the earliest first; they wait no longer."""
        due = sorted((moment, step) for step, moment in self._due.items() if moment <= now_us)
        for _, step in due:
            del self._due[step]
        return [step for _, step in due]

    def has_shares(self, step: str) -> bool:
        """Take the shares that *step* uses, all of them, or let it wait for them; a step that uses none has them."""
        uses = self._uses(step)
        if not uses or step in self._holding:
            return True
        if self._wanted.keys().isdisjoint(uses) and self._pools.take(step, uses):
            self._holding.add(step)
            return True
        self._parked[step] = None
        self._wanted.update(uses.keys())
        return False

    def served(self) -> list[str]:
        """Return the steps that waited for shares and have them now."""
        served = []
        blocked: set[str] = set()
        for step in self.parked:
            uses = self._uses(step)
            if blocked.isdisjoint(uses) and self._pools.take(step, uses):
                self._unpark(step)
                self._holding.add(step)
                served.append(step)
            else:
                blocked.update(uses)
        return served

    def leave(self, step: str) -> None:
        """Let *step* wait for nothing any more, and give back the shares that it holds."""
        self._due.pop(step, None)
        if step in self._parked:
            self._unpark(step)
            self._pools.give_back(step)
        elif step in self._holding:
            self._holding.discard(step)
            self._pools.give_back(step)

    def _unpark(self, step: str) -> None:
        del self._parked[step]
        self._wanted.subtract(self._uses(step).keys())
        self._wanted += Counter()  # drops what nobody wants
