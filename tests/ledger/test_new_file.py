"""Tests of files that appear whole or not at all: whatever interrupts their writer, and whoever writes at the same time."""

from __future__ import annotations

import errno
import os
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from ledger import new_file
from ledger.folders import write_private
from ledger.new_file import appearing, write_new

KILLED = """
import os, signal, sys
from pathlib import Path
from ledger.new_file import appearing
with appearing(Path(sys.argv[1]), force=True, durable=True) as unfinished:
    unfinished.write_text("a private key")
    Path(f"{unfinished}-wal").touch()
    os.kill(os.getpid(), signal.SIGKILL)
"""


def names_in(folder: Path) -> list[str]:
    """List what lies in *folder*."""
    return sorted(path.name for path in folder.iterdir())


def replaced(target: Path) -> None:
    """Write something to *target*, whatever is there."""
    with appearing(target, force=True, durable=False) as unfinished:
        unfinished.write_text("new")


class TestAppearing:
    """The file under its name."""

    @pytest.mark.parametrize("durable", [True, False])
    @pytest.mark.parametrize("force", [True, False])
    def test_is_there_when_the_block_has_ended(self, tmp_path: Path, *, force: bool, durable: bool) -> None:
        """Given a block that ends well, then the file is whole, private, and alone; before that it was not there."""
        target = tmp_path / "target"
        with appearing(target, force=force, durable=durable) as unfinished:
            unfinished.write_text("all")
            assert unfinished.parent == tmp_path
            assert not target.exists()
        assert target.read_text() == "all"
        assert stat.S_IMODE(target.stat().st_mode) == 0o600
        assert names_in(tmp_path) == ["target"]

    def test_former_one_stays_where_it_is_not_to_be_replaced(self, tmp_path: Path) -> None:
        """Given a file of that name, or a link that leads nowhere, then it stays, and the error says so; with force it is replaced."""
        (tmp_path / "target").write_text("mine")
        (tmp_path / "link").symlink_to("nowhere")
        for name in ("target", "link"):
            with pytest.raises(FileExistsError), appearing(tmp_path / name, force=False, durable=False):
                pass
        assert (tmp_path / "target").read_text() == "mine"
        assert names_in(tmp_path) == ["link", "target"]
        with appearing(tmp_path / "target", force=True, durable=False):
            pass
        assert (tmp_path / "target").read_text() == ""

    def test_nothing_is_left_of_one_that_failed(self, tmp_path: Path) -> None:
        """Given a block that raises, or is interrupted, then the former file stays, and nothing is beside it, whatever SQLite had put there."""
        (tmp_path / "target").write_text("mine")

        def fail(error: type[BaseException]) -> None:
            with appearing(tmp_path / "target", force=True, durable=True) as unfinished:
                Path(f"{unfinished}-journal").touch()
                raise error

        for error in (ValueError, KeyboardInterrupt):
            with pytest.raises(error):
                fail(error)
        assert (tmp_path / "target").read_text() == "mine"
        assert names_in(tmp_path) == ["target"]

    def test_path_without_a_name(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """Given the present folder, or nothing, as the path, then that is the system's error for a folder."""
        monkeypatch.chdir(tmp_path)
        for path in (Path(), Path("/")):
            with pytest.raises(IsADirectoryError), appearing(path, force=True, durable=False):
                pass

    def test_folder_that_is_not_there(self, tmp_path: Path) -> None:
        """Given no folder, then that is the system's error."""
        with (
            pytest.raises(FileNotFoundError),
            appearing(tmp_path / "none" / "target", force=True, durable=False),
        ):
            pass


class TestAbandoned:
    """What a writer that was killed has left."""

    @pytest.mark.parametrize("name", ["next-key", "a[b].*"])
    def test_is_removed_by_the_next_writer(self, tmp_path: Path, name: str) -> None:
        """Given a process that was killed while it wrote, then the next writer of that name removes what it left, and no other one does."""
        killed = subprocess.run([sys.executable, "-c", KILLED, str(tmp_path / name)], check=False)
        assert killed.returncode == -9
        left = [each for each in names_in(tmp_path) if each.startswith(f".{name}.")]
        assert len(left) == 2
        replaced(tmp_path / "other")
        assert set(left) < set(names_in(tmp_path))
        replaced(tmp_path / name)
        assert names_in(tmp_path) == sorted([name, "other"])

    def test_that_of_a_living_process_stays(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """Given files of processes that live, of this user or of another one, then they stay, and so does what only looks like one."""
        names = [
            f".target.{os.getppid()}.new",
            ".target.1.new",
            ".target.new",
            ".target.1x.new",
            f".target.{10**18}.new",
        ]
        for name in names:
            (tmp_path / name).touch()
        replaced(tmp_path / "target")
        assert names_in(tmp_path) == sorted([*names[:-1], "target"])

        def forbidden(*_: object) -> None:
            raise PermissionError

        monkeypatch.setattr(os, "kill", forbidden)
        replaced(tmp_path / "target")
        assert names_in(tmp_path) == sorted([*names[:-1], "target"])

    def test_somebody_else_removes_it_first(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """Given two that find what was left, then the one that comes second finds nothing wrong."""
        left = tmp_path / f".target.{10**18}.new"
        left.touch()
        monkeypatch.setattr(new_file, "_is_alive", lambda _: left.unlink())
        replaced(tmp_path / "target")
        assert names_in(tmp_path) == ["target"]


class TestWithoutAName:
    """A file that has no name before it is whole."""

    @pytest.mark.parametrize("durable", [True, False])
    def test_is_whole_and_private(self, tmp_path: Path, *, durable: bool) -> None:
        """Given a free name, then the file is there, private, and alone."""
        assert write_new(tmp_path / "target", b"all", durable=durable)
        assert (tmp_path / "target").read_bytes() == b"all"
        assert stat.S_IMODE((tmp_path / "target").stat().st_mode) == 0o600
        assert names_in(tmp_path) == ["target"]

    def test_nothing_is_replaced(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """Given a file of that name, or one that appears meanwhile, then it stays, and nothing was written."""
        (tmp_path / "target").write_text("mine")
        assert not write_new(tmp_path / "target", b"all", durable=True)
        monkeypatch.setattr(os.path, "lexists", lambda _: False)
        assert not write_new(tmp_path / "target", b"all", durable=True)
        assert (tmp_path / "target").read_text() == "mine"

    @pytest.mark.parametrize(("number", "is_ours"), [(errno.EOPNOTSUPP, True), (errno.ENOSPC, False)])
    def test_file_system_without_such_files(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int, *, is_ours: bool
    ) -> None:
        """Given a file system that has none, then the caller takes the other way; another error is one, and nothing is left."""
        opened = os.open

        def refused(path: os.PathLike[str], flags: int, mode: int = 0o777) -> int:
            if flags & os.O_TMPFILE == os.O_TMPFILE:
                raise OSError(number, "no")
            return opened(path, flags, mode)

        monkeypatch.setattr(os, "open", refused)
        if is_ours:
            write_private(tmp_path / "target", "a", "b")
            assert (tmp_path / "target").read_text() == "ab"
            return
        with pytest.raises(OSError, match="no"):
            write_private(tmp_path / "target", "a", "b")
        assert names_in(tmp_path) == []

    def test_killed_in_the_middle(self, tmp_path: Path) -> None:
        """Given a process that was killed before it was whole, then nothing is left."""
        script = "import os, signal, sys\nfrom pathlib import Path\nfrom ledger.new_file import write_new\n"
        script += "os.link = lambda *a, **b: os.kill(os.getpid(), signal.SIGKILL)\nwrite_new(Path(sys.argv[1]), b'x', durable=True)"
        killed = subprocess.run([sys.executable, "-c", script, str(tmp_path / "target")], check=False)
        assert killed.returncode == -9
        assert names_in(tmp_path) == []
