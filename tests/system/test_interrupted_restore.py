"""A restore that is killed at any step: the ledger is the old one, or nobody begins another one until restoring is called again and ends."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from ledger.chain import continues
from ledger.creation import restoring_mark
from ledger.errors import DamagedLedgerError
from ledger.reader import LedgerReader
from ledger.schema import ledger_identity
from ledger.store import open_ledger
from ledger.tree import ledger_size
from orchestrator.cli.audit.restoring import restore
from orchestrator.cli.errors import UsageRefusedError
from orchestrator.cli.holding import append_event
from orchestrator.cli.opening import open_to_write
from orchestrator.core.events import HostChanged
from orchestrator.projections.read_models import ReadModels
from tests.nights import write_shop
from tests.programs import ledger_of, program, refused

pytestmark = pytest.mark.system

KILLED_AT_EACH_STEP = """
import os, shutil, signal, sys
from pathlib import Path
from orchestrator.cli.audit.restoring import restore

template, folder = Path(sys.argv[1]), Path(sys.argv[2])
STEPS = ("os.rename", "os.link", "os.remove", "sqlite3.connect", "open")

def watch(steps):
    def hook(event, arguments):
        global steps_left
        if event not in STEPS or not any("ledger.db" in str(each) for each in arguments[:2]):
            return
        if event == "open" and not arguments[2] & os.O_CREAT:
            return
        if steps_left == 0:
            os.kill(os.getpid(), signal.SIGKILL)
        steps_left -= 1
    global steps_left
    steps_left = steps
    sys.addaudithook(hook)

status, number = 1, 0
while status:
    shutil.copytree(template, folder / str(number))
    child = os.fork()
    if not child:
        os.chdir(folder / str(number))
        watch(number)
        restore(folder.parent / "backup.db", None, None, checkpoints=(), reason="killed", replace=True)
        os._exit(0)
    _, status = os.waitpid(child, 0)
    assert status in (0, signal.SIGKILL), status
    number += 1
print(number)
"""


@pytest.fixture
def shop(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Give a project with a backup, and a ledger that has one more event, which stands in its log alone."""
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    shop = write_shop(tmp_path / "shop")
    assert program("run", "--quiet", cwd=shop).returncode == 0
    assert program("audit", "backup", "../backup.db", cwd=shop).returncode == 0
    ledger, log = ledger_of(shop), Path(f"{ledger_of(shop)}-wal")
    with open_ledger(ledger, projections=[ReadModels()]) as store:
        append_event(store, "pipeline/shop", HostChanged("shop", "a", "b", {}))
        shutil.copyfile(log, tmp_path / "log")
        shutil.copyfile(ledger, tmp_path / "ledger")
    shutil.copyfile(tmp_path / "log", log)
    shutil.copyfile(tmp_path / "ledger", ledger)
    return shop


def what_is_in(ledger: Path) -> tuple[str, int]:
    """Return id and size of *ledger*."""
    with LedgerReader(ledger) as reader:
        return ledger_identity(reader.connection, str(ledger)), ledger_size(reader.connection)


@pytest.mark.slow
def test_killed_at_each_step(shop: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Given a kill before each step on the disk, then the old ledger is whole or none is begun; the second call ends with one new one and the old one aside."""
    former = what_is_in(shop_copy := ledger_of(Path(shutil.copytree(shop, tmp_path / "look"))))
    assert former[1] == what_is_in(tmp_path / "backup.db")[1] + 1, shop_copy
    (tmp_path / "killed").mkdir()
    command = [sys.executable, "-c", KILLED_AT_EACH_STEP, str(shop), str(tmp_path / "killed")]
    total = int(subprocess.run(command, check=True, capture_output=True, text=True, timeout=300).stdout)
    assert total > 10
    found = []
    for number in range(total):
        folder = tmp_path / "killed" / str(number)
        ledger = ledger_of(folder)
        monkeypatch.chdir(folder)
        try:
            open_to_write(ledger).close()
            found.append("old" if what_is_in(ledger) == former else "new")
        except DamagedLedgerError:
            found.append("refused")
            assert not ledger.exists()
        if found[-1] == "new":
            with pytest.raises(UsageRefusedError, match="it was restored before"):
                restore(tmp_path / "backup.db", None, None, checkpoints=(), reason="again", replace=False)
        else:
            restore(tmp_path / "backup.db", None, None, checkpoints=(), reason="again", replace=ledger.exists())
        with LedgerReader(ledger) as reader:
            told = continues(reader.connection)
        assert told is not None
        assert told.ledger == former[0]
        aside = [
            path for path in ledger.parent.glob("ledger.db.replaced-*") if not path.name.endswith(("-wal", "-shm"))
        ]
        assert [what_is_in(path) for path in aside] == [former], (number, found[-1])
        assert not restoring_mark(ledger).exists()
    assert found == sorted(found, key=["old", "refused", "new"].index)
    assert set(found) == {"old", "refused", "new"}


def test_run_in_between_begins_nothing(shop: Path, tmp_path: Path) -> None:
    """Given a restore that was interrupted when the old ledger was aside, then a run is refused, says what to do, and makes no ledger."""
    ledger = ledger_of(shop)
    former = what_is_in(ledger)
    aside = ledger.with_name("ledger.db.replaced-20260101T000000Z")
    ledger.rename(aside)
    Path(f"{ledger}-wal").rename(f"{aside}-wal")
    for path in ledger.parent.glob("ledger.db-*"):
        path.unlink()
    restoring_mark(ledger).write_text(f"{aside.name}\n", encoding="utf-8")
    (problem,) = refused(program("run", "--json", cwd=shop), 3)
    assert "call `orchestrate audit restore` again" in problem["message"]
    assert "ledger.db.restoring names what stood here before" in problem["message"]
    assert not ledger.exists()
    done = program("audit", "restore", str(tmp_path / "backup.db"), "--reason", "again", cwd=shop)
    assert done.returncode == 0
    assert f"moved:     {aside}\n" in done.stdout
    assert what_is_in(aside) == former
    assert program("run", "--quiet", cwd=shop).returncode == 0
