"""Tests of `audit package`: what an auditor gets of a period, that it is complete, and that it is the same each time."""

from __future__ import annotations

import csv
import json
import shutil
import subprocess
import sys
import zipfile
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest

from ledger.verifier import TABLE_TYPES
from orchestrator.projections.period import TABLES
from tests.programs import everything_in, no_traceback, program, refused, value_of
from tests.quarter import LOG, Quarter
from tests.tampering import body_of, remake_tree, sign_anew, unguarded, write_body

Json = dict[str, Any]


class Made:
    """A quarter and the key that signed it."""

    def __init__(self, folder: Path) -> None:
        with Quarter(folder / "ledger.db") as quarter:
            self.key = quarter.make_key().verifier.text
            quarter.live_through()
        self.path = quarter.path

    def package(self, cwd: Path, first: str, last: str, *options: str, out: str = "p") -> Json:
        """Write a package into *cwd* and return what the program says of it, after checking it with the key."""
        command = ("audit", "package", "--from", first, "--to", last, "--out", out, "--ledger", str(self.path))
        done: Json = value_of(program(*command, *options, "--json", cwd=cwd), "audit-package")
        checked = program("audit", "check-proof", out, "--key", self.key, cwd=cwd)
        assert checked.returncode == 0, checked.stdout
        return done


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Made:
    """Give a quarter; whoever takes it changes nothing in it."""
    return Made(tmp_path_factory.mktemp("quarter"))


def rows_of(folder: Path, table: str) -> list[Json]:
    """Return the rows of a table of the package in *folder*; its two files say the same."""
    rows = [json.loads(line) for line in (folder / f"tables/{table}.jsonl").read_text(encoding="utf-8").splitlines()]
    with (folder / f"tables/{table}.csv").open(encoding="utf-8", newline="") as file:
        cells = list(csv.reader(file))
    for row, line in zip(rows, cells[1:], strict=True):
        assert dict(zip(cells[0], (cell.removeprefix("'") for cell in line), strict=True)) == {
            name: "" if value is None else str(value) for name, value in row.items()
        }
    return rows


class TestTables:
    """What happened, as rows."""

    def test_everything_that_happened(self, made: Made, tmp_path: Path) -> None:
        """Given a quarter, then every kind of thing that happened in it has its rows, with who and why."""
        done = made.package(tmp_path, "2026-01-01", "2026-01-31")
        place = tmp_path / "p"
        assert done["tables"] == {
            "runs": 7,
            "refusals": 2,
            "overlaps": 1,
            "missing_nights": 3,
            "manual_actions": 5,
            "definition_changes": 1,
            "moves": 2,
            "reviews": 2,
            "runs_elsewhere": 0,
        }
        assert [(row["night"], row["status"], row["sealed"]) for row in rows_of(place, "runs")] == [
            ("2026-01-01", "succeeded", 1),
            ("2026-01-02", "succeeded", 1),
            ("2026-01-02", "succeeded", 1),
            ("2026-01-04", "failed", 1),
            ("2026-01-05", "succeeded", 1),
            ("2026-01-03", "succeeded", 1),
            ("2026-01-08", "succeeded", 0),
        ]
        assert [(row["pipeline"], row["night"]) for row in rows_of(place, "missing_nights")] == [
            ("shop", "2026-01-03"),
            ("shop", "2026-01-06"),
            ("shop", "2026-01-07"),
        ]
        (overlap,) = rows_of(place, "overlaps")
        assert (overlap["active_run_id"], overlap["active_host"], overlap["user"]) == ("r", "etl1", "alice")
        assert [(row["action"], row["reason"]) for row in rows_of(place, "manual_actions")] == [
            ("note.added", None),
            ("run.acknowledged", "ticket 4711"),
            ("output.accepted", "mended by hand"),
            ("pipeline.moved", "tidied"),
            ("run.started", None),
        ]
        assert [(row["kind"], row["text"], row["reason"]) for row in rows_of(place, "reviews")] == [
            ("note", '=HYPERLINK("x")', None),
            ("acknowledgement", "failed", "ticket 4711"),
        ]
        assert [(row["kind"], row["after"]) for row in rows_of(place, "moves")] == [
            ("definition", "new/pipeline.toml"),
            ("host", "etl2"),
        ]

    def test_what_is_complete(self) -> None:
        """Given the tables, then those of which the verifier says that nothing is missing are those that hold every event of some types."""
        assert {name: table.types for name, table in TABLES.items() if table.types} == TABLE_TYPES

    def test_formulas_are_text(self, made: Made, tmp_path: Path) -> None:
        """Given a note that begins like a formula, then no spreadsheet takes it for one."""
        made.package(tmp_path, "2026-01-01", "2026-01-31")
        assert '"\'=HYPERLINK(""x"")"' in (tmp_path / "p/tables/reviews.csv").read_text(encoding="utf-8")

    def test_runs_recorded_elsewhere(self, made: Made, tmp_path: Path) -> None:
        """Given a night that was made up for later, then the period names the run, though it was recorded outside of it."""
        done = made.package(tmp_path, "2026-01-03", "2026-01-03")
        (row,) = rows_of(tmp_path / "p", "runs_elsewhere")
        assert (row["pipeline"], row["night"], row["started_at"]) == (
            "mart",
            "2026-01-03",
            "2026-01-07T10:00:00.000000Z",
        )
        assert done["recorded_in_period"] == 0
        (warning,) = done["warnings"]
        assert warning.startswith("runs for nights of the period that were recorded outside of it: 1, ")

    def test_one_pipeline(self, made: Made, tmp_path: Path) -> None:
        """Given a pipeline, then the tables and the sample are of it alone; the events are all there, so that nothing is hidden."""
        done = made.package(tmp_path, "2026-01-01", "2026-01-31", "--pipeline-name", "mart")
        assert {row["pipeline"] for row in rows_of(tmp_path / "p", "runs")} == {"mart"}
        assert done["tables"]["refusals"] == 0
        assert (done["sample"]["population"], done["pipelines"]) == (4, ["mart"])
        everything = made.package(tmp_path, "2026-01-01", "2026-01-31", out="q")
        assert done["events"] == everything["events"]
        (problem,) = refused(program("audit", "package", "--from", "2026-01-01", "--to", "2026-01-02", "--out", "x", "--pipeline-name", "ship", "--ledger", str(made.path), "--json", cwd=tmp_path))  # fmt: skip
        assert problem["kind"] == "unknown_pipeline"


class TestRange:
    """Which events are handed over."""

    @pytest.mark.parametrize(
        ("first", "last", "start", "inside"),
        [
            ("2026-01-01", "2026-01-01", 0, 8),
            ("2026-01-02", "2026-01-02", 0, 17),
            ("2026-01-04", "2026-01-05", 9, 23),
            ("2026-01-03", "2026-01-03", 9, 0),
            ("2025-01-01", "2025-01-02", 0, 0),
            ("2026-01-08", "2026-01-09", 49, 0),
        ],
    )
    def test_from_checkpoint_to_checkpoint(
        self, made: Made, tmp_path: Path, first: str, last: str, start: int, inside: int
    ) -> None:
        """Given a period, then the events go from a checkpoint that leaves one of before it to the one after it, and those of the period are counted."""
        done = made.package(tmp_path, first, last)
        assert json.loads((tmp_path / "p/range.json").read_text())["start"] == start
        assert (tmp_path / "p/checkpoint.start").exists() == (start > 0)
        assert (done["recorded_in_period"], done["size"] - done["events"]) == (inside, start)
        assert done["first_seq"] == (start if done["events"] else None)

    def test_end_of_the_period_is_shown(self, made: Made, tmp_path: Path) -> None:
        """Given a period with events after it, then one of them is here, and the end is shown; else it is said up to when the package goes."""
        made.package(tmp_path, "2026-01-01", "2026-01-05")
        events = [json.loads(line) for line in (tmp_path / "p/events.jsonl").read_text(encoding="utf-8").splitlines()]
        assert events[-1]["recorded_at"] > "2026-01-06"
        for last, since in (("05", None), ("07", "2026-01-07T10:00:00.000000Z")):
            (tmp_path / last).mkdir()
            assert made.package(tmp_path / last, "2026-01-01", f"2026-01-{last}")["open_since"] == since
        for last, shown in (("2026-01-05", False), ("2026-01-07", True)):
            command = ("audit", "package", "--from", "2026-01-01", "--to", last, "--out", f"{last}.zip")
            done = program(*command, "--ledger", str(made.path), cwd=tmp_path)
            words = "what was recorded after 2026-01-07T10:00:00.000000Z, "
            assert (
                f"  not here:   {words}until the end of the period: no checkpoint covers it\n" in done.stdout
            ) == shown
            with zipfile.ZipFile(tmp_path / f"{last}.zip") as archive:
                assert (words in archive.read("cover.html").decode()) == shown
            checked = program("audit", "check-proof", f"{last}.zip", "--key", made.key, cwd=tmp_path)
            assert (f"  - {words}the last event here, until the end of 2026-01-07\n" in checked.stdout) == shown

    def test_all_days(self, made: Made, tmp_path: Path) -> None:
        """Given the first and the last day that there are, then the package is made; only the very last one has no day after it."""
        done = made.package(tmp_path, "0001-01-01", "9999-12-30")
        assert (done["first_seq"], done["last_seq"]) == (0, done["size"] - 1)
        command = (
            "audit",
            "package",
            "--from",
            "0001-01-01",
            "--to",
            "9999-12-31",
            "--out",
            "q",
            "--ledger",
            str(made.path),
        )
        (problem,) = refused(program(*command, "--json", cwd=tmp_path))
        assert problem["message"] == "--to 9999-12-31 is the last day of all; give one before it"

    def test_unsealed_tail_is_said(self, made: Made, tmp_path: Path) -> None:
        """Given events after the last checkpoint, then they are counted and said, and their rows are marked."""
        done = made.package(tmp_path, "2026-01-08", "2026-01-08")
        assert (done["not_sealed"], done["recorded_in_period"], done["sample"]["items"]) == (8, 0, [])
        assert "8 events of the period were recorded after the last checkpoint" in done["warnings"][0]
        (row,) = rows_of(tmp_path / "p", "runs")
        assert row["sealed"] == 0

    def test_without_a_checkpoint(self, tmp_path: Path) -> None:
        """Given a ledger that nobody sealed, then it is refused, and the command that seals is named."""
        with Quarter(tmp_path / "ledger.db") as quarter:
            quarter.at("2026-01-01").run("2026-01-01")
        command = ("audit", "package", "--from", "2026-01-01", "--to", "2026-01-01", "--ledger", "ledger.db")
        (problem,) = refused(program(*command, "--out", "p.zip", "--json", cwd=tmp_path))
        assert problem["kind"] == "not_sealed"
        assert "`orchestrate audit checkpoint`" in problem["message"]
        assert not (tmp_path / "p.zip").exists()

    def test_unsigned_is_said(self, tmp_path: Path) -> None:
        """Given checkpoints that nobody signed, then the package rests on them and says so."""
        with Quarter(tmp_path / "ledger.db") as quarter:
            quarter.at("2026-01-01").run("2026-01-01")
            quarter.seal()
        done = program("audit", "package", "--from", "2026-01-01", "--to", "2026-01-01", "--ledger", "ledger.db", "--out", "p", cwd=tmp_path)  # fmt: skip
        assert done.returncode == 0, done.stderr
        assert "warning: the checkpoint is not signed" in done.stderr
        assert "The checkpoint is not signed" in (tmp_path / "p/cover.md").read_text(encoding="utf-8")


class TestSample:
    """Steps that chance draws, so that nobody chooses them."""

    def test_is_reproducible(self, made: Made, tmp_path: Path) -> None:
        """Given a seed, then the documented rule draws the same steps from the events alone; another seed draws others."""
        done = made.package(tmp_path, "2026-01-01", "2026-01-31", "--sample", "4", "--seed", "7")
        events = [json.loads(line) for line in (tmp_path / "p/events.jsonl").read_text(encoding="utf-8").splitlines()]
        items = {
            f"{event['stream'].removeprefix('run/')}/{event['data']['step']}"
            for event in events
            if event["type"] == "step.finished"
        }
        expected = sorted(items, key=lambda item: sha256(f"7\n{item}".encode()).hexdigest())[:4]
        assert done["sample"] == {"seed": "7", "population": 12, "items": expected}
        other = made.package(tmp_path, "2026-01-01", "2026-01-31", "--sample", "4", "--seed", "8", out="q")
        assert other["sample"]["items"] != expected

    def test_proofs_and_logs(self, made: Made, tmp_path: Path) -> None:
        """Given a sample, then each event of a step has a proof of its own, and its log was compared with what was recorded."""
        made.package(tmp_path, "2026-01-01", "2026-01-31", "--sample", "3")
        sample = json.loads((tmp_path / "p/sample.json").read_text(encoding="utf-8"))
        proofs = {f"proofs/{seq}.tlog-proof" for item in sample["items"] for seq in item["seqs"]}
        assert len(proofs) == 9
        assert {name for name in everything_in(tmp_path / "p") if name.startswith("proofs/")} == proofs
        for item in sample["items"]:
            assert [log["file"] for log in item["logs"]] == ["intact"]
            assert item["status"] in ("succeeded", "failed")
        body = (tmp_path / "p/events.jsonl").read_bytes().splitlines()[sample["items"][0]["seqs"][0]]
        (tmp_path / "one.json").write_bytes(body)
        proof = f"p/proofs/{sample['items'][0]['seqs'][0]}.tlog-proof"
        done = program("audit", "check-proof", proof, "--body", "one.json", "--key", made.key, cwd=tmp_path)
        assert done.returncode == 0, done.stdout

    def test_default_seed_is_the_root(self, made: Made, tmp_path: Path) -> None:
        """Given no seed, then the root is it, which nobody could choose."""
        done = made.package(tmp_path, "2026-01-01", "2026-01-31", "--sample", "2")
        assert done["sample"]["seed"] == done["root"]

    def test_altered_and_missing_logs(self, tmp_path: Path) -> None:
        """Given logs that were changed or removed since, then the sample, the cover and a warning say so."""
        made = Made(tmp_path)
        logs = sorted((tmp_path / "logs").rglob("*.log"))
        for number, log in enumerate(logs):
            log.write_bytes(LOG + b"!") if number % 2 else log.unlink()
        done = made.package(tmp_path, "2026-01-01", "2026-01-31", "--sample", "20")
        sample = json.loads((tmp_path / "p/sample.json").read_text(encoding="utf-8"))
        assert {log["file"] for item in sample["items"] for log in item["logs"]} == {"altered", "missing"}
        assert any("logs of the sample are not what was recorded" in warning for warning in done["warnings"])
        assert "report.1.log altered" in (tmp_path / "p/cover.md").read_text(encoding="utf-8")


class TestPackage:
    """The package as a thing to hand over."""

    def test_same_ledger_same_bytes(self, made: Made, tmp_path: Path) -> None:
        """Given the same ledger and the same options, then the file is the same, byte for byte, and the folder holds the same files."""
        first, second = (
            made.package(tmp_path, "2026-01-02", "2026-01-05", "--seed", "7", out=name) for name in ("a.zip", "b.zip")
        )
        assert (tmp_path / "a.zip").read_bytes() == (tmp_path / "b.zip").read_bytes()
        assert first["manifest_sha256"] == second["manifest_sha256"]
        made.package(tmp_path, "2026-01-02", "2026-01-05", "--seed", "7", out="folder")
        with zipfile.ZipFile(tmp_path / "a.zip") as archive:
            for name in archive.namelist():
                assert archive.read(name) == (tmp_path / "folder" / name).read_bytes()

    @pytest.mark.needs("openssl")
    def test_verifier_in_the_package(self, made: Made, tmp_path: Path) -> None:
        """Given the folder and Python without any package, then the file in it checks the whole, and finds one changed row or event."""
        made.package(tmp_path, "2026-01-02", "2026-01-05")
        command = [sys.executable, "-I", "-S", "verify.py", ".", "--key", made.key]
        done = subprocess.run(command, cwd=tmp_path / "p", capture_output=True, text=True, check=True)
        assert "40 of them were recorded from 2026-01-02 to 2026-01-05" in done.stdout
        for name in ("tables/runs.jsonl", "events.jsonl", "cover.html"):
            path = tmp_path / "p" / name
            data = path.read_bytes()
            path.write_bytes(data.replace(b"succeeded", b"suceeeded", 1))
            changed = subprocess.run(command, cwd=tmp_path / "p", capture_output=True, text=True, check=False)
            assert changed.returncode == 3, changed.stdout
            path.write_bytes(data)

    def test_cover_page(self, made: Made, tmp_path: Path) -> None:
        """Given a package, then the page says what it covers, under which root, how much of what, and asks nobody for anything."""
        done = made.package(tmp_path, "2026-01-01", "2026-01-31", "--sample", "2")
        page = (tmp_path / "p/cover.html").read_text(encoding="utf-8")
        text = (tmp_path / "p/cover.md").read_text(encoding="utf-8")
        for said in (done["root"], done["origin"], f"0 to {done['last_seq']}", *done["sample"]["items"]):
            assert said in page
            assert said.replace("_", "\\_") in text
        assert "Signatures" in page
        assert "@media print" in page
        assert "<script" not in page
        assert "http" not in page.replace("http-equiv", "")
        assert "default-src 'none'" in page

    def test_written_for_people(self, made: Made, tmp_path: Path) -> None:
        """Given no --json, then the counts are printed, and how to check it."""
        done = program("audit", "package", "--from", "2026-01-01", "--to", "2026-01-05", "--out", "p.zip", "--ledger", str(made.path), cwd=tmp_path)  # fmt: skip
        assert done.returncode == 0, done.stderr
        assert "       5 runs\n" in done.stdout
        assert done.stdout.endswith("check it with: orchestrate audit check-proof p.zip --key KEY\n")

    def test_nothing_is_written_over(self, made: Made, tmp_path: Path) -> None:
        """Given a file under the name, then it is left alone until --force is given."""
        (tmp_path / "p.zip").write_bytes(b"old")
        command = (
            "audit",
            "package",
            "--from",
            "2026-01-01",
            "--to",
            "2026-01-05",
            "--out",
            "p.zip",
            "--ledger",
            str(made.path),
            "--json",
        )
        (problem,) = refused(program(*command, cwd=tmp_path))
        assert problem["message"] == "p.zip exists already; --force writes it anew"
        assert (tmp_path / "p.zip").read_bytes() == b"old"
        assert program(*command, "--force", cwd=tmp_path).returncode == 0
        assert everything_in(tmp_path) == ["p.zip"]
        assert program("audit", "check-proof", "p.zip", "--key", made.key, cwd=tmp_path).returncode == 0

    @pytest.mark.parametrize(
        "arguments",
        [
            ("--from", "2026-01-02", "--to", "2026-01-01"),
            ("--from", "20260101", "--to", "2026-01-01"),
            ("--from", "yesterday", "--to", "2026-01-01"),
            ("--from", "2026-01-01", "--to", "2026-01-01", "--seed", "a\nb"),
            ("--from", "2026-01-01", "--to", "2026-01-01", "--seed", ""),
            ("--from", "2026-01-01"),
            ("--from", "2026-01-01", "--to", "2026-01-01", "--sample", "-1"),
        ],
    )
    def test_usage(self, made: Made, tmp_path: Path, arguments: tuple[str, ...]) -> None:
        """Given no period, one that ends before it begins, or a seed that is none, then it is refused."""
        (problem,) = refused(program("audit", "package", *arguments, "--out", "p", "--ledger", str(made.path), "--json", cwd=tmp_path))  # fmt: skip
        assert problem["kind"] == "usage"
        assert everything_in(tmp_path) == []


class TestHostileLedger:
    """An event that no program of ours has made."""

    def test_event_of_another_form(self, made: Made, tmp_path: Path) -> None:
        """Given data that is a list, sealed as it is, then package and bundle are refused, the ledger is named, and nothing is left."""
        ledger = tmp_path / "ledger.db"
        shutil.copy(made.path, ledger)
        with unguarded(ledger) as connection:
            (seq,) = connection.execute("SELECT min(seq) FROM events WHERE type = 'step.finished'").fetchone()
            write_body(connection, seq, {**body_of(connection, seq), "data": [1]}, rehash=True)
            remake_tree(connection)
            sign_anew(connection, None)
            (run,) = connection.execute("SELECT substr(stream, 5) FROM events WHERE seq = ?", (seq,)).fetchone()
        where = ("--ledger", str(ledger), "--json", "--out")
        for command in (
            ("package", "--from", "2026-01-01", "--to", "2026-12-31", "--sample", "1000", *where, "p"),
            ("prove", "--run", run, *where, "r.zip"),
        ):
            done = program("audit", *command, cwd=tmp_path)
            assert done.returncode in (0, 3), done.stderr
            no_traceback(done)
            if done.returncode:
                (problem,) = refused(done, 3)
                assert "is not of its form" in str(problem["message"])
        assert not (tmp_path / "p").exists()
