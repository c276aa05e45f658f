"""Tests of what the flights example tells people: a night that its gate refuses, and the repair."""

from __future__ import annotations

from datetime import date
from pathlib import Path

import pytest

from tests.examples.flights import KEY, Pipeline

pytestmark = pytest.mark.system

GOOD, BROKEN = date(2013, 2, 7), date(2013, 2, 8)


def test_broken_night_and_its_repair(tmp_path: Path) -> None:
    """Given a night whose file is damaged, then the mailbox has the gate's words and what waits behind it, and once the night is repaired, that all is well."""
    pipeline = Pipeline(tmp_path)
    mailbox = tmp_path / "mailbox.txt"
    pipeline.deliver(GOOD)
    pipeline.run(GOOD)
    assert not mailbox.exists()

    pipeline.deliver(BROKEN, broken=True)
    failed = pipeline.run(BROKEN, code=1)
    text = mailbox.read_text(encoding="utf-8")
    lines = text.splitlines()
    assert lines[0] == f"flights failed, night {BROKEN}: quality (exit)"
    assert f"flights of {BROKEN}: " in lines[1]
    assert "ask for the delivery again" in lines[1]
    assert lines[2] == "5 steps were skipped because of it"
    assert f"next: orchestrate logs {failed.result['run_id']} quality --pipeline {tmp_path}/pipeline.toml" in lines
    assert KEY not in text

    pipeline.deliver(BROKEN)
    pipeline.run(BROKEN)
    pipeline.run(BROKEN)
    told = [line for line in mailbox.read_text(encoding="utf-8").splitlines() if line.startswith("flights ")]
    assert told == [lines[0], f"flights is well again, night {BROKEN}"]
