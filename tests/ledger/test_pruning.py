"""Removing blobs: with the event that says so or not at all, and never without the guard."""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from ledger import NewEvent, open_ledger
from ledger.audit.verdict import Options, Removed
from ledger.audit.verify import verify
from ledger.canonical import blob_digest
from ledger.errors import StorageError
from ledger.events import RecordedEvent
from ledger.locks import KernelLock
from ledger.pruning import remove_blobs, vacuum
from ledger.store import Ledger
from ledger.tree import ledger_size
from ledger.writing import connect_to_write

DATA = [b"x" * 40_000 + str(number).encode() for number in range(8)]
DIGESTS = [blob_digest(data) for data in DATA]


def names(event: RecordedEvent) -> Sequence[str]:
    """Name the blobs of an event."""
    found: Any = event.data.get("names", ())
    return list(found)


def removed(event: RecordedEvent) -> Removed:
    """Name what an event says is removed."""
    blobs: Any = event.data.get("removed", ())
    return Removed(blobs=blobs)


OPTIONS = Options(blobs_of=names, removed_of=removed)


def told(digests: Sequence[str]) -> list[tuple[str, NewEvent]]:
    """Return the event that says that *digests* are removed."""
    return [("pipeline/p", NewEvent("blob.removed", 1, {"removed": list(digests)}))]


def keep(ledger: Ledger, numbers: Sequence[int]) -> None:
    """Record an event that names blobs, with the blobs."""
    event = NewEvent("blob.named", 1, {"names": [DIGESTS[number] for number in numbers]})
    ledger.append("run/1", [event], expected_version=None, blobs={DIGESTS[n]: DATA[n] for n in numbers})


@pytest.fixture(name="place")
def _place(tmp_path: Path) -> Path:
    place = tmp_path / "ledger.db"
    with open_ledger(place) as ledger:
        keep(ledger, range(8))
    return place


class TestRemove:
    """One transaction: the event and the rows."""

    def test_removed(self, place: Path) -> None:
        """Given blobs that may go, then they are gone, an event says so, the guard is back, and the ledger verifies."""
        with open_ledger(place) as ledger:
            (event,) = remove_blobs(ledger, DIGESTS[:3], since=ledger_size(ledger.connection), record=told)
            assert (event.type, event.stream) == ("blob.removed", "pipeline/p")
            assert [ledger.blob(digest) is None for digest in DIGESTS] == [True] * 3 + [False] * 5
            with pytest.raises(sqlite3.IntegrityError, match="blobs are never deleted"):
                ledger.connection.execute("DELETE FROM blobs")
        verdict = verify(place, OPTIONS)
        assert (verdict.problems, verdict.pruned_blobs) == ([], 3)

    def test_missing(self, place: Path) -> None:
        """Given a blob that is gone without an event, or named again after it was removed, then that is a finding."""
        with open_ledger(place) as ledger:
            remove_blobs(ledger, DIGESTS[:2], since=ledger_size(ledger.connection), record=told)
            ledger.append("run/2", [NewEvent("blob.named", 1, {"names": [DIGESTS[0]]})], expected_version=None)
            ledger.connection.execute("DROP TRIGGER blobs_permanent")
            ledger.connection.execute("DELETE FROM blobs WHERE digest = ?", (DIGESTS[7],))
        verdict = verify(place, OPTIONS)
        found = {(item.kind, item.seq) for item in verdict.problems}
        assert found == {("missing_blob", 1), ("missing_blob", 3), ("schema", None)}
        assert verdict.pruned_blobs == 1

    def test_kept_again(self, place: Path) -> None:
        """Given a blob that a later event names and keeps again, then nothing is missing."""
        with open_ledger(place) as ledger:
            remove_blobs(ledger, DIGESTS[:2], since=ledger_size(ledger.connection), record=told)
            keep(ledger, [0])
        verdict = verify(place, OPTIONS)
        assert (verdict.problems, verdict.pruned_blobs) == ([], 1)

    def test_named_since(self, place: Path) -> None:
        """Given a blob that an event names which came after it was looked for, then it stays; with nothing left there is no event."""
        with open_ledger(place) as ledger:
            since = ledger_size(ledger.connection)
            keep(ledger, [0])
            assert remove_blobs(ledger, [DIGESTS[0]], since=since, record=told) == []
            (event,) = remove_blobs(ledger, DIGESTS[:2], since=since, record=told)
            assert event.data == {"removed": [DIGESTS[1]]}
            assert ledger.blob(DIGESTS[0]) == DATA[0]

    def test_failure(self, place: Path) -> None:
        """Given an error in between, then nothing was removed, nothing recorded, and the guard stands."""

        def fail(_: Sequence[str]) -> list[tuple[str, NewEvent]]:
            raise StorageError(str(place), "no")

        with open_ledger(place) as ledger:
            before = ledger_size(ledger.connection)
            with pytest.raises(StorageError):
                remove_blobs(ledger, DIGESTS, since=before, record=fail)
            assert ledger_size(ledger.connection) == before
        assert verify(place, OPTIONS).ok


class TestVacuum:
    """The file gets smaller, and is the same ledger."""

    def test_smaller(self, place: Path) -> None:
        """Given blobs that were removed, then their room is given back, and the ledger verifies and goes on."""
        with open_ledger(place) as ledger:
            remove_blobs(ledger, DIGESTS, since=ledger_size(ledger.connection), record=told)
        root = verify(place, OPTIONS).root
        before, after = vacuum(place)
        assert (after < before / 2, after) == (True, place.stat().st_size)
        verdict = verify(place, OPTIONS)
        assert (verdict.problems, verdict.root) == ([], root)
        with open_ledger(place) as ledger:
            keep(ledger, [1])

    def test_somebody_writes(self, place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """Given somebody who holds the ledger for too long, then it is refused, the ledger is as it was, and the lock is let go."""
        monkeypatch.setattr("ledger.writing._BUSY_SECONDS", 0.01)
        with closing(connect_to_write(place)) as other:
            other.execute("BEGIN IMMEDIATE")
            with pytest.raises(StorageError, match="locked"):
                vacuum(place)
            other.execute("ROLLBACK")
        assert KernelLock(place.parent / "locks" / "ledger.db.checkpointer").acquire()
        assert verify(place, OPTIONS).ok
