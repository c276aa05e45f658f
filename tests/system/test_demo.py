"""The demo as a user starts it: nothing, one command, a history to look at."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from tests.programs import program, value_of

pytestmark = [pytest.mark.system, pytest.mark.slow, pytest.mark.timeout(300)]


class TestDemo:
    """Five nights, with one broken and one silent."""

    def test_five_nights(self, tmp_path: Path) -> None:
        """Given nothing, then five nights run as planned, the summary says what came of them, and no file holds the key."""
        done = program("demo", "--nights", "5", "flights", cwd=tmp_path, timeout=240)
        assert done.returncode == 0, done
        folder = tmp_path / "flights"
        lines = done.stdout.splitlines()
        assert lines[0] == f"The flights pipeline in {folder}, 5 nights from 2013-02-05."
        assert len([line for line in lines if line.startswith("night ")]) == 5
        assert "(expected:" not in done.stdout
        assert any(line.startswith("5 nights, 6 runs in ") for line in lines)
        assert any(line.startswith("The blizzard, as cancelled flights: 2013-02-08: ") for line in lines)
        assert "What to look at next:" in lines
        assert (folder / "data/report/daily.html").is_file()

        runs = value_of(program("runs", "--json", cwd=folder), "runs")
        assert [run["status"] for run in reversed(runs)] == [
            "succeeded",
            "nothing_to_do",
            "failed",
            "succeeded",
            "succeeded",
            "succeeded",
        ]
        broken = runs[3]
        shown = value_of(program("show", broken["run_id"], "--json", cwd=folder), "show")
        assert shown["root_cause"]["step"] == "quality"
        assert runs[2]["night"] == broken["night"]
        (entry,) = value_of(program("status", "--json", cwd=folder), "status")
        assert entry["attention"] == ["a failure that nobody has acknowledged: 2013-02-07"]
        assert len(entry["next"]) == 1
        assert entry["next"][0].startswith("orchestrate ack ")

        key = (folder / ".env").read_text(encoding="utf-8").strip().partition("=")[2].encode()
        files = [path for path in (folder / ".orchestrate").rglob("*") if path.is_file()]
        assert len(files) > 30
        assert [path for path in files if key in path.read_bytes()] == []
        assert key.decode() not in done.stdout + done.stderr
        with closing(sqlite3.connect(f"file:{folder}/.orchestrate/ledger.db?mode=ro", uri=True)) as connection:
            masked = connection.execute("SELECT count(*) FROM attempts WHERE masked IS NOT NULL").fetchone()
        assert masked[0] > 0
