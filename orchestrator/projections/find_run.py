"""Which run a person means by an id, a prefix of one, `latest` or `latest:PIPELINE`; each mistake has its own message."""

from __future__ import annotations

import re
import sqlite3

_WORD = r"[A-Za-z0-9][A-Za-z0-9_.-]{0,199}"
_SHOWN_AT_MOST = 5


class RunLookupError(Exception):
    """
    Raised when a word means no run, or more than one.

    Attributes:
        kind: `unknown_run`, `ambiguous_run`, `other_pipeline`, `no_runs`, `bad_run_id`, `unknown_pipeline`, `unknown_step`, `reproduction` or `former_run`.
    """

    def __init__(self, kind: str, message: str) -> None:
        self.kind = kind
        super().__init__(message)


def find_run(connection: sqlite3.Connection, word: str, *, pipeline: str | None = None) -> str:
    """
    Return the id of the run that *word* means.

    Args:
        pipeline: The run has to be of this one; `latest` is then its newest.

    Raises:
        RunLookupError: Says which of the ways of not finding it this is, and what to type to find it.
    """
    name, _, of_pipeline = word.partition(":")
    if name == "latest":
        return _latest(connection, of_pipeline or pipeline, stated=bool(of_pipeline))
    if not re.fullmatch(_WORD, word):
        shown = ascii(word[:60])
        raise RunLookupError("bad_run_id", f"not a run id: {shown}; type an id, the beginning of one, or latest")
    rows = connection.execute(
        "SELECT run_id, pipeline FROM runs WHERE run_id >= ?1 AND run_id < ?2"
        " UNION ALL SELECT run_id, pipeline FROM reproductions WHERE run_id >= ?1 AND run_id < ?2 ORDER BY run_id LIMIT ?3",
        (word, word + "\U0010ffff", _SHOWN_AT_MOST + 1),
    ).fetchall()
    exact = [row for row in rows if row[0] == word]
    found = exact or rows
    if not found:
        raise RunLookupError("unknown_run", f"no run {word} in this ledger; `orchestrate runs` lists them")
    if len(found) > 1:
        ids = ", ".join(row[0] for row in found[:_SHOWN_AT_MOST])
        more = ", …" if len(found) > _SHOWN_AT_MOST else ""
        raise RunLookupError("ambiguous_run", f"{word} is the beginning of several runs: {ids}{more}; type more of it")
    run_id, of = found[0]
    _check_pipeline(run_id, of, pipeline)
    return str(run_id)


def _check_pipeline(run_id: str, of: str, pipeline: str | None) -> None:
    if pipeline is not None and of != pipeline:
        raise RunLookupError("other_pipeline", f"run {run_id} is of pipeline {of}, not of {pipeline}")


def find_own_run(connection: sqlite3.Connection, word: str, pipeline: str) -> str:
    """Return what `find_run` does; a run of another pipeline than *pipeline*, also where *word* names that one, and a reproduction are refused."""
    run_id = find_run(connection, word, pipeline=pipeline)
    refuse_reproduction(connection, run_id)
    (of,) = connection.execute("SELECT pipeline FROM runs WHERE run_id = ?", (run_id,)).fetchone()
    _check_pipeline(run_id, str(of), pipeline)
    return run_id


def refuse_reproduction(connection: sqlite3.Connection, run_id: str) -> None:
    """
    Make sure that the run *run_id* is one of its pipeline.

    Raises:
        RunLookupError: It is one that ran another one again.
    """
    from orchestrator.projections.reproductions import reproduced

    original = reproduced(connection, run_id)
    if original is not None:
        message = f"run {run_id} is no night of its pipeline: it reproduces run {original}"
        raise RunLookupError("reproduction", f"{message}; `orchestrate reproduce {original}` does that again")


def check_step(connection: sqlite3.Connection, run_id: str, step: str) -> str:
    """
    Return *step* if the run *run_id* has it.

    Raises:
        RunLookupError: It has not: a step that the run's definition lacks is not defined, never skipped.
    """
    known = [
        row[0] for row in connection.execute("SELECT step FROM steps WHERE run_id = ? ORDER BY position", (run_id,))
    ]
    if step in known:
        return step
    import difflib

    near = difflib.get_close_matches(step, known, n=1)
    hint = (
        f"; did you mean {near[0]}?"
        if near
        else f"; it has {', '.join(known[:_SHOWN_AT_MOST])}{', …' if len(known) > _SHOWN_AT_MOST else ''}"
    )
    raise RunLookupError("unknown_step", f"step {ascii(step[:60])[1:-1]} is not defined in run {run_id}{hint}")


def _latest(connection: sqlite3.Connection, pipeline: str | None, *, stated: bool) -> str:
    if pipeline is None:
        row = connection.execute("SELECT run_id FROM runs ORDER BY first_seq DESC LIMIT 1").fetchone()
    else:
        row = connection.execute(
            "SELECT run_id FROM runs WHERE pipeline = ? ORDER BY first_seq DESC LIMIT 1", (pipeline,)
        ).fetchone()
    if row is not None:
        return str(row[0])
    if pipeline is None:
        raise RunLookupError("no_runs", "this ledger holds no run yet; `orchestrate run` makes one")
    known = [name for (name,) in connection.execute("SELECT DISTINCT pipeline FROM runs ORDER BY pipeline")]
    if stated and known:
        raise RunLookupError(
            "unknown_pipeline", f"no run of a pipeline {pipeline[:60]!a}; this ledger has {', '.join(known)}"
        )
    raise RunLookupError("no_runs", f"this ledger holds no run of {pipeline[:60]!a} yet; `orchestrate run` makes one")
