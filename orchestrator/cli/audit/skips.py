"""`audit verify --skips`: every skip of a ledger, and of those that it continues, recomputed from what it rested on."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import attrs

from ledger.audit.findings import APART, KEPT_AT_MOST, Problem
from ledger.audit.verdict import Verdict
from ledger.reader import LedgerReader
from orchestrator.projections.skip_audit import SkipAudit
from orchestrator.projections.skip_reading import audit_skips

KIND = "wrong_skip"


@attrs.frozen
class Skips:
    """
    Hold how many skips were checked.

    Attributes:
        checked: Decided by the orchestrator.
        reported: By the steps themselves.
        uncertified: Of those checked, the ones of an older program, of which the key alone is known.
        pruned: Those that cannot be checked any more: what they rested on was pruned.
        wrong: How many problems there are.
        unread: Ledgers whose events do not verify, so that nothing can be told from them.
    """

    checked: int = 0
    reported: int = 0
    uncertified: int = 0
    pruned: int = 0
    wrong: int = 0
    unread: tuple[str, ...] = ()

    def as_json(self) -> dict[str, object]:
        """Return the fields."""
        return attrs.asdict(self) | {"unread": list(self.unread)}

    def lines(self) -> Iterator[str]:
        """Yield what people read."""
        if self.checked or self.reported or not self.unread:
            right = "all right" if not self.wrong else f"{self.wrong} {'is' if self.wrong == 1 else 'are'} wrong"
            yield f"skips: {self.checked} decided, {self.reported} reported by the steps themselves; {right}"
        if self.uncertified:
            yield f"  {self.uncertified} of an older program have no certificate: their keys alone were recomputed"
        if self.pruned:
            yield f"  {self.pruned} more cannot be recomputed: what they rested on was pruned, as events say"
        for name in self.unread:
            yield f"  not checked in {name}: its events do not verify"


def skips_checked(verdict: Verdict, watch: Callable[[int, int], None]) -> tuple[Verdict, Skips]:
    """Return *verdict* with the problems of skips, and how many were checked, in its ledger and in all that it continues."""
    counts = Skips()
    found: list[Problem] = []
    for part in (verdict, *verdict.formers):
        if part.level < 1:
            counts = attrs.evolve(counts, unread=(*counts.unread, part.path.name))
            continue
        audit, problems = _audited(part.path, watch)
        found += (
            problems
            if part is verdict
            else [item._replace(detail=f"{part.path.name}: {item.detail}") for item in problems]
        )
        counts = attrs.evolve(
            counts,
            checked=counts.checked + audit.checked,
            reported=counts.reported + audit.reported,
            uncertified=counts.uncertified + audit.uncertified,
            pruned=counts.pruned + audit.pruned,
        )
    more = max(0, len(found) - KEPT_AT_MOST)
    verdict = attrs.evolve(
        verdict,
        problems=[*verdict.problems, *found[:KEPT_AT_MOST]],
        more={**verdict.more, **({KIND: more} if more else {})},
    )
    return verdict, attrs.evolve(counts, wrong=len(found))


def _audited(path: Path, watch: Callable[[int, int], None]) -> tuple[SkipAudit, list[Problem]]:
    with LedgerReader(path) as reader:
        audit, found = audit_skips(reader.connection, watch)
    return audit, [Problem(seq, KIND, what, APART) for seq, what in found]
