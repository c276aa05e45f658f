"""
`orchestrate audit`: what an auditor does, and what keeps the ledger fit to be audited.

A command is a click command in a module of this package; its function returns an exit code or None.
"""

from __future__ import annotations

from orchestrator.cli.lazy_group import LazyGroup

COMMANDS: dict[str, str] = {
    "verify": "Check that the history is complete and unaltered, and say how far that is shown.",
    "checkpoint": "Seal the ledger as it is now: sign its root and hand it out.",
    "keygen": "Make the key that signs checkpoints of this ledger, or one for a witness.",
    "rotate-key": "Replace the signing key by a new one, signed by both.",
    "cosign": "Witness a checkpoint with a key of your own.",
    "prove": "Write proofs for an event, or one bundle for a run.",
    "check-proof": "Check a proof or a bundle, with no ledger at hand.",
    "package": "Write the evidence of a period, with a sample and a cover page.",
    "query": "Ask the ledger one question in SQL, read only.",
    "export": "Write events or tables as files for other programs.",
    "scan": "Look for the values of secrets in what was kept.",
    "serve": "Open the ledger in the browser, read only.",
    "rebuild": "Make the tables anew from the events, and compare.",
    "backup": "Write one complete, verified copy of the ledger.",
    "restore": "Go on from a backup, in a new ledger that names what was lost.",
    "upgrade": "Bring an older ledger to the present format.",
}
"""Every command with its short description, in the order of the help."""

EXAMPLES = """\b
Examples:
  orchestrate audit verify
  orchestrate audit verify --key operator.vkey --checkpoint mine.checkpoint
  orchestrate audit query "SELECT * FROM audit_failures"
"""

command = LazyGroup(
    "audit",
    descriptions=COMMANDS,
    help="Verify the ledger, prove what it holds, and look into it.",
    epilog=EXAMPLES,
    package="orchestrator.cli.commands.audit",
)
