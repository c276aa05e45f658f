"""Tests of `orchestrate check`: what a second cron and monitoring get to know, with their exit codes."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path

import pytest

from ledger import open_ledger
from orchestrator.cli.app import run_command
from tests.programs import (
    Done,
    Json,
    ended,
    kill,
    ledger_of,
    no_traceback,
    pid_in,
    program,
    program_at,
    refused,
    started,
    value_of,
)

NIGHTLY = '[pipeline]\nname = "p"\n[schedule]\ncron = "30 2 * * *"\n[steps.a]\nshell = "test ! -e broken"\n'
PLAIN = '[pipeline]\nname = "p"\n[steps.a]\nshell = "test ! -e broken"\n'
FRESH = (
    '[pipeline]\nname = "p"\n[env.vars]\nRAW = { default = "raw" }\n[datasets.raw]\npath = "${RAW}"\n'
    'fresh_within = { warn = "26h", error = "50h" }\n[datasets.out]\npath = "out"\nfresh_within = { error = "1h" }\n'
    '[steps.a]\nshell = "mkdir -p out; cp raw/* out/"\nreads = ["raw"]\nwrites = ["out"]\n'
)


def define(folder: Path, text: str = NIGHTLY) -> Path:
    """Write a definition."""
    folder.mkdir(exist_ok=True)
    (folder / "pipeline.toml").write_text(text, encoding="utf-8")
    return folder


def checked(done: Done, code: int) -> Json:
    """Return the value of `check --json`, which ended with *code*."""
    value: Json = value_of(done, "check", code=code)
    assert value["exit_code"] == code
    return value


def kinds(value: Json) -> list[str]:
    """Return what was found."""
    return [finding["kind"] for finding in value["findings"]]


@pytest.fixture
def nightly(tmp_path: Path) -> Path:
    """Give the folder of a nightly pipeline that ran on the fifth and the sixth of January 2026."""
    define(tmp_path)
    for day in ("05", "06"):
        assert program_at(f"2026-01-{day} 02:30", "run", "-q", cwd=tmp_path).returncode == 0
    return tmp_path


class TestNights:
    """What a schedule says is due."""

    def test_all_is_well(self, nightly: Path) -> None:
        """Given the last night that was due, then exit 0, and with --quiet not a word."""
        done = program_at("2026-01-06 09:00", "check", cwd=nightly)
        assert done.returncode == 0
        assert re.fullmatch("p: on time, last success 6h(29|30)m ago, night 2026-01-06\n", done.stdout)
        done = program_at("2026-01-06 09:00", "check", "-q", cwd=nightly)
        assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
        assert checked(program_at("2026-01-06 09:00", "check", "--json", cwd=nightly), 0)["status"] == "ok"

    def test_one_missing_night(self, nightly: Path) -> None:
        """Given a night that never ran, then exit 6, the night is named, and what is to be typed; that then mends it."""
        done = program_at("2026-01-07 09:00", "check", "-q", cwd=nightly)
        expected = "p: 1 night without a run: 2026-01-07\n  next: orchestrate run --for 2026-01-07\n"
        assert (done.returncode, done.stdout) == (6, expected)
        shown = program_at("2026-01-07 09:00", "status", cwd=nightly).stdout
        assert "\n  next night due: 2026-01-08 02:30:00Z\n  nights without a run: 2026-01-07\n" in shown
        assert shown.endswith("\n  next: orchestrate run --for 2026-01-07\n")
        assert program_at("2026-01-07 09:05", "run", "-q", "--for", "2026-01-07", cwd=nightly).returncode == 0
        assert program_at("2026-01-07 09:06", "check", "-q", cwd=nightly).returncode == 0

    def test_several_missing_nights(self, nightly: Path) -> None:
        """Given three, then one command for all of them; nights before the schedule are none."""
        value = checked(program_at("2026-01-09 09:00", "check", "--json", cwd=nightly), 6)
        (finding,) = value["findings"]
        assert (finding["kind"], finding["nights"]) == ("missing_nights", ["2026-01-09", "2026-01-08", "2026-01-07"])
        assert finding["next"] == ["orchestrate backfill --since 2026-01-07 --until 2026-01-09"]
        assert value["pipelines"][0]["schedule"]["next"] == "2026-01-10T02:30:00.000000Z"

    def test_refused_start_is_no_run(self, nightly: Path) -> None:
        """Given a start that was refused, then its night is missing all the same."""
        assert program_at("2026-01-07 02:30", "run", "--env-file", "nowhere", cwd=nightly).returncode == 2
        assert kinds(checked(program_at("2026-01-07 09:00", "check", "--json", cwd=nightly), 6)) == ["missing_nights"]

    def test_failed_night_is_failed_and_not_missing(self, nightly: Path) -> None:
        """Given a night that failed, then it is named with its remedy, until somebody acknowledges it."""
        (nightly / "broken").touch()
        assert program_at("2026-01-07 02:30", "run", "-q", cwd=nightly).returncode == 1
        (finding,) = checked(program_at("2026-01-07 09:00", "check", "--json", cwd=nightly), 6)["findings"]
        assert (finding["kind"], finding["nights"]) == ("failed_nights", ["2026-01-07"])
        assert finding["message"] == "1 night did not end well: 2026-01-07"
        assert "orchestrate run --for 2026-01-07" in finding["next"]
        assert program_at("2026-01-07 09:01", "ack", "latest", cwd=nightly).returncode == 0
        assert program_at("2026-01-07 09:02", "check", "-q", cwd=nightly).returncode == 0

    def test_schedule_that_is_given_up(self, nightly: Path) -> None:
        """Given a definition without its schedule, then nothing is due any more, and only an age can be asked for."""
        define(nightly, PLAIN)
        assert program_at("2026-01-09 12:00", "run", "-q", cwd=nightly).returncode == 0
        value = checked(program_at("2026-01-20 09:00", "check", "--json", cwd=nightly), 2)
        assert (value["status"], kinds(value)) == ("unknown", ["unjudged"])
        assert kinds(
            checked(program_at("2026-01-20 09:00", "check", "--json", "--max-age", "26h", cwd=nightly), 6)
        ) == ["too_old"]
        assert program_at("2026-01-20 09:00", "check", "--max-age", "20d", cwd=nightly).returncode == 0

    def test_renamed_pipeline(self, nightly: Path) -> None:
        """Given another name with `formerly`, then nothing is due under the former one."""
        define(nightly, NIGHTLY.replace('name = "p"', 'name = "q"\nformerly = ["p"]'))
        assert program_at("2026-01-07 02:30", "run", "-q", cwd=nightly).returncode == 0
        value = checked(program_at("2026-01-07 09:00", "check", "--json", cwd=nightly), 0)
        assert [row["pipeline"] for row in value["pipelines"]] == ["q"]
        entries = value_of(program_at("2026-01-09 09:00", "status", "--json", cwd=nightly), "status")
        assert {entry["pipeline"]: entry["missing_nights"] for entry in entries} == {
            "p": [],
            "q": ["2026-01-09", "2026-01-08"],
        }

    def test_night_in_which_the_clock_is_changed(self, tmp_path: Path) -> None:
        """Given 02:30 in Berlin, which is not there on one night and there twice on another, then each is due once."""
        define(tmp_path, NIGHTLY.replace('cron = "30 2 * * *"', 'cron = "30 2 * * *"\ntimezone = "Europe/Berlin"'))
        for day, night in (("2026-03-28 01:30", "2026-03-29 01:00"), ("2026-10-24 00:30", "2026-10-25 00:30")):
            assert program_at(day, "run", "-q", cwd=tmp_path).returncode == 0
            assert program_at(f"{night[:10]} 12:00", "status", "--json", cwd=tmp_path).returncode == 0
            value = checked(program_at(f"{night[:10]} 12:00", "check", "--json", cwd=tmp_path), 6)
            assert value["findings"][0]["nights"][0] == night[:10]
            assert program_at(night, "run", "-q", cwd=tmp_path).returncode == 0
        nights = checked(program_at("2026-10-25 12:00", "check", "--json", cwd=tmp_path), 6)["findings"][0]["nights"]
        assert not {"2026-03-29", "2026-10-25"} & set(nights)


class TestNothingRan:
    """What is not there is stale, not fine."""

    def test_no_ledger(self, tmp_path: Path) -> None:
        """Given a folder in which no night has ever run, then exit 6 and the first command to type."""
        define(tmp_path)
        done = program("check", "-q", cwd=tmp_path)
        path = tmp_path / ".orchestrate" / "ledger.db"
        assert (done.returncode, done.stdout) == (
            6,
            f"there is no ledger at {path}: no night has run\n  next: orchestrate run\n",
        )
        assert kinds(checked(program("check", "--json", cwd=tmp_path), 6)) == ["no_ledger"]

    def test_empty_ledger(self, tmp_path: Path) -> None:
        """Given a ledger that holds no pipeline, then exit 6."""
        open_ledger(tmp_path / "ledger.db").close()
        assert run_command(["check", "--ledger", str(tmp_path / "ledger.db")]) == 6

    def test_only_refused(self, tmp_path: Path) -> None:
        """Given a pipeline whose starts were all refused, then it has never run."""
        define(tmp_path)
        assert program("run", "--env-file", "nowhere", cwd=tmp_path).returncode == 2
        assert kinds(checked(program("check", "--json", cwd=tmp_path), 6)) == ["never_ran"]

    def test_pipeline_that_the_shared_ledger_does_not_know(self, nightly: Path, tmp_path: Path) -> None:
        """Given a definition that has never run, while others did, then that is found, named or in the folder that one stands in."""
        new = define(tmp_path / "new", NIGHTLY.replace('"p"', '"new"'))
        shared = {"ORCHESTRATE_LEDGER": str(ledger_of(nightly))}
        here = program_at("2026-01-06 09:00", "check", "--json", cwd=new, env=shared)
        named = program_at("2026-01-06 09:00", "check", "--json", "--pipeline", "new", cwd=nightly, env=shared)
        for done in (here, named):
            assert kinds(checked(done, 6)) == ["never_ran"]
        assert (
            refused(program("check", "--json", "--pipeline", "nowhere", cwd=nightly))[0]["kind"] == "unknown_pipeline"
        )

    def test_orchestrator_that_was_killed(self, tmp_path: Path) -> None:
        """Given a run that lost its orchestrator, then exit 6: it will not end by itself."""
        define(tmp_path, NIGHTLY.replace("test ! -e broken", "echo $$ > p; mv p pid; exec sleep 60"))
        with started("run", "--for", "2026-01-31", cwd=tmp_path) as process:
            step = pid_in(tmp_path / "pid")
            assert checked(program("check", "--json", cwd=tmp_path), 0)["pipelines"][0]["alive"] is True
            process.kill()
            ended(process)
        try:
            (finding,) = checked(program("check", "--json", cwd=tmp_path), 6)["findings"]
            assert (finding["kind"], finding["next"]) == ("lost_run", ["orchestrate run --for 2026-01-31"])
        finally:
            kill(step)


class TestRestored:
    """A ledger that continues a former one."""

    def test_schedule_is_carried_over(self, nightly: Path) -> None:
        """Given a ledger restored on the seventh, then nights are due from there on, also after the definition has changed."""
        assert program_at("2026-01-06 12:00", "audit", "backup", "kept.db", cwd=nightly).returncode == 0
        ledger_of(nightly).unlink()
        done = program_at(
            "2026-01-07 12:00", "audit", "restore", "kept.db", "--replace", "--reason", "disk", cwd=nightly
        )
        assert done.returncode == 0, done.stderr
        value = checked(program_at("2026-01-09 09:00", "check", "--json", cwd=nightly), 6)
        assert value["findings"][0]["nights"] == ["2026-01-09", "2026-01-08"]
        assert value["pipelines"][0]["last_success"]["night"] == "2026-01-06"
        define(nightly, NIGHTLY.replace("30 2 * * *", "30 2 * * 5"))
        assert program_at("2026-01-09 12:00", "run", "-q", cwd=nightly).returncode == 0
        value = checked(program_at("2026-01-17 09:00", "check", "--json", cwd=nightly), 6)
        assert value["findings"][0]["nights"] == ["2026-01-16", "2026-01-08"]


class TestAge:
    """`--max-age`."""

    def test_last_success_counts(self, tmp_path: Path) -> None:
        """Given a failure after a success, then the age is that of the success."""
        define(tmp_path, PLAIN)
        assert program_at("2026-01-05 02:30", "run", "-q", cwd=tmp_path).returncode == 0
        (tmp_path / "broken").touch()
        assert program_at("2026-01-06 02:30", "run", "-q", cwd=tmp_path).returncode == 1
        value = checked(program_at("2026-01-06 09:00", "check", "--max-age", "26h", "--json", cwd=tmp_path), 6)
        assert kinds(value) == ["failed_nights", "too_old"]
        assert (
            value["findings"][1]["message"]
            == "its last success, for the night 2026-01-05, is 1d6h old, expected within 1d2h"
        )
        assert value["pipelines"][0]["age_seconds"] == pytest.approx(30.5 * 3600, abs=60)

    def test_never_succeeded(self, tmp_path: Path) -> None:
        """Given failures alone, then it has never succeeded."""
        define(tmp_path, PLAIN)
        (tmp_path / "broken").touch()
        assert program("run", "-q", cwd=tmp_path).returncode == 1
        value = checked(program("check", "--max-age", "26h", "--json", cwd=tmp_path), 6)
        assert value["findings"][1]["message"] == "it has never succeeded, expected within 1d2h"

    def test_acknowledged_failure_without_a_success(self, tmp_path: Path) -> None:
        """Given a schedule and one failure that somebody has acknowledged, then nothing is left to find, and no success is claimed."""
        define(tmp_path)
        (tmp_path / "broken").touch()
        assert program("run", "-q", cwd=tmp_path).returncode == 1
        assert program("ack", "latest", cwd=tmp_path).returncode == 0
        done = program("check", cwd=tmp_path)
        assert (done.returncode, done.stdout) == (0, "p: on time, no success yet\n")

    def test_nothing_says_when_it_is_due(self, tmp_path: Path) -> None:
        """Given neither a schedule nor an age, then it cannot be told, exit 2, unless it is left out."""
        define(tmp_path, PLAIN)
        assert program("run", "-q", cwd=tmp_path).returncode == 0
        done = program("check", "-q", cwd=tmp_path)
        assert done.returncode == 2
        assert done.stdout.startswith("p: nothing says when it is due: give --max-age, ")
        assert program("check", "-q", "--ignore", "p", cwd=tmp_path).returncode == 0
        assert refused(program("check", "--json", "--ignore", "q", cwd=tmp_path))[0]["kind"] == "unknown_name"

    def test_wrong_age(self, tmp_path: Path) -> None:
        """Given what is no duration, then exit 2."""
        assert refused(program("check", "--json", "--max-age", "soon", cwd=tmp_path))[0]["kind"] == "invalid_duration"


class TestFreshness:
    """`fresh_within` of datasets."""

    @pytest.fixture
    def fresh(self, tmp_path: Path) -> Path:
        """Give the folder of a pipeline that has just run."""
        define(tmp_path, FRESH)
        (tmp_path / "raw").mkdir()
        (tmp_path / "raw" / "a").write_text("1")
        assert program("run", "-q", cwd=tmp_path).returncode == 0
        return tmp_path

    def age(self, folder: Path, name: str, hours: int) -> None:
        """Make a file so old."""
        seconds = datetime.now(UTC).timestamp() - hours * 3600
        os.utime(folder / name, (seconds, seconds))

    def states(self, value: Json) -> dict[str, tuple[str, str]]:
        """Return state and basis by dataset."""
        return {data["dataset"]: (data["state"], data["basis"]) for data in value["pipelines"][0]["freshness"]}

    def check(self, folder: Path, code: int, *options: str) -> Json:
        """Return the value of `check --json`."""
        return checked(program("check", "--json", "--max-age", "1d", *options, cwd=folder), code)

    def test_newest_file_counts(self, fresh: Path) -> None:
        """Given files of several ages, then the newest one says how old the dataset is: fresh, then late, then stale."""
        (fresh / "raw" / "b").write_text("1")
        self.age(fresh, "raw/a", 100)
        assert self.states(self.check(fresh, 0)) == {"raw": ("fresh", "files"), "out": ("fresh", "files")}
        self.age(fresh, "raw/b", 27)
        value = self.check(fresh, 0)
        assert (value["status"], kinds(value)) == ("warning", ["stale_dataset"])
        self.age(fresh, "raw/b", 51)
        value = self.check(fresh, 6)
        assert value["findings"][0]["message"] == "dataset raw is stale: its newest file is 2d3h old, error after 2d2h"

    def test_no_file_is_stale(self, fresh: Path) -> None:
        """Given a dataset without a file, or without its folder, then it is stale."""
        (fresh / "raw" / "a").unlink()
        assert self.states(self.check(fresh, 6))["raw"] == ("error", "files")
        (fresh / "raw").rmdir()
        assert self.states(self.check(fresh, 6))["raw"] == ("error", "files")

    def test_ledger_alone(self, fresh: Path) -> None:
        """Given a ledger without its pipeline's folder, then the last success of the writer is what is known; of a source, nothing."""
        (fresh / "pipeline.toml").unlink()
        value = self.check(fresh, 2)
        assert self.states(value) == {"raw": ("unknown", "none"), "out": ("fresh", "writer")}
        (entry,) = value_of(program("status", "--json", cwd=fresh), "status")
        assert [data["state"] for data in entry["freshness"]] == ["fresh", "unknown"]
        assert "  data: out " in program("status", cwd=fresh).stdout
        assert " old (by its last writing), raw not within reach\n" in program("status", cwd=fresh).stdout

    def test_status_shows_it(self, fresh: Path) -> None:
        """Given stale data, then `status` says so, and how old all of it is."""
        self.age(fresh, "raw/a", 51)
        done = program("status", cwd=fresh)
        assert ", raw 2d3h old\n" in done.stdout
        assert "  dataset raw is stale: its newest file is 2d3h old, error after 2d2h\n" in done.stdout

    @pytest.mark.parametrize("command", ["status", "check"])
    def test_little_is_loaded(self, command: str, fresh: Path) -> None:
        """Given a schedule and `fresh_within`, then reading commands still load nothing that is large."""
        define(fresh, FRESH + '[schedule]\ncron = "30 2 * * *"\n')
        assert program("run", "-q", cwd=fresh).returncode == 0
        script = (
            "import sys; from orchestrator.cli.app import run_command; code = run_command([sys.argv[1]]);"
            " heavy = {'attr', 'attrs', 'rich', 'loguru', 'sqlite_utils', 'jsonschema'} & sys.modules.keys(); sys.exit(str(heavy) if heavy else code)"
        )
        environment = {name: value for name, value in os.environ.items() if not name.startswith("COVERAGE_")}
        done = subprocess.run(
            [sys.executable, "-c", script, command],
            cwd=fresh,
            env=environment,
            capture_output=True,
            text=True,
            check=False,
        )
        assert (done.returncode, done.stderr) == (0, "")

    def test_what_is_no_file(self, tmp_path: Path) -> None:
        """Given a dataset that is no file, and a path whose variable has no value any more, then nothing is claimed."""
        define(tmp_path, FRESH.replace('path = "${RAW}"', 'probe = ["true"]'))
        (tmp_path / "raw").mkdir()
        (tmp_path / "raw" / "a").write_text("1")
        assert program("run", "-q", cwd=tmp_path).returncode == 0
        assert self.states(self.check(tmp_path, 2))["raw"] == ("unknown", "none")


class TestNagios:
    """One line and four exit codes."""

    def line(self, done: Done, code: int) -> str:
        """Return the one line."""
        no_traceback(done)
        assert (done.returncode, done.stdout.count("\n"), done.stderr) == (code, 1, "")
        return done.stdout.rstrip("\n")

    def test_well(self, nightly: Path) -> None:
        """Given a good night, then 0, with figures."""
        line = self.line(program_at("2026-01-06 09:00", "check", "--nagios", "--max-age", "26h", cwd=nightly), 0)
        state, figures = line.split(" | ")
        assert state == "ORCHESTRATE OK - 1 pipeline on time"
        age, *others = figures.split(" ")
        assert age.startswith("'p.age'=23") and age.endswith("s;;93600;0")  # noqa: PT018 - one figure
        assert others == ["'p.missing'=0;;0;0", "'p.failed'=0;;0;0"]

    def test_missing(self, nightly: Path) -> None:
        """Given a missing night, then 2, with what to type."""
        line = self.line(program_at("2026-01-07 09:00", "check", "--nagios", cwd=nightly), 2)
        said = "ORCHESTRATE CRITICAL - p: 1 night without a run: 2026-01-07; next: orchestrate run --for 2026-01-07 | 'p.age'="
        assert line.startswith(said)

    def test_late_data(self, tmp_path: Path) -> None:
        """Given data that is only late, then 1, and the limits stand in its figure."""
        define(tmp_path, FRESH)
        (tmp_path / "raw").mkdir()
        (tmp_path / "raw" / "a").write_text("1")
        assert program("run", "-q", cwd=tmp_path).returncode == 0
        seconds = datetime.now(UTC).timestamp() - 27 * 3600
        os.utime(tmp_path / "raw" / "a", (seconds, seconds))
        line = self.line(program("check", "--nagios", "--max-age", "1d", cwd=tmp_path), 1)
        assert line.startswith("ORCHESTRATE WARNING - p: dataset raw is late: ")
        assert "s;93600;180000;0" in line

    def test_no_ledger_is_critical(self, tmp_path: Path) -> None:
        """Given no ledger, then 2 and no figures."""
        line = self.line(program("check", "--nagios", cwd=tmp_path), 2)
        assert line.startswith("ORCHESTRATE CRITICAL - there is no ledger at ")
        assert " | " not in line

    def test_what_cannot_be_told(self, tmp_path: Path) -> None:
        """Given a file that is no ledger, or a wrong option, then 3 and one line."""
        (tmp_path / "ledger.db").write_text("no ledger, and a | in it\n" * 100, encoding="utf-8")
        assert self.line(program("check", "--nagios", "--ledger", "ledger.db", cwd=tmp_path), 3).startswith(
            "ORCHESTRATE UNKNOWN - "
        )
        assert "not a duration" in self.line(program("check", "--nagios", "--max-age", "1x", cwd=tmp_path), 3)

    @pytest.mark.parametrize("wrong", [("NOSUCH",), ("--nosuch",), ("--max-age",)])
    def test_called_in_a_wrong_way(self, tmp_path: Path, wrong: tuple[str, ...]) -> None:
        """Given what `check` does not take, then 3 and one line, since 2 would say that something is critical; without --nagios it is a usage error."""
        assert self.line(program("check", "--nagios", *wrong, cwd=tmp_path), 3).startswith("ORCHESTRATE UNKNOWN - ")
        assert program("check", *wrong, cwd=tmp_path).returncode == 2

    def test_not_with_json(self, tmp_path: Path) -> None:
        """Given both forms, then exit 2."""
        assert refused(program("check", "--nagios", "--json", cwd=tmp_path))[0]["kind"] == "usage"


class TestWithoutTheExtra:
    """cronsim is not installed."""

    @pytest.fixture(autouse=True)
    def missing(self, nightly: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """Stand in the folder of the pipeline, without cronsim."""
        monkeypatch.chdir(nightly)
        monkeypatch.setitem(sys.modules, "cronsim", None)

    def test_it_cannot_be_told_and_that_is_said(self, capsys: pytest.CaptureFixture[str]) -> None:
        """Given a schedule, then exit 2 with the line that installs it; an age is judged all the same, and enough."""
        assert run_command(["check"]) == 2
        assert 'pip install "orchestrate[schedule]"' in capsys.readouterr().out
        assert run_command(["check", "--max-age", "26h"]) == 6
        assert run_command(["check", "--max-age", "36500d"]) == 0

    def test_status_shows_what_it_knows(self, capsys: pytest.CaptureFixture[str]) -> None:
        """Given a schedule, then status shows the runs, and what is missing for more."""
        assert run_command(["status"]) == 0
        assert "  knowing which nights are due needs the extra schedule: pip install" in capsys.readouterr().out

    def test_validate_warns_and_run_runs(self, capsys: pytest.CaptureFixture[str]) -> None:
        """Given a schedule, then the definition is valid, with a notice."""
        assert run_command(["validate"]) == 0
        assert "needs the extra schedule" in capsys.readouterr().err


class TestAlerts:
    """What `check` finds is told by the rules of the pipeline, once."""

    def test_missing_night_is_told_once(self, tmp_path: Path) -> None:
        """Given a night that is missing and a channel, then the second cron tells of it, and looking again tells nothing."""
        channel = '[alerts.channels.ops]\ncommand = ["/bin/sh", "-c", "cat >> told"]\n'
        raw = "[datasets.raw]\npath = 'raw'\nfresh_within = { error = '1h' }\n[steps.a]\ncommand = ['true']\nreads = ['raw']\n"
        (tmp_path / "pipeline.toml").write_text(f'[pipeline]\nname = "p"\n{channel}{raw}', encoding="utf-8")
        (tmp_path / "raw").mkdir()
        (tmp_path / "raw" / "x").touch()
        assert program("run", "-q", cwd=tmp_path).returncode == 0
        assert not (tmp_path / "told").exists()
        os.utime(tmp_path / "raw" / "x", (0, 0))

        for _ in range(2):
            assert program("check", "--max-age", "1h", cwd=tmp_path).returncode == 6
        told = (tmp_path / "told").read_text(encoding="utf-8")

        assert told.count("dataset raw") == 1, told
