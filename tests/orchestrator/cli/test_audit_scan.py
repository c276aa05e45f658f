"""Tests of `orchestrate audit scan`: what was kept is looked through for the values of secrets, which are never shown."""

from __future__ import annotations

import base64
import os
import shutil
import sqlite3
import subprocess
import sys
from collections.abc import Mapping
from contextlib import closing
from pathlib import Path

import pytest

from orchestrator.cli.audit import scanning
from orchestrator.cli.audit.scanning import Known, Scan, scan_folder, watching
from orchestrator.core.secret_search import SecretSearch
from tests.nights import SECRET, SHOP, Nights, write_shop
from tests.old_ledgers import digest_of
from tests.programs import Done, ledger_of, no_traceback, program, refused, value_of

PROGRAM = """
import sys
from orchestrator.cli.commands import audit
audit.COMMANDS.setdefault("scan", "")
from orchestrator.cli.app import main
main()
"""


def scan(folder: Path, *arguments: str, env: Mapping[str, str] | None = None) -> Done:
    """Look through what was kept of the project in *folder*; whatever is found, no value is shown."""
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, "audit", "scan", *arguments],
        cwd=folder,
        env={**os.environ, **(env or {})},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    no_traceback(done)
    assert SECRET not in done.stdout + done.stderr
    return done


@pytest.fixture
def shop(tmp_path: Path, nights: Nights) -> Path:
    """Give a project with history of its own to write into."""
    shop = write_shop(tmp_path / "shop", SHOP)
    shutil.copytree(nights.ledger.parent, shop / ".orchestrate")
    return shop


@pytest.fixture
def old_log(shop: Path) -> Path:
    """Give a log from before a secret was one."""
    log = shop / ".orchestrate" / "logs" / "old" / "ingest.1.log"
    log.parent.mkdir(parents=True)
    log.write_bytes(b"\xff\x00 the key: " + SECRET.encode() + b"\n")
    return log


class TestFiles:
    """Everything beside the ledger."""

    def test_nothing(self, shop: Path) -> None:
        """Given history whose secrets were masked, then nothing is found, and nothing is written."""
        before = digest_of(ledger_of(shop))
        value = value_of(scan(shop, "--json"), "audit-scan")

        assert (value["found"], value["findings"], value["looked_for"]) == (0, [], ["API_KEY"])
        assert value["rows"] > 100
        assert value["files"] > 5
        assert digest_of(ledger_of(shop)) == before
        assert "nothing of API_KEY was found in" in scan(shop).stdout

    def test_old_log(self, shop: Path, old_log: Path) -> None:
        """Given a log with the value, then file, byte and name are told, and the exit code is 1."""
        done = scan(shop)

        assert done.returncode == 1
        assert "logs/old/ingest.1.log: byte 12 begins something of API_KEY\n" in done.stdout
        assert done.stdout.endswith("API_KEY 1\nreplace what was found: docs/how-to/secrets.md\n")

    def test_encoded_and_between_pieces(self, shop: Path, old_log: Path) -> None:
        """Forms that are masked are found, also where two readings meet; one place counts once."""
        encoded = base64.b64encode(b"user:" + SECRET.encode())
        old_log.write_bytes(b"-" * (scanning._PIECE_BYTES - 5) + SECRET.encode() * 2 + b" " + encoded + b"\n")
        value = value_of(scan(shop, "--json"), "audit-scan", code=1)
        offsets = [finding["offset"] for finding in value["findings"]]

        assert offsets[0] == scanning._PIECE_BYTES - 5
        assert (value["found"], value["counts"]) == (2, {"API_KEY": 2})

    def test_name_of_a_file(self, shop: Path, old_log: Path) -> None:
        """Given a file that is called like it, then that is told without its name, and it is not looked for in vain."""
        old_log.rename(old_log.with_name(f"{SECRET}.log"))
        done = scan(shop)

        assert done.returncode == 1
        assert "logs/old/***.log: its name holds API_KEY\n" in done.stdout

    def test_many(self, shop: Path, old_log: Path) -> None:
        """Given thousands of findings, then the first are told and all are counted."""
        old_log.write_text(f"{SECRET} \n" * 3000, encoding="utf-8")
        value = value_of(scan(shop, "--json"), "audit-scan", code=1)

        assert (value["found"], len(value["findings"])) == (3000, 1000)
        assert "logs/old/ingest.1.log: and 980 more\n" in scan(shop).stdout

    def test_links_and_fifos(self, shop: Path, old_log: Path) -> None:
        """What is no file of its own is not followed and not waited for."""
        old_log.rename(shop / "elsewhere.log")
        old_log.symlink_to(shop / "elsewhere.log")
        os.mkfifo(old_log.with_name("fifo"))

        assert value_of(scan(shop, "--json"), "audit-scan")["found"] == 0

    def test_what_vanishes_or_cannot_be_read(self, shop: Path, old_log: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """A file that is gone tells nobody anything; one that cannot be opened is named."""
        opened = os.open

        def fails(path: Path, *arguments: int) -> int:
            if str(path).endswith(".log"):
                raise FileNotFoundError if path != old_log else PermissionError(13, "Permission denied", str(path))
            return opened(path, *arguments)

        monkeypatch.setattr(os, "open", fails)
        known = Known({"API_KEY": SECRET}, [], [])
        found = scan_folder(shop / ".orchestrate", known, str, lambda *_: None)

        assert found.unread == {"logs/old/ingest.1.log": "Permission denied"}
        assert found.counts == {}

    def test_folder_that_may_be_listed_and_not_entered(
        self, shop: Path, old_log: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """What is in it is named, and everything else is looked through."""
        other = old_log.with_name("other.log")
        other.write_text(SECRET)
        lstat = Path.lstat

        def fails(path: Path) -> os.stat_result:
            if path == old_log:
                raise PermissionError(13, "Permission denied", str(path))
            if path.suffix == ".db":
                raise FileNotFoundError(2, "No such file or directory", str(path))
            return lstat(path)

        monkeypatch.setattr(Path, "lstat", fails)
        found = scan_folder(shop / ".orchestrate", Known({"API_KEY": SECRET}, [], []), str, lambda *_: None)

        assert found.unread == {"logs/old/ingest.1.log": "Permission denied"}
        assert found.counts == {"API_KEY": 1}

    def test_unread_is_not_clean(self, shop: Path) -> None:
        """Given a ledger that is damaged, then it is looked through as bytes, named, and the exit code is 5."""
        database = ledger_of(shop)
        data = bytearray(database.read_bytes())
        data[4096:] = bytes(len(data) - 4096)
        database.write_bytes(data)
        value = value_of(scan(shop, "--json"), "audit-scan", code=5)

        assert [item["file"] for item in value["unread"]] == ["ledger.db"]
        assert "ledger.db: could not be read: " in scan(shop).stdout


class TestLedger:
    """Every text and blob, row by row."""

    def test_event_and_tables(self, shop: Path) -> None:
        """Given a note from before the variable was a secret, then its event is named by seq, and the table that shows it."""
        (shop / ".env").unlink()
        noted = value_of(program("note", "latest", f"the key is {SECRET}", "--json", cwd=shop), "note")
        (shop / ".env").write_text(f"API_KEY={SECRET}\n", encoding="utf-8")
        done = scan(shop)
        value = value_of(scan(shop, "--json"), "audit-scan", code=1)

        assert f"ledger.db: event {noted['seq']}, byte " in done.stdout
        assert ("events", noted["seq"]) in [(finding["table"], finding["row"]) for finding in value["findings"]]

    def test_blob_and_key(self, shop: Path) -> None:
        """Given a blob with the value under a digest that has it too, then the row is named without it."""
        with closing(sqlite3.connect(ledger_of(shop), isolation_level=None)) as connection:
            connection.execute("INSERT INTO blobs VALUES (?, ?)", (f"sha256:{SECRET}", b"\x00\xff" + SECRET.encode()))
            connection.execute('CREATE TABLE "odd "" one" (a, b, PRIMARY KEY (a, b)) WITHOUT ROWID')
            connection.execute('INSERT INTO "odd "" one" VALUES (1.5, ?)', (SECRET,))
            connection.execute("CREATE TABLE keyless (a)")
            connection.execute("INSERT INTO keyless VALUES (?)", (SECRET,))
        value = value_of(scan(shop, "--json"), "audit-scan", code=1)

        assert [(item["table"], item["row"], item["offset"]) for item in value["findings"]] == [
            ("blobs", "sha256:***", 7),
            ("blobs", "sha256:***", 2),
            ("keyless", 1, 0),
            ('odd " one', "1.5 ***", 0),
        ]
        assert "row sha256:*** of blobs, byte 7 begins something of API_KEY" in scan(shop).stdout

    def test_ledger_in_an_archive(self, shop: Path) -> None:
        """Given a copy of a ledger beside it, then that is read row by row too, and its log with it."""
        copy = shop / ".orchestrate" / "ledger.12345678.db"
        shutil.copy(ledger_of(shop), copy)
        with closing(sqlite3.connect(copy, isolation_level=None)) as connection:
            connection.execute("INSERT INTO blobs VALUES ('x', ?)", (SECRET.encode(),))
        value = value_of(scan(shop, "--json"), "audit-scan", code=1)

        assert [(item["file"], item["table"]) for item in value["findings"]] == [(copy.name, "blobs")]

    def test_more_than_a_page(self, shop: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """Given more rows than are read at once, then each is read once, and how far it has come is told."""
        whole = scan_folder(shop / ".orchestrate", Known({"API_KEY": SECRET}, [], []), str, lambda *_: None)
        monkeypatch.setattr(scanning, "_ROWS_BETWEEN", 3)
        told: list[tuple[int, int]] = []
        paged = scan_folder(
            shop / ".orchestrate", Known({"API_KEY": SECRET}, [], []), str, lambda *how_far: told.append(how_far)
        )

        assert (whole.rows, whole.bytes) == (paged.rows, paged.bytes)
        assert len(told) > paged.rows // 3 - 1


class TestWhatIsLookedFor:
    """Secrets with the values that a run would give them now."""

    def test_old_value(self, shop: Path, old_log: Path) -> None:
        """Given a new value in .env, then the old one is found with the file that still has it."""
        (shop / "old.env").write_text(f"API_KEY={SECRET}\n", encoding="utf-8")
        (shop / ".env").write_text("API_KEY=a-new-one-0815\n", encoding="utf-8")

        assert scan(shop).returncode == 0
        assert scan(shop, "--env-file", "old.env", "--secret", "API_KEY").returncode == 1

    def test_no_value(self, shop: Path) -> None:
        """Given nothing to look for, then it is refused rather than called clean."""
        (shop / ".env").unlink()
        (problem,) = refused(scan(shop, "--json"))

        assert problem["kind"] == "no_value"
        assert "API_KEY has none now" in problem["message"]

    def test_some_without_value(self, shop: Path) -> None:
        """Given several, then those that cannot be looked for are named."""
        more = "OTHER = { secret = true }\nTINY = { secret = true }\nREGION = {"
        (shop / "pipeline.toml").write_text(SHOP.replace("REGION = {", more), encoding="utf-8")
        (shop / ".env").write_text(f"API_KEY={SECRET}\nTINY=abc\n", encoding="utf-8")
        done = scan(shop)
        value = value_of(scan(shop, "--json"), "audit-scan")

        assert (value["looked_for"], value["without_value"], value["too_short"]) == (["API_KEY"], ["OTHER"], ["TINY"])
        assert "not looked for: OTHER, which has no value now\n" in done.stdout
        assert "not looked for: TINY, which is shorter than six bytes\n" in done.stdout

    @pytest.mark.parametrize(("name", "hint"), [("API_KAY", "did you mean API_KEY?"), ("x", "declared are API_KEY")])
    def test_unknown_name(self, shop: Path, name: str, hint: str) -> None:
        """Given a name that is no secret, then it is refused, with what may be meant."""
        (problem,) = refused(scan(shop, "--secret", name, "--json"))

        assert problem["kind"] == "unknown_secret"
        assert hint in problem["message"]

    def test_file_that_is_missing(self, shop: Path) -> None:
        """Given a file of variables that is not there, then it is refused."""
        (problem,) = refused(scan(shop, "--env-file", "nowhere.env", "--json"))

        assert "nowhere.env" in str(problem)

    def test_no_secret(self, tmp_path: Path) -> None:
        """Given a pipeline without secrets, and without a ledger, then that is said."""
        (tmp_path / "pipeline.toml").write_text('[pipeline]\nname = "p"\n[steps.a]\ncommand = ["true"]\n')
        done = scan(tmp_path)

        assert (done.returncode, done.stdout) == (0, "the definition declares no secret: nothing was looked for\n")


class TestProgress:
    """A long search says how far it is."""

    def test_every_few_seconds(self, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
        """Silent for what is done in a moment."""
        times = iter([0.0, 0.5, 2.5, 2.5, 3.0])
        monkeypatch.setattr("time.monotonic", lambda: next(times))
        with watching("scanning x") as watch:
            watch(1, 30)
            watch(2, 30)
            watch(3, 30)

        assert capsys.readouterr().err == "scanning x: 2 of 30 MiB\n"


class TestSearch:
    """The search itself."""

    def test_two_names_of_one_value(self) -> None:
        """Both are told; what overlaps or touches is one finding, and a short value is named as such."""
        search = SecretSearch({"A": "abcdef", "B": "abcdef", "C": "x"})

        assert [(0, "A"), (0, "B"), (14, "A"), (14, "B")] == list(search.places([b"abcd", b"efabcdef--abcdef"]))
        assert ("C",) == search.ignored

    def test_findings_beyond_the_limit_are_counted(self) -> None:
        """Memory is bounded."""
        found = Scan()
        for _ in range(scanning.KEPT_MAX + 5):
            found.add(scanning.Finding("A", "f", None, None, 0))

        assert (len(found.findings), found.counts) == (scanning.KEPT_MAX, {"A": scanning.KEPT_MAX + 5})
