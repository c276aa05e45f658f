"""Tests of `orchestrate init`: a pipeline that runs, and nothing overwritten."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.programs import everything_in, no_traceback, program, value_of


class TestInit:
    """What is written runs as it is."""

    def test_what_it_writes_is_valid_and_runs(self, tmp_path: Path) -> None:
        """Given a new folder, then the pipeline is named after it, is valid without a warning, and runs."""
        done = program("init", "my shop's 1st", cwd=tmp_path)
        assert done.returncode == 0
        assert done.stdout.splitlines()[-1] == """next: cd 'my shop'"'"'s 1st' && orchestrate run"""
        folder = tmp_path / "my shop's 1st"
        valid = value_of(program("validate", "--json", cwd=folder), "validate")
        assert (valid["pipeline"], valid["problems"]) == ("my-shop-s-1st", [])
        assert value_of(program("run", "--json", cwd=folder), "run")["counts"] == {"succeeded": 2}
        assert value_of(program("run", "--json", cwd=folder), "run")["status"] == "nothing_to_do"
        first = value_of(program("runs", "--json", cwd=folder), "runs")[1]
        shown = value_of(program("show", first["run_id"], "--json", cwd=folder), "show")
        assert shown["steps"][0]["metrics"] == {"dropped": 1, "kept": 3}

    def test_present_folder(self, tmp_path: Path) -> None:
        """Given no folder, then the present one is taken, and what to type needs no cd; .gitignore stays as it is."""
        (tmp_path / ".gitignore").write_text("mine\n")
        done = program("init", cwd=tmp_path)
        assert done.stdout.splitlines()[-1] == "next: orchestrate run"
        assert (tmp_path / ".gitignore").read_text() == "mine\n"

    def test_name_of_a_folder_without_letters(self, tmp_path: Path) -> None:
        """Given a folder whose name holds nothing that a name may, then the pipeline is called pipeline."""
        (tmp_path / "___").mkdir()
        program("init", "___", cwd=tmp_path)
        assert 'name = "pipeline"' in (tmp_path / "___" / "pipeline.toml").read_text()

    @pytest.mark.parametrize("obstacle", ["pipeline.toml", "steps", "data/raw/2026-01-31.csv"])
    def test_nothing_is_overwritten(self, tmp_path: Path, obstacle: str) -> None:
        """Given one thing in the way, then it is named, exit code 2, and nothing at all is written."""
        path = tmp_path / obstacle
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("mine")
        before = everything_in(tmp_path)
        done = program("init", cwd=tmp_path)
        assert (done.returncode, done.stdout) == (2, "")
        assert done.stderr == f"error: {obstacle} exists already: nothing was written; name another folder\n"
        assert everything_in(tmp_path) == before
        assert path.read_text() == "mine"

    @pytest.mark.parametrize("folder", ["file", "file/below", "/proc/self/nowhere", "x" * 300])
    def test_folder_that_cannot_be(self, tmp_path: Path, folder: str) -> None:
        """Given a file in place of the folder, or a place where none can be, then exit code 2 and a message."""
        (tmp_path / "file").write_text("mine")
        done = program("init", folder, cwd=tmp_path)
        assert done.returncode == 2
        assert done.stderr.startswith("error: ")
        no_traceback(done)
        assert everything_in(tmp_path) == ["file"]
