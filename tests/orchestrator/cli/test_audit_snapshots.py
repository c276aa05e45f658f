"""Tests of snapshots of a ledger: never without a manifest, whole or not there, and nothing left of one that was interrupted."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from ledger.new_file import remove_abandoned
from orchestrator.cli.audit.evidence import one_moment
from orchestrator.cli.audit.snapshots import check_moment, check_snapshot, snapshot_manifest, take_snapshot
from orchestrator.cli.errors import UsageRefusedError
from tests.nights import Nights

NOW = "2026-01-31T00:00:00.000000Z"


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Give where a snapshot may be."""
    return tmp_path / "copy.db"


def taken(nights: Nights, path: Path) -> dict[str, object]:
    """Take a snapshot and return its manifest."""
    with one_moment(None, str(nights.ledger)) as moment:
        return dict(take_snapshot(moment, path, NOW))


class TestOrder:
    """The manifest comes first."""

    def test_manifest_stands_before_the_snapshot_has_its_name(
        self, nights: Nights, path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Given the moment at which the snapshot gets its name, then its manifest is there and complete."""
        seen = []
        link = os.link

        def watched(source: Path, target: Path) -> None:
            seen.append(json.loads(snapshot_manifest(target).read_bytes()))
            link(source, target)

        monkeypatch.setattr(os, "link", watched)
        assert seen == [taken(nights, path)]
        assert check_snapshot(path) == seen[0]

    @pytest.mark.parametrize("error", [KeyboardInterrupt, OSError])
    def test_interrupted_one_leaves_nothing(
        self, nights: Nights, path: Path, monkeypatch: pytest.MonkeyPatch, error: type[BaseException]
    ) -> None:
        """Given an end between the two names, then neither is there."""

        def fail(_source: Path, _target: Path) -> None:
            raise error

        monkeypatch.setattr(os, "link", fail)
        with pytest.raises(error):
            taken(nights, path)
        assert list(path.parent.iterdir()) == []

    def test_end_after_both_names_leaves_both(
        self, nights: Nights, path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Given Ctrl-C right after the snapshot got its name, then it keeps its manifest."""
        link = os.link

        def interrupted(source: Path, target: Path) -> None:
            link(source, target)
            raise KeyboardInterrupt

        monkeypatch.setattr(os, "link", interrupted)
        with pytest.raises(KeyboardInterrupt):
            taken(nights, path)
        assert check_snapshot(path)["exported_at"] == NOW
        assert len(list(path.parent.iterdir())) == 2

    def test_kill_is_made_good_by_the_next_call(self, nights: Nights, path: Path) -> None:
        """Given a process that was killed between the two names, then the next snapshot takes their place, and nothing else is left."""
        code = (
            "import os, signal, sys\n"
            "from orchestrator.cli.app import run_command\n"
            "os.link = lambda *paths: os.kill(os.getpid(), signal.SIGKILL)\n"
            "run_command(['audit', 'serve', '--ledger', sys.argv[1], '--port', '0', '--snapshot', sys.argv[2]])\n"
        )
        done = subprocess.run([sys.executable, "-c", code, nights.ledger, path], timeout=60, check=False)
        assert done.returncode == -9
        assert sorted(item.name[:8] for item in path.parent.iterdir()) == [".copy.db", "copy.db."]
        taken(nights, path)
        assert {item.name for item in path.parent.iterdir()} == {path.name, snapshot_manifest(path).name}


class TestLeftovers:
    """What is removed is what nobody works at."""

    def test_only_those_of_processes_that_are_no_more(self, path: Path) -> None:
        """Given files of every kind, then those of living processes, of other names and of other forms stay."""
        dead = subprocess.Popen([sys.executable, "-c", ""])
        dead.wait()
        gone = [f".copy.db.{dead.pid}.new", f".copy.db.{dead.pid}.new-journal", f".copy.db.{os.getpid()}.new"]
        kept = [f".copy.db.{os.getppid()}.new", f".other.{dead.pid}.new", ".copy.db.x.new", f"copy.db.{dead.pid}.new"]
        for name in (*gone, *kept):
            (path.parent / name).touch()
        remove_abandoned(path)
        assert {item.name for item in path.parent.iterdir()} == set(kept)


class TestChecks:
    """What is shown again is what was taken."""

    def test_a_moment_that_is_another(self, nights: Nights, path: Path) -> None:
        """Given a manifest with the right digest of the file and another root, then it is no snapshot of that."""
        taken(nights, path)
        manifest = snapshot_manifest(path)
        manifest.write_text(json.dumps({**json.loads(manifest.read_bytes()), "root": "00" * 32}))
        facts = check_snapshot(path)
        with (
            one_moment(None, str(path)) as moment,
            pytest.raises(UsageRefusedError, match="events with the root") as caught,
        ):
            check_moment(path, facts, moment)
        assert caught.value.kind == "changed_snapshot"

    @pytest.mark.parametrize("content", ["", "[]", '{"files": []}', "[" * 100_000, None])
    def test_manifest_that_is_none(self, nights: Nights, path: Path, content: str | None) -> None:
        """Given something else in the manifest's place, a pipe too, then it is refused at once."""
        taken(nights, path)
        manifest = snapshot_manifest(path)
        manifest.unlink()
        if content is None:
            os.mkfifo(manifest)
        else:
            manifest.write_text(content)
        with pytest.raises(UsageRefusedError) as caught:
            check_snapshot(path)
        assert caught.value.kind == "no_snapshot"

    def test_manifest_that_lacks_something(self, nights: Nights, path: Path) -> None:
        """Given a manifest without the root, then it is none."""
        facts = taken(nights, path)
        del facts["root"]
        snapshot_manifest(path).write_text(json.dumps(facts))
        with pytest.raises(UsageRefusedError, match="is no snapshot"):
            check_snapshot(path)
