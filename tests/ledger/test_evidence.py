"""Tests of evidence that is handed out: which checkpoint it rests on, that it is what it says, and that the same gives the same bytes."""

from __future__ import annotations

import os
import resource
import sqlite3
import stat
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from ledger.checkpoints import Seal
from ledger.errors import InconsistentHistoryError
from ledger.events import NewEvent
from ledger.evidence import (
    BundleWriter,
    Prover,
    common_members,
    covering_seal,
    known_seals,
    seals_around,
    signers_of,
)
from ledger.store import Ledger
from ledger.verifier import Checkpoint, Frontier, check_bundle
from tests.ledger.bundles import history, keys_of, prover_of, sealed, write_period, write_run
from tests.ledger.sealed import filled, leaves


@pytest.fixture
def ledger(tmp_path: Path) -> Iterator[Ledger]:
    """Give the small history."""
    with history(tmp_path / "ledger.db") as found:
        yield found


def of(size: int, *, signed: bool = True) -> Seal:
    """Return a checkpoint of so many events."""
    checkpoint = Checkpoint("it", size, b"r" * 32)
    return Seal(checkpoint, checkpoint.text + "\n\u2014 it QUFBQUE=\n" if signed else checkpoint.text, "")


class TestWhichCheckpoint:
    """The checkpoint that evidence rests on."""

    @pytest.mark.parametrize(
        ("size", "at", "expected"),
        [(1, None, (20, True)), (20, None, (20, True)), (21, None, (30, False)), (31, None, None), (1, 10, (10, True)), (11, 10, None), (1, 30, (30, False)), (1, 11, None)],
    )  # fmt: skip
    def test_that_covers_an_event(self, size: int, at: int | None, expected: tuple[int, bool] | None) -> None:
        """Given some, then the largest signed one that reaches so far is taken, else an unsigned one, or the one asked for."""
        found = covering_seal([of(10), of(20), of(25, signed=False), of(30, signed=False)], size, at=at)
        assert (None if found is None else (found.checkpoint.size, found.is_signed)) == expected

    @pytest.mark.parametrize(
        ("begin", "end", "expected"),
        [(0, 5, (None, 10)), (10, 10, (None, 10)), (11, 11, (10, 20)), (12, 20, (10, 20)), (12, 21, (10, 30)), (25, 40, (20, 30)), (40, 50, (20, 30))],
    )  # fmt: skip
    def test_around_a_range(self, begin: int, end: int, expected: tuple[int | None, int]) -> None:
        """Given some, then the nearest ones around the range are taken; the last one where none reaches so far."""
        found = seals_around([of(0), of(10), of(15, signed=False), of(20), of(30)], begin, end)
        assert found is not None
        assert (found[0] and found[0].checkpoint.size, found[1].checkpoint.size) == expected

    def test_unsigned_where_nothing_is_signed(self) -> None:
        """Given unsigned ones only, then they are taken; given none, nothing is."""
        found = seals_around([of(10, signed=False), of(20, signed=False)], 12, 15)
        assert found is not None
        assert (found[0], found[1]) == (of(10, signed=False), of(20, signed=False))
        assert seals_around([], 0, 1) is None

    def test_of_one_size_the_last(self) -> None:
        """Given two of one size, then the later one is taken."""
        newer = Seal(of(10).checkpoint, of(10).note + "\u2014 b QUFBQUE=\n", "later")
        assert seals_around([of(10), newer, of(20)], 11, 11) == (newer, of(20))

    def test_what_the_ledger_holds(self, ledger: Ledger) -> None:
        """Given rows that are none, or of another ledger, then they are not taken; of one size the signed one is the last."""
        sealed(ledger, 9)
        sealed(ledger, 9, keys_of(ledger)[1])
        for note in ("nonsense", Checkpoint("another", 18, b"r" * 32).text):
            ledger.connection.execute(
                "INSERT INTO checkpoints (size, root, note, recorded_at) VALUES (18, zeroblob(32), ?, '')", (note,)
            )
        found = known_seals(ledger.connection, ledger.ledger_id)
        assert [(item.checkpoint.size, item.is_signed) for item in found] == [
            (6, True),
            (9, False),
            (9, True),
            (17, True),
        ]
        assert signers_of(found[1]) == []
        origin, key = found[2].checkpoint.origin, keys_of(ledger)[1].verifier
        assert signers_of(found[2]) == [{"name": origin, "id": key.id.hex()}]

    def test_ledger_of_the_first_format(self) -> None:
        """Given a ledger without the table, then it has no checkpoints."""
        with closing(sqlite3.connect(":memory:")) as connection:
            assert known_seals(connection, "0" * 32) == []


class TestProver:
    """Proofs against one checkpoint."""

    def test_another_ledger(self, ledger: Ledger, tmp_path: Path) -> None:
        """Given the checkpoint of another ledger, then nothing is proved against it."""
        seal = prover_of(ledger).seal
        with (
            filled(tmp_path / "other.db", 20) as other,
            pytest.raises(InconsistentHistoryError, match="the checkpoint is of orchestrate-ledger/"),
        ):
            Prover(other.connection, other.ledger_id, "it", seal)

    def test_changed_event(self, ledger: Ledger, tmp_path: Path) -> None:
        """Given an event that is not what its leaf says, or leaves that are not what was sealed, then no proof is written."""
        prover = prover_of(ledger)
        with pytest.raises(InconsistentHistoryError, match="leaf 3 is not in the tree"):
            prover.proof(3, prover.body(4))
        ledger.connection.execute("DROP TRIGGER events_immutable")
        ledger.connection.execute("UPDATE events SET leaf_hash = zeroblob(32) WHERE seq = 3")
        with pytest.raises(InconsistentHistoryError, match="the root over its first 17 events"):
            prover_of(ledger)

    def test_every_event_of_every_checkpoint(self, tmp_path: Path) -> None:
        """Given a ledger with more events than one cached subtree, then each proof holds for each checkpoint."""
        with filled(tmp_path / "ledger.db", 300) as ledger:
            for size in (1, 2, 255, 256, 257, 300):
                sealed(ledger, size)
                prover = prover_of(ledger, size=size)
                for seq in range(0, size, 17):
                    body = prover.body(seq)
                    assert prover.proof(seq, body).verify(body)[0].size == size
                assert list(prover.bodies(0, size))[-1] == prover.body(size - 1)

    def test_beginning_of_a_ledger(self, tmp_path: Path) -> None:
        """Given a ledger, then what stands before an event is its compact range."""
        with filled(tmp_path / "ledger.db", 30) as ledger:
            sealed(ledger)
            said = prover_of(ledger).beginning(13)
            assert said["start"] == 13
            peaks = said["peaks"]
            assert isinstance(peaks, list)
            frontier = Frontier(13, [bytes.fromhex(peak) for peak in peaks])
            for leaf in leaves(ledger)[13:]:
                frontier.add(leaf)
            assert frontier.root() == prover_of(ledger).seal.checkpoint.root


def _failing() -> Iterator[bytes]:
    yield b"x"
    raise ValueError("wrong")


class TestBundles:
    """Files of many, written."""

    def test_same_ledger_same_bytes(self, ledger: Ledger, tmp_path: Path) -> None:
        """Given the same ledger, then a bundle is the same, byte for byte, and as a folder it holds the same files."""
        first, second = (write_run(tmp_path / name, ledger).read_bytes() for name in ("a.zip", "b.zip"))
        assert first == second
        folder = write_run(tmp_path / "folder", ledger)
        assert check_bundle(folder) == check_bundle(tmp_path / "a.zip")
        assert (folder / "manifest.json").read_bytes() in first
        assert (
            write_period(tmp_path / "p.zip", ledger, "2026-01-02", "2026-01-02", (7, 12)).read_bytes()
            == write_period(tmp_path / "q.zip", ledger, "2026-01-02", "2026-01-02", (7, 12)).read_bytes()
        )

    def test_nobody_else_can_read_it(self, ledger: Ledger, tmp_path: Path) -> None:
        """Given an open umask, then what is written is for its owner alone."""
        before = os.umask(0)
        try:
            made = [write_run(tmp_path / "a.zip", ledger), write_run(tmp_path / "folder", ledger)]
        finally:
            os.umask(before)
        for path in [*made, *made[1].rglob("*")]:
            assert stat.S_IMODE(path.stat().st_mode) & 0o077 == 0, path

    @pytest.mark.parametrize("short_by", [10_000, 1])
    def test_nothing_is_left_of_a_full_disk(self, tmp_path: Path, short_by: int) -> None:
        """Given a disk that is full within a file, or only when the directory at the end is written, then nothing is left."""
        limits = resource.getrlimit(resource.RLIMIT_FSIZE)

        def write() -> None:
            with BundleWriter(tmp_path / "b.zip") as bundle:
                bundle.add("a", [b"x" * 20_000])

        write()
        size = (tmp_path / "b.zip").stat().st_size
        (tmp_path / "b.zip").unlink()
        resource.setrlimit(resource.RLIMIT_FSIZE, (size - short_by, limits[1]))
        try:
            with pytest.raises(OSError, match="File too large"):
                write()
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, limits)
        assert list(tmp_path.iterdir()) == []

    @pytest.mark.parametrize("name", ["a.zip", "folder"])
    def test_nothing_is_left_of_a_failure(self, tmp_path: Path, name: str) -> None:
        """Given an error on the way, then neither the file nor a part of it is there."""
        with pytest.raises(ValueError, match="wrong"), BundleWriter(tmp_path / name) as bundle:
            bundle.add("a/b", _failing())
        assert list(tmp_path.iterdir()) == []

    def test_folder_with_something_in_it(self, ledger: Ledger, tmp_path: Path) -> None:
        """Given a folder that is not empty, then it is left alone; an empty one is used, and a zip file is replaced."""
        (tmp_path / "folder").mkdir()
        write_run(tmp_path / "folder", ledger)
        with pytest.raises(OSError, match="not empty"):
            write_run(tmp_path / "folder", ledger)
        (tmp_path / "b.zip").mkdir()
        with pytest.raises(IsADirectoryError):
            write_run(tmp_path / "b.zip", ledger)
        assert not list(tmp_path.glob(".*"))
        (tmp_path / "a.zip").write_bytes(b"old")
        assert check_bundle(write_run(tmp_path / "a.zip", ledger))

    def test_what_lies_in_each(self, ledger: Ledger) -> None:
        """Given a ledger with a rotation and one that a single key has signed, then only the first one is handed out as such."""
        old, new = keys_of(ledger)
        data = {"before": new.verifier.text, "after": old.verifier.text}
        ledger.append("ledger", [NewEvent("ledger.key_replaced", 1, data)], expected_version=None)
        found = dict(common_members(ledger.connection, prover_of(ledger).seal))
        assert sorted(found) == ["checkpoint", "keys.txt", "rotations/6.note", "verify.py"]
        assert found["keys.txt"].decode().splitlines()[1:] == [
            f"6 ledger.key_rotated {new.verifier.text}",
            f"18 ledger.key_replaced {old.verifier.text}",
        ]
