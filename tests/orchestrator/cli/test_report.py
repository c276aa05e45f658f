"""Tests of `orchestrate report`, and of the files that a run leaves."""

from __future__ import annotations

import os
import threading
from pathlib import Path

import pytest

from ledger.folders import write_private
from tests.nights import Nights
from tests.programs import everything_in, program, refused, value_of


class TestReport:
    """The summary again, or a page, whenever it is asked for."""

    def test_summary_is_that_of_the_run(self, nights: Nights) -> None:
        """Given no option, then the lines that ended the run; with --json the value that it printed."""
        text = program("report", nights.failed, cwd=nights.shop).stdout
        assert text.startswith(f"failed: shop, night 2026-01-04, run {nights.failed}")
        assert text.endswith("  no good\n")
        value = value_of(program("report", nights.failed, "--json", cwd=nights.shop), "report")
        kept = nights.ledger.parent / "reports" / nights.failed / "summary.json"
        import json

        assert json.loads(kept.read_text(encoding="utf-8")) == value

    def test_files_and_stdout(self, nights: Nights, tmp_path: Path) -> None:
        """Given files to write, then they are written whole and private, and stderr says so; - is stdout."""
        page, text = tmp_path / "r.html", tmp_path / "r.md"
        done = program("report", nights.good, "--html", str(page), "--markdown", str(text), cwd=nights.shop)
        assert (done.stdout, done.stderr) == ("", f"written: {page}\nwritten: {text}\n")
        assert page.stat().st_mode & 0o777 == 0o600
        assert everything_in(tmp_path) == ["r.html", "r.md"]
        assert program("report", nights.good, "--html", "-", cwd=nights.shop).stdout == page.read_text(encoding="utf-8")
        done = program("report", nights.good, "--html", str(page), "--json", cwd=nights.shop)
        assert value_of(done, "report")["run_id"] == nights.good

    @pytest.mark.parametrize("target", ["", ".", "..", "folder", "nowhere/r.html", "x" * 300])
    def test_file_that_cannot_be_written(self, nights: Nights, tmp_path: Path, target: str) -> None:
        """Given a place where no file can be, then exit code 2 and its name, and nothing is left behind."""
        (tmp_path / "folder").mkdir()
        arguments = ("report", "latest", "--html", target, "--ledger", str(nights.ledger), "--json")
        (problem,) = refused(program(*arguments, cwd=tmp_path))
        assert problem["kind"] == "unwritable"
        assert (target or "''") in problem["message"]
        assert everything_in(tmp_path) == ["folder"]

    def test_link_and_pipe_are_written_through(self, nights: Nights, tmp_path: Path) -> None:
        """Given a link, then the file behind it is written; given a pipe, then it gets the page and stays a pipe."""
        (tmp_path / "link").symlink_to("real.html")
        program("report", nights.good, "--html", str(tmp_path / "link"), cwd=nights.shop)
        assert (tmp_path / "link").is_symlink()
        assert (tmp_path / "real.html").read_text().startswith("<!doctype html>")
        os.mkfifo(tmp_path / "pipe")
        read: list[str] = []
        reader = threading.Thread(target=lambda: read.append((tmp_path / "pipe").read_text()), daemon=True)
        reader.start()
        done = program("report", nights.good, "--html", str(tmp_path / "pipe"), cwd=nights.shop)
        reader.join(30)
        assert done.returncode == 0
        assert (tmp_path / "pipe").is_fifo()
        assert read[0] == (tmp_path / "real.html").read_text()

    @pytest.mark.parametrize(
        "options", [("--html", "-", "--json"), ("--html", "-", "--markdown", "-"), ("--markdown", "-", "--json")]
    )
    def test_only_one_can_have_stdout(self, nights: Nights, options: tuple[str, ...]) -> None:
        """Given two that want stdout, then exit code 2."""
        done = program("report", "latest", *options, cwd=nights.shop)
        assert done.returncode == 2
        assert done.stderr.startswith("error: only one of") or done.stdout


class TestWritePrivate:
    """Whoever looks sees the old file or the new one, whole."""

    def test_failure_leaves_the_old_file_and_nothing_else(self, tmp_path: Path) -> None:
        """Given text that cannot be encoded, then the old file stays and no part of the new one."""
        path = tmp_path / "r"
        write_private(path, "old")
        with pytest.raises(UnicodeEncodeError):
            write_private(path, "\ud800")
        assert path.read_text() == "old"
        assert everything_in(tmp_path) == ["r"]
