"""
The questions that an auditor asks, as data: one SELECT over the views each.

`orchestrate audit query --canned NAME` answers them on the command line, `orchestrate audit serve` offers them in the browser.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple


class Question(NamedTuple):
    """
    A question with its SELECT.

    Attributes:
        title: What is asked, in a few words.
        description: How to read the answer.
    """

    name: str
    title: str
    description: str
    sql: str


QUESTIONS: Mapping[str, Question] = {
    question.name: question
    for question in (
        Question(
            "who-ran-what",
            "Who ran what",
            "Every run, newest first: who started it, on which machine, how and why. Names are as the machine claimed them.",
            """
SELECT started_at, pipeline, night, status, user, login_user, sudo_user, host, trigger, reason, git_commit, run_id
FROM audit_runs ORDER BY first_seq DESC
""",
        ),
        Question(
            "failures-by-cause",
            "Failures by cause",
            "How often each step failed for each cause, the most frequent first; retried counts those that were attempted again.",
            """
SELECT pipeline, step, reason, error_class, exit_code, signal, count(*) AS failures, sum(final = 0) AS retried,
    count(DISTINCT run_id) AS runs, min(recorded_at) AS first, max(recorded_at) AS last
FROM audit_failures GROUP BY pipeline, step, reason, error_class, exit_code, signal ORDER BY failures DESC, last DESC
""",
        ),
        Question(
            "skips-with-evidence",
            "Skips with evidence",
            "Every step that was skipped, newest first, with what was compared.",
            "SELECT recorded_at, pipeline, night, step, reason, evidence, run_id, seq FROM audit_skips ORDER BY seq DESC",
        ),
        Question(
            "manual-actions",
            "Manual actions",
            "Everything that a person did, newest first, with the reason that was given.",
            """
SELECT recorded_at, action, pipeline, run_id, step, reason, user, login_user, sudo_user, host, terminal, details, seq
FROM audit_manual_actions ORDER BY seq DESC
""",
        ),
        Question(
            "unsealed-tail",
            "Unsealed tail",
            "The events after the last checkpoint: nothing but the file itself speaks for them. Empty where all is sealed.",
            "SELECT seq, recorded_at, stream, type, data FROM audit_unsealed ORDER BY seq",
        ),
        Question(
            "all-checkpoints",
            "Checkpoints",
            "Every checkpoint, newest first: how many events it seals, under which root, with how many signatures.",
            "SELECT recorded_at, size, root, signatures, note FROM audit_checkpoints ORDER BY id DESC",
        ),
        Question(
            "slowest-steps",
            "Slowest steps",
            "How long each step takes when it succeeds, the slowest first, in seconds.",
            """
SELECT pipeline, step, count(*) AS runs, round(avg(duration_seconds), 3) AS mean, round(max(duration_seconds), 3) AS longest,
    round(sum(duration_seconds), 3) AS total
FROM audit_steps WHERE status = 'succeeded' AND attempts > 0 GROUP BY pipeline, step ORDER BY mean DESC
""",
        ),
        Question(
            "refused-starts",
            "Refused starts",
            "Every start that was refused before anything ran, newest first, with its first problem.",
            """
SELECT recorded_at, pipeline, night, exit_code, problem, message, user, host, seq FROM audit_refusals ORDER BY seq DESC
""",
        ),
        Question(
            "overlaps",
            "Overlapping starts",
            "Every start that was refused because another run of the pipeline was active, newest first.",
            """
SELECT recorded_at, pipeline, night, user, host, active_run_id, active_pid, active_host, seq
FROM audit_overlaps ORDER BY seq DESC
""",
        ),
        Question(
            "definition-changes",
            "Changes of the definition",
            "Every change of a pipeline's definition, newest first, with the differences and the commit.",
            """
SELECT recorded_at, pipeline, differences, changes, git_commit, git_dirty, user, host, before, after, seq
FROM audit_definition_changes ORDER BY seq DESC
""",
        ),
        Question(
            "data-use",
            "Who touched which data",
            "Every dataset that steps read or wrote, the highest class first, with the nights and with what makes a lower class of the output right.",
            """
SELECT classification, pipeline, step, use, dataset, owner, declassifies, count(*) AS attempts, count(DISTINCT night) AS nights,
    min(night) AS first_night, max(night) AS last_night, max(started_at) AS last_started_at
FROM audit_data_use GROUP BY classification, pipeline, step, use, dataset, owner, declassifies
ORDER BY CASE classification WHEN 'personal' THEN 0 WHEN 'confidential' THEN 1 WHEN 'internal' THEN 2 WHEN 'public' THEN 3 ELSE 4 END,
    pipeline, step, use, dataset
""",
        ),
        Question(
            "nights-without-a-run",
            "Nights without a run",
            "Nights between the first and the last one of each pipeline for which nothing ran, due or not, newest first.",
            "SELECT pipeline, night FROM audit_missing_nights ORDER BY night DESC, pipeline",
        ),
        Question(
            "nights-not-good",
            "Nights that did not end well",
            "Nights whose last run neither succeeded nor had nothing to do, newest first.",
            """
SELECT pipeline, night, runs, last_status, last_started_at, last_run_id FROM audit_nights
WHERE last_status NOT IN ('succeeded', 'nothing_to_do') ORDER BY night DESC, pipeline
""",
        ),
    )
}
"""By name, in the order in which they are listed."""
