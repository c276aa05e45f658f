"""
What makes a row unfit for use, as one list of named rules for each table.

A rule is about one row that cannot be right (a garbled line, a wind of 1,048 mph), never about a fact that is merely unwelcome:
a cancelled flight, a diverted one or an unknown tail number is true and stays.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import polars as pl

# The fastest believable ground speed of an airliner; four rows of the year are above (the next one below it has 591 mph).
MAX_GROUND_SPEED_MPH = 600
# Well above the strongest hurricane; the year's strongest gust is 67 mph, and one row says 1,048.
MAX_WIND_MPH = 200
ORIGINS = ("EWR", "JFK", "LGA")

REASON = "reason"


@dataclass(frozen=True)
class Table:
    """
    Describe a table to the gate.

    Attributes:
        types: The type of each column that is no text.
        required: Columns that no row may lack.
        key: Columns that name a row; a second row of the same key is a duplicate.
        rules: A name and the condition under which a row breaks it, over the typed columns.
    """

    name: str
    types: Mapping[str, type[pl.DataType]]
    required: Sequence[str]
    key: Sequence[str]
    rules: Mapping[str, pl.Expr]


def _no_clock_time(column: str) -> pl.Expr:
    return ~(pl.col(column).is_between(0, 2400) & (pl.col(column) % 100 < 60))


FLIGHTS = Table(
    name="flights",
    types=dict.fromkeys(
        [
            "year",
            "month",
            "day",
            "dep_time",
            "sched_dep_time",
            "dep_delay",
            "arr_time",
            "sched_arr_time",
            "arr_delay",
            "flight",
            "air_time",
            "distance",
            "hour",
            "minute",
        ],
        pl.Int32,
    ),
    required=[
        "year",
        "month",
        "day",
        "sched_dep_time",
        "sched_arr_time",
        "carrier",
        "flight",
        "origin",
        "dest",
        "distance",
        "time_hour",
    ],
    key=("carrier", "flight", "origin", "dest", "sched_dep_time"),
    rules={
        "unknown_origin": ~pl.col("origin").is_in(ORIGINS),
        "no_clock_time": _no_clock_time("dep_time") | _no_clock_time("sched_dep_time") | _no_clock_time("arr_time"),
        "impossible_speed": pl.col("distance") * 60 > MAX_GROUND_SPEED_MPH * pl.col("air_time"),
    },
)
WEATHER = Table(
    name="weather",
    types={
        **dict.fromkeys(("year", "month", "day", "hour", "wind_dir"), pl.Int32),
        **dict.fromkeys(
            ["temp", "dewp", "humid", "wind_speed", "wind_gust", "precip", "pressure", "visib"], pl.Float64
        ),
    },
    required=["origin", "year", "month", "day", "hour", "time_hour"],
    key=("origin", "time_hour"),
    rules={
        "unknown_origin": ~pl.col("origin").is_in(ORIGINS),
        "impossible_wind": (pl.col("wind_speed") > MAX_WIND_MPH) | (pl.col("wind_gust") > MAX_WIND_MPH),
    },
)


def judge(raw: pl.DataFrame, table: Table, night: str) -> pl.DataFrame:
    """
    Type the columns of *raw* and add the column `reason`: null, or the first rule that the row breaks.

    The order of rows stays. `NA` is how the source writes "no value".
    """
    text = raw.with_columns(pl.all().replace("NA", None))
    typed = text.with_columns(pl.col(name).cast(kind, strict=False) for name, kind in table.types.items())
    lost = [text[name].is_not_null() & typed[name].is_null() for name in table.types]
    unreadable = pl.select(pl.any_horizontal(*lost)).to_series()
    date = pl.format("{}-{}-{}", "year", _two_digits("month"), _two_digits("day"))
    breaches: dict[str, pl.Expr] = {
        "unreadable": pl.lit(unreadable) | pl.any_horizontal(pl.col(table.required).is_null()),
        "other_night": date != night,
        **table.rules,
        "duplicate": ~pl.struct(table.key).is_first_distinct(),
    }
    reason = pl.coalesce(pl.when(broken).then(pl.lit(name)) for name, broken in breaches.items())
    return typed.with_columns(reason.alias(REASON))


def _two_digits(column: str) -> pl.Expr:
    return pl.col(column).cast(pl.String).str.zfill(2)
