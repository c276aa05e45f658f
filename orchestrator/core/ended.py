"""Words that many share about runs: how one ends well, and what makes one a run of everything. Only the standard library, since reading commands load it."""

from __future__ import annotations

from collections.abc import Mapping

WELL = ("succeeded", "nothing_to_do")
"""How a run ends with which nobody has to do anything about it."""

CHOOSING = ("only", "from", "until", "omit")
"""The parts of a recorded selection that leave steps out."""


def is_whole(selection: Mapping[str, object]) -> bool:
    """Whether a run with this recorded *selection* is about all steps, so that its end says something about the pipeline."""
    return not any(selection.get(option) for option in CHOOSING)
