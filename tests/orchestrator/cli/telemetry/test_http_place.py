"""Posting to a collector: real servers on the loopback, read by nothing of ours."""

from __future__ import annotations

import contextlib
import socket
import ssl
import threading
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import attrs
import pytest

from orchestrator.cli.telemetry.http_place import Collector as Place
from orchestrator.cli.telemetry.http_place import error_word
from orchestrator.cli.telemetry.places import NotTakenError, RejectedError
from orchestrator.cli.telemetry.settings import Endpoint, Limits, Settings
from orchestrator.projections.spans import Span, spans_of
from tests.collector import Collector, attributes, collector
from tests.loopback import refusing_url
from tests.pipelines import pipeline_of
from tests.simulated_nights import night


@pytest.fixture(scope="module")
def server() -> Iterator[Collector]:
    """Give a collector."""
    with collector() as found:
        yield found


@pytest.fixture(scope="module")
def spans() -> Sequence[Span]:
    """Give the spans of a run in which a step was tried twice."""
    tonight = night(pipeline_of({"a": [], "b": ["a"]}), b="exit:1")
    tonight.run()
    return spans_of(tonight.store.read_stream("run/run-1"))


def endpoint(server: Collector, **more: Any) -> Endpoint:  # noqa: ANN401 - whatever an endpoint has
    """Return how traces are posted to *server*, with little patience."""
    return attrs.evolve(Endpoint(f"{server.url}/v1/traces", timeout_ms=300), **more)


def place_of(there: Endpoint, limits: Limits = Limits()) -> Place:  # noqa: B008 - it is frozen
    """Return the place."""
    return Place("traces", there, Settings(resource={"service.name": "nightly"}, limits=limits))


class TestTaken:
    """What arrives."""

    @pytest.mark.parametrize("compression", ["none", "gzip"])
    def test_as_sent(self, server: Collector, spans: Sequence[Span], compression: str) -> None:
        """Given spans, then they arrive with the headers that were asked for, packed or not."""
        server.answer, server.requests = 200, []
        place_of(endpoint(server, timeout_ms=60_000, compression=compression, headers={"api-key": "s3cret"})).send(
            spans
        )
        (path, headers, _) = server.requests[0]
        assert ("/v1/traces", "s3cret", "application/x-protobuf") == (path, headers["api-key"], headers["content-type"])
        assert ("gzip" if compression == "gzip" else None) == headers.get("content-encoding")
        assert [span.span_id for span in spans] == [span.span_id.hex() for _, span in server.spans()]
        assert {"nightly"} == {resource["service.name"] for resource, _ in server.spans()}

    def test_limits(self, server: Collector, spans: Sequence[Span]) -> None:
        """Given limits, then what is cut off is counted."""
        server.answer, server.requests = 200, []
        span = attrs.evolve(spans[-1], events=(("one", 1, {}), ("two", 2, {})), links=(("ab" * 16, "cd" * 8),))
        place_of(endpoint(server, timeout_ms=60_000), Limits(3, 4, 1, 0, 1, 1)).send([span])
        ((_, found),) = server.spans()
        assert (3, len(span.attributes) - 3) == (len(found.attributes), found.dropped_attributes_count)
        assert (1, 1, 0, 1) == (
            len(found.events), found.dropped_events_count, len(found.links), found.dropped_links_count,
        )  # fmt: skip
        assert {len(text) for text in attributes(found.attributes).values() if isinstance(text, str)} <= set(range(5))

    def test_some_is_rejected(self, server: Collector, spans: Sequence[Span]) -> None:
        """Given a collector that says that it has rejected one, then so many are told."""
        server.answer = "reject"
        with pytest.raises(RejectedError) as raised:
            place_of(endpoint(server, timeout_ms=60_000)).send(spans)
        assert 1 == raised.value.count

    @pytest.mark.parametrize(
        ("body", "content_type"),
        [
            (b"", None),
            (b"", "text/html"),
            (b"{}", "application/json"),
            (b'{"partialSuccess": {}}', "application/json; charset=utf-8"),
            (b"\x0a\x00", "application/x-protobuf"),
        ],
    )
    def test_answers_of_collectors(
        self, server: Collector, spans: Sequence[Span], body: bytes, content_type: str | None
    ) -> None:
        """Given an empty answer, or one that rejects nothing in either form, then all was taken."""
        server.answer = (body, content_type)
        place_of(endpoint(server, timeout_ms=60_000)).send(spans)

    def test_rejected_in_json(self, server: Collector, spans: Sequence[Span]) -> None:
        """Given an answer as JSON that says how many were rejected, as JSON of OTLP has it, then so many are told."""
        server.answer = (b'{"partialSuccess": {"rejectedSpans": "2", "errorMessage": "too old"}}', "application/json")
        with pytest.raises(RejectedError) as raised:
            place_of(endpoint(server, timeout_ms=60_000)).send(spans)
        assert raised.value.count == 2


class TestNotTaken:
    """What goes wrong, in few words."""

    @pytest.mark.parametrize(
        ("answer", "word"),
        [
            ("hang", "timeout"),
            ("drop", "connection_dropped"),
            ("garbage", "connection_dropped"),
            (503, "http_503"),
            (400, "http_400"),
            (302, "http_302"),
        ],
    )
    def test_a_bad_collector(self, server: Collector, spans: Sequence[Span], answer: str | int, word: str) -> None:
        """Given a collector that does not take it, then one word says why; a redirect is not followed."""
        server.answer, asked = answer, server.asked
        patience = 300 if answer == "hang" else 60_000
        with pytest.raises(NotTakenError) as raised:
            place_of(endpoint(server, timeout_ms=patience)).send(spans)
        assert (word, asked + 1) == (raised.value.word, server.asked)

    @pytest.mark.parametrize(
        ("body", "content_type"),
        [
            (b"\xff" * 5, "application/x-protobuf"),
            (b"\xff" * 5, None),
            (b"<html><body>Log in</body></html>", "text/html; charset=utf-8"),
            (b"<html><body>Log in</body></html>", None),
            (b"OK", "text/plain"),
            (b"{", "application/json"),
            (b"[]", "application/json"),
            (b'{"partialSuccess": [1]}', "application/json"),
            (b'{"partialSuccess": {"rejectedSpans": 1e999}}', "application/json"),
            (b"[" * 60_000, "application/json"),
            (b'{"partialSuccess": {"rejectedSpans": {"a": 1}}}', "application/json"),
        ],
    )
    def test_a_success_that_is_none(
        self, server: Collector, spans: Sequence[Span], body: bytes, content_type: str | None
    ) -> None:
        """Given a status 200 with what is no answer of OTLP, then nothing counts as taken: a page to log in at is no collector."""
        server.answer = (body, content_type)
        with pytest.raises(NotTakenError, match=r"^unreadable_answer$"):
            place_of(endpoint(server, timeout_ms=60_000)).send(spans)

    def test_nobody_listens(self, spans: Sequence[Span]) -> None:
        """Given an address where nobody listens, then that is told."""
        with pytest.raises(NotTakenError, match="connection_refused"):
            place_of(Endpoint(f"{refusing_url()}/v1/traces")).send(spans)

    def test_no_tls(self, server: Collector, spans: Sequence[Span]) -> None:
        """Given a server that speaks no TLS, then that is told."""
        server.answer = 200
        there = endpoint(server, url=server.url.replace("http:", "https:") + "/v1/traces", timeout_ms=60_000)
        with pytest.raises(NotTakenError, match="tls"):
            place_of(there).send(spans)

    def test_a_certificate_that_is_not_there(self, server: Collector, spans: Sequence[Span], tmp_path: Path) -> None:
        """Given a file of certificates that is not there, then that is told, and nothing of its name."""
        for name in ("certificate", "client_certificate"):
            there = endpoint(server, url="https://127.0.0.1:1/", **{name: str(tmp_path / "none.pem")})
            with pytest.raises(NotTakenError, match=r"^certificate_file$"):
                place_of(there).send(spans)

    @pytest.mark.parametrize(
        ("error", "word"),
        [
            (socket.gaierror(), "name_resolution"),
            (ssl.SSLError(), "tls"),
            (OSError(), "network"),
            (ValueError(), "network"),
        ],
    )
    def test_other_words(self, error: Exception, word: str) -> None:
        """Given what cannot be had on the loopback, then it has a word too."""
        assert word == error_word(error)

    @pytest.mark.timeout(60)
    @pytest.mark.parametrize("answer", ["drip", "drip_body"])
    def test_the_time_is_for_the_whole_request(self, server: Collector, spans: Sequence[Span], answer: str) -> None:
        """Given a collector that says a byte again and again, then the request ends when its time is over, not when the collector pleases."""
        server.answer = answer
        with pytest.raises(NotTakenError, match=r"^timeout$"):
            place_of(endpoint(server, timeout_ms=300)).send(spans)

    @pytest.mark.timeout(60)
    def test_the_time_is_for_the_handshake_too(self, spans: Sequence[Span]) -> None:
        """Given a server that begins a record of TLS and drips the rest of it, then that is over in time as well."""
        over = threading.Event()
        with socket.create_server(("127.0.0.1", 0)) as listening:

            def drip() -> None:
                peer, _ = listening.accept()
                with peer, contextlib.suppress(OSError):
                    peer.sendall(b"\x16\x03\x03\x40\x00")
                    while not over.wait(0.05):
                        peer.sendall(b"\x02")

            thread = threading.Thread(target=drip, daemon=True)
            thread.start()
            there = Endpoint(f"https://127.0.0.1:{listening.getsockname()[1]}/", timeout_ms=300)
            with pytest.raises(NotTakenError, match=r"^timeout$"):
                place_of(there).send(spans)
            over.set()
            thread.join(10)

    @pytest.mark.parametrize("answer", ["hang", "drip"])
    def test_hanging_up(self, server: Collector, spans: Sequence[Span], answer: str) -> None:
        """Given a collector that keeps one waiting, when somebody hangs up, then it is over, and nothing is sent after that."""
        server.answer, asked = answer, server.asked
        place = place_of(endpoint(server, timeout_ms=3_600_000))
        words: list[str] = []

        def send() -> None:
            try:
                place.send(spans)
            except NotTakenError as error:
                words.append(error.word)

        thread = threading.Thread(target=send)
        thread.start()
        while server.asked == asked:
            thread.join(0.01)
        place.hang_up()
        thread.join(60)
        assert 1 == len(words)
        with pytest.raises(NotTakenError, match="timeout"):
            place.send(spans)
        assert asked + 1 == server.asked
