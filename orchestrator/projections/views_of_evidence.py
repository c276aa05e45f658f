"""The views of the history itself and of what people did: events, checkpoints, refusals, changes, manual actions."""

from __future__ import annotations

from orchestrator.projections.view_form import RECORDED_AT, RUN, SEQ, WHO, View, who

_EVENT = {
    "seq": SEQ,
    "recorded_at": RECORDED_AT,
    "stream": ("text", "What it belongs to: `run/ID`, `pipeline/NAME` or `ledger`."),
    "version": ("integer", "Its place in the stream, from 0."),
    "type": ("text", "What happened, such as `run.started`; see the reference of events."),
    "data": ("text", "What belongs to the type, as JSON."),
}

EVENTS = View(
    "audit_events",
    "The history: one row for each event, in order, with the hash that proofs are made of.",
    {**_EVENT, "leaf_hash": ("text", "SHA-256 of a zero byte and the event's text, in hexadecimal.")},
    "SELECT seq, recorded_at, stream, version, type, data, lower(hex(leaf_hash)) FROM events",
    "seq",
)

CHECKPOINTS = View(
    "audit_checkpoints",
    "One row for each checkpoint: up to where it seals the history, and under which root.",
    {
        "id": ("integer", "Number of the checkpoint in this ledger."),
        "size": ("integer", "How many events it seals: those with seq 0 to size - 1."),
        "root": ("text", "Root of the tree over them, in hexadecimal."),
        "signatures": ("integer", "How many signatures its note carries; 0 for a root that nobody signed."),
        "note": ("text", "The note as it was handed out."),
        "recorded_at": ("text", "When it was taken, UTC."),
    },
    """
SELECT id, size, lower(hex(root)), (length(note) - length(replace(note, char(10) || '— ', ''))) / 3, note, recorded_at
FROM checkpoints
""",
    "id",
    None,
)

UNSEALED = View(
    "audit_unsealed",
    "The events after the last checkpoint: nothing but the file itself speaks for them yet.",
    _EVENT,
    """
SELECT seq, recorded_at, stream, version, type, data
FROM events WHERE seq >= (SELECT coalesce(max(size), 0) FROM checkpoints)
""",
    "seq",
)

REFUSALS = View(
    "audit_refusals",
    "One row for each start that was refused before anything ran, with every problem that was named.",
    {
        "seq": SEQ,
        "recorded_at": RECORDED_AT,
        "pipeline": RUN["pipeline"],
        "night": ("text", "The night that was asked for; empty where that was not known yet."),
        "exit_code": ("integer", "2, or 4 where another run was active."),
        "problem": ("text", "Kind of the first problem."),
        "message": ("text", "What the first problem says."),
        "problems": ("text", "All problems, as JSON."),
        "definition_path": ("text", "The definition, relative to the ledger's folder."),
        **WHO,
        "holder": ("text", "For a start that lost to an active run: that run, as JSON."),
        "actor": ("text", "Everything that the host claimed of who it was, as JSON."),
    },
    f"""
SELECT seq, recorded_at, pipeline, night, exit_code, json_extract(problems, '$[0].kind'), json_extract(problems, '$[0].message'),
    problems, definition_path, {who("actor")}, holder, actor
FROM refusals
""",  # noqa: S608 -- ours
    "seq",
)

OVERLAPS = View(
    "audit_overlaps",
    "One row for each start that was refused because another run of the pipeline was active.",
    {
        "seq": SEQ,
        "recorded_at": RECORDED_AT,
        "pipeline": RUN["pipeline"],
        "night": ("text", "The night that was asked for."),
        **WHO,
        "active_run_id": ("text", "The run that was active; empty where it had not said its id yet."),
        "active_pid": ("integer", "Its process."),
        "active_host": ("text", "Its machine."),
    },
    f"""
SELECT seq, recorded_at, pipeline, night, {who("actor")},
    json_extract(holder, '$.run_id'), json_extract(holder, '$.pid'), json_extract(holder, '$.host')
FROM refusals WHERE exit_code = 4 OR holder IS NOT NULL
""",  # noqa: S608 -- ours
    "seq",
)

DEFINITION_CHANGES = View(
    "audit_definition_changes",
    "One row for each time that a run met another definition than the last one: the differences, the commit, who was there.",
    {
        "seq": SEQ,
        "recorded_at": RECORDED_AT,
        "pipeline": RUN["pipeline"],
        "before": ("text", "Digest of the definition before; empty for the first one."),
        "after": ("text", "Digest of the definition from then on."),
        "differences": ("integer", "How many differences there are."),
        "changes": ("text", "The differences, as JSON: path, kind, before, after."),
        "definition_path": ("text", "The definition, relative to the ledger's folder."),
        "git_commit": ("text", "Commit of the definition's folder; empty outside of a repository."),
        "git_dirty": ("integer", "1 where that folder had uncommitted changes."),
        **WHO,
        "git": ("text", "Commit and state, as JSON."),
        "actor": ("text", "Everything that the host claimed of who it was, as JSON."),
    },
    f"""
SELECT seq, recorded_at, pipeline, before, after, json_array_length(changes), changes, definition_path,
    json_extract(git, '$.commit'), json_extract(git, '$.dirty'), {who("actor")}, git, actor
FROM definitions
""",  # noqa: S608 -- ours
    "seq",
)

MANUAL_ACTIONS = View(
    "audit_manual_actions",
    "One row for everything that a person did: runs started at a terminal, with --force or with a reason, runs that were resumed or "
    "cancelled or reproduced, accepted outputs, moved pipelines, notes, acknowledgements, and what was done to the ledger itself.",
    {
        "seq": SEQ,
        "recorded_at": RECORDED_AT,
        "action": (
            "text",
            "Type of the event: run.started, run.resumed, run.cancel_requested, run.reproduced, output.accepted, pipeline.moved, note.added, run.acknowledged, ledger....",
        ),
        "pipeline": ("text", "Name of the pipeline; empty for what was done to the ledger."),
        "run_id": ("text", "The run; empty where it is about none."),
        "step": ("text", "The step; empty where it is about none."),
        "night": ("text", "The night of the run; empty where it is about none."),
        "reason": ("text", "What was given as `--reason`."),
        "details": ("text", "What was done, as JSON or as the text of a note."),
        **WHO,
    },
    f"""
SELECT first_seq, started_at, 'run.started', pipeline, run_id, NULL, night, reason,
    json_object('trigger', trigger, 'selection', json(selection)), {who("actor")}
FROM runs WHERE trigger = 'terminal' OR reason IS NOT NULL OR json_extract(selection, '$.force')
UNION ALL
SELECT v.seq, v.recorded_at, 'run.reproduced', v.pipeline, v.run_id, NULL, r.night, v.reason,
    json_object('verdict', v.verdict, 'reproduction', v.reproduction), {who("v.actor")}
FROM verdicts v LEFT JOIN runs r ON r.run_id = v.run_id
UNION ALL
SELECT seq, recorded_at, 'output.accepted', pipeline, run_id, step, nullif(night, ''), reason,
    json_object('outputs', json(outputs), 'before', json(before)), {who("actor")}
FROM acceptances
UNION ALL
SELECT seq, recorded_at, 'pipeline.moved', pipeline, NULL, NULL, NULL, reason, json_object('before', before, 'after', after), {who("actor")}
FROM moves WHERE kind = 'definition'
UNION ALL
SELECT n.seq, n.recorded_at, 'note.added', n.pipeline, n.run_id, n.step, r.night, n.reason, n.text, {who("n.actor")}
FROM notes n LEFT JOIN runs r ON r.run_id = n.run_id
UNION ALL
SELECT k.seq, k.recorded_at, 'run.acknowledged', k.pipeline, k.run_id, NULL, r.night, k.reason, json_object('status', k.status),
    {who("k.actor")}
FROM acknowledgements k LEFT JOIN runs r ON r.run_id = k.run_id
UNION ALL
SELECT e.seq, e.recorded_at, e.type, r.pipeline, r.run_id, NULL, r.night, json_extract(e.data, '$.reason'),
    json_remove(e.data, '$.actor', '$.variables'), {who("json_extract(e.data, '$.actor')")}
FROM events e JOIN runs r ON r.run_id = json_extract(e.data, '$.run_id') WHERE e.type IN ('run.resumed', 'run.cancel_requested')
UNION ALL
SELECT seq, recorded_at, type, NULL, NULL, NULL, NULL, json_extract(data, '$.reason'), data, {who("json_extract(data, '$.actor')")}
FROM events WHERE stream = 'ledger'
""",  # noqa: S608 -- ours
    "seq",
)
