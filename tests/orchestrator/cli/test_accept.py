"""Tests of `orchestrate accept`: a person vouches for outputs, with a reason, and the next run skips."""

from __future__ import annotations

import signal
from pathlib import Path

import pytest

from tests.nights import SECRET, SHOP, write_shop
from tests.programs import data_of, ended, ledger_of, pid_in, program, refused, started, value_of

REASON = ("--reason", "two rows corrected, ticket 4711")


@pytest.fixture
def shop(tmp_path: Path) -> Path:
    """Give the folder of a pipeline that has run once."""
    folder = write_shop(tmp_path / "shop")
    assert program("run", "--quiet", cwd=folder).returncode == 0
    return folder


class TestAccept:
    """What was changed by hand counts from then on."""

    def test_next_run_skips(self, shop: Path) -> None:
        """Given an output mended by hand, when it is accepted, then the next run skips its step and runs the one below."""
        (shop / "bronze" / "1.csv").write_text("mended\n", encoding="utf-8")
        value = value_of(program("accept", "latest", "ingest", *REASON, "--json", cwd=shop), "accept")
        assert value["reason"] == REASON[1]
        assert value["outputs"]["bronze"] != value["before"]["bronze"]
        run = value_of(program("run", "--json", cwd=shop), "run")
        assert [step["status"] for step in run["steps"]] == ["skipped", "succeeded", "succeeded"]
        assert (shop / "bronze" / "1.csv").read_text() == "mended\n"

    def test_it_is_shown_by_explain(self, shop: Path) -> None:
        """Given an accepted output, then the text names both digests, and explain says who accepted it and why."""
        (shop / "gold" / "all.csv").write_text("mended\n", encoding="utf-8")
        done = program("accept", "latest", "totals", *REASON, cwd=shop)
        (data,) = data_of(ledger_of(shop), "output.accepted")
        assert done.stdout.splitlines() == [
            f"accepted: totals in run {data['run_id']}",
            f"  gold: {data['outputs']['gold'][:19]}…, the step had left {data['before']['gold'][:19]}…",
        ]
        explained = value_of(program("explain", "latest", "totals", "--json", cwd=shop), "explain")
        assert [entry["reason"] for entry in explained["accepted"]] == [REASON[1]]
        text = program("explain", "latest", "totals", cwd=shop).stdout
        assert f": {REASON[1]}\n" in text
        assert "accepted by " in text

    def test_step_that_was_lost_and_must_not_run_again(self, tmp_path: Path) -> None:
        """Given rerun = "never" and a lost attempt, then the step fails as lost until its outputs are accepted; then it is left to the next night."""
        definition = (
            '[pipeline]\nname = "p"\n[datasets.out]\npath = "out"\n'
            "[steps.pay]\nshell = 'mkdir -p out; echo paid > out/x; echo $$ > p; mv p pid; exec sleep 60'\n"
            'writes = ["out"]\nrerun = "never"\n'
        )
        (tmp_path / "pipeline.toml").write_text(definition, encoding="utf-8")
        with started("run", cwd=tmp_path) as process:
            pid_in(tmp_path / "pid")
            process.kill()
            ended(process)
        (tmp_path / "pipeline.toml").write_text(definition.replace("exec sleep 60", "true"), encoding="utf-8")
        value = value_of(program("run", "--json", cwd=tmp_path), "run", code=1)
        assert [(step["status"], step["reason"], step["attempts"]) for step in value["steps"]] == [
            ("failed", "lost", 0)
        ]
        (status,) = value_of(program("status", "--json", cwd=tmp_path), "status")
        assert status["next"][0] == f'orchestrate accept {value["run_id"]} pay --reason "…"'
        accepted = value_of(program("accept", "latest", "pay", *REASON, "--json", cwd=tmp_path), "accept")
        assert (accepted["before"], list(accepted["outputs"])) == ({}, ["out"])
        value = value_of(program("run", "--json", cwd=tmp_path), "run")
        assert [step["status"] for step in value["steps"]] == ["skipped"]
        value = value_of(program("run", "--for", "2026-01-31", "--json", cwd=tmp_path), "run")
        assert [step["status"] for step in value["steps"]] == ["succeeded"]

    def test_secret_in_the_reason_is_masked(self, shop: Path) -> None:
        """Given a reason that holds a secret, then it is masked where it is printed and recorded."""
        (shop / "gold" / "all.csv").write_text("mended\n", encoding="utf-8")
        done = program("accept", "latest", "totals", "--reason", f"key {SECRET}", "--json", cwd=shop)
        assert value_of(done, "accept")["reason"] == "key ***"


class TestRefused:
    """Everything that cannot be accepted has its own message; nothing is recorded."""

    @pytest.mark.parametrize(
        ("arguments", "kind", "told"),
        [
            (("latest", "totals", "--reason", "  "), "usage", "--reason is empty"),
            (("latest", "totals"), "usage", "--reason"),
            (("latest", "nope", *REASON), "unknown_step", "'nope' is no step of pipeline.toml"),
            (("20990101", "totals", *REASON), "unknown_run", "no run 20990101"),
            (("latest", "mail", *REASON), "nothing_to_accept", "nothing to accept"),
            (("latest", "totals", *REASON), "nothing_to_accept", "the outputs of totals are as it left them"),
            (("latest", "totals", *REASON, "--for", "x"), "bad_night", "--for takes a date"),
            (("latest", "totals", *REASON, "--ledger", "no.db"), "no_ledger", "no.db"),
            (("latest", "totals", *REASON, "--pipeline", "no.toml"), "definition_missing", "no such file"),
        ],
    )
    def test_each_has_its_message(self, shop: Path, arguments: tuple[str, ...], kind: str, told: str) -> None:
        """Given a call that cannot be right, then exit code 2 and what is wrong with it."""
        (problem,) = refused(program("accept", *arguments, "--json", cwd=shop))
        assert problem["kind"] == kind
        assert told in problem["message"]
        assert data_of(ledger_of(shop), "output.accepted") == []
        assert not (shop / "no.db").exists()

    def test_output_that_is_gone(self, shop: Path) -> None:
        """Given an output that does not exist, then there is nothing to vouch for."""
        (shop / "gold" / "all.csv").unlink()
        (shop / "gold").rmdir()
        (problem,) = refused(program("accept", "latest", "totals", *REASON, "--json", cwd=shop))
        assert problem["kind"] == "missing_output"
        assert f"gold ({shop}/gold)" in problem["message"]

    def test_step_that_was_never_attempted(self, shop: Path) -> None:
        """Given a step that was added since, or one that was never attempted, then each is told apart."""
        (shop / "pipeline.toml").write_text(SHOP + '[steps.new]\ncommand = ["true"]\n', encoding="utf-8")
        (problem,) = refused(program("accept", "latest", "new", *REASON, "--json", cwd=shop))
        assert problem["kind"] == "unknown_step"
        assert "is not defined in run" in problem["message"]
        program("run", "--quiet", "--omit", "new", cwd=shop)
        (problem,) = refused(program("accept", "latest", "new", *REASON, "--json", cwd=shop))
        assert problem["kind"] == "never_attempted"

    def test_run_that_was_not_the_last_to_attempt_it(self, shop: Path) -> None:
        """Given a run after which the step was attempted again, then the later one is named."""
        first = data_of(ledger_of(shop), "run.started")[0]["run_id"]
        second = value_of(program("run", "--json", "--force", cwd=shop), "run")["run_id"]
        (problem,) = refused(program("accept", first, "totals", *REASON, "--json", cwd=shop))
        assert problem["kind"] == "attempted_since"
        assert problem["message"].endswith(f"in run {second}: accept that one")

    def test_output_whose_place_has_no_value(self, shop: Path) -> None:
        """Given a path that needs a value that nothing gives, then the variable is the problem."""
        text = SHOP.replace("[env.vars]", "[env.vars]\nGOLD = {}").replace('path = "gold"', 'path = "${GOLD}"')
        (shop / "pipeline.toml").write_text(text, encoding="utf-8")
        (problem,) = refused(program("accept", "latest", "totals", *REASON, "--json", cwd=shop))
        assert problem["kind"] == "missing_variable"

    def test_other_definition_of_the_name(self, shop: Path, tmp_path: Path) -> None:
        """Given a definition to which the name does not belong, then it may not accept either."""
        other = write_shop(tmp_path / "copy")
        (problem,) = refused(
            program("accept", "latest", "totals", *REASON, "--json", "--ledger", str(ledger_of(shop)), cwd=other)
        )
        assert problem["kind"] == "other_definition"

    def test_run_that_is_on(self, tmp_path: Path) -> None:
        """Given a run that is on, then nothing can be accepted meanwhile: exit code 4."""
        (tmp_path / "pipeline.toml").write_text(
            '[pipeline]\nname = "p"\n[steps.a]\nshell = "echo $$ > p; mv p pid; exec sleep 60"\n', encoding="utf-8"
        )
        with started("run", cwd=tmp_path) as process:
            pid_in(tmp_path / "pid")
            (problem,) = refused(program("accept", "latest", "a", *REASON, "--json", cwd=tmp_path), 4)
            assert problem["kind"] == "active"
            process.send_signal(signal.SIGTERM)
            ended(process)
