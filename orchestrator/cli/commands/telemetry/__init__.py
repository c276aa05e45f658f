"""
`orchestrate telemetry`: what goes out about runs.

A command is a click command in a module of this package; its function returns an exit code or None.
"""

from __future__ import annotations

from orchestrator.cli.lazy_group import LazyGroup

COMMANDS: dict[str, str] = {
    "replay": "Send what runs had to say again, from the ledger.",
}
"""Every command with its short description, in the order of the help."""

EXAMPLES = """\b
Examples:
  orchestrate telemetry replay --since 2026-01-01
"""

command = LazyGroup(
    "telemetry",
    descriptions=COMMANDS,
    help="Send traces, metrics and logs of runs to a collector.",
    epilog=EXAMPLES,
    package="orchestrator.cli.commands.telemetry",
)
