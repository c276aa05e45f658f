"""
A made-up secret that shows at the start of each run whether secrets are masked: it goes through the very streams and texts of the run.

It is registered beside the real ones, so that it is found by the same search. What is broken then (an installation without its search, a version of that
which finds less) would else be noticed in the logs of the night, and by whoever reads them.
"""

from __future__ import annotations

import json
from base64 import b64encode
from collections.abc import Callable, Iterator
from typing import Protocol
from urllib.parse import quote_plus

from orchestrator.core.secret_forms import FORM_BYTES_MIN

CANARY = 'canary/7+"up'
CANARY_NAME = ":canary"
"""What it counts under; no variable can be called so."""

_CANARY_TOKEN = "AKIA" + "CANARY0MADE0UP00"


class Stream(Protocol):
    """One stream through what masks."""

    def feed(self, data: bytes, /) -> bytes:
        """Take *data* and return what can be shown."""
        ...

    def flush(self) -> bytes:
        """Return what was held back."""
        ...


def what_comes_out(new_stream: Callable[[], Stream], redact: Callable[[str], str], *, builtin: bool) -> str | None:
    """
    Return in which form a made-up secret comes out of the streams and texts of a run; None where none does.

    Args:
        new_stream: Makes a stream, as for an attempt.
        redact: Masks a text, as of a message.
        builtin: A made-up token and a password in an address have to be masked too.
    """
    for form, before, secret, after in _printed(builtin=builtin):
        text = before + secret + after
        if _is_in(secret, redact(text)):
            return f"{form}, in a text"
        if _is_in(secret, _streamed(new_stream(), [text])):
            return form
        if _is_in(secret, _streamed(new_stream(), [before, *secret, after])):
            return f"{form}, byte by byte"
    return None


def _printed(*, builtin: bool) -> Iterator[tuple[str, str, str, str]]:
    """Yield the name of each form, and the secret in it between what stands before and after."""
    yield "as it is", "= ", CANARY, "\n"
    yield "as base64", "", b64encode(CANARY.encode()).decode().rstrip("="), "=\n"
    yield "as hexadecimal", "0x", CANARY.encode().hex(), "\n"
    yield "in an address", "/?k=", quote_plus(CANARY), "&\n"
    yield "in JSON", '{"k": "', json.dumps(CANARY)[1:-1], '"}\n'
    if builtin:
        yield "as a token", "= ", _CANARY_TOKEN, "\n"
        yield "as a password", "://u:", "made-up", "@h\n"


def _streamed(stream: Stream, pieces: list[str]) -> str:
    shown = b"".join([stream.feed(piece.encode()) for piece in pieces]) + stream.flush()
    return shown.decode("utf-8", "replace")


def _is_in(secret: str, shown: str) -> bool:
    """Whether any piece of *secret* that is long enough to tell something is in *shown*."""
    return any(secret[place : place + FORM_BYTES_MIN] in shown for place in range(len(secret) - FORM_BYTES_MIN + 1))
