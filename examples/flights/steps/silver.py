"""
Silver: one row a flight, with the weather at departure, the aircraft and the names of carrier and destination.

Facts that are missing stay missing and are counted: a flight by an aircraft that the registry lacks has `plane_known` false, a
flight in an hour without weather has `weather_known` false and nulls. A cancelled flight has no departure, a diverted one no
arrival delay; `status` says which it is.
"""

from __future__ import annotations

from pathlib import Path

import polars as pl
from lib.handover import Outcome, read_dataset, run_step
from lib.partitions import Partitions
from lib.tables import write_parquet

TARGET = Path("data/silver/flights")
WEATHER_COLUMNS = ("temp", "wind_speed", "wind_gust", "precip", "visib")


def work() -> Outcome:
    """Build every night whose flights, weather or dimensions have changed."""
    flights = read_dataset("clean_flights", Path("data/clean/flights"))
    weather = read_dataset("clean_weather", Path("data/clean/weather"))
    dimensions = read_dataset("dimensions", Path("data/dimensions"))
    registry = [digest for _, digest in sorted(dimensions.files.items())]
    weather_of = weather.by_night()
    wanted = {
        night: [digest, weather_of.get(night, "no weather"), *registry] for night, digest in flights.by_night().items()
    }
    TARGET.mkdir(parents=True, exist_ok=True)
    partitions = Partitions("silver")
    removed = partitions.remove_others(wanted)
    stale = partitions.stale(wanted)
    names = Names(dimensions.path)
    counts = dict.fromkeys(("rows", "cancelled", "diverted", "unknown_planes", "missing_weather"), 0)
    for night in stale:
        hours = pl.read_parquet(weather.path / f"{night}.parquet") if night in weather_of else NO_WEATHER
        frame = names.add(with_weather(pl.read_parquet(flights.path / f"{night}.parquet"), hours))
        partitions.built(night, wanted[night], [write_parquet(frame, TARGET / f"{night}.parquet")])
        counts["rows"] += frame.height
        counts["cancelled"] += frame.filter(pl.col("status") == "cancelled").height
        counts["diverted"] += frame.filter(pl.col("status") == "diverted").height
        counts["unknown_planes"] += frame.filter(~pl.col("plane_known")).height
        counts["missing_weather"] += frame.filter(~pl.col("weather_known")).height
    partitions.save()
    return Outcome(
        f"{len(stale)} of {len(wanted)} nights built, {len(removed)} removed",
        {"nights": len(stale), "removed": len(removed), **counts},
        changed=bool(stale or removed),
    )


NO_WEATHER = pl.DataFrame(
    schema={"origin": pl.String, "time_hour": pl.String, **dict.fromkeys(WEATHER_COLUMNS, pl.Float64)}
)


def with_weather(flights: pl.DataFrame, hours: pl.DataFrame) -> pl.DataFrame:
    """Add the weather at the origin in the scheduled hour; hours are matched in UTC, so the clock change does no harm."""
    status = (
        pl.when(pl.col("dep_time").is_null())
        .then(pl.lit("cancelled"))
        .when(pl.col("arr_delay").is_null())
        .then(pl.lit("diverted"))
        .otherwise(pl.lit("flown"))
    )
    known = hours.select("origin", "time_hour", *WEATHER_COLUMNS, pl.lit(value=True).alias("weather_known"))
    return flights.select(
        pl.date("year", "month", "day").alias("night"),
        "carrier",
        "flight",
        "tailnum",
        "origin",
        "dest",
        "sched_dep_time",
        "time_hour",
        status.alias("status"),
        "dep_delay",
        "arr_delay",
        "air_time",
        "distance",
    ).join(known, on=["origin", "time_hour"], how="left", maintain_order="left")


class Names:
    """The dimensions, read once for all nights."""

    def __init__(self, folder: Path) -> None:
        self._airlines = pl.read_parquet(folder / "airlines.parquet").select("carrier", carrier_name="name")
        self._airports = pl.read_parquet(folder / "airports.parquet").select(dest="faa", dest_name="name")
        self._planes = pl.read_parquet(folder / "planes.parquet").select(
            "tailnum", "manufacturer", "model", "seats", plane_year="year", plane_known=pl.lit(value=True)
        )

    def add(self, flights: pl.DataFrame) -> pl.DataFrame:
        """Add names and aircraft; four airports and 721 of 4,043 aircraft are in no registry and stay null."""
        return (
            flights.join(self._airlines, on="carrier", how="left")
            .join(self._airports, on="dest", how="left")
            .join(self._planes, on="tailnum", how="left")
            .with_columns(pl.col("weather_known", "plane_known").fill_null(value=False))
            .sort("origin", "sched_dep_time", "carrier", "flight", "dest")
        )


if __name__ == "__main__":
    run_step(work)
