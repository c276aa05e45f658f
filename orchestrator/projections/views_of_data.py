"""The view of who touched which data: the one that questions of governance are asked of."""

from __future__ import annotations

from orchestrator.projections.view_form import RUN, View

DATA_USE = View(
    "audit_data_use",
    "Which attempt touched which data: one row for each dataset that an attempt of a step could read or write, with the class that the data counts as "
    "and with the definition that says so, as of the start or resume that the attempt belongs to.",
    {
        **RUN,
        "step": ("text", "Name of the step."),
        "attempt": ("integer", "Number of the attempt, from 1."),
        "use": ("text", "reads or writes."),
        "dataset": ("text", "Name of the dataset."),
        "classification": (
            "text",
            "public, internal, confidential or personal; empty where neither it nor what it is made of has a class.",
        ),
        "inherited": ("integer", "1 where the definition gives it no class, and it has that of what it is made of."),
        "layer": ("text", "Its layer, such as raw, bronze, silver, gold."),
        "owner": ("text", "Who answers for it."),
        "retention": ("text", "How long it is to be kept, as the definition says it."),
        "declassifies": ("text", "What the step says that makes a lower class of its output right."),
        "status": ("text", "How the attempt ended: succeeded, no_new_data, failed or cancelled; running before."),
        "started_at": ("text", "When the attempt was recorded to start, UTC."),
        "started_by": ("text", "The user who started or resumed the run, as claimed by the host."),
        "definition": ("text", "Digest of the definition; its text is the blob of that digest."),
        "declared_at": (
            "text",
            "When a run of this pipeline first met that definition; empty where a former ledger has that.",
        ),
        "declared_by": ("text", "The user of that run, as claimed by the host."),
        "git_commit": ("text", "Commit of the definition's folder in that run; empty outside of a repository."),
        "first_seq": ("integer", "Place of the event `attempt.started`."),
    },
    """
WITH starts (run_id, pipeline, night, graph, definition, user, seq, until) AS (
    SELECT r.run_id, r.pipeline, r.night, json_extract(e.data, '$.graph'), json_extract(e.data, '$.definition'),
        json_extract(e.data, '$.actor.user'), e.seq, lead(e.seq) OVER (PARTITION BY r.run_id ORDER BY e.seq)
    FROM runs r JOIN events e ON e.stream = 'run/' || r.run_id
    WHERE e.type IN ('run.started', 'run.resumed')
),
texts (run_id, pipeline, night, graph, definition, user, seq, until, digest) AS (
    SELECT b.run_id, b.pipeline, b.night, CAST(g.bytes AS TEXT), CAST(f.bytes AS TEXT), b.user, b.seq, b.until, b.definition
    FROM starts b JOIN blobs g ON g.digest = b.graph LEFT JOIN blobs f ON f.digest = b.definition
)
SELECT b.run_id, b.pipeline, b.night, a.step, a.attempt, u.value, d.value,
    coalesce(
        json_extract(b.graph, '$.datasets."' || d.value || '".classification'),
        json_extract(b.graph, '$.datasets."' || d.value || '".inherits')),
    json_extract(b.graph, '$.datasets."' || d.value || '".inherits') IS NOT NULL,
    json_extract(b.graph, '$.datasets."' || d.value || '".layer'),
    json_extract(b.definition, '$.datasets."' || d.value || '".owner'),
    json_extract(b.definition, '$.datasets."' || d.value || '".retention'),
    json_extract(b.definition, '$.steps."' || a.step || '".declassifies'),
    a.status, a.started_at, b.user, b.digest, c.recorded_at, json_extract(c.actor, '$.user'), json_extract(c.git, '$.commit'),
    a.started_seq
FROM texts b
-- In this order: a step is looked up among the attempts, not an attempt among the steps.
CROSS JOIN json_each(b.graph, '$.steps') s
CROSS JOIN attempts a ON a.run_id = b.run_id AND a.step = json_extract(s.value, '$.step')
    AND a.started_seq > b.seq AND a.started_seq < coalesce(b.until, a.started_seq + 1)
JOIN json_each('["reads","writes"]') u
JOIN json_each(s.value, '$.' || u.value) d
LEFT JOIN definitions c ON c.seq = (SELECT max(seq) FROM definitions WHERE after = b.digest AND seq < b.seq)
""",
    "first_seq, use, dataset",
    "first_seq",
)
