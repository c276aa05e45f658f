"""Tests of `diff`: runs that differ in one thing each, and what is said of them."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from tests.programs import Done, data_of, ledger_of, program, refused, value_of

FIRST, SECOND = "correct-horse-4711", "battery-staple-0815"
DEFINITION = """\
[pipeline]
name = "shop"
[env.vars]
TOKEN = { secret = true }
REGION = { default = "nyc" }
[datasets.raw]
path = "raw"
[datasets.bronze]
path = "bronze"
[steps.load]
command = ["sh", "load.sh"]
env = ["TOKEN", "REGION"]
reads = ["raw"]
writes = ["bronze"]
[steps.count]
shell = "wc -l bronze/*"  # lines
reads = ["bronze"]
[steps.mail]
command = ["true"]
needs = ["count"]
"""
LOAD = "mkdir -p bronze\ncat raw/* > bronze/all.csv\n"


class Runs(NamedTuple):
    """A pipeline and its runs, by what each changed against the one before."""

    shop: Path
    ids: Mapping[str, str]

    def diff(self, before: str, after: str, *options: str) -> Done:
        """Compare two of the runs."""
        return program("diff", self.ids[before], self.ids[after], *options, cwd=self.shop)

    def value(self, before: str, after: str) -> Any:  # noqa: ANN401 - whatever was printed
        """Return the comparison of two of the runs."""
        return value_of(self.diff(before, after, "--json"), "diff")


def secret(shop: Path, value: str) -> None:
    """Put *value* into `.env`."""
    (shop / ".env").write_text(f"TOKEN={value}\n", encoding="utf-8")
    (shop / ".env").chmod(0o600)


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Runs:
    """Run the pipeline again and again, with one more thing changed each time."""
    base = tmp_path_factory.mktemp("diff")
    shop, config = base / "shop", {"XDG_CONFIG_HOME": str(base / "config")}
    (shop / "raw").mkdir(parents=True)
    (shop / "raw" / "1.csv").write_text("1\n", encoding="utf-8")
    (shop / "load.sh").write_text(LOAD, encoding="utf-8")
    (shop / "pipeline.toml").write_text(DEFINITION, encoding="utf-8")
    secret(shop, FIRST)
    ids: dict[str, str] = {}

    def run(name: str, *options: str, cwd: Path = shop) -> None:
        done = program("run", "--json", "--for", "2026-01-01", *options, cwd=cwd, env=config)
        ids[name] = value_of(done, "run", code=None)["run_id"]

    run("first")
    run("idle")
    run("forced", "--force")
    run("again", "--force")
    (shop / "load.sh").write_text(f"# as before\n{LOAD}", encoding="utf-8")
    run("code", "--force")
    (shop / "raw" / "2.csv").write_text("2\n", encoding="utf-8")
    run("input", "--force")
    run("variable", "--force", "--set", "REGION=sfo")
    secret(shop, SECOND)
    run("secret", "--force")
    (base / "config" / "orchestrate" / "rekey-key").unlink()
    run("key", "--force")
    renamed = DEFINITION.replace("[steps.count]", '[steps.tally]\nformerly = ["count"]').replace(
        '"count"]\n', '"tally"]\n'
    )
    renamed = renamed.replace('formerly = ["tally"]', 'formerly = ["count"]')
    (shop / "pipeline.toml").write_text(renamed, encoding="utf-8")
    run("renamed", "--force")
    (shop / "pipeline.toml").write_text(renamed.replace("wc -l bronze/*", "exit 3"), encoding="utf-8")
    run("broken", "--force")
    other = base / "other"
    other.mkdir()
    (other / "pipeline.toml").write_text(
        '[pipeline]\nname = "other"\n[steps.a]\ncommand = ["true"]\n', encoding="utf-8"
    )
    run("other", "--ledger", str(ledger_of(shop)), cwd=other)
    return Runs(shop, ids)


def parts(value: Mapping[str, Any]) -> set[str]:
    """Return the parts of a comparison in which something differs."""
    names = ("code", "environment", "variables", "inputs", "steps", "outputs", "run")
    changed = {name for name in names if value[name]}
    return changed | ({"definition"} if value["definition"]["changes"] or value["definition"]["text"] else set())


class TestDiff:
    """One thing that changed is named, and nothing else."""

    def test_the_same(self, runs: Runs) -> None:
        """Given two forced runs of the same, then nothing differs but durations."""
        value = runs.value("forced", "again")

        assert value["same"]
        assert parts(value) == set()
        assert value["first_divergence"] is None
        assert [row["step"] for row in value["durations"]] == ["load", "count", "mail"]
        text = runs.diff("forced", "again").stdout
        assert "nothing differs but durations" in text
        assert "environment:" not in text

    def test_a_decision(self, runs: Runs) -> None:
        """Given a run that skipped what another ran, then the decision is the difference: what went in, by the skip's certificate, is the same."""
        value = runs.value("first", "idle")

        first = value["first_divergence"]
        assert (first["step"], first["part"]) == ("load", "decision")
        assert (first["before"], first["after"]) == ("never_succeeded", "no_new_data")
        assert value["run"] == [{"what": "status", "before": "succeeded", "after": "nothing_to_do"}]
        assert not value["inputs"]

    def test_code(self, runs: Runs) -> None:
        """Given a changed file of code, then the step that has it diverges first, and the lines are shown."""
        value = runs.value("again", "code")

        assert parts(value) == {"code", "steps"}
        assert (value["first_divergence"]["step"], value["first_divergence"]["component"]) == ("load", "code:load.sh")
        (file,) = value["code"]
        assert (file["path"], file["kind"]) == ("load.sh", "changed")
        assert "+# as before" in file["text"]["lines"]
        text = runs.diff("again", "code").stdout
        assert "first divergence: load: code file load.sh changed" in text
        assert "    +# as before" in text

    def test_an_input(self, runs: Runs) -> None:
        """Given a new file of a source, then it is named, and so are the outputs and the readers that differ for it."""
        value = runs.value("code", "input")

        assert parts(value) == {"inputs", "steps", "outputs"}
        assert value["first_divergence"]["component"] == "input:raw"
        assert [row["dataset"] for row in value["inputs"]] == ["bronze", "raw"]
        assert value["inputs"][1]["files"] == {
            "added": 1, "changed": 0, "removed": 0, "first": [{"path": "2.csv", "change": "added"}],
        }  # fmt: skip
        assert [step["step"] for step in value["steps"]] == ["load", "count"]
        assert "1 added: +2.csv" in runs.diff("code", "input").stdout

    def test_a_variable(self, runs: Runs) -> None:
        """Given another value of a variable, then both values and their origins are told."""
        value = runs.value("input", "variable")

        assert parts(value) == {"variables", "steps"}
        assert value["first_divergence"]["component"] == "variable:REGION"
        (row,) = value["variables"]
        assert (row["before"], row["after"], row["before_origin"], row["after_origin"]) == (
            "nyc",
            "sfo",
            "default",
            "--set",
        )
        assert "nyc -> sfo (from default, then --set)" in runs.diff("input", "variable").stdout

    def test_a_secret(self, runs: Runs) -> None:
        """Given another value of a secret, then that it changed is told, and neither value is."""
        done = runs.diff("variable", "secret", "--json")
        value = value_of(done, "diff")

        row = next(row for row in value["variables"] if row["secret"])
        assert row == {"name": "TOKEN", "secret": True, "before": None, "after": None, "changed": True} | {
            "before_origin": ".env", "after_origin": ".env",
        }  # fmt: skip
        text = runs.diff("variable", "secret", "--html", "-").stdout + runs.diff("variable", "secret").stdout
        assert "a secret; it has another value" in text
        for printed in (done.stdout, text):
            assert FIRST not in printed
            assert SECOND not in printed
            assert "keyed:" not in printed

    def test_a_lost_key(self, runs: Runs) -> None:
        """Given a key that was lost between two runs, then it is said that nobody can know whether the secret changed."""
        value = runs.value("secret", "key")

        assert [(row["name"], row["changed"]) for row in value["variables"]] == [("TOKEN", None)]
        assert not value["same"]
        assert (
            "whether its value changed is not known: the key of its digest is another one, was lost"
            in runs.diff("secret", "key").stdout
        )

    @pytest.mark.parametrize("order", [("key", "renamed"), ("renamed", "key")])
    def test_a_renamed_step(self, runs: Runs, order: tuple[str, str]) -> None:
        """Given a step with a new name, then it is compared with what it was, in both directions, and the definition alone differs."""
        value = runs.value(*order)

        assert parts(value) == {"definition"}
        assert value["first_divergence"] is None
        assert "count" in str(value["definition"]["changes"])
        names = [row["step"] for row in value["durations"]]
        assert names == (["load", "tally", "mail"] if order[1] == "renamed" else ["load", "count", "mail"])

    def test_an_outcome(self, runs: Runs) -> None:
        """Given a step that failed, then the change of its command goes before its exit code, and what was skipped below is named."""
        value = runs.value("key", "broken")

        first = value["first_divergence"]
        assert (first["step"], first["formerly"], first["component"]) == ("tally", "count", "command")
        (tally, mail) = value["steps"]
        assert {entry["component"] for entry in tally["differences"]} >= {"command", "status", "exit_code"}
        assert mail["step"] == "mail"
        assert {row["what"] for row in value["run"]} == {"status", "exit_code"}
        text = runs.diff("key", "broken").stdout
        assert "first divergence: tally (formerly count): its command changed" in text
        assert "exit_code: 0 -> 3" in text
        assert "> steps.tally (formerly count)" in text

    def test_page(self, runs: Runs, tmp_path: Path) -> None:
        """Given --html, then one file without script or address holds the comparison."""
        page = tmp_path / "diff.html"
        assert runs.diff("again", "broken", "--html", str(page)).returncode == 0

        text = page.read_text(encoding="utf-8")
        assert "first divergence: load: code file load.sh changed" in text
        assert "+# as before" in text
        assert "default-src &#x27;none&#x27;" in text or "default-src 'none'" in text
        assert "<script" not in text
        assert "http" not in text.replace("http-equiv", "")

    def test_with_the_ledger_alone(self, runs: Runs, tmp_path: Path) -> None:
        """Given a copy of the ledger somewhere else, then the answer is the same; `latest` and prefixes name runs, and a moment can be chosen."""
        backup = tmp_path / "copy.db"
        assert program("audit", "backup", str(backup), cwd=runs.shop).returncode == 0
        done = program("diff", runs.ids["again"], runs.ids["code"], "--ledger", str(backup), "--json", cwd=tmp_path)
        assert value_of(done, "diff") == runs.value("again", "code")

        seq = next(
            place
            for place, data in enumerate(data_of(ledger_of(runs.shop), "run.started"))
            if data["run_id"] == runs.ids["again"]
        )
        assert seq == 3
        latest = value_of(program("diff", "latest:shop", "latest:shop", "--json", cwd=runs.shop), "diff")
        assert latest["same"]
        assert latest["after"]["run_id"] == runs.ids["broken"]


class TestRefused:
    """What cannot be compared."""

    def test_two_pipelines(self, runs: Runs) -> None:
        """Given runs of two pipelines, then both are named."""
        (problem,) = refused(runs.diff("first", "other", "--json"))
        assert problem["kind"] == "other_pipeline"
        assert "is of pipeline shop" in problem["message"]
        assert "of other: only runs of one pipeline can be compared" in problem["message"]

    def test_no_such_run(self, runs: Runs) -> None:
        """Given a word that means no run, then it is named."""
        assert refused(program("diff", "latest", "20200101", "--json", cwd=runs.shop))[0]["kind"] == "unknown_run"

    def test_two_answers_on_stdout(self, runs: Runs) -> None:
        """Given --json and a page on stdout, then only one can have it."""
        (problem,) = refused(runs.diff("first", "idle", "--json", "--html", "-"))
        assert "only one of --html - and --json" in problem["message"]


class TestSkipped:
    """What a run skipped is compared with what another one did."""

    def test_nothing_has_vanished(self, runs: Runs) -> None:
        """Given a run that skipped everything, with certificates, and one whose last step was skipped after a failure, then no output is gone."""
        idle = runs.value("first", "idle")
        assert (idle["inputs"], idle["outputs"]) == ([], [])
        components = {entry["component"] for step in idle["steps"] for entry in step["differences"]}
        assert components == {"decision", "status", "needs:count"}
        mail = runs.value("key", "broken")["steps"][-1]
        assert [entry["component"] for entry in mail["differences"]] == ["decision", "status"]
