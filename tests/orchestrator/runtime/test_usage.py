"""What a ledger takes, by run and by pipeline."""

from __future__ import annotations

from pathlib import Path

from ledger.reader import LedgerReader
from orchestrator.runtime.usage import SHOWN_AT_MOST, Taken, _largest, usage_of
from tests.nights import Nights, live_through


def test_true_nights(tmp_path: Path) -> None:
    """Given two pipelines, then logs and reports are what lies there, events their part of the file, and pipelines the sum of their runs."""
    nights: Nights = live_through(tmp_path)
    logs = nights.ledger.parent / "logs"
    (logs / nights.idle).mkdir()
    (logs / nights.idle / "large.1.log").write_bytes(bytes(1 << 20))
    with LedgerReader(nights.ledger) as reader:
        usage = usage_of(reader.connection, nights.ledger.parent)
        (pages,) = reader.connection.execute("PRAGMA page_count").fetchone()
    largest = usage.runs[0]
    assert (largest.run_id, largest.logs_bytes) == (nights.idle, 1 << 20)
    assert {run.run_id for run in usage.runs} == {nights.good, nights.idle, nights.failed, nights.other}
    good = next(run for run in usage.runs if run.run_id == nights.good)
    assert good.logs_bytes == (logs / nights.good / "ingest.1.log").stat().st_size
    assert good.reports_bytes == sum(
        path.stat().st_size for path in (nights.ledger.parent / "reports" / nights.good).iterdir()
    )
    shop, mart = usage.pipelines
    assert (shop.pipeline, shop.runs, mart.pipeline, mart.runs) == ("shop", 3, "mart", 1)
    own = [run for run in usage.runs if run.pipeline == "shop"]
    assert (shop.bytes, shop.events) == (sum(run.bytes for run in own), sum(run.events for run in own))
    assert usage.file_bytes == pages * 4096 > usage.blobs_bytes > 0
    assert sum(run.events_bytes for run in usage.runs) + usage.blobs_bytes <= usage.file_bytes
    assert good.as_json()["run_id"] == nights.good
    assert shop.as_json()["runs"] == 3


def test_bounded() -> None:
    """Given many runs, then the largest are told, those that are equal by their id."""
    runs = [Taken("p", f"{number:02}", 1, 1, number % 3, 0, 0, 0) for number in range(40)]
    assert [run.run_id for run in _largest(runs)] == [f"{number:02}" for number in range(2, 40, 3)][:SHOWN_AT_MOST]
