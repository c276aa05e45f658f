"""Tests of `orchestrate report --governance`: who touched which class of data, under whose declaration, and what is past its retention."""

from __future__ import annotations

import getpass
import os
import shutil
import time
from pathlib import Path
from typing import Any

import pytest

from orchestrator.cli.governing import _moment
from tests.programs import Done, program, refused, value_of

DAY = 86_400

DEFINITION = """
[pipeline]
name = "crm"
[env.vars]
OUT = { default = "out" }
[datasets.people]
path = "people.csv"
classification = "personal"
owner = "sales"
layer = "raw"
[datasets.other]
path = "other.csv"
[datasets.clean]
path = "${OUT}/${NIGHT}"
pattern = "*.csv"
retention = "30d"
[datasets.sums]
path = "sums.csv"
classification = "internal"
layer = "gold"
retention = "400d"
[steps.clean]
shell = "mkdir -p out/$ORCHESTRATE_NIGHT; cp people.csv out/$ORCHESTRATE_NIGHT/a.csv; cp people.csv out/$ORCHESTRATE_NIGHT/b.txt"
reads = ["people", "other"]
writes = ["clean"]
[steps.sums]
shell = "date > sums.csv"
reads = ["clean"]
writes = ["sums"]
declassifies = "a count"
[steps.tidy]
command = ["true"]
"""


def crm(folder: Path, text: str = DEFINITION) -> None:
    """Write the project."""
    (folder / "pipeline.toml").write_text(text, encoding="utf-8")
    for name in ("people", "other"):
        (folder / f"{name}.csv").write_text("x\n", encoding="utf-8")


def night(folder: Path, date: str) -> Done:
    """Run one night."""
    return program("run", "--quiet", "--for", date, cwd=folder)


def report(folder: Path, *more: str) -> Any:  # noqa: ANN401 - JSON
    """Return the report as a value, which follows its schema."""
    return value_of(program("report", "--governance", "--json", *more, cwd=folder), "governance")


def dataset(value: Any, name: str) -> Any:  # noqa: ANN401 - JSON
    """Return what the report says of the dataset *name*."""
    return next(item for item in value["datasets"] if item["dataset"] == name)


@pytest.fixture(scope="module")
def lived(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Give a project with two nights, another reason for the second one, and a third night in which nothing ran; nobody changes it."""
    folder = tmp_path_factory.mktemp("crm")
    crm(folder)
    assert 0 == night(folder, "2026-01-01").returncode
    crm(folder, DEFINITION.replace('"a count"', '"a count, by month"'))
    assert 0 == night(folder, "2026-01-02").returncode
    return folder


class TestTouched:
    """Which step touched what, when, under which definition."""

    def test_each_step_with_its_nights(self, lived: Path) -> None:
        """Given two nights, then each step has its class, its datasets with theirs, its nights and runs; the highest class comes first."""
        touched = report(lived)["touched"]

        assert [("personal", "clean"), ("personal", "sums"), ("personal", "sums")] == [
            (item["classification"], item["step"]) for item in touched
        ]
        clean = touched[0]
        assert ["2026-01-01", "2026-01-02"] == clean["nights"]
        assert 2 == len(clean["runs"]) == clean["attempts"]
        assert [
            {"dataset": "other", "classification": None, "inherited": False},
            {"dataset": "people", "classification": "personal", "inherited": False},
        ] == clean["reads"]
        assert [{"dataset": "clean", "classification": "personal", "inherited": True}] == clean["writes"]

    def test_declarations_with_who_brought_them_in(self, lived: Path) -> None:
        """Given a reason that changed, then each is there with its time, its actor and its definition, and the first has an end."""
        value = report(lived)

        assert [("a count", ["2026-01-01"]), ("a count, by month", ["2026-01-02"])] == [
            (item["declassifies"], item["nights"]) for item in value["touched"][1:]
        ]
        first, second = value["declarations"]
        assert ("a count", "a count, by month") == (first["declassifies"], second["declassifies"])
        assert first["until"] == second["since"]
        assert second["until"] is None
        assert {getpass.getuser()} == {item["declared_by"] for item in (first, second)}
        assert second["definition"] == value["touched"][2]["definitions"][0]["definition"]

    def test_declaration_that_ends(self, tmp_path: Path) -> None:
        """Given a step that declassifies no longer, then its declaration has an end and stands no more."""
        crm(tmp_path)
        night(tmp_path, "2026-01-01")
        crm(tmp_path, DEFINITION.replace('declassifies = "a count"', "").replace('"internal"', '"personal"'))
        night(tmp_path, "2026-01-02")

        (declaration,) = report(tmp_path)["declarations"]

        assert declaration["until"] is not None

    def test_nights_that_are_asked_for(self, lived: Path) -> None:
        """Given --since and --until, then only those nights count, both ends included."""
        assert ["2026-01-02"] == report(lived, "--since", "2026-01-02")["touched"][0]["nights"]
        assert ["2026-01-01"] == report(lived, "--until", "2026-01-01")["touched"][0]["nights"]
        assert [] == report(lived, "--since", "2026-01-03", "--until", "2026-02-01")["touched"]

    def test_resumed_under_another_definition(self, tmp_path: Path) -> None:
        """Given a run that is resumed when the data has another class, then each attempt counts under the definition that it ran under."""
        crm(tmp_path, DEFINITION.replace("date > sums.csv", "false"))
        assert 1 == night(tmp_path, "2026-01-01").returncode
        text = DEFINITION.replace('"personal"', '"confidential"')
        crm(tmp_path, text)
        assert 0 == program("resume", "latest", "--accept-definition", "--quiet", cwd=tmp_path).returncode

        touched = report(tmp_path)["touched"]

        assert [("personal", "clean"), ("personal", "sums"), ("confidential", "sums")] == [
            (item["classification"], item["step"]) for item in touched
        ]

    def test_pipelines_of_one_ledger(self, lived: Path, tmp_path: Path) -> None:
        """Given another pipeline on the same ledger, then both are in the report, and --pipeline chooses one."""
        shutil.copytree(lived, tmp_path / "crm")
        ledger = tmp_path / "crm" / ".orchestrate" / "ledger.db"
        (tmp_path / "pipeline.toml").write_text('pipeline.name = "b"\n[steps.s]\ncommand = ["true"]\n')
        assert 0 == program("run", "--quiet", "--ledger", str(ledger), cwd=tmp_path).returncode

        assert ["b", "crm"] == report(tmp_path, "--ledger", str(ledger))["pipelines"]
        chosen = report(tmp_path, "--ledger", str(ledger), "--pipeline", str(tmp_path / "pipeline.toml"))
        assert (["b"], [], []) == (chosen["pipelines"], chosen["touched"], chosen["datasets"])


class TestDatasets:
    """What holds now, and what is too old."""

    def test_facts(self, lived: Path) -> None:
        """Given datasets, then owner, layer, class and where it comes from, writer and last success."""
        value = report(lived)

        people, clean = dataset(value, "people"), dataset(value, "clean")
        assert ("sales", "raw", "personal", None, None) == tuple(
            people[name] for name in ("owner", "layer", "classification", "inherited_from", "last_success")
        )
        assert ("personal", "people", "clean") == tuple(
            clean[name] for name in ("classification", "inherited_from", "writer")
        )
        assert clean["last_success"].endswith("Z")
        assert people["kept"] is None
        assert dataset(value, "other")["classification"] is None

    def test_files_that_are_too_old(self, lived: Path, tmp_path: Path) -> None:
        """Given a file of one night that is older than the retention, then it is counted; what does not belong to the dataset is not; nothing is gone."""
        folder = tmp_path / "crm"
        shutil.copytree(lived, folder)
        old = time.time() - 31 * DAY
        for name in ("a.csv", "b.txt"):
            os.utime(folder / "out" / "2026-01-01" / name, (old, old))

        value = report(folder)
        text = program("report", "--governance", cwd=folder).stdout

        kept = dataset(value, "clean")["kept"]
        assert ("files", 2, 1) == (kept["by"], kept["files"], kept["past"])
        assert kept["oldest_at"].startswith(time.strftime("%Y-%m-%d", time.gmtime(old)))
        assert {"by": "files", "files": 1, "past": 0} == {
            name: dataset(value, "sums")["kept"][name] for name in ("by", "files", "past")
        }
        assert "1 of 2 files, the oldest of" in text
        assert (folder / "out" / "2026-01-01" / "a.csv").exists()

    def test_files_that_cannot_be_seen(self, lived: Path, tmp_path: Path) -> None:
        """Given the ledger alone, then the last success counts; one that is younger than the retention is none of concern."""
        shutil.copytree(lived / ".orchestrate", tmp_path / ".orchestrate")

        value = report(tmp_path)

        kept = dataset(value, "clean")["kept"]
        assert ("last_success", None, 0) == (kept["by"], kept["files"], kept["past"])
        assert kept["oldest_at"] == dataset(value, "clean")["last_success"]
        assert "Past its retention: none" in program("report", "--governance", cwd=tmp_path).stdout

    def test_last_success_that_is_too_old(self, tmp_path: Path) -> None:
        """Given files that are gone and a success before the retention, then all of the dataset is past."""
        crm(tmp_path, DEFINITION.replace('"30d"', '"1ms"').replace('"400d"', '"1ms"'))
        night(tmp_path, "2026-01-01")
        shutil.rmtree(tmp_path / "out")

        value = report(tmp_path)

        # The folder of all nights is what is looked at: that one is gone.
        assert ("last_success", 1) == tuple(dataset(value, "clean")["kept"][name] for name in ("by", "past"))
        assert "all of it: last written" in program("report", "--governance", cwd=tmp_path).stdout

    def test_source_and_step_that_never_succeeded(self, tmp_path: Path) -> None:
        """Given a retention of what nobody can see and nobody has written, then nothing is known of its age."""
        text = DEFINITION.replace('path = "other.csv"', 'path = "other.csv"\nretention = "1d"').replace(
            "cp people", "false people"
        )
        crm(tmp_path, text)
        night(tmp_path, "2026-01-01")
        (tmp_path / "other.csv").unlink()
        shutil.rmtree(tmp_path / "out", ignore_errors=True)

        value = report(tmp_path)

        for name in ("other", "clean"):
            assert {"by": "nothing", "files": None, "past": 0, "oldest_at": None} == dataset(value, name)["kept"]

    def test_times_that_no_calendar_has(self) -> None:
        """Given times of files beyond all years, then the first or the last moment that can be told."""
        assert 1 == _moment(-1e18).year
        assert 9999 == _moment(1e18).year


class TestForms:
    """On a terminal, as Markdown, as a page, as JSON."""

    def test_all_forms_say_the_same(self, lived: Path, tmp_path: Path) -> None:
        """Given the forms, then each has every class, step, reason and dataset, and says what it rests on."""
        page, text = tmp_path / "d.html", tmp_path / "d.md"
        done = program("report", "--governance", "--html", str(page), "--markdown", str(text), cwd=lived)
        shown = program("report", "--governance", cwd=lived).stdout
        root = report(lived)["checkpoint"]["root"]

        assert ("", f"written: {page}\nwritten: {text}\n") == (done.stdout, done.stderr)
        assert 0o600 == page.stat().st_mode & 0o777
        for form in (page.read_text(encoding="utf-8"), text.read_text(encoding="utf-8"), shown):
            for words in (
                "personal",
                "a count, by month",
                "2026-01-01 to 2026-01-02",
                "sales",
                root,
                "Without a class",
            ):
                assert words in form, words
        assert "default-src 'none'" in page.read_text(encoding="utf-8")
        assert "Nothing is removed" in text.read_text(encoding="utf-8")

    def test_hostile_texts(self, tmp_path: Path) -> None:
        """Given a reason with markup, then it is text on the page and in Markdown."""
        crm(tmp_path, DEFINITION.replace('"a count"', '"<script>x</script> | `y`"'))
        night(tmp_path, "2026-01-01")

        assert "<script>" not in program("report", "--governance", "--html", "-", cwd=tmp_path).stdout
        assert (
            "\\<script\\>x\\</script\\> \\| \\`y\\`"
            in program("report", "--governance", "--markdown", "-", cwd=tmp_path).stdout
        )

    def test_before_the_first_run(self, tmp_path: Path) -> None:
        """Given no ledger yet, then nothing is listed, and that is no error."""
        crm(tmp_path)

        assert ([], [], 0) == tuple(report(tmp_path)[name] for name in ("touched", "datasets", "events"))
        assert "Who touched which data: none" in program("report", "--governance", cwd=tmp_path).stdout

    @pytest.mark.parametrize(
        ("arguments", "words"),
        [
            ((), "report takes a RUN, or --governance"),
            (("latest", "--governance"), "report takes a RUN, or --governance"),
            (("latest", "--since", "2026-01-01"), "choose nights for --governance"),
            (("--governance", "--since", "January"), "--since takes a date such as 2026-01-31, not 'January'"),
            (("--governance", "--until", "2026-02-30"), "--until takes a date"),
            (("--governance", "--since", "2026-02-01", "--until", "2026-01-01"), "--until 2026-01-01 is before"),
        ],
    )
    def test_wrong_usage(self, lived: Path, arguments: tuple[str, ...], words: str) -> None:
        """Given options that make no sense together, then exit code 2 and what is expected."""
        (problem,) = refused(program("report", *arguments, "--json", cwd=lived))

        assert words in problem["message"]
