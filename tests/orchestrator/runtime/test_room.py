"""Tests of what a run takes on the disk, and for how long the room lasts."""

from __future__ import annotations

import contextlib
import os
import sqlite3
import tempfile
from collections.abc import Iterator
from datetime import date, timedelta
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestrator.projections.read_model_tables import SCRIPT
from orchestrator.runtime.room import (
    LEAST_FREE_BYTES,
    NO_GROWTH,
    Growth,
    days_left,
    existing,
    free_bytes,
    needed_bytes,
    recent_growth,
    shown_bytes,
)
from tests.orchestrator.runtime.test_files import as_nobody

TODAY = date(2026, 1, 31)
SIZES = st.integers(0, 1 << 50)
MAKE_RUN = """
INSERT INTO runs (run_id, pipeline, night, status, started_at, trigger, actor, definition, graph, selection, first_seq, last_seq)
VALUES (?, 'p', '', '', ?, '', '', '', '', '', ?, ?)
"""
MAKE_ATTEMPT = """
INSERT INTO attempts (run_id, step, attempt, status, start_reason, start_evidence, key, components, started_at, log_bytes, started_seq)
VALUES (?, 'a', 1, '', '', '', '', '', '', ?, 0)
"""


class History:
    """A ledger's tables as far as growth is read from them."""

    def __init__(self, connection: sqlite3.Connection, folder: Path) -> None:
        self.connection, self.folder = connection, folder
        self._events = 0

    def run(self, started_at: str, *, events: int = 1, logs: int | None = None, reports: int = 0) -> None:
        """Add a run of so many events, with so many bytes of logs and reports; the last of its events need not be known."""
        first, self._events = self._events, self._events + events
        name = f"run-{first}"
        self.connection.execute("INSERT INTO events VALUES (?)", (self._events - 1,))
        self.connection.execute(MAKE_RUN, (name, started_at, first, None if logs is None else self._events - 1))
        self.connection.execute(MAKE_ATTEMPT, (name, logs))
        if reports:
            (self.folder / "reports" / name).mkdir(parents=True)
            (self.folder / "reports" / name / "report.html").write_bytes(b"x" * reports)

    def growth(self) -> Growth:
        """Return what the runs took."""
        return recent_growth(self.connection, self.folder)


@pytest.fixture
def history(tmp_path: Path) -> Iterator[History]:
    """Give tables without a run."""
    with contextlib.closing(sqlite3.connect(":memory:", isolation_level=None)) as connection:
        connection.executescript(SCRIPT + "CREATE TABLE events (seq INTEGER PRIMARY KEY);")
        yield History(connection, tmp_path)


class TestGrowth:
    """What the latest runs took, from what is recorded."""

    def test_no_run(self, history: History) -> None:
        """Given no run, then nothing grows."""
        assert history.growth() == NO_GROWTH

    def test_logs_reports_and_the_share_of_the_ledger(self, history: History) -> None:
        """Given two runs, the second with three quarters of the events, then the file is shared out so, the rest is counted."""
        history.run("2026-01-29T02:00:00.000000Z", events=5, logs=100, reports=7)
        history.run("2026-01-30T02:00:00.000000Z", events=15, logs=50)
        growth = history.growth()
        pages = history.connection.execute("SELECT page_count * page_size FROM pragma_page_count, pragma_page_size")
        (whole,) = pages.fetchone()
        assert growth == Growth(date(2026, 1, 29), whole, 150, 7, whole * 3 // 4 + 50)

    def test_run_that_is_on_reaches_to_the_end(self, history: History) -> None:
        """Given a run without an end, and without logs so far, then all events since its start are its own."""
        history.run("2026-01-30T02:00:00.000000Z", events=10)
        growth = history.growth()
        assert growth.largest_bytes == growth.ledger_bytes > 0 == growth.logs_bytes

    def test_thirty_runs_are_enough(self, history: History) -> None:
        """Given one more run than that, then the oldest does not count."""
        history.run("2025-01-01T02:00:00.000000Z", logs=1_000_000)
        for _ in range(30):
            history.run("2026-01-30T02:00:00.000000Z", logs=1)
        growth = history.growth()
        assert (growth.since, growth.logs_bytes) == (date(2026, 1, 30), 30)

    def test_large_runs_are_enough_sooner(self, history: History) -> None:
        """Given runs of tens of thousands of events, then only the latest are read."""
        for day in ("28", "29", "30"):
            history.run(f"2026-01-{day}T02:00:00.000000Z", events=60_000, logs=1)
        growth = history.growth()
        assert (growth.since, growth.logs_bytes) == (date(2026, 1, 29), 2)

    def test_altered_time_is_passed_over(self, history: History) -> None:
        """Given a run whose start is no time, then the day of another one counts, or none."""
        history.run("long ago", logs=1)
        assert history.growth().since is None
        history.run("2026-01-30T02:00:00.000000Z", logs=1)
        assert history.growth().since == date(2026, 1, 30)


class TestDays:
    """How long the room lasts."""

    @pytest.mark.parametrize(("since", "days"), [(0, 1), (1, 2), (29, 30), (-3, 1)])
    def test_first_day_and_today_count(self, since: int, days: int) -> None:
        """Given thirty nights until today, then a thirtieth falls to each; a start in the future counts as one of today."""
        growth = Growth(TODAY - timedelta(since), 60, 30, 0, 0)
        assert growth.a_day(30, TODAY) == -(-30 // days)
        assert growth.days_left(900, TODAY) == 900 // -(-90 // days)

    def test_nothing_grows(self) -> None:
        """Given no run, then no number of days is told."""
        assert NO_GROWTH.days_left(1000, TODAY) is None
        assert days_left(1000, -1) is None

    @given(taken=st.tuples(SIZES, SIZES, SIZES), free=SIZES, days=st.integers(0, 4000))
    def test_that_many_days_fit_and_one_more_does_not(self, taken: tuple[int, int, int], free: int, days: int) -> None:
        """Given any growth, then the days told fit into what is free, and another one would not."""
        growth = Growth(TODAY - timedelta(days), *taken, max(taken))
        a_day, left = growth.a_day(sum(taken), TODAY), growth.days_left(free, TODAY)
        assert (left is None) == (a_day == 0)
        if left is not None:
            assert left * a_day <= free < (left + 1) * a_day

    @pytest.mark.parametrize(
        ("largest", "needed"), [(0, LEAST_FREE_BYTES), (LEAST_FREE_BYTES // 2, LEAST_FREE_BYTES), (1 << 30, 2 << 30)]
    )
    def test_twice_the_largest_run_is_needed(self, largest: int, needed: int) -> None:
        """Given small runs, then 64 MiB; given larger ones, then twice the largest."""
        assert needed_bytes(Growth(TODAY, 0, 0, 0, largest)) == needed


class TestPlaces:
    """What is free where something will be."""

    def test_folder_that_is_not_there_yet(self, tmp_path: Path) -> None:
        """Given a folder to be made, then the one above it counts."""
        assert existing(tmp_path / "a" / "b") == tmp_path
        status = os.statvfs(tmp_path)
        assert free_bytes(tmp_path / "a") <= status.f_blocks * status.f_frsize

    def test_name_that_cannot_be(self) -> None:
        """Given names that are too long, or no absolute path, then still a folder that is there."""
        assert existing(Path("/tmp") / ("x" * 300) / "y") == Path("/tmp")
        assert existing(Path("nowhere")) == Path()

    def test_folder_that_is_hidden(self) -> None:
        """Given a folder that this user may not look into, then it stands for what is in it."""
        with tempfile.TemporaryDirectory() as folder:
            Path(folder).chmod(0o755)
            Path(folder, "hidden").mkdir()
            (Path(folder) / "hidden" / "logs").mkdir()
            Path(folder, "hidden").chmod(0o700 if os.geteuid() == 0 else 0)
            with as_nobody():
                found = existing(Path(folder, "hidden", "logs"))
            Path(folder, "hidden").chmod(0o700)
        assert found == Path(folder, "hidden")

    @pytest.mark.parametrize(
        ("count", "text"),
        [
            (0, "0 B"),
            (1023, "1023 B"),
            (1024, "1.0 KiB"),
            (64 << 20, "64.0 MiB"),
            (3 << 29, "1.5 GiB"),
            (1 << 50, "1024.0 TiB"),
        ],
    )
    def test_shown(self, count: int, text: str) -> None:
        """Given bytes, then the largest unit that they fill, and no larger one than TiB."""
        assert shown_bytes(count) == text
