"""What telemetry costs a run: collectors of each kind, good and bad, on the loopback, beside a run without; one of each in each round."""

from __future__ import annotations

import contextlib
import socket
import sqlite3
import threading
from collections.abc import Iterator
from datetime import datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from statistics import median

from benchmarks.contenders import PROGRAM, write_pipeline
from benchmarks.measuring import Contender, ratio_to, run_rounds

WITHOUT = "without"
COLLECTORS = ("takes it", "refuses", "hangs", "hangs up", "answers 503")


def telemetry(folder: Path, *, rounds: int) -> dict[str, object]:
    """Run one step without telemetry and with a collector of each kind; say how much longer that takes, and how long its end waited."""
    with contextlib.ExitStack() as stack:
        urls: dict[str, str | None] = {WITHOUT: None}
        urls |= {kind: stack.enter_context(_collector(kind)) for kind in COLLECTORS}
        contenders = [
            _contender(folder / f"telemetry-{number}", kind, url) for number, (kind, url) in enumerate(urls.items())
        ]
        samples = run_rounds(contenders, rounds)
    more = {
        kind: [own.seconds - plain.seconds for own, plain in zip(samples[kind], samples[WITHOUT], strict=True)]
        for kind in COLLECTORS
    }
    waited = {contender.name: _waited(contender.folder) for contender in contenders if contender.name != WITHOUT}
    return {
        "rounds": rounds,
        "seconds_without": round(median(sample.seconds for sample in samples[WITHOUT]), 3),
        "seconds_more": {kind: round(median(found), 3) for kind, found in more.items()},
        "seconds_waited": {kind: round(median(found), 3) for kind, found in waited.items()},
        "most_seconds_waited": {kind: round(max(found), 3) for kind, found in waited.items()},
        "ratio": {kind: round(ratio_to(samples, kind, WITHOUT) or 0, 2) for kind in COLLECTORS},
    }


def _contender(place: Path, kind: str, url: str | None) -> Contender:
    place.mkdir(parents=True)
    write_pipeline(place, {"only": ()})
    variables = () if url is None else (f"OTEL_EXPORTER_OTLP_TRACES_ENDPOINT={url}/v1/traces",)
    return Contender(kind, ("env", *variables, PROGRAM, "run", "--force", "--quiet"), place)


@contextlib.contextmanager
def _collector(kind: str) -> Iterator[str]:
    """Give the address of a collector of this *kind*."""
    over = threading.Event()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            self.rfile.read(int(self.headers["Content-Length"]))
            if kind == "hangs":
                over.wait(60)
            elif kind == "hangs up":
                self.connection.shutdown(socket.SHUT_RDWR)
            else:
                self.send_response(200 if kind == "takes it" else 503)
                self.send_header("Content-Length", "0")
                self.end_headers()

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    address = f"http://127.0.0.1:{server.server_address[1]}"
    if kind == "refuses":
        server.server_close()
        yield address
        return
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield address
    finally:
        over.set()
        server.shutdown()
        server.server_close()
        thread.join()


def _waited(place: Path) -> list[float]:
    """Return how many seconds each run in *place* waited at its end: from its checkpoint to the record of what arrived."""
    with contextlib.closing(sqlite3.connect(place / ".orchestrate" / "ledger.db")) as connection:
        rows = connection.execute(
            "SELECT events.recorded_at, (SELECT max(recorded_at) FROM checkpoints WHERE size <= seq) FROM events"
            " WHERE type IN ('telemetry.delivered', 'telemetry.failed') ORDER BY seq"
        ).fetchall()
    return [(_time(told) - _time(sealed)).total_seconds() for told, sealed in rows]


def _time(text: str) -> datetime:
    return datetime.fromisoformat(text)
