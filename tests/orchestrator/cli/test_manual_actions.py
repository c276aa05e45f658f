"""Tests of what people do by hand: `note`, `ack`, and reasons that a pipeline requires."""

from __future__ import annotations

import os
import pty
import signal
import subprocess
import threading
from pathlib import Path

import pytest

from tests.nights import SECRET, SHOP, write_shop
from tests.programs import (
    PROGRAM,
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

FLAKY = '[pipeline]\nname = "p"\n[steps.a]\nshell = "test ! -e broken"\n[steps.b]\ncommand = ["true"]\nneeds = ["a"]\n'
REASONED = FLAKY.replace('name = "p"\n', 'name = "p"\n[audit]\nrequire_reason = true\n')
WHY = ("--reason", "ticket 4711")


@pytest.fixture
def failed(tmp_path: Path) -> Path:
    """Give the folder of a pipeline whose only run has failed."""
    (tmp_path / "pipeline.toml").write_text(FLAKY, encoding="utf-8")
    (tmp_path / "broken").touch()
    assert program("run", "-q", "--for", "2026-01-01", cwd=tmp_path).returncode == 1
    return tmp_path


def run_id_of(folder: Path) -> str:
    """Return the id of the first run."""
    return str(data_of(ledger_of(folder), "run.started")[0]["run_id"])


class TestNote:
    """Something that a person knows, kept with the run."""

    def test_it_is_shown_everywhere(self, failed: Path) -> None:
        """Given notes on a run and on a step, then show, explain and both reports have them; no other step has the step's."""
        run_id = run_id_of(failed)
        value = value_of(program("note", "latest/a", "disk was full", "--json", cwd=failed), "note")
        assert (value["run_id"], value["step"], value["text"]) == (run_id, "a", "disk was full")
        assert program("note", run_id[:15], "seen", *WHY, cwd=failed).stdout == f"noted: run {run_id}\n"

        shown = value_of(program("show", "latest", "--json", cwd=failed), "show")
        assert [(note["step"], note["text"], note["reason"]) for note in shown["notes"]] == [
            ("a", "disk was full", None),
            (None, "seen", "ticket 4711"),
        ]
        assert {"user", "host"} <= shown["notes"][0]["actor"].keys()
        explained = value_of(program("explain", "latest", "b", "--json", cwd=failed), "explain")
        assert [note["text"] for note in explained["notes"]] == ["seen"]
        for done in (
            program("show", "latest", cwd=failed),
            program("explain", "latest", "a", cwd=failed),
            program("report", "latest", "--markdown", "-", cwd=failed),
            program("report", "latest", "--html", "-", cwd=failed),
        ):
            assert "a: disk was full (by " in done.stdout
            assert "Z: ticket 4711)" in done.stdout
        assert "disk was full" not in program("explain", "latest", "b", cwd=failed).stdout

    def test_it_stands_in_the_stream_of_the_pipeline(self, failed: Path) -> None:
        """Given a note, then the run's own stream, which only its orchestrator writes, is left alone."""
        program("note", "latest", "x", cwd=failed)
        (event,) = [event for event in events_of(ledger_of(failed)) if event["type"] == "note.added"]
        assert event["stream"] == "pipeline/p"
        assert "step" not in event["data"]
        assert event["data"]["actor"]["claimed_by"] == "host"

    def test_the_definition_is_not_needed(self, failed: Path) -> None:
        """Given a ledger whose pipeline.toml is gone, then a note can be added all the same, also by the pipeline's place."""
        (failed / "pipeline.toml").unlink()
        assert program("note", "latest", "x", cwd=failed).returncode == 0
        assert program("note", "latest:p", "y", "--pipeline", "pipeline.toml", cwd=failed).returncode == 0
        assert [data["text"] for data in data_of(ledger_of(failed), "note.added")] == ["x", "y"]

    def test_while_the_run_is_on(self, tmp_path: Path) -> None:
        """Given an active run, then it can be noted on, and goes on to its end."""
        (tmp_path / "pipeline.toml").write_text(
            '[pipeline]\nname = "p"\n[steps.a]\nshell = "echo $$ > p; mv p pid; while test ! -e go; do sleep 0.02; done"\n'
        )
        with started("run", "-q", cwd=tmp_path) as process:
            pid_in(tmp_path / "pid")
            assert program("note", "latest/a", "meanwhile", cwd=tmp_path).returncode == 0
            (problem,) = refused(program("ack", "latest", "--json", cwd=tmp_path))
            assert problem["kind"] == "not_ended"
            assert "is still on" in problem["message"]
            (tmp_path / "go").touch()
            assert ended(process).returncode == 0
        kinds = [event["type"] for event in events_of(ledger_of(tmp_path))]
        assert kinds.index("note.added") < kinds.index("attempt.finished")

    def test_secrets_that_can_be_known_are_masked(self, tmp_path: Path) -> None:
        """Given secrets of the recorded definition in .env or in the environment, then they are masked without the definition."""
        folder = write_shop(tmp_path / "shop")
        program("run", "-q", cwd=folder)
        (folder / "pipeline.toml").unlink()
        program("note", "latest", f"key {SECRET}, other-secret-1", *WHY[:1], f"{SECRET}!", cwd=folder)
        program("note", "latest", "key other-secret-1", cwd=folder, env={"API_KEY": "other-secret-1"})
        first, second = data_of(ledger_of(folder), "note.added")
        assert (first["text"], first["reason"]) == ("key ***, other-secret-1", "***!")
        assert second["text"] == "key ***"
        assert SECRET.encode() not in ledger_of(folder).read_bytes()

    def test_secrets_that_cannot_be_known_are_warned_of(self, tmp_path: Path) -> None:
        """Given a secret whose value is away, then whoever types a text that is kept is warned once which; not where it is there, or nothing was typed."""
        folder = write_shop(tmp_path / "shop")
        definition = (folder / "pipeline.toml").read_text().replace('command = ["true"]', 'shell = "test -e mended"')
        definition = definition.replace("required = true, secret", "secret").replace(
            "[datasets.raw]", "NEVER = { secret = true }\n[datasets.raw]"
        )
        (folder / "pipeline.toml").write_text(definition)
        assert program("run", "-q", cwd=folder).returncode == 1
        assert program("note", "latest", "known", *WHY, cwd=folder).stderr == ""
        (folder / ".env").rename(folder / "env.away")
        for arguments in (
            ("note", "latest", "unknown", *WHY),
            ("ack", "latest", *WHY),
            ("accept", "latest", "mail", *WHY),
            ("audit", "keygen", *WHY),
            ("run", "-q", *WHY),
        ):
            lines = program(*arguments, cwd=folder, env={"XDG_CONFIG_HOME": str(tmp_path)}).stderr.splitlines()
            told = [line for line in lines if line.startswith("warning: API_KEY of shop had a value in the last run")]
            assert len(told) == 1, (arguments, lines)
            assert not any("NEVER" in line for line in lines)

    def test_nothing_typed_is_not_warned_of(self, tmp_path: Path) -> None:
        """Given the same without a reason, then nobody is warned."""
        folder = write_shop(tmp_path / "shop")
        (folder / "pipeline.toml").write_text(SHOP.replace('command = ["true"]', 'command = ["false"]'))
        assert program("run", "-q", cwd=folder).returncode == 1
        (folder / ".env").unlink()
        assert program("ack", "latest", cwd=folder).stderr == ""

    @pytest.mark.parametrize(
        ("arguments", "kind", "told"),
        [
            (("latest", ""), "usage", "the note is empty"),
            (("latest", " \n"), "usage", "the note is empty"),
            (("latest", "x" * 4001), "usage", "the note has 4001 characters, at most 4000 are allowed"),
            (("latest", "x", "--reason", "y" * 4001), "usage", "--reason has 4001 characters"),
            (("latest/zz", "x"), "unknown_step", "step zz is not defined in run"),
            (("latest/", "x"), "unknown_step", "is not defined in run"),
            (("20990101", "x"), "unknown_run", "no run 20990101"),
            (("latest:other", "x"), "unknown_pipeline", "this ledger has p"),
            (("latest", "x", "--ledger", "no.db"), "no_ledger", "no.db"),
            (("latest",), "usage", "TEXT"),
        ],
    )
    def test_what_cannot_be_noted(self, failed: Path, arguments: tuple[str, ...], kind: str, told: str) -> None:
        """Given a call that cannot be right, then exit code 2 and what is wrong with it, and nothing is recorded or made."""
        (problem,) = refused(program("note", *arguments, "--json", cwd=failed))
        assert problem["kind"] == kind
        assert told in problem["message"]
        assert data_of(ledger_of(failed), "note.added") == []
        assert not (failed / "no.db").exists()

    def test_text_that_is_no_text(self, failed: Path) -> None:
        """Given bytes that are no UTF-8 and control sequences, then they are kept written out and shown harmlessly."""
        program("note", "latest", "a\udcff\x1b[31m", cwd=failed)
        assert [data["text"] for data in data_of(ledger_of(failed), "note.added")] == ["a\\udcff\x1b[31m"]
        assert "note:          a\\udcff\\e[31m (by " in program("show", "latest", cwd=failed).stdout


class TestAck:
    """A person knows of a run that did not end well."""

    def test_status_stops_asking(self, failed: Path) -> None:
        """Given a failure, when it is acknowledged, then status says by whom and no longer asks; the run stays failed."""
        run_id = run_id_of(failed)
        text = program("status", cwd=failed).stdout
        assert "  a failure that nobody has acknowledged: 2026-01-01\n" in text
        assert text.endswith(f"        orchestrate ack {run_id}\n")

        value = value_of(program("ack", "latest", *WHY, "--json", cwd=failed), "ack")
        assert (value["run_id"], value["status"], value["reason"]) == (run_id, "failed", "ticket 4711")
        (entry,) = value_of(program("status", "--json", cwd=failed), "status")
        assert (entry["unacknowledged_count"], entry["unacknowledged"]) == (0, [])
        assert entry["acknowledged"]["reason"] == "ticket 4711"
        text = program("status", cwd=failed).stdout
        assert "  acknowledged by " in text
        assert "Z: ticket 4711\n" in text
        assert "orchestrate ack" not in text
        assert entry["last_run"]["status"] == "failed"

    def test_it_is_shown(self, failed: Path) -> None:
        """Given an acknowledged run, then show, explain and the reports say by whom."""
        run_id = run_id_of(failed)
        assert program("ack", run_id, cwd=failed).stdout == f"acknowledged: run {run_id}, failed\n"
        shown = value_of(program("show", "latest", "--json", cwd=failed), "show")
        explained = value_of(program("explain", "latest", "b", "--json", cwd=failed), "explain")
        assert shown["acknowledged"] == explained["acknowledged"]
        assert (shown["acknowledged"]["status"], shown["acknowledged"]["reason"]) == ("failed", None)
        assert "\n  acknowledged:  by " in program("show", "latest", cwd=failed).stdout
        assert "\nacknowledged: by " in program("explain", "latest", "a", cwd=failed).stdout
        assert "**acknowledged**: by " in program("report", "latest", "--markdown", "-", cwd=failed).stdout

    def test_a_repaired_failure_is_still_asked_for(self, failed: Path) -> None:
        """Given a failure that a later run has repaired, then it was one all the same: status asks until somebody acknowledges it."""
        (failed / "broken").unlink()
        program("run", "-q", "--for", "2026-01-01", cwd=failed)
        (entry,) = value_of(program("status", "--json", cwd=failed), "status")
        assert entry["attention"] == ["a failure that nobody has acknowledged: 2026-01-01"]
        assert entry["next"] == [f"orchestrate ack {run_id_of(failed)}"]
        program("ack", run_id_of(failed), cwd=failed)
        (entry,) = value_of(program("status", "--json", cwd=failed), "status")
        assert (entry["attention"], entry["next"]) == ([], [])

    def test_twice_is_refused(self, failed: Path) -> None:
        """Given an acknowledged run, then a second time is refused and says who was first; one event is there."""
        program("ack", "latest", cwd=failed)
        (problem,) = refused(program("ack", "latest", "--json", cwd=failed))
        assert problem["kind"] == "acknowledged"
        assert " was acknowledged by " in problem["message"]
        assert len(data_of(ledger_of(failed), "run.acknowledged")) == 1

    def test_failing_again_is_another_end(self, failed: Path) -> None:
        """Given an acknowledged run that is resumed and fails again, then check and status ask for the new end, and it can be acknowledged in its turn."""
        program("ack", "latest", *WHY, cwd=failed)
        assert ".failed'=0;" in program("check", "--nagios", cwd=failed).stdout
        assert program("resume", "latest", "-q", cwd=failed).returncode == 1
        checked = program("check", "--nagios", cwd=failed)
        assert (checked.returncode, ".failed'=1;" in checked.stdout) == (2, True)
        (entry,) = value_of(program("status", "--json", cwd=failed), "status")
        assert (entry["unacknowledged_count"], entry["acknowledged"]) == (1, None)
        assert value_of(program("ack", "latest", "--json", cwd=failed), "ack")["reason"] is None
        assert program("ack", "latest", cwd=failed).returncode == 2
        (entry,) = value_of(program("status", "--json", cwd=failed), "status")
        assert (entry["unacknowledged_count"], entry["acknowledged"]["reason"]) == (0, None)
        assert ".failed'=0;" in program("check", "--nagios", cwd=failed).stdout

    def test_many_at_once_leave_one(self, failed: Path) -> None:
        """Given several people at the same time, then one of them is recorded and the others are told."""
        codes: list[int] = []
        people = [
            threading.Thread(target=lambda: codes.append(program("ack", "latest", cwd=failed).returncode))
            for _ in range(4)
        ]
        for person in people:
            person.start()
        for person in people:
            person.join()
        assert sorted(codes) == [0, 2, 2, 2]
        assert len(data_of(ledger_of(failed), "run.acknowledged")) == 1

    def test_a_run_that_ended_well_is_refused(self, failed: Path) -> None:
        """Given a run that succeeded, then there is nothing to acknowledge, and the status is said."""
        (failed / "broken").unlink()
        program("run", "-q", cwd=failed)
        (problem,) = refused(program("ack", "latest", "--json", cwd=failed))
        assert problem["kind"] == "not_failed"
        assert "ended well (succeeded): there is nothing to acknowledge" in problem["message"]

    def test_a_run_that_lost_its_orchestrator(self, tmp_path: Path) -> None:
        """Given a run that nobody has closed, then the next run has to; from then on it can be acknowledged."""
        definition = tmp_path / "pipeline.toml"
        definition.write_text('[pipeline]\nname = "p"\n[steps.a]\nshell = "echo $$ > p; mv p pid; exec sleep 60"\n')
        with started("run", cwd=tmp_path) as process:
            step = pid_in(tmp_path / "pid")
            process.kill()
            ended(process)
        try:
            (problem,) = refused(program("ack", "latest", "--json", cwd=tmp_path))
            assert problem["kind"] == "not_ended"
            assert "the next `orchestrate run` closes it" in problem["message"]
            definition.write_text('[pipeline]\nname = "p"\n[steps.a]\ncommand = ["true"]\n')
            program("run", "-q", cwd=tmp_path)
            value = value_of(program("ack", run_id_of(tmp_path), "--json", cwd=tmp_path), "ack")
            assert value["status"] == "interrupted"
        finally:
            kill(step)

    def test_cancelled(self, tmp_path: Path) -> None:
        """Given a run that a signal ended, then it can be acknowledged too."""
        (tmp_path / "pipeline.toml").write_text(
            '[pipeline]\nname = "p"\n[steps.a]\nshell = "echo $$ > p; mv p pid; exec sleep 60"\n'
        )
        with started("run", cwd=tmp_path) as process:
            pid_in(tmp_path / "pid")
            process.send_signal(signal.SIGTERM)
            ended(process)
        assert value_of(program("ack", "latest", "--json", cwd=tmp_path), "ack")["status"] == "cancelled"


class TestRequiredReason:
    """`[audit] require_reason`: whoever acts by hand says why."""

    @pytest.fixture
    def strict(self, tmp_path: Path) -> Path:
        """Give the folder of a pipeline that requires reasons; its first, unattended run has failed."""
        (tmp_path / "pipeline.toml").write_text(REASONED, encoding="utf-8")
        (tmp_path / "broken").touch()
        assert program("run", "-q", cwd=tmp_path).returncode == 1
        return tmp_path

    @pytest.mark.parametrize(
        ("arguments", "action"),
        [
            (("run", "--force"), "a run with --force"),
            (("run", "--only", "a", "--reason", " "), "a run with --only"),
            (("run", "--from", "a"), "a run with --from"),
            (("run", "--until", "a", "--omit", "b"), "a run with --until, --omit"),
            (("run", "--moved"), "a run with --moved"),
            (("note", "latest", "x"), "note"),
            (("note", "latest", "x", "--reason", ""), "note"),
            (("ack", "latest"), "ack"),
        ],
    )
    def test_refused_without_one(self, strict: Path, arguments: tuple[str, ...], action: str) -> None:
        """Given a manual action without a reason, then exit code 2 names action and option, and nothing was done."""
        before = [event["type"] for event in events_of(ledger_of(strict)) if event["type"] != "run.refused"]
        (problem,) = refused(program(*arguments, "--json", cwd=strict))
        assert problem["kind"] == "missing_reason"
        assert problem["message"].startswith(f"{action} needs --reason: ")
        after = [event["type"] for event in events_of(ledger_of(strict)) if event["type"] != "run.refused"]
        assert before == after

    def test_the_refused_start_is_recorded(self, strict: Path) -> None:
        """Given a refused start, then who tried is part of the history."""
        program("run", "--force", cwd=strict)
        (data,) = data_of(ledger_of(strict), "run.refused")
        assert [problem["kind"] for problem in data["problems"]] == ["missing_reason"]
        assert {"user", "host"} <= data["actor"].keys()

    def test_settings_are_manual_too(self, strict: Path) -> None:
        """Given --set, then it is all in one list with what else is wrong."""
        problems = refused(program("run", "--set", "X=1", "--json", cwd=strict))
        assert [problem["kind"] for problem in problems][-1] == "missing_reason"

    def test_accept_always_needs_one(self, strict: Path) -> None:
        """Given accept without or with an empty reason, then it is refused; with or without the rule."""
        for arguments in ((), ("--reason", " ")):
            (problem,) = refused(program("accept", "latest", "a", *arguments, "--json", cwd=strict))
            assert "--reason" in problem["message"]

    def test_allowed_with_one(self, strict: Path) -> None:
        """Given a reason, then each of them works and has it in its event; status says that it takes one."""
        assert f'orchestrate ack {run_id_of(strict)} --reason "…"\n' in program("status", cwd=strict).stdout
        assert program("run", "-q", "--force", *WHY, cwd=strict).returncode == 1
        for arguments in (("note", "latest", "x"), ("ack", "latest")):
            assert program(*arguments, *WHY, cwd=strict).returncode == 0
        ledger = ledger_of(strict)
        for kind in ("run.started", "note.added", "run.acknowledged"):
            assert data_of(ledger, kind)[-1]["reason"] == "ticket 4711"

    def test_the_definition_that_last_ran_counts(self, strict: Path) -> None:
        """Given a pipeline.toml that is gone, then the ledger still knows that a reason is required."""
        (strict / "pipeline.toml").unlink()
        (problem,) = refused(program("ack", "latest", "--json", cwd=strict))
        assert problem["kind"] == "missing_reason"

    def test_a_terminal_is_manual(self, strict: Path) -> None:
        """Given a plain run at a terminal, then it is refused as well; an unattended one is not."""
        master, slave = pty.openpty()
        with os.fdopen(slave, "r") as terminal, os.fdopen(master, "wb"):
            done = subprocess.run(
                [PROGRAM, "run", "--json"],
                cwd=strict,
                stdin=terminal,
                capture_output=True,
                text=True,
                timeout=60,
                check=False,
            )
        (problem,) = refused(done)
        assert problem["message"].startswith("a run with a terminal needs --reason")
        (data,) = data_of(ledger_of(strict), "run.refused")
        assert data["actor"]["terminal"].startswith("/dev/")
        assert program("run", "-q", cwd=strict).returncode == 1

    def test_a_reason_is_bounded_and_masked(self, tmp_path: Path) -> None:
        """Given a reason that is too long, then it is refused; one that holds a secret is recorded without it, a move's too."""
        folder = write_shop(tmp_path / "shop")
        (problem,) = refused(program("run", "--reason", "x" * 4001, "--json", cwd=folder))
        assert "--reason has 4001 characters" in problem["message"]
        assert not ledger_of(folder).exists()
        program("run", "-q", cwd=folder)
        other = write_shop(tmp_path / "other", SHOP)
        done = program(
            "run", "-q", "--moved", "--reason", f"to {SECRET}", "--ledger", str(ledger_of(folder)), cwd=other
        )
        no_traceback(done)
        (moved,) = data_of(ledger_of(folder), "pipeline.moved")
        assert moved["reason"] == "to ***"
        assert data_of(ledger_of(folder), "run.started")[-1]["reason"] == "to ***"
        changes = value_of(program("changes", "--json", cwd=folder), "changes")
        assert [change["kind"] for change in changes] == ["definition_path", "definition"]
        assert changes[0]["changes"][0]["after"] == "../../other/pipeline.toml"
        text = program("changes", cwd=folder).stdout
        assert ": to ***\n  ~ definition_path: ../pipeline.toml -> ../../other/pipeline.toml\n" in text
