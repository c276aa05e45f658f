"""How old the newest file of a dataset is, against how old it may be: one of four words, and a sentence."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal, NamedTuple

from orchestrator.core.durations import format_duration, parse_duration

State = Literal["fresh", "warn", "error", "unknown"]
Basis = Literal["files", "writer", "none"]


class Limits(NamedTuple):
    """The `fresh_within` of a dataset, in microseconds; None where a limit is not given."""

    warn_us: int | None
    error_us: int | None


class Age(NamedTuple):
    """
    What is known of the age of a dataset.

    Attributes:
        basis: `files`: by its newest file; `writer`: by the last success of the step that writes it, since its files are not within reach;
            `none`: neither is known.
        age_us: None where nothing is known, or where there is no file at all.
    """

    basis: Basis
    age_us: int | None


def limits_of(table: Mapping[str, object]) -> Limits:
    """Return the limits that the table `fresh_within` of a checked definition gives."""
    warn, error = table.get("warn"), table.get("error")
    return Limits(*(None if text is None else parse_duration(str(text)) for text in (warn, error)))


def state_of(age: Age, limits: Limits) -> State:
    """Return how *age* stands to *limits*: a dataset whose files can be looked at and are not there is as old as can be."""
    if age.age_us is None:
        if age.basis != "files":
            return "unknown"
        return "warn" if limits.error_us is None else "error"
    if limits.error_us is not None and age.age_us > limits.error_us:
        return "error"
    return "warn" if limits.warn_us is not None and age.age_us > limits.warn_us else "fresh"


def freshness_text(dataset: str, age: Age, limits: Limits) -> str:
    """
    Return what is known of the age of *dataset* as a sentence without a full stop.

    >>> freshness_text("raw", Age("files", 183_600_000_000), Limits(93_600_000_000, 180_000_000_000))
    'dataset raw is stale: its newest file is 2d3h old, error after 2d2h'
    """
    state = state_of(age, limits)
    if age.basis == "none":
        return f"dataset {dataset}: its files are not within reach, and no step of the pipeline has written it"
    what = "its newest file" if age.basis == "files" else "its files are not within reach, its last writing"
    if age.age_us is None:
        return f"dataset {dataset} is stale: there is no file"
    limit = limits.error_us if state == "error" else limits.warn_us
    old = f"is {format_duration(_whole_seconds(age.age_us))} old"
    if state == "fresh" or limit is None:
        return f"dataset {dataset} is fresh: {what} {old}"
    word = "stale" if state == "error" else "late"
    return f"dataset {dataset} is {word}: {what} {old}, {state} after {format_duration(limit)}"


def _whole_seconds(microseconds: int) -> int:
    return microseconds - microseconds % 1_000_000
