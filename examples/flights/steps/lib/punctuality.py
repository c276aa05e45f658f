"""
How punctual a group of flights was: the figures that every gold table has.

Sums are kept in whole minutes and divided at the end, so that a figure does not depend on the order of rows.
"""

from __future__ import annotations

from pathlib import Path

import polars as pl

from lib.handover import StepError, read_dataset

# The authority's own measure: a flight is late from 15 minutes on.
LATE_MINUTES = 15


def _mean(column: str) -> pl.Expr:
    """Return the mean of *column*; null, not NaN, where no flight of the group has a value."""
    mean = pl.col(column).cast(pl.Int64).sum() / pl.col(column).count()
    return mean.fill_nan(None).round(2).alias(f"mean_{column}")


FIGURES = (
    pl.len().cast(pl.Int64).alias("flights"),
    (pl.col("status") == "cancelled").sum().cast(pl.Int64).alias("cancelled"),
    (pl.col("status") == "diverted").sum().cast(pl.Int64).alias("diverted"),
    (pl.col("arr_delay") >= LATE_MINUTES).sum().cast(pl.Int64).alias("late"),
    _mean("dep_delay"),
    _mean("arr_delay"),
    pl.col("arr_delay").quantile(0.9, "nearest").alias("arr_delay_p90"),
)


def read_silver() -> tuple[pl.LazyFrame, int]:
    """
    Return all flights and the number of nights.

    Raises:
        StepError: There is no night yet.
    """
    silver = read_dataset("silver_flights", Path("data/silver/flights"))
    if not silver.files:
        raise StepError(f"{silver.path} has no night yet: deliver one and run the steps before this one")
    return pl.scan_parquet([silver.path / name for name in sorted(silver.files)]), len(silver.files)


def figures(flights: pl.LazyFrame, *keys: str) -> pl.DataFrame:
    """Return the figures of each group of *flights*, sorted by *keys*."""
    return flights.group_by(keys).agg(FIGURES).sort(keys).collect()
