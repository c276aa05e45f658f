"""Tests of ledgers that an older program made: read as they are, upgraded on the way to a run or by `audit upgrade`, and gone on with."""

from __future__ import annotations

import json
import os
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest

from ledger.checkpoints import origin_of
from ledger.events import NewEvent
from ledger.outside import checkpoint_folder
from ledger.reader import LedgerReader
from ledger.schema import FORMAT
from ledger.store import open_ledger
from orchestrator.cli import older, opening
from orchestrator.cli.app import run_command
from orchestrator.cli.audit import safekeeping
from orchestrator.cli.errors import RefusedError
from orchestrator.core.errors import UnknownEventError
from orchestrator.projections import older_tables
from orchestrator.runtime.liveness import boot_id, process_start
from tests.nights import SECRET
from tests.old_ledgers import FORMAT_1, INDEX, digest_of, make_older, old_shop, rows_of
from tests.programs import data_of, events_of, ledger_of, no_traceback, program, refused, value_of

READING = (
    ("status",),
    ("runs",),
    ("runs", "--refused"),
    ("changes",),
    ("show", "latest"),
    ("logs", "latest:mart"),
    ("explain", "latest:shop", "totals"),
    ("report", "latest"),
    ("graph", "latest"),
    ("plan",),
    ("validate",),
)
SCHEMAS = {"runs --refused": "refusals"}
NIGHT = ("--for", "2026-01-05")
REASONED = '[pipeline]\nname = "p"\n[audit]\nrequire_reason = true\n[steps.a]\ncommand = ["true"]\n'


@pytest.fixture
def shop(tmp_path: Path) -> Path:
    """Give the project of the golden ledger of the first format."""
    return old_shop(tmp_path)


class TestReading:
    """Every reading command shows a ledger of the first format, and leaves it as it is."""

    @pytest.mark.parametrize("command", READING, ids=" ".join)
    def test_reading_commands_change_nothing(self, shop: Path, command: tuple[str, ...]) -> None:
        """Given the golden ledger, then a command answers as for any other, silently, and no byte of the file is changed."""
        (shop / ".orchestrate" / "logs").mkdir()
        done = program(*command, "--json", cwd=shop)
        if command[0] == "logs":
            assert refused(done)[0]["kind"] == "logs_gone"
        else:
            value_of(done, SCHEMAS.get(" ".join(command), command[0]))
            assert done.stderr == ""
            no_traceback(program(*command, cwd=shop))
        assert digest_of(ledger_of(shop)) == INDEX[FORMAT_1.name]

    def test_rows_are_those_of_the_time(self, shop: Path) -> None:
        """Given the golden ledger, then its runs are listed with how they ended, newest first."""
        rows = value_of(program("runs", "--json", cwd=shop), "runs")
        assert [(row["pipeline"], row["night"], row["status"]) for row in rows] == [
            ("mart", "2026-01-06", "succeeded"),
            ("mart", "2026-01-05", "succeeded"),
            ("shop", "2026-01-05", "succeeded"),
            ("shop", "2026-01-04", "succeeded"),
            ("shop", "2026-01-04", "failed"),
            ("shop", "2026-01-02", "nothing_to_do"),
            ("shop", "2026-01-01", "succeeded"),
        ]

    def test_views_can_be_asked(self, shop: Path) -> None:
        """Given the golden ledger, then a query finds the views of this program, those of what it has not yet among them."""
        asked = "SELECT (SELECT count(*) FROM audit_runs), (SELECT count(*) FROM audit_checkpoints)"
        done = program("audit", "query", asked, "--csv", cwd=shop)
        assert (done.returncode, done.stdout.splitlines()[1]) == (0, "7,0")
        assert digest_of(ledger_of(shop)) == INDEX[FORMAT_1.name]

    def test_it_verifies_before_and_after(self, shop: Path) -> None:
        """Given the golden ledger, then verifying finds nothing, as it is and once it is upgraded."""
        for upgraded in (False, True):
            if upgraded:
                assert program("audit", "upgrade", cwd=shop).returncode == 0
            verdict = value_of(program("audit", "verify", "--json", cwd=shop), "audit-verify")
            assert (verdict["ok"], verdict["level"], verdict["events"]) == (True, 1, 61 if upgraded else 60)
            assert upgraded or digest_of(ledger_of(shop)) == INDEX[FORMAT_1.name]

    def test_reading_is_of_one_moment(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """Given somebody who appends while the tables are made, then what is shown is the ledger as it was when that began."""
        path = tmp_path / "ledger.db"
        open_ledger(path).close()

        def counting(what: str, total: int) -> Callable[[int], None]:
            assert total == 1
            with open_ledger(path) as ledger:
                ledger.append("run/1", [NewEvent("unknown.here", 1, {})], expected_version=-1)
            return lambda _: None

        monkeypatch.setattr(older, "counting", counting)
        with LedgerReader(path) as reader:
            older.show_as_present(reader.connection, path, FORMAT)
            assert not reader.connection.in_transaction
        with LedgerReader(path) as reader:
            monkeypatch.setattr(older, "counting", lambda *_: lambda _: None)
            with pytest.raises(UnknownEventError):
                older.show_as_present(reader.connection, path, FORMAT)
            assert not reader.connection.in_transaction

    def test_folder_that_takes_no_writing(self, shop: Path) -> None:
        """Given a ledger in a folder that is not ours to write, then it is read all the same."""
        os.chmod(ledger_of(shop).parent, 0o500)  # noqa: PTH101
        try:
            assert len(value_of(program("runs", "--json", cwd=shop), "runs")) == 7
            assert os.listdir(ledger_of(shop).parent) == ["ledger.db"] or os.geteuid() == 0  # noqa: PTH208
        finally:
            os.chmod(ledger_of(shop).parent, 0o700)  # noqa: PTH101

    def test_long_reading_is_told(
        self, shop: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
    ) -> None:
        """Given a reading that takes longer than one should wait, then stderr says why and how far it is, and stdout stays as it was."""
        monkeypatch.setattr(older, "PATIENCE_SECONDS", 0.0)
        monkeypatch.setattr(older_tables, "_EVENTS_BETWEEN", 20)
        assert run_command(["runs", "--json", "--ledger", str(ledger_of(shop))]) == 0
        shown = capsys.readouterr()
        assert len(json.loads(shown.out)) == 7
        assert shown.err.splitlines()[0].endswith(
            "was made by an older program: its tables are made for this reading: 20 of 60 events"
        )

    @pytest.mark.parametrize(
        "command", [("runs",), ("run",), ("audit", "backup", "b.db"), ("audit", "upgrade")], ids=" ".join
    )
    def test_newer_ledger_is_refused_untouched(self, shop: Path, command: tuple[str, ...]) -> None:
        """Given a ledger of a program to come, then every command refuses with exit code 3, and no byte is changed."""
        with closing(sqlite3.connect(ledger_of(shop))) as connection:
            connection.execute("PRAGMA user_version = 99")
        before = digest_of(ledger_of(shop))
        (problem,) = refused(program(*command, "--json", cwd=shop), 3)
        assert problem["kind"] == "newer_ledger"
        assert digest_of(ledger_of(shop)) == before
        assert not (shop / "b.db").exists()


class TestOnTheWay:
    """A small ledger is upgraded by whoever writes to it."""

    def test_next_run_upgrades_and_skips_what_is_up_to_date(self, shop: Path) -> None:
        """Given the golden ledger, then the next night records the upgrade, skips every step, and the history is as it was."""
        before = rows_of(FORMAT_1, "events")
        run = value_of(program("run", "--json", *NIGHT, cwd=shop), "run")
        assert {step["step"]: step["reason"] for step in run["steps"]} == {
            "ingest": "no_new_data",
            "totals": "up_to_date",
            "mail": "up_to_date",
        }
        ledger = ledger_of(shop)
        assert rows_of(ledger, "events")[:60] == before
        (upgraded,) = data_of(ledger, "ledger.upgraded")
        assert upgraded["format"] == {"from": 1, "to": 2}
        assert upgraded["projections"]["orchestrator"]["from"] == 1
        assert upgraded["actor"]["claimed_by"] == "host"
        assert upgraded["program"]
        assert len(value_of(program("runs", "--json", cwd=shop), "runs")) == 8
        assert value_of(program("audit", "upgrade", "--json", cwd=shop), "audit-upgrade")["upgraded"] is False

    @pytest.mark.parametrize("command", [("ack", "latest:shop"), ("note", "latest", "well"), ("audit", "checkpoint")])
    def test_other_writers_upgrade_too(self, shop: Path, command: tuple[str, ...]) -> None:
        """Given a command that appends, whether it is then refused or not, then it finds the present format."""
        no_traceback(program(*command, cwd=shop))
        assert len(data_of(ledger_of(shop), "ledger.upgraded")) == 1

    def test_large_one_is_left_for_the_command(
        self, shop: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
    ) -> None:
        """Given more events than are taken on the way, then `run` refuses with 2, names the command, and the file stays as it was."""
        monkeypatch.chdir(shop)
        monkeypatch.setattr(opening, "SMALL_EVENTS", 59)
        assert run_command(["run", "--json"]) == 2
        (problem,) = json.loads(capsys.readouterr().out)["problems"]
        assert problem["kind"] == "upgrade_needed"
        assert "`orchestrate audit upgrade`" in problem["message"]
        assert digest_of(ledger_of(shop)) == INDEX[FORMAT_1.name]
        assert run_command(["audit", "upgrade"]) == 0
        assert run_command(["run", "-q", *NIGHT]) == 0

    def test_run_of_the_older_program_is_let_finish(self, shop: Path) -> None:
        """Given a run that is on in the older ledger, then nobody upgrades it: the older program could not go on."""
        ledger = ledger_of(shop)
        me = {"pid": os.getpid(), "boot_id": boot_id(), "process_start": process_start(os.getpid())}
        with closing(sqlite3.connect(ledger)) as connection:
            connection.execute("DROP TRIGGER events_immutable")
            connection.execute("UPDATE runs SET status = 'running' WHERE pipeline = 'mart' AND night = '2026-01-06'")
            connection.execute(
                "UPDATE events SET body = json_patch(body, json_object('data', json(?))) WHERE seq = 55",
                (json.dumps(me),),
            )
            connection.execute(
                "CREATE TRIGGER events_immutable BEFORE UPDATE ON events\n"
                "BEGIN SELECT RAISE(ABORT, 'events are never changed'); END"
            )
            connection.commit()
        before = digest_of(ledger)
        for command in (("run",), ("audit", "upgrade")):
            with closing(sqlite3.connect(ledger)) as connection:
                leaf = connection.execute("SELECT body FROM events WHERE seq = 55").fetchone()
            assert leaf is not None
            if command[0] == "run":
                (problem,) = refused(program(*command, "--json", cwd=shop), 4)
                assert "is on" in problem["message"]
            else:
                # The backup that comes first finds what this test has done to an event.
                assert program(*command, cwd=shop).returncode == 3
            assert digest_of(ledger) == before


class TestCommand:
    """`orchestrate audit upgrade`."""

    def test_backs_up_upgrades_and_checks(self, shop: Path) -> None:
        """Given the golden ledger, then what was lies beside it, whole, and the ledger is of the present format."""
        value = value_of(program("audit", "upgrade", "--json", cwd=shop), "audit-upgrade")
        assert (value["upgraded"], value["format"], value["events"]) == (True, {"before": 1, "after": 2}, 61)
        backup = Path(value["backup"])
        assert backup.parent == ledger_of(shop).parent
        assert backup.name.startswith("ledger.db.before-upgrade-")
        assert rows_of(backup, "events") == rows_of(FORMAT_1, "events")
        assert [event["type"] for event in events_of(ledger_of(shop))][60:] == ["ledger.upgraded"]
        done = program("audit", "upgrade", cwd=shop)
        assert (done.returncode, done.stdout) == (0, f"{ledger_of(shop)} is up to date: 61 events, checked\n")

    def test_says_what_it_did(self, shop: Path) -> None:
        """Given a person who reads, then format, tables and the backup are named."""
        lines = program("audit", "upgrade", cwd=shop).stdout.splitlines()
        assert "format 1, tables 1 before; now up to date: 61 events, checked" in lines[0]
        assert "before-upgrade" in lines[1]

    def test_reason_is_recorded_without_secrets(self, shop: Path) -> None:
        """Given a reason with a secret of one of the pipelines, then the event has the reason and not the secret; one that is too long is refused."""
        done = program("audit", "upgrade", "--json", "--reason", "x" * 4001, cwd=shop)
        assert refused(done)[0]["kind"] == "usage"
        assert not list(ledger_of(shop).parent.glob("*before-upgrade*"))
        assert program("audit", "upgrade", "--reason", f"4711, {SECRET}", cwd=shop).returncode == 0
        (upgraded,) = data_of(ledger_of(shop), "ledger.upgraded")
        assert upgraded["reason"] == "4711, ***"

    def test_reason_is_asked_for_where_a_pipeline_requires_one(self, tmp_path: Path) -> None:
        """Given an older ledger of a pipeline that requires reasons, then without one nothing is done."""
        (tmp_path / "pipeline.toml").write_text(REASONED, encoding="utf-8")
        assert program("run", "-q", cwd=tmp_path).returncode == 0
        ledger = ledger_of(tmp_path)
        make_older(ledger)
        before = digest_of(ledger)
        for given in ((), ("--reason", " ")):
            (problem,) = refused(program("audit", "upgrade", "--json", *given, cwd=tmp_path))
            assert (problem["kind"], problem["message"].split()[:2]) == ("missing_reason", ["audit", "upgrade"])
        assert digest_of(ledger) == before
        assert not list(ledger.parent.glob("*before-upgrade*"))
        assert program("audit", "upgrade", "--reason", "4711", cwd=tmp_path).returncode == 0

    def test_it_is_sealed_afterwards(self, shop: Path) -> None:
        """Given an upgrade, then the checkpoint over its event is in the ledger and beside it."""
        assert program("audit", "upgrade", cwd=shop).returncode == 0
        verdict = value_of(program("audit", "verify", "--strict", "--json", cwd=shop), "audit-verify")
        assert (verdict["ok"], verdict["sealed"]) == (True, 61)
        assert len(list(ledger_of(shop).parent.glob("checkpoints/*/*61.checkpoint"))) == 1

    @pytest.mark.parametrize("command", [("audit", "upgrade"), ("run", *NIGHT)], ids=" ".join)
    def test_ledger_that_was_turned_back_is_not_upgraded(self, shop: Path, command: tuple[str, ...]) -> None:
        """Given a checkpoint beside the ledger over more events than it has, then it stays as it is, and no backup is left."""
        (identity,) = rows_of(ledger_of(shop), "ledger_meta")
        folder = checkpoint_folder(ledger_of(shop), str(identity[1]))
        folder.mkdir(parents=True)
        note = f"{origin_of(str(identity[1]))}\n70\n{'A' * 43}=\n"
        (folder / f"{70:012d}.checkpoint").write_text(note, encoding="utf-8")
        (problem,) = refused(program(*command, "--json", cwd=shop), 3)
        assert problem["kind"] == "inconsistent"
        assert digest_of(ledger_of(shop)) == INDEX[FORMAT_1.name]
        assert not list(ledger_of(shop).parent.glob("*before-upgrade*"))

    def test_damaged_one_is_not_upgraded(self, shop: Path) -> None:
        """Given an event that was changed, then the exit code is 3, the event is named, and nothing lies beside the ledger."""
        with closing(sqlite3.connect(ledger_of(shop))) as connection:
            ((sql,),) = connection.execute("SELECT sql FROM sqlite_schema WHERE name = 'events_immutable'").fetchall()
            connection.execute("DROP TRIGGER events_immutable")
            connection.execute("UPDATE events SET body = replace(body, 'succeeded', 'failed') WHERE seq = 12")
            connection.execute(sql)
            connection.commit()
        (problem,) = refused(program("audit", "upgrade", "--json", cwd=shop), 3)
        assert "event 12: its text is not what its hash covers" in problem["message"]
        assert not list(ledger_of(shop).parent.glob("*before-upgrade*"))
        assert data_of(ledger_of(shop), "ledger.upgraded") == []

    def test_refusal_leaves_no_backup(self, shop: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """Given a run of the older program that is on when the upgrade begins, then nothing is left of the attempt."""

        def refuse(*_: object, **__: object) -> None:
            raise RefusedError([])

        monkeypatch.setattr(safekeeping, "open_to_write", refuse)
        with pytest.raises(RefusedError):
            safekeeping.upgrade(None, str(ledger_of(shop)), reason=None)
        assert [path.name for path in ledger_of(shop).parent.glob("ledger.db*") if "-" not in path.name] == [
            "ledger.db"
        ]
        assert not list(ledger_of(shop).parent.glob("*before-upgrade*"))

    def test_progress_is_told_where_it_takes_long(
        self, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
    ) -> None:
        """Given work that goes on for more than a second, then stderr says how far it is, and not for each event."""
        monkeypatch.setattr(older, "PATIENCE_SECONDS", 0.0)
        watch = safekeeping.told("checking")
        watch(10_000, 30_000)
        monkeypatch.setattr(older, "PATIENCE_SECONDS", 3600.0)
        watch(20_000, 30_000)
        watch(30_000, 30_000)
        shown = capsys.readouterr().err.splitlines()
        assert shown == ["checking: 10000 of 30000 events", "checking: 20000 of 30000 events"]

    def test_ledger_without_tables_gets_them(self, tmp_path: Path) -> None:
        """Given an older ledger that nothing of the orchestrator's was ever written to, then it is taken on all the same."""
        path = tmp_path / "ledger.db"
        open_ledger(path).close()
        make_older(path)
        opening.open_to_write(path).close()
        assert rows_of(path, "runs") == []

    def test_no_ledger(self, tmp_path: Path) -> None:
        """Given no ledger, then there is nothing to upgrade, and none is made."""
        assert refused(program("audit", "upgrade", "--json", cwd=tmp_path))[0]["kind"] == "no_ledger"
        assert list(tmp_path.iterdir()) == []
