"""Tests of `orchestrate run`: exit codes, what is printed where, what is refused, what ends it."""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import signal
import sqlite3
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from ledger.checkpoints import origin_of
from ledger.outside import checkpoint_folder, write_outside
from ledger.schema import ledger_identity
from ledger.verifier import Checkpoint
from orchestrator.core.tracing import span_id_of, trace_id_of
from tests.nights import BROKEN, SECRET, SHOP, write_shop
from tests.programs import (
    PROGRAM,
    Done,
    data_of,
    ended,
    events_of,
    everything_in,
    exists,
    ledger_of,
    no_traceback,
    pid_in,
    program,
    refused,
    started,
    value_of,
    wait_until,
)

SLOW = """\
[pipeline]
name = "slow"
[steps.sleeper]
shell = "echo $$ > pid.part; mv pid.part pid; echo asleep; exec sleep 60"
[steps.after]
command = ["true"]
needs = ["sleeper"]
"""
ZONE = "[env.vars]\nZONE = {}\n[steps.sleeper]\nenv = ['ZONE']"


@pytest.fixture
def shop(tmp_path: Path) -> Path:
    """Give the folder of a pipeline with a source, a secret and three steps."""
    return write_shop(tmp_path / "shop")


@pytest.fixture
def slow(tmp_path: Path) -> Path:
    """Give the folder of a pipeline whose first step runs for a minute."""
    (tmp_path / "pipeline.toml").write_text(SLOW, encoding="utf-8")
    return tmp_path


class TestOutcomes:
    """The exit code and the status say how a run ended."""

    def test_good_night_then_nothing_new(self, shop: Path) -> None:
        """Given two runs on the same input, then the first succeeds, the second has nothing to do, both with exit code 0."""
        first = value_of(program("run", "--json", cwd=shop), "run")
        second = value_of(program("run", "--json", cwd=shop), "run")
        assert (first["status"], first["counts"]) == ("succeeded", {"succeeded": 3})
        assert (second["status"], second["counts"]) == ("nothing_to_do", {"skipped": 3})
        assert [step["reason"] for step in second["steps"]] == ["no_new_data", "up_to_date", "up_to_date"]
        assert first["run_id"] < second["run_id"]

    def test_failure_is_exit_1_and_what_lies_below_is_skipped(self, shop: Path) -> None:
        """Given a step that fails, then the exit code is 1, the cause is named, and the step below is skipped."""
        (shop / "pipeline.toml").write_text(BROKEN, encoding="utf-8")
        value = value_of(program("run", "--json", cwd=shop), "run", code=1)
        assert value["root_cause"] == {"step": "totals", "reason": "exit", "error_class": "permanent", "message": None}
        assert [(step["status"], step["reason"]) for step in value["steps"]] == [
            ("succeeded", None),
            ("failed", "exit"),
            ("skipped", "upstream_failed"),
        ]

    def test_summary_names_cause_and_next_command_first(self, shop: Path) -> None:
        """Given a failure without --json, then stdout begins with the status, the cause and what to type."""
        (shop / "pipeline.toml").write_text(BROKEN, encoding="utf-8")
        done = program("run", "--for", "2026-01-31", cwd=shop)
        (run_id,) = [data["run_id"] for data in data_of(ledger_of(shop), "run.started")]
        lines = done.stdout.splitlines()
        assert lines[0].startswith(f"failed: shop, night 2026-01-31, run {run_id} in ")
        assert lines[1:6] == [
            "steps: 1 failed, 1 skipped, 1 succeeded",
            "first failure: totals: exit code 3 (permanent)",
            f"next: orchestrate logs {run_id} totals",
            f"      orchestrate explain {run_id} totals",
            "      orchestrate run --for 2026-01-31",
        ]
        assert "  no good" in lines
        assert lines[-1] == f"report: .orchestrate/reports/{run_id}/report.html"

    def test_plain_lines_go_to_stderr(self, shop: Path) -> None:
        """Given no terminal, then progress is one plain line a step on stderr, and the summary alone on stdout."""
        done = program("run", cwd=shop, env={"FORCE_COLOR": "1", "NO_COLOR": ""})
        lines = done.stderr.splitlines()
        assert lines[0].startswith("run ")
        assert [line.split(" in ")[0] for line in lines[1:]] == [
            "[1/3] ingest succeeded",
            "[2/3] totals succeeded",
            "[3/3] mail succeeded",
        ]
        assert "\x1b" not in done.stdout + done.stderr

    def test_quiet_leaves_warnings_to_who_looks(self, tmp_path: Path) -> None:
        """Given an open .env, a secret like a word, late data and unbounded clean-up, then a quiet night says nothing of them, and `validate` does."""
        (tmp_path / "pipeline.toml").write_text(
            '[pipeline]\nname = "p"\ndeadline = "1h"\n[env.vars]\nTOKEN = { secret = true }\n'
            '[datasets.raw]\npath = "raw"\nfresh_within = { warn = "1h" }\n'
            '[steps.a]\ncommand = ["true"]\nreads = ["raw"]\nenv = ["TOKEN"]\n'
            '[steps.b]\ncommand = ["true"]\nneeds = ["a"]\nwhen = "always"\n'
        )
        (tmp_path / ".env").write_text("TOKEN=production\n")
        (tmp_path / ".env").chmod(0o644)
        (tmp_path / "raw").touch()
        os.utime(tmp_path / "raw", (0, 0))
        done = program("run", "--quiet", cwd=tmp_path)
        assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
        told = program("validate", cwd=tmp_path)
        for part in ("others than its owner", "everyday word", "is late", "after the deadline"):
            assert part in told.stdout + told.stderr

    def test_quiet_says_nothing_of_a_good_night(self, shop: Path) -> None:
        """Given --quiet, then a good night prints nothing, and a bad one its summary."""
        done = program("run", "--quiet", cwd=shop)
        assert (done.stdout, done.stderr) == ("", "")
        (shop / "pipeline.toml").write_text(BROKEN, encoding="utf-8")
        done = program("run", "--quiet", cwd=shop)
        assert done.stdout.startswith("failed: shop")
        assert done.stderr == ""

    def test_files_of_a_run(self, shop: Path) -> None:
        """Given a run, then its logs and reports lie below its id, for their owner alone."""
        run_id = value_of(program("run", "--json", cwd=shop), "run")["run_id"]
        folder = shop / ".orchestrate"
        assert everything_in(folder / "reports") == [
            run_id,
            *(f"{run_id}/{name}" for name in ("report.html", "report.md", "summary.json")),
        ]
        assert everything_in(folder / "logs") == [run_id, f"{run_id}/ingest.1.log"]
        modes = {path.stat().st_mode & 0o077 for path in folder.rglob("*")}
        assert modes == {0}

    def test_reports_that_cannot_be_written_are_a_warning(self, shop: Path) -> None:
        """Given a file where the folder of reports should be, then the run counts, and a warning says how to make them."""
        (shop / ".orchestrate").mkdir()
        (shop / ".orchestrate" / "reports").write_text("")
        done = program("run", cwd=shop)
        assert done.returncode == 0
        assert "warning: the report could not be written" in done.stderr
        assert "report: " not in done.stdout

    def test_reader_that_left_does_not_change_the_end(self, shop: Path) -> None:
        """Given a stdout that is full or closed, then the exit code is that of the run."""
        (shop / "pipeline.toml").write_text(BROKEN, encoding="utf-8")
        for redirect in (">/dev/full", ">&-", "| true", "2>&-"):
            script = f'"$0" run --force {redirect}; echo "$?"' if "|" not in redirect else '"$0" run --force | true'
            done = in_shell(script, shop)
            assert "Traceback" not in done.stderr
            assert "bug" not in done.stderr
            if "|" not in redirect:
                assert done.stdout.splitlines()[-1] == "1"
        assert [data["status"] for data in data_of(ledger_of(shop), "run.finished")] == ["failed"] * 4


class TestSelection:
    """Selection, night, settings and their mistakes."""

    def test_selection_and_force(self, shop: Path) -> None:
        """Given a selection, then the others are skipped as not selected, and force runs what is selected again."""
        program("run", "--quiet", cwd=shop)
        forced = value_of(program("run", "--json", "--from", "totals", "--omit", "mail", "--force", cwd=shop), "run")
        assert [(step["status"], step["reason"]) for step in forced["steps"]] == [
            ("skipped", "not_selected"),
            ("succeeded", None),
            ("skipped", "not_selected"),
        ]

    def test_selection_never_forces_and_says_so(self, shop: Path) -> None:
        """Given a selection that has nothing to do, then the summary names the same command with --force."""
        program("run", "--quiet", cwd=shop)
        done = program("run", "--only", "totals", "--for", "2026-01-31", cwd=shop)
        assert "next: orchestrate run --for 2026-01-31 --only totals --force\n" in done.stdout

    @pytest.mark.parametrize(
        ("arguments", "kind", "told"),
        [
            (("--only", "total"), "unknown_step", "totals"),
            (("--only", "ingest", "--omit", "ingest"), "empty_selection", ""),
            (("--for", "tonight"), "bad_night", "2026-01-31"),
            (("--for", "2026-02-30"), "bad_night", "2026-02-30"),
            (("--set", "REGION=NYC"), "bad_variable", "does not match"),
            (("--set", "NOPE=1"), "unknown_setting", "NOPE"),
            (("--set", SECRET), "bad_setting", "NAME=VALUE"),
            (("--env-file", "nowhere.env"), "env_missing", "nowhere.env"),
            (("--jobs", "0"), "usage", "--jobs"),
            (("--log-file", "/dev/null/x"), "log_file", "--log-file /dev/null/x: "),
            (("--frobnicate",), "usage", "--frobnicate"),
            (("extra",), "usage", "extra"),
        ],
    )
    def test_mistakes_are_refused(self, shop: Path, arguments: tuple[str, ...], kind: str, told: str) -> None:
        """Given a mistake in the call, then exit code 2, a kind for programs, a message for people; no run starts."""
        problems = refused(program("run", "--json", *arguments, cwd=shop))
        assert [problem["kind"] for problem in problems] == [kind]
        assert told in " ".join(str(problems[0].get(key)) for key in ("message", "suggestion", "file"))
        assert SECRET not in json.dumps(problems)
        if ledger_of(shop).exists():
            assert data_of(ledger_of(shop), "run.started") == []

    def test_log_file_that_is_a_pipe(self, shop: Path) -> None:
        """Given a FIFO without a reader, then run and resume refuse it at once; a device, and a pipe that was handed over, will do."""
        os.mkfifo(shop / "pipe")
        (shop / "pipeline.toml").write_text(BROKEN, encoding="utf-8")
        assert program("run", "-q", "--log-file", "/dev/null", cwd=shop).returncode == 1
        assert '"record"' in program("resume", "latest", "-q", "--log-file", "/dev/stderr", cwd=shop).stderr
        for command in (("run",), ("resume", "latest")):
            (problem,) = refused(program(*command, "--json", "--log-file", "pipe", cwd=shop, timeout=60))
            assert (problem["kind"], "it is no regular file" in problem["message"]) == ("log_file", True)

    def test_night_and_reason_are_recorded_without_secrets(self, shop: Path) -> None:
        """Given a night and a reason that holds a secret, then both are recorded, the secret masked."""
        value = value_of(program("run", "--json", "--for", "2026-01-31", "--reason", f"so {SECRET}", cwd=shop), "run")
        (data,) = data_of(ledger_of(shop), "run.started")
        assert (value["night"], data["night"], data["reason"]) == ("2026-01-31", "2026-01-31", "so ***")

    def test_warnings_are_shown_on_stderr(self, shop: Path) -> None:
        """Given a line in .env that no step asks for, then a warning says so, and --quiet says nothing."""
        (shop / ".env").write_text(f"API_KEY={SECRET}\nOTHER=1\n", encoding="utf-8")
        assert "warning: .env:2: OTHER" in program("run", cwd=shop).stderr
        assert program("run", "--quiet", cwd=shop).stderr == ""


class TestRefusals:
    """Every problem at once, nothing started, and the refusal in the history."""

    def test_preflight_lists_every_problem_and_records_them(self, shop: Path) -> None:
        """Given an empty source and a missing variable, then both are listed, exit code 2, `run.refused` recorded."""
        (shop / "raw" / "1.csv").unlink()
        (shop / ".env").write_text("", encoding="utf-8")
        problems = refused(program("run", "--json", "--for", "2026-01-31", cwd=shop))
        assert [problem["kind"] for problem in problems] == ["missing_variable", "too_few_files"]
        ledger = ledger_of(shop)
        assert [event["type"] for event in events_of(ledger)] == ["ledger.created", "run.refused"]
        (data,) = data_of(ledger, "run.refused")
        assert (data["pipeline"], data["night"], data["exit_code"]) == ("shop", "2026-01-31", 2)
        assert [problem["kind"] for problem in data["problems"]] == ["missing_variable", "too_few_files"]
        assert not (shop / "bronze").exists()
        (row,) = value_of(program("runs", "--refused", "--json", cwd=shop), "refusals")
        assert row["problems"] == data["problems"]
        assert value_of(program("runs", "--json", cwd=shop), "runs") == []

    def test_problems_for_people_stand_on_a_line_each(self, shop: Path) -> None:
        """Given two problems without --json, then stderr has a line for each, with place and remedy, and stdout nothing."""
        (shop / "raw" / "1.csv").unlink()
        (shop / ".env").write_text("", encoding="utf-8")
        done = program("run", cwd=shop)
        assert done.stdout == ""
        first, second = done.stderr.splitlines()
        assert first.startswith("error: pipeline.toml:5:1: required variable API_KEY has no value (add API_KEY=")
        assert second.startswith("error: pipeline.toml:")
        assert "raw" in second

    def test_definition_that_is_wrong_is_recorded_where_the_ledger_knows_it(self, shop: Path) -> None:
        """Given a ledger that knows the definition, then a broken definition is recorded as refused, for that pipeline."""
        program("run", "--quiet", cwd=shop)
        (shop / "pipeline.toml").write_text(SHOP + "[steps.mail2]\ncommand = 7\n", encoding="utf-8")
        assert refused(program("run", "--json", cwd=shop))
        (data,) = data_of(ledger_of(shop), "run.refused")
        assert (data["pipeline"], data["definition_path"]) == ("shop", "../pipeline.toml")
        assert "night" not in data

    def test_definition_that_no_ledger_knows_is_recorded_nowhere(self, shop: Path, tmp_path: Path) -> None:
        """Given a ledger of other definitions, or one that is none, then a broken definition changes nothing there."""
        program("run", "--quiet", cwd=shop)
        other = tmp_path / "other"
        other.mkdir()
        (other / "pipeline.toml").write_text("[pipeline]\n", encoding="utf-8")
        before = events_of(ledger_of(shop))
        assert refused(program("run", "--json", "--ledger", str(ledger_of(shop)), cwd=other))
        assert events_of(ledger_of(shop)) == before
        (other / "no.db").write_text("no ledger")
        assert refused(program("run", "--json", "--ledger", "no.db", cwd=other))
        assert (other / "no.db").read_text() == "no ledger"

    def test_long_lists_are_cut_in_the_record(self, shop: Path) -> None:
        """Given more than a hundred problems, then all are printed and the first hundred recorded."""
        sources = "".join(f'[datasets.d{number}]\npath = "gone/{number}"\n' for number in range(120))
        reads = ", ".join(f'"d{number}"' for number in range(120))
        (shop / "pipeline.toml").write_text(
            f'[pipeline]\nname = "shop"\n{sources}[steps.a]\ncommand = ["true"]\nreads = [{reads}]\n', encoding="utf-8"
        )
        (shop / ".env").unlink()
        assert len(refused(program("run", "--json", cwd=shop))) == 120
        (data,) = data_of(ledger_of(shop), "run.refused")
        assert len(data["problems"]) == 100

    @pytest.mark.parametrize(
        ("obstacle", "code"), [("notes", 3), ("folder", 3), ("file above", 5), ("locks", 5), ("long name", 2)]
    )
    def test_place_of_the_ledger_that_will_not_do(self, shop: Path, obstacle: str, code: int) -> None:
        """Given something else in place of the ledger or above it, then 3 or 5, or 2 where nothing can be there, and its name; nothing runs."""
        place = shop / ".orchestrate"
        ledger = place / "ledger.db"
        match obstacle:
            case "notes":
                place.mkdir()
                ledger.write_text("notes")
            case "folder":
                ledger.mkdir(parents=True)
            case "file above":
                place.write_text("")
            case "locks":
                place.mkdir()
                (place / "locks").write_text("")
            case _:
                ledger = shop / ("x" * 300)
        options = ("--ledger", str(ledger)) if obstacle == "long name" else ()
        (problem,) = refused(program("run", "--json", *options, cwd=shop), code)
        assert str(place / "locks" if obstacle == "locks" else ledger) in problem["message"]
        assert not (shop / "bronze").exists()

    def test_folder_whose_name_is_no_utf8(self, tmp_path: Path) -> None:
        """Given a folder that no ledger can name, then it is refused with its name, and nothing is made."""
        folder = Path(os.fsdecode(os.fsencode(tmp_path) + b"/caf\xe9"))
        write_shop(folder)
        before = everything_in(folder)
        (problem,) = refused(program("run", "--json", cwd=folder))
        assert problem["kind"] == "bad_path"
        assert "caf\\udce9" in problem["message"]
        (problem,) = refused(program("run", "--json", "--ledger", "l.db", "--pipeline", str(folder), cwd=tmp_path))
        assert problem["kind"] == "bad_path"
        assert everything_in(folder) == before


class TestAnotherRunIsActive:
    """One run of a pipeline at a time."""

    def test_second_start_is_exit_4_and_recorded(self, slow: Path) -> None:
        """Given a run that is on, then another start is refused with exit code 4, names the run, and is recorded."""
        with started("run", "--json", cwd=slow) as first:
            pid_in(slow / "pid")
            (problem,) = refused(program("run", "--json", cwd=slow), 4)
            assert problem["kind"] == "active"
            (begun,) = data_of(ledger_of(slow), "run.started")
            assert f"run {begun['run_id']}, process {first.pid} on " in problem["message"]
            (data,) = data_of(ledger_of(slow), "run.refused")
            assert (data["exit_code"], data["holder"]["run_id"]) == (4, begun["run_id"])
            (row,) = value_of(program("runs", "--refused", "--json", cwd=slow), "refusals")
            assert row["holder"]["pid"] == first.pid
            (entry,) = value_of(program("status", "--json", cwd=slow), "status")
            assert (entry["last_run"]["status"], entry["alive"], entry["refusals_since"]) == ("running", True, 1)
            assert entry["next"] == [f"orchestrate logs {begun['run_id']} --follow"]
            first.send_signal(signal.SIGTERM)
            ended(first)

    def test_wait_waits(self, slow: Path) -> None:
        """Given --wait, then the second run says what it waits for, and starts when the first has ended."""
        with started("run", "--json", cwd=slow) as first:
            pid_in(slow / "pid")
            (slow / "pipeline.toml").write_text(SLOW.replace("exec sleep 60", "true"), encoding="utf-8")
            with started("run", "--json", "--wait", cwd=slow) as second:
                assert second.stderr is not None
                assert second.stderr.readline().startswith("waiting for run ")
                assert second.poll() is None
                first.send_signal(signal.SIGTERM)
                ended(first)
                assert value_of(ended(second), "run")["status"] == "succeeded"
        finished = [event["stream"] for event in events_of(ledger_of(slow)) if event["type"].startswith("run.")]
        assert finished == [finished[0], finished[0], finished[2], finished[2]]

    @contextlib.contextmanager
    def waiting(self, slow: Path) -> Iterator[Callable[[], Done]]:
        """Give, while a start waits for the run that is on, what ends that run and returns what became of the start."""
        with started("run", "--json", cwd=slow) as first:
            pid_in(slow / "pid")
            with started("run", "--json", "--wait", "--for", "2026-01-31", cwd=slow) as second:
                assert second.stderr is not None
                assert second.stderr.readline().startswith("waiting for run ")

                def go_on() -> Done:
                    first.send_signal(signal.SIGTERM)
                    ended(first)
                    return ended(second)

                yield go_on

    def test_after_a_wait_definition_and_sources_are_those_of_then(self, slow: Path) -> None:
        """Given a definition that was mended and an .env that was written while a start waited, then it runs these, for its night."""
        with self.waiting(slow) as go_on:
            mended = SLOW.replace("exec sleep 60", "test $ZONE = 7").replace("[steps.sleeper]", ZONE)
            (slow / ".env").write_text("ZONE=7\n", encoding="utf-8")
            (slow / "pipeline.toml").write_text(mended, encoding="utf-8")
            value = value_of(go_on(), "run")
        assert (value["status"], value["night"]) == ("succeeded", "2026-01-31")
        begun = data_of(ledger_of(slow), "run.started")[-1]
        assert begun["definition"] == data_of(ledger_of(slow), "definition.changed")[-1]["after"]
        assert begun["variables"]["ZONE"]["value"] == "7"

    @pytest.mark.parametrize(
        ("before", "after", "kind"),
        [
            ('"slow"', '"fast"', "renamed"),
            ("needs", "neads", "unknown_key"),
            ("[steps.sleeper]", "[env.vars]\nZONE = { required = true }\n[steps.sleeper]\nenv = ['ZONE']", "missing_variable"),
        ],
    )  # fmt: skip
    def test_after_a_wait_it_may_be_refused(self, slow: Path, before: str, after: str, kind: str) -> None:
        """Given a definition that cannot be run any more when the wait is over, then exit code 2, and the refusal is recorded."""
        with self.waiting(slow) as go_on:
            (slow / "pipeline.toml").write_text(SLOW.replace(before, after), encoding="utf-8")
            (problem,) = refused(go_on())
        assert problem["kind"] == kind
        assert len(data_of(ledger_of(slow), "run.started")) == 1
        assert len(data_of(ledger_of(slow), "run.refused")) == 1

    def test_after_a_wait_the_ledger_is_held_to_its_last_seal(self, slow: Path) -> None:
        """Given a checkpoint beside the ledger that this one does not continue, and that came while a start waited, then it does not start."""
        with self.waiting(slow) as go_on:
            with contextlib.closing(sqlite3.connect(ledger_of(slow))) as connection:
                ledger_id = ledger_identity(connection, "it")
            claim = Checkpoint(origin_of(ledger_id), 999_999, bytes(32))
            write_outside(checkpoint_folder(ledger_of(slow), ledger_id), claim, claim.text)
            (problem,) = refused(go_on(), 3)
        assert problem["kind"] == "inconsistent"
        assert len(data_of(ledger_of(slow), "run.started")) == 1

    def test_holder_that_cannot_be_read(self, slow: Path) -> None:
        """Given a lock whose holder noted nothing, then the message says that it is unknown."""
        locks = slow / ".orchestrate" / "locks"
        locks.mkdir(parents=True)
        with (locks / "slow.lock").open("wb") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            (problem,) = refused(program("run", "--json", cwd=slow), 4)
        assert problem["message"] == "pipeline slow is active: run (unknown), process ? on ?"


class TestSignals:
    """A run that is told to end ends its steps, records that, and says so with its exit code."""

    @pytest.mark.parametrize(
        ("number", "code"),
        [(signal.SIGINT, 130), (signal.SIGTERM, 143), (signal.SIGHUP, 129)],
        ids=str,
    )
    def test_signal_cancels_the_run(self, slow: Path, number: signal.Signals, code: int) -> None:
        """Given a signal, then the step is gone, the run cancelled, the rest skipped, and the exit code says which signal."""
        with started("run", "--json", cwd=slow) as process:
            step = pid_in(slow / "pid")
            process.send_signal(number)
            done = ended(process)
        value = value_of(done, "run", code=code)
        assert not exists(step)
        assert (value["status"], value["exit_code"]) == ("cancelled", code)
        assert [step["status"] for step in value["steps"]] == ["cancelled", "skipped"]
        no_traceback(done)
        (data,) = data_of(ledger_of(slow), "run.finished")
        assert (data["status"], data["exit_code"]) == ("cancelled", code)
        (entry,) = value_of(program("status", "--json", cwd=slow), "status")
        assert entry["attention"] == [
            "the last run was cancelled",
            f"a failure that nobody has acknowledged: {value['night']}",
        ]
        assert entry["next"] == [f"orchestrate run --for {value['night']}", f"orchestrate ack {value['run_id']}"]

    def test_signal_to_a_command_that_waits(self, slow: Path) -> None:
        """Given a start that waits for another one, then Ctrl-C ends it with 130 and no traceback."""
        with started("run", "--json", cwd=slow) as first:
            pid_in(slow / "pid")
            with started("run", "--wait", cwd=slow) as second:
                assert second.stderr is not None
                second.stderr.readline()
                second.send_signal(signal.SIGINT)
                done = ended(second)
            assert done.returncode == 130
            no_traceback(done)
            first.send_signal(signal.SIGTERM)
            ended(first)


class TestOwner:
    """A pipeline's name belongs to one definition in a ledger."""

    def test_name_of_another_definition(self, shop: Path, tmp_path: Path) -> None:
        """Given a second definition of the same name, then it is refused and recorded, until --moved."""
        program("run", "--quiet", cwd=shop)
        other = write_shop(tmp_path / "copy")
        options = ("--json", "--ledger", str(ledger_of(shop)))
        (problem,) = refused(program("run", *options, cwd=other))
        assert problem["kind"] == "other_definition"
        assert problem["message"] == (
            f"in this ledger the name shop belongs to {shop}/pipeline.toml, not to {other}/pipeline.toml"
        )
        assert "--moved" in problem["suggestion"]
        assert (problem["file"], problem["line"]) == ("pipeline.toml", 2)
        assert len(data_of(ledger_of(shop), "run.refused")) == 1
        assert value_of(program("run", *options, "--moved", cwd=other), "run")["status"] == "succeeded"
        (moved,) = data_of(ledger_of(shop), "pipeline.moved")
        assert (moved["before"], moved["after"]) == ("../pipeline.toml", "../../copy/pipeline.toml")
        (problem,) = refused(program("run", "--json", cwd=shop))
        assert problem["kind"] == "other_definition"


class TestLog:
    """The program's own log, as JSON lines in a file and as text on stderr."""

    def test_log_file_has_a_record_for_each_event(self, shop: Path) -> None:
        """Given --log-file, then each recorded event is a JSON line with run, step and attempt; no secret stands in it."""
        (shop / "pipeline.toml").write_text(BROKEN, encoding="utf-8")
        run_id = value_of(program("run", "--json", "--log-file", "own.log", cwd=shop), "run", code=1)["run_id"]
        text = (shop / "own.log").read_text(encoding="utf-8")
        records = [json.loads(line)["record"] for line in text.splitlines()]
        assert {record["extra"]["run"] for record in records} == {run_id}
        assert ("attempt.started", "ingest", 1) in [
            (record["message"], record["extra"].get("step"), record["extra"].get("attempt")) for record in records
        ]
        levels = {(record["message"], record["extra"].get("status")): record["level"]["name"] for record in records}
        assert (levels["run.finished", "failed"], levels["step.finished", "succeeded"]) == ("ERROR", "INFO")
        assert SECRET not in text
        # What a step is told by its environment, and the records of its attempt, name one span.
        ids = {
            (record["extra"]["trace_id"], record["extra"]["span_id"])
            for record in records
            if record["extra"].get("step") == "ingest" and record["message"].startswith("attempt.")
        }
        assert ids == {(trace_id_of(run_id, None), span_id_of(run_id, step="ingest", attempt=1))}

    def test_verbose_shows_it_on_stderr(self, shop: Path) -> None:
        """Given -v, then stderr has the records as text beside the plain lines."""
        done = program("run", "-v", cwd=shop)
        assert " INFO run.started run=" in done.stderr
        assert "[1/3] ingest succeeded" in done.stderr
        assert "\x1b" not in done.stderr


class TestSecrets:
    """What is declared secret is nowhere: not in output, ledger, logs, reports or refusals."""

    def test_secret_is_nowhere(self, shop: Path) -> None:
        """Given a step that prints its key, then no command's output and no file of the ledger's folder holds it."""
        outputs = []
        for command in (
            ("validate", "--env"),
            ("validate", "--json"),
            ("plan", "--json"),
            ("plan",),
            ("run", "-v", "--reason", SECRET),
            ("run", "--json", "--force"),
            ("show", "latest"),
            ("logs", "latest"),
            ("logs", "latest", "--json"),
            ("explain", "latest", "ingest", "--json"),
            ("report", "latest", "--markdown", "-"),
            ("report", "latest", "--html", "-"),
            ("changes", "--json"),
            ("run", "--json", "--set", f"REGION={SECRET}"),
            ("run", "--set", f"{SECRET}=x"),
            ("accept", "latest", "ingest", "--reason", SECRET),
        ):
            done = program(*command, cwd=shop)
            outputs.append(done.stdout + done.stderr)
            no_traceback(done)
        (shop / "bronze" / "1.csv").write_text("mended\n", encoding="utf-8")
        outputs.append(program("accept", "latest", "ingest", "--reason", SECRET, "--json", cwd=shop).stdout)
        assert '"reason": "***"' in outputs[-1]
        assert [text for text in outputs if SECRET in text] == []
        files = [path for path in (shop / ".orchestrate").rglob("*") if path.is_file()]
        assert len(files) > 8
        assert [path for path in files if SECRET.encode() in path.read_bytes()] == []

    def test_secret_in_the_definition_is_refused_before_it_is_recorded(self, shop: Path) -> None:
        """Given a definition that holds the key, then the run is refused, and what is recorded names it alone."""
        (shop / "pipeline.toml").write_text(SHOP.replace("echo key $API_KEY", f"echo {SECRET}"), encoding="utf-8")
        done = program("run", "--json", cwd=shop)
        assert [problem["kind"] for problem in refused(done)] == ["holds_secret"]
        assert SECRET not in done.stdout + done.stderr
        files = [path for path in (shop / ".orchestrate").rglob("*") if path.is_file()]
        assert [path for path in files if SECRET.encode() in path.read_bytes()] == []


def in_shell(script: str, folder: Path) -> Done:
    """Run *script* with the program as $0."""
    return subprocess.run(
        ["sh", "-c", script, PROGRAM], cwd=folder, capture_output=True, text=True, timeout=60, check=False
    )


def test_waiting_helper_gives_up() -> None:
    """Given what never holds, then waiting fails with what was waited for."""
    with pytest.raises(AssertionError, match=r"waited 0 s in vain: the moon"):
        wait_until(lambda: False, "the moon", seconds=0)
