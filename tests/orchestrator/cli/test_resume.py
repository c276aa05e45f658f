"""Tests of `resume`: a run that did not end well goes on under its id."""

from __future__ import annotations

from pathlib import Path

import pytest

from ledger.errors import DamagedLedgerError, LedgerError, StorageError
from orchestrator.cli.ending import show_end
from orchestrator.projections.change_text import change_text
from tests.nights import SECRET, write_shop
from tests.old_ledgers import make_older
from tests.programs import (
    Json,
    data_of,
    ended,
    events_of,
    kill,
    ledger_of,
    no_traceback,
    pid_in,
    program,
    refused,
    started,
    value_of,
)

CHAIN = """\
[pipeline]
name = "p"
[datasets.raw]
path = "raw"
[datasets.x]
path = "x"
[steps.a]
shell = "echo a >> ran; cp raw x"
reads = ["raw"]
writes = ["x"]
[steps.b]
shell = "echo b >> ran; test -e ok"
reads = ["x"]
[steps.c]
shell = "echo c >> ran"
needs = ["b"]
"""
HANGING = """\
[pipeline]
name = "p"
[steps.first]
shell = "echo first >> ran"
[steps.hangs]
shell = "echo hangs >> ran; echo $$ > p; mv p pid; test -e ok || exec sleep 60"
needs = ["first"]
"""


@pytest.fixture
def failed(tmp_path: Path) -> Path:
    """Give the folder of a pipeline whose only run has failed in its second step; what it lacks is the file `ok`."""
    (tmp_path / "pipeline.toml").write_text(CHAIN, encoding="utf-8")
    (tmp_path / "raw").write_text("1\n", encoding="utf-8")
    assert program("run", "-q", "--for", "2026-01-31", cwd=tmp_path).returncode == 1
    return tmp_path


def ran(folder: Path) -> list[str]:
    """Return the steps that were run, in order, each as often as it was."""
    return (folder / "ran").read_text(encoding="utf-8").split()


def steps_of(value: Json) -> dict[str, tuple[str, int]]:
    """Return status and number of attempts of each step."""
    return {step["step"]: (step["status"], step["attempts"]) for step in value["steps"]}


def kinds_of(folder: Path) -> list[str]:
    """Return what happened to the run itself, in order."""
    return [event["type"] for event in events_of(ledger_of(folder)) if event["type"].startswith("run.")]


def lose(folder: Path, *arguments: str) -> None:
    """Start the program and kill the orchestrator, and what it leaves, while a step runs."""
    with started(*arguments, cwd=folder) as process:
        step = pid_in(folder / "pid")
        process.kill()
        ended(process)
    kill(step)
    (folder / "pid").unlink()


class TestGoingOn:
    """What had succeeded stays, the rest is done."""

    def test_failed_run_goes_on(self, failed: Path) -> None:
        """Given a failure that was mended, then the run succeeds under its id, and what had succeeded is not run again."""
        (run,) = data_of(ledger_of(failed), "run.started")
        (failed / "ok").touch()
        done = program("resume", "latest", "--json", "--reason", "mended", cwd=failed)
        value = value_of(done, "resume")
        assert (value["run_id"], value["night"], value["status"]) == (run["run_id"], "2026-01-31", "succeeded")
        assert steps_of(value) == {"a": ("succeeded", 1), "b": ("succeeded", 2), "c": ("succeeded", 1)}
        assert ran(failed) == ["a", "b", "b", "c"]
        assert kinds_of(failed) == ["run.started", "run.finished", "run.resumed", "run.finished"]
        (resumed,) = data_of(ledger_of(failed), "run.resumed")
        assert (resumed["before"], resumed["reason"]) == ("failed", "mended")
        assert f"run {run['run_id']} of p, night 2026-01-31, goes on\n" in done.stderr

    def test_it_is_sealed_and_reported_like_a_run(self, failed: Path) -> None:
        """Given a resumed run, then a checkpoint has the size right after its end, the tables are what the events give, and the report is new."""
        (failed / "ok").touch()
        run_id = value_of(program("resume", "latest", "--json", cwd=failed), "resume")["run_id"]
        value = value_of(program("audit", "verify", "--json", cwd=failed), "audit-verify")
        assert (value["ok"], value["projections"]) == (True, "held")
        shown = value_of(program("show", "latest", "--json", cwd=failed), "show")
        finished = [event["seq"] for event in events_of(ledger_of(failed)) if event["type"] == "run.finished"]
        assert shown["checkpoint"]["size"] == finished[-1] + 1
        summary = failed / ".orchestrate" / "reports" / run_id / "summary.json"
        assert '"status": "succeeded"' in summary.read_text(encoding="utf-8")

    def test_as_often_as_it_takes(self, failed: Path) -> None:
        """Given a resume that fails too, then its end is recorded, with exit code 1, and the next one works."""
        assert "first failure: b" in program("resume", "latest", cwd=failed).stdout
        (failed / "ok").touch()
        assert program("resume", "latest:p", "-q", cwd=failed).stdout == ""
        assert [data["status"] for data in data_of(ledger_of(failed), "run.finished")] == [
            "failed",
            "failed",
            "succeeded",
        ]
        assert [data["attempt"] for data in data_of(ledger_of(failed), "attempt.started") if data["step"] == "b"] == [
            1,
            2,
            3,
        ]

    def test_lost_run_goes_on_and_is_lost_again(self, tmp_path: Path) -> None:
        """Given an orchestrator that is killed, and killed again when the run is resumed, then a third one brings the run to its end."""
        (tmp_path / "pipeline.toml").write_text(HANGING, encoding="utf-8")
        lose(tmp_path, "run", "-q")
        lose(tmp_path, "resume", "latest", "-q")
        (tmp_path / "ok").touch()
        done = program("resume", "latest", "--json", cwd=tmp_path)
        value = value_of(done, "resume")
        assert steps_of(value) == {"first": ("succeeded", 1), "hangs": ("succeeded", 3)}
        assert "had lost its orchestrator; it is interrupted now" in done.stderr
        assert ran(tmp_path) == ["first", "hangs", "hangs", "hangs"]
        assert [data["status"] for data in data_of(ledger_of(tmp_path), "run.finished")] == [
            "interrupted",
            "interrupted",
            "succeeded",
        ]
        reasons = [data["reason"] for data in data_of(ledger_of(tmp_path), "attempt.started")]
        assert reasons[-2:] == ["last_attempt_lost", "last_attempt_lost"]
        assert value_of(program("audit", "verify", "--json", cwd=tmp_path), "audit-verify")["ok"]

    def test_while_it_is_on(self, tmp_path: Path) -> None:
        """Given a resumed run that is on, then `runs` shows it running again, and another resume is exit code 4."""
        (tmp_path / "pipeline.toml").write_text(HANGING, encoding="utf-8")
        lose(tmp_path, "run", "-q")
        with started("resume", "latest", "--json", cwd=tmp_path) as process:
            step = pid_in(tmp_path / "pid")
            (row,) = value_of(program("runs", "--json", cwd=tmp_path), "runs")
            assert (row["status"], row["finished_at"]) == ("running", None)
            (problem,) = refused(program("resume", "latest", "--json", cwd=tmp_path), 4)
            assert f"run {row['run_id']}, process {process.pid} on " in problem["message"]
            process.terminate()
            value = value_of(ended(process), "resume", code=143)
        assert (value["status"], steps_of(value)["first"]) == ("cancelled", ("succeeded", 1))
        kill(step)


class TestOutputs:
    """Outputs of what had succeeded are measured again."""

    @pytest.mark.parametrize(
        ("meddle", "reason"), [("mended\n", "output_changed"), (None, "output_missing")], ids=["changed", "gone"]
    )
    def test_difference_is_named_and_the_step_decided_again(
        self, failed: Path, meddle: str | None, reason: str
    ) -> None:
        """Given an output that is not as its step left it, then that step is attempted again, and both digests are in the evidence."""
        (failed / "ok").touch()
        (failed / "x").unlink()
        if meddle is not None:
            (failed / "x").write_text(meddle, encoding="utf-8")
        value = value_of(program("resume", "latest", "--json", cwd=failed), "resume")
        assert steps_of(value)["a"] == ("succeeded", 2)
        again = next(
            data
            for data in data_of(ledger_of(failed), "attempt.started")
            if (data["step"], data["attempt"]) == ("a", 2)
        )
        left = next(data for data in data_of(ledger_of(failed), "step.finished") if data["step"] == "a")
        assert (again["reason"], again["evidence"]["expected"]) == (reason, left["outputs"]["x"])
        assert (failed / "x").read_text(encoding="utf-8") == "1\n"

    def test_what_lies_below_an_equal_output_stays(self, failed: Path) -> None:
        """Given a step whose output is gone and comes back the same, then what it had been read by is not run again."""
        definition = CHAIN + '[steps.d]\nshell = "echo d >> ran"\nreads = ["x"]\n'
        (failed / "pipeline.toml").write_text(definition, encoding="utf-8")
        assert program("run", "-q", "--for", "2026-01-31", cwd=failed).returncode == 1
        (failed / "x").unlink()
        (failed / "ok").touch()
        value = value_of(program("resume", "latest", "--json", cwd=failed), "resume")
        assert steps_of(value)["d"] == ("succeeded", 1)
        assert ran(failed).count("d") == 1

    def test_new_source_is_for_the_next_run(self, failed: Path) -> None:
        """Given a delivery after the failure, then what had succeeded stays; the next run takes it in."""
        (failed / "raw").write_text("2\n", encoding="utf-8")
        (failed / "ok").touch()
        assert steps_of(value_of(program("resume", "latest", "--json", cwd=failed), "resume"))["a"] == ("succeeded", 1)
        assert steps_of(value_of(program("run", "--json", cwd=failed), "run"))["a"] == ("succeeded", 1)
        assert (failed / "x").read_text(encoding="utf-8") == "2\n"


NEVER = HANGING.replace('needs = ["first"]', 'rerun = "never"\nneeds = ["first"]') + (
    '[steps.alone]\nshell = "echo alone >> ran; test -e fine"\n'
)


class TestRerunNever:
    """A lost attempt of a step that must not run twice stays lost until somebody says otherwise."""

    @pytest.fixture
    def lost(self, tmp_path: Path) -> Path:
        """Give the folder of a run that was started with --force and lost its orchestrator in such a step."""
        (tmp_path / "pipeline.toml").write_text(NEVER, encoding="utf-8")
        lose(tmp_path, "run", "-q", "--force")
        (tmp_path / "ok").touch()
        return tmp_path

    def test_neither_resume_nor_run_attempts_it_again(self, lost: Path) -> None:
        """Given the loss, then resume, resume again and run leave the step failed as lost, also where the run had --force; run --force does it."""
        (lost / "fine").touch()
        for command in (("resume", "latest"), ("resume", "latest"), ("run",)):
            value = value_of(program(*command, "--json", cwd=lost), "run", code=1)
            (step,) = [step for step in value["steps"] if step["step"] == "hangs"]
            assert (step["status"], step["reason"]) == ("failed", "lost")
        assert ran(lost).count("hangs") == 1
        assert program("run", "-q", "--force", "--only", "hangs", cwd=lost).returncode == 0
        assert ran(lost).count("hangs") == 2

    def test_accepted_it_counts_as_done(self, lost: Path) -> None:
        """Given that somebody has accepted it, then the resumed run goes on below it and does not attempt it."""
        assert program("accept", "latest", "hangs", "--reason", "it had sent them", cwd=lost).returncode == 0
        value = value_of(program("resume", "latest", "--json", cwd=lost), "resume", code=1)
        (step,) = [step for step in value["steps"] if step["step"] == "hangs"]
        assert (step["status"], step["reason"]) == ("skipped", "up_to_date")
        assert ran(lost).count("hangs") == 1

    def test_step_without_inputs(self, tmp_path: Path) -> None:
        """Given such a step that reads and needs nothing, when it is accepted, then the resumed run does not attempt it either."""
        definition = NEVER.replace('needs = ["first"]\n', "")
        (tmp_path / "pipeline.toml").write_text(definition, encoding="utf-8")
        lose(tmp_path, "run", "-q")
        (tmp_path / "fine").touch()
        assert program("accept", "latest", "hangs", "--reason", "done", cwd=tmp_path).returncode == 0
        assert program("resume", "latest", "-q", cwd=tmp_path).returncode == 0
        assert ran(tmp_path).count("hangs") == 1

    @pytest.mark.parametrize("needs", ["", 'needs = ["first"]\n'])
    def test_lost_in_one_run_and_accepted_in_the_next(self, tmp_path: Path, needs: str) -> None:
        """Given a run that failed for the loss of another one and was accepted, then no run of the night attempts the step, and a later night does."""
        definition = NEVER.replace('needs = ["first"]\n', needs).replace("test -e fine", "true")
        (tmp_path / "pipeline.toml").write_text(definition, encoding="utf-8")
        lose(tmp_path, "run", "-q", "--for", "2026-01-31")
        assert program("run", "-q", "--for", "2026-01-31", cwd=tmp_path).returncode == 1
        assert "next: orchestrate accept " in program("explain", "latest", "hangs", cwd=tmp_path).stdout
        assert program("accept", "latest", "hangs", "--reason", "done", cwd=tmp_path).returncode == 0
        told = program("explain", "latest", "hangs", cwd=tmp_path).stdout
        assert "next: orchestrate resume " in told
        assert "orchestrate accept" not in told
        planned = value_of(program("plan", "--for", "2026-01-31", "--json", cwd=tmp_path), "plan")
        (entry,) = [step for step in planned["steps"] if step["step"] == "hangs"]
        assert (entry["outlook"], entry["reason"]) == ("skip", "up_to_date")
        assert program("resume", "latest", "-q", cwd=tmp_path).returncode == 0
        assert program("run", "-q", "--for", "2026-01-31", cwd=tmp_path).returncode == 0
        assert ran(tmp_path).count("hangs") == 1
        skips = program("audit", "verify", "--skips", cwd=tmp_path)
        assert skips.returncode == 0, skips.stdout
        (tmp_path / "ok").touch()
        assert program("run", "-q", "--for", "2026-02-01", cwd=tmp_path).returncode == 0
        assert ran(tmp_path).count("hangs") == 2

    def test_accepted_for_a_night_that_is_not_that_of_the_loss(self, tmp_path: Path) -> None:
        """Given that a later night failed for it, then the run that it was accepted in leaves it alone as well."""
        (tmp_path / "pipeline.toml").write_text(NEVER.replace("test -e fine", "true"), encoding="utf-8")
        lose(tmp_path, "run", "-q", "--for", "2026-01-31")
        assert program("run", "-q", "--for", "2026-02-01", cwd=tmp_path).returncode == 1
        assert program("accept", "latest", "hangs", "--reason", "done", cwd=tmp_path).returncode == 0
        assert program("resume", "latest", "-q", cwd=tmp_path).returncode == 0
        assert ran(tmp_path).count("hangs") == 1
        assert program("audit", "verify", "--skips", cwd=tmp_path).returncode == 0


class TestDefinition:
    """The definition that a run goes on with."""

    def test_another_one_is_refused_with_its_differences(self, failed: Path) -> None:
        """Given a definition that has changed, then exit code 2, every difference as `changes` shows it, and the refusal is recorded."""
        (failed / "pipeline.toml").write_text(CHAIN.replace("test -e ok", "true"), encoding="utf-8")
        first, second = refused(program("resume", "latest", "--json", cwd=failed))
        assert first["kind"] == "definition_changed"
        assert "--accept-definition" in first["suggestion"]
        assert second["message"] == "~ steps.b.shell: echo b >> ran; test -e ok -> echo b >> ran; true"
        (data,) = data_of(ledger_of(failed), "run.refused")
        assert (data["exit_code"], data["night"]) == (2, "2026-01-31")
        assert kinds_of(failed) == ["run.started", "run.finished", "run.refused"]

    def test_many_differences_are_cut(self, failed: Path) -> None:
        """Given very many differences, then forty of them and how many there are besides."""
        more = "".join(f'[steps.s{number}]\ncommand = ["true"]\n' for number in range(50))
        (failed / "pipeline.toml").write_text(CHAIN + more, encoding="utf-8")
        problems = refused(program("resume", "latest", "--json", cwd=failed))
        assert len(problems) == 42
        assert problems[-1]["message"] == "… and 10 more differences"

    def test_accepted_it_goes_on(self, failed: Path) -> None:
        """Given --accept-definition, then what is left is decided by it: a mended step, a new one, and one that has gone."""
        (failed / "pipeline.toml").write_text(
            CHAIN.replace("test -e ok", "true").replace("steps.c", "steps.d"), encoding="utf-8"
        )
        value = value_of(program("resume", "latest", "--accept-definition", "--json", cwd=failed), "resume")
        assert steps_of(value) == {"a": ("succeeded", 1), "b": ("succeeded", 2), "d": ("succeeded", 1)}
        (first, second) = data_of(ledger_of(failed), "definition.changed")
        (resumed,) = data_of(ledger_of(failed), "run.resumed")
        assert second["before"] == first["after"]
        assert resumed["definition"] == second["after"]
        assert value_of(program("audit", "verify", "--json", cwd=failed), "audit-verify")["projections"] == "held"
        assert program("changes", cwd=failed).stdout.count("~ steps.b.shell") == 1

    def test_step_that_was_attempted_and_has_gone(self, failed: Path) -> None:
        """Given a step that failed and that the definition lacks now, then it is still told of, after the others."""
        (failed / "pipeline.toml").write_text(CHAIN[: CHAIN.index("[steps.b]")], encoding="utf-8")
        value = value_of(program("resume", "latest", "--accept-definition", "--json", cwd=failed), "resume")
        assert [(step["step"], step["status"]) for step in value["steps"]] == [("a", "succeeded"), ("b", "failed")]
        assert (value["status"], value["counts"]) == ("succeeded", {"succeeded": 1})

    def test_all_that_succeeded_has_gone(self, failed: Path) -> None:
        """Given a definition that lacks every step of before, and a new one without new data, then the run has nothing to do."""
        definition = '[pipeline]\nname = "p"\n[steps.new]\ncommand = ["false"]\nexit_codes = { 1 = "no_new_data" }\n'
        (failed / "pipeline.toml").write_text(definition, encoding="utf-8")
        value = value_of(program("resume", "latest", "--accept-definition", "--json", cwd=failed), "resume")
        assert (value["status"], value["counts"]) == ("nothing_to_do", {"skipped": 1})

    def test_output_that_is_declared_only_now(self, failed: Path) -> None:
        """Given an output that a success declares by the new definition and does not have, then the step is attempted, and fails without it."""
        more = CHAIN.replace("[steps.a]", '[datasets.y]\npath = "y"\n[steps.a]')
        more = more.replace('["x"]\n[steps.b]', '["x", "y"]\n[steps.b]')
        (failed / "pipeline.toml").write_text(more, encoding="utf-8")
        value = value_of(program("resume", "latest", "--accept-definition", "--json", cwd=failed), "resume", code=1)
        assert value["root_cause"]["step"] == "a"
        assert steps_of(value) == {"a": ("failed", 2), "b": ("skipped", 1), "c": ("skipped", 0)}

    def test_wrong_definition(self, failed: Path) -> None:
        """Given a definition that is none, then its problems, and the refusal is recorded."""
        (failed / "pipeline.toml").write_text(CHAIN + "[steps.d]\n", encoding="utf-8")
        assert refused(program("resume", "latest", "--json", cwd=failed))
        assert len(data_of(ledger_of(failed), "run.refused")) == 1

    @pytest.mark.parametrize(
        ("change", "text"),
        [
            ({"kind": "added", "after": ["a"]}, '+ x.y = ["a"]'),
            ({"kind": "removed", "before": "b" * 130}, f"- x.y (was {'b' * 120}…)"),
            ({"kind": "renamed", "before": "a"}, "> x.y (formerly a)"),
        ],
    )
    def test_differences_in_a_line(self, change: Json, text: str) -> None:
        """Given each kind of difference, then its sign, its path and its values."""
        assert change_text({"path": "x.y"} | change) == text


class TestStartItWasGiven:
    """Selection, settings and night are those of the start."""

    def test_selection_and_settings(self, tmp_path: Path) -> None:
        """Given a run with --only, --set and a night, then the resumed one has them too."""
        folder = write_shop(tmp_path / "shop")
        broken = (
            (folder / "pipeline.toml").read_text(encoding="utf-8").replace("for $REGION;", "for $REGION; test -e ok;")
        )
        (folder / "pipeline.toml").write_text(broken, encoding="utf-8")
        options = ("--only", "ingest", "--set", "REGION=ams", "--for", "2026-01-31")
        assert program("run", "-q", *options, cwd=folder).returncode == 1
        (folder / "ok").touch()
        value = value_of(program("resume", "latest", "--json", "-q", cwd=folder), "resume")
        assert (value["night"], steps_of(value)["totals"]) == ("2026-01-31", ("skipped", 0))
        assert "for ams" in program("logs", "latest", "ingest", cwd=folder).stdout
        (resumed,) = data_of(ledger_of(folder), "run.resumed")
        assert resumed["variables"]["REGION"] == {"origin": "--set", "value": "ams"}
        assert "value" not in resumed["variables"]["API_KEY"]

    def test_variables_that_differ_are_told(self, tmp_path: Path) -> None:
        """Given a variable that came from a file which is not given any more, then a warning names it and both origins; a secret's value is nowhere."""
        folder = write_shop(tmp_path / "shop")
        broken = (
            (folder / "pipeline.toml").read_text(encoding="utf-8").replace("for $REGION;", "for $REGION; test -e ok;")
        )
        broken = broken.replace("API_KEY = {", "ZONE = {}\nAPI_KEY = {")
        (folder / "pipeline.toml").write_text(broken, encoding="utf-8")
        (folder / "x.env").write_text("REGION=ams\nZONE=1\n", encoding="utf-8")
        program("run", "-q", "--env-file", "x.env", cwd=folder)
        done = program("resume", "latest", "-q", cwd=folder)
        assert "warning: variable REGION (default) is not what the run had (x.env)\n" in done.stderr
        assert "warning: variable ZONE has no value now; the run had one (x.env)\n" in done.stderr
        assert SECRET not in done.stdout + done.stderr
        assert "warning: variable" not in program("resume", "latest", "--env-file", "x.env", cwd=folder).stderr.replace(
            "warning: variable REGION (x.env) is not what the run had (default)\n", ""
        )


SELECTED = """\
[pipeline]
name = "p"
[env.vars]
ZONE = {}
COLOUR = {}
[steps.a]
command = ["false"]
[steps.b]
command = ["true"]
[steps.c]
command = ["true"]
"""


class TestStartThatTheDefinitionLacks:
    """Steps and variables that the start named and that have gone since."""

    @pytest.fixture
    def without(self, tmp_path: Path) -> Path:
        """Give the folder of a run of two steps and two settings, one each of which the definition lacks now."""
        (tmp_path / "pipeline.toml").write_text(SELECTED, encoding="utf-8")
        options = ("--only", "a", "--only", "b", "--set", "ZONE=1", "--set", "COLOUR=red")
        assert program("run", "-q", *options, cwd=tmp_path).returncode == 1
        less = SELECTED.replace("ZONE = {}\n", "").replace('[steps.b]\ncommand = ["true"]\n', "")
        (tmp_path / "pipeline.toml").write_text(less.replace('"false"', '"true"'), encoding="utf-8")
        return tmp_path

    def test_is_listed(self, without: Path) -> None:
        """Given no --accept-definition, then what has gone is among the differences, with the option that had named it."""
        problems = refused(program("resume", "latest", "--json", cwd=without))
        assert [problem["kind"] for problem in problems[:3]] == ["definition_changed", "start_changed", "start_changed"]
        assert [problem["message"] for problem in problems[1:3]] == [
            "the run was started with --only b, which is no step now",
            "the run was started with --set ZONE, which is no plain variable or parameter now",
        ]
        assert problems[3]["kind"] == "definition_change"
        assert len(data_of(ledger_of(without), "run.refused")) == 1

    def test_is_left_out_with_a_warning(self, without: Path) -> None:
        """Given --accept-definition, then the rest of the selection goes on, no step that was outside of it, and the other setting counts."""
        done = program("resume", "latest", "--accept-definition", "--json", cwd=without)
        value = value_of(done, "resume")
        assert [(step["step"], step["status"]) for step in value["steps"]] == [
            ("a", "succeeded"),
            ("c", "skipped"),
            ("b", "succeeded"),
        ]
        assert "warning: the run was started with --only b, which is no step now\n" in done.stderr
        assert done.stderr.count("ZONE") == 1
        (resumed,) = data_of(ledger_of(without), "run.resumed")
        assert resumed["variables"] == {"COLOUR": {"origin": "--set", "value": "red"}}

    def test_step_with_another_name_is_the_same(self, without: Path) -> None:
        """Given that it was renamed, then the selection means it under its new name."""
        definition = without / "pipeline.toml"
        renamed = definition.read_text(encoding="utf-8") + '[steps.new]\ncommand = ["true"]\nformerly = ["b"]\n'
        definition.write_text(renamed, encoding="utf-8")
        done = program("resume", "latest", "--accept-definition", "--json", cwd=without)
        assert steps_of(value_of(done, "resume"))["new"] == ("succeeded", 1)
        assert "--only" not in done.stderr

    @pytest.mark.parametrize("accepted", [(), ("--accept-definition",)], ids=["refused", "accepted"])
    def test_all_of_it(self, without: Path, accepted: tuple[str, ...]) -> None:
        """Given that nothing is left of what the run was about, then it is not about everything: it is refused."""
        text = (without / "pipeline.toml").read_text(encoding="utf-8").replace("steps.a", "steps.d")
        (without / "pipeline.toml").write_text(text, encoding="utf-8")
        (problem,) = refused(program("resume", "latest", *accepted, "--json", cwd=without))
        assert problem["kind"] == "empty_selection"
        assert "--only a, b" in problem["message"]
        assert kinds_of(without) == ["run.started", "run.finished"]


class TestRefused:
    """What cannot go on."""

    def test_run_that_has_succeeded(self, failed: Path) -> None:
        """Given a run that ended well, then exit code 2 says so."""
        (failed / "ok").touch()
        program("resume", "latest", "-q", cwd=failed)
        (problem,) = refused(program("resume", "latest", "--json", cwd=failed))
        assert problem["kind"] == "ended_well"
        assert "ended well (succeeded)" in problem["message"]

    def test_run_that_is_not_the_newest(self, failed: Path) -> None:
        """Given a later run, then the older one is refused, and the newest named."""
        older, _ = (data_of(ledger_of(failed), "run.started")[0]["run_id"], program("run", "-q", cwd=failed))
        newest = data_of(ledger_of(failed), "run.started")[1]["run_id"]
        (problem,) = refused(program("resume", older, "--json", cwd=failed))
        assert problem["kind"] == "not_newest"
        assert newest in problem["message"]

    def test_reason_that_the_pipeline_requires(self, failed: Path) -> None:
        """Given require_reason, then a resume without one is refused; a reason that is too long is too."""
        required = CHAIN.replace('name = "p"\n', 'name = "p"\n[audit]\nrequire_reason = true\n')
        (failed / "pipeline.toml").write_text(required, encoding="utf-8")
        (problem,) = refused(program("resume", "latest", "--json", "--accept-definition", cwd=failed))
        assert problem["kind"] == "missing_reason"
        assert problem["message"].startswith("resume needs --reason")
        (problem,) = refused(program("resume", "latest", "--json", "--reason", "x" * 4001, cwd=failed))
        assert problem["kind"] == "usage"
        done = program("resume", "latest", "--accept-definition", "--reason", "ticket", cwd=failed)
        assert done.returncode == 1
        no_traceback(done)

    @pytest.mark.parametrize(
        ("word", "kind"), [("20990101", "unknown_run"), ("latest:q", "unknown_pipeline"), ("!", "bad_run_id")]
    )
    def test_no_such_run(self, failed: Path, word: str, kind: str) -> None:
        """Given a word that means no run, then exit code 2 and what is wrong with it."""
        (problem,) = refused(program("resume", word, "--json", cwd=failed))
        assert problem["kind"] == kind

    @pytest.mark.parametrize("words", [("resume", "latest:p"), ("accept", "latest:p", "b", "--reason", "it is")])
    @pytest.mark.parametrize("formerly", ["", 'formerly = ["p"]\n'])
    def test_run_of_another_name(self, failed: Path, formerly: str, words: tuple[str, ...]) -> None:
        """Given a pipeline of another name, renamed or new, that has no run yet, then runs of the former name are not its own: exit code 2."""
        (failed / "pipeline.toml").write_text(
            CHAIN.replace('name = "p"\n', f'name = "q"\n{formerly}', 1), encoding="utf-8"
        )
        (problem,) = refused(program(*words, "--json", cwd=failed))
        assert problem["kind"] == "other_pipeline"
        (problem,) = refused(program(*(word.replace("latest:p", "latest") for word in words), "--json", cwd=failed))
        assert problem["kind"] == "no_runs"

    def test_no_ledger(self, tmp_path: Path) -> None:
        """Given nothing that has run, then exit code 2, and nothing is made."""
        (tmp_path / "pipeline.toml").write_text(CHAIN, encoding="utf-8")
        (problem,) = refused(program("resume", "latest", "--json", cwd=tmp_path))
        assert problem["kind"] == "no_ledger"
        assert not (tmp_path / ".orchestrate").exists()

    def test_source_that_is_gone(self, failed: Path) -> None:
        """Given a source that is gone, then it is refused like a run."""
        (failed / "raw").unlink()
        (problem,) = refused(program("resume", "latest", "--json", cwd=failed))
        assert problem["kind"] == "missing_source"


class TestEnd:
    """What can go wrong at the end of it."""

    def test_report_that_cannot_be_written(self, failed: Path) -> None:
        """Given a file where the report's folder belongs, then a warning, and the run counts."""
        (failed / "ok").touch()
        reports = failed / ".orchestrate" / "reports"
        reports.rename(failed / "elsewhere")
        reports.touch()
        done = program("resume", "latest", cwd=failed)
        assert done.returncode == 0
        assert "warning: the report could not be written" in done.stderr

    @pytest.mark.parametrize(
        ("unsealed", "mended", "code"),
        [
            (StorageError("l", "the disk is full"), True, 5),
            (DamagedLedgerError("l", ["a root"]), True, 3),
            (StorageError("l", "the disk is full"), False, 1),
        ],
    )
    def test_checkpoint_that_could_not_be_made(
        self, failed: Path, unsealed: LedgerError, code: int, *, mended: bool
    ) -> None:
        """Given a run that could not be sealed, then that is told, and decides the exit code where the run did not."""
        if mended:
            (failed / "ok").touch()
        run_id = value_of(program("resume", "latest", "--json", cwd=failed), "resume", code=None)["run_id"]
        assert show_end(ledger_of(failed), run_id, unsealed, quiet=True, as_json=False) == code


def test_older_ledger_is_not_upgraded_under_a_resumed_run(tmp_path: Path) -> None:
    """Given a resumed run that is on in a ledger of an older format, then nobody upgrades it, though the process that began the run is dead."""
    (tmp_path / "pipeline.toml").write_text(HANGING, encoding="utf-8")
    lose(tmp_path, "run", "-q")
    with started("resume", "latest", "-q", cwd=tmp_path):
        step = pid_in(tmp_path / "pid")
        make_older(ledger_of(tmp_path))
        (problem,) = refused(program("run", "--json", cwd=tmp_path), 4)
    kill(step)
    assert "was made by an older program, and run" in problem["message"]
