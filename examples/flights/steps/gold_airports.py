"""Gold: punctuality by airport: each origin night by night, with its weather, and each destination."""

from __future__ import annotations

from pathlib import Path

import polars as pl
from lib.handover import Outcome, run_step
from lib.punctuality import figures, read_silver
from lib.tables import write_parquet

TARGET = Path("data/gold/airports")


def work() -> Outcome:
    """Rebuild both tables from all of silver."""
    flights, night_count = read_silver()
    weather = (
        flights.group_by("night", "origin")
        .agg(
            pl.col("wind_speed").max().round(1).alias("max_wind_mph"),
            pl.col("visib").min().alias("min_visibility_miles"),
            (~pl.col("weather_known")).sum().cast(pl.Int64).alias("without_weather"),
            (~pl.col("plane_known")).sum().cast(pl.Int64).alias("unknown_planes"),
        )
        .collect()
    )
    origins = (
        figures(flights, "night", "origin").join(weather, on=["night", "origin"], how="left").sort("night", "origin")
    )
    destinations = figures(flights, "dest", "dest_name")
    write_parquet(origins, TARGET / "origin_nights.parquet")
    write_parquet(destinations, TARGET / "destinations.parquet")
    message = f"3 origins, {destinations.height} destinations over {night_count} nights"
    return Outcome(
        message,
        {"destinations": destinations.height, "nights": night_count},
        outputs={"gold_airports": {"rows": origins.height + destinations.height}},
    )


if __name__ == "__main__":
    run_step(work)
