"""Tests of `orchestrate doctor`: what of this machine and this ledger may bite."""

from __future__ import annotations

import importlib.metadata
import os
import shutil
import tempfile
import tomllib
from collections.abc import Iterator
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import pytest

from orchestrator.cli import doctoring
from orchestrator.cli.doctoring import examine, extras, key_facts, look_into, place_facts, sqlite_facts
from orchestrator.cli.exit_codes import ExitCode
from orchestrator.cli.keyring import operator_folder
from orchestrator.core.problems import Problem
from orchestrator.runtime import place
from orchestrator.runtime.room import LEAST_FREE_BYTES
from tests.conftest import ROOT
from tests.nights import Nights
from tests.orchestrator.runtime.test_files import NOBODY, as_nobody
from tests.programs import Json, everything_in, ledger_of, program, value_of

PIPELINE = '[pipeline]\nname = "p"\n[steps.a]\nshell = "echo hi"\n'
TODAY = datetime.now(UTC).date()
MOUNTS = """\
22 1 254:0 / / rw,relatime - ext4 /dev/vda rw
30 22 0:40 / /srv rw,relatime shared:1 - ext4 /dev/vdb rw
31 30 0:41 / /srv rw,relatime - nfs4 server:/srv rw
32 22 0:42 / /mnt/a\\040b rw - vfat /dev/sdb rw
33 22 0:43 / /tmp rw - tmpfs tmpfs rw
no line of this form
34 22 0:44 / /broken rw
"""


def kinds(problems: list[Problem]) -> list[str]:
    """Return the kinds of *problems*."""
    return [problem.kind for problem in problems]


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """Give a folder whose pipeline has run once."""
    (tmp_path / "pipeline.toml").write_text(PIPELINE)
    assert program("run", "-q", cwd=tmp_path).returncode == 0
    return tmp_path


@pytest.fixture
def visible() -> Iterator[Path]:
    """Give a folder that others may look into: the usual place of a test's files is closed to them."""
    with tempfile.TemporaryDirectory() as name:
        Path(name).chmod(0o755)
        yield Path(name)


def doctored(folder: Path, code: int = 0) -> Json:
    """Return what `doctor --json` prints in *folder*."""
    found: Json = value_of(program("doctor", "--json", cwd=folder), "doctor", code=code)
    return found


class TestCommand:
    """What is shown, and the exit code."""

    def test_before_the_first_run_and_without_a_definition(self, tmp_path: Path) -> None:
        """Given an empty folder, then it is looked at, all is well, and it stays empty."""
        found = doctored(tmp_path)
        assert (found["status"], found["exists"], found["problems"]) == ("well", False, [])
        assert found["place"]["folder"] == str(tmp_path)
        assert found["room"]["needed_bytes"] == LEAST_FREE_BYTES
        assert found["room"]["days_left"] is None
        assert everything_in(tmp_path) == []

    def test_ledger_with_runs(self, nights: Nights) -> None:
        """Given a history, then what grows is told for ledger, logs and reports apart, and nothing is changed."""
        before = everything_in(nights.shop)
        found = doctored(nights.shop)
        assert (found["status"], found["exists"]) == ("well", True)
        assert found["place"]["mode"] == "0700"
        for part in ("ledger", "logs", "reports"):
            grown = found["room"]["parts"][part]
            assert grown["bytes_a_day"] > 0
            assert grown["days_left"] == grown["free_bytes"] // grown["bytes_a_day"]
        assert found["key"] == {"folder": str(operator_folder(_id(nights.shop))), "state": "none"}
        assert everything_in(nights.shop) == before

    def test_text(self, project: Path) -> None:
        """Given the same for people, then a line for each, and what may bite below."""
        done = program("doctor", cwd=project)
        assert (done.returncode, done.stderr) == (0, "")
        for word in (
            "ledger   ",
            "folder   ",
            "sqlite   ",
            "room     ",
            "  logs     grows by ",
            "key      ",
            "extras   ",
        ):
            assert f"\n{word}" in f"\n{done.stdout}"
        assert done.stdout.endswith("\n\nnothing was found that may bite\n")
        ledger_of(project).chmod(0o666)
        lines = program("doctor", cwd=project).stdout.splitlines()
        assert lines[-1].startswith("warning: others than its owner may write to ")

    def test_damaged_ledger(self, tmp_path: Path) -> None:
        """Given a file that is no ledger, then exit code 3, and the rest is told all the same."""
        (tmp_path / "ledger.db").write_bytes(b"no ledger" * 1000)
        found = value_of(program("doctor", "--json", "--ledger", "ledger.db", cwd=tmp_path), "doctor", code=3)
        assert (found["status"], [problem["kind"] for problem in found["problems"]]) == ("unusable", ["foreign_file"])
        assert found["room"]["free_bytes"] > 0

    def test_definition_says_what_is_needed(self, project: Path) -> None:
        """Given pipelines that ran with min_free, then the most demanding of them counts; 5 where that is not free."""
        for demand, needed in (("0", 0), ("'3MiB'", 3 << 20)):
            (project / "pipeline.toml").write_text(PIPELINE.replace("[steps", f"min_free = {demand}\n[steps"))
            assert program("run", "-q", cwd=project).returncode == 0
            assert look_into(ledger_of(project)).needed_bytes == needed

    def test_other_pipeline_without_a_demand(self, nights: Nights) -> None:
        """Given pipelines that demand nothing, then the runs so far say what is needed."""
        assert look_into(ledger_of(nights.shop)).needed_bytes == LEAST_FREE_BYTES


def _id(folder: Path) -> str:
    identity = look_into(ledger_of(folder)).ledger_id
    assert identity is not None
    return identity


class TestRoom:
    """Room on the disk."""

    @pytest.mark.parametrize(
        ("free", "expected", "code"),
        [(LEAST_FREE_BYTES - 1, ["disk_space"], ExitCode.STORAGE), (LEAST_FREE_BYTES, ["disk_soon_full"], ExitCode.OK)],
    )
    def test_little(
        self, project: Path, monkeypatch: pytest.MonkeyPatch, free: int, expected: list[str], code: ExitCode
    ) -> None:
        """Given less than a run needs, then the storage is unusable; given enough for a few days, then a warning."""
        known = look_into(ledger_of(project))
        monkeypatch.setattr(doctoring, "free_bytes", lambda _: free)
        grown = known.growth._replace(logs_bytes=10 << 20)
        monkeypatch.setattr(doctoring, "recent_growth", lambda *_: grown)
        _, problems, found = examine(ledger_of(project), today=TODAY)
        assert (kinds(problems), found) == (expected, code)


class TestPlace:
    """Owner, modes and file system of the ledger's folder."""

    @pytest.mark.parametrize(
        ("folder", "kind"),
        [("/", "ext4"), ("/srv/etl", "nfs4"), ("/srvx", "ext4"), ("/mnt/a b/c", "vfat"), ("/tmp", "tmpfs")],
    )
    def test_kind(self, folder: str, kind: str) -> None:
        """Given a table of mounts, then the deepest one counts, and of two on one another the later one."""
        assert place.file_system(Path(folder), MOUNTS) == kind
        assert place.file_system(Path(folder), "") is None

    @pytest.mark.parametrize(
        ("kind", "told"),
        [("nfs", "on one host"), ("9p", "on one host"), ("vfat", "no modes"), ("tmpfs", "is lost"), ("xfs", "")],
    )
    def test_file_systems_that_bite(self, tmp_path: Path, kind: str, told: str) -> None:
        """Given a file system that a ledger should not lie on, then a warning says why."""
        facts, problems = place_facts(tmp_path / "ledger.db", f"1 1 0:1 / / rw - {kind} x rw\n")
        assert facts["file_system"] == kind
        assert kinds(problems) == (["file_system"] if told else [])
        assert all(told in problem.message and problem.severity == "warning" for problem in problems)

    def test_no_table_of_mounts(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """Given a system without one, then the kind is not known."""
        monkeypatch.setattr(place, "_MOUNTS", tmp_path / "nothing")
        facts, _ = place_facts(tmp_path / "ledger.db")
        assert facts["file_system"] is None

    @pytest.mark.parametrize("name", [".orchestrate", ".orchestrate/ledger.db"])
    def test_others_may_write(self, project: Path, name: str) -> None:
        """Given a folder or a ledger that others may write to, then a warning says which, and what to type."""
        (project / name).chmod(0o720)
        found = doctored(project)
        assert [(problem["kind"], problem["severity"]) for problem in found["problems"]] == [
            ("open_to_others", "warning")
        ]
        assert found["problems"][0]["suggestion"] == f"chmod go-w {project / name}"

    @pytest.mark.skipif(os.geteuid() != 0, reason="only root can give files to somebody else")
    def test_other_user(self, project: Path) -> None:
        """Given the ledger of somebody else, then a warning says who may write."""
        for file in (ledger_of(project).parent, *ledger_of(project).parent.rglob("*")):
            shutil.chown(file, NOBODY)
        found = doctored(project)
        assert (found["status"], [problem["kind"] for problem in found["problems"]]) == ("warnings", ["other_user"])

    def test_nothing_can_be_written(self, visible: Path) -> None:
        """Given a folder of somebody else in which there is to be a ledger, then the storage is unusable."""
        with as_nobody() if os.geteuid() == 0 else _read_only(visible):
            _, problems, code = examine(visible / "ledger" / "ledger.db", today=TODAY)
        assert (kinds(problems), code) == (["not_writable"], ExitCode.STORAGE)

    @pytest.mark.skipif(os.geteuid() != 0, reason="only root can be somebody else")
    def test_folder_that_is_hidden(self, visible: Path) -> None:
        """Given the private folder of somebody else, then that it cannot be read, and whose it is."""
        (visible / "pipeline.toml").write_text(PIPELINE)
        assert program("run", "-q", cwd=visible).returncode == 0
        with as_nobody():
            _, problems, code = examine(ledger_of(visible), today=TODAY)
        assert (kinds(problems), code) == (["storage", "other_user"], ExitCode.STORAGE)


class _read_only:  # noqa: N801 - a context manager
    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def __enter__(self) -> None:
        self._folder.chmod(0o500)

    def __exit__(self, *_: object) -> None:
        self._folder.chmod(0o700)


class TestKey:
    """The key of this user, and the memory beside it."""

    @pytest.fixture
    def signed(self, project: Path) -> Path:
        """Give a project whose ledger this user signs."""
        assert program("audit", "keygen", cwd=project).returncode == 0
        return project

    def test_usable(self, signed: Path) -> None:
        """Given a key and its memory, then they are usable."""
        assert key_facts(_id(signed)) == ({"folder": str(operator_folder(_id(signed))), "state": "usable"}, [])

    def test_others_may_use_it(self, signed: Path) -> None:
        """Given a key that others may read, then a warning."""
        (operator_folder(_id(signed)) / "key").chmod(0o640)
        facts, problems = key_facts(_id(signed))
        assert (facts["state"], kinds(problems)) == ("usable", ["open_to_others"])

    @pytest.mark.parametrize("name", ["key", "last-signed"])
    def test_unusable(self, signed: Path, name: str) -> None:
        """Given a damaged key, or a memory that is gone, then a warning names the file, and doctor still succeeds."""
        place = operator_folder(_id(signed)) / name
        place.write_text("nonsense") if name == "key" else place.unlink()
        found = doctored(signed)
        assert (found["status"], found["key"]["state"]) == ("warnings", "unusable")
        assert [problem["kind"] for problem in found["problems"]] == ["key_file"]
        assert str(place) in found["problems"][0]["message"]


class TestSqlite:
    """Which releases have the WAL-reset bug."""

    @pytest.mark.parametrize(
        ("version", "affected"),
        [
            ((3, 6, 23), False),
            ((3, 7, 0), True),
            ((3, 40, 1), True),
            ((3, 51, 2), True),
            ((3, 51, 3), False),
            ((3, 52, 0), False),
        ],
    )
    def test_release(self, version: tuple[int, ...], affected: bool) -> None:  # noqa: FBT001 - what is expected
        """Given a release, then whether it has it."""
        assert sqlite_facts(version) == {"version": ".".join(map(str, version)), "wal_reset_bug": affected}

    @pytest.mark.parametrize(("affected", "told"), [(True, "held off: one process at a time"), (False, "without the")])
    def test_text(self, affected: bool, told: str) -> None:  # noqa: FBT001 - what is given
        """Given either, then the text says so, and what holds the bug off."""
        from orchestrator.cli.commands.doctor import _bug

        assert told in _bug(affected)


class TestExtras:
    """What is installed beside the core."""

    def test_names_are_those_of_the_package(self) -> None:
        """Given the package's own metadata, then every extra is named."""
        project: dict[str, Any] = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
        assert sorted(project["optional-dependencies"]) == list(extras())

    def test_missing(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """Given that a part of an extra is not installed, then the extra is not."""
        version = importlib.metadata.version

        def without_polars(name: str) -> str:
            if name == "polars":
                raise importlib.metadata.PackageNotFoundError(name)
            return version(name)

        monkeypatch.setattr(importlib.metadata, "version", without_polars)
        found = extras()
        assert (found["parquet"], found["demo"], found["sign"]) == (False, False, True)
        from orchestrator.cli.commands.doctor import _lines

        facts, *_ = examine(Path("/nowhere/ledger.db"), today=date(2026, 1, 31))
        assert list(_lines(facts))[-1] == "  not installed: demo, parquet"
