"""Verifying a ledger together with those that it continues: each is one file, and the next one's first event says how it ended."""

from __future__ import annotations

import sqlite3
from pathlib import Path

import attrs

from ledger.audit.checkpoints import Given, Trust
from ledger.audit.findings import Problem
from ledger.audit.verdict import Options, Verdict
from ledger.audit.verify import verify
from ledger.chain import Former, former_ledgers
from ledger.errors import LedgerError, LedgerNotFoundError, ProofError
from ledger.reader import LedgerReader
from ledger.verifier import open_checkpoint


def verify_chain(path: Path, options: Options) -> Verdict:
    """
    Verify the ledger at *path* and every ledger that it continues; what is wrong with one of those is a finding of the first.

    Keys and checkpoints of a former ledger are known by its origin, and count for it alone: whoever has a backup can go on from it, so a former key
    that is pinned without one of the present ledger is a gap.

    Raises:
        As `ledger.audit.verify.verify`.
    """
    formers = _formers(path)
    origins = {former.continues.origin for former in formers}
    trust = options.trust
    own = Trust(
        [key for key in trust.keys if key.name not in origins],
        [given for given in trust.checkpoints if _origin(given) not in origins],
        trust.witnesses,
        [key for key in trust.keys if key.name in origins],
        [given for given in trust.checkpoints if _origin(given) in origins],
    )
    verdict = verify(path, attrs.evolve(options, trust=own))
    found, problems = [], list(verdict.problems)
    for former in formers:
        origin = former.continues.origin
        brought = Trust(
            [key for key in trust.keys if key.name == origin],
            [given for given in trust.checkpoints if _origin(given) == origin],
        )
        told = attrs.evolve(options, projections=(), trust=brought, declared=_declared(former))
        judged = _judged(former, told)
        if isinstance(judged, Verdict):
            found.append(attrs.evolve(judged, lost=former.continues.lost))
        wrong = judged if isinstance(judged, str) else _wrong(former, judged)
        if wrong is not None:
            problems.append(Problem(0, "former_ledger", wrong, None))
    return attrs.evolve(verdict, formers=found, problems=problems)


def _formers(path: Path) -> list[Former]:
    try:
        with LedgerReader(path) as reader:
            return former_ledgers(path.resolve(), reader.connection)
    except LedgerNotFoundError:
        raise
    except (LedgerError, sqlite3.Error, UnicodeDecodeError):
        return []  # Verifying it says what is wrong; SQLite's own message may be no text.


def _declared(former: Former) -> int:
    """Return how many events the former ledger had, as the one after it says."""
    last = (former.continues.lost or {}).get("last")
    return last + 1 if isinstance(last, int) else 0


def _judged(former: Former, options: Options) -> Verdict | str:
    if former.problem is not None:
        return former.problem
    try:
        return verify(former.path, options)
    except LedgerError as error:
        return str(error)


def _wrong(former: Former, verdict: Verdict) -> str | None:
    told = former.continues
    if verdict.problems:
        first = verdict.problems[0]
        return f"{former.path.name} has {len(verdict.problems)} problems, the first: {first.kind}, {first.detail}"
    if (verdict.events, verdict.root.hex()) != (told.size, told.root):
        return (
            f"{former.path.name} has {verdict.events} events with the root {verdict.root.hex()};"
            f" the ledger after it says {told.size} with {told.root}"
        )
    return None


def _origin(given: Given) -> str | None:
    try:
        return open_checkpoint(given.text)[0].origin
    except ProofError:
        return None
