"""
A collector, as a place where telemetry is sent: one POST of OTLP as protobuf over HTTP for each batch.

The exporter of the SDK takes a redirect for a success, does not look whether all of a batch was taken, says nothing of why it failed, and cannot be
stopped; here what went wrong is one of few words, which hold nothing of an address or of a header, and whoever gives up can hang up.
"""

from __future__ import annotations

import contextlib
import gzip
import http.client
import socket
import ssl
import threading
from collections.abc import Iterator, Sequence
from urllib.parse import urlsplit

from orchestrator import __version__
from orchestrator.cli.telemetry.encoding import Encoder, encoder_of, rejected_count
from orchestrator.cli.telemetry.places import NotTakenError, RejectedError
from orchestrator.cli.telemetry.settings import Endpoint, Settings, Signal

_GOOD = range(200, 300)
_ANSWER_BYTES_MAX = 1 << 16


class Collector:
    """Take the items of one signal over HTTP; see `places.Place`."""

    def __init__(self, signal: Signal, endpoint: Endpoint, settings: Settings) -> None:
        self._signal = signal
        self._endpoint = endpoint
        self._settings = settings
        self._encoder: Encoder | None = None
        self._given_up = False
        self._lock = threading.Lock()
        self._socket: socket.socket | None = None

    def send(self, items: Sequence[object]) -> None:
        """
        Post *items* in one request.

        Raises:
            NotTakenError: Nothing of it was taken.
            RejectedError: Some of it was not, and would not be if it came again.
        """
        if self._encoder is None:
            self._encoder = encoder_of(self._signal, self._settings)
        body = self._encoder.encode(items)
        said, content_type = self._posted(body)
        try:
            rejected = rejected_count(said, content_type)
        except ValueError:
            raise NotTakenError("unreadable_answer") from None
        if rejected:
            raise RejectedError(rejected)

    def hang_up(self) -> None:
        """End whatever goes on, from another thread; what is sent after that fails at once."""
        with self._lock:
            self._given_up = True
            _shut(self._socket)

    def close(self) -> None:
        """There is nothing to close: each request has its own connection."""

    def _posted(self, body: bytes) -> tuple[bytes, str | None]:
        """Return the answer to *body*, which was a success, and the type that it is said to have."""
        headers = {
            "user-agent": f"orchestrate/{__version__}",
            **self._endpoint.headers,
            "content-type": "application/x-protobuf",
        }
        if self._endpoint.compression == "gzip":
            body, headers["content-encoding"] = gzip.compress(body, mtime=0), "gzip"
        parts = urlsplit(self._endpoint.url)
        target = f"{parts.path}?{parts.query}" if parts.query else parts.path
        is_over = threading.Event()
        try:
            with self._in_time(is_over), contextlib.closing(self._connected(is_over)) as connection:
                connection.request("POST", target, body, headers)
                answer = connection.getresponse()
                said = answer.read(_ANSWER_BYTES_MAX)
            if is_over.is_set():
                raise TimeoutError
        except (OSError, http.client.HTTPException, ValueError) as error:
            raise NotTakenError("timeout" if is_over.is_set() else error_word(error)) from None
        if answer.status not in _GOOD:
            raise NotTakenError(f"http_{answer.status}")
        return said, answer.getheader("content-type")

    @contextlib.contextmanager
    def _in_time(self, is_over: threading.Event) -> Iterator[None]:
        """
        Set *is_over* and shut the socket down where the block takes longer than a request may.

        The time of a socket is for each of its operations: a collector that says a byte now and then would never use it up.
        """

        def end() -> None:
            with self._lock:
                is_over.set()
                _shut(self._socket)

        timer = threading.Timer(self._endpoint.timeout_ms / 1000, end)
        timer.daemon = True
        timer.start()
        try:
            yield
        finally:
            timer.cancel()
            with self._lock:
                self._socket = None

    def _connected(self, is_over: threading.Event) -> http.client.HTTPConnection:
        """Return a connection to the collector, whose socket can be shut down from now on, also while TLS is agreed on."""
        endpoint, parts = self._endpoint, urlsplit(self._endpoint.url)
        assert parts.hostname is not None
        seconds = endpoint.timeout_ms / 1000
        if parts.scheme == "http":
            connection = http.client.HTTPConnection(parts.hostname, parts.port, timeout=seconds)
            connection.connect()
            self._keep(connection.sock, is_over)
            return connection
        context = ssl.create_default_context(cafile=endpoint.certificate)
        if endpoint.client_certificate is not None:
            context.load_cert_chain(endpoint.client_certificate, endpoint.client_key)
        connection = http.client.HTTPSConnection(parts.hostname, parts.port, timeout=seconds, context=context)
        plain = socket.create_connection((connection.host, connection.port), seconds)
        plain.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        secure = context.wrap_socket(plain, server_hostname=connection.host, do_handshake_on_connect=False)
        connection.sock = secure
        self._keep(secure, is_over)
        try:
            secure.do_handshake()
        except BaseException:
            connection.close()
            raise
        return connection

    def _keep(self, sock: socket.socket, is_over: threading.Event) -> None:
        """Take note of *sock*, so that it can be shut down; close it where it is too late for anything."""
        with self._lock:
            if self._given_up or is_over.is_set():
                sock.close()
                raise TimeoutError
            self._socket = sock


def _shut(sock: socket.socket | None) -> None:
    if sock is not None:
        with contextlib.suppress(OSError, ValueError):
            sock.shutdown(socket.SHUT_RDWR)


def error_word(error: BaseException) -> str:
    """Return the word that *error* is recorded as; one of few, without anything of an address."""
    known: tuple[tuple[type[BaseException] | tuple[type[BaseException], ...], str], ...] = (
        (TimeoutError, "timeout"),
        (ssl.SSLError, "tls"),
        (socket.gaierror, "name_resolution"),
        (ConnectionRefusedError, "connection_refused"),
        ((ConnectionError, http.client.HTTPException), "connection_dropped"),
        # A file with a certificate that cannot be read.
        ((FileNotFoundError, PermissionError, IsADirectoryError), "certificate_file"),
    )
    return next((word for kinds, word in known if isinstance(error, kinds)), "network")
