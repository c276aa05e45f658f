"""The files of a run: listed, held against what was recorded, removed."""

from __future__ import annotations

import os
from hashlib import sha256
from pathlib import Path

import pytest

from orchestrator.runtime.pruning import LeftFile, Recorded, files_of_run, remove_file

TEXT = b"one line\n"
SAME = Recorded(len(TEXT), sha256(TEXT).hexdigest())


def found(folder: Path, recorded: dict[str, Recorded] | None = None, *, read: bool = True) -> list[LeftFile]:
    """List the logs of run 1."""
    return list(files_of_run(folder, "logs", "1", recorded or {}, read=read))


@pytest.fixture(name="logs")
def _logs(tmp_path: Path) -> Path:
    logs = tmp_path / "logs" / "1"
    logs.mkdir(parents=True)
    (logs / "a.1.log").write_bytes(TEXT)
    return logs


class TestList:
    """What is there."""

    def test_files(self, tmp_path: Path, logs: Path) -> None:
        """Given files with and without a record, and a record without its file, then all are told, by path."""
        (logs / "b.1.log").write_bytes(b"more")
        recorded = {"logs/1/a.1.log": SAME, "logs/1/c.1.log": SAME, "logs/2/a.1.log": SAME}
        assert found(tmp_path, recorded) == [
            LeftFile("1", "logs/1/a.1.log", 9, SAME.sha256),
            LeftFile("1", "logs/1/b.1.log", 4, sha256(b"more").hexdigest()),
            LeftFile("1", "logs/1/c.1.log", 9, SAME.sha256, absent=True),
        ]
        assert [file.sha256 for file in found(tmp_path, read=False)] == ["", ""]

    def test_nothing(self, tmp_path: Path) -> None:
        """Given no folder, then nothing is there."""
        assert found(tmp_path) == []

    def test_altered(self, tmp_path: Path, logs: Path) -> None:
        """Given a file that is not what was recorded, then it has a problem; by its size already where it is not read."""
        (logs / "a.1.log").write_bytes(b"0ne line\n")
        recorded = {"logs/1/a.1.log": SAME}
        assert found(tmp_path, recorded)[0].problem is not None
        assert found(tmp_path, recorded, read=False)[0].problem is None
        (logs / "a.1.log").write_bytes(b"one")
        assert found(tmp_path, recorded, read=False)[0].problem is not None

    def test_odd(self, tmp_path: Path, logs: Path) -> None:
        """Given a link, a folder or a FIFO, then it is no regular file; a link in the place of the folder is not followed."""
        (logs / "a.1.log").unlink()
        (logs / "b").symlink_to("/etc/passwd")
        (logs / "c").mkdir()
        os.mkfifo(logs / "d")
        assert [file.problem for file in found(tmp_path)] == ["it is no regular file"] * 3
        (tmp_path / "logs" / "2").symlink_to(logs)
        assert list(files_of_run(tmp_path, "logs", "2", {}, read=True)) == []

    def test_unreadable(self, tmp_path: Path, logs: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """Given a disk that fails, then that is the file's problem."""

        def fail(*_: object) -> bytes:
            raise OSError(5, "Input/output error")

        monkeypatch.setattr("orchestrator.runtime.pruning.file_digest", fail)
        assert [file.problem for file in found(tmp_path)] == ["it cannot be read: Input/output error"]
        assert logs.exists()


class TestRemove:
    """What goes."""

    def test_removed(self, tmp_path: Path, logs: Path) -> None:
        """Given files, then each goes, the folder with the last of them, and what is gone is no error."""
        (logs / "b.1.log").write_bytes(TEXT)
        remove_file(tmp_path, "logs/1/a.1.log")
        assert [path.name for path in logs.iterdir()] == ["b.1.log"]
        remove_file(tmp_path, "logs/1/a.1.log")
        remove_file(tmp_path, "logs/1/b.1.log")
        assert not logs.exists()
        remove_file(tmp_path, "logs/1/b.1.log")

    def test_refused(self, tmp_path: Path, logs: Path) -> None:
        """Given a folder in its place, then it stays."""
        (logs / "a").mkdir()
        with pytest.raises(OSError, match="director"):
            remove_file(tmp_path, "logs/1/a")
        assert (logs / "a").is_dir()
