"""The tables `runs`, `steps`, `attempts` and their companions, as SQL; what fills them is `read_models`."""

from __future__ import annotations

NAME = "orchestrator"
"""Under which the ledger knows these tables."""

VERSION = 5
"""Raised when the tables or what they hold change; they are then made anew."""

TABLES = (
    "runs",
    "steps",
    "attempts",
    "reproductions",
    "verdicts",
    "baselines",
    "pipelines",
    "definitions",
    "refusals",
    "acceptances",
    "notes",
    "acknowledgements",
    "moves",
    "anchorings",
    "carried_attempts",
    "carried_pipelines",
)

SCRIPT = """
CREATE TABLE runs (
    run_id TEXT PRIMARY KEY,
    pipeline TEXT NOT NULL,
    night TEXT NOT NULL,
    status TEXT NOT NULL,
    exit_code INTEGER,
    started_at TEXT NOT NULL,
    finished_at TEXT,
    duration_us INTEGER,
    trigger TEXT NOT NULL,
    actor TEXT NOT NULL,
    reason TEXT,
    definition TEXT NOT NULL,
    graph TEXT NOT NULL,
    selection TEXT NOT NULL,
    git TEXT,
    root_cause TEXT,
    counts TEXT,
    first_seq INTEGER NOT NULL,
    last_seq INTEGER
) STRICT;

CREATE INDEX runs_by_pipeline ON runs (pipeline, first_seq);

CREATE INDEX runs_by_start ON runs (first_seq);

CREATE TABLE steps (
    run_id TEXT NOT NULL,
    step TEXT NOT NULL,
    position INTEGER NOT NULL,
    status TEXT NOT NULL,
    reason TEXT,
    evidence TEXT,
    error_class TEXT,
    attempts INTEGER NOT NULL DEFAULT 0,
    duration_us INTEGER,
    outputs TEXT,
    retry_at TEXT,
    finished_seq INTEGER,
    PRIMARY KEY (run_id, step)
) STRICT, WITHOUT ROWID;

CREATE TABLE attempts (
    run_id TEXT NOT NULL,
    step TEXT NOT NULL,
    attempt INTEGER NOT NULL,
    status TEXT NOT NULL,
    start_reason TEXT NOT NULL,
    start_evidence TEXT NOT NULL,
    key TEXT NOT NULL,
    components TEXT NOT NULL,
    started_at TEXT NOT NULL,
    finished_at TEXT,
    reason TEXT,
    error_class TEXT,
    message TEXT,
    exit_code INTEGER,
    signal INTEGER,
    duration_us INTEGER,
    log TEXT,
    log_bytes INTEGER,
    log_lines INTEGER,
    log_sha256 TEXT,
    metrics TEXT,
    masked TEXT,
    waited_us INTEGER,
    started_seq INTEGER NOT NULL,
    finished_seq INTEGER,
    PRIMARY KEY (run_id, step, attempt)
) STRICT, WITHOUT ROWID;

CREATE TABLE reproductions (
    run_id TEXT PRIMARY KEY,
    pipeline TEXT NOT NULL,
    night TEXT NOT NULL,
    status TEXT NOT NULL,
    exit_code INTEGER,
    started_at TEXT NOT NULL,
    finished_at TEXT,
    duration_us INTEGER,
    trigger TEXT NOT NULL,
    actor TEXT NOT NULL,
    reason TEXT,
    definition TEXT NOT NULL,
    graph TEXT NOT NULL,
    selection TEXT NOT NULL,
    git TEXT,
    root_cause TEXT,
    counts TEXT,
    first_seq INTEGER NOT NULL,
    last_seq INTEGER,
    reproduces TEXT NOT NULL
) STRICT;

CREATE INDEX reproductions_by_run ON reproductions (reproduces);

CREATE TABLE verdicts (
    seq INTEGER PRIMARY KEY,
    pipeline TEXT NOT NULL,
    run_id TEXT NOT NULL,
    reproduction TEXT,
    recorded_at TEXT NOT NULL,
    verdict TEXT NOT NULL,
    first_step TEXT,
    first_dataset TEXT,
    steps TEXT NOT NULL,
    causes TEXT NOT NULL,
    left_out TEXT NOT NULL,
    trusted TEXT NOT NULL,
    reason TEXT,
    actor TEXT NOT NULL
) STRICT;

CREATE INDEX verdicts_by_run ON verdicts (run_id);

CREATE TABLE baselines (
    pipeline TEXT NOT NULL,
    step TEXT NOT NULL,
    night TEXT NOT NULL,
    run_id TEXT,
    attempt INTEGER,
    key TEXT,
    outputs TEXT,
    accepted INTEGER NOT NULL DEFAULT 0,
    last_run_id TEXT NOT NULL,
    last_attempt INTEGER NOT NULL,
    PRIMARY KEY (pipeline, step, night)
) STRICT, WITHOUT ROWID;

CREATE TABLE pipelines (
    pipeline TEXT PRIMARY KEY,
    definition_path TEXT NOT NULL,
    definition TEXT
) STRICT;

CREATE TABLE definitions (
    seq INTEGER PRIMARY KEY,
    pipeline TEXT NOT NULL,
    recorded_at TEXT NOT NULL,
    before TEXT,
    after TEXT NOT NULL,
    changes TEXT NOT NULL,
    definition_path TEXT NOT NULL,
    git TEXT,
    actor TEXT NOT NULL
) STRICT;

CREATE TABLE refusals (
    seq INTEGER PRIMARY KEY,
    pipeline TEXT NOT NULL,
    night TEXT,
    recorded_at TEXT NOT NULL,
    exit_code INTEGER NOT NULL,
    problems TEXT NOT NULL,
    definition_path TEXT NOT NULL,
    holder TEXT,
    actor TEXT NOT NULL
) STRICT;

CREATE TABLE acceptances (
    seq INTEGER PRIMARY KEY,
    pipeline TEXT NOT NULL,
    run_id TEXT NOT NULL,
    step TEXT NOT NULL,
    night TEXT NOT NULL,
    recorded_at TEXT NOT NULL,
    outputs TEXT NOT NULL,
    before TEXT NOT NULL,
    reason TEXT NOT NULL,
    actor TEXT NOT NULL
) STRICT;

CREATE TABLE notes (
    seq INTEGER PRIMARY KEY,
    pipeline TEXT NOT NULL,
    run_id TEXT NOT NULL,
    step TEXT,
    recorded_at TEXT NOT NULL,
    text TEXT NOT NULL,
    reason TEXT,
    actor TEXT NOT NULL
) STRICT;

CREATE INDEX notes_by_run ON notes (run_id);

CREATE TABLE acknowledgements (
    seq INTEGER PRIMARY KEY,
    pipeline TEXT NOT NULL,
    run_id TEXT NOT NULL,
    status TEXT NOT NULL,
    recorded_at TEXT NOT NULL,
    reason TEXT,
    actor TEXT NOT NULL
) STRICT;

CREATE INDEX acknowledgements_by_run ON acknowledgements (run_id);

CREATE TABLE moves (
    seq INTEGER PRIMARY KEY,
    pipeline TEXT NOT NULL,
    recorded_at TEXT NOT NULL,
    kind TEXT NOT NULL,
    before TEXT NOT NULL,
    after TEXT NOT NULL,
    reason TEXT,
    actor TEXT NOT NULL
) STRICT;

CREATE INDEX moves_by_pipeline ON moves (pipeline, seq);

CREATE TABLE anchorings (
    seq INTEGER PRIMARY KEY,
    pipeline TEXT NOT NULL,
    run_id TEXT NOT NULL,
    recorded_at TEXT NOT NULL,
    size INTEGER NOT NULL,
    root TEXT NOT NULL,
    anchors TEXT NOT NULL
) STRICT;

CREATE TABLE carried_attempts (
    run_id TEXT NOT NULL,
    step TEXT NOT NULL,
    attempt INTEGER NOT NULL,
    ledger TEXT NOT NULL,
    status TEXT NOT NULL,
    reason TEXT,
    key TEXT NOT NULL,
    components TEXT NOT NULL,
    PRIMARY KEY (run_id, step, attempt)
) STRICT, WITHOUT ROWID;

CREATE TABLE carried_pipelines (
    pipeline TEXT PRIMARY KEY,
    ledger TEXT NOT NULL,
    host TEXT
) STRICT;
"""
