"""The contract of an event store, held by the real one and by the fake that tests use for it."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from ledger import Ledger, open_ledger
from tests.contracts.event_store import EventStore, EventStoreContract, event
from tests.fakes import MemoryEventStore


class TestSqliteStore(EventStoreContract):
    """The SQLite ledger is an event store."""

    @pytest.fixture(autouse=True)
    def _files(self) -> Iterator[None]:
        self.opened: list[Ledger] = []
        with tempfile.TemporaryDirectory() as folder:
            self.folder = Path(folder)
            yield
            for store in self.opened:
                store.close()

    def open_store(self, now: Callable[[], str]) -> EventStore:
        """Return a ledger in a file of its own."""
        store = open_ledger(self.folder / f"{len(self.opened)}.db", now=now)
        self.opened.append(store)
        return store


class TestMemoryEventStore(EventStoreContract):
    """The fake is an event store that can be told to fail."""

    def open_store(self, now: Callable[[], str]) -> EventStore:
        """Return a fake."""
        return MemoryEventStore(now=now)

    def test_fails_where_it_is_told_to(self) -> None:
        """Given `fail_at`, then that append fails as a disk does, records nothing, and the next one goes on."""
        store = MemoryEventStore(fail_at=2)
        store.append("run/1", [event()], expected_version=-1)

        with pytest.raises(OSError, match="simulated"):
            store.append("run/1", [event()], expected_version=0, blobs={"sha256:b": b"b"})

        assert (0, None) == (store.stream_version("run/1"), store.blob("sha256:b"))
        store.append("run/1", [event()], expected_version=0)
        assert 3 == store.appends
