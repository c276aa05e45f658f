"""The statements behind the dataframes that are no view by themselves: events with their run, data with its size, metrics one by one."""

from __future__ import annotations

EVENTS = """
SELECT e.seq, e.recorded_at, r.run_id, r.pipeline, r.night, e.stream, e.version, e.type, e.data, e.leaf_hash
FROM audit_events e LEFT JOIN audit_runs r ON r.run_id = substr(e.stream, 5) AND e.stream LIKE 'run/%'
"""

DATASETS = """
WITH written (run_id, pipeline, night, step, attempt, use, dataset, digest, reported, at) AS (
    SELECT s.run_id, s.pipeline, s.night, s.step, s.attempts, 'writes', o.key, o.value,
        json_extract(f.data, '$.reported."' || o.key || '".rows'), coalesce(a.finished_at, d.recorded_at)
    FROM audit_steps s
    JOIN json_each(s.outputs) o
    LEFT JOIN audit_attempts a ON a.run_id = s.run_id AND a.step = s.step AND a.attempt = s.attempts
    LEFT JOIN events f ON f.seq = a.last_seq
    LEFT JOIN events d ON d.seq = s.seq
),
material (run_id, pipeline, night, step, attempt, components, at) AS (
    SELECT a.run_id, a.pipeline, a.night, a.step, a.attempt,
        coalesce((SELECT CAST(b.bytes AS TEXT) FROM blobs b WHERE b.digest = json_extract(e.data, '$.components.blob')),
            json_extract(e.data, '$.components')), a.started_at
    FROM audit_attempts a JOIN events e ON e.seq = a.first_seq
),
used AS (
    SELECT * FROM written
    UNION ALL
    SELECT m.run_id, m.pipeline, m.night, m.step, m.attempt, 'reads', i.key, i.value, NULL, m.at
    FROM material m JOIN json_each(m.components, '$.inputs') i
),
-- Each manifest is looked into once, however often it was met.
sizes (digest, files, bytes) AS MATERIALIZED (
    SELECT b.digest, count(f.value), coalesce(sum(json_extract(f.value, '$[1]')), 0)
    FROM (SELECT DISTINCT digest FROM used) u JOIN blobs b ON b.digest = u.digest
    LEFT JOIN json_each(CAST(b.bytes AS TEXT), '$.files') f
    GROUP BY b.digest
),
layers (graph, dataset, layer) AS MATERIALIZED (
    SELECT g.digest, d.key, json_extract(d.value, '$.layer')
    FROM (SELECT DISTINCT graph FROM runs) r JOIN blobs g ON g.digest = r.graph
    JOIN json_each(CAST(g.bytes AS TEXT), '$.datasets') d
)
SELECT u.run_id, u.pipeline, u.night, u.step, u.attempt, u.use, u.dataset, u.digest, s.files, s.bytes, u.reported, l.layer, u.at
FROM used u
LEFT JOIN sizes s ON s.digest = u.digest
LEFT JOIN runs r ON r.run_id = u.run_id
LEFT JOIN layers l ON l.graph = r.graph AND l.dataset = u.dataset
ORDER BY u.at, u.run_id, u.step, u.use, u.dataset
"""

METRICS = """
SELECT a.run_id, a.pipeline, a.night, a.step, a.attempt, NULL, m.key, CAST(m.atom AS REAL), a.finished_at
FROM audit_attempts a JOIN json_each(a.metrics) m
WHERE m.type IN ('integer', 'real', 'true', 'false')
UNION ALL
SELECT a.run_id, a.pipeline, a.night, a.step, a.attempt, d.key, m.key, CAST(m.atom AS REAL), a.finished_at
FROM audit_attempts a JOIN events e ON e.seq = a.last_seq
JOIN json_each(e.data, '$.reported') d JOIN json_each(d.value) m
WHERE m.type IN ('integer', 'real', 'true', 'false')
ORDER BY 9, 1, 4, 6, 7
"""

GRAPH = """
SELECT r.run_id, r.pipeline, s.key, json_extract(s.value, '$.step'), u.value
FROM runs r JOIN blobs g ON g.digest = r.graph JOIN json_each(CAST(g.bytes AS TEXT), '$.steps') s
LEFT JOIN json_each(s.value, '$.upstream') u
WHERE r.run_id IN (SELECT value FROM json_each(?))
ORDER BY r.first_seq, s.key, u.key
"""

COLUMNS = {
    "graph": {"run_id": "text", "pipeline": "text", "position": "integer", "step": "text", "upstream": "text"},
    "events": {
        "seq": "integer",
        "recorded_at": "text",
        "run_id": "text",
        "pipeline": "text",
        "night": "text",
        "stream": "text",
        "version": "integer",
        "type": "text",
        "data": "text",
        "leaf_hash": "text",
    },
    "datasets": {
        "run_id": "text",
        "pipeline": "text",
        "night": "text",
        "step": "text",
        "attempt": "integer",
        "use": "text",
        "dataset": "text",
        "digest": "text",
        "files": "integer",
        "bytes": "integer",
        "rows": "integer",
        "layer": "text",
        "recorded_at": "text",
    },
    "metrics": {
        "run_id": "text",
        "pipeline": "text",
        "night": "text",
        "step": "text",
        "attempt": "integer",
        "dataset": "text",
        "metric": "text",
        "value": "real",
        "recorded_at": "text",
    },
}
"""The columns of each of them, with the types that views have, in order."""
