"""Tests of the flights example on true nights, run by the real program and compared with what the data itself says."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections import Counter
from collections.abc import Iterable
from datetime import date
from pathlib import Path
from typing import NamedTuple

import polars as pl
import pytest

from tests.examples.flights import (
    EXAMPLE,
    KEY,
    STEPS,
    YEAR,
    Pipeline,
    Row,
    Run,
    by_night,
    delivery,
    files_in,
    has_weather,
    is_cancelled,
    is_diverted,
    is_too_fast,
    is_too_windy,
    registered,
    rows_of,
    table,
)
from tests.programs import data_of, ledger_of, program, value_of

pytestmark = pytest.mark.system

STORM = (date(2013, 2, 8), date(2013, 2, 9))
WINDY = date(2013, 2, 12)
TOO_FAST = date(2013, 3, 23)
WITHOUT_WEATHER = date(2013, 12, 31)
SILENT = date(2014, 1, 1)
HISTORY = (*STORM, WINDY, TOO_FAST, WITHOUT_WEATHER)

FORMER = (date(2013, 2, 10), date(2013, 2, 11))
BROKEN = date(2013, 2, 13)

BEHIND_THE_GATE = {"silver", "gold_carriers", "gold_airports", "report", "spot_check"}


class History(NamedTuple):
    """Nights that hold every defect of the data."""

    pipeline: Pipeline
    runs: dict[date, Run]
    again: Run
    silent: Run


class Repair(NamedTuple):
    """A broken delivery, its repair, and what lay in `data/` before, between and after."""

    pipeline: Pipeline
    failed: Run
    repaired: Run
    before: dict[str, bytes]
    between: dict[str, bytes]
    after: dict[str, bytes]


class Corrections(NamedTuple):
    """Nights that are delivered once more: in another order, broken, whole; late weather, a new registry, a night less."""

    runs: dict[str, Run]
    data: dict[str, dict[str, bytes]]


@pytest.fixture(scope="module")
def history(tmp_path_factory: pytest.TempPathFactory) -> History:
    """Give five nights, then the last one again, then one without delivery."""
    pipeline = Pipeline(tmp_path_factory.mktemp("history"))
    runs = {}
    for night in HISTORY:
        pipeline.deliver(night)
        runs[night] = pipeline.run(night)
    return History(pipeline, runs, pipeline.run(HISTORY[-1]), pipeline.run(SILENT))


@pytest.fixture(scope="module")
def repair(tmp_path_factory: pytest.TempPathFactory) -> Repair:
    """Give two nights in order and a broken one that is delivered again."""
    pipeline = Pipeline(tmp_path_factory.mktemp("repair"))
    pipeline.deliver(*FORMER)
    pipeline.run(FORMER[-1])
    before = files_in(pipeline.data)
    pipeline.deliver(BROKEN, broken=True)
    failed = pipeline.run(BROKEN, code=1)
    between = files_in(pipeline.data)
    pipeline.deliver(BROKEN)
    repaired = pipeline.run(BROKEN)
    return Repair(pipeline, failed, repaired, before, between, files_in(pipeline.data))


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    """Give the data of a pipeline that saw the nights of `repair`, all in one run, without the broken file."""
    pipeline = Pipeline(tmp_path_factory.mktemp("undisturbed"))
    pipeline.deliver(*FORMER, BROKEN)
    pipeline.run(BROKEN)
    return files_in(pipeline.data)


@pytest.fixture(scope="module")
def corrections(tmp_path_factory: pytest.TempPathFactory) -> Corrections:
    """Give two nights, one of them without weather, and one change after the other."""
    pipeline = Pipeline(tmp_path_factory.mktemp("corrections"))
    first, second = FORMER
    runs: dict[str, Run] = {}
    data: dict[str, dict[str, bytes]] = {}

    def run(name: str, *, code: int = 0) -> None:
        runs[name] = pipeline.run(second, code=code)
        data[name] = files_in(pipeline.data)

    pipeline.deliver(first, second)
    (pipeline.raw / "weather" / f"{second}.csv").unlink()
    run("weather missing")
    pipeline.deliver(second)
    run("weather late")
    pipeline.deliver(first, reordered=True)
    run("reordered")
    pipeline.deliver(first, broken=True)
    run("broken", code=1)
    pipeline.deliver(first)
    run("whole")
    delivery().deliver_registry(pipeline.raw, "update")
    run("registry updated")
    delivery().deliver_registry(pipeline.raw, "resend")
    run("registry resent")
    for kind in ("flights", "weather"):
        (pipeline.raw / kind / f"{first}.csv").unlink()
    run("withdrawn")
    return Corrections(runs, data)


@pytest.fixture(scope="module")
def year(tmp_path_factory: pytest.TempPathFactory) -> tuple[Pipeline, Run]:
    """Give the whole year in one run, with the full registry."""
    pipeline = Pipeline(tmp_path_factory.mktemp("year"))
    delivery().deliver_registry(pipeline.raw, "update")
    pipeline.deliver(*YEAR)
    return pipeline, pipeline.run(YEAR[-1])


def passing(nights: Iterable[date]) -> list[Row]:
    """Return the flights of *nights* that the gate lets pass."""
    return [row for night in nights for row in by_night("flights")[night] if not is_too_fast(row)]


def expected_metrics(flights: list[Row], state: str, nights: int) -> dict[str, int]:
    """Return what `silver` has to report of *flights*, counted by hand."""
    known = registered(state)
    return {
        "nights": nights,
        "removed": 0,
        "rows": len(flights),
        "cancelled": sum(map(is_cancelled, flights)),
        "diverted": sum(map(is_diverted, flights)),
        "unknown_planes": sum(row["tailnum"] not in known for row in flights),
        "missing_weather": sum(not has_weather(row) for row in flights),
    }


def expected_figures(flights: list[Row], *keys: str) -> dict[tuple[str, ...], tuple[float | None, ...]]:
    """Return flights, cancelled, diverted, late and both mean delays of each group of *flights*, computed by hand."""
    groups: dict[tuple[str, ...], list[Row]] = {}
    for row in flights:
        night = f"{row['year']}-{int(row['month']):02}-{int(row['day']):02}"
        groups.setdefault(tuple(night if key == "night" else row[key] for key in keys), []).append(row)
    return {
        group: (
            len(rows),
            sum(map(is_cancelled, rows)),
            sum(map(is_diverted, rows)),
            sum(row["arr_delay"] != "NA" and int(row["arr_delay"]) >= 15 for row in rows),
            mean(row["dep_delay"] for row in rows),
            mean(row["arr_delay"] for row in rows),
        )
        for group, rows in groups.items()
    }


def mean(texts: Iterable[str]) -> float | None:
    """Return the mean of the numbers among *texts*, or None where there is none."""
    numbers = [int(text) for text in texts if text != "NA"]
    return sum(numbers) / len(numbers) if numbers else None


def assert_figures(path: Path, flights: list[Row], *keys: str) -> None:
    """Assert that the gold table at *path* says of *flights* what was computed by hand."""
    columns = ("flights", "cancelled", "diverted", "late", "mean_dep_delay", "mean_arr_delay")
    frame = pl.read_parquet(path).with_columns(pl.col("night").cast(pl.String) if "night" in keys else [])
    actual = {row[: len(keys)]: row[len(keys) :] for row in frame.select(*keys, *columns).iter_rows()}
    expected = expected_figures(flights, *keys)
    assert actual.keys() == expected.keys()
    for group, figures in expected.items():
        assert actual[group] == pytest.approx(figures, abs=0.00501), group


def silver_of(pipeline: Pipeline, night: date) -> pl.DataFrame:
    """Read the silver table of *night*."""
    return pl.read_parquet(pipeline.data / "silver" / "flights" / f"{night}.parquet")


def below(data: dict[str, bytes], *folders: str) -> dict[str, bytes]:
    """Return what of *data* lies in *folders*."""
    return {name: content for name, content in data.items() if name.startswith(tuple(f"{top}/" for top in folders))}


class TestStorm:
    """The blizzard is true: it passes the gate and stands out."""

    @pytest.mark.parametrize(("night", "cancelled", "flights"), [(STORM[0], 472, 930), (STORM[1], 393, 684)])
    def test_passes_the_gate(self, night: date, cancelled: int, flights: int, history: History) -> None:
        """Given a night of the blizzard, then every row is clean, and the cancelled ones are counted."""
        run = history.runs[night]
        assert run.result["status"] == "succeeded"
        assert run.metrics("quality") == {"files": 2, "rows": flights + 72, "quarantined": 0, "removed": 0}
        assert run.metrics("silver")["cancelled"] == cancelled
        silver = silver_of(history.pipeline, night)
        assert (silver.height, silver.filter(status="cancelled").height) == (flights, cancelled)
        assert not (history.pipeline.data / "quarantine" / "flights" / f"{night}.csv").exists()

    def test_stands_out_in_the_report(self, history: History) -> None:
        """Given the report, then it names both nights with their figures, no other, and draws every night."""
        page = (history.pipeline.data / "report" / "daily.html").read_text(encoding="utf-8")
        assert (
            '<p class="storm">Nights that stand out by cancellations: '
            "2013-02-08 (472 of 930, 51%), 2013-02-09 (393 of 684, 57%).</p>" in page
        )
        assert history.runs[HISTORY[-1]].metrics("report") == {
            "nights": 5,
            "remarkable_nights": 2,
            "quarantined": 2,
        }
        assert page.count("<svg") == 1
        for night in HISTORY:
            assert f"<g><title>{night}: {len(passing([night]))} flights, " in page

    def test_report_is_self_contained(self, history: History) -> None:
        """Given the report, then it loads nothing and has no figure that is not a number."""
        page = (history.pipeline.data / "report" / "daily.html").read_text(encoding="utf-8")
        for forbidden in ("<script", "<link", "<img", "src=", "href=", "url(", "http"):
            assert forbidden not in page
        for nothing in ("<td>NaN</td>", "<td>nan</td>", "<td>None</td>", "<td></td>"):
            assert nothing not in page


class TestQuarantine:
    """Rows that cannot be right are set apart with their reason, and nothing else is."""

    def test_impossible_wind(self, history: History) -> None:
        """Given 12 February, then exactly the row with 1,048 mph is quarantined, as it was delivered."""
        [row] = rows_of(history.pipeline.data / "quarantine" / "weather" / f"{WINDY}.csv")
        [delivered] = [hour for hour in by_night("weather")[WINDY] if is_too_windy(hour)]
        assert row == {"reason": "impossible_wind", **delivered}
        assert row["wind_speed"] == "1048.36058"
        clean = pl.read_parquet(history.pipeline.data / "clean" / "weather" / f"{WINDY}.parquet")
        hours = {(hour["origin"], hour["time_hour"]) for hour in by_night("weather")[WINDY]}
        assert set(clean.select("origin", "time_hour").iter_rows()) == hours - {(row["origin"], row["time_hour"])}
        assert history.runs[WINDY].metrics("quality")["quarantined"] == 1

    def test_impossible_speed(self, history: History) -> None:
        """Given 23 March, then exactly the flight of more than 600 mph is quarantined, as it was delivered."""
        [row] = rows_of(history.pipeline.data / "quarantine" / "flights" / f"{TOO_FAST}.csv")
        [delivered] = [flight for flight in by_night("flights")[TOO_FAST] if is_too_fast(flight)]
        assert row == {"reason": "impossible_speed", **delivered}
        silver = silver_of(history.pipeline, TOO_FAST)
        assert silver.height == len(by_night("flights")[TOO_FAST]) - 1
        assert silver.filter(carrier=row["carrier"], flight=int(row["flight"])).is_empty()

    def test_nothing_else(self, history: History) -> None:
        """Given all nights, then there are two files in quarantine."""
        assert sorted(files_in(history.pipeline.data / "quarantine")) == [
            f"flights/{TOO_FAST}.csv",
            f"weather/{WINDY}.csv",
        ]

    def test_counts_of_each_night(self, history: History) -> None:
        """Given all nights, then `data/quality` holds the counts of each table and night."""
        for kind, suspect, reason in (
            ("flights", is_too_fast, "impossible_speed"),
            ("weather", is_too_windy, "impossible_wind"),
        ):
            folder = history.pipeline.data / "quality" / kind
            counts = {path.stem: json.loads(path.read_text(encoding="utf-8")) for path in folder.iterdir()}
            nights = [night for night in HISTORY if night in by_night(kind)]
            assert counts.keys() == set(map(str, nights))
            for night in nights:
                unfit = sum(map(suspect, by_night(kind)[night]))
                assert counts[str(night)] == {
                    "night": str(night),
                    "rows": len(by_night(kind)[night]),
                    "quarantined": unfit,
                    "reasons": {reason: unfit} if unfit else {},
                }

    def test_report_lists_them(self, history: History) -> None:
        """Given the report, then it has a row for each reason and night."""
        page = (history.pipeline.data / "report" / "daily.html").read_text(encoding="utf-8")
        for cells in (("flights", TOO_FAST, "impossible_speed", 1), ("weather", WINDY, "impossible_wind", 1)):
            assert f"<tr>{''.join(f'<td>{cell}</td>' for cell in cells)}</tr>" in page


class TestMissingFacts:
    """What the data lacks stays null, is marked, and is counted."""

    @pytest.mark.parametrize("night", HISTORY)
    def test_metrics(self, night: date, history: History) -> None:
        """Given a night, then cancelled, diverted, unknown aircraft and missing weather are counted as by hand."""
        assert history.runs[night].metrics("silver") == expected_metrics(passing([night]), "first", nights=1)

    def test_diverted_and_unknown_occur(self, history: History) -> None:
        """Given these nights, then there is something to count of every kind."""
        sums: Counter[str] = Counter()
        for run in history.runs.values():
            sums.update(run.metrics("silver"))
        assert min(sums[name] for name in ("cancelled", "diverted", "unknown_planes", "missing_weather")) > 0

    def test_day_without_weather(self, history: History) -> None:
        """Given 31 December, then the run succeeds, and all of its flights have `weather_known` false and nulls."""
        run = history.runs[WITHOUT_WEATHER]
        silver = silver_of(history.pipeline, WITHOUT_WEATHER)
        assert run.result["status"] == "succeeded"
        assert silver.height == 776 == run.metrics("silver")["missing_weather"]
        assert silver["weather_known"].to_list() == [False] * 776
        for column in ("temp", "wind_speed", "wind_gust", "precip", "visib"):
            assert silver[column].null_count() == 776
        assert run.reasons["bronze_weather"] == "no_new_data"

    @pytest.mark.parametrize("night", HISTORY)
    def test_each_flight(self, night: date, history: History) -> None:
        """Given a night, then status, aircraft, names, delays and weather of each flight are those of the data."""
        names = {row["carrier"]: row["name"] for row in table("airlines")}
        airports = {row["faa"]: row["name"] for row in table("airports")}
        planes = {row["tailnum"]: row for row in table("planes") if row["tailnum"] in registered("first")}
        hours = {(row["origin"], row["time_hour"]): row for row in table("weather") if not is_too_windy(row)}
        silver = {
            (row["carrier"], row["flight"], row["origin"], row["dest"], row["sched_dep_time"]): row
            for row in silver_of(history.pipeline, night).iter_rows(named=True)
        }
        flights = passing([night])
        assert len(silver) == len(flights)
        for flight in flights:
            row = silver[
                flight["carrier"],
                int(flight["flight"]),
                flight["origin"],
                flight["dest"],
                int(flight["sched_dep_time"]),
            ]
            hour = hours.get((flight["origin"], flight["time_hour"]))
            plane = planes.get(flight["tailnum"])
            status = "cancelled" if is_cancelled(flight) else "diverted" if is_diverted(flight) else "flown"
            assert row["night"] == night
            assert row["status"] == status
            assert row["tailnum"] == none(flight["tailnum"])
            for delay in ("dep_delay", "arr_delay", "air_time", "distance"):
                assert row[delay] == number(flight[delay])
            assert row["carrier_name"] == names[flight["carrier"]]
            assert row["dest_name"] == airports.get(flight["dest"])
            assert row["plane_known"] is (plane is not None)
            assert row["model"] == (none(plane["model"]) if plane else None)
            assert row["plane_year"] == (number(plane["year"]) if plane else None)
            assert row["weather_known"] is (hour is not None)
            for column in ("temp", "wind_speed", "visib"):
                assert row[column] == (number(hour[column]) if hour else None)


def none(text: str) -> str | None:
    """Return *text*, or None where it says that there is no value."""
    return None if text == "NA" else text


def number(text: str) -> float | None:
    """Return the number that *text* is, or None where there is no value."""
    return None if text == "NA" else float(text)


class TestContract:
    """Gold owes a number of files and rows."""

    def test_rows_are_kept(self, history: History) -> None:
        """Given a good night, then the rows that the step reported stand in its event, and are those of its tables."""
        gold = history.pipeline.data / "gold" / "airports"
        ended = data_of(ledger_of(history.pipeline.folder), "attempt.finished")
        reported = [event["reported"]["gold_airports"]["rows"] for event in ended if event["step"] == "gold_airports"]
        assert reported[-1] == sum(pl.read_parquet(path).height for path in gold.iterdir())

    def test_skips_were_right(self, history: History) -> None:
        """Given all these nights, then every skip is recomputed, and none was wrong."""
        done = program("audit", "verify", "--skips", "--json", cwd=history.pipeline.folder)
        skips = value_of(done, "audit-verify")["skips"]
        skipped = [
            event
            for event in data_of(ledger_of(history.pipeline.folder), "step.finished")
            if event["status"] == "skipped"
        ]
        assert skips["wrong"] == skips["uncertified"] == 0
        assert skips["checked"] + skips["reported"] == len(skipped) > len(STEPS)

    def test_too_few_rows(self, tmp_path: Path) -> None:
        """Given a gold table that should have more rows than it gets, then its step fails, the report is not made, and both are told."""
        pipeline = Pipeline(tmp_path)
        definition = tmp_path / "pipeline.toml"
        definition.write_text(definition.read_text().replace("min_rows = 2 ", "min_rows = 9999 "))
        pipeline.deliver(STORM[0])
        run = pipeline.run(STORM[0], code=1)
        tables = [pl.read_parquet(path).height for path in (pipeline.data / "gold" / "carriers").iterdir()]
        told = f"gold_carriers has {sum(tables)} rows as counted, expected at least 9999"
        assert run.message("gold_carriers") == f"it ended well, but {told}"
        assert (run.statuses["gold_carriers"], run.reasons["report"]) == ("failed", "upstream_failed")
        assert run.statuses["gold_airports"] == "succeeded"


class TestGold:
    """The figures are those of the data."""

    @pytest.mark.parametrize(
        ("name", "keys"),
        [
            ("carriers/carriers", ["carrier"]),
            ("carriers/carrier_nights", ["night", "carrier"]),
            ("airports/origin_nights", ["night", "origin"]),
            ("airports/destinations", ["dest"]),
        ],
    )
    def test_figures(self, name: str, keys: list[str], history: History) -> None:
        """Given five nights, then counts and mean delays of every group are as computed by hand."""
        assert_figures(history.pipeline.data / "gold" / f"{name}.parquet", passing(HISTORY), *keys)

    def test_no_mean_of_nothing(self, history: History) -> None:
        """Given a carrier that flew nothing in a night, then its delays are null, never NaN."""
        gold = history.pipeline.data / "gold"
        nights = pl.read_parquet(gold / "carriers" / "carrier_nights.parquet")
        grounded = nights.filter(pl.col("flights") == pl.col("cancelled"))
        assert grounded.height > 0
        assert grounded["mean_dep_delay"].to_list() == [None] * grounded.height
        for path in gold.rglob("*.parquet"):
            floats = pl.read_parquet(path).select(pl.selectors.float().is_nan().any())
            assert not any(floats.row(0)), path


class TestRepeatedRuns:
    """Nothing new, nothing done."""

    def test_second_run(self, history: History) -> None:
        """Given a second run for the same night, then nothing is to do, exit code 0, and no step starts."""
        assert (history.again.result["status"], history.again.result["exit_code"]) == ("nothing_to_do", 0)
        assert history.again.statuses == dict.fromkeys(STEPS, "skipped")
        assert history.again.ran == set()

    def test_night_without_delivery(self, history: History) -> None:
        """Given a night that brings nothing, then nothing is to do, exit code 0, for want of new data."""
        assert (history.silent.result["status"], history.silent.result["exit_code"]) == ("nothing_to_do", 0)
        assert history.silent.result["night"] == str(SILENT)
        assert history.silent.reasons == {
            **dict.fromkeys(("bronze_flights", "bronze_weather", "dimensions"), "no_new_data"),
            **dict.fromkeys(("quality", *BEHIND_THE_GATE), "up_to_date"),
        }

    def test_each_night_does_its_own_work(self, history: History) -> None:
        """Given the nights in turn, then each reads one file a table and builds one night; the registry once."""
        for night, run in history.runs.items():
            assert run.metrics("bronze_flights") == {
                "files": 1,
                "rows": len(by_night("flights")[night]),
                "removed": 0,
            }
            assert run.metrics("quality")["files"] == (1 if night == WITHOUT_WEATHER else 2)
            assert run.metrics("silver")["nights"] == 1
            assert ("dimensions" in run.ran) is (night == HISTORY[0])

    def test_explain_shows_the_metrics(self, history: History) -> None:
        """Given a run, then `explain RUN quality` shows what the gate counted."""
        run_id = history.runs[WINDY].result["run_id"]
        explained = program("explain", run_id, "quality", "--json", cwd=history.pipeline.folder)
        assert value_of(explained, "explain")["metrics"] == history.runs[WINDY].metrics("quality")

    def test_steps_by_hand(self, history: History, tmp_path: Path) -> None:
        """Given the steps run one after the other without orchestrator, then all data is the same byte for byte."""
        pipeline = Pipeline(tmp_path)
        pipeline.deliver(*HISTORY)
        assert by_hand(tmp_path, *STEPS) == [(step, 0, "") for step in STEPS]
        tops = ("dimensions", "bronze", "clean", "quarantine", "quality", "silver", "gold", "report")
        assert below(files_in(pipeline.data), *tops) == below(files_in(history.pipeline.data), *tops)


class TestKey:
    """The key that a step prints is in no log."""

    def test_masked_in_the_log(self, history: History) -> None:
        """Given the step that prints its key, then its log has the line, masked."""
        logs = [path for path in history.pipeline.logs() if path.name.startswith("bronze_flights.")]
        assert len(logs) == len(HISTORY)
        for path in logs:
            assert "debug: asking the archive with key ***\n" in path.read_text(encoding="utf-8")

    def test_nowhere_else(self, history: History, repair: Repair) -> None:
        """Given good and failed runs, then no log, no ledger, no report and no data has the key; only `.env` has it."""
        for pipeline in (history.pipeline, repair.pipeline):
            everything = files_in(pipeline.folder)
            assert sum(name.endswith(".log") for name in everything) > 10
            assert [name for name, content in everything.items() if KEY.encode() in content] == [".env"]

    def test_required(self, tmp_path: Path) -> None:
        """Given an empty key, as the example's file leaves it, then the run is refused and nothing starts."""
        pipeline = Pipeline(tmp_path)
        (tmp_path / ".env").write_bytes((EXAMPLE / ".env.example").read_bytes())
        pipeline.deliver(FORMER[0])
        done = program("run", cwd=tmp_path)
        assert done.returncode == 2, done
        assert "FLIGHTS_API_KEY" in done.stdout + done.stderr
        assert {path.name for path in pipeline.data.iterdir()} == {"raw"}


class TestBrokenDelivery:
    """A damaged file stops at the gate, and its repair leaves no trace."""

    def test_fails_at_the_gate(self, repair: Repair) -> None:
        """Given a broken file, then `quality` fails with exit code 1, and all behind it is skipped for that."""
        assert (repair.failed.result["status"], repair.failed.result["exit_code"]) == ("failed", 1)
        assert repair.failed.result["root_cause"]["step"] == "quality"
        assert repair.failed.statuses == {
            "bronze_flights": "succeeded",
            "bronze_weather": "succeeded",
            "dimensions": "skipped",
            "quality": "failed",
            **dict.fromkeys(BEHIND_THE_GATE, "skipped"),
        }
        assert {step: repair.failed.reasons[step] for step in BEHIND_THE_GATE} == dict.fromkeys(
            BEHIND_THE_GATE, "upstream_failed"
        )

    def test_says_why(self, repair: Repair) -> None:
        """Given a broken file, then message and metrics say how many rows are bad, where they are, and what to do."""
        rows = len(by_night("flights")[BROKEN])
        bad = rows - int(0.4 * rows)
        assert repair.failed.message("quality") == (
            f"flights of {BROKEN}: {bad} of {rows} rows ({bad / rows:.1%}) are broken, allowed are 5.0% ({bad} unreadable); "
            f"look at data/quarantine/flights/{BROKEN}.csv and ask for the delivery again"
        )
        metrics = repair.failed.metrics("quality")
        assert (metrics["rows"], metrics["quarantined"]) == (rows + len(by_night("weather")[BROKEN]), bad)
        quarantined = repair.between[f"quarantine/flights/{BROKEN}.csv"].decode().splitlines()
        assert quarantined[0].startswith("reason,year,")
        assert len(quarantined) == 1 + bad
        assert {line.partition(",")[0] for line in quarantined[1:]} == {"unreadable"}

    def test_is_not_tried_again(self, repair: Repair) -> None:
        """Given a broken file, then the gate tries once: a second attempt would not help."""
        [gate] = [step for step in repair.failed.detail["steps"] if step["step"] == "quality"]
        [attempt] = gate["attempts"]
        assert attempt["error_class"] == "permanent"

    def test_former_nights_stay(self, repair: Repair) -> None:
        """Given a broken file, then all clean rows and all behind the gate are as before, but for the weather of that night."""
        tops = ("clean", "quality", "silver", "gold", "report")
        before, between = below(repair.before, *tops), below(repair.between, *tops)
        assert {name: between[name] for name in before} == before
        assert between.keys() - before.keys() == {
            f"clean/weather/{BROKEN}.parquet",
            f"quality/weather/{BROKEN}.json",
        }

    def test_repair_succeeds(self, repair: Repair) -> None:
        """Given the repair, then the next run succeeds, and the gate judges the repaired file alone."""
        assert (repair.repaired.result["status"], repair.repaired.result["exit_code"]) == ("succeeded", 0)
        assert repair.repaired.ran == {"bronze_flights", "quality", *BEHIND_THE_GATE}
        assert repair.repaired.metrics("quality") == {
            "files": 1,
            "rows": len(by_night("flights")[BROKEN]),
            "quarantined": 0,
            "removed": 0,
        }

    def test_repair_leaves_no_trace(self, repair: Repair, undisturbed: dict[str, bytes]) -> None:
        """Given the repair, then gold, report and all other data equal those of a pipeline that never saw the broken file."""
        assert below(undisturbed, "gold")
        assert below(repair.after, "gold", "report") == below(undisturbed, "gold", "report")
        assert below(repair.after, "raw", "bronze", "clean", "quarantine", "quality", "silver") == below(
            undisturbed, "raw", "bronze", "clean", "quarantine", "quality", "silver"
        )


class TestCorrections:
    """What is delivered a second time changes what depends on it, and nothing else."""

    def test_weather_missing(self, corrections: Corrections) -> None:
        """Given a night whose weather is late, then the run succeeds, and its flights are counted as without weather."""
        metrics = corrections.runs["weather missing"].metrics("silver")
        second = len(passing([FORMER[1]]))
        missing = sum(not has_weather(row) for row in passing([FORMER[0]]))
        assert metrics["missing_weather"] == second + missing

    def test_weather_late(self, corrections: Corrections) -> None:
        """Given the weather afterwards, then that one night is built again, with it."""
        run = corrections.runs["weather late"]
        assert run.ran == {"bronze_weather", "quality", *BEHIND_THE_GATE}
        assert run.metrics("silver") == expected_metrics(passing([FORMER[1]]), "first", nights=1)

    def test_same_rows_in_another_order(self, corrections: Corrections) -> None:
        """Given the same rows in another order, then bronze runs, all behind it is skipped, and no byte of data changes."""
        run = corrections.runs["reordered"]
        assert run.result["status"] == "succeeded"
        assert run.ran == {"bronze_flights", "bronze_weather"}
        assert {run.reasons[step] for step in ("quality", *BEHIND_THE_GATE)} == {"up_to_date"}
        before, after = corrections.data["weather late"], corrections.data["reordered"]
        assert before.keys() == after.keys()
        assert {name for name in before if before[name] != after[name]} == {
            f"raw/flights/{FORMER[0]}.csv",
            f"raw/weather/{FORMER[0]}.csv",
            "state/bronze_flights.json",
            "state/bronze_weather.json",
        }

    def test_broken_file_for_a_night_in_order(self, corrections: Corrections) -> None:
        """Given a broken file for a night that was in order, then the gate fails, and its clean rows stay as they were."""
        run = corrections.runs["broken"]
        assert run.statuses["quality"] == "failed"
        tops = ("clean", "quality", "silver", "gold", "report")
        assert below(corrections.data["broken"], *tops) == below(corrections.data["reordered"], *tops)
        assert below(corrections.data["broken"], "quarantine").keys() == {f"quarantine/flights/{FORMER[0]}.csv"}

    def test_the_former_file_again(self, corrections: Corrections) -> None:
        """Given the former file again, then the run succeeds, and the quarantine of the broken one is gone."""
        run = corrections.runs["whole"]
        assert run.result["status"] == "succeeded"
        tops = ("bronze", "clean", "quarantine", "quality", "silver", "gold", "report")
        assert below(corrections.data["whole"], *tops) == below(corrections.data["reordered"], *tops)
        assert not BEHIND_THE_GATE & run.ran

    def test_registry_updated(self, corrections: Corrections) -> None:
        """Given a new registry, then silver builds all nights with it, and fewer aircraft are unknown."""
        run = corrections.runs["registry updated"]
        flights = passing(FORMER)
        assert {"dimensions", "silver"} <= run.ran <= {"dimensions", *BEHIND_THE_GATE}
        assert run.metrics("silver") == expected_metrics(flights, "update", nights=2)
        assert run.metrics("silver")["unknown_planes"] < expected_metrics(flights, "first", nights=2)["unknown_planes"]

    def test_registry_resent(self, corrections: Corrections) -> None:
        """Given the same registry in another order, then only `dimensions` runs."""
        run = corrections.runs["registry resent"]
        assert run.result["status"] == "succeeded"
        assert run.ran == {"dimensions"}

    def test_night_withdrawn(self, corrections: Corrections) -> None:
        """Given a night that is taken back, then nothing behind raw knows it any more."""
        run = corrections.runs["withdrawn"]
        assert run.result["status"] == "succeeded"
        assert run.metrics("quality") == {"files": 0, "rows": 0, "quarantined": 0, "removed": 2}
        assert run.metrics("silver")["removed"] == 1
        left = corrections.data["withdrawn"]
        assert [name for name in left if str(FORMER[0]) in name] == []
        assert str(FORMER[0]).encode() not in left["report/daily.html"]


class TestYear:
    """All 365 nights at once, and what README.md says of them."""

    def test_everything_arrives(self, year: tuple[Pipeline, Run]) -> None:
        """Given the year, then all 336,776 flights but the four too fast are in silver, counted as by hand."""
        _, run = year
        assert run.result["status"] == "succeeded"
        assert run.metrics("bronze_flights")["rows"] == 336_776
        expected = expected_metrics(passing(YEAR), "update", nights=365)
        assert run.metrics("silver") == expected
        assert (expected["rows"], expected["cancelled"], expected["diverted"]) == (336_772, 8_255, 1_175)

    def test_quarantine(self, year: tuple[Pipeline, Run]) -> None:
        """Given the year, then the gate sets apart four flights and one hour of weather, each with its reason."""
        pipeline, run = year
        rows = [
            (path.parent.name, path.stem, row["reason"])
            for path in sorted((pipeline.data / "quarantine").rglob("*.csv"))
            for row in rows_of(path)
        ]
        assert rows == [
            ("flights", "2013-03-23", "impossible_speed"),
            ("flights", "2013-05-13", "impossible_speed"),
            ("flights", "2013-05-25", "impossible_speed"),
            ("flights", "2013-07-02", "impossible_speed"),
            ("weather", "2013-02-12", "impossible_wind"),
        ]
        assert run.metrics("quality")["quarantined"] == 5
        assert run.metrics("quality")["files"] == 365 + 364

    def test_figures(self, year: tuple[Pipeline, Run]) -> None:
        """Given the year, then the figures of all carriers and destinations are as computed by hand."""
        pipeline, _ = year
        flights = passing(YEAR)
        assert_figures(pipeline.data / "gold" / "carriers" / "carriers.parquet", flights, "carrier")
        assert_figures(pipeline.data / "gold" / "airports" / "destinations.parquet", flights, "dest")

    def test_unknown_destinations(self, year: tuple[Pipeline, Run]) -> None:
        """Given the year, then four destinations have no name."""
        pipeline, _ = year
        destinations = pl.read_parquet(pipeline.data / "gold" / "airports" / "destinations.parquet")
        unnamed = destinations.filter(pl.col("dest_name").is_null())["dest"].to_list()
        assert unnamed == ["BQN", "PSE", "SJU", "STT"]

    def test_limits_of_the_rules(self) -> None:
        """Given the data, then the figures that explain the rules are right: 591 mph, a gust of 67 mph, a quiet median."""
        speeds = sorted(
            int(row["distance"]) * 60 / int(row["air_time"]) for row in table("flights") if row["air_time"] != "NA"
        )
        assert [round(speed) for speed in speeds[-5:-3]] == [591, 641]
        gusts = [float(row["wind_gust"]) for row in table("weather") if row["wind_gust"] != "NA"]
        assert round(max(gusts)) == 67
        shares = sorted(sum(map(is_cancelled, rows)) / len(rows) for rows in by_night("flights").values())
        assert shares[len(shares) // 2] < 0.02

    def test_readme(self) -> None:
        """Given README.md, then each figure of its table is the one that the data gives."""
        flights = table("flights")
        used = {row["tailnum"] for row in flights} - {"NA"}
        unknown = used - registered("update")
        newest = used - registered("first")
        aircraft = f"{len(unknown)} of {len(used):,} aircraft ({len(unknown) / len(used) * 100:.0f} %)"
        airports = {row["faa"] for row in table("airports")}
        shares = [
            sum(map(is_cancelled, by_night("flights")[night])) / len(by_night("flights")[night]) for night in STORM
        ]
        hourless = Counter(
            (row["month"], row["day"])
            for row in flights
            if not has_weather(row) and (row["month"], row["day"]) != ("12", "31")
        )
        text = (EXAMPLE / "README.md").read_text(encoding="utf-8")
        for statement in (
            f"all {len(flights):,} flights",
            f"| cancelled flights | {sum(map(is_cancelled, flights)):,} |",
            f"the blizzard of 8 and 9 February: {shares[0] * 100:.0f} % and {shares[1] * 100:.0f} % cancelled | 2 nights |",
            f"| diverted flights without an arrival delay | {sum(map(is_diverted, flights)):,} |",
            f"| no weather for 31 December | {len(by_night('flights')[WITHOUT_WEATHER])} flights |",
            f"| no weather for single hours | {hourless.total()} flights of {len(hourless)} nights |",
            f"| tail numbers that the registry lacks | {aircraft}, {len(newest)} with the first registry |",
            f"| flights without a tail number | {sum(row['tailnum'] == 'NA' for row in flights):,}, all cancelled |",
            f"| four destinations that the list of airports lacks | {len({row['dest'] for row in flights} - airports)} |",
            f"| flights faster than 600 mph | {sum(map(is_too_fast, flights))} rows |",
        ):
            assert statement in text, statement
        [wind] = [row for row in table("weather") if is_too_windy(row)]
        assert f"| a wind of {float(wind['wind_speed']):,.0f} mph on {wind['day']} February | 1 row |" in text
        assert all(is_cancelled(row) for row in flights if row["tailnum"] == "NA")


class TestGate:
    """What is broken otherwise is refused with what to do about it."""

    @pytest.mark.parametrize(
        ("content", "step", "said"),
        [
            (b"", "bronze_flights", "the header is ''"),
            (b"a,b\n1,2\n", "bronze_flights", "the header is 'a,b', expected 'year,month,day"),
            (None, "quality", "flights of 2013-02-10: the file has no rows; ask for the delivery again"),
        ],
    )
    def test_file_that_is_none(self, content: bytes | None, step: str, said: str, tmp_path: Path) -> None:
        """Given an empty file, another header or a header alone, then the step that sees it fails and says what it saw."""
        pipeline = Pipeline(tmp_path)
        pipeline.deliver(FORMER[0])
        path = pipeline.raw / "flights" / f"{FORMER[0]}.csv"
        path.write_bytes(path.read_bytes().splitlines(keepends=True)[0] if content is None else content)
        done = by_hand(tmp_path, "bronze_flights", "bronze_weather", "quality")
        failed = [name for name, code, _ in done if code]
        assert failed[0] == step
        [errors] = [stderr for name, _, stderr in done if name == step]
        assert said in errors
        assert errors.startswith("failed: ")
        assert errors.count("\n") == 1

    def test_every_reason(self, tmp_path: Path) -> None:
        """Given a delivery with one defect of each kind, then each row stands in quarantine with its own reason."""
        pipeline = Pipeline(tmp_path)
        pipeline.deliver(FORMER[0])
        path = pipeline.raw / "flights" / f"{FORMER[0]}.csv"
        header, *lines = path.read_text(encoding="utf-8").splitlines()
        rows = [line.split(",") for line in lines]
        column = {name: index for index, name in enumerate(header.split(","))}
        flown = [row for row in rows if row[column["air_time"]] != "NA"]
        changes = [
            ("day", "11", "other_night"),
            ("origin", "LAX", "unknown_origin"),
            ("dep_time", "1275", "no_clock_time"),
            ("air_time", "1", "impossible_speed"),
            ("distance", "far", "unreadable"),
            ("dest", "NA", "unreadable"),
        ]
        for row, (name, value, _) in zip(flown, changes, strict=False):
            row[column[name]] = value
        rows.append(list(flown[-1]))
        path.write_text("\n".join([header, *(",".join(row) for row in rows)]) + "\n", encoding="utf-8")
        assert [code for _, code, _ in by_hand(tmp_path, "bronze_flights", "bronze_weather", "quality")] == [0, 0, 0]
        quarantined = rows_of(pipeline.data / "quarantine" / "flights" / f"{FORMER[0]}.csv")
        reasons = Counter(row["reason"] for row in quarantined)
        assert reasons == Counter([*(reason for _, _, reason in changes), "duplicate"])
        clean = pl.read_parquet(pipeline.data / "clean" / "flights" / f"{FORMER[0]}.parquet")
        assert clean.height == len(rows) - len(quarantined)

    @pytest.mark.parametrize(("limit", "code"), [("0.6", 1), ("0.61", 0)])
    def test_limit(self, limit: str, code: int, tmp_path: Path) -> None:
        """Given MAX_REJECT, then a share of broken rows just above it fails, and one below it passes."""
        pipeline = Pipeline(tmp_path)
        pipeline.deliver(FORMER[0], broken=True)
        done = by_hand(tmp_path, "bronze_flights", "bronze_weather", "quality", environment={"MAX_REJECT": limit})
        assert done[-1][1] == code

    def test_broken_night_withdrawn(self, tmp_path: Path) -> None:
        """Given a broken night that is taken back, then its quarantine goes with it."""
        pipeline = Pipeline(tmp_path)
        pipeline.deliver(FORMER[0])
        pipeline.deliver(FORMER[1], broken=True)
        assert by_hand(tmp_path, "bronze_flights", "bronze_weather", "quality")[-1][1] == 1
        assert [*files_in(pipeline.data / "quarantine")] == [f"flights/{FORMER[1]}.csv"]
        (pipeline.raw / "flights" / f"{FORMER[1]}.csv").unlink()
        assert [code for _, code, _ in by_hand(tmp_path, "bronze_flights", "quality")] == [0, 0]
        assert files_in(pipeline.data / "quarantine") == {}


def by_hand(folder: Path, *steps: str, environment: dict[str, str] | None = None) -> list[tuple[str, int, str]]:
    """Run *steps* without orchestrator; return the name, exit code and standard error of each."""
    ended = []
    for step in steps:
        done = subprocess.run(
            [sys.executable, f"steps/{step}.py"],
            cwd=folder,
            env={**os.environ, **(environment or {})},
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        ended.append((step, done.returncode, done.stderr))
    return ended
