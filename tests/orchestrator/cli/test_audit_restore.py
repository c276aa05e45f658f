"""Tests of `orchestrate audit restore`: a new ledger that continues a backup, says what was lost, and keeps every skip."""

from __future__ import annotations

import fcntl
import json
import os
import shutil
import sqlite3
import stat
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from ledger.chain import archive_path, former_ledgers
from ledger.creation import making_lock, restoring_mark
from ledger.errors import LedgerExistsError
from ledger.reader import LedgerReader
from ledger.schema import ledger_identity
from ledger.store import open_ledger
from orchestrator.cli.audit import restoring
from orchestrator.cli.audit.carried_check import carried_problems
from orchestrator.cli.errors import UsageRefusedError
from orchestrator.cli.older import show_as_present
from orchestrator.projections.carried import carried_problem, carried_state
from orchestrator.projections.read_models import ReadModels
from tests.nights import BROKEN, SECRET, SHOP, write_shop
from tests.old_ledgers import FORMAT_1, digest_of, old_shop, rows_of
from tests.programs import data_of, events_of, ledger_of, program, refused, value_of

WHY = ("--reason", "ticket 4711")
SKIPPED = {"ingest": "no_new_data", "totals": "up_to_date", "mail": "up_to_date"}


@pytest.fixture(autouse=True)
def own_configuration(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Give each test a signer's memory of its own."""
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))


@pytest.fixture
def shop(tmp_path: Path) -> Path:
    """Give a project with one night, a backup of it, and one failed night that is not in the backup."""
    shop = write_shop(tmp_path / "shop")
    assert program("run", "--quiet", "--for", "2026-01-01", cwd=shop).returncode == 0
    assert program("audit", "backup", "../backup.db", cwd=shop).returncode == 0
    (shop / "pipeline.toml").write_text(BROKEN, encoding="utf-8")
    assert program("run", "--quiet", "--for", "2026-01-02", cwd=shop).returncode == 1
    (shop / "pipeline.toml").write_text(SHOP, encoding="utf-8")
    return shop


def lose(shop: Path) -> None:
    """Lose the ledger of *shop*, and nothing else."""
    for path in ledger_of(shop).parent.glob("ledger.db*"):
        path.unlink()


def restore(shop: Path, *options: str) -> Any:  # noqa: ANN401 - whatever was printed
    """Restore the backup of *shop* and return what is said about it."""
    return value_of(program("audit", "restore", "../backup.db", *WHY, "--json", *options, cwd=shop), "audit-restore")


def reasons(shop: Path, *options: str) -> dict[str, str]:
    """Run the next night and return why each step was skipped."""
    run = value_of(program("run", "--json", *options, cwd=shop), "run", code=None)
    return {step["step"]: step["reason"] for step in run["steps"]}


def state_of(ledger: Path) -> list[list[tuple[object, ...]]]:
    """Return the rows of every table that decisions are made from."""
    return [rows_of(ledger, table) for table in ("pipelines", "baselines", "carried_attempts", "carried_pipelines")]


class TestLoss:
    """A ledger that is gone is continued by a new one."""

    def test_lost_events_and_runs_are_named(self, shop: Path) -> None:
        """Given a night after the backup, then its events are named by the checkpoint beside the ledger, and its run by its logs."""
        total = len(rows_of(ledger_of(shop), "events"))
        lost_run = value_of(program("runs", "--json", cwd=shop))[0]["run_id"]
        lose(shop)
        value = restore(shop)
        saved = value["continues"]["events"]
        assert (value["lost"]["first"], value["lost"]["last"], value["lost"]["runs"]) == (saved, total - 1, [lost_run])
        assert value["lost"]["after"] == value["continues"]["last_at"] < value["lost"]["before"]
        assert value["known"]["size"] == total
        assert value["moved"] == []

    def test_genesis_names_what_it_continues(self, shop: Path) -> None:
        """Given a restored ledger, then its id is new, and its first event has the old origin, the last known checkpoint, and why."""
        notes = sorted((ledger_of(shop).parent / "checkpoints").glob("*/*.checkpoint"))
        lose(shop)
        value = restore(shop)
        (created,) = data_of(ledger_of(shop), "ledger.created")
        told = created["continues"]
        assert value["id"] != value["continues"]["ledger"]
        assert told["ledger"] == value["continues"]["ledger"]
        assert told["origin"] == f"orchestrate-ledger/{told['ledger']}"
        assert (told["size"], told["root"]) == (value["continues"]["events"], value["continues"]["root"])
        assert told["checkpoint"] == notes[-1].read_text(encoding="utf-8")
        assert told["lost"] == value["lost"]
        assert created["reason"] == "ticket 4711"
        assert created["actor"]["claimed_by"] == "host"
        assert [event["type"] for event in events_of(ledger_of(shop))] == ["ledger.created", "history.carried"]

    def test_every_skip_is_kept(self, shop: Path) -> None:
        """Given outputs as the backup knows them, then the next night skips all that is up to date and says since which former attempt."""
        first = value_of(program("runs", "--json", cwd=shop))[-1]["run_id"]
        lose(shop)
        restore(shop)
        assert reasons(shop) == SKIPPED
        shown = value_of(program("explain", "latest", "totals", "--json", cwd=shop), "explain")
        assert shown["evidence"]["since"] == f"{first}/1"

    def test_what_changed_since_the_backup_is_done_again(self, shop: Path) -> None:
        """Given an output that the backup does not know, then its step runs: the tables know nothing of the lost night."""
        (shop / "raw" / "2.csv").write_text("2\n", encoding="utf-8")
        assert reasons(shop, "--for", "2026-01-03")["totals"] is None
        lose(shop)
        restore(shop)
        assert reasons(shop, "--for", "2026-01-04") == {"ingest": None, "totals": None, "mail": None}

    def test_runs_of_the_former_ledger_are_found(self, shop: Path) -> None:
        """Given a restored ledger, then runs, show, logs, explain, report, graph, changes and status go on into the former one; reproduce says that it does not."""
        first = value_of(program("runs", "--json", cwd=shop))[-1]["run_id"]
        lose(shop)
        restore(shop)
        shown = value_of(program("show", "latest", "--json", cwd=shop), "show")
        assert (shown["run_id"], shown["status"]) == (first, "succeeded")
        assert program("logs", first, "ingest", cwd=shop).stdout == "key *** for nyc\n"
        (entry,) = value_of(program("status", "--json", cwd=shop), "status")
        assert (entry["last_run"]["run_id"], entry["last_success"]["run_id"]) == (first, first)
        for command in (("report", first), ("graph", first), ("explain", first, "totals")):
            assert program(*command, cwd=shop).returncode == 0
        for word in (first, "latest"):
            (problem,) = refused(program("reproduce", word, "--json", cwd=shop))
            assert problem["kind"] == "former_run"
            assert problem["message"].startswith(f"run {first} is of a former ledger, which this one continues")
        (problem,) = refused(program("reproduce", "2099", "--json", cwd=shop))
        assert (problem["kind"], "in this ledger; " in problem["message"]) == ("unknown_run", True)
        (change,) = value_of(program("changes", "--json", cwd=shop), "changes")
        assert change["before"] is None
        assert reasons(shop) == SKIPPED
        runs = value_of(program("runs", "--json", cwd=shop), "runs")
        assert [row["status"] for row in runs] == ["nothing_to_do", "succeeded"]
        assert value_of(program("runs", "--json", "--limit", "1", cwd=shop), "runs") == runs[:1]
        assert value_of(program("show", "latest:shop", "--json", cwd=shop), "show")["run_id"] == runs[0]["run_id"]

    def test_archive_can_only_be_read_and_holds_the_backup(self, shop: Path) -> None:
        """Given a restored ledger, then the former one lies beside it, as it was saved, and is found by the chain."""
        lose(shop)
        value = restore(shop)
        archive = Path(value["archive"])
        assert archive == archive_path(ledger_of(shop), value["continues"]["ledger"])
        assert stat.S_IMODE(archive.stat().st_mode) == 0o400
        assert rows_of(archive, "events") == rows_of(shop.parent / "backup.db", "events")
        with LedgerReader(ledger_of(shop)) as reader:
            (former,) = former_ledgers(ledger_of(shop), reader.connection)
        assert (former.path, former.problem) == (archive, None)

    def test_archive_that_is_gone_is_named(self, shop: Path) -> None:
        """Given that the former ledger is lost too, then what is there is shown, stderr says what is not, and skips are kept."""
        lose(shop)
        Path(restore(shop)["archive"]).unlink()
        done = program("runs", "--json", cwd=shop)
        assert value_of(done, "runs") == []
        assert "a part of the history is not there" in done.stderr
        assert refused(program("show", "latest", "--json", cwd=shop))[0]["kind"] == "no_runs"
        assert reasons(shop) == SKIPPED

    def test_nothing_known_outside(self, shop: Path) -> None:
        """Given no checkpoint, log or report but the backup, then nobody can say what is lost, and that is said."""
        shutil.rmtree(shop / ".orchestrate")
        done = program("audit", "restore", "../backup.db", *WHY, cwd=shop)
        assert done.returncode == 0
        assert "nobody can say: no checkpoint of the former ledger was found outside of the backup" in done.stdout
        assert "orchestrate audit keygen" in done.stdout
        (created,) = data_of(ledger_of(shop), "ledger.created")
        assert created["continues"]["lost"] is None
        assert created["continues"]["checkpoint"] == rows_of(shop.parent / "backup.db", "checkpoints")[-1][3]

    def test_archive_of_a_newer_program_is_named(self, shop: Path) -> None:
        """Given a former ledger whose tables this program does not know, then stderr says so, and what is there is shown."""
        lose(shop)
        archive = Path(restore(shop)["archive"])
        archive.chmod(0o600)
        with closing(sqlite3.connect(archive)) as connection:
            connection.execute("UPDATE projections SET version = 99")
            connection.commit()
        done = program("runs", "--json", cwd=shop)
        assert value_of(done, "runs") == []
        assert "use a newer program" in done.stderr

    def test_only_logs_tell_of_the_loss(self, shop: Path) -> None:
        """Given no checkpoint outside but logs of a run that the backup does not know, then the loss has a beginning and no known end."""
        shutil.rmtree(shop / ".orchestrate" / "checkpoints")
        lose(shop)
        done = program("audit", "restore", "../backup.db", *WHY, cwd=shop)
        (created,) = data_of(ledger_of(shop), "ledger.created")
        lost = created["continues"]["lost"]
        assert lost.keys() == {"first", "after", "runs"}
        assert f"lost:      events from {lost['first']} on, after {lost['after']}" in done.stdout

    def test_nothing_lost(self, tmp_path: Path) -> None:
        """Given a backup made right before the loss, then nothing is known to be lost."""
        shop = write_shop(tmp_path / "shop")
        assert program("run", "--quiet", cwd=shop).returncode == 0
        assert program("audit", "backup", "../backup.db", cwd=shop).returncode == 0
        lose(shop)
        done = program("audit", "restore", "../backup.db", *WHY, cwd=shop)
        assert "nothing that is known of" in done.stdout

    def test_only_what_is_named_like_a_run_counts_as_one(self, shop: Path) -> None:
        """Given folders among the logs and reports that no run has made, then the event names none of them."""
        for name in ("9", "20990101T000000Z", "20990101T000000Z-ABCDEF012", "9\x1b[31m", "9 secret", "\u0663\u0663"):
            (shop / ".orchestrate" / "logs" / name).mkdir()
        os.mkdir(os.fsencode(shop / ".orchestrate" / "logs") + b"/9\xff")  # noqa: PTH102 - bytes
        (lost_run,) = value_of(program("runs", "--json", "--limit", "1", cwd=shop))
        (shop / ".orchestrate" / "reports" / "20990101T000000Z-abcdef012").mkdir()
        lose(shop)
        assert restore(shop)["lost"]["runs"] == [lost_run["run_id"], "20990101T000000Z-abcdef012"]

    def test_lost_range_is_told_to_people(self, shop: Path) -> None:
        """Given a person who reads, then the range, its times and the runs are in the lines."""
        lose(shop)
        done = program("audit", "restore", "../backup.db", *WHY, cwd=shop)
        (created,) = data_of(ledger_of(shop), "ledger.created")
        lost = created["continues"]["lost"]
        assert f"events {lost['first']} to {lost['last']}, between {lost['after']} and {lost['before']}" in done.stdout
        assert f"lost runs: {lost['runs'][0]}; their logs or reports are still here" in done.stdout


class TestCarriedState:
    """What decisions need is in the new ledger as an event and a blob, and is that of the archive."""

    def test_tables_are_made_anew_from_the_events(self, shop: Path) -> None:
        """Given a restored ledger with a night, then rebuilding gives the same rows."""
        lose(shop)
        restore(shop)
        assert reasons(shop) == SKIPPED
        before = state_of(ledger_of(shop))
        with open_ledger(ledger_of(shop), projections=[ReadModels()]) as ledger:
            ledger.rebuild()
        assert state_of(ledger_of(shop)) == before
        assert all(before)

    def test_state_is_compared_with_the_archive(self, shop: Path) -> None:
        """Given the archive, then the carried state is what its events give; another state, or none, is a problem."""
        lose(shop)
        value = restore(shop)
        size, former_id = value["continues"]["events"], value["continues"]["ledger"]
        with LedgerReader(ledger_of(shop)) as new, LedgerReader(Path(value["archive"])) as former:
            show_as_present(former.connection, Path(value["archive"]), 2)
            assert carried_problem(new.connection, former.connection, former_id, size) is None
            problem = carried_problem(new.connection, former.connection, former_id, size - 1)
            assert problem is not None
            assert f"after {size - 1} events" in problem
            assert "carries no state" in str(carried_problem(former.connection, former.connection, former_id, size))

    def test_whole_chain_is_compared(self, shop: Path) -> None:
        """Given three ledgers of a chain, then each state is compared with the ledger before; a forged one is named."""
        lose(shop)
        restore(shop)
        assert program("audit", "backup", "../backup.db", "--force", cwd=shop).returncode == 0
        lose(shop)
        archive = Path(restore(shop)["archive"])
        assert carried_problems(ledger_of(shop)) == []
        for path, problems in ((ledger_of(shop), ["ledger.db"]), (archive, ["ledger.db", archive.name])):
            path.chmod(0o600)
            with closing(sqlite3.connect(path)) as connection:
                connection.execute("DROP TRIGGER events_immutable")
                connection.execute("UPDATE events SET body = replace(body, 'sha256:', 'sha256:0') WHERE seq = 1")
                connection.commit()
            assert [problem.partition(": ")[0] for problem in carried_problems(ledger_of(shop))] == problems
        with closing(sqlite3.connect(archive)) as connection:
            connection.execute("UPDATE events SET body = replace(body, 'history.carried', 'history.merged')")
            connection.commit()
        assert "cannot be compared" in carried_problems(ledger_of(shop))[0]
        archive.unlink()
        assert carried_problems(ledger_of(shop)) == []
        ledger_of(shop).write_text("text")
        assert carried_problems(ledger_of(shop)) == []

    def test_tables_of_the_backup_are_not_believed(self, shop: Path) -> None:
        """Given a backup whose tables say otherwise than its events, then the events count."""
        with closing(sqlite3.connect(shop.parent / "backup.db")) as connection:
            connection.execute("UPDATE baselines SET key = 'forged'")
            connection.commit()
        lose(shop)
        restore(shop)
        assert reasons(shop) == SKIPPED

    def test_run_that_was_on_counts_as_lost(self, tmp_path: Path) -> None:
        """Given a backup of a moment at which a step was running, then that attempt is lost, and one that must not be repeated waits."""
        shop = write_shop(tmp_path / "shop", SHOP + 'rerun = "never"\n')
        assert program("run", "--quiet", cwd=shop).returncode == 0
        assert program("audit", "backup", "../backup.db", cwd=shop).returncode == 0
        with closing(sqlite3.connect(tmp_path / "backup.db")) as connection:
            run_id, size = connection.execute(
                "SELECT run_id, (SELECT seq FROM events WHERE type = 'attempt.finished' AND data ->> 'step' = 'mail') FROM runs"
            ).fetchone()
            guards = connection.execute("SELECT name, sql FROM sqlite_schema WHERE type = 'trigger'").fetchall()
            for name, _ in guards:
                connection.execute(f"DROP TRIGGER {name}")
            connection.execute("DELETE FROM events WHERE seq >= ?", (size,))
            for table in ("checkpoints", "tree"):
                connection.execute(f"DELETE FROM {table}")  # noqa: S608 - of ours
            for _, sql in guards:
                connection.execute(sql)
            connection.commit()
        lose(shop)
        shutil.rmtree(shop / ".orchestrate" / "checkpoints")
        restore(shop)
        (row,) = [row for row in rows_of(ledger_of(shop), "carried_attempts") if row[1] == "mail"]
        assert row[:2] == (run_id, "mail")
        assert row[4:6] == ("failed", "lost")
        assert reasons(shop)["mail"] == "lost"

    def test_other_pipelines_and_former_formats_are_carried(self, tmp_path: Path) -> None:
        """Given a backup of the golden ledger of the first format, then the new ledger goes on with it all the same."""
        shop = old_shop(tmp_path)
        shutil.copyfile(FORMAT_1, tmp_path / "backup.db")
        lose(shop)
        value = restore(shop)
        assert (value["continues"]["format"], value["continues"]["events"]) == (1, 60)
        assert [row[0] for row in rows_of(ledger_of(shop), "pipelines")] == ["mart", "shop"]
        assert {row[2] for row in rows_of(ledger_of(shop), "carried_pipelines")} == {"etl1.example"}
        assert reasons(shop, "--for", "2026-01-05") == SKIPPED
        assert len(value_of(program("runs", "--json", cwd=shop), "runs")) == 8
        assert data_of(ledger_of(shop), "host.changed")[0]["before"] == "etl1.example"


class TestVerifying:
    """`audit verify` follows the chain."""

    def test_declared_loss_is_told_and_no_problem(self, shop: Path) -> None:
        """Given a loss that the new ledger names, then the checkpoints beside it over lost events are no problem, and the loss is shown."""
        lose(shop)
        value = restore(shop)
        verdict = value_of(program("audit", "verify", "--json", cwd=shop), "audit-verify")
        assert (verdict["ok"], verdict["problems"]) == (True, [])
        (former,) = verdict["former"]
        assert (former["ledger"], former["events"], former["ok"]) == (
            value["continues"]["ledger"],
            value["continues"]["events"],
            True,
        )
        assert former["lost"] == value["lost"]
        last = value["lost"]["last"]
        assert (
            f"lost, as this one says: events from {value['lost']['first']} to {last}"
            in program("audit", "verify", cwd=shop).stdout
        )

    def test_loss_without_a_known_end_is_told(self, shop: Path) -> None:
        """Given that only logs tell of the loss, then it is shown from its beginning on."""
        shutil.rmtree(shop / ".orchestrate" / "checkpoints")
        lose(shop)
        value = restore(shop)
        assert f"events from {value['lost']['first']} on" in program("audit", "verify", cwd=shop).stdout

    def test_more_was_lost_than_is_told(self, shop: Path) -> None:
        """Given a checkpoint beside the ledger over more events than the new one admits, then that is a problem of the former one."""
        lose(shop)
        value = restore(shop)
        origin = f"orchestrate-ledger/{value['continues']['ledger']}"
        size = value["lost"]["last"] + 2
        folder = Path(value["known"]["file"]).parent
        (folder / f"{size:012d}.checkpoint").write_text(f"{origin}\n{size}\n{'A' * 43}=\n", encoding="utf-8")
        verdict = value_of(program("audit", "verify", "--json", cwd=shop), "audit-verify", code=3)
        assert [problem["kind"] for problem in verdict["problems"]] == ["former_ledger"]

    def test_archive_that_is_gone_or_was_changed(self, shop: Path) -> None:
        """Given a former ledger that is not what the new one says, then exit code 3, whatever was done to it."""
        lose(shop)
        archive = Path(restore(shop)["archive"])
        archive.chmod(0o600)
        with closing(sqlite3.connect(archive)) as connection:
            connection.execute("DROP TRIGGER events_immutable")
            connection.execute(
                "UPDATE events SET body = replace(body, 'succeeded', 'failed') WHERE type = 'run.finished'"
            )
            connection.commit()
        for gone in (False, True):
            if gone:
                archive.unlink()
            verdict = value_of(program("audit", "verify", "--json", cwd=shop), "audit-verify", code=3)
            assert "former_ledger" in {problem["kind"] for problem in verdict["problems"]}

    def test_state_that_was_not_that_of_the_archive(self, shop: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """Given somebody who carried over a state of his own, then every hash is right, and the state is named all the same."""
        whole = carried_state

        def forged(connection: sqlite3.Connection, ledger_id: str, size: int) -> tuple[str, dict[str, bytes]]:
            connection.execute("UPDATE temp.baselines SET outputs = replace(outputs, 'sha256:', 'sha256:0')")
            return whole(connection, ledger_id, size)

        lose(shop)
        monkeypatch.chdir(shop)
        monkeypatch.setattr(restoring, "carried_state", forged)
        restoring.restore(shop.parent / "backup.db", None, None, checkpoints=(), reason="x", replace=False)
        verdict = value_of(program("audit", "verify", "--json", cwd=shop), "audit-verify", code=3)
        (problem,) = verdict["problems"]
        assert problem["kind"] == "carried_state"
        assert (verdict["level"], verdict["projections"]) == (1, "held")


class TestChain:
    """A restored ledger can be lost in its turn."""

    def test_second_loss_is_continued_too(self, shop: Path) -> None:
        """Given a backup of a restored ledger, then the third ledger continues it, and the runs of all three are found."""
        lose(shop)
        restore(shop)
        assert reasons(shop, "--for", "2026-01-03") == SKIPPED
        value = value_of(program("audit", "backup", "../backup.db", "--force", "--json", cwd=shop), "audit-backup")
        assert len(value["former"]) == 1
        done = program("audit", "backup", "../other.db", cwd=shop)
        assert f"keep {value['former'][0]} as well" in done.stderr
        lose(shop)
        restore(shop)
        assert reasons(shop, "--for", "2026-01-04") == SKIPPED
        runs = value_of(program("runs", "--json", cwd=shop), "runs")
        assert [row["night"] for row in runs] == ["2026-01-04", "2026-01-03", "2026-01-01"]
        with LedgerReader(ledger_of(shop)) as reader:
            found = former_ledgers(ledger_of(shop), reader.connection)
        assert [former.problem for former in found] == [None, None]

    def test_former_ledgers_beside_the_backup_come_along(self, shop: Path, tmp_path: Path) -> None:
        """Given another machine with the backup and the archives beside it, then the archives are put beside the new ledger."""
        lose(shop)
        archive = Path(restore(shop)["archive"])
        away = tmp_path / "away"
        away.mkdir()
        assert program("audit", "backup", str(away / "ledger.db"), cwd=shop).returncode == 0
        shutil.copyfile(archive, away / archive.name)
        other = write_shop(tmp_path / "other")
        value = value_of(program("audit", "restore", "../away/ledger.db", *WHY, "--json", cwd=other), "audit-restore")
        with LedgerReader(ledger_of(other)) as reader:
            found = former_ledgers(ledger_of(other), reader.connection)
        assert [former.problem for former in found] == [None, None]
        assert [former.path.parent for former in found] == [ledger_of(other).parent] * 2
        assert value["archive"] == str(found[0].path)


class TestOutsideCheckpoints:
    """The backup is held to every checkpoint that is known outside of it."""

    def test_signers_memory_counts(self, shop: Path) -> None:
        """Given nothing beside the ledger, then what the signer remembers names what was lost."""
        assert program("audit", "keygen", cwd=shop).returncode == 0
        total = len(rows_of(ledger_of(shop), "events"))
        shutil.rmtree(shop / ".orchestrate")
        value = restore(shop)
        assert (value["known"]["size"], value["lost"]["last"]) == (total, total - 1)
        assert value["known"]["file"].endswith("last-signed")

    def test_given_checkpoint_counts(self, shop: Path, tmp_path: Path) -> None:
        """Given a checkpoint that somebody kept, then it names what was lost where nothing else does."""
        assert program("audit", "checkpoint", "--out", "../kept", cwd=shop).returncode == 0
        total = len(rows_of(ledger_of(shop), "events"))
        shutil.rmtree(shop / ".orchestrate")
        assert restore(shop, "--checkpoint", str(tmp_path / "kept"))["lost"]["last"] == total - 1

    def test_backup_of_another_history_is_refused(self, shop: Path) -> None:
        """Given a checkpoint that the backup contradicts, then the exit code is 3, the file is named, and nothing was made."""
        (place,) = [
            path for path in (shop / ".orchestrate" / "checkpoints").glob("*/*") if path.name.startswith("0" * 10)
        ][:1]
        origin, size, _, *_ = place.read_text(encoding="utf-8").splitlines()
        place.write_text(f"{origin}\n{size}\n{'A' * 43}=\n", encoding="utf-8")
        lose(shop)
        (problem,) = refused(program("audit", "restore", "../backup.db", *WHY, "--json", cwd=shop), 3)
        assert str(place) in problem["message"]
        assert not list(ledger_of(shop).parent.glob("ledger*"))

    def test_files_that_are_no_checkpoints(self, shop: Path, tmp_path: Path) -> None:
        """Given one beside the ledger, then it is passed over with a warning; given by name, then it is refused."""
        (place,) = list((shop / ".orchestrate" / "checkpoints").iterdir())
        (place / "000000000099.checkpoint").write_text("nonsense", encoding="utf-8")
        (place / "000000000098.checkpoint").write_text(f"other/origin\n98\n{'A' * 43}=\n", encoding="utf-8")
        lose(shop)
        for name, kind in (("nonsense", "bad_checkpoint"), ("other/origin\n9\n" + "A" * 43 + "=\n", "other_ledger")):
            (tmp_path / "given").write_text(name, encoding="utf-8")
            done = program("audit", "restore", "../backup.db", *WHY, "--json", "--checkpoint", "../given", cwd=shop)
            assert refused(done)[0]["kind"] == kind
        assert (
            refused(program("audit", "restore", "../backup.db", *WHY, "--json", "--checkpoint", "nowhere", cwd=shop))[
                0
            ]["kind"]
            == "bad_checkpoint"
        )
        done = program("audit", "restore", "../backup.db", *WHY, cwd=shop)
        assert done.returncode == 0
        assert "000000000099.checkpoint is no checkpoint and says nothing" in done.stderr

    def test_key_of_the_former_ledger_does_not_sign_the_new_one(self, shop: Path) -> None:
        """Given a key, then the restored ledger is sealed unsigned until it has one of its own."""
        assert program("audit", "keygen", cwd=shop).returncode == 0
        lose(shop)
        restore(shop)
        assert value_of(program("audit", "checkpoint", "--json", cwd=shop), "audit-checkpoint")["signed"] is False
        assert program("audit", "keygen", cwd=shop).returncode == 0
        assert value_of(program("audit", "checkpoint", "--json", cwd=shop), "audit-checkpoint")["signed"] is True


class TestTarget:
    """What stands where the new ledger is to be."""

    def test_ledger_that_is_there_is_kept(self, shop: Path) -> None:
        """Given a ledger, then it is refused and stays; with --replace it lies beside the new one, byte for byte."""
        before = digest_of(ledger_of(shop))
        (problem,) = refused(program("audit", "restore", "../backup.db", *WHY, "--json", cwd=shop))
        assert problem["kind"] == "ledger_exists"
        assert "--replace" in problem["message"]
        assert digest_of(ledger_of(shop)) == before
        moved = [Path(name) for name in restore(shop, "--replace")["moved"]]
        assert moved[0].name.startswith("ledger.db.replaced-")
        assert digest_of(moved[0]) == before
        assert reasons(shop) == SKIPPED

    def test_damaged_ledger_is_moved_aside(self, shop: Path) -> None:
        """Given pages with something else in them, then the damaged file is kept under another name."""
        content = ledger_of(shop).read_bytes()
        ledger_of(shop).write_bytes(content[:4096] + b"\xa5" * (len(content) - 4096))
        assert (
            refused(program("audit", "restore", "../backup.db", *WHY, "--json", cwd=shop))[0]["kind"] == "ledger_exists"
        )
        (moved, *_) = restore(shop, "--replace")["moved"]
        assert Path(moved).read_bytes()[4096:8192] == b"\xa5" * 4096

    def test_log_without_its_ledger_goes_aside_too(self, shop: Path) -> None:
        """Given a log that was left behind, then it never becomes that of the new ledger."""
        lose(shop)
        log = Path(f"{ledger_of(shop)}-wal")
        log.write_bytes(b"left behind")
        (problem,) = refused(program("audit", "restore", "../backup.db", *WHY, "--json", cwd=shop))
        assert problem["message"].startswith(f"there is a part of a ledger at {log}")
        (moved,) = restore(shop, "--replace")["moved"]
        assert moved.endswith("-wal")
        assert Path(moved).read_bytes() == b"left behind"

    def test_second_restore_is_refused(self, shop: Path) -> None:
        """Given the same backup once more, then it is told from other ledgers; with --replace the archive stays the same file."""
        lose(shop)
        first = restore(shop)
        identity = Path(first["archive"]).stat().st_ino
        (problem,) = refused(program("audit", "restore", "../backup.db", *WHY, "--json", cwd=shop))
        assert problem["kind"] == "already_restored"
        second = restore(shop, "--replace")
        assert second["id"] != first["id"]
        assert Path(second["archive"]).stat().st_ino == identity

    def test_other_backup_of_the_same_ledger_keeps_the_first_archive(self, shop: Path) -> None:
        """Given a later backup of the same ledger, then the archive of the first one is kept under another name."""
        shutil.copyfile(shop.parent / "backup.db", shop.parent / "early.db")
        assert program("audit", "backup", "../backup.db", "--force", cwd=shop).returncode == 0
        lose(shop)
        early = value_of(program("audit", "restore", "../early.db", *WHY, "--json", cwd=shop), "audit-restore")
        before = digest_of(Path(early["archive"]))
        late = restore(shop, "--replace")
        assert late["continues"]["events"] > early["continues"]["events"]
        kept = list(ledger_of(shop).parent.glob("ledger.????????.db.replaced-*"))
        assert [digest_of(path) for path in kept] == [before]
        Path(late["archive"]).chmod(0o600)
        Path(late["archive"]).write_text("damaged")
        restore(shop, "--replace")
        assert len(list(ledger_of(shop).parent.glob("ledger.????????.db.replaced-*"))) == 2

    def test_run_that_is_on_keeps_its_ledger(self, shop: Path) -> None:
        """Given a pipeline whose lock is held, then nothing is moved, and the exit code is 4."""
        before = digest_of(ledger_of(shop))
        with (shop / ".orchestrate" / "locks" / "shop.lock").open("r+") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            (problem,) = refused(program("audit", "restore", "../backup.db", *WHY, "--json", "--replace", cwd=shop), 4)
        assert "pipeline shop is active" in problem["message"]
        assert digest_of(ledger_of(shop)) == before

    def test_two_at_once(self, shop: Path) -> None:
        """Given somebody who is making a ledger there at that moment, then nothing is moved, and the exit code is 4."""
        before = digest_of(ledger_of(shop))
        with making_lock(ledger_of(shop)):
            (problem,) = refused(program("audit", "restore", "../backup.db", *WHY, "--json", "--replace", cwd=shop), 4)
        assert "somebody else is making or restoring the ledger" in problem["message"]
        assert digest_of(ledger_of(shop)) == before

    @pytest.mark.parametrize(
        "mark", [b"", b"\xff", b"../ledger.db.replaced-x\n", b"ledger.db.replaced-x/y\n", b"other\n"]
    )
    def test_mark_that_says_nothing(self, shop: Path, mark: bytes) -> None:
        """Given a mark of restoring that this program has not written, then it has no say in where things are moved to."""
        lose(shop)
        restoring_mark(ledger_of(shop)).write_bytes(mark)
        Path(f"{ledger_of(shop)}-wal").write_bytes(b"left behind")
        assert (
            refused(program("audit", "restore", "../backup.db", *WHY, "--json", cwd=shop))[0]["kind"] == "ledger_exists"
        )
        (moved,) = restore(shop, "--replace")["moved"]
        assert Path(moved).parent == ledger_of(shop).parent
        assert Path(moved).name.startswith("ledger.db.replaced-2")

    def test_what_was_moved_aside_before_stays(self, shop: Path) -> None:
        """Given a mark of one that was interrupted, and somebody who has put another log there since, then both are kept."""
        lose(shop)
        aside = Path(f"{ledger_of(shop)}.replaced-1-wal")
        aside.write_bytes(b"first")
        Path(f"{ledger_of(shop)}-wal").write_bytes(b"second")
        restoring_mark(ledger_of(shop)).write_text("ledger.db.replaced-1\n")
        (moved,) = restore(shop, "--replace")["moved"]
        assert (aside.read_bytes(), Path(moved).read_bytes()) == (b"first", b"second")

    def test_interrupted_one_goes_on(self, shop: Path, tmp_path: Path) -> None:
        """Given one that ended after the archive was put there, then calling it again uses that archive."""
        lose(shop)
        with LedgerReader(tmp_path / "backup.db") as reader:
            place = archive_path(ledger_of(shop), ledger_identity(reader.connection, "backup"))
        shutil.copyfile(tmp_path / "backup.db", place)
        place.chmod(0o400)
        identity = place.stat().st_ino
        assert Path(restore(shop)["archive"]).stat().st_ino == identity

    def test_ledger_that_appears_meanwhile_is_kept(
        self, shop: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
    ) -> None:
        """Given somebody who makes a ledger at that moment, then it stays and the command says so."""

        def appeared(path: Path, *_: object, **__: object) -> None:
            raise LedgerExistsError(str(path))

        lose(shop)
        monkeypatch.chdir(shop)
        monkeypatch.setattr(restoring, "begin_ledger", appeared)
        with pytest.raises(UsageRefusedError, match="somebody else made one meanwhile"):
            restoring.restore(tmp_path / "backup.db", None, None, checkpoints=(), reason="x", replace=False)


class TestBackupThatIsNone:
    """What cannot be restored from."""

    @pytest.mark.parametrize(
        ("file", "kind", "code"),
        [
            ("nowhere.db", "no_backup", 2),
            (".orchestrate/ledger.db", "same_file", 2),
            ("pipeline.toml", "foreign_file", 3),
        ],
    )
    def test_other_files(self, shop: Path, file: str, kind: str, code: int) -> None:
        """Given no file, the ledger itself, or something else, then each has its message."""
        (problem,) = refused(program("audit", "restore", file, *WHY, "--json", cwd=shop), code)
        assert problem["kind"] == kind

    def test_bare_copy_with_a_log(self, shop: Path, tmp_path: Path) -> None:
        """Given a copy of a ledger in use, then it is not taken for all of it."""
        (tmp_path / "backup.db-wal").write_bytes(b"more")
        lose(shop)
        (problem,) = refused(program("audit", "restore", "../backup.db", *WHY, "--json", cwd=shop))
        assert problem["kind"] == "not_folded"

    def test_damaged_backup(self, shop: Path, tmp_path: Path) -> None:
        """Given an event that was changed in the backup, then the exit code is 3, and nothing was made."""
        with closing(sqlite3.connect(tmp_path / "backup.db")) as connection:
            ((sql,),) = connection.execute("SELECT sql FROM sqlite_schema WHERE name = 'events_immutable'").fetchall()
            connection.execute("DROP TRIGGER events_immutable")
            connection.execute("UPDATE events SET body = replace(body, '2026-01-01', '2026-01-02') WHERE seq = 2")
            connection.execute(sql)
            connection.commit()
        lose(shop)
        (problem,) = refused(program("audit", "restore", "../backup.db", *WHY, "--json", cwd=shop), 3)
        assert "event 2: its text is not what its hash covers" in problem["message"]
        assert not list(ledger_of(shop).parent.glob("ledger*"))

    @pytest.mark.parametrize("reason", ["", "  ", "x" * 20_000])
    def test_reason_that_says_nothing(self, shop: Path, reason: str) -> None:
        """Given no reason worth the name, then it is refused before anything is looked at."""
        done = program("audit", "restore", "../backup.db", "--json", "--reason", reason, cwd=shop)
        assert refused(done)[0]["kind"] == "usage"

    def test_secrets_in_the_reason_are_masked(self, shop: Path) -> None:
        """Given a reason with a secret of a pipeline in the backup, then it is not recorded, wherever the value stands now."""
        lose(shop)
        why = f"key {SECRET} leaked, so did other-secret-99"
        command = ("audit", "restore", "../backup.db", "--reason", why)
        assert program(*command, cwd=shop, env={"API_KEY": "other-secret-99"}).returncode == 0
        (created,) = data_of(ledger_of(shop), "ledger.created")
        assert created["reason"] == "key *** leaked, so did ***"
        assert SECRET.encode() not in ledger_of(shop).read_bytes()

    def test_events_are_json_of_one_form(self, shop: Path) -> None:
        """Given a restored ledger, then its first events are canonical, as all are."""
        lose(shop)
        restore(shop)
        for row in rows_of(ledger_of(shop), "events"):
            body = str(row[1])
            assert json.dumps(json.loads(body), sort_keys=True, separators=(",", ":"), ensure_ascii=False) == body
        assert os.listdir(shop / ".orchestrate")  # noqa: PTH208
