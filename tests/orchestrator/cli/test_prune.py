"""`orchestrate prune` over true nights: what goes, what is recorded of it, what stays, and who knows of it afterwards."""

from __future__ import annotations

import json
import shutil
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from orchestrator.cli.left_scratch import remove_scratch
from orchestrator.history import History, evidence
from orchestrator.runtime.usage import LeftFolder
from tests.nights import SHOP, Nights, write_shop
from tests.programs import data_of, ledger_of, no_traceback, program, program_at, refused, started, value_of, wait_until

pytestmark = pytest.mark.system

ALL = ("prune", "--older-than", "0s", "--json")
APPLY = (*ALL, "--apply")
POLICY = SHOP + '[retention]\nlogs = "90d"\nreports = "1d"\n[audit]\nrequire_reason = true\n'


@pytest.fixture(name="shop")
def _shop(nights: Nights, tmp_path: Path) -> Path:
    """Give a copy of the history, to be changed."""
    return shutil.copytree(nights.shop, tmp_path / "shop")


def verdict(shop: Path, *options: str, code: int = 0) -> dict[str, Any]:
    """Verify the ledger."""
    done = program("audit", "verify", "--json", *options, cwd=shop)
    found: dict[str, Any] = value_of(done, "audit-verify", code=code)
    return found


def files(shop: Path, kind: str) -> set[str]:
    """List what is left of *kind*."""
    return {str(path.relative_to(shop / ".orchestrate")) for path in (shop / ".orchestrate" / kind).glob("*/*")}


def items(value: dict[str, Any]) -> dict[tuple[str, str], int]:
    """Return how many items of which kind go."""
    return {(part["pipeline"], part["kind"]): part["items"] for part in value["parts"] if part["items"]}


class TestPrune:
    """The way from the first look to the last."""

    def test_dry_run_changes_nothing(self, nights: Nights) -> None:
        """Given no --apply, then what would go is told with its size, and everything is there; the newest run of each pipeline keeps all."""
        before = files(nights.shop, "logs") | files(nights.shop, "reports")
        value = value_of(program(*ALL, cwd=nights.shop), "prune")
        assert items(value) == {("shop", "logs"): 1, ("shop", "reports"): 6, ("shop", "blobs"): 5}
        assert (value["applied"], value["events"], value["left"]) == (False, [], [])
        assert value["bytes"] == sum(part["bytes"] for part in value["parts"]) > 1000
        assert files(nights.shop, "logs") | files(nights.shop, "reports") == before
        twice = value_of(program(*ALL, "--kind", "logs", "--kind", "logs", cwd=nights.shop), "prune")
        assert (items(twice), [part["kind"] for part in twice["parts"] if part["items"]]) == (
            {("shop", "logs"): 1},
            ["logs"],
        )
        done = program("prune", "--older-than", "0s", cwd=nights.shop)
        assert (done.returncode, "would remove" in done.stdout) == (0, True)

    def test_scratch_that_nobody_owns(self, shop: Path) -> None:
        """
        Given what a reproduction left that was killed before it began, then it is told and goes.

        What is older than the ledger, or has another name, stays, and all of it where another ledger has the same folder; so does all of it where --kind asks for something else.
        """
        scratch = shop / ".orchestrate" / "reproductions"
        names = ("29991231T235959Z-0123456ab", "20010101T000000Z-0123456ab", "mine")
        left, *others = (scratch / name for name in names)
        for folder in (left, *others):
            (folder / "raw").mkdir(parents=True)
            (folder / "raw" / "copy").write_bytes(bytes(1 << 20))
        (found,) = value_of(program("prune", "--json", cwd=shop), "prune")["scratch"]
        assert (found["path"], found["bytes"] >> 20) == (f"reproductions/{left.name}", 1)
        done = program("prune", cwd=shop)
        told = f"reproductions/{left.name}: 1.0 MiB, of a reproduction that was killed\n"
        assert done.stdout.splitlines(keepends=True)[1:] == [told, "would remove 1.0 MiB; --apply does it\n"]
        kept = value_of(program("prune", "--apply", "--kind", "logs", "--json", cwd=shop), "prune")
        assert (kept["scratch"], left.exists()) == ([], True)
        value = value_of(program("prune", "--apply", "--json", cwd=shop), "prune")
        assert (value["scratch"], value["events"], value["left"]) == ([found], [], [])
        assert [folder.exists() for folder in (left, *others)] == [False, True, True]
        assert verdict(shop)["ok"]
        left.mkdir()
        (shop / ".orchestrate" / "checkpoints" / "0123abcd").mkdir()
        assert value_of(program("prune", "--apply", "--json", cwd=shop), "prune")["scratch"] == []

    def test_scratch_that_cannot_be_removed(self, tmp_path: Path) -> None:
        """Given a folder that is gone, or closed, by the time it is to be removed, then it is told why it stays."""
        (failed,) = remove_scratch(tmp_path, [LeftFolder("reproductions/x", 7)])
        assert (failed.path, failed.problem) == (
            "reproductions/x",
            "it cannot be removed: No such file or directory",
        )

    def test_nothing_has_a_retention(self, nights: Nights, tmp_path: Path) -> None:
        """Given no [retention] and no override, or no ledger, then that is said."""
        for folder in (nights.shop, tmp_path):
            done = program("prune", cwd=folder)
            assert (done.returncode, done.stdout[:28]) == (0, "nothing has a retention: [re")

    def test_everything(self, nights: Nights, shop: Path) -> None:
        """Given --apply, then what goes is recorded with its digest, everything verifies, and all who are asked know of it."""
        log = f"logs/{nights.good}/ingest.1.log"
        (recorded,) = [
            row["log"]
            for row in data_of(ledger_of(shop), "attempt.finished")
            if (row.get("log") or {}).get("path") == log
        ]
        value = value_of(program(*APPLY, "--reason", "the disk is full", "--vacuum", cwd=shop), "prune")
        assert (value["applied"], len(value["events"]), value["left"]) == (True, 3, [])
        assert value["vacuum"]["after_bytes"] == ledger_of(shop).stat().st_size
        logs, reports = data_of(ledger_of(shop), "files.pruned")
        assert logs["files"] == [
            {"run": nights.good, "path": log, "bytes": recorded["bytes"], "sha256": recorded["sha256"]}
        ]
        assert (logs["kind"], logs["keep"], logs["policy"], logs["reason"]) == (
            "logs",
            "0s",
            "--older-than",
            "the disk is full",
        )
        assert logs["actor"]["user"]
        assert (reports["kind"], len(reports["files"])) == ("reports", 6)
        (blobs,) = data_of(ledger_of(shop), "blobs.pruned")
        assert len(blobs["blobs"]) == 5
        assert not [
            path for path in files(shop, "logs") | files(shop, "reports") if nights.good in path or nights.idle in path
        ]
        found = verdict(shop, "--skips")
        assert (found["ok"], found["projections"], found["unsealed"]) == (True, "held", 0)
        assert (found["logs"]["pruned"], found["logs"]["missing"], found["pruned_blobs"]) == (1, 0, 5)
        assert found["skips"] == {"checked": 0, "reported": 0, "uncertified": 0, "pruned": 3, "wrong": 0, "unread": []}
        skips = evidence.check_skips(History(ledger_of(shop), verify=False))
        assert (skips.decided, skips.pruned, skips.problems) == (0, 3, [])
        told = skips._repr_markdown_()
        assert told.startswith("**No skip that can be recomputed is wrong.**")
        assert "3 more cannot be recomputed" in told
        assert program("audit", "rebuild", "--dry-run", cwd=shop).returncode == 0
        self._is_told(shop, nights)
        again = value_of(program(*APPLY, cwd=shop), "prune")
        assert (items(again), again["events"]) == ({}, [])
        # What decisions rest on has stayed.
        (shop / "pipeline.toml").write_text(SHOP, encoding="utf-8")
        (ingest, *_) = value_of(program("plan", "--json", cwd=shop), "plan")["steps"]
        assert (ingest["outlook"], ingest["reason"]) == ("skip", "no_new_data")

    @staticmethod
    def _is_told(shop: Path, nights: Nights) -> None:
        (problem,) = refused(program("logs", nights.good, "--json", cwd=shop))
        assert problem["kind"] == "log_pruned"
        assert "after 0s (event " in problem["message"]
        shown = value_of(program("show", nights.good, "--json", cwd=shop), "show")
        assert shown["pruned"][0]["path"] == f"logs/{nights.good}/ingest.1.log"
        assert "logs and reports pruned at" in program("show", nights.good, cwd=shop).stdout
        assert program("report", nights.good, cwd=shop).returncode == 0
        no_traceback(program("explain", nights.idle, "ingest", cwd=shop))

    def test_other_digest(self, nights: Nights, shop: Path) -> None:
        """Given a pruned log that is there again, then with its bytes it goes the next time, and with others it is a finding and stays."""
        log = shop / ".orchestrate" / "logs" / nights.good / "ingest.1.log"
        content = log.read_bytes()
        assert items(value_of(program(*APPLY, "--kind", "logs", cwd=shop))) == {("shop", "logs"): 1}
        log.parent.mkdir()
        log.write_bytes(content)
        assert verdict(shop)["logs"]["same"] == 4
        value = value_of(program(*APPLY, "--kind", "logs", cwd=shop))
        assert (items(value), value["events"], log.exists()) == ({("shop", "logs"): 1}, [], False)
        log.parent.mkdir()
        log.write_bytes(b"another")
        assert [item["kind"] for item in verdict(shop, code=3)["problems"]] == ["changed_file"]
        value = value_of(program(*APPLY, "--kind", "logs", cwd=shop), "prune")
        assert ([left["path"] for left in value["left"]], log.read_bytes()) == (
            [f"logs/{nights.good}/ingest.1.log"],
            b"another",
        )
        done = program("prune", "--kind", "logs", "--older-than", "0s", cwd=shop)
        assert "stays: it is not what was recorded" in done.stderr

    def test_gone_before(self, nights: Nights, shop: Path) -> None:
        """Given a log that somebody removed, then it is missing, until its retention is over and that is recorded."""
        (shop / ".orchestrate" / "logs" / nights.good / "ingest.1.log").unlink()
        assert [item["kind"] for item in verdict(shop, code=3)["problems"]] == ["missing_file"]
        (problem,) = refused(program("logs", nights.good, "--json", cwd=shop))
        assert problem["kind"] == "log_gone"
        value = value_of(program(*APPLY, "--kind", "logs", cwd=shop), "prune")
        assert sum(part["absent"] for part in value["parts"]) == 1
        assert data_of(ledger_of(shop), "files.pruned")[0]["files"][0]["absent"] is True
        assert verdict(shop)["logs"]["pruned"] == 1

    def test_several_logs(self, tmp_path: Path) -> None:
        """Given a run with more than one log that was pruned, then they are counted, and what became of them is told."""
        steps = "".join(f'[steps.{name}]\ncommand = ["echo", "{name}"]\n' for name in ("one", "two"))
        (tmp_path / "pipeline.toml").write_text(f'[pipeline]\nname = "p"\n{steps}', encoding="utf-8")
        for night in ("2026-01-01", "2026-01-02"):
            assert program("run", "--quiet", "--force", "--for", night, cwd=tmp_path).returncode == 0
        first = value_of(program("runs", "--json", cwd=tmp_path), "runs")[-1]["run_id"]
        assert items(value_of(program(*APPLY, "--kind", "logs", cwd=tmp_path))) == {("p", "logs"): 2}
        (problem,) = refused(program("logs", first, "--json", cwd=tmp_path))
        assert problem["message"].startswith(f"2 logs of run {first} are not here: ")

    def test_forged_removal(self, shop: Path) -> None:
        """Given a certificate that is gone without an event, then verifying misses it, and skips are not told from such a ledger."""
        (certificate,) = {
            row["evidence"]["certificate"]
            for row in data_of(ledger_of(shop), "step.finished")
            if row["step"] == "ingest" and row["status"] == "skipped"
        }
        with closing(sqlite3.connect(ledger_of(shop))) as connection, connection:
            (guard,) = connection.execute("SELECT sql FROM sqlite_schema WHERE name = 'blobs_permanent'").fetchone()
            connection.execute("DROP TRIGGER blobs_permanent")
            connection.execute("DELETE FROM blobs WHERE digest = ?", (certificate,))
            connection.execute(guard)
        found = verdict(shop, "--skips", code=3)
        assert {item["kind"] for item in found["problems"]} == {"missing_blob"}
        assert (found["pruned_blobs"], found["skips"]["pruned"], found["skips"]["unread"]) == (0, 0, ["ledger.db"])


class TestPolicy:
    """What the definition says, and what else is asked for."""

    @pytest.fixture(name="place", scope="class")
    @staticmethod
    def _place(tmp_path_factory: pytest.TempPathFactory) -> Path:
        """Give three nights, half a year apart."""
        place = write_shop(tmp_path_factory.mktemp("policy") / "shop", POLICY)
        for moment in ("2026-01-01 02:00", "2026-04-30 02:00", "2026-07-01 02:00"):
            done = program_at(moment, "run", "--quiet", "--force", "--reason", "test", cwd=place)
            assert done.returncode == 0, done.stderr
        return place

    def test_recorded_policy(self, place: Path) -> None:
        """Given [retention], then it counts as it was recorded with the last run, whatever the file says now, from the end of each run."""
        (place / "pipeline.toml").write_text(POLICY.replace("90d", "1d"), encoding="utf-8")
        done = program_at("2026-07-02 12:00", "prune", "--json", cwd=place)
        (place / "pipeline.toml").write_text(POLICY, encoding="utf-8")
        parts = {part["kind"]: part for part in value_of(done, "prune")["parts"]}
        assert {kind: (part["keep"], part["policy"], part["runs"]) for kind, part in parts.items()} == {
            "logs": ("90d", "definition", 1),
            "reports": ("1d", "definition", 2),
        }
        assert parts["logs"]["before"].startswith("2026-04-03T12:00")

    def test_reason(self, place: Path) -> None:
        """Given a pipeline that requires reasons, then the policy needs none, and whoever goes beyond it one."""
        assert program_at("2026-07-02 12:00", "prune", "--kind", "logs", "--apply", cwd=place).returncode == 0
        (event,) = data_of(ledger_of(place), "files.pruned")
        assert ("reason" in event, event["policy"]) == (False, "definition")
        (problem,) = refused(program_at("2026-07-02 12:00", *APPLY, cwd=place))
        assert problem["kind"] == "missing_reason"
        assert len(data_of(ledger_of(place), "files.pruned")) == 1

    def test_refused(self, place: Path) -> None:
        """Given what makes no sense, then it is refused."""
        for arguments in (("--older-than", "soon"), ("--vacuum",), ("--kind", "datasets")):
            assert refused(program("prune", *arguments, "--json", cwd=place))

    def test_while_a_run_is_on(self, place: Path) -> None:
        """Given a run that is on, then nothing is removed, and looking is possible."""
        slow = POLICY.replace('command = ["true"]', 'shell = "touch held; while test ! -e go; do sleep 0.02; done"')
        (place / "pipeline.toml").write_text(slow, encoding="utf-8")
        with started("run", "--quiet", "--force", "--reason", "test", cwd=place):
            wait_until((place / "held").exists, "its step has not begun")
            (problem,) = refused(program(*APPLY, "--reason", "test", cwd=place), code=4)
            assert problem["kind"] == "active"
            value_of(program(*ALL, cwd=place), "prune")
            (place / "go").touch()


def test_schema_names_every_kind() -> None:
    """Given the published schema of a definition, then [retention] has what the program prunes."""
    from orchestrator.core.retention import KINDS
    from orchestrator.schemas import load_schema

    schema = json.loads(json.dumps(load_schema("pipeline")))
    assert tuple(schema["$defs"]["retention"]["properties"]) == KINDS
