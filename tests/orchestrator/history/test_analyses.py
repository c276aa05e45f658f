"""What is computed for the notebooks, on two years of nights of which it is known what happened."""

from __future__ import annotations

import time
from datetime import timedelta
from pathlib import Path
from typing import Any, TypeAlias

import altair as alt
import numpy as np
import pandas as pd
import pytest

from ledger.store import open_ledger
from orchestrator.history import (
    History,
    charts,
    charts_of_evidence,
    charts_of_runs,
    durations,
    evidence,
    nights,
    replaying,
    reproducing,
    schedule,
)
from orchestrator.history.provenance import Provenance
from orchestrator.projections.read_models import ReadModels
from tests.orchestrator.history.test_history import DEFINITION, RENAMED
from tests.programs import program, value_of
from tests.quarter import Quarter
from tests.years import BROKEN, CHANGED, FIRST, FLAKY, MISSING, SLOW, Years

NIGHTS = 420
Things: TypeAlias = list[tuple[str, str, str | None]]
SECONDS_OF_A_LONG_HISTORY = 10
"""Ten times what it takes: what goes through the attempts one by one takes longer."""


@pytest.fixture(scope="module", name="history")
def _history(tmp_path_factory: pytest.TempPathFactory) -> History:
    path = tmp_path_factory.mktemp("years") / "ledger.db"
    Years(path, NIGHTS)
    return History(path, verify=False)


def on(number: int) -> pd.Timestamp:
    """Return the night *number*."""
    return pd.Timestamp(FIRST + timedelta(days=number))


class TestNights:
    """Which nights there are, and how they ended."""

    def test_calendar(self, history: History) -> None:
        """Every night has a row, also one without a run; they are those that the view of missing nights has."""
        found = nights.calendar(history.runs()).set_index("night")
        missing = [on(number) for number in MISSING if number < NIGHTS]

        assert len(found) == NIGHTS
        assert list(found.index[found["status"] == nights.MISSING]) == missing
        assert list(history.view("audit_missing_nights")["night"]) == missing
        assert set(found.index[found["status"] == "failed"]) == {on(number) for number in BROKEN if number < NIGHTS}
        assert found.loc[on(0), ["year", "week", "weekday"]].tolist() == [2024, 0, "Mon"]

    def test_choice(self, history: History) -> None:
        """Without a name it is the pipeline with the most runs; what is not there is named."""
        choice = nights.choose(history.runs(), since="2024-02-01", until="2024-02-10")
        assert choice.pipeline == "shop"
        assert len(choice.of(history.runs())) == 10
        with pytest.raises(ValueError, match="knows no pipeline 'mart': there are shop"):
            nights.choose(history.runs(), pipeline="mart")
        with pytest.raises(ValueError, match="holds no run"):
            nights.choose(history.runs().head(0))

    def test_far_nights(self, history: History) -> None:
        """Given runs for nights of other centuries, then those with the most runs are looked at, and how many are left out is said; a choice brings them back."""
        runs = history.runs()
        plain = nights.choose(runs)
        assert str(plain) == f"pipeline shop, {on(0):%d %b %Y} to {plain.until:%d %b %Y}"
        far = runs.head(2).assign(night=[pd.Timestamp("0001-01-01"), pd.Timestamp("9999-12-31")])
        choice = nights.choose(pd.concat([far, runs]))
        assert (choice.since, choice.until, choice.left_out) == (plain.since, plain.until, 2)
        assert "2 runs are left out: more than 20 years from the others" in str(choice)
        assert len(nights.calendar(choice.of(pd.concat([far, runs])))) == NIGHTS
        last = nights.choose(pd.concat([far, runs]), since="2200-01-01")
        assert (last.left_out, last.until, len(last.of(far))) == (0, pd.Timestamp("9999-12-31"), 1)
        axis: Any = charts.Period(last.until, last.until, pd.DataFrame()).axis().to_dict()
        assert axis["scale"]["domain"][1] == "9999-12-31"
        few = nights.choose(pd.concat([far, runs.tail(1)]))
        assert few.since == few.until == runs["night"].iloc[-1]

    def test_lateness_and_age(self, history: History) -> None:
        """Results are there some hours after midnight; data is as old as its last change, and older after a missing night."""
        runs = history.runs()
        late = nights.lateness(runs)
        assert late["hours"].between(2, 3).all()
        age = nights.data_age(history.datasets(), nights.calendar(runs)).set_index(["dataset", "night"])["age"]
        assert age["gold", on(99)] == 0
        assert age["gold", on(101)] == 2
        assert nights.calendar(runs.head(0)).empty


class TestDurations:
    """Trends, anomalies, periods."""

    def test_the_slow_night_stands_out(self, history: History) -> None:
        """Of hundreds of nights that vary, the one that took three times as long is an anomaly, and few others are."""
        trend = durations.with_trend(durations.run_durations(history.attempts()))
        found = trend[trend["anomaly"]]

        assert on(SLOW) in set(found.loc[found["step"] == "join", "night"])
        assert len(found) < len(trend) / 100 * 5

    def test_steps_that_are_left_out_are_counted(self, history: History) -> None:
        """Given more steps than there is room for, then the longest are drawn, and the title says how many are not."""
        runs = history.runs()
        period = charts.period_of(on(0), on(NIGHTS - 1), history.view("audit_definition_changes"), runs)
        trend = durations.with_trend(durations.run_durations(history.attempts()))
        told: Any = [
            charts_of_runs.durations_chart(trend, period, most=most).to_dict()["title"]["subtitle"][0]  # type: ignore[union-attr]
            for most in (3, 4)
        ]
        assert told[0] == "the 3 steps that take longest; 1 more are in the table of periods"
        assert told[1].startswith("grey: ")

    def test_periods(self, history: History) -> None:
        """The step that became quicker is told from those that vary; the definition changed at that night."""
        runs = history.runs()
        changes = history.view("audit_definition_changes")
        period = charts.period_of(on(0), on(NIGHTS - 1), changes, runs)
        trend = durations.run_durations(history.attempts())
        split = durations.split_night(trend, period.changes)
        table = durations.compare_periods(trend, split).set_index("step")

        assert split == on(CHANGED)
        assert period.changes.to_dict("records") == [{"night": on(CHANGED), "label": "1 change"}]
        assert table.loc["clean", "beyond_noise"]
        assert table["change_percent"].between(-50, -20).to_dict() == {
            "clean": True,
            "join": False,
            "load": False,
            "report": False,
        }
        assert durations.split_night(trend, period.changes, "2024-03-01") == pd.Timestamp("2024-03-01")
        assert durations.split_night(trend.head(0), period.changes) == pd.Timestamp("1970-01-01")
        assert durations.split_night(trend, period.changes.head(0)) > on(NIGHTS // 2 - 5)
        assert durations.compare_periods(trend.head(0), split).empty


class TestTables:
    """What people read of a dataframe."""

    def test_headings_may_be_broken(self) -> None:
        """Given short values below a long heading, then the values stay on one line and the heading need not, so that no column is cut off."""
        shown = charts.table(pd.DataFrame({"a_long_heading": [1]}), "").to_html()
        (rule,) = [line for line in shown.replace("}", "}\n").split("#") if "nowrap" in line]
        assert " td.col0 {" in rule


class TestRecording:
    """Axes of the moments at which events were recorded."""

    def test_changes_of_the_definition_are_marked(self, history: History) -> None:
        """Given a definition that changed once, then what is drawn over the time of recording has a line there, with its words; the first definition is none."""
        recording = charts.recording_of(history.view("audit_definition_changes"))
        seals = history.view("audit_checkpoints")
        moments = evidence.sealing(history.events(columns=["seq", "recorded_at"]), seals)

        assert [f"{moment:%Y-%m-%d}" for moment in recording.changes["recorded_at"]] == [f"{on(CHANGED):%Y-%m-%d}"]
        assert list(recording.changes["label"]) == ["shop: 1 change"]
        for chart in (
            charts_of_evidence.sealing_chart(moments, seals, recording),
            charts_of_evidence.actions_chart(history.view("audit_manual_actions"), recording),
        ):
            assert isinstance(chart, alt.LayerChart)
            assert lines_of(chart) == {"rule": 1, "text": 1}

    def test_many_and_none(self) -> None:
        """Given more changes than there is room for words, then lines alone; given thousands, the newest; given none, the chart as it is."""
        changes = pd.DataFrame(
            {
                "pipeline": "shop",
                "before": "x",
                "differences": 2,
                "recorded_at": pd.date_range("2024-01-01", periods=500, tz="UTC"),
            }
        )
        chart = alt.Chart(changes).mark_point().encode(x=charts.recording_of(changes).axis())

        assert lines_of(charts.recording_of(changes.head(12)).over(chart)) == {"rule": 12, "text": 12}
        assert lines_of(charts.recording_of(changes.head(13)).over(chart)) == {"rule": 13}
        assert lines_of(charts.recording_of(changes).over(chart)) == {"rule": 400}
        assert list(charts.recording_of(changes.head(2)).changes["label"]) == ["shop: 2 changes"] * 2
        nothing = charts.recording_of(changes.head(0))
        assert nothing.over(chart) is chart


def lines_of(chart: charts.Chart) -> dict[str, int]:
    """Return how many rules and texts the marks of *chart* draw, by the rows of their data."""
    whole: Any = chart.to_dict()
    found: dict[str, int] = {}

    def walk(layer: dict[str, Any], data: str | None) -> None:
        data = layer.get("data", {}).get("name", data)
        mark = layer.get("mark", {})
        if data is not None and isinstance(mark, dict) and mark.get("type") in {"rule", "text"}:
            found[mark["type"]] = len(whole["datasets"][data])
        for inner in layer.get("layer", ()):
            walk(inner, data)

    walk(whole, None)
    return found


class TestReplaying:
    """From recorded runs to other numbers of places."""

    def test_places(self, history: History) -> None:
        """Two of the four steps can run side by side: a second place gains, a third one does not."""
        attempts = history.attempts()
        runs = replaying.last_runs(attempts, 20)
        tasks = replaying.tasks_of_runs(attempts, history.graph(runs))
        table = replaying.places_table(list(tasks.values())).set_index("places")["median"]

        assert list(tasks) == runs
        assert table[1] > table[2] * 1.1
        assert table[2] == table[3] == table[4]
        assert replaying.places_used(history.events(types=["run.started"]), runs[-1]) == 1
        assert replaying.last_attempted(attempts) == runs[-1]

    def test_nothing_to_replay(self, history: History) -> None:
        """Without runs there is no table, and no run to look at."""
        none = history.attempts().head(0)
        assert replaying.places_table([[]]).empty
        assert replaying.last_attempted(none) == ""
        assert replaying.tasks_of_runs(none, history.graph([])) == {}
        assert replaying.places_used(history.events(types=["run.started"]), "none") == 0
        assert replaying.retries_table(none, history.view("audit_failures").head(0)).empty

    @pytest.mark.parametrize(("used", "told"), [(1, "the 1 place that"), (2, "the 2 places that")])
    def test_places_are_counted(self, used: int, told: str) -> None:
        """One place is one place."""
        table = replaying.places_table([[schedule.Task("a", 1.0)]])
        assert told in charts_of_runs.places_chart(table, used=used).to_dict()["title"]["subtitle"][0]  # type: ignore[union-attr]

    @pytest.mark.parametrize(("count", "points"), [(100, True), (NIGHTS, False)])
    def test_metrics_of_years(self, history: History, count: int, points: bool) -> None:  # noqa: FBT001 - of the table
        """Given years of nights, then what steps reported is a thin line, so that changes of the definition are seen behind it; given few, each has its point."""
        runs = history.runs()
        metrics = history.metrics()
        changes = history.view("audit_definition_changes")
        period = charts.period_of(on(0), on(NIGHTS), changes, runs)
        chart = charts_of_runs.metrics_chart(metrics[metrics["night"] < on(count)], period).to_dict()  # type: ignore[union-attr]
        marks = [layer["mark"] for part in chart["concat"] for layer in part["layer"] if "mark" in layer]
        lines = [mark for mark in marks if mark["type"] == "line"]
        assert len(lines) == 8
        assert {"point" in mark for mark in lines} == {points}

    def test_retries(self, history: History) -> None:
        """What was attempted again is told from what the step failed with."""
        table = replaying.retries_table(history.attempts(), history.view("audit_failures")).set_index("step")
        flaky = len([number for number in FLAKY if number < NIGHTS and number not in MISSING])
        assert table.loc["load", ["cause", "failed", "attempted_again"]].tolist() == ["exit 75", flaky, flaky]
        assert table.loc["join", ["failed", "attempted_again"]].tolist() == [1, 0]


class TestEvidence:
    """What an auditor asks."""

    def test_sealing(self, history: History) -> None:
        """Events are open until the run is over, and sealed then."""
        seals = history.view("audit_checkpoints")
        moments = evidence.sealing(history.events(columns=["seq", "recorded_at"]), seals)
        assert moments["unsealed"].max() > 10
        assert moments["unsealed"].iloc[-1] == 0
        assert evidence.seal_table(seals)["checkpoints"].tolist() == [len(history.runs())]

    def test_sealing_of_long_histories_falls_to_nothing(self, history: History) -> None:
        """Given more moments than a picture has room for, then each stretch of time has the fewest and the most: what was sealed each night is seen to be sealed."""
        seals = history.view("audit_checkpoints")
        moments = evidence.sealing(history.events(columns=["seq", "recorded_at"]), seals)
        drawn = evidence.outline(moments, 100)

        assert len(drawn) <= 101 < len(moments)
        assert drawn["recorded_at"].is_monotonic_increasing
        assert drawn["most"].max() == moments["unsealed"].max()
        assert drawn["fewest"].max() == 0
        never = evidence.outline(evidence.sealing(history.events(columns=["seq", "recorded_at"]), seals.head(1)), 100)
        assert never["fewest"].iloc[-1] == never["most"].iloc[-1] > 1000
        few = evidence.outline(moments.head(150), 100)
        assert (
            few["fewest"].tolist() == few["most"].tolist() == [*moments["unsealed"].head(150), moments["unsealed"][149]]
        )

    def test_no_skip_is_no_right_skip(self) -> None:
        """Given a ledger in which the program decided no skip, then that is said, and not that all are right."""
        assert evidence.SkipCheck(0, 0, 0, [])._repr_markdown_().startswith("**There was no skip to recompute.**")
        assert evidence.SkipCheck(1, 0, 0, [])._repr_markdown_().startswith("**All skips are right.**")

    def test_masked(self, history: History) -> None:
        """Secrets are counted by name."""
        masked = evidence.masked_secrets(history.attempts())
        assert set(masked["secret"]) == {"API_KEY"}
        assert masked["night"].tolist() == [on(number) for number in range(0, NIGHTS, 60)]

    def test_exhibit(self, history: History) -> None:
        """Every event of a run is proved; what cannot be is said."""
        run = evidence.last_sealed_run(history.runs(), history.view("audit_checkpoints"))
        shown = evidence.exhibit(history, run)
        assert shown.problem is None
        assert shown.events["type"].iloc[[0, -1]].tolist() == ["run.started", "run.finished"]
        assert (shown.events["hashes"] > 0).all()
        assert "**Proved**" in shown._repr_markdown_()
        assert shown.proof.startswith("c2sp.org/tlog-proof")
        assert evidence.exhibit(history, "none").problem == "no ledger of the chain holds it"

    def test_not_sealed(self, tmp_path: Path) -> None:
        """A run that no checkpoint covers has no proof yet, and altered events have none at all."""
        with Quarter(tmp_path / "ledger.db") as quarter:
            run = quarter.at("2026-01-01").run("2026-01-01")
        history = History(tmp_path, verify=False)
        assert "no checkpoint covers all of it yet" in evidence.exhibit(history, run)._repr_markdown_()
        assert evidence.last_sealed_run(history.runs(), history.view("audit_checkpoints")) == ""

    def test_actions(self, tmp_path: Path) -> None:
        """Who did what and why; what has no reason is counted."""
        with Quarter(tmp_path / "ledger.db") as quarter:
            quarter.live_through()
        history = History(tmp_path)
        actions = history.view("audit_manual_actions")
        table = evidence.actions_table(actions)
        assert "alice on etl1" in set(table["who"])
        assert evidence.without_reason(actions)["times"].sum() == len(actions)
        assert evidence.problem_table(history.verdict)["detail"].str.contains("blob").any()
        assert evidence.level_table(None).empty
        assert "does not verify" in Provenance(history.runs().attrs).verdict
        skips = evidence.check_skips(history)
        assert "skips" in skips._repr_markdown_()


class TestReproducing:
    """What made the results."""

    def test_spans_and_changes(self, history: History) -> None:
        """The definition changed once, the code of every step once."""
        spans = reproducing.spans(reproducing.started_with(history)).groupby("aspect")["turn"].max()
        changes = reproducing.changes_of(reproducing.material(history))
        assert spans["definition"] == 1
        assert spans["host"] == 0
        assert changes.groupby("night")["step"].nunique().to_dict() == {on(250): 4}
        assert set(changes["kind"]) == {"code"}
        assert reproducing.spans(reproducing.started_with(history).head(0)).empty

    def test_what_is_removed_and_what_comes_back(self) -> None:
        """Given attempts whose material loses something, gains something, and has it back as it was, then each is a change of the attempt that was first without or with it."""
        a, b, x = (
            ("code", "a.py", f"sha256:{'1' * 64}"),
            ("code", "b.py", f"sha256:{'2' * 64}"),
            ("variables", "X", '{"value":"1"}'),
        )
        y = ("variables", "X", '{"value":"2"}')
        made = attempts_with([a, b, x], [a], [a, b, y], [a, b, y], [b, x])

        found = reproducing.changes_of(made)
        assert found[["run_id", "name", "change", "before", "after"]].fillna("-").to_numpy().tolist() == [
            ["1", "b.py", "removed", "2" * 8, "-"],
            ["1", "X", "removed", '{"value":"1"}', "-"],
            ["2", "b.py", "added", "-", "2" * 8],
            ["2", "X", "added", "-", '{"value":"2"}'],
            ["4", "a.py", "removed", "1" * 8, "-"],
            ["4", "X", "changed", '{"value":"2"}', '{"value":"1"}'],
        ]
        assert found["night"].dt.day.tolist() == [2, 2, 3, 3, 5, 5]
        assert set(found["step"]) == {"s"}
        assert reproducing.changes_of(made.head(0)).empty
        assert list(reproducing.changes_of(made.head(0))) == list(found)

    def test_steps_and_pipelines_are_compared_with_themselves(self) -> None:
        """Given two steps and two pipelines whose attempts take turns, then what one has and another has not is no change; nor is it where a value is not known."""
        even: Things = [("code", "a.py", "sha256:1"), ("command", "cwd", None)]
        odd: Things = [("code", "b.py", "sha256:2")]
        made = attempts_with(even, odd, even, odd, even, odd)
        for apart in ("step", "pipeline"):
            turns = made.assign(**{apart: made["run_id"].map(lambda run: "even" if int(run) % 2 == 0 else "odd")})
            assert reproducing.changes_of(turns).empty

    def test_changes_of_a_long_history(self) -> None:
        """Given tens of thousands of attempts with ten things each, then they are compared in seconds."""
        many, things = 20_000, 10
        rows = np.arange(many * things)
        run = rows // things
        made = pd.DataFrame({
            "run_id": run.astype("str"), "pipeline": "p", "night": pd.Timestamp("2026-01-01"), "step": "s", "attempt": 1,
            "kind": "code", "name": (rows % things).astype("str"), "value": (run // 1000).astype("str"),
            "recorded_at": pd.Timestamp("2026-01-01", tz="UTC") + pd.to_timedelta(run, unit="s"),
        })  # fmt: skip
        before = time.process_time()
        assert len(reproducing.changes_of(made)) == (many // 1000 - 1) * things
        assert time.process_time() - before < SECONDS_OF_A_LONG_HISTORY

    def test_varying(self) -> None:
        """Other bytes under one key are the step's own doing; what was made once says nothing."""
        attempts = pd.DataFrame({"run_id": list("abcd"), "step": "s", "attempt": 1, "key": ["k", "k", "k", "m"]})
        data = pd.DataFrame({"run_id": list("aabbccd"), "step": "s", "attempt": 1, "use": "writes", "dataset": list("xyxyxyx"), "digest": ["1", "2", "1", "3", "1", "2", "9"]})  # fmt: skip
        table = reproducing.varying(attempts, data).set_index("dataset")
        assert table["verdict"].to_dict() == {"y": "varies", "x": "the same bytes"}
        assert table.loc["x", ["keys_used_again", "made"]].tolist() == [1, 3]


def attempts_with(*materials: Things) -> pd.DataFrame:
    """Return the rows of attempts of one step, a night and a run each, with the given kinds, names and values."""
    rows = [
        (str(number), "p", pd.Timestamp("2026-01-01") + pd.Timedelta(days=number), "s", 1, *thing)
        for number, things in enumerate(materials)
        for thing in things
    ]
    frame = pd.DataFrame(rows, columns=["run_id", "pipeline", "night", "step", "attempt", "kind", "name", "value"])
    return frame.assign(recorded_at=frame["night"].dt.tz_localize("UTC")).astype({"value": "str"})


def test_environment_and_verdict(tmp_path: Path) -> None:
    """Given a run that was reproduced, then its environment, the verdict and the steps that were run again are there, and it is no night of its own."""
    (tmp_path / "raw").mkdir()
    (tmp_path / "raw/1.csv").write_text("1\n", encoding="utf-8")
    (tmp_path / "pipeline.toml").write_text(DEFINITION, encoding="utf-8")
    value_of(program("run", "--json", "--for", "2026-01-01", cwd=tmp_path))
    assert program("reproduce", "latest", cwd=tmp_path).returncode == 0
    history = History(tmp_path / ".orchestrate", verify=False)

    assert reproducing.verdicts(history)[["verdict", "pipeline"]].to_numpy().tolist() == [["identical", "shop"]]
    steps = reproducing.verdicts_of_steps(history)
    assert reproducing.steps_of_verdicts(steps).to_dict("records") == [
        {"step": "load", "verdict": "identical", "times": 1}
    ]
    spans = reproducing.spans(reproducing.started_with(history)).set_index("aspect")["value"]
    assert spans["python"].startswith("cpython 3.")
    assert {"environment", "platform", "packages"} <= set(spans.index)
    assert len(history.runs()) == 1


def test_verdicts_have_present_names(tmp_path: Path) -> None:
    """Given a run whose step and dataset were renamed after it was reproduced, and that is reproduced once more, then both verdicts name them as attempts do."""
    (tmp_path / "raw").mkdir()
    (tmp_path / "raw/1.csv").write_text("1\n", encoding="utf-8")
    runs: list[str] = []
    for night, text in (("2026-01-01", DEFINITION), ("2026-01-02", RENAMED)):
        varying = text.replace("cp raw/* bronze/", "cp raw/* bronze/; echo $ORCHESTRATE_RUN_ID > bronze/run")
        (tmp_path / "pipeline.toml").write_text(varying, encoding="utf-8")
        runs.append(value_of(program("run", "--json", "--for", night, cwd=tmp_path))["run_id"])
        assert program("reproduce", runs[0], cwd=tmp_path).returncode == 1
    history = History(tmp_path / ".orchestrate", verify=False)
    verdicts, steps = reproducing.verdicts(history), reproducing.verdicts_of_steps(history)

    assert set(history.attempts()["step"]) == {"ingest", "report"}
    assert (
        verdicts[["first_step", "first_dataset", "pipeline"]].to_numpy().tolist() == [["ingest", "copper", "store"]] * 2
    )
    assert set(steps["pipeline"]) == {"store"}
    assert set(reproducing.steps_of_verdicts(steps)["step"]) == {"ingest"}


def test_empty_ledger(tmp_path: Path) -> None:
    """A ledger without a run has no choice to make; where nothing was reproduced there is no verdict."""
    open_ledger(tmp_path / "ledger.db", projections=[ReadModels()]).close()
    history = History(tmp_path, verify=False)
    assert reproducing.verdicts(history).empty
    assert reproducing.steps_of_verdicts(reproducing.verdicts_of_steps(history)).empty
    assert "Nobody verified" in Provenance(history.runs().attrs).verdict
