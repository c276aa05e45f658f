"""
Telling people without the outbox, where the ledger cannot be written or trusted.

That something was told is then kept as an empty file, beside the ledger or in the user's configuration folder, so that a timer that starts a broken pipeline each
minute tells it once a day. Where neither takes a file, it is told each time: better too often than never.
"""

from __future__ import annotations

import contextlib
import sqlite3
import time
from collections.abc import Sequence
from datetime import UTC, datetime
from hashlib import sha256
from pathlib import Path

from ledger.errors import LedgerError
from ledger.folders import make_private
from ledger.store import Ledger
from ledger.times import utc_now
from orchestrator.cli.alerting import ROUND_SECONDS, Say, message_of
from orchestrator.cli.keyring import config_folder
from orchestrator.cli.opening import is_of_another_user
from orchestrator.cli.reach import Reach
from orchestrator.core.alerts import Occasion, due_alerts
from orchestrator.core.events import event_data
from orchestrator.core.outbox import Row, outbox
from orchestrator.projections.alert_message import Message

_PREFIX = "told-"


def send_directly(reach: Reach, occasions: Sequence[Occasion], *, ledger: Ledger | None, say: Say) -> None:
    """
    Send what the rules ask for about *occasions* and what was not sent so today.

    Args:
        ledger: To read from, or None where it cannot be read.
    """
    now = datetime.now(UTC)
    pipeline = reach.pipeline
    until = time.monotonic() + ROUND_SECONDS
    for raised in due_alerts(pipeline.name, pipeline.alerts, occasions, ()):
        name = f"{_PREFIX}{now:%Y%m%d}-{sha256(f'{pipeline.name} {raised.alert}'.encode()).hexdigest()[:16]}"
        folders = [config_folder() / "alerts"]
        if not is_of_another_user(reach.ledger):
            folders.insert(0, reach.ledger.parent / "locks")
        if any((folder / name).exists() for folder in folders):
            continue
        (row,) = outbox([("alert.raised", event_data(raised), utc_now())]).values()
        left = until - time.monotonic()
        if left <= 0:
            return
        whose = None if ledger is None else ledger.ledger_id
        error = reach.send(raised.channel, _message(row, reach, ledger), round(left * 1e6), ledger_id=whose)
        if error is None:
            _remember(folders, name)
        else:
            say(f"warning: alert {raised.alert} was not delivered: {error}")


def _message(row: Row, reach: Reach, ledger: Ledger | None) -> Message:
    """Return the message of the alert *row*, as far as *ledger* can still be read."""
    try:
        return message_of(row, reach, ledger)
    except (LedgerError, sqlite3.Error):
        return message_of(row, reach, None)


def _remember(folders: Sequence[Path], name: str) -> None:
    """Leave an empty file *name* in the first of *folders* that takes one, and remove those of other days."""
    for folder in folders:
        with contextlib.suppress(OSError):
            make_private(folder)
            for old in folder.glob(f"{_PREFIX}*"):
                if not old.name.startswith(name[: len(_PREFIX) + 8]):
                    old.unlink()
            (folder / name).touch(0o600)
            return
