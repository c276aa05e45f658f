"""What an auditor asks a history: how much of it is sealed, who did what, what failed of which cause, and the proof of one run."""

from __future__ import annotations

import json
from typing import Any, NamedTuple

import pandas as pd

from ledger.audit.verdict import Verdict
from ledger.errors import LedgerError
from ledger.evidence import Prover, covering_seal, known_seals
from orchestrator.core.printable import printable
from orchestrator.history.history import History
from orchestrator.projections.skip_reading import audit_skips


def sealing(events: pd.DataFrame, seals: pd.DataFrame) -> pd.DataFrame:
    """
    Return for each event of the present ledger how many events no checkpoint covered at that time, at its `recorded_at`.

    Args:
        events: With `ledger`, `seq` and `recorded_at`, in order.
        seals: The view `audit_checkpoints`.
    """
    own = events[events["ledger"] == events["ledger"].iloc[-1]] if len(events) else events
    sizes = seals[seals["ledger"].isin(own["ledger"].unique())].sort_values("recorded_at")
    counted = own.sort_values("recorded_at").assign(events=lambda frame: frame["seq"].astype("int64") + 1)
    covered = sizes.assign(sealed=sizes["size"].astype("int64").cummax())[["recorded_at", "sealed"]]
    moments = pd.concat([counted[["recorded_at", "events"]], covered]).sort_values("recorded_at", kind="stable")
    moments[["events", "sealed"]] = moments[["events", "sealed"]].ffill().fillna(0)
    moments["unsealed"] = (moments["events"] - moments["sealed"]).clip(lower=0)
    return pd.DataFrame(moments.reset_index(drop=True))


def outline(moments: pd.DataFrame, stretches: int) -> pd.DataFrame:
    """
    Return the `fewest` and the `most` events that nothing sealed in each of so many *stretches* of time, from `recorded_at` on, and what was left at the end.

    Fewer *moments* than that are returned one by one. The most alone would stay high where each night was sealed.
    """
    whole = len(moments) <= 2 * stretches
    stretch = moments.index if whole else pd.cut(moments["recorded_at"].astype("int64"), stretches, labels=False)
    found = moments.groupby(stretch).agg(
        recorded_at=("recorded_at", "min"), fewest=("unsealed", "min"), most=("unsealed", "max")
    )
    last = moments.tail(1).assign(fewest=moments["unsealed"], most=moments["unsealed"])
    return pd.concat([found, last[list(found.columns)]], ignore_index=True)


def seal_table(seals: pd.DataFrame) -> pd.DataFrame:
    """Return how many checkpoints each ledger of the chain has, over how many events, signed or not, and when the first and the last were taken."""
    grouped = seals.assign(signed=seals["signatures"] > 0).groupby("ledger", sort=False)
    return grouped.agg(
        checkpoints=("size", "size"),
        signed=("signed", "sum"),
        events_covered=("size", "max"),
        first_at=("recorded_at", "min"),
        last_at=("recorded_at", "max"),
    ).reset_index()


def actions_table(actions: pd.DataFrame) -> pd.DataFrame:
    """Return what people did by hand, the newest first: when, what, to which run, who and why."""
    who = actions["login_user"].fillna(actions["user"])
    as_whom = actions["user"].where(actions["user"] != who)
    return pd.DataFrame(
        {
            "recorded_at": actions["recorded_at"],
            "action": actions["action"],
            "pipeline": actions["pipeline"],
            "run_or_step": actions["run_id"].fillna("") + ("/" + actions["step"]).fillna(""),
            "who": who + (" as " + as_whom).fillna("") + (" on " + actions["host"]).fillna(""),
            "why": actions["reason"],
        }
    ).iloc[::-1]


def without_reason(actions: pd.DataFrame) -> pd.DataFrame:
    """Return which actions were done how often, and how often nobody said why."""
    grouped = actions.assign(no_reason=actions["reason"].isna()).groupby("action")
    return grouped.agg(times=("action", "size"), without_a_reason=("no_reason", "sum")).reset_index()


def causes(failures: pd.DataFrame) -> pd.DataFrame:
    """Return *failures* with a `cause` for people: the reason, with exit code or signal where there is one."""
    code = (" " + failures["exit_code"].astype("str")).where(failures["exit_code"].notna(), "")
    signal = (" by signal " + failures["signal"].astype("str")).where(failures["signal"].notna(), "")
    return failures.assign(cause=failures["reason"].fillna("unknown") + code + signal)


def masked_secrets(attempts: pd.DataFrame) -> pd.DataFrame:
    """Return for each night and secret how often it was masked in what steps printed or reported; names, never values."""
    columns = {"night": "datetime64[us]", "step": "str", "secret": "str", "times": "int64"}
    rows = [
        (night, step, name, count)
        for night, step, text in zip(attempts["night"], attempts["step"], attempts["masked"].fillna("{}"), strict=True)
        for name, count in json.loads(text).items()
    ]
    return pd.DataFrame(rows, columns=list(columns)).astype(columns)


class SkipCheck(NamedTuple):
    """Hold what came of recomputing every skip: how many there were, and what is wrong with any."""

    decided: int
    reported: int
    uncertified: int
    problems: list[str]
    pruned: int = 0

    def _repr_markdown_(self) -> str:
        told = f"{self.decided} skips were decided by the program and recomputed, {self.reported} were reported by the steps themselves"
        old = (
            f"; {self.uncertified} have no certificate, since an older program decided them" if self.uncertified else ""
        )
        if self.pruned:
            old += f"; {self.pruned} more cannot be recomputed: what they rested on was pruned, as events say"
        if not self.problems and self.pruned:
            return f"**No skip that can be recomputed is wrong.** {told}{old}."
        if not self.problems and not self.decided:
            return f"**There was no skip to recompute.** {told}{old}."
        if not self.problems:
            return f"**All skips are right.** {told}{old}."
        wrong = "\n".join(f"- {printable(item)}" for item in self.problems[:20])
        return f"**{len(self.problems)} problems.** {told}{old}.\n\n{wrong}"


def check_skips(history: History) -> SkipCheck:
    """Recompute every skip of the ledgers of *history* from what it rested on."""
    decided = reported = uncertified = pruned = 0
    problems = []
    for found in history.ledgers():
        audit, wrong = audit_skips(found.connection, lambda *_: None)
        decided, reported, uncertified = (
            decided + audit.checked,
            reported + audit.reported,
            uncertified + audit.uncertified,
        )
        pruned += audit.pruned
        problems += [f"event {seq}: {what}" for seq, what in wrong]
    return SkipCheck(decided, reported, uncertified, problems, pruned)


class Exhibit(NamedTuple):
    """
    Hold the evidence of one run.

    Attributes:
        events: Its events in order: `seq`, `recorded_at`, `type`, `step`, `leaf_hash`, and `hashes`, how many its proof has.
        checkpoint: The note that the proofs lead to.
        proof: That of its first event, as a C2SP tlog-proof.
        problem: Why there is no proof, or None.
    """

    run_id: str
    events: pd.DataFrame
    checkpoint: str
    proof: str
    problem: str | None

    def _repr_markdown_(self) -> str:
        if self.problem is not None:
            return f"**No proof of the run `{self.run_id}`:** {printable(self.problem)}"
        size = self.checkpoint.split("\n")[1]
        signed = "signed" if "\n\n" in self.checkpoint else "signed by nobody"
        return (
            f"**Proved**: each of the {len(self.events)} events of the run `{self.run_id}` stands in the tree of the first {size} events whose root "
            f"the checkpoint below names. The checkpoint is {signed}. `orchestrate audit prove --run {self.run_id}` writes the same as files that "
            "anybody can check with no ledger at hand."
        )


_EVENTS_OF_RUN = "SELECT seq, substr(recorded_at, 1, 23), type, json_extract(data, '$.step'), leaf_hash FROM audit_events WHERE stream = ? ORDER BY seq"


def exhibit(history: History, run_id: str) -> Exhibit:
    """Prove every event of the run *run_id* against the best checkpoint that covers all of them, and check each proof."""
    columns = ["seq", "recorded_at", "type", "step", "leaf_hash", "hashes"]
    rows: list[tuple[Any, ...]] = []
    for found in history.ledgers():
        rows = found.connection.execute(_EVENTS_OF_RUN, (f"run/{run_id}",)).fetchall()
        if not rows:
            continue
        seal = covering_seal(known_seals(found.connection, found.ledger_id), rows[-1][0] + 1)
        if seal is None:
            problem = "no checkpoint covers all of it yet: the next run seals it, or `orchestrate audit checkpoint`"
            return Exhibit(run_id, pd.DataFrame(rows, columns=columns[:-1]), "", "", problem)
        try:
            prover = Prover(found.connection, found.ledger_id, str(found.path), seal)
            proofs = [prover.proof(row[0], prover.body(row[0])) for row in rows]
        except LedgerError as error:
            return Exhibit(run_id, pd.DataFrame(rows, columns=columns[:-1]), "", "", str(error))
        lines = [(*row, len(proof.hashes)) for row, proof in zip(rows, proofs, strict=True)]
        return Exhibit(run_id, pd.DataFrame(lines, columns=columns), seal.note, proofs[0].text, None)
    return Exhibit(run_id, pd.DataFrame(rows, columns=columns[:-1]), "", "", "no ledger of the chain holds it")


_LEVELS = (
    "the file is a sound one, with the tables and guards of this program",
    "it agrees with itself: every place, hash, stream, time, blob and checkpoint",
    "a key that the auditor pinned has sealed it",
    "it continues what the auditor has seen before",
    "a witness that the auditor pinned has seen it",
)


def level_table(verdict: Verdict | None) -> pd.DataFrame:
    """Return each level of *verdict* with what it says and whether it is held; no row where nobody asked."""
    levels = {} if verdict is None else verdict.levels
    rows = [
        (f"L{level}", said, levels[level].replace("_", " ")) for level, said in enumerate(_LEVELS) if level in levels
    ]
    if verdict is not None:
        rows.append(("tables", "what is shown here is what the events give", verdict.projections.replace("_", " ")))
    return pd.DataFrame(rows, columns=["level", "says", "state"])


def problem_table(verdict: Verdict | None) -> pd.DataFrame:
    """Return what verifying found, in the order of the history."""
    problems = [] if verdict is None else verdict.problems
    rows = [(item.seq, item.kind, printable(item.detail)) for item in problems]
    return pd.DataFrame(rows, columns=["seq", "kind", "detail"]).astype(
        {"seq": "Int64", "kind": "str", "detail": "str"}
    )


def last_sealed_run(runs: pd.DataFrame, seals: pd.DataFrame) -> str:
    """Return the id of the last run that is over and that a checkpoint covers; empty where there is none."""
    covered = runs["ledger"].map(seals.groupby("ledger")["size"].max())
    sealed = runs[runs["last_seq"].notna() & (runs["last_seq"].astype("float64") < covered.astype("float64"))]
    return str(sealed["run_id"].iloc[-1]) if len(sealed) else ""
