"""Gold: punctuality of each carrier, over all nights and night by night."""

from __future__ import annotations

from pathlib import Path

from lib.handover import Outcome, run_step
from lib.punctuality import figures, read_silver
from lib.tables import write_parquet

TARGET = Path("data/gold/carriers")


def work() -> Outcome:
    """Rebuild both tables from all of silver."""
    flights, night_count = read_silver()
    carriers = figures(flights, "carrier", "carrier_name")
    nights = figures(flights, "night", "carrier")
    write_parquet(carriers, TARGET / "carriers.parquet")
    write_parquet(nights, TARGET / "carrier_nights.parquet")
    message = f"{carriers.height} carriers over {night_count} nights"
    return Outcome(message, {"carriers": carriers.height, "nights": night_count})


if __name__ == "__main__":
    run_step(work)
