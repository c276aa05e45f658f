"""The read models of plain runs, made from the events by SQL alone: what making them event by event is measured beside."""

from __future__ import annotations

SQL = """
INSERT INTO runs
SELECT substr(s.stream, 5), s.data ->> 'pipeline', s.data ->> 'night', f.data ->> 'status', f.data ->> 'exit_code', s.at, f.at,
    f.data ->> 'duration_us', s.data ->> 'trigger', s.data -> 'actor', s.data ->> 'reason', s.data ->> 'definition', s.data ->> 'graph',
    s.data -> 'selection', s.data -> 'git', f.data -> 'root_cause', f.data -> 'counts', s.seq, f.seq
FROM e AS s JOIN e AS f ON f.stream = s.stream AND f.type = 'run.finished' WHERE s.type = 'run.started' ORDER BY s.seq;

INSERT INTO steps
SELECT r.run_id, g.value ->> 'step', g.key, f.data ->> 'status', f.data ->> 'reason',
    nullif(f.data -> 'evidence', '{}'), f.data ->> 'error_class', coalesce(f.data ->> 'attempts', 0), f.data ->> 'duration_us',
    f.data -> 'outputs', NULL, f.seq
FROM runs AS r JOIN blobs AS b ON b.digest = r.graph CROSS JOIN json_each(CAST(b.bytes AS TEXT), '$.steps') AS g
CROSS JOIN e AS f ON f.stream = 'run/' || r.run_id AND f.type = 'step.finished' AND f.step = g.value ->> 'step';

INSERT INTO attempts
SELECT substr(s.stream, 5), s.step, s.data ->> 'attempt', f.data ->> 'status', s.data ->> 'reason', coalesce(s.data -> 'evidence', '{}'),
    s.data ->> 'key', s.data -> 'components', s.at, f.at, f.data ->> 'reason', f.data ->> 'error_class', f.data ->> 'message',
    f.data ->> 'exit_code', f.data ->> 'signal', f.data ->> 'duration_us', f.data ->> '$.log.path', f.data ->> '$.log.bytes',
    f.data ->> '$.log.lines', f.data ->> '$.log.sha256', f.data -> 'metrics', f.data -> 'masked', s.data ->> 'waited_us', s.seq, f.seq
FROM e AS s JOIN e AS f ON f.stream = s.stream AND f.type = 'attempt.finished' AND f.step = s.step
    AND f.data ->> 'attempt' = s.data ->> 'attempt'
WHERE s.type = 'attempt.started';

INSERT INTO baselines
SELECT r.pipeline, f.step, '', r.run_id, f.data ->> 'attempts', f.data ->> 'key', f.data -> 'outputs', 0, r.run_id, f.data ->> 'attempts'
FROM e AS f JOIN runs AS r ON r.run_id = substr(f.stream, 5)
WHERE f.type = 'step.finished' AND f.seq IN (SELECT max(seq) FROM e WHERE type = 'step.finished' GROUP BY step);

INSERT INTO pipelines
SELECT data ->> 'pipeline', data ->> 'definition_path', data ->> 'definition' FROM e
WHERE seq = (SELECT max(seq) FROM e WHERE type = 'run.started');

INSERT INTO definitions
SELECT seq, data ->> 'pipeline', at, data ->> 'before', data ->> 'after', data -> 'changes', data ->> 'definition_path', data -> 'git',
    data -> 'actor'
FROM e WHERE type = 'definition.changed';
"""
"""One statement a table; `e` holds what is asked of the events, taken out of their texts once."""

TAKEN_OUT = """
CREATE TEMP TABLE e AS
SELECT seq, stream, type, recorded_at AS at, data, json_extract(data, '$.step') AS step FROM events;

CREATE INDEX temp.e_by_step ON e (stream, type, step);
"""
