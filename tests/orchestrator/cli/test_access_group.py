"""Tests of `[access] group`: a ledger that a group may read, and nobody else."""

from __future__ import annotations

import grp
import os
import re
import stat
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from orchestrator.cli.app import run_command
from tests.programs import PROGRAM, data_of, ledger_of, program, refused, value_of

NOBODY = 65534
GROUP = "games"

DEFINITION = """
[pipeline]
name = "p"
[access]
group = "{group}"
[datasets.people]
path = "people"
classification = "personal"
[datasets.out]
path = "out"
[steps.open]
shell = "echo shown"
[steps.closed]
shell = "echo a name; echo 1 > out"
reads = ["people"]
writes = ["out"]
"""

as_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root can be others")


@pytest.fixture
def project() -> Iterator[Path]:
    """Give a project in a folder that everybody may look into; the usual place of a test's files is closed to others."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        folder.chmod(0o755)
        (folder / "people").write_text("x\n", encoding="utf-8")
        (folder / "pipeline.toml").write_text(DEFINITION.format(group=GROUP), encoding="utf-8")
        yield folder


def modes(folder: Path) -> dict[str, tuple[str, str]]:
    """Return mode and group of what lies in the ledger's folder and of that itself, by a name without what differs from run to run."""
    top = ledger_of(folder).parent
    found = {}
    for place in (top, *top.rglob("*")):
        name = "/".join(
            "*" if re.fullmatch(r"\d{8}T.*|[0-9a-f]{8}|\d{12}\..*", part) else part
            for part in place.relative_to(top).parts
        )
        status = place.stat()
        found[name or "."] = (f"{stat.S_IMODE(status.st_mode):o}", grp.getgrgid(status.st_gid).gr_name)
    return found


Command = Callable[..., tuple[int, str, str]]


@pytest.fixture
def as_member(project: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> Command:
    """Give the program as a command of somebody who owns nothing and is in one group; this very process, since another could not even read Python."""

    def called(*arguments: str, group: str | None = GROUP) -> tuple[int, str, str]:
        monkeypatch.chdir(project)
        run_command(list(arguments))  # Whatever that loads has to be loaded before.
        capfd.readouterr()
        groups, gid = os.getgroups(), os.getegid()
        os.setgroups([] if group is None else [grp.getgrnam(group).gr_gid])
        os.setresgid(NOBODY, NOBODY, 0)
        os.setresuid(NOBODY, NOBODY, 0)
        try:
            code = run_command(list(arguments))
        finally:
            os.setresuid(0, 0, 0)
            os.setresgid(gid, gid, gid)
            os.setgroups(groups)
        return code, *capfd.readouterr()

    return called


@as_root
class TestShared:
    """What the group gets."""

    def test_modes(self, project: Path) -> None:
        """Given two runs, with a mask that takes everything away, then ledger, logs, reports and checkpoints are the group's to read, and nothing else is."""
        for _ in range(2):
            subprocess.run(
                ["sh", "-c", f"umask 077; exec {PROGRAM} run --quiet --force"], cwd=project, check=True, timeout=60
            )

        found = modes(project)

        folders = [".", "logs", "logs/*", "reports", "reports/*", "checkpoints", "checkpoints/*"]
        files = ["ledger.db", "logs/*/open.1.log", "reports/*/report.html", "reports/*/summary.json"]
        assert dict.fromkeys(folders, ("2750", GROUP)) == {
            name: value for name, value in found.items() if name in folders or value == ("2750", GROUP)
        }
        assert dict.fromkeys(files, ("640", GROUP)) == {name: found[name] for name in files}
        assert all(mode in ("600", "700", "640", "2750", "2700") for mode, _ in found.values()), found

    def test_log_of_personal_data_stays_private(self, project: Path) -> None:
        """Given a step that touches personal data, then its log is its owner's alone."""
        program("run", "--quiet", cwd=project)

        assert "600" == modes(project)["logs/*/closed.1.log"][0]

    def test_member_reads(self, project: Path, as_member: Command) -> None:
        """Given a member of the group, then it reads runs, logs and events, but no log of personal data, and writes nothing; others read nothing."""
        program("run", "--quiet", cwd=project)

        code, shown, _ = as_member("audit", "query", "SELECT status FROM audit_runs", "--csv")
        assert (0, ['"status"', '"succeeded"']) == (code, shown.split())
        assert (0, "shown\n", "") == as_member("logs", "latest", "open")
        assert "a name" not in "".join(as_member("logs", "latest", "closed")[1:])
        assert 2 == as_member("note", "latest", "x")[0]
        code, shown, error = as_member("runs", group=None)
        assert (5, "") == (code, shown), error

    def test_ledger_of_before(self, project: Path) -> None:
        """Given a ledger that was made without a group, then it is shared from the next run on, and older logs stay private."""
        text = DEFINITION.format(group=GROUP)
        (project / "pipeline.toml").write_text(text.replace(f'[access]\ngroup = "{GROUP}"\n', ""), encoding="utf-8")
        first = value_of(program("run", "--json", cwd=project), "run")["run_id"]
        (project / "pipeline.toml").write_text(text, encoding="utf-8")
        program("run", "--quiet", cwd=project)

        top = ledger_of(project).parent
        assert ("640", GROUP) == modes(project)["ledger.db"]
        assert 0o700 == stat.S_IMODE((top / "logs" / first).stat().st_mode)

    def test_folder_that_is_not_the_ledgers_own(self, project: Path) -> None:
        """Given a ledger in a folder with a mode of somebody's choice, then the start is refused, recorded, and the folder left as it is."""
        shared = project / "shared"
        shared.mkdir()
        shared.chmod(0o2775)

        (problem,) = refused(program("run", "--json", "--ledger", str(shared / "l.db"), cwd=project))

        assert "shared_folder" == problem["kind"]
        assert "has the mode 2775" in problem["message"]
        assert 0o2775 == stat.S_IMODE(shared.stat().st_mode)
        (recorded,) = data_of(shared / "l.db", "run.refused")
        assert "shared_folder" == recorded["problems"][0]["kind"]


class TestRefused:
    """A group that cannot be had."""

    def test_unknown_group(self, project: Path) -> None:
        """Given a group that the machine does not know, then nothing starts, and validate says so too."""
        (project / "pipeline.toml").write_text(DEFINITION.format(group="no-such-group"), encoding="utf-8")

        (problem,) = refused(program("run", "--json", cwd=project))

        assert ("unknown_group", ["access", "group"]) == (problem["kind"], problem["path"])
        assert (
            "access.group is no-such-group, which this machine does not know" in program("validate", cwd=project).stderr
        )

    @as_root
    def test_user_who_is_not_in_it(self, as_member: Command) -> None:
        """Given a user who is not in the group, then validate says so; in the group, all is well."""
        code, _, error = as_member("validate", group=None)
        assert (2, True) == (code, "this user is not in that group" in error)
        assert 0 == as_member("validate")[0]
