"""The views of what ran: runs, steps, attempts, skips, failures, nights."""

from __future__ import annotations

from orchestrator.projections.view_form import RECORDED_AT, RUN, SEQ, WHO, View, who

_DURATION = ("real", "Seconds by the monotonic clock; empty while it runs, or where the orchestrator died.")
_ATTEMPT = {"step": ("text", "Name of the step."), "attempt": ("integer", "Number of the attempt, from 1.")}
_ENDING = {
    "reason": (
        "text",
        "Why it failed: exit, signal, timeout, not_started, bad_result, missing_output, reported, lost, ...",
    ),
    "error_class": ("text", "What kind of failure: transient, infrastructure, misuse, permanent."),
    "message": ("text", "What the step, or the machine, said of it."),
    "exit_code": ("integer", "0 to 255; empty where a signal ended it or it never started."),
    "signal": ("integer", "Number of the signal that ended it."),
}

RUNS = View(
    "audit_runs",
    "Who ran what: one row for each run, with who started it, where, why, from which definition and how it ended.",
    {
        **RUN,
        "status": ("text", "running, succeeded, nothing_to_do, failed, timed_out, cancelled or interrupted."),
        "exit_code": ("integer", "Of the orchestrator; empty while it runs, or where it died."),
        "started_at": ("text", "When it was recorded to start, UTC."),
        "finished_at": ("text", "When it was recorded to end, UTC; empty while it runs."),
        "duration_seconds": _DURATION,
        "trigger": ("text", "How it was started: terminal, systemd or unattended."),
        **WHO,
        "reason": ("text", "What was given as `--reason`."),
        "forced": ("integer", "1 where `--force` ran steps that had nothing new to do."),
        "selection": ("text", "The steps that were chosen, as JSON: only, from, until, omit, force."),
        "definition": ("text", "Digest of the definition; its text is the blob of that digest."),
        "git_commit": ("text", "Commit of the definition's folder; empty outside of a repository."),
        "git_dirty": ("integer", "1 where that folder had uncommitted changes."),
        "failed_step": ("text", "The step that failed first."),
        "failure": ("text", "Why that step failed."),
        "counts": ("text", "How many steps ended in each status, as JSON."),
        "first_seq": ("integer", "Place of its first event, `run.started`."),
        "last_seq": ("integer", "Place of its `run.finished`; empty while it runs."),
    },
    f"""
SELECT run_id, pipeline, night, status, exit_code, started_at, finished_at, duration_us / 1e6, trigger,
    {who("actor")},
    reason, json_extract(selection, '$.force'), selection, definition,
    json_extract(git, '$.commit'), json_extract(git, '$.dirty'),
    json_extract(root_cause, '$.step'), json_extract(root_cause, '$.reason'), counts, first_seq, last_seq
FROM runs
""",  # noqa: S608 -- ours
    "first_seq",
    "first_seq",
)

STEPS = View(
    "audit_steps",
    "One row for each step of each run: its final status and why.",
    {
        **RUN,
        "step": ("text", "Name of the step."),
        "position": ("integer", "Its place in the order of the graph, from 0."),
        "status": ("text", "pending, running, retrying, succeeded, failed, skipped or cancelled."),
        "reason": ("text", "Why it was skipped or failed; empty for a plain success."),
        "evidence": ("text", "What the reason rests on, as JSON."),
        "error_class": ("text", "What kind of failure: transient, infrastructure, misuse, permanent."),
        "attempts": ("integer", "How often it was attempted in this run."),
        "duration_seconds": ("real", "Seconds of its last attempt."),
        "outputs": ("text", "Content digest of each dataset that it writes, as JSON."),
        "retry_at": ("text", "While it waits to be tried again: not before this time, UTC."),
        "seq": ("integer", "Place of its `step.finished`; empty before."),
    },
    """
SELECT s.run_id, r.pipeline, r.night, s.step, s.position, s.status, s.reason, s.evidence, s.error_class, s.attempts,
    s.duration_us / 1e6, s.outputs, s.retry_at, s.finished_seq
FROM steps s JOIN runs r ON r.run_id = s.run_id
""",
    "run_id, position",
)

ATTEMPTS = View(
    "audit_attempts",
    "One row for each attempt of each step: why it ran, how it ended, and the digest of its log.",
    {
        **RUN,
        **_ATTEMPT,
        "status": ("text", "running, succeeded, no_new_data, failed or cancelled."),
        **_ENDING,
        "started_at": ("text", "When it was recorded to start, UTC."),
        "finished_at": ("text", "When it was recorded to end, UTC."),
        "duration_seconds": _DURATION,
        "waited_seconds": (
            "real",
            "Seconds from the decision to the start: for a place and for shares of pools; empty where it did not wait.",
        ),
        "start_reason": (
            "text",
            "Why it ran: never_succeeded, last_attempt_failed, forced, changed, output_changed, ...",
        ),
        "start_evidence": ("text", "What that rests on, as JSON."),
        "key": ("text", "Digest of everything that its result depends on."),
        "log": ("text", "Its log, relative to the ledger's folder; empty where nothing was printed."),
        "log_bytes": ("integer", "Bytes of the log."),
        "log_lines": ("integer", "Lines of the log."),
        "log_sha256": ("text", "SHA-256 of the log."),
        "metrics": ("text", "What the step reported, as JSON."),
        "masked": ("text", "How often each secret was masked, as JSON by name."),
        "first_seq": ("integer", "Place of its `attempt.started`."),
        "last_seq": ("integer", "Place of its `attempt.finished`; empty before."),
    },
    """
SELECT a.run_id, r.pipeline, r.night, a.step, a.attempt, a.status, a.reason, a.error_class, a.message, a.exit_code, a.signal,
    a.started_at, a.finished_at, a.duration_us / 1e6, a.waited_us / 1e6, a.start_reason, a.start_evidence, a.key, a.log, a.log_bytes, a.log_lines,
    a.log_sha256, a.metrics, a.masked, a.started_seq, a.finished_seq
FROM attempts a JOIN runs r ON r.run_id = a.run_id
""",
    "run_id, step, attempt",
    "first_seq",
)

SKIPS = View(
    "audit_skips",
    "One row for each step that was skipped, with the reason and the evidence that it rests on.",
    {
        **RUN,
        "step": ("text", "Name of the step."),
        "reason": (
            "text",
            "no_new_data, up_to_date, upstream_failed, upstream_skipped, not_selected, input_untrusted, ...",
        ),
        "evidence": ("text", "What was compared, as JSON: digests, the upstream step."),
        "recorded_at": RECORDED_AT,
        "seq": SEQ,
    },
    """
SELECT s.run_id, r.pipeline, r.night, s.step, s.reason, s.evidence,
    (SELECT e.recorded_at FROM events e WHERE e.seq = s.finished_seq), s.finished_seq
FROM steps s JOIN runs r ON r.run_id = s.run_id
WHERE s.status = 'skipped'
""",
    "seq",
)

FAILURES = View(
    "audit_failures",
    "One row for each attempt that failed, and for each step that failed without one, with the cause.",
    {
        **RUN,
        "step": ("text", "Name of the step."),
        "attempt": ("integer", "Number of the attempt; empty where the step failed without one."),
        **_ENDING,
        "final": ("integer", "1 where the step failed with it; 0 where it was attempted again."),
        "log": ("text", "Its log, relative to the ledger's folder."),
        "recorded_at": RECORDED_AT,
        "seq": SEQ,
    },
    """
SELECT a.run_id, r.pipeline, r.night, a.step, a.attempt, a.reason, a.error_class, a.message, a.exit_code, a.signal,
    s.status = 'failed' AND a.attempt = s.attempts, a.log, a.finished_at, a.finished_seq
FROM attempts a JOIN runs r ON r.run_id = a.run_id JOIN steps s ON s.run_id = a.run_id AND s.step = a.step
WHERE a.status = 'failed'
UNION ALL
SELECT s.run_id, r.pipeline, r.night, s.step, NULL, s.reason, s.error_class, NULL, NULL, NULL, 1, NULL,
    (SELECT e.recorded_at FROM events e WHERE e.seq = s.finished_seq), s.finished_seq
FROM steps s JOIN runs r ON r.run_id = s.run_id
WHERE s.status = 'failed' AND NOT EXISTS (
    SELECT 1 FROM attempts a WHERE a.run_id = s.run_id AND a.step = s.step AND a.status = 'failed')
""",
    "seq",
)

NIGHTS = View(
    "audit_nights",
    "One row for each pipeline and night that has a run: how often it ran and how the last run ended.",
    {
        "pipeline": RUN["pipeline"],
        "night": ("text", "The night, an ISO date."),
        "runs": ("integer", "How many runs there were for it."),
        "good_runs": ("integer", "How many of them succeeded or had nothing to do."),
        "last_run_id": ("text", "The run that was started last."),
        "last_status": ("text", "How that one ended."),
        "last_started_at": ("text", "When that one started, UTC."),
        "last_finished_at": ("text", "When that one ended, UTC."),
        "last_first_seq": ("integer", "Place of its first event."),
    },
    """
SELECT pipeline, night, count(*), sum(status IN ('succeeded', 'nothing_to_do')), run_id, status, started_at, finished_at,
    max(first_seq)
FROM runs GROUP BY pipeline, night
""",
    "pipeline, night",
    None,
)

MISSING_NIGHTS = View(
    "audit_missing_nights",
    "One row for each night without a run, between the first and the last night of a pipeline, whether a schedule made it due or not: a view knows no calendar."
    " `orchestrate status`, `History.missing_nights` and the notebooks name those alone that were due by the recorded schedule.",
    {"pipeline": RUN["pipeline"], "night": ("text", "The night, an ISO date.")},
    """
WITH RECURSIVE days (pipeline, night, last) AS (
    SELECT pipeline, min(night), max(night) FROM runs GROUP BY pipeline
    UNION ALL
    SELECT pipeline, date(night, '+1 day'), last FROM days WHERE night < last
)
SELECT pipeline, night FROM days WHERE night <= last
EXCEPT
SELECT pipeline, night FROM runs
""",
    "pipeline, night",
    None,
)
