"""Tests of `orchestrate audit query`: answers in every form, refusals with a code of their own, nothing left behind."""

from __future__ import annotations

import csv
import io
import json
import os
import pty
import re
import shutil
import signal
import sqlite3
import subprocess
from contextlib import closing
from pathlib import Path

import pytest

from ledger.tree import tree_root
from orchestrator.cli.audit.csv_text import csv_line
from orchestrator.projections.questions import QUESTIONS
from orchestrator.projections.views import VIEWS
from tests.csv_cells import read_back
from tests.nights import SECRET, Nights
from tests.programs import (
    PROGRAM,
    Done,
    ended,
    everything_in,
    no_traceback,
    program,
    refused,
    started,
    value_of,
    wait_until,
)

ENDLESS = "WITH RECURSIVE c(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM c) SELECT count(*) FROM c"
ONE_LONG_STEP = "SELECT instr(printf('%.*c', 8000000, 'a'), printf('%.*c', 4000000, 'a') || 'b')"


def query(nights: Nights, *arguments: str) -> Done:
    """Ask the ledger."""
    return program("audit", "query", *arguments, cwd=nights.shop)


def on_terminal(nights: Nights, *arguments: str, columns: int = 120) -> str:
    """Return what the query shows on a terminal."""
    primary, secondary = pty.openpty()
    environment = {**os.environ, "TERM": "xterm", "NO_COLOR": "1", "COLUMNS": str(columns)}
    command = [str(PROGRAM), "audit", "query", *arguments]
    with subprocess.Popen(
        command, cwd=nights.shop, env=environment, stdout=secondary, stderr=subprocess.DEVNULL
    ) as process:
        os.close(secondary)
        shown = bytearray()
        try:
            while piece := os.read(primary, 65536):
                shown += piece
        except OSError:
            pass  # The terminal is gone with its last user.
        finally:
            os.close(primary)
    assert process.returncode == 0
    # Bold stays with NO_COLOR.
    return re.sub("\x1b\\[[0-9;]*m", "", shown.decode("utf-8")).replace("\r\n", "\n")


class TestAnswers:
    """One question, every form of answer."""

    def test_json(self, nights: Nights) -> None:
        """Given --json, then one value with columns, rows, and the moment that they are from."""
        answer = value_of(
            query(nights, "SELECT run_id, status FROM audit_runs ORDER BY first_seq LIMIT 2", "--json"), "audit-query"
        )
        assert answer["columns"] == ["run_id", "status"]
        assert answer["rows"] == [[nights.good, "succeeded"], [nights.idle, "nothing_to_do"]]
        assert answer["row_count"] == 2
        with closing(sqlite3.connect(f"file:{nights.ledger}?mode=ro", uri=True)) as connection:
            (size,) = connection.execute("SELECT count(*) FROM events").fetchone()
            assert answer["seq_range"] == [0, size - 1]
            assert answer["root"] == tree_root(connection, size).hex()

    def test_json_of_every_kind_of_value(self, nights: Nights) -> None:
        """Given every kind of value, then JSON that anything can read: blobs in hexadecimal, no infinity."""
        answer = value_of(
            query(nights, "SELECT NULL, 1, 0.5, 'é', x'00ff', 9e999, -9e999, 9007199254740993", "--json"), "audit-query"
        )
        assert answer["rows"] == [[None, 1, 0.5, "é", "00ff", "inf", "-inf", 9007199254740993]]

    def test_plain_lines(self, nights: Nights) -> None:
        """Given a pipe, then aligned lines, and on stderr which moment they are from."""
        done = query(nights, "SELECT night, status FROM audit_runs WHERE pipeline = 'shop' ORDER BY first_seq")
        assert done.stdout.splitlines() == [
            "night       status",
            "2026-01-01  succeeded",
            "2026-01-02  nothing_to_do",
            "2026-01-04  failed",
        ]
        assert done.stderr.startswith("3 rows from the events 0 to ")
        assert query(nights, "SELECT 1 WHERE 0").stdout == ""

    def test_terminal(self, nights: Nights) -> None:
        """Given a terminal, then a table where it fits, else one value below the other; markup and escapes are text."""
        wide = on_terminal(
            nights, "SELECT night, '[bold]x' AS note, char(27) || '[2J' AS e FROM audit_nights ORDER BY night LIMIT 1"
        )
        assert wide.splitlines()[0].split() == ["night", "note", "e"]
        assert wide.splitlines()[2].split() == ["2026-01-01", "[bold]x", "\\e[2J"]
        narrow = on_terminal(nights, "--canned", "who-ran-what", columns=40)
        assert "started_at" in narrow
        assert any(line.split() == ["run_id", nights.other] for line in narrow.splitlines())

    def test_csv(self, nights: Nights) -> None:
        """Given --csv, then records that read back as they were, in which no text begins a formula and -5 is a number."""
        done = subprocess.run(
            [PROGRAM, "audit", "query", "--csv", "SELECT '=1+1' AS a, -5 AS b, '' AS c, NULL AS d, 'x,\"y\"' || char(10) AS e"],
            cwd=nights.shop,
            capture_output=True,
            check=True,
        )  # fmt: skip
        assert done.stdout == b'"a","b","c","d","e"\r\n"\'=1+1",-5,"",,"x,""y""\n"\r\n'
        _, row = csv.reader(io.StringIO(done.stdout.decode(), newline=""))
        assert [read_back(cell) for cell in row] == ["=1+1", "-5", "", "", 'x,"y"\n']

    @pytest.mark.parametrize("form", ["plain", "csv", "terminal", "csv on a terminal"])
    def test_control_characters(self, nights: Nights, form: str) -> None:
        """Given control characters in the name of a column, then they are written out and the header stays one line; in a cell, on a terminal."""
        sql = "SELECT char(27) || '[2J' || char(10) AS \"a\nb\tc\x1b[2J\""
        if form.endswith("terminal"):
            lines = on_terminal(nights, *(["--csv"] if "csv" in form else []), sql).splitlines()
        else:
            lines = query(nights, *(["--csv"] if form == "csv" else []), sql).stdout.splitlines()
        assert lines[0].strip(' "\r') == "a\\nb\\tc\\e[2J"
        assert ("\\e[2J\\n" in lines[-1]) == (form != "csv")

    def test_statement_from_stdin(self, nights: Nights) -> None:
        """Given -, then the statement stands on stdin; what is none or too long is refused."""
        for content, code in ((b"SELECT 1 AS one;\n", 0), (b"\xff", 2), (b" " * 100_001, 2), (b"", 7)):
            done = subprocess.run(
                [PROGRAM, "audit", "query", "-"], input=content, cwd=nights.shop, capture_output=True, check=False
            )
            assert done.returncode == code, done.stderr
            assert done.stdout == (b"one\n1\n" if code == 0 else b"")

    def test_values(self, nights: Nights) -> None:
        """Given values, then they are bound: numbers as numbers, everything else as text."""
        sql = "SELECT typeof(:a), typeof(:b), :b, typeof(:c)"
        answer = value_of(
            query(nights, sql, "--params", "a=12", "--params", "b=' OR 1=1 --", "--params", "c=007", "--json")
        )
        assert answer["rows"] == [["integer", "text", "' OR 1=1 --", "text"]]
        for words, told in (
            (("--params", "a"), "takes NAME=VALUE"),
            (("--params", "a b=1"), "takes NAME=VALUE"),
            (("--params", "a=1", "--params", "a=2"), "gives a twice"),
        ):
            (problem,) = refused(query(nights, "SELECT :a", *words, "--json"))
            assert told in problem["message"]

    @pytest.mark.parametrize("name", QUESTIONS)
    def test_canned_questions_have_answers(self, nights: Nights, name: str) -> None:
        """Given a canned question, then it is answered, and no secret stands in the answer."""
        done = query(nights, "--canned", name, "--json")
        value_of(done, "audit-query")
        assert SECRET not in done.stdout

    def test_list(self, nights: Nights, tmp_path: Path) -> None:
        """Given --list, then every view and every question, also where there is no ledger."""
        found = value_of(program("audit", "query", "--list", "--json", cwd=tmp_path), "audit-query-list")
        assert [view["name"] for view in found["views"]] == list(VIEWS)
        assert [question["name"] for question in found["questions"]] == list(QUESTIONS)
        lines = query(nights, "--list").stdout
        assert all(f"  {name}: " in lines for name in (*VIEWS, *QUESTIONS))

    def test_while_a_run_is_on(self, tmp_path: Path) -> None:
        """Given a run that is on, then its row can be read, and the run goes on."""
        (tmp_path / "pipeline.toml").write_text(
            '[pipeline]\nname = "p"\n[steps.a]\nshell = "orchestrate audit query --csv \'SELECT status FROM audit_runs\' > seen"\n'
            '[env]\npass = ["PATH"]\n',
            encoding="utf-8",
        )
        path = f"{PROGRAM.parent}{os.pathsep}{os.environ['PATH']}"
        assert program("run", "--quiet", cwd=tmp_path, env={"PATH": path}).returncode == 0
        assert (tmp_path / "seen").read_text().split() == ['"status"', '"running"']


class TestRefusals:
    """Exit code 7, a message, and nothing made."""

    @pytest.mark.parametrize(
        ("sql", "kind", "told"),
        [
            ("DROP TABLE events", "query_refused", "change the schema"),
            ("SELECT 1; DELETE FROM events", "query_refused", "more than one statement: ask one at a time"),
            ("ATTACH 'made.db' AS made", "query_refused", "open another file (made.db)"),
            ("VACUUM INTO 'made.db'", "query_refused", "SQLite does not take it: "),
            ("PRAGMA writable_schema = 1", "query_refused", "setting (writable_schema)"),
            ("SELECT load_extension('made')", "query_refused", "load_extension()"),
            ("SELECT randomblob(2000000000)", "query_limit", "16 MiB"),
            ("SELECT printf('%1000000000d', 1)", "query_limit", "16 MiB"),
            ("SELECT nowhere FROM audit_runs", "query_refused", "SQLite does not take it: "),
            ("WITH RECURSIVE c(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM c) SELECT x FROM c", "query_limit", "100,000 rows"),
        ],
    )  # fmt: skip
    def test_refused(self, nights: Nights, sql: str, kind: str, told: str) -> None:
        """Given what must not be asked, then exit code 7, in JSON and in words, and no file was made."""
        before = everything_in(nights.shop.parent), nights.ledger.read_bytes()
        (problem,) = refused(query(nights, sql, "--json"), 7)
        assert problem["kind"] == kind
        assert told in problem["message"]
        done = query(nights, sql)
        assert (done.returncode, done.stdout) == (7, "")
        assert done.stderr.startswith("error: the query was ")
        assert (everything_in(nights.shop.parent), nights.ledger.read_bytes()) == before

    @pytest.mark.parametrize("sql", [ENDLESS, ONE_LONG_STEP], ids=["endless", "one long step"])
    @pytest.mark.parametrize("option", [("--json",), ()], ids=["json", "text"])
    def test_time_is_over(self, nights: Nights, sql: str, option: tuple[str, ...]) -> None:
        """Given a question that takes for ever, also within what SQLite does in one step, then it is stopped, with code 7."""
        done = query(nights, sql, "--timeout", "300ms", *option)
        no_traceback(done)
        if option:
            (problem,) = refused(done, 7)
            assert problem["kind"] == "query_limit"
            assert "after 0.3 s" in problem["message"]
        assert done.returncode == 7
        assert "after 0.3 s" in done.stderr

    def test_limits_can_be_set(self, nights: Nights) -> None:
        """Given limits, then they hold; given limits that are none, then exit code 2."""
        assert query(nights, "SELECT seq FROM audit_events", "--max-rows", "2").returncode == 7
        assert query(nights, "SELECT data FROM audit_events", "--max-bytes", "1KiB").returncode == 7
        for words in (("--timeout", "soon"), ("--max-bytes", "much"), ("--max-rows", "0")):
            refused(query(nights, "SELECT 1", *words, "--json"))

    def test_usage(self, nights: Nights) -> None:
        """Given no question, two of them, or two forms of answer, then exit code 2."""
        for words in ((), ("SELECT 1", "--list"), ("SELECT 1", "--canned", "refused-starts"), ("SELECT 1", "--csv")):
            refused(query(nights, *words, "--json"))

    def test_interrupted(self, nights: Nights) -> None:
        """Given Ctrl-C while it works, then it ends at once, with the code of that."""
        with started("audit", "query", ENDLESS, cwd=nights.shop) as process:
            _wait_for_cpu(process.pid)
            process.send_signal(signal.SIGINT)
            done = ended(process)
        assert done.returncode == 130
        no_traceback(done)

    def test_no_ledger(self, tmp_path: Path) -> None:
        """Given no ledger, then exit code 2, and none is made."""
        (problem,) = refused(program("audit", "query", "SELECT 1", "--json", cwd=tmp_path))
        assert problem["kind"] == "no_ledger"
        assert list(tmp_path.iterdir()) == []

    def test_view_that_hides_rows(self, nights: Nights, tmp_path: Path) -> None:
        """Given a view that was changed to hide what failed, then nothing is shown, and the view is named."""
        shutil.copytree(nights.shop, tmp_path / "shop")
        with closing(sqlite3.connect(tmp_path / "shop" / ".orchestrate" / "ledger.db")) as connection:
            connection.executescript("DROP VIEW audit_failures; CREATE VIEW audit_failures AS SELECT 1 WHERE 0")
        (problem,) = refused(program("audit", "query", "SELECT 1", "--json", cwd=tmp_path / "shop"), 3)
        assert "audit_failures is not as it was made" in problem["message"]


def _wait_for_cpu(pid: int) -> None:
    """Return when the process has worked for a third of a second: it is in the middle of it then."""
    wait_until(lambda: sum(map(int, Path(f"/proc/{pid}/stat").read_text().split()[13:15])) > 33, "it does not work")


class TestCsvText:
    """What spreadsheets act upon."""

    @pytest.mark.parametrize("sign", list("=+-@\t\r\n\0\uff1d\uff0b\uff0d\uff20'"))
    def test_no_text_begins_with_a_sign(self, sign: str) -> None:
        """Given a text that begins with such a sign, then an apostrophe stands before it; reading back takes it away."""
        text = f"{sign}cmd|' /C calc'!A0"
        (row,) = csv.reader(io.StringIO(csv_line([text]), newline=""))
        assert row[0] == "'" + text
        assert read_back(row[0]) == text

    def test_numbers_stay_numbers(self) -> None:
        """Given numbers, then they are not quoted, whatever they begin with; what is no number to others is text."""
        assert (
            csv_line([-5, -0.5, 1e300, 1e-7, float("inf"), 2**62])
            == '-5,-0.5,1e+300,1e-07,"inf",4611686018427387904\r\n'
        )

    def test_json_in_a_cell(self) -> None:
        """Given JSON, then the cell reads back as the same JSON."""
        value = json.dumps({"a": ['x"y', "1,2"]})
        (row,) = csv.reader(io.StringIO(csv_line([value]), newline=""))
        assert row == [value]
