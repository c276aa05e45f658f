"""
What a ledger and what lies beside it take, by run and by pipeline: for whoever wonders what to prune.

Logs, reports and scratch folders are measured where they lie; runs that ran another one again count like any other. What the events of a run take is their part of the ledger's file: what an event takes in it on average, with
tables, keys and what else belongs to it. Documents that are kept by digest belong to no run alone, and are told as a whole.
"""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Collection, Iterable
from pathlib import Path
from typing import NamedTuple

from orchestrator.runtime.room import folder_bytes
from orchestrator.runtime.trees import tree_paths

SHOWN_AT_MOST = 10
"""So many of the largest are told."""

SCRATCH = "reproductions"
"""Where, beside a ledger, runs are run again."""

_RUNS = """
SELECT r.run_id, r.pipeline, r.nights, (SELECT count(*) FROM events e WHERE e.stream = 'run/' || r.run_id)
FROM (SELECT run_id, pipeline, first_seq, 1 AS nights FROM runs UNION ALL SELECT run_id, pipeline, first_seq, 0 FROM reproductions) r ORDER BY r.first_seq
"""


class Taken(NamedTuple):
    """
    Hold what a run takes, or all runs of a pipeline.

    Attributes:
        run_id: None for a pipeline.
        runs: How many; those that ran another one again are not counted.
        scratch_bytes: What such a one keeps of its scratch folder.
    """

    pipeline: str
    run_id: str | None
    runs: int
    events: int
    events_bytes: int
    logs_bytes: int
    reports_bytes: int
    scratch_bytes: int

    @property
    def bytes(self) -> int:
        """All of it."""
        return self.events_bytes + self.logs_bytes + self.reports_bytes + self.scratch_bytes

    def as_json(self) -> dict[str, object]:
        """Return the fields and their sum; a pipeline has no run, and a run no count of them."""
        rest = {} if self.run_id is None else {"run_id": self.run_id}
        count = {"runs": self.runs} if self.run_id is None else {}
        sizes = {name: getattr(self, name) for name in self._fields[3:]}
        return {"pipeline": self.pipeline, **rest, **count, **sizes, "bytes": self.bytes}


class LeftFolder(NamedTuple):
    """Hold a scratch folder of which no run is recorded: that run is about to start, or was killed before it did."""

    path: str
    bytes: int


class Usage(NamedTuple):
    """
    Hold what a ledger and what lies beside it take.

    Attributes:
        pipelines: The largest first; at most `SHOWN_AT_MOST`, like *runs*.
        unused_bytes: Of the ledger's file, which later events use before it grows.
        left_folders: The largest first; at most `SHOWN_AT_MOST`.
    """

    pipelines: list[Taken]
    runs: list[Taken]
    blobs: int
    blobs_bytes: int
    file_bytes: int
    unused_bytes: int
    left_folders: list[LeftFolder]


def usage_of(connection: sqlite3.Connection, folder: Path) -> Usage:
    """Return what the ledger behind *connection*, which lies in *folder*, takes; linear in its runs."""
    pages, page_bytes, unused = (
        connection.execute(f"PRAGMA {name}").fetchone()[0] for name in ("page_count", "page_size", "freelist_count")
    )
    blobs, blobs_bytes = connection.execute("SELECT count(*), coalesce(sum(length(bytes)), 0) FROM blobs").fetchone()
    (events,) = connection.execute("SELECT coalesce(max(seq) + 1, 1) FROM events").fetchone()
    used = max((pages - unused) * page_bytes - blobs_bytes, 0)
    runs = [
        Taken(
            pipeline,
            run_id,
            nights,
            count,
            used * count // events,
            folder_bytes(folder / "logs" / run_id),
            folder_bytes(folder / "reports" / run_id),
            0 if nights else tree_bytes(folder / SCRATCH / run_id),
        )
        for run_id, pipeline, nights, count in connection.execute(_RUNS)
    ]
    return Usage(
        pipelines=_largest(_by_pipeline(runs)),
        runs=_largest(runs),
        blobs=blobs,
        blobs_bytes=blobs_bytes,
        file_bytes=pages * page_bytes,
        unused_bytes=unused * page_bytes,
        left_folders=_left_folders(folder, {run.run_id for run in runs}),
    )


def _left_folders(folder: Path, known: Collection[str | None]) -> list[LeftFolder]:
    try:
        names = sorted(set(os.listdir(folder / SCRATCH)).difference(filter(None, known)))
    except OSError:
        return []
    found = [LeftFolder(f"{SCRATCH}/{name}", tree_bytes(folder / SCRATCH / name)) for name in names]
    return sorted(found, key=lambda item: -item.bytes)[:SHOWN_AT_MOST]


def tree_bytes(folder: Path) -> int:
    """Return how much *folder* and the folders below it take with their files; nothing where it is not there. No link is followed."""
    return sum(folder_bytes(Path(path)) for path in tree_paths(folder))


def _by_pipeline(runs: Iterable[Taken]) -> list[Taken]:
    found: dict[str, Taken] = {}
    for run in runs:
        before = found.get(run.pipeline, Taken(run.pipeline, None, 0, 0, 0, 0, 0, 0))
        found[run.pipeline] = Taken(run.pipeline, None, *map(sum, zip(before[2:], run[2:], strict=True)))
    return list(found.values())


def _largest(found: Iterable[Taken]) -> list[Taken]:
    return sorted(found, key=lambda item: (-item.bytes, item.run_id or item.pipeline))[:SHOWN_AT_MOST]
