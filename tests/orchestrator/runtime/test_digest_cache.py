"""Tests of the cache of file digests: it saves work, never decides, and never fails."""

from __future__ import annotations

import os
import sqlite3
import stat
import tempfile
import time
from pathlib import Path

import pytest

from orchestrator.runtime.digest_cache import DigestCache
from tests.orchestrator.runtime.test_files import as_nobody

HOUR_NS = 3_600_000_000_000
PATH = "/data/a.csv"


def status(*, size: int = 1, mtime_ns: int = 0, ctime_ns: int = 0, inode: int = 7) -> os.stat_result:
    """Return what the file system says of a file that last changed *mtime_ns* after an hour ago."""
    base = time.time_ns() // HOUR_NS * HOUR_NS - HOUR_NS
    extra = {"st_mtime_ns": base + mtime_ns, "st_ctime_ns": base + ctime_ns, "st_atime_ns": base}
    return os.stat_result([stat.S_IFREG | 0o600, inode, 1, 1, 0, 0, size, 0, 0, 0], extra)


def filled(path: Path) -> DigestCache:
    """Return a cache at *path* in which one digest was written down."""
    cache = DigestCache(path)
    cache.put(PATH, status(), "sha256:a")
    cache.close()
    return DigestCache(path)


class TestEntries:
    """An entry is trusted while the file is as it was."""

    @pytest.mark.parametrize("stored", [False, True])
    @pytest.mark.parametrize(
        ("changed", "known"),
        [({}, True), ({"size": 2}, False), ({"mtime_ns": 1}, False), ({"ctime_ns": 1}, False), ({"inode": 8}, False)],
    )
    def test_any_difference_ends_the_trust(
        self, tmp_path: Path, changed: dict[str, int], *, known: bool, stored: bool
    ) -> None:
        """Of the same run or of an earlier one."""
        cache = filled(tmp_path / "digests.db")
        if not stored:
            cache.put(PATH, status(), "sha256:a")

        assert (cache.get(PATH, status(**changed)) == "sha256:a") is known
        assert cache.get("/data/b.csv", status()) is None
        cache.close()

    def test_a_later_digest_replaces_an_earlier_one(self, tmp_path: Path) -> None:
        """One entry a path."""
        cache = filled(tmp_path / "digests.db")
        cache.put(PATH, status(size=2), "sha256:b")
        cache.close()
        cache = DigestCache(tmp_path / "digests.db")

        assert (None, "sha256:b") == (cache.get(PATH, status()), cache.get(PATH, status(size=2)))
        cache.close()

    @pytest.mark.parametrize("clock", ["mtime_ns", "ctime_ns"])
    @pytest.mark.parametrize(("age_ns", "kept"), [(0, False), (500_000_000, False), (2_000_000_000, True)])
    def test_a_racy_file_is_not_entered(self, tmp_path: Path, clock: str, age_ns: int, *, kept: bool) -> None:
        """Given a file that changed within the last second, or will have, then a second change might not show."""
        now = time.time_ns() - (time.time_ns() // HOUR_NS * HOUR_NS - HOUR_NS)
        what = status(**{clock: now - age_ns})
        cache = DigestCache(tmp_path / "digests.db")
        cache.put(PATH, what, "sha256:a")

        assert (cache.get(PATH, what) == "sha256:a") is kept
        cache.close()

    def test_a_file_of_the_future_is_not_entered(self) -> None:
        """A clock that was wrong is no reason for trust."""
        cache = DigestCache(None)
        cache.put(PATH, status(mtime_ns=9 * HOUR_NS), "sha256:a")

        assert cache.get(PATH, status(mtime_ns=9 * HOUR_NS)) is None


class TestFile:
    """Whatever is wrong with the file only costs time."""

    def test_private(self, tmp_path: Path) -> None:
        """Paths may tell something."""
        former = os.umask(0)
        try:
            filled(tmp_path / "cache" / "digests.db").close()
        finally:
            os.umask(former)

        assert 0o600 == stat.S_IMODE((tmp_path / "cache/digests.db").stat().st_mode)
        assert 0o700 == stat.S_IMODE((tmp_path / "cache").stat().st_mode)

    def test_nowhere(self) -> None:
        """Without a file it lasts for one run."""
        cache = DigestCache(None)
        cache.put(PATH, status(), "sha256:a")

        assert "sha256:a" == cache.get(PATH, status())
        cache.close()
        cache.close()

    @pytest.mark.parametrize(
        "content",
        [
            b"not a database " * 500,
            b"SQLite format 3\0" + b"\xff" * 4000,
            b"",
            "CREATE TABLE files (path TEXT)",
            "CREATE VIEW files AS SELECT 1",
        ],
    )
    @pytest.mark.parametrize("read_only", [False, True])
    def test_damaged_file(self, tmp_path: Path, content: bytes | str, *, read_only: bool) -> None:
        """Given any other file in its place, then nothing is known, and nothing fails."""
        path = tmp_path / "digests.db"
        if isinstance(content, bytes):
            path.write_bytes(content)
        else:
            connection = sqlite3.connect(path)
            connection.execute(content)
            connection.close()
        cache = DigestCache(path, read_only=read_only)

        assert cache.get(PATH, status()) is None
        cache.put(PATH, status(), "sha256:a")
        assert "sha256:a" == cache.get(PATH, status())
        cache.close()

    def test_damage_while_in_use(self, tmp_path: Path) -> None:
        """Given a file that is overwritten under an open cache, then it is silent."""
        cache = filled(tmp_path / "digests.db")
        (tmp_path / "digests.db").write_bytes(b"\xff" * 8192)

        assert cache.get(PATH, status()) is None
        cache.put(PATH, status(), "sha256:b")
        cache.close()

    def test_read_only_writes_nothing(self, tmp_path: Path) -> None:
        """It makes no file, and adds nothing to one."""
        DigestCache(tmp_path / "gone.db", read_only=True).close()
        filled(tmp_path / "digests.db").close()
        before = (tmp_path / "digests.db").read_bytes()
        cache = DigestCache(tmp_path / "digests.db", read_only=True)
        cache.put(PATH, status(size=2), "sha256:b")

        assert "sha256:b" == cache.get(PATH, status(size=2))
        cache.close()
        assert before == (tmp_path / "digests.db").read_bytes()
        assert ["digests.db"] == [path.name for path in tmp_path.iterdir()]

    @pytest.mark.parametrize("kind", ["folder", "file above"])
    def test_no_place_for_it(self, tmp_path: Path, kind: str) -> None:
        """A folder in its place, or a file in that of its folder."""
        path = tmp_path / "cache" / "digests.db"
        if kind == "folder":
            path.mkdir(parents=True)
        else:
            path.parent.touch()
        cache = DigestCache(path)

        assert cache.get(PATH, status()) is None
        cache.close()

    @pytest.mark.parametrize("read_only", [False, True])
    def test_unwritable_folder(self, *, read_only: bool) -> None:
        """Who may only read runs without it, or with what is there."""
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder, "digests.db")
            filled(path).close()
            path.chmod(0o644 if os.geteuid() == 0 else 0o444)
            Path(folder).chmod(0o555)
            with as_nobody():
                cache = DigestCache(path, read_only=read_only)
                known = cache.get(PATH, status())
                cache.put(PATH, status(size=2), "sha256:b")
                cache.close()
                DigestCache(Path(folder, "other", "digests.db")).close()
            Path(folder).chmod(0o755)

            assert ("sha256:a" if read_only else None) == known
            assert ["digests.db"] == [entry.name for entry in Path(folder).iterdir()]

    def test_two_at_once(self, tmp_path: Path) -> None:
        """Given two runs of one ledger, then both write down what they know."""
        one, other = DigestCache(tmp_path / "digests.db"), DigestCache(tmp_path / "digests.db")
        one.put("/one", status(), "sha256:a")
        other.put("/other", status(), "sha256:b")
        one.close()
        other.close()
        cache = DigestCache(tmp_path / "digests.db", read_only=True)

        assert ("sha256:a", "sha256:b") == (cache.get("/one", status()), cache.get("/other", status()))
        cache.close()
