"""Tests of a single request: what went wrong is said in words that repeat no address."""

from __future__ import annotations

import base64
import socket
import ssl
import subprocess
import sys
from collections.abc import Iterator

import attrs
import pytest

from orchestrator.cli import posting
from orchestrator.core.definition import Alerts, Channel, Pipeline
from orchestrator.core.problems import Problem
from orchestrator.runtime.channels import channel_values, check_channels
from orchestrator.runtime.environment import Environment, Resolved
from tests.loopback import Loopback, loopback, refusing_url
from tests.pipelines import chain

SECRET = "very-secret-4711"


@pytest.fixture
def server() -> Iterator[Loopback]:
    """Give a server that takes everything."""
    with loopback() as served:
        yield served


class TestAsked:
    """What an address answers."""

    def test_a_message_and_a_mere_question(self, server: Loopback) -> None:
        """Given a body, then it is posted as JSON; given none, the address is asked for."""
        assert posting._asked({"url": f"{server.url}/a", "body": {"text": "é\ud800"}, "headers": {"X-A": "1"}}) is None
        assert posting._asked({"url": f"{server.url}/b"}) is None
        first, second = server.requests
        assert (first["method"], first["body"], first["headers"]["X-A"]) == ("POST", {"text": "é\ud800"}, "1")
        assert first["headers"]["Content-Type"] == "application/json; charset=utf-8"
        assert (second["method"], second["path"]) == ("GET", "/b")

    @pytest.mark.parametrize(
        ("answer", "problem"),
        [
            (500, "HTTP 500 Internal Server Error"),
            (599, "HTTP 599"),
            (204, None),
            ("redirect", "HTTP 302 Found"),
            ("drop", "the connection was dropped, or what came was no HTTP"),
        ],
    )
    def test_answers(self, answer: int | str, problem: str | None, server: Loopback) -> None:
        """Given an answer, then a success is one, and everything else is said; a redirect is not followed."""
        server.answer = answer
        assert posting._asked({"url": f"{server.url}/{SECRET}", "body": {}}) == problem
        assert server.paths == [f"/{SECRET}"]

    @pytest.mark.parametrize(
        ("url", "problem"),
        [
            ("file:///etc/passwd", "its address does not begin with http:// or https://"),
            ("", "its address does not begin with http:// or https://"),
            (f"http://127.0.0.1:1/{SECRET} x", "the connection was dropped, or what came was no HTTP"),
            (f"http://[{SECRET}/", "its address or a header cannot be used: a sign in it is not allowed"),
            (f"http://127.0.0.1:{SECRET}/", "the connection was dropped, or what came was no HTTP"),
        ],
    )
    def test_addresses_that_are_none(self, url: str, problem: str) -> None:
        """Given an address that is none, then that is said without it."""
        assert posting._asked({"url": url, "body": {}}) == problem

    def test_a_header_that_is_none(self, server: Loopback) -> None:
        """Given a secret with a line break in a header, then it is said without it, and nothing is sent."""
        problem = posting._asked({"url": server.url, "headers": {"Authorization": f"{SECRET}\nx"}})
        assert problem == "its address or a header cannot be used: a sign in it is not allowed"
        assert server.requests == []

    @pytest.mark.parametrize(
        ("user_info", "headers", "sent"),
        [
            (f"user:{SECRET}", {}, f"user:{SECRET}"),
            ("user:a%2Fb%40c", {}, "user:a/b@c"),
            ("token", {}, "token:"),
            ("user:pass", {"authorization": "Bearer x"}, None),
        ],
    )
    def test_user_and_password(
        self, server: Loopback, user_info: str, headers: dict[str, str], sent: str | None
    ) -> None:
        """Given an address with user and password, then they are sent as a header, a header that is given goes first, and the server is that of the address."""
        url = f"{server.url.replace('://', f'://{user_info}@')}/f?q=a@b"
        assert posting._asked({"url": url, "headers": headers}) is None
        (request,) = server.requests
        expected = "Bearer x" if sent is None else f"Basic {base64.b64encode(sent.encode()).decode()}"
        seen = {name.lower(): value for name, value in request["headers"].items()}
        assert (request["path"], seen["authorization"]) == ("/f?q=a@b", expected)
        assert SECRET not in seen["host"]

    def test_nobody_listens(self) -> None:
        """Given no server, then the system's words are repeated."""
        assert posting._asked({"url": refusing_url()}) == "no connection: Connection refused"

    def test_no_tls(self, server: Loopback) -> None:
        """Given a server that speaks no TLS, then that is said."""
        problem = posting._asked({"url": server.url.replace("http://", "https://")})
        assert problem is not None
        assert problem.startswith("TLS failed: ")

    @pytest.mark.parametrize(
        ("reason", "problem"),
        [
            (TimeoutError("x"), "no answer in time"),
            (ssl.SSLError(1, SECRET), "TLS failed"),
            (socket.gaierror(-2, "Name or service not known"), "no connection: Name or service not known"),
            (OSError(SECRET), "no connection"),
            (SECRET, "no connection"),
        ],
    )
    def test_reasons(self, reason: object, problem: str) -> None:
        """Given a reason, then our words or the system's are said, never others."""
        assert posting._reason(reason) == problem


class TestNotified:
    """The package apprise."""

    def test_an_address_that_it_does_not_take(self) -> None:
        """Given an address that is none of its own, then its number is said."""
        done = posted('{"apprise": ["json://127.0.0.1:1", "nothing-very-secret-4711"], "title": "t", "text": "x"}')
        assert done.returncode == 1
        assert done.stderr.splitlines()[-1] == b"apprise does not take address 2"

    def test_it_is_not_installed(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """Given no package, then how to install it is said, also before anything is sent."""
        monkeypatch.setitem(sys.modules, "apprise", None)
        hint = 'pip install "orchestrate[notify]"'
        assert posting._notified({"apprise": []}) == f"apprise needs the extra notify: {hint}"
        pipeline = pipeline_with(Channel("phone", apprise=("json://x",)))
        assert list(check_channels(pipeline, Environment({}, {}))) == [
            Problem(
                "missing_extra",
                "alerts.channels.phone.apprise needs the extra notify",
                ("alerts", "channels", "phone", "apprise"),
                suggestion=hint,
                severity="warning",
            )
        ]


class TestChannels:
    """Whether a channel can be reached shows before anything is sent."""

    def test_values(self) -> None:
        """Given variables, then each that an address needs and that has no value is a warning."""
        pipeline = pipeline_with(Channel("chat", webhook="https://x/${A}/${B}/${NIGHT}"))
        environment = Environment({"A": Resolved("1", ".env")}, {})
        (problem,) = check_channels(pipeline, environment)
        assert (problem.kind, problem.severity) == ("unset_channel", "warning")
        assert "refers to B, which has no value" in problem.message
        assert channel_values(environment, "2026-01-31") == {"A": "1", "NIGHT": "2026-01-31"}


def pipeline_with(channel: Channel) -> Pipeline:
    """Return a pipeline that has this channel alone."""
    return attrs.evolve(chain("a"), alerts=Alerts({channel.name: channel}))


def posted(request: str) -> subprocess.CompletedProcess[bytes]:
    """Let a process of its own do what *request* asks for."""
    return subprocess.run(
        [sys.executable, "-P", "-m", "orchestrator.cli.posting"],
        input=request.encode(),
        capture_output=True,
        check=False,
    )


def test_a_process_of_its_own(server: Loopback) -> None:
    """Given a request, then the process that makes it is given it on its standard input alone, and says nothing where all is well."""
    done = posted(f'{{"url": "{server.url}/{SECRET}"}}')
    assert (done.returncode, done.stdout, done.stderr) == (0, b"", b"")
    assert server.paths == [f"/{SECRET}"]
