"""Files that events name, compared with what events say of them."""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator, Mapping
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest

from ledger import NewEvent, open_ledger
from ledger.audit.files import FilesSeen, NamedFile
from ledger.audit.verdict import Options, Removed, Verdict
from ledger.audit.verify import verify
from ledger.events import RecordedEvent

TEXT = b"one line\n"


def named(event: RecordedEvent) -> Iterator[NamedFile]:
    """Name the file of an event."""
    data: Mapping[str, Any] = event.data
    if "path" in data:
        yield NamedFile(event.seq, data["path"], data["bytes"], data["sha256"], f"file {event.seq}")


def recorded(folder: Path, *paths: str, size: int = len(TEXT)) -> Path:
    """Make a ledger in *folder* whose events name *paths*, and return where it is."""
    place = folder / "ledger.db"
    data = {"bytes": size, "sha256": sha256(TEXT).hexdigest()}
    with open_ledger(place) as ledger:
        events = [NewEvent("file.named", 1, {"path": path, **data}) for path in paths]
        ledger.append("run/1", events, expected_version=None)
    return place


def looked_at(place: Path, watch: object = lambda *_: None) -> Verdict:
    """Verify with the files."""
    return verify(place, Options(files_of=named, watch_files=watch))  # type: ignore[arg-type]


def details(verdict: Verdict) -> list[tuple[int | None, str]]:
    """Return place and text of each finding, all of which are changed files."""
    assert {item.kind for item in verdict.problems} <= {"changed_file"}
    return [(item.seq, item.detail) for item in verdict.problems]


class TestFiles:
    """What is there, and what is not."""

    def test_as_recorded(self, tmp_path: Path) -> None:
        """Given files that are what was recorded, in folders of any depth, then they are counted, and bytes are told."""
        place = recorded(tmp_path, "logs/1/a.log", "logs/b.log")
        (tmp_path / "logs/1").mkdir(parents=True)
        for name in ("1/a.log", "b.log"):
            (tmp_path / "logs" / name).write_bytes(TEXT)
        told: list[tuple[int, int]] = []
        verdict = looked_at(place, lambda done, total: told.append((done, total)))
        assert verdict.ok
        assert verdict.files == FilesSeen(same=2, bytes=2 * len(TEXT))
        assert verdict.files.named == 2
        assert told == [(9, 18), (18, 18), (18, 18)]

    def test_nobody_asked(self, tmp_path: Path) -> None:
        """Given nobody who asks for files, then none is looked at."""
        assert verify(recorded(tmp_path, "logs/a.log")).files is None

    def test_missing(self, tmp_path: Path) -> None:
        """Given files that are gone, then each is a finding; where the folder of all of them is gone too, they are kept elsewhere."""
        place = recorded(tmp_path, "logs/1/a.log", "logs/b.log")
        assert (looked_at(place).ok, looked_at(place).files) == (True, FilesSeen(elsewhere=2))
        (tmp_path / "logs").mkdir()
        verdict = looked_at(place)
        assert verdict.files == FilesSeen(missing=2)
        assert [(item.seq, item.kind, item.level) for item in verdict.problems] == [
            (1, "missing_file", None),
            (2, "missing_file", None),
        ]
        assert verdict.problems[0].detail == "file 1: logs/1/a.log is not there, and no event says that it was pruned"

    def test_pruned(self, tmp_path: Path) -> None:
        """Given files that an event says are removed, then their absence is counted, and what lies there with other bytes is a finding."""
        place = recorded(tmp_path, "logs/a.log", "logs/b.log", "logs/c.log")
        with open_ledger(place) as ledger:
            event = NewEvent("file.removed", 1, {"removed": ["logs/a.log", "logs/b.log", "logs/c.log"]})
            ledger.append("ledger", [event, event], expected_version=None)
        (tmp_path / "logs").mkdir()
        (tmp_path / "logs/b.log").write_bytes(TEXT)
        (tmp_path / "logs/c.log").write_bytes(b"another\n")

        def removed(event: RecordedEvent) -> Removed:
            paths: Any = event.data.get("removed", ())
            return Removed(files=paths)

        verdict = verify(place, Options(files_of=named, removed_of=removed))
        assert verdict.files == FilesSeen(same=1, changed=1, pruned=1, bytes=9)
        assert [seq for seq, _ in details(verdict)] == [3]

    @pytest.mark.parametrize(
        ("data", "found"),
        [
            (b"another\n", "has 8 bytes"),
            (TEXT + b"\n", "has 10 bytes"),
            (b"", "has 0 bytes"),
            (b"0ne line\n", f"has the SHA-256 {sha256(b'0ne line' + bytes([10])).hexdigest()}"),
        ],
    )
    def test_changed(self, tmp_path: Path, data: bytes, found: str) -> None:
        """Given a file that was changed, then it is named with what is expected, and the levels are what they were."""
        place = recorded(tmp_path, "logs/a.log")
        (tmp_path / "logs").mkdir()
        (tmp_path / "logs/a.log").write_bytes(data)
        verdict = looked_at(place)
        expected = f"expected 9 bytes with the SHA-256 {sha256(TEXT).hexdigest()}"
        assert details(verdict) == [(1, f"file 1: logs/a.log {found}, {expected}")]
        assert (verdict.level, verdict.files and verdict.files.changed, verdict.events) == (1, 1, 2)

    def test_large(self, tmp_path: Path) -> None:
        """Given a file of terabytes, or one that is all holes, then no more is read than was recorded."""
        place = recorded(tmp_path, "logs/a.log", size=3 << 20)
        (tmp_path / "logs").mkdir()
        for size, most in ((1 << 40, 0), (3 << 20, 3 << 20)):
            with (tmp_path / "logs/a.log").open("wb") as file:
                file.truncate(size)
            verdict = looked_at(place)
            assert (len(details(verdict)), verdict.files) == (1, FilesSeen(changed=1, bytes=most))


class TestHostile:
    """What is no file of ours."""

    @pytest.mark.parametrize(
        "path", ["/etc/passwd", "../logs/a.log", "logs/../a.log", "a.log", "logs//a.log", "logs/./a", "logs/a\0b"]
    )
    def test_path(self, tmp_path: Path, path: str) -> None:
        """Given a path that leads elsewhere, then nothing is opened."""
        ((_, what),) = details(looked_at(recorded(tmp_path, path)))
        assert "is no path below the ledger's folder" in what

    def test_links(self, tmp_path: Path) -> None:
        """Given a link in the place of a file or of its folder, even to the right bytes, then it is not followed."""
        place = recorded(tmp_path, "logs/a.log", "logs/1/a.log")
        (tmp_path / "logs").mkdir()
        (tmp_path / "other").mkdir()
        (tmp_path / "other/a.log").write_bytes(TEXT)
        (tmp_path / "logs/a.log").symlink_to(tmp_path / "other/a.log")
        (tmp_path / "logs/1").symlink_to(tmp_path / "other")
        assert [what.partition(",")[0] for _, what in details(looked_at(place))] == [
            "file 1: logs/a.log is behind the link a.log",
            "file 2: logs/1/a.log is behind the link 1",
        ]

    def test_folder_on_another_disk(self, tmp_path: Path) -> None:
        """Given a link in the place of the folder that all of them are in, then it is the operator's, and is followed."""
        place = recorded(tmp_path, "logs/a.log")
        (tmp_path / "disk").mkdir()
        (tmp_path / "disk/a.log").write_bytes(TEXT)
        (tmp_path / "logs").symlink_to(tmp_path / "disk")
        assert looked_at(place).files == FilesSeen(same=1, bytes=9)

    @pytest.mark.parametrize(("make", "kind"), [(os.mkfifo, "a FIFO"), (Path.mkdir, "a folder")])
    def test_odd(self, tmp_path: Path, make: object, kind: str) -> None:
        """Given something else in its place, then nobody waits for it."""
        place = recorded(tmp_path, "logs/a.log")
        (tmp_path / "logs").mkdir()
        make(tmp_path / "logs/a.log")  # type: ignore[operator]
        ((_, what),) = details(looked_at(place))
        assert f"logs/a.log is {kind}" in what

    def test_unread(self, tmp_path: Path) -> None:
        """Given what cannot be opened, or a file in the place of the folder, then that is said of them, and is no finding."""
        place = recorded(tmp_path, "logs/s", "text/a.log")
        (tmp_path / "logs").mkdir()
        (tmp_path / "text").touch()
        with socket.socket(socket.AF_UNIX) as bound:
            bound.bind(str(tmp_path / "logs/s"))
            assert looked_at(place).files == FilesSeen(unread=2)

    def test_failing_disk(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """Given a disk that fails in the middle, then the file is unread."""
        place = recorded(tmp_path, "logs/a.log")
        (tmp_path / "logs").mkdir()
        (tmp_path / "logs/a.log").write_bytes(TEXT)

        def fail(*_: object) -> bytes:
            raise OSError(5, "Input/output error")

        monkeypatch.setattr("ledger.audit.files.os.read", fail)
        assert looked_at(place).files == FilesSeen(unread=1)


class TestPages:
    """Pages of the ledger that hold nothing any more."""

    def test_each_page(self, tmp_path: Path) -> None:
        """Given any one page that is empty, then there is a verdict, and not an error of storage."""
        place = recorded(tmp_path, "logs/b.log")
        whole = place.read_bytes()
        verdicts = []
        for start in range(4096, len(whole), 4096):
            place.write_bytes(whole[:start] + bytes(4096) + whole[start + 4096 :])
            verdicts.append(verify(place, Options(files_of=named)))
        assert not any(verdict.ok for verdict in verdicts if verdict.files is None)
        assert {"unreadable"} & {item.kind for verdict in verdicts for item in verdict.problems}
