"""Tests of chains: what a ledger says about the one that it continues, and how the former ones are found."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Mapping
from contextlib import closing
from pathlib import Path

import pytest

from ledger.chain import archive_path, continues, former_ledgers
from ledger.checkpoints import origin_of
from ledger.creation import CREATED, begin_ledger, restoring_mark
from ledger.errors import DamagedLedgerError, LedgerExistsError
from ledger.events import NewEvent
from ledger.reader import LedgerReader
from ledger.store import open_ledger
from ledger.times import utc_now
from ledger.tree import ledger_size, tree_root
from tests.ledger.test_store import Tally
from tests.old_ledgers import rows_of


def told(path: Path) -> dict[str, object]:
    """Return what the next ledger says about the one at *path*."""
    with open_ledger(path, read_only=True) as ledger:
        size = ledger_size(ledger.connection)
        return {
            "ledger": ledger.ledger_id,
            "origin": origin_of(ledger.ledger_id),
            "size": size,
            "root": tree_root(ledger.connection, size).hex(),
            "checkpoint": None,
            "lost": {"first": size},
        }


def chain(folder: Path, length: int) -> Path:
    """Make *length* ledgers in *folder*, each of which continues the one before, and return the path of the last."""
    path = folder / "ledger.db"
    open_ledger(path).close()
    for _ in range(length - 1):
        facts = told(path)
        path.rename(archive_path(path, str(facts["ledger"])))
        begin_ledger(path, [], utc_now, facts={"continues": facts})
    return path


class TestBeginning:
    """How a ledger that continues another one begins."""

    def test_first_events_and_blobs_are_there_at_once(self, tmp_path: Path) -> None:
        """Given facts, more events and blobs, then the file has all of them when it appears, and projections have taken them."""
        path = tmp_path / "ledger.db"
        more = [NewEvent("a.b", 1, {"blob": "d"}), NewEvent("a.c", 1, {})]
        begin_ledger(path, [Tally()], utc_now, facts={"why": "x"}, more=more, blobs={"d": b"12345"})
        with open_ledger(path, projections=[Tally()]) as ledger:
            found = list(ledger.read_all())
            assert [(event.type, event.stream, event.version) for event in found] == [
                (CREATED, "ledger", 0),
                ("a.b", "ledger", 1),
                ("a.c", "ledger", 2),
            ]
            assert found[0].data == {"format": 2, "why": "x"}
            assert ledger.blob("d") == b"12345"
        assert rows_of(path, "seen") == [(0, None, None), (1, None, 5), (2, None, None)]

    @pytest.mark.parametrize("restoring", [False, True])
    def test_one_that_is_there_is_left_alone(self, tmp_path: Path, *, restoring: bool) -> None:
        """Given a ledger there, then it stays; that is an error where it has to be a new one."""
        path = tmp_path / "ledger.db"
        open_ledger(path).close()
        before = path.read_bytes()
        if not restoring:
            begin_ledger(path, [], utc_now)
        else:
            with pytest.raises(LedgerExistsError, match="there is a file at"):
                begin_ledger(path, [], utc_now, restoring=True)
        assert path.read_bytes() == before
        assert sorted(entry.name for entry in tmp_path.iterdir()) == ["ledger.db", "locks"]


class TestChain:
    """From the present ledger back to the first one."""

    @pytest.mark.parametrize("length", [1, 2, 4])
    def test_former_ones_are_found_newest_first(self, tmp_path: Path, length: int) -> None:
        """Given a chain, then each former ledger is found beside the present one, with what is said of it."""
        path = chain(tmp_path, length)
        with LedgerReader(path) as reader:
            found = former_ledgers(path, reader.connection)
            assert (continues(reader.connection) is None) == (length == 1)
        assert len(found) == length - 1
        for former in found:
            assert former.problem is None
            assert former.path == tmp_path / f"ledger.{former.continues.ledger[:8]}.db"
            assert told(former.path) == former.continues._asdict()

    def test_one_that_is_gone_ends_the_chain(self, tmp_path: Path) -> None:
        """Given a former ledger that is not there, then it is named with the problem, and what came before it is not known."""
        path = chain(tmp_path, 4)
        with LedgerReader(path) as reader:
            middle = former_ledgers(path, reader.connection)[1]
            middle.path.unlink()
            found = former_ledgers(path, reader.connection)
        assert [former.problem for former in found] == [None, f"there is no ledger at {middle.path}"]

    def test_another_ledger_in_its_place(self, tmp_path: Path) -> None:
        """Given another ledger under the name of the former one, then it is not taken for it."""
        path = chain(tmp_path, 2)
        with LedgerReader(path) as reader:
            (former,) = former_ledgers(path, reader.connection)
            former.path.unlink()
            open_ledger(former.path).close()
            (found,) = former_ledgers(path, reader.connection)
        assert found.problem is not None
        assert f"not {former.continues.ledger}" in found.problem

    @pytest.mark.parametrize("harm", ["text", "pages"])
    def test_damaged_one_is_a_problem(self, tmp_path: Path, harm: str) -> None:
        """Given a former ledger that cannot be read, then the problem says so."""
        path = chain(tmp_path, 2)
        with LedgerReader(path) as reader:
            (former,) = former_ledgers(path, reader.connection)
            content = former.path.read_bytes()
            former.path.write_bytes(b"text" if harm == "text" else content[:4096] + b"\xa5" * (len(content) - 4096))
            (found,) = former_ledgers(path, reader.connection)
        assert found.problem is not None
        assert str(former.path) in found.problem

    def test_ring_ends(self, tmp_path: Path) -> None:
        """Given ledgers that claim to continue each other, then each is listed once."""
        path = tmp_path / "ledger.db"
        open_ledger(path).close()
        facts = told(path)
        archive_path(path, str(facts["ledger"])).write_bytes(path.read_bytes())
        with closing(sqlite3.connect(archive_path(path, str(facts["ledger"])))) as connection:
            _rewrite(connection, {"continues": facts})
        path.unlink()
        begin_ledger(path, [], utc_now, facts={"continues": facts})
        with LedgerReader(path) as reader:
            assert len(former_ledgers(path, reader.connection)) == 1

    @pytest.mark.parametrize(
        "facts", [{"continues": {}}, {"continues": 7}, {"continues": {"ledger": "x", "origin": "y"}}]
    )
    def test_nonsense_continues_nothing(self, tmp_path: Path, facts: Mapping[str, object]) -> None:
        """Given a first event that says nothing of use, then the ledger continues none; verifying is what judges it."""
        begin_ledger(tmp_path / "ledger.db", [], utc_now, facts=facts)
        with LedgerReader(tmp_path / "ledger.db") as reader:
            assert continues(reader.connection) is None

    def test_ledger_without_events_continues_nothing(self, tmp_path: Path) -> None:
        """Given no first event, or one that is no JSON object, then it is the same."""
        path = tmp_path / "ledger.db"
        open_ledger(path).close()
        with closing(sqlite3.connect(path)) as connection:
            connection.execute("DROP TRIGGER events_permanent")
            connection.execute("DELETE FROM events")
            assert continues(connection) is None


def _rewrite(connection: sqlite3.Connection, facts: Mapping[str, object]) -> None:
    connection.execute("DROP TRIGGER events_immutable")
    (body,) = connection.execute("SELECT body FROM events WHERE seq = 0").fetchone()
    envelope = json.loads(body)
    envelope["data"] |= facts
    connection.execute("UPDATE events SET body = ? WHERE seq = 0", (json.dumps(envelope),))
    connection.commit()


class TestNotWhole:
    """What stands where a ledger should, and is none, or not all of one."""

    def test_restoring_was_interrupted(self, tmp_path: Path) -> None:
        """Given the mark of a restore and no ledger, then none is begun in its place."""
        path = tmp_path / "ledger.db"
        restoring_mark(path).write_text("{}", encoding="utf-8")

        with pytest.raises(DamagedLedgerError, match="restoring was interrupted"):
            open_ledger(path)

        assert not path.exists()

    def test_former_one_that_cannot_be_read(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """Given a former ledger that SQLite cannot read, then it is named with what SQLite says, and the chain ends there."""
        path = chain(tmp_path, 2)
        (archive,) = (place for place in tmp_path.glob("ledger.*.db"))

        def unread(*_: object) -> str:
            raise sqlite3.DatabaseError("database disk image is malformed")

        monkeypatch.setattr("ledger.chain.ledger_identity", unread)
        with open_ledger(path, read_only=True) as ledger:
            (former,) = former_ledgers(path, ledger.connection)

        assert former.problem == f"{archive} cannot be read: database disk image is malformed"
