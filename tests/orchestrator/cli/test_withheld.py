"""Tests of what is shown of steps that touch personal data: nothing that they print or say, but to those who ask for a log."""

from __future__ import annotations

import json
import zipfile
from pathlib import Path

import pytest

from tests.programs import Done, data_of, ledger_of, program, value_of

NAME = "Wilhelmina-Obermoser"

# The name is data: as a whole it stands nowhere in the code, which is kept.
CHECK = """
import json, os, sys
name = "-".join(("Wilhelmina", "Obermoser"))
print(f"row 3 of {name} has no address")
report = {"status": "failed", "message": f"no address: {name}", "metrics": {"worst": name, "rows": 3, "whole": False},
          "outputs": {"clean": {"rows": 2, "first": name}}}
with open(os.environ["ORCHESTRATE_RESULT"], "w") as file:
    file.write(open("report.json").read() if os.path.exists("report.json") else json.dumps(report))
"""
DEFINITION = """
[pipeline]
name = "crm"
[datasets.people]
path = "people.csv"
classification = "{people}"
[datasets.clean]
path = "clean.csv"
[datasets.sums]
path = "sums.csv"
classification = "internal"
[steps.clean]
command = ["python", "check.py"]
reads = ["people"]
writes = ["clean"]
[steps.sums]
command = ["true"]
reads = ["clean"]
writes = ["sums"]
declassifies = "sums"
"""

WITHHELD = "withheld, as the step touches personal data"
READING = (
    ("show", "latest"),
    ("show", "latest", "--json"),
    ("explain", "latest", "clean"),
    ("explain", "latest", "clean", "--json"),
    ("report", "latest"),
    ("report", "latest", "--json"),
    ("report", "latest", "--html", "-"),
    ("report", "latest", "--markdown", "-"),
    ("status",),
    ("status", "--json"),
    ("runs", "--json"),
    ("audit", "query", "SELECT * FROM audit_attempts"),
    ("audit", "query", "SELECT * FROM audit_events"),
)


def crm(folder: Path, people: str = "personal") -> None:
    """Write the project into *folder*."""
    (folder / "check.py").write_text(CHECK, encoding="utf-8")
    (folder / "people.csv").write_text("x\n", encoding="utf-8")
    (folder / "pipeline.toml").write_text(DEFINITION.format(people=people), encoding="utf-8")


def everything_shown(folder: Path) -> str:
    """Return all that the reading commands print of the last run, what its reports hold, and every byte of the ledger as text."""
    shown = [done.stdout + done.stderr for done in (program(*words, cwd=folder) for words in READING)]
    shown += [path.read_text(encoding="utf-8") for path in folder.glob(".orchestrate/reports/*/*")]
    ledger = [path.read_bytes().decode("utf-8", "replace") for path in folder.glob(".orchestrate/ledger.db*")]
    assert 3 == len(list(folder.glob(".orchestrate/reports/*/*")))
    return "\n".join([*shown, *ledger])


class TestPersonal:
    """A step that reads, writes or inherits personal data."""

    def test_nothing_is_shown_by_the_way(self, tmp_path: Path) -> None:
        """Given such a step that prints and reports a name and fails, then the name is in its log and nowhere else."""
        crm(tmp_path)

        done = program("run", cwd=tmp_path)

        assert 1 == done.returncode
        assert NAME not in done.stdout + done.stderr
        assert WITHHELD in done.stdout
        assert NAME not in everything_shown(tmp_path)

    def test_in_its_place_stands_how_to_read_it(self, tmp_path: Path) -> None:
        """Given the run, then each place that would show the end of the log says why not, and the command that it names shows it."""
        crm(tmp_path)
        program("run", "--quiet", cwd=tmp_path)

        for words in READING[4], READING[6], READING[7], READING[2]:
            assert WITHHELD in program(*words, cwd=tmp_path).stdout.replace("\\", ""), words

        logs = program("logs", "latest", "clean", cwd=tmp_path)
        assert f"row 3 of {NAME} has no address\n" == logs.stdout
        (entry,) = value_of(program("logs", "latest", "--json", cwd=tmp_path), "logs")
        assert "personal" == entry["class"]

    def test_numbers_are_kept(self, tmp_path: Path) -> None:
        """Given what it reports, then numbers and truth values are recorded, and its texts are not."""
        crm(tmp_path)
        program("run", "--quiet", cwd=tmp_path)

        (finished,) = data_of(ledger_of(tmp_path), "attempt.finished")

        assert {"worst": WITHHELD, "rows": 3, "whole": False} == finished["metrics"]
        assert {"clean": {"rows": 2, "first": WITHHELD}} == finished["reported"]
        assert WITHHELD == finished["message"]

    @pytest.mark.parametrize("report", [f'["{NAME}"]', f'{{"status": "{NAME}"}}', f'{{"{NAME}": 1}}'])
    def test_broken_report(self, tmp_path: Path, report: str) -> None:
        """Given a report that breaks its rules, then that is told, and nothing of it."""
        crm(tmp_path)
        (tmp_path / "report.json").write_text(report, encoding="utf-8")
        program("run", "--quiet", cwd=tmp_path)

        (finished,) = data_of(ledger_of(tmp_path), "attempt.finished")

        assert "bad_result" == finished["reason"]
        assert f"the report breaks its rules; which of them is {WITHHELD}" == finished["message"]
        assert NAME not in everything_shown(tmp_path)

    def test_bundle_for_others(self, tmp_path: Path) -> None:
        """Given a bundle of the run with its logs, then that one is left out, and said to be."""
        crm(tmp_path)
        program("run", "--quiet", cwd=tmp_path)

        done = program("audit", "prove", "--run", "latest", "--logs", "--out", "night.zip", cwd=tmp_path)

        assert (0, True) == (
            done.returncode,
            "holds what a step says of personal data, so it is not included" in done.stderr,
        )
        with zipfile.ZipFile(tmp_path / "night.zip") as bundle:
            assert not any(NAME.encode() in bundle.read(name) for name in bundle.namelist())
            (stated,) = json.loads(bundle.read(next(name for name in bundle.namelist() if name.endswith("logs.json"))))
        assert "withheld" == stated["file"]

    def test_inherited(self, tmp_path: Path) -> None:
        """Given a step that reads what has no class and is made of personal data, then its output is withheld as well."""
        crm(tmp_path)
        text = (tmp_path / "pipeline.toml").read_text(encoding="utf-8")
        (tmp_path / "check.py").write_text("import sys; open('clean.csv', 'w').write('x')", encoding="utf-8")
        (tmp_path / "pipeline.toml").write_text(
            text.replace('command = ["true"]', f'shell = "echo {NAME}; exit 3"'), encoding="utf-8"
        )

        done = program("run", cwd=tmp_path)

        assert NAME not in done.stdout
        assert WITHHELD in done.stdout

    def test_class_that_is_taken_away_before_a_resume(self, tmp_path: Path) -> None:
        """Given a run whose definition calls the data internal when it is resumed, then the log of before is withheld all the same."""
        crm(tmp_path)
        program("run", "--quiet", cwd=tmp_path)
        crm(tmp_path, people="internal")

        done = program("resume", "latest", "--accept-definition", cwd=tmp_path)

        assert 1 == done.returncode
        assert WITHHELD in done.stdout


class TestOthers:
    """Lower classes."""

    @pytest.mark.parametrize("people", ["public", "confidential"])
    def test_shown(self, tmp_path: Path, people: str) -> None:
        """Given the same step with data of a lower class, then its last lines and its message are shown."""
        crm(tmp_path, people=people)
        done: Done = program("run", cwd=tmp_path)

        assert f"row 3 of {NAME} has no address" in done.stdout
        assert f"no address: {NAME}" in done.stdout
