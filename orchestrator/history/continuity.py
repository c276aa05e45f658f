"""One history out of the ledgers of a chain: one dataframe after the other, each thing under the name that it has at present."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import pandas as pd

from orchestrator.history.frames import columns_of, frame_of
from orchestrator.history.names import Generation, Names, present_names
from orchestrator.history.reading import Opened, Span

_ID_DIGITS = 8
_STARTS = "SELECT run_id, first_seq FROM audit_runs"


class _Part(NamedTuple):
    """Hold what one ledger gave, and where its runs begin."""

    ledger: str
    columns: Sequence[list[Any]]
    starts: Mapping[str, int]
    generations: Sequence[tuple[Span, Generation]]


class Chain:
    """
    Collect the columns of the same table from one ledger after the other, the oldest first.

    Args:
        types: Its columns, with the types that views have.
        zone: In which times are given.
        place: The column that says which event a row begins with, where it has one.
    """

    def __init__(self, types: Mapping[str, str], zone: str, place: str | None) -> None:
        self._types = types
        self._zone = zone
        self._place = place
        self._parts: list[_Part] = []

    def take(self, found: Opened, columns: Sequence[list[Any]]) -> None:
        """Add what the ledger *found* gave."""
        names, places = columns_of(found.connection, _STARTS)
        starts = dict(zip(names, places, strict=True))
        self._parts.append(_Part(found.ledger_id[:_ID_DIGITS], columns, starts, found.generations()))

    def frame(self) -> pd.DataFrame:
        """
        Return the one dataframe.

        Its column `ledger` has the beginning of the id of the ledger that holds the row: places of events count within one. Where something was
        renamed, `recorded_step`, `recorded_dataset` and `recorded_pipeline` have the names of that time.
        """
        names = iter(present_names([item for part in self._parts for _, item in part.generations]))
        frames = []
        for part in self._parts:
            frame = frame_of(self._types, part.columns, self._zone)
            self._rename(frame, part, names)
            frame.insert(0, "ledger", pd.Series([part.ledger], dtype="str").repeat(len(frame)).set_axis(frame.index))
            frames.append(frame)
        # An empty one would decide about types that it knows nothing of.
        filled = [frame for frame in frames if len(frame)] or frames[-1:]
        whole = filled[0] if len(filled) == 1 else pd.concat(filled, ignore_index=True)
        for kind in ("pipeline", "step", "upstream", "dataset"):
            recorded = f"recorded_{kind}"
            if recorded in whole:
                whole[recorded] = whole[recorded].fillna(whole[kind])
        return whole

    def _rename(self, frame: pd.DataFrame, part: _Part, names: Iterator[Names]) -> None:
        place = self._places(frame, part)
        for (span, generation), present in zip(part.generations, names, strict=False):
            mappings = {
                "pipeline": {} if present.pipeline == generation.pipeline else {generation.pipeline: present.pipeline},
                "step": present.steps,
                "upstream": present.steps,
                "dataset": present.datasets,
            }
            if not any(mappings.values()) or "pipeline" not in frame:
                continue
            recorded = frame.get("recorded_pipeline", frame["pipeline"]).fillna(frame["pipeline"])
            rows = recorded == generation.pipeline
            if place is not None:
                rows &= (place >= span.first_seq) & ((place < span.until) if span.until is not None else True)
            for kind, mapping in mappings.items():
                if kind in frame and mapping:
                    _put(frame, kind, rows, mapping)

    def _places(self, frame: pd.DataFrame, part: _Part) -> pd.Series[Any] | None:
        """Return which event the run of each row begins with, or the row itself where it belongs to no run."""
        place = None if self._place is None or self._place not in frame else frame[self._place].astype("float64")
        if "run_id" not in frame:
            return place
        starts = frame["run_id"].map(part.starts).astype("float64")
        return starts if place is None else starts.fillna(place)


def _put(frame: pd.DataFrame, kind: str, rows: pd.Series[Any], mapping: Mapping[str, str]) -> None:
    """Write present names into the column *kind* of the *rows*, and keep those of that time beside it."""
    if f"recorded_{kind}" not in frame:
        frame[f"recorded_{kind}"] = frame[kind]
    renamed = frame.loc[rows, kind].map(lambda name: mapping.get(name, name))
    frame.loc[rows, kind] = renamed
