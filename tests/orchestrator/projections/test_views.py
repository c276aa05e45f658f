"""Tests of the views: what an auditor sees is what was recorded, and a view that was changed to hide something is damage."""

from __future__ import annotations

import re
import sqlite3
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing
from pathlib import Path

import pytest

from ledger import open_ledger
from ledger.errors import DamagedLedgerError
from ledger.events import NewEvent
from ledger.reader import LedgerReader
from ledger.schema import FORMAT, SCRIPTS, statements
from orchestrator.cli.reading import show_present
from orchestrator.core.events import (
    AttemptFinished,
    AttemptStarted,
    DefinitionChanged,
    Event,
    NoteAdded,
    OutputAccepted,
    PipelineMoved,
    RunAcknowledged,
    RunFinished,
    RunRefused,
    RunReproduced,
    RunStarted,
    StepFinished,
    event_data,
    event_type,
)
from orchestrator.projections import manual_actions, queries, reproductions
from orchestrator.projections.baseline_rows import baselines_for
from orchestrator.projections.dictionary import DICTIONARY
from orchestrator.projections.estimates import duration_history
from orchestrator.projections.questions import QUESTIONS
from orchestrator.projections.read_model_tables import SCRIPT, TABLES
from orchestrator.projections.read_models import ReadModels
from orchestrator.projections.views import VIEW_SCRIPT, VIEWS

ME = {"user": "root", "login": "eva", "sudo": "ben", "host": "vm", "terminal": "/dev/pts/1", "unit": "x.service"}
GRAPH = b'{"datasets":{},"steps":[{"step":"load"},{"step":"clean"},{"step":"mail"}]}'
NOW = iter(f"2026-01-09T00:00:{second:02d}.000000Z" for second in range(60))


def started(run_id: str, night: str, **changes: object) -> RunStarted:
    """Return the start of a run."""
    values: dict[str, object] = {
        "run_id": run_id,
        "pipeline": "shop",
        "night": night,
        "definition": "sha256:d",
        "definition_path": "../pipeline.toml",
        "graph": "sha256:g",
        "selection": {"only": [], "force": False},
        "variables": {},
        "trigger": "unattended",
        "actor": {"user": "cron", "host": "vm"},
        "git": {"commit": "c0ffee", "dirty": True},
        "host": "vm",
        "boot_id": "b",
        "pid": 1,
        "process_start": "p",
        "max_parallel": 1,
        "program": "0",
    }
    return RunStarted(**{**values, **changes})  # type: ignore[arg-type]


def ended(status: str, step: str | None = None) -> RunFinished:
    """Return the end of a run, which *step* has spoiled."""
    cause = None if step is None else {"step": step, "reason": "exit", "error_class": "permanent", "message": "=no"}
    return RunFinished(status, 0 if step is None else 1, 1_500_000, {status: 1}, cause)


def attempt(step: str, number: int, status: str, **values: object) -> list[Event]:
    """Return start and end of an attempt."""
    return [
        AttemptStarted(step, number, "never_succeeded", {}, "sha256:k", {}),
        AttemptFinished(step, number, status, **values),  # type: ignore[arg-type]
    ]


HISTORY: tuple[tuple[str, list[Event]], ...] = (
    ("run/r1", [started("r1", "2026-01-01"), *attempt("load", 1, "succeeded", duration_us=2_000_000)]),
    ("run/r1", [StepFinished("load", "succeeded", attempts=1, key="sha256:k", outputs={}, duration_us=2_000_000)]),
    ("run/r1", [ended("succeeded")]),
    ("run/r2", [started("r2", "2026-01-04", trigger="terminal", actor=ME, reason="late", selection={"force": True})]),
    ("run/r2", attempt("load", 1, "failed", reason="exit", error_class="transient", exit_code=75, message="busy")),
    ("run/r2", attempt("load", 2, "failed", reason="signal", error_class="infrastructure", signal=9)),
    ("run/r2", [StepFinished("load", "failed", "signal", {}, "infrastructure", 2)]),
    ("run/r2", [StepFinished("clean", "failed", "lost", {"attempt": 1}, "infrastructure", 0)]),
    ("run/r2", [StepFinished("mail", "skipped", "upstream_failed", {"step": "load"}), ended("failed", "load")]),
    ("pipeline/shop", [RunRefused("shop", "2026-01-05", 4, ({"kind": "active", "message": "r2 is on"},), "p", ME, {"run_id": "r2", "pid": 7, "host": "vm"})]),
    ("pipeline/shop", [RunRefused("shop", None, 2, ({"kind": "missing_source", "message": "raw"},), "p", ME)]),
    ("pipeline/shop", [DefinitionChanged("shop", "sha256:a", "sha256:b", ({"path": "x"}, {"path": "y"}), "p", None, ME)]),
    ("pipeline/shop", [OutputAccepted("shop", "r2", "load", "", {"raw": "sha256:1"}, {}, None, ME, "checked by hand")]),
    ("pipeline/shop", [PipelineMoved("shop", "a", "b", ME, "new disk")]),
    ("pipeline/shop", [NoteAdded("shop", "r2", "load", "asked the supplier", ME)]),
    ("pipeline/shop", [RunAcknowledged("shop", "r2", "failed", ME, "known")]),
    ("run/r3", [started("r3", "2026-01-04")]),
    ("run/r4", [started("r4", "2026-01-01", reproduces="r1", actor=ME), *attempt("load", 1, "succeeded", duration_us=9_000_000)]),
    ("run/r4", [StepFinished("load", "succeeded", attempts=1, key="sha256:o", outputs={"raw": "sha256:2"}), ended("succeeded")]),
    ("pipeline/shop", [RunReproduced("shop", "r1", "r4", "different", ({"step": "load", "verdict": "different"},), (), {"mail": "no"}, ME, {"step": "load", "dataset": "raw"})]),
    ("pipeline/shop", [RunReproduced("shop", "r1", None, "not_reproducible", (), ({"kind": "input_gone"},), {}, ME, None, ("KEY",), "asked for")]),
    ("run/r5", [started("r5", "2026-01-01", reproduces="r1")]),
)  # fmt: skip


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Give a ledger in which a bit of everything happened."""
    path = tmp_path / "ledger.db"
    with open_ledger(path, projections=[ReadModels()]) as ledger:
        for stream, events in HISTORY:
            new = [NewEvent(*event_type(event), event_data(event)) for event in events]
            ledger.append(stream, new, expected_version=None, blobs={"sha256:g": GRAPH})
    return path


@pytest.fixture
def connection(path: Path) -> Iterator[sqlite3.Connection]:
    """Give a connection that only reads."""
    with closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True)) as connection:
        connection.row_factory = sqlite3.Row
        yield connection


def empty() -> sqlite3.Connection:
    """Return the tables and views of a ledger without a row."""
    connection = sqlite3.connect(":memory:")
    for script in (*SCRIPTS[FORMAT], SCRIPT + VIEW_SCRIPT):
        for statement in statements(script):
            connection.execute(statement)
    return connection


def picked(connection: sqlite3.Connection, sql: str) -> list[tuple[object, ...]]:
    """Return what *sql* gives, as plain tuples."""
    return [tuple(row) for row in connection.execute(sql)]


def plan(connection: sqlite3.Connection, sql: str) -> str:
    """Return how SQLite would find the answer to *sql*, on one line."""
    return "; ".join(row[3] for row in connection.execute(f"EXPLAIN QUERY PLAN {sql}"))


class TestColumns:
    """What is described is what there is."""

    @pytest.mark.parametrize("name", VIEWS)
    def test_a_view_has_the_columns_that_are_described(self, name: str) -> None:
        """Given a view, then its columns are those of its description, in order, and it can be listed as it says."""
        with closing(empty()) as connection:
            cursor = connection.execute(f"SELECT * FROM {name} ORDER BY {VIEWS[name].sort}")  # noqa: S608 -- ours
            assert [column[0] for column in cursor.description] == list(VIEWS[name].columns)

    @pytest.mark.parametrize("name", VIEWS)
    def test_values_are_of_the_type_that_is_described(self, name: str, connection: sqlite3.Connection) -> None:
        """Given rows, then each value is NULL or of the type of its column."""
        for row in connection.execute(f"SELECT * FROM {name}"):  # noqa: S608 -- ours
            kinds: Mapping[str, type] = {"text": str, "integer": int, "real": float}
            for column, (kind, _) in VIEWS[name].columns.items():
                assert row[column] is None or isinstance(row[column], kinds[kind]), column

    def test_every_table_and_column_is_described(self) -> None:
        """Given the tables that a ledger has, then the dictionary describes those and no others, down to each column."""
        with closing(empty()) as connection:
            found = picked(
                connection, "SELECT name FROM sqlite_schema WHERE type = 'table' AND name NOT LIKE 'sqlite_%'"
            )
            assert {name for (name,) in found} == DICTIONARY.keys()
            assert set(TABLES) <= DICTIONARY.keys()
            for table, entry in DICTIONARY.items():
                columns = [row[1] for row in connection.execute(f"PRAGMA table_xinfo({table})")]
                assert set(entry.own) <= set(columns), table
                assert all(entry.meaning(column) for column in columns)

    @pytest.mark.parametrize("name", QUESTIONS)
    def test_questions_ask_the_views_alone(self, name: str, connection: sqlite3.Connection) -> None:
        """Given a canned question, then it reads nothing but views, and has an answer."""
        question = QUESTIONS[name]
        assert set(re.findall(r"(?:FROM|JOIN)\s+(\w+)", question.sql)) <= VIEWS.keys()
        connection.execute(question.sql).fetchall()


class TestRows:
    """What an auditor reads."""

    def test_runs_say_who_ran_what(self, connection: sqlite3.Connection) -> None:
        """Given a run by cron and one by hand, then each has its actor, its reason and its end."""
        assert picked(
            connection,
            "SELECT run_id, status, user, login_user, sudo_user, host, terminal, unit, trigger, reason, forced, git_commit, git_dirty,"
            " failed_step, failure, duration_seconds FROM audit_runs ORDER BY first_seq",
        ) == [
            ("r1", "succeeded", "cron", None, None, "vm", None, None, "unattended", None, 0, "c0ffee", 1, None, None, 1.5),
            ("r2", "failed", "root", "eva", "ben", "vm", "/dev/pts/1", "x.service", "terminal", "late", 1, "c0ffee", 1, "load", "exit", 1.5),
            ("r3", "running", "cron", None, None, "vm", None, None, "unattended", None, 0, "c0ffee", 1, None, None, None),
        ]  # fmt: skip

    def test_failures_have_one_row_each(self, connection: sqlite3.Connection) -> None:
        """Given two failed attempts of a step and a step that failed without one, then three rows; the last attempt is final."""
        assert picked(
            connection, "SELECT step, attempt, reason, error_class, exit_code, signal, message, final FROM audit_failures ORDER BY seq"
        ) == [
            ("load", 1, "exit", "transient", 75, None, "busy", 0),
            ("load", 2, "signal", "infrastructure", None, 9, None, 1),
            ("clean", None, "lost", "infrastructure", None, None, None, 1),
        ]  # fmt: skip

    def test_rows_name_the_event_that_they_come_from(self, connection: sqlite3.Connection) -> None:
        """Given rows with a seq, then the event there is of the kind that the row is about, and was recorded at the row's time."""
        for view, seq, kind in (
            ("audit_runs", "first_seq", "run.started"),
            ("audit_runs", "last_seq", "run.finished"),
            ("audit_attempts", "first_seq", "attempt.started"),
            ("audit_attempts", "last_seq", "attempt.finished"),
            ("audit_steps", "seq", "step.finished"),
            ("audit_skips", "seq", "step.finished"),
            ("audit_refusals", "seq", "run.refused"),
            ("audit_overlaps", "seq", "run.refused"),
            ("audit_definition_changes", "seq", "definition.changed"),
            ("audit_nights", "last_first_seq", "run.started"),
            ("(SELECT seq FROM audit_reproductions WHERE verdict IS NOT NULL)", "seq", "run.reproduced"),
        ):
            found = picked(connection, f"SELECT DISTINCT e.type FROM {view} v JOIN events e ON e.seq = v.{seq}")  # noqa: S608
            assert found == [(kind,)], view
        for view in ("audit_skips", "audit_failures", "audit_manual_actions", "audit_refusals"):
            wrong = f"SELECT count(*) FROM {view} v JOIN events e ON e.seq = v.seq WHERE e.recorded_at <> v.recorded_at"  # noqa: S608
            assert picked(connection, wrong) == [(0,)], view

    def test_skips_carry_their_evidence(self, connection: sqlite3.Connection) -> None:
        """Given a step that was skipped, then reason and evidence stand there."""
        assert picked(connection, "SELECT night, step, reason, evidence FROM audit_skips") == [
            ("2026-01-04", "mail", "upstream_failed", '{"step":"load"}')
        ]

    def test_refusals_and_overlaps(self, connection: sqlite3.Connection) -> None:
        """Given two refusals, one of them for an active run, then both are refusals, and one is an overlap."""
        assert picked(connection, "SELECT exit_code, problem, message, user FROM audit_refusals ORDER BY seq") == [
            (4, "active", "r2 is on", "root"),
            (2, "missing_source", "raw", "root"),
        ]
        assert picked(connection, "SELECT night, active_run_id, active_pid, active_host, sudo_user FROM audit_overlaps") == [
            ("2026-01-05", "r2", 7, "vm", "ben")
        ]  # fmt: skip

    def test_manual_actions_are_all_there(self, connection: sqlite3.Connection) -> None:
        """Given everything that a person can do, then each has a row with the reason that was given; cron's runs have none."""
        assert picked(
            connection, "SELECT action, run_id, step, reason, user FROM audit_manual_actions ORDER BY seq"
        ) == [
            ("ledger.created", None, None, None, None),
            ("run.started", "r2", None, "late", "root"),
            ("output.accepted", "r2", "load", "checked by hand", "root"),
            ("pipeline.moved", None, None, "new disk", "root"),
            ("note.added", "r2", "load", None, "root"),
            ("run.acknowledged", "r2", None, "known", "root"),
            ("run.reproduced", "r1", None, None, "root"),
            ("run.reproduced", "r1", None, "asked for", "root"),
        ]

    def test_reproductions(self, connection: sqlite3.Connection) -> None:
        """Given a run that was run again, was to be, and is being, then each is a row; what later runs compare with is what it was."""
        assert picked(
            connection,
            "SELECT run_id, night, verdict, first_step, first_dataset, reproduction, status, duration_seconds, left_out, causes, trusted, reason,"
            " login_user FROM audit_reproductions ORDER BY seq",
        ) == [
            ("r1", "2026-01-01", "different", "load", "raw", "r4", "succeeded", 1.5, '{"mail":"no"}', "[]", "[]", None, "eva"),
            ("r1", "2026-01-01", "not_reproducible", None, None, None, None, None, "{}", '[{"kind":"input_gone"}]', '["KEY"]', "asked for", "eva"),
            ("r1", "2026-01-01", None, None, None, "r5", "running", None, None, None, None, None, None),
        ]  # fmt: skip
        connection.row_factory = None
        assert reproductions.unfinished_reproductions(connection, "shop") == ["r5"]
        assert [row["verdict"] for row in reproductions.verdicts_on(connection, "r1")] == [
            "different",
            "not_reproducible",
        ]
        assert [row["reproduction"] for row in reproductions.verdicts_on(connection, "r4")] == ["r4"]
        assert reproductions.verdicts_on(connection, "r5") == []
        baselines = baselines_for(connection, "shop")
        assert (baselines["load", ""]["last_run_id"], baselines["load", ""]["run_id"]) == ("r2", "r2")
        assert queries.run_row(connection, "r4")["status"] == "succeeded"
        assert (
            queries.run_detail(connection, "r4")["reproduces"],
            queries.run_detail(connection, "r4")["repaired_by"],
        ) == ("r1", None)

    def test_nights_and_missing_nights(self, connection: sqlite3.Connection) -> None:
        """Given two nights with runs and two between without, then each kind is listed; status says the same."""
        assert picked(connection, "SELECT night, runs, good_runs, last_run_id, last_status FROM audit_nights ORDER BY 1") == [
            ("2026-01-01", 1, 1, "r1", "succeeded"),
            ("2026-01-04", 2, 0, "r3", "running"),
        ]  # fmt: skip
        missing = [night for _, night in picked(connection, "SELECT * FROM audit_missing_nights ORDER BY 2")]
        assert missing == ["2026-01-02", "2026-01-03"]
        connection.row_factory = None
        (shown,) = queries.pipeline_overview(connection, today="2026-02-01")
        assert shown["missing_nights"] == missing[::-1]

    def test_definition_changes(self, connection: sqlite3.Connection) -> None:
        """Given a change of two places, then it counts two differences."""
        assert picked(connection, "SELECT before, after, differences, git_commit, login_user FROM audit_definition_changes") == [
            ("sha256:a", "sha256:b", 2, None, "eva")
        ]  # fmt: skip

    def test_checkpoints_and_the_tail(self, path: Path) -> None:
        """Given no checkpoint, then nothing is sealed; given two, then what comes after the larger one is not."""
        with closing(sqlite3.connect(path)) as connection:
            (events,) = connection.execute("SELECT count(*) FROM audit_events").fetchone()
            assert connection.execute("SELECT count(*) FROM audit_unsealed").fetchone() == (events,)
            for number, size, note in ((1, events - 2, "x\n2\nR\n\n— a b\n— c d\n"), (2, 3, "x\n3\nR\n")):
                values = (number, size, bytes([number]) * 32, note, "now")
                connection.execute("INSERT INTO checkpoints VALUES (?, ?, ?, ?, ?)", values)
            assert picked(connection, "SELECT seq FROM audit_unsealed") == [(events - 2,), (events - 1,)]
            assert picked(connection, "SELECT id, size, root, signatures FROM audit_checkpoints ORDER BY id") == [
                (1, events - 2, "01" * 32, 2),
                (2, 3, "02" * 32, 0),
            ]

    def test_events_show_the_hash_of_the_leaf(self, connection: sqlite3.Connection) -> None:
        """Given events, then each has its hash in hexadecimal."""
        for seq, shown in picked(connection, "SELECT seq, leaf_hash FROM audit_events"):
            (row,) = connection.execute("SELECT leaf_hash FROM events WHERE seq = ?", (seq,))
            assert bytes.fromhex(str(shown)) == row["leaf_hash"]


class TestCost:
    """A view is as cheap as the tables behind it."""

    @pytest.mark.parametrize(
        ("sql", "used"),
        [
            ("SELECT run_id FROM audit_runs ORDER BY first_seq DESC LIMIT 1", "SCAN runs USING INDEX runs_by_start"),
            ("SELECT run_id FROM audit_runs WHERE pipeline = 'p' ORDER BY first_seq DESC", "INDEX runs_by_pipeline (pipeline=?)"),
            ("SELECT * FROM audit_steps WHERE run_id = 'r'", "SEARCH s USING PRIMARY KEY (run_id=?)"),
            ("SELECT * FROM audit_attempts WHERE run_id = 'r' AND step = 's'", "SEARCH a USING PRIMARY KEY (run_id=? AND step=?)"),
            ("SELECT * FROM audit_failures WHERE run_id = 'r'", "SEARCH a USING PRIMARY KEY (run_id=?)"),
            ("SELECT * FROM audit_skips WHERE run_id = 'r'", "SEARCH s USING PRIMARY KEY (run_id=?)"),
            ("SELECT * FROM audit_events WHERE stream = 'run/r' ORDER BY version", "sqlite_autoindex_events_1 (stream=?)"),
            ("SELECT * FROM audit_events WHERE seq = 7", "INTEGER PRIMARY KEY (rowid=?)"),
            ("SELECT * FROM audit_unsealed ORDER BY seq", "SEARCH events USING INTEGER PRIMARY KEY (rowid>?)"),
            ("SELECT * FROM audit_nights WHERE pipeline = 'p'", "SEARCH runs USING INDEX runs_by_pipeline (pipeline=?)"),
            ("SELECT * FROM audit_data_use WHERE run_id = 'r'", "SEARCH a USING PRIMARY KEY (run_id=? AND step=?)"),
            ("SELECT * FROM audit_data_use", "SEARCH e USING INDEX sqlite_autoindex_events_1 (stream=?)"),
            ("SELECT * FROM audit_reproductions", "SEARCH v USING INDEX verdicts_by_run (run_id=?)"),
            ("SELECT * FROM audit_manual_actions", "SEARCH events USING INDEX sqlite_autoindex_events_1 (stream=?)"),
        ],
    )  # fmt: skip
    def test_an_index_is_used(self, sql: str, used: str) -> None:
        """Given a condition on a view, then the index of the table behind it answers, and no event is looked through in vain."""
        with closing(empty()) as connection:
            found = plan(connection, sql)
            assert used in found
            assert "SCAN events" not in found


READERS: Mapping[str, tuple[Callable[[sqlite3.Connection], object], set[str]]] = {
    "list_runs": (queries.list_runs, set()),
    "run_row": (lambda connection: queries.run_row(connection, "r2"), {"runs"}),
    "unfinished_reproductions": (
        lambda connection: reproductions.unfinished_reproductions(connection, "shop"),
        {"reproductions"},
    ),
    "last_attempts": (lambda connection: reproductions.last_attempts(connection, "r4"), {"steps", "attempts"}),
    "starts_of": (lambda connection: reproductions.starts_of(connection, "r4"), {"events"}),
    "run_process": (lambda connection: queries.run_process(connection, "r2"), {"events"}),
    "unfinished_runs": (lambda connection: queries.unfinished_runs(connection, "shop"), set()),
    "refusals": (queries.refusals, set()),
    "definition_changes": (queries.definition_changes, {"moves"}),
    "moves_before": (lambda connection: manual_actions.moves_before(connection, "r3"), {"moves"}),
    "unacknowledged": (lambda connection: manual_actions.unacknowledged(connection, "shop"), {"acknowledgements"}),
    "asks_for_digest": (lambda connection: manual_actions.asks_for_digest(connection, "shop"), {"pipelines", "blobs"}),
    "last_host": (lambda connection: manual_actions.last_host(connection, ["shop"]), set()),
    "duration_history": (lambda connection: duration_history(connection, ["shop"], before="r3"), {"steps"}),
    "pipeline_overview": (
        lambda connection: queries.pipeline_overview(connection, today="2026-02-01"),
        {"pipelines", "acknowledgements", "runs"},
    ),
    "run_detail": (
        lambda connection: queries.run_detail(connection, "r2"),
        {
            "runs",
            "steps",
            "attempts",
            "events",
            "blobs",
            "notes",
            "acknowledgements",
            "moves",
            "acceptances",
            "checkpoints",
            "reproductions",
            "verdicts",
        },
    ),
}
"""What reading commands call, and the tables that it reads past the views: for what none of these shows."""


@pytest.mark.parametrize("name", READERS)
class TestReaders:
    """Whatever shows history reads the documented views."""

    def test_views_are_read(self, path: Path, name: str) -> None:
        """Given a reading function, then it reads no table itself but for what no view has."""
        read, allowed = READERS[name]
        found: set[str] = set()

        def note(action: int, table: str | None, _column: str | None, schema: str | None, view: str | None) -> int:
            if action == sqlite3.SQLITE_READ and view is None and schema == "main":
                found.add(str(table))
            return sqlite3.SQLITE_OK

        with closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True)) as connection:
            connection.set_authorizer(note)
            read(connection)
        assert found & {*TABLES, "events", "blobs", "checkpoints"} == allowed

    def test_no_history_is_gone_through(self, path: Path, name: str) -> None:
        """Given each of its statements, then what grows with the history is searched by an index."""
        asked: list[str] = []
        with closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True)) as connection:
            connection.set_trace_callback(asked.append)
            READERS[name][0](connection)
            connection.set_trace_callback(None)
            for sql in asked:
                found = re.findall(r"SCAN (?:events|steps|attempts|runs(?! USING))\b", plan(connection, sql))
                assert found == [], sql

    def test_older_ledger_gives_the_same(self, path: Path, name: str) -> None:
        """Given tables of an older program that hold nothing, then the views that are made beside them show what the present ones do."""
        read, _ = READERS[name]
        with closing(sqlite3.connect(path)) as connection:
            present = read(connection)
            connection.executescript(
                "DELETE FROM runs; DELETE FROM steps; DROP VIEW audit_runs; UPDATE projections SET version = 1"
            )
        with LedgerReader(path) as reader:
            assert show_present(reader.connection, path)
            assert read(reader.connection) == present


class TestDamage:
    """A view is part of what the schema's comparison holds."""

    @pytest.mark.parametrize(
        ("script", "finding"),
        [
            ("DROP VIEW audit_failures", "audit_failures is missing"),
            (
                "DROP VIEW audit_refusals; CREATE VIEW audit_refusals AS SELECT * FROM refusals WHERE seq <> 7",
                "audit_refusals is not as it was made",
            ),
            (
                "DROP VIEW audit_events; CREATE TABLE audit_events (seq)",
                "audit_events is not as it was made",
            ),
            (
                "CREATE TRIGGER t INSTEAD OF DELETE ON audit_runs BEGIN SELECT 1; END",
                "trigger t on audit_runs does not belong",
            ),
        ],
    )
    def test_a_changed_view_is_found(self, path: Path, script: str, finding: str) -> None:
        """Given a view that was dropped, hides a row, or is something else, then the ledger is not written to."""
        with closing(sqlite3.connect(path)) as connection:
            connection.executescript(script)
        with pytest.raises(DamagedLedgerError) as caught:
            open_ledger(path, projections=[ReadModels()])
        assert finding in caught.value.findings

    def test_views_of_the_user_stay(self, path: Path) -> None:
        """Given a view that somebody has added, then it is no damage, and is there after the tables were made anew."""
        with closing(sqlite3.connect(path)) as connection:
            connection.execute("CREATE VIEW mine AS SELECT run_id FROM audit_runs")
        with open_ledger(path, projections=[ReadModels()]) as ledger:
            ledger.rebuild()
            assert ledger.connection.execute("SELECT count(*) FROM mine").fetchone() == (3,)

    def test_older_views_give_way(self, path: Path) -> None:
        """Given tables of an older version, with a view of another form, then opening makes tables and views anew."""
        with closing(sqlite3.connect(path)) as connection:
            connection.executescript(
                "DROP VIEW audit_runs; CREATE VIEW audit_runs AS SELECT 1 AS old; UPDATE projections SET version = 1"
            )
        with open_ledger(path, projections=[ReadModels()]) as ledger:
            assert ledger.connection.execute("SELECT count(run_id) FROM audit_runs").fetchone() == (3,)
