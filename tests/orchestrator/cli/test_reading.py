"""Tests of what every reading command does: which run is meant, what a ledger that is not right gets for an answer."""

from __future__ import annotations

import shlex
import shutil
import sqlite3
import subprocess
from contextlib import closing
from pathlib import Path

import pytest

from ledger.errors import StorageError
from orchestrator.cli.damage import naming_damage
from orchestrator.cli.reading import viewing
from tests.nights import Nights
from tests.programs import PROGRAM, Done, no_traceback, program, refused, value_of
from tests.tampering import unguarded

READING = (
    ("status",),
    ("runs",),
    ("runs", "--refused"),
    ("changes",),
    ("show", "latest"),
    ("logs", "latest"),
    ("explain", "latest", "totals"),
    ("report", "latest"),
    ("graph", "latest"),
)
LISTING = READING[:4]
OF_A_RUN = READING[4:]


def copy_of(nights: Nights, folder: Path) -> Path:
    """Return a copy of the shop that a test may harm."""
    shutil.copytree(nights.shop, folder / "shop")
    return folder / "shop"


class TestBeforeTheFirstRun:
    """Without a ledger there is nothing to list and no run to find."""

    @pytest.mark.parametrize("command", LISTING, ids=" ".join)
    def test_listing_commands_list_nothing(self, tmp_path: Path, command: tuple[str, ...]) -> None:
        """Given no ledger, then a list is empty, the exit code 0, and nothing is made."""
        assert value_of(program(*command, "--json", cwd=tmp_path)) == []
        done = program(*command, cwd=tmp_path)
        assert (done.returncode, done.stdout) == (0, "")
        assert list(tmp_path.iterdir()) == []

    @pytest.mark.parametrize("command", OF_A_RUN, ids=" ".join)
    def test_run_cannot_be_found(self, tmp_path: Path, command: tuple[str, ...]) -> None:
        """Given no ledger, then a run is not found, and the message says where the ledger would be and what makes it."""
        (problem,) = refused(program(*command, "--json", cwd=tmp_path))
        assert problem["kind"] == "no_ledger"
        assert str(tmp_path / ".orchestrate" / "ledger.db") in problem["message"]
        assert "`orchestrate run`" in problem["message"]

    def test_ledger_without_a_run_lists_what_was_refused(self, tmp_path: Path) -> None:
        """Given a first start that was refused, then there is no latest run, and status names the refusal."""
        (tmp_path / "pipeline.toml").write_text(
            '[pipeline]\nname = "p"\n[datasets.raw]\npath = "raw"\n[steps.a]\ncommand = ["true"]\nreads = ["raw"]\n'
        )
        assert program("run", cwd=tmp_path).returncode == 2
        (problem,) = refused(program("show", "latest", "--json", cwd=tmp_path))
        assert problem["kind"] == "no_runs"
        (entry,) = value_of(program("status", "--json", cwd=tmp_path), "status")
        assert (entry["last_run"], entry["refusals_since"], entry["next"]) == (None, 1, [])
        assert program("status", cwd=tmp_path).stdout == (
            "p: never run\n  a start was refused since; `orchestrate runs --refused` tells why\n"
        )


class TestWhichRun:
    """A run is an id, a unique beginning of one, `latest` or `latest:PIPELINE`; each mistake has its own message."""

    @pytest.mark.parametrize("command", OF_A_RUN, ids=lambda command: command[0])
    def test_unknown_run_is_refused_by_every_command(self, nights: Nights, command: tuple[str, ...]) -> None:
        """Given an id that no run has, then the message names it and says how to list runs."""
        arguments = [command[0], "20990101T000000Z", *command[2:]]
        (problem,) = refused(program(*arguments, "--json", cwd=nights.shop))
        assert problem["kind"] == "unknown_run"
        assert problem["message"] == "no run 20990101T000000Z in this ledger; `orchestrate runs` lists them"

    @pytest.mark.parametrize(
        ("word", "options", "kind", "told"),
        [
            ("20", (), "ambiguous_run", "type more of it"),
            ("../../etc", (), "bad_run_id", "type an id"),
            ("", (), "bad_run_id", "not a run id"),
            ("x\x1b[31m", (), "bad_run_id", "\\x1b"),
            ("latest:nope", (), "unknown_pipeline", "this ledger has mart, shop"),
            ("OTHER", ("--pipeline", "pipeline.toml"), "other_pipeline", "is of pipeline mart, not of shop"),
            ("latest", ("--pipeline", "nowhere.toml"), "unknown_pipeline", "knows no pipeline of nowhere.toml"),
            ("latest", ("--ledger", "nowhere/ledger.db"), "no_ledger", "nowhere/ledger.db"),
        ],
    )
    def test_each_mistake_has_its_message(
        self, nights: Nights, word: str, options: tuple[str, ...], kind: str, told: str
    ) -> None:
        """Given a word that means no run, then the problem says which way of not meaning one it is."""
        word = nights.other if word == "OTHER" else word
        (problem,) = refused(program("show", word, "--json", *options, cwd=nights.shop))
        assert problem["kind"] == kind
        assert told in problem["message"]

    def test_latest_is_the_newest_of_all_or_of_one_pipeline(self, nights: Nights) -> None:
        """Given two pipelines, then `latest` is the newest run, of the pipeline that is named where one is."""
        found = {
            words: value_of(program("show", *words, "--json", cwd=nights.shop), "show")["run_id"]
            for words in (
                ("latest",),
                ("latest:shop",),
                ("latest", "--pipeline", "pipeline.toml"),
                ("latest", "--pipeline", "."),
                ("latest:mart", "--pipeline", "."),
                (nights.good,),
                (nights.good[:-1],),
            )
        }
        assert list(found.values()) == [
            nights.other,
            nights.failed,
            nights.failed,
            nights.failed,
            nights.other,
            nights.good,
            nights.good,
        ]

    def test_step_that_the_run_lacks_is_not_defined(self, nights: Nights) -> None:
        """Given a step of another name, then it is called not defined, and the nearest one is named."""
        (problem,) = refused(program("explain", "latest:shop", "total", "--json", cwd=nights.shop))
        assert problem["kind"] == "unknown_step"
        assert problem["message"].endswith(f"is not defined in run {nights.failed}; did you mean totals?")
        (problem,) = refused(program("logs", "latest:shop", "xyz", "--json", cwd=nights.shop))
        assert problem["message"].endswith("; it has ingest, totals, mail")


class TestOptions:
    """Options stand before or after the verb's arguments, and say where the ledger is."""

    def test_options_may_stand_after_the_verb(self, nights: Nights) -> None:
        """Given the same options in another order, then the answer is the same."""
        options = ("--json", "--ledger", str(nights.ledger))
        first = program("show", *options, nights.good, cwd=nights.mart)
        last = program("show", nights.good, *options, cwd=nights.mart)
        assert first.stdout == last.stdout
        assert value_of(last, "show")["run_id"] == nights.good

    def test_ledger_is_found_by_option_variable_or_folder(self, nights: Nights, tmp_path: Path) -> None:
        """Given a ledger by option, by variable, or by its folder, then it is the same one; no definition is needed."""
        folder = nights.ledger.parent
        expected = program("runs", "--json", cwd=nights.shop).stdout
        assert value_of(program("runs", "--json", "--ledger", str(folder), cwd=tmp_path))
        for done in (
            program("runs", "--json", "--ledger", str(nights.ledger), cwd=tmp_path),
            program("runs", "--json", "--ledger", str(folder), cwd=tmp_path),
            program("runs", "--json", cwd=tmp_path, env={"ORCHESTRATE_LEDGER": str(nights.ledger)}),
        ):
            assert done.stdout == expected

    def test_next_commands_carry_the_options(self, nights: Nights) -> None:
        """Given a pipeline of another folder, then what to type next finds it from here."""
        shown = value_of(
            program("explain", nights.failed, "totals", "--json", "--ledger", str(nights.ledger), cwd=nights.mart)
        )
        assert [line.endswith(f" --pipeline ../{nights.shop.name}/pipeline.toml") for line in shown["next"]] == [
            True,
            True,
            True,
        ]


class TestUnfitLedger:
    """What is no ledger, is damaged or newer is told from what cannot be read: exit codes 3 and 5."""

    @pytest.mark.parametrize("command", READING, ids=" ".join)
    def test_foreign_file_is_no_ledger(self, tmp_path: Path, command: tuple[str, ...]) -> None:
        """Given a text file in place of the ledger, then the exit code is 3 and the file is named."""
        (tmp_path / "notes.txt").write_text("notes")
        (problem,) = refused(program(*command, "--json", "--ledger", "notes.txt", cwd=tmp_path), 3)
        assert f"{tmp_path}/notes.txt is not a ledger" in problem["message"]

    @pytest.mark.parametrize("command", [("runs",), ("show", "latest"), ("status",)], ids=" ".join)
    def test_damaged_pages_are_named(self, nights: Nights, tmp_path: Path, command: tuple[str, ...]) -> None:
        """Given pages that hold something else, then the exit code is 3 and the message names the file."""
        shop = copy_of(nights, tmp_path)
        ledger = shop / ".orchestrate" / "ledger.db"
        content = bytearray(ledger.read_bytes())
        content[2 * 4096 :] = b"\xa5" * (len(content) - 2 * 4096)
        ledger.write_bytes(content)
        (problem,) = refused(program(*command, "--json", cwd=shop), 3)
        assert f"{ledger} is damaged" in problem["message"]

    @pytest.mark.parametrize(
        ("change", "code", "told"),
        [
            ("PRAGMA user_version = 99", 3, "use a newer program"),
            ("UPDATE projections SET version = 99", 3, "use a newer program"),
            ("DROP TABLE steps", 3, "is damaged: no such table: steps"),
        ],
    )
    def test_other_versions(self, nights: Nights, tmp_path: Path, change: str, code: int, told: str) -> None:
        """Given a file or tables of another version, then the message says which program can go on."""
        shop = copy_of(nights, tmp_path)
        with closing(sqlite3.connect(shop / ".orchestrate" / "ledger.db")) as connection:
            connection.execute("PRAGMA writable_schema = ON")
            connection.execute(change)
            connection.commit()
        (problem,) = refused(program("show", "latest", "--json", cwd=shop), code)
        assert told in problem["message"]
        assert str(shop / ".orchestrate" / "ledger.db") in problem["message"]

    def test_an_event_that_makes_no_sense(self, nights: Nights, tmp_path: Path) -> None:
        """Given a start whose text was changed, then the exit code is 3 and the event is named: it is no bug of the program."""
        shop = copy_of(nights, tmp_path)
        with unguarded(shop / ".orchestrate" / "ledger.db") as connection:
            (seq,) = connection.execute("SELECT max(seq) FROM events WHERE type = 'run.started'").fetchone()
            connection.execute("UPDATE events SET body = json_set(body, '$.type', 'x') WHERE seq = ?", (seq,))
        (problem,) = refused(program("diff", "latest", "latest", "--json", cwd=shop), 3)
        assert f"the text of event {seq} is not what its hash says" in problem["message"]

    def test_an_error_beside_sound_events(self, nights: Nights, tmp_path: Path) -> None:
        """Given an error that no event explains, or whose ledger is gone, then it stays the bug that it is."""
        with pytest.raises(KeyError), naming_damage(nights.ledger):
            raise KeyError
        with pytest.raises(KeyError), naming_damage(tmp_path / "gone.db"):
            raise KeyError

    def test_storage_that_fails_while_reading_names_the_file(self, nights: Nights) -> None:
        """Given an error of the disk, then it is told as one of storage, with the ledger's name."""
        with (
            pytest.raises(StorageError, match=f"the ledger {nights.ledger} could not be written or read: disk I/O"),
            viewing(None, str(nights.ledger)),
        ):
            raise sqlite3.OperationalError("disk I/O error")


class TestFilesThatAreGone:
    """What a run left behind may be cleared away; the ledger still says what it was."""

    def test_logs_folder_that_has_gone(self, nights: Nights, tmp_path: Path) -> None:
        """Given a run whose log folder has gone, then logs says so, with or without --follow, and everything else works."""
        shop = copy_of(nights, tmp_path)
        shutil.rmtree(shop / ".orchestrate" / "logs" / nights.failed)
        for options in ((), ("--follow",)):
            done = program("logs", nights.failed, *options, cwd=shop)
            assert done.returncode == 2
            assert done.stderr.startswith(f"error: the logs of run {nights.failed} are gone: there is no folder ")
        (problem,) = refused(program("logs", nights.failed, "--json", cwd=shop))
        assert problem["kind"] == "logs_gone"
        assert program("explain", nights.failed, "totals", cwd=shop).returncode == 0
        assert program("report", nights.failed, cwd=shop).returncode == 0

    def test_log_that_has_gone(self, nights: Nights, tmp_path: Path) -> None:
        """Given one log that has gone, then logs names it; the other step's can still be read."""
        shop = copy_of(nights, tmp_path)
        (shop / ".orchestrate" / "logs" / nights.failed / "totals.1.log").unlink()
        (problem,) = refused(program("logs", nights.failed, "--json", cwd=shop))
        assert problem["kind"] == "log_gone"
        assert problem["message"].endswith(f"logs/{nights.failed}/totals.1.log")
        assert program("logs", nights.failed, "ingest", cwd=shop).stdout == "key *** for nyc\n"


class TestOutput:
    """Stdout is for results alone; what reads it may leave, be full or be closed."""

    @pytest.mark.parametrize("command", READING, ids=" ".join)
    def test_json_is_one_value_on_one_line(self, nights: Nights, command: tuple[str, ...]) -> None:
        """Given --json, then stdout is one value that follows the schema, and stderr stays empty."""
        words = [word.replace("latest", "latest:shop") for word in command]
        done = program(*words, "--json", cwd=nights.shop)
        value_of(done, {"runs --refused": "refusals"}.get(" ".join(command), command[0]))
        assert done.stderr == ""

    @pytest.mark.parametrize("command", READING, ids=" ".join)
    def test_no_escape_sequences(self, nights: Nights, command: tuple[str, ...]) -> None:
        """Given no terminal, then no output holds an escape sequence, even where colours are forced."""
        words = [word.replace("latest", "latest:shop") for word in command]
        done = program(*words, cwd=nights.shop, env={"FORCE_COLOR": "1", "NO_COLOR": ""})
        assert "\x1b" not in done.stdout + done.stderr
        no_traceback(done)

    @pytest.mark.parametrize("option", [(), ("--json",)], ids=["text", "json"])
    def test_reader_that_leaves_is_no_error(self, tmp_path: Path, option: tuple[str, ...]) -> None:
        """Given a reader that takes one line of many, then the exit code is 0 and nothing is said."""
        (tmp_path / "pipeline.toml").write_text(
            '[pipeline]\nname = "p"\n[steps.a]\ncommand = ["seq", "100000"]\n', encoding="utf-8"
        )
        assert program("run", "--quiet", cwd=tmp_path).returncode == 0
        done = piped("logs", "latest", *option, to="head -c 1", cwd=tmp_path)
        assert (done.stderr, done.stdout[1:]) == ("", "0\n")

    @pytest.mark.parametrize("command", [("runs",), ("runs", "--json"), ("logs", "latest:shop"), ("--version",)])
    def test_full_disk_is_exit_5(self, nights: Nights, command: tuple[str, ...]) -> None:
        """Given a stdout that is full, then the exit code is 5 and the message says why."""
        done = piped(*command, to=None, cwd=nights.shop, redirect=">/dev/full")
        assert done.stdout == "5\n"
        assert done.stderr == "error: the output could not be written: No space left on device\n"

    @pytest.mark.parametrize("command", [("runs",), ("runs", "--json"), ("logs", "latest:shop"), ("--version",)])
    def test_closed_stdout_is_no_error(self, nights: Nights, command: tuple[str, ...]) -> None:
        """Given a stdout that is closed, then nobody reads, and nothing is wrong."""
        done = piped(*command, to=None, cwd=nights.shop, redirect=">&-")
        assert (done.stdout, done.stderr) == ("0\n", "")

    def test_encoding_that_lacks_characters(self, tmp_path: Path) -> None:
        """Given an output of ASCII alone, then text is written out and JSON stays JSON."""
        (tmp_path / "pipeline.toml").write_text(
            '[pipeline]\nname = "p"\n[steps.a]\nshell = "echo café 😂"\n', encoding="utf-8"
        )
        assert program("run", "--quiet", "--reason", "été 😂", cwd=tmp_path).returncode == 0
        ascii_only = {"PYTHONIOENCODING": "ascii", "PYTHONUTF8": "0"}
        assert value_of(program("show", "latest", "--json", cwd=tmp_path, env=ascii_only), "show")["reason"] == "été 😂"
        assert "\\xe9t\\xe9" in program("show", "latest", cwd=tmp_path, env=ascii_only).stdout


def piped(*command: str, to: str | None, cwd: Path, redirect: str = "") -> Done:
    """Run the program in a shell, its stdout going to the command *to* or redirected; its exit code is printed last."""
    line = shlex.join([str(PROGRAM), *command])
    if to is not None:
        script = f"{{ {line}; echo $? >code; }} | {to}; cat code; rm code"
    else:
        script = f"{line} {redirect}; echo $?"
    return subprocess.run(["sh", "-c", script], cwd=cwd, capture_output=True, text=True, timeout=60, check=False)
