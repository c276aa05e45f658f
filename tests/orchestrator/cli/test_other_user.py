"""Tests of who writes to a ledger: its owner, and nobody else, not even root."""

from __future__ import annotations

import contextlib
import os
import pwd
import shutil
import sqlite3
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from ledger.errors import LedgerError
from orchestrator.cli.opening import OtherUserError, is_of_another_user, open_to_write, refuse_other_users, user_name
from tests.orchestrator.runtime.test_files import NOBODY, as_nobody
from tests.programs import everything_in, ledger_of, no_traceback, program, refused, value_of

PIPELINE = '[pipeline]\nname = "p"\n[datasets.d]\npath = "d"\n[steps.a]\nshell = "echo hi > d"\nwrites = ["d"]\n'

as_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root can give files to somebody else")


@pytest.fixture
def others(tmp_path: Path) -> Path:
    """Give a project whose ledger belongs to somebody else, in the group of whoever runs this and open to it."""
    (tmp_path / "pipeline.toml").write_text(PIPELINE)
    assert program("run", "-q", cwd=tmp_path).returncode == 0
    folder = ledger_of(tmp_path).parent
    for place in (folder, *folder.rglob("*")):
        os.chown(place, NOBODY, os.getegid())
        place.chmod(0o770)
    return tmp_path


@pytest.fixture
def own() -> Iterator[Path]:
    """Give a project that everybody may look into; the usual place of a test's files is closed to others."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        folder.chmod(0o777)
        (folder / "pipeline.toml").write_text(PIPELINE)
        assert program("run", "-q", cwd=folder).returncode == 0
        for place in (ledger_of(folder).parent, *ledger_of(folder).parent.rglob("*")):
            place.chmod(0o777)
        yield folder


def owners(folder: Path) -> set[int]:
    """Return who owns what lies in the ledger's folder."""
    return {path.stat().st_uid for path in ledger_of(folder).parent.rglob("*")}


@as_root
class TestRootOnTheLedgerOfAnother:
    """Root could write everywhere, and its files would break the next night."""

    @pytest.mark.parametrize(
        "arguments",
        [
            ("run", "--json"),
            ("resume", "latest", "--json"),
            ("accept", "latest", "a", "--reason", "x", "--json"),
            ("note", "latest", "x", "--json"),
            ("audit", "checkpoint", "--json"),
        ],
        ids=" ".join,
    )
    def test_writing_is_refused(self, others: Path, arguments: tuple[str, ...]) -> None:
        """Given a ledger of another user, then what writes says who may, what to type, and leaves nothing behind."""
        before = everything_in(others)
        (problem,) = refused(program(*arguments, cwd=others))
        owner = pwd.getpwuid(NOBODY).pw_name
        assert problem["kind"] == "other_user"
        assert f"{ledger_of(others)} belongs to the user {owner}, and this is root" in problem["message"]
        assert f"sudo -u {owner} orchestrate" in problem["suggestion"]
        assert everything_in(others) == before
        assert owners(others) == {NOBODY}

    def test_tables_are_not_made_anew(self, others: Path) -> None:
        """Given altered tables in a ledger of another user, then `audit rebuild` says who may, and changes nothing."""
        with contextlib.closing(sqlite3.connect(ledger_of(others), isolation_level=None)) as connection:
            connection.execute("UPDATE runs SET status = 'failed'")
        for place in ledger_of(others).parent.rglob("*"):
            shutil.chown(place, NOBODY)
        assert refused(program("audit", "rebuild", "--json", cwd=others))[0]["kind"] == "other_user"
        assert owners(others) == {NOBODY}
        with contextlib.closing(sqlite3.connect(f"file:{ledger_of(others)}?mode=ro", uri=True)) as connection:
            assert connection.execute("SELECT status FROM runs").fetchall() == [("failed",)]

    def test_group_makes_no_difference(self, others: Path) -> None:
        """Given [access] group, then writing is refused all the same."""
        definition = others / "pipeline.toml"
        definition.write_text(definition.read_text() + '[access]\ngroup = "root"\n')
        assert refused(program("run", "--json", cwd=others))[0]["kind"] == "other_user"

    @pytest.mark.parametrize(
        "arguments", [("status",), ("show", "latest"), ("plan",), ("audit", "verify")], ids=" ".join
    )
    def test_reading_stays_possible(self, others: Path, arguments: tuple[str, ...]) -> None:
        """Given a ledger of another user, then it can be looked into, and no file of root's comes of it."""
        done = program(*arguments, cwd=others)
        assert done.returncode == 0, done.stderr
        assert owners(others) == {NOBODY}

    def test_bad_definition_is_told_all_the_same(self, others: Path) -> None:
        """Given a definition with a mistake, which cannot be recorded there, then the mistake is what is told."""
        (others / "pipeline.toml").write_text(PIPELINE + "nope = 1\n")
        done = program("run", cwd=others)
        no_traceback(done)
        assert (done.returncode, "unknown key 'nope'" in done.stderr or "unknown key nope" in done.stderr) == (2, True)
        assert owners(others) == {NOBODY}

    def test_ledger_that_was_given_back(self, others: Path) -> None:
        """Given that the ledger is root's again, then root writes to it."""
        folder = ledger_of(others).parent
        for place in (folder, *folder.rglob("*")):
            shutil.chown(place, 0)
        assert program("run", "-q", cwd=others).returncode == 0


@as_root
class TestNoLedgerYet:
    """Whoever begins a ledger owns it for good, so that it is begun by whose folder it is."""

    @pytest.fixture
    def fresh(self, tmp_path: Path) -> Path:
        """Give a project of somebody else that has never run."""
        (tmp_path / "pipeline.toml").write_text(PIPELINE)
        for place in (tmp_path, tmp_path / "pipeline.toml"):
            os.chown(place, NOBODY, NOBODY)
        return tmp_path

    @pytest.mark.parametrize("made", [False, True])
    def test_first_run_is_refused(self, fresh: Path, *, made: bool) -> None:
        """Given the folder of another user, with an empty one for the ledger or without, then root is told who may begin it, and leaves nothing behind."""
        if made:
            ledger_of(fresh).parent.mkdir()
            os.chown(ledger_of(fresh).parent, NOBODY, NOBODY)
        before = everything_in(fresh)
        (problem,) = refused(program("run", "-q", "--json", cwd=fresh))
        owner = pwd.getpwuid(NOBODY).pw_name
        place = ledger_of(fresh).parent if made else fresh
        assert problem["kind"] == "other_user"
        assert f"{place} belongs to the user {owner}, and this is root" in problem["message"]
        assert f"sudo -u {owner} orchestrate" in problem["suggestion"]
        assert everything_in(fresh) == before

    def test_restoring_is_refused(self, fresh: Path, own: Path) -> None:
        """Given a backup, then root does not restore it in the folder of another user, and leaves nothing behind."""
        backup = own / "backup.db"
        assert program("audit", "backup", str(backup), cwd=own).returncode == 0
        before = everything_in(fresh)
        (problem,) = refused(program("audit", "restore", str(backup), "--reason", "x", "--json", cwd=fresh))
        assert (problem["kind"], problem["message"].split(": ")[0]) == (
            "other_user",
            f"{fresh} belongs to the user {pwd.getpwuid(NOBODY).pw_name}, and this is root",
        )
        assert everything_in(fresh) == before

    @pytest.mark.parametrize("name", [".", "new/deeper"])
    def test_init_is_refused(self, fresh: Path, name: str) -> None:
        """Given the folder of another user, then root begins no pipeline in it, whose steps could not write there."""
        (fresh / "pipeline.toml").unlink()
        done = program("init", name, cwd=fresh)
        owner = pwd.getpwuid(NOBODY).pw_name
        no_traceback(done)
        assert done.returncode == 2
        assert f"type `sudo -u {owner} orchestrate init …`" in done.stderr
        assert everything_in(fresh) == []

    def test_doctor_says_so(self, fresh: Path) -> None:
        """Given the same, then `doctor` warns of it."""
        found = value_of(program("doctor", "--json", cwd=fresh), "doctor")
        assert "other_user" in [problem["kind"] for problem in found["problems"]]

    def test_folder_that_was_made_for_it(self, fresh: Path) -> None:
        """Given a folder for the ledger that is root's, as in a container with files of its host, then root keeps the ledger there."""
        ledger_of(fresh).parent.mkdir()
        assert program("run", "-q", cwd=fresh).returncode == 0

    def test_ledger_elsewhere(self, fresh: Path, tmp_path_factory: pytest.TempPathFactory) -> None:
        """Given a ledger in a folder of root's, then root begins it there."""
        there = tmp_path_factory.mktemp("ledgers") / "p" / "ledger.db"
        assert program("run", "-q", "--ledger", str(there), cwd=fresh).returncode == 0

    def test_folder_of_root(self, own: Path) -> None:
        """Given a folder that root prepared and opened to others, then one of them may begin the ledger in it."""
        shutil.rmtree(ledger_of(own).parent)
        with as_nobody():
            refuse_other_users(ledger_of(own))
            assert not is_of_another_user(ledger_of(own))

    def test_folder_of_the_ledger_that_is_hidden(self, own: Path) -> None:
        """Given a private folder with a ledger of root's where another user works, then he is told whose it is, and how to get it back."""
        os.chown(own, NOBODY, NOBODY)
        ledger_of(own).parent.chmod(0o700)
        with as_nobody(), pytest.raises(OtherUserError) as caught:
            open_to_write(ledger_of(own))
        assert f"{ledger_of(own).parent} belongs to the user root" in str(caught.value)

    def test_ledger_that_root_has_begun(self, own: Path) -> None:
        """Given a ledger of root's where another user works, then he is told how it is given back."""
        os.chown(own, NOBODY, NOBODY)
        with as_nobody(), pytest.raises(OtherUserError) as caught:
            open_to_write(ledger_of(own))
        assert f"sudo chown -R {pwd.getpwuid(NOBODY).pw_name}: {ledger_of(own).parent}" in str(caught.value)

    def test_place_that_cannot_be(self, tmp_path: Path) -> None:
        """Given a name that no folder can have, then that is left to be said by whoever opens it."""
        refuse_other_users(tmp_path / ("x" * 300) / "ledger.db")


class TestOwner:
    """It is the owner that counts, not what one could do."""

    @as_root
    def test_who_may_write_by_its_modes_and_is_not_the_owner(self, own: Path) -> None:
        """Given a ledger that everybody may write to by its modes, then another user may not."""
        with as_nobody(), pytest.raises(OtherUserError) as caught:
            open_to_write(ledger_of(own))
        assert isinstance(caught.value, LedgerError)
        assert "sudo -u root orchestrate" in str(caught.value)

    def test_owner_writes(self, own: Path) -> None:
        """Given one's own ledger, then it opens."""
        open_to_write(ledger_of(own)).close()

    def test_user_without_a_name(self) -> None:
        """Given a number that nobody has, then it stands as sudo takes it."""
        assert user_name(4_000_000_000) == "#4000000000"
