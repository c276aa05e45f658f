"""
The auditor's web page: Datasette over one ledger, read only, for this machine alone.

Whoever may log in to a machine can reach what listens on its 127.0.0.1, and a ledger is its owner's alone. The page therefore lies under a random
path, which is the key to it; anything else, and any other name for the machine, gets nothing.
"""

from __future__ import annotations

import importlib
import importlib.util
import os
import secrets
import signal
import socket
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path
from types import FrameType
from typing import Any, NamedTuple

from ledger.errors import MissingExtraError
from orchestrator.cli.exit_codes import ExitCode
from orchestrator.projections.web_metadata import DATABASE, web_metadata

HOST = "127.0.0.1"
_PLUGINS = ("datasette-dashboards", "datasette-leaflet", "datasette-render-markdown")
_POLICY = (
    # The charts compile their expressions; nothing comes from elsewhere, and nothing goes there.
    "default-src 'self'; script-src 'self' 'unsafe-inline' 'unsafe-eval'; style-src 'self' 'unsafe-inline'; img-src 'self' data:;"
    " frame-ancestors 'none'; base-uri 'none'; form-action 'self'"
)
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


class _EndedError(Exception):
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
        OSError: Somebody else has it.
    """
    listening = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listening.bind((HOST, port))
        listening.listen()
    except BaseException:
        listening.close()
        raise
    return listening


def new_key() -> str:
    """Return the random part of the page's address."""
    return secrets.token_urlsafe(18)


def serve(served: Served, listening: socket.socket, key: str) -> ExitCode:
    """Answer requests until a signal ends it; return the exit code for that signal."""
    import uvicorn

    application = _guarded(_datasette(served, key).app(), key, listening.getsockname()[1])
    config = uvicorn.Config(application, log_level="error", timeout_graceful_shutdown=2, server_header=False)
    before = signal.signal(signal.SIGTERM, _ended)
    try:
        # It ends what is on when a signal comes, and then raises the signal again.
        uvicorn.Server(config).run(sockets=[listening])
    except _EndedError:
        return ExitCode.TERMINATED
    except KeyboardInterrupt:
        return ExitCode.INTERRUPTED
    finally:
        signal.signal(signal.SIGTERM, before)
        listening.close()
    return ExitCode.OK


def _ended(_signal: int, _frame: FrameType | None) -> None:
    raise _EndedError


def _datasette(served: Served, key: str) -> Any:  # noqa: ANN401 - of a package that is an extra
    # Whatever else is installed beside it has no part in this.
    os.environ["DATASETTE_LOAD_PLUGINS"] = ",".join(_PLUGINS)
    from datasette.app import Datasette  # type: ignore[import-untyped]
    from datasette.database import Database  # type: ignore[import-untyped]

    # With rich it prints every refused statement to stdout, with all local values; the page itself says what was wrong.
    importlib.import_module("datasette.handle_exception").rich = None  # type: ignore[attr-defined]
    settings: Mapping[str, object] = {
        "base_url": f"/{key}/",
        "allow_download": served.immutable,
        "sql_time_limit_ms": 5_000,
        "max_returned_rows": 5_000,
        "default_page_size": 50,
        "num_sql_threads": 2,
        "allow_signed_tokens": False,
    }
    datasette = Datasette([], metadata=web_metadata(served.title, served.description), settings=settings, memory=False)
    datasette.add_database(Database(datasette, path=str(served.path), is_mutable=not served.immutable), name=DATABASE)
    datasette.remove_database("_memory")
    return datasette


def _guarded(application: Application, key: str, port: int) -> Application:
    """Answer for *application* only what asks for *key* and for this machine by its name, and only questions."""
    prefix = f"/{key}/"
    hosts = {f"{HOST}:{port}".encode(), f"localhost:{port}".encode()}

    async def guarded(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await application(scope, receive, send)
            return

        async def with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                own = {name for name, _ in _HEADERS}
                others = [(name, value) for name, value in message.get("headers", ()) if name.lower() not in own]
                message = {**message, "headers": [*others, *_HEADERS]}
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
