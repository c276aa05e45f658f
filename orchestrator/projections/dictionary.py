"""
What each table of a ledger and each of their columns holds; the views describe themselves, see `views`.

`docs/reference/data-dictionary.md` and the pages of `orchestrate audit serve` are made from this.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

_COMMON = {
    "seq": "Place of the event that the row comes from.",
    "recorded_at": "When that event was recorded: UTC, ISO 8601 with microseconds.",
    "run_id": "The run.",
    "pipeline": "Name of the pipeline.",
    "night": "The night, an ISO date.",
    "step": "Name of the step.",
    "attempt": "Number of the attempt, from 1.",
    "actor": "Who did it, as JSON: user, login, sudo, host, terminal, unit; as claimed by the host.",
    "git": "Commit and state of the definition's folder, as JSON; empty outside of a repository.",
    "reason": "What was given as `--reason`.",
    "definition": "Digest of the definition; its text is the blob of that digest.",
    "definition_path": "The definition, relative to the ledger's folder.",
    "duration_us": "Microseconds by the monotonic clock.",
    "started_at": "When it was recorded to start, UTC.",
    "finished_at": "When it was recorded to end, UTC; empty before.",
    "error_class": "What kind of failure: transient, infrastructure, misuse, permanent.",
    "finished_seq": "Place of the event that ended it; empty before.",
}


class Table(NamedTuple):
    """
    A table.

    Attributes:
        description: What a row is.
        own: Meaning of the columns that mean something else here, or stand here alone.
    """

    description: str
    own: Mapping[str, str]

    def meaning(self, column: str) -> str:
        """Return what *column* holds."""
        return self.own.get(column) or _COMMON[column]


DICTIONARY: Mapping[str, Table] = {
    "events": Table(
        "The history, one row for each event; the truth, of which everything but `blobs` can be made anew. Never changed.",
        {
            "seq": "Place in the history, dense from 0; the leaf's index in the Merkle tree.",
            "body": "The event as canonical JSON (RFC 8785); every other column but leaf_hash is made from it.",
            "leaf_hash": "SHA-256 of a zero byte and the body's bytes.",
            "stream": "What it belongs to: `run/ID`, `pipeline/NAME` or `ledger`.",
            "version": "Its place in the stream, dense from 0.",
            "type": "What happened, such as `run.started`.",
            "type_version": "Version of the form of its data.",
            "recorded_at": "When it was recorded: UTC, ISO 8601 with microseconds.",
            "id": "A UUID of its own.",
            "data": "What belongs to the type, as JSON.",
        },
    ),
    "blobs": Table(
        "What events name by digest: definitions, graphs, manifests, large keys.",
        {"digest": "`sha256:` and the SHA-256 of the bytes.", "bytes": "The content."},
    ),
    "checkpoints": Table(
        "The seals: one row for each checkpoint.",
        {
            "id": "Number of the checkpoint in this ledger.",
            "size": "How many events it seals.",
            "root": "Root of the Merkle tree over them.",
            "note": "The signed note (C2SP), or an unsigned one.",
            "recorded_at": "When it was taken, UTC.",
        },
    ),
    "tree": Table(
        "Roots of complete subtrees: a cache that makes proofs fast, and nothing else.",
        {
            "level": "The subtree has 2^level leaves.",
            "position": "Which one of that level, from 0.",
            "hash": "Its root.",
        },
    ),
    "ledger_meta": Table(
        "One row: which ledger this is.",
        {
            "one": "Always 1.",
            "ledger": "Its random id, which every event carries.",
            "created_at": "When it was made, UTC.",
        },
    ),
    "projections": Table(
        "Which tables are kept beside the events.",
        {"name": "Of the projection.", "version": "Of its tables; another one makes them anew."},
    ),
    "runs": Table(
        "One row for each run, kept up to date while it runs.",
        {
            "night": "The night that the run is for, an ISO date.",
            "status": "running, succeeded, nothing_to_do, failed, timed_out, cancelled or interrupted.",
            "exit_code": "Of the orchestrator; empty while it runs, or where it died.",
            "trigger": "How it was started: terminal, systemd or unattended.",
            "graph": "Digest of the blob that holds its graph.",
            "selection": "The steps that were chosen, as JSON.",
            "root_cause": "The first failure, as JSON.",
            "counts": "How many steps ended in each status, as JSON.",
            "first_seq": "Place of its first event.",
            "last_seq": "Place of its last `run.finished`; empty while it runs.",
        },
    ),
    "steps": Table(
        "One row for each step of each run.",
        {
            "position": "Its place in the order of the graph, from 0.",
            "status": "pending, running, retrying, succeeded, failed, skipped or cancelled.",
            "reason": "Why it was skipped or failed.",
            "evidence": "What the reason rests on, as JSON.",
            "attempts": "How often it was attempted in this run.",
            "outputs": "Content digest of each dataset that it writes, as JSON.",
            "retry_at": "While it waits to be tried again: not before this time.",
        },
    ),
    "attempts": Table(
        "One row for each attempt of each step.",
        {
            "status": "running, succeeded, no_new_data, failed or cancelled.",
            "start_reason": "Why it ran.",
            "start_evidence": "What that rests on, as JSON.",
            "key": "Digest of everything that its result depends on.",
            "components": "What the key is made of, as JSON, or the blob that holds it.",
            "reason": "Why it failed.",
            "message": "What the step, or the machine, said of it.",
            "exit_code": "0 to 255; empty where a signal ended it or it never started.",
            "signal": "Number of the signal that ended it.",
            "log": "Its log, relative to the ledger's folder.",
            "log_bytes": "Bytes of the log.",
            "log_lines": "Lines of the log.",
            "log_sha256": "SHA-256 of the log.",
            "metrics": "What the step reported, as JSON.",
            "masked": "How often each secret was masked, as JSON by name.",
            "waited_us": "From the decision to the start: for a place and for shares of pools.",
            "started_seq": "Place of its `attempt.started`.",
        },
    ),
    "reproductions": Table(
        "One row for each run that ran another one again, in the columns of `runs`; it is none of its pipeline's runs.",
        {
            "night": "The night of the run that it reproduces.",
            "status": "running, succeeded, nothing_to_do, failed, timed_out, cancelled or interrupted.",
            "exit_code": "Of the run by itself, whatever the verdict; empty while it runs, or where it died.",
            "trigger": "How it was started: terminal, systemd or unattended.",
            "graph": "Digest of the blob that holds its graph.",
            "selection": "The steps that were run again, as JSON.",
            "root_cause": "The first failure, as JSON.",
            "counts": "How many steps ended in each status, as JSON.",
            "first_seq": "Place of its first event.",
            "last_seq": "Place of its `run.finished`; empty while it runs.",
            "reproduces": "The run that it ran again.",
        },
    ),
    "verdicts": Table(
        "One row for each verdict on a run that was run again, or was to be.",
        {
            "run_id": "The run that was to be had again.",
            "reproduction": "The run that ran it again; empty where nothing could be started.",
            "verdict": "identical, equivalent, different or not_reproducible.",
            "first_step": "The first step that differs, in the order of the graph.",
            "first_dataset": "The first dataset of that step that differs.",
            "steps": "Each step that was run again with its verdict and what differs, as JSON.",
            "causes": "Why it is not reproducible, as JSON.",
            "left_out": "Steps that were not run again, with the reason, as JSON.",
            "trusted": "Secrets whose value is not known to be the recorded one, as JSON.",
        },
    ),
    "baselines": Table(
        "One row for each step, and night where it is counted by night: what the next run compares with.",
        {
            "night": "The night that it is counted by, or empty text.",
            "run_id": "The run of its last success.",
            "attempt": "The attempt of its last success.",
            "key": "Key of its last success.",
            "outputs": "Content digests as it left them, as JSON.",
            "accepted": "1 where somebody has accepted the outputs since.",
            "last_run_id": "The run of its last attempt.",
            "last_attempt": "Its last attempt in that run.",
        },
    ),
    "pipelines": Table(
        "One row for each pipeline.",
        {"definition": "Digest of the definition that ran last."},
    ),
    "definitions": Table(
        "One row for each change of a definition.",
        {
            "before": "Digest of the definition before; empty for the first one.",
            "after": "Digest of the definition from then on.",
            "changes": "The differences, as JSON.",
        },
    ),
    "refusals": Table(
        "One row for each start that was refused before anything ran.",
        {
            "night": "The night that was asked for.",
            "exit_code": "2, or 4 where another run was active.",
            "problems": "Every problem, as JSON.",
            "holder": "For a start that lost to an active run: that run, as JSON.",
        },
    ),
    "acceptances": Table(
        "One row for each output that somebody has declared to be current.",
        {
            "night": "The night that the step is counted by, or empty text.",
            "outputs": "Content digests as they were accepted, as JSON.",
            "before": "Content digests as the step had left them, as JSON.",
        },
    ),
    "notes": Table(
        "One row for each note that somebody wrote.",
        {"step": "The step that it is about; empty for the whole run.", "text": "The note."},
    ),
    "acknowledgements": Table(
        "One row for each time that somebody said that a bad run is known.",
        {"status": "How the run had ended."},
    ),
    "moves": Table(
        "One row for each move of a pipeline, to another place or to another machine.",
        {
            "kind": "definition where it was moved on purpose, host where it ran on another machine.",
            "before": "The path, or the machine, before.",
            "after": "The path, or the machine, from then on.",
        },
    ),
    "anchorings": Table(
        "One row for each time that a checkpoint was handed to the places outside that are configured.",
        {
            "size": "How many events the checkpoint seals.",
            "root": "Its root, in hexadecimal.",
            "anchors": "Each place, and what came of it, as JSON.",
        },
    ),
    "carried_attempts": Table(
        "One row for each attempt of a former ledger that this one, which continues it, still compares with.",
        {
            "ledger": "Id of the former ledger.",
            "status": "How it ended; one without an end counts as failed.",
            "reason": "Why it failed; `lost` where it has no end.",
            "key": "Digest of its components.",
            "components": 'What its result depended on, as JSON; `{"blob": digest}` where it is large.',
        },
    ),
    "carried_pipelines": Table(
        "One row for each pipeline that a former ledger knew.",
        {
            "ledger": "Id of the former ledger.",
            "host": "The machine that its last run was started on; empty where there was none.",
        },
    ),
}
"""By name: the ledger's own first."""
