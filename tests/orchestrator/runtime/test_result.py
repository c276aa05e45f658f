"""Tests of reading what a step has reported: anything that a process can leave at a path."""

from __future__ import annotations

import json
import os
import socket
import tempfile
from collections.abc import Callable
from pathlib import Path

import pytest

from orchestrator.core.report import REPORT_BYTES_MAX, StepReport
from orchestrator.runtime.result import BadResultError, read_result
from tests.orchestrator.runtime.test_files import as_nobody, sparse

SECRET = "Zq9-correct-horse"


def refusal(path: Path) -> str:
    """Return why the report at *path* is a bad one."""
    with pytest.raises(BadResultError) as caught:
        read_result(path)
    return str(caught.value)


def listen(path: Path) -> None:
    """Leave a socket at *path*."""
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(path))


def link_to_a_secret(path: Path) -> None:
    """Leave a link to a file that holds a right report with a secret."""
    path.with_name("secret.json").write_text(f'{{"message": "{SECRET}"}}')
    path.symlink_to("secret.json")


class TestThings:
    """Only a regular file of bounded size is read."""

    def test_nothing_is_no_report(self, tmp_path: Path) -> None:
        """Reporting is optional."""
        assert read_result(tmp_path / "result.json") is None

    @pytest.mark.parametrize(
        ("make", "text"),
        [
            (link_to_a_secret, "cannot be read"),
            (lambda path: path.symlink_to("gone"), "cannot be read"),
            (lambda path: path.symlink_to(path), "cannot be read"),
            (lambda path: path.symlink_to("/proc/self/environ"), "cannot be read"),
            (lambda path: path.symlink_to("/dev/zero"), "cannot be read"),
            (os.mkfifo, "no regular file"),
            (lambda path: path.mkdir(), "no regular file"),
            (listen, "cannot be read"),
            (lambda path: sparse(path, 2 << 30), "at most"),
            (lambda path: sparse(path, REPORT_BYTES_MAX + 1), "at most"),
        ],
        ids=["link", "dead link", "loop", "environ", "device", "FIFO", "folder", "socket", "2 GB", "1 MiB + 1"],
    )  # fmt: skip
    def test_what_is_no_report(self, tmp_path: Path, make: Callable[[Path], object], text: str) -> None:
        """No link is followed, nothing hangs, and no more than the limit is read."""
        make(tmp_path / "result.json")
        message = refusal(tmp_path / "result.json")

        assert text in message
        assert SECRET not in message

    def test_file_of_another_user(self) -> None:
        """A step that took away the right to read says nothing."""
        with tempfile.TemporaryDirectory() as folder:
            Path(folder).chmod(0o755)
            path = Path(folder, "result.json")
            path.touch(mode=0o600 if os.geteuid() == 0 else 0)
            with as_nobody():
                message = refusal(path)

        assert "the report cannot be read: Permission denied" == message

    def test_error_while_reading(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """A disk that fails makes a bad report, not a crash."""
        (tmp_path / "result.json").write_text("{}")
        monkeypatch.setattr(os, "read", lambda *_: (_ for _ in ()).throw(OSError(5, "Input/output error")))

        assert "the report cannot be read: Input/output error" == refusal(tmp_path / "result.json")

    @pytest.mark.parametrize("content", [b"{}", b'{"status": "succeeded"}\n', b" \n{}\r\n"])
    def test_report(self, tmp_path: Path, content: bytes) -> None:
        """A right one is read, and no descriptor is left open."""
        (tmp_path / "result.json").write_bytes(content)
        before = len(list(Path("/proc/self/fd").iterdir()))

        assert StepReport() == read_result(tmp_path / "result.json")
        assert before == len(list(Path("/proc/self/fd").iterdir()))


class TestContent:
    """A document that breaks the rules fails, with the rule that it breaks."""

    @pytest.mark.parametrize(
        ("content", "text"),
        [
            (b"", "no JSON"),
            (b"ok", "no JSON"),
            (b'{"status": "succ', "no JSON"),
            (b"{} trailing", "no JSON"),
            (b"{}{}", "no JSON"),
            (b"\xef\xbb\xbf{}", "no JSON"),
            ('{"message": "x"}'.encode("utf-16"), "not UTF-8"),
            (b'{"message": "\xff"}', "not UTF-8"),
            (b'{"message": "a\x00b"}', "no JSON"),
            (b"[" * 100_000, "no JSON"),
            (b'{"metrics": ' * 50_000, "no JSON"),
            (b'{"metrics": {"a": NaN}}', "no JSON"),
            (b'{"metrics": {"a": -Infinity}}', "no JSON"),
            (b'{"metrics": {"a": 1e999}}', "finite"),
            (b'{"status": "failed", "status": "succeeded"}', "no JSON"),
            (b'{"message": "\\ud800"}', "surrogate"),
            (b'{"metrics": {"a": "\\udfff"}}', "surrogate"),
            (b'{"\\ud800": 1}', "report"),
            (b"[]", "expected an object"),
            (b"null", "expected an object"),
            (b'"text"', "expected an object"),
            (b"3", "expected an object"),
            (b'{"Status": "failed"}', "unknown key"),
            (b'{"status": "fine"}', "expected one of"),
            (b'{"status": null}', "expected one of"),
            (b'{"error_class": "bad luck"}', "expected one of"),
            (b'{"message": 3}', "expected a text"),
            (b'{"message": "' + b"x" * 10_001 + b'"}', "characters"),
            (b'{"metrics": [1]}', "expected an object"),
            (b'{"metrics": {"a": null}}', "expected a number"),
            (b'{"metrics": {"a": [1]}}', "expected a number"),
            (b'{"metrics": {"../a": 1}}', "not a name"),
            (b'{"outputs": {"d": 1}}', "expected an object"),
        ],
        ids=lambda value: repr(value)[:30],
    )
    def test_broken(self, tmp_path: Path, content: bytes, text: str) -> None:
        """Nothing of it is taken, and nothing is evaluated."""
        (tmp_path / "result.json").write_bytes(content)

        assert text in refusal(tmp_path / "result.json")

    def test_large_numbers_are_numbers(self, tmp_path: Path) -> None:
        """Thirty digits fit no column of SQLite as they are."""
        (tmp_path / "result.json").write_text('{"metrics": {"a": 123456789012345678901234567890, "b": 1e300}}')
        report = read_result(tmp_path / "result.json")

        assert report is not None
        assert {"a": 123456789012345678901234567890.0, "b": 1e300} == report.metrics
        assert isinstance(report.metrics["a"], float)


def masked(text: str) -> str:
    """Return *text* without the one secret there is."""
    return text.replace(SECRET, "***")


class TestSecrets:
    """What is said of a bad report holds no secret, whole or in part."""

    @pytest.mark.parametrize(
        "content",
        [
            f'{{"{"x" * 47}{SECRET}": 1}}',
            f'{{"status": "{SECRET}"}}',
            f'{{"metrics": {{"a b {SECRET}": 1}}}}',
            f'{{"message": "{SECRET}"',
        ],
    )
    def test_no_piece_of_it_is_told(self, tmp_path: Path, content: str) -> None:
        """Also where a message cuts what it quotes."""
        (tmp_path / "result.json").write_text(content)

        with pytest.raises(BadResultError) as caught:
            read_result(tmp_path / "result.json", masked)

        assert [] == [size for size in range(4, len(SECRET)) if SECRET[:size] in str(caught.value)]

    def test_a_report_that_a_mask_would_mend(self, tmp_path: Path) -> None:
        """Given a report that is wrong through its secret alone, then it stays refused."""
        (tmp_path / "result.json").write_text(f'{{"message": "{SECRET}"}}')
        path = tmp_path / "long.json"
        path.write_text(json.dumps({"message": SECRET * 1_000}))

        with pytest.raises(BadResultError, match="broken by what stands where its secrets are masked"):
            read_result(path, masked)
