"""
Spot check: a few flights of the latest night, drawn by lot, for a person to look up by hand.

This step is not deterministic, and that on purpose: nobody who feeds the pipeline shall know which flights will be looked at. Nothing reads what it writes.
"""

from __future__ import annotations

import random
from pathlib import Path

import polars as pl
from lib.handover import Outcome, run_step, write_atomically
from lib.punctuality import read_silver

TARGET = Path("data/spot_check/sample.csv")
FLIGHTS = 12
COLUMNS = ("night", "carrier", "flight", "origin", "dest", "status", "arr_delay")


def work() -> Outcome:
    """Draw the sample."""
    flights, _ = read_silver()
    rows = flights.filter(pl.col("night") == pl.col("night").max()).select(COLUMNS).collect()
    drawn = random.SystemRandom().sample(range(rows.height), min(FLIGHTS, rows.height))
    write_atomically(TARGET, rows[sorted(drawn)].write_csv().encode())
    return Outcome(f"{len(drawn)} flights drawn out of {rows.height}", {"flights": len(drawn)})


if __name__ == "__main__":
    run_step(work)
