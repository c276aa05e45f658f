"""
The forms in which a secret may show up in a program's output: as it is, in parts, and in the encodings that programs print by themselves.

What is claimed here is listed in `docs/reference/redaction.md`; a form that is not listed is not masked. Each function returns forms for one value.
"""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Iterator
from urllib.parse import quote_from_bytes
from xml.sax.saxutils import escape

FORM_BYTES_MIN = 6
"""Shorter forms are never masked: they would be found everywhere."""

_ESCAPES = {"n": "\n", "r": "\r", "t": "\t", "\\": "\\", "'": "'", '"': '"', "0": "\0", "$": "$", "`": "`"}
_ESCAPED = re.compile(r"\\([nrt\\'\"0$`])")
_UNSAFE_IN_SHELL = re.compile(rb"[^A-Za-z0-9_@%+=:,./-]")
_QUOTES = (b"'", b'"', b"`")


def forms_of(value: bytes) -> set[bytes]:
    """Return every form of *value* that is masked; empty where all are too short or white space alone."""
    found: set[bytes] = set()
    for base in _bases(value):
        if base.strip():
            found.update(form for form in _encodings(base) if len(form) >= FORM_BYTES_MIN and form.strip())
    return found


def spaced_forms_of(value: bytes) -> set[bytes]:
    """
    Return the forms of a value of several lines in which any run of white space may stand for each of its line breaks.

    White space is written as one blank in them; empty where the value has one line.
    """
    words = value.split()
    if b"\n" not in value.strip() and b"\r" not in value.strip():
        return set()
    joined = b" ".join(words)
    return {joined} if len(joined) >= FORM_BYTES_MIN else set()


def _bases(value: bytes) -> Iterator[bytes]:
    yield value
    yield value.strip()
    yield from (line.strip() for line in re.split(rb"[\r\n]+", value))
    unquoted = value.strip()
    if len(unquoted) > 1 and unquoted[:1] in _QUOTES and unquoted[:1] == unquoted[-1:]:
        yield unquoted[1:-1]
    if b"\\" in value:
        yield _ESCAPED.sub(lambda match: _ESCAPES[match[1]], value.decode("latin-1")).encode("latin-1")
        yield value.replace(b"\\", b"")


def _encodings(value: bytes) -> Iterator[bytes]:
    yield value
    yield from _base64(value)
    yield value.hex().encode()
    yield value.hex().upper().encode()
    yield from _percent(value)
    yield from _shell(value)
    for quote in (b"'", b'"', b"$"):
        yield value.replace(quote, quote * 2)
    try:
        text = value.decode("utf-8")
    except UnicodeDecodeError:
        yield repr(value)[2:-1].encode()
        return
    yield from (form.encode("utf-8") for form in _textual(text, value))


def _base64(value: bytes) -> Iterator[bytes]:
    """Yield what stands in a base64 text wherever *value* begins in what was encoded: at three alignments, without the edges that depend on neighbours."""
    for offset, leading in ((0, 0), (1, 2), (2, 3)):
        encoded = base64.b64encode(b"\0" * offset + value).rstrip(b"=")
        cut = len(encoded) - (1 if (len(value) + offset) % 3 else 0)
        for text in (encoded[leading:cut], encoded[leading:] if offset == 0 else b""):
            yield text
            yield text.replace(b"+", b"-").replace(b"/", b"_")


def _percent(value: bytes) -> Iterator[bytes]:
    for safe in ("", "/", "+", "+/", "~()*!'"):
        encoded = quote_from_bytes(value, safe=safe).encode()
        yield encoded
        yield re.sub(rb"%[0-9A-F]{2}", lambda match: match[0].lower(), encoded)
        yield encoded.replace(b"%20", b"+")


def _shell(value: bytes) -> Iterator[bytes]:
    """Yield *value* as shells write it: in single quotes, in double quotes, with backslashes, and as `$'…'`."""
    yield value.replace(b"'", b"'\\''")
    yield value.replace(b"'", b"'\"'\"'")
    yield re.sub(rb'([$`"\\])', rb"\\\1", value)
    yield _UNSAFE_IN_SHELL.sub(lambda match: b"\\" + match[0], value)
    dollar = value.replace(b"\\", b"\\\\").replace(b"'", b"\\'")
    yield dollar.replace(b"\n", b"\\n").replace(b"\r", b"\\r").replace(b"\t", b"\\t")


def _textual(text: str, value: bytes) -> Iterator[str]:
    """Yield *text* as programs quote it: JSON, Python, Go, XML and HTML."""
    for ascii_only in (True, False):
        encoded = json.dumps(text, ensure_ascii=ascii_only)[1:-1]
        yield encoded
        yield encoded.replace("/", "\\/")
        yield encoded.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")
    yield repr(text)[1:-1]
    yield repr(value)[2:-1]
    yield ascii(text)[1:-1]
    for apostrophe in ("'", "&apos;", "&#39;", "&#x27;"):
        yield escape(text, {'"': "&quot;", "'": apostrophe})
        yield escape(text, {'"': "&#34;", "'": apostrophe})
    yield escape(text)
