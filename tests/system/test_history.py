"""What a pipeline's history carries from run to run: definitions, renamings, outputs changed by hand, nights, files that are new."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from ledger import open_ledger
from tests.conftest import OrchestrateCommand
from tests.programs import data_of, ledger_of, program, refused

pytestmark = pytest.mark.system

COPY = "mkdir -p {to} && cat {of}/* > {to}/all && echo copied"


def definition(name: str = "shop", extra: str = "", **steps: str) -> str:
    """Return a definition with a source `raw` and the given bodies of steps."""
    datasets = "".join(
        f'[datasets.{item}]\npath = "data/{item}"\n'
        for item in ("raw", "bronze", "silver", "gold")
        if f'"{item}"' in str(steps)
    )
    bodies = "".join(f"[steps.{step}]\n{body}\n" for step, body in steps.items())
    return f'[pipeline]\nname = "{name}"\n{extra}\n{datasets}{bodies}'


def copy_step(of: str, to: str, extra: str = "") -> str:
    """Return the body of a step that joins the files of one dataset in another."""
    command = COPY.format(of=f"data/{of}", to=f"data/{to}")
    return f'shell = \'{command}\'\nreads = ["{of}"]\nwrites = ["{to}"]\n{extra}'


class Shop:
    """A pipeline in a folder, and the program to run it with."""

    def __init__(self, folder: Path, orchestrate: OrchestrateCommand) -> None:
        self.folder = folder
        self.orchestrate = orchestrate
        self.deliver("a", "1\n")

    def deliver(self, name: str, text: str) -> None:
        """Put a file into the source."""
        path = self.folder / "data/raw" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")

    def define(self, text: str) -> None:
        """Write the definition."""
        (self.folder / "pipeline.toml").write_text(text, encoding="utf-8")

    def run(self, *options: str, code: int = 0) -> dict[str, Any]:
        """Run the pipeline and return what `run --json` says."""
        done = self.orchestrate("run", "--json", *options, cwd=self.folder)
        assert done.returncode == code, done.stdout + done.stderr
        answer: dict[str, Any] = json.loads(done.stdout)
        return answer

    def statuses(self, *options: str, code: int = 0) -> dict[str, tuple[str, str | None]]:
        """Run the pipeline and return status and reason of each step."""
        return {step["step"]: (step["status"], step["reason"]) for step in self.run(*options, code=code)["steps"]}

    def ask(self, *arguments: str) -> Any:  # noqa: ANN401 - whatever the command prints
        """Return the JSON value of a reading command."""
        done = self.orchestrate(*arguments, "--json", cwd=self.folder)
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout)

    def events(self, kind: str) -> list[Mapping[str, object]]:
        """Return the data of every event of a type."""
        with open_ledger(self.folder / ".orchestrate/ledger.db", read_only=True) as ledger:
            return [event.data for event in ledger.read_all() if event.type == kind]


@pytest.fixture(name="shop")
def _shop(tmp_path: Path, orchestrate: OrchestrateCommand) -> Shop:
    shop = Shop(tmp_path, orchestrate)
    shop.define(definition(bronze=copy_step("raw", "bronze"), silver=copy_step("bronze", "silver")))
    return shop


class TestContent:
    """Content decides, from night to night."""

    def test_a_night_without_delivery_has_nothing_to_do(self, shop: Shop) -> None:
        """Given a night that succeeded, when nothing arrives, then nothing runs, and the exit code is 0."""
        shop.run()
        os.utime(shop.folder / "data/raw/a")

        answer = shop.run()

        assert answer["status"] == "nothing_to_do"
        assert [(step["status"], step["reason"]) for step in answer["steps"]] == [
            ("skipped", "no_new_data"),
            ("skipped", "up_to_date"),
        ]

    def test_unchanged_output_cuts_the_rest_off(self, shop: Shop) -> None:
        """Given new files with nothing in them, when the first step writes the same again, then the second is skipped."""
        shop.run()
        shop.deliver("b", "")

        assert shop.statuses() == {"bronze": ("succeeded", None), "silver": ("skipped", "up_to_date")}

    def test_a_step_is_told_which_files_are_new(self, shop: Shop) -> None:
        """`$ORCHESTRATE_INPUTS` lists added, changed, same and removed files against the last success."""
        look = "cat $ORCHESTRATE_INPUTS; mkdir -p data/bronze; cp $ORCHESTRATE_INPUTS data/bronze/seen"
        shop.define(definition(bronze=f'shell = \'{look}\'\nreads = ["raw"]\nwrites = ["bronze"]'))
        shop.deliver("b", "2\n")
        shop.deliver("c", "3\n")
        shop.run()
        shop.deliver("b", "two\n")
        shop.deliver("d", "4\n")
        (shop.folder / "data/raw/c").unlink()
        shop.run()

        raw = json.loads((shop.folder / "data/bronze/seen").read_text())["datasets"]["raw"]

        assert {file["path"]: file["change"] for file in raw["files"]} == {"a": "same", "b": "changed", "d": "added"}
        assert raw["removed"] == ["c"]
        assert raw["path"] == str(shop.folder / "data/raw")

    def test_an_output_changed_by_hand_is_named_before_it_is_overwritten(self, shop: Shop) -> None:
        """Both digests stand in the event that is recorded before the step starts, and on the terminal."""
        shop.run()
        before = shop.ask("explain", "latest", "silver")["outputs"]["silver"]
        (shop.folder / "data/silver/all").write_text("meddled")

        done = shop.orchestrate("run", cwd=shop.folder)

        started = shop.events("attempt.started")[-1]
        assert (started["step"], started["reason"]) == ("silver", "output_changed")
        evidence = started["evidence"]
        assert isinstance(evidence, Mapping)
        assert evidence["expected"] == before != evidence["actual"]
        assert "note: silver: output silver was changed by hand: sha256:" in done.stderr
        assert "note: step silver: output silver was changed by hand: sha256:" in done.stdout

    def test_a_step_never_builds_on_what_it_does_not_trust(self, shop: Shop) -> None:
        """Given a meddled input whose writer is not selected, then the step is skipped, both digests are named, and the run fails."""
        shop.run()
        (shop.folder / "data/bronze/all").write_text("meddled")

        answer = shop.run("--only", "silver", code=1)

        silver = next(step for step in answer["steps"] if step["step"] == "silver")
        assert (answer["status"], silver["status"], silver["reason"]) == ("failed", "skipped", "input_untrusted")
        evidence = shop.ask("explain", "latest", "silver")["evidence"]
        assert evidence["dataset"] == "bronze"
        assert evidence["expected"] != evidence["actual"]

    def test_nights_are_counted_apart(self, shop: Shop) -> None:
        """A step whose path holds `${NIGHT}` succeeds night by night: going back runs nothing again."""
        shell = "mkdir -p data/out/$ORCHESTRATE_NIGHT && cp data/raw/a data/out/$ORCHESTRATE_NIGHT/"
        shop.define(
            f'[pipeline]\nname = "shop"\n[datasets.raw]\npath = "data/raw"\n[datasets.out]\npath = "data/out/${{NIGHT}}"\n'
            f'[steps.bronze]\nshell = \'{shell}\'\nreads = ["raw"]\nwrites = ["out"]\n'
        )
        assert shop.statuses("--for", "2026-01-01") == {"bronze": ("succeeded", None)}
        assert shop.statuses("--for", "2026-01-02") == {"bronze": ("succeeded", None)}
        assert shop.statuses("--for", "2026-01-01") == {"bronze": ("skipped", "no_new_data")}


class TestDefinition:
    """Changes of the definition are part of the history."""

    def test_each_new_definition_is_recorded_with_what_differs(self, shop: Shop) -> None:
        """At the first run with it, once, with path, kind and both values, and who was there."""
        shop.run()
        shop.run()
        text = (shop.folder / "pipeline.toml").read_text()
        shop.define(
            text.replace('writes = ["silver"]', 'writes = ["silver"]\ntimeout = "5m"')
            + "# a comment alone is no change\n"
        )
        shop.run()
        shop.run()

        newest, first = shop.ask("changes")

        assert first["before"] is None
        assert newest["before"] == first["after"] != newest["after"]
        assert newest["changes"] == [{"path": "steps.silver.timeout", "kind": "added", "before": None, "after": "5m"}]
        assert newest["actor"]["user"]

    def test_a_renamed_step_and_dataset_keep_history_and_keys(self, shop: Shop) -> None:
        """`formerly` carries the last success over: nothing runs again, and estimates stay."""
        shop.run()
        text = (shop.folder / "pipeline.toml").read_text()
        renamed = text.replace("[steps.bronze]", '[steps.ingest]\nformerly = ["bronze"]')
        renamed = renamed.replace("[datasets.bronze]", '[datasets.copper]\nformerly = ["bronze"]').replace(
            '"bronze"]', '"copper"]'
        )
        shop.define(renamed.replace('formerly = ["copper"]', 'formerly = ["bronze"]'))

        assert shop.statuses() == {"ingest": ("skipped", "no_new_data"), "silver": ("skipped", "up_to_date")}
        kinds = {(change["path"], change["kind"]) for change in shop.ask("changes")[0]["changes"]}
        assert {("steps.ingest", "renamed"), ("datasets.copper", "renamed")} <= kinds
        usual = {step["step"]: step["expected_seconds"] for step in shop.ask("plan")["steps"]}
        assert usual["ingest"] is not None

    def test_a_renamed_pipeline_keeps_its_history(self, shop: Shop) -> None:
        """`formerly` of the pipeline itself."""
        shop.run()
        text = (shop.folder / "pipeline.toml").read_text()
        shop.define(text.replace('name = "shop"', 'name = "store"\nformerly = ["shop"]'))

        answer = shop.run()

        assert (answer["pipeline"], answer["status"]) == ("store", "nothing_to_do")

    def test_a_step_that_a_run_did_not_have_is_not_defined(self, shop: Shop) -> None:
        """It is never shown as skipped."""
        shop.run()
        text = (shop.folder / "pipeline.toml").read_text()
        shop.define(text + '[steps.late]\ncommand = ["true"]\n')
        shop.run()
        old = shop.ask("runs")[1]["run_id"]

        done = shop.orchestrate("explain", old, "late", cwd=shop.folder)

        assert done.returncode == 2
        assert f"step late is not defined in run {old}" in done.stderr
        assert "late" not in [step["step"] for step in shop.ask("show", old)["steps"]]


class TestLeaks:
    """A secret is refused before it could be recorded."""

    @pytest.mark.parametrize(
        ("extra", "named"),
        [
            (
                '[env.vars]\nTOKEN = { secret = true }\nURL = { default = "https://u:s3cret-value@host" }',
                "URL (default)",
            ),
            ('[env.vars]\nTOKEN = { secret = true }\n[params]\nwho = { default = "s3cret-value" }', "who (default)"),
            ('[env.vars]\nTOKEN = { secret = true }\n[datasets.x]\npath = "data/s3cret-value"', "the definition"),
        ],
    )
    def test_a_secret_in_plain_sight_refuses_the_run(self, shop: Shop, extra: str, named: str) -> None:
        """Given a plain value or a text of the definition that holds it, then exit 2, and it is in no file of the ledger's folder."""
        shop.define(definition(extra=extra, one='command = ["true"]\nenv = ["TOKEN"]'))
        (shop.folder / ".env").write_text("TOKEN=s3cret-value\n")

        done = shop.orchestrate("run", cwd=shop.folder)

        assert done.returncode == 2
        assert f"{named} holds the value of the secret TOKEN" in done.stderr
        assert "s3cret-value" not in done.stdout + done.stderr
        kept = [path for path in (shop.folder / ".orchestrate").rglob("*") if path.is_file()]
        assert [path for path in kept if b"s3cret-value" in path.read_bytes()] == []

    def test_a_reason_is_masked(self, shop: Shop) -> None:
        """What a person types is redacted like everything else."""
        shop.define(
            definition(extra="[env.vars]\nTOKEN = { secret = true }", one='command = ["true"]\nenv = ["TOKEN"]')
        )
        (shop.folder / ".env").write_text("TOKEN=s3cret-value\n")

        shop.run("--reason", "tried with s3cret-value")

        assert shop.events("run.started")[0]["reason"] == "tried with ***"


class TestParameters:
    """Parameters are given to steps as variables, recorded with the run, and part of the key."""

    DEFINITION = """\
[pipeline]
name = "p"
[params]
size = { type = "integer", default = 3, choices = [3, 5] }
[datasets.raw]
path = "raw"
[steps.use]
shell = "echo size $size"
env = ["size"]
reads = ["raw"]
"""

    def test_from_the_command_line_to_the_step(self, tmp_path: Path) -> None:
        """Given --set, then the step sees the value, the run has it with its origin, and another value makes it run again."""
        (tmp_path / "raw").mkdir()
        (tmp_path / "pipeline.toml").write_text(self.DEFINITION, encoding="utf-8")
        assert 0 == program("run", cwd=tmp_path).returncode
        assert 0 == program("run", "--set", "size=5", cwd=tmp_path).returncode
        assert "no_new_data" in program("run", "--set", "size=5", "--json", cwd=tmp_path).stdout

        recorded = [data["variables"]["size"] for data in data_of(ledger_of(tmp_path), "run.started")]
        assert [{"origin": "default", "value": "3"}, *[{"origin": "--set", "value": "5"}] * 2] == recorded
        starts = data_of(ledger_of(tmp_path), "attempt.started")
        assert ["never_succeeded", "variables_changed"] == [data["reason"] for data in starts]
        logs = sorted((tmp_path / ".orchestrate" / "logs").glob("*/use.1.log"))
        assert ["size 3\n", "size 5\n"] == [log.read_text(encoding="utf-8") for log in logs]

    def test_without_a_value(self, tmp_path: Path) -> None:
        """Given a parameter without a default that nobody gives, then the run is refused and says how to give it."""
        text = self.DEFINITION.replace(", default = 3", "")
        (tmp_path / "raw").mkdir()
        (tmp_path / "pipeline.toml").write_text(text, encoding="utf-8")
        (problem,) = refused(program("run", "--json", cwd=tmp_path))

        assert ("missing_parameter", "give it with --set size=…") == (problem["kind"], problem["suggestion"])
