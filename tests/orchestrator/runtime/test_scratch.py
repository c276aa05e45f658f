"""Tests of laying out what a run read and ran: real files, each held to its digest while it is copied."""

from __future__ import annotations

import errno
import os
import socket
from collections.abc import Callable, Mapping
from hashlib import sha256
from pathlib import Path

import pytest

from ledger.canonical import canonical_bytes
from orchestrator.runtime.digests import DatasetPlace
from orchestrator.runtime.scratch import Input, is_inside, lay_out_code, lay_out_input


def said_of(_: str) -> str:
    """Say what is not kept."""
    return "is not kept in the ledger"


def digest_of(content: bytes) -> str:
    """Return the digest of *content* as manifests have it."""
    return f"sha256:{sha256(content).hexdigest()}"


def manifest(files: Mapping[str, tuple[int, str]], strength: str = "content") -> bytes:
    """Return a manifest."""
    listed = [[name, size, digest] for name, (size, digest) in sorted(files.items())]
    return canonical_bytes({"files": listed, "recipe": 1, "strength": strength})


def problems_of(item: Input, shown: Mapping[str, str] | None = None) -> list[tuple[str, str]]:
    """Lay *item* out and return what is wrong with it."""
    names = shown or {}
    return [(problem.kind, problem.message) for problem in lay_out_input(item, lambda name: names.get(name, name))]


@pytest.fixture
def raw(tmp_path: Path) -> Path:
    """Give a folder with two files, one of them in a folder of its own."""
    folder = tmp_path / "raw"
    (folder / "sub").mkdir(parents=True)
    (folder / "a.csv").write_bytes(b"a\n1\n")
    (folder / "sub" / "b.csv").write_bytes(b"b\n2\n")
    return folder


def read(raw: Path, files: Mapping[str, tuple[int, str]], **options: object) -> Input:
    """Return the input *raw* of which *files* were read."""
    place = DatasetPlace(str(raw), "**/*", str(options.get("strength", "content")))
    return Input("raw", manifest(files), place, str(raw.parent / "scratch" / "raw"))


A, B = (4, digest_of(b"a\n1\n")), (4, digest_of(b"b\n2\n"))


class TestInputs:
    """Files that were read."""

    def test_only_what_is_named(self, raw: Path, tmp_path: Path) -> None:
        """Given a folder that has grown, then what was read is copied, with its time, and nothing else; what is done to the copy stays there."""
        (raw / "later.csv").write_bytes(b"")
        item = read(raw, {"a.csv": A, "sub/b.csv": B})
        assert problems_of(item) == []
        target = tmp_path / "scratch" / "raw"
        assert sorted(str(path.relative_to(target)) for path in target.rglob("*.csv")) == ["a.csv", "sub/b.csv"]
        assert (target / "a.csv").stat().st_mtime_ns == (raw / "a.csv").stat().st_mtime_ns
        (target / "a.csv").write_bytes(b"other")
        assert (raw / "a.csv").read_bytes() == b"a\n1\n"
        assert item.bytes == 8

    def test_what_is_wrong(self, raw: Path) -> None:
        """Given files that are gone, changed, or of another size, then each kind is told once, with names."""
        (raw / "a.csv").write_bytes(b"a\n2\n")
        item = read(
            raw, {"a.csv": A, "sub/b.csv": (5, B[1]), "gone.csv": A, "u.csv": (4, "unreadable:13:0"), "../x.csv": A}
        )
        assert problems_of(item) == [
            ("input_changed", "input raw: 3 of 5 files are not what was read: ../x.csv, a.csv, sub/b.csv"),
            ("input_gone", "input raw: 1 of 5 files are gone: gone.csv"),
            ("input_changed", "input raw: 1 of 5 files cannot be read, or could not then: u.csv"),
        ]

    def test_by_time(self, raw: Path, tmp_path: Path) -> None:
        """Given files that were known by size and time, then these are held, and kept by the copy."""
        seen = f"mtime:{(raw / 'a.csv').stat().st_mtime_ns}"
        assert problems_of(read(raw, {"a.csv": (4, seen)}, strength="listing")) == []
        assert f"mtime:{(tmp_path / 'scratch/raw/a.csv').stat().st_mtime_ns}" == seen
        os.utime(raw / "sub" / "b.csv", ns=(0, 0))
        assert problems_of(read(raw, {"sub/b.csv": (4, seen)}, strength="listing"))[0][0] == "input_changed"

    def test_a_file_alone(self, raw: Path) -> None:
        """Given a dataset that is a file, then it is copied; one that is gone is named by its own name."""
        place = DatasetPlace(str(raw / "a.csv"), "**/*", "content")
        target = raw.parent / "deep" / "er" / "a.csv"
        assert problems_of(Input("raw", manifest({"": A}), place, str(target))) == []
        assert target.read_bytes() == b"a\n1\n"
        (raw / "a.csv").unlink()
        assert "gone: a.csv" in problems_of(Input("raw", manifest({"": A}), place, str(target) + "2"))[0][1]

    def test_read_in_place(self, raw: Path) -> None:
        """Given a dataset at an absolute path, then it is held to its digest where it is, and nothing is written."""
        place = DatasetPlace(str(raw), "**/*", "content")
        before = sorted(raw.rglob("*"))
        whole = {"a.csv": A, "sub/b.csv": B}
        assert problems_of(Input("raw", manifest(whole), place, str(raw))) == []
        assert problems_of(Input("raw", manifest({**whole, "a.csv": B}), place, str(raw)))[0][0] == "input_changed"
        ((kind, message),) = problems_of(Input("raw", manifest({"a.csv": A}), place, str(raw)))
        assert (kind, message.endswith("holds 1 files more than were read")) == ("input_changed", True)
        gone = DatasetPlace(str(raw / "gone"), "**/*", "content")
        assert problems_of(Input("raw", manifest({"a.csv": A}), gone, str(raw / "gone")))[0][0] == "input_gone"
        assert sorted(raw.rglob("*")) == before

    def test_what_did_not_exist(self, raw: Path, tmp_path: Path) -> None:
        """Given an input that was not there, then nothing is; given an empty folder, then there is one."""
        place = DatasetPlace(str(raw), "**/*", "content")
        assert problems_of(Input("raw", None, place, str(tmp_path / "none"))) == []
        assert not (tmp_path / "none").exists()
        assert Input("raw", None, place, "").bytes == 0
        assert problems_of(Input("raw", manifest({}), place, str(tmp_path / "empty"))) == []
        assert (tmp_path / "empty").is_dir()

    def test_a_file_of_two_datasets(self, raw: Path) -> None:
        """Given two datasets that share a file, then the first one brings it, for the owner alone, and the second one holds it to its digest."""
        (raw / "a.csv").chmod(0o644)
        alone = Input(
            "a", manifest({"": A}), DatasetPlace(str(raw / "a.csv"), "**/*", "content"), read(raw, {}).target + "/a.csv"
        )
        assert [*problems_of(alone), *problems_of(read(raw, {"a.csv": A, "sub/b.csv": B}))] == []
        target = raw.parent / "scratch" / "raw"
        assert ((target / "a.csv").read_bytes(), (target / "sub" / "b.csv").read_bytes()) == (b"a\n1\n", b"b\n2\n")
        assert {path.stat().st_mode & 0o777 for path in target.rglob("*.csv")} == {0o600}
        assert problems_of(read(raw, {"a.csv": B}))[0][0] == "input_changed"

    def test_names_that_are_recorded_otherwise(self, raw: Path, tmp_path: Path) -> None:
        """Given a name that held a secret, then the file is found by what it was recorded as, and copied under its own name."""
        (raw / "a.csv").rename(raw / "secret.csv")
        assert problems_of(read(raw, {"***.csv": A}), {"secret.csv": "***.csv"}) == []
        assert (tmp_path / "scratch" / "raw" / "secret.csv").exists()

    def test_a_file_that_is_closed(self, raw: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """Given a file that may not be read, then that is said."""

        def closed(*_: object, **__: object) -> None:
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))

        monkeypatch.setattr("builtins.open", closed)
        assert "cannot be read" in problems_of(read(raw, {"a.csv": A}))[0][1]

    def test_a_link_to_itself(self, raw: Path) -> None:
        """Given a link that leads nowhere in the place of a file, then that is said."""
        (raw / "a.csv").unlink()
        (raw / "a.csv").symlink_to("a.csv")
        assert problems_of(read(raw, {"a.csv": A})) == [
            ("input_changed", "input raw: 1 of 1 files cannot be read, or could not then: a.csv")
        ]


class TestCode:
    """Files that ran."""

    def test_as_it_is_kept(self, tmp_path: Path) -> None:
        """Given code that the ledger keeps, then that is written, whatever the disk has now; a script can be started."""
        (tmp_path / "x.py").write_bytes(b"changed")
        kept = {digest_of(b"#!/bin/sh\n"): b"#!/bin/sh\n", digest_of(b"print()\n"): b"print()\n"}
        code = {"bin/go": digest_of(b"#!/bin/sh\n"), "x.py": digest_of(b"print()\n")}
        target = tmp_path / "scratch"
        assert list(lay_out_code(code, original=tmp_path, folder=target, kept=kept.get, not_kept=said_of)) == []
        assert (target / "x.py").read_bytes() == b"print()\n"
        assert os.access(target / "bin" / "go", os.X_OK)
        assert not os.access(target / "x.py", os.X_OK)

    def test_as_it_still_is(self, tmp_path: Path) -> None:
        """Given code that is not kept, then it is taken from the disk if it is what it was; a program is linked to, since it has its libraries beside itself."""
        (tmp_path / "data.bin").write_bytes(b"x" * 9)
        (tmp_path / "tool").write_bytes(b"\x7fELF...")
        (tmp_path / "tool").chmod(0o755)
        elf = digest_of(b"\x7fELF...")
        code = {"data.bin": digest_of(b"x" * 9), "tool": elf, "gone": elf, "../out": elf}
        target = tmp_path / "scratch"
        problems = list(
            lay_out_code(
                code,
                original=tmp_path,
                folder=target,
                kept=lambda digest: b"\x7fELF..." if digest == elf else None,
                not_kept=said_of,
            )
        )
        assert [problem.message.split(" is not kept in the ledger, and ") for problem in problems] == [
            ["code gone", "is not there any more"],
            ["code ../out", "lies outside of the pipeline's folder"],
        ]
        assert (target / "tool").readlink() == tmp_path / "tool"
        assert (target / "data.bin").read_bytes() == b"x" * 9
        (tmp_path / "data.bin").write_bytes(b"y" * 9)
        (problem,) = lay_out_code(
            {"data.bin": code["data.bin"]},
            original=tmp_path,
            folder=tmp_path / "2",
            kept=lambda _: None,
            not_kept=said_of,
        )
        assert (problem.kind, "is not what it was" in problem.message) == ("code_not_kept", True)

    @pytest.mark.parametrize("what", ["FIFO", "socket", "folder"])
    def test_what_is_no_file(self, tmp_path: Path, what: str) -> None:
        """Given something in the place of a file of code that is not kept, or of an input, that is none, then it is named, and nobody is waited for."""
        with socket.socket(socket.AF_UNIX) as listening:
            makers: dict[str, Callable[[str], None]] = {
                "FIFO": os.mkfifo,
                "socket": listening.bind,
                "folder": os.mkdir,
            }
            makers[what](str(tmp_path / "big"))
            code = {"big": digest_of(b"")}
            (problem,) = lay_out_code(
                code, original=tmp_path, folder=tmp_path / "scratch", kept=lambda _: None, not_kept=said_of
            )
            assert problem.message == "code big is not kept in the ledger, and is no file any more"
            place = DatasetPlace(str(tmp_path), "**/*", "content")
            item = Input("raw", manifest({"big": (0, code["big"])}), place, str(tmp_path / "out"))
            assert problems_of(item) == [("input_changed", "input raw: 1 of 1 files are not what was read: big")]


@pytest.mark.parametrize(
    ("name", "inside"),
    [("a/b", True), ("..a", True), ("a/../b", True), ("..", False), ("a/../../b", False), ("/a", False)],
)
def test_is_inside(name: str, inside: bool) -> None:  # noqa: FBT001
    """Given a name that a record has, then it is told whether it leads out of the scratch folder."""
    assert is_inside(name) is inside


def test_a_masked_name(raw: Path, tmp_path: Path) -> None:
    """Given a name in which a secret was masked and that nothing stands for today, then it is said why it cannot be found; a folder in its place is no file."""
    place = DatasetPlace(str(raw), "**/*", "content")
    (raw / "now").mkdir()
    found = problems_of(Input("raw", manifest({"a-***.csv": A, "now": A}), place, str(tmp_path / "out")))
    assert [(kind, message.partition("files ")[2]) for kind, message in found] == [
        (
            "input_gone",
            "are gone: a-***.csv (a name in which a secret is masked, ***, cannot be found again without that secret)",
        ),
        ("input_changed", "are not what was read: now"),
    ]
