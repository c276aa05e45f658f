"""
`orchestrate notebook`: the shipped notebooks, executed against a ledger or copied to be edited.

A command is a click command in a module of this package; its function returns an exit code or None.
"""

from __future__ import annotations

from orchestrator.cli.lazy_group import LazyGroup

COMMANDS: dict[str, str] = {
    "audit": "Execute the notebook of an auditor: evidence, manual actions, failures, missing nights.",
    "reproducibility": "Execute the notebook of what made the results: definitions, code, environments, verdicts.",
    "history": "Execute the notebook of the run history: nights, durations, one run, data, retries.",
    "copy": "Write a notebook to edit.",
}
"""Every command with its short description, in the order of the help."""

EXAMPLES = """\b
Examples:
  orchestrate notebook history --html history.html
  orchestrate notebook audit --ledger /mnt/copy/ledger.db --html audit.html
  orchestrate notebook copy history mine.ipynb
"""

command = LazyGroup(
    "notebook",
    descriptions=COMMANDS,
    help="Execute a notebook against a ledger, or copy one to edit.",
    epilog=EXAMPLES,
    package="orchestrator.cli.commands.notebook",
)
