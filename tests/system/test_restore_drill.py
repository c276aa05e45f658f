"""The drill of `make drill`, played as a test: backup, loss, restore, verify, next night."""

from __future__ import annotations

import tempfile
from pathlib import Path

import pytest

from tests import drill
from tests.drill import Drill, DrillFailedError

pytestmark = pytest.mark.system


def test_drill_goes_as_the_procedure_says(tmp_path: Path) -> None:
    """Given a pipeline with a key, then after a loss it is restored, verified, and the next night skips what is up to date."""
    said: list[str] = []
    Drill(tmp_path, said.append).play()
    assert [line for line in said if line.startswith("lost: events ")]


def test_drill_ends_at_the_first_thing_that_goes_wrong(tmp_path: Path) -> None:
    """Given a backup that is not there, then the drill fails and says at which command."""
    said: list[str] = []
    play = Drill(tmp_path, said.append)
    play.prepare()
    with pytest.raises(DrillFailedError, match="there is no backup at"):
        play.restore()
    assert said[-1].startswith("$ orchestrate audit restore")


def test_command_cleans_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """Given `make drill`, then each act and command is printed, the exit code says how it went, and nothing is left."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    monkeypatch.setattr(Drill, "verify", lambda _: None)
    assert drill.main() == 0
    printed = capsys.readouterr().out
    assert printed.endswith("\nthe drill went as it should\n")
    assert "== The next night skips what is up to date" in printed
    monkeypatch.setattr(Drill, "back_up", lambda _: (_ for _ in ()).throw(DrillFailedError("no disk")))
    assert drill.main() == 1
    assert capsys.readouterr().out.endswith("\nthe drill failed: no disk\n")
    assert list(tmp_path.iterdir()) == []
