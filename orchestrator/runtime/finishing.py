"""
Steps whose process has ended well and whose outputs are being looked at: how they end depends on what they have left.

To look at much data takes as long as it takes. That holds up no end of the run: nobody waits longer than a step's grace then.
"""

from __future__ import annotations

from typing import TypeAlias

import attrs

from orchestrator.core.outcome import Outcome
from orchestrator.core.report import StepReport
from orchestrator.runtime.ports import Digester, Exited, MeasureRequest

Ended: TypeAlias = tuple[Outcome, Exited, StepReport | None]
"""How an attempt ended, as far as its outputs do not say otherwise."""


@attrs.define
class _Held:
    ended: Ended
    until_us: int | None = None


class Finishing:
    """Keep the steps of one run whose outputs *digester* looks at."""

    def __init__(self, digester: Digester) -> None:
        self._digester = digester
        self._held: dict[str, _Held] = {}

    def __contains__(self, step: str) -> bool:
        return step in self._held

    @property
    def names(self) -> list[str]:
        """The steps, sorted."""
        return sorted(self._held)

    def begin(self, ended: Ended, outputs: tuple[str, ...], rows: tuple[str, ...]) -> None:
        """Have the *outputs* looked at that an attempt has left, and the rows of some of them counted."""
        step = ended[1].step
        self._held[step] = _Held(ended)
        self._digester.submit(MeasureRequest(step, outputs=outputs, code=False, rows=rows))

    def hurry(self, step: str, until_us: int) -> None:
        """Wait for the outputs of *step* until *until_us* of the monotonic clock at most."""
        held = self._held[step]
        held.until_us = until_us if held.until_us is None else min(held.until_us, until_us)

    def patience_us(self, now_us: int) -> int | None:
        """Return after how many microseconds the first of them is waited for no longer, None where there is no such one."""
        left = (max(0, held.until_us - now_us) for held in self._held.values() if held.until_us is not None)
        return min(left, default=None)

    def take(self, step: str) -> Ended:
        """Return how the attempt of *step* ended, whose outputs are known now."""
        return self._held.pop(step).ended

    def give_up(self, now_us: int, cause: str) -> list[Ended]:
        """Forget what is waited for no longer, and return it: as ended by *cause*, since nobody knows what it has left."""
        late = [name for name in self.names if (until := self._held[name].until_us) is not None and now_us >= until]
        given_up: list[Ended] = []
        for name in late:
            self._digester.drop(name)
            _, exited, report = self.take(name)
            message = "it had ended well, but the end of the run did not wait until its outputs had been looked at"
            given_up.append((Outcome("cancelled", cause, message=message), exited, report))
        return given_up
