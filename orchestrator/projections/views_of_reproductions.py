"""The view of reproductions: which runs were run again, and what came of it."""

from __future__ import annotations

from orchestrator.projections.view_form import RUN, WHO, View, who

REPRODUCTIONS = View(
    "audit_reproductions",
    "One row for each time that a run was run again, or was to be: the verdict, and what differs first. The runs that did it stand in no other view.",
    {
        **RUN,
        "verdict": (
            "text",
            "identical, equivalent, different or not_reproducible; empty while it is on, or where it was ended early.",
        ),
        "first_step": ("text", "The first step that differs, in the order of the graph."),
        "first_dataset": ("text", "The first dataset of that step that differs."),
        "recorded_at": ("text", "When the verdict was recorded, UTC; empty where there is none."),
        "reproduction": ("text", "Id of the run that ran it again; empty where nothing could be started."),
        "status": ("text", "How that one ended, as in `audit_runs`; running where it is on or lost its orchestrator."),
        "started_at": ("text", "When that one started, UTC."),
        "finished_at": ("text", "When that one ended, UTC."),
        "duration_seconds": ("real", "Seconds of that one by the monotonic clock."),
        "steps": ("text", "Each step that was run again with its verdict and what differs, as JSON."),
        "causes": ("text", "Why it is not reproducible, as JSON."),
        "left_out": ("text", "Steps that were not run again, with the reason, as JSON."),
        "trusted": ("text", "Secrets whose value is not known to be the recorded one, as JSON."),
        "reason": ("text", "What was given as `--reason`."),
        **WHO,
        "seq": ("integer", "Place of the verdict, `run.reproduced`; where there is none, of the start."),
    },
    f"""
SELECT v.run_id, v.pipeline, r.night, v.verdict, v.first_step, v.first_dataset, v.recorded_at, v.reproduction, p.status, p.started_at,
    p.finished_at, p.duration_us / 1e6, v.steps, v.causes, v.left_out, v.trusted, v.reason, {who("v.actor")}, v.seq
FROM verdicts v LEFT JOIN runs r ON r.run_id = v.run_id LEFT JOIN reproductions p ON p.run_id = v.reproduction
UNION ALL
SELECT p.reproduces, p.pipeline, p.night, NULL, NULL, NULL, NULL, p.run_id, p.status, p.started_at,
    p.finished_at, p.duration_us / 1e6, NULL, NULL, NULL, NULL, p.reason, {who("p.actor")}, p.first_seq
FROM reproductions p WHERE NOT EXISTS (SELECT 1 FROM verdicts v WHERE v.run_id = p.reproduces AND v.reproduction = p.run_id)
""",  # noqa: S608 -- ours
    "seq",
)
