"""
Tables as Parquet files whose bytes depend on their rows alone.

That is what lets the orchestrator stop early: a file that was delivered twice, in whatever order, gives the same bytes.
"""

from __future__ import annotations

import io
import os
from collections.abc import Sequence
from pathlib import Path

# The tables of a night are small: starting a thread for each core costs more than it saves.
os.environ.setdefault("POLARS_MAX_THREADS", "2")

import polars as pl

from lib.handover import StepError, write_atomically

FLIGHT_COLUMNS = [
    "year",
    "month",
    "day",
    "dep_time",
    "sched_dep_time",
    "dep_delay",
    "arr_time",
    "sched_arr_time",
    "arr_delay",
    "carrier",
    "flight",
    "tailnum",
    "origin",
    "dest",
    "air_time",
    "distance",
    "hour",
    "minute",
    "time_hour",
]
WEATHER_COLUMNS = [
    "origin",
    "year",
    "month",
    "day",
    "hour",
    "temp",
    "dewp",
    "humid",
    "wind_dir",
    "wind_speed",
    "wind_gust",
    "precip",
    "pressure",
    "visib",
    "time_hour",
]


def read_raw_csv(path: Path, columns: Sequence[str]) -> pl.DataFrame:
    """
    Read a delivered file as text, every row as it came, sorted.

    Rows that lack fields are kept with nulls: judging them is the quality gate's work.

    Raises:
        StepError: The file has no readable header or another one than *columns*.
    """
    with path.open("rb") as file:
        header = file.readline().decode("utf-8", errors="replace").strip()
    if header != ",".join(columns):
        raise StepError(f"{path}: the header is {header[:80]!r}, expected {','.join(columns)[:80]!r}: deliver it again")
    frame = pl.read_csv(path, infer_schema=False, quote_char=None, truncate_ragged_lines=True, encoding="utf8-lossy")
    return frame.sort(pl.all())


def write_parquet(frame: pl.DataFrame, path: Path) -> Path:
    """Write *frame* atomically, in the order that it has; returns *path*."""
    buffer = io.BytesIO()
    frame.write_parquet(buffer, compression="zstd", compression_level=3)
    write_atomically(path, buffer.getvalue())
    return path
