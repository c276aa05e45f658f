"""Tests of `orchestrate audit serve`: what the page shows, to whom, from where, and that nothing of it is left."""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import shutil
import signal
import socket
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from hashlib import sha256
from pathlib import Path
from typing import NamedTuple
from urllib.parse import quote, urlsplit

import pytest

from orchestrator.projections.questions import QUESTIONS
from orchestrator.projections.views import VIEWS
from tests.nights import Nights, live_through
from tests.programs import PROGRAM, Done, Json, ended, everything_in, follows, program, refused, started, wait_until

pytestmark = pytest.mark.system

COUNTING = "WITH RECURSIVE c(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM c) "
ENDLESS = COUNTING + "SELECT count(*) FROM c"  # noqa: S608
ONE_LONG_STEP = "SELECT instr(printf('%.*c', 8000000, 'a'), printf('%.*c', 4000000, 'a') || 'b')"
HIDDEN = "/*\n--*/ %s /*\n*/ SELECT 1"
"""To SQLite a statement between two comments; Datasette, which leaves out lines that begin with --, sees the SELECT alone."""


@pytest.fixture(scope="module")
def nights(tmp_path_factory: pytest.TempPathFactory) -> Nights:
    """Give a ledger with two pipelines."""
    return live_through(tmp_path_factory.mktemp("served"))


class Page(NamedTuple):
    """A server that runs: its process, its address and what it said of itself."""

    process: subprocess.Popen[str]
    url: str
    said: Json

    @property
    def port(self) -> int:
        """Where it listens."""
        return urlsplit(self.url).port or 0

    def get(
        self, path: str, *, method: str = "GET", key: str | None = None, **headers: str
    ) -> tuple[int, str, dict[str, str]]:
        """Return status, text and headers of the answer for *path* below the address, or below *key*."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=30)
        try:
            connection.request(method, (urlsplit(self.url).path if key is None else key) + path, headers=headers)
            answer = connection.getresponse()
            return (
                answer.status,
                answer.read().decode("utf-8", "replace"),
                {k.lower(): v for k, v in answer.getheaders()},
            )
        finally:
            connection.close()

    def cpu(self) -> int:
        """Return for how many hundredths of a second it has worked."""
        return sum(map(int, Path(f"/proc/{self.process.pid}/stat").read_text().split()[13:15]))

    def rows(self, sql: str) -> list[Json]:
        """Return what *sql* gives on the page."""
        status, text, _ = self.get(f"ledger.json?_shape=array&sql={quote(sql)}")
        assert status == 200, text
        found: list[Json] = json.loads(text)
        return found


@contextlib.contextmanager
def served(folder: Path, *arguments: str) -> Iterator[Page]:
    """Serve the ledger in *folder* until the block ends."""
    with started("audit", "serve", "--port", "0", "--json", *arguments, cwd=folder) as process:
        assert process.stdout is not None
        line = process.stdout.readline()
        assert line, process.communicate()
        said = json.loads(line)
        follows(said, "audit-serve")
        yield Page(process, said["url"], said)
        if process.poll() is None:
            process.terminate()
            ended(process)


@pytest.fixture(scope="module")
def page(nights: Nights) -> Iterator[Page]:
    """Give the page of the ledger, live."""
    with served(nights.shop) as page:
        yield page


def stopped(page: Page, number: signal.Signals) -> Done:
    """End the server with a signal and return what it printed."""
    page.process.send_signal(number)
    return ended(page.process)


class TestPage:
    """What an auditor finds."""

    def test_questions_and_views_are_offered(self, page: Page) -> None:
        """Given the page of the database, then it links every question, and describes every view and its columns."""
        _, text, _ = page.get("ledger")
        for name, question in QUESTIONS.items():
            assert f"/ledger/{name}" in text
            assert question.title.replace("'", "&#39;") in text
        for name, view in VIEWS.items():
            status, text, _ = page.get(f"ledger/{name}")
            assert status == 200
            assert view.description.replace("'", "&#39;") in text
            assert next(iter(view.columns)) in text

    @pytest.mark.parametrize("name", QUESTIONS)
    def test_every_question_has_its_answer(self, page: Page, name: str) -> None:
        """Given a question, then the page answers it."""
        status, text, _ = page.get(f"ledger/{name}.json?_shape=objects")
        assert (status, json.loads(text)["ok"]) == (200, True)

    def test_dashboard_is_there(self, page: Page) -> None:
        """Given the dashboards, then the nights' are listed, and every query of its charts has an answer."""
        assert "Nights" in page.get("-/dashboards")[1]
        status, text, _ = page.get("-/dashboards/nights")
        assert status == 200
        assert "Failures by cause" in text

    def test_new_events_show(self, tmp_path: Path) -> None:
        """Given a run while the page is open, then the page shows it; the file was not taken to be for ever as it is."""
        (tmp_path / "pipeline.toml").write_text(
            '[pipeline]\nname = "p"\n[steps.a]\ncommand = ["true"]\n', encoding="utf-8"
        )
        assert program("run", "--quiet", cwd=tmp_path).returncode == 0
        with served(tmp_path) as page:
            assert page.rows("SELECT count(*) AS n FROM audit_runs") == [{"n": 1}]
            assert program("run", "--quiet", cwd=tmp_path).returncode == 0
            assert page.rows("SELECT count(*) AS n FROM audit_runs") == [{"n": 2}]
            assert page.said["snapshot"] is None

    @pytest.mark.parametrize(
        ("sql", "told"),
        [
            ("DELETE FROM runs", "must be a SELECT"),
            (HIDDEN % "DELETE FROM runs", "would write (runs)"),
            (HIDDEN % "ATTACH 'made.db' AS made", "would open another file (made.db)"),
            (HIDDEN % "PRAGMA query_only = 0", "setting (query_only)"),
            ("SELECT * FROM pragma_table_info('events')", "change the schema"),
            ("SELECT load_extension('x')", "call load_extension()"),
            ("SELECT 1; DROP TABLE runs", "more than one statement"),
            ("SELECT printf('%1000000000d', 1)", "more than 16 MiB"),
            (COUNTING + "SELECT zeroblob(1000000) FROM c", "more than 16,777,216 bytes"),  # noqa: S608
        ],
    )
    def test_it_allows_what_a_query_may(self, page: Page, nights: Nights, sql: str, told: str) -> None:
        """Given a statement that does or needs more than `audit query` allows, also behind a comment, then 400 and why; the file stays."""
        before = everything_in(nights.shop), nights.ledger.read_bytes()
        status, text, _ = page.get(f"ledger.json?sql={quote(sql)}")
        assert (status, told in json.loads(text)["error"]) == (400, True), text
        assert (everything_in(nights.shop), nights.ledger.read_bytes()) == before

    def test_filters_are_statements_too(self, page: Page) -> None:
        """Given a condition in the address of a view, then it may do no more than a statement."""
        assert page.get("ledger/audit_runs.json?_where=night=night")[0] == 200
        status, text, _ = page.get("ledger/audit_runs.json?_where=load_extension('x')")
        assert (status, "call load_extension()" in text) == (400, True)

    def test_long_answers_are_cut_and_say_so(self, page: Page) -> None:
        """Given more rows than the page shows, then the first ones, and that there are more; of a text that is none, its bytes."""
        sql = COUNTING + "SELECT x, CAST(x'C3FF' AS TEXT) AS text FROM c"  # noqa: S608
        answer = json.loads(page.get(f"ledger.json?_shape=objects&sql={quote(sql)}")[1])
        assert (len(answer["rows"]), answer["truncated"]) == (5_000, True)
        assert answer["rows"][0] == {"x": 1, "text": "\\xc3\\xff"}

    def test_time_is_over(self, page: Page) -> None:
        """Given a statement without an end, then it is stopped, and the page is there as before; what can be left out is left out."""
        status, text, _ = page.get(f"ledger.json?sql={quote(ENDLESS)}&_timelimit=50")
        assert (status, "not done after 0.05 s" in json.loads(text)["error"]) == (400, True)
        assert page.get(f"ledger/audit_runs.json?_where={quote(f'1 < ({ENDLESS})')}&_timelimit=50")[0] == 400
        assert page.rows("SELECT 1 AS one") == [{"one": 1}]


class TestAccess:
    """Who gets to see it: whoever was given the address, on this machine."""

    def test_it_listens_on_this_machine_alone(self, page: Page) -> None:
        """Given the listening sockets, then its own is on 127.0.0.1."""
        lines = Path("/proc/net/tcp").read_text(encoding="ascii").splitlines()[1:]
        local = [fields[1] for fields in map(str.split, lines) if fields[3] == "0A"]
        assert f"0100007F:{page.port:04X}" in local
        assert f"00000000:{page.port:04X}" not in local
        with socket.socket(socket.AF_INET6) as other:
            other.settimeout(5)
            assert other.connect_ex(("::1", page.port)) != 0

    @pytest.mark.parametrize("key", ["/", "/guessed/", "/ledger", "/-/", "//"])
    def test_without_the_key_there_is_nothing(self, page: Page, key: str) -> None:
        """Given another path than that of the key, then 404, and no word of what is there."""
        status, text, _ = page.get("", key=key)
        assert (status, text) == (404, "Nothing here.\n")

    def test_another_name_gets_nothing(self, page: Page) -> None:
        """Given a name that was made to point here, as a hostile page would, then 404."""
        assert page.get("ledger", Host=f"evil.example:{page.port}")[0] == 404
        assert page.get("ledger", Host=f"localhost:{page.port}")[0] == 200

    def test_redirections_stay_below_the_key(self, page: Page) -> None:
        """Given an address from which Datasette leads on, then to one of this page, and to no other host."""
        for path, shown in (
            ("ledger/", "ledger"),
            ("/evil.example/", "evil.example"),
            ("\\evil.example/", "evil.example"),
        ):
            status, _, headers = page.get(path)
            assert (status, headers["location"]) == (302, urlsplit(page.url).path + shown)
            assert page.get(shown)[0] in (200, 404)

    def test_nothing_can_be_sent(self, page: Page) -> None:
        """Given anything but a question, then 404."""
        assert page.get("ledger", method="POST")[0] == 404

    def test_pages_may_load_nothing_from_elsewhere(self, page: Page) -> None:
        """Given any page, then its policy names no other host, and its address goes to none."""
        for path in ("", "ledger", "-/dashboards/nights"):
            _, _, headers = page.get(path)
            assert headers["content-security-policy"].startswith("default-src 'self';")
            assert "http" not in headers["content-security-policy"]
            assert headers["referrer-policy"] == "no-referrer"


class TestSnapshot:
    """A copy of one moment."""

    def test_snapshot_is_one_file_that_says_what_it_is(self, nights: Nights, tmp_path: Path) -> None:
        """Given a snapshot, then a private file without a log, its manifest, and a page of exactly that, also a second time."""
        copy = tmp_path / "january.db"
        with served(nights.shop, "--snapshot", str(copy)) as page:
            facts = page.said["snapshot"]
            assert page.rows("SELECT count(*) AS n FROM audit_events") == [{"n": facts["size"]}]
            assert facts["root"] in page.get("")[1]
        assert sha256(copy.read_bytes()).hexdigest() == facts["files"][0]["sha256"]
        assert (copy.stat().st_mode & 0o777, facts["sealed"] <= facts["size"]) == (0o400, True)
        assert {item.name for item in tmp_path.iterdir()} == {"january.db", "january.db.manifest.json"}
        assert json.loads((tmp_path / "january.db.manifest.json").read_bytes()) == facts
        with contextlib.closing(sqlite3.connect(f"file:{copy}?immutable=1", uri=True)) as connection:
            assert connection.execute("PRAGMA integrity_check").fetchone() == ("ok",)
        answer = json.loads(program("audit", "query", "SELECT 1", "--json", cwd=nights.shop).stdout)
        assert (answer["root"], answer["seq_range"]) == (facts["root"], facts["seq_range"])
        with served(tmp_path, "--snapshot", str(copy)) as page:
            assert page.said["snapshot"] == facts

    def test_snapshot_that_was_changed(self, nights: Nights, tmp_path: Path) -> None:
        """Given a snapshot of which one bit is another, or a file that is none, then it is not shown."""
        copy = tmp_path / "january.db"
        with served(nights.shop, "--snapshot", str(copy)):
            pass
        content = bytearray(copy.read_bytes())
        content[len(content) // 2] ^= 1
        copy.chmod(0o600)
        copy.write_bytes(content)
        (problem,) = refused(program("audit", "serve", "--snapshot", str(copy), "--json", cwd=nights.shop))
        assert problem["kind"] == "changed_snapshot"
        (tmp_path / "january.db.manifest.json").write_text("{}")
        (problem,) = refused(program("audit", "serve", "--snapshot", str(copy), "--json", cwd=nights.shop))
        assert problem["kind"] == "no_snapshot"

    def test_snapshot_whose_views_hide_rows(self, nights: Nights, tmp_path: Path) -> None:
        """Given a copy with a changed view, and a manifest that was made for it, then it is not shown."""
        copy = tmp_path / "january.db"
        with served(nights.shop, "--snapshot", str(copy)) as page:
            facts = page.said["snapshot"]
        copy.chmod(0o600)
        with contextlib.closing(sqlite3.connect(copy)) as connection:
            connection.executescript("DROP VIEW audit_skips; CREATE VIEW audit_skips AS SELECT 1 WHERE 0")
        facts["files"][0]["sha256"] = sha256(copy.read_bytes()).hexdigest()
        (tmp_path / "january.db.manifest.json").write_text(json.dumps(facts))
        (problem,) = refused(program("audit", "serve", "--snapshot", str(copy), "--json", cwd=nights.shop), 3)
        assert "audit_skips is not as it was made" in problem["message"]

    @pytest.mark.parametrize(
        ("word", "kind"), [("", "bad_path"), ("/", "bad_path"), ("link", "no_snapshot"), (".", "bad_path")]
    )
    def test_place_for_no_snapshot(self, nights: Nights, tmp_path: Path, word: str, kind: str) -> None:
        """Given no name, or that of a link to nothing, then exit code 2, and nothing is made."""
        (tmp_path / "link").symlink_to("nowhere")
        words = ("--ledger", str(nights.ledger), "--port", "0", "--snapshot", word, "--json")
        (problem,) = refused(program("audit", "serve", *words, cwd=tmp_path))
        assert problem["kind"] == kind
        assert [item.name for item in tmp_path.iterdir()] == ["link"]


class TestEnd:
    """It ends when it is told to, and leaves nothing."""

    @pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
    def test_signal_ends_it(self, nights: Nights, number: signal.Signals, code: int) -> None:
        """Given a signal, also while a browser holds on to a connection, then it ends, with no process and no file left."""
        before = everything_in(nights.shop)
        with served(nights.shop) as page:
            connection = http.client.HTTPConnection("127.0.0.1", page.port, timeout=30)
            connection.request("GET", urlsplit(page.url).path)
            connection.getresponse().read()
            done = stopped(page, number)
            connection.close()
        assert (done.returncode, done.stdout, done.stderr) == (code, "", "")
        assert [name for name in everything_in(nights.shop) if not name.endswith(("-wal", "-shm"))] == [
            name for name in before if not name.endswith(("-wal", "-shm"))
        ]

    @pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
    @pytest.mark.parametrize("sql", [ENDLESS, ONE_LONG_STEP], ids=["endless", "one long step"])
    def test_signal_ends_what_is_being_asked(self, nights: Nights, number: signal.Signals, code: int, sql: str) -> None:
        """Given a signal while SQLite works, also within one step of it, then it ends as otherwise, and prints nothing."""
        with served(nights.shop) as page, socket.create_connection(("127.0.0.1", page.port)) as asking:
            page.get("")
            before = page.cpu()
            request = f"GET {urlsplit(page.url).path}ledger.json?sql={quote(sql)} HTTP/1.1\r\nHost: 127.0.0.1:{page.port}\r\n\r\n"
            asking.sendall(request.encode())
            wait_until(lambda: page.cpu() > before + 50, "it does not work")
            done = stopped(page, number)
        assert (done.returncode, done.stdout, done.stderr) == (code, "", "")

    def test_signal_at_once(self, nights: Nights) -> None:
        """Given a signal as soon as the address is known, then the exit code is that of any other moment."""
        with served(nights.shop) as page:
            assert stopped(page, signal.SIGTERM).returncode == 143

    def test_one_step_without_an_end(self, nights: Nights) -> None:
        """Given a statement that SQLite cannot be stopped within, then the page ends, as `audit query` does, with its code."""
        with served(nights.shop) as page:
            with pytest.raises((http.client.HTTPException, OSError)):
                page.get(f"ledger.json?sql={quote(ONE_LONG_STEP)}")
            done = ended(page.process)
        assert done.returncode == 7
        assert done.stderr == "error: the query was stopped: it was not done after 5 s: the page ends with it\n"

    def test_failure_is_told_in_a_line(self, nights: Nights) -> None:
        """Given an address that Datasette stumbles over, then no traceback on stderr."""
        with served(nights.shop) as page:
            assert page.get("ledger?sql=SELECT+1&_timelimit=soon")[0] == 500
            done = stopped(page, signal.SIGTERM)
        assert done.stderr.startswith("warning: a page could not be shown: ValueError: ")
        assert done.stderr.count("\n") == 1

    def test_port_that_is_taken(self, nights: Nights, tmp_path: Path, page: Page) -> None:
        """Given a port on which somebody listens, then exit code 2, what to do about it, and no snapshot is made."""
        words = ("--port", str(page.port), "--snapshot", str(tmp_path / "copy.db"), "--json")
        (problem,) = refused(program("audit", "serve", *words, cwd=nights.shop))
        assert problem["kind"] == "port_unusable"
        assert f"port {page.port} of 127.0.0.1 cannot be used: " in problem["message"]
        assert problem["message"].endswith("; --port 0 takes one that is free")
        assert list(tmp_path.iterdir()) == []

    @pytest.mark.parametrize("name", ["50%41", "what?", "part#2", "a b", "é"])
    def test_any_path(self, nights: Nights, tmp_path: Path, name: str) -> None:
        """Given a path with what means something in a URI, then the page shows that file, live and as a snapshot."""
        folder = tmp_path / name
        shutil.copytree(nights.shop, folder)
        for words in ((), ("--snapshot", str(folder / f"{name}.db"))):
            with served(folder, *words) as page:
                assert page.rows("SELECT count(*) > 0 AS found FROM audit_runs") == [{"found": 1}]

    def test_no_ledger(self, tmp_path: Path) -> None:
        """Given no ledger, then exit code 2, and none is made."""
        (problem,) = refused(program("audit", "serve", "--json", cwd=tmp_path))
        assert problem["kind"] == "no_ledger"
        assert list(tmp_path.iterdir()) == []

    def test_missing_extra(self, nights: Nights) -> None:
        """Given no Datasette, then exit code 2 with the line that installs it."""
        code = (
            "import sys, importlib.util\n"
            "found = importlib.util.find_spec\n"
            "importlib.util.find_spec = lambda name, *rest: None if name == 'datasette' else found(name, *rest)\n"
            "from orchestrator.cli.app import run_command\n"
            "sys.exit(run_command(['audit', 'serve']))\n"
        )
        done = subprocess.run(
            [sys.executable, "-c", code], cwd=nights.shop, capture_output=True, text=True, timeout=60, check=False
        )
        assert (done.returncode, done.stdout) == (2, "")
        assert "orchestrate[web]" in done.stderr

    def test_view_that_hides_rows(self, nights: Nights, tmp_path: Path) -> None:
        """Given a view that was changed, then the page is not opened on it."""
        shutil.copytree(nights.shop, tmp_path / "shop")
        with contextlib.closing(sqlite3.connect(tmp_path / "shop" / ".orchestrate" / "ledger.db")) as connection:
            connection.executescript("DROP VIEW audit_skips; CREATE VIEW audit_skips AS SELECT 1 WHERE 0")
        (problem,) = refused(program("audit", "serve", "--json", cwd=tmp_path / "shop"), 3)
        assert "audit_skips is not as it was made" in problem["message"]

    def test_older_ledger_has_no_views_to_show(self, nights: Nights, tmp_path: Path) -> None:
        """Given tables that an older program made, then exit code 2, and the command that renews them is named."""
        shutil.copytree(nights.shop, tmp_path / "shop")
        with contextlib.closing(sqlite3.connect(tmp_path / "shop" / ".orchestrate" / "ledger.db")) as connection:
            connection.execute("UPDATE projections SET version = 1")
            connection.commit()
        for words in ((), ("--snapshot", "copy.db")):
            (problem,) = refused(program("audit", "serve", *words, "--json", cwd=tmp_path / "shop"))
            assert problem["kind"] == "old_tables"
            assert "`orchestrate audit upgrade`" in problem["message"]
        assert not (tmp_path / "shop" / "copy.db").exists()

    def test_browser_is_opened(self, nights: Nights, tmp_path: Path) -> None:
        """Given --open, then the browser is called with a private page that leads to the address, which no list of processes shows."""
        script = tmp_path / "browser"
        script.write_text(f'#!/bin/sh\necho "$1" > {tmp_path}/asked\ncp -p "${{1#file://}}" {tmp_path}/page\n')
        script.chmod(0o755)
        command = [str(PROGRAM), "audit", "serve", "--port", "0", "--open"]
        environment = {**os.environ, "BROWSER": f"{script} %s"}
        with subprocess.Popen(
            command, cwd=nights.shop, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        ) as process:
            assert process.stdout is not None
            url = process.stdout.readline().strip()
            page = Page(process, url, {})
            assert page.get("")[0] == 200
            stopped(page, signal.SIGTERM)
        asked = (tmp_path / "asked").read_text().strip()
        assert asked.startswith("file:///")
        assert f"url={url}" in (tmp_path / "page").read_text()
        assert (tmp_path / "page").stat().st_mode & 0o777 == 0o600
        assert not Path(asked.removeprefix("file://")).exists()


@pytest.mark.needs("chromium")
class TestBrowser:
    """The page as a person sees it."""

    def look(self, url: str, folder: Path) -> tuple[str, list[str], set[str | None]]:
        """Open *url* in a browser that finds no other host; return the document, the console's errors, and whom it asked."""
        folder.mkdir()
        net_log = folder / "net.json"
        command = [
            "chromium",
            "--headless",
            "--no-sandbox",
            "--disable-gpu",
            "--disable-dev-shm-usage",
            "--no-first-run",
        ]
        command += ["--disable-background-networking", "--disable-component-update", "--enable-logging=stderr"]
        command += ["--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1", f"--user-data-dir={folder / 'profile'}"]
        command += ["--virtual-time-budget=20000", "--dump-dom", f"--log-net-log={net_log}", url]
        done = subprocess.run(command, capture_output=True, text=True, timeout=90, check=True)
        events = json.loads(net_log.read_text(encoding="utf-8"))["events"]
        requests = [event["params"] for event in events if "initiator" in event.get("params", {})]
        hosts = {urlsplit(request["url"]).hostname for request in requests if request["initiator"] != "not an origin"}
        console = [line for line in done.stderr.splitlines() if ":CONSOLE" in line and '"WARN ' not in line]
        return done.stdout, console, hosts

    def test_questions_are_seen(self, page: Page, tmp_path: Path) -> None:
        """Given the database in a browser, then every canned question is there to click, and nobody else is asked."""
        document, console, hosts = self.look(f"{page.url}ledger", tmp_path / "one")
        assert all(question.title in document for question in QUESTIONS.values())
        assert console == []
        assert hosts == {"127.0.0.1"}
        document, console, hosts = self.look(f"{page.url}ledger/who-ran-what", tmp_path / "two")
        assert "nothing_to_do" in document
        assert (console, hosts) == ([], {"127.0.0.1"})

    def test_dashboard_is_drawn(self, page: Page, tmp_path: Path) -> None:
        """Given the dashboard in a browser, then its four charts are drawn from the ledger, and nobody else is asked."""
        document, console, hosts = self.look(f"{page.url}-/dashboards/nights", tmp_path / "one")
        assert document.count('class="marks"') == 4
        assert "vega.github.io/editor" not in document
        assert console == []
        assert hosts == {"127.0.0.1"}
