"""Which steps a run is about: `--only`, `--from`, `--until`, `--omit`."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

import attrs

from orchestrator.core.errors import OrchestratorError
from orchestrator.core.graph import Graph
from orchestrator.core.names import shown, suggest


class UnknownStepError(OrchestratorError):
    """Raised when a selection names a step that the definition lacks."""

    kind = "unknown_step"

    def __init__(self, step: str, option: str, near: str | None) -> None:
        self.step = step
        hint = f"did you mean {near}?" if near else "`orchestrate graph` shows the steps"
        super().__init__(f"{option} names {shown(step)}, which is no step of this pipeline; {hint}")


class EmptySelectionError(OrchestratorError):
    """Raised when a selection leaves no step."""

    kind = "empty_selection"


@attrs.frozen
class Selection:
    """
    Choose steps; the empty selection chooses all.

    Attributes:
        only: These alone.
        from_: These and everything below them.
        until: These and everything above them.
        omit: Not these.
        force: Run what is selected even if nothing is new.
    """

    only: tuple[str, ...] = ()
    from_: tuple[str, ...] = ()
    until: tuple[str, ...] = ()
    omit: tuple[str, ...] = ()
    force: bool = False

    def as_json(self) -> dict[str, object]:
        """Return what `run.started` records."""
        return {
            "only": list(self.only),
            "from": list(self.from_),
            "until": list(self.until),
            "omit": list(self.omit),
            "force": self.force,
        }


def select(graph: Graph, steps: Mapping[str, object], selection: Selection) -> frozenset[str]:
    """
    Return the steps that *selection* chooses: those that each of its options allows.

    `--only a --from b` means `a` and all that lies in `--from b`: `--only` adds, `--from` and `--until` together mean what lies between.

    Raises:
        UnknownStepError: It names a step that is not there.
        EmptySelectionError: Nothing is left.
    """
    options = (
        ("--only", selection.only),
        ("--from", selection.from_),
        ("--until", selection.until),
        ("--omit", selection.omit),
    )
    for option, names in options:
        _check_known(names, steps, option)
    chosen = frozenset(steps)
    if selection.from_:
        chosen &= graph.below(selection.from_)
    if selection.until:
        chosen &= graph.above(selection.until)
    if selection.only:
        between = chosen if selection.from_ or selection.until else frozenset()
        chosen = between | frozenset(selection.only)
    chosen -= frozenset(selection.omit)
    if not chosen:
        raise EmptySelectionError("the selection leaves no step; `orchestrate plan` shows what it chooses")
    return chosen


def _check_known(names: Sequence[str], steps: Iterable[str], option: str) -> None:
    known = dict.fromkeys(steps)
    for name in names:
        if name not in known:
            raise UnknownStepError(name, option, suggest(name, known))
