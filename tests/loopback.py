"""A server on the loopback that takes what is sent to it, or does what servers do when they do not."""

from __future__ import annotations

import contextlib
import json
import socket
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

Json = dict[str, Any]


class Loopback:
    """
    Answer on `url` and keep what came.

    Attributes:
        answer: The status of each answer; or `hang` to never answer, `drop` to hang up, `drip` to answer a byte at a time, `redirect` to send elsewhere,
            where 200 is the answer, and `redirect with the body` the same by 307.
        requests: Method, path, headers and the body, as JSON where it is some, of each request that came, in order.
    """

    def __init__(self) -> None:
        self.answer: int | str = 200
        self.requests: list[Json] = []
        self.over = threading.Event()
        self.url = ""

    @property
    def bodies(self) -> list[Json]:
        """What was posted, in order."""
        return [request["body"] for request in self.requests if request["method"] == "POST"]

    @property
    def paths(self) -> list[str]:
        """What was asked for, in order."""
        return [request["path"] for request in self.requests]


@contextlib.contextmanager
def loopback() -> Iterator[Loopback]:
    """Serve until the end of the block."""
    state = Loopback()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self._serve(None)

        def do_POST(self) -> None:
            content = self.rfile.read(int(self.headers["Content-Length"]))
            self._serve(json.loads(content))

        def _serve(self, body: Json | None) -> None:
            seen = {"method": self.command, "path": self.path, "headers": dict(self.headers), "body": body}
            state.requests.append(seen)
            if state.answer == "hang":
                state.over.wait(60)
            elif state.answer == "drip":
                with contextlib.suppress(OSError):
                    while not state.over.wait(0.05):
                        self.wfile.write(b"H")
            elif state.answer == "drop":
                self.connection.shutdown(socket.SHUT_RDWR)
            elif state.answer in ("redirect", "redirect with the body") and self.path != "/elsewhere":
                self.send_response(302 if state.answer == "redirect" else 307)
                self.send_header("Location", "/elsewhere")
                self.end_headers()
            else:
                self.send_response(state.answer if isinstance(state.answer, int) else 200)
                self.end_headers()

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    with serving(Handler, state.over) as state.url:
        yield state


@contextlib.contextmanager
def serving(handler: type[BaseHTTPRequestHandler], over: threading.Event) -> Iterator[str]:
    """Answer with *handler* on the address that is given until the end of the block, which *over* then tells those that wait."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}"
    finally:
        over.set()
        server.shutdown()
        server.server_close()
        thread.join()


def refusing_url() -> str:
    """Return an address where nobody listens."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return f"http://127.0.0.1:{probe.getsockname()[1]}"
