"""Tests of `orchestrate audit backup`: a checked copy, also while a run is on."""

from __future__ import annotations

from hashlib import sha256
from pathlib import Path

import pytest

from tests.nights import Nights
from tests.old_ledgers import digest_of, rows_of
from tests.programs import ended, ledger_of, no_traceback, program, refused, started, value_of, wait_until

SLOW = """\
[pipeline]
name = "slow"
[steps.wait]
shell = "touch begun; while test ! -e go; do sleep 0.02; done"
"""


def back_up(folder: Path, target: Path, *options: str) -> dict[str, object]:
    """Back up the ledger of *folder* to *target* and return what is said about it."""
    value: dict[str, object] = value_of(
        program("audit", "backup", str(target), "--json", *options, cwd=folder), "audit-backup"
    )
    return value


class TestBackup:
    """The command."""

    def test_says_what_the_copy_holds(self, nights: Nights, tmp_path: Path) -> None:
        """Given a ledger, then size, digest, number of events and the last checkpoint are those of the file that was written."""
        target = tmp_path / "backup.db"
        before = digest_of(nights.ledger)
        value = back_up(nights.shop, target)
        content = target.read_bytes()
        assert (value["file"], value["bytes"], value["sha256"]) == (
            str(target),
            len(content),
            sha256(content).hexdigest(),
        )
        assert rows_of(target, "events") == rows_of(nights.ledger, "events")
        assert value["events"] == len(rows_of(target, "events"))
        assert value["checkpoint"] == rows_of(target, "checkpoints")[-1][3]
        assert value["former"] == []
        assert digest_of(nights.ledger) == before
        assert [path.name for path in tmp_path.iterdir()] == ["backup.db"]

    def test_people_read_the_same(self, nights: Nights, tmp_path: Path) -> None:
        """Given a person who reads, then the same is said in lines, the checkpoint as it can be kept."""
        done = program("audit", "backup", str(tmp_path / "a.db"), cwd=nights.shop)
        value = back_up(nights.shop, tmp_path / "b.db")
        lines = [line.split(":", 1) for line in done.stdout.splitlines()]
        said = {name.strip(): text.strip() for name, text in (line for line in lines if len(line) == 2)}
        assert said["sha256"] == sha256((tmp_path / "a.db").read_bytes()).hexdigest()
        assert (said["ledger"], said["root"]) == (value["ledger"], value["root"])
        assert str(value["checkpoint"]).splitlines()[0] in done.stdout
        assert done.stderr == ""

    def test_copy_can_be_looked_into(self, nights: Nights, tmp_path: Path) -> None:
        """Given a copy, then the reading commands show it like the ledger itself."""
        back_up(nights.shop, tmp_path / "backup.db")
        done = program("runs", "--json", "--ledger", str(tmp_path / "backup.db"), cwd=tmp_path)
        assert done.stdout == program("runs", "--json", cwd=nights.shop).stdout

    def test_while_a_run_is_on(self, tmp_path: Path) -> None:
        """Given a run that goes on, then the copy is made, and is of one moment: the run has begun in it and not ended."""
        (tmp_path / "pipeline.toml").write_text(SLOW, encoding="utf-8")
        with started("run", "--quiet", cwd=tmp_path) as process:
            wait_until((tmp_path / "begun").exists, "the step has begun")
            value = back_up(tmp_path, tmp_path / "backup.db")
            (tmp_path / "go").touch()
            assert ended(process).returncode == 0
        (run,) = value_of(program("runs", "--json", "--ledger", str(tmp_path / "backup.db"), cwd=tmp_path), "runs")
        assert run["status"] == "running"
        events = value["events"]
        assert isinstance(events, int)
        assert events < len(rows_of(ledger_of(tmp_path), "events"))

    def test_without_a_checkpoint(self, tmp_path: Path) -> None:
        """Given a ledger that nothing has sealed, then that is said, and how to do it."""
        (tmp_path / "pipeline.toml").write_text(SLOW.replace('"touch', '"exit 0; touch'), encoding="utf-8")
        assert program("run", "--env-file", "nowhere", cwd=tmp_path).returncode == 2
        done = program("audit", "backup", "b.db", cwd=tmp_path)
        assert done.stdout.endswith("checkpoint: none; orchestrate audit checkpoint makes one\n")


class TestRefused:
    """What is not done."""

    def test_file_that_is_there(self, nights: Nights, tmp_path: Path) -> None:
        """Given a file of that name, then it stays, and the message says how to replace it."""
        target = tmp_path / "backup.db"
        target.write_text("mine")
        (problem,) = refused(program("audit", "backup", str(target), "--json", cwd=nights.shop))
        assert problem["kind"] == "file_exists"
        assert "--force" in problem["message"]
        assert target.read_text() == "mine"
        assert back_up(nights.shop, target, "--force")["events"]

    @pytest.mark.parametrize(("target", "kind"), [(".orchestrate/ledger.db", "same_file"), (".orchestrate", "usage")])
    def test_places_that_are_none(self, nights: Nights, target: str, kind: str) -> None:
        """Given the ledger itself or a folder as the target, then it is refused, with force too."""
        before = digest_of(nights.ledger)
        (problem,) = refused(program("audit", "backup", target, "--force", "--json", cwd=nights.shop))
        assert problem["kind"] == kind
        assert digest_of(nights.ledger) == before

    def test_no_ledger_and_no_place(self, nights: Nights, tmp_path: Path) -> None:
        """Given no ledger, then there is no copy; given a disk that takes none, then it is an error of the storage."""
        assert refused(program("audit", "backup", "b.db", "--json", cwd=tmp_path))[0]["kind"] == "no_ledger"
        (tmp_path / "file").touch()
        done = program("audit", "backup", str(tmp_path / "file" / "b.db"), cwd=nights.shop)
        assert done.returncode == 5
        no_traceback(done)
