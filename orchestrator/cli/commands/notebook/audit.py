"""`orchestrate notebook audit`: see `orchestrator.cli.notebooks.running`."""

from __future__ import annotations

from orchestrator.cli.notebooks.running import notebook_command

command = notebook_command("audit")
