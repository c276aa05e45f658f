"""Bronze: the delivered weather, as it came, one Parquet file a night."""

from __future__ import annotations

from lib.handover import Outcome, run_step
from lib.ingest import ingest
from lib.tables import WEATHER_COLUMNS


def work() -> Outcome:
    """Ingest what is new."""
    return ingest("weather", WEATHER_COLUMNS)


if __name__ == "__main__":
    run_step(work)
