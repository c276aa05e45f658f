"""Bronze: the delivered flights, as they came, one Parquet file a night."""

from __future__ import annotations

import os

from lib.handover import Outcome, run_step
from lib.ingest import ingest
from lib.tables import FLIGHT_COLUMNS


def work() -> Outcome:
    """Ingest what is new."""
    # A debug line that somebody forgot. The orchestrator masks the key before it reaches the log: look there.
    print(f"debug: asking the archive with key {os.environ.get('FLIGHTS_API_KEY', '(none)')}")
    return ingest("flights", FLIGHT_COLUMNS)


if __name__ == "__main__":
    run_step(work)
