"""What ties a page of figures to a history: a sentence on the checkpoint that they were read at, and on what stands behind it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from orchestrator.core.printable import printable


class Provenance:
    """Show where the figures of a page come from; made of the `attrs` of any dataframe of a `History`."""

    def __init__(self, facts: Mapping[Any, Any]) -> None:
        self.facts = facts

    @property
    def verdict(self) -> str:
        """What verifying has shown, in one sentence."""
        facts = self.facts
        if facts["verified"] is None:
            return "**Nobody verified it** for this page: `orchestrate audit verify` does."
        if not facts["verified"]:
            told = "; ".join(printable(str(item)) for item in facts["problems"])
            return f"**It does not verify**, and nothing below can be relied on: {told}."
        after = facts["size"] - facts["verified_size"]
        later = f"; {after} events came after them" if after else ""
        return (
            f"**It verifies**: level {facts['level']} over {facts['verified_size']} events{later}. "
            "No key was pinned for this page: that it agrees with itself is shown, who stands behind it is not."
        )

    def lines(self) -> list[str]:
        """Return the sentences, as Markdown."""
        facts = self.facts
        found = [
            f"Read at {facts['read_at'][:19]}Z from the ledger `{facts['origin']}`, which then had {facts['size']} events under the root `{facts['root']}`.",
            self.verdict,
        ]
        for former in facts["former"]:
            state = (
                f"is missing: {printable(str(former['problem']))}"
                if former["problem"]
                else f"has {former['size']} events under the root `{former['root']}`, "
                + {True: "and verifies", False: "and does **not** verify", None: "and was not verified"}[
                    former["verified"]
                ]
            )
            found.append(f"It continues `{former['origin']}`, which {state}.")
        return found

    def _repr_markdown_(self) -> str:
        return "\n\n".join(self.lines())

    def __repr__(self) -> str:
        return "\n".join(self.lines())
