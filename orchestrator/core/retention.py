"""Which runs are past a retention: how old they are by their end, and the newest run of each pipeline never."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import NamedTuple

KINDS = ("logs", "reports", "blobs")
"""What runs leave behind and a retention may be given for, see `core.definition.Retention`."""

OVERRIDE = "--older-than"
"""Where a retention stands that is not the definition's."""


class Rule(NamedTuple):
    """
    State a retention: what of which pipeline is kept for how long.

    Attributes:
        kind: One of `KINDS`.
        keep: As it was written, such as `90d`.
        policy: Where: `definition`, or `OVERRIDE`.
    """

    pipeline: str
    kind: str
    keep: str
    policy: str


class EndedRun(NamedTuple):
    """Hold a run and when it ended, or None where it is on or nobody knows."""

    run_id: str
    pipeline: str
    finished_at: str | None


def rules_of(pipeline: str, document: Mapping[str, object], kinds: Iterable[str], older_than: str | None) -> list[Rule]:
    """
    Return the retention of each of *kinds* for *pipeline*; none for a kind that is kept for ever.

    Args:
        document: The definition that the pipeline last ran with, as plain values.
        older_than: Counts in the place of what the definition says.
    """
    if older_than is not None:
        return [Rule(pipeline, kind, older_than, OVERRIDE) for kind in kinds]
    table = document.get("retention")
    stated = table if isinstance(table, Mapping) else {}
    return [Rule(pipeline, kind, str(stated[kind]), "definition") for kind in kinds if kind in stated]


def past_runs(runs: Iterable[EndedRun], pipeline: str, before: str) -> list[str]:
    """
    Return the runs of *pipeline* that ended before the time *before*, but for its newest run, which can still be resumed and is what `latest` means.

    Args:
        runs: In the order in which they started.
    """
    own = [run for run in runs if run.pipeline == pipeline]
    return [run.run_id for run in own[:-1] if run.finished_at is not None and run.finished_at < before]
