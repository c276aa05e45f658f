"""
Dimensions: airlines, airports and aircraft, which change slowly.

The registry is sent every week, mostly unchanged and in another order. Rows are sorted, so that an unchanged registry gives
unchanged files, and nothing that builds on them runs again.
"""

from __future__ import annotations

import os
from pathlib import Path

import polars as pl
from lib.handover import Outcome, StepError, read_dataset, run_step
from lib.tables import write_parquet

KEYS = {"airlines": "carrier", "airports": "faa", "planes": "tailnum"}
TARGET = Path("data/dimensions")
# `year` of an aircraft is the year it was built; 70 of them have none.
NUMBERS = {"planes": ("year", "engines", "seats"), "airports": ("alt",)}


def work() -> Outcome:
    """Rebuild the three tables."""
    source = read_dataset("raw_dimensions", Path(os.environ.get("RAW_DIR", "data/raw")) / "dimensions", "*.csv")
    rows: dict[str, int | float | str | bool] = {}
    for kind, key in KEYS.items():
        if f"{kind}.csv" not in source.files:
            raise StepError(f"{source.path} has no {kind}.csv: deliver the registry again")
        frame = pl.read_csv(source.path / f"{kind}.csv", infer_schema=False, null_values=["NA"])
        if key not in frame.columns:
            raise StepError(f"{kind}.csv has no column {key!r}, only {frame.columns}: deliver the registry again")
        numbers = [pl.col(name).cast(pl.Int32, strict=False) for name in NUMBERS.get(kind, ()) if name in frame.columns]
        frame = frame.sort(pl.all()).unique(key, keep="first", maintain_order=True).with_columns(numbers)
        write_parquet(frame, TARGET / f"{kind}.parquet")
        rows[f"{kind}_rows"] = frame.height
    return Outcome("three dimensions rebuilt", rows)


if __name__ == "__main__":
    run_step(work)
