"""Tests of `audit prove` and `audit check-proof` as a user types them: real runs, a real key, evidence carried elsewhere."""

from __future__ import annotations

import contextlib
import errno
import json
import os
import shutil
import sqlite3
import subprocess
import sys
import zipfile
from pathlib import Path

import proofbundle.tlogproof
import pytest

from ledger.store import open_ledger
from orchestrator.cli.audit.staging import staged
from orchestrator.cli.errors import UsageRefusedError, exit_code_of
from orchestrator.cli.holding import append_event
from orchestrator.core.events import NoteAdded
from orchestrator.projections.read_models import ReadModels
from tests.nights import Nights, live_through
from tests.programs import PROGRAM, data_of, events_of, everything_in, program, refused, value_of


class Sealed:
    """A shop with a key: two good nights, a failed one that was acknowledged, and all of it sealed but for one note."""

    def __init__(self, folder: Path) -> None:
        self.nights = live_through(folder)
        self.shop = self.nights.shop
        self.key = str(program("audit", "keygen", cwd=self.shop).stdout).strip()
        done = program("ack", self.nights.failed, "--reason", "known", cwd=self.shop)
        assert done.returncode == 0, done.stderr
        assert program("audit", "checkpoint", cwd=self.shop).returncode == 0
        # As a note whose process died before it was sealed leaves it.
        event = NoteAdded("shop", self.nights.failed, "totals", "seen later", {"user": "jane", "claimed_by": "host"})
        with open_ledger(self.nights.ledger, projections=[ReadModels()]) as ledger:
            append_event(ledger, "pipeline/shop", event)

    def copy(self, folder: Path) -> Path:
        """Return a copy of the shop that a test may harm."""
        shutil.copytree(self.shop, folder / "shop")
        return folder / "shop"


@pytest.fixture(scope="module")
def sealed(tmp_path_factory: pytest.TempPathFactory) -> Sealed:
    """Give a sealed history; whoever takes it changes nothing in it."""
    return Sealed(tmp_path_factory.mktemp("sealed"))


def ledger_option(sealed: Sealed) -> tuple[str, str]:
    """Return the option that names the ledger from anywhere."""
    return "--ledger", str(sealed.nights.ledger)


class TestProveEvent:
    """One event, as two files."""

    def test_proof_and_event(self, sealed: Sealed, tmp_path: Path) -> None:
        """Given an event, then the proof and its exact text are written, and hold here, by another author's program and without the ledger."""
        done = value_of(program("audit", "prove", "--seq", "3", *ledger_option(sealed), "--json", cwd=tmp_path), "audit-prove")  # fmt: skip
        assert done["files"] == ["event-3.tlog-proof", "event-3.json"]
        assert (done["kind"], done["first_seq"], done["last_seq"], done["run_id"]) == ("proof", 3, 3, None)
        proof, body = (tmp_path / "event-3.tlog-proof").read_text(), (tmp_path / "event-3.json").read_bytes()
        assert json.loads(body)["seq"] == 3
        assert not body.endswith(b"\n")
        second = proofbundle.tlogproof.verify_tlog_proof(proof, body, sealed.key)
        assert second["ok"]
        assert second["root"].hex() == done["root"]
        checked = value_of(program("audit", "check-proof", "event-3.tlog-proof", "--key", sealed.key, "--json", cwd=tmp_path), "audit-check-proof")  # fmt: skip
        (found,) = checked["files"]
        assert (checked["ok"], found["seq"], found["root"]) == (True, 3, done["root"])
        assert found["signed_by"] == [{"key": sealed.key, "cosigned_at": None}]

    def test_other_name(self, sealed: Sealed, tmp_path: Path) -> None:
        """Given a name, then the event lies beside the proof under the same one; a name that is the event's is refused."""
        arguments = ("audit", "prove", "--seq", "0", *ledger_option(sealed), "--out")
        done = program(*arguments, "first.tlog-proof", cwd=tmp_path)
        assert done.stdout.startswith("written: first.tlog-proof\nwritten: first.json\n  proves:     event 0\n")
        assert everything_in(tmp_path) == ["first.json", "first.tlog-proof"]
        (problem,) = refused(program(*arguments, "x.json", "--json", cwd=tmp_path))
        assert "x.json is where the event's text goes" in problem["message"]
        for nothing in ("", ".", "/", "..", "a/.."):
            (problem,) = refused(program(*arguments, nothing, "--json", cwd=tmp_path))
            assert "is no name for something new" in problem["message"]
        (problem,) = refused(program(*arguments, "no/such/folder", "--json", cwd=tmp_path))
        assert problem["kind"] == "output"

    @pytest.mark.parametrize("name", ["event-3.tlog-proof", "event-3.json"])
    def test_nothing_is_written_over(self, sealed: Sealed, tmp_path: Path, name: str) -> None:
        """Given a file where the proof or the event is to go, then it stays; with --force both are written."""
        (tmp_path / name).write_text("mine", encoding="utf-8")
        arguments = ("audit", "prove", "--seq", "3", *ledger_option(sealed), "--json")
        (problem,) = refused(program(*arguments, cwd=tmp_path))
        assert (problem["kind"], problem["message"]) == (
            "file_exists",
            f"{name} exists already; --force writes it anew",
        )
        assert everything_in(tmp_path) == [name]
        assert (tmp_path / name).read_text(encoding="utf-8") == "mine"
        assert program(*arguments, "--force", cwd=tmp_path).returncode == 0
        assert program("audit", "check-proof", "event-3.tlog-proof", "--key", sealed.key, cwd=tmp_path).returncode == 0

    def test_folder_in_the_way(self, sealed: Sealed, tmp_path: Path) -> None:
        """Given a folder where the event is to go, then neither file is written, with --force too."""
        (tmp_path / "event-3.json").mkdir()
        done = program("audit", "prove", "--seq", "3", *ledger_option(sealed), "--force", "--json", cwd=tmp_path)
        assert refused(done)[0]["message"] == "event-3.json is a folder: give another name"
        assert everything_in(tmp_path) == ["event-3.json"]

    def test_not_sealed(self, sealed: Sealed, tmp_path: Path) -> None:
        """Given an event after the last checkpoint, then it is refused and the command that seals it is named."""
        last = events_of(sealed.nights.ledger)[-1]["seq"]
        (problem,) = refused(program("audit", "prove", "--seq", str(last), *ledger_option(sealed), "--json", cwd=tmp_path))  # fmt: skip
        assert problem["kind"] == "not_sealed"
        assert problem["message"] == f"no checkpoint covers event {last}; `orchestrate audit checkpoint` seals every event that there is"  # fmt: skip
        (problem,) = refused(program("audit", "prove", "--seq", str(last + 1), *ledger_option(sealed), "--json", cwd=tmp_path))  # fmt: skip
        assert problem["message"] == f"there is no event {last + 1}: the last one is {last}"
        assert everything_in(tmp_path) == []

    def test_against_a_chosen_checkpoint(self, sealed: Sealed, tmp_path: Path) -> None:
        """Given a size or a kept file, then the proof leads to that checkpoint; one that does not reach so far is refused."""
        with contextlib.closing(sqlite3.connect(sealed.nights.ledger)) as connection:
            size, note = connection.execute("SELECT size, note FROM checkpoints ORDER BY size LIMIT 1").fetchone()
        (tmp_path / "kept.checkpoint").write_text(note, encoding="utf-8")
        for at in (str(size), "kept.checkpoint"):
            done = value_of(program("audit", "prove", "--seq", "2", "--at", at, "--force", *ledger_option(sealed), "--json", cwd=tmp_path), "audit-prove")  # fmt: skip
            assert done["size"] == size
            (problem,) = refused(program("audit", "prove", "--seq", str(size), "--at", at, *ledger_option(sealed), "--json", cwd=tmp_path))  # fmt: skip
            assert problem["kind"] == "not_sealed"
        (problem,) = refused(program("audit", "prove", "--seq", "2", "--at", "gone", "--force", *ledger_option(sealed), "--json", cwd=tmp_path))  # fmt: skip
        assert problem["message"] == "gone cannot be read: No such file or directory"

    def test_checkpoint_that_the_ledger_contradicts(self, sealed: Sealed, tmp_path: Path) -> None:
        """Given a kept checkpoint with another root, then that is what is said, with exit code 3."""
        with contextlib.closing(sqlite3.connect(sealed.nights.ledger)) as connection:
            (note,) = connection.execute("SELECT note FROM checkpoints ORDER BY size DESC LIMIT 1").fetchone()
        lines = note.split("\n")
        lines[2] = "A" * 43 + "="
        (tmp_path / "kept").write_text("\n".join(lines[:3]) + "\n", encoding="utf-8")
        done = program("audit", "prove", "--seq", "2", "--at", "kept", *ledger_option(sealed), "--json", cwd=tmp_path)
        (problem,) = refused(done, 3)
        assert problem["kind"] == "inconsistent"

    def test_changed_ledger_proves_nothing(self, sealed: Sealed, tmp_path: Path) -> None:
        """Given an event that somebody changed in the file, then no proof of it is written."""
        shop = sealed.copy(tmp_path)
        with contextlib.closing(sqlite3.connect(shop / ".orchestrate/ledger.db")) as connection:
            (guard,) = connection.execute("SELECT sql FROM sqlite_schema WHERE name = 'events_immutable'").fetchone()
            connection.execute("DROP TRIGGER events_immutable")
            change = """replace(body, '"type_version":1', '"type_version":2')"""
            connection.execute(f"UPDATE events SET body = {change} WHERE seq = 3")  # noqa: S608 - ours
            connection.execute(guard)
            connection.commit()
        (problem,) = refused(program("audit", "prove", "--seq", "3", "--json", cwd=shop), 3)
        assert "leaf 3 is not in the tree" in problem["message"]
        assert not (shop / "event-3.tlog-proof").exists()

    def test_unsigned_checkpoint_is_said(self, nights: Nights, tmp_path: Path) -> None:
        """Given a ledger without a key, then the largest unsigned checkpoint does, and it is said what that means."""
        done = program("audit", "prove", "--seq", "3", "--ledger", str(nights.ledger), cwd=tmp_path)
        assert done.returncode == 0, done.stderr
        assert "signed by nobody: only who kept the root elsewhere can hold the ledger to it" in done.stdout
        checked = program("audit", "check-proof", "event-3.tlog-proof", cwd=tmp_path)
        assert checked.returncode == 0
        assert "who says so: no key was given" in checked.stdout

    @pytest.mark.parametrize(
        "arguments", [(), ("--seq", "1", "--run", "latest"), ("--seq", "1", "--logs"), ("--seq", "-1")]
    )
    def test_usage(self, sealed: Sealed, tmp_path: Path, arguments: tuple[str, ...]) -> None:
        """Given neither an event nor a run, or both, then it is refused."""
        (problem,) = refused(program("audit", "prove", *arguments, *ledger_option(sealed), "--json", cwd=tmp_path))
        assert problem["kind"] == "usage"


class TestProveRun:
    """A run, as one bundle."""

    def test_bundle(self, sealed: Sealed, tmp_path: Path) -> None:
        """Given a run, then its bundle holds its events, what was said about it and was sealed, its logs and what it names."""
        run_id = sealed.nights.failed
        arguments = ("audit", "prove", "--run", run_id, *ledger_option(sealed), "--out", "b.zip", "--logs", "--json")
        done = value_of(program(*arguments, cwd=tmp_path), "audit-prove")
        own = [event["seq"] for event in events_of(sealed.nights.ledger) if event["stream"] == f"run/{run_id}"]
        (acknowledged,) = [event["seq"] for event in events_of(sealed.nights.ledger) if event["type"] == "run.acknowledged"]  # fmt: skip
        with zipfile.ZipFile(tmp_path / "b.zip") as archive:
            names = archive.namelist()
            seqs = [json.loads(line)["seq"] for line in archive.read("events.jsonl").splitlines()]
            assert seqs == [*own, acknowledged]
            assert [f"proofs/{seq}.tlog-proof" for seq in seqs] == [
                name for name in names if name.startswith("proofs/")
            ]
            logs = json.loads(archive.read("logs.json"))
            assert [(log["step"], log["attempt"], log["file"]) for log in logs] == [("ingest", 1, "intact"), ("totals", 1, "intact")]  # fmt: skip
            for log in logs:
                assert archive.read(log["path"]) == (sealed.shop / ".orchestrate" / log["path"]).read_bytes()
            assert f"Evidence of the run {run_id}" in archive.read("README.txt").decode()
            (started,) = [data for data in data_of(sealed.nights.ledger, "run.started") if data["run_id"] == run_id]
            blobs = {name.removeprefix("blobs/") for name in names if name.startswith("blobs/")}
            assert {started[name].removeprefix("sha256:") for name in ("definition", "graph")} <= blobs
        assert (done["events"], done["not_sealed"], done["run_id"]) == (len(seqs), 1, run_id)
        again = value_of(program(*arguments, "--out", "c.zip", cwd=tmp_path), "audit-prove")
        assert again["manifest_sha256"] == done["manifest_sha256"]

    def test_names_what_was_left_out(self, sealed: Sealed, tmp_path: Path) -> None:
        """Given a note after the last checkpoint, then it is left out, and that is said; without blobs too."""
        done = program(
            "audit", "prove", "--run", sealed.nights.failed, "--no-blobs", *ledger_option(sealed), cwd=tmp_path
        )
        assert "left out:   1 later events that no checkpoint covers yet; `orchestrate audit checkpoint` seals them" in done.stdout  # fmt: skip
        with zipfile.ZipFile(tmp_path / f"run-{sealed.nights.failed}.zip") as archive:
            assert not any(name.startswith(("blobs/", "logs/")) for name in archive.namelist())
            assert "it was left out (--no-blobs)" in archive.read("README.txt").decode()
            assert {log["file"] for log in json.loads(archive.read("logs.json"))} == {"not included"}

    def test_altered_and_missing_logs(self, sealed: Sealed, tmp_path: Path) -> None:
        """Given a log that was changed and one that is gone, then neither is included, and both are told."""
        shop = sealed.copy(tmp_path)
        logs = shop / ".orchestrate" / "logs" / sealed.nights.failed
        (logs / "ingest.1.log").write_text("nothing happened\n", encoding="utf-8")
        (logs / "totals.1.log").unlink()
        done = program("audit", "prove", "--run", sealed.nights.failed, "--logs", "--out", "folder", cwd=shop)
        assert done.returncode == 0, done.stderr
        assert f"the log logs/{sealed.nights.failed}/ingest.1.log is altered, so it is not included" in done.stderr
        assert f"the log logs/{sealed.nights.failed}/totals.1.log is missing, so it is not included" in done.stderr
        assert not (shop / "folder" / "logs").exists()
        assert program("audit", "check-proof", "folder", "--key", sealed.key, cwd=shop).returncode == 0

    def test_pipe_and_link_in_the_place_of_logs(self, sealed: Sealed, tmp_path: Path) -> None:
        """Given a pipe into which nobody writes, and a link to a copy of the log, then neither is waited for, followed or included."""
        shop = sealed.copy(tmp_path)
        logs = shop / ".orchestrate" / "logs" / sealed.nights.failed
        (logs / "ingest.1.log").unlink()
        os.mkfifo(logs / "ingest.1.log")
        (logs / "totals.1.log").rename(tmp_path / "copy.log")
        (logs / "totals.1.log").symlink_to(tmp_path / "copy.log")
        done = program("audit", "prove", "--run", sealed.nights.failed, "--logs", "--out", "folder", cwd=shop)
        assert done.returncode == 0, done.stderr
        for name in ("ingest", "totals"):
            assert f"the log logs/{sealed.nights.failed}/{name}.1.log is missing, so it is not included" in done.stderr
        assert not (shop / "folder" / "logs").exists()

    def test_blob_that_is_not_what_its_name_says(self, sealed: Sealed, tmp_path: Path) -> None:
        """Given a definition that somebody changed in the file, then no bundle is written."""
        shop = sealed.copy(tmp_path)
        with contextlib.closing(sqlite3.connect(shop / ".orchestrate/ledger.db")) as connection:
            (guard,) = connection.execute("SELECT sql FROM sqlite_schema WHERE name = 'blobs_immutable'").fetchone()
            connection.execute("DROP TRIGGER blobs_immutable")
            connection.execute("UPDATE blobs SET bytes = zeroblob(3)")
            connection.execute(guard)
            connection.commit()
        (problem,) = refused(program("audit", "prove", "--run", "latest:shop", "--out", "b.zip", "--json", cwd=shop), 3)
        assert "is not what its name says" in problem["message"]
        assert not list(shop.glob("*.zip"))

    def test_folder_that_is_not_empty(self, sealed: Sealed, tmp_path: Path) -> None:
        """Given a folder with something in it, then it is left alone; an empty one is used."""
        (tmp_path / "full").mkdir()
        (tmp_path / "full" / "x").touch()
        (problem,) = refused(program("audit", "prove", "--run", "latest", "--out", "full", *ledger_option(sealed), "--json", cwd=tmp_path))  # fmt: skip
        assert problem["message"] == "full is a folder with something in it: give another name"
        assert everything_in(tmp_path) == ["full", "full/x"]
        (tmp_path / "full" / "x").unlink()
        assert program("audit", "prove", "--run", "latest", "--out", "full", *ledger_option(sealed), cwd=tmp_path).returncode == 0  # fmt: skip
        assert program("audit", "check-proof", "full", "--key", sealed.key, cwd=tmp_path).returncode == 0

    def test_nothing_is_written_over(self, sealed: Sealed, tmp_path: Path) -> None:
        """Given a file under the name, then it stays as it is; with --force a zip file is written anew, and a name without .zip is a folder's."""
        (tmp_path / "b.zip").write_bytes(b"old")
        (tmp_path / "b").write_bytes(b"old")
        arguments = ("audit", "prove", "--run", "latest", *ledger_option(sealed), "--json", "--out")
        (problem,) = refused(program(*arguments, "b.zip", cwd=tmp_path))
        assert problem["message"] == "b.zip exists already; --force writes it anew"
        for force in ((), ("--force",)):
            (problem,) = refused(program(*arguments, "b", *force, cwd=tmp_path))
            assert (
                problem["message"]
                == "b is there and no folder; without .zip at the end the name is that of a new folder"
            )
        assert (tmp_path / "b.zip").read_bytes() == (tmp_path / "b").read_bytes() == b"old"
        assert everything_in(tmp_path) == ["b", "b.zip"]
        assert program(*arguments, "b.zip", "--force", cwd=tmp_path).returncode == 0
        assert program("audit", "check-proof", "b.zip", "--key", sealed.key, cwd=tmp_path).returncode == 0

    def test_full_disk(self, sealed: Sealed, tmp_path: Path) -> None:
        """Given a disk that is full early or with the very last byte, then that is said with exit code 5, and nothing is left."""
        arguments = ("audit", "prove", "--run", "latest", *ledger_option(sealed), "--json", "--out")
        assert program(*arguments, "b.zip", cwd=tmp_path).returncode == 0
        whole = (tmp_path / "b.zip").stat().st_size
        (tmp_path / "b.zip").unlink()
        early = 33_000  # Less than the verifier takes; the ledger's own shared memory has 32 768.
        for out, most in (("b.zip", early), ("b.zip", whole - 1), ("b", early)):
            (problem,) = refused(_on_a_disk_of(most, *arguments, out, cwd=tmp_path), 5)
            assert problem["message"] == f"{out} cannot be used: File too large"
            assert everything_in(tmp_path) == []


def _on_a_disk_of(size: int, *arguments: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    """Run the program where no file may be larger than *size* bytes."""
    code = "import os, resource, sys; resource.setrlimit(resource.RLIMIT_FSIZE, (int(sys.argv[1]),) * 2); os.execv(sys.argv[2], sys.argv[2:])"
    command = [sys.executable, "-c", code, str(size), str(PROGRAM), *arguments]
    environment = {name: value for name, value in os.environ.items() if not name.startswith("COVERAGE_")}
    return subprocess.run(command, cwd=cwd, env=environment, capture_output=True, text=True, check=False, timeout=60)


class TestStaged:
    """Where evidence is made before it has its name."""

    @pytest.mark.parametrize(
        ("number", "expected"), [(errno.ENOSPC, OSError), (errno.EDQUOT, OSError), (errno.EACCES, UsageRefusedError)]
    )
    def test_what_failed(self, tmp_path: Path, number: int, expected: type[Exception]) -> None:
        """Given an error on the way, then a full disk is one of the storage, anything else is about the name; nothing is left."""

        def write() -> None:
            with staged(tmp_path / "b.zip") as folder:
                (folder / "half").touch()
                raise OSError(number, os.strerror(number))

        with pytest.raises(expected, match=r"b\.zip") as caught:
            write()
        assert exit_code_of(caught.value) == (5 if expected is OSError else 2)
        assert everything_in(tmp_path) == []


class TestCheckProof:
    """Evidence, checked with no ledger at hand."""

    @pytest.fixture
    def bundle(self, sealed: Sealed, tmp_path: Path) -> Path:
        """Give a bundle in an otherwise empty folder."""
        done = program("audit", "prove", "--run", sealed.nights.good, "--out", "b.zip", *ledger_option(sealed), cwd=tmp_path)  # fmt: skip
        assert done.returncode == 0, done.stderr
        return tmp_path / "b.zip"

    @pytest.mark.needs("openssl")
    def test_verifier_in_the_bundle(self, sealed: Sealed, bundle: Path) -> None:
        """Given the file verify.py of a bundle and Python without any package, then it says the same as the program."""
        with zipfile.ZipFile(bundle) as archive:
            archive.extract("verify.py", bundle.parent)
        command = [sys.executable, "-I", "-S", "verify.py", "b.zip", "--key", sealed.key]
        alone = subprocess.run(command, cwd=bundle.parent, capture_output=True, text=True, check=True)
        assert alone.stdout == program("audit", "check-proof", "b.zip", "--key", sealed.key, cwd=bundle.parent).stdout

    def test_rotated_key(self, sealed: Sealed, tmp_path: Path) -> None:
        """Given a key that was replaced, then whoever pinned the old one still verifies, by the statement in the bundle."""
        shop = sealed.copy(tmp_path)
        new = program("audit", "rotate-key", "--reason", "yearly", cwd=shop).stdout.strip()
        assert program("audit", "checkpoint", cwd=shop).returncode == 0
        assert program("audit", "prove", "--run", sealed.nights.good, "--out", "b.zip", cwd=shop).returncode == 0
        for key in (sealed.key, new):
            checked = value_of(program("audit", "check-proof", "b.zip", "--key", key, "--json", cwd=shop), "audit-check-proof")  # fmt: skip
            assert [signed["key"] for signed in checked["files"][0]["signed_by"]] == [new]

    def test_witness(self, sealed: Sealed, tmp_path: Path) -> None:
        """Given a cosigned checkpoint, then a proof against it holds for the witness's key, and one that is not cosigned does not."""
        home = {"XDG_CONFIG_HOME": str(tmp_path / "jane")}
        shop = sealed.copy(tmp_path)
        jane = program("audit", "keygen", "--witness", "jane.example", cwd=shop, env=home).stdout.strip()
        done = program("audit", "cosign", "--key", sealed.key, "--out", "c.checkpoint", cwd=shop, env=home)
        assert done.returncode == 0, done.stderr
        for name, options in (("a", ()), ("b", ("--at", "c.checkpoint"))):
            assert (
                program("audit", "prove", "--seq", "5", "--out", f"{name}.tlog-proof", *options, cwd=shop).returncode
                == 0
            )
        keys = ("--key", sealed.key, "--witness", jane)
        checked = program("audit", "check-proof", "a.tlog-proof", "b.tlog-proof", *keys, "--json", cwd=shop)
        first, second = value_of(checked, "audit-check-proof", code=3)["files"]
        assert first["problem"] == "the witness jane.example has not cosigned it"
        assert [signed["key"] for signed in second["signed_by"]] == [sealed.key, jane]
        assert program("audit", "check-proof", "c.checkpoint", *keys, cwd=shop).returncode == 0
        (problem,) = refused(
            program("audit", "check-proof", "b.tlog-proof", "--witness", sealed.key, "--json", cwd=shop)
        )
        assert "is not the key of a witness" in problem["message"]

    def test_refused(self, sealed: Sealed, bundle: Path) -> None:
        """Given a changed bundle among others, then it is refused with its reason and exit code 3; the others are checked all the same."""
        data = bytearray(bundle.read_bytes())
        data[data.index(b"run.started")] ^= 1
        (bundle.parent / "c.zip").write_bytes(data)
        done = program("audit", "check-proof", "c.zip", "b.zip", "--key", sealed.key, cwd=bundle.parent)
        assert done.returncode == 3
        first, second = done.stdout.splitlines()[:2]
        assert first.startswith("REFUSED c.zip: ")
        assert second == "OK b.zip"
        value = value_of(
            program("audit", "check-proof", "c.zip", "--json", cwd=bundle.parent), "audit-check-proof", code=3
        )
        assert not value["ok"]

    def test_other_key_and_no_file(self, bundle: Path) -> None:
        """Given the key of somebody else, no key, or no file, then it is refused."""
        other = program("audit", "keygen", "--witness", "x", cwd=bundle.parent, env={"XDG_CONFIG_HOME": str(bundle.parent / "x")})  # fmt: skip
        done = program("audit", "check-proof", "b.zip", "--key", other.stdout.strip(), cwd=bundle.parent)
        assert done.returncode == 3
        assert "no signature by a known key" in done.stdout
        (problem,) = refused(program("audit", "check-proof", "b.zip", "--key", "nonsense", "--json", cwd=bundle.parent))
        assert "not a verifier key" in problem["message"]
        os.mkfifo(bundle.parent / "pipe")
        for odd in ("pipe", "/dev/zero"):
            (problem,) = refused(program("audit", "check-proof", odd, "--json", cwd=bundle.parent))
            assert problem["message"] == f"{odd} cannot be read: it is no regular file"
        (problem,) = refused(program("audit", "check-proof", "gone", "--json", cwd=bundle.parent))
        assert problem["message"] == "gone cannot be read: No such file or directory"
