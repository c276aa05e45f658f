"""Tests of `orchestrate audit export`: what is written is what stands in the ledger, of one moment, and says of which."""

from __future__ import annotations

import csv
import json
import os
import shutil
import sqlite3
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import closing
from hashlib import sha256
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from ledger.merkle import Frontier
from ledger.schema import statements
from orchestrator.cli.audit.seq_range import range_of
from orchestrator.cli.errors import UsageRefusedError
from orchestrator.projections.views import VIEWS
from tests.csv_cells import read_back
from tests.nights import Nights
from tests.programs import Done, Json, follows, program, refused, value_of


def export(nights: Nights, *arguments: str, cwd: Path | None = None) -> Done:
    """Export the ledger."""
    return program("audit", "export", "--ledger", str(nights.ledger), *arguments, cwd=cwd or nights.shop)


@pytest.fixture
def connection(nights: Nights) -> Iterator[sqlite3.Connection]:
    """Give a connection to the ledger."""
    with closing(sqlite3.connect(f"file:{nights.ledger}?mode=ro", uri=True)) as connection:
        yield connection


def manifest(path: Path) -> Json:
    """Return the manifest at *path*; each file that it names is beside it, private, and as it says."""
    value: Json = json.loads(path.read_bytes())
    follows(value, "audit-export")
    for entry in value["files"]:
        file = path.parent / entry["file"]
        content = file.read_bytes()
        assert (len(content), sha256(content).hexdigest()) == (entry["bytes"], entry["sha256"])
        assert file.stat().st_mode & 0o777 == 0o600
    assert path.stat().st_mode & 0o777 == 0o600
    return value


class TestLines:
    """Events as lines."""

    def test_lines_hash_to_the_leaves_and_the_root(
        self, nights: Nights, tmp_path: Path, connection: sqlite3.Connection
    ) -> None:
        """Given every line, then its hash is the leaf's, and the tree over all of them has the root that the manifest names."""
        answer = value_of(export(nights, "--jsonl", "e.jsonl", "--json", cwd=tmp_path), "audit-export")
        lines = (tmp_path / "e.jsonl").read_bytes().split(b"\n")
        assert lines.pop() == b""
        leaves = [leaf for (leaf,) in connection.execute("SELECT leaf_hash FROM events ORDER BY seq")]
        assert [sha256(b"\0" + line).digest() for line in lines] == leaves
        tree = Frontier()
        for leaf in leaves:
            tree.add(leaf)
        facts = manifest(tmp_path / "e.jsonl.manifest.json")
        assert facts["root"] == tree.root().hex() == answer["root"]
        assert facts["seq_range"] == [0, len(leaves) - 1]
        assert facts["event_count"] == facts["size"] == facts["files"][0]["rows"] == len(leaves)
        assert [json.loads(line)["ledger"] for line in lines] == [facts["ledger"]] * len(lines)

    @pytest.mark.parametrize(
        ("words", "expected"),
        [
            (("--from", "3", "--to", "seq:5"), [3, 4, 5]),
            (("--from", "5", "--to", "3"), []),
            (("--from", "2999-01-01"), []),
            (("--to", "time:2000-01-01T00:00Z"), []),
            (("--from", "2000-01-01", "--to", "2"), [0, 1, 2]),
        ],
    )
    def test_a_stretch(self, nights: Nights, tmp_path: Path, words: tuple[str, ...], expected: list[int]) -> None:
        """Given a range, then the lines are of these events, and the root is that of the whole."""
        answer = value_of(export(nights, "--jsonl", "e.jsonl", *words, "--json", cwd=tmp_path), "audit-export")
        found = [json.loads(line)["seq"] for line in (tmp_path / "e.jsonl").read_bytes().splitlines()]
        assert found == expected
        assert answer["event_count"] == len(expected) < answer["size"]

    def test_a_text_that_was_changed_is_not_handed_out(self, nights: Nights, tmp_path: Path) -> None:
        """Given an event whose text was changed behind the guards, then exit code 3, the event is named, no file is left."""
        shutil.copytree(nights.shop, tmp_path / "shop")
        with closing(sqlite3.connect(tmp_path / "shop" / ".orchestrate" / "ledger.db")) as connection:
            (guard,) = connection.execute("SELECT sql FROM sqlite_schema WHERE name = 'events_immutable'").fetchone()
            connection.execute("DROP TRIGGER events_immutable")
            connection.execute("UPDATE events SET body = replace(body, '\"shop\"', '\"shap\"') WHERE seq = 2")
            connection.execute(guard)
            connection.commit()
        (problem,) = refused(program("audit", "export", "--jsonl", "e.jsonl", "--json", cwd=tmp_path / "shop"), 3)
        assert "the text of event 2 is not what its hash says" in problem["message"]
        assert not list((tmp_path / "shop").glob("*e.jsonl*"))

    def test_a_leaf_that_was_put_in_is_not_what_the_tree_says(self, nights: Nights, tmp_path: Path) -> None:
        """Given a cache of the tree that says something else than the events, then exit code 3."""
        shutil.copytree(nights.shop, tmp_path / "shop")
        with closing(sqlite3.connect(tmp_path / "shop" / ".orchestrate" / "ledger.db")) as connection:
            (last, body) = connection.execute("SELECT seq, body FROM events ORDER BY seq DESC LIMIT 1").fetchone()
            value: dict[str, Any] = json.loads(body)
            rows = []
            for number in range(1, 300):
                value.update(seq=last + number, version=value["version"] + 1)
                text = json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
                rows.append((last + number, text, sha256(b"\0" + text.encode()).digest()))
            connection.executemany("INSERT INTO events (seq, body, leaf_hash) VALUES (?, ?, ?)", rows)
            connection.execute("INSERT INTO tree VALUES (8, 0, zeroblob(32))")
            connection.commit()
        done = program("audit", "export", "--jsonl", "e.jsonl", "--json", cwd=tmp_path / "shop")
        (problem,) = refused(done, 3)
        assert "the tree over the events is not what they say" in problem["message"]


class TestTables:
    """Views as files."""

    def test_csv(self, nights: Nights, tmp_path: Path, connection: sqlite3.Connection) -> None:
        """Given each view, then its file reads back to its rows, and no cell begins a formula."""
        assert export(nights, "--csv", "tables", cwd=tmp_path).returncode == 0
        facts = manifest(tmp_path / "tables" / "manifest.json")
        assert [entry["view"] for entry in facts["files"]] == list(VIEWS)
        assert (tmp_path / "tables").stat().st_mode & 0o777 == 0o700
        for entry in facts["files"]:
            view = VIEWS[entry["view"]]
            with (tmp_path / "tables" / entry["file"]).open(encoding="utf-8", newline="") as file:
                header, *records = csv.reader(file, strict=True)
            stored = connection.execute(f"SELECT * FROM {view.name} ORDER BY {view.sort}").fetchall()  # noqa: S608 -- ours
            assert header == list(view.columns)
            assert len(records) == entry["rows"] == len(stored)
            assert [[read_back(cell) for cell in record] for record in records] == [
                ["" if cell is None else str(cell) for cell in row] for row in stored
            ]
            assert not [cell for record in records for cell in record if cell.startswith(("=", "+", "@", "\t"))]

    def test_parquet(self, nights: Nights, tmp_path: Path, connection: sqlite3.Connection) -> None:
        """Given each view, then its file has the same rows, with the types that are described."""
        assert export(nights, "--parquet", "tables", cwd=tmp_path).returncode == 0
        for entry in manifest(tmp_path / "tables" / "manifest.json")["files"]:
            view = VIEWS[entry["view"]]
            table = pl.read_parquet(tmp_path / "tables" / entry["file"])
            kinds = {"text": pl.String, "integer": pl.Int64, "real": pl.Float64}
            assert dict(table.schema) == {name: kinds[kind] for name, (kind, _) in view.columns.items()}
            assert table.rows() == connection.execute(f"SELECT * FROM {view.name} ORDER BY {view.sort}").fetchall()  # noqa: S608

    def test_a_stretch_of_tables(self, nights: Nights, tmp_path: Path) -> None:
        """Given a range, then rows that begin in it; what has no place in the history is whole, and says so."""
        assert export(nights, "--csv", "tables", "--to", "9", cwd=tmp_path).returncode == 0
        facts = manifest(tmp_path / "tables" / "manifest.json")
        by_name = {entry["view"]: entry for entry in facts["files"]}
        assert by_name["audit_events"]["rows"] == 10
        assert by_name["audit_runs"]["rows"] == 1
        whole = {name for name, entry in by_name.items() if entry.get("whole")}
        assert whole == {"audit_nights", "audit_missing_nights", "audit_checkpoints"}

    def test_everything_at_once_is_of_one_moment(self, nights: Nights, tmp_path: Path) -> None:
        """Given all forms, then they name the same events, root and time; on a terminal the last line says which."""
        words = ("--csv", "c", "--parquet", "p", "--jsonl", "e.jsonl")
        done = export(nights, *words, cwd=tmp_path)
        facts = [manifest(path) for path in tmp_path.rglob("*manifest.json")]
        assert len(facts) == 3
        assert len({(one["root"], one["size"], one["exported_at"]) for one in facts}) == 1
        assert done.stdout.splitlines()[-1] == (
            f"events 0 to {facts[0]['size'] - 1} of {facts[0]['size']}, root {facts[0]['root']}"
        )


class TestRefusals:
    """Nothing is overwritten by chance."""

    def test_existing_files(self, nights: Nights, tmp_path: Path) -> None:
        """Given a file that is there, then nothing is written; with --force it is written anew."""
        (tmp_path / "c").mkdir()
        (tmp_path / "c" / "audit_steps.csv").write_text("mine")
        (problem,) = refused(export(nights, "--csv", "c", "--jsonl", "e.jsonl", "--json", cwd=tmp_path))
        assert problem["kind"] == "file_exists"
        assert [item.name for item in tmp_path.rglob("*.*")] == ["audit_steps.csv"]
        assert export(nights, "--csv", "c", "--force", cwd=tmp_path).returncode == 0
        manifest(tmp_path / "c" / "manifest.json")

    @pytest.mark.parametrize("make", [os.mkdir, os.mkfifo])
    def test_what_is_no_plain_file_stays(
        self, nights: Nights, tmp_path: Path, make: Callable[[str], None], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Given a folder or a pipe in the place of a file, then it stays also with --force, and nothing is written."""
        monkeypatch.chdir(tmp_path)
        make("e.jsonl")
        place = tmp_path / "e.jsonl"
        before = place.lstat()
        (problem,) = refused(export(nights, "--jsonl", str(place), "--csv", "c", "--force", "--json", cwd=tmp_path))
        assert (problem["kind"], str(place) in problem["message"]) == ("no_plain_file", True)
        assert (place.lstat().st_ino, place.lstat().st_mode) == (before.st_ino, before.st_mode)
        assert not (tmp_path / "c").exists()

    @pytest.mark.parametrize(
        "words", [("--jsonl", ""), ("--jsonl", "/"), ("--jsonl", "."), ("--csv", ""), ("--parquet", "")]
    )
    def test_name_that_is_none(self, nights: Nights, tmp_path: Path, words: tuple[str, ...]) -> None:
        """Given a name without a name in it, as a variable that is not set leaves it, then exit code 2, and no file."""
        (problem,) = refused(export(nights, *words, "--json", cwd=tmp_path))
        assert (problem["kind"], words[0] in problem["message"]) == ("bad_path", True)
        assert list(tmp_path.iterdir()) == []

    def test_leftovers_of_a_kill_are_removed(self, nights: Nights, tmp_path: Path) -> None:
        """Given a process that was killed while it wrote, then the next call leaves nothing of it."""
        code = (
            "import os, signal, sys\n"
            "from orchestrator.cli.app import run_command\n"
            "from orchestrator.cli.audit.new_files import NewFile\n"
            "NewFile.write = lambda file, content: os.kill(os.getpid(), signal.SIGKILL)\n"
            "run_command(['audit', 'export', '--ledger', sys.argv[1], '--csv', 'c', '--jsonl', 'e.jsonl'])\n"
        )
        done = subprocess.run([sys.executable, "-c", code, nights.ledger], cwd=tmp_path, timeout=60, check=False)
        assert (done.returncode, len(list(tmp_path.rglob(".*.new")))) == (-9, 1)
        assert export(nights, "--jsonl", "e.jsonl", cwd=tmp_path).returncode == 0
        assert {item.name for item in tmp_path.iterdir()} == {"e.jsonl", "e.jsonl.manifest.json"}

    def test_usage(self, nights: Nights, tmp_path: Path) -> None:
        """Given nothing to write, one place for two forms, or a range that is none, then exit code 2, and no file."""
        for words, kind in (
            ((), "usage"),
            (("--csv", "t", "--parquet", "t"), "file_twice"),
            (("--jsonl", "e", "--from", "soon"), "bad_range"),
            (("--jsonl", "e", "--to", "999999"), "no_such_event"),
        ):
            (problem,) = refused(export(nights, *words, "--json", cwd=tmp_path))
            assert problem["kind"] == kind
        assert list(tmp_path.iterdir()) == []

    def test_missing_extra(self, nights: Nights, tmp_path: Path) -> None:
        """Given no polars, then exit code 2 with the line that installs it, before anything is written."""
        code = (
            "import sys, importlib.util\n"
            "found = importlib.util.find_spec\n"
            "importlib.util.find_spec = lambda name, *rest: None if name == 'polars' else found(name, *rest)\n"
            "from orchestrator.cli.app import run_command\n"
            "sys.exit(run_command(sys.argv[1:]))\n"
        )
        done = subprocess.run(
            [sys.executable, "-c", code, "audit", "export", "--ledger", nights.ledger, "--parquet", "p", "--csv", "c"],
            cwd=tmp_path,
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 2
        assert done.stderr.startswith("error: writing Parquet needs the extra parquet: pip install ")
        assert list(tmp_path.iterdir()) == []

    def test_no_room(self, nights: Nights, tmp_path: Path) -> None:
        """Given a place that cannot be written to, then exit code 5, named."""
        (tmp_path / "file").write_text("")
        (problem,) = refused(export(nights, "--csv", "file/c", "--json", cwd=tmp_path), 5)
        assert "file" in problem["message"]


class TestRange:
    """Which events a range means."""

    @pytest.fixture
    def times(self) -> Iterator[sqlite3.Connection]:
        """Give events of three days; the clock was put back once."""
        connection = sqlite3.connect(":memory:")
        (sql,) = statements("CREATE TABLE events (seq INTEGER PRIMARY KEY, recorded_at TEXT);")
        connection.execute(sql)
        for seq, time in enumerate(
            (
                "01T10:00:00.000000",
                "01T23:59:59.999999",
                "02T00:00:00.000000",
                "01T23:00:00.000000",
                "03T12:30:15.500000",
            )
        ):
            connection.execute("INSERT INTO events VALUES (?, ?)", (seq, f"2026-01-{time}Z"))
        yield connection
        connection.close()

    @pytest.mark.parametrize(
        ("begin", "end", "expected"),
        [
            (None, None, (0, 4)),
            ("1", "3", (1, 3)),
            ("2026-01-02", None, (2, 4)),
            (None, "2026-01-01", (0, 3)),
            ("2026-01-02", "2026-01-02", (2, 3)),
            ("2026-01-03T12:30:15.5Z", "2026-01-03T12:30:15.5", (4, 4)),
            ("2026-01-03 12:31", None, (5, 4)),
            (None, "2025-12-31", (0, -1)),
            ("time:2026-01-01T23:59:59Z", "time:2026-01-02T00:00Z", (1, 3)),
        ],
    )  # fmt: skip
    def test_places_and_times(
        self, times: sqlite3.Connection, begin: str | None, end: str | None, expected: tuple[int, int]
    ) -> None:
        """Given places or times, then the smallest stretch that holds all of them; a date is a whole day."""
        assert range_of(times, 5, begin, end) == expected

    @pytest.mark.parametrize("word", ["", "x", "-1", "2026-1-1", "seq:", "seq:5", "2026-01-01T25", "1 OR 1=1", "٣"])
    def test_what_is_no_place(self, times: sqlite3.Connection, word: str) -> None:
        """Given something else, or an event that is not there, then it is refused."""
        with pytest.raises(UsageRefusedError):
            range_of(times, 5, word, None)
