"""Tests of `orchestrate audit rebuild` as what somebody does to a ledger: held to its last seal, with a reason, while nothing runs, and sealed."""

from __future__ import annotations

import shutil
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from ledger.locks import KernelLock
from orchestrator.cli.audit.quiet import quiet
from orchestrator.cli.holding import reproductions_lock
from tests.nights import MART, SECRET, SHOP, Nights, write_shop
from tests.old_ledgers import digest_of
from tests.programs import data_of, ledger_of, program, refused, value_of

REASONED = MART.replace('name = "mart"\n', 'name = "mart"\n[audit]\nrequire_reason = true\n')


@pytest.fixture
def shop(tmp_path: Path, nights: Nights) -> Path:
    """Give a project whose ledger has a changed row."""
    shop = write_shop(tmp_path / "shop", SHOP)
    shutil.copytree(nights.ledger.parent, shop / ".orchestrate")
    change(shop)
    return shop


def change(shop: Path) -> None:
    """Change a row behind the program's back."""
    with closing(sqlite3.connect(ledger_of(shop), isolation_level=None)) as connection:
        connection.execute("UPDATE runs SET status = 'succeeded' WHERE status = 'failed'")


def test_it_is_sealed(shop: Path) -> None:
    """Given tables that were made anew, then the event that says so is covered by a checkpoint, in the ledger and beside it."""
    seq = value_of(program("audit", "rebuild", "--json", cwd=shop), "audit-rebuild")["seq"]
    verdict = value_of(program("audit", "verify", "--strict", "--json", cwd=shop), "audit-verify")
    assert (verdict["ok"], verdict["sealed"]) == (True, seq + 1)
    assert len(list(ledger_of(shop).parent.glob(f"checkpoints/*/*{seq + 1}.checkpoint"))) == 1


def test_ledger_that_was_turned_back_is_left_alone(shop: Path, tmp_path: Path) -> None:
    """Given an older copy in the ledger's place, which only the signer remembers, then nothing is done to it, and the exit code is 3."""
    config = {"XDG_CONFIG_HOME": str(tmp_path / "config")}
    older = ledger_of(shop).read_bytes()
    assert program("audit", "rebuild", cwd=shop).returncode == 0
    assert program("audit", "keygen", cwd=shop, env=config).returncode == 0
    ledger_of(shop).write_bytes(older)
    shutil.rmtree(ledger_of(shop).parent / "checkpoints")
    before = digest_of(ledger_of(shop))
    assert refused(program("audit", "rebuild", "--json", cwd=shop, env=config), 3)[0]["kind"] == "inconsistent"
    assert digest_of(ledger_of(shop)) == before


def test_run_that_is_on_is_let_finish(shop: Path) -> None:
    """Given a pipeline whose lock is held, or a run that is run again, then nothing is written, it is named, and the exit code is 4; looking is allowed."""
    before = digest_of(ledger_of(shop))
    lock = KernelLock(ledger_of(shop).parent / "locks" / "mart.lock")
    assert lock.acquire(holder={"run_id": "the-run"})
    try:
        (problem,) = refused(program("audit", "rebuild", "--json", cwd=shop), 4)
        assert program("audit", "rebuild", "--dry-run", cwd=shop).returncode == 3
    finally:
        lock.release()
    assert problem["message"].startswith("pipeline mart is active: run the-run writes to ")
    again = KernelLock(reproductions_lock(ledger_of(shop)))
    assert again.acquire(shared=True)
    try:
        (problem,) = refused(program("audit", "rebuild", "--json", cwd=shop), 4)
    finally:
        again.release()
    assert problem["message"].endswith("is being run again")
    assert digest_of(ledger_of(shop)) == before


def test_no_run_is_run_again_meanwhile(tmp_path: Path) -> None:
    """Given a ledger of which no run was ever run again, then the first reproduction is kept away as well."""
    ledger = tmp_path / "ledger.db"
    again = KernelLock(reproductions_lock(ledger))
    with quiet(ledger):
        assert not again.acquire(shared=True)
    assert again.acquire(shared=True)
    again.release()


def test_secrets_are_masked(shop: Path) -> None:
    """Given a reason with a secret of one of the pipelines, then it is recorded without; one that is too long is refused."""
    assert refused(program("audit", "rebuild", "--json", "--reason", "x" * 4001, cwd=shop))[0]["kind"] == "usage"
    assert program("audit", "rebuild", "--reason", f"4711, {SECRET}", cwd=shop).returncode == 0
    (rebuilt,) = data_of(ledger_of(shop), "ledger.rebuilt")
    assert rebuilt["reason"] == "4711, ***"


@pytest.mark.parametrize("harm", ["DELETE FROM pipelines", "DROP TABLE pipelines"])
def test_reason_is_asked_for_where_a_pipeline_requires_one(shop: Path, tmp_path: Path, harm: str) -> None:
    """Given one of two pipelines that requires reasons, then without one nothing is done, whatever was done to the tables that say so."""
    mart = tmp_path / "mart"
    mart.mkdir()
    (mart / "pipeline.toml").write_text(REASONED, encoding="utf-8")
    assert program("audit", "rebuild", cwd=shop).returncode == 0
    assert program("run", "-q", "--ledger", str(ledger_of(shop)), cwd=mart).returncode == 0
    with closing(sqlite3.connect(ledger_of(shop), isolation_level=None)) as connection:
        connection.execute(harm)
    before = digest_of(ledger_of(shop))
    (problem,) = refused(program("audit", "rebuild", "--json", cwd=shop))
    assert (problem["kind"], problem["message"].split()[:2]) == ("missing_reason", ["audit", "rebuild"])
    assert digest_of(ledger_of(shop)) == before
    assert program("audit", "rebuild", "--reason", "4711", cwd=shop).returncode == 0
