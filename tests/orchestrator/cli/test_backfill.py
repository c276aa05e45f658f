"""Tests of `orchestrate backfill`: a range of nights in order, each a run of its own."""

from __future__ import annotations

import signal
from pathlib import Path

import pytest

from tests.programs import (
    Done,
    Json,
    data_of,
    ended,
    ledger_of,
    no_traceback,
    pid_in,
    program,
    refused,
    started,
    value_of,
)

TEXT = (
    '[pipeline]\nname = "p"\n[steps.a]\nper_night = true\n'
    'shell = "test ! -e broken-$ORCHESTRATE_NIGHT; echo $ORCHESTRATE_NIGHT >> ran"\n'
)
RANGE = ("--since", "2026-01-01", "--until", "2026-01-04")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Give the folder of a pipeline that has never run; a night fails where `broken-NIGHT` is there."""
    (tmp_path / "pipeline.toml").write_text(TEXT, encoding="utf-8")
    return tmp_path


def backfill(folder: Path, *options: str, code: int = 0) -> Json:
    """Return the value of `backfill --json` over the first four nights of January."""
    value: Json = value_of(program("backfill", *RANGE, "--json", *options, cwd=folder), "backfill", code=code)
    assert value["exit_code"] == code
    return value


def statuses(value: Json) -> list[str]:
    """Return what became of each night."""
    return [night["status"] for night in value["nights"]]


def ran(folder: Path) -> list[str]:
    """Return the days for which the step ran, in order."""
    path = folder / "ran"
    return [line[-2:] for line in path.read_text(encoding="utf-8").splitlines()] if path.exists() else []


class TestRange:
    """Which nights are run, and in which order."""

    def test_each_night_is_a_run_of_its_own(self, folder: Path) -> None:
        """Given four nights, then four runs in order, and steps that are counted by night run for each."""
        value = backfill(folder)
        assert statuses(value) == ["succeeded"] * 4
        assert ran(folder) == ["01", "02", "03", "04"]
        runs = data_of(ledger_of(folder), "run.started")
        assert [(run["run_id"], run["night"]) for run in runs] == [
            (night["run_id"], night["night"]) for night in value["nights"]
        ]
        assert program("audit", "verify", cwd=folder).returncode == 0

    def test_what_has_succeeded_is_left_out(self, folder: Path) -> None:
        """Given a night that has succeeded and one that failed, then the first is left out, unless --force says otherwise."""
        (folder / "broken-2026-01-03").touch()
        for day in ("02", "03"):
            program("run", "-q", "--for", f"2026-01-{day}", cwd=folder)
        (folder / "broken-2026-01-03").unlink()
        (folder / "ran").unlink()
        assert statuses(backfill(folder)) == ["succeeded", "done_before", "succeeded", "succeeded"]
        assert ran(folder) == ["01", "03", "04"]
        assert statuses(backfill(folder)) == ["done_before"] * 4
        assert statuses(backfill(folder, "--force")) == ["succeeded"] * 4
        assert ran(folder) == ["01", "03", "04", "01", "02", "03", "04"]

    def test_a_night_that_succeeded_and_then_failed_is_run(self, folder: Path) -> None:
        """Given a night whose newest run failed, then it counts as failed."""
        backfill(folder)
        (folder / "broken-2026-01-02").touch()
        program("run", "-q", "--force", "--for", "2026-01-02", cwd=folder)
        (folder / "broken-2026-01-02").unlink()
        assert statuses(backfill(folder)) == ["done_before", "succeeded", "done_before", "done_before"]

    def test_schedule_says_which_nights(self, folder: Path) -> None:
        """Given a schedule of weekdays, then the Saturday and the Sunday are no nights."""
        (folder / "pipeline.toml").write_text(TEXT + '[schedule]\ncron = "0 22 * * 1-5"\n', encoding="utf-8")
        assert [night["night"] for night in backfill(folder)["nights"]] == ["2026-01-01", "2026-01-02"]
        done = program("backfill", "--since", "2026-01-03", "--until", "2026-01-04", cwd=folder)
        assert (done.returncode, done.stdout) == (0, "no night of p is due from 2026-01-03 to 2026-01-04\n")

    def test_renamed_pipeline_keeps_its_nights(self, folder: Path) -> None:
        """Given another name with `formerly`, then nights that have succeeded under the former one are left out."""
        backfill(folder)
        text = TEXT.replace('name = "p"', 'name = "q"\nformerly = ["p"]')
        (folder / "pipeline.toml").write_text(text, encoding="utf-8")
        assert statuses(backfill(folder)) == ["done_before"] * 4

    def test_dry_run(self, folder: Path) -> None:
        """Given --dry-run, then the plan is shown and nothing is made."""
        value = backfill(folder, "--dry-run")
        assert (statuses(value), value["dry_run"]) == (["planned"] * 4, True)
        assert not ledger_of(folder).exists()
        done = program("backfill", *RANGE, "--dry-run", cwd=folder)
        assert done.stdout.splitlines()[0] == "2026-01-01  would be run"
        assert done.stdout.splitlines()[-1] == "4 nights: 4 would be run"

    def test_only(self, folder: Path) -> None:
        """Given --only, then it alone is run for each night, and a name that is none is refused."""
        (folder / "pipeline.toml").write_text(TEXT + '[steps.b]\ncommand = ["true"]\n', encoding="utf-8")
        backfill(folder, "--only", "a")
        finished = [(data["step"], data["status"]) for data in data_of(ledger_of(folder), "step.finished")]
        assert finished.count(("a", "succeeded")) == 4
        assert finished.count(("b", "skipped")) == 4
        assert refused(program("backfill", *RANGE, "--json", "--only", "c", cwd=folder))[0]["kind"] == "unknown_step"
        # A night of which only a part has run is not done.
        assert statuses(backfill(folder)) == ["succeeded"] * 4
        assert statuses(backfill(folder)) == ["done_before"] * 4


class TestFailure:
    """Nights that do not end well."""

    def test_the_command_that_goes_on_has_the_options(self, folder: Path) -> None:
        """Given a night that fails, then what is to be typed has the settings, files and steps of the range, and that of the run keeps its settings."""
        params = '[params.must]\ntype = "string"\n[params.other]\ntype = "string"\ndefault = "x"\n'
        (folder / "pipeline.toml").write_text(TEXT + params, encoding="utf-8")
        (folder / "broken-2026-01-02").touch()
        (folder / "more.env").touch(0o600)
        given = ("--only", "a", "--set", "must=1 2", "--env-file", "more.env", "--force")
        done = program("backfill", *RANGE, *given, cwd=folder)
        rest = "--only a --set 'must=1 2' --env-file more.env --force"
        assert done.stdout.splitlines()[-1] == (
            f"go on with: orchestrate backfill --since 2026-01-02 --until 2026-01-04 {rest}"
        )
        (entry,) = value_of(program("status", "--json", cwd=folder), "status")
        assert f"orchestrate resume {entry['last_run']['run_id']}" in entry["next"]
        assert not [command for command in entry["next"] if "run --for" in command]

    def test_first_failure_is_the_end(self, folder: Path) -> None:
        """Given a night that fails, then no later one is started, exit 1, and the command that goes on is shown."""
        (folder / "broken-2026-01-02").touch()
        value = backfill(folder, code=1)
        assert statuses(value) == ["succeeded", "failed", "not_reached", "not_reached"]
        done = program("backfill", *RANGE, cwd=folder)
        assert done.returncode == 1
        assert "failed: p, night 2026-01-02, run " in done.stdout
        assert done.stdout.splitlines()[-2:] == [
            "4 nights: 1 has ended well, 1 failed, 2 not reached",
            "go on with: orchestrate backfill --since 2026-01-02 --until 2026-01-04",
        ]

    def test_keep_going(self, folder: Path) -> None:
        """Given --keep-going, then later nights are run all the same, and the exit code is still 1."""
        (folder / "broken-2026-01-02").touch()
        assert statuses(backfill(folder, "--keep-going", code=1)) == ["succeeded", "failed", "succeeded", "succeeded"]
        assert ran(folder) == ["01", "03", "04"]

    @pytest.mark.parametrize(("options", "expected"), [((), "not_reached"), (("--keep-going",), "refused")])
    def test_refused_night(self, options: tuple[str, ...], expected: str, folder: Path) -> None:
        """Given a delivery that is missing for the second night, then that night is refused, with why, and exit 2."""
        text = TEXT + '[steps.b]\ncommand = ["true"]\nreads = ["raw"]\n[datasets.raw]\npath = "raw/${NIGHT}"\n'
        (folder / "pipeline.toml").write_text(text, encoding="utf-8")
        (folder / "raw" / "2026-01-01").mkdir(parents=True)
        value = backfill(folder, *options, code=2)
        assert statuses(value) == ["succeeded", "refused", expected, expected]
        assert "raw/2026-01-02 does not exist" in value["nights"][1]["problem"]
        done = program("backfill", *RANGE, *options, cwd=folder)
        assert "2026-01-02  refused: pipeline.toml:10:1: source raw: " in done.stdout

    def test_quiet(self, folder: Path) -> None:
        """Given --quiet, then good nights say nothing, and a bad one does."""
        (folder / "broken-2026-01-03").touch()
        done = program("backfill", "--since", "2026-01-01", "--until", "2026-01-02", "-q", cwd=folder)
        assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
        done = program("backfill", *RANGE, "-q", cwd=folder)
        assert done.stdout.startswith("2026-01-03  failed in ")
        assert done.stderr == ""

    def test_broken_definition_is_recorded(self, folder: Path) -> None:
        """Given a definition that is refused, then exit 2, the refusal is part of the history, and told; a dry run records and tells nothing."""
        channel = "[alerts.channels.ops]\ncommand = ['sh', '-c', 'cat >> told']\n"
        (folder / "pipeline.toml").write_text(TEXT + channel, encoding="utf-8")
        backfill(folder)
        (folder / "pipeline.toml").write_text(TEXT + "x = 1\n" + channel, encoding="utf-8")
        assert program("backfill", *RANGE, "--dry-run", cwd=folder).returncode == 2
        assert (data_of(ledger_of(folder), "run.refused"), (folder / "told").exists()) == ([], False)
        assert program("backfill", *RANGE, cwd=folder).returncode == 2
        assert len(data_of(ledger_of(folder), "run.refused")) == 1
        assert "refused" in (folder / "told").read_text(encoding="utf-8")

    def test_broken_on_the_way(self, folder: Path) -> None:
        """Given a definition that breaks in the second night, then the third is refused, no later one is tried, and what became of all is told."""
        breaks = "test $ORCHESTRATE_NIGHT != 2026-01-02 || echo x = 1 >> pipeline.toml"
        (folder / "pipeline.toml").write_text(
            f'[pipeline]\nname = "p"\n[steps.a]\nper_night = true\nshell = "{breaks}"\n', encoding="utf-8"
        )
        value = backfill(folder, "--keep-going", code=2)
        assert statuses(value) == ["succeeded", "succeeded", "refused", "not_reached"]
        assert "pipeline.toml:6:1: " in value["nights"][2]["problem"]
        assert len(data_of(ledger_of(folder), "run.refused")) == 1

    def test_storage_that_fails_on_the_way(self, folder: Path) -> None:
        """Given a ledger that cannot be written in the second night, then exit 5, and what became of the first is told."""
        breaks = "test $ORCHESTRATE_NIGHT != 2026-01-02 || mv .orchestrate/ledger.db away"
        (folder / "pipeline.toml").write_text(
            f'[pipeline]\nname = "p"\n[steps.a]\nper_night = true\nshell = "{breaks}"\n', encoding="utf-8"
        )
        value = backfill(folder, "--keep-going", code=5)
        assert statuses(value) == ["succeeded", "interrupted", "not_reached", "not_reached"]
        assert "ledger.db" in value["nights"][1]["problem"]


class TestInterrupted:
    """Somebody ends it."""

    def test_signal_ends_the_range(self, folder: Path) -> None:
        """Given Ctrl-C while the first night is on, then that run is cancelled, no other is started, also with --keep-going, and exit 130."""
        (folder / "pipeline.toml").write_text(
            '[pipeline]\nname = "p"\n[steps.a]\nshell = "echo $$ > p; mv p pid; exec sleep 60"\n', encoding="utf-8"
        )
        with started("backfill", *RANGE, "--keep-going", "--json", cwd=folder) as process:
            pid_in(folder / "pid")
            process.send_signal(signal.SIGINT)
            done = ended(process)
        value = value_of(done, "backfill", code=130)
        no_traceback(done)
        assert statuses(value) == ["cancelled", "not_reached", "not_reached", "not_reached"]
        assert len(data_of(ledger_of(folder), "run.started")) == 1

    def test_active_run(self, folder: Path) -> None:
        """Given a run that is on, then exit 4, and no night is tried after the first."""
        (folder / "pipeline.toml").write_text(
            '[pipeline]\nname = "p"\n[steps.a]\nshell = "echo $$ > p; mv p pid; exec sleep 60"\n', encoding="utf-8"
        )
        with started("run", cwd=folder) as process:
            pid_in(folder / "pid")
            value = backfill(folder, "--keep-going", code=4)
            process.send_signal(signal.SIGTERM)
            ended(process)
        assert statuses(value) == ["refused", "not_reached", "not_reached", "not_reached"]


class TestRefused:
    """Ranges that are none."""

    @pytest.mark.parametrize(
        ("since", "until", "kind"),
        [
            ("1.1.2026", "2026-01-04", "bad_night"),
            ("2026-01-01", "2026-02-30", "bad_night"),
            ("2026-01-04", "2026-01-01", "bad_range"),
            ("2026-01-04", "2999-01-01", "bad_range"),
            ("1026-01-04", "2026-01-01", "bad_range"),
            ("0001-01-01", "0001-01-02", "bad_range"),
            ("1999-01-01", "2026-01-01", "bad_range"),
        ],
    )
    def test_range(self, since: str, until: str, kind: str, folder: Path) -> None:
        """Given dates that are none or make no range, then exit 2 and nothing is made."""
        done: Done = program("backfill", "--since", since, "--until", until, "--json", cwd=folder)
        assert refused(done)[0]["kind"] == kind
        assert not ledger_of(folder).exists()

    def test_empty_reason(self, folder: Path) -> None:
        """Given a reason that cannot be recorded, then exit 2."""
        assert (
            refused(program("backfill", *RANGE, "--json", "--reason", "x" * 100_000, cwd=folder))[0]["kind"] == "usage"
        )
