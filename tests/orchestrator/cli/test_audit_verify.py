"""Tests of `audit verify` and `audit rebuild` as commands."""

from __future__ import annotations

import contextlib
import hashlib
import os
import pty
import shutil
import sqlite3
from pathlib import Path

import pytest

from ledger import NewEvent, open_ledger
from ledger.audit.findings import KINDS
from ledger.events import RecordedEvent
from ledger.signing import SigningKey
from orchestrator.cli.audit import verifying
from orchestrator.projections.log_names import log_names
from orchestrator.projections.read_models import ReadModels
from tests.nights import Nights
from tests.old_ledgers import old_shop
from tests.programs import ended, no_traceback, program, started, value_of, wait_until
from tests.programs import refused as problems_of_refusal

ROOT = Path(__file__).resolve().parents[3]


@pytest.fixture(name="shop")
def _shop(nights: Nights, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Give a copy of the history, with keys of its own."""
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    shutil.copytree(nights.shop, tmp_path / "shop")
    return tmp_path / "shop"


def execute(shop: Path, *statements: str) -> None:
    """Change the ledger behind the program's back."""
    with contextlib.closing(sqlite3.connect(shop / ".orchestrate/ledger.db", isolation_level=None)) as connection:
        for statement in statements:
            connection.execute(statement)


def refused(*arguments: str, cwd: Path, code: int = 2) -> list[object]:
    """Return the kinds of the problems of a command that is refused."""
    done = program("audit", *arguments, "--json", cwd=cwd)
    return [problem["kind"] for problem in problems_of_refusal(done, code)]


class TestVerify:
    """What is said."""

    def test_nothing_is_pinned(self, shop: Path) -> None:
        """Given a good ledger, then level 1, exit code 0, and the line to type once its key is confirmed."""
        key = program("audit", "keygen", cwd=shop).stdout.strip()
        done = program("audit", "verify", cwd=shop)
        assert (done.returncode, done.stderr) == (0, "")
        assert "level 1; behind it stands nobody: no key was pinned" in done.stdout
        assert f"orchestrate audit verify --key {key}" in done.stdout
        value = value_of(program("audit", "verify", "--json", cwd=shop), "audit-verify")
        assert (value["ok"], value["level"], value["projections"], value["unsealed"]) == (True, 1, "held", 0)

    def test_everything_is_pinned(self, shop: Path, tmp_path: Path) -> None:
        """Given key, checkpoint and witness, in files and as texts, then level 4, and who stands behind it."""
        key = shop / "operator.vkey"
        key.write_text(program("audit", "keygen", cwd=shop).stdout, encoding="utf-8")
        mine = shop / "mine.checkpoint"
        mine.write_text(program("audit", "checkpoint", "--last", cwd=shop).stdout, encoding="utf-8")
        anna = {"XDG_CONFIG_HOME": str(tmp_path / "anna")}
        witness = program("audit", "keygen", "--witness", "anna", cwd=shop, env=anna).stdout.strip()
        assert program("audit", "cosign", "--key", str(key), cwd=shop, env=anna).returncode == 0
        options = ("--key", str(key), "--checkpoint", str(mine), "--witness", witness)
        done = program("audit", "verify", *options, cwd=shop)
        assert done.returncode == 0, done.stdout
        assert "level 4; behind it stands the operator, the witness anna and your own copy" in done.stdout
        assert "witness anna: saw " in done.stdout
        value = value_of(program("audit", "verify", *options, "--json", cwd=shop), "audit-verify")
        assert set(value["levels"].values()) == {"held"}
        assert value["witnesses"][0]["name"] == "anna"
        assert [item["trusted"] for item in value["keys"]] == [True]

    def test_problems(self, shop: Path) -> None:
        """Given damage, then exit code 3, what it is and what to do, and no more lines than can be read."""
        execute(shop, "DROP TRIGGER events_immutable", "UPDATE events SET leaf_hash = zeroblob(32)")
        done = program("audit", "verify", "-q", cwd=shop)
        no_traceback(done)
        assert done.returncode == 3
        assert "L0 FAILED: 1 problem\n" in done.stdout
        assert f"  what to do: {KINDS['altered_event'].remedy}" in done.stdout
        assert "more; --json lists the first hundred" in done.stdout
        value = value_of(program("audit", "verify", "--json", cwd=shop), "audit-verify", code=3)
        assert {"seq": 0, "kind": "altered_event", "level": 1}.items() <= next(
            item for item in value["problems"] if item["kind"] == "altered_event"
        ).items()

    def test_quiet(self, shop: Path) -> None:
        """Given --quiet and nothing wrong, then nothing is printed."""
        done = program("audit", "verify", "--quiet", cwd=shop)
        assert (done.returncode, done.stdout, done.stderr) == (0, "", "")

    def test_rotated_and_replaced(self, shop: Path) -> None:
        """Given a key that was rotated and one that was lost, then both show."""
        program("audit", "keygen", cwd=shop)
        program("audit", "rotate-key", "--reason", "yearly", cwd=shop)
        program("audit", "keygen", "--lost", "--reason", "the laptop is gone", cwd=shop)
        lines = program("audit", "verify", cwd=shop).stdout
        assert "rotated, signed by both keys" in lines
        assert "replaced without the signature of the one before: a gap" in lines
        assert program("audit", "verify", "--strict", cwd=shop).returncode == 3

    def test_unsealed(self, shop: Path) -> None:
        """Given events that no checkpoint covers, then they are counted, and a problem only for who asks strictly."""
        execute(shop, "DROP TRIGGER checkpoints_permanent")
        trigger = "BEFORE DELETE ON checkpoints\nBEGIN SELECT RAISE(ABORT, 'checkpoints are never deleted'); END"
        execute(shop, "DELETE FROM checkpoints", f"CREATE TRIGGER checkpoints_permanent {trigger}")
        shutil.rmtree(shop / ".orchestrate/checkpoints")
        done = program("audit", "verify", cwd=shop)
        assert done.returncode == 0, done.stdout
        assert "sealed: 0 events; unsealed: " in done.stdout
        assert "unsealed (1)" in program("audit", "verify", "--strict", cwd=shop).stdout

    @pytest.mark.parametrize(
        "content", [b"", b"hello", b"SQLite format 3\0" + b"\1" * 5000], ids=["empty", "text", "noise"]
    )
    def test_no_ledger(self, tmp_path: Path, content: bytes) -> None:
        """Given a file that is none, then exit code 3, in the same form, and the file is as it was."""
        path = tmp_path / "ledger.db"
        path.write_bytes(content)
        value = value_of(
            program("audit", "verify", "--ledger", str(path), "--json", cwd=tmp_path), "audit-verify", code=3
        )
        assert (value["ok"], value["level"], value["ledger"]) == (False, -1, None)
        assert (
            "not asked: the file cannot be read"
            in program("audit", "verify", "--ledger", str(path), cwd=tmp_path).stdout
        )
        assert path.read_bytes() == content

    def test_nothing_there(self, tmp_path: Path) -> None:
        """Given no ledger, or a checkpoint or key that cannot be read, then it is refused: nothing was verified."""
        for command in ("verify", "rebuild"):
            assert refused(command, cwd=tmp_path, code=2) == ["no_ledger"]
        assert refused("verify", "--checkpoint", "nowhere", cwd=tmp_path, code=2) == ["no_checkpoint"]
        assert refused("verify", "--key", "nokey", cwd=tmp_path) == ["key_file"]

    def test_keys_of_the_other_kind(self, shop: Path, tmp_path: Path) -> None:
        """Given the key of a witness as the operator's, or the other way round, then it is refused, and said what it is."""
        key = program("audit", "keygen", cwd=shop).stdout.strip()
        anna = {"XDG_CONFIG_HOME": str(tmp_path / "anna")}
        witness = program("audit", "keygen", "--witness", "anna", cwd=shop, env=anna).stdout.strip()
        for option, given, said in (
            ("--key", witness, "the key anna is the key of a witness: give it as --witness"),
            ("--witness", key, "is the key of the operator of a ledger: give it as --key"),
        ):
            done = program("audit", "verify", option, given, cwd=shop)
            assert (done.returncode, said in done.stderr) == (2, True), done.stderr

    def test_key_of_another_ledger(self, shop: Path) -> None:
        """Given the key of another ledger, then that is what is said."""
        other = SigningKey.generate("orchestrate-ledger/other").verifier.text
        done = program("audit", "verify", "--key", other, cwd=shop)
        assert done.returncode == 3
        assert f"the pinned key {other} is that of orchestrate-ledger/other, this ledger is " in done.stdout

    @pytest.mark.parametrize("option", ["--key", "--witness", "--checkpoint"])
    def test_files_that_are_none(self, shop: Path, option: str) -> None:
        """Given a FIFO, a folder, a device without end, a file of a size that nothing has, then it is refused at once, and said what it is."""
        os.mkfifo(shop / "fifo")
        with (shop / "sparse").open("wb") as file:
            file.truncate(1 << 40)
        for name, said in (
            ("fifo", "it is a FIFO, expected a regular file"),
            ("raw", "it is a folder, expected a regular file"),
            ("/dev/zero", "it is a device, expected a regular file"),
            ("sparse", "it has more than 1048576 bytes, which no note or key has"),
        ):
            done = program("audit", "verify", option, name, cwd=shop)
            assert (done.returncode, said in done.stderr, name in done.stderr) == (2, True, True), done.stderr

    def test_link_to_nothing(self, shop: Path) -> None:
        """Given a key in a file that is not there any more, then its name is not taken for the key."""
        (shop / "link").symlink_to("gone")
        done = program("audit", "verify", "--key", "link", cwd=shop)
        assert (done.returncode, "the key link cannot be used: No such file" in done.stderr) == (2, True)

    def test_key_that_is_neither(self, shop: Path) -> None:
        """Given the name of a file that was never made, then it is said that there is none, not only that the name is no key."""
        done = program("audit", "verify", "--key", "operator.vkey", cwd=shop)
        said = "error: the key operator.vkey cannot be used: there is no such file, and it is not a verifier key itself; expected name+id+base64\n"
        assert (done.returncode, done.stderr) == (2, said)

    def test_sealed_in_part(self, shop: Path) -> None:
        """Given events after the last seal, then level 2 says how many of them it speaks for."""
        key = program("audit", "keygen", cwd=shop).stdout.strip()
        sealed = value_of(program("audit", "verify", "--json", cwd=shop))["events"]
        assert "for, has sealed it\n" in program("audit", "verify", "--key", key, cwd=shop).stdout
        with open_ledger(shop / ".orchestrate/ledger.db", projections=[ReadModels()]) as ledger:
            ledger.append("ledger", [NewEvent("ledger.noted", 1, {})], expected_version=None)
        done = program("audit", "verify", "--key", key, cwd=shop)
        assert f"or that it vouches for, has sealed the first {sealed} of {sealed + 1} events\n" in done.stdout

    def test_older_ledger(self, tmp_path: Path) -> None:
        """Given a ledger that an older program made, then nothing is wrong with it, and its tables are not compared."""
        shop = old_shop(tmp_path)
        value = value_of(program("audit", "verify", "--json", cwd=shop), "audit-verify")
        assert (value["problems"], value["projections"]) == ([], "not_kept")

    @pytest.mark.parametrize("change", ["DELETE FROM projections", "UPDATE projections SET version = 1"])
    def test_tables_that_are_not_registered(self, shop: Path, change: str) -> None:
        """Given the read models' row gone or lowered, then that does not keep them from being compared."""
        execute(shop, change, "UPDATE runs SET status = 'succeeded'")
        value = value_of(program("audit", "verify", "--json", cwd=shop), "audit-verify", code=3)
        assert {item["kind"] for item in value["problems"]} == {"schema", "different_row"}
        assert value["projections"] == "failed"

    @pytest.mark.parametrize(
        ("table", "change"),
        [
            ("ledger_meta", "ledger = 'a' || char(0) || 'b'"),
            ("ledger_meta", "ledger = '/etc/cron.d'"),
            ("ledger_meta", "ledger = CAST(ledger AS BLOB)"),
            ("checkpoints", "note = NULL"),
            ("projections", "version = 'many'"),
            ("projections", "version = NULL"),
        ],
    )
    def test_hostile_values(self, shop: Path, table: str, change: str) -> None:
        """Given a value that no program writes, then exit code 3 and what it is, never a bug."""
        execute(
            shop,
            "PRAGMA legacy_alter_table = ON",
            f"CREATE TABLE copy AS SELECT * FROM {table}",  # noqa: S608 - ours
            f"DROP TABLE {table}",
            f"ALTER TABLE copy RENAME TO {table}",
            f"UPDATE {table} SET {change}",  # noqa: S608 - ours
        )
        done = program("audit", "verify", cwd=shop)
        no_traceback(done)
        assert done.returncode == 3, done.stderr
        value_of(program("audit", "verify", "--json", cwd=shop), "audit-verify", code=3)

    @pytest.mark.parametrize("side", ["journal", "wal", "shm"])
    def test_odd_files_beside(self, shop: Path, side: str) -> None:
        """Given a FIFO under the name of the ledger's log, then nothing waits for it, and it is named."""
        place = shop / f".orchestrate/ledger.db-{side}"
        place.unlink(missing_ok=True)
        os.mkfifo(place)
        done = program("audit", "verify", cwd=shop)
        assert (done.returncode, f"{place} is a FIFO" in done.stdout) == (3, True), done.stderr

    def test_read_only_folder(self, shop: Path) -> None:
        """Given a ledger in a folder that cannot be written, then it verifies, and nothing is written."""
        folder = shop / ".orchestrate"
        before = sorted(path.name for path in folder.iterdir())
        for path in (folder / "ledger.db", folder):
            path.chmod(0o500)
        try:
            assert program("audit", "verify", cwd=shop).returncode == 0
        finally:
            folder.chmod(0o700)
        assert sorted(path.name for path in folder.iterdir()) == before

    def test_while_a_run_is_on(self, shop: Path) -> None:
        """Given a run that is on, then its ledger verifies as it is at that moment, and the run is not disturbed."""
        (shop / "pipeline.toml").write_text(
            """[pipeline]
name = "slow"
[steps.wait]
shell = "touch begun; while [ ! -e go ]; do sleep 0.05; done"
"""
        )
        with started("run", "-q", cwd=shop) as process:
            wait_until((shop / "begun").exists, "the step has begun")
            value = value_of(program("audit", "verify", "--json", cwd=shop), "audit-verify")
            assert value["ok"], value["problems"]
            assert value["unsealed"] > 0
            (shop / "go").touch()
            assert ended(process).returncode == 0
        assert value_of(program("audit", "verify", "--json", cwd=shop), "audit-verify")["unsealed"] == 0

    def test_reference(self) -> None:
        """Given the page of the reference, then it has a row for each kind, as the program says it."""
        page = (ROOT / "docs/reference/verify.md").read_text(encoding="utf-8")
        for name, kind in KINDS.items():
            level = "apart" if kind.level is None else f"L{kind.level}"
            assert f"| `{name}` | {level} | {kind.meaning} | {kind.remedy} |" in page


class TestLogs:
    """Logs of steps, compared with what was recorded of them."""

    def test_changed_and_missing(self, shop: Path) -> None:
        """Given a log that was changed and one that is gone, then both are problems, the first with all names."""
        first, second, *others = sorted((shop / ".orchestrate/logs").glob("*/*.log"))
        data = first.read_bytes()
        first.write_bytes(data[:-1] + b"?")
        second.unlink()
        value = value_of(program("audit", "verify", "--json", cwd=shop), "audit-verify", code=3)
        ((problem, missing), logs) = (value["problems"], value["logs"])
        step, attempt, _ = first.name.split(".")
        assert (problem["kind"], problem["level"]) == ("changed_file", None)
        assert f"run {first.parent.name}, step {step}, attempt {attempt}" in problem["detail"]
        assert hashlib.sha256(data).hexdigest() in problem["detail"]
        assert hashlib.sha256(first.read_bytes()).hexdigest() in problem["detail"]
        assert (logs["status"], logs["changed"], logs["missing"]) == ("failed", 1, 1)
        assert (missing["kind"], second.name in missing["detail"]) == ("missing_file", True)
        assert (logs["same"], logs["named"]) == (len(others), len(others) + 2)
        assert (value["level"], value["ok"], value["projections"]) == (1, False, "held")
        shown = program("audit", "verify", cwd=shop).stdout
        assert f"logs: FAILED: 2 of {len(others) + 2} are not what was recorded; 1 missing" in shown

    def test_not_asked(self, shop: Path) -> None:
        """Given --no-logs, then they are not looked at."""
        for log in (shop / ".orchestrate/logs").glob("*/*.log"):
            log.write_bytes(b"other")
        value = value_of(program("audit", "verify", "--no-logs", "--json", cwd=shop), "audit-verify")
        assert (value["ok"], value["logs"]["status"], value["logs"]["named"]) == (True, "not_asked", 0)
        assert "  logs: not asked\n" in program("audit", "verify", "--no-logs", cwd=shop).stdout

    def test_none_is_here(self, shop: Path) -> None:
        """Given a ledger without its logs, such as a copy of the file alone, then it verifies."""
        shutil.rmtree(shop / ".orchestrate/logs")
        done = program("audit", "verify", cwd=shop)
        assert done.returncode == 0
        assert " kept elsewhere: their folder is not here" in done.stdout

    def test_events_that_name_none(self, tmp_path: Path) -> None:
        """Given a ledger of which no event names a log, or names it in no form of ours, then that is said."""
        with open_ledger(tmp_path / "l.db", projections=[ReadModels()]):
            pass
        assert "logs: held: no event names one" in program("audit", "verify", "--ledger", "l.db", cwd=tmp_path).stdout
        for log in ("text", None, {"path": 7}):
            event = RecordedEvent(
                0, "run/1", 0, "attempt.finished", 1, "2026-01-01T00:00:00.000000Z", {"log": log}, "i"
            )
            assert list(log_names(event)) == []


class TestProgress:
    """What is shown while it takes long."""

    def test_lines(self, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
        """Given no terminal, then a line now and then."""
        monkeypatch.setattr("orchestrator.cli.older.PATIENCE_SECONDS", 0.0)
        with verifying.watching("verifying x", "reading logs") as (watch, watch_logs):
            watch(1000, 3000)
            watch_logs(5, 7)
        assert capsys.readouterr().err == "verifying x: 1000 of 3000 events\nreading logs: 5 of 7 MiB\n"

    def test_silent(self, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
        """Given --quiet, then nothing."""
        monkeypatch.setattr("orchestrator.cli.older.PATIENCE_SECONDS", 0.0)
        with verifying.watching("verifying x", "reading logs", quiet=True) as (watch, watch_logs):
            watch(1000, 3000)
            watch_logs(1000, 3000)
        assert capsys.readouterr().err == ""

    def test_bar(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """Given a terminal, then a bar."""
        monkeypatch.setattr(verifying, "PATIENCE_SECONDS", 0.0)
        monkeypatch.setenv("TERM", "xterm")
        leader, follower = pty.openpty()
        with os.fdopen(follower, "w", encoding="utf-8") as terminal, monkeypatch.context() as patch:
            patch.setattr("sys.stderr", terminal)
            with verifying.watching("verifying x", "reading logs") as (watch, watch_logs):
                watch(1000, 3000)
                watch(2000, 3000)
                watch_logs(5, 7)
            terminal.flush()
            shown = os.read(leader, 65536).decode()
        os.close(leader)
        assert "verifying x" in shown
        assert "2000/3000" in shown or "1000/3000" in shown


class TestRebuild:
    """Tables made anew."""

    def test_nothing_differs(self, shop: Path) -> None:
        """Given good tables, then nothing is written."""
        events = value_of(program("audit", "verify", "--json", cwd=shop))["events"]
        done = program("audit", "rebuild", cwd=shop)
        assert (done.returncode, done.stdout) == (
            0,
            f"the tables are what the {events} events give: nothing was to be done\n",
        )
        assert value_of(program("audit", "verify", "--json", cwd=shop))["events"] == events

    def test_rows(self, shop: Path) -> None:
        """Given rows that were changed, then a dry run names them and exits 3, and rebuilding mends, records and says who and why."""
        execute(shop, "UPDATE runs SET status = 'succeeded' WHERE status = 'failed'", "DELETE FROM steps")
        dry = program("audit", "rebuild", "--dry-run", cwd=shop)
        assert dry.returncode == 3
        assert "'succeeded' instead of 'failed'" in dry.stdout
        assert "nothing was changed" in dry.stdout
        value = value_of(program("audit", "rebuild", "--dry-run", "--json", cwd=shop), "audit-rebuild", code=3)
        assert value["tables"]["runs"] == 1
        done = value_of(program("audit", "rebuild", "--reason", "ticket 7", "--json", cwd=shop), "audit-rebuild")
        assert (done["rebuilt"], done["same"]) == (True, False)
        verified = value_of(program("audit", "verify", "--json", cwd=shop), "audit-verify")
        assert (verified["ok"], verified["events"]) == (True, done["seq"] + 1)
        row = value_of(
            program(
                "audit",
                "query",
                "--json",
                "SELECT action, reason FROM audit_manual_actions ORDER BY seq DESC LIMIT 1",
                cwd=shop,
            )
        )
        assert "ledger.rebuilt" in str(row)
        assert "ticket 7" in str(row)

    def test_many_rows(self, shop: Path) -> None:
        """Given more rows than can be read, then they are counted by table."""
        execute(shop, *(f"INSERT INTO pipelines VALUES ('p{number}', 'x', NULL)" for number in range(30)))  # noqa: S608 - ours
        done = program("audit", "rebuild", cwd=shop)
        assert "and 10 more: pipelines 30" in done.stdout
        assert "made anew from " in done.stdout

    @pytest.mark.parametrize("statement", ["DROP TABLE attempts", "DROP VIEW audit_runs", "DROP INDEX runs_by_start"])
    def test_lost(self, shop: Path, statement: str) -> None:
        """Given a table, view or index that is gone, so that nothing else works, then rebuilding brings it back."""
        execute(shop, statement)
        done = program("audit", "rebuild", cwd=shop)
        assert done.returncode == 0, done.stderr
        assert "schema: " in done.stdout
        assert program("audit", "verify", "-q", cwd=shop).returncode == 0
        assert program("run", "-q", "--pipeline", "pipeline.toml", cwd=shop).returncode in (0, 1)

    def test_refused(self, shop: Path) -> None:
        """Given events that do not verify, or an older ledger, then nothing is made anew."""
        execute(shop, "UPDATE projections SET version = 1")
        assert refused("rebuild", cwd=shop, code=2) == ["old_tables"]
        execute(shop, "UPDATE projections SET version = 999")
        assert refused("rebuild", cwd=shop, code=3) == ["newer_ledger"]
        execute(shop, "DROP TRIGGER events_immutable")
        assert refused("rebuild", cwd=shop, code=3) == ["damaged_ledger"]
