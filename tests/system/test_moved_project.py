"""A whole project that moves to another folder on another host keeps its history and every skip."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from tests.nights import write_shop
from tests.programs import PROGRAM, Done, data_of, events_of, ledger_of, no_traceback, program, value_of

pytestmark = pytest.mark.system

OTHER_HOST = "moved-elsewhere"

RENAMED = """
import os, sys
name = os.uname()
other = os.uname_result((name.sysname, sys.argv.pop(1), name.release, name.version, name.machine))
os.uname = lambda: other
from orchestrator.cli.app import main
main()
"""
"""The program on a host of another name, as far as it can tell: wherever the kernel lets nobody have a host name of her own."""


def in_a_namespace(arguments: Sequence[str]) -> list[str]:
    """Return the command that runs the program where the kernel itself says another host name."""
    inner = ["unshare", "--uts", "--map-root-user", "sh", "-c", f'hostname {OTHER_HOST} && exec "$@"', "sh"]
    if shutil.which("unshare") is None or subprocess.run([*inner, "true"], capture_output=True, check=False).returncode:
        pytest.skip("the kernel gives no host name of one's own (unshare --uts --map-root-user)")
    return [*inner, str(PROGRAM), *arguments]


def with_another_uname(arguments: Sequence[str]) -> list[str]:
    """Return the command that runs the program with another answer to `os.uname`."""
    return [sys.executable, "-c", RENAMED, OTHER_HOST, *arguments]


def run_elsewhere(command: Callable[[Sequence[str]], list[str]], *arguments: str, cwd: Path) -> Done:
    """Run the program on the other host."""
    return subprocess.run(
        command(arguments),
        cwd=cwd,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


ELSEWHERE = pytest.mark.parametrize("command", [in_a_namespace, with_another_uname], ids=lambda way: way.__name__)


class TestMovedProject:
    """Keys hold relative paths and no host name."""

    @pytest.fixture
    def moved(self, tmp_path: Path) -> Path:
        """Give the folder to which a project has been copied after two nights; the original is gone."""
        here = write_shop(tmp_path / "here" / "shop")
        for night in ("2026-01-01", "2026-01-02"):
            assert program("run", "-q", "--for", night, cwd=here).returncode == 0
        there = tmp_path / "a" / "very" / "different place"
        there.parent.mkdir(parents=True)
        shutil.copytree(here, there)
        shutil.rmtree(here)
        return there

    @ELSEWHERE
    def test_everything_is_skipped(self, moved: Path, command: Callable[[Sequence[str]], list[str]]) -> None:
        """Given another folder and another host name, then the next night skips every step, and the change is recorded once."""
        here = os.uname().nodename
        done = run_elsewhere(command, "run", "--json", "--for", "2026-01-03", cwd=moved)
        no_traceback(done)
        value = value_of(done, "run")
        assert value["status"] == "nothing_to_do"
        assert [(step["status"], step["reason"]) for step in value["steps"]] == [
            ("skipped", "no_new_data"),
            ("skipped", "up_to_date"),
            ("skipped", "up_to_date"),
        ]
        warnings = [line for line in done.stderr.splitlines() if line.startswith("warning: ")]
        assert warnings == [
            f"warning: pipeline shop last ran on host {here}, now on {OTHER_HOST}; recorded, what is up to date stays so"
        ]
        (event,) = [event for event in events_of(ledger_of(moved)) if event["type"] == "host.changed"]
        assert event["stream"] == "pipeline/shop"
        assert (event["data"]["before"], event["data"]["after"]) == (here, OTHER_HOST)
        assert event["data"]["actor"]["host"] == OTHER_HOST
        last = [event for event in events_of(ledger_of(moved)) if event["type"] == "run.started"][-1]
        assert event["seq"] < last["seq"]

        again = run_elsewhere(command, "run", "--json", "--for", "2026-01-04", cwd=moved)
        assert "warning" not in again.stderr
        assert len(data_of(ledger_of(moved), "host.changed")) == 1

    def test_it_is_shown(self, moved: Path) -> None:
        """Given a run after a move and one after that, then show names the move of the first alone, and changes lists it."""
        here = os.uname().nodename
        for night in ("2026-01-03", "2026-01-04"):
            run_elsewhere(with_another_uname, "run", "-q", "--for", night, cwd=moved)
        third, fourth = (data["run_id"] for data in data_of(ledger_of(moved), "run.started")[2:])
        shown = value_of(program("show", third, "--json", cwd=moved), "show")
        (move,) = shown["moves"]
        assert (move["kind"], move["before"], move["after"]) == ("host", here, OTHER_HOST)
        assert f"  moved:         host {here} -> {OTHER_HOST}, by " in program("show", third, cwd=moved).stdout
        assert value_of(program("show", fourth, "--json", cwd=moved), "show")["moves"] == []

        newest = value_of(program("changes", "--json", cwd=moved), "changes")[0]
        assert newest["kind"] == "host"
        assert newest["changes"] == [{"path": "host", "kind": "changed", "before": here, "after": OTHER_HOST}]
        assert newest["before"] == newest["after"]
        assert f"\n  ~ host: {here} -> {OTHER_HOST}\n" in program("changes", cwd=moved).stdout

    def test_a_renamed_pipeline_still_knows_its_host(self, moved: Path) -> None:
        """Given a pipeline that got a new name with the move, then the host of its former runs counts."""
        text = (moved / "pipeline.toml").read_text(encoding="utf-8")
        renamed = text.replace('name = "shop"', 'name = "store"\nformerly = ["shop"]')
        (moved / "pipeline.toml").write_text(renamed, encoding="utf-8")
        done = run_elsewhere(with_another_uname, "run", "--json", "--for", "2026-01-03", cwd=moved)
        assert value_of(done, "run")["status"] == "nothing_to_do"
        (data,) = data_of(ledger_of(moved), "host.changed")
        assert (data["pipeline"], data["before"]) == ("store", os.uname().nodename)
