"""Pipelines of a few shell steps, and what is left of them, for the tests of the catalogue."""

from __future__ import annotations

import json
import os
from pathlib import Path

from orchestrator.runtime.ports import Launch
from tests.programs import Json, data_of, ledger_of, program, value_of

HEAD = '[pipeline]\nname = "p"\n'


def write(folder: Path, text: str = "", **shells: str) -> None:
    """Write a definition with a step for each of *shells*, each after the one before; *text* ends up in the table of the last one."""
    steps, needs = "", ""
    for name, shell in shells.items():
        steps += f"[steps.{name}]\nshell = {json.dumps(shell)}\n{needs}"
        needs = f'needs = ["{name}"]\nwhen = "always"\n'
    (folder / "pipeline.toml").write_text(f"{HEAD}{steps}{text}", encoding="utf-8")


def attempts(folder: Path) -> list[Json]:
    """Return how each attempt ended, in order."""
    return data_of(ledger_of(folder), "attempt.finished")


def verifies(folder: Path) -> bool:
    """Whether the ledger verifies."""
    return bool(value_of(program("audit", "verify", "--json", cwd=folder), "audit-verify", code=None)["ok"])


def log_of(folder: Path, name: str = "a.1") -> Path:
    """Return the log of an attempt of the only run."""
    (log,) = folder.glob(f".orchestrate/logs/*/{name}.log")
    return log


def launch(folder: Path, script: str, step: str = "a") -> Launch:
    """Return the start of a shell that runs *script*."""
    return Launch(
        step=step,
        attempt=1,
        argv=("sh", "-c", script),
        env={"PATH": os.environ["PATH"]},
        cwd=str(folder),
        log_path=folder / "logs" / f"{step}.1.log",
        log_limit_bytes=1 << 20,
        timeout_us=None,
        grace_us=200_000,
    )
