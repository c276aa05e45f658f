"""
Which blobs of a ledger only runs past their retention name.

Needed is what any other event names, what decisions rest on today, every definition and graph, the last success behind each skip of a run that is
kept, and whatever of the ledger those name in turn. The rest of what the past runs name may go. Nothing is decided by a blob's form: a digest in a
text counts as a name of it, so that what a later program keeps is followed as well.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterable, Iterator
from typing import NamedTuple

from ledger.canonical import DIGEST, canonical_text
from ledger.events import event_of_body
from ledger.reader import kept_blob
from orchestrator.projections.blob_names import FOR_TABLES, named_in
from orchestrator.projections.carried import decision_rows

_PRUNED = "blobs.pruned"


class Blob(NamedTuple):
    """Hold a blob that may go, the pipeline of the first run that names it, and its size."""

    digest: str
    pipeline: str
    bytes: int


def prunable_blobs(connection: sqlite3.Connection, past: dict[str, str]) -> list[Blob]:
    """
    Return the blobs that nothing but *past* needs, in the order of the events that name them; reads every event and every blob that is needed.

    Args:
        past: The pipeline of each run past its retention, by the run's id.
    """
    sizes = dict(connection.execute("SELECT digest, length(bytes) FROM blobs").fetchall())
    needed: set[str] = set()
    named: dict[str, str] = {}
    for body in _bodies(connection):
        event = event_of_body(body)
        run_id = event.stream.removeprefix("run/")
        if run_id in past and event.stream != run_id:
            needed.update(named_in(event, FOR_TABLES))
            for digest in DIGEST.findall(body):
                named.setdefault(digest, past[run_id])
        elif event.type != _PRUNED:
            needed.update(DIGEST.findall(body))
    needed.update(DIGEST.findall(canonical_text(decision_rows(connection))))
    for text in _behind_kept_skips(connection, past):
        needed.update(DIGEST.findall(text))
    left = set(sizes)
    _take_closure(connection, needed, left)
    found: dict[str, str] = {}
    for digest, pipeline in named.items():
        found.update(dict.fromkeys(_take_closure(connection, [digest], left), pipeline))
    return [Blob(digest, pipeline, sizes[digest]) for digest, pipeline in found.items()]


def _bodies(connection: sqlite3.Connection) -> Iterator[str]:
    for (body,) in connection.execute("SELECT body FROM events WHERE instr(body, 'sha256:') ORDER BY seq"):
        yield body


def _behind_kept_skips(connection: sqlite3.Connection, past: dict[str, str]) -> Iterator[str]:
    """Yield what each attempt is made of that a skip of a run that is kept names as its last success."""
    rows = connection.execute(
        "SELECT DISTINCT s.since FROM (SELECT stream, json_extract(data, '$.evidence.since') AS since FROM events"
        " WHERE type = 'step.finished') s WHERE s.since IS NOT NULL AND substr(s.stream, 5) NOT IN (SELECT value FROM json_each(?))",
        (json.dumps(list(past)),),
    ).fetchall()
    for (since,) in rows:
        run_id, _, attempt = str(since).rpartition("/")
        for table in ("attempts", "carried_attempts"):
            yield from (
                text
                for (text,) in connection.execute(
                    f"SELECT components FROM {table} WHERE run_id = ? AND attempt = ?",  # noqa: S608 - our own names
                    (run_id, attempt),
                )
            )


def _take_closure(connection: sqlite3.Connection, digests: Iterable[str], left: set[str]) -> list[str]:
    """Take those of *digests* out of *left*, with what of it they name in turn, and return all that was taken."""
    open_ = sorted(left.intersection(digests))
    found = []
    left.difference_update(open_)
    while open_:
        digest = open_.pop()
        found.append(digest)
        for name in DIGEST.findall((kept_blob(connection, digest) or b"").decode("utf-8", "replace")):
            if name in left:
                left.discard(name)
                open_.append(name)
    return found
