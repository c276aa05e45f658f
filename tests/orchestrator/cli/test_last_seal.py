"""Tests of what a ledger is held to before anything is appended: the files beside it, and what this user has signed."""

from __future__ import annotations

import contextlib
import os
import shutil
import sqlite3
from collections.abc import Sequence
from pathlib import Path

import pytest

from ledger.locks import KernelLock
from ledger.outside import write_outside
from ledger.signing import SigningKey, signed_note
from ledger.verifier import Checkpoint, open_checkpoint
from orchestrator.cli.keyring import operator_folder
from tests.programs import ended, events_of, ledger_of, program, refused, started, value_of, wait_until

PIPELINE = '[pipeline]\nname = "p"\n[steps.a]\ncommand = ["true"]\n'
HUGE = 999_999_999_999


@pytest.fixture(autouse=True)
def configuration(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Give each test a configuration folder of its own."""
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))


@pytest.fixture(name="project")
def _project(tmp_path: Path) -> Path:
    folder = tmp_path / "p"
    folder.mkdir()
    (folder / "pipeline.toml").write_text(PIPELINE, encoding="utf-8")
    run(folder)
    return folder


def run(project: Path) -> str:
    """Run the pipeline, and return what it says beside."""
    done = program("run", "-q", cwd=project)
    assert done.returncode == 0, done.stderr
    return done.stderr


def beside(project: Path) -> Path:
    """Return the folder with the checkpoints beside the ledger."""
    (folder,) = (project / ".orchestrate" / "checkpoints").iterdir()
    return folder


def last(project: Path) -> Checkpoint:
    """Return the checkpoint in the last file beside the ledger."""
    return open_checkpoint(max(beside(project).iterdir()).read_text(encoding="utf-8"))[0]


def turned_back(project: Path, tmp_path: Path) -> None:
    """Run once more, and put the ledger of before in its place."""
    ledger = project / ".orchestrate" / "ledger.db"
    shutil.copy(ledger, tmp_path / "old.db")
    run(project)
    shutil.copy(tmp_path / "old.db", ledger)


def message(project: Path) -> str:
    """Return why a run is refused."""
    (problem,) = refused(program("run", "--json", cwd=project), code=3)
    assert problem["kind"] == "inconsistent"
    return str(problem["message"])


class TestMissingKey:
    """A ledger that was signed, and is gone on with where its key is not found."""

    def test_it_is_warned_of_each_time(self, project: Path, tmp_path: Path) -> None:
        """Given a signed ledger and another configuration folder, then each run warns in one line, as `doctor` does; with the right one nobody does."""
        assert program("audit", "keygen", "--reason", "x", cwd=project).returncode == 0
        assert run(project) == ""
        other = {"XDG_CONFIG_HOME": str(tmp_path / "other")}
        for _ in range(2):
            done = program("run", "-q", cwd=project, env=other)
            (line,) = done.stderr.splitlines()
            assert line.startswith("warning: the ledger is signed with the key ")
            assert "set XDG_CONFIG_HOME" in line
        (found,) = value_of(program("doctor", "--json", cwd=project, env=other), "doctor")["problems"]
        assert (found["kind"], found["severity"]) == ("no_key", "warning")
        assert run(project) == ""
        assert value_of(program("doctor", "--json", cwd=project), "doctor")["problems"] == []


class TestAfterAWait:
    """A ledger that was turned back while somebody waited for the pipeline."""

    @pytest.mark.parametrize("words", [("run", "--wait"), ("accept", "latest", "a", "--reason", "it is", "--wait")])
    def test_nothing_is_recorded(self, project: Path, tmp_path: Path, words: Sequence[str]) -> None:
        """Given one in which a run seems to be on that has ended since, then it is not closed, and the start is refused."""
        (project / "pipeline.toml").write_text(
            PIPELINE.replace('["true"]', '["sh", "-c", "test -e ok || sleep 60"]'), encoding="utf-8"
        )
        with started("run", "-q", cwd=project) as first:
            wait_until(
                lambda: any(event["type"] == "attempt.started" for event in events_of(ledger_of(project))[-1:]),
                "its attempt",
            )
            first.kill()
            ended(first)
        ledger, old = ledger_of(project), tmp_path / "old.db"
        copied(ledger, old)
        (project / "ok").touch()
        run(project)
        lock = KernelLock(ledger.parent / "locks" / "p.lock")
        assert lock.acquire(holder={"run_id": "somebody"})
        with started(*words, "--json", cwd=project) as second:
            assert second.stderr is not None
            assert second.stderr.readline().startswith("waiting for run somebody")
            copied(old, ledger)
            before = events_of(ledger)
            lock.release()
            (problem,) = refused(ended(second), code=3)
        assert problem["kind"] == "inconsistent"
        assert events_of(ledger) == before


def copied(source: Path, target: Path) -> None:
    """Put what stands in the database *source* into the one at *target*, without taking its place."""
    with contextlib.closing(sqlite3.connect(source)) as one, contextlib.closing(sqlite3.connect(target)) as other:
        one.backup(other)


class TestFilesThatSayNothing:
    """Whoever can write into the folder hides nothing with it."""

    @pytest.mark.parametrize("kind", ["junk", "older", "other", "fifo", "folder"])
    def test_hide_no_rollback(self, project: Path, tmp_path: Path, kind: str) -> None:
        """Given a file of a larger name that is no such checkpoint, then it is told, and the one before it stops the turned back ledger."""
        older = last(project)
        turned_back(project, tmp_path)
        place = beside(project) / f"{HUGE}.checkpoint"
        if kind == "fifo":
            os.mkfifo(place)
        elif kind == "folder":
            place.mkdir()
        else:
            texts = {"junk": "x" * 100, "older": older.text, "other": Checkpoint("else", HUGE, bytes(32)).text}
            place.write_text(texts[kind], encoding="utf-8")
        done = program("run", "-q", cwd=project)
        assert done.returncode == 3
        assert done.stderr.count(f"warning: the checkpoint {place} ") == 1
        assert "it has" in done.stderr

    def test_many(self, project: Path, tmp_path: Path) -> None:
        """Given very many of them, then all are passed over, some are named and the rest are counted."""
        for number in range(60):
            (beside(project) / f"{HUGE - number}.checkpoint").touch()
        told = run(project)
        assert told.count("warning: the checkpoint ") == 10
        assert "warning: 50 more checkpoints beside the ledger say nothing" in told
        turned_back(project, tmp_path)
        assert "are missing" in message(project)


class TestWithoutAKey:
    """An unsigned file is all there is."""

    def test_planted(self, project: Path) -> None:
        """Given a checkpoint over more events than there ever were, then the run stops, and the message names the file and how to go on."""
        path = write_outside(beside(project), found := Checkpoint(last(project).origin, HUGE, bytes(32)), found.text)
        told = message(project)
        assert f"so says {path}, which nobody has signed. `orchestrate audit verify` shows what is missing" in told
        verdict = value_of(program("audit", "verify", "--json", cwd=project), "audit-verify", code=3)
        assert [item["kind"] for item in verdict["problems"]] == ["outside_checkpoint"]
        path.unlink()
        run(project)


class TestWithAKey:
    """What was signed here decides."""

    @pytest.fixture(name="signing")
    def _signing(self, project: Path) -> Path:
        assert program("audit", "keygen", cwd=project).returncode == 0
        run(project)
        return project

    @pytest.mark.parametrize("signed", [False, True])
    def test_planted(self, signing: Path, *, signed: bool) -> None:
        """Given a checkpoint over more than was ever signed, by nobody or by a stranger in the ledger's name, then it is told and stops nobody."""
        claim = Checkpoint(last(signing).origin, HUGE, bytes(32))
        stranger = SigningKey.generate(claim.origin)
        note = signed_note(claim.text, stranger.signature_line(claim.text)) if signed else claim.text
        path = write_outside(beside(signing), claim, note)
        told = run(signing)
        assert f"warning: the checkpoint {path} covers {HUGE} events; " in told
        assert "no key of the ledger has signed it" in told

    @pytest.mark.parametrize("rotated", [False, True])
    def test_signed_elsewhere(self, signing: Path, *, rotated: bool) -> None:
        """Given more that the ledger's own key has signed, from another place, then the ledger is behind it, and nothing starts."""
        if rotated:
            assert program("audit", "rotate-key", "--reason", "yearly", cwd=signing).returncode == 0
        claim = last(signing)._replace(size=last(signing).size + 5)
        key = SigningKey.parse(
            (operator_folder(claim.origin.partition("/")[2]) / "key").read_text(encoding="utf-8"), "it"
        )
        path = write_outside(beside(signing), claim, signed_note(claim.text, key.signature_line(claim.text)))
        assert f"so says {path}. `orchestrate audit verify`" in message(signing)

    def test_memory_decides(self, signing: Path) -> None:
        """Given a file of another root over what was signed here, then nobody looks at it but who verifies."""
        claim = last(signing)._replace(root=bytes(32))
        write_outside(beside(signing), claim, claim.text)
        assert run(signing) == ""
        assert program("audit", "verify", "-q", cwd=signing).returncode == 3

    def test_memory_that_vouches_for_no_key(self, signing: Path) -> None:
        """Given a memory that no key of the ledger has signed, then it speaks for no file either."""
        claim = Checkpoint(last(signing).origin, HUGE, bytes(32))
        folder = operator_folder(claim.origin.partition("/")[2])
        (folder / "last-signed").write_text(last(signing).text, encoding="utf-8")
        write_outside(beside(signing), claim, claim.text)
        done = program("note", "latest", "seen", cwd=signing)
        assert "no key of the ledger has signed it" in done.stderr


class TestLostLedger:
    """The folder beside the definition is gone; what was signed in it is not."""

    @pytest.fixture(name="lost")
    def _lost(self, project: Path, tmp_path: Path) -> Path:
        assert program("audit", "keygen", cwd=project).returncode == 0
        run(project)
        (project / ".orchestrate").rename(tmp_path / "kept")
        return project

    def test_nothing_begins(self, lost: Path, tmp_path: Path) -> None:
        """Given a signed ledger that is gone, then a run is refused and makes nothing, `status` warns, `doctor` names it; put back, it goes on."""
        said = message(lost)
        assert "events of the ledger" in said
        assert "it is gone" in said
        assert not (lost / ".orchestrate" / "ledger.db").exists()
        seen = program("status", cwd=lost)
        assert (seen.returncode, "it is gone" in seen.stderr, "makes a start" in seen.stderr) == (0, True, False)
        (finding,) = value_of(program("check", "--json", cwd=lost), "check", code=6)["findings"]
        assert (finding["kind"], "it is gone" in finding["message"], finding["next"]) == ("no_ledger", True, [])
        found = value_of(program("doctor", "--json", cwd=lost), "doctor", code=3)
        assert "inconsistent" in [problem["kind"] for problem in found["problems"]]
        shutil.rmtree(lost / ".orchestrate", ignore_errors=True)
        (tmp_path / "kept").rename(lost / ".orchestrate")
        assert run(lost) == ""

    def test_on_purpose(self, lost: Path) -> None:
        """Given the file that is named was removed, then a new history begins; what was signed stays where it is."""
        place = Path(message(lost).rpartition(" remove ")[2])
        place.unlink()
        assert run(lost) == ""
        assert (place.parent / "last-signed").exists()

    def test_another_ledger_in_its_place(self, lost: Path, tmp_path: Path) -> None:
        """Given a ledger that somebody has begun elsewhere and put there, then it is not gone on with."""
        other = tmp_path / "other"
        other.mkdir()
        (other / "pipeline.toml").write_text(PIPELINE, encoding="utf-8")
        run(other)
        (other / ".orchestrate").rename(lost / ".orchestrate")
        assert "it is gone" in message(lost)
        assert value_of(program("doctor", "--json", cwd=lost), "doctor", code=3)["problems"]

    def test_restored(self, lost: Path, tmp_path: Path) -> None:
        """Given a ledger that continues the lost one, then it is gone on with, and signed there with a key of its own."""
        backup = tmp_path / "kept" / "ledger.db"
        assert program("audit", "restore", str(backup), "--reason", "lost", cwd=lost).returncode == 0
        assert run(lost) == ""
        assert program("audit", "keygen", cwd=lost).returncode == 0
        assert len(list((operator_folder("x").parent).glob("*/place"))) == 1
        assert run(lost) == ""

    def test_without_a_key(self, project: Path) -> None:
        """Given only checkpoints beside it that nobody has signed, then a new history begins, and a warning says so."""
        for file in (project / ".orchestrate").glob("ledger.db*"):
            file.unlink()
        assert "a new history begins here" in run(project)
