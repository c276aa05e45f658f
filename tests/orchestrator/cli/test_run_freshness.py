"""Tests of `fresh_within` at the start of a run: a warning, or a refusal where the definition says so."""

from __future__ import annotations

import os
from datetime import UTC, datetime
from pathlib import Path

import pytest

from tests.programs import data_of, ledger_of, program, refused, value_of

TEXT = (
    '[pipeline]\nname = "p"\n[datasets.raw]\npath = "raw"\nfresh_within = { warn = "1h", error = "2h", refuse = true }\n'
    '[datasets.out]\npath = "out"\nfresh_within = { error = "2h", refuse = true }\n'
    '[steps.a]\nshell = "mkdir -p out; cp raw/* out/"\nreads = ["raw"]\nwrites = ["out"]\n'
    '[steps.b]\ncommand = ["true"]\nreads = ["out"]\n[steps.c]\ncommand = ["true"]\n'
)


def age(path: Path, hours: float) -> None:
    """Make a file so old."""
    seconds = datetime.now(UTC).timestamp() - hours * 3600
    os.utime(path, (seconds, seconds))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Give the folder of a pipeline whose delivery has just come."""
    (tmp_path / "pipeline.toml").write_text(TEXT, encoding="utf-8")
    (tmp_path / "raw").mkdir()
    (tmp_path / "raw" / "a").write_text("1")
    return tmp_path


class TestRun:
    """What an old delivery does to a run."""

    def test_fresh(self, folder: Path) -> None:
        """Given a delivery of now, then not a word."""
        done = program("run", cwd=folder)
        assert (done.returncode, "warning" in done.stderr) == (0, False)

    def test_late_is_a_warning(self, folder: Path) -> None:
        """Given one that is late, then a warning with its place in the definition, and the run runs."""
        age(folder / "raw" / "a", 1.5)
        done = program("run", cwd=folder)
        assert done.returncode == 0
        assert (
            "warning: pipeline.toml:5:1: dataset raw is late: its newest file is 1h30m old, warn after 1h\n"
            in done.stderr
        )

    def test_stale_refuses_where_it_says_so(self, folder: Path) -> None:
        """Given one that is stale, then nothing is started, exit 2, and the refusal is recorded with what was expected and found."""
        age(folder / "raw" / "a", 3)
        (problem,) = refused(program("run", "--json", cwd=folder))
        assert (problem["kind"], problem["path"]) == ("stale_dataset", ["datasets", "raw", "fresh_within"])
        assert problem["message"] == "dataset raw is stale: its newest file is 3h old, error after 2h"
        assert data_of(ledger_of(folder), "run.refused")[0]["problems"][0]["kind"] == "stale_dataset"
        assert data_of(ledger_of(folder), "run.started") == []

    def test_stale_only_warns_where_it_does_not(self, folder: Path) -> None:
        """Given no `refuse`, then a stale delivery is a warning, also of `validate`."""
        (folder / "pipeline.toml").write_text(TEXT.replace(", refuse = true", ""), encoding="utf-8")
        age(folder / "raw" / "a", 3)
        (problem,) = value_of(program("validate", "--json", cwd=folder), "validate")["problems"]
        assert (problem["kind"], problem["severity"]) == ("stale_dataset", "warning")
        assert program("run", "-q", cwd=folder).returncode == 0

    def test_only_what_is_read(self, folder: Path) -> None:
        """Given a selection that does not read the stale delivery, then it refuses nothing."""
        age(folder / "raw" / "a", 3)
        assert program("run", "-q", "--only", "c", cwd=folder).returncode == 0

    def test_own_outputs_are_made_anew(self, folder: Path) -> None:
        """Given stale outputs, then a run that writes them is not refused for them; one that only reads them is."""
        assert program("run", "-q", cwd=folder).returncode == 0
        age(folder / "out" / "a", 3)
        assert program("run", "-q", cwd=folder).returncode == 0
        age(folder / "out" / "a", 3)
        assert refused(program("run", "--json", "--only", "b", cwd=folder))[0]["path"][1] == "out"

    def test_empty_delivery_is_stale_and_a_missing_one_is_missing(self, folder: Path) -> None:
        """Given a folder without a file, then it is stale; given none, then that is the one problem."""
        (folder / "raw" / "a").unlink()
        assert refused(program("run", "--json", cwd=folder))[0]["message"] == "dataset raw is stale: there is no file"
        (folder / "raw").rmdir()
        assert [problem["kind"] for problem in refused(program("run", "--json", cwd=folder))] == ["missing_source"]
