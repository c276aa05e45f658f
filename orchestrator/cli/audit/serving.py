"""
The auditor's web page: Datasette over one ledger, read only, for this machine alone.

Whoever may log in to a machine can reach what listens on its 127.0.0.1, and a ledger is its owner's alone. The page therefore lies under a random
path, which is the key to it; anything else, and any other name for the machine, gets nothing.
"""

from __future__ import annotations

import contextlib
import importlib
import importlib.util
import os
import secrets
import signal
import socket
import sqlite3
import sys
import tempfile
import threading
from collections.abc import Awaitable, Callable, Iterator, Mapping
from pathlib import Path
from types import FrameType, SimpleNamespace
from typing import Any, NamedTuple

from ledger.errors import MissingExtraError
from orchestrator.cli import render
from orchestrator.cli.errors import UsageRefusedError
from orchestrator.cli.exit_codes import ExitCode
from orchestrator.core.printable import printable
from orchestrator.projections.web_metadata import DATABASE, web_metadata
from orchestrator.runtime.signals import caught_by

HOST = "127.0.0.1"
_GRACE_SECONDS = 0.5
_PLUGINS = ("datasette-dashboards", "datasette-leaflet", "datasette-render-markdown")
_POLICY = (
    # The charts compile their expressions; nothing comes from elsewhere, and nothing goes there.
    "default-src 'self'; script-src 'self' 'unsafe-inline' 'unsafe-eval'; style-src 'self' 'unsafe-inline'; img-src 'self' data:;"
    " frame-ancestors 'none'; base-uri 'none'; form-action 'self'"
)
_NOT_ALLOWED = 1008
_HEADERS = (
    (b"content-security-policy", _POLICY.encode()),
    (b"referrer-policy", b"no-referrer"),
    (b"x-content-type-options", b"nosniff"),
    (b"cross-origin-resource-policy", b"same-origin"),
    (b"cache-control", b"no-store"),
)

Scope = dict[str, Any]
Message = dict[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
Application = Callable[[Scope, Receive, Send], Awaitable[None]]


class _EndedError(BaseException):
    """Raised by a signal that ends the server."""


class Served(NamedTuple):
    """
    What is shown.

    Attributes:
        immutable: It is a snapshot, which nobody changes.
    """

    path: Path
    title: str
    description: str
    immutable: bool


def need_web() -> None:
    """
    Make sure that the page can be shown.

    Raises:
        MissingExtraError: Datasette or its dashboards are not installed.
    """
    if any(importlib.util.find_spec(name) is None for name in ("datasette", "datasette_dashboards", "uvicorn")):
        raise MissingExtraError("web", "the auditor's web page")


def listen(port: int) -> socket.socket:
    """
    Return a socket that listens on *port* of this machine alone, 0 for any that is free.

    Raises:
        UsageRefusedError: Somebody else has it, or it is not for everybody.
    """
    listening = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listening.bind((HOST, port))
        listening.listen()
    except OSError as error:
        listening.close()
        message = f"port {port} of {HOST} cannot be used: {error.strerror}; --port 0 takes one that is free"
        raise UsageRefusedError("port_unusable", message) from None
    return listening


def new_key() -> str:
    """Return the random part of the page's address."""
    return secrets.token_urlsafe(18)


def until_told(show: Callable[[], None]) -> ExitCode:
    """Do *show* until a signal ends it; return the exit code for that signal."""
    code = ExitCode.OK
    with caught_by(_ended, [signal.SIGTERM]):
        try:
            show()
        except _EndedError:
            code = ExitCode.TERMINATED
        except KeyboardInterrupt:
            code = ExitCode.INTERRUPTED
    _leave_what_is_stuck(code)
    return code


def serve(served: Served, listening: socket.socket, key: str) -> None:
    """Answer requests until a signal ends it, which is raised again then."""
    import uvicorn

    datasette = _datasette(served, key)
    application = _guarded(datasette.app(), key, listening.getsockname()[1])
    config = uvicorn.Config(application, log_level="critical", timeout_graceful_shutdown=2, server_header=False)
    try:
        uvicorn.Server(config).run(sockets=[listening])
    finally:
        datasette.get_database(DATABASE).stop()
        datasette.executor.shutdown(wait=False, cancel_futures=True)


@contextlib.contextmanager
def opened(url: str) -> Iterator[None]:
    """Open the browser on *url*, which its command line does not show: whoever has a process here can read that of every other."""
    import webbrowser

    with tempfile.NamedTemporaryFile("w", prefix="orchestrate-", suffix=".html") as page:
        page.write(f'<!doctype html><meta http-equiv="refresh" content="0; url={url}"><a href="{url}">The ledger</a>\n')
        page.flush()
        webbrowser.open(Path(page.name).as_uri())
        yield


def _ended(_signal: int, _frame: FrameType | None) -> None:
    raise _EndedError


def _leave_what_is_stuck(code: ExitCode) -> None:
    """End the program where Python would wait for a thread that SQLite does not come back from: it looks at nothing within one step."""
    others = [thread for thread in threading.enumerate() if thread is not threading.main_thread() and not thread.daemon]
    for thread in others:
        thread.join(_GRACE_SECONDS)
    if any(thread.is_alive() for thread in others):
        render.flush()
        os._exit(code)


def _datasette(served: Served, key: str) -> Any:  # noqa: ANN401 - of a package that is an extra
    # Whatever else is installed beside it has no part in this.
    os.environ["DATASETTE_LOAD_PLUGINS"] = ",".join(_PLUGINS)
    from datasette.app import Datasette  # type: ignore[import-untyped]
    from datasette.plugins import pm  # type: ignore[import-untyped]

    from orchestrator.cli.audit import page_database

    # With rich it prints every refused statement to stdout, with all local values; the page itself says what was wrong.
    vars(importlib.import_module("datasette.handle_exception")).update(
        rich=None, traceback=SimpleNamespace(print_exc=_tell_failure)
    )
    sqlite3.enable_callback_tracebacks(False)
    pm.register(page_database)
    settings: Mapping[str, object] = {
        "base_url": f"/{key}/",
        "allow_download": served.immutable,
        "sql_time_limit_ms": int(page_database.SECONDS * 1_000),
        "max_returned_rows": page_database.ROWS,
        "default_page_size": 50,
        "num_sql_threads": 2,
        "allow_signed_tokens": False,
    }
    datasette = Datasette([], metadata=web_metadata(served.title, served.description), settings=settings, memory=False)
    database = page_database.LedgerDatabase(datasette, path=str(served.path), is_mutable=not served.immutable)
    datasette.add_database(database, name=DATABASE)
    datasette.remove_database("_memory")
    return datasette


def _tell_failure() -> None:
    """Say in one line what Datasette could not answer, for which it would print a traceback."""
    error = sys.exception()
    render.err(printable(f"warning: a page could not be shown: {type(error).__name__}: {error}"))


def _guarded(application: Application, key: str, port: int) -> Application:
    """Answer for *application* only what asks for *key* and for this machine by its name, and only questions."""
    prefix = f"/{key}/"

    def below(location: bytes) -> bytes:
        return location if location.startswith(prefix.encode()) else prefix.encode() + location.lstrip(b"/\\")

    hosts = {f"{HOST}:{port}".encode(), f"localhost:{port}".encode()}

    async def guarded(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await application(scope, receive, send)
            return
        if scope["type"] != "http":
            await send({"type": "websocket.close", "code": _NOT_ALLOWED})
            return

        async def with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                own = {name for name, _ in _HEADERS}
                others = [
                    (name.lower(), value) for name, value in message.get("headers", ()) if name.lower() not in own
                ]
                # Where Datasette leads on to another form of what it was asked for, it forgets the prefix.
                led = [(name, below(value) if name == b"location" else value) for name, value in others]
                message = {**message, "headers": [*led, *_HEADERS]}
            await send(message)

        host = dict(scope["headers"]).get(b"host", b"")
        allowed = secrets.compare_digest(scope["path"][: len(prefix)].encode(), prefix.encode())
        if not allowed or host not in hosts or scope["method"] not in ("GET", "HEAD"):
            headers = [(b"content-type", b"text/plain")]
            await with_headers({"type": "http.response.start", "status": 404, "headers": headers})
            await send({"type": "http.response.body", "body": b"Nothing here.\n"})
            return
        # Datasette puts the prefix before what it links to, and expects, as behind a proxy, that it is asked without.
        shown = {"path": scope["path"][len(key) + 1 :], "raw_path": scope["raw_path"][len(key) + 1 :]}
        await application({**scope, **shown}, receive, with_headers)

    return guarded
